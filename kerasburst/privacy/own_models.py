"""Audit models of a user's own training function, spiking or not, with the controls and the page of any audit."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import keras
import numpy as np

from kerasburst import files, records
from kerasburst.models.saving import weights_hash
from kerasburst.privacy.arms import folder_name
from kerasburst.privacy.audit import AuditStudy
from kerasburst.privacy.config import TEST_EXAMPLES, check_canaries
from kerasburst.privacy.lessons import lesson, place, roles, splits_path
from kerasburst.privacy.result import AuditResult
from kerasburst.privacy.shadow import paths
from kerasburst.privacy.signals import OUTPUTS, collect_signals, store, stored_key
from kerasburst.privacy.splits import AuditSplits, check_shadows, draw_audit_splits
from kerasburst.privacy.statistics import phi
from kerasburst.registry import STUDIES
from kerasburst.seeding import derive_seed
from kerasburst.study import FleetObserver, Task
from kerasburst.validation import MOST, InputError, check_bool, check_choice, check_int, fail

Train = Callable[..., Any]
_TEST_SHARE = 5  # one of so many examples tests, where no test part is given


def audit_models(
    train: Train | Mapping[str, Train],
    data: tuple[np.ndarray, np.ndarray],
    out: str | Path,
    *,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    shadows: int = 8,
    queries: tuple[int, ...] = (1,),
    members: int | None = None,
    population: int | None = None,
    canaries: int | None = None,
    flips: bool = False,
    seed: int = 0,
    outputs: str = "logits",
    batch_size: int = 128,
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    observer: FleetObserver | None = None,
) -> AuditResult:
    """Audit your own training function for membership inference.

    It is called once for each of shadows + 1 models, each in a process of its own, with a random half of the audited
    examples. Every model is then a target, with the others as references. `out` gets audit.json, scores.npz and
    audit.html, with controls: canaries (mislabelled examples that shadows train on), scores against other targets'
    training sets, a blind baseline, and that models and parts differ.

    Args:
        train: `train(x, y, seed)` returns a trained classifier: a Keras model, or a function of arrays. Or it yields
            one classifier after the other (the same model, trained further): each is a snapshot, counted as an epoch,
            so that the page shows AUC as a curve over accuracy. A mapping of names to such functions compares them as
            arms on the same examples. Functions are pickled by value, so they may be defined in a notebook.
        data: inputs `(n, ...)` and labels 0 to C - 1 `(n,)`, the pool that everything is drawn from.
        out: the audit's directory.
        test: inputs and labels for the accuracy; None to set a fifth of the pool aside.
        shadows: N, even, at least 4.
        queries: K, numbers of answers to each example; several for classifiers that draw, such as those with a random
            encoder inside.
        members: examples that each model trains on, at least 4; None for a third of the pool, at most 1,000.
        population: examples that no model trains on; None for a fifth of the pool, at most 1,000.
        canaries: examples that shadows train on with a wrong label, even; None for a twentieth of the members, 8 to 64.
        flips: choose the first model's members by independent coin flips; epsilon is then also bounded from one run.
        seed: of all draws; each model gets a seed of its own from it.
        outputs: "logits", or "probabilities" for classifiers that end with a softmax.
        batch_size: examples in one call of a classifier.
        resume: train only the models that are missing in `out`. A function that has changed since is not noticed.
        force: replace an audit in `out`.
        jobs: models trained at the same time; None for the number of cores.
        observer: receives the progress.

    Returns:
        The result. Check `valid` first; `curves` and `matched` have the comparison at equal accuracy.

    Raises:
        InputError: for bad input, answers that are no logits, or an audit in `out` without `resume` or `force`.
        FleetFailed: if a training function failed; `out`/logs has its output.

    Example:
        >>> def train(x, y, seed):
        ...     keras.utils.set_random_seed(seed)
        ...     model = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
        ...     model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        ...     for _ in range(4):
        ...         model.fit(x, y, epochs=10, verbose=0)
        ...         yield model
        >>> result = audit_models(train, (x, y), "runs/mine")  # doctest: +SKIP
        >>> result.curves["train"][-1].auc["strongest"]  # doctest: +SKIP
        0.64
    """
    arms = dict(train) if isinstance(train, Mapping) else {getattr(train, "__name__", "model"): train}
    for name, function in arms.items():
        if not isinstance(name, str) or not re.search(r"\w", name) or not callable(function):
            raise fail("train", "a function, or functions by name", {name: function})
    config = ModelsConfig(
        arms=tuple(arms),
        shadows=shadows,
        queries=queries,
        members=members,
        population=population,
        canaries=canaries,
        flips=flips,
        seed=seed,
        outputs=outputs,
        batch_size=batch_size,
    )
    study = ModelsStudy(config, out, arms, _OwnData.of(data, test, config.seed))
    result = study.run(resume=resume, force=force, jobs=jobs, observer=observer)
    STUDIES["audit"].page(out)
    return result


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """Everything but functions and data that determines an audit of one's own models; see `audit_models`."""

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "an audit of own models"
    protocol: ClassVar[str] = "audit"
    match: ClassVar[str] = "accuracy"
    tf_privacy: ClassVar[bool] = False

    arms: tuple[str, ...]
    targets: int = 1
    shadows: int = 8
    queries: tuple[int, ...] = (1,)
    members: int | None = None
    population: int | None = None
    canaries: int | None = None
    flips: bool = False
    seed: int = 0
    outputs: str = "logits"
    batch_size: int = 128

    def __post_init__(self):
        """Check every value that needs no data."""
        folders = [folder_name(arm) for arm in self.arms]
        if not folders or len(set(folders)) < len(folders):
            raise fail("train", "functions by names of their own", ", ".join(self.arms) or "none")
        if check_shadows(self.shadows) < 4:
            raise fail("shadows", "at least 4", self.shadows)
        if not isinstance(self.queries, tuple | list) or not self.queries:
            raise fail("queries", "one or more numbers", self.queries)
        queries = tuple(sorted({check_int("queries", k, low=1, high=MOST) for k in self.queries}))
        object.__setattr__(self, "queries", queries)
        check_canaries(self.canaries)
        check_bool("flips", self.flips)
        check_int("seed", self.seed, low=0)
        check_choice("outputs", self.outputs, OUTPUTS)
        check_int("batch_size", self.batch_size, low=1)

    @property
    def compared(self) -> dict[str, SimpleNamespace]:
        """All arms by name, with their folders."""
        return {name: SimpleNamespace(folder=folder_name(name)) for name in self.arms}


@dataclasses.dataclass(frozen=True, eq=False)
class _OwnData:
    """A user's arrays, the test part last: what an audit needs of a data set."""

    x: np.ndarray
    y: np.ndarray
    test: np.ndarray
    name: str = "own data"
    note: str = ""

    @classmethod
    def of(cls, data, test, seed: int) -> _OwnData:
        """Check arrays, and join them."""
        x, y = _checked("data", data)
        if test is None:
            order = np.random.default_rng(derive_seed(seed, "audit", "test")).permutation(len(x))
            return cls(x, y, np.sort(order[: len(x) // _TEST_SHARE]))
        more, labels = _checked("test", test)
        if more.shape[1:] != x.shape[1:]:
            raise fail("test", f"inputs of shape (n, {', '.join(map(str, x.shape[1:]))})", f"shape {more.shape}")
        if labels.max() > y.max():
            raise fail("labels of test", f"from 0 to {y.max()}, as those of data", int(labels.max()))
        return cls(np.concatenate([x, more]), np.concatenate([y, labels]), len(x) + np.arange(len(more)))

    @property
    def num_classes(self) -> int:
        return int(self.y.max()) + 1

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for array in (self.x, self.y, self.test):
            digest.update(f"|{array.dtype.str} {array.shape}|".encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def _checked(name: str, given) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise fail(name, "inputs and labels", given)
    x, y = np.asarray(given[0]), np.asarray(given[1])
    if x.ndim < 2 or x.dtype.kind not in "biuf" or y.shape != x.shape[:1] or len(x) == 0:
        raise fail(name, "inputs (n, ...) and labels (n,)", f"{x.dtype} of shape {x.shape} and {y.shape}")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        received = f"{y.dtype}, {y.min()} to {y.max()}" if y.dtype.kind in "biuf" else y.dtype
        raise fail(f"labels of {name}", "integers from 0", received)
    if name == "data" and y.min() == y.max():
        raise fail("labels of data", "of two classes or more", f"{y[0]} alone")
    return x, y.astype(np.int64)


class ModelsStudy(AuditStudy):
    """An audit of one's own models as a study.

    Args:
        config: of the audit.
        out: its directory.
        arms: training functions by name.
        data: arrays.
    """

    config_class = ModelsConfig
    own_names = (*AuditStudy.own_names, "data.npz", "train.pkl")
    may_differ = ()

    def guarantees(self):
        """Return none: what a training function guarantees is not known here."""
        return {}

    def __init__(self, config: ModelsConfig, out: str | Path, arms: Mapping[str, Train], data: _OwnData):
        super().__init__(config, out)
        self.functions, self.data = dict(arms), data

    def load(self):
        """Return the data."""
        return {"dataset": self.data}

    def prepare(self, sources):
        """Draw the splits, or read the existing ones."""
        config, path = self.config, splits_path(self.out, 0)
        if self.resumed and os.path.lexists(path):
            self.pools = (AuditSplits.load(path),)
        else:
            pool = np.setdiff1d(np.arange(len(self.data.y)), self.data.test)
            sizes = {name: getattr(config, name) for name in ("shadows", "members", "population", "canaries", "flips")}
            self.pools = (draw_audit_splits(self.data.x, pool, self.data.test, seed=config.seed, **sizes),)
        return {"splits": self._of_splits()}

    def write_inputs(self):
        """Write splits, data and functions, which each model's process reads."""
        import cloudpickle

        super().write_inputs()
        with files.replacing(self.out / "data.npz") as temporary:
            np.savez(temporary, x=self.data.x, y=self.data.y)
        with files.replacing(self.out / "train.pkl") as temporary:
            Path(temporary).write_bytes(cloudpickle.dumps(self.functions))

    def tasks(self):
        """Return a task for each model, targets first."""
        found = []
        for role in [role for role in roles(self.pools) if place(role)[1] in ("target", "shadow")]:
            for name, arm in self.config.compared.items():
                arguments = {"folder": str(self.out), "arm": name, "role": role}
                found.append(Task(f"{arm.folder}/{role}", "kerasburst.privacy.own_models:train_and_ask", arguments))
        return tuple(found)

    def is_done(self, task):
        """Return whether a model's answers exist."""
        arm, role = task.arguments["arm"], task.arguments["role"]
        _, record, signals, snapshots = paths(self.out / folder_name(arm), role)
        try:
            key = _key(self.config, role, files.read_json(record))
        except (InputError, KeyError, TypeError):
            return False
        return stored_key(snapshots) == key and stored_key(signals) == key


def train_and_ask(folder: str, arm: str, role: str) -> None:
    """Train one model and store its answers at every snapshot."""
    import cloudpickle

    out = Path(folder)
    config, splits = records.load(ModelsConfig, out / "config.json"), AuditSplits.load(splits_path(out, 0))
    with np.load(out / "data.npz", allow_pickle=False) as stored:
        x, y = stored["x"], stored["y"]
    train = cloudpickle.loads((out / "train.pkl").read_bytes())[arm]  # of the call that runs this task
    what = lesson(role, (splits,), y, int(y.max()) + 1, config.seed)
    labels, seed = what.y[what.asked], derive_seed(config.seed, "audit", "model", role) % 2**31
    queries, tested = max(config.queries), splits.test[:TEST_EXAMPLES]
    ask = functools.partial(collect_signals, seed=seed, batch_size=config.batch_size, outputs=config.outputs)
    accuracies, logits, weights = [], [], ""
    for model in _models(train, x[what.train], what.y[what.train], seed):
        signals = ask(model, x[what.asked], queries=queries)
        logits.append(signals.logits)
        accuracies.append(_accuracy(ask(model, x[tested]).logits, y[tested]))
        fitted = _accuracy(ask(model, x[what.train[:TEST_EXAMPLES]]).logits, what.y[what.train[:TEST_EXAMPLES]])
        own = isinstance(model, keras.layers.Layer)
        weights = weights_hash(model) if own else hashlib.sha256(signals.logits.tobytes()).hexdigest()
    if not logits:
        raise InputError(f"train must return or yield a classifier, {arm} yields none")
    record = {
        "role": role,
        "asked": [int(i) for i in what.asked],
        "weights": weights,
        "train_examples": len(what.train),
        "train_accuracy": fitted,
        "test_accuracy": accuracies[-1],
        "test_examples": len(tested),
        "epochs": len(logits),
        "seed": seed,
        "firing_rates": {},
    }
    _, record_path, signals_path, snapshots_path = paths(out / folder_name(arm), role)
    for path in (record_path, signals_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    key = _key(config, role, record)
    more = {} if signals.trace is None else {"phi_trace": phi(signals.trace, labels).astype(np.float32)}
    mem = signals.logits if signals.trace is None else signals.trace[:, :, -1]
    snapshots = {"logits": np.stack(logits), "test_accuracies": np.array(accuracies)}
    files.write_json(record_path, record)
    store(snapshots_path, key, {"epochs": np.arange(1, len(logits) + 1), **snapshots})
    store(signals_path, key, {"asked": what.asked, "labels": labels, "logits": signals.logits, "mem": mem, **more})


def _models(train: Train, x: np.ndarray, y: np.ndarray, seed: int) -> Iterator[Any]:
    found = train(x, y, seed)
    if inspect.isgenerator(found):
        yield from found
    else:
        yield found


def _accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((logits.argmax(-1) == labels[:, None]).mean())


def _key(config: ModelsConfig, role: str, record: dict) -> str:
    key = {
        "role": role,
        "weights": record["weights"],
        "asked": record["asked"],
        "queries": max(config.queries),
        "seed": config.seed,
        "outputs": config.outputs,
    }
    return json.dumps(key, sort_keys=True)
