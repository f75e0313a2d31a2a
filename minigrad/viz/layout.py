"""A layered layout of an acyclic graph: columns in the order of computation, rows with few crossings."""

from __future__ import annotations

from typing import NamedTuple

Point = tuple[float, float]  # (column, row)


class Layout(NamedTuple):
    """The point of each vertex, and for each edge the points of its route, ends included."""

    points: list[Point]
    routes: list[list[Point]]


def layered(count: int, edges: list[tuple[int, int]]) -> Layout:
    """Lay out `count` vertices, numbered so that every edge (a, b) has a < b.

    A vertex is one column after the last of its inputs. A leaf is one column before its first user, below the other
    vertices there. An edge over several columns has a row of its own in each column between.
    """
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    column = [0] * count
    for v in range(count):
        inner = [column[u] for u in before[v] if before[u]]
        column[v] = 1 + max(inner, default=0) if before[v] else 0
    for v in range(count):
        if not before[v] and after[v]:
            column[v] = min(column[u] for u in after[v]) - 1

    # A passage is the place of a long edge in a column between its ends. Edges from one vertex share their passages.
    passages = {(a, c) for a, b in edges for c in range(column[a] + 1, column[b])}
    row: dict[tuple[int, int], float] = {}  # of (vertex, column): the vertex itself, or its passage
    for c in range(max(column) + 1):
        outputs = [v for v in range(count) if column[v] == c and before[v]]
        leaves = [v for v in range(count) if column[v] == c and not before[v]]
        wanted: list[tuple[float, int]] = []
        for v in outputs:
            sources = [u for u in before[v] if before[u]] or before[v][:1]
            wanted.append((sum(row[u, c - 1] for u in sources) / len(sources), v))
        passing = sorted(a for a, other in passages if other == c)
        wanted += [(row[a, c - 1] + (0.6 if column[a] == c - 1 else 0), a) for a in passing]
        below = -0.5
        for at, v in sorted(wanted):
            half = 0.5 if column[v] == c else 0.25  # a passage is only a line
            row[v, c] = max(at, below + half)
            below = row[v, c] + half
        for v in sorted(leaves, key=lambda v: (min(after[v], default=v), v)):
            row[v, c] = below + 0.5
            below += 1
    points: list[Point] = [(float(column[v]), row[v, column[v]]) for v in range(count)]
    routes = [
        [points[a], *((float(c), row[a, c]) for c in range(column[a] + 1, column[b])), points[b]] for a, b in edges
    ]
    return Layout(points, routes)
