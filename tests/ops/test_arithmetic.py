"""Powers: gradients of the exponent at the edges of the domain, powers of bools and of integers."""

import math

import pytest

import minigrad as mg


@pytest.mark.parametrize(
    ("base", "exponents", "gradients"),
    [
        (0.5, [2.0, 0.0], [0.25 * math.log(0.5), math.log(0.5)]),
        (2.0, [3.0, -1.0], [8 * math.log(2), math.log(2) / 2]),
        (0.0, [-1.0, 0.0, 2.0], [-math.inf, 0.0, 0.0]),
        (-2.0, [2.0], [math.nan]),
    ],
)
def test_gradient_of_an_exponent(base, exponents, gradients):
    for number in (base, mg.tensor([base], dtype="float64")):
        p = mg.tensor(exponents, dtype="float64", requires_grad=True)
        (number**p).sum().backward()
        assert p.grad.tolist() == pytest.approx(gradients, nan_ok=True)


def test_powers_of_bools_are_those_of_torch(torch):
    data = [True, False]
    for p in (0, 1, 3, 2.5):
        ours, theirs = mg.tensor(data) ** p, torch.tensor(data) ** p
        assert ours.tolist() == theirs.tolist()
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    ours = mg.tensor([True, True, False, False]) ** mg.tensor([True, False, True, False])
    assert ours.tolist() == [True, True, False, True]


@pytest.mark.parametrize("base", [2, 1, 0, -1, -3])
def test_integer_powers_of_negative_exponents_are_truncated(base, torch):
    p = [-3, -2, -1, 0, 1, 2]
    for ours, theirs in ((base, base), (mg.tensor([base] * 6), torch.tensor([base] * 6))):
        assert (ours ** mg.tensor(p)).tolist() == (theirs ** torch.tensor(p)).tolist()


def test_power_of_bools_is_int64_or_bool():
    x = mg.tensor([True, False])
    assert (x**2).dtype == "int64"
    assert (x**2).tolist() == [1, 0]
    assert (x ** mg.tensor([False, True])).dtype == "bool"
    assert (x ** mg.tensor([False, True])).tolist() == [True, False]


@pytest.mark.parametrize("base", [0, 0.0, False, 2, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_number_to_a_power_has_a_gradient_of_its_dtype(base, dtype):
    p = mg.tensor([0.0, 1.0, 2.5], dtype=dtype, requires_grad=True)
    (base**p).sum().backward()
    assert p.grad.dtype == dtype
    expected = [0.0] * 3 if not base else [math.log(base) * base**n for n in (0.0, 1.0, 2.5)]
    assert p.grad.tolist() == pytest.approx(expected, rel=1e-6)
