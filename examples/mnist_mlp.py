"""Lesson 3, the main job: a multilayer perceptron (MLP) that reads handwritten digits.

Between the pixels and the ten scores lie hidden layers: each is a Linear layer and a ReLU, max(x, 0), without which the
layers together would be no more than one. Play with --hidden, --lr, --batch-size, --epochs and --optimizer; --out DIR
keeps the figures and the weights and draws the learning curves, the misread images, the first weights and the loss
surface. A run that was stopped goes on where it was, to the same bits, with the same command and --resume.

Loss and accuracy are measured after each epoch, on both sets; the seconds and the images/s are those of training alone.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

from command_line import (
    Parser,
    Stop,
    add_common,
    add_dataset,
    choose_device,
    number,
    open_dataset,
    progress,
    run,
    whole,
)

import minigrad as mg
from minigrad import backend, data, nn, optim
from minigrad.nn import functional as F

# The digits are few (1,438): smaller batches and more epochs give as many steps as they need.
EPOCHS = {"mnist": 15, "fashion": 15, "digits": 40}
BATCHES = {"mnist": 128, "fashion": 128, "digits": 32}
RATES = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}


def parse_options() -> argparse.Namespace:
    """The options of the command line; those left out that depend on others are None."""
    parser = Parser(__doc__ or "")
    parser.add_argument(
        "--hidden",
        type=whole(1, 10**6),
        nargs="+",
        default=[128, 64],
        metavar="N",
        help="sizes of the hidden layers (default 128 64)",
    )
    parser.add_argument(
        "--epochs", type=whole(1), metavar="N", help="rounds through the training set (default 15; digits 40)"
    )
    parser.add_argument("--batch-size", type=whole(1), metavar="N", help="images per step (default 128; digits 32)")
    parser.add_argument(
        "--lr", type=number(above=True), help="the learning rate (default: sgd 0.1, adam and adamw 0.001)"
    )
    parser.add_argument("--optimizer", choices=list(RATES), default="sgd", help="default sgd")
    parser.add_argument("--momentum", type=number(below=1), help="of sgd, from 0 to below 1 (default 0)")
    parser.add_argument("--weight-decay", type=number(), help="pulls the weights to 0 (default 0; adamw 0.01)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default float32")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for figures, weights and pictures")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder of --out")
    parser.add_argument(
        "--detect-anomaly", action="store_true", help="name the op and the line of the first NaN or inf (slow)"
    )
    add_dataset(parser)
    add_common(parser)
    options = parser.parse_args()
    if options.resume and not options.out:
        parser.error("argument --resume: needs --out DIR, the folder of the run to go on with")
    if options.momentum is not None and options.optimizer != "sgd":
        parser.error(f"argument --momentum: only sgd has it, and the optimizer is {options.optimizer}")
    return options


def build_model(sizes: list[int], dtype: str) -> nn.Sequential:
    """Flatten, then a Linear layer from each size to the next, with a ReLU between two of them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-1])  # the scores need no ReLU


def build_optimizer(model: nn.Module, options: argparse.Namespace) -> optim.Optimizer:
    """The optimizer of the options."""
    lr, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        return optim.SGD(model.parameters(), lr=lr, momentum=options.momentum, weight_decay=decay)
    kind = optim.AdamW if options.optimizer == "adamw" else optim.Adam
    return kind(model.parameters(), lr=lr, weight_decay=decay)


@mg.no_grad()  # nothing is recorded: there will be no backward
def evaluate(model: nn.Module, batches: data.DataLoader, dtype: str) -> tuple[float, float]:
    """The mean loss and the accuracy, the share of the images that the model reads right."""
    loss: Any = 0
    right: Any = 0
    for images, labels in batches:
        scores = model(images.to(dtype=dtype))
        loss += F.cross_entropy(scores, labels, reduction="sum")
        right += (scores.argmax(dim=1) == labels).sum()
    count = len(batches.dataset)
    return float(loss) / count, int(right) / count  # only here do the sums leave the device


def train_one_epoch(model: nn.Module, batches: Iterable[Any], optimizer: optim.Optimizer, dtype: str) -> None:
    """The five steps, once for each batch. Nothing is copied from the device, so it never has to wait."""
    for images, labels in batches:
        scores = model(images.to(dtype=dtype))  # 1. predict: (batch, classes) scores
        loss = F.cross_entropy(scores, labels)  # 2. the loss: one number
        loss.backward()  # 3. the gradients: each parameter's .grad
        optimizer.step()  # 4. adjust the parameters, against their gradients
        optimizer.zero_grad()  # 5. reset the gradients


def fill_in(options: argparse.Namespace) -> None:
    """Give the options that were left out their values, so that run.json tells what was used."""
    defaults = {
        "epochs": EPOCHS[options.dataset],
        "batch_size": BATCHES[options.dataset],
        "lr": RATES[options.optimizer],
        "momentum": 0.0,
        "weight_decay": 0.01 if options.optimizer == "adamw" else 0.0,
    }
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)


def open_record(options: argparse.Namespace) -> Any:
    """The folder of --out, ready to be written; None without it. matplotlib is needed only here."""
    if not options.out:
        return None
    try:
        from record import Record
    except ImportError as error:
        raise Stop(f"--out needs matplotlib for the pictures ({error}): pip install matplotlib") from None
    return Record(options.out, options.resume)


def how_to_resume(options: argparse.Namespace) -> str:
    """What to type to go on with this run."""
    if not options.out:
        return "a run with --out DIR can be resumed"
    command = shlex.join(["python", *(word for word in sys.argv if word != "--resume"), "--resume"])
    return f"to go on: {command}"


def print_row(row: list[float], count: int) -> None:
    """The figures of an epoch of `count` images, as a row of the table."""
    epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds = row
    print(
        f"{epoch:5.0f}  {train_loss:10.4f}  {train_accuracy:14.2%}  {test_loss:9.4f}  {test_accuracy:13.2%}"
        f"  {seconds:7.2f}  {count / seconds:8,.0f}",
        flush=True,
    )


def main() -> None:
    options = parse_options()
    device = choose_device(options)
    options.dataset, train, test = open_dataset(options)
    fill_in(options)
    record = open_record(options)
    if record:
        record.describe(options, device, {"train": train.checksum, "test": test.checksum})

    # The images go to the device once, as bytes; the DataLoaders put batches together there.
    train, test = train.to(device), test.to(device)
    batches = data.DataLoader(train, options.batch_size, shuffle=True, seed=options.seed)
    train_batches, test_batches = data.DataLoader(train, 2048), data.DataLoader(test, 2048)

    mg.manual_seed(options.seed)  # the same seed gives the same weights, so the same results
    image, _ = train[0]
    model = build_model([image.numel(), *options.hidden, len(train.classes)], options.dtype).to(device)
    optimizer = build_optimizer(model, options)
    if record:
        record.go_on(model, optimizer)

    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.dataset}: {len(train):,} images to learn from, {len(test):,} to test on, on {device}")
    print(f"{model}\n{weights:,} weights, {options.optimizer}, lr {options.lr:g}, batches of {options.batch_size}\n")
    print("epoch  train loss  train accuracy  test loss  test accuracy  seconds  images/s", flush=True)
    history = record.history if record else []
    for row in history:
        print_row(row, len(train))
    epoch = batches.epoch = len(history)  # those that are done
    try:
        while epoch < options.epochs:
            start = time.perf_counter()
            with mg.detect_anomaly() if options.detect_anomaly else nullcontext():
                train_one_epoch(model, progress(batches, f"epoch {epoch + 1}"), optimizer, options.dtype)
            backend.library(device).synchronize()
            seconds = time.perf_counter() - start  # of the training alone; both evaluations come after it

            results = evaluate(model, train_batches, options.dtype) + evaluate(model, test_batches, options.dtype)
            epoch += 1
            if not math.isfinite(results[0]):
                advice = f"try a smaller --lr than {options.lr:g}, or --detect-anomaly to see where it began"
                raise Stop(f"the loss is {results[0]} after epoch {epoch}: {advice}", 1)
            row = [epoch, *results, seconds]
            print_row(row, len(train))
            if record:
                record.add(row, model, optimizer)
            else:
                history.append(row)
    except KeyboardInterrupt:
        raise Stop(f"stopped by Ctrl-C in epoch {epoch + 1}; {how_to_resume(options)}", 130) from None

    reached = next((int(row[0]) for row in history if row[4] >= 0.9), None)
    print()
    if reached:
        print(f"90 % test accuracy was reached in epoch {reached}.")
    else:
        print(f"90 % test accuracy was not reached in {epoch} epochs: try more --epochs or a larger --lr.")
    if record:
        record.finish(model, train, test_batches, options)


if __name__ == "__main__":
    run(main)
