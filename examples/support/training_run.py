"""A training run around the loop of a lesson: the table of metrics, the run folder, resuming, timing, and Ctrl-C."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import minigrad as mg
from minigrad import backend, data, nn, optim

from .checkpoint import History
from .cli import LessonError, epoch_of_90_percent

TEST_ACCURACY = 4  # its column in a row of the history


class TrainingRun:
    """One run of the lesson mnist_mlp, with a folder if there is --out."""

    def __init__(self, options: argparse.Namespace, device: backend.device, train: Any, test: Any) -> None:
        self.options, self.device, self.images = options, device, len(train)
        self.folder = open_folder(options)
        self.history: History = []
        self.seconds = 0.0
        if self.folder:
            self.folder.write_metadata(options, device, {"train": train.checksum, "test": test.checksum})
        print(f"{options.dataset}: {len(train):,} images to learn from, {len(test):,} to test on, on {device}")

    @contextmanager
    def started(self, model: nn.Module, optimizer: optim.Optimizer) -> Iterator[None]:
        """Restore model and optimizer with --resume, print the table's head; on Ctrl-C print how to resume."""
        self.model, self.optimizer = model, optimizer
        options = self.options
        if self.folder:
            self.folder.restore(model, optimizer)
            self.history = self.folder.history
        count = sum(parameter.numel() for parameter in model.parameters())
        print(f"{model}\n{count:,} weights, {options.optimizer}, lr {options.lr:g}, batches of {options.batch_size}\n")
        print("epoch  train loss  train accuracy  test loss  test accuracy  seconds  images/s", flush=True)
        for row in self.history:
            print_row(row, self.images)
        try:
            yield
        except KeyboardInterrupt:
            epoch = len(self.history) + 1
            raise LessonError(f"stopped by Ctrl-C in epoch {epoch}; {resume_command(options)}", 130) from None

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs still to do, from 0."""
        yield from range(len(self.history), self.options.epochs)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the seconds of the training of an epoch, with --detect-anomaly under `detect_anomaly`."""
        start = time.perf_counter()
        with mg.detect_anomaly() if self.options.detect_anomaly else nullcontext():
            yield
        backend.library(self.device).synchronize()
        self.seconds = time.perf_counter() - start

    def add(self, *metrics: float) -> None:
        """Print and save an epoch: loss and accuracy on the training set, then on the test set."""
        epoch = len(self.history) + 1
        if not math.isfinite(metrics[0]):
            advice = f"try a smaller --lr than {self.options.lr:g}, or --detect-anomaly to find the first NaN or inf"
            raise LessonError(f"the loss is {metrics[0]} after epoch {epoch}: {advice}", 1)
        self.history.append([epoch, *metrics, self.seconds])
        print_row(self.history[-1], self.images)
        if self.folder:
            self.folder.save_epoch(self.model, self.optimizer)

    def finish(self, train: Any, test_batches: data.DataLoader) -> None:
        """Print the epoch with 90 % accuracy, and write weights and plots."""
        print(f"\n{epoch_of_90_percent((row[TEST_ACCURACY] for row in self.history), len(self.history))}")
        if self.folder:
            self.folder.finish(self.model, train, test_batches, self.options)


def open_folder(options: argparse.Namespace) -> Any:
    """The folder of --out, or None. Only this needs matplotlib."""
    if not options.out:
        return None
    try:
        from .run_folder import RunFolder
    except ImportError as error:
        raise LessonError(f"--out needs matplotlib for the plots ({error}): pip install matplotlib") from None
    return RunFolder(options.out, options.resume)


def resume_command(options: argparse.Namespace) -> str:
    """The command that continues this run."""
    if not options.out:
        return "a run with --out DIR can be resumed"
    command = shlex.join(["python", *(word for word in sys.argv if word != "--resume"), "--resume"])
    return f"to continue: {command}"


def print_row(row: list[float], images: int) -> None:
    """The metrics of an epoch of so many images, as a row of the table."""
    epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds = row
    print(
        f"{epoch:5.0f}  {train_loss:10.4f}  {train_accuracy:14.2%}  {test_loss:9.4f}  {test_accuracy:13.2%}"
        f"  {seconds:7.2f}  {images / seconds:8,.0f}",
        flush=True,
    )
