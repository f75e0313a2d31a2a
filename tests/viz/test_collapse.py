"""Large graphs collapse into few boxes."""

import pytest
from helpers.viz_examples import Deep

import minigrad as mg
from minigrad import viz
from minigrad.nn import functional as F
from minigrad.viz.collapse import collapse
from minigrad.viz.trace import trace


def test_graph_of_500_ops_collapses_by_module():
    model = Deep(100)
    loss = F.cross_entropy(model(mg.randn(4, 2)), mg.tensor([0, 1, 2, 0]))
    assert sum(vertex.node is not None for vertex in trace(loss, model)) > 500
    drawn = viz.graph(loss, model)
    assert drawn.boxes <= 12
    assert "body: linear, relu, linear, … (500 ops)" in drawn.dot
    assert "400 parameters, 4,000 numbers" in drawn.dot
    finer = viz.graph(loss, model, limit=120)
    assert 100 < finer.boxes <= 130
    assert "body.57: linear, relu, linear, … (5 ops)" in finer.dot


def test_chain_without_modules_collapses_by_repetition():
    a, b = mg.tensor(1.0, requires_grad=True), mg.tensor(0.1, requires_grad=True)
    y = a
    for _ in range(250):
        y = y * 0.9 + b
    drawn = viz.graph(y, names={"a": a, "b": b})
    assert "250 × (mul, add)" in drawn.dot
    assert drawn.boxes == 3


def test_chain_without_pattern_collapses_into_equal_parts():
    y, b = mg.tensor(1.0, requires_grad=True), mg.tensor(0.1, requires_grad=True)
    for i in range(300):
        y = (y + b) if (i * i) % 7 in (1, 2) else y.tanh() if i % 11 % 3 else y * b
    assert viz.graph(y).boxes <= 28


@pytest.mark.parametrize("limit", [2, 5, 40])
def test_boxes_hold_every_vertex_once_without_a_cycle(limit):
    model = Deep(12)
    x = model(mg.randn(4, 2))
    loss = F.cross_entropy(x + model(mg.randn(4, 2)), mg.tensor([0, 1, 2, 0]))  # every module is used twice
    vertices = trace(loss, model)
    boxes = collapse(vertices, limit)
    assert sorted(v.index for box in boxes for v in box.vertices) == list(range(len(vertices)))
    box_of = {v.index: i for i, box in enumerate(boxes) for v in box.vertices}
    assert all(box_of[source] <= box_of[v.index] for v in vertices for _, source in v.inputs)
