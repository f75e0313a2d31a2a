"""What a step asked for, call by call, and the function in NumPy that it comes to, as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .. import backend
from .tracer import Written, refuse_other


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
        if type(result) not in backend.LIBRARY_OF_TYPE and not isinstance(result, backend.numpy.generic):
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
        exec(compile(source, "<replay>", "exec"), names)  # nosec B102 # the source is made of names of ops
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
    return f"{value.shape} {value.dtype}" if type(value) in backend.LIBRARY_OF_TYPE else repr(value)


def memory(array: Any) -> int:
    """The identity of the array that owns the memory of this one."""
    return id(array if array.base is None else array.base)


def unwrapped(value: Any) -> Any:
    """The arrays themselves. Raises RuntimeError for one from elsewhere."""
    if isinstance(value, Written):
        return value.array
    if type(value) in backend.LIBRARY_OF_TYPE or isinstance(value, backend.numpy.generic):
        refuse_other()
    return type(value)(map(unwrapped, value)) if isinstance(value, (tuple, list)) else value
