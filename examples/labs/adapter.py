"""The adapter of the engine that the labs build: my_engine.py in the current folder."""

import my_engine

from minigrad.testing.conformance import OPERATORS, Engine

NAMES = (
    *("exp", "log", "tanh", "relu", "sum", "mean", "reshape", "transpose", "permute"),
    *("linear", "softmax", "log_softmax", "cross_entropy", "mse_loss"),
)


class MyEngine(Engine):
    name = "my engine"
    ops = {**OPERATORS, **{name: getattr(my_engine, name) for name in NAMES if hasattr(my_engine, name)}}
    tensor = lambda self, array: my_engine.Tensor(array)
    backward = lambda self, y, g: y.backward(g)
    no_grad = lambda self: my_engine.no_grad()
    sgd = lambda self, params, lr, momentum: my_engine.SGD(params, lr, momentum)
    adam = lambda self, params, lr: my_engine.Adam(params, lr)
