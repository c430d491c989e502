"""The figures of a finished run, its curves, and what they depend on."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from kerasburst.config import TrainConfig
from kerasburst.pictures import save_picture
from kerasburst.validation import check_float, check_int, visible
from kerasburst.version import __version__


@dataclasses.dataclass(frozen=True)
class Privacy:
    """The guarantee of a private training: (epsilon, delta)-differential privacy of the weights.

    Args:
        epsilon: after all steps that were planned, for adding or removing one training example.
        delta: of the guarantee.
        noise_multiplier: standard deviation of the noise on the sum of a batch's gradients, in clipping norms.
        clipping_norm: largest norm of an example's gradient.
        sampling_rate: probability of each example to be in a batch.
        steps: that were taken; fewer than planned where early stopping ended the training.
        encodings_per_example: K, encodings whose mean loss has the gradient that was clipped.
        accountant: that computed epsilon, and its version.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    clipping_norm: float
    sampling_rate: float
    steps: int
    encodings_per_example: int
    accountant: str


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The figures of a finished run.

    Args:
        test_accuracy: share of right answers on the test part, mean over `test_queries` encodings.
        test_accuracy_interval: 95 % Wilson interval over the test examples.
        test_queries: K, encodings of each test example.
        test_accuracies: accuracy of each encoding.
        test_accuracy_of_mean_logits: accuracy of the mean of the K logits.
        train_accuracy: accuracy on the training part, one encoding of each example, after training.
        validation_accuracy: accuracy on the validation part, one encoding of each example; None without one.
        loss: training loss of the last epoch, nats.
        test_loss: loss on the test part, nats.
        epochs: finished epochs.
        stopped_early: whether early stopping ended the run.
        best_epoch: epoch whose weights were kept; None if the last.
        train_seconds: wall time of all epochs, validation and compilation included, over all sessions of the run.
        samples_per_second: training examples by the median epoch's wall time, validation included.
        firing_rates: spikes per neuron and step on the test part, by layer.
        warnings: silent or saturated layers.
        examples: number of training, validation and test examples.
        num_classes: C, number of classes.
        note: a remark on the data, such as that it is a subset; else empty.
        seed: the run's seed.
        replicas: devices that shared each batch, in the run's last session.
        versions: of kerasburst and the libraries below it.
        weights: SHA-256 (hex) of the trained network's weights; None in results of version 0.1.
        splits: SHA-256 (hex) of the run's splits; None in results of version 0.1.
        config: the run's config; None in results of version 0.1.
        privacy: the guarantee of a private training; else None.
        trained_encoder: what a trained encoder has learnt, by weight: a number, the slopes of a map, or the smallest,
            mean and largest value over features; None without a trained encoder.

    Raises:
        InputError: for a share outside 0 to 1, or epochs that cannot be.
    """

    test_accuracy: float
    test_accuracy_interval: tuple[float, float]
    test_queries: int
    test_accuracies: tuple[float, ...]
    test_accuracy_of_mean_logits: float
    train_accuracy: float
    validation_accuracy: float | None
    loss: float
    test_loss: float
    epochs: int
    stopped_early: bool
    best_epoch: int | None
    train_seconds: float
    samples_per_second: float
    firing_rates: dict[str, float]
    warnings: tuple[str, ...]
    examples: dict[str, int]
    num_classes: int
    note: str
    seed: int
    replicas: int
    versions: dict[str, str]
    weights: str | None = None
    splits: str | None = None
    config: TrainConfig | None = None
    privacy: Privacy | None = None
    trained_encoder: dict[str, Any] | None = None

    def __post_init__(self):
        """Check what others rely on."""
        check_int("epochs", self.epochs, low=1)
        if self.best_epoch is not None:
            check_int("best_epoch", self.best_epoch, low=1, high=self.epochs)
        for name in ("test_accuracy", "train_accuracy", "validation_accuracy", "test_accuracy_interval"):
            value = getattr(self, name)
            for share in value if isinstance(value, tuple) else (value,):
                if share is not None:
                    check_float(name, share, low=0.0, high=1.0)


def versions() -> dict[str, str]:
    """Return the versions of everything that a figure depends on."""
    import tensorflow as tf  # here, as for the next: who reads results needs neither

    from kerasburst import backend

    packages = dict.fromkeys((backend.name, "tensorflow", "keras", "numpy", "scipy", "scikit-learn"))
    return {
        "kerasburst": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "devices": ", ".join(device.device_type for device in tf.config.list_physical_devices()),
    }


def save_curves(history: list[dict], path: Path, title: str, test_accuracy: float | None = None) -> None:
    """Draw the training to a PNG.

    Args:
        history: one row for each epoch.
        path: of the picture.
        title: of the picture.
        test_accuracy: accuracy on the test part after training, 0 to 1; None not to draw it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    epochs = [row["epoch"] for row in history]
    panels = (("loss", "cross-entropy, nats", 1), ("accuracy", "accuracy, %", 100))
    for axes, (name, label, factor) in zip(figure.subplots(1, 2), panels, strict=True):
        for key, text, style in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
            if key in history[0]:
                marker = "o" if len(epochs) < 3 else None
                axes.plot(epochs, [factor * row[key] for row in history], style, marker=marker, label=text)
        if name == "accuracy" and test_accuracy is not None:
            axes.axhline(100 * test_accuracy, color="0.4", ls=":", label=f"test, at the end: {test_accuracy:.1%}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    figure.suptitle(visible(title))
    save_picture(figure, path)
