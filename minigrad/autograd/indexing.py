"""Indexing: torch's meaning of x[index], for the array library to carry out.

NumPy lets an integer beside an index array take part in broadcasting: its x[0, :, [0, 1]] has the shape (2, n). In
torch integers select first, which gives (n, 2). So an index that has both becomes two steps.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from ..backend import LIBRARY_OF_TYPE, bool_, int32, int64, library_of, numpy


def index_steps(array: Any, index: Any) -> list[Any]:
    """The indices that select x[index] one after the other, as the array library takes them: one, or two.

    Index arrays are on the device of `array`. Those of Tensors are not copied, lists and NumPy arrays are.

    Raises IndexError for anything but integers, slices, None, ..., and index arrays of int32, int64 or bool.
    """
    if type(index) is int and array.ndim != 1:
        return [index]
    parts = [index_part(array, part) for part in (index if isinstance(index, tuple) else (index,))]
    arrays = [part for part in parts if type(part) in LIBRARY_OF_TYPE or isinstance(part, bool)]
    if arrays and any(part is Ellipsis for part in parts):
        # Written out as slices, since for NumPy even an Ellipsis of no axes separates two index arrays.
        axes = array.ndim - sum(indexed_axes(part) for part in parts)
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * axes
    if len(parts) == array.ndim and all(isinstance(part, int) for part in parts):
        return [(*parts, ...)]  # with ... one element is a view, and shares memory as in torch
    if not (arrays and any(isinstance(part, int) for part in parts)):
        return [tuple(parts) if isinstance(index, tuple) else parts[0]]
    select: list[Any] = []  # first the integers, slices and new axes
    then: list[Any] = []  # then the index arrays
    for part in parts:
        if isinstance(part, bool):  # a new axis of size 1, which True keeps and False drops
            select.append(None)
            then.append(library_of(array).from_host(numpy.array([part])))
        elif isinstance(part, int):
            select.append(part)
        elif type(part) in LIBRARY_OF_TYPE:
            select += [slice(None)] * indexed_axes(part)
            then.append(part)
        else:
            select.append(part)
            then.append(slice(None))
    return [tuple(select), tuple(then)]


def index_part(array: Any, part: Any) -> Any:
    """One part of an index: an int, bool, slice, None or ..., or an index array on the device of `array`."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return part
    if isinstance(part, slice):
        return slice(*(end if end is None else operator.index(end) for end in (part.start, part.stop, part.step)))
    if isinstance(part, Integral):
        return int(part)
    found = getattr(part, "array", part)  # of a Tensor
    if type(found) not in LIBRARY_OF_TYPE or (found is part and isinstance(part, numpy.ndarray)):
        if isinstance(part, (str, bytes)) or not isinstance(part, (Sequence, numpy.ndarray, numpy.generic)):
            raise IndexError(
                f"index: expected integers, slices, None, ... or Tensors, got {type(part).__name__} {part!r}"
            )
        try:
            found = numpy.array(part)
        except ValueError as error:
            raise IndexError(f"index: expected positions in rows of equal length: {error}") from None
        found = found.astype(int64) if found.size == 0 and found.dtype.kind == "f" else found
    if found.dtype not in (bool_, int32, int64):
        raise IndexError(
            f"index: expected dtype int32, int64 or bool, got {found.dtype}; use x.long() or, for a mask, x.bool()"
        )
    if found.ndim == 0:
        return found.item()
    here, there = library_of(array).device, library_of(found).device
    if here != there and there.type != "cpu":
        raise IndexError(f"index: expected a Tensor on {here}, got one on {there}")
    return found if here == there else library_of(array).from_host(found)


def indexed_axes(part: Any) -> int:
    """The number of axes that a part of an index applies to."""
    if getattr(part, "dtype", None) == bool_:
        return part.ndim
    return int(not (part is None or part is Ellipsis or isinstance(part, bool)))


def check_bounds(shape: tuple[int, ...], index: Any) -> None:
    """Raise IndexError for a position out of range, which CuPy would wrap around silently. NumPy checks by itself."""
    parts = index if isinstance(index, tuple) else (index,)
    axis = 0
    for i, part in enumerate(parts):
        if part is Ellipsis:
            axis = len(shape) - sum(map(indexed_axes, parts[i + 1 :]))
            continue
        if type(part) in LIBRARY_OF_TYPE and not isinstance(part, numpy.ndarray):
            n = shape[axis] if axis < len(shape) else 0
            if part.dtype.kind in "iu" and part.size:
                low, high = int(part.min()), int(part.max())
                if not -n <= low <= high < n:
                    raise IndexError(f"index: expected positions from {-n} to {n - 1}, got {low} to {high}")
        axis += indexed_axes(part)
