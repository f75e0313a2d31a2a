"""Sum, difference, product, quotient, power. Operands broadcast; a Python number takes the dtype of the Tensor.

Each op computes y from its inputs and returns, beside y, one VJP for each input: the function that maps g = dL/dy to
the gradient of that input. The formulas are in the docstrings.
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd.op import op


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
    # Not a / b²: the square of a small b underflows.
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
    y = x**p

    def exponent_vjp(g: Any) -> Any:
        log_x = xp.log(x) if hasattr(x, "shape") else math.log(x) if x > 0 else -math.inf if x == 0 else math.nan
        slope = g * (y * log_x)
        return xp.where(x == 0, xp.where(p >= 0, 0.0, slope), slope)

    return y, (lambda g: xp.where(p == 0, 0.0, g * (p * x ** (p - 1))), exponent_vjp)
