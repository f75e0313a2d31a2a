"""The gradient checker is itself checked: planted faults are caught and named, right gradients pass."""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend, nn
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op, tensor_namespace
from minigrad.testing import GradcheckError, formulas, gradcheck
from minigrad.testing import selftest as check
from minigrad.testing._diagnosis import factor
from minigrad.testing._function import draw
from minigrad.testing._report import Fault, Kink, Line, Report


def numbers(*shape, seed=0, low=0.4, high=1.6):
    """A float64 Tensor of ±[low, high], away from the kinks at 0."""
    rng = np.random.default_rng(seed)
    return mg.tensor(rng.uniform(low, high, shape) * rng.choice([-1, 1], shape))


def planted(value, *rules, signature="(...)->(...)", name="planted"):
    """An op of this value and these rules, of (xp, *arrays) and (xp, *arrays, g), that is in no registry."""

    if len(rules) == 1:

        def body(xp, x):
            return value(xp, x), (lambda g: rules[0](xp, x, g),)
    else:
        signature = "(...),(...)->(...)"

        def body(xp, x, w):
            return value(xp, x, w), tuple(lambda g, rule=rule: rule(xp, x, w, g) for rule in rules)

    body.__name__ = name
    try:
        return op(signature)(body)
    finally:
        del OPS[name]
        delattr(tensor_namespace, name)


def verdict(function, *inputs, **options):
    return gradcheck(function, inputs, raise_exception=False, **options)


def square(xp, x):
    return x * x


def relu(xp, x):
    return xp.maximum(x, 0)


def softmax(xp, x):
    e = xp.exp(x)
    return e / e.sum(axis=1, keepdims=True)


# Right gradients pass
RIGHT = {
    "tanh": (F.tanh, [numbers(3, 4)]),
    "softmax": (lambda x: F.softmax(x, 1), [numbers(3, 4)]),
    "matmul": (mg.matmul, [numbers(3, 4), numbers(4, 2, seed=1)]),
    "vector": (mg.matmul, [numbers(4), numbers(4, seed=1)]),
    "broadcast": (mg.mul, [numbers(3, 1), numbers(4, seed=1)]),
    "0-d": (lambda x: x * x * x, [numbers()]),
    "one output": (lambda x: (x * x).sum(), [numbers(3, 2)]),
    "two outputs": (lambda x, w: (x * w, x.sum()), [numbers(3), numbers(3, seed=1)]),
    "used twice": (lambda x: x @ x, [numbers(3, 3)]),
    "labels": (F.cross_entropy, [numbers(4, 3), mg.tensor([0, 2, 1, 2])]),
    "unused integers": (lambda x, n: x * n, [numbers(2, 3), mg.tensor([1, 2, 3])]),
    "values and indices": (lambda x: x.max(dim=1), [numbers(3, 4)]),
    "large": (lambda x: F.softmax(x, 1), [numbers(40, 50)]),
    "many outputs of few inputs": (lambda x: x.broadcast_to((300, 4)) * 2, [numbers(4)]),
    "transposed memory": (lambda x: x * x, [numbers(3, 4).T]),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_right_gradient_passes(name, precision):
    function, inputs = RIGHT[name]
    report = gradcheck(function, [x.to(dtype=precision) if x.dtype.kind == "f" else x for x in inputs])
    assert report
    assert not report.faults
    assert all(line.agree and not line.hidden for line in report.lines)
    assert "passed" in str(report)


@pytest.mark.parametrize("name", RIGHT)
def test_right_second_derivatives_pass(name):
    function, inputs = RIGHT[name]
    report = gradcheck(function, inputs, order=2)
    assert report.second is not None
    assert report.second.passed


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e-3, 1e3, 1e8, 1e30])
def test_the_scale_of_a_function_does_not_matter(scale):
    assert gradcheck(lambda x: scale * F.tanh(x), numbers(3))
    for wrong in (0.0, 1.001):
        rule = lambda xp, x, g, wrong=wrong: wrong * scale * g
        assert not verdict(planted(lambda xp, x: scale * x, rule), numbers(3))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_an_input_does_not_matter(scale):
    x = numbers(3) * scale
    assert gradcheck(lambda x: x * x * x, x, eps=6e-6 * min(scale, 1))


def test_a_function_with_several_steps_of_its_own_is_resolved():
    """A kink a little beside x, or strong curvature, needs another step than the usual one."""
    assert gradcheck(F.relu, mg.tensor([8e-6, -8e-6, 3e-6], dtype="float64"))
    assert gradcheck(lambda x: F.sigmoid(1e4 * x), mg.tensor([1e-5, -3e-5], dtype="float64"))


# Wrong ones do not, and the report names the slip
CUBE, MATRIX, BIAS = numbers(3, 3, 3), numbers(4, 4), numbers(4, seed=2)
FAULTS = {
    "zero": (planted(square, lambda xp, x, g: 0 * g), [numbers(3, 4)], "zero"),
    "zero softmax": (planted(softmax, lambda xp, x, g: 0 * g), [numbers(3, 4)], "zero"),
    "cut graph": (lambda x: x.detach() * 2, [numbers(3)], "the graph is cut"),
    "sign": (planted(square, lambda xp, x, g: -2 * x * g), [numbers(3, 4)], "the sign: a minus"),
    "sign of some": (
        planted(lambda xp, x: xp.abs(x), lambda xp, x, g: 1 * g),
        [numbers(3, 4)],
        "sign of some elements",
    ),
    "one percent": (planted(square, lambda xp, x, g: 2.02 * x * g), [numbers(3, 4)], "a factor 1.01"),
    "one in a million": (planted(square, lambda xp, x, g: 2.00001 * x * g), [numbers(3, 4)], "a factor 1.00001"),
    "factor 2": (planted(square, lambda xp, x, g: 4 * x * g), [numbers(3, 5)], "a factor 2: counted twice"),
    "half": (planted(square, lambda xp, x, g: x * g), [numbers(3, 5)], "a factor 0.5: a 2 forgotten"),
    "sum as mean": (
        planted(lambda xp, x: x.sum(axis=0), lambda xp, x, g: xp.broadcast_to(g / 3, x.shape)),
        [numbers(3, 5)],
        "divided by N = 3, axis 0 of the input",
    ),
    "mean as sum": (
        planted(lambda xp, x: x.mean(axis=0), lambda xp, x, g: xp.broadcast_to(g, x.shape)),
        [numbers(3, 5)],
        "not divided by N = 3",
    ),
    "sign and factor": (planted(square, lambda xp, x, g: -x * g), [numbers(3, 5)], "the sign, and a factor 0.5"),
    "detached factor": (lambda x: x * x.detach(), [numbers(3, 5)], "used twice and counted once"),
    "forgotten g": (planted(square, lambda xp, x, g: 2 * x), [numbers(3, 4)], "incoming gradient g was forgotten"),
    "g squared": (planted(square, lambda xp, x, g: 2 * x * g * g), [numbers(3, 4)], "not linear in the incoming"),
    "G W": (
        planted(lambda xp, x, w: x @ w, lambda xp, x, w, g: g @ w, lambda xp, x, w, g: x.T @ g),
        [numbers(4, 4), MATRIX],
        "as G W for G Wᵀ",
    ),
    "Gᵀ X": (
        planted(lambda xp, x, w: x @ w, lambda xp, x, w, g: g @ w.T, lambda xp, x, w, g: g.T @ x),
        [numbers(4, 4), MATRIX],
        "a transpose",
    ),
    "axes of a cube": (
        planted(lambda xp, x: x.transpose(1, 2, 0), lambda xp, x, g: g.transpose(1, 2, 0)),
        [CUBE],
        "with their axes exchanged",
    ),
    "first row of a bias": (
        planted(lambda xp, x, b: x + b, lambda xp, x, b, g: g, lambda xp, x, b, g: g[0] * 1),
        [numbers(3, 4), BIAS],
        "unsummed axis",
    ),
    "mean of a bias": (
        planted(lambda xp, x, b: x + b, lambda xp, x, b, g: g, lambda xp, x, b, g: g.mean(axis=0)),
        [numbers(3, 4), BIAS],
        "unsummed axis",
    ),
    "bias of the wrong shape": (
        planted(lambda xp, x, b: x + b, lambda xp, x, b, g: g, lambda xp, x, b, g: g),
        [numbers(3, 4), BIAS],
        "unsummed axis",
    ),
    "wrong dtype": (planted(square, lambda xp, x, g: (2 * x * g).astype("float32")), [numbers(3)], "a cast"),
    "forgotten mask": (planted(relu, lambda xp, x, g: 1 * g), [numbers(3, 4)], "a forgotten mask"),
    "inverted mask": (planted(relu, lambda xp, x, g: g * (x < 0)), [numbers(3, 4)], "a mask that is inverted"),
    "shifted index": (
        planted(lambda xp, x: x[1:], lambda xp, x, g: xp.concatenate([g, 0 * g[:1]])),
        [numbers(4)],
        "an index that is shifted",
    ),
    "elements left out": (
        planted(square, lambda xp, x, g: 2 * x * g * (xp.arange(12).reshape(3, 4) > 3)),
        [numbers(3, 4)],
        "elements left out",
    ),
    "softmax without its sum": (
        planted(softmax, lambda xp, x, g: g * softmax(xp, x)),
        [numbers(3, 4)],
        "a missing sum",
    ),
    "rounded": (
        planted(square, lambda xp, x, g: (2 * x * g).astype("float32").astype("float64")),
        [numbers(3, 4)],
        "float32",
    ),
    "stale": (planted(square, lambda xp, x, g: 2 * (x + 3) * g), [numbers(3, 4)], "a stale input?"),
    "nearly": (planted(square, lambda xp, x, g: (2 * x + 0.003 * x**2) * g), [numbers(3, 4)], "nearly right"),
    "nan": (planted(square, lambda xp, x, g: g * math.nan), [numbers(3)], "nan or inf in the rule"),
    "large, sign": (planted(square, lambda xp, x, g: -2 * x * g), [numbers(40, 50)], "the sign"),
    "large, zero softmax": (planted(softmax, lambda xp, x, g: 0 * g), [numbers(40, 50)], "zero: the graph is cut"),
    "large, forgotten mask": (planted(relu, lambda xp, x, g: 1 * g), [numbers(40, 50)], "a forgotten mask"),
    "large, one element of many": (
        planted(square, lambda xp, x, g: 2 * x * g * xp.where(x == x.max(), 1.5, 1.0)),
        [numbers(40, 50)],
        "d(outputs, mixed) / d(input 0",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught_and_named(name):
    function, inputs, slip = FAULTS[name]
    report = verdict(function, *inputs)
    assert not report
    assert "FAILED" in str(report)
    assert slip in str(report)


def test_a_wrong_second_derivative_is_caught():
    # The first order is right; as it detaches x, the second is 0 where it should be 2.
    def body(xp, x):
        frozen = x.detach() if isinstance(x, mg.Tensor) else x
        return x * x, (lambda g: 2 * g * frozen,)

    body.__name__ = "planted"
    function = op("(...)->(...)")(body)
    del OPS["planted"]
    delattr(tensor_namespace, "planted")
    assert gradcheck(function, numbers(3))
    report = gradcheck(function, numbers(3), order=2, raise_exception=False)
    assert not report
    assert report.second.faults
    assert "second derivatives: FAILED" in str(report)
    with pytest.raises(GradcheckError, match="second derivatives"):
        gradcheck(function, numbers(3), order=2)


def test_the_report_says_where_and_how_wrong():
    rule = lambda xp, x, g: 2 * x * g * xp.where(xp.arange(6).reshape(2, 3) == 5, 2.0, 1.0)
    (fault,) = verdict(planted(square, rule), mg.tensor([[0.5, 1, 1], [1, 1, 3]])).faults
    assert fault.name == "input 0"
    assert fault.place == "d(output[1, 2]) / d(input 0[1, 2])"
    assert (fault.analytic, fault.numeric) == pytest.approx((12, 6), rel=1e-8)
    assert (fault.absolute, fault.relative) == pytest.approx((6, 0.5), rel=1e-8)
    text = str(fault)
    assert "analytic 12" in text
    assert "absolute error 6.00e+00, relative error 5.00e-01" in text


def test_the_report_names_the_output_and_the_parameter():
    model = nn.Linear(3, 2)
    broken = planted(lambda xp, x, w: x * w, lambda xp, x, w, g: g * w, lambda xp, x, w, g: -g * x)
    report = verdict(lambda x: (model(x), broken(x, model.weight)), numbers(2, 3), module=model)
    assert [fault.name for fault in report.faults] == ["parameter weight"]
    assert report.faults[0].place.startswith("d(output 1[")
    assert "d(parameter weight[" in report.faults[0].place


@pytest.mark.parametrize("seed", range(4))
def test_a_rule_that_takes_the_size_of_g_is_caught_for_one_output_too(seed):
    function = planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: 2 * x * abs(g))
    assert "not linear in the incoming" in str(verdict(function, numbers(3), seed=seed))


def test_only_the_wrong_argument_is_blamed():
    function = planted(lambda xp, x, w: x * w, lambda xp, x, w, g: g * w, lambda xp, x, w, g: -g * x)
    assert [fault.name for fault in verdict(function, numbers(3), numbers(3, seed=1)).faults] == ["input 1"]


def test_failing_raises_with_the_report():
    with pytest.raises(GradcheckError, match="the sign: a minus too many") as error:
        gradcheck(planted(square, lambda xp, x, g: -2 * x * g), numbers(3))
    assert not error.value.report
    assert isinstance(error.value, AssertionError)


# Vacuous checks
@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.softmax(x, 1).sum(),
        lambda x: x * 0,
        lambda x: (x - x.mean()).sum(),
        lambda x: F.tanh(x) + 1e14,
        lambda x: mg.zeros(2) + 0 * x.sum(),
    ],
)
def test_a_vacuous_check_is_refused(function):
    report = verdict(function, numbers(3, 4))
    assert not report
    assert "a vacuous check" in str(report)
    with pytest.raises(GradcheckError, match="a vacuous check"):
        gradcheck(function, numbers(3, 4))


def test_slopes_that_noise_hides_are_not_called_zero():
    (line,) = verdict(lambda x: 1e-13 * x + 1, numbers(3)).lines
    assert (line.agree, line.zero, line.hidden) == (0, 6, 3)


def test_an_input_of_which_nothing_was_seen_is_named():
    report = verdict(lambda x, w: x * x + 0 * w, numbers(3), numbers(3))
    assert not report
    assert "a vacuous check of input 1" in str(report)
    assert gradcheck(lambda x, w: x * x + 0 * w, (numbers(3), numbers(3)), allow_zero=True)


def test_nothing_to_check_is_an_error():
    for inputs in ((), (mg.tensor([1, 2]),), (3.0,)):
        with pytest.raises(TypeError, match="at least one Tensor of float32 or float64"):
            gradcheck(lambda *x: mg.ones(2), inputs)
    with pytest.raises(TypeError, match="a function that returns Tensors, got float"):
        gradcheck(lambda x: 3.0, numbers(2))
    with pytest.raises(TypeError, match="an output of float32 or float64"):
        gradcheck(lambda x: x > 0, numbers(2))
    with pytest.raises(ValueError, match="order 1 or 2"):
        gradcheck(F.tanh, numbers(2), order=3)


def test_empty_inputs_show_nothing():
    assert "a vacuous check" in str(verdict(F.tanh, mg.zeros(0, 3)))


# Kinks
@pytest.mark.parametrize(
    ("function", "x", "analytic", "interval"),
    [
        (F.relu, [0.0, 1.0, -1.0], 0, (0, 1)),
        (mg.abs, [0.0, 1.0, -1.0], 0, (-1, 1)),
        (lambda x: mg.amax(x), [2.0, 2.0, 1.0], 0.5, (0, 1)),
        (lambda x: mg.maximum(x, 1.0), [1.0, 2.0, 0.0], 0.5, (0, 1)),
        (lambda x: mg.clip(x, -1, 1), [1.0, 0.5, 7.0], 1, (0, 1)),
        (F.relu, [1e-9, 1.0, -1.0], 1, (0, 1)),
    ],
)
def test_a_kink_is_reported_with_its_interval(function, x, analytic, interval):
    report = gradcheck(function, mg.tensor(x, dtype="float64"))
    assert report
    kink = report.kinks[0]
    assert kink.analytic == pytest.approx(analytic)
    assert (kink.low, kink.high) == pytest.approx(interval, abs=1e-3)
    assert "input 0[0]" in kink.place
    assert "lies in [" in str(report)


@pytest.mark.parametrize("function", [F.relu, mg.abs, lambda x: F.relu(x) ** 2 + mg.abs(x)])
@pytest.mark.parametrize("seed", range(5))
def test_at_a_kink_there_is_no_second_derivative_whatever_the_seed(function, seed):
    report = gradcheck(function, mg.tensor([0.0, 1.0, -2.0]), order=2, seed=seed, raise_exception=False)
    assert report.kinks
    assert not report.passed
    assert "there are none at a kink" in report.second.refusal


def test_smooth_functions_have_no_kinks():
    x = mg.tensor([0.0, 1e-9, 1.0], dtype="float64")
    for function in (lambda x: x * x, F.softplus, F.sigmoid, lambda x: x * x * x, lambda x: (x * 100).exp()):
        assert not gradcheck(function, x, allow_zero=True).kinks


@pytest.mark.parametrize("value", [1.3, -1.01])
def test_no_subgradient_at_a_kink_fails_with_the_interval(value):
    function = planted(lambda xp, x: xp.abs(x), lambda xp, x, g: g * xp.where(x == 0, value, xp.sign(x)))
    report = verdict(function, mg.tensor([0.0, 1.0]))
    assert not report
    assert report.faults[0].interval == pytest.approx((-1, 1), abs=1e-3)
    assert "no subgradient" in str(report)
    assert "a kink: slopes from -1 to 1" in str(report)


def test_the_end_of_the_interval_is_a_subgradient_though_the_measured_one_falls_short_of_it():
    rule = lambda xp, x, g: g * xp.exp(-x) * (x >= 0)
    assert gradcheck(planted(lambda xp, x: xp.maximum(1 - xp.exp(-x), 0), rule), mg.tensor([0.0, 1.0])).kinks


def test_a_jump_does_not_pass_as_a_kink():
    function = planted(lambda xp, x: xp.where(x > 0, x + 1, x), lambda xp, x, g: g * 1)
    assert not verdict(function, mg.tensor([0.0, 0.0]))


def test_beside_a_jump_the_slope_is_still_known():
    beside = lambda slope: planted(lambda xp, x: xp.where(x > 3e-6, x + 1, x), lambda xp, x, g: slope * g)
    assert gradcheck(beside(1), mg.tensor(0.0))
    assert not verdict(beside(2), mg.tensor(0.0))


def test_the_edge_of_a_domain_is_named():
    report = verdict(mg.sqrt, mg.zeros(2))
    assert "edge of its domain" in str(report)
    assert "not finite at this input" in str(verdict(mg.log, mg.zeros(2)))


# Convergence
def test_the_order_of_convergence_is_two_where_the_gradient_is_right():
    steps = gradcheck(F.tanh, numbers(4)).convergence
    assert len(steps) == 4
    assert [order for _, _, order in steps[1:]] == pytest.approx([2, 2, 2], abs=0.05)
    assert "order 2.0" in str(gradcheck(F.tanh, numbers(4)))


def test_the_order_of_convergence_is_zero_where_it_is_wrong():
    steps = verdict(planted(lambda xp, x: xp.tanh(x), lambda xp, x, g: 2 * g), numbers(4)).convergence
    assert [order for _, _, order in steps[1:]] == pytest.approx([0, 0, 0], abs=0.05)


def test_of_a_linear_function_only_rounding_is_left():
    assert all(order == math.inf for _, _, order in gradcheck(lambda x: 3 * x, numbers(4)).convergence)


# Determinism
def test_a_function_that_is_not_deterministic_is_found():
    calls = iter(range(10**6))
    for function in (F.dropout, lambda x: x * (1 + 1e-12 * next(calls)), nn.Sequential(nn.Linear(4, 3), nn.Dropout())):
        report = verdict(function, numbers(3, 4))
        assert not report
        assert "not deterministic" in str(report)


def test_a_gradient_that_is_not_deterministic_is_found():
    calls = iter(range(10**6))
    assert "not deterministic" in str(
        verdict(planted(square, lambda xp, x, g: 2 * x * g * (1 + 1e-12 * next(calls))), numbers(3))
    )


def test_the_same_seed_gives_the_same_report():
    def text(seed):
        return str(verdict(planted(square, lambda xp, x, g: 2.02 * x * g), numbers(40, 30), seed=seed))

    assert text(0) == text(0) != text(1)


# Nothing is changed
def state(tensor):
    grad = tensor.grad
    return (
        sorted(vars(tensor)),
        id(tensor.array),
        tensor.array.tobytes(),
        tensor.array.strides,
        tensor.dtype,
        tensor.requires_grad,
        tensor._assigned,
        None if grad is None else (id(grad), id(grad.array), grad.array.tobytes()),
    )


def explode(x):
    if explode.countdown == 0:
        raise KeyError("planted")
    explode.countdown -= 1
    return x * x


OUTCOMES = {
    "pass": (lambda x: x * x, None),
    "fail": (lambda x: x * x.detach(), GradcheckError),
    "vacuous": (lambda x: 0 * x, GradcheckError),
    "exception": (explode, KeyError),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_inputs_stay_bit_for_bit(outcome, precision, requires_grad):
    function, error = OUTCOMES[outcome]
    for countdown in (0, 1, 5, 20):
        explode.countdown = countdown
        x = numbers(3, 4).to(dtype=precision).T.requires_grad_(False)
        if requires_grad:
            x = mg.Tensor(x.array, True)
            (x * 3).sum().backward()
        before = state(x)
        if error is None:
            gradcheck(function, x, order=2)
        else:
            with pytest.raises(error):
                gradcheck(function, x)
        assert state(x) == before


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_model_stays_bit_for_bit(outcome):
    function, error = OUTCOMES[outcome]
    explode.countdown = 9
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    model[2].bias.requires_grad = False
    x = numbers(2, 4).float()
    model(x).sum().backward()
    before = [(id(p), state(p)) for p in model.parameters()]
    if error is None:
        assert gradcheck(lambda x: function(model(x)), x, module=model, order=2)
    else:
        with pytest.raises(error):
            gradcheck(lambda x: function(model(x)), x, module=model)
    assert [(id(p), state(p)) for p in model.parameters()] == before
    assert x.requires_grad is False


def test_a_function_that_calls_backward_leaves_the_gradients_of_the_model():
    model = nn.Linear(4, 3)
    x = numbers(2, 4).float()
    model(x).sum().backward()
    before = [state(p) for p in model.parameters()]

    def penalty(x):
        y = model(x)
        (y * y).sum().backward()
        return model(x)

    assert gradcheck(penalty, x, module=model)
    assert [state(p) for p in model.parameters()] == before


def test_a_function_that_changes_its_input_is_found_and_the_input_is_safe():
    def function(x):
        with mg.no_grad():
            x += 1
        return x * x

    x = numbers(3)
    before = state(x)
    report = verdict(function, x)
    assert not report
    assert "changes its inputs in place" in str(report)
    assert state(x) == before


def test_inputs_that_are_not_checked_are_copies_too():
    def function(x, w, n):
        with mg.no_grad():
            w.fill_(2)
            n.fill_(2)
        return x * w * n

    x, w, n = mg.Tensor(numbers(3).array, True), numbers(3), mg.tensor([1, 2, 3])
    before = state(w), state(n)
    assert gradcheck(function, (x, w, n))
    assert (state(w), state(n)) == before


def test_random_numbers_are_not_used_up():
    mg.manual_seed(5)
    numpy_state, ours = np.random.get_state(), backend.random.generator()
    before = ours.bit_generator.state
    gradcheck(F.tanh, numbers(3, 4))
    verdict(F.dropout, numbers(3, 4))
    verdict(lambda x: [mg.manual_seed(1), x * x][1], numbers(3))
    after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(numpy_state, after))
    assert backend.random.generator() is ours
    assert ours.bit_generator.state == before


def test_it_works_and_stays_quiet_under_no_grad():
    with mg.no_grad():
        assert gradcheck(F.tanh, numbers(3))
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


# What is checked
def test_inputs_that_require_a_gradient_are_the_ones_checked():
    w = mg.Tensor(numbers(3, seed=1).array, True)
    assert [line.name for line in gradcheck(lambda x, w: x * w, (numbers(3), w)).lines] == ["input 1"]
    assert [line.name for line in gradcheck(lambda x, w: x * w, (numbers(3), numbers(3))).lines] == [
        "input 0",
        "input 1",
    ]


def test_the_parameters_of_a_module_are_checked():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    mg.manual_seed(0)
    model.apply(lambda part: part.reset_parameters() if isinstance(part, nn.Linear) else None)
    names = ["input 0", "parameter 0.weight", "parameter 0.bias", "parameter 2.weight", "parameter 2.bias"]
    assert [line.name for line in gradcheck(model, numbers(5, 4)).lines] == names
    loss = lambda x: F.cross_entropy(model(x), mg.tensor([0, 1, 1, 0, 1]))
    assert [line.name for line in gradcheck(loss, numbers(5, 4), module=model, order=2).lines] == names
    model[0].weight.requires_grad = False
    assert [line.name for line in gradcheck(model, numbers(5, 4)).lines] == [names[0], *names[2:]]


def test_it_runs_on_every_backend(device):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).to(device)
    x, labels = numbers(5, 4).to(device), mg.tensor([0, 1, 1, 0, 1]).to(device)
    assert gradcheck(lambda x: F.cross_entropy(model(x), labels), x, module=model, order=2)
    assert "used twice and counted once" in str(verdict(lambda x: x * x.detach(), x))
    assert {p.device for p in model.parameters()} == {mg.device(device)}


def test_a_wide_model_is_checked_along_random_directions():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 32), nn.ReLU(), nn.Linear(32, 10))
    x, labels = numbers(8, 100), mg.randint(0, 10, (8,))
    report = gradcheck(lambda x: F.cross_entropy(model(x), labels), x, module=model)
    assert all(line.agree == 8 for line in report.lines)


def test_the_name_of_the_function_is_in_the_report():
    assert str(gradcheck(F.tanh, numbers(2))).startswith("gradcheck of tanh, gradient: passed")
    assert str(gradcheck(nn.Tanh(), numbers(2))).startswith("gradcheck of Tanh")


def test_the_example_in_the_docstring_reads_as_an_assertion():
    assert gradcheck(F.cross_entropy, (numbers(4, 3), mg.tensor([0, 1, 2, 0])))


# The check of the ops
def test_the_inputs_of_the_check_are_of_both_signs_and_away_from_kinks():
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


def test_the_check_tries_axes_from_both_ends_kept_and_not():
    shape = (3, 3, 4)
    ends = {"softmax": {0, -1}, "cat": {0, -1}, "sum": {None, 0, (0, -1)}, "argmax": {1, -1}}
    for name, dims in ends.items():
        assert {static["dim"] for static in formulas.FORMULAS[name].options(shape)} == dims
    for name in ("sum", "amax", "argmax", "logsumexp"):
        assert {static["keepdim"] for static in formulas.FORMULAS[name].options(shape)} == {False, True}
    for name in ("flatten", "transpose"):
        assert any(n < 0 for static in formulas.FORMULAS[name].options(shape) for n in static.values())
    picked = [np.arange(36).reshape(shape)[index] for index in (option["index"] for option in formulas.indices(shape))]
    assert picked[0][:, 0].tolist() == [8, 20, 32]
    assert picked[1][:, 0, 0].tolist() == [0, 0, 24]
    assert picked[2][:, 0].tolist() == [8, 4, 0]


def test_the_conventions_of_the_check_stand_at_both_zeros_and_both_bounds():
    for name in ("relu", "abs"):
        (numbers,) = formulas.CONVENTIONS[name][0]
        assert {math.copysign(1, number) for number in numbers} == {-1, 1}
    (numbers,), bounds, _ = formulas.CONVENTIONS["clip"]
    assert (bounds["min"], bounds["max"]) == tuple(numbers)
    assert numbers[0] < numbers[1]


@pytest.mark.parametrize("name", sorted(formulas.FORMULAS))
def test_three_examples_of_each_op_are_right(name, monkeypatch):
    monkeypatch.setattr(check, "EXAMPLES", 3)
    row = check.check_op(name, [backend.float64], backend.device("cpu"), backend.random.new_generator(0))
    assert row.passed, row.verdict


def test_the_check_takes_arrays_of_no_axis_of_one_and_of_two():
    drawn = check.examples("exp", backend.random.new_generator(0))
    assert {example.arrays[0].ndim for example in drawn} == {0, 1, 2}


def test_the_check_grants_64_ulp_and_the_error_of_the_slopes_where_the_longest_floats_are_short():
    longest = np.finfo(np.longdouble).nmant
    assert check.limit(backend.float64) == 64 + 2.0 ** (13 + 52 - longest)
    assert check.limit(backend.float32) == 64 + 2.0 ** (13 + 23 - longest)


# What gradcheck looks at
def away_from_0(*shape, seed=0):
    """A float64 Tensor of ±[0.4, 1.6]."""
    rng = np.random.default_rng(seed)
    return mg.tensor(rng.uniform(0.4, 1.6, shape) * rng.choice([-1, 1], shape))


def wrong_at(k, factor=2.0):
    """(rule of x², but the slope at the element k of the flat array times a factor)"""
    return lambda xp, x, g: 2 * x * g * xp.where(xp.arange(x.size).reshape(x.shape) == k, factor, 1.0)


def test_a_check_of_kinks_alone_or_of_faults_alone_is_not_vacuous():
    report = gradcheck(F.relu, mg.tensor([0.0]))
    assert (report.passed, len(report.kinks), report.lines[0].agree) == (True, 1, 0)
    report = verdict(planted(lambda xp, x: x * x, lambda xp, x, g: -2 * x * g), mg.tensor([1.0]))
    assert (report.refusal, len(report.faults), report.lines[0].agree) == ("", 1, 0)


@pytest.mark.parametrize(("n", "seen"), [(20, 20), (512, 512), (513, 8)])
def test_up_to_512_elements_are_looked_at_one_by_one(n, seen):
    assert gradcheck(lambda x: (x * x).sum(), away_from_0(n)).lines[0].agree == seen


@pytest.mark.parametrize(("n", "seen"), [(256, 512), (257, 16)])
def test_up_to_512_outputs_are_looked_at_one_by_one(n, seen):
    assert gradcheck(lambda x: x.broadcast_to((n, 2)) * 2, away_from_0(2)).lines[0].agree == seen


def test_of_many_elements_and_many_outputs_8_mixtures_are_seen_along_8_directions():
    line = gradcheck(lambda x: x * x, away_from_0(600)).lines[0]
    assert (line.agree, line.hidden, line.wrong) == (64, 0, 0)
    assert line.worst < 1e-7


def test_beside_a_large_input_one_of_8_elements_is_looked_at_one_by_one():
    w = away_from_0(8)
    w[3] = 0.0
    (kink,) = gradcheck(lambda x, w: (x * x).sum() + F.relu(w).sum(), (away_from_0(600), w)).kinks
    assert kink.place == "d(output) / d(input 1[3])"


def test_the_report_counts_the_wrong_slopes_of_all_elements():
    report = verdict(planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: 4 * x * g), away_from_0(100))
    assert report.faults[0].wrong == "200 of 200"


def test_of_many_elements_the_wrong_one_is_found_where_the_gradient_is_large():
    x = away_from_0(4, 500)
    x[0, 7] = 50.0
    square = lambda xp, x: (x * x).sum(axis=-1)
    (fault,) = verdict(planted(square, lambda xp, x, g: wrong_at(7)(xp, x, g[:, None])), x).faults
    assert fault.place == "d(output[0]) / d(input 0[0, 7])"
    (fault,) = verdict(planted(lambda xp, x: x * x, wrong_at(7)), x).faults
    assert fault.place == "d(outputs, mixed) / d(input 0[0, 7])"


def test_the_worst_slope_is_one_that_is_wrong_however_small():
    (fault,) = verdict(planted(lambda xp, x: x * x, wrong_at(2)), mg.tensor([1.0, 1.0, 0.1])).faults
    assert fault.place == "d(output[2]) / d(input 0[2])"
    assert (fault.analytic, fault.numeric) == pytest.approx((0.4, 0.2), rel=1e-6)


def test_a_rule_that_exchanges_two_of_many_outputs_is_found():
    def exchanged(xp, x, g):
        return 2 * x * xp.concatenate([g[1:2], g[:1], g[2:]])

    assert not verdict(planted(lambda xp, x: x * x, exchanged), away_from_0(600))


def test_places_name_the_output_or_the_mixture():
    cut = lambda x: (2 * x, 3 * x.detach() + 0 * x)
    assert verdict(cut, mg.tensor([1.0, 2.0])).faults[0].place.startswith("d(output 1[0])")
    size = planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: 2 * x * abs(g))
    assert verdict(size, mg.tensor([1.0])).faults[0].place == "d(outputs, mixed) / d(input 0[0])"


def test_what_was_given_is_named_where_nothing_can_be_checked():
    for inputs, given in (((), "none"), ((mg.tensor([1]), 3.0), "Tensor, float")):
        with pytest.raises(TypeError, match=f"as input, got {given}$"):
            gradcheck(lambda *x: mg.ones(2), inputs)


def test_cotangents_are_of_both_signs_and_none_is_small():
    numbers = draw(backend.random.new_generator(0), (1000,))
    assert {*np.sign(numbers)} == {-1, 1}
    assert (np.abs(numbers).min(), np.abs(numbers).max()) == pytest.approx((0.5, 1.5), abs=0.01)


# How gradcheck measures
def test_a_jump_very_near_is_kept_out_by_the_smallest_step():
    function = planted(lambda xp, x: xp.where(x > 2e-7, x + 1, x), lambda xp, x, g: 1 * g)
    (line,) = gradcheck(function, mg.tensor([0.0])).lines
    assert (line.agree, line.hidden) == (1, 0)


def test_a_fault_smaller_than_the_error_of_the_first_step_is_found_by_the_next():
    steep = lambda xp, x: 1e-8 / (1 + xp.exp(-1e4 * x))
    right = lambda xp, x, g: g * 1e12 * steep(xp, x) * (1e-8 - steep(xp, x))
    assert gradcheck(planted(steep, right), mg.tensor([0.0]))
    assert not verdict(planted(steep, lambda xp, x, g: 1.0002 * right(xp, x, g)), mg.tensor([0.0]))


def test_the_uncertainty_is_the_term_that_central_differences_leave_out():
    (fault,) = verdict(planted(lambda xp, x: x**3, lambda xp, x, g: 6 * x * x * g), mg.tensor(1.0), eps=0.1).faults
    assert fault.uncertainty == pytest.approx((0.1 / 64) ** 2, rel=1e-3)


def test_rounding_within_the_function_is_measured():
    for size in (1, 1e8):  # what is lost depends on how large x is, and so does the step that shows it
        (line,) = gradcheck(lambda x, far=1e6 * size: (x + far) - far, away_from_0(5) * size).lines
        assert line.agree == 5


def test_the_worst_error_is_relative():
    assert gradcheck(lambda x: 1e9 * F.tanh(x), away_from_0(5)).lines[0].worst < 1e-8
    assert gradcheck(lambda x: 1e-9 * F.tanh(x), away_from_0(5)).lines[0].worst > 1e-14


def test_convergence_is_told_from_the_rounding_of_all_outputs_together():
    steps = gradcheck(lambda x: (1e6 * x, x), mg.tensor(0.7, dtype="float64")).convergence
    assert [order for _, _, order in steps] == [math.inf] * 4


# What gradcheck says
@pytest.mark.parametrize(
    ("name", "function", "x", "words"),
    [
        (
            "sign beside zeros",
            planted(lambda xp, x: xp.maximum(x, 0), lambda xp, x, g: -g * (x > 0)),
            away_from_0(3, 4),
            "looks like: the sign: a minus too many or too few",
        ),
        (
            "small slopes",
            planted(lambda xp, x: 1e-4 * x * x, lambda xp, x, g: 2.02e-4 * x * g),
            away_from_0(3, 4),
            "looks like: a factor 1.01 everywhere",
        ),
        (
            "large slopes",
            planted(lambda xp, x: 1e3 * x * x, lambda xp, x, g: 1e3 * (2 * x + 0.003 * x**2) * g),
            away_from_0(3, 4),
            "looks like: nearly right",
        ),
        (
            "half",
            planted(lambda xp, x: x * x, lambda xp, x, g: (2 * x + 0.5 * x**2) * g),
            away_from_0(3, 4),
            "none of the usual ones",
        ),
        (
            "small and half",
            planted(lambda xp, x: 1e-3 * x * x, lambda xp, x, g: 1e-3 * (2 * x + 0.5 * x**2) * g),
            away_from_0(3, 4),
            "none of the usual ones",
        ),
        (
            "8 elements, 800 outputs",
            planted(
                lambda xp, x: xp.broadcast_to(x * x, (100, 8)),
                lambda xp, x, g: g.sum(axis=0) * (2 * x + 0.003 * x**2),
            ),
            away_from_0(8),
            "nearly right",
        ),
        (
            "600 elements, 1 output",
            planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: g * (2 * x + 0.003 * x**2)),
            away_from_0(600),
            "nearly right",
        ),
        (
            "a matrix, 1 output",
            planted(lambda xp, x: (x**3).sum(), lambda xp, x, g: g * 3 * (x * x).T),
            away_from_0(3, 3),
            "with their axes exchanged",
        ),
        (
            "4 axes",
            planted(lambda xp, x: (x**3).sum(), lambda xp, x, g: g * 3 * (x * x).transpose(3, 2, 1, 0)),
            away_from_0(2, 2, 2, 2),
            "with their axes exchanged",
        ),
        (
            "a kink and a fault",
            planted(lambda xp, x: xp.abs(x), lambda xp, x, g: g * xp.where(x == 0, 1.3, 1.0)),
            mg.tensor([0.0, 1.0, -2.0]),
            "none of the usual ones",
        ),
    ],
)
def test_a_slip_is_named(name, function, x, words):
    assert words in str(verdict(function, x))


TWICE = "counted twice"
PART = "divided by N = {0}, axis 0 of the input, or one of {0} equal parts taken: an unsummed axis"
HALF = "a 2 forgotten, as in (x²)' = 2x, or a Tensor used twice and counted once"


@pytest.mark.parametrize(
    ("c", "x_shape", "y_shape", "words"),
    [
        (-1.0, (3,), (3,), "the sign: a minus too many or too few"),
        (1.5, (3, 5), (3, 5), "a factor 1.5 everywhere"),
        (-1.5, (3, 5), (1, 5), "the sign, and a factor 1.5 everywhere"),
        (2.0, (3, 5), (5,), f"a factor 2: {TWICE}"),
        (2.0000016, (3, 5), (5,), f"a factor 2: {TWICE}"),
        (2.0, (3,), (2, 3), f"a factor 2: {TWICE}; or not divided by N = 2, axis 0 of an output, as a mean is"),
        (0.5, (3, 5), (5,), f"a factor 0.5: {HALF}"),
        (0.5, (2, 5), (5,), f"a factor 0.5: {HALF}; or {PART.format(2)}"),
        (3.0, (3, 5), (5,), "a factor 3: not divided by N = 3, axis 0 of the input, as a mean is"),
        (15.0, (3, 5), (), "a factor 15: not divided by N = 15, the number of elements of the input, as a mean is"),
        (-1 / 3, (3, 5), (5,), f"the sign, and a factor 0.333333: {PART.format(3)}"),
    ],
)
def test_a_factor_is_traced_to_what_is_counted(c, x_shape, y_shape, words):
    assert factor(c, x_shape, [y_shape]) == words


def test_a_report_as_text():
    report = Report("f, gradient")
    report.lines = [Line("input 0", (3,), 5, 1, 4, 0, 0, 2e-9), Line("parameter w", (), 0, 0, 0, 0, 1, 0.0)]
    report.faults = [Fault("parameter w", "d(output) / d(parameter w)", 3.0, 1.5, 1e-9, (1.0, 2.0), "1 of 1", "a slip")]
    report.kinks = [Kink(f"d(output) / d(input 0[{i}])", 0.5, 0.0, 1.0) for i in range(3)]
    report.convergence = [(0.25, 1e-3, None), (0.125, 2.5e-4, 2.0), (0.0625, 0.0, math.inf)]
    lines = [
        "gradcheck of f, gradient: FAILED",
        "  1 of 1 slopes are wrong, the worst d(output) / d(parameter w)",
        "    analytic 3, numeric 1.5 ± 1e-09, absolute error 1.50e+00, relative error 5.00e-01",
        "    a kink: slopes from 1 to 2",
        "    looks like: a slip",
        "               shape    agree   zero  kinks  hidden  wrong  worst error",
        "  input 0      (3,)         5      1      4       0      0      2.0e-09",
        "  parameter w  ()           0      0      0       0      1            -",
        "  kink d(output) / d(input 0[0]): analytic 0.5 lies in [0, 1]",
        "  kink d(output) / d(input 0[1]): analytic 0.5 lies in [0, 1]",
        "  kink d(output) / d(input 0[2]): analytic 0.5 lies in [0, 1]",
        "  along one direction, numeric less analytic (order 2: half of h, a quarter of the error)",
        "    h 0.2500   error 1.0e-03",
        "    h 0.1250   error 2.5e-04   order 2.00",
        "    h 0.0625   error 0.0e+00   rounding",
    ]
    assert str(report).split("\n") == lines
    report.kinks.append(report.kinks[0])
    assert str(report).split("\n") == [*lines[:11], "  ... and 1 kinks more", *lines[11:]]
    assert str(Report("f, gradient")) == "gradcheck of f, gradient: passed"
