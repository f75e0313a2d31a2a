"""tinygrad, on its device PYTHON, which needs no compiler."""

import os

os.environ.setdefault("DEV", "PYTHON")
from importlib.metadata import version

import numpy as np
from tinygrad import Tensor, dtypes

from minigrad.testing.conformance import OPERATORS, Engine, method, methods

METHODS = "exp log sqrt tanh sigmoid relu abs softplus maximum minimum softmax log_softmax reshape transpose permute"
DTYPES = {"float32": dtypes.float32, "float64": dtypes.float64, "bool": dtypes.bool}


def from_numpy(array):  # from lists: the device of NumPy arrays needs a compiler
    array = np.asarray(array)
    tensor = Tensor(array.reshape(-1).tolist(), dtype=DTYPES.get(str(array.dtype), dtypes.int64))
    return tensor.reshape(array.shape).contiguous().realize()


class Tinygrad(Engine):
    name, rtol = f"tinygrad {version('tinygrad')}", 1e-7
    ops = {**OPERATORS, **methods(*METHODS.split(), "sum", "mean", "prod", "logsumexp", "clip")}
    ops |= {"amax": method("max"), "amin": method("min"), "broadcast_to": method("expand")}
    ops |= {"where": lambda c, a, b: from_numpy(c).where(a, b), "cat": lambda xs, dim: xs[0].cat(*xs[1:], dim=dim)}
    ops |= {"stack": lambda xs, dim: Tensor.stack(*xs, dim=dim), "expand_dims": method("unsqueeze")}
    ops["getitem"] = lambda x, index: x[index.tolist() if isinstance(index, np.ndarray) else index]
    ops["cross_entropy"] = lambda x, labels: x.sparse_categorical_crossentropy(from_numpy(labels))
    ops["binary_cross_entropy_with_logits"] = lambda x, t: x.binary_crossentropy_logits(from_numpy(t))
    tensor = lambda self, array: from_numpy(array)
    value = lambda self, x: x.numpy()
    grad = lambda self, x: None if x.grad is None else x.grad.numpy()
    backward = lambda self, y, g: y.backward(from_numpy(g))
    set_value = lambda self, x, array: x.assign(from_numpy(array)).realize()
