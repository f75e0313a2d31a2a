"""A small engine on NumPy, right in all that the checks of engines require, in which a test plants one bug.

`RULES[op](*arrays, *options)` returns the value, and a VJP for each array. What else an engine does is a method of
`SmallEngine` of its own, so that a bug is one override.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from minigrad.testing.conformance import Engine

created = itertools.count()


class Tensor:
    def __init__(self, data, inputs=(), vjps=(), op=""):
        self.data, self.inputs, self.vjps, self.op = np.asarray(data), inputs, vjps, op
        self.grad, self.version, self.created, self.used = None, 0, next(created), [x.version for x in inputs]


def spread(g, x, dim, keepdim):
    """g with the axes that a reduction removed, as often as x has elements there."""
    if dim is not None and not keepdim:
        g = np.expand_dims(g, dim)
    return (
        np.broadcast_to(g, x.shape)
        if dim is not None or keepdim
        else np.broadcast_to(np.reshape(g, (1,) * x.ndim), x.shape)
    )


def extreme(function):
    def rule(x, dim, keepdim):
        y = function(x, axis=dim, keepdims=True)
        mask = (x == y) / np.sum(x == y, axis=dim, keepdims=True, dtype=x.dtype)
        return function(x, axis=dim, keepdims=keepdim), lambda g: spread(g, x, dim, keepdim) * mask

    return rule


def prod(x, dim, keepdim):
    y = np.prod(x, axis=dim, keepdims=keepdim)

    def vjp(g):
        axes = tuple(range(x.ndim)) if dim is None else tuple(a % x.ndim for a in np.atleast_1d(dim))
        others = np.ones_like(x)
        for offset in itertools.islice(itertools.product(*(range(x.shape[a]) for a in axes)), 1, None):
            others = others * np.roll(x, offset, axes)
        return spread(g, x, dim, keepdim) * others

    return y, vjp


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softmax(x, dim):
    e = np.exp(x - np.max(x, axis=dim, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=dim, keepdims=True)


def softmax_rule(x, dim):
    y = softmax(x, dim)
    return y, lambda g: y * (g - (g * y).sum(axis=dim, keepdims=True))


def log_softmax(x, dim):
    z = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    y = z - np.log(np.exp(z).sum(axis=dim, keepdims=True))
    return y, lambda g: g - np.exp(y) * g.sum(axis=dim, keepdims=True)


def logsumexp(x, dim, keepdim):
    m = x.max(axis=dim, keepdims=True)
    y = m + np.log(np.exp(x - m).sum(axis=dim, keepdims=True))
    return y if keepdim else y.squeeze(dim), lambda g: spread(g, x, dim, keepdim) * np.exp(x - y)


def power(x, p):
    return x**p, lambda g: g * (p * x ** (p - 1) if p else 0 * x)


def cross_entropy(x, labels):
    if x.ndim != 2 or labels.shape != x.shape[:1] or labels.min() < 0 or labels.max() >= x.shape[1]:
        raise ValueError("cross_entropy: labels do not fit")
    rows, labels = np.arange(len(labels)), labels.astype(int)
    y, vjp = log_softmax(x, 1)
    one_hot = np.zeros_like(x)
    one_hot[rows, labels] = -1 / x.dtype.type(len(rows))
    return -y[rows, labels].mean(), lambda g: vjp(g * one_hot)


def binary_cross_entropy(x, t):
    y = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    return y.mean(), lambda g: g * (sigmoid(x) - t) / x.dtype.type(x.size)


def mse(a, b):
    d = a - b
    return (d * d).mean(), lambda g: g * 2 * d / d.size, lambda g: -g * 2 * d / d.size


def matmul(a, b):
    def for_a(g):
        if b.ndim == 1:
            return g[..., None] * b
        return (g[..., None, :] @ b.swapaxes(-1, -2))[..., 0, :] if a.ndim == 1 else g @ b.swapaxes(-1, -2)

    def for_b(g):
        if a.ndim == 1:
            return a[:, None] * g[..., None, :] if b.ndim > 1 else g * a
        return (a.swapaxes(-1, -2) @ g[..., None])[..., 0] if b.ndim == 1 else a.swapaxes(-1, -2) @ g

    return a @ b, for_a, for_b


def linear(x, w, b):
    over_rows = tuple(range(x.ndim - 1))
    return (
        x @ w.T + b,
        lambda g: g @ w,
        lambda g: np.tensordot(g, x, (over_rows, over_rows)),
        lambda g: g.sum(over_rows),
    )


def getitem(x, index):
    def vjp(g):
        dx = np.zeros_like(x)
        np.add.at(dx, index, g)
        return dx

    return x[index], vjp


def cat(*arguments):
    *xs, dim = arguments
    ends = np.cumsum([x.shape[dim] for x in xs])[:-1]
    return np.concatenate(xs, dim), *(lambda g, i=i: np.split(g, ends, dim)[i] for i in range(len(xs)))


def stack(*arguments):
    *xs, dim = arguments
    return np.stack(xs, dim), *(lambda g, i=i: np.take(g, i, dim) for i in range(len(xs)))


def divide(a, b):
    y = a / b
    return y, lambda g: g / b, lambda g: -g * y / b


def with_output(function, vjp):
    def rule(x):
        y = function(x)
        return y, lambda g: vjp(g, x, y)

    return rule


def pair(function, mask):
    def rule(a, b):
        share = lambda p, q: (mask(p, q) + 0.5 * (p == q)).astype(a.dtype)
        return function(a, b), lambda g: g * share(a, b), lambda g: g * share(b, a)

    return rule


def inverse(dims):
    return tuple(np.argsort(dims))


RULES = {
    "add": lambda a, b: (a + b, lambda g: g.copy(), lambda g: g.copy()),
    "sub": lambda a, b: (a - b, lambda g: g.copy(), lambda g: -g),
    "mul": lambda a, b: (a * b, lambda g: g * b, lambda g: g * a),
    "div": divide,
    "neg": lambda x: (-x, lambda g: -g),
    "pow": power,
    "exp": with_output(np.exp, lambda g, x, y: g * y),
    "log": with_output(np.log, lambda g, x, y: g / x),
    "sqrt": with_output(np.sqrt, lambda g, x, y: g / (2 * y)),
    "tanh": with_output(np.tanh, lambda g, x, y: g * (1 - y * y)),
    "sigmoid": with_output(sigmoid, lambda g, x, y: g * y * (1 - y)),
    "relu": with_output(lambda x: np.maximum(x, 0), lambda g, x, y: g * (x > 0)),
    "softplus": with_output(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda g, x, y: g * sigmoid(x)),
    "abs": with_output(np.abs, lambda g, x, y: g * np.sign(x)),
    "maximum": pair(np.maximum, lambda p, q: p > q),
    "minimum": pair(np.minimum, lambda p, q: p < q),
    "where": lambda a, b, c: (np.where(c, a, b), lambda g: g * c, lambda g: g * ~c),
    "clip": lambda x, low, high: (np.clip(x, low, high), lambda g: g * ((x >= low) & (x <= high))),
    "sum": lambda x, dim, keep: (x.sum(axis=dim, keepdims=keep), lambda g: spread(g, x, dim, keep).copy()),
    "mean": lambda x, dim, keep: (
        x.mean(axis=dim, keepdims=keep),
        lambda g: spread(g, x, dim, keep) * x.dtype.type(np.size(g) / x.size),
    ),
    "amax": extreme(np.max),
    "amin": extreme(np.min),
    "prod": prod,
    "logsumexp": logsumexp,
    "softmax": softmax_rule,
    "log_softmax": log_softmax,
    "reshape": lambda x, shape: (x.reshape(shape), lambda g: g.reshape(x.shape)),
    "transpose": lambda x, a, b: (x.swapaxes(a, b), lambda g: g.swapaxes(a, b)),
    "permute": lambda x, dims: (x.transpose(dims), lambda g: g.transpose(inverse(dims))),
    "expand_dims": lambda x, dim: (np.expand_dims(x, dim), lambda g: np.squeeze(g, dim)),
    "broadcast_to": lambda x, shape: (np.broadcast_to(x, shape), lambda g: g.copy()),
    "getitem": getitem,
    "cat": cat,
    "stack": stack,
    "matmul": matmul,
    "linear": linear,
    "cross_entropy": cross_entropy,
    "mse_loss": mse,
    "binary_cross_entropy_with_logits": binary_cross_entropy,
}


class SmallEngine(Engine):
    """The engine; `rules` is what a bug in an op replaces."""

    name = "small engine"
    recording = True

    def __init__(self, **rules):
        self.rules = {**RULES, **rules}
        self.ops = {name: self.op(name) for name in self.rules if self.rules[name]}

    def op(self, name):
        def call(*arguments):
            arguments = [*arguments[0], *arguments[1:]] if name in ("cat", "stack") else list(arguments)
            if name == "where":
                arguments = [*arguments[1:], arguments[0]]
            tensors = [x for x in arguments if isinstance(x, Tensor)]
            options = [x for x in arguments if not isinstance(x, Tensor)]
            if name == "mul" and options:
                tensors, options = [*tensors, self.number(options[0])], []
            return self.apply(name, tensors, options)

        return call

    def number(self, value):
        return Tensor(np.float32(value))

    def apply(self, name, tensors, options):
        value, *vjps = self.rules[name](*(x.data for x in tensors), *options)
        return Tensor(value, tensors, vjps, name) if self.recording else Tensor(value)

    def unbroadcast(self, g, shape, op):
        if g.shape == shape:
            return g
        added = g.ndim - len(shape)
        stretched = [added + i for i, n in enumerate(shape) if n == 1 and g.shape[added + i] != 1]
        return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)

    def order(self, y):
        """All tensors that y depends on, each before its inputs."""
        found, stack = {y}, [y]
        while stack:
            for x in stack.pop().inputs:
                if x not in found:
                    found.add(x)
                    stack.append(x)
        return sorted(found, key=lambda x: -x.created)

    def backward(self, y, g):
        grads = {y: np.asarray(g)}
        for tensor in self.order(y):
            g = grads.pop(tensor)
            if not tensor.inputs:
                tensor.grad = self.stored(g) if tensor.grad is None else tensor.grad + g
            for x, vjp, version in zip(tensor.inputs, tensor.vjps, tensor.used):
                if x.version != version:
                    raise RuntimeError("changed in place")
                dx = self.unbroadcast(np.asarray(vjp(g)), x.data.shape, tensor.op)
                grads[x] = self.accumulate(grads.get(x), dx)

    def stored(self, g):
        return np.array(g)

    def accumulate(self, before, dx):
        return dx if before is None else before + dx

    def tensor(self, array):
        return Tensor(np.array(array))

    def set_value(self, x, array):
        x.data, x.version = np.array(array), x.version + 1

    @contextmanager
    def no_grad(self):
        self.recording = False
        try:
            yield
        finally:
            self.recording = True

    def sgd(self, params, lr, momentum):
        velocity = dict.fromkeys(params, 0)

        def step():
            for p in params:
                if p.grad is not None:
                    velocity[p] = momentum * velocity[p] + p.grad
                    p.data = p.data - lr * velocity[p]

        return SimpleNamespace(step=step)

    def adam_step(self, lr, m, v, t):
        return lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    def adam(self, params, lr):
        state = {p: [0, 0, 0] for p in params}

        def step():
            for p in params:
                if p.grad is not None:
                    m, v, t = state[p]
                    m, v, t = state[p] = [0.9 * m + 0.1 * p.grad, 0.999 * v + 0.001 * p.grad**2, t + 1]
                    p.data = p.data - self.adam_step(lr, m, v, t)

        return SimpleNamespace(step=step)
