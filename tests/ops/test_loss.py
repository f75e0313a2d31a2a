"""The ops of the losses: defaults."""

import math

import pytest

import minigrad as mg
from minigrad import ops


def test_classes_are_on_axis_one_by_default():
    x, q = mg.zeros(2, 4), mg.eye(4)[:2]
    for each in (ops.cross_entropy(x, q), ops.softmax_cross_entropy(x, q != 0, reduction="none")):
        assert each.tolist() == pytest.approx([math.log(4)] * 2)
    assert ops.nll_loss(x - 3, q).tolist() == [3.0, 3.0]
