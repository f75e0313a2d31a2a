"""The Tensor itself: attributes, requires_grad, grad, copies, conversions."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.tensor import note_value_range, value_range


def test_shape_and_size():
    x = mg.ones(2, 3)
    assert x.shape == x.size() == (2, 3)
    assert (x.size(0), x.size(-1)) == (2, 3)
    assert x.ndim == x.dim() == 2
    assert (x.numel(), len(x), mg.tensor(1.0).numel()) == (6, 2, 1)


@pytest.mark.parametrize("value", [[1.0], 1.0, None, np.float32(1), np.ones(2).view(np.matrix)])
def test_constructor_takes_only_arrays_of_a_device(value):
    with pytest.raises(TypeError, match=r"Tensor: expected an array of a device, got .*; use tensor\(data\)"):
        mg.Tensor(value)


def test_repr_has_four_decimals_and_at_most_200_elements():
    assert repr(mg.tensor([3.14159265])) == "tensor([3.1416])"
    assert "..." in repr(mg.arange(201))
    assert "..." not in repr(mg.arange(200))


def test_repr_has_the_device():
    assert repr(mg.ones(1, device="strict")) == "tensor([1.], device='strict')"


# requires_grad and grad
def test_leaves_are_tensors_without_a_node():
    x = mg.tensor(1.0, requires_grad=True)
    assert x.is_leaf is True
    assert (2 * x).is_leaf is False
    assert (2 * x).detach().is_leaf is True


def test_requires_grad_can_be_set_on_leaves():
    x = mg.tensor([1.0])
    assert x.requires_grad_(True).requires_grad
    assert not x.requires_grad_(False).requires_grad
    assert not mg.tensor([1.0], requires_grad=False).requires_grad
    with pytest.raises(RuntimeError, match=r"only a leaf can stop requiring a gradient; use x.detach\(\)"):
        (mg.ones(1, requires_grad=True) * 2).requires_grad_(False)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_requires_grad_of_integers_raises(dtype):
    with pytest.raises(TypeError, match="only float32 and float64"):
        mg.tensor([1, 0], dtype=dtype, requires_grad=True)
    with pytest.raises(TypeError, match=f"got dtype {dtype}"):
        mg.tensor([1, 0], dtype=dtype).requires_grad_()


def test_grad_of_a_non_leaf_warns():
    x = mg.ones(2, requires_grad=True)
    y = x * 3
    y.sum().backward()
    with pytest.warns(UserWarning, match="this Tensor is not a leaf") as caught:
        assert y.grad is None
    assert "with no_grad(): w -= lr * w.grad" in str(caught[0].message)
    assert "retain_grad()" in str(caught[0].message)
    assert caught[0].filename == __file__  # the line of the user


def test_grad_of_other_tensors_does_not_warn():
    x, constant = mg.ones(2, requires_grad=True), mg.tensor([5.0, 5.0])
    y = x * constant
    y.retain_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.grad is constant.grad is y.grad is y.detach().grad is None
        y.sum().backward()
        assert x.grad.tolist() == [5.0, 5.0]
        assert y.grad.tolist() == [1.0, 1.0]
        assert constant.grad is None


def test_retain_grad_needs_a_gradient():
    with pytest.raises(RuntimeError, match="retain_grad: this Tensor does not require a gradient"):
        mg.ones(2).retain_grad()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1.0, 1.0], TypeError, "grad: expected a Tensor or None, got list"),
        (mg.ones(3), ValueError, r"grad: expected \(2,\) float32 on cpu, got \(3,\) float32 on cpu"),
        (mg.ones(2, dtype="float64"), ValueError, r"got \(2,\) float64 on cpu"),
        (mg.ones(2, device="strict"), ValueError, r"got \(2,\) float32 on strict"),
    ],
)
def test_grad_takes_only_a_tensor_like_its_own(value, error, message):
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(error, match=message):
        x.grad = value
    x.grad = mg.zeros(2)
    assert x.grad.tolist() == [0.0, 0.0]
    x.grad = None
    assert x.grad is None


# Copies
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "deepcopy", "pickle"]
)
def test_leaves_can_be_copied_and_pickled(duplicate):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    y = duplicate(x)
    assert y.tolist() == [1.0, 2.0]
    assert y.grad.tolist() == [2.0, 4.0]
    assert y.requires_grad
    assert (y * 3).requires_grad
    with pytest.raises(RuntimeError, match=r"copy: only leaf Tensors .*; use x.detach\(\).clone\(\)"):
        duplicate(x * 2)


# Conversions
def test_array_conversion_copies_only_on_request():
    x = mg.ones(2)
    assert x.__array__() is x.array
    assert x.__array__(copy=True) is not x.array
    assert x.__array__("float64").dtype == "float64"
    assert np.asarray(x) is x.array


def test_numpy_needs_a_constant_on_the_cpu():
    with pytest.raises(RuntimeError, match=r"numpy: this Tensor requires a gradient; use x.detach\(\).numpy\(\)"):
        mg.ones(2, requires_grad=True).numpy()
    with pytest.raises(TypeError, match=r"numpy: this Tensor is on strict; use x.cpu\(\).numpy\(\)"):
        mg.ones(2, device="strict").numpy()


def test_one_element_converts_to_a_number(device):
    x = mg.tensor([2.5], device=device)
    assert (x.item(), float(x), int(x), bool(x), f"{x:.2f}") == (2.5, 2.5, 2, True, "2.50")
    assert (bool(mg.tensor(0, device=device)), [1, 2, 3][mg.tensor(1, device=device)]) == (False, 2)
    for convert in (float, int, bool, mg.Tensor.item):
        with pytest.raises(ValueError, match=r"item: expected a Tensor of one element, got shape \(2,\); use x.tolist"):
            convert(mg.ones(2, device=device))
    with pytest.raises(TypeError, match="an index must be an integer, got a Tensor of dtype float32"):
        [1, 2, 3][x]


def test_format_without_a_spec_is_the_repr():
    assert f"{mg.ones(2)}" == "tensor([1., 1.])"


def test_iteration_is_over_the_first_axis():
    assert [row.tolist() for row in mg.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    for function in (len, list):
        with pytest.raises(TypeError, match="len: a 0-d Tensor has no length"):
            function(mg.tensor(1.0))


def test_tensors_hash_by_identity_and_compare_by_element():
    x = mg.tensor([1.0, math.nan])
    assert len({x, x, x.clone()}) == 2
    assert (x == x).tolist() == [True, False]
    assert (x != x).tolist() == [False, True]
    for other in (None, "x", [1.0, 2.0], object()):
        assert (x == other) is False
        assert (x != other) is True


def test_value_range_is_dropped_by_a_change():
    for change in (lambda y: y.fill_(5), lambda y: setattr(y, "data", mg.tensor([7, 7]))):
        y = mg.tensor([0, 3])
        assert value_range(y) is None
        note_value_range(y, (0, 3))
        assert value_range(y) == (0, 3)
        change(y)
        assert value_range(y) is None
