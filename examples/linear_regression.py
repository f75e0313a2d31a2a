"""Lesson 1: find a plane through a cloud of points.

The points lie on the plane y = 2 x1 - 3 x2 + 1, plus a little noise. The program starts with wrong numbers in the place
of 2, -3 and 1, and finds the right ones by gradient descent:

  a number that is too high has a positive gradient, so the step goes down;
  a number that is too low has a negative gradient, so the step goes up.
"""

from __future__ import annotations

from typing import Any

from support.cli import LessonError, Parser, add_common, choose_device, float_in_range, int_in_range, run_lesson

import minigrad as mg
from minigrad.nn import functional as F

TRUE_WEIGHTS, TRUE_BIAS = [2.0, -3.0], 1.0


def direction(gradient: float) -> str:
    """The meaning of the sign of a gradient."""
    if abs(gradient) < 0.001:
        return "just right"
    return "too high, step down" if gradient > 0 else "too low, step up"


def show(step: int, loss: Any, w: Any) -> None:
    """Print a row of the table: the weights, their gradients, and the direction of the step."""
    (w1, w2), (g1, g2) = w.tolist(), w.grad.tolist()
    row = (
        f"{step:4}  {loss.item():8.4f}  {w1:6.3f}  {g1:+8.3f} {direction(g1):19}  {w2:6.3f}  {g2:+8.3f} {direction(g2)}"
    )
    print(row, flush=True)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--points", type=int_in_range(1, 10**7), default=200, help="number of points (default 200)")
    parser.add_argument(
        "--noise", type=float_in_range(), default=0.1, help="standard deviation of the noise (default 0.1)"
    )
    parser.add_argument("--steps", type=int_in_range(1), default=50, help="steps of gradient descent (default 50)")
    parser.add_argument("--lr", type=float_in_range(above=True), default=0.1, help="learning rate (default 0.1)")
    add_common(parser)
    options = parser.parse_args()
    device = choose_device(options)
    mg.manual_seed(options.seed)

    # The data: inputs x (points, 2) and targets y (points,).
    x = mg.randn(options.points, 2, device=device)
    noise = options.noise * mg.randn(options.points, device=device)
    y = x @ mg.tensor(TRUE_WEIGHTS, device=device) + TRUE_BIAS + noise

    # The model: y = x w + b. requires_grad=True: we want dL/dw and dL/db. At first w1 is too high, w2 too low.
    w = mg.tensor([5.0, -5.0], device=device, requires_grad=True)
    b = mg.tensor(0.0, device=device, requires_grad=True)

    first = 0.0
    print("step      loss      w1    dL/dw1                            w2    dL/dw2")
    for step in range(options.steps + 1):
        prediction = x @ w + b  # 1. predict
        loss = F.mse_loss(prediction, y)  # 2. the loss: the mean of (prediction - y)²
        loss.backward()  # 3. the gradients: w.grad = dL/dw and b.grad = dL/db
        if step in (0, 1, 2, 5, 10, 20) or step == options.steps:
            show(step, loss, w)
            first = loss.item() if step == 0 else first
            if not loss.item() <= 10 * first:  # also if it is NaN
                raise LessonError(f"the loss grows, each step is too long: try a smaller --lr than {options.lr:g}", 1)
        if step < options.steps:
            with mg.no_grad():  # the update is not part of the model, so it is not recorded
                w -= options.lr * w.grad  # 4. adjust: a step against the gradient lowers the loss
                b -= options.lr * b.grad
        w.grad = b.grad = None  # 5. reset: the next backward would add to these gradients

    print()
    print(f"true plane:  y = {TRUE_WEIGHTS[0]:.2f} x1 {TRUE_WEIGHTS[1]:+.2f} x2 {TRUE_BIAS:+.2f}")
    (w1, w2), b0 = w.tolist(), b.item()
    print(f"found:       y = {w1:.2f} x1 {w2:+.2f} x2 {b0:+.2f}")
    variance = options.noise**2
    print(f"The noise alone gives a loss of about {options.noise:g}² = {variance:.4f}; here it is {loss.item():.4f}.")


if __name__ == "__main__":
    run_lesson(main)
