"""`detect_anomaly`: find the op that produced the first NaN or inf. In torch: `torch.autograd.detect_anomaly`.

The engine does not import this file. `detect_anomaly` installs a monitor for the thread, and the engine
calls it if it is there: after each op, after each VJP, after each sum of gradients.

Checks read every array and wait for the device, so use this for debugging only. When off, the cost is one test per op.
"""

from __future__ import annotations

import linecache
import math
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..backend import LIBRARY_OF_TYPE, as_array, library_of, namespace, unravel
from .grad_mode import Block, monitors
from .graph import VJP, Node

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class AnomalyError(RuntimeError):
    """An op produced NaN or inf, or an array that backward needs was modified; the message names op and line."""


class detect_anomaly(Block):
    """Raise AnomalyError at the first NaN or inf, in a `with` block or a decorated function, for this thread.

    An op is reported, in the forward or the backward pass, if it produces NaN, or produces inf from finite inputs. (An
    infinite input, such as the -inf of a mask, may give an infinite output.) The message names the op, the line that
    called it, shapes and values. An array that was modified between forward and backward is found too, also if it was
    modified outside minigrad, as by `x.numpy()[0] = 1`. Both passes must run inside. It is slow.

    Raises:
        AnomalyError: inside the block, by the op or by backward.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([-1.0, 4.0], requires_grad=True)
        >>> with mg.detect_anomaly():
        ...     y = x.sqrt()
        Traceback (most recent call last):
        minigrad.autograd.anomaly_mode.AnomalyError: sqrt produced nan at [0], ...
    """

    slot = "monitor_block"

    def _open(self, reference: Callable[[], Any]) -> Any:
        """Enter the block."""
        key = id(self)
        monitors[key] = weakref.ref(self, lambda _: monitors.pop(key, None))
        return super()._open(reference)

    # The checks that the engine calls
    @staticmethod
    def user_line() -> str:
        """File, line and text of the code outside minigrad that is running."""
        frame = sys._getframe()
        while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        file, line = frame.f_code.co_filename, frame.f_lineno
        return f"{file}, line {line}: {linecache.getline(file, line).strip()}"

    @staticmethod
    def check_op(op: Any, args: Sequence[Any], output: Any, node: Node | None) -> None:
        """Check the output array of an op; if the call was recorded, keep its call site with the node."""
        line = detect_anomaly.user_line()
        check_output(op.name, by_name(op.array_names, args), output, line)
        if node is not None:
            node.call_site = CallSite(line, [hash_of(value) for value in (*args, output)])

    @staticmethod
    def check_sum(first: Any, second: Any, total: Any) -> None:
        """Check the sum of two gradients of one Tensor for overflow."""
        inputs = {"the first": array_of(first), "the next": array_of(second)}
        what = "backward: the sum of the gradients of a Tensor"
        check_output(what, inputs, array_of(total), detect_anomaly.user_line())

    @staticmethod
    def checked_vjps(node: Node, vjps: Sequence[VJP | None], y: Any) -> list[VJP | None]:
        """The VJPs of a node, each with a check of what it reads and what it returns; y is the node's output."""
        op, names = node.op.name, node.op.array_names
        call = getattr(node, "call_site", None)
        line = call.line if call else "a forward outside detect_anomaly(): put it inside to see the line"
        inputs = by_name(names, node.inputs)

        def checked(name: str, vjp: VJP) -> VJP:
            def check(g: Any) -> Any:
                if call:
                    check_unmodified(op, {**inputs, "its result": y}, call)
                try:
                    dx = vjp(g)
                except AnomalyError as error:  # the VJP is recorded itself, and an op in it was reported
                    raise AnomalyError(f"backward of {op} for `{name}`, called in {line}: {error}") from error
                check_output(f"backward of {op}: dL/d{name}", {"dL/dy": array_of(g), **inputs}, array_of(dx), line)
                return dx

            return check

        return [vjp and checked(name, vjp) for name, vjp in zip(inputs, vjps)]


class CallSite(NamedTuple):
    """What is kept of a call until its backward: the line of the user's program, and a hash of each array."""

    line: str
    hashes: list[int | None]


def array_of(value: Any) -> Any:
    """The array of a Tensor; other values unchanged."""
    return as_array(getattr(value, "array", value))


def hash_of(value: Any) -> int | None:
    """A hash of the elements of a Tensor or array; None for a number."""
    array = array_of(value)
    return hash(library_of(array).to_host(array).tobytes()) if type(array) in LIBRARY_OF_TYPE else None


def by_name(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Arrays and numbers by the names of their arguments; those of a variadic op, such as `cat`, by their position."""
    return {names[i] if i < len(names) else f"argument {i}": array_of(value) for i, value in enumerate(values)}


def check_output(what: str, inputs: dict[str, Any], output: Any, line: str) -> None:
    """Raise AnomalyError if `what` produced NaN, or produced inf from finite inputs."""
    if output.dtype.kind != "f":
        return
    xp = namespace(output)
    kind, bad = "nan", xp.isnan(output)
    if not bad.any():
        kind, bad = "inf", xp.isinf(output)
        if not bad.any() or any(contains(value, "isnan") or contains(value, "isinf") for value in inputs.values()):
            return
    index = unravel(int(bad.argmax()), output.shape)
    given = "; ".join(f"{name}: {describe(value, output.shape, index)}" for name, value in inputs.items())
    verb = "passed on" if any(contains(value, "isnan") for value in inputs.values()) else "produced"
    at = f" at {list(index)}" if index else ""
    raise AnomalyError(
        f"{what} {verb} {kind}{at}, in {int(bad.sum())} of the {output.size} elements of its result {output.shape} "
        f"{output.dtype}; {given}; called in {line}"
    )


def contains(value: Any, kind: str) -> bool:
    """Whether an array or number contains NaN (kind "isnan") or infinity (kind "isinf")."""
    if type(value) in LIBRARY_OF_TYPE:
        return value.dtype.kind == "f" and bool(getattr(namespace(value), kind)(value).any())
    return getattr(math, kind)(value) if isinstance(value, float) else False


def describe(value: Any, shape: tuple[int, ...], index: tuple[int, ...]) -> str:
    """Shape, dtype and range of an array, and its element at `index` if it has that shape; a number as it is."""
    if type(value) not in LIBRARY_OF_TYPE:
        return repr(value)
    text = f"{value.shape} {value.dtype}"
    if value.shape == shape:
        text += f", {value[index].item():g} there"
    if value.size and value.ndim:
        text += f", from {value.min().item():g} to {value.max().item():g}"
    return text


def check_unmodified(op: str, arrays: dict[str, Any], call: CallSite) -> None:
    """Raise AnomalyError if one of the arrays has changed since the call."""
    for (name, value), known in zip(arrays.items(), call.hashes):
        if hash_of(value) != known:
            raise AnomalyError(
                f"backward of {op}: the array of `{name}`, of shape {value.shape}, was modified after {op} had used "
                "it, and not through its Tensor, so the gradient would be wrong; modify it after backward, or modify a "
                f"clone(); {op} was called in {call.line}"
            )
