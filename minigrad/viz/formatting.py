"""Numbers, shapes and lists as text."""

from __future__ import annotations

import math
from typing import Any

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
EXPONENTS = str.maketrans({"ˣ": " x ", "ʸ": " y ", "ᵖ": " p "})


def number(value: Any, digits: int = 4) -> str:
    """A number in `digits` significant digits, with a typographic minus sign: −0.0125."""
    value = float(value)
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value + 0.0:.{digits}g}".replace("-", "−")


def shape_text(shape: tuple[int, ...]) -> str:
    """`16 × 64`; `5 numbers` for a vector, `1 number` for a scalar."""
    if not shape:
        return "1 number"
    return " × ".join(f"{n:,}" for n in shape) if len(shape) > 1 else f"{shape[0]:,} number{'s' * (shape[0] != 1)}"


def place(index: tuple[int, ...]) -> str:
    """`[3, 17]`; "" for the index () of a scalar."""
    return f"[{', '.join(map(str, index))}]" if index else ""


def listing(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def axis_list(axes: list[int]) -> str:
    """`axis 0`, `axes 0 and 1`."""
    return f"{'axis' if len(axes) == 1 else 'axes'} {listing([str(axis) for axis in axes])}"


def signed(value: Any, digits: int = 4) -> str:
    """A number inside a formula: in brackets if it is negative."""
    return f"({number(value, digits)})" if value < 0 else number(value, digits)


def terms(numbers: list[float], shown: int = 4) -> str:
    """`0.1 + 0.2 + (−0.3)`; of many terms the largest, and how many there are."""
    if len(numbers) > shown:
        numbers, more = sorted(numbers, key=abs, reverse=True)[: shown - 1], f" + … ({len(numbers)} terms)"
    else:
        more = ""
    return " + ".join(signed(v, 3) for v in numbers) + more


def formula_letters(formula: str) -> set[str]:
    """The letters and names in a formula, up to a colon: those of `y = eˣ + p_label` are y, e, x, p_label and p."""
    text = formula.partition(":")[0].translate(EXPONENTS)
    words = "".join(c if (c.isascii() and c.isalpha()) or c in "_ℓ" else " " for c in text).split()
    return {*words, *(word[0] for word in words if word[1:2] == "_")}
