"""Normalization over a batch or over features. The formulas are those of `nn.functional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor
from ..composed.normalization import batch_norm, layer_norm
from ..creation import ones, tensor, zeros
from .module import Module, Parameter


class LayerNorm(Module):
    """y = (x - mean) / √(variance + eps) · weight + bias over the last axes (Ba et al. 2016)

    Example:
        >>> import minigrad as mg
        >>> mg.nn.LayerNorm(2)(mg.tensor([[1.0, 3.0]])).detach()
        tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = "float32",
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(ones(shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.bias = Parameter(zeros(shape, device=device, dtype=dtype)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        options = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {options}"


class BatchNorm1d(Module):
    """y = (x - mean) / √(variance + eps) · weight + bias for each channel (Ioffe and Szegedy 2015)

    In training mode, mean and variance are those of the batch. In evaluation mode they are running averages, which are
    buffers; without `track_running_stats` they are always those of the batch.

    Shape:
        (N, C) or (N, C, L)
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = "float32",
        *,
        bias: bool = True,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(ones(num_features, device=device, dtype=dtype)) if affine else None
        self.bias = Parameter(zeros(num_features, device=device, dtype=dtype)) if affine and bias else None
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if track else None)
        self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", tensor(0, device=device) if track else None)

    def forward(self, input: Tensor) -> Tensor:
        expect_tensor("BatchNorm1d", "input", input)
        if input.ndim not in (2, 3) or input.shape[1] != self.num_features:
            raise ShapeError(
                f"BatchNorm1d: expected (N, {self.num_features}) or (N, {self.num_features}, L), got {input.shape}"
            )
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        running = (self.running_mean, self.running_var)
        return batch_norm(input, *running, self.weight, self.bias, self.training, momentum or 0.0, self.eps)

    def extra_repr(self) -> str:
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        options = f"momentum={self.momentum}, {affine}, track_running_stats={self.track_running_stats}"
        return f"{self.num_features}, eps={self.eps}, {options}"


class RMSNorm(Module):
    """y = x / √(mean of x² + eps) · weight over the last axes (Zhang and Sennrich 2019)"""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = "float32",
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(ones(shape, device=device, dtype=dtype)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        expect_tensor("RMSNorm", "x", x)
        dims = tuple(range(-len(self.normalized_shape), 0))
        eps = self.eps if self.eps is not None else 2.0 ** (-23 if x.dtype.itemsize == 4 else -52)
        y = x / ops.sqrt(ops.mean(x * x, dim=dims, keepdim=True) + eps)
        return y if self.weight is None else y * self.weight

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
