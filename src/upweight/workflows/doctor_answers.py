"""What a model that was read says of its answers: solver, memory, fit, leverages, grade, time.

Stands on influence and effort; the doctors of tables and of networks stand on it.
"""

from upweight.influence import Influence
from upweight.linear_head import LinearHead
from upweight.solvers.auto import choose
from upweight.validation.grade import NEAR_SINGULAR
from upweight.workflows.diagnosis import Findings
from upweight.workflows.doctor_fit import look_at_fit, look_at_rows
from upweight.workflows.effort import LONG, in_words, seconds_to_explain
from upweight.workflows.explain import CHECKED

__all__ = ["look_at_answers"]

PACE = 2e9  # flops a second on one slow core


def look_at_answers(found: Findings, influence: Influence, held: float) -> None:
    """`held`: bytes of the data."""
    objective = influence.adapted.objective
    if not isinstance(objective, LinearHead):
        from upweight.workflows.doctor_curvature import look_at_network

        look_at_network(found, influence, held)
        return
    head = objective
    look_at_fit(found, influence)
    choice = choose(head)
    found.sizes["parameters"] = head.params.size
    found.solver = type(influence.attribution.solver).__name__.lower()
    found.ok("solver", f"{type(influence.attribution.solver).__name__}, {influence.attribution.reason}")
    found.room(choice.bytes + 3.0 * held)
    if choice.flops / PACE > LONG:
        said = f"making the curvature ready takes about {in_words(choice.flops / PACE)}: leverages were not looked at"
        found.warn("time", said)
        found.seconds["ready"] = choice.flops / PACE
        return
    condition = influence.attribution.prepared.reciprocal_condition
    if condition is not None and condition < NEAR_SINGULAR:
        said = f"the curvature is nearly singular (reciprocal condition {condition:.0e})"
        found.warn("solver", said, "drop collinear columns, scale the columns, or add a penalty")
    look_at_rows(found, influence)
    flips = influence.adapted.kind == "classification"
    found.seconds["explain"] = seconds_to_explain(influence, 1, CHECKED, flips)
    found.seconds["check"] = seconds_to_explain(influence, 0, CHECKED, flips=False)
