"""A training step as the list of array operations that it comes to, repeated without the engine.

Every op asks the library that owns its arrays. In the first step that is a library which writes down what it is asked,
and with the same shapes all later steps ask the same. What is left is the program that one would write by hand in
NumPy: no Tensors, no graph, no walk.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from . import anomaly, backend
from .grad_mode import mode
from .tensor import Tensor, expect_tensor, wrap

if TYPE_CHECKING:
    from .nn.module import Module

Range: TypeAlias = "tuple[int, int] | None"  # the least and the greatest label; None for what holds no integers


class Program:
    """What a step asked for, in order, as calls of functions whose arguments and result have places in one list."""

    def __init__(self, owner: backend.Library) -> None:
        self.owner = owner
        self.values: list[Any] = []
        self.calls: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []  # the places of arguments and result
        self.known: dict[int, Written] = {}  # by the identity of its array
        self.changed: set[int] = set()  # the identities of memory that is written to
        # When finished: a function, what picks its arguments, the place of its result, the places needed no more.
        self.program: list[tuple[Callable[..., Any], Callable[..., Any], int, tuple[int, ...]]] = []

    def place(self, value: Any) -> int:
        """A new place, with this value in it."""
        self.values.append(value)
        return len(self.values) - 1

    def enter(self, array: Any) -> Written:
        """The array, in a new place, as one that writes down what is done with it."""
        self.known[id(array)] = Written(self, array, self.place(array))
        return self.known[id(array)]

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call the function, and write that down. Raises RuntimeError for an array that is not of this program."""
        arrays: list[Written] = []
        template = with_holes((args, options), arrays)
        if [*map(type, template[0])].count(Hole) < len(arrays):  # some stand inside a tuple, or are named
            function, args, options = partial(call_filled, function, template), tuple(arrays), {}
        function = partial(function, **options) if options else function
        places = tuple(arg.place if isinstance(arg, Written) else self.place(arg) for arg in args)
        result = function(*(self.values[place] for place in places))
        if result is None or id(result) in self.known:  # its first argument was changed in place
            self.change(self.values[places[0]])
            place = self.place(None) if result is None else self.known[id(result)].place
            self.calls.append((function, places, place))
            return None if result is None else self.known[id(result)]
        if type(result) not in backend.OWNERS and not isinstance(result, backend.numpy.generic):
            raise RuntimeError(f"replay: expected a call that gives an array, got {type(result).__name__}")
        written = self.enter(result)
        self.calls.append((function, places, written.place))
        return written

    def change(self, array: Any) -> None:
        """Note that the memory of an array is written to."""
        self.changed.add(memory(array))

    def give(self, written: Written) -> int:
        """The place of an array that is handed out: as an array, where NumPy gave a scalar, and nobody else's."""
        if isinstance(written.array, backend.numpy.generic):
            written = self.call(backend.as_array, written)
        self.change(written.array)
        return written.place

    def finish(self, inputs: int, outputs: set[int]) -> None:
        """Take out the calls that give the same in each step, or what nobody uses; let go of arrays after their use."""
        made = {written.place for written in self.known.values()}
        calls = []
        for function, places, result in self.calls:
            array = self.values[result]
            changing = array is None or memory(array) in self.changed
            same = made.isdisjoint(places) or getattr(function, "func", function) is self.owner.xp.ones_like
            if same and not changing:
                made.discard(result)
            else:
                calls.append((function, places, result, changing))
        self.values = [None if place in made else value for place, value in enumerate(self.values)]
        needed = outputs | {place for place in range(len(self.values)) if place < inputs or place not in made}
        for function, places, result, changing in reversed(calls):
            if changing or result in needed:
                last = tuple({*places, result} - needed)
                needed.update(last)
                self.program.append((function, picker(places), result, last))
        self.program.reverse()
        self.known, self.calls = {}, []

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """All values that are left at the end, from those of the inputs, which have the first places."""
        values = [*inputs, *self.values[len(inputs) :]]
        for function, pick, result, last in self.program:
            values[result] = function(*pick(values))
            for place in last:
                values[place] = None
        return values


def picker(places: tuple[int, ...]) -> Callable[[list[Any]], Sequence[Any]]:
    """What takes the values at these places out of a list."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    start = places[0] if places else 0
    return operator.itemgetter(slice(start, start + len(places)))  # an itemgetter of one place gives no sequence


def memory(array: Any) -> int:
    """The identity of the array that owns the memory of this one."""
    return id(array if array.base is None else array.base)


class Hole:
    """Where an array goes, inside the arguments of a call."""

    def __init__(self, index: int) -> None:
        self.index = index


def with_holes(value: Any, arrays: list[Written]) -> Any:
    """The value with a Hole for each array in it, which goes to the end of `arrays`."""
    if isinstance(value, Written):
        arrays.append(value)
        return Hole(len(arrays) - 1)
    if type(value) in backend.OWNERS or isinstance(value, backend.numpy.generic):
        refuse_other()
    if isinstance(value, (tuple, list)):
        return type(value)([with_holes(part, arrays) for part in value])
    if isinstance(value, dict):
        return {name: with_holes(part, arrays) for name, part in value.items()}
    return value


def filled(template: Any, arrays: tuple[Any, ...]) -> Any:
    """The value again, from what `with_holes` made of it."""
    if isinstance(template, Hole):
        return arrays[template.index]
    if isinstance(template, (tuple, list)):
        return type(template)([filled(part, arrays) for part in template])
    if isinstance(template, dict):
        return {name: filled(part, arrays) for name, part in template.items()}
    return template


def call_filled(function: Callable[..., Any], template: Any, *arrays: Any) -> Any:
    """Call the function with arrays inside its arguments, as in an index of several axes."""
    args, options = filled(template, arrays)
    return function(*args, **options)


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
        return self.program.call(operator.attrgetter("T"), self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.array, name)
        return partial(self.program.call, getattr(type(self.array), name), self) if callable(found) else found

    def __len__(self) -> int:
        return len(self.array)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.program.call(operator.setitem, self, index, value)

    __array__ = __bool__ = __int__ = __float__ = __index__ = __iter__ = item = tolist = refuse_look
    __array_ufunc__ = __array_function__ = refuse_other  # where another array meets this one


def _operator(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def call(self: Written, *others: Any) -> Any:
        return self.program.call(function, *others, self) if reflected else self.program.call(function, self, *others)

    return call


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"):
    _plain = _name.rstrip("_")
    setattr(Written, f"__{_plain}__", _operator(getattr(operator, _name)))
    setattr(Written, f"__r{_plain}__", _operator(getattr(operator, _name), reflected=True))
    setattr(Written, f"__i{_plain}__", _operator(getattr(operator, f"i{_plain}")))
for _name in ("neg", "pos", "abs", "invert", "eq", "ne", "lt", "le", "gt", "ge", "getitem"):
    setattr(Written, f"__{_name}__", _operator(getattr(operator, _name)))


class Writer(threading.local):
    """The program that this thread writes, if it does."""

    program: Any = None


writer = Writer()


class Function:
    """A function of the array library whose calls are written down."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Any, **options: Any) -> Any:
        return writer.program.call(self.function, *args, **options)

    def __getattr__(self, name: str) -> Function:
        return Function(getattr(self.function, name))


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
        return Function(found) if callable(found) and not isinstance(found, type) else found


backend.OWNERS[Written] = WritingLibrary()  # type: ignore[assignment]


class Step(NamedTuple):
    """A step that was written down, what it holds for, and where the loss and the gradients are found."""

    program: Program
    parameters: list[Any]  # their arrays
    modes: list[bool]  # what requires a gradient, and which part of the model is in training mode
    ranges: list[Range]  # of the labels
    loss: int
    gradients: list[tuple[int, int]]  # (the position of the Tensor among inputs and parameters, the place)


class replay:
    """A function that does `loss = function(*inputs); loss.backward()`, and returns the loss without its graph.

    `model`     the Module whose parameters get the gradients: added to their `.grad`, as `backward` does
    `function`  takes Tensors and returns the loss, a Tensor of one element, made of them and of the parameters

    The first call with inputs of some shapes is written down, later ones repeat it: the same array operations in the
    same order, and so the same bits. A step is written anew where shapes, dtypes, devices, the order in memory, the
    training mode of a part or what requires a gradient have changed, and where labels exceed the range of those so far.
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
        self.steps: dict[Any, Step] = {}  # by the shapes, strides, dtypes and kinds of the inputs

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The loss of these inputs; the parameters have their gradients. Raises TypeError for what is no Tensor."""
        if writer.program is not None:
            raise RuntimeError("replay: a step that is replayed cannot replay another; call its function instead")
        for x in inputs:
            expect_tensor("replay", "input", x)
            if x.grad_fn is not None:
                raise RuntimeError("replay: an input was made by an op from one that requires a gradient; detach() it")
        if (anomaly.watching and anomaly.is_watched()) or not mode.recording:
            loss = self.function(*inputs)
            loss.backward()
            return loss.detach()
        tensors = (*inputs, *self.parameters)
        shapes = tuple([(x.array.shape, x.array.strides, x.array.dtype.num, type(x.array)) for x in inputs])
        parameters = [*map(operator.attrgetter("array"), self.parameters)]
        modes = [
            *map(operator.attrgetter("_requires_grad"), tensors),
            *map(operator.attrgetter("training"), self.modules),
        ]
        ranges = [label_range(x) for x in inputs]
        step = self.steps.get(shapes)
        if (
            step is not None
            and modes == step.modes
            and all(map(operator.is_, parameters, step.parameters))
            and all(map(within, ranges, step.ranges))
        ):
            values = backend.QUIET.copy().run(step.program.run, [*[x.array for x in inputs], *parameters])
        else:
            if step is not None:
                ranges = [*map(union, ranges, step.ranges)]
            try:
                step = self.steps[shapes] = self._write(inputs, parameters, modes, ranges)
            except RuntimeError:
                self.function(*inputs)  # a mistake in the inputs, as a label that is none, says more
                raise
            values = step.program.values
            step.program.finish(len(tensors), {step.loss, *(place for _, place in step.gradients)})
        for position, place in step.gradients:
            tensors[position]._accumulate(values[place], False)
        return wrap(values[step.loss])

    def _write(self, inputs: Sequence[Tensor], parameters: list[Any], modes: list[bool], ranges: list[Range]) -> Step:
        """Run the step once, on arrays that write down what is done with them."""
        program = Program(backend.OWNERS[type([*parameters, *(x.array for x in inputs)][0])])
        leaves = [wrap(program.enter(array)) for array in [*[x.array for x in inputs], *parameters]]
        for leaf, requires_grad in zip(leaves, modes):
            leaf._requires_grad = requires_grad
        for leaf, ends in zip(leaves, ranges):
            leaf.label_range = ends
        grads = [p._grad for p in self.parameters]
        outer, writer.program = writer.program, program
        try:
            for p, leaf in zip(self.parameters, leaves[len(inputs) :]):
                p.array, p._grad = leaf.array, None
            loss = self.function(*leaves[: len(inputs)])
            expect_tensor("replay", "loss", loss)
            loss.backward()
            found = [x._grad for x in (*leaves[: len(inputs)], *self.parameters)]
        finally:
            writer.program = outer
            for p, array, gradient in zip(self.parameters, parameters, grads):
                p.array, p._grad = array, gradient
        gradients = [(position, program.give(g.array)) for position, g in enumerate(found) if g is not None]
        return Step(program, parameters, modes, ranges, program.give(loss.array), gradients)


def label_range(x: Tensor) -> Range:
    """The range of a Tensor of integers, as a DataLoader noted it, or looked up."""
    if x.label_range is None and x.array.dtype.kind in "iu" and x.array.size:
        return int(x.array.min()), int(x.array.max())
    return x.label_range


def within(inner: Range, outer: Range) -> bool:
    """Whether a range lies in another."""
    return inner is None or (outer is not None and outer[0] <= inner[0] and inner[1] <= outer[1])


def union(first: Range, second: Range) -> Range:
    """The range of both together."""
    return first and second and (min(first[0], second[0]), max(first[1], second[1]))
