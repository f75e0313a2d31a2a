"""Sum, difference, product, quotient, negation, power, element by element.

Each op computes y from its inputs and returns it along with one VJP per input: the function that maps g = dL/dy to the
gradient of that input. If the input was broadcast, `@op` then sums this gradient to the shape of the input.
"""

from __future__ import annotations

import math

from ..autograd.op import op
from .elementwise import integer_power


@op("(),()->()")
def add(xp, a, b):
    """y = a + b

    Gradients:
        dL/da = g
        dL/db = g
    """
    return a + b, (lambda g: g, lambda g: g)


@op("(),()->()")
def sub(xp, a, b):
    """y = a - b

    Gradients:
        dL/da = g
        dL/db = -g
    """
    return a - b, (lambda g: g, lambda g: -g)


@op("(),()->()")
def mul(xp, a, b):
    """y = a b

    Gradients:
        dL/da = g b
        dL/db = g a
    """
    return a * b, (lambda g: g * b, lambda g: g * a)


@op("(),()->()", float_only=True)
def div(xp, a, b):
    """y = a / b

    Gradients:
        dL/da = g / b
        dL/db = -g (a / b) / b
    """
    # Computed as a / b / b, because b² would underflow for a small b.
    return a / b, (lambda g: g / b, lambda g: -g * (a / b / b))


@op("()->()")
def neg(xp, x):
    """y = -x

    Gradients:
        dL/dx = -g
    """
    return -x, (lambda g: -g,)


@op("(),()->()")
def pow(xp, x, p):
    """y = xᵖ

    Gradients:
        dL/dx = g p xᵖ⁻¹, and 0 where p = 0
        dL/dp = g y log x, and 0 where x = 0 and p ≥ 0
    """
    if is_bool(x) and (is_bool(p) or type(p) is int):  # as in torch; NumPy would return int8
        return x >= p if is_bool(p) else x.astype("int64") ** p, ()

    # The gradient of `where` also flows into the branch not selected: for second derivatives both must be finite.
    def x_vjp(g):
        if not hasattr(p, "shape"):
            return g * (p * x ** (p - 1)) if p else 0 * xp.ones_like(g)
        q = xp.where(p == 0, 1.0, p)  # finite also where p = 0
        return xp.where(p == 0, 0.0, g * (p * x ** (q - 1)))

    def p_vjp(g):
        if not hasattr(x, "shape"):
            log_x = math.log(x) if x > 0 else math.nan if x < 0 else xp.where(p >= 0, 0.0, -math.inf * xp.ones_like(g))
            return g * (y * log_x) if x else xp.where(p >= 0, 0.0, g) * (y * log_x)
        log_x = xp.log(xp.where(x == 0, xp.where(p >= 0, 1.0, x), x))
        return xp.where(x == 0, xp.where(p >= 0, 0.0, g), g) * (y * log_x)

    y = x**p if getattr(p, "dtype", None) is None or p.dtype.kind != "i" else integer_power(xp, x, p)
    return y, (x_vjp, p_vjp)


def is_bool(x):
    """Whether an array, Tensor or number is bool."""
    return isinstance(x, bool) or getattr(getattr(x, "dtype", None), "kind", "") == "b"
