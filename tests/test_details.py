"""Details that the other tests came past without looking: mutants of the package showed them."""

from __future__ import annotations

import pytest
from helpers import fake_gpu

import minigrad as mg
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F


# Labels
def test_labels_that_a_loader_has_looked_at_are_not_looked_at_again_on_a_device():
    labels = next(iter(DataLoader(TensorDataset(mg.tensor([0, 2, 1])), batch_size=3)))[0].to("strict")
    scores = mg.zeros(3, 3, device="strict")
    before = fake_gpu.host_copies()
    F.cross_entropy(scores, labels)
    assert fake_gpu.host_copies() == before
    F.cross_entropy(scores, labels.clone())
    assert fake_gpu.host_copies() > before


def test_labels_that_a_cast_has_changed_are_looked_at_again():
    labels = next(iter(DataLoader(TensorDataset(mg.tensor([0, 200])), batch_size=2)))[0]
    assert F.one_hot(labels, 256).sum().item() == 2
    with pytest.raises(IndexError, match="got -56 at index 1"):
        F.one_hot(labels.to(mg.int8), 256)


# Elementwise ops


# The linear layer and the product


# In place


# The walk


# What detect_anomaly says


# What a Tensor is
