"""Arrays and a library that write down what is done with them, in the program of the moment."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import backend

if TYPE_CHECKING:
    from .program import Program


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


backend.LIBRARY_OF_TYPE[Written] = WritingLibrary()  # type: ignore[assignment]
