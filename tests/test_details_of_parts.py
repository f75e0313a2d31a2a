"""Details of the parts around the engine that the other tests came past without looking: mutants showed them."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend, nn, optim
from minigrad import serialization as checkpoint
from minigrad.data import MNIST, DataError, DataLoader, Digits, ImageDataset, Subset, TensorDataset, idx
from minigrad.serialization import CheckpointError
from minigrad.testing import formulas
from minigrad.testing import selftest as check


# Devices
def test_a_device_is_told_by_its_name_or_by_name_and_number():
    cuda = mg.device("cuda")
    assert (cuda.type, cuda.index, str(cuda)) == ("cuda", 0, "cuda:0")
    assert cuda == mg.device("cuda:0") == mg.device("cuda", 0) != mg.device("cpu")
    assert repr(cuda) == "device(type='cuda', index=0)"
    assert mg.device("cpu").index is None
    assert repr(mg.device("cpu")) == "device(type='cpu')"
    for name in ("cuda:1", "cpu:1"):
        with pytest.raises(ValueError, match="minigrad uses one device of a kind"):
            mg.device(name)


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where it finds no driver."""


def no_driver():
    raise CUDARuntimeError("no driver")


@pytest.mark.parametrize(
    ("count", "available"),
    [(lambda: 0, False), (lambda: 1, True), (lambda: 2, True), (no_driver, False), (None, False)],
)
def test_cuda_is_available_where_cupy_is_and_finds_a_device(count, available, monkeypatch):
    runtime = SimpleNamespace(
        getDeviceCount=count, CUDARuntimeError=CUDARuntimeError, deviceSynchronize=lambda: "waited"
    )
    cupy = SimpleNamespace(
        __version__="0", cuda=SimpleNamespace(runtime=runtime), ndarray=list, asarray=list, asnumpy=np.asarray
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy if count else None)
    monkeypatch.setattr(backend.devices, "_libraries", {"cpu": backend.library("cpu")})
    monkeypatch.setattr(backend.devices, "LIBRARY_OF_TYPE", dict(backend.LIBRARY_OF_TYPE))
    assert mg.cuda.is_available() is available
    if available:
        assert mg.cuda.synchronize() == "waited"
    else:
        with pytest.raises(backend.DeviceError, match="finds no CUDA device" if count else "CuPy, which is not inst"):
            mg.zeros(2, device="cuda")


# Dtypes and numbers
@pytest.mark.parametrize("name", ["nonsense", ["float32"], ("int32", (-1,)), "complex64", "float16"])
def test_what_is_no_dtype_is_refused_with_those_there_are(name):
    with pytest.raises(TypeError, match=r"expected one of the dtypes bool, uint8, int8, .*, float64, got"):
        mg.zeros(2, dtype=name)


def test_ragged_rows_are_named():
    with pytest.raises(ValueError, match="expected numbers in rows of equal length"):
        mg.tensor([[1, 2], [3]])


@pytest.mark.parametrize(
    ("array", "number", "result"),
    [
        (mg.tensor([True]), mg.tensor(2), "int64"),
        (mg.tensor([1], dtype="uint8"), mg.tensor(2), "uint8"),
        (mg.tensor([1]), mg.tensor(2, dtype="uint8"), "int64"),
        (mg.tensor([1], dtype="uint8"), mg.tensor(0.5), "float32"),
        (mg.tensor([1]), mg.tensor(0.5), "float32"),
        (mg.tensor([1.0]), mg.tensor(2, dtype="float64"), "float32"),
    ],
)
def test_a_tensor_of_no_axes_counts_only_where_it_is_of_a_higher_kind(array, number, result):
    assert (array + number).dtype == (number + array).dtype == result


def test_a_repr_has_four_decimals_and_leaves_out_the_middle_of_more_than_200_elements():
    assert repr(mg.tensor([3.14159265])) == "tensor([3.1416])"
    assert "..." in repr(mg.arange(201))
    assert "..." not in repr(mg.arange(200))


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


def state_of(**parts):
    """A Tensor as of get_rng_state(), but with these parts in the place of the right ones."""
    state = json.loads(bytes(mg.get_rng_state().tolist()))
    return mg.tensor(list(json.dumps({**state, **parts}).encode()), dtype="uint8")


@pytest.mark.parametrize(
    "state",
    [
        None,
        mg.tensor([0.5]),
        mg.tensor([300]),
        mg.tensor([1, 2, 3]),
        lambda: state_of(state={}),
        lambda: state_of(state={"state": -1, "inc": 1}),
        lambda: state_of(state=3),
        lambda: state_of(bit_generator="another"),
    ],
)
def test_random_numbers_go_on_only_from_a_state_of_theirs(state):
    state = state() if callable(state) else state
    before = mg.get_rng_state().tolist()
    with pytest.raises(ValueError, match=r"set_rng_state: expected a Tensor of get_rng_state\(\)"):
        mg.set_rng_state(state)
    assert mg.get_rng_state().tolist() == before


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
        with pytest.raises(TypeError, match=r'SGD: expected Tensors, or dicts {"params": Tensors'):
            optim.SGD(groups)


def test_an_infinite_step_is_refused_and_betas_may_be_zero():
    w = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="lr: expected a finite number of 0 or more, got inf"):
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
        with pytest.raises(ValueError, match=r"load_state_dict: expected the state_dict\(\) of an optimizer"):
            optimizer.load_state_dict(state)
    other = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    larger = optim.SGD([other], momentum=0.5)
    other.sum().backward()
    larger.step()
    with pytest.raises(ValueError, match=r"expected momentum_buffer of parameter 0 of shape \(2,\), got \(3,\)"):
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
        with pytest.raises(IndexError, match=f"expected an index from -2 to 1, got {index}"):
            images[index]


def test_a_loader_has_the_arguments_of_torchs():
    loader = DataLoader(TensorDataset(mg.ones(3)))
    assert (loader.num_workers, loader.pin_memory) == (0, False)
    for no_dataset in ({1, 2}, (i for i in range(3))):
        with pytest.raises(TypeError, match="expected a dataset with __len__ and __getitem__"):
            DataLoader(no_dataset)


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
    [
        (b"\1\x08\0\0", "1 8 0 0, in little-endian byte order"),
        (b"\1\x09\0\0", "got 1 9 0 0;"),
        (b"\1\x08\1\0", "1 8 1 0;"),
    ],
)
def test_only_the_right_number_turned_round_is_called_so(magic, words, tmp_path):
    (tmp_path / "labels").write_bytes(idx_file(1, content=b"\0", magic=magic))
    with pytest.raises(DataError, match=words):
        idx.read(str(tmp_path / "labels"), (1,))


def test_a_torchvision_that_does_not_fit_its_torch_is_told_from_one_that_is_missing(tmp_path, monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(DataError, match=r"fails to import .* are incompatible"):
        MNIST(tmp_path, download=True)


def test_accuracy_takes_tensors_both_times():
    scores, labels = mg.tensor([[1.0, 2.0]]), mg.tensor([1])
    for given in ((scores, [1]), ([[1.0, 2.0]], labels)):
        with pytest.raises(TypeError, match=r"accuracy: expected a Tensor as (scores|labels), got"):
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
