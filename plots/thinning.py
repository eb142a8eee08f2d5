"""Long lines, drawn with the few points that show.

A line of ten million points crosses some five hundred columns of pixels. Of all its points in a sliver of such a
column, the first, the last, the lowest and the highest make the same picture (M4: Uwe Jugel and others, "M4: a
visualization-oriented time series data aggregation", VLDB 2014). While the context ``thinning`` lasts, matplotlib's
lines find these points when they are made, roughly, and when they are drawn, for the view that is then seen; points
that the width of the line covers anyway are left out. Asked for their data or their limits, lines answer for all their
points.

The words: a *row* is the place of a point in its line; a *block* is 32 rows, or 64, or 128, and so on; the *marks* of
a block are the rows that stand out in it; the *picks* are the rows that are drawn. A *strip* is a sliver of the screen,
much narrower than the line; a *tip* is a point that shows above or below its neighbours in a noisy band, whose inside
the line fills anyway; there the line *turns* back rather than cross the band once more.

Where a column of numbers only ever grows, ``only_grows`` says so: the marks of its blocks are then remembered, and
those of the new rows alone have to be found.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise
from typing import Any

import numpy
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

Column = numpy.ndarray  # of numbers or times, one for each row
Rows = numpy.ndarray  # of int

FEWEST_ROWS = 50_000  # of a line worth thinning: matplotlib draws a shorter one quickly
LEAST_GAIN = 4  # a line is drawn with a quarter of its points, or whole
COLUMNS_PER_PIXEL = 16  # with 8, a random walk differs by more than after matplotlib's own simplification
STRIPS_PER_WIDTH = 16  # of a line: what two strips beside a point cover, shows just as well without the point
STRIPS_PER_STROKE = 8  # half a width: one stroke through so many then covers all that lies between their tips
THINNEST_POINTS = 0.1  # the width that thinner lines are taken to have
BLOCK_ROWS = 32  # the marks of all blocks then take an eighth of the memory that the numbers take
HALVINGS = 2  # of these blocks where they are wider than a column: down to 8 rows
CHUNK_ROWS = 1 << 20  # that are looked at in one go, so that what is computed meanwhile stays small

LOWEST, HIGHEST, LEAST, GAP = range(4)  # the marks; LEAST is the lowest above zero, GAP the first that is no number
FIRST, TOP, BOTTOM, LAST, INSIDE = range(5)  # what the points of a strip are, in the order of drawing them
POINTS_PER_TIP = 3  # itself and a turn on either side
NONE = -1  # in place of a row: the block has no such mark
WORST = numpy.array([numpy.inf, -numpy.inf, numpy.inf])  # the values of the marks before GAP, where there are none

ORDERED_SCALES = {"linear", "log", "symlog", "logit", "asinh"}
NO_MARKER = {"None", "none", " ", ""}


# ---- The context ----


@contextmanager
def thinning(on: bool = True) -> Iterator["Thinning"]:
    """While this context lasts, matplotlib draws long lines with the few points that show.

    Yields a ``Thinning``: its ``fit`` is to be called before each ``savefig``, its ``notes`` say what was thinned.
    A line is thinned where that is surely safe: x rises or falls, there are no markers, and the axes are straight,
    each linear or logarithmic or of a similar scale. Any other is drawn whole, and so is every line where `on` is
    false. After the context, matplotlib is as it was before.
    """
    thinned = Thinning()
    own = {name: getattr(Line2D, name) for name in (Thinning.METHODS if on else ())}
    try:
        for name, method in own.items():
            setattr(Line2D, name, thinned.replacement(name, method))
        yield thinned
    finally:
        for name, method in own.items():
            setattr(Line2D, name, method)
        thinned.forget()


class Thinning:
    """The lines that are thinned while a context lasts, and what matplotlib's lines do meanwhile.

    A method in METHODS takes the place of the line's own method of that name, which it gets as its first argument.
    """

    METHODS = ("recache", "draw", "set_xdata", "set_ydata", "get_xdata", "get_ydata", "get_xydata")

    def __init__(self) -> None:
        self.lines: weakref.WeakKeyDictionary[Line2D, LongLine] = weakref.WeakKeyDictionary()
        self.dpi = 0.0

    def fit(self, figure: FigureBase, dpi: float) -> None:
        """Let lines be as fine as `dpi` asks for, also in a vector format, which matplotlib draws at 72 dots an inch.

        Limits, scales and sizes are looked at when a line is drawn: only then are they final.
        """
        self.dpi = dpi

    @property
    def notes(self) -> list[str]:
        """What to say under the picture once it is drawn: how many lines were thinned, and how to see them whole."""
        lines = [long for line, long in self.lines.items() if line.axes is not None]  # a removed line has no axes
        if not lines:
            return []
        rows, picks = {len(long.y) for long in lines}, max(long.picks for long in lines)
        if len(lines) == 1:
            return [f"1 line of {max(rows):,} points is drawn with {picks:,}; thin=0 draws them all."]
        points = f"{'up to ' if len(rows) > 1 else ''}{max(rows):,} points"
        return [f"{len(lines)} lines of {points} are drawn with at most {picks:,} each; thin=0 draws them all."]

    def replacement(self, name: str, own: Callable) -> Callable:
        """The method that stands in for a line's own one."""
        method = getattr(self, name)

        @wraps(own)
        def replaced(line: Line2D, *args: Any, **options: Any) -> Any:
            return method(own, line, *args, **options)

        return replaced

    def recache(self, own: Callable, line: Line2D, always: bool = False, limits: Any = None) -> None:
        """Make the path that is drawn, and that the limits of the axes are taken from."""
        was_thinned = self.lines.pop(line, None)
        long = self.thinned(line, was_thinned, limits) if is_thinnable(line) else None
        if long is None:
            own(line, always or was_thinned is not None)
            return
        whole = line._xorig, line._yorig
        line._xorig, line._yorig = long.drawn
        try:
            own(line, always=True)
        finally:
            line._xorig, line._yorig = whole
        line.get_path().should_simplify = False  # it has been done, and better
        line._subslice = False  # nor is there anything left to cut off, into a new path that would be simplified
        self.lines[line] = long

    def thinned(self, line: Line2D, known: "LongLine | None", limits: Any) -> "LongLine | None":
        """The line with its picks for these limits of x, or for all its points; None where it is to be drawn whole."""
        try:
            long = known if known and known.is_of(line) else LongLine(line._xorig, line._yorig)
            return long if long.thin(line, limits, self.dpi) else None
        except Exception as error:  # a picture that took longer is better than none, and the page shows the warning
            warnings.warn(f"A line is drawn whole, as it could not be thinned: {error!r}.", stacklevel=2)
            return None

    def draw(self, own: Callable, line: Line2D, renderer: Any) -> None:
        """Draw the line as fine as its axes now show it."""
        if line in self.lines and line.get_visible():
            line.recache(always=True, limits=line.axes.get_xlim())
        own(line, renderer)

    def set_xdata(self, own: Callable, line: Line2D, x: Any) -> None:
        """Let the line hold other x."""
        self.hold(own, line, x, "_xorig")

    def set_ydata(self, own: Callable, line: Line2D, y: Any) -> None:
        """Let the line hold other y."""
        self.hold(own, line, y, "_yorig")

    def hold(self, own: Callable, line: Line2D, column: Any, name: str) -> None:
        """Let the line hold its own copy of a column, or share the memory of one that only grows."""
        if buffer_of(column) is None:
            own(line, column)
        else:
            own(line, column[:0])
            setattr(line, name, read_only(column))

    def get_xdata(self, own: Callable, line: Line2D, orig: bool = True) -> Any:
        """All x of the line, however few are drawn."""
        return own(line, orig) if orig else self.whole(own, line, orig)

    def get_ydata(self, own: Callable, line: Line2D, orig: bool = True) -> Any:
        """All y of the line, however few are drawn."""
        return own(line, orig) if orig else self.whole(own, line, orig)

    def get_xydata(self, own: Callable, line: Line2D) -> Any:
        """All points of the line, however few are drawn."""
        return self.whole(own, line)

    def whole(self, own: Callable, line: Line2D, *args: Any) -> Any:
        """What the line answers while it is whole."""
        line.get_path()  # tells whether it is thinned, should its data have changed
        if line not in self.lines:
            return own(line, *args)
        line.recache.__wrapped__(line, always=True)
        answer = own(line, *args)
        line._invalidx = True  # it is thinned anew when its path is asked for
        return answer

    def forget(self) -> None:
        """Make the lines whole again, should they outlive the context."""
        for line in self.lines:
            line._invalidx = line._invalidy = True


def is_thinnable(line: Line2D) -> bool:
    """Whether fewer points of this line surely make the same picture."""
    x, y, axes = line._xorig, line._yorig, line.axes
    return (
        type(line) is Line2D
        and type(x) is type(y) is numpy.ndarray  # a masked array is none
        and x.shape == y.shape == (x.size,)
        and x.size >= FEWEST_ROWS
        and x.dtype.kind in "iufM"
        and y.dtype.kind in "iuf"
        and axes is not None
        and axes.name == "rectilinear"
        and {axes.get_xscale(), axes.get_yscale()} <= ORDERED_SCALES
        and line.get_transform() is axes.transData  # equal would not do: their limits may yet change
        and line._fully_clipped_to_axes()  # of what lies outside the limits, only a few points are drawn
        and str(line.get_marker()) in NO_MARKER
        and line.get_sketch_params() is None
    )


# ---- One line, one view ----


class LongLine:
    """A line of many points, and those of them that are drawn."""

    def __init__(self, x: Column, y: Column) -> None:
        self.x, self.y = x, y
        self.direction = summary_of(x, Order).direction(x)
        self.blocks = summary_of(y, Blocks) if self.direction else Blocks()
        self.outer = self.outer_rows() if self.direction else None
        self.picks = 0  # how many there are
        self.drawn: tuple[Column, Column] = x, y

    def is_of(self, line: Line2D) -> bool:
        """Whether the line still has the same data."""
        return self.x is line._xorig and self.y is line._yorig

    def thin(self, line: Line2D, limits: Any, dpi: float) -> bool:
        """Find what is drawn between these limits of x; False where the line is better drawn whole."""
        if self.outer is None or not has_places(line, self.x[self.outer], self.y[self.outer]):
            return False
        view = View.of(line, limits, dpi) if limits is not None else View.first(line, self.x[[0, -1]])
        rows = self.blocks.picks(self.y, lambda rows: view.columns_of(self.x[rows]))
        y, beside = self.y[rows], numpy.zeros(len(rows), int)
        if not line.is_dashed():  # a dash hides nothing beyond its ends
            rows = rows[~are_hidden(view.strips_of(self.x[rows]), y)]
            places, beside, y = strokes(view.strips_of(self.x[rows]) // STRIPS_PER_STROKE, self.y[rows])
            rows = rows[places] + beside
        missing = numpy.setdiff1d(self.outer, rows[beside == 0])
        where = numpy.searchsorted(numpy.maximum.accumulate(rows), missing)
        rows, y = numpy.insert(rows, where, missing), numpy.insert(y, where, self.y[missing])
        self.picks = len(rows)
        self.drawn = self.x[rows], y
        return self.picks * LEAST_GAIN <= len(self.y)

    def outer_rows(self) -> Rows | None:
        """Rows that reach as far as the whole line does, also above zero; None where it has not a single number."""
        x = self.x if self.direction > 0 else self.x[::-1]
        below = int(numpy.searchsorted(x, numpy.zeros(1, x.dtype)[0], "right"))
        above_zero = below if self.direction > 0 else len(x) - 1 - below
        starts = [(0, 1), (len(x) - 1, -1), (above_zero, self.direction)]
        ends = [first_number(self.y, start, step) for start, step in starts]
        rows = numpy.concatenate([ends, self.blocks.outstanding(self.y)])
        return rows[rows != NONE] if ends[0] != NONE else None


def has_places(line: Line2D, x: Column, y: Column) -> bool:
    """Whether the scales have a place for all these points: a logarithmic one may mask what is not above zero."""
    finite = y[numpy.isfinite(y)].astype(float)
    scaled = [scaled_x(line, x), line.axes.yaxis.get_transform().transform(finite)]
    return all(numpy.isfinite(numbers).all() for numbers in scaled)


def scaled_x(line: Line2D, x: Any) -> numpy.ndarray:
    """The x, as the scale of the line's axes spreads them."""
    return line.axes.xaxis.get_transform().transform(numpy.asarray(line.convert_xunits(x), float))


def are_hidden(strips: numpy.ndarray, y: Column) -> numpy.ndarray:
    """Which points the line covers anyway: close by on both sides, it reaches as high and as low as they do.

    `strips` tells for each point in which strip of the screen it lies; they are much narrower than the line is wide.
    The lowest and the highest point of a strip are never hidden, and neither are its first and its last.
    """
    starts = numpy.flatnonzero(numpy.diff(strips, prepend=-1))
    sizes = numpy.diff(starts, append=len(y))
    floor, ceiling = (numpy.repeat(levels, sizes) for levels in filled_levels(strips, y, starts))
    hidden = (floor < y) & (y < ceiling)
    hidden[starts] = hidden[starts - 1] = False
    return hidden


def strokes(strips: numpy.ndarray, y: Column) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """How dense noise is drawn with few long strokes: the place of each point, the row beside it, and its y.

    A strip is half as wide as the line. From its first point, the tips above what the line fills are drawn, then the
    tips below it, then the last point. Beside each tip, in the row before (-1) and in the row after (1), the line turns
    back where the filled part begins: with turns in the same row, the end of a tip would be covered twice, and darker.
    """
    starts = numpy.flatnonzero(numpy.diff(strips, prepend=-1))
    sizes = numpy.diff(starts, append=len(y))
    floor, ceiling = (numpy.repeat(levels, sizes) for levels in filled_levels(strips, y, starts))
    parts = parts_of(y, floor, ceiling, starts, sizes)
    tips, shown = numpy.flatnonzero((parts == TOP) | (parts == BOTTOM)), numpy.flatnonzero(parts != INSIDE)
    turns = numpy.where(parts == TOP, ceiling, floor)[tips]
    places = numpy.concatenate([tips, shown, tips])
    beside = numpy.repeat([-1, 0, 1], [len(tips), len(shown), len(tips)])
    strip = numpy.repeat(numpy.arange(len(starts)), sizes)
    order = numpy.lexsort((beside, places, parts[places], strip[places]))
    return places[order], beside[order], numpy.concatenate([turns, y[shown], turns])[order]


def parts_of(y: Column, floor: Column, ceiling: Column, starts: numpy.ndarray, sizes: numpy.ndarray) -> numpy.ndarray:
    """What each point is in its strip; all are FIRST, and drawn as they come, where turns outnumber the points."""
    parts = numpy.select([y >= ceiling, y <= floor, (floor < y) & (y < ceiling)], [TOP, BOTTOM, INSIDE], FIRST)
    tips = numpy.add.reduceat((parts == TOP) | (parts == BOTTOM), starts, dtype=int)
    parts[numpy.repeat(tips * POINTS_PER_TIP > sizes, sizes)] = FIRST
    parts[starts], parts[starts - 1] = FIRST, LAST
    return parts


def filled_levels(strips: numpy.ndarray, y: Column, starts: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Between which levels the line fills each strip and both strips beside it; no numbers where it does not."""
    y = numpy.where(numpy.isfinite(y), y, numpy.nan)  # beside a gap nothing is filled, as nothing compares with it
    floor = inmost(numpy.maximum, numpy.minimum.reduceat(y, starts))
    ceiling = inmost(numpy.minimum, numpy.maximum.reduceat(y, starts))
    strips = strips[starts]
    is_filled = (floor < ceiling) & (numpy.abs(numpy.roll(strips, -1) - numpy.roll(strips, 1)) == 2)  # none is left out
    is_filled[[0, -1]] = False
    return numpy.where(is_filled, floor, numpy.nan), numpy.where(is_filled, ceiling, numpy.nan)


def inmost(further: numpy.ufunc, levels: numpy.ndarray) -> numpy.ndarray:
    """Of the levels of each strip and of both strips beside it, the one that is further in."""
    return further(levels, further(numpy.roll(levels, 1), numpy.roll(levels, -1)))


def first_number(y: Column, start: int, step: int) -> int:
    """The first row from a start on, forwards or backwards, that is a number; NONE where there is none."""
    for row in range(start, len(y) if step > 0 else -1, step * CHUNK_ROWS):
        chunk = y[row : row + CHUNK_ROWS] if step > 0 else y[max(row - CHUNK_ROWS + 1, 0) : row + 1][::-1]
        finite = numpy.isfinite(chunk)
        if finite.any():
            return row + step * int(finite.argmax())
    return NONE


@dataclass(frozen=True)
class View:
    """How the x of a line are spread over the screen."""

    line: Line2D
    left: float
    right: float
    columns: float  # between left and right, each narrower than a pixel
    strips: float  # between left and right, each narrower than the line is wide

    @classmethod
    def of(cls, line: Line2D, limits: Any, dpi: float) -> "View":
        """The view of these limits in the line's axes, as fine as `dpi` asks for."""
        own_dpi = line.axes.figure.dpi
        width = line.axes.bbox.width / own_dpi  # in inches
        columns = width * max(dpi, own_dpi) * COLUMNS_PER_PIXEL
        strips = width * 72 / max(line.get_linewidth(), THINNEST_POINTS) * STRIPS_PER_WIDTH
        return cls(line, *scaled_x(line, limits), columns, strips)

    @classmethod
    def first(cls, line: Line2D, limits: Any) -> "View":
        """A rough view, for a line that has just been made: nothing is drawn before its axes have limits."""
        return cls(line, *scaled_x(line, limits), line.axes.bbox.width, 0)

    def columns_of(self, x: Column) -> numpy.ndarray:
        """The columns that the x lie in, with fractions; what lies outside the limits is in the nearest one."""
        return self.columns * self.places_of(x)

    def strips_of(self, x: Column) -> numpy.ndarray:
        """The strips that the x lie in."""
        return (self.strips * self.places_of(x)).astype(int)

    def places_of(self, x: Column) -> numpy.ndarray:
        """Where the x lie, from 0 at the left limit to 1 at the right one."""
        return numpy.clip((scaled_x(self.line, x) - self.left) / ((self.right - self.left) or 1), 0, 1)


# ---- What stands out in a column ----


class Order:
    """How many rows of a column rise, and how many fall, from its beginning on."""

    def __init__(self, rows: int = 0) -> None:
        self.seen = self.rising = self.falling = 0

    def extend(self, column: Column) -> None:
        """Look at the rows that came since."""
        for start in range(self.seen, len(column), CHUNK_ROWS):
            rows = column[max(start - 1, 0) : start + CHUNK_ROWS]
            self.seen = min(start + CHUNK_ROWS, len(column))
            if self.rising == start:
                self.rising = self.seen - rows_after_first(rows[1:] >= rows[:-1])
            if self.falling == start:
                self.falling = self.seen - rows_after_first(rows[1:] <= rows[:-1])

    def direction(self, column: Column) -> int:
        """1 where x rises, -1 where it falls, 0 where it goes to and fro or is not a number everywhere."""
        ends = column[[0, -1]]
        if not numpy.isfinite(ends).all():
            return 0
        return 1 if self.rising >= len(column) else -1 if self.falling >= len(column) else 0


def rows_after_first(is_right: numpy.ndarray) -> int:
    """How many rows there are from the first wrong one on."""
    return 0 if is_right.all() else len(is_right) - int(is_right.argmin())


class Blocks:
    """The marks of each block of a column: of 32 rows, of 64, of 128, and so on."""

    def __init__(self, rows: int = 0) -> None:
        small = numpy.int32 if rows <= numpy.iinfo(numpy.int32).max else numpy.int64
        levels = range(max(rows // BLOCK_ROWS, 0).bit_length())
        self.levels = [numpy.empty((rows // (BLOCK_ROWS << level), 4), small) for level in levels]
        self.seen = 0  # rows, in whole blocks

    def extend(self, column: Column) -> None:
        """Find the marks of the blocks that were filled since."""
        whole = len(column) // BLOCK_ROWS * BLOCK_ROWS
        for start in range(self.seen, whole, CHUNK_ROWS):
            end = min(start + CHUNK_ROWS, whole)
            self.add(column, start // BLOCK_ROWS, end // BLOCK_ROWS)
            self.seen = end

    def add(self, column: Column, start: int, end: int) -> None:
        """Find the marks of the smallest blocks from start to end, then those of each two that make a larger one."""
        self.levels[0][start:end] = marks_of_rows(column, numpy.arange(start, end), BLOCK_ROWS)
        for smaller, larger in pairwise(self.levels):
            start, end = start // 2, end // 2
            larger[start:end] = marks_of_both(column, smaller[2 * start : 2 * end].reshape(-1, 2, 4))

    def picks(self, column: Column, columns_of: Callable[[Rows], numpy.ndarray]) -> Rows:
        """The marks and both ends of the blocks that are no wider than a column of the screen, and all rows between.

        Blocks are halved for as long as they are wider, and also where there are gaps between their numbers: so every
        gap stays what it was, and a line with too many of them is drawn whole.
        """
        split, picks = numpy.empty(0, int), []
        for level in range(len(self.levels) - 1, -HALVINGS - 1, -1):
            size = int(BLOCK_ROWS * 2.0**level)
            blocks = with_last(halves(split), len(column) // size)
            marks = self.levels[level][blocks] if level >= 0 else marks_of_rows(column, blocks, size)
            first, last = blocks * size, blocks * size + size - 1
            is_split = numpy.abs(columns_of(last) - columns_of(first)) > 1
            is_split |= (marks[:, GAP] != NONE) & (marks[:, LOWEST] != NONE)
            picks += [rows[~is_split] for rows in (first, last, marks[:, LOWEST], marks[:, HIGHEST])]
            split = blocks[is_split]
        between = (split[:, None] * size + numpy.arange(size)).ravel()
        return distinct(numpy.concatenate([*picks, between, rest_of(column, size)]))

    def outstanding(self, column: Column) -> Rows:
        """Some rows among which are the lowest, the highest and the least above zero of the whole column."""
        counts = [len(column) // (BLOCK_ROWS << level) for level in range(len(self.levels))]
        marks = [blocks[count - 1, :GAP] for blocks, count in zip(self.levels, counts, strict=True) if count % 2]
        return numpy.concatenate([*marks, rest_of(column, BLOCK_ROWS)])


def distinct(rows: Rows) -> Rows:
    """Each of these rows once, in order, without NONE."""
    rows = numpy.sort(rows)
    return rows[numpy.diff(rows, prepend=NONE) > 0]  # numpy.unique takes four times as long


def halves(blocks: Rows) -> Rows:
    """The numbers of the smaller blocks that these blocks are made of."""
    return numpy.concatenate([2 * blocks, 2 * blocks + 1])


def with_last(blocks: Rows, count: int) -> Rows:
    """These blocks, and the last one of all where it is not half of a larger one."""
    return numpy.append(blocks, count - 1) if count % 2 else blocks


def rest_of(column: Column, size: int) -> Rows:
    """The last rows, which do not fill a block of this size."""
    return numpy.arange(len(column) // size * size, len(column))


def marks_of_rows(column: Column, blocks: Rows, size: int) -> Rows:
    """The marks of blocks that are too small to be remembered."""
    first_rows = blocks[:, None] * size
    marks = marks_of(column[first_rows + numpy.arange(size)])
    return numpy.where(marks == NONE, NONE, marks + first_rows)


def marks_of(blocks: numpy.ndarray) -> Rows:
    """The marks of each row of an array, counted from its start."""
    number, positive = numpy.isfinite(blocks), blocks > 0
    marks = [
        place_of(numpy.argmin, blocks, number, numpy.inf),
        place_of(numpy.argmax, blocks, number, -numpy.inf),
        place_of(numpy.argmin, blocks, number & positive, numpy.inf),
        place_of(numpy.argmin, number, ~number, True),
    ]
    return numpy.column_stack(marks)


def place_of(extreme: Callable, blocks: numpy.ndarray, allowed: numpy.ndarray, worst: float) -> Rows:
    """Where the extreme of what is allowed in each block is, or NONE."""
    if allowed.all():
        return extreme(blocks, axis=1)
    if not allowed.any():
        return numpy.full(len(blocks), NONE)
    places = extreme(numpy.where(allowed, blocks, worst), axis=1)
    return numpy.where(allowed.any(axis=1), places, NONE)


def marks_of_both(column: Column, marks: Rows) -> Rows:
    """The marks of pairs of blocks, as one block each."""
    values = numpy.where(marks[..., :GAP] == NONE, WORST, column[marks[..., :GAP]])
    better = numpy.ones((len(marks), 4), bool)
    better[:, :GAP] = values[:, 1] < values[:, 0]
    better[:, HIGHEST] = values[:, 1, HIGHEST] > values[:, 0, HIGHEST]
    better[:, GAP] = marks[:, 0, GAP] == NONE
    return numpy.where(better, marks[:, 1], marks[:, 0])


# ---- Columns that only grow ----

REMEMBERED: dict[tuple[int, numpy.dtype], "Buffer"] = {}  # by address and type; each goes when its array goes


def only_grows(array: Column) -> None:
    """Declare that what is filled of an array is never changed, so that what stands out in it can be remembered.

    `array` has one dimension, and its items lie side by side. A line is known to be of it where it has the first rows,
    as in ``axes.plot(steps[:rows], losses[:rows])``, or through a pandas DataFrame that shares its memory.
    """
    key = key_of(array)
    if key not in REMEMBERED:
        REMEMBERED[key] = Buffer(len(array), {})
        weakref.finalize(array, REMEMBERED.pop, key, None)


@dataclass(frozen=True)
class Buffer:
    """How many rows an array has room for, and the summaries of those that were seen."""

    rows: int
    summaries: dict[type, Any]


def summary_of(column: Column, kind: type) -> Any:
    """The Order or the Blocks of a column: remembered and extended where it only grows, or made afresh."""
    buffer = buffer_of(column)
    if buffer is None:
        summary = kind(len(column))
    else:
        summary = buffer.summaries.get(kind) or buffer.summaries.setdefault(kind, kind(buffer.rows))
    summary.extend(column)
    return summary


def buffer_of(column: Any) -> Buffer | None:
    """The buffer whose first rows this column is, or None.

    Two arrays that begin at the same address share their memory, whatever views lie between them.
    """
    if type(column) is not numpy.ndarray or column.strides != (column.itemsize,):
        return None
    buffer = REMEMBERED.get(key_of(column))
    return buffer if buffer and len(column) <= buffer.rows else None


def key_of(column: Column) -> tuple[int, numpy.dtype]:
    """Where a column begins in memory, and what it consists of."""
    return column.ctypes.data, column.dtype


def read_only(column: Column) -> Column:
    """A view that nobody can change the column through."""
    view = column.view()
    view.flags.writeable = False
    return view
