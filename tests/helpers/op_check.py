"""THE op test: `check_op` checks one call of an op, against torch and against itself.

- The value, the gradient of each argument and the second derivatives agree with torch. The cotangent is random: with
  ones the gradient of softmax is 0, as its rows sum to 1.
- The value agrees with the op's formula in `minigrad.testing.formulas`, except for extreme values.
- With 0, inf and NaN in the cotangent, the gradient has NaN and inf where torch's has them.
- The gradient agrees with finite differences of the value (float64).
- dL/dx is linear in the cotangent g, and <g, J v> = <Jᵀ g, v>, with J v from differentiating Jᵀ g by g.
- Shape, dtype and device are preserved; inputs and cotangent are not modified.
- Gradients are writeable, contiguous (for a non-contiguous argument: dense), and share no memory.
- Nothing is copied from the device, and the same call gives the same bits twice.

**Tolerance.** The reference is computed in float64 or better from the same numbers. With ε the distance from 1 to the
next number of the dtype, n the number of elements that may be summed, and S the largest absolute number among inputs,
cotangent and results (at least 1):

    smooth and tied values, all of order one        8 ε n S
    extreme values, of an op that is `relative`     16 ε |reference| for each element, and 4 smallest numbers
    extreme values of other ops                     as smooth ones, with S over the finite numbers

NaN must be NaN, and infinity the same infinity. If torch's own result in the dtype over- or underflows on the way, that
result is accepted too. For second derivatives, which are made of first ones, the bound is 8 times as wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from helpers.fake_gpu import DEVICES, StrictArray, host_copies
from helpers.strategies import Argument, Case, lay_out
from helpers.torch_reference import REFERENCES, torch

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.backend import LIBRARY_OF_TYPE, Library, library
from minigrad.testing.formulas import FORMULAS

DTYPES = ("float32", "float64")
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -2.0)
OUR_OPS = [name for name, apply in OPS.items() if apply.op.body.__module__.startswith("minigrad.")]


class OpCheckError(AssertionError):
    """An op that fails `check_op`."""


class OpCheck:
    """One call of an op, its references, and the comparison with them."""

    def __init__(self, name: str, backend: str, dtype: str, case: Case) -> None:
        self.name, self.backend, self.dtype, self.case = name, backend, dtype, case
        self.lib: Library = library(DEVICES[backend])
        self.reference = REFERENCES[name]
        self.epsilon = float(np.finfo(dtype).eps)
        self.rng = np.random.default_rng(case.seed + 1)
        self.arrays = [a for a in case.arguments if isinstance(a, Argument)]
        self.scale = max([1.0, *(largest(a.host) for a in self.arrays if a.host.dtype != bool)])
        self.terms = max([1, *(a.host.size for a in self.arrays)])

    def fail(self, message: str) -> None:
        raise OpCheckError(f"op {self.name}, backend {self.backend}, {self.dtype}: {message}\n{self.case.describe()}")

    def require(self, condition: Any, message: str) -> None:
        if not condition:
            self.fail(message)

    def host(self, array: Any) -> np.ndarray:
        return LIBRARY_OF_TYPE[type(array)].to_host(array)

    # The call
    def arguments(self, arrays: Sequence[Any]) -> list[Any]:
        """The arguments of the case, with `arrays` instead of its own arrays."""
        rest = iter(arrays)
        return [next(rest) if isinstance(a, Argument) else a for a in self.case.arguments]

    def call(self, leaves: Sequence[Any]) -> mg.Tensor:
        return OPS[self.name](*self.arguments(leaves), **on_device(self.case.options, self.lib))

    def leaves(self, grads: bool = True) -> list[mg.Tensor]:
        """New Tensors of the arrays; the differentiable ones require a gradient."""
        leaves = [mg.Tensor(a.view(self.lib.from_host(a.base.copy()))) for a in self.arrays]
        for leaf, differentiable in zip(leaves, self.differentiable() if grads else []):
            leaf.requires_grad_(differentiable)
        return leaves

    def differentiable(self) -> list[bool]:
        """For each array whether the op has a VJP for it."""
        if not hasattr(self, "_differentiable"):
            args = self.arguments([leaf.array for leaf in self.leaves(grads=False)])
            with np.errstate(all="ignore"):
                _, vjps = OPS[self.name].op.body(self.lib.xp, *args, **on_device(self.case.options, self.lib))
            has_vjp = [vjp is not None for vjp, a in zip(vjps, self.case.arguments) if isinstance(a, Argument)]
            self._differentiable = has_vjp or [False] * len(self.arrays)
        return self._differentiable

    @contextmanager
    def no_host_copies(self, action: str) -> Iterator[None]:
        """Fail if arrays are copied to the host meanwhile (the strict device counts the copies)."""
        before = host_copies()
        yield
        if "device" not in self.case.options:
            copies = host_copies() - before
            self.require(copies == 0, f"{action} made {copies} copies from the device to the host")

    # The references
    def by_formula(self) -> np.ndarray | None:
        """The value by the op's formula in extended precision; None in the cases for which it is not made."""
        options = dict(self.case.options)
        if self.name == "clip":
            options = {name: bound for name, bound in options.items() if bound is not None}
        general = {
            "clip": options.get("min", -np.inf) <= options.get("max", np.inf),
            "div_rounded": all(np.all(x != 0) for x in self.arguments([a.host for a in self.arrays])),
            "flatten": self.arrays[0].host.ndim > 0,
            "squeeze": options.get("dim") is None,
        }
        if self.case.kind == "extreme" or 0 in [a.host.size for a in self.arrays] or not general.get(self.name, True):
            return None
        precise = [a.host if a.host.dtype == bool else a.host.astype(np.longdouble) for a in self.arrays]
        with np.errstate(all="ignore"):
            return np.asarray(FORMULAS[self.name].value(np, *self.arguments(precise), **options))

    def by_torch(self, dtype: str, g: Argument | None = None, directions: Sequence[np.ndarray] = ()) -> dict[str, Any]:
        """The value; with g the gradients; with directions v the second derivatives, those of Σ <gradient, v>."""
        leaves = []
        for a, differentiable in zip(self.arrays, self.differentiable()):
            host = a.host if a.host.dtype == bool else a.host.astype(dtype)
            leaves.append(torch.tensor(np.array(host, order="C"), requires_grad=differentiable))
        y = self.reference.torch(*self.arguments(leaves), **self.case.options)
        found: dict[str, Any] = {"value": y.detach().numpy()}
        inputs = [leaf for leaf in leaves if leaf.requires_grad]
        if g is None or not inputs:
            return found
        second_order = bool(directions)
        cotangent = torch.tensor(np.array(g.host, order="C")).to(y.dtype).requires_grad_(second_order)
        grads = torch.autograd.grad(y, inputs, cotangent, create_graph=second_order)
        found["gradients"] = [d.detach().numpy(force=True) for d in grads]
        if second_order:
            total = sum((d * torch.tensor(v, dtype=d.dtype)).sum() for d, v in zip(grads, directions))
            second = torch.autograd.grad(total, [*inputs, cotangent], allow_unused=True)
            found["second"] = [
                np.zeros(tuple(leaf.shape)) if d is None else d.detach().numpy(force=True)
                for d, leaf in zip(second, [*inputs, cotangent])
            ]
        return found

    def by_torch_in_dtype(self, g: Argument | None = None) -> dict[str, Any] | None:
        """torch's results in the dtype itself: for extreme values in float32 they are accepted too."""
        if torch is None or self.case.kind != "extreme" or self.dtype == "float64":
            return None
        return self.by_torch(self.dtype, g)

    # The comparison
    def close(self, name: str, actual: Any, expected: np.ndarray, accepted: Any = None, slack: float = 1.0) -> None:
        """Fail unless the error is within the tolerance; elements that equal those of `accepted` pass too."""
        expected = np.asarray(expected)
        if actual.shape != expected.shape:
            self.fail(f"{name} has shape {actual.shape}, expected {expected.shape}")
        if expected.dtype.kind != "f":
            if not np.array_equal(actual, expected):
                self.fail(f"{name} is\n{actual}\nexpected\n{expected}")
            return
        with np.errstate(all="ignore"):
            expected = expected.astype(self.dtype).astype("float64")
            given = actual.astype("float64")
            if self.case.kind == "extreme" and self.reference.relative:
                bound = 16 * self.epsilon * np.abs(expected) + 4 * float(np.finfo(self.dtype).smallest_subnormal)
            else:
                scale = max(self.scale, largest(expected))
                bound = 8 * self.epsilon * self.terms * scale * slack
            same = (given == expected) | (np.isnan(given) & np.isnan(expected))
            good = same | (np.isfinite(given) & np.isfinite(expected) & (np.abs(given - expected) <= bound))
            if accepted is not None:
                accepted = np.asarray(accepted).astype("float64")
                good |= (given == accepted) | (np.isnan(given) & np.isnan(accepted))
        if not good.all():
            at = tuple(int(i) for i in np.argwhere(~good)[0])
            self.fail(
                f"{name} at {list(at)} is {actual[at]!r}, expected {expected[at]!r} "
                f"({(~good).sum()} of {good.size} wrong)\nall of it:\n{actual}\nexpected:\n{expected}"
            )


# Arrays
def text(array: np.ndarray) -> str:
    """The elements in one line."""
    return np.array2string(array, max_line_width=10**6, threshold=100, separator=", ").replace("\n", "")


def largest(array: np.ndarray) -> float:
    """The largest finite absolute value."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def on_device(options: Any, lib: Library) -> Any:
    """Options with their arrays (positions, masks) on the device."""
    if isinstance(options, dict):
        return {name: on_device(value, lib) for name, value in options.items()}
    if isinstance(options, tuple):
        return tuple(on_device(value, lib) for value in options)
    return lib.from_host(options) if isinstance(options, np.ndarray) else options


def host_memory(array: Any) -> Any:
    """The NumPy array that holds the elements of an array of the strict device."""
    return array.host if isinstance(array, StrictArray) else array


def is_dense(array: Any) -> bool:
    """Whether the elements fill one piece of memory, in any order of the axes."""
    return array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis])).flags.c_contiguous


def is_writeable(array: Any) -> bool:
    memory = host_memory(array)
    return not isinstance(memory, np.ndarray) or memory.flags.writeable


def share_memory(a: Any, b: Any) -> bool:
    """Whether two arrays of one library share memory."""
    if type(a) is not type(b):
        return False
    if isinstance(host_memory(a), np.ndarray):
        return bool(np.shares_memory(host_memory(a), host_memory(b)))
    ranges = sorted((x.data.ptr, x.data.ptr + x.nbytes) for x in (a, b))  # CuPy
    return bool(a.size and b.size and ranges[0][1] > ranges[1][0])


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def cotangent_tensor(y: mg.Tensor, g: Argument) -> mg.Tensor:
    """The cotangent as a Tensor on the device of y."""
    return mg.Tensor(g.view(library(y.device).from_host(g.base.copy())))


# The checks
def check_op(name: str, backend: str, dtype: str, case: Case) -> None:
    """Raise OpCheckError if the op fails one of the checks at the top of this file."""
    check = OpCheck(name, backend, dtype, case)
    leaves = check.leaves()
    inputs = [leaf for leaf in leaves if leaf.requires_grad]
    names = [a.name for a, leaf in zip(check.arrays, leaves) if leaf.requires_grad]
    with check.no_host_copies("computing the value"):
        y = check.call(leaves)
    value = check_value(check, y)
    check.require(bool(inputs) == check.reference.gradient, f"the arguments with a gradient are {names}")
    if inputs:
        g = draw_cotangent(check, y)
        grads = check_gradient(check, leaves, y, g)
        if case.kind != "extreme" and value.dtype == dtype and np.isfinite(value).all():
            check_special_cotangent(check, names)
            check_linear(check, inputs, names, y, g, grads)
            directions = [np.asarray(check.rng.standard_normal(leaf.shape)) for leaf in inputs]
            check_second(check, names, g, grads, directions)
            if case.kind == "smooth" and dtype == "float64":
                check_differences(check, grads, g, directions)
    check_inputs(check, leaves)
    check_repeats(check, value, *((g, grads) if inputs else (None, [])))


def check_value(check: OpCheck, y: mg.Tensor) -> np.ndarray:
    """The value: its device, its dtype, and its numbers."""
    options = check.case.options
    device = options.get("device", check.lib.device)
    check.require(
        type(y.array) is library(device).array,
        f"the value is a {type(y.array).__name__}, expected an array on {device}",
    )
    value = check.host(y.array)
    dtype = options.get("dtype", check.dtype)
    if value.dtype.kind == "f":
        check.require(value.dtype == dtype, f"the value has dtype {value.dtype}, expected {dtype}")
    check.epsilon = max(check.epsilon, float(np.finfo(value.dtype).eps)) if value.dtype.kind == "f" else 0.0
    if torch is not None:
        expected = check.by_torch("float64")["value"]
        check.require(
            expected.dtype.kind == value.dtype.kind,
            f"the value has dtype {value.dtype}, expected one such as {expected.dtype}",
        )
        accepted = check.by_torch_in_dtype()
        check.close("the value", value, expected, accepted and accepted["value"])
    formula = check.by_formula()
    if formula is not None:
        check.close("the value, compared with its formula,", value.astype(formula.dtype), formula)
    if value.dtype.kind == "f":
        check.scale = max(check.scale, largest(value))
    return value


def draw_cotangent(check: OpCheck, y: mg.Tensor) -> Argument:
    """A random dL/dy, sometimes in a layout that is not contiguous."""
    values = np.asarray(check.rng.standard_normal(y.shape)).astype(y.dtype)
    layouts = ("contiguous", "contiguous", "transposed", "every second")
    g = lay_out("gradient", values, check.rng.choice(layouts) if y.ndim else "contiguous")
    check.scale = max(check.scale, largest(values))
    check.terms = max(check.terms, values.size)
    return g


def check_gradient(check: OpCheck, leaves: list[mg.Tensor], y: mg.Tensor, g: Argument) -> list[np.ndarray]:
    """The gradients: their numbers, dtype and layout, and memory of their own; g is not modified; no host copies."""
    inputs = [leaf for leaf in leaves if leaf.requires_grad]
    names = [a.name for a, leaf in zip(check.arrays, leaves) if leaf.requires_grad]
    cotangent = cotangent_tensor(y, g)
    with check.no_host_copies("backward"):
        y.backward(cotangent, retain_graph=True)
    for name, leaf in zip(names, inputs):
        check.require(leaf.grad is not None, f"no gradient for {name}")
        array = leaf.grad.array
        check.require(type(array) is check.lib.array, f"the gradient of {name} is a {type(array).__name__}")
        check.require(
            (array.shape, array.dtype) == (leaf.shape, leaf.dtype),
            f"the gradient of {name} is {array.shape} {array.dtype}, expected {leaf.shape} {leaf.dtype}",
        )
        check.require(
            array.flags.c_contiguous if leaf.array.flags.c_contiguous else is_dense(array),
            f"the gradient of {name} is not contiguous",
        )
        check.require(is_writeable(array), f"the gradient of {name} is read-only")
    parts = [(f"the gradient of {name}", leaf.grad.array) for name, leaf in zip(names, inputs)]
    others = [(f"the input {a.name}", leaf.array) for a, leaf in zip(check.arrays, leaves)]
    others += [("the cotangent", cotangent.array), ("the value", y.array)]
    for i, (name, array) in enumerate(parts):
        for other_name, other in parts[:i] + others:
            check.require(not share_memory(array, other), f"{name} shares memory with {other_name}")
    check.require(same_bits(check.host(cotangent.array), np.array(g.host, order="C")), "the cotangent was modified")
    grads = [check.host(leaf.grad.array) for leaf in inputs]
    if torch is not None:
        expected = check.by_torch("float64", g)["gradients"]
        accepted = check.by_torch_in_dtype(g)
        for i, name in enumerate(names):
            description = f"the gradient of {name}, with cotangent {text(g.host)},"
            check.close(description, grads[i], expected[i], accepted and accepted["gradients"][i])
    return grads


def check_special_cotangent(check: OpCheck, names: list[str]) -> None:
    """0, inf and NaN in the cotangent: each reaches the elements of the gradients that it reaches in torch.

    A VJP that multiplies by a mask instead of selecting makes NaN of inf · 0. A few of torch's do, so where the op is
    marked `torch_multiplies`, the NaN of torch are not compared.
    """
    if torch is None:
        return
    leaves = check.leaves()
    y = check.call(leaves)
    g = lay_out("gradient", check.rng.choice(SPECIAL, y.shape).astype(y.dtype), "contiguous")
    y.backward(cotangent_tensor(y, g))
    grads = [check.host(leaf.grad.array) for leaf in leaves if leaf.requires_grad]
    for name, grad, expected in zip(names, grads, check.by_torch("float64", g)["gradients"]):
        if check.reference.torch_multiplies:
            expected = np.where(np.isnan(expected), grad, expected)
        check.close(f"the gradient of {name}, with cotangent {text(g.host)},", grad, expected)


def check_linear(
    check: OpCheck, inputs: list[mg.Tensor], names: list[str], y: mg.Tensor, g: Argument, grads: list[np.ndarray]
) -> None:
    """dL/dx for 2 g + h is twice that for g plus that for h, by more backward passes over the same graph."""
    h = lay_out("gradient", np.asarray(check.rng.standard_normal(y.shape)).astype(y.dtype), "contiguous")
    both = lay_out("gradient", 2 * g.host + h.host, "contiguous")
    for_h = mg.grad(y, inputs, cotangent_tensor(y, h), retain_graph=True)
    for_both = mg.grad(y, inputs, cotangent_tensor(y, both))
    for name, grad, one, two in zip(names, grads, for_h, for_both):
        expected = 2 * grad.astype("float64") + check.host(one.array)
        description = f"the gradient of {name} is not linear in the cotangent: that for 2 g + h"
        check.close(description, check.host(two.array), expected, slack=8)


def check_second(
    check: OpCheck, names: list[str], g: Argument, grads: list[np.ndarray], directions: list[np.ndarray]
) -> None:
    """The gradients of Σ <dL/dx, v> by x and by g. That by g is J v, so <g, J v> = <dL/dx, v>."""
    leaves = check.leaves()
    inputs = [leaf for leaf in leaves if leaf.requires_grad]
    y = check.call(leaves)
    cotangent = cotangent_tensor(y, g).requires_grad_()
    first = mg.grad(y, inputs, cotangent, create_graph=True)
    for name, d, grad in zip(names, first, grads):
        check.close(f"the gradient of {name} with create_graph", check.host(d.array), grad)
    total = sum((d * mg.Tensor(check.lib.from_host(v.astype(d.dtype)))).sum() for d, v in zip(first, directions))
    second = mg.grad(total, [*inputs, cotangent], allow_unused=True)
    second = [
        np.zeros(leaf.shape) if d is None else check.host(d.array) for d, leaf in zip(second, [*inputs, cotangent])
    ]
    forward = float((g.host.astype("float64") * second[-1]).sum())
    backward = sum(float((grad.astype("float64") * v).sum()) for grad, v in zip(grads, directions))
    bound = 64 * check.epsilon * check.terms * check.scale * max(1, *(largest(v) for v in (*directions, *grads)))
    check.require(
        abs(forward - backward) <= bound, f"<g, J v> = {forward}, but <dL/dx, v> = {backward}; tolerance {bound}"
    )
    if torch is not None:
        expected = check.by_torch("float64", g, [v.astype(check.dtype).astype("float64") for v in directions])["second"]
        for name, d, exact in zip([*names, "the cotangent"], second, expected):
            check.close(f"the second derivative by {name}", d, exact, slack=8 * max(1, largest(exact)))


def check_differences(check: OpCheck, grads: list[np.ndarray], g: Argument, directions: list[np.ndarray]) -> None:
    """<dL/dx, v> is the central difference of L = <g, y(x + h v)>.

    The difference between the steps h and 2h is three times the error of h, so it is the bound, plus the rounding.
    """
    hosts = [check.host(leaf.array) for leaf in check.leaves()]
    differentiable = check.differentiable()
    peak = max([1.0, *(largest(v) for v in directions)])

    def loss(step: float) -> float:
        moved, rest = [], iter(directions)
        for host, moves in zip(hosts, differentiable):
            moved.append(mg.Tensor(check.lib.from_host(np.asarray(host + step * next(rest) if moves else host))))
        with mg.no_grad():
            return float((check.host(check.call(moved).array) * g.host).sum())

    h = 2.0**-15 / peak
    fine, coarse = ((loss(step) - loss(-step)) / (2 * step) for step in (h, 2 * h))
    exact = sum(float((grad * v).sum()) for grad, v in zip(grads, directions))
    noise = 16 * check.epsilon * check.scale * largest(g.host) * g.host.size / h
    check.require(
        abs(fine - exact) <= abs(fine - coarse) + noise,
        f"<dL/dx, v> = {exact}, but by finite differences {fine} (step {h}) and {coarse} (step {2 * h}), "
        f"with v = {directions}",
    )


def check_inputs(check: OpCheck, leaves: list[mg.Tensor]) -> None:
    for a, leaf in zip(check.arrays, leaves):
        check.require(
            same_bits(check.host(leaf.array), np.array(a.host, order="C")), f"the input {a.name} was modified"
        )


def check_repeats(check: OpCheck, value: np.ndarray, g: Argument | None, grads: list[np.ndarray]) -> None:
    """The same call again gives the same bits, forward and backward."""
    leaves = check.leaves()
    y = check.call(leaves)
    check.require(same_bits(check.host(y.array), value), "the same call gave another value")
    if g is not None:
        y.backward(cotangent_tensor(y, g))
        for leaf, grad in zip((leaf for leaf in leaves if leaf.requires_grad), grads):
            check.require(same_bits(check.host(leaf.grad.array), grad), "the same call gave another gradient")
