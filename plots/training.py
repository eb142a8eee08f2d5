"""Curves of training runs, from the logs they write.

The words: a *run* is a log file or a run folder; its *frame* is what `logs.read_log` makes of it. Metrics that tell
the same of other data, as loss and val_loss do, are a *group* and share a *panel*. Where x goes back, as after a
restart, a new *segment* begins: no line is ever drawn back.
"""

import difflib
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, cycle, pairwise
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import matplotlib.pyplot as plt
import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter

from plotsrv import Runs

from . import curves, documents, health, logs
from .figures import summary_of
from .metrics import part_and_base, role_of

X = Literal["auto", "step", "epoch", "row", "time"]
Group = list[str]  # the names of metrics that share a panel

COLORS = {"loss": "tab:red", "precision": "tab:blue", "recall": "tab:green", "f-score": "tab:orange"}
OTHER_COLORS = ("tab:blue", "tab:green", "tab:orange", "tab:purple", "tab:cyan", "tab:brown")
STYLES = {"": "-", "train": "-", "val": "--", "test": ":"}  # of a line, by the part of the data it is of
GRAY, RED = "0.5", "tab:red"  # they show on a light and on a dark theme

MOST_PANELS = 12
MOST_LINES = 10  # in a panel: there are as many colors
MOST_SEGMENTS = 50  # an x that goes back more often is of no use
MOST_SCORES = 4  # beside a loss
MOST_CELLS = 3  # metrics in a summary
MOST_COMPARED = 24  # runs: more colors cannot be told apart
MOST_ROWS = 40  # runs in a summary
LONG_NAME = 24  # characters, of a run that may be told in fewer

# Sizes are in inches. A page scales pictures down to its width: on a narrow one the words stay readable on a phone.
WIDTH = 6.4
PANEL, PAIR, ONLY_PANEL = 1.5, 2.3, 3.3  # the heights of panels: of many, of two, of one
LEFT, RIGHT, TOP, BOTTOM = 0.62, 0.12, 0.12, 0.5
BESIDE, BELOW, ABOVE = 0.6, 0.3, 0.32  # panels: room for numbers and titles
ROW, NAMES, CELL = 0.42, 1.9, 1.5  # of a table: the height of a row, the widths of columns
LINE, TITLE_LINE = 0.17, 0.22
SMALL, LARGE = 9, 11  # points
CHARACTERS = 14  # of small words in an inch
KEY_CHARACTERS = 6  # that the key of a legend is as wide as
LEGEND = {"frameon": False, "fontsize": SMALL - 1, "handlelength": 1.8, "handletextpad": 0.4, "columnspacing": 1}
MARGINS = {"left": 0.12, "right": 0.89}  # a layout engine takes as long as all the rest

TIMES = re.compile(r"(?i)^(wall_?time|timestamp|t|((time|misc)/)?time(_elapsed|_total_s)?|elapsed(_time)?|hours)$")
EPOCHS = re.compile(r"(?i)epoch|^e$")
UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
POWERS = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))  # from where on, by what, and how: 20000 is 20k
THE_LOSS = re.compile(r"(?i)(total[ _]?)?loss")
WORDS = re.compile(r"[^_ -]+[_ -]*(?:\d+[_ -]*)?")  # of a name; the 3 of version_3 is none by itself
LIST_ITEM = re.compile(r"[/\[]\d+\]?$")  # as the second of "dice/0", "dice/1"


class Unknown(ValueError):
    """Something is asked of a run that it does not have; the message names what it has."""

    awaited = False  # a page shows the message alone, without a traceback


# ---- The plots ----


def plot_run(
    run: Annotated[Path, Runs()] = Path("latest"),
    metrics: Sequence[str] = (),
    x: X = "auto",
    total: float | None = None,
) -> Figure:
    """Everything in one run

    A panel for each metric: losses at the left, scores at the right, and what else there is below. Training is solid,
    validation dashed, test dotted.

    Parameters
    ----------
    run
        A log file or a run folder.
    metrics
        Names of metrics, parts of names, or patterns such as ``*/loss``. The most telling ones where it is empty.
    x
        What the curves are drawn over: "auto" takes the finest that the log has.
    total
        The last step, or epoch, that the run will have, for the time to go. As the log says where it is left empty.
    """
    frame = logs.read_log(run)
    axis, state = axis_of(frame, x), health.health_of(frame, total=total)
    names = named(frame, metrics) if metrics else metric_names(frame)
    if len(frame) == 1 and frame.attrs.get("format") == "JSON":
        return number_card(short(run_name(run), 60), frame, names)
    groups = groups_of(frame, names)
    shown = in_two_columns(groups[:MOST_PANELS])
    title = frame.attrs.get("name") or run_name(run)  # MLflow's own is better than its folder's, 32 letters and digits
    figure, panels = panels_for(shown, short(title, 60), health.sentence(state))
    for number, (axes, group) in enumerate(zip(panels, shown, strict=True)):
        draw_group(axes, group[:MOST_LINES], frame, axis, number)
    for axes in panels[-1 if len(panels) % 2 else -2 :]:
        axes.set_xlabel(short(axis.name, 30), fontsize=SMALL, parse_math=False)
    figure.headline = f"{health.headline(state)} – {short(title, 30)}"
    figure.notes = [*axis.notes, *crosses(frame, chain(*shown)), *left_out(groups)]
    return figure


def plot_compare(runs: list[Annotated[Path, Runs()]] = ("*",), metric: str = "", x: X = "auto") -> Figure:
    """One metric of several runs

    A color for each run, whose name is what differs in the paths. Training is solid, validation dashed, test dotted.

    Parameters
    ----------
    runs
        Log files or run folders. All where it is empty; the first 24 are drawn.
    metric
        Its name: "val_loss" is that of the validation alone, "loss" that of all parts of the data. The most telling
        one that most of the runs have where it is empty.
    x
        What the curves are drawn over: "auto" takes the finest that all these runs have.
    """
    frames, notes = read_runs(runs, MOST_COMPARED)
    metric = metric or shared_metric(frames.values())
    columns = {name: columns_of(frame, metric) for name, frame in frames.items()}
    having = {name: frame for name, frame in frames.items() if columns[name]}
    if not having:
        raise Unknown(unknown("The runs have", metric, chain(*map(metric_names, frames.values()))))
    lacking = [name for name in frames if name not in having]
    notes += [f"No {metric} in {', '.join(lacking)}."] if lacking else []
    x = x if x != "auto" else shared_x(having.values())
    parts = dict.fromkeys(chain(*(columns[name] for name in having)))
    figure, axes = panel_with_legend(short(metric, 60), keys_of(having, parts))
    for color, (name, frame) in zip(palette(len(having)), having.items(), strict=True):
        axis = axis_of(frame, x)
        for part, column in columns[name].items():
            draw_curve(axes, frame, column, axis, color=color, linestyle=STYLES[part], label=f"{name}: {column}")
        notes += [f"{name}: {note}" for note in axis.notes]
    axes.set_xlabel(short(axis.name, 60), fontsize=SMALL, parse_math=False)
    fit_scores(axes, metric)
    figure.notes = notes
    return figure


def plot_convergence(file_path, sheet_name=None):
    """How a training run converges

    Loss on the left axis; precision, recall, f-score or other scores on the right one.

    Parameters
    ----------
    file_path
        A log of any format, with a loss or a score in it.
    sheet_name
        The sheet of an Excel file, by name or counted from 0. The first one where it is left empty.
    """
    frame = logs.read_log(file_path) if sheet_name is None else read_sheet(Path(file_path), sheet_name)
    axis, sides = axis_of(frame), two_sides(frame, file_path)
    colors = colors_of(chain(*sides))
    figure, left = axes_and_legend(textwrap.fill(Path(file_path).name, 60), colors)
    both = [left, *(left.twinx() for _ in sides[1:])]
    for axes, names in zip(both, sides, strict=True):
        for name in names:
            draw_curve(axes, frame, name, axis, color=colors[name], linestyle=style_of(name), label=name)
        axes.set_ylabel(title_of(names), parse_math=False)
        fit_scores(axes, names[0])
    left.set_xlabel(axis.name, parse_math=False)
    if len({colors[name] for name in sides[0]}) == 1:
        left.yaxis.label.set_color(colors[sides[0][0]])
        left.tick_params(axis="y", labelcolor=colors[sides[0][0]])
    if (state := health.health_of(frame)).diverged:
        figure.headline = health.headline(state)
    figure.notes = [*axis.notes, *crosses(frame, colors)]
    return figure


def plot_summary(runs: list[Annotated[Path, Runs()]] = ("*",), metrics: Sequence[str] = ()) -> Figure:
    """The last and the best values of runs

    A row for each run, the last value of a metric above its best one; the best of all runs is bold.

    Parameters
    ----------
    runs
        Log files or run folders.
    metrics
        Names of metrics. The most telling ones that most of the runs have where it is empty.
    """
    frames, notes = read_runs(runs, MOST_ROWS)
    metrics = list(metrics) or shared_metrics(frames.values())[:MOST_CELLS]
    table = [[result_of(frame, metric) for metric in metrics] for frame in frames.values()]
    figure = table_picture(list(frames), metrics, table)
    figure.notes = ["Behind the @ is the x of the best value.", *notes]
    return figure


# ---- Runs ----


def read_runs(runs: Sequence[str | Path], most: int) -> tuple[dict[str, pandas.DataFrame], list[str]]:
    """The frames of the first runs, by what differs in their paths; a note on each that has none, and on the others.

    Raises NoCurve where not one of them has.
    """
    every = list(dict.fromkeys(map(Path, runs)))
    if not every:
        raise ValueError("No run is chosen; choose one or more.")
    paths, frames, errors = every[:most], {}, []
    for name, path in zip(run_names(paths), paths, strict=True):
        try:
            frames[name] = logs.read_log(path)
        except (logs.NoCurve, FileNotFoundError) as error:
            errors.append(error)
    if not frames:
        raise errors[0]
    others = [f"Only the first {most} are shown; choose among the runs."] if len(every) > most else []
    return frames, [*(str(error) for error in errors), *others]


def run_names(paths: Sequence[Path]) -> list[str]:
    """What differs in the paths, in a few characters, and no two of them the same."""
    if len(paths) == 1:
        return [short(run_name(paths[0]))]
    names = ["/".join(parts) for parts in differing([path.parts for path in paths])]
    if max(map(len, names)) > LONG_NAME:
        names = ["".join(words) for words in differing(list(map(WORDS.findall, names)))]
    names = [short(name.strip("_ -")) for name in names]
    return [f"{number + 1}: {name}" if names.count(name) > 1 else name for number, name in enumerate(names)]


def run_name(run: str | Path) -> str:
    """What a run is called: many logs have the same name, so its folder's comes before it."""
    return "/".join(Path(run).parts[-2:]).lstrip("/")


def differing(names: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Each list of words without those that all of them begin or end with; at least one word stays."""
    start = common_words(names)
    end = common_words([words[start:][::-1] for words in names])
    return [words[start : len(words) - end] or words[-1:] for words in names]


def common_words(names: Sequence[Sequence[str]]) -> int:
    """How many words all the names begin with."""
    return next((i for i, words in enumerate(zip(*names, strict=False)) if len(set(words)) > 1), min(map(len, names)))


def read_sheet(path: Path, sheet_name: str | int) -> pandas.DataFrame:
    """The frame of one sheet of an Excel file: by its name, or by its number from 0."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; check its name, or wait for the training.")
    if path.suffix.lower() not in documents.WORKBOOKS:
        raise ValueError(f"{path} is no Excel file and has no sheet {sheet_name!r}; leave sheet_name empty.")
    try:
        sheets = documents.sheets_of(path)
        name = sheet_named(sheet_name, list(sheets))
        if name is None:
            raise ValueError(f"{path} has no sheet {sheet_name!r}; choose one of {', '.join(sheets)}.")
        return curves.finished(documents.numbers_in(sheets[name]))
    except logs.NoCurve as error:
        raise logs.NoCurve(f"no curve found in {path.name}: {error}.") from error


def sheet_named(wanted: str | int, names: Sequence[str]) -> str | None:
    """The sheet of that name, or else of that number from 0; or None."""
    if str(wanted) in names:
        return str(wanted)
    return names[wanted] if isinstance(wanted, int) and 0 <= wanted < len(names) else None


# ---- Metrics ----


def metric_names(frame: pandas.DataFrame, hidden: bool = False) -> list[str]:
    """The metrics of a frame, the most telling ones first; those that are hidden, last of all, where they are wanted.

    A frame in which all are hidden has no others.
    """
    names = [name for name in frame if name != "row" and name not in frame.attrs["xs"]]
    telling = health.telling(names)
    return telling + [name for name in names if role_of(name) == "hidden"] if hidden or not telling else telling


def named(frame: pandas.DataFrame, patterns: Iterable[str]) -> list[str]:
    """The metrics that names, parts of names or patterns ask for, in that order."""
    names, found = metric_names(frame, hidden=True), []
    for pattern in patterns:
        wanted = pattern.casefold()
        ways = (
            [name for name in names if name == pattern],
            [name for name in names if fnmatchcase(name.casefold(), wanted)],
            [name for name in names if wanted in name.casefold()],
        )
        matching = next(filter(None, ways), [])
        if not matching:
            raise Unknown(unknown("The run has", pattern, names))
        found += matching
    return list(dict.fromkeys(found))


def unknown(has: str, metric: str, names: Iterable[str]) -> str:
    """What to say where there is no such metric: which ones are near, or which there are."""
    names = list(dict.fromkeys(names))
    near = difflib.get_close_matches(metric, names, 5, 0.5) or names[:10]
    return f"{has} no metric {metric!r}; choose among {', '.join(near) or 'others: there are none'}."


def base_of(name: str) -> str:
    """What a metric is called, whatever part of the data it is of."""
    return LIST_ITEM.sub("", part_and_base(name)[1])


def style_of(name: str) -> str:
    """Solid, dashed or dotted."""
    return STYLES[part_and_base(name)[0]]


def groups_of(frame: pandas.DataFrame, names: Iterable[str]) -> list[Group]:
    """The metrics in groups, in their order, but the loss itself before its parts; last, those that never change."""
    groups: dict[str, Group] = {}
    for name in names:
        groups.setdefault(f"{role_of(name)} {base_of(name)}".casefold(), []).append(name)
    changing = {key: any(varies(frame[name]) for name in group) for key, group in groups.items()}
    keys = sorted(groups, key=lambda key: (not changing[key], *place_of(groups[key][0])))
    return [[name for name in frame if name in groups[key]] for key in keys]


def place_of(name: str) -> tuple[bool, bool]:
    """What puts a metric before others that tell as much: the loss itself comes first, the best so far last."""
    return "best" in name.casefold(), THE_LOSS.fullmatch(base_of(name)) is None


def varies(column: pandas.Series) -> bool:
    """Whether a column has several finite values."""
    values = summary_of(column.to_numpy(), health.Extremes)
    return values.lowest >= 0 and column.iloc[values.lowest] != column.iloc[values.highest]


def in_two_columns(groups: list[Group]) -> list[Group]:
    """Losses at the left and scores beside them, row by row; then what is left of either, and the others."""
    losses, scores = ([group for group in groups if role_of(group[0]) == role] for role in ("loss", "score"))
    pairs = min(len(losses), len(scores))
    others = [group for group in groups if group not in losses and group not in scores]
    return [*chain(*zip(losses, scores, strict=False)), *losses[pairs:], *scores[pairs:], *others]


def left_out(groups: list[Group]) -> list[str]:
    """A note on the metrics that have no place in the picture."""
    names = [*chain(*(group[MOST_LINES:] for group in groups[:MOST_PANELS])), *chain(*groups[MOST_PANELS:])]
    if not names:
        return []
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return [f"{len(names)} more metric{'s' * (len(names) > 1)}: {listed}; name them in metrics."]


def crosses(frame: pandas.DataFrame, names: Iterable[str]) -> list[str]:
    """A note on the metrics that are marked with a cross."""
    nans = frame.attrs.get("nans", {})
    marked = [name for name in names if nans.get(name) or summary_of(frame[name].to_numpy(), health.Extremes).infinite]
    return [f"A red cross is where the log says NaN or inf: {', '.join(marked[:10])}."] if marked else []


def columns_of(frame: pandas.DataFrame, metric: str) -> dict[str, str]:
    """The columns of a metric by the part of the data: of one part, where the metric names it, or of all."""
    names = sorted(metric_names(frame, hidden=True), key=lambda name: name != metric)
    wanted, base = part_and_base(metric)
    found: dict[str, str] = {}
    for name in names:
        part, other = part_and_base(name)
        if other.casefold() == base.casefold() and wanted in ("", part):
            found.setdefault(part, name)
    return found


def shared_metrics(frames: Iterable[pandas.DataFrame]) -> list[str]:
    """The metrics that most frames have, the most telling ones first; eval_loss is taken for val_loss."""
    names = list(chain(*map(metric_names, frames)))
    counts = Counter(part_and_base(name) for name in names)
    found = {part_and_base(name): name for name in reversed(names)}
    order = {key: place for place, key in enumerate(dict.fromkeys(part_and_base(name) for name in names))}
    return [found[key] for key in sorted(found, key=lambda key: (-counts[key], order[key]))]


def shared_metric(frames: Iterable[pandas.DataFrame]) -> str:
    """The most telling metric that most frames have, of whatever part of the data."""
    return part_and_base(shared_metrics(frames)[0])[1]


def two_sides(frame: pandas.DataFrame, source: str | Path) -> list[Group]:
    """The metrics of the left axis and those of the right one: a loss and scores, or what there is of them."""
    groups = groups_of(frame, metric_names(frame))
    losses, scores = ([group for group in groups if role_of(group[0]) == role] for role in ("loss", "score"))
    names = set(chain(*scores[:MOST_SCORES]))
    loss = {part_and_base(name)[0]: name for name in reversed(losses[0])} if losses else {}
    sides = [[name for name in frame if name in loss.values()], [name for name in frame if name in names]]
    if not any(sides):
        raise ValueError(f"{source} has neither a loss nor a score, but {', '.join(frame)}; draw it with plot_run.")
    return [side[:MOST_LINES] for side in sides if side]


def title_of(names: Group) -> str:
    """What the axis of some metrics is called."""
    title = ", ".join(dict.fromkeys(map(base_of, names)))
    return title if len(title) <= 40 else {"loss": "losses", "score": "scores"}[role_of(names[0])]


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """A color for each metric, the same one for all parts of the data: red for a loss."""
    known, colors = dict(COLORS), {}
    others = cycle(OTHER_COLORS)
    for name in names:
        base = base_of(name)
        if base not in known:
            known[base] = COLORS["loss"] if role_of(name) == "loss" else next(others)
        colors[name] = known[base]
    return colors


# ---- The x axis ----


@dataclass(frozen=True)
class Axis:
    """The x of a frame: its name, a value for each row, and the rows in which segments begin."""

    name: str
    values: Any
    starts: tuple[int, ...] = (0,)

    @property
    def notes(self) -> list[str]:
        """What to say under the picture where x goes back."""
        count = len(self.starts) - 1
        return [f"{self.name} goes back {count} time{'s' * (count > 1)}, as after a restart."] if count else []


def axis_of(frame: pandas.DataFrame, wanted: str = "auto") -> Axis:
    """The x of a frame that is wanted: a kind of x, the name of a column, or "auto" for the one that was chosen."""
    kinds = kinds_of_x(frame)
    name = frame.attrs["x"] if wanted == "auto" else kinds.get(wanted, wanted)
    if name != "row" and (name not in frame or (wanted == "time" and "time" not in kinds)):  # seconds a step are no x
        raise Unknown(f"The run has no {wanted}; choose for x one of {', '.join(kinds)}.")
    starts = (0,) if name == "row" else starts_of(frame, name)
    if name == "row" or len(starts) > MOST_SEGMENTS:
        return Axis("row", curves.with_rows(frame)["row"])
    return Axis(*passed(frame[name]), starts) if kind_of(name) == "time" else Axis(name, frame[name], starts)


def kinds_of_x(frame: pandas.DataFrame) -> dict[str, str]:
    """The columns that can be the x of a frame, by what they count; of each kind, the finest."""
    kinds: dict[str, str] = {}
    for name in frame.attrs["xs"]:
        kinds.setdefault(kind_of(name), name)
    clocks = (name for name in frame if TIMES.search(name) and frame[name].is_monotonic_increasing)
    if "time" not in kinds and (clock := next(clocks, None)):
        kinds["time"] = clock
    return {**kinds, "row": "row"}


def kind_of(name: str) -> str:
    """What an x counts."""
    if name == "row":
        return name
    return "time" if TIMES.search(name) else "epoch" if EPOCHS.search(name) else "step"


def passed(times: pandas.Series) -> tuple[str, pandas.Series]:
    """The time since the first row, and its name, which is its unit: the largest of which some have passed."""
    seconds = (times - times.min()) * (3600 if times.name == "hours" else 1)
    longest = seconds.max()
    unit, size = next((unit for unit in UNITS if longest >= 2 * unit[1]), UNITS[-1])
    return unit, seconds / size


def starts_of(frame: pandas.DataFrame, x: str) -> tuple[int, ...]:
    """The rows in which segments begin: where x has gone back, and the first one."""
    if x == frame.attrs["x"]:
        return frame.attrs["starts"]
    numbers = frame[x].dropna()
    falls = numpy.flatnonzero(numpy.diff(numbers.to_numpy()) < 0) + 1
    return (0, *numbers.index[falls].tolist())


def shared_x(frames: Iterable[pandas.DataFrame]) -> str:
    """The x that all frames have: a column of one name, or else one of a kind; wall time only where it is asked for."""
    first, *others = frames
    for names in (lambda frame: frame.attrs["xs"], kinds_of_x):
        for name in names(first):
            is_count = "row" not in (name, kind_of(name)) and "time" not in (name, kind_of(name))
            if is_count and all(name in names(other) for other in others):
                return name
    return "row"


# ---- Curves ----


def draw_curve(axes: Axes, frame: pandas.DataFrame, name: str, axis: Axis, **style: Any) -> None:
    """Draw a metric: a line for each segment, a dotted one where it begins, and a red cross where it is no number."""
    column, label = frame[name], plain(style.pop("label"))
    nans = frame.attrs.get("nans", {}).get(name, ())
    for x, y in segments(axis, column, nans):
        axes.plot(x, y, label=label, marker="o" if len(y) == 1 else "", **style)  # a line of one point would not show
    values = numpy.asarray(axis.values)
    infinite = summary_of(column.to_numpy(), health.Extremes).infinite
    if len(nans) or infinite:
        mark_gaps(axes, values[sorted({*nans, *infinite})])
    mark_restarts(axes, values[list(axis.starts[1:])])


def segments(axis: Axis, column: pandas.Series, nans: Sequence[int] = ()) -> Iterator[tuple[Any, Any]]:
    """The x and y of each segment. An empty cell is left out, and the line goes on; a NaN of the log interrupts it."""
    bounds = list(pairwise([*axis.starts, len(column)]))
    x, y = axis.values, column
    if has_gaps(column) or has_gaps(x):
        there = ~numpy.isnan(column.to_numpy())
        there[list(nans)] = True
        rows = numpy.flatnonzero(there & ~numpy.isnan(numpy.asarray(x)))
        x, y = numpy.asarray(x)[rows], column.to_numpy()[rows]
        bounds = numpy.searchsorted(rows, bounds)
    for start, end in bounds:
        if end > start:
            yield (x, y) if end - start == len(y) else (x[start:end], y[start:end])


def has_gaps(column: Any) -> bool:
    """Whether a cell is empty."""
    return count_of(column) < len(column)


def count_of(column: Any) -> int:
    """How many cells hold a number."""
    return summary_of(numpy.asarray(column), curves.Gaps).numbers


def mark_gaps(axes: Axes, x: numpy.ndarray) -> None:
    """Mark where a metric is NaN or infinite, at the bottom of the axes."""
    bottom = numpy.full(len(x), 0.03)
    axes.plot(x, bottom, "x", color=RED, markersize=5, label="_not a number", transform=axes.get_xaxis_transform())


def mark_restarts(axes: Axes, x: numpy.ndarray) -> None:
    """Mark where segments begin."""
    marked = {line.get_xdata()[0] for line in axes.lines if line.get_gid() == "restart"}
    for place in dict.fromkeys(x):
        if place not in marked:
            axes.axvline(place, color=GRAY, linewidth=0.8, linestyle=":", label="_restart", gid="restart")


def fit_scores(axes: Axes, name: str) -> None:
    """Let the axis of a score reach from 0 to 1, or to 100 where it is in percent, with room for a line at the end."""
    lowest, highest = axes.dataLim.intervaly  # inf and -inf where there is no number yet
    if role_of(name) != "score" or lowest < 0 or highest > 100 or highest < lowest:
        return
    if highest <= 1:
        axes.set_ylim(0, 1.02)
    elif highest > 1.5:
        axes.set_ylim(0, 102)
        axes.set_ylabel(f"{axes.get_ylabel()}, %".removeprefix(", "), parse_math=False)


# ---- Panels ----


def panels_for(groups: list[Group], title: str, sentence: str) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each group, in two columns; one that stands alone in its row takes all of it."""
    words = textwrap.wrap(sentence, int(WIDTH * CHARACTERS))
    rows = [groups[start : start + 2] for start in range(0, len(groups), 2)]
    panel = PANEL if len(rows) > 1 else PAIR if len(groups) > 1 else ONLY_PANEL
    above = [ABOVE + LINE * max(map(legend_rows, row)) for row in rows]
    head = TOP + TITLE_LINE + LINE * len(words)
    height = head + sum(above) + len(rows) * panel + (len(rows) - 1) * BELOW + BOTTOM
    figure = titled_figure(title, height)
    place = {"x": 0.5, "y": 1 - (TOP + TITLE_LINE) / height, "ha": "center", "va": "top"}
    figure.text(s="\n".join(words), **place, fontsize=SMALL, parse_math=False)
    panels: list[Axes] = []
    top = height - head
    for row, space in zip(rows, above, strict=True):
        width = panel_width(len(row))
        for column in range(len(row)):
            corner = LEFT + column * (width + BESIDE), top - space - panel
            place = corner[0] / WIDTH, corner[1] / height, width / WIDTH, panel / height
            panels.append(figure.add_axes(place, sharex=panels[0] if panels else None))
        top -= space + panel + BELOW
    return figure, panels


def titled_figure(title: str, height: float) -> Figure:
    """A figure of that height, and its title."""
    figure = plt.figure(figsize=(WIDTH, height))
    figure.suptitle(title, y=1 - TOP / height, va="top", fontsize=LARGE, parse_math=False)
    return figure


def panel_width(columns: int) -> float:
    """How wide a panel is where so many stand side by side."""
    return (WIDTH - LEFT - RIGHT - BESIDE * (columns - 1)) / columns


def draw_group(axes: Axes, group: Group, frame: pandas.DataFrame, axis: Axis, number: int) -> None:
    """Draw the metrics of a group: those of several parts of the data in one color, several of one part in several."""
    colors = colors_in(group, number)
    for name in sorted(group, key=lambda name: -count_of(frame[name])):  # the long lines behind the short ones
        draw_curve(axes, frame, name, axis, color=colors[name], linestyle=style_of(name), label=name)
    fit_scores(axes, group[0])
    dress(axes)
    rows = legend_rows(group)
    if rows:
        keys = [Line2D([], [], color=color, linestyle=style_of(name)) for name, color in colors.items()]
        ncols = fitting_columns(legend_labels(group), panel_width(2))
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": ncols, "borderaxespad": 0, "borderpad": 0.2}
        without_math(axes.legend(keys, legend_labels(group), **above, **LEGEND))
    most = int(axes.get_position().width * WIDTH * CHARACTERS * 0.85)  # titles are larger than small words
    title = short(base_of(group[0]) if rows else group[0], most)
    axes.set_title(title, loc="left", fontsize=SMALL + 1, pad=4 + 72 * LINE * rows, parse_math=False)


def colors_in(group: Group, number: int) -> dict[str, str]:
    """The colors in a panel: that of its number for each style of line, and the next ones where a style comes again."""
    seen: Counter[str] = Counter()
    colors = {}
    for name in group:
        colors[name] = f"C{(number + seen[style_of(name)]) % 10}"
        seen[style_of(name)] += 1
    return colors


def dress(axes: Axes) -> None:
    """Give a panel its grid, and few and brief numbers."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL - 1)
    axes.locator_params(nbins=5)
    axes.xaxis.set_major_formatter(Brief())
    axes.yaxis.set_major_formatter(Brief())


class Brief(Formatter):
    """Numbers on an axis, with as many digits as it takes to tell them apart: 0.5, 20k, 1.5M."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return brief(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The numbers at the ticks."""
        different = len(set(values))
        for digits in range(3, 16):
            texts = [brief(value, digits) for value in values]
            if len(set(texts)) == different:
                break
        return texts if len(values) else []


def brief(value: float, digits: int = 6) -> str:
    """A number in few characters; of a whole one, all digits."""
    size, letter = next(((size, letter) for least, size, letter in POWERS if abs(value) >= least), (1, ""))
    digits = max(digits, 4) if abs(value) >= 1 else digits
    return f"{value / size:.{digits}g}{letter}".replace("-", "\N{MINUS SIGN}")


def legend_labels(group: Group) -> list[str]:
    """What the lines of a group are called: by their names where these fit into a row, or by what differs in them."""
    if fitting_columns(group, panel_width(2)) == len(group):
        return list(map(plain, group))
    words = [re.split(r"[/_ ]", name) for name in group]
    shared = set.intersection(*map(set, words))
    labels = [" ".join(word for word in each if word not in shared) for each in words]
    labels = labels if len(set(labels)) == len(labels) else group
    return [plain(short(label or name, 28)) for label, name in zip(labels, group, strict=True)]


def legend_rows(group: Group) -> int:
    """How many rows the legend of a panel has; a line that stands alone is told by the title."""
    group = group[:MOST_LINES]
    return ceil(len(group) / fitting_columns(legend_labels(group), panel_width(2))) if len(group) > 1 else 0


def fitting_columns(labels: Sequence[str], width: float) -> int:
    """How many columns of a legend there is room for in so many inches."""
    characters = max(map(len, labels)) + KEY_CHARACTERS
    return max(1, min(len(labels), int(width * CHARACTERS / characters)))


def panel_with_legend(title: str, keys: Mapping[str, dict[str, Any]]) -> tuple[Figure, Axes]:
    """A figure with one panel, and below it a legend with these keys: the style of a line by its label."""
    labels = list(map(plain, keys))
    columns = fitting_columns(labels, WIDTH - 0.4)
    legend = LINE * ceil(len(labels) / columns) + 0.1
    height = TOP + TITLE_LINE + 0.08 + ONLY_PANEL + BOTTOM + legend
    figure = titled_figure(title, height)
    bottom, top = (BOTTOM + legend) / height, 1 - (TOP + TITLE_LINE + 0.08) / height
    axes = figure.add_axes((LEFT / WIDTH, bottom, panel_width(1) / WIDTH, top - bottom))
    lines = [Line2D([], [], **style) for style in keys.values()]
    without_math(figure.legend(lines, labels, loc="lower center", ncols=columns, borderaxespad=0.2, **LEGEND))
    dress(axes)
    return figure, axes


def keys_of(names: Sequence[str], parts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The legend of a comparison: the color of each run and, where there are several, the style of each part."""
    colors = {name: {"color": color} for name, color in zip(names, palette(len(names)), strict=True)}
    styles = {STYLES[part] for part in parts}
    words = {"train": "-", "validation": "--", "test": ":"}
    keys = {word: {"color": GRAY, "linestyle": style} for word, style in words.items() if style in styles}
    return {**colors, **(keys if len(keys) > 1 else {})}


def palette(count: int) -> list[Any]:
    """So many colors: those of the style, or more than it has."""
    if count <= 10:
        return [f"C{number}" for number in range(count)]
    return list(plt.get_cmap("turbo")(numpy.linspace(0.05, 0.95, count)))


def without_math(legend: Legend) -> None:
    """Let a dollar sign in a legend be one."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def axes_and_legend(title: str, colors: Mapping[str, str]) -> tuple[Figure, Axes]:
    """A figure of the usual size with axes, a title above them, and below them a legend of metrics."""
    labels = [plain(short(name, 30)) for name in colors]
    columns = fitting_columns(labels, WIDTH)
    rows = {"bottom": 0.13 + 0.05 * ceil(len(labels) / columns), "top": 0.9 - 0.04 * title.count("\n")}
    figure, axes = plt.subplots(gridspec_kw={**MARGINS, **rows})
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.25)
    keys = [Line2D([], [], color=color, linestyle=style_of(name)) for name, color in colors.items()]
    without_math(figure.legend(keys, labels, loc="lower center", ncols=columns, frameon=False))
    return figure, axes


# ---- The table of results ----


@dataclass(frozen=True)
class Result:
    """The last value of a metric, the best one and its x; `better` is 0 where the name does not tell what is."""

    last: float
    best: float
    at: float
    better: int


def result_of(frame: pandas.DataFrame, metric: str) -> Result | None:
    """The result of a metric in a run; None where it has no such metric."""
    columns, (part, _) = columns_of(frame, metric), part_and_base(metric)
    name = next((columns[part] for part in (part, "val", "", "train", "test") if part in columns), None)
    values = frame[name].to_numpy() if name else numpy.empty(0)
    last, extremes = health.last_finite(values), summary_of(values, health.Extremes)
    if last < 0:
        return None
    better, axis = health.better(name), axis_of(frame)
    row = extremes.highest if better > 0 else extremes.lowest
    return Result(values[last], values[row], numpy.asarray(axis.values)[row], better)


def table_picture(names: Sequence[str], metrics: Sequence[str], results: list[list[Result | None]]) -> Figure:
    """A table with a row for each run and a column for each metric; the best of a column is bold."""
    height, width = TOP + ROW * (len(names) + 1), max(WIDTH, NAMES + CELL * len(metrics))
    figure = plt.figure(figsize=(width, height))
    for column, metric in enumerate(metrics):
        best = best_row([row[column] for row in results])
        write(figure, NAMES + CELL * column, 0.5, short(metric, 17), weight="bold")
        for number, row in enumerate(results):
            write_result(figure, NAMES + CELL * column, number + 1, row[column], is_best=number == best)
    for number, name in enumerate(names):
        write(figure, 0.1, number + 1.5, textwrap.fill(name, 22))
        y = 1 - (TOP + ROW * (number + 1)) / height
        figure.add_artist(Line2D([0.1 / width, 1 - 0.1 / width], [y, y], color=GRAY, linewidth=0.5))
    return figure


def number_card(title: str, frame: pandas.DataFrame, names: Sequence[str]) -> Figure:
    """A table of the metrics of a run that has a single row, as a summary that was written at the end."""
    height = TOP + ROW * (len(names) / 2 + 1)
    figure = plt.figure(figsize=(WIDTH, height))
    write(figure, 0.1, 0.5, title, fontsize=LARGE)
    for number, name in enumerate(names):
        write(figure, 0.1, 1.2 + number / 2, short(name, 50))
        write(figure, 0.65 * WIDTH, 1.2 + number / 2, brief(frame[name].iloc[0]), weight="bold")
    figure.headline, figure.notes = health.headline(health.health_of(frame)), []
    return figure


def write_result(figure: Figure, x: float, row: int, result: Result | None, is_best: bool) -> None:
    """Write a cell of the table: the last value, and below it the best one."""
    last = brief(result.last, 4) if result else "\N{EN DASH}"
    write(figure, x, row + (0.3 if result and result.better else 0.5), last, weight="bold" if is_best else "normal")
    if result and result.better:
        write(figure, x, row + 0.7, f"best {brief(result.best, 4)} @ {brief(result.at, 4)}", fontsize=SMALL - 1)


def write(figure: Figure, x: float, row: float, text: str, **style: Any) -> None:
    """Write words so many inches from the left and rows from the top."""
    y = 1 - (TOP + ROW * row) / figure.get_figheight()
    figure.text(x / figure.get_figwidth(), y, text, va="center", parse_math=False, **{"fontsize": SMALL, **style})


def best_row(results: Sequence[Result | None]) -> int | None:
    """The row of the best result, where there are several to choose from and the name tells what is better."""
    rows = [row for row, result in enumerate(results) if result and result.better]
    return max(rows, key=lambda row: results[row].better * results[row].best) if len(rows) > 1 else None


# ---- Words ----


def short(text: str, most: int = 40) -> str:
    """A text of at most so many characters, cut in the middle."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - half]}…{text[-half:]}"


def plain(label: str) -> str:
    """A label that matplotlib shows: it hides those that begin with an underscore."""
    return f" {label}" if label.startswith("_") else label
