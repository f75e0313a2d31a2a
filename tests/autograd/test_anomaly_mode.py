"""detect_anomaly: the first NaN or inf is reported with its op and line, and legal values pass."""

import math
import re
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

INF, NAN = math.inf, math.nan


def leaf(*values, device="cpu", dtype="float32"):
    return mg.tensor(list(values), device=device, dtype=dtype, requires_grad=True)


def anomaly(call, *parts):
    """The message of the AnomalyError that `call` raises; it contains `parts`, this file and a line."""
    with pytest.raises(mg.AnomalyError) as caught, mg.detect_anomaly():
        call()
    message = str(caught.value)
    for part in (*parts, f"{__file__}, line "):
        assert part in message
    return message


def in_a_thread(call):
    """The result of `call` in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


# Forward
def test_forward_error_has_op_index_line_shapes_and_values(device):
    x = leaf(4.0, 0.0, 2.0, device=device)
    report = "log produced inf at [1], in 1 of the 3 elements of its result (3,) float32"
    message = anomaly(lambda: x.log().sum(), report)
    assert "x: (3,) float32, 0 there, from 0 to 4" in message
    assert message.endswith("lambda: x.log().sum(), report)")


@pytest.mark.parametrize(
    ("call", "report"),
    [
        (lambda: mg.tensor([3e38]) * 10, r"mul produced inf at \[0\].*; b: 10; called in"),
        (
            lambda: mg.cat([mg.zeros(0), leaf(NAN)]),
            r"argument 0: \(0,\) float32; argument 1: \(1,\) float32, nan there",
        ),
        (lambda: mg.tensor(0.0).log(), r"; x: \(\) float32, 0 there; called in"),
        (lambda: leaf(INF) - leaf(INF), r"sub produced nan at \[0\]"),
        (lambda: leaf(1.0, NAN) * 2, r"mul passed on nan at \[1\].*nan there"),
        (lambda: leaf(1.0) * NAN, r"mul passed on nan at \[0\]"),
    ],
    ids=["number", "no name", "0-d", "nan of inf", "nan of nan", "nan of a number"],
)
def test_forward_error_describes_the_arguments(call, report):
    assert re.search(report, anomaly(call))


def test_line_is_that_of_the_user_inside_modules():
    class Mean(nn.Module):
        def forward(self, x):
            return x.sum() / 0.0  # this line

    message = anomaly(lambda: nn.Sequential(Mean())(leaf(1.0)), "div produced inf")
    assert message.endswith("return x.sum() / 0.0  # this line")


def test_ops_are_checked_under_no_grad():
    def evaluate():
        with mg.no_grad():
            mg.tensor([1e38]) * 10.0

    anomaly(evaluate, "mul produced inf")


# Backward
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backward_error_has_op_and_line_of_the_forward(device, dtype):
    x = leaf(1.0, 0.0, device=device, dtype=dtype)

    def step():
        y = x.sqrt()  # this line
        (y * 3).sum().backward()

    report = f"backward of sqrt: dL/dx produced inf at [1], in 1 of the 2 elements of its result (2,) {dtype}"
    message = anomaly(step, report)
    assert f"dL/dy: (2,) {dtype}, 3 there" in message
    assert message.endswith("y = x.sqrt()  # this line")


def test_backward_error_without_a_recorded_line():
    y = leaf(0.0).sqrt()
    with pytest.raises(mg.AnomalyError, match=r"backward of sqrt.*put it inside to see the line"), mg.detect_anomaly():
        y.backward()


def test_error_in_a_recorded_gradient_names_the_forward_op():
    x = leaf(0.0)
    anomaly(lambda: mg.grad((x**0.5).sum(), x, create_graph=True), "backward of pow for `x`")


def test_overflow_of_a_sum_of_gradients_is_reported():
    x = leaf(0.0)

    def step():
        y = x * 1.0
        (y * 3e38 + y * 3e38).backward()

    anomaly(step, "the sum of the gradients of a Tensor produced inf")
    y, z = x * 1.0, x * 1.0
    report = r"the first: .*, 2e\+38 there.*; the next: .*, 3e\+38 there"
    with pytest.raises(mg.AnomalyError, match=report), mg.detect_anomaly():
        mg.grad([y, z], x, [mg.tensor([3e38]), mg.tensor([2e38])])


def test_sum_with_an_infinite_gradient_passes():
    x = leaf(1.0)
    with mg.detect_anomaly():
        for values in ([1.0, INF], [INF, 1.0]):
            (g,) = mg.grad([x * 1.0, x * 1.0], x, [mg.tensor([value]) for value in values])
            assert g.tolist() == [INF]


# No anomaly
def test_infinite_masks_and_infinite_inputs_pass(device):
    scores = leaf(1.0, 2.0, 3.0, device=device)
    mask = mg.tensor([True, False, True], device=device)
    with mg.detect_anomaly():
        p = mg.where(mask, scores, -INF).softmax(dim=0)
        p.sum().backward()
        assert (mg.tensor([INF], device=device) * 2).tolist() == [INF]
        assert mg.isnan(mg.tensor([NAN], device=device)).tolist() == [True]
        assert mg.where(mg.tensor([False], device=device), mg.tensor([INF], device=device), 1.0).tolist() == [1.0]
    assert np.isfinite(scores.grad.cpu().numpy()).all()


def test_results_are_the_same_with_detect_anomaly():
    def step():
        mg.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
        F.cross_entropy(model(mg.randn(6, 5)), mg.randint(0, 3, (6,))).backward()
        return [parameter.grad.tolist() for parameter in model.parameters()]

    with mg.detect_anomaly():
        checked = step()
    assert checked == step()


# Arrays modified between forward and backward
def test_write_past_the_tensor_is_reported(device):
    x, w = leaf(1.0, 2.0, device=device), leaf(3.0, 4.0, device=device)

    def step():
        y = x * w  # this line
        w.detach().array[0] = 7
        y.sum().backward()

    message = anomaly(step, "backward of mul: the array of `b`, of shape (2,), was modified after mul had used it")
    assert message.endswith("y = x * w  # this line")


def test_write_to_a_result_is_reported():
    x = leaf(1.0, 2.0)

    def step():
        y = x.exp()
        y.array[0] = 0
        y.sum().backward()

    anomaly(step, "backward of exp: the array of `its result`")


def test_write_through_the_tensor_is_reported_with_both_lines():
    x = leaf(1.0, 2.0)

    def step():
        y = x * x
        with mg.no_grad():
            x.add_(1)  # this line
        y.sum().backward()

    with pytest.raises(RuntimeError, match="modified in place after mul had used it") as caught, mg.detect_anomaly():
        step()
    lines = r"mul was called in .*y = x \* x; it was modified in .*x\.add_\(1\)  # this line"
    assert re.search(lines, str(caught.value))


# Extent
def test_detect_anomaly_ends_with_its_block():
    with pytest.raises(mg.AnomalyError), mg.detect_anomaly():
        leaf(0.0).log()
    assert leaf(0.0).log().tolist() == [-INF]


def test_detect_anomaly_nests_and_decorates():
    @mg.detect_anomaly()
    def function():
        return leaf(0.0).log()

    @mg.detect_anomaly
    def generator():
        yield leaf(1.0).log()
        yield leaf(0.0).log()

    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        with pytest.raises(mg.AnomalyError):
            leaf(0.0).log()
    with pytest.raises(mg.AnomalyError):
        function()
    results = generator()
    next(results)
    assert leaf(0.0).log().tolist() == [-INF]
    with pytest.raises(mg.AnomalyError):
        next(results)


def test_other_threads_are_not_checked():
    def work():
        x = mg.tensor(0.0, requires_grad=True)
        x.sqrt().backward()
        y = x * x
        with mg.no_grad():
            x += 1
        try:
            y.backward()
        except RuntimeError as error:
            return leaf(0.0).log().item(), x.grad.item(), str(error)

    with mg.detect_anomaly():
        log, slope, error = in_a_thread(work)
        with pytest.raises(mg.AnomalyError):
            leaf(0.0).log()  # this thread still is
    assert (log, slope) == (-INF, INF)
    assert "it was modified in" not in error  # no lines are recorded either


def test_each_thread_may_have_its_own_block():
    def work():
        with mg.detect_anomaly():
            try:
                leaf(0.0).log()
            except mg.AnomalyError:
                return True

    assert in_a_thread(work)
    with mg.detect_anomaly():
        assert in_a_thread(work)
    assert leaf(0.0).log().tolist() == [-INF]


def test_graph_can_be_used_after_the_error():
    x = leaf(4.0, 0.0)
    with pytest.raises(mg.AnomalyError), mg.detect_anomaly():
        x.sqrt().sum().backward()
    assert x.grad is None
    x.sqrt()[:1].sum().backward()
    assert x.grad.tolist()[0] == 0.25
