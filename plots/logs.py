"""Training logs: the table of any of them, its x found, its numbers told apart from its gaps.

`read_log` takes a file or the folder of a run. RULES says which rule reads what: the first that recognises a file by
its name and its first lines reads it. Text that grows is read on from where the last look ended: the *reader* of a
rule is fed the complete lines that were added, and keeps what it made of all those before.

The rooms: growing.py (files that only grow), decoding.py (text, as it is in files), tables.py (CSV and its kin),
documents.py (JSON documents, Excel), jsonlines.py, texts.py (what is printed while training: lines.py understands a
line, alike.py reads lines of one shape at once, layouts.py what stands in boxes and columns, steps.py counts on,
records.py keeps what was said), events.py (TensorBoard and MLflow, by scalars.py), folders.py (what belongs to a run),
curves.py (what makes a table of numbers a curve), metrics.py (what a column's name says).
"""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pandas

from . import documents, events, tables, texts
from .curves import beside, finished
from .decoding import Fed, Reader, cleaned, complete, encoding_of, ends_of
from .folders import kind_of, likely_logs, log_files
from .growing import REMEMBERED_FILES, NoCurve, read_csv

__all__ = ["NoCurve", "glance", "log_files", "read_csv", "read_log"]

HEAD_BYTES = 1 << 16  # by which a file is recognised, and what a glance reads of either end of a large one
GLANCE_BYTES = 1 << 20  # a file up to this size is read whole by a glance, too
DOCUMENT_BYTES = 1 << 24  # a JSON document beyond this size is not glanced at: this one takes a third of a second
WORKBOOK_BYTES = 1 << 18  # nor an Excel file beyond this one, which takes a second
TRIES = 3  # to read a file that is written anew
LOOKED_AT = 20  # files of a folder that may be logs
NO_CURVE = "no curve found in"


# -- what plots call


def read_log(path: str | os.PathLike) -> pandas.DataFrame:
    """The curve in a training log, or in the folder of a run: a row for each point of x, all columns numbers.

    The columns that may be the x come first, the chosen one before the others; the rest is in the file's own order,
    with NaN where the log says nothing. Whole numbers without a gap are int64, all others float64. In ``attrs``:

    - ``x``: the name of the x; ``row``, a column of 0, 1, 2, ..., where the log has none that is fit for it
    - ``xs``: all columns that are fit for it, the chosen one first; ``row`` last, be it a column or not
    - ``starts``: the rows in which a segment begins, as x has gone back there; the first is 0
    - ``nans``: for each column, the first rows in which the log itself says NaN, rather than nothing
    - ``total``: the last value that x will have, where the log tells it, or None
    - ``format``: the name of the format, for people
    - ``whole``: whether the whole file was looked at; False only of a `glance`

    Raises FileNotFoundError, and NoCurve where there is no curve: its message says why, and what to do. The file is
    opened at every call, but of one that has only grown since the last call in this process, only what was added is
    parsed. The table is the caller's: changing it changes nothing that is remembered.
    """
    return curve_at(path, whole)


def glance(path: str | os.PathLike) -> pandas.DataFrame:
    """What `read_log` returns, but of a large file only from its beginning and its end; nothing is remembered."""
    return curve_at(path, ends)


def curve_at(path: str | os.PathLike, look: "Look") -> pandas.DataFrame:
    """The curve of a file or of a run's folder."""
    path = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        return curve_of_folder(path, look) if path.is_dir() else curve_of_file(path, look)
    except NoCurve as error:
        told = str(error)
        raise error if told.startswith(NO_CURVE) else NoCurve(f"{NO_CURVE} {path.name}: {told}.") from error


def curve_of_file(path: Path, look: "Look") -> pandas.DataFrame:
    """The curve of a file, as the rule for it reads it; read again where it was written anew meanwhile.

    What was read then may be half of the old file and half of the new one.
    """
    with open(path, "rb") as file:
        for _ in range(TRIES):
            beginning = beginning_of(file)
            rule, head = rule_for(path, beginning)
            table = look(rule, path, head, file)
            if beginning_of(file).startswith(beginning):
                break
    table.attrs["format"] = table.attrs.get("format") or rule.format
    return finished(table)


def beginning_of(file: BinaryIO) -> bytes:
    """How a file begins at this moment, whatever has been read of it before."""
    file.seek(0, os.SEEK_END)  # lets go of what was read ahead
    file.seek(0)
    return file.read(HEAD_BYTES)


def curve_of_folder(folder: Path, look: "Look") -> pandas.DataFrame:
    """The curve of a run's folder, or of the newest log in any other folder."""
    kind, files = kind_of(folder)
    found = files or likely_logs(folder)[:LOOKED_AT]
    files = [file for file in found if is_within(file, folder)]
    if found and not files:
        raise NoCurve("its logs are links to elsewhere; choose the folder in which they are")
    if (kind and kind.is_store) or not files:
        return curve_of_store(folder, look)
    if kind and kind.prefix:
        return beside({kind.prefix(folder, file): curve_of_file(file, look) for file in files})
    return first_curve(files, look)


def is_within(file: Path, folder: Path) -> bool:
    """Whether a file lies in a folder in truth: a link may lead to what nobody asked for."""
    return os.path.realpath(file).startswith(os.path.join(os.path.realpath(folder), ""))


def curve_of_store(folder: Path, look: "Look") -> pandas.DataFrame:
    """The curve of a folder that is a store of its own, as those of TensorBoard and MLflow are."""
    rule = next((rule for rule in (EVENTS, MLFLOW) if rule.recognises(folder, "")), None)
    if rule is None:
        raise NoCurve("it has no log of a run in it; choose a file, or the folder of one run")
    table = rule.skim(folder) if rule.skim and look is ends else rule.read(folder, "")
    table.attrs["format"] = rule.format
    return finished(table)


def first_curve(files: Sequence[Path], look: "Look") -> pandas.DataFrame:
    """The curve of the first of these files that holds one."""
    errors = []
    for file in files:
        try:
            return curve_of_file(file, look)
        except NoCurve as error:
            errors.append(NoCurve(f"{file.name} in it has none: {error}"))
    raise errors[0]


# -- how a file is looked at


def whole(rule: "Rule", path: Path, head: str, file: BinaryIO) -> pandas.DataFrame:
    """All that a file holds; of one that is read by lines, only those that were added are parsed."""
    return rule.read(path, head) if rule.read else fed(str(path), rule).table(file)


@functools.lru_cache(REMEMBERED_FILES)
def fed(path: str, rule: "Rule") -> Fed:
    """The one reader of a file in this process."""
    return Fed(rule.reader)


def ends(rule: "Rule", path: Path, head: str, file: BinaryIO) -> pandas.DataFrame:
    """What a file holds at its beginning and its end, or in all of a small one; nothing is remembered."""
    if rule.skim:
        return rule.skim(path)
    if rule.reader:
        return skimmed(rule.reader(), file)
    if os.fstat(file.fileno()).st_size > (WORKBOOK_BYTES if rule is WORKBOOKS else DOCUMENT_BYTES):
        raise NoCurve("it is too large to be looked at beside others; open it by itself")
    return rule.read(path, head)


def skimmed(reader: Reader, file: BinaryIO) -> pandas.DataFrame:
    """What a reader makes of both ends of a file."""
    texts = list(ends_of(file, HEAD_BYTES, GLANCE_BYTES))
    for text in texts:
        reader.feed(text)
    table = reader.table()
    table.attrs["whole"] = len(texts) == 1
    return table


Look = Callable[["Rule", Path, str, BinaryIO], pandas.DataFrame]


# -- which rule reads what


@dataclass(frozen=True)
class Rule:
    """What recognises a kind of log, and what reads it.

    `recognises` takes the path and the first lines; so does `read`. A `reader` is made to be fed with lines instead:
    with those that were added, where there is no `read`, and with the ends of a large file by a glance, for which a
    rule may also have a way of its own, to `skim` a path.
    """

    format: str
    recognises: Callable[[Path, str], bool]
    read: Callable[[Path, str], pandas.DataFrame] | None = None
    reader: Callable[[], Reader] | None = None
    skim: Callable[[Path], pandas.DataFrame] | None = None


def of_path(function: Callable[[Path], Any]) -> Callable[[Path, str], Any]:
    """A function that does without the first lines."""
    return lambda path, head: function(path)


EVENTS = Rule(
    "TensorBoard events", of_path(events.recognises_events), of_path(events.read_events), skim=events.glance_events
)
WORKBOOKS = Rule("Excel", documents.is_workbook, of_path(documents.read_workbook))
MLFLOW = Rule("MLflow", of_path(events.recognises_mlflow), of_path(events.read_mlflow))
RULES = (
    EVENTS,
    MLFLOW,
    WORKBOOKS,
    Rule("JSON", documents.is_document, of_path(documents.read_document)),
    Rule("JSON lines", texts.JsonLines.recognises, reader=texts.JsonLines),
    Rule("results.txt", texts.Headerless.recognises, reader=texts.Headerless),
    Rule("boxed text", texts.Boxed.recognises, reader=texts.Boxed),
    Rule("CSV", tables.is_table, tables.read_table, reader=tables.Rows),
    Rule("text table", texts.SpacedTable.recognises, reader=texts.SpacedTable),
    Rule("text", texts.FreeText.recognises, reader=texts.FreeText),
)


@functools.lru_cache(4 * REMEMBERED_FILES)
def rule_for(path: Path, head: bytes) -> tuple[Rule, str]:
    """The rule for a file that begins like this, and its first lines as text."""
    if not head.strip():
        raise NoCurve("it is empty yet; wait for its first rows")
    encoding = encoding_of(head)
    is_binary = encoding == "utf-8" and b"\x00" in head
    text = head.decode("latin-1") if is_binary else cleaned(complete(head, encoding) or head, encoding)
    rule = next((rule for rule in RULES if rule.recognises(path, text)), None)
    if rule is None or (is_binary and rule.reader):
        raise NoCurve("it is in no format that is known here; log rows of CSV or lines of JSON")
    return rule, text
