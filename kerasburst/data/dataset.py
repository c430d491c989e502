"""`Dataset`: a data set ready to train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kerasburst.data.scaling import Scaling
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits


@dataclass(frozen=True, eq=False)
class Dataset:
    """Intensities and labels in three disjoint parts, with their splits, scaling and origin.

    Args:
        name: Name of the data set.
        kind: "image" or "tabular".
        x_train: Intensities in [0, 1], float32, shape `(n, *features)`, images channels-last; or spikes, uint8, shape
            `(n, num_steps, *features)`.
        y_train: Labels 0 to `num_classes` - 1, int64, shape `(n,)`.
        x_validation: As `x_train`; may have no examples.
        y_validation: As `y_train`.
        x_test: As `x_train`.
        y_test: As `y_train`.
        num_classes: Number of classes.
        class_names: One name per class.
        splits: Which examples of the source are in which part.
        scaling: How raw values became intensities.
        fingerprint: SHA-256 of the source.
        note: A remark that results must carry, such as that this is a subset.
        x_reference: As `x_train`, for an adversary; None where there is none.
        y_reference: As `y_train`.

    Example:
        >>> source = Source.from_arrays("mine", {"x": np.array([[0.0], [4.0], [2.0]]), "y": np.array([0, 1, 1])})
        >>> Dataset.from_source(source, Splits([0, 1], [], [2])).x_test.tolist()
        [[0.5]]
    """

    name: str
    kind: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    class_names: tuple[str, ...]
    splits: Splits
    scaling: Scaling
    fingerprint: str
    note: str = ""
    x_reference: np.ndarray | None = None
    y_reference: np.ndarray | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.x_train.shape[1:]

    @classmethod
    def from_source(cls, source: Source, splits: Splits) -> Dataset:
        """Divide a source into parts and scale them by its training part.

        Args:
            source: The raw data.
            splits: Which examples are in which part.

        Returns:
            The data set.
        """
        kind = "spikes" if source.encoded else source.kind
        scaling = Scaling.fit(source.x[splits.train], kind, source.full_scale)
        parts = {}
        for part in ("train", "validation", "test", *(["reference"] if len(splits.reference) else [])):
            indices = getattr(splits, part)
            parts[f"x_{part}"] = scaling.apply(source.x[indices])
            parts[f"y_{part}"] = source.y[indices]
        return cls(
            name=source.name,
            kind=source.kind,
            num_classes=source.num_classes,
            class_names=source.class_names,
            splits=splits,
            scaling=scaling,
            fingerprint=source.fingerprint,
            note=source.note,
            **parts,
        )
