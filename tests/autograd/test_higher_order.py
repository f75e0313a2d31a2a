"""Gradients of gradients: `create_graph=True`."""

import numpy as np

import minigrad as mg


def leaf(*values):
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def test_grad_with_create_graph_can_be_differentiated_again():
    x = leaf(2.0, -3.0)
    (first,) = mg.grad((x**3).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x, create_graph=True)
    (third,) = mg.grad(second.sum(), x)
    assert first.tolist() == [12.0, 27.0]
    assert second.tolist() == [12.0, -18.0]
    assert third.tolist() == [6.0, 6.0]


def test_recorded_gradient_of_an_intermediate_result():
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    (g,) = mg.grad(y * y, y, create_graph=True)
    assert g.item() == 18.0
    assert mg.grad(g, x)[0].item() == 12.0


def test_recorded_gradients_accumulate():
    x = mg.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (x * x).backward(create_graph=True)
    assert x.grad.item() == 12.0
    assert mg.grad(x.grad, [x])[0].item() == 4.0


def test_recorded_gradients_do_not_share_memory():
    a, b = leaf(1.0), leaf(2.0)
    (a + b).sum().backward(create_graph=True)
    assert a.grad is not b.grad
    assert not np.shares_memory(a.grad.array, b.grad.array)


def test_create_graph_records_under_no_grad():
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    with mg.no_grad():
        (g,) = mg.grad(y, x, create_graph=True)
        assert not mg.is_grad_enabled()
    assert mg.grad(g, x)[0].item() == 2.0


def test_create_graph_keeps_the_graph_by_default():
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    y.backward(create_graph=True)
    y.backward()
    assert x.grad.item() == 12.0
