"""Runs of TensorBoard and MLflow: event files and metric files become the table of a run, and only new bytes count.

The vocabulary: a *tag* is what TensorBoard calls a metric; its points in one file are its *series*. A *run* is a
folder: the files in it follow each other, those of its sub-directories stand beside them. What an event file is made of
is scalars.py's to know.

Nothing is lost: a restart writes another file whose steps overlap those before, and begins a new *segment*.
"""

import functools
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import pandas

from .curves import NAN, ROW
from .growing import COPIED, TAIL_BYTES, Mark, NoCurve
from .scalars import Found, Series, joined, next_record, record_length, record_places

REMEMBERED = 128  # files, the ones read last: a run of MLflow has one for each metric
HEAD_BYTES = 1 << 8  # compared at every call: the first event tells when a file was begun
PART_BYTES = 1 << 24  # decoded at a time
DEPTH, SUBDIRECTORIES = 4, 200  # of a run, which are looked into
GLANCED_WHOLE_BYTES = 1 << 22  # the largest file that is
GLANCED_BYTES = 1 << 17  # of a larger one, at both its ends
SECONDS_DIGITS = 11  # a time with more of them is in milliseconds
NOTED_NANS = 100  # of a column
OWN_COLUMNS = ("step", "wall_time", ROW)


# -- TensorBoard's folders and files


def recognises_events(path: Path) -> bool:
    """Whether it is an event file, by its name or its first record, or a folder that holds some."""
    if path.is_dir():
        return any(files for _, files in event_folders(path))
    return "tfevents" in path.name or is_event_file(path)


def read_events(path: Path) -> pandas.DataFrame:
    """The scalars of an event file or of a folder of them, a row a step, a column a tag, as TensorBoard has them.

    Columns: step, wall_time (seconds since the epoch, the earliest of the row), and the tags in the order in which
    they came. A sub-directory's tags have its name before them (``train/epoch_loss``), those of ``add_scalars`` the
    names they were given (``loss/train``). Sub-directories that hold hyperparameters are left out.

    A record that is still being written waits; one whose checksum is wrong is left out, and what follows is found
    again. Raises NoCurve where there is no scalar, without the name of the file.
    """
    folders = [(name, [remembered(file, EventFile) for file in files]) for name, files in event_folders(path)]
    return events_table(folders)


def glance_events(path: Path) -> pandas.DataFrame:
    """The same from the beginning and the end of each large file; nothing is remembered."""
    folders = [(name, [glanced(file) for file in files]) for name, files in event_folders(path)]
    return events_table(folders)


def events_table(folders: "list[tuple[str, list[EventFile]]]") -> pandas.DataFrame:
    """The table of a run, from the files of its folders."""
    kept = [(name, files) for name, files in folders if not name or not any(file.is_hparams for file in files)]
    kept = kept or folders
    columns: dict[str, Points] = {}
    for name, files in kept:
        for tag, points in stream_points([file.series for file in files]).items():
            column = column_name(name, tag)
            columns[column] = columns[column] + points if column in columns else points
    if not columns and any(file.events > 1 for _, files in folders for file in files):  # the first is the version
        raise NoCurve("its events hold no scalars; log some with add_scalar")
    table = run_table(columns, "TensorBoard events")
    table.attrs["whole"] = all(file.is_whole for _, files in kept for file in files)
    return table


def event_folders(path: Path) -> Iterator[tuple[str, list[Path]]]:
    """The event files of a run, in the order they were begun, by the sub-directory they are in ("" for its own)."""
    if not path.is_dir():
        yield "", [path]
        return
    waiting = [("", 0)]
    for name, depth in waiting:  # which grows while it is gone through: nearer ones come first
        files, below = event_files(path / name)
        if files:
            yield name, files
        if depth < DEPTH:
            waiting += [(f"{name}/{each}".lstrip("/"), depth + 1) for each in below][: SUBDIRECTORIES - len(waiting)]


def event_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The event files in a folder, whose names begin with the time at which they were begun, and its folders."""
    files, below = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if "tfevents" in entry.name and entry.is_file(follow_symlinks=False):
                    files.append(folder / entry.name)
                elif not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
    except OSError:  # not for us to see, or gone
        pass
    return sorted(files), sorted(below)


def is_event_file(path: Path) -> bool:
    """Whether a file begins with an event that tells the version of the format, as all event files do."""
    with open(path, "rb") as file:
        start = file.read(64)
    return b"brain.Event:" in start and record_length(start, 0) is not None


def column_name(folder: str, tag: str) -> str:
    """What a tag in a sub-directory is called, which is none of the table's own names.

    ``add_scalars("loss", {"train": ...})`` writes the tag loss, to loss_train (PyTorch) or loss/train (tensorboardX).
    """
    tag = tag.strip() or "value"
    start = f"{tag}/".replace("/", "_")
    if folder.replace("/", "_").startswith(start) and len(folder) > len(start):
        return f"{tag}/{folder[len(start) :]}"
    name = f"{folder}/{tag}" if folder else tag
    return f"scalars/{name}" if name in OWN_COLUMNS else name


def glanced(path: Path) -> "EventFile":
    """What a file holds, if it is large, at its beginning and its end."""
    log = EventFile()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        log.is_whole = size <= GLANCED_WHOLE_BYTES
        log.feed(file.read(size if log.is_whole else GLANCED_BYTES), size)
        if not log.is_whole:
            file.seek(size - GLANCED_BYTES)
            end = file.read(GLANCED_BYTES)
            log.feed(end[next_record(end, 0) or 0 :], len(end))
    return log


# -- MLflow's folders and files


def recognises_mlflow(path: Path) -> bool:
    """Whether it is a metric file, a run's folder of metrics, or the folder of a run."""
    if path.is_dir():
        return is_metrics_folder(path) or ((path / "metrics").is_dir() and is_metrics_folder(path / "metrics"))
    return any(map(is_metrics_folder, path.parents)) and is_metric_file(path)


def is_metrics_folder(path: Path) -> bool:
    """Whether it is the ``metrics`` of a run, beside which its description stands."""
    return path.name == "metrics" and (path.parent / "meta.yaml").is_file() and not path.is_symlink()


def is_metric_file(path: Path) -> bool:
    """Whether its first line is a metric's: a time, a value, and a step but for the oldest."""
    with open(path, "rb") as file:
        return METRIC.match(file.read(200)) is not None


METRIC = re.compile(rb"(\d{1,18}) (\S+)(?: (-?\d{1,18}))?(?: [^\n]*)?\r?\n")  # a data set may follow the step


def read_mlflow(path: Path) -> pandas.DataFrame:
    """The metrics of a run of MLflow, a row a step, from its folder, its folder of metrics, or a single metric file.

    Columns: step, wall_time (seconds since the epoch), and the metrics by name, with those of the system
    (``system/cpu_utilization_percentage``). The run's name, where it has one, is in ``attrs["name"]``. Raises NoCurve
    where there is no metric yet, without the name of the file.
    """
    metrics = next((each for each in [path / "metrics", path, *path.parents] if is_metrics_folder(each)), None)
    metrics = metrics or (path if path.is_dir() else path.parent)
    files = metric_files(metrics) if path.is_dir() else [path]
    series = {file.relative_to(metrics).as_posix(): remembered(file, MetricFile).series for file in files}
    named = {column_name("", name): tags[""] for name, tags in series.items() if tags}
    table = run_table(stream_points([named]), "MLflow")
    table.attrs |= {"name": name} if (name := run_name(metrics.parent / "meta.yaml")) else {}
    return table


def metric_files(folder: Path) -> list[Path]:
    """The files below a folder of metrics: the name of a metric may hold slashes."""
    found = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                found += metric_files(folder / entry.name)
            elif entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                found.append(folder / entry.name)
    return found


def run_name(path: Path) -> str:
    """The name of a run, from the line of its description that tells it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = dict(re.findall(r"(?m)^(run_name|name):[ ]*(.*?)[ ]*$", text))
    name = lines.get("run_name") or lines.get("name", "")
    return name[1:-1].replace("''", "'") if name[:1] in ("'", '"') and name[-1:] == name[:1] else name


# -- what is remembered of a file


class MetricFile:
    """The points of a metric file of MLflow, as the series of the tag ""."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    def feed(self, data: bytes, left: int) -> int:
        """Take the complete lines that come next; how many bytes they are. A line of another form is left out."""
        end = data.rfind(b"\n") + 1
        points = [point for line in data[:end].splitlines(keepends=True) if (point := metric_point(line))]
        if points:
            steps, walls, values = zip(*points, strict=True)
            added = Series(numpy.array(steps, numpy.int64), numpy.array(walls), numpy.array(values))
            self.series = joined(self.series, {"": added})
        return end


def metric_point(line: bytes) -> tuple[int, float, float] | None:
    """Step, wall time and value of a line. The oldest files have the time in seconds, and no step."""
    found = METRIC.match(line)
    if not found:
        return None
    time, value, step = found.groups()
    try:
        return int(step or 0), int(time) / (1000 if len(time) > SECONDS_DIGITS else 1), float(value)
    except ValueError:
        return None


class EventFile:
    """The points of the tags in an event file."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.events = 0
        self.is_hparams = False  # whether it tells of hyperparameters
        self.is_whole = True  # or only its beginning and its end were looked at

    def feed(self, data: bytes, left: int) -> int:
        """Take the whole records that come next, where `left` bytes are there in all; how many bytes they are."""
        starts, lengths, end = record_places(data, left)
        found = Found(data, starts, lengths)
        self.series = joined(self.series, found.series())
        self.events += len(starts)
        self.is_hparams |= found.is_hparams
        return end


class Memory:
    """One file, as far as this process has read it."""

    def __init__(self, kind: Callable[[], Any]) -> None:
        self.kind = kind
        self.mark: Mark | None = None
        self.lock = threading.Lock()  # a plot may read in threads

    def up_to_date(self, file: BinaryIO) -> Any:
        """What the file holds by now: only the bytes that were added are decoded, where it has only grown."""
        with self.lock:
            mark, self.mark = self.mark, None  # whatever stops the reading, nothing half done is left
            if not (mark and mark.is_in(file)):
                self.log, mark = self.kind(), Mark(os.fstat(file.fileno()), b"", b"", 0)
            self.read_on(file, mark)
            self.mark = mark
            return self.log

    def read_on(self, file: BinaryIO, mark: Mark) -> None:
        """Decode what was added, a part at a time; what it leaves for later is read again then."""
        size, before = mark.status.st_size, mark.end
        while mark.end < size:
            file.seek(mark.end)
            taken = self.log.feed(file.read(min(PART_BYTES, size - mark.end)), size - mark.end)
            mark.end += taken
            if not taken:
                break
        if mark.end > before:
            file.seek(0)
            mark.head = file.read(min(mark.end, HEAD_BYTES))
            file.seek(max(0, mark.end - TAIL_BYTES))
            mark.tail = file.read(min(mark.end, TAIL_BYTES))


@functools.lru_cache(REMEMBERED)
def memory(path: str, kind: Callable[[], Any]) -> Memory:
    """The one memory of a path in this process."""
    return Memory(kind)


def remembered(path: Path, kind: Callable[[], Any]) -> Any:
    """The log of a kind in a file, opened anew, of which only what was added is decoded."""
    with open(path, "rb") as file:
        return memory(os.path.abspath(path), kind).up_to_date(file)


# -- rows: what the series have at one step


@dataclass(frozen=True)
class Points:
    """The points of a column, in the order of the rows they stand in."""

    segments: numpy.ndarray  # how many restarts were before
    steps: numpy.ndarray
    walls: numpy.ndarray
    values: numpy.ndarray

    def __add__(self, other: "Points") -> "Points":
        """The points of both, by segment and step."""
        arrays = [numpy.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)]
        order = numpy.lexsort((arrays[1], arrays[0]))
        return Points(*(array[order] for array in arrays))

    def keys(self) -> numpy.ndarray:
        """What tells the rows apart: segment, step, and turn, for the points of one step stand in rows of their own."""
        places = numpy.arange(len(self.steps))
        again = numpy.zeros(len(places), bool)
        again[1:] = (self.steps[1:] == self.steps[:-1]) & (self.segments[1:] == self.segments[:-1])
        return numpy.stack(
            [self.segments, self.steps, places - numpy.maximum.accumulate(numpy.where(again, 0, places))]
        )


def run_table(columns: dict[str, Points], words: str) -> pandas.DataFrame:
    """The table of a run in which there are points."""
    if not columns:
        raise NoCurve("it holds no metric yet; wait for its first rows")
    table, starts, nans = merged(columns)
    steps = table["step"].to_numpy()
    x = "step" if len(steps) == 1 or (steps != steps[0]).any() else ROW
    table.attrs = {"x": x, "starts": starts, "nans": nans, "total": None, "format": words, "whole": True}
    return table


def stream_points(files: list[dict[str, Series]]) -> dict[str, Points]:
    """The points of each tag in files that follow each other.

    A segment begins with a file that repeats a step of one of its tags, as a restart does, and within a file, for a
    tag whose steps go back.
    """
    columns: dict[str, Points] = {}
    segment = 0
    for series in files:
        again = [tag for tag, each in series.items() if tag in columns and each.steps[0] <= columns[tag].steps[-1]]
        if again:
            segment = 1 + max(int(points.segments[-1]) for points in columns.values())
        for tag, each in series.items():
            first = max(segment, int(columns[tag].segments[-1])) if tag in columns else segment
            falls = numpy.cumsum(each.steps[1:] < each.steps[:-1])
            points = Points(numpy.append(first, first + falls), each.steps, each.walls, each.values)
            columns[tag] = columns[tag] + points if tag in columns else points
    return columns


def merged(columns: dict[str, Points]) -> tuple[pandas.DataFrame, tuple[int, ...], dict[str, tuple[int, ...]]]:
    """One row for all points of one key: the table, the rows that begin a segment, and by column those with a NaN."""
    grids: list[numpy.ndarray] = []
    grid_of = {name: place_in(grids, points.keys()) for name, points in columns.items()}
    keys, rows = united(grids)
    walls = numpy.full(keys.shape[1], numpy.inf)
    cells, nans = {"step": keys[1], "wall_time": walls}, {}
    for name, points in columns.items():
        mine = rows[grid_of[name]]
        walls[mine] = numpy.minimum(walls[mine], points.walls)
        cells[name] = numpy.full(len(walls), numpy.nan)
        cells[name][mine] = points.values
        if len(said := mine[numpy.isnan(points.values)]):
            cells[name][said] = NAN
            nans[name] = tuple(said[:NOTED_NANS].tolist())
    starts = (0, *(numpy.flatnonzero(numpy.diff(keys[0])) + 1).tolist())
    return pandas.DataFrame(cells, copy=COPIED), starts, nans


def place_in(grids: list[numpy.ndarray], keys: numpy.ndarray) -> int:
    """Where the keys of a column are among those of others: most tags are written together, at the same steps."""
    for place, grid in enumerate(grids):
        if numpy.array_equal(grid, keys):
            return place
    grids.append(keys)
    return len(grids) - 1


def united(grids: list[numpy.ndarray]) -> tuple[numpy.ndarray, list[numpy.ndarray]]:
    """The keys of all rows, in order, and for the keys of each grid the rows they stand in."""
    if len(grids) == 1:
        return grids[0], [numpy.arange(grids[0].shape[1])]
    keys = numpy.concatenate(grids, axis=1)
    order = numpy.lexsort(keys[::-1])
    keys = keys[:, order]
    is_new = numpy.ones(len(order), bool)
    is_new[1:] = (numpy.diff(keys) != 0).any(axis=0)
    rows = numpy.empty(len(order), numpy.int64)
    rows[order] = numpy.cumsum(is_new) - 1
    return keys[:, is_new], numpy.split(rows, numpy.cumsum([grid.shape[1] for grid in grids])[:-1])
