"""Every op with a `dim`, on 0-d Tensors, empty axes and long axes."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

ALONG = {  # functions of the library, x and dim
    "sum": lambda lib, x, dim: x.sum(dim),
    "sum, keepdim": lambda lib, x, dim: lib.sum(x, dim, keepdim=True),
    "mean": lambda lib, x, dim: x.mean(dim),
    "amax": lambda lib, x, dim: lib.amax(x, dim),
    "amin": lambda lib, x, dim: lib.amin(x, dim),
    "max": lambda lib, x, dim: x.max(dim)[0],
    "max, keepdim": lambda lib, x, dim: x.max(dim, keepdim=True)[0],
    "min, indices": lambda lib, x, dim: x.min(dim)[1],
    "argmax": lambda lib, x, dim: lib.argmax(x, dim),
    "argmin": lambda lib, x, dim: x.argmin(dim),
    "softmax": lambda lib, x, dim: x.softmax(dim),
    "log_softmax": lambda lib, x, dim: x.log_softmax(dim),
    "logsumexp": lambda lib, x, dim: x.logsumexp(dim),
    "squeeze": lambda lib, x, dim: x.squeeze(dim),
    "unsqueeze": lambda lib, x, dim: x.unsqueeze(dim),
    "flatten": lambda lib, x, dim: x.flatten(dim),
    "flatten one axis": lambda lib, x, dim: x.flatten(dim, dim),
    "transpose": lambda lib, x, dim: x.transpose(0, dim),
    "stack": lambda lib, x, dim: lib.stack([x, x], dim),
    "cat": lambda lib, x, dim: lib.cat([x, x], dim),
}
ERRORS = (IndexError, ValueError, RuntimeError)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (0, 3), (2, 0, 3), (2, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("name", ALONG)
def test_every_dim_gives_the_result_of_torch(name, shape, device, torch):
    values = np.asarray(np.arange(float(np.prod(shape, dtype=int))).reshape(shape) * 0.5)
    for dim in range(-4, 4):
        if name == "cat" and shape == (0,):
            continue  # torch accepts any dim for Tensors of shape (0,), minigrad raises
        x, theirs = mg.tensor(values, device=device, requires_grad=True), torch.tensor(values, requires_grad=True)
        try:
            expected = ALONG[name](torch, theirs, dim)
        except ERRORS:
            with pytest.raises(ERRORS):
                ALONG[name](mg, x, dim)
            continue
        y = ALONG[name](mg, x, dim)
        assert y.shape == tuple(expected.shape)
        assert np.array(y.tolist()).ravel() == pytest.approx(expected.detach().numpy().ravel(), nan_ok=True)
        if y.requires_grad:
            weights = np.asarray(np.random.default_rng(0).standard_normal(y.shape))
            y.backward(mg.tensor(weights, device=device))
            expected.backward(torch.tensor(weights))
            assert np.array(x.grad.tolist()).ravel() == pytest.approx(theirs.grad.numpy().ravel(), nan_ok=True)


# Long axes, in float32
LONG = 2**20


@pytest.mark.parametrize(
    ("shape", "dim"),
    [((LONG,), None), ((LONG,), 0), ((LONG, 1), 0), ((LONG, 3), 0), ((3, LONG), 1), ((LONG // 4, 2, 2), (0, 1))],
    ids=str,
)
def test_sums_over_long_axes_are_accurate(shape, dim):
    x = np.full(shape, 0.1, "float32")
    exact = x.astype("float64").sum(axis=dim)
    for view in (x, np.asfortranarray(x)):
        assert mg.Tensor(view).sum(dim).numpy() == pytest.approx(exact, rel=1e-5)
        assert mg.Tensor(view).mean(dim).numpy() == pytest.approx(exact * 0.1 / exact, rel=1e-5)
    if dim is not None:
        long = mg.Tensor(x * 0).logsumexp(dim).numpy()
        assert long == pytest.approx(np.log(x.size / exact.size), rel=1e-5)


def test_gradients_of_broadcast_arrays_are_summed_accurately():
    """Every value is 0.1, so adding them one after the other would be off by 1 %."""
    g = mg.Tensor(np.full((LONG, 3), 0.1, "float32"))
    b, w, c = mg.zeros(3, requires_grad=True), mg.ones(2, 3, requires_grad=True), mg.ones(1, 1, requires_grad=True)
    (g * b + c).backward(g)
    exact = float(np.float32(0.1))
    assert b.grad.tolist() == pytest.approx([LONG * exact**2] * 3, rel=1e-5)
    assert c.grad.item() == pytest.approx(3 * LONG * exact, rel=1e-5)
    bias = mg.zeros(2, requires_grad=True)
    F.linear(mg.Tensor(np.ones((LONG, 3), "float32")), w, bias).backward(g[:, :2])
    assert bias.grad.tolist() == pytest.approx([LONG * exact] * 2, rel=6e-5)  # 1,024 ε / 2, of one block
    assert w.grad.numpy() == pytest.approx(np.full((2, 3), LONG * exact), rel=1e-5)


def test_losses_of_many_samples_are_accurate():
    scores = mg.zeros(LONG // 4, 3, requires_grad=True)
    labels = mg.zeros(LONG // 4, dtype="int64")
    for reduction, factor in (("mean", 1), ("sum", LONG // 4)):
        loss = F.cross_entropy(scores, labels, reduction=reduction)
        assert loss.item() == pytest.approx(np.log(3) * factor, rel=1e-5)
        assert F.mse_loss(scores + 0.1, scores.detach(), reduction=reduction).item() == pytest.approx(
            float(np.float32(0.1)) ** 2 * (1 if reduction == "mean" else 3 * LONG // 4), rel=1e-5
        )
