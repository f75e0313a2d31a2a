"""nn.init: the distributions of initial weights."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def moments(weights):
    """Mean and standard deviation."""
    return weights.numpy().mean(), weights.numpy().std()


def test_init_defaults_are_standard_distributions():
    mg.manual_seed(0)
    x = nn.init.uniform_(mg.zeros(100, 100))
    assert (x.numpy().min(), x.numpy().max()) == pytest.approx((0, 1), abs=0.01)
    assert moments(nn.init.normal_(x)) == pytest.approx((0, 1), abs=0.05)
    assert moments(nn.init.kaiming_normal_(x, a=0.5)) == pytest.approx((0, math.sqrt(2 / 1.25 / 100)), abs=0.005)
    assert nn.init.zeros_(x).numpy().max() == 0
    assert nn.init.ones_(x).numpy().min() == 1


def test_init_of_one_input_has_the_bound_of_the_formula():
    mg.manual_seed(0)
    x = mg.zeros(1000, 1)
    assert np.abs(nn.init.kaiming_uniform_(x).numpy()).max() == pytest.approx(math.sqrt(6), rel=0.02)
    assert moments(nn.init.kaiming_normal_(x)) == pytest.approx((0, math.sqrt(2)), abs=0.15)
    assert np.abs(nn.Linear(1, 1000).weight.detach().numpy()).max() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(("one", "other"), [("0", 1.0), (0.0, "1"), (None, 1.0), (0.0, None)])
def test_init_parameter_that_is_not_a_number_raises(one, other):
    for write in (nn.init.uniform_, nn.init.normal_):
        with pytest.raises(TypeError, match="_: expected numbers as"):
            write(mg.zeros(2), one, other)


def test_uniform_of_an_infinite_range_raises():
    with pytest.raises(ValueError, match="uniform_: expected a finite range"):
        nn.init.uniform_(mg.zeros(2), -1e308, 1e308)
    assert nn.init.uniform_(mg.zeros(2, dtype="float64"), 1e308, 1.1e308).numpy().min() >= 1e308
