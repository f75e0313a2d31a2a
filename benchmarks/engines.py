"""One training step of an MLP, written for each engine as its users write it.

An engine is made from layer sizes, the initial weights, the training images (N, 784) float32 and the labels (N,).
`step(index)` predicts the images at `index`, computes the loss and the gradients, and updates the weights by SGD;
`finish()` waits for the device; `weights()` returns the weights, to check that all engines have done the same work.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

LR = 0.01  # with 0.1 rounding errors grow so fast that engines differ
Weights = list[Any]  # W1 (in, out), b1 (out,), W2, b2, ... as NumPy arrays


def initial_weights(sizes: list[int], seed: int = 0) -> Weights:
    """U(-1/√in, 1/√in), the same for all engines."""
    random = np.random.default_rng(seed)
    weights: Weights = []
    for n_in, n_out in itertools.pairwise(sizes):
        bound = n_in**-0.5
        weights += [random.uniform(-bound, bound, shape).astype("float32") for shape in ((n_in, n_out), (n_out,))]
    return weights


class Engine:
    """What engines share: on the CPU there is nothing to wait for."""

    def finish(self) -> None:
        pass


class HandWritten(Engine):
    """NumPy without an engine: forward, loss, gradients and update, written for this model alone."""

    xp: Any = np

    def __init__(self, sizes: list[int], weights: Weights, images: Any, labels: Any) -> None:
        self.w = [self.xp.array(w) for w in weights]
        self.images, self.labels = self.xp.asarray(images), self.xp.asarray(labels)

    def step(self, index: Any) -> Any:
        xp, w = self.xp, self.w
        x, y = self.images[index], self.labels[index]
        rows = xp.arange(len(y))
        activations = [x]
        for i in range(0, len(w) - 2, 2):
            h = activations[-1] @ w[i]
            h += w[i + 1]
            activations.append(xp.maximum(h, 0, out=h))
        z = activations[-1] @ w[-2]
        z += w[-1]
        z -= z.max(axis=1, keepdims=True)
        e = xp.exp(z)
        s = e.sum(axis=1, keepdims=True)
        loss = (xp.log(s[:, 0]) - z[rows, y]).mean()
        e /= s
        e[rows, y] -= 1
        e /= len(y)
        g = e
        gradients = []
        for i in range(len(w) - 2, -1, -2):
            a = activations[i // 2]
            gradients += [g.sum(axis=0), a.T @ g]
            if i:
                g = g @ w[i].T
                g *= a > 0
        for parameter, gradient in zip(w, reversed(gradients)):
            gradient *= LR
            parameter -= gradient
        return loss

    def weights(self) -> Weights:
        return [np.asarray(w.get() if hasattr(w, "get") else w) for w in self.w]


class HandWrittenCuPy(HandWritten):
    """The same on CuPy."""

    def __init__(self, *arguments: Any) -> None:
        self.xp = importlib.import_module("cupy")
        super().__init__(*arguments)

    def finish(self) -> None:
        self.xp.cuda.runtime.deviceSynchronize()


class Minigrad(Engine):
    """minigrad on the CPU."""

    device = "cpu"

    def __init__(self, sizes: list[int], weights: Weights, images: Any, labels: Any) -> None:
        import minigrad as mg
        from minigrad import data, nn, optim

        layers: list[Any] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        for parameter, w in zip(self.model.parameters(), weights):
            parameter.detach().copy_(mg.tensor(w.T))
        self.model.to(self.device)
        self.optimizer = optim.SGD(self.model.parameters(), lr=LR)
        self.dataset = data.TensorDataset(mg.tensor(images).to(self.device), mg.tensor(labels).to(self.device))
        self.library, self.loss = mg.backend.library(self.device), nn.functional.cross_entropy

    def step(self, index: Any) -> Any:
        images, labels = self.dataset.__getitems__(self.library.from_host(index))
        loss = self.loss(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def weights(self) -> Weights:
        return [parameter.detach().cpu().numpy().T for parameter in self.model.parameters()]

    def finish(self) -> None:
        self.library.synchronize()


class MinigradReplayed(Minigrad):
    """minigrad on the CPU, with the step compiled by `replay`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        import minigrad as mg

        self.replay = mg.replay(self.model, lambda images, labels: self.loss(self.model(images), labels))

    def step(self, index: Any) -> Any:
        images, labels = self.dataset.__getitems__(self.library.from_host(index))
        loss = self.replay(images, labels)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


class MinigradCuPy(Minigrad):
    """minigrad on CuPy."""

    device = "cuda"


class MinigradReplayedCuPy(MinigradReplayed):
    """The same on CuPy."""

    device = "cuda"


class Torch(Engine):
    """torch, eager, tensors in memory."""

    device = "cpu"

    def __init__(self, sizes: list[int], weights: Weights, images: Any, labels: Any) -> None:
        import torch

        layers: list[Any] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        self.torch = torch
        self.model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, w in zip(self.model.parameters(), weights):
                parameter.copy_(torch.from_numpy(w.T))
        self.model.to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)
        self.images, self.labels = (torch.from_numpy(array).to(self.device) for array in (images, labels))
        self.loss = torch.nn.functional.cross_entropy

    def step(self, index: Any) -> Any:
        index = self.torch.from_numpy(index).to(self.device)
        loss = self.loss(self.model(self.images[index]), self.labels[index])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def weights(self) -> Weights:
        return [parameter.detach().cpu().numpy().T for parameter in self.model.parameters()]

    def finish(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()


class TorchCompiled(Torch):
    """torch with the model compiled."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.parameters = list(self.model.parameters())
        self.model = self.torch.compile(self.model)

    def weights(self) -> Weights:
        return [parameter.detach().cpu().numpy().T for parameter in self.parameters]


class TorchCUDA(Torch):
    """torch, eager, on the CUDA device."""

    device = "cuda"


class TorchCUDAGraph(TorchCUDA):
    """torch on the CUDA device, one step captured as a CUDA graph and replayed."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.graph: Any = None

    def step(self, index: Any) -> Any:
        torch = self.torch
        if self.graph is None:
            self.index = torch.from_numpy(index).to(self.device)
            before = [parameter.detach().clone() for parameter in self.model.parameters()]
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self._captured()
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.result = self._captured()
            with torch.no_grad():
                for parameter, start in zip(self.model.parameters(), before):
                    parameter.copy_(start)
        self.index.copy_(torch.from_numpy(index))
        self.graph.replay()
        return self.result

    def _captured(self) -> Any:
        loss = self.loss(self.model(self.images[self.index]), self.labels[self.index])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


class Jax(Engine):
    """JAX with the whole step compiled by jit."""

    def __init__(self, sizes: list[int], weights: Weights, images: Any, labels: Any) -> None:
        import jax
        from jax import numpy as jnp

        def loss(w: Any, x: Any, y: Any) -> Any:
            for i in range(0, len(w) - 2, 2):
                x = jax.nn.relu(x @ w[i] + w[i + 1])
            log_p = jax.nn.log_softmax(x @ w[-2] + w[-1])
            return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

        @jax.jit
        def step(w: Any, x: Any, y: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(w, x, y)
            return value, [parameter - LR * gradient for parameter, gradient in zip(w, gradients)]

        self.compiled = step
        self.w = [jnp.asarray(w) for w in weights]
        self.images, self.labels = images, labels

    def step(self, index: Any) -> Any:
        value, self.w = self.compiled(self.w, self.images[index], self.labels[index])
        value.block_until_ready()
        return value

    def weights(self) -> Weights:
        return [np.asarray(w) for w in self.w]

    def finish(self) -> None:
        for w in self.w:
            w.block_until_ready()


class MyGrad(Engine):
    """MyGrad without memory guarding, as its documentation recommends for speed."""

    def __init__(self, sizes: list[int], weights: Weights, images: Any, labels: Any) -> None:
        import mygrad
        from mygrad.nnet.activations import relu
        from mygrad.nnet.losses import softmax_crossentropy

        mygrad.turn_memory_guarding_off()
        self.relu, self.loss = relu, softmax_crossentropy
        self.w = [mygrad.tensor(w) for w in weights]
        self.images, self.labels = images, labels

    def step(self, index: Any) -> Any:
        x: Any = self.images[index]
        for i in range(0, len(self.w) - 2, 2):
            x = self.relu(x @ self.w[i] + self.w[i + 1])
        loss = self.loss(x @ self.w[-2] + self.w[-1], self.labels[index])
        loss.backward()
        for w in self.w:
            w.data -= LR * w.grad
        return loss

    def weights(self) -> Weights:
        return [w.data for w in self.w]


class Autograd(Engine):
    """HIPS autograd: gradients of a function of NumPy arrays."""

    def __init__(self, sizes: list[int], weights: Weights, images: Any, labels: Any) -> None:
        from autograd import numpy as anp
        from autograd import value_and_grad
        from autograd.scipy.special import logsumexp

        def loss(w: Any, x: Any, y: Any) -> Any:
            for i in range(0, len(w) - 2, 2):
                x = anp.maximum(x @ w[i] + w[i + 1], 0)
            z = x @ w[-2] + w[-1]
            return anp.mean(logsumexp(z, axis=1) - z[anp.arange(len(y)), y])

        self.loss_and_gradients = value_and_grad(loss)
        self.w = [w.copy() for w in weights]
        self.images, self.labels = images, labels

    def step(self, index: Any) -> Any:
        value, gradients = self.loss_and_gradients(self.w, self.images[index], self.labels[index])
        for parameter, gradient in zip(self.w, gradients):
            parameter -= (LR * gradient).astype("float32")
        return value

    def weights(self) -> Weights:
        return self.w


ENGINES: dict[str, dict[str, Callable[..., Any]]] = {
    "numpy": {
        "minigrad": Minigrad,
        "minigrad, replayed": MinigradReplayed,
        "numpy by hand": HandWritten,
        "torch": Torch,
        "torch.compile": TorchCompiled,
        "jax": Jax,
        "mygrad": MyGrad,
        "autograd": Autograd,
    },
    "cupy": {
        "minigrad": MinigradCuPy,
        "minigrad, replayed": MinigradReplayedCuPy,
        "minigrad on the CPU": Minigrad,
        "cupy by hand": HandWrittenCuPy,
        "torch": TorchCUDA,
        "torch CUDA graph": TorchCUDAGraph,
    },
}
