"""Which library owns an array: NumPy on the CPU, CuPy on a CUDA device.

The backend is selected by the type of the data: each op uses the library that its arrays belong to. This package is the
only place in minigrad that imports numpy or cupy.

    devices         device, Library, namespace(array)
    dtypes          the dtypes, and type promotion
    numpy_library   NumPy, its tunings, floating-point warnings
    cupy_library    CuPy, imported at its first use
    random          the host generator
"""

from __future__ import annotations

from typing import Any

import numpy

from . import cupy_library, numpy_library, random
from .devices import (
    LIBRARY_OF_TYPE,
    Array,
    DeviceError,
    Library,
    cuda,
    device,
    library,
    library_of,
    namespace,
    register,
    to_device,
)
from .dtypes import (
    DTYPES,
    DType,
    bool_,
    dtype_of,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    promote,
    uint8,
)
from .numpy_library import as_array, copy_ignoring_context, ignore_fp_warnings, unravel
from .random import manual_seed

register("cpu", numpy_library.load)
register("cuda", cupy_library.load)
library("cpu")


def from_python(data: Any, dtype: Any = None) -> numpy.ndarray:
    """A new NumPy array of nested lists, numbers or arrays. Python floats become float32, as in torch.

    Raises TypeError for strings, objects and unsupported dtypes, ValueError for ragged lists and for numbers outside
    the range of an integer `dtype`. Arrays are cast as NumPy and torch do, modulo 2ⁿ.
    """
    try:
        array = numpy.asarray(data).copy()
    except ValueError as error:
        raise ValueError(f"expected numbers in rows of equal length: {error}") from None
    if dtype is None and array.dtype == float64 and not hasattr(data, "dtype"):
        dtype = float32
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got {type(data).__name__} of dtype {array.dtype}")
    target = dtype_of(dtype if dtype is not None else array.dtype.newbyteorder("="))
    if target.kind in "iu" and array.size and (not hasattr(data, "dtype") or isinstance(data, numpy.generic)):
        check_range(array.min().item(), array.max().item(), target)
    return ignore_fp_warnings(lambda: array.astype(target, copy=False))


def check_range(low: float, high: float, dtype: DType) -> None:
    """Raise ValueError unless numbers from `low` to `high`, truncated, are in the range of an integer dtype."""
    least, greatest = int(numpy.iinfo(dtype).min), int(numpy.iinfo(dtype).max)
    if not (least - 1 < low and high < greatest + 1):
        given = low if low <= least - 1 else high
        raise ValueError(f"expected numbers from {least} to {greatest} for dtype {dtype}, got {given}")


def format_array(array: Array, prefix: str) -> str:
    """The elements as text, four decimals, rows aligned after `prefix`."""
    return numpy.array2string(
        library_of(array).to_host(array),
        precision=4,
        separator=", ",
        prefix=prefix,
        floatmode="maxprec_equal",
        threshold=200,
    )
