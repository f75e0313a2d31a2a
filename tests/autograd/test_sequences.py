"""Sequences of calls whose second call meets the state that the first has left; compared with torch."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


def leaves(torch, *values):
    """The same leaf in both libraries."""
    data = np.array(values)
    return mg.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)


def agree(ours, theirs):
    assert ours.detach().numpy() == pytest.approx(theirs.detach().numpy(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")  # torch's, about reference cycles
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("third", [True, False])
def test_backward_with_and_without_create_graph_accumulates(first, second, third, torch):
    x, theirs = leaves(torch, 1.0, -2.0, 0.5)
    for create_graph in (first, second, third):
        for leaf in (x, theirs):
            (leaf**3).sum().backward(create_graph=create_graph)
    agree(x.grad, theirs.grad)
    assert (x.grad.grad_fn is not None) == (theirs.grad.grad_fn is not None)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_plain_backward_through_a_recorded_gradient(torch):
    x, theirs = leaves(torch, 1.0, -2.0, 0.5)
    for leaf in (x, theirs):
        (leaf**4).sum().backward(create_graph=True)
        g, leaf.grad = leaf.grad, None
        (g * g).sum().backward()  # dL/dx of L = Σ (dy/dx)²
        (leaf**2).sum().backward()
    agree(x.grad, theirs.grad)


def test_earlier_recorded_gradient_keeps_its_value():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    values = first.tolist()
    (x**3).sum().backward(create_graph=True)
    assert first.tolist() == values
    assert mg.grad(first.sum(), x)[0].tolist() == [6.0, 12.0]


def test_grad_of_the_same_output_twice(torch):
    x, theirs = leaves(torch, 1.0, -2.0, 0.5)
    y, expected = (x**3).sum(), (theirs**3).sum()
    agree(mg.grad([y, y], x)[0], torch.autograd.grad([expected, expected], theirs)[0])
    w, their_w = x * 2, theirs * 2
    weights = np.array([1.0, 2.0, 3.0])
    agree(
        mg.grad([w, w.sum(), w], [x], [mg.tensor(weights), None, mg.tensor(weights)])[0],
        torch.autograd.grad(
            [their_w, their_w.sum(), their_w], theirs, [torch.tensor(weights), None, torch.tensor(weights)]
        )[0],
    )


def test_grad_of_an_output_that_is_an_input_and_of_one_inside(torch):
    x, theirs = leaves(torch, 1.0, -2.0, 0.5)
    y, expected = x**2, theirs**2
    found = mg.grad([y.sum(), (y * y).sum()], [y, x])
    for ours, exact in zip(
        found, torch.autograd.grad([expected.sum(), (expected * expected).sum()], [expected, theirs])
    ):
        agree(ours, exact)
    assert mg.grad(x.sum(), [x, x])[1].tolist() == [1.0, 1.0, 1.0]


def test_retained_graph_gives_the_same_bits_each_time():
    x = mg.tensor(np.random.default_rng(0).standard_normal((5, 5)), requires_grad=True)
    y = (x @ x.tanh()).softmax(1).log().sum()
    first = mg.grad(y, x, retain_graph=True)[0].numpy()
    (recorded,) = mg.grad(y, x, create_graph=True)
    second = mg.grad(y, x, retain_graph=True)[0].numpy()
    assert first.tobytes() == second.tobytes()
    assert recorded.detach().numpy() == pytest.approx(first, rel=1e-12)
    y.backward()
    assert x.grad.numpy().tobytes() == first.tobytes()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam, optim.AdamW])
def test_graph_from_before_a_step_cannot_be_used_after_it(optimizer):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    step = optimizer(model.parameters(), lr=0.1)
    loss = model(mg.ones(5, 3)).sum()
    loss.backward(retain_graph=True)
    step.step()
    with pytest.raises(RuntimeError, match="was modified in place after linear had used it"):
        loss.backward()
    model.zero_grad()
    model(mg.ones(5, 3)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("how", ["load_state_dict", "zero_grad", "init", "data", "copy"])
def test_graph_from_before_new_weights_cannot_be_used(how):
    model = nn.Linear(3, 2)
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model(mg.ones(5, 3)).sum().backward()
    x = mg.ones(5, 3, requires_grad=True)
    loss = (model.weight * model.weight.grad).sum() if how == "zero_grad" else model(x).sum()
    with mg.no_grad():
        {
            "load_state_dict": lambda: model.load_state_dict(state),
            "zero_grad": lambda: model.zero_grad(set_to_none=False),
            "init": lambda: nn.init.ones_(model.weight),
            "data": lambda: setattr(model.weight, "data", mg.ones(2, 3)),
            "copy": lambda: model.weight.copy_(mg.ones(2, 3)),
        }[how]()
    with pytest.raises(RuntimeError, match="was modified in place"):
        loss.backward()


def test_modes_that_alternate_between_calls(torch):
    x, theirs = leaves(torch, 1.0, -2.0, 0.5)
    found = []
    for lib, leaf in ((mg, x), (torch, theirs)):
        total = leaf.sum()
        for i in range(4):
            with lib.set_grad_enabled(i % 2 == 0):
                part = (leaf * i).sum()
            total = total + part * leaf.sum()
        total.backward()
        found.append(leaf.grad)
    agree(*found)


def test_leaf_frozen_between_two_backward_passes(torch):
    x, theirs = leaves(torch, 1.0, -2.0, 0.5)
    for leaf in (x, theirs):
        (leaf**2).sum().backward()
        leaf.requires_grad_(False)
        assert not (leaf * 2).requires_grad
        leaf.requires_grad_(True)
        (leaf**3).sum().backward()
    agree(x.grad, theirs.grad)
