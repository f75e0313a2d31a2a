"""Elementwise functions."""

from __future__ import annotations

from numbers import Real

from ..autograd.op import op


@op("()->()", float_only=True)
def exp(xp, x):
    """y = eˣ

    Gradients:
        dL/dx = g y
    """
    y = xp.exp(x)
    return y, (lambda g: g * y,)


@op("()->()", float_only=True)
def log(xp, x):
    """y = log x, the natural logarithm

    Gradients:
        dL/dx = g / x
    """
    return xp.log(x), (lambda g: g / x,)


@op("()->()", float_only=True)
def log1p(xp, x):
    """y = log(1 + x), accurate also for small x

    Gradients:
        dL/dx = g / (1 + x)
    """
    return xp.log1p(x), (lambda g: g / (1 + x),)


@op("()->()", float_only=True)
def sqrt(xp, x):
    """y = √x

    Gradients:
        dL/dx = g / 2y
    """
    y = xp.sqrt(x)
    return y, (lambda g: g / (2 * y),)


@op("()->()")
def abs(xp, x):
    """y = |x|

    Gradients:
        dL/dx = g where x > 0, -g where x < 0, 0 at 0
    """
    return xp.abs(x), (lambda g: xp.where(x > 0, g, xp.where(x < 0, -g, 0.0)),)


@op("(),()->()")
def maximum(xp, a, b):
    """y = max(a, b)

    Gradients:
        dL/da = g where a > b, g/2 where a = b, else 0
        dL/db = g where b > a, g/2 where a = b, else 0
    """
    return xp.maximum(a, b), (
        lambda g: xp.where(a == b, g / 2, xp.where(a < b, 0.0, g)),
        lambda g: xp.where(a == b, g / 2, xp.where(b < a, 0.0, g)),
    )


@op("(),()->()")
def minimum(xp, a, b):
    """y = min(a, b)

    Gradients:
        dL/da = g where a < b, g/2 where a = b, else 0
        dL/db = g where b < a, g/2 where a = b, else 0
    """
    return xp.minimum(a, b), (
        lambda g: xp.where(a == b, g / 2, xp.where(a > b, 0.0, g)),
        lambda g: xp.where(a == b, g / 2, xp.where(b > a, 0.0, g)),
    )


@op("(),(),()->()")
def where(xp, condition, a, b):
    """y = a where the condition (bool) is True, else b

    Gradients:
        dL/da = g where the condition is True, else 0
        dL/db = g where the condition is False, else 0
    """
    if hasattr(condition, "dtype") and condition.dtype.kind != "b":
        raise TypeError("expected a condition of dtype bool; use x != 0")
    return xp.where(condition, a, b), (
        None,
        lambda g: xp.where(condition, g, 0.0),
        lambda g: xp.where(condition, 0.0, g),
    )


def integer_power(xp, x, p):
    """xᵖ of integers, truncated: for p < 0 it is 0 unless x is 1 or -1."""
    x = x + 0 * p  # an array, also if x is a Python number
    return xp.where((p >= 0) | (x == 1), x ** xp.maximum(p, 0), xp.where(x == -1, x ** (p % 2), 0))


@op("(),()->()")
def div_rounded(xp, a, b, *, rounding_mode):
    """y = a / b, rounded down ("floor") or towards 0 ("trunc"); integers stay integers."""
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(f"expected None, 'floor' or 'trunc' as rounding_mode, got {rounding_mode!r}")
    return xp.div_rounded(a, b, rounding_mode), ()


@op("()->()")
def clip(xp, x, *, min=None, max=None):
    """y = min(max(x, min), max), with numbers as bounds; None is no bound

    Gradients:
        dL/dx = g where min ≤ x ≤ max, else 0
    """
    if min is None and max is None:
        raise ValueError("expected min, max or both")
    if not all(bound is None or isinstance(bound, Real) for bound in (min, max)):
        raise TypeError("expected numbers or Tensors as min and max")
    min, max = (bound if bound is None or isinstance(bound, int) else float(bound) for bound in (min, max))
    if x.dtype.kind != "f" and any(isinstance(bound, float) for bound in (min, max)):
        x = x.astype("float32")  # as torch promotes; NumPy would choose float64

    def vjp(g):
        g = g if min is None else xp.where(x >= min, g, 0.0)
        return g if max is None else xp.where(x <= max, g, 0.0)

    return xp.clip(x, min, max), (vjp,)


@op("()->()")
def clone(xp, x):
    """y = a copy of x

    Gradients:
        dL/dx = g
    """
    return xp.copy(x), (lambda g: g,)


@op("(...)->(...)")
def cast(xp, x, *, dtype):
    """y = x in another dtype

    Gradients:
        dL/dx = g in the dtype of x
    """
    y = x.astype(dtype)
    return y, (lambda g: g.astype(x.dtype),) if dtype.kind == "f" else ()
