"""Error messages of ops: shapes that do not fit. ShapeError is both ValueError and RuntimeError."""

import pytest

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.nn import functional as F


def ones(*shape):
    return mg.ones(*shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ones(2, 3) @ ones(2, 3),
            r"matmul: \(2, 3\) @ \(2, 3\): inner dimensions differ, 3 and 2; expected \(..., n, k\) @ \(..., k, m\)$",
        ),
        (lambda: ones(3) @ ones(2), r"matmul: \(3,\) @ \(2,\): inner dimensions differ, 3 and 2"),
        (lambda: ones(3) @ ones(2, 3), r"matmul: \(3,\) @ \(2, 3\): inner dimensions differ, 3 and 2"),
        (lambda: ones(2, 3) @ ones(2), r"matmul: \(2, 3\) @ \(2,\): inner dimensions differ, 3 and 2"),
        (
            lambda: ones(2, 2, 3) @ ones(4, 3, 2),
            r"matmul: shapes \(2, 2, 3\) @ \(4, 3, 2\) do not broadcast: in axis -3 the lengths are 2 and 4",
        ),
        (
            lambda: ones(2, 3) + ones(4),
            r"add: shapes \(2, 3\) and \(4,\) do not broadcast: in axis -1 the lengths are 3 and 4, and neither is 1$",
        ),
        (
            lambda: mg.where(ones(2) > 0, ones(3), ones(1)),
            r"where: shapes \(2,\) and \(3,\) and \(1,\) do not broadcast",
        ),
        (lambda: mg.where(ones(2) > 0, 1.0, ones(3)), r"where: shapes \(2,\) and \(3,\) do not broadcast"),
        (lambda: mg.where(ones(1) > 0, ones(2, 3), ones(4)), r"where: .* in axis -1 the lengths are 3 and 4"),
        (lambda: ones(5, 1, 3) * ones(4, 1, 1), r"mul: .* in axis -3 the lengths are 5 and 4"),
        (lambda: F.linear(ones(2, 3), ones(4, 5)), r"linear: input \(2, 3\) has 3 features, .* \(4, 5\) expects 5"),
        (lambda: F.linear(mg.tensor(1.0), ones(4, 5)), r"linear: input \(\) has no axis of features"),
        (
            lambda: F.linear(ones(2, 5), ones(4, 5), ones(3)),
            r"linear: bias \(3,\) does not fit the weight \(4, 5\): expected \(4,\)",
        ),
        (
            lambda: ones(2, 3).reshape(4, 2),
            r"reshape: the 6 elements of shape \(2, 3\) do not fit into the shape \(4, 2\)",
        ),
        (lambda: ones(2, 3).view(-1, 4), r"view: the 6 elements of shape \(2, 3\) do not fit into the shape \(-1, 4\)"),
        (lambda: ones(2, 3).__iadd__(ones(2)), r"\+=: .* \(got \(2,\) for \(2, 3\)\)"),
        (
            lambda: ones(2, 3).expand(-1, 2, 3),
            r"expand: expected a size for each of the 1 new axes of \(2, 3\), got -1",
        ),
    ],
)
def test_shapes_that_do_not_fit_raise_shape_error(call, message):
    for error in (mg.ShapeError, ValueError, RuntimeError):
        with pytest.raises(error, match=message):
            call()


def test_shape_error_is_a_value_error_and_a_runtime_error():
    assert issubclass(mg.ShapeError, ValueError)
    assert issubclass(mg.ShapeError, RuntimeError)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ones(2, 3).reshape(4, 2), ValueError, r"reshape: .* \(got \(2, 3\) float32\)"),
        (lambda: ones(2, 3).view(4, 2), ValueError, r"^view: .* \(got \(2, 3\) float32\)"),
        (lambda: ones(2, 3).broadcast_to(4, 3), ValueError, r"broadcast_to: .* \(got \(2, 3\) float32\)"),
        (lambda: mg.cat([ones(2, 3), ones(3, 2)]), ValueError, r"cat: .*\(got \(2, 3\) float32, \(3, 2\) float32\)"),
        (lambda: mg.stack([ones(2), ones(3)]), ValueError, r"stack: .*\(got \(2,\) float32, \(3,\) float32\)"),
        (lambda: ones(2, 3).sum(2), IndexError, r"sum: axis 2 is out of bounds .* \(got \(2, 3\) float32\)"),
        (lambda: ones(2, 3).transpose(0, 2), IndexError, r"transpose: .*\(got \(2, 3\) float32\)"),
        (lambda: ones(2, 3).permute(0, 0), ValueError, r"permute: .*\(got \(2, 3\) float32\)"),
        (lambda: ones(2, 3).squeeze(2), IndexError, r"squeeze: dim 2 is not an axis of a Tensor with 2 axes"),
        (lambda: ones(2, 3).unsqueeze(4), IndexError, r"expand_dims: .*\(got \(2, 3\) float32\)"),
        (lambda: ones(2, 3, 4).T, ValueError, r"T: expected a matrix \(n, m\), got shape \(2, 3, 4\); use x.transpose"),
        (lambda: ones(2) ** "2", TypeError, "pow: expected Tensors or numbers, got str"),
        (lambda: mg.where(ones(2), 1.0, 0.0), TypeError, "where: expected a condition of dtype bool; use x != 0"),
        (lambda: mg.where(ones(2), ones(3), 0.0), TypeError, "where: expected a condition of dtype bool; use x != 0"),
        (
            lambda: OPS["nll_loss"](ones(2, 3), ones(2, 4), dim=1),
            ValueError,
            r"nll_loss: operands could not be broadcast .* \(got \(2, 3\) float32, \(2, 4\) float32\)",
        ),
        (lambda: mg.clip(ones(2)), ValueError, "clip: expected min, max or both"),
        (lambda: mg.clip(ones(2), min="1"), TypeError, "clip: expected numbers or Tensors as min and max"),
        (lambda: F.leaky_relu(ones(2), "1"), TypeError, "leaky_relu: expected a number as negative_slope, got str"),
        (lambda: F.softplus(ones(2), beta="1"), TypeError, "softplus: expected numbers as beta and threshold"),
        (lambda: F.softplus(ones(2), threshold="20"), TypeError, "softplus: expected numbers as beta and threshold"),
        (lambda: F.softplus(ones(2), beta=None), TypeError, "softplus: expected numbers as beta and threshold"),
        (lambda: ones(0, 3).argmax(), ValueError, r"argmax: .*\(got \(0, 3\) float32\)"),
    ],
)
def test_errors_of_the_array_library_have_op_and_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("start", "end"), [(2, -1), (0, 2), (1, 0), (-3, 1), (0, -3)])
def test_flatten_of_missing_axes_raises(start, end):
    with pytest.raises(IndexError, match=f"start_dim {start} to end_dim {end} are not axes of a Tensor with 2 axes"):
        mg.ones(2, 3).flatten(start, end)
