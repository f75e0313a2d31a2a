"""The hints for the labs, from a nudge (1) and the formula (2) to the line (3):

python examples/labs/hint.py 2a 1
"""

import sys

HINTS = {
    "1a": (
        "If a changes by a little, by how much does a b change?",
        "d(ab)/da = b, so dL/da = g b. The other is symmetric.",
        "return Tensor(a.data * b.data, (a, b), (lambda g: g * b.data, lambda g: g * a.data))",
    ),
    "1b": (
        "This is the power rule.",
        "dy/dx = p xᵖ⁻¹, and the VJP multiplies it by g. The value is x.data**p.",
        "return Tensor(x.data**p, (x,), (lambda g: g * p * x.data ** (p - 1),))",
    ),
    "1c": (
        "tanh is flat where |y| is near 1, and has the slope 1 where y is 0.",
        "dy/dx = 1 - y².",
        "return Tensor(y, (x,), (lambda g: g * (1 - y * y),))",
    ),
    "1d": (
        "What is the slope left of 0, and what is it right of 0?",
        "dy/dx is 1 where x > 0 and 0 elsewhere. x.data > 0 is a mask, and g times the mask is dL/dx.",
        "return Tensor(np.maximum(x.data, 0), (x,), (lambda g: g * (x.data > 0),))",
    ),
    "1e": (
        "Depth first: a tensor is finished when all of its inputs are. Python allows only about 1,000 "
        "nested calls, so use a list as a stack.",
        "Push (tensor, False). When it is popped for the first time, push (tensor, True), then its "
        "inputs; when (tensor, True) is popped, all inputs are finished: append it to the order. A set "
        "prevents that a tensor is visited twice.",
        """\
order, seen, stack = [], set(), [(y, False)]
while stack:
    tensor, inputs_done = stack.pop()
    if inputs_done:
        order.append(tensor)
    elif tensor not in seen:
        seen.add(tensor)
        stack.append((tensor, True))
        stack.extend((x, False) for x in tensor.inputs)
return order""",
    ),
    "1f": (
        "A tensor that is used twice gets a gradient from each use. What happens if the second overwrites the first?",
        "If x is in grads, the new value is grads[x] + dx. Do not use +=: it would change an array that "
        "another tensor may share.",
        "grads[x] = grads[x] + dx if x in grads else dx",
    ),
    "2a": (
        "Wherever the forward pass repeats an element, the backward pass sums. Which axes were repeated?",
        "Broadcasting adds axes in front, g.ndim - len(shape) of them, and stretches axes that have size "
        "1 in shape. Sum over both, and reshape to shape.",
        """\
added = g.ndim - len(shape)
stretched = [added + i for i, n in enumerate(shape) if n == 1]
return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)""",
    ),
    "2b": (
        "Each element of x was added once, so each gets the g of the sum that it is in.",
        "If the axis was removed, put it back with np.expand_dims(g, dim); then np.broadcast_to the shape of x.",
        """\
if dim is not None and not keepdim:
    g = np.expand_dims(g, dim)
return np.broadcast_to(g, x.data.shape)""",
    ),
    "2c": (
        "A mean is a sum, divided by a count. The count depends on dim.",
        "x has x.data.size elements, and the result total.data.size: each mean is over the quotient of the two.",
        "return mul(total, total.data.size / x.data.size)",
    ),
    "2d": (
        "The elements stay, only their arrangement changes.",
        "g has the new shape. dL/dx is g, reshaped to x.data.shape.",
        "return Tensor(x.data.reshape(shape), (x,), (lambda g: g.reshape(x.data.shape),))",
    ),
    "2e": (
        "If the axes (0, 1, 2) become (2, 0, 1), the same order applied again does not bring them back.",
        "The inverse of a permutation dims is np.argsort(dims).",
        "return Tensor(x.data.transpose(dims), (x,), (lambda g: g.transpose(np.argsort(dims)),))",
    ),
    "2f": (
        "x[[0, 0]] uses the first element twice. How many gradients does it get?",
        "dx[index] += g counts a repeated element only once. np.add.at(dx, index, g) adds all.",
        """\
np.add.at(dx, index, g)
return dx""",
    ),
    "3a": (
        "a has the shape (n, k), b (k, m) and g (n, m). Only one product of g and b has the shape (n, k).",
        "dL/da = G Bᵀ. Transpose the last two axes only, for batches: swapaxes(-1, -2).",
        "return g @ b.data.swapaxes(-1, -2)",
    ),
    "3b": (
        "The result needs the shape (k, m), from a (n, k) and g (n, m).",
        "dL/db = Aᵀ G. The transpose again is swapaxes(-1, -2).",
        "return a.data.swapaxes(-1, -2) @ g",
    ),
    "3c": (
        "weight is (outputs, inputs), and x (N, inputs).",
        "x times the transpose of weight, plus bias. transpose, matmul and add have their VJPs already.",
        "return add(matmul(x, transpose(weight, 0, 1)), bias)",
    ),
    "4a": (
        "If one probability rises, the others fall, so the Jacobian is not diagonal.",
        "dyᵢ/dxⱼ = yᵢ (δᵢⱼ - yⱼ), so dL/dxⱼ = yⱼ (gⱼ - Σᵢ gᵢ yᵢ). The sum is along dim, with keepdims.",
        "return y * (g - (g * y).sum(axis=dim, keepdims=True))",
    ),
    "4b": (
        "y = x - log Σ eˣ. The derivative of the second term is the softmax.",
        "dL/dx = g - softmax Σ g, with the sum along dim and keepdims. The softmax is exp(y).",
        "return Tensor(y, (x,), (lambda g: g - np.exp(y) * g.sum(axis=dim, keepdims=True),))",
    ),
    "4c": (
        "Of each row of log_softmax(scores, 1), only the element of the true label counts.",
        "Index with the two arrays np.arange(n) and labels; then mean, and neg.",
        "return neg(mean(log_softmax(scores, 1)[np.arange(n), labels]))",
    ),
    "4d": (
        "You have all ops for it.",
        "(a - b), squared with **, and its mean. mean divides by the number of elements.",
        "return mean((a - b) ** 2)",
    ),
    "5a": (
        "The velocity is a running sum of gradients, in which old ones fade.",
        "velocity = momentum * velocity + gradient, and the parameter changes by -lr * velocity. Assign "
        "p.data a new array.",
        """\
self.velocity[i] = self.momentum * self.velocity[i] + p.grad
p.data = p.data - self.lr * self.velocity[i]""",
    ),
    "5b": (
        "v is the running mean of the squared gradient, as m is of the gradient. Both start at 0, so "
        "they are too small at first.",
        "v uses 0.999 and 0.001. Divide m by 1 - 0.9ᵗ and v by 1 - 0.999ᵗ; the step is lr m / (√v + 1e-8).",
        """\
self.v[i] = 0.999 * self.v[i] + 0.001 * p.grad**2
m, v = self.m[i] / (1 - 0.9**self.t), self.v[i] / (1 - 0.999**self.t)
p.data = p.data - self.lr * m / (np.sqrt(v) + 1e-8)""",
    ),
    "5c": (
        "__exit__ is also called after an exception. What did __enter__ save?",
        "Set Tensor.recording to what it was before: not to True, as no_grad can be nested.",
        "Tensor.recording = self.before",
    ),
    "5d": (
        "The five steps of lesson 3: predict, loss, gradients, adjust, reset.",
        "cross_entropy of model(images) and labels; zero_grad before backward; backward; step.",
        """\
loss = cross_entropy(model(images), labels)
optimizer.zero_grad()
loss.backward()
optimizer.step()""",
    ),
    "6a": (
        "A model of layers is a tree: its leaves are Tensors.",
        "isinstance(each, Tensor): append it. isinstance(each, Module): extend by each.parameters().",
        """\
if isinstance(each, Tensor):
    found.append(each)
elif isinstance(each, Module):
    found.extend(each.parameters())""",
    ),
    "6b": (
        "linear takes a weight of shape (outputs, inputs), and a bias for each output.",
        "rng.uniform(-bound, bound, shape), made a Tensor, twice.",
        """\
self.weight = Tensor(rng.uniform(-bound, bound, (outputs, inputs)))
self.bias = Tensor(rng.uniform(-bound, bound, outputs))""",
    ),
    "6c": (
        "The output of a layer is the input of the next.",
        "A loop: x = layer(x).",
        """\
for layer in self.layers:
    x = layer(x)
return x""",
    ),
}


def main() -> None:
    """Print a hint."""
    if len(sys.argv) != 3 or sys.argv[1] not in HINTS or sys.argv[2] not in ("1", "2", "3"):
        sys.exit(f"hint.py: expected a hole and 1, 2 or 3; the holes are {', '.join(HINTS)}")
    print(HINTS[sys.argv[1]][int(sys.argv[2]) - 1])


if __name__ == "__main__":
    main()
