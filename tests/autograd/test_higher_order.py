"""create_graph: gradients that are recorded themselves, and can be differentiated again."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg


def leaf(*values):
    return mg.tensor(list(values), dtype="float64", requires_grad=True)


def test_third_derivative_of_a_cube():
    x = leaf(2.0, -3.0)
    (first,) = mg.grad((x**3).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x, create_graph=True)
    (third,) = mg.grad(second.sum(), x)
    assert first.tolist() == [12.0, 27.0]
    assert second.tolist() == [12.0, -18.0]
    assert third.tolist() == [6.0, 6.0]


def test_tenth_derivative_of_exp():
    x = leaf(0.5)
    y = x.exp()
    for _ in range(10):
        (y,) = mg.grad(y.sum(), x, create_graph=True)
    assert y.item() == pytest.approx(math.exp(0.5), rel=1e-15)


def test_recorded_gradients_do_not_alias():
    a, b = leaf(1.0), leaf(2.0)
    (a + b).sum().backward(create_graph=True)
    assert a.grad is not b.grad
    assert not np.shares_memory(a.grad.array, b.grad.array)


def test_recorded_gradients_accumulate():
    x = mg.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (x * x).backward(create_graph=True)
    assert x.grad.item() == 12.0
    assert mg.grad(x.grad, [x])[0].item() == 4.0


def test_recorded_gradient_of_an_intermediate():
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    (g,) = mg.grad(y * y, y, create_graph=True)
    assert g.item() == 18.0
    assert mg.grad(g, x)[0].item() == 12.0


def test_gradient_of_a_gradient_with_respect_to_the_cotangent():
    x, g = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (dx,) = mg.grad(x * x, x, g, create_graph=True)
    assert mg.grad(dx.sum(), g)[0].tolist() == [2.0, 4.0]


def test_create_graph_records_under_no_grad_and_keeps_the_graph():
    x = leaf(2.0)
    y = (x**3).sum()
    with mg.no_grad():
        (first,) = mg.grad(y, x, create_graph=True)
        assert not mg.is_grad_enabled()
    assert mg.grad(first.sum(), x)[0].tolist() == [12.0]
    assert mg.grad(y, x)[0].tolist() == [12.0]  # the graph of y was kept


def test_gradient_without_create_graph_has_no_history():
    x = leaf(2.0)
    (first,) = mg.grad((x**3).sum(), x)
    assert first.grad_fn is None
    assert not first.requires_grad


# Second and third derivatives at zeros, ties, kinks and masked points
ZEROS_AND_TIES = [[0.0, 1.0, -1.0], [-0.0, 1.0, 2.0], [2.0, 2.0, 0.0]]
NESTED = {  # functions of the library and x
    "x**0": lambda lib, x: x**0,
    "x**1": lambda lib, x: x**1,
    "x**2": lambda lib, x: x**2,
    "x**3": lambda lib, x: x**3,
    "x**2.0": lambda lib, x: x**2.0,
    "power of itself": lambda lib, x: (x * x + 1) ** x,
    "relu": lambda lib, x: x.relu() * x,
    "relu squared": lambda lib, x: x.relu() ** 2,
    "abs": lambda lib, x: x.abs() * x * x,
    "clamp": lambda lib, x: x.clamp(-1.0, 1.0) ** 3,
    "maximum": lambda lib, x: lib.maximum(x * x, x) * x,
    "minimum": lambda lib, x: lib.minimum(x.T, x) * x * x,
    "max": lambda lib, x: x.max() ** 2 * x,
    "max of rows": lambda lib, x: x.max(1)[0] ** 3,
    "amin": lambda lib, x: lib.amin(x, 0) ** 2 * x,
    "where": lambda lib, x: lib.where(x > 0, x**3, x * x),
    "where hides 1/x": lambda lib, x: lib.where(x != 0, 1 / lib.where(x != 0, x, 1.0), x**2),
    "mask": lambda lib, x: x[x.detach() > 0] ** 3,
    "repeated positions": lambda lib, x: x[[0, 0, 2]] ** 3,
    "sqrt behind a mask": lambda lib, x: lib.where(x > 0, x, 1.0).sqrt(),
    "log1p": lambda lib, x: (x * x).log1p(),
    "sigmoid": lambda lib, x: x.sigmoid(),
    "tanh": lambda lib, x: x.tanh() * x,
    "softmax": lambda lib, x: x.softmax(-1) * x,
    "log_softmax": lambda lib, x: x.log_softmax(0) * x,
    "logsumexp": lambda lib, x: x.logsumexp((0, 1)),
    "div": lambda lib, x: x / (x * x + 1),
    "matmul": lambda lib, x: x @ x.T @ x,
    "cat": lambda lib, x: lib.cat([x, x * x]) ** 2,
    "mean": lambda lib, x: (x - x.mean(0, keepdim=True)) ** 3,
    "cross_entropy": lambda lib, x: lib.nn.functional.cross_entropy(x, lib.tensor([0, 2, 1])),
    "cross_entropy, ignored": lambda lib, x: lib.nn.functional.cross_entropy(
        x, lib.tensor([0, -1, 1]), ignore_index=-1, label_smoothing=0.1
    ),
    "mse_loss": lambda lib, x: lib.nn.functional.mse_loss(x * x, x),
    "bce": lambda lib, x: lib.nn.functional.binary_cross_entropy_with_logits(x, (x.detach() > 0).double()),
    "softplus": lambda lib, x: lib.nn.functional.softplus(x * 7),
    "leaky_relu": lambda lib, x: lib.nn.functional.leaky_relu(x) ** 2,
}


def derivatives(lib, grad, function, x):
    """The gradients of orders 1 to 3, each of a weighted sum of the last; 0 where there is none."""
    y, found = function(lib, x), []
    for order in range(3):
        weights = lib.tensor(np.random.default_rng(order).uniform(0.5, 1.5, tuple(y.shape)), dtype=lib.float64)
        total = (y * weights).sum()
        if not total.requires_grad:
            return [*found, *[np.zeros((3, 3))] * (3 - order)]
        (y,) = grad(total, [x], create_graph=True, allow_unused=True)
        if y is None:
            return [*found, *[np.zeros((3, 3))] * (3 - order)]
        found.append(y.detach().numpy())
    return found


@pytest.mark.parametrize("name", NESTED)
def test_three_derivatives_at_zeros_and_ties_are_those_of_torch(name, torch):
    x = mg.tensor(ZEROS_AND_TIES, dtype="float64", requires_grad=True)
    theirs = torch.tensor(ZEROS_AND_TIES, dtype=torch.float64, requires_grad=True)
    ours = derivatives(mg, mg.grad, NESTED[name], x)
    expected = derivatives(torch, torch.autograd.grad, NESTED[name], theirs)
    for order, (found, exact) in enumerate(zip(ours, expected), 1):
        assert found == pytest.approx(exact, rel=1e-9, abs=1e-12, nan_ok=True), f"derivative {order}"


def test_three_derivatives_of_0_to_a_power():
    """torch's are nan for an exponent of 0."""
    x, p = mg.tensor([0.0, 0.0, 0.0, 0.0], dtype="float64", requires_grad=True), mg.arange(4.0).double()
    (first,) = mg.grad((x**p).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x, create_graph=True)
    (third,) = mg.grad(second.sum(), x)
    assert first.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert second.tolist() == [0.0, 0.0, 2.0, 0.0]
    assert third.tolist() == [0.0, 0.0, 0.0, 6.0]
