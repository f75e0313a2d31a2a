"""The loss around the weights of a model: along the gradient, and on the plane that a random direction makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F


class Surface(NamedTuple):
    """Losses at weights w - a g + b r, where g is the direction of the gradient and r a random one at right angles.

    `loss`, `slope`     at w itself: the loss, and the length of the gradient, which is how steep it is there
    `rates`, `stepped`  learning rates, and the loss after one step w - rate · gradient with each
    `along`, `across`   the distances a and b of the map `plane`, whose rows are losses for one b
    """

    loss: float
    slope: float
    rates: list[float]
    stepped: list[float]
    along: list[float]
    across: list[float]
    plane: list[list[float]]


def dot(a: Sequence[mg.Tensor], b: Sequence[mg.Tensor]) -> Any:
    """The inner product of two lists of Tensors, as if each were one long vector."""
    return sum((x * y).sum().item() for x, y in zip(a, b))


def spread(first: float, last: float, count: int) -> list[float]:
    """`count` numbers at equal distances."""
    return [first + (last - first) * i / (count - 1) for i in range(count)]


def measure(model: nn.Module, images: mg.Tensor, labels: mg.Tensor, points: int = 21) -> Surface:
    """The surface on one batch, a map of `points` by `points`. The model is left as it was."""
    parameters = list(model.parameters())
    loss = F.cross_entropy(model(images), labels)
    gradient: list[Any] = list(mg.grad(loss, parameters))
    start = [parameter.detach().clone() for parameter in parameters]
    slope = math.sqrt(dot(gradient, gradient))
    g = [each / (slope or 1.0) for each in gradient]

    r = [mg.randn(*each.shape, dtype=each.dtype, device=each.device) for each in g]
    shadow = dot(r, g)  # what r has in common with g is taken away
    r = [x - shadow * y for x, y in zip(r, g)]
    length = math.sqrt(dot(r, r))
    r = [each / length for each in r]

    def loss_at(a: float, b: float = 0.0) -> float:
        with mg.no_grad():
            for parameter, w, x, y in zip(parameters, start, g, r):
                parameter.copy_(w - a * x + b * y)
            value = F.cross_entropy(model(images), labels).item()
        return value if math.isfinite(value) else math.inf

    try:
        reach = 1e-3  # so far along the gradient that the loss doubles: the map shows the valley and its far wall
        while reach < 1e3 and loss_at(reach) < 2 * loss.item():
            reach *= 1.25
        farthest = reach / (slope or 1.0)
        rates = [farthest * 10 ** (exponent / 10) for exponent in range(-30, 6)]
        along, across = spread(-reach / 2, reach, points), spread(-0.75 * reach, 0.75 * reach, points)
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
