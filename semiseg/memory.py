"""Memory that a command lets go of stays with it: asked for again, each of its pages would cost a fault.

glibc gives memory back to the system as soon as 128 KiB of it lie free behind all that is in use, or, of a large
piece, at once. A stream takes tens of MiB a window and lets go of them; a tenth of its CPU time went into new pages.
"""

import ctypes

# of mallopt(3): either one also ends glibc's own adjusting of both
TRIM, MAP = -1, -3
FREE = 256 << 20  # bytes behind what is in use, from which on memory goes back
LARGE = 32 << 20  # bytes of a piece that is mapped on its own; the largest that glibc takes


def keep_freed() -> None:
    """Keep freed memory in this process; other C libraries than glibc do as they do."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)
    mallopt(TRIM, FREE)
    mallopt(MAP, LARGE)
