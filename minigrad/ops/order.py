"""Ops that go along an axis in order: cumsum and argsort."""

from __future__ import annotations

from ..autograd.op import op


@op("(...)->(...)")
def cumsum(xp, x, *, dim):
    """yᵢ = x₀ + ... + xᵢ along dim

    Gradients:
        dL/dx = gᵢ + gᵢ₊₁ + ..., the sum from the other end
    """
    if x.dtype.kind != "f":
        x = x.astype("int64")
    if x.ndim == 0:
        return xp.reshape(x, ()), (lambda g: g,)
    backwards = (slice(None),) * (dim % x.ndim) + (slice(None, None, -1),)
    vjp = lambda g: xp.copy(xp.getitem(xp.cumsum(xp.getitem(g, backwards), axis=dim), backwards))
    return xp.cumsum(x, axis=dim), (vjp,)


@op("(...)->(...)")
def argsort(xp, x, *, dim=-1, descending=False, stable=True):
    """y = the indices that sort x along dim, int64. Equal elements keep their order; nan is the largest number."""
    if x.ndim == 0:
        return xp.zeros((), dtype="int64"), ()
    if not descending:
        return xp.argsort(x, axis=dim, kind="stable"), ()
    last = x.shape[dim] - 1
    return last - xp.flip(xp.argsort(xp.flip(x, axis=dim), axis=dim, kind="stable"), axis=dim), ()
