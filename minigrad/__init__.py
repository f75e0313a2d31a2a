"""minigrad: a from-scratch autograd engine on NumPy and CuPy, with torch's public names.

To learn how backprop works, read in this order, about 800 lines:

    ops/arithmetic.py                what an op is: a formula, its value, and a VJP for each input
    autograd/graph.py                the graph, and the backward pass: the chain rule, the newest op first
    autograd/op.py                   @op: from arrays to recorded Tensors; broadcasting undone
    autograd/tensor.py               the head of Tensor, backward(), grad()
    ops/linear_algebra.py, ops/activation.py linear and relu; softmax_cross_entropy in ops/loss.py
    nn, optim/optimizers.py          Linear, Module.parameters, SGD
"""

import importlib
import math
import typing

from . import autograd, composed, data, legacy_types, nn, optim
from .autograd.anomaly_mode import AnomalyError, detect_anomaly
from .autograd.errors import ShapeError
from .autograd.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .autograd.op import op
from .autograd.tensor import Tensor, grad
from .backend import bool_ as bool
from .backend import cuda, device, float32, float64, int8, int16, int32, int64, manual_seed, uint8
from .composed import *  # noqa: F403
from .creation import (
    arange,
    eye,
    from_numpy,
    full,
    get_rng_state,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    randperm,
    set_rng_state,
    tensor,
    zeros,
    zeros_like,
)
from .generator import Generator
from .jit.replay import replay
from .left_out import left_out as _left_out
from .nn.metrics import accuracy
from .ops import (
    abs,
    add,
    amax,
    amin,
    argmax,
    argmin,
    broadcast_to,
    cat,
    clone,
    eq,
    exp,
    expand_dims,
    flatten,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    log,
    log1p,
    log_softmax,
    logsumexp,
    lt,
    matmul,
    maximum,
    mean,
    minimum,
    mul,
    ne,
    neg,
    permute,
    pow,
    relu,
    reshape,
    sigmoid,
    softmax,
    sqrt,
    squeeze,
    stack,
    sub,
    sum,
    tanh,
    transpose,
    where,
)
from .serialization import load, save
from .testing import gradcheck

div, max, min = Tensor.div, Tensor.max, Tensor.min
clip = clamp = Tensor.clip
unsqueeze, mm, swapaxes = expand_dims, matmul, transpose
__version__ = "0.1.0"

# torch's other names. They are not exported by `import *`, as some would hide Python's float and int.
_DTYPES = {"float": float32, "double": float64, "long": int64, "int": int32, "short": int16}
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan, "newaxis": None, "Size": tuple}
_SUBMODULES = {"accelerator", "backends", "utils", "vision", "viz"}

if typing.TYPE_CHECKING:
    from . import accelerator, backends, utils, vision, viz
else:

    def __getattr__(name: str) -> typing.Any:
        """torch's names of dtypes, constants and old types, and submodules that are imported at their first use."""
        if name in _DTYPES:
            return _DTYPES[name]
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name == "inference_mode":
            return no_grad
        if name in _SUBMODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name.endswith("Tensor") and hasattr(legacy_types, name):
            return getattr(legacy_types, name)
        raise _left_out("torch", name)


# fmt: off
__all__ = [
    # Tensors
    "Tensor", "tensor", "from_numpy", "zeros", "ones", "full", "eye", "arange", "zeros_like", "ones_like",
    "rand", "randn", "randint", "randperm", "manual_seed", "Generator", "get_rng_state", "set_rng_state",
    "bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64", "device", "cuda",
    # Ops
    "add", "sub", "mul", "div", "neg", "pow", "matmul", "mm",
    "abs", "exp", "log", "log1p", "sqrt", "maximum", "minimum", "clip", "clamp", "where", "clone",
    "relu", "sigmoid", "tanh", "softmax", "log_softmax", "logsumexp",
    "sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin",
    "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isfinite",
    "reshape", "flatten", "expand_dims", "unsqueeze", "squeeze", "transpose", "swapaxes", "permute",
    "broadcast_to", "cat", "stack",
    # Autograd
    "grad", "no_grad", "enable_grad", "set_grad_enabled", "is_grad_enabled", "op", "ShapeError",
    "detect_anomaly", "AnomalyError", "gradcheck", "replay",
    # Training
    "nn", "optim", "data", "autograd", "accuracy", "save", "load",
]
# fmt: on
__all__ += composed.__all__
