"""Modules: layers, losses and containers. `nn.functional` has layers and losses as functions."""

from typing import TYPE_CHECKING, Any

from ..left_out import left_out
from . import functional, init
from .layers import (
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from .module import Module, ModuleList, Parameter

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise left_out("torch.nn", name)
