"""The requirements, by level, in the order in which one builds an engine: what is checked, and why it matters."""

from __future__ import annotations

from typing import NamedTuple

from . import arrays, behaviour, extremes, network, scalars, training
from .search import Check

LEVELS = ("scalars", "arrays", "network", "training", "numbers", "engine")


class Requirement(NamedTuple):
    """One requirement.

    level   one of LEVELS
    name    unique
    why     why it matters, in one sentence
    lesson  where examples/README.md explains it: the number of the section, and the idea in it
    check   raises Mismatch where it is not met, NotImplementedError where the engine lacks something
    parts   what it is checked for, each by itself
    points  for grading: the share of the parts that are met counts
    """

    level: str
    name: str
    why: str
    lesson: tuple[str, str]
    check: Check
    parts: tuple[str, ...] = ("",)
    points: int = 1

    @property
    def id(self) -> str:
        """The level and the name."""
        return f"{self.level}/{self.name}"

    @property
    def link(self) -> str:
        """The place in the course."""
        section, idea = self.lesson
        return f"examples/README.md#{section}" + (f', "{idea}"' if idea else "")


HOW = "0-how-backprop-works"
CHAIN, VJP, BROADCASTING = (HOW, "The chain rule"), (HOW, "The VJP"), (HOW, "Broadcasting")
GRAPH, ORDER, SUM = (HOW, "The graph"), (HOW, "Topological order"), (HOW, "Accumulation")
LAYER, STEPS, HIDDEN = ("2-one-layer", ""), ("3-the-five-steps", ""), ("4-a-hidden-layer", "")
PLAY, OWN_OP, REPLAY = ("6-play", ""), ("7-an-op-of-your-own", ""), ("8-replay", "")

POINTWISE = ("neg", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "softplus")
PAIRS = ("add", "sub", "mul", "div", "maximum", "minimum")
REDUCTIONS = ("sum", "mean", "amax", "amin", "prod", "logsumexp")
SHAPES = ("reshape", "transpose", "permute", "expand_dims")
EXPRESSIONS = ("x + c", "c + x", "x - c", "c - x", "x * c", "c * x", "x / c", "c / x")
USES = ("x + x", "x·x", "x·x + x", "a·(a·a), a = x + x", "t·x·x + t, t = x·x", "a·b + b·a, a = x·x, b = a + x")
EMPTY = (*PAIRS[:3], "exp", "relu", "sum", "reshape", "matmul", "softmax", "cat", "where")
LABELS = ("label of C", "label of -1", "shape (N, 1)", "one label for N rows")

# fmt: off
REQUIREMENTS = [
    # Scalars
    Requirement("scalars", "ops of numbers",
        "A wrong derivative of one op makes every gradient through it wrong.",
        CHAIN, scalars.scalar_op, ("add", "sub", "mul", "div", "neg", "pow", "relu"), 3),
    Requirement("scalars", "functions of numbers",
        "A derivative is a function of the input or of the output, and the two are easily exchanged.",
        CHAIN, scalars.scalar_op, ("exp", "log", "sqrt", "tanh", "sigmoid", "abs", "maximum", "minimum")),
    Requirement("scalars", "Python numbers",
        "Formulas mix tensors and numbers, on either side of an operator.",
        CHAIN, scalars.number_operands, EXPRESSIONS),
    Requirement("scalars", "a value used twice",
        "dL/dx is the sum over all paths from x to L.",
        SUM, scalars.used_twice, USES, 3),
    Requirement("scalars", "any graph",
        "A node may send its gradient on only when all its uses are processed.",
        ORDER, scalars.random_expression, ("",), 2),
    Requirement("scalars", "deep graphs",
        "A recurrent network, or a long loop, makes a graph of thousands of ops in a row.",
        ORDER, scalars.deep_chain, ("500 ops", "20,000 ops")),
    Requirement("scalars", "a second backward",
        "A second pass over a graph must not count old gradients of inner nodes again.",
        SUM, scalars.second_backward),
    Requirement("scalars", "two losses on one graph",
        "Gradients of inner nodes belong to one pass, those of leaves add up.",
        SUM, scalars.shared_graph),
    # Arrays
    Requirement("arrays", "broadcasting",
        "Where the forward pass repeats an element, the backward pass sums.",
        BROADCASTING, arrays.op_on_arrays, (*PAIRS, "where", "broadcast_to"), 3),
    Requirement("arrays", "elementwise ops",
        "An elementwise VJP multiplies g by the derivative, element by element.",
        VJP, arrays.op_on_arrays, (*POINTWISE, "pow", "clip"), 2),
    Requirement("arrays", "reductions",
        "The VJP of a sum spreads g over the axes that were summed, kept or not, negative or two.",
        BROADCASTING, arrays.op_on_arrays, REDUCTIONS, 3),
    Requirement("arrays", "shapes",
        "The VJP of a new order of axes is the inverse order, which is another one for three axes.",
        VJP, arrays.op_on_arrays, SHAPES, 2),
    Requirement("arrays", "indexing",
        "An element selected twice gets both gradients, as a row of an embedding does.",
        SUM, arrays.op_on_arrays, ("getitem",)),
    Requirement("arrays", "joining",
        "The VJP of a concatenation cuts g where the inputs met.",
        VJP, arrays.op_on_arrays, ("cat", "stack")),
    Requirement("arrays", "empty arrays",
        "A filter can leave nothing, and a program should not end there.",
        BROADCASTING, arrays.op_on_empty_arrays, EMPTY),
    Requirement("arrays", "shapes that do not fit",
        "An error at the line of the mistake saves a search.",
        BROADCASTING, arrays.wrong_shapes, ("add", "mul", "matmul", "reshape")),
    # Network
    Requirement("network", "matmul",
        "dL/dX = G Wᵀ and dL/dW = Xᵀ G, in every layer.",
        LAYER, network.products_of_all_ranks, ("matrices", "vectors", "batches"), 3),
    Requirement("network", "linear",
        "The bias is added to every row of the batch, so its gradient is a sum over the batch.",
        STEPS, arrays.op_on_arrays, ("linear",)),
    Requirement("network", "softmax",
        "Each output depends on all inputs along the axis, so its Jacobian is not diagonal.",
        LAYER, arrays.op_on_arrays, ("softmax", "log_softmax"), 2),
    Requirement("network", "losses",
        "The gradient of every weight starts here: the mean divides by N.",
        LAYER, arrays.op_on_arrays, ("cross_entropy", "mse_loss", "binary_cross_entropy_with_logits"), 2),
    Requirement("network", "weights used twice",
        "Tied weights, recurrent networks and deep models use a matrix several times.",
        SUM, network.composed, ("a @ a", "x @ w @ w", "two layers and cross-entropy"), 2),
    Requirement("network", "the label contract",
        "A wrong label that is accepted trains on noise, without a message.",
        LAYER, network.wrong_labels, LABELS),
    Requirement("network", "dtypes of labels",
        "The labels of image files are uint8.",
        LAYER, network.label_dtypes, ("int64", "int32", "uint8")),
    Requirement("network", "losses keep their inputs",
        "Targets that a loss clips in place are wrong in the next epoch.",
        LAYER, network.loss_keeps_inputs, ("cross_entropy", "mse_loss", "binary_cross_entropy_with_logits")),
    # Training
    Requirement("training", "optimizers",
        "A wrong update still trains, only worse; a gradient of 0 must not give nan.",
        PLAY, training.optimizer, ("SGD", "SGD with momentum", "Adam"), 2),
    Requirement("training", "accumulation",
        "Small batches add up to a large one, and a reset starts the next.",
        STEPS, training.accumulation, ("two losses", "reset"), 2),
    Requirement("training", "changes of a gradient in place",
        "Weight decay and clipping write to .grad.",
        STEPS, training.step_after_sum),
    Requirement("training", "no_grad",
        "Evaluation and the update of the weights are not part of the function.",
        GRAPH, training.no_grad, ("records no graph", "ends with an exception")),
    # Numbers
    Requirement("numbers", "extremes",
        "Overflow inside a formula gives nan though the result is an ordinary number.",
        LAYER, extremes.at_points(extremes.EXTREMES), tuple(extremes.EXTREMES), 3),
    Requirement("numbers", "kinks",
        "At a kink a subgradient is right, and anything else is not.",
        HIDDEN, extremes.at_points(extremes.KINKS), tuple(extremes.KINKS)),
    Requirement("numbers", "ties",
        "Equal elements have to share g: if each gets all of it, a step is too long.",
        HIDDEN, extremes.ties, tuple(extremes.TIES)),
    Requirement("numbers", "nan",
        "An op that turns nan into a number hides a diverging loss.",
        HIDDEN, extremes.at_points(extremes.NANS), tuple(extremes.NANS)),
    Requirement("numbers", "magnitudes",
        "Small and large numbers are as exact as those near 1.",
        VJP, extremes.magnitudes, ("sqrt", "tanh", "log", "abs")),
    Requirement("numbers", "float32 stays float32",
        "One float64 number makes the rest of the network slow.",
        REPLAY, extremes.dtype_stays("float32"), tuple(extremes.SINGLE)),
    Requirement("numbers", "float64 stays float64",
        "A check by finite differences needs the digits of float64.",
        OWN_OP, extremes.dtype_stays("float64"), ("mul", "mean", "exp")),
    # Engine
    Requirement("engine", "gradients share no memory",
        "A gradient that is changed in place must not change another.",
        SUM, behaviour.share_no_memory, ("add", "mul")),
    Requirement("engine", "gradients can be written to",
        "Clipping and weight decay write to .grad.",
        STEPS, behaviour.own_writable_memory, ("sum", "mean", "transpose", "expand_dims")),
    Requirement("engine", "inputs stay as they are",
        "A VJP that writes to an array changes what other VJPs read.",
        VJP, behaviour.inputs_unchanged, ("add", "mul", "relu", "softmax", "clip", "sum")),
    Requirement("engine", "the caller's array",
        "A buffer that is filled again for the next batch is common.",
        GRAPH, behaviour.isolated_from_caller),
    Requirement("engine", "changes in place",
        "A VJP that reads a value changed after the forward pass is silently wrong.",
        VJP, behaviour.change_in_place),
    Requirement("engine", "memory",
        "A cycle keeps the graphs of many steps until the collector runs: memory grows.",
        GRAPH, behaviour.freed_at_once),
    Requirement("engine", "exceptions",
        "In a notebook a cell fails, and the next one has to work.",
        GRAPH, behaviour.usable_after_exception),
    Requirement("engine", "threads",
        "A server evaluates several requests at once.",
        GRAPH, behaviour.threads),
    Requirement("engine", "the same bits",
        "A result that changes from run to run cannot be debugged.",
        ORDER, behaviour.same_bits),
    Requirement("engine", "linear in g",
        "A VJP is linear in g = dL/dy: twice the g, twice the gradient.",
        VJP, behaviour.linear_in_g, ("relu", "exp", "tanh", "sigmoid", "softmax")),
    Requirement("engine", "second derivatives",
        "Gradient penalties and Newton's method differentiate a gradient.",
        OWN_OP, behaviour.second_derivative, ("x·x·x", "exp", "tanh", "1 / x", "log"), 2),
]
# fmt: on
