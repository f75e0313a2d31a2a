"""The layers: Linear and Dropout do the work, the activations stand between, Sequential holds them together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import ops
from ..autograd.tensor import Tensor
from ..creation import zeros
from . import functional as F
from . import init
from .module import Module, ModuleList, Parameter


class Linear(Module):
    """Y = X Wᵀ + b    X (..., in_features)    W (out_features, in_features)    b (out_features,)

    Y is (..., out_features). W and b start as U(-1/√in, 1/√in), torch's default.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = "float32"
    ) -> None:
        if in_features < 1 or out_features < 1:
            raise ValueError(f"Linear: expected sizes of 1 or more, got {in_features} -> {out_features}")
        self.in_features, self.out_features = in_features, out_features
        # Wᵀ lies row by row in memory: X Wᵀ, and Xᵀ G for its gradient, then read and write in order, which is faster.
        self.weight = Parameter(zeros(in_features, out_features, device=device, dtype=dtype).T)
        self.bias = Parameter(zeros(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # the bound is 1/√in
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return ops.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Sequential(ModuleList):
    """y = layerₙ(... layer₂(layer₁(x))): `Sequential(Linear(784, 128), ReLU(), Linear(128, 10))`, or a dict of them."""

    def __init__(self, *layers: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            for name, layer in layers[0].items():
                setattr(self, name, layer)
        else:
            for part in layers:
                self.append(part)  # type: ignore[arg-type]

    def forward(self, input: Any) -> Any:
        for layer in self:
            input = layer(input)
        return input


class Identity(Module):
    """y = x"""

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """The axes start_dim to end_dim made one: (N, 1, 28, 28) -> (N, 784)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training each element is 0 with probability p, else x / (1 - p); in evaluation y = x."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = F.check_probability("Dropout", p)

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class ReLU(Module):
    """y = max(x, 0)"""

    def forward(self, input: Tensor) -> Tensor:
        return ops.relu(input)


class LeakyReLU(Module):
    """y = x where x > 0, else negative_slope · x"""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return ops.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Module):
    """y = 1 / (1 + e⁻ˣ)"""

    def forward(self, input: Tensor) -> Tensor:
        return ops.sigmoid(input)


class Tanh(Module):
    """y = tanh x"""

    def forward(self, input: Tensor) -> Tensor:
        return ops.tanh(input)


class Softplus(Module):
    """y = log(1 + e^βx) / β, and x itself where βx > threshold"""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return ops.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """yᵢ = e^xᵢ / Σⱼ e^xⱼ along dim"""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """yᵢ = xᵢ - log Σⱼ e^xⱼ along dim"""

    def forward(self, input: Tensor) -> Tensor:
        return ops.log_softmax(input, self.dim)
