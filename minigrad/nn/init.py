"""Initial weights, drawn on the host and written in place. The names and formulas are those of torch.nn.init."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor
from ..autograd.version_counter import bump_version
from ..backend import library, numpy, random

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
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
    values, kind = random.source(generator).uniform(a, b, tensor.shape), tensor.dtype.type
    return write(tensor, random.below(values, b, tensor.dtype) if kind(a) < kind(b) else values)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers from the normal distribution N(mean, std²). Raises TypeError and ValueError as `uniform_`."""
    check_weights("normal_", tensor, mean=mean, std=std)
    if not std >= 0:
        raise ValueError(f"normal_: expected std of 0 or more, got {std}")
    return write(tensor, random.source(generator).normal(mean, std, tensor.shape))


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


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """U(-b, b) with b = gain √(3 / fan): preserves the variance through the nonlinearity.

    Args:
        tensor: the weights.
        a: the slope of leaky_relu; the gain is √(2 / (1 + a²)).
        mode: "fan_in" preserves it in the forward pass, "fan_out" in the backward pass.
        nonlinearity: see `calculate_gain`.
        generator: a Generator; by default the shared one.

    Reference: He et al. 2015.

    Shape:
        (fan_out, fan_in)
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """N(0, s²) with s = gain / √fan: preserves the variance through the nonlinearity; see `kaiming_uniform_`."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan(tensor, mode)), generator)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that makes up for what a nonlinearity does to the variance; `param` is the slope of leaky_relu.

    Example:
        >>> import minigrad as mg
        >>> round(mg.nn.init.calculate_gain("relu"), 4)
        1.4142
    """
    slope = 0.01 if param is None else param
    gains = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + slope * slope)), "tanh": 5 / 3, "selu": 3 / 4}
    gains |= dict.fromkeys(("linear", "sigmoid"), 1.0)
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: expected one of {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def fan(tensor: Tensor, mode: str) -> int:
    """fan_in or fan_out, 1 or more."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: expected mode 'fan_in' or 'fan_out', got {mode!r}")
    return max(fan_in_and_fan_out(tensor)[mode == "fan_out"], 1)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """N(0, s²) with s = gain √(2 / (fan_in + fan_out)): preserves the variance forward and backward.

    Reference: Glorot and Bengio 2010.

    Shape:
        (fan_out, fan_in)
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(sum(fan_in_and_fan_out(tensor)), 1)), generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Tensor:
    """N(mean, std²), with numbers outside [a, b] drawn again."""
    check_weights("trunc_normal_", tensor, mean=mean, std=std, a=a, b=b)
    source = random.source(generator)
    values = source.normal(mean, std, tensor.shape)
    outside = (values < a) | (values > b)
    for _ in range(1000):
        if not outside.any():
            break
        values[outside] = source.normal(mean, std, int(outside.sum()))
        outside = (values < a) | (values > b)
    return write(tensor, values.clip(a, b))


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with 1 on the diagonal, else 0."""
    fan_in_and_fan_out(tensor)
    zeros_(tensor).detach().fill_diagonal_(1)
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """gain times a random matrix with orthonormal rows or columns (Saxe et al. 2014)."""
    check_weights("orthogonal_", tensor, gain=gain)
    fan_in, fan_out = fan_in_and_fan_out(tensor)
    q, r = numpy.linalg.qr(random.source(generator).normal(size=(max(fan_in, fan_out), min(fan_in, fan_out))))
    q = q * numpy.sign(numpy.diagonal(r))
    return write(tensor, gain * (q if fan_out >= fan_in else q.T))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """U(-b, b) with b = gain √(6 / (fan_in + fan_out)): preserves the variance forward and backward.

    Reference: Glorot and Bengio 2010.

    Shape:
        (fan_out, fan_in)
    """
    bound = gain * math.sqrt(6 / max(sum(fan_in_and_fan_out(tensor)), 1))
    return uniform_(tensor, -bound, bound, generator)


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
