"""A step is traced again if anything that its Python code reads has changed, and refused if that cannot be compared."""

from __future__ import annotations

import array
import builtins
import contextvars
import functools
import itertools
import operator
import os
import random
import sys
import threading
import time
import types
from random import random as draw

import numpy as np
import pytest
from helpers.steps import agrees, bits, op_of

import minigrad as mg
from minigrad import nn
from minigrad.autograd.methods import OPS
from minigrad.nn import functional as F

factor = 2.0

# The start of each program below: objects with every way to a number.
START = """
import argparse, builtins, collections, copy, dataclasses, enum, functools, math, operator, types
import numpy as np

factor = 2.0
config = types.SimpleNamespace(scale=2.0)
fetch = getattr


class Gain:
    shared = 2.0
    __slots__ = ("__dict__", "slot")

    def __init__(self):
        self.value, self.slot, self.table = 2.0, 2.0, {"hidden": 2.0}

    double = property(lambda self: self.value * 2)
    cached = functools.cached_property(lambda self: self.value)
    static = staticmethod(lambda x: x * factor)
    of_class = classmethod(lambda cls, x: x * cls.shared)
    method = update = lambda self, x: x * self.value
    partial = functools.partialmethod(method, 1.0)
    __getattr__ = lambda self, name: self.table[name]
    __call__ = lambda self: self.value
    __getitem__ = lambda self, index: self.value * index
    __len__ = __hash__ = lambda self: int(self.value)
    __iter__ = lambda self: iter([self.value])
    __radd__ = lambda self, other: other + self.value
    __eq__ = lambda self, other: self.value == other.value
    __gt__ = lambda self, other: self.value > other.value
    __str__ = lambda self: "x" * int(self.value)


@dataclasses.dataclass
class Settings:
    scale: float = 2.0


class Base:
    def __init_subclass__(cls):
        cls.scale = factor


class Mode(enum.Enum):
    FAST = 1
    scale = lambda self: factor


gain, other, settings, values, table, mode = Gain(), Gain(), Settings(), [2.0], {"scale": 2.0}, Mode.FAST
"""

CLOSURE = """
def make(scale):
    def change(new):
        nonlocal scale
        scale = new

    return lambda: scale, change


read, change = make(2.0)
"""

# Of each number: what defines it, how it is read, how it is changed to v (3.0, 4.5, ... for i = 0, 1, ...).
NUMBERS = {
    "global variable": ("", "factor", "factor = v"),
    "attribute of a namespace": ("", "config.scale", "config.scale = v"),
    "list": ("", "values[0]", "values[0] = v"),
    "dict": ("", "table['scale']", "table['scale'] = v"),
    "deque": ("queue = collections.deque([2.0])", "queue[0]", "queue[0] = v"),
    "nested": ("nest = {'a': [(1.0, {'b': [2.0]})]}", "nest['a'][0][1]['b'][0]", "nest['a'][0][1]['b'][0] = v"),
    "length of a list": ("", "len(values)", "values.append(v)"),
    "length of a set": ("numbers = {1}", "len(numbers)", "numbers.add(v)"),
    "order of a set": (
        "numbers = {0, 8}",
        "[*numbers][0]",
        "a, b = numbers; numbers.clear(); numbers |= {b}; numbers |= {a}",
    ),
    "type in a set": ("numbers = {1}", "2.0 + (True in [n is True for n in numbers])", "numbers = {i % 2 == 0 or 1}"),
    "key that is named as a method": ("table = {'append': 2.0}", "table['append']", "table['append'] = v"),
    "0-d array": ("array = np.array(2.0)", "float(array)", "array[...] = v"),
    "small array": ("array = np.ones(3)", "array[1].item()", "array[1] = v"),
    "NumPy scalar": ("", "values[0]", "values[0] = np.float32(v)"),
    "named tuple": (
        "Pair = collections.namedtuple('Pair', 'scale'); values = [Pair(2.0)]",
        "values[0].scale",
        "values[0] = Pair(v)",
    ),
    "float with its own repr": (
        "class Number(float): __repr__ = lambda self: '2.0'\nvalues = [Number(2.0)]",
        "values[0] * 1",
        "values[0] = Number(v)",
    ),
    "bool, float or int": (
        "values = [1]",
        "2.0 if values[0] is True else 3.0 if type(values[0]) is float else 4.0",
        "values[0] = [True, 1.0, 1][i % 3]",
    ),
    "sign of zero": ("values = [0.0]", "math.copysign(1.0, values[0])", "values[0] = -values[0]"),
    "dataclass": ("", "settings.scale", "settings.scale = v"),
    "dataclass by pattern": (
        "def read():\n    match settings:\n        case Settings(scale=found): return found",
        "read()",
        "settings.scale = v",
    ),
    "dataclass by asdict": ("", "dataclasses.asdict(settings)['scale']", "settings.scale = v"),
    "subclass of UserDict": (
        "class Table(collections.UserDict): pass\nuser = Table(scale=2.0)",
        "user['scale']",
        "user['scale'] = v",
    ),
    "argparse": ("options = argparse.Namespace(scale=2.0)", "options.scale", "options.scale = v"),
    "method of an Enum": ("config.mode = mode", "config.mode.scale()", "factor = v"),
    "attribute": ("", "gain.value", "gain.value = v"),
    "attribute by getattr": ("", "getattr(gain, 'eulav'[::-1])", "gain.value = v"),
    "attribute by another name of getattr": ("", "fetch(gain, 'eulav'[::-1])", "gain.value = v"),
    "attribute by attrgetter": ("", "operator.attrgetter('value')(gain)", "gain.value = v"),
    "attribute by vars": ("", "vars(gain)['value']", "gain.value = v"),
    "attribute by __dict__": ("", "gain.__dict__['value']", "gain.value = v"),
    "attribute by copy": ("", "copy.copy(settings).scale", "settings.scale = v"),
    "attribute by format": ("", "float('{0.value}'.format(gain))", "gain.value = v"),
    "attribute by __getattr__": ("", "gain.hidden", "gain.table['hidden'] = v"),
    "slot": ("", "gain.slot", "gain.slot = v"),
    "property": ("", "gain.double", "gain.value = v"),
    "cached property": ("", "gain.cached", "gain.__dict__['cached'] = v"),
    "method": ("", "gain.method(1.0)", "gain.value = v"),
    "method with the name of one of a list": ("", "gain.update(1.0)", "gain.value = v"),
    "method that is replaced": ("", "gain.method(1.0)", "gain.method = lambda x, v=v: v"),
    "partial method": ("", "gain.partial()", "gain.value = v"),
    "static method": ("", "gain.static(1.0)", "factor = v"),
    "class method": ("", "gain.of_class(1.0)", "Gain.shared = v"),
    "class attribute": ("", "gain.shared", "Gain.shared = v"),
    "class attribute that is hidden": ("", "gain.shared", "gain.shared = v"),
    "class of an object": (
        "",
        "gain.shared",
        "gain.__class__ = type('Other', (Gain,), {'shared': v, '__slots__': ()})",
    ),
    "class with a false module": ("Gain.__module__ = 'minigrad.nn'", "gain.method(1.0)", "gain.value = v"),
    "class that is made in the step": (
        "def read():\n    class Sub(Base): pass\n    return Sub.scale",
        "read()",
        "factor = v",
    ),
    "metaclass": (
        "class Meta(type): __call__ = lambda cls: cls.scale\nclass Scale(metaclass=Meta): scale = 2.0",
        "Scale()",
        "Scale.scale = v",
    ),
    "call": ("", "gain()", "gain.value = v"),
    "item": ("", "gain[2]", "gain.value = v"),
    "len": ("", "len(gain)", "gain.value = v"),
    "iteration": ("", "sum(gain)", "gain.value = v"),
    "reflected operator": ("", "1.0 + gain", "gain.value = v"),
    "comparison": ("", "2.0 if gain == other else 3.0", "gain.value = v"),
    "comparison by max": ("other.value = 4.0", "2.0 if max(gain, other) is other else 3.0", "gain.value = v"),
    "comparison by a dict": ("table[gain] = 5.0", "table.get(other, 1.0)", "other.value = v"),
    "text": ("", "len(f'{gain}')", "gain.value = v"),
    "text by str": ("", "len(str(gain))", "gain.value = v"),
    "text by %": ("", "len('%s' % gain)", "gain.value = v"),
    "text by format": ("", "len('{}'.format(gain))", "gain.value = v"),
    "closure": (CLOSURE, "read()", "change(v)"),
    "closure of a closure": ("read = (lambda inner: lambda: inner())(lambda: factor)", "read()", "factor = v"),
    "default": ("def read(scale=2.0): return scale", "read()", "read.__defaults__ = (v,)"),
    "keyword default": ("def read(*, scale=2.0): return scale", "read()", "read.__kwdefaults__ = {'scale': v}"),
    "mutable default": ("def read(values=values): return values[0]", "read()", "values[0] = v"),
    "attribute of a function": ("def read(): return read.scale\nread.scale = 2.0", "read()", "read.scale = v"),
    "code of a function": (
        "def read(): return 2.0\nchanged = [lambda: 3.0, lambda: 4.0, lambda: 5.0]",
        "read()",
        "read.__code__ = changed[i].__code__",
    ),
    "function in a list": ("functions = [lambda: 2.0]", "functions[0]()", "functions[0] = lambda v=v: v"),
    "cached function": ("read = functools.lru_cache(lambda: values[0])", "read()", "read.cache_clear(); values[0] = v"),
    "partial function": (
        "read = functools.partial(lambda table, name: table[name], table, name='scale')",
        "read()",
        "table['scale'] = v",
    ),
    "built-in function that is hidden": ("", "abs(-2.0)", "abs = lambda x, v=v: v"),
    "container that another function writes": (
        "def write(): values.append(1)\ndef read():\n    if factor < 0: write()\n    return len(values) + 1.0",
        "read()",
        "values.append(2)",
    ),
}


def program(start, read, change):
    """A function that reads a number, and one that changes it."""
    names, calls = {}, itertools.count()
    exec(f"{START}\n{start}\nnumber = lambda: {read}", names)

    def edit():
        i = names["i"] = next(calls)
        names["v"] = (3.0, 4.5)[i % 2]
        exec(change, names)

    return names["number"], edit


def changes(target, name, *values):
    """A function that assigns the next value to an attribute or item in each call."""
    values = itertools.cycle(values or (3.0, 4.5))
    assign = setattr if isinstance(name, str) and not isinstance(target, dict) else operator.setitem
    return lambda: assign(target, name, next(values))


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setitem(globals(), "factor", 2.0)


class Net(nn.Module):
    def __init__(self):
        self.layer, self.act, self.scale, self.scales, self.gain = (
            nn.Linear(3, 2),
            nn.ReLU(),
            2.0,
            [2.0],
            types.SimpleNamespace(value=2.0),
        )
        self.parts = [nn.Tanh(), nn.Sigmoid()]

    def forward(self, x):
        return self.act(self.layer(x)) * (1.0 if self.training else 0.5)


def followed(model, function, change, *inputs):
    """Whether a replayed step follows all changes, and is replayed between them."""
    step, x = mg.replay(model, function), inputs or (mg.rand(4, 3),)
    for _ in range(3):
        if not all(agrees(model, function, step, *x) for _ in range(2)):
            return False
        change()
    return agrees(model, function, step, *x)


@pytest.mark.parametrize("name", NUMBERS)
def test_number_is_a_guard(name):
    model = nn.Linear(3, 2)
    read, change = program(*NUMBERS[name])
    before, values = read(), []
    assert followed(model, lambda x: (model(x) * read()).sum(), lambda: (change(), values.append(read())))
    assert {repr(value) for value in values} != {repr(before)}  # the change can be seen


class Twice(nn.Module):
    def forward(self, x):
        return x * 2.0


MODELS = {
    "number": (lambda net, x: net(x) * net.scale, lambda net: changes(net, "scale")),
    "list": (lambda net, x: net(x) * net.scales[0], lambda net: changes(net.scales, 0)),
    "list by getattr": (
        lambda net, x: net(x) * getattr(net, "selacs"[::-1])[0],
        lambda net: changes(net.scales, 0),
    ),
    "object": (lambda net, x: net(x) * net.gain.value, lambda net: changes(net.gain, "value")),
    "list of parts": (lambda net, x: net.parts[0](net(x)), lambda net: net.parts.reverse),
    "part": (lambda net, x: net(x), lambda net: changes(net, "act", nn.Tanh(), nn.Sequential(nn.ReLU(), Twice()))),
    "part of a part": (lambda net, x: net(x), lambda net: lambda: changes(net, "act", nn.Sequential(Twice()))()),
    "class of a part": (lambda net, x: net(x), lambda net: changes(net.act, "__class__", nn.Tanh, nn.Sigmoid)),
    "dict of a part": (lambda net, x: net(x), lambda net: changes(net, "__dict__", {**vars(net), "act": nn.Tanh()})),
    "forward of a part": (lambda net, x: net(x), lambda net: changes(net.act, "forward", lambda x: x * 3.0)),
    "mode": (lambda net, x: net(x), lambda net: lambda: net.train(not net.training)),
    "mode of a part": (lambda net, x: net(x) * (2.0 if net.act.training else 3.0), lambda net: net.act.eval),
    "parameter": (lambda net, x: net(x), lambda net: lambda: setattr(net.layer, "weight", nn.Parameter(mg.rand(2, 3)))),
    "no bias": (lambda net, x: net(x), lambda net: changes(net.layer, "bias", None)),
    "one part twice": (lambda net, x: net.other(net(x)), lambda net: changes(net, "other", net.act, nn.Tanh())),
    "attribute of a parameter": (
        lambda net, x: net(x) * net.layer.weight.k,
        lambda net: changes(net.layer.weight, "k"),
    ),
    "requires_grad": (
        lambda net, x: net(x) * (2.0 if net.layer.bias.requires_grad else 3.0),
        lambda net: lambda: net.layer.bias.requires_grad_(not net.layer.bias.requires_grad),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_part_of_the_model_is_a_guard(name):
    forward, change = MODELS[name]
    mg.manual_seed(0)
    net = Net()
    net.other, net.layer.weight.k = nn.Identity(), 2.0
    assert followed(net, lambda x: forward(net, x).sum(), change(net))


def test_parts_of_a_sequential_are_a_guard():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    edits = iter(
        [
            lambda: model.append(nn.Tanh()),
            lambda: delattr(model, "1"),
            lambda: vars(model).update({"0": vars(model).pop("0"), "2": vars(model).pop("2")}),  # another order
        ]
    )
    model[2].weight.data = mg.rand(3, 3)
    model[2].bias.data = mg.rand(3)
    assert followed(model, lambda x: model(x).sum(), lambda: next(edits)())


def test_settings_of_a_layer_are_a_guard():
    model = nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(0.1), nn.Dropout(0.0), nn.Softmax(1))
    edits = iter(
        [
            lambda: setattr(model[1], "negative_slope", 0.5),
            lambda: setattr(model[3], "dim", 0),
            lambda: setattr(model[1], "negative_slope", 0.25),
        ]
    )
    assert followed(model, lambda x: (model(x) ** 2).sum(), lambda: next(edits)())


def test_other_modules_are_a_guard():
    model, loss = nn.Linear(3, 2), nn.CrossEntropyLoss(label_smoothing=0.1)
    step = mg.replay(model, lambda x, y: loss(model(x), y))
    x, y = mg.rand(4, 3), mg.tensor([0, 1, 1, 0])
    for loss.label_smoothing in (0.1, 0.5):
        assert agrees(model, lambda x, y: loss(model(x), y), step, x, y)


@pytest.mark.parametrize(
    ("owner", "name", "function"),
    [
        (F, "relu", lambda x: F.relu(x)),
        (mg, "relu", lambda x: mg.relu(x)),
        (nn.ReLU, "forward", nn.ReLU()),
        (mg.Tensor, "relu", lambda x: x.relu()),
        (mg.Tensor, "own_method", lambda x: x.own_method()),
    ],
    ids=["functional", "op", "layer", "method", "own-method"],
)
def test_patched_library_is_a_guard(owner, name, function, monkeypatch):
    model = nn.Linear(3, 2)
    if name == "own_method":
        monkeypatch.setattr(owner, name, lambda x: x * 1.0, raising=False)
    patch = lambda value: lambda: monkeypatch.setattr(owner, name, value, raising=False)
    edits = iter([patch(lambda *x: x[-1] * 3.0), patch(lambda *x: x[-1] * factor), changes(globals(), "factor")])
    change = lambda: next(edits)()
    assert followed(model, lambda x: function(model(x)).sum(), change)


def test_registered_ops_are_a_guard(monkeypatch):
    model = nn.Linear(3, 2)
    patch = lambda value: lambda: monkeypatch.setitem(OPS, "relu", value)
    edits = iter([patch(lambda x: x * 3.0), patch(lambda x: x * factor), changes(globals(), "factor")])
    assert followed(model, lambda x: model(x).relu().sum(), lambda: next(edits)())


def test_body_of_an_op_is_searched():
    model = nn.Linear(3, 1)
    with op_of(lambda xp, x: x * factor) as f:
        assert followed(model, lambda x: (f(x) * model.weight[0]).sum(), changes(globals(), "factor"), mg.rand(3))


def test_step_may_be_a_method():
    class Trainer:
        def __init__(self):
            self.model, self.scale, self.epoch, self.log = nn.Linear(3, 2), 2.0, 0, sys.stderr
            self.data, self.batches = np.zeros((1000, 1000)), iter([1])

        def loss(self, x):
            return (self.model(x) * self.scale).sum()

    trainer = Trainer()
    step = mg.replay(trainer.model, trainer.loss)
    x, calls = mg.rand(4, 3), []
    for trainer.scale in (2.0, 3.0):
        assert agrees(trainer.model, trainer.loss, step, x)
    for trainer.epoch in range(5):  # is not read
        step(x)
        calls.append(len(step.steps))
    assert calls == [2] * 5


def test_variables_modified_by_the_step_are_not_frozen():
    class Counter(nn.Module):
        def __init__(self):
            self.layer, self.calls = nn.Linear(3, 2), 0

        def forward(self, x):
            self.calls += 1
            return self.layer(x) * self.calls

    model, total = Counter(), 0

    def function(x):
        nonlocal total
        total += 1
        return model(x).sum() * total

    step, x = mg.replay(model, function), mg.rand(4, 3)
    for i in range(20):
        model.calls, total = 10 * i, i
        found = step(x).item()
        assert (model.calls, total) == (10 * i + 1, i + 1)
        assert found == ((model.layer(x) * (10 * i + 1)).sum() * (i + 1)).item()
    assert step.steps == []


def test_list_that_the_step_appends_to_and_reads_is_not_frozen():
    model, x, lengths = nn.Linear(3, 2), mg.rand(4, 3), []

    def function(x):
        lengths.append(len(lengths))
        return model(x).sum() * len(lengths)

    step = mg.replay(model, function)
    for i in range(20):
        assert step(x).item() == (model(x).sum() * (i + 1)).item()
    assert lengths == [*range(20)]


def test_grad_mode_that_the_step_leaves_off_is_not_frozen():
    model, x = nn.Linear(3, 2), mg.rand(4, 3)

    def function(x):
        loss = model(x).sum()
        mg.set_grad_enabled(False)
        return loss

    step = mg.replay(model, function)
    for _ in range(3):
        step(x)
        assert not mg.is_grad_enabled()
        mg.set_grad_enabled(True)


def test_list_that_is_only_appended_to_is_no_guard():
    model, calls, totals = nn.Linear(3, 2), [], types.SimpleNamespace(all=[])

    def function(x):
        calls.append(1)
        totals.all.append(2)
        return model(x).sum()

    step = mg.replay(model, function)
    for _ in range(3):
        step(mg.rand(4, 3))
    assert (len(calls), len(totals.all), len(step.steps)) == (1, 1, 1)


class Scaled(mg.Tensor):
    def relu(self):
        return mg.relu(self) * factor


class ScaledWeight(nn.Parameter):
    def twice(self):
        return self * factor


def test_methods_of_subclasses_of_tensor_are_a_guard():
    model = nn.Module()
    model.weight = ScaledWeight(mg.ones(3))
    x = Scaled(np.ones((4, 3), "float32"))
    assert followed(model, lambda x: (x.relu() * model.weight).sum(), changes(globals(), "factor"), x)
    assert followed(model, lambda x: (x * model.weight.twice()).sum(), changes(globals(), "factor"))


def test_variable_of_builtins_is_a_guard(monkeypatch):
    model = nn.Linear(3, 2)
    monkeypatch.setattr(builtins, "own_scale", 2.0, raising=False)
    change = changes(builtins, "own_scale")
    assert followed(model, lambda x: model(x).sum() * own_scale, change)  # noqa: F821


def read_with_try(x):
    try:
        return x.mark
    except AttributeError:
        return 3.0


@pytest.mark.parametrize("read", [lambda x: 2.0 if hasattr(x, "mark") else 3.0, read_with_try])
def test_attribute_of_an_input_is_refused(read):
    model, x, marked = nn.Linear(3, 2), mg.rand(4, 3), mg.rand(4, 3)
    marked.mark = 1.0
    function = lambda x: model(x).sum() * read(x)
    step = mg.replay(model, function)
    for _ in range(2):
        assert agrees(model, function, step, x)
        with pytest.raises(RuntimeError, match="the step reads an attribute that was added to an input"):
            step(marked)


def infinite():
    while True:
        yield 2.0


class OwnRandom(random.Random):
    pass


class OwnCount(itertools.count):
    pass


own_random, own_count, generic = OwnRandom(0), OwnCount(), functools.singledispatch(lambda x: factor)
numbers, pairs = itertools.count(), infinite()
generator, python_generator = np.random.default_rng(0), random.Random(0)
local, variable, event = threading.local(), contextvars.ContextVar("variable", default=2.0), threading.Event()
local.scale = 2.0
raw, view, typed = bytearray(b"2"), memoryview(b"2"), array.array("d", [2.0])
large, many = np.ones(10_000), list(range(10_000))


@pytest.mark.parametrize(
    ("read", "named"),
    [
        (lambda: random.random(), "`random.random`, a Random,"),
        (lambda: draw(), "`draw`, a Random,"),
        (lambda: python_generator.random(), "`python_generator`, a Random,"),
        (lambda: np.random.rand(), "`np.random.rand`, a RandomState,"),
        (lambda: generator.random(), "`generator`, a Generator,"),
        (lambda: own_random.random(), "`own_random`, a OwnRandom,"),
        (lambda: next(own_count), "`own_count`, a OwnCount,"),
        (lambda: generic(1), "`generic`, a WeakKeyDictionary,"),
        (lambda: getattr(np, "random").rand(), "`np.random.rand`, a RandomState,"),  # noqa: B009
        (lambda: np.load("scale.npy").item(), "`np.load`"),
        (lambda: np.fromfile("scale").item(), "`np.fromfile`"),
        (lambda: time.time(), "`time.time`"),
        (lambda: os.getpid(), "`os.getpid`"),
        (lambda: len(os.environ), "`os.environ`, a _Environ,"),
        (lambda: len(open(os.devnull).read()), "`open`"),  # noqa: SIM115
        (lambda: eval("factor"), "`eval`"),
        (lambda: globals()["factor"], "`globals`"),
        (lambda: next(numbers), "`numbers`, a count,"),
        (lambda: next(pairs), "`pairs`, a generator,"),
        (lambda: local.scale, "`local`, a _local,"),
        (lambda: variable.get(), "`variable`, a ContextVar,"),
        (lambda: 1.0 + event.is_set(), "`event`, a Event,"),
        (lambda: raw[0], "`raw`, a bytearray,"),
        (lambda: view[0], "`view`, a memoryview,"),
        (lambda: typed[0], "`typed`, a array,"),
        (lambda: large[0].item(), "`large`, an array that is neither an input nor a parameter;"),
        (lambda: many[0], "more than 1000 items"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(read, named):
    model, state, calls = nn.Linear(3, 2), random.getstate(), []

    def function(x):
        calls.append(1)
        return model(x).sum() * read()

    step = mg.replay(model, function)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="replay: the step") as caught:
            step(mg.rand(4, 3))
        assert named in str(caught.value)
    assert random.getstate() == state
    assert calls == []


def test_import_inside_of_a_step_is_searched():
    model, x = nn.Linear(3, 2), mg.rand(4, 3)

    def pure(x):
        import math as m

        return model(x).sum() * m.pi

    def impure(x):
        from random import random as r

        return model(x).sum() * r()

    assert followed(model, pure, lambda: None)
    with pytest.raises(RuntimeError, match=r"replay: the step reads `random.random`, a Random"):
        mg.replay(model, impure)(x)


def test_debugging_prints_are_allowed(capsys):
    model = nn.Linear(3, 2)

    def function(x):
        print(f"{x.shape}", "%s" % x.dtype, "{}".format(x.ndim))  # noqa: UP031, UP032
        print(len(x), file=sys.stderr)
        return model(x).sum()

    assert followed(model, function, lambda: None)
    assert capsys.readouterr().out


def test_locks_and_pauses_are_allowed():
    model, lock = nn.Linear(3, 2), threading.Lock()

    def function(x):
        with lock:
            time.sleep(0)
            return model(x).sum()

    assert followed(model, function, lambda: None)


def test_deep_models_are_compared():
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(300)])
    assert followed(model, lambda x: model(x).sum(), lambda: None, mg.rand(2, 4))


def test_values_that_were_built_anew_are_the_same():
    model, table = nn.Linear(3, 2), {}
    step = mg.replay(model, lambda x: (model(x) * table["scale"] * table["pair"][1]).sum())
    for _ in range(3):
        table.update(scale=float("1.5"), pair=(1, float("0.5")))
        loss = step(mg.ones(4, 3))
    assert len(step.steps) == 1
    assert bits([loss]) == bits([(model(mg.ones(4, 3)) * 1.5 * 0.5).sum()])
