"""Test the paper's claims: plan, run, judge, in a directory that can be resumed."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from kerasburst import files, records
from kerasburst.paper.claims import KINDS, PROFILE
from kerasburst.paper.config import ReproduceConfig
from kerasburst.paper.judging import RULES, audited, judge_claim
from kerasburst.paper.measures import Found
from kerasburst.paper.planning import Part, Plan, plan_parts
from kerasburst.paper.result import Reproduction
from kerasburst.profiling.study import profile
from kerasburst.study import Collection, FleetFailed, FleetObserver
from kerasburst.validation import InputError, one_line


def reproduce(
    config: ReproduceConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
    planned: Callable[[Plan], None] = lambda plan: None,
) -> tuple[Reproduction, FleetFailed | None]:
    """Test the paper's claims and write the results to a directory.

    One fleet trains all models, each in a process of its own; profiles follow, one at a time. When a part is done, its
    result and reproduction.json are written: a killed reproduction resumes from there.

    Args:
        config: which claims, at which size.
        out: the directory.
        resume: resume the reproduction in `out`, with more claims, data sets or seeds if wanted.
        force: replace what is in `out`.
        jobs: models trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: receives the progress.
        planned: receives the plan before anything is run.

    Returns:
        The result, which is also in `out`/reproduction.json, and the fleet's error where models could not be
        trained: their parts are left out.

    Raises:
        InputError: for bad input, or what is in `out` without `resume` or `force`, or if no data set is available.
        ClusterLost: where a Dask cluster is gone.
    """
    study = ReproductionStudy(config, out, planned)
    return study.run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class ReproductionStudy(Collection):
    """A reproduction as a study: audits, trainings, a transfer share one fleet, and profiles follow, alone.

    Args:
        config: which claims, at which size.
        out: the directory.
        planned: receives the plan before anything is run.
    """

    config_class = ReproduceConfig
    result_name = "reproduction.json"
    own_names = ("reproduction.json", "reproduction.md", "config.json", "plan.json")
    may_differ = ("claims", "datasets", "seeds", "data_dir")  # more of them change nothing that is there

    def __init__(self, config: ReproduceConfig, out: str | Path, planned: Callable[[Plan], None] = lambda plan: None):
        super().__init__(config, out)
        self.planned = planned

    @property
    def finished(self):
        """Whether every part was made."""
        try:
            return bool(files.read_json(self.result_path)["complete"])
        except (InputError, KeyError, TypeError):
            return False

    def load(self):
        """Load nothing: each part has its own data."""
        return {}

    def prepare(self, sources):
        """Plan the parts; with fewer seeds than before a reproduction is not resumed."""
        config = self.config
        begun = records.load(ReproduceConfig, self.out / "config.json") if self.resumed else config
        if len(config.seed_list) < len(begun.seed_list):  # nobody can choose a verdict
            raise InputError(
                f"seeds must be at least {len(begun.seed_list)}, with which the reproduction was begun, "
                f"received {len(config.seed_list)}"
            )
        self.plan = plan_parts(config)
        if not self.plan.parts:
            missing = "; ".join(f"{name} is {why}" for name, why in self.plan.skipped.items())
            raise InputError(
                f"claims must be measurable on the data sets at scale {config.scale}, none is: "
                + (missing or "they have no part on these")
            )
        return {}

    def write_inputs(self):
        """Delete the parts that a new reproduction replaces."""
        if not self.resumed:
            _clear(self.out)

    def parts(self):
        """Yield audits, trainings and the transfer."""
        self.planned(self.plan)
        for part in self.plan.parts:
            if part.kind != PROFILE:
                yield part.name, functools.partial(part.begin, self.out)

    def part_finished(self, name):
        """Judge what is there: a run that is stopped later has its page."""
        self.finish()

    def run_others(self):
        """Make the profiles, each alone on the machine."""
        for part in self.plan.parts:
            if part.kind == PROFILE and part.result(self.out) is None:
                try:
                    profile(part.config, self.out / part.name, resume=True)
                except (FleetFailed, InputError) as error:
                    self.failed[part.name] = one_line(error, None)

    def conclude(self, sources):
        """Judge the claims by the results in the parts' directories."""
        config, plan, failed = self.config, self.plan, self.failed
        results = [(part, part.result(self.out)) for part in plan.parts]
        found: Found = [(part, result) for part, result in results if result is not None]
        unmade = [(part, failed[part.name]) for part, result in results if result is None and part.name in failed]
        skipped = [f"{name}: {why}" for name, why in plan.skipped.items()]
        return Reproduction(
            scale=config.scale,
            note=config.size.note,
            complete=all(result is not None for _, result in results),
            claims=tuple(judge_claim(claim, found, unmade, skipped) for claim in config.chosen),
            audits=audited(found),
            plan=tuple(records.to_json(part) | _state(part, result, failed) for part, result in results),
            skipped=plan.skipped,
            notes=plan.notes,
            rules=RULES,
            config=records.to_json(config),
            versions=tuple({json.dumps(made): made for _, result in found if (made := result["versions"])}.values()),
        )


def _state(part: Part, result: dict | None, failed: dict[str, str]) -> dict:
    if result is None and part.name in failed:
        return {"state": "failed", "reason": failed[part.name]}
    return {"state": "not run" if result is None else "finished", "reason": ""}


def _clear(out: Path) -> None:
    """Delete the parts' directories, and nothing else."""
    for kind in KINDS:
        for path in out.glob(f"{kind}/*/*"):
            if (path / "config.json").exists() or (path / "profile.json").exists():
                shutil.rmtree(path)
        for path in (*out.glob(f"{kind}/*"), out / kind):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
