"""Where code is from, and with that whether a step may call it: of the user, of a pure library, or impure."""

from __future__ import annotations

import sys

# Modules whose functions return the same for the same arguments. Of the others of Python none can be guarded.
PURE = {"__future__", "abc", "argparse", "builtins", "cmath", "collections", "contextlib", "copy", "dataclasses"}
PURE |= {"enum", "functools", "itertools", "math", "numbers", "operator", "statistics", "string", "types", "typing"}
PURE |= {"warnings", "numpy", "cupy", "minigrad"}
IMPURE = {"__import__", "breakpoint", "eval", "exec", "globals", "id", "input"}  # builtins
IMPURE |= {"fromfile", "genfromtxt", "load", "loadtxt", "memmap"}  # of NumPy


def origin(module: str) -> str:
    """Where code is from: a pure "library", "impure" (the rest of Python), or "user"."""
    top = module.partition(".")[0]
    if module.startswith(("numpy.random", "cupy.random")):
        return "impure"
    if top in PURE or top.lstrip("_") in PURE:
        return "library"
    return "impure" if top in sys.stdlib_module_names else "user"


def origin_of_class(cls: type) -> str:
    """The same of a class. One that its module does not contain is the user's."""
    module = getattr(cls, "__module__", "")  # `exec` may give none
    kind = origin(module)
    is_found = is_written_in_c(cls) or getattr(sys.modules.get(module), cls.__name__, None) is cls
    return kind if kind != "library" or is_found else "user"


def is_written_in_c(cls: type) -> bool:
    """Whether no attribute of a class can be set."""
    return bool(cls.__flags__ & 1 << 8)  # Py_TPFLAGS_IMMUTABLETYPE


def is_impure(cls: type) -> bool:
    """Whether the state of objects is hidden in an impure class or an iterator, or in a base of that kind."""
    kind = origin_of_class(cls)
    hidden = [is_written_in_c(base) and hasattr(base, "__next__") for base in cls.__mro__]
    return kind == "impure" or (kind == "user" and (any(hidden) or "impure" in map(origin_of_class, cls.__mro__)))
