"""What equality.py found, as two tables of 80 columns: what each library returns, and how near it comes to ours."""

from dataclasses import dataclass

from benchmarks.peers.translation import TRANSLATIONS

__all__ = ["Compared", "table"]

COLUMNS = (
    ("two classes", "float64"),
    ("ten classes", "float64"),
    ("two classes", "float32"),
    ("ten classes", "float32"),
)
CAPTUM = """
captum: its Hessian is the SUM over the rows, so 1/n is in its scores already;
dividing by n again would make them n times too small. Its eigenvectors are from
torch.linalg.eig, which promises no orthogonal ones (of ten classes, where the
penalty's eigenvalue is repeated, max |VᵀV − I| is 1.0): float32 loses what is
shown by it, and with eigh put in its place comes as near as the others."""


@dataclass(frozen=True)
class Compared:
    """One way of one library on one problem."""

    library: str
    version: str
    way: str
    problem: str
    dtype: str  # of the model and the rows that it was given
    returned: str  # of its scores
    raw: float  # slope of its own numbers on ours
    difference: float
    entrywise: float  # the largest |theirs / ours − 1| of all scores
    reach: float

    @property
    def passes(self) -> bool:
        """Whether it is near enough."""
        return self.difference <= self.reach


def table(rows: list[Compared], failed: list[str], problem: str) -> str:
    """Of all ways of all libraries."""
    return "\n".join(
        line.rstrip()
        for line in (
            f"equality: a logistic regression, {problem}",
            *_translations(rows),
            *_differences(rows),
            *(f"failed: {one}"[:80] for one in failed),
        )
    )


def _translations(rows: list[Compared]) -> list[str]:
    first = {row.library: row for row in reversed(rows) if row.dtype == "float64" and row.library in TRANSLATIONS}
    if not first:
        return []
    lines = ["", f"{'library':<13}{'version':<9}{'returns':<36}{'its / ours':>10}  to ours"]
    for library, row in sorted(first.items()):
        told = TRANSLATIONS[library]
        lines.append(f"{library:<13}{row.version:<9}{told.quantity:<36}{row.raw:>10.3f}  {told.words}")
    return [*lines, "its / ours: slope of its own numbers on upweight's change on removal"]


def _differences(rows: list[Compared]) -> list[str]:
    found = {(row.library, row.way): {(r.problem, r.dtype): r for r in rows if r.way == row.way} for row in rows}
    lines = ["", f"{'largest difference':<42}{'float64':>14}{'float32':>16}{'near':>8}"]
    lines.append(f"{'library, how it solves':<42}" + "".join(f"{head:>8}" for head in ("two", "ten", "two", "ten")))
    for (library, way), cells in sorted(found.items(), key=lambda one: (one[0][0] != "upweight", one[0][0])):
        text = "".join(f"{_cell(cells.get(column)):>8}" for column in COLUMNS)
        lines.append(f"{library + ', ' + way:<42}{text}{'yes' if all(r.passes for r in cells.values()) else 'no':>6}")
    near = sum(row.passes for row in rows)
    lines += [
        "",
        "two, ten: classes. The difference is the worst query's, over its largest score.",
        "near: at most 1e-6 in float64, 1e-4 in float32, 1e-8 between upweight's own",
        f"doors; {near} of {len(rows)} are. *: returned in float32",
    ]
    return lines + (CAPTUM.splitlines() if any(row.library == "captum" for row in rows) else [])


def _cell(row: Compared | None) -> str:
    if row is None:
        return "–"
    size = f"{row.difference:.0e}" if row.difference else "0"
    return size + ("*" if row.returned == "float32" != row.dtype else "")
