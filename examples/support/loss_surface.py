"""The loss around the weights of a model: along the gradient, and in the plane of gradient and a random direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F


class Surface(NamedTuple):
    """Losses at the weights w - a g + b r; g is the direction of the gradient, r a random orthogonal direction.

    `loss`, `slope`     at w: the loss, and the norm of the gradient
    `rates`, `stepped`  learning rates, and the loss after one step w - rate · gradient with each
    `along`, `across`   the distances a and b of the map `plane`; each of its rows has one b
    """

    loss: float
    slope: float
    rates: list[float]
    stepped: list[float]
    along: list[float]
    across: list[float]
    plane: list[list[float]]


def dot(a: Sequence[mg.Tensor], b: Sequence[mg.Tensor]) -> Any:
    """The inner product of two lists of Tensors, each flattened to one vector."""
    return sum((x * y).sum().item() for x, y in zip(a, b))


def linspace(first: float, last: float, count: int) -> list[float]:
    """`count` evenly spaced numbers."""
    return [first + (last - first) * i / (count - 1) for i in range(count)]


def measure(model: nn.Module, images: mg.Tensor, labels: mg.Tensor, points: int = 21) -> Surface:
    """The loss surface on one batch, a map of `points` by `points`. The model is unchanged afterwards."""
    parameters = list(model.parameters())
    loss = F.cross_entropy(model(images), labels)
    gradient: list[Any] = list(mg.grad(loss, parameters))
    start = [parameter.detach().clone() for parameter in parameters]
    slope = math.sqrt(dot(gradient, gradient))
    g = [each / (slope or 1.0) for each in gradient]

    r = [mg.randn(*each.shape, dtype=each.dtype, device=each.device) for each in g]
    projection = dot(r, g)  # make r orthogonal to g
    r = [x - projection * y for x, y in zip(r, g)]
    length = math.sqrt(dot(r, r))
    r = [each / length for each in r]

    def loss_at(a: float, b: float = 0.0) -> float:
        with mg.no_grad():
            for parameter, w, x, y in zip(parameters, start, g, r):
                parameter.copy_(w - a * x + b * y)
            value = F.cross_entropy(model(images), labels).item()
        return value if math.isfinite(value) else math.inf

    try:
        reach = 1e-3  # the distance at which the loss doubles: the map shows the valley and its far side
        while reach < 1e3 and loss_at(reach) < 2 * loss.item():
            reach *= 1.25
        farthest = reach / (slope or 1.0)
        rates = [farthest * 10 ** (exponent / 10) for exponent in range(-30, 6)]
        along, across = linspace(-reach / 2, reach, points), linspace(-0.75 * reach, 0.75 * reach, points)
        return Surface(
            loss.item(),
            slope,
            rates,
            [loss_at(rate * slope) for rate in rates],
            along,
            across,
            [[loss_at(a, b) for a in along] for b in across],
        )
    finally:
        with mg.no_grad():
            for parameter, w in zip(parameters, start):
                parameter.copy_(w)
