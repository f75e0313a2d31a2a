"""The matrix product, and the linear layer."""

from __future__ import annotations

import math

from ..op import TENSORS, op


@op("(n,k),(k,m)->(n,m)")
def matmul(xp, x, w):
    """Y = X W    X (..., n, k)    W (..., k, m)    Y, G (..., n, m); leading axes broadcast

    dL/dX = G Wᵀ    dL/dW = Xᵀ G
    A vector as X is one row, as W one column; that axis is left out of Y.
    """
    row, column = x.ndim == 1, w.ndim == 1
    rows = xp.expand_dims(x, 0) if row else x
    columns = xp.expand_dims(w, 1) if column else w

    def matrix(g):
        g = xp.expand_dims(g, -1) if column else g
        return xp.expand_dims(g, -2) if row else g

    def to_w(g):
        dw = xp.swapaxes(rows, -1, -2) @ matrix(g)
        return dw[..., 0] if column else dw

    return x @ w, (lambda g: matrix(g) @ xp.swapaxes(columns, -1, -2), to_w)


@op("(...,i),(o,i),(o)->(...,o)")
def linear(xp, x, w, b=None):
    """Y = X Wᵀ + b    X (..., in)    W (out, in)    b (out,) or None    Y, G (..., out)

    dL/dX = G W    dL/dW = Gᵀ X    dL/db = Σ G over the rows: b was used once in each
    """
    n_out, n_in = w.shape
    if x.ndim == 0 or x.shape[-1] != n_in or (b is not None and b.shape != (n_out,)):
        bias = "" if b is None else f" and b ({n_out},), got b {b.shape}"
        raise ValueError(f"expected X (..., {n_in}) for W ({n_out}, {n_in}){bias}")
    y = x @ w.T
    return y if b is None else y + b, (
        lambda g: g @ w,
        lambda g: (rows(x).T @ rows(g)).T,
        lambda g: sum_of_rows(xp, rows(g)),
    )


def rows(x):
    """(..., n) as (rows, n)."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def sum_of_rows(xp, x):
    """Σ over the rows. In float32 a product adds many rows more exactly than a sum does.

    But where each column lies in one piece NumPy sums it in pairs: as exactly, and sooner.
    """
    if not x.shape[1] or (xp is not TENSORS and x.flags.f_contiguous):
        return xp.sum(x, axis=0)
    return xp.ones_like(x[:, 0]) @ x
