"""The runs in some folders, newest first: found in a bounded time, and told without reading whole files.

The vocabulary: a *run* is a log file, or a folder whose logs belong together (RUN_FOLDERS tells which do). What may be
a run is a *candidate*: its name alone decides that. A *look* is what a glance at its head and tail gave; looks are
*known* as long as the files of the candidate stay as they are, so that looking again costs no more than the walk.

The rule: what is beyond a bound (depth, entries, seconds, runs) is left out, the older before the newer, and said.
"""

import heapq
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import logs
from .health import Health, health_of, sentence

DEEPEST = 8  # folders below a data folder
MOST_ENTRIES = 50_000  # of all folders together: some tenths of a second on a local disk
MOST_ENTRIES_OF_A_FOLDER = 10_000  # images, mostly; the folders beside it want to be seen, too
MOST_RUNS = 2_000
FAULTS_NAMED = 3  # of logs that cannot be read
MOST_KNOWN = 20_000  # looks that are remembered
WALK_SECONDS = 1.0
SECONDS = 2.0  # for the walk and the glances together; what is not reached is reached the next time
GROWING_SECONDS = 120  # a log that was written to since then is growing
PATIENCE = 10  # usual times between two rows: a log that is silent for longer has stopped
MOST_PATIENT_SECONDS = 6 * 3600
WAITING_SECONDS = 600  # for how long a log without a row is taken for one that has just begun

SUFFIX = r"\.(csv|tsv|txt|log|out|jsonl?|ndjson|xlsx?)"
LOG = re.compile(rf"(?i){SUFFIX}$|tfevents")
SUFFIXES = re.compile(rf"(?i)({SUFFIX})+$")  # of an x.log.json, both
NO_LOG = re.compile(  # what stands beside logs in most projects, and would only be looked at in vain
    r"(?i)(^|[_.-])(config|settings|args|params|hparams|options|vocab|tokenizer|tokens(_map)?|merges|package(-lock)?"
    r"|requirements[\w-]*|readme|licen[cs]e|notice|cmakelists|index|manifest|tsconfig|labels|classes)\.(json|txt)$"
)
STRUCTURED_FIRST = ("csv", "tsv", "jsonl", "ndjson", "json", "xlsx", "xls", "log", "out", "txt")
UNSAYABLE = re.compile(r"[\x00-\x1f\ud800-\udfff]")  # in a name: no URL has a place for it
NO_FOLDER = re.compile(r"^[._]|^(node_modules|site-packages)$")
ENVIRONMENT = {"pyvenv.cfg", "conda-meta"}
PART_FOLDER = re.compile(r"(?i)^(train(ing)?|val(id(ation)?)?|eval|test|dev)$")  # Keras writes events into two of these

EVENTS = r".*tfevents.*"
NOTHING = re.compile(r"(?!)")
# What makes a folder a run: the names that are in it (folders end with /), and which of them belong to the run.
RUN_FOLDERS = tuple(
    (tuple(re.compile(mark) for mark in marks), re.compile(belonging))
    for marks, belonging in (
        ((r"metrics/", r"meta\.yaml"), r".*"),  # MLflow
        ((r"vis_data/",), r".*"),  # MMEngine
        ((r"learn_error\.tsv",), r".*"),  # CatBoost
        ((r"plots/", r"metrics\.json"), r"plots/|metrics\.json"),  # dvclive
        ((r"metrics\.csv", r"hparams\.yaml"), rf"metrics\.csv|checkpoints/|{EVENTS}"),  # Lightning
        ((r"results\.(csv|txt)", r"args\.yaml|opt\.yaml|weights/"), rf"results\.(csv|txt)|weights/|{EVENTS}"),  # YOLO
        ((r"checkpoint-\d+/|trainer_state\.json",), rf"checkpoint-\d+/|runs/|.*(state|results)\.json|{EVENTS}"),
        ((r".*metrics_epoch_\d+\.json",), rf".*metrics(_epoch_\d+)?\.json|.*std(out|err)\.log|log/|{EVENTS}"),
        ((r"progress\.txt", r"config\.json"), r"progress\.txt|.*_save.*/"),  # Spinning Up
        ((r"progress\.(csv|json)|result\.json",), rf"(progress|result|log|params)\.\w+|.*monitor\.csv|{EVENTS}"),
        ((EVENTS,), rf"metrics\.json|log\.txt|(?!.*\d\d[-_:]\d\d|version_)[^.]+_.+/|{EVENTS}"),  # and add_scalars
    )
)

Stamps = tuple[tuple[str, int, int, int], ...]  # path, size, time of change and inode of each file of a candidate


@dataclass(frozen=True)
class Candidate:
    """A file or folder that may be a run: the first of its paths in which a curve is found."""

    name: str  # below its data folder
    paths: tuple[str, ...]  # twins, the structured one first
    stamps: Stamps

    @property
    def changed(self) -> float:
        """When the newest of its files was changed, in seconds since the epoch."""
        return max((nanoseconds for _, _, nanoseconds, _ in self.stamps), default=0) / 1e9


UNKNOWN = Health()


@dataclass(frozen=True)
class Look:
    """What a glance at a candidate gave; without a path, no curve."""

    path: str = ""
    format: str = ""
    health: Health = UNKNOWN
    note: str = ""
    waiting: bool = False  # for its first rows
    fault: str = ""  # why it could not be read


Known = MutableMapping[Stamps, Look]
KNOWN: Known = {}


def find_runs(folders: Sequence[str], known: Known | None = None) -> dict[str, Any]:
    """The runs in these folders, newest first, and what was left out, in plain values.

    {"runs": [{"path", "name", "format", "changed", "values", "state", "note"}, ...], "left_out": [sentence, ...],
    "seconds": how long it took}. Of a run, `path` is absolute and `name` is the path below its data folder; `changed`
    is in seconds since the epoch; `values` are the last values of up to three metrics, as (name, value) pairs; for
    `state` see `state_of`. `known` are the looks so far, by default those of this process; new ones are added.
    """
    started = time.monotonic()
    known = KNOWN if known is None else known
    search = Search(started + WALK_SECONDS)
    found: dict[str, Candidate] = {}
    for each in search.candidates(map(os.path.realpath, folders)):
        found.setdefault(each.paths[0], each)
    newest_first = sorted((each for each in found.values() if each.stamps), key=lambda each: -each.changed)
    rows, left_out = rows_of(newest_first, known, started + SECONDS)
    return {"runs": rows, "left_out": search.left_out() + left_out, "seconds": time.monotonic() - started}


# ---- Looking ----


def rows_of(candidates: Sequence[Candidate], known: Known, deadline: float) -> tuple[list[dict[str, Any]], list[str]]:
    """The runs among the candidates, by what is known or can be found out before the deadline; and what is left out."""
    now, rows, faults, later, older = time.time(), [], [], 0, 0
    for each in candidates:
        look = known.pop(each.stamps, None)
        if len(rows) == MOST_RUNS:
            older += 1
        elif look is None and time.monotonic() > deadline:
            later += 1
        else:
            look = look or look_at(each)
            rows += filter(None, [row_of(each, look, now)])
            faults += [f"{each.name} cannot be read: {look.fault}."] if look.fault else []
        if look:
            known[each.stamps] = look  # put last: those that are not seen any more go first
    while len(known) > MOST_KNOWN:
        del known[next(iter(known))]
    beyond = [
        (len(faults[FAULTS_NAMED:]), "more log", "not to be read"),
        (later, "older log", "not looked at yet: look again in a moment"),
        (older, "older log", f"left out: these are the {MOST_RUNS:,} newest runs"),
    ]
    return rows, faults[:FAULTS_NAMED] + [f"{counted(count, what)} {said}." for count, what, said in beyond if count]


def look_at(candidate: Candidate) -> Look:
    """Glance at a candidate: its first path that holds a curve."""
    waiting = False
    for path in candidate.paths:
        try:
            frame = logs.glance(path)
        except logs.NoCurve as error:
            waiting = waiting or " yet" in str(error)
        except FileNotFoundError:  # gone since the walk
            pass
        except Exception as error:  # one file that defeats its reader must not cost the list of all others
            return Look(fault=f"{type(error).__name__}: {error}"[:200])
        else:
            health = health_of(frame)
            return Look(path, frame.attrs.get("format", ""), health, sentence(health))
    return Look(waiting=waiting)


def row_of(candidate: Candidate, look: Look, now: float) -> dict[str, Any] | None:
    """A run in plain values; None for what is none."""
    row = {"path": look.path, "name": candidate.name, "format": look.format, "changed": candidate.changed}
    if look.path:
        state = state_of(look.health, candidate.changed, now)
        note = look.note if state == "growing" else sentence(at_rest(look.health))
        return row | {"values": look.health.last, "state": state, "note": note}
    if look.waiting and now - candidate.changed < WAITING_SECONDS:
        return row | {"path": candidate.paths[0], "values": (), "state": "waiting", "note": "no rows yet"}
    return None


def state_of(health: Health, changed: float, now: float) -> str:
    """What a run is doing, as far as its log and the time of its last change tell.

    "diverged"; "done" where x has reached its total; "growing" where the log was written to in the last two minutes, or
    in ten times the time that a row usually takes. If not, it is "stalled" where there is more to come, and "quiet"
    where the log does not say that.
    """
    if health.diverged:
        return "diverged"
    if health.finished:
        return "done"
    usual = PATIENCE / health.row_rate if health.row_rate else 0
    if now - changed < max(GROWING_SECONDS, min(usual, MOST_PATIENT_SECONDS)):
        return "growing"
    return "quiet" if health.total is None else "stalled"


def at_rest(health: Health) -> Health:
    """The health of a run that has stopped: it has no pace, and no end in sight."""
    return replace(health, rate=None, row_rate=None, seconds_left=None)


# ---- Searching ----


class Search:
    """A walk through folders until a bound is met: the shallow ones first, and of these the newest."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.entries = 0
        self.seen: set[str] = set()  # a data folder may lie in another
        self.too_deep = self.unreadable = self.not_reached = 0
        self.crowded: list[str] = []

    def candidates(self, tops: Iterable[str]) -> Iterator[Candidate]:
        """The candidates in some folders and all below them."""
        waiting = [(0, 0, top, top) for top in tops]
        while waiting:
            depth, _, folder, top = heapq.heappop(waiting)
            if self.entries >= MOST_ENTRIES or time.monotonic() > self.deadline:
                self.not_reached += 1 + len(waiting)
                return
            if folder in self.seen:
                continue
            self.seen.add(folder)
            files, folders = self.entries_of(folder)
            yield from candidates_of(folder, files, folders, top)
            for entry in folders:
                if depth < DEEPEST:
                    heapq.heappush(waiting, (depth + 1, -changed_ns(entry), entry.path, top))
                else:
                    self.too_deep += 1

    def entries_of(self, folder: str) -> tuple[list[os.DirEntry], list[os.DirEntry]]:
        """The files and the sub-folders of a folder; nothing of an environment.

        Links are not followed: what they lead to is found where it is, or lies outside.
        """
        entries = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if len(entries) >= MOST_ENTRIES_OF_A_FOLDER:
                        self.crowded.append(folder)
                        break
                    entries += [] if UNSAYABLE.search(entry.name) else [entry]
        except OSError:
            self.unreadable += 1
        self.entries += len(entries)
        if any(entry.name in ENVIRONMENT for entry in entries):
            return [], []
        folders = [each for each in entries if not NO_FOLDER.search(each.name) and each.is_dir(follow_symlinks=False)]
        return [each for each in entries if each.name[0] != "." and each.is_file(follow_symlinks=False)], folders

    def left_out(self) -> list[str]:
        """What the bounds have kept from being seen, in sentences."""
        sayings = [
            (self.not_reached, "not reached in the time there is: name the folder of your runs"),
            (self.too_deep, f"more than {DEEPEST} deep and not looked into"),
            (self.unreadable, "not to be read"),
        ]
        crowded = [f"Of {each}, only {MOST_ENTRIES_OF_A_FOLDER:,} entries were looked at." for each in self.crowded]
        return [f"{counted(count, 'folder')} {said}." for count, said in sayings if count] + crowded


def counted(count: int, what: str) -> str:
    """So many of something, and what is said of them: "1 file was", "1,200 files were"."""
    return f"{count:,} {what} was" if count == 1 else f"{count:,} {what}s were"


def changed_ns(entry: os.DirEntry) -> int:
    """When a file or folder was changed, in nanoseconds since the epoch."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def candidates_of(folder: str, files: list[os.DirEntry], folders: list[os.DirEntry], top: str) -> Iterator[Candidate]:
    """The candidates in one folder; what belongs to a run folder is taken out of `folders`, and not walked."""
    belonging = belongs_to_run([entry.name for entry in files] + [f"{entry.name}/" for entry in folders])
    own = [entry for entry in files if belonging.fullmatch(entry.name)]
    run = None if belonging is NOTHING else run_folder(folder, own, top)
    if run:
        yield run
        files = [entry for entry in files if not belonging.fullmatch(entry.name)]
        folders[:] = [entry for entry in folders if not belonging.fullmatch(f"{entry.name}/")]
    yield from twins([each for each in files if LOG.search(each.name) and not NO_LOG.search(each.name)], top)


def belongs_to_run(names: Sequence[str]) -> re.Pattern:
    """What of a folder belongs to the run that it is, by the names in it; nothing where it is no run folder."""
    for marks, belonging in RUN_FOLDERS:
        if all(any(mark.fullmatch(name) for name in names) for mark in marks):
            return belonging
    return NOTHING


def run_folder(folder: str, own: Sequence[os.DirEntry], top: str) -> Candidate | None:
    """A run folder as a candidate; where it holds no curve as a whole, the first of its own files that does.

    With links in it, it is not read as a whole: they may lead out of the data folders.
    """
    run, files = folder, [entry.path for entry in structured_first(own) if LOG.search(entry.name)]
    if folder != top and PART_FOLDER.search(os.path.basename(folder)) and is_events(own):
        run, files = os.path.dirname(folder), []  # its events, and those of the folder beside it, are one run
    inside = {str(path) for path in logs.log_files(Path(run))}
    stamps = stamps_of(inside.union(files))
    is_linked = len(stamps) < len(inside.union(files)) or any(map(leads_elsewhere, set(map(os.path.dirname, inside))))
    paths = (() if is_linked else (run,)) + tuple(files)
    return Candidate(shown(run, top), paths, stamps) if inside and paths else None


def leads_elsewhere(folder: str) -> bool:
    """Whether there is a link on the way to a folder."""
    return os.path.realpath(folder) != folder


def is_events(files: Sequence[os.DirEntry]) -> bool:
    """Whether these are event files, and nothing else."""
    return bool(files) and all("tfevents" in entry.name for entry in files)


def twins(files: Sequence[os.DirEntry], top: str) -> Iterator[Candidate]:
    """Files as candidates; those that differ in their suffix only are one."""
    groups: dict[str, list[os.DirEntry]] = {}
    for entry in files:
        groups.setdefault(SUFFIXES.sub("", entry.path), []).append(entry)
    for group in groups.values():
        paths = tuple(entry.path for entry in structured_first(group))
        yield Candidate(shown(paths[0], top), paths, stamps_of(paths))


def structured_first(files: Sequence[os.DirEntry]) -> list[os.DirEntry]:
    """Files in the order in which they are trusted: tables and JSON before text."""
    order = {suffix: rank for rank, suffix in enumerate(STRUCTURED_FIRST)}
    return sorted(files, key=lambda entry: (order.get(entry.name.rsplit(".")[-1].lower(), 0), entry.name))


def stamps_of(paths: Iterable[str]) -> Stamps:
    """What changes when one of these files does; links are left out."""
    stamps = []
    for path in sorted(paths):
        try:
            status = os.lstat(path)
        except OSError:  # gone since the walk
            continue
        if stat.S_ISREG(status.st_mode):
            stamps.append((path, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(stamps)


def shown(path: str, top: str) -> str:
    """A path as its user would write it: below the data folder; of that folder itself, its name."""
    return os.path.basename(top) if path == top else os.path.relpath(path, top)
