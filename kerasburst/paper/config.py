"""`ReproduceConfig`: which claims to test, and at which size."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from kerasburst.paper.claims import CLAIMS, Claim
from kerasburst.paper.scales import SCALES, Scale
from kerasburst.validation import check_choice, check_int, fail, path_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReproduceConfig:
    """Everything that `kerasburst reproduce` needs; all but the scale may change when a reproduction is resumed.

    Args:
        scale: "smoke", "cpu" or "full".
        claims: names of claims; all by default.
        datasets: names of the scale's data sets; None for all.
        seeds: number of seeds, 0, 1, ...; None for the scale's.
        data_dir: folder of data files; None for KERASBURST_DATA.

    Raises:
        InputError: for a value outside its range.

    Example:
        >>> config = ReproduceConfig(scale="cpu", claims=("poisson_auc",), datasets=("mnist", "iris"))
        >>> config.seed_list, config.kinds
        ((0, 1, 2), ('equal_fit', 'audit', 'paper'))
    """

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "a reproduction"

    scale: str = "smoke"
    claims: tuple[str, ...] = tuple(CLAIMS)
    datasets: tuple[str, ...] | None = None
    seeds: int | None = None
    data_dir: str | None = None

    def __post_init__(self):
        """Check every value that needs no data."""
        check_choice("scale", self.scale, SCALES)
        for name, known in (("claims", CLAIMS), ("datasets", self.size.datasets)):
            value = getattr(self, name)
            if name == "datasets" and value is None:
                continue
            if not isinstance(value, tuple | list) or not value:
                raise fail(name, "one or more names", value)
            for each in value:
                check_choice(name, each, known)
            # In the order in which they are listed, so that what is asked for in another order is the same.
            object.__setattr__(self, name, tuple(each for each in known if each in value))
        if self.seeds is not None:
            check_int("seeds", self.seeds, low=1, high=1000)
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", path_text("data_dir", self.data_dir, "a path or null"))

    @property
    def size(self) -> Scale:
        """What the scale means."""
        return SCALES[self.scale]

    @property
    def chosen(self) -> tuple[Claim, ...]:
        """The claims."""
        return tuple(CLAIMS[name] for name in self.claims)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the parts that the claims need."""
        return tuple(dict.fromkeys(kind for claim in self.chosen for kind in claim.kinds))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.size.seeds if self.seeds is None else self.seeds))
