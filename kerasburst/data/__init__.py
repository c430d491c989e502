"""Data sets, their splits and scaling, and the pipelines that encode them."""

from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import DATASETS, load_dataset, load_source
from kerasburst.data.splits import Splits

__all__ = ["DATASETS", "Dataset", "Splits", "load_dataset", "load_source", "make_dataset"]


def __getattr__(name: str):
    # The pipeline alone needs TensorFlow; listing data sets must not wait for it.
    if name == "make_dataset":
        from kerasburst.data.pipeline import make_dataset

        return make_dataset
    raise AttributeError(f"module 'kerasburst.data' has no attribute {name!r}")
