"""A replayed step is bit-identical to eager execution, and one compiled step is kept for each kind of input."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref

import numpy as np
import pytest
from helpers.fake_gpu import DEVICES
from helpers.op_check import on_device
from helpers.steps import LOSSES, after, agrees, batches, bits, counted, eager, model_of, trained
from helpers.strategies import Argument, cases
from helpers.torch_reference import REFERENCES
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.autograd.methods import OPS
from minigrad.autograd.tensor import note_value_range
from minigrad.backend import library
from minigrad.nn import functional as F


@pytest.mark.parametrize("name", LOSSES)
def test_training_is_bit_identical(name, device):
    given = batches(6, device)
    expected = trained(eager, LOSSES[name], given, momentum=0.9)
    assert trained(mg.replay, LOSSES[name], given, momentum=0.9) == expected


@pytest.mark.parametrize("optimizer", [optim.Adam, optim.AdamW])
def test_training_in_float64_is_bit_identical(optimizer):
    given = batches(6, dtype="float64")
    expected = trained(eager, LOSSES["cross-entropy"], given, optimizer)
    assert trained(mg.replay, LOSSES["cross-entropy"], given, optimizer) == expected


WITH_GRADIENT = sorted(name for name, reference in REFERENCES.items() if reference.gradient and name != "move")


@pytest.mark.parametrize("name", WITH_GRADIENT)
@given(drawn=st.data())
def test_op_is_bit_identical_with_the_next_values(name, backend, drawn):
    lib = library(DEVICES[backend])
    case = drawn.draw(cases(OPS[name].op, "float64", DEVICES[backend]))
    options = on_device(case.options, lib)
    places = [i for i, each in enumerate(case.arguments) if isinstance(each, Argument)]
    hosts = [case.arguments[i].host for i in places]

    def function(*tensors):
        args = list(case.arguments)
        for i, tensor in zip(places, tensors):
            args[i] = tensor
        y = OPS[name](*args, **options)
        return (y * y).sum()

    def leaves(order):
        made = [mg.Tensor(lib.from_host(np.array(order(each)))) for each in hosts]
        for tensor, differentiable in zip(made, takes_gradient(name, len(made))):
            tensor.requires_grad = differentiable and tensor.dtype.kind == "f"
        return made

    first, again, expected = leaves(lambda a: a), leaves(reversed_rows), leaves(reversed_rows)
    if not any(tensor.requires_grad for tensor in first):
        return
    step = mg.replay(nn.Module(), function)
    index = case.options.get("index")
    if any(isinstance(part, np.ndarray) for part in (index if isinstance(index, tuple) else (index,))):
        with pytest.raises(RuntimeError, match="neither an input nor a parameter"):
            step(*first)
        return
    step(*first)
    loss, wanted = step(*again), function(*expected)
    wanted.backward()
    assert bits([loss]) == bits([wanted])
    for replayed, tensor in zip(again, expected):
        assert (replayed.grad is None) == (tensor.grad is None)
        if tensor.grad is not None:
            assert bits([replayed.grad]) == bits([tensor.grad])


def reversed_rows(array):
    return array[::-1] if array.ndim else array


def takes_gradient(name, count):
    constant = {"where": [0], "softmax_cross_entropy": [1], "binary_cross_entropy_with_logits": [2]}.get(name, [])
    return [i not in constant for i in range(count)]


def test_gradients_accumulate_and_the_loss_has_no_graph():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    first = step(x, y)
    once = bits(p.grad for p in model.parameters())
    for p in model.parameters():
        p.grad = None
    for _ in range(2):
        step(x, y)
    assert bits(p.grad * 0.5 for p in model.parameters()) == once
    assert not first.requires_grad
    assert first.grad_fn is None


def test_input_that_requires_grad_gets_its_gradient():
    model, ((x, y), (other, _)) = model_of(), batches(2)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x.requires_grad_(), y)
    step(other.requires_grad_(), y)
    expected = other.detach().requires_grad_()
    F.cross_entropy(model(expected), y).backward()
    assert bits([other.grad]) == bits([expected.grad])
    step(plain := mg.ones(8, 6), y)
    assert plain.grad is None
    step(plain.requires_grad_(), y)
    assert plain.grad is not None


def test_tensor_passed_twice_gets_one_gradient():
    model = nn.Linear(6, 4)
    function = lambda x, other, more: (model(x) * model(other) * x.exp().sum() + model(more)).sum()
    step = mg.replay(model, function)
    a, b, c = (mg.randn(8, 6, requires_grad=True) for _ in range(3))
    for inputs in ((a, b, c), (a, a, b), (b, b, c), (a, b, b), (c, c, c), (a, b, a), (c, a, b)):
        assert agrees(model, function, step, *inputs)
    assert len(step.steps) == 5  # one for each pattern


def test_whether_inputs_are_one_tensor_is_a_guard():
    model, (a, b) = nn.Linear(6, 4), (batches(2)[0][0], batches(2)[1][0])
    function = lambda x, y: model(x).sum() * (2.0 if x is y else 3.0)
    step = mg.replay(model, function)
    assert all(agrees(model, function, step, *pair) for pair in ((a, a), (a, b), (b, a), (b, b)))


def test_gradient_may_be_modified_afterwards():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda: model.weight.sum() + (model.bias * 3).sum())
    for _ in range(3):
        step()
        assert (model.weight.grad.tolist(), model.bias.grad.tolist()) == ([[1.0, 1.0]], [3.0])
        for p in model.parameters():
            p.grad.zero_()
            p.grad = None


def test_loss_may_be_modified_afterwards():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda: (model.weight * 0).sum())
    first = step()
    first.add_(5.0)
    assert step().item() == 0.0


def test_shared_grad_accumulates_in_eager_order():
    model = nn.Module()
    model.a, model.b = nn.Parameter(mg.rand(3)), nn.Parameter(mg.rand(3))
    function = lambda x: ((x * model.b).exp() * model.a).sum()
    step = mg.replay(model, function)
    for _ in range(3):
        x, totals = mg.rand(3), []
        for run in (step, eager(model, function)):
            model.a.grad = model.b.grad = mg.tensor([0.1, 1e4, 3e7])
            run(x)
            totals.append(bits([model.a.grad]))
        assert totals[0] == totals[1]


def test_last_batch_may_be_smaller(device):
    given = [*batches(2, device), *batches(2, device, rows=3), *batches(2, device)]
    expected = trained(eager, LOSSES["cross-entropy"], given)
    assert trained(mg.replay, LOSSES["cross-entropy"], given) == expected


def test_batch_may_be_empty():
    model = nn.Linear(6, 4)
    function = lambda x: (model(x) ** 2).sum()
    step = mg.replay(model, function)
    assert all(agrees(model, function, step, mg.ones(rows, 6)) for rows in (0, 2, 0, 1))


# The cache
def test_function_is_called_once_for_each_shape():
    model = model_of()
    function, calls = counted(LOSSES["cross-entropy"](model))
    step = mg.replay(model, function)
    given = batches(3), batches(3, rows=5)
    for x, y in [*given[0], *given[1], *given[0]]:
        note_value_range(y, (0, 3))
        step(x, y)
    assert len(calls) == 2


def test_function_is_called_again_only_for_new_labels():
    model = model_of()
    function, calls = counted(LOSSES["cross-entropy"](model))
    step = mg.replay(model, function)
    x = mg.zeros(2, 6)
    for labels in ([0, 1], [1, 0], [2, 3], [0, 3], [0, 1], [1, 2]):
        step(x, mg.tensor(labels))
    assert len(calls) == 2


def test_each_training_mode_has_its_step():
    model = model_of("cpu", "float32", nn.Dropout(0.0))
    function, calls = counted(LOSSES["cross-entropy"](model))
    step, ((x, y),) = mg.replay(model, function), batches(1)
    for training in (True, False, True, False):
        model.train(training)
        step(x, y)
    assert len(calls) == 2


def test_new_weights_need_no_new_step():
    model = model_of()
    function, calls = counted(LOSSES["cross-entropy"](model))
    step, ((x, y),) = mg.replay(model, function), batches(1)
    for _ in range(3):
        step(x, y)
        for p in model.parameters():
            p.data = p.detach() * 0.5
    assert len(calls) == 1


def test_cache_is_bounded():
    model = nn.Linear(3, 2)
    function, calls = counted(lambda x: model(x).sum())
    step = mg.replay(model, function)
    for rows in range(1, 1001):
        assert step(mg.zeros(rows, 3)).shape == ()
    assert len(step.steps) <= 16
    step.steps, step.misses = [], 0
    for rows in range(1, 101):
        step(mg.zeros(rows, 3))
        step(mg.zeros(rows, 3))
    assert len(step.steps) == 64
    del calls[:]
    step(mg.zeros(100, 3))
    assert not calls


def test_least_recently_used_step_is_dropped(monkeypatch):
    monkeypatch.setattr(sys.modules["minigrad.jit.replay"], "MAX_STEPS", 2)
    model = nn.Linear(3, 2)
    function, calls = counted(lambda x: model(x).sum())
    step = mg.replay(model, function)
    for rows in (1, 2, 1, 3):
        step(mg.zeros(rows, 3))
    del calls[:]
    step(mg.zeros(1, 3))
    assert not calls


def test_first_8_misses_and_then_powers_of_2_are_traced():
    model = nn.Linear(3, 2)
    step = mg.replay(model, lambda x: model(x).sum())
    counts = []
    for rows in range(1, 33):
        step(mg.zeros(rows, 3))
        counts.append(len(step.steps))
    assert counts == [*range(1, 9), *[8] * 7, *[9] * 16, 10]


def test_step_that_changes_in_each_call_is_run_eagerly():
    model, x = nn.Linear(3, 2), mg.rand(4, 3)
    scale = 0.0
    function = lambda x: (model(x) * scale).sum()
    step = mg.replay(model, function)
    for scale in range(100):  # noqa: B007
        assert agrees(model, function, step, x)
    assert len(step.steps) < 16
    assert all(agrees(model, function, step, x) for _ in range(200))
    assert step.misses == 0  # compiled at last


def test_replaced_weights_are_freed():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    before = weakref.ref(model[0].weight.detach().numpy())
    for p in model.parameters():
        p.data = p.detach().clone()
    step(x, y)
    gc.collect()
    assert before() is None


def test_step_is_copied_and_pickled_without_its_cache():
    model, x = nn.Linear(6, 4), mg.rand(8, 6)
    step = mg.replay(model, F.mse_loss)
    step(x.requires_grad_(), mg.rand(8, 6))
    for other in (copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        assert type(other) is mg.replay
        assert other.function is F.mse_loss
        assert other.model is not model
        assert other.steps == []


# Kinds of inputs and weights
def test_strides_decide_how_a_bias_is_summed():
    model = nn.Linear(4, 4)
    function = lambda x: (model(x) * x).sum()  # the gradient of the layer's output has the strides of x
    step = mg.replay(model, function)
    for rows in (mg.rand(1000, 4), mg.rand(4, 1000).t(), mg.rand(1000, 4), mg.rand(2000, 8)[::2, ::-2]):
        assert agrees(model, function, step, rows)


def test_strides_of_weights_are_a_guard():
    model = nn.Linear(4, 4, bias=False)
    function = lambda x: (model.weight * x).sum(0).exp().sum()
    step = mg.replay(model, function)
    for weight in (mg.rand(4, 4), mg.rand(4, 4).t(), mg.rand(8, 8)[::2, ::-2]):
        model.weight.data = weight
        assert agrees(model, function, step, mg.rand(4, 4))
        assert model.weight.grad.array.strides == model.weight.array.copy(order="K").strides


def test_input_may_have_another_dtype_of_the_same_size():
    model, (x, _) = nn.Linear(6, 4), batches(1)[0]
    step = mg.replay(model, lambda x, weight: (model(x) * weight).sum())
    for dtype in ("float32", "int32"):
        weight = mg.ones(4, dtype=dtype)
        assert bits([step(x, weight)]) == bits([(model(x) * weight).sum()])


def test_input_may_come_from_another_device(device):
    step = mg.replay(nn.ReLU(), lambda x: mg.relu(x).sum())
    for where in ("cpu", device, "cpu"):
        x = mg.ones(2, 3).to(where).requires_grad_()
        assert step(x).device == x.grad.device == x.device


def test_two_devices_are_refused():
    model = nn.Linear(6, 4).to("strict")
    with pytest.raises(RuntimeError, match="replay: expected inputs and parameters on one device"):
        mg.replay(model, lambda x: model(x).sum())(mg.ones(1, 6))


def test_frozen_parameters_get_no_gradient():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    for frozen in (False, True, False):
        model[0].requires_grad_(not frozen)
        model.zero_grad()
        step(x, y)
        assert (model[0].weight.grad is None) == frozen
        assert model[2].weight.grad is not None


def test_new_weights_are_used():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    other = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    model.load_state_dict(other.state_dict())
    assert bits([step(x, y)]) == bits([F.cross_entropy(other(x), y)])
    model[0].weight.data = mg.zeros(5, 6)
    assert bits([step(x, y)]) == bits([F.cross_entropy(model(x), y)])
    model.double()
    assert step(x.double(), y).dtype == mg.float64


def test_weights_of_another_size_are_used():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda: model.weight.mean())
    for size in (2, 4):
        model.weight.grad = None
        model.weight.data = mg.ones(1, size)
        assert step().item() == 1.0
        assert model.weight.grad.tolist() == [[1 / size] * size]


def test_weights_that_share_an_array_get_their_own_gradients():
    model = nn.Module()
    model.a, model.b = nn.Parameter(mg.rand(3)), nn.Parameter(mg.rand(3))
    function = lambda x: (x * model.a + (x * model.b).exp()).sum()
    step = mg.replay(model, function)
    for data_of_b in (model.a.data, mg.rand(3), model.a.data):
        model.b.data = data_of_b
        assert agrees(model, function, step, mg.rand(3))


# Errors
def test_labels_out_of_range_are_refused_in_every_step(device):
    model, ((x, y), (_, other)) = model_of(device), batches(2, device)
    function, calls = counted(LOSSES["cross-entropy"](model))
    step = mg.replay(model, function)
    step(x, y)
    wrong = mg.tensor([0, 1, 2, 3, 4, 0, 0, 0]).to(device)
    for expected in (2, 3):
        with pytest.raises(IndexError, match="expected labels from 0 to 3, got 4 at index 4"):
            step(x, wrong)
        assert len(calls) == expected
    assert bits([step(x, other)]) == bits([F.cross_entropy(model(x), other)])


def test_ignored_labels_are_refused_in_a_later_step():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    with pytest.raises(RuntimeError, match="reads the value of an element"):
        step(x, mg.tensor([-100, 1, 2, -100, 0, 0, 3, 0]))
    assert bits([step(x, y)]) == bits([F.cross_entropy(model(x), y)])


def test_wrong_loss_or_input_is_refused():
    model, ((x, y),) = model_of(), batches(1)
    with pytest.raises(TypeError, match="replay: expected a Tensor as loss, got float"):
        mg.replay(model, lambda x: 1.0)(x)
    with pytest.raises(TypeError, match="replay: expected a Tensor as input, got ndarray"):
        mg.replay(model, LOSSES["cross-entropy"](model))(x.numpy(), y)
    with pytest.raises(RuntimeError, match=r"replay: expected inputs without a graph, .*; use x.detach\(\)"):
        mg.replay(model, LOSSES["cross-entropy"](model))(x.requires_grad_() * 2, y)
    with pytest.raises(RuntimeError, match="expected an input or a parameter that could get a gradient"):
        mg.replay(nn.ReLU(), lambda: mg.ones(1))()
    with pytest.raises(TypeError, match="replay: expected a Module as model, got list"):
        mg.replay([], lambda x: x.sum())


def test_parameter_of_the_model_is_refused_as_input():
    model = nn.Linear(2, 2)
    step = mg.replay(model, lambda x: model(x).sum())
    other = nn.Parameter(mg.rand(2, 2))
    for _ in range(2):
        step(other)
        with pytest.raises(RuntimeError, match="replay: expected inputs, got a parameter of the model"):
            step(model.weight)
    assert other.grad is not None


def test_step_inside_of_a_step_is_refused():
    model, ((x, y),) = model_of(), batches(1)
    inner = mg.replay(model, LOSSES["cross-entropy"](model))
    with pytest.raises(RuntimeError, match="calls another replayed step"):
        mg.replay(model, lambda x, y: inner(x, y) * 2)(x, y)


def test_error_of_a_replay_names_the_op():
    model = nn.Linear(3, 2)
    function = lambda x, b: (model(x) * mg.div(6, b, rounding_mode="floor").sum()).sum()
    step = mg.replay(model, function)
    x = mg.rand(4, 3)
    assert agrees(model, function, step, x, mg.tensor([1]))
    with pytest.raises(ValueError, match="div_rounded: division by zero"):
        step(x, mg.tensor([0]))
    assert agrees(model, function, step, x, mg.tensor([2]))


def test_no_grad_raises_as_backward_does():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    with mg.no_grad(), pytest.raises(RuntimeError, match="computed under no_grad"):
        step(x, y)


def test_detect_anomaly_names_the_op():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, lambda x, y: F.cross_entropy(model(x).log(), y))
    step(x, y)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="log produced nan"):
        step(x, y)


# In-place updates
def test_inplace_update_of_an_input_is_repeated():
    model, other = nn.Linear(3, 1), nn.Parameter(mg.ones(2, 3))
    function = lambda x: model(x.mul_(0.5)).sum()
    step = mg.replay(model, function)
    for _ in range(3):
        x = mg.rand(2, 3)
        y, out = x.clone(), (other * x).sum()
        assert after(model, step, [x])[0] == after(model, eager(model, function), [y])[0]
        assert bits([x]) == bits([y])
        with pytest.raises(RuntimeError, match="modified in place"):
            out.backward()
    assert len(step.steps) == 1


def test_inplace_update_of_a_weight_is_repeated():
    model = nn.Linear(3, 1)

    def function(x):
        with mg.no_grad():
            model.weight.mul_(0.5)
        return model(x).sum()

    step, x = mg.replay(model, function), mg.rand(2, 3)
    for _ in range(3):
        before, found = model.weight.detach().clone(), []
        for run in (step, eager(model, function)):
            model.weight.detach().copy_(before)
            found.append((after(model, run, [x]), bits([model.weight])))
        assert found[0] == found[1]


def test_inplace_update_reaches_views_of_the_same_memory():
    model = nn.Linear(3, 1)

    def function(a, b):
        a.mul_(0.5)
        return model(b).sum()

    step = mg.replay(model, function)
    for start in (2, 0, 1, 4, 0):  # b overlaps a, is a, or lies beside it
        base = mg.rand(6, 3)
        found = []
        for run in (step, eager(model, function)):
            memory = base.clone()
            found.append((after(model, run, [memory[0:2], memory[start : start + 2]])[0], bits([memory])))
        assert found[0] == found[1]


def test_inplace_update_of_aliased_inputs_raises_as_eager():
    model = nn.Linear(3, 1)

    def function(a, b):
        loss = (model(b) ** 2).sum()
        a.mul_(0.5)
        return loss

    step = mg.replay(model, function)
    step(mg.rand(2, 3), mg.rand(2, 3))
    memory = mg.rand(4, 3)
    with pytest.raises(RuntimeError, match="modified in place after linear had used it"):
        step(memory[:2], memory[2:])


def test_mask_with_another_count_is_traced_again():
    model = nn.Linear(2, 1)
    functions = [
        lambda x, mask: (model(x)[mask] ** 2).mean(),
        lambda x, mask: model(x).sum() * len(x[mask]),
        lambda x, mask: model(x[x[:, 0] > 0.5]).sum() * x[mask].sum(),
    ]
    for function in functions:
        step, rng = mg.replay(model, function), np.random.default_rng(0)
        for _ in range(30):
            mask = mg.from_numpy((rng.random(4) < 0.5) | (np.arange(4) == 0))
            assert agrees(model, function, step, mg.rand(4, 2), mask)
        assert step.steps


# What it costs
def test_replay_makes_no_copy_to_the_host():
    from helpers import fake_gpu

    model = model_of("strict")
    loader = data.DataLoader(data.TensorDataset(*batches(1, "strict", rows=32)[0]), batch_size=8)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    for epoch in range(2):
        each = iter(loader)
        first = next(each)  # the range of the labels is read once per epoch
        before = fake_gpu.host_copies()
        for x, y in [first, *each]:
            step(x, y)
        assert epoch == 0 or fake_gpu.host_copies() == before
