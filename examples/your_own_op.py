"""Lesson 4: write an op of your own, check its gradient, and train with it.

The op is swish, y = x σ(x), an activation that is smoother than ReLU. An op is one function of arrays: it returns its
value and, for each input, the rule that takes g = dL/dy, which comes from behind, to dL/dx, which goes on to the front.
That is all of backpropagation: each op knows its own rule, and the walk applies them one after the other.
"""

from __future__ import annotations

import math
from typing import Any

from command_line import Parser, Stop, add_common, choose_device, number, run, whole

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.autograd.op import op
from minigrad.nn import functional as F
from minigrad.testing import gradcheck


# "()->()" is the shape: one number in, one number out, for each element. xp is NumPy or CuPy, whichever owns the array.
@op("()->()", float_only=True)
def swish(xp: Any, x: Any) -> Any:
    """y = x σ(x), where σ(x) = 1 / (1 + e⁻ˣ)

    dL/dx = g (σ + x σ (1 - σ)), by the product rule, as dσ/dx = σ (1 - σ)
    """
    s = 1 / (1 + xp.exp(-x))
    return x * s, (lambda g: g * (s + x * s * (1 - s)),)


# The same with a mistake that is easily made: x is a factor too, and its share of the derivative is forgotten.
@op("()->()", float_only=True)
def swish_with_a_mistake(xp: Any, x: Any) -> Any:
    """y = x σ(x)

    dL/dx = g x σ (1 - σ), which is wrong
    """
    s = 1 / (1 + xp.exp(-x))
    return x * s, (lambda g: g * (x * s * (1 - s)),)


class Swish(nn.Module):
    """The op as a layer."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return swish(x)


def main() -> None:
    parser = Parser(__doc__ or "")
    parser.add_argument("--epochs", type=whole(1), default=30, help="rounds through the training set (default 30)")
    parser.add_argument("--lr", type=number(above=True), default=0.2, help="the learning rate (default 0.2)")
    add_common(parser)
    options = parser.parse_args()
    device = choose_device(options)
    mg.manual_seed(options.seed)
    train, test = data.Digits(train=True).to(device), data.Digits(train=False).to(device)
    batches = data.DataLoader(train, 64, shuffle=True, seed=options.seed)
    ((images, labels),) = data.DataLoader(test, len(test))  # the whole test set as one batch

    # 1. Does the rule agree with finite differences, (f(x + h) - f(x - h)) / 2h? In float64, or rounding would hide it.
    x = mg.randn(4, 5, dtype=mg.float64, device=device, requires_grad=True)
    print(gradcheck(swish, x))  # raises an error where they differ
    print("\nThe same check of the rule with the mistake:")
    print(gradcheck(swish_with_a_mistake, x, raise_exception=False))

    # 2. It works in a model like any other op.
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), Swish(), nn.Linear(32, 10)).to(device)
    optimizer = optim.SGD(model.parameters(), lr=options.lr)
    print(f"\n{model}\n\nepoch  test loss  test accuracy")
    for epoch in range(1, options.epochs + 1):
        for x, y in batches:
            loss = F.cross_entropy(model(x), y)  # 1. predict, 2. the loss
            loss.backward()  # 3. the gradients: the walk calls the rule of swish here
            optimizer.step()  # 4. adjust
            optimizer.zero_grad()  # 5. reset
        with mg.no_grad():
            scores = model(images)
            loss = F.cross_entropy(scores, labels).item()
            accuracy = (scores.argmax(dim=1) == labels).sum().item() / len(test)
        if not math.isfinite(loss):
            raise Stop(f"the loss is {loss} after epoch {epoch}: try a smaller --lr than {options.lr:g}", 1)
        if epoch in (1, 2, 5) or epoch % 10 == 0 or epoch == options.epochs:
            print(f"{epoch:5}  {loss:9.4f}  {accuracy:13.2%}", flush=True)


if __name__ == "__main__":
    run(main)
