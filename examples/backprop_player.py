"""Lesson 3: see backprop happen, one real training step on handwritten digits in one HTML page.

    python examples/backprop_player.py --out step.html

A small network predicts a batch of the bundled digits. The loss, the backward pass with every gradient, the update and
the reset are recorded and written as a page that works offline: open it in a browser. Space plays, the arrow keys step.
"""

from __future__ import annotations

from pathlib import Path

from support.cli import LessonError, Parser, add_common, choose_device, float_in_range, int_in_range, run_lesson

import minigrad as mg
from minigrad import data, nn, optim, viz
from minigrad.nn import functional as F


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("step.html"), metavar="FILE", help="default step.html")
    parser.add_argument(
        "--hidden", type=int_in_range(1, 1024), default=16, metavar="N", help="units in the hidden layer (16)"
    )
    parser.add_argument(
        "--batch-size", type=int_in_range(1, 1024), default=12, metavar="N", help="images in the batch (12)"
    )
    parser.add_argument("--lr", type=float_in_range(above=True), default=0.5, help="learning rate (0.5)")
    add_common(parser)
    options = parser.parse_args()
    device = choose_device(options)
    if options.out.is_dir():
        raise LessonError(f"--out: expected a file to write, got the folder {options.out}")

    mg.manual_seed(options.seed)
    digits = data.Digits(train=True)
    batches = data.DataLoader(digits.to(device), options.batch_size, shuffle=True, seed=options.seed)
    images, labels = next(iter(batches))
    layers = {"flatten": nn.Flatten(), "hidden": nn.Linear(64, options.hidden), "relu": nn.ReLU()}
    model = nn.Sequential({**layers, "out": nn.Linear(options.hidden, 10)}).to(device)
    optimizer = optim.SGD(model.parameters(), lr=options.lr)

    # The loss of each sample, then their mean: two ops instead of the one of reduction="mean", to show them separately.
    loss = F.cross_entropy(model(images), labels, reduction="none").mean()
    before = loss.item()
    page = viz.player(loss, model, optimizer, options.out, image=(8, 8), heading="One training step on digits")
    after = F.cross_entropy(model(images), labels).item()

    print(f"{options.out}: {page.frames} frames of one training step on {len(images)} digits. Open it in a browser.")
    print(f"Frame {page.batch_frame} shows why the gradient of a bias is a sum over the batch.")
    print(f"The loss of these digits was {before:.3f}; after the step it is {after:.3f}.")


if __name__ == "__main__":
    run_lesson(main)
