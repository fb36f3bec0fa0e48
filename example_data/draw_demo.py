"""Draws demo.svg: the example signal, its best segmentation and the posterior of every state.

    python example_data/draw_demo.py

writes it beside the data.
"""

from pathlib import Path

import torch

from semiseg.demo import EXAMPLE, STATES, make_potentials, read_signal
from semiseg.kernels import marginals, viterbi

HERE = Path(__file__).parent
COLOURS = ("#c0504d", "#b8bec6", "#2f7d5b")
WIDTH, SIGNAL, CALLS, POSTERIOR, GAP, LEFT = 900, 130, 22, 90, 14, 80


def main() -> None:
    """Write the picture beside the data."""
    values = read_signal(EXAMPLE)
    potentials = make_potentials(values)
    best = viterbi(potentials)
    posterior = marginals(potentials, want=("position",)).position
    assert posterior is not None
    T = len(values)
    x = lambda t: LEFT + t * WIDTH / T  # noqa: E731
    low, high = float(values.min()), float(values.max())
    size = f"{LEFT + WIDTH + 10} {SIGNAL + CALLS + POSTERIOR + 3 * GAP + 10}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">'
    out = [head, '<rect width="100%" height="100%" fill="white"/>']
    top = GAP
    heights = (top + SIGNAL * (1 - (float(v) - low) / (high - low)) for v in values)
    points = " ".join(f"{x(t):.1f},{y:.1f}" for t, y in enumerate(heights))
    out.append(f'<polyline points="{points}" fill="none" stroke="#33475b" stroke-width="0.5"/>')
    out.append(f'<text x="4" y="{top + SIGNAL / 2}">signal</text>')
    top += SIGNAL + GAP
    segments = best.segments
    for start, end, label in zip(segments.start.tolist(), segments.end.tolist(), segments.label.tolist(), strict=True):
        box = f'x="{x(start):.1f}" y="{top}" width="{x(end) - x(start):.1f}" height="{CALLS}"'
        name = f"<title>{STATES[label].label} {start}-{end}</title>"
        out.append(f'<rect {box} fill="{COLOURS[label]}">{name}</rect>')
    out.append(f'<text x="4" y="{top + CALLS - 6}">segments</text>')
    top += CALLS + GAP
    below = torch.zeros(T, dtype=posterior.dtype)
    for c, colour in enumerate(COLOURS):
        above = below + posterior[:, c]
        outline = [(x(t), top + POSTERIOR * (1 - float(above[t]))) for t in range(0, T, 3)]
        outline += [(x(t), top + POSTERIOR * (1 - float(below[t]))) for t in range(0, T, 3)][::-1]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in outline)
        out.append(f'<polygon points="{points}" fill="{colour}"/>')
        below = above
    out.append(f'<text x="4" y="{top + POSTERIOR / 2}">posterior</text></svg>')
    (HERE / "demo.svg").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
