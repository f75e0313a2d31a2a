"""The player: a recording of one training step, frame by frame, as a self-contained HTML page that works offline."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Tensor
from ..backend import numpy, unravel
from ..files import write_atomically
from ..nn.module import Module
from ..optim import Optimizer
from .formatting import shape_text
from .layout import layered
from .narration import PHASES, Narrator
from .recorder import Recording, record
from .trace import title, trace

MAX_EXACT_SIZE = 8192  # an array up to this size is in the page number by number
BLOCK_ROWS, BLOCK_COLUMNS, N_LARGEST = 32, 49, 8  # a larger one as means of blocks, with its largest numbers
MAX_OPS = 300


class ArrayStore:
    """The arrays of the page, each stored once."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.index_of: dict[int, int] = {}
        self.arrays: list[Any] = []  # the id of an array is unique only as long as the array lives

    def add(self, array: Any, scale: str) -> int:
        """Store an array and return its index; `scale` is its colour scale, "value" or "gradient"."""
        if id(array) not in self.index_of:
            self.index_of[id(array)] = len(self.entries)
            self.entries.append({"scale": scale, **encode(array)})
            self.arrays.append(array)
        return self.index_of[id(array)]


def finite(value: Any) -> Any:
    """A number for JSON, which has no nan and inf: they become text."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def mean(array: Any) -> float | str:
    """The mean for JSON, without NumPy's warning for inf - inf."""
    with numpy.errstate(all="ignore"):
        return finite(array.mean())


def base64_of(array: Any) -> str:
    """The bytes of an array of floats, little-endian."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def encode(array: Any) -> dict[str, Any]:
    """An array for the page: all its numbers, or the means of blocks and the largest numbers of a large one."""
    shape = array.shape
    table = array.reshape(math.prod(shape[:-1]), shape[-1]) if shape else array.reshape(1, 1)
    if table.dtype.kind != "f":
        table = table.astype("float64")
    rows, columns = table.shape
    entry: dict[str, Any] = {"shape": list(shape), "rows": rows, "columns": columns, "type": f"f{table.dtype.itemsize}"}
    if table.size:
        entry |= {"min": finite(table.min()), "max": finite(table.max()), "mean": mean(table)}
    if table.size <= MAX_EXACT_SIZE:
        return entry | {"data": base64_of(table)}
    tall, wide = -(-rows // BLOCK_ROWS), -(-columns // BLOCK_COLUMNS)
    means = [[mean(table[r : r + tall, c : c + wide]) for c in range(0, columns, wide)] for r in range(0, rows, tall)]
    order = abs(table).ravel().argsort()[::-1][:N_LARGEST]
    largest = [[unravel(int(i), shape), finite(table.flat[i])] for i in order]
    return entry | {"block": [tall, wide], "means": means, "largest": largest}


class Player:
    """The page of one recorded training step. A notebook shows it in an iframe.

    Attributes:
        html: the page.
        path: the file, if one was written.
        frames: the number of frames.
        batch_frame: the frame, counted from 1, that explains why the gradient of a bias is a sum over the batch. None
            if no linear layer has a bias.
        recording: the arrays behind the page; `recording.gradient_of(name)` is the gradient of a parameter.

    Example:
        >>> import minigrad as mg
        >>> from minigrad import nn, viz
        >>> model = nn.Linear(3, 1)
        >>> page = viz.player((model(mg.ones(2, 3)) ** 2).mean(), model, path=None)
        >>> page.frames, page.batch_frame
        (10, 9)
        >>> page.recording.gradient_of("weight").shape
        (1, 3)
    """

    def __init__(self, html: str, recording: Recording, frames: list[dict[str, Any]], path: Path | None) -> None:
        self.html = html
        self.recording = recording
        self.frames = len(frames)
        self.batch_frame = next((i for i, frame in enumerate(frames, 1) if frame.get("batch")), None)
        self.path = path

    def __repr__(self) -> str:
        where = f" in {self.path}: open it in a browser" if self.path else ""
        return f"<Player of {self.frames} frames{where}>"

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="One training step" srcdoc="{escape(self.html)}" sandbox="allow-scripts" '
            'style="width:100%;height:760px;border:1px solid #8884;border-radius:10px"></iframe>'
        )


def player(
    loss: Tensor,
    model: Module | None = None,
    optimizer: Optimizer | None = None,
    path: str | Path | None = "step.html",
    *,
    names: Mapping[str, Tensor] | None = None,
    image: tuple[int, int] | None = None,
    heading: str = "One training step",
) -> Player:
    """Run one real training step, record it, and write it as a page that plays it frame by frame.

    The page has five phases: predict, loss, gradients, update, reset; without an optimizer, the first three. The player
    itself calls `loss.backward()`, `optimizer.step()` and `optimizer.zero_grad()`.

    Args:
        loss: a Tensor of one number, before backward.
        model: its parameters have their dotted names, as in `model.named_parameters()`.
        optimizer: takes the step.
        path: the file to write; None writes none.
        names: other Tensors, by the name to show.
        image: (height, width), if each sample is an image.
        heading: the title of the page.

    Returns:
        A `Player` with the attributes `html`, `frames` and `recording`.

    Raises:
        RuntimeError: `loss` has no graph, or backward has freed it.
        TypeError: an argument has a wrong type.
        ValueError: `loss` has more than one number, or its graph more than 300 ops.
        OSError: the file cannot be written. An old one is then kept, and no step taken.

    Example:
        >>> import minigrad as mg
        >>> from minigrad import nn, optim, viz
        >>> from minigrad.nn import functional as F
        >>> model = nn.Linear(3, 2)
        >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
        >>> loss = F.cross_entropy(model(mg.ones(4, 3)), mg.tensor([0, 1, 1, 0]))
        >>> viz.player(loss, model, optimizer, path=None)
        <Player of 11 frames>
    """
    ops = sum(vertex.node is not None for vertex in trace(loss, model, names))
    if ops > MAX_OPS:
        raise ValueError(
            f"player: expected a graph of at most {MAX_OPS} ops, got {ops}; use a smaller model, or draw it "
            "with graph()"
        )
    with undone_on_error(optimizer):
        recording = record(loss, model, optimizer, names)
        html, frames = page_of(recording, image, heading)
        if path is not None:
            path = Path(path)
            write_atomically(path, html.encode())
    return Player(html, recording, frames, path)


@contextmanager
def undone_on_error(optimizer: Optimizer | None) -> Iterator[None]:
    """Restore parameters, gradients and the optimizer's state if an error is raised: no step without its page."""
    if not isinstance(optimizer, Optimizer):
        yield
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    weights = [parameter.detach().clone() for parameter in parameters]
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]
    state = optimizer.state_dict()
    try:
        yield
    except BaseException:
        with no_grad():
            for parameter, weight, gradient in zip(parameters, weights, gradients):
                parameter.copy_(weight)
                parameter.grad = gradient
        optimizer.load_state_dict(state)
        raise


def page_of(recording: Recording, image: tuple[int, int] | None, heading: str) -> tuple[str, list[dict[str, Any]]]:
    """The page of a recording, and its frames."""
    store = ArrayStore()
    frames = Narrator(recording, store.add, image).narrate()
    edges = sorted({(i, vertex.index) for vertex in recording.vertices for _, i in vertex.inputs})
    layout = layered(len(recording.vertices), edges)
    edge_number = {edge: i for i, edge in enumerate(edges)}
    for frame in frames.sequence:
        frame["edges"] = [edge_number[edge] for edge in frame["edges"]]
    page = {
        "heading": heading,
        "phases": PHASES,
        "frames": frames.sequence,
        "arrays": store.entries,
        "vertices": [
            {
                "name": vertex.name,
                "title": title(vertex),
                "kind": vertex.kind,
                "shape": shape_text(recording.shapes[vertex.index]),
                "at": layout.points[vertex.index],
                "values": frames.values.get(vertex.index, []),
                "gradients": frames.gradients.get(vertex.index, []),
            }
            for vertex in recording.vertices
        ],
        "edges": [{"from": a, "to": b, "route": route} for (a, b), route in zip(edges, layout.routes)],
    }
    return assemble(page), frames.sequence


def assemble(page: dict[str, Any]) -> str:
    """The page: the template, with its style, script and recording filled in."""
    source = files(__package__)
    html, style, script = ((source / f"player.{ending}").read_text("utf-8") for ending in ("html", "css", "js"))
    # A "<" could end the <script> element; for JSON its escape is the same text.
    text = json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    contents = {"heading": escape(page["heading"]), "style": style, "recording": text, "script": script}
    contents |= {"style_hash": policy_hash(f"\n{style}"), "script_hash": policy_hash(f"\n{script}")}
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: contents[mark[1]], html)


def policy_hash(source: str) -> str:
    """The hash by which a Content-Security-Policy allows an inline <style> or <script> of this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
