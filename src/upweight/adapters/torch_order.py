"""Which rows a DataLoader trains on, and how often: its sampler read, so that rows have one fixed order.

Stands on torch; torch_data reads rows by it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from upweight.display.words import count
from upweight.errors import InputError, listed

__all__ = ["Order", "read_order"]


@dataclass(frozen=True, eq=False)
class Order:
    """`rows`: positions in the dataset, ascending; `weights` [rows]: how often each is shown, beside the mean."""

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def read_order(loader: "DataLoader[Any]") -> Order:
    """The rows that the loader's epochs are made of, in the dataset's own order.

    Raises: InputError for a sampler whose passes show other rows each time.
    """
    n = len(loader.dataset)  # type: ignore[arg-type]
    plain = type(loader.batch_sampler) is BatchSampler
    sampler = loader.batch_sampler.sampler if plain else loader.sampler  # type: ignore[union-attr]
    if loader.batch_sampler is not None and not plain:
        return _walked(loader.batch_sampler, n)
    short = n % loader.batch_sampler.batch_size if plain and loader.batch_sampler.drop_last else 0  # type: ignore[union-attr]
    if type(sampler) is SequentialSampler:
        said = (f"drop_last: {_last(short)} fill no batch, so the model never saw them: they are left out",)
        return _each(np.arange(n - short), said if short else ())
    if type(sampler) is RandomSampler:
        return _each(np.arange(n), _shuffles(sampler, n, short))
    if type(sampler) is SubsetRandomSampler:
        rows = np.unique(np.asarray(list(sampler.indices), dtype=np.int64))
        return _each(
            rows, (f"the loader shuffles {len(rows):,} of the dataset's {n:,} rows: only those are rows here",)
        )
    if type(sampler) is WeightedRandomSampler:
        return _drawn(sampler)
    return _walked(sampler, n)


def _each(rows: NDArray[np.int64], notes: tuple[str, ...]) -> Order:
    return Order(rows.astype(np.int64), np.ones(len(rows)), notes)


def _last(short: int) -> str:
    return "the last row" if short == 1 else f"the last {short} rows"


def _shuffles(sampler: RandomSampler, n: int, short: int) -> tuple[str, ...]:
    said = ["the loader shuffles; its dataset is read in order, each row once"]
    if sampler.replacement or sampler.num_samples != n:
        again = " with replacement" if sampler.replacement else ""
        said.append(
            f"an epoch draws {sampler.num_samples:,} of {n:,} rows{again}: every row is taken to weigh the same"
        )
    if short:
        said.append(f"drop_last: each epoch leaves out {count(short, 'row')}, others each time; all rows are kept here")
    return tuple(said)


def _drawn(sampler: WeightedRandomSampler) -> Order:
    """A row that is drawn twice as often weighs twice as much in the loss that is minimised.

    Raises: InputError without replacement, where the rates are not the weights.
    """
    if not sampler.replacement:
        raise InputError(
            "the loader's WeightedRandomSampler draws without replacement, so how often it shows a row is not its "
            "weight. Use replacement=True, or a loader without it."
        )
    rates = np.asarray(sampler.weights, dtype=np.float64)
    rows = np.flatnonzero(rates > 0)
    said = "the loader draws rows at different rates: each row's weight is its rate, beside a mean of 1"
    return Order(rows, rates[rows] / rates[rows].mean(), (said,))


def _walked(sampler: Any, n: int) -> Order:
    """A sampler of the user's own, run twice."""
    first, second = Counter(_flat(sampler)), Counter(_flat(sampler))
    if not first:
        raise InputError("the loader's sampler yields no rows. Give a loader that shows the training rows.")
    if first != second:
        other = sorted(row for row in first | second if first[row] != second[row])
        raise InputError(
            f"the loader's {type(sampler).__name__} shows other rows in each pass ({count(len(other), 'row')} differ: "
            f"{listed(other)}), so no row has a fixed weight. Give a loader that shows the same rows in every epoch."
        )
    rows = np.asarray(sorted(first), dtype=np.int64)
    times = np.asarray([first[row] for row in rows.tolist()], dtype=np.float64)
    notes = [f"the loader's {type(sampler).__name__} decides the order; its dataset is read in order"]
    missing, again = np.setdiff1d(np.arange(n), rows), rows[times > 1]
    if len(missing):
        notes.append(f"it never shows {count(len(missing), 'row')} ({listed(missing.tolist())}): they are left out")
    if len(again):
        notes.append(f"it repeats {count(len(again), 'row')} ({listed(again.tolist())}): a row shown twice weighs 2")
    return Order(rows, times, tuple(notes))


def _flat(sampler: Any) -> Iterator[int]:
    for entry in sampler:
        if isinstance(entry, list | tuple):
            yield from (int(row) for row in entry)
        else:
            yield int(entry)
