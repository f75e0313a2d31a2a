# ruff: noqa: E501 (a table: one line for each error)
"""Typical errors in the labs, each planted into the solution.

STUDENT_ERRORS[name] = (code of the solution, the error, requirement, part, words of the diagnosis).
"""

from __future__ import annotations

NUMBERS, FUNCTIONS, TWICE = "scalars/ops of numbers", "scalars/functions of numbers", "scalars/a value used twice"
REDUCTIONS, SHAPES, BROADCASTING = "arrays/reductions", "arrays/shapes", "arrays/broadcasting"
MATMUL, SOFTMAX, LOSSES, LABELS = "network/matmul", "network/softmax", "network/losses", "network/the label contract"
OPTIMIZERS, NO_GRAD = "training/optimizers", "training/no_grad"

STUDENT_ERRORS = {
    "1a: VJPs exchanged": ("lambda g: g * b.data, lambda g: g * a.data", "lambda g: g * a.data, lambda g: g * b.data", NUMBERS, "mul", "the arguments are exchanged"),
    "1a: VJP ignores g": ("lambda g: g * b.data, lambda", "lambda g: b.data, lambda", NUMBERS, "mul", "ignores the incoming gradient"),
    "1b: p x": ("g * p * x.data ** (p - 1)", "g * p * x.data", NUMBERS, "pow", "the exponent"),
    "1b: p forgotten": ("g * p * x.data ** (p - 1)", "g * x.data ** (p - 1)", NUMBERS, "pow", "the factor p is forgotten"),
    "1c: 1 - y": ("g * (1 - y * y)", "g * (1 - y)", FUNCTIONS, "tanh", "a square is missing"),
    "1c: 1 - x²": ("g * (1 - y * y)", "g * (1 - x.data * x.data)", FUNCTIONS, "tanh", "the input is used where the output belongs"),
    "exp: g x": ("(lambda g: g * y,)", "(lambda g: g * x.data,)", FUNCTIONS, "exp", "the input is used where the output belongs"),
    "log: g x": ("g / x.data", "g * x.data", FUNCTIONS, "log", "the exponent"),
    "1d: mask forgotten": ("g * (x.data > 0)", "g", "arrays/elementwise ops", "relu", "a forgotten mask"),
    "1d: mask inverted": ("g * (x.data > 0)", "g * (x.data < 0)", "arrays/elementwise ops", "relu", "an inverted mask"),
    "sub: sign": ("return add(a, neg(as_tensor(b)))", "return Tensor(a.data - as_tensor(b).data, (a, as_tensor(b)), (lambda g: g, lambda g: g))", NUMBERS, "sub", "the sign"),
    "1e: recursion": (
        "    order, seen, stack = [], set(), [(y, False)]\n",
        "    order, seen = [], set()\n    def visit(t):\n        if t not in seen:\n            seen.add(t)\n            for x in t.inputs:\n                visit(x)\n            order.append(t)\n    visit(y)\n    return order\n",
        "scalars/deep graphs", "20,000 ops", "a recursive search",
    ),
    "1e: parents in order of discovery": (
        "    order, seen, stack = [], set(), [(y, False)]\n",
        "    order = [y]\n    for t in order:\n        order.extend(x for x in t.inputs if x not in order)\n    return order[::-1]\n",
        "scalars/any graph", "", "the order of the backward pass",
    ),
    "1f: overwritten": ("grads[x] + dx if x in grads else dx", "dx", TWICE, "x·x + x", "overwritten instead of accumulated"),
    "leaf overwritten": ("g.copy() if tensor.grad is None else tensor.grad + g", "g.copy()", "training/accumulation", "two losses", "overwritten instead of accumulated"),
    "leaf not copied": ("g.copy() if", "g if", "training/changes of a gradient in place", "", "copy the gradient when it is stored"),
    "2a: only added axes": ("*stretched), keepdims=True).reshape(shape)", "))", BROADCASTING, "add", "a missing sum"),
    "2a: mean": ("return g.sum(axis=(*range(added), *stretched)", "return g.mean(axis=(*range(added), *stretched)", "network/linear", "linear", "divided by N"),
    "2a: nothing": ("    if np.shape(g) == shape:\n        return g", "    return g", BROADCASTING, "add", "a missing sum over the axes that broadcasting added"),
    "2b: divided": ("return np.broadcast_to(g, x.data.shape)", "return np.broadcast_to(g, x.data.shape) / x.data.size", REDUCTIONS, "sum", "divided by N"),
    "2c: VJP not divided": ("return mul(total, total.data.size / x.data.size)", "return Tensor(total.data * total.data.size / x.data.size, (total,), (lambda g: g,))", REDUCTIONS, "mean", "not divided by N"),
    "transpose of a square": ("lambda g: g.swapaxes(dim0, dim1)", "lambda g: g if g.shape == x.data.shape else g.swapaxes(dim0, dim1)", SHAPES, "transpose", "a transpose"),
    "2f: dx[index] = g": ("np.add.at(dx, index, g)", "dx[index] = g", "arrays/indexing", "getitem", "several times gets only one of its gradients"),
    "2f: dx[index] += g": ("np.add.at(dx, index, g)", "dx[index] += g", "arrays/indexing", "getitem", "several times gets only one of its gradients"),
    "3a: G B": ("return g @ b.data.swapaxes(-1, -2)", "return g @ (b.data if b.data.shape[-1] == b.data.shape[-2] else b.data.swapaxes(-1, -2))", MATMUL, "matrices", "a transpose"),
    "3b: A G": ("return a.data.swapaxes(-1, -2) @ g", "return (a.data if a.data.shape[-1] == a.data.shape[-2] else a.data.swapaxes(-1, -2)) @ g", MATMUL, "matrices", "a transpose"),
    "4a: diagonal": ("y * (g - (g * y).sum(axis=dim, keepdims=True))", "g * y * (1 - y)", SOFTMAX, "softmax", "a missing sum"),
    "4a: wrong axis": ("y * (g - (g * y).sum(axis=dim, keepdims=True))", "y * (g - (g * y).sum(axis=(dim + 1) % g.ndim, keepdims=True))", SOFTMAX, "softmax", "a sum over the wrong axis"),
    "4b: sum forgotten": ("np.exp(y) * g.sum(axis=dim, keepdims=True)", "np.exp(y) * g", SOFTMAX, "log_softmax", "a missing sum"),
    "4c: sum for mean": ("neg(mean(log_softmax", "neg(sum(log_softmax", LOSSES, "cross_entropy", "a factor"),
    "4c: sign": ("neg(mean(log_softmax(scores, 1)[np.arange(n), labels]))", "mean(log_softmax(scores, 1)[np.arange(n), labels])", LOSSES, "cross_entropy", "a factor -1"),
    "labels not checked": ("labels.min() < 0 or ", "", LABELS, "label of -1", "selects the last class"),
    "label shapes not checked": ("labels.shape != (n,) or ", "", LABELS, "one label for N rows", "broadcast"),
    "4d: half": ("return mean((a - b) ** 2)", "return mean((a - b) ** 2) * 0.5", LOSSES, "mse_loss", "a factor 0.5"),
    "5a: gradient scaled by 1 - momentum": ("self.velocity[i] = self.momentum * self.velocity[i] + p.grad", "self.velocity[i] = self.momentum * self.velocity[i] + (1 - self.momentum) * p.grad", OPTIMIZERS, "SGD with momentum", "scaled by 1 - momentum"),
    "5b: no correction": ("self.m[i] / (1 - 0.9**self.t), self.v[i] / (1 - 0.999**self.t)", "self.m[i], self.v[i]", OPTIMIZERS, "Adam", "divide by 1 - βᵗ"),
    "5b: no ε": ("(np.sqrt(v) + 1e-8)", "np.sqrt(v)", OPTIMIZERS, "Adam", "add ε to the root"),
    "5c: mode not restored": ("Tensor.recording = self.before", "Tensor.recording = Tensor.recording if exception[0] else self.before", NO_GRAD, "ends with an exception", "the mode is not restored"),
    "no_grad still records": ("self.before, Tensor.recording = Tensor.recording, False", "self.before = Tensor.recording", NO_GRAD, "records no graph", "t is in the graph"),
    "gradients of inner nodes kept": (
        "        grads = {self: np.asarray(g, float)}\n",
        "        self.grad = np.asarray(g, float)\n        for t in reversed(topological_order(self)):\n            for x, vjp in zip(t.inputs, t.vjps):\n                dx = vjp(t.grad)\n                x.grad = dx if x.grad is None else x.grad + dx\n        return\n",
        "scalars/a second backward", "", "the gradients of inner nodes are kept",
    ),
    "5a: uphill": ("p.data - self.lr * self.velocity[i]", "p.data + self.lr * self.velocity[i]", OPTIMIZERS, "SGD", "the sign"),
    "5a: velocity not kept": ("self.velocity[i] = self.momentum * self.velocity[i] + p.grad", "self.velocity[i] = p.grad", OPTIMIZERS, "SGD with momentum", "not kept"),
    "5b: no root": ("(np.sqrt(v) + 1e-8)", "(v + 1e-8)", OPTIMIZERS, "Adam", "the root of v"),
    "5b: no square": ("0.001 * p.grad**2", "0.001 * p.grad", OPTIMIZERS, "Adam", "not squared"),
}  # fmt: skip
