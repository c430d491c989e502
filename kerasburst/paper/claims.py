"""What the paper claims, each with the rule by which it is judged."""

from __future__ import annotations

import dataclasses

from kerasburst.paper.rules import AUC_RULE, Rule, above, below, between

EQUAL_FIT, AUDIT, PAPER = "equal_fit", "audit", "paper"
TRAIN, TRANSFER, PROFILE = "train", "transfer", "profile"
KINDS = (EQUAL_FIT, AUDIT, PAPER, TRAIN, TRANSFER, PROFILE)
AUC, ACCURACY, SAVING, RISE, LOSS = "auc", "accuracy", "saving", "rise", "loss"
# The attack that speaks for claims on AUCs after equal epochs, by protocol.
MAIN = {AUDIT: "lira_online", PAPER: "svm"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim.

    Args:
        name: name on the command line.
        text: what is claimed.
        paper: what the paper says about its size.
        measure: "auc" (AUC(a) - AUC(b) of the same members), "accuracy" (points, a - b), "saving" (percent that b
            lies below a), "rise" (percent that b lies above a), "loss" (points that frozen features of a source lose
            against training from scratch, of b).
        a: an encoding.
        b: another.
        rule: for the figure.
        kinds: of the parts that measure it.
        fields: of profile.json, for a saving or a rise; each is judged, the first with figures
            speaks for the claim.
    """

    name: str
    text: str
    paper: str
    measure: str
    a: str
    b: str
    rule: Rule
    kinds: tuple[str, ...]
    fields: tuple[str, ...] = ()

    @property
    def figure(self) -> str:
        """The figure, in words."""
        return {
            AUC: f"AUC({self.a}) − AUC({self.b})",
            ACCURACY: f"test accuracy, {self.a} − {self.b}, points",
            SAVING: f"{self.b} below {self.a}, %",
            RISE: f"{self.b} above {self.a}, %",
            LOSS: f"{self.b}: from scratch − transferred, points",
        }[self.measure]


ENCODINGS = _RATE, _POISSON, _DELAYED = "rate", "poisson_burst", "delayed_burst"
_OF_AUC = {"measure": AUC, "rule": AUC_RULE, "kinds": (EQUAL_FIT, AUDIT, PAPER)}
_OF_COST = {"kinds": (PROFILE,)}
_OF_ACCURACY = {"measure": ACCURACY, "kinds": (TRAIN,)}
_OF_TRANSFER = {"measure": LOSS, "a": _RATE, "kinds": (TRANSFER,)}

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        Claim(
            name="poisson_auc",
            text="Poisson-Burst lowers attack AUC against rate coding",
            paper="by up to 6.5 % of its value (one shadow model, SVMs on final membranes, after equal epochs)",
            a=_RATE,
            b=_POISSON,
            **_OF_AUC,
        ),
        Claim(
            name="poisson_accuracy",
            text="Poisson-Burst keeps accuracy",
            paper="competitive; more than 5 points lost on MNIST or Iris means wrong parameters",
            a=_RATE,
            b=_POISSON,
            rule=below(5.0, " points", effect=1.0),
            **_OF_ACCURACY,
        ),
        Claim(
            name="delayed_auc",
            text="Delayed-Burst lowers attack AUC against rate coding",
            paper="more than Poisson-Burst",
            a=_RATE,
            b=_DELAYED,
            **_OF_AUC,
        ),
        Claim(
            name="delayed_more",
            text="Delayed-Burst lowers attack AUC more than Poisson-Burst",
            paper="gives no figure",
            a=_POISSON,
            b=_DELAYED,
            **_OF_AUC,
        ),
        Claim(
            name="delayed_accuracy",
            text="Delayed-Burst loses more accuracy than Poisson-Burst",
            paper="gives no figure",
            a=_POISSON,
            b=_DELAYED,
            rule=above(0.0, 0.5, " points"),
            **_OF_ACCURACY,
        ),
        Claim(
            name="poisson_power",
            text="Poisson-Burst lowers GPU power against deterministic rate coding",
            paper="by 10 to 15 %",
            measure=SAVING,
            a=_RATE,
            b=_POISSON,
            rule=above(0.0, 1.0, " %", size=(10.0, 15.0)),
            fields=("gpu_power_w",),
            **_OF_COST,
        ),
        Claim(
            name="poisson_memory",
            text="Poisson-Burst lowers memory against deterministic rate coding",
            paper="gives no figure of its own",
            measure=SAVING,
            a=_RATE,
            b=_POISSON,
            rule=above(0.0, 1.0, " %"),
            fields=("gpu_peak_mb", "peak_rss_mb"),
            **_OF_COST,
        ),
        Claim(
            name="delayed_memory",
            text="Delayed-Burst raises CPU memory against deterministic rate coding",
            paper="by 25 to 30 %",
            measure=RISE,
            a=_RATE,
            b=_DELAYED,
            rule=above(0.0, 1.0, " %", size=(25.0, 30.0)),
            fields=("peak_rss_mb",),
            **_OF_COST,
        ),
        Claim(
            name="poisson_transfer",
            text="Transfer with frozen convolutions: Poisson-Burst loses less than 1 %",
            paper="MNIST to Fashion-MNIST: less than 1 %",
            b=_POISSON,
            rule=below(1.0, " points", effect=1.0),
            **_OF_TRANSFER,
        ),
        Claim(
            name="delayed_transfer",
            text="Transfer with frozen convolutions: Delayed-Burst loses about 3 %",
            paper="MNIST to Fashion-MNIST: about 3 %",
            b=_DELAYED,
            rule=between(1.5, 4.5, " points", effect=1.0),
            **_OF_TRANSFER,
        ),
    )
}
