"""New Tensors, their dtypes, and torch's rules of promotion."""

import itertools

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1, 2], "int64"),
        ([1.0, 2], "float32"),
        (True, "bool"),
        (np.array([1.0]), "float64"),
        (np.array([1], dtype=np.uint8), "uint8"),
        (np.float64(2.0), "float64"),
        ([], "float32"),
    ],
)
def test_dtypes_are_torchs(data, dtype):
    assert mg.tensor(data).dtype == dtype


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([np.float64(1 / 3)], "float64"),
        ([[np.float64(1 / 3), 1.0]], "float64"),
        ([np.float32(1 / 3), 1.0], "float32"),
        ([np.full(2, 1 / 3), [1, 2]], "float64"),
        ([np.int32(1), np.uint8(2)], "int32"),
        ([np.int8(1), np.uint8(2)], "int16"),
        ([np.int32(1), 2], "int64"),
        ([np.uint8(1), 2.5], "float32"),
        ([True, 2], "int64"),
        ((mg.tensor(1 / 3, dtype="float64"), 1), "float64"),
        ([[mg.tensor(1, dtype="uint8")], [mg.tensor(2, dtype="uint8")]], "uint8"),
        ([mg.ones(2, dtype="int32"), mg.zeros(2, dtype="int32")], "int32"),
    ],
)
def test_lists_keep_the_dtypes_of_their_elements(data, dtype):
    x = mg.tensor(data)
    assert x.dtype == dtype
    assert mg.tensor(data, dtype="int16").dtype == "int16"
    if dtype == "float64":
        assert x.flatten()[0].item() == 1 / 3


def test_list_of_torch_tensors_keeps_their_dtype(torch):
    assert mg.tensor([torch.tensor(1 / 3, dtype=torch.float64), 1.0]).dtype == "float64"
    assert mg.tensor([torch.tensor(1, dtype=torch.uint8)]).dtype == "uint8"


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([300], "uint8"),
        (256, "uint8"),
        ([0, -1], "uint8"),
        ([128], "int8"),
        ([-129], "int8"),
        ([2**31], "int32"),
        ([300.5], "uint8"),
        ([1e20], "int64"),
        ([2.0**63], "int64"),
        ([float("nan")], "int64"),
        ([float("inf"), 0], "int64"),
        ([np.int64(300)], "uint8"),
        (np.int64(300), "uint8"),
        ([np.array([300])], "uint8"),
    ],
)
def test_number_outside_the_range_of_dtype_raises(data, dtype):
    with pytest.raises(ValueError, match=f"expected numbers from -?[0-9]+ to [0-9]+ for dtype {dtype}, got"):
        mg.tensor(data, dtype=dtype)


def test_numbers_within_the_range_of_dtype_are_cast():
    assert mg.tensor([255.9, -0.9, 0], dtype="uint8").tolist() == [255, 0, 0]
    assert mg.tensor([-128, 127], dtype="int8").tolist() == [-128, 127]
    assert mg.tensor(np.array([300]), dtype="uint8").tolist() == [44]  # arrays are cast as by torch
    with pytest.raises(ValueError, match="from 0 to 255"):
        mg.full((2,), 300, dtype="uint8")
    with pytest.raises(ValueError, match="from 0 to 255 for dtype uint8, got 299"):
        mg.randint(0, 300, (2,), dtype="uint8")
    with pytest.raises(ValueError, match="from 0 to 255 for dtype uint8, got -1"):
        mg.randint(-1, 3, (2,), dtype="uint8")


def test_full_and_randint_take_numbers_only():
    with pytest.raises(ValueError, match=r"full: expected a number as fill_value, got shape \(2,\)"):
        mg.full((2,), mg.ones(2))
    assert mg.full((2,), np.float64(0.5)).dtype == mg.full((2,), mg.tensor(0.5, dtype="float64")).dtype == "float64"
    for low, high in ((0.5, 3), (0, 2.5), (0, "3")):
        with pytest.raises(TypeError, match="randint: expected integers as low and high"):
            mg.randint(low, high, (2,))
    for name in ("rand", "randn"):
        with pytest.raises(TypeError, match=f"{name}: expected dtype float32 or float64, got int64"):
            getattr(mg, name)(2, dtype="int64")


ENDS = [0, 1, -1, 5, 2.5, 0.3, -3.7, 7, -2]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64", None])
@pytest.mark.parametrize("step", [1, -1, 2, 3, 0.25, -1.5, 0.1, 0])
def test_arange_is_torchs(step, dtype, torch):
    for start, end in itertools.product(ENDS, ENDS):
        try:
            expected = torch.arange(start, end, step, dtype=dtype and getattr(torch, dtype))
        except (RuntimeError, ValueError):
            with pytest.raises(ValueError, match="step"):
                mg.arange(start, end, step, dtype=dtype)
        else:
            x = mg.arange(start, end, step, dtype=dtype)
            assert str(x.dtype) == str(expected.dtype).removeprefix("torch.")
            assert x.shape == tuple(expected.shape)
            np.testing.assert_allclose(x.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


def test_arange_takes_numbers_of_any_kind():
    assert mg.arange(np.float32(2.5)).tolist() == [0.0, 1.0, 2.0]
    assert mg.arange(np.int64(2)).dtype == mg.arange(mg.tensor(2)).dtype == mg.int64
    assert mg.arange(2**53 + 1, 2**53 + 3).tolist() == [2**53 + 1, 2**53 + 2]
    for bad in (float("inf"), float("nan"), "3", None):
        with pytest.raises(ValueError, match="arange: expected finite numbers"):
            mg.arange(0 if bad is None else bad, "x")


class Highest:
    """A generator whose draws are the largest possible."""

    def uniform(self, low, high, size):
        return np.full(size, np.nextafter(high, low))

    def integers(self, low, high, size):
        return np.full(size, high - 1)


def test_random_numbers_stay_below_their_bound(monkeypatch):
    monkeypatch.setattr(mg.backend.random, "generator", Highest)
    assert mg.randint(0, 2**24 + 4, (2,), dtype="float32").tolist() == [2.0**24 + 2] * 2
    assert mg.randint(0, 2**24 + 4, (2,), dtype="int32").tolist() == [2**24 + 3] * 2
    for low, high in ((0.0, 1.0), (-1.0, -0.5), (-0.1, 0.1), (-3.0, 0.0)):
        for dtype in ("float32", "float64"):
            x = mg.nn.init.uniform_(mg.zeros(2, dtype=dtype), low, high).numpy()
            assert (low <= x).all()
            assert (x < high).all()
    assert mg.nn.init.uniform_(mg.zeros(2), 0.5, 0.5).tolist() == [0.5, 0.5]


def test_tensor_copies_and_from_numpy_shares():
    array = np.zeros(3)
    copy, shared = mg.tensor(array), mg.from_numpy(array)
    array[0] = 1
    assert copy.tolist() == [0.0, 0.0, 0.0]
    assert shared.tolist() == [1.0, 0.0, 0.0]
    again = mg.tensor(shared)
    assert not np.shares_memory(again.array, shared.array)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("abc", TypeError),
        (["a"], TypeError),
        (None, TypeError),
        ([None], TypeError),
        ([[1, 2], [3]], ValueError),
        (object(), TypeError),
        (1j, TypeError),
        (np.zeros(2, np.float16), TypeError),
        (np.array([object()]), TypeError),
        ({1: 2}, TypeError),
    ],
)
def test_tensor_rejects_other_types(data, error):
    with pytest.raises(error, match="expected"):
        mg.tensor(data)


def test_constants_and_ranges():
    assert mg.zeros(2, 3).shape == mg.zeros((2, 3)).shape == (2, 3)
    assert mg.ones(2).tolist() == [1.0, 1.0]
    assert mg.full((2,), 7).dtype == mg.int64
    assert mg.arange(3).tolist() == [0, 1, 2]
    assert mg.arange(1, 2, 0.25).tolist() == [1.0, 1.25, 1.5, 1.75]
    assert mg.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert mg.zeros_like(mg.ones(2, dtype=mg.int64)).dtype == mg.int64
    assert mg.zeros(()).shape == ()
    for bad in (-1, (2, -1)):
        with pytest.raises(ValueError, match="0 or more"):
            mg.zeros(bad)
    with pytest.raises(TypeError, match="integers"):
        mg.zeros(1.5)


def test_seed_repeats_draws_and_spares_numpys_generator():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    mg.manual_seed(5)
    first = [mg.randn(3).tolist(), mg.rand(3).tolist(), mg.randint(0, 9, (3,)).tolist(), mg.randperm(5).tolist()]
    mg.manual_seed(5)
    again = [mg.randn(3).tolist(), mg.rand(3).tolist(), mg.randint(0, 9, (3,)).tolist(), mg.randperm(5).tolist()]
    mg.manual_seed(6)
    assert first == again
    assert mg.randn(3).tolist() != first[0]
    assert np.array_equal(np.random.get_state()[1], state)
    with pytest.raises(ValueError, match="0 or more"):
        mg.manual_seed(-1)


def test_streams_of_neighbouring_seeds_do_not_overlap():
    draws = [mg.backend.random.new_generator(seed, epoch).random(100) for seed in range(3) for epoch in range(3)]
    draws += [mg.backend.random.new_generator(seed).random(100) for seed in range(3)]
    assert len(np.unique(np.concatenate(draws))) == 1200


DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("one", DTYPES)
@pytest.mark.parametrize("other", [*DTYPES, 2, 2.5])
@pytest.mark.parametrize("name", ["add", "mul", "div"])
def test_promotion_is_torchs(name, one, other):
    torch = pytest.importorskip("torch", reason="torch is the reference of this test")
    for shape in ((2,), ()):
        x = np.ones(2, one)
        w = np.ones(shape, other) if isinstance(other, str) else other
        wrap = (lambda a: mg.tensor(a)), (lambda a: torch.tensor(a))
        ours, theirs = (
            getattr(lib, name)(make(x), make(w) if isinstance(other, str) else w)
            for lib, make in zip((mg, torch), wrap)
        )
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
        assert ours.tolist() == theirs.tolist()


def test_gradients_have_the_dtype_of_each_input():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    w = mg.tensor([3.0, 4.0], dtype=mg.float64, requires_grad=True)
    (x * w).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (mg.float32, mg.float64)
    assert x.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_float32_stays_float32(shape):
    x = mg.ones(shape, requires_grad=True)
    y = ((x * 2.0 + 1) / 3 - x**2).exp().sum().sqrt() * 0.5 + x.mean()
    assert y.dtype == mg.float32
    y.backward()
    assert x.grad.dtype == mg.float32
    assert x.grad.shape == shape


def test_numpy_numbers_are_operands():
    x = mg.ones(2)
    assert (x * np.float64(2)).dtype == mg.float32
    assert (np.float32(2) * x).tolist() == [2.0, 2.0]
    for bad in (np.ones(2), "2", [1, 2], None):
        with pytest.raises(TypeError, match="expected"):
            x + bad
        with pytest.raises(TypeError):
            bad + x


def test_clip_takes_numbers_or_tensors():
    assert mg.clip(mg.tensor([-1.0, 3.0]), 0, 2).tolist() == [0.0, 2.0]
    assert mg.clip(mg.tensor([-1.0, 3.0]), min=mg.ones(2)).tolist() == [1.0, 3.0]
    with pytest.raises(TypeError, match="expected numbers or Tensors as min and max"):
        mg.clip(mg.ones(2), min="1")
    with pytest.raises(ValueError, match="min, max or both"):
        mg.clip(mg.ones(2))


def test_conversions():
    x = mg.tensor([1.7, -2.0])
    assert x.long().tolist() == [1, -2]
    assert x.bool().tolist() == [True, True]
    assert x.double().dtype == x.to(mg.float64).dtype == x.astype("float64").dtype == mg.float64
    assert x.to(mg.float32) is x
    assert f"{mg.tensor(2.0):.2f}" == "2.00"
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert np.asarray(x).dtype == np.float32
    with pytest.raises(ValueError, match="one element"):
        x.item()
    with pytest.raises(RuntimeError, match="detach"):
        mg.ones(1, requires_grad=True).numpy()


def test_repr():
    assert repr(mg.tensor([1.5, 2.0])) == "tensor([1.5, 2.0])"
    assert repr(mg.tensor(1.0, requires_grad=True)) == "tensor(1., requires_grad=True)"
    assert repr(mg.ones(1, dtype=mg.float64)) == "tensor([1.], dtype=float64)"
    assert "grad_fn=<mul>" in repr(mg.ones(1, requires_grad=True) * 2)


def test_tensor_of_ragged_rows_raises():
    with pytest.raises(ValueError, match="expected numbers in rows of equal length"):
        mg.tensor([[1, 2], [3]])


def test_tensor_of_a_tensor_keeps_its_device():
    x = mg.ones(2, device="strict")
    assert mg.tensor(x).device == mg.device("strict")
    assert mg.tensor(x, device="cpu").device == mg.device("cpu")
    assert mg.tensor(mg.ones(2), device="strict").device == mg.device("strict")


def test_tensor_of_a_list_of_tensors_and_numbers():
    assert mg.tensor([mg.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    assert mg.tensor([[3, 4], mg.tensor([5, 6])]).tolist() == [[3, 4], [5, 6]]


def test_full_accepts_a_length_or_a_shape():
    assert mg.full(2, 7).tolist() == [7, 7]
    assert mg.full((1, 2), 0.5).tolist() == [[0.5, 0.5]]


def test_arange_dtype_follows_its_numbers():
    assert mg.arange(3).dtype == "int64"
    assert mg.arange(0.5, 2).dtype == "float32"
    assert mg.arange(3, dtype="float64").dtype == "float64"


def test_new_tensors_require_no_gradient_by_default():
    for make in (mg.zeros, mg.ones, mg.rand, mg.randn):
        assert not make(2).requires_grad
        assert make(2, requires_grad=True).requires_grad
    for x in (mg.eye(2), mg.full(2, 1.0), mg.tensor(1.0), mg.arange(2.0)):
        assert not x.requires_grad


def test_randint_of_an_empty_range_raises():
    with pytest.raises(ValueError, match="randint: expected low < high, got 3 and 3"):
        mg.randint(3, 3, (2,))
    assert mg.randint(3, 4, (2,)).tolist() == [3, 3]
