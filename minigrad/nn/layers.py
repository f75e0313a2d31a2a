"""The layers: Linear, Sequential, Dropout, and the activations as Modules."""

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
    """Y = X Wᵀ + b. W and b start as U(-1/√in, 1/√in), torch's default.

    Shape:
        X (..., in_features), W (out_features, in_features), b (out_features,) -> Y (..., out_features)

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Linear(784, 10)(mg.ones(32, 784)).shape
        (32, 10)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = "float32"
    ) -> None:
        if in_features < 1 or out_features < 1:
            raise ValueError(f"Linear: expected sizes of 1 or more, got {in_features} -> {out_features}")
        self.in_features, self.out_features = in_features, out_features
        # Wᵀ is contiguous, which is the faster layout for X Wᵀ and for the gradient Xᵀ G.
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
    """y = layerₙ(... layer₂(layer₁(x)))

    Args:
        layers: Modules, named 0, 1, ...; or one dict of Modules by name. A slice keeps the names, as in torch.

    Raises:
        TypeError: a layer is not a Module.
        KeyError: a name has a dot or is that of a method; see `Module.add_module`.

    Example:
        >>> import minigrad as mg
        >>> model = mg.nn.Sequential(mg.nn.Linear(784, 128), mg.nn.ReLU(), mg.nn.Linear(128, 10))
        >>> model(mg.ones(32, 784)).shape
        (32, 10)
    """

    def __init__(self, *layers: Module | Mapping[str, Module]) -> None:
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            for name, layer in layers[0].items():
                self.add_module(name, layer)
        else:
            super().__init__(layers)  # type: ignore[arg-type]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def forward(self, input: Any) -> Any:
        for layer in vars(self).values():
            if isinstance(layer, Module):
                input = layer(input)
        return input


class Identity(Module):
    """y = x"""

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Joins the axes from start_dim to end_dim.

    Shape:
        (N, d1, ..., dk) -> (N, d1 · ... · dk) by default
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training mode y = 0 with probability p, else x / (1 - p); in evaluation mode y = x."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p = F.check_probability("Dropout", p)

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class ReLU(Module):
    """y = max(x, 0); `inplace` has no effect"""

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        return ops.relu(input)


class LeakyReLU(Module):
    """y = x if x > 0, else negative_slope · x; `inplace` has no effect"""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
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
    """y = log(1 + e^βx) / β, or x if βx > threshold"""

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
