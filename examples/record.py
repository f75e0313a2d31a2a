"""What a run leaves in its folder: its figures in history.csv and run.json, and four pictures."""

from __future__ import annotations

import argparse
import csv
import json
import platform
from pathlib import Path
from typing import Any

import pictures
import surface

import minigrad as mg
from minigrad import backend, data, nn

COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
UNITS = 40  # of the first layer, that are drawn
SAMPLES = 256  # training images on which the loss surface is measured


class Record:
    """The folder of one run. The history is written row by row, so that a run cut short leaves what it had.

    Raises OSError where the folder cannot be made or written.
    """

    files = ("history.csv", "run.json", "curves.png", "mistakes.png", "weights.png", "surface.png")

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.files:  # nothing of an earlier run may pass for this one's
            (folder / name).unlink(missing_ok=True)
        self.folder = folder
        self.history: list[dict[str, float]] = []
        self._write_row(COLUMNS)

    def _write_row(self, row: list[Any]) -> None:
        with open(self.folder / "history.csv", "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row)

    def describe(self, options: argparse.Namespace, device: backend.device, checksums: dict[str, str]) -> None:
        """Write run.json: all that is needed to do the run again."""
        xp = backend.library(device).xp
        versions = {
            "python": platform.python_version(),
            "minigrad": mg.__version__,
            "numpy": backend.numpy.__version__,
            **({"cupy": xp.__version__} if device.type == "cuda" else {}),
        }
        text = {
            "options": {
                name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()
            },
            "versions": versions,
            "device": {"name": str(device), "hardware": hardware(device)},
            "data": {"name": options.dataset, "checksum": checksums},
        }
        (self.folder / "run.json").write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")

    def add(self, *row: float) -> None:
        """Write the figures of one epoch, in the order of COLUMNS."""
        self.history.append(dict(zip(COLUMNS, row)))
        self._write_row(list(row))

    def draw(self, model: nn.Module, train: Any, batches: data.DataLoader, options: argparse.Namespace) -> None:
        """Draw the learning curves, the test images that are misread, the first weights and the loss around them."""
        pictures.curves(self.history, self.folder / "curves.png")
        test = batches.dataset
        classes = [name.split(" - ")[0] for name in test.classes]  # MNIST's are "0 - zero" and so on
        mistakes = find_mistakes(model, batches, options.dtype)
        pictures.sheet(mistakes, len(test), classes, self.folder / "mistakes.png")

        images, labels = next(iter(data.DataLoader(train, SAMPLES)))
        units = first_weights(model, images.shape[2:])
        pictures.weights(units[:UNITS], len(units), self.folder / "weights.png")
        around = surface.measure(model, images.to(dtype=options.dtype), labels)
        pictures.landscape(around, options.lr, self.folder / "surface.png")


def hardware(device: backend.device) -> str:
    """The name of the processor."""
    if device.type != "cuda":
        return platform.processor() or platform.machine()
    name = backend.library(device).xp.cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


@mg.no_grad()
def find_mistakes(model: nn.Module, batches: data.DataLoader, dtype: str) -> list[pictures.Mistake]:
    """The images that the model misreads, those first where it was surest of itself."""
    mistakes = []
    for images, labels in batches:
        probabilities, guesses = model(images.to(dtype=dtype)).softmax(dim=1).max(dim=1)
        wrong = guesses != labels
        columns = (images[wrong][:, 0], labels[wrong], guesses[wrong], probabilities[wrong])
        mistakes += [pictures.Mistake(*entries) for entries in zip(*(column.tolist() for column in columns))]
    return sorted(mistakes, key=lambda mistake: -mistake.probability)


def first_weights(model: nn.Module, shape: tuple[int, ...]) -> list[Any]:
    """The weights of each unit of the first layer, in the shape (H, W) of an image, the largest first."""
    weight = next(model.parameters()).detach()
    sizes = (weight * weight).sum(dim=1).tolist()
    units = weight.reshape(-1, *shape).tolist()
    return [units[i] for i in sorted(range(len(units)), key=lambda i: -sizes[i])]
