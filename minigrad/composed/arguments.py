"""Checks of the arguments of composed functions, which otherwise would fail somewhere inside."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

from ..autograd.tensor import Tensor, expect_tensor


def check_tensors(room: dict[str, Any]) -> None:
    """Let the functions of a module raise TypeError for an argument that is annotated as a Tensor and is none."""
    for name, function in [*room.items()]:
        is_own = isinstance(function, FunctionType) and function.__module__ == room["__name__"]
        if is_own and {"Tensor", "Sequence[Tensor]"} & {*map(str, function.__annotations__.values())}:
            room[name] = checked(function)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a check of its Tensors."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    kind = function.__annotations__.get
    tensors = [(i, name) for i, name in enumerate(names) if kind(name) == "Tensor"]
    sequences = [(i, name) for i, name in enumerate(names) if kind(name) == "Sequence[Tensor]"]

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        for i, name in tensors:
            given = args[i] if i < len(args) else options.get(name)
            if not isinstance(given, Tensor) and (i < len(args) or name in options):
                expect_tensor(function.__name__, name, given)
        for i, name in sequences:
            for given in args[i] if i < len(args) else options.get(name, ()):
                expect_tensor(function.__name__, name, given)
        return function(*args, **options)

    return call
