"""Elementwise functions."""

from __future__ import annotations

import math
from typing import Any

from .. import backend, ops
from ..autograd.tensor import Tensor
from .arguments import check_tensors

# fmt: off
__all__ = [  # noqa: RUF022 (by subject)
    "floor_divide", "remainder", "square", "reciprocal", "rsqrt", "exp2", "expm1", "log2", "log10", "sign", "ceil",
    "trunc", "frac", "tan", "sinh", "cosh", "lerp", "hypot", "nan_to_num", "logaddexp", "xlogy", "clamp_min",
    "clamp_max", "isinf", "isclose", "allclose", "equal", "logical_and", "logical_or", "logical_xor", "logical_not",
    "all", "any", "count_nonzero", "is_tensor", "is_floating_point", "numel",
]
# fmt: on
METHODS = [name for name in __all__ if name not in ("is_tensor", "is_floating_point", "numel")]
METHODS += [
    "__floordiv__",
    "__rfloordiv__",
    "__mod__",
    "__rmod__",
    "__and__",
    "__rand__",
    "__or__",
    "__ror__",
    "__xor__",
    "__rxor__",
    "__invert__",
]


def square(input: Tensor) -> Tensor:
    """x²"""
    return input * input


def reciprocal(input: Tensor) -> Tensor:
    """1 / x"""
    return 1 / input


def rsqrt(input: Tensor) -> Tensor:
    """1 / √x"""
    return 1 / ops.sqrt(input)


def exp2(input: Tensor) -> Tensor:
    """2ˣ"""
    return 2.0**input


def expm1(input: Tensor) -> Tensor:
    """eˣ - 1, computed as 2 sinh(x/2) e^(x/2), accurate also for small x"""
    t = ops.tanh(input / 2)
    return ops.where(ops.abs(input) < 1, 2 * t / (1 - t), ops.exp(input) - 1)


def log2(input: Tensor) -> Tensor:
    """log x / log 2"""
    return ops.log(input) / math.log(2)


def log10(input: Tensor) -> Tensor:
    """log x / log 10"""
    return ops.log(input) / math.log(10)


def floor_divide(input: Any, other: Any) -> Tensor:
    """x / y rounded down, without a gradient; integers stay integers."""
    return ops.div_rounded(input, other, rounding_mode="floor")


__floordiv__ = floor_divide


def __rfloordiv__(input: Tensor, other: Any) -> Tensor:
    """other // x"""
    return floor_divide(other, input)


def remainder(input: Any, other: Any) -> Tensor:
    """x - y floor(x / y), which has the sign of y"""
    return input - other * floor_divide(input, other)


__mod__ = remainder


def __rmod__(input: Tensor, other: Any) -> Tensor:
    """other % x"""
    return remainder(other, input)


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1, without a gradient"""
    return (input > 0).to(dtype=input.dtype) - (input < 0).to(dtype=input.dtype)


def ceil(input: Tensor) -> Tensor:
    """The smallest integer that is not below x, without a gradient."""
    return -ops.floor(-input)


def trunc(input: Tensor) -> Tensor:
    """x rounded towards 0, without a gradient."""
    return ops.where(input < 0, ceil(input), ops.floor(input))


def frac(input: Tensor) -> Tensor:
    """x - trunc(x)"""
    return input - trunc(input)


def tan(input: Tensor) -> Tensor:
    """sin x / cos x"""
    return ops.sin(input) / ops.cos(input)


def sinh(input: Tensor) -> Tensor:
    """(eˣ - e⁻ˣ) / 2"""
    e = expm1(ops.abs(input))
    return sign(input) * (e + e / (e + 1)) / 2


def cosh(input: Tensor) -> Tensor:
    """(eˣ + e⁻ˣ) / 2"""
    return (ops.exp(input) + ops.exp(-input)) / 2


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """x + weight (end - x)"""
    return input + weight * (end - input)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """√(x² + y²)"""
    return ops.sqrt(input * input + other * other)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(eˣ + eʸ)"""
    return ops.maximum(input, other) + ops.log1p(ops.exp(-ops.abs(input - other)))


def xlogy(input: Tensor, other: Tensor) -> Tensor:
    """x log y; 0 for x = 0"""
    return ops.where(input == 0, input * 0, input * ops.log(ops.where(input == 0, 1.0, other)))


def nan_to_num(input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """x with nan and ±inf replaced, by default by 0 and the largest and smallest number of the dtype."""
    info = backend.numpy.finfo(input.dtype)
    large, small = (info.max if posinf is None else posinf), (info.min if neginf is None else neginf)
    y = ops.where(ops.isnan(input), float(nan), input)
    return ops.where(y == math.inf, float(large), ops.where(y == -math.inf, float(small), y))


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """max(x, min)"""
    return ops.maximum(input, min) if isinstance(min, Tensor) else input.clip(min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """min(x, max)"""
    return ops.minimum(input, max) if isinstance(max, Tensor) else input.clip(max=max)


# Comparison and logic: no gradients
def isinf(input: Tensor) -> Tensor:
    """Whether x is ±inf."""
    return ops.abs(input) == math.inf


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |x - y| <= atol + rtol |y|, or x = y."""
    input, other = input.detach(), other.detach()
    close = (ops.abs(input - other) <= atol + rtol * ops.abs(other)) & ops.isfinite(other)
    close = close | (input == other)
    return close | (ops.isnan(input) & ops.isnan(other)) if equal_nan else close


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close; see `isclose`."""
    return bool(all(isclose(input, other, rtol, atol, equal_nan)))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two Tensors have the same shape and elements.

    Example:
        >>> import minigrad as mg
        >>> mg.equal(mg.ones(2), mg.ones(2))
        True
    """
    return input.shape == other.shape and bool(all(input == other))


def as_bool(name: str, x: Any) -> Any:
    """A Tensor of bool as it is, a number as bool. Raises TypeError for other Tensors."""
    if isinstance(x, Tensor) and x.dtype.kind != "b":
        raise TypeError(f"{name}: expected Tensors of bool, got dtype {x.dtype}; use x.bool(), or x != 0")
    return x if isinstance(x, Tensor) else bool(x)


def __and__(input: Tensor, other: Any) -> Tensor:
    """Both, of bools"""
    return as_bool("&", input) * as_bool("&", other)


def __or__(input: Tensor, other: Any) -> Tensor:
    """One or both, of bools"""
    return ops.maximum(as_bool("|", input), as_bool("|", other))


def __xor__(input: Tensor, other: Any) -> Tensor:
    """One, but not both, of bools"""
    return ops.ne(as_bool("^", input), as_bool("^", other))


def __invert__(input: Tensor) -> Tensor:
    """Not, of bools"""
    return ops.eq(as_bool("~", input), False)


__rand__, __ror__, __rxor__ = __and__, __or__, __xor__


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both are not 0."""
    return (input != 0) & (other != 0)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether one or both are not 0."""
    return (input != 0) | (other != 0)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether one is 0 and the other is not."""
    return (input != 0) ^ (other != 0)


def logical_not(input: Tensor) -> Tensor:
    """Whether x is 0."""
    return input == 0


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """The number of elements that are not 0."""
    return ops.sum(input != 0, dim=dim)


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are not 0, over `dim`.

    Example:
        >>> import minigrad as mg
        >>> (mg.ones(2, 3) > 0).all()
        tensor(True)
    """
    return ops.sum(input == 0, dim=dim, keepdim=keepdim) == 0


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether an element is not 0, over `dim`."""
    return ops.sum(input != 0, dim=dim, keepdim=keepdim) != 0


def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is float32 or float64."""
    return input.dtype.kind == "f"


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


check_tensors(globals())
