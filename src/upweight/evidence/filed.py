"""An evidence record as a value and as a file: written whole or not at all, read with every fault named.

Stands on schema, again and card; the record's makers and the commands stand on it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upweight.display.words import count
from upweight.errors import FileError, InputError
from upweight.evidence.again import Reproduction, compared
from upweight.evidence.card import card
from upweight.evidence.fingerprints import settings_sha256
from upweight.evidence.schema import FORMAT, faults
from upweight.files import write_atomically

__all__ = ["Evidence"]

MOST_BYTES = 64_000_000  # no record is as large
MARK = "upweight_evidence"


@dataclass(frozen=True, eq=False)
class Evidence:
    """`content`: the record, as the published schema (`upweight/schemas/evidence-1.json`) lays it out."""

    content: Mapping[str, Any]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the record as JSON, whole or not at all.

        Raises: FileError; a file that was there stays as it was.
        """
        write_atomically(path, json.dumps(self.content, indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Evidence":
        """The record in a file.

        Raises: FileError for a file that is missing, cut short, no record, newer, or not laid out as the schema says;
        and where its settings are not those that it was made with.
        """
        shown = os.fspath(path)
        content = _parsed(Path(path), shown)
        _require_format(content, shown)
        found = next(faults(content), None)
        if found is not None:
            raise FileError(f"{shown}: is not laid out as an evidence record: {found}. Ask its maker for it again.")
        if settings_sha256(content["question"]) != content["fingerprints"]["settings"]:
            raise FileError(
                f"{shown}: its question was changed after it was written (the fingerprint 'settings' differs). "
                "Ask its maker for it again."
            )
        return cls(content)

    def model_card(self) -> str:
        """A section for a model card, in Markdown: question, rows, refit proof, seed, versions, fingerprints."""
        return card(self.content)

    def save_model_card(self, path: str | os.PathLike[str]) -> None:
        """Writes that section, whole or not at all.

        Raises: FileError.
        """
        write_atomically(path, self.model_card())

    def compare(self, found: "Evidence", tolerance: float = 1e-9) -> Reproduction:
        """This record against one that was found again; tolerance: relative to the largest effect beside a number.

        Raises: InputError where the parameters or the training rows are other ones, by the fingerprint that differs.
        """
        mine, other = self.content["fingerprints"], found.content["fingerprints"]
        for name, what in (("parameters", "another model"), ("rows", "other training rows")):
            if mine[name] != other[name] and self.content["question"]["asked_by"] == "python":
                raise InputError(
                    f"this record is of {what}: the fingerprint {name!r} is {mine[name]!s:.12} in the record "
                    f"and {other[name]!s:.12} here. Ask the model and the rows that it was made from."
                )
        return compared(self.content, found.content, tolerance)

    def __repr__(self) -> str:
        answer = self.content["answer"]
        asked = count(len(answer["predictions"]), "prediction")
        return f"<Evidence: {asked}, grade {self.content['grade']['letter']}>"


def _parsed(path: Path, shown: str) -> Any:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(f"{shown}: is far too large for an evidence record. Give one that --evidence wrote.")
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise FileError(f"{shown}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(
            f"{shown}: is no whole JSON ({first:.120}). Give the file that upweight explain --evidence wrote."
        ) from error


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _require_format(content: Any, shown: str) -> None:
    number = content.get(MARK) if isinstance(content, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise FileError(f"{shown}: is no evidence record of upweight. Give the file that explain --evidence wrote.")
    if number > FORMAT:
        wrote = content.get("versions")
        by = wrote.get("upweight", "?") if isinstance(wrote, dict) else "?"
        raise FileError(
            f"{shown}: was written by upweight {by!s:.40} in format {number}, and this one reads up to {FORMAT}. "
            "Install that version or a newer one: pip install --upgrade upweight"
        )
