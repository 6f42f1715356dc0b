"""What was read and fitted, as the lines above an answer; what identifies it, as the lines under a report.

Stands on workflows; explain, check and demo stand on it.
"""

import platform
from importlib.metadata import version

from upweight.display.blocks import Facts
from upweight.display.words import count
from upweight.files import sha256_of
from upweight.workflows.quality import quality
from upweight.workflows.table_model import TableModel

__all__ = ["data_facts", "provenance"]


def data_facts(table: TableModel) -> list[tuple[str, str]]:
    """Rows and columns as they were understood, and the model with its worth."""
    rows = f"{count(len(table.frame), 'row')} · {len(table.train):,} train"
    rows += f", {len(table.held_out):,} held out" if len(table.held_out) else ""
    name = table.influence.adapted.model_name
    made = f"{name}, fitted here" if table.model_path is None else f"{name} from {table.model_path}"
    good = quality(table)
    facts = [("data", rows)]
    if table.apart:
        facts.append(("held out", table.apart))
    facts += [("columns", table.summary), ("model", ", ".join(part for part in (made, good) if part))]
    if table.id_column is None:
        facts.append(("rows", "data rows are counted from 0"))
    return facts


def provenance(table: TableModel, seed: int) -> Facts:
    """Fingerprint of the data, versions, seed."""
    parts = [f"{name} {version(name)}" for name in ("upweight", "scikit-learn", "numpy")]
    versions = ", ".join([*parts, f"Python {platform.python_version()}"])
    return Facts((("data", f"sha256 {sha256_of(table.path)[:16]}"), ("versions", versions), ("seed", str(seed))))
