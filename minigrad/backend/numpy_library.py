"""NumPy as the library of the CPU, and the tunings that it needs."""

from __future__ import annotations

import contextvars
import operator
from collections.abc import Callable
from functools import reduce
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
    """NumPy's functions, with a few replaced, and those of `missing_functions`.

    Those replaced skip the Python wrappers of NumPy's own, which take longer than the work on an array of the size of a
    batch; `sum` is more accurate, too.
    """
    xp = SimpleNamespace(
        **{**vars(numpy), "sum": sum, "amax": amax, "amin": amin, "ones_like": ones_like, "where": where}
    )
    vars(xp).update(missing_functions(xp))
    return xp


def sum(x: Any, axis: Any = None, **options: Any) -> Any:
    """As `numpy.sum`, accurate also along axes that are long and not contiguous."""
    if x.size > LONG and max(x.shape) > LONG and x.dtype.kind == "f":
        x = sum_blocks(x, range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,))
    return numpy.add.reduce(x, axis, **options)


def amax(x: Any, axis: Any = None, **options: Any) -> Any:
    """As `numpy.amax`."""
    return numpy.maximum.reduce(x, axis, **options)


def amin(x: Any, axis: Any = None, **options: Any) -> Any:
    """As `numpy.amin`."""
    return numpy.minimum.reduce(x, axis, **options)


def ones_like(x: Any, **options: Any) -> Any:
    """As `numpy.ones_like`."""
    ones = numpy.empty_like(x, **options)
    ones.fill(1)
    return ones


def where(condition: Any, a: Any, b: Any) -> Any:
    """As `numpy.where`, faster for b = 0.0, which is what a mask does in a backward pass.

    NumPy branches for each element. Multiplying the bits of `a` with the mask takes a tenth of the time, and unlike a
    product of `a` and the mask it does not make nan of inf · 0.
    """
    if type(b) is float and b == 0.0 and getattr(a, "size", 0) > 512 and a.dtype in BITS and copysign(1.0, b) > 0:
        bits = BITS[a.dtype]
        return (a.view(bits) * numpy.asarray(condition, bits)).view(a.dtype)
    return numpy.where(condition, a, b)


BITS: dict[Any, Any] = {numpy.dtype("float32"): numpy.dtype("int32"), numpy.dtype("float64"): numpy.dtype("int64")}
LONG = 1024  # rows from which on a sum is made in blocks
BLOCK = 128


def sum_blocks(x: Any, axes: Any) -> Any:
    """x with its long `axes` shortened by summing blocks of it, so that a sum over them stays accurate.

    NumPy sums in pairs only along contiguous elements. Along other axes it adds one row after the other, and in float32
    a sum of 2e7 ones would end at 16,777,216.
    """
    if x.flags.forc and len(axes) == x.ndim:  # contiguous in one piece
        return x
    for axis in axes:
        axis %= x.ndim
        while x.shape[axis] > LONG and x.strides[axis] != x.itemsize:
            end = x.shape[axis] // BLOCK * BLOCK
            head, rest = numpy.split(x, [end], axis)
            blocks = head.reshape((*x.shape[:axis], -1, BLOCK, *x.shape[axis + 1 :]))
            sums = numpy.add.reduce(blocks, axis + 1), numpy.add.reduce(rest, axis, keepdims=True)
            x = numpy.concatenate(sums, axis)
    return x


def missing_functions(xp: Any) -> dict[str, Any]:
    """The functions that ops use and neither NumPy nor CuPy has, made of those of a namespace."""

    def column_sum(x: Any) -> Any:
        """Σ over the rows of a matrix. For the rows of a batch BLAS is faster than `sum`, and more accurate.

        More rows are summed in blocks: BLAS may add one after the other, which in float32 is 1 % off for 2²⁰ rows.
        """
        if not x.size or x.flags.f_contiguous:
            return xp.sum(x, axis=0)
        while len(x) > LONG:
            end = len(x) // LONG * LONG
            blocks = x[:end].reshape(-1, LONG, x.shape[1])
            x = xp.concatenate([xp.ones_like(blocks[0, :, 0]) @ blocks, x[end:]])
        return xp.ones_like(x[:, 0]) @ x

    def scatter(x: Any, shape: tuple[int, ...], index: Any) -> Any:
        """Zeros of this shape, with x added at index."""
        y = xp.zeros(shape, dtype=x.dtype)
        parts = index if isinstance(index, tuple) else (index,)
        if all(part is None or isinstance(part, (int, slice, type(...))) for part in parts):
            y[index] = x
        else:
            xp.add.at(y, index, x)  # an element that is indexed twice gets both
        return y

    def div_rounded(a: Any, b: Any, rounding_mode: str) -> Any:
        """a / b rounded down ("floor") or towards 0 ("trunc"). Raises ValueError for an integer divided by 0."""
        dtype = getattr(a, "dtype", None) or b.dtype
        if dtype.kind in "iub" and (b == 0 if isinstance(b, int) else bool((b == 0).any())):
            raise ValueError("division by zero")
        if rounding_mode == "trunc" and dtype.kind == "f":
            return xp.trunc(a / b)
        q = xp.floor_divide(a, b)
        if rounding_mode == "trunc" and dtype.kind == "i":
            q = q + ((q < 0) & (q * b != a))
        return q.astype(dtype)

    def sigmoid(x: Any) -> Any:
        """1 / (1 + e⁻ˣ), computed as e^min(x, 0) / (1 + e^-|x|), which cannot overflow."""
        return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))

    def erf(x: Any) -> Any:
        """2/√π ∫ e^(-t²) dt from 0 to x, by the rational approximations of Cody (1969)."""
        z = xp.abs(x)
        near = x * rational(x * x, ERF_NEAR)
        far = xp.minimum(z, 6.0)  # erf(6) is 1 in float64
        erfc = xp.exp(-far * far) * rational(far, ERFC_FAR)
        y = xp.where(z < 0.46875, near, xp.where(x < 0, erfc - 1, 1 - erfc))
        return xp.where(x == x, y, x).astype(x.dtype)

    functions = {"column_sum": column_sum, "scatter": scatter, "div_rounded": div_rounded, "sigmoid": sigmoid}
    return {**functions, "erf": erf, "getitem": operator.getitem}


def rational(x: Any, coefficients: tuple[list[float], list[float]]) -> Any:
    """The quotient of two polynomials, with the coefficients of the highest powers first."""
    above, below = coefficients
    return reduce(lambda sum, c: sum * x + c, above, 0.0) / reduce(lambda sum, c: sum * x + c, below, 0.0)


ERF_NEAR = (  # erf(x) / x for |x| < 0.46875, of x²
    [1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3],
    [1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3],
)
# fmt: off
ERFC_FAR = (  # e^(x²) (1 - erf(x)) for 0.46875 <= x < 6
    [2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3],
    [1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3],
)
# fmt: on


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
