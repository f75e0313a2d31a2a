"""Lesson 7: write an op of your own, check its gradient, and train with it.

The op is swish, y = x σ(x), an activation that is smoother than ReLU. An op is one function of arrays: it returns its
value and, for each input, its VJP, the function that maps g = dL/dy to dL/dx. That is all of backpropagation: each op
has its VJPs, and the backward pass applies them one after the other, by the chain rule.
"""

from __future__ import annotations

import math
from typing import Any

from support.cli import LessonError, Parser, add_common, choose_device, float_in_range, int_in_range, run_lesson

import minigrad as mg
from minigrad import data, gradcheck, nn, op, optim
from minigrad.nn import functional as F


# "()->()" is the shape: elementwise, one number in and one number out. xp is NumPy or CuPy, the library of the array.
@op("()->()", float_only=True)
def swish(xp: Any, x: Any) -> Any:
    """y = x σ(x), where σ(x) = 1 / (1 + e⁻ˣ)

    Gradients:
        dL/dx = g (σ + x σ (1 - σ))
    """
    s = 1 / (1 + xp.exp(-x))
    return x * s, (lambda g: g * (s + x * s * (1 - s)),)


# The same with a common mistake: by the product rule there are two terms, and the first one, σ, is missing.
@op("()->()", float_only=True)
def swish_with_a_mistake(xp: Any, x: Any) -> Any:
    """y = x σ(x)

    Gradients:
        dL/dx = g x σ (1 - σ)
    """
    s = 1 / (1 + xp.exp(-x))
    return x * s, (lambda g: g * (x * s * (1 - s)),)


class Swish(nn.Module):
    """The op as a layer."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return swish(x)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--epochs", type=int_in_range(1), default=30, help="passes over the training set (default 30)")
    parser.add_argument("--lr", type=float_in_range(above=True), default=0.2, help="learning rate (default 0.2)")
    add_common(parser)
    options = parser.parse_args()
    device = choose_device(options)
    mg.manual_seed(options.seed)
    train, test = data.Digits(train=True).to(device), data.Digits(train=False).to(device)
    batches = data.DataLoader(train, 64, shuffle=True, seed=options.seed)
    ((images, labels),) = data.DataLoader(test, len(test))  # the whole test set as one batch

    # 1. Compare the VJP with finite differences, (f(x + h) - f(x - h)) / 2h, in float64 to keep rounding errors small.
    x = mg.randn(4, 5, dtype=mg.float64, device=device, requires_grad=True)
    print(gradcheck(swish, x))  # raises an error if they differ
    print("\nThe same check of the VJP with the mistake:")
    print(gradcheck(swish_with_a_mistake, x, raise_exception=False))

    # 2. The op works in a model like any other.
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), Swish(), nn.Linear(32, 10)).to(device)
    optimizer = optim.SGD(model.parameters(), lr=options.lr)
    print(f"\n{model}\n\nepoch  test loss  test accuracy")
    for epoch in range(1, options.epochs + 1):
        for x, y in batches:
            loss = F.cross_entropy(model(x), y)  # 1. predict, 2. the loss
            loss.backward()  # 3. the gradients: the backward pass calls the VJP of swish
            optimizer.step()  # 4. adjust
            optimizer.zero_grad()  # 5. reset
        with mg.no_grad():
            scores = model(images)
            loss = F.cross_entropy(scores, labels).item()
            accuracy = mg.accuracy(scores, labels).item()
        if not math.isfinite(loss):
            raise LessonError(f"the loss is {loss} after epoch {epoch}: try a smaller --lr than {options.lr:g}", 1)
        if epoch in (1, 2, 5) or epoch % 10 == 0 or epoch == options.epochs:
            print(f"{epoch:5}  {loss:9.4f}  {accuracy:13.2%}", flush=True)


if __name__ == "__main__":
    run_lesson(main)
