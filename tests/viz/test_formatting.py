"""Numbers, shapes and formulas as text."""

import pytest

from minigrad.viz.formatting import axis_list, formula_letters, listing, number, place, shape_text, signed, terms


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (-1.5, "−1.5"), (1234.5678, "1235"), (float("-inf"), "−∞"), (1e-9, "1e−09")],
)
def test_number_has_four_digits_and_a_minus_sign(value, text):
    assert number(value) == text


def test_shape_text_of_scalar_vector_and_matrix():
    assert [shape_text(s) for s in [(), (1,), (5,), (64, 784)]] == ["1 number", "1 number", "5 numbers", "64 × 784"]


def test_listing_place_and_axes():
    assert [axis_list([0]), axis_list([0, 1])] == ["axis 0", "axes 0 and 1"]
    assert [listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [place(()), place((3,)), place((3, 17))] == ["", "[3]", "[3, 17]"]


def test_terms_are_all_or_the_largest():
    assert terms([0.1, -0.2]) == "0.1 + (−0.2)"
    assert terms([1.0, -5.0, 2.0, 3.0, 4.0]) == "(−5) + 4 + 3 + … (5 terms)"
    assert [signed(2.0), signed(-2.0)] == ["2", "(−2)"]


@pytest.mark.parametrize(
    ("formula", "letters"),
    [
        ("Y = X Wᵀ + b", {"Y", "X", "W", "b"}),
        ("dL/db = Σ G over the rows: b is added", {"dL", "db", "G", "over", "the", "rows"}),
        ("dL/dx = g y (1 - y)", {"dL", "dx", "g", "y"}),
        ("y = eˣ + xᵖ⁻¹", {"y", "e", "x", "p"}),
        ("ℓ = -log p_label", {"ℓ", "log", "p_label", "p"}),
    ],
)
def test_formula_letters_are_words_before_a_colon(formula, letters):
    assert formula_letters(formula) == letters
