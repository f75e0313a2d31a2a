"""Mutation testing of the op test: faults planted in every op, each of which `check_op` must detect.

A mutation wraps the body of an op, so the rest of minigrad runs unchanged. With --kill-matrix this file prints
op x mutation: the number of the case that detected it, or LIVE. At the end are wrong formulas that other engines have
shipped.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import numpy as np
import pytest
import test_dims
import test_indexing
from helpers import op_check
from helpers.fake_gpu import DEVICES
from helpers.op_check import OUR_OPS, OpCheckError, check_op
from helpers.strategies import Case, cases
from helpers.torch_reference import REFERENCES
from hypothesis import HealthCheck, Phase, given, settings
from test_ops import test_op as check_op_by_name

import minigrad as mg
from minigrad.autograd import methods
from minigrad.autograd import op as op_module
from minigrad.autograd import tensor as tensor_module
from minigrad.autograd.indexing import index_part
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import Op, op, tensor_namespace
from minigrad.backend import library
from minigrad.ops import reduction

Body = Callable[..., Any]
Mutator = Callable[[Body], Body]
BODIES = {name: OPS[name].op.body for name in OUR_OPS}
CASES, LARGE_CASES = 300, 60  # for each mutation

pytestmark = pytest.mark.usefixtures("torch")


@cache
def cases_of(name: str, backend: str, dtype: str, large: bool = False) -> list[Case]:
    """Cases of the op test, the same in every run."""
    found: list[Case] = []
    count = LARGE_CASES if large else CASES

    @settings(max_examples=count, phases=[Phase.generate], derandomize=True, suppress_health_check=list(HealthCheck))
    @given(cases(OPS[name].op, dtype, DEVICES[backend], large))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


@contextmanager
def replaced(name: str, body: Body) -> Iterator[None]:
    """Replace the body of the op `name`."""
    original, names = OPS.pop(name), dict(vars(tensor_namespace))  # @op raises if the name is taken
    mutant = op(original.op.signature, float_only=original.op.float_only, one_dtype=original.op.one_dtype)(body)
    vars(tensor_namespace).update({key: mutant if value is original else value for key, value in names.items()})
    try:
        yield
    finally:
        OPS[name] = original
        vars(tensor_namespace).update(names)


def detecting_case(name: str, backend: str, dtype: str, large: bool = False) -> int:
    """The number (from 1) of the first case in which the op test fails; 0 if it passes.

    A failure is `OpCheckError`, a RuntimeError of `backward` (a gradient of a wrong shape or dtype, or no graph), or an
    error of the fake GPU. Other exceptions are bugs of the mutation.
    """
    for number, case in enumerate(cases_of(name, backend, dtype, large), 1):
        try:
            check_op(name, backend, dtype, case)
        except (OpCheckError, RuntimeError):
            return number
        except TypeError as error:
            if "strict device" not in str(error) or backend != "strict":
                raise
            return number
    return 0


# To which ops a mutation applies; on others it would change nothing
def has_gradient(op: Op) -> bool:
    return REFERENCES[op.name].gradient


def depends_on_x(op: Op) -> bool:
    return has_gradient(op) and not REFERENCES[op.name].linear


def curved(op: Op) -> bool:
    return depends_on_x(op) and not REFERENCES[op.name].kinks


def keeps_shape(op: Op) -> bool:
    return op.name not in {"amax", "amin", "logsumexp", "cross_entropy", "softmax_cross_entropy", "nll_loss"}


def n_differentiable(op: Op) -> int:
    """The number of differentiable arguments."""
    constants = {"where": 1, "binary_cross_entropy_with_logits": 1, "softmax_cross_entropy": 1}
    return (4 if op.variadic else len(op.array_names) - constants.get(op.name, 0)) if has_gradient(op) else 0


def broadcasts(op: Op) -> bool:
    return (n_differentiable(op) > 1 and None not in op.core_ndim) or op.name == "broadcast_to"


def takes_any_shape(op: Op) -> bool:
    """Whether the cases have arguments of 5 axes and of 4,096 elements."""
    return has_gradient(op) and op.name not in ("matmul", "linear")


def selects(op: Op) -> bool:
    """Whether the VJP selects elements of g."""
    return op.name in ("relu", "clip", "where", "maximum", "minimum")


def returns_floats(op: Op) -> bool:
    return has_gradient(op) or op.name == "ones_like"


def returns_nan(op: Op) -> bool:
    odd = REFERENCES[op.name].odd
    values = odd["x"] if isinstance(odd, dict) else odd
    return has_gradient(op) and op.name != "move" and any(math.isnan(value) for value in values)


# Mutators
def mutator(mutant: Callable[..., Any]) -> Mutator:
    """Replace a body by `mutant(body, xp, arrays, options)`, which returns the value and the VJPs."""
    return lambda body: wraps(body)(lambda xp, *arrays, **options: mutant(body, xp, arrays, options))


def on_vjps(change: Callable[..., Any], only: int | None = None) -> Mutator:
    """Replace each gradient d of an argument x by `change(d, g, x, xp)`; with `only` that of one argument."""

    def mutant(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
        y, vjps = body(xp, *arrays, **options)
        selected = [i for i, vjp in enumerate(vjps) if vjp is not None]
        selected = selected if only is None else selected[only : only + 1]

        def changed(i: int, vjp: Any) -> Any:
            return (lambda g: change(vjp(g), g, arrays[i], xp)) if i in selected else vjp

        return y, tuple(changed(i, vjp) for i, vjp in enumerate(vjps))

    return mutator(mutant)


def on_value(change: Callable[..., Any]) -> Mutator:
    """Replace the value y by `change(y, xp)`."""

    def mutant(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
        y, vjps = body(xp, *arrays, **options)
        return (y if xp is tensor_namespace else change(y, xp)), vjps

    return mutator(mutant)


def on_inputs(change: Callable[..., Any]) -> Mutator:
    """Replace the VJPs by those at `change(x, xp)`."""

    def mutant(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
        y, vjps = body(xp, *arrays, **options)
        is_float = lambda x: getattr(x, "dtype", np.dtype(bool)).kind == "f"
        return y, body(xp, *(change(x, xp) if is_float(x) else x for x in arrays), **options)[1] if vjps else vjps

    return mutator(mutant)


def past(large: Callable[[Any], bool]) -> Callable[..., Any]:
    """1 % too large, but only for arguments x that are `large`."""
    return lambda d, g, x, xp: d * 1.01 if large(x) else d


def multiplied_by_a_mask(d: Any, g: Any, x: Any, xp: Any) -> Any:
    """The gradient with 0 · g added where the VJP gave 0 for g ≠ 0: NaN where g is infinite."""
    return d + 0.0 * g if g.shape == d.shape else d


def transposed(d: Any, g: Any, x: Any, xp: Any) -> Any:
    return d.swapaxes(-1, -2) if len(d.shape) > 1 and d.shape[-1] == d.shape[-2] else d


def cotangent(d: Any, g: Any, x: Any, xp: Any) -> Any:
    return g if g.shape == d.shape else d


def written_to_input(d: Any, g: Any, x: Any, xp: Any) -> Any:
    if xp is not tensor_namespace and d.shape == x.shape:
        x[...] = d
        return x
    return d


def with_modified_cotangent(d: Any, g: Any, x: Any, xp: Any) -> Any:
    if xp is not tensor_namespace:
        d = d.copy()
        g *= 2
    return d


def in_one_buffer() -> Callable[..., Any]:
    buffers: dict[Any, Any] = {}

    def change(d: Any, g: Any, x: Any, xp: Any) -> Any:
        if xp is tensor_namespace or isinstance(d, np.generic):
            return d
        buffer = buffers.setdefault((d.shape, d.dtype), d.copy())
        buffer[...] = d
        return buffer

    return change


def without_ties(x: Any, xp: Any) -> Any:
    """x with its equal elements made unequal, and without zeros, by less than smooth values differ."""
    count = math.prod(x.shape)
    nudge = (np.arange(1.0, count + 1) * 2.0**-24).reshape(x.shape).astype(x.dtype)
    return x + (mg.Tensor(nudge) if xp is tensor_namespace else nudge)


NOISE = np.random.default_rng(0)


def noisy(d: Any) -> Any:
    return d if not isinstance(d, np.ndarray) else d * (1 + 2.0**-51 * NOISE.integers(0, 2, d.shape)).astype(d.dtype)


def with_reversed_vjps(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
    y, vjps = body(xp, *arrays, **options)
    if len({getattr(x, "shape", None) for x in arrays}) > 1:
        return y, vjps
    last_first = [vjp for vjp in vjps if vjp is not None][::-1]
    return y, tuple(vjp if vjp is None else last_first.pop(0) for vjp in vjps)


def with_numpy(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
    return body(xp if xp is tensor_namespace else library("cpu").xp, *arrays, **options)


def with_host_copy_of_input(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
    if xp is not tensor_namespace:
        bool((arrays[0] if hasattr(arrays[0], "shape") else arrays[1]).sum() > 0)
    return body(xp, *arrays, **options)


def with_host_copy_of_cotangent(d: Any, g: Any, x: Any, xp: Any) -> Any:
    if xp is not tensor_namespace:
        g.sum().item()
    return d


def with_detached_inputs(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
    return body(xp, *(x.detach() if isinstance(x, mg.Tensor) else x for x in arrays), **options)


def with_detached_cotangent(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
    y, vjps = body(xp, *arrays, **options)
    if xp is not tensor_namespace:
        return y, vjps
    return y, tuple(vjp and (lambda g, vjp=vjp: vjp(g.detach())) for vjp in vjps)


def wrong_value(y: Any, xp: Any) -> Any:
    return ~y if y.dtype == bool else y + 1 if y.dtype.kind == "i" else y * 1.01


def wrong_past_256(y: Any, xp: Any) -> Any:
    return y * (1 + 1e-9) if y.size > 256 else y


def wrong_past_5_tensors(body: Body, xp: Any, arrays: Any, options: Any) -> Any:
    y, vjps = body(xp, *arrays, **options)
    return y, [vjp if i < 5 else (lambda g, vjp=vjps[i - 1]: vjp(g)) for i, vjp in enumerate(vjps)]


UNBROADCAST = op_module.unbroadcast


def mean_over_broadcast(g: Any, shape: tuple[int, ...], core_ndim: int) -> Any:
    total = UNBROADCAST(g, shape, core_ndim) * (math.prod(shape) / max(math.prod(g.shape), 1))
    return total if isinstance(total, mg.Tensor) else np.asarray(total)


def first_of_broadcast(g: Any, shape: tuple[int, ...], core_ndim: int) -> Any:
    while len(g.shape) > len(shape):
        g = g[:1].sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1 != g.shape[axis]:
            g = g[(slice(None),) * axis + (slice(0, 1),)]
    return g if isinstance(g, mg.Tensor) else np.asarray(g)


@dataclass(frozen=True)
class Mutation:
    """A fault: how it changes the body of an op (or what it replaces in the engine), and to which ops it applies."""

    name: str
    mutate: Mutator
    applies: Callable[[Op], bool]
    backend: str = "numpy"
    patch: tuple[Any, str, Any] | None = None
    large: bool = False  # detected only by large arrays


def engine(name: str, applies: Callable[[Op], bool], *patch: Any) -> Mutation:
    """A mutation of the engine: of the function `patch[1]` of a module."""
    return Mutation(name, lambda body: body, applies, patch=patch)


NOT_IDENTITY = {"sub", "neg", "where"}  # linear, and dL/dx is not g
VIEWS = {"add", "sub", "clone", "sum", "reshape", "transpose", "permute", "expand_dims", "squeeze", "flatten"}

MUTATIONS = [
    Mutation("zero gradient", on_vjps(lambda d, *_: d * 0), has_gradient),
    Mutation("wrong sign", on_vjps(lambda d, *_: -d), has_gradient),
    Mutation("1 % too large", on_vjps(lambda d, *_: d * 1.01), has_gradient),
    Mutation("1e-5 too large", on_vjps(lambda d, *_: d * (1 + 1e-5)), has_gradient),
    Mutation("factor 1/2", on_vjps(lambda d, *_: d * 0.5), has_gradient),
    Mutation(
        "g for dL/dx", on_vjps(cotangent), lambda op: keeps_shape(op) and (depends_on_x(op) or op.name in NOT_IDENTITY)
    ),
    Mutation("transposed", on_vjps(transposed), has_gradient),
    Mutation("wrong past 4 axes", on_vjps(past(lambda x: len(x.shape) > 4)), takes_any_shape, large=True),
    Mutation("wrong past 256 rows", on_vjps(past(lambda x: max(x.shape, default=0) > 256)), has_gradient, large=True),
    Mutation(
        "wrong past 4,096 elements", on_vjps(past(lambda x: math.prod(x.shape) > 4096)), takes_any_shape, large=True
    ),
    Mutation("wrong past 5 tensors", mutator(wrong_past_5_tensors), lambda op: op.variadic),
    Mutation("0 · g for 0", on_vjps(multiplied_by_a_mask), selects),
    Mutation("value: wrong past 256", on_value(wrong_past_256), returns_floats, large=True),
    engine("broadcast: mean for sum", broadcasts, op_module, "unbroadcast", mean_over_broadcast),
    engine("broadcast: first for sum", broadcasts, op_module, "unbroadcast", first_of_broadcast),
    engine("broadcast: no sum", broadcasts, op_module, "unbroadcast", lambda g, *_: g),
    Mutation("rounded to float32", on_vjps(lambda d, *_: d.astype("float32").astype("float64")), has_gradient),
    Mutation("dtype float32", on_vjps(lambda d, *_: d.astype("float32")), has_gradient),
    Mutation("VJP at another x", on_inputs(lambda x, xp: 0.5 - x), depends_on_x),
    Mutation("ties ignored", on_inputs(without_ties), lambda op: has_gradient(op) and REFERENCES[op.name].kinks),
    *(
        Mutation(
            f"argument {i + 1}: 1 % too large",
            on_vjps(lambda d, *_: d * 1.01, only=i),
            lambda op, i=i: n_differentiable(op) > max(i, 1),
        )
        for i in range(3)
    ),
    Mutation(
        "VJPs reversed",
        mutator(with_reversed_vjps),
        lambda op: n_differentiable(op) > 1 and op.name not in ("add", "linear"),
    ),
    Mutation("written to x", on_vjps(written_to_input), has_gradient),
    Mutation("g modified", on_vjps(with_modified_cotangent), has_gradient),
    Mutation("one buffer", lambda body: on_vjps(in_one_buffer())(body), has_gradient),
    engine("alias of g", lambda op: op.name in VIEWS, tensor_module, "copied_like", lambda g, *_: g),
    Mutation("random rounding", on_vjps(lambda d, *_: noisy(d)), has_gradient),
    Mutation("g detached", mutator(with_detached_cotangent), has_gradient),
    Mutation("x detached", mutator(with_detached_inputs), curved),
    Mutation("wrong value", on_value(wrong_value), lambda op: True),
    Mutation("value in float32", on_value(lambda y, xp: y.astype("float32")), returns_floats),
    Mutation(
        "value: random rounding", on_value(lambda y, xp: noisy(y)), lambda op: returns_floats(op) and op.name != "move"
    ),
    Mutation("NaN replaced by 0", on_value(lambda y, xp: xp.where(y == y, y, 0.0)), returns_nan),
    Mutation("NumPy on the device", mutator(with_numpy), lambda op: "xp." in inspect.getsource(op.body), "strict"),
    Mutation("host copy of x", mutator(with_host_copy_of_input), lambda op: op.name != "move", "strict"),
    Mutation(
        "host copy of g",
        on_vjps(with_host_copy_of_cotangent),
        lambda op: has_gradient(op) and op.name != "move",
        "strict",
    ),
]


def test_mutations_have_different_names() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("name", OUR_OPS)
def test_op_check_detects_every_mutation(name: str, monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    if name not in REFERENCES:
        pytest.fail(
            f"the op `{name}` has no reference: add a row `{name}` to REFERENCES in tests/helpers/torch_reference.py"
        )
    row: dict[str, int] = {}
    for mutation in MUTATIONS:
        if mutation.applies(OPS[name].op):
            with replaced(name, mutation.mutate(BODIES[name])), monkeypatch.context() as patched:
                if mutation.patch:
                    patched.setattr(*mutation.patch)
                row[mutation.name] = detecting_case(name, mutation.backend, "float64", mutation.large)
    record_property("kill matrix", {"op": name, "row": row, "mutations": [mutation.name for mutation in MUTATIONS]})
    survivors = [mutation for mutation, case in row.items() if case == 0]
    assert not survivors, f"op {name}: the op test does not detect {', '.join(survivors)}"


@pytest.mark.parametrize("name", ["relu", "mul", "softmax", "amax", "matmul", "getitem"])
def test_op_check_passes_without_a_mutation(name: str) -> None:
    assert detecting_case(name, "numpy", "float64") == 0
    with replaced(name, BODIES[name]):
        assert detecting_case(name, "numpy", "float64") == 0


@pytest.mark.usefixtures("restore_ops")
def test_op_without_a_reference_fails_by_name() -> None:
    @op("()->()")
    def cube(xp: Any, x: Any) -> Any:
        """y = x³"""
        return x * x * x, (lambda g: 3 * g * x * x,)

    with pytest.raises(pytest.fail.Exception, match="`cube` has no reference: add a row"):
        check_op_by_name("cube", "numpy", "float64")


# Bugs of other engines
BUGS: dict[str, tuple[str, str, Body]] = {}  # by description: the op, the dtype that shows it, the body


def bug(description: str, dtype: str = "float64") -> Callable[[Body], Body]:
    def register(body: Body) -> Body:
        BUGS[description] = (body.__name__, dtype, body)
        return body

    return register


def correct(name: str, xp: Any, *arrays: Any, **options: Any) -> Any:
    return BODIES[name](xp, *arrays, **options)


@bug("div: divides by b², which underflows", "float32")
def div(xp, x, w):
    return x / w, (lambda g: g / w, lambda g: -g * x / (w * w))


@bug("relu: dL/dx = g/2 at 0")
def relu(xp, x):
    return xp.maximum(x, 0), (lambda g: xp.where(x == 0, 0.5 * g, xp.where(x > 0, g, 0.0)),)


@bug("relu: x times a mask, nan at -inf")
def relu(xp, x):
    return x * (x > 0), (lambda g: g * (x > 0),)


@bug("relu: 0 for nan")
def relu(xp, x):
    y = xp.where(x > 0, x, 0.0)
    return y, (lambda g: xp.where(y <= 0, 0.0, g),)


@bug("sigmoid: VJP e / (1 + e)², which overflows")
def sigmoid(xp, x):
    e = xp.exp(-x)
    return 1 / (1 + e), (lambda g: g * e / (1 + e) ** 2,)


@bug("tanh: of exponentials, which overflow")
def tanh(xp, x):
    y = (xp.exp(x) - xp.exp(-x)) / (xp.exp(x) + xp.exp(-x))
    return y, (lambda g: g * (1 - y * y),)


@bug("softmax: without subtracting max x")
def softmax(xp, x, *, dim):
    e = xp.exp(x)
    y = e / xp.sum(e, axis=dim, keepdims=True)
    return y, (lambda g: y * (g - xp.sum(g * y, axis=dim, keepdims=True)),)


@bug("softmax: VJP without the sum over classes")
def softmax(xp, x, *, dim):
    y, _ = correct("softmax", xp, x, dim=dim)
    return y, (lambda g: g * y * (1 - y),)


@bug("log_softmax: log of softmax")
def log_softmax(xp, x, *, dim):
    y = xp.log(correct("softmax", xp, x, dim=dim)[0])
    return y, (lambda g: g - xp.exp(y) * xp.sum(g, axis=dim, keepdims=True),)


@bug("logsumexp: without subtracting max x")
def logsumexp(xp, x, *, dim, keepdim=False):
    s = xp.log(xp.sum(xp.exp(x), axis=dim, keepdims=True))
    y = s if keepdim else xp.squeeze(s, axis=dim)
    return y, (lambda g: xp.reshape(g, s.shape) * xp.exp(x - s),)


@bug("amax: each tie gets all of g")
def amax(xp, x, *, dim=None, keepdim=False):
    top = xp.amax(x, axis=dim, keepdims=True)
    y = top if keepdim else xp.amax(x, axis=dim)
    return y, (lambda g: xp.where(x == top, xp.reshape(g, top.shape), 0.0),)


@bug("maximum: a gets all of g at a tie")
def maximum(xp, x, w):
    return xp.maximum(x, w), (lambda g: xp.where(x >= w, g, 0.0), lambda g: xp.where(x < w, g, 0.0))


@bug("clip: dL/dx = 0 at the upper bound")
def clip(xp, x, *, min=None, max=None):
    y, vjps = correct("clip", xp, x, min=min, max=max)
    return y, (vjps[0] if max is None else lambda g: xp.where(x == max, 0.0, vjps[0](g)),)


@bug("clip: dL/dx = 0 at the lower bound")
def clip(xp, x, *, min=None, max=None):
    y, vjps = correct("clip", xp, x, min=min, max=max)
    return y, (vjps[0] if min is None else lambda g: xp.where(x == min, 0.0, vjps[0](g)),)


@bug("abs: VJP x / |x|, nan at 0")
def abs(xp, x):
    return xp.abs(x), (lambda g: g * x / xp.abs(x),)


@bug("log1p: log(1 + x)")
def log1p(xp, x):
    return xp.log(1 + x), (lambda g: g / (1 + x),)


@bug("pow: VJP p y / x, nan at 0")
def pow(xp, x, p):
    y = x**p
    return y, (lambda g: g * p * y / x, correct("pow", xp, x, p)[1][1])


@bug("mean: divides by the number of axes")
def mean(xp, x, *, dim=None, keepdim=False):
    y, vjps = correct("mean", xp, x, dim=dim, keepdim=keepdim)
    n = len(dim) if isinstance(dim, tuple) else 1
    return y, (lambda g: vjps[0](g) * n,)


@bug("squeeze: dim=0 is no dim")
def squeeze(xp, x, *, dim=None):
    return correct("squeeze", xp, x, dim=dim or None)


@bug("expand_dims: negative dim off by one")
def expand_dims(xp, x, *, dim):
    return correct("expand_dims", xp, x, dim=dim - 1 if -len(x.shape) <= dim < 0 else dim)


@bug("permute: VJP with the same order")
def permute(xp, x, *, dims):
    y, vjps = correct("permute", xp, x, dims=dims)
    return y, (lambda g: d if (d := xp.transpose(g, dims)).shape == x.shape else vjps[0](g),)


@bug("getitem: an element selected twice gets one gradient")
def getitem(xp, x, *, index):
    def vjp(g):
        y = xp.zeros(x.shape, dtype=x.dtype)
        y[index] = g
        return y

    return x[index], (vjp if xp is not tensor_namespace else correct("getitem", xp, x, index=index)[1][0],)


@bug("argmax: last of the ties")
def argmax(xp, x, *, dim=None, keepdim=False):
    if dim is None:
        return correct("argmax", xp, x, dim=dim, keepdim=keepdim)
    return x.shape[dim] - 1 - xp.argmax(xp.flip(x, axis=dim), axis=dim, keepdims=keepdim), ()


@bug("linear: dL/db is the mean over the rows")
def linear(xp, x, w, b=None):
    y, vjps = correct("linear", xp, x, w, b)
    rows = max(math.prod(x.shape[:-1]), 1)
    return y, (*vjps[:2], lambda g: vjps[2](g) / rows)


@bug("mse_loss: VJP without the factor 2")
def mse_loss(xp, x, t):
    d = x - t
    return d * d, (lambda g: g * d, lambda g: -g * d)


@bug("cross_entropy: VJP p - q, though q need not sum to 1")
def cross_entropy(xp, x, q, *, dim=1):
    y, vjps = correct("cross_entropy", xp, x, q, dim=dim)
    p = lambda: OPS["softmax"].op.body(xp, x, dim=dim)[0]
    return y, (lambda g: xp.expand_dims(g, dim) * (p() - q), vjps[1])


@bug("binary cross-entropy: of probabilities, 0 · log 0")
def binary_cross_entropy_with_logits(xp, x, t, pos_weight=1):
    p = 1 / (1 + xp.exp(-x))
    vjps = correct("binary_cross_entropy_with_logits", xp, x, t, pos_weight)[1]
    return -(pos_weight * t * xp.log(p) + (1 - t) * xp.log(1 - p)), vjps


@pytest.mark.parametrize("description", BUGS)
def test_op_check_detects_bugs_of_other_engines(description: str) -> None:
    name, dtype, body = BUGS[description]
    with replaced(name, body):
        assert detecting_case(name, "numpy", dtype), f"op {name}: the op test does not detect: {description}"


# Faults that the tests of this folder must detect
def numpy_index_steps(array: Any, index: Any) -> list[Any]:
    """The index as NumPy takes it: an integer beside positions broadcasts with them."""
    parts = [index_part(array, part) for part in (index if isinstance(index, tuple) else (index,))]
    return [tuple(parts)]


def check_random_indices(torch: Any) -> None:
    steps = settings(
        max_examples=200, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    steps(test_indexing.test_random_indices_select_and_write_as_in_torch)(torch)


def check_dims(torch: Any) -> None:
    for name, shape in itertools.product(test_dims.ALONG, ((), (0,), (0, 3), (2, 3))):
        test_dims.test_every_dim_gives_the_result_of_torch(name, shape, "cpu", torch)


def check_long_axes(torch: Any) -> None:
    for shape, dim in (((2**20, 3), 0), ((3, 2**20), 1), ((2**18, 2, 2), (0, 1))):
        test_dims.test_sums_over_long_axes_are_accurate(shape, dim)
    test_dims.test_gradients_of_broadcast_arrays_are_summed_accurately()


CPU = library("cpu").xp
PLANTED: dict[str, tuple[Any, Callable[..., None]]] = {
    "indexing as in NumPy": ((methods, "index_steps", numpy_index_steps), check_random_indices),
    "0-d Tensors have no axis": ((reduction, "axes_of", lambda x, dim: dim), check_dims),
    "long sums in sequence": ((CPU, "sum", np.add.reduce), check_long_axes),
    "long bias gradients by BLAS": ((CPU, "column_sum", lambda x: np.ones_like(x[:, 0]) @ x), check_long_axes),
}


@pytest.mark.parametrize("description", PLANTED)
def test_planted_faults_of_other_kinds_are_detected(
    description: str, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, check = PLANTED[description]
    monkeypatch.setattr(*fault)
    with pytest.raises((AssertionError, IndexError, ArithmeticError)):
        check(torch)


@pytest.mark.parametrize("name", ["exp", "sum", "softmax", "matmul", "cat", "eq", "mse_loss"])
def test_op_check_detects_wrong_values_without_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op_check, "torch", None)
    assert detecting_case(name, "numpy", "float64") == 0
    with replaced(name, on_value(wrong_value)(BODIES[name])):
        assert detecting_case(name, "numpy", "float64")
