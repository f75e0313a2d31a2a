"""My engine: reverse-mode autograd on NumPy, in six steps."""

import numpy as np

# Step 1: numbers


class Tensor:
    """A value, its gradient, and how it was computed: `inputs`, and for each of them a VJP, g -> dL/d(input)."""

    recording = True

    def __init__(self, data, inputs=(), vjps=()):
        self.data, self.grad = np.asarray(data, float), None
        self.inputs, self.vjps = (inputs, vjps) if Tensor.recording else ((), ())

    def backward(self, g=1.0):
        """Add dL/dx to x.grad, for each leaf x. g is dL/d(self)."""
        grads = {self: np.asarray(g, float)}
        for tensor in reversed(topological_order(self)):
            g = grads.pop(tensor)
            if not tensor.inputs:  # a leaf
                tensor.grad = g.copy() if tensor.grad is None else tensor.grad + g
            for x, vjp in zip(tensor.inputs, tensor.vjps):
                dx = unbroadcast(vjp(g), x.data.shape)
                raise NotImplementedError("step 1f: add dx to grads[x], or store it if x has no gradient yet")


def topological_order(y):
    """The tensors that y depends on, and y: each once, after all of its inputs."""
    raise NotImplementedError("step 1e: a topological order, without recursion")


def unbroadcast(g, shape):
    """Sum g over the axes that broadcasting added or stretched, so that it has this shape."""
    if np.shape(g) == shape:
        return g
    raise NotImplementedError("step 2a: sum over the axes that broadcasting added or stretched")


def as_tensor(x):
    return x if isinstance(x, Tensor) else Tensor(x)


def add(a, b):
    a, b = as_tensor(a), as_tensor(b)
    return Tensor(a.data + b.data, (a, b), (lambda g: g, lambda g: g))


def mul(a, b):
    a, b = as_tensor(a), as_tensor(b)
    raise NotImplementedError("step 1a: the product, with its two VJPs")


def pow(x, p):
    raise NotImplementedError("step 1b: x to the power p, a number")


def exp(x):
    y = np.exp(x.data)
    return Tensor(y, (x,), (lambda g: g * y,))


def log(x):
    return Tensor(np.log(x.data), (x,), (lambda g: g / x.data,))


def tanh(x):
    y = np.tanh(x.data)
    raise NotImplementedError("step 1c: the VJP of tanh; use its output y")


def relu(x):
    raise NotImplementedError("step 1d: max(x, 0), with its VJP")


def neg(x):
    return Tensor(-x.data, (x,), (lambda g: -g,))


def sub(a, b):
    return add(a, neg(as_tensor(b)))


def div(a, b):
    return mul(a, pow(as_tensor(b), -1))


Tensor.__add__, Tensor.__radd__ = add, add
Tensor.__mul__, Tensor.__rmul__ = mul, mul
Tensor.__neg__, Tensor.__pow__ = neg, pow
Tensor.__sub__, Tensor.__rsub__ = sub, lambda b, a: sub(as_tensor(a), b)
Tensor.__truediv__, Tensor.__rtruediv__ = div, lambda b, a: div(as_tensor(a), b)
