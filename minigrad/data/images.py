"""Labelled images that stay bytes until a batch is asked for: a quarter of the memory, and of what goes to a device."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from typing import Any, ClassVar

from .. import backend
from ..autograd.tensor import Tensor, expect_tensor, wrap
from .dataset import Dataset, gather, label_ranges, pick


class ToTensor:
    """The transform that torch programs give a dataset: an image as float32 (C, H, W), its bytes divided by 255.

    Takes a Tensor, which it returns unchanged, or a PIL image or array of bytes (H, W) or (H, W, C). The image datasets
    here make such Tensors anyway. Raises TypeError for other dtypes, ValueError for other shapes.
    """

    def __call__(self, image: Any) -> Tensor:
        if isinstance(image, Tensor):
            return image
        pixels = backend.numpy.asarray(image)
        if pixels.dtype != backend.uint8:
            raise TypeError(f"ToTensor: expected an image of bytes (uint8), got dtype {pixels.dtype}")
        if pixels.ndim not in (2, 3):
            raise ValueError(f"ToTensor: expected an image (H, W) or (H, W, C), got shape {pixels.shape}")
        channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return wrap(channels.astype(backend.float32, order="C") / 255)

    def __repr__(self) -> str:
        return "ToTensor()"


class ImageDataset(Dataset):
    """Grey images with labels. Sample i is the pair (image, label): a Tensor float32 (1, H, W) from 0 to 1, and an int.

    `data`       the images as bytes, uint8 (N, H, W)
    `targets`    the labels, int64 (N,)
    `classes`    the names of the labels
    `transform`  called with the image of each sample, `target_transform` with its label; without them the DataLoader
                 gets whole batches, which is much faster

    Raises ValueError or TypeError where shapes, lengths or dtypes are others.
    """

    classes: ClassVar[list[str]]
    brightest = 255  # the byte that becomes 1.0

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
            raise TypeError(f"expected images of uint8 and labels of int64, got {data.dtype} and {targets.dtype}")
        if data.ndim != 3 or targets.shape != data.shape[:1]:
            raise ValueError(f"expected images (N, H, W) and labels (N,), got {data.shape} and {targets.shape}")
        self.data = data
        self.targets = targets
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected a number of a sample from {-len(self)} to {len(self) - 1}, got {index}")
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
        """Bytes as floats; divided, as torchvision does: multiplying by 1/255 would give other last bits."""
        return wrap(pixels.astype(backend.float32) / self.brightest)

    @property
    def device(self) -> backend.device:
        """Where the images and labels live."""
        return self.data.device

    def to(self, device: Any) -> ImageDataset:
        """Move the images, as bytes, and the labels to a device; returns self."""
        self.data, self.targets = self.data.to(device), self.targets.to(device)
        return self

    @property
    def gathers(self) -> bool:
        """Whether batches come whole: no transform wants to see single images."""
        return self.target_transform is None and (self.transform is None or type(self.transform) is ToTensor)

    def gather(self, index: Any) -> tuple[Tensor, Tensor]:
        """The samples at `index`, an int64 array or a slice: images float32 (B, 1, H, W), labels int64 (B,)."""
        return self._images(pick(self.data.array, index)[:, None]), gather(self.targets, index)

    def label_ranges(self, index: Any = slice(None)) -> tuple[tuple[int, int] | None, ...]:
        """None for the images, (least, greatest) for the labels at `index`."""
        return label_ranges((None, self.targets), index)

    @property
    def checksum(self) -> str:
        """SHA-256 of all bytes and labels, to record with a run what it was trained on."""
        to_host = backend.library(self.device).to_host
        pixels: Any = backend.numpy.ascontiguousarray(to_host(self.data.array))
        labels: Any = to_host(self.targets.array).astype("<i8")
        sha256 = hashlib.sha256(pixels)
        sha256.update(labels)
        return sha256.hexdigest()
