"""Whether ops are recorded: `no_grad` for evaluation and updates, `enable_grad` inside it."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from itertools import count

clock = count()  # the time of an event: a node's making, an in-place change


class Mode(threading.local):
    """Whether ops are recorded, in each thread by itself."""

    recording = True


mode = Mode()


class set_grad_enabled(ContextDecorator):
    """Record ops, or don't, inside a `with` block or a decorated function; the state before it comes back after it."""

    def __init__(self, enabled: bool) -> None:
        if not isinstance(enabled, bool):
            raise TypeError(f"set_grad_enabled: expected True or False, got {enabled!r}")
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(mode.recording)
        mode.recording = self.enabled

    def __exit__(self, *exception: object) -> None:
        mode.recording = self.before.pop()


class no_grad(set_grad_enabled):
    """Without recording: `with no_grad():` or `@no_grad()`, for evaluation and for updates in place."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """With recording again, inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


def is_grad_enabled() -> bool:
    """True where ops are recorded."""
    return mode.recording
