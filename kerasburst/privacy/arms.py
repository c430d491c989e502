"""`Arm`: one of the things that an audit compares, an encoder with its parameters or a defence."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kerasburst import files
from kerasburst.config import TrainConfig, for_encodings
from kerasburst.parameters import parameters, with_trainable
from kerasburst.registry import DEFENCES, ENCODERS
from kerasburst.validation import InputError, check_choice, fail, suggestion

# Names beside those of encoders and defences: an encoder with parameters.
NAMED = {"rate_regular": ("rate", {"mode": "regular"})}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the things that an audit compares.

    Args:
        name: its name in results, unique in an audit.
        encoding: name of the encoder.
        encoder: parameters of the encoder that this arm sets.
        defence: name of a defence; None for none.
        parameters: parameters of the defence.

    Raises:
        InputError: for unknown names or parameters.

    Example:
        >>> arm = parse_arm("poisson_burst:mean_burst_size=60,burst_interval=2")
        >>> arm.encoding, dict(arm.encoder), arm.folder
        ('poisson_burst', {'mean_burst_size': 60, 'burst_interval': 2}, 'poisson_burst-mean_burst_size-60-...')
    """

    name: str
    encoding: str
    encoder: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    defence: str | None = None
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Check the names, and build the defence once, which checks its parameters.

        Without parameters there is nothing to check: the classes, and Keras with them, are not imported.
        """
        if not isinstance(self.name, str) or not re.search(r"\w", self.name):
            raise fail("arm", "a name with a letter or digit", self.name)
        check_choice("encoding of an arm", self.encoding, ENCODERS)
        for field in ("encoder", "parameters"):
            if not isinstance(getattr(self, field), Mapping):
                raise fail(f"{field} of arm {self.name}", "a mapping of parameters", getattr(self, field))
        object.__setattr__(self, "encoder", with_trainable(self.encoder))
        if self.encoder:
            _check(self.name, self.encoder, parameters("encoder", self.encoding))
        if self.defence is not None:
            self.make_defence()

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return folder_name(self.name)

    def make_defence(self):
        """Return the defence, or one that changes nothing."""
        from kerasburst.privacy.defences import Defence

        if self.defence is None:
            return Defence()
        cls = DEFENCES[self.defence]
        _check(self.name, self.parameters, [field.name for field in dataclasses.fields(cls)])
        return cls(**self.parameters)


def folder_name(name: str) -> str:
    """Return the name of an arm's folder.

    Example:
        >>> folder_name("input_noise:sd=0.1")
        'input_noise-sd-0.1'
    """
    return re.sub(r"[^\w.+-]+", "-", name, flags=re.ASCII).strip("-.+") or "arm"


def parse_arm(text: str) -> Arm:
    """Read NAME[:parameter=value,...].

    NAME is an encoder, "rate_regular" (deterministic rate coding) or a defence. A defence works on deterministic rate
    coding; its parameter `encoding` names another encoder.

    Args:
        text: the arm, as `--arm` takes it.

    Returns:
        The arm, with checked parameters.

    Raises:
        InputError: for an unknown name or parameter, or a value that is not allowed.

    Example:
        >>> arm = parse_arm("input_noise:sd=0.1")
        >>> arm.encoding, dict(arm.encoder), arm.defence, dict(arm.parameters)
        ('rate', {'mode': 'regular'}, 'input_noise', {'sd': 0.1})
    """
    name, colon, rest = text.partition(":")
    given = {}
    for assignment in filter(None, rest.split(",")) if colon else ():
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise InputError(f"--arm must be NAME[:parameter=value,...], received {text!r}")
        if key.strip() in given:
            raise InputError(f"--arm must set {key.strip()} once, received {text!r}")
        given[key.strip()] = files.parse_word(value.strip())
    if name in DEFENCES:
        base = str(given.pop("encoding", "rate_regular"))
        encoding, encoder = NAMED.get(base, (base, {}))
        if encoding not in ENCODERS:
            raise InputError(f"arm {text}: encoding must be an encoder, received {base}{suggestion(base, ENCODERS)}")
        return Arm(name=text, encoding=encoding, encoder=encoder, defence=name, parameters=given)
    encoding, encoder = NAMED.get(name, (name, {}))
    if encoding not in ENCODERS:
        known = (*ENCODERS, *NAMED, *DEFENCES)
        raise InputError(f"arm must begin with one of {', '.join(known)}, received {name!r}{suggestion(name, known)}")
    return Arm(name=text, encoding=encoding, encoder={**encoder, **given})


def arms_of(encodings: Sequence[str], arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return all arms of an audit: the encodings, then the others.

    Raises:
        InputError: for none, two of one name, or two whose folders have one name.
    """
    found = (*(Arm(name=name, encoding=name) for name in encodings), *arms)
    folders = [arm.folder for arm in found]
    if not found or len(set(folders)) < len(folders):
        raise fail("arm", "one or more, each with a name of its own", ", ".join(arm.name for arm in found) or "none")
    return found


def resolve_arms(arms: Sequence[Arm], train: TrainConfig, kind: str, default_epochs: int) -> dict[str, TrainConfig]:
    """Return each arm's training, with every default filled in.

    Args:
        arms: of the audit.
        train: what they share; its encoder parameters go to the encoders that have them.
        kind: the data set's kind, "image" or "tabular".
        default_epochs: for a config that has none.
    """
    shared = for_encodings(train, dict.fromkeys(arm.encoding for arm in arms))
    found = {}
    for arm in arms:
        config = shared[arm.encoding]
        config = dataclasses.replace(config, encoder={**config.encoder, **arm.encoder})
        defence = arm.make_defence()
        found[arm.name] = defence.training(config).resolved(kind, default_epochs)
        defence.encoder(found[arm.name].make_encoder())  # refuses what it cannot stand before
    return found


def _check(arm: str, given, known) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"arm {arm}: {name} is unknown, it has {', '.join(known) or 'no parameters'}{suggestion(name, known)}"
            )
