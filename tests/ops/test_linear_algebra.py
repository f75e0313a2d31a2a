"""The matrix product and the linear layer: broadcasting, empty outputs, accuracy of the bias."""

import pytest

import minigrad as mg
from minigrad.nn import functional as F


def test_linear_without_outputs_has_empty_gradients(device):
    x = mg.ones(2, 3, device=device, requires_grad=True)
    w, b = mg.ones(0, 3, device=device, requires_grad=True), mg.ones(0, device=device, requires_grad=True)
    F.linear(x, w, b).sum().backward()
    assert (w.grad.shape, b.grad.shape) == ((0, 3), (0,))
    assert x.grad.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_gradient_of_a_bias_is_summed_accurately(layout, device):
    b = mg.zeros(2, device=device, requires_grad=True)
    g = mg.ones(1025, 2, device=device) if layout == "rows" else mg.ones(2, 1025, device=device).T
    g[0] = 2.0**24  # 2²⁴ + 1 is 2²⁴ in float32: added one by one, all the ones are lost
    F.linear(mg.ones(1025, 1, device=device), mg.ones(2, 1, device=device), b).backward(g)
    assert b.grad.tolist() == pytest.approx([2.0**24 + 1024] * 2, rel=1e-5)


def test_matrix_times_a_stack_sums_its_gradients(device):
    x = mg.ones(2, 3, device=device, requires_grad=True)
    w = mg.ones(5, 3, 4, device=device, requires_grad=True)
    (x @ w).sum().backward()
    assert x.grad.tolist() == [[20.0] * 3] * 2
    assert w.grad.tolist() == [[[2.0] * 4] * 3] * 5


@pytest.mark.parametrize(
    ("a", "b"), [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2))]
)
def test_vectors_are_rows_and_columns_as_in_torch(a, b, device, torch):
    x, w = mg.ones(*a, device=device, requires_grad=True), mg.ones(*b, device=device, requires_grad=True)
    theirs = torch.ones(a, requires_grad=True), torch.ones(b, requires_grad=True)
    y, expected = x @ w, theirs[0] @ theirs[1]
    assert y.shape == tuple(expected.shape)
    y.sum().backward()
    expected.sum().backward()
    assert [t.grad.tolist() for t in (x, w)] == [t.grad.tolist() for t in theirs]
