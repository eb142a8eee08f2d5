"""What makes a table of numbers a curve: its x, one row for each point, where it begins anew, and where it has gaps.

The words: a *candidate* is a column that may be the x; a *segment* is the rows between two falls of x, as after a
restart; a *gap* is a cell that says nothing; a *literal NaN* is one in which the log itself says NaN. Both are NaN in
the table; `NAN` has a sign, which tells them apart, and which numpy carries along.

What is found in a column that only grows is remembered (``summary_of``): of the next table, only the new rows have to
be looked at.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import pandas

from . import metrics
from .growing import COPIED, LEAST_ROWS, ROOM, NoCurve, only_grows
from .thinning import CHUNK_ROWS, summary_of

NAN = numpy.copysign(numpy.nan, -1)  # the log itself says NaN here
NOTED_NANS = 100  # of a column
MOST_SEGMENTS = 1000  # a column that goes back more often is no x
FEWEST_LABELLED = 3  # rows whose x rises, though they have names: two may rise by chance
ROW = "row"
WALL_TIME = "wall_time"
IDENTITY = re.compile(r"(?i)(^|[_ ])(uu)?id$")  # rows of data or of predictions have one
TELLING = re.compile(r"(?i)rewards?|return|(^|_)ret($|_)|score|^r$|psnr|win_?rate|success")  # beside losses and scores

role_of = functools.lru_cache(1 << 14)(metrics.role_of)


# -- what is found in a column


class Gaps:
    """How many cells of a column hold a number, and in which rows the log itself says NaN."""

    def __init__(self, rows: int = 0) -> None:
        self.seen = self.numbers = 0
        self.nans: list[int] = []

    def extend(self, column: numpy.ndarray) -> None:
        """Look at the rows that came since."""
        for start in range(self.seen, len(column), CHUNK_ROWS):
            rows = column[start : start + CHUNK_ROWS]
            self.seen = start + len(rows)
            gaps = numpy.flatnonzero(are_nan(rows))
            self.numbers += len(rows) - len(gaps)
            if len(gaps) and len(self.nans) < NOTED_NANS:
                self.nans += (start + gaps[numpy.signbit(rows[gaps])]).tolist()[: NOTED_NANS - len(self.nans)]


class Course:
    """How the numbers of a column follow each other: how often they stay, where they fall, through how many they rise.

    Gaps are passed over.
    """

    def __init__(self, rows: int = 0) -> None:
        self.seen = self.stays = self.fallen = 0
        self.falls: list[int] = []  # the rows of the first of them
        self.rises = self.rises_before = 0  # in all, and before the present segment
        self.distinct = 0  # in the segment with the most of them
        self.last = numpy.nan

    def extend(self, column: numpy.ndarray) -> None:
        """Look at the rows that came since."""
        for start in range(self.seen, len(column), CHUNK_ROWS):
            rows = column[start : start + CHUNK_ROWS]
            self.seen = start + len(rows)
            places = numpy.flatnonzero(~are_nan(rows))
            if len(places):
                self.follow(rows[places], start + places)

    def follow(self, values: numpy.ndarray, places: numpy.ndarray) -> None:
        """Go on through the numbers that stand in these rows."""
        before = numpy.concatenate([[self.last], values[:-1]])
        falling = numpy.flatnonzero(values < before)
        rises = self.rises + numpy.cumsum(values > before)
        levels = numpy.concatenate([[self.rises_before], rises[falling], rises[-1:]])
        self.distinct = max(self.distinct, int(numpy.diff(levels).max()) + 1)
        self.stays += int((values == before).sum())
        self.fallen += len(falling)
        self.falls += places[falling[: MOST_SEGMENTS - len(self.falls)]].tolist()
        self.rises, self.rises_before, self.last = int(rises[-1]), int(levels[-2]), values[-1]


def are_nan(column: numpy.ndarray) -> numpy.ndarray:
    """Which cells hold no number."""
    return numpy.isnan(column) if column.dtype.kind == "f" else numpy.zeros(len(column), bool)


class Columns:
    """The columns of a table, and what is found in each of them."""

    def __init__(self, table: pandas.DataFrame) -> None:
        self.rows = len(table)
        self.arrays = {name: column.to_numpy() for name, column in table.items()}
        self.gaps = {name: summary_of(array, Gaps) for name, array in self.arrays.items()}

    @functools.cached_property
    def shown(self) -> list[str]:
        """The columns that are drawn unasked, as far as they say something."""
        named = [name for name in self.arrays if role_of(name) not in ("x", "hidden") and name not in (ROW, WALL_TIME)]
        return [name for name in named if self.gaps[name].numbers or self.gaps[name].nans]

    @functools.cached_property
    def candidates(self) -> dict[str, Course]:
        """The columns that may be the x: every row that holds a metric has a number there, and it goes on."""
        named = [name for name in self.arrays if role_of(name) == "x" or name == WALL_TIME]
        courses = {name: self.course(name) for name in named if not self.misses_rows(name)}
        least = min(self.rows, 2)
        return {name: it for name, it in courses.items() if it.distinct >= least and it.fallen < MOST_SEGMENTS}

    def course(self, name: str) -> Course:
        """How a column goes on."""
        return summary_of(self.arrays[name], Course)

    def misses_rows(self, name: str) -> bool:
        """Whether a column has a gap in a row that holds a metric."""
        if self.gaps[name].numbers == self.rows:
            return False
        gaps = are_nan(self.arrays[name])
        return any(not are_nan(self.arrays[shown][gaps]).all() for shown in self.shown)

    @functools.cached_property
    def x(self) -> str | None:
        """The finest of the candidates that is fit for it, or None."""
        courses = {name: course for name, course in self.candidates.items() if name != WALL_TIME}
        if self.rows == 1:
            return min(courses, key=metrics.rank_of_x, default=None)
        distinct = {name: course.distinct for name, course in courses.items()}
        falls = {name: course.fallen for name, course in courses.items()}
        return metrics.choose_x(distinct, falls, max((self.gaps[name].numbers for name in self.shown), default=0))


# -- a curve


def finished(table: pandas.DataFrame) -> pandas.DataFrame:
    """The curve in a table of numbers, as `read_log` returns it.

    What the attrs of the table say of x, starts, nans, total and format is taken as it is; where they say what x is,
    there is one row for each point. With "labelled", the log has a column of text that gives each row a name: that is
    a table of results, unless x rises. Raises NoCurve, without the name of the log, where there is nothing to be drawn.
    """
    known = dict(table.attrs)
    table = chosen(table, [name for name in table.columns if not metrics.CONFIG.search(name)])
    if not len(table) or not len(table.columns):
        raise NoCurve("it has no rows of numbers yet; wait for its first rows")
    columns = Columns(table)
    x = known.get("x")
    if not x and columns.x:
        x = columns.x
        points = merged(table, x, columns)
        table, columns = points, columns if points is table else Columns(points)
    if not x or x == ROW:
        x = ROW
        table = table if ROW in table else with_rows(table)
        columns.arrays[ROW] = table[ROW].to_numpy()
    assert_curve(columns, x, known.get("labelled", False))
    front = list(dict.fromkeys([x, *columns.candidates]))
    result = chosen(table, [*front, *(name for name in table.columns if name not in front)])
    result.attrs = told(columns, x, known)
    return result


def assert_curve(columns: Columns, x: str, labelled: bool) -> None:
    """See that there is something to be drawn, over an x or, where the names promise a curve, over the rows."""
    if not columns.shown:
        raise NoCurve("it has no column of numbers beside its x, times and settings; log a loss or a score")
    rises = x != ROW and columns.course(x).distinct == columns.rows
    if labelled and not (rises and columns.rows >= FEWEST_LABELLED):
        raise NoCurve("its rows are results with names, without an x that rises; log a step or an epoch in each row")
    if x == ROW and any(map(IDENTITY.search, columns.arrays)):
        raise NoCurve("its rows are things with an id, not points of a run; log a step or an epoch in each row")
    if x == ROW and not any(role_of(name) in ("loss", "score") or TELLING.search(name) for name in columns.shown):
        raise NoCurve("it has neither an x nor a loss or a score; log a step or an epoch in each row")


def told(columns: Columns, x: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """All that `read_log` says of a table beside its numbers."""
    others = [name for name in columns.candidates if name not in (x, ROW) and (x != ROW or name == WALL_TIME)]
    nans = {name: tuple(gaps.nans) for name, gaps in columns.gaps.items() if gaps.nans}
    return {name: value for name, value in known.items() if name in ("format", "name", "sheets")} | {
        "x": x,
        "xs": (*([x] if x != ROW else []), *others, ROW),
        "starts": tuple(known.get("starts") or (0, *columns.course(x).falls)),
        "nans": known.get("nans") or nans,
        "total": known.get("total"),
        "whole": known.get("whole", True),
    }


def chosen(table: pandas.DataFrame, names: Sequence[str]) -> pandas.DataFrame:
    """Some columns of a table in their order, not copied."""
    if list(names) == list(table.columns):
        return table
    return pandas.DataFrame({name: table[name] for name in names}, copy=COPIED)


def with_rows(table: pandas.DataFrame) -> pandas.DataFrame:
    """The table with the number of each row in its first column."""
    room = LEAST_ROWS
    while room < len(table):
        room = int(room * ROOM)
    return pandas.DataFrame({ROW: rows_from_zero(room).iloc[: len(table)], **dict(table.items())}, copy=COPIED)


@functools.lru_cache(1)
def rows_from_zero(room: int) -> pandas.Series:
    """The numbers 0, 1, 2, ... in memory that is known not to change: those of a longer table are remembered."""
    buffer = numpy.arange(room)
    only_grows(buffer)
    return pandas.Series(buffer, copy=False)


# -- rows of one x


def merged(table: pandas.DataFrame, x: str, columns: Columns) -> pandas.DataFrame:
    """The table with each point in one row.

    Rows without an x are left out: they hold no metric. Rows that follow each other with the same x become one where
    they have no column in common but hidden ones (a time, a learning rate), as those of training and of validation;
    others stay as they are, in their order.
    """
    if columns.gaps[x].numbers < len(table):
        table = table[~are_nan(columns.arrays[x])].reset_index(drop=True)
        columns = Columns(table)
    values = [name for name in table.columns if role_of(name) not in ("x", "hidden") and name != WALL_TIME]
    told = any(columns.gaps[name].numbers == len(table) for name in values)  # in every row: none can be joined
    if told or not values or not columns.course(x).stays:
        return table
    filled = numpy.column_stack([are_filled(columns.arrays[name]) for name in values])
    first = first_rows(columns.arrays[x], filled)
    if len(first) == len(table):
        return table
    place = numpy.repeat(numpy.arange(len(first)), numpy.diff([*first, len(table)]))
    return pandas.DataFrame({name: joined(array, place, len(first)) for name, array in columns.arrays.items()})


def are_filled(column: numpy.ndarray) -> numpy.ndarray:
    """Which cells say something, be it NaN."""
    return ~are_nan(column) | numpy.signbit(column)


def first_rows(x: numpy.ndarray, filled: numpy.ndarray) -> numpy.ndarray:
    """The first row of each point."""
    clash = (x[1:] != x[:-1]) | (filled[1:] & filled[:-1]).any(axis=1)
    first = numpy.flatnonzero(numpy.concatenate([[True], clash]))
    crowded = numpy.add.reduceat(filled.astype(numpy.intp), first).max(axis=1) > 1
    ends = [*first[1:], len(x)]
    more = [split(filled, first[point], ends[point]) for point in numpy.flatnonzero(crowded)]
    return numpy.unique(numpy.concatenate([first, *more])).astype(numpy.intp)


def split(filled: numpy.ndarray, start: int, end: int) -> list[int]:
    """Where a point has to end within rows of one x, so that none of its columns is filled twice."""
    so_far, starts = filled[start].copy(), []
    for row in range(start + 1, end):
        if (so_far & filled[row]).any():
            starts.append(row)
            so_far[:] = False
        so_far |= filled[row]
    return starts


def joined(column: numpy.ndarray, place: numpy.ndarray, count: int) -> numpy.ndarray:
    """A column with its rows put in these places; where several are filled, the first one stays."""
    rows = numpy.flatnonzero(are_filled(column))[::-1]
    filled = numpy.zeros(count, bool)
    filled[place[rows]] = True
    result = numpy.full(count, numpy.nan) if not filled.all() else numpy.empty(count, column.dtype)
    result[place[rows]] = column[rows]
    return result


# -- tables side by side


def beside(tables: Mapping[str, pandas.DataFrame]) -> pandas.DataFrame:
    """The curves of one run that were logged apart, as one: over the x of the first, and with a prefix for each."""
    first = next(iter(tables.values()))
    x = first.attrs["x"]
    alike = {prefix: table for prefix, table in tables.items() if table.attrs["x"] == x and table[x].is_unique}
    if not alike:
        return first
    columns = [table.set_index(x).add_prefix(prefix) for prefix, table in alike.items()]
    together = pandas.concat(columns, axis=1).sort_index().rename_axis(x).reset_index()
    together.attrs = {"x": x, "format": first.attrs["format"], "total": first.attrs["total"]}
    return finished(together)
