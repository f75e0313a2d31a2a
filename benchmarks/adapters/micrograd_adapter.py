"""micrograd, an engine of numbers."""

from importlib.metadata import version

from micrograd.engine import Value

from minigrad.testing.conformance import OPERATORS, Engine, methods


class Micrograd(Engine):
    name = f"micrograd {version('micrograd')}"
    scalar = True
    ops = {**OPERATORS, **methods("relu")}
    tensor = lambda self, array: Value(float(array))
    constant = lambda self, array: float(array)
    backward = lambda self, y, g: (y * float(g)).backward()

    def set_value(self, x, array):
        x.data = float(array)

    def reset(self, x):
        x.grad = 0
