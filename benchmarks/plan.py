"""The comparison: which works are measured together, and the speed that each should reach."""

from __future__ import annotations

import dataclasses

from kerasburst.profiling.measurement import Participant
from kerasburst.profiling.works import WORKS

PEERS = ("snntorch", "spikingjelly", "norse")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The speed of `of` in multiples of that of `to`.

    Args:
        of: a label.
        to: a label.
        target: least ratio; None to report it only.
        or_limit_percent: a share of the machine's limit that also meets the target.
    """

    of: str
    to: str
    target: float | None = None
    or_limit_percent: float | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Works that are measured together.

    Args:
        title: the work in words.
        ours: kerasburst's parts in it, label to work's name.
        peers: the peers' parts, label to (library, work's name).
        comparisons: what is compared.
        limit_percent: the share of the machine's limit that the first of `ours` should reach; None for no such target.
    """

    title: str
    ours: dict[str, str]
    peers: dict[str, tuple[str, str]]
    comparisons: tuple[Comparison, ...]
    limit_percent: float | None = None

    @property
    def size(self) -> dict[str, int]:
        """Batch size and T."""
        info = WORKS[next(iter(self.ours.values()))]
        return {"batch_size": info.batch_size, "num_steps": info.num_steps}

    @property
    def inputs(self) -> str:
        """Kind of the inputs."""
        return WORKS[next(iter(self.ours.values()))].inputs


def _all(work: str) -> dict[str, tuple[str, str]]:
    return {name: (name, work) for name in PEERS}


def _against_peers(snntorch: float, spikingjelly: float | None = None, norse: float | None = None, **more):
    targets = dict(zip(PEERS, (snntorch, spikingjelly, norse), strict=True))
    return tuple(
        Comparison("kerasburst", peer, target, **(more if peer == "snntorch" else {}))
        for peer, target in targets.items()
    )


_BURSTS = ("encode_poisson_burst", "encode_delayed_burst")

GROUPS = {
    "conv_train": Group(
        "SNNConvNet training step",
        {"kerasburst": "conv_train", "kerasburst mixed_bfloat16": "conv_train_bf16"},
        _all("conv_train"),
        (
            *_against_peers(1.8, 2.5, 2.0, or_limit_percent=90.0),
            Comparison("kerasburst mixed_bfloat16", "snntorch", 3.0),
        ),
    ),
    "conv_lif_train": Group(
        'SNNConvNet with conv_activation="lif", training step',
        {"kerasburst": "conv_lif_train"},
        _all("conv_lif_train"),
        _against_peers(2.2, 3.5),
    ),
    "conv_infer": Group(
        "SNNConvNet inference", {"kerasburst": "conv_infer"}, _all("conv_infer"), _against_peers(2.4)
    ),
    "fc_train": Group(
        "SNNFCNet (30 features) training step", {"kerasburst": "fc_train"}, _all("fc_train"), _against_peers(2.5)
    ),
    "lif": Group(
        "LIF alone, forward and backward, on 28 x 28 x 32 maps",
        {"kerasburst": "lif"},
        _all("lif"),
        _against_peers(7.0, 3.5),
        limit_percent=25.0,
    ),
    "encoders": Group(
        "encoders, float32 spikes of 32 x 32 x 3 intensities",
        {name: name for name in ("encode_rate", *_BURSTS)},
        {"snntorch spikegen.rate": ("snntorch", "encode_rate")},
        (
            Comparison("encode_rate", "snntorch spikegen.rate", 6.0),
            *(Comparison(name, "snntorch spikegen.rate", 18.0) for name in _BURSTS),
        ),
    ),
    "train": Group(
        "kerasburst train, an epoch through the pipeline, against its bare compiled step",
        {name: name for name in ("train_epoch", "train_bare", "train_wait")},
        {},
        (Comparison("train_epoch", "train_bare", round(1 / 1.08, 4)),),  # at most 8 % slower
    ),
}  # fmt: skip

MOST_WAITING_PERCENT = 5.0  # of a step, for the pipeline

# Peak memory against T, of the training step of SNNConvNet.
MEMORY_STEPS = (10, 100)
MEMORY_PEERS = ("snntorch",)
MEMORY_TARGET = 0.8  # of snnTorch's growth a step

SWEEP_STEPS = (5, 10, 20, 50, 100)
SWEEP_BATCHES = (32, 64, 256, 512)

QUICK = {"batch_size": 8, "num_steps": 3}
QUICK_STEPS, QUICK_BATCHES = (2, 4), (4,)


def participants(
    group: Group, options: dict, commands: dict[str, tuple[str, ...]], variants: dict[str, dict]
) -> list[Participant]:
    """Return the participants of a group.

    Args:
        group: the group.
        options: "threads", "inputs", "batch_size", "num_steps", "seed" and "beta".
        commands: by peer, how to start its worker; other peers are left out.
        variants: by label, network parameters for another measurement of kerasburst's first work.
    """
    ours = [Participant(label, work, options) for label, work in group.ours.items()]
    theirs = [
        Participant(label, work, options, commands[library])
        for label, (library, work) in group.peers.items()
        if library in commands
    ]
    again = [
        Participant(f"kerasburst {label}", ours[0].work, {**options, "network": network})
        for label, network in (variants if group.inputs in ("images", "table") else {}).items()
    ]
    return [*ours, *again, *theirs]
