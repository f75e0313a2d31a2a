"""Op.formula and Op.gradients: parsed from the docstring, complete for every op of minigrad."""

import re

import numpy as np
import pytest
from helpers.op_check import OUR_OPS
from helpers.strategies import Argument, cases
from hypothesis import HealthCheck, Phase, given, settings

from minigrad.autograd.methods import OPS
from minigrad.autograd.op_description import parse_docstring
from minigrad.backend import library


def differentiable_arguments(name):
    """The names of the arguments with a VJP, over a few calls of the body."""
    op, found = OPS[name].op, set()

    @settings(max_examples=20, phases=[Phase.generate], derandomize=True, suppress_health_check=list(HealthCheck))
    @given(cases(op, "float64", "cpu"))
    def collect(case):
        arrays = [a.host if isinstance(a, Argument) else a for a in case.arguments]
        with np.errstate(all="ignore"):
            _, vjps = op.body(library("cpu").xp, *arrays, **case.options)
        names = ["tensorᵢ"] * len(arrays) if op.variadic else op.array_names
        found.update(name for name, vjp in zip(names, vjps) if vjp is not None)

    collect()
    return found


@pytest.mark.parametrize("name", OUR_OPS)
def test_op_has_a_formula_and_a_line_per_gradient(name):
    op = OPS[name].op
    assert op.formula
    assert "\n" not in op.formula
    assert re.match(r"(y|Y|ℓ|yᵢ) = ", op.formula), op.formula
    assert {*op.gradients} == differentiable_arguments(name)
    for argument, line in op.gradients.items():
        assert re.match(rf"dL/d{argument} = \S", line, re.IGNORECASE), line


def test_docstring_is_parsed_by_sections():
    text = """Y = A B

    A sentence.

    Gradients:
        dL/dA = G Bᵀ
            (continued)
        dL/db₁ = G

    Shape:
        dL/dC = no gradient
    """
    assert parse_docstring(text) == ("Y = A B", {"a": "dL/dA = G Bᵀ", "b₁": "dL/db₁ = G"})
    assert parse_docstring("y = x") == ("y = x", {})
    assert parse_docstring("") == ("", {})
