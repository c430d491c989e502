"""`Study`: the skeleton of anything that trains many models for one question.

    config -> tasks -> results -> page

A study owns a directory. `config.json` holds the question, `plan.json` what it means for the data at hand; the tasks
write their results into folders, and the study's own JSON is written last. A study that was killed can be resumed: what
is done stays done.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from kerasburst import files, records
from kerasburst.config import same_config
from kerasburst.process import SHARED_GPU
from kerasburst.study.fleet import check_fleet, run_fleet
from kerasburst.study.task import FleetObserver, Task
from kerasburst.validation import InputError, user_path

Sources = Mapping[str, Any]  # data sets by the config's name for them, each with `name` and `fingerprint`


@dataclasses.dataclass(frozen=True)
class Stage:
    """Tasks that may run side by side.

    Args:
        tasks: with names that differ.
        jobs: how many at once; None for the caller's choice.
    """

    tasks: Sequence[Task]
    jobs: int | None = None


class Study(ABC):
    """A question that takes many trainings, and the directory of its answer; a subclass defines the question.

    Args:
        config: an instance of `config_class`.
        out: the directory.

    Attributes:
        config_class: a frozen dataclass, as config.json holds it, with a `FORMAT` and the study in words as `WHAT`.
        result_name: the file that is written last.
        own_names: names of all files and folders that the study writes into `out` itself.
        own_folders: pattern of what is in a folder of its results, and in no other folder; empty for none.
        may_differ: fields of the config that may change when the study is resumed.
    """

    config_class: ClassVar[Any]
    result_name: ClassVar[str]
    own_names: ClassVar[tuple[str, ...]]
    own_folders: ClassVar[str] = "seed-*"
    may_differ: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, out: str | Path):
        self.config, self.out = config, user_path("out", out)
        self.resumed = False

    # What a subclass defines -----------------------------------------------------------------------

    @abstractmethod
    def load(self) -> Sources:
        """Load the data sets; nothing keeps them after `prepare` or `conclude`."""

    @abstractmethod
    def prepare(self, sources: Sources) -> dict:
        """Check everything that can be refused, and return what plan.json holds beside the data's fingerprints.

        Nothing has been written yet. `self.resumed` tells whether an earlier run's files are there.
        """

    def write_inputs(self) -> None:  # noqa: B027
        """Write what else the tasks read, such as splits; called between config.json and plan.json."""

    @abstractmethod
    def tasks(self) -> Sequence[Task]:
        """Return the tasks of the first stage; they read their inputs from the directory."""

    def stages(self) -> Iterator[Stage]:
        """Yield the stages; each is asked for when the one before is done."""
        yield Stage(self.tasks())

    @abstractmethod
    def is_done(self, task: Task) -> bool:
        """Return whether a task's result is there."""

    @abstractmethod
    def conclude(self, sources: Sources) -> Any:
        """Read what the tasks wrote and return the study's result, a dataclass."""

    # What every study does ------------------------------------------------------------------------

    @property
    def what(self) -> str:
        """The study in words, with its article: "an audit"."""
        return self.config_class.WHAT

    @property
    def result_path(self) -> Path:
        """Path of the result's JSON."""
        return self.out / self.result_name

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do in the directory."""
        return self.result_path.exists()

    def begin(self, *, resume: bool = False, force: bool = False) -> None:
        """Check everything and write the directory; the tasks can run then.

        Args:
            resume: go on with a study in `out`; begin where there is none.
            force: replace a study in `out`.

        Raises:
            InputError: for whatever is wrong, or a study in `out` without `resume` or `force`; nothing is written then.
        """
        for name, value in SHARED_GPU.items():
            os.environ.setdefault(name, value)  # before this process uses a GPU, of which its tasks need the memory
        self.resumed = _resumes(self, resume=resume, force=force)
        sources = self.load()
        if self.resumed:
            self._check_same(sources)
        plan = {"data": {name: source.fingerprint for name, source in sources.items()}, **self.prepare(sources)}
        with files.new_directory("out", self.out):
            if force:
                _clear(self.out, self.own_names, self.own_folders)
            files.write_json(self.out / "config.json", records.to_json(self.config))
            files.remove_leftovers(self.out)
            self.write_inputs()
            if any(plan.values()):
                files.write_json(self.out / "plan.json", plan)

    def finish(self) -> Any:
        """Conclude, write the result's JSON, and return the result.

        Raises:
            InputError: where the data is no longer what the study was begun with, or a result is refused.
        """
        sources = self.load()
        self._check_same(sources)
        result = self.conclude(sources)
        files.write_json(self.result_path, records.to_json(result))
        return result

    def run(
        self,
        *,
        resume: bool = False,
        force: bool = False,
        jobs: int | None = None,
        backend: str = "loky",
        observer: FleetObserver | None = None,
    ) -> Any:
        """Begin, run all tasks on a fleet, and finish.

        Args:
            resume: as for `begin`.
            force: as for `begin`.
            jobs: how many tasks at once; None for the number of cores.
            backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
            observer: receives the progress, of one stage after the other.

        Returns:
            What `finish` returns.

        Raises:
            InputError: for bad input.
            FleetFailed: where a task failed.
            ClusterLost: where a Dask cluster is gone.
        """
        check_fleet(jobs, backend)
        self.begin(resume=resume, force=force)
        for stage in self.stages():
            run_fleet(
                stage.tasks,
                is_done=self.is_done,
                log_dir=self.out / "logs",
                jobs=stage.jobs or jobs,
                backend=backend,
                observer=observer,
            )
        return self.finish()

    def _check_same(self, sources: Sources) -> None:
        """Check that the data is what the study was begun with."""
        begun = self._begun_with()
        for name, source in sources.items():
            if name in begun and begun[name] != source.fingerprint:
                raise InputError(
                    f"{name} must be the data that the {self.what.split()[1]} in {self.out} was begun with, "
                    f"{source.name} has changed"
                )

    def _begun_with(self) -> dict[str, str]:
        """Return the fingerprints in plan.json; version 0.1 wrote one as text, or in data.json."""
        for path, key in ((self.out / "plan.json", "data"), (self.out / "data.json", "fingerprint")):
            if not os.path.lexists(path):
                continue
            plan = files.read_json(path)
            data = plan.get(key) if isinstance(plan, dict) else None
            data = {"dataset": data} if isinstance(data, str) else data
            if not isinstance(data, dict) or not all(isinstance(each, str) for each in data.values()):
                raise InputError(f"{path} must be {self.what}'s plan, it is not: --force begins anew")
            return data
        return {}


def stored_result(path: Path, config: Any, data: Sequence[str]) -> dict | None:
    """Read a study's result, whether or not its models are still there.

    Args:
        path: of its JSON, which has `config` and `data`.
        config: what it must be of; the data may lie elsewhere.
        data: SHA-256 of each data set.

    Returns:
        The result's JSON values; None where there is none, a damaged one, or one of another config or other data.
    """
    try:
        result = files.read_json(path)
        theirs = result["data"]
        parts = [theirs] if "fingerprint" in theirs else theirs.values()
        found = sorted(part["fingerprint"] for part in parts)
        same = found == sorted(data) and same_config(
            records.from_json(type(config), result["config"], str(path)), config
        )
    except (InputError, KeyError, TypeError, AttributeError):
        return None
    return result if same else None


def _resumes(study: Study, *, resume: bool, force: bool) -> bool:
    """Return whether to resume the study in the directory; it must be free, or hold a study to resume or replace."""
    out, what = study.out, study.what
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"out must be a directory, {out} is a file")
    if not (out / "config.json").exists():
        if any(not files.is_leftover(path) for path in out.iterdir()):
            raise InputError(f"out must be new, empty or {what}'s directory; {out} holds other files")
        return False
    begun = records.load(study.config_class, out / "config.json")
    if force:
        return False
    if not resume:
        state = "a finished" if study.finished else "an unfinished"
        raise InputError(
            f"out must be a new directory, {out} holds {state} {what.split()[1]}: --resume goes on with it, "
            "--force replaces it (in Python resume=True, force=True)"
        )
    names = [f.name for f in dataclasses.fields(study.config) if f.name not in study.may_differ]
    differ = [name for name in names if not same_config(getattr(begun, name), getattr(study.config, name))]
    if study.finished and (contradicts := _contradictions(study, begun, names)):
        raise InputError(
            f"{out / 'config.json'} must be the config in {study.result_name}, {', '.join(contradicts)} differs: "
            "--force begins anew"
        )
    if differ:
        raise InputError(f"{what} goes on with the config it was begun with, {', '.join(differ)} differs from {out}")
    return True


def _contradictions(study: Study, begun: Any, names: Sequence[str]) -> list[str]:
    """Return the fields in which a directory's config is not the one in its result; none where that is damaged."""
    try:
        stored = files.read_json(study.result_path)["config"]
        of_result = records.from_json(type(study.config), stored, str(study.result_path))
    except (InputError, KeyError, TypeError):  # the result is written anew
        return []
    return [name for name in names if not same_config(getattr(of_result, name), getattr(begun, name))]


def _clear(out: Path, own_names: tuple[str, ...], own_folders: str) -> None:
    """Delete what a study has written into `out`, and nothing else."""
    for path in out.iterdir():
        own = path.name in (*own_names, "logs") or files.is_leftover(path)
        if path.is_dir() and (own or (own_folders and any(path.glob(own_folders)))):
            shutil.rmtree(path)
        elif own:
            path.unlink()
