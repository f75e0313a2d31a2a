"""The captions: every op has one, with the numbers of the recording."""

import pytest
from helpers.viz_examples import mlp_step, page_of, panels

import minigrad as mg
from minigrad import viz
from minigrad.nn import functional as F
from minigrad.ops import OPS
from minigrad.viz.captions import BACKWARD, FORWARD


def captions(loss, **names):
    """The captions of a step, by the title of their frame."""
    page = page_of(viz.player(loss, names=names, path=None))
    return {frame["title"]: frame["caption"] for frame in page["frames"]}


def test_every_op_has_a_caption():
    x = mg.tensor([[0.5, 1.5], [2.5, 0.25]], requires_grad=True)
    y = x.exp().log().sqrt().sigmoid() + x.abs() - x / 3 * x**2 + (-x).softmax(1) + x.log_softmax(0).clip(-5, 1)
    y = mg.cat([y, x.T, mg.stack([x[0], x[1]])]) @ x.amax(dim=0)
    y = y.reshape(2, 3).max(dim=1).values + x.logsumexp(1) + x.double().float().mean(1) + mg.where(x > 1, x, 2 * x)[0]
    page = page_of(viz.player(y.sum(), names={"x": x}, path=None))
    assert {"cat", "getitem", "where", "pow", "amax", "to"} <= {panel["heading"] for panel in panels(page, "formula")}
    for frame in page["frames"]:
        assert frame["title"]
        assert frame["caption"].count("`") % 2 == 0
        assert not {"{", "}"} & set(frame["caption"])
    assert all(panel["formula"] for panel in panels(page, "formula"))


def test_table_names_ops_that_exist():
    arguments = {
        f"{name} {argument}" for name, op in OPS.items() for argument in (*op.op.array_names, "number", "array")
    }
    assert {*FORWARD, *BACKWARD} - {"number", "array"} <= {*OPS, *arguments}


def test_no_private_op_name_is_shown():
    html = viz.player(*mlp_step()).html
    assert "softmax_cross_entropy" not in html


def test_forward_captions_have_their_numbers():
    player = viz.player(*mlp_step())
    found = {frame["title"]: frame["caption"] for frame in page_of(player)["frames"]}
    value = {v.name: player.recording.values[v.index] for v in player.recording.vertices}
    positive = int((value["relu"] > 0).sum())
    assert f"`{positive}` of `20` numbers are kept, `{20 - positive}` become 0" in found["relu"]
    assert "Each of the `4` rows of `input` is multiplied" in found["linear₁"]
    losses = value["cross_entropy"]
    assert f"smallest for sample `{losses.argmin()}`" in found["cross_entropy"]
    assert f"largest for sample `{losses.argmax()}`" in found["cross_entropy"]


def test_cross_entropy_of_one_number_names_its_reduction():
    x = mg.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]], requires_grad=True)
    y = mg.tensor([0, 1, 1])
    found = captions(F.cross_entropy(x, y), x=x)
    assert "averaged over the samples (`3`)" in found["loss: cross_entropy"]
    assert "summed over the samples (`3`)" in captions(F.cross_entropy(x, y, reduction="sum"))["loss: cross_entropy"]


@pytest.mark.parametrize(("sign", "effect"), [(1, "raises the score of the true class"), (-1, "lowers the score")])
def test_cross_entropy_gradient_explains_gradient_descent(sign, effect):
    x = mg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    found = captions(sign * F.cross_entropy(x, mg.tensor([1])), x=x)["cross_entropy → x"]
    probabilities = mg.tensor([1.0, 2.0, 3.0]).softmax(0).tolist()
    assert "the true class is `1`" in found
    assert f"{probabilities[2]:.4g}".lstrip("-") in found
    assert effect in found


def test_mul_names_the_other_factor():
    a, b = mg.tensor(3.0, requires_grad=True), mg.tensor(-2.0, requires_grad=True)
    found = captions(a * b * 5, a=a, b=b)
    assert "times `b`" in found["mul → a"]
    assert "times `5`" in found["loss → mul"]
    assert found["mul"].startswith("`mul` of `a` = `3` and `b` = `−2` is `−6`.")


def test_chain_rule_is_the_default():
    x = mg.tensor(0.0, requires_grad=True)
    assert captions(x.exp(), x=x)["loss → x"] == (
        "The chain rule: the gradient of `loss` is `1`; times the local derivative of `exp`, it is the gradient of "
        "`x`, `1`."
    )
