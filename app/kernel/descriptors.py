"""How many file descriptors there are, and how many of them servers may take.

accept(2) and socket(2) return the lowest free descriptor, so a number at or above the bound means that all below it are
in use: one comparison at each accept, and nothing to count.
"""

import resource

RESERVE = 64
"""Descriptors that servers together never take, so that the page still answers when clients have taken all the rest."""


FEWEST = 2 * RESERVE
"""With fewer open files no server could ever start: what is not kept for the page is taken by the app itself."""

FEW = 1024
"""With fewer it is worth a word."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def bound() -> int:
    """The first descriptor number that no server may keep."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - RESERVE, 0) if soft != resource.RLIM_INFINITY else 2**31
