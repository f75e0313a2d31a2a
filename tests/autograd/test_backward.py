"""The walk: what `backward` and `grad` promise about graphs, whatever the ops."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op


def leaf(*values, dtype=mg.float64):
    return mg.tensor(list(values), dtype=dtype, requires_grad=True)


def test_a_tensor_used_twice_gets_the_sum():
    x = leaf(2.0, 3.0)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]


def test_tied_weights_and_a_matrix_times_itself():
    a = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    (a @ a).sum().backward()
    ones = np.ones((2, 2))
    assert np.array_equal(a.grad.numpy(), ones @ a.detach().numpy().T + a.detach().numpy().T @ ones)


def test_two_losses_accumulate():
    x = leaf(3.0)
    (x * 2).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [8.0]


def test_a_second_backward_raises_and_names_retain_graph():
    x = leaf(3.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        loss.backward()
    assert x.grad.tolist() == [6.0]


def test_retain_graph_doubles_exactly():
    x = leaf(0.1, 0.7)
    loss = (x.exp() * x).sum()
    loss.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    loss.backward()
    assert np.array_equal(x.grad.numpy(), 2 * once)


def test_backward_of_several_numbers_states_the_shape_to_pass():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"gradient=dL/dself of shape \(2,\)"):
        (x * 2).backward()
    (x * 2).backward(mg.tensor([1.0, 10.0], dtype=mg.float64))
    assert x.grad.tolist() == [2.0, 20.0]


@pytest.mark.parametrize(
    "gradient",
    [mg.ones(3, dtype=mg.float64), mg.ones(2), mg.ones(2, 1, dtype=mg.float64)],
    ids=["length", "dtype", "axes"],
)
def test_a_gradient_that_does_not_fit_is_refused(gradient):
    with pytest.raises(RuntimeError, match="expected a gradient"):
        (leaf(1.0, 2.0) * 2).backward(gradient)


def test_backward_without_a_graph_says_why():
    with pytest.raises(RuntimeError, match="has no graph"):
        mg.tensor(1.0).backward()
    x = leaf(1.0)
    with mg.no_grad():
        y = (x * 2).sum()
    with pytest.raises(RuntimeError, match="under no_grad"):
        y.backward()


def test_backward_of_a_leaf_is_one():
    x = mg.tensor(5.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_only_leaves_keep_gradients_and_those_that_ask():
    x, data = leaf(2.0), mg.tensor([5.0], dtype=mg.float64)
    y = x * data
    z = y * y
    z.retain_grad()
    z.sum().backward()
    assert x.grad is not None
    with pytest.warns(UserWarning, match="not a leaf"):
        assert y.grad is None
    assert data.grad is None
    assert z.grad.tolist() == [1.0]


def test_gradients_are_writeable_contiguous_and_nobody_elses():
    a, b, c = leaf(1.0, 2.0), leaf(3.0, 4.0), mg.tensor([[1.0], [2.0]], dtype=mg.float64, requires_grad=True)
    cotangent = mg.ones(2, 2, dtype=mg.float64)
    (a + b + c.T.T).backward(cotangent)
    arrays = [t.grad.array for t in (a, b, c)] + [cotangent.array]
    for i, one in enumerate(arrays):
        assert one.flags.writeable
        assert one.flags.c_contiguous
        assert not any(np.shares_memory(one, other) for other in arrays[:i])
    a.grad.array *= 7
    assert b.grad.tolist() == [2.0, 2.0]
    assert cotangent.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_the_gradient_of_a_sum_is_a_real_array():
    x = leaf(1.0, 2.0, 3.0)
    x.sum().backward()
    assert x.grad.array.strides == (8,)
    x.grad.array[0] = 5.0
    assert x.grad.tolist() == [5.0, 1.0, 1.0]


def test_weight_decay_after_a_plus_b():
    a, b = leaf(1.0), leaf(1.0)
    (a + b).sum().backward()
    for x, decay in ((a, 0.1), (b, 0.5)):
        x.grad.array += decay * x.array
    assert (a.grad.item(), b.grad.item()) == (1.1, 1.5)


@pytest.mark.parametrize("depth", [100_000])
def test_a_deep_chain_works_and_is_freed(depth):
    x = leaf(1.0)
    y = x
    for _ in range(depth):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    z = x
    for _ in range(depth):
        z = z * 1.0
    del y, z  # without a walk, too


def test_memory_goes_with_the_last_name_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(*[1.0] * 10)
        hidden = x.exp()
        loss = (hidden * hidden.tanh()).sum()
        gone = [weakref.ref(t) for t in (hidden, loss)]
        del hidden, loss
        assert [ref() for ref in gone] == [None, None]
        loss = (x.exp() * x).sum()
        middle = weakref.ref(loss.grad_fn.inputs[0])
        loss.backward()
        assert middle() is None  # the walk freed it, though the loss still has its name
    finally:
        gc.enable()


def test_an_exception_in_a_rule_leaves_no_state_behind():
    @op("()->()")
    def broken_rule(xp, x):
        """y = x, with a rule that fails"""

        def rule(g):
            raise ZeroDivisionError("planted")

        return x + 0, (rule,)

    del OPS["broken_rule"]
    x, w = leaf(1.0), leaf(2.0)
    loss = (w * broken_rule(x * 1)).sum()
    for create_graph in (False, True):
        with pytest.raises(ZeroDivisionError):
            loss.backward(retain_graph=True, create_graph=create_graph)
        assert x.grad is None
        assert w.grad is None
        assert mg.is_grad_enabled()
    (x * w).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_no_grad_as_context_and_as_decorator_and_nested():
    x = leaf(1.0)

    @mg.no_grad()
    def evaluate():
        return x * 2

    assert evaluate().grad_fn is None
    assert not evaluate().requires_grad
    with mg.no_grad():
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        with mg.no_grad():
            pass
        assert not mg.is_grad_enabled()
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_detach_cuts_and_shares_memory():
    x = leaf(2.0)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [2.0]
    assert x.detach().array is x.array


def test_grad_touches_no_grad_attribute_and_takes_inner_tensors():
    x = leaf(2.0)
    y = x * x
    dy, dx = mg.grad((y * 3).sum(), [y, x])
    assert (dy.tolist(), dx.tolist()) == ([3.0], [12.0])
    assert x.grad is None


def test_grad_of_an_input_that_does_not_matter():
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="input 1"):
        mg.grad((x * 2).sum(), [x, other])
    assert mg.grad((x * 2).sum(), [x, other], allow_unused=True)[1] is None


def test_gradients_of_gradients():
    x = leaf(2.0, -3.0)
    (first,) = mg.grad((x**3).sum(), x, create_graph=True)
    (second,) = mg.grad(first.sum(), x, create_graph=True)
    (third,) = mg.grad(second.sum(), x)
    assert first.tolist() == [12.0, 27.0]
    assert second.tolist() == [12.0, -18.0]
    assert third.tolist() == [6.0, 6.0]


def test_backward_with_create_graph_accumulates_without_sharing():
    a, b = leaf(1.0), leaf(2.0)
    (a + b).sum().backward(create_graph=True)
    assert a.grad is not b.grad
    assert not np.shares_memory(a.grad.array, b.grad.array)


def test_backward_limited_to_some_inputs():
    a, b = leaf(1.0), leaf(2.0)
    (a * b).sum().backward(inputs=[a])
    assert a.grad.tolist() == [2.0]
    assert b.grad is None


def test_updates_in_place_only_where_nothing_is_recorded():
    w = leaf(1.0)
    with pytest.raises(RuntimeError, match="no_grad"):
        w -= 0.5
    with pytest.raises(RuntimeError, match="no_grad"):
        w[0] = 3.0
    same = w
    with mg.no_grad():
        w -= 0.5
    assert w is same
    assert w.tolist() == [0.5]
    assert w.requires_grad


@pytest.mark.parametrize("which", ["input", "output", "constant"])
def test_a_change_in_place_after_use_is_found(which):
    x, c = leaf(1.0, 2.0), mg.tensor([3.0, 4.0], dtype=mg.float64)
    y = (x * c).exp()
    loss = y.sum()
    with mg.no_grad():
        {"input": x, "output": y, "constant": c}[which].mul_(2)
    with pytest.raises(RuntimeError, match="modified in place"):
        loss.backward()
    assert x.grad is None


def test_a_rule_of_the_wrong_shape_or_dtype_is_found():
    def planted(rule):
        @op("(...)->(...)")
        def planted_rule(xp, x):
            """y = x"""
            return x + 0, (rule,)

        del OPS["planted_rule"]
        return planted_rule

    for rule in (lambda g: g[:1], lambda g: g.astype("float32"), lambda g: g.reshape(1, -1)):
        with pytest.raises(RuntimeError, match=r"planted_rule.*expected \(2,\) float64"):
            planted(rule)(leaf(1.0, 2.0)).sum().backward()


def test_no_gradient_where_there_is_none():
    x = leaf(1.0, 2.0)
    assert not (x > 1).requires_grad
    assert not x.argmax().requires_grad
    with pytest.raises(TypeError, match="only float32 and float64"):
        mg.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match=r"pos_weight.*detach"):
        mg.nn.functional.binary_cross_entropy_with_logits(x, x.detach(), pos_weight=leaf(2.0))


def test_requires_grad_round_trip():
    x = mg.tensor([1.0])
    assert x.requires_grad_(True).requires_grad
    assert not x.requires_grad_(False).requires_grad
    assert not mg.tensor([1.0], requires_grad=False).requires_grad
    with pytest.raises(RuntimeError, match="detach"):
        (leaf(1.0) * 2).requires_grad_(False)


def test_the_bits_of_a_gradient_do_not_depend_on_the_hash_seed():
    program = (
        "import minigrad as mg; mg.manual_seed(3); x = mg.randn(50, requires_grad=True)\n"
        "parts = [x * (0.1 * i) for i in range(40)]\n"
        "total = sum((p.exp() * q.tanh() for p, q in zip(parts, parts[1:])), 0.0)\n"
        "total.sum().backward(); print(x.grad.numpy().tobytes().hex())"
    )
    seen = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        seen.add(run.stdout)
    assert len(seen) == 1
