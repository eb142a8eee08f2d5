"""Tables in text that are laid out for the eye: boxed with bars, in columns of blanks, or without a header.

The vocabulary: a *box* is what stands between two dashed lines, a *group* the row above names that belong to it. In a
*spaced* table, two blanks or more are between columns, since a name may hold one.
"""

import re
from itertools import pairwise
from pathlib import Path

import numpy
import pandas

from . import curves
from .growing import NoCurve
from .metrics import role_of
from .records import Records

CELL = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf)", re.IGNORECASE)
MISSING = re.compile(r"-*|n/?a|none|null|#na#", re.IGNORECASE)
DURATION = re.compile(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)")
UNITS = re.compile(r"(?<=\d)(?:ms|s|m|h|%|[KMG](?:i?B)?)$")

BOX_ROW = re.compile(r"\s*\|\s?(?P<name>\s*[^|]*?)\s*\|(?P<value>[^|]*)\|\s*$")
DASHES = re.compile(r"\s*[-+=]{5,}\s*$")
LEAST_BOX_ROWS = 3

PROGRESS = re.compile(r"\s*(?P<n>\d+)/(?P<all>\d+)\s+(?P<cells>\S.*)$")
LEAST_CELLS = 3  # behind the progress
YOLO = (
    "mem", "train/box_loss", "train/obj_loss", "train/cls_loss", "train/total_loss", "targets", "img_size",
    "metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95",
    "val/box_loss", "val/obj_loss", "val/cls_loss",
)  # fmt: skip

RULE = re.compile(r"\s*[-=]{1,}(?:\s+[-=]{1,})+\s*$")
LEAST_COLUMNS = 3
FIRST_LINES = 2000  # of a log, in which its table has to begin


def as_number(text: str) -> float | None:
    """The number in a cell, durations in seconds; None where it is a word or missing."""
    text = UNITS.sub("", text.strip())
    if CELL.fullmatch(text):
        return float(text)
    if found := DURATION.fullmatch(text):
        return 3600 * float(found[1] or 0) + 60 * float(found[2]) + float(found[3])
    return None


class Layout:
    """What the tables have in common: lines in, a table out."""

    name = ""

    def __init__(self) -> None:
        self.records = Records()
        self.total: float | None = None

    def feed(self, text: str) -> None:
        """Take the complete lines that were added."""
        for line in text.split("\n"):
            self.line(line)

    def line(self, line: str) -> None:
        """Take one line."""
        raise NotImplementedError

    def take(self, row: dict[str, float]) -> None:
        """Take one row, whose x columns are the point that it stands at."""
        point = {name: value for name, value in row.items() if role_of(name) == "x"}
        values = {name: value for name, value in row.items() if name not in point}
        self.records.add(values, {name: point.get(name, numpy.nan) for name in [*self.records.point, *point]})

    def table(self) -> pandas.DataFrame:
        """The table of all rows."""
        table = self.records.table()
        if not len(table) or all(role_of(name) in ("x", "hidden") for name in table.columns):
            raise NoCurve("it has no rows of numbers yet; wait for its first rows")
        x = curves.Columns(table).x or curves.ROW
        at_most = self.total if self.total is not None and x in table and table[x].iloc[-1] <= self.total else None
        table.attrs = {"x": x, "nans": table.attrs["nans"], "total": at_most, "format": self.name}
        return table


class Boxed(Layout):
    """Boxes of Stable-Baselines and of OpenAI's baselines: a name and a value in each row, a box for each point."""

    name = "boxed text"

    def __init__(self) -> None:
        super().__init__()
        self.group = ""
        self.box: dict[str, float] = {}

    @staticmethod
    def recognises(path: Path, head: str) -> bool:
        """Whether there is a box, with its dashes and more than two rows of a name and a number."""
        lines = head.split("\n")
        rows = [found for found in map(BOX_ROW.match, lines) if found and as_number(found["value"]) is not None]
        return len(rows) >= LEAST_BOX_ROWS and any(map(DASHES.match, lines))

    def line(self, line: str) -> None:
        """Take one line: dashes end a box."""
        if found := BOX_ROW.match(line):
            self.row(found["name"], found["value"].strip())
        elif DASHES.match(line):
            if self.box:
                self.take(self.box)
            self.group, self.box = "", {}

    def row(self, name: str, value: str) -> None:
        """Take a row of a box: the name of a group, or a name and its value."""
        if not value and name.strip().endswith("/"):
            self.group = name.strip()
            return
        number = as_number(value)
        full = self.group + name.strip() if name.startswith("  ") else name.strip()
        if number is not None and full:
            while full in self.box:
                full += "_"  # cut names may be equal
            self.box[full] = number


class Headerless(Layout):
    """results.txt of YOLOv5 and YOLOv7: columns without a header, the first one says which epoch of how many."""

    name = "results.txt"

    @staticmethod
    def recognises(path: Path, head: str) -> bool:
        """Whether every line is an epoch of all and three numbers or more."""
        lines = [line for line in head.split("\n") if line.strip()]
        return bool(lines) and all(len(row_of_progress(line)) > LEAST_CELLS for line in lines)

    def line(self, line: str) -> None:
        """Take one line, an epoch."""
        cells = row_of_progress(line)
        if len(cells) > LEAST_CELLS:
            epoch, every, *values = cells
            names = YOLO if len(values) == len(YOLO) else [f"column {place}" for place in range(3, len(values) + 3)]
            self.total = every
            self.take({"epoch": epoch} | dict(zip(names, values, strict=True)))


def row_of_progress(line: str) -> list[float]:
    """The numbers of a line that begins with n/N; none where it holds anything else."""
    found = PROGRESS.match(line)
    cells = [as_number(cell) for cell in found["cells"].split()] if found else []
    if not found or any(cell is None for cell in cells):
        return []
    return [float(found["n"]), float(found["all"]), *(cell for cell in cells if cell is not None)]


class SpacedTable(Layout):
    """A table whose columns are apart by blanks, maybe below other text: spaCy, fastai, scikit-learn."""

    name = "text table"

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.above = ""

    @staticmethod
    def recognises(path: Path, head: str) -> bool:
        """Whether a header is followed by a row of it."""
        lines = [line for line in head.split("\n") if line.strip() and not RULE.match(line)][:FIRST_LINES]
        for above, line in pairwise(lines):
            names = header(above)
            if names and row_under(names, line) and any(role_of(name) == "x" for name in names):
                return True
        return False

    def line(self, line: str) -> None:
        """Take one line: a header, a row, or something else."""
        if not line.strip() or RULE.match(line):
            return
        names = header(line)
        if names:
            self.above = line
            if not self.names or any(role_of(name) == "x" for name in names):
                self.names = names
        elif row := row_under(self.names, line):
            self.take({name: value for name, value in row.items() if value is not None})


def cells_of(line: str) -> list[str]:
    """The cells of a line, by two blanks or more, or by tabs."""
    return [cell.strip() for cell in re.split(r"\s{2,}|\t", line.strip())]


def header(line: str) -> list[str]:
    """The names in a header; none where the line is none."""
    names = cells_of(line)
    if len(names) < LEAST_COLUMNS and len(line.split()) >= LEAST_COLUMNS:
        names = line.split()
    if len(names) < LEAST_COLUMNS or len(set(names)) < len(names) or any(as_number(name) is not None for name in names):
        return []
    fine = all(re.fullmatch(r"#|[A-Za-z][\w .@%/#()'-]*", name) and len(name.split()) <= 3 for name in names)
    known = any(role_of(name) == "x" for name in names) and any(role_of(name) in ("loss", "score") for name in names)
    return names if fine and known else []


def row_under(names: list[str], line: str) -> dict[str, float | None]:
    """The row of a table with these names: a number, a duration or a missing cell for each; none where it is no row."""
    cells = line.split()
    if not names or len(cells) != len(names):
        return {}
    numbers = [as_number(cell) for cell in cells]
    if any(number is None and not MISSING.fullmatch(cell) for number, cell in zip(numbers, cells, strict=True)):
        return {}
    return dict(zip(names, numbers, strict=True)) if sum(number is not None for number in numbers) > 1 else {}
