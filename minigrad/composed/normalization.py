"""Normalization over a batch or over features; embedding."""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..autograd.errors import ShapeError
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Tensor, expect_tensor
from .arguments import check_tensors
from .statistics import norm, var

__all__ = ["batch_norm", "embedding", "layer_norm", "normalize"]


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm(x), eps) along `dim`."""
    return input / ops.maximum(norm(input, p, dim=dim, keepdim=True), eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(variance + eps) · weight + bias, with mean and variance over the last axes."""
    n = len(normalized_shape)
    if n == 0 or input.shape[-n:] != tuple(normalized_shape):
        raise ShapeError(f"layer_norm: expected an input (..., {tuple(normalized_shape)}), got {input.shape}")
    dims = tuple(range(-n, 0))
    centered = input - ops.mean(input, dim=dims, keepdim=True)
    y = centered / ops.sqrt(ops.mean(centered * centered, dim=dims, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(variance + eps) · weight + bias for each channel, the axis 1.

    In training, mean and variance are those of the batch, and the running ones move towards them by `momentum`.
    """
    dims = (0, *range(2, input.ndim))
    per_channel = lambda x: ops.reshape(x, (1, -1) + (1,) * (input.ndim - 2))
    if training or running_mean is None or running_var is None:
        n = input.numel() // max(input.shape[1], 1)
        if training and n == 1:
            raise ValueError(f"batch_norm: expected several values per channel to train, got shape {input.shape}")
        mean = ops.mean(input, dim=dims, keepdim=True)
        variance = ops.mean((input - mean) ** 2, dim=dims, keepdim=True)
        if running_mean is not None and running_var is not None and n:
            with no_grad():
                running_mean.mul_(1 - momentum).add_(momentum * ops.reshape(mean, (-1,)))
                running_var.mul_(1 - momentum).add_(momentum * var(input.detach(), dims))
    else:
        mean, variance = per_channel(running_mean), per_channel(running_var)
    y = (input - mean) / ops.sqrt(variance + eps)
    y = y if weight is None else y * per_channel(weight)
    return y if bias is None else y + per_channel(bias)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` at the integers `input`; the row padding_idx gets no gradient."""
    expect_tensor("embedding", "input", input)
    if padding_idx is None:
        return weight[input]
    y = weight[input]
    return ops.where((input == padding_idx % weight.shape[0]).unsqueeze(-1), y.detach(), y)


check_tensors(globals())
