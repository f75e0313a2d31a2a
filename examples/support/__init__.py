"""What the lessons share: their command line, the folder of a run, its checkpoint and plots, and the notebooks."""
