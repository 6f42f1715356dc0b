"""The user's own training looked at: one run is timed, and where it is short its weights and its seed are tried.

Stands on removal.retraining and trial; doctor_curvature calls it.
"""

from upweight.removal.retraining import Retraining
from upweight.workflows.diagnosis import Findings
from upweight.workflows.effort import in_words
from upweight.workflows.explain import CHECKED
from upweight.workflows.network_effort import OWN
from upweight.workflows.trial import can_watch, within

__all__ = ["look_at_training"]

TRIAL = 10.0  # seconds that one run is given
VERDICT = 3  # runs that try its weights and its seed


def look_at_training(found: Findings, training: Retraining | None) -> None:
    """What a refit takes, and whether `train` heeds what it is given."""
    if training is None:
        said = "a refit of this network is a training run, and no train is given: estimates cannot be checked"
        found.warn("refits", said, "give train(weights, seed) -> model beside model, loss and data")
        return
    if not can_watch():
        found.warn("refits", "how long train takes was not tried: it could not be stopped here")
        return
    seconds = found.tried("train", lambda: [within(TRIAL, lambda: training.states(training.network.weights[None], 0))])
    if seconds is None:
        return
    once = seconds[0]
    runs = CHECKED + OWN
    if once is None:
        least = in_words(runs * TRIAL)
        said = f"one run takes more than {in_words(TRIAL)}, so a check of {CHECKED} rows takes more than {least}"
        found.warn("refits", said, f"check fewer rows: --rows 6; or train {CHECKED} models at once: TrainingRun")
        return
    found.seconds["train"] = once
    found.seconds["check"] = runs * once
    if VERDICT * once > TRIAL:
        found.ok("refits", f"one run takes {in_words(once)}; whether it heeds its weights and its seed was not tried")
        return
    verdict = found.tried("train", lambda: training.verdict)
    if verdict is None:
        return
    good = verdict.reproduces and verdict.deterministic and verdict.heeds_seed is not False
    for sentence in verdict.said:
        (found.ok if good else found.warn)("train", sentence)
