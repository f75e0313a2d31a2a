"""DataLoader: iterate over a dataset in batches, every sample once per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Integral, Number
from typing import Any

from .. import backend, ops
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor
from ..creation import tensor
from .dataset import fetch_batch


class DataLoader:
    """Iterates over the batches of one epoch. As torch's, it yields lists [x, y] of Tensors for samples (x, y).

    Batches of a dataset with `__getitems__` (see `Dataset`) are fetched at once. Those of any other dataset, such as
    torchvision's, are stacked from single samples: numbers (integers become int64, fractions float64, as in torch),
    arrays, torch tensors, Tensors, and tuples, lists and dicts of these.

    Args:
        dataset: the samples; anything with `__len__` and `__getitem__`.
        batch_size: the number of samples in a batch; the last batch may be smaller.
        shuffle: use a new random order in each epoch.
        drop_last: leave out a last batch that is smaller.
        seed: makes the orders reproducible: the order of epoch e depends on `seed` and e alone. By default they are
            drawn from the shared generator (`manual_seed`).
        num_workers, pin_memory: ignored; for programs written for torch.

    Attributes:
        epoch: the number of the next epoch, from 0; set it to resume a run.

    Raises:
        TypeError: `dataset` is not a dataset, or `batch_size`, `seed` or `epoch` is not an integer.
        ValueError: one of them is negative, or `batch_size` is 0; or the samples of a batch differ in length or keys.
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
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.seed = None if seed is None else check_integer("seed", seed, 0)
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n, order = len(self.dataset), None
        if self.shuffle:
            epoch = check_integer("epoch", self.epoch, 0)
            source = backend.random.generator() if self.seed is None else backend.random.new_generator(self.seed, epoch)
            order = backend.library(getattr(self.dataset, "device", "cpu")).from_host(source.permutation(n))
        self.epoch += 1
        return self._batches(range(n) if order is None else order, len(self))

    def _batches(self, order: Any, count: int) -> Iterator[Any]:
        for i in range(count):
            batch = fetch_batch(self.dataset, order[i * self.batch_size : (i + 1) * self.batch_size])
            yield list(batch) if isinstance(batch, tuple) else collate(batch)


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
