"""What a check raises where an engine does not do what is required."""

from __future__ import annotations

from typing import Any

from ... import backend
from .op_cases import Call, written

np = backend.numpy


class Mismatch(AssertionError):
    """A counterexample: what was run, what was expected and what came out, both as text, and the likely cause."""

    def __init__(
        self, example: str, expected: Any, got: Any, cause: str = "", size: int = 0, call: Call | None = None
    ) -> None:
        super().__init__(example)
        self.example = example
        self.expected, self.got = as_text(expected), as_text(got)
        self.cause, self.size, self.call = cause, size, call


class Rejected(Exception):
    """The example has no answer, as the maximum of an empty array."""


def as_text(value: Any) -> str:
    """Numbers with seven digits, arrays as lists, text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(as_text, value)) + "]"
    if isinstance(value, (float, int)):
        return f"{value:.7g}"
    if value is None or not hasattr(value, "astype"):
        return repr(value)
    value = np.asarray(value)
    return written(value) if value.size > 24 or not value.size else as_text(value.astype(float).tolist())


def raised(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
