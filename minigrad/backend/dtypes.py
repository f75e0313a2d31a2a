"""The dtypes of minigrad, and the rule by which they are promoted."""

from __future__ import annotations

from typing import Any

import numpy

DType = numpy.dtype

float32, float64 = numpy.dtype("float32"), numpy.dtype("float64")
uint8, int8, int16 = numpy.dtype("uint8"), numpy.dtype("int8"), numpy.dtype("int16")
int32, int64, bool_ = numpy.dtype("int32"), numpy.dtype("int64"), numpy.dtype("bool")
DTYPES = (bool_, uint8, int8, int16, int32, int64, float32, float64)


def dtype_of(name: Any) -> DType:
    """The dtype for a name, a NumPy dtype or a Python type. Raises TypeError for an unsupported one."""
    try:
        dtype: Any = {float: float32, int: int64, bool: bool_}.get(name) or numpy.dtype(name)
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype not in DTYPES:
        raise TypeError(f"expected one of the dtypes {', '.join(map(str, DTYPES))}, got {dtype or name!r}")
    return dtype


def promote(shapes: list[tuple[int, ...]], dtypes: list[DType]) -> DType:
    """The dtype of a result, by torch's rule: floats before integers before bool, then arrays before 0-d arrays."""
    category = {"b": 0, "u": 1, "i": 1, "f": 2}
    highest = max(category[dtype.kind] for dtype in dtypes)
    candidates = [(shape, dtype) for shape, dtype in zip(shapes, dtypes) if category[dtype.kind] == highest]
    return numpy.result_type(*([dtype for shape, dtype in candidates if shape] or [dtype for _, dtype in candidates]))
