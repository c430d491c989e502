"""Many trainings for one question: the skeleton of a study, its directory, and the fleet that runs its tasks."""

from kerasburst.study.fleet import check_fleet, run_fleet
from kerasburst.study.parts import Collection, Done, Ended, Part, run_parts
from kerasburst.study.study import Stage, Study, stored_result
from kerasburst.study.task import ClusterLost, FleetFailed, FleetObserver, Outcome, Task

__all__ = [
    "ClusterLost",
    "Collection",
    "Done",
    "Ended",
    "FleetFailed",
    "FleetObserver",
    "Outcome",
    "Part",
    "Stage",
    "Study",
    "Task",
    "check_fleet",
    "run_fleet",
    "run_parts",
    "stored_result",
]
