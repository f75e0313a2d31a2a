"""The frames: their order, and that they show the numbers of the engine."""

import numpy as np
import pytest
from helpers.viz_examples import mlp, mlp_step, page_of, panels, to_numpy

import minigrad as mg
from minigrad import optim, viz
from minigrad.nn import functional as F
from minigrad.viz.formatting import number
from minigrad.viz.narration import PHASES


def test_five_phases_in_order():
    page = page_of(viz.player(*mlp_step()))
    phases = [frame["phase"] for frame in page["frames"]]
    assert phases == sorted(phases)
    assert set(phases) == {1, 2, 3, 4, 5}
    assert page["phases"] == list(PHASES) == ["Predict", "Loss", "Gradients", "Update", "Reset"]
    names = [v["name"] for v in page["vertices"]]
    forward = [names[frame["focus"]] for frame in page["frames"] if frame["phase"] in (1, 2)]
    assert forward[1:] == ["linear₁", "relu", "linear₂", "cross_entropy", "loss"]
    assert phases[:6] == [1, 1, 1, 1, 2, 2]


def test_without_optimizer_the_gradients_come_last():
    model, _, _ = mlp()
    model[2].bias.requires_grad = False
    loss = F.cross_entropy(model(mg.ones(4, 6)), mg.tensor([0, 1, 2, 0]))
    page = page_of(viz.player(loss, model, path=None))
    assert page["frames"][-1]["phase"] == 3
    introduction = page["frames"][0]["caption"]
    assert introduction.startswith("The batch has `4` samples. There are `50` parameters")
    assert "changes" not in introduction
    assert model[0].weight.grad is not None


def test_bias_frame_sums_over_the_batch():
    player = viz.player(*mlp_step())
    frame = page_of(player)["frames"][player.batch_frame - 1]
    assert frame["batch"]
    assert frame["title"] == "2.bias: why a sum over the batch"
    g = player.recording.gradients[next(v.index for v in player.recording.vertices if v.name == "linear₂")]
    j = abs(g.sum(axis=0)).argmax()
    caption = frame["caption"]
    assert "broadcasting adds it to all `4` rows, one for each sample of the batch" in caption
    assert "over `axis 0`" in caption
    assert f"= {number(player.recording.gradient_of('2.bias')[j])}`" in caption
    assert all(number(v, 3) in caption for v in g[:, j])
    assert [panel["column"] for panel in frame["panels"] if "column" in panel] == [j, j]


def test_formula_of_a_vjp_is_that_of_the_op():
    frames = page_of(viz.player(*mlp_step()))["frames"]
    shown = {f["title"]: panel["formula"] for f in frames for panel in f["panels"] if panel["panel"] == "formula"}
    assert shown["linear₂ → relu"] == "dL/dX = G W"
    assert shown["linear₂ → 2.weight"] == "dL/dW = Gᵀ X"
    assert shown["2.bias: why a sum over the batch"] == (
        "dL/db = Σ G over the rows: b is added to each row, so it is used once in each"
    )
    assert shown["relu → linear₁"] == "dL/dx = g where x > 0, else 0 (also at 0)"


def test_letters_are_the_same_in_formula_panels_and_graph():
    page = page_of(viz.player(*mlp_step()))
    names = [v["name"] for v in page["vertices"]]
    for frame in page["frames"]:
        formulas = [panel for panel in frame["panels"] if panel["panel"] == "formula"]
        if not formulas:
            assert frame["letters"] == []
            continue
        labels = {panel["label"]: panel["meaning"] for panel in frame["panels"] if panel["panel"] == "matrix"}
        meanings = {a: f"gradient of {names[v]}" if k == "gradient" else names[v] for v, k, a in frame["letters"]}
        assert labels == meanings
        legend = dict(formulas[0]["legend"])
        assert {a: meaning for a, meaning in legend.items() if a in labels}.items() <= labels.items()
        assert all(a in legend or a.startswith("dL/d") or a == "one_hot" for a in labels)


def test_legend_names_every_letter_of_the_formula():
    page = page_of(viz.player(*mlp_step()))
    legends = {panel["heading"]: dict(panel["legend"]) for panel in panels(page, "formula")}
    assert legends["cross_entropy"] == {
        "x": "linear₂",
        "ℓ": "cross_entropy",
        "dim": "1",
        "p": "softmax(linear₂)",
        "p_label": "p of the true class",
    }
    assert legends["VJP of mean"] == {"g": "gradient of loss", "x": "cross_entropy", "n": "4"}
    x = mg.tensor([0.5, 1.5], requires_grad=True)
    page = page_of(viz.player((F.leaky_relu(x, 0.2) ** 2).sigmoid().sum(), names={"x": x}, path=None))
    legends = {panel["heading"]: dict(panel["legend"]) for panel in panels(page, "formula")}
    assert legends["VJP of leaky_relu"] == {"g": "gradient of leaky_relu", "x": "x", "negative_slope": "0.2"}
    assert legends["VJP of pow"] == {"g": "gradient of pow", "x": "leaky_relu", "p": "2"}
    assert legends["VJP of sigmoid"] == {"g": "gradient of sigmoid", "x": "pow", "y": "sigmoid"}
    frame = next(f for f in page["frames"] if f["title"] == "sigmoid → pow")
    assert [panel["label"] for panel in frame["panels"] if panel["panel"] == "matrix"] == ["g", "y", "dL/dx"]


def test_accumulation_counts_an_earlier_gradient():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    (w * 3).sum().backward()
    page = page_of(viz.player((w * w).sum(), names={"w": w}, path=None))
    frame = [frame for frame in page["frames"] if frame.get("accumulation")][-1]
    assert frame["title"] == "w: accumulation"
    assert (
        "has `3` contributions: one for each use, in `mul`, and the `.grad` of an earlier backward" in frame["caption"]
    )
    assert w.grad.tolist() == [5.0, 7.0]


@pytest.mark.parametrize(
    ("shape", "axes", "copies"), [((3,), [0], 4), ((4, 1), [1], 3), ((1, 1), [0, 1], 12), ((), [0, 1], 12)]
)
def test_undone_broadcasting_names_the_axes(shape, axes, copies):
    b = mg.tensor(np.ones(shape, dtype="float32"), requires_grad=True)
    x = mg.tensor(np.arange(12.0, dtype="float32").reshape(4, 3))
    page = page_of(viz.player(((x + b) * x).sum(), names={"b": b}, path=None))
    frames = [frame for frame in page["frames"] if "broadcast_axes" in frame]
    assert [frame["broadcast_axes"] for frame in frames] == [axes]
    assert frames[0]["title"] == "b: broadcasting undone"
    assert f"each of its numbers was used `{copies}` times" in frames[0]["caption"]
    assert number(to_numpy(b.grad).max()) in frames[0]["caption"]
    assert page["arrays"][frames[0]["panels"][-1]["array"]]["shape"] == list(shape)


def test_update_frame_shows_the_numbers_of_the_step():
    model, optimizer, loss = mlp()
    player = viz.player(loss, model, optimizer, None)
    update = player.recording.updates[0]
    at = np.unravel_index(abs(update.gradient).argmax(), update.gradient.shape)
    frame = next(f for f in page_of(player)["frames"] if f["phase"] == 4)
    table = frame["panels"][-1]
    assert table["head"] == ["0.weight", "w", "gradient", "step", "new w"]
    assert table["rows"][0] == [
        f"[{at[0]}, {at[1]}]",
        *(number(a[at], 6) for a in (update.before, update.gradient, update.step, update.after)),
    ]
    assert frame["linked"] == [panel["array"] for panel in frame["panels"] if panel["panel"] == "matrix"]


def test_update_by_adam_claims_no_formula():
    model, _, loss = mlp()
    player = viz.player(loss, model, optim.Adam(model.parameters()), None)
    frame = next(f for f in page_of(player)["frames"] if f["phase"] == 4)
    assert frame["caption"].startswith("Adam updates each number of `0.weight`")
    assert frame["panels"][-1]["head"] == ["0.weight", "w", "gradient", "new w"]


def test_image_shows_samples_as_pictures():
    model, optimizer, loss = mlp()
    frame = page_of(viz.player(loss, model, optimizer, None, image=(2, 3)))["frames"][0]
    assert [panel["label"] for panel in frame["panels"]] == ["sample 0", "sample 1", "sample 2", "sample 3"]
