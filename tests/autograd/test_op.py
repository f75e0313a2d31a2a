"""`@op`: the names of ops, and the call of an op."""

import pytest

import minigrad as mg
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op


@pytest.mark.usefixtures("restore_ops")
def test_op_name_of_another_module_is_taken():
    def exp(xp, x):
        """y = x"""
        return x, (lambda g: g,)

    original = OPS["exp"]
    with pytest.raises(ValueError, match=r"op: the name 'exp' is taken by an op of minigrad\.ops\.elementwise"):
        op("()->()")(exp)
    assert OPS["exp"] is original


@pytest.mark.usefixtures("restore_ops")
def test_op_of_the_same_module_is_replaced():
    def scaled(factor):
        @op("()->()")
        def scale(xp, x):
            """y = factor · x"""
            return factor * x, (lambda g: factor * g,)

        return scale

    scaled(2)
    last = scaled(3)
    assert OPS["scale"] is last
    assert last(mg.ones(1)).tolist() == [3.0]
