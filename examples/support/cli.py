"""The command line of the lessons: shared options, the choice of device and data, and errors in one line.

The exit code is 0 on success, 2 for an option, a device or a file that cannot be used, 1 for a training that failed,
130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from minigrad import AnomalyError, backend, data
from minigrad.serialization import CheckpointError

DEVICES = {"numpy": "cpu", "cupy": "cuda"}
DATASETS = ["mnist", "fashion", "digits"]
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
Item = TypeVar("Item")


class LessonError(Exception):
    """Ends a lesson with a one-line message and an exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


class Stopped(KeyboardInterrupt):
    """A signal that ends the lesson as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number).name
        self.code = 128 + number


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a bad option in one line."""

    def __init__(self, lesson: str | None) -> None:
        """`lesson`: the docstring of the lesson, shown by --help."""
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(description=lesson, formatter_class=layout, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)} (--help lists the options)\n")


def one_line(message: object) -> str:
    """The message without line breaks."""
    return " ".join(str(message).splitlines())


# Types of options
def int_in_range(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """A whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            limit = f"a whole number of {least} or more" if value <= most else f"{most} at most"
            raise argparse.ArgumentTypeError(f"expected {limit}, got {text!r}")
        return value

    return parse


def float_in_range(least: float = 0.0, below: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """A finite number of `least` or more, and less than `below`; with `above`, more than `least`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least < value < below or (value == least and not above)):
            limits = f"above {least:g}" if above else f"of {least:g} or more"
            limits += f" and below {below:g}" if below < math.inf else ""
            raise argparse.ArgumentTypeError(f"expected a number {limits}, got {text!r}")
        return value

    return parse


# Options of several lessons
def add_common(parser: Parser) -> None:
    """Add --backend and --seed."""
    parser.add_argument(
        "--backend", choices=list(DEVICES), default="numpy", help="numpy: the CPU (default); cupy: a CUDA device"
    )
    parser.add_argument("--seed", type=int_in_range(0), default=0, help="seed of the random numbers (default 0)")


def add_dataset(parser: Parser) -> None:
    """Add --dataset and --data-dir."""
    parser.add_argument(
        "--dataset",
        choices=["auto", *DATASETS],
        default="auto",
        help="auto: mnist if its files exist, else digits (default)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="the folder that contains MNIST/raw/ (default: the environment variable MINIGRAD_DATA, else data)",
    )


def choose_device(options: argparse.Namespace) -> backend.device:
    """The device of --backend. Raises DeviceError if it cannot be used."""
    return backend.library(DEVICES[options.backend]).device


def open_dataset(options: argparse.Namespace) -> tuple[str, Any, Any]:
    """The name of the dataset, its training set and its test set.

    `auto` uses MNIST if its files exist, and otherwise prints that it uses the digits. Corrupt files are an error.
    """
    folder = Path(options.data_dir or os.environ.get("MINIGRAD_DATA") or "data")
    name = options.dataset
    if name != "digits" and (options.data_dir or folder.exists()):
        os.listdir(folder)  # raises an error with the reason if this is not a folder or cannot be read
    if name == "auto":
        raw = folder / "MNIST" / "raw"
        name = "mnist" if raw.is_dir() and os.listdir(raw) else "digits"
        if name == "digits":
            print(f"No MNIST in the folder {folder}: training on the bundled digits (--dataset mnist requires MNIST).")
    if name == "digits":
        return name, data.Digits(train=True), data.Digits(train=False)
    dataset = data.MNIST if name == "mnist" else data.FashionMNIST
    return name, dataset(folder, train=True), dataset(folder, train=False)


# Running a lesson
def progress(batches: Iterable[Item], label: str) -> Iterable[Item]:
    """The batches, with a progress bar on stderr if that is a terminal and tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return batches
    return tqdm(batches, desc=label, unit="batch", leave=False, disable=None)


def epoch_of_90_percent(accuracies: Iterable[float], epochs: int) -> str:
    """A sentence: the first epoch with a test accuracy of 90 %, or that none of the `epochs` had it."""
    for epoch, accuracy in enumerate(accuracies, 1):
        if accuracy >= 0.9:
            return f"90 % test accuracy was reached in epoch {epoch}."
    return f"90 % test accuracy was not reached in {epochs} epochs: try more --epochs or a larger --lr."


def describe_error(error: Exception) -> str:
    """The message of an error; for an error of the operating system, the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}"
    return str(error)


def run_lesson(lesson: Callable[[], None]) -> NoReturn:
    """Call the lesson and exit; errors that the user can fix become one line on stderr."""
    name = Path(sys.argv[0]).name
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # as stderr, for any file name
    try:
        stop_on_signals()
        lesson()
        sys.stdout.flush()
        code, message = 0, ""
    except LessonError as error:
        code, message = error.code, str(error)
    except Stopped as error:
        code, message = error.code, f"stopped by {error.signal}"
    except KeyboardInterrupt:
        code, message = 130, "stopped by Ctrl-C"
    except BrokenPipeError:  # the reader of the output, such as `head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code, message = 141, ""
    except (backend.DeviceError, data.DataError, CheckpointError, OSError) as error:
        code, message = 2, describe_error(error)
    except AnomalyError as error:
        code, message = 1, str(error)
    except MemoryError as error:
        code, message = 2, f"not enough memory: {error}; try smaller layers or batches"
    if message:
        with suppress(OSError):  # after SIGHUP there may be no terminal
            print(f"{name}: {one_line(message)}", file=sys.stderr, flush=True)
    sys.exit(code)


def stop_on_signals() -> None:
    """Raise `Stopped` on SIGTERM and SIGHUP, unless they are ignored, as by nohup."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, raise_stopped)


def raise_stopped(number: int, frame: object) -> NoReturn:
    for each in STOP_SIGNALS:  # a closing terminal may send more than one
        signal.signal(each, lambda number, frame: None)
    raise Stopped(number)
