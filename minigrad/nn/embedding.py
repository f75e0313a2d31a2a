"""Layers that select or derive their weights: Embedding, LazyLinear, Bilinear; and Unflatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..autograd.tensor import Tensor, expect_tensor
from ..composed.normalization import embedding
from ..composed.selection import unflatten
from ..creation import zeros
from . import init
from .layers import Linear
from .module import Module, Parameter


class Embedding(Module):
    """A table of vectors, one for each integer from 0 to num_embeddings - 1; it starts as N(0, 1).

    Shape:
        integers (...,) -> (..., embedding_dim)

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Embedding(10, 3)(mg.tensor([[1, 2], [3, 4]])).shape
        (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = "float32",
    ) -> None:
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = Parameter(zeros(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new vectors; that of padding_idx is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.detach()[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An Embedding with the given table; `freeze` keeps it from being learned."""
        layer = cls(embeddings.shape[0], embeddings.shape[1], padding_idx)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, input: Tensor) -> Tensor:
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class LazyLinear(Linear):
    """A Linear layer whose number of inputs is that of the first input. Call it once before making an optimizer."""

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = "float32") -> None:
        self.out_features, self.in_features, self._options = out_features, 0, (bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        expect_tensor("LazyLinear", "input", input)
        if self.in_features == 0:
            super().__init__(input.shape[-1], self.out_features, *self._options)
        return super().forward(input)

    def extra_repr(self) -> str:
        bias = self._options[0]
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"


class Bilinear(Module):
    """yₖ = x₁ᵀ Wₖ x₂ + bₖ

    Shape:
        x₁ (..., n), x₂ (..., m), W (k, n, m) -> (..., k)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = "float32",
    ) -> None:
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(zeros(out_features, in1_features, in2_features, device=device, dtype=dtype))
        self.bias = Parameter(zeros(out_features, device=device, dtype=dtype)) if bias else None
        bound = 1 / math.sqrt(in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        expect_tensor("Bilinear", "input1", input1)
        expect_tensor("Bilinear", "input2", input2)
        y = ops.sum((input1.unsqueeze(-2).unsqueeze(-2) @ self.weight).squeeze(-2) * input2.unsqueeze(-2), dim=-1)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{sizes}, out_features={self.out_features}, bias={self.bias is not None}"


class Unflatten(Module):
    """Splits the axis dim into axes of the given sizes."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
