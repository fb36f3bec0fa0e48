"""Memory that a long stream does not collect: what it lets go of goes back to the system."""

import ctypes

LARGE = 4 << 20  # bytes of an allocation that is the system's own, and goes back to it
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def give_back() -> None:
    """Have large allocations go back to the system as soon as they are free.

    glibc keeps those of up to 32 MB for later, between smaller ones, and finds less and less room among them: decoding
    held 1.8 GB after 25 million bases and 2.6 after some 75, of which no more was in use. New pages cost some 5 % of
    its time. Other C libraries do as they do.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
