"""Ops that rearrange elements: defaults, -1, dims from either end."""

import pytest

import minigrad as mg


def test_flatten_defaults_to_all_axes():
    x = mg.arange(24.0).reshape(2, 3, 4)
    assert x.flatten().shape == (24,)
    assert (x.flatten(1).shape, x.flatten(end_dim=-2).shape) == ((2, 12), (6, 4))
    assert mg.tensor(1.0).flatten().shape == (1,)


def test_expand_keeps_axes_of_minus_one():
    x = mg.tensor([[1.0], [2.0]])
    assert x.expand(-1, 3).tolist() == x.expand((2, 3)).tolist() == [[1.0] * 3, [2.0] * 3]
    assert x.expand(2, -1, 2).tolist() == [[[1.0, 1.0], [2.0, 2.0]]] * 2
    assert x.expand(1, 2, 1).shape == x.expand(1, -1, -1).shape == (1, 2, 1)


@pytest.mark.parametrize("axis", [2, -3])
def test_squeeze_of_a_missing_axis_raises(axis):
    with pytest.raises(IndexError, match=f"dim {axis} is not an axis of a Tensor with 2 axes"):
        mg.ones(1, 3).squeeze(axis)


def test_squeeze_drops_axes_of_size_one():
    x = mg.ones(1, 3, 1, 1)
    assert x.squeeze().shape == (3,)
    assert x.squeeze(0).shape == (3, 1, 1)
    assert x.squeeze((0, -1)).shape == (3, 1)
    assert x.squeeze(1).shape == x.shape


def test_sizes_may_be_a_sequence():
    x = mg.arange(6.0)
    for y in (x.reshape(2, 3), x.reshape((2, 3)), x.reshape([2, -1]), x.view(-1, 3)):
        assert y.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    y = x.reshape(1, 2, 3)
    assert y.permute(2, 0, 1).shape == y.permute((2, 0, 1)).shape == y.permute([-1, 0, 1]).shape == (3, 1, 2)
    assert x.broadcast_to(2, 6).shape == x.broadcast_to((2, 6)).shape == (2, 6)


def test_view_copies_if_it_must():
    x = mg.arange(6.0).reshape(2, 3)
    assert x.T.view(6).tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
