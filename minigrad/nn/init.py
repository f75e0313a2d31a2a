"""Initial weights, drawn on the host and written in place. The names and formulas are those of torch.nn.init."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor
from ..autograd.version_counter import bump_version
from ..backend import library, random

__all__ = [
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_uniform_",
    "zeros_",
]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Fill with numbers from the uniform distribution on [a, b).

    Raises:
        TypeError: `tensor` is not a Tensor of floating point, or a bound is not a number.
        ValueError: b is below a, or the range is not finite.

    Example:
        >>> import minigrad as mg
        >>> w = mg.nn.init.uniform_(mg.zeros(100), 2.0, 3.0)
        >>> bool(2 <= w.min() < w.max() < 3)
        True
    """
    check_weights("uniform_", tensor, a=a, b=b)
    if not (a <= b and math.isfinite(b - a)):
        raise ValueError(f"uniform_: expected a finite range with a <= b, got {a} to {b}")
    values, kind = random.generator().uniform(a, b, tensor.shape), tensor.dtype.type
    return write(tensor, random.below(values, b, tensor.dtype) if kind(a) < kind(b) else values)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill with numbers from the normal distribution N(mean, std²). Raises TypeError and ValueError as `uniform_`."""
    check_weights("normal_", tensor, mean=mean, std=std)
    if not std >= 0:
        raise ValueError(f"normal_: expected std of 0 or more, got {std}")
    return write(tensor, random.generator().normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`."""
    expect_tensor("constant_", "tensor", tensor)
    tensor.detach().fill_(val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1)


def kaiming_uniform_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """U(-b, b) with b = √(6 / ((1 + a²) fan_in)): preserves the variance through leaky_relu of slope a.

    Reference: He et al. 2015.

    Shape:
        (fan_out, fan_in)
    """
    bound = math.sqrt(6 / ((1 + a * a) * max(fan_in_and_fan_out(tensor)[0], 1)))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """N(0, s²) with s = √(2 / ((1 + a²) fan_in)): preserves the variance through leaky_relu of slope a.

    Reference: He et al. 2015.

    Shape:
        (fan_out, fan_in)
    """
    return normal_(tensor, 0.0, math.sqrt(2 / ((1 + a * a) * max(fan_in_and_fan_out(tensor)[0], 1))))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-b, b) with b = gain √(6 / (fan_in + fan_out)): preserves the variance forward and backward.

    Reference: Glorot and Bengio 2010.

    Shape:
        (fan_out, fan_in)
    """
    bound = gain * math.sqrt(6 / max(sum(fan_in_and_fan_out(tensor)), 1))
    return uniform_(tensor, -bound, bound)


def fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight matrix (fan_out, fan_in). Raises ShapeError for another number of axes."""
    expect_tensor("init", "tensor", tensor)
    if tensor.ndim != 2:
        raise ShapeError(f"init: expected a weight matrix (fan_out, fan_in), got shape {tensor.shape}")
    return tensor.shape[1], tensor.shape[0]


def check_weights(name: str, tensor: Any, **numbers: Any) -> None:
    """Raise TypeError unless `tensor` is a Tensor of floating point and the `numbers` are numbers."""
    expect_tensor(name, "tensor", tensor)
    if tensor.dtype.kind != "f":
        raise TypeError(f"{name}: expected a Tensor of floating point, got dtype {tensor.dtype}; use x.float()")
    if not all(isinstance(number, Real) for number in numbers.values()):
        given = " and ".join(map(repr, numbers.values()))
        raise TypeError(f"{name}: expected numbers as {' and '.join(numbers)}, got {given}")


def write(tensor: Tensor, values: Any) -> Tensor:
    """Copy an array of the host into a Tensor."""
    device_values = library(tensor.device).from_host(values.astype(tensor.dtype, copy=False))
    bump_version(tensor.array)
    tensor.array[...] = device_values
    return tensor
