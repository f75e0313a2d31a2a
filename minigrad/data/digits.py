"""The bundled digits: real handwriting that needs no network. README.md in this folder tells where they come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from .. import backend
from ..autograd.tensor import Tensor
from .images import ImageDataset


class Digits(ImageDataset):
    """1,797 handwritten digits of 8 x 8 pixels with 17 levels of grey: 1,438 to train, 359 (every fifth) to test.

    As MNIST in all else: sample i is (image float32 (1, 8, 8) from 0 to 1, int label from 0 to 9).
    """

    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    brightest = 16

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        if not isinstance(train, bool):
            raise TypeError(f"Digits: expected True or False as train, got {train!r}; the digits need no folder")
        self.train = train
        with backend.numpy.load(os.path.join(os.path.dirname(__file__), "digits.npz"), allow_pickle=False) as bundle:
            data, targets = bundle["data"], bundle["targets"]
        chosen = (backend.numpy.arange(len(data)) % 5 != 4) == train
        labels = targets[chosen].astype(backend.int64)
        super().__init__(Tensor(data[chosen]), Tensor(labels), transform, target_transform)
