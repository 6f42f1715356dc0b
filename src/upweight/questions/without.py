"""The model really refitted without some rows, one set of them or many side by side, each with its certificate.

Stands on attribution and adapters; influence asks.
"""

from collections.abc import Sequence
from typing import Any

from upweight.adapters import Adapted
from upweight.attribution import Attribution
from upweight.attribution.certifying import CertifiesEach
from upweight.display.words import among, count
from upweight.outcomes import Refit

__all__ = ["without"]

NAMED = 5  # row ids in a sentence


def without(
    adapted: Adapted, attribution: Attribution, sets: Sequence[Sequence[int]], ids: Sequence[Sequence[Any]]
) -> tuple[Refit, ...]:
    """One refit for each set of rows (positions), of which `ids` are the names."""
    states, converged = attribution.refitted(sets)
    if len(sets) > 1 and isinstance(attribution, CertifiesEach):
        proofs = attribution.certificates(sets, states)
    else:
        proofs = tuple(attribution.certificate(at, states[j]) for j, at in enumerate(sets))
    out = []
    for j, (rows, proof) in enumerate(zip(ids, proofs, strict=True)):
        lost = (
            "" if converged[j] else "no optimum was found: these rows alone held a class or a direction of the model; "
        )
        meaning = (
            f"{adapted.model_name} refitted without {count(len(rows), 'row')} "
            f"({among(rows[:NAMED])}{' …' if len(rows) > NAMED else ''}); {lost}{proof.sentence}; "
            f"{adapted.convention}. This does not prove what another choice of preprocessing or settings "
            "would give."
        )
        out.append(Refit(adapted.rebuild(states[j]), tuple(rows), proof, meaning, bool(converged[j])))
    return tuple(out)
