"""What a dataset is, and the three that are made of what is there already: Tensors, and parts of a dataset."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from .. import backend, ops
from ..autograd.tensor import Tensor, wrap


class Dataset:
    """Samples by number: `len(dataset)` of them, `dataset[i]` is one, mostly a pair (input, label).

    Any object with these two serves; the DataLoader then puts a batch together item by item. A dataset that can pick
    whole batches is asked for them instead, which is much faster. It also has

    `gather(index)`        a tuple of Tensors, the samples at `index`: an int64 array on its device, or a slice
    `device`               where it lives; the CPU if it does not say
    `gathers`              False while batches must be made item by item after all; True if it does not say
    `label_ranges(index)`  may be left out: for each Tensor of `gather(index)` its (least, greatest) element, or None
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: a Dataset defines __getitem__(index) and __len__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: a Dataset defines __getitem__(index) and __len__()")


def gathers(dataset: Any) -> bool:
    """Whether a dataset hands out whole batches."""
    return hasattr(dataset, "gather") and getattr(dataset, "gathers", True)


def label_ranges(tensors: Sequence[Tensor | None], index: Any = slice(None)) -> tuple[tuple[int, int] | None, ...]:
    """(least, greatest) element at `index` of each Tensor of integers, None for others; one copy to the host in all."""
    rows = [None if tensor is None or tensor.dtype.kind not in "iu" else tensor.array[index] for tensor in tensors]
    looked = [array for array in rows if array is not None and array.size]
    if not looked:
        return (None,) * len(rows)
    owner = backend.library_of(looked[0])
    ends = owner.xp.stack([end for array in looked for end in (array.min(), array.max())])
    numbers = iter(owner.to_host(ends).tolist())
    return tuple(None if array is None or not array.size else (next(numbers), next(numbers)) for array in rows)


def pick(array: Any, index: Any) -> Any:
    """The rows at `index`, a slice or positions known to be there, in memory of their own."""
    return array[index].copy() if isinstance(index, slice) else array.take(index, axis=0)  # faster than array[index]


def gather(tensor: Tensor, index: Any) -> Tensor:
    """The same of a Tensor."""
    return ops.getitem(tensor, index=index) if tensor._requires_grad else wrap(pick(tensor.array, index))


class TensorDataset(Dataset):
    """Sample i is the tuple of the rows i of `tensors`, which are all (N, ...) and on one device.

    Raises TypeError for what is no Tensor, ValueError where the lengths differ, RuntimeError for two devices.
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one Tensor, got none")
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"TensorDataset: expected Tensors, got {type(tensor).__name__}; write tensor(...)")
            if tensor.ndim == 0:
                raise ValueError("TensorDataset: expected Tensors of samples (N, ...), got a Tensor of shape ()")
        if len({len(tensor) for tensor in tensors}) > 1:
            raise ValueError(
                f"TensorDataset: expected one number of samples, got {' and '.join(str(len(t)) for t in tensors)}"
            )
        for tensor in tensors:
            if tensor.device != tensors[0].device:
                raise RuntimeError(
                    f"TensorDataset: expected Tensors on one device, got {tensors[0].device} and {tensor.device}"
                )
        self.tensors = tensors

    @property
    def device(self) -> backend.device:
        """Where the Tensors live."""
        return self.tensors[0].device

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def gather(self, index: Any) -> tuple[Tensor, ...]:
        """The samples at `index`, an int64 array or a slice: one Tensor (B, ...) for each of `tensors`."""
        return tuple([gather(tensor, index) for tensor in self.tensors])

    def label_ranges(self, index: Any = slice(None)) -> tuple[tuple[int, int] | None, ...]:
        """(least, greatest) element of each Tensor of integers at `index`, None for others."""
        return label_ranges(self.tensors, index)


class Subset(Dataset):
    """The samples of `dataset` at the numbers `indices`, in that order.

    Raises TypeError for what are no integers, IndexError for one that the dataset does not have.
    """

    def __init__(self, dataset: Any, indices: Iterable[Any]) -> None:
        given = list(indices)
        if not all(isinstance(i, Integral) or hasattr(i, "__index__") for i in given):
            raise TypeError(f"Subset: expected integers as indices, got {given[:3]}")
        self.dataset = dataset
        self.indices = [operator.index(i) for i in given]
        n = len(dataset)
        for i in self.indices:
            if not -n <= i < n:
                raise IndexError(f"Subset: expected indices from {-n} to {n - 1}, got {i}")
        self._positions = backend.numpy.array(self.indices, dtype=backend.int64)

    @property
    def gathers(self) -> bool:
        """Whether the dataset hands out whole batches."""
        return gathers(self.dataset)

    @property
    def device(self) -> backend.device:
        """Where the dataset lives."""
        return backend.device(getattr(self.dataset, "device", "cpu"))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def positions(self, index: Any) -> Any:
        """The numbers in `dataset` of the samples at `index`, on its device."""
        if backend.library_of(self._positions).device != self.device:
            self._positions = backend.to_device(self._positions, self.device)
        return self._positions[index]

    def gather(self, index: Any) -> tuple[Tensor, ...]:
        """The samples at `index`, an int64 array or a slice, as the dataset gathers them."""
        return self.dataset.gather(self.positions(index))

    def label_ranges(self, index: Any = slice(None)) -> Any:
        """(least, greatest) element of each Tensor of integers at `index`, None for others."""
        look = getattr(self.dataset, "label_ranges", None)
        return () if look is None else look(self.positions(index))


def random_split(dataset: Any, lengths: Sequence[float], seed: int | None = None) -> list[Subset]:
    """The samples in random order, dealt out to one Subset for each of `lengths`.

    `lengths` are numbers of samples with sum N, or fractions with sum 1: each part then has floor(N · fraction)
    samples, and what is left goes to the first parts, one each. With a seed the split is the same every time; without,
    the shared generator is used (`manual_seed`). Raises TypeError or ValueError for lengths that do not fit.
    """
    n, parts = len(dataset), list(lengths)
    if not parts or not all(isinstance(part, Real) and not isinstance(part, bool) for part in parts):
        raise TypeError(f"random_split: expected a list of lengths or fractions, got {lengths!r}")
    if not all(part >= 0 for part in parts):
        raise ValueError(f"random_split: expected lengths of 0 or more, got {parts}")
    if math.isclose(sum(parts), 1):
        counts = [math.floor(n * part) for part in parts]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    elif all(isinstance(part, Integral) for part in parts):
        counts = [int(part) for part in parts]
    else:
        raise ValueError(f"random_split: expected fractions with sum 1, got {parts} with sum {sum(parts)}")
    if sum(counts) != n:
        raise ValueError(f"random_split: expected lengths with sum {n}, the number of samples, got {parts}")
    source = backend.random.generator() if seed is None else backend.random.new_generator(seed)
    order, stop, subsets = source.permutation(n).tolist(), 0, []
    for count in counts:
        start, stop = stop, stop + count
        subsets.append(Subset(dataset, order[start:stop]))
    return subsets
