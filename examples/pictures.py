"""The pictures of a run, drawn with matplotlib: the learning curves, and a sheet of the images that were misread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure  # no pyplot: no window, no global state
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

TRAIN, TEST, FAINT = "tab:blue", "tab:orange", "0.6"


class Mistake(NamedTuple):
    """A misread image: its pixels (H, W), its label, and what the model took it for, with which probability."""

    image: list[list[float]]
    label: int
    guess: int
    probability: float


def curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss and accuracy after each epoch, on the training and on the test set."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for name, color in (("train", TRAIN), ("test", TEST)):
            values = [row[f"{name}_{quantity}"] for row in history]
            axes.plot(epochs, values, ".-" if len(epochs) <= 30 else "-", color=color, label=name)
        axes.set(title=quantity.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    loss, accuracy = figure.axes
    loss.set_ylim(bottom=0)
    loss.legend(frameon=False)
    accuracy.axhline(0.9, color=FAINT, linestyle="--", linewidth=1)
    accuracy.text(0.99, 0.9, "90 %", color=FAINT, ha="right", va="bottom", transform=accuracy.get_yaxis_transform())
    accuracy.set_ylim(top=1)
    accuracy.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
    figure.savefig(path, dpi=150)


def sheet(mistakes: Sequence[Mistake], count: int, classes: Sequence[str], path: Path, most: int = 40) -> None:
    """The first mistakes as images, each with its label, what it was taken for, and with which probability."""
    shown = mistakes[:most]
    columns = 8
    rows = max(1, -(-len(shown) // columns))
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    figure = Figure(figsize=(1.3 * columns, 1.75 * rows + 0.5), layout=layout)
    title = f"{len(mistakes):,} of {count:,} test images misread"
    if len(mistakes) > most:
        title += f"; the {most} of which the model was surest"
    figure.suptitle(title, fontsize=13)
    tiles = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in tiles:
        axes.set_axis_off()
    for axes, mistake in zip(tiles, shown):
        axes.imshow(mistake.image, cmap="gray_r", vmin=0, vmax=1)
        truth, guess = classes[mistake.label], classes[mistake.guess]
        axes.set_title(f"is {truth}\nread as {guess}, {100 * mistake.probability:.0f} %", fontsize=9)
    figure.savefig(path, dpi=150)
