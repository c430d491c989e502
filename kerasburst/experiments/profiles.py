"""The one place where a reproduction meets profiles: how one is made, and what is read from its JSON."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.validation import InputError

_MODULE = "kerasburst.profiling.profiler"


class NotMeasured(Exception):
    """No profile could be made; the message says why."""


def missing() -> str | None:
    """Tell why no profile can be made; None where one can."""
    if importlib.util.find_spec(_MODULE) is None:
        return "this version has no profiler"
    return "the profiler is not connected yet"


def make_profile(config: TrainConfig, encodings: tuple[str, ...], out: Path) -> None:
    """Profile encodings, alone on the machine, into `out`/profile.json.

    Args:
        config: data, network and training of each encoding; its encoder parameters go to the encodings that have them.
        encodings: their names.
        out: the profile's directory; one that was begun is gone on with.

    Raises:
        NotMeasured: where this version or this machine cannot.
    """
    reason = missing()
    if reason is not None:
        raise NotMeasured(reason)
    # Here goes the call of the profiler, once there is one; `missing` says until then that there is none.


def read_profile(path: Path) -> dict | None:
    """Read profile.json; None where it is damaged."""
    try:
        profile = files.read_json(path)
    except InputError:
        return None
    return profile if isinstance(profile, dict) and isinstance(profile.get("encodings"), dict) else None


def read_cost(profile: dict, encoding: str, field: str) -> float | str:
    """Give a figure of profile.json, or the reason why it is not there.

    Args:
        profile: what profile.json holds: encodings.NAME.FIELD, null with reasons.FIELD.
        encoding: name of an encoding.
        field: of the figure.

    Example:
        >>> rate = {"wall_s": 2.0, "gpu_power_w": None, "reasons": {"gpu_power_w": "no GPU"}}
        >>> profile = {"encodings": {"rate": rate}}
        >>> read_cost(profile, "rate", "wall_s"), read_cost(profile, "rate", "gpu_power_w")
        (2.0, 'no GPU')
    """
    found = profile["encodings"].get(encoding)
    if not isinstance(found, dict):
        return f"{encoding} was not profiled"
    value = found.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    for reasons in (found.get("reasons"), profile.get("reasons")):
        if isinstance(reasons, dict) and isinstance(reasons.get(field), str):
            return reasons[field]
    return f"the profile has no {field}"
