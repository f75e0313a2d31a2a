"""The graph as DOT text and SVG."""

import re
import xml.etree.ElementTree as ET

import pytest
from helpers.viz_examples import mlp

import minigrad as mg
from minigrad import viz
from minigrad.viz.trace import trace


def test_graph_has_a_box_per_tensor_and_an_edge_per_use():
    model, _, loss = mlp()
    drawn = viz.graph(loss, model)
    labels = re.findall(r'label="([^"\\]*)\\n([^"\\]*)"', drawn.dot)
    assert labels == [
        ("input", "4 × 6"),
        ("0.weight", "5 × 6"),
        ("0.bias", "5 numbers"),
        ("linear₁", "4 × 5"),
        ("relu", "4 × 5"),
        ("2.weight", "3 × 5"),
        ("2.bias", "3 numbers"),
        ("linear₂", "4 × 3"),
        ("target", "4 × 3"),
        ("cross_entropy", "4 numbers"),
        ("loss = mean", "1 number"),
    ]
    edges = re.findall(r"n(\d+) -> n(\d+)", drawn.dot)
    assert len(edges) == 10
    assert ("8", "9") in edges


def test_values_and_gradients_are_the_engines():
    a, b = mg.tensor(3.0, requires_grad=True), mg.tensor(-2.0, requires_grad=True)
    loss = a * b + a * a
    drawn = viz.graph(loss, names={"a": a, "b": b}, values=True, gradients=True)
    assert re.search(r'"a\\n1 number\\nvalue 3\\ngrad 4"', drawn.dot)
    assert re.search(r'"b\\n1 number\\nvalue −2\\ngrad 3"', drawn.dot)
    assert re.search(r"n\d -> n\d \[label=\"2×\"\]", drawn.dot)  # a * a


def test_drawing_leaves_graph_and_grad_unchanged():
    model, _, loss = mlp()
    vjps = [v.node.vjps for v in trace(loss, model) if v.node]
    viz.graph(loss, model, gradients=True)
    assert [v.node.vjps for v in trace(loss, model) if v.node] == vjps
    assert model[0].weight.grad is None
    loss.backward()


def test_svg_is_well_formed_and_self_contained():
    model, _, loss = mlp()
    svg = viz.graph(loss, model, values=True, gradients=True)._repr_svg_()
    text = "".join(ET.fromstring(svg).itertext())
    assert all(name in text for name in ("0.weight", "2.bias", "relu", "cross_entropy", "grad"))
    assert re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?(?!#)", svg) == []


def test_names_with_markup_are_escaped():
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    name = '</script><b>"a"\\'
    drawn = viz.graph((a * a).sum(), names={name: a})
    assert name in "".join(ET.fromstring(drawn.svg).itertext())


def test_save_writes_the_format_of_the_suffix(tmp_path):
    model, _, loss = mlp()
    drawn = viz.graph(loss, model)
    assert drawn.save(tmp_path / "g.svg").read_text(encoding="utf-8") == drawn.svg
    assert drawn.save(str(tmp_path / "g.dot")).read_text(encoding="utf-8") == str(drawn)
    with pytest.raises(ValueError, match=r"ends in \.svg, \.dot"):
        drawn.save(tmp_path / "g.png")


def test_limit_below_2_raises():
    _, _, loss = mlp()
    with pytest.raises(ValueError, match="limit of 2 or more, got 1"):
        viz.graph(loss, limit=1)
