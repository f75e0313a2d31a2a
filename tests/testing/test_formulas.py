"""The formulas of the ops, and the inputs on which `python -m minigrad check` compares the ops with them."""

import math

import numpy as np
import pytest

from minigrad import backend
from minigrad.testing import formulas
from minigrad.testing import selftest as check


def test_inputs_have_both_signs_and_avoid_kinks():
    rng, shape = backend.random.new_generator(0), (10, 20)
    numbers = formulas.signed(rng, shape, 0)
    assert sorted({*np.sign(numbers).ravel()}) == [-1, 1]
    assert 0.5 <= np.abs(numbers).min() < np.abs(numbers).max() <= 2
    apart = [np.sort(formulas.distinct(rng, (9,), position)) for position in (0, 1)]
    assert apart[0] == pytest.approx([0.05 + 0.2 * i for i in range(-4, 5)])
    assert np.abs(apart[0][:, None] - apart[1]).min() == pytest.approx(0.1)
    assert sorted({*formulas.tied(rng, shape, 0).ravel()}) == [-1, 0, 1]
    special = formulas.special(rng, shape, 0)
    assert {str(number) for number in special.ravel()} == {"0.0", "1.0", "nan", "inf", "-inf"}


def test_options_have_axes_from_both_ends_and_keepdim():
    shape = (3, 3, 4)
    ends = {"softmax": {0, -1}, "cat": {0, -1}, "sum": {None, 0, (0, -1)}, "argmax": {1, -1}}
    for name, dims in ends.items():
        assert {options["dim"] for options in formulas.FORMULAS[name].options(shape)} == dims
    for name in ("sum", "amax", "argmax", "logsumexp"):
        assert {options["keepdim"] for options in formulas.FORMULAS[name].options(shape)} == {False, True}
    for name in ("flatten", "transpose"):
        assert any(n < 0 for options in formulas.FORMULAS[name].options(shape) for n in options.values())
    picked = [np.arange(36).reshape(shape)[index] for index in (option["index"] for option in formulas.indices(shape))]
    assert picked[0][:, 0].tolist() == [8, 20, 32]
    assert picked[1][:, 0, 0].tolist() == [0, 0, 24]
    assert picked[2][:, 0].tolist() == [8, 4, 0]


def test_conventions_are_tried_at_both_zeros_and_bounds():
    for name in ("relu", "abs"):
        (numbers,) = formulas.CONVENTIONS[name][0]
        assert {math.copysign(1, number) for number in numbers} == {-1, 1}
    (numbers,), bounds, _ = formulas.CONVENTIONS["clip"]
    assert (bounds["min"], bounds["max"]) == tuple(numbers)
    assert numbers[0] < numbers[1]


@pytest.mark.parametrize("name", sorted(formulas.FORMULAS))
def test_op_agrees_with_its_formula(name, monkeypatch):
    monkeypatch.setattr(check, "EXAMPLES", 3)
    row = check.check_op(name, [backend.float64], backend.device("cpu"), backend.random.new_generator(0))
    assert row.passed, row.verdict


def test_examples_have_0_1_and_2_axes():
    drawn = check.examples("exp", backend.random.new_generator(0))
    assert {example.arrays[0].ndim for example in drawn} == {0, 1, 2}


def test_limit_is_64_ulp_and_the_error_of_slopes():
    longest = np.finfo(np.longdouble).nmant
    assert check.limit(backend.float64) == 64 + 2.0 ** (13 + 52 - longest)
    assert check.limit(backend.float32) == 64 + 2.0 ** (13 + 23 - longest)
