"""The operators and methods of a Tensor, under torch's names. Each is the op of its name.

Tensor and the ops depend on each other. Methods therefore look up their op at call time, in OPS, the registry that
`@op` fills. In HIPS autograd: `ArrayBox`.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import backend
from ..left_out import left_out
from .errors import ShapeError
from .indexing import check_bounds, index_steps
from .version_counter import clock

if TYPE_CHECKING:
    from .tensor import Tensor

OPS: dict[str, Callable[..., Tensor]] = {}  # every op by its name


def method(name: str) -> Callable[..., Tensor]:
    """The op `name` as a method."""

    def call(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return OPS[name](self, *args, **options)

    call.__name__ = name
    return call


def sizes(numbers: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """The sizes passed as `f(2, 3)`, as `f((2, 3))` or by name."""
    if named is not None:
        numbers = (*numbers, named)
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], (tuple, list)) else numbers


def is_operand(other: Any) -> bool:
    """Whether == compares elements. With anything else, such as None or a string, it is False, as in torch."""
    return isinstance(other, (TensorMethods, Number, backend.numpy.ndarray))


def note_range(labels: Any, host: Any) -> None:
    """Note (minimum, maximum) of labels that were copied from an array of the host."""
    if host.size:
        labels._value_range = int(host.min()), int(host.max()), next(clock)


class MinMax(NamedTuple):
    """The result of `max(dim)` and `min(dim)`: values, and their indices along `dim`. In torch: `return_types.max`."""

    values: Tensor
    indices: Tensor


class TensorMethods:
    """The computations of a Tensor; its data, gradient and in-place updates are the class Tensor's own."""

    array: Any
    shape: tuple[Any, ...]
    dtype: Any
    device: Any
    requires_grad: Any
    ndim: Any
    detach: Any
    __array_ufunc__ = None  # makes NumPy call `Tensor.__radd__` for `array + tensor`
    __hash__ = object.__hash__  # by identity, although == compares elements

    if TYPE_CHECKING:  # the methods that composed/ adds

        def __getattr__(self, name: str) -> Any: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
    else:

        def __getattr__(self, name: str) -> Any:
            raise left_out("Tensor", name)

    # Arithmetic; written out, because a training step calls these operators most
    def __add__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Tensor:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPS["mul"](other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPS["div"](other, self)

    def __pow__(self, other: Any) -> Tensor:
        return OPS["pow"](self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return OPS["pow"](other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](self, other)

    def __neg__(self) -> Tensor:
        return OPS["neg"](self)

    __abs__ = method("abs")
    add, sub, mul, neg, pow = (method(name) for name in ("add", "sub", "mul", "neg", "pow"))

    def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """y = a / b; with `rounding_mode` "trunc" or "floor" the quotient is rounded, and integers stay integers.

        Gradients:
            dL/da = g / b
            dL/db = -g (a / b) / b; both are 0 with a rounding_mode
        """
        if rounding_mode is None:
            return OPS["div"](input, other)
        y = OPS["div_rounded"](input, other, rounding_mode=rounding_mode)
        if getattr(input, "requires_grad", False) or getattr(other, "requires_grad", False):
            never = OPS["lt"](y, -math.inf)  # as in torch, the gradient is 0 instead of none
            y = OPS["where"](never, OPS["add"](input, other), y)
        return y

    multiply, divide, negative = mul, div, neg
    matmul = mm = method("matmul")

    # Comparison: no gradient
    eq, ne = method("eq"), method("ne")

    def __eq__(self, other: Any) -> Any:
        return OPS["eq"](self, other) if is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return OPS["ne"](self, other) if is_operand(other) else NotImplemented

    __lt__ = lt = method("lt")
    __le__ = le = method("le")
    __gt__ = gt = method("gt")
    __ge__ = ge = method("ge")
    isnan, isfinite, argmax, argmin = (method(name) for name in ("isnan", "isfinite", "argmax", "argmin"))

    # Elementwise
    exp, log, log1p, sqrt, abs = (method(name) for name in ("exp", "log", "log1p", "sqrt", "abs"))
    maximum, minimum = method("maximum"), method("minimum")

    def clip(input: Any, min: Any = None, max: Any = None) -> Tensor:
        """y = min(max(x, min), max); the bounds are numbers or Tensors, None is no bound.

        Gradients:
            dL/dx = g where min ≤ x ≤ max, else 0
            dL/dmin = g where x < min < max, and dL/dmax = g where x > max or min > max
        """
        tensors = [x for x in (input, min, max) if isinstance(x, TensorMethods)]
        if not isinstance(input, TensorMethods) or len(tensors) == 1:
            return OPS["clip"](input, min=min, max=max)
        dtype = backend.promote([x.shape for x in tensors], [x.dtype for x in tensors])
        input, min, max = (x.to(dtype=dtype) if isinstance(x, TensorMethods) else x for x in (input, min, max))
        tensors = [x for x in (input, min, max) if isinstance(x, TensorMethods)]
        where, eq, lt, y = OPS["where"], OPS["eq"], OPS["lt"], input
        for x in tensors:
            y = where(eq(x, x), y, y.detach())  # dL/dx = 0 where one of them is nan
        if min is not None:
            crossed = isinstance(min, TensorMethods) and max is not None
            y = where(lt(input, min), where(lt(min, max), min, min.detach()) if crossed else min, y)
        if max is not None:
            y = where(lt(max, input), max, y)
        if min is not None and max is not None:
            y = where(lt(max, min), max, y)
        for x in tensors:
            y = where(eq(x, x), y, OPS["add"](y, x.detach()))  # nan
        return y

    clamp = clip
    relu, sigmoid, tanh = method("relu"), method("sigmoid"), method("tanh")
    softmax, log_softmax = method("softmax"), method("log_softmax")

    # Reduction
    sum, mean, amax, amin = (method(name) for name in ("sum", "mean", "amax", "amin"))
    logsumexp = method("logsumexp")

    def max(
        input: Any, dim: Any = None, keepdim: Any = False, *, other: Any = None, axis: Any = None, keepdims: Any = False
    ) -> Any:
        """The maximum of all elements, or (values, indices) along `dim`, or the elementwise maximum with a Tensor.

        Gradients:
            With `dim` to the element at `indices`; without it in equal parts to all maximal elements.
        """
        dim = next((given for given in (other, axis) if given is not None), dim)
        return TensorMethods._minmax(input, "max", dim, keepdim or keepdims)

    def min(
        input: Any, dim: Any = None, keepdim: Any = False, *, other: Any = None, axis: Any = None, keepdims: Any = False
    ) -> Any:
        """The minimum of all elements, or (values, indices) along `dim`, or the elementwise minimum with a Tensor.

        Gradients:
            With `dim` to the element at `indices`; without it in equal parts to all minimal elements.
        """
        dim = next((given for given in (other, axis) if given is not None), dim)
        return TensorMethods._minmax(input, "min", dim, keepdim or keepdims)

    def _minmax(self, name: str, dim: Any, keepdim: Any) -> Any:
        if not isinstance(self, TensorMethods):
            raise TypeError(f"{name}: expected a Tensor, got {type(self).__name__}; use tensor(...)")
        if isinstance(dim, TensorMethods):
            return OPS[f"{name}imum"](self, dim)
        if dim is None:
            return OPS[f"a{name}"](self, nan_ties=True)
        indices = OPS[f"arg{name}"](self, dim, True)
        if not self.shape:
            return MinMax(OPS["clone"](self), indices)
        xp = backend.namespace(self.array)
        grid = (xp.arange(n).reshape(n, *[1] * (len(self.shape) - i - 1)) for i, n in enumerate(self.shape))
        index = [*grid]
        index[dim] = indices.array
        values = OPS["getitem"](self, index=tuple(index))
        return MinMax(*(each if keepdim else each.squeeze(dim) for each in (values, indices)))

    # Shape
    transpose = swapaxes = method("transpose")
    unsqueeze, squeeze, flatten = method("expand_dims"), method("squeeze"), method("flatten")
    clone = method("clone")

    def __getitem__(self, index: Any) -> Tensor:
        """Select elements by integers, slices, None, ..., masks, or Tensors and lists of positions, as torch does."""
        y: Any = self
        for step in index_steps(self.array, index):
            check_bounds(y.array.shape, step)
            y = OPS["getitem"](y, index=step)
        return y

    def reshape(self, *numbers: Any, shape: Any = None) -> Tensor:
        """The elements in row-major order in another shape; one size may be -1: `x.reshape(-1, 784)`."""
        return OPS["reshape"](self, sizes(numbers, shape))

    def view(self, *shape: Any, size: Any = None) -> Tensor:
        """As `reshape`. Unlike torch's, which raises, it copies an array that is not contiguous."""
        try:
            return OPS["reshape"](self, sizes(shape, size))
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("reshape", "view", 1)) from error

    def permute(self, *numbers: Any, dims: Any = None) -> Tensor:
        """Reorder the axes: y.shape[i] = x.shape[dims[i]]."""
        return OPS["permute"](self, sizes(numbers, dims))

    def broadcast_to(self, *shape: Any, size: Any = None) -> Tensor:
        """Repeat along axes of size 1 and new leading axes, without a copy."""
        return OPS["broadcast_to"](self, sizes(shape, size))

    def expand(self, *shape: Any, size: Any = None) -> Tensor:
        """As `broadcast_to`, where -1 keeps the size of an axis."""
        new = sizes(shape, size)
        added = len(new) - len(self.shape)
        if -1 in new[: max(added, 0)]:
            raise ShapeError(
                f"expand: expected a size for each of the {added} new axes of {self.shape}, got -1 in {new}"
            )
        old = (1,) * added + self.shape
        return OPS["broadcast_to"](self, tuple(n if m == -1 else m for n, m in zip(old, new)))

    def t(self) -> Tensor:
        """The transpose of a matrix, as `T`; a vector or number stays as it is."""
        return self.T if len(self.shape) > 1 else self[...]

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix (n, m) -> (m, n). Raises ValueError for another number of axes."""
        if len(self.shape) != 2:
            raise ValueError(f"T: expected a matrix (n, m), got shape {self.shape}; use x.transpose(dim0, dim1)")
        return OPS["transpose"](self, 0, 1)

    # Device and dtype
    def to(
        self, *target: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False, copy: bool = False
    ) -> Tensor:
        """Move or cast: `to("cuda")`, `to(float64)`, `to(device, dtype)`, `to(other)`.

        Returns self if nothing changes, or with `copy` a copy. `non_blocking` is accepted and has no effect.

        Gradients:
            dL/dx = g, moved and cast the other way

        Raises:
            DeviceError: the device is not available.
        """
        for given in target:
            if isinstance(given, TensorMethods):
                device, dtype = given.device, given.dtype
            elif isinstance(given, (str, backend.device)):
                device = given
            elif not isinstance(given, builtins.bool):
                dtype = given
        flags = [given for given in target if isinstance(given, builtins.bool)]  # non_blocking, copy
        result: Any = self
        if dtype is not None and backend.dtype_of(dtype) != self.dtype:
            result = OPS["cast"](result, dtype=backend.dtype_of(dtype))
        if device is not None and backend.device(device) != self.device:
            result = OPS["move"](result, device=backend.device(device), source=self.device)
            if self.ndim == 1 and self.dtype.kind in "iu" and self.device.type == "cpu" and result.dtype == self.dtype:
                note_range(result, self.array)  # a loss that read the labels on the device would wait for it
        return OPS["clone"](self) if result is self and (copy or flags[1:] == [True]) else result

    def cpu(self) -> Tensor:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """Move to the CUDA device."""
        return self.to("cuda")

    def astype(self, dtype: Any) -> Tensor:
        """As `to(dtype)`; NumPy's name."""
        return self.to(dtype=dtype)

    def float(self) -> Tensor:
        """As `to(float32)`."""
        return self.to(dtype=backend.float32)

    def double(self) -> Tensor:
        """As `to(float64)`."""
        return self.to(dtype=backend.float64)

    def long(self) -> Tensor:
        """As `to(int64)`; truncates."""
        return self.to(dtype=backend.int64)

    def int(self) -> Tensor:
        """As `to(int32)`; truncates."""
        return self.to(dtype=backend.int32)

    def bool(self) -> Tensor:
        """As `to(bool)`: True where x != 0."""
        return self.to(dtype=backend.bool_)

    # Conversion to Python numbers, and iteration
    def item(self) -> Any:
        """The value of a Tensor of one element as a Python number. Raises ValueError for more or fewer elements."""
        if self.array.size != 1:
            raise ValueError(f"item: expected a Tensor of one element, got shape {self.shape}; use x.tolist()")
        return self.array.item()

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> builtins.int:
        return builtins.int(self.item())

    def __bool__(self) -> builtins.bool:
        return builtins.bool(self.item())

    def __index__(self) -> builtins.int:
        if self.dtype.kind not in "biu":
            raise TypeError(f"an index must be an integer, got a Tensor of dtype {self.dtype}")
        return builtins.int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __len__(self) -> builtins.int:
        if not self.shape:
            raise TypeError("len: a 0-d Tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))
