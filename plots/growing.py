"""Logs that grow: of a CSV file, only the rows that were added since the last look are parsed.

The vocabulary: a file's *complete lines* end with a newline, what follows them is still being written. Its *head* is
its start down to the first row: parsed once more before every *part* (the complete lines that were added), it gives
the part its header and its number of fields. What the parts gave is *kept* in columns with room for more rows, so that
nothing is copied but the new ones.

The rule: whatever `pandas.read_csv` would have said of all complete lines at once is what `read_csv` says. Where a
part does not fit what is kept (another type, an error), the whole file is parsed anew.
"""

import functools
import io
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy
import pandas

from .thinning import only_grows

REMEMBERED_FILES = 32  # the ones read last, under one set of options each
TAIL_BYTES = 1 << 16  # compared at every call: a file up to this size is compared in full
PART_BYTES = 1 << 24  # parsed at a time: ten million rows at once would take 2 GB
LEAST_ROWS = 1024  # of a column's buffer
ROOM = 1.5  # how much larger a new buffer is than what it must hold: memory that is not touched costs nothing
HEAD_LINES = 1000  # comments and blank lines may stand above the first row
PIECE_ROWS = 1000  # of text: each piece costs a few microseconds at every use
COPIED = int(pandas.__version__.split(".")[0]) < 3  # from 3 on, pandas itself copies what somebody changes

COMPRESSED = (".gz", ".bz2", ".zip", ".xz", ".zst", ".tar")  # pandas opens them by their suffix
NEWLINE_IS_A_BYTE = (None, "utf-8", "utf8", "utf-8-sig", "ascii", "latin-1", "latin1", "iso-8859-1", "cp1252")

Parse = Callable[..., pandas.DataFrame]


class NoCurve(ValueError):
    """A file holds no curve: "no curve found in NAME: WHY; WHAT TO DO."."""

    @property
    def awaited(self) -> bool:
        """Whether there may yet be one: a page then says so, and looks again before long."""
        return " yet" in str(self) or "just begun" in str(self)


def read_csv(filepath_or_buffer: Any, **options: Any) -> pandas.DataFrame:
    """`pandas.read_csv` for a file that grows: its complete lines, of which only the new ones are parsed.

    It takes what `pandas.read_csv` takes and returns or raises what that would for the text up to the last newline,
    read with ``low_memory=False`` (types do not depend on where a chunk ends). The table is the caller's: changing it
    changes nothing that is remembered. The file is opened at every call. A quoted cell whose newline is the last one
    so far is pandas' error (EOF inside string), until the rest of it has been written.

    The whole file is parsed anew where it shrank, was replaced, or differs in its head or its last 64 KiB, or where
    its size stayed while its time changed; a larger file that was rewritten further up *and* has grown is taken for
    one that has only grown. Options under which a row cannot be read without the others (``nrows``, ``dtype``,
    ``parse_dates``, ...) have the complete lines parsed anew at every call. URLs, compressed files, file-like objects
    and encodings such as UTF-16 are left to pandas, incomplete lines included.
    """
    if not is_growing(filepath_or_buffer, options):
        return pandas.read_csv(filepath_or_buffer, **options)
    path = os.path.abspath(os.path.expanduser(filepath_or_buffer))
    options = options | {"memory_map": False}  # what is handed on is no file
    with open(path, "rb") as file:
        if not all(name in ROW_BY_ROW and ROW_BY_ROW[name](value) for name, value in options.items()):
            return pandas.read_csv(io.BytesIO(complete_lines(file)), **options)
        return log(path, repr(sorted(options.items()))).table(file, parser(options))


def is_growing(path: Any, options: dict[str, Any]) -> bool:
    """Whether it is a local file of lines: not a URL, not compressed, and with newlines that are a byte each."""
    if not isinstance(path, (str, os.PathLike)) or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(path)):
        return False
    compression = options.get("compression", "infer")
    packed = str(path).lower().endswith(COMPRESSED) if compression == "infer" else compression is not None
    return not packed and options.get("encoding") in NEWLINE_IS_A_BYTE


def complete_lines(file: BinaryIO, size: int = -1) -> bytes:
    """The complete lines that come next in a file: about `size` bytes, or all."""
    text = file.read(size) + (file.readline() if size >= 0 else b"")
    return text[: text.rfind(b"\n") + 1]


def parser(options: dict[str, Any]) -> Parse:
    """What parses a text under the options; types that depend on the size of a chunk are not wanted."""
    return lambda text, **more: pandas.read_csv(io.BytesIO(text), **options | {"low_memory": False} | more)


# -- which options read a row by itself


def is_plain(value: Any) -> bool:
    """Whether a value is told in full by its repr: options are remembered by it."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (str, int, float))


def is_separator(value: Any) -> bool:
    """Whether the C parser takes it: it guesses none, and knows one regular expression."""
    return isinstance(value, str) and (len(value) == 1 or value == r"\s+")


# The options under which a row's values depend on the row and the head alone, and for which of their values.
ROW_BY_ROW: dict[str, Callable[[Any], bool]] = {
    "sep": is_separator,
    "delimiter": is_separator,
    "engine": ("c",).__contains__,
    "encoding": NEWLINE_IS_A_BYTE.__contains__,
    "header": is_plain,
    "names": is_plain,
    "index_col": is_plain,
    "usecols": is_plain,
    "skipinitialspace": is_plain,
    "skip_blank_lines": is_plain,
    "comment": is_plain,
    "quotechar": is_plain,
    "quoting": is_plain,
    "doublequote": is_plain,
    "na_values": is_plain,
    "keep_default_na": is_plain,
    "na_filter": is_plain,
    "decimal": is_plain,
    "float_precision": is_plain,
    "low_memory": is_plain,
    "memory_map": is_plain,
}


# -- what is remembered of a file


@functools.lru_cache(REMEMBERED_FILES)
def log(path: str, options: str) -> "Log":
    """The one log of a path and options in this process."""
    return Log()


class Log:
    """One file under one set of options, as far as this process has read it."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.lock = threading.Lock()  # a plot may read in threads

    def table(self, file: BinaryIO, parse: Parse) -> pandas.DataFrame:
        """All complete lines of the file, of which those that were added are parsed where that is enough."""
        with self.lock:
            kept, self.kept = self.kept, None  # whatever stops the reading, nothing half done is left
            try:
                if kept and kept.mark.is_in(file) and kept.append(file, parse):
                    self.kept = kept
            except ValueError:  # pandas counts lines from the start of what it reads: let it tell the right one
                pass
            return self.kept.table() if self.kept else self.anew(file, parse)

    def anew(self, file: BinaryIO, parse: Parse) -> pandas.DataFrame:
        """The whole file: a large one in parts, where these fit together."""
        if os.fstat(file.fileno()).st_size > PART_BYTES:
            try:
                _, start = beginning(file, parse, PART_BYTES)
                if start and start.append(file, parse):
                    self.kept = start
                    return start.table()
            except ValueError:  # a part may end within a quoted cell
                pass
        table, self.kept = beginning(file, parse)
        return self.kept.table() if self.kept else table


@dataclass
class Mark:
    """How far a file has been read, and what tells that it has only grown since."""

    status: os.stat_result  # of the file, just before it was read
    head: bytes  # how it begins
    tail: bytes  # the last bytes that were read
    end: int  # how many bytes were

    def is_in(self, file: BinaryIO) -> bool:
        """Whether the file has only grown since, as far as its head and its tail can tell."""
        before, self.status = self.status, os.fstat(file.fileno())
        rewritten = self.status.st_size == before.st_size and self.status.st_mtime_ns != before.st_mtime_ns
        if rewritten or not os.path.samestat(before, self.status) or file.read(len(self.head)) != self.head:
            return False
        file.seek(self.end - len(self.tail))
        return file.read(len(self.tail)) == self.tail  # no longer, where the file shrank

    def move(self, text: bytes) -> None:
        """The bytes that come next have been read."""
        self.end += len(text)
        self.tail = (self.tail + text)[-TAIL_BYTES:]


@dataclass
class Kept:
    """The rows of a file as far as they have been parsed."""

    mark: Mark  # its head goes down to the first row
    lead: bytes  # what every part is parsed behind: the head and the first row once more
    rows: int
    names: pandas.Index
    types: dict[Any, str]
    columns: "dict[Any, Numbers | Words]"

    def append(self, file: BinaryIO, parse: Parse) -> bool:
        """Parse the complete lines that were added; False where a part does not fit what is kept."""
        file.seek(self.mark.end)
        while text := complete_lines(file, PART_BYTES):
            rows = self.fitting(text, parse)
            if rows is None:
                return False
            for name, column in self.columns.items():
                column.add(self.rows, rows[name])
            self.rows += len(rows)
            self.mark.move(text)
            file.seek(self.mark.end)  # back over what is still being written
        return True

    def fitting(self, text: bytes, parse: Parse) -> pandas.DataFrame | None:
        """The rows of a part; None where all rows together have other columns or types than those that are kept."""
        text = self.lead + text
        asked = {name: kind for name, kind in self.types.items() if kind == "str"}
        part = parse(text, dtype=asked)
        whole = {name for name, kind in types_of(part).items() if kind == "int64"}
        whole_by_chance = {name: kind for name, kind in self.types.items() if kind == "float64" and name in whole}
        if whole_by_chance:  # float64 is not asked for at once: pandas would convert True to 1.0
            part = parse(text, dtype=asked | whole_by_chance)
        fits = part.columns.equals(self.names) and types_of(part) == self.types
        return part.iloc[2:] if fits else None

    def table(self) -> pandas.DataFrame:
        """All rows, in the memory of those that are kept."""
        table = pandas.DataFrame({name: each.first(self.rows) for name, each in self.columns.items()}, copy=COPIED)
        table.columns = self.names
        return table


def beginning(file: BinaryIO, parse: Parse, size: int = -1) -> tuple[pandas.DataFrame, Kept | None]:
    """The table of a file's first complete lines, and what is kept of it.

    That is nothing where the rows to come cannot be read without those there are.
    """
    status = os.fstat(file.fileno())
    file.seek(0)
    text = complete_lines(file, size)
    table = parse(text)
    if not all(stays(column) for _, column in table.items()):
        return table, None
    head, row = first_row(text, parse)
    if not row or not is_counted(parse(head + row)):
        return table, None
    types = types_of(table)
    columns = {name: COLUMNS[kind](table[name]) for name, kind in types.items()}
    mark = Mark(status, head, text[-TAIL_BYTES:], len(text))
    return table, Kept(mark, head + row, len(table), table.columns, types, columns)


def first_row(text: bytes, parse: Parse) -> tuple[bytes, bytes]:
    """The lines of a text down to its first row, and those of that row; nothing where it is not near the top."""
    start = end = 0
    for _ in range(HEAD_LINES):
        end = text.find(b"\n", end) + 1
        if not end:
            break
        try:
            rows = len(parse(text[:end]))
        except ValueError:  # blank lines and comments only, or half a quoted cell
            continue
        if rows == 1:
            return text[:end], text[start:end]
        start = end
    return b"", b""


def is_counted(twice: pandas.DataFrame) -> bool:
    """Whether a table of one row, twice, has its rows numbered by pandas, and a name for each column.

    Numbers that the rows bring along, in a column of theirs, would be equal.
    """
    index, names = twice.index, twice.columns
    named = len(names) > 0 and names.nlevels == 1 and names.is_unique
    return len(twice) == 2 and isinstance(index, pandas.RangeIndex) and named


def types_of(table: pandas.DataFrame) -> dict[Any, str]:
    """The name of each column's type."""
    return {name: str(kind) for name, kind in zip(table.columns, table.dtypes, strict=True)}


# -- columns that grow


class Numbers:
    """A column of numbers, in a buffer with room for more: what has been handed out of it is never changed."""

    def __init__(self, values: pandas.Series):
        self.buffer = numpy.empty(0, values.dtype)
        self.add(0, values)

    def add(self, rows: int, values: pandas.Series) -> None:
        """Put values after the first rows."""
        end = rows + len(values)
        if end > len(self.buffer):
            buffer = numpy.empty(max(LEAST_ROWS, int(end * ROOM)), self.buffer.dtype)
            buffer[:rows] = self.buffer[:rows]
            only_grows(buffer)
            self.buffer, self.whole = buffer, pandas.Series(buffer, copy=False)
        self.buffer[rows:end] = values

    def first(self, rows: int) -> pandas.Series:
        """The first rows, not copied: pandas copies them for whoever changes them, as long as `whole` is alive."""
        return self.whole.iloc[:rows]


class Words:
    """A column of text, in pieces that pandas joins without a copy."""

    def __init__(self, values: pandas.Series):
        self.values = values
        self.settled = len(values)  # rows of whole pieces; those that follow are made one with what is added

    def add(self, rows: int, values: pandas.Series) -> None:
        """Put values after the first rows."""
        recent = self.first(rows).iloc[self.settled :]
        piece = pandas.Series([*recent.tolist(), *values.tolist()], dtype=values.dtype)
        self.values = pandas.concat([self.first(self.settled), piece], ignore_index=True)
        if len(piece) >= PIECE_ROWS:
            self.settled = len(self.values)

    def first(self, rows: int) -> pandas.Series:
        """The first rows."""
        return self.values.iloc[:rows]


# How a column of a type is kept. Other types (unsigned, mixed) are rare, and the file is parsed anew.
COLUMNS: dict[str, type[Numbers] | type[Words]] = {"int64": Numbers, "float64": Numbers, "bool": Numbers, "str": Words}


def stays(column: pandas.Series) -> bool:
    """Whether a column keeps its type as long as what is added has it.

    Not all text does: pandas takes 9223372036854775808 beside an empty cell for text, until a 0.5 follows.
    """
    kind = COLUMNS.get(str(column.dtype))
    return kind is Numbers or (kind is Words and not column.str.contains(r"\d{19}").any())
