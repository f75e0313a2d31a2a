"""TensorDataset, Subset and the image datasets: devices, indices, scaling."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import Digits, ImageDataset, Subset, TensorDataset


def test_tensor_dataset_has_the_device_of_its_tensor():
    assert TensorDataset(mg.ones(3, device="strict")).device == mg.device("strict")


def test_subset_accepts_every_kind_of_index():
    samples = TensorDataset(mg.tensor([10, 20, 30]))
    assert Subset(samples, [mg.tensor(1), np.int8(2), -3])[2][0].item() == 10
    assert Subset(samples, [mg.tensor(1)]).indices == [1]
    with pytest.raises(IndexError, match="expected indices from -3 to 2, got -4"):
        Subset(samples, [-4])


def test_digits_have_ten_classes():
    assert Digits.classes == list("0123456789")


def test_images_are_scaled_and_indexed_from_both_ends():
    images = ImageDataset(mg.tensor([[[0, 255]], [[51, 102]]], dtype="uint8"), mg.tensor([4, 7]))
    assert images[0][0].tolist() == [[[0.0, 1.0]]]
    assert images[-2][1] == 4
    assert images[1][1] == images[-1][1] == 7
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"expected an index from -2 to 1, got {index}"):
            images[index]
