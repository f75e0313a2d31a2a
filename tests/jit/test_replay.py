"""A replayed step does what the engine does, to the bit, and what it cannot repeat it refuses."""

from __future__ import annotations

import gc
import math
import re
import threading
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import DEVICES
from helpers.op_check import on_device
from helpers.strategies import Argument, cases
from helpers.torch_reference import REFERENCES
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op, tensor_namespace
from minigrad.autograd.tensor import note_value_range
from minigrad.backend import library
from minigrad.nn import functional as F


def model_of(device="cpu", dtype="float32", *more):
    mg.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), *more, nn.Linear(5, 4)).to(device, dtype=dtype)


def batches(count, device="cpu", dtype="float32", rows=8):
    mg.manual_seed(1)
    return [(mg.randn(rows, 6, dtype=dtype).to(device), mg.randint(0, 4, (rows,)).to(device)) for _ in range(count)]


def host(tensor):
    return tensor.detach().cpu().numpy()


def bits(tensors):
    """The bytes of each; a NaN is a NaN, its sign is nobody's."""
    return [np.where(np.isnan(array), np.nan, array).tobytes() for array in map(host, tensors)]


def eager(model, function):
    def step(*inputs):
        loss = function(*inputs)
        loss.backward()
        return loss

    return step


def trained(make_step, function_of, batches, optimizer=optim.SGD, **options):
    """The bits of all losses and of the weights after a training with that kind of step."""
    device, dtype = batches[0][0].device, batches[0][0].dtype
    model = model_of(device, dtype)
    step = make_step(model, function_of(model))
    sgd = optimizer(model.parameters(), lr=0.1, **options)
    losses = []
    for batch in batches:
        losses.append(step(*batch))
        sgd.step()
        sgd.zero_grad()
    return bits(losses), bits(model.parameters())


LOSSES = {
    "cross-entropy": lambda model: lambda x, y: F.cross_entropy(model(x), y),
    "sum of cross-entropies": lambda model: lambda x, y: F.cross_entropy(model(x), y, reduction="sum"),
    "class ignored": lambda model: lambda x, y: F.cross_entropy(model(x), y, ignore_index=2),
    "smoothed": lambda model: lambda x, y: F.cross_entropy(model(x), y, label_smoothing=0.1),
    "nll": lambda model: lambda x, y: F.nll_loss(F.log_softmax(model(x), 1), y),
    "one-hot": lambda model: lambda x, y: F.mse_loss(F.softmax(model(x), 1), F.one_hot(y, 4).to(dtype=x.dtype)),
    "model used twice": lambda model: lambda x, y: F.cross_entropy(model(x) + model(-x), y),
    "penalty": lambda model: lambda x, y: F.cross_entropy(model(x), y) + sum((p * p).sum() for p in model.parameters()),
    "stacked": lambda model: lambda x, y: F.cross_entropy(mg.cat([model(x[:3]), model(x[3:])]), y),
    "no input": lambda model: lambda x, y: sum(p.sum() for p in model.parameters()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_training_has_the_bits_of_the_engine(name, device):
    given = batches(6, device)
    expected = trained(eager, LOSSES[name], given, momentum=0.9)
    assert trained(mg.replay, LOSSES[name], given, momentum=0.9) == expected


def test_other_optimizers_and_float64():
    given = batches(6, dtype="float64")
    for optimizer in (optim.Adam, optim.AdamW):
        expected = trained(eager, LOSSES["cross-entropy"], given, optimizer)
        assert trained(mg.replay, LOSSES["cross-entropy"], given, optimizer) == expected


WITH_GRADIENT = sorted(name for name, reference in REFERENCES.items() if reference.gradient and name != "move")


@pytest.mark.parametrize("name", WITH_GRADIENT)
@given(drawn=st.data())
def test_every_op_has_the_same_bits_with_the_next_values(name, backend, drawn):
    lib = library(DEVICES[backend])
    case = drawn.draw(cases(OPS[name].op, "float64", DEVICES[backend]))
    static = on_device(case.options, lib)
    places = [i for i, each in enumerate(case.arguments) if isinstance(each, Argument)]
    hosts = [case.arguments[i].host for i in places]

    def function(*tensors):
        args = list(case.arguments)
        for i, tensor in zip(places, tensors):
            args[i] = tensor
        y = OPS[name](*args, **static)
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


def test_gradients_are_added_and_the_loss_has_no_graph():
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


def test_an_input_that_requires_a_gradient_gets_it():
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


def test_a_tensor_may_be_given_twice():
    model, (x, y) = nn.Linear(6, 4), (batches(2)[0][0], batches(2)[1][0])
    function = lambda x, other, more: (model(x) * model(other) + model(more)).sum()
    step = mg.replay(model, function)
    step(x, x, x)
    assert bits([step(y, y, y)]) == bits([function(y, y, y)])


def test_a_gradient_may_be_changed_afterwards():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda: model.weight.sum() + (model.bias * 3).sum())
    for _ in range(3):
        step()
        assert (model.weight.grad.tolist(), model.bias.grad.tolist()) == ([[1.0, 1.0]], [3.0])
        for p in model.parameters():
            p.grad.zero_()
            p.grad = None


def test_a_changed_loss_stays_with_its_owner():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda: (model.weight * 0).sum())
    first = step()
    first.add_(5.0)
    assert step().item() == 0.0


def test_the_last_batch_may_be_smaller(device):
    given = [*batches(2, device), *batches(2, device, rows=3), *batches(2, device)]
    expected = trained(eager, LOSSES["cross-entropy"], given)
    assert trained(mg.replay, LOSSES["cross-entropy"], given) == expected


def counted(function):
    """The function, and a list that grows with each of its calls."""
    calls = []

    def call(*inputs):
        calls.append(1)
        return function(*inputs)

    return call, calls


def test_the_function_is_called_once_for_each_shape():
    model = model_of()
    function, calls = counted(LOSSES["cross-entropy"](model))
    step = mg.replay(model, function)
    given = batches(3), batches(3, rows=5)
    for x, y in [*given[0], *given[1], *given[0]]:
        note_value_range(y, (0, 3))
        step(x, y)
    assert len(calls) == 2


def test_the_function_is_called_again_only_for_labels_not_seen_so_far():
    model = model_of()
    function, calls = counted(LOSSES["cross-entropy"](model))
    step = mg.replay(model, function)
    x = mg.zeros(2, 6)
    for labels in ([0, 1], [1, 0], [2, 3], [0, 3], [0, 1], [1, 2]):
        step(x, mg.tensor(labels))
    assert len(calls) == 2


# What a step depends on
def test_labels_out_of_range_are_refused_in_every_step(device):
    model, ((x, y), (_, other)) = model_of(device), batches(2, device)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    wrong = mg.tensor([0, 1, 2, 3, 4, 0, 0, 0]).to(device)
    with pytest.raises(IndexError, match="expected labels from 0 to 3, got 4 at index 4"):
        step(x, wrong)
    assert bits([step(x, other)]) == bits([F.cross_entropy(model(x), other)])


def test_labels_to_be_ignored_are_refused_also_where_they_come_later():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    with pytest.raises(RuntimeError, match="looks at the value of an element"):
        step(x, mg.tensor([-100, 1, 2, -100, 0, 0, 3, 0]))
    assert bits([step(x, y)]) == bits([F.cross_entropy(model(x), y)])


def test_the_order_in_memory_decides_how_a_bias_is_summed():
    model = nn.Linear(4, 4)
    function = lambda x: (model(x) * x).sum()  # the gradient of the layer's output lies in memory as x does
    step = mg.replay(model, function)
    for rows in (mg.rand(1000, 4), mg.rand(4, 1000).t(), mg.rand(1000, 4)):
        model.zero_grad()
        step(rows)
        replayed = bits([model.bias.grad])
        model.zero_grad()
        function(rows).backward()
        assert replayed == bits([model.bias.grad])


def test_an_input_may_have_another_dtype_of_the_same_size():
    model, (x, _) = nn.Linear(6, 4), batches(1)[0]
    step = mg.replay(model, lambda x, weight: (model(x) * weight).sum())
    for dtype in ("float32", "int32"):
        weight = mg.ones(4, dtype=dtype)
        assert bits([step(x, weight)]) == bits([(model(x) * weight).sum()])


def test_an_input_may_come_from_another_device(device):
    step = mg.replay(nn.ReLU(), lambda x: mg.relu(x).sum())
    for where in ("cpu", device, "cpu"):
        x = mg.ones(2, 3).to(where).requires_grad_()
        assert step(x).device == x.grad.device == x.device


def test_frozen_parameters_and_those_set_free_again():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    for frozen in (False, True, False):
        model[0].requires_grad_(not frozen)
        model.zero_grad()
        step(x, y)
        assert (model[0].weight.grad is None) == frozen
        assert model[2].weight.grad is not None


def test_new_weights_are_used_however_they_came():
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


def scalar_in_place(xp, x):
    s = xp.sum(x)
    before = s + 0
    s += 1
    s *= 2
    return x * s + before


def view_that_outlives_its_array(xp, x):
    y = 2 * x
    first = y[:1]
    return (y + 1) * first


BODIES = {
    "a view that outlives its array": view_that_outlives_its_array,
    "written to through a view": through_a_view,
    "out, setitem and operators in place": out,
    "a scalar changed in place": scalar_in_place,
    "a negative base": lambda xp, x: (-2.0) ** xp.rint(x),
    "an infinite bound": lambda xp, x: xp.minimum(x, math.inf) + xp.maximum(-math.inf, x),
    "axes, slices, lists": lambda xp, x: xp.concatenate([x[None, :], x[None, ::-1]]).sum(axis=(0,))[[0, 2, 1]],
    "a slice with NumPy's integers": lambda xp, x: x[np.int64(0) :],
    "an empty tuple": lambda xp, x: x + xp.sum(x).reshape(()),
    "dtypes and text": lambda xp, x: xp.einsum("i->i", x.astype(mg.float64)).astype(x.dtype),
    "all operators": lambda xp, x: +x - abs(-x) // 2 + 7 % x + 1 / x + (x @ x) + 2 * x**2 + (3 - x),
    "masks": lambda xp, x: x * (((x > 1) & ~(x >= 3)) | (x < 0) ^ (x <= 2)) + (x == 2) * x + (x != 2),
    "arrays made of shapes alone": lambda xp, x: x + xp.ones_like(x) * xp.arange(x.size),
}


@contextmanager
def op_of(f):
    """An op of f, for a while."""

    def body(xp, x):
        """y = f(x), with a gradient that is not that of f"""
        return f(xp, x), (lambda g: g,)

    try:
        yield op("(i)->(i)")(body)
    finally:
        del OPS["body"]
        del tensor_namespace.body


@pytest.mark.parametrize("name", BODIES)
def test_whatever_an_op_asks_for_is_written_down(name):
    model = nn.Linear(3, 1)
    with op_of(BODIES[name]) as f:
        function = lambda x: (f(x) * model.weight[0]).sum()
        step = mg.replay(model, function)
        for x in ([1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 0.5, 2.0]):
            model.zero_grad()
            loss = step(mg.tensor(x))
            replayed = bits([loss, model.weight.grad])
            model.zero_grad()
            loss = function(mg.tensor(x))
            loss.backward()
            assert replayed == bits([loss, model.weight.grad])


# What can be seen
def test_constants_are_named_above_the_step():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    above, function = step.source.split("def step(x0, x1, p0, p1, p2, p3):")
    for name, described in re.findall(r"# (\w+): (.+)", above):
        assert re.search(rf"\b{name}\b", function), described
    assert above.count("(4, 1) int64") == 1
    assert "ones_like" not in function


def test_a_constant_has_one_name():
    def twice(xp, x):
        numbers = xp.arange(x.size)
        return x * numbers + x * numbers

    model = nn.Linear(2, 1)
    with op_of(twice) as f:
        step = mg.replay(model, lambda x: (f(x) * model.weight[0]).sum())
        step(mg.ones(2))
    assert step.source.count("(2,) int64") == 1


def test_what_nobody_uses_is_left_out():
    model = nn.Linear(2, 1)
    step = mg.replay(model, lambda x: (model(x), model(mg.exp(x)).sum())[1])
    step(mg.ones(3, 2))
    assert step.source.count(" @ ") == 2  # one product forward, one for the gradient of the weight
    assert step.source.count("exp") == 1


# What is kept
def test_each_mode_has_its_step():
    model = model_of("cpu", "float32", nn.Dropout(0.0))
    function, calls = counted(LOSSES["cross-entropy"](model))
    step, ((x, y),) = mg.replay(model, function), batches(1)
    for training in (True, False, True, False):
        model.train(training)
        step(x, y)
    assert len(calls) == 2


def test_weights_that_were_replaced_are_let_go_of():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    before = weakref.ref(model[0].weight.detach().numpy())
    for p in model.parameters():
        p.data = p.detach().clone()
    step(x, y)
    gc.collect()
    assert before() is None


def test_dropout_is_refused_in_training_and_not_in_evaluation():
    model, ((x, y),) = model_of("cpu", "float32", nn.Dropout(0.5)), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    with pytest.raises(RuntimeError, match=r"replay: the step uses an array that is neither .* such as random numbers"):
        step(x, y)
    model.eval()
    assert bits([step(x, y)]) == bits([F.cross_entropy(model(x), y)])
    model.train()
    with pytest.raises(RuntimeError, match="random numbers"):
        step(x, y)


# What cannot be repeated
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: F.cross_entropy(x, y) * x.sum().item(), "looks at the value of an element"),
        (lambda x, y: F.cross_entropy(x, y) if x.sum() > 0 else x.sum(), "looks at the value of an element"),
        (lambda x, y: x[y].sum(), "looks at the value of an element"),
        (lambda x, y: F.cross_entropy(x, y - 1, ignore_index=-1), "looks at the value of an element"),
        (lambda x, y: x[mg.tensor([0, 1]).to(x.device)].sum(), "neither an input nor a parameter"),
        (lambda x, y: (x * mg.ones(4, device=x.device)).sum(), "neither an input nor a parameter"),
        (lambda x, y: (mg.ones(4, device=x.device) * x).sum(), "neither an input nor a parameter"),
        (lambda x, y: mg.where(mg.ones(4, device=x.device) > 0, x, 0.0).sum(), "neither an input nor a parameter"),
        (lambda x, y: x, "not a scalar"),
        (lambda x, y: x.detach().sum(), "has no graph"),
    ],
    ids=[
        "item",
        "branch",
        "positions",
        "ignored",
        "index",
        "constant",
        "first",
        "mask",
        "no-loss",
        "no-graph",
    ],
)
def test_what_cannot_be_repeated_is_refused_and_nothing_is_changed(function, message, device):
    model, ((x, y),) = model_of(device), batches(1, device)
    arrays = [p.array for p in model.parameters()]
    before = bits(model.parameters())
    step = mg.replay(model, lambda x, y: function(model(x), y))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            step(x, y)
    assert all(p.array is array for p, array in zip(model.parameters(), arrays))
    assert bits(model.parameters()) == before
    assert all(p.grad is None for p in model.parameters())


def test_what_is_no_loss_or_no_input_is_refused():
    model, ((x, y),) = model_of(), batches(1)
    with pytest.raises(TypeError, match="replay: expected a Tensor as loss, got float"):
        mg.replay(model, lambda x: 1.0)(x)
    with pytest.raises(TypeError, match="replay: expected a Tensor as input, got ndarray"):
        mg.replay(model, LOSSES["cross-entropy"](model))(x.numpy(), y)
    with pytest.raises(RuntimeError, match=r"replay: an input was made by an op .* detach\(\)"):
        mg.replay(model, LOSSES["cross-entropy"](model))(x.requires_grad_() * 2, y)
    with pytest.raises(RuntimeError, match="neither an input nor a parameter that could get a gradient"):
        mg.replay(nn.ReLU(), lambda: mg.ones(1))()
    with pytest.raises(TypeError, match="replay: expected a Module as model, got list"):
        mg.replay([], lambda x: x.sum())


def test_a_step_inside_of_a_step_is_refused():
    model, ((x, y),) = model_of(), batches(1)
    inner = mg.replay(model, LOSSES["cross-entropy"](model))
    with pytest.raises(RuntimeError, match="cannot replay another"):
        mg.replay(model, lambda x, y: inner(x, y) * 2)(x, y)


def test_without_recording_there_is_no_graph_as_ever():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    step(x, y)
    with mg.no_grad(), pytest.raises(RuntimeError, match="computed under no_grad"):
        step(x, y)


def test_under_detect_anomaly_the_op_is_named():
    model, ((x, y),) = model_of(), batches(1)
    step = mg.replay(model, lambda x, y: F.cross_entropy(model(x).log(), y))
    step(x, y)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="log produced nan"):
        step(x, y)


# What it costs
def test_a_replayed_step_makes_no_copy_to_the_host():
    from helpers import fake_gpu

    model = model_of("strict")
    loader = data.DataLoader(data.TensorDataset(*batches(1, "strict", rows=32)[0]), batch_size=8)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    for epoch in range(2):
        each = iter(loader)
        first = next(each)  # the range of the labels is looked at once per epoch
        before = fake_gpu.host_copies()
        for x, y in [first, *each]:
            step(x, y)
        assert epoch == 0 or fake_gpu.host_copies() == before


def test_arrays_are_let_go_of_after_their_last_use():
    import tracemalloc

    model = nn.Sequential(*[nn.ReLU() for _ in range(50)], nn.Linear(1000, 1))
    step = mg.replay(model, lambda x: model(x).sum())
    x = mg.ones(1000, 1000)
    step(x)
    tracemalloc.start()
    step(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.array.nbytes  # of the 50 results, all of that size, two are there at a time


def test_each_thread_writes_its_own():
    given = batches(6)
    expected = trained(eager, LOSSES["cross-entropy"], given)
    results = []
    model_lock = threading.Lock()

    together = threading.Barrier(4)

    def run():
        with model_lock:  # one generator draws the weights of all models
            model = model_of()

        def loss(x, y):
            together.wait()  # all write their step at the same time
            return F.cross_entropy(model(x), y)

        step, sgd, losses = mg.replay(model, loss), optim.SGD(model.parameters(), lr=0.1), []
        for batch in given:
            losses.append(step(*batch))
            sgd.step()
            sgd.zero_grad()
        results.append((bits(losses), bits(model.parameters())))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
