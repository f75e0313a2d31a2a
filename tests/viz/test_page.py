"""The page of the player: complete, exact, small and self-contained."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.viz_examples import mlp_step, numbers_of, page_of, to_numpy

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.nn import functional as F


def test_page_has_every_number_of_a_small_step():
    player = viz.player(*mlp_step())
    page = page_of(player)
    for vertex, recorded in zip(page["vertices"], player.recording.vertices, strict=True):
        first = numbers_of(page["arrays"][vertex["values"][0][1]])
        assert np.array_equal(first, player.recording.values[recorded.index])
        shown = [entry for entry in vertex["gradients"] if entry[1] is not None]
        if recorded.index in player.recording.gradients:
            last = numbers_of(page["arrays"][shown[-1][1]])
            assert np.array_equal(last, player.recording.gradients[recorded.index])
    for update in player.recording.updates:
        assert page["vertices"][update.vertex]["gradients"][-1][1] is None  # the reset
        after = page["arrays"][page["vertices"][update.vertex]["values"][-1][1]]
        assert np.array_equal(numbers_of(after), update.after)


def test_large_array_is_stored_as_means_and_largest():
    w = mg.randn(100, 200, requires_grad=True)
    page = page_of(viz.player((w * w).sum(), names={"w": w}, path=None))
    entry = page["arrays"][page["vertices"][0]["values"][0][1]]
    assert "data" not in entry
    tall, wide = entry["block"]
    means = np.array(entry["means"])
    assert means.shape == (-(-100 // tall), -(-200 // wide))
    assert means[1, 2] == pytest.approx(to_numpy(w)[tall : 2 * tall, 2 * wide : 3 * wide].mean(), rel=1e-6)
    (index, value), *_ = entry["largest"]
    assert to_numpy(w)[tuple(index)] == np.float32(value)
    assert abs(value) == abs(to_numpy(w)).max()


def test_nan_and_inf_are_stored():
    w = mg.tensor([1.0, 0.0, -1.0], requires_grad=True)
    page = page_of(viz.player((w / 0).sum(), names={"w": w}, path=None))
    quotient = next(v for v in page["vertices"] if v["name"] == "div")
    entry = page["arrays"][quotient["values"][0][1]]
    assert np.array_equal(numbers_of(entry), [np.inf, np.nan, -np.inf], equal_nan=True)
    assert entry["mean"] == "nan"


def test_page_of_a_large_mlp_is_small_and_offline(tmp_path):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    loss = F.cross_entropy(model(mg.rand(64, 784)), mg.randint(0, 10, (64,)))
    path = tmp_path / "step.html"
    player = viz.player(loss, model, optim.SGD(model.parameters(), lr=0.1), path)
    assert player.path == path
    assert path.read_text(encoding="utf-8") == player.html
    assert path.stat().st_size < 3_000_000
    html = player.html.replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"(?:https?:)?//[a-z][\w.]*\.[a-z]{2,}", html) == []
    assert "default-src 'none'" in player.html


def test_names_with_markup_stay_text():
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    name = '</script><b>"a"\\'
    page = viz.player((a * a).sum(), names={name: a}, path=None)
    assert page_of(page)["vertices"][0]["name"] == name
    assert page.html.count("</script>") == 2


def test_notebook_shows_the_page_in_an_iframe():
    player = viz.player(*mlp_step())
    found = {}
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.update({tag: dict(attributes)})
    parser.feed(player._repr_html_())
    assert list(found) == ["iframe"]
    assert found["iframe"]["srcdoc"] == player.html
    assert found["iframe"]["sandbox"] == "allow-scripts"
    assert f"{player.frames} frames" in repr(player)


def test_more_than_300_ops_raise():
    y = mg.tensor([1.0, 2.0], requires_grad=True).sum()
    for _ in range(400):
        y = y + 1
    with pytest.raises(ValueError, match="at most 300 ops, got 401"):
        viz.player(y, path=None)


@pytest.mark.parametrize("shape", [(3, 0), (0,), (0, 3)])
def test_empty_parameters_and_selections_have_a_page(shape):
    model = nn.Module()
    model.w, model.b = nn.Parameter(mg.ones(*shape)), nn.Parameter(mg.ones(4))
    loss = model.w.sum() + model.b[model.b > 2].sum()
    page = page_of(viz.player(loss, model, optim.SGD(model.parameters(), lr=0.1), None))
    assert {"w", "b"} <= {v["name"] for v in page["vertices"]}


def test_inf_in_a_large_array_is_stored_without_warnings():
    w = mg.zeros(100, 200)
    w[3, 7], w[3, 8] = math.inf, -math.inf
    w.requires_grad_()
    entry = page_of(viz.player((w * w).sum(), names={"w": w}, path=None))["arrays"][0]
    assert {value for _, value in entry["largest"][:2]} == {"inf", "-inf"}
    assert "nan" in [mean for row in entry["means"] for mean in row]
