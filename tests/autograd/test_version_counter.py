"""Version counters: backward raises if memory that it needs was modified after the forward pass."""

import gc
import itertools
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.autograd import graph, version_counter


def leaf(*shape, **options):
    return mg.ones(*shape, requires_grad=True, **options)


def matrix():
    return mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)


def modified_after(name):
    return pytest.raises(RuntimeError, match=f"modified in place after {name} had used it")


def optimizer_step(x):
    x.grad = mg.ones(*x.shape)
    optim.SGD([x], lr=0.1).step()


# Ways to modify the memory of a Tensor of shape (2, 2)
WRITES = {
    "+=": lambda x: x.__iadd__(1),
    "-=": lambda x: x.__isub__(1),
    "*=": lambda x: x.__imul__(2),
    "/=": lambda x: x.__itruediv__(2),
    "add_": lambda x: x.add_(1),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "copy_": lambda x: x.copy_(mg.zeros(2, 2)),
    "fill_": lambda x: x.fill_(3),
    "zero_": lambda x: x.zero_(),
    "x[i] = y": lambda x: x.__setitem__(0, 3),
    "slice": lambda x: x[:1].mul_(2),
    "row": lambda x: x[0].mul_(2),
    "element": lambda x: x[0, 1].mul_(2),
    "row of a column": lambda x: x[:, 0][1:].mul_(2),
    "transpose": lambda x: x.T.mul_(2),
    "reshape": lambda x: x.reshape(4).mul_(2),
    "unsqueeze": lambda x: x.unsqueeze(0).mul_(2),
    "detach": lambda x: x.detach().mul_(2),
    "slice of detach": lambda x: x.detach()[1].mul_(2),
    "data": lambda x: x.data.mul_(2),
    "data = y": lambda x: setattr(x, "data", mg.zeros(2, 2)),
    "optimizer": optimizer_step,
    "init": lambda x: mg.nn.init.zeros_(x),
}


@pytest.mark.parametrize("write", WRITES)
def test_write_between_forward_and_backward_raises(write):
    x, w = leaf(2, 2), leaf(2, 2)
    before = (x * 3).sum()
    y = (x * w).sum()
    with mg.no_grad():
        WRITES[write](x)
    with modified_after("mul"):
        y.backward()
    assert w.grad is None
    with modified_after("mul"):
        before.backward()
    (x * w).sum().backward()  # the next forward uses the new values
    assert w.grad.tolist() == x.tolist()


@pytest.mark.parametrize("kind", ["input", "output", "constant", "intermediate"])
def test_write_to_any_array_of_an_op_raises(kind, device):
    x, c = leaf(2, device=device), mg.ones(2, device=device)
    inner = x * c
    outer = inner.exp()
    loss = outer.sum()
    name = {"input": "mul", "output": "sum", "constant": "mul", "intermediate": "exp"}[kind]
    with mg.no_grad():
        {"input": x, "output": outer, "constant": c, "intermediate": inner}[kind].mul_(2)
    with modified_after(name):
        loss.backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "view", [lambda x: x[0], lambda x: x.T, lambda x: x.reshape(4), lambda x: x.detach()[1:].requires_grad_()]
)
def test_write_to_the_base_of_a_view_raises(view):
    base, w = mg.ones(2, 2), mg.tensor(2.0, requires_grad=True)
    y = (view(base) * w).sum()
    base.mul_(2)
    with modified_after("mul"):
        y.backward()


def test_write_to_another_view_of_the_memory_raises():
    base, w = mg.ones(4), mg.tensor(2.0, requires_grad=True)
    y = (base[:3] * w).sum()
    base[1:].mul_(2)
    with modified_after("mul"):
        y.backward()


def test_write_to_the_positions_of_an_index_raises():
    x, positions, mask = leaf(3), mg.tensor([0, 1]), mg.tensor([True, False, True])
    y, z = x[positions].sum(), x[None, mask].sum()
    positions.fill_(2)
    mask.fill_(False)
    for loss in (y, z):
        with modified_after("getitem"):
            loss.backward()


def test_accumulation_into_grad_counts_as_a_write():
    x, w = leaf(2), leaf(2)
    x.sum().backward()
    y = (x.grad * w).sum()
    x.sum().backward()
    with modified_after("mul"):
        y.backward()


def test_data_of_numpy_memory_is_counted():
    array = np.ones(2, "float32")
    x, w = mg.from_numpy(array), leaf(2)
    y = (x * w).sum()
    mg.from_numpy(array[1:]).fill_(3)
    with modified_after("mul"):
        y.backward()


def test_error_gives_the_shape_and_a_remedy():
    x = leaf(2, 3)
    y = (x * x).sum()
    with mg.no_grad():
        x += 1
    with pytest.raises(RuntimeError) as caught:
        y.backward()
    assert str(caught.value) == (
        "backward: a Tensor of shape (2, 3) was modified in place after mul had used it, so the gradient would be "
        "wrong; modify it after backward, or use x = x + y instead of x += y"
    )


def test_unrelated_writes_do_not_raise():
    x, w, other, base = leaf(2), leaf(2), mg.ones(2), mg.ones(2, 2)
    w.data = base[0].clone()
    with mg.no_grad():
        x += 1  # before the forward pass
    y = (x * w).sum()
    copies = [x.clone(), w.detach().clone(), mg.tensor(x), y.detach().clone()]
    with mg.no_grad():
        for each in (other, base, *copies):
            each.mul_(2)
        other.data = mg.zeros(2)
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert w.grad.tolist() == [2.0, 2.0]
    x.data.mul_(2)  # after the backward pass
    assert (x * w).sum().item() == 8.0


def test_unrelated_write_after_the_first_node_of_the_clock(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(graph, "clock", clock)
    monkeypatch.setattr(version_counter, "clock", clock)
    monkeypatch.setattr(version_counter, "latest", -1)
    x, other = leaf(2), mg.ones(2)
    y = x[[0, 1]]
    other += 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_writes_are_checked_only_for_processed_nodes():
    x, w, unused = leaf(2), leaf(2), leaf(2)
    unused_result = unused * 2
    y = (x * w).sum()
    with mg.no_grad():
        unused += 1
    y.backward()
    with modified_after("mul"):
        unused_result.sum().backward()


def test_data_setter_takes_only_tensors_and_keeps_the_leaf():
    x = leaf(2)
    with pytest.raises(TypeError, match="data: expected a Tensor as value, got list"):
        x.data = [1.0, 2.0]
    x.data = mg.zeros(2)
    assert x.requires_grad
    y = (x * x).sum()
    x.data = x.data  # the same array
    y.backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_entries_disappear_with_the_memory():
    gc.collect()
    writes = version_counter._writes
    before = dict(writes)
    tensors = [mg.ones(3) for _ in range(10)]
    views = [x[1:] for x in tensors]
    for x, view in zip(tensors, views):
        x.add_(1)
        view.add_(1)
    assert len(writes) == len(before) + 10
    del tensors, x
    assert len(writes) == len(before) + 10  # the views keep the memory
    del views, view
    assert writes == before


def test_new_memory_does_not_inherit_a_version():
    w = leaf(3)
    for _ in range(100):  # the identity of freed memory is used again
        x = mg.ones(3)
        y = (x * w).sum()
        y.backward()
        x.add_(1)
        del x, y


def test_copies_and_pickles_have_versions_of_their_own():
    x, w = mg.ones(2), leaf(2)
    x.add_(1)
    copy = pickle.loads(pickle.dumps(x))
    y = (copy * w).sum()
    x.add_(1)
    y.backward()
    y = (copy * w).sum()
    copy.add_(1)
    with modified_after("mul"):
        y.backward()


def test_index_list_and_numpy_array_are_copied():
    x, rows, columns = matrix(), np.array([1, 0]), [0, 2]
    loss = x[rows, columns].sum()
    rows[0], columns[0] = 0, 1
    loss.backward()
    assert x.grad.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


def test_write_to_former_array_after_assignment_to_data():
    x = matrix()
    before = x.detach()
    x.data = mg.ones(2, 3)
    loss = (x * x).sum()
    before.zero_()  # no longer the memory of x
    loss.backward()
    assert x.grad.tolist() == [[2.0] * 3] * 2


def test_accumulation_into_view_of_used_grad_raises():
    x = matrix()
    (x * x).sum().backward()
    loss = (x[0] * x.grad[0]).sum()
    (x * 3).sum().backward()
    with modified_after("mul"):
        loss.backward()


def test_error_names_the_latest_op_that_used_the_memory():
    x = matrix()
    y = x.sigmoid()
    loss = (y.tanh() + 1).sum()
    with mg.no_grad():
        y.zero_()
    with modified_after("tanh"):
        loss.backward()


def test_retained_graph_raises_after_a_write_and_grad_does_too():
    x = matrix()
    loss = (x * x).sum()
    mg.grad(loss, x, retain_graph=True)
    with mg.no_grad():
        x.detach()[0, 0].add_(1)
    for run in (lambda: mg.grad(loss, x, retain_graph=True), lambda: mg.grad(loss, x, create_graph=True)):
        with modified_after("mul"):
            run()


def test_write_to_index_beside_other_parts_raises():
    x, rows = matrix(), mg.tensor([1, 0])
    loss = x[None, rows, 1:].sum()
    rows.detach()[1:].fill_(1)
    with modified_after("getitem"):
        loss.backward()
