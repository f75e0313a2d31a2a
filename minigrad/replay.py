"""A training step as the array operations that it comes to, written as a function and run without the engine.

Every op asks the library that owns its arrays. In the first step that is a library which writes down what it is asked,
and with the same shapes all later steps ask the same. What is left is the program that one would write by hand in
NumPy: no Tensors, no graph, no walk.
"""

from __future__ import annotations

import itertools
import math
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from . import anomaly, backend
from .grad_mode import mode
from .tensor import Tensor, expect_tensor, wrap

if TYPE_CHECKING:
    from .nn.module import Module


Range: TypeAlias = tuple[int, int]  # the least and the greatest label


class Call(NamedTuple):
    """One call of a program."""

    form: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    result: Written | None  # None where an array was changed in place


class Program:
    """What a step asked for, in order, to be written as a function of the arrays of the inputs and the parameters."""

    def __init__(self, owner: backend.Library, arguments: Sequence[str]) -> None:
        self.owner = owner
        self.calls: list[Call] = []
        self.order = itertools.count()
        self.known: dict[int, Written] = {}  # by the identity of its array
        self.changed: set[int] = set()  # the identities of memory that is written to
        self.names = dict(enumerate(arguments))  # of arrays, by the order in which they came
        self.constants: dict[str, Any] = {"xp": owner.xp}

    def enter(self, array: Any) -> Written:
        """The array as one that writes down what is done with it; the first to come are the arguments."""
        self.known[id(array)] = Written(self, array, next(self.order))
        return self.known[id(array)]

    def call(self, form: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call the function, and note that down, to be written in this form, as `{} + {}` or `xp.exp({})`.

        Raises RuntimeError for an array that is not of this program.
        """
        result = function(*map(unwrapped, args), **{name: unwrapped(option) for name, option in options.items()})
        if result is None or id(result) in self.known:  # an array was changed in place: `out`, or the first
            written = self.known.get(id(result))
            self.change(unwrapped(args[0] if written is None else written))
            self.calls.append(Call(form, function, args, options, None))
            return written
        if type(result) not in backend.OWNERS and not isinstance(result, backend.numpy.generic):
            raise RuntimeError(f"replay: expected a call that gives an array, got {type(result).__name__}")
        written = self.enter(result)
        self.calls.append(Call(form, function, args, options, written))
        return written

    def change(self, array: Any) -> None:
        """Note that the memory of an array is written to."""
        self.changed.add(memory(array))

    def give(self, written: Written) -> Written:
        """An array that is handed out: as an array, where NumPy gave a scalar, and nobody else's."""
        if isinstance(written.array, backend.numpy.generic):
            written = self.call("xp.asarray({})", self.owner.xp.asarray, written)
        self.change(written.array)
        return written

    def kept(self, outputs: Sequence[Written]) -> list[tuple[Call, list[int]]]:
        """The calls without those that give the same in each step, or what nobody uses; the places needed no more."""
        made = {*self.names}
        varying = []
        for call in self.calls:
            uses = {*places((call.args, *call.options.values()))}
            changing = call.result is None or memory(call.result.array) in self.changed
            same = made.isdisjoint(uses) or call.function is self.owner.xp.ones_like
            if changing or not same:
                results = set() if call.result is None else {call.result.place}
                made |= results
                varying.append((call, uses, results, changing))
        needed = {*self.names, *places(outputs)}
        kept = []
        for call, uses, results, changing in reversed(varying):
            if changing or results & needed:
                last = (uses & made) - needed
                needed |= last
                kept.append((call, sorted(last)))
        return kept[::-1]

    def source(self, outputs: Sequence[Written]) -> str:
        """The function as text; it lets go of arrays after their last use."""
        arguments = [*self.names.values()]
        lines = []
        for call, last in self.kept(outputs):
            line = self.line(call)
            if call.result is not None:
                name = self.names[call.result.place] = f"v{len(self.names) - len(arguments)}"
                line = f"{name} = {line}"
            gone = [self.names[place] for place in last]
            lines.append(f"    {line}" + (f"; del {', '.join(gone)}" if gone else ""))
        lines.append(f"    return {', '.join(map(self.text, outputs))},")
        constants = [f"# {name}: {described(value)}" for name, value in self.constants.items() if name != "xp"]
        return "\n".join([*constants, f"def step({', '.join(arguments)}):", *lines, ""])

    def line(self, call: Call) -> str:
        """A call as text."""
        texts = [*map(self.text, call.args), *[f"{name}={self.text(value)}" for name, value in call.options.items()]]
        alone = call.form.count("{}") - 1  # the last {} takes all that is left
        return call.form.format(*texts[:alone], ", ".join(texts[alone:]))

    def text(self, value: Any) -> str:
        """A value as it stands in a line."""
        if isinstance(value, Written):
            return self.names.get(value.place) or self.constant(value.array)
        if isinstance(value, (tuple, list)):
            inside = ", ".join(map(self.text, value))
            comma = "," * (len(value) == 1)
            return f"[{inside}]" if isinstance(value, list) else f"({inside}{comma})"
        if isinstance(value, slice):
            return "slice" + self.text((value.start, value.stop, value.step))
        if type(value) in (int, bool, str, type(None), type(...)) or (type(value) is float and math.isfinite(value)):
            literal = repr(value)
            return f"({literal})" if literal[0] == "-" else literal  # a power binds more than a minus
        return self.constant(value)

    def constant(self, value: Any) -> str:
        """A name for what has no text."""
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"c{len(self.constants) - 1}"
        self.constants[name] = value
        return name

    def compiled(self, source: str) -> Callable[..., Any]:
        """The function that this text defines."""
        names = dict(self.constants)
        exec(compile(source, "<replay>", "exec"), names)
        return names["step"]


def places(value: Any) -> Iterator[int]:
    """The places of all arrays in these arguments."""
    if isinstance(value, Written):
        yield value.place
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from places(part)


def described(value: Any) -> str:
    """The kind of a constant, in a few words."""
    return f"{value.shape} {value.dtype}" if type(value) in backend.OWNERS else repr(value)


def memory(array: Any) -> int:
    """The identity of the array that owns the memory of this one."""
    return id(array if array.base is None else array.base)


def unwrapped(value: Any) -> Any:
    """The arrays themselves. Raises RuntimeError for one from elsewhere."""
    if isinstance(value, Written):
        return value.array
    if type(value) in backend.OWNERS or isinstance(value, backend.numpy.generic):
        refuse_other()
    return type(value)(map(unwrapped, value)) if isinstance(value, (tuple, list)) else value


def refuse_other(*args: Any, **options: Any) -> Any:
    """Raise RuntimeError where an array from elsewhere is used."""
    raise RuntimeError(
        "replay: the step uses an array that is neither an input nor a parameter, such as random numbers or a "
        "constant, and the next step may need another: pass it as an input"
    )


def refuse_look(*args: Any, **options: Any) -> Any:
    """Raise RuntimeError where the value of an element is wanted."""
    raise RuntimeError(
        "replay: the step looks at the value of an element, which may be another in the next step; take that out of "
        "the step, or do not replay it"
    )


class Written:
    """An array that writes down what is done with it. Whoever wants to see its elements is refused."""

    __slots__ = ("array", "place", "program")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, program: Program, array: Any, place: int) -> None:
        self.program, self.array, self.place = program, array, place

    @property
    def base(self) -> Any:
        """The array that this one is a view of."""
        return self.program.known.get(id(self.array.base), self.array.base)

    @property
    def T(self) -> Written:
        """The transpose."""
        return self.program.call("{}.T", operator.attrgetter("T"), self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.array, name)
        if not callable(found):
            return found
        return partial(self.program.call, f"{{}}.{name}({{}})", getattr(type(self.array), name), self)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Written:
        return self.program.call("{}[{}]", operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.program.call("{}[{}] = {}", operator.setitem, self, index, value)

    __array__ = __bool__ = __int__ = __float__ = __index__ = __iter__ = item = tolist = refuse_look
    __array_ufunc__ = __array_function__ = refuse_other  # where another array meets this one


def operation(form: str, function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    """The method of an operator that is written in this form."""

    def call(self: Written, *others: Any) -> Any:
        return self.program.call(form, function, *((*others, self) if reflected else (self, *others)))

    return call


def change_of(form: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method of an operator that changes an array in place; a scalar of NumPy's makes a new one."""

    def call(self: Written, other: Any) -> Any:
        if isinstance(self.array, backend.numpy.generic):
            return self.program.call(form.replace("=", ""), function, self, other)
        return self.program.call(form, function, self, other)

    return call


_BINARY = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@"}
_BINARY |= {"and": "&", "or": "|", "xor": "^"}
for _name, _sign in _BINARY.items():
    _function = getattr(operator, f"__{_name}__")
    setattr(Written, f"__{_name}__", operation(f"{{}} {_sign} {{}}", _function))
    setattr(Written, f"__r{_name}__", operation(f"{{}} {_sign} {{}}", _function, reflected=True))
    setattr(Written, f"__i{_name}__", change_of(f"{{}} {_sign}= {{}}", getattr(operator, f"__i{_name}__")))
for _name, _sign in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(Written, f"__{_name}__", operation(f"{{}} {_sign} {{}}", getattr(operator, _name)))
for _name, _form in {"neg": "-{}", "pos": "+{}", "abs": "abs({})", "invert": "~{}"}.items():
    setattr(Written, f"__{_name}__", operation(_form, getattr(operator, _name)))


class Writer(threading.local):
    """The program that this thread writes, if it does."""

    program: Any = None


writer = Writer()


class Function:
    """A function of the array library whose calls are written down."""

    def __init__(self, path: str, function: Any) -> None:
        self.path, self.function = path, function

    def __call__(self, *args: Any, **options: Any) -> Any:
        return writer.program.call(f"{self.path}({{}})", self.function, *args, **options)

    def __getattr__(self, name: str) -> Function:
        return Function(f"{self.path}.{name}", getattr(self.function, name))


class WritingLibrary:
    """The library of arrays that are written down: that of the inputs, function by function."""

    array = Written
    from_host = staticmethod(refuse_other)
    to_host = staticmethod(refuse_look)

    @property
    def xp(self) -> WritingLibrary:
        """The functions: itself."""
        return self

    @property
    def device(self) -> backend.device:
        """Where the inputs live."""
        return writer.program.owner.device

    def __getattr__(self, name: str) -> Any:
        found = getattr(writer.program.owner.xp, name)
        return Function(f"xp.{name}", found) if callable(found) and not isinstance(found, type) else found


backend.OWNERS[Written] = WritingLibrary()  # type: ignore[assignment]


class Step(NamedTuple):
    """A step that was written down."""

    source: str
    function: Callable[..., Any]  # of the arrays of inputs and parameters; gives the loss, then the gradients
    parameters: list[Any]  # their arrays, kept so that no other array has their identity
    ranges: dict[int, Range]  # of the labels, by the position of the input
    receivers: list[int]  # where among inputs and parameters those are that get a gradient


class replay:
    """A function that does `loss = function(*inputs); loss.backward()`, and returns the loss without its graph.

    `model`     the Module whose parameters get the gradients, added to their `.grad` as `backward` does; so do inputs
                that require one
    `function`  takes Tensors and returns the loss, a Tensor of one element, made of them and of the parameters

    The first call with inputs of some shapes is written down, as a function in NumPy that `source` shows; later ones
    run it: the same array operations in the same order, and so the same bits. There is one function for all that agree
    in shapes, dtypes, devices, order in memory, the training mode of each part, and what requires a gradient. They are
    written anew where a parameter has got another array, and where labels exceed the range of those so far.
    Python numbers and branches stay as they were in the call that was written down, and the model must keep its parts.
    Raises RuntimeError for a step that looks at an element, as `item()` and labels to be ignored do, or that uses
    arrays other than inputs and parameters, as the random ones of Dropout. Under `detect_anomaly` nothing is repeated.

        step = mg.replay(model, lambda images, labels: F.cross_entropy(model(images), labels))
        for images, labels in batches:
            loss = step(images, labels)
            optimizer.step()
            optimizer.zero_grad()
    """

    def __init__(self, model: Module, function: Callable[..., Tensor]) -> None:
        if not callable(getattr(model, "parameters", None)):
            raise TypeError(f"replay: expected a Module as model, got {type(model).__name__}")
        self.function = function
        self.parameters, self.modules = list(model.parameters()), list(model.modules())
        self.steps: dict[Any, Step] = {}  # by all that decides which calls a step makes, but for the labels

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The loss of these inputs; the parameters have their gradients. Raises TypeError for what is no Tensor."""
        arrays: list[Any] = []
        kinds: list[Any] = []
        ranges: dict[int, Range] = {}
        for position, x in enumerate(inputs):
            expect_tensor("replay", "input", x)
            if x.grad_fn is not None:
                raise RuntimeError("replay: an input was made by an op from one that requires a gradient; detach() it")
            array = x.array
            arrays.append(array)
            kinds += (array.shape, array.strides, array.dtype.num, type(array), x._requires_grad)
            if array.dtype.kind in "iu" and array.size:
                ranges[position] = x.label_range or (int(array.min()), int(array.max()))
        for p in self.parameters:
            arrays.append(p.array)
            kinds += (id(p.array), p._requires_grad)
        for module in self.modules:
            kinds.append(module.training)
        if (anomaly.watching and anomaly.is_watched()) or not mode.recording:
            loss = self.function(*inputs)
            loss.backward()
            return loss.detach()
        step = self.steps.get(tuple(kinds))
        if step is not None and all(map(within, ranges.values(), step.ranges.values())):
            loss, *gradients = backend.QUIET.copy().run(step.function, *arrays)
        else:
            if step is not None:
                ranges = {position: union(ranges[position], known) for position, known in step.ranges.items()}
            try:
                step, loss, gradients = self._write(inputs, arrays, ranges)
            except RuntimeError:
                self.function(*inputs)  # a mistake in the inputs, as a label that is none, says more
                raise
            now = [*map(id, step.parameters)]
            self.steps = {key: old for key, old in self.steps.items() if [*map(id, old.parameters)] == now}
            self.steps[tuple(kinds)] = step
        tensors = (*inputs, *self.parameters)
        for position, gradient in zip(step.receivers, gradients):
            tensors[position]._accumulate(gradient, False)
        return wrap(loss)

    @property
    def source(self) -> str:
        """The steps written so far, as functions in NumPy of the inputs x0, x1, ... and the parameters p0, p1, ..."""
        return "\n".join([step.source for step in self.steps.values()])

    def _write(
        self, inputs: Sequence[Tensor], arrays: list[Any], ranges: dict[int, Range]
    ) -> tuple[Step, Any, list[Any]]:
        """Run the step once, on arrays that write down what is done with them: the step, the loss, the gradients."""
        if writer.program is not None:
            raise RuntimeError("replay: a step that is replayed cannot replay another; call its function instead")
        if not arrays:
            raise RuntimeError("replay: there is neither an input nor a parameter that could get a gradient")
        arguments = [f"x{i}" for i in range(len(inputs))] + [f"p{i}" for i in range(len(self.parameters))]
        program = Program(backend.OWNERS[type([*arrays[len(inputs) :], *arrays][0])], arguments)
        leaves = [wrap(program.enter(array)) for array in arrays]
        for leaf, x in zip(leaves, inputs):
            leaf._requires_grad = x._requires_grad
        for position, ends in ranges.items():
            leaves[position].label_range = ends
        kept = [(p, p.array, p._grad) for p in self.parameters]
        writer.program = program
        try:
            for p, leaf in zip(self.parameters, leaves[len(inputs) :]):
                p.array, p._grad = leaf.array, None
            loss = self.function(*leaves[: len(inputs)])
            expect_tensor("replay", "loss", loss)
            loss.backward()
            tensors = (*leaves[: len(inputs)], *self.parameters)
            found = [(position, x._grad.array) for position, x in enumerate(tensors) if x._grad is not None]
        finally:
            writer.program = None
            for p, array, gradient in kept:
                p.array, p._grad = array, gradient
        outputs = [program.give(array) for array in (loss.array, *[gradient for _, gradient in found])]
        source = program.source(outputs)
        step = Step(
            source, program.compiled(source), arrays[len(inputs) :], ranges, [position for position, _ in found]
        )
        first, *gradients = [output.array for output in outputs]
        return step, first, gradients


def within(inner: Range, outer: Range) -> bool:
    """Whether a range lies in another."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def union(first: Range, second: Range) -> Range:
    """The range of both together."""
    return min(first[0], second[0]), max(first[1], second[1])
