"""Random numbers. All are drawn on the host, so that every device starts from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy

_shared: Any = None  # made at the first use, as numpy.random is a slow import
before_use: list[Callable[[], None]] = []  # called first wherever the shared generator is used


def generator() -> numpy.random.Generator:
    """The generator that minigrad draws weights, dropout masks and shuffles from."""
    global _shared
    for check in before_use:
        check()
    if _shared is None:
        _shared = numpy.random.default_rng()
    return _shared


def source(given: Any) -> numpy.random.Generator:
    """The numbers of the argument `generator`, a `minigrad.Generator`; those of the shared generator for None."""
    if given is not None and not hasattr(given, "host"):
        raise TypeError(f"expected a Generator as generator, got {type(given).__name__}")
    return generator() if given is None else given.host


def set_generator(new: numpy.random.Generator) -> None:
    """Replace the generator that minigrad draws from."""
    global _shared
    for check in before_use:
        check()
    _shared = new


def manual_seed(seed: int) -> None:
    """Seed minigrad's random numbers: weights, dropout, and shuffles without a seed of their own.

    NumPy's global generator is not touched.

    Raises:
        TypeError: `seed` is not an integer.
        ValueError: `seed` is negative.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> first = mg.rand(3)
        >>> mg.manual_seed(0)
        >>> bool((mg.rand(3) == first).float().amin())
        True
    """
    set_generator(new_generator(seed))


def new_generator(*seeds: int) -> numpy.random.Generator:
    """A new host generator. (seed, i, j, ...) identify independent streams (NumPy's SeedSequence spawn keys).

    Raises TypeError for a seed that is not an integer, ValueError for a negative one.
    """
    if not all(isinstance(seed, Integral) for seed in seeds):
        raise TypeError(f"seed: expected an integer, got {', '.join(map(repr, seeds))}")
    if any(int(seed) < 0 for seed in seeds):
        raise ValueError(f"seed: expected an integer of 0 or more, got {', '.join(map(str, seeds))}")
    first, *parts = (int(seed) for seed in seeds)
    return numpy.random.default_rng(numpy.random.SeedSequence(first, spawn_key=parts))


def below(values: Any, high: float, dtype: Any) -> Any:
    """Numbers below `high`, cast to `dtype`; those that the cast rounds up to `high` become the largest below it."""
    cast = values.astype(dtype, copy=False)
    if cast.dtype.kind == "f" and cast.size and cast.max() >= high:
        limit = cast.dtype.type(high)
        cast = numpy.minimum(cast, limit if limit < high else numpy.nextafter(limit, cast.dtype.type(-numpy.inf)))
    return cast
