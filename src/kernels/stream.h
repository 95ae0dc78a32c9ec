/* SPDX-License-Identifier: BSD-3-Clause */
/* Large outputs leave past the cache. Template: see real.h.
 *
 * An ordinary store first reads the line that it writes to: half as much traffic again. A streaming store
 * does not, but only if it writes whole lines of 64 bytes; a partial one costs ten times as much. So what
 * rows produce is lined up in a small buffer, and whole lines go out of it: rows of 100 classes share
 * lines with their neighbours, and here they are joined. The ends of a stretch leave by ordinary stores. */

#ifndef XN_STREAM_LINE
static inline void xn_stream_line(void *to, const void *from) {
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i *)to, _mm512_load_si512(from));
#elif defined(__AVX__)
    _mm256_stream_si256((__m256i *)to, _mm256_load_si256((const __m256i *)from));
    _mm256_stream_si256((__m256i *)to + 1, _mm256_load_si256((const __m256i *)from + 1));
#elif defined(__SSE2__)
    for (int i = 0; i < 4; i++) _mm_stream_si128((__m128i *)to + i, _mm_load_si128((const __m128i *)from + i));
#else
    memcpy(to, from, 64);
#endif
}

/* Streaming stores are not ordered with others: before another thread may look, this must come. */
static inline void xn_stream_end(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
#define XN_STREAM_LINE 1
#endif

/* A stretch of memory that is being written from front to back. */
enum { XN_T(LINE) = 64 / (int)sizeof(XN_T(written)) };
typedef struct {
    /* what has not left yet, first element on a line of `to` */
    _Alignas(64) XN_T(written) line[XN_T(FLUSH) + 2 * XN_T(LINE)];
    XN_T(written) *to; /* where line[0] goes; NULL: nothing waits */
    int64_t waiting;
} XN_T(stream);

static inline void XN_T(stream_start)(XN_T(stream) *s) {
    s->to = NULL;
    s->waiting = 0;
}

/* Writes what waits with ordinary stores. */
static inline void XN_T(stream_close)(XN_T(stream) *s) {
    if (s->to && s->waiting) memcpy(s->to, s->line, (size_t)s->waiting * sizeof *s->line);
    s->to = NULL;
    s->waiting = 0;
}

/* Room for n <= FLUSH elements that shall go to `to`, and for the rest of their last vector. */
static inline XN_T(written) *XN_T(stream_open)(XN_T(stream) *s, XN_T(written) *to) {
    if (s->to && s->to + s->waiting == to) return s->line + s->waiting;
    XN_T(stream_close)(s);
    s->to = to;
    return s->line;
}

/* The n elements in the room that stream_open gave are complete: whole lines leave. */
static inline void XN_T(stream_push)(XN_T(stream) *s, int64_t n) {
    s->waiting += n;
    const int64_t past = (int64_t)((uintptr_t)s->to / sizeof *s->to % XN_T(LINE));
    if (past != 0) { /* the first stretch does not begin on a line: up to there with ordinary stores */
        const int64_t head = XN_T(LINE) - past;
        if (s->waiting < head) return;
        memcpy(s->to, s->line, (size_t)head * sizeof *s->line);
        memmove(s->line, s->line + head, (size_t)(s->waiting - head) * sizeof *s->line);
        s->to += head;
        s->waiting -= head;
    }
    const int64_t lines = s->waiting / XN_T(LINE);
    for (int64_t i = 0; i < lines; i++) xn_stream_line(s->to + i * XN_T(LINE), s->line + i * XN_T(LINE));
    const int64_t gone = lines * XN_T(LINE);
    if (lines > 0) memcpy(s->line, s->line + gone, 64);
    s->to += gone;
    s->waiting -= gone;
}

/* Elements that are complete already, in a buffer on a line. */
static inline void XN_T(stream_stretch)(XN_T(stream) *s, XN_T(written) *to, const XN_T(written) *from, int64_t n) {
    int64_t j = 0;
    if ((uintptr_t)to % 64 == 0 && (!s->to || s->waiting == 0)) {
        s->to = NULL;
        for (; j + XN_T(LINE) <= n; j += XN_T(LINE)) xn_stream_line(to + j, from + j);
    }
    for (; j < n; j += XN_T(FLUSH)) {
        const int64_t piece = XN_T(least)(n - j, XN_T(FLUSH));
        memcpy(XN_T(stream_open)(s, to + j), from + j, (size_t)piece * sizeof *to);
        XN_T(stream_push)(s, piece);
    }
}
