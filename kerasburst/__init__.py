"""Burst spike encoders, spiking neural networks for Keras 3, and honest measurements of both.

Everything public can be imported from here; each name loads its module when first used, so that
`import kerasburst` by itself does not load TensorFlow.
"""

from __future__ import annotations

import importlib

from kerasburst.version import __version__

_PUBLIC = {
    "ATan": "kerasburst.neurons.surrogate",
    "AuditConfig": "kerasburst.privacy.plan",
    "AuditResult": "kerasburst.privacy.result",
    "BenchResult": "kerasburst.profiling.bench",
    "Dataset": "kerasburst.data.dataset",
    "DelayedBurstEncoder": "kerasburst.encoders.delayed_burst",
    "Encoder": "kerasburst.encoders.base",
    "FastSigmoid": "kerasburst.neurons.surrogate",
    "InputError": "kerasburst.validation",
    "LIF": "kerasburst.neurons.lif",
    "LIFCell": "kerasburst.neurons.lif_cell",
    "MembershipScores": "kerasburst.privacy.metrics",
    "Prediction": "kerasburst.export.prediction",
    "Sigmoid": "kerasburst.neurons.surrogate",
    "SpikingNetwork": "kerasburst.models.base",
    "TrainResult": "kerasburst.training.result",
    "TransferConfig": "kerasburst.transfer.plan",
    "TransferResult": "kerasburst.transfer.result",
    "TrainingObserver": "kerasburst.training.observer",
    "PoissonBurstEncoder": "kerasburst.encoders.poisson_burst",
    "ProfileConfig": "kerasburst.profiling.plan",
    "ProfileResult": "kerasburst.profiling.profile",
    "Profiler": "kerasburst.profiling.profiler",
    "ProfilerCallback": "kerasburst.profiling.callback",
    "RateEncoder": "kerasburst.encoders.rate",
    "SNNConvNet": "kerasburst.models.snn_conv_net",
    "SNNFCNet": "kerasburst.models.snn_fc_net",
    "Splits": "kerasburst.data.splits",
    "StraightThrough": "kerasburst.neurons.surrogate",
    "Surrogate": "kerasburst.neurons.surrogate",
    "TrainConfig": "kerasburst.config",
    "Triangular": "kerasburst.neurons.surrogate",
    "audit": "kerasburst.privacy.audit",
    "collect_signals": "kerasburst.privacy.signals",
    "bench": "kerasburst.profiling.bench",
    "draw_encoding": "kerasburst.reports.encoding",
    "encode": "kerasburst.reports.encoding",
    "evaluate": "kerasburst.training.evaluate",
    "lif_sequence": "kerasburst.neurons.functional",
    "list_datasets": "kerasburst.data.datasets",
    "load_dataset": "kerasburst.data.datasets",
    "load_model": "kerasburst.models.loading",
    "load_network": "kerasburst.training.evaluate",
    "make_dataset": "kerasburst.data.pipeline",
    "predict": "kerasburst.export.predicting",
    "network_cost": "kerasburst.profiling.cost",
    "profile": "kerasburst.profiling.profile",
    "run_transfer": "kerasburst.transfer.run",
    "train": "kerasburst.training.fit",
}
_PACKAGES = ("export",)
__all__ = ["__version__", *_PUBLIC, *_PACKAGES]


def __getattr__(name: str):
    if name in _PACKAGES:
        return importlib.import_module(f"kerasburst.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerasburst' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
