import json

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.config import TrainConfig
from kerasburst.training.fit import train
from kerasburst.training.team import Team, open_team, read_tf_config
from kerasburst.validation import InputError

TWO = {"worker": ["a:1", "b:2"]}


def config(cluster=TWO, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_workers_are_numbered_with_the_chief_first():
    assert read_tf_config(config(index=1)) == (["a:1", "b:2"], 1)
    with_chief = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    assert read_tf_config(config(with_chief, "chief")) == (["a:1", "b:2", "c:3"], 0)
    assert read_tf_config(config(with_chief, index=1)) == (["a:1", "b:2", "c:3"], 2)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "multi_worker needs TF_CONFIG in each worker's environment, such as"),
        ("{", "TF_CONFIG must be JSON like"),
        ("[]", "TF_CONFIG must be JSON like"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG must be JSON like"),
        (config(index=2), "the task of TF_CONFIG must be one of the cluster's"),
        (config(index=-1), "the task of TF_CONFIG must be"),
        (config(index=True), "the task of TF_CONFIG must be"),
        (config(kind="chief"), "the task of TF_CONFIG must be"),
        (config(kind=["worker"]), "the task of TF_CONFIG must be"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}), "must be of workers, and at most one chief"),
        (config({"worker": ["a:1"], "chief": ["b:1", "c:1"]}), "at most one chief"),
        (config({"worker": ["a:1", "b"]}), "addresses of the form host:port"),
        (config({"worker": ["a:1", 5]}), "addresses of the form host:port"),
        (config({"worker": ["a:1", "a:1"]}), "each address once"),
    ],
)
def test_a_tf_config_that_names_no_team_is_refused(text, complaint, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=complaint):
        read_tf_config(text)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=complaint):
        train(TrainConfig(dataset="iris"), tmp_path / "run", strategy="multi_worker")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("job", "index", "rank"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)], ids=["chief", "first", "second"]
)
def test_a_strategy_of_several_workers_is_a_team(monkeypatch, job, index, rank):
    class Pretended(tf.distribute.MirroredStrategy):
        cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"chief": ["a:1"], "worker": ["b:1", "c:1"]}), task_type=job, task_id=index
        )

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Pretended)
    team = open_team(Pretended(["CPU:0"]), lambda line: None)
    assert team.addresses == ("a:1", "b:1", "c:1") and team.rank == rank and team.chief == (rank == 0)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(InputError, match="strategy must be one of mirrored, multi_worker"):
        open_team("horovod", print)


def test_a_process_alone_agrees_with_itself():
    team = open_team(None, print)
    assert team.alone and team.chief and team.replicas == 1 and team.parts == range(0, 1)
    with team.agreement() as agreement:
        agreement.same = {"config": "x"}
    with pytest.raises(InputError, match="mine"), team.agreement():
        raise InputError("mine")
    assert team.from_chief(np.int64(3)) == 3


def test_the_workers_that_differ_are_named():
    class Pretended(Team):
        """Two workers; what the other one brings is given."""

        def __init__(self, others):
            super().__init__(addresses=("a:1", "b:2"))
            self.others = others

        def total(self, value):
            value = value.copy()
            value[1] = self.others(value[0])
            return value

    def run(others):
        with Pretended(others).agreement() as agreement:
            agreement.same = {"the config": "x", "dataset": "y"}
        return agreement

    assert not run(lambda mine: mine).nothing_left
    with pytest.raises(InputError, match=r"dataset must be the same on every worker, worker 1 \(b:2\) has another"):
        run(lambda mine: mine + [0, 0, 1, 0, 0])
    with pytest.raises(InputError, match=r"worker 1 \(b:2\) has refused its input"):
        run(lambda mine: mine + [2, 0, 0, 0, 0])


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker"])
def test_strategies_are_tensorflows(strategy, monkeypatch):
    monkeypatch.setattr("kerasburst.training.team.backend.name", "jax")
    with pytest.raises(InputError, match="strategy must be left out while Keras runs on jax: tf.distribute is Tensor"):
        open_team(strategy, print)
    assert open_team(None, print).alone
