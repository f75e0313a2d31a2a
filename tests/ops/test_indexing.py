"""Indexing: torch's meaning of x[index] and x[index] = y, gradients, bounds on a device, errors."""

import itertools
from array import array
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

SHAPE = (2, 5, 3)
MASK = [[True, False, True, False, False], [False] * 5]

# Functions of `at`, which makes a Tensor of positions or a mask
INDICES = {
    "integer": lambda at: 1,
    "negative integer": lambda at: -2,
    "all integers": lambda at: (1, -1, 0),
    "slices": lambda at: (slice(None, None), slice(1, 4, 2), slice(-2, None)),
    "ellipsis": lambda at: (..., 1),
    "only ellipsis": lambda at: ...,
    "new axes": lambda at: (None, 0, None, ..., None),
    "empty tuple": lambda at: (),
    "list": lambda at: [1, 0, 1],
    "positions": lambda at: (at([0, 1]),),
    "negative positions": lambda at: (at([-2, 1]),),
    "repeated positions": lambda at: (slice(None), at([4, 4, 0])),
    "0-d positions": lambda at: (at(1), at(2)),
    "integer before positions": lambda at: (0, at([4])),
    "integer after positions": lambda at: (at([0, 1, 1]), slice(None), 2),
    "integer, slice, positions": lambda at: (0, slice(None), at([0, 1])),
    "two integers and positions": lambda at: (1, at([0, 4]), 2),
    "slice before positions": lambda at: (slice(1), at([-5, 4])),
    "new axis, integer, positions": lambda at: (None, 1, at([4])),
    "ellipsis, positions": lambda at: (..., at([-3, 2])),
    "ellipsis, positions, integer": lambda at: (..., at([4]), 0),
    "ellipsis, new axis, positions": lambda at: (..., None, at([2])),
    "positions, ellipsis, positions": lambda at: (at([0, 1]), ..., at([2, 0])),
    "positions, empty ellipsis, positions": lambda at: (slice(None), at([0, 1, 4]), ..., at([2, 0, 1])),
    "positions that broadcast": lambda at: (at([[0], [1]]), at([4, 0])),
    "mask": lambda at: at(MASK),
    "mask and positions": lambda at: (at(MASK), at([0, 2])),
    "ellipsis, mask": lambda at: (..., at([True, False, True])),
    "integer and mask": lambda at: (0, at([True, False, True, False, True])),
    "True": lambda at: True,
    "False": lambda at: False,
    "True and positions": lambda at: (True, slice(None), slice(None), at([2])),
    "True and an integer": lambda at: (1, True),
    "no positions": lambda at: at([]).long(),
    "no elements": lambda at: (slice(0), 1),
}


def values():
    return np.arange(30.0).reshape(SHAPE)


@pytest.mark.parametrize("name", INDICES)
def test_index_selects_as_in_torch(name, device, torch):
    theirs = torch.tensor(values(), requires_grad=True)
    expected = theirs[INDICES[name](torch.tensor)]
    weights = np.random.default_rng(0).uniform(1, 2, expected.shape)
    x = mg.tensor(values(), device=device, requires_grad=True)
    y = x[INDICES[name](lambda data: mg.tensor(data, device=device))]
    assert y.shape == tuple(expected.shape)
    assert y.tolist() == expected.tolist()
    (y * mg.tensor(weights, device=device)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    assert x.grad.tolist() == pytest.approx(theirs.grad.numpy())


@pytest.mark.parametrize("name", INDICES)
def test_assignment_writes_as_in_torch(name, device, torch):
    theirs, x = torch.tensor(values()), mg.tensor(values(), device=device)
    index, our_index = INDICES[name](torch.tensor), INDICES[name](lambda data: mg.tensor(data, device=device))
    theirs[index] = -1.0
    x[our_index] = -1.0
    assert x.tolist() == theirs.tolist()
    if name != "repeated positions":  # the order of two writes to one element is not defined
        written = theirs[index].clone() * torch.arange(float(theirs[index].numel())).reshape(theirs[index].shape)
        theirs[index] = written
        x[our_index] = mg.tensor(written.tolist(), dtype="float64", device=device).reshape(tuple(written.shape))
        assert x.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("index", "equivalent"),
    [
        (range(2), [0, 1]),
        (np.array([1, 0]), [1, 0]),
        (np.array(MASK), MASK),
        (np.int64(1), 1),
        ((np.int8(1), np.bool_(True)), (1, True)),
        (slice(np.int64(0), mg.tensor(1)), slice(0, 1)),
    ],
    ids=["range", "array", "mask", "int64", "int8 and bool", "slice"],
)
def test_python_and_numpy_objects_are_indices(index, equivalent, device):
    x = mg.tensor(values(), device=device)
    assert x[index].tolist() == x[equivalent].tolist() == values()[equivalent].tolist()
    assert x[[]].shape == (0, 5, 3)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_positions_may_stay_on_the_cpu(dtype, device):
    on_device = mg.tensor([2, 0], dtype=dtype, device=device).array
    assert mg.arange(3.0).to(device)[on_device].tolist() == [2.0, 0.0]
    assert mg.arange(3.0).to(device)[mg.tensor([2, 0], dtype=dtype)].tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("a", "expected integers, slices, None, ... or Tensors, got str 'a'"),
        (1.5, "got float 1.5"),
        ({0: 1}, "got dict"),
        ([[1], [2, 3]], "expected positions in rows of equal length"),
        (mg.tensor([1.0]), r"expected dtype int32, int64 or bool, got float32; use x.long\(\) or, for a mask, x.bool"),
        (mg.tensor([1], dtype="uint8"), "got uint8"),
        (["a"], "got <U1"),
        ([1.5], "got float64"),
        (mg.tensor([0], device="strict"), "expected a Tensor on cpu, got one on strict"),
    ],
    ids=repr,
)
def test_wrong_index_raises(index, message):
    x = mg.ones(3)
    with pytest.raises(IndexError, match=f"index: .*{message}"):
        x[index]
    with pytest.raises(IndexError, match=f"index: .*{message}"):
        x[index] = 0
    with pytest.raises(TypeError):
        x["a":]


@pytest.mark.parametrize(
    "index",
    [(2,), (-3,), (0, 5), (..., 3), (..., -4), (..., 5, 0), (None, 2), (slice(None), -6), (0, 0, 0, 0)],
    ids=repr,
)
def test_positions_out_of_range_raise_on_every_device(index, device):
    x = mg.tensor(values(), device=device)
    positions = tuple(mg.tensor([part], device=device) if type(part) is int and part else part for part in index)
    for wrong in (index, positions):
        with pytest.raises(IndexError, match="index"):
            x[wrong]
        with pytest.raises(IndexError, match=r"ind(ex|ices)"):
            x[wrong] = 0
    assert x.tolist() == values().tolist()


@pytest.mark.parametrize(
    ("index", "n", "position"),
    [((2,), 2, 2), ((-3,), 2, -3), ((0, 5), 5, 5), ((..., 3), 3, 3), ((..., 5, 0), 5, 5), ((None, 2), 2, 2)],
    ids=repr,
)
def test_error_for_a_device_has_the_positions_of_the_axis(index, n, position):
    x = mg.tensor(values(), device="strict")
    positions = tuple(mg.tensor([part], device="strict") if type(part) is int else part for part in index)
    with pytest.raises(
        IndexError, match=f"index: expected positions from {-n} to {n - 1}, got {position} to {position}"
    ):
        x[positions] = 0
    assert x.tolist() == values().tolist()


def test_basic_indices_give_views_and_positions_give_copies(device):
    x = mg.tensor(values(), device=device)
    for index, is_view in ((0, True), ((1, -1, 0), True), ((slice(None), 1), True), ([0, 1], False), (..., True)):
        before = x.tolist()
        x[index].add_(1)
        assert (x.tolist() != before) is is_view
    row = mg.arange(3.0).to(device)
    row[1].add_(5)
    assert row.tolist() == [0.0, 6.0, 2.0]


def test_mask_selects_rows_and_elements():
    x = mg.arange(6.0).reshape(2, 3)
    assert x[x > 2].tolist() == [3.0, 4.0, 5.0]
    assert x[mg.tensor([False, True])].tolist() == [[3.0, 4.0, 5.0]]
    x[x > 2] = 0.0
    assert x.tolist() == [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]


def test_index_takes_second_derivatives():
    x = mg.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    for index in itertools.permutations(range(3)):
        (first,) = mg.grad((x[mg.tensor(index)] ** 3 * mg.tensor([1.0, 10.0, 100.0])).sum(), x, create_graph=True)
        (second,) = mg.grad(first.sum(), x)
        weights = [10.0 ** index.index(i) for i in range(3)]
        assert second.tolist() == pytest.approx([6 * v * w for v, w in zip([1.0, 2.0, 3.0], weights)])


@pytest.mark.parametrize("shape", [(10,), (300, 2), (5000,), (3000, 2)], ids=str)
def test_repeated_positions_add_up_in_tensors_of_any_size(shape, device):
    positions = np.random.default_rng(0).integers(0, shape[0] // 2, 2 * shape[0])
    x = mg.zeros(*shape, dtype="float64", device=device, requires_grad=True)
    x[positions].sum().backward()
    counts = np.bincount(positions, minlength=shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    assert np.array_equal(x.grad.cpu().numpy(), np.broadcast_to(counts, shape))


# Random indices
@st.composite
def shapes_and_indices(draw):
    """A shape, and the parts of an index of it: each an integer, slice, None, ..., or (kind, nested list)."""
    shape = tuple(draw(st.lists(st.sampled_from([2, 3, 1, 4]), max_size=5)))
    together = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))  # the shape of all positions
    parts, axis = [], 0
    for _ in range(draw(st.integers(0, 6))):
        kinds = ["none"] if Ellipsis in parts else ["none", "ellipsis"]
        if axis < len(shape):
            kinds += ["integer", "slice", "list", "tensor", "tuple", "0-d", *([] if Ellipsis in parts else ["mask"])]
        kind = draw(st.sampled_from(kinds))
        n = min(shape) if Ellipsis in parts and shape else shape[axis] if axis < len(shape) else 1
        positions = st.integers(-n, n - 1)
        if kind == "none":
            parts.append(None)
            continue
        if kind == "ellipsis":
            parts.append(Ellipsis)
            continue
        axis += 1
        if kind == "integer":
            parts.append(draw(positions))
        elif kind == "slice":
            parts.append(slice(*(draw(st.sampled_from(each)) for each in ((None, 0, 1), (None, 2, -1), (None, 1, 2)))))
        elif kind == "mask":
            parts.append(("tensor", draw(st.lists(st.booleans(), min_size=n, max_size=n))))
        elif kind == "0-d":
            parts.append(("tensor", draw(positions)))
        else:
            count = int(np.prod(together))
            flat = draw(st.lists(positions, min_size=count, max_size=count))
            parts.append((kind, np.reshape(flat, together).tolist()))
    return shape, parts


def index_of(parts, at):
    """The index, with Tensors made by `at`."""

    def part(each):
        if not isinstance(each, tuple):
            return each
        kind, data = each
        return at(data) if kind == "tensor" else data if kind == "list" else nested_tuple(data)

    return tuple(part(each) for each in parts)


def nested_tuple(data):
    return tuple(nested_tuple(each) for each in data) if isinstance(data, list) else data


@given(shapes_and_indices())
def test_random_indices_select_and_write_as_in_torch(torch, shape_and_parts):
    shape, parts = shape_and_parts
    data = np.asarray(np.arange(np.prod(shape, dtype=float)).reshape(shape))
    x, theirs = mg.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    index, their_index = index_of(parts, mg.tensor), index_of(parts, torch.tensor)
    try:
        expected = theirs[their_index]
    except IndexError:
        with pytest.raises(IndexError):
            x[index]
        return
    y = x[index]
    assert y.shape == tuple(expected.shape)
    assert y.tolist() == expected.tolist()
    weights = np.asarray(np.random.default_rng(0).uniform(1, 2, y.shape))
    y.backward(mg.tensor(weights))
    expected.backward(torch.tensor(weights))
    assert x.grad.numpy() == pytest.approx(theirs.grad.numpy())
    written, their_written = x.detach().clone(), theirs.detach().clone()
    written[index] = -1.0
    their_written[their_index] = -1.0
    assert written.tolist() == their_written.tolist()


@pytest.mark.parametrize("positions", [range(2), array("i", [0, 0]), (0, 0), np.array([0, 0]), deque([0, 0])])
def test_sequence_of_positions_is_an_index_array(positions):
    x = mg.ones(2, 3, requires_grad=True)
    x[positions if not isinstance(positions, tuple) else [*positions]].sum().backward()
    assert x.grad.sum().item() == 6
    y = mg.ones(2, 3, requires_grad=True)
    y[:, positions].sum().backward()
    assert y.grad.sum().item() == 4


@pytest.mark.parametrize("index", ["0", b"\0", 0.5, {0}, object()])
def test_index_of_other_types_raises(index):
    with pytest.raises(IndexError, match="index: expected"):
        mg.ones(2)[index]
