"""The calls of a traced step, in order, and the NumPy function that they compile to."""

from __future__ import annotations

import itertools
import linecache
import math
import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .. import backend
from ..autograd.version_counter import memory_of
from .tracer import KEPT, TracedArray, active_trace, reject, reject_foreign_array

# Functions that modify no array, and whose result has a shape that follows from the shape of the first argument, or of
# several arrays.
OF_ONE_ARRAY = {"T", "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "asarray", "ascontiguousarray"}
OF_ONE_ARRAY |= {"asfortranarray", "astype", "broadcast_to", "clip", "column_sum", "copy", "cumprod", "cumsum"}
OF_ONE_ARRAY |= {
    "diagonal",
    "expand_dims",
    "flatten",
    "flip",
    "full_like",
    "max",
    "mean",
    "min",
    "moveaxis",
    "ones_like",
}
OF_ONE_ARRAY |= {"prod", "ravel", "reshape", "roll", "scatter", "squeeze", "std", "sum", "swapaxes", "tile", "trace"}
OF_ONE_ARRAY |= {"transpose", "tril", "triu", "var", "view", "zeros_like"}
OF_SEVERAL_ARRAYS = {"concatenate", "stack", "where"}
filenames = (f"<replay {n}>" for n in itertools.count())


class ShapeChanged(Exception):
    """An array whose shape depends on values has another shape than in the trace."""


def expect_shape(array: Any, shape: tuple[int, ...]) -> Any:
    """The array. Raises ShapeChanged if it has another shape."""
    if array.shape != shape:
        raise ShapeChanged
    return array


class Call(NamedTuple):
    """One call of a program. In JAX: `JaxprEqn`."""

    form: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    result: TracedArray | None = None  # None if an array is modified in place
    guarded: bool = False  # whether the shape of the result depends on values, and has to be checked


class Program:
    """A step as a function of arrays: its calls in order. In JAX: `Jaxpr`.

    leaves    the arguments, tracers of the inputs and parameters
    mutated   memory that is modified in place; escaping: memory of results, which the caller may modify
    refusal   why the trace cannot be replayed, if it cannot
    """

    def __init__(self, owner: backend.Library, names: Sequence[str], arrays: Sequence[Any]) -> None:
        self.owner = owner
        self.calls: list[Call] = []
        self.ids = itertools.count()
        self.names = dict(enumerate(names))  # of arrays, by their id
        self.constants: dict[str, Any] = {"xp": owner.xp, "expect_shape": expect_shape}
        self.leaves = [self.register(array) for array in arrays]
        self.arguments: dict[int, TracedArray] = {}  # the leaves by the identity of their Tensors
        self.mutated: set[int] = set()
        self.escaping: set[int] = set()
        self.boxes: dict[int, TracedArray] = {}  # the scalar that a 0-d array was made of, by the id of the array
        self.backups: list[tuple[Any, Any]] = []  # parts of inputs and parameters, and what they held
        self.refusal: RuntimeError | None = None
        self.reads_value = False

    def register(self, array: Any) -> TracedArray:
        """A tracer of an array."""
        return TracedArray(self, array, next(self.ids))

    # Recording
    def call(self, form: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a function and record it, to be written in this form, such as `{} + {}` or `xp.exp({})`.

        Raises RuntimeError for an array that is not of this program, and for a result that is not an array.
        """
        self.check_active()
        form = "{}[{}]" if function is operator.getitem else form
        name = form.partition("(")[0].rpartition(".")[2]
        elementwise = hasattr(function, "nin") or getattr(function, "__module__", "") == "_operator"
        pure = elementwise or name in OF_ONE_ARRAY or name in OF_SEVERAL_ARRAYS
        # NumPy's ufuncs take `out` by position, too.
        target = next(tracers((options.get("out"), args[getattr(function, "nin", len(args)) :])), None)
        if target is not None or not pure:
            self.back_up(args[0] if target is None else target)
        result = self.run(function, args, options)
        if target is None:
            target = modified_argument(pure, args, result)
        call = Call(form, function, copied(args), copied(options))
        if target is not None:
            self.record_change(call, target)
            return None if result is None else target
        if type(result) not in backend.LIBRARY_OF_TYPE and not isinstance(result, backend.numpy.generic):
            reject(f"expected calls that return one array, got {type(result).__name__} from {name}")
        traced = self.register(result)
        self.calls.append(call._replace(result=traced, guarded=shape_depends_on_values(name, pure, args, options)))
        return traced

    def modify(self, form: str, function: Callable[..., Any], target: TracedArray, *args: Any) -> TracedArray:
        """Call a function that modifies its first argument, and record it. Returns that argument."""
        self.check_active()
        self.back_up(target)
        self.run(function, (target, *args), {})
        self.record_change(Call(form, function, (target, *copied(args)), {}), target)
        return target

    def check_active(self) -> None:
        """Raise RuntimeError if this thread does not record this program."""
        if active_trace() is not self:
            reject(KEPT)

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call a function with the arrays of tracers."""
        arrays, options = [*map(self.unwrap, args)], {name: self.unwrap(value) for name, value in options.items()}
        try:
            return function(*arrays, **options)
        except Exception:
            self.reads_value = True  # the step may catch the error, and other values may not raise it
            raise

    def record_change(self, call: Call, target: TracedArray) -> None:
        """Add a call that modifies the memory of an array."""
        self.mutated.add(memory(target.array))
        self.calls.append(call)

    def unwrap(self, value: Any) -> Any:
        """The value with the arrays of its tracers. Raises RuntimeError for other arrays."""
        if isinstance(value, TracedArray):
            if value.program is not self:
                reject(KEPT)
            return value.array
        if type(value) in backend.LIBRARY_OF_TYPE or isinstance(value, backend.numpy.generic):
            reject_foreign_array()
        return type(value)(map(self.unwrap, value)) if type(value) in (tuple, list) else value

    def back_up(self, target: Any) -> None:
        """Keep what an array holds, if its memory is that of an input or parameter."""
        if isinstance(target, TracedArray) and memory(target.array) in {memory(leaf.array) for leaf in self.leaves}:
            self.backups.append((target.array, self.owner.xp.copy(target.array)))

    def mutated_leaves(self) -> list[int]:
        """The positions of the inputs and parameters that the step modifies."""
        return [position for position, leaf in enumerate(self.leaves) if memory(leaf.array) in self.mutated]

    def restore(self) -> None:
        """Undo what the step did to the inputs and parameters."""
        for array, backup in reversed(self.backups):
            array[...] = backup

    def as_array(self, value: Any) -> Any:
        """The value, with a 0-d array instead of a scalar: a Tensor can be modified in place."""
        if not isinstance(value, TracedArray) or not isinstance(value.array, backend.numpy.generic):
            return value
        box = self.call("xp.asarray({})", self.owner.xp.asarray, value)
        self.boxes[box.id] = value
        return box

    def unboxed(self, traced: TracedArray) -> TracedArray:
        """The scalar instead of a 0-d array that nothing modifies."""
        box = self.boxes.get(traced.id)
        return traced if box is None or memory(traced.array) in self.mutated else box

    def finalize_output(self, traced: TracedArray) -> TracedArray:
        """An array that the caller gets."""
        traced = self.unboxed(traced)
        if isinstance(traced.array, backend.numpy.generic):
            traced = self.call("xp.asarray({})", self.owner.xp.asarray, traced)
        self.escaping.add(memory(traced.array))
        return traced

    # Compiling
    def live_calls(self, outputs: Sequence[TracedArray]) -> list[tuple[Call, list[int]]]:
        """The calls without dead code and constants, each with the ids of the arrays that no later call uses."""
        calls = [call for call in self.calls if call.result is None or self.unboxed(call.result) is call.result]
        shared = self.mutated | self.escaping
        varying = []
        known = {*self.names}
        for call in calls:
            uses = self.array_ids((call.args, *call.options.values()))
            modifies = call.result is None or memory(call.result.array) in shared
            constant = known.isdisjoint(uses) or call.function is self.owner.xp.ones_like
            if modifies or not constant:
                results = set() if call.result is None else {call.result.id}
                known |= results
                varying.append((call, uses, results, modifies or call.guarded))
        needed = {*self.names, *self.array_ids(outputs)}
        live = []
        for call, uses, results, must_run in reversed(varying):
            if must_run or results & needed:
                last = (uses & known) - needed
                needed |= last
                live.append((call, sorted(last)))
        return live[::-1]

    def array_ids(self, value: Any) -> set[int]:
        """The ids of all arrays in these arguments."""
        return {self.unboxed(traced).id for traced in tracers(value)}

    def source(self, outputs: Sequence[TracedArray]) -> str:
        """The function as text. It deletes arrays after their last use."""
        arguments = [*self.names.values()]
        lines = []
        for call, dead in self.live_calls(outputs):
            line = self.line(call)
            if call.result is not None:
                line = f"expect_shape({line}, {call.result.shape})" if call.guarded else line
                name = self.names[call.result.id] = f"v{len(self.names) - len(arguments)}"
                line = f"{name} = {line}"
            lines.append(f"    {line}" + (f"; del {', '.join(self.names[id] for id in dead)}" if dead else ""))
        lines.append(f"    return {', '.join(map(self.text, outputs))},")
        constants = [f"# {name}: {describe(value)}" for name, value in self.constants.items() if name[0] == "c"]
        return "\n".join([*constants, f"def step({', '.join(arguments)}):", *lines, ""])

    def line(self, call: Call) -> str:
        """A call as text."""
        texts = [*map(self.text, call.args), *[f"{name}={self.text(value)}" for name, value in call.options.items()]]
        alone = call.form.count("{}") - 1  # the last {} takes all that is left
        return call.form.format(*texts[:alone], ", ".join(texts[alone:]))

    def text(self, value: Any) -> str:
        """A value as it is written in a line: an array by its name, the others as literals or constants."""
        if isinstance(value, TracedArray):
            value = self.unboxed(value)
            return self.names.get(value.id) or self.constant(value.array)
        if type(value) in (tuple, list):
            inside = ", ".join(map(self.text, value))
            comma = "," * (len(value) == 1)
            return f"[{inside}]" if isinstance(value, list) else f"({inside}{comma})"
        if isinstance(value, slice):
            return "slice" + self.text((value.start, value.stop, value.step))
        is_finite = type(value) in (int, float) and abs(value) < math.inf
        if not is_finite and type(value) not in (bool, str, type(None), type(...)):
            return self.constant(value)
        literal = repr(value)
        return f"({literal})" if literal[0] == "-" else literal  # a power binds more than a minus

    def constant(self, value: Any) -> str:
        """The name of a value that has no literal."""
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"c{sum(name[0] == 'c' for name in self.constants)}"
        self.constants[name] = value
        return name


def compile_function(source: str, constants: dict[str, Any]) -> Callable[..., Any]:
    """The function that the source defines. Tracebacks and debuggers show its lines."""
    filename = next(filenames)
    names = dict(constants)
    exec(compile(source, filename, "exec"), names)  # nosec B102 # the source is made of names of ops
    _, function = names.popitem()
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(function, linecache.cache.pop, filename, None)
    return function


def modified_argument(pure: bool, args: tuple[Any, ...], result: Any) -> TracedArray | None:
    """The argument that a call has modified: of a function without a result the first, else one that it returns.

    A pure function may return its first argument as it is.
    """
    traced = [(i, arg) for i, arg in enumerate(args) if isinstance(arg, TracedArray)]
    if result is None:
        return traced[0][1] if traced and traced[0][0] == 0 else None
    if isinstance(result, backend.numpy.generic):  # NumPy has one True
        return None
    return next((arg for i, arg in traced if arg.array is result and (i or not pure)), None)


def copied(value: Any) -> Any:
    """Arguments with copies of their lists and dicts."""
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return type(value)(map(copied, value)) if type(value) in (tuple, list) else value


def shape_depends_on_values(name: str, pure: bool, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether the result of a call may have another shape for other values: `x[mask]`, `xp.unique(x)`."""
    if name == "{}[{}]":
        return any(index.dtype.kind == "b" for index in tracers(args[1]))
    if name in OF_ONE_ARRAY:
        return next(tracers((args[1:], *options.values())), None) is not None
    return not pure


def tracers(value: Any) -> Iterator[TracedArray]:
    """The tracers in these arguments."""
    if isinstance(value, TracedArray):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tracers(part)


def describe(value: Any) -> str:
    """A constant in one line: the shape and dtype of an array, a number, or a type."""
    if type(value) in backend.LIBRARY_OF_TYPE:
        return f"{value.shape} {value.dtype}"
    is_number = type(value) in (int, float) or isinstance(value, backend.numpy.number)
    return repr(value) if is_number else type(value).__name__  # another type may have any text as repr


def memory(array: Any) -> int:
    """The identity of the object that owns the memory of an array."""
    return id(memory_of(array))
