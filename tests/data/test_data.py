"""Datasets and the DataLoader: every sample once, the same bits as torchvision, and nothing damaged let through."""

import builtins
import errno
import gzip
import hashlib
import inspect
import io
import itertools
import os
import struct
import tracemalloc
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import fake_gpu
from helpers.torchvision_import import import_torchvision
from hypothesis import given
from hypothesis import strategies as st

import minigrad
import minigrad.nn.functional as F
from minigrad import backend, tensor
from minigrad.autograd.tensor import value_range
from minigrad.data import (
    MNIST,
    DataError,
    DataLoader,
    DataNotFoundError,
    Dataset,
    Digits,
    FashionMNIST,
    ImageDataset,
    Subset,
    TensorDataset,
    ToTensor,
    idx,
    random_split,
)
from minigrad.nn.metrics import accuracy


def host(x):
    return x.cpu().numpy()


def numbered(n, device="cpu"):
    """n samples whose input and label tell their number."""
    x = np.arange(n, dtype=np.float32).reshape(n, 1) * np.ones((1, 3), np.float32)
    return TensorDataset(tensor(x).to(device), tensor(np.arange(n)).to(device))


class Items:
    """A dataset with __getitem__ and __len__ only."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


# TensorDataset, Subset, random_split
def test_tensor_dataset_returns_rows():
    dataset = numbered(5)
    x, y = dataset[3]
    assert len(dataset) == 5
    assert (x.tolist(), y.item()) == ([3.0, 3.0, 3.0], 3)
    assert dataset[-1][1].item() == 4
    assert dataset[1:3][0].shape == (2, 3)
    assert len(dataset.tensors) == 2


def test_batches_propagate_gradients():
    x = tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(x), batch_size=2):
        (batch * batch).sum().backward()
    assert x.grad.tolist() == [[2.0], [4.0], [6.0]]


def test_tensor_dataset_rejects_invalid_tensors():
    with pytest.raises(ValueError, match="equal length, got 3 and 2"):
        TensorDataset(tensor([1, 2, 3]), tensor([1, 2]))
    with pytest.raises(ValueError, match="at least one Tensor"):
        TensorDataset()
    with pytest.raises(TypeError, match=r"got ndarray; use tensor\(\.\.\.\)"):
        TensorDataset(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(\)"):
        TensorDataset(tensor(1.0))
    with pytest.raises(RuntimeError, match="one device, got cpu and strict"):
        TensorDataset(tensor([1.0]), tensor([1]).to("strict"))


def test_subset_returns_samples_at_its_indices(device):
    subset = Subset(numbered(10, device), [7, 2, -1])
    assert [int(subset[i][1]) for i in range(len(subset))] == [7, 2, 9]
    (batch,) = list(DataLoader(subset, batch_size=3))
    assert host(batch[1]).tolist() == [7, 2, 9]
    assert value_range(batch[1]) == ((0, 9) if device == "strict" else None)
    assert batch[0].device == backend.device(device)
    nested = Subset(subset, [2, 0])
    assert [host(y).tolist() for _, y in DataLoader(nested)] == [[9], [7]]


def test_subset_follows_its_dataset_to_another_device():
    digits = Digits()
    subset = Subset(digits, [3, 1])
    before = next(iter(DataLoader(subset, batch_size=2)))[0]
    digits.to("strict")
    after = next(iter(DataLoader(subset, batch_size=2)))[0]
    assert after.device == backend.device("strict")
    assert np.array_equal(host(before), host(after))


@pytest.mark.parametrize(("indices", "error"), [([5], IndexError), ([-6], IndexError), ([0.5], TypeError)])
def test_subset_rejects_invalid_indices(indices, error):
    with pytest.raises(error, match="Subset"):
        Subset(numbered(5), indices)


@given(n=st.integers(0, 60), cuts=st.lists(st.integers(0, 60), max_size=4), seed=st.integers(0, 9))
def test_split_by_lengths_has_every_sample_once(n, cuts, seed):
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    lengths = [b - a for a, b in itertools.pairwise(edges)]
    parts = random_split(numbered(n), lengths, seed=seed)
    assert [len(part) for part in parts] == lengths
    assert sorted(i for part in parts for i in part.indices) == list(range(n))


@given(n=st.integers(0, 200), weights=st.lists(st.integers(1, 10), min_size=1, max_size=5))
def test_split_by_fractions_has_lengths_of_torch(n, weights):
    fractions = [w / sum(weights) for w in weights]
    lengths = [len(part) for part in random_split(Items(range(n)), fractions, seed=0)]
    expected = [int(n * fraction) for fraction in fractions]
    for i in range(n - sum(expected)):
        expected[i % len(expected)] += 1
    assert lengths == expected
    assert sum(lengths) == n


def test_splits_repeat_with_a_seed_and_with_the_shared_generator():
    data = numbered(30)
    one, two, other = (random_split(data, [20, 10], seed=seed)[0].indices for seed in (1, 1, 2))
    assert one == two != other
    minigrad.manual_seed(4)
    first = random_split(data, [0.5, 0.5])[0].indices
    second = random_split(data, [0.5, 0.5])[0].indices
    minigrad.manual_seed(4)
    assert first == random_split(data, [0.5, 0.5])[0].indices != second


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([3, 3], ValueError, "sum 10"),
        ([0.5, 0.2], ValueError, "fractions with sum 1"),
        ([11, -1], ValueError, "0 or more"),
        ([1.5, -0.5], ValueError, "0 or more"),
        ([float("nan"), 1], ValueError, "0 or more"),
        (["a"], TypeError, "lengths or fractions"),
        ([], TypeError, "lengths or fractions"),
    ],
)
def test_invalid_split_lengths_raise(lengths, error, message):
    with pytest.raises(error, match=message):
        random_split(numbered(10), lengths)


# DataLoader
@given(
    n=st.integers(0, 40),
    size=st.integers(1, 45),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    whole=st.booleans(),
    seed=st.none() | st.integers(0, 5),
)
def test_loader_yields_every_sample_once(n, size, shuffle, drop_last, whole, seed):
    dataset = numbered(n)
    if not whole:
        dataset = Items([dataset[i] for i in range(n)])
    loader = DataLoader(dataset, size, shuffle, drop_last=drop_last, seed=seed)
    batches = list(loader)
    seen = [label for _, y in batches for label in y.tolist()]
    assert len(batches) == len(loader) == (n // size if drop_last else -(-n // size))
    assert all(len(y) == size for _, y in batches[:-1])
    assert len(seen) == len(set(seen)) == (n - n % size if drop_last else n)
    assert all(x[:, 0].tolist() == y.tolist() for x, y in batches)
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_loader_yields_lists_as_torch(torch):
    theirs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(5.0), torch.arange(5)), 2)
    ours = DataLoader(TensorDataset(minigrad.arange(5.0), minigrad.arange(5)), 2)
    assert (len(ours), ours.batch_size) == (len(theirs), theirs.batch_size)
    for expected, batch in zip(theirs, ours, strict=True):
        assert type(expected) is type(batch) is list
        assert [each.tolist() for each in expected] == [each.tolist() for each in batch]


def labels_of(loader):
    return [label for _, y in loader for label in host(y).tolist()]


def test_seeded_order_depends_on_the_epoch_alone(device):
    data = numbered(50, device)
    loader = DataLoader(data, 8, shuffle=True, seed=3)
    epochs = [labels_of(loader) for _ in range(3)]
    assert loader.epoch == 3
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = DataLoader(data, 8, shuffle=True, seed=3)
    resumed.epoch = 2
    assert labels_of(resumed) == epochs[2]
    assert labels_of(DataLoader(data, 8, shuffle=True, seed=4)) != epochs[0]


def test_batches_are_equal_on_all_devices(device):
    loaders = [DataLoader(numbered(50, where), 8, shuffle=True, seed=0) for where in ("cpu", device)]
    assert labels_of(loaders[0]) == labels_of(loaders[1])


def test_without_a_seed_shuffles_come_from_the_shared_generator():
    loader = DataLoader(numbered(50), 8, shuffle=True)
    minigrad.manual_seed(1)
    first, second = labels_of(loader), labels_of(loader)
    minigrad.manual_seed(1)
    assert labels_of(loader) == first != second


def test_concurrent_iterations_are_independent():
    loader = DataLoader(numbered(20), 4, shuffle=True, seed=0)
    one, two = iter(loader), iter(loader)
    orders = [[], []]
    for (_, y), (_, z) in zip(one, two):
        orders[0] += y.tolist()
        orders[1] += z.tolist()
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("shuffle", [False, True])
def test_modified_batch_does_not_change_the_dataset(shuffle):
    data = numbered(6)
    for x, y in DataLoader(data, 3, shuffle=shuffle):
        x.zero_()
        y.zero_()
    assert data.tensors[1].tolist() == list(range(6))
    assert data.tensors[0].sum().item() == 45


def on_device(n):
    return TensorDataset(minigrad.ones(n, 3, device="strict"), minigrad.arange(n, device="strict"))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("make", "copies"),
    [(lambda: numbered(40, "strict"), 0), (lambda: Digits(False).to("strict"), 0), (lambda: on_device(40), 1)],
    ids=["moved", "digits", "created there"],
)
def test_labels_are_copied_to_the_host_at_most_once(make, copies, shuffle):
    loader = DataLoader(make(), 8, shuffle=shuffle, seed=0)
    before = fake_gpu.host_copies()
    for _ in range(2):
        for _, y in loader:
            assert y.device == backend.device("strict")
            F.one_hot(y, 64)  # it checks the range of the labels
    assert fake_gpu.host_copies() - before == copies


def test_label_range_follows_the_dataset():
    data = numbered(10, "strict")
    loader = DataLoader(data, 5)
    assert [value_range(y) for _, y in loader] == [(0, 9)] * 2
    assert all(x._value_range is None for x, _ in loader)
    batches = iter(loader)
    next(batches)
    data.tensors[1][7] = -3  # in the middle of an epoch
    _, y = next(batches)
    assert value_range(y) == (-3, 9)
    with pytest.raises(IndexError, match="got -3 at index 2"):
        F.cross_entropy(minigrad.zeros(5, 10, device="strict"), y)


@pytest.mark.parametrize("moved", [False, True])
def test_labels_on_the_host_are_always_checked(moved):
    _, y = next(iter(DataLoader(numbered(5), 5)))
    y.numpy()[2] = 9
    y = y.to("strict") if moved else y
    with pytest.raises(IndexError, match="got 9 at index 2"):
        F.cross_entropy(minigrad.zeros(5, 5, device=y.device), y)


class Relabelled(TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, y + 100


class Offset(Subset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, y + 100


class OneHot(Digits):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image, label + 100


class Refetched(Relabelled):
    def __getitems__(self, indices):
        return TensorDataset.__getitems__(self, indices)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("dataset", "shift"),
    [
        (Relabelled(minigrad.ones(6, 2), minigrad.arange(6)), 100),
        (Offset(numbered(6), range(6)), 100),
        (OneHot(), 100),
        (Refetched(minigrad.ones(6, 2), minigrad.arange(6)), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_batches_use_getitem_of_a_subclass(dataset, shift, wrapped, shuffle):
    labels = labels_of(DataLoader(Subset(dataset, range(6)) if wrapped else dataset, 4, shuffle=shuffle))
    assert len(labels) >= 6
    assert all(shift <= label < shift + 10 for label in labels)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"batch_size": 0}, ValueError),
        ({"batch_size": -2}, ValueError),
        ({"batch_size": 2.5}, TypeError),
        ({"batch_size": None}, TypeError),
        ({"batch_size": True}, TypeError),
        ({"batch_size": "8"}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": 0.5}, TypeError),
    ],
)
def test_invalid_loader_options_raise(options, error):
    with pytest.raises(error, match=f"DataLoader: expected .*{next(iter(options))}"):
        DataLoader(numbered(4), **options)


def test_loader_rejects_other_objects_and_epochs():
    with pytest.raises(TypeError, match="__len__ and __getitem__, got generator"):
        DataLoader(i for i in range(3))
    loader = DataLoader(numbered(4), shuffle=True, seed=0)
    loader.epoch = -1
    with pytest.raises(ValueError, match="epoch of 0 or more"):
        iter(loader)


def test_loader_accepts_torchs_other_arguments():
    loader = DataLoader(numbered(4), batch_size=2, shuffle=False, num_workers=4, pin_memory=True)
    assert len(list(loader)) == 2
    assert loader.dataset is not None


@pytest.mark.parametrize("kind", [tuple, list])
def test_getitems_fetches_a_batch_at_once(kind):
    fetched = []

    class Squares(Dataset):
        def __len__(self):
            return 10

        def __getitems__(self, indices):
            fetched.append(indices)
            x = np.array(indices, float)
            return (tensor(x), tensor(x * x)) if kind is tuple else list(zip(x, x * x))

    batches = list(DataLoader(Squares(), 4))
    assert fetched == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[2][1].tolist() == [64.0, 81.0]
    shuffled = [x for batch, _ in DataLoader(Squares(), 4, shuffle=True, seed=0) for x in batch.tolist()]
    assert sorted(shuffled) == list(range(10))
    assert type(fetched[-1]) is list
    assert type(fetched[-1][0]) is int
    subset = Subset(Squares(), [3, 1])
    assert next(iter(DataLoader(subset, 2)))[1].tolist() == [9.0, 1.0]


def test_getitems_of_torch_datasets_is_used(torch):
    data = torch.utils.data.Subset(torch.utils.data.TensorDataset(torch.arange(9), torch.arange(9) * 2), [5, 3, 8])
    assert labels_of(DataLoader(data, 2)) == [10, 6, 16]


def test_dataset_without_getitem_raises():
    with pytest.raises(NotImplementedError, match="Dataset defines __getitem__"):
        Dataset()[0]


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "items",
    [
        [1, 2, 3],
        [True, False],
        [0.5, 1.5],
        [np.float32(0.5), np.float32(1.5)],
        [np.int16(3), np.int16(4)],
        [np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)],
        [np.zeros(2, np.uint8), np.ones(2, np.uint8)],
        [(np.zeros(2), 1), (np.ones(2), 0)],
        [[1, 2.5], [3, 4.5]],
        [((1, 2), 3), ((4, 5), 6)],
        [{"a": 1, "b": np.zeros(1)}, {"a": 2, "b": np.ones(1)}],
        [Point(1, 2.0), Point(3, 4.0)],
    ],
    ids=repr,
)
def test_samples_are_collated_as_by_torch(items, torch):
    (expected,) = list(torch.utils.data.DataLoader(Items(items), batch_size=len(items)))
    (batch,) = list(DataLoader(Items(items), batch_size=len(items)))

    def same(ours, theirs):
        if isinstance(theirs, torch.Tensor):
            theirs = theirs.numpy()
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            assert np.array_equal(ours.numpy(), theirs)
        elif isinstance(theirs, dict):
            assert list(ours) == list(theirs)
            assert all(same(ours[key], theirs[key]) for key in theirs)
        else:
            assert type(ours) is type(theirs)
            assert all(same(*pair) for pair in zip(ours, theirs, strict=True))
        return True

    assert same(batch, expected)


def test_tensors_of_torch_and_minigrad_are_stacked(torch):
    (x, y), *_ = DataLoader(Items([(torch.ones(2), torch.tensor(1)), (torch.zeros(2), torch.tensor(0))]), 2)
    assert (x.tolist(), y.tolist()) == ([[1.0, 1.0], [0.0, 0.0]], [1, 0])
    assert (x.dtype, y.dtype) == (minigrad.float32, minigrad.int64)
    (z,) = DataLoader(Items([tensor([1.0, 2.0]), tensor([3.0, 4.0])]), 2)
    assert z.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], ValueError, "one shape"),
        ([tensor([1.0]), tensor([1.0, 2.0])], ValueError, "one shape"),
        ([(1, 2), (1,)], ValueError, "one length"),
        ([{"a": 1}, {"b": 1}], ValueError, "one keys|one set of keys"),
        ([object(), object()], TypeError, r"got object; .*ToTensor\(\)"),
        (["a", "b"], TypeError, "got str"),
        ([None, None], TypeError, "got NoneType"),
    ],
)
def test_incompatible_samples_raise(items, error, message):
    with pytest.raises(error, match=message):
        list(DataLoader(Items(items), batch_size=2))


# Image datasets
def test_digits_have_their_published_contents():
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1438, 359)
    assert (train.data.shape, train.data.dtype, train.targets.dtype) == ((1438, 8, 8), minigrad.uint8, minigrad.int64)
    assert (int(train.data.array.max()), int(train.data.array.min())) == (16, 0)
    assert np.bincount(np.concatenate([train.targets.numpy(), test.targets.numpy()])).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip
    assert train.checksum.startswith("ddcae28db0b63ff1")
    assert test.checksum.startswith("4c5173701fd4d6d7")
    with pytest.raises(TypeError, match="takes no folder"):
        Digits("data")


def test_every_fifth_digit_is_for_testing():
    with np.load(os.path.join(os.path.dirname(inspect.getfile(Digits)), "digits.npz"), allow_pickle=False) as bundle:
        labels = bundle["targets"]
    assert Digits(train=False).targets.tolist() == labels[4::5].tolist()
    assert Digits().targets.tolist()[:5] == labels[[0, 1, 2, 3, 5]].tolist()


def test_single_images_equal_those_of_a_batch(device):
    digits = Digits(train=False)
    moved = Digits(train=False)
    assert moved.to(device) is moved
    images, labels = moved.__getitems__(range(20))
    assert (images.shape, images.dtype, labels.dtype) == ((20, 1, 8, 8), minigrad.float32, minigrad.int64)
    assert images.device == labels.device == moved.device == backend.device(device)
    for i in range(20):
        image, label = moved[i]
        assert type(label) is int
        assert label == digits.targets.tolist()[i]
        assert image.shape == (1, 8, 8)
        assert np.array_equal(host(image), host(images)[i])
        assert np.array_equal(host(image)[0], digits.data.numpy()[i] / np.float32(16))
    assert moved.checksum == digits.checksum
    assert (digits[-1][1], len(list(digits))) == (digits.targets.tolist()[-1], 359)


def test_checksum_detects_one_pixel_and_one_label():
    sums = {Digits(False).checksum}
    for name in ("data", "targets"):
        changed = Digits(False)
        getattr(changed, name)[3] = 1
        sums.add(changed.checksum)
    assert len(sums) == 3


def test_transforms_are_called_with_each_image_and_label():
    digits = Digits(train=False, transform=lambda image: image * 2 - 1, target_transform=lambda label: label % 2)
    image, label = digits[0]
    plain, number = Digits(train=False)[0]
    assert np.array_equal(image.numpy(), plain.numpy() * 2 - 1)
    assert label == number % 2
    images, labels = next(iter(DataLoader(digits, 4)))
    assert np.array_equal(images.numpy()[0], image.numpy())
    assert labels.tolist() == [y % 2 for y in Digits(train=False).targets.tolist()[:4]]
    only = next(iter(DataLoader(Digits(train=False, transform=lambda image: image * 2 - 1), 4)))
    assert np.array_equal(only[0].numpy(), images.numpy())
    subset = next(iter(DataLoader(Subset(digits, [0]), 1)))
    assert np.array_equal(subset[0].numpy()[0], image.numpy())


def test_to_tensor_keeps_the_fast_batches():
    plain, same = Digits(), Digits(transform=ToTensor())
    assert type(same.__getitems__(range(2))) is tuple
    for (x, y), (u, v) in zip(DataLoader(plain, 100), DataLoader(same, 100), strict=True):
        assert np.array_equal(x.numpy(), u.numpy())
        assert np.array_equal(y.numpy(), v.numpy())


def test_to_tensor_equals_torchvisions():
    torchvision = import_torchvision()
    rng = np.random.default_rng(0)
    for shape in ((5, 7), (5, 7, 1), (5, 7, 3)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        expected = torchvision.transforms.ToTensor()(pixels).numpy()
        assert np.array_equal(ToTensor()(pixels).numpy(), expected)
    from PIL import Image

    picture = Image.fromarray(pixels)
    assert np.array_equal(ToTensor()(picture).numpy(), torchvision.transforms.ToTensor()(picture).numpy())


def test_to_tensor_rejects_other_images():
    image = minigrad.zeros(1, 2, 2)
    assert ToTensor()(image) is image
    with pytest.raises(TypeError, match="uint8"):
        ToTensor()(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        ToTensor()(np.zeros(2, np.uint8))


def test_image_dataset_rejects_other_shapes_and_dtypes():
    with pytest.raises(ValueError, match="labels"):
        ImageDataset(minigrad.zeros(3, 2, 2, dtype=minigrad.uint8), minigrad.zeros(2, dtype=minigrad.int64))
    with pytest.raises(TypeError, match="uint8"):
        ImageDataset(minigrad.zeros(3, 2, 2), minigrad.zeros(3, dtype=minigrad.int64))


# Real MNIST
@pytest.fixture(scope="module")
def theirs(mnist_root, tmp_path_factory):
    """torchvision's MNIST with ToTensor on the same files, unpacked elsewhere: (train, test)."""
    torchvision = import_torchvision()
    root = tmp_path_factory.mktemp("mnist")
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist_root / "MNIST" / "raw").glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    to_tensor = torchvision.transforms.ToTensor()
    train, test = (torchvision.datasets.MNIST(root, train=part, transform=to_tensor) for part in (True, False))
    return SimpleNamespace(root=root, train=train, test=test)


@pytest.mark.parametrize("part", ["train", "test"])
def test_real_mnist_is_torchvisions_to_the_bit(mnist_root, theirs, part):
    expected, ours = getattr(theirs, part), MNIST(mnist_root, train=part == "train")
    assert len(ours) == len(expected) == (60_000 if part == "train" else 10_000)
    assert np.array_equal(ours.data.numpy(), expected.data.numpy())
    assert np.array_equal(ours.targets.numpy(), expected.targets.numpy())
    assert ours.classes == expected.classes
    for i in range(0, len(ours), 7):
        (image, label), (pixels, digit) = ours[i], expected[i]
        assert (label, type(label), image.shape) == (digit, type(digit), tuple(pixels.shape))
        assert image.numpy().tobytes() == pixels.numpy().tobytes()


def test_real_mnist_in_batches_is_torchvisions_to_the_bit(mnist_root, theirs):
    import torch

    batches = zip(
        DataLoader(MNIST(mnist_root, train=False), 1000),
        DataLoader(theirs.test, 1000),
        torch.utils.data.DataLoader(theirs.test, 1000),
        strict=True,
    )
    for whole, items, expected in batches:
        for ours in (whole, items):
            assert ours[0].numpy().tobytes() == expected[0].numpy().tobytes()
            assert ours[1].numpy().tobytes() == expected[1].numpy().tobytes()


def test_unpacked_files_are_read_too(mnist_root, theirs):
    assert MNIST(theirs.root, train=False).checksum == MNIST(str(mnist_root), train=False).checksum


def test_changed_byte_of_real_file_raises(mnist_root, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist_root / "MNIST" / "raw").glob("t10k*.gz"):
        content = bytearray(path.read_bytes())
        content[4] ^= 1  # the time stamp: the images are the same, the file is not
        (raw / path.name).write_bytes(content)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: expected MD5 sum"):
        MNIST(tmp_path, train=False)


# The reader of IDX files
def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9], dtype=np.uint8)
CONTENT = {"train-images-idx3-ubyte": idx_bytes(IMAGES), "train-labels-idx1-ubyte": idx_bytes(LABELS)}


@pytest.fixture(params=["", ".gz"], ids=["plain", "gz"])
def small(request, tmp_path, monkeypatch):
    """write(name, content) puts a file in place, packed or not, and all() reads a training set of six images."""
    suffix = request.param
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)

    def pack(content):
        return gzip.compress(content, mtime=0) if suffix else content

    def write(name, content, packed=False):
        (raw / f"{name}{suffix}").write_bytes(content if packed else pack(content))

    sums = {f"{name}.gz": hashlib.md5(gzip.compress(content, mtime=0)).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(MNIST, "_counts", {"train": 6, "t10k": 4})
    monkeypatch.setattr(MNIST, "_md5", sums)
    for name, content in CONTENT.items():
        write(name, content)
    return SimpleNamespace(root=tmp_path, raw=raw, write=write, pack=pack, suffix=suffix, read=lambda: MNIST(tmp_path))


def test_small_files_are_read(small):
    assert np.array_equal(small.read().data.numpy(), IMAGES)
    assert small.read().targets.tolist() == LABELS.tolist()
    assert repr(small.read()) == "MNIST: 6 images 28 x 28, cpu"


def header(*numbers, order=">"):
    return struct.pack(f"{order}{len(numbers)}I", *numbers)


IMAGE_BYTES = IMAGES.tobytes()
DAMAGE = {
    "labels for images": (CONTENT["train-labels-idx1-ubyte"], "got labels .*may be misnamed"),
    "empty": (b"", "got only 0 bytes"),
    "two bytes": (b"\0\0", "got only 2 bytes"),
    "no header": (b"\0\0\x08\x03\0\0", "truncated within its header"),
    "only a header": (header(0x803, 6, 28, 28), "expected 4704 bytes after its header, got 0"),
    "truncated": (CONTENT["train-images-idx3-ubyte"][:-1], "expected 4704 bytes after its header, got 4703"),
    "too long": (CONTENT["train-images-idx3-ubyte"] + b"\0", "expected 4704 bytes after its header, got (4705|more)"),
    "of the other part": (idx_bytes(IMAGES[:4]), "expected 6 x 28 x 28 elements by its header, got 4 x 28 x 28"),
    "claims too much": (header(0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + IMAGE_BYTES, "got 4294967295 x 4294967295"),
    "wrong order": (header(0x803, 6, 28, 28, order="<") + IMAGE_BYTES, "in little-endian byte order"),
    "wrong order of lengths": (
        header(0x803) + header(6, 28, 28, order="<") + IMAGE_BYTES,
        "in little-endian byte order",
    ),
    "floats": (header(0xD03, 6, 28, 28) + IMAGE_BYTES * 4, "got 0 0 13 3"),
    "some text": (b"<html>404 Not Found</html>" * 200, "expected an IDX file with 3 axes"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_corrupt_idx_file_raises_with_its_name(small, damage):
    content, message = DAMAGE[damage]
    small.write("train-images-idx3-ubyte", content)
    with pytest.raises(DataError, match=message) as caught:
        small.read()
    path = str(small.raw / f"train-images-idx3-ubyte{small.suffix}")
    assert str(caught.value).startswith(f"{path}: ")
    assert "delete the file and download it again (download=True does both)" in str(caught.value)


def test_mnist_labels_out_of_range_raise(small, monkeypatch):
    monkeypatch.setattr(MNIST, "_md5", {})
    small.write("train-labels-idx1-ubyte", idx_bytes(np.array([0, 1, 2, 3, 4, 10], np.uint8)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.*expected labels from 0 to 9, got 10"):
        small.read()


def test_misnamed_idx_file_raises(small):
    small.write("train-labels-idx1-ubyte", CONTENT["train-images-idx3-ubyte"])
    with pytest.raises(DataError, match=r"train-labels.*got images \(3 axes\)"):
        small.read()


def test_missing_files_raise_with_folder_and_advice(tmp_path):
    for cls in (MNIST, FashionMNIST):
        with pytest.raises(DataNotFoundError, match="pip install torchvision") as caught:
            cls(tmp_path)
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, DataError)
        assert str(tmp_path / cls.__name__ / "raw") in str(caught.value)
        assert "download=True" in str(caught.value)
        assert "t10k-labels-idx1-ubyte.gz" in str(caught.value)


def test_folder_in_place_of_a_file_raises(small):
    path = small.raw / f"train-labels-idx1-ubyte{small.suffix}"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte{small.suffix}: cannot be read"):
        small.read()


def test_unreadable_file_raises(small, monkeypatch):
    real = builtins.open

    def failing(path, *args, **kwargs):
        if "train-labels" in str(path):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", failing)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.*: cannot be read: Input/output error"):
        small.read()


def test_read_error_of_the_disk_raises(small, monkeypatch):
    real = builtins.open

    class Failing(io.BytesIO):
        def __init__(self, file):
            super().__init__(file.read())
            self.fileno = file.fileno
            self.keep = file
            self.reads = 0

        def read(self, *args):
            self.reads += 1
            if self.reads > 2:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(*args)

        def close(self):
            self.keep.close()
            super().close()

    monkeypatch.setattr(builtins, "open", lambda *args, **kwargs: Failing(real(*args, **kwargs)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.*: cannot be read: Input/output error"):
        small.read()


def test_gzip_files_may_have_several_members(tmp_path):
    content = CONTENT["train-images-idx3-ubyte"]
    (tmp_path / "images.gz").write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    assert np.array_equal(idx.read(str(tmp_path / "images.gz"), (6, 28, 28)), IMAGES)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "a\0b.gz"])
def test_impossible_path_is_a_data_error(path):
    with pytest.raises(DataError, match="cannot be read"):
        idx.read(path, (1,))


def test_corrupt_gzip_file_raises(tmp_path):
    path, whole = tmp_path / "images.gz", gzip.compress(CONTENT["train-images-idx3-ubyte"])
    cases = {
        "cut off, or broken": whole[:2000] + whole[2008:],
        "truncated, as by a download that was cut off.*end-of-stream": whole[:-50],
        "expected a gzip file": CONTENT["train-images-idx3-ubyte"],
        "broken \\(CRC": whole[:-8] + b"\0\0\0\0" + whole[-4:],
    }
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            idx.read(str(path), (6, 28, 28))


def test_gzip_bomb_is_not_decompressed(tmp_path):
    shape, path = (1000, 28, 28), tmp_path / "bomb.gz"
    size = 28 * 28 * 1000
    bomb = bytearray(gzip.compress(header(0x803, *shape) + bytes(60 * size)))
    bomb[-4:] = struct.pack("<I", 16 + size)  # it even lies about its length
    path.write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(DataError, match="got more"):
        idx.read(str(path), shape)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * size + 2 * idx.CHUNK


def test_oversized_header_raises_before_allocation(tmp_path):
    shape, path = (2**20, 2**10, 2**10), tmp_path / "claim"
    path.write_bytes(header(0x803, *shape) + bytes(1000))
    tracemalloc.start()
    with pytest.raises(DataError, match="expected 1099511627776 bytes after its header, got 1000"):
        idx.read(str(path), shape)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < idx.CHUNK


WHOLE = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
FILES = {"plain": idx_bytes(WHOLE), "packed.gz": gzip.compress(idx_bytes(WHOLE), mtime=0)}


@given(name=st.sampled_from(sorted(FILES)), data=st.data())
def test_altered_file_raises_or_reads_the_same(name, data, tmp_path_factory):
    content, packed = bytearray(FILES[name]), name.endswith(".gz")
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "delete"]))
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if kind == "set" and content:
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=20))
        else:
            del content[at : at + data.draw(st.integers(1, 20))]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        array = idx.read(str(path), WHOLE.shape)
    except DataError as error:
        message = str(error)
        assert str(path) in message
    else:  # the checksum of gzip guards the elements; in a plain file nothing does
        expected = WHOLE if packed else np.frombuffer(content[16:], np.uint8).reshape(WHOLE.shape)
        assert np.array_equal(array, expected)
        assert packed or (content[:16] == FILES[name][:16] and len(content) == len(FILES[name]))
    if bytes(content) != FILES[name]:
        with pytest.raises(DataError):
            idx.read(str(path), WHOLE.shape, hashlib.md5(FILES[name]).hexdigest())


# Accuracy
def test_accuracy_is_the_fraction_of_correct_rows(device):
    scores = tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 4.0]], requires_grad=True).to(device)
    before = fake_gpu.host_copies()
    result = accuracy(scores, tensor([1, 0, 0, 0]).to(device))
    assert fake_gpu.host_copies() == before
    assert (result.shape, result.dtype, result.device) == ((), minigrad.float32, backend.device(device))
    assert not result.requires_grad
    assert float(result) == 0.75


@pytest.mark.parametrize(
    ("scores", "labels", "error"),
    [
        (minigrad.zeros(3), minigrad.zeros(3, dtype=int), ValueError),
        (minigrad.zeros(3, 2), minigrad.zeros(3, 1, dtype=int), ValueError),
        (minigrad.zeros(3, 2), minigrad.zeros(2, dtype=int), ValueError),
        (minigrad.zeros(0, 2), minigrad.zeros(0, dtype=int), ValueError),
        (minigrad.zeros(3, 2), minigrad.zeros(3), TypeError),
        (np.zeros((3, 2)), np.zeros(3, int), TypeError),
    ],
)
def test_accuracy_rejects_other_shapes_and_dtypes(scores, labels, error):
    with pytest.raises(error, match="accuracy"):
        accuracy(scores, labels)


def test_accuracy_rejects_two_devices():
    with pytest.raises(RuntimeError, match="one device"):
        accuracy(minigrad.zeros(3, 2), minigrad.zeros(3, dtype=int).to("strict"))


def test_sum_and_elements_are_of_one_read(tmp_path, monkeypatch):
    """A file that is replaced between two reads would have the sum of one and the elements of the other."""
    path, content = tmp_path / "labels.gz", gzip.compress(header(0x801, 5) + bytes(5))
    path.write_bytes(content)
    opened, real = [], open

    def record(file, *args, **options):
        opened.append(file)
        return real(file, *args, **options)

    monkeypatch.setattr("builtins.open", record)
    seeks = []
    monkeypatch.setattr(idx.HashingReader, "seek", lambda *args: seeks.append(args), raising=False)
    idx.read(str(path), (5,), hashlib.md5(content, usedforsecurity=False).hexdigest())
    assert (opened, seeks) == ([str(path)], [])


@pytest.mark.parametrize("split", [2, 10, 100, 4000])
def test_gzip_members_are_read_as_one_file(tmp_path, split):
    content, path = CONTENT["train-images-idx3-ubyte"], tmp_path / "images.gz"
    packed = gzip.compress(content[:split]) + gzip.compress(b"") + gzip.compress(content[split:]) + bytes(7)
    path.write_bytes(packed)
    md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    assert idx.read(str(path), (6, 28, 28), md5).tobytes() == content[16:]


@pytest.mark.parametrize("name", ["plain", "packed.gz"])
def test_cut_download_is_called_one(tmp_path, name):
    content, path = CONTENT["train-images-idx3-ubyte"], tmp_path / name
    content = gzip.compress(content) if name.endswith(".gz") else content
    for length in (5, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"truncated.*, as by a download that was cut off"):
            idx.read(str(path), (6, 28, 28))


def test_file_modified_while_read_is_an_error(tmp_path, monkeypatch):
    path, parse = tmp_path / "labels", idx._parse
    path.write_bytes(header(0x801, 5) + bytes(5))

    def parse_and_append(*args):
        found = parse(*args)
        with open(path, "ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(idx, "_parse", parse_and_append)
    with pytest.raises(DataError, match="modified while it was read"):
        idx.read(str(path), (5,))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_impossible_file_name_is_a_data_error(name):
    with pytest.raises(DataError, match="no file can have this name"):
        idx.read(name, (1,))
