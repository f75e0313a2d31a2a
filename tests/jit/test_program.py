"""Every call of an op is recorded, and compiles to readable source without dead code."""

from __future__ import annotations

import gc
import inspect
import linecache
import math
import re
import traceback
import tracemalloc

import numpy as np
import pytest
from helpers.steps import LOSSES, agrees, batches, model_of, op_of

import minigrad as mg
from minigrad import nn


def through_a_view(xp, x):
    y = xp.zeros((2, *x.shape), dtype=x.dtype)
    row = y[0]
    row += x
    return y[0] + y[1]


def out(xp, x):
    y = xp.zeros_like(x)
    xp.exp(x, out=y)
    y[1:] = 3.0
    y[0] *= -2.0
    y **= 2
    return y


def out_by_position(xp, x):
    y = xp.zeros_like(x)
    z = xp.add(x, 1, y)
    xp.multiply(y, 2, y)
    return z * y


def scalar_in_place(xp, x):
    s = xp.sum(x)
    before = s
    s += 1
    s *= 2
    return x * s + before


def scalars_that_numpy_shares(xp, x):
    first = xp.sum(x) > 5.0
    second = xp.sum(x) > 0.0
    return x * (first | second) + x * second * first


def view_that_outlives_its_array(xp, x):
    y = 2 * x
    first = y[:1]
    return (y + 1) * first


def functions_that_modify(xp, x):
    y = x + 0
    y.fill(2.0)
    xp.add.at(y, [0, 0], 1.0)
    xp.copyto(y[1:], x[1:])
    xp.nan_to_num(y, copy=False)
    return y * x


def functions_that_do_not_copy(xp, x):
    y = xp.asfortranarray(x)
    return xp.asarray(y) * y


def list_that_changes_later(xp, x):
    parts = [x, x * 2]
    y = xp.concatenate(parts)
    parts.append(x)
    del parts[0]
    return y[:3] + y[3:]


BODIES = {
    "a view that outlives its array": view_that_outlives_its_array,
    "written to through a view": through_a_view,
    "out, setitem and operators in place": out,
    "out by position": out_by_position,
    "a scalar changed in place": scalar_in_place,
    "scalars that NumPy shares": scalars_that_numpy_shares,
    "functions that modify an argument": functions_that_modify,
    "functions that return their argument": functions_that_do_not_copy,
    "a list that changes after the call": list_that_changes_later,
    "a negative base": lambda xp, x: (-2.0) ** xp.rint(x),
    "an infinite bound": lambda xp, x: xp.minimum(x, math.inf) + xp.maximum(-math.inf, x),
    "axes, slices, lists": lambda xp, x: xp.concatenate([x[None, :], x[None, ::-1]]).sum(axis=(0,))[[0, 2, 1]],
    "a slice with NumPy's integers": lambda xp, x: x[np.int64(0) :],
    "an empty tuple": lambda xp, x: x + xp.sum(x).reshape(()),
    "dtypes and text": lambda xp, x: xp.einsum("i->i", x.astype(mg.float64)).astype(x.dtype),
    "all operators": lambda xp, x: +x - abs(-x) // 2 + 7 % x + 1 / x + (x @ x) + 2 * x**2 + (3 - x),
    "masks": lambda xp, x: x * (((x > 1) & ~(x >= 3)) | (x < 0) ^ (x <= 2)) + (x == 2) * x + (x != 2),
    "shapes that depend on values": lambda xp, x: x * len(xp.unique(x)) + len(x[x > 1.5]) + xp.repeat(x, 1),
    "arrays made of shapes alone": lambda xp, x: x + xp.ones_like(x) * xp.arange(x.size),
}


@pytest.mark.parametrize("name", BODIES)
def test_body_of_an_op_is_recorded(name):
    model = nn.Linear(3, 1)
    with op_of(BODIES[name]) as f:
        function = lambda x: (f(x) * model.weight[0]).sum()
        step = mg.replay(model, function)
        for x in ([1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 0.5, 2.0], [1.0, 1.0, 1.0], [-9.0, 1.0, 2.0]):
            assert agrees(model, function, step, mg.tensor(x))


def scalar_with_a_view(x):
    s = x.sum()
    row = s.reshape(1)
    s.add_(1.0)
    return s * row


def scalar_modified_twice(x):
    s = x.detach().sum()
    t = s * 1.0
    s.mul_(2.0)
    s[...] = s + t
    return s * t


@pytest.mark.parametrize("scalar", [scalar_with_a_view, scalar_modified_twice])
def test_0d_tensor_is_modified_in_place(scalar):
    model = nn.Linear(3, 1)
    function = lambda x: (model(x) * scalar(x)).sum()
    step = mg.replay(model, function)
    assert all(agrees(model, function, step, mg.rand(2, 3)) for _ in range(3))


def test_comparisons_of_0d_tensors_are_recorded():
    model = nn.Linear(3, 1, bias=False)
    function = lambda x: model(x).sum().clip(0.0, 10.0) * (x.sum() > 3.0) * (x.sum() > 0.0)
    step = mg.replay(model, function)
    with mg.no_grad():
        model.weight.fill_(1.0)
    assert all(agrees(model, function, step, mg.full((1, 3), value)) for value in (1.0, 100.0, -5.0, 0.5))


@pytest.mark.parametrize(
    "body",
    [lambda xp, x: x * xp.ndim(x), lambda xp, x: xp.split(x, 3)[0] + x, lambda xp, x: x * xp.array_equal(x, x)],
)
def test_call_that_gives_no_array_is_refused(body):
    model = nn.Linear(3, 1)
    with op_of(body) as f, pytest.raises(RuntimeError, match="replay: expected calls that return one array"):
        mg.replay(model, lambda x: (f(x) * model.weight[0]).sum())(mg.ones(3))


def test_mask_and_inplace_update_are_refused_together():
    model, x = nn.Linear(3, 1), mg.rand(2, 3)
    before = x.tolist()
    with pytest.raises(RuntimeError, match="modifies an input or parameter in place and uses a mask"):
        mg.replay(model, lambda x: model(x.mul_(0.5)).sum() + x[x > 0.1].sum())(x)
    assert x.tolist() == before


# The source
def test_constants_are_named_above_the_step():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    above, function = step.source.split("def step(x0, x1, p0, p1, p2, p3):")
    for name, described in re.findall(r"# (\w+): (.+)", above):
        assert re.search(rf"\b{name}\b", function), described
    assert above.count("(4, 1) int64") == 1
    assert "ones_like" not in function


def test_constant_has_one_name():
    def twice(xp, x):
        numbers = xp.arange(x.size)
        return x * numbers + x * numbers

    model = nn.Linear(2, 1)
    with op_of(twice) as f:
        step = mg.replay(model, lambda x: (f(x) * model.weight[0]).sum())
        step(mg.ones(2))
    assert step.source.count("(2,) int64") == 1


def test_repr_of_a_constant_is_no_source():
    class Axis(int):
        def __repr__(self):
            return "0\n    raise SystemExit\n#"

    class Number(float):
        __repr__ = Axis.__repr__

    model = nn.Linear(3, 2)
    bodies = (lambda xp, x: xp.sum(x, axis=Axis(0)) + x, lambda xp, x: x * Number(2.0), lambda xp, x: x[Axis(0) :])
    for body in bodies:
        with op_of(body) as f:
            function = lambda x, f=f: (f(x) * model.weight[0]).sum()
            step = mg.replay(model, function)
            assert all(agrees(model, function, step, mg.rand(3)) for _ in range(2))
            assert "SystemExit" not in step.source


def test_dead_code_is_left_out():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda x: (model(x), model(mg.exp(x)).sum())[1])
    step(mg.ones(3, 2))
    assert step.source.count(" @ ") == 2  # one product forward, one for the gradient of the weight
    assert step.source.count("exp") == 1


def test_mask_is_checked_though_its_result_is_not_used():
    model = nn.Linear(2, 1)
    function = lambda x: model(x).sum() * x[x > 0.5].shape[0]
    step = mg.replay(model, function)
    assert all(agrees(model, function, step, mg.rand(3, 2)) for _ in range(10))
    assert "expect_shape(x0[" in step.source


def test_arrays_are_deleted_after_their_last_use():
    model = nn.Sequential(*[nn.ReLU() for _ in range(50)], nn.Linear(1000, 1))
    step = mg.replay(model, lambda x: model(x).sum())
    x = mg.ones(1000, 1000)
    step(x)
    tracemalloc.start()
    step(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.array.nbytes  # of the 50 results, all of that size, two are there at a time


def test_trace_is_freed_without_the_garbage_collector():
    model = nn.Linear(300, 300)
    step = mg.replay(model, lambda x: (model(x).relu() ** 2).sum())
    x = mg.ones(1000, 300)
    gc.disable()
    try:
        tracemalloc.start()
        step(x)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < x.array.nbytes


def test_traceback_shows_the_source():
    model = nn.Linear(3, 2)
    step = mg.replay(model, lambda x: model(x).sum())
    step(mg.ones(4, 3))
    function = step.steps[0].function
    assert step.source.endswith(inspect.getsource(function))
    with pytest.raises(ValueError, match="matmul") as caught:
        function(np.ones((4, 5)), *[p.array for p in model.parameters()])
    assert "v1 = x0 @ v0" in "".join(traceback.format_exception(caught.value))
    linecache.checkcache()
    assert step.source.endswith(inspect.getsource(function))


def test_source_of_a_dropped_step_is_dropped():
    model = nn.Linear(3, 2)
    step = mg.replay(model, lambda x: model(x).sum())
    step(mg.ones(4, 3))
    filename = step.steps[0].function.__code__.co_filename
    assert filename in linecache.cache
    step.steps = []
    gc.collect()
    assert filename not in linecache.cache
