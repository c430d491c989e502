"""Burst spike encoders, spiking neural networks for Keras 3, and honest measurements of both.

Everything public can be imported from here; each name loads its module when first used, so that
`import kerasburst` by itself does not load TensorFlow.
"""

from __future__ import annotations

import importlib

from kerasburst.version import __version__

_PUBLIC = {
    "Dataset": "kerasburst.data.dataset",
    "DelayedBurstEncoder": "kerasburst.encoders.delayed_burst",
    "Encoder": "kerasburst.encoders.base",
    "InputError": "kerasburst.validation",
    "LIF": "kerasburst.neurons.lif",
    "LIFCell": "kerasburst.neurons.lif_cell",
    "SpikingNetwork": "kerasburst.models.base",
    "TrainResult": "kerasburst.training.fit",
    "TrainingObserver": "kerasburst.training.observer",
    "PoissonBurstEncoder": "kerasburst.encoders.poisson_burst",
    "RateEncoder": "kerasburst.encoders.rate",
    "SNNConvNet": "kerasburst.models.snn_conv_net",
    "SNNFCNet": "kerasburst.models.snn_fc_net",
    "Splits": "kerasburst.data.splits",
    "TrainConfig": "kerasburst.config",
    "encode": "kerasburst.reports.encoding",
    "evaluate": "kerasburst.training.evaluate",
    "lif_sequence": "kerasburst.neurons.functional",
    "load_dataset": "kerasburst.data.datasets",
    "load_model": "kerasburst.models.loading",
    "make_dataset": "kerasburst.data.pipeline",
    "train": "kerasburst.training.fit",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerasburst' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
