"""Optimizers, and schedules of their learning rate."""

from typing import TYPE_CHECKING, Any

from ..left_out import left_out
from . import lr_scheduler
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise left_out("torch.optim", name)
