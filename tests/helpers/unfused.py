"""Fused ops, written once more from smaller ones. The twin is the explanation, the fused op is what runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg
from minigrad import Tensor


def softmax(x: Tensor, *, dim: int) -> Tensor:
    e = (x - x.detach().amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


def log_softmax(x: Tensor, *, dim: int) -> Tensor:
    return x - logsumexp(x, dim=dim, keepdim=True)


def logsumexp(x: Tensor, *, dim: Any, keepdim: bool = False) -> Tensor:
    m = x.detach().amax(dim, keepdim=True)
    y = m + (x - m).exp().sum(dim, keepdim=True).log()
    return y if keepdim else y.squeeze(dim)


def cross_entropy(x: Tensor, q: Tensor, *, dim: int = 1) -> Tensor:
    return -(q * log_softmax(x, dim=dim)).sum(dim)


def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    y = x @ w.T
    return y if b is None else y + b


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def tanh(x: Tensor) -> Tensor:
    return 2 * sigmoid(2 * x) - 1


def softplus(x: Tensor, *, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    return mg.where(beta * x > threshold, x, (1 + (beta * x).exp()).log() / beta)


def mean(x: Tensor, *, dim: Any = None, keepdim: bool = False) -> Tensor:
    y = x.sum(dim, keepdim)
    return y * (y.numel() / x.numel())


def mse_loss(x: Tensor, t: Tensor) -> Tensor:
    return (x - t) ** 2


def binary_cross_entropy_with_logits(x: Tensor, t: Tensor, pos_weight: Any = 1) -> Tensor:
    return -(pos_weight * t * sigmoid(x).log() + (1 - t) * sigmoid(-x).log())


TWINS: dict[str, Callable[..., Tensor]] = {
    each.__name__: each
    for each in (
        softmax,
        log_softmax,
        logsumexp,
        cross_entropy,
        linear,
        sigmoid,
        tanh,
        softplus,
        mean,
        mse_loss,
        binary_cross_entropy_with_logits,
    )
}
