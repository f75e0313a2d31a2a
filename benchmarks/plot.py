"""The plot in the README: a training step of each engine, from the tables written by training_step.py.

python benchmarks/plot.py        writes examples/images/steps.png
"""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
OUT = HERE.parent / "examples" / "images" / "steps.png"
MODELS = {"logistic": "logistic", "32": "H = 32", "128": "H = 128", "256": "H = 256", "256-128": "256 and 128"}
COLOURS = {
    "minigrad": "#1f6feb",
    "minigrad, replayed": "#74a9f5",
    "numpy by hand": "#6e7781",
    "torch": "#d9480f",
    "jax": "#8a63d2",
    "mygrad": "#2f9e44",
}


def medians(text: str, batch: int = 128, threads: int = 1) -> dict[str, dict[str, float]]:
    """By model and engine: the median microseconds of a step. Rows marked as different are left out."""
    found: dict[str, dict[str, float]] = {}
    sections = [part for part in text.split("\n## ") if re.match(rf"Training steps, numpy, {threads} thread", part)]
    for model, table in re.findall(rf"### (\S+), batch {batch}\n\n(.*?)\n\n", "".join(sections) + "\n\n", re.DOTALL):
        rows = re.findall(r"^\| ([^|]+?) \| (\d+) \|.*\| ([^|]+) \|$", table, re.MULTILINE)
        found[model] = {engine: float(us) for engine, us, accuracy in rows if "differs" not in accuracy}
    return found


def main() -> None:
    """Draw the plot."""
    found = medians((HERE / "RESULTS.md").read_text(encoding="utf-8"))
    models = [model for model in MODELS if model in found]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(COLOURS)
    for i, (engine, colour) in enumerate(COLOURS.items()):
        positions = [x + (i - len(COLOURS) / 2 + 0.5) * width for x in range(len(models))]
        heights = [found[model].get(engine, 0) for model in models]
        axes.bar(positions, heights, width * 0.92, label=engine, color=colour)
    axes.set_xticks(range(len(models)), [MODELS[model] for model in models])
    axes.set_ylabel("median µs per step")
    axes.set_title("One training step on 784 inputs, batch 128, one thread (lower is better)", fontsize=10)
    axes.legend(loc="upper left", frameon=False, ncols=2, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT, dpi=110)
    print(f"written to {OUT}")


if __name__ == "__main__":
    main()
