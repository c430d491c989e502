"""What a transfer experiment found, as frozen dataclasses that become transfer.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from kerasburst.intervals import seed_interval

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodingTransfer:
    """One encoding's arms over the seeds; accuracies are shares of the target's test part.

    Args:
        scratch: test accuracy by seed, everything trained.
        transfer: the same with the source's features, frozen.
        control: the same with untrained features, frozen.
        source: test accuracy of the source networks on the source; None for a run's, which says it itself.
        difference: transfer - scratch, mean over seeds.
        difference_interval: 95 %, Student's t over the seeds' differences; None for fewer than two seeds.
        over_control: transfer - control, mean over seeds: what the source's features are worth.
        over_control_interval: likewise.
        over_rate: transfer of this encoding - transfer of rate coding, paired by seed; None without rate coding.
        over_rate_interval: likewise.
        reasons: why a figure is None, by its name.
        warnings: silent or saturated layers, with their arm and seed.
    """

    scratch: tuple[float, ...]
    transfer: tuple[float, ...]
    control: tuple[float, ...]
    source: tuple[float, ...] | None
    difference: float
    difference_interval: Interval | None
    over_control: float
    over_control_interval: Interval | None
    over_rate: float | None
    over_rate_interval: Interval | None
    reasons: dict[str, str]
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferResult:
    """All figures of a transfer experiment.

    Args:
        encodings: by name.
        freeze: "conv" or "hidden".
        frozen_layers: their names.
        seeds: of the pairs.
        data: of `source` and `target`: name, note, fingerprint, examples, classes, and the shape they were learnt in.
        budget: epochs of source and target, training examples, queries.
        config: all it takes to do it again.
        versions: of what the figures depend on.
        source_privacy: what result.json says of the guarantee of a source run that was trained privately; it holds for
            the frozen layers and the source's examples, and not for the target's. None otherwise.
    """

    encodings: dict[str, EncodingTransfer]
    freeze: str
    frozen_layers: tuple[str, ...]
    seeds: tuple[int, ...]
    data: dict[str, dict]
    budget: dict[str, int]
    config: dict
    versions: dict[str, str]
    source_privacy: dict | None = None


def compare_arms(
    scratch: Sequence[float],
    transfer: Sequence[float],
    control: Sequence[float],
    *,
    source: Sequence[float] | None = None,
    rate: Sequence[float] | None = None,
    warnings: Sequence[str] = (),
) -> EncodingTransfer:
    """Compare the arms of one encoding, seed by seed.

    Args:
        scratch: accuracy by seed.
        transfer: likewise.
        control: likewise.
        source: likewise, of the source networks; None where they are a run's.
        rate: rate coding's transfer by seed; None where it was not run, or is this encoding.
        warnings: to hand on.

    Example:
        >>> found = compare_arms([0.90, 0.92, 0.91], [0.93, 0.93, 0.93], [0.80, 0.82, 0.81])
        >>> round(found.difference, 3), [round(end, 3) for end in found.difference_interval]
        (0.02, [-0.005, 0.045])
    """
    reasons = {}
    if source is None:
        reasons["source"] = "the source is a run's network; see its result.json"
    figures = {}
    for name, against in (("difference", scratch), ("over_control", control), ("over_rate", rate)):
        figures[name] = figures[f"{name}_interval"] = None
        if against is None:
            reasons[name] = reasons[f"{name}_interval"] = "this is rate coding, or rate coding was not run"
            continue
        paired = [a - b for a, b in zip(transfer, against, strict=True)]
        figures[name] = sum(paired) / len(paired)
        if len(paired) < 2:
            reasons[f"{name}_interval"] = "one seed has no spread; --seeds 3 or more"
        else:
            figures[f"{name}_interval"] = seed_interval(paired)[1:]
    return EncodingTransfer(
        scratch=tuple(scratch),
        transfer=tuple(transfer),
        control=tuple(control),
        source=None if source is None else tuple(source),
        reasons=reasons,
        warnings=tuple(warnings),
        **figures,
    )
