"""Further activations as Modules. Their formulas are those of `nn.functional`."""

from __future__ import annotations

from typing import Any

from ..autograd.tensor import Tensor
from ..creation import full
from . import functional as F
from .module import Module, Parameter


class Activation(Module):
    """Base class: y = function(x, *options), with the options as attributes."""

    function: Any = None
    options: tuple[str, ...] = ()

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, *(getattr(self, name) for name in self.options))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)


class ELU(Activation):
    """y = x if x > 0, else alpha (eˣ - 1)"""

    function, options = staticmethod(F.elu), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha


class CELU(ELU):
    """y = x if x > 0, else alpha (e^(x/alpha) - 1)"""

    function = staticmethod(F.celu)


class SELU(Activation):
    """y = 1.0507 elu(x, 1.6733)"""

    function = staticmethod(F.selu)

    def __init__(self, inplace: bool = False) -> None:
        pass


class GELU(Activation):
    """y = x Φ(x), with the normal distribution function Φ, or its approximation by "tanh" """

    function, options = staticmethod(F.gelu), ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate


class SiLU(SELU):
    """y = x σ(x)"""

    function = staticmethod(F.silu)


class Mish(SELU):
    """y = x tanh(softplus(x))"""

    function = staticmethod(F.mish)


class ReLU6(SELU):
    """y = x between 0 and 6"""

    function = staticmethod(F.relu6)


class Hardswish(SELU):
    """y = x relu6(x + 3) / 6"""

    function = staticmethod(F.hardswish)


class Hardsigmoid(SELU):
    """y = relu6(x + 3) / 6"""

    function = staticmethod(F.hardsigmoid)


class LogSigmoid(Activation):
    """y = log σ(x)"""

    function = staticmethod(F.logsigmoid)


class Softsign(Activation):
    """y = x / (1 + |x|)"""

    function = staticmethod(F.softsign)


class Tanhshrink(Activation):
    """y = x - tanh x"""

    function = staticmethod(F.tanhshrink)


class Hardtanh(Activation):
    """y = x between min_val and max_val"""

    function, options = staticmethod(F.hardtanh), ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val, self.max_val = min_val, max_val


class Softshrink(Activation):
    """y = x moved towards 0 by lambd, or 0"""

    function, options = staticmethod(F.softshrink), ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(Softshrink):
    """y = x if |x| > lambd, else 0"""

    function = staticmethod(F.hardshrink)


class Threshold(Activation):
    """y = x if x > threshold, else value"""

    function, options = staticmethod(F.threshold), ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold, self.value = threshold, value


class GLU(Activation):
    """y = a σ(b), where a and b are the halves of x along dim"""

    function, options = staticmethod(F.glu), ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class Softmin(Activation):
    """y = softmax(-x) along dim"""

    function, options = staticmethod(F.softmin), ("dim",)

    def __init__(self, dim: int) -> None:
        self.dim = dim


class PReLU(Module):
    """y = x if x > 0, else w x, with a learned slope w: one, or one for each channel, the axis 1"""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = "float32") -> None:
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
