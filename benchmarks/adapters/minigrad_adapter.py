"""minigrad."""

import minigrad as mg
from minigrad import nn, optim
from minigrad.testing.conformance import OPERATORS, Engine, methods

F = nn.functional
METHODS = "exp log sqrt tanh sigmoid relu abs clip sum mean amax amin logsumexp softmax log_softmax reshape transpose"


class Minigrad(Engine):
    name = f"minigrad {mg.__version__}"
    ops = {**OPERATORS, **methods(*METHODS.split(), "permute", "broadcast_to")}
    ops |= {name: getattr(mg, name) for name in ("maximum", "minimum", "expand_dims", "cat", "stack")}
    ops |= {name: getattr(F, name) for name in ("linear", "mse_loss", "softplus")}
    ops["where"] = lambda condition, a, b: mg.where(mg.tensor(condition), a, b)
    ops["cross_entropy"] = lambda x, labels: F.cross_entropy(x, mg.tensor(labels))
    ops["binary_cross_entropy_with_logits"] = lambda x, t: F.binary_cross_entropy_with_logits(x, mg.tensor(t))
    tensor = lambda self, array: mg.tensor(array, requires_grad=True)
    constant = lambda self, array: mg.tensor(array)
    value = lambda self, x: x.detach().numpy()
    grad = lambda self, x: None if x.grad is None else x.grad.numpy()
    backward = lambda self, y, g: y.backward(mg.tensor(g))
    set_value = lambda self, x, array: x.detach().copy_(mg.tensor(array))
    no_grad = lambda self: mg.no_grad()
    sgd = lambda self, params, lr, momentum: optim.SGD(params, lr=lr, momentum=momentum)
    adam = lambda self, params, lr: optim.Adam(params, lr=lr)
    gradient_function = lambda self, f: lambda x: mg.grad(f(x), x, create_graph=True)[0]
