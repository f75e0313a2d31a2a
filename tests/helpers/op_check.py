"""THE op test: every op in OPS, on every backend, in float32 and float64, against torch and against itself.

`check_op` is all that is asked of one call of an op:

- value, gradient of each argument and second derivatives agree with torch (with a random cotangent: one of ones is
  blind to softmax, whose rows sum to 1);
- the gradient agrees with finite differences of the value (float64);
- dL/dx is linear in the cotangent g, and <g, J v> = <Jᵀ g, v>, where J v comes from differentiating Jᵀ g by g;
- shape, dtype and device are kept; inputs and cotangent stay as they were, bit for bit;
- gradients are writeable, contiguous (of an argument that is not: without gaps) and share memory with nothing;
- nothing leaves the device, and the same call gives the same bits twice.

Without torch all but the comparisons with it are made.

How large an error may be. The reference is computed by torch in float64 from the very same numbers. With ε the distance
from 1 to the next number of the dtype, n the number of elements that may be summed, and S the largest absolute number
among inputs, cotangent and results (at least 1):

    smooth and tied values, all of order one:    8 ε n S
    extreme values, of an op that says it is `relative`:    16 ε |reference| for each element, and 4 smallest numbers
    extreme values of any other op:    as smooth ones, S taken over what is finite

NaN must be NaN and infinity the same infinity. Where torch's own result in the dtype over- or underflows on the way,
that result will do as well. For second derivatives, which are made of first ones, the bound is 8 times as wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from conftest import DEVICES
from helpers.fake_gpu import StrictArray, host_copies
from helpers.strategies import Argument, Case, lay_out
from helpers.torch_reference import REFERENCES, torch

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.backend import LIBRARY_OF_TYPE, Library, library

DTYPES = ("float32", "float64")
OUR_OPS = [name for name, apply in OPS.items() if apply.op.body.__module__.startswith("minigrad.")]


class Wrong(AssertionError):
    """An op that does not do what check_op asks."""


class Check:
    """One call of an op under check: what is compared, how closely, and how a failure is told."""

    def __init__(self, name: str, backend: str, dtype: str, case: Case) -> None:
        self.name, self.backend, self.dtype, self.case = name, backend, dtype, case
        self.lib: Library = library(DEVICES[backend])
        self.reference = REFERENCES[name]
        self.epsilon = float(np.finfo(dtype).eps)
        self.rng = np.random.default_rng(case.seed + 1)
        self.arrays = [a for a in case.arguments if isinstance(a, Argument)]
        self.scale = max([1.0, *(largest(a.host) for a in self.arrays if a.host.dtype != bool)])
        self.terms = max([1, *(a.host.size for a in self.arrays)])

    def fail(self, what: str) -> None:
        raise Wrong(f"op {self.name}, backend {self.backend}, {self.dtype}: {what}\n{self.case.describe()}")

    def require(self, condition: Any, what: str) -> None:
        if not condition:
            self.fail(what)

    def host(self, array: Any) -> np.ndarray:
        return library(owner_of(array)).to_host(array)

    def call(self, leaves: Sequence[Any], lib: Library | None = None) -> mg.Tensor:
        """The op of the leaves, with the numbers and options of the case in their places."""
        rest = iter(leaves)
        args = [next(rest) if isinstance(a, Argument) else a for a in self.case.arguments]
        return OPS[self.name](*args, **on_device(self.case.options, lib or self.lib))

    def leaves(self, grads: bool = True) -> list[mg.Tensor]:
        """Fresh Tensors of the arguments; all that are floating require a gradient."""
        leaves = [mg.Tensor(a.view(self.lib.from_host(a.base.copy()))) for a in self.arrays]
        for leaf, differentiable in zip(leaves, self.differentiable() if grads else []):
            leaf.requires_grad_(differentiable)
        return leaves

    def differentiable(self) -> list[bool]:
        """For each array whether the op is differentiable with respect to it."""
        if not hasattr(self, "_differentiable"):
            leaves = iter(self.leaves(grads=False))
            args = [next(leaves).array if isinstance(a, Argument) else a for a in self.case.arguments]
            with np.errstate(all="ignore"):
                _, vjps = OPS[self.name].op.body(self.lib.xp, *args, **on_device(self.case.options, self.lib))
            found = [vjp is not None for vjp, a in zip(vjps, self.case.arguments) if isinstance(a, Argument)]
            self._differentiable = found or [False] * len(self.arrays)
        return self._differentiable

    @contextmanager
    def staying_on_device(self, doing: str) -> Iterator[None]:
        """Fail if a copy to the host is made meanwhile (the strict device counts them)."""
        before = host_copies()
        yield
        if "device" not in self.case.options:
            self.require(
                host_copies() == before, f"{doing} made {host_copies() - before} copies from the device to the host"
            )

    # Comparison
    def close(self, what: str, actual: Any, expected: np.ndarray, torch_says: Any = None, slack: float = 1.0) -> None:
        """Fail unless the error is within the bound of this file's docstring."""
        expected = np.asarray(expected)
        if actual.shape != expected.shape:
            self.fail(f"{what} has shape {actual.shape}, expected {expected.shape}")
        if expected.dtype.kind != "f":
            if not np.array_equal(actual, expected):
                self.fail(f"{what} is\n{actual}\nexpected\n{expected}")
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
            if torch_says is not None:
                torch_says = np.asarray(torch_says).astype("float64")
                good |= (given == torch_says) | (np.isnan(given) & np.isnan(torch_says))
        if not good.all():
            at = tuple(int(i) for i in np.argwhere(~good)[0])
            self.fail(
                f"{what} at {list(at)} is {actual[at]!r}, expected {expected[at]!r} "
                f"({(~good).sum()} of {good.size} wrong)\nall of it:\n{actual}\nexpected:\n{expected}"
            )

    # What torch says
    def by_torch(self, dtype: str, g: Argument | None, others: Sequence[np.ndarray]) -> dict[str, Any]:
        """Value, gradients, and second derivatives of Σ <gradient, v> where the directions v are given, in a dtype."""
        leaves = []
        for a, differentiable in zip(self.arrays, self.differentiable()):
            host = a.host if a.host.dtype == bool else a.host.astype(dtype)
            leaves.append(torch.tensor(np.array(host, order="C"), requires_grad=differentiable))
        rest = iter(leaves)
        args = [next(rest) if isinstance(a, Argument) else a for a in self.case.arguments]
        y = self.reference.torch(*args, **self.case.options)
        found: dict[str, Any] = {"value": y.detach().numpy()}
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        if g is None or not wanted:
            return found
        cotangent = torch.tensor(np.array(g.host, order="C")).to(y.dtype).requires_grad_(bool(others))
        grads = torch.autograd.grad(y, wanted, cotangent, create_graph=bool(others))
        found["gradients"] = [d.detach().numpy(force=True) for d in grads]
        if others:
            total = sum((d * torch.tensor(v, dtype=d.dtype)).sum() for d, v in zip(grads, others))
            second = torch.autograd.grad(total, [*wanted, cotangent], allow_unused=True)
            found["second"] = [
                np.zeros(tuple(leaf.shape)) if d is None else d.detach().numpy(force=True)
                for d, leaf in zip(second, [*wanted, cotangent])
            ]
        return found


def largest(array: np.ndarray) -> float:
    """The largest finite absolute value."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def owner_of(array: Any) -> Any:
    return LIBRARY_OF_TYPE[type(array)].device


def on_device(options: Any, lib: Library) -> Any:
    """Options with their arrays (positions, masks) on the device."""
    if isinstance(options, dict):
        return {name: on_device(value, lib) for name, value in options.items()}
    if isinstance(options, tuple):
        return tuple(on_device(value, lib) for value in options)
    return lib.from_host(options) if isinstance(options, np.ndarray) else options


def memory(array: Any) -> Any:
    """What np.shares_memory can look at."""
    return array.host if isinstance(array, StrictArray) else array


def dense(array: Any) -> bool:
    """Whether the elements fill one piece of memory, in whatever order of the axes."""
    return array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis])).flags.c_contiguous


def writeable(array: Any) -> bool:
    return not isinstance(memory(array), np.ndarray) or memory(array).flags.writeable


def share(a: Any, b: Any) -> bool:
    """Whether two arrays of one library share memory."""
    if type(a) is not type(b):
        return False
    if isinstance(memory(a), np.ndarray):
        return bool(np.shares_memory(memory(a), memory(b)))
    ranges = sorted((x.data.ptr, x.data.ptr + x.nbytes) for x in (a, b))  # CuPy
    return bool(a.size and b.size and ranges[0][1] > ranges[1][0])


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check_op(name: str, backend: str, dtype: str, case: Case) -> None:
    """Fail unless the op does, in this case, all that the docstring of this file says."""
    check = Check(name, backend, dtype, case)
    leaves = check.leaves()
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    names = [a.name for a, leaf in zip(check.arrays, leaves) if leaf.requires_grad]
    with check.staying_on_device("computing the value"):
        y = check.call(leaves)
    value = check_value(check, y)
    check.require(bool(wanted) == check.reference.gradient, f"{len(wanted)} arguments have a gradient")
    if wanted:
        g = cotangent(check, y)
        grads = check_gradient(check, leaves, y, g)
        if case.kind != "extreme" and value.dtype == dtype and np.isfinite(value).all():
            check_linear(check, wanted, names, y, g, grads)
            directions = [np.asarray(check.rng.standard_normal(leaf.shape)) for leaf in wanted]
            check_second(check, wanted, names, g, grads, directions)
            if case.kind == "smooth" and dtype == "float64":
                check_differences(check, wanted, grads, g, directions)
    check_inputs(check, leaves)
    check_repeats(check, value, *((g, grads) if wanted else (None, [])))


def check_value(check: Check, y: mg.Tensor) -> np.ndarray:
    """The value: its device, its dtype, and as torch computes it."""
    options = check.case.options
    device = options.get("device", check.lib.device)
    check.require(
        type(y.array) is library(device).array,
        f"the value is a {type(y.array).__name__}, expected an array on {device}",
    )
    value = check.host(y.array)
    expected = options.get("dtype", check.dtype)
    if value.dtype.kind == "f":
        check.require(value.dtype == expected, f"the value has dtype {value.dtype}, expected {expected}")
    if torch is not None:
        exact = check.by_torch("float64", None, ())["value"]
        check.require(
            exact.dtype.kind == value.dtype.kind,
            f"the value has dtype {value.dtype}, expected one such as {exact.dtype}",
        )
        check.epsilon = max(check.epsilon, float(np.finfo(value.dtype).eps)) if value.dtype.kind == "f" else 0.0
        check.close("the value", value, exact, in_dtype(check, None))
    if value.dtype.kind == "f":
        check.scale = max(check.scale, largest(value))
    return value


def in_dtype(check: Check, g: Argument | None) -> Any:
    """What torch gets in the dtype itself: it counts where numbers are extreme."""
    if check.case.kind != "extreme" or check.dtype == "float64":
        return None if g is None else [None] * len(check.arrays)
    found = check.by_torch(check.dtype, g, ())
    return found["value"] if g is None else found["gradients"]


def cotangent(check: Check, y: mg.Tensor) -> Argument:
    """A random dL/dy, at times in a layout that is not contiguous."""
    values = np.asarray(check.rng.standard_normal(y.shape)).astype(y.dtype)
    layout = check.rng.choice(("plain", "plain", "transposed", "every second")) if y.ndim else "plain"
    g = lay_out("gradient", values, layout)
    check.scale = max(check.scale, largest(values))
    check.terms = max(check.terms, values.size)
    return g


def on(y: mg.Tensor, g: Argument) -> mg.Tensor:
    """The cotangent as a Tensor, beside y."""
    return mg.Tensor(g.view(library(y.device).from_host(g.base.copy())))


def check_gradient(check: Check, leaves: list[mg.Tensor], y: mg.Tensor, g: Argument) -> list[np.ndarray]:
    """The gradients: as torch computes them, in memory of their own; the cotangent untouched; no copy to the host."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    names = [a.name for a, leaf in zip(check.arrays, leaves) if leaf.requires_grad]
    seed = on(y, g)
    with check.staying_on_device("backward"):
        y.backward(seed, retain_graph=True)
    for name, leaf in zip(names, wanted):
        check.require(leaf.grad is not None, f"no gradient for {name}")
        array = leaf.grad.array
        check.require(type(array) is check.lib.array, f"the gradient of {name} is a {type(array).__name__}")
        check.require(
            (array.shape, array.dtype) == (leaf.shape, leaf.dtype),
            f"the gradient of {name} is {array.shape} {array.dtype}, expected {leaf.shape} {leaf.dtype}",
        )
        check.require(
            array.flags.c_contiguous if leaf.array.flags.c_contiguous else dense(array),
            f"the gradient of {name} is not contiguous",
        )
        check.require(writeable(array), f"the gradient of {name} is read-only")
    parts = [(f"the gradient of {name}", leaf.grad.array) for name, leaf in zip(names, wanted)]
    others = [(f"the input {a.name}", leaf.array) for a, leaf in zip(check.arrays, leaves)]
    others += [("the cotangent", seed.array), ("the value", y.array)]
    for i, (what, array) in enumerate(parts):
        for other, memory_of in parts[:i] + others:
            check.require(not share(array, memory_of), f"{what} shares memory with {other}")
    check.require(same_bits(check.host(seed.array), np.array(g.host, order="C")), "the cotangent was changed")
    grads = [check.host(leaf.grad.array) for leaf in wanted]
    if torch is not None:
        exact = check.by_torch("float64", g, ())["gradients"]
        for name, grad, expected, torch_says in zip(names, grads, exact, in_dtype(check, g)):
            check.close(f"the gradient of {name}, with cotangent {g.host.tolist()},", grad, expected, torch_says)
    return grads


def check_linear(
    check: Check, wanted: list[mg.Tensor], names: list[str], y: mg.Tensor, g: Argument, grads: list[np.ndarray]
) -> None:
    """dL/dx of 2 g + h is twice that of g and that of h: the same graph walked again, and again."""
    h = lay_out("gradient", np.asarray(check.rng.standard_normal(y.shape)).astype(y.dtype), "plain")
    both = lay_out("gradient", 2 * g.host + h.host, "plain")
    of_h = mg.grad(y, wanted, on(y, h), retain_graph=True)
    of_both = mg.grad(y, wanted, on(y, both))
    for name, grad, one, two in zip(names, grads, of_h, of_both):
        expected = 2 * grad.astype("float64") + check.host(one.array)
        what = f"the gradient of {name} is not linear in the cotangent: that of 2 g + h"
        check.close(what, check.host(two.array), expected, slack=8)


def check_second(
    check: Check,
    wanted: list[mg.Tensor],
    names: list[str],
    g: Argument,
    grads: list[np.ndarray],
    directions: list[np.ndarray],
) -> None:
    """Gradients of Σ <dL/dx, v> by x and by g: as torch computes them; that by g is J v, so <g, J v> = <dL/dx, v>."""
    leaves = check.leaves()
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    y = check.call(leaves)
    seed = on(y, g).requires_grad_()
    first = mg.grad(y, wanted, seed, create_graph=True)
    for name, d, grad in zip(names, first, grads):
        check.close(f"the gradient of {name} with create_graph", check.host(d.array), grad)
    total = sum((d * mg.Tensor(check.lib.from_host(v.astype(d.dtype)))).sum() for d, v in zip(first, directions))
    second = mg.grad(total, [*wanted, seed], allow_unused=True)
    second = [np.zeros(leaf.shape) if d is None else check.host(d.array) for d, leaf in zip(second, [*wanted, seed])]
    forward = float((g.host.astype("float64") * second[-1]).sum())
    backward = sum(float((grad.astype("float64") * v).sum()) for grad, v in zip(grads, directions))
    bound = 64 * check.epsilon * check.terms * check.scale * max(1, *(largest(v) for v in (*directions, *grads)))
    check.require(
        abs(forward - backward) <= bound, f"<g, J v> = {forward}, but <dL/dx, v> = {backward} (may differ by {bound})"
    )
    if torch is not None:
        exact = check.by_torch("float64", g, [v.astype(check.dtype).astype("float64") for v in directions])["second"]
        for name, d, expected in zip([*names, "the cotangent"], second, exact):
            check.close(f"the second derivative by {name}", d, expected, slack=8 * max(1, largest(expected)))


def check_differences(
    check: Check, wanted: list[mg.Tensor], grads: list[np.ndarray], g: Argument, directions: list[np.ndarray]
) -> None:
    """<dL/dx, v> as the difference quotient of L = <g, y(x + h v)>, with steps h and 2h.

    The difference of the two quotients is three times the error of the finer one, so it is the bound; beside it what
    rounding does to a quotient.
    """
    host_leaves = [check.host(leaf.array) for leaf in check.leaves()]
    differentiable = check.differentiable()
    peak = max([1.0, *(largest(v) for v in directions)])

    def loss(step: float) -> float:
        moved, rest = [], iter(directions)
        for host, moves in zip(host_leaves, differentiable):
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


def check_inputs(check: Check, leaves: list[mg.Tensor]) -> None:
    for a, leaf in zip(check.arrays, leaves):
        check.require(same_bits(check.host(leaf.array), np.array(a.host, order="C")), f"the input {a.name} was changed")


def check_repeats(check: Check, value: np.ndarray, g: Argument | None, grads: list[np.ndarray]) -> None:
    """The same call again gives the same bits, forward and backward."""
    leaves = check.leaves()
    y = check.call(leaves)
    check.require(same_bits(check.host(y.array), value), "the same call gave another value")
    if g is not None:
        y.backward(on(y, g))
        for leaf, grad in zip((leaf for leaf in leaves if leaf.requires_grad), grads):
            check.require(same_bits(check.host(leaf.grad.array), grad), "the same call gave another gradient")
