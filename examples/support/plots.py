"""The plots of a run, with matplotlib: learning curves, misread images, weights of the first layer, loss surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from matplotlib.figure import Figure  # no pyplot: no window, no global state
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from .loss_surface import Surface

TRAIN, TEST, FAINT = "tab:blue", "tab:orange", "0.6"


class Mistake(NamedTuple):
    """A misread image: its pixels (H, W), its label, the prediction, and the probability of the prediction."""

    image: list[list[float]]
    label: int
    prediction: int
    probability: float


def curves(history: Sequence[Mapping[str, float]], file: Path | BinaryIO) -> None:
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
    figure.savefig(file, dpi=150)


def tiles(title: str, count: int, columns: int, height: float) -> tuple[Figure, list[Any]]:
    """A figure 10 inches wide with axes for `count` images in rows of this height."""
    rows = max(1, -(-count // columns))
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.06, wspace=0, hspace=0)
    figure = Figure(figsize=(10, height * rows + 0.5), layout=layout)
    figure.suptitle(title, fontsize=14)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.set_axis_off()
    return figure, grid


def mistakes_sheet(
    mistakes: Sequence[Mistake], count: int, classes: Sequence[str], file: Path | BinaryIO, most: int = 40
) -> None:
    """The first mistakes as images, each with its label, the prediction and its probability."""
    shown = mistakes[:most]
    title = f"{len(mistakes):,} of {count:,} test images misread"
    if len(mistakes) > most:
        title += f"; the {most} with the highest probability"
    figure, grid = tiles(title, len(shown), 10, 1.6)
    size = 11 if max(map(len, classes)) < 4 else 7  # FashionMNIST has long names
    for axes, mistake in zip(grid, shown):
        axes.imshow(mistake.image, cmap="gray_r", vmin=0, vmax=1)
        label, prediction = classes[mistake.label], classes[mistake.prediction]
        axes.set_title(f"is {label}\nread as {prediction}\n{100 * mistake.probability:.1f} %", fontsize=size)
    figure.savefig(file, dpi=150)


def weights(units: Sequence[list[list[float]]], count: int, file: Path | BinaryIO) -> None:
    """The weights (H, W) of some of the `count` units of the first layer as images: red above 0, blue below."""
    title = f"{len(units)} of the {count:,} units of the first layer: ink on red raises a unit, ink on blue lowers it"
    figure, grid = tiles(title, len(units), 10, 1.0)
    sizes = sorted(abs(weight) for unit in units for row in unit for weight in row)
    largest = sizes[int(0.998 * (len(sizes) - 1))] or 1.0  # clip outliers, which would make all others pale
    for axes, unit in zip(grid, units):
        axes.imshow(unit, cmap="RdBu_r", vmin=-largest, vmax=largest)
    figure.savefig(file, dpi=120)


def landscape(surface: Surface, lr: float, file: Path | BinaryIO) -> None:
    """A contour map of the loss around the weights, and the loss after one step against the learning rate."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    plane, line = figure.subplots(1, 2)
    top = 2 * surface.loss
    heights = [[min(loss, 4 * top) for loss in row] for row in surface.plane]
    lowest = min(map(min, heights))
    levels = [lowest + (top - lowest) * i / 20 for i in range(21)]
    map_of_loss = plane.contourf(surface.along, surface.across, heights, levels, cmap="Blues", extend="max")
    figure.colorbar(map_of_loss, ax=plane, label="loss", format="%.3g", ticks=levels[::5])
    step = lr * surface.slope
    if 0.02 < step / surface.along[-1] <= 1:  # otherwise too small to see, or outside the map
        arrow = {"arrowstyle": "->", "color": "black", "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        plane.annotate("", (step, 0), (0, 0), arrowprops=arrow)
    plane.plot(0, 0, "o", color="black")
    plane.annotate("weights now", (0, 0), (0, 8), textcoords="offset points")
    plane.set(
        title="The loss around the weights",
        xlabel="distance against the gradient",
        ylabel="distance in a random direction",
        aspect="equal",
    )

    linear = [surface.loss - rate * surface.slope**2 for rate in surface.rates]
    stepped = [min(loss, 4 * top) for loss in surface.stepped]
    line.plot(surface.rates, stepped, color=TRAIN, label="the loss after one step")
    line.plot(surface.rates, linear, "--", color=TEST, label="first-order prediction: loss - lr · |gradient|²")
    line.axhline(surface.loss, color=FAINT, linewidth=1)
    line.text(0.01, surface.loss, "now", color=FAINT, va="bottom", transform=line.get_yaxis_transform())
    line.axvline(lr, color="0.3", linestyle=":")
    line.annotate(f" lr {lr:g}", (lr, 0.95), xycoords=line.get_xaxis_transform(), color="0.3")
    line.set(title="One more step, by its learning rate", xlabel="learning rate", ylabel="loss", xscale="log")
    line.set_ylim(0, top)
    line.spines[["top", "right"]].set_visible(False)
    line.grid(alpha=0.3)
    line.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)
    figure.savefig(file, dpi=150)
