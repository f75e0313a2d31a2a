"""DataLoader: a dataset in batches, every sample once per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Integral, Number
from typing import Any

from .. import backend, ops
from ..autograd.tensor import Tensor, note_value_range
from ..creation import tensor
from .dataset import gathers


class DataLoader:
    """Iterating yields the batches of one epoch: lists [x, y] of Tensors for samples (x, y), as torch's.

    `batch_size`   samples in a batch; the last batch holds what is left, or is left out with `drop_last`
    `shuffle`      in another random order each epoch; else in the dataset's order
    `seed`         with it, epoch e has one order in every run; without, the shared generator is used (`manual_seed`)
    `epoch`        the number of the next epoch, from 0; set it to resume a run
    `num_workers`, `pin_memory` are accepted, as torch programs pass them, and have no effect

    The order is drawn on the host and moved once per epoch to the dataset's device. A dataset with `gather` (see
    Dataset) picks whole batches there. Any other, such as a torchvision dataset, is asked for its items, which are put
    together: numbers (integers become int64, fractions float64, as in torch), arrays, torch tensors, Tensors, and
    tuples, lists and dicts of these. The range of integer labels is looked at once per epoch and noted on each batch as
    `label_range`, so that a loss need not look again. Raises TypeError or ValueError for a batch size or seed that is
    none.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"DataLoader: expected a dataset with __len__ and __getitem__, got {type(dataset).__name__}"
            )
        self.dataset = dataset
        self.batch_size = whole("batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.seed = None if seed is None else whole("seed", seed, 0)
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = None
        if self.shuffle:
            epoch = whole("epoch", self.epoch, 0)
            source = backend.random.generator() if self.seed is None else backend.random.new_generator(self.seed, epoch)
            order = source.permutation(len(self.dataset))
        self.epoch += 1
        return self._gathered(order) if gathers(self.dataset) else self._collated(order)

    def _parts(self) -> Iterator[slice]:
        n = len(self.dataset)
        return (slice(i * self.batch_size, min((i + 1) * self.batch_size, n)) for i in range(len(self)))

    def _gathered(self, order: Any) -> Iterator[Any]:
        dataset = self.dataset
        if order is not None:
            order = backend.library(getattr(dataset, "device", "cpu")).from_host(order)
        ranges = dataset.label_ranges(slice(None)) if hasattr(dataset, "label_ranges") else ()
        for part in self._parts():
            batch = list(dataset.gather(part if order is None else order[part]))
            for each, ends in zip(batch, ranges):
                if ends is not None:
                    note_value_range(each, ends)
            yield batch

    def _collated(self, order: Any) -> Iterator[Any]:
        numbers = range(len(self.dataset)) if order is None else order.tolist()
        return (collate([self.dataset[i] for i in numbers[part]]) for part in self._parts())


def whole(name: str, value: Any, least: int) -> int:
    """The value, or TypeError if it is no integer, ValueError if it is below `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"DataLoader: expected an integer as {name}, got {value!r}")
    if value < least:
        raise ValueError(f"DataLoader: expected {name} of {least} or more, got {value}")
    return int(value)


def collate(items: list[Any]) -> Any:
    """The items of a batch as one: numbers and arrays are stacked along a new first axis, tuples and dicts by part.

    Raises TypeError for an item of another kind, ValueError where shapes or lengths differ.
    """
    first = items[0]
    if isinstance(first, Tensor):
        _agree("shape", [item.shape for item in items])
        return ops.stack(items)
    if isinstance(first, Mapping):
        _agree("keys", [sorted(map(str, item)) for item in items])
        return {key: collate([item[key] for item in items]) for key in first}
    if isinstance(first, (tuple, list)):
        _agree("length", [len(item) for item in items])
        parts = [collate(list(part)) for part in zip(*items)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    if isinstance(first, float) and not hasattr(first, "dtype"):
        return tensor(items, dtype=backend.float64)
    if isinstance(first, Number) or hasattr(first, "dtype"):
        arrays = [backend.from_python(item) for item in items]  # a torch tensor, too, knows how to become an array
        _agree("shape", [array.shape for array in arrays])
        batch = Tensor(backend.numpy.stack(arrays))
        if batch.dtype.kind in "iu" and batch.ndim == 1:
            note_value_range(batch, (int(batch.array.min()), int(batch.array.max())))
        return batch
    raise TypeError(
        f"DataLoader: expected items of Tensors, arrays and numbers, or tuples of them, got {type(first).__name__}; "
        "give the dataset a transform that makes a Tensor of it, such as ToTensor()"
    )


def _agree(what: str, given: list[Any]) -> None:
    for each in given:
        if each != given[0]:
            raise ValueError(f"DataLoader: expected items of one {what} in a batch, got {given[0]} and {each}")
