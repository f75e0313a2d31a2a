"""Reductions along the axes `dim`: a number, a tuple, or None for all. `keepdim` keeps the reduced axes with size 1."""

from __future__ import annotations

import math

from ..autograd.op import op


def axes_of(x, dim):
    """The axes `dim` as NumPy takes them: None is all of them, as () is in torch. A 0-d array has the axis 0, or -1."""
    if isinstance(dim, (list, tuple)):
        dim = tuple(dim) or None
    if x.ndim == 0 and dim in (0, -1, (0,), (-1,)):
        return None
    return dim


def keepdims_shape(shape, dim):
    """The shape of a reduction over `dim` with keepdim."""
    axes = range(len(shape)) if dim is None else dim if isinstance(dim, tuple) else [dim]
    axes = [axis % len(shape) for axis in axes]
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
    dim = axes_of(x, dim)
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
    dim = axes_of(x, dim)
    y = xp.sum(x, axis=dim, keepdims=keepdim)
    n = math.prod(size for size, one in zip(x.shape, keepdims_shape(x.shape, dim)) if one == 1)
    return y / n, (lambda g: broadcast_back(xp, g / n, x.shape, dim),)


def split_among_ties(xp, x, y, dim, nan_ties):
    """The VJP of amax and amin: g goes to the elements equal to y, in equal parts."""
    y = xp.reshape(y, keepdims_shape(x.shape, dim))

    def vjp(g):
        rest = xp.where(x == x, 0.0, xp.ones_like(x)) if nan_ties else 0.0  # nan equals nothing, not even itself
        ties = xp.where(x == y, xp.ones_like(x), rest)
        share = xp.reshape(g, y.shape) / xp.sum(ties, axis=dim, keepdims=True)
        dx = xp.where(ties != 0, share, 0.0)
        return dx if nan_ties else xp.where(y == y, dx, y)

    return vjp


@op("(...)->(...)")
def amax(xp, x, *, dim=None, keepdim=False, nan_ties=False):
    """y = max x over dim; nan if an element is

    Gradients:
        dL/dx = g / k at the k elements that equal y, else 0; nan if y is, or with nan_ties split among the nan elements
    """
    dim = axes_of(x, dim)
    y = xp.amax(x, axis=dim, keepdims=keepdim)
    return y, (split_among_ties(xp, x, y, dim, bool(nan_ties)),)


@op("(...)->(...)")
def amin(xp, x, *, dim=None, keepdim=False, nan_ties=False):
    """y = min x over dim; nan if an element is

    Gradients:
        dL/dx = g / k at the k elements that equal y, else 0; nan if y is, or with nan_ties split among the nan elements
    """
    dim = axes_of(x, dim)
    y = xp.amin(x, axis=dim, keepdims=keepdim)
    return y, (split_among_ties(xp, x, y, dim, bool(nan_ties)),)


@op("(...)->(...)", float_only=True)
def logsumexp(xp, x, *, dim, keepdim=False):
    """y = log Σ eˣ over dim, computed as m + log Σ eˣ⁻ᵐ with m = max x, which cannot overflow

    Gradients:
        dL/dx = g eˣ⁻ᵐ / Σ eˣ⁻ᵐ, the softmax of x times g
    """
    dim = axes_of(x, dim)
    m = xp.amax(x, axis=dim, keepdims=True) if 0 not in x.shape else xp.sum(x, axis=dim, keepdims=True)
    m = xp.where(xp.isfinite(m), m, 0.0)  # -inf - (-inf) would be nan
    e = xp.exp(x - m)
    s = xp.sum(e, axis=dim, keepdims=True)
    y = m + xp.log(s)
    vjp = lambda g: xp.reshape(g, y.shape) * (e / s)
    return y if keepdim else xp.squeeze(y, axis=dim), (vjp,)
