"""Every op: its value and the rules of its gradient, together. One file is one kind of op."""

from __future__ import annotations

from ..methods import OPS, Methods
from ..op import TENSORS
from .activation import leaky_relu, log_softmax, relu, sigmoid, softmax, softplus, tanh
from .arithmetic import add, div, mul, neg, pow, sub
from .comparison import argmax, argmin, eq, ge, gt, isfinite, isnan, le, lt, ne, ones_like
from .elementwise import abs, cast, clip, clone, exp, log, log1p, maximum, minimum, sqrt, where
from .linear import linear, matmul
from .loss import binary_cross_entropy_with_logits, cross_entropy, label_cross_entropy, mse_loss, nll_loss
from .reduction import amax, amin, logsumexp, mean, sum
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

# NumPy's names for ops that torch, and so minigrad, calls otherwise.
TENSORS.swapaxes, TENSORS.transpose, TENSORS.concatenate = transpose, permute, cat
TENSORS.copy = clone
TENSORS.asfortranarray = lambda x: x  # the order in memory: a Tensor leaves it to its array

for _method in vars(Methods).values():
    if getattr(_method, "__name__", None) in OPS and not _method.__doc__:
        _method.__doc__ = OPS[_method.__name__].__doc__
