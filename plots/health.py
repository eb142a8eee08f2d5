"""How a training run is doing, told from its log alone: best values, divergence, plateau, pace, time to finish.

The words: a run has *diverged* where the newest value of a loss is NaN or infinite, and *recovered* where a finite one
followed. A metric is on a *plateau* where the last third of the run brought nothing better than its noise would. The
*pace* is how much of x comes in a second, where the log tells the time.

Whether a log still grows is not asked here: that is seen at its file.
"""

import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy
import pandas

from .metrics import part_and_base, role_of
from .thinning import summary_of

MOST_TELLING = 3  # metrics whose last and best values are told
CHUNK_ROWS = 1 << 16  # looked at in one go: half a megabyte, which stays in the processor's cache
FEWEST_POINTS = 15  # of a metric that can be on a plateau: its thirds are told apart by their noise
BINS = 30  # that a curve is averaged to before its thirds are compared
SAMPLED = 30_000  # points of a longer curve are enough for these averages
MOST_NOTED = 100  # infinite numbers of a chunk
PACE_ROWS = range(10, 1000)  # how few and how many of the last rows tell the pace: a tenth of the run between that
FEWEST_TIMES = 3
ALMOST = 0.999  # of a step: where less than that is missing, no further row will come

PARTS = ("val", "", "train", "test")  # what is told first
REWARD = re.compile(
    r"(?i)^r$|rew(ard)?s?(?![a-z])|ret(urn)?s?(?![a-z])|psnr|win_?rate|success"
)  # the higher the better
MAIN = re.compile(r"(?i)^(total[ _]?)?loss$|95|^acc(uracy)?$|f-?(1|score|measure)|dice|m_?iou|ep_?rew|ep_?ret")
BEST_SO_FAR = re.compile(r"(?i)(^|[/_ ])best[_ ]")
ETA = re.compile(r"(?i)(^|/)eta(_seconds)?$")

# Columns with the time since the start, or since the epoch, and how many seconds their unit has.
CLOCKS = (
    (re.compile(r"^wall_time$"), 1),
    (re.compile(r"(?i)^(timestamp|time|t|((time|misc)/)?time_elapsed|elapsed(_time)?|time_total_s)$"), 1),
    (re.compile(r"(?i)^hours$"), 3600),
)
# What an x counts, by what its name contains.
COUNTED = {
    "timestep": "timesteps",
    "interacts": "timesteps",
    "env_step": "timesteps",
    "step": "steps",
    "#": "steps",
    "iter": "iterations",
    "epoch": "epochs",
    "episode": "episodes",
    "update": "updates",
    "round": "rounds",
    "batch": "batches",
    "row": "rows",
}
PER = (("s", 1), ("min", 60), ("h", 3600))
SPANS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class Best:
    """The best value of a metric, and the x of it: the lowest loss, the highest score or reward."""

    metric: str
    value: float
    x: float


@dataclass(frozen=True)
class Health:
    """What a log tells about its run, in plain values; None and () where it does not tell."""

    x: str = "row"  # the name of x
    at: float | None = None  # its last value
    rows: int = 0
    total: float | None = None  # the last value that x will have
    last: tuple[tuple[str, float], ...] = ()  # newest values of the most telling metrics
    best: tuple[Best, ...] = ()
    diverged: tuple[str, float] | None = None  # the metric, and the x from which on it is no finite number
    recovered: tuple[tuple[str, float, int], ...] = ()  # metric, x of the first, and how many were no finite numbers
    plateau: tuple[str, float] | None = None  # the metric, and the x since which nothing was better
    rate: float | None = None  # x per second
    row_rate: float | None = None  # rows per second
    seconds_left: float | None = None
    finished: bool = False  # x has reached its total, or is so close that no further row will come


@numpy.errstate(all="ignore")  # of infinite numbers, and of very large ones
def health_of(frame: pandas.DataFrame, now: float | None = None, total: float | None = None) -> Health:
    """How the run is doing whose log is this frame, as `logs.read_log` or `logs.glance` give it.

    Of a glance that left out the middle of a log, neither the best values nor a plateau are told.

    Parameters
    ----------
    now
        Seconds since the epoch. Where the log has a wall clock, the time to finish is counted from then on.
    total
        The last value that x will have, where the log does not say it (``frame.attrs["total"]``).
    """
    if frame.empty:
        return Health(total=total)
    log = Log(frame, frame.attrs.get("total") if total is None else total)
    diverged, recovered = log.divergence()
    rate, row_rate = log.pace()
    return Health(
        x=log.x,
        at=log.at,
        rows=len(frame),
        total=log.total,
        last=tuple((name, log.value(name, log.last_finite[name])) for name in log.telling),
        best=log.best() if log.whole else (),
        diverged=diverged,
        recovered=recovered,
        plateau=log.plateau() if log.whole else None,
        rate=rate,
        row_rate=row_rate,
        seconds_left=log.seconds_left(rate, now),
        finished=log.finished,
    )


def telling(names: Iterable[str]) -> list[str]:
    """The metrics among these names, those first that tell most; no x and none that is hidden.

    The first loss, the first score and the first reward come before the second of each; validation before training.
    """
    groups: dict[str, list[str]] = {"loss": [], "score": [], "reward": [], "other": []}
    for name in names:
        role = "reward" if role_of(name) == "other" and REWARD.search(name) else role_of(name)
        groups.get(role, []).append(name)
    others = sorted(groups.pop("other"), key=precedence)
    ranks = zip_longest(*(sorted(group, key=precedence) for group in groups.values()))
    return [name for name in chain(*ranks, others) if name is not None]


def precedence(name: str) -> tuple[bool, int, bool]:
    """What a metric is sorted by among its like: its part, and whether it sums up others; a best so far is last."""
    part, base = part_and_base(name)
    return bool(BEST_SO_FAR.search(name)), PARTS.index(part), not MAIN.search(base)


# ---- A log ----


class Log:
    """A frame with what was found out about it so far."""

    def __init__(self, frame: pandas.DataFrame, total: float | None) -> None:
        self.columns = columns_of(frame)
        self.rows = len(frame)
        self.total = total
        self.whole = frame.attrs.get("whole", True)
        self.nans = frame.attrs.get("nans", {})
        self.start = max((row for row in frame.attrs.get("starts", ()) if row < self.rows), default=0)
        self.x = frame.attrs.get("x") if frame.attrs.get("x") in self.columns else "row"
        metrics = [name for name in telling(self.columns) if name != self.x]
        self.last_finite = {name: last_finite(self.columns[name]) for name in metrics}
        self.losses = [name for name in metrics if role_of(name) == "loss"]
        self.telling = [name for name in metrics if self.last_finite[name] >= 0][:MOST_TELLING]
        looked_at = self.telling if self.whole else ()
        self.extremes = {name: summary_of(self.columns[name], Extremes) for name in looked_at}
        self.at = self.place(self.rows - 1)
        self.finished = self.total is not None and self.at >= self.total - self.usual_step() * ALMOST

    def value(self, name: str, row: int) -> float:
        """One number of a column."""
        return float(self.columns[name][row])

    def place(self, row: int) -> float:
        """The x of a row; the number of the row where there is none."""
        x = self.value(self.x, row) if self.x in self.columns else float(row)
        return x if numpy.isfinite(x) else float(row)

    def usual_step(self) -> float:
        """By how much x usually rises from row to row; 0 where it never does."""
        first = max(self.start, self.rows - PACE_ROWS.stop)
        places = self.columns[self.x][first:] if self.x in self.columns else numpy.arange(first, self.rows)
        steps = numpy.diff(places)
        return float(numpy.median(steps[steps > 0])) if (steps > 0).any() else 0.0

    def best(self) -> tuple[Best, ...]:
        """The best value of each telling metric of which it is known what is better."""
        rows = {name: self.best_row(name) for name in self.telling if better(name)}
        return tuple(Best(name, self.value(name, row), self.place(row)) for name, row in rows.items())

    def best_row(self, name: str) -> int:
        """The row of the best value of a telling metric."""
        return self.extremes[name].lowest if better(name) < 0 else self.extremes[name].highest

    def divergence(self) -> tuple[tuple[str, float] | None, tuple[tuple[str, float, int], ...]]:
        """The loss that has diverged first, if any, and the losses that have recovered.

        A loss that never was a finite number tells nothing (a validation that is not done) unless none ever was.
        """
        diverged, recovered = [], []
        ever_finite = any(self.last_finite[name] >= 0 for name in self.losses)
        for name in self.losses:
            last, bad = self.last_finite[name], self.bad_rows(name)
            for_good = bad[bad > last]
            if len(for_good) and (last >= 0 or not ever_finite):
                diverged.append((int(for_good[0]), name))
            elif len(bad) and last >= 0:
                recovered.append((name, self.place(int(bad[0])), len(bad)))
        first = min(diverged, default=None)
        return (first[1], self.place(first[0])) if first else None, tuple(recovered)

    def bad_rows(self, name: str) -> numpy.ndarray:
        """The rows in which the log says that a metric is NaN or infinite, as far as that is known cheaply."""
        column, after = self.columns[name], self.last_finite[name] + 1
        known = numpy.array(self.nans.get(name, ()), int)
        infinite = after + numpy.flatnonzero(numpy.isinf(column[after:]))
        if name in self.extremes:
            infinite = numpy.union1d(infinite, self.extremes[name].infinite)
        return numpy.union1d(known, infinite).astype(int)

    def plateau(self) -> tuple[str, float] | None:
        """The most telling metric with the x since which it is on a plateau, or None.

        The criterion is that of Keras' ``ReduceLROnPlateau``, with a third of the run for its patience and the noise
        for its ``min_delta``: the best of the last third is not better than the best before it by more than the
        median step between neighbours in the last third. Curves are first averaged to thirty points.
        """
        name = next((name for name in self.telling if better(name)), None)
        if name is None or self.diverged_now(name):
            return None
        column = self.columns[name]
        step = max(len(column) // SAMPLED, 1)
        rows = numpy.flatnonzero(numpy.isfinite(column[::step])) * step
        if len(rows) < FEWEST_POINTS:
            return None
        bins = numpy.array_split(rows, min(BINS, len(rows)))
        curve = numpy.array([better(name) * column[each].mean() for each in bins])
        third = len(curve) - len(curve) // 3
        noise = numpy.median(numpy.abs(numpy.diff(curve[third:])))
        is_better = curve[third:].max() - curve[:third].max() > noise
        return None if is_better else (name, self.place(min(self.best_row(name), int(bins[third][0]))))

    def diverged_now(self, name: str) -> bool:
        """Whether the newest value of a metric is no finite number."""
        return bool(len(self.bad_rows(name)) and self.bad_rows(name)[-1] > self.last_finite[name])

    def pace(self) -> tuple[float | None, float | None]:
        """How much of x, and how many rows, come in a second, by the last rows of the last segment."""
        size = self.rows - self.start
        first = self.rows - min(size, max(size // 10, PACE_ROWS.start), PACE_ROWS.stop)
        for name, seconds in self.clocks():
            times = seconds * self.columns[name][first:].astype(float)
            rows = numpy.flatnonzero(numpy.isfinite(times))
            if is_clock(times[rows]):
                took = times[rows[-1]] - times[rows[0]]
                gone = self.place(first + int(rows[-1])) - self.place(first + int(rows[0]))
                timeless = self.x == name or gone <= 0
                return None if timeless else float(gone / took), float((rows[-1] - rows[0]) / took)
        return None, None

    def clocks(self) -> Iterable[tuple[str, int]]:
        """The columns that may tell the time, with the seconds of their unit."""
        for pattern, seconds in CLOCKS:
            yield from ((name, seconds) for name in self.columns if pattern.search(name))

    def seconds_left(self, rate: float | None, now: float | None) -> float | None:
        """How long the run still takes: by its pace, or as the log itself says."""
        if self.finished:
            return None
        if self.total is not None and rate:
            left = (self.total - self.at) / rate
        else:
            left = self.promised()
        if left is None or now is None or "wall_time" not in self.columns:
            return left
        left -= max(now - self.value("wall_time", -1), 0)
        return left if left > 0 else None  # long over: it has stopped, or its pace was another

    def promised(self) -> float | None:
        """The newest time to finish that the log names."""
        name = next(filter(ETA.search, self.columns), None)
        if name is None or (row := last_finite(self.columns[name])) < 0 or self.value(name, row) <= 0:
            return None
        return self.value(name, row)


def columns_of(frame: pandas.DataFrame) -> dict[str, numpy.ndarray]:
    """The columns of numbers, not copied, by name."""
    bare = frame.copy(deep=False)
    bare.attrs = {}  # pandas copies them, in depth, for every column that is asked for
    return {name: each.to_numpy() for name, each in bare.items() if isinstance(name, str) and each.dtype.kind in "fiu"}


def better(name: str) -> int:
    """-1 where lower values of a metric are better, 1 where higher ones are, 0 where the name does not tell."""
    role = role_of(name)
    return {"loss": -1, "score": 1}.get(role, 1 if role == "other" and REWARD.search(name) else 0)


def is_clock(times: numpy.ndarray) -> bool:
    """Whether these numbers could be times since a start: enough of them, none falls, and most of them rise."""
    steps = numpy.diff(times)
    return len(times) >= FEWEST_TIMES and bool((steps >= 0).all()) and 2 * numpy.count_nonzero(steps) > len(steps)


def last_finite(column: numpy.ndarray) -> int:
    """The last row with a finite number, or -1; looked for from the end, where it nearly always is."""
    end, size = len(column), 64
    while end > 0:
        start = max(end - size, 0)
        found = numpy.flatnonzero(numpy.isfinite(column[start:end]))
        if len(found):
            return start + int(found[-1])
        end, size = start, min(size * 8, CHUNK_ROWS)
    return -1


class Extremes:
    """The rows of a column's lowest and highest finite number, and those that are infinite.

    It is remembered of a column that only grows (see `summary_of`), and then looks at its new rows alone.
    """

    def __init__(self, rows: int = 0) -> None:
        self.seen = 0
        self.lowest = self.highest = -1
        self.infinite: list[int] = []

    def extend(self, column: numpy.ndarray) -> None:
        """Look at the rows that came since."""
        for start in range(self.seen, len(column), CHUNK_ROWS):
            self.look(column, start, min(start + CHUNK_ROWS, len(column)))
        self.seen = len(column)

    def look(self, column: numpy.ndarray, start: int, end: int) -> None:
        """Look at some rows; those among them that are finite numbers only where not all are."""
        rows = column[start:end]
        lowest, highest = rows.min(), rows.max()  # NaN, where there is one
        if not (numpy.isfinite(lowest) and numpy.isfinite(highest)):
            self.infinite += (start + numpy.flatnonzero(numpy.isinf(rows))[:MOST_NOTED]).tolist()
            finite = rows[numpy.isfinite(rows)]
            if not len(finite):
                return
            lowest, highest = finite.min(), finite.max()
        if self.lowest < 0 or lowest < column[self.lowest]:
            self.lowest = start + int((rows == lowest).argmax())
        if self.highest < 0 or highest > column[self.highest]:
            self.highest = start + int((rows == highest).argmax())


# ---- Words ----


def sentence(health: Health) -> str:
    """What there is to say of a run, in one line: "best val_loss 0.312 at epoch 12; 4.1 steps/s; 38 min to go"."""
    return "; ".join(filter(None, (say(health) for say in SAYINGS)))


def headline(health: Health) -> str:
    """How a run stands, in the few words that a tab has room for: "val_loss 0.312, 62 %"."""
    if health.diverged:
        return f"✗ diverged at {at(health, health.diverged[1])}"
    newest = " ".join([health.last[0][0], figure(health.last[0][1])]) if health.last else ""
    return ", ".join(filter(None, (newest, progress(health))))


def progress(health: Health) -> str:
    """How far a run is on its way, where that is known."""
    if health.finished:
        return "done"
    known = health.total and health.at is not None
    return f"{max(health.at, 0) / health.total:.0%}".replace("%", " %") if known else ""


def divergence_words(health: Health) -> str:
    """Which metric has diverged, and where."""
    if health.diverged is None:
        return ""
    name, x = health.diverged
    return f"diverged: no number for {name} from {at(health, x)} on"


def best_words(health: Health) -> str:
    """The best values and where they were; of a run of which these are not known, where it stands."""
    if health.best and health.rows > 1:
        return ", ".join(f"best {each.metric} {figure(each.value)} at {at(health, each.x)}" for each in health.best[:2])
    newest = ", ".join(f"{name} {figure(value)}" for name, value in health.last[:2])
    return f"{newest} at {at(health, health.at)}" if newest and health.at is not None else newest


def plateau_words(health: Health) -> str:
    """Since when nothing has become better."""
    return f"{health.plateau[0]} no better since {at(health, health.plateau[1])}" if health.plateau else ""


def recovery_words(health: Health) -> str:
    """Where a loss was no number for a while."""
    if not health.recovered:
        return ""
    name, x, count = health.recovered[0]
    return f"no number for {name} at {at(health, x)}" + (f" and {count - 1} more" if count > 1 else "")


def pace_words(health: Health) -> str:
    """How fast a run goes: in seconds, minutes or hours, whichever gives a number of one or more."""
    rate, what = (health.rate, counted(health.x)) if health.rate else (health.row_rate, "rows")
    if not rate or health.finished:
        return ""
    unit, seconds = next((each for each in PER if rate * each[1] >= 1), PER[-1])
    return f"{figure(rate * seconds, 2)} {what}/{unit}"


def finish_words(health: Health) -> str:
    """How long a run still takes, or that it is finished."""
    if health.finished:
        return f"finished at {at(health, health.at)}"
    return f"{span(health.seconds_left)} to go" if health.seconds_left and not health.diverged else ""


SAYINGS = (divergence_words, best_words, plateau_words, recovery_words, pace_words, finish_words)


def at(health: Health, x: float) -> str:
    """A place on the x axis, as "epoch 12"."""
    if health.x == "wall_time":
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(x))
    return f"{health.x.rsplit('/', 1)[-1]} " + (f"{x:.0f}" if float(x).is_integer() else f"{x:.6g}")


def counted(x: str) -> str:
    """What an x counts, in the plural."""
    return next((words for part, words in COUNTED.items() if part in x.lower()), "rows" if x == "row" else x)


def figure(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, and all of those before the point."""
    whole = math.isfinite(value) and 10**digits <= abs(value) < 1e15
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"


def span(seconds: float) -> str:
    """A length of time in its largest unit, and in the next smaller one where the first is small: "2 h 5 min"."""
    unit, size = next((each for each in SPANS if seconds >= each[1]), SPANS[-1])
    smaller = dict(zip([name for name, _ in SPANS], SPANS[1:], strict=False)).get(unit)
    if smaller is None or unit == "min" or seconds >= 10 * size:
        return f"{max(round(seconds / size), 1)} {unit}"
    rest = int(seconds % size) // smaller[1]
    return f"{int(seconds) // size} {unit}" + (f" {rest} {smaller[0]}" if rest else "")
