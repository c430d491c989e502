"""The one place where a reproduction meets profiles: how one is made, and what is read from its JSON."""

from __future__ import annotations

from pathlib import Path

from kerasburst.profiling.config import ProfileConfig
from kerasburst.profiling.study import profile


def make_profile(config: ProfileConfig, out: Path) -> None:
    """Profile encodings, alone on the machine, into `out`/profile.json.

    Args:
        config: the profile's.
        out: its directory; one that was begun is gone on with.

    Raises:
        InputError: where another profile stands in `out`.
        FleetFailed: where a network could not be trained or measured.
    """
    profile(config, out, resume=True)


def read_cost(profile: dict, encoding: str, field: str) -> float | str:
    """Give a figure of profile.json, or the reason why it is not there.

    Rate coding is the deterministic one where it was profiled: the paper compares costs with that.

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
    regular = "rate_regular" if encoding == "rate" else encoding
    found = profile["encodings"].get(regular, profile["encodings"].get(encoding))
    if not isinstance(found, dict):
        return f"{encoding} was not profiled"
    value = found.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    for reasons in (found.get("reasons"), profile.get("reasons")):
        if isinstance(reasons, dict) and isinstance(reasons.get(field), str):
            return reasons[field]
    return f"the profile has no {field}"
