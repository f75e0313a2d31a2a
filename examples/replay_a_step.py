"""Lesson 8: a training step as a plain NumPy function.

While the shapes stay the same, every training step runs the same array operations. `mg.replay` traces them in the first
step, compiles them to a NumPy function, and calls that function from then on. Results are bit-identical.
"""

from __future__ import annotations

from typing import Any

from support.cli import Parser, add_common, choose_device, int_in_range, run_lesson

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--batch-size", type=int_in_range(1, 10**6), default=8, metavar="N", help="samples (default 8)")
    parser.add_argument("--hidden", type=int_in_range(1, 10**6), metavar="N", help="add a hidden layer of N units")
    add_common(parser)
    options = parser.parse_args()
    device = choose_device(options)
    mg.manual_seed(options.seed)

    # One Linear layer with the mean squared error, or two layers with a ReLU between them.
    n = options.hidden
    model = nn.Sequential(nn.Linear(4, n), nn.ReLU(), nn.Linear(n, 1)) if n else nn.Sequential(nn.Linear(4, 1))
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x, target = mg.rand(options.batch_size, 4, device=device), mg.rand(options.batch_size, 1, device=device)

    # `step(x, target)` does what `loss = F.mse_loss(model(x), target); loss.backward()` does. The first call traces.
    step = mg.replay(model, lambda x, target: F.mse_loss(model(x), target))
    for _ in range(3):
        loss = step(x, target)
        optimizer.step()
        optimizer.zero_grad()
    print(step.source)

    # The same step by the engine, for comparison.
    loss = step(x, target)
    replayed = [parameter.grad for parameter in model.parameters()]
    optimizer.zero_grad()
    eager = F.mse_loss(model(x), target)
    eager.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    pairs: list[tuple[Any, Any]] = [(loss, eager), *zip(replayed, gradients)]
    same = all(a.tolist() == b.tolist() for a, b in pairs)
    print(f"Loss and {len(gradients)} gradients are bit-identical to those of backward(): {same}")


if __name__ == "__main__":
    run_lesson(main)
