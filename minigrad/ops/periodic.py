"""Sine and cosine."""

from __future__ import annotations

from ..autograd.op import op


@op("()->()", float_only=True)
def sin(xp, x):
    """y = sin x

    Gradients:
        dL/dx = g cos x
    """
    return xp.sin(x), (lambda g: g * xp.cos(x),)


@op("()->()", float_only=True)
def cos(xp, x):
    """y = cos x

    Gradients:
        dL/dx = -g sin x
    """
    return xp.cos(x), (lambda g: -g * xp.sin(x),)
