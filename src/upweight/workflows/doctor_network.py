"""A network, its loss and its data, looked at one after another: what is refused, and all of it at once.

Each check of the torch adapters is run by itself, in evaluation mode whatever mode the model is in, so that one fault
hides no other. Stands on torch_task, the adapters' checks and diagnosis; doctor stands on it.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from upweight.adapters.torch_checks import MODEL_CHECKS, refuse_mixing, refuse_training_mode
from upweight.adapters.torch_data import Rows, read_rows
from upweight.adapters.torch_head import Head, find_head, pass_over
from upweight.adapters.torch_loss import PROBABILITIES, RowLoss, read_loss
from upweight.adapters.torch_module import understood
from upweight.adapters.torch_params import choose, read_penalties, used
from upweight.adapters.torch_reading import FORMS, SEEN, Reading, refuse_nonfinite_outputs
from upweight.display.words import count
from upweight.errors import InputError
from upweight.influence import Influence
from upweight.workflows.diagnosis import Diagnosis, Findings
from upweight.workflows.doctor_answers import look_at_answers
from upweight.workflows.imported import own_faults
from upweight.workflows.torch_opened import read_asked
from upweight.workflows.torch_task import TorchTask

__all__ = ["diagnose_network"]

HARMLESS = ("the loader shuffles; its dataset", "the data was on", "all ")  # notes that ask for nothing


def diagnose_network(task: TorchTask, solver: str = "auto") -> Diagnosis:
    """Everything that can be said of it."""
    found = Findings(task.name, "network", lambda: own_faults(task.name))
    model = task.model
    fatal, *others = MODEL_CHECKS
    found.tried("model", lambda: fatal(model))
    if found.stopped:
        return found.diagnosis()
    for check in others:
        found.tried("model", lambda check=check: check(model))  # type: ignore[misc]
    found.tried("mode", lambda: refuse_training_mode(model))
    with _evaluating(model):
        found.tried("mode", lambda: refuse_training_mode(model))  # what mixes rows in evaluation too
        if not found.stopped:
            found.ok("mode", "evaluation: no dropout, no batch norm of its own batch")
        _look_at_device(found, model)
        parts = _parts(found, task)
        if parts is not None and not found.stopped:
            _look_at_whole(found, task, parts, solver)
    return found.diagnosis()


def _parts(found: Findings, task: TorchTask) -> Reading | None:
    """The data, the loss, what moves and its penalty: each that can be read."""
    model, places = task.model, next(task.model.parameters())
    dtype = places.dtype if places.dtype in (torch.float32, torch.float64) else torch.float32
    if task.normalization not in FORMS:
        found.problem("normalization", f"{task.normalization!r} is not known", "use 'mean' or 'sum'")
    rows = found.tried("data", lambda: read_rows(task.data, places.device, dtype))
    loss, head = None, None
    if rows is not None:
        found.sizes |= {"rows": rows.n}
        shapes = " and ".join(str(list(part.shape[1:])) for part in rows.inputs)
        found.ok("data", f"{count(rows.n, 'row')} of shape {shapes}; two passes agree")
        for note in rows.notes:
            (found.ok if note.startswith(HARMLESS) else found.warn)("data", note)
        loss, head = _run(found, task, rows)
    chosen = found.tried("params", lambda: _chosen(task, head, rows is not None))
    penalties: dict[str, float] | None = None
    if chosen:
        moving = chosen
        decayed = found.tried("penalty", lambda: read_penalties(model, moving, task.penalty))
        if decayed is not None:
            penalties = decayed[0]
            for note in decayed[1]:
                found.warn("penalty", note)
        if loss is not None and rows is not None:
            chosen = _used(found, task, loss, rows, chosen)
        _look_at_sizes(found, model, chosen or ())
    _look_at_train(found, task)
    if rows is None or loss is None or not chosen or penalties is None or found.stopped:
        return None
    kept = {name: penalties[name] for name in chosen}
    notes = (*rows.notes, *loss.notes)
    return Reading(model, rows, loss, chosen, kept, task.normalization, task.train, head, notes)


def _run(found: Findings, task: TorchTask, rows: Rows) -> tuple[RowLoss | None, Head | None]:
    """The model over all rows: its numbers, whether it mixes rows, its loss, its head."""
    model = task.model
    seen = found.tried("model", lambda: pass_over(model, rows.inputs))
    if seen is None:
        return None, None
    outputs = seen.outputs
    found.tried("rows", lambda: refuse_mixing(model, rows.inputs))
    finite = bool(torch.isfinite(outputs).all())
    found.tried("numbers", lambda: refuse_nonfinite_outputs(model, rows, outputs))
    loss = found.tried("loss", lambda: read_loss(task.loss, outputs, rows.targets, rows.ids)) if finite else None
    if not finite:
        found.tried("loss", lambda: _tried_on_finite(task.loss, outputs, rows))
    if loss is not None:
        classes = f", {len(loss.classes)} classes" if loss.classes else ""
        found.ok("loss", f"one number a row, its own alone{classes}")
        for note in loss.notes:
            (found.warn if note == PROBABILITIES else found.ok)("loss", note)
    return loss, found.tried("head", lambda: find_head(model, rows.inputs, seen))


def _tried_on_finite(loss: Any, outputs: Tensor, rows: Rows) -> None:
    """The loss on the rows whose outputs are numbers."""
    at = torch.isfinite(outputs).reshape(len(outputs), -1).all(dim=1)
    if bool(at.any()):
        ids = tuple(one for one, good in zip(rows.ids, at.tolist(), strict=True) if good)
        read_loss(loss, outputs[at], rows.targets[at], ids)


def _chosen(task: TorchTask, head: Head | None, ran: bool) -> tuple[str, ...]:
    if task.params == "head" and head is None and not ran:
        return ()  # the model was not run: nobody knows its head
    return choose(task.model, task.params, head.path if head else None, task.penalty)[0]


def _used(
    found: Findings, task: TorchTask, loss: RowLoss, rows: Rows, chosen: tuple[str, ...]
) -> tuple[str, ...] | None:
    few = tuple(part[:SEEN] for part in rows.inputs)
    named = not isinstance(task.params, str)
    got = found.tried("params", lambda: used(task.model, loss.call, few, rows.targets[:SEEN], chosen, named))
    if got is None:
        return None
    for note in got[1]:
        found.warn("params", note)
    return got[0]


def _look_at_sizes(found: Findings, model: nn.Module, chosen: tuple[str, ...]) -> None:
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    found.sizes["parameters"] = sum(sizes[name] for name in chosen)
    of = f"{count(found.sizes['parameters'], 'parameter')} move, of {sum(sizes.values()):,}"
    found.ok("params", of + (f"; {len(frozen)} of {len(sizes)} tensors take no gradient" if frozen else ""))


def _look_at_device(found: Findings, model: nn.Module) -> None:
    device = next(model.parameters()).device
    idle = device.type == "cpu" and torch.cuda.is_available()
    found.ok("device", f"{device}" + ("; a GPU stands idle: --device cuda" if idle else ""))


def _look_at_train(found: Findings, task: TorchTask) -> None:
    """Whether train can be called; whether it heeds what it is given is tried later."""
    if task.train is None:
        return
    if not callable(task.train):
        found.problem("train", f"train is {task.train!r:.60}, not a function", "give train(weights, seed) -> model")
        return
    try:
        inspect.signature(task.train).bind(None, 0)
    except TypeError as error:
        found.problem("train", f"train cannot be called with (weights, seed): {error}", "take both, by position")
    except ValueError:
        return  # written in C: it has no signature to read


def _look_at_whole(found: Findings, task: TorchTask, reading: Reading, solver: str) -> None:
    """Read together: queries, fit, curvature, memory, time."""
    queries = found.tried("queries", lambda: read_asked(task, reading))
    if queries is not None and queries[0] is not None:
        truths = "with" if queries[1] else "without"
        found.ok("queries", f"{count(queries[0].n, 'row')} {truths} their truths")
    influence = found.tried("model", lambda: Influence(understood(reading), solver, task.damping))
    if influence is None:
        return
    held = sum(part.nbytes for part in (*reading.rows.inputs, reading.rows.targets))
    try:
        with own_faults(task.name):
            look_at_answers(found, influence, float(held))
    except InputError as error:
        found.problem("answers", str(error))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and every layer back in its own afterwards."""
    modes = {name: layer.training for name, layer in model.named_modules()}
    model.eval()
    try:
        yield
    finally:
        for name, layer in model.named_modules():
            layer.training = modes[name]
