"""Changes of a Tensor in place, for updates where nothing is recorded: `w -= lr * w.grad` under `no_grad`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

from . import anomaly, backend
from .grad_mode import clock, mode
from .methods import Methods, plain_index

if TYPE_CHECKING:
    from .tensor import Tensor


class InPlace(Methods):
    """The operators and methods that change the array of a Tensor instead of making a new one."""

    _changed: Any
    _changed_in: str

    def _in_place(self, change: Callable[[Any, Any], Any], other: Any, alpha: Any = 1) -> Any:
        array = isinstance(other, backend.numpy.ndarray) and other.dtype.kind in "biuf"
        if not (array or isinstance(other, (Methods, Real))):
            raise TypeError(f"in place: expected a Tensor or a number, got {type(other).__name__}")
        if not isinstance(alpha, Real):
            raise TypeError(f"in place: expected a number as alpha, got {type(alpha).__name__}")
        other = other if alpha == 1 else other * alpha
        recorded = self.requires_grad or (isinstance(other, Methods) and other.requires_grad)
        if mode.recording and recorded:
            raise RuntimeError(
                "a Tensor that requires a gradient cannot be changed in place while ops are recorded: write x = x + y, "
                "or put the update under `with no_grad():`"
            )
        if isinstance(other, Methods):
            if other.device != self.device:
                raise RuntimeError(f"in place: expected a Tensor on {self.device}, got one on {other.device}")
            other = other.array
        try:
            backend.QUIET.copy().run(change, self.array, other)
        except OverflowError as error:
            raise ValueError(f"in place: {error} (dtype {self.dtype})") from error
        self.touch()
        return self

    def touch(self) -> None:
        """Note that the array was changed in place: a backward through what it went into before must not go on."""
        self._changed = next(clock)
        self.label_range = None
        if anomaly.watching and anomaly.is_watched():
            self._changed_in = anomaly.user_line()

    def __iadd__(self, other: Any) -> Tensor:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._in_place(operator.itruediv, other)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._in_place(lambda array, other: operator.setitem(array, plain_index(index), other), value)

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self += alpha · other."""
        return self._in_place(operator.iadd, other, alpha)

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self -= alpha · other."""
        return self._in_place(operator.isub, other, alpha)

    def mul_(self, other: Any) -> Tensor:
        """self *= other."""
        return self._in_place(operator.imul, other)

    def div_(self, other: Any) -> Tensor:
        """self /= other."""
        return self._in_place(operator.itruediv, other)

    def copy_(self, other: Any) -> Tensor:
        """self[...] = other."""
        return self._in_place(lambda array, value: operator.setitem(array, ..., value), other)

    fill_ = copy_

    def zero_(self) -> Tensor:
        """self[...] = 0."""
        return self.copy_(0)
