"""The error function, the integral of the normal distribution."""

from __future__ import annotations

import math

from ..autograd.op import op


@op("()->()", float_only=True)
def erf(xp, x):
    """y = 2/√π ∫ e^(-t²) dt from 0 to x

    Gradients:
        dL/dx = 2/√π e^(-x²) g
    """
    return xp.erf(x), (lambda g: 2 / math.sqrt(math.pi) * xp.exp(-x * x) * g,)
