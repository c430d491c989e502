"""Many trainings side by side, each in a process of its own: local, on Dask or on Ray, resumable."""

from kerasburst.fleet.directory import goes_on
from kerasburst.fleet.failure import ClusterLost, FleetFailed
from kerasburst.fleet.observer import FleetObserver
from kerasburst.fleet.run import check_fleet, run_fleet
from kerasburst.fleet.task import Task
from kerasburst.fleet.work import Work, run_works

__all__ = [
    "ClusterLost",
    "FleetFailed",
    "FleetObserver",
    "Task",
    "Work",
    "check_fleet",
    "goes_on",
    "run_fleet",
    "run_works",
]
