"""Type promotion of the arguments of an op, as torch promotes."""

import math

import pytest

import minigrad as mg
from minigrad.nn import functional as F

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "eq"])
def test_dtype_of_two_tensors_is_that_of_torch(name, torch):
    wrong = []
    for one in DTYPES:
        for other in DTYPES:
            for shape in ((1,), ()):
                ours = getattr(mg, name)(mg.ones(1, dtype=one), mg.ones(shape, dtype=other)).dtype
                ones = torch.ones(1, dtype=getattr(torch, one)), torch.ones(shape, dtype=getattr(torch, other))
                theirs = str(getattr(torch, name)(*ones).dtype).removeprefix("torch.")
                if str(ours) != theirs:
                    wrong.append((one, other, shape, str(ours), theirs))
    assert not wrong


@pytest.mark.parametrize("number", [True, 2, 2.5])
def test_dtype_with_a_number_is_that_of_torch(number, torch):
    for dtype in DTYPES:
        theirs = torch.ones(1, dtype=getattr(torch, dtype)) * number
        for ours in (mg.ones(1, dtype=dtype) * number, number * mg.ones(1, dtype=dtype)):
            assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    ("array", "number", "result"),
    [
        (mg.tensor([True]), mg.tensor(2), "int64"),
        (mg.tensor([1], dtype="uint8"), mg.tensor(2), "uint8"),
        (mg.tensor([1]), mg.tensor(2, dtype="uint8"), "int64"),
        (mg.tensor([1], dtype="uint8"), mg.tensor(0.5), "float32"),
        (mg.tensor([1]), mg.tensor(0.5), "float32"),
        (mg.tensor([1.0]), mg.tensor(2, dtype="float64"), "float32"),
    ],
)
def test_0d_promotes_only_across_categories(array, number, result):
    assert (array + number).dtype == (number + array).dtype == result


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_float_ops_make_float32_of_integers(dtype, device):
    x = mg.tensor([[1, 1], [1, 1]], dtype=dtype, device=device)
    unary = (mg.exp, mg.log, mg.log1p, mg.sqrt, mg.sigmoid, mg.tanh, F.leaky_relu, F.softplus, mg.mean)
    for function in (*unary, lambda x: x / x):
        assert function(x).dtype == "float32"
    for function in (mg.softmax, mg.log_softmax, mg.logsumexp):
        assert function(x, 1).dtype == "float32"


def test_bool_with_a_python_float_is_float32():
    assert (mg.tensor([True]) * 1e300).tolist() == [math.inf]
    assert (mg.tensor([True]) + 0.5).dtype == "float32"


def test_casts_are_recorded():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    w = mg.tensor([3.0, 4.0], dtype=mg.float64, requires_grad=True)
    mask = mg.tensor([True, False])
    (x * w * mask).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (mg.float32, mg.float64)
    assert (x.grad.tolist(), w.grad.tolist()) == ([3.0, 0.0], [1.0, 0.0])


@pytest.mark.parametrize("name", ["matmul", "linear"])
def test_matrix_products_take_one_dtype(name):
    function = {"matmul": mg.matmul, "linear": F.linear}[name]
    x, w = mg.ones(2, 2), mg.ones(2, 2, dtype="float64")
    expected = rf"{name}: expected Tensors of one dtype, got float32 and float64; use x.to\(dtype=w.dtype\)"
    with pytest.raises(RuntimeError, match=expected):
        function(x, w)
    assert function(x.double(), w).dtype == "float64"
