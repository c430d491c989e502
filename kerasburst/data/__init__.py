"""Data sets, their splits and scaling, and the pipelines that encode them."""
