"""In-place updates: values, what is rejected, and when."""

import numpy as np
import pytest

import minigrad as mg

UPDATES = {
    "+=": lambda x, y: x.__iadd__(y),
    "-=": lambda x, y: x.__isub__(y),
    "*=": lambda x, y: x.__imul__(y),
    "/=": lambda x, y: x.__itruediv__(y),
    "add_": lambda x, y: x.add_(y),
    "sub_": lambda x, y: x.sub_(y),
    "mul_": lambda x, y: x.mul_(y),
    "div_": lambda x, y: x.div_(y),
    "copy_": lambda x, y: x.copy_(y),
    "fill_": lambda x, y: x.fill_(y),
    "x[index] = y": lambda x, y: x.__setitem__(..., y),
}
RESULTS = {"+": 8.0, "-": 4.0, "*": 12.0, "/": 3.0, "add": 8.0, "sub": 4.0, "mul": 12.0, "div": 3.0}


@pytest.mark.parametrize("name", UPDATES)
def test_update_writes_to_the_same_array(name, device):
    for other in (2, 2.0, mg.tensor(2.0, device=device), mg.tensor([2.0, 2.0], device=device)):
        x = mg.tensor([6.0, 6.0], device=device)
        array = x.array
        UPDATES[name](x, other)
        assert x.array is array
        assert x.tolist() == [RESULTS.get(name.rstrip("=_"), 2.0)] * 2


def test_zero_sets_every_element_to_0(device):
    x = mg.tensor([6.0, -1.0], device=device)
    assert x.zero_() is x
    assert x.tolist() == [0.0, 0.0]


def test_add_and_sub_scale_by_alpha():
    x = mg.tensor([1.0, 2.0])
    assert x.add_(10, alpha=2).tolist() == [21.0, 22.0]
    assert x.sub_(mg.tensor([1.0, 2.0]), alpha=0.5).tolist() == [20.5, 21.0]
    assert x.add_(10, alpha=1).tolist() == [30.5, 31.0]
    with pytest.raises(TypeError, match="add_: expected a number as alpha, got str"):
        x.add_(1, alpha="2")


@pytest.mark.parametrize("name", UPDATES)
def test_update_of_a_recorded_tensor_raises(name):
    w, x = mg.ones(2, requires_grad=True), mg.ones(2)
    with pytest.raises(RuntimeError, match="use x = x \\+ y, or put the update under `with no_grad"):
        UPDATES[name](w, 2.0)
    x_view = x[:]
    with pytest.raises(RuntimeError, match="cannot be modified in place while ops are recorded"):
        UPDATES[name](x_view, w)
    with mg.no_grad():
        UPDATES[name](w, 2.0)
        UPDATES[name](x, w)
    assert w.requires_grad
    assert not x.requires_grad


@pytest.mark.parametrize("operator", ["+=", "-=", "*=", "/="])
@pytest.mark.parametrize("other", ["y", "2.0"])
def test_operator_update_of_an_intermediate_is_recorded(operator, other, device, torch):
    results = []
    for library, options in ((mg, {"device": device}), (torch, {})):
        x, y = (library.tensor(data, requires_grad=True, **options) for data in ([1.0, 2.0], [4.0, -3.0]))
        scope = {"h": x + 1, "y": y}
        exec(f"h {operator} {other}", scope)
        (scope["h"] * scope["h"]).sum().backward()
        results.append([scope["h"].tolist(), x.grad.tolist(), y.grad.tolist() if other == "y" else None])
    assert results[0] == results[1]


def test_total_of_losses_is_recorded():
    w, total = mg.tensor(3.0, requires_grad=True), mg.zeros(1)
    for _ in range(3):
        total += w * w
    total /= 3
    total.backward()
    assert w.grad.item() == 6.0
    assert total.shape == (1,)


def test_operator_update_keeps_the_values_that_vjps_need():
    x = mg.tensor([0.5], requires_grad=True)
    y = x.exp()
    before = y
    y += 1  # in torch backward raises here: exp needs its output as it was
    (y * before).backward()
    assert x.grad.item() == pytest.approx(2 * before.item() ** 2 + before.item())


def test_operator_update_keeps_shape_and_dtype():
    x = mg.ones(2, requires_grad=True) * 1
    x += mg.ones(2).double()
    assert x.dtype == mg.float32
    with pytest.raises(ValueError, match=r"\+=: expected a result of shape \(2,\), got \(3, 2\)"):
        x += mg.ones(3, 2)


def test_operator_update_of_a_recorded_view_raises():
    h = mg.ones(2, 2, requires_grad=True) * 1
    row = h[0]
    with pytest.raises(RuntimeError, match="use x = x \\+ y"):
        row += 1


def test_operator_updates_keep_the_object():
    w = mg.ones(1, requires_grad=True)
    same = w
    with mg.no_grad():
        w -= 0.5
        w *= 3
        w += 1
        w /= 5
    assert w is same
    assert w.tolist() == [0.5]


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("other", ["2", None, [2.0, 2.0], 1j, np.array(["a"])], ids=repr)
def test_update_takes_only_tensors_and_numbers(name, other):
    x = mg.ones(2)
    with pytest.raises(TypeError, match=f"^{name.replace('[', '.').replace('+', '.').replace('*', '.')}"):
        UPDATES[name](x, other)
    assert x.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", UPDATES)
def test_update_with_another_shape_raises(name, device):
    x = mg.ones(2, 3, device=device)
    with pytest.raises(mg.ShapeError, match=r"\(got \(2,\) for \(2, 3\)\)"):
        UPDATES[name](x, mg.ones(2, device=device))
    assert x.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("name", UPDATES)
def test_update_from_another_device_raises(name):
    with pytest.raises(RuntimeError, match="expected a Tensor on cpu, got one on strict"):
        UPDATES[name](mg.ones(2), mg.ones(2, device="strict"))


def test_update_of_an_expanded_tensor_raises():
    x = mg.tensor([1.0]).broadcast_to(3)
    with pytest.raises(mg.ShapeError, match=r"elements of an expanded Tensor share memory.*use x.clone\(\)"):
        x += 1
    assert x.tolist() == [1.0] * 3


def test_number_too_large_for_the_dtype_raises():
    x = mg.tensor([1, 2])
    with pytest.raises(ValueError, match=r"fill_: .* \(dtype int64\)"):
        x.fill_(10**30)
    assert x.tolist() == [1, 2]


def test_division_by_zero_gives_inf_without_a_warning():
    assert mg.tensor([1.0, -1.0, 0.0]).div_(0).tolist() == pytest.approx([np.inf, -np.inf, np.nan], nan_ok=True)
