"""The memory of gradients: no aliases, the layout of the Tensor, no part of a larger array."""

import itertools
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.op import op
from minigrad.nn import functional as F


def leaf(data):
    return mg.tensor(data, dtype=mg.float64, requires_grad=True)


# Each makes y of two leaves; the VJPs return g, a view of g, or one array for both.
FUNCTIONS = {
    "add": lambda a, b: a + b,
    "add to a transpose": lambda a, b: a + b.T,
    "sub": lambda a, b: a - b,
    "reshape": lambda a, b: a.reshape(2, 2) + b.flatten().reshape(2, 2),
    "clone": lambda a, b: a.clone() + b.clone(),
    "stack": lambda a, b: mg.stack([a, b], 0)[0] + mg.stack([a, b], 0)[1],
    "cat": lambda a, b: mg.cat([a, b])[:2] + mg.cat([a, b])[2:],
    "expand": lambda a, b: a.expand(1, 2, 2)[0] + b.unsqueeze(0).squeeze(0),
    "twice": lambda a, b: a + a + b,
    "intermediate": lambda a, b: (a + b) + 0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_alias_neither_each_other_nor_the_cotangent(name):
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    cotangent = mg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=mg.float64)
    y = FUNCTIONS[name](a, b)
    y.retain_grad()
    y.backward(cotangent)
    arrays = [t.grad.array for t in (a, b, y)] + [t.array for t in (cotangent, a, b, y)]
    assert not any(np.shares_memory(one, other) for one, other in itertools.combinations(arrays[:4], 2))
    assert not any(np.shares_memory(one, other) for one in arrays[:3] for other in arrays[4:])
    for gradient in arrays[:3]:
        assert gradient.flags.writeable
        assert gradient.flags.c_contiguous
        assert gradient.base is None or gradient.base.size == gradient.size
    values = [gradient.copy() for gradient in arrays[:3]]
    for i, gradient in enumerate(arrays[:3]):
        gradient *= 10
        assert all(np.array_equal(arrays[j], values[j]) for j in range(i + 1, 3))
    assert cotangent.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_grad_of_a_leaf_is_a_copy_of_the_cotangent(device):
    x, cotangent = mg.ones(2, device=device, requires_grad=True), mg.tensor([1.0, 2.0], device=device)
    x.backward(cotangent)
    x.grad *= 10
    assert x.grad.tolist() == [10.0, 20.0]
    assert cotangent.tolist() == [1.0, 2.0]


def test_gradients_do_not_alias_on_a_device(device):
    x, w = mg.ones(2, device=device, requires_grad=True), mg.ones(2, device=device, requires_grad=True)
    cotangent = mg.tensor([1.0, 2.0], device=device)
    y = x + w
    y.retain_grad()
    y.backward(cotangent)
    for each in (x, w, y):
        each.grad *= 10
    assert x.grad.tolist() == w.grad.tolist() == y.grad.tolist() == [10.0, 20.0]
    assert cotangent.tolist() == [1.0, 2.0]


def test_gradient_of_a_sum_is_not_a_broadcast_view():
    x = leaf([1.0, 2.0, 3.0])
    x.sum().backward()
    assert x.grad.array.strides == (8,)
    x.grad.array[0] = 5.0
    assert x.grad.tolist() == [5.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("data", "layout"),
    [(np.ones((2, 3)), "rows"), (np.ones((3, 2)).T, "columns"), (np.ones((2, 4, 3)).transpose(2, 0, 1), "permuted")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_gradient_has_the_layout_of_its_tensor(data, layout):
    x = mg.Tensor(data).requires_grad_()
    assert x.array.strides == data.strides
    for function in (lambda: x * mg.ones(x.shape, dtype="float64"), lambda: x + 1, lambda: x.transpose(0, 1) * 2):
        x.grad = None
        function().sum().backward()
        assert x.grad.array.strides == x.array.strides
    (first,) = mg.grad((x * x).sum(), x)
    assert first.array.strides == x.array.strides


def test_gradient_of_a_transpose_and_of_a_weight_has_its_layout():
    x = mg.ones(3, 2, requires_grad=True)
    (x.T * mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
    assert x.grad.tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    assert x.grad.array.strides == x.array.strides
    w = mg.ones(2, 3, requires_grad=True)
    F.linear(mg.tensor([[1.0, 2.0, 3.0]]), w).backward(mg.tensor([[1.0, 10.0]]))
    assert w.grad.tolist() == [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]
    assert w.grad.array.strides == w.array.strides


@pytest.mark.usefixtures("restore_ops")
def test_part_of_a_larger_array_is_copied():
    larger = []

    @op("(...)->(...)")
    def same(xp, x):
        """y = x"""

        def vjp(g):
            twice = xp.concatenate([g, g])
            larger.append(weakref.ref(twice))
            return twice[:2]

        return xp.copy(x), (vjp,)

    x = mg.ones(2, requires_grad=True)
    same(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert larger[0]() is None


@pytest.mark.usefixtures("restore_ops")
def test_view_of_a_buffer_is_copied():
    buffer = bytearray(8)

    @op("()->()")
    def from_buffer(xp, x):
        """y = x"""
        return xp.copy(x), (lambda g: np.frombuffer(buffer, dtype=np.float64),)

    x = leaf([1.0])
    from_buffer(x).backward()
    buffer[:] = np.float64(5.0).tobytes()
    assert x.grad.tolist() == [0.0]


def test_weight_decay_after_a_sum_of_two_weights():
    a, b = leaf([1.0]), leaf([1.0])
    (a + b).sum().backward()
    for x, decay in ((a, 0.1), (b, 0.5)):
        x.grad.array += decay * x.array
    assert (a.grad.item(), b.grad.item()) == (1.1, 1.5)
