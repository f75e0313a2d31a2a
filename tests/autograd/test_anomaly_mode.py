"""detect_anomaly: the first NaN or inf is blamed on one op and one line, and what is legal is left alone."""

import re
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

INF = float("inf")


def blamed(work, *parts):
    """The message of the AnomalyError that `work` must raise; it has all these parts and this file and a line."""
    with pytest.raises(mg.AnomalyError) as caught, mg.detect_anomaly():
        work()
    message = str(caught.value)
    for part in (*parts, f"{__file__}, line "):
        assert part in message
    return message


def leaf(*values, device="cpu", dtype="float32"):
    return mg.tensor(list(values), device=device, dtype=dtype, requires_grad=True)


def test_forward_names_op_place_line_shapes_and_values(device):
    x = leaf(4.0, 0.0, 2.0, device=device)
    what = "log produced inf at [1], in 1 of the 3 elements of its result (3,) float32"
    message = blamed(lambda: x.log().sum(), what)
    assert "x: (3,) float32, 0 there, from 0 to 4" in message
    assert message.endswith("lambda: x.log().sum(), what)")


def test_the_line_is_the_users_also_where_minigrad_calls_the_op():
    class Mean(nn.Module):
        def forward(self, x):
            return x.sum() / 0.0  # this line

    message = blamed(lambda: nn.Sequential(Mean())(leaf(1.0)), "div produced inf")
    assert message.endswith("return x.sum() / 0.0  # this line")


def test_without_recording_too():
    def evaluate():
        with mg.no_grad():
            mg.tensor([1e38]) * 10.0

    blamed(evaluate, "mul produced inf")


def test_nan_is_blamed_though_inf_went_in():
    blamed(lambda: leaf(INF) - leaf(INF), "sub produced nan at [0]")


def test_nan_that_came_from_outside_is_told_apart():
    blamed(lambda: leaf(1.0, float("nan")) * 2, "mul passed on nan at [1]", "nan there")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backward_names_the_op_and_the_line_of_its_forward(device, dtype):
    x = leaf(1.0, 0.0, device=device, dtype=dtype)

    def step():
        y = x.sqrt()  # the culprit
        (y * 3).sum().backward()

    message = blamed(
        step, f"backward of sqrt: dL/dx produced inf at [1], in 1 of the 2 elements of its result (2,) {dtype}"
    )
    assert f"dL/dy: (2,) {dtype}, 3 there" in message
    assert message.endswith("y = x.sqrt()  # the culprit")


def test_a_forward_outside_has_no_line_and_the_message_says_what_to_do():
    y = leaf(0.0).sqrt()
    with pytest.raises(mg.AnomalyError, match=r"backward of sqrt.*put it inside to see the line"), mg.detect_anomaly():
        y.backward()


def test_a_recorded_gradient_names_the_op_of_the_forward():
    x = leaf(0.0)
    blamed(lambda: mg.grad((x**0.5).sum(), x, create_graph=True), "backward of pow for `x`")


def test_gradients_that_overflow_when_they_meet():
    x = leaf(1.0)

    def step():
        y = x * 1.0
        (y * 3e38 + y * 3e38).backward()

    with mg.no_grad():
        x *= 0
    blamed(step, "the sum of the gradients of a Tensor produced inf")


def test_what_is_legal_passes(device):
    scores = leaf(1.0, 2.0, 3.0, device=device)
    mask = mg.tensor([True, False, True], device=device)
    with mg.detect_anomaly():
        p = mg.where(mask, scores, -INF).softmax(dim=0)
        p.sum().backward()
        assert (mg.tensor([INF], device=device) * 2).tolist() == [INF]
        assert mg.isnan(mg.tensor([float("nan")], device=device)).tolist() == [True]
        assert mg.where(mg.tensor([False], device=device), mg.tensor([INF], device=device), 1.0).tolist() == [1.0]
    assert np.isfinite(scores.grad.cpu().numpy()).all()


def test_results_are_those_without_it():
    def step():
        mg.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
        F.cross_entropy(model(mg.randn(6, 5)), mg.randint(0, 3, (6,))).backward()
        return [parameter.grad.tolist() for parameter in model.parameters()]

    with mg.detect_anomaly():
        watched = step()
    assert watched == step()


# Changes between forward and backward
def test_a_change_past_the_tensor_is_found(device):
    x, w = leaf(1.0, 2.0, device=device), leaf(3.0, 4.0, device=device)

    def step():
        y = x * w  # used here
        w.detach().array[0] = 7
        y.sum().backward()

    message = blamed(step, "backward of mul: the array of `b`, of shape (2,), was modified after mul had used it")
    assert message.endswith("y = x * w  # used here")


def test_a_changed_result_is_found():
    x = leaf(1.0, 2.0)

    def step():
        y = x.exp()
        y.array[0] = 0
        y.sum().backward()

    blamed(step, "backward of exp: the array of `its result`")


def test_a_change_through_the_tensor_is_told_with_both_lines():
    x = leaf(1.0, 2.0)

    def step():
        y = x * x
        with mg.no_grad():
            x.add_(1)  # changed here
        y.sum().backward()

    with pytest.raises(RuntimeError, match="modified in place after mul had used it") as caught, mg.detect_anomaly():
        step()
    lines = r"mul was called in .*y = x \* x; it was modified in .*x\.add_\(1\)  # changed here"
    assert re.search(lines, str(caught.value))


# Its extent
def test_after_the_block_nothing_is_looked_at():
    with pytest.raises(mg.AnomalyError), mg.detect_anomaly():
        leaf(0.0).log()
    assert leaf(0.0).log().tolist() == [-INF]


def test_blocks_nest_and_functions_are_decorated():
    @mg.detect_anomaly()
    def work():
        return leaf(0.0).log()

    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        with pytest.raises(mg.AnomalyError):
            leaf(0.0).log()
    with pytest.raises(mg.AnomalyError):
        work()


def test_another_thread_is_not_watched():
    found = []
    with mg.detect_anomaly():
        thread = threading.Thread(target=lambda: found.append(leaf(0.0).log().tolist()))
        thread.start()
        thread.join()
    assert found == [[-INF]]


def test_the_graph_is_as_usable_after_the_error_as_before():
    x = leaf(4.0, 0.0)
    with pytest.raises(mg.AnomalyError), mg.detect_anomaly():
        x.sqrt().sum().backward()
    assert x.grad is None
    x.sqrt()[:1].sum().backward()
    assert x.grad.tolist()[0] == 0.25
