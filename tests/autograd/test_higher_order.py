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
