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
                grads[x] = grads[x] + dx if x in grads else dx


def topological_order(y):
    """The tensors that y depends on, and y: each once, after all of its inputs."""
    order, seen, stack = [], set(), [(y, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            order.append(tensor)
        elif tensor not in seen:
            seen.add(tensor)
            stack.append((tensor, True))
            stack.extend((x, False) for x in tensor.inputs)
    return order


def unbroadcast(g, shape):
    """Sum g over the axes that broadcasting added or stretched, so that it has this shape."""
    if np.shape(g) == shape:
        return g
    added = g.ndim - len(shape)
    stretched = [added + i for i, n in enumerate(shape) if n == 1]
    return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)


def as_tensor(x):
    return x if isinstance(x, Tensor) else Tensor(x)


def add(a, b):
    a, b = as_tensor(a), as_tensor(b)
    return Tensor(a.data + b.data, (a, b), (lambda g: g, lambda g: g))


def mul(a, b):
    a, b = as_tensor(a), as_tensor(b)
    return Tensor(a.data * b.data, (a, b), (lambda g: g * b.data, lambda g: g * a.data))


def pow(x, p):
    return Tensor(x.data**p, (x,), (lambda g: g * p * x.data ** (p - 1),))


def exp(x):
    y = np.exp(x.data)
    return Tensor(y, (x,), (lambda g: g * y,))


def log(x):
    return Tensor(np.log(x.data), (x,), (lambda g: g / x.data,))


def tanh(x):
    y = np.tanh(x.data)
    return Tensor(y, (x,), (lambda g: g * (1 - y * y),))


def relu(x):
    return Tensor(np.maximum(x.data, 0), (x,), (lambda g: g * (x.data > 0),))


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


# Step 2: arrays


def sum(x, dim=None, keepdim=False):
    def vjp(g):
        if dim is not None and not keepdim:
            g = np.expand_dims(g, dim)
        return np.broadcast_to(g, x.data.shape)

    return Tensor(x.data.sum(axis=dim, keepdims=keepdim), (x,), (vjp,))


def mean(x, dim=None, keepdim=False):
    total = sum(x, dim, keepdim)
    return mul(total, total.data.size / x.data.size)


def reshape(x, shape):
    return Tensor(x.data.reshape(shape), (x,), (lambda g: g.reshape(x.data.shape),))


def transpose(x, dim0, dim1):
    return Tensor(x.data.swapaxes(dim0, dim1), (x,), (lambda g: g.swapaxes(dim0, dim1),))


def permute(x, dims):
    return Tensor(x.data.transpose(dims), (x,), (lambda g: g.transpose(np.argsort(dims)),))


def getitem(x, index):
    def vjp(g):
        dx = np.zeros_like(x.data)
        np.add.at(dx, index, g)
        return dx

    return Tensor(x.data[index], (x,), (vjp,))


Tensor.__getitem__ = getitem


# Step 3: matmul and linear


def matmul(a, b):
    if b.data.ndim == 1:
        return matmul(a, b[:, None])[..., 0]
    if a.data.ndim == 1:
        return matmul(a[None], b)[..., 0, :]

    def vjp_a(g):
        return g @ b.data.swapaxes(-1, -2)

    def vjp_b(g):
        return a.data.swapaxes(-1, -2) @ g

    return Tensor(a.data @ b.data, (a, b), (vjp_a, vjp_b))


def linear(x, weight, bias):
    """x Wᵀ + b; weight has the shape (outputs, inputs)."""
    return add(matmul(x, transpose(weight, 0, 1)), bias)


Tensor.__matmul__ = matmul


# Step 4: softmax and cross-entropy


def softmax(x, dim):
    e = np.exp(x.data - x.data.max(axis=dim, keepdims=True, initial=-np.inf))
    y = e / e.sum(axis=dim, keepdims=True)

    def vjp(g):
        return y * (g - (g * y).sum(axis=dim, keepdims=True))

    return Tensor(y, (x,), (vjp,))


def log_softmax(x, dim):
    z = x.data - x.data.max(axis=dim, keepdims=True, initial=-np.inf)
    y = z - np.log(np.exp(z).sum(axis=dim, keepdims=True))
    return Tensor(y, (x,), (lambda g: g - np.exp(y) * g.sum(axis=dim, keepdims=True),))


def cross_entropy(scores, labels):
    """The mean over the rows of -log softmax(scores) at the label."""
    n, classes = scores.data.shape
    if labels.shape != (n,) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"cross_entropy: expected {n} labels from 0 to {classes - 1}")
    return neg(mean(log_softmax(scores, 1)[np.arange(n), labels]))


def mse_loss(a, b):
    return mean((a - b) ** 2)


# Step 5: optimizers and the loop


class SGD:
    def __init__(self, params, lr, momentum=0.0):
        self.params, self.lr, self.momentum = list(params), lr, momentum
        self.velocity = [0.0 for p in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is not None:
                self.velocity[i] = self.momentum * self.velocity[i] + p.grad
                p.data = p.data - self.lr * self.velocity[i]


class Adam(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.m, self.v, self.t = [0.0 for p in self.params], [0.0 for p in self.params], 0

    def step(self):
        self.t += 1
        for i, p in enumerate(self.params):
            if p.grad is not None:
                self.m[i] = 0.9 * self.m[i] + 0.1 * p.grad
                self.v[i] = 0.999 * self.v[i] + 0.001 * p.grad**2
                m, v = self.m[i] / (1 - 0.9**self.t), self.v[i] / (1 - 0.999**self.t)
                p.data = p.data - self.lr * m / (np.sqrt(v) + 1e-8)


class no_grad:
    """`with no_grad():` no graph is recorded."""

    def __enter__(self):
        self.before, Tensor.recording = Tensor.recording, False

    def __exit__(self, *exception):
        Tensor.recording = self.before


def train(model, optimizer, batches):
    """One step for each batch, which is a Tensor of images and an array of labels."""
    for images, labels in batches:
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# Step 6: modules


class Module:
    def parameters(self):
        """The Tensors among the attributes, and the parameters of the modules among them."""
        found = []
        for value in vars(self).values():
            for each in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(each, Tensor):
                    found.append(each)
                elif isinstance(each, Module):
                    found.extend(each.parameters())
        return found


class Linear(Module):
    def __init__(self, inputs, outputs, rng):
        bound = 1 / np.sqrt(inputs)
        self.weight = Tensor(rng.uniform(-bound, bound, (outputs, inputs)))
        self.bias = Tensor(rng.uniform(-bound, bound, outputs))

    def __call__(self, x):
        return linear(x, self.weight, self.bias)


class Sequential(Module):
    def __init__(self, *layers):
        self.layers = layers

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
