"""Modules, losses and helpers of torch.nn beside the first ones, next to torch: outputs, gradients and states."""

import copy

import numpy as np
import pytest

import minigrad as mg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))

MODULES = """
ELU() ELU(0.5) CELU(alpha=0.5) SELU() GELU() GELU(approximate="tanh") SiLU() SiLU(inplace=False) Mish() ReLU6()
Hardswish() Hardsigmoid() LogSigmoid() Softsign() Tanhshrink() Hardtanh(-0.5,2.0) Softshrink() Hardshrink(0.3)
Threshold(0.1,20.0) GLU() Softmin(dim=1) PReLU() PReLU(4) LayerNorm(4) LayerNorm((5,4),elementwise_affine=False)
LayerNorm([4],bias=False) BatchNorm1d(4) BatchNorm1d(4,momentum=None,affine=False)
BatchNorm1d(4,track_running_stats=False) RMSNorm(4) Unflatten(1,(2,2)) LazyLinear(3) LazyLinear(2,bias=False)
ReLU(inplace=True) LeakyReLU(0.2,inplace=True) Dropout(0.0,inplace=True)
"""


def build(expression, library):
    return eval(f"nn.{expression}", {"nn": library.nn})


def load_from_torch(ours, theirs):
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expression", MODULES.split())
def test_module_agrees_with_torch(expression, device, torch):
    ours, theirs = build(expression, mg), build(expression, torch)
    if "Lazy" in expression:
        ours(mg.tensor(X.astype("f")))
        theirs(torch.tensor(X.astype("f")))
    ours, theirs = ours.to(device, mg.float64), theirs.double()
    load_from_torch(ours, theirs)
    for train in (True, True, False):
        results = []
        for library, module in ((mg, ours), (torch, theirs)):
            module.train(train)
            x = library.tensor(X, **({"device": device} if library is mg else {})).requires_grad_()
            y = module(x * 1.0)
            (y * y * y).sum().backward()
            gradients = [parameter.grad for parameter in module.parameters()]
            results.append([host(each) for each in (y, x.grad, *gradients, *module.state_dict().values())])
            module.zero_grad()
        rtol = 1e-7 if "Hardsigmoid" in expression else 1e-9  # torch rounds 1/6 to float32
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)
    assert repr(ours).partition("(")[0] == expression.partition("(")[0]


def host(x):
    return x.detach().cpu().numpy()


T = RNG.uniform(0.1, 0.9, (5, 4))
SIGNS = np.sign(RNG.normal(size=5))
LOSSES = [
    ("L1Loss()", (X, T)),
    ("SmoothL1Loss(beta=0.5)", (X, T)),
    ("SmoothL1Loss(beta=0.0, reduction='sum')", (X, T)),
    ("HuberLoss(delta=0.7)", (X, T)),
    ("BCELoss()", (T, np.round(T))),
    ("BCELoss(reduction='none')", (T, T[::-1].copy())),
    ("KLDivLoss(reduction='batchmean')", (np.log(T), T)),
    ("KLDivLoss(log_target=True, reduction='sum')", (np.log(T), np.log(T))),
    ("PoissonNLLLoss()", (X, T)),
    ("PoissonNLLLoss(log_input=False, reduction='sum')", (T, T)),
    ("GaussianNLLLoss(full=True)", (X, T, T)),
    ("SoftMarginLoss()", (X[:, 0].copy(), SIGNS)),
    ("HingeEmbeddingLoss(0.5)", (X[:, 0].copy(), SIGNS)),
    ("MarginRankingLoss(0.1)", (X[:, 0].copy(), T[:, 0].copy(), SIGNS)),
    ("CosineEmbeddingLoss(0.1)", (X, T, SIGNS)),
    ("TripletMarginLoss(margin=0.5)", (X, T, X[::-1].copy())),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("expression", "arrays"), LOSSES, ids=[name for name, _ in LOSSES])
def test_loss_agrees_with_torch(expression, arrays, device, torch):
    results = []
    for library, options in ((mg, {"device": device}), (torch, {})):
        x, *rest = (library.tensor(array, **options) for array in arrays)
        loss = build(expression, library)(x.requires_grad_(), *rest)
        loss.sum().backward()
        results.append((host(loss), host(x.grad)))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_bce_of_certain_predictions_is_finite():
    p = mg.tensor([0.0, 1.0], requires_grad=True)
    loss = mg.nn.BCELoss()(p, mg.tensor([1.0, 1.0]))
    loss.backward()
    assert loss.item() == 50
    assert np.isfinite(p.grad.numpy()).all()
    with pytest.raises(ValueError, match="expected probabilities from 0 to 1"):
        mg.nn.BCELoss()(p + 1, p)
    with pytest.raises(ValueError, match="expected target of shape"):
        mg.nn.L1Loss()(p, mg.ones(3))


def test_embedding_agrees_with_torch(device, torch):
    results, indices = [], [[1, 2, 0], [1, 3, 3]]
    table = RNG.normal(size=(4, 2)).astype("f")
    for library, options in ((mg, {"device": device}), (torch, {})):
        layer = library.nn.Embedding(4, 2, padding_idx=0)
        with library.no_grad():
            layer.weight.copy_(library.tensor(table))
        layer = layer.to(device if library is mg else "cpu")
        y = layer(library.tensor(indices, **options))
        (y * y).sum().backward()
        results.append((host(y), host(layer.weight.grad)))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    fixed = mg.nn.Embedding.from_pretrained(mg.tensor(table))
    assert not fixed.weight.requires_grad
    assert mg.nn.Embedding(3, 2, padding_idx=-1).weight[2].tolist() == [0, 0]


def test_bilinear_agrees_with_torch(torch):
    ours, theirs = mg.nn.Bilinear(3, 2, 4), torch.nn.Bilinear(3, 2, 4)
    load_from_torch(ours, theirs)
    a, b = RNG.normal(size=(5, 3)).astype("f"), RNG.normal(size=(5, 2)).astype("f")
    expected = theirs(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(host(ours(mg.tensor(a), mg.tensor(b))), host(expected), rtol=1e-5, atol=1e-6)


def test_similarities_agree_with_torch(torch):
    for expression in ("CosineSimilarity()", "CosineSimilarity(dim=0)", "PairwiseDistance()", "PairwiseDistance(1.0)"):
        ours, expected = (host(build(expression, lib)(lib.tensor(X), lib.tensor(T))) for lib in (mg, torch))
        np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_parameter_and_submodule_are_found_by_name():
    model = mg.nn.Sequential(mg.nn.Sequential(mg.nn.Linear(1, 2)))
    assert model.get_submodule("0.0").out_features == 2
    with pytest.raises(AttributeError, match="has no submodule '1'"):
        model.get_submodule("1")
    model.register_parameter("scale", mg.nn.Parameter(mg.ones(1)))
    assert "scale" in dict(model.named_parameters())
    with pytest.raises(KeyError, match="has an attribute 'scale' already"):
        model.register_parameter("scale", None)


def test_module_dict_holds_submodules():
    layers = mg.nn.ModuleDict({"a": mg.nn.Linear(2, 2), "b": mg.nn.ReLU()})
    layers["c"] = mg.nn.Linear(2, 1)
    del layers["b"]
    assert [*layers.keys()] == ["a", "c"]
    assert "a" in layers
    assert len(layers) == len([*layers.values()]) == len([*layers.items()]) == 2
    assert [name for name, _ in layers.named_parameters()] == ["a.weight", "a.bias", "c.weight", "c.bias"]


def test_parameter_list_holds_parameters():
    values = mg.nn.ParameterList([mg.ones(2), mg.nn.Parameter(mg.zeros(3))])
    assert len(values) == 2
    assert [name for name, _ in values.named_parameters()] == ["0", "1"]
    assert values[-1].shape == (3,)
    assert [value.requires_grad for value in values] == [True, True]


def test_lazy_linear_is_made_by_its_first_input():
    layer = mg.nn.LazyLinear(3)
    assert list(layer.parameters()) == []
    assert layer(mg.ones(2, 5)).shape == (2, 3)
    assert layer.weight.shape == (3, 5)
    assert copy.deepcopy(layer)(mg.ones(1, 5)).shape == (1, 3)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
def test_gradient_clipping_agrees_with_torch(norm_type, device, torch):
    results = []
    for library, options in ((mg, {"device": device}), (torch, {})):
        a, b = (library.tensor(x, **options).requires_grad_() for x in (X, X[0]))
        (a**2).sum().backward()
        (b**3).sum().backward()
        total = library.nn.utils.clip_grad_norm_([a, b], 1.5, norm_type=norm_type)
        norms = [host(each).copy() for each in (total, a.grad, b.grad)]
        library.nn.utils.clip_grad_value_(a, 0.01)
        results.append([*norms, host(a.grad)])
    for x, y in zip(*results):
        np.testing.assert_allclose(x, y, rtol=1e-9)
    assert mg.nn.utils.clip_grad_norm_([mg.ones(1)], 1.0).item() == 0


def test_parameters_become_a_vector_and_back():
    model = mg.nn.Linear(2, 3)
    vector = mg.nn.utils.parameters_to_vector(model.parameters())
    mg.nn.utils.vector_to_parameters(vector.detach() * 2, model.parameters())
    np.testing.assert_array_equal(
        mg.nn.utils.parameters_to_vector(model.parameters()).detach().numpy(), vector.detach().numpy() * 2
    )
