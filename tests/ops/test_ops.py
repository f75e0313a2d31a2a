"""Every op in OPS, on every backend, in float32 and float64. `helpers.op_check` lists the checks."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.fake_gpu import DEVICES
from helpers.op_check import DTYPES, OUR_OPS, OpCheck, check_op
from helpers.strategies import Case, cases
from helpers.torch_reference import REFERENCES, torch
from hypothesis import given, settings

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.backend import library


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OUR_OPS)
def test_op(name: str, backend: str, dtype: str) -> None:
    if name not in REFERENCES:
        pytest.fail(
            f"the op `{name}` has no reference: add a row `{name}` to REFERENCES in tests/helpers/torch_reference.py"
        )
    op = OPS[name].op

    @given(cases(op, dtype, DEVICES[backend]))
    def check(case: Case) -> None:
        check_op(name, backend, dtype, case)

    check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OUR_OPS)
def test_op_of_large_arrays(name: str, backend: str, dtype: str) -> None:
    """Past the sizes at which an implementation may change its method: 5 axes, 256 rows, 4,096 elements."""

    @settings(max_examples=max(settings().max_examples // 5, 10))
    @given(cases(OPS[name].op, dtype, DEVICES[backend], large=True))
    def check(case: Case) -> None:
        check_op(name, backend, dtype, case)

    check()


def test_every_reference_has_its_op() -> None:
    assert set(REFERENCES) <= set(OPS)


# Beside the op test
@pytest.mark.parametrize("name", [name for name, row in REFERENCES.items() if row.gradient and name != "move"])
def test_gradcheck_agrees(name: str) -> None:
    """minigrad's own gradcheck, in two smooth cases for each op."""
    smooth: list[Case] = []

    @settings(max_examples=30, derandomize=True)
    @given(cases(OPS[name].op, "float64", "cpu"))
    def collect(case: Case) -> None:
        check = OpCheck(name, "numpy", "float64", case)
        leaves = check.leaves()
        y = check.call(leaves)
        if case.kind == "smooth" and y.numel() and y.dtype == "float64" and all(a.host.size for a in check.arrays):
            smooth.append(case)
            if len(smooth) <= 2:
                assert mg.gradcheck(lambda *leaves: check.call(leaves), leaves, allow_zero=True), case.describe()

    collect()
    assert smooth


def test_argument_without_a_gradient_raises() -> None:
    x, p = mg.zeros(2, requires_grad=True), mg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"not differentiable with respect to `pos_weight`; use pos_weight.detach\(\)"):
        OPS["binary_cross_entropy_with_logits"](x, mg.zeros(2), p)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp", "log", "log1p", "sqrt", "sigmoid", "tanh", "softplus"])
def test_functions_are_accurate_to_a_few_ulp(name: str, backend: str, dtype: str) -> None:
    """For numbers of either sign from 1e-30 to 700: a relative error of at most 4 ε."""
    if torch is None:
        pytest.skip("torch, the reference, is not installed")
    x = np.geomspace(1e-30, 700, 2000).astype(dtype)
    x = x if name in ("log", "sqrt") else x[x < 0.5] * -1 if name == "log1p" else np.concatenate([-x, x])
    lib = library(DEVICES[backend])
    y = lib.to_host(OPS[name](mg.tensor(x, device=lib.device)).array)
    function = torch.nn.functional.softplus if name == "softplus" else getattr(torch, name)
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        exact = function(torch.tensor(x.astype("float64"))).numpy().astype(dtype)
        error = np.abs(y - exact) / np.maximum(np.abs(exact) * info.eps, info.smallest_normal * info.eps)
    error[np.isinf(exact) & (y == exact)] = 0
    worst = int(error.argmax())
    assert error[worst] <= 4, f"{name}({x[worst]!r}) is {y[worst]!r}, expected {exact[worst]!r}: {error[worst]:.1f} ε"
