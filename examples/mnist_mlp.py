"""Lesson 4: a multilayer perceptron (MLP) that reads handwritten digits.

Between the pixels and the ten scores are hidden layers: each is a Linear layer followed by ReLU, max(x, 0). Without
ReLU the layers together would compute no more than a single one. Play with --hidden, --lr, --batch-size, --epochs and
--optimizer. --out DIR writes metrics, weights and plots; the same command with --resume continues an interrupted run,
with bit-identical results.

Loss and accuracy are measured after each epoch, on both sets; the seconds and the images/s are those of training alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from support.cli import choose_device, open_dataset, progress, run_lesson
from support.mlp_options import fill_defaults, parse_options
from support.training_run import TrainingRun

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.nn import functional as F


def build_model(sizes: list[int], dtype: str) -> nn.Sequential:
    """Flatten, then a Linear layer from each size to the next, with a ReLU between two of them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-1])  # the scores need no ReLU


def build_optimizer(model: nn.Module, options: argparse.Namespace) -> optim.Optimizer:
    lr, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        return optim.SGD(model.parameters(), lr=lr, momentum=options.momentum, weight_decay=decay)
    kind = optim.AdamW if options.optimizer == "adamw" else optim.Adam
    return kind(model.parameters(), lr=lr, weight_decay=decay)


def train_one_epoch(model: nn.Module, batches: Iterable[Any], optimizer: optim.Optimizer, dtype: str) -> None:
    """The five steps, once for each batch. Nothing is copied from the device, so it never has to wait."""
    for images, labels in batches:
        scores = model(images.to(dtype=dtype))  # 1. predict: (batch, classes) scores
        loss = F.cross_entropy(scores, labels)  # 2. the loss: one number
        loss.backward()  # 3. the gradients: each parameter's .grad
        optimizer.step()  # 4. adjust the parameters, against their gradients
        optimizer.zero_grad()  # 5. reset the gradients


@mg.no_grad()  # nothing is recorded: there will be no backward
def evaluate(model: nn.Module, batches: data.DataLoader, dtype: str) -> tuple[float, float]:
    """The mean loss, and the accuracy: the fraction of the images that are classified correctly."""
    loss: Any = 0
    correct: Any = 0
    for images, labels in batches:
        scores = model(images.to(dtype=dtype))
        loss += F.cross_entropy(scores, labels, reduction="sum")
        correct += (scores.argmax(dim=1) == labels).sum()
    count = len(batches.dataset)
    return float(loss) / count, int(correct) / count  # only here are the sums copied from the device


def main() -> None:
    options = parse_options(__doc__)
    device = choose_device(options)
    options.dataset, train, test = open_dataset(options)
    fill_defaults(options)
    run = TrainingRun(options, device, train, test)

    # The images are moved to the device once, as bytes; the DataLoaders make batches of them there.
    train, test = train.to(device), test.to(device)
    batches = data.DataLoader(train, options.batch_size, shuffle=True, seed=options.seed)
    train_batches, test_batches = data.DataLoader(train, 2048), data.DataLoader(test, 2048)

    mg.manual_seed(options.seed)  # the same seed gives the same weights, so the same results
    image, _ = train[0]
    model = build_model([image.numel(), *options.hidden, len(train.classes)], options.dtype).to(device)
    optimizer = build_optimizer(model, options)

    # Each epoch is one pass over the training set. With --resume, `started` restores model and optimizer first.
    with run.started(model, optimizer):
        for epoch in run.epochs():
            batches.epoch = epoch  # the order of the images depends on the seed and on this number
            with run.timed():
                todo = run.remaining(progress(batches, f"epoch {epoch + 1}"))  # without those before a --resume
                train_one_epoch(model, todo, optimizer, options.dtype)
            run.add(*evaluate(model, train_batches, options.dtype), *evaluate(model, test_batches, options.dtype))
    run.finish(train, test_batches)


if __name__ == "__main__":
    run_lesson(main)
