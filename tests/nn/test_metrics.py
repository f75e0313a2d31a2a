"""Metrics."""

import pytest

import minigrad as mg


def test_accuracy_of_other_types_raises():
    scores, labels = mg.tensor([[1.0, 2.0]]), mg.tensor([1])
    for given in ((scores, [1]), ([[1.0, 2.0]], labels)):
        with pytest.raises(TypeError, match=r"accuracy: expected a Tensor as (scores|labels), got"):
            mg.accuracy(*given)
