"""Lesson 3, on paper: one training step of a 2-2-2 network of small integers, every number checked exactly.

    python examples/backprop_by_hand.py

Two samples x with targets t go through two layers, h = relu(x W₁ᵀ + b₁) and y = h W₂ᵀ + b₂. The loss is the mean of the
squared errors. Each line has a formula, its numbers and the result. The column on the right is the same number computed
by minigrad. They are compared as fractions, so even a rounding error is an error.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

from minigrad import Tensor, float64, nn, optim, tensor
from minigrad.nn import functional as F

X = [[1, 1], [-1, -2]]  # two samples of two numbers
T = [[0, -2], [-5, 0]]  # the targets
W1, B1 = [[1, 1], [1, -1]], [-1, 1]
W2, B2 = [[-2, -1], [-1, 1]], [1, 0]
START: dict[str, Any] = {"hidden.weight": W1, "hidden.bias": B1, "out.weight": W2, "out.bias": B2}
LR = Fraction(1, 4)
SAMPLES = UNITS = range(2)


class Net(nn.Module):
    """y = relu(x W₁ᵀ + b₁) W₂ᵀ + b₂, with the numbers above."""

    def __init__(self) -> None:
        self.hidden = nn.Linear(2, 2, dtype=float64)
        self.out = nn.Linear(2, 2, dtype=float64)
        self.load_state_dict({name: tensor(start, dtype=float64) for name, start in START.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The intermediate results, by their names on paper."""
        z = self.hidden(x)
        h = z.relu()
        return {"z": z, "h": h, "y": self.out(h)}


class Sheet:
    """The sheet of paper: prints each line and compares its result with that of minigrad."""

    def __init__(self) -> None:
        self.lines = 0

    def title(self, text: str) -> None:
        """A heading."""
        print(f"\n{text}\n{'─' * len(text)}")

    def line(self, name: str, formula: str, paper: Fraction, engine: Tensor, *index: int) -> Fraction:
        """Print a name, its formula and the result. Raises SystemExit if minigrad has another number."""
        computed = Fraction(engine.detach()[index].item() if index else engine.item())
        self.lines += 1
        position = "".join(f"[{i}]" for i in index)
        print(f"  {name + position:<12} = {formula + ' = ' + str(paper):<44} minigrad: {computed}")
        if computed != paper:
            sys.exit(f"{name}{position}: on paper {paper}, minigrad computes {computed}")
        return paper


def n(value: Any) -> str:
    """A number inside a formula: in brackets if it is negative."""
    return f"({value})" if value < 0 else str(value)


def products(pairs: list[tuple[Any, Any]], *more: Any) -> str:
    """`1·2 + 3·(-1) + 1`"""
    return " + ".join([f"{n(a)}·{n(b)}" for a, b in pairs] + [n(m) for m in more])


def main() -> None:
    """The five steps of training, each on paper first."""
    model, sheet = Net(), Sheet()
    optimizer = optim.SGD(model.parameters(), lr=float(LR))
    x, t = tensor(X, dtype=float64), tensor(T, dtype=float64)
    results = model(x)
    for each in results.values():
        each.retain_grad()
    loss = F.mse_loss(results["y"], t)
    loss.backward()
    grad_of: dict[str, Any] = {name: each.grad for name, each in results.items()}
    parameters = dict(model.named_parameters())

    print(f"x = {X}   t = {T}   learning rate {LR}")
    print(f"W₁ = {W1}   b₁ = {B1}   W₂ = {W2}   b₂ = {B2}")
    print("z[0][1] is sample 0, unit 1; W₁[1][0] leads to unit 1 from input 0.")

    def dot(pairs: list[tuple[Any, Any]], *more: Any) -> Fraction:
        return sum((Fraction(a) * b for a, b in pairs), Fraction(sum(more)))

    sheet.title("1  Predict")
    print("  z = x W₁ᵀ + b₁: inputs times weights, plus the bias")
    z, h, y = ([[Fraction(0)] * 2 for _ in SAMPLES] for _ in range(3))
    for s in SAMPLES:
        for j in UNITS:
            pairs: list[tuple[Any, Any]] = list(zip(X[s], W1[j]))
            z[s][j] = sheet.line("z", products(pairs, B1[j]), dot(pairs, B1[j]), results["z"], s, j)
    print("  h = relu(z): negative numbers become 0")
    for s in SAMPLES:
        for j in UNITS:
            h[s][j] = sheet.line("h", f"max({z[s][j]}, 0)", max(z[s][j], Fraction(0)), results["h"], s, j)
    print("  y = h W₂ᵀ + b₂")
    for s in SAMPLES:
        for k in UNITS:
            pairs = list(zip(h[s], W2[k]))
            y[s][k] = sheet.line("y", products(pairs, B2[k]), dot(pairs, B2[k]), results["y"], s, k)

    sheet.title("2  Loss")
    errors = [(y[s][k], T[s][k]) for s in SAMPLES for k in UNITS]
    print("  L = the mean of (y - t)², four of them")
    squares = " + ".join(f"{n(a - b)}²" for a, b in errors)
    sheet.line("L", f"({squares}) / 4", sum(((a - b) ** 2 for a, b in errors), Fraction(0)) / 4, loss)

    sheet.title("3  Gradients: the backward pass")
    dy, dh, dz = ([[Fraction(0)] * 2 for _ in SAMPLES] for _ in range(3))
    print("  dL/dy = 2 (y - t) / 4")
    for s in SAMPLES:
        for k in UNITS:
            value = (y[s][k] - T[s][k]) * 2 / 4
            dy[s][k] = sheet.line("dL/dy", f"2·({y[s][k]} - {n(T[s][k])}) / 4", value, grad_of["y"], s, k)
    gradients: dict[str, Any] = {name: p.grad for name, p in parameters.items()}
    paper: dict[str, Any] = {}

    def layer(weight: str, bias: str, number: str, g: list[list[Fraction]], into: list[list[Any]], g_name: str) -> None:
        print(f"  dL/dW{number} = {g_name} times the inputs, summed over the samples")
        paper[weight] = [[Fraction(0)] * 2 for _ in UNITS]
        for k in UNITS:
            for j in UNITS:
                pairs = [(g[s][k], into[s][j]) for s in SAMPLES]
                paper[weight][k][j] = sheet.line(f"dL/dW{number}", products(pairs), dot(pairs), gradients[weight], k, j)
        print(f"  dL/db{number} = {g_name} summed over the samples: the bias was used once for each")
        paper[bias] = [
            sheet.line(f"dL/db{number}", f"{g[0][k]} + {n(g[1][k])}", g[0][k] + g[1][k], gradients[bias], k)
            for k in UNITS
        ]

    layer("out.weight", "out.bias", "₂", dy, h, "dL/dy")
    print("  dL/dh = dL/dy W₂: h[s][j] was used in both outputs, so two contributions are added")
    for s in SAMPLES:
        for j in UNITS:
            pairs = [(dy[s][k], W2[k][j]) for k in UNITS]
            dh[s][j] = sheet.line("dL/dh", products(pairs), dot(pairs), grad_of["h"], s, j)
    print("  dL/dz = dL/dh if z > 0, else 0: the gradient of a unit with z < 0 is 0")
    for s in SAMPLES:
        for j in UNITS:
            on = z[s][j] > 0
            formula = f"(z is {z[s][j]}) {n(dh[s][j])}·{int(on)}"
            dz[s][j] = sheet.line("dL/dz", formula, dh[s][j] if on else Fraction(0), grad_of["z"], s, j)
    layer("hidden.weight", "hidden.bias", "₁", dz, X, "dL/dz")

    sheet.title("4  Adjust: w - learning rate · gradient")
    optimizer.step()
    symbols = {"hidden.weight": "W₁", "hidden.bias": "b₁", "out.weight": "W₂", "out.bias": "b₂"}
    for name, parameter in parameters.items():
        positions = [(k, j) for k in UNITS for j in UNITS] if name.endswith("weight") else [(k,) for k in UNITS]
        for index in positions:
            w, g = START[name], paper[name]
            for i in index:
                w, g = w[i], g[i]
            sheet.line(symbols[name], f"{w} - {LR}·{n(g)}", w - LR * g, parameter, *index)

    sheet.title("5  Reset")
    optimizer.zero_grad()
    if any(parameter.grad is not None for parameter in parameters.values()):
        sys.exit("a gradient was not reset")
    print("  All gradients are None again; the next backward would add to them.")
    after = F.mse_loss(model(x)["y"], t).item()
    print(f"\nThe loss was {loss.item():g}. With the new weights it is {after:.3g}.")
    print(f"{sheet.lines} numbers on paper, {sheet.lines} equal in minigrad, exactly.")


if __name__ == "__main__":
    main()
