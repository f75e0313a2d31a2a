"""Whether ops are recorded in the graph: `no_grad` for evaluation and updates, `enable_grad` inside it."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from typing import Any


class _State(threading.local):
    """The autograd state of one thread."""

    recording = True  # whether ops are added to the graph


state = _State()
monitors: dict[int, Any] = {}  # by thread: what `detect_anomaly` installs to check each op and each gradient


def current_monitor() -> Any:
    """The monitor of this thread, or None."""
    return monitors.get(threading.get_ident()) if monitors else None


class set_grad_enabled(ContextDecorator):
    """Turn recording on or off in a `with` block or a decorated function; afterwards the old mode is restored.

    Args:
        mode: True to record ops, False not to.

    Raises:
        TypeError: `mode` is not a bool.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones(2, requires_grad=True)
        >>> with mg.set_grad_enabled(False):
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled: expected True or False, got {mode!r}")
        self.mode = mode
        self.previous: list[bool] = []

    def __enter__(self) -> None:
        self.previous.append(state.recording)
        state.recording = self.mode

    def __exit__(self, *exception: object) -> None:
        state.recording = self.previous.pop()


class no_grad(set_grad_enabled):
    """Turn recording off: `with no_grad():` or `@no_grad()`, for evaluation and for in-place updates.

    Example:
        >>> import minigrad as mg
        >>> w = mg.ones(2, requires_grad=True)
        >>> with mg.no_grad():
        ...     w -= 0.5
        >>> w
        tensor([0.5, 0.5], requires_grad=True)
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Turn recording back on inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


def is_grad_enabled() -> bool:
    """Whether ops are recorded in this thread."""
    return state.recording
