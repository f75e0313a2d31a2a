"""Details that the other tests came past without looking: mutants of the package showed them."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
import threading
import weakref

import pytest
from helpers import fake_gpu

import minigrad as mg
from minigrad import ops
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F


# Calls
def test_cat_and_stack_take_their_axis_by_position():
    x, y = mg.tensor([[1.0, 2.0]]), mg.tensor([[3.0, 4.0]])
    assert mg.cat([x, y], 1).tolist() == mg.cat((x, y), dim=1).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert mg.cat([x, y]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert mg.stack([x, y], 2).tolist() == [[[1.0, 3.0], [2.0, 4.0]]]
    assert mg.stack([x, y], -1).tolist() == mg.stack([x, y], axis=2).tolist()


def test_one_argument_too_many_is_counted():
    x = mg.ones(2, 2)
    with pytest.raises(TypeError, match="cat: got 1 more arguments than"):
        mg.cat([x, x], 0, 1)
    with pytest.raises(TypeError, match="sum: got 2 more arguments than"):
        mg.sum(x, 0, True, 1, 2)


def test_none_is_taken_where_an_argument_may_be_left_out_and_nowhere_else():
    x, w = mg.ones(2, 3), mg.ones(4, 3)
    assert mg.nn.functional.linear(x, w, None).tolist() == [[3.0] * 4] * 2
    with pytest.raises(TypeError, match="add: expected Tensors or numbers, got NoneType"):
        mg.add(x, None)
    with pytest.raises(TypeError, match="linear: expected a Tensor, got NoneType"):
        mg.nn.functional.linear(x, None)


def test_a_number_is_no_matrix_and_no_part_of_a_cat():
    x = mg.ones(2, 2)
    for number in (2, 2.0, True):
        with pytest.raises(TypeError, match="matmul: expected a Tensor, got"):
            mg.matmul(x, number)
        with pytest.raises(TypeError, match="cat: expected a Tensor, got"):
            mg.cat([x, number])
    assert (x + True).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_an_error_of_the_array_library_names_the_op_and_what_went_in():
    with pytest.raises(ValueError, match=r"matmul: \(2, 3\) @ \(2, 3\): inner dimensions differ, 3 and 2"):
        mg.ones(2, 3) @ mg.ones(2, 3)


def test_numbers_alone_are_no_call_of_an_op():
    with pytest.raises(TypeError, match="add: expected a Tensor, got float, float"):
        mg.add(2.0, 3.0)


def test_two_devices_are_named():
    x = mg.ones(2)
    with pytest.raises(RuntimeError, match="add: expected Tensors on one device, got cpu and strict"):
        x + x.to("strict")


@pytest.mark.parametrize(
    ("function", "args", "signature"),
    [
        (mg.sum, (mg.ones(2, 2), 1, True), "(x, dim=None, keepdim=False)"),
        (mg.softmax, (mg.ones(2, 2), 1), "(x, dim)"),
        (mg.cat, (mg.ones(2, 2), mg.ones(2, 2)), "(*tensors, dim=0)"),
        (mg.matmul, (mg.ones(2, 2), mg.ones(2, 2)), "(a, b)"),
    ],
)
def test_an_op_shows_the_signature_it_is_called_with(function, args, signature):
    shown = inspect.signature(function)
    assert str(shown) == signature
    assert function(*shown.bind(*args).args).tolist() == function(*args).tolist()


def test_a_method_has_the_words_of_its_op():
    for name in ("exp", "sum", "argmax", "flatten", "matmul", "eq"):
        assert getattr(mg, name).__doc__
        assert getattr(mg.Tensor, name).__doc__ == getattr(mg, name).__doc__
    assert mg.Tensor.max.__doc__.startswith("The maximum")  # its own


# What is left out of a call
def test_what_a_call_leaves_out():
    x = mg.arange(24.0).reshape(2, 3, 4)
    assert x.flatten().shape == (24,)
    assert (x.flatten(1).shape, x.flatten(end_dim=-2).shape) == ((2, 12), (6, 4))
    assert mg.argmin(x, dim=1).shape == mg.argmax(x, dim=1).shape == (2, 4)
    assert mg.logsumexp(x, dim=1).shape == (2, 4)
    assert F.leaky_relu(mg.tensor([-100.0, 3.0])).tolist() == [-1.0, 3.0]


def test_the_losses_as_ops_have_their_classes_on_axis_1():
    x, q = mg.zeros(2, 4), mg.eye(4)[:2]
    for each in (ops.cross_entropy(x, q), ops.softmax_cross_entropy(x, q != 0, reduction="none")):
        assert each.tolist() == pytest.approx([math.log(4)] * 2)
    assert ops.nll_loss(x - 3, q).tolist() == [3.0, 3.0]


# Greatest and smallest
@pytest.mark.parametrize(
    ("extremum", "whole", "rows", "positions", "columns", "paired"),
    [
        ("max", 7.0, [5.0, 7.0], [1, 0], [7.0, 5.0, 6.0], [[4.0, 5.0, 4.0], [7.0, 4.0, 6.0]]),
        ("min", 1.0, [1.0, 2.0], [0, 1], [1.0, 2.0, 3.0], [[1.0, 4.0, 3.0], [4.0, 2.0, 4.0]]),
    ],
)
def test_max_and_min_in_all_their_forms(extremum, whole, rows, positions, columns, paired, device):
    x = mg.tensor([[1.0, 5.0, 3.0], [7.0, 2.0, 6.0]], device=device)
    for call in (getattr(x, extremum), lambda *args, **named: getattr(mg, extremum)(x, *args, **named)):
        assert call().item() == whole
        assert call(mg.full((2, 3), 4.0, device=device)).tolist() == paired
        for values, indices in (call(1), call(dim=-1), call(axis=1), call(1, False)):
            assert (values.tolist(), indices.tolist()) == (rows, positions)
        assert call(axis=0).values.tolist() == columns
        for kept in (call(1, True), call(1, keepdim=True), call(axis=1, keepdims=True)):
            assert kept.values.tolist() == [[row] for row in rows]
            assert kept.indices.tolist() == [[position] for position in positions]


# Shapes and positions
def test_expand_keeps_the_axes_that_are_minus_one():
    x = mg.tensor([[1.0], [2.0]])
    assert x.expand(-1, 3).tolist() == x.expand((2, 3)).tolist() == [[1.0] * 3, [2.0] * 3]
    assert x.expand(2, -1, 2).tolist() == [[[1.0, 1.0], [2.0, 2.0]]] * 2
    assert x.expand(1, 2, 1).shape == x.expand(1, -1, -1).shape == (1, 2, 1)
    with pytest.raises(mg.ShapeError, match="expected a size for each of the 1 new axes"):
        x.expand(-1, -1, -1)


@pytest.mark.parametrize(("start", "end"), [(2, -1), (0, 2), (1, 0), (-3, 1), (0, -3)])
def test_flatten_refuses_axes_that_are_not_there(start, end):
    with pytest.raises(IndexError, match=f"start_dim {start} to end_dim {end} are not axes of a Tensor with 2 axes"):
        mg.ones(2, 3).flatten(start, end)


def test_squeeze_refuses_an_axis_that_is_not_there():
    for axis in (2, -3):
        with pytest.raises(IndexError, match=f"dim {axis} is not an axis of a Tensor with 2 axes"):
            mg.ones(1, 3).squeeze(axis)


def test_positions_on_a_device_are_held_to_their_own_axis(device):
    x = mg.arange(30.0).reshape(2, 5, 3)
    mask = [[True, False, True, False, False], [False] * 5]
    y = x.to(device)
    for index in (
        lambda at: (at([0, 1]),),
        lambda at: (at([-2, 1]),),
        lambda at: (0, at([4])),
        lambda at: (slice(1), at([-5, 4])),
        lambda at: (None, 1, at([4])),
        lambda at: (..., at([-3, 2])),
        lambda at: (..., at([4]), 0),
        lambda at: (..., None, at([2])),
        lambda at: (at([[0], [1]]), at([4])),
        lambda at: (at(mask), at([0, 2])),
        lambda at: (..., at(mask), at([0, 2])),
        lambda at: (True, slice(None), slice(None), at([2])),
    ):
        here = index(mg.tensor)
        there = index(lambda data: mg.tensor(data, device=device))
        assert y[there].tolist() == x[here].tolist()
    for index in ((2,), (-3,), (0, 5), (..., 3), (..., -4), (..., 5, 0), (None, 2), (slice(None), -6)):
        wrong = tuple(mg.tensor([part], device=device) if type(part) is int and part else part for part in index)
        with pytest.raises(IndexError, match="index"):
            y[wrong]


# Labels
def test_labels_that_a_loader_has_looked_at_are_not_looked_at_again_on_a_device():
    labels = next(iter(DataLoader(TensorDataset(mg.tensor([0, 2, 1])), batch_size=3)))[0].to("strict")
    scores = mg.zeros(3, 3, device="strict")
    before = fake_gpu.host_copies()
    F.cross_entropy(scores, labels)
    assert fake_gpu.host_copies() == before
    F.cross_entropy(scores, labels.clone())
    assert fake_gpu.host_copies() > before


def test_labels_that_a_cast_has_changed_are_looked_at_again():
    labels = next(iter(DataLoader(TensorDataset(mg.tensor([0, 200])), batch_size=2)))[0]
    assert F.one_hot(labels, 256).sum().item() == 2
    with pytest.raises(IndexError, match="got -56 at index 1"):
        F.one_hot(labels.to(mg.int8), 256)


# Elementwise ops
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_what_gives_fractions_gives_float32_for_integers(dtype, device):
    x = mg.tensor([[1, 1], [1, 1]], dtype=dtype, device=device)
    for function in (mg.exp, mg.log, mg.log1p, mg.sqrt, mg.sigmoid, mg.tanh, F.softplus, mg.mean, lambda x: x / x):
        assert function(x).dtype == "float32"
    for function in (mg.softmax, mg.log_softmax, mg.logsumexp):
        assert function(x, 1).dtype == "float32"


def test_softmax_of_great_scores_does_not_overflow(device):
    x = mg.tensor([1000.0, 1000.0, -1000.0], device=device)
    assert x.softmax(0).tolist() == [0.5, 0.5, 0.0]
    assert x.log_softmax(0).tolist() == pytest.approx([-math.log(2), -math.log(2), -2000.0 - math.log(2)])


def test_softplus_is_its_formula_up_to_and_at_the_threshold():
    x = mg.tensor([0.0, 0.5], requires_grad=True)
    y = F.softplus(x, threshold=0.0)
    y.sum().backward()
    assert y.tolist() == pytest.approx([math.log(2), 0.5])
    assert x.grad.tolist() == [0.5, 1.0]


def test_softplus_takes_numbers():
    for wrong in ({"beta": "1"}, {"threshold": "20"}, {"beta": None}):
        with pytest.raises(TypeError, match="softplus: expected numbers as beta and threshold"):
            F.softplus(mg.ones(2), **wrong)


@pytest.mark.parametrize(
    ("base", "exponents", "gradients"),
    [
        (0.5, [2.0, 0.0], [0.25 * math.log(0.5), math.log(0.5)]),
        (2.0, [3.0, -1.0], [8 * math.log(2), math.log(2) / 2]),
        (0.0, [-1.0, 0.0, 2.0], [-math.inf, 0.0, 0.0]),
        (-2.0, [2.0], [math.nan]),
    ],
)
def test_the_gradient_of_a_number_to_a_power(base, exponents, gradients):
    for number in (base, mg.tensor([base], dtype="float64")):
        p = mg.tensor(exponents, dtype="float64", requires_grad=True)
        (number**p).sum().backward()
        assert p.grad.tolist() == pytest.approx(gradients, nan_ok=True)


# The linear layer and the product
def test_linear_says_what_shapes_it_expects():
    with pytest.raises(ValueError, match=r"linear: input \(2, 3\) has 3 features, but the weight \(4, 5\) expects 5"):
        F.linear(mg.ones(2, 3), mg.ones(4, 5))
    with pytest.raises(ValueError, match=r"bias \(3,\) does not fit the weight \(4, 5\): expected \(4,\)"):
        F.linear(mg.ones(2, 5), mg.ones(4, 5), mg.ones(3))


def test_a_layer_without_outputs_has_gradients_without_elements(device):
    x = mg.ones(2, 3, device=device, requires_grad=True)
    w, b = mg.ones(0, 3, device=device, requires_grad=True), mg.ones(0, device=device, requires_grad=True)
    F.linear(x, w, b).sum().backward()
    assert (w.grad.shape, b.grad.shape) == ((0, 3), (0,))
    assert x.grad.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("lying", ["in rows", "in columns"])
def test_the_gradient_of_a_bias_does_not_lose_many_small_rows_beside_a_great_one(lying, device):
    b = mg.zeros(2, device=device, requires_grad=True)
    g = mg.ones(1025, 2, device=device) if lying == "in rows" else mg.ones(2, 1025, device=device).T
    g[0] = 2.0**24  # 2²⁴ + 1 is 2²⁴ in float32: added one by one, all the ones are lost
    F.linear(mg.ones(1025, 1, device=device), mg.ones(2, 1, device=device), b).backward(g)
    assert b.grad.tolist() == pytest.approx([2.0**24 + 1024] * 2, rel=1e-5)


def test_a_matrix_that_meets_many_gets_the_sum_of_their_gradients(device):
    x = mg.ones(2, 3, device=device, requires_grad=True)
    w = mg.ones(5, 3, 4, device=device, requires_grad=True)
    (x @ w).sum().backward()
    assert x.grad.tolist() == [[20.0] * 3] * 2
    assert w.grad.tolist() == [[[2.0] * 4] * 3] * 5


# In place
def test_add_and_sub_in_place_take_the_other_alpha_times():
    x = mg.tensor([1.0, 2.0])
    assert x.add_(10).tolist() == [11.0, 12.0]
    assert x.sub_(10).tolist() == [1.0, 2.0]
    assert x.add_(10, alpha=2).tolist() == [21.0, 22.0]
    assert x.sub_(mg.tensor([1.0, 2.0]), alpha=0.5).tolist() == [20.5, 21.0]
    assert x.add_(10, alpha=1).tolist() == [30.5, 31.0]


def test_a_number_too_great_for_the_dtype_is_a_value_error():
    x = mg.tensor([1, 2])
    with pytest.raises(ValueError, match=r"fill_: .* \(dtype int64\)"):
        x.fill_(10**30)
    assert x.tolist() == [1, 2]


# The walk
def test_the_first_ops_of_a_process_have_gradients():
    program = "import minigrad as mg; x = mg.tensor(3.0, requires_grad=True); (x * x).backward(); print(x.grad.item())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("6.0\n", "")


def test_anomalies_of_a_thread_that_is_not_watched_are_its_own_affair():
    found = []
    with mg.detect_anomaly():
        thread = threading.Thread(target=lambda: found.append(mg.tensor(-1.0).log().isnan().item()))
        thread.start()
        thread.join()
    assert found == [True]


def test_what_a_thread_that_is_not_watched_does_is_not_looked_at_nor_written_down():
    found = []

    def work():
        x = mg.tensor(0.0, requires_grad=True)
        x.sqrt().backward()
        found.append(x.grad.item())
        y = x * x
        with mg.no_grad():
            x += 1
        try:
            y.backward()
        except RuntimeError as error:
            found.append("it was changed in" in str(error))

    with mg.detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [math.inf, False]


def test_gradients_that_are_recorded_add_up_too():
    x = mg.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (x * x).backward(create_graph=True)
    assert x.grad.item() == 12.0
    assert mg.grad(x.grad, [x])[0].item() == 4.0


def test_a_recorded_gradient_of_what_an_op_made():
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    (g,) = mg.grad(y * y, y, create_graph=True)
    assert g.item() == 18.0
    assert mg.grad(g, x)[0].item() == 12.0


def test_grad_takes_tensors():
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="grad: expected a Tensor as output, got float"):
        mg.grad([2.0], [x])
    with pytest.raises(TypeError, match="grad: expected a Tensor as input, got str"):
        mg.grad(x.sum(), ["x"])


def test_no_two_gradients_share_their_memory(device):
    x, w = mg.ones(2, device=device, requires_grad=True), mg.ones(2, device=device, requires_grad=True)
    gradient = mg.tensor([1.0, 2.0], device=device)
    x.backward(gradient)
    y = x + w
    y.retain_grad()
    y.backward(gradient)
    for each in (x, w, y):
        each.grad *= 10
    assert gradient.tolist() == [1.0, 2.0]
    assert x.grad.tolist() == [20.0, 40.0]
    assert w.grad.tolist() == y.grad.tolist() == [10.0, 20.0]


def test_a_gradient_lies_in_memory_as_its_tensor_does():
    x = mg.ones(3, 2, requires_grad=True)
    (x.T * mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
    assert x.grad.tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    assert x.grad.array.strides == x.array.strides
    w = mg.ones(2, 3, requires_grad=True)
    F.linear(mg.tensor([[1.0, 2.0, 3.0]]), w).backward(mg.tensor([[1.0, 10.0]]))
    assert w.grad.tolist() == [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]
    assert w.grad.array.strides == w.array.strides


def test_a_gradient_that_is_a_part_of_an_array_does_not_keep_the_rest():
    whole = []

    @op("(...)->(...)")
    def same(xp, x):
        def rule(g):
            twice = xp.concatenate([g, g])
            whole.append(weakref.ref(twice))
            return twice[:2]

        return xp.copy(x), (rule,)

    del OPS["same"]
    x = mg.ones(2, requires_grad=True)
    same(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert whole[0]() is None


# What detect_anomaly says
def test_an_integer_and_an_argument_without_a_name_are_looked_at_too():
    big = mg.tensor([3e38])
    with pytest.raises(mg.AnomalyError, match=r"mul produced inf at \[0\].*; b: 10; called in"), mg.detect_anomaly():
        big * 10
    nan, empty = mg.tensor([math.nan]), mg.zeros(0)
    with pytest.raises(mg.AnomalyError) as caught, mg.detect_anomaly():
        mg.cat([empty, nan])
    assert "argument 0: (0,) float32; argument 1: (1,) float32, nan there" in str(caught.value)


def test_of_a_single_number_no_range_is_told():
    with pytest.raises(mg.AnomalyError, match=r"; x: \(\) float32, 0 there; called in"), mg.detect_anomaly():
        mg.tensor(0.0).log()


def test_gradients_that_meet_are_told_with_their_values():
    x = mg.tensor([1.0], requires_grad=True)
    y, z = x * 1.0, x * 1.0
    told = r"the first: .*, 2e\+38 there.*; the next: .*, 3e\+38 there"
    with pytest.raises(mg.AnomalyError, match=told), mg.detect_anomaly():
        mg.grad([y, z], x, [mg.tensor([3e38]), mg.tensor([2e38])])


def test_an_inf_that_was_given_as_a_gradient_may_be_added_to():
    x = mg.tensor([1.0], requires_grad=True)
    with mg.detect_anomaly():
        for given in ([1.0, math.inf], [math.inf, 1.0]):
            found = mg.grad([x * 1.0, x * 1.0], x, [mg.tensor([each]) for each in given])
            assert found[0].tolist() == [math.inf]


# What a Tensor is
def test_size_is_the_shape_or_one_axis_of_it():
    x = mg.ones(2, 3)
    assert x.size() == (2, 3)
    assert (x.size(0), x.size(-1)) == (2, 3)


def test_only_what_no_op_made_is_a_leaf():
    x = mg.tensor(1.0, requires_grad=True)
    assert x.is_leaf is True
    assert (2 * x).is_leaf is False


def test_numpy_copies_a_tensor_only_when_asked():
    x = mg.ones(2)
    assert x.__array__() is x.array
    assert x.__array__(copy=True) is not x.array
    assert x.__array__("float64").dtype == "float64"
