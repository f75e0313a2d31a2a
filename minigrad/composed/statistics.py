"""Reductions: variance, norms, products, order statistics."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..autograd.methods import MinMax
from ..autograd.tensor import Tensor
from ..creation import ones
from .arguments import check_tensors
from .elementwise import any
from .selection import gather, narrow

# fmt: off
__all__ = [  # noqa: RUF022 (by subject)
    "var", "std", "var_mean", "std_mean", "norm", "dist", "prod", "cumprod", "median", "quantile",
    "sort", "topk", "kthvalue", "mode", "unique", "bincount", "histc",
]
# fmt: on
METHODS = [name for name in __all__ if not name.endswith("_mean")]


def var(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float = 1
) -> Tensor:
    """Σ (x - mean)² / (n - correction) over `dim`.

    Args:
        input: x.
        dim: an axis or several; by default all.
        unbiased: True or False, for a correction of 1 or 0.
        keepdim: keep the axes with size 1.
        correction: subtracted from n.

    Example:
        >>> import minigrad as mg
        >>> mg.var(mg.tensor([1.0, 2.0, 6.0]))
        tensor(7.)
    """
    if isinstance(dim, bool):  # torch's var(x, unbiased)
        dim, unbiased = None, dim
    correction = correction if unbiased is None else int(unbiased)
    n = input.numel() / max(ops.mean(input.detach(), dim=dim).numel(), 1)
    squares = ops.sum((input - ops.mean(input, dim=dim, keepdim=True)) ** 2, dim=dim, keepdim=keepdim)
    return squares / max(n - correction, 0) if n > correction else squares * math.nan


def std(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float = 1
) -> Tensor:
    """The standard deviation, √var; its gradient at 0 is 0. The arguments are those of `var`."""
    return root(var(input, dim, unbiased, keepdim, correction=correction))


def var_mean(input: Tensor, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(var, mean)"""
    return var(input, dim, None, keepdim, correction=correction), ops.mean(input, dim=dim, keepdim=keepdim)


def std_mean(input: Tensor, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(std, mean)"""
    return std(input, dim, None, keepdim, correction=correction), ops.mean(input, dim=dim, keepdim=keepdim)


def root(x: Tensor) -> Tensor:
    """√x, with the gradient 0 at 0, where the slope is infinite"""
    positive = x != 0
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), x * 0)


def norm(input: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over `dim`; p may be inf, -inf, or "fro", which is 2. The gradient at 0 is 0.

    Example:
        >>> import minigrad as mg
        >>> mg.norm(mg.tensor([3.0, 4.0]))
        tensor(5.)
    """
    p = 2 if p in ("fro", None) else p
    if p == 2:
        return root(ops.sum(input * input, dim=dim, keepdim=keepdim))
    size = ops.abs(input)
    if p == 0:
        return ops.sum((input != 0).to(dtype=input.dtype), dim=dim, keepdim=keepdim)
    if p == 1:
        return ops.sum(size, dim=dim, keepdim=keepdim)
    if math.isinf(p):
        return (ops.amax if p > 0 else ops.amin)(size, dim=dim, keepdim=keepdim)
    total = ops.sum(size**p, dim=dim, keepdim=keepdim)
    return ops.where(total != 0, ops.where(total != 0, total, 1.0) ** (1 / p), total * 0)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The norm of x - y."""
    return norm(input - other, p)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The product over `dim`: halves are multiplied until one row is left, so gradients are right also at zeros."""
    x = input if input.dtype.kind == "f" else input.to(dtype="int64")
    if dim is None:
        x, dim, keepdim = ops.reshape(x, (-1,)), 0, False
    if not x.shape:
        return ops.clone(x)
    x = x.transpose(0, dim)
    if len(x) == 0:
        x = ones(1, *x.shape[1:], dtype=x.dtype, device=x.device)
    while len(x) > 1:
        half = len(x) // 2
        y = x[:half] * x[half : 2 * half]
        x = y if len(x) % 2 == 0 else ops.cat([y, x[2 * half :]])
    y = x.transpose(0, dim)
    return y if keepdim else y.squeeze(dim)


def cumprod(input: Tensor, dim: int) -> Tensor:
    """yᵢ = x₀ · ... · xᵢ along `dim`: in step k each row is multiplied with the row 2ᵏ before it"""
    x, step = input.transpose(0, dim), 1
    while step < len(x):
        x, step = ops.cat([x[:step], x[step:] * x[:-step]]), 2 * step
    return x.transpose(0, dim)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> MinMax:
    """(values, indices) in ascending or descending order along `dim`. Equal elements keep their order.

    Example:
        >>> import minigrad as mg
        >>> values, indices = mg.tensor([3.0, 1.0, 2.0]).sort()
        >>> values, indices
        (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    indices = ops.argsort(input, dim=dim, descending=descending)
    return MinMax(gather(input, dim, indices), indices)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> MinMax:
    """(values, indices) of the k largest elements, or smallest, along `dim`, in order."""
    if not 0 <= k <= (input.shape[dim] if input.shape else 1):
        raise ValueError(f"topk: expected k from 0 to the size of axis {dim} of {input.shape}, got {k}")
    return MinMax(*(narrow(each, dim, 0, k) for each in sort(input, dim, descending=largest)))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> MinMax:
    """(value, index) of the k-th smallest element along `dim`, from 1."""
    found = [narrow(each, dim, k - 1, 1) for each in sort(input, dim)]
    return MinMax(*(each if keepdim else each.squeeze(dim) for each in found))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of all elements, or (values, indices) along `dim`; the lower of two middle elements."""
    x = ops.reshape(input, (-1,)) if dim is None else input
    n = x.shape[dim or 0] if x.shape else 1
    has_nan = any(ops.isnan(x), 0 if dim is None else dim, True) if x.dtype.kind == "f" else None
    found = kthvalue(x, (n + 1) // 2, 0 if dim is None else dim, keepdim=True)
    if has_nan is not None and bool(any(has_nan)):  # nan is sorted last, so the last element is nan
        last = kthvalue(x, n, 0 if dim is None else dim, keepdim=True)
        found = MinMax(*(ops.where(has_nan, there, here) for there, here in zip(last, found)))
    if dim is None:
        return found.values.squeeze(0)
    return found if keepdim else MinMax(*(each.squeeze(dim) for each in found))


def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The value below which the part q of the elements lies, interpolated; for a Tensor q along a new first axis."""
    if isinstance(q, Tensor) and q.shape:
        return ops.stack([quantile(input, each, dim, keepdim) for each in q.tolist()])
    x = ops.reshape(input, (-1,)) if dim is None else input
    axis = dim or 0
    position = float(q) * (x.shape[axis] - 1)
    low = kthvalue(x, math.floor(position) + 1, axis, True).values
    high = kthvalue(x, math.ceil(position) + 1, axis, True).values
    y = low + (position - math.floor(position)) * (high - low)
    return y if keepdim and dim is not None else y.squeeze(axis)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> MinMax:
    """(values, indices) of the most frequent element along `dim`; the smallest of several, at its last position."""
    x = input.transpose(dim, -1)
    same = (x.unsqueeze(-1) == x.unsqueeze(-2)).sum(dim=-1)
    most = same == same.amax(dim=-1, keepdim=True)
    worst = x.max() if x.numel() else 0
    values = ops.where(most, x, worst).amin(dim=-1, keepdim=True)
    last = ops.where(x == values, same * 0 + 1, 0).cumsum(-1).argmax(dim=-1, keepdim=True)
    found = (gather(x, -1, last).transpose(dim, -1), last.transpose(dim, -1))
    return MinMax(*(each if keepdim else each.squeeze(dim) for each in found))


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: None = None
) -> Any:
    """The different elements in ascending order; with options also, in this order, where each element lies among them,
    and how often each occurs.

    Example:
        >>> import minigrad as mg
        >>> mg.unique(mg.tensor([2, 1, 2]), return_counts=True)
        (tensor([1, 2]), tensor([1, 2]))
    """
    if dim is not None:
        raise TypeError("unique: expected no dim; use unique on each row")
    x = ops.reshape(input.detach(), (-1,))
    order = ops.argsort(x)
    ordered = x[order]
    first = ops.cat([(ordered[:1] == ordered[:1]) | True, ordered[1:] != ordered[:-1]]) if len(x) else ordered == 1
    rank = first.long().cumsum(0) - 1
    found = [ordered[first]]
    if return_inverse:
        found.append(rank[ops.argsort(order)].reshape(input.shape))
    if return_counts:
        found.append(bincount(rank, minlength=len(found[0])))
    return found[0] if len(found) == 1 else tuple(found)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of the integers 0, 1, ... occurs, or the sum of its weights."""
    n = max(int(input.max()) + 1 if len(input) else 0, minlength)
    one = (input == input).long() if weights is None else weights
    return ops.scatter(one, shape=(n,), index=input.array)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """The number of elements in each of `bins` equal intervals from min to max, by default of the data."""
    low, high = (float(input.min()), float(input.max())) if min == max else (min, max)
    low, high = (low - 1, high + 1) if low == high else (low, high)
    inside = ops.reshape(input.detach(), (-1,))
    inside = inside[(inside >= low) & (inside <= high)]
    which = ops.floor((inside - low) / (high - low) * bins).long().clip(0, bins - 1)
    return bincount(which, minlength=bins).to(dtype=input.dtype)


check_tensors(globals())
