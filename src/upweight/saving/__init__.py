"""An Influence as one file and back, one kind of model a file."""

import os
from typing import Any

from upweight.adapters import Adapted
from upweight.attribution import Attribution
from upweight.errors import FileError, InputError, MissingExtra
from upweight.saving.estimator import read_estimator, write_estimator
from upweight.saving.sources import Source, TorchSource
from upweight.store.archive import read_archive

__all__ = ["Source", "TorchSource", "read_influence", "write_influence"]


def write_influence(
    path: str | os.PathLike[str], source: Source | TorchSource | None, adapted: Adapted, attribution: Attribution
) -> None:
    """Writes what an Influence was made from into one file, whole or not at all.

    Raises: FileError for what cannot be stored, by name.
    """
    if source is None:
        raise FileError(f"{os.fspath(path)}: this Influence does not know what it was made from: nothing to save.")
    if isinstance(source, Source):
        return write_estimator(path, source, adapted)
    from upweight.saving.network import write_network  # torch, which other Influences do without

    write_network(path, source, adapted, attribution.loss.value(attribution.outputs, attribution.targets))


def read_influence(
    path: str | os.PathLike[str], trusted: bool, model: Any, loss: Any, train: Any
) -> tuple[Source | TorchSource, Adapted]:
    """What was saved; model, loss, train: of a network, whose file holds no code.

    Raises: FileError, InputError as each kind of file; MissingExtra without torch.
    """
    archive = read_archive(path, "Influence")
    if archive.about.get("door") == "torch":
        try:
            from upweight.saving.network import read_network
        except ImportError as error:
            raise MissingExtra(f"{archive.shown}: holds a network: pip install 'upweight[torch]'") from error
        return read_network(archive, model, loss, train)
    if model is not None or loss is not None or train is not None:
        raise InputError(f"{archive.shown}: holds an estimator. Leave model, loss and train out.")
    return read_estimator(archive, trusted)
