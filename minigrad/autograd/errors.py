"""Exceptions of the engine."""

from __future__ import annotations


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit. torch raises RuntimeError for it, NumPy ValueError; this is both."""
