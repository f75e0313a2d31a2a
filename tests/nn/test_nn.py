"""Modules: what they find, hold, save and print; the layers' defaults against torch."""

import math
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.scale = nn.Parameter(mg.ones(1))
        self.rest = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(3, 2, bias=False))

    def forward(self, x):
        return self.rest(self.first(x) * self.scale)


def test_parameters_are_in_order_of_assignment():
    names = [name for name, _ in Net().named_parameters()]
    assert names == ["scale", "first.weight", "first.bias", "rest.2.weight"]
    assert list(Net().state_dict()) == names


def test_modules_repr_and_keys_are_torchs():
    torch = pytest.importorskip("torch", reason="torch is the reference of this test")

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(4, 3)
            self.scale = torch.nn.Parameter(torch.ones(1))
            self.rest = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(3, 2, bias=False))

    ours, theirs = Net(), Theirs()
    assert repr(ours) == repr(theirs).replace("Theirs", "Net").replace("(p=0.2, inplace=False)", "(p=0.2)")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    for layer in ("Flatten()", "LeakyReLU(0.2)", "Sigmoid()", "Tanh()", "Softmax(dim=1)", "Softplus()", "Identity()"):
        assert repr(eval(f"nn.{layer}")) == repr(eval(f"torch.nn.{layer}"))


def test_weights_move_between_torch_and_minigrad_both_ways():
    torch = pytest.importorskip("torch", reason="torch is the reference of this test")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    ours = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(ours(mg.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5)
    ours = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})
    np.testing.assert_allclose(ours(mg.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5)


def test_nested_containers_have_parameters_mode_and_state():
    model = nn.Sequential(nn.ModuleList([nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2))]), nn.Tanh())
    assert len(list(model.parameters())) == 4
    assert list(model.state_dict())[-1] == "0.1.1.bias"
    model.eval()
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())


def test_shared_layer_is_found_and_updated_once():
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(model.parameters())) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_unknown_attribute_raises():
    with pytest.raises(AttributeError):
        _ = Net().mode


def test_sequential_takes_names_indices_and_slices():
    model = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), act=nn.ReLU(), out=nn.Linear(3, 1)))
    assert list(model.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    assert model[0] is model.hidden
    assert model[-1] is model.out
    assert len(model) == 3
    assert len(model[:2]) == 2
    assert isinstance(model[:2], nn.Sequential)
    with pytest.raises(TypeError, match="expected a Module"):
        nn.Sequential(nn.Linear(1, 1), mg.relu)


def test_load_state_dict_mismatch_changes_nothing():
    model = Net()
    before = {name: value.tolist() for name, value in model.state_dict().items()}
    good = {name: mg.zeros(value.shape) for name, value in model.state_dict().items()}
    for bad, message in [
        ({**good, "first.bias": mg.zeros(4)}, r"first.bias: expected \(3,\) float32, got \(4,\) float32"),
        ({**good, "first.bias": mg.zeros(3, dtype=mg.float64)}, "first.bias: .* got .* float64"),
        ({**good, "extra": mg.zeros(1)}, "unexpected: extra"),
        ({name: value for name, value in good.items() if name != "scale"}, "missing: scale"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            model.load_state_dict(bad)
        assert {name: value.tolist() for name, value in model.state_dict().items()} == before
    keys = model.load_state_dict({"first.bias": good["first.bias"], "extra": mg.zeros(1)}, strict=False)
    assert keys.unexpected_keys == ["extra"]
    assert "scale" in keys.missing_keys
    assert model.first.bias.tolist() == [0.0] * 3


@pytest.mark.parametrize("fan_in", [16, 784])
def test_linear_starts_with_torchs_distribution(fan_in):
    mg.manual_seed(0)
    layer = nn.Linear(fan_in, 4000)
    bound = 1 / math.sqrt(fan_in)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)  # of a uniform distribution
        assert abs(values.mean()) < 0.05 * bound


def test_init_functions_have_their_variance():
    mg.manual_seed(0)
    w = mg.zeros(400, 300)
    assert nn.init.kaiming_normal_(w).numpy().std() == pytest.approx(math.sqrt(2 / 300), rel=0.05)
    assert nn.init.kaiming_uniform_(w).numpy().std() == pytest.approx(math.sqrt(2 / 300), rel=0.05)
    assert nn.init.xavier_uniform_(w).numpy().std() == pytest.approx(math.sqrt(2 / 700), rel=0.05)
    assert nn.init.normal_(w, 3.0, 0.5).numpy().mean() == pytest.approx(3.0, rel=0.05)
    assert set(nn.init.ones_(w).numpy().ravel()) == {1.0}
    with pytest.raises(ValueError, match="weight matrix"):
        nn.init.kaiming_uniform_(mg.zeros(3))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_is_off_in_eval(p):
    mg.manual_seed(0)
    layer, x = nn.Dropout(p), mg.ones(100_000, requires_grad=True)
    y = layer(x)
    assert y.mean().item() == pytest.approx(1.0, abs=5 * math.sqrt(p / (1 - p) / 100_000))
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())
    assert layer.eval()(x) is x


def test_dropout_of_everything_and_of_nothing():
    x = mg.ones(10)
    assert nn.Dropout(1.0)(x).tolist() == [0.0] * 10
    assert nn.Dropout(0.0)(x).tolist() == [1.0] * 10
    with pytest.raises(ValueError, match="probability"):
        nn.Dropout(1.5)


def test_to_keeps_the_parameters_and_moves_their_gradients():
    model = nn.Linear(2, 2)
    weight = model.weight
    model(mg.ones(1, 2)).sum().backward()
    model.to(mg.float64)
    assert model.weight is weight
    assert weight.dtype == mg.float64
    assert weight.grad.dtype == mg.float64


def test_invalid_sizes_and_uses_raise():
    with pytest.raises(ValueError, match=r"has 5 features, but the weight \(2, 4\) expects 4"):
        nn.Linear(4, 2)(mg.ones(3, 5))
    with pytest.raises(ValueError, match="sizes of 1 or more"):
        nn.Linear(0, 2)
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none'"):
        nn.CrossEntropyLoss(reduction="average")


def test_loss_modules_equal_the_functions():
    F = nn.functional
    scores, labels = mg.randn(4, 3), mg.tensor([0, 2, 1, 1])
    weight = mg.tensor([1.0, 2.0, 3.0])
    pairs = [
        (
            nn.CrossEntropyLoss(weight, label_smoothing=0.1),
            F.cross_entropy(scores, labels, weight, label_smoothing=0.1),
        ),
        (nn.NLLLoss(weight, reduction="sum"), F.nll_loss(scores, labels, weight, reduction="sum")),
    ]
    for module, value in pairs:
        assert module(scores, labels).item() == value.item()
    assert nn.MSELoss()(scores, scores * 2).item() == F.mse_loss(scores, scores * 2).item()
    assert nn.BCEWithLogitsLoss(pos_weight=weight)(scores, scores.sigmoid()).item() == (
        F.binary_cross_entropy_with_logits(scores, scores.sigmoid(), pos_weight=weight).item()
    )


def test_leaky_relu_default_slope_is_001():
    assert nn.LeakyReLU()(mg.tensor([-100.0, 2.0])).tolist() == pytest.approx([-1, 2])


def test_apply_visits_children_before_parents():
    model = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    seen = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["ReLU", "Sequential", "Tanh", "Sequential"]


def test_module_requires_grad_sets_all_parameters():
    model = nn.Linear(2, 2)
    assert not any(p.requires_grad for p in model.requires_grad_(False).parameters())
    assert all(p.requires_grad for p in model.requires_grad_().parameters())


def test_zero_grad_resets_to_none_or_zeros():
    model = nn.Linear(2, 2)
    for reset in (model.zero_grad, optim.SGD(model.parameters()).zero_grad):
        model(mg.ones(1, 2)).sum().backward()
        reset(set_to_none=False)
        assert model.weight.grad.tolist() == [[0, 0], [0, 0]]
        reset()
        assert model.weight.grad is None
