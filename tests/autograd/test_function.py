"""autograd.Function and autograd.functional, next to torch's."""

import numpy as np
import pytest

import minigrad as mg


def exp_function(lib):
    class Exp(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            y = (x * scale).exp()
            ctx.scale = scale
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y * ctx.scale, None

    return Exp


def test_function_has_gradients_of_both_orders(device, torch):
    data = np.array([0.5, -1.0])
    results = []
    for lib, x in ((mg, mg.tensor(data, device=device)), (torch, torch.tensor(data))):
        x.requires_grad_()
        y = exp_function(lib).apply(x, 2.0)
        (g,) = lib.autograd.grad((y * y).sum(), x, create_graph=True)
        (h,) = lib.autograd.grad((g * x).sum(), x)
        results.append([each.detach().cpu().numpy() for each in (y, g, h)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_function_of_two_inputs_gets_two_gradients():
    class Product(mg.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            assert ctx.needs_input_grad == (True, False)
            return a * b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, g * a

    a, b = mg.tensor([2.0], requires_grad=True), mg.tensor([3.0])
    Product.apply(a, b).backward()
    assert a.grad.tolist() == [3.0]
    assert b.grad is None


def test_function_backward_of_none_is_zero():
    class Constant(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return None

    x = mg.tensor([2.0], requires_grad=True)
    (Constant.apply(x) + x).backward()
    assert x.grad.tolist() == [1.0]


def test_function_with_wrong_gradients_raises():
    class Wrong(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return ctx.result(g)

    x = mg.ones(2, requires_grad=True)
    for result, message in ((lambda g: g, "expected 2 gradients"), (lambda g: (g.sum(), g), "expected")):
        y = Wrong.apply(x, x)
        y.grad_fn.op.ctx.result = result
        with pytest.raises(RuntimeError, match=message):
            y.sum().backward()


def test_jacobian_and_hessian_agree_with_torch(device, torch):
    a, b = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([1.5, -0.5])
    results = []
    for lib, tensor in ((mg, lambda x: mg.tensor(x, device=device)), (torch, torch.tensor)):
        functional = lib.autograd.functional
        x, y = tensor(a), tensor(b)
        found = [functional.jacobian(lambda x: x.exp() @ x, x)]
        found += functional.jacobian(lambda x, y: x @ y, (x, y))
        found.append(functional.hessian(lambda x: (x**3).sum() * x[0, 1], x))
        found += [each for row in functional.hessian(lambda x, y: ((x @ y) ** 2).sum(), (x, y)) for each in row]
        found.append(functional.jacobian(lambda x: x.detach() * 2, x))
        results.append([each.cpu().numpy() for each in found])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_jacobian_can_be_differentiated(torch):
    results = []
    for lib in (mg, torch):
        x = lib.tensor([0.5, 2.0], requires_grad=True)
        jacobian = lib.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
        jacobian.sum().backward()
        results.append(x.grad.tolist())
    assert results[0] == results[1]
