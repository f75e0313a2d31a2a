"""New Tensors, their dtypes, and torch's rules of promotion."""

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
def test_what_are_no_numbers_is_refused(data, error):
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


def test_random_numbers_repeat_from_the_seed_and_leave_numpys_alone():
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


def test_a_mixed_gradient_comes_back_in_each_dtype():
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


def test_numbers_of_numpy_are_numbers():
    x = mg.ones(2)
    assert (x * np.float64(2)).dtype == mg.float32
    assert (np.float32(2) * x).tolist() == [2.0, 2.0]
    for bad in (np.ones(2), "2", [1, 2], None):
        with pytest.raises(TypeError, match="expected"):
            x + bad
        with pytest.raises(TypeError):
            bad + x


def test_clip_takes_numbers_and_says_so():
    assert mg.clip(mg.tensor([-1.0, 3.0]), 0, 2).tolist() == [0.0, 2.0]
    with pytest.raises(TypeError, match="use maximum and minimum"):
        mg.clip(mg.ones(2), min=mg.ones(2))
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
