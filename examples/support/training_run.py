"""A training run around the loop of a lesson: the table of metrics, the run folder, resuming, timing, and signals."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import minigrad as mg
from minigrad import backend, data, nn, optim

from .checkpoint import Progress
from .cli import LessonError, Stopped, epoch_of_90_percent

TRAIN_LOSS, TEST_ACCURACY = 1, 4  # columns of a row of the history


class TrainingRun:
    """One run of the lesson mnist_mlp, with a folder if there is --out."""

    def __init__(self, options: argparse.Namespace, device: backend.device, train: Any, test: Any) -> None:
        self.options, self.device, self.images = options, device, len(train)
        self.classes = len(train.classes)
        self.folder = open_folder(options, device, {"train": train.checksum, "test": test.checksum})
        self.progress = Progress()
        self.saving = 0.0  # seconds of this epoch that checkpoints took
        print(f"{options.dataset}: {len(train):,} images to learn from, {len(test):,} to test on, on {device}")

    @contextmanager
    def started(self, model: nn.Module, optimizer: optim.Optimizer) -> Iterator[None]:
        """Restore model and optimizer with --resume, print the table's head; on a signal print how to continue."""
        with self.stoppable():
            self.restore(model, optimizer)
            yield

    def restore(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Restore model and optimizer with --resume, and print the head of the table."""
        self.model, self.optimizer = model, optimizer
        options = self.options
        if self.folder:
            self.progress = self.folder.restore(model, optimizer)
        self.saved_at = time.monotonic()
        count = sum(parameter.numel() for parameter in model.parameters())
        print(f"{model}\n{count:,} weights, {options.optimizer}, lr {options.lr:g}, batches of {options.batch_size}\n")
        print("epoch  train loss  train accuracy  test loss  test accuracy  seconds  images/s", flush=True)
        for row in self.progress.history:
            print_row(row, self.images)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """On Ctrl-C, SIGTERM or SIGHUP end with the command that continues the run; on any error unlock the folder."""
        try:
            yield
        except Exception:
            if self.folder:
                self.folder.release()
            raise
        except KeyboardInterrupt as error:
            where = f"in epoch {min(len(self.progress.history) + 1, self.options.epochs)}"
            signal, code = (error.signal, error.code) if isinstance(error, Stopped) else ("Ctrl-C", 130)
            message = f"stopped by {signal} {where}; {self.how_to_continue()}"
            if self.folder:
                self.folder.release()
            raise LessonError(message, code) from None

    def how_to_continue(self) -> str:
        """The command that continues this run."""
        if not self.folder:
            return "a run with --out DIR can be resumed"
        if not self.folder.resumable:
            return f"it has no checkpoint yet; to start again: {shell_command(sys.argv)}"
        words = [word for word in sys.argv if word not in ("--resume", "--overwrite")]
        return f"to continue: {shell_command([*words, '--resume'])}"

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs still to do, from 0."""
        yield from range(len(self.progress.history), self.options.epochs)

    def remaining(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of an epoch that are still to do; with --checkpoint-every, a checkpoint between two of them."""
        done = self.progress.batch
        for number, batch in enumerate(batches, 1):
            if number > done:
                yield batch
                self.progress.batch = number
                if self.folder and time.monotonic() - self.saved_at >= self.options.checkpoint_every:
                    self.save_within_epoch()

    def save_within_epoch(self) -> None:
        """Save model, optimizer and the number of batches that are done."""
        start = time.perf_counter()
        earlier = self.progress.seconds
        self.progress.seconds += start - self.saving - self.epoch_start
        self.folder.save(self.model, self.optimizer, self.progress)
        self.progress.seconds = earlier
        self.saved_at = time.monotonic()
        self.saving += time.perf_counter() - start

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the seconds of the training of an epoch, with --detect-anomaly under `detect_anomaly`."""
        self.epoch_start, self.saving = time.perf_counter(), 0.0
        with mg.detect_anomaly() if self.options.detect_anomaly else nullcontext():
            yield
        backend.library(self.device).synchronize()
        self.progress.seconds += time.perf_counter() - self.epoch_start - self.saving

    def add(self, *metrics: float) -> None:
        """Print and save an epoch: loss and accuracy on the training set, then on the test set."""
        progress = self.progress
        epoch = len(progress.history) + 1
        if not math.isfinite(metrics[0]):
            advice = f"try a smaller --lr than {self.options.lr:g}, or --detect-anomaly to find the first NaN or inf"
            raise LessonError(f"the loss is {metrics[0]} after epoch {epoch}: {advice}", 1)
        row = [float(epoch), *metrics, progress.seconds]
        self.progress = Progress([*progress.history, row])
        print_row(row, self.images)
        if self.folder:
            self.folder.save(self.model, self.optimizer, self.progress)
            self.saved_at = time.monotonic()

    def finish(self, train: Any, test_batches: data.DataLoader) -> None:
        """Print the epoch with 90 % accuracy, and write weights and plots."""
        history = self.progress.history
        chance = math.log(self.classes)  # the loss of equal probabilities
        if history[-1][TRAIN_LOSS] > chance:
            advice = f"that of equal probabilities is {chance:.4f}. Try a smaller --lr than {self.options.lr:g}."
            print(f"\nThe training diverged: its loss is {history[-1][TRAIN_LOSS]:.4f}, and {advice}")
        else:
            print(f"\n{epoch_of_90_percent((row[TEST_ACCURACY] for row in history), len(history))}")
        if self.folder:
            with self.stoppable():
                self.folder.finish(self.model, train, test_batches, self.options, self.progress)
            self.folder.release()


def open_folder(options: argparse.Namespace, device: backend.device, checksums: dict[str, str]) -> Any:
    """The folder of --out, or None. Only this needs matplotlib."""
    if not options.out:
        return None
    try:
        from .run_folder import RunFolder, describe
    except ImportError as error:
        raise LessonError(f"--out needs matplotlib for the plots ({error}): pip install matplotlib") from None
    return RunFolder(options.out, describe(options, device, checksums), options.resume, options.overwrite)


def shell_command(arguments: list[str]) -> str:
    """The command as it is typed into a shell."""
    return " ".join(["python", *map(quote, arguments)])


def quote(word: str) -> str:
    """A word for a shell. Line breaks and what the terminal cannot show are escaped as bash, zsh and ksh read it."""
    encoding = sys.stderr.encoding or "ascii"

    def shown(character: str) -> bool:
        return character.isprintable() and bool(character.encode(encoding, "ignore"))

    if all(map(shown, word)):
        return shlex.quote(word)
    escaped = (
        character
        if shown(character) and character not in "'\\"
        else "".join(rf"\x{b:02x}" for b in os.fsencode(character))
        for character in word
    )
    return f"$'{''.join(escaped)}'"


def print_row(row: list[float], images: int) -> None:
    """The metrics of an epoch of so many images, as a row of the table."""
    epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds = row
    print(
        f"{epoch:5.0f}  {train_loss:10.4f}  {train_accuracy:14.2%}  {test_loss:9.4f}  {test_accuracy:13.2%}"
        f"  {seconds:7.2f}  {images / seconds:8,.0f}",
        flush=True,
    )
