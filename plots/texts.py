"""Logs for people to read: text with values in it, whose curves are found without being told its format.

The vocabulary: the *shape* of a line is what is left without its numbers and blanks. What a line of a shape says is
found out once (`lines.reading_of`) and makes a *plan*: one regular expression for the numbers of all such lines. What
is said of x holds for the lines below, until x is said anew.

A log is one of a run where a loss or a score has FEWEST values. What else is a column of it? A name that has as many,
and one that is *sure*: in its line, there is an x, a loss or a score. So the first validation shows as soon as it is
printed, and settings never do.

The rule: a log is read in pieces as it would be read at once, wherever the pieces end.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy
import pandas

from . import curves
from .alike import MANY_LINES, Numbering, commas, groups, shapes_of, table_of
from .growing import NoCurve
from .jsonlines import JsonLines
from .layouts import Boxed, Headerless, SpacedTable
from .lines import BARE_PART, FAMILY_OF, Reading, Span, is_telling, name_of, reading_of
from .metrics import part_and_base, role_of
from .records import Lines, Records, Rows, carried
from .steps import Steps

__all__ = ["Boxed", "FreeText", "Headerless", "JsonLines", "SpacedTable"]

BLOCK_LINES = 1 << 17  # read at a time
FEWEST = 3  # values of a name; settings and results have fewer
SHAPES = 20_000  # remembered
PLANS = 16  # of one shape
ONCE = re.compile(r"(?i)(?<![a-z])(best|final)(?![a-z])")  # said when all is over
LEAST_SHARE = 0.2  # of the rows, which a loss has that is drawn over them
DIGITS = re.compile(r"[-+.\d]+")
TELLING_WORDS = re.compile(r"(?i)loss|acc|epoch|step|iter|score|error|reward")  # worth a look among many sentences
PIECES = re.compile(r"(?P<digits>[-+.\d]+)|(?P<blank>[ \t]+)|(?P<other>[^-+.\d \t]+)")
STEP, EPOCH = "step", "epoch"

Found = tuple["Plan", Rows, numpy.ndarray]  # the lines of a plan, and their numbers


class FreeText:
    """Any text: the numbers with a key, at the x that was said last."""

    name = "text"

    def __init__(self) -> None:
        self.shapes = Shapes()
        self.axes = Axes()
        self.sure: set[str] = set()  # the names that count from their first value on
        self.records = Records(FEWEST, self.sure)
        self.by = ""  # what its rows are: of "x", or of "row" where a curve was there before any x

    @staticmethod
    def recognises(path: Path, head: str) -> bool:
        """Any text may be one."""
        return True

    def feed(self, text: str) -> None:
        """Take the complete lines that were added."""
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        for start in range(0, len(lines), BLOCK_LINES):
            self.read(lines[start : start + BLOCK_LINES])

    def read(self, lines: list[str]) -> None:
        """Read some lines."""
        found = self.shapes.read(lines)
        points = self.axes.points(found, len(lines))
        kinds, start = kinds_of(found), 0
        self.sure.update(*(plan.sure for plan, _, _ in found))
        telling = [kind for kind in kinds if has_loss_or_score(kind.names)]
        if not self.by:
            start = min((first_number(values) for values in points.values()), default=len(lines))
            self.records.take(telling, {}, 0, start)
            if has_curve(self.records):
                self.by = "row"
            elif start < len(lines):
                self.by, self.records = "x", Records(FEWEST, self.sure)  # above the first x, there are settings
        if self.by == "row":
            self.records.take(telling, {}, start, len(lines))
        elif self.by == "x":
            self.records.take(kinds, points, start, len(lines))

    def table(self) -> pandas.DataFrame:
        """The table of what was found; raises NoCurve where that is no curve."""
        table = self.records.table()
        nans = table.attrs["nans"]
        values = [name for name in table.columns if name not in self.axes.names]
        least = "" if self.by == "x" else "loss"
        if not any(is_curve(name, least) and self.records.is_frequent(name) for name in values):
            raise NoCurve(
                f"no loss or score has {FEWEST} values that follow each other; if it is a log that has just begun, "
                "wait for its first rows"
            )
        idle = [name for name in self.axes.idle() if name in table]
        names = loss_names(values)
        table = table.drop(columns=idle).rename(columns=names)
        x = curves.Columns(table).x or curves.ROW
        if x == curves.ROW and not self.fills_rows(values):
            raise NoCurve("its numbers stand in sentences, without a step or an epoch that rises; log both in one line")
        last = table[x].iloc[-1] if x in table else None
        table.attrs = {
            "x": x,
            "total": self.axes.total(x, last),
            "nans": {names.get(name, name): rows for name, rows in nans.items()},
            "format": self.name,
        }
        return table

    def fills_rows(self, names: Sequence[str]) -> bool:
        """Whether a loss or a score stands in many of the rows."""
        counts = [self.records.columns[name].count for name in names if is_curve(name, "")]
        return max(counts) >= LEAST_SHARE * self.records.rows


def first_number(values: numpy.ndarray) -> int:
    """The place of the first number, or the length where there is none."""
    numbers = ~numpy.isnan(values)
    return int(numbers.argmax()) if numbers.any() else len(values)


def has_loss_or_score(names: Sequence[str]) -> bool:
    """Whether one of them is worth a row without an x."""
    return any(role_of(name) in ("loss", "score") for name in names)


def has_curve(records: Records) -> bool:
    """Whether a loss has enough values for a curve over the rows."""
    return any(records.is_frequent(name) and is_curve(name, "loss") for name in records.columns)


def is_curve(name: str, least: str) -> bool:
    """Whether a column is what a log is drawn for; of a log without an x, only a loss is."""
    return role_of(name) == "loss" if least else role_of(name) not in ("x", "hidden") and is_telling(name)


def loss_names(names: Sequence[str]) -> dict[str, str]:
    """New names for "train" and "val", where they stand beside a loss: they are losses then."""
    bare = [name for name in names if BARE_PART.fullmatch(name) and part_and_base(name)[1] == name]
    beside_a_loss = any(part_and_base(name)[1].casefold() == "loss" for name in names)
    others = any(role_of(name) == "score" for name in names)
    return {name: f"{name} loss" for name in bare if beside_a_loss and not others and f"{name} loss" not in names}


# -- lines of one shape


def kinds_of(found: list[Found]) -> list[Lines]:
    """The records in lines."""
    return [plan.records(numbers, at) for plan, at, numbers in found if plan.names]


class Shapes:
    """What was found out about lines so far."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = Numbering()
        self.plans: list[list[Plan]] = []
        self.dumb: list[set[str]] = []  # lines that say nothing, by what is left when each number is a 0
        self.heading: tuple[str, ...] = ()
        self.repeats = False  # the next line does
        self.understood = 0  # lines, one by one

    def read(self, lines: list[str]) -> list[Found]:
        """The numbers in lines, by plans."""
        if len(self.numbers) > SHAPES:
            self.forget()
        numbers = shapes_of(lines, self.numbers)
        more = len(self.numbers) - len(self.plans)
        self.plans += [[] for _ in range(more)]
        self.dumb += [set() for _ in range(more)]
        found = [each for shape, at in groups(numbers) for each in self.read_shape(shape, at, lines)]
        return self.without_repeats(found, len(lines))

    def forget(self) -> None:
        """Forget the shapes: a log that has so many is one of sentences."""
        self.numbers, self.plans, self.dumb = Numbering(), [], []

    def read_shape(self, shape: int, at: Rows, lines: list[str]) -> Iterator[Found]:
        """The numbers in lines of one shape."""
        plans, tried = self.plans[shape], 0
        while len(at):
            for plan in plans[tried:]:
                numbers, fits = plan.read([lines[row] for row in at.tolist()] if len(at) < len(lines) else lines)
                if fits.any():
                    yield plan, at[fits], numbers
                at = at[~fits]
            tried = len(plans)
            if tried >= PLANS:
                return  # its names change from line to line
            for place, row in enumerate(at.tolist()):
                if plan := self.new_plan(shape, lines[row]):
                    yield plan, at[place : place + 1], plan.own_numbers()
                    plans.append(plan)
                    at = at[place + 1 :]
                    break
            else:
                return

    def new_plan(self, shape: int, line: str) -> "Plan | None":
        """The plan of a line that none of the shape's plans fits, unless it says nothing."""
        left = DIGITS.sub("0", line)
        if left in self.dumb[shape]:
            return None
        plan = self.plan_of(line)
        if not plan:
            self.dumb[shape].add(left)
        return plan

    def plan_of(self, line: str) -> "Plan | None":
        """The plan of a line that is unlike those before it."""
        self.understood += 1
        if self.understood > SHAPES and not TELLING_WORDS.search(line):
            return None
        reading = reading_of(line, self.heading)
        if reading.heading and reading.heading != self.heading:
            self.heading = reading.heading
        return Plan(line, reading) if reading.says_something else None

    def without_repeats(self, found: list[Found], count: int) -> list[Found]:
        """What was found, but for the lines below one that says that they repeat an old one."""
        below = [at + 1 for plan, at, _ in found if plan.repeats]
        if not below and not self.repeats:
            return found
        old = numpy.concatenate([*below, [0] if self.repeats else []]).astype(int)
        self.repeats = bool((old == count).any())
        kept = [(plan, at, numbers, ~numpy.isin(at, old)) for plan, at, numbers in found]
        return [(plan, at[keep], numbers[keep]) for plan, at, numbers, keep in kept if keep.any()]


class Plan:
    """What lines of one shape say: for each of their numbers what it is, and one expression that finds them."""

    def __init__(self, line: str, reading: Reading) -> None:
        self.reading = reading
        self.line = line
        self.repeats = reading.repeats
        self.names = tuple(name for name, _ in reading.values)
        tells = reading.points or reading.within or any(map(is_telling, self.names))
        self.sure = [name for name in self.names if tells and not ONCE.search(name)]
        spans = [span for _, span in reading.values if isinstance(span, tuple)]
        spans += [span for _, span in (*reading.points, *reading.totals)] + list(reading.shares.values())
        spans += [span for span in (*(reading.within or ())[1:], *(reading.progress or ())) if span]
        self.spans = sorted(set(spans))
        self.place = {span: place for place, span in enumerate(self.spans)}
        self.pattern: re.Pattern | None = None
        self.commas: bytes | None = None  # by which lines become those of a CSV file; empty where they cannot
        totals = dict(reading.totals)
        self.points = [(word, span, totals.get(word), False) for word, span in reading.points]
        self.points += [(*reading.within, True)] if reading.within else []

    def own_numbers(self) -> numpy.ndarray:
        """The numbers of the line that the plan was made from."""
        return numpy.array([[number(self.line[start:end]) for start, end in self.spans]]).reshape(1, -1)

    def read(self, lines: Sequence[str]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The numbers in those of the lines that fit, a row each, and which do."""
        self.pattern = self.pattern or re.compile(self.expression(), re.MULTILINE)
        fits = numpy.ones(len(lines), bool)
        if len(lines) >= MANY_LINES:
            text = "\n".join(lines)
            numbers = self.as_table(text)
            if numbers is None:
                numbers = self.numbers_of(self.pattern.findall(text))
            if numbers is not None and len(numbers) == len(lines):
                return numbers, fits
        found = [self.pattern.fullmatch(line) for line in lines]
        rows = [self.row(each) if each else None for each in found]
        fits[:] = [row is not None for row in rows]
        numbers = numpy.array([row for row in rows if row is not None], float)
        return numbers.reshape(int(fits.sum()), len(self.spans)), fits

    def row(self, found: re.Match) -> list[float] | None:
        """The numbers of one line, or None where one of them is none."""
        try:
            return [number(text) for text in found.groups()]
        except ValueError:
            return None

    def numbers_of(self, found: list) -> numpy.ndarray | None:
        """The numbers of many lines; None where one of them is none."""
        if not self.spans:
            return numpy.empty((len(found), 0))
        texts = found if len(self.spans) == 1 else chain.from_iterable(found)
        try:
            flat = numpy.fromiter(map(self.convert, texts), float, len(found) * len(self.spans))
        except ValueError:
            return None
        return flat.reshape(-1, len(self.spans))

    def as_table(self, text: str) -> numpy.ndarray | None:
        """The same by pandas, where it can."""
        if self.commas is None:
            self.commas = commas(self.line, self.spans)
        return table_of(text, self.commas, len(self.spans))

    @property
    def convert(self) -> type[float]:
        """What makes a number of a text."""
        return number if any("," in self.line[start:end] for start, end in self.spans) else float

    def expression(self) -> str:
        """A regular expression for all lines of the plan, with a group for each number."""
        parts, end = [], 0
        for start, stop in self.spans:
            text = self.line[start:stop]
            parts += [self.between(end, start), "(" + ("[-+.,\\d]++" if "," in text else "[-+.\\d]++")]
            parts.append("[eE][-+\\d]++)" if "e" in text.lower() else ")")
            end = stop
        return "^" + "".join(parts) + self.between(end, len(self.line)) + "$"

    def between(self, start: int, end: int) -> str:
        """The part of the expression for what stands between two numbers."""
        pieces = PIECES.finditer(self.line[start:end])
        return "".join(self.piece(start + found.start(), found.lastgroup or "", found[0]) for found in pieces)

    def piece(self, start: int, kind: str, text: str) -> str:
        """The same for digits, blanks, or letters: blanks may be more or fewer."""
        if kind == "blank":
            return r"[ \t]*+"
        return self.digits(start, text) if kind == "digits" else re.escape(text)

    def digits(self, start: int, text: str) -> str:
        """Digits that no value is read from: those of a name are the same in all lines."""
        if any(first <= start < last for first, last in self.reading.keys):
            return re.escape(text)
        return r"[-+.\d]*+"

    def column(self, numbers: numpy.ndarray, span: "Span | float") -> numpy.ndarray:
        """The numbers at one place of the line, or one that is the same in all lines."""
        return numbers[:, self.place[span]] if isinstance(span, tuple) else numpy.full(len(numbers), span)

    def records(self, numbers: numpy.ndarray, at: Rows) -> Lines:
        """The records in lines of the plan."""
        columns = [self.column(numbers, span) for _, span in self.reading.values]
        for name, span in self.reading.shares.items():
            if name in self.names:
                whole = self.column(numbers, span)
                place = self.names.index(name)
                share = numpy.full(len(at), numpy.nan)
                columns[place] = numpy.divide(columns[place], whole, out=share, where=whole != 0)
        lines = Lines(self.names, numpy.column_stack(columns), at)
        if not self.reading.progress:
            return lines
        done, every = (self.column(numbers, span) for span in self.reading.progress)
        return Lines(self.names, lines.values[done >= every], at[done >= every])


def number(text: str) -> float:
    """The number that a text is, with or without separated thousands."""
    return float(text.replace(",", ""))


# -- x


class Axes:
    """The x columns of a log: what its x words said last, and steps that begin anew with each epoch counted on."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # the x columns: of words for one thing, the one that came first
        self.families: dict[str, str] = {}
        self.last: dict[str, float] = {}
        self.totals: dict[str, float] = {}
        self.steps = Steps()

    def axis(self, word: str) -> str:
        """The column for an x word."""
        family = FAMILY_OF.get(name_of(word), word)
        name = self.families.setdefault(STEP if family == "batch" else family, word)
        self.names[name] = family
        return name

    def idle(self) -> list[str]:
        """The x columns that say nothing: steps that are the same in each epoch."""
        return [self.families[STEP]] if STEP in self.families and self.steps.are_idle else []

    def total(self, x: str, last: float | None) -> float | None:
        """The last value that an x will have, where the log tells it."""
        total = self.totals.get(x)
        if total and x == self.families.get(STEP) and self.steps.are_within:
            epochs = self.totals.get(self.families.get(EPOCH, ""))
            total = total * epochs if epochs else None
        return total if total and last is not None and last <= total else None

    def points(self, found: list[Found], count: int) -> dict[str, numpy.ndarray]:
        """The values of each x column in so many lines."""
        said: dict[str, numpy.ndarray] = {}
        totals: dict[str, numpy.ndarray] = {}
        for plan, at, numbers in sorted(found, key=lambda each: each[1][0]):
            for word, span, total, is_within in plan.points:
                name = self.axis(word)
                values = said.setdefault(name, numpy.full(count, numpy.nan))
                if is_within and name in map(self.axis, (word for word, _ in plan.reading.points)):
                    continue  # the line says a step of the whole run, too
                values[at] = plan.column(numbers, span)
                if total:
                    totals.setdefault(name, numpy.full(count, numpy.nan))[at] = plan.column(numbers, total)
        self.totals |= {name: float(values[~numpy.isnan(values)][-1]) for name, values in totals.items()}
        return self.carried(said, totals.get(self.families.get(STEP, ""), numpy.full(count, numpy.nan)))

    def carried(self, said: dict[str, numpy.ndarray], every: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """What was said, also in the lines below; `every` is how many steps an epoch has, where a line says it."""
        points = {}
        for name in sorted(self.names, key=lambda name: self.names[name] != EPOCH):
            values = said.get(name, numpy.full(len(every), numpy.nan))
            if name == self.families.get(STEP) and EPOCH in self.families:
                values = self.steps.counted_on(values, points[self.families[EPOCH]], every)
            points[name] = carried(values, self.last.get(name, numpy.nan))
            self.last[name] = float(points[name][-1])
        return points
