"""All ops: value, formula and VJPs of each side by side. One file is one kind of op."""

from __future__ import annotations

from ..autograd.methods import OPS, TensorMethods
from ..autograd.op import tensor_namespace
from .activation import leaky_relu, log_softmax, relu, sigmoid, softmax, softplus, tanh
from .arithmetic import add, div, mul, neg, pow, sub
from .comparison import argmax, argmin, eq, ge, gt, isfinite, isnan, le, lt, ne, ones_like
from .elementwise import abs, cast, clip, clone, div_rounded, exp, log, log1p, maximum, minimum, sqrt, where
from .linear_algebra import linear, matmul
from .loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, nll_loss, softmax_cross_entropy
from .order import argsort, cumsum
from .periodic import cos, sin
from .reduction import amax, amin, logsumexp, mean, sum
from .rounding import floor, round
from .shape import (
    broadcast_to,
    cat,
    expand_dims,
    flatten,
    getitem,
    move,
    permute,
    reshape,
    scatter,
    squeeze,
    stack,
    transpose,
)
from .special import erf

NUMPY_NAMES = {
    "swapaxes": transpose,
    "transpose": permute,
    "concatenate": cat,
    "copy": clone,
    "column_sum": lambda x: sum(x, dim=0),
    "asfortranarray": lambda x: x,  # the layout in memory is the array's affair
}
vars(tensor_namespace).update(NUMPY_NAMES)  # names that differ from torch's, and so from the ops'

for _method in vars(TensorMethods).values():
    if getattr(_method, "__name__", None) in OPS and not _method.__doc__:
        _method.__doc__ = OPS[_method.__name__].__doc__
