"""The losses, dropout and one_hot of nn.functional against torch; what they refuse.

Values are compared with torch's in float64, from the same numbers: the error may be 16 ε n S, with ε of the dtype, n
the number of elements and S the largest finite number among inputs and results (at least 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from helpers.fake_gpu import DEVICES
from helpers.op_check import DTYPES, same_bits
from helpers.torch_reference import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.backend import library

needs_torch = pytest.mark.skipif(torch is None, reason="torch, the reference, is not installed")
REDUCTIONS = ("mean", "sum", "none")


# Against torch
def agrees(
    ours: Callable[..., Any], theirs: Callable[..., Any], arrays: Sequence[np.ndarray | None], backend: str, dtype: str
) -> None:
    """Fail unless `ours` of Tensors and `theirs` of torch's tensors agree, with the gradients by all that are floating.

    `ours` and `theirs` get the arrays in order; None stays None. The inputs must come out as they went in.
    """
    lib = library(DEVICES[backend])
    given = [a if a is None or a.dtype.kind != "f" else a.astype(dtype) for a in arrays]
    tensors = [None if a is None else mg.tensor(a, device=lib.device) for a in given]
    references = [None if a is None else torch.tensor(a.astype("float64") if a.dtype.kind == "f" else a) for a in given]
    floats = [i for i, a in enumerate(given) if a is not None and a.dtype.kind == "f"]
    for i in floats:
        tensors[i].requires_grad_()
        references[i].requires_grad_()
    value, expected = ours(*tensors), theirs(*references)
    g = np.random.default_rng(0).standard_normal(tuple(expected.shape)).astype(dtype)
    value.backward(mg.tensor(g, device=lib.device))
    grads = torch.autograd.grad(
        expected, [references[i] for i in floats], torch.tensor(g.astype("float64")), allow_unused=True
    )

    peak = max([1.0, *(np.abs(a[np.isfinite(a)]).max(initial=0) for a in given if a is not None)])
    count = max([1, *(a.size for a in given if a is not None)])

    def close(what: str, actual: mg.Tensor, exact: Any) -> None:
        assert actual.dtype == dtype, f"{what} has dtype {actual.dtype}"
        exact = exact.detach().numpy(force=True)
        finite = np.abs(exact[np.isfinite(exact)]).max(initial=peak)
        np.testing.assert_allclose(
            lib.to_host(actual.array), exact, rtol=0, atol=16 * np.finfo(dtype).eps * count * finite, err_msg=what
        )

    close("the value", value, expected)
    for i, grad in zip(floats, grads):
        if grad is not None:
            close(f"the gradient of argument {i}", tensors[i].grad, grad)
    for a, tensor in zip(given, tensors):
        assert a is None or same_bits(lib.to_host(tensor.array), a), "an input was changed"


@st.composite
def classification(draw: Any, probabilities: bool) -> dict[str, Any]:
    """Scores (C,), (N, C) or (N, C, d1, ...), with labels (some ignored) or probabilities; weights; options."""
    c = draw(st.integers(1, 4))
    n = draw(st.sampled_from((None, 1, 3, 2, 0)))
    rest = () if n is None else draw(st.sampled_from(((), (), (2,), (2, 3))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (c,) if n is None else (n, c, *rest)
    x = rng.standard_normal(shape) * draw(st.sampled_from((1.0, 10.0, 1e4)))
    if draw(st.booleans()):
        x = np.round(x)  # ties
    found: dict[str, Any] = {"x": x, "reduction": draw(st.sampled_from(REDUCTIONS)), "ignore_index": -100}
    found["weight"] = rng.choice((0.0, 0.5, 1.0, 3.0), c) if draw(st.booleans()) else None
    found["label_smoothing"] = draw(st.sampled_from((0.0, 0.0, 0.1, 1.0)))
    if probabilities:
        found["target"] = rng.uniform(0, 2, shape)  # they need not sum to 1
        return found
    labels = np.asarray(rng.integers(0, c, shape[:0] if n is None else (n, *rest)))
    found["target"] = labels
    if draw(st.booleans()):
        found["ignore_index"] = draw(st.sampled_from((-100, -1, 0, c, 255)))
        if draw(st.booleans()):
            found["target"] = np.where(rng.random(labels.shape) < 0.4, found["ignore_index"], labels)
    signed = found["target"].size and found["target"].min() < 0
    found["labels"] = draw(
        st.sampled_from(("int64", "int32", "int16") if signed else ("int64", "uint8", "int32", "int16"))
    )
    return found


@needs_torch
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@given(case=classification(probabilities=False))
def test_losses_of_labels(name: str, backend: str, dtype: str, case: dict[str, Any]) -> None:
    kept = case["target"][case["target"] != case["ignore_index"]]
    # Labels that count, but all with weight 0: a mean of 0 / 0, of which torch's gradient is nan only in places.
    assume(case["reduction"] != "mean" or case["weight"] is None or not kept.size or case["weight"][kept].any())
    options = {key: case[key] for key in ("reduction", "ignore_index")}
    if name == "cross_entropy":
        options["label_smoothing"] = case["label_smoothing"]
    ours, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    labels = mg.tensor(case["target"].astype(case["labels"]), device=DEVICES[backend])
    agrees(
        lambda x: ours(x, labels, weight_on(case, backend, dtype), **options),
        lambda x: theirs(x, torch.tensor(case["target"]), theirs_weight(case), **options),
        [case["x"]],
        backend,
        dtype,
    )


def weight_on(case: dict[str, Any], backend: str, dtype: str) -> Any:
    return None if case["weight"] is None else mg.tensor(case["weight"].astype(dtype), device=DEVICES[backend])


def theirs_weight(case: dict[str, Any]) -> Any:
    return None if case["weight"] is None else torch.tensor(case["weight"])


@needs_torch
@pytest.mark.parametrize("dtype", DTYPES)
@given(case=classification(probabilities=True))
def test_cross_entropy_of_probabilities(backend: str, dtype: str, case: dict[str, Any]) -> None:
    options = {key: case[key] for key in ("reduction", "label_smoothing")}
    agrees(
        lambda x, q: F.cross_entropy(x, q, weight_on(case, backend, dtype), **options),
        lambda x, q: torch.nn.functional.cross_entropy(x, q, theirs_weight(case), **options),
        [case["x"], case["target"]],
        backend,
        dtype,
    )


@needs_torch
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_masked_scores_count_nothing(backend: str, dtype: str, reduction: str) -> None:
    """A score of -inf is probability 0: the loss of another label stays finite, as torch's does."""
    x = np.array([[0.5, -np.inf, 1.0], [-np.inf, 2.0, -np.inf], [1e4, -1e4, -np.inf]])
    labels = np.array([2, 1, 0])
    agrees(
        lambda x: F.cross_entropy(x, mg.tensor(labels, device=DEVICES[backend]), reduction=reduction),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(labels), reduction=reduction),
        [x],
        backend,
        dtype,
    )


@st.composite
def pairs(draw: Any) -> dict[str, Any]:
    """Predictions and targets of one shape, and weights that broadcast against them."""
    shape = tuple(draw(st.lists(st.sampled_from((2, 1, 3, 0)), max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(shape) * draw(st.sampled_from((1.0, 30.0, 1e4)))
    weight_shape = shape[draw(st.integers(0, len(shape))) :]
    return {
        "x": np.asarray(x),
        "t": np.asarray(rng.random(shape) if draw(st.booleans()) else rng.integers(0, 2, shape).astype(float)),
        "weight": np.asarray(rng.uniform(0.5, 2, shape)) if draw(st.booleans()) else None,
        "row": np.asarray(rng.uniform(0.5, 2, weight_shape)) if draw(st.booleans()) else None,
        "pos_weight": np.asarray(rng.uniform(0.5, 2, weight_shape)) if draw(st.booleans()) else None,
        "reduction": draw(st.sampled_from(REDUCTIONS)),
    }


@needs_torch
@pytest.mark.parametrize("dtype", DTYPES)
@given(case=pairs())
def test_mse_loss(backend: str, dtype: str, case: dict[str, Any]) -> None:
    assume(case["weight"] is None or case["weight"].size)
    agrees(
        lambda x, t, w: F.mse_loss(x, t, reduction=case["reduction"], weight=w if w is None else w.detach()),
        lambda x, t, w: torch.nn.functional.mse_loss(
            x, t, reduction=case["reduction"], weight=w if w is None else w.detach()
        ),
        [case["x"], case["t"], case["weight"]],
        backend,
        dtype,
    )


@needs_torch
@pytest.mark.parametrize("dtype", DTYPES)
@given(case=pairs())
def test_binary_cross_entropy_with_logits(backend: str, dtype: str, case: dict[str, Any]) -> None:
    def loss(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(x: Any, t: Any, w: Any, p: Any) -> Any:
            w, p = (each if each is None else each.detach() for each in (w, p))
            return function(x, t, w, reduction=case["reduction"], pos_weight=p)

        return call

    agrees(
        loss(F.binary_cross_entropy_with_logits),
        loss(torch.nn.functional.binary_cross_entropy_with_logits),
        [case["x"], case["t"], case["row"], case["pos_weight"]],
        backend,
        dtype,
    )


# What the losses refuse: the same on every backend
LABELS: dict[str, tuple[Any, type[Exception] | None, str]] = {
    "-1": ([0, -1, 2], IndexError, "expected labels from 0 to 2, got -1 at index 1"),
    "C": ([0, 1, 3], IndexError, "expected labels from 0 to 2, got 3 at index 2"),
    "C + 4": ([7, 1, 3], IndexError, "expected labels from 0 to 2, got 7 at index 0"),
    "(N, 1)": ([[0], [1], [2]], ValueError, "expected labels of shape (3,) for an input of shape (3, 3), got (3, 1)"),
    "one label": ([0], ValueError, "expected labels of shape (3,) for an input of shape (3, 3), got (1,)"),
    "none": ([], ValueError, "expected labels of shape (3,)"),
    "float": (np.zeros(3, "float32"), TypeError, "expected integer labels, got dtype float32; use target.long()"),
    "bool": (np.zeros(3, bool), TypeError, "expected integer labels, got dtype bool; use target.long()"),
    "uint8": (np.array([0, 1, 2], "uint8"), None, ""),
    "uint8, C": (np.array([0, 3, 2], "uint8"), IndexError, "got 3 at index 1"),
    "int32": (np.array([0, 1, 2], "int32"), None, ""),
    "int8": (np.array([0, 1, 2], "int8"), None, ""),
    "ignored": ([0, -100, 2], None, ""),
}


@pytest.mark.parametrize("what", LABELS)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_label_contract(name: str, what: str, device: str) -> None:
    labels, error, message = LABELS[what]
    loss = getattr(F, name)
    x = mg.tensor(np.eye(3), device=device, requires_grad=True)
    target = mg.tensor(np.asarray(labels, dtype=None if np.size(labels) else "int64"), device=device)
    if error is None:
        loss(x, target).backward()
        assert x.grad is not None
        return
    with pytest.raises(error) as refused:
        loss(x, target)
    assert str(refused.value).startswith(f"{name}: ")
    assert message in str(refused.value)
    with pytest.raises(error) as on_cpu:
        loss(x.cpu(), target.cpu())
    assert str(refused.value) == str(on_cpu.value)


def test_invalid_label_is_named_by_its_index(device: str) -> None:
    target = mg.zeros(2, 2, 3, dtype="int64", device=device)
    target[1, 0, 2] = 9
    with pytest.raises(IndexError, match=r"expected labels from 0 to 3, got 9 at index \(1, 0, 2\)"):
        F.cross_entropy(mg.zeros(2, 4, 2, 3, device=device), target)


def test_other_ignored_label_needs_ignore_index(device: str) -> None:
    x, target = mg.zeros(2, 3, device=device), mg.tensor([0, 255], device=device)
    with pytest.raises(IndexError, match="got 255 at index 1"):
        F.cross_entropy(x, target)
    assert F.cross_entropy(x, target, ignore_index=255).item() == pytest.approx(np.log(3))


def test_losses_of_no_samples(device: str) -> None:
    """As torch: the sum is 0 and the mean of nothing is nan, also where all labels are ignored."""
    x = mg.zeros(0, 3, device=device, requires_grad=True)
    empty = mg.zeros(0, dtype="int64", device=device)
    assert F.cross_entropy(x, empty, reduction="sum").item() == 0
    assert np.isnan(F.cross_entropy(x, empty).item())
    ignored = mg.full((2,), -100, device=device)
    assert F.cross_entropy(mg.zeros(2, 3, device=device), ignored, reduction="sum").item() == 0
    assert np.isnan(F.cross_entropy(mg.zeros(2, 3, device=device), ignored).item())


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), (4, 1)), ((2, 3), (3,)), ((3,), ())])
def test_mse_loss_does_not_broadcast(name: str, shapes: Any, device: str) -> None:
    x, t = (mg.zeros(shape, device=device) for shape in shapes)
    with pytest.raises(ValueError, match=f"{name}: expected target of shape .*, got "):
        getattr(F, name)(x, t)


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits", "cross_entropy", "nll_loss"])
def test_losses_reject_other_types_and_devices(name: str, device: str) -> None:
    loss, x = getattr(F, name), mg.zeros(2, 3, device=device)
    with pytest.raises(TypeError, match=f"{name}: expected a Tensor as target, got list"):
        loss(x, [0, 1])
    elsewhere = "strict" if device == "cpu" else "cpu"
    labels = name in ("cross_entropy", "nll_loss")
    target = mg.zeros(2, dtype="int64", device=elsewhere) if labels else mg.zeros(2, 3, device=elsewhere)
    with pytest.raises(RuntimeError, match=f"{name}: expected target on .*, got "):
        loss(x, target)
    with pytest.raises(ValueError, match="reduction: expected 'mean', 'sum' or 'none', got 'average'"):
        loss(x, target.to(device), reduction="average")


def test_class_weights_of_another_length_raise(device: str) -> None:
    x, target = mg.zeros(2, 3, device=device), mg.zeros(2, dtype="int64", device=device)
    for name in ("cross_entropy", "nll_loss"):
        with pytest.raises(ValueError, match=rf"{name}: expected weight of shape \(3,\), got \(2,\)"):
            getattr(F, name)(x, target, mg.ones(2, device=device))


@pytest.mark.parametrize("smoothing", [-0.1, 1.5])
@pytest.mark.parametrize("probabilities", [False, True])
def test_label_smoothing_outside_0_to_1_raises(smoothing: float, probabilities: bool, device: str) -> None:
    x = mg.zeros(2, 3, device=device)
    target = mg.ones(2, 3, device=device) if probabilities else mg.zeros(2, dtype="int64", device=device)
    with pytest.raises(ValueError, match="expected label_smoothing from 0 to 1"):
        F.cross_entropy(x, target, label_smoothing=smoothing)


# Dropout and one_hot
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p: float, device: str) -> None:
    """Of n elements n (1 - p) are kept, within 5 standard deviations; each that is kept is x / (1 - p)."""
    mg.manual_seed(0)
    n = 40_000
    x = mg.full((n,), 3.0, device=device, requires_grad=True)
    y = F.dropout(x, p)
    y.sum().backward()
    values, grads = (library(device).to_host(each.array) for each in (y, x.grad))
    kept = int((values != 0).sum())
    assert abs(kept - n * (1 - p)) <= 5 * np.sqrt(n * p * (1 - p))
    assert set(values[values != 0]) == {np.float32(3 * np.float32(1 / (1 - p)))}
    np.testing.assert_array_equal(grads, values / np.float32(3))
    assert y.dtype == "float32"


def test_dropout_at_its_ends(device: str) -> None:
    x = mg.ones(100, device=device)
    assert F.dropout(x, 0.0).tolist() == [1.0] * 100
    assert F.dropout(x, 1.0).tolist() == [0.0] * 100
    assert F.dropout(x, 0.5, training=False).tolist() == [1.0] * 100
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="dropout: expected a probability from 0 to 1"):
            F.dropout(x, p)


def test_dropout_is_the_same_on_all_devices_and_new_each_time(device: str) -> None:
    mg.manual_seed(1)
    first, second = (F.dropout(mg.ones(50, device=device)).tolist() for _ in range(2))
    assert first != second
    mg.manual_seed(1)
    assert F.dropout(mg.ones(50)).tolist() == first


@needs_torch
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
def test_one_hot(shape: Any, device: str) -> None:
    labels = np.random.default_rng(0).integers(0, 5, shape)
    ours = F.one_hot(mg.tensor(np.asarray(labels), device=device), 5)
    theirs = torch.nn.functional.one_hot(torch.tensor(labels), 5).numpy()
    assert same_bits(library(device).to_host(ours.array), theirs)


@pytest.mark.parametrize("label", [-1, 5])
def test_one_hot_rejects_invalid_labels(label: int, device: str) -> None:
    with pytest.raises(IndexError, match=f"one_hot: expected labels from 0 to 4, got {label} at index 1"):
        F.one_hot(mg.tensor([0, label], device=device), 5)
    with pytest.raises(TypeError, match="one_hot: expected integer labels, got dtype float32"):
        F.one_hot(mg.tensor([0.0], device=device), 5)


# Options
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("ignored", [0, 1, 2])
def test_ignore_index_may_be_the_first_or_the_last_class(loss, ignored):
    scores = mg.tensor([[0.1, 0.2, 0.4], [0.5, 0.3, 0.1], [0.2, 0.9, 0.3]], dtype="float64")
    labels = mg.tensor([0, 1, 2])
    counted = [i for i in range(3) if i != ignored]
    expected = loss(scores[counted], labels[counted]).item()
    assert loss(scores, labels, ignore_index=ignored).item() == pytest.approx(expected, rel=1e-12)


def test_label_smoothing_is_weighted_by_class():
    scores = mg.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype="float64")
    loss = F.cross_entropy(scores, mg.tensor([1, 0]), mg.tensor([0.5, 2.0, 4.0]), label_smoothing=0.3)
    log_p = scores.numpy() - np.log(np.exp(scores.numpy()).sum(axis=1, keepdims=True))
    q = 0.7 * np.array([[0, 1, 0], [1, 0, 0]]) + 0.1
    assert loss.item() == pytest.approx(-(q * [0.5, 2, 4] * log_p).sum() / 2.5, rel=1e-12)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize(("scores", "label"), [(mg.tensor([[1, 2]]), mg.tensor([0])), (mg.tensor(1.0), mg.tensor(0))])
def test_scores_of_wrong_dtype_or_shape_raise(loss, scores, label):
    with pytest.raises(TypeError, match=r"expected scores \(N, C\) of floating point"):
        loss(scores, label)


@pytest.mark.parametrize(("layer", "loss"), [(nn.CrossEntropyLoss(), F.cross_entropy), (nn.NLLLoss(), F.nll_loss)])
def test_loss_modules_have_the_ignore_index_of_functions(layer, loss):
    scores, labels = mg.tensor([[1.0, 2.0], [3.0, 0.5]]), mg.tensor([-100, 1])
    assert layer(scores, labels).item() == loss(scores, labels).item() == loss(scores[1:], labels[1:]).item()
    for label in (100, -101):
        with pytest.raises(IndexError, match="expected labels from 0 to 1"):
            layer(scores, mg.tensor([label, 1]))
