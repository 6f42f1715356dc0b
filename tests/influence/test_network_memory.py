"""Asking a network keeps nothing and changes nothing: memory flat, no graph, the module as it was."""

import gc
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.influence.network_cases import CASES, asked, trained
from upweight import Influence

CASE = CASES[0]


def tensors() -> list[torch.Tensor]:
    """All that are alive."""
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]


def ask(influence: Influence, queries: int) -> None:
    """So many, ten a call."""
    x, y = CASE.data[0], CASE.data[1]
    for call in range(queries // 10):
        at = slice(call % 10, call % 10 + 10)
        influence.scores(x[at], y[at], removal="leverage" if call % 2 else "first_order")


def memory_is_flat_over_a_thousand_queries() -> None:
    """Not a tensor more after 1,000 queries than after 20, and less than 8 MB of resident memory."""
    influence = asked(CASE, trained(CASE, "settled"))
    ask(influence, 20)
    before, peak = len(tensors()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ask(influence, 1000)
    assert len(tensors()) <= before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 8 * 1024  # KiB on Linux


def no_graph_is_kept_and_the_module_is_as_it_was() -> None:
    """Parameters, gradients, mode, what requires a gradient, and torch's random state."""
    model = trained(CASE, "settled")
    model.train()  # no layer here acts otherwise
    was = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = {id(value) for value in model.parameters()}
    known = {id(tensor) for tensor in tensors()}
    state = torch.get_rng_state()
    influence = asked(CASE, model)
    x, y = CASE.data[2], CASE.data[3]
    answers: list[Any] = [
        influence.scores(x, y),
        influence.scores(x, y, removal="first_order"),
        influence.self_influence(),
        influence.group([1, 2], x, y).refit(),
        influence.relabel(x, y),
        influence.features(x, y, [1]),
        influence.without([3]),
        influence.check(x, y, rows=2),
    ]
    made = [tensor for tensor in tensors() if id(tensor) not in known | parameters]
    rebuilt = {id(value) for value in answers[6].model.parameters()}
    assert not [tensor.shape for tensor in made if tensor.grad_fn is not None]
    assert not [tensor.shape for tensor in made if tensor.requires_grad and id(tensor) not in rebuilt]
    assert model.training
    model.eval()
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.named_parameters():
        assert value.grad is None
        assert value.requires_grad
        assert torch.equal(value, was[name])
    assert answers[0].values is not None


@pytest.mark.parametrize("what", [memory_is_flat_over_a_thousand_queries, no_graph_is_kept_and_the_module_is_as_it_was])
def test_in_a_process_of_its_own(what: Any) -> None:
    """As users run it: the shape checks of the tests hold on to what they have checked."""
    code = f"from tests.influence.test_network_memory import {what.__name__} as run; run()"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
