"""The work of `upweight check --evidence`: fingerprints first, then the question asked again, then both side by side.

Stands on explaining and evidence; imported when the command runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upweight.cli.explain_job import job_of
from upweight.cli.explaining import answered, recorded
from upweight.cli.facts import data_facts
from upweight.cli.failures import FINDING
from upweight.cli.forms import FORM
from upweight.cli.page import command_line, print_json, print_page, took
from upweight.cli.progress import Progress
from upweight.display.blocks import Block, Command, Document, Facts, Section, Sentence
from upweight.errors import InputError
from upweight.evidence import Evidence, Reproduction
from upweight.evidence.fingerprints import parameters_sha256
from upweight.files import sha256_of
from upweight.influence import Influence
from upweight.workflows.table_model import TableModel

__all__ = ["RecordJob", "run"]

DIRECT, ITERATED = 1e-9, 1e-5  # how close numbers come again: from a factored Hessian, and from iterated solves
LISTED = 10  # differences on the page; --json has all
ROLES = {"data": "data file", "query": "file of --query", "model": "model file"}


@dataclass(frozen=True)
class RecordJob:
    """The options of the command; `others`: those that the record answers, by name, where they were given."""

    evidence: Path
    data: Path | None
    model: Path | None
    trust_pickle: bool
    as_json: bool
    others: dict[str, object]


def run(job: RecordJob, progress: Progress) -> int:
    """The exit code: 0 where all that the record says was found again, else FINDING.

    Raises: UpweightError, for a record of another model or other data too.
    """
    _refuse_others(job)
    record = Evidence.load(job.evidence)
    question, sums = record.content["question"], record.content["fingerprints"]
    if question["asked_by"] != "explain":
        raise InputError(
            f"{job.evidence}: was made in Python, so no command can ask its question again. "
            "Use Evidence.load(file).compare(evidence(influence, scores, check))."
        )
    if question["model"] is None and job.model is not None:
        raise InputError(
            f"{job.evidence}: its model was fitted by upweight, from the data alone. Leave --model {job.model} out."
        )
    data = _found(job, question, "data", job.data)
    query = _found(job, question, "query", None)
    model = _found(job, question, "model", job.model)
    assert data is not None  # explain always has a data file
    _require_same(job, "data", data, sums["data"])
    if query is not None:
        _require_same(job, "query", query, sums["query"])
    resaved = model is not None and sha256_of(model) != sums["model"]
    progress("fingerprints compared")
    again = job_of(question, data, model, query, job.evidence, job.trust_pickle)

    def require_model(opened: TableModel) -> None:
        if resaved:
            _require_parameters(job, model, opened.influence, sums["parameters"])

    opened, table, explanation = answered(again, progress, require_model)
    found = recorded(again, opened, table, explanation)
    outcome = record.compare(found, tolerance(table.influence))
    if job.as_json:
        print_json(_form(job, record, data, model, outcome, progress.seconds))
    else:
        print_page(_page(job, record, table, outcome, resaved, again_line(job, data, model), progress.seconds))
    return 0 if outcome.reproduced else FINDING


def tolerance(influence: Influence) -> float:
    """How close numbers are to come again, relative to the largest effect beside them."""
    return DIRECT if influence.attribution.prepared.direct else ITERATED


def again_line(job: RecordJob, data: Path, model: Path | None) -> str:
    """The command that does this once more."""
    options = [("--evidence", job.evidence), ("--model", model), ("--trust-pickle", job.trust_pickle)]
    return command_line("check", data, options)


def _refuse_others(job: RecordJob) -> None:
    wrong = [name for name, given in job.others.items() if given]
    if wrong:
        comes = "comes" if len(wrong) == 1 else "come"
        it = "it" if len(wrong) == 1 else "them"
        raise InputError(f"{', '.join(wrong)} {comes} from the record of --evidence. Leave {it} out.")


def _found(job: RecordJob, question: Mapping[str, Any], role: str, given: Path | None) -> Path | None:
    """The file: as given; else where the record says, or beside the record under the same name.

    Raises: InputError where it is in none of these places.
    """
    said = question[role]
    if given is not None or said is None:
        return given
    for place in (Path(said), job.evidence.parent / Path(said).name):
        if place.is_file():
            return place
    give = {"data": "Give it: upweight check DATA --evidence FILE.", "model": "Give it by --model."}
    raise InputError(
        f"{job.evidence}: its {ROLES[role]} {said!r} is neither here nor beside the record. "
        f"{give.get(role, 'Put it beside the record.')}"
    )


def _require_same(job: RecordJob, role: str, path: Path, wanted: str | None) -> None:
    """Raises: InputError for another file than the record's."""
    sha = sha256_of(path)
    if sha != wanted:
        raise InputError(
            f"{path}: is not the {ROLES[role]} of {job.evidence}: its sha256 is {sha[:12]}…, in the record "
            f"{_start(wanted)}. Give the file as it was then; the answer for this one is asked by upweight explain."
        )


def _require_parameters(job: RecordJob, model: Any, influence: Influence, wanted: str | None) -> None:
    """Raises: InputError for another model: other parameters, not only other bytes of its file."""
    sha = parameters_sha256(influence)
    if sha != wanted:
        raise InputError(
            f"{model}: is another model than that of {job.evidence}: the sha256 of its parameters is {sha[:12]}…, in "
            f"the record {_start(wanted)}. Give the model as it was then; the answer of this one is asked by upweight "
            "explain."
        )


def _start(sha: str | None) -> str:
    return "none" if sha is None else f"{sha[:12]}…"


def _form(
    job: RecordJob, record: Evidence, data: Path, model: Path | None, outcome: Reproduction, seconds: float
) -> dict[str, Any]:
    return {
        "upweight": FORM,
        "command": "check",
        "evidence": str(job.evidence),
        "date": record.content["date"],
        "data": str(data),
        "model": None if model is None else str(model),
        "seed": record.content["seed"],
        "reproduced": outcome.reproduced,
        "refits": outcome.refits,
        "refits_agree": outcome.agree,
        "compared": outcome.refits + outcome.others,
        "tolerance": outcome.tolerance,
        "largest_difference": outcome.largest,
        "differences": [
            {"where": d.where, "what": d.what, "record": d.filed, "now": d.found} for d in outcome.differences
        ],
        "versions": {name: {"record": then, "now": now} for name, (then, now) in outcome.versions.items()},
        "seconds": round(seconds, 2),
    }


def _page(
    job: RecordJob,
    record: Evidence,
    table: TableModel,
    outcome: Reproduction,
    resaved: bool,
    again: str,
    seconds: float,
) -> Document:
    content = record.content
    files = " and ".join([table.path.name, *([] if table.model_path is None else [table.model_path.name])])
    same = f"{files}: the same by sha256"
    if resaved:
        same += "; the model file was written anew and holds the same parameters"
    pairs = [("record", str(job.evidence)), *data_facts(table), ("same", same)]
    said: list[Block] = [Sentence(outcome.sentence, strong=True)]
    more = len(outcome.differences) - LISTED
    lines = [("differs" if i == 0 else "", str(d)) for i, d in enumerate(outcome.differences[:LISTED])]
    if more > 0:
        lines.append(("", f"and {more:,} more; --json has them"))
    lines += [("Grade", f"{content['grade']['letter']} in the record")]
    lines += [
        ("versions" if i == 0 else "", f"{name} {then or 'absent'} then, {now or 'absent'} now")
        for i, (name, (then, now)) in enumerate(outcome.versions.items())
    ]
    return Document(
        "upweight check --evidence",
        f"{table.path.name}, {table.target}",
        sections=(
            Section("", "data", (Facts(tuple(pairs)),)),
            Section("", "outcome", (*said, Facts(tuple(lines)))),
            Section("", "last", (Command(again, "Run again"),)),
        ),
        footer=took(seconds),
    )
