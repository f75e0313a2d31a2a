"""Ops with any VJP, right or wrong, and inputs for them: for the tests of gradcheck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op, tensor_namespace
from minigrad.testing import gradcheck


def random_tensor(*shape: int, seed: int = 0) -> mg.Tensor:
    """A float64 Tensor of ±[0.4, 1.6], away from the kinks at 0."""
    rng = np.random.default_rng(seed)
    return mg.tensor(rng.uniform(0.4, 1.6, shape) * rng.choice([-1, 1], shape))


def planted_op(value: Callable[..., Any], *vjps: Callable[..., Any]) -> Callable[..., mg.Tensor]:
    """An op that is not registered.

    `value(xp, *arrays)` computes y, and each of `vjps`, as `vjp(xp, *arrays, g)`, the gradient of one array.
    """

    def unary(xp, x):
        return value(xp, x), (lambda g: vjps[0](xp, x, g),)

    def binary(xp, a, b):
        return value(xp, a, b), tuple(lambda g, vjp=vjp: vjp(xp, a, b, g) for vjp in vjps)

    body = unary if len(vjps) == 1 else binary
    body.__name__ = "planted"
    try:
        return op("(...)->(...)" if len(vjps) == 1 else "(...),(...)->(...)")(body)
    finally:
        del OPS["planted"]
        delattr(tensor_namespace, "planted")


def check(function: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """The report of gradcheck, also of a check that fails."""
    return gradcheck(function, inputs, raise_exception=False, **options)


def square(xp: Any, x: Any) -> Any:
    return x * x


def relu(xp: Any, x: Any) -> Any:
    return xp.maximum(x, 0)


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x)
    return e / e.sum(axis=1, keepdims=True)
