"""Engines for the tests of the checks: minigrad on a device, one of numbers, one that differentiates functions."""

from __future__ import annotations

import sys
from pathlib import Path

from helpers.small_engine import SmallEngine

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.testing.conformance import OPERATORS, Engine

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "adapters"))
from minigrad_adapter import Minigrad


def minigrad_on(device):
    """minigrad, with everything on a device."""
    to = lambda array: mg.tensor(array).to(device)

    class OnDevice(Minigrad):
        tensor = lambda self, array: to(array).requires_grad_()
        constant = lambda self, array: to(array)
        value = lambda self, x: x.detach().cpu().numpy()
        grad = lambda self, x: None if x.grad is None else x.grad.cpu().numpy()
        backward = lambda self, y, g: y.backward(to(g))
        set_value = lambda self, x, array: x.detach().copy_(to(array))

    engine = OnDevice()
    engine.ops = {
        **Minigrad.ops,
        "where": lambda c, a, b: mg.where(to(c), a, b),
        "cross_entropy": lambda x, labels: F.cross_entropy(x, to(labels)),
        "binary_cross_entropy_with_logits": lambda x, t: F.binary_cross_entropy_with_logits(x, to(t)),
    }
    return engine


class Number:
    """A number of an engine of numbers."""

    def __init__(self, data, inputs=()):
        self.data, self.grad, self.inputs, self.version = data, 0.0, inputs, 0

    def __add__(self, other):
        return Number(self.data + value_of(other), [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Number(self.data * value_of(other), [(self, value_of(other)), (other, self.data)])

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + other * -1.0

    def __rsub__(self, other):
        return self * -1.0 + other

    def __pow__(self, p):
        slope = p * self.data ** (p - 1) if p else 0.0
        return Number(self.data**p, [(self, slope)])

    def __truediv__(self, other):
        y = self.data / value_of(other)
        return Number(y, [(self, 1 / value_of(other)), (other, -y / value_of(other))])

    def __rtruediv__(self, other):
        return Number(other / self.data, [(self, -other / self.data / self.data)])

    __radd__, __rmul__ = __add__, __mul__


def value_of(x):
    return x.data if isinstance(x, Number) else x


class ScalarEngine(Engine):
    """An engine of numbers, as micrograd is."""

    name, scalar, ops = "numbers", True, OPERATORS

    def tensor(self, array):
        return Number(float(array))

    def constant(self, array):
        return float(array)

    def reset(self, x):
        x.grad = 0.0

    def backward(self, y, g):
        order, stack, seen = [], [(y, False)], set()
        while stack:
            x, done = stack.pop()
            if done:
                order.append(x)
            elif id(x) not in seen:
                seen.add(id(x))
                stack.append((x, True))
                stack += [(each, False) for each, _ in x.inputs if isinstance(each, Number)]
        grads = {id(y): float(g)}
        for x in reversed(order):
            if not x.inputs:
                x.grad += grads[id(x)]
            for each, slope in x.inputs:
                if isinstance(each, Number):
                    grads[id(each)] = grads.get(id(each), 0.0) + grads[id(x)] * slope


class Functional(SmallEngine):
    """An engine that differentiates functions, as JAX does: its users see no leaves."""

    def vjp(self, function, arrays, cotangent):
        xs = [SmallEngine.tensor(self, array) for array in arrays]
        y = function(*xs)
        SmallEngine.backward(self, y, cotangent(y.data))
        return y.data, [x.grad for x in xs]

    def constant(self, array):
        return SmallEngine.tensor(self, array)

    def tensor(self, array):
        raise NotImplementedError("tensor")
