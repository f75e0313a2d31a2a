"""torch."""

import torch
import torch.nn.functional as F

from minigrad.testing.conformance import OPERATORS, Engine, methods, missing

METHODS = "exp log sqrt tanh sigmoid relu abs clip sum mean logsumexp softmax log_softmax reshape transpose permute"
every_axis = lambda name: lambda x, dim, keep: getattr(x, name)(() if dim is None else dim, keep)


class Torch(Engine):
    name = f"torch {torch.__version__}"
    ops = {**OPERATORS, **methods(*METHODS.split(), "maximum", "minimum", "broadcast_to")}
    ops |= {"amax": every_axis("amax"), "amin": every_axis("amin"), "cat": torch.cat, "stack": torch.stack}
    ops |= {"expand_dims": torch.unsqueeze, **{name: getattr(F, name) for name in ("linear", "mse_loss", "softplus")}}
    ops["where"] = lambda condition, a, b: torch.where(torch.tensor(condition), a, b)
    ops["prod"] = lambda x, dim, keep: x.prod(dim, keep) if isinstance(dim, int) else missing("prod over several axes")
    ops["cross_entropy"] = lambda x, labels: F.cross_entropy(x, torch.tensor(labels))
    ops["binary_cross_entropy_with_logits"] = lambda x, t: F.binary_cross_entropy_with_logits(x, torch.tensor(t))
    tensor = lambda self, array: torch.tensor(array, requires_grad=True)
    value = lambda self, x: x.detach().numpy()
    grad = lambda self, x: None if x.grad is None else x.grad.numpy()
    backward = lambda self, y, g: y.backward(torch.tensor(g))
    set_value = lambda self, x, array: x.detach().copy_(torch.tensor(array))
    no_grad = lambda self: torch.no_grad()
    sgd = lambda self, params, lr, momentum: torch.optim.SGD(params, lr=lr, momentum=momentum)
    adam = lambda self, params, lr: torch.optim.Adam(params, lr=lr)
    gradient_function = lambda self, f: lambda x: torch.autograd.grad(f(x), x, create_graph=True)[0]
