"""The backward pass: accumulation, order, freed graphs, `backward` and `grad`."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.op import op


def leaf(*values, dtype=mg.float64):
    return mg.tensor(list(values), dtype=dtype, requires_grad=True)


# Accumulation
def test_backward_sums_over_all_uses():
    x = leaf(2.0, 3.0)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    a = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    (a @ a).sum().backward()
    ones, values = np.ones((2, 2)), a.detach().numpy()
    assert np.array_equal(a.grad.numpy(), ones @ values.T + values.T @ ones)


def test_backward_adds_to_grad():
    x = leaf(3.0)
    (x * 2).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [8.0]


def test_backward_of_a_leaf_is_one():
    x = mg.tensor(5.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_backward_works_for_the_first_ops_of_a_process():
    program = "import minigrad as mg; x = mg.tensor(3.0, requires_grad=True); (x * x).backward(); print(x.grad.item())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("6.0\n", "")


def test_gradient_bits_do_not_depend_on_the_hash_seed():
    program = (
        "import minigrad as mg; mg.manual_seed(3); x = mg.randn(50, requires_grad=True)\n"
        "parts = [x * (0.1 * i) for i in range(40)]\n"
        "total = sum((p.exp() * q.tanh() for p, q in zip(parts, parts[1:])), 0.0)\n"
        "total.sum().backward(); print(x.grad.numpy().tobytes().hex())"
    )
    command = [sys.executable, "-c", program]
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("0", "1", "2")]
    runs = [subprocess.run(command, env=env, capture_output=True, text=True, check=True) for env in environments]
    assert len({run.stdout for run in runs}) == 1


# The graph
def test_second_backward_raises():
    x = leaf(3.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        loss.backward()
    assert x.grad.tolist() == [6.0]


def test_retain_graph_doubles_the_gradient():
    x = leaf(0.1, 0.7)
    loss = (x.exp() * x).sum()
    loss.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    loss.backward()
    assert np.array_equal(x.grad.numpy(), 2 * once)


def test_deep_chain_is_differentiated_and_freed():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    z = x
    for _ in range(100_000):
        z = z * 1.0
    del y, z  # also without a backward pass


def test_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(*[1.0] * 10)
        hidden = x.exp()
        loss = (hidden * hidden.tanh()).sum()
        references = [weakref.ref(t) for t in (hidden, loss)]
        del hidden, loss
        assert [reference() for reference in references] == [None, None]
        loss = (x.exp() * x).sum()
        intermediate = weakref.ref(loss.grad_fn.inputs[0])
        loss.backward()
        assert intermediate() is None  # freed by backward, while `loss` exists
    finally:
        gc.enable()


@pytest.mark.usefixtures("restore_ops")
def test_exception_in_a_vjp_leaves_no_state():
    @op("()->()")
    def failing(xp, x):
        """y = x"""

        def vjp(g):
            raise ZeroDivisionError

        return x + 0, (vjp,)

    x, w = leaf(1.0), leaf(2.0)
    loss = (w * failing(x * 1)).sum()
    for create_graph in (False, True):
        with pytest.raises(ZeroDivisionError):
            loss.backward(retain_graph=True, create_graph=create_graph)
        assert x.grad is w.grad is None
        assert mg.is_grad_enabled()
    (x * w).sum().backward()
    assert x.grad.tolist() == [2.0]


@pytest.mark.usefixtures("restore_ops")
@pytest.mark.parametrize("vjp", [lambda g: g[:1], lambda g: g.astype("float32"), lambda g: g.reshape(1, -1)])
def test_vjp_of_wrong_shape_or_dtype_raises(vjp):
    @op("(...)->(...)")
    def wrong(xp, x):
        """y = x"""
        return x + 0, (vjp,)

    with pytest.raises(RuntimeError, match=r"wrong: its VJP.*expected \(2,\) float64"):
        wrong(leaf(1.0, 2.0)).sum().backward()


# Arguments of backward
def test_backward_of_several_elements_needs_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"gradient=dL/dself of shape \(2,\)"):
        (x * 2).backward()
    (x * 2).backward(mg.tensor([1.0, 10.0], dtype=mg.float64))
    assert x.grad.tolist() == [2.0, 20.0]


@pytest.mark.parametrize(
    ("gradient", "error"),
    [
        (mg.ones(3, dtype=mg.float64), RuntimeError),
        (mg.ones(2), RuntimeError),
        (mg.ones(2, 1, dtype=mg.float64), RuntimeError),
        (mg.ones(2, dtype=mg.float64, device="strict"), RuntimeError),
        ([1.0, 2.0], TypeError),
    ],
    ids=["length", "dtype", "axes", "device", "list"],
)
def test_backward_with_a_wrong_gradient_raises(gradient, error):
    with pytest.raises(error, match=r"backward: expected a (gradient|Tensor as gradient)"):
        (leaf(1.0, 2.0) * 2).backward(gradient)


def test_backward_without_a_graph_raises():
    with pytest.raises(RuntimeError, match="has no graph"):
        mg.tensor(1.0).backward()
    x = leaf(1.0)
    with mg.no_grad():
        y = (x * 2).sum()
    with pytest.raises(RuntimeError, match="under no_grad"):
        y.backward()


def test_backward_with_inputs_sets_only_their_grad():
    a, b = leaf(1.0), leaf(2.0)
    for inputs in (a, [a]):
        (a * b).sum().backward(inputs=inputs)
    assert a.grad.tolist() == [4.0]
    assert b.grad is None


def test_backward_raises_if_grad_has_another_shape():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.data = mg.ones(3, dtype=mg.float64)
    with pytest.raises(RuntimeError, match=r"expected grad of shape \(3,\), got \(2,\); set x.grad to None"):
        x.sum().backward()


def test_detach_stops_gradients_and_shares_memory():
    x = leaf(2.0)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [2.0]
    assert x.detach().array is x.array


@pytest.mark.parametrize("y", [leaf(1.0, 2.0) > 1, leaf(1.0, 2.0).argmax(), leaf(1.0).isnan(), leaf(1.0).long()])
def test_results_without_a_gradient_are_not_recorded(y):
    assert not y.requires_grad
    assert y.is_leaf


# grad
def test_grad_of_leaves_and_intermediate_results():
    x = leaf(2.0)
    y = x * x
    dy, dx = mg.grad((y * 3).sum(), [y, x])
    assert (dy.tolist(), dx.tolist()) == ([3.0], [12.0])
    assert x.grad is None


def test_grad_of_several_outputs_sums_over_them():
    x = leaf(2.0)
    (dx,) = mg.grad([x * x, 3 * x], x, [mg.tensor([10.0], dtype=mg.float64), None])
    assert dx.tolist() == [43.0]
    with pytest.raises(ValueError, match="grad: expected one grad_output for each of 2 outputs, got 1"):
        mg.grad([x * x, 3 * x], x, [None])


def test_grad_of_an_unused_input():
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="input 1"):
        mg.grad((x * 2).sum(), [x, other])
    assert mg.grad((x * 2).sum(), [x, other], allow_unused=True)[1] is None


def test_grad_takes_only_tensors():
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="grad: expected a Tensor as output, got float"):
        mg.grad([2.0], [x])
    with pytest.raises(TypeError, match="grad: expected a Tensor as input, got str"):
        mg.grad(x.sum(), ["x"])
