"""A search for everything that the Python code of a step may read, with a condition for each value that it finds.

The instructions of a function name the variables and attributes that it loads. From the function and the model on, all
that can be reached through these names is visited. A value gets a condition where it is found, and is then searched in
turn: functions for their code, containers for their items, objects for their attributes and methods.
"""

from __future__ import annotations

import abc
import builtins
import sys
import time
import types
from collections import deque
from collections.abc import Iterable
from functools import cached_property, lru_cache, partial
from typing import Any

from .. import backend
from ..autograd.op import Op
from ..autograd.tensor import Tensor
from ..nn.module import Module, Parameter
from .loads import COMPARISON, CONSTRUCTION, FORMATTING, REFLECTION, Loads
from .origin import IMPURE, is_impure, is_written_in_c, origin, origin_of_class
from .tracer import reject

LIMIT = 1000  # items and objects, besides Modules, that are compared before each step
SMALL = 4096  # bytes of an array that is compared

CONSTANTS = {bool, int, float, complex, str, bytes, range, slice, object, type(None), type(...), type(NotImplemented)}
CONTAINERS = (dict, list, tuple, set, frozenset, deque)
METHODS = (types.FunctionType, property, staticmethod, classmethod, cached_property)
CACHED = type(lru_cache(len))
DESCRIPTORS: tuple[type, ...] = (types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType)
DESCRIPTORS += (types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType)
NAMED = (types.FunctionType, types.BuiltinFunctionType, type)

ARRAY_FUNCTIONS = {"ufunc", "_ArrayFunctionDispatcher"}  # types of NumPy and CuPy
LOCKS = {"lock", "RLock", "_RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier"}
LOCK_STATE = {"broken", "is_set", "locked", "n_waiting", "parties"}

MISSING = object()


class Search:
    """One pass of the search, given the names that are known so far.

    attributes   names of attributes that code loads; in this pass more may be found
    variables    names of variables that code loads
    written      names of containers that code only writes to
    conditions   Python expressions of `constants`
    """

    def __init__(
        self, attributes: Iterable[str] = (), variables: Iterable[str] = (), written: Iterable[str] = ()
    ) -> None:
        self.attributes = {*attributes, "forward", "children"}
        self.variables = {*variables}
        self.written = {*written} - self.attributes - self.variables
        self.everything = not REFLECTION.isdisjoint(self.attributes)
        self.conditions: dict[str, None] = {}  # in order
        self.constants: dict[str, Any] = {
            "MISSING": MISSING,
            "same": same,
            "unchanged": unchanged,
            "state_of": state_of,
        }
        self.names: dict[int, str] = {}  # of the constants, by their identity
        self.seen: dict[int, Any] = {}
        self.size = 0

    def names_loaded(self) -> tuple[set[str], set[str], set[str]]:
        """The names that are known, with those found in this pass."""
        return {*self.attributes}, {*self.variables}, {*self.written}

    # Conditions
    def constant(self, value: Any) -> str:
        """The name of a value in the conditions."""
        name = self.names.setdefault(id(value), f"c{len(self.names)}")
        self.constants[name] = value
        return name

    def condition(self, form: str, *values: Any) -> None:
        """Add a condition on these values."""
        self.conditions[form.format(*map(self.constant, values))] = None

    def read(self, form: str, owner: Any, key: Any, value: Any, name: str, inside: bool = True) -> None:
        """Add the condition that an expression of owner and key has this value; search the value."""
        by_value = is_constant(value) or type(value) is tuple
        form = f"({form} is {{2}} or same({form}, {{2}}))" if by_value else f"{form} is {{2}}"
        self.condition(form, owner, key, value)
        if inside and (key not in self.written or type(value) not in CONTAINERS):
            self.visit(value, name)

    def item(self, namespace: Any, key: str, name: str, inside: bool = True) -> None:
        """Add the condition that a `__dict__` has this value, or none."""
        if key in namespace:
            self.read("{0}[{1}]", namespace, key, namespace[key], name, inside)
        else:
            self.condition("{1} not in {0}", namespace, key)

    def keys(self, namespace: Any) -> None:
        """Add the condition that a `__dict__` has these names, in this order."""
        self.condition("[*{}] == {}" if namespace else "not {}", namespace, [*namespace])

    def count(self, number: int) -> None:
        """Raise RuntimeError if there is too much to compare."""
        self.size += number
        if self.size > LIMIT:
            reject(f"the step may read more than {LIMIT} items and objects; pass what it needs of them as a Tensor")

    def refuse(self, value: Any, name: str) -> None:
        """Raise RuntimeError for a value that may differ in the next step, and has no condition."""
        kind = "" if callable(value) else f" a {type(value).__name__},"
        reject(f"the step reads `{name}`,{kind} which may give another value in each step; pass its value as a Tensor")

    # Search
    def visit(self, value: Any, name: str) -> None:
        """Find what can be read of a value; `name` is how the code calls it."""
        if is_constant(value) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if isinstance(value, NAMED):
            self.attributes |= {value.__name__} & REFLECTION
            if value.__name__ in IMPURE and origin(value.__module__ or "") == "library":
                self.refuse(value, name)
        if isinstance(value, types.FunctionType):
            self.function(value, name)
        elif isinstance(value, types.BuiltinFunctionType):
            self.builtin(value, name)
        elif isinstance(value, DESCRIPTORS):
            pass
        elif isinstance(value, types.MethodType):
            self.visit(value.__self__, name)
            self.visit(value.__func__, name)
        elif isinstance(value, (staticmethod, classmethod, CACHED)):
            self.visit(value.__wrapped__, name)
        elif isinstance(value, (partial, cached_property)):
            self.visit(value.func, name)
            for part in (value.args, value.keywords) if isinstance(value, partial) else ():
                self.visit(part, name)
        elif isinstance(value, property):
            self.visit(value.fget, name)
            self.visit(value.fset, name)
        elif isinstance(value, types.ModuleType):
            self.module(value, name)
        elif isinstance(value, type):
            self.class_(value, name)
        elif isinstance(value, Tensor):
            self.tensor(value, name)
        elif type(value) in backend.LIBRARY_OF_TYPE or isinstance(value, backend.numpy.ndarray):
            self.array(value, name)
        elif isinstance(value, CONTAINERS):
            self.container(value, name)
        else:
            self.instance(value, name)

    def function(self, function: types.FunctionType, name: str) -> None:
        """Code, defaults and variables; of a function of a library only what its closure holds."""
        kind = origin(function.__globals__.get("__name__", ""))
        if kind == "impure":
            self.refuse(function, name)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        if kind == "library":
            for cell in cells.values():
                self.visit(content(cell), name)
            return
        self.condition("{}.__code__ is {}", function, function.__code__)
        self.read("{0}.__defaults__", function, None, function.__defaults__, name)
        self.read("{0}.__kwdefaults__", function, None, function.__kwdefaults__, name)
        loads = Loads(function.__code__)
        self.attributes |= loads.attributes
        self.variables |= loads.variables
        self.written |= loads.written - self.attributes - self.variables
        for variable in sorted(loads.variables | loads.written):
            if not variable.isidentifier():
                continue  # pytest's, for the message of an assertion that fails
            if variable not in cells:
                self.item(function.__globals__, variable, variable)
                if variable not in function.__globals__:
                    self.item(vars(builtins), variable, variable)
            elif content(cells[variable]) is not MISSING:
                self.read("{0}.cell_contents", cells[variable], variable, content(cells[variable]), variable)
        for module in sorted(loads.modules):
            if module not in sys.modules:
                reject(f"the step imports {module!r}; import it outside the step")
            self.visit(sys.modules[module], module)
        self.namespace(vars(function), name, self.attributes)

    def builtin(self, function: Any, name: str) -> None:
        """A function written in C, or a method of an object written in C."""
        owner = function.__self__
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.visit(owner, name)
        elif origin(function.__module__ or "") == "impure" and function is not time.sleep:
            self.refuse(function, name)

    def module(self, module: types.ModuleType, name: str) -> None:
        """The attributes that are loaded."""
        names = self.attributes
        if origin(module.__name__) != "user":
            names = names & vars(module).keys()
        elif self.everything:
            names = names | {key for key in vars(module) if key[:2] != "__"}
        for attribute in sorted(names):
            self.item(vars(module), attribute, f"{name}.{attribute}")

    def class_(self, cls: type, name: str) -> None:
        """A class that may be called."""
        if is_impure(cls):
            self.refuse(cls, name)
        self.bases(cls, name, CONSTRUCTION)
        self.bases(type(cls), name)

    def bases(self, cls: type, name: str, called: Iterable[str] = ()) -> None:
        """The methods and attributes that a class and its bases have for the names that are loaded.

        Comparisons that a dataclass has been given read all its fields, so they are searched only if code compares.
        """
        for base in cls.__mro__:
            if origin_of_class(base) == "user":
                rare = CONSTRUCTION | FORMATTING | (COMPARISON if "__dataclass_fields__" in vars(base) else set())
                special = {key for key, value in vars(base).items() if key[:2] == "__" and isinstance(value, METHODS)}
                self.namespace(vars(base), name, self.attributes.union(special - rare, called))

    def namespace(self, namespace: Any, name: str, wanted: set[str]) -> None:
        """The names of a `__dict__`, and the values that are wanted."""
        self.keys(namespace)
        for key in namespace:
            if key in wanted or key in self.written or (self.everything and key[:2] != "__"):
                self.item(namespace, key, f"{name}.{key}")

    def tensor(self, tensor: Tensor, name: str) -> None:
        """`requires_grad`, and what the user has added. The array is a parameter, or the trace is refused."""
        self.bases(type(tensor), name)
        self.condition("{}._requires_grad is {}", tensor, tensor._requires_grad)
        if not isinstance(tensor, Parameter):
            self.condition("{}.grad_fn is {}", tensor, tensor.grad_fn)
        for key in sorted(self.attributes & vars(tensor).keys() - {"array", "grad_fn"}):
            self.item(vars(tensor), key, f"{name}.{key}")

    def array(self, array: Any, name: str) -> None:
        """A NumPy array, if it is small."""
        if not isinstance(array, backend.numpy.ndarray) or array.nbytes > SMALL or array.dtype.hasobject:
            reject(f"the step reads `{name}`, an array that is neither an input nor a parameter; pass it as an input")
        self.condition("state_of({}) == {}", array, state_of(array))

    def container(self, container: Any, name: str) -> None:
        """All items in their order, of a dict with their keys."""
        self.count(len(container))
        is_dict = isinstance(container, dict)
        if not isinstance(container, (tuple, frozenset)):
            self.condition("unchanged({}, {})", container, (*container,))
        if is_dict:
            self.condition("unchanged({}.values(), {})", container, (*container.values(),))
        for item in (*container, *container.values()) if is_dict else container:
            self.visit(item, f"{name}[...]")
        self.bases(type(container), name)
        if has_dict(type(container)):
            self.namespace(vars(container), name, self.attributes)

    def instance(self, value: Any, name: str) -> None:
        """The class and the attributes of an object."""
        cls = type(value)
        kind = origin_of_class(cls)
        if self.is_allowed(value, kind):
            return
        slots = slots_of(cls)
        if is_impure(cls) or not (slots or has_dict(cls)):
            self.refuse(value, name)
        if isinstance(value, Module) and kind == "library":
            self.condition("{}.forward == {}", value, value.forward)
            self.visit(value.forward, f"{name}.forward")
        else:
            self.count(1)
            self.condition("type({}) is {}", value, cls)
            self.bases(cls, name)
        for key in slots:
            if self.everything or key in self.attributes:
                found = getattr(value, key, MISSING)
                self.read("getattr({0}, {1}, MISSING)", value, key, found, f"{name}.{key}")
        if has_dict(cls):
            self.condition("{}.__dict__ is {}", value, vars(value))
            self.state(value, name)

    def is_allowed(self, value: Any, kind: str) -> bool:
        """Whether an object needs no condition: functions of libraries, locks to wait for, and streams to print to."""
        cls = type(value)
        if cls.__name__ in LOCKS and kind == "impure":
            return LOCK_STATE.isdisjoint(self.attributes)
        is_function = cls.__name__ in ARRAY_FUNCTIONS or (is_written_in_c(cls) and hasattr(cls, "__get__"))
        return (kind == "library" and is_function) or value is sys.stdout or value is sys.stderr

    def state(self, value: Any, name: str) -> None:
        """The attributes of an object: by name, but all that code of a library can read."""
        state = vars(value)
        bases = type(value).__mro__[:-1]
        by_library = any(origin_of_class(base) == "library" and base is not abc.ABC for base in bases)
        if not isinstance(value, Module):
            self.namespace(state, name, {*state} if by_library else self.attributes)
            return
        self.keys(state)
        for key, part in state.items():
            inside = key in self.attributes or self.everything or origin_of_class(type(value)) == "library"
            self.item(state, key, f"{name}.{key}", inside or isinstance(part, (Module, Tensor, *METHODS)))


def is_constant(value: Any) -> bool:
    """Whether a value never changes, and is all that its repr shows."""
    return type(value) in CONSTANTS or isinstance(value, (backend.numpy.generic, backend.DType, backend.device, Op))


def slots_of(cls: type) -> list[str]:
    """The names in `__slots__` of the classes that the user wrote."""
    bases = [vars(base) for base in cls.__mro__ if origin_of_class(base) == "user"]
    return [key for names in bases for key in names if isinstance(names[key], types.MemberDescriptorType)]


def has_dict(cls: type) -> bool:
    """Whether the objects of a class have a `__dict__`."""
    return any("__dict__" in vars(base) for base in cls.__mro__)


def content(cell: types.CellType) -> Any:
    """What a closure variable holds; MISSING if nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def same(a: Any, b: Any) -> bool:
    """Whether two values are one object, or constants of one type and value."""
    if a is b or type(a) is not type(b):
        return a is b
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    return is_constant(a) and repr(a) == repr(b)  # which distinguishes -0.0 from 0.0


def unchanged(container: Any, items: tuple[Any, ...]) -> bool:
    """Whether a container has these items, in this order."""
    return len(container) == len(items) and all(map(same, container, items))


def state_of(array: Any) -> tuple[Any, ...]:
    """All of an array that code can read."""
    return array.dtype.str, array.shape, array.strides, array.tobytes()
