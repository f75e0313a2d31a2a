"""Sum, difference, product, quotient, power. Operands broadcast; a Python number takes the dtype of the Tensor."""

from __future__ import annotations

import math
from typing import Any

from ..op import op


@op("(),()->()")
def add(xp, x, w):
    """y = x + w

    dL/dx = g    dL/dw = g
    """
    return x + w, (lambda g: g, lambda g: g)


@op("(),()->()")
def sub(xp, x, w):
    """y = x - w

    dL/dx = g    dL/dw = -g
    """
    return x - w, (lambda g: g, lambda g: -g)


@op("(),()->()")
def mul(xp, x, w):
    """y = x w

    dL/dx = g w    dL/dw = g x
    """
    return x * w, (lambda g: g * w, lambda g: g * x)


@op("(),()->()", floating=True)
def div(xp, x, w):
    """y = x / w

    dL/dx = g / w    dL/dw = -g (x / w) / w
    """
    # Not x / w²: the square of a small w underflows.
    return x / w, (lambda g: g / w, lambda g: -g * (x / w / w))


@op("()->()")
def neg(xp, x):
    """y = -x

    dL/dx = -g
    """
    return -x, (lambda g: -g,)


@op("(),()->()")
def pow(xp, x, p):
    """y = xᵖ

    dL/dx = g p xᵖ⁻¹, and 0 where p = 0    dL/dp = g y log x, and 0 where x = 0 and p ≥ 0
    """
    y = x**p

    def to_exponent(g: Any) -> Any:
        log_x = xp.log(x) if hasattr(x, "shape") else math.log(x) if x > 0 else -math.inf if x == 0 else math.nan
        slope = g * (y * log_x)
        return xp.where(x == 0, xp.where(p >= 0, 0.0, slope), slope)

    return y, (lambda g: xp.where(p == 0, 0.0, g * (p * x ** (p - 1))), to_exponent)
