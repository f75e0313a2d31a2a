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
def test_a_model_with_torch_weights_follows_torch_for_200_steps(name, dtype, tolerance):
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


def test_a_zero_gradient_is_no_nan_in_adam():
    w = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([w])
    w.grad = mg.zeros(1)
    optimizer.step()
    assert w.tolist() == [1.0]


@pytest.mark.parametrize(("kind", "options"), [(optim.SGD, dict(lr=0.1, momentum=0.9)), (optim.Adam, dict(lr=0.1))])
def test_a_state_saved_and_loaded_continues_to_the_same_bits(kind, options):
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
def test_bad_options_are_refused(make, message):
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
