"""The graph behind a loss as DOT text and as an SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..autograd.tensor import Tensor, grad
from ..nn.module import Module
from .collapse import Box, fold
from .formatting import number, shape_text
from .layout import layered
from .trace import Vertex, host, title, trace

WIDTH, GAP, LINE = 168, 44, 17  # of a box, between boxes, from line to line: in pixels

STYLE = """
.mg-graph{--paper:#fbfaf7;--ink:#22262b;--soft:#5d6570;--line:#a9aeb6;--op:#fff;--parameter:#fdf0dc;--data:#e4eef8;
--fold:#ece9f6;--gradient:#a5176b;font-family:system-ui,-apple-system,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){.mg-graph{--paper:#16191d;--ink:#e9e7e2;--soft:#a4abb5;--line:#5b636d;--op:#22262c;
--parameter:#3b3021;--data:#1e2f42;--fold:#2d2940;--gradient:#f08fc6}}
.mg-graph .paper{fill:var(--paper)}.mg-graph path{fill:none;stroke:var(--line);stroke-width:1.5}
.mg-graph marker path{fill:var(--line);stroke:none}.mg-graph rect.box{stroke:var(--line)}
.mg-graph .op{fill:var(--op)}.mg-graph .parameter{fill:var(--parameter)}.mg-graph .data{fill:var(--data)}
.mg-graph .fold{fill:var(--fold)}.mg-graph text{fill:var(--soft);font-size:12px}
.mg-graph text.title{fill:var(--ink);font-size:13px;font-weight:600}.mg-graph text.gradient{fill:var(--gradient)}
"""


class Graph:
    """A drawn graph: `dot` (text for Graphviz) and `svg` (a picture by itself, which a notebook shows)."""

    def __init__(self, dot: str, svg: str, boxes: int) -> None:
        self.dot = dot
        self.svg = svg
        self.boxes = boxes

    def __str__(self) -> str:
        return self.dot

    def __repr__(self) -> str:
        return f"<Graph of {self.boxes} boxes: .svg, .dot, .save(path)>"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the file that the ending of `path` names: .svg, or .dot (also .gv). Raises ValueError for another."""
        path = Path(path)
        texts = {".svg": self.svg, ".dot": self.dot, ".gv": self.dot}
        if path.suffix not in texts:
            raise ValueError(f"graph: expected a path that ends in .svg, .dot or .gv, got {path}")
        path.write_text(texts[path.suffix], encoding="utf-8")
        return path


def numbers(array: Any, label: str) -> list[str]:
    """The numbers of an array in a few lines: all of up to 12, of more the range."""
    if array.size == 0:
        return [f"{label} (no numbers)"]
    if array.size == 1:
        return [f"{label} {number(array.item())}"]
    rows = array.reshape(-1, array.shape[-1])
    if array.size <= 12 and rows.shape[1] <= 4:
        return [f"{label if i == 0 else ''} [{', '.join(number(v, 3) for v in row)}]" for i, row in enumerate(rows)]
    return [f"{label} {number(array.min(), 3)} … {number(array.max(), 3)}"]


def graph(
    loss: Tensor,
    model: Module | None = None,
    *,
    values: bool = False,
    gradients: bool = False,
    names: Mapping[str, Tensor] | None = None,
    limit: int = 24,
) -> Graph:
    """The graph that `loss` was computed by: a box for each Tensor, with the op that made it and its shape.

    `model` gives the parameters their names, `names` (a dict) other Tensors. `values` and `gradients` write the
    numbers: up to 12, of larger arrays the range. A graph of more than `limit` ops is folded by module, then where ops
    repeat. Nothing changes: no `.grad` is touched and the graph is kept. Raises RuntimeError after backward has freed
    the graph, ValueError for a limit below 2.

    >>> graph(loss, model, values=True).save("graph.svg")  # doctest: +SKIP
    """
    if limit < 2:
        raise ValueError(f"graph: expected a limit of 2 or more, got {limit}")
    vertices = trace(loss, model, names)
    slopes: dict[int, Any] = {}
    if gradients:
        wanted = [vertex for vertex in vertices if vertex.tensor.requires_grad]
        found = grad(loss, [vertex.tensor for vertex in wanted], retain_graph=True)
        slopes = {vertex.index: host(g.array) for vertex, g in zip(wanted, found) if g is not None}
    boxes = fold(vertices, limit)
    home = {vertex.index: i for i, box in enumerate(boxes) for vertex in box.vertices}
    pairs = [(home[source], home[v.index]) for v in vertices for _, source in v.inputs]
    edges = sorted({(a, b) for a, b in pairs if a != b})
    texts = [lines(box, values, slopes) for box in boxes]
    twice = {edge: pairs.count(edge) for edge in edges}
    return Graph(dot(boxes, texts, edges, twice), svg(boxes, texts, edges, twice), len(boxes))


def lines(box: Box, values: bool, slopes: dict[int, Any]) -> list[tuple[str, str]]:
    """What stands in a box: (class, text) line by line, the title first."""
    if len(box.vertices) > 1:
        count = sum(math.prod(vertex.tensor.shape) for vertex in box.parameters)
        held = [f"{len(box.parameters)} parameters, {count:,} numbers"] if box.parameters else []
        return [("title", box.title), *(("", text) for text in (*held, shape_text(box.ops[-1].tensor.shape)))]
    vertex: Vertex = box.vertices[0]
    text = [("title", title(vertex)), ("", shape_text(vertex.tensor.shape))]
    if values:
        text += [("", line) for line in numbers(host(vertex.tensor.array), "value")]
    if vertex.index in slopes:
        text += [("gradient", line) for line in numbers(slopes[vertex.index], "gradient")]
    return text


def dot(
    boxes: list[Box],
    texts: list[list[tuple[str, str]]],
    edges: list[tuple[int, int]],
    twice: dict[tuple[int, int], int],
) -> str:
    """DOT text: `dot -Tpng` draws it, where Graphviz is installed."""
    colours = {"op": "#ffffff", "parameter": "#fdf0dc", "data": "#e4eef8", "fold": "#ece9f6"}
    out = ["digraph minigrad {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for i, (box, text) in enumerate(zip(boxes, texts)):
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for _, line in text)
        out.append(f'  n{i} [label="{label}", fillcolor="{colours[box.kind]}"];')
    for edge in edges:
        label = f' [label="{twice[edge]}×"]' if twice[edge] > 1 else ""
        out.append(f"  n{edge[0]} -> n{edge[1]}{label};")
    return "\n".join([*out, "}", ""])


def wrapped(text: list[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """Lines cut at spaces, so that they fit into `width` letters."""
    out: list[tuple[str, str]] = []
    for kind, line in text:
        current = ""
        for word in line.split(" "):
            if current and len(current) + 1 + len(word) > width:
                out.append((kind, current))
                current = word
            else:
                current = f"{current} {word}" if current else word
        out.append((kind, current if len(current) <= width else f"{current[: width - 1]}…"))
    return out


def svg(
    boxes: list[Box],
    texts: list[list[tuple[str, str]]],
    edges: list[tuple[int, int]],
    twice: dict[tuple[int, int], int],
) -> str:
    """A picture by itself, in the light and dark of its surroundings."""
    texts = [wrapped(text, 23) for text in texts]
    points, routes = layered(len(boxes), edges)
    columns = [
        [i for i, (c, _) in enumerate(points) if c == column] for column in range(int(max(p[0] for p in points)) + 1)
    ]
    tall = 14 + LINE * max(len(text) for text in texts)
    pitch = tall + 22
    height = [14 + LINE * len(text) for text in texts]
    lowest = max(p[1] for route in [points, *routes] for p in route)
    across, down = len(columns) * (WIDTH + GAP) - GAP + 32, (lowest + 1) * pitch - 22 + 32

    def middle(p: tuple[float, float]) -> tuple[float, float]:
        return 16 + p[0] * (WIDTH + GAP) + WIDTH / 2, 16 + p[1] * pitch + tall / 2

    size = f'viewBox="0 0 {across:g} {down:g}" width="{across:g}" height="{down:g}"'
    head = 'id="mg-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mg-graph" role="img" {size}>',
        f"<title>The graph of the loss: {len(boxes)} boxes</title><style>{STYLE}</style>",
        f'<defs><marker {head}><path d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect class="paper" width="{across:g}" height="{down:g}" rx="10"/>',
    ]
    for edge, route in zip(edges, routes):
        at = [middle(p) for p in route]
        x0, y0 = at[0][0] + WIDTH / 2, at[0][1]
        path = f"M{x0:g} {y0:g}"
        for x, y in at[1:]:
            x1, half = x - WIDTH / 2, x0 / 2 + x / 2 - WIDTH / 4
            path += f"C{half:g} {y0:g} {half:g} {y:g} {x1:g} {y:g}"
            if (x, y) != at[-1]:  # straight through the column
                x0, y0 = x + WIDTH / 2, y
                path += f"H{x0:g}"
        out.append(f'<path d="{path}" marker-end="url(#mg-arrow)"/>')
        if twice[edge] > 1:
            x, y = at[-1][0] - WIDTH / 2 - 10, at[-1][1] - 6
            out.append(f'<text x="{x:g}" y="{y:g}" text-anchor="end">{twice[edge]}×</text>')
    for box, text, point, h in zip(boxes, texts, points, height):
        x, y = middle(point)
        left, top = x - WIDTH / 2, y - h / 2
        out.append(f'<rect class="box {box.kind}" x="{left:g}" y="{top:g}" width="{WIDTH}" height="{h}" rx="8"/>')
        for n, (kind, line) in enumerate(text):
            cls = f' class="{kind}"' if kind else ""
            out.append(f'<text{cls} x="{x:g}" y="{top + 20 + LINE * n:g}" text-anchor="middle">{escape(line)}</text>')
    return "\n".join([*out, "</svg>", ""])
