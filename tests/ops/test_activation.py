"""Activations: defaults, overflow, thresholds."""

import math

import pytest

import minigrad as mg
from minigrad.nn import functional as F


def test_leaky_relu_has_slope_one_hundredth_by_default():
    assert F.leaky_relu(mg.tensor([-100.0, 3.0])).tolist() == [-1.0, 3.0]


def test_softmax_of_large_scores_does_not_overflow(device):
    x = mg.tensor([1000.0, 1000.0, -1000.0], device=device)
    assert x.softmax(0).tolist() == [0.5, 0.5, 0.0]
    assert x.log_softmax(0).tolist() == pytest.approx([-math.log(2), -math.log(2), -2000.0 - math.log(2)])


def test_softplus_at_the_threshold_is_its_formula():
    x = mg.tensor([0.0, 0.5], requires_grad=True)
    y = F.softplus(x, threshold=0.0)
    y.sum().backward()
    assert y.tolist() == pytest.approx([math.log(2), 0.5])
    assert x.grad.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("function", [mg.softmax, mg.log_softmax])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()])
def test_softmax_of_empty_and_0d_tensors(function, shape, device):
    x = mg.ones(shape, device=device, requires_grad=True)
    y = function(x, -1)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    if shape == ():
        assert (y.item(), x.grad.item()) == ({"softmax": 1.0, "log_softmax": 0.0}[function.__name__], 0.0)
