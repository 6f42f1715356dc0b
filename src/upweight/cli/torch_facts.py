"""What the function gave, as the lines above an answer; what identifies it, as the lines under a report.

Stands on workflows; the torch commands stand on it.
"""

import hashlib
import platform
from importlib.metadata import version

import numpy as np

from upweight.display.blocks import Facts
from upweight.display.words import count, percent
from upweight.workflows.reading import says
from upweight.workflows.torch_opened import Opened, x_of, y_of

__all__ = ["network_facts", "network_provenance"]


def network_facts(opened: Opened) -> list[tuple[str, str]]:
    """Rows, queries and the model with its worth."""
    rows = opened.rows
    shapes = " and ".join(str(list(part.shape[1:])) for part in rows.inputs)
    facts = [("data", f"{count(rows.n, 'training row')} of shape {shapes}")]
    if opened.queries is not None:
        facts.append(("queries", f"{count(opened.queries.n, 'row')} that the function gives{_quality(opened)}"))
    model = opened.reading.model
    every = sum(value.numel() for value in model.parameters())
    moves = opened.influence.attribution.size
    dtype, device = opened.rows.inputs[0].dtype, rows.targets.device
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), dtype)
    moved = "" if moves == every else f", {moves:,} of them chosen"
    said = (
        f"{type(model).__name__}, {count(every, 'parameter')}{moved}, {str(dtype).removeprefix('torch.')} on {device}"
    )
    facts += [("model", said), ("rows", "are named by the data's ids, else counted from 0")]
    return facts


def network_provenance(opened: Opened, seed: int) -> Facts:
    """Fingerprint of the model's state, versions, seed."""
    digest = hashlib.sha256()
    for name, value in opened.task.model.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().double().numpy()).tobytes())
    parts = [f"{name} {version(name)}" for name in ("upweight", "torch", "numpy")]
    versions = ", ".join([*parts, f"Python {platform.python_version()}"])
    return Facts((("model", f"sha256 {digest.hexdigest()[:16]}"), ("versions", versions), ("seed", str(seed))))


def _quality(opened: Opened) -> str:
    if not opened.truths or opened.queries is None or opened.influence.adapted.kind != "classification":
        return ""
    read, _ = says(opened.influence, x_of(opened.queries))
    right = np.mean([a == b for a, b in zip(read, y_of(opened.queries).tolist(), strict=True)])
    return f", right on {percent(float(right), decimals=1)}"
