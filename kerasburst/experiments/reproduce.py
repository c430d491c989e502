"""Test the paper's claims: plan, run, judge, in a directory that can be gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from kerasburst import files
from kerasburst.experiments.claims import KINDS, PROFILE
from kerasburst.experiments.finishing import run_and_finish
from kerasburst.experiments.measures import Found
from kerasburst.experiments.parts import Part
from kerasburst.experiments.planning import Plan, plan_parts
from kerasburst.experiments.profiles import make_profile
from kerasburst.experiments.reproduce_plan import ReproduceConfig
from kerasburst.experiments.reproduction import RULES, Reproduction, audited, judge_claim
from kerasburst.fleet import FleetFailed, FleetObserver, Work, check_fleet
from kerasburst.fleet.directory import clear, goes_on
from kerasburst.validation import InputError, user_path

_FILES = ("reproduction.json", "reproduction.md", "config.json")
_MAY_DIFFER = ("claims", "datasets", "seeds", "data_dir")  # what is there already is not changed by more


def run_reproduction(
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
    """Test claims into a directory.

    All models are trained as one fleet, each in a process of its own; profiles come after, alone. Each part is judged
    and written down when it is done, and reproduction.json with it: what was killed goes on from there.

    Args:
        config: which claims, at which size.
        out: the directory.
        resume: go on with what stands in `out`, with more claims, data sets or seeds if wanted.
        force: replace what stands in `out`.
        jobs: models trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: is told the progress.
        planned: is told the plan before anything is run.

    Returns:
        The result, which stands in `out`/reproduction.json too, and the fleet's error where models could not be
        trained: their parts are left out.

    Raises:
        InputError: for bad input, or what stands in `out` without `resume` or `force`, or no data set that is here.
        ClusterLost: where a Dask cluster is there no more.
    """
    out = user_path("out", out)
    check_fleet(jobs, backend)
    again = {"resume": resume, "force": force, "may_differ": _MAY_DIFFER}
    going_on = goes_on(out, "a reproduction", ReproduceConfig.load, config, _is_complete(out), **again)
    if going_on:
        _check_not_fewer(config, ReproduceConfig.load(out / "config.json"))
    plan = plan_parts(config)
    if not plan.parts:
        missing = "; ".join(f"{name} is {why}" for name, why in plan.skipped.items())
        raise InputError(
            f"claims must be measurable on the data sets at scale {config.scale}, none is: "
            + (missing or "they have no part on these")
        )
    with files.new_directory("out", out):
        if force and not going_on:
            _clear(out)
        files.write_json(out / "config.json", config.to_json())
        files.remove_leftovers(out)
    planned(plan)
    works: dict[str, Work] = {}
    failed: dict[str, str] = {}
    for part in plan.parts:
        if part.kind != PROFILE:
            try:
                works[part.name] = part.begin(out)
            except InputError as error:
                failed[part.name] = str(error)
    around = {"log_dir": out / "logs", "jobs": jobs, "backend": backend, "observer": observer}
    ended = run_and_finish(works, finished=lambda name: summarise(config, plan, out, failed), **around)
    failed |= ended.failed
    for part in plan.parts:
        if part.kind == PROFILE and part.result(out) is None:
            try:
                make_profile(part.config, out / part.name)
            except (FleetFailed, InputError) as error:
                failed[part.name] = " ".join(str(error).split())
    return summarise(config, plan, out, failed), ended.error


def summarise(config: ReproduceConfig, plan: Plan, out: Path, failed: dict[str, str]) -> Reproduction:
    """Judge the claims by what stands in the parts' directories, and write reproduction.json.

    Args:
        config: of the reproduction.
        plan: its parts.
        out: its directory.
        failed: why parts have no result, by name.
    """
    results = [(part, part.result(out)) for part in plan.parts]
    found: Found = [(part, result) for part, result in results if result is not None]
    unmade = [(part, failed[part.name]) for part, result in results if result is None and part.name in failed]
    skipped = [f"{name}: {why}" for name, why in plan.skipped.items()]
    result = Reproduction(
        scale=config.scale,
        note=config.size.note,
        complete=all(result is not None for _, result in results),
        claims=tuple(judge_claim(claim, found, unmade, skipped) for claim in config.chosen),
        audits=audited(found),
        plan=tuple(part.to_json() | _state(part, result, failed) for part, result in results),
        skipped=plan.skipped,
        notes=plan.notes,
        rules=RULES,
        config=config.to_json(),
        versions=tuple({json.dumps(made): made for _, result in found if (made := result["versions"])}.values()),
    )
    files.write_json(out / "reproduction.json", result.to_json())
    return result


def _is_complete(out: Path) -> bool:
    try:
        return bool(files.read_json(out / "reproduction.json")["complete"])
    except (InputError, OSError, KeyError, TypeError):
        return False


def _check_not_fewer(config: ReproduceConfig, begun: ReproduceConfig) -> None:
    """Refuse fewer seeds than there were: which verdict stands must not be a matter of choice."""
    if len(config.seed_list) < len(begun.seed_list):
        raise InputError(
            f"seeds must be at least {len(begun.seed_list)}, with which the reproduction was begun, "
            f"received {len(config.seed_list)}"
        )


def _state(part: Part, result: dict | None, failed: dict[str, str]) -> dict:
    if result is not None:
        return {"state": "finished", "reason": ""}
    if part.name in failed:
        return {"state": "failed", "reason": failed[part.name]}
    return {"state": "not run", "reason": ""}


def _clear(out: Path) -> None:
    """Delete the parts' directories and the reproduction's own files, and nothing else."""
    clear(out, _FILES)
    for kind in KINDS:
        for path in out.glob(f"{kind}/*/*"):
            if (path / "config.json").exists() or (path / "profile.json").exists():
                shutil.rmtree(path)
        for path in (*out.glob(f"{kind}/*"), out / kind):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
