"""Runs benchmarks and records them: `run.py [names ...] [--quick]`; quick ones are small and leave no record."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the models of the tests

BENCHMARKS = ("per_core", "frame_grammar", "against_flash", "linear_in_length", "precision")


def main() -> int:
    """Exit code: 1 where the gate is red."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=BENCHMARKS, help=f"any of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small inputs, nothing is recorded")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")

    from gate import red
    from measure import machine
    from record import record, show

    wrong = red()
    if wrong:
        print("gate: red, nothing is timed", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    print("gate: green")
    for name in options.names:
        benchmark = import_module(name)
        print(f"{name}: {(benchmark.__doc__ or '').splitlines()[0]}")
        context, rows = machine(), []
        for row in benchmark.run(options.quick):
            print(show(row), flush=True)
            rows.append(row)
        if rows and not options.quick:
            print(f"  recorded in {record(name, context, rows).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
