"""Fused ops against their formulas in testing/formulas.py, composed of minigrad's smaller ops."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.fake_gpu import DEVICES
from helpers.op_check import DTYPES, OpCheck, cotangent_tensor, draw_cotangent
from helpers.strategies import Case, cases
from hypothesis import assume, given

from minigrad.autograd.methods import OPS
from minigrad.autograd.op import tensor_namespace
from minigrad.testing.formulas import FORMULAS

FUSED = [name for name, formula in FORMULAS.items() if formula.fused]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUSED)
def test_fused_op_equals_its_formula(name: str, backend: str, dtype: str) -> None:
    """Value and gradients, within 8 times the bound of the op test: the composition rounds more often."""

    @given(cases(OPS[name].op, dtype, DEVICES[backend]))
    def check(case: Case) -> None:
        assume(
            case.kind != "extreme"
            and all(a is None or isinstance(a, (int, float)) or a.host.size for a in case.arguments)
        )
        fused = OpCheck(name, backend, dtype, case)
        leaves, others = fused.leaves(), fused.leaves()
        y = fused.call(leaves)
        rest = iter(others)
        args = [next(rest) if hasattr(a, "host") else a for a in case.arguments]
        composed = FORMULAS[name].value(tensor_namespace, *args, **case.options)
        fused.scale = max(fused.scale, float(np.abs(fused.host(y.array)).max(initial=0)))
        fused.close("the value beside its formula's", fused.host(y.array), fused.host(composed.array), slack=8)
        g = draw_cotangent(fused, y)
        y.backward(cotangent_tensor(y, g))
        composed.backward(cotangent_tensor(composed, g))
        for argument, leaf, other in zip(fused.arrays, leaves, others):
            if leaf.grad is not None:
                what = f"the gradient of {argument.name} beside its formula's"
                fused.close(what, fused.host(leaf.grad.array), fused.host(other.grad.array), slack=8)

    check()
