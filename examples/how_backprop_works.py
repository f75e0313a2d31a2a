"""Lesson 0: how backprop works, on one graph of small whole numbers.

What `loss.backward()` does takes about ten lines. They are written out here and run on the graph that minigrad records.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support.cli import Parser, run_lesson

import minigrad as mg
from minigrad import viz


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw the graph to this file, an .svg")
    options = parser.parse_args()

    # **The graph.** There are three samples x with targets t, and two parameters, w and b. Each op returns a Tensor
    # with a `grad_fn`: a node that stores the op and its inputs. The nodes are the graph.
    x, t = mg.tensor([1.0, 2.0, 3.0]), mg.tensor([2.0, 6.0, 6.0])
    w, b = mg.tensor(2.0, requires_grad=True), mg.tensor(1.0, requires_grad=True)
    u = w * x
    y = u + b
    e = y - t
    m = y * e  # the second use of y
    L = m.sum()
    tensors = {"x": x, "t": t, "w": w, "b": b, "u": u, "y": y, "e": e, "m": m, "L": L}
    name = {tensor: name for name, tensor in tensors.items()}
    for output in (u, y, e, m, L):
        node: Any = output.grad_fn
        inputs = ", ".join(name[input] for input in node.inputs)
        print(f"{name[output]} = {node.op.name}({inputs}) = {output.tolist()}")
    if options.out:
        viz.graph(L, names=tensors, values=True, gradients=True).save(options.out)

    # **The chain rule.** w changes e through u and y, so de/dw = de/dy · dy/du · du/dw: the derivatives along the path
    # are multiplied. For the third sample, where x = 3, they are 1, 1 and 3.
    de_dy, dy_du, du_dw = 1, 1, 3  # of e = y - t, y = u + b, u = w x
    print("de/dw =", de_dy * dy_du * du_dw, "  minigrad:", *mg.grad(e[2], w, retain_graph=True))

    # **The VJP.** m, y and e have three elements each, so dm/dy is a 3 × 3 matrix, the Jacobian J. In a real network it
    # would not fit into memory, and it is not needed: for g = dL/dm, the chain rule takes only the product gᵀJ. The
    # function g -> gᵀJ is the vector-Jacobian product (VJP) of the op. A node has one VJP for each input.
    g = np.array([1, 10, 100], dtype="float32")
    node = m.grad_fn  # m = y e, so dm/dy = e and dm/de = y, element by element
    vjp_for_y, vjp_for_e = node.vjps
    print("g e =", vjp_for_y(g), "  g y =", vjp_for_e(g))

    # **Broadcasting.** y = u + b adds the one number b to three elements of u. So b is used three times, and changes L
    # three times: dL/db is the sum of the three gradients. Wherever the forward pass repeats, the backward pass sums.
    def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
        added = g.ndim - len(shape)  # the axes that broadcasting added in front
        stretched = [added + i for i, n in enumerate(shape) if n == 1]
        return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)

    print("b:", unbroadcast(g, b.shape), "  a bias of shape (2,):", unbroadcast(np.ones((5, 2)), (2,)))

    # **Topological order.** A VJP needs all of dL/d(output). y is used by e and by m, so both have to be processed
    # before y. In a topological order every Tensor is after its inputs; the backward pass uses the reverse. minigrad
    # needs no search for it: an op is created after its inputs, so "newest first" is such an order.
    order: dict[Any, None] = {}

    def visit(output: Any) -> None:
        if output.grad_fn and output not in order:
            for input in output.grad_fn.inputs:
                visit(input)
            order[output] = None

    visit(L)
    print("forward:", *map(name.get, order), "  backward:", *map(name.get, reversed(order)))

    # **Accumulation.** y changes L along two paths, through e and through m. By the chain rule for several variables
    # dL/dy is the sum over the paths. So the backward pass starts from dL/dL = 1, applies the VJPs in reverse order,
    # and adds up the contributions for each Tensor. This loop is all of backprop.
    grads: dict[Any, Any] = {L: np.float32(1)}
    for output in reversed(order):
        for input, vjp in zip(output.grad_fn.inputs, output.grad_fn.vjps):
            if input.requires_grad:
                dx = unbroadcast(vjp(grads[output]), input.shape)
                grads[input] = grads.get(input, 0) + dx
                print(f"{output.grad_fn.op.name}: dL/d{name[input]} += {dx}, is now {grads[input]}")

    # **The same in minigrad.** `L.backward()` runs such a loop and adds the results of the leaves to their `.grad`. A
    # check that needs no calculus: change w a little in both directions, and see how much L changes.
    L.backward()
    print("w.grad =", w.grad, "  b.grad =", b.grad)

    def loss(w: float) -> float:
        y = w * x + b.item()
        return (y * (y - t)).sum().item()

    h = 0.5
    print("dL/dw by finite differences:", (loss(w.item() + h) - loss(w.item() - h)) / (2 * h))


if __name__ == "__main__":
    run_lesson(main)
