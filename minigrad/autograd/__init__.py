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
    grad_mode         no_grad, enable_grad
    anomaly_mode      detect_anomaly
    commit            changes that happen together, even if Ctrl-C strikes
    errors            ShapeError
"""
