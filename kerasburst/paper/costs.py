"""What a part of a reproduction is expected to take, from constants that are stated; the progress corrects it."""

from __future__ import annotations

from kerasburst.paper.scales import Setting
from kerasburst.privacy.shadow import TARGET_QUERIES, TEST_EXAMPLES

START_S = 6.0  # a process: TensorFlow's start, the network, its first step, files
FORWARD = 0.45  # of a training pass: an example that is only asked
CANARY_PASSES = 300 * 32  # of an audit's planted leak
PROFILE_S = 25.0  # one encoding, alone


def training_seconds(setting: Setting, examples: int, epochs: int, asked: int) -> float:
    """Give the seconds of one network's process.

    Args:
        setting: with its seconds for 1,000 examples.
        examples: that it trains on.
        epochs: how often.
        asked: encodings of examples that it is only asked about.

    Example:
        >>> training_seconds(Setting(train={}, seconds_per_1000=2.0), 500, 30, 10_000)  # 6 + 2 (15 + 4.5)
        45.0
    """
    return START_S + setting.seconds_per_1000 / 1000 * (examples * epochs + FORWARD * asked)


def audit_seconds(
    setting: Setting,
    members: int,
    population: int,
    epochs: int,
    test: int,
    shadows: int,
    queries: int,
    only_shadows: bool = False,
) -> float:
    """Give the seconds of all models of an audit of one encoding, one after the other.

    Args:
        setting: with its seconds for 1,000 examples.
        members: that a target trains on.
        population: that none trains on.
        epochs: of a target.
        test: number of test examples.
        shadows: N.
        queries: the largest K.
        only_shadows: whether the other models have been trained by another audit.

    Example:
        >>> audit_seconds(Setting(train={}, seconds_per_1000=0.0), 500, 250, 30, 10_000, 4, 4)  # 7 processes
        42.0
    """
    points = 2 * members + population
    tested = min(TEST_EXAMPLES, test) + min(TEST_EXAMPLES, members)
    asked = tested + points * (queries + 1)
    once = 0 if only_shadows else 1
    target = training_seconds(setting, members, once * epochs, asked + (TARGET_QUERIES - 1) * tested)
    controls = training_seconds(setting, 0, 0, asked) + training_seconds(setting, CANARY_PASSES, once, asked)
    return target + shadows * training_seconds(setting, members, epochs, asked) + controls
