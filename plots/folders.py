"""The folder of a run: which of its files hold the curve. Only names are looked at.

Where a folder has twins (progress.csv, progress.json and log.txt say the same), the one with the most structure is
taken: KINDS is in that order.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import events

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
STATE = "trainer_state.json"
PARTS = re.compile(r"(?i)(train|val|eval|test|dev|valid)(ing|idation|uation)?")
LOGS = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".log", ".txt", ".out", ".xlsx", ".xls"}
MOST_FILES = 1000  # of one folder


@dataclass(frozen=True)
class Kind:
    """A kind of run folder, and how its curve is read: as a store, or from its files.

    Of several files the first is read that holds a curve; or all of them, side by side, with a prefix for each.
    """

    files: Callable[[Path], list[Path]]  # none where the folder is of another kind
    is_store: bool = False  # as a whole
    prefix: Callable[[Path, Path], str] | None = None  # for the folder and the file


def log_files(folder: Path) -> list[Path]:
    """The files on which the curve of a run's folder depends; none where it is no run's folder by its names.

    The first one is read where they are twins.
    """
    return kind_of(folder)[1]


def kind_of(folder: Path) -> tuple[Kind | None, list[Path]]:
    """What kind of run a folder is of, and its files."""
    for kind in KINDS:
        if found := kind.files(folder):
            return kind, found
    return None, []


def likely_logs(folder: Path) -> list[Path]:
    """The files of a folder that may be logs by their suffix, the newest first."""
    files = [path for path in listed(folder) if path.suffix.lower() in LOGS and path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def listed(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where it is none."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MOST_FILES), strict=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def present(*names: str, beside: tuple[str, ...] = ()) -> Callable[[Path], list[Path]]:
    """The files of these names that a folder has, the best first, where one of those `beside` is there, if any."""

    def files(folder: Path) -> list[Path]:
        if beside and not any((folder / name).exists() for name in beside):
            return []
        return [folder / name for name in names if (folder / name).is_file()]

    return files


def trainer_states(folder: Path) -> list[Path]:
    """The states of Hugging Face's Trainer in its output folder or in one checkpoint: the one with most steps first.

    The one of the output folder itself is written at the end.
    """
    steps = {path: int(name[1]) for path in listed(folder) if (name := CHECKPOINT.fullmatch(path.name))}
    places = [folder, *sorted(steps, key=steps.__getitem__, reverse=True)]
    states = [place / STATE for place in places if (place / STATE).is_file()]
    if len(states) > 1 and states[0].parent == folder and states[0].stat().st_mtime < states[1].stat().st_mtime:
        states[:2] = reversed(states[:2])  # the run goes on
    return states


def metrics_of_epochs(folder: Path) -> list[Path]:
    """AllenNLP's files, one for each epoch."""
    return [path for path in listed(folder) if re.fullmatch(r".*metrics_epoch_\d+\.json", path.name)]


def scalars(folder: Path) -> list[Path]:
    """The scalars of MMEngine, in a folder named after the time of the start; the newest run first."""
    places = [folder, *reversed(listed(folder))]
    return [place / "vis_data" / "scalars.json" for place in places if (place / "vis_data" / "scalars.json").is_file()]


def dvclive(folder: Path) -> list[Path]:
    """The tables of dvclive, one for each metric."""
    root = folder / "plots" / "metrics"
    return sorted(root.rglob("*.tsv"))[:MOST_FILES] if root.is_dir() else []


def event_files(folder: Path) -> list[Path]:
    """TensorBoard's files: those in the folder and below it, where it has some or is split by part."""
    groups = list(events.event_folders(folder))
    own = any(not name or PARTS.fullmatch(name) for name, _ in groups)
    return [path for _, paths in groups for path in paths] if own else []


def mlflow_files(folder: Path) -> list[Path]:
    """The metrics of a run of MLflow, or of its folder `metrics`."""
    if not events.recognises_mlflow(folder):
        return []
    root = folder if folder.name == "metrics" else folder / "metrics"
    return [path for path in sorted(root.rglob("*")) if path.is_file()][:MOST_FILES]


def name_of_set(folder: Path, file: Path) -> str:
    """What CatBoost's table is about: learn or test."""
    return file.stem.partition("_")[0] + "/"


def folder_of_metric(folder: Path, file: Path) -> str:
    """The folder of dvclive's table below all metrics, such as train; the table has the rest of the name."""
    inside = file.parent.relative_to(folder / "plots" / "metrics").as_posix()
    return "" if inside == "." else inside + "/"


KINDS = (
    Kind(present("results.csv", "results.txt", beside=("args.yaml", "opt.yaml", "hyp.yaml", "weights"))),  # Ultralytics
    Kind(present("metrics.csv")),  # Lightning
    Kind(present("progress.csv", "progress.json", "result.json", "log.txt", beside=("progress.csv", "progress.json"))),
    Kind(present("progress.csv", "result.json", beside=("result.json",))),  # RLlib
    Kind(present("progress.txt", beside=("config.json",))),  # Spinning Up
    Kind(trainer_states),
    Kind(metrics_of_epochs),
    Kind(scalars),
    Kind(present("learn_error.tsv", "test_error.tsv"), prefix=name_of_set),  # CatBoost
    Kind(dvclive, prefix=folder_of_metric),
    Kind(mlflow_files, is_store=True),
    Kind(event_files, is_store=True),
    Kind(present("results.csv", "results.txt")),
    Kind(present("training.log", "history.csv", "log.csv", "summary.csv")),  # Keras, fastai, timm
)
