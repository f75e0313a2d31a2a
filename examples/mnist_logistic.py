"""Lesson 2: read handwritten digits with one layer.

The model is a single Linear layer: each of the ten classes has one weight per pixel, and its score is the weighted sum
of the pixels. Softmax turns the ten scores into probabilities, and cross-entropy is -log of the probability of the true
label.
"""

from __future__ import annotations

import math
from typing import Any

from support.cli import (
    LessonError,
    Parser,
    add_common,
    add_dataset,
    choose_device,
    epoch_of_90_percent,
    float_in_range,
    int_in_range,
    open_dataset,
    progress,
    run_lesson,
)

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.nn import functional as F


@mg.no_grad()  # nothing is recorded: there will be no backward
def evaluate(model: nn.Module, batches: data.DataLoader) -> tuple[float, float]:
    """The mean loss, and the accuracy: the fraction of the images that are classified correctly."""
    loss: Any = 0
    correct: Any = 0
    for images, labels in batches:
        scores = model(images)
        loss += F.cross_entropy(scores, labels, reduction="sum")
        correct += (scores.argmax(dim=1) == labels).sum()
    count = len(batches.dataset)
    return float(loss) / count, int(correct) / count  # only here are the sums copied from the device


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--epochs", type=int_in_range(1), default=30, help="passes over the training set (default 30)")
    parser.add_argument("--batch-size", type=int_in_range(1), default=128, help="images per step (default 128)")
    parser.add_argument(
        "--lr", type=float_in_range(above=True), help="learning rate (default 0.004; 0.1 on the digits)"
    )
    add_dataset(parser)
    add_common(parser)
    options = parser.parse_args()
    device = choose_device(options)
    name, train, test = open_dataset(options)
    lr = options.lr or (0.1 if name == "digits" else 0.004)

    # The images are moved to the device once, as bytes. A DataLoader yields batches, images (batch, 1, H, W) from 0 to
    # 1 and labels (batch,), in a new order in each epoch.
    train, test = train.to(device), test.to(device)
    batches = data.DataLoader(train, options.batch_size, shuffle=True, seed=options.seed)
    test_batches = data.DataLoader(test, 2048)

    mg.manual_seed(options.seed)  # the same seed gives the same weights, so the same results
    image, _ = train[0]
    model = nn.Sequential(nn.Flatten(), nn.Linear(image.numel(), len(train.classes))).to(device)
    optimizer = optim.SGD(model.parameters(), lr=lr)  # step(): w -= lr * w.grad for every parameter

    print(f"{name}: {len(train):,} images to learn from, {len(test):,} to test on\n{model}")
    loss, accuracy = evaluate(model, test_batches)
    print(f"before training: loss {loss:.3f} (a uniform guess among ten: ln 10 = 2.303), accuracy {accuracy:.1%}\n")
    print("epoch  test loss  test accuracy")
    accuracies = []
    for epoch in range(1, options.epochs + 1):
        for images, labels in progress(batches, f"epoch {epoch}"):
            scores = model(images)  # 1. predict: (batch, 10) scores
            loss_of_batch = F.cross_entropy(scores, labels)  # 2. the loss: one number
            loss_of_batch.backward()  # 3. the gradients: each parameter's .grad
            optimizer.step()  # 4. adjust the parameters, against their gradients
            optimizer.zero_grad()  # 5. reset the gradients

        loss, accuracy = evaluate(model, test_batches)  # on images that were not used for training
        if not math.isfinite(loss):
            raise LessonError(f"the loss is {loss} after epoch {epoch}: try a smaller --lr than {lr:g}", 1)
        print(f"{epoch:5}  {loss:9.4f}  {accuracy:13.2%}", flush=True)
        accuracies.append(accuracy)
    print(f"\n{epoch_of_90_percent(accuracies, options.epochs)}")


if __name__ == "__main__":
    run_lesson(main)
