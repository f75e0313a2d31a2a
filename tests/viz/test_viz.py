"""The graph, the recording of a step and its story: what they say must be what the engine did."""

import base64
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.nn import functional as F
from minigrad.viz.collapse import fold
from minigrad.viz.formatting import number, shape_text
from minigrad.viz.layout import layered
from minigrad.viz.recorder import record
from minigrad.viz.trace import trace

EXAMPLES = Path(__file__).parents[2] / "examples"
HEADS = {1: "Predict", 2: "Loss", 3: "Gradients", 4: "Adjust", 5: "Reset"}


def mlp(device="cpu", hidden=5, batch=4):
    """A model, its optimizer and the loss of a batch, the same at every call."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 3)).to(device)
    x, y = mg.randn(batch, 6).to(device), mg.tensor([2, 0, 1, 1] * (batch // 4)).to(device)
    # The loss of each sample and their mean as two ops.
    return model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy(model(x), y, reduction="none").mean()


def page_of(player):
    """The recording that the page carries."""
    return json.loads(re.search(r'id="recording">(.*?)</script>', player.html, re.DOTALL)[1])


def host(tensor):
    return tensor.detach().cpu().numpy()


# The graph
def test_the_graph_has_a_box_for_each_tensor_and_an_edge_for_each_use():
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


def test_values_and_gradients_are_those_of_the_engine_and_nothing_is_touched():
    a, b = mg.tensor(3.0, requires_grad=True), mg.tensor(-2.0, requires_grad=True)
    loss = a * b + a * a
    drawn = viz.graph(loss, names={"a": a, "b": b}, values=True, gradients=True)
    assert re.search(r'"a\\n1 number\\nvalue 3\\ngradient 4"', drawn.dot)
    assert re.search(r'"b\\n1 number\\nvalue −2\\ngradient 3"', drawn.dot)
    assert re.search(r"n\d -> n\d \[label=\"2×\"\]", drawn.dot)  # a * a
    assert a.grad is None
    loss.backward()  # the graph is still whole


def test_the_svg_is_well_formed_complete_and_asks_for_nothing():
    model, _, loss = mlp()
    svg = viz.graph(loss, model, values=True, gradients=True)._repr_svg_()
    text = "".join(ET.fromstring(svg).itertext())
    assert all(name in text for name in ("0.weight", "2.bias", "relu", "cross_entropy", "gradient"))
    assert re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?(?!#)", svg) == []


def test_names_that_look_like_markup_stay_text(tmp_path):
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    name = '</script><b>"a"\\'
    drawn = viz.graph((a * a).sum(), names={name: a})
    assert name in "".join(ET.fromstring(drawn.svg).itertext())
    page = viz.player((a * a).sum(), names={name: a}, path=None)
    assert page_of(page)["vertices"][0]["name"] == name
    assert page.html.count("</script>") == 2


def test_a_graph_is_saved_by_the_ending_of_its_path(tmp_path):
    model, _, loss = mlp()
    drawn = viz.graph(loss, model)
    assert drawn.save(tmp_path / "g.svg").read_text(encoding="utf-8") == drawn.svg
    assert drawn.save(str(tmp_path / "g.dot")).read_text(encoding="utf-8") == str(drawn)
    with pytest.raises(ValueError, match=r"ends in \.svg, \.dot"):
        drawn.save(tmp_path / "g.png")


class Block(nn.Module):
    def __init__(self):
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return x + self.b(self.a(x).relu()).tanh()


class Deep(nn.Module):
    def __init__(self, blocks):
        self.stem, self.body = nn.Linear(2, 4), nn.Sequential(*[Block() for _ in range(blocks)])
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(self.stem(x).relu()))


def test_a_graph_of_500_ops_folds_by_module():
    model = Deep(100)
    loss = F.cross_entropy(model(mg.randn(4, 2)), mg.tensor([0, 1, 2, 0]))
    assert sum(vertex.node is not None for vertex in trace(loss, model)) > 500
    folded = viz.graph(loss, model)
    assert folded.boxes <= 12
    assert "body: linear, relu, linear, … (500 ops)" in folded.dot
    assert "400 parameters, 4,000 numbers" in folded.dot
    finer = viz.graph(loss, model, limit=120)
    assert 100 < finer.boxes <= 130
    assert "body.57: linear, relu, linear, … (5 ops)" in finer.dot


def test_a_chain_without_modules_folds_by_repetition():
    a, b = mg.tensor(1.0, requires_grad=True), mg.tensor(0.1, requires_grad=True)
    y = a
    for _ in range(250):
        y = y * 0.9 + b
    drawn = viz.graph(y, names={"a": a, "b": b})
    assert "250 × (mul, add)" in drawn.dot
    assert drawn.boxes == 3
    y = a
    for i in range(300):  # no pattern at all
        y = (y + b) if (i * i) % 7 in (1, 2) else y.tanh() if i % 11 % 3 else y * b
    assert viz.graph(y).boxes <= 28


@pytest.mark.parametrize("limit", [2, 5, 40])
def test_folded_boxes_hold_every_vertex_once_and_form_no_cycle(limit):
    model = Deep(12)
    x = model(mg.randn(4, 2))
    loss = F.cross_entropy(x + model(mg.randn(4, 2)), mg.tensor([0, 1, 2, 0]))  # every module used twice
    vertices = trace(loss, model)
    boxes = fold(vertices, limit)
    assert sorted(v.index for box in boxes for v in box.vertices) == list(range(len(vertices)))
    home = {v.index: i for i, box in enumerate(boxes) for v in box.vertices}
    assert all(home[source] <= home[v.index] for v in vertices for _, source in v.inputs)


def test_the_layout_keeps_the_order_and_puts_no_two_in_one_place():
    model = Deep(6)
    vertices = trace(F.cross_entropy(model(mg.randn(4, 2)), mg.tensor([0, 1, 2, 0])), model)
    edges = sorted({(i, v.index) for v in vertices for _, i in v.inputs})
    points, routes = layered(len(vertices), edges)
    assert all(points[a][0] < points[b][0] for a, b in edges)
    places = sorted(points)
    assert all(c != d or s - r >= 1 for (c, r), (d, s) in pairwise(places))
    for (a, b), route in zip(edges, routes):
        assert (route[0], route[-1]) == (points[a], points[b])
        assert [p[0] for p in route] == list(range(int(points[a][0]), int(points[b][0]) + 1))


# What cannot be drawn
@pytest.mark.parametrize("draw", [viz.graph, viz.player], ids=["graph", "player"])
def test_what_has_no_graph_is_refused(draw):
    with pytest.raises(TypeError, match="expected the loss as a Tensor, got float"):
        draw(1.0)
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        draw(mg.tensor(1.0))
    _, _, loss = mlp()
    loss.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        draw(loss)


def test_the_player_says_what_it_cannot_use():
    model, optimizer, loss = mlp()
    with pytest.raises(TypeError, match="expected a Module as model, got SGD"):
        viz.player(loss, optimizer, path=None)
    with pytest.raises(TypeError, match="expected an Optimizer as optimizer, got Sequential"):
        viz.player(loss, model, model, path=None)
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"loss of one number, got shape \(2,\)"):
        viz.player(w * 2, path=None)
    y = w.sum()
    for _ in range(400):
        y = y + 1
    with pytest.raises(ValueError, match="at most 300 ops, got 401"):
        viz.player(y, path=None)
    with pytest.raises(ValueError, match="limit of 2"):
        viz.graph(y, limit=1)


def test_a_backward_that_fails_leaves_the_rules_as_they_were():
    model, optimizer, loss = mlp()
    nodes = [(v.node, v.node.vjps) for v in trace(loss, model) if v.node]
    with mg.no_grad():
        model[2].weight *= 2  # backward refuses: it was used before it was changed
    with pytest.raises(RuntimeError, match="modified in place"):
        viz.player(loss, model, optimizer, path=None)
    left = [(node, rules) for node, rules in nodes if node.vjps is not None]
    assert {node.op.name for node, _ in left} == {"linear", "relu"}
    assert all(node.vjps is rules for node, rules in left)


# The recording
def test_the_recorded_step_is_a_real_one(device):
    model, optimizer, loss = mlp(device)
    twin, twin_optimizer, twin_loss = mlp(device)
    twin_loss.backward()
    gradients = {name: host(p.grad) for name, p in twin.named_parameters()}
    twin_optimizer.step()
    before = {name: host(p).copy() for name, p in model.named_parameters()}
    recording = viz.player(loss, model, optimizer, path=None).recording
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert np.array_equal(host(p), host(q))
        assert p.grad is None
        assert np.array_equal(recording.gradient_of(name), gradients[name])
        update = next(u for u in recording.updates if recording.vertices[u.vertex].name == name)
        assert np.array_equal(update.before, before[name])
        assert np.array_equal(update.gradient, gradients[name])
        assert np.array_equal(update.after, host(q))
        assert np.array_equal(update.before - update.step, update.after)


def test_the_gradients_between_are_those_that_retain_grad_keeps():
    model, optimizer, loss = mlp()
    between = [v for v in trace(loss, model) if v.node]
    for vertex in between:
        vertex.tensor.retain_grad()
    recording = record(loss, model, optimizer)
    for vertex in between:
        assert np.array_equal(recording.gradients[vertex.index], host(vertex.tensor.grad)), vertex.name


def test_at_a_fork_the_parts_add_up_to_the_gradient():
    w = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    x = mg.tensor([[1.0, -1.0]])
    h = (x @ w).tanh()
    recording = record(((h @ w) * h).sum(), names={"w": w, "h": h})
    for name, count in (("w", 2), ("h", 2)):
        vertex = next(v.index for v in recording.vertices if v.name == name)
        parts = recording.arrivals(vertex)
        assert len(parts) == count
        assert np.array_equal(sum(parts), recording.gradients[vertex])
    assert np.array_equal(recording.gradient_of("w"), host(w.grad))


def test_a_gradient_from_before_is_one_of_the_parts():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    (w * 3).sum().backward()
    page = page_of(viz.player((w * w).sum(), names={"w": w}, path=None))
    fork = [frame for frame in page["frames"] if frame.get("fork")][-1]
    assert "one is left from before this step" in fork["say"]
    assert w.grad.tolist() == [5.0, 7.0]


@pytest.mark.parametrize(
    ("shape", "axes", "copies"), [((3,), [0], 4), ((4, 1), [1], 3), ((1, 1), [0, 1], 12), ((), [0, 1], 12)]
)
def test_where_broadcasting_was_undone_a_frame_names_the_axes(shape, axes, copies):
    b = mg.tensor(np.ones(shape, dtype="float32"), requires_grad=True)
    x = mg.tensor(np.arange(12.0, dtype="float32").reshape(4, 3))
    page = page_of(viz.player(((x + b) * x).sum(), names={"b": b}, path=None))
    undone = [frame for frame in page["frames"] if "undone" in frame]
    assert [frame["undone"] for frame in undone] == [axes]
    assert undone[0]["title"] == "b: broadcasting undone"
    assert f"each of its numbers was used `{copies}` times" in undone[0]["say"]
    assert np.array_equal(host(b.grad), np.asarray(host(b.grad)))
    result = page["arrays"][undone[0]["parts"][-1]["array"]]
    assert result["shape"] == list(shape)


def test_nothing_below_viz_is_changed_by_a_recording():
    model, _, loss = mlp()
    rules = [v.node.vjps for v in trace(loss, model) if v.node]
    viz.graph(loss, model, gradients=True)
    assert [v.node.vjps for v in trace(loss, model) if v.node] == rules


# The story
def test_every_act_is_told_in_order():
    page = page_of(viz.player(*mlp_for_player()))
    acts = [frame["act"] for frame in page["frames"]]
    assert acts == sorted(acts)
    assert set(acts) == set(HEADS)
    assert page["acts"] == list(HEADS.values())
    names = [v["name"] for v in page["vertices"]]
    first = [names[frame["focus"]] for frame in page["frames"] if frame["act"] in (1, 2)]
    assert first[1:] == ["linear₁", "relu", "linear₂", "cross_entropy", "loss"]
    assert [frame["act"] for frame in page["frames"]][:6] == [1, 1, 1, 1, 2, 2]


def mlp_for_player(**options):
    model, optimizer, loss = mlp(**options)
    return loss, model, optimizer, None


def test_without_an_optimizer_the_film_ends_with_the_gradients():
    model, _, _ = mlp()
    model[2].bias.requires_grad = False
    loss = F.cross_entropy(model(mg.ones(4, 6)), mg.tensor([0, 1, 2, 0]))
    page = page_of(viz.player(loss, model, path=None))
    assert page["frames"][-1]["act"] == 3
    assert page["frames"][0]["say"].startswith("`4` samples wait at the start. There are `50` numbers that training")
    assert "changes" not in page["frames"][0]["say"]
    assert model[0].weight.grad is not None


def test_a_frame_says_why_the_gradient_of_a_bias_is_a_sum_over_the_batch():
    player = viz.player(*mlp_for_player())
    frame = page_of(player)["frames"][player.batch_frame - 1]
    assert frame["batch"]
    assert frame["title"] == "2.bias: why a sum over the batch"
    g = player.recording.gradients[next(v.index for v in player.recording.vertices if v.name == "linear₂")]
    j = abs(g.sum(axis=0)).argmax()
    told = frame["say"]
    assert "added to all `4` rows: one for each sample of the batch" in told
    assert "over axis `0`" in told
    assert f"= {number(player.recording.gradient_of('2.bias')[j])}`" in told
    assert all(number(v, 3) in told for v in g[:, j])


def test_the_rule_shown_is_the_formula_of_the_op_for_that_argument():
    page = page_of(viz.player(*mlp_for_player()))
    rules = {
        frame["title"]: part["lines"]
        for frame in page["frames"]
        if frame["act"] == 3
        for part in frame["parts"]
        if part["part"] == "rule"
    }
    assert rules["linear₂ → relu"] == ["dL/dX = G W"]
    assert rules["linear₂ → 2.weight"] == ["dL/dW = Gᵀ X"]
    assert rules["2.bias: why a sum over the batch"] == [
        "dL/db = Σ G over the rows: b is added to each row, so it is used once in each"
    ]
    assert rules["relu → linear₁"] == ["dL/dx = g where x > 0, else 0 (also at 0)"]


def test_the_update_is_told_with_its_numbers():
    model, optimizer, loss = mlp()
    player = viz.player(loss, model, optimizer, None)
    update = player.recording.updates[0]
    at = np.unravel_index(abs(update.gradient).argmax(), update.gradient.shape)
    frame = next(f for f in page_of(player)["frames"] if f["act"] == 4)
    row = frame["parts"][-1]["rows"][0]
    assert row[0] == f"0.weight[{at[0]}, {at[1]}]"
    assert row[1:] == [number(a[at], 6) for a in (update.before, update.gradient, update.step, update.after)]
    assert frame["linked"] == [part["array"] for part in frame["parts"] if part["part"] == "matrix"]


@pytest.mark.parametrize(
    "make",
    [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p), lambda p: optim.SGD(p, 0.1, maximize=True)],
)
def test_other_optimizers_show_what_they_did_and_claim_no_more(make):
    model, _, loss = mlp()
    optimizer = make(model.parameters())
    player = viz.player(loss, model, optimizer, None)
    assert all(update.step is None for update in player.recording.updates)
    frame = next(f for f in page_of(player)["frames"] if f["act"] == 4)
    assert frame["say"].startswith(f"{type(optimizer).__name__} moves each number of `0.weight`")


def test_every_op_of_minigrad_can_be_told():
    x = mg.tensor([[0.5, 1.5], [2.5, 0.25]], requires_grad=True)
    made = x.exp().log().sqrt().sigmoid() + x.abs() - x / 3 * x**2 + (-x).softmax(1) + x.log_softmax(0).clip(-5, 1)
    made = mg.cat([made, x.T, mg.stack([x[0], x[1]])]) @ x.amax(dim=0)
    made = (
        made.reshape(2, 3).max(dim=1).values
        + x.logsumexp(1)
        + x.double().float().mean(1)
        + mg.where(x > 1, x, 2 * x)[0]
    )
    page = page_of(viz.player(made.sum(), names={"x": x}, path=None))
    ops = {part["op"] for frame in page["frames"] for part in frame["parts"] if part["part"] == "rule"}
    assert {"cat", "getitem", "where", "pow", "amax", "cast"} <= ops
    assert all(frame["say"].count("`") % 2 == 0 and frame["title"] for frame in page["frames"])
    rule_less = [
        part for frame in page["frames"] for part in frame["parts"] if part["part"] == "rule" and not part["lines"]
    ]
    assert rule_less == []


# The page
def numbers_of(entry):
    """The array that an entry of the page stands for."""
    raw = np.frombuffer(base64.b64decode(entry["data"]), dtype=f"<{entry['type']}")
    return raw.reshape(entry["shape"])


def test_the_page_carries_every_number_of_a_small_step_exactly():
    player = viz.player(*mlp_for_player())
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


def test_a_large_array_becomes_means_and_its_largest_numbers():
    w = mg.randn(100, 200, requires_grad=True)
    page = page_of(viz.player((w * w).sum(), names={"w": w}, path=None))
    entry = page["arrays"][page["vertices"][0]["values"][0][1]]
    assert "data" not in entry
    tall, wide = entry["block"]
    means = np.array(entry["means"])
    assert means.shape == (-(-100 // tall), -(-200 // wide))
    assert means[1, 2] == pytest.approx(host(w)[tall : 2 * tall, 2 * wide : 3 * wide].mean(), rel=1e-6)
    (index, value), *_ = entry["largest"]
    assert host(w)[tuple(index)] == np.float32(value)
    assert abs(value) == abs(host(w)).max()


def test_numbers_that_are_not_finite_are_carried_too():
    w = mg.tensor([1.0, 0.0, -1.0], requires_grad=True)
    page = page_of(viz.player((w / 0).sum(), names={"w": w}, path=None))
    quotient = next(v for v in page["vertices"] if v["name"] == "div")
    entry = page["arrays"][quotient["values"][0][1]]
    assert np.array_equal(numbers_of(entry), [np.inf, np.nan, -np.inf], equal_nan=True)
    assert entry["mean"] == "nan"


def test_the_page_of_the_article_is_small_and_asks_for_nothing(tmp_path):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    loss = F.cross_entropy(model(mg.rand(64, 784)), mg.randint(0, 10, (64,)))
    path = tmp_path / "step.html"
    player = viz.player(loss, model, optim.SGD(model.parameters(), lr=0.1), path)
    assert player.path == path
    assert path.read_text(encoding="utf-8") == player.html
    assert path.stat().st_size < 3_000_000
    assert (
        re.findall(r"(?:https?:)?//[a-z][\w.]*\.[a-z]{2,}", player.html.replace("http://www.w3.org/2000/svg", "")) == []
    )
    assert "default-src 'none'" in player.html


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    player = viz.player(*mlp_for_player())
    found = {}
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.update({tag: dict(attributes)})
    parser.feed(player._repr_html_())
    assert list(found) == ["iframe"]
    assert found["iframe"]["srcdoc"] == player.html
    assert found["iframe"]["sandbox"] == "allow-scripts"
    assert f"{player.frames} frames" in repr(player)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (-1.5, "−1.5"), (1234.5678, "1235"), (float("-inf"), "−∞"), (1e-9, "1e−09")],
)
def test_numbers_are_written_as_a_reader_expects(value, text):
    assert number(value) == text


def test_shapes_are_written_as_a_reader_expects():
    assert [shape_text(s) for s in [(), (1,), (5,), (64, 784)]] == ["1 number", "1 number", "5 numbers", "64 × 784"]


# The lessons
def run(lesson, *options, cwd):
    path = str(Path(mg.__file__).parent.parent)
    command = [sys.executable, str(EXAMPLES / f"{lesson}.py"), *map(str, options)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )


def test_the_numbers_on_paper_are_exactly_those_of_the_engine(tmp_path):
    done = run("backprop_by_hand", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = re.findall(r"^  (\S+) += .* = (\S+) +minigrad: (\S+)$", done.stdout, re.MULTILINE)
    assert len(lines) == 49
    assert all(paper == engine for _, paper, engine in lines)
    assert "49 numbers on paper, 49 equal in minigrad, exactly." in done.stdout
    assert {"L", "dL/db₁[0]", "dL/dW₂[1][1]", "W₁[0][0]"} <= {name for name, _, _ in lines}


def test_a_wrong_rule_is_found_on_paper(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import backprop_by_hand

    plain = mg.Tensor.relu

    def leaky(self):
        return plain(self) + self * 2**-40

    monkeypatch.setattr(mg.Tensor, "relu", leaky)
    with pytest.raises(SystemExit, match=r"h\[0\]\[0\]: on paper 1, minigrad says 1099511627777/1099511627776"):
        backprop_by_hand.main()


def test_the_player_lesson_writes_its_page(tmp_path):
    done = run("backprop_player", "--out", "step.html", "--hidden", 4, "--batch-size", 6, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    page = json.loads(re.search(r'id="recording">(.*?)</script>', (tmp_path / "step.html").read_text("utf-8"))[1])
    frames, batch = map(int, re.search(r"(\d+) frames.*\nFrame (\d+) tells why", done.stdout).groups())
    assert len(page["frames"]) == frames
    assert "sum over the batch" in page["frames"][batch - 1]["title"]
    before, after = map(float, re.search(r"was ([\d.]+); after the step it is ([\d.]+)\.", done.stdout).groups())
    assert after < before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--hidden", "0"], "--hidden: expected a whole number of 1 or more, got '0'"),
        (["--batch-size", "x"], "--batch-size: expected a whole number"),
        (["--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["--backend", "jax"], "--backend: invalid choice: 'jax'"),
        (["--out", "."], "--out: expected a file to write, got the folder ."),
        (["--out", "nowhere/step.html"], "cannot use nowhere/step.html: No such file or directory"),
        (["--speed"], "unrecognized arguments: --speed"),
    ],
)
def test_what_the_player_lesson_cannot_use_is_told_in_one_line(options, expected, tmp_path):
    done = run("backprop_player", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
