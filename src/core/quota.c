/* SPDX-License-Identifier: BSD-3-Clause */
/* The CPUs that the process's control groups let it use: OpenMP looks at the affinity mask alone, and would start a
 * thread on each of 64 CPUs in a container that may use two.
 *
 * A quota stands in cpu.max (version 2) or in cpu.cfs_quota_us and cpu.cfs_period_us (version 1) of the process's own
 * group, or of any group above it: the smallest holds. /proc/self/cgroup says which groups those are,
 * /proc/self/mountinfo where their files are: in a container not where one expects them. Both versions may be mounted
 * at once. What is missing or makes no sense counts as no limit. */
#include "core.h"

#ifdef __linux__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 8192, MOST_CPUS = 1 << 20 };

/* The next line without its end; what does not fit is dropped. 0 at the end of the file. */
static int read_line(FILE *file, char line[LINE]) {
    if (!fgets(line, LINE, file)) return 0;
    const size_t length = strcspn(line, "\n");
    if (line[length] != '\n')
        for (int c = getc(file); c != '\n' && c != EOF;) c = getc(file);
    line[length] = 0;
    return 1;
}

/* "FIRST/SECOND..." from four parts; 0 if that does not fit. */
static int join(char path[LINE], const char *a, const char *b, const char *c, const char *d) {
    const int length = snprintf(path, LINE, "%s%s%s%s", a, b, c, d);
    return length >= 0 && length < LINE;
}

/* Whether `word` is one of a list that has commas between its words. */
static int lists(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
        if (strcspn(at, ",") == length && strncmp(at, word, length) == 0) return 1;
    }
    return 0;
}

/* The first two numbers of a file, as many as there are. */
static int read_numbers(const char *folder, const char *name, long long number[2]) {
    char path[LINE];
    FILE *file = join(path, folder, "/", name, "") ? fopen(path, "re") : NULL;
    if (!file) return 0;
    const int found = fscanf(file, "%lld %lld", number, number + 1); /* "max" is no number */
    fclose(file);
    return found > 0 ? found : 0;
}

static int smaller_limit(int limit, long long quota, long long period) {
    if (quota <= 0 || period <= 0) return limit;
    const long long cpus = quota / period + (quota % period != 0);
    const int rounded = cpus < MOST_CPUS ? (int)cpus : MOST_CPUS;
    return limit == 0 || rounded < limit ? rounded : limit;
}

/* The quotas of a folder's group and of those above it, up to the folder that is mounted. */
static int limit_of(char folder[LINE], size_t mount_length, int version, int limit) {
    for (;;) {
        long long number[2] = {0, 0}, period[2] = {0, 0};
        if (version == 2 && read_numbers(folder, "cpu.max", number) == 2)
            limit = smaller_limit(limit, number[0], number[1]);
        if (version == 1 && read_numbers(folder, "cpu.cfs_quota_us", number) > 0 &&
            read_numbers(folder, "cpu.cfs_period_us", period) > 0)
            limit = smaller_limit(limit, number[0], period[0]);
        char *last = strrchr(folder, '/');
        if (!last || (size_t)(last - folder) < mount_length) return limit;
        *last = 0;
    }
}

/* The process's group in a hierarchy: "/" if /proc/self/cgroup does not say. */
static void find_group(const char *root, int version, char group[LINE]) {
    char path[LINE], line[LINE];
    strcpy(group, "/");
    FILE *file = join(path, root, "/proc/self/cgroup", "", "") ? fopen(path, "re") : NULL;
    while (file && read_line(file, line)) { /* hierarchy:controllers:group */
        char *controllers = strchr(line, ':'), *own = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!own) continue;
        *controllers++ = *own++ = 0;
        if (version == 2 ? strcmp(line, "0") == 0 && !*controllers : lists(controllers, "cpu")) strcpy(group, own);
    }
    if (file) fclose(file);
}

/* mountinfo writes blanks, tabs, newlines and backslashes as \ and three octal digits. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned code;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &code) == 1 && from[1] && from[2] && from[3] && code < 256) {
            *to = (char)code;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

/* What a line of mountinfo says: ID parent device ROOT POINT options ... - TYPE source OPTIONS. Returns the version of
 * the control groups mounted there if they could limit CPUs, else 0. */
static int parse_mount(char line[LINE], char **mounted, char **point) {
    char *end = strstr(line, " - "), *field[5] = {0}, *save = NULL;
    if (!end) return 0;
    *end = 0;
    int fields = 0;
    for (char *at = strtok_r(line, " ", &save); at && fields < 5; at = strtok_r(NULL, " ", &save)) field[fields++] = at;
    const char *type = strtok_r(end + 3, " ", &save);
    strtok_r(NULL, " ", &save);
    const char *options = strtok_r(NULL, " ", &save);
    if (fields < 5 || !type) return 0;
    *mounted = field[3];
    *point = field[4];
    unescape(*mounted);
    unescape(*point);
    if (strcmp(type, "cgroup2") == 0) return 2;
    return strcmp(type, "cgroup") == 0 && options && lists(options, "cpu");
}

/* The part of a group's path that lies below what is mounted: "" where it is not below it, or where it lies outside of
 * the process's namespace, and can't be reached. Then what is mounted is all that is known. */
static const char *below(const char *group, const char *mounted) {
    const size_t length = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
    if (strncmp(group, mounted, length) != 0 || (group[length] != '/' && group[length])) return "";
    if (strstr(group + length, "/..")) return "";
    return strcmp(group + length, "/") == 0 ? "" : group + length;
}

int xn_read_quota(const char *root) {
    char path[LINE], line[LINE], group[LINE];
    int limit = 0;
    FILE *file = join(path, root, "/proc/self/mountinfo", "", "") ? fopen(path, "re") : NULL;
    while (file && read_line(file, line)) {
        char *mounted, *point;
        const int version = parse_mount(line, &mounted, &point);
        if (version == 0) continue;
        find_group(root, version, group);
        if (!join(path, root, point, below(group, mounted), "")) continue;
        limit = limit_of(path, strlen(root) + strlen(point), version, limit);
    }
    if (file) fclose(file);
    return limit;
}

#else

int xn_read_quota(const char *root) {
    (void)root;
    return 0;
}

#endif
