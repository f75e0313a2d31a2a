"""Where the first NaN or inf came from: under `detect_anomaly()` all that an op makes is looked at, and one is blamed.

Looking costs a pass over each array and, on a device, a wait: it is for finding a mistake. Where nobody looks, an op
asks whether `watching` is empty, and no more.
"""

from __future__ import annotations

import linecache
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from threading import get_ident
from typing import Any, NamedTuple

from .backend import OWNERS, as_array, unravel

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
Rule = Callable[[Any], Any]
watching: dict[int, int] = {}  # by thread: in how many blocks of detect_anomaly it is


class AnomalyError(RuntimeError):
    """A NaN or inf was made, or an array that backward needs was changed; the message names the op and the line."""


class detect_anomaly(ContextDecorator):
    """Inside a `with` block, or a decorated function, the first NaN or inf is an AnomalyError, for this thread alone.

    An op is blamed, in forward or in backward, if NaN comes out of it, or inf though all that went in was finite (an
    inf that went in, such as the -inf of a mask, may come out). The message names the op, the line of your code that
    called it, shapes and values. An array that was changed between forward and backward is found too, also where it
    was changed past its Tensor, as by `x.numpy()[0] = 1`. Both passes must be inside. It is slow; outside it costs
    nothing.
    """

    def __enter__(self) -> None:
        watching[get_ident()] = watching.get(get_ident(), 0) + 1

    def __exit__(self, *exception: object) -> None:
        watching[get_ident()] -= 1
        if not watching[get_ident()]:
            del watching[get_ident()]


def is_watched() -> bool:
    """Whether this thread is inside `detect_anomaly`."""
    return get_ident() in watching


class Evidence(NamedTuple):
    """What is kept of a call until its backward: the line that made it, and a hash of each array."""

    line: str
    hashes: list[int | None]


def array_of(value: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return as_array(getattr(value, "array", value))


def hash_of(value: Any) -> int | None:
    """A hash of the elements of a Tensor or array; None of a number."""
    array = array_of(value)
    return hash(OWNERS[type(array)].to_host(array).tobytes()) if type(array) in OWNERS else None


def user_line() -> str:
    """File, line and text of the code outside minigrad that runs."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"{file}, line {line}: {linecache.getline(file, line).strip()}"


def named(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Arrays and numbers by the names of their arguments; those without one, as in `cat`, by their position."""
    return {names[i] if i < len(names) else f"argument {i}": array_of(value) for i, value in enumerate(values)}


def inspect(what: str, inputs: dict[str, Any], output: Any, line: str) -> None:
    """Raise AnomalyError if NaN or inf in an output, an array, is to be blamed on `what`, which made it of `inputs`."""
    if output.dtype.kind != "f":
        return
    xp = OWNERS[type(output)].xp
    kind, bad = "nan", xp.isnan(output)
    if not bad.any():
        kind, bad = "inf", xp.isinf(output)
        if not bad.any() or any(holds(value, "isnan") or holds(value, "isinf") for value in inputs.values()):
            return
    index = unravel(int(bad.argmax()), output.shape)
    given = "; ".join(f"{name}: {describe(value, output.shape, index)}" for name, value in inputs.items())
    verb = "passed on" if any(holds(value, "isnan") for value in inputs.values()) else "made"
    at = f" at {list(index)}" if index else ""
    raise AnomalyError(
        f"{what} {verb} {kind}{at}, in {int(bad.sum())} of the {output.size} elements of its result {output.shape} "
        f"{output.dtype}; {given}; called in {line}"
    )


def inspect_op(op: Any, args: Sequence[Any], output: Any, node: Any) -> None:
    """Inspect a call of an op with these Tensors and numbers; if it was recorded, keep the evidence with its node."""
    line = user_line()
    inspect(op.name, named(op.arrays, args), output, line)
    if node is not None:
        node.evidence = Evidence(line, [hash_of(value) for value in (*args, output)])


def inspect_sum(first: Any, second: Any, total: Any) -> None:
    """Raise AnomalyError if a sum of two gradients that flow into one Tensor overflowed."""
    inputs = {"the first": array_of(first), "the next": array_of(second)}
    inspect("backward: the sum of the gradients of a Tensor", inputs, array_of(total), user_line())


def holds(value: Any, kind: str) -> bool:
    """Whether an array or number has an element that is NaN ("isnan") or infinite ("isinf")."""
    if type(value) in OWNERS:
        return value.dtype.kind == "f" and bool(getattr(OWNERS[type(value)].xp, kind)(value).any())
    return getattr(math, kind)(value) if isinstance(value, float) else False


def describe(value: Any, shape: tuple[int, ...], index: tuple[int, ...]) -> str:
    """An array as its shape, its dtype, its element at `index` if it has that shape, and its range; a number itself."""
    if type(value) not in OWNERS:
        return repr(value)
    text = f"{value.shape} {value.dtype}"
    if value.shape == shape:
        text += f", {value[index].item():g} there"
    if value.size and value.ndim:
        text += f", from {value.min().item():g} to {value.max().item():g}"
    return text


def watched_rules(node: Any, rules: Sequence[Rule | None], output: Any) -> list[Rule | None]:
    """The rules of a node, each with an eye on what it needs and on what it gives. `output` is the node's Tensor."""
    op, names = node.op.name, node.op.arrays
    before = getattr(node, "evidence", None)
    line = before.line if before else "a forward outside detect_anomaly(): put it inside to see the line"
    inputs = named(names, node.inputs)

    def watched(name: str, rule: Rule) -> Rule:
        def watch(g: Any) -> Any:
            if before:
                compare(op, {**inputs, "its result": output}, before)
            try:
                dx = rule(g)
            except AnomalyError as error:  # the rule is itself recorded, and an op in it was blamed
                raise AnomalyError(f"backward of {op} for `{name}`, called in {line}: {error}") from error
            inspect(f"backward of {op}: dL/d{name}", {"dL/dy": array_of(g), **inputs}, array_of(dx), line)
            return dx

        return watch

    return [rule and watched(name, rule) for name, rule in zip(inputs, rules)]


def compare(op: str, arrays: dict[str, Any], before: Evidence) -> None:
    """Raise AnomalyError if one of the arrays has changed since the call."""
    for (name, value), known in zip(arrays.items(), before.hashes):
        if hash_of(value) != known:
            raise AnomalyError(
                f"backward of {op}: the array of `{name}`, of shape {value.shape}, was changed after {op} had used it, "
                "and not through its Tensor, so the gradient would be wrong; change it after backward, or change a "
                f"clone(); {op} was called in {before.line}"
            )
