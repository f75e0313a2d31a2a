"""How backprop works. Read graph.py, then op.py, then the class Tensor.

A program computes a loss L from parameters, op by op. Each op adds a node to a **graph**: the op, its inputs, and for
each input a **VJP** (vector-Jacobian product), the function that maps g = dL/dy, the gradient of the loss with respect
to the op's output, to dL/dx. A VJP is the **chain rule** for one op. The backward pass applies the VJPs from the loss
back to the parameters, and adds the contributions of a value that was used more than once.

    graph             Node and backward_pass: the chain rule over the graph, the newest op first
    op                @op: an op on arrays becomes a function of Tensors; broadcasting is undone
    tensor            Tensor, backward(), grad(), in-place updates
    methods           the operators and methods of Tensor, each the op of its name
    indexing          torch's meaning of x[index]
    op_description    the signature of an op, and the formulas in its docstring
    arguments         binding, unwrapping and type promotion of arguments; error messages
    version_counter   was an array modified after an op had used it?
    hooks             register_hook
    grad_mode         no_grad, enable_grad
    anomaly_mode      detect_anomaly
    function          Function: a backward of your own
    functional        jacobian, hessian
    commit            changes that happen together, even if Ctrl-C strikes
    errors            ShapeError
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..left_out import left_out

# torch's names in torch.autograd, by the file that defines them here. They are imported at their first use.
NAMES = {
    "grad": "tensor",
    "no_grad": "grad_mode",
    "enable_grad": "grad_mode",
    "set_grad_enabled": "grad_mode",
    "detect_anomaly": "anomaly_mode",
    "Function": "function",
    "Variable": "function",
}

if TYPE_CHECKING:
    from .anomaly_mode import detect_anomaly
    from .function import Function, Variable
    from .grad_mode import enable_grad, no_grad, set_grad_enabled
    from .tensor import grad
else:

    def __getattr__(name: str) -> Any:
        if name == "functional":
            return importlib.import_module(f"{__name__}.functional")
        if name == "gradcheck":
            return importlib.import_module("minigrad").gradcheck
        if name in NAMES:
            return getattr(importlib.import_module(f"{__name__}.{NAMES[name]}"), name)
        raise left_out("torch.autograd", name)
