"""Schedules to compare: every plan must give the same answer."""

from concurrent.futures import ThreadPoolExecutor

from semiseg.kernels.plan import Plan


def whole(T: int) -> Plan:
    return Plan(chunks=1, warm_up=0, panel=T, mark=T, keep=True, bytes=0)


def two(T: int) -> Plan:
    return Plan(chunks=min(2, T), warm_up=2, panel=T, mark=T, keep=True, bytes=0)


def every_position(T: int) -> Plan:
    """Return a chunk for every position, so that everything is a seam."""
    return Plan(chunks=T, warm_up=1, panel=1, mark=1, keep=True, bytes=0)


def forgetful(T: int) -> Plan:
    """Return one chunk of small panels whose scores are computed again."""
    return Plan(chunks=1, warm_up=0, panel=2, mark=1, keep=False, bytes=0)


SMALL = {"whole": whole, "two": two, "every": every_position, "forgetful": forgetful}

POOL = ThreadPoolExecutor(2)
