"""The recording of a step holds what the engine computed."""

import numpy as np
import pytest
from helpers.viz_examples import mlp, to_numpy

import minigrad as mg
from minigrad import optim, viz
from minigrad.viz.recorder import record
from minigrad.viz.trace import trace


def test_recorded_step_is_a_real_step(device):
    model, optimizer, loss = mlp(device)
    twin, twin_optimizer, twin_loss = mlp(device)
    twin_loss.backward()
    gradients = {name: to_numpy(p.grad) for name, p in twin.named_parameters()}
    twin_optimizer.step()
    before = {name: to_numpy(p).copy() for name, p in model.named_parameters()}
    recording = record(loss, model, optimizer)
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert np.array_equal(to_numpy(p), to_numpy(q))
        assert p.grad is None
        assert np.array_equal(recording.gradient_of(name), gradients[name])
        update = next(u for u in recording.updates if recording.vertices[u.vertex].name == name)
        assert np.array_equal(update.before, before[name])
        assert np.array_equal(update.gradient, gradients[name])
        assert np.array_equal(update.after, to_numpy(q))
        assert np.array_equal(update.before - update.step, update.after)


def test_intermediate_gradients_equal_those_of_retain_grad():
    model, optimizer, loss = mlp()
    outputs = [v for v in trace(loss, model) if v.node]
    for vertex in outputs:
        vertex.tensor.retain_grad()
    recording = record(loss, model, optimizer)
    for vertex in outputs:
        assert np.array_equal(recording.gradients[vertex.index], to_numpy(vertex.tensor.grad)), vertex.name


def test_contributions_add_up_to_the_gradient():
    w = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    x = mg.tensor([[1.0, -1.0]])
    h = (x @ w).tanh()
    recording = record(((h @ w) * h).sum(), names={"w": w, "h": h})
    for name, count in (("w", 2), ("h", 2)):
        vertex = next(v.index for v in recording.vertices if v.name == name)
        contributions = recording.contributions(vertex)
        assert len(contributions) == count
        assert np.array_equal(sum(contributions), recording.gradients[vertex])
    assert np.array_equal(recording.gradient_of("w"), to_numpy(w.grad))
    with pytest.raises(KeyError, match="x"):
        recording.gradient_of("x")


@pytest.mark.parametrize(
    "make",
    [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p), lambda p: optim.SGD(p, 0.1, maximize=True)],
)
def test_only_plain_sgd_has_a_recorded_step(make):
    model, _, loss = mlp()
    recording = record(loss, model, make(model.parameters()))
    assert all(update.step is None for update in recording.updates)


def test_failed_backward_restores_the_vjps():
    model, optimizer, loss = mlp()
    nodes = [(v.node, v.node.vjps) for v in trace(loss, model) if v.node]
    with mg.no_grad():
        model[2].weight *= 2  # in place, after linear has used it
    with pytest.raises(RuntimeError, match="modified in place"):
        viz.player(loss, model, optimizer, path=None)
    left = [(node, vjps) for node, vjps in nodes if node.vjps is not None]
    assert {node.op.name for node, _ in left} == {"linear", "relu"}
    assert all(node.vjps is vjps for node, vjps in left)


def test_wrong_optimizer_and_loss_raise():
    model, _, loss = mlp()
    with pytest.raises(TypeError, match="expected an Optimizer as optimizer, got Sequential"):
        viz.player(loss, model, model, path=None)
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"loss of one number, got shape \(2,\)"):
        viz.player(w * 2, path=None)
