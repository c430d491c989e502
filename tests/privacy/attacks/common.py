"""What tests of attacks share."""

import numpy as np

from kerasburst.privacy.attacks import Answers, Evidence


def halves(rng, shadows, n):
    """Membership with each point IN half of the shadows."""
    return np.argsort(rng.random((shadows, n)), axis=0) < shadows // 2


def evidence(labels, target, shadows, membership):
    """Evidence without a population: dicts of `Answers`' fields, logits at least."""

    def answers(given):
        return Answers(**{"mem": None, "phi_trace": None, **given})

    return Evidence(
        labels=labels,
        target=answers(target),
        reference_labels=labels,
        shadows=tuple(map(answers, shadows)),
        membership=membership,
        population_labels=np.array([], int),
        population_target=None,
        population_shadows=(),
    )
