"""Hooks: functions of the user that see the gradient of a Tensor in the backward pass, and may replace it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

before_use: list[Callable[[], None]] = []  # called first wherever a hook runs
numbers = count()


class RemovableHandle:
    """The result of registering a hook: `handle.remove()` takes the hook away."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks, self.id = hooks, next(numbers)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()


def apply_hooks(x: Any, g: Any) -> Any:
    """dL/dx after the hooks of x, for an array g, or for a Tensor under create_graph."""
    if x._hooks:
        for check in before_use:
            check()
        for hook in list(x._hooks.values()):
            given = g
            if not hasattr(g, "grad_fn"):
                given = x.detach()
                given.array = g
            replaced = hook(given)
            if replaced is not None:
                if not hasattr(replaced, "grad_fn") or replaced.shape != x.shape or replaced.dtype != x.dtype:
                    expected = f"a gradient of {x.shape} {x.dtype}, or None"
                    raise RuntimeError(
                        f"hook: expected {expected}, got {getattr(replaced, 'shape', type(replaced).__name__)}"
                    )
                g = replaced if given is g else replaced.array
    return g
