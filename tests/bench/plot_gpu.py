"""Draws time over T, K and C from results/gpu_scaling.csv: `plot_gpu.py [folder]`; needs matplotlib."""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

NAMES = {"T": "T, positions", "K": "K, longest explicit duration", "C": "C, labels"}
STYLES = {"semiseg": ("#0b6e4f", "o"), "flash-semicrf": ("#b3541e", "s")}


def main() -> None:
    """Writes gpu_scaling.svg beside the CSV."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("results")
    with (folder / "gpu_scaling.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["median_s"]]
    if not rows:
        sys.exit("gpu_scaling.csv holds no times")
    # the same file for the same numbers; text as paths: what shows it may lack the font
    plt.rcParams.update(
        {"svg.hashsalt": "semiseg", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
    for panel, (axis, label) in zip(panels, NAMES.items(), strict=True):
        fixed = {}
        for library, (color, marker) in STYLES.items():
            mine = sorted(
                (r for r in rows if r["library"] == library and r["over"] in (axis, "all")),
                key=lambda r: float(r[axis]),
            )
            if mine:
                fixed = {name: mine[0][name] for name in NAMES if name != axis}
                x, y = ([float(r[name]) for r in mine] for name in (axis, "median_s"))
                panel.plot(x, y, color=color, marker=marker, markersize=4, linewidth=1.5, label=library)
        panel.set(xscale="log", yscale="log", xlabel=label)
        if axis != "T":  # powers of two, written out
            ticks = sorted({int(r[axis]) for r in rows if r["library"] == "semiseg" and r["over"] in (axis, "all")})
            panel.set_xticks(ticks, [f"{n:,}" for n in ticks])
            panel.set_xticks([], minor=True)
        panel.set_title(", ".join(f"{name} = {int(value):,}" for name, value in fixed.items()), fontsize=9)
        panel.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylabel("seconds, forward + backward")
    panels[0].legend(frameon=False)
    about = rows[0]
    figure.suptitle(f"{about.get('gpu', '')}, {about['date']}", fontsize=9, x=0.99, ha="right")
    path = folder / "gpu_scaling.svg"
    figure.savefig(path, metadata={"Date": None})
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
