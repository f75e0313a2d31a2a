"""Check your answers to the exercises of the course.

    python examples/exercises.py                   list the exercises
    python examples/exercises.py 0.1 ANSWER        check an answer

An answer is a Python expression: a number, a list, or a formula in the letters of the exercise, with `mg` and `math`.
It is compared with the result of minigrad. Put a formula in quotes: "g * x".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mnist_mlp
from backprop_by_hand import Net, T, X
from support.cli import LessonError, Parser, run_lesson

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.nn import functional as F

Answer = Callable[..., Any]  # the value of the expression, given the letters
EXERCISES: dict[str, Callable[[Answer], bool]] = {}  # number -> whether an answer is right


def exercise(number: str) -> Callable[[Callable[[Answer], bool]], Callable[[Answer], bool]]:
    """Register a check. Its docstring is the exercise."""

    def register(check: Callable[[Answer], bool]) -> Callable[[Answer], bool]:
        EXERCISES[number] = check
        return check

    return register


def close(given: Any, expected: Any) -> bool:
    """Whether two numbers, lists or Tensors have the same shape and agree within 0.1 %."""
    a, b = (mg.tensor(x.tolist() if isinstance(x, mg.Tensor) else x, dtype=mg.float64) for x in (given, expected))
    return a.shape == b.shape and bool(((a - b).abs() <= 1e-3 * b.abs() + 1e-9).min())


def leaf(*shape: int) -> Any:
    """A random Tensor that requires a gradient."""
    return mg.randn(*shape, requires_grad=True)


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# 0. How backprop works
@exercise("0.1")
def _(answer: Answer) -> bool:
    """In the worked graph, let x be [2, 4, 6] instead of [1, 2, 3]. What is dL/dw?"""
    w, x, t = mg.tensor(2.0, requires_grad=True), mg.tensor([2.0, 4.0, 6.0]), mg.tensor([2.0, 6.0, 6.0])
    y = w * x + 1
    (y * (y - t)).sum().backward()
    return close(answer(), w.grad)


@exercise("0.2")
def _(answer: Answer) -> bool:
    """y = w w w uses w three times. For w = 2, which three contributions add up to w.grad? Answer with a list."""
    uses: list[Any] = [mg.tensor(2.0, requires_grad=True) for _ in range(3)]
    (uses[0] * uses[1] * uses[2]).backward()
    return close(answer(), [w.grad.item() for w in uses])


@exercise("0.3")
def _(answer: Answer) -> bool:
    """y = x + b has x of shape (5, 3) and b of shape (3,). Write dL/db as a formula of g = dL/dy, of shape (5, 3)."""
    b, g = leaf(3), mg.randn(5, 3)
    (mg.randn(5, 3) + b).backward(g)
    return close(answer(g=g), b.grad)


# 1. A plane
@exercise("1.1")
def _(answer: Answer) -> bool:
    """The loss is the mean of error², where error = x w + b - y. Write dL/db as a formula of the vector `error`."""
    x, w, b, y = mg.randn(7, 2), leaf(2), leaf(), mg.randn(7)
    error = x @ w + b - y
    (error**2).mean().backward()
    return close(answer(error=error.detach()), b.grad)


@exercise("1.2")
def _(answer: Answer) -> bool:
    """From which --lr on does the loss of `linear_regression.py --steps 200` grow? Find it within 10 %."""

    def final_loss(lr: float) -> float:
        mg.manual_seed(0)
        x = mg.randn(200, 2)
        y = x @ mg.tensor([2.0, -3.0]) + 1 + 0.1 * mg.randn(200)
        w, b = mg.tensor([5.0, -5.0], requires_grad=True), mg.tensor(0.0, requires_grad=True)
        optimizer = optim.SGD([w, b], lr=lr)
        for _ in range(200):
            F.mse_loss(x @ w + b, y).backward()
            optimizer.step()
            optimizer.zero_grad()
        return F.mse_loss(x @ w + b, y).item()

    return final_loss(0.9 * answer()) < 1 and not final_loss(1.1 * answer()) < 100


# 2. One layer
@exercise("2.1")
def _(answer: Answer) -> bool:
    """How many parameters has the model on the bundled digits, 8 × 8 pixels and ten classes?"""
    image, _ = data.Digits()[0]
    return close(answer(), count_parameters(nn.Linear(image.numel(), 10)))


@exercise("2.2")
def _(answer: Answer) -> bool:
    """p = softmax(scores) are three probabilities, and the label is 2. Write the gradient of cross-entropy with respect
    to the scores as a formula of p."""
    scores = leaf(1, 3)
    F.cross_entropy(scores, mg.tensor([2])).backward()
    return close(answer(p=scores.detach().softmax(1)[0]), scores.grad[0])


@exercise("2.3")
def _(answer: Answer) -> bool:
    """What is the loss on the digits if all weights and biases are 0?"""
    digits = data.Digits()
    ((images, labels),) = data.DataLoader(digits, len(digits))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with mg.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return close(answer(), F.cross_entropy(model(images), labels).item())


# 3. The five steps
@exercise("3.1")
def _(answer: Answer) -> bool:
    """Leave out the reset, and call backward for the same batch and weights again. By which factor is each gradient too
    large?"""
    x, w = mg.randn(7, 2), leaf(2)
    (x @ w).mean().backward()
    once = w.grad.clone()
    (x @ w).mean().backward()
    return close(w.grad, answer() * once)


@exercise("3.2")
def _(answer: Answer) -> bool:
    """In the network on paper, let the learning rate be 1/2 instead of 1/4. What is b₂ after the step? A list."""
    model = Net()
    F.mse_loss(model(mg.tensor(X, dtype=mg.float64))["y"], mg.tensor(T, dtype=mg.float64)).backward()
    optim.SGD(model.parameters(), lr=0.5).step()
    return close(answer(), model.out.bias)


# 4. A hidden layer
@exercise("4.1")
def _(answer: Answer) -> bool:
    """How many parameters has the default, --hidden 128 64, on the bundled digits?"""
    return close(answer(), count_parameters(mnist_mlp.build_model([64, 128, 64, 10], "float32")))


@exercise("4.2")
def _(answer: Answer) -> bool:
    """Two Linear layers without biases, of weights w1 (8, 5) and w2 (3, 8), have no ReLU between them. Write the weight
    of the one Linear layer that computes the same."""
    x, first, second = mg.randn(4, 5), nn.Linear(5, 8, bias=False), nn.Linear(8, 3, bias=False)
    weight = answer(w1=first.weight.detach(), w2=second.weight.detach())
    return close((F.linear(x, weight) - second(first(x))).abs().max().item() < 1e-5, True)


@exercise("4.3")
def _(answer: Answer) -> bool:
    """Write the VJP of y = relu(x): dL/dx as a formula of g and x."""
    x, g = leaf(4, 5), mg.randn(4, 5)
    x.relu().backward(g)
    return close(answer(g=g, x=x.detach()), x.grad)


# 5. The GPU
@exercise("5.1")
def _(answer: Answer) -> bool:
    """How many steps has an epoch of MNIST, 60,000 images, with --batch-size 4096?"""
    return close(answer(), len(data.DataLoader(data.TensorDataset(mg.zeros(60_000)), 4096)))


@exercise("5.2")
def _(answer: Answer) -> bool:
    """How many bytes do the parameters of --hidden 1024 1024 take on MNIST, 28 × 28 pixels, in float32?"""
    model = mnist_mlp.build_model([784, 1024, 1024, 10], "float32")
    return close(answer(), sum(parameter.detach().numpy().nbytes for parameter in model.parameters()))


# 6. Play
@exercise("6.1")
def _(answer: Answer) -> bool:
    """The gradient is always 1. How long is a step of `SGD(lr=0.1, momentum=0.9)` after many steps?"""
    w = mg.zeros(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    before = 0.0
    for _ in range(200):
        before = w.item()
        w.grad = mg.ones(1)
        optimizer.step()
    return close(answer(), before - w.item())


@exercise("6.2")
def _(answer: Answer) -> bool:
    """Two weights have the gradients 1000 and 0.001. How long are their first steps with `Adam(lr=0.01)`? A list."""
    w = mg.zeros(2, requires_grad=True)
    w.grad = mg.tensor([1000.0, 0.001])
    optim.Adam([w], lr=0.01).step()
    return close(answer(), -w.detach())


# 7. An op of your own
@exercise("7.1")
def _(answer: Answer) -> bool:
    """Write the VJP of softplus, y = log(1 + eˣ): dL/dx as a formula of g and x. `exp` is there, too."""

    @mg.op("()->()")
    def softplus_exercise(xp: Any, x: Any) -> Any:
        return xp.log(1 + xp.exp(x)), (lambda g: answer(g=g, x=x, exp=xp.exp),)

    x = mg.randn(4, 5, dtype=mg.float64, requires_grad=True)
    return bool(mg.gradcheck(softplus_exercise, x, raise_exception=False))


@exercise("7.2")
def _(answer: Answer) -> bool:
    """Write the three VJPs of y = a b + c, as a tuple of formulas of g, a, b and c."""

    @mg.op("(),(),()->()")
    def muladd_exercise(xp: Any, a: Any, b: Any, c: Any) -> Any:
        vjp = lambda i: lambda g: answer(g=g, a=a, b=b, c=c)[i]
        return a * b + c, (vjp(0), vjp(1), vjp(2))

    inputs = [mg.randn(4, dtype=mg.float64, requires_grad=True) for _ in range(3)]
    return bool(mg.gradcheck(muladd_exercise, inputs, raise_exception=False))


# 8. Replay
@exercise("8.1")
def _(answer: Answer) -> bool:
    """Each shape of the inputs is compiled once. How often is a step compiled for the digits with --batch-size 32?"""
    return close(answer(), len({images.shape for images, _ in data.DataLoader(data.Digits(train=True), 32)}))


@exercise("8.2")
def _(answer: Answer) -> bool:
    """How many arrays does the compiled function return for `--hidden 3`?"""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    step = mg.replay(model, lambda x, target: F.mse_loss(model(x), target))
    step(mg.rand(8, 4), mg.rand(8, 1))
    return close(answer(), step.source.splitlines()[-1].count("v"))


def question(number: str) -> str:
    """The exercise as one line."""
    return " ".join((EXERCISES[number].__doc__ or "").split())


def check(number: str, text: str) -> bool:
    """Whether the expression `text` is the right answer. Raises LessonError if it cannot be evaluated."""
    try:
        code = compile(text, "the answer", "eval")
        mg.manual_seed(0)
        names = {"mg": mg, "math": math}
        return EXERCISES[number](lambda **letters: eval(code, {**names, **letters}))  # nosec B307 # the reader typed it
    except Exception as error:
        raise LessonError(f"{number}: the answer {text!r} does not work, {type(error).__name__}: {error}") from None


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "number", nargs="?", choices=list(EXERCISES), metavar="NUMBER", help="the exercise, such as 0.1"
    )
    parser.add_argument("answer", nargs="?", metavar="ANSWER", help="a Python expression")
    options = parser.parse_args()
    if options.answer is None:
        for number in [options.number] if options.number else EXERCISES:
            print(f"{number}  {question(number)}")
    elif check(options.number, options.answer):
        print(f"{options.number}: right")
    else:
        raise LessonError(f"{options.number}: {options.answer} is not right yet. {question(options.number)}", 1)


if __name__ == "__main__":
    run_lesson(main)
