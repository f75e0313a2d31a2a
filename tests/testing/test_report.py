"""The report of gradcheck: its text, the names of places, and the error that carries it."""

import math

import pytest
from helpers.planted_ops import check, planted_op, random_tensor, square

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.testing import GradcheckError, gradcheck
from minigrad.testing._report import Fault, InputSummary, Kink, Report


def wrong_at(k):
    """The VJP of x², but twice as large at the element k of the flattened array."""
    return lambda xp, x, g: 2 * x * g * xp.where(xp.arange(x.size).reshape(x.shape) == k, 2.0, 1.0)


def test_report_text():
    report = Report("f, gradient")
    report.inputs = [
        InputSummary("input 0", (3,), 5, 1, 4, 0, 0, 2e-9),
        InputSummary("parameter w", (), 0, 0, 0, 0, 1, 0.0),
    ]
    report.faults = [Fault("parameter w", "d(output) / d(parameter w)", 3.0, 1.5, 1e-9, (1.0, 2.0), "1 of 1", "a bug")]
    report.kinks = [Kink(f"d(output) / d(input 0[{i}])", 0.5, 0.0, 1.0) for i in range(3)]
    report.convergence = [(0.25, 1e-3, None), (0.125, 2.5e-4, 2.0), (0.0625, 0.0, math.inf)]
    lines = [
        "gradcheck of f, gradient: FAILED",
        "  1 of 1 slopes are wrong, the worst d(output) / d(parameter w)",
        "    analytic 3, numeric 1.5 ± 1e-09, absolute error 1.50e+00, relative error 5.00e-01",
        "    a kink: slopes from 1 to 2",
        "    likely cause: a bug",
        "               shape    agree   zero  kinks  below noise  wrong  worst error",
        "  input 0      (3,)         5      1      4            0      0      2.0e-09",
        "  parameter w  ()           0      0      0            0      1            -",
        "  kink d(output) / d(input 0[0]): analytic 0.5 lies in [0, 1]",
        "  kink d(output) / d(input 0[1]): analytic 0.5 lies in [0, 1]",
        "  kink d(output) / d(input 0[2]): analytic 0.5 lies in [0, 1]",
        "  |numeric - analytic| along one direction (order 2: half of h, a quarter of the error)",
        "    h 0.2500   error 1.0e-03",
        "    h 0.1250   error 2.5e-04   order 2.00",
        "    h 0.0625   error 0.0e+00   rounding",
    ]
    assert str(report).split("\n") == lines
    report.kinks.append(report.kinks[0])
    assert str(report).split("\n") == [*lines[:11], "  ... and 1 more kinks", *lines[11:]]
    assert str(Report("f, gradient")) == "gradcheck of f, gradient: passed"


def test_report_names_the_function():
    assert str(gradcheck(F.tanh, random_tensor(2))).startswith("gradcheck of tanh, gradient: passed")
    assert str(gradcheck(nn.Tanh(), random_tensor(2))).startswith("gradcheck of Tanh")


def test_failed_check_raises_the_report():
    with pytest.raises(GradcheckError, match="the sign: a minus too many") as error:
        gradcheck(planted_op(square, lambda xp, x, g: -2 * x * g), random_tensor(3))
    assert not error.value.report
    assert isinstance(error.value, AssertionError)


def test_fault_has_place_and_size():
    (fault,) = check(planted_op(square, wrong_at(5)), mg.tensor([[0.5, 1, 1], [1, 1, 3]])).faults
    assert fault.name == "input 0"
    assert fault.place == "d(output[1, 2]) / d(input 0[1, 2])"
    assert (fault.analytic, fault.numeric) == pytest.approx((12, 6), rel=1e-8)
    assert (fault.absolute, fault.relative) == pytest.approx((6, 0.5), rel=1e-8)
    text = str(fault)
    assert "analytic 12" in text
    assert "absolute error 6.00e+00, relative error 5.00e-01" in text


def test_fault_names_output_and_parameter():
    model = nn.Linear(3, 2)
    broken = planted_op(lambda xp, x, w: x * w, lambda xp, x, w, g: g * w, lambda xp, x, w, g: -g * x)
    report = check(lambda x: (model(x), broken(x, model.weight)), random_tensor(2, 3), module=model)
    assert [fault.name for fault in report.faults] == ["parameter weight"]
    assert report.faults[0].place.startswith("d(output 1[")
    assert "d(parameter weight[" in report.faults[0].place


def test_fault_names_only_the_wrong_argument():
    function = planted_op(lambda xp, x, w: x * w, lambda xp, x, w, g: g * w, lambda xp, x, w, g: -g * x)
    assert [fault.name for fault in check(function, random_tensor(3), random_tensor(3, seed=1)).faults] == ["input 1"]


def test_place_names_the_output_or_the_mixture():
    cut = lambda x: (2 * x, 3 * x.detach() + 0 * x)
    assert check(cut, mg.tensor([1.0, 2.0])).faults[0].place.startswith("d(output 1[0])")
    absolute = planted_op(lambda xp, x: (x * x).sum(), lambda xp, x, g: 2 * x * abs(g))
    assert check(absolute, mg.tensor([1.0])).faults[0].place == "d(outputs, mixed) / d(input 0[0])"


def test_worst_slope_is_a_wrong_one_however_small():
    (fault,) = check(planted_op(square, wrong_at(2)), mg.tensor([1.0, 1.0, 0.1])).faults
    assert fault.place == "d(output[2]) / d(input 0[2])"
    assert (fault.analytic, fault.numeric) == pytest.approx((0.4, 0.2), rel=1e-6)


def test_wrong_slopes_are_counted_over_all_elements():
    report = check(planted_op(lambda xp, x: (x * x).sum(), lambda xp, x, g: 4 * x * g), random_tensor(100))
    assert report.faults[0].wrong == "200 of 200"


def test_wrong_element_among_many_is_found_at_large_gradient():
    x = random_tensor(4, 500)
    x[0, 7] = 50.0
    row_sums = planted_op(lambda xp, x: (x * x).sum(axis=-1), lambda xp, x, g: wrong_at(7)(xp, x, g[:, None]))
    (fault,) = check(row_sums, x).faults
    assert fault.place == "d(output[0]) / d(input 0[0, 7])"
    (fault,) = check(planted_op(square, wrong_at(7)), x).faults
    assert fault.place == "d(outputs, mixed) / d(input 0[0, 7])"


def test_same_seed_gives_same_report():
    def text(seed):
        return str(check(planted_op(square, lambda xp, x, g: 2.02 * x * g), random_tensor(40, 30), seed=seed))

    assert text(0) == text(0) != text(1)
