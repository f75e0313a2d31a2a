"""The graph as a list of named vertices."""

import pytest
from helpers.viz_examples import mlp

import minigrad as mg
from minigrad import viz
from minigrad.nn import functional as F
from minigrad.viz.trace import title, trace


@pytest.mark.parametrize("draw", [viz.graph, viz.player], ids=["graph", "player"])
def test_loss_without_graph_raises(draw):
    with pytest.raises(TypeError, match="expected the loss as a Tensor, got float"):
        draw(1.0)
    with pytest.raises(RuntimeError, match="expected a loss with a graph, got a Tensor without grad_fn"):
        draw(mg.tensor(1.0))
    _, _, loss = mlp()
    loss.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        draw(loss)


def test_model_of_wrong_type_raises():
    _, optimizer, loss = mlp()
    with pytest.raises(TypeError, match="expected a Module as model, got SGD"):
        viz.player(loss, optimizer, path=None)


def test_vertices_are_named_in_order_of_computation():
    model, _, loss = mlp()
    vertices = trace(loss, model)
    names = ["input", "0.weight", "0.bias", "linear₁", "relu", "2.weight", "2.bias", "linear₂", "target"]
    assert [vertex.name for vertex in vertices] == [*names, "cross_entropy", "loss"]
    assert [vertex.name for vertex in vertices if vertex.is_loss] == ["cross_entropy", "loss"]
    assert [vertex.module for vertex in vertices if vertex.op_name == "linear"] == ["0", "2"]


def test_ops_have_public_names():
    x = mg.tensor([[0.5, 1.5]], requires_grad=True)
    loss = F.cross_entropy(x.unsqueeze(0).squeeze(0).double().float(), mg.tensor([1]))
    assert [v.op_name for v in trace(loss) if v.op] == ["unsqueeze", "squeeze", "to", "to", "cross_entropy"]
    assert [title(v) for v in trace(x.sum() * 2)] == ["leaf", "sum", "loss = mul with 2"]
