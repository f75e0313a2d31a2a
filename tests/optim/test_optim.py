"""The optimizers against torch's, step by step, and a whole model that follows torch's losses."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

torch = pytest.importorskip("torch", reason="torch is the reference of this test")

SETTINGS = [
    (optim.SGD, dict(lr=0.1)),
    (optim.SGD, dict(lr=0.1, momentum=0.9)),
    (optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01)),
    (optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    (optim.SGD, dict(lr=0.01, weight_decay=0.1, maximize=True)),
    (optim.SGD, dict(lr=0.01, momentum=0.5, maximize=True)),
    (optim.Adam, dict()),
    (optim.Adam, dict(lr=0.05, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)),
    (optim.Adam, dict(lr=0.05, amsgrad=True)),
    (optim.Adam, dict(lr=0.05, maximize=True)),
    (optim.AdamW, dict()),
    (optim.AdamW, dict(lr=0.05, weight_decay=0.3, amsgrad=True)),
]
NAMES = [f"{kind.__name__}-{'-'.join(options) or 'defaults'}" for kind, options in SETTINGS]


@pytest.mark.parametrize(("kind", "options"), SETTINGS, ids=NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_every_step_equals_torch(kind, options, dtype, tolerance):
    random = np.random.default_rng(0)
    start = [random.standard_normal(shape).astype(dtype) for shape in ((3, 4), (4,), ())]
    ours = [mg.tensor(w, requires_grad=True) for w in start]
    theirs = [torch.tensor(w, requires_grad=True) for w in start]
    our_optimizer = kind(ours, **options)
    their_optimizer = getattr(torch.optim, kind.__name__)(theirs, **options)
    for step in range(30):
        for w, v in zip(ours, theirs):
            g = random.standard_normal(w.shape).astype(dtype)
            skipped = step % 7 == 3 and w.ndim == 1  # a parameter without a gradient stays out of the step
            w.grad, v.grad = (None, None) if skipped else (mg.tensor(g), torch.tensor(g))
        our_optimizer.step()
        their_optimizer.step()
        for w, v in zip(ours, theirs):
            np.testing.assert_allclose(w.detach().numpy(), v.detach().numpy(), rtol=tolerance, atol=tolerance)
            assert w.dtype == dtype


def both_models(dtype):
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16), torch.nn.Tanh()
    )
    theirs.append(torch.nn.Linear(16, 10)).to(getattr(torch, dtype))
    ours = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 10))
    ours.to(dtype=dtype).load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_model_with_torch_weights_follows_torch(name, dtype, tolerance):
    ours, theirs = both_models(dtype)
    options = {"SGD": dict(lr=0.05, momentum=0.9), "Adam": dict(lr=1e-3)}[name]
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    digits = mg.data.Digits(train=True)
    images, labels = digits.data.numpy().astype(dtype) / 16, digits.targets.numpy()
    random = np.random.default_rng(1)
    for _ in range(200):
        batch = random.integers(0, len(labels), 32)
        our_loss = nn.functional.cross_entropy(ours(mg.tensor(images[batch])), mg.tensor(labels[batch]))
        their_loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(images[batch])), torch.tensor(labels[batch]))
        assert our_loss.item() == pytest.approx(their_loss.item(), rel=tolerance)
        for loss, optimizer in ((our_loss, our_optimizer), (their_loss, their_optimizer)):
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def test_groups_have_options_of_their_own():
    a, b = (mg.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 1.0}], lr=0.5)
    for w in (a, b):
        w.grad = mg.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.0)


def test_frozen_parameters_stay():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = optim.SGD(model.parameters(), lr=1.0, weight_decay=0.1)
    before = model[0].weight.tolist()
    model(mg.ones(1, 2)).sum().backward()
    optimizer.step()
    assert model[0].weight.tolist() == before


def test_adam_step_with_zero_gradient_is_not_nan():
    w = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([w])
    w.grad = mg.zeros(1)
    optimizer.step()
    assert w.tolist() == [1.0]


@pytest.mark.parametrize(("kind", "options"), [(optim.SGD, dict(lr=0.1, momentum=0.9)), (optim.Adam, dict(lr=0.1))])
def test_loaded_state_continues_bit_identical(kind, options):
    def steps(w, optimizer, n):
        for i in range(n):
            w.grad = mg.tensor([0.3 * i, -1.0])
            optimizer.step()

    w = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = kind([w], **options)
    steps(w, optimizer, 3)
    again = mg.tensor(w.detach(), requires_grad=True)
    other = kind([again], lr=99.0)
    other.load_state_dict(optimizer.state_dict())
    steps(w, optimizer, 5)
    steps(again, other, 5)
    assert w.tolist() == again.tolist()
    with pytest.raises(ValueError, match="do not match"):
        kind([w, again], **options).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: optim.SGD([w], lr=-1), "lr"),
        (lambda w: optim.SGD([w], lr=float("nan")), "lr"),
        (lambda w: optim.SGD([w], momentum=-0.1), "momentum"),
        (lambda w: optim.SGD([w], nesterov=True), "nesterov"),
        (lambda w: optim.Adam([w], betas=(1.0, 0.9)), "betas"),
        (lambda w: optim.Adam([w], eps=-1), "eps"),
        (lambda w: optim.SGD([]), "no parameters"),
        (lambda w: optim.SGD([w, w]), "twice"),
        (lambda w: optim.SGD([w * 2]), "leaf"),
    ],
)
def test_invalid_options_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make(mg.ones(1, requires_grad=True))
    with pytest.raises(TypeError, match=r"\[tensor\]"):
        optim.SGD(mg.ones(1, requires_grad=True))


def test_zero_grad_to_none_or_to_zeros():
    w = mg.ones(2, requires_grad=True)
    optimizer = optim.SGD([w])
    w.grad = mg.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None


# Options
OPTIONS = [
    (optim.SGD, dict(lr=0.1)),
    (optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.01)),
    (optim.Adam, dict(lr=0.1, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)),
    (optim.AdamW, dict(lr=0.1, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)),
]


def trained(kind, options, later=None):
    """The bits of float32 weights after some steps, and the optimizer; `later` are options set after construction."""
    mg.manual_seed(0)
    w = mg.randn(100, requires_grad=True)
    optimizer = kind([w], **options)
    optimizer.param_groups[0].update(later or {})
    for _ in range(3):
        optimizer.zero_grad()
        (w * w * w).sum().backward()
        optimizer.step()
    assert w.dtype == mg.float32
    return w.detach().numpy().tobytes(), optimizer


def converted(options, number):
    return {name: tuple(map(number, v)) if name == "betas" else number(v) for name, v in options.items()}


@pytest.mark.parametrize("number", [np.float64, lambda v: mg.tensor(v, dtype="float64"), np.array])
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_options_of_any_number_type_give_the_same_bits(kind, options, number):
    expected, _ = trained(kind, options)
    bits, optimizer = trained(kind, converted(options, number))
    assert bits == expected
    assert type(optimizer.param_groups[0]["lr"]) is float
    assert trained(kind, options, later=converted(options, number))[0] == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: optim.SGD([w], lr="0.1"), "lr: expected a number, got str"),
        (lambda w: optim.SGD([w], momentum=None), "momentum: expected a number, got NoneType"),
        (lambda w: optim.SGD([w], maximize=2), "maximize: expected True or False, got 2"),
        (lambda w: optim.Adam([w], betas=0.9), "betas: expected two numbers, got 0.9"),
        (lambda w: optim.Adam([w], betas=(0.9,)), "betas: expected two numbers"),
        (lambda w: optim.Adam([w], amsgrad="no"), "amsgrad: expected True or False"),
        (lambda w: optim.SGD([{"lr": 0.1}]), "SGD: expected Tensors, or dicts"),
        (lambda w: optim.SGD([1.0]), "SGD: expected Tensors as parameters, got float"),
        (lambda w: optim.SGD({"params": [w]}), "SGD: expected an iterable of Tensors in a fixed order, got dict"),
        (lambda w: optim.SGD({w}), "in a fixed order, got set"),
        (lambda w: optim.SGD(nn.Linear(1, 1)), r"got Linear; use model\.parameters\(\)"),
        (lambda w: optim.SGD(nn.Linear(1, 1).parameters), r"got method; use model\.parameters\(\)"),
    ],
)
def test_arguments_of_wrong_types_raise(make, message):
    with pytest.raises(TypeError, match=message):
        make(mg.ones(1, requires_grad=True))


@pytest.mark.parametrize("value", [mg.ones(2), np.ones(2), mg.ones(0)])
def test_option_with_several_elements_raises(value):
    with pytest.raises(ValueError, match=r"lr: expected a number, got shape \([02],\)"):
        optim.SGD([mg.ones(1, requires_grad=True)], lr=value)


def test_group_takes_one_tensor():
    w = mg.tensor([[1.0, 2.0]], requires_grad=True)
    optimizer = optim.SGD([{"params": w, "lr": 1.0}])
    assert optimizer.param_groups[0]["params"] == [w]


@pytest.mark.parametrize("beta1", [0.0, 0.3, 0.5, 0.6, 0.9])
def test_adam_is_accurate_in_float32_for_every_beta1(beta1):
    results = {}
    for dtype in ("float32", "float64"):
        w = mg.full((100,), 1.0, dtype=dtype, requires_grad=True)
        optimizer = optim.Adam([w], lr=0.01, betas=(beta1, 0.5))
        for exponents in np.random.default_rng(0).uniform(-8, 8, (20, 100)):  # a small gradient follows a large one
            w.grad = mg.tensor((10.0**exponents).astype("float32"), dtype=dtype)
            optimizer.step()
        results[dtype] = w.detach().numpy(), optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    np.testing.assert_allclose(results["float32"][0], results["float64"][0], rtol=1e-5)
    np.testing.assert_allclose(results["float32"][1], results["float64"][1], rtol=1e-5)


# State
def stepped(kind=optim.SGD, n=2, **options):
    weights = [mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor(3.0, requires_grad=True)]
    optimizer = kind(weights, **options)
    for _ in range(n):
        for w in weights:
            w.grad = w.detach() * 0.5
        optimizer.step()
    return optimizer


def edited(path, value):
    """The state_dict of Adam with one entry replaced, or removed if the value is `...`."""

    def edit(state_dict):
        *parents, last = path
        target = state_dict
        for key in parents:
            target = target[key]
        if value is ...:
            del target[last]
        else:
            target[last] = value
        return state_dict

    return edit


BAD_STATES = {
    "of another kind": (lambda _: stepped(momentum=0.9).state_dict(), "group 0 has no"),
    "of AdamW": (edited(["param_groups", 0, "decoupled_weight_decay"], True), "decoupled_weight_decay: expected False"),
    "not a state": (lambda _: {"lr": 0.1}, r"expected the state_dict\(\) of an optimizer"),
    "None": (lambda _: None, r"expected the state_dict\(\) of an optimizer"),
    "fewer groups": (edited(["param_groups"], []), "groups of parameters do not match"),
    "fewer parameters": (edited(["param_groups", 0, "params"], [0]), "groups of parameters do not match"),
    "no lr": (edited(["param_groups", 0, "lr"], ...), "group 0 has no lr"),
    "negative lr": (edited(["param_groups", 0, "lr"], -1.0), "lr: expected a finite number of 0 or more, got -1"),
    "nan as lr": (edited(["param_groups", 0, "lr"], float("nan")), "lr: expected a finite number"),
    "text as lr": (edited(["param_groups", 0, "lr"], "fast"), "lr: expected a number, got str"),
    "betas": (edited(["param_groups", 0, "betas"], (2, 2)), "betas: expected two numbers from 0"),
    "position 99": (edited(["state", 99], {}), "expected parameters 0 to 1, got 99"),
    "position -1": (edited(["state", -1], {}), "expected parameters 0 to 1, got -1"),
    "no step": (edited(["state", 0, "step"], ...), "expected exp_avg, exp_avg_sq, step of parameter 0"),
    "half a step": (edited(["state", 0, "step"], 1.5), "expected a number of steps of parameter 0, got 1.5"),
    "negative step": (edited(["state", 0, "step"], -1), "expected a number of steps of parameter 0"),
    "no moment": (edited(["state", 1, "exp_avg"], ...), "got exp_avg_sq, step"),
    "another shape": (
        edited(["state", 0, "exp_avg"], mg.zeros(3)),
        r"exp_avg of parameter 0 of shape \(2,\), got \(3,\)",
    ),
    "text": (edited(["state", 0, "exp_avg"], "zeros"), "exp_avg of parameter 0: expected numbers"),
    "momentum": (edited(["state", 0, "momentum_buffer"], mg.zeros(2)), "got .*momentum_buffer"),
    "a list": (edited(["state", 0], [1]), "expected a dict as the state of parameter 0, got list"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_load_state_dict_is_as_strict_as_the_constructor(name):
    edit, message = BAD_STATES[name]
    optimizer = stepped(optim.Adam)
    before = repr(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(edit(stepped(optim.Adam, 3).state_dict()))
    assert repr(optimizer.state_dict()) == before


def test_state_without_later_flags_loads():
    for kind, flag in ((optim.SGD, "maximize"), (optim.SGD, "nesterov"), (optim.Adam, "amsgrad")):
        state = stepped(kind).state_dict()
        del state["param_groups"][0][flag]
        optimizer = stepped(kind)
        optimizer.load_state_dict(state)
        assert optimizer.param_groups[0][flag] is False


def test_loaded_state_is_a_copy():
    saved = stepped(momentum=0.9).state_dict()
    optimizer = stepped(momentum=0.9)
    optimizer.load_state_dict(saved)
    saved["state"][0]["momentum_buffer"].fill_(100.0)
    saved["param_groups"][0]["lr"] = 100.0
    assert optimizer.state_dict()["state"][0]["momentum_buffer"].max().item() < 100
    assert optimizer.param_groups[0]["lr"] != 100


@pytest.mark.parametrize(("kind", "options"), SETTINGS, ids=NAMES)
def test_state_of_torch_is_continued(kind, options):
    start, gradients = np.array([1.0, -2.0]), np.random.default_rng(0).standard_normal((6, 2))
    theirs = torch.tensor(start, requires_grad=True)
    their_optimizer = getattr(torch.optim, kind.__name__)([theirs], **options)
    ours = None
    for i, g in enumerate(gradients):
        if i == 3:
            ours = mg.tensor(theirs.detach().numpy().copy(), requires_grad=True)
            our_optimizer = kind([ours], lr=99.0)
            our_optimizer.load_state_dict(their_optimizer.state_dict())
        theirs.grad = torch.tensor(g)
        their_optimizer.step()
        if ours is not None:
            ours.grad = mg.tensor(g)
            our_optimizer.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


# Atomic steps
def test_failed_step_changes_nothing():
    class Fails(optim.Adam):
        def update(self, w, g, state, group):
            if w.ndim == 0:
                raise FloatingPointError
            return super().update(w, g, state, group)

    weights = [mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor(3.0, requires_grad=True)]
    optimizer = Fails(weights)
    for w in weights:
        w.grad = w.detach() * 1
    with pytest.raises(FloatingPointError):
        optimizer.step()
    assert [w.tolist() for w in weights] == [[1.0, 2.0], 3.0]
    assert optimizer.state_dict()["state"] == {}


def test_update_leaves_its_arguments_unchanged():
    for kind, options in SETTINGS:
        optimizer = kind([mg.tensor([1.0, 2.0], requires_grad=True)], **options)
        w, g = np.array([1.0, 2.0]), np.array([0.5, -0.5])
        _, state = optimizer.update(w, g, {}, optimizer.param_groups[0])
        before = repr((w, g, state))
        optimizer.update(w, g, state, optimizer.param_groups[0])
        assert repr((w, g, state)) == before
