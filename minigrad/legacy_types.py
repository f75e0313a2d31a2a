"""torch's old types of Tensors: FloatTensor([1, 2]) is a Tensor of float32, and x.type(LongTensor) a cast to int64."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from . import backend
from .autograd.tensor import Tensor
from .creation import tensor, zeros


class LegacyType:
    """A Tensor type of a dtype: a call makes Tensors from data, or zeros if the arguments are sizes.

    Example:
        >>> import minigrad as mg
        >>> mg.FloatTensor([1, 2])
        tensor([1., 2.])
        >>> mg.LongTensor(2)
        tensor([0, 0])
    """

    def __init__(self, name: str, dtype: backend.DType) -> None:
        self.name, self.dtype = name, dtype

    def __call__(self, *data: Any) -> Tensor:
        if all(isinstance(size, Integral) for size in data):
            return zeros(*data, dtype=self.dtype) if data else zeros(0, dtype=self.dtype)
        return tensor(data[0], dtype=self.dtype)

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype == self.dtype

    def __repr__(self) -> str:
        return f"torch.{self.name}"


FloatTensor = LegacyType("FloatTensor", backend.float32)
DoubleTensor = LegacyType("DoubleTensor", backend.float64)
LongTensor = LegacyType("LongTensor", backend.int64)
IntTensor = LegacyType("IntTensor", backend.int32)
ShortTensor = LegacyType("ShortTensor", backend.int16)
CharTensor = LegacyType("CharTensor", backend.int8)
ByteTensor = LegacyType("ByteTensor", backend.uint8)
BoolTensor = LegacyType("BoolTensor", backend.bool_)
TYPES = [FloatTensor, DoubleTensor, LongTensor, IntTensor, ShortTensor, CharTensor, ByteTensor, BoolTensor]
