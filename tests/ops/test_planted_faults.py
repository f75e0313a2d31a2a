"""Tests of the tests: faults planted in every op that they fit, each of which `check_op` must catch.

A fault is made by wrapping the op's body, so that the rest of minigrad runs as it is. With --kill-matrix this file
prints op x fault: the number of the case that caught it, or LIVE. Below the catalogue stand the wrong
rules that other engines shipped, each in our own words.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES
from helpers.op_check import OUR_OPS, Wrong, check_op
from helpers.strategies import Case, cases
from helpers.torch_reference import REFERENCES
from hypothesis import HealthCheck, Phase, given, settings
from test_ops import test_op as the_op_test

import minigrad as mg
from minigrad.autograd import op as op_module
from minigrad.autograd import tensor as tensor_module
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import Op, op, tensor_namespace
from minigrad.backend import library

Body = Callable[..., Any]
POOL = 150  # cases that a fault is shown to

pytestmark = pytest.mark.usefixtures("torch")


@cache
def pool(name: str, backend: str, dtype: str) -> list[Case]:
    """Cases as the op test draws them, always the same."""
    found: list[Case] = []

    @settings(max_examples=POOL, phases=[Phase.generate], derandomize=True, suppress_health_check=list(HealthCheck))
    @given(cases(OPS[name].op, dtype, DEVICES[backend]))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


@contextmanager
def planted(name: str, body: Body) -> Iterator[None]:
    """Meanwhile the op `name` has this body."""
    sound, names = OPS[name], dict(vars(tensor_namespace))
    del OPS[name]  # @op does not replace an op of another module
    faulty = op(sound.op.signature, float_only=sound.op.float_only)(body)
    vars(tensor_namespace).update({key: faulty if value is sound else value for key, value in names.items()})
    try:
        yield
    finally:
        OPS[name] = sound
        vars(tensor_namespace).update(names)


def caught(name: str, backend: str, dtype: str) -> int:
    """The number of the case (from 1) in which the op test sees that something is wrong; 0 if it never does.

    What counts is its verdict, RuntimeError from `backward` (a gradient of a wrong shape or dtype, or without a graph),
    and what the strict device refuses. Any other exception is a slip in the fault, not a catch.
    """
    for number, case in enumerate(pool(name, backend, dtype), 1):
        try:
            check_op(name, backend, dtype, case)
        except (Wrong, RuntimeError):
            return number
        except TypeError as error:
            if "strict device" not in str(error) or backend != "strict":
                raise
            return number
    return 0


# The catalogue
@dataclass(frozen=True)
class Fault:
    """A way to be wrong: what it makes of a body, and whether it fits an op (on others it changes nothing)."""

    name: str
    make: Callable[[Body], Body]
    fits: Callable[[Op], bool]
    backend: str = "numpy"
    patch: tuple[Any, str, Any] | None = None  # or what it replaces in the engine


def has_gradient(op: Op) -> bool:
    return REFERENCES[op.name].gradient


def depends_on_x(op: Op) -> bool:
    return has_gradient(op) and not REFERENCES[op.name].linear


def curved(op: Op) -> bool:
    return depends_on_x(op) and not REFERENCES[op.name].kinks


def keeps_shape(op: Op) -> bool:
    return op.name not in {"amax", "amin", "logsumexp", "cross_entropy", "softmax_cross_entropy", "nll_loss"}


def differentiable(op: Op) -> int:
    """How many arguments have a gradient."""
    without = {"where": 1, "binary_cross_entropy_with_logits": 1, "softmax_cross_entropy": 1}
    return (4 if op.variadic else len(op.array_names) - without.get(op.name, 0)) if has_gradient(op) else 0


def broadcasts(op: Op) -> bool:
    return (differentiable(op) > 1 and None not in op.core_ndim) or op.name == "broadcast_to"


def floating(op: Op) -> bool:
    return has_gradient(op) or op.name == "ones_like"


def on_rules(change: Callable[..., Any], only: int | None = None) -> Callable[[Body], Body]:
    """A fault of the rules: `change(d, g, x, xp)` replaces the gradient d of x. `only`: of one argument."""

    def make(body: Body) -> Body:
        @wraps(body)
        def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
            y, rules = body(xp, *arrays, **static)

            def wrong(i: int, rule: Any) -> Any:
                if rule is None or (only is not None and [r for r in rules if r is not None].index(rule) != only):
                    return rule
                return lambda g: change(rule(g), g, arrays[i], xp)

            return y, tuple(wrong(i, rule) for i, rule in enumerate(rules))

        return faulty

    return make


def on_value(change: Callable[..., Any]) -> Callable[[Body], Body]:
    """A fault of the value: `change(y, xp)`."""

    def make(body: Body) -> Body:
        @wraps(body)
        def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
            y, rules = body(xp, *arrays, **static)
            return (y if xp is tensor_namespace else change(y, xp)), rules

        return faulty

    return make


def on_inputs(change: Callable[..., Any]) -> Callable[[Body], Body]:
    """A fault of what the rules remember: they are those of `change(x, xp)`."""

    def make(body: Body) -> Body:
        @wraps(body)
        def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
            y, rules = body(xp, *arrays, **static)
            return y, body(xp, *(change(x, xp) if is_float(x) else x for x in arrays), **static)[1] if rules else rules

        return faulty

    return make


def takes_nan(op: Op) -> bool:
    odd = REFERENCES[op.name].odd
    return (
        has_gradient(op)
        and op.name != "move"
        and any(value != value for value in (odd["x"] if isinstance(odd, dict) else odd))
    )


def is_float(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(bool)).kind == "f"


def transposed(d: Any, g: Any, x: Any, xp: Any) -> Any:
    return d.swapaxes(-1, -2) if len(d.shape) > 1 and d.shape[-1] == d.shape[-2] else d


def passed_on(d: Any, g: Any, x: Any, xp: Any) -> Any:
    return g if g.shape == d.shape else d


def overwrites_input(d: Any, g: Any, x: Any, xp: Any) -> Any:
    if xp is not tensor_namespace and d.shape == x.shape:
        x[...] = d
        return x
    return d


def overwrites_cotangent(d: Any, g: Any, x: Any, xp: Any) -> Any:
    if xp is not tensor_namespace:
        d = d.copy()
        g *= 2
    return d


def one_buffer() -> Callable[..., Any]:
    buffers: dict[Any, Any] = {}

    def into(d: Any, g: Any, x: Any, xp: Any) -> Any:
        if xp is tensor_namespace or isinstance(d, np.generic):
            return d
        buffer = buffers.setdefault((d.shape, d.dtype), d.copy())
        buffer[...] = d
        return buffer

    return into


def at_ties(x: Any, xp: Any) -> Any:
    """x with its equal elements made unequal, and zeros no zeros, by less than the smooth values differ."""
    count = math.prod(x.shape)
    nudge = (np.arange(1.0, count + 1) * 2.0**-24).reshape(x.shape).astype(x.dtype)
    return x + (mg.Tensor(nudge) if xp is tensor_namespace else nudge)


NOISE = np.random.default_rng(0)


def noisy(d: Any) -> Any:
    return d if not isinstance(d, np.ndarray) else d * (1 + 2.0**-51 * NOISE.integers(0, 2, d.shape)).astype(d.dtype)


def reversed_rules(body: Body) -> Body:
    @wraps(body)
    def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
        y, rules = body(xp, *arrays, **static)
        if len({x.shape if hasattr(x, "shape") else None for x in arrays}) > 1:
            return y, rules
        with_rule = [rule for rule in rules if rule is not None][::-1]
        return y, tuple(rule if rule is None else with_rule.pop(0) for rule in rules)

    return faulty


def with_numpy(body: Body) -> Body:
    @wraps(body)
    def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
        return body(xp if xp is tensor_namespace else library("cpu").xp, *arrays, **static)

    return faulty


def looks(body: Body) -> Body:
    @wraps(body)
    def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
        if xp is not tensor_namespace:
            bool((arrays[0] if hasattr(arrays[0], "shape") else arrays[1]).sum() > 0)
        return body(xp, *arrays, **static)

    return faulty


def looks_in_rule(d: Any, g: Any, x: Any, xp: Any) -> Any:
    if xp is not tensor_namespace:
        g.sum().item()
    return d


def forgets_second_order(change_inputs: bool) -> Callable[[Body], Body]:
    def make(body: Body) -> Body:
        @wraps(body)
        def faulty(xp: Any, *arrays: Any, **static: Any) -> Any:
            if xp is not tensor_namespace:
                return body(xp, *arrays, **static)
            if change_inputs:
                return body(xp, *(x.detach() if isinstance(x, mg.Tensor) else x for x in arrays), **static)
            y, rules = body(xp, *arrays, **static)
            return y, tuple(rule and (lambda g, rule=rule: rule(g.detach())) for rule in rules)

        return faulty

    return make


def wrong_value(y: Any, xp: Any) -> Any:
    return ~y if y.dtype == bool else y + 1 if y.dtype.kind == "i" else y * 1.01


UNBROADCAST = op_module.unbroadcast


def mean_of_broadcast(g: Any, shape: tuple[int, ...], core: int) -> Any:
    total = UNBROADCAST(g, shape, core) * (math.prod(shape) / max(math.prod(g.shape), 1))
    return total if isinstance(total, mg.Tensor) else np.asarray(total)


def first_of_broadcast(g: Any, shape: tuple[int, ...], core: int) -> Any:
    while len(g.shape) > len(shape):
        g = g[:1].sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1 != g.shape[axis]:
            g = g[(slice(None),) * axis + (slice(0, 1),)]
    return g if isinstance(g, mg.Tensor) else np.asarray(g)


def sound(body: Body) -> Body:
    return body


SCALES_G = {"sub", "neg", "where"}  # linear, and yet their rule is not g
PASSES_VIEWS = {"add", "sub", "clone", "sum", "reshape", "transpose", "permute", "expand_dims", "squeeze", "flatten"}

CATALOGUE = [
    Fault("zero", on_rules(lambda d, *_: d * 0), has_gradient),
    Fault("negated", on_rules(lambda d, *_: -d), has_gradient),
    Fault("1 % off", on_rules(lambda d, *_: d * 1.01), has_gradient),
    Fault("1e-5 off", on_rules(lambda d, *_: d * (1 + 1e-5)), has_gradient),
    Fault("half", on_rules(lambda d, *_: d * 0.5), has_gradient),
    Fault("g itself", on_rules(passed_on), lambda op: keeps_shape(op) and (depends_on_x(op) or op.name in SCALES_G)),
    Fault("transposed", on_rules(transposed), has_gradient),
    Fault("mean of broadcast", sound, broadcasts, patch=(op_module, "unbroadcast", mean_of_broadcast)),
    Fault("first of broadcast", sound, broadcasts, patch=(op_module, "unbroadcast", first_of_broadcast)),
    Fault("broadcast kept", sound, broadcasts, patch=(op_module, "unbroadcast", lambda g, *_: g)),
    Fault("through float32", on_rules(lambda d, *_: d.astype("float32").astype("float64")), has_gradient),
    Fault("in float32", on_rules(lambda d, *_: d.astype("float32")), has_gradient),
    Fault("stale input", on_inputs(lambda x, xp: 0.5 - x), depends_on_x),
    Fault("ties", on_inputs(at_ties), lambda op: has_gradient(op) and REFERENCES[op.name].kinks),
    Fault("argument 1 off", on_rules(lambda d, *_: d * 1.01, only=0), lambda op: differentiable(op) > 1),
    Fault("argument 2 off", on_rules(lambda d, *_: d * 1.01, only=1), lambda op: differentiable(op) > 1),
    Fault("argument 3 off", on_rules(lambda d, *_: d * 1.01, only=2), lambda op: differentiable(op) > 2),
    Fault("rules exchanged", reversed_rules, lambda op: differentiable(op) > 1 and op.name not in ("add", "linear")),
    Fault("into the input", on_rules(overwrites_input), has_gradient),
    Fault("g changed", on_rules(overwrites_cotangent), has_gradient),
    Fault("one buffer", lambda body: on_rules(one_buffer())(body), has_gradient),
    Fault(
        "not owned", sound, lambda op: op.name in PASSES_VIEWS, patch=(tensor_module, "copied_like", lambda g, *_: g)
    ),
    Fault("random", on_rules(lambda d, *_: noisy(d)), has_gradient),
    Fault("no 2nd order in g", forgets_second_order(False), has_gradient),
    Fault("no 2nd order in x", forgets_second_order(True), curved),
    Fault("value off", on_value(wrong_value), lambda op: True),
    Fault("value in float32", on_value(lambda y, xp: y.astype("float32")), floating),
    Fault("random value", on_value(lambda y, xp: noisy(y)), lambda op: floating(op) and op.name != "move"),
    Fault("NaN hidden", on_value(lambda y, xp: xp.where(y == y, y, 0.0)), takes_nan),
    Fault("numpy", with_numpy, lambda op: "xp." in inspect.getsource(op.body), backend="strict"),
    Fault("looks at x", looks, lambda op: op.name != "move", backend="strict"),
    Fault("looks at g", on_rules(looks_in_rule), lambda op: has_gradient(op) and op.name != "move", backend="strict"),
]


def test_names_of_faults_differ() -> None:
    assert len({fault.name for fault in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("name", OUR_OPS)
def test_no_fault_survives(name: str, monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    if name not in REFERENCES:
        pytest.fail(
            f"the op `{name}` has no reference: add a row `{name}` to REFERENCES in tests/helpers/torch_reference.py"
        )
    row: dict[str, int] = {}
    for fault in CATALOGUE:
        if fault.fits(OPS[name].op):
            with planted(name, fault.make(OPS[name].op.body)), monkeypatch.context() as patched:
                if fault.patch:
                    patched.setattr(*fault.patch)
                row[fault.name] = caught(name, fault.backend, "float64")
    record_property("kill matrix", {"op": name, "row": row, "faults": [fault.name for fault in CATALOGUE]})
    survivors = [fault for fault, number in row.items() if number == 0]
    assert not survivors, f"op {name}: faults that the op test does not see: {', '.join(survivors)}"


def test_the_sound_ops_pass_in_the_same_cases() -> None:
    """What catches a fault must not also catch its absence."""
    for name in ("relu", "mul", "softmax", "amax", "matmul", "getitem"):
        assert caught(name, "numpy", "float64") == 0
        with planted(name, OPS[name].op.body):
            assert caught(name, "numpy", "float64") == 0


def test_a_new_op_is_tested_and_fails_by_name_without_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    with planted("relu", OPS["relu"].op.body):  # puts the registries back afterwards
        monkeypatch.setitem(OPS, "cube", None)

        @op("()->()")
        def cube(xp: Any, x: Any) -> Any:
            """y = x³"""
            return x * x * x, (lambda g: 3 * g * x * x,)

        vars(tensor_namespace).pop("cube")
        with pytest.raises(pytest.fail.Exception, match="`cube` has no reference: add a row"):
            the_op_test("cube", "numpy", "float64")


# What other engines got wrong
WRONG: dict[str, tuple[str, str, Body]] = {}  # by its name: the op, the dtype, the body


def wrong(what: str, dtype: str = "float64") -> Callable[[Body], Body]:
    def enter(body: Body) -> Body:
        WRONG[what] = (body.__name__, dtype, body)
        return body

    return enter


def sound_rules(name: str, xp: Any, *arrays: Any, **static: Any) -> Any:
    return SOUND[name](xp, *arrays, **static)


SOUND = {name: OPS[name].op.body for name in OUR_OPS}


@wrong("div squares a small divisor", "float32")
def div(xp, x, w):
    return x / w, (lambda g: g / w, lambda g: -g * x / (w * w))


@wrong("relu gives a half at 0")
def relu(xp, x):
    return xp.maximum(x, 0), (lambda g: xp.where(x == 0, 0.5 * g, xp.where(x > 0, g, 0.0)),)


@wrong("relu by multiplying with a mask: nan at -inf")
def relu(xp, x):
    return x * (x > 0), (lambda g: g * (x > 0),)


@wrong("relu hides nan")
def relu(xp, x):
    y = xp.where(x > 0, x, 0.0)
    return y, (lambda g: xp.where(y <= 0, 0.0, g),)


@wrong("sigmoid's rule as e / (1 + e)²")
def sigmoid(xp, x):
    e = xp.exp(-x)
    return 1 / (1 + e), (lambda g: g * e / (1 + e) ** 2,)


@wrong("tanh by exponentials")
def tanh(xp, x):
    y = (xp.exp(x) - xp.exp(-x)) / (xp.exp(x) + xp.exp(-x))
    return y, (lambda g: g * (1 - y * y),)


@wrong("softmax without its shift")
def softmax(xp, x, *, dim):
    e = xp.exp(x)
    y = e / xp.sum(e, axis=dim, keepdims=True)
    return y, (lambda g: y * (g - xp.sum(g * y, axis=dim, keepdims=True)),)


@wrong("softmax's rule without its sum")
def softmax(xp, x, *, dim):
    y, _ = sound_rules("softmax", xp, x, dim=dim)
    return y, (lambda g: g * y * (1 - y),)


@wrong("log_softmax as log of softmax")
def log_softmax(xp, x, *, dim):
    y = xp.log(sound_rules("softmax", xp, x, dim=dim)[0])
    return y, (lambda g: g - xp.exp(y) * xp.sum(g, axis=dim, keepdims=True),)


@wrong("logsumexp without its shift")
def logsumexp(xp, x, *, dim, keepdim=False):
    s = xp.log(xp.sum(xp.exp(x), axis=dim, keepdims=True))
    y = s if keepdim else xp.squeeze(s, axis=dim)
    return y, (lambda g: xp.reshape(g, s.shape) * xp.exp(x - s),)


@wrong("amax gives all of g to each tie")
def amax(xp, x, *, dim=None, keepdim=False):
    top = xp.amax(x, axis=dim, keepdims=True)
    y = top if keepdim else xp.amax(x, axis=dim)
    return y, (lambda g: xp.where(x == top, xp.reshape(g, top.shape), 0.0),)


@wrong("maximum gives all of g to x at a tie")
def maximum(xp, x, w):
    return xp.maximum(x, w), (lambda g: xp.where(x >= w, g, 0.0), lambda g: xp.where(x < w, g, 0.0))


@wrong("clip gives nothing at its upper bound")
def clip(xp, x, *, min=None, max=None):
    y, rules = sound_rules("clip", xp, x, min=min, max=max)
    return y, (rules[0] if max is None else lambda g: xp.where(x == max, 0.0, rules[0](g)),)


@wrong("clip gives nothing at its lower bound")
def clip(xp, x, *, min=None, max=None):
    y, rules = sound_rules("clip", xp, x, min=min, max=max)
    return y, (rules[0] if min is None else lambda g: xp.where(x == min, 0.0, rules[0](g)),)


@wrong("abs by dividing: nan at 0")
def abs(xp, x):
    return xp.abs(x), (lambda g: g * x / xp.abs(x),)


@wrong("log1p as log(1 + x)")
def log1p(xp, x):
    return xp.log(1 + x), (lambda g: g / (1 + x),)


@wrong("pow's rule as g p y / x: nan at 0")
def pow(xp, x, p):
    y = x**p
    return y, (lambda g: g * p * y / x, sound_rules("pow", xp, x, p)[1][1])


@wrong("mean divides by the number of axes")
def mean(xp, x, *, dim=None, keepdim=False):
    y, rules = sound_rules("mean", xp, x, dim=dim, keepdim=keepdim)
    n = len(dim) if isinstance(dim, tuple) else 1
    return y, (lambda g: rules[0](g) * n,)


@wrong("axis 0 taken for no axis")
def squeeze(xp, x, *, dim=None):
    return sound_rules("squeeze", xp, x, dim=dim or None)


@wrong("a new axis at -1 goes in one early")
def expand_dims(xp, x, *, dim):
    return sound_rules("expand_dims", xp, x, dim=dim - 1 if -len(x.shape) <= dim < 0 else dim)


@wrong("permute back with the same order")
def permute(xp, x, *, dims):
    y, rules = sound_rules("permute", xp, x, dims=dims)
    return y, (lambda g: d if (d := xp.transpose(g, dims)).shape == x.shape else rules[0](g),)


@wrong("an element picked twice gets one gradient")
def getitem(xp, x, *, index):
    def rule(g):
        y = xp.zeros(x.shape, dtype=x.dtype)
        y[index] = g
        return y

    return x[index], (rule if xp is not tensor_namespace else sound_rules("getitem", xp, x, index=index)[1][0],)


@wrong("argmax takes the last of equals")
def argmax(xp, x, *, dim=None, keepdim=False):
    if dim is None:
        return sound_rules("argmax", xp, x, dim=dim, keepdim=keepdim)
    return x.shape[dim] - 1 - xp.argmax(xp.flip(x, axis=dim), axis=dim, keepdims=keepdim), ()


@wrong("the bias gets the mean over the rows")
def linear(xp, x, w, b=None):
    y, rules = sound_rules("linear", xp, x, w, b)
    rows = max(math.prod(x.shape[:-1]), 1)
    return y, (*rules[:2], lambda g: rules[2](g) / rows)


@wrong("mse without its 2")
def mse_loss(xp, x, t):
    d = x - t
    return d * d, (lambda g: g * d, lambda g: -g * d)


@wrong("cross-entropy as p - q, though q need not sum to 1")
def cross_entropy(xp, x, q, *, dim=1):
    y, rules = sound_rules("cross_entropy", xp, x, q, dim=dim)
    p = lambda: OPS["softmax"].op.body(xp, x, dim=dim)[0]
    return y, (lambda g: xp.expand_dims(g, dim) * (p() - q), rules[1])


@wrong("binary cross-entropy from probabilities: 0 · log 0")
def binary_cross_entropy_with_logits(xp, x, t, pos_weight=1):
    p = 1 / (1 + xp.exp(-x))
    rules = sound_rules("binary_cross_entropy_with_logits", xp, x, t, pos_weight)[1]
    return -(pos_weight * t * xp.log(p) + (1 - t) * xp.log(1 - p)), rules


@pytest.mark.parametrize("what", WRONG)
def test_what_other_engines_got_wrong_is_caught(what: str) -> None:
    name, dtype, body = WRONG[what]
    with planted(name, body):
        assert caught(name, "numpy", dtype), f"op {name}: the op test does not see that {what}"
