"""Programs for torch find their names when the import lines change; a name that minigrad leaves out has advice."""

import subprocess
import sys

import pytest

import minigrad
import minigrad as torch
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.utils.data import DataLoader, TensorDataset
from minigrad.vision import datasets, transforms

DOTTED = """
    utils.data.DataLoader utils.data.Dataset utils.data.TensorDataset utils.data.random_split nn.functional.relu
    optim.SGD autograd.grad autograd.Function autograd.Variable autograd.functional.jacobian float long double int
    FloatTensor LongTensor accelerator.is_available backends.mps.is_available backends.cudnn.deterministic Generator
    cuda.is_available pi inf nan Size inference_mode nn.Module optim.Adam no_grad vision.datasets.MNIST
"""


@pytest.mark.parametrize("name", DOTTED.split())
def test_dotted_names_need_one_import(name):
    program = f"import minigrad as torch; torch.{name}"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=minigrad.__path__[0] + "/..")


def test_submodules_load_at_first_use():
    program = "import sys, minigrad; print(*[name for name in sys.modules if name.startswith('minigrad.')])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"minigrad.utils", "minigrad.vision", "minigrad.autograd.functional"} & set(run.stdout.split())


def test_program_runs_with_changed_import_lines():
    torch.manual_seed(0)
    device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    x = torch.randn(64, 3)
    y = (x.sum(dim=1) > 0).type(torch.float).unsqueeze(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(20):
        for a, b in loader:
            loss = F.binary_cross_entropy_with_logits(model(a.to(device)), b.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.3


def test_old_types_make_tensors_and_casts():
    assert torch.FloatTensor([[1, 2]]).dtype == torch.float
    assert torch.FloatTensor(2, 3).shape == (2, 3)
    assert torch.LongTensor([1.0]).tolist() == [1]
    x = torch.tensor([1.7])
    assert x.type(torch.LongTensor).tolist() == x.type(torch.long).tolist() == [1]
    assert x.type() == "torch.FloatTensor"
    assert x.type("torch.DoubleTensor").dtype == torch.double
    assert isinstance(x, torch.FloatTensor)
    assert not isinstance(x, torch.LongTensor)


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda: torch.fft, "no torch.fft; it leaves out Fourier transforms; compute it with NumPy"),
        (lambda: torch.compile, "no torch.compile; it leaves out compilation; use replay"),
        (lambda: torch.float16, "no torch.float16; it leaves out dtypes besides"),
        (lambda: nn.Conv2d, "no torch.nn.Conv2d; it leaves out convolution and pooling; use Linear"),
        (lambda: nn.LSTM, "no torch.nn.LSTM; it leaves out recurrence"),
        (lambda: F.max_pool2d, "no torch.nn.functional.max_pool2d; it leaves out convolution"),
        (lambda: optim.LBFGS, "no torch.optim.LBFGS; it leaves out other optimizers; use Adam"),
        (lambda: torch.autograd.forward_ad, "no torch.autograd.forward_ad"),
        (lambda: torch.utils.tensorboard, "no torch.utils.tensorboard; it leaves out TensorBoard"),
        (lambda: torch.ones(1).svd(), "no Tensor.svd; it leaves out decompositions"),
        (lambda: torch.ones(1).unknown, "no Tensor.unknown; use"),
        (lambda: torch.unknown, "no torch.unknown; use"),
    ],
)
def test_left_out_names_have_advice(find, message):
    with pytest.raises(AttributeError, match=message):
        find()
    assert not hasattr(torch, "unknown")


def test_vision_normalizes_mnist(tmp_path):
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,)), transforms.Lambda(lambda x: x.view(-1))]
    )
    assert transform(torch.ones(1, 2, 2)).tolist() == [1.0] * 4
    assert "Normalize(mean=(0.5,), std=(0.5,))" in repr(transform)
    names = {"MNIST": (), "FashionMNIST": (), "KMNIST": (), "EMNIST": ("letters",)}
    for name, options in names.items():
        with pytest.raises(FileNotFoundError, match=f"{name}: expected .*train-images"):
            getattr(datasets, name)(tmp_path, *options)
    with pytest.raises(ValueError, match="expected a split of byclass"):
        datasets.EMNIST(tmp_path, "capitals")


def test_normalize_agrees_with_torchvision():
    from helpers.torchvision_import import import_torchvision

    import_torchvision()
    import numpy as np
    import torch as reference
    from torchvision import transforms as theirs

    image = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
    arguments = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    ours = transforms.Normalize(*arguments)(torch.tensor(image)).numpy()
    np.testing.assert_array_equal(ours, theirs.Normalize(*arguments)(reference.tensor(image)).numpy())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: transforms.Normalize((0.5,), (0.5,))(3), TypeError),
        (lambda: transforms.Normalize((0.5,), (0.5,))(torch.ones(1, 2, 2).long()), TypeError),
        (lambda: transforms.Normalize((0.5, 0.5), (0.5, 0.5))(torch.ones(3, 2, 2)), ValueError),
        (lambda: transforms.Normalize((0.5,), (0.0,))(torch.ones(1, 2, 2)), ValueError),
        (lambda: transforms.Lambda(3), TypeError),
    ],
)
def test_transforms_reject_wrong_arguments(call, error):
    with pytest.raises(error, match=r"Normalize: expected|Lambda: expected"):
        call()
