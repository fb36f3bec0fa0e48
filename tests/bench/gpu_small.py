"""One short sequence, T = 1,000, on the GPU and on the CPU of the same machine; no slower is the bar.

`gpu` is what a user gets whose tensors are there, once the same has come so often that it is recorded; `kernels` is
what earlier calls would take if none of them went to the CPU.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from semiseg.bench.device import measured, pairs, plan_of, row, tried
from semiseg.bench.device_models import informative_there, training_step
from semiseg.bench.gate import on_kernels
from semiseg.bench.record import Row
from semiseg.kernels import Potentials, viterbi
from semiseg.kernels.devices import moved


def run(quick: bool) -> Iterator[Row]:
    """A row per shape, operation and place; the CPU with one thread and with all, of which the faster one counts."""
    from semiseg.kernels.gpu.steps import VERY_OFTEN

    T = 1000
    threads = torch.get_num_threads()
    for K, C in ((30, 4), (100, 24)):
        there = informative_there(T, C, K, 1)
        here = moved(there, "cpu")
        works: dict[str, tuple[int, str, Callable[..., Callable[[], Any]]]] = {
            "forward + backward": (3, "fma", training_step),
            "viterbi": (1, "max", decode),
        }
        for operation, (passes, unit, make) in works.items():
            shape: Row = {"operation": operation, "B": 1, "T": T, "K": K, "C": C}
            best = float("inf")
            for n in sorted({1, threads}):

                def time_here(n: int = n, make: Any = make, here: Potentials = here) -> Row:
                    m = measured(make(here, threads=n), quick)
                    return {**m.timing._asdict(), "runs": m.runs, "first_s": m.first_s}

                found = tried({**shape, "place": "cpu", "threads": n}, time_here)
                best = min(best, found.get("median_s", best))
                yield found

            def time_there(make: Any = make, there: Potentials = there, passes=passes, unit=unit, best=best) -> Row:
                work = make(there)
                for _ in range(VERY_OFTEN):
                    work()
                m = measured(work, quick)
                plan = plan_of(there, 1 if unit == "max" else 2)
                times = {"times_as_fast_as_cpu": best / m.timing.median_s}
                return {**row(m, plan, pairs(T, there.longest), passes, unit), **times}

            yield tried({**shape, "place": "gpu", "threads": ""}, time_there)
            with on_kernels():
                yield tried({**shape, "place": "kernels", "threads": ""}, time_there)


def decode(potentials: Potentials, **options: Any) -> Callable[[], Any]:
    """What finds the best segmentation."""
    return lambda: viterbi(potentials, **options)
