"""Tables with a line of names above their rows (CSV, TSV and their kin), and what a cell of a log means as a number.

The vocabulary: the *dialect* of a table is what its first lines tell about all others: the separator, the decimal
mark, the names. A *label* is a cell of text that names its row.

Rows are read by `pandas.read_csv` in the parts that growing.py hands on; the quirks of loggers (a header that is
repeated, comments, rows of another length, cells padded with blanks) are made good in the text of the part before.
"""

import codecs
import csv
import functools
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import pandas

from . import growing
from .curves import NAN, role_of
from .decoding import cleaned, complete, encoding_of, settled_line
from .growing import NoCurve

SEPARATORS = ",\t;|"
OFTEN_NONE = "|"  # a separator that stands between the words of many a log, too
TABLE_SUFFIXES = (".csv", ".tsv")
LINES_LOOKED_AT = 100  # of a table's beginning
LINES_ABOVE = 20  # in which a header is looked for
LEAST_SHARE = 0.5  # of the lines below a header that are rows, and of the rows that have a name
WORDS_FOR_NOTHING = [
    "",
    "-",
    "--",
    "?",
    "NA",
    "na",
    "N/A",
    "n/a",
    "NULL",
    "Null",
    "null",
    "None",
    "none",
    "#N/A",
    "<NA>",
]
NAMELESS = "its columns have no names; write a line of names above the rows"

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?|[-+]?nan", re.I)
NANS = ("nan", "-nan", "+nan")
CLOCK = re.compile(r"(?:(?:(\d+) days?,? )?(\d+):)?(\d+):(\d{2}(?:\.\d+)?)")  # days, hours, minutes, seconds
WRAPPED = re.compile(r"(?:(?:tensor|array|np\.\w+)\()?\[?([^\[\](),]+?)\]?(?:,\s*(?:device|dtype|grad_fn)=.*)?\)?%?")
MONITOR = ("r", "l", "t")  # reward, length and time of each episode
HINT = re.compile(r"sep=.")  # for Excel
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(e[-+]?\d+)?", re.I)
PART = re.compile(r"(?i)(train|val|eval|test|dev|valid)(ing|idation|uation)?")
UNNAMED = re.compile(r"Unnamed: \d+|")  # an index without a name, as pandas saves it


# -- cells


def number_of(cell: Any) -> float | None:
    """What a cell means as a number: NaN where it says nothing, `NAN` where it says NaN, None for other text.

    Clock times such as ``01:30`` and ``0:29:05.2`` are seconds; a percent sign and what frameworks print around a
    number, as in ``tensor(0.5, device='cuda:0')``, are left out.
    """
    if isinstance(cell, (bool, numpy.bool_)):
        return None
    if cell is None or cell is pandas.NaT or isinstance(cell, (float, numpy.number)):
        return numpy.nan if cell is None or cell is pandas.NaT else float(cell)
    text = str(cell).strip()  # also of an int, which may be beyond all floats: as text it is infinite
    if text in WORDS_FOR_NOTHING:
        return numpy.nan
    if clock := CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    wrapped = WRAPPED.fullmatch(text)
    if not wrapped or not NUMBER.fullmatch(wrapped[1].strip()):
        return None
    number = float(wrapped[1])
    return NAN if numpy.isnan(number) else number


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, rather than text or nothing."""
    number = number_of(cell)
    return number is not None and says_something(number)


def says_something(number: float) -> bool:
    """Whether it is a number, or a NaN that the log itself says."""
    return number == number or math.copysign(1, number) < 0


def numbers_of(cells: pandas.Series) -> pandas.Series | None:
    """A column as numbers; None where the first cell that says something is text, or where all are true or false.

    The first one decides, so that rows that come later do not; text among numbers is a gap.
    """
    if cells.dtype in ("int64", "float64"):
        return cells
    kind = cells.dtype.kind
    if kind in "iuf":
        return cells.astype("int64" if kind == "i" else "float64")
    if kind in "bmMc":
        return None
    codes, words = pandas.factorize(cells)  # in the order in which they come
    meant = [number_of(word) for word in words]
    first = next((number for number in meant if number is None or says_something(number)), 0.0)
    values = [numpy.nan if number is None else number for number in meant]
    return None if first is None else pandas.Series(numpy.array([*values, numpy.nan])[codes])


# -- the dialect


@dataclass(frozen=True)
class Dialect:
    """How a table is written, as its first lines tell."""

    separator: str
    header: str  # the line of its names
    names: tuple[str, ...]  # of its columns; "" for an index without a name
    decimal: str = "."
    rows: int = 0  # how many there are among the first lines
    labelled: bool = False  # whether its first column gives each row a name
    parts: tuple[str, tuple[str, ...]] = ("", ())  # the column that says train or val, and what it says
    is_quoted: bool = True  # whether a quotation mark begins a cell, which may hold separators and newlines

    @property
    def format(self) -> str:
        """The name of the format, for people."""
        return "TSV" if self.separator == "\t" else "CSV"


def dialect_of(head: str, suffix: str = ".csv") -> Dialect | None:
    """The dialect of a table that begins like this; None for other text."""
    return dialect_in("\n".join(head.split("\n", LINES_ABOVE + LINES_LOOKED_AT)[:-1]) or head, suffix)


@functools.lru_cache(growing.REMEMBERED_FILES)
def dialect_in(text: str, suffix: str) -> Dialect | None:
    """The dialect that the first lines of a text tell."""
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    for place in range(min(LINES_ABOVE, len(lines))):
        found = [dialect_from(lines[place], lines[place + 1 :], separator) for separator in SEPARATORS]
        found = [dialect for dialect in found if dialect and (dialect.rows or is_named_so(dialect, suffix))]
        if found:
            return max(found, key=lambda dialect: len(dialect.names))
    if suffix in TABLE_SUFFIXES and lines:
        return dialect_from(lines[0], lines[1:], ",", fewest=1)
    return None


def is_named_so(dialect: Dialect, suffix: str) -> bool:
    """Whether a header may stand without rows: by the name of the file, or with a name for an x among its own."""
    return suffix in TABLE_SUFFIXES or any(role_of(name) == "x" for name in dialect.names)


def dialect_from(header: str, lines: Sequence[str], separator: str, fewest: int = 2) -> Dialect | None:
    """The dialect of a table of at least so many columns, with this header above these lines; None where it is none."""
    names = [cell.strip() for cell in cells_of(header.lstrip("# ") if header.startswith("#") else header, separator)]
    if sum(map(bool, names)) < fewest or any(map(is_number, names)) or HINT.fullmatch(header):
        return None
    lines = [line for line in lines if line.strip() != header.strip() and not line.startswith("#")][:LINES_LOOKED_AT]
    rows = [cells_of(line, separator) for line in lines]
    good = [row for row in rows if len(row) >= fewest and any(map(is_number, row))]
    if len(good) < len(rows) * LEAST_SHARE or rows[:1] != good[:1]:
        return None
    if separator in OFTEN_NONE and not is_filled(names, good):
        return None
    if good and sum(len(row) == len(names) + 1 and row[-1] != "" for row in good) > len(good) * LEAST_SHARE:
        names.insert(0, "")  # the index has no name, not even an empty one
    labels = [row[0] for row in good if row[0].strip() and not is_number(row[0]) and not DATE.match(row[0])]
    commas = sum(bool(DECIMAL_COMMA.fullmatch(cell.strip())) for row in good for cell in row)
    points = sum("." in cell for row in good for cell in row)
    decimal = "," if commas > points and separator != "," else "."
    labelled = len(set(labels)) > len(good) * LEAST_SHARE  # those of a run are all alike
    parts = parts_in(names, good)
    return Dialect(separator, header, tuple(names), decimal, len(good), labelled and parts[0] != names[0], parts)


def is_filled(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether each of some rows has a number, or nothing, below each name, and one of the names is an x."""
    cells = [cell.strip() for row in rows for cell in row]
    is_square = {len(row) for row in rows} == {len(names)}
    return is_square and any(role_of(name) == "x" for name in names) and None not in map(number_of, cells)


def cells_of(line: str, separator: str) -> list[str]:
    """The cells of a line."""
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return line.split(separator)


def parts_in(names: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, tuple[str, ...]]:
    """The column that says of which part of the data a row is, and what it says; nothing where there is none."""
    for place, name in enumerate(names):
        words = dict.fromkeys(row[place].strip() for row in rows if place < len(row))
        if words and name and all(PART.fullmatch(word) for word in words):
            return name, tuple(words)
    return "", ()


# -- the rows


def rows_of(text: bytes, dialect: Dialect, dtype: Mapping[str, str] | None = None) -> pandas.DataFrame:
    """The numbers in the rows of a table, whose text begins with its header; columns of text are left out.

    `dtype` names the types that columns shall have, as far as they have others by chance.
    """
    body = body_of(text, dialect)
    cells = cells_in(body, dialect)
    columns = {
        place: numbers_of(cells[place]) for place, name in enumerate(dialect.names) if not UNNAMED.fullmatch(name)
    }
    columns = {place: column for place, column in columns.items() if column is not None}
    if says_nan(body):
        columns |= with_literal_nans(columns, body, dialect)
    names = unique(dialect.names)
    table = pandas.DataFrame({names[place]: column for place, column in columns.items()}, index=cells.index)
    if dialect.parts[0]:
        words = cells[dialect.names.index(dialect.parts[0])].astype("str").str.strip()
        table = split_by(table, words, dialect.parts[1])
    if may_have_empty_rows(table):
        table = table.dropna(how="all", ignore_index=True)
    return table.astype({name: kind for name, kind in dtype.items() if name in table}) if dtype else table


def says_nan(body: bytes) -> bool:
    """Whether NaN stands anywhere in a text; a single letter is found ten times as quickly as a word."""
    return (b"n" in body or b"N" in body) and any(word in body for word in (b"nan", b"NaN", b"NAN"))


def body_of(text: bytes, dialect: Dialect) -> bytes:
    """The lines below the header, without comments and without the header where it stands again."""
    header, body = parted(text, dialect.header.strip())
    if header and header in body:
        body = re.sub(rb"(?m)^[ \t]*" + re.escape(header) + rb"[ \t\r]*(\n|\Z)", b"", body)
    return re.sub(rb"(?m)^#.*(\n|\Z)", b"", body) if b"#" in body else body


def parted(text: bytes, header: str) -> tuple[bytes, bytes]:
    """The line that is the header, as it stands in the text, and all below it; nothing where it is not there."""
    end = 0
    while start_of_next := text.find(b"\n", end) + 1:
        line, end = text[end:start_of_next], start_of_next
        if cleaned(line).strip() == header:
            return line.removeprefix(codecs.BOM_UTF8).strip(), text[end:]
    return b"", b""


def cells_in(body: bytes, dialect: Dialect, **options: Any) -> pandas.DataFrame:
    """The cells of some rows in columns 0, 1, ...: rows that are too short are filled up, others are cut off."""
    places = list(range(len(dialect.names)))
    header = dialect.separator.join(map(str, places)) + "\n"  # which tells pandas how long a row is to be
    text = header.encode() + body
    options = {
        "sep": dialect.separator,
        "decimal": dialect.decimal,
        "names": places,
        "header": 0,
        "usecols": places,
        "index_col": False,
        "na_values": WORDS_FOR_NOTHING,
        "skipinitialspace": True,
        "low_memory": False,
        "encoding_errors": "replace",
        "quoting": csv.QUOTE_MINIMAL if dialect.is_quoted else csv.QUOTE_NONE,
    } | options
    return pandas.read_csv(io.BytesIO(text), **options)


def with_literal_nans(columns: Mapping[int, pandas.Series], body: bytes, dialect: Dialect) -> dict[int, pandas.Series]:
    """The columns with gaps, in which a NaN that stands in the text is told from a cell that says nothing."""
    gaps = [place for place, column in columns.items() if column.dtype.kind == "f" and column.isna().any()]
    words = cells_in(body, dialect, usecols=gaps, dtype=str, keep_default_na=False, na_values=[]) if gaps else {}
    are_nan = {place: words[place].str.strip().str.lower().isin(NANS).to_numpy(bool) for place in gaps}
    return {place: pandas.Series(numpy.where(are_nan[place], NAN, columns[place])) for place in gaps}


def unique(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that came before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        result.append(f"{name}.{seen[name]}" if name and seen[name] else name)
    return result


def may_have_empty_rows(table: pandas.DataFrame) -> bool:
    """Whether each column has gaps: then a row may be without a number."""
    return len(table.columns) > 0 and all(kind.kind == "f" for kind in table.dtypes) and bool(table.isna().any().all())


def split_by(table: pandas.DataFrame, words: pandas.Series, known: Sequence[str]) -> pandas.DataFrame:
    """The table with a column of its own for each metric and part of the data: train/loss and val/loss."""
    result = {}
    for name, column in table.items():
        if role_of(name) in ("x", "hidden"):
            result[name] = column
        else:
            for word in dict.fromkeys([*known, *words.unique()]):
                result[f"{word}/{name}"] = column.astype(float).where(words == word)
    return pandas.DataFrame(result)


# -- the file


def is_table(path: Path, head: str) -> bool:
    """Whether a text begins with a header and rows, or is a table by its name and has numbers only."""
    return dialect_of(head, path.suffix.lower()) is not None or is_without_header(path, head)


def is_without_header(path: Path, head: str) -> bool:
    """Whether the first line of a table is numbers, rather than names."""
    first = head.lstrip().partition("\n")[0]
    found = [cells_of(first, separator) for separator in SEPARATORS if separator in first] or [[first]]
    return path.suffix.lower() in TABLE_SUFFIXES and any(all(map(is_number, cells)) for cells in found)


def read_table(path: Path, head: str) -> pandas.DataFrame:
    """The numbers of a table in a file, of which only the rows that were added since the last look are parsed."""
    dialect = dialect_of(head, path.suffix.lower())
    if dialect is None:
        raise NoCurve(NAMELESS)
    with open(path, "rb") as file:
        encoding = encoding_of(file.read(4))
        file.seek(0)
        if encoding != "utf-8":  # a newline is two bytes
            text = cleaned(complete(file.read(), encoding) + settled_line(file, encoding), encoding)
            return described(rows_at_once(text.encode(), dialect), dialect)
        try:
            parse = functools.partial(rows_of, dialect=dialect)
            table = growing.log(str(path), repr(dialect)).table(file, parse)
            table = with_last_row(table, settled_line(file), dialect)
        except pandas.errors.ParserError:
            file.seek(0)
            table = rows_at_once(complete(file.read()), dialect)
    return described(table, dialect)


def rows_at_once(text: bytes, dialect: Dialect) -> pandas.DataFrame:
    """The rows of a whole table; a quotation mark that is never closed is one like any other character."""
    try:
        return rows_of(text, dialect)
    except pandas.errors.ParserError:
        return rows_of(text, replace(dialect, is_quoted=False))


def with_last_row(table: pandas.DataFrame, line: bytes, dialect: Dialect) -> pandas.DataFrame:
    """The table with the row of a last line that has no newline, as far as all of its cells are there."""
    if len(cells_of(line.decode("utf-8", "replace"), dialect.separator)) < len(dialect.names):
        return table
    row = rows_at_once(dialect.header.encode() + b"\n" + line, dialect)
    return pandas.concat([table, row.reindex(columns=table.columns)], ignore_index=True) if len(row) else table


class Rows:
    """A reader of tables that is fed with all there is to read; it is asked for the table once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def feed(self, text: str) -> None:
        """Take the lines that come next."""
        self.texts.append(text)

    def table(self) -> pandas.DataFrame:
        """The numbers in all of them."""
        text = "".join(self.texts)
        dialect = dialect_of(text)
        if not text:
            raise NoCurve("it has no rows of numbers yet; wait for its first rows")
        if dialect is None:
            raise NoCurve(NAMELESS)
        return described(rows_at_once(text.encode(), dialect), dialect)


def described(table: pandas.DataFrame, dialect: Dialect) -> pandas.DataFrame:
    """The table with what its dialect says of it; a gym monitor's rows are episodes."""
    if dialect.names[:3] == MONITOR and "l" in table and len(table):
        episode = pandas.Series(range(1, len(table) + 1), dtype="int64")
        table = table.assign(episode=episode, total_timesteps=table["l"].cumsum())
        table.attrs["x"] = "episode"
    table.attrs |= {"format": dialect.format, "labelled": dialect.labelled}
    return table
