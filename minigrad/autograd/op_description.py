"""What is known of an op before it is called: its signature, and the formulas in its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any


class OpDescription:
    """One op: its body, its formula and gradients (from the docstring), and the signature of its shapes.

    The signature is NumPy's for generalised ufuncs: "(n,k),(k,m)->(n,m)" names the core dimensions, the last axes of
    each array; the axes before them broadcast. "..." stands for any axes, in "(...,i),(o,i)->(...,o)"; then no array
    broadcasts.
    """

    def __init__(self, body: Callable[..., Any], signature: str, float_only: bool, one_dtype: bool) -> None:
        parameters = list(inspect.signature(body).parameters.values())[1:]
        options = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.body = body
        self.name = body.__name__
        self.signature = signature
        self.formula, self.gradients = parse_docstring(body.__doc__ or "")
        self.float_only = float_only
        self.one_dtype = one_dtype
        self.array_names = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.optional_positions = [i for i, p in enumerate(parameters) if p.default is None and p not in options]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.options = tuple(p.name for p in options)
        self.option_set = {*self.options}
        self.required_options = [p.name for p in options if p.default is p.empty]
        axes = [part.split(",") if part else [] for part in signature.split("->")[0][1:-1].split("),(")]
        self.core_names = axes
        self.core_ndim = [None if "..." in signature else len(names) for names in axes]
        self.accepts_number = [not names for names in axes]


def parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The formula (the first paragraph), and the lines of the section "Gradients:" by the name of the argument."""
    formula, _, rest = inspect.cleandoc(text).partition("\n\n")
    section = re.search(r"^Gradients:\n((?: +.*\n?)+)", rest, re.MULTILINE)
    lines = [line.strip() for line in section[1].splitlines()] if section else []
    return formula, {line[4:].partition(" ")[0].lower(): line for line in lines if line.startswith("dL/d")}
