"""The bundled dataset of handwritten digits; for its source see README.md in this folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from .. import backend
from ..autograd.tensor import Tensor
from .images import ImageDataset


class Digits(ImageDataset):
    """1,797 handwritten digits of 8 x 8 pixels with 17 grey levels: 1,438 to train, 359 (every fifth) to test.

    Sample i is (image, label), a float32 Tensor (1, 8, 8) from 0 to 1 and an int from 0 to 9.

    Args:
        train: False selects the test set.
        transform: applied to the image of each sample.
        target_transform: applied to the label of each sample.

    Raises:
        TypeError: `train` is not True or False.

    Example:
        >>> import minigrad as mg
        >>> digits = mg.data.Digits(train=False)
        >>> image, label = digits[0]
        >>> len(digits), image.shape, label
        (359, (1, 8, 8), 4)
    """

    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    max_value = 16

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        if not isinstance(train, bool):
            raise TypeError(
                f"Digits: expected True or False as train, got {train!r}; the dataset is bundled, so it takes no folder"
            )
        self.train = train
        with backend.numpy.load(os.path.join(os.path.dirname(__file__), "digits.npz"), allow_pickle=False) as bundle:
            data, targets = bundle["data"], bundle["targets"]
        chosen = (backend.numpy.arange(len(data)) % 5 != 4) == train
        labels = targets[chosen].astype(backend.int64)
        super().__init__(Tensor(data[chosen]), Tensor(labels), transform, target_transform)
