"""DeZero."""

from importlib.metadata import version
from types import SimpleNamespace

import numpy as np

vars(np)["int"] = int  # DeZero uses this name, which NumPy has removed
import dezero
import dezero.functions as F

from minigrad.testing.conformance import OPERATORS, Engine


class DeZero(Engine):
    name = f"DeZero {version('dezero')}"
    ops = {**OPERATORS, "amax": F.max, "amin": F.min, "permute": F.transpose, "cross_entropy": F.softmax_cross_entropy}
    ops |= {name: getattr(F, name) for name in "exp log tanh sigmoid relu clip sum softmax log_softmax".split()}
    ops |= {name: getattr(F, name) for name in "reshape expand_dims broadcast_to matmul".split()}
    ops |= {"mse_loss": F.mean_squared_error, "linear": lambda x, w, b: F.linear(x, w.T, b), "getitem": F.get_item}
    tensor = lambda self, array: dezero.Variable(np.asarray(array))
    grad = lambda self, x: None if x.grad is None else x.grad.data
    no_grad = lambda self: dezero.no_grad()

    def backward(self, y, g):
        y.grad = dezero.Variable(np.asarray(g))
        y.backward()

    def set_value(self, x, array):
        x.data[...] = array

    def sgd(self, params, lr, momentum):
        optimizer = dezero.optimizers.MomentumSGD(lr, momentum).setup(SimpleNamespace(params=lambda: params))
        return SimpleNamespace(step=optimizer.update)
