"""Initial weights, drawn on the host and written in place; the names and formulas are torch.nn.init's."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..autograd.tensor import Tensor, expect_tensor
from ..backend import library, random


def _write(tensor: Tensor, values: Any) -> Tensor:
    host = values.astype(tensor.dtype, copy=False)
    tensor.detach().array[...] = library(tensor.device).from_host(host)
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform from a to below b."""
    expect_tensor("init", "weights", tensor)
    if not (isinstance(a, Real) and isinstance(b, Real)):
        raise TypeError(f"uniform_: expected numbers as a and b, got {a!r} and {b!r}")
    if not math.isfinite(b - a):
        raise ValueError(f"uniform_: expected a finite range, got {a} to {b}")
    return _write(tensor, random.generator().uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with this mean and standard deviation."""
    expect_tensor("init", "weights", tensor)
    if not (isinstance(mean, Real) and isinstance(std, Real)):
        raise TypeError(f"normal_: expected numbers as mean and std, got {mean!r} and {std!r}")
    return _write(tensor, random.generator().normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    expect_tensor("init", "weights", tensor)
    tensor.detach().fill_(val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1)


def fans(tensor: Tensor) -> tuple[int, int]:
    """(in, out) of a weight matrix of shape (out, in). Raises ValueError for another number of axes."""
    expect_tensor("init", "weights", tensor)
    if tensor.ndim != 2:
        raise ValueError(f"expected a weight matrix (out, in), got shape {tensor.shape}")
    return tensor.shape[1], tensor.shape[0]


def kaiming_uniform_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """U(-b, b), b = √(6 / ((1 + a²) in)): keeps the variance through leaky_relu of slope a (He et al. 2015)."""
    bound = math.sqrt(6 / ((1 + a * a) * max(fans(tensor)[0], 1)))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """N(0, s²), s = √(2 / ((1 + a²) in)): keeps the variance through leaky_relu of slope a (He et al. 2015)."""
    return normal_(tensor, 0.0, math.sqrt(2 / ((1 + a * a) * max(fans(tensor)[0], 1))))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-b, b), b = gain √(6 / (in + out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -bound, bound)
