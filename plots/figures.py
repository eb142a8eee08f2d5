"""What changes a finished figure, and what tells of it.

A plot returns a figure. A ``Lens`` then changes how it is looked at, as TensorBoard's controls do: smoothed, on
logarithmic axes, through other limits. ``headline`` and ``notes_of`` tell of a figure in words, ``json_of`` and
``csv_of`` give the numbers of its lines. Nothing of this asks a line of code of the plot; ``thinning``, which draws
long lines with few points, has a file of its own.

The words: a *curve* is a line that shows data, other than a line across the axes; a *panel* is a place in the figure
with axes that show data, or several such axes, where they are twins; a *group* is all x axes (or y axes) that share
their limits and scale.
"""

import csv
import difflib
import io
import json
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, count, zip_longest
from typing import Any

import matplotlib
import matplotlib.style
import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.container import BarContainer
from matplotlib.dates import DateLocator, date2num, get_epoch, num2date
from matplotlib.figure import Figure
from matplotlib.lines import AxLine, Line2D
from matplotlib.patches import Wedge
from matplotlib.ticker import LogFormatter

from .thinning import Column, Order, only_grows, summary_of, thinning

__all__ = [
    "Lens",
    "Order",
    "csv_of",
    "data_of",
    "headline",
    "json_of",
    "notes_of",
    "only_grows",
    "read_last",
    "read_limits",
    "remarked",
    "summary_of",
    "theme_names",
    "thinning",
]

End = float | datetime | None  # of limits; None where it stays as it is

MOST_SMOOTH = 0.999  # TensorBoard's slider ends there, too
FAINT = 0.25  # the opacity of the raw line behind a smoothed one
BEHIND = 0.1  # how much lower the raw line lies: above the grid, below all other lines
FEWEST_POINTS = 3  # of a curve worth smoothing: a line through two is a rule or a whisker
ROWS_PER_RESTART = 10  # x that turns back more often is no run that was taken up again: it goes to and fro
RAW = " (raw)"  # what the label of a raw line ends with
LOGARITHMIC = {"log", "symlog", "logit", "asinh"}
CELLS = 1 << 16  # that are written in one go, so that millions of them are never Python's objects all at once


# ---- The lens ----


class Unfit(ValueError):
    """A part of the lens cannot be applied to an axis; the message says why."""


@dataclass(frozen=True)
class Lens:
    """How a finished figure is looked at, without a line of code in its plot.

    `smooth` is the weight of what came before, from 0 to 0.999, see `smoothed`. `logx` and `logy` make axes
    logarithmic, or linear where they are False. `xlim` and `ylim` are texts for `read_limits`, `last` one for
    `read_last`, `theme` is one of `theme_names`. None and "" leave the figure as the plot made it. Raises ValueError,
    with a sentence for people, for what cannot be read.
    """

    smooth: float = 0.0
    logx: bool | None = None
    logy: bool | None = None
    xlim: str = ""
    ylim: str = ""
    last: str = ""
    theme: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.smooth <= MOST_SMOOTH:
            raise ValueError(f"smooth goes from 0 to {MOST_SMOOTH}; {self.smooth:g} lies outside.")
        read_limits(self.xlim)
        read_limits(self.ylim)
        if self.last:
            read_last(self.last)
        style_of(self.theme)

    def theme_context(self) -> AbstractContextManager[Any]:
        """While this context lasts, matplotlib makes and saves figures in the theme."""
        return matplotlib.style.context(style_of(self.theme)) if self.theme else nullcontext()

    def apply(self, figure: Figure) -> list[str]:
        """Change a figure that its plot has finished; returns what could not be done, a sentence each.

        It is smoothed first, then its scales are set, then its limits. Where only x is limited, y is scaled to what is
        then seen, unless the plot has fixed it.
        """
        if self == Lens(theme=self.theme):
            return []
        panels = [axes for axes in figure.axes if is_panel(axes)]
        for axes in axes_of(figure) if self.smooth else ():
            smooth_curves(axes, self.smooth)
        return [*self.refusals(figure), *self.rescale(panels), *self.limit(panels)]

    def refusals(self, figure: Figure) -> list[str]:
        """What is said of axes that are not straight: their scales and limits stay."""
        asked = [name for name in ("logx", "logy", "xlim", "ylim", "last") if getattr(self, name) not in (None, "")]
        kinds = {"3-D" if axes.name == "3d" else axes.name for axes in figure.axes if axes.name != "rectilinear"}
        return [f"{', '.join(asked)}: not applied to {kind} axes." for kind in sorted(kinds) if asked]

    def rescale(self, panels: list[Axes]) -> list[str]:
        """Make the axes logarithmic or linear; returns what could not be done."""
        notes = []
        for name, log in (("x", self.logx), ("y", self.logy)):
            if log is not None:
                notes += tried(f"log{name}", groups_of(panels, name), set_log if log else set_linear)
        return notes

    def limit(self, panels: list[Axes]) -> list[str]:
        """Look at the figure through the limits; returns what could not be done."""
        notes, groups = [], groups_of(panels, "x")
        if self.xlim:
            notes += tried("xlim", groups, show_limits, *read_limits(self.xlim))
            notes += ["last is not applied, as xlim is given."] if self.last else []
        elif self.last:
            notes += tried("last", groups, show_last, *read_last(self.last), longest_curve(panels))
        if self.ylim:
            notes += tried("ylim", groups_of(panels, "y"), show_limits, *read_limits(self.ylim))
        elif self.xlim or self.last:
            scale_to_view(panels)
        return notes


def read_limits(text: str) -> tuple[End, End]:
    """The two ends of limits: ``0:1``, ``:5`` or ``0:``, also of dates, as ``2024-01-31:2024-02-01 12:30``.

    An end that is left out is None, and so are both in an empty text. Raises ValueError for any other text.
    """
    if not text.strip():
        return None, None
    parts = text.split(":")  # of which there are more where a date has a time
    for place in range(1, len(parts)):
        try:
            low, high = (read_end(":".join(half)) for half in (parts[:place], parts[place:]))
            if (low is not None or high is not None) and (low is None or high is None or low < high):
                return low, high
        except (ValueError, TypeError):  # a date and a number do not compare, nor do dates with and without a zone
            continue
    raise ValueError(f"Limits go from a lower to a higher number or date, as 0:1, :5, 0: or 2024-01-31:; not {text!r}.")


def read_end(text: str) -> End:
    """One end of limits."""
    text = text.strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return datetime.fromisoformat(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no end")
    return number


def read_last(text: str) -> tuple[float, bool]:
    """How many points are asked for, and whether that is percent: ``1000`` or ``10%``. Raises ValueError otherwise."""
    try:
        count = float(text.strip().removesuffix("%"))
    except ValueError:
        count = math.nan
    is_percent = text.strip().endswith("%")
    if not 0 < count <= (100 if is_percent else math.inf) or math.isinf(count):
        raise ValueError(f"last is a number of points, as 1000, or a part of them, as 10%; not {text!r}.")
    return count, is_percent


# ---- Panels, groups and curves ----


def axes_of(figure: Figure) -> list[Axes]:
    """All axes of a figure, insets too."""
    return [each for axes in figure.axes for each in (axes, *axes.child_axes) if isinstance(each, Axes)]


def is_panel(axes: Axes) -> bool:
    """Whether axes are straight and show data of their own: no colour bar, and no pie."""
    is_pie = any(isinstance(each, Wedge) for each in axes.patches)
    return axes.name == "rectilinear" and not is_pie and not is_colorbar(axes)


def is_colorbar(axes: Axes) -> bool:
    return hasattr(axes, "_colorbar")  # matplotlib tells in no other way


def groups_of(panels: list[Axes], name: str) -> list[list[Axis]]:
    """The x axes, or the y axes, that share their limits and show any data, as a list each."""
    groups: dict[frozenset[int], list[Axis]] = {}
    for axes in panels:
        shared = getattr(axes, f"get_shared_{name}_axes")().get_siblings(axes)
        groups.setdefault(frozenset(map(id, shared)), []).append(getattr(axes, f"{name}axis"))
    return [group for group in groups.values() if numpy.isfinite(interval_of(group)).all()]


def interval_of(group: list[Axis]) -> tuple[float, float]:
    """The lowest and the highest place of what a group shows: infinities where it shows nothing."""
    intervals = numpy.array([axis.get_data_interval() for axis in group])
    return intervals.min(), intervals.max()


def tried(name: str, groups: list[list[Axis]], change: Callable, *options: Any) -> list[str]:
    """Apply a part of the lens to each group of axes; returns what there is to say of it, and why it did not fit one.

    Limits are meant for one of several axes in the same place: for the first which they fit.
    """
    notes, done = [], {}
    for group in groups:
        places = {place_of(axis.axes): group for axis in group}
        try:
            if name in ("xlim", "ylim") and (others := done.keys() & places.keys()):
                raise Unfit(f"it is that of {name_of(done[others.pop()])} in the same place")
            notes.append(change(group, *options))
            done |= places
        except Unfit as reason:
            notes.append(f"{name} is not applied to the axis {name_of(group)}: {reason}.")
    return [note for note in notes if note]


def place_of(axes: Axes) -> tuple:
    """Where axes stand: twins stand in the same place."""
    return id(axes.figure), axes.get_position(original=True).bounds


def name_of(group: list[Axis]) -> str:
    """What people call an axis: its label, or the title above it, or its place among the others."""
    names = [*(axis.get_label_text() for axis in group), *(title_above(axis.axes) for axis in group)]
    if any(names):
        return f"«{textwrap.shorten(next(filter(None, names)), 60)}»"
    panels = group[0].axes.get_figure(root=True).axes
    return group[0].axis_name + (f" of panel {panels.index(group[0].axes) + 1}" if len(panels) > 1 else "")


def curves_of(axes: Axes) -> list[Line2D]:
    """The lines that show data: not those across the axes (axhline, axline), nor those placed by other measures."""
    return [
        line
        for line in axes.lines
        if line.get_transform() is axes.transData
        and not isinstance(line, AxLine)
        and axes.name != "3d"  # its lines hold what they look like, not their data
        and numpy.shape(line.get_xdata()) == numpy.shape(line.get_ydata())
    ]


def points_of(line: Line2D) -> tuple[Column, Column]:
    """Where the points of a line lie: x and y, see `places`."""
    return places(line, "x"), places(line, "y")


def places(line: Line2D, name: str) -> Column:
    """Where the points of a line lie on its x or y axis: numbers also for dates and words, NaN where masked."""
    column = getattr(line, f"get_{name}data")(orig=True)  # the line need not be made whole for it
    converted = numpy.ma.asarray(getattr(line, f"convert_{name}units")(column))
    if numpy.ma.is_masked(converted):
        return converted.astype(float).filled(numpy.nan)
    return converted.data if converted.dtype.kind in "iuf" else converted.data.astype(float)


# ---- Smoothing ----


def smoothed(values: Column, weight: float) -> Column:
    """TensorBoard's moving average of a column of numbers: exponential, and corrected for its start.

    `weight`, from 0 up to less than 1, is that of all that came before; it is less near the start, where little came
    before. Values that are not finite stay as they are, and the average goes on after them; a constant column stays
    exactly what it is. Source of the formula: ``resmoothDataset`` in TensorBoard's
    tensorboard/components/vz_line_chart2/line-chart.ts; pandas' adjusted ``ewm`` is the same.
    """
    values = numpy.asarray(values, float)
    is_finite = numpy.isfinite(values)
    numbers = pandas.Series(numpy.where(is_finite, values, numpy.nan))
    if numbers.min() == numbers.max():
        return values
    average = numbers.ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean().to_numpy()
    return numpy.where(is_finite, average, values)


def smooth_curves(axes: Axes, weight: float) -> None:
    """Smooth the curves of axes; the raw ones stay faintly behind.

    The line itself gets the smoothed values, so that it keeps its label, its style and its place in a legend.
    """
    for line in curves_of(axes):
        values = smoothed_along(line, weight) if is_smoothable(line) else None
        if values is not None:
            axes.add_line(raw_line(line))
            line.set_ydata(values)


def is_smoothable(line: Line2D) -> bool:
    """Whether a curve is seen as one: as a line, not as markers alone, and of numbers."""
    return (
        line.axes.name == "rectilinear"
        and line.get_visible()
        and line.get_linestyle() not in ("None", "none", " ", "")
        and not line.axes.yaxis.have_units()
        and numpy.size(line.get_ydata()) >= FEWEST_POINTS
    )


def smoothed_along(line: Line2D, weight: float) -> Column | None:
    """The y of a line, smoothed towards growing x; None where x goes to and fro.

    Where x turns back only now and then, a run was taken up again, and the average begins anew.
    """
    x, y = points_of(line)
    direction = summary_of(x, Order).direction(x)
    if direction:
        return smoothed(y[::direction], weight)[::direction]
    restarts = numpy.flatnonzero(numpy.diff(x) < 0) + 1
    if len(restarts) * ROWS_PER_RESTART > len(x):
        return None
    return numpy.concatenate([smoothed(part, weight) for part in numpy.split(y, restarts)])


def raw_line(line: Line2D) -> Line2D:
    """A faint copy of a line, to lie behind it, without an entry in a legend."""
    raw = Line2D(line.get_xdata(), line.get_ydata())
    raw.update_from(line)
    raw.set(alpha=FAINT * (line.get_alpha() or 1), zorder=line.get_zorder() - BEHIND, label=f"_{line.get_label()}{RAW}")
    return raw


# ---- Scales ----


def set_log(group: list[Axis]) -> str:
    """Make a group of axes logarithmic; raises Unfit where that is not possible.

    Zero has no place on such an axis, and is no reason to refuse it: bars stand on it, and steps begin with it. Returns
    a note where a line has a zero.
    """
    lowest, _ = interval_of(group)
    if any(axis.have_units() for axis in group):
        raise Unfit("it shows dates or words")
    if any(axis.axes.images for axis in group):
        raise Unfit("it shows an image")
    if lowest < 0:
        raise Unfit(f"it has values below 0 (the lowest is {lowest:.3g})")
    if not math.isfinite(min(axis.get_minpos() for axis in group)):
        raise Unfit("it has no value above 0")
    set_scale(group, "log")
    name, lines = group[0].axis_name, chain.from_iterable(curves_of(axis.axes) for axis in group)
    has_zero = lowest == 0 and any((places(line, name) == 0).any() for line in lines)
    return f"The logarithmic axis {name_of(group)} has no place for 0, which is drawn at its edge." if has_zero else ""


def set_linear(group: list[Axis]) -> None:
    """Make a group of logarithmic axes linear."""
    if group[0].get_scale() in LOGARITHMIC:
        set_scale(group, "linear")


def set_scale(group: list[Axis], scale: str) -> None:
    """Give a group of axes another scale; limits that have no place on it are found anew."""
    name = group[0].axis_name
    if group[0].get_scale() == scale:
        return
    if scale == "log" and min(group[0].get_view_interval()) <= 0:
        for axis in group:
            axis.axes.set(**{f"autoscale{name}_on": True})
    group[0].axes.set(**{f"{name}scale": scale})
    for axis in group if scale == "log" else ():
        axis.set_major_formatter(PlainLogFormatter())
        axis.set_minor_formatter(PlainLogFormatter())


class PlainLogFormatter(LogFormatter):
    """Writes 0.6 where matplotlib writes a power of ten, which is harder to read."""

    def __call__(self, number: float, place: int | None = None) -> str:
        return f"{number:g}" if super().__call__(number, place) else ""


# ---- Limits ----


def show_limits(group: list[Axis], low: End, high: End) -> None:
    """Let a group of axes show what lies between two ends; raises Unfit where that is nothing."""
    if group[0].have_units() and not shows_dates(group[0]):
        raise Unfit("it shows words")
    show(group, place_on(group[0], low), place_on(group[0], high))


def place_on(axis: Axis, end: End) -> float | None:
    """Where an end of limits lies on an axis; raises Unfit for a date where it shows none, or a number among dates."""
    if end is None:
        return None
    if isinstance(end, datetime) != shows_dates(axis):
        raise Unfit("it shows no dates" if isinstance(end, datetime) else "it shows dates, such as 2024-01-31")
    if isinstance(end, datetime):
        return float(axis.convert_units(end) if axis.have_units() else date2num(end))
    return end


def shows_dates(axis: Axis) -> bool:
    """Whether an axis shows dates: matplotlib's, or pandas', which have a frequency."""
    return isinstance(axis.get_major_locator(), DateLocator) or getattr(axis, "freq", None) is not None


def show_last(group: list[Axis], count: float, is_percent: bool, longest: Line2D | None) -> None:
    """Let a group of x axes show the last points of the longest curve in the figure, or else of its own longest one.

    So panels show the same steps, though one has a point for each of them, and another a point for every hundredth.
    """
    own = longest_curve([axis.axes for axis in group])
    if own is None or longest is None:
        raise Unfit("it shows no lines")
    try:
        if shows_dates(longest.axes.xaxis) != shows_dates(group[0]):
            raise Unfit("it shows something else")
        show(group, *ends_of_last(longest, count, is_percent))
    except Unfit:
        show(group, *ends_of_last(own, count, is_percent))


def longest_curve(panels: list[Axes]) -> Line2D | None:
    """The curve of the most points in some axes; None where they have none."""
    curves = [line for axes in panels for line in curves_of(axes) if numpy.size(line.get_xdata())]
    return max(curves, key=lambda line: numpy.size(line.get_xdata()), default=None)


def ends_of_last(line: Line2D, count: float, is_percent: bool) -> tuple[float, float]:
    """Between which x the last points of a line lie; there are at least two of them."""
    x = places(line, "x")
    rows = math.ceil(len(x) * count / 100 if is_percent else count)
    last = x[-max(rows, 2) :]
    last = last[numpy.isfinite(last)]
    if not len(last):
        raise Unfit("its last points have no x")
    return float(last.min()), float(last.max())


def show(group: list[Axis], low: float | None, high: float | None) -> None:
    """Let a group of axes show what lies between two places; where one is None, its view ends as before.

    Raises Unfit where nothing lies between them.
    """
    if any(axis.axes.images for axis in group):
        raise Unfit("it shows an image")
    axis, (lowest, highest) = group[0], interval_of(group)
    seen = sorted(axis.get_view_interval())
    if low is None or (low <= 0 and axis.get_scale() == "log"):
        low = seen[0]
    if high is None:
        high = seen[1]
    if low >= high or low > highest or high < lowest:
        raise Unfit(f"its data go from {told(axis, lowest)} to {told(axis, highest)}")
    limits = (high, low) if axis.get_inverted() else (low, high)
    axis.axes.set(**{f"{axis.axis_name}lim": limits})


def told(axis: Axis, place: float) -> str:
    """A place on an axis, in words."""
    is_date = isinstance(axis.get_major_locator(), DateLocator)
    return f"{num2date(place):%Y-%m-%d %H:%M}" if is_date else f"{place:.6g}"


def scale_to_view(panels: list[Axes]) -> None:
    """Let y show what is now seen of x, as autoscaling does for all of the data.

    Where a plot has fixed y so that part of the data is cut off, it stays.
    """
    panels = [axes for axes in panels if shows_all(axes) and not axes.images and not has_bars(axes)]
    for axes in panels:
        y = seen_in(axes)
        if len(y):
            axes.dataLim.intervaly = y.min(), y.max()
            axes.set_autoscaley_on(True)
    for axes in panels:
        axes.autoscale_view(scalex=False)


def shows_all(axes: Axes) -> bool:
    """Whether the limits of y are matplotlib's, or leave none of the data out."""
    (low, high), (lowest, highest) = sorted(axes.get_ylim()), axes.dataLim.intervaly
    return axes.get_autoscaley_on() or bool(low <= lowest <= highest <= high)


def has_bars(axes: Axes) -> bool:
    """Whether axes show bars or other shapes of data, which may be seen in part."""
    return any(patch.get_data_transform() is axes.transData for patch in axes.patches)


def seen_in(axes: Axes) -> Column:
    """The y of what axes show between their limits of x: of curves, fills and scattered points."""
    low, high = sorted(axes.get_xlim())
    seen = [y[rows_between(x, low, high)] for x, y in chain(map(points_of, curves_of(axes)), outlines_of(axes))]
    y = numpy.concatenate([numpy.empty(0), *seen])
    return y[numpy.isfinite(y) & ((y > 0) | (axes.get_yscale() != "log"))]


def rows_between(x: Column, low: float, high: float) -> Any:
    """Which rows of a column lie between two limits: a slice where it rises, which is quick."""
    if len(x) and summary_of(x, Order).direction(x) > 0:
        if x.dtype.kind in "iu":  # numpy would make floats of them all
            bounds = numpy.iinfo(x.dtype)
            ends = [min(max(end, bounds.min), bounds.max) for end in (math.ceil(low), math.floor(high))]
            low, high = numpy.array(ends, x.dtype)
        return slice(int(numpy.searchsorted(x, low)), int(numpy.searchsorted(x, high, "right")))
    return (low <= x) & (x <= high)


def outlines_of(axes: Axes) -> Iterator[tuple[Column, Column]]:
    """The x and y of scattered points, and of the outlines of fills and of lines drawn many at once."""
    for collection in axes.collections:
        if collection.get_offset_transform() is axes.transData:
            points = [numpy.ma.filled(collection.get_offsets(), numpy.nan)]
        elif collection.get_transform() is axes.transData:
            points = [path.vertices for path in collection.get_paths()]
        else:  # it is placed by other measures
            points = []
        yield from (each.T for each in points)


# ---- Themes ----

DARK = {
    **matplotlib.style.library["dark_background"],
    **dict.fromkeys(["figure.facecolor", "figure.edgecolor", "axes.facecolor"], "#12161b"),  # as the page is
    **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], "#e6edf3"),
    **dict.fromkeys(["axes.edgecolor", "grid.color", "legend.edgecolor"], "#57606a"),
    **dict.fromkeys(["savefig.facecolor", "savefig.edgecolor"], "auto"),  # the figure's
}
LIGHT = {name: matplotlib.rcParamsDefault[name] for name in DARK}
THEMES = {"light": LIGHT, "dark": DARK}


def theme_names() -> list[str]:
    """The themes there are: light, dark, and all of matplotlib's styles."""
    return [*THEMES, *matplotlib.style.available]


def style_of(theme: str) -> dict[str, Any] | str:
    """What matplotlib knows a theme by: settings, or the name of a style. Raises ValueError for one that is unknown.

    Only names are known, as matplotlib would take another text for a file or an address, and read it.
    """
    names = theme_names()
    if theme and theme not in names:
        near = difflib.get_close_matches(theme, names, cutoff=0.5) or [*names[:4], "…"]
        raise ValueError(f"There is no theme {theme!r}; there are {', '.join(near)}.")
    return THEMES.get(theme, theme)


# ---- What is told of a figure ----


def title_above(axes: Axes) -> str:
    """The title of axes, wherever above them it stands."""
    return next(filter(None, map(axes.get_title, ("center", "left", "right"))), "")


def headline(figure: Any) -> str:
    """What a tab may tell of a figure: its own attribute `headline`, the last value of its first line, or its title."""
    if own := getattr(figure, "headline", ""):
        return str(own)
    lines = [line for axes in figure.axes for line in axes.lines]
    if lines:
        label = str(lines[0].get_label())
        values = numpy.asarray(lines[0].get_ydata())[-1000:]
        if values.dtype.kind in "iuf":  # else they are words, or dates
            last = next((value for value in reversed(values.tolist()) if math.isfinite(value)), math.nan)
            return f"{'' if label.startswith('_') else label[:40]} {last:.3g}".strip()
    return title_of(figure).partition("\n")[0][:80]


def title_of(figure: Any) -> str:
    """The title of a figure, or else that of its first axes that have one."""
    titles = [title_above(axes) for axes in figure.axes]
    if hasattr(figure, "get_suptitle"):  # of matplotlib 3.8 and later
        titles.insert(0, figure.get_suptitle())
    return next(filter(None, titles), "")


def notes_of(figure: Any) -> list[str]:
    """What a plot itself has to say under its picture: the figure's attribute `notes`, a list of sentences."""
    notes = getattr(figure, "notes", ())
    return [notes] if isinstance(notes, str) else [str(note) for note in notes]


def remarked(picture: bytes, text: str) -> bytes:
    """A picture with a line of text on its lower edge, as a PNG."""
    from PIL import Image, ImageDraw, ImageFont  # matplotlib brings it along

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    font = ImageFont.load_default(max(12, image.width // 50))
    lines = textwrap.wrap(text, 90, max_lines=2, placeholder=" …")
    draw = ImageDraw.Draw(image)
    left, top, _, bottom = draw.multiline_textbbox((0, 0), "\n".join(lines), font)
    edge = image.height - (bottom - top) - 16
    draw.rectangle((0, edge, image.width, image.height), fill="#fdecea")
    draw.multiline_text((8 - left, edge + 8 - top), "\n".join(lines), "#b3261e", font)
    memory = io.BytesIO()
    image.save(memory, "PNG", compress_level=1)
    return memory.getvalue()


# ---- The data of a figure ----


def cells(values: Column) -> list[Any]:
    """A column as JSON has it: numbers, texts, dates as ISO 8601 texts; None for what is missing or not finite."""
    if values.dtype.kind == "f" and not numpy.isfinite(values).all():
        values = numpy.ma.masked_invalid(values)
    if values.dtype.kind == "M":
        values = numpy.ma.masked_array(numpy.datetime_as_string(numpy.ma.getdata(values)), numpy.isnat(values))
    return values.tolist()


def data_of(figure: Any, column: Callable[[Column], Any] = cells) -> dict[str, Any]:
    """The data of the lines in a figure, all of their points, however few are drawn.

    ``{"title", "axes": [{"title", "xlabel", "ylabel", "xscale", "yscale", "lines": [{"label", "x", "y"}]}], "notes"}``
    where x and y are what `column` makes of an array. A line without a label has "". Where smoothing has put a raw line
    behind another, it comes too, as "loss (raw)". Axes under others, with which they share x, have the label of those.
    Lines across the axes are no data; what else is left out, bars say, is told in the notes.
    """
    return {
        "title": title_of(figure),
        "axes": [
            {
                **{"title": title_above(axes), "xlabel": x_label_of(axes), "ylabel": axes.get_ylabel()},
                **{"xscale": axes.get_xscale(), "yscale": axes.get_yscale()},
                "lines": [
                    {"label": label_of(line), "x": column(column_of(line, "x")), "y": column(column_of(line, "y"))}
                    for line in curves_of(axes)
                ],
            }
            for axes in axes_of(figure)
            if not is_colorbar(axes)
        ],
        "notes": [*notes_of(figure), *left_out(figure)],
    }


def x_label_of(axes: Axes) -> str:
    """The label of x: where axes stand above others, with which they share x, only the lowest have it."""
    shared = axes.get_shared_x_axes().get_siblings(axes)
    return next(filter(None, (each.get_xlabel() for each in (axes, *shared))), "")


def label_of(line: Line2D) -> str:
    """The label of a line, as a legend has it; the line behind a smoothed one is raw."""
    label, ending = str(line.get_label()), ""
    if label.startswith("_") and label.endswith(RAW):
        label, ending = label[1 : -len(RAW)], RAW
    return ("" if label.startswith("_") else label + ending) or ending.strip()


def column_of(line: Line2D, name: str) -> Column:
    """The x or y of a line as it was given: numbers, dates in the coarsest unit that tells them, or texts."""
    column = numpy.ma.asarray(getattr(line, f"get_{name}data")(orig=True))
    column = column if numpy.ma.is_masked(column) else column.data
    axis = getattr(line.axes, f"{name}axis")
    column = dates_of(axis, column) if shows_dates(axis) else column
    if column.dtype.kind == "M":
        return in_coarsest_unit(column)
    if column.dtype.kind in "iuf":
        return column
    if axis.have_units():
        texts = [each.isoformat() if hasattr(each, "isoformat") else str(each) for each in column.tolist()]
        return numpy.array(texts, object)
    return places(line, name)


def dates_of(axis: Axis, column: Column) -> Column:
    """The dates that an axis shows a column as; dates of a time zone stay what they are."""
    if frequency := getattr(axis, "freq", None):  # pandas counts in it
        return pandas.PeriodIndex.from_ordinals(column, freq=frequency).to_timestamp().to_numpy()
    if column.dtype.kind in "iuf":  # days, with fractions
        return pandas.to_datetime(column, unit="D", origin=get_epoch()).round("ms").to_numpy()
    if column.dtype.kind == "O" and not any(getattr(each, "tzinfo", None) for each in column):
        return column.astype("M8[us]")
    return column


def in_coarsest_unit(dates: Column) -> Column:
    """Dates as days where they are whole days, else as seconds, and so on."""
    known = dates[~numpy.isnat(dates)]
    units = ("D", "s", "ms", "us", "ns")
    unit = next((unit for unit in units if (known == known.astype(f"M8[{unit}]")).all()), "ns")
    return dates.astype(f"M8[{unit}]")


def left_out(figure: Any) -> list[str]:
    """What a figure shows beside lines, in a sentence."""
    panels = [axes for axes in axes_of(figure) if not is_colorbar(axes)]
    counts = {
        "bar chart": sum(isinstance(each, BarContainer) for axes in panels for each in axes.containers),
        "scatter plot": sum(isinstance(each, PathCollection) for axes in panels for each in axes.collections),
        "fill": sum(isinstance(each, PolyCollection) for axes in panels for each in axes.collections),
        "image": sum(len(axes.images) for axes in panels),
        "pie": sum(any(isinstance(each, Wedge) for each in axes.patches) for axes in panels),
    }
    found = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items() if count]
    return [f"The data are those of the lines, without {' and '.join(found)}."] if found else []


def json_of(figure: Any, notes: Iterable[str] = ()) -> bytes:
    """The data of the lines in a figure as strict JSON, see `data_of`; `notes` are added to its own."""
    data = data_of(figure, column=numpy.asanyarray)
    data["notes"] = list(dict.fromkeys([*data["notes"], *notes]))
    return "".join(json_texts(data)).encode()


def json_texts(value: Any) -> Iterator[str]:
    """A value in JSON, piece by piece: the lists of millions of numbers would take ten times the memory."""
    if isinstance(value, numpy.ndarray):
        pieces = (json.dumps(cells(value[row : row + CELLS]))[1:-1] for row in range(0, len(value), CELLS))
        yield from enclosed("[", ([piece] for piece in pieces), "]")
    elif isinstance(value, dict):
        yield from enclosed("{", (chain([json.dumps(key), ": "], json_texts(value[key])) for key in value), "}")
    elif isinstance(value, list):
        yield from enclosed("[", map(json_texts, value), "]")
    else:
        yield json.dumps(value, allow_nan=False)


def enclosed(start: str, parts: Iterable[Iterable[str]], end: str) -> Iterator[str]:
    """Parts between brackets, with commas between them."""
    yield start
    for place, part in enumerate(parts):
        yield ", " if place else ""
        yield from part
    yield end


# ---- The data as a table ----


@dataclass(frozen=True)
class Curve:
    """The data of a line, with the names of their columns."""

    x_name: str
    name: str
    x: Column
    y: Column


def csv_of(figure: Any) -> bytes:
    """The data of the lines in a figure as CSV: a column for each line, and the column of x before it.

    Lines with the same x share its column. Where the x of all lines with the same label of x rise, a row stands for one
    x, and a line that has no point there has an empty cell; else they stand side by side, each with its own x, and end
    where they end. The names are the labels, made distinct: with the title of their axes, then with a number, as
    ``loss.2``. UTF-8, lines end with a newline, quoted as RFC 4180 says; what is missing or not finite is empty.
    """
    table = columns_of(curves_in(figure))
    memory = io.StringIO()
    writer = csv.writer(memory, lineterminator="\n")
    writer.writerow(map(harmless, distinct_names([name for name, _ in table])))
    writer.writerows(zip_longest(*(csv_cells(column) for _, column in table)))
    return memory.getvalue().encode("utf-8", "backslashreplace")


def curves_in(figure: Any) -> list[Curve]:
    """The lines of a figure as columns; where labels repeat, names begin with the titles of their axes."""
    data = data_of(figure, column=numpy.asanyarray)
    lines = [(axes, line, line_name(axes, line)) for axes in data["axes"] for line in axes["lines"]]
    labels = Counter(label for _, _, label in lines)
    return [
        Curve(
            axes["xlabel"] or "x",
            f"{axes['title']}: {label}" if labels[label] > 1 and axes["title"] else label,
            *(line["x"], line["y"]),
        )
        for axes, line, label in lines
    ]


def line_name(axes: dict[str, Any], line: dict[str, Any]) -> str:
    """The label of a line, or else that of its y axis."""
    label = line["label"]
    return label if label not in ("", RAW.strip()) else f"{axes['ylabel'] or 'y'} {label}".strip()


def columns_of(curves: list[Curve]) -> list[tuple[str, Column]]:
    """The columns of a table of curves, with their names, which may repeat."""
    groups: dict[Any, list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.x_name, curve.x.dtype.kind in "iuf" or curve.x.dtype.kind), []).append(curve)
    blocks = [block for group in groups.values() for block in blocks_of(group)]
    return [column for block in blocks for column in [(block[0].x_name, block[0].x), *((c.name, c.y) for c in block)]]


def blocks_of(curves: list[Curve]) -> list[list[Curve]]:
    """Curves with the same x; all of them, with a common x, where each x rises."""
    blocks: list[list[Curve]] = []
    for curve in curves:
        block = next((block for block in blocks if are_equal(block[0].x, curve.x)), None)
        if block is None:
            blocks.append([curve])
        else:
            block.append(curve)
    if len(blocks) > 1 and all(rises(block[0].x) for block in blocks):
        x = numpy.unique(numpy.concatenate([block[0].x for block in blocks]))
        return [[replace(curve, x=x, y=spread(curve, x)) for curve in curves]]
    return blocks


def are_equal(x: Column, other: Column) -> bool:
    """Whether two columns are the same, also where they have no number or date."""
    return len(x) == len(other) and bool(numpy.all((x == other) | ((x != x) & (other != other))))


def rises(x: Column) -> bool:
    """Whether each x is a number or a date, and more than the one before."""
    return x.dtype.kind in "iufM" and not numpy.ma.is_masked(x) and bool((x[1:] > x[:-1]).all())


def spread(curve: Curve, x: Column) -> Column:
    """The y of a curve in the rows of a common x; the others are masked."""
    y = numpy.ma.masked_all(len(x), curve.y.dtype)
    y[numpy.searchsorted(x, curve.x)] = curve.y
    return y


def csv_cells(column: Column) -> Iterator[Any]:
    """The cells of a column, as spreadsheets know them: with a space between date and time."""
    for row in range(0, len(column), CELLS):
        part = cells(column[row : row + CELLS])
        if column.dtype.kind == "M":
            part = [text and text.replace("T", " ") for text in part]
        elif column.dtype.kind not in "iuf":
            part = [text and harmless(text) for text in part]
        yield from part


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: labels come from logs that somebody else may have written.

    A quote before it is what OWASP advises: https://owasp.org/www-community/attacks/CSV_Injection
    What some take for the end of a row begins no cell either.
    """
    text = text.replace("\r", " ")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def distinct_names(names: list[str]) -> list[str]:
    """The names, with a number where they repeat: loss, loss.2, loss.3."""
    found: list[str] = []
    for name in names:
        numbered = chain([name], (f"{name}.{number}" for number in count(2)))
        found.append(next(each for each in numbered if each not in found))
    return found
