"""The arguments of an op: positions, keywords, torch's and NumPy's names, numbers, None, devices, defaults."""

import inspect
import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.nn import functional as F
from minigrad.testing.formulas import FORMULAS

X, Y = mg.tensor([[1.0, 2.0]]), mg.tensor([[3.0, 4.0]])


@pytest.mark.parametrize("function", [mg.cat, OPS["cat"]])
def test_cat_takes_a_sequence_and_dim(function):
    for call in (
        lambda: function([X, Y], 1),
        lambda: function((X, Y), dim=1),
        lambda: function([X, Y], axis=-1),
        lambda: function(tensors=[X, Y], dim=1),
    ):
        assert call().tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert function([X, Y]).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_stack_takes_its_dim_by_position_and_by_name():
    assert mg.stack([X, Y], 2).tolist() == [[[1.0, 3.0], [2.0, 4.0]]]
    assert mg.stack([X, Y], -1).tolist() == mg.stack([X, Y], axis=2).tolist() == [[[1.0, 3.0], [2.0, 4.0]]]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: mg.sum(input=X), 3.0),
        (lambda: mg.sum(input=X, dim=1), [3.0]),
        (lambda: mg.sum(X, axis=1, keepdims=True), [[3.0]]),
        (lambda: mg.sum(X, 1, True), [[3.0]]),
        (lambda: mg.sum(x=X, dim=-1, keepdim=False), [3.0]),
        (lambda: mg.add(input=X, other=Y), [[4.0, 6.0]]),
        (lambda: mg.sub(X, other=Y), [[-2.0, -2.0]]),
        (lambda: mg.sub(other=Y, input=X), [[-2.0, -2.0]]),
        (lambda: mg.sub(b=Y, a=X), [[-2.0, -2.0]]),
        (lambda: X.sub(other=Y), [[-2.0, -2.0]]),
        (lambda: mg.matmul(input=X, other=Y.T), [[11.0]]),
        (lambda: mg.transpose(X, 0, 1), [[1.0], [2.0]]),
        (lambda: mg.softmax(input=X * 0, dim=1), [[0.5, 0.5]]),
        (lambda: OPS["permute"](X, axes=(1, 0)), [[1.0], [2.0]]),
        (lambda: F.linear(input=X, w=Y), [[11.0]]),
    ],
)
def test_arguments_have_torch_and_numpy_names(call, expected):
    assert call().tolist() == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.cat([X, Y], 0, 1), r"cat: got 1 more arguments than cat\(\*tensors, dim\) takes"),
        (lambda: mg.sum(X, 0, True, 1, 2), r"sum: got 2 more arguments than sum\(x, dim, keepdim\) takes"),
        (lambda: mg.exp(X, out=Y), r"exp: unknown argument 'out'; the arguments are exp\(x\)"),
        (lambda: mg.exp(X, other=Y), r"exp: unknown argument 'other'"),
        (lambda: mg.mul(X, Y, alpha=2), r"mul: unknown argument 'alpha'; the arguments are mul\(a, b\)"),
        (lambda: mg.add(X, Y, alpha="2"), "add: expected a number of the dtype float32, float32 as alpha, got '2'"),
        (lambda: mg.add(X.long(), 1, alpha=0.5), "add: expected a number of the dtype int64 as alpha, got 0.5"),
        (lambda: mg.softmax(X, 0, dtype="int64"), "softmax: expected float32 or float64 as dtype, got int64"),
        (lambda: F.linear(X, bias=Y), "linear: missing argument `w`"),
        (lambda: mg.sum(X, 0, dim=1), "sum: got `dim` twice, by position and by name"),
        (lambda: mg.add(X, Y, input=X), "add: got `input` twice, by position and by name"),
        (lambda: mg.add(X, a=X), "add: got `a` twice, by position and by name"),
        (lambda: mg.add(input=X, a=X), "add: got `a` twice, by position and by name"),
        (
            lambda: mg.softmax(X),
            r"softmax: missing argument `dim`, the axis to work along: dim=1 \(or -1\) is the last",
        ),
        (lambda: mg.log_softmax(mg.tensor(1.0)), "log_softmax: missing argument `dim`$"),
        (lambda: OPS["permute"](X), "permute: missing argument `dims`$"),
        (lambda: mg.transpose(X, 0), "transpose: missing argument `dim1`$"),
        (lambda: mg.add(X), r"add: missing argument `b`; the arguments are add\(a, b\)"),
        (lambda: OPS["linear"](X), r"linear: missing argument `w`; the arguments are linear\(x, w, b\)"),
        (lambda: mg.exp(), r"exp: expected a Tensor, got none; the arguments are exp\(x\)"),
        (lambda: mg.add(2.0, 3.0), "add: expected a Tensor, got float, float"),
        (lambda: mg.cat([]), "cat: expected a Tensor, got none"),
        (lambda: mg.add(X, None), "add: expected Tensors or numbers, got NoneType"),
        (lambda: mg.add(X, "1"), r"add: expected Tensors or numbers, got str; use tensor\(...\)"),
        (lambda: mg.add(X, 1j), "add: expected Tensors or numbers, got complex"),
        (lambda: mg.add(X, np.ones(2)), "add: expected Tensors or numbers, got ndarray"),
        (lambda: F.linear(X, None), "linear: expected a Tensor, got NoneType"),
        (lambda: F.linear(X, Y, np.ones(1)), "linear: expected a Tensor, got ndarray"),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("number", [2, 2.0, True])
def test_numbers_are_operands_but_not_matrices(number):
    for call in (lambda: mg.matmul(X, number), lambda: X @ number, lambda: mg.cat([X, number])):
        with pytest.raises(TypeError, match=r"(matmul|cat): expected a Tensor, got"):
            call()
    assert (X + number).tolist() == (number + X).tolist() == [[1.0 + number, 2.0 + number]]


def test_optional_array_may_be_none_or_left_out():
    w = mg.ones(4, 2)
    assert F.linear(X, w).tolist() == F.linear(X, w, None).tolist() == [[3.0] * 4]


def test_tensors_on_two_devices_raise():
    for one, other in itertools.permutations(["cpu", "strict"]):
        with pytest.raises(RuntimeError, match=f"add: expected Tensors on one device, got {one} and {other}; use x.to"):
            X.to(one) + X.to(other)
        with pytest.raises(RuntimeError, match=f"mul: expected Tensors on one device, got {one} and {other}"):
            X.to(one) * (X > 0).to(other)


@pytest.mark.parametrize(
    ("function", "args", "signature"),
    [
        (mg.sum, (mg.ones(2, 2), 1, True), "(x, dim=None, keepdim=False)"),
        (mg.softmax, (mg.ones(2, 2), 1), "(x, dim)"),
        (mg.cat, (mg.ones(2, 2), mg.ones(2, 2)), "(*tensors, dim=0)"),
        (mg.matmul, (mg.ones(2, 2), mg.ones(2, 2)), "(a, b)"),
    ],
)
def test_op_has_the_signature_of_its_call(function, args, signature):
    shown = inspect.signature(function)
    assert str(shown) == signature
    assert function(*shown.bind(*args).args).tolist() == function(*args).tolist()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda p: OPS["binary_cross_entropy_with_logits"](X.clone().requires_grad_(), Y, p), "pos_weight"),
        (lambda p: F.binary_cross_entropy_with_logits(X.clone().requires_grad_(), Y, pos_weight=p), "pos_weight"),
        (lambda p: OPS["softmax_cross_entropy"](X.clone().requires_grad_(), p), "one_hot"),
    ],
)
def test_gradient_of_a_constant_argument_raises(call, name):
    with pytest.raises(TypeError, match=rf"not differentiable with respect to `{name}`; use {name}.detach\(\)"):
        call(mg.ones(1, 2, requires_grad=True))


# Every op, by every form of its arguments
def examples_of(name):
    """Arrays and options for an op, from its row of FORMULAS."""
    op, formula, rng = OPS[name].op, FORMULAS[name], np.random.default_rng(0)
    shapes = [(2, 3, 4)] * (3 if op.variadic else len(op.array_names))
    shapes = {"matmul": [(2, 3, 4), (4, 2)], "linear": [(2, 3, 4), (5, 4), (5,)]}.get(name, shapes)
    arrays = [mg.tensor(np.asarray(formula.draw(rng, shape, i))) for i, shape in enumerate(shapes)]
    for options in formula.options(shapes[0]):
        yield arrays, {"device": mg.device("cpu"), "source": mg.device("cpu")} if name == "move" else options


def other_forms(value):
    """The same option as NumPy numbers, and as lists instead of tuples."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value, np.int64(value), np.int8(value)]
    if isinstance(value, float):
        return [value, np.float64(value)]
    if isinstance(value, tuple) and all(isinstance(each, int) for each in value):
        return [value, list(value), tuple(np.int64(each) for each in value)]
    return [value]


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_every_form_of_a_call_gives_the_same_bits(name):
    """By position, by keyword, as a method; options as NumPy numbers and lists."""
    op = OPS[name].op
    for arrays, options in examples_of(name):
        expected = OPS[name](*arrays, **options).numpy()
        calls = []
        if [*options] == [*op.options][: len(options)]:  # else an option in between is left out
            calls.append(lambda a=arrays, o=options: OPS[name](*([a] if op.variadic else a), *o.values()))
        if op.variadic:
            calls.append(lambda a=arrays, o=options: OPS[name](a, **o))
            calls.append(lambda a=arrays, o=options: OPS[name](tuple(a), **o))
            calls.append(lambda a=arrays, o=options: OPS[name](tensors=a, **o))
        else:
            calls.append(lambda a=arrays, o=options: OPS[name](**dict(zip(op.array_names, a)), **o))
            if name != "where":  # its second array is torch's `input`
                named = dict(zip(op.array_names[1:], arrays[1:]))
                calls.append(lambda a=arrays, n=named, o=options: OPS[name](input=a[0], **n, **o))
            if hasattr(mg.Tensor, name) and name not in (
                "reshape",
                "permute",
                "broadcast_to",
                "scatter",
                "where",
            ):  # of other arguments
                calls.append(lambda a=arrays, o=options: getattr(a[0], name)(*a[1:], **o))
        for option, value in options.items():
            calls += [
                lambda a=arrays, o={**options, option: form}: OPS[name](*a, **o)
                for form in other_forms(value)
                if option not in ("index", "dtype", "reduction")
            ]
        for call in calls:
            assert call().numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "eq", "lt", "ge"])
@pytest.mark.parametrize("number", [2, 0.5, True, np.float32(0.5), np.float64(0.5), np.int64(2), np.int8(2)])
def test_numbers_of_every_type_are_operands(name, number, torch):
    """A Python number or one of NumPy gives the dtype and value that a Python number gives in torch."""
    x = mg.tensor([0.5, 2.0, 3.0])
    expected = {"eq": "bool", "lt": "bool", "ge": "bool"}.get(name, "float32")
    plain = number.item() if isinstance(number, np.generic) else number
    for given in (number, plain):
        y, z = OPS[name](x, given), OPS[name](given, x)
        assert (y.dtype, z.dtype) == (expected, expected)
        assert y.tolist() == OPS[name](x, mg.tensor(float(plain))).tolist()
        assert z.tolist() == OPS[name](mg.tensor(float(plain)), x).tolist()
