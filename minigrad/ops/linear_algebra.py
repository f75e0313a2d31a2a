"""The matrix product, and the linear layer."""

from __future__ import annotations

import math

from ..autograd.errors import ShapeError
from ..autograd.op import op


@op("(n,k),(k,m)->(n,m)", one_dtype=True)
def matmul(xp, a, b):
    """Y = A B

    Gradients:
        dL/dA = G Bᵀ
        dL/dB = Aᵀ G

    Shape:
        A (..., n, k), B (..., k, m) -> Y (..., n, m). Leading axes broadcast.
        A vector is one row as A and one column as B; that axis is dropped from Y.
    """
    row, column = a.ndim == 1, b.ndim == 1
    rows = xp.expand_dims(a, 0) if row else a
    columns = xp.expand_dims(b, 1) if column else b

    def matrix(g):
        g = xp.expand_dims(g, -1) if column else g
        return xp.expand_dims(g, -2) if row else g

    def b_vjp(g):
        db = xp.swapaxes(rows, -1, -2) @ matrix(g)
        return db[..., 0] if column else db

    return a @ b, (lambda g: matrix(g) @ xp.swapaxes(columns, -1, -2), b_vjp)


@op("(...,i),(o,i),(o)->(...,o)", one_dtype=True)
def linear(xp, x, w, b=None):
    """Y = X Wᵀ + b

    Gradients:
        dL/dX = G W
        dL/dW = Gᵀ X
        dL/db = Σ G over the rows: b is added to each row, so it is used once in each

    Shape:
        X (..., in), W (out, in), b (out,) or None -> Y (..., out)
    """
    n_out, n_in = w.shape
    if x.ndim == 0 or x.shape[-1] != n_in:
        features = f"{x.shape[-1]} features" if x.ndim else "no axis of features"
        raise ShapeError(f"input {x.shape} has {features}, but the weight {w.shape} expects {n_in}")
    if b is not None and b.shape != (n_out,):
        raise ShapeError(f"bias {b.shape} does not fit the weight {w.shape}: expected ({n_out},)")
    y = x @ w.T
    return y if b is None else y + b, (
        lambda g: g @ w,
        lambda g: (as_rows(x).T @ as_rows(g)).T,
        lambda g: xp.column_sum(as_rows(g)),
    )


def as_rows(x):
    """(..., n) as (rows, n)."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))
