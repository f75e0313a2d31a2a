"""See backprop happen: `graph` draws the graph behind a loss, `player` records one training step frame by frame.

The rest of minigrad does not import this package, and recording costs nothing unless it is used.
"""

from .draw import Graph, graph
from .page import Player, player

__all__ = ["Graph", "Player", "graph", "player"]
