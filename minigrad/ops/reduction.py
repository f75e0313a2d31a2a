"""Reductions along the axes `dim`: a number, a tuple, or None for all. `keepdim` keeps the reduced axes with size 1."""

from __future__ import annotations

import math

from ..autograd.op import op


def keepdims_shape(shape, dim):
    """The shape of a reduction over `dim` with keepdim."""
    axes = range(len(shape)) if dim is None else dim if isinstance(dim, (tuple, list)) else [dim]
    axes = [axis % max(len(shape), 1) for axis in axes]
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def broadcast_back(xp, g, shape, dim):
    """The gradient of a reduction over dim, repeated along dim."""
    g = xp.reshape(g, keepdims_shape(shape, dim))
    return g if g.shape == shape else xp.broadcast_to(g, shape)


@op("(...)->(...)")
def sum(xp, x, *, dim=None, keepdim=False):
    """y = Σ x over dim

    Gradients:
        dL/dx = g, repeated over dim
    """
    if x.dtype.kind != "f":
        x = x.astype("int64")
    y = xp.sum(x, axis=dim, keepdims=keepdim)
    return y, (lambda g: broadcast_back(xp, g, x.shape, dim),)


@op("(...)->(...)", float_only=True)
def mean(xp, x, *, dim=None, keepdim=False):
    """y = (1/n) Σ x over dim, n elements

    Gradients:
        dL/dx = g / n, repeated over dim
    """
    n = math.prod(size for size, one in zip(x.shape, keepdims_shape(x.shape, dim)) if one == 1)
    y = xp.sum(x, axis=dim, keepdims=keepdim) / n
    return y, (lambda g: broadcast_back(xp, g / n, x.shape, dim),)


def split_among_ties(xp, x, y, dim):
    """The VJP of amax and amin: g goes to the elements equal to y, in equal parts."""
    y = xp.reshape(y, keepdims_shape(x.shape, dim))

    def vjp(g):
        ties = xp.where(x == y, xp.ones_like(x), 0.0)
        return ties * (xp.reshape(g, y.shape) / xp.sum(ties, axis=dim, keepdims=True))

    return vjp


@op("(...)->(...)")
def amax(xp, x, *, dim=None, keepdim=False):
    """y = max x over dim

    Gradients:
        dL/dx = g / k at the k elements that equal y, else 0
    """
    y = xp.amax(x, axis=dim, keepdims=keepdim)
    return y, (split_among_ties(xp, x, y, dim),)


@op("(...)->(...)")
def amin(xp, x, *, dim=None, keepdim=False):
    """y = min x over dim

    Gradients:
        dL/dx = g / k at the k elements that equal y, else 0
    """
    y = xp.amin(x, axis=dim, keepdims=keepdim)
    return y, (split_among_ties(xp, x, y, dim),)


@op("(...)->(...)", float_only=True)
def logsumexp(xp, x, *, dim, keepdim=False):
    """y = log Σ eˣ over dim, computed as m + log Σ eˣ⁻ᵐ with m = max x, which cannot overflow

    Gradients:
        dL/dx = g eˣ⁻ʸ, the softmax of x times g
    """
    m = xp.amax(x, axis=dim, keepdims=True)
    m = xp.where(xp.isfinite(m), m, 0.0)  # -inf - (-inf) would be nan
    y = m + xp.log(xp.sum(xp.exp(x - m), axis=dim, keepdims=True))
    vjp = lambda g: xp.reshape(g, y.shape) * xp.exp(x - y)
    return (y if keepdim else xp.squeeze(y, axis=dim)), (vjp,)
