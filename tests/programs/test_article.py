"""The program of the article that README.md names runs with only its import lines changed."""

import pytest

import minigrad as mg

TORCH = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset, random_split
"""

MINIGRAD = """
import minigrad as torch
import minigrad.nn as nn
import minigrad.nn.functional as F
import minigrad.optim as optim
from minigrad.data import DataLoader, TensorDataset, random_split
"""

PROGRAM = """
torch.manual_seed(1)
dataset = TensorDataset(torch.from_numpy(images).float() / 16, torch.from_numpy(labels).long())
train_ds, val_ds = random_split(dataset, [len(dataset) - 300, 300])
batch_size = 128
train_loader = DataLoader(train_ds, batch_size, shuffle=True, num_workers=0, pin_memory=False)
val_loader = DataLoader(val_ds, batch_size * 2, num_workers=0, pin_memory=False)


def accuracy(outputs, labels):
    _, preds = torch.max(outputs, dim=1)
    return torch.tensor(torch.sum(preds == labels).item() / len(preds))


class MnistModel(nn.Module):
    def __init__(self, in_size, hidden_size, out_size):
        super().__init__()
        self.linear1 = nn.Linear(in_size, hidden_size)
        self.linear2 = nn.Linear(hidden_size, out_size)

    def forward(self, xb):
        xb = xb.view(xb.size(0), -1)
        out = self.linear1(xb)
        out = F.relu(out)
        out = self.linear2(out)
        return out

    def training_step(self, batch):
        images, labels = batch
        out = self(images)
        loss = F.cross_entropy(out, labels)
        return loss

    def validation_step(self, batch):
        images, labels = batch
        out = self(images)
        loss = F.cross_entropy(out, labels)
        return {"val_loss": loss.detach(), "val_acc": accuracy(out, labels)}

    def validation_epoch_end(self, outputs):
        epoch_loss = torch.stack([x["val_loss"] for x in outputs]).mean()
        epoch_acc = torch.stack([x["val_acc"] for x in outputs]).mean()
        return {"val_loss": epoch_loss.item(), "val_acc": epoch_acc.item()}


def get_default_device():
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def to_device(data, device):
    if isinstance(data, (list, tuple)):
        return [to_device(x, device) for x in data]
    return data.to(device, non_blocking=True)


class DeviceDataLoader:
    def __init__(self, dl, device):
        self.dl = dl
        self.device = device

    def __iter__(self):
        for b in self.dl:
            yield to_device(b, self.device)

    def __len__(self):
        return len(self.dl)


def evaluate(model, val_loader):
    with torch.no_grad():
        outputs = [model.validation_step(batch) for batch in val_loader]
    return model.validation_epoch_end(outputs)


def fit(epochs, lr, model, train_loader, val_loader, opt_func=optim.SGD):
    history = []
    optimizer = opt_func(model.parameters(), lr)
    for epoch in range(epochs):
        for batch in train_loader:
            loss = model.training_step(batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        result = evaluate(model, val_loader)
        history.append(result)
    return history


device = get_default_device()
train_loader = DeviceDataLoader(train_loader, device)
val_loader = DeviceDataLoader(val_loader, device)
model = to_device(MnistModel(64, hidden_size=32, out_size=10), device)
n_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
history = [evaluate(model, val_loader)]
history += fit(30, 0.5, model, train_loader, val_loader)
logistic = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(device)
for x, y in train_loader:
    probs = F.softmax(logistic(x), dim=1)
"""

BY_HAND = """
torch.manual_seed(1)
inputs = torch.tensor([[73., 67., 43.], [91., 88., 64.], [87., 134., 58.], [102., 43., 37.], [69., 96., 70.]])
targets = torch.tensor([[56., 70.], [81., 101.], [119., 133.], [22., 37.], [103., 119.]])
w = torch.randn(2, 3, requires_grad=True)
b = torch.randn(2, requires_grad=True)


def model(x):
    return x @ w.t() + b


def mse(t1, t2):
    diff = t1 - t2
    return torch.sum(diff * diff) / diff.numel()


for i in range(1500):
    preds = model(inputs)
    loss = mse(preds, targets)
    loss.backward()
    with torch.no_grad():
        w -= w.grad * 1e-5
        b -= b.grad * 1e-5
        w.grad.zero_()
        b.grad.zero_()
"""


def run(imports, program):
    digits = mg.data.Digits(train=True)
    names = {"images": digits.data.numpy().reshape(-1, 1, 8, 8), "labels": digits.targets.numpy()}
    exec(compile(imports + program, "article", "exec"), names)
    return names


@pytest.mark.parametrize("imports", [TORCH, MINIGRAD], ids=["torch", "minigrad"])
def test_multilayer_model_trains(imports):
    if imports is TORCH:
        pytest.importorskip("torch", reason="torch runs the same program for comparison")
    names = run(imports, PROGRAM)
    history = names["history"]
    assert names["n_parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert history[0]["val_acc"] < 0.4
    assert history[-1]["val_acc"] > 0.9
    assert history[-1]["val_loss"] < history[1]["val_loss"] < history[0]["val_loss"]
    assert tuple(names["probs"].sum(dim=1).shape) == (len(names["x"]),)


@pytest.mark.parametrize("imports", [TORCH, MINIGRAD], ids=["torch", "minigrad"])
def test_linear_regression_by_hand(imports):
    if imports is TORCH:
        pytest.importorskip("torch", reason="torch runs the same program for comparison")
    assert run(imports, BY_HAND)["loss"].item() < 150
