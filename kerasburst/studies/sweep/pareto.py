"""The Pareto front of accuracy against AUC."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float] | None]) -> list[int]:
    """Give the points that no other beats: none is at least as accurate and leaks no more, and better in one of them.

    Args:
        points: (accuracy, AUC) each, higher and lower being better; None for a point without both.

    Returns:
        Indices, in ascending order; equal points are on the front together.

    Example:
        >>> pareto_front([(0.9, 0.6), (0.8, 0.5), (0.8, 0.6), None])
        [0, 1]
    """
    known = [(i, point) for i, point in enumerate(points) if point is not None]

    def beaten(accuracy: float, auc: float) -> bool:
        return any((a >= accuracy and b <= auc) and (a > accuracy or b < auc) for _, (a, b) in known)

    return [i for i, point in known if not beaten(*point)]
