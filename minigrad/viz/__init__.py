"""See backprop happen: the graph behind a loss as a picture, and one training step as a film in one HTML page.

`graph(loss, model)` draws; `player(loss, model, optimizer, path)` records a real step and writes the page. Nothing else
in minigrad knows of this package, so recording costs nothing when it is off.
"""

from .draw import Graph, graph
from .page import Player, player

__all__ = ["Graph", "Player", "graph", "player"]
