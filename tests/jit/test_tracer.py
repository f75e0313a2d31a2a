"""A trace is private to its thread, and is refused if the step reads a value or uses an array from elsewhere."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from helpers.steps import LOSSES, agrees, batches, bits, eager, model_of, op_of, trained

import minigrad as mg
from minigrad import backend, nn, optim
from minigrad.autograd.tensor import Tensor
from minigrad.jit.tracer import TracedArray, active_trace
from minigrad.nn import functional as F

VALUE = "reads the value of an element"
FOREIGN = "neither an input nor a parameter"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: F.cross_entropy(x, y) * x.sum().item(), VALUE),
        (lambda x, y: F.cross_entropy(x, y) if x.sum() > 0 else x.sum(), VALUE),
        (lambda x, y: x[y].sum(), VALUE),
        (lambda x, y: F.cross_entropy(x, y - 1, ignore_index=-1), VALUE),
        (lambda x, y: x.sum() * len(repr(x)), VALUE),
        (lambda x, y: x.sum() * x.tolist()[0][0], VALUE),
        (lambda x, y: x[mg.tensor([0, 1]).to(x.device)].sum(), FOREIGN),
        (lambda x, y: (x * mg.ones(4, device=x.device)).sum(), FOREIGN),
        (lambda x, y: (mg.ones(4, device=x.device) * x).sum(), FOREIGN),
        (lambda x, y: mg.where(mg.ones(4, device=x.device) > 0, x, 0.0).sum(), FOREIGN),
        (lambda x, y: F.cross_entropy(x, y, weight=mg.ones(4, device=x.device)), FOREIGN),
        (lambda x, y: x.sum() * mg.tensor(2.0).item(), FOREIGN),
        (lambda x, y: x.sum() * mg.zeros_like(x).shape[0], FOREIGN),
        (lambda x, y: x, "not a scalar"),
        (lambda x, y: x.detach().sum(), "has no graph"),
    ],
    ids=[
        *("item", "branch", "positions", "ignored", "text", "list", "index", "constant", "first", "mask", "weight"),
        *("number", "shape", "no-loss", "no-graph"),
    ],
)
def test_step_is_refused_and_changes_nothing(function, message, device):
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
    assert active_trace() is None


@pytest.mark.parametrize(
    "read",
    [
        lambda x: float(np.asarray(x).sum()),
        lambda x: float(x.numpy().sum()),
        lambda x: np.frombuffer(x.array.data, "float32")[0].item(),
        lambda x: len(f"{x.sum():.3f}"),
        lambda x: max(x[i].sum() for i in range(2)).shape == (),
        lambda x: len(range(int(x.sum()))),
        lambda x: mg.tensor(x).shape[0],
        lambda x: len([*x.array]),
    ],
)
def test_every_way_to_read_a_value_is_refused(read):
    model = nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match=f"replay: .*({VALUE}|{FOREIGN})"):
        mg.replay(model, lambda x: model(x).sum() * read(x))(mg.ones(2, 3))


@pytest.mark.parametrize("read", [lambda c: c.item(), lambda c: c.shape[0], lambda c: len(c), lambda c: c.tolist()[0]])
def test_tensor_from_elsewhere_cannot_be_read(read):
    model, constant = nn.Linear(3, 2), mg.ones(1)
    with pytest.raises(RuntimeError, match=FOREIGN):
        mg.replay(model, lambda x: model(x).sum() * read(constant))(mg.ones(2, 3))


@pytest.mark.parametrize("name", ["__cuda_array_interface__", "__array_interface__", "__array_struct__", "__dlpack__"])
def test_tracer_has_no_protocol_to_share_memory(name):
    def body(xp, x):
        seen.append(hasattr(x, name))
        return x * 1.0

    model, seen = nn.Linear(3, 1), []
    with op_of(body) as f:
        step = mg.replay(model, lambda x: (f(x) * model.weight[0]).sum())
        if name == "__cuda_array_interface__":  # CuPy would compute with it, and nothing would be recorded
            with pytest.raises(RuntimeError, match=FOREIGN):
                step(mg.ones(3))
        else:
            step(mg.ones(3))
    assert not any(seen)


def test_refusal_holds_though_the_step_catches_it():
    model, constant = nn.Linear(3, 2), mg.full((2,), 3.0)

    def function(x):
        try:
            return (model(x) * constant).sum()
        except RuntimeError:
            return model(x).sum()

    with pytest.raises(RuntimeError, match=FOREIGN):
        mg.replay(model, function)(mg.ones(2, 3))


def test_caught_error_of_a_call_is_refused():
    model = nn.Linear(3, 2)

    def function(x, labels):
        try:
            return F.cross_entropy(model(x), labels)
        except IndexError:  # of a label out of range
            return model(x).sum()

    step, x = mg.replay(model, function), mg.rand(2, 3)
    with pytest.raises(RuntimeError, match=VALUE):
        step(x, mg.tensor([0, 5]))
    assert agrees(model, function, step, x, mg.tensor([0, 1]))


def test_refused_step_leaves_the_random_numbers_as_they_were():
    model, calls = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), []

    def function(x):
        calls.append(1)
        return model(x).sum()

    mg.manual_seed(0)
    before = mg.get_rng_state().tolist()
    for draw in (function, lambda x: (mg.rand(3), function(x))[1], lambda x: (mg.manual_seed(1), function(x))[1]):
        with pytest.raises(RuntimeError, match=r"replay: .* such as random numbers"):
            mg.replay(model, draw)(mg.ones(2, 3))
    assert mg.get_rng_state().tolist() == before
    assert len(calls) == 1


def test_dropout_is_refused_only_in_training():
    model, ((x, y),) = model_of("cpu", "float32", nn.Dropout(0.5)), batches(1)
    step = mg.replay(model, LOSSES["cross-entropy"](model))
    with pytest.raises(RuntimeError, match=r"replay: the step uses an array that is neither .* such as random numbers"):
        step(x, y)
    model.eval()
    assert bits([step(x, y)]) == bits([F.cross_entropy(model(x), y)])
    model.train()
    with pytest.raises(RuntimeError, match="random numbers"):
        step(x, y)


def test_refused_step_undoes_its_inplace_updates():
    model, x = nn.Linear(3, 2), mg.ones(2, 3)
    weights = bits(model.parameters())

    def function(x):
        x.mul_(0.5)
        x[0] += 1.0
        with mg.no_grad():
            model.weight.add_(1.0)
        return model(x).sum() * x.sum().item()

    with pytest.raises(RuntimeError, match=VALUE):
        mg.replay(model, function)(x)
    assert x.tolist() == mg.ones(2, 3).tolist()
    assert bits(model.parameters()) == weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, x: model.zero_grad(), "uses `.grad`"),
        (lambda model, x: model.weight.grad, "uses `.grad`"),
        (lambda model, x: x.grad, "uses `.grad`"),
        (lambda model, x: model(x).sum().backward(), "uses `.grad`"),
        (lambda model, x: setattr(model.weight, "data", model.weight.data * 2), "assigns `data`"),
        (lambda model, x: setattr(x, "data", x.data * 2), "assigns `data`"),
        (lambda model, x: x.requires_grad_(), "changes requires_grad of an input"),
    ],
    ids=["zero-grad", "grad", "grad-of-input", "backward", "data", "data-of-input", "requires-grad"],
)
def test_change_of_inputs_and_parameters_is_refused(change, message):
    model, x = nn.Linear(3, 2), mg.ones(2, 3)
    model.weight.grad = mg.ones(2, 3)
    weights = bits(model.parameters())
    with pytest.raises(RuntimeError, match=f"replay: the step {message}"):
        mg.replay(model, lambda x: (change(model, x), model(x).sum())[1])(x)
    assert bits(model.parameters()) == weights
    assert bits([model.weight.grad]) == bits([mg.ones(2, 3)])
    assert not x.requires_grad


def test_retain_grad_is_refused():
    model = nn.Linear(3, 2)

    def function(x):
        hidden = model(x)
        hidden.retain_grad()
        return hidden.sum()

    with pytest.raises(RuntimeError, match="calls retain_grad"):
        mg.replay(model, function)(mg.ones(2, 3))


def test_gradient_of_a_gradient_is_replayed():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))

    def function(x):
        y = model(x).sum()
        (slope,) = mg.grad(y, x, create_graph=True)
        return y + (slope * slope).sum()

    step = mg.replay(model, function)
    assert all(agrees(model, function, step, mg.rand(2, 3, requires_grad=True)) for _ in range(3))
    assert len(step.steps) == 1


def test_tensor_kept_after_the_step_raises():
    model, kept = nn.Linear(3, 2), []

    def function(x):
        kept.append(model(x).sum().detach())
        return model(x).sum()

    mg.replay(model, function)(mg.rand(4, 3))
    uses = [lambda t: t.sum(), lambda t: t.item(), repr, lambda t: t.add_(1.0), lambda t: model.bias * t]
    uses += [lambda t: np.asarray(t), lambda t: mg.tensor(t), lambda t: mg.replay(model, function)(t)]
    for use in uses:
        with pytest.raises(RuntimeError, match="replay: a Tensor of the traced step was used after the step"):
            use(kept[0])
    assert kept[0].shape == ()


# Threads and interruptions
def test_other_thread_sees_the_weights_during_a_trace():
    model, x = nn.Linear(3, 2), mg.rand(4, 3)
    inside, go_on = threading.Event(), threading.Event()
    expected = bits([model(x)])
    losses = []

    def function(x):
        y = model(x)
        inside.set()
        assert go_on.wait(10)
        return (y * model.weight.sum()).sum()

    step = mg.replay(model, function)
    thread = threading.Thread(target=lambda: losses.append(step(x)))
    thread.start()
    try:
        assert inside.wait(10)
        assert type(model.weight.array) is np.ndarray
        assert model.weight.grad is None
        assert bits([model(x)]) == expected
        model(x).sum().backward()
        model.zero_grad()
        constant = mg.ones(2)
        assert (constant * 2).tolist() == [2.0, 2.0]
    finally:
        go_on.set()
        thread.join()
    assert bits(losses) == bits([function(x)])


def test_tracer_raises_in_another_thread():
    model, errors = nn.Linear(3, 2), []

    def use(tensor):
        with pytest.raises(RuntimeError, match="in another thread"):
            (tensor * 2).sum()
        errors.append(1)

    def body(xp, x):
        thread = threading.Thread(target=use, args=(mg.Tensor(x),))
        thread.start()
        thread.join()
        return x * 1.0

    step = mg.replay(model, lambda x: model(x).sum())
    step.function = lambda x: (body(None, x.array), model(x).sum())[1]
    with pytest.raises(RuntimeError, match=r"replay: the step reads `threading.Thread`"):
        step(mg.rand(4, 3))
    program_of = []
    model.forward = lambda x: (program_of.append(x), F.linear(x, model.weight, model.bias))[1]
    mg.replay(model, lambda x: model(x).sum())(mg.rand(4, 3))
    thread = threading.Thread(target=use, args=program_of)
    thread.start()
    thread.join()
    assert errors == [1]


def test_each_thread_traces_its_own():
    given = batches(6)
    expected = trained(eager, LOSSES["cross-entropy"], given)
    results = []
    model_lock = threading.Lock()
    together = threading.Barrier(4)

    def run():
        with model_lock:  # one generator draws the weights of all models
            model = model_of()

        def loss(x, y):
            together.wait()  # all trace their step at the same time
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
    assert "array" not in vars(Tensor)


def test_threads_may_share_a_step():
    model, found = nn.Linear(3, 2), []
    step = mg.replay(model, lambda x: model(x).sum())
    expected = {rows: model(mg.ones(rows, 3)).sum().item() for rows in range(1, 6)}

    def run():
        for i in range(40):
            rows = i % 5 + 1
            found.append(step(mg.ones(rows, 3)).item() == expected[rows])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 160


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_exception_ends_the_trace(error):
    model, x = nn.Linear(3, 2), mg.rand(4, 3)
    stop = True

    def function(x):
        y = model(x)
        if stop:
            raise error
        return y.sum()

    step = mg.replay(model, function)
    with pytest.raises(error):
        step(x)
    assert active_trace() is None
    assert "array" not in vars(Tensor)
    assert type(model.weight.array) is np.ndarray
    stop = False
    assert agrees(model, function, step, x)


def test_tracers_are_registered_at_the_first_trace():
    import subprocess
    import sys

    program = """
import minigrad as mg
from minigrad.jit.tracer import TracedArray
assert TracedArray not in mg.backend.LIBRARY_OF_TYPE
model = mg.nn.Linear(2, 1)
mg.replay(model, lambda x: model(x).sum())(mg.ones(1, 2))
assert TracedArray in mg.backend.LIBRARY_OF_TYPE
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert backend.LIBRARY_OF_TYPE.get(TracedArray) is not None or active_trace() is None
