"""Random programs, replayed beside eager execution: the same bits or an error, never other bits.

A program is Python source: a function with closures, branches, loops, masks, 0-d values, views and in-place updates. It
runs in two worlds that start equal, one of them replayed. Between calls both worlds change in the same way: inputs,
numbers, settings, parts and parameters of the model. After each call all that a caller can see is compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

WORLD = """
import random
import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

factor = 1.5
table = {{"a": 0.5, "b": [2.0, 3.0]}}
numbers = [1, 0.25]

class Settings:
    shared = 2.0
    def __init__(self):
        self.scale, self.flag, self.times, self.calls = 1.25, True, 2, 0
    @property
    def double(self):
        return 2 * self.scale
    def apply(self, t):
        return t * self.shared + self.scale

class Net(nn.Module):
    def __init__(self):
        self.first, self.act, self.last = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)
        self.gain, self.history = 1.0, [0.5]
    def forward(self, t):
        t = self.last(self.act(self.first(t))) * self.gain
        return t if self.training else t * self.history[0]

mg.manual_seed(0)
model, settings = Net(), Settings()

def helper(t):
    return t * factor

def make(bias):
    count, kept = 0, []
    def loss(x, y, mask, labels, weight=0.75):
        nonlocal count
        m0, m1, s0, n0, k0 = x, y, x.sum(), 1.0, mask
{body}
        return s0 + (m0 * 0.5 + m1).sum() + model(x).sum()
    def change(value):
        nonlocal bias
        bias = value
    return loss, change

loss, change = make(0.5)
"""

MATRICES = [
    "model({m})",
    "helper({m})",
    "settings.apply({m})",
    "{m} * {n}",
    "{n} - {m}",
    "{m} + {m2}",
    "{m} * {m2}",
    "{m} * {s}",
    "{m}.tanh()",
    "{m}.relu() + {m}.abs()",
    "{m}.clip(-1.0, {n})",
    "mg.where({m} > {s}, {m}, {m2})",
    "mg.where({k}.reshape(-1, 1), {m}, {n})",
    "({m} > {n}) * {m2}",
    "{m} - {m}.mean(0)",
    "{m} + {m}.sum(1, keepdim=True)",
    "{m}.T.reshape(-1, 2)",
    "mg.cat([{m}[1:], {m}[:1]])",
    "mg.stack([{m}[:, 0], {m2}[:, 1]], 1)",
    "{m}.amax(1, keepdim=True) * {m2}",
    "{m}.softmax(1)",
    "{m}.detach() * {m2}",
    "{m} @ model.first.weight",
    "{m} * model.last.bias",
]
SCALARS = [
    "{m}.sum()",
    "{m}.mean()",
    "{m}.amax()",
    "{s} * {n}",
    "{s} + {s}.clip(0.0, 10.0)",
    "({s} > {n}) * {s}",
    "(({s} > 0.0) * ({s} < 10.0)) * {s}",
    "{s} * ({s} == {s})",
    "mg.where({s} > {n}, {s}, {s} * 0.5)",
    "{m}[{k}].sum()",
    "{m}[{k}].mean()",
    "{m}[{m}[:, 0] > {n}].sum()",
    "{m}[0, 1] * {s}",
    "F.cross_entropy({m}, labels)",
    "F.mse_loss({m}, {m2}.detach())",
    "sum((p * p).sum() for p in model.parameters())",
    "{m}.sum() * len({m}[{k}])",
    "{m}.sum() * {m}.shape[0]",
    "mg.grad(model({m}).sum(), model.last.weight, create_graph=True)[0].sum()",
]
NUMBERS = ["1.5", "-0.5", "bias", "factor", "weight", "settings.scale", "settings.shared", "settings.double", "n0"]
NUMBERS += ["table['a']", "table['b'][0]", "numbers[0]", "len(numbers)", "model.gain", "getattr(settings, 'scale')"]
CONDITIONS = ["settings.flag", "model.training", "bias > 0.4", "x is y", "m0.shape[0] > 2", "len(table['b']) > 2"]
CONDITIONS += ["model.first.weight.requires_grad", "x.requires_grad", "settings.scale == 1.25", "isinstance(n0, int)"]
EFFECTS = [
    "settings.calls += 1",
    "count += 1",
    "kept.append(m0)",
    "numbers.append(0.5)",
    "n0 = settings.calls + count",
    "c = {m}.detach().clone(); c.mul_({n}); m1 = c",
    "c = {m}.detach().clone(); c[{k}] = {n}; m1 = c",
    "c = {m}.detach().clone(); c[0] = 1.0; c[:, 1] += {n}; m1 = c",
    "c = {m}.detach().clone(); v = c.reshape(-1); v.add_(1.0); m1 = c * {m}",
    "c = {m}.detach().clone(); c.T[0] = 2.0; m1 = c",
    "c = {s}.detach(); v = c.reshape(1); c.add_({n}); s0 = s0 * c + v.sum()",
    "c = {s}.detach(); d = c * 1.0; c.mul_(2.0); s0 = s0 + c * d",
    "y.mul_(0.5)",
    "y[{k}] = 0.5",
    "y.reshape(-1)[0:1].add_(1.0)",
    "k0 = {m}[:, 0] > {n}",
    "k0 = {k} == mask",
    "with mg.no_grad(): m1 = model({m})",
    "with mg.no_grad(): model.last.bias.mul_(0.5)",
    "model.gain = 1.0",
    "model.last_output = {m}",
    "m1 = [{m} * i for i in range(settings.times)][-1] + {m}",
    "n0 = {s}.item()",
    "n0 = 2.0 if {s} > 0.0 else 3.0",
    "m1 = {m} * mg.ones(2)",
    "n0 = random.random()",
    "m1 = mg.rand(2) * {m}",
    "model.first.weight.grad = None",
]
CHANGES = [
    "",
    "",
    "change(0.25)",
    "change(1)",
    "factor = -0.5",
    "settings.scale = 0.5",
    "settings.scale = 1.25",
    "settings.flag = not settings.flag",
    "settings.times = 3",
    "Settings.shared = 3.0",
    "settings.shared = 1.0",
    "table['a'] = 2.0",
    "table['b'].append(1.0)",
    "table['b'] = [0.5]",
    "numbers[0] = True",
    "numbers.insert(0, 2.0)",
    "loss.__defaults__ = (0.25,)",
    "helper = lambda t: t - factor",
    "model.gain = 0.5",
    "model.history[0] = 2.0",
    "model.train(not model.training)",
    "model.act = nn.Tanh()",
    "model.act = nn.Sequential(nn.ReLU(), nn.Linear(2, 2, bias=False))",
    "model.first = nn.Linear(2, 2)",
    "model.last.bias = None",
    "model.last.bias = nn.Parameter(mg.ones(2))",
    "model.first.weight.requires_grad_(not model.first.weight.requires_grad)",
    "model.first.weight.data = model.first.weight.data.T.clone().T",
    "model.first.weight.data = model.last.weight.data",
    "model.last.weight.data = mg.ones(2, 2)",
    "model.act.forward = lambda t: t * 0.5",
    "model.zero_grad()",
    "model.zero_grad()",
    "with mg.no_grad(): model.first.weight.mul_(0.5)",
]


@st.composite
def statements(draw: Any, depth: int = 0) -> list[str]:
    """Lines of Python that assign m0, m1 (matrices of two columns), s0 (0-d), n0 (a number) and k0 (a mask)."""
    names = st.sampled_from(["m0", "m1"])
    lines = []
    for _ in range(draw(st.integers(1, 4 if depth else 7))):
        values = {"m": draw(names), "m2": draw(names), "s": "s0", "n": draw(st.sampled_from(NUMBERS)), "k": "mask"}
        kind = draw(st.sampled_from(["matrix", "matrix", "matrix", "scalar", "scalar", "effect", "branch", "loop"]))
        if kind == "matrix":
            lines.append(f"{draw(names)} = " + draw(st.sampled_from(MATRICES)).format(**values))
        elif kind == "scalar":
            lines.append("s0 = " + draw(st.sampled_from(SCALARS)).format(**values))
        elif kind == "effect" or depth == 2:
            values["k"] = draw(st.sampled_from(["mask", "k0"]))
            lines.append(draw(st.sampled_from(EFFECTS)).format(**values))
        else:
            head = f"if {draw(st.sampled_from(CONDITIONS))}:" if kind == "branch" else "for i in range(settings.times):"
            lines += [head, *(f"    {line}" for line in draw(statements(depth + 1)))]
            if kind == "branch" and draw(st.booleans()):
                lines += ["else:", *(f"    {line}" for line in draw(statements(depth + 1)))]
    return lines


@st.composite
def batches(draw: Any) -> dict[str, Any]:
    """How the inputs of some calls in a row are made."""
    return {
        "rows": draw(st.sampled_from([4, 4, 4, 3, 1])),
        "seeds": draw(st.lists(st.integers(0, 9), min_size=1, max_size=3)),
        "layout": draw(st.sampled_from(["rows", "rows", "columns", "strided", "one buffer", "same"])),
        "grad": draw(st.sampled_from([False, False, True])),
        "masked": draw(st.sampled_from([0.5, 0.5, 1.0, 0.0])),
    }


def inputs_of(seed: int, rows: int, layout: str, grad: bool, masked: float) -> list[Any]:
    """x, y, mask and labels."""
    rng = np.random.default_rng(seed)
    made = [(rng.integers(-8, 9, (2 * rows, 4)) / 4).astype("float32") for _ in range(2)]
    x, y = (array[:rows, :2].copy(order="F" if layout == "columns" else "C") for array in made)
    if layout == "strided":
        x = made[0][::-2, ::2]
    if layout == "one buffer":
        x, y = made[0][:rows, :2], made[0][rows:, 2:]
    mask, labels = rng.random(rows) < masked, rng.integers(0, 2, rows)
    tensors = [mg.from_numpy(array) for array in (x, y, mask, labels)]
    tensors[0].requires_grad = grad
    return [tensors[0], tensors[0], *tensors[2:]] if layout == "same" else tensors


def bits(value: Any) -> Any:
    """All of a Tensor that can be compared; nan is nan, whatever its sign."""
    if value is None:
        return None
    array = value.detach().numpy()
    return array.shape, array.dtype, np.where(np.isnan(array), np.nan, array).tobytes(), array.strides


def visible(world: dict[str, Any], inputs: list[Any]) -> list[Any]:
    """What a caller can see after a call."""
    parameters = [*world["model"].parameters()]
    found = [bits(x) for x in (*inputs, *parameters)] + [bits(x._grad) for x in (inputs[0], *parameters)]
    cells = dict(zip(world["loss"].__code__.co_freevars, world["loss"].__closure__))
    count = cells["count"].cell_contents if "count" in cells else 0
    return [*found, world["settings"].calls, count, mg.is_grad_enabled()]


def outcome(step: Any, inputs: list[Any]) -> tuple[Any, str]:
    """The bits of the loss, or the type of the error; and what it says."""
    try:
        return bits(step(*inputs)), ""
    except Exception as error:
        return type(error), str(error)


@given(body=statements(), calls=st.lists(st.tuples(st.sampled_from(CHANGES), batches()), min_size=2, max_size=6))
def test_program_has_eager_bits_or_an_error(body: list[str], calls: list[tuple[str, dict[str, Any]]]) -> None:
    source = WORLD.format(body="\n".join(f"        {line}" for line in body))
    worlds: list[dict[str, Any]] = [{}, {}]
    for world in worlds:
        exec(compile(source, "program", "exec"), world)

    def eager(*inputs: Any) -> Any:
        loss = worlds[0]["loss"](*inputs)
        loss.backward()
        return loss

    replayed = mg.replay(worlds[1]["model"], worlds[1]["loss"])
    for change, batch in calls:
        for world in worlds:
            mg.manual_seed(1)
            exec(change, world)
        for seed in batch["seeds"]:
            results = []
            for world, step in zip(worlds, (eager, replayed)):
                inputs = inputs_of(seed, **{name: value for name, value in batch.items() if name != "seeds"})
                results.append((outcome(step, inputs), visible(world, inputs)))
            ((expected, _), state), ((found, text), state_of_replay) = results
            if isinstance(found, type):  # an error: the same as of eager execution, or a refusal that says so
                assert found is expected or text.startswith("replay: "), (found, text, expected)
                return
            assert (found, state_of_replay) == (expected, state), source
