"""Tracers: arrays and a namespace that compute, and record every call in the active program. In JAX: `Tracer`.

A trace belongs to one thread and touches nothing that others see. While one is open, `Tensor.array` of a parameter is
its tracer in the tracing thread, and its own array in all other threads.
"""

from __future__ import annotations

import operator
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from .. import backend
from ..autograd import hooks
from ..autograd.grad_mode import Block, innermost
from ..autograd.tensor import Tensor
from ..autograd.version_counter import memory_of

if TYPE_CHECKING:
    from .program import Program

VALUE = "the step reads the value of an element, which may differ in the next step; compute it outside the step"
FOREIGN = (
    "the step uses an array that is neither an input nor a parameter, such as random numbers or a constant, and the "
    "next step may need another; pass it as an input"
)
KEPT = "a Tensor of the traced step was used after the step, or in another thread; return it as the loss instead"


class tracing(Block):
    """A `with` block in which the ops of this thread are recorded in a program."""

    __slots__ = ("program",)
    slot = "trace_block"

    def __new__(cls, program: Program) -> Any:
        return super().__new__(cls)

    def __init__(self, program: Program) -> None:
        self.program = program


def active_trace() -> Program | None:
    """The program that this thread records, or None."""
    block = innermost("trace_block")
    return None if block is None else block.program


def reject(reason: str) -> NoReturn:
    """Raise RuntimeError. The trace is refused even if the step catches it."""
    error = RuntimeError(f"replay: {reason}")
    program = active_trace()
    if program is not None and program.refusal is None:
        program.refusal = error
    raise error


def reject_foreign_array(*args: Any, **options: Any) -> NoReturn:
    """Raise RuntimeError: the step uses an array that is neither an input nor a parameter."""
    reject(FOREIGN)


def reject_value_access(*args: Any, **options: Any) -> NoReturn:
    """Raise RuntimeError: the step reads the value of an element."""
    reject(KEPT if active_trace() is None else VALUE)


class TracedArray:
    """An array whose operations are recorded in a program.

    A Python value that is read from it, as by `item()`, may differ in the next step, so the trace will be refused. The
    step still gets the value, because an error of its own, such as a label out of range, says more.
    """

    __slots__ = ("array", "id", "program")
    __hash__ = None  # type: ignore[assignment]
    METADATA = frozenset({"dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"})

    def __init__(self, program: Program, array: Any, id: int) -> None:
        self.program, self.array, self.id = program, array, id

    @property
    def base(self) -> Any:
        """The array that owns the memory; None for a scalar."""
        return None if isinstance(self.array, backend.numpy.generic) else memory_of(self.array)

    @property
    def T(self) -> TracedArray:
        """The transpose."""
        return self.program.call("{}.T", operator.attrgetter("T"), self)

    def __getattr__(self, name: str) -> Any:
        if name in self.METADATA:
            return getattr(self.array, name)
        if name.startswith("__"):  # another protocol by which libraries share memory
            raise AttributeError(name)
        method = getattr(type(self.array), name)
        return partial(self.program.call, f"{{}}.{name}({{}})", method, self) if callable(method) else reject(VALUE)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> TracedArray:
        return self.program.call("{}[{}]", operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.program.modify("{}[{}] = {}", operator.setitem, self, index, value)

    __iter__ = __reduce_ex__ = reject_value_access
    __array_ufunc__ = __array_function__ = reject_foreign_array  # NumPy calls them if another array meets this one
    __cuda_array_interface__ = property(reject_foreign_array)  # without it CuPy would compute, and nothing be recorded


def operation(form: str, function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    """The method of an operator, recorded in this form."""

    def call(self: TracedArray, *others: Any) -> Any:
        return self.program.call(form, function, *((*others, self) if reflected else (self, *others)))

    return call


def inplace_operation(form: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method of an operator that modifies an array; of a scalar it makes another."""

    def call(self: TracedArray, other: Any) -> Any:
        if isinstance(self.array, backend.numpy.generic):
            return self.program.call(form.replace("=", ""), function, self, other)
        return self.program.modify(form, function, self, other)

    return call


def value_access(name: str) -> Callable[..., Any]:
    """The method that reads the value of an element."""

    def call(self: TracedArray, *args: Any, **options: Any) -> Any:
        if self.program is not active_trace():
            reject(KEPT)
        self.program.reads_value = True
        return getattr(self.array, name)(*args, **options)

    return call


_BINARY = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@"}
_BINARY |= {"and": "&", "or": "|", "xor": "^"}
for _name, _sign in _BINARY.items():
    _function = getattr(operator, f"__{_name}__")
    setattr(TracedArray, f"__{_name}__", operation(f"{{}} {_sign} {{}}", _function))
    setattr(TracedArray, f"__r{_name}__", operation(f"{{}} {_sign} {{}}", _function, reflected=True))
    setattr(TracedArray, f"__i{_name}__", inplace_operation(f"{{}} {_sign}= {{}}", getattr(operator, f"__i{_name}__")))
for _name, _sign in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(TracedArray, f"__{_name}__", operation(f"{{}} {_sign} {{}}", getattr(operator, _name)))
for _name, _form in {"neg": "-{}", "pos": "+{}", "abs": "abs({})", "invert": "~{}"}.items():
    setattr(TracedArray, f"__{_name}__", operation(_form, getattr(operator, _name)))
for _name in ("__array__", "__bool__", "__int__", "__float__", "__complex__", "__index__", "item", "tolist"):
    setattr(TracedArray, _name, value_access(_name))


class TracedFunction:
    """A function of the array library, or a part of it such as `linalg`, whose calls are recorded."""

    def __init__(self, path: str, function: Any) -> None:
        self.path, self.function = path, function

    def __call__(self, *args: Any, **options: Any) -> Any:
        return TracedNamespace.program().call(f"{self.path}({{}})", self.function, *args, **options)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.function, name)
        if name == "random":
            reject_foreign_array()
        is_part = isinstance(found, types.ModuleType) or (callable(found) and not isinstance(found, type))
        return TracedFunction(f"{self.path}.{name}", found) if is_part else found


class TracedNamespace:
    """The library of tracers: that of the inputs, function by function."""

    array = TracedArray
    from_host = staticmethod(reject_foreign_array)
    to_host = staticmethod(reject_value_access)

    @staticmethod
    def program() -> Program:
        """The active program. Raises RuntimeError outside a trace."""
        program = active_trace()
        if program is None:
            reject(KEPT)
        return program

    @property
    def xp(self) -> Any:
        """The functions of the library."""
        return TracedFunction("xp", self.program().owner.xp)

    @property
    def device(self) -> backend.device:
        """The device of the inputs and parameters."""
        return self.program().owner.device


class ArrayView:
    """`Tensor.array` while a trace is open: in the tracing thread that of a parameter is its tracer."""

    def __get__(self, tensor: Tensor, owner: type[Tensor]) -> Any:
        program, array = active_trace(), vars(tensor)["array"]
        if program is None or type(array) is TracedArray:
            return array
        return program.arguments[id(tensor)] if id(tensor) in program.arguments else reject_foreign_array()

    def __set__(self, tensor: Tensor, array: Any) -> None:
        program = active_trace()
        if program is not None and id(tensor) in program.arguments:
            reject("the step assigns `data` of an input or a parameter; do that outside the step")
        vars(tensor)["array"] = array if program is None else program.as_array(array)


class GradView:
    """`Tensor._grad` while a trace is open: in the tracing thread only Tensors made in the trace have it."""

    def check(self, tensor: Tensor) -> None:
        """Raise RuntimeError in a trace, for a Tensor from outside."""
        program = active_trace()
        if program and (id(tensor) in program.arguments or type(vars(tensor)["array"]) is not TracedArray):
            reject("the step uses `.grad`, or calls backward itself; do that outside the step, or use mg.grad")

    def __get__(self, tensor: Tensor, owner: type) -> Any:
        self.check(tensor)
        return vars(tensor).get("_grad")

    def __set__(self, tensor: Tensor, gradient: Any) -> None:
        self.check(tensor)
        vars(tensor)["_grad"] = gradient


class Token:
    """Stands for an open trace."""


_open_traces: weakref.WeakSet[Token] = weakref.WeakSet()
_lock = threading.Lock()


@contextmanager
def thread_views() -> Iterator[None]:
    """Let Tensors read differently in tracing threads. If it is interrupted and left open, they are only slower."""
    token = Token()
    with _lock:
        _open_traces.add(token)
        Tensor.array, Tensor._grad = ArrayView(), GradView()  # type: ignore[assignment]
    try:
        yield
    finally:
        with _lock:
            _open_traces.discard(token)
            if not _open_traces and "array" in vars(Tensor):
                del Tensor.array
                Tensor._grad = None


def check_random_numbers() -> None:
    """Raise RuntimeError in a trace: the next step would need other random numbers."""
    if active_trace() is not None:
        reject_foreign_array()


def check_hooks() -> None:
    """Raise RuntimeError in a trace: a replayed step does not call Python."""
    if active_trace() is not None:
        reject("the step calls a hook; remove it, or run the step without replay")


def register() -> None:
    """Make tracers known to the backend, at the first trace."""
    if TracedArray not in backend.LIBRARY_OF_TYPE:
        backend.LIBRARY_OF_TYPE[TracedArray] = TracedNamespace()  # type: ignore[assignment]
        backend.random.before_use.append(check_random_numbers)
        hooks.before_use.append(check_hooks)
