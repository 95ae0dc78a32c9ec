# SPDX-License-Identifier: BSD-3-Clause
"""How many examples hypothesis tries: the same few in every run, or new and many with --hypothesis-profile=nightly."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("stable", derandomize=True, deadline=None, max_examples=60, database=None)
settings.register_profile("nightly", deadline=None, max_examples=2000, database=None, print_blob=True)
settings.load_profile("stable")  # the option is read later, and goes first


def examples(share: float) -> settings:
    """The profile's number of examples times `share`."""
    return settings(max_examples=max(1, round(share * settings.default.max_examples)))
