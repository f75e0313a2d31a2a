"""Draw the graph behind a loss: as DOT text, and as a self-contained SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..autograd.tensor import Tensor, grad
from ..files import write_atomically
from ..nn.module import Module
from .collapse import Box, collapse
from .formatting import number, shape_text
from .layout import layered
from .trace import Vertex, host, title, trace

WIDTH, GAP, LINE = 168, 44, 17  # the width of a box, the gap between boxes, the height of a line: in pixels

STYLE = """
.mg-graph{--paper:#fbfaf7;--ink:#22262b;--soft:#5d6570;--line:#a9aeb6;--op:#fff;--parameter:#fdf0dc;--data:#e4eef8;
--collapsed:#ece9f6;--gradient:#a5176b;font-family:system-ui,-apple-system,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){.mg-graph{--paper:#16191d;--ink:#e9e7e2;--soft:#a4abb5;--line:#5b636d;--op:#22262c;
--parameter:#3b3021;--data:#1e2f42;--collapsed:#2d2940;--gradient:#f08fc6}}
.mg-graph .paper{fill:var(--paper)}.mg-graph path{fill:none;stroke:var(--line);stroke-width:1.5}
.mg-graph marker path{fill:var(--line);stroke:none}.mg-graph rect.box{stroke:var(--line)}
.mg-graph .op{fill:var(--op)}.mg-graph .parameter{fill:var(--parameter)}.mg-graph .data{fill:var(--data)}
.mg-graph .collapsed{fill:var(--collapsed)}.mg-graph text{fill:var(--soft);font-size:12px}
.mg-graph text.title{fill:var(--ink);font-size:13px;font-weight:600}.mg-graph text.gradient{fill:var(--gradient)}
"""


class Graph:
    """A drawn graph. A notebook shows it as a picture; `str(graph)` is its DOT text.

    Attributes:
        svg: the picture, light or dark as the page around it.
        dot: the same graph as text for Graphviz.
        boxes: the number of boxes.

    Example:
        >>> import minigrad as mg
        >>> from minigrad import viz
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> viz.graph(x * x, names={"x": x})
        <Graph of 2 boxes: .svg, .dot, .save(path)>
    """

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
        """Write the graph to a file.

        Args:
            path: ends in .svg, or in .dot or .gv for DOT text.

        Returns:
            The path.

        Raises:
            ValueError: `path` has another ending.
            OSError: the file cannot be written; an old one is kept.

        Example:
            >>> import tempfile
            >>> import minigrad as mg
            >>> from minigrad import viz
            >>> drawn = viz.graph(mg.ones(2, requires_grad=True).sum())
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     drawn.save(f"{folder}/graph.svg").name
            'graph.svg'
        """
        path = Path(path)
        texts = {".svg": self.svg, ".dot": self.dot, ".gv": self.dot}
        if path.suffix not in texts:
            raise ValueError(f"graph: expected a path that ends in .svg, .dot or .gv, got {path}; use graph.svg")
        write_atomically(path, texts[path.suffix].encode())
        return path


def number_lines(array: Any, label: str) -> list[str]:
    """The numbers of an array in a few lines: all of up to 12, the range of more."""
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
    """Draw the computation graph of `loss`: a box for each Tensor, with its op and its shape.

    Draw it before backward, which frees the graph. Drawing changes nothing: no `.grad` is written, and the graph stays.

    Args:
        loss: a Tensor with a graph, of any shape.
        model: its parameters have their dotted names, as in `model.named_parameters()`.
        values: write the numbers of each Tensor: up to 12, and the range of more.
        gradients: write the numbers of each gradient, too.
        names: other Tensors, by the name to show.
        limit: collapse a graph of more ops, by module, then by repetition.

    Returns:
        A `Graph` with the attributes `svg` and `dot`.

    Raises:
        RuntimeError: `loss` has no graph, or backward has freed it.
        TypeError: `loss` is not a Tensor, or `model` not a Module.
        ValueError: `limit` is below 2.

    Example:
        >>> import minigrad as mg
        >>> from minigrad import viz
        >>> w, x = mg.tensor(3.0, requires_grad=True), mg.tensor(2.0)
        >>> drawn = viz.graph(w * x, names={"w": w, "x": x}, values=True)
        >>> drawn
        <Graph of 3 boxes: .svg, .dot, .save(path)>
        >>> "loss = mul" in drawn.svg, "value 6" in drawn.svg
        (True, True)
    """
    if limit < 2:
        raise ValueError(f"graph: expected a limit of 2 or more, got {limit}")
    vertices = trace(loss, model, names)
    gradient_of: dict[int, Any] = {}
    if gradients:
        differentiable = [vertex for vertex in vertices if vertex.tensor.requires_grad]
        found = grad(loss, [vertex.tensor for vertex in differentiable], retain_graph=True)
        gradient_of = {vertex.index: host(g.array) for vertex, g in zip(differentiable, found) if g is not None}
    boxes = collapse(vertices, limit)
    box_of = {vertex.index: i for i, box in enumerate(boxes) for vertex in box.vertices}
    pairs = [(box_of[source], box_of[v.index]) for v in vertices for _, source in v.inputs]
    edges = sorted({(a, b) for a, b in pairs if a != b})
    texts = [box_lines(box, values, gradient_of) for box in boxes]
    multiplicity = {edge: pairs.count(edge) for edge in edges}
    return Graph(dot(boxes, texts, edges, multiplicity), svg(boxes, texts, edges, multiplicity), len(boxes))


def box_lines(box: Box, values: bool, gradient_of: dict[int, Any]) -> list[tuple[str, str]]:
    """The text of a box: (class, text) line by line, the title first."""
    if len(box.vertices) > 1:
        count = sum(math.prod(vertex.tensor.shape) for vertex in box.parameters)
        inside = [f"{len(box.parameters)} parameters, {count:,} numbers"] if box.parameters else []
        return [("title", box.title), *(("", text) for text in (*inside, shape_text(box.ops[-1].tensor.shape)))]
    vertex: Vertex = box.vertices[0]
    text = [("title", title(vertex)), ("", shape_text(vertex.tensor.shape))]
    if values:
        text += [("", line) for line in number_lines(host(vertex.tensor.array), "value")]
    if vertex.index in gradient_of:
        text += [("gradient", line) for line in number_lines(gradient_of[vertex.index], "grad")]
    return text


def dot(
    boxes: list[Box],
    texts: list[list[tuple[str, str]]],
    edges: list[tuple[int, int]],
    multiplicity: dict[tuple[int, int], int],
) -> str:
    """The graph as DOT text: `dot -Tpng` draws it, if Graphviz is installed."""
    colours = {"op": "#ffffff", "parameter": "#fdf0dc", "data": "#e4eef8", "collapsed": "#ece9f6"}
    out = ["digraph minigrad {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for i, (box, text) in enumerate(zip(boxes, texts)):
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for _, line in text)
        out.append(f'  n{i} [label="{label}", fillcolor="{colours[box.kind]}"];')
    for edge in edges:
        label = f' [label="{multiplicity[edge]}×"]' if multiplicity[edge] > 1 else ""
        out.append(f"  n{edge[0]} -> n{edge[1]}{label};")
    return "\n".join([*out, "}", ""])


def wrap(text: list[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """Lines broken at spaces, so that each has at most `width` letters."""
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
    multiplicity: dict[tuple[int, int], int],
) -> str:
    """The graph as a self-contained SVG, light or dark as the page around it."""
    texts = [wrap(text, 23) for text in texts]
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
        if multiplicity[edge] > 1:
            x, y = at[-1][0] - WIDTH / 2 - 10, at[-1][1] - 6
            out.append(f'<text x="{x:g}" y="{y:g}" text-anchor="end">{multiplicity[edge]}×</text>')
    for box, text, point, h in zip(boxes, texts, points, height):
        x, y = middle(point)
        left, top = x - WIDTH / 2, y - h / 2
        out.append(f'<rect class="box {box.kind}" x="{left:g}" y="{top:g}" width="{WIDTH}" height="{h}" rx="8"/>')
        for n, (kind, line) in enumerate(text):
            cls = f' class="{kind}"' if kind else ""
            out.append(f'<text{cls} x="{x:g}" y="{top + 20 + LINE * n:g}" text-anchor="middle">{escape(line)}</text>')
    return "\n".join([*out, "</svg>", ""])
