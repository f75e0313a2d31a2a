"""gradcheck: right gradients pass, vacuous checks fail, and nothing that it touches is changed."""

import numpy as np
import pytest
from helpers.planted_ops import check, planted_op, random_tensor, relu, softmax, square

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend, nn
from minigrad.testing import GradcheckError, gradcheck
from minigrad.testing.gradient_check import simple_gradcheck


# The idea
@pytest.mark.parametrize(
    ("function", "x"),
    [
        (F.tanh, random_tensor(3, 4).float()),
        (lambda x: F.softmax(x, 1), random_tensor(3, 4)),
        (lambda x: (x * x).sum(), random_tensor(5)),
        (lambda x: x * x * x, random_tensor()),
        (nn.Linear(4, 2).double(), random_tensor(3, 4)),
    ],
)
def test_simple_gradcheck_passes_right_gradients(function, x):
    assert simple_gradcheck(function, x) is True
    assert x.grad is None


@pytest.mark.parametrize(
    "function",
    [
        planted_op(square, lambda xp, x, g: 2.0001 * x * g),
        planted_op(softmax, lambda xp, x, g: 0 * g),
        planted_op(relu, lambda xp, x, g: 1 * g),
        lambda x: x * x.detach(),
    ],
)
def test_simple_gradcheck_finds_wrong_gradients(function):
    assert simple_gradcheck(function, random_tensor(3, 4)) is False


def test_gradcheck_goes_beyond_the_simple_check():
    # A fixed tolerance passes any gradient of a small function, and a kink has no two-sided derivative.
    small = planted_op(lambda xp, x: 1e-12 * x * x, lambda xp, x, g: 0 * g)
    assert simple_gradcheck(small, random_tensor(3))
    assert not check(small, random_tensor(3))
    assert not simple_gradcheck(F.relu, mg.tensor([0.0, 1.0]))
    assert check(F.relu, mg.tensor([0.0, 1.0]))


# Right gradients pass
RIGHT = {
    "tanh": (F.tanh, [random_tensor(3, 4)]),
    "softmax": (lambda x: F.softmax(x, 1), [random_tensor(3, 4)]),
    "matmul": (mg.matmul, [random_tensor(3, 4), random_tensor(4, 2, seed=1)]),
    "vector": (mg.matmul, [random_tensor(4), random_tensor(4, seed=1)]),
    "broadcast": (mg.mul, [random_tensor(3, 1), random_tensor(4, seed=1)]),
    "0-d": (lambda x: x * x * x, [random_tensor()]),
    "one output": (lambda x: (x * x).sum(), [random_tensor(3, 2)]),
    "two outputs": (lambda x, w: (x * w, x.sum()), [random_tensor(3), random_tensor(3, seed=1)]),
    "used twice": (lambda x: x @ x, [random_tensor(3, 3)]),
    "labels": (F.cross_entropy, [random_tensor(4, 3), mg.tensor([0, 2, 1, 2])]),
    "unused integers": (lambda x, n: x * n, [random_tensor(2, 3), mg.tensor([1, 2, 3])]),
    "values and indices": (lambda x: x.max(dim=1), [random_tensor(3, 4)]),
    "large": (lambda x: F.softmax(x, 1), [random_tensor(40, 50)]),
    "many outputs of few inputs": (lambda x: x.broadcast_to((300, 4)) * 2, [random_tensor(4)]),
    "transposed memory": (lambda x: x * x, [random_tensor(3, 4).T]),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_gradcheck_passes_right_gradients(name, precision):
    function, inputs = RIGHT[name]
    report = gradcheck(function, [x.to(dtype=precision) if x.dtype.kind == "f" else x for x in inputs])
    assert report
    assert not report.faults
    assert all(summary.agree and not summary.below_noise for summary in report.inputs)
    assert "passed" in str(report)


@pytest.mark.parametrize("name", RIGHT)
def test_gradcheck_passes_right_second_derivatives(name):
    function, inputs = RIGHT[name]
    report = gradcheck(function, inputs, order=2)
    assert report.second_order is not None
    assert report.second_order.passed


def test_gradcheck_finds_wrong_second_derivatives():
    # x is detached in the VJP, so the first derivative is right, and the second is 0 instead of 2.
    detached = lambda x: x.detach() if isinstance(x, mg.Tensor) else x
    function = planted_op(square, lambda xp, x, g: 2 * g * detached(x))
    assert gradcheck(function, random_tensor(3))
    report = gradcheck(function, random_tensor(3), order=2, raise_exception=False)
    assert not report
    assert report.second_order.faults
    assert "second derivatives: FAILED" in str(report)
    with pytest.raises(GradcheckError, match="second derivatives"):
        gradcheck(function, random_tensor(3), order=2)


# Vacuous checks, and those with nothing to check
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
def test_vacuous_check_fails(function):
    report = check(function, random_tensor(3, 4))
    assert not report
    assert "a vacuous check" in str(report)
    with pytest.raises(GradcheckError, match="a vacuous check"):
        gradcheck(function, random_tensor(3, 4))


def test_vacuous_check_names_the_input():
    report = check(lambda x, w: x * x + 0 * w, random_tensor(3), random_tensor(3))
    assert not report
    assert "a vacuous check of input 1" in str(report)
    assert gradcheck(lambda x, w: x * x + 0 * w, (random_tensor(3), random_tensor(3)), allow_zero=True)


def test_gradcheck_without_anything_to_check_raises():
    for inputs in ((), (mg.tensor([1, 2]),), (3.0,)):
        with pytest.raises(TypeError, match="at least one Tensor of float32 or float64"):
            gradcheck(lambda *x: mg.ones(2), inputs)
    with pytest.raises(TypeError, match="a function that returns Tensors, got float"):
        gradcheck(lambda x: 3.0, random_tensor(2))
    with pytest.raises(TypeError, match="an output of float32 or float64"):
        gradcheck(lambda x: x > 0, random_tensor(2))
    with pytest.raises(ValueError, match="order 1 or 2"):
        gradcheck(F.tanh, random_tensor(2), order=3)


def test_gradcheck_error_names_the_given_inputs():
    for inputs, given in (((), "none"), ((mg.tensor([1]), 3.0), "Tensor, float")):
        with pytest.raises(TypeError, match=f"as input, got {given}$"):
            gradcheck(lambda *x: mg.ones(2), inputs)


def test_check_of_only_kinks_or_only_faults_is_not_vacuous():
    report = gradcheck(F.relu, mg.tensor([0.0]))
    assert (report.passed, len(report.kinks), report.inputs[0].agree) == (True, 1, 0)
    report = check(planted_op(square, lambda xp, x, g: -2 * x * g), mg.tensor([1.0]))
    assert (report.problem, len(report.faults), report.inputs[0].agree) == ("", 1, 0)


def test_empty_input_is_vacuous():
    assert "a vacuous check" in str(check(F.tanh, mg.zeros(0, 3)))


# Determinism
def test_nondeterministic_function_fails():
    calls = iter(range(10**6))
    for function in (F.dropout, lambda x: x * (1 + 1e-12 * next(calls)), nn.Sequential(nn.Linear(4, 3), nn.Dropout())):
        report = check(function, random_tensor(3, 4))
        assert not report
        assert "not deterministic" in str(report)


def test_nondeterministic_gradient_fails():
    calls = iter(range(10**6))
    assert "not deterministic" in str(
        check(planted_op(square, lambda xp, x, g: 2 * x * g * (1 + 1e-12 * next(calls))), random_tensor(3))
    )


# State is preserved
def state(tensor):
    """All that a check could have changed in a Tensor."""
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


def raises_later(x):
    """x², and after a number of calls KeyError."""
    if raises_later.countdown == 0:
        raise KeyError("planted")
    raises_later.countdown -= 1
    return x * x


OUTCOMES = {
    "pass": (lambda x: x * x, None),
    "fail": (lambda x: x * x.detach(), GradcheckError),
    "vacuous": (lambda x: 0 * x, GradcheckError),
    "exception": (raises_later, KeyError),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_gradcheck_preserves_inputs(outcome, precision, requires_grad):
    function, error = OUTCOMES[outcome]
    for countdown in (0, 1, 5, 20):
        raises_later.countdown = countdown
        x = random_tensor(3, 4).to(dtype=precision).T.requires_grad_(False)
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
def test_gradcheck_preserves_the_model(outcome):
    function, error = OUTCOMES[outcome]
    raises_later.countdown = 9
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    model[2].bias.requires_grad = False
    x = random_tensor(2, 4).float()
    model(x).sum().backward()
    before = [(id(p), state(p)) for p in model.parameters()]
    if error is None:
        assert gradcheck(lambda x: function(model(x)), x, module=model, order=2)
    else:
        with pytest.raises(error):
            gradcheck(lambda x: function(model(x)), x, module=model)
    assert [(id(p), state(p)) for p in model.parameters()] == before
    assert x.requires_grad is False


def test_backward_in_the_function_preserves_model_gradients():
    model = nn.Linear(4, 3)
    x = random_tensor(2, 4).float()
    model(x).sum().backward()
    before = [state(p) for p in model.parameters()]

    def penalty(x):
        y = model(x)
        (y * y).sum().backward()
        return model(x)

    assert gradcheck(penalty, x, module=model)
    assert [state(p) for p in model.parameters()] == before


def test_function_that_modifies_its_input_fails():
    def function(x):
        with mg.no_grad():
            x += 1
        return x * x

    x = random_tensor(3)
    before = state(x)
    report = check(function, x)
    assert not report
    assert "modifies its inputs in place" in str(report)
    assert state(x) == before


def test_unchecked_inputs_are_copied():
    def function(x, w, n):
        with mg.no_grad():
            w.fill_(2)
            n.fill_(2)
        return x * w * n

    x, w, n = mg.Tensor(random_tensor(3).array, True), random_tensor(3), mg.tensor([1, 2, 3])
    before = state(w), state(n)
    assert gradcheck(function, (x, w, n))
    assert (state(w), state(n)) == before


def test_gradcheck_preserves_random_state():
    mg.manual_seed(5)
    numpy_state, ours = np.random.get_state(), backend.random.generator()
    before = ours.bit_generator.state
    gradcheck(F.tanh, random_tensor(3, 4))
    check(F.dropout, random_tensor(3, 4))
    check(lambda x: [mg.manual_seed(1), x * x][1], random_tensor(3))
    after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(numpy_state, after))
    assert backend.random.generator() is ours
    assert ours.bit_generator.state == before


def test_gradcheck_under_no_grad():
    with mg.no_grad():
        assert gradcheck(F.tanh, random_tensor(3))
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


# What is checked
def names(report):
    return [summary.name for summary in report.inputs]


def test_inputs_that_require_a_gradient_are_checked():
    w = mg.Tensor(random_tensor(3, seed=1).array, True)
    assert names(gradcheck(lambda x, w: x * w, (random_tensor(3), w))) == ["input 1"]
    assert names(gradcheck(lambda x, w: x * w, (random_tensor(3), random_tensor(3)))) == ["input 0", "input 1"]


def test_module_parameters_are_checked():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    mg.manual_seed(0)
    model.apply(lambda part: part.reset_parameters() if isinstance(part, nn.Linear) else None)
    all_names = ["input 0", "parameter 0.weight", "parameter 0.bias", "parameter 2.weight", "parameter 2.bias"]
    assert names(gradcheck(model, random_tensor(5, 4))) == all_names
    loss = lambda x: F.cross_entropy(model(x), mg.tensor([0, 1, 1, 0, 1]))
    assert names(gradcheck(loss, random_tensor(5, 4), module=model, order=2)) == all_names
    model[0].weight.requires_grad = False
    assert names(gradcheck(model, random_tensor(5, 4))) == [all_names[0], *all_names[2:]]


def test_gradcheck_on_every_backend(device):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).to(device)
    x, labels = random_tensor(5, 4).to(device), mg.tensor([0, 1, 1, 0, 1]).to(device)
    assert gradcheck(lambda x: F.cross_entropy(model(x), labels), x, module=model, order=2)
    assert "used twice and counted once" in str(check(lambda x: x * x.detach(), x))
    assert {p.device for p in model.parameters()} == {mg.device(device)}


def test_wide_model_is_checked_along_random_directions():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 32), nn.ReLU(), nn.Linear(32, 10))
    x, labels = random_tensor(8, 100), mg.randint(0, 10, (8,))
    report = gradcheck(lambda x: F.cross_entropy(model(x), labels), x, module=model)
    assert all(summary.agree >= 8 and summary.agree < 100 for summary in report.inputs)


def test_gradcheck_reads_as_an_assertion():
    assert gradcheck(F.cross_entropy, (random_tensor(4, 3), mg.tensor([0, 1, 2, 0])))


# VJPs that return the right gradient once, and are wrong in use
def write_to_g(xp, x, g):
    g *= 2 * x
    return g * 1


BUFFERS = {}


def reuse_buffer(xp, x, g):
    buffer = BUFFERS.setdefault(x.shape, np.empty(x.shape))
    buffer[...] = 2 * x * g
    return buffer


def need_contiguous(xp, x, g):
    return 2 * x * g if g.flags.c_contiguous else 0 * g


MISUSE = {
    "write to g": (write_to_g, "writes to its cotangent"),
    "reused buffer": (reuse_buffer, "the same buffer at every call"),
    "clipped g": (lambda xp, x, g: 2 * x * xp.clip(g, -5, 5), "not linear in the cotangent"),
    "absolute value of g": (lambda xp, x, g: 2 * x * xp.abs(g), "not linear in the cotangent"),
    "layout of g": (need_contiguous, "needs a contiguous cotangent"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_vjp_wrong_in_use_fails(name):
    vjp, text = MISUSE[name]
    report = check(planted_op(square, vjp), random_tensor(3, 4))
    assert not report
    assert text in str(report)


def test_vjp_with_float64_constant_fails_for_float32():
    function = planted_op(square, lambda xp, x, g: g * x * np.full(3, 2.0))
    assert gradcheck(function, random_tensor(3))
    report = check(function, random_tensor(3).float())
    assert not report
    assert "backward fails in float32" in str(report)


def test_misuse_is_found_where_slopes_are_right():
    report = check(planted_op(square, lambda xp, x, g: 2 * x * xp.clip(g, -5, 5)), random_tensor(3))
    assert (report.verdict, report.faults, len(report.misuse)) == ("failed", [], 1)


def test_verdict_without_a_measurable_slope_is_cannot_judge():
    assert check(lambda x: 0 * x, random_tensor(3)).verdict == "cannot judge"
    assert check(mg.log, mg.zeros(2)).verdict == "cannot judge"
    assert check(F.tanh, random_tensor(3)).verdict == "passed"


def test_rtol_is_the_relative_error_allowed():
    function = planted_op(square, lambda xp, x, g: 2.02 * x * g)
    assert gradcheck(function, random_tensor(3), rtol=0.02)
    assert not check(function, random_tensor(3), rtol=0.005)
    nearly = planted_op(square, lambda xp, x, g: (2 + 1e-6) * x * g)
    assert not check(nearly, random_tensor(3))
