"""Logs that are rewritten whole: JSON documents, one JSON file for each epoch, Excel workbooks.

The vocabulary: a *record* is a flat dict from names to numbers, one row of the table to be. SHAPES says in which forms
a JSON document holds records, and what finds them; of several places in it that with the most numbers is taken. A
document with numbers but no rows is a *number card*: a table of one row.
"""

import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas

from .curves import NAN, TELLING, WALL_TIME, finished, role_of
from .decoding import encoding_of
from .growing import NoCurve
from .tables import DATE, LEAST_SHARE, UNNAMED, is_number, number_of, numbers_of, unique

WORKBOOKS = {".xlsx", ".xlsm", ".xls"}
LINES = {".jsonl", ".ndjson"}
BEGINNING = re.compile(r'\s*(\{\s*"|\[\s*\{\s*"|\[\s*\[\s*\d)')  # of a document; not of Python's dicts, nor of `[10]`
EPOCH_FILE = re.compile(r"(?P<before>.*epoch[_-]?)(?P<epoch>\d+)(?P<after>\D*\.json)", re.I)
NUMBERED = re.compile(r"(?i)(?P<name>[a-z]*)[_ -]?(?P<number>\d+)")  # epoch_3, 3
DEEPEST = 6  # levels below which no record is looked for
MOST_CELLS = 2000  # of one record
MOST_ON_A_CARD = 200  # numbers of results; a vocabulary has more
HALF_SAVED = "its JSON is not complete yet; wait until it has been saved, or save it again"

Record = dict[str, float]


# -- JSON


def is_document(path: Path, head: str) -> bool:
    """Whether the text is one JSON document, rather than one a line."""
    if path.suffix.lower() in LINES or not BEGINNING.match(head):
        return False
    first, _, others = head.lstrip().partition("\n")
    return not (others.strip() and is_json(first))


def is_json(line: str) -> bool:
    """Whether a line is complete JSON."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def read_document(path: Path) -> pandas.DataFrame:
    """The curve in a JSON document, or its number card."""
    if group := epoch_files(path):
        return epochs_of(group)
    with open(path, "rb") as file:
        text = file.read()
    return table_of(document_of(text.decode("utf-16" if encoding_of(text) != "utf-8" else "utf-8-sig", "replace")))


def document_of(text: str) -> Any:
    """What a JSON text holds."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoCurve(HALF_SAVED) from error


def table_of(document: Any) -> pandas.DataFrame:
    """The finished curve of a document: the first shape that fits tells it."""
    error = NoCurve("its numbers are no records; log a list of records, or lists of equal length")
    for shape in SHAPES:
        for table in shape(document):
            try:
                return finished(table)
            except NoCurve as no:
                error = no
    raise error


def log_history(document: Any) -> Iterator[pandas.DataFrame]:
    """trainer_state.json of Hugging Face's Trainer; its last record, a summary of the run, is no point."""
    history = document.get("log_history") if isinstance(document, dict) else None
    if isinstance(history, list):
        records = [record for record in history if isinstance(record, dict) and "train_runtime" not in record]
        table = rows_of(map(flat, records))
        total = number_of(document.get("max_steps"))
        table.attrs = {"format": "trainer state", "total": total if total and total > 0 else None}
        yield table


def sacred(document: Any) -> Iterator[pandas.DataFrame]:
    """Sacred's metrics.json: for each metric its steps, values and timestamps."""
    named = document.items() if isinstance(document, dict) else ()
    metrics = {name: each for name, each in named if isinstance(each, dict) and {"steps", "values"} <= {*each}}
    points: dict[float, Record] = {}
    for name, each in metrics.items():
        times = each.get("timestamps") or [None] * len(each["steps"])
        for step, value, time in zip(each["steps"], each["values"], times, strict=False):
            point = points.setdefault(step, {"step": step, WALL_TIME: seconds_of(time)})
            point[name] = value
    if points:
        yield rows_of(flat(points[step]) for step in sorted(points))


def seconds_of(time: Any) -> float:
    """The seconds since the epoch of a time as ISO 8601 has it, in UTC where it does not say."""
    try:
        moment = datetime.datetime.fromisoformat(str(time))
    except ValueError:
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def catboost(document: Any) -> Iterator[pandas.DataFrame]:
    """catboost_training.json: the values of each iteration, whose names stand in `meta`."""
    iterations = document.get("iterations") if isinstance(document, dict) else None
    if isinstance(iterations, list) and isinstance(meta := document.get("meta"), dict):
        table = rows_of(flat(iteration_of(each, meta)) for each in iterations if isinstance(each, dict))
        table.attrs["total"] = meta.get("iteration_count")
        yield table


def iteration_of(iteration: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """One iteration of CatBoost: what it learned and how it was tested, under the names of the metrics."""
    record = {name: value for name, value in iteration.items() if name not in ("learn", "test")}
    for part in ("learn", "test"):
        names = [f"{part}/{each.get('name')}" for each in meta.get(f"{part}_metrics", ()) if isinstance(each, dict)]
        values = iteration.get(part) or ()
        sets = [values] if not any(isinstance(each, list) for each in values) else values
        for number, of_set in enumerate(sets):
            named = [name + (f"/{number}" if number else "") for name in names]
            record |= dict(zip(named, of_set, strict=False))
    return record


def nested(document: Any) -> Iterator[pandas.DataFrame]:
    """Any other document: the lists of records and the lists of equal length in it, those with most numbers first."""
    found = [table for table in tables_in(document, DEEPEST) if len(table) and len(table.columns)]
    yield from sorted(found, key=lambda table: -table.size)


def tables_in(part: Any, depth: int) -> Iterator[pandas.DataFrame]:
    """All tables in a part of a document, in the forms that people save records in."""
    if not depth or not isinstance(part, (dict, list)):
        return
    values = list(part.values()) if isinstance(part, dict) else part
    if isinstance(part, list) and values and all(isinstance(each, dict) for each in values):
        yield rows_of(map(flat, values))
        return
    if isinstance(part, list):
        yield from triples(values)
        return
    columns = {name: each for name, each in part.items() if isinstance(each, list) and each and not is_nested(each)}
    for length in {len(each) for each in columns.values() if len(each) > 1}:
        alike = {name: each for name, each in columns.items() if len(each) == length}
        yield rows_of(flat(dict(zip(alike, row, strict=True))) for row in zip(*alike.values(), strict=True))
    if values and all(isinstance(each, dict) for each in values):
        yield from numbered(part)
    for each in values:
        yield from tables_in(each, depth - 1)


def is_nested(values: list) -> bool:
    """Whether a list holds more than plain values."""
    return any(isinstance(each, (dict, list)) for each in values)


def numbered(part: Mapping[str, Any]) -> Iterator[pandas.DataFrame]:
    """Records under numbers (``{"epoch_1": {...}, ...}``), or columns of numbered cells, as pandas saves them."""
    keys = [NUMBERED.fullmatch(key) for key in part]
    if all(keys):
        x = keys[0]["name"] if role_of(keys[0]["name"]) == "x" else "epoch"
        yield rows_of({x: int(key["number"])} | flat(each) for key, each in zip(keys, part.values(), strict=True))
        return
    cells = {name: each for name, each in part.items() if each and all(key.isdigit() for key in each)}
    if cells:
        table = pandas.DataFrame({name: pandas.Series(each) for name, each in cells.items()})
        yield numbers_in(table.reset_index(drop=True))


def triples(rows: list) -> Iterator[pandas.DataFrame]:
    """TensorBoard's download: wall time, step and value of each point."""
    if rows and all(isinstance(row, list) and len(row) == 3 and all(map(is_plain_number, row)) for row in rows):
        yield rows_of(dict(zip((WALL_TIME, "step", "value"), row, strict=True)) for row in rows)


def is_plain_number(value: Any) -> bool:
    """Whether it is a number, and not a truth."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def card(document: Any) -> Iterator[pandas.DataFrame]:
    """One record of results, such as all_results.json: a loss or a score is among them."""
    record = flat(document) if isinstance(document, dict) else {}
    told = any(role_of(name) in ("loss", "score") or TELLING.search(name) for name in record)
    if told and len(record) <= MOST_ON_A_CARD:
        yield rows_of([record])


SHAPES: tuple[Callable[[Any], Iterator[pandas.DataFrame]], ...] = (log_history, sacred, catboost, nested, card)


# -- records


def flat(record: Any, name: str = "") -> Record:
    """The numbers of a record under their paths (``train/loss``, ``scores/0``); text that is no number is left out."""
    found: Record = {}
    pairs = [(name, record)]
    while pairs and len(found) < MOST_CELLS:
        name, value = pairs.pop()
        if isinstance(value, dict):
            pairs += reversed([(f"{name}/{key}" if name else str(key), each) for key, each in value.items()])
        elif isinstance(value, list):
            pairs += reversed([(f"{name}/{key}", each) for key, each in enumerate(value)])
        elif (number := literal(value)) is not None:
            found[name.strip()] = number
    return found


def literal(value: Any) -> Any:
    """A value of JSON as a number; whole ones stay whole."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float("inf") if value > 0 else float("-inf")
    if isinstance(value, float) and value != value:
        return NAN
    return number_of(value)


def rows_of(records: Iterator[Record] | list[Record]) -> pandas.DataFrame:
    """The table of some records, its columns in the order in which their names come up."""
    records = [record for record in records if record]
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name, float("nan")) for record in records] for name in names}
    return pandas.DataFrame({name: pandas.Series(cells) for name, cells in columns.items()})


# -- one file for each epoch


def epoch_files(path: Path) -> dict[int, Path]:
    """The files that belong together with this one (metrics_epoch_0.json, ...), by the epoch in their names."""
    name = EPOCH_FILE.fullmatch(path.name)
    if not name:
        return {}
    others = {other: EPOCH_FILE.fullmatch(other.name) for other in path.parent.iterdir()}
    group = {
        int(other["epoch"]): file
        for file, other in others.items()
        if other and not file.is_symlink() and (other["before"], other["after"]) == (name["before"], name["after"])
    }
    return dict(sorted(group.items()))


def epochs_of(files: Mapping[int, Path]) -> pandas.DataFrame:
    """The curve through the files of all epochs; one that is still being written waits."""
    records = []
    for epoch, file in files.items():
        try:
            record = flat(document_of(file.read_text(encoding="utf-8", errors="replace")))
        except (OSError, NoCurve):
            continue
        records.append({"epoch": epoch} | {name: value for name, value in record.items() if name != "epoch"})
    return finished(rows_of(records))


# -- Excel


def is_workbook(path: Path, head: str) -> bool:
    """Whether it is an Excel workbook: by its name, and as it is no text, which some save under that name."""
    return path.suffix.lower() in WORKBOOKS and (not head or "\x00" in head)


def read_workbook(path: Path) -> pandas.DataFrame:
    """The curve in the first sheet of a workbook that holds one; `attrs["sheets"]` names them all."""
    sheets = sheets_of(path)
    error = NoCurve("it has no sheet with a table; save one in it")
    for cells in sheets.values():
        try:
            table = numbers_in(cells)
            table.attrs["labelled"] = is_labelled(cells)
            table = finished(table)
        except NoCurve as no:
            error = no if len(sheets) == 1 else NoCurve(f"none of its sheets ({', '.join(sheets)}) holds one: {no}")
        else:
            table.attrs["sheets"] = tuple(sheets)
            return table
    raise error


def sheets_of(path: Path) -> dict[str, pandas.DataFrame]:
    """The tables in a workbook, by the names of its sheets, with the values that formulas had when it was saved."""
    if not path.stat().st_size:
        raise NoCurve("it is empty yet; wait until the workbook has been saved")
    try:
        cells = pandas.read_excel(path, sheet_name=None, header=None, na_filter=False)
    except ImportError as error:
        raise NoCurve(f"{error}") from error
    except Exception as error:  # of half a file, the readers of Excel raise all there is
        raise NoCurve(f"it is no complete workbook yet ({type(error).__name__}); wait, or save it again") from error
    return {str(name): table_in(each) for name, each in cells.items()}


def table_in(cells: pandas.DataFrame) -> pandas.DataFrame:
    """The table in a sheet, from the first row of names that numbers stand under."""
    rows = [[str(cell).strip() for cell in row] for row in cells.head(20).itertuples(index=False)]
    for place, names in enumerate(rows[:-1]):
        numbers = any(map(is_number, rows[place + 1]))
        if numbers and sum(map(bool, names)) > 1 and not any(map(is_number, names)):
            table = cells.iloc[place + 1 :].reset_index(drop=True).infer_objects()
            return table.set_axis(unique(names), axis=1)
    return pandas.DataFrame()


def numbers_in(cells: pandas.DataFrame) -> pandas.DataFrame:
    """The columns of numbers in a table of cells; an index without a name is left out."""
    columns = {name: numbers_of(cells[name]) for name in cells.columns if not UNNAMED.fullmatch(name)}
    table = pandas.DataFrame({name: column for name, column in columns.items() if column is not None})
    return table.dropna(how="all", ignore_index=True)


def is_labelled(cells: pandas.DataFrame) -> bool:
    """Whether the first column that has a name is text that names its rows."""
    named = [name for name in cells.columns if not UNNAMED.fullmatch(name)]
    texts = [str(cell) for cell in cells[named[0]]] if named else []
    labels = [text for text in texts if text.strip() and not is_number(text) and not DATE.match(text)]
    return len(set(labels)) > len(texts) * LEAST_SHARE
