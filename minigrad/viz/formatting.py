"""Numbers and shapes as a reader sees them."""

from __future__ import annotations

import math
from typing import Any

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def number(value: Any, digits: int = 4) -> str:
    """A number in `digits` significant digits, with a minus sign that is one: −0.0125."""
    value = float(value)
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value + 0.0:.{digits}g}".replace("-", "−")


def shape_text(shape: tuple[int, ...]) -> str:
    """`16 × 64`; one number has the shape `1 number`."""
    if not shape:
        return "1 number"
    return " × ".join(f"{n:,}" for n in shape) if len(shape) > 1 else f"{shape[0]:,} number{'s' * (shape[0] != 1)}"


def place(index: tuple[int, ...]) -> str:
    """`[3, 17]`; nothing for the index of a single number."""
    return f"[{', '.join(map(str, index))}]" if index else ""


def listing(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
