"""Many elements become one, along the axes `dim`: a number, a tuple, or None for all; `keepdim` keeps them as 1."""

from __future__ import annotations

import math

from ..op import op


def kept(shape, dim):
    """The shape of a reduction over `dim` whose axes are kept with size 1."""
    axes = range(len(shape)) if dim is None else dim if isinstance(dim, (tuple, list)) else [dim]
    axes = [axis % max(len(shape), 1) for axis in axes]
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def repeated(xp, g, shape, dim):
    """The gradient of a reduction over dim, repeated along it."""
    g = xp.reshape(g, kept(shape, dim))
    return g if g.shape == shape else xp.broadcast_to(g, shape)


@op("(...)->(...)")
def sum(xp, x, *, dim=None, keepdim=False):
    """y = Σ x over dim

    dL/dx = g, repeated over dim
    """
    if x.dtype.kind != "f":
        x = x.astype("int64")
    y = xp.sum(x, axis=dim, keepdims=keepdim)
    return y, (lambda g: repeated(xp, g, x.shape, dim),)


@op("(...)->(...)", floating=True)
def mean(xp, x, *, dim=None, keepdim=False):
    """y = (1/n) Σ x over dim, n elements

    dL/dx = g / n, repeated over dim
    """
    n = math.prod(size for size, one in zip(x.shape, kept(x.shape, dim)) if one == 1)
    y = xp.sum(x, axis=dim, keepdims=keepdim) / n
    return y, (lambda g: repeated(xp, g / n, x.shape, dim),)


def share_among_equals(xp, x, y, dim):
    """The rule of amax and amin: g goes to the elements equal to y, in equal parts."""
    y = xp.reshape(y, kept(x.shape, dim))

    def rule(g):
        one = xp.where(x == y, xp.ones_like(x), 0.0)
        return one * (xp.reshape(g, y.shape) / xp.sum(one, axis=dim, keepdims=True))

    return rule


@op("(...)->(...)")
def amax(xp, x, *, dim=None, keepdim=False):
    """y = the largest x over dim

    dL/dx = g / k at the k elements that equal y, else 0
    """
    y = xp.amax(x, axis=dim, keepdims=keepdim)
    return y, (share_among_equals(xp, x, y, dim),)


@op("(...)->(...)")
def amin(xp, x, *, dim=None, keepdim=False):
    """y = the smallest x over dim

    dL/dx = g / k at the k elements that equal y, else 0
    """
    y = xp.amin(x, axis=dim, keepdims=keepdim)
    return y, (share_among_equals(xp, x, y, dim),)


@op("(...)->(...)", floating=True)
def logsumexp(xp, x, *, dim, keepdim=False):
    """y = log Σ eˣ over dim, computed as m + log Σ eˣ⁻ᵐ with m = max x, which cannot overflow

    dL/dx = g eˣ⁻ʸ, the softmax of x times g
    """
    m = xp.amax(x, axis=dim, keepdims=True)
    m = xp.where(xp.isfinite(m), m, 0.0)  # -inf - (-inf) would be nan
    y = m + xp.log(xp.sum(xp.exp(x - m), axis=dim, keepdims=True))
    rule = lambda g: xp.reshape(g, y.shape) * xp.exp(x - y)
    return (y if keepdim else xp.squeeze(y, axis=dim)), (rule,)
