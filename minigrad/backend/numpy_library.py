"""NumPy as the library of the CPU, and the tunings that it needs."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from math import copysign
from types import SimpleNamespace
from typing import Any

import numpy

from .devices import Library, device


def load() -> Library:
    """The library of `device("cpu")`."""
    raise_mmap_threshold()
    return Library(numpy_namespace(), numpy.ndarray, device("cpu"), lambda a: a, lambda a: a, lambda: None)


def raise_mmap_threshold() -> None:
    """Let glibc reuse the memory that one training step frees for the next step.

    glibc returns large freed blocks to the system, so each step would fault in fresh pages. Freeing one block of 31 MB
    raises the dynamic threshold, M_MMAP_THRESHOLD of mallopt(3), for the whole process.
    """
    numpy.empty(31 << 20, numpy.uint8)


def numpy_namespace() -> SimpleNamespace:
    """NumPy's functions, with a few replaced by faster ones, and `scatter` and `column_sum`, which NumPy does not have.

    `sum`, `amax`, `amin` and `ones_like` skip the Python wrappers of NumPy's own, which take longer than the work on
    an array of the size of a batch.
    """

    def sum(x: Any, axis: Any = None, **options: Any) -> Any:
        return numpy.add.reduce(x, axis, **options)

    def amax(x: Any, axis: Any = None, **options: Any) -> Any:
        return numpy.maximum.reduce(x, axis, **options)

    def amin(x: Any, axis: Any = None, **options: Any) -> Any:
        return numpy.minimum.reduce(x, axis, **options)

    def ones_like(x: Any, **options: Any) -> Any:
        ones = numpy.empty_like(x, **options)
        ones.fill(1)
        return ones

    def where(condition: Any, a: Any, b: Any) -> Any:
        # Choosing between g and 0 is what a mask does in a backward pass. NumPy branches for each element, which takes
        # ten times as long as multiplying the bits of g with the mask. (Multiplying g would make nan of inf · 0.)
        if type(b) is float and b == 0.0 and getattr(a, "dtype", None) in BITS and copysign(1.0, b) > 0:
            return (a.view(BITS[a.dtype]) * condition).view(a.dtype)
        return numpy.where(condition, a, b)

    replaced = {"sum": sum, "amax": amax, "amin": amin, "ones_like": ones_like, "where": where}
    return SimpleNamespace(**{**vars(numpy), **replaced, **missing_functions(numpy)})


BITS = {numpy.dtype("float32"): numpy.dtype("int32"), numpy.dtype("float64"): numpy.dtype("int64")}


def missing_functions(module: Any) -> dict[str, Any]:
    """The functions that ops use and neither NumPy nor CuPy has, made of those of `module`."""

    def column_sum(x: Any) -> Any:
        """Σ over the rows of a matrix.

        BLAS adds many float32 rows more accurately than `sum`, which adds them one after the other. Contiguous columns
        are summed in pairs, which is as accurate, and faster.
        """
        if not x.shape[1] or x.flags.f_contiguous:
            return x.sum(axis=0)
        return module.ones_like(x[:, 0]) @ x

    def scatter(x: Any, shape: tuple[int, ...], index: Any) -> Any:
        """Zeros of this shape, with x added at index."""
        y = module.zeros(shape, dtype=x.dtype)
        parts = index if isinstance(index, tuple) else (index,)
        if all(part is None or isinstance(part, (int, slice, type(...))) for part in parts):
            y[index] = x
        else:
            module.add.at(y, index, x)  # an element that is indexed twice gets both
        return y

    return {"column_sum": column_sum, "scatter": scatter}


# NumPy keeps its floating-point error state in a context variable. Code that runs in a copy of this context gives inf
# and nan without a warning, as torch does, and the user's own settings stay as they are. A copy costs a tenth of
# `with numpy.errstate(...)`. Its price: context variables that the user set after the import have their defaults in it.
_ignoring = contextvars.copy_context()
_ignoring.run(numpy.seterr, all="ignore")
copy_ignoring_context = _ignoring.copy


def ignore_fp_warnings(function: Callable[..., Any], *args: Any) -> Any:
    """Call `function(*args)` with NumPy's warnings of overflow, underflow, division by 0 and invalid values off."""
    return copy_ignoring_context().run(function, *args)


def as_array(value: Any) -> Any:
    """The value, but a 0-d array instead of the scalar that NumPy's operators make of one."""
    return numpy.asarray(value) if isinstance(value, numpy.generic) else value


def unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of a position in the flattened array."""
    return tuple(int(i) for i in numpy.unravel_index(position, shape))
