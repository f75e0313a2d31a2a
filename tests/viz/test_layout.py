"""The places of the boxes."""

from itertools import pairwise

from helpers.viz_examples import Deep

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.viz.layout import layered
from minigrad.viz.trace import trace


def test_layout_keeps_the_order_without_overlap():
    model = Deep(6)
    vertices = trace(F.cross_entropy(model(mg.randn(4, 2)), mg.tensor([0, 1, 2, 0])), model)
    edges = sorted({(i, v.index) for v in vertices for _, i in v.inputs})
    points, routes = layered(len(vertices), edges)
    assert all(points[a][0] < points[b][0] for a, b in edges)
    places = sorted(points)
    assert all(c != d or s - r >= 1 for (c, r), (d, s) in pairwise(places))
    for (a, b), route in zip(edges, routes):
        assert (route[0], route[-1]) == (points[a], points[b])
        assert [p[0] for p in route] == list(range(int(points[a][0]), int(points[b][0]) + 1))
