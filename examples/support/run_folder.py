"""The folder of a run (--out): metrics, options, a checkpoint to resume from, the weights, and four plots."""

from __future__ import annotations

import argparse
import csv
import errno
import io
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import backend, data, nn, optim
from minigrad.serialization import TEMPORARY_SUFFIX, write_atomically

from . import checkpoint, loss_surface, plots
from .checkpoint import History
from .cli import LessonError

COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
PLOTTED_UNITS = 40  # of the first layer
SURFACE_SAMPLES = 256  # training images on which the loss surface is computed
MAY_CHANGE = {"epochs", "out", "data_dir", "detect_anomaly"}  # options that do not affect the results of an epoch
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}  # full, read-only or broken


class RunFolder:
    """The folder of one run. Every epoch is written when it ends, so an interrupted run loses one epoch at most.

    With `resume` the run in the folder is continued, or started if there is none. If the disk is full or read-only, a
    message says so and the training continues.

    Raises:
        LessonError: the folder contains an unfinished run and `resume` is False, or a run with other options.
        OSError: the folder cannot be used.
    """

    files = (
        "history.csv",
        "run.json",
        "weights.safetensors",
        "curves.png",
        "mistakes.png",
        "weights.png",
        "surface.png",
    )

    def __init__(self, folder: Path, resume: bool) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint.safetensors"
        self.history: History = []
        self.unwritten: dict[str, str] = {}  # file name -> reason
        if self.checkpoint.exists() and not resume and not (folder / "weights.safetensors").exists():
            raise LessonError(
                f"{folder} contains an unfinished run: add --resume to continue it, or choose another --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in () if resume else ("checkpoint.safetensors", *self.files):
                (folder / name).unlink(missing_ok=True)  # files of an earlier run
            for temporary in folder.glob(f"*{TEMPORARY_SUFFIX}"):  # of a run that was killed
                temporary.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            message = f"{folder} cannot be prepared ({error.strerror}); the training continues"
            print(message, file=sys.stderr, flush=True)

    def write_metadata(self, options: argparse.Namespace, device: backend.device, checksums: dict[str, str]) -> None:
        """Write run.json: options, versions and data, to reproduce the run. A resumed run needs the same options."""
        xp = backend.library(device).xp
        versions = {
            "python": platform.python_version(),
            "minigrad": mg.__version__,
            "numpy": backend.numpy.__version__,
            **({"cupy": xp.__version__} if device.type == "cuda" else {}),
        }
        metadata = {
            "options": {
                name: str(value) if isinstance(value, Path) else value
                for name, value in vars(options).items()
                if name != "resume"
            },
            "versions": versions,
            "device": {"name": str(device), "hardware": hardware(device)},
            "data": {"name": options.dataset, "checksum": checksums},
        }
        if self.checkpoint.exists():
            self._check_same_run(metadata)
        content = json.dumps(metadata, indent=2) + "\n"
        self._write("run.json", lambda path: write_atomically(path, content.encode()))

    def _check_same_run(self, metadata: dict[str, Any]) -> None:
        """Raise LessonError if the run in the folder has other options or other data."""
        path = self.folder / "run.json"
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            options, data = before["options"], before["data"]
        except (KeyError, TypeError, ValueError) as error:
            raise LessonError(f"{path} is damaged ({error!r}): choose another --out to start again") from None
        for name, value in metadata["options"].items():
            if name not in MAY_CHANGE and options.get(name) != value:
                option = f"--{name.replace('_', '-')}"
                before, now = as_typed(options.get(name)), as_typed(value)
                raise LessonError(f"the run in {self.folder} has {option} {before}, this command {now}")
        if data != metadata["data"]:
            raise LessonError(f"the run in {self.folder} used other data: the checksums differ")

    def restore(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Restore model, optimizer and history from the checkpoint, if there is one. Raises CheckpointError."""
        if self.checkpoint.exists():
            self.history = checkpoint.load(self.checkpoint, model, optimizer)
            self._write_history()
            for name in self.files[2:]:  # of the epoch where that run ended; they are written again
                self._write(name, lambda path: path.unlink(missing_ok=True))

    def save_epoch(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Write the checkpoint and the history, whose rows have the order of COLUMNS."""
        self._write("checkpoint.safetensors", lambda path: checkpoint.save(path, model, optimizer, self.history))
        self._write_history()
        if self.unwritten:
            print(f"{self._unwritten_files()}; the training continues", file=sys.stderr, flush=True)

    def finish(self, model: nn.Module, train: Any, batches: data.DataLoader, options: argparse.Namespace) -> None:
        """Write the weights; plot learning curves, misread test images, first weights and loss surface."""
        self._write("weights.safetensors", lambda path: mg.save(model.state_dict(), path))
        self._plot("curves.png", lambda file: plots.curves([dict(zip(COLUMNS, row)) for row in self.history], file))
        test = batches.dataset
        classes = [name.split(" - ")[0] for name in test.classes]  # MNIST's are "0 - zero" and so on
        mistakes = find_mistakes(model, batches, options.dtype)
        self._plot("mistakes.png", lambda file: plots.mistakes_sheet(mistakes, len(test), classes, file))

        images, labels = next(iter(data.DataLoader(train, SURFACE_SAMPLES)))
        units = first_weights(model, images.shape[2:])
        self._plot("weights.png", lambda file: plots.weights(units[:PLOTTED_UNITS], len(units), file))
        surface = loss_surface.measure(model, images.to(dtype=options.dtype), labels)
        self._plot("surface.png", lambda file: plots.landscape(surface, options.lr, file))
        written = [name for name in self.files if name not in self.unwritten]
        if written:
            print(f"Written to {self.folder}: {', '.join(written)}")
        if self.unwritten:
            raise LessonError(f"the training is done, but {self._unwritten_files()}", 1)

    def _plot(self, name: str, plot: Callable[[io.BytesIO], None]) -> None:
        """Write the image that `plot` draws."""
        file = io.BytesIO()
        plot(file)
        self._write(name, lambda path: write_atomically(path, file.getvalue()))

    def _write_history(self) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *([int(row[0]), *row[1:]] for row in self.history)])
        self._write("history.csv", lambda path: write_atomically(path, text.getvalue().encode()))

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        """Call `write` with the path of that file; an OSError is stored in `unwritten`, not raised."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / name)
            self.unwritten.pop(name, None)
        except OSError as error:
            self.unwritten[name] = error.strerror or str(error)

    def _unwritten_files(self) -> str:
        reasons = "; ".join(dict.fromkeys(self.unwritten.values()))
        return f"{', '.join(self.unwritten)} could not be written to {self.folder}: {reasons}"


def as_typed(value: Any) -> str:
    """The value of an option as it is typed on the command line."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def hardware(device: backend.device) -> str:
    """The name of the processor."""
    if device.type != "cuda":
        return platform.processor() or platform.machine()
    name = backend.library(device).xp.cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


@mg.no_grad()
def find_mistakes(model: nn.Module, batches: data.DataLoader, dtype: str) -> list[plots.Mistake]:
    """The misclassified images, the most confident predictions first."""
    mistakes = []
    for images, labels in batches:
        probabilities, guesses = model(images.to(dtype=dtype)).softmax(dim=1).max(dim=1)
        wrong = guesses != labels
        columns = (images[wrong][:, 0], labels[wrong], guesses[wrong], probabilities[wrong])
        mistakes += [plots.Mistake(*entries) for entries in zip(*(column.tolist() for column in columns))]
    return sorted(mistakes, key=lambda mistake: -mistake.probability)


def first_weights(model: nn.Module, shape: tuple[int, ...]) -> list[Any]:
    """The weights of each unit of the first layer as an image (H, W), sorted by descending norm."""
    weight = next(model.parameters()).detach()
    sizes = (weight * weight).sum(dim=1).tolist()
    units = weight.reshape(-1, *shape).tolist()
    return [units[i] for i in sorted(range(len(units)), key=lambda i: -sizes[i])]
