"""What experiments find on disk: configs that are theirs, and results that need not be made again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kerasburst import files
from kerasburst.config import same_config
from kerasburst.validation import InputError

FORMAT = 1
_HEAD = {"format", "kerasburst"}


def read_fields(path: str | Path, what: str, names: Collection[str]) -> dict:
    """Read the fields of a config.

    Args:
        path: of the file.
        what: it is to be, with its article: "a sweep".
        names: of its fields, all of which it must have.

    Raises:
        InputError: where the file is damaged, or not such a config of this format.
    """
    value = files.read_json(path)
    if not isinstance(value, Mapping) or value.get("format") != FORMAT or set(value) != _HEAD | set(names):
        raise InputError(f"{path} must be {what}'s config of format {FORMAT}, it is not")
    return {name: value[name] for name in names}


def stored_result(path: Path, config: Any, data: Collection[str]) -> dict | None:
    """Read an audit's, a transfer's or a profile's result, whether or not its models are still there.

    Args:
        path: of audit.json, transfer.json or profile.json.
        config: what it must be of: an `AuditConfig`, `TransferConfig` or `ProfileConfig`; the data may lie elsewhere.
        data: SHA-256 of each data set.

    Returns:
        The result; None where there is none, a damaged one, or one of another config or other data.
    """
    try:
        result = files.read_json(path)
        theirs = result["data"]
        parts = [theirs] if "fingerprint" in theirs else theirs.values()
        found = sorted(part["fingerprint"] for part in parts)
        same = found == sorted(data) and same_config(result["config"], config.to_json())
    except (InputError, KeyError, TypeError, AttributeError):
        return None
    return result if same else None
