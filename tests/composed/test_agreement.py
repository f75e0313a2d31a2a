"""Each composed function and method next to torch's of the same name: values, dtypes and gradients, on every device."""

import math

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
Y = RNG.normal(size=(3, 4))
V, W = RNG.normal(size=4), RNG.normal(size=4)
SQUARE = RNG.normal(size=(3, 3))
P = RNG.uniform(0.2, 0.8, (3, 4))
B, C = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4, 2))
N = RNG.integers(-5, 6, (3, 4))
MASK = RNG.random((3, 4)) < 0.5
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
ODD = np.array([0.0, -0.0, 1.5, -2.5, math.inf, -math.inf, math.nan])
AT = RNG.integers(0, 4, (3, 2))

# A program in the names of torch: (expression, arrays by name). `t` is minigrad or torch.
VALUES = {"x": X, "y": Y, "v": V, "w": W, "s": SQUARE, "p": P, "b": B, "c": C, "n": N, "m": MASK, "z": ZEROS, "o": ODD}
VALUES |= {"at": AT, "i": np.array([2, 0, 2]), "u": np.array([3, 1, 3, 0, 1, 3])}

EXPRESSIONS = """
t.square(x); t.reciprocal(p); t.rsqrt(p); t.exp2(x); t.expm1(x); t.expm1(x * 1e-9); t.log2(p); t.log10(p); t.sign(o)
t.ceil(o); t.trunc(o); t.floor(o); t.round(o); t.round(x, decimals=2); x.frac(); t.tan(x); t.sinh(x); t.cosh(x)
t.lerp(x, y, 0.25); t.hypot(x, y); t.logaddexp(x, y); t.xlogy(p, p); t.nan_to_num(o); t.clamp_min(x, 0.1); x.sin()
x.cos(); t.clamp_max(x, 0.1); t.isinf(o); t.isclose(x, x + 1e-9); t.isclose(o, o, equal_nan=True); t.isclose(o, o)
t.logical_and(n, x); t.logical_or(n, x); t.logical_xor(n, m); t.logical_not(n); t.all(m); t.any(m); m.all(dim=1)
m.any(0, keepdim=True); n.any(); m & (x > 0); m | (x > 0); m ^ (x > 0); ~m; True & m; t.count_nonzero(n, dim=0)
n % 3; n // 2; x % 0.7; x.detach() // 0.7; -7 % (n * n + 1); 7.5 // p.detach(); x % p; t.remainder(x, p)
t.floor_divide(n, 2); n.sign(); x.var(); x.var(0); x.std(1, keepdim=True); x.std(unbiased=False); x.var(dim=(0, 1))
t.std(x, dim=0, correction=0); v.std(); t.var_mean(x, dim=1); t.std_mean(x, dim=1); x.norm(); x.norm(1)
x.norm(p=3, dim=1); x.norm(math.inf, dim=0); t.dist(x, y); x.norm(p="fro"); x.norm(0)
t.norm(x, dim=1, keepdim=True); (x * 0).norm(); x.prod(); x.prod(0); x.prod(1, keepdim=True); z.prod(1); z.prod()
n.prod(); t.cumprod(p, 1); t.cumsum(x, 0); x.cumsum(-1); n.cumsum(1); x.median(); x.median(1); o.median()
x.median(0, keepdim=True); x.quantile(0.3); x.quantile(0.5, dim=1)
t.quantile(x, t.tensor([0.0, 0.7], dtype=t.float64), dim=0); x.sort(); x.sort(0, descending=True)
n.sort(dim=1, stable=True); o.sort(); o.sort(descending=True); x.argsort(); x.argsort(0, True); x.topk(2)
x.topk(2, dim=0, largest=False); x.kthvalue(2); u.unique(); u.unique(return_counts=True); u.mode()
u.unique(return_inverse=True, return_counts=True); u.bincount(); t.bincount(u, minlength=6); t.histc(x, 5, -1, 1)
n.unique(); x.split(2); x.split([1, 3], dim=1); x.chunk(3, 1); x.chunk(2); t.tensor_split(x, 3, 1)
t.tensor_split(x, (1, 2), 1); x.unbind(1); x.select(1, -1); x.narrow(1, 1, 2); x.gather(1, at)
t.gather(x, dim=0, index=at.clamp(0, 2)); t.index_select(x, 0, i); x.ravel(); t.take(x, i); x.masked_select(m)
x.masked_fill(m, -1e9); x.masked_fill(m, 0); n.nonzero(); n.nonzero(as_tuple=True); x.flip(0); x.flip(0, 1)
x.flip([1]); t.flip(b, dims=(0, 2)); t.fliplr(x); t.flipud(x); x.roll(1); x.roll(-3, 1); x.roll((1, 2), (0, 1))
t.rot90(x); t.rot90(x, 3); x.repeat(2, 1); v.repeat(3, 2); t.tile(x, (2,)); x.repeat_interleave(2)
x.repeat_interleave(3, dim=1); t.repeat_interleave(v, t.tensor([1, 0, 2, 1])); t.hstack([x, y]); t.hstack([v, w])
t.vstack([v, w]); t.vstack((x, y)); t.dstack((x, y)); t.column_stack((v, w)); t.concat([x, y], dim=1)
t.movedim(b, 0, -1); t.moveaxis(b, (0, 1), (1, 2)); t.swapdims(b, 0, 1); x.unflatten(1, (2, -1)); x.view_as(y)
v.expand_as(x); t.atleast_2d(v); t.broadcast_tensors(x, v); t.meshgrid(v, w, indexing="ij")
t.meshgrid(v, w[:3], indexing="xy"); x.scatter(1, at[:, :1], 5.0); x.scatter_add(1, at, y[:, :2])
x.index_add(0, i, y); t.adjoint(b); x.scatter(1, at[:, :1], y[:, :1]); t.take_along_dim(x, at, 1); t.dot(v, w)
v.dot(w); t.inner(x, y); t.outer(v, w); t.mv(x, v); t.bmm(b, c); b.bmm(c); t.addmm(s, x, y.T)
t.tensordot(b, c, ([2], [1])); t.tensordot(x, y.T, 1); t.einsum("ij,kj->ik", x, y); t.einsum("ij->j", x)
t.einsum("bij,bjk->bik", b, c); t.einsum("ii->", s); t.einsum("ii->i", s); t.einsum("i,j->ij", v, w)
t.einsum("ij,ij->", x, y); t.einsum("ij,j", x, v); t.einsum("bij,bjk,bk->i", b, c, c[:, 0])
t.einsum("...ij,...jk->...ik", b, c); t.einsum("ij->ji", x); t.einsum("i,i", v, w); t.einsum("...j,j->...", b, v)
t.diag(v); t.diag(v, 1); t.diag(s); s.diag(-1); t.diagonal(b, dim1=1, dim2=2); t.trace(s); x.tril(); x.triu(1)
t.tril(b, -1); m.triu(); t.tril_indices(3, 4); t.triu_indices(3, 4, 1); t.kron(x, y); t.cov(x); t.corrcoef(x)
t.cdist(x, y); t.cdist(x, y, p=1.0); t.cosine_similarity(x, y); t.multiply(x, y); t.divide(x, p); t.subtract(x, y)
t.negative(x); t.absolute(x); t.true_divide(x, p); t.linspace(0, 1, 5); t.linspace(-2, 3, 4, dtype=t.float64)
t.logspace(0, 2, 3); t.full_like(x, 3.0); t.empty(2, 3).fill_(1); t.empty_like(x.detach()).fill_(1)
t.as_tensor([1.0, 2.0]); t.as_tensor(x); t.scalar_tensor(2.0); x.new_zeros(2, 3); x.new_ones((2,))
x.new_full((2,), 3.0); x.new_tensor([1, 2]); x.type(t.float32); n.type_as(x); t.is_tensor(x); t.is_floating_point(n)
t.numel(x); t.equal(x, x); t.equal(x, y); t.allclose(x, x + 1e-9); t.allclose(o, o, equal_nan=True); x.contiguous()
x.element_size(); x.itemsize; x.nbytes; x.is_cuda; b.mT; b.stride(); b.stride(1); x.nelement(); x.is_contiguous()
t.erf(x); t.logit(p); t.selu(x); t.celu(x, 0.7); F.gelu(x); F.gelu(x, approximate="tanh"); F.silu(x); F.elu(x)
F.elu(x, alpha=0.5); F.mish(x); F.logsigmoid(x); F.softmin(x, 1); F.softsign(x); F.hardtanh(x); F.relu6(x * 5)
F.hardsigmoid(x * 3); F.hardswish(x * 3); F.glu(x); F.glu(x, 1); F.prelu(x, v[:1]); F.threshold(x, 0.1, 20.0)
F.tanhshrink(x); F.softshrink(x); F.hardshrink(x); F.celu(x); F.selu(x); F.cosine_similarity(x, y, dim=0)
t.addcmul(x, x, y, value=0.5); t.addcdiv(x, y, p); x.where(m, y); F.pairwise_distance(x, y)
"""


def split(expressions):
    return [each.strip() for each in expressions.replace("\n", ";").split(";") if each.strip()]


def results(value):
    """The Tensors of a result, flat."""
    if isinstance(value, (tuple, list)):
        return [each for part in value for each in results(part)]
    return [value]


def run(expression, library, functional, leaves):
    """The results, and the gradients of a weighted sum of those that have one."""
    found = results(eval(expression, {"t": library, "F": functional, "math": math, **leaves}))
    loss = 0
    for each in found:
        if getattr(each, "requires_grad", False):
            weights = np.cos(np.arange(each.numel())).reshape(tuple(each.shape))
            weights = library.tensor(weights, dtype=each.dtype, device=each.device)
            loss = loss + library.where(library.isfinite(each), each * weights, 0.0).sum()
    if isinstance(loss, int):
        return found, {}
    loss.backward()
    return found, {name: x.grad for name, x in leaves.items() if x.is_leaf and x.grad is not None}


def host(x):
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)


@pytest.mark.parametrize("expression", split(EXPRESSIONS))
def test_function_agrees_with_torch(expression, device, torch):
    ours = {name: mg.tensor(value, device=device) for name, value in VALUES.items()}
    theirs = {name: torch.tensor(value) for name, value in VALUES.items()}
    for leaves in (ours, theirs):
        for x in leaves.values():
            if x.dtype in (mg.float64, torch.float64):
                x.requires_grad_()
    found, gradients = run(expression, mg, F, ours)
    expected, slopes = run(expression, torch, torch.nn.functional, theirs)
    assert len(found) == len(expected)
    for y, z in zip(found, expected):
        a, b = host(y), host(z)
        assert a.shape == b.shape
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-6 if b.dtype == np.float32 else 1e-9, atol=1e-12)
    for name in {*gradients, *slopes}:
        g, slope = (host(each[name]) if name in each else np.zeros_like(VALUES[name]) for each in (gradients, slopes))
        np.testing.assert_allclose(g, slope, rtol=1e-7, atol=1e-9, err_msg=name)


IN_PLACE = """
x.abs_(); p.exp_(); p.log_(); x.neg_(); p.pow_(2); p.sqrt_(); x.relu_(); x.sigmoid_(); x.tanh_(); x.clamp_(0, 1)
x.clamp_(min=0.1); x.masked_fill_(m, 2.0); x.scatter_(1, at[:, :1], 1.0); x.scatter_(1, at[:, :1], y)
x.scatter_add_(1, at, y); x.fill_diagonal_(3.0); x.squeeze_(); x.unsqueeze_(0); x.t_(); x.index_add_(0, i, y)
x.round_(); x.floor_(); x.square_(); x.nan_to_num_(); t.zeros(3, 4).scatter_(1, at[:, :1], 1)
x.scatter_(1, at[:, :1], value=2.0); x.ceil_(); x.sin_(); x.detach_()
"""


@pytest.mark.parametrize(
    "expression", [each.strip() for each in IN_PLACE.replace("\n", ";").split(";") if each.strip()]
)
def test_in_place_method_agrees_with_torch(expression, torch):
    ours = {name: mg.tensor(value) for name, value in VALUES.items()}
    theirs = {name: torch.tensor(value) for name, value in VALUES.items()}
    found = eval(expression, {"t": mg, **ours})
    expected = eval(expression, {"t": torch, **theirs})
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    changed = expression[0]
    np.testing.assert_allclose(ours.get(changed, found).numpy(), theirs.get(changed, expected).numpy(), rtol=1e-12)
