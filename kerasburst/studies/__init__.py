"""Questions that take many trainings: what a parameter does, and what carries over to other data."""
