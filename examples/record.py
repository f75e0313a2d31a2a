"""What a run leaves in its folder: its figures and options, a checkpoint to go on from, its weights, four pictures."""

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

import pictures
import resume
import surface
from command_line import Stop
from resume import History

import minigrad as mg
from minigrad import backend, data, nn, optim
from minigrad.serialization import TEMPORARY_SUFFIX, write_atomically

COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
UNITS = 40  # of the first layer, that are drawn
SAMPLES = 256  # training images on which the loss surface is measured
MAY_CHANGE = {"epochs", "out", "data_dir", "detect_anomaly"}  # options that leave the bits of an epoch alone
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}  # full, read-only or broken


class Record:
    """The folder of one run. What an epoch adds is written at once, so a run cut short leaves what it had.

    With `resume` the run that is there goes on; where there is none, it begins. Raises Stop where the folder holds a
    run that is not finished and `resume` was not asked for, or a run of other options; OSError where it cannot be used.
    A disk that is full or read-only is told, and the training goes on.
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
        self.unwritten: dict[str, str] = {}  # name of a file: why
        if self.checkpoint.exists() and not resume and not (folder / "weights.safetensors").exists():
            raise Stop(
                f"{folder} holds a run that is not finished: add --resume to go on with it, or choose another --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in () if resume else ("checkpoint.safetensors", *self.files):
                (folder / name).unlink(missing_ok=True)  # nothing of an earlier run may pass for this one's
            for stray in folder.glob(f"*{TEMPORARY_SUFFIX}"):  # of a run that was killed
                stray.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in DISK:
                raise
            reason = f"{folder} cannot be made ready ({error.strerror}); the training goes on"
            print(reason, file=sys.stderr, flush=True)

    def describe(self, options: argparse.Namespace, device: backend.device, checksums: dict[str, str]) -> None:
        """Write run.json: all that is needed to do the run again. To go on with a run its options must be the same."""
        xp = backend.library(device).xp
        versions = {
            "python": platform.python_version(),
            "minigrad": mg.__version__,
            "numpy": backend.numpy.__version__,
            **({"cupy": xp.__version__} if device.type == "cuda" else {}),
        }
        text = {
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
            self._compare(text)
        content = json.dumps(text, indent=2) + "\n"
        self._write("run.json", lambda path: write_atomically(path, content.encode()))

    def _compare(self, text: dict[str, Any]) -> None:
        """Raise Stop where the run in the folder has other options or data than this one."""
        path = self.folder / "run.json"
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            options, data = before["options"], before["data"]
        except (KeyError, TypeError, ValueError) as error:
            raise Stop(f"{path} is damaged ({error!r}): choose another --out to begin anew") from None
        for name, value in text["options"].items():
            if name not in MAY_CHANGE and options.get(name) != value:
                option = f"--{name.replace('_', '-')}"
                raise Stop(
                    f"the run in {self.folder} has {option} {show(options.get(name))}, this command {show(value)}"
                )
        if data != text["data"]:
            raise Stop(f"the run in {self.folder} learned from other data: its checksums differ")

    def go_on(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Put model and optimizer where the last checkpoint is, if there is one. Raises CheckpointError."""
        if self.checkpoint.exists():
            self.history = resume.load(self.checkpoint, model, optimizer)
            self._write_history()
            for name in self.files[2:]:  # of the epoch where it ended; they are made anew
                self._write(name, lambda path: path.unlink(missing_ok=True))

    def add(self, row: list[float], model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Keep an epoch: its figures, in the order of COLUMNS, and all that the next one depends on."""
        self.history.append(row)
        self._write("checkpoint.safetensors", lambda path: resume.save(path, model, optimizer, self.history))
        self._write_history()
        if self.unwritten:
            print(f"{self._complaint()}; the training goes on", file=sys.stderr, flush=True)

    def finish(self, model: nn.Module, train: Any, batches: data.DataLoader, options: argparse.Namespace) -> None:
        """Write the weights, and draw the learning curves, the test images that are misread, the first weights and the
        loss around them."""
        self._write("weights.safetensors", lambda path: mg.save(model.state_dict(), path))
        self._draw("curves.png", lambda file: pictures.curves([dict(zip(COLUMNS, row)) for row in self.history], file))
        test = batches.dataset
        classes = [name.split(" - ")[0] for name in test.classes]  # MNIST's are "0 - zero" and so on
        mistakes = find_mistakes(model, batches, options.dtype)
        self._draw("mistakes.png", lambda file: pictures.sheet(mistakes, len(test), classes, file))

        images, labels = next(iter(data.DataLoader(train, SAMPLES)))
        units = first_weights(model, images.shape[2:])
        self._draw("weights.png", lambda file: pictures.weights(units[:UNITS], len(units), file))
        around = surface.measure(model, images.to(dtype=options.dtype), labels)
        self._draw("surface.png", lambda file: pictures.landscape(around, options.lr, file))
        written = [name for name in self.files if name not in self.unwritten]
        if written:
            print(f"Written to {self.folder}: {', '.join(written)}")
        if self.unwritten:
            raise Stop(f"the training is done, but {self._complaint()}", 1)

    def _draw(self, name: str, draw: Callable[[io.BytesIO], None]) -> None:
        """Write the picture that `draw` gives."""
        file = io.BytesIO()
        draw(file)
        self._write(name, lambda path: write_atomically(path, file.getvalue()))

    def _write_history(self) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *([int(row[0]), *row[1:]] for row in self.history)])
        self._write("history.csv", lambda path: write_atomically(path, text.getvalue().encode()))

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        """Call `write` with the path of that file; a disk that does not take it is noted, not raised."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / name)
            self.unwritten.pop(name, None)
        except OSError as error:
            self.unwritten[name] = error.strerror or str(error)

    def _complaint(self) -> str:
        reasons = "; ".join(dict.fromkeys(self.unwritten.values()))
        return f"{self.folder} could not take {', '.join(self.unwritten)}: {reasons}"


def show(value: Any) -> str:
    """An option's value as one types it."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


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
