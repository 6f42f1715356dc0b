"""Data of every kind becomes the same rows in one order; what has no fixed rows is refused by name."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from upweight.adapters.torch_data import Rows, as_shown, read_queries, read_rows
from upweight.errors import InputError

CPU, F32 = torch.device("cpu"), torch.float32
N = 10
X = torch.arange(2.0 * N).reshape(N, 2)
Y = torch.arange(N) % 3


class Items(Dataset[Any]):
    """(x, y) pairs, one by one."""

    def __init__(self, noise: float = 0.0, ids: Any = None, n: int = N) -> None:
        self.noise, self.n = noise, n
        if ids is not None:
            self.ids = ids

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        shift = self.noise * torch.randn(2) if i >= 4 else 0.0
        return X[i] + shift, int(Y[i])


def read(data: Any) -> Rows:
    return read_rows(data, CPU, F32)


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        [X, Y],
        (X.double().numpy(), Y.numpy()),
        (pd.DataFrame(X.numpy(), columns=["a", "b"]), pd.Series(Y.numpy())),
        TensorDataset(X, Y),
        Items(),
        [(X[i], int(Y[i])) for i in range(N)],
        DataLoader(TensorDataset(X, Y), batch_size=4),
        DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True),
        DataLoader(Items(), batch_size=3, shuffle=True, drop_last=True),
        DataLoader(Items(), batch_size=None),
    ],
    ids=lambda data: type(data).__name__,
)
def test_every_kind_of_data_gives_the_same_rows(data: Any) -> None:
    """Inputs, targets, ids 0 … n − 1 and weights 1, whatever order a loader shows them in."""
    rows = read(data)
    assert len(rows.inputs) == 1
    torch.testing.assert_close(rows.inputs[0], X)
    torch.testing.assert_close(rows.targets, Y)
    assert rows.ids == tuple(range(N))
    np.testing.assert_array_equal(rows.weights, 1.0)


def test_several_inputs_are_read_in_their_order() -> None:
    """((x1, x2), y) as tensors, and items (x1, x2, y)."""
    for data in (((X, X + 1), Y), TensorDataset(X, X + 1, Y), DataLoader(TensorDataset(X, X + 1, Y))):
        rows = read(data)
        torch.testing.assert_close(rows.inputs[1], X + 1)
        assert as_shown(rows)[3][1].tolist() == (X[3] + 1).tolist()


def test_ids_are_the_datasets_own() -> None:
    """`ids` of a dataset, the index of a table."""
    names = [f"row{i}" for i in range(N)]
    assert read(Items(ids=names)).ids == tuple(names)
    assert read(DataLoader(Items(ids=names), sampler=SubsetRandomSampler([5, 2]))).ids == ("row2", "row5")
    table = pd.DataFrame(X.numpy(), index=names)
    rows = read((table, Y))
    assert rows.ids == tuple(names)
    assert list(as_shown(rows).columns) == ["0", "1"]


def test_reading_leaves_the_users_random_state() -> None:
    """Samplers and transforms draw from torch's generator: it is put back."""
    before = torch.random.get_rng_state()
    read(DataLoader(Items(), shuffle=True))
    assert torch.equal(before, torch.random.get_rng_state())


class Fixed(Sampler[int]):
    def __init__(self, order: list[int]) -> None:
        self.order = order

    def __iter__(self) -> Iterator[int]:
        yield from self.order


class Drifting(Sampler[int]):
    start = 0

    def __iter__(self) -> Iterator[int]:
        Drifting.start += 1
        yield from range(Drifting.start % 2, N - 1 + Drifting.start % 2)


LOADERS: dict[str, tuple[Callable[[], Any], str, int]] = {
    "shuffle": (lambda: DataLoader(Items(), shuffle=True), "the loader shuffles", N),
    "drop_last": (lambda: DataLoader(Items(), batch_size=4, drop_last=True), "the last 2 rows fill no batch", 8),
    "shuffled drop_last": (
        lambda: DataLoader(Items(), batch_size=4, drop_last=True, shuffle=True),
        "each epoch leaves out 2 rows",
        N,
    ),
    "replacement": (
        lambda: DataLoader(Items(), sampler=RandomSampler(Items(), replacement=True, num_samples=30)),
        "draws 30 of 10 rows with replacement",
        N,
    ),
    "subset": (lambda: DataLoader(Items(), sampler=SubsetRandomSampler([7, 1, 3])), "3 of the dataset's 10 rows", 3),
    "own order": (lambda: DataLoader(Items(), sampler=Fixed(list(range(9, -1, -1)))), "Fixed decides the order", N),
    "own subset": (lambda: DataLoader(Items(), sampler=Fixed([1, 2, 3])), "never shows 7 rows \\(0, 4, 5 and", 3),
    "repeats": (lambda: DataLoader(Items(), sampler=Fixed([*range(N), 4])), "repeats 1 row \\(4\\)", N),
    "batches": (lambda: DataLoader(Items(), batch_sampler=[[0, 1], [2]]), "list decides the order", 3),
}


@pytest.mark.parametrize("name", LOADERS)
def test_what_a_loader_does_to_its_rows_is_said(name: str) -> None:
    """Shuffling, dropping, repeating and drawing each leave a note."""
    make, said, n = LOADERS[name]
    rows = read(make())
    assert rows.n == n
    assert pd.Series(rows.notes).str.contains(said).any(), rows.notes


def test_rows_shown_more_often_weigh_more() -> None:
    """A repeated row weighs 2; rates of a weighted sampler are weights beside a mean of 1, rate 0 is no row."""
    assert read(DataLoader(Items(), sampler=Fixed([*range(N), 4]))).weights.tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 1, 1]
    rows = read(DataLoader(Items(), sampler=WeightedRandomSampler([1.0, 3.0, 0.0, 2.0], 10)))
    assert rows.ids == (0, 1, 3)
    np.testing.assert_allclose(rows.weights, [0.5, 1.5, 1.0])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        yield X[0], 0


class Dicts(Items):
    def __getitem__(self, i: int) -> Any:
        return {"pixels": X[i], "label": int(Y[i])}


class Ragged(Items):
    def __getitem__(self, i: int) -> Any:
        return torch.zeros(i + 1), 0


def with_nan() -> Tensor:
    x = X.clone()
    x[[3, 6]] = torch.nan
    return x


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "augmented": (lambda: Items(noise=1.0), "two passes over the data differ, first in row 4: it is augmented"),
    "augmented loader": (lambda: DataLoader(Items(noise=1.0)), "two passes .* row 4"),
    "stream": (lambda: Stream(), "IterableDataset, which has neither"),
    "stream loader": (lambda: DataLoader(Stream()), "the loader's dataset is an IterableDataset"),
    "dicts": (lambda: Dicts(), "dicts with the keys 'pixels', 'label'"),
    "ragged": (lambda: Ragged(), "cannot be put into one tensor"),
    "lengths": (lambda: (X, Y[:7]), "X has 10 rows and y has 7"),
    "second input": (lambda: ((X, X[:3]), Y), "input 1 has 3 rows and y has 10"),
    "empty": (lambda: (X[:0], Y[:0]), "data has no rows"),
    "empty dataset": (lambda: Items(n=0), "data has no rows"),
    "NaN": (lambda: (with_nan(), Y), r"X holds NaN or infinity in 2 rows \(3, 6\)"),
    "NaN target": (lambda: (X, torch.full((N,), torch.inf)), "y holds NaN or infinity in 10 rows"),
    "words": (lambda: (np.array([["a", "b"]] * N), Y), "X holds values that are not numbers"),
    "number": (lambda: 7, "data is a int"),
    "one part": (lambda: [(X[0],), (X[1],)], "items are 1 part"),
    "device": (lambda: (X.to("meta"), Y), "the model is on 'cpu' and its data on 'meta'"),
    "drifting": (lambda: DataLoader(Items(), sampler=Drifting()), "Drifting shows other rows in each pass"),
    "no rows": (lambda: DataLoader(Items(), sampler=Fixed([])), "sampler yields no rows"),
    "weighted subset": (
        lambda: DataLoader(Items(), sampler=WeightedRandomSampler([1.0] * N, 4, replacement=False)),
        "WeightedRandomSampler draws without replacement",
    ),
    "few ids": (lambda: Items(ids=[1, 2]), "10 rows and 2 ids"),
    "same ids": (lambda: Items(ids=[0] * N), "1 row ids stand for more than one row"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_without_fixed_rows_is_refused(name: str) -> None:
    """By what was seen, where, and what to do."""
    make, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        read(make())


def test_queries_are_read_as_the_rows_are() -> None:
    """Tensors and numpy, float64 too; as many inputs, of the same shape."""
    rows = read((X, Y))
    for query in (X[:2], X[:2].double().numpy(), X[:2].tolist(), pd.DataFrame(X[:2].numpy())):
        torch.testing.assert_close(read_queries(query, rows).inputs[0], X[:2])
    pair = read(((X, X), Y))
    assert read_queries((X[:2], X[:2]), pair).rows == 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (X[0], r"X_query has shape \[2\] where rows of shape \[2\] .*X\[:1\], not X\[0\]"),
        (torch.zeros(3, 5), r"X_query has shape \[3, 5\] where rows of shape \[2\]"),
        (Y[:4, None].repeat(1, 2), "X_query is int64; the training input is float32"),
        (with_nan(), r"X_query holds NaN or infinity in query 3, 6"),
        (7, "X_query is a single number"),
    ],
)
def test_queries_of_another_form_are_refused(query: Any, said: str) -> None:
    """Shape, type and place in the message."""
    with pytest.raises(InputError, match=said):
        read_queries(query, read((X, Y)))


def test_a_query_of_too_few_inputs_is_refused() -> None:
    """Two inputs in training, one given; two of different lengths; a table with other columns."""
    pair = read(((X, X), Y))
    with pytest.raises(InputError, match="X_query has 1 inputs; the model was trained on 2"):
        read_queries(X, pair)
    with pytest.raises(InputError, match="2, 3 rows"):
        read_queries((X[:2], X[:3]), pair)
    table = pd.DataFrame(X.numpy(), columns=["a", "b"])
    with pytest.raises(InputError, match="columns 'b', 'a'; X had 'a', 'b'"):
        read_queries(table[["b", "a"]], read((table, Y)))


def test_grey_pictures_are_shown_as_pixels() -> None:
    """[n, 1, h, w] and [n, h, w] become columns pixel_R_C, which the display draws."""
    for shape in ((4, 1, 2, 3), (4, 2, 3)):
        shown = as_shown(read((torch.rand(shape), Y[:4])))
        assert list(shown.columns)[:2] == ["pixel_0_0", "pixel_0_1"]
        assert shown.shape == (4, 6)
