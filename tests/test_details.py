"""Details that the other tests came past without looking: mutants of the package showed them."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading

import pytest

import minigrad as mg


# Calls
def test_cat_and_stack_take_their_axis_by_position():
    x, y = mg.tensor([[1.0, 2.0]]), mg.tensor([[3.0, 4.0]])
    assert mg.cat([x, y], 1).tolist() == mg.cat((x, y), dim=1).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert mg.cat([x, y]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert mg.stack([x, y], 2).tolist() == [[[1.0, 3.0], [2.0, 4.0]]]
    assert mg.stack([x, y], -1).tolist() == mg.stack([x, y], axis=2).tolist()


def test_one_argument_too_many_is_counted():
    x = mg.ones(2, 2)
    with pytest.raises(TypeError, match="cat: got 1 arguments too many"):
        mg.cat([x, x], 0, 1)
    with pytest.raises(TypeError, match="sum: got 2 arguments too many"):
        mg.sum(x, 0, True, 1, 2)


def test_none_is_taken_where_an_argument_may_be_left_out_and_nowhere_else():
    x, w = mg.ones(2, 3), mg.ones(4, 3)
    assert mg.nn.functional.linear(x, w, None).tolist() == [[3.0] * 4] * 2
    with pytest.raises(TypeError, match="add: expected Tensors or numbers, got NoneType"):
        mg.add(x, None)
    with pytest.raises(TypeError, match="linear: expected a Tensor, got NoneType"):
        mg.nn.functional.linear(x, None)


def test_a_number_is_no_matrix_and_no_part_of_a_cat():
    x = mg.ones(2, 2)
    for number in (2, 2.0, True):
        with pytest.raises(TypeError, match="matmul: expected a Tensor, got"):
            mg.matmul(x, number)
        with pytest.raises(TypeError, match="cat: expected a Tensor, got"):
            mg.cat([x, number])
    assert (x + True).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_an_error_of_the_array_library_names_the_op_and_what_went_in():
    with pytest.raises(ValueError, match=r"matmul: .* \(got \(2, 3\) float32, \(2, 3\) float32\)"):
        mg.ones(2, 3) @ mg.ones(2, 3)


def test_numbers_alone_are_no_call_of_an_op():
    with pytest.raises(TypeError, match="add: expected a Tensor, got float, float"):
        mg.add(2.0, 3.0)


def test_two_devices_are_named():
    x = mg.ones(2)
    with pytest.raises(RuntimeError, match="add: expected Tensors on one device, got cpu and strict"):
        x + x.to("strict")


@pytest.mark.parametrize(
    ("op", "signature"),
    [
        (mg.sum, "(x, dim=None, keepdim=False)"),
        (mg.softmax, "(x, dim)"),
        (mg.cat, "(*tensors, dim=0)"),
        (mg.matmul, "(x, w)"),
    ],
)
def test_an_op_shows_the_signature_it_is_called_with(op, signature):
    assert str(inspect.signature(op)) == signature


# The walk
def test_the_first_ops_of_a_process_have_gradients():
    program = "import minigrad as mg; x = mg.tensor(3.0, requires_grad=True); (x * x).backward(); print(x.grad.item())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("6.0\n", "")


def test_anomalies_of_a_thread_that_is_not_watched_are_its_own_affair():
    found = []
    with mg.detect_anomaly():
        thread = threading.Thread(target=lambda: found.append(mg.tensor(-1.0).log().isnan().item()))
        thread.start()
        thread.join()
    assert found == [True]


def test_gradients_that_are_recorded_add_up_too():
    x = mg.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (x * x).backward(create_graph=True)
    assert x.grad.item() == 12.0
    assert mg.grad(x.grad, [x])[0].item() == 4.0


# What a Tensor is
def test_size_is_the_shape_or_one_axis_of_it():
    x = mg.ones(2, 3)
    assert x.size() == (2, 3)
    assert (x.size(0), x.size(-1)) == (2, 3)


def test_only_what_no_op_made_is_a_leaf():
    x = mg.tensor(1.0, requires_grad=True)
    assert x.is_leaf is True
    assert (2 * x).is_leaf is False


def test_numpy_copies_a_tensor_only_when_asked():
    x = mg.ones(2)
    assert x.__array__() is x.array
    assert x.__array__(copy=True) is not x.array
    assert x.__array__("float64").dtype == "float64"
