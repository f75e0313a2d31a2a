"""The folder of a run (--out): metrics, options, a checkpoint to resume from, the weights, and four plots."""

from __future__ import annotations

import argparse
import csv
import errno
import hashlib
import io
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import backend, data, nn, optim
from minigrad.files import reading, write_atomically
from minigrad.serialization import CheckpointError, load_with_notes

from . import checkpoint, loss_surface, plots
from .checkpoint import COLUMNS, Progress
from .cli import LessonError
from .lock import FolderLock

PLOTTED_UNITS = 40  # of the first layer
SURFACE_SAMPLES = 256  # training images on which the loss surface is computed
NOT_OF_THE_RUN = {"resume", "overwrite", "checkpoint_every"}  # options of a command, not of the run
MAY_CHANGE = {"epochs", "out", "data_dir", "detect_anomaly"}  # options that do not affect the results of an epoch
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}  # full, read-only or broken

CHECKPOINT, METADATA, HISTORY = "checkpoint.safetensors", "run.json", "history.csv"
RESULTS = ("weights.safetensors", "curves.png", "mistakes.png", "weights.png", "surface.png")  # of a finished run
FILES = (CHECKPOINT, HISTORY, METADATA, *RESULTS)


class RunFolder:
    """The folder of one run, locked until `finish` or the end of the process.

    Every epoch is written when it ends. The files of an earlier run are replaced only after the first checkpoint of
    this one is on the disk, and only those that the earlier run wrote, or that `overwrite` permits. If the disk is full
    or read-only, a message says so and the training continues.

    Args:
        folder: is created if there is none.
        metadata: see `describe`.
        resume: continue the run in the folder, or start one if there is none.
        overwrite: replace a run, or files of the same names.

    Raises:
        LessonError: another process has the folder, or it contains a run or other files that would be replaced, or a
            run with other options or data.
        CheckpointError: the checkpoint is corrupt.
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, metadata: dict[str, Any], resume: bool, overwrite: bool) -> None:
        self.folder = folder
        self.checkpoint = folder / CHECKPOINT
        self.metadata = {**metadata, "run": os.urandom(8).hex(), "files": list(FILES)}
        self.unwritten: dict[str, str] = {}  # file name -> reason
        self.state: checkpoint.State | None = None  # to be restored
        self.stale: list[str] = []  # results of before, which the first checkpoint makes obsolete
        self.protected = False  # the files belong to another run, as long as there is no checkpoint of this one
        self.described = False  # run.json is that of this run
        self.lock: FolderLock | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = FolderLock(folder)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            message = f"{folder} cannot be prepared ({error.strerror}); the training continues"
            print(message, file=sys.stderr, flush=True)
        try:
            self.replaced = self._read_metadata(overwrite)  # what run.json contains now
            self._check_files(resume, overwrite)
            if resume and self.checkpoint.exists():
                self._load()
            elif not self.protected:
                self._write_metadata()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let other processes use the folder."""
        if self.lock:
            self.lock.release()

    # What is in the folder
    def _read_metadata(self, overwrite: bool) -> Any:
        """The content of run.json, None if there is none. Raises LessonError if it is corrupt."""
        path = self.folder / METADATA
        if not os.path.lexists(path):
            return None
        try:
            with reading(path) as file:
                return json.loads(file.read())
        except (RecursionError, ValueError) as error:
            if overwrite:
                return None
            raise LessonError(f"{path} is corrupt ({error}): choose another --out to start again") from None

    def _check_files(self, resume: bool, overwrite: bool) -> None:
        """Raise LessonError if the run may not replace the files in the folder."""
        present = [name for name in FILES if os.path.lexists(self.folder / name)]
        listed = self.replaced.get("files") if isinstance(self.replaced, dict) else None
        foreign = [name for name in present if not (isinstance(listed, list) and name in listed)]
        if foreign and not overwrite:
            raise LessonError(
                f"{self.folder} contains {', '.join(foreign)}, but not of a run: "
                "choose another --out, or add --overwrite to replace"
            )
        finished = "weights.safetensors" in present
        if (finished or CHECKPOINT in present) and not (resume or overwrite):
            raise LessonError(
                f"{self.folder} contains {'a finished' if finished else 'an unfinished'} run: add --resume to continue "
                "it, or --overwrite to replace it, or choose another --out"
            )
        if resume and CHECKPOINT not in present:
            print(f"No checkpoint in {self.folder}: starting a run.")
        self.stale = [name for name in RESULTS if name in present]
        self.protected = overwrite and bool(present)

    def _load(self) -> None:
        """Read the checkpoint. Raises LessonError unless options and data are those of this command."""
        state, notes = load_with_notes(self.checkpoint)
        before = notes.get("run")
        parts = ("options", "versions", "device", "data")
        if not (isinstance(before, dict) and all(isinstance(before.get(part), dict) for part in parts)):
            raise CheckpointError(f"{self.checkpoint} is not a checkpoint of this run: it has no description of a run")
        if self.replaced not in (before, None) and digest(self.replaced) != notes.get("replaces"):
            raise LessonError(
                f"{self.folder / METADATA} is corrupt, or not of the run of {self.checkpoint}: "
                "choose another --out to start again"
            )
        for name, value in self.metadata["options"].items():
            if name not in MAY_CHANGE and before["options"].get(name) != value:
                option = f"--{name.replace('_', '-')}"
                was, now = as_typed(before["options"].get(name)), as_typed(value)
                raise LessonError(f"the run in {self.folder} has {option} {was}, this command {now}")
        if before["data"] != self.metadata["data"]:
            raise LessonError(f"the run in {self.folder} used other data: the checksums differ")
        found = {**before["versions"], **before["device"]}
        changes = [
            f"{name} {found.get(name)} before, {value} now"
            for name, value in {**self.metadata["versions"], **self.metadata["device"]}.items()
            if found.get(name) != value
        ]
        if changes:
            print(f"results may not be bit-identical: {'; '.join(changes)}", file=sys.stderr, flush=True)
        self.metadata["run"] = before.get("run")
        self.described = self.replaced == self.metadata
        self.state = state

    @property
    def resumable(self) -> bool:
        """Whether the checkpoint in the folder is of this run."""
        return not self.protected and self.checkpoint.exists()

    def restore(self, model: nn.Module, optimizer: optim.Optimizer) -> Progress:
        """Restore model and optimizer from the checkpoint, if one is to be resumed. Raises CheckpointError."""
        if self.state is None:
            return Progress()
        progress = checkpoint.restore(self.checkpoint, self.state, model, optimizer)
        done, epochs = len(progress.history) + (progress.batch > 0), self.metadata["options"]["epochs"]
        if done > epochs:
            raise LessonError(f"the run in {self.folder} is in epoch {done} already: add --epochs {done} or more")
        self.state = None
        self._write_history(progress)
        return progress

    # Writing
    def save(self, model: nn.Module, optimizer: optim.Optimizer, progress: Progress) -> None:
        """Write the checkpoint, then what depends on it."""
        notes = {"run": self.metadata, "replaces": digest(self.replaced)}
        self._write(CHECKPOINT, lambda path: checkpoint.save(path, model, optimizer, progress, notes))
        if CHECKPOINT not in self.unwritten:
            self.protected = False
            for name in self.stale:
                self._write(name, lambda path: path.unlink(missing_ok=True))
            self.stale = []
        if not self.described:
            self._write_metadata()
        self._write_history(progress)
        if self.unwritten:
            print(f"{self._unwritten_files()}; the training continues", file=sys.stderr, flush=True)

    def finish(
        self, model: nn.Module, train: Any, batches: data.DataLoader, options: argparse.Namespace, progress: Progress
    ) -> None:
        """Write the weights; plot learning curves, misread test images, first weights and loss surface."""
        self._write("weights.safetensors", lambda path: mg.save(model.state_dict(), path))
        self._plot("curves.png", lambda file: plots.curves([dict(zip(COLUMNS, row)) for row in progress.history], file))
        test = batches.dataset
        classes = [name.split(" - ")[0] for name in test.classes]  # MNIST's are "0 - zero" and so on
        mistakes = find_mistakes(model, batches, options.dtype)
        self._plot("mistakes.png", lambda file: plots.mistakes_sheet(mistakes, len(test), classes, file))

        images, labels = next(iter(data.DataLoader(train, SURFACE_SAMPLES)))
        units = first_weights(model, images.shape[2:])
        self._plot("weights.png", lambda file: plots.weights(units[:PLOTTED_UNITS], len(units), file))
        surface = loss_surface.measure(model, images.to(dtype=options.dtype), labels)
        self._plot("surface.png", lambda file: plots.landscape(surface, options.lr, file))
        written = [name for name in FILES[1:] if name not in self.unwritten]
        if written:
            print(f"Written to {self.folder}: {', '.join(written)}")
        if self.unwritten:
            raise LessonError(f"the training is done, but {self._unwritten_files()}", 1)

    def _plot(self, name: str, plot: Callable[[io.BytesIO], None]) -> None:
        """Write the image that `plot` draws."""
        file = io.BytesIO()
        plot(file)
        self._write(name, lambda path: write_atomically(path, file.getvalue()))

    def _write_metadata(self) -> None:
        content = json.dumps(self.metadata, indent=2) + "\n"
        self._write(METADATA, lambda path: write_atomically(path, content.encode()))
        if METADATA not in self.unwritten:
            self.replaced, self.described = self.metadata, True

    def _write_history(self, progress: Progress) -> None:
        text = io.StringIO(newline="")
        rows = [[int(row[0]), *row[1:]] for row in progress.history]
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        self._write(HISTORY, lambda path: write_atomically(path, text.getvalue().encode()))

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        """Call `write` with the path of that file; an OSError is stored in `unwritten`, not raised."""
        if self.protected and name != CHECKPOINT:
            self.unwritten[name] = self.unwritten.get(CHECKPOINT, "there is no checkpoint yet")
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / name)
            self.unwritten.pop(name, None)
        except OSError as error:
            self.unwritten[name] = error.strerror or str(error)

    def _unwritten_files(self) -> str:
        reasons = "; ".join(dict.fromkeys(self.unwritten.values()))
        return f"{', '.join(self.unwritten)} could not be written to {self.folder}: {reasons}"


def describe(options: argparse.Namespace, device: backend.device, checksums: dict[str, str]) -> dict[str, Any]:
    """The content of run.json: options, versions and data, to reproduce the run."""
    blas = backend.numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    versions = {
        "python": platform.python_version(),
        "minigrad": mg.__version__,
        "numpy": backend.numpy.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        **({"cupy": backend.library(device).xp.__version__} if device.type == "cuda" else {}),
    }
    return {
        "options": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(options).items()
            if name not in NOT_OF_THE_RUN
        },
        "versions": versions,
        "device": {"name": str(device), "hardware": hardware(device)},
        "data": {"name": options.dataset, "checksum": checksums},
    }


def digest(metadata: Any) -> str:
    """SHA-256 of the content of a run.json."""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


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
