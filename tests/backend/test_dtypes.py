"""Dtypes: names, and arrays made of Python data."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (float, "float32"),
        (int, "int64"),
        (bool, "bool"),
        ("float64", "float64"),
        (np.int8, "int8"),
        (np.dtype("uint8"), "uint8"),
        (mg.int16, "int16"),
    ],
)
def test_dtype_of_a_name_or_a_type(name, dtype):
    assert backend.dtype_of(name) == dtype
    assert mg.zeros(1, dtype=name).dtype == dtype


@pytest.mark.parametrize("name", ["nonsense", ["float32"], ("int32", (-1,)), "complex64", "float16"])
def test_invalid_dtype_lists_supported_dtypes(name):
    with pytest.raises(TypeError, match=r"expected one of the dtypes bool, uint8, int8, .*, float64, got"):
        mg.zeros(2, dtype=name)


@pytest.mark.parametrize("data", [np.ones(2, ">f4"), np.ones(2, ">f8"), np.ones(2, ">i4")], ids=lambda a: a.dtype.str)
def test_byte_order_becomes_native(data):
    x = mg.tensor(data)
    assert x.dtype == data.dtype.newbyteorder("=")
    assert x.dtype.isnative
    assert x.tolist() == [1, 1]


@pytest.mark.parametrize("data", ["text", [None], [object()], np.zeros(1, "M8[s]"), [1j]])
def test_data_without_numbers_raises(data):
    with pytest.raises(TypeError, match="expected"):
        mg.tensor(data)
