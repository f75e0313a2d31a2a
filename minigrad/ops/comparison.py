"""Questions about elements. The answers are bool, or positions; no gradient flows through them."""

from __future__ import annotations

from ..op import op


@op("(),()->()")
def eq(xp, x, w):
    """x == w, as bool; nan equals nothing."""
    return x == w, ()


@op("(),()->()")
def ne(xp, x, w):
    """x != w, as bool."""
    return x != w, ()


@op("(),()->()")
def lt(xp, x, w):
    """x < w, as bool."""
    return x < w, ()


@op("(),()->()")
def le(xp, x, w):
    """x <= w, as bool."""
    return x <= w, ()


@op("(),()->()")
def gt(xp, x, w):
    """x > w, as bool."""
    return x > w, ()


@op("(),()->()")
def ge(xp, x, w):
    """x >= w, as bool."""
    return x >= w, ()


@op("()->()")
def isnan(xp, x):
    """Whether an element is not a number, as bool."""
    return xp.isnan(x), ()


@op("()->()")
def isfinite(xp, x):
    """Whether an element is neither nan nor ±inf, as bool."""
    return xp.isfinite(x), ()


@op("(...)->(...)")
def argmax(xp, x, *, dim=None, keepdim=False):
    """Where along `dim` the first of the largest elements stands, int64; without `dim` where in the flat array."""
    return xp.argmax(x, axis=dim, keepdims=keepdim), ()


@op("(...)->(...)")
def argmin(xp, x, *, dim=None, keepdim=False):
    """Where along `dim` the first of the smallest elements stands, int64; without `dim` where in the flat array."""
    return xp.argmin(x, axis=dim, keepdims=keepdim), ()


@op("(...)->(...)")
def ones_like(xp, x):
    """1 for each element, in its dtype."""
    return xp.ones_like(x), ()
