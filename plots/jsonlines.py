"""JSON lines: a record on each line, whose names may be nested and may differ from line to line.

The vocabulary: a line is *plain* where all its values are numbers or texts that say none; records of plain lines with
the same names become columns at once, the others are *flattened* one by one. A record's *mode* (train, val) is the
part of the data that it is of.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas

from . import curves
from .alike import MANY_LINES, Numbering, commas, groups, shapes_of, table_of
from .growing import NoCurve
from .lines import is_telling, named
from .metrics import role_of
from .records import Lines, Records, carried
from .steps import Steps

BLOCK_LINES = 1 << 15  # parsed at a time
SHORTEST_LOG = 2  # lines; one alone is a document, unless its name says otherwise
LEAST_SHARE = 0.5  # of the lines that have to be objects
LONGEST_LIST = 100
DEEPEST = 8
SUFFIXES = (".jsonl", ".ndjson", ".jsonlines")
IGNORED = re.compile(r"(^|/)(config|timers)(/|$)|connector")
VALUE = re.compile(r":\s*(-?\d[-+.\deE]*)\s*[,}]")
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf(inity)?)\s*", re.IGNORECASE)
MODES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "eval": "val", "test": "test"}

Key = tuple[tuple[str, ...], str]  # the names of a kind of records, and their mode
Kind = tuple[Key, numpy.ndarray, numpy.ndarray]  # with their values, and the lines that they stand on


class JsonLines:
    """A log with a JSON object on each line."""

    name = "JSON lines"

    def __init__(self) -> None:
        self.records = Records()
        self.x: dict[str, float] = {}  # what each x column said last
        self.steps = Steps()  # of logs with modes, which may begin anew with each epoch
        self.has_modes = False
        self.counts_both = False  # training counts iterations beside its steps: then a validation's step is an epoch

    @staticmethod
    def recognises(path: Path, head: str) -> bool:
        """Whether most lines are objects."""
        lines = [line for line in head.split("\n") if line.strip()]
        objects = sum(isinstance(parsed(line), dict) for line in lines[:100])
        least = 1 if path.suffix.lower() in SUFFIXES else SHORTEST_LOG
        return objects >= max(least, LEAST_SHARE * min(len(lines), 100))

    def feed(self, text: str) -> None:
        """Take the complete lines that were added."""
        lines = text.split("\n")
        for start in range(0, len(lines), BLOCK_LINES):
            if block := [line for line in lines[start : start + BLOCK_LINES] if line.strip()]:
                self.take(block)

    def take(self, lines: list[str]) -> None:
        """Take the records on some lines."""
        found = sorted(kinds_on(lines), key=lambda kind: int(kind[2][0]))
        kinds = [self.of_mode(key, values, at) for key, values, at in found]
        kinds = [kind for kind in kinds if kind.names]
        points = self.points(kinds, len(lines))
        values = [without_x(kind) for kind in sorted(kinds, key=lambda kind: kind.at[0])]
        start = 0
        if not self.x:
            start = min((int(numpy.argmax(~numpy.isnan(x))) for x in points.values()), default=len(lines))
            self.records.take([kind for kind in values if any(map(is_telling, kind.names))], {}, 0, start)
        self.records.take(values, points, start, len(lines))
        self.x |= {name: float(x[-1]) for name, x in points.items()}

    def of_mode(self, key: Key, values: numpy.ndarray, at: numpy.ndarray) -> Lines:
        """Records with the part of their mode before their names; a validation has the x of the training before it."""
        names, mode = key
        self.has_modes = self.has_modes or bool(mode)
        self.counts_both = self.counts_both or {"step", "iter"} <= set(names)
        keep = [place for place, name in enumerate(names) if role_of(name) != "x" or self.is_own_x(name, names, mode)]
        new = tuple(names[place] if role_of(names[place]) == "x" else named(mode, names[place]) for place in keep)
        unique = [place for place, name in enumerate(new) if name not in new[:place]]
        return Lines(tuple(new[place] for place in unique), values[:, [keep[place] for place in unique]], at)

    def is_own_x(self, name: str, names: Sequence[str], mode: str) -> bool:
        """Whether an x says where its record stands: not how long a validation is, nor another thing than before."""
        if mode and mode != "train":
            return name != "iter"
        return not (self.counts_both and name == "step" and "iter" not in names)

    def points(self, kinds: Sequence[Lines], count: int) -> dict[str, numpy.ndarray]:
        """The x of each record, carried on to those that do not tell it."""
        points = {name: numpy.full(count, numpy.nan) for name in self.x}
        for kind in kinds:
            for name, column in zip(kind.names, kind.values.T, strict=True):
                if role_of(name) == "x":
                    points.setdefault(name, numpy.full(count, numpy.nan))[kind.at] = column
        if self.has_modes and "epoch" in points and "iter" in points:
            points["epoch"] = carried(points["epoch"], self.x.get("epoch", numpy.nan))
            points["iter"] = self.steps.counted_on(points["iter"], points["epoch"], numpy.full(count, numpy.nan))
        return {name: carried(values, self.x.get(name, numpy.nan)) for name, values in points.items()}

    def table(self) -> pandas.DataFrame:
        """The table of all records."""
        table = self.records.table()
        if not len(table) or all(role_of(name) in ("x", "hidden") for name in table.columns):
            raise NoCurve("its lines have no numbers beside x, times and settings; log a loss or a score")
        table.attrs = {
            "x": curves.Columns(table).x or curves.ROW,
            "nans": table.attrs["nans"],
            "total": None,
            "format": self.name,
        }
        return table


# -- objects


def parsed(line: str) -> Any:
    """What a line says in JSON; None where it is broken."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def kinds_on(lines: list[str]) -> Iterator[Kind]:
    """The records on lines, by their names; a line that is broken, or no object, is left out."""
    if len(lines) < MANY_LINES:
        yield from kinds_of(objects_of(lines), range(len(lines)))
        return
    for _, at in groups(shapes_of(lines, Numbering())):
        chosen = [lines[place] for place in at.tolist()] if len(at) < len(lines) else lines
        if alike := kind_of_alike(chosen):
            yield alike[0], alike[1], at
        else:
            yield from kinds_of(objects_of(chosen), at.tolist())


def kind_of_alike(lines: list[str]) -> tuple[Key, numpy.ndarray] | None:
    """The names and values of lines that differ in their numbers only; None where they are few or hold more."""
    first = parsed(lines[0]) if len(lines) >= MANY_LINES else None
    if not isinstance(first, dict) or not set(map(type, first.values())) <= {int, float}:
        return None
    spans = [found.span(1) for found in VALUE.finditer(lines[0])]
    if len(spans) != len(first) or any(is_ignored(name) for name in first):
        return None
    values = table_of("\n".join(lines), commas(lines[0], spans), len(spans))
    return None if values is None else ((tuple(first), ""), values)


def objects_of(lines: list[str]) -> list[dict | None]:
    """The objects on lines; None for a line that is broken, or something else."""
    together = parsed("[" + ",".join(lines) + "]")
    if together is None or len(together) != len(lines):
        together = [parsed(line) for line in lines]
    return [each if isinstance(each, dict) else None for each in together]


def kinds_of(objects: Sequence[dict | None], lines: Sequence[int]) -> Iterator[Kind]:
    """Objects, which stand on these lines, by what names they have."""
    lines = [line for line, each in zip(lines, objects, strict=True) if each is not None]
    objects = [each for each in objects if each is not None]
    names_of_each = list(map(tuple, objects))
    places: dict[tuple, Sequence[int]] = {names_of_each[0]: range(len(objects))} if objects else {}
    if len(set(names_of_each)) > 1:
        places = {names: [] for names in dict.fromkeys(names_of_each)}
        for place, names in enumerate(names_of_each):
            places[names].append(place)
    for names, at in places.items():
        chosen = objects if len(at) == len(objects) else [objects[place] for place in at]
        columns = plain_columns(names, chosen)
        at = [lines[place] for place in at]
        if columns is None:
            yield from flattened(chosen, at)
        elif columns:
            yield (tuple(columns), ""), numpy.column_stack(list(columns.values())), numpy.array(at)


def plain_columns(names: Iterable[str], objects: Sequence[dict]) -> dict[str, numpy.ndarray] | None:
    """The columns of numbers in objects that have the same names; None where they have to be flattened first."""
    columns = {}
    for name in names:
        values = [each[name] for each in objects]
        kinds = set(map(type, values))
        if kinds <= {int, float}:
            try:
                columns[name] = numpy.array(values, float)
            except OverflowError:
                return None
        elif not (kinds <= {bool, type(None)} or is_ignored(name) or (kinds == {str} and are_words(name, values))):
            return None
    return {name: column for name, column in columns.items() if not is_ignored(name)}


def are_words(name: str, values: Sequence[str]) -> bool:
    """Whether none of the texts tells a number, or the mode of its record."""
    return name != "mode" and not any(map(NUMBER.fullmatch, values))


def flattened(objects: Sequence[dict], at: Sequence[int]) -> Iterator[Kind]:
    """The same of objects that hold others, lists, or texts."""
    kinds: dict[Key, tuple[list[list[float]], list[int]]] = {}
    for place, each in zip(at, objects, strict=True):
        flat = dict(numbers_in(each))
        mode = each.get("mode")
        key = tuple(flat), MODES.get(mode.lower(), "") if isinstance(mode, str) else ""
        rows, places = kinds.setdefault(key, ([], []))
        rows.append(list(flat.values()))
        places.append(place)
    for key, (rows, places) in kinds.items():
        yield key, numpy.array(rows, float).reshape(len(rows), -1), numpy.array(places)


def numbers_in(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, float]]:
    """The numbers in a value, by the names that lead to them."""
    if isinstance(value, (dict, list)) and depth < DEEPEST and not is_ignored(name):
        items = value.items() if isinstance(value, dict) else enumerate(value[:LONGEST_LIST])
        for key, item in items:
            yield from numbers_in(item, f"{name}/{key}" if name else str(key).strip(), depth + 1)
    elif not isinstance(value, bool) and isinstance(value, (int, float)) and name and not is_ignored(name):
        yield name, as_float(value)
    elif isinstance(value, str) and len(value) < 40 and NUMBER.fullmatch(value) and name and not is_ignored(name):
        yield name, float(value)


def is_ignored(name: str) -> bool:
    """Whether a name is of what RLlib repeats on each line: its settings, times, and inner works."""
    return bool(IGNORED.search(name))


def as_float(value: float) -> float:
    """A number as a float; one beyond all floats is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def without_x(kind: Lines) -> Lines:
    """The records without their x."""
    keep = [place for place, name in enumerate(kind.names) if role_of(name) != "x"]
    return Lines(tuple(kind.names[place] for place in keep), kind.values[:, keep], kind.at)
