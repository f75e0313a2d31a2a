"""Random calls of an op: shapes from its signature, values from its domain, any memory layout."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from helpers.torch_reference import NUMBER, REFERENCES, Draw, DrawLarge, Shapes, shape, size
from hypothesis import strategies as st

from minigrad.autograd.op import Op

LAYOUTS = ("contiguous", "transposed", "every second", "reversed")


@dataclass(frozen=True)
class Argument:
    """One array argument: the elements in the order of memory, and the layout in which an op gets them."""

    name: str
    base: np.ndarray
    layout: str = "contiguous"

    def view(self, base: Any) -> Any:
        """The argument itself, as a view of its base, on any device."""
        if self.layout == "transposed":
            return base.transpose(tuple(range(base.ndim))[::-1])
        if self.layout == "every second":
            return base[..., ::2]
        return base[..., ::-1] if self.layout == "reversed" else base

    @property
    def host(self) -> np.ndarray:
        return self.view(self.base)


@dataclass(frozen=True)
class Case:
    """One call of an op.

    Attributes:
        kind: "smooth" (distinct values of order one, away from kinks), "ties" (few different values: equal ones,
            zeros, kinks) or "extreme" (huge, tiny, inf, nan).
        arguments: each an Argument, a Python number, or None.
        options: the options of the call.
        seed: of the values, and of the cotangents and directions of the check.
    """

    kind: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    seed: int

    def describe(self) -> str:
        def text(argument: Any) -> str:
            if not isinstance(argument, Argument):
                return repr(argument)
            values = np.array2string(argument.host, threshold=40, separator=", ", prefix=" " * 12)
            return f"{argument.name} {argument.host.shape} ({argument.layout}) = {values}"

        lines = [text(argument) for argument in self.arguments]
        lines += [f"{name} = {value!r}" for name, value in self.options.items()]
        return "\n    ".join([f"{self.kind} case, seed {self.seed}:", *lines])


def broadcast(draw: Draw, loop: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `loop`: leading axes left out, others of size 1."""
    kept = loop[draw(st.integers(0, len(loop))) :] if draw(st.booleans()) else loop
    if draw(st.booleans()):
        return kept
    return tuple(1 if draw(st.booleans()) else n for n in kept)


def signature_shapes(draw: Draw, op: Op, same: bool) -> Shapes:
    """A shape for each array by the op's signature; the axes before the core dimensions broadcast.

    With `same` all broadcasting arrays have one shape. An optional array may be left out.
    """
    lengths: dict[str, int] = {}
    loop = shape(draw)
    whole = shape(draw)
    optional = [p.default is not p.empty for p in list(inspect.signature(op.body).parameters.values())[1:]]
    shapes: Shapes = []
    for i, part in enumerate(op.signature.split("->")[0][1:-1].split("),(")):
        axes = part.split(",") if part else []
        for axis in axes:
            if axis != "..." and axis not in lengths:
                large = isinstance(draw, DrawLarge) and 300 not in lengths.values() and draw(st.booleans())
                lengths[axis] = 300 if large else draw(size)
        core = tuple(lengths[axis] for axis in axes if axis != "...")
        if optional[i] and draw(st.integers(0, 2)) == 0:
            shapes.append(None)
        elif "..." in axes:
            shapes.append((shape(draw, most=2) if core else whole) + core)
        elif "..." in op.signature:  # beside "..." no array broadcasts
            shapes.append(core)
        else:
            shapes.append((loop if same else broadcast(draw, loop)) + core)
    while shapes and shapes[-1] is None:
        shapes.pop()
    return shapes


def smooth(rng: np.random.Generator, count: int) -> np.ndarray:
    """Distinct numbers in (-3, 3): odd multiples of 2⁻¹³, exact in float32, away from kinks and from each other.

    If there are not enough of them, numbers that are far apart in the result may be equal.
    """
    numbers = 3 * 2**13
    rounds = [rng.permutation(numbers) for _ in range(count // numbers + 1)]
    return (2 * np.concatenate(rounds)[:count] + 1 - numbers) / 2**13


def within(domain: str, kind: str, v: np.ndarray) -> np.ndarray:
    """The numbers moved into a domain; of the smooth ones (in (-3, 3)) and the tied ones (halves, from -2 to 2)."""
    if domain == "bool":
        return v > 0
    if domain == "positive":
        return np.abs(v) + 0.25
    if domain == "nonzero":
        return v + np.where(v < 0, -0.25, 0.25)
    if domain == "above -1":
        return np.abs(v) - 0.75
    if domain == "part":
        return np.minimum(np.abs(v) / (4 if kind == "smooth" else 2), 1)
    return v


def elements(rng: np.random.Generator, domain: str, kind: str, odd: Any, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape, dtype=int))
    if kind == "extreme" and domain != "bool":
        values = rng.choice(odd, count)
    elif kind == "smooth":
        values = within(domain, kind, smooth(rng, count))
    else:
        values = within(domain, kind, rng.integers(-4, 5, count) / 2 * rng.choice((1.0, -1.0), count))
    return values.reshape(shape)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> np.ndarray:
    """True at one random place along `dim`."""
    chance = rng.random(shape)
    return chance == chance.max(axis=dim, keepdims=True)


@st.composite
def cases(draw: Draw, op: Op, dtype: str, device: str, large: bool = False) -> Case:
    """A call of `op` with arrays of `dtype` on `device`; `large` ones have many elements or axes."""
    draw = DrawLarge(draw) if large else draw
    reference = REFERENCES[op.name]
    kinds = ("smooth", "ties", "smooth", "extreme")
    kind = draw(st.sampled_from(kinds if reference.odd else kinds[:3]))
    if reference.arguments is not None:
        shapes, options = reference.arguments(draw, device)
    else:
        shapes = signature_shapes(draw, op, same=kind == "extreme" and reference.relative)
        options = reference.options(draw, shapes)
    if reference.numbers and draw(st.integers(0, 3)) == 0:
        shapes[-1 if len(shapes) > 2 else draw(st.integers(0, 1))] = NUMBER
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    total = sum(int(np.prod(each, dtype=int)) for each in shapes if isinstance(each, tuple))
    pool = smooth(rng, total)  # for all arguments, so that there are no ties between them
    arguments = []
    for i, each in enumerate(shapes):
        name = f"tensors[{i}]" if op.variadic else op.array_names[i]
        domain = reference.domain.get(name, "real")
        if each is None:
            arguments.append(None)
            continue
        if each == NUMBER:
            value = draw(st.sampled_from((2, 0.5, 1, 3.0) if domain == "positive" else (2, -0.5, 1, 1.0, -3.0)))
            arguments.append(value)
            continue
        odd = reference.odd[name] if isinstance(reference.odd, dict) and name in reference.odd else reference.odd
        count = int(np.prod(each, dtype=int))
        if domain == "one-hot":
            values = one_hot(rng, each, options["dim"])
        elif kind == "smooth":
            values = within(domain, kind, pool[:count]).reshape(each)
            pool = pool[count:]
        else:
            values = elements(rng, domain, kind, odd, each)
        layout = draw(st.sampled_from(LAYOUTS)) if each else "contiguous"
        arguments.append(lay_out(name, values.astype(bool if domain in ("bool", "one-hot") else dtype), layout))
    return Case(kind, tuple(arguments), options, seed)


def lay_out(name: str, values: np.ndarray, layout: str) -> Argument:
    """The Argument of these values in a layout."""
    values = np.asarray(values)
    if layout == "transposed":
        base = np.array(values.T, order="C")
    elif layout == "every second":
        base = np.repeat(values, 2, axis=-1)
    elif layout == "reversed":
        base = np.array(values[..., ::-1], order="C")
    else:
        base = values
    return Argument(name, base, layout)
