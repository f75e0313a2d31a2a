"""The self-test `python -m minigrad check`: it passes as installed, and names the op whose value or VJP was broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import __main__ as command
from minigrad import backend
from minigrad.autograd.methods import OPS
from minigrad.autograd.op import op, tensor_namespace
from minigrad.autograd.tensor import grad
from minigrad.testing import selftest as check
from minigrad.testing.formulas import FORMULAS

PACKAGE = Path(mg.__file__).parent
ALL = sorted(set(OPS))
DIFFERENTIABLE = [name for name in ALL if name in FORMULAS and FORMULAS[name].differentiable]
BOTH = (backend.float32, backend.float64)


def run(*arguments, folder=PACKAGE.parent):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "minigrad", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8", "PATH": ""},
        timeout=300,
        check=False,
    )


def row(name, dtypes=BOTH, device="cpu"):
    return check.check_op(name, dtypes, backend.device(device), backend.random.new_generator(0, 0))


def test_every_op_has_a_formula():
    assert [name for name in ALL if name not in FORMULAS] == []
    assert [name for name in FORMULAS if name not in OPS] == []


@pytest.mark.parametrize("name", ALL)
def test_ops_err_by_a_few_ulp(name, device):
    result = row(name, device=device)
    assert result.passed, result.verdict
    assert set(result.errors) == {(str(dtype), side) for dtype in BOTH for side in ("value", "gradient")}
    assert max(result.errors.values()) < check.LIMIT / 2


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("factor", [0.0, -1.0, 1.001])
def test_broken_gradient_is_found_in_every_op(monkeypatch, name, factor):
    monkeypatch.setattr(check, "grad", lambda *args: [g * factor for g in grad(*args)])
    monkeypatch.setattr(check, "EXAMPLES", 4)
    result = row(name)
    assert re.match("WRONG gradient of ", result.verdict)
    assert all(error > check.LIMIT for (_, side), error in result.errors.items() if side == "gradient")


@pytest.mark.parametrize("name", ALL)
def test_broken_value_is_found_in_every_op(monkeypatch, name):
    right = OPS[name]

    def wrong(*args, **options):
        y = right(*args, **options)
        y.array = check.np.asarray(y.array * 1.001 if y.dtype.kind == "f" else 1 - y.array)
        return y

    wrong.op = right.op
    monkeypatch.setitem(OPS, name, wrong)
    monkeypatch.setattr(check, "EXAMPLES", 4)
    result = row(name)
    assert result.verdict == "WRONG value"
    assert all(error > check.LIMIT for (_, side), error in result.errors.items() if side == "value")


def test_ulps_of_wrong_shape_or_nan_are_infinite():
    one = check.np.ones(3)
    assert check.ulps(one, one, backend.float64, []) == 0
    assert check.ulps(one, check.np.ones(4), backend.float64, []) == float("inf")
    assert check.ulps(one * float("nan"), one, backend.float64, []) == float("inf")
    assert check.ulps(one + 2**-52, one, backend.float64, []) == 1
    assert check.ulps(one + 2**-52, one, backend.float64, [4 * one]) == 0.25


def test_op_without_formula_fails_by_name(capsys):
    @op("()->()")
    def planted(xp, x):
        """y = x"""
        return x + 0, (lambda g: g,)

    try:
        assert row("planted").verdict.startswith("no formula")
        assert command.main(["check", "--ops", "planted", "add"]) == 1
        out = capsys.readouterr().out
        assert re.search(r"^planted .*no formula", out, re.MULTILINE)
        assert "FAILED: 1 of 2 ops: planted" in out
    finally:
        del OPS["planted"]
        delattr(tensor_namespace, "planted")


def test_op_that_raises_fails_by_name(monkeypatch):
    def broken(*args, **options):
        raise ZeroDivisionError("planted")

    broken.op = OPS["tanh"].op
    monkeypatch.setitem(OPS, "tanh", broken)
    assert row("tanh").verdict == "raised ZeroDivisionError: planted"


def test_shapes_fit_their_signature():
    rng = backend.random.new_generator(0)
    for _ in range(50):
        (*loop_x, _, k), (*loop_w, also_k, _) = check.shapes("(n,k),(k,m)->(n,m)", rng, 2)
        assert k == also_k
        check.np.broadcast_shapes(tuple(loop_x), tuple(loop_w))
        (*_, i), (o, also_i), (also_o,) = check.shapes("(...,i),(o,i),(o)->(...,o)", rng, 2)
        assert (i, o) == (also_i, also_o)
        x, w = check.shapes("(...),(...)->(...)", rng, 2)
        assert x == w
        assert len(x) == 3


def test_shapes_broadcast_in_both_directions():
    rng = backend.random.new_generator(0)
    pairs = [check.shapes("(),()->()", rng, 2) for _ in range(100)]
    assert all(len(check.shapes("()->()", rng, axes)[0]) == axes for axes in (0, 1, 2))
    assert any(len(x) < len(w) for x, w in pairs)
    assert any(len(x) > len(w) for x, w in pairs)
    assert any(x == () for x, _ in pairs)


def test_command_prints_a_row_for_each_op():
    result = run("check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    for name in ALL:
        assert re.search(rf"^{name} ( +[0-9.e-]+){{4}}  ok$", result.stdout, re.MULTILINE), name
    assert f"all {len(ALL)} ops are right" in result.stdout


def test_command_options_choose_ops_and_dtypes(capsys):
    assert command.main(["check", "--ops", "add", "softmax", "--dtype", "float64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("ok")] == ["add", "softmax"]
    assert "float32" not in "".join(lines)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "name", "verdict"),
    [
        ("activation.py", "lambda g: g * (1 - y * y)", "lambda g: g * (1 - x * x)", "tanh", "WRONG gradient of x"),
        ("activation.py", "xp.sum(g * y, axis=dim", "0 * xp.sum(g * y, axis=dim", "softmax", "WRONG gradient of x"),
        ("activation.py", "xp.where(y != 0, g, 0.0)", "xp.where(y == y, g, 0.0)", "relu", "WRONG gradient of x"),
        ("arithmetic.py", "lambda g: g, lambda g: -g)", "lambda g: g, lambda g: g)", "sub", "WRONG gradient of b"),
        ("shape.py", "lambda g: xp.swapaxes(g, dim0, dim1)", "lambda g: g", "transpose", "raised RuntimeError"),
        ("elementwise.py", "xp.where(x >= min, g", "xp.where(x > min, g", "clip", "WRONG gradient of x"),
        ("elementwise.py", "xp.log1p(x), (", "xp.log(x), (", "log1p", "WRONG value"),
    ],
)  # fmt: skip
def test_broken_source_is_named(tmp_path, file, right, wrong, name, verdict):
    shutil.copytree(PACKAGE, tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "minigrad" / "ops" / file
    text = source.read_text(encoding="utf-8")
    assert right in text
    source.write_text(text.replace(right, wrong), encoding="utf-8")
    result = run("check", folder=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout.endswith(f"FAILED: 1 of {len(ALL)} ops: {name}\n")
    assert re.search(rf"^{name} .*  {verdict}", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: check | info"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["check", "--ops", "foo"], "no op named foo; there are abs, add"),
        (["check", "--ops"], "expected at least one argument"),
        (["check", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["check", "--backend", "torch"], "invalid choice: 'torch'"),
        (["check", "--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_bad_option_is_one_line_and_exit_code_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_missing_device_is_one_line_and_exit_code_2(capsys, monkeypatch):
    def missing():
        raise backend.DeviceError("device 'cuda' needs CuPy, which is not installed: use the CPU")

    monkeypatch.setitem(backend.devices._loaders, "cuda", missing)
    monkeypatch.delitem(backend.devices._libraries, "cuda", raising=False)
    with pytest.raises(SystemExit) as end:
        command.main(["check", "--backend", "cupy"])
    assert end.value.code == 2
    assert (
        capsys.readouterr().err == "python -m minigrad: device 'cuda' needs CuPy, which is not installed: use the CPU\n"
    )
    assert command.main(["info"]) == 0
    assert "cupy      not usable: device 'cuda' needs CuPy, which is not installed" in capsys.readouterr().out


def test_info_prints_versions_and_devices():
    result = run("info")
    assert result.returncode == 0
    for line in (
        rf"minigrad  {mg.__version__}",
        r"Python    3\.",
        rf"numpy     {backend.numpy.__version__}, device cpu: ready",
    ):
        assert re.search(f"^{line}", result.stdout, re.MULTILINE), line
    assert re.search(r"^cupy      (not usable: |[0-9.]+, device cuda:0: ready)", result.stdout, re.MULTILINE)


def test_command_needs_no_torch_or_hypothesis():
    code = (
        "import sys; from minigrad.__main__ import main; main(['check']); import minigrad.testing; "
        "print(sorted({'torch', 'hypothesis', 'pytest', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert result.stdout.endswith("\n[]\n")
