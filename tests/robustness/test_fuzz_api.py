"""API fuzzing: the whole public API, called with unexpected arguments.

Functions, classes, methods and properties are discovered, so a new one is tested without an edit here. A call starts
with valid arguments (`VALID`, by the name of the parameter), and some of them are replaced by `INVALID` ones. All are
Python expressions, so a failure can be pasted into a prompt.

Each call must return or raise one of the documented exceptions, with a message and without a warning. The result has
only dtypes of minigrad, and its backward works. The arguments, the grad mode, the registry of ops, the random numbers,
NumPy's error state and the folder are unchanged, unless the call is meant to change them and did not fail.

The number of calls depends on the profile: 2,000 for `ci`, 20,000 for `thorough`.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal  # noqa: F401 (used in the expressions)
from fractions import Fraction  # noqa: F401 (likewise)
from functools import cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import backend, data, nn, optim
from minigrad.autograd import grad_mode
from minigrad.autograd.graph import Node
from minigrad.autograd.methods import OPS
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.testing import GradcheckError

resource = pytest.importorskip("resource", reason="without a memory limit these calls can exhaust the machine")
if not Path("/proc/self/statm").exists():
    pytest.skip("the memory limit needs /proc/self/statm", allow_module_level=True)

CALLS = min(10 * settings.default.max_examples, 20_000)
MEMORY = 1 << 30  # bytes that the calls may allocate

DOCUMENTED = (TypeError, ValueError, IndexError, RuntimeError, MemoryError, OSError, GradcheckError)


# What is called
class Target(NamedTuple):
    """A function of the package, its name, and for a method its class; the first argument is then an instance."""

    name: str
    function: Callable[..., Any]
    owner: type | None = None


FOLDERS = {"mg": mg, "nn": nn, "F": F, "init": init, "optim": optim, "data": data, "mg.cuda": mg.cuda}
# Called with the class, meant to change the mode, or hooks that get checked arguments.
HOOKS = {"__init__", "__new__", "__enter__", "__exit__", "update", "check", "positions"}
HOOKS |= {"__getitems__", "__setattr__"}


def is_public(name: str, value: Any, module: Any) -> bool:
    """Whether a name of a module is public and callable; optim and init also contain their imports."""
    home = getattr(value, "__module__", None) or ""
    ours = home.startswith(module.__name__ if module in (init, optim) else "minigrad")
    error = isinstance(value, type) and issubclass(value, BaseException)
    return ours and callable(value) and not name.startswith("_") and not error


def members(cls: type, name: str) -> Iterator[Target]:
    """The methods, operators and properties that a class defines itself."""
    for member, value in vars(cls).items():
        if member in HOOKS or re.match(r"_(?!_)|__.*(?<!__)$", member):
            continue
        if isinstance(value, property):
            yield Target(f"{name}.{member}", value.fget, cls)  # type: ignore[arg-type]
            if value.fset is not None:
                yield Target(f"{name}.{member} =", value.fset, cls)
        elif inspect.isfunction(value):
            yield Target(f"{name}.{member}", value, cls)


def discover() -> Iterator[Target]:
    """All public callables. Members that a class inherits from a private one count as its own."""
    classes: dict[type, str] = {}
    for prefix, module in FOLDERS.items():
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            if is_public(name, value, module) and value not in classes:
                yield Target(f"{prefix}.{name}", value)
                if isinstance(value, type):
                    classes[value] = f"{prefix}.{name}"
    seen: set[type] = set()
    for cls, name in classes.items():
        for home in cls.__mro__:
            if home.__module__.startswith("minigrad") and home not in seen:
                seen.add(home)
                for target in members(home, classes.get(home, name)):
                    yield target._replace(owner=home if home in classes else cls)


TARGETS = {target.name: target for target in discover()}


# The names in the expressions below
def numbers(*shape: int) -> Any:
    """An array of distinct float32 numbers from -1 to 1."""
    return np.linspace(-1, 1, math.prod(shape), dtype=np.float32).reshape(shape)


def leaf(*shape: int) -> mg.Tensor:
    """A Tensor that requires a gradient."""
    return mg.tensor(numbers(*shape), requires_grad=True)


def made(*shape: int) -> mg.Tensor:
    """A Tensor with a graph."""
    return leaf(*shape) * 2


def freed(*shape: int) -> mg.Tensor:
    """A Tensor whose graph has been freed."""
    y = made(*shape)
    y.sum().backward()
    return y


def read_only(array: Any) -> Any:
    """The array, read-only."""
    array.flags.writeable = False
    return array


def nested(depth: int) -> list:
    """Nested lists."""
    return [nested(depth - 1)] if depth else []


def model() -> nn.Module:
    """A small model."""
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Dropout(0.5))


def trained() -> list[mg.Tensor]:
    """Parameters with gradients."""
    one, two = leaf(4, 3), leaf(3)
    (one * two).sum().backward()
    return [one, two]


def images(kind: Any = data.ImageDataset) -> Any:
    """A dataset of four images, without a file."""
    dataset = kind.__new__(kind)
    data.ImageDataset.__init__(dataset, mg.zeros(4, 2, 2, dtype="uint8"), mg.tensor([0, 1, 2, 0]))
    dataset.root, dataset.train = ".", True
    return dataset


def rows() -> data.TensorDataset:
    """Four samples (x, label)."""
    return data.TensorDataset(mg.tensor(numbers(4, 3)), mg.tensor([0, 1, 2, 0]))


class NotAnArray:
    """An object with a shape and a dtype that is not an array."""

    shape, dtype, ndim, size, device, array = (2, 2), np.dtype("float32"), 2, 4, "cpu", "no array"


def split(text: str) -> list[str]:
    """The expressions of a text, separated by semicolons or lines."""
    return [part.strip() for part in re.split(r";|\n", text) if part.strip()]


FLOATS = split("""
    leaf(4, 3); mg.tensor(numbers(4, 3)); made(4, 3); mg.tensor(numbers(4, 3), dtype='float64'); leaf(3); mg.tensor(0.5)
    leaf(2, 4, 3); leaf(3, 4).T; leaf(1, 3); mg.zeros(0, 3)
""")
LABELS = split("mg.tensor([0, 1, 2, 0]); mg.tensor([0, 1, 2, 0], dtype='uint8'); mg.tensor(1)")
MODELS = split("model(); nn.Linear(3, 2); nn.ReLU(); nn.ModuleList([nn.ReLU(), nn.Linear(3, 3)])")
DATASETS = split("rows(); images(); [(1.0, 2), (0.5, 1)]; data.Subset(rows(), [0, 2])")
FLAGS = split("True; False")
DIM = split("0; 1; -1")
SHAPES = split("(4, 3); (12,); (3, -1); (1,); (); (2, 4, 3)")

# Expressions that fit a parameter, by its name; for others FLOATS.
VALID: dict[str, list[str]] = {
    "array": split("numbers(4, 3); np.arange(3)"),
    "b": split("leaf(2); None"),
    "batch_size": split("2; 1; 3"),
    "betas": ["(0.9, 0.99)"],
    "condition": split("mg.tensor(numbers(4, 3)) > 0; mg.tensor(True)"),
    "data": split("[[1.0, 2.0], [3.0, 4.0]]; numbers(4, 3); [1, 2]; leaf(4, 3); mg.zeros(4, 2, 2, dtype='uint8')"),
    "dataset": DATASETS,
    "device": split("'cpu'; 'strict'; mg.device('cpu'); None"),
    "dim": [*DIM, "None"],
    "dim0": DIM,
    "dim1": DIM,
    "dims": split("(1, 0); (0, 1); (-1, 0)"),
    "dtype": split("'float32'; mg.float64; mg.int64; bool; float; None"),
    "fill_value": split("1; 0.5; True"),
    "function": split("F.relu; model(); lambda x: (x * x).sum(); lambda module: None"),
    "grad_outputs": split("None; mg.tensor(1.0); mg.tensor(numbers(4, 3))"),
    "gradient": split("None; mg.tensor(numbers(4, 3)); mg.tensor(1.0)"),
    "high": split("5; 9"),
    "image": split("np.zeros((4, 4), 'uint8'); np.zeros((4, 4, 3), 'uint8')"),
    "embedding_dim": ["3"],
    "in1_features": ["3"],
    "in2_features": ["3"],
    "in_features": split("3; 1"),
    "index": split("0; slice(1, None); (0, 1); mg.tensor([0, 1]); (None, ...); [0, 1]; np.array([0, 1])"),
    "indices": split("[0, 1]; range(3); mg.tensor([0, 1])"),
    "inputs": split("leaf(4, 3); [leaf(3)]; None"),
    "labels": LABELS,
    "layers": MODELS,
    "lengths": split("[3, 1]; [0.5, 0.5]; [1, 1]"),
    "low": split("0; -2"),
    "lr": split("0.1; 0"),
    "max": split("1.0; None"),
    "min": split("-0.5; 0"),
    "model": split("model(); nn.Linear(3, 2)"),
    "module": split("nn.ReLU(); model(); None"),
    "modules": split("[nn.ReLU()]; ()"),
    "n": split("3; 0"),
    "new_state": ["mg.get_rng_state()"],
    "normalized_shape": split("3; (4, 3)"),
    "num_classes": ["3"],
    "num_embeddings": ["5"],
    "num_features": ["3"],
    "out_features": ["2"],
    "outputs": split("made(4, 3).sum(); [made(3).sum()]"),
    "p": split("0.5; 0.0; 1.0"),
    "params": split("[leaf(4, 3)]; trained(); model().parameters(); [{'params': trained(), 'lr': 0.5}]"),
    "path": split("'weights'; 'fresh'; 'nowhere/weights'"),
    "reduction": split("'mean'; 'sum'; 'none'"),
    "root": split("'.'; 'nowhere'"),
    "seed": split("0; 7; None"),
    "shape": SHAPES,
    "size": SHAPES,
    "start": split("0; 5; 0.5"),
    "state": split("model().state_dict(); {'x': mg.ones(2)}"),
    "state_dict": split("model().state_dict(); nn.Linear(3, 2).state_dict(); optim.Adam(trained()).state_dict()"),
    "target": [*LABELS, *FLOATS, "'cpu'"],
    "targets": ["mg.tensor([0, 1, 2, 0])"],
    "tensors": [*FLOATS, "[leaf(4, 3), leaf(4, 3)]", "[mg.tensor(numbers(4, 3)), mg.tensor([0, 1, 2, 0])]"],
    "type": split("'cpu'; 'strict'"),
    "w": [*split("leaf(2, 3); leaf(3, 2); 2.0; 3"), *FLOATS],
    "weight": split("None; mg.tensor([0.5, 1.0, 2.0]); mg.tensor(numbers(4, 3))"),
    **dict.fromkeys(split("keepdim; training; train; bias; shuffle; drop_last; create_graph; retain_graph"), FLAGS),
    **dict.fromkeys(split("enabled; requires_grad; amsgrad; maximize; nesterov; mode; strict; set_to_none"), FLAGS),
    **dict.fromkeys(split("copy; download; wanted; allow_unused; allow_zero; raise_exception"), FLAGS),
}

# What stands before the dot; a class that is not here is made of arguments that fit.
RECEIVERS: dict[type, list[str]] = {
    mg.Tensor: [*FLOATS, *LABELS, "mg.tensor([[True, False], [False, True]])"],
    nn.Module: MODELS,
    mg.device: split("mg.device('cpu'); mg.device('cuda', 0)"),
    optim.Optimizer: split("optim.SGD(trained(), momentum=0.9); optim.Adam(trained(), amsgrad=True)"),
    nn.Parameter: ["nn.Parameter(mg.zeros(3))"],
    data.Dataset: DATASETS,
    data.MNIST: ["images(data.MNIST)"],
    data.DataLoader: ["data.DataLoader(rows(), 2, shuffle=True)", "data.DataLoader([(1, 2.0), (3, 4.0)], 2)"],
}

INVALID = split(r"""
    None; True; False; 0; 1; -1; 3; -3; 7; 2**31; -(2**31) - 1; 2**63; -(2**63) - 1; 2**64; 10**12; 10**30; -(10**30)
    0.0; -0.0; 0.5; -1.5; math.nan; math.inf; -math.inf; 1e300; 1e-320; 1j; Fraction(1, 3); Decimal('0.1')

    ''; 'x'; 'mean'; 'cpu'; 'cuda'; 'cuda:1'; 'cpu:-1'; 'strict'; 'float16'; 'float32'; 'int64'; '\0'; '\ud800'
    'é' * 300; b''; b'abc'; bytearray(2); memoryview(b'ab')

    []; (); {}; set(); [[]]; [None]; ['a']; [1, [2, 3]]; [[1, 2], [3]]; [math.nan]; [1j]; [10**30]; {'x': 1}; {1, 2}
    {'params': []}; [{}]; [{'params': None}]; (1, 2, 3); [1, 2, 3]; ('x', 0); (0, 0); (1.5,); (True,); (None,); (-1, -1)
    (3, -2); (2**31,); (10**6, 10**6); (2**63, 2**63); (0, 10**12); (1,) * 70; nested(100); range(3); map(str, [1])
    (i for i in range(2)); iter([]); iter([leaf(3)])

    object(); NotAnArray(); ValueError; int; str; len; lambda *given: None; math; ...; slice(None); slice(0, None, 0)
    slice('a'); slice(5, 1, -1)

    np.float16(1); np.float32(1); np.float64('nan'); np.longdouble(1); np.complex64(1); np.int8(-1)
    np.uint64(2**64 - 1); np.bool_(True); np.str_('x'); np.datetime64('2026'); np.float32; np.dtype('float16')
    np.dtype('>f4')
    np.array(1.0); np.array([0, 1]); np.array([True, False]); np.array([None]); np.array(['a']); np.zeros(2, 'c8')
    np.array([1, 'a'], object); np.zeros(2, [('a', 'i4')]); np.zeros(2, 'M8[s]'); np.zeros(2, 'f2'); np.zeros(2, 'u8')
    np.zeros(2, 'g'); np.zeros(2, '>f4'); np.zeros((0, 3), 'f4'); np.ma.masked_array([1.0, 2.0], [True, False])
    read_only(numbers(4, 3)); numbers(6, 4)[::2, ::-1]; numbers(3, 4).T; np.broadcast_to(np.float32(1), (4, 3))
    np.zeros((1,) * 64, 'f4')

    mg.tensor(True); mg.tensor([True, False]); mg.tensor([]); mg.tensor(math.nan); mg.tensor([math.inf, math.nan])
    mg.tensor([1, 2, 3]); mg.tensor([-1, 5]); mg.tensor([9, 0, 1, 2]); mg.tensor([-1, 0, 1, 2]); mg.tensor(2**63 - 1)
    mg.tensor([-100, 0, 1, 2]); mg.tensor([[0], [1], [2], [0]]); mg.tensor([0, 255], dtype='uint8'); mg.zeros(0)
    mg.tensor([-128], dtype='int8'); mg.tensor([1e30, 1e-40]); mg.zeros(0, 3); mg.zeros(4, 0); mg.tensor(math.inf)
    mg.zeros(3, 0, 2, requires_grad=True); leaf(4, 3); leaf(3); leaf(); leaf(1); leaf(2, 1, 3); leaf(1, 1, 1, 1, 1)
    made(4, 3); made(); freed(4, 3); mg.tensor(numbers(4, 3), dtype='float64', requires_grad=True); leaf(5, 3)[::2]
    leaf(3, 4).T; mg.tensor(1.0).broadcast_to(4, 3); mg.from_numpy(read_only(numbers(4, 3)))
    mg.ones(4, 3).to('strict'); leaf(4, 3).to('strict'); mg.tensor([0, 1, 2, 0]).to('strict')

    mg.Tensor; nn.Parameter(mg.zeros(4, 3)); model(); nn.ReLU; nn.Module(); model().parameters(); model().state_dict()
    optim.SGD(trained()); optim.Optimizer; rows(); data.Dataset(); data.DataLoader(rows()); mg.device('cpu'); mg.device
    mg.device('cuda'); mg.float32; mg.no_grad(); mg.detect_anomaly(); F.relu; mg.get_rng_state()
""")

MODES = {"": nullcontext, "mg.no_grad()": mg.no_grad, "mg.detect_anomaly()": mg.detect_anomaly}
NUMPY = {"dim": "axis", "keepdim": "keepdims", "dims": "axes"}


@cache
def compiled(expression: str) -> Any:
    return compile(f"({expression})", expression, "eval")


def value_of(expression: str) -> Any:
    """The value of an expression, evaluated anew."""
    return eval(compiled(expression), globals())


def valid(parameter: str) -> list[str]:
    """The valid expressions for a parameter."""
    return VALID.get(parameter, FLOATS)


@cache
def parameters(target: Target) -> list[inspect.Parameter]:
    """The parameters of a target without the instance; a method that is an op has those of the op."""
    try:
        given = list(inspect.signature(target.function).parameters.values())[target.owner is not None :]
    except ValueError:  # a class with the __init__ of object
        return []
    op = OPS.get(target.name.rpartition(".")[2])
    if op is not None and any(p.kind is p.VAR_KEYWORD for p in given):
        return list(inspect.signature(op).parameters.values())[1:]
    return given


@cache
def receivers(owner: type) -> list[str]:
    """Expressions for instances of a class."""
    fit = next((RECEIVERS[cls] for cls in owner.__mro__ if cls in RECEIVERS), [])
    usable = [text for text in [*fit, *INVALID] if isinstance(value_of(text), owner)]
    if usable:
        return usable
    target = next(target for target in TARGETS.values() if target.function is owner)
    needed = [p for p in parameters(target) if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return [f"{target.name}({', '.join(valid(p.name)[0] for p in needed)})"]


class Call(NamedTuple):
    """A call: the target, and its arguments as expressions. For a method the first is the instance."""

    target: Target
    args: list[str]
    options: dict[str, str]
    mode: str

    def __repr__(self) -> str:
        args, member = self.args, self.target.name.rpartition(".")[2]
        start = self.target.name
        if self.target.owner is not None:
            start, args = f"({args[0]}).{member}", args[1:]
        inside = ", ".join([*args, *(f"{name}={text}" for name, text in self.options.items())])
        is_property = isinstance(getattr(self.target.owner, member.removesuffix(" ="), None), property)
        text = f"{start} {inside}" if is_property else f"{start}({inside})"
        return f"with {self.mode}: {text}" if self.mode else text


@st.composite
def calls(draw: Any, target: Target) -> Call:
    """A call of a target with valid and invalid arguments."""
    args: list[str] = []
    options: dict[str, str] = {}
    positional = True
    for p in parameters(target):
        texts = valid(p.name)
        if p.kind is p.VAR_POSITIONAL:
            args += draw(st.lists(st.sampled_from(texts), max_size=3)) if positional else []
            positional = False
        elif p.kind is p.VAR_KEYWORD:
            pass
        elif p.default is not p.empty and draw(st.integers(0, 9)) < 6:
            positional = False
        elif positional and p.kind is not p.KEYWORD_ONLY:
            args.append(draw(st.sampled_from(texts)))
        else:
            numpys = p.name in NUMPY and draw(st.booleans())
            options[NUMPY[p.name] if numpys else p.name] = draw(st.sampled_from(texts))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 0]))):
        invalid = draw(st.sampled_from(INVALID))
        places: list[Any] = [*range(len(args)), *options]
        kind = draw(st.integers(0, 19))
        if kind < 16 and places:
            place = draw(st.sampled_from(places))
            if isinstance(place, int):
                args[place] = invalid
            else:
                options[place] = invalid
        elif kind < 18:
            args.append(invalid)
        elif kind == 18:
            options[draw(st.sampled_from(["dim", "dtype", "device", "out", "nonsense"]))] = invalid
        elif args:
            args.pop()
    if target.owner is not None:
        args.insert(0, draw(st.sampled_from(receivers(target.owner))))
    return Call(target, args, options, draw(st.sampled_from(["", "", "", *MODES])))


# The checks
def state_of(value: Any, depth: int = 6) -> Any:
    """The state of a value that a call might change, in comparable form."""
    if depth <= 0 or isinstance(value, (type, ModuleType, Node)) or inspect.isfunction(value):
        return id(value)
    if isinstance(value, np.ndarray):
        content = repr(value) if value.dtype.hasobject else value.tobytes()
        return content, value.shape, value.strides, str(value.dtype), value.flags.writeable
    if isinstance(value, mg.Tensor):
        host = backend.LIBRARY_OF_TYPE[type(value.array)].to_host(value.array)
        about = value.requires_grad, id(value.grad_fn), value._value_range, value._assigned, value._retains_grad
        return state_of(host, depth - 1), about, state_of(value._grad, depth - 1)
    if isinstance(value, dict):
        return [(state_of(k, depth - 1), state_of(v, depth - 1)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [state_of(item, depth - 1) for item in value]
    if type(value).__module__.startswith("minigrad") and hasattr(value, "__dict__") and depth > 1:
        # The epoch of a DataLoader increases with each iteration.
        return state_of({k: v for k, v in vars(value).items() if k != "epoch"}, depth - 1)
    if isinstance(value, (int, float, complex, str, bytes, bytearray, set, slice, np.generic, backend.device)):
        return type(value), repr(value)
    return id(value)


def global_state() -> dict[str, Any]:
    """The state that no call may change as a side effect."""
    return {
        "is_grad_enabled": mg.is_grad_enabled(),
        "detect_anomaly": grad_mode.current_monitor(),
        "the registry of ops": dict(OPS),
        "NumPy's error state": np.geterr(),
        "the folder": sorted(os.listdir(".")),
        "the random numbers": repr(backend.random.generator().bit_generator.state),
    }


# Calls that may change the random numbers, and their first argument. (init draws before it writes.)
DRAWS = re.compile(
    r"init\.|rand|_seed|_rng_|[dD]ropout|Linear|Sequential|__call__|forward|__iter__|bernoulli|multinomial|normal"
    r"|poisson|uniform_|exponential_|Bilinear|Embedding|manual_seed"
)
CHANGES = re.compile(
    r"[^_]_$|__i\w+__$|__setitem__$|=$|\.(__call__|__iter__|add_module|append|apply|backward|cpu|cuda|double|eval|float"
    r"|load_state_dict|manual_seed|register_\w+|seed|set_state|requires_grad_|reset_parameters|retain_grad|step|to|touch|train|zero_grad)$"
)


def check_result(result: Any) -> Iterator[str]:
    """The problems of a result; of an iterator those of its first three items."""
    if isinstance(result, mg.Tensor):
        if type(result.array) not in backend.LIBRARY_OF_TYPE or result.dtype not in backend.DTYPES:
            yield f"returned a Tensor of {type(result.array).__name__} {result.dtype}"
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from check_result(item)
    elif isinstance(result, Iterator):
        yield from check_result(list(islice(result, 3)))
    elif isinstance(result, (mg.set_grad_enabled, mg.detect_anomaly)):
        with result:
            if not isinstance(mg.is_grad_enabled(), bool):
                yield f"made is_grad_enabled() {mg.is_grad_enabled()!r}"


def check_backward(result: Any) -> Iterator[str]:
    """The problems of the backward pass of a result."""
    if isinstance(result, mg.Tensor) and result.grad_fn is not None and mg.is_grad_enabled():
        try:
            result.sum().backward()
        except MemoryError:
            pass
        except BaseException as error:
            if not re.search("was modified in place|freed by an earlier backward", str(error)):
                yield f"its backward gave {type(error).__name__}: {error}"


def check_error(error: BaseException) -> Iterator[str]:
    """The problems of an exception."""
    abstract = isinstance(error, NotImplementedError)  # an abstract class names the missing method
    if not isinstance(error, DOCUMENTED) or isinstance(error, RecursionError):
        yield f"{type(error).__name__}: {error}"
    elif not str(error).strip() or (abstract and "write one" not in str(error) and "defines" not in str(error)):
        yield f"{type(error).__name__} without a message"


def problems(call: Call) -> list[str]:
    """The problems of a call."""
    name = call.target.name
    args = [value_of(text) for text in call.args]
    options = {option: value_of(text) for option, text in call.options.items()}
    given, texts = [*args, *options.values()], [*call.args, *call.options.values()]
    backend.manual_seed(0)
    before, around = [state_of(value) for value in given], global_state()
    wrong: list[str] = []
    failed = True
    result: Any = None
    try:
        with MODES[call.mode]():
            result = call.target.function(*args, **options)
            wrong += check_result(result)
        failed = False
    except BaseException as error:
        if type(error).__name__ not in (call.target.function.__doc__ or ""):
            wrong += check_error(error)
    allowed = (
        {"the random numbers"} if DRAWS.search(name) and (not failed or re.search("^init\\.|[a-z]_$", name)) else set()
    )
    allowed |= {"the folder"} if name == "mg.save" and not failed else set()
    after = global_state()
    wrong += [f"changed {key}" for key in around if around[key] != after[key] and key not in allowed]
    first = 1 if CHANGES.search(name) and not failed else 0
    for text, value, old in list(zip(texts, given, before))[first:]:
        now = state_of(value)
        if name == "mg.replay.__call__" and not failed and isinstance(value, mg.Tensor) and value.requires_grad:
            now, old = now[:-1], old[:-1]  # as backward does, it sets the gradient
        if now != old:
            wrong.append(f"changed its argument {text}" + (", though it failed" if failed else ""))
    wrong += check_backward(result)
    for file in set(os.listdir(".")) - {"weights"}:
        os.remove(file)
    return wrong


@pytest.fixture(scope="module", autouse=True)
def _memory_limit() -> Iterator[None]:
    """A call that allocates too much memory gets a MemoryError."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with a file of weights, no downloads, and a random generator of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("invalid"))
        patch.setitem(sys.modules, "torchvision.datasets", None)
        patch.setattr(backend.random, "_shared", backend.random.new_generator(0))
        mg.save(model().state_dict(), "weights")
        yield


def kinds() -> dict[str, list[Target]]:
    """The targets by module or class: mg.Tensor, mg, nn ..."""
    by_kind: dict[str, list[Target]] = {}
    for target in TARGETS.values():
        kind = "mg.Tensor" if target.owner is mg.Tensor else target.name.partition(".")[0]
        by_kind.setdefault(kind, []).append(target)
    return by_kind


KINDS = kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_invalid_calls_raise_documented_errors(kind: str) -> None:
    targets = KINDS[kind]
    wrong: dict[tuple[str, str], str] = {}  # the shortest call for each problem of each target

    @settings(max_examples=math.ceil(CALLS * len(targets) / len(TARGETS)))
    @given(st.sampled_from(targets).flatmap(calls))
    def run(call: Call) -> None:
        for problem in problems(call):
            key, text = (call.target.name, problem.partition(":")[0]), f"{call}  ->  {problem}"
            wrong[key] = min(wrong.get(key, text), text, key=len)

    run()
    assert not wrong, "\n".join(["", *wrong.values()])


def test_public_names_are_discovered() -> None:
    expected = "mg.relu mg.max mg.save mg.Tensor mg.Tensor.__add__ mg.Tensor.T mg.Tensor.add_ nn.Module nn.Module.to"
    expected += " F.mse_loss init.ones_ optim.SGD optim.Optimizer.step data.MNIST data.DataLoader.__iter__"
    expected += " mg.cuda.is_available"
    assert set(expected.split()) <= set(TARGETS)
    assert {f"mg.{name}" for name in OPS if hasattr(mg, name)} <= set(TARGETS)
