"""Transforms of images, composed as in torchvision: `Compose([ToTensor(), Normalize((0.5,), (0.5,))])`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd.errors import ShapeError
from ..autograd.tensor import Tensor, expect_tensor
from ..creation import tensor
from ..data.images import ToTensor

__all__ = ["Compose", "Lambda", "Normalize", "ToTensor"]


class Compose:
    """Applies transforms one after the other.

    Example:
        >>> from minigrad.vision import transforms
        >>> transforms.Compose([abs, float])(-2)
        2.0
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return "\n".join(["Compose(", *(f"    {transform}" for transform in self.transforms), ")"])


class Normalize:
    """y = (x - mean) / std, with one mean and one standard deviation for each channel.

    Raises:
        TypeError: the image is not a Tensor of floating point.
        ShapeError: it is not (..., C, H, W) with as many channels as means.
        ValueError: a standard deviation is 0.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.vision import transforms
        >>> transforms.Normalize((0.5,), (0.5,))(mg.tensor([[[0.0, 1.0]]])).tolist()
        [[[-1.0, 1.0]]]
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, image: Any) -> Tensor:
        expect_tensor("Normalize", "image", image)
        if image.dtype.kind != "f":
            raise TypeError(f"Normalize: expected an image of floating point, got dtype {image.dtype}; use ToTensor()")
        mean, std = (
            tensor(values, dtype=image.dtype, device=image.device).reshape(-1, 1, 1) for values in (self.mean, self.std)
        )
        if image.ndim < 3 or not {mean.shape[0], std.shape[0]} <= {1, image.shape[-3]}:
            given = f"{mean.shape[0]} means and {std.shape[0]} deviations"
            raise ShapeError(f"Normalize: expected an image (..., C, H, W) with C as {given}, got {image.shape}")
        if (std == 0).tolist().count([[True]]):
            raise ValueError(f"Normalize: expected std above 0, got {self.std}")
        return image.sub_(mean).div_(std) if self.inplace else (image - mean) / std

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Lambda:
    """Calls a function: `Lambda(lambda x: x.view(-1))`."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"
