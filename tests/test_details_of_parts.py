"""Details of the parts around the engine that the other tests came past without looking: mutants showed them."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import struct

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend, nn, optim
from minigrad import serialization as checkpoint
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op, tensor_namespace
from minigrad.autograd.tensor import value_range
from minigrad.data import MNIST, DataError, DataLoader, Digits, ImageDataset, Subset, TensorDataset, idx
from minigrad.serialization import CheckpointError
from minigrad.testing import formulas, gradcheck
from minigrad.testing import selftest as check
from minigrad.testing._diagnosis import factor
from minigrad.testing._function import draw
from minigrad.testing._report import Fault, Kink, Line, Report


# Dtypes and numbers
def test_ragged_rows_are_named():
    with pytest.raises(ValueError, match="expected numbers in rows of equal length"):
        mg.tensor([[1, 2], [3]])


# New Tensors
def test_a_tensor_of_a_tensor_stays_where_it_is():
    x = mg.ones(2, device="strict")
    assert mg.tensor(x).device == mg.device("strict")
    assert mg.tensor(x, device="cpu").device == mg.device("cpu")
    assert mg.tensor(mg.ones(2), device="strict").device == mg.device("strict")


def test_lists_may_hold_tensors_beside_numbers():
    assert mg.tensor([mg.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    assert mg.tensor([[3, 4], mg.tensor([5, 6])]).tolist() == [[3, 4], [5, 6]]


def test_full_takes_a_length_or_a_shape():
    assert mg.full(2, 7).tolist() == [7, 7]
    assert mg.full((1, 2), 0.5).tolist() == [[0.5, 0.5]]


def test_a_range_has_the_dtype_of_its_numbers_unless_one_is_given():
    assert mg.arange(3).dtype == "int64"
    assert mg.arange(0.5, 2).dtype == "float32"
    assert mg.arange(3, dtype="float64").dtype == "float64"


def test_new_tensors_require_a_gradient_only_when_asked():
    for make in (mg.zeros, mg.ones, mg.rand, mg.randn):
        assert not make(2).requires_grad
        assert make(2, requires_grad=True).requires_grad
    for x in (mg.eye(2), mg.full(2, 1.0), mg.tensor(1.0), mg.arange(2.0)):
        assert not x.requires_grad


def test_an_empty_range_of_random_integers_is_named():
    with pytest.raises(ValueError, match="randint: expected low < high, got 3 and 3"):
        mg.randint(3, 3, (2,))
    assert mg.randint(3, 4, (2,)).tolist() == [3, 3]


# Files of weights
def test_a_bool_that_is_neither_0_nor_1_is_damage(tmp_path):
    header = json.dumps({"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "weights"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00\x01")
    assert mg.load(path)["x"].tolist() == [False, True]
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00\x02")
    with pytest.raises(CheckpointError, match="x is bool, but has bytes other than 0 and 1"):
        mg.load(path)


def test_loaded_weights_can_be_changed_though_the_reader_gives_them_read_only(tmp_path, monkeypatch):
    def read_only(content):
        array = np.ones(2)
        array.flags.writeable = False
        return {"x": array}

    mg.save({"x": mg.ones(2)}, tmp_path / "weights")
    monkeypatch.setattr(checkpoint, "from_bytes", read_only)
    assert mg.load(tmp_path / "weights")["x"].fill_(3.0).tolist() == [3.0, 3.0]


# Losses
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("ignored", [0, 1, 2])
def test_ignore_index_may_be_the_least_or_the_greatest_label(loss, ignored):
    scores = mg.tensor([[0.1, 0.2, 0.4], [0.5, 0.3, 0.1], [0.2, 0.9, 0.3]], dtype="float64")
    labels = mg.tensor([0, 1, 2])
    counted = [i for i in range(3) if i != ignored]
    expected = loss(scores[counted], labels[counted]).item()
    assert loss(scores, labels, ignore_index=ignored).item() == pytest.approx(expected, rel=1e-12)


def test_smoothed_labels_are_weighed_by_class():
    scores = mg.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype="float64")
    loss = F.cross_entropy(scores, mg.tensor([1, 0]), mg.tensor([0.5, 2.0, 4.0]), label_smoothing=0.3)
    log_p = scores.numpy() - np.log(np.exp(scores.numpy()).sum(axis=1, keepdims=True))
    q = 0.7 * np.array([[0, 1, 0], [1, 0, 0]]) + 0.1
    assert loss.item() == pytest.approx(-(q * [0.5, 2, 4] * log_p).sum() / 2.5, rel=1e-12)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize(("scores", "label"), [(mg.tensor([[1, 2]]), mg.tensor([0])), (mg.tensor(1.0), mg.tensor(0))])
def test_scores_are_floating_and_have_an_axis_of_classes(loss, scores, label):
    with pytest.raises(TypeError, match=r"expected scores \(N, C\) of floating point"):
        loss(scores, label)


@pytest.mark.parametrize(("layer", "loss"), [(nn.CrossEntropyLoss(), F.cross_entropy), (nn.NLLLoss(), F.nll_loss)])
def test_the_losses_as_modules_ignore_the_label_that_the_functions_ignore(layer, loss):
    scores, labels = mg.tensor([[1.0, 2.0], [3.0, 0.5]]), mg.tensor([-100, 1])
    assert layer(scores, labels).item() == loss(scores, labels).item() == loss(scores[1:], labels[1:]).item()
    for label in (100, -101):
        with pytest.raises(IndexError, match="expected labels from 0 to 1"):
            layer(scores, mg.tensor([label, 1]))


# Initial weights
def moments(weights):
    """Mean and standard deviation."""
    return weights.numpy().mean(), weights.numpy().std()


def test_the_defaults_of_initial_weights_are_the_standard_distributions():
    mg.manual_seed(0)
    x = nn.init.uniform_(mg.zeros(100, 100))
    assert (x.numpy().min(), x.numpy().max()) == pytest.approx((0, 1), abs=0.01)
    assert moments(nn.init.normal_(x)) == pytest.approx((0, 1), abs=0.05)
    assert moments(nn.init.kaiming_normal_(x, a=0.5)) == pytest.approx((0, math.sqrt(2 / 1.25 / 100)), abs=0.005)
    assert nn.init.zeros_(x).numpy().max() == 0
    assert nn.init.ones_(x).numpy().min() == 1


def test_weights_of_one_input_are_as_wide_as_the_formula_says():
    mg.manual_seed(0)
    x = mg.zeros(1000, 1)
    assert np.abs(nn.init.kaiming_uniform_(x).numpy()).max() == pytest.approx(math.sqrt(6), rel=0.02)
    assert moments(nn.init.kaiming_normal_(x)) == pytest.approx((0, math.sqrt(2)), abs=0.15)
    assert np.abs(nn.Linear(1, 1000).weight.detach().numpy()).max() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(("one", "other"), [("0", 1.0), (0.0, "1"), (None, 1.0), (0.0, None)])
def test_the_two_numbers_of_a_distribution_are_numbers_both(one, other):
    for write in (nn.init.uniform_, nn.init.normal_):
        with pytest.raises(TypeError, match="_: expected numbers as"):
            write(mg.zeros(2), one, other)


def test_a_range_too_wide_for_floating_point_is_refused():
    with pytest.raises(ValueError, match="uniform_: expected a finite range"):
        nn.init.uniform_(mg.zeros(2), -1e308, 1e308)
    assert nn.init.uniform_(mg.zeros(2, dtype="float64"), 1e308, 1.1e308).numpy().min() >= 1e308


# Modules
def test_leaky_relu_leaks_one_hundredth():
    assert nn.LeakyReLU()(mg.tensor([-100.0, 2.0])).tolist() == pytest.approx([-1, 2])


def test_apply_calls_the_innermost_first():
    model = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    seen = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["ReLU", "Sequential", "Tanh", "Sequential"]


def test_a_model_freezes_and_thaws():
    model = nn.Linear(2, 2)
    assert not any(p.requires_grad for p in model.requires_grad_(False).parameters())
    assert all(p.requires_grad for p in model.requires_grad_().parameters())


def test_gradients_are_reset_to_none_unless_zeros_are_asked_for():
    model = nn.Linear(2, 2)
    for reset in (model.zero_grad, optim.SGD(model.parameters()).zero_grad):
        model(mg.ones(1, 2)).sum().backward()
        reset(set_to_none=False)
        assert model.weight.grad.tolist() == [[0, 0], [0, 0]]
        reset()
        assert model.weight.grad is None


# Optimizers
def test_a_group_without_parameters_is_named():
    for groups in ([{"lr": 0.1}], [{"params": [mg.ones(1)]}, mg.ones(1)]):
        with pytest.raises(TypeError, match=r'optimizer: expected Tensors, or dicts {"params": Tensors'):
            optim.SGD(groups)


def test_an_infinite_step_is_refused_and_betas_may_be_zero():
    w = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="lr: expected a number of 0 or more, got inf"):
        optim.SGD([w], lr=math.inf)
    w.sum().backward()
    optim.Adam([w], lr=0.25, betas=(0.0, 0.0)).step()
    assert w.tolist() == pytest.approx([0.75])


def test_the_default_step_of_sgd_is_a_thousandth():
    w = mg.tensor([1.0], requires_grad=True)
    w.sum().backward()
    optim.SGD([w]).step()
    assert w.tolist() == pytest.approx([0.999])


def test_a_state_counts_the_parameters_from_0_through_all_groups():
    ws = [mg.tensor([1.0] * n, requires_grad=True) for n in (1, 2, 3)]
    optimizer = optim.SGD([{"params": ws[:2]}, {"params": ws[2:]}], momentum=0.5)
    sum(w.sum() for w in ws).backward()
    optimizer.step()
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
    assert {i: entries["momentum_buffer"].shape for i, entries in state["state"].items()} == {0: (1,), 1: (2,), 2: (3,)}


def test_a_state_that_is_none_or_of_other_shapes_is_refused():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], momentum=0.5)
    for state in ({}, {"state": {}}, 3):
        with pytest.raises(ValueError, match=r"load_state_dict: expected what state_dict\(\) of an optimizer gives"):
            optimizer.load_state_dict(state)
    other = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    larger = optim.SGD([other], momentum=0.5)
    other.sum().backward()
    larger.step()
    with pytest.raises(ValueError, match=r"momentum_buffer of parameter 0 has shape \(3,\), not \(2,\)"):
        optimizer.load_state_dict(larger.state_dict())
    assert optimizer.state_dict()["state"] == {}


# Data
def test_a_dataset_of_one_tensor_lives_where_it_does():
    assert TensorDataset(mg.ones(3, device="strict")).device == mg.device("strict")


def test_a_subset_takes_what_python_takes_as_an_index_back_to_the_first_sample():
    samples = TensorDataset(mg.tensor([10, 20, 30]))
    assert Subset(samples, [mg.tensor(1), np.int8(2), -3])[2][0].item() == 10
    assert Subset(samples, [mg.tensor(1)]).indices == [1]
    with pytest.raises(IndexError, match="expected indices from -3 to 2, got -4"):
        Subset(samples, [-4])


def test_digits_are_ten_classes():
    assert Digits.classes == list("0123456789")


def test_a_byte_of_255_is_1_and_samples_count_from_both_ends():
    images = ImageDataset(mg.tensor([[[0, 255]], [[51, 102]]], dtype="uint8"), mg.tensor([4, 7]))
    assert images[0][0].tolist() == [[[0.0, 1.0]]]
    assert images[-2][1] == 4
    assert images[1][1] == images[-1][1] == 7
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"expected a number of a sample from -2 to 1, got {index}"):
            images[index]


def test_a_loader_has_the_arguments_of_torchs():
    loader = DataLoader(TensorDataset(mg.ones(3)))
    assert (loader.num_workers, loader.pin_memory) == (0, False)
    for no_dataset in ({1, 2}, (i for i in range(3))):
        with pytest.raises(TypeError, match="expected a dataset with __len__ and __getitem__"):
            DataLoader(no_dataset)


@pytest.mark.parametrize(
    ("items", "ends"),
    [
        ([np.int32(3), np.int32(-1)], (-1, 3)),
        ([np.float32(3), np.float32(-1)], None),
        ([np.array([1, 2]), np.array([3, 4])], None),
    ],
)
def test_only_a_row_of_integers_is_noted_as_labels(items, ends):
    (batch,) = DataLoader(items, batch_size=2)
    assert value_range(batch) == ends


def idx_file(*lengths, content=b"", magic=None):
    """The bytes of an IDX file."""
    return (magic or bytes([0, 0, 8, len(lengths)])) + struct.pack(f">{len(lengths)}I", *lengths) + content


@pytest.mark.parametrize(("train", "name", "count"), [(True, "train", 60000), (False, "t10k", 10000)])
def test_mnist_has_60000_images_to_train_and_10000_to_test(train, name, count, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / f"{name}-images-idx3-ubyte").write_bytes(idx_file(1, 28, 28, content=bytes(784)))
    with pytest.raises(DataError, match=f"expected {count} x 28 x 28 elements by its header, got 1 x 28 x 28"):
        MNIST(tmp_path, train=train)


def test_a_compressed_file_that_goes_on_after_its_last_chunk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "CHUNK", 64)
    whole = gzip.compress(idx_file(100, content=bytes(range(100))))
    (tmp_path / "right.gz").write_bytes(whole)
    assert idx.read(str(tmp_path / "right.gz"), (100,)).tolist() == list(range(100))
    longer = gzip.compress(idx_file(100, content=bytes(300)))
    (tmp_path / "longer.gz").write_bytes(longer[:-4] + whole[-4:])  # it says that it is as long as the right one
    with pytest.raises(DataError, match="expected 100 bytes after its header, got more"):
        idx.read(str(tmp_path / "longer.gz"), (100,))


@pytest.mark.parametrize(
    ("magic", "words"),
    [(b"\1\x08\0\0", "the same in the wrong byte order"), (b"\1\x09\0\0", "got 1 9 0 0;"), (b"\1\x08\1\0", "1 8 1 0;")],
)
def test_only_the_right_number_turned_round_is_called_so(magic, words, tmp_path):
    (tmp_path / "labels").write_bytes(idx_file(1, content=b"\0", magic=magic))
    with pytest.raises(DataError, match=words):
        idx.read(str(tmp_path / "labels"), (1,))


def test_a_torchvision_that_does_not_fit_its_torch_is_told_from_one_that_is_missing(tmp_path, monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(DataError, match=r"fails to import .* do not fit each other"):
        MNIST(tmp_path, download=True)


def test_accuracy_takes_tensors_both_times():
    scores, labels = mg.tensor([[1.0, 2.0]]), mg.tensor([1])
    for given in ((scores, [1]), ([[1.0, 2.0]], labels)):
        with pytest.raises(TypeError, match="accuracy: expected Tensors as scores and labels, got"):
            mg.accuracy(*given)


# The check of the ops
def test_the_inputs_of_the_check_are_of_both_signs_and_away_from_kinks():
    rng, shape = backend.random.new_generator(0), (10, 20)
    numbers = formulas.signed(rng, shape, 0)
    assert sorted({*np.sign(numbers).ravel()}) == [-1, 1]
    assert 0.5 <= np.abs(numbers).min() < np.abs(numbers).max() <= 2
    apart = [np.sort(formulas.distinct(rng, (9,), position)) for position in (0, 1)]
    assert apart[0] == pytest.approx([0.05 + 0.2 * i for i in range(-4, 5)])
    assert np.abs(apart[0][:, None] - apart[1]).min() == pytest.approx(0.1)
    assert sorted({*formulas.tied(rng, shape, 0).ravel()}) == [-1, 0, 1]
    special = formulas.special(rng, shape, 0)
    assert {str(number) for number in special.ravel()} == {"0.0", "1.0", "nan", "inf", "-inf"}


def test_the_check_tries_axes_from_both_ends_kept_and_not():
    shape = (3, 3, 4)
    ends = {"softmax": {0, -1}, "cat": {0, -1}, "sum": {None, 0, (0, -1)}, "argmax": {1, -1}}
    for name, dims in ends.items():
        assert {static["dim"] for static in formulas.FORMULAS[name].options(shape)} == dims
    for name in ("sum", "amax", "argmax", "logsumexp"):
        assert {static["keepdim"] for static in formulas.FORMULAS[name].options(shape)} == {False, True}
    for name in ("flatten", "transpose"):
        assert any(n < 0 for static in formulas.FORMULAS[name].options(shape) for n in static.values())
    picked = [np.arange(36).reshape(shape)[index] for index in (option["index"] for option in formulas.indices(shape))]
    assert picked[0][:, 0].tolist() == [8, 20, 32]
    assert picked[1][:, 0, 0].tolist() == [0, 0, 24]
    assert picked[2][:, 0].tolist() == [8, 4, 0]


def test_the_conventions_of_the_check_stand_at_both_zeros_and_both_bounds():
    for name in ("relu", "abs"):
        (numbers,) = formulas.CONVENTIONS[name][0]
        assert {math.copysign(1, number) for number in numbers} == {-1, 1}
    (numbers,), bounds, _ = formulas.CONVENTIONS["clip"]
    assert (bounds["min"], bounds["max"]) == tuple(numbers)
    assert numbers[0] < numbers[1]


@pytest.mark.parametrize("name", sorted(formulas.FORMULAS))
def test_three_examples_of_each_op_are_right(name, monkeypatch):
    monkeypatch.setattr(check, "EXAMPLES", 3)
    row = check.check_op(name, [backend.float64], backend.device("cpu"), backend.random.new_generator(0))
    assert row.passed, row.verdict


def test_the_check_takes_arrays_of_no_axis_of_one_and_of_two():
    drawn = check.examples("exp", backend.random.new_generator(0))
    assert {example.arrays[0].ndim for example in drawn} == {0, 1, 2}


def test_the_check_grants_64_ulp_and_the_error_of_the_slopes_where_the_longest_floats_are_short():
    longest = np.finfo(np.longdouble).nmant
    assert check.limit(backend.float64) == 64 + 2.0 ** (13 + 52 - longest)
    assert check.limit(backend.float32) == 64 + 2.0 ** (13 + 23 - longest)


# What gradcheck looks at
def away_from_0(*shape, seed=0):
    """A float64 Tensor of ±[0.4, 1.6]."""
    rng = np.random.default_rng(seed)
    return mg.tensor(rng.uniform(0.4, 1.6, shape) * rng.choice([-1, 1], shape))


def planted(value, rule):
    """An op of this value and rule, of (xp, x) and (xp, x, g), that is in no registry."""

    def body(xp, x):
        return value(xp, x), (lambda g: rule(xp, x, g),)

    body.__name__ = "planted"
    try:
        return op("(...)->(...)")(body)
    finally:
        del OPS["planted"]
        delattr(tensor_namespace, "planted")


def verdict(function, *inputs, **options):
    return gradcheck(function, inputs, raise_exception=False, **options)


def wrong_at(k, factor=2.0):
    """(rule of x², but the slope at the element k of the flat array times a factor)"""
    return lambda xp, x, g: 2 * x * g * xp.where(xp.arange(x.size).reshape(x.shape) == k, factor, 1.0)


def test_a_check_of_kinks_alone_or_of_faults_alone_is_not_vacuous():
    report = gradcheck(F.relu, mg.tensor([0.0]))
    assert (report.passed, len(report.kinks), report.lines[0].agree) == (True, 1, 0)
    report = verdict(planted(lambda xp, x: x * x, lambda xp, x, g: -2 * x * g), mg.tensor([1.0]))
    assert (report.refusal, len(report.faults), report.lines[0].agree) == ("", 1, 0)


@pytest.mark.parametrize(("n", "seen"), [(20, 20), (512, 512), (513, 8)])
def test_up_to_512_elements_are_looked_at_one_by_one(n, seen):
    assert gradcheck(lambda x: (x * x).sum(), away_from_0(n)).lines[0].agree == seen


@pytest.mark.parametrize(("n", "seen"), [(256, 512), (257, 16)])
def test_up_to_512_outputs_are_looked_at_one_by_one(n, seen):
    assert gradcheck(lambda x: x.broadcast_to((n, 2)) * 2, away_from_0(2)).lines[0].agree == seen


def test_of_many_elements_and_many_outputs_8_mixtures_are_seen_along_8_directions():
    line = gradcheck(lambda x: x * x, away_from_0(600)).lines[0]
    assert (line.agree, line.hidden, line.wrong) == (64, 0, 0)
    assert line.worst < 1e-7


def test_beside_a_large_input_one_of_8_elements_is_looked_at_one_by_one():
    w = away_from_0(8)
    w[3] = 0.0
    (kink,) = gradcheck(lambda x, w: (x * x).sum() + F.relu(w).sum(), (away_from_0(600), w)).kinks
    assert kink.place == "d(output) / d(input 1[3])"


def test_the_report_counts_the_wrong_slopes_of_all_elements():
    report = verdict(planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: 4 * x * g), away_from_0(100))
    assert report.faults[0].wrong == "200 of 200"


def test_of_many_elements_the_wrong_one_is_found_where_the_gradient_is_large():
    x = away_from_0(4, 500)
    x[0, 7] = 50.0
    square = lambda xp, x: (x * x).sum(axis=-1)
    (fault,) = verdict(planted(square, lambda xp, x, g: wrong_at(7)(xp, x, g[:, None])), x).faults
    assert fault.place == "d(output[0]) / d(input 0[0, 7])"
    (fault,) = verdict(planted(lambda xp, x: x * x, wrong_at(7)), x).faults
    assert fault.place == "d(outputs, mixed) / d(input 0[0, 7])"


def test_the_worst_slope_is_one_that_is_wrong_however_small():
    (fault,) = verdict(planted(lambda xp, x: x * x, wrong_at(2)), mg.tensor([1.0, 1.0, 0.1])).faults
    assert fault.place == "d(output[2]) / d(input 0[2])"
    assert (fault.analytic, fault.numeric) == pytest.approx((0.4, 0.2), rel=1e-6)


def test_a_rule_that_exchanges_two_of_many_outputs_is_found():
    def exchanged(xp, x, g):
        return 2 * x * xp.concatenate([g[1:2], g[:1], g[2:]])

    assert not verdict(planted(lambda xp, x: x * x, exchanged), away_from_0(600))


def test_places_name_the_output_or_the_mixture():
    cut = lambda x: (2 * x, 3 * x.detach() + 0 * x)
    assert verdict(cut, mg.tensor([1.0, 2.0])).faults[0].place.startswith("d(output 1[0])")
    size = planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: 2 * x * abs(g))
    assert verdict(size, mg.tensor([1.0])).faults[0].place == "d(outputs, mixed) / d(input 0[0])"


def test_what_was_given_is_named_where_nothing_can_be_checked():
    for inputs, given in (((), "none"), ((mg.tensor([1]), 3.0), "Tensor, float")):
        with pytest.raises(TypeError, match=f"as input, got {given}$"):
            gradcheck(lambda *x: mg.ones(2), inputs)


def test_cotangents_are_of_both_signs_and_none_is_small():
    numbers = draw(backend.random.new_generator(0), (1000,))
    assert {*np.sign(numbers)} == {-1, 1}
    assert (np.abs(numbers).min(), np.abs(numbers).max()) == pytest.approx((0.5, 1.5), abs=0.01)


# How gradcheck measures
def test_a_jump_very_near_is_kept_out_by_the_smallest_step():
    function = planted(lambda xp, x: xp.where(x > 2e-7, x + 1, x), lambda xp, x, g: 1 * g)
    (line,) = gradcheck(function, mg.tensor([0.0])).lines
    assert (line.agree, line.hidden) == (1, 0)


def test_a_fault_smaller_than_the_error_of_the_first_step_is_found_by_the_next():
    steep = lambda xp, x: 1e-8 / (1 + xp.exp(-1e4 * x))
    right = lambda xp, x, g: g * 1e12 * steep(xp, x) * (1e-8 - steep(xp, x))
    assert gradcheck(planted(steep, right), mg.tensor([0.0]))
    assert not verdict(planted(steep, lambda xp, x, g: 1.0002 * right(xp, x, g)), mg.tensor([0.0]))


def test_the_uncertainty_is_the_term_that_central_differences_leave_out():
    (fault,) = verdict(planted(lambda xp, x: x**3, lambda xp, x, g: 6 * x * x * g), mg.tensor(1.0), eps=0.1).faults
    assert fault.uncertainty == pytest.approx((0.1 / 64) ** 2, rel=1e-3)


def test_rounding_within_the_function_is_measured():
    for size in (1, 1e8):  # what is lost depends on how large x is, and so does the step that shows it
        (line,) = gradcheck(lambda x, far=1e6 * size: (x + far) - far, away_from_0(5) * size).lines
        assert line.agree == 5


def test_the_worst_error_is_relative():
    assert gradcheck(lambda x: 1e9 * F.tanh(x), away_from_0(5)).lines[0].worst < 1e-8
    assert gradcheck(lambda x: 1e-9 * F.tanh(x), away_from_0(5)).lines[0].worst > 1e-14


def test_convergence_is_told_from_the_rounding_of_all_outputs_together():
    steps = gradcheck(lambda x: (1e6 * x, x), mg.tensor(0.7, dtype="float64")).convergence
    assert [order for _, _, order in steps] == [math.inf] * 4


# What gradcheck says
@pytest.mark.parametrize(
    ("name", "function", "x", "words"),
    [
        (
            "sign beside zeros",
            planted(lambda xp, x: xp.maximum(x, 0), lambda xp, x, g: -g * (x > 0)),
            away_from_0(3, 4),
            "looks like: the sign: a minus too many or too few",
        ),
        (
            "small slopes",
            planted(lambda xp, x: 1e-4 * x * x, lambda xp, x, g: 2.02e-4 * x * g),
            away_from_0(3, 4),
            "looks like: a factor 1.01 everywhere",
        ),
        (
            "large slopes",
            planted(lambda xp, x: 1e3 * x * x, lambda xp, x, g: 1e3 * (2 * x + 0.003 * x**2) * g),
            away_from_0(3, 4),
            "looks like: nearly right",
        ),
        (
            "half",
            planted(lambda xp, x: x * x, lambda xp, x, g: (2 * x + 0.5 * x**2) * g),
            away_from_0(3, 4),
            "none of the usual ones",
        ),
        (
            "small and half",
            planted(lambda xp, x: 1e-3 * x * x, lambda xp, x, g: 1e-3 * (2 * x + 0.5 * x**2) * g),
            away_from_0(3, 4),
            "none of the usual ones",
        ),
        (
            "8 elements, 800 outputs",
            planted(
                lambda xp, x: xp.broadcast_to(x * x, (100, 8)),
                lambda xp, x, g: g.sum(axis=0) * (2 * x + 0.003 * x**2),
            ),
            away_from_0(8),
            "nearly right",
        ),
        (
            "600 elements, 1 output",
            planted(lambda xp, x: (x * x).sum(), lambda xp, x, g: g * (2 * x + 0.003 * x**2)),
            away_from_0(600),
            "nearly right",
        ),
        (
            "a matrix, 1 output",
            planted(lambda xp, x: (x**3).sum(), lambda xp, x, g: g * 3 * (x * x).T),
            away_from_0(3, 3),
            "with their axes exchanged",
        ),
        (
            "4 axes",
            planted(lambda xp, x: (x**3).sum(), lambda xp, x, g: g * 3 * (x * x).transpose(3, 2, 1, 0)),
            away_from_0(2, 2, 2, 2),
            "with their axes exchanged",
        ),
        (
            "a kink and a fault",
            planted(lambda xp, x: xp.abs(x), lambda xp, x, g: g * xp.where(x == 0, 1.3, 1.0)),
            mg.tensor([0.0, 1.0, -2.0]),
            "none of the usual ones",
        ),
    ],
)
def test_a_slip_is_named(name, function, x, words):
    assert words in str(verdict(function, x))


TWICE = "counted twice"
PART = "divided by N = {0}, axis 0 of the input, or one of {0} equal parts taken: an unsummed axis"
HALF = "a 2 forgotten, as in (x²)' = 2x, or a Tensor used twice and counted once"


@pytest.mark.parametrize(
    ("c", "x_shape", "y_shape", "words"),
    [
        (-1.0, (3,), (3,), "the sign: a minus too many or too few"),
        (1.5, (3, 5), (3, 5), "a factor 1.5 everywhere"),
        (-1.5, (3, 5), (1, 5), "the sign, and a factor 1.5 everywhere"),
        (2.0, (3, 5), (5,), f"a factor 2: {TWICE}"),
        (2.0000016, (3, 5), (5,), f"a factor 2: {TWICE}"),
        (2.0, (3,), (2, 3), f"a factor 2: {TWICE}; or not divided by N = 2, axis 0 of an output, as a mean is"),
        (0.5, (3, 5), (5,), f"a factor 0.5: {HALF}"),
        (0.5, (2, 5), (5,), f"a factor 0.5: {HALF}; or {PART.format(2)}"),
        (3.0, (3, 5), (5,), "a factor 3: not divided by N = 3, axis 0 of the input, as a mean is"),
        (15.0, (3, 5), (), "a factor 15: not divided by N = 15, the number of elements of the input, as a mean is"),
        (-1 / 3, (3, 5), (5,), f"the sign, and a factor 0.333333: {PART.format(3)}"),
    ],
)
def test_a_factor_is_traced_to_what_is_counted(c, x_shape, y_shape, words):
    assert factor(c, x_shape, [y_shape]) == words


def test_a_report_as_text():
    report = Report("f, gradient")
    report.lines = [Line("input 0", (3,), 5, 1, 4, 0, 0, 2e-9), Line("parameter w", (), 0, 0, 0, 0, 1, 0.0)]
    report.faults = [Fault("parameter w", "d(output) / d(parameter w)", 3.0, 1.5, 1e-9, (1.0, 2.0), "1 of 1", "a slip")]
    report.kinks = [Kink(f"d(output) / d(input 0[{i}])", 0.5, 0.0, 1.0) for i in range(3)]
    report.convergence = [(0.25, 1e-3, None), (0.125, 2.5e-4, 2.0), (0.0625, 0.0, math.inf)]
    lines = [
        "gradcheck of f, gradient: FAILED",
        "  1 of 1 slopes are wrong, the worst d(output) / d(parameter w)",
        "    analytic 3, numeric 1.5 ± 1e-09, absolute error 1.50e+00, relative error 5.00e-01",
        "    a kink: slopes from 1 to 2",
        "    looks like: a slip",
        "               shape    agree   zero  kinks  hidden  wrong  worst error",
        "  input 0      (3,)         5      1      4       0      0      2.0e-09",
        "  parameter w  ()           0      0      0       0      1            -",
        "  kink d(output) / d(input 0[0]): analytic 0.5 lies in [0, 1]",
        "  kink d(output) / d(input 0[1]): analytic 0.5 lies in [0, 1]",
        "  kink d(output) / d(input 0[2]): analytic 0.5 lies in [0, 1]",
        "  along one direction, numeric less analytic (order 2: half of h, a quarter of the error)",
        "    h 0.2500   error 1.0e-03",
        "    h 0.1250   error 2.5e-04   order 2.00",
        "    h 0.0625   error 0.0e+00   rounding",
    ]
    assert str(report).split("\n") == lines
    report.kinks.append(report.kinks[0])
    assert str(report).split("\n") == [*lines[:11], "  ... and 1 kinks more", *lines[11:]]
    assert str(Report("f, gradient")) == "gradcheck of f, gradient: passed"
