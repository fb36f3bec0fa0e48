"""Runs benchmarks and records them: `run.py [names ...] [--quick]`; quick ones are small and leave no record."""

import argparse
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the models of the tests

BENCHMARKS = ("per_core", "frame_grammar", "against_flash", "linear_in_length", "precision")
GPU = ("gpu_batch", "gpu_small", "gpu_chromosome", "gpu_frame_grammar", "gpu_memory", "gpu_scaling", "gpu_decode")


def main() -> int:
    """Exit code: 1 where the gate is red or something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join((*BENCHMARKS, *GPU))
    parser.add_argument("names", nargs="*", help=f"any of: {names}; by default all that this machine can run")
    parser.add_argument("--quick", action="store_true", help="small inputs, nothing is recorded")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="where records go; by default results/")
    parser.add_argument("--revision", help="what is measured, where git cannot tell")
    options = parser.parse_args()
    unknown = set(options.names) - {*BENCHMARKS, *GPU}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {names}")

    from device import facts, present
    from gate import red, red_there
    from measure import machine
    from record import RESULTS, record, show

    chosen = options.names or (*BENCHMARKS, *(GPU if present() else ()))
    if not present():
        for name in set(chosen) & set(GPU):
            print(f"{name}: needs a CUDA device, skipped")
        chosen = [name for name in chosen if name not in GPU]
        if not chosen:
            return 0
    begun = time.perf_counter()
    wrong = red() + (red_there() if set(chosen) & set(GPU) else [])
    if wrong:
        print("gate: red, nothing is timed", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    print(f"gate: green after {time.perf_counter() - begun:.0f} s", flush=True)
    failed = 0
    for name in chosen:
        begun = time.perf_counter()
        benchmark = import_module(name)
        print(f"{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
        context, rows = machine(), []
        if name in GPU:
            context |= facts()
        if options.revision:
            context["semiseg"] = options.revision
        try:
            for row in benchmark.run(options.quick):
                print(show(row), flush=True)
                rows.append(row)
                failed += "failed" in row
                if not options.quick:  # each time: whatever stops the run later on, this is kept
                    record(name, context, rows, options.into or RESULTS)
        except Exception:
            traceback.print_exc()
            failed += 1
        if rows and not options.quick:
            print(f"  recorded in {name}.csv after {time.perf_counter() - begun:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
