"""minigrad: a tiny autograd engine that one person can read in an evening.

Read it in this order: backend (which library owns an array), tensor (an array, and how it was made; the walk of
`backward`), op (`@op`), ops (each op with its rules), nn, optim, data.
"""

from . import data, nn, optim
from .autograd.anomaly_mode import AnomalyError, detect_anomaly
from .autograd.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .autograd.op import op
from .autograd.tensor import Tensor, grad
from .backend import bool_ as bool
from .backend import cuda, device, float32, float64, int8, int16, int32, int64, manual_seed, uint8
from .creation import (
    arange,
    eye,
    from_numpy,
    full,
    get_rng_state,
    ones,
    rand,
    randint,
    randn,
    randperm,
    set_rng_state,
    tensor,
    zeros,
    zeros_like,
)
from .jit.replay import replay
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
    clip,
    clone,
    div,
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
    ones_like,
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

max, min = Tensor.max, Tensor.min
clamp, unsqueeze, mm, swapaxes = clip, expand_dims, matmul, transpose
__version__ = "0.1.0"
