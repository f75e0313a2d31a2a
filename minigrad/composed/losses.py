"""Further losses. All take `reduction`: "mean", "sum" or "none"."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor
from .arguments import check_tensors
from .linear_algebra import cosine_similarity
from .statistics import norm

# fmt: off
__all__ = [
    "binary_cross_entropy", "cosine_embedding_loss", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss",
    "kl_div", "l1_loss", "margin_ranking_loss", "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss",
    "triplet_margin_loss",
]
# fmt: on


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean or sum of the losses, or all of them. Raises ValueError for another reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def difference(name: str, input: Any, target: Any) -> Tensor:
    """input - target. Raises TypeError or ShapeError unless they are Tensors of one shape."""
    expect_tensor(name, "input", input)
    expect_tensor(name, "target", target)
    if input.shape != target.shape:
        raise ShapeError(f"{name}: expected target of shape {input.shape}, got {target.shape}")
    return input - target


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """|input - target|"""
    return reduced(ops.abs(difference("l1_loss", input, target)), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d² / 2 beta if |d| < beta, else |d| - beta / 2, where d = input - target"""
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction=reduction, delta=beta) / beta


def huber_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d² / 2 if |d| < delta, else delta (|d| - delta / 2), where d = input - target"""
    d = difference("huber_loss", input, target)
    size = ops.abs(d)
    return reduced(ops.where(size < delta, 0.5 * d * d, delta * (size - 0.5 * delta)), reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-w (t log p + (1 - t) log(1 - p)) of probabilities p; a logarithm is at least -100, with gradient 0 at log 0

    Raises:
        ValueError: p is not from 0 to 1.
    """
    difference("binary_cross_entropy", input, target)
    if not bool(((input >= 0) & (input <= 1)).all()):
        raise ValueError("binary_cross_entropy: expected probabilities from 0 to 1; use the loss with logits")

    def log(p: Tensor) -> Tensor:
        return ops.where(p > 0, ops.log(ops.where(p > 0, p, 1.0)), -100.0)

    loss = -(target * log(input) + (1 - target) * log(1 - input))
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log t - input), with log-probabilities as input; reduction="batchmean" divides the sum by the batch size"""
    if log_target:
        loss = ops.exp(target) * (target - input)
    else:
        zero = target == 0
        loss = target * ops.log(ops.where(zero, 1.0, target)) - target * input
    return loss.sum() / (input.shape or (1,))[0] if reduction == "batchmean" else reduced(loss, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """eˣ - t x for x = log rate, or x - t log(x + eps) for the rate x; `full` adds Stirling's log t! where t > 1"""
    loss = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        t = ops.where(target > 1, target, 1.0)
        loss = loss + ops.where(target > 1, t * ops.log(t) - t + 0.5 * ops.log(2 * math.pi * t), 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, *, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log v + (x - t)² / v) / 2 with the variance v, at least eps; `full` adds log(2π) / 2"""
    v = ops.where(var < eps, eps, var) if isinstance(var, Tensor) else input * 0 + max(var, eps)
    loss = 0.5 * (ops.log(v) + (input - target) ** 2 / v)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + e^(-t x)) for targets of 1 or -1"""
    return reduced(ops.softplus(-target * input), reduction)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """x for targets of 1, max(0, margin - x) for -1"""
    return reduced(ops.where(target == 1, input, ops.relu(margin - input)), reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """max(0, -t (x₁ - x₂) + margin) for targets of 1 or -1"""
    return reduced(ops.relu(-target * (input1 - input2) + margin), reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """1 - cos(x₁, x₂) for targets of 1, max(0, cos(x₁, x₂) - margin) for -1"""
    c = cosine_similarity(input1, input2, dim=-1)
    return reduced(ops.where(target == 1, 1 - c, ops.relu(c - margin)), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |a - p| - |a - n| + margin)"""
    near, far = (norm(anchor - each + eps, p, dim=-1) for each in (positive, negative))
    return reduced(ops.relu(near - far + margin), reduction)


check_tensors(globals())
