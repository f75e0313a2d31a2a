"""Small training steps for the tests of `minigrad.viz`, and readers of the page."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F


def mlp(device: str = "cpu") -> tuple[nn.Sequential, optim.SGD, mg.Tensor]:
    """A model, its optimizer and the loss of a batch, the same at every call."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).to(device)
    x, y = mg.randn(4, 6).to(device), mg.tensor([2, 0, 1, 1]).to(device)
    # Two ops: the loss of each sample, and their mean.
    return model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy(model(x), y, reduction="none").mean()


def mlp_step() -> tuple[mg.Tensor, nn.Sequential, optim.SGD, None]:
    """The arguments of `viz.player` for `mlp`: loss, model, optimizer, path."""
    model, optimizer, loss = mlp()
    return loss, model, optimizer, None


class Block(nn.Module):
    def __init__(self) -> None:
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.b(self.a(x).relu()).tanh()


class Deep(nn.Module):
    """A residual network: 5 ops and 4 parameters in each block."""

    def __init__(self, blocks: int) -> None:
        self.stem, self.body = nn.Linear(2, 4), nn.Sequential(*[Block() for _ in range(blocks)])
        self.head = nn.Linear(4, 3)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.head(self.body(self.stem(x).relu()))


def to_numpy(tensor: mg.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def page_of(player: Any) -> dict[str, Any]:
    """The recording in the page."""
    return json.loads(re.search(r'id="recording">(.*?)</script>', player.html, re.DOTALL)[1])


def panels(page: dict[str, Any], kind: str, phase: int | None = None) -> list[dict[str, Any]]:
    """The panels of a kind, in all frames or in those of one phase."""
    frames = [frame for frame in page["frames"] if phase in (None, frame["phase"])]
    return [panel for frame in frames for panel in frame["panels"] if panel["panel"] == kind]


def numbers_of(entry: dict[str, Any]) -> np.ndarray:
    """An array of the page."""
    raw = np.frombuffer(base64.b64decode(entry["data"]), dtype=f"<{entry['type']}")
    return raw.reshape(entry["shape"])
