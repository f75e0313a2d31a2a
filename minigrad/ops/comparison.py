"""Ops that are not differentiable: comparisons, isnan, isfinite, argmax, argmin."""

from __future__ import annotations

from ..autograd.op import op
from .reduction import axes_of


@op("(),()->()")
def eq(xp, a, b):
    """y = (a == b), as bool; nan equals nothing."""
    return a == b, ()


@op("(),()->()")
def ne(xp, a, b):
    """y = (a != b), as bool."""
    return a != b, ()


@op("(),()->()")
def lt(xp, a, b):
    """y = (a < b), as bool."""
    return a < b, ()


@op("(),()->()")
def le(xp, a, b):
    """y = (a <= b), as bool."""
    return a <= b, ()


@op("(),()->()")
def gt(xp, a, b):
    """y = (a > b), as bool."""
    return a > b, ()


@op("(),()->()")
def ge(xp, a, b):
    """y = (a >= b), as bool."""
    return a >= b, ()


@op("()->()")
def isnan(xp, x):
    """y = whether x is nan, as bool."""
    return xp.isnan(x), ()


@op("()->()")
def isfinite(xp, x):
    """y = whether x is neither nan nor ±inf, as bool."""
    return xp.isfinite(x), ()


@op("(...)->(...)")
def argmax(xp, x, *, dim=None, keepdim=False):
    """y = the index of the first maximum along dim, int64; without dim, in the flattened array."""
    return xp.argmax(x, axis=axes_of(x, dim), keepdims=keepdim), ()


@op("(...)->(...)")
def argmin(xp, x, *, dim=None, keepdim=False):
    """y = the index of the first minimum along dim, int64; without dim, in the flattened array."""
    return xp.argmin(x, axis=axes_of(x, dim), keepdims=keepdim), ()


@op("(...)->(...)")
def ones_like(xp, x):
    """y = 1 for each element, in the dtype of x."""
    return xp.ones_like(x), ()
