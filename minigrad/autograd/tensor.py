"""Tensor: an array that takes part in the graph. `backward` and `grad` differentiate with respect to it."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from itertools import chain, starmap
from numbers import Real
from typing import Any

from .. import backend
from .commit import commit
from .errors import ShapeError
from .grad_mode import enable_grad, is_grad_enabled
from .graph import Node, backward_pass
from .hooks import RemovableHandle
from .indexing import check_bounds, index_steps
from .methods import OPS, TensorMethods
from .version_counter import bump_version, clock, memory_of, tick, written_since


class Tensor(TensorMethods):
    """An array on its device, and the node of the graph that computed it.

    Create one with `minigrad.tensor(data)`; this constructor takes an array of a device without a copy.

    Attributes:
        array: the NumPy or CuPy array.
        requires_grad: True for a leaf whose gradient is wanted, and for everything computed from one.
        grad: dL/dself after `L.backward()`, a Tensor of the same shape, dtype and device; None before.
        grad_fn: the Node of the op that computed it; None for a leaf.
    """

    _requires_grad = False
    _grad: Tensor | None = None
    grad_fn: Node | None = None
    _retains_grad = False
    _hooks: dict[int, Any] | None = None
    _assigned = -1  # when `data` was assigned
    _value_range: tuple[int, int, int] | None = None  # (minimum, maximum, time), if a DataLoader computed them

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        if type(array) not in backend.LIBRARY_OF_TYPE:
            raise TypeError(f"Tensor: expected an array of a device, got {type(array).__name__}; use tensor(data)")
        backend.dtype_of(array.dtype)
        self.array = array
        if requires_grad:
            self.requires_grad = True

    # Shape, dtype and device
    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """The size of each axis."""
        return self.array.shape

    @property
    def dtype(self) -> backend.DType:
        """The type of the elements."""
        return self.array.dtype

    @property
    def device(self) -> backend.device:
        """The device of the array."""
        return backend.library_of(self.array).device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.array.shape if dim is None else self.array.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def __repr__(self) -> str:
        text = backend.format_array(self.array, "tensor(")
        if self.array.dtype not in (backend.float32, backend.int64, backend.bool_):
            text += f", dtype={self.array.dtype}"
        if self.device.type != "cpu":
            text += f", device='{self.device}'"
        if self.grad_fn is not None:
            text += f", grad_fn={self.grad_fn}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    # The gradient
    @property
    def is_leaf(self) -> bool:
        """True if no recorded op computed it."""
        return self.grad_fn is None

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient flows to it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.grad_fn is not None and not value:
            raise RuntimeError("requires_grad: only a leaf can stop requiring a gradient; use x.detach()")
        if value and self.array.dtype.kind != "f":
            raise TypeError(f"requires_grad: only float32 and float64 have gradients, got dtype {self.dtype}")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return self. Raises TypeError for integers."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """dL/dself, summed over all backward calls since it was last set to None."""
        if self._grad is None and self.grad_fn is not None and not self._retains_grad:
            warnings.warn(
                "grad: this Tensor is not a leaf (an op computed it), so backward does not keep its gradient. If "
                "`w = w - lr * w.grad` made it, update in place instead: `with no_grad(): w -= lr * w.grad`. If you "
                "need the gradient of an intermediate result, call x.retain_grad() before backward.",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            expected, given = (self.shape, self.dtype, self.device), (value.shape, value.dtype, value.device)
            if expected != given:
                raise ValueError("grad: expected {} {} on {}, got {} {} on {}".format(*expected, *given))
        self._grad = value

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle contains. Raises RuntimeError for a Tensor that an op computed."""
        if self.grad_fn is not None:
            raise RuntimeError("copy: only leaf Tensors can be copied or pickled; use x.detach().clone()")
        return {
            name: value for name, value in vars(self).items() if name not in ("_assigned", "_hooks", "_value_range")
        }

    def retain_grad(self) -> None:
        """Keep `grad` of a Tensor that is not a leaf. Raises RuntimeError if no gradient flows to it."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this Tensor does not require a gradient")
        self._retains_grad = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(dL/dself)` in each backward pass; a Tensor that it returns replaces the gradient.

        Returns:
            A handle; `handle.remove()` takes the hook away.

        Raises:
            RuntimeError: no gradient flows to this Tensor.

        Example:
            >>> import minigrad as mg
            >>> x = mg.ones(2, requires_grad=True)
            >>> handle = x.register_hook(lambda g: g * 10)
            >>> x.sum().backward()
            >>> x.grad
            tensor([10., 10.])
        """
        if not self._requires_grad:
            raise RuntimeError("register_hook: this Tensor does not require a gradient")
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)

    def detach(self) -> Tensor:
        """The same array without its history: gradients do not flow back from it. Memory is shared."""
        return wrap(self.array)

    @property
    def data(self) -> Tensor:
        """As `detach()`; assigning to it replaces the array."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        expect_tensor("data", "value", value)
        if value.array is not self.array:
            self.array = value.array
            self._assigned = tick()

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | Tensor | None = None,
    ) -> None:
        """Add dL/dx to `x.grad` for each leaf x that self was computed from, where L = Σ gradient · self.

        Args:
            gradient: dL/dself, of the shape of self; may be left out for a Tensor of one element, where it is 1.
            retain_graph: keep the graph for another backward; by default as `create_graph`.
            create_graph: record the backward pass itself, so that the gradients can be differentiated.
            inputs: the Tensors that get a gradient; by default all leaves.

        Raises:
            RuntimeError: there is no graph, it was freed, `gradient` is missing or does not fit, or an array that the
                backward pass needs was modified in place.

        Example:
            >>> import minigrad as mg
            >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
            >>> (w * w).sum().backward()
            >>> w.grad
            tensor([2., 4.])
        """
        keep = set() if inputs is None else {inputs} if isinstance(inputs, Tensor) else set(inputs)
        found = differentiate([self], [gradient], keep, retain_graph or create_graph, create_graph)
        accumulate_grad(found if inputs is None else [pair for pair in found if pair[0] in keep], create_graph)

    # Conversion
    def numpy(self) -> Any:
        """The NumPy array, sharing memory. Raises as torch does: on a device, or if a gradient is required."""
        if self._requires_grad:
            raise RuntimeError("numpy: this Tensor requires a gradient; use x.detach().numpy()")
        if self.device.type != "cpu":
            raise TypeError(f"numpy: this Tensor is on {self.device}; use x.cpu().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return backend.numpy.asarray(self.numpy(), dtype, copy=copy)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.array.tolist()

    # In-place updates, for code that is not recorded: `w -= lr * w.grad` under `no_grad`
    def _update(self, name: str, change: Callable[[Any, Any], Any], other: Any, alpha: Any = 1) -> Any:
        is_array = isinstance(other, backend.numpy.ndarray) and other.dtype.kind in "biuf"
        if not (is_array or isinstance(other, (Tensor, Real))):
            raise TypeError(f"{name}: expected a Tensor or a number, got {type(other).__name__}")
        if not isinstance(alpha, Real):
            raise TypeError(f"{name}: expected a number as alpha, got {type(alpha).__name__}")
        other = other if alpha == 1 else other * alpha
        if is_grad_enabled() and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)):
            raise RuntimeError(
                f"{name}: a Tensor that requires a gradient cannot be modified in place while ops are recorded: use "
                "x = x + y, or put the update under `with no_grad():`"
            )
        if isinstance(other, Tensor):
            if other.device != self.device:
                raise RuntimeError(f"{name}: expected a Tensor on {self.device}, got one on {other.device}")
            other = other.array
        bump_version(self.array)  # before the change: an interruption in between is then seen as one
        try:
            backend.ignore_fp_warnings(change, self.array, other)
        except OverflowError as error:
            raise ValueError(f"{name}: {error} (dtype {self.dtype})") from error
        except ValueError as error:
            if not getattr(self.array.flags, "writeable", True):
                message = "elements of an expanded Tensor share memory, so it cannot be written to; use x.clone()"
                raise ShapeError(f"{name}: {message}") from error
            raise ShapeError(f"{name}: {error} (got {getattr(other, 'shape', other)} for {self.shape})") from error
        return self

    def _assign(self, symbol: str, name: str, change: Callable[[Any, Any], Any], other: Any) -> Tensor:
        """The result of `self += other`, to which Python binds the name.

        While ops are recorded, the sum is a new Tensor: an intermediate result may be an input of other ops, whose VJPs
        need it as it was. A leaf that requires a gradient, and a view of another Tensor, raise as `_update` does.
        """
        wanted = isinstance(other, Tensor) and other.requires_grad
        recorded = self.grad_fn is not None or (wanted and not self.requires_grad)
        if not (recorded and is_grad_enabled()) or memory_of(self.array) is not self.array:
            return self._update(symbol, change, other)
        y = OPS[name](self, other)
        if y.shape != self.shape:
            raise ShapeError(f"{symbol}: expected a result of shape {self.shape}, got {y.shape}; use x = x + y")
        return y.to(dtype=self.dtype)

    def __iadd__(self, other: Any) -> Tensor:
        return self._assign("+=", "add", operator.iadd, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._assign("-=", "sub", operator.isub, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._assign("*=", "mul", operator.imul, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._assign("/=", "div", operator.itruediv, other)

    def __setitem__(self, index: Any, value: Any) -> None:
        *select, last = index_steps(self.array, index)
        target = self.array[select[0]] if select else self.array  # a view
        check_bounds(target.shape, last)
        self._update("x[index] = y", lambda _, other: operator.setitem(target, last, other), value)

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self += alpha · other."""
        return self._update("add_", operator.iadd, other, alpha)

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self -= alpha · other."""
        return self._update("sub_", operator.isub, other, alpha)

    def mul_(self, other: Any) -> Tensor:
        """self *= other."""
        return self._update("mul_", operator.imul, other)

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """self /= other, with the quotient rounded if `rounding_mode` is "trunc" or "floor"."""
        if rounding_mode is None:
            return self._update("div_", operator.itruediv, other)
        quotient = self.detach().div(other, rounding_mode=rounding_mode)
        if quotient.dtype.kind == "f" != self.dtype.kind:
            raise TypeError(f"div_: expected a result of dtype {self.dtype}, got {quotient.dtype}")
        return self._update("div_", lambda array, value: operator.setitem(array, ..., value), quotient)

    def copy_(self, other: Any) -> Tensor:
        """self[...] = other."""
        return self._update("copy_", lambda array, value: operator.setitem(array, ..., value), other)

    def fill_(self, value: Any) -> Tensor:
        """self[...] = value."""
        return self._update("fill_", lambda array, value: operator.setitem(array, ..., value), value)

    def zero_(self) -> Tensor:
        """self[...] = 0."""
        return self.fill_(0)


new_tensor = object.__new__


def wrap(array: Any, node: Node | None = None) -> Tensor:
    """A Tensor of an array, without the checks of the constructor; `node` computed it."""
    tensor = new_tensor(Tensor)
    tensor.array = array
    if node is not None:
        tensor.grad_fn = node
        tensor._requires_grad = True
    return tensor


def expect_tensor(name: str, role: str, given: Any) -> None:
    """Raise TypeError if an argument is not a Tensor."""
    if not isinstance(given, Tensor):
        raise TypeError(f"{name}: expected a Tensor as {role}, got {type(given).__name__}; use tensor(...)")


def value_range(tensor: Tensor) -> tuple[int, int] | None:
    """(minimum, maximum) of a Tensor of integers, if they were noted and nothing was written to it since."""
    noted = tensor._value_range
    if noted is None or tensor._assigned > noted[2] or written_since(tensor.array, noted[2]):
        return None
    return noted[:2]


def note_value_range(tensor: Tensor, ends: tuple[int, int] | None) -> None:
    """Note (minimum, maximum) of a Tensor of integers: on a GPU, computing them anew would wait for the device."""
    tensor._value_range = ends and (*ends, next(clock))


def initial_gradient(output: Tensor, gradient: Tensor | None, create_graph: bool) -> Any:
    """dL/doutput, the start of the backward pass: the gradient given, or 1."""
    if not output._requires_grad:
        raise RuntimeError(
            "backward: this Tensor has no graph: it was not computed from one with requires_grad=True, or was computed "
            "under no_grad; create a leaf with tensor(data, requires_grad=True)"
        )
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"backward: a Tensor of shape {output.shape} is not a scalar; reduce it to a loss, or pass "
                f"gradient=dL/dself of shape {output.shape} and dtype {output.dtype}"
            )
        one = backend.namespace(output.array).asarray(1, output.array.dtype)
        one = one.reshape(output.array.shape) if output.array.shape else one
        return wrap(one) if create_graph else one
    if not isinstance(gradient, Tensor):
        raise TypeError(f"backward: expected a Tensor as gradient, got {type(gradient).__name__}")
    expected, given = (output.shape, output.dtype, output.device), (gradient.shape, gradient.dtype, gradient.device)
    if expected != given:
        raise RuntimeError("backward: expected a gradient {} {} on {}, got {} {} on {}".format(*expected, *given))
    return gradient if create_graph else gradient.array


def differentiate(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    keep: set[Tensor],
    retain_graph: bool | None,
    create_graph: bool,
) -> list[tuple[Tensor, Any]]:
    """(x, dL/dx) for each leaf x and each Tensor in `keep`, L = Σ gradient · output. No two share memory."""
    initial = [initial_gradient(y, g, create_graph) for y, g in zip(outputs, gradients)]
    if create_graph:
        with enable_grad():
            return backend.ignore_fp_warnings(backward_pass, outputs, initial, keep, retain_graph, True)
    found = backend.ignore_fp_warnings(backward_pass, outputs, initial, keep, retain_graph)
    taken = {id(memory_of(g)) for g in initial}  # memory that a gradient must not alias
    for position, (x, g) in enumerate(found):  # a VJP may have returned its argument, or a view of it
        memory = g if g.base is None else memory_of(g)
        whole = memory is g or (getattr(memory, "size", -1) == g.size and getattr(g.flags, "writeable", True))
        if whole and id(memory) not in taken and g.strides == x.array.strides:
            taken.add(id(memory))
        else:
            found[position] = x, copied_like(g, x.array)
    return found


def copied_like(array: Any, like: Any) -> Any:
    """The elements of `array` in new memory with the layout of `like`."""
    copy = backend.namespace(like).empty_like(like)
    copy[...] = array
    return copy


def accumulate_grad(found: Sequence[tuple[Tensor, Any]], create_graph: bool = False) -> None:
    """Add g to `x.grad` for each pair (x, g): to all or, if Ctrl-C strikes, to none. In torch: AccumulateGrad."""
    first, sums = [], []
    for x, g in found:
        grad = x._grad
        if grad is None:
            first.append((x, "_grad", g.clone() if create_graph else wrap(g)))
        elif grad.shape != x.shape:
            raise RuntimeError(f"backward: expected grad of shape {x.shape}, got {grad.shape}; set x.grad to None")
        elif create_graph:
            first.append((x, "_grad", grad + g))
        else:
            bump_version(grad.array)
            sums.append((grad.array, g))
    if sums:
        backend.ignore_fp_warnings(commit, chain(starmap(setattr, first), starmap(operator.iadd, sums)))
    else:
        commit(starmap(setattr, first))


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """dL/dx for each x in `inputs`, where L = Σ grad_output · output; no `.grad` is changed.

    Args:
        outputs: what to differentiate.
        inputs: with respect to what: leaves or intermediate results.
        grad_outputs: dL/doutput for each output; may be None for an output of one element, where it is 1.
        retain_graph: keep the graph for another backward; by default as `create_graph`.
        create_graph: record the backward pass, so that the gradients can be differentiated.
        allow_unused: return None for an input that no output depends on, instead of raising.

    Raises:
        RuntimeError: an output does not depend on an input, and as `Tensor.backward`.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> (slope,) = mg.grad(x**3, x, create_graph=True)
        >>> mg.grad(slope, x)
        (tensor(18.),)
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for role, given in (("output", outputs), ("input", inputs)):
        for each in given:
            expect_tensor("grad", role, each)
    gradients = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [None] * len(outputs))
    if len(gradients) != len(outputs):
        raise ValueError(f"grad: expected one grad_output for each of {len(outputs)} outputs, got {len(gradients)}")
    retain = create_graph if retain_graph is None else retain_graph
    found = {id(tensor): g for tensor, g in differentiate(outputs, gradients, set(inputs), retain, create_graph)}
    for position, tensor in enumerate(inputs):
        if id(tensor) not in found and not allow_unused:
            raise RuntimeError(
                f"grad: no output depends on input {position} of shape {tensor.shape}; "
                "pass allow_unused=True to get None"
            )
    results = [found.get(id(tensor)) for tensor in inputs]
    return tuple(g if g is None or create_graph else wrap(g) for g in results)
