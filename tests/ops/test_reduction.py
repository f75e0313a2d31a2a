"""Reductions: defaults, accuracy of long sums, gradients without elements."""

import numpy as np
import pytest

import minigrad as mg


def test_dim_and_keepdim_of_reductions():
    x = mg.arange(24.0).reshape(2, 3, 4)
    for function in (mg.sum, mg.mean, mg.amax, mg.amin, mg.logsumexp, mg.argmax, mg.argmin):
        assert function(x, dim=1).shape == function(x, 1).shape == (2, 4)
        assert function(x, dim=-1, keepdim=True).shape == (2, 3, 1)
    for function in (mg.sum, mg.mean, mg.amax, mg.amin, mg.logsumexp):
        assert function(x, dim=(0, -1)).shape == function(x, dim=[0, 2]).shape == (3,)
    for function in (mg.sum, mg.mean, mg.amax, mg.amin, mg.argmax, mg.argmin):
        assert function(x).shape == ()


@pytest.mark.parametrize("dim", [None, (), [], 0, -1, (0,)])
def test_0d_tensors_reduce_to_themselves(dim, device):
    x = mg.tensor(3.0, device=device, requires_grad=True)
    for function in (mg.sum, mg.mean, mg.amax, mg.amin):
        x.grad = None
        y = function(x, dim=dim)
        y.backward()
        assert (y.item(), x.grad.item()) == (3.0, 1.0)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_empty_dims_are_all_axes(shape):
    x = mg.ones(*shape)
    for function in (mg.sum, mg.amax):
        assert function(x, dim=()).shape == ()


def test_sums_of_integers_and_bools_are_int64():
    for dtype in ("bool", "uint8", "int8", "int32"):
        y = mg.ones(300, dtype=dtype).sum()
        assert (y.dtype, y.item()) == ("int64", 300)


@pytest.mark.parametrize(
    ("view", "dim"),
    [
        (lambda row: row, None),
        (lambda row: row[:, None], 0),
        (lambda row: np.stack([row, row], 1), 0),
        (lambda row: np.stack([row, row], 0).T, 0),
        (lambda row: np.repeat(row, 2)[::2], None),
        (lambda row: np.repeat(row, 6).reshape(-1, 3, 2)[:, :, :1], (0, -1)),
    ],
    ids=["contiguous", "column", "columns", "rows", "strided", "two axes"],
)
def test_long_sums_are_accurate(view, dim):
    """2²⁴ + 1 is 2²⁴ in float32: added one by one, all the ones are lost."""
    row = np.ones(5000, "float32")
    row[0] = 2.0**24
    y = mg.Tensor(view(row)).sum(dim).numpy()
    assert y.ravel().tolist() == pytest.approx([2.0**24 + 4999] * y.size, rel=1e-5)


def test_mean_of_an_empty_axis_is_nan():
    x = mg.zeros(0, 3, requires_grad=True)
    y = x.mean(0)
    assert np.isnan(y.detach().numpy()).all()
    y.sum().backward()
    assert x.grad.shape == (0, 3)
