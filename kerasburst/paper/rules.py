"""The rules that turn figures over seeds into a verdict; they do not depend on the figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kerasburst.validation import fail

SUPPORTED, NOT_SUPPORTED, CONTRADICTED = "supported", "not supported", "contradicted"
UNDECIDED, NOT_MEASURABLE, NOT_COMPARABLE = "undecided", "not measurable here", "not comparable"
CONFOUNDED_POINTS = 2.0  # of accuracy between two encodings whose AUCs are compared
AUC_MARGIN = 0.01  # AUCs that differ by less are equivalent
MET, MISSED, OPEN = "met", "missed", "open"
MOST_SEEDS = 10_000  # past this nobody decides by more of them
_POWER = 0.8

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Region:
    """Where an interval must lie for a verdict: strictly beyond one end, or between two ends, both included.

    Args:
        verdict: it gives.
        low: lower end; -inf for none.
        high: upper end; inf for none.
    """

    verdict: str
    low: float
    high: float

    def contains(self, low, high):
        """Return whether an interval lies inside, elementwise for arrays."""
        if math.isinf(self.low) or math.isinf(self.high):
            return (low > self.low) & (high < self.high)
        return (low >= self.low) & (high <= self.high)

    def text(self, unit: str) -> str:
        """Return the region in words."""
        if math.isinf(self.high):
            return f"above {_amount(self.low, unit)}"
        if math.isinf(self.low):
            return f"below {_amount(self.high, unit)}"
        if self.low == -self.high:
            return f"within ±{self.high:g}{unit}"
        return f"from {self.low:g} to {self.high:g}{unit}"


@dataclasses.dataclass(frozen=True)
class Rule:
    """Regions in order: the first that contains the whole 95 % interval gives the verdict; without one it is undecided.

    Args:
        regions: in order.
        unit: of the figures, as text behind a number.
        size: ends of what the paper claims, where the regions are of the direction alone.
        effect: the smallest difference that matters, from which the seeds to decide follow; None for none.

    Example:
        >>> AUC_RULE.verdict(0.002, 0.018), AUC_RULE.verdict(0.002, 0.008), AUC_RULE.verdict(-0.02, 0.03)
        ('supported', 'not supported', 'undecided')
    """

    regions: tuple[Region, ...]
    unit: str = ""
    size: Interval | None = None
    effect: float | None = None

    def verdict(self, low: float, high: float) -> str:
        """Return the verdict of an interval."""
        return next((r.verdict for r in self.regions if r.contains(low, high)), UNDECIDED)

    def met(self, low: float, high: float) -> str | None:
        """Return whether the paper's size is met: "met" within it, "missed" outside, else "open"; None without one.

        Example:
            >>> rule = above(0.0, size=(25.0, 30.0))
            >>> rule.met(26.0, 29.0), rule.met(4.0, 6.0), rule.met(20.0, 28.0), AUC_RULE.met(0.0, 0.1)
            ('met', 'missed', 'open', None)
        """
        if self.size is None:
            return None
        if self.size[0] <= low and high <= self.size[1]:
            return MET
        return MISSED if high < self.size[0] or low > self.size[1] else OPEN

    @property
    def text(self) -> str:
        """The rule in words."""
        said: dict[str, list[str]] = {}
        for region in self.regions:
            said.setdefault(region.verdict, []).append(region.text(self.unit))
        parts = [f"{verdict} if {' or '.join(places)}" for verdict, places in said.items()]
        of_size = "" if self.size is None else f"; the paper's size is met within {self.size_text}, refuted outside"
        return f"95 % interval over seeds: {', '.join(parts)}, else {UNDECIDED}{of_size}"

    @property
    def size_text(self) -> str:
        """The paper's size; empty without one."""
        return "" if self.size is None else f"{self.size[0]:g} to {self.size[1]:g}{self.unit}"


def above(
    limit: float = 0.0, band: float | None = None, unit: str = "", size: tuple[float, float] | None = None
) -> Rule:
    """Return the rule of a claim that a figure lies above a limit.

    Args:
        limit: which it exceeds if the claim holds, and falls short of if the contrary does.
        band: half-width about the limit inside which a difference would not matter: not supported.
        unit: of the figures.
        size: ends of what the paper claims; None where it gives none.

    Example:
        >>> above(0.0, 0.01).text
        '95 % interval over seeds: supported if above 0, contradicted if below 0, not supported if within ±0.01, ...'
    """
    regions = [Region(SUPPORTED, limit, math.inf), Region(CONTRADICTED, -math.inf, limit)]
    if band is not None:
        regions.append(Region(NOT_SUPPORTED, limit - band, limit + band))
    return Rule(tuple(regions), unit, size, band)


def below(limit: float, unit: str = "", effect: float | None = None) -> Rule:
    """Return the rule of a claim that a figure lies below a limit.

    Args:
        limit: which it falls short of if the claim holds.
        unit: of the figures.
        effect: the smallest distance from the limit that matters.

    Example:
        >>> below(5.0).verdict(1.0, 4.0), below(5.0).verdict(6.0, 9.0), below(5.0).verdict(4.0, 6.0)
        ('supported', 'contradicted', 'undecided')
    """
    return Rule((Region(SUPPORTED, -math.inf, limit), Region(CONTRADICTED, limit, math.inf)), unit, None, effect)


def between(low: float, high: float, unit: str = "", effect: float | None = None) -> Rule:
    """Return the rule of a claim that a figure lies in a range.

    Args:
        low: lower end.
        high: upper end.
        unit: of the figures.
        effect: the smallest distance from an end that matters.

    Example:
        >>> between(1.5, 4.5).verdict(2.0, 4.0), between(1.5, 4.5).verdict(-1.0, 1.0)
        ('supported', 'contradicted')
    """
    outside = (Region(CONTRADICTED, -math.inf, low), Region(CONTRADICTED, high, math.inf))
    return Rule((Region(SUPPORTED, low, high), *outside), unit, None, effect)


# An advantage that does not matter supports nothing, even where it is surely above 0.
AUC_RULE = Rule(
    (Region(NOT_SUPPORTED, -AUC_MARGIN, AUC_MARGIN), *above(0.0).regions),
    effect=AUC_MARGIN,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a claim.

    Args:
        verdict: "supported", "not supported", "contradicted", "undecided", "not comparable" or "not measurable here".
        figure: mean over seeds; None without any.
        interval: 95 %, Student's t over seeds, or an audit's own over its pools; None for fewer than two.
        seeds: number of them.
        seeds_to_decide: how many would tell the smallest difference that matters with a power of 80 %; None where the
            claim is decided, where there is no spread yet, and past 10,000.
        seeds_to_decide_interval: 95 %, from that of the spread; an end past 10,000 stands for more.
        confounded: whether accuracy differs by so much that the AUC's difference may be that of the fit.
        accuracy_gap: points of test accuracy, mean over seeds; None where it is no matter.
        member_gap: points of accuracy on members, likewise.
        size: whether the paper's size is "met", "missed" or left "open"; None where it gives none.
        reason: why it is undecided or could not be measured; else empty.
    """

    verdict: str
    figure: float | None = None
    interval: Interval | None = None
    seeds: int = 0
    seeds_to_decide: int | None = None
    seeds_to_decide_interval: tuple[int, int] | None = None
    confounded: bool = False
    accuracy_gap: float | None = None
    member_gap: float | None = None
    size: str | None = None
    reason: str = ""


def judge(
    values: Sequence[float],
    rule: Rule,
    accuracy_gaps: Sequence[float] | None = None,
    member_gaps: Sequence[float] | None = None,
    spread: tuple[float, int] | None = None,
    interval: Interval | None = None,
) -> Verdict:
    """Judge a claim by its figures over seeds.

    Args:
        values: one figure for each seed, finite, at least one.
        rule: of the claim.
        accuracy_gaps: points of test accuracy between the encodings whose AUCs are compared, by seed; None where the
            claim is not of AUCs.
        member_gaps: likewise, on members: what a network has learnt by heart is what attacks feed on.
        spread: a standard deviation and its degrees of freedom that stand for the values' own: pooled with others'.
        interval: 95 %, of a single value that has its own; None for Student's t over the values.

    Raises:
        InputError: for no values, or values or gaps that are not finite.

    Example:
        >>> found = judge([0.02, 0.04], AUC_RULE, accuracy_gaps=[3.0, 2.0])
        >>> found.verdict, found.seeds_to_decide, found.seeds_to_decide_interval, found.confounded
        ('undecided', 18, (6, 10000), True)
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise fail("values", "one or more finite numbers", values.tolist())
    gaps = {}
    for name, given in (("accuracy_gap", accuracy_gaps), ("member_gap", member_gaps)):
        if given is not None:
            gaps[name] = float(np.mean(given))
            if not math.isfinite(gaps[name]):
                raise fail(f"{name}s", "finite numbers", list(given))
    common = {
        **gaps,
        "figure": float(values.mean()),
        "seeds": len(values),
        "confounded": any(abs(gap) > CONFOUNDED_POINTS for gap in gaps.values()),
    }
    if len(values) < 2 and interval is None:
        return Verdict(verdict=UNDECIDED, reason="one seed has no spread; two or more give an interval", **common)
    if len(values) < 2:
        verdict = rule.verdict(*interval)
        reason = "the interval is too wide" if verdict == UNDECIDED else ""
        return Verdict(verdict=verdict, interval=interval, size=rule.met(*interval), reason=reason, **common)
    from scipy import stats  # `kerasburst reproduce --help` need not wait for it

    deviation, freedom = (float(values.std(ddof=1)), len(values) - 1) if spread is None else spread
    half = float(stats.t.ppf(0.975, freedom)) * deviation / math.sqrt(len(values))
    low, high = common["figure"] - half, common["figure"] + half
    if len(values) == 2 and math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):  # of coarse figures, often chance
        same = "both seeds give the same figure; three or more show whether that is chance"
        return Verdict(verdict=UNDECIDED, interval=(low, high), reason=same, **common)
    common["size"] = rule.met(low, high)
    verdict = rule.verdict(low, high)
    if verdict != UNDECIDED:
        return Verdict(verdict=verdict, interval=(low, high), **common)
    needed, ends, told = _seeds_to_decide(deviation, freedom, rule)
    return Verdict(
        verdict=UNDECIDED,
        interval=(low, high),
        seeds_to_decide=needed,
        seeds_to_decide_interval=ends,
        reason="the interval is too wide" + told,
        **common,
    )


def _seeds_to_decide(deviation: float, freedom: int, rule: Rule) -> tuple[int | None, tuple[int, int] | None, str]:
    """Return how many seeds would tell the smallest effect that matters, the interval of that number, and both as text.

    The mean that was seen plays no part: one that is large by chance would need few.
    """
    if rule.effect is None or deviation == 0:
        return None, None, ""
    from kerasburst.intervals import units_to_decide

    found, *ends = units_to_decide(deviation, freedom, rule.effect, power=_POWER)
    low, high = (min(end, MOST_SEEDS) for end in ends)
    many = f"more than {MOST_SEEDS:,}"
    told = f"about {found:,} seeds ({low:,} to {many if ends[1] > MOST_SEEDS else f'{high:,}'})"
    told = f"{many} seeds" if found > MOST_SEEDS else told
    told = f"; {told} would tell a difference of {_amount(rule.effect, rule.unit)} in {100 * _POWER:g} % of cases"
    return (found if found <= MOST_SEEDS else None), (low, high), told


def _amount(value: float, unit: str) -> str:
    return f"{value:g}{unit.removesuffix('s') if value == 1 else unit}"
