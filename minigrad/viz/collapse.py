"""Collapse a large graph: ops that belong together become one box, so that a graph of 500 ops is still readable."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from .trace import Vertex

MAX_PATTERN = 12


@dataclass
class Box:
    """Vertices drawn as one box: a leaf, an op, or a run of ops with the parameters that only they use."""

    vertices: list[Vertex]
    title: str = ""

    @property
    def ops(self) -> list[Vertex]:
        """The ops in the box."""
        return [vertex for vertex in self.vertices if vertex.node is not None]

    @property
    def parameters(self) -> list[Vertex]:
        """The parameters in the box."""
        return [vertex for vertex in self.vertices if vertex.kind == "parameter"]

    @property
    def kind(self) -> str:
        """As `Vertex.kind`, or "collapsed"."""
        return self.vertices[0].kind if len(self.vertices) == 1 else "collapsed"


@dataclass
class Run:
    """Consecutive ops in the order of computation. Joining neighbouring runs therefore never makes a cycle."""

    ops: list[Vertex]
    title: str

    @property
    def pattern(self) -> tuple[str, ...]:
        """The names of its ops."""
        return tuple(vertex.op_name for vertex in self.ops)


def by_module(ops: list[Vertex], depth: int) -> list[Run]:
    """Runs of ops of the same module, with its dotted name cut after `depth` parts.

    An op without parameters belongs to the module of the op before it.
    """
    current, labels = "", []
    for vertex in ops:
        if vertex.is_loss:
            current = "loss"
        elif vertex.module:
            current = ".".join(vertex.module.split(".")[:depth])
        labels.append(current)
    runs = []
    for label, pairs in groupby(zip(labels, ops), key=lambda pair: pair[0]):
        run = Run([vertex for _, vertex in pairs], "")
        run.title = f"{label}: {summary(run.pattern)}" if label else summary(run.pattern)
        runs.append(run)
    return runs


def summary(names: tuple[str, ...]) -> str:
    """`linear, relu`; the first three of more than four names."""
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])}, … ({len(names)} ops)"


def by_repetition(runs: list[Run]) -> list[Run]:
    """Join repeated patterns: mul, add, mul, add, ... becomes `250 × (mul, add)`."""
    patterns = [run.pattern for run in runs]
    joined, i = [], 0
    while i < len(runs):
        width, times = 1, 1
        for w in range(1, min(MAX_PATTERN, (len(runs) - i) // 2) + 1):
            k = 1
            while patterns[i + k * w : i + (k + 1) * w] == patterns[i : i + w]:
                k += 1
            if k > 1 and k * w > width * times:
                width, times = w, k
        part = runs[i : i + width * times]
        if times == 1:
            joined.append(part[0])
        else:
            inside = summary(tuple(name for run in part[:width] for name in run.pattern))
            first, last = part[0].title.partition(":"), part[-1].title.partition(":")
            where = f"{first[0]} … {last[0]}: " if first[1] and last[1] else ""
            joined.append(Run([vertex for run in part for vertex in run.ops], f"{where}{times} × ({inside})"))
        i += width * times
    return joined


def split_evenly(runs: list[Run], limit: int) -> list[Run]:
    """Split all ops into `limit` runs of about the same number of ops."""
    ops = [vertex for run in runs for vertex in run.ops]
    size = -(-len(ops) // limit)
    parts = [ops[i : i + size] for i in range(0, len(ops), size)]
    return [Run(part, f"{part[0].name} … {part[-1].name} ({len(part)} ops)") for part in parts]


def collapse(vertices: list[Vertex], limit: int) -> list[Box]:
    """Boxes for the vertices, about `limit` of them for the ops.

    A small graph has one box for each vertex. A larger one is collapsed by module, at the finest level that fits, then
    by repetition, then into equal parts. If there are many leaves, those of a single collapsed box are part of it.
    """
    ops = [vertex for vertex in vertices if vertex.node is not None]
    if len(ops) <= limit:
        return [Box([vertex]) for vertex in vertices]
    deepest = max(vertex.module.count(".") + 1 for vertex in ops)
    runs: list[Run] = []
    for depth in range(deepest, 0, -1):
        runs = by_module(ops, depth)
        if len(runs) <= limit:
            break
    if len(runs) == 1 or not any(vertex.module for vertex in ops):
        runs = [Run([vertex], vertex.op_name) for vertex in ops]
    if len(runs) > limit:
        runs = by_repetition(runs)
    if len(runs) > limit:
        runs = split_evenly(runs, limit)
    run_of = {vertex.index: i for i, run in enumerate(runs) for vertex in run.ops}
    inner_leaves: list[list[Vertex]] = [[] for _ in runs]
    boxes: list[tuple[int, Box]] = []
    leaves = {kind: [v for v in vertices if v.kind == kind] for kind in ("parameter", "data")}
    for vertex in vertices:
        if vertex.node is None:
            users = {run_of[user] for user, _ in vertex.users}
            alone = len(users) == 1 and len(runs[min(users)].ops) > 1
            if alone and len(leaves[vertex.kind]) > 3:
                inner_leaves[min(users)].append(vertex)
            else:
                boxes.append((2 * min(users), Box([vertex])))
    for i, run in enumerate(runs):
        boxes.append((2 * i + 1, Box([*inner_leaves[i], *run.ops], run.title if len(run.ops) > 1 else "")))
    return [box for _, box in sorted(boxes, key=lambda pair: pair[0])]
