"""Module: names, buffers, shared parts and cycles, and what changes its memory."""

import copy
import pickle
from collections import OrderedDict
from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


def names(pairs):
    return [name for name, _ in pairs]


# Names
@pytest.mark.parametrize(
    "name", ["a.b", "", "forward", "training", "parameters", "append", "state_dict", "_buffers", "to"]
)
def test_sequential_rejects_names_that_lose_layers(name):
    with pytest.raises(KeyError, match=r"Sequential: (has an attribute|expected a name without dots)"):
        nn.Sequential({"a": nn.Sequential({"b": nn.Linear(1, 1)}), name: nn.Linear(2, 2)})


@pytest.mark.parametrize("value", [nn.Linear(1, 1), nn.Parameter(mg.ones(1))], ids=["module", "parameter"])
@pytest.mark.parametrize("name", ["a.b", "", "forward", "training", "zero_grad"])
def test_attributes_with_invalid_names_raise(name, value):
    module = nn.Module()
    with pytest.raises(KeyError, match=r"Module: (has an attribute|expected a name without dots)"):
        setattr(module, name, value)
    assert names(module.named_parameters()) == []


def test_names_are_strings():
    with pytest.raises(TypeError, match="expected a string as name, got int"):
        nn.Sequential({1: nn.ReLU()})
    with pytest.raises(TypeError, match="expected a string as name, got int"):
        nn.Module().register_buffer(1, mg.ones(1))


def test_add_module_replaces_a_submodule_and_nothing_else():
    model = nn.Sequential(nn.Linear(1, 1))
    model.scale = 3
    new = nn.ReLU()
    model.add_module("0", new)
    assert model[0] is new
    with pytest.raises(KeyError, match="has an attribute 'scale' already"):
        model.add_module("scale", nn.ReLU())
    with pytest.raises(TypeError, match="expected a Module, got int"):
        model.add_module("1", 3)


@pytest.mark.parametrize("value", [mg.ones(2, 2), 3, "text", np.ones((2, 2))], ids=lambda value: type(value).__name__)
def test_parameter_is_replaced_only_by_a_parameter(value, torch):
    layer, theirs = nn.Linear(2, 2), torch.nn.Linear(2, 2)
    weight = layer.weight
    with pytest.raises(TypeError, match=rf"Linear.weight: expected a Parameter or None, got {type(value).__name__}"):
        layer.weight = value
    with pytest.raises(TypeError):
        theirs.weight = value
    assert layer.weight is weight
    layer.weight = nn.Parameter(mg.zeros(2, 2))
    layer.bias = None
    assert names(layer.named_parameters()) == ["weight"]


def test_submodule_is_replaced_only_by_a_module():
    model = nn.Sequential(nn.Linear(1, 1))
    model.head = nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"Sequential\.head: expected a Module or None, got builtin_function_or_method"):
        model.head = abs
    model.head = nn.ReLU()
    model.note = "other attributes are free"
    model.note = 3


# Slices and appends
@pytest.mark.parametrize("index", [slice(1, None), slice(None, 2), slice(None, None, 2), slice(3, 3), slice(-1, None)])
def test_slice_of_sequential_has_torchs_keys(index, torch):
    ours = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    assert list(ours[index].state_dict()) == list(theirs[index].state_dict())
    assert all(a is b for a, b in zip(ours[index], list(ours)[index], strict=True))
    named = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.ReLU(), c=nn.Linear(2, 2)))
    assert [*named[index]._modules] == ["a", "b", "c"][index]


def test_append_to_a_slice_keeps_all_layers():
    part = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))[1:].append(nn.Linear(2, 2))
    assert len(part) == 2
    assert list(part.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]


def test_layer_used_twice_counts_twice_in_a_sequential():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert (len(model), len(list(model)), len(model[:2])) == (3, 3, 2)
    assert names(model.named_children()) == ["0", "1"]
    x = mg.ones(1, 2)
    assert model(x).tolist() == shared(shared(x).relu()).tolist()


# Shared parts and cycles
class Child(nn.Module):
    def __init__(self, parent):
        self.parent = parent
        self.weight = nn.Parameter(mg.ones(2))
        self.register_buffer("count", mg.zeros(1))


class Parent(nn.Module):
    def __init__(self):
        self.child = Child(self)


def test_cycles_of_modules_are_visited_once():
    model, visited = Parent(), []
    assert names(model.named_modules()) == ["", "child"]
    assert names(model.named_parameters()) == ["child.weight"]
    assert names(model.named_buffers()) == ["child.count"]
    assert list(model.state_dict()) == ["child.weight", "child.count"]
    assert model.apply(visited.append) is model
    assert visited == [model.child, model]
    model.eval().double().zero_grad()
    assert (model.child.training, model.child.weight.dtype) == (False, "float64")
    assert "..." in repr(model)
    model.load_state_dict(model.state_dict())
    assert copy.deepcopy(model).child.parent is not model


def test_parts_shared_at_many_levels_are_visited_once():
    model = nn.Linear(2, 2)
    for _ in range(60):  # 2⁶⁰ paths
        model = nn.Sequential(model, model)
    visited = []
    model.eval().double().apply(visited.append)
    assert len(list(model.modules())) == len(visited) == 61
    assert isinstance(visited[0], nn.Linear)
    assert len(list(model.parameters())) == 2


def test_apply_visits_submodules_first_and_in_order():
    model, visited = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU(), nn.Tanh())), []
    model.apply(lambda module: visited.append(type(module).__name__))
    assert visited == ["Linear", "ReLU", "Tanh", "Sequential", "Sequential"]


# Buffers
def with_buffers(library):
    """A Module of minigrad or torch with a parameter and buffers of all kinds."""
    module = library.nn.Module()
    module.register_buffer("mean", library.zeros(2))
    module.register_buffer("count", library.zeros(1, dtype=library.int64))
    module.register_buffer("cache", library.ones(1), persistent=False)
    module.register_buffer("unset", None)
    module.weight = library.nn.Parameter(library.ones(2))
    return module


def test_buffers_are_torchs(torch):
    ours, theirs = with_buffers(mg), with_buffers(torch)
    for module in (ours, theirs):
        module.double()
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight", "mean", "count"]
    assert names(ours.named_buffers()) == names(theirs.named_buffers()) == ["mean", "count", "cache"]
    assert len(list(ours.parameters())) == 1
    for (_, a), (_, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert str(a.dtype) == str(b.dtype).removeprefix("torch.")
    theirs.mean += 3
    ours.load_state_dict(theirs.state_dict())
    assert ours.mean.tolist() == [3.0, 3.0]


def test_buffer_moves_and_stays_a_buffer():
    module = nn.Sequential(with_buffers(mg))
    module[0].mean = module[0].mean * 2 + 1
    assert module.state_dict()["0.mean"].tolist() == [1.0, 1.0]
    module.to("strict")
    assert {str(buffer.device) for buffer in module.buffers()} == {"strict"}
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module.cpu()))):
        assert names(again.named_buffers()) == ["0.mean", "0.count", "0.cache"]
    part = module[0]
    for name in ("mean", "unset"):
        with pytest.raises(TypeError, match=f"Module.{name}: expected a Tensor or None, got int"):
            setattr(part, name, 3)
    part.mean = None
    assert list(part.state_dict()) == ["weight", "count"]
    del part.mean
    assert list(part.to("cpu").state_dict()) == ["weight", "count"]
    part.count = nn.Parameter(mg.ones(1))
    assert (names(part.named_buffers()), names(part.named_parameters())) == (["cache"], ["count", "weight"])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("a.b", mg.ones(1), KeyError),
        ("weight", mg.ones(1), KeyError),
        ("forward", mg.ones(1), KeyError),
        ("x", 3, TypeError),
    ],
)
def test_invalid_buffers_raise(name, value, error):
    with pytest.raises(error, match="Linear"):
        nn.Linear(1, 1).register_buffer(name, value)


def test_class_weights_of_losses_are_buffers(torch):
    w = [1.0, 2.0, 3.0]
    for name, options in [
        ("CrossEntropyLoss", ["weight"]),
        ("NLLLoss", ["weight"]),
        ("BCEWithLogitsLoss", ["weight", "pos_weight"]),
    ]:
        ours = getattr(nn, name)(**{option: mg.tensor(w) for option in options})
        theirs = getattr(torch.nn, name)(**{option: torch.tensor(w) for option in options})
        assert list(ours.state_dict()) == list(theirs.state_dict()) == options
        assert list(ours.parameters()) == []
        assert list(getattr(nn, name)().state_dict()) == []
        ours.load_state_dict({option: value * 2 for option, value in theirs.state_dict().items()})
        assert ours.weight.tolist() == [2.0, 4.0, 6.0]
        ours.to("strict")
        scores = mg.randn(2, 3, device="strict")
        target = scores.sigmoid() if name == "BCEWithLogitsLoss" else mg.tensor([0, 2]).to("strict")
        assert ours(scores, target).device == scores.device
        with pytest.raises(TypeError, match=f"{name}.weight: expected a Tensor as buffer, got list"):
            getattr(nn, name)(w)


# Memory
CHANGES = {
    "load_state_dict": lambda layer: layer.load_state_dict({"weight": mg.zeros(2, 2), "bias": mg.zeros(2)}),
    "reset_parameters": lambda layer: layer.reset_parameters(),
    "uniform_": lambda layer: nn.init.uniform_(layer.weight),
    "normal_": lambda layer: nn.init.normal_(layer.weight),
    "constant_": lambda layer: nn.init.constant_(layer.weight, 5),
    "zeros_": lambda layer: nn.init.zeros_(layer.weight),
    "ones_": lambda layer: nn.init.ones_(layer.weight),
    "kaiming_uniform_": lambda layer: nn.init.kaiming_uniform_(layer.weight),
    "kaiming_normal_": lambda layer: nn.init.kaiming_normal_(layer.weight),
    "xavier_uniform_": lambda layer: nn.init.xavier_uniform_(layer.weight),
    "view": lambda layer: nn.init.zeros_(layer.weight.detach()[0]),
    "to": lambda layer: layer.double().float(),
}


def step(kind, layer, **options):
    layer(mg.ones(1, 2)).sum().backward()
    kind(layer.parameters(), lr=0.1, **options).step()


CHANGES |= {
    "SGD.step": partial(step, optim.SGD, momentum=0.9),
    "Adam.step": partial(step, optim.Adam),
    "AdamW.step": partial(step, optim.AdamW),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_changed_before_backward_raise(change):
    layer, x = nn.Linear(2, 2), mg.ones(1, 2, requires_grad=True)
    loss = (layer(x) ** 2).sum()
    CHANGES[change](layer)
    with pytest.raises(RuntimeError, match="modified in place"):
        loss.backward()


@pytest.mark.parametrize("owner", ["module", "optimizer"])
def test_zeroed_gradient_of_a_penalty_raises(owner):
    layer = nn.Linear(2, 1)
    (layer(mg.ones(1, 2)) ** 3).sum().backward(create_graph=True)
    penalty = (layer.weight.grad**2).sum()
    owner = layer if owner == "module" else optim.SGD(layer.parameters())
    owner.zero_grad(set_to_none=False)
    with pytest.raises(RuntimeError, match="modified in place"):
        penalty.backward()


def test_module_is_not_cast_to_integers():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="to: expected a floating dtype for a Module, got int64"):
        layer.to(mg.int64)
    assert layer.weight.dtype == mg.float32


# nn.init
@pytest.mark.parametrize("init", ["uniform_", "normal_"])
def test_init_rejects_what_it_cannot_fill(init):
    function = getattr(nn.init, init)
    with pytest.raises(TypeError, match=f"{init}: expected a Tensor of floating point, got dtype int64"):
        function(mg.zeros(2, dtype="int64"))
    with pytest.raises(ValueError, match=f"{init}: expected"):
        function(mg.zeros(2), 1.0, -1.0)
    with pytest.raises(TypeError, match=f"{init}: expected a Tensor as tensor, got ndarray"):
        function(np.zeros(2))
