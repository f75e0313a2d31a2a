"""The numeric side of gradcheck: step size, noise, uncertainty, kinks, convergence, cotangents and directions."""

import math

import numpy as np
import pytest
from helpers.planted_ops import check, planted_op, random_tensor

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend
from minigrad.testing import gradcheck
from minigrad.testing._function import random_nonzero


# Scale, step and noise
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e-3, 1e3, 1e8, 1e30])
def test_scale_of_function_does_not_matter(scale):
    assert gradcheck(lambda x: scale * F.tanh(x), random_tensor(3))
    for wrong in (0.0, 1.001):
        vjp = lambda xp, x, g, wrong=wrong: wrong * scale * g
        assert not check(planted_op(lambda xp, x: scale * x, vjp), random_tensor(3))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_of_input_does_not_matter(scale):
    x = random_tensor(3) * scale
    assert gradcheck(lambda x: x * x * x, x, eps=6e-6 * min(scale, 1))


def test_step_adapts_to_near_kinks_and_curvature():
    assert gradcheck(F.relu, mg.tensor([8e-6, -8e-6, 3e-6], dtype="float64"))
    assert gradcheck(lambda x: F.sigmoid(1e4 * x), mg.tensor([1e-5, -3e-5], dtype="float64"))


def test_smallest_step_avoids_a_near_jump():
    function = planted_op(lambda xp, x: xp.where(x > 2e-7, x + 1, x), lambda xp, x, g: 1 * g)
    (summary,) = gradcheck(function, mg.tensor([0.0])).inputs
    assert (summary.agree, summary.below_noise) == (1, 0)


def test_error_below_first_uncertainty_is_found_by_next_step():
    steep = lambda xp, x: 1e-8 / (1 + xp.exp(-1e4 * x))
    right = lambda xp, x, g: g * 1e12 * steep(xp, x) * (1e-8 - steep(xp, x))
    assert gradcheck(planted_op(steep, right), mg.tensor([0.0]))
    assert not check(planted_op(steep, lambda xp, x, g: 1.0002 * right(xp, x, g)), mg.tensor([0.0]))


@pytest.mark.parametrize("eps", [0.3, 0.1, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize(
    ("function", "slope", "x"),
    [
        (lambda xp, x: x**5, lambda x: 5 * x**4, 1.3),
        (lambda xp, x: xp.exp(x), math.exp, 3.0),
        (lambda xp, x: xp.sin(30 * x), lambda x: 30 * math.cos(30 * x), 0.7),
        (lambda xp, x: 1 / x, lambda x: -1 / x**2, 0.01),
        (lambda xp, x: xp.log(x), lambda x: 1 / x, 1e-7),
    ],
)
def test_uncertainty_bounds_the_error_of_the_slope(function, slope, x, eps):
    (fault,) = check(planted_op(function, lambda xp, x, g: 0 * g), mg.tensor(x, dtype="float64"), eps=eps).faults
    assert abs(fault.numeric - slope(x)) <= fault.uncertainty <= 1e-7 * abs(slope(x))


def test_rounding_inside_the_function_is_measured():
    for size in (1, 1e8):  # the loss of digits, and the step that shows it, depend on the size of x
        (summary,) = gradcheck(lambda x, far=1e6 * size: (x + far) - far, random_tensor(5) * size).inputs
        assert summary.agree == 5


def test_slopes_below_noise_are_not_zero():
    (summary,) = check(lambda x: 1e-18 * x + 1, random_tensor(3)).inputs
    assert (summary.agree, summary.below_noise) == (0, 3)


def test_worst_error_is_relative():
    assert gradcheck(lambda x: 1e9 * F.tanh(x), random_tensor(5)).inputs[0].worst < 1e-8
    assert gradcheck(lambda x: 1e-9 * F.tanh(x), random_tensor(5)).inputs[0].worst > 1e-14


# Cotangents and directions
@pytest.mark.parametrize(("n", "slopes"), [(20, 20), (512, 512), (513, 25)])
def test_up_to_512_elements_are_checked_one_by_one(n, slopes):
    assert gradcheck(lambda x: (x * x).sum(), random_tensor(n)).inputs[0].agree == slopes


@pytest.mark.parametrize(("n", "slopes"), [(256, 512), (257, 16)])
def test_up_to_512_outputs_are_checked_one_by_one(n, slopes):
    assert gradcheck(lambda x: x.broadcast_to((n, 2)) * 2, random_tensor(2)).inputs[0].agree == slopes


def test_large_inputs_and_outputs_use_8_random_directions_each():
    summary = gradcheck(lambda x: x * x, random_tensor(600)).inputs[0]
    assert (summary.agree >= 64, summary.below_noise, summary.wrong) == (True, 0, 0)
    assert summary.worst < 1e-7


def test_small_input_beside_a_large_one_is_checked_one_by_one():
    w = random_tensor(8)
    w[3] = 0.0
    (kink,) = gradcheck(lambda x, w: (x * x).sum() + F.relu(w).sum(), (random_tensor(600), w)).kinks
    assert kink.place == "d(output) / d(input 1[3])"


def test_random_cotangents_have_both_signs_and_are_not_small():
    numbers = random_nonzero(backend.random.new_generator(0), (1000,))
    assert {*np.sign(numbers)} == {-1, 1}
    assert (np.abs(numbers).min(), np.abs(numbers).max()) == pytest.approx((0.5, 1.5), abs=0.01)


# Kinks
@pytest.mark.parametrize(
    ("function", "x", "analytic", "interval"),
    [
        (F.relu, [0.0, 1.0, -1.0], 0, (0, 1)),
        (mg.abs, [0.0, 1.0, -1.0], 0, (-1, 1)),
        (lambda x: mg.amax(x), [2.0, 2.0, 1.0], 0.5, (0, 1)),
        (lambda x: mg.maximum(x, 1.0), [1.0, 2.0, 0.0], 0.5, (0, 1)),
        (lambda x: mg.clip(x, -1, 1), [1.0, 0.5, 7.0], 1, (0, 1)),
    ],
)
def test_kink_is_reported_with_its_interval(function, x, analytic, interval):
    report = gradcheck(function, mg.tensor(x, dtype="float64"))
    assert report
    kink = report.kinks[0]
    assert kink.analytic == pytest.approx(analytic)
    assert (kink.low, kink.high) == pytest.approx(interval, abs=1e-3)
    assert "input 0[0]" in kink.place
    assert "lies in [" in str(report)


@pytest.mark.parametrize("function", [F.relu, mg.abs, lambda x: F.relu(x) ** 2 + mg.abs(x)])
@pytest.mark.parametrize("seed", range(5))
def test_second_derivative_at_kink_fails_for_any_seed(function, seed):
    report = gradcheck(function, mg.tensor([0.0, 1.0, -2.0]), order=2, seed=seed, raise_exception=False)
    assert report.kinks
    assert not report.passed
    assert "not defined at a kink" in report.second_order.problem


def test_smooth_functions_have_no_kinks():
    x = mg.tensor([0.0, 1e-9, 1.0], dtype="float64")
    for function in (lambda x: x * x, F.softplus, F.sigmoid, lambda x: x * x * x, lambda x: (x * 100).exp()):
        assert not gradcheck(function, x, allow_zero=True).kinks


@pytest.mark.parametrize("value", [1.3, -1.01])
def test_value_outside_the_subgradients_fails(value):
    function = planted_op(lambda xp, x: xp.abs(x), lambda xp, x, g: g * xp.where(x == 0, value, xp.sign(x)))
    report = check(function, mg.tensor([0.0, 1.0]))
    assert not report
    assert report.faults[0].interval == pytest.approx((-1, 1), abs=1e-3)
    assert "not a subgradient" in str(report)
    assert "a kink: slopes from -1 to 1" in str(report)


def test_end_of_the_interval_is_a_subgradient():
    vjp = lambda xp, x, g: g * xp.exp(-x) * (x >= 0)  # the measured slope from the right is less than 1
    assert gradcheck(planted_op(lambda xp, x: xp.maximum(1 - xp.exp(-x), 0), vjp), mg.tensor([0.0, 1.0])).kinks


def test_jump_is_not_a_kink():
    function = planted_op(lambda xp, x: xp.where(x > 0, x + 1, x), lambda xp, x, g: g * 1)
    assert not check(function, mg.tensor([0.0, 0.0]))


def test_slope_beside_a_jump_is_measured():
    beside = lambda slope: planted_op(lambda xp, x: xp.where(x > 3e-6, x + 1, x), lambda xp, x, g: slope * g)
    assert gradcheck(beside(1), mg.tensor(0.0))
    assert not check(beside(2), mg.tensor(0.0))


def test_edge_of_domain_is_named():
    assert "at the edge of its domain" in str(check(mg.sqrt, mg.zeros(2)))
    assert "not finite at this input" in str(check(mg.log, mg.zeros(2)))


# Convergence
def test_convergence_has_order_2_for_a_right_gradient():
    steps = gradcheck(F.tanh, random_tensor(4)).convergence
    assert len(steps) == 4
    assert [order for _, _, order in steps[1:]] == pytest.approx([2, 2, 2], abs=0.05)
    assert "order 2.0" in str(gradcheck(F.tanh, random_tensor(4)))


def test_convergence_has_order_0_for_a_wrong_gradient():
    steps = check(planted_op(lambda xp, x: xp.tanh(x), lambda xp, x, g: 2 * g), random_tensor(4)).convergence
    assert [order for _, _, order in steps[1:]] == pytest.approx([0, 0, 0], abs=0.05)


def test_convergence_of_a_linear_function_is_only_rounding():
    assert all(order == math.inf for _, _, order in gradcheck(lambda x: 3 * x, random_tensor(4)).convergence)


def test_convergence_allows_for_rounding_of_all_outputs():
    steps = gradcheck(lambda x: (1e6 * x, x), mg.tensor(0.7, dtype="float64")).convergence
    assert [order for _, _, order in steps] == [math.inf] * 4


# Hard functions: each with a right VJP, and with a wrong one
def step_function(xp, x):
    return xp.round(1e6 * x) / 1e6


HARD = {
    "tiny": (lambda xp, x: 1e-12 * xp.tanh(x), lambda x: 1e-12 * (1 - np.tanh(x) ** 2), [0.3, -1.2]),
    "huge": (lambda xp, x: 1e12 * xp.tanh(x), lambda x: 1e12 * (1 - np.tanh(x) ** 2), [0.3, -1.2]),
    "near overflow": (lambda xp, x: xp.exp(x), np.exp, [709.0, 708.0]),
    "near a pole": (lambda xp, x: 1 / x, lambda x: -1 / x / x, [1e-9, 2e-9]),
    "near the edge of its domain": (lambda xp, x: xp.sqrt(x), lambda x: 0.5 / np.sqrt(x), [1e-9, 2e-9]),
    "steep": (lambda xp, x: xp.tanh(1e6 * x), lambda x: 1e6 / np.cosh(1e6 * x) ** 2, [1e-7, -3e-7]),
    "flat": (lambda xp, x: xp.exp(-x * x), lambda x: -2 * x * np.exp(-x * x), [10.0, 9.5]),
    "fast oscillation": (lambda xp, x: xp.sin(1e6 * x), lambda x: 1e6 * np.cos(1e6 * x), [0.4, -1.1]),
    "period near the step": (lambda xp, x: xp.sin(250 * x), lambda x: 250 * np.cos(250 * x), [1000.004, 1000.0165]),
    "cancellation": (lambda xp, x: 1 - xp.cos(x), np.sin, [1e-4, 2e-4]),
    "lost digits": (lambda xp, x: x + 1e10 - 1e10, np.ones_like, [0.4, -1.1]),
    "float32 inside": (lambda xp, x: xp.sin(x.astype("float32")).astype("float64"), np.cos, [0.4, -1.1]),
    "joint of two parabolas": (lambda xp, x: x * xp.abs(x), lambda x: 2 * np.abs(x), [0.0, 1.0]),
    "joint of Huber's loss": (
        lambda xp, x: xp.where(xp.abs(x) < 1, x * x / 2, xp.abs(x) - 0.5),
        lambda x: np.clip(x, -1, 1),
        [1.0, -1.0, 0.3],
    ),
    "near a multiple": (lambda xp, x: x % 1.0, np.ones_like, [0.3, 1.7]),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_function_is_judged_rightly(name):
    function, slope, x = HARD[name]
    x = mg.tensor(x, dtype="float64")
    assert gradcheck(planted_op(function, lambda xp, x, g: g * slope(x)), x)
    assert not check(planted_op(function, lambda xp, x, g: 1.01 * g * slope(x)), x)


def test_step_function_has_slope_zero():
    x = mg.tensor([0.3333333, 1.7777777], dtype="float64")
    report = check(planted_op(step_function, lambda xp, x, g: g * 1), x)
    assert not report
    assert "constant around this input" in str(report)
    assert gradcheck(planted_op(step_function, lambda xp, x, g: g * 0), x, allow_zero=True)


def test_small_slope_beside_a_large_one_is_found():
    function = lambda xp, x: 1e8 * x[:1] + 1e-6 * x[1:]
    wrong = planted_op(function, lambda xp, x, g: xp.concatenate([1e8 * g, 0 * g]))
    assert not check(wrong, random_tensor(2))


def test_tie_shares_must_add_up():
    shares = lambda *share: planted_op(
        lambda xp, x: xp.max(x), lambda xp, x, g: g * (x == xp.max(x)) * xp.asarray([*share, 0.0])
    )
    x = mg.tensor([2.0, 2.0, 1.0], dtype="float64")
    for share in ((0.5, 0.5), (1.0, 0.0), (0.2, 0.8)):
        assert gradcheck(shares(*share), x)
    report = check(shares(0.2, 0.3), x)
    assert not report
    assert "shares at a tie that do not add up" in str(report)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, lambda x, dim: F.sigmoid(x), mg.logsumexp])
def test_saturated_function_passes(function):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        x = mg.tensor(rng.normal(size=(3, 4)) * 10 ** rng.uniform(-1, 1.5))
        assert check(lambda x: function(x, dim=1), x, seed=seed, allow_zero=True).verdict == "passed"


def test_rounding_of_a_gradient_along_a_direction_is_allowed():
    x = random_tensor(3000)
    for seed in range(5):
        assert check(lambda x: (x - x.mean()) * 1e3, x, seed=seed, allow_zero=True).verdict == "passed"
