"""Datasets: the interface, and datasets made of Tensors or of other datasets."""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from numbers import Integral, Real
from typing import Any

from .. import backend, ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor, note_value_range, value_range, wrap


class Dataset:
    """The interface of a dataset: `len(dataset)` samples, of which `dataset[i]` is one, often a pair (input, label).

    Any object with these two methods is a dataset. It may also define torch's `__getitems__(indices)`, which fetches a
    batch at once. It returns either a list of samples, which the DataLoader stacks, or a tuple of Tensors, which is the
    batch; that is much faster. `indices` is a list of integers; a dataset with an attribute `device` gets a range, or
    an int64 array on that device.

    Example:
        >>> import minigrad as mg
        >>> class Squares(mg.data.Dataset):
        ...     def __len__(self):
        ...         return 4
        ...
        ...     def __getitem__(self, index):
        ...         return float(index), index**2
        >>> x, y = next(iter(mg.data.DataLoader(Squares(), batch_size=4)))
        >>> y
        tensor([0, 1, 4, 9])
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: a Dataset defines __getitem__(index) and __len__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: a Dataset defines __getitem__(index) and __len__()")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class ConcatDataset(Dataset):
    """The samples of several datasets, one after the other.

    Example:
        >>> import minigrad as mg
        >>> both = mg.data.ConcatDataset([range(3), range(10, 12)])
        >>> len(both), both[3], both[-1]
        (5, 10, 11)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset, got none")
        self.cumulative_sizes = [*accumulate(map(len, self.datasets))]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: Any) -> Any:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"ConcatDataset: expected an index from {-n} to {n - 1}, got {index}")
        index = index % n
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class IterableDataset(Dataset):
    """The interface of a dataset of unknown length: `iter(dataset)` yields the samples.

    Example:
        >>> import minigrad as mg
        >>> class Squares(mg.data.IterableDataset):
        ...     def __iter__(self):
        ...         return (i * i for i in range(5))
        >>> list(mg.data.DataLoader(Squares(), batch_size=3))
        [tensor([0, 1, 4]), tensor([ 9, 16])]
    """

    __len__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__}: an IterableDataset defines __iter__()")


def fetch_batch(dataset: Any, indices: Any) -> Any:
    """The samples at `indices`, a range or an array: a tuple of Tensors or a list of samples; see `Dataset`."""
    indices = indices if hasattr(dataset, "device") else as_list(indices)
    return dataset.__getitems__(indices) if fetches_batches(type(dataset)) else fetch_samples(dataset, indices)


def fetches_batches(kind: type) -> bool:
    """Whether a class defines `__getitems__`. It does not count if a subclass overrides `__getitem__` alone."""
    for base in kind.__mro__:
        if "__getitems__" in vars(base) or "__getitem__" in vars(base):
            return "__getitems__" in vars(base)
    return False


def fetch_samples(dataset: Any, indices: Any) -> list[Any]:
    """The samples at `indices`, one by one."""
    return [dataset[i] for i in as_list(indices)]


def as_list(indices: Any) -> list[int]:
    """A range, an array or a list of integers as a list of Python integers."""
    return indices.tolist() if hasattr(indices, "tolist") else list(indices)


def take_rows(tensor: Tensor, indices: Any) -> Tensor:
    """A copy of the rows at `indices`, a range or an array of integers on the same device."""
    if isinstance(indices, range):
        indices = slice(indices.start, indices.stop)
    if tensor._requires_grad:
        return ops.getitem(tensor, index=indices)
    array = tensor.array
    return wrap(array[indices].copy() if isinstance(indices, slice) else array.take(indices, axis=0))  # a fast index


def take_labels(tensor: Tensor, indices: Any) -> Tensor:
    """As `take_rows`; on a GPU the rows carry the range of the whole Tensor, so that a loss need not wait for them."""
    rows = take_rows(tensor, indices)
    if not isinstance(rows.array, backend.numpy.ndarray):  # on the host, reading labels costs less than trusting a note
        note_value_range(rows, integer_range(tensor))
    return rows


def integer_range(tensor: Tensor) -> tuple[int, int] | None:
    """(minimum, maximum) of a Tensor of integers, computed only if it was modified since the last call; else None."""
    if tensor.array.dtype.kind not in "iu" or not tensor.array.size:
        return None
    ends = value_range(tensor)
    if ends is None:
        library = backend.library_of(tensor.array)
        low, high = library.to_host(library.xp.stack([tensor.array.min(), tensor.array.max()])).tolist()
        ends = low, high
        note_value_range(tensor, ends)
    return ends


class TensorDataset(Dataset):
    """Tensors as a dataset: sample i is the tuple of their rows i.

    Args:
        tensors: one or more of shape (N, ...), on one device.

    Raises:
        TypeError: an argument is not a Tensor.
        ShapeError: the lengths differ, or a Tensor has no axes.
        RuntimeError: the Tensors are on two devices.

    Example:
        >>> import minigrad as mg
        >>> dataset = mg.data.TensorDataset(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([0, 1]))
        >>> dataset[1]
        (tensor([3., 4.]), tensor(1))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one Tensor, got none")
        for tensor in tensors:
            expect_tensor("TensorDataset", "samples", tensor)
            if tensor.ndim == 0:
                raise ShapeError("TensorDataset: expected Tensors of samples (N, ...), got a Tensor of shape ()")
        if len({len(tensor) for tensor in tensors}) > 1:
            lengths = " and ".join(str(len(tensor)) for tensor in tensors)
            raise ShapeError(f"TensorDataset: expected Tensors of equal length, got {lengths}")
        for tensor in tensors:
            if tensor.device != tensors[0].device:
                raise RuntimeError(
                    f"TensorDataset: expected Tensors on one device, got {tensors[0].device} and {tensor.device}; "
                    f"use x.to('{tensor.device}')"
                )
        self.tensors = tensors

    @property
    def device(self) -> backend.device:
        """The device of the Tensors."""
        return self.tensors[0].device

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices: Any) -> tuple[Tensor, ...]:
        return tuple([take_labels(tensor, indices) for tensor in self.tensors])


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order.

    Args:
        dataset: any dataset.
        indices: integers; negative ones count from the end.

    Raises:
        TypeError: an index is not an integer.
        IndexError: an index is out of range.

    Example:
        >>> import minigrad as mg
        >>> subset = mg.data.Subset(["a", "b", "c"], [2, 0])
        >>> [subset[i] for i in range(len(subset))]
        ['c', 'a']
    """

    def __init__(self, dataset: Any, indices: Iterable[Any]) -> None:
        indices = list(indices)
        if not all(isinstance(i, Integral) or hasattr(i, "__index__") for i in indices):
            raise TypeError(f"Subset: expected integers as indices, got {indices[:3]}")
        self.dataset = dataset
        self.indices = [operator.index(i) for i in indices]
        n = len(dataset)
        for i in self.indices:
            if not -n <= i < n:
                raise IndexError(f"Subset: expected indices from {-n} to {n - 1}, got {i}")
        self._array = backend.numpy.array(self.indices, dtype=backend.int64)

    @property
    def device(self) -> backend.device:
        """The device of the dataset."""
        return backend.device(getattr(self.dataset, "device", "cpu"))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Any) -> Any:
        if backend.library_of(self._array).device != self.device:
            self._array = backend.to_device(self._array, self.device)
        return fetch_batch(self.dataset, take_rows(wrap(self._array), indices).array)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Any = None, *, seed: int | None = None
) -> list[Subset]:
    """Split a dataset at random into one Subset for each of `lengths`.

    Args:
        dataset: N samples.
        lengths: numbers of samples with sum N, or fractions with sum 1. A fraction stands for floor(N · fraction)
            samples; the remaining samples go to the first parts, one each.
        generator: a Generator; by default the shared one (`manual_seed`).
        seed: makes the split reproducible, in place of a generator.

    Raises:
        TypeError: `lengths` are not numbers.
        ValueError: they are negative or have another sum.

    Example:
        >>> import minigrad as mg
        >>> train, test = mg.data.random_split(mg.data.Digits(), [0.8, 0.2], seed=0)
        >>> len(train), len(test)
        (1151, 287)
    """
    n, lengths = len(dataset), list(lengths)
    if not lengths or not all(isinstance(length, Real) and not isinstance(length, bool) for length in lengths):
        raise TypeError(f"random_split: expected a list of lengths or fractions, got {lengths!r}")
    if not all(length >= 0 for length in lengths):
        raise ValueError(f"random_split: expected lengths of 0 or more, got {lengths}")
    if math.isclose(sum(lengths), 1):
        counts = [math.floor(n * length) for length in lengths]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    elif all(isinstance(length, Integral) for length in lengths):
        counts = [int(length) for length in lengths]
    else:
        raise ValueError(f"random_split: expected fractions with sum 1, got {lengths} with sum {sum(lengths)}")
    if sum(counts) != n:
        raise ValueError(f"random_split: expected lengths with sum {n}, the number of samples, got {lengths}")
    source = backend.random.source(generator) if seed is None else backend.random.new_generator(seed)
    order, stop, subsets = source.permutation(n).tolist(), 0, []
    for count in counts:
        start, stop = stop, stop + count
        subsets.append(Subset(dataset, order[start:stop]))
    return subsets
