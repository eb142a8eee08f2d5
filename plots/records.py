"""Records that come one after the other, as the lines of a log do, become the columns of a table that grows.

The vocabulary: a *record* says the values of some *names*; records of one *kind* have the same names. A record stands
at a *point*: the values of all x columns. Records that follow each other at one point share a *row*, unless one of
them says a name anew; a hidden one (a time, a learning rate) may stand in several of them, and the first value stays.
Where one row *repeats* the point of another, as where an epoch is rounded, each further record there is a row by
itself: nothing tells which of them it belongs to. A name that is *rare* has too few values to be a column yet.

Nothing is copied to hand out a table, and what was handed out never changes: where a later record completes the last
row, the columns that it completes move to other memory first.
"""

import bisect
from collections.abc import Iterator, Mapping, Sequence, Set

import numpy
import pandas

from .growing import COPIED, LEAST_ROWS, ROOM, only_grows
from .metrics import role_of

MOST_COLUMNS = 2000  # names that never come again are no curves
NOTED_NANS = 100  # of a column
FEW = 2  # values need no buffer yet
EXACT = 2.0**53  # beyond it, a float may stand for several whole numbers

Column = numpy.ndarray  # of float
Kind = tuple[Sequence[str], numpy.ndarray]  # the names, and the values: a row for each record of the kind


Rows = numpy.ndarray  # of line numbers


class Lines:
    """Records of one kind, and the numbers of their lines."""

    def __init__(self, names: Sequence[str], values: numpy.ndarray, at: Rows) -> None:
        self.names, self.values, self.at = names, values, at

    def between(self, start: int, end: int) -> "Lines":
        """Those of the lines from start to end."""
        if not len(self.at) or (start <= self.at[0] and self.at[-1] < end):
            return self
        chosen = (start <= self.at) & (self.at < end)
        return Lines(self.names, self.values[chosen], self.at[chosen])


def carried(values: Column, last: float) -> Column:
    """Values with each gap filled by the one before, the first ones by the last one of those before."""
    values = numpy.concatenate([[last], values])
    said = numpy.where(numpy.isnan(values), 0, numpy.arange(len(values)))
    return values[numpy.maximum.accumulate(said)][1:]


class Records:
    """All records so far, as a table that grows; a name with fewer than `fewest` values is rare, unless it is sure."""

    def __init__(self, fewest: int = 1, sure: Set[str] = frozenset()) -> None:
        self.fewest, self.sure = fewest, sure
        self.rows = 0
        self.columns: dict[str, Cells] = {}
        self.point: dict[str, float] = {}  # of the last record
        self.filled = 0  # the names that the last row has, as bits
        self.repeats = False  # the last row repeats the point of the one before

    def add(self, record: Mapping[str, float], point: Mapping[str, float]) -> None:
        """Take one record, which stands at a point."""
        values = numpy.array([list(record.values())], float)
        self.extend([(tuple(record), values)], numpy.zeros(1, int), {x: numpy.array([at]) for x, at in point.items()})

    def take(self, kinds: Sequence[Lines], points: Mapping[str, Column], start: int, end: int) -> None:
        """Take the records of the lines from start to end; `points` has the x columns of all lines."""
        chosen = [kind.between(start, end) for kind in kinds]
        chosen = sorted((kind for kind in chosen if len(kind.at)), key=lambda kind: int(kind.at[0]))
        if chosen:
            at = numpy.concatenate([kind.at for kind in chosen])
            order = numpy.argsort(at, kind="stable")
            numbers = numpy.repeat(numpy.arange(len(chosen)), [len(kind.at) for kind in chosen])[order]
            here = {name: values[at[order]] for name, values in points.items()}
            self.extend([(kind.names, kind.values) for kind in chosen], numbers, here)

    def extend(self, kinds: Sequence[Kind], order: numpy.ndarray, points: Mapping[str, Column]) -> None:
        """Take many records at once.

        Parameters
        ----------
        kinds
            The records of each kind, in their order. A NaN among the values is one that the log itself says.
        order
            How the records of all kinds follow each other: for each record, the number of its kind.
        points
            The values of each x column, one for each record; NaN where it has none.
        """
        if not len(order):
            return
        for x in points:
            self.cells(x)
        bits = [sum(self.cells(name).bit for name in dict.fromkeys(names)) for names, _ in kinds]
        begins = self.beginnings(bits, order, points)
        rows = self.rows - 1 + numpy.cumsum(begins)
        for x, values in points.items():
            told = begins & ~numpy.isnan(values)
            self.cells(x).put(rows[told], values[told])
        for name, at, values in by_name(kinds, order):
            self.cells(name).put(rows[at], values)
        self.rows = int(rows[-1]) + 1
        self.point = {x: float(values[-1]) for x, values in points.items()}

    def cells(self, name: str) -> "Cells":
        """Those of a name; the names beyond the first MOST_COLUMNS share some that nobody sees."""
        if name not in self.columns:
            if len(self.columns) >= MOST_COLUMNS:
                return Cells(0)
            self.columns[name] = Cells(0 if role_of(name) == "hidden" else 1 << len(self.columns))
        return self.columns[name]

    def beginnings(self, bits: Sequence[int], order: numpy.ndarray, points: Mapping[str, Column]) -> numpy.ndarray:
        """Which records begin a row: those at another point than the one before, or to which the row is closed."""
        begins, nowhere = numpy.zeros(len(order), bool), numpy.ones(len(order), bool)
        for x, values in points.items():
            before, missing = numpy.concatenate([[self.point.get(x, numpy.nan)], values[:-1]]), numpy.isnan(values)
            begins |= (values != before) & ~(missing & numpy.isnan(before))
            nowhere &= missing
        begins |= nowhere
        kinds, last = order.tolist(), -2
        for record in numpy.flatnonzero(~begins).tolist():
            if record - 1 != last and record:
                self.filled, self.repeats = bits[kinds[record - 1]], False
            more = bits[kinds[record]]
            begins[record] = self.repeats = self.repeats or bool(self.filled & more)
            self.filled = more if begins[record] else self.filled | more
            last = record
        if last != len(order) - 1:
            self.filled, self.repeats = bits[kinds[-1]], False
        return begins

    def table(self) -> pandas.DataFrame:
        """All rows, in the memory in which they are kept; attrs["nans"] tells where the log itself says NaN."""
        xs = sorted(self.point.keys() & self.columns.keys(), key=lambda x: (self.columns[x].since, x))
        names = [*xs, *(name for name in self.columns if name not in self.point)]
        shown = {name: self.columns[name] for name in names if name in self.sure or self.is_frequent(name)}
        columns = {name: cells.first(self.rows) for name, cells in shown.items()}
        table = pandas.DataFrame(columns, copy=COPIED)
        nans = {name: cells.nans for name, cells in shown.items() if cells.nans}
        empty = self.empty_rows(shown) if shown else []
        if empty:
            table = table.drop(index=empty).reset_index(drop=True)
            nans = {name: [row - bisect.bisect(empty, row) for row in rows] for name, rows in nans.items()}
        table.attrs["nans"] = {name: tuple(rows) for name, rows in nans.items()}
        return table

    def is_frequent(self, name: str) -> bool:
        """Whether a name has values enough to be a column."""
        return name in self.columns and self.columns[name].count >= self.fewest

    def empty_rows(self, shown: Mapping[str, "Cells"]) -> list[int]:
        """The rows in which nothing stands but rare names."""
        rare = {row for name, cells in self.columns.items() if name not in shown for row in cells.early}
        rows = numpy.array(sorted(rare), int)
        for name, cells in shown.items():
            if len(rows) and name not in self.point:
                rows = rows[numpy.isnan(cells.numbers.buffer[rows])]
        return rows.tolist()


def by_name(kinds: Sequence[Kind], order: numpy.ndarray) -> Iterator[tuple[str, Rows, Column]]:
    """For each name, which of the records say it, in their order, and what they say."""
    said: dict[str, list[tuple[Rows, Column]]] = {}
    for number, (names, values) in enumerate(kinds):
        at = numpy.flatnonzero(order == number)
        for name, column in zip(names, values.T, strict=True):
            said.setdefault(name, []).append((at, column))
    for name, parts in said.items():
        at, column = (numpy.concatenate(each) for each in zip(*parts, strict=True))
        in_order = numpy.argsort(at, kind="stable")
        yield name, at[in_order], column[in_order]


class Cells:
    """What the rows have in one column: the first few each by itself, more of them in a buffer."""

    def __init__(self, bit: int) -> None:
        self.bit = bit  # by which a record that says the name anew is known; 0 where it may
        self.last = -1  # the last row that is filled
        self.since = 0  # the first row
        self.count = 0
        self.nans: list[int] = []  # the first rows in which the log itself says NaN
        self.are_whole = True
        self.early: dict[int, float] = {}  # so few that a buffer for them would be nearly all gaps
        self.numbers = Buffer(float)
        self.whole_numbers = Buffer(numpy.int64)  # the same, as long as there is no other and no gap

    def put(self, rows: numpy.ndarray, values: Column) -> None:
        """Fill rows, none of which is above the last one that is filled; the first value for a row stays."""
        fresh = numpy.diff(rows, prepend=self.last) > 0
        rows, values = (rows, values) if fresh.all() else (rows[fresh], values[fresh])
        if not len(rows):
            return
        self.last = int(rows[-1])
        self.since = self.since if self.count else int(rows[0])
        self.count += len(rows)
        if len(self.nans) < NOTED_NANS:
            self.nans += rows[numpy.isnan(values)].tolist()[: NOTED_NANS - len(self.nans)]
        self.are_whole = self.are_whole and are_whole(values)
        if self.count <= FEW:
            self.early |= zip(rows.tolist(), values.tolist(), strict=True)
        else:
            self.settle()
            self.numbers.put(rows, values)

    def settle(self) -> None:
        """Put the first few rows into the buffer."""
        if self.early:
            self.numbers.put(numpy.array(list(self.early)), numpy.array(list(self.early.values())))
            self.early = {}

    def first(self, rows: int) -> pandas.Series:
        """The first rows: int64 where every one is a whole number, else float64 with NaN in the gaps."""
        self.settle()
        if not (self.are_whole and self.count == rows):
            return self.numbers.first(rows)
        new = numpy.arange(self.whole_numbers.rows, rows)
        self.whole_numbers.put(new, self.numbers.buffer[new])
        return self.whole_numbers.first(rows)


def are_whole(values: Column) -> bool:
    """Whether all are whole numbers that a float tells exactly."""
    return bool((numpy.abs(values) < EXACT).all() and (values == numpy.floor(values)).all())


class Buffer:
    """Memory with room for more rows, of which those that were shown are never changed; the others may be gaps yet."""

    def __init__(self, kind: type) -> None:
        self.rows = self.shown = 0
        self.renew(0, kind)

    def renew(self, rows: int, kind: type | numpy.dtype) -> None:
        """Move to memory with room for so many rows and more."""
        buffer = numpy.empty(max(LEAST_ROWS, int(rows * ROOM)), kind)
        if self.rows:
            buffer[: self.rows] = self.buffer[: self.rows]
        only_grows(buffer)
        self.buffer, self.series, self.shown = buffer, pandas.Series(buffer, copy=False), 0

    def reach(self, rows: int) -> None:
        """Have so many rows at least: gaps, where nothing has been put."""
        if rows > len(self.buffer):
            self.renew(rows, self.buffer.dtype)
        if rows > self.rows:
            if self.buffer.dtype == float:
                self.buffer[self.rows : rows] = numpy.nan
            self.rows = rows

    def put(self, rows: numpy.ndarray, values: numpy.ndarray) -> None:
        """Fill rows, which rise."""
        if not len(rows):
            return
        if rows[0] < self.shown:
            self.renew(self.rows, self.buffer.dtype)
        self.reach(int(rows[-1]) + 1)
        self.buffer[rows] = values

    def first(self, rows: int) -> pandas.Series:
        """The first rows, not copied: pandas copies them for whoever changes them, as long as `series` is alive."""
        self.reach(rows)
        self.shown = max(self.shown, rows)
        return self.series.iloc[:rows]
