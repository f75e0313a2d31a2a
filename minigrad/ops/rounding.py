"""Rounding. The results of rounding have no gradient, where torch's is 0."""

from __future__ import annotations

from ..autograd.op import op


@op("()->()")
def floor(xp, x):
    """y = the largest integer that is not above x, in the dtype of x."""
    return (xp.floor(x) if x.dtype.kind == "f" else x), ()


@op("()->()")
def round(xp, x, *, decimals=0):
    """y = x rounded to the nearest number of that many decimals; halves to the even one."""
    return xp.round(x, decimals), ()
