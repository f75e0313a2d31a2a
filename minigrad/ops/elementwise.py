"""Functions of each element by itself."""

from __future__ import annotations

from numbers import Real

from ..op import op


@op("()->()", floating=True)
def exp(xp, x):
    """y = eˣ

    dL/dx = g y
    """
    y = xp.exp(x)
    return y, (lambda g: g * y,)


@op("()->()", floating=True)
def log(xp, x):
    """y = log x, the natural logarithm

    dL/dx = g / x
    """
    return xp.log(x), (lambda g: g / x,)


@op("()->()", floating=True)
def log1p(xp, x):
    """y = log(1 + x), exact also for small x

    dL/dx = g / (1 + x)
    """
    return xp.log1p(x), (lambda g: g / (1 + x),)


@op("()->()", floating=True)
def sqrt(xp, x):
    """y = √x

    dL/dx = g / 2y
    """
    y = xp.sqrt(x)
    return y, (lambda g: g / (2 * y),)


@op("()->()")
def abs(xp, x):
    """y = |x|

    dL/dx = g where x > 0, -g where x < 0, 0 at 0
    """
    return xp.abs(x), (lambda g: xp.where(x > 0, g, xp.where(x < 0, -g, 0.0)),)


@op("(),()->()")
def maximum(xp, x, w):
    """y = the larger of x and w

    dL/dx = g where x > w, g/2 where they are equal, else 0    dL/dw likewise
    """
    return xp.maximum(x, w), (
        lambda g: xp.where(x == w, g / 2, xp.where(x < w, 0.0, g)),
        lambda g: xp.where(x == w, g / 2, xp.where(w < x, 0.0, g)),
    )


@op("(),()->()")
def minimum(xp, x, w):
    """y = the smaller of x and w

    dL/dx = g where x < w, g/2 where they are equal, else 0    dL/dw likewise
    """
    return xp.minimum(x, w), (
        lambda g: xp.where(x == w, g / 2, xp.where(x > w, 0.0, g)),
        lambda g: xp.where(x == w, g / 2, xp.where(w > x, 0.0, g)),
    )


@op("(),(),()->()")
def where(xp, condition, x, w):
    """y = x where the condition (bool) holds, else w

    dL/dx = g where it holds, else 0    dL/dw = g where it does not, else 0
    """
    if hasattr(condition, "dtype") and condition.dtype.kind != "b":
        raise TypeError("expected a condition of dtype bool; write x != 0")
    return xp.where(condition, x, w), (
        None,
        lambda g: xp.where(condition, g, 0.0),
        lambda g: xp.where(condition, 0.0, g),
    )


@op("()->()")
def clip(xp, x, *, min=None, max=None):
    """y = x, but at least min and at most max (numbers; None: no bound)

    dL/dx = g where min ≤ x ≤ max, else 0
    """
    if min is None and max is None:
        raise ValueError("expected min, max or both")
    if not all(bound is None or isinstance(bound, Real) for bound in (min, max)):
        raise TypeError("expected numbers as min and max; between Tensors write maximum and minimum")
    min, max = (bound if bound is None or isinstance(bound, int) else float(bound) for bound in (min, max))

    def inside(g):
        g = g if min is None else xp.where(x >= min, g, 0.0)
        return g if max is None else xp.where(x <= max, g, 0.0)

    return xp.clip(x, min, max), (inside,)


@op("()->()")
def clone(xp, x):
    """y = x, in memory of its own

    dL/dx = g
    """
    return xp.copy(x), (lambda g: g,)


@op("(...)->(...)")
def cast(xp, x, *, dtype):
    """y = x in another dtype

    dL/dx = g in the dtype of x
    """
    y = x.astype(dtype)
    return y, (lambda g: g.astype(x.dtype),) if dtype.kind == "f" else ()
