"""Hooks of Tensors and Modules, next to torch's."""

import pytest

import minigrad as mg
from minigrad import nn


def test_hook_sees_and_replaces_the_gradient(device, torch):
    found = []
    for library, where in ((mg, device), (torch, "cpu")):
        seen = []
        x = library.tensor([1.0, 2.0], device=where, requires_grad=True)
        y = x * 3
        y.retain_grad()
        x.register_hook(lambda g, seen=seen: seen.append(g.tolist()))
        y.register_hook(lambda g: g * 10)
        (y * y + y).sum().backward()
        found.append([seen, x.grad.tolist(), y.grad.tolist()])
    assert found[0] == found[1]


def test_removed_hook_is_not_called():
    x = mg.ones(1, requires_grad=True)
    handle = x.register_hook(lambda g: g * 0)
    handle.remove()
    with x.register_hook(lambda g: g + 1):
        (x * 2).backward()
    (x * 2).backward()
    assert x.grad.item() == 5
    with pytest.raises(RuntimeError, match="register_hook: this Tensor does not require"):
        mg.ones(1).register_hook(print)


def test_hook_is_part_of_a_recorded_backward(torch):
    found = []
    for library in (mg, torch):
        x = library.tensor(2.0, requires_grad=True)
        y = x * x
        y.register_hook(lambda g, x=x: g * x)
        (g,) = library.autograd.grad(y, x, create_graph=True)  # x · 2x
        (h,) = library.autograd.grad(g, x)
        found.append((g.item(), h.item()))
    assert found == [(8.0, 8.0)] * 2


def test_hook_of_a_wrong_gradient_raises():
    x = mg.ones(2, requires_grad=True)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook: expected a gradient of \(2,\)"):
        x.sum().backward()


def test_module_hooks_agree_with_torch(torch):
    found = []
    for library in (mg, torch):
        layer, calls = library.nn.Linear(2, 1), []
        with library.no_grad():
            for parameter in layer.parameters():
                parameter.fill_(0.5)
        layer.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
        layer.register_forward_hook(lambda module, inputs, output, calls=calls: calls.append(output.tolist()))
        handle = layer.register_forward_hook(lambda module, inputs, output: output + 1)
        layer.register_full_backward_hook(
            lambda module, grads, outputs, calls=calls: calls.append([grads[0].tolist(), outputs[0].tolist()])
        )
        x = library.tensor([[1.0, -3.0]], requires_grad=True)
        y = layer(x)
        (y * 3).sum().backward()
        handle.remove()
        found.append([calls, y.tolist(), x.grad.tolist(), layer(x).tolist()])
    assert found[0] == found[1]


def test_hooks_collect_activations():
    model, shapes = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), []
    handles = [layer.register_forward_hook(lambda m, i, y: shapes.append(y.shape)) for layer in model]
    model(mg.ones(4, 3))
    for handle in handles:
        handle.remove()
    model(mg.ones(4, 3))
    assert shapes == [(4, 5), (4, 5), (4, 2)]


def test_replayed_step_refuses_hooks():
    model = nn.Sequential(nn.Linear(3, 2))
    model[0].register_forward_hook(lambda m, i, y: None)
    with pytest.raises(RuntimeError, match="calls a hook"):
        mg.replay(model, lambda x: model(x).sum())(mg.ones(1, 3))
