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


@pytest.mark.parametrize(
    ("name", "options", "spread"),
    [
        ("xavier_normal_", {"gain": 2.0}, 2 * (2 / 300) ** 0.5),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}, (2 / 200) ** 0.5),
        ("kaiming_uniform_", {"nonlinearity": "tanh"}, 5 / 3 / 100**0.5),
        ("trunc_normal_", {"std": 0.1}, 0.1),
        ("orthogonal_", {}, 1 / 200**0.5),
    ],
)
def test_initial_weights_have_the_spread_of_torch(name, options, spread, torch):
    for library in (mg, torch):
        library.manual_seed(0)
        w = getattr(library.nn.init, name)(library.zeros(200, 100), **options)
        assert float(w.std()) == pytest.approx(spread, rel=0.03)
    q = mg.nn.init.orthogonal_(mg.zeros(3, 5))
    assert mg.allclose(q @ q.T, mg.eye(3), atol=1e-5)
    assert mg.nn.init.eye_(mg.ones(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match="expected one of relu"):
        mg.nn.init.calculate_gain("softmax")


def test_generator_makes_numbers_reproducible():
    draws = [
        lambda g: mg.rand(3, generator=g),
        lambda g: mg.randn(3, generator=g),
        lambda g: mg.randint(0, 9, (3,), generator=g),
        lambda g: mg.randperm(5, generator=g),
        lambda g: mg.normal(0.0, 1.0, (3,), generator=g),
        lambda g: mg.multinomial(mg.ones(9), 3, generator=g),
        lambda g: mg.bernoulli(mg.full((9,), 0.5), generator=g),
        lambda g: mg.zeros(3).normal_(generator=g),
        lambda g: mg.zeros(3).uniform_(-1, 1, generator=g),
        lambda g: mg.nn.init.xavier_normal_(mg.zeros(2, 2), generator=g),
    ]
    for draw in draws:
        first, second = (draw(mg.Generator().manual_seed(7)) for _ in range(2))
        assert mg.equal(first, second)
