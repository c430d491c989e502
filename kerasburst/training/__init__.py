"""Training into a run directory, and the accuracy of what came out."""
