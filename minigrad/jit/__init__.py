"""`mg.replay`: trace a training step once, generate a NumPy function, run it without the autograd engine."""
