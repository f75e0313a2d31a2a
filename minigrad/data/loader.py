"""DataLoader: iterate over a dataset in batches, every sample once per epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Number
from typing import Any

from .. import backend, ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor
from ..creation import tensor
from .dataset import fetch_batch, fetch_samples
from .samplers import BatchSampler, RandomSampler, SequentialSampler


class DataLoader:
    """Iterates over the batches of one epoch. As torch's, it yields lists [x, y] of Tensors for samples (x, y).

    Batches of a dataset with `__getitems__` (see `Dataset`) are fetched at once. Those of any other dataset, such as
    torchvision's, are stacked from single samples: numbers (integers become int64, fractions float64, as in torch),
    arrays, torch tensors, Tensors, and tuples, lists and dicts of these.

    Args:
        dataset: the samples; anything with `__len__` and `__getitem__`.
        batch_size: the number of samples in a batch; the last batch may be smaller.
        shuffle: use a new random order in each epoch.
        sampler: yields the indices of an epoch, in place of `shuffle`; see `Sampler`.
        batch_sampler: yields lists of indices, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        collate_fn: makes a batch of a list of samples; by default `default_collate`.
        drop_last: leave out a last batch that is smaller.
        generator: a Generator to draw the orders from; by default the shared one (`manual_seed`).
        seed: makes the orders reproducible: the order of epoch e depends on `seed` and e alone.
        num_workers, pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers:
            no effect, as all samples are fetched in this process; for programs written for torch.

    Attributes:
        epoch: the number of the next epoch, from 0; set it to resume a run.

    Raises:
        TypeError: `dataset` is not a dataset, or `batch_size`, `seed` or `epoch` is not an integer.
        ValueError: one of them is negative, or `batch_size` is 0; arguments exclude each other; or the samples of a
            batch differ in length or keys.
        ShapeError: the samples of a batch differ in shape.

    Example:
        >>> import minigrad as mg
        >>> dataset = mg.data.TensorDataset(mg.arange(5.0), mg.arange(5))
        >>> [y.tolist() for x, y in mg.data.DataLoader(dataset, batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool | None = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        seed: int | None = None,
    ) -> None:
        self.dataset = dataset
        self._iterates = any(kind.__name__ == "IterableDataset" for kind in type(dataset).__mro__)
        if not self._iterates and not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"DataLoader: expected a dataset with __len__ and __getitem__, got {type(dataset).__name__}"
            )
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed = None if seed is None else check_integer("seed", seed, 0)
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.collate_fn, self.generator = collate_fn, generator
        if batch_sampler is not None and (self.batch_size != 1 or self.shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if sampler is not None and self.shuffle:
            raise ValueError("DataLoader: sampler excludes shuffle; use RandomSampler as sampler")
        if self._iterates and (self.shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset has its own order; leave out shuffle and samplers")
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        if sampler is not None:
            self.batch_sampler = BatchSampler(sampler, self.batch_size, self.drop_last)
        elif batch_sampler is None and not self._iterates:
            self.sampler = RandomSampler(dataset, generator=generator) if self.shuffle else SequentialSampler(dataset)
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch. Raises TypeError for an IterableDataset without a length."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self._iterates:
            return map(self._collate, BatchSampler(self.dataset, self.batch_size, self.drop_last))
        device, order = getattr(self.dataset, "device", None), None
        if self.shuffle:
            epoch = check_integer("epoch", self.epoch, 0)
            seed, generator = self.seed, self.generator
            source = backend.random.source(generator) if seed is None else backend.random.new_generator(seed, epoch)
            order = backend.library(device or "cpu").from_host(source.permutation(len(self.dataset)))
        self.epoch += 1
        if self.batch_sampler is None:
            return self._batches(range(len(self.dataset)) if order is None else order, len(self))
        on_device = lambda indices: backend.library(device or "cpu").from_host(
            backend.numpy.array(indices, backend.int64)
        )
        return (self._batch(indices if device is None else on_device(indices)) for indices in self.batch_sampler)

    def _batches(self, order: Any, count: int) -> Iterator[Any]:
        for i in range(count):
            yield self._batch(order[i * self.batch_size : (i + 1) * self.batch_size])

    def _batch(self, indices: Any) -> Any:
        if self.collate_fn is not None:
            return self.collate_fn(fetch_samples(self.dataset, indices))
        batch = fetch_batch(self.dataset, indices)
        return list(batch) if isinstance(batch, tuple) else collate(batch)

    def _collate(self, samples: list[Any]) -> Any:
        return collate(samples) if self.collate_fn is None else self.collate_fn(samples)


def check_integer(name: str, value: Any, minimum: int) -> int:
    """The value as a Python integer. Raises TypeError for another type, ValueError below the minimum."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"DataLoader: expected an integer as {name}, got {value!r}")
    if value < minimum:
        raise ValueError(f"DataLoader: expected {name} of {minimum} or more, got {value}")
    return int(value)


def collate(samples: list[Any]) -> Any:
    """One batch of samples: numbers and arrays are stacked along a new first axis, tuples and dicts part by part."""
    first = samples[0]
    if isinstance(first, Tensor):
        check_equal("shape", [sample.shape for sample in samples], ShapeError)
        return ops.stack(samples)
    if isinstance(first, Mapping):
        check_equal("keys", [sorted(map(str, sample)) for sample in samples])
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        check_equal("length", [len(sample) for sample in samples])
        parts = [collate(list(part)) for part in zip(*samples)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    if isinstance(first, float) and not hasattr(first, "dtype"):
        return tensor(samples, dtype=backend.float64)
    if isinstance(first, Number) or hasattr(first, "dtype"):
        arrays = [backend.from_python(sample) for sample in samples]  # accepts torch tensors, too
        check_equal("shape", [array.shape for array in arrays], ShapeError)
        return Tensor(backend.numpy.stack(arrays))
    raise TypeError(
        f"DataLoader: expected samples of Tensors, arrays and numbers, or tuples of them, got {type(first).__name__}; "
        "use a transform that makes Tensors, such as ToTensor()"
    )


def check_equal(attribute: str, values: list[Any], error: type[ValueError] = ValueError) -> None:
    """Raise an error unless the samples of a batch have one value of this attribute."""
    for value in values:
        if value != values[0]:
            raise error(f"DataLoader: expected samples of one {attribute} in a batch, got {values[0]} and {value}")
