"""DataLoader: its arguments, and the label range that it passes to the losses."""

import pytest
from helpers import fake_gpu

import minigrad as mg
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F


def test_loader_has_the_arguments_of_torch():
    loader = DataLoader(TensorDataset(mg.ones(3)))
    assert (loader.num_workers, loader.pin_memory) == (0, False)
    for no_dataset in ({1, 2}, (i for i in range(3))):
        with pytest.raises(TypeError, match="expected a dataset with __len__ and __getitem__"):
            DataLoader(no_dataset)


def test_labels_of_a_loader_are_checked_once_on_a_device():
    labels = next(iter(DataLoader(TensorDataset(mg.tensor([0, 2, 1])), batch_size=3)))[0].to("strict")
    scores = mg.zeros(3, 3, device="strict")
    before = fake_gpu.host_copies()
    F.cross_entropy(scores, labels)
    assert fake_gpu.host_copies() == before
    F.cross_entropy(scores, labels.clone())
    assert fake_gpu.host_copies() > before


def test_labels_after_a_cast_are_checked_again():
    labels = next(iter(DataLoader(TensorDataset(mg.tensor([0, 200])), batch_size=2)))[0]
    assert F.one_hot(labels, 256).sum().item() == 2
    with pytest.raises(IndexError, match="got -56 at index 1"):
        F.one_hot(labels.to(mg.int8), 256)
