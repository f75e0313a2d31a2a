"""max and min: of all elements, along an axis, of two Tensors; ties, nan and gradients."""

import math

import pytest

import minigrad as mg

NAN = math.nan


@pytest.mark.parametrize(
    ("name", "whole", "rows", "positions", "columns", "paired"),
    [
        ("max", 7.0, [5.0, 7.0], [1, 0], [7.0, 5.0, 6.0], [[4.0, 5.0, 4.0], [7.0, 4.0, 6.0]]),
        ("min", 1.0, [1.0, 2.0], [0, 1], [1.0, 2.0, 3.0], [[1.0, 4.0, 3.0], [4.0, 2.0, 4.0]]),
    ],
)
def test_max_and_min_take_a_dim_or_a_tensor(name, whole, rows, positions, columns, paired, device):
    x = mg.tensor([[1.0, 5.0, 3.0], [7.0, 2.0, 6.0]], device=device)
    for call in (getattr(x, name), lambda *args, **options: getattr(mg, name)(x, *args, **options)):
        assert call().item() == whole
        assert call(mg.full((2, 3), 4.0, device=device)).tolist() == paired
        for values, indices in (call(1), call(dim=-1), call(axis=1), call(1, False)):
            assert (values.tolist(), indices.tolist()) == (rows, positions)
        assert call(axis=0).values.tolist() == columns
        for kept in (call(1, True), call(1, keepdim=True), call(axis=1, keepdims=True)):
            assert kept.values.tolist() == [[row] for row in rows]
            assert kept.indices.tolist() == [[position] for position in positions]


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("data", [[2.0, 2.0, 2.0], [1.0, 3.0, 1.0], [1.0, NAN, NAN], [NAN, 1.0, 2.0]], ids=repr)
def test_ties_and_nan_are_those_of_torch(name, data, device, torch):
    for dim in (None, 0):
        x, theirs = mg.tensor(data, device=device, requires_grad=True), torch.tensor(data, requires_grad=True)
        args = () if dim is None else (dim,)
        y, expected = getattr(x, name)(*args), getattr(theirs, name)(*args)
        if dim is not None:
            assert y.indices.item() == expected.indices.item()
            y, expected = y.values, expected.values
        assert y.item() == pytest.approx(expected.item(), nan_ok=True)
        y.backward()
        expected.backward()
        assert x.grad.tolist() == pytest.approx(theirs.grad.tolist(), nan_ok=True)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_of_a_0d_tensor_along_its_only_axis(name, device):
    x = mg.tensor(3.0, device=device, requires_grad=True)
    for dim in (0, -1):
        values, indices = getattr(x, name)(dim)
        assert (values.item(), indices.item()) == (3.0, 0)
        x.grad = None
        values.backward()
        assert x.grad.item() == 1.0


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_takes_only_tensors(name):
    with pytest.raises(TypeError, match=rf"{name}: expected a Tensor, got list; use tensor\(...\)"):
        getattr(mg, name)([1.0, 2.0])
