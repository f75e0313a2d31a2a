"""One training step as a film: a page of HTML that holds its recording and needs no network, no server, no library."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..autograd.tensor import Tensor
from ..nn.module import Module
from ..optim import Optimizer
from .formatting import shape_text
from .layout import layered
from .narration import ACTS, Director
from .recorder import Recording, record
from .trace import title, trace

EXACT = 8192  # arrays up to this size are in the page number by number
ROWS, COLUMNS, LARGEST = 32, 49, 8  # larger ones as means of blocks, with so many of their largest numbers
MOST_OPS = 300


class Shelf:
    """The arrays of the page, each once."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.places: dict[int, int] = {}
        self.kept: list[Any] = []  # an identity is only unique while its array lives

    def add(self, array: Any, scale: str) -> int:
        """The number of an array on the shelf; `scale` says by which colours it is drawn: value or gradient."""
        if id(array) not in self.places:
            self.places[id(array)] = len(self.entries)
            self.entries.append({"scale": scale, **encode(array)})
            self.kept.append(array)
        return self.places[id(array)]


def finite(value: Any) -> Any:
    """A number that JSON knows, or its name: `nan`, `inf`."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def base64_of(array: Any) -> str:
    """The bytes of an array of floats, the least significant first."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def encode(array: Any) -> dict[str, Any]:
    """An array for the page: all its numbers, or of a large one the means of blocks and the largest numbers."""
    shape = array.shape
    table = array.reshape(-1, shape[-1]) if shape else array.reshape(1, 1)
    if table.dtype.kind != "f":
        table = table.astype("float64")
    rows, columns = table.shape
    entry: dict[str, Any] = {"shape": list(shape), "rows": rows, "columns": columns, "type": f"f{table.dtype.itemsize}"}
    if table.size:
        entry |= {"min": finite(table.min()), "max": finite(table.max()), "mean": finite(table.mean())}
    if table.size <= EXACT:
        return entry | {"data": base64_of(table)}
    tall, wide = -(-rows // ROWS), -(-columns // COLUMNS)
    means = [
        [finite(table[r : r + tall, c : c + wide].mean()) for c in range(0, columns, wide)]
        for r in range(0, rows, tall)
    ]
    order = abs(table).ravel().argsort()[::-1][:LARGEST]
    flat = table.ravel()
    width = shape[-1]
    largest = []
    for i in map(int, order):
        index, rest = [i % width], i // width
        for n in reversed(shape[:-1]):
            index.insert(0, rest % n)
            rest //= n
        largest.append([index, finite(flat[i])])
    return entry | {"block": [tall, wide], "means": means, "largest": largest}


class Player:
    """The page of one training step: `path` (the file, if one was written), `html`, and the `recording` behind it.

    `frames` is the number of frames; `batch_frame` the one, counted from 1, that tells why the gradient of a bias is a
    sum over the batch (None where no Linear layer has a bias).
    """

    def __init__(self, html: str, recording: Recording, frames: list[dict[str, Any]], path: Path | None) -> None:
        self.html = html
        self.recording = recording
        self.frames = len(frames)
        self.batch_frame = next((i for i, frame in enumerate(frames, 1) if frame.get("batch")), None)
        self.path = path

    def __repr__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        return f"<Player of {self.frames} frames{where}: open the file in a browser>"

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
    """Take one real training step, record it, and write it as a page that plays it: backward, step and zero_grad are
    run here, so call none of them on `loss` before.

    The page has five acts: predict, loss, gradients, adjust, reset; without an optimizer the first three. `names` names
    Tensors that `model` does not; `image` (height, width) says that each sample is a picture. With `path=None` no file
    is written. Raises RuntimeError where nothing was recorded or backward has run already, ValueError for a loss of
    more than one number or a graph of more than 300 ops.

    >>> player(F.cross_entropy(model(x), y), model, optimizer, "step.html")  # doctest: +SKIP
    """
    ops = sum(vertex.node is not None for vertex in trace(loss, model, names))
    if ops > MOST_OPS:
        raise ValueError(
            f"player: expected a graph of at most {MOST_OPS} ops, got {ops}; take a smaller model, or draw it with "
            "graph()"
        )
    recording = record(loss, model, optimizer, names)
    shelf = Shelf()
    film = Director(recording, shelf.add, image).direct()
    edges = sorted({(i, vertex.index) for vertex in recording.vertices for _, i in vertex.inputs})
    layout = layered(len(recording.vertices), edges)
    number = {edge: i for i, edge in enumerate(edges)}
    for frame in film.frames:
        frame["edges"] = [number[edge] for edge in frame["edges"]]
    page = {
        "heading": heading,
        "acts": ACTS,
        "frames": film.frames,
        "arrays": shelf.entries,
        "vertices": [
            {
                "name": vertex.name,
                "title": title(vertex),
                "kind": vertex.kind,
                "shape": shape_text(recording.shapes[vertex.index]),
                "at": layout.points[vertex.index],
                "values": film.values.get(vertex.index, []),
                "gradients": film.gradients.get(vertex.index, []),
            }
            for vertex in recording.vertices
        ],
        "edges": [{"from": a, "to": b, "route": route} for (a, b), route in zip(edges, layout.routes)],
    }
    html = assemble(page)
    if path is not None:
        path = Path(path)
        path.write_text(html, encoding="utf-8")
    return Player(html, recording, film.frames, path)


def assemble(page: dict[str, Any]) -> str:
    """The page: the template with its style, its script and its recording in their places."""
    source = files(__package__)
    html, style, script = ((source / f"player.{ending}").read_text("utf-8") for ending in ("html", "css", "js"))
    # Inside <script> a "<" could end the element; its escape is the same text to JSON.
    text = json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    contents = {"heading": escape(page["heading"]), "style": style, "recording": text, "script": script}
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: contents[mark[1]], html)
