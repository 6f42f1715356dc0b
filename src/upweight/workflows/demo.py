"""The first minute: digits that scikit-learn brings along, a model of them, and a digit that it reads wrongly.

Stands on explain and table_model; `upweight demo` prints it. Source: UX.md 1.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from upweight.errors import FileError
from upweight.files import write_atomically
from upweight.tables.model_file import save_model
from upweight.workflows.asked import Asked, ask_rows
from upweight.workflows.explain import Progress, explain
from upweight.workflows.explanation import Explanation
from upweight.workflows.reading import says
from upweight.workflows.table_model import TableModel, open_table

__all__ = ["Demo", "demo", "digits", "write_digits"]

TARGET = "label"
HELD_OUT = 450
PENALTY = 0.001  # C, on pixels from 0 to 16: with a weaker one some rows bend the model too much for an A
CHECKED = 12


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo found, and where it put its files."""

    table: TableModel
    asked: Asked
    explanation: Explanation
    data: Path
    model: Path


def demo(out: str | os.PathLike[str], seed: int = 0, progress: Progress = lambda done: None) -> Demo:
    """Writes the data and the model, and explains the wrong held-out digit that was most nearly right.

    Raises: FileError where the folder cannot be written.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made a folder ({error.strerror}). Give another --out.") from error
    data, model = folder / "digits.csv", folder / "model.skops"
    write_digits(data, model, seed)
    progress(f"a model trained on {data}")
    table = open_table(data, TARGET, model=model, seed=seed)
    asked = ask_rows(table, [str(_nearly_right(table))])
    explanation = explain(
        table.influence,
        asked.x,
        asked.y,
        check_rows=CHECKED,
        held_out=(table.x(table.held_out), table.y(table.held_out)),
        rows=table.rows,
        queries=asked.rows,
        origins=asked.origins,
        target=TARGET,
        notes=(),
        seed=seed,
        progress=progress,
    )
    return Demo(table, asked, explanation, data, model)


def digits() -> pd.DataFrame:
    """1,797 rows: the label, and 64 pixels from 0 to 16 under the names pixel_R_C."""
    images, labels = load_digits(return_X_y=True)
    names = [f"pixel_{i // 8}_{i % 8}" for i in range(64)]
    frame = pd.DataFrame(images.astype(int), columns=names)
    frame.insert(0, TARGET, labels)
    return frame


def write_digits(data: Path, model: Path, seed: int) -> None:
    """The digits as CSV, and a logistic regression fitted to all but 450 of them, with its training rows beside it."""
    frame = digits()
    write_atomically(data, frame.to_csv(index=False))
    train = np.sort(np.random.default_rng(seed).permutation(len(frame))[HELD_OUT:])
    rows = frame.iloc[train]
    x = rows.drop(columns=TARGET).astype(float)
    fitted = LogisticRegression(C=PENALTY, solver="newton-cholesky", tol=1e-8).fit(x, rows[TARGET])
    save_model(fitted, model, rows=train, target=TARGET, data=data)


def _nearly_right(table: TableModel) -> int:
    """The held-out row, read wrongly, whose true label the model thought most likely."""
    x, truth = table.x(table.held_out), table.y(table.held_out).to_numpy()
    read, _ = says(table.influence, x)
    sure = table.model.predict_proba(x)[np.arange(len(truth)), np.searchsorted(table.model.classes_, truth)]
    wrong = [i for i in range(len(truth)) if read[i] != truth[i]]
    return int(table.held_out[max(wrong, key=lambda i: sure[i])])
