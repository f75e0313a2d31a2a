"""Datasets of labelled images, kept as bytes: a quarter of the memory of float32, and of the copy to a device."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from typing import Any, ClassVar

from .. import backend
from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor, wrap
from .dataset import Dataset, fetch_samples, take_labels, take_rows


class ToTensor:
    """Transform an image to float32 (C, H, W) from 0 to 1: bytes divided by 255. As torchvision's.

    The image datasets of minigrad yield such Tensors without it; a Tensor is returned unchanged.

    Raises:
        TypeError: the dtype of the image is not uint8.
        ShapeError: it has another number of axes.

    Shape:
        a PIL image or an array (H, W) or (H, W, C) -> (C, H, W)

    Example:
        >>> import minigrad as mg
        >>> image = mg.tensor([[0, 51], [102, 255]], dtype=mg.uint8).numpy()
        >>> mg.data.ToTensor()(image)
        tensor([[[0.0, 0.2],
                 [0.4, 1.0]]])
    """

    def __call__(self, image: Any) -> Tensor:
        if isinstance(image, Tensor):
            return image
        pixels = backend.numpy.asarray(image)
        if pixels.dtype != backend.uint8:
            raise TypeError(f"ToTensor: expected an image of bytes (uint8), got dtype {pixels.dtype}")
        if pixels.ndim not in (2, 3):
            raise ShapeError(f"ToTensor: expected an image (H, W) or (H, W, C), got shape {pixels.shape}")
        channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return wrap(channels.astype(backend.float32, order="C") / 255)

    def __repr__(self) -> str:
        return "ToTensor()"


class ImageDataset(Dataset):
    """Grey images with labels: sample i is (image, label), a float32 Tensor (1, H, W) from 0 to 1 and an int.

    Args:
        data: the images as bytes, uint8 (N, H, W).
        targets: the labels, int64 (N,).
        transform: applied to the image of each sample.
        target_transform: applied to the label of each sample. Without transforms whole batches are fetched, which is
            much faster.

    Raises:
        TypeError: another dtype.
        ShapeError: another shape.

    Attributes:
        classes: the names of the labels.
        max_value: the byte that becomes 1.0.

    Example:
        >>> import minigrad as mg
        >>> images = mg.data.ImageDataset(mg.zeros(10, 8, 8, dtype=mg.uint8), mg.arange(10))
        >>> image, label = images[3]
        >>> image.shape, label
        ((1, 8, 8), 3)
    """

    classes: ClassVar[list[str]]
    max_value = 255

    def __init__(
        self,
        data: Tensor,
        targets: Tensor,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        expect_tensor("ImageDataset", "data", data)
        expect_tensor("ImageDataset", "targets", targets)
        if data.dtype != backend.uint8 or targets.dtype != backend.int64:
            raise TypeError(
                f"ImageDataset: expected images of uint8 and labels of int64, got {data.dtype} and {targets.dtype}"
            )
        if data.ndim != 3 or targets.shape != data.shape[:1]:
            raise ShapeError(
                f"ImageDataset: expected images (N, H, W) and labels (N,), got {data.shape} and {targets.shape}"
            )
        self.data = data
        self.targets = targets
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"ImageDataset: expected an index from {-len(self)} to {len(self) - 1}, got {index}")
        image: Any = self._images(self.data.array[index][None])
        label: Any = int(self.targets.array[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {len(self)} images {self.data.shape[1]} x {self.data.shape[2]}, {self.device}"

    def _images(self, pixels: Any) -> Tensor:
        """Bytes as floats. Dividing, not multiplying by 1/255, gives torchvision's bits."""
        return wrap(pixels.astype(backend.float32) / self.max_value)

    @property
    def device(self) -> backend.device:
        """The device of the images and labels."""
        return self.data.device

    def to(self, device: Any) -> ImageDataset:
        """Move the images and labels to a device; returns self."""
        self.data, self.targets = self.data.to(device), self.targets.to(device)
        return self

    def __getitems__(self, indices: Any) -> Any:
        if self.target_transform is not None or type(self.transform) not in (type(None), ToTensor):
            return fetch_samples(self, indices)
        return self._images(take_rows(self.data, indices).array[:, None]), take_labels(self.targets, indices)

    @property
    def checksum(self) -> str:
        """SHA-256 of all images and labels: identifies the data that a model was trained on."""
        to_host = backend.library(self.device).to_host
        pixels: Any = backend.numpy.ascontiguousarray(to_host(self.data.array))
        labels: Any = to_host(self.targets.array).astype("<i8")
        sha256 = hashlib.sha256(pixels)
        sha256.update(labels)
        return sha256.hexdigest()
