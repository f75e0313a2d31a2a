"""Methods and operators of a Tensor: each is the op of its name."""

import operator

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.methods import OPS, TensorMethods

X = mg.tensor([[1.0, 5.0, 3.0], [7.0, 2.0, 6.0]])
W = mg.tensor([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])

UNARY = "exp log log1p sqrt abs neg relu sigmoid tanh sum mean amax amin argmax argmin isnan isfinite clone flatten"
BINARY = "add sub mul div pow maximum minimum eq ne lt le gt ge"
ALIASES = {
    "multiply": "mul",
    "divide": "div",
    "negative": "neg",
    "mm": "matmul",
    "clamp": "clip",
    "swapaxes": "transpose",
}


@pytest.mark.parametrize("name", UNARY.split())
def test_unary_method_is_its_op(name):
    assert getattr(X, name)().tolist() == getattr(mg, name)(X).tolist() == OPS[name](X).tolist()


@pytest.mark.parametrize("name", BINARY.split())
def test_binary_method_is_its_op(name):
    assert getattr(X, name)(W).tolist() == getattr(mg, name)(X, W).tolist() == OPS[name](X, W).tolist()


@pytest.mark.parametrize("dim_method", ["softmax", "log_softmax", "logsumexp", "amax", "sum", "argmin"])
def test_method_with_a_dim_is_its_op(dim_method):
    assert (
        getattr(X, dim_method)(1).tolist() == getattr(X, dim_method)(dim=-1).tolist() == OPS[dim_method](X, 1).tolist()
    )


def test_aliases_are_the_same_method():
    for alias, name in ALIASES.items():
        assert getattr(TensorMethods, alias) is getattr(TensorMethods, name)
    assert TensorMethods.unsqueeze(X, 0).shape == (1, 2, 3)


@pytest.mark.parametrize("symbol", ["add", "sub", "mul", "truediv", "pow", "eq", "ne", "lt", "le", "gt", "ge"])
def test_operators_are_those_of_numpy(symbol):
    function = getattr(operator, symbol)
    x, w = X.numpy(), W.numpy()
    assert function(X, W).tolist() == function(x, w).tolist()
    assert function(X, 2).tolist() == function(x, 2).tolist()
    assert function(2, X).tolist() == function(2, x).tolist()


def test_unary_operators_and_the_matrix_product():
    assert (-X).tolist() == (-X.numpy()).tolist()
    assert abs(-X).tolist() == X.tolist()
    assert (X @ W.T).tolist() == X.matmul(W.t()).tolist() == (X.numpy() @ W.numpy().T).tolist()


@pytest.mark.parametrize("symbol", ["add", "sub", "mul", "truediv", "matmul"])
def test_numpy_arrays_are_not_operands(symbol):
    function = getattr(operator, symbol)
    for pair in ((X, np.ones((2, 3))), (np.ones((2, 3)), X)):
        with pytest.raises(TypeError):
            function(*pair)


@pytest.mark.parametrize("name", ["exp", "sum", "argmax", "flatten", "matmul", "eq"])
def test_method_has_the_docstring_of_its_op(name):
    assert getattr(mg, name).__doc__
    assert getattr(mg.Tensor, name).__doc__ == getattr(mg, name).__doc__


def test_max_has_its_own_docstring():
    assert mg.Tensor.max.__doc__.startswith("The maximum of all elements, or (values, indices)")


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda x: x.float(), "float32"),
        (lambda x: x.double(), "float64"),
        (lambda x: x.long(), "int64"),
        (lambda x: x.int(), "int32"),
        (lambda x: x.bool(), "bool"),
        (lambda x: x.to(mg.int8), "int8"),
        (lambda x: x.astype("float64"), "float64"),
        (lambda x: x.to(mg.ones(1, dtype="float64")), "float64"),
        (lambda x: x.to("cpu", mg.float64), "float64"),
        (lambda x: x.to(dtype="float64", non_blocking=True), "float64"),
    ],
)
def test_casts(call, dtype):
    x = mg.tensor([1.7, -2.0, 0.0])
    assert call(x).dtype == dtype
    assert call(x).tolist() == x.numpy().astype(dtype).tolist()


# Forms of torch that are more than one op
def test_clip_of_nan_is_nan_with_gradient_0():
    nan = float("nan")
    x = mg.tensor([nan, 5.0, -5.0, 0.5, 0.5], requires_grad=True)
    low = mg.tensor([0.0, 0.0, 0.0, nan, 0.0], requires_grad=True)
    high = mg.tensor([1.0, 1.0, 1.0, 1.0, 1.0], requires_grad=True)
    y = x.clip(low, high)
    assert np.array_equal(y.detach().numpy(), [nan, 1, 0, nan, 0.5], equal_nan=True)
    gradients = mg.grad(y, [x, low, high], mg.ones(5))
    assert [g.tolist() for g in gradients] == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


@pytest.mark.parametrize(("mode", "expected"), [("floor", [3, -4, -4, 3]), ("trunc", [3, -3, -3, 3])])
def test_div_rounds(mode, expected):
    a, b = mg.tensor([7, -7, 7, -7]), mg.tensor([2, 2, -2, -2])
    assert a.div(b, rounding_mode=mode).tolist() == expected
    assert a.div(b, rounding_mode=mode).dtype == mg.int64
    assert a.clone().div_(b, rounding_mode=mode).tolist() == expected
    x = a.double().requires_grad_()
    y = mg.div(x, b, rounding_mode=mode)
    assert y.tolist() == expected
    assert mg.grad(y.sum(), x)[0].tolist() == [0, 0, 0, 0]


def test_div_with_an_invalid_rounding_raises():
    with pytest.raises(ValueError, match="div_rounded: expected None, 'floor' or 'trunc' as rounding_mode, got 'up'"):
        X.div(W, rounding_mode="up")
    with pytest.raises(ValueError, match="div_rounded: division by zero"):
        X.long().div(0, rounding_mode="floor")
    with pytest.raises(TypeError, match="div_: expected a result of dtype int64, got float32"):
        X.long().div_(0.5, rounding_mode="floor")


def test_to_with_copy_is_new_memory():
    assert X.to(mg.float32) is X
    for copy in (X.to(mg.float32, copy=True), X.to(mg.float32, False, True), X.to(copy=True)):
        assert copy.tolist() == X.tolist()
        assert not np.shares_memory(copy.numpy(), X.numpy())
