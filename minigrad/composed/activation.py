"""Activations."""

from __future__ import annotations

import math

from .. import ops
from ..autograd.tensor import Tensor
from .arguments import check_tensors
from .elementwise import expm1

# fmt: off
__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "mish",
    "prelu", "relu6", "selu", "silu", "softmin", "softshrink", "softsign", "tanhshrink", "threshold",
]
# fmt: on
METHODS = ["erf", "logit"]

erf = ops.erf


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x if x > 0, else alpha (eˣ - 1)"""
    return ops.where(input > 0, input, alpha * expm1(ops.minimum(input, 0.0)))


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x if x > 0, else alpha (e^(x/alpha) - 1)"""
    return ops.where(input > 0, input, alpha * expm1(ops.minimum(input, 0.0) / alpha))


def selu(input: Tensor) -> Tensor:
    """1.0507 elu(x, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al. 2017)"""
    return 1.0507009873554805 * elu(input, 1.6732632423543772)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), with the normal distribution function Φ; approximate="tanh" replaces it by a formula with tanh"""
    if approximate == "tanh":
        inside = math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)
        return 0.5 * input * (1 + ops.tanh(inside))
    return 0.5 * input * (1 + ops.erf(input / math.sqrt(2)))


def silu(input: Tensor) -> Tensor:
    """x σ(x), also called swish"""
    return input * ops.sigmoid(input)


def mish(input: Tensor) -> Tensor:
    """x tanh(softplus(x))"""
    return input * ops.tanh(ops.softplus(input))


def logsigmoid(input: Tensor) -> Tensor:
    """log σ(x) = -softplus(-x)"""
    return -ops.softplus(-input)


def softmin(input: Tensor, dim: int) -> Tensor:
    """softmax(-x)"""
    return ops.softmax(-input, dim)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)"""
    return input / (1 + ops.abs(input))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between min_val and max_val; the gradient at the ends is 0"""
    inside = (input > min_val) & (input < max_val)
    return ops.where(inside, input, input.detach().clip(min_val, max_val))


def relu6(input: Tensor) -> Tensor:
    """x between 0 and 6"""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Tensor) -> Tensor:
    """relu6(x + 3) / 6"""
    return relu6(input + 3) / 6


def hardswish(input: Tensor) -> Tensor:
    """x relu6(x + 3) / 6"""
    return input * relu6(input + 3) / 6


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a σ(b), where a and b are the halves of x along `dim`"""
    a, b = input.chunk(2, dim)
    return a * ops.sigmoid(b)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x if x > 0, else weight · x, with one weight or one for each channel, the axis 1"""
    weight = ops.reshape(weight, ()) if not input.shape and weight.numel() == 1 else weight
    w = ops.reshape(weight, (-1,) + (1,) * max(input.ndim - 2, 0)) if weight.numel() > 1 else weight
    return ops.where(input > 0, input, w * input)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """x if x > threshold, else value"""
    return ops.where(input > threshold, input, float(value))


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x"""
    return input - ops.tanh(input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, or 0"""
    return ops.where(input > lambd, input - lambd, ops.where(input < -lambd, input + lambd, 0.0))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x if |x| > lambd, else 0"""
    return ops.where(ops.abs(input) > lambd, input, 0.0)


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), with x between eps and 1 - eps"""
    x = input if eps is None else input.clip(eps, 1 - eps)
    return ops.log(x / (1 - x))


check_tensors(globals())
