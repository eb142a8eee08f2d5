"""Curves of a training run, from the log it writes."""

import textwrap
import zipfile
from math import isnan
from pathlib import Path

import matplotlib.pyplot as plt
import pandas
from pandas.api.types import is_numeric_dtype

from . import logs

LOSS = {"loss": "tab:red"}
SCORES = {"precision": "tab:blue", "recall": "tab:green", "f-score": "tab:orange"}
COLUMNS = ["iteration", *LOSS, *SCORES]
MARGINS = {"left": 0.12, "right": 0.89, "bottom": 0.18}  # a layout engine takes as long as all the rest
WORKBOOKS = {".xlsx", ".xlsm", ".xls"}


def plot_convergence(file_path, sheet_name=None):
    """How a training run converges

    Loss on the left axis; precision, recall and f-score on the right one.

    Parameters
    ----------
    file_path
        A CSV or Excel file with the columns iteration, loss, precision, recall and f-score.
    sheet_name
        The sheet of an Excel file, by name or counted from 0. The first one where it is left empty.
    """
    table = numbers(read_table(Path(file_path), sheet_name), file_path)
    gaps = columns_with_gaps(table)
    title = textwrap.fill(Path(file_path).name, 60)
    figure, losses = plt.subplots(gridspec_kw={**MARGINS, "top": 0.9 - 0.04 * title.count("\n")})
    scores = losses.twinx()
    for axes, colors in [(losses, LOSS), (scores, SCORES)]:
        for column, color in colors.items():
            rows = table[["iteration", column]]
            if not gaps.isdisjoint(rows):
                rows = rows.dropna()  # the line goes on from point to point
            marker = "o" if len(rows) == 1 else ""  # a line through one point would not show
            axes.plot(rows["iteration"], rows[column], color=color, label=column, marker=marker)

    losses.set_title(title, parse_math=False)
    losses.set_xlabel("iteration")
    losses.set_ylabel("loss", color=LOSS["loss"])
    losses.tick_params(axis="y", labelcolor=LOSS["loss"])
    losses.grid(alpha=0.25)
    scores.set_ylabel("precision, recall, f-score")
    lowest, highest = scores.dataLim.intervaly
    if lowest >= 0 and highest <= 1:  # inf and -inf where there is no score yet
        scores.set_ylim(0, 1.02)  # room for a line at 1
    if table.empty:
        losses.set(xlim=(0, 1), ylim=(0, 1))
        losses.text(0.5, 0.5, "no rows yet", transform=losses.transAxes, ha="center", color="gray")
    figure.legend(loc="lower center", ncols=len(COLUMNS) - 1, frameon=False)
    return figure


def read_table(path: Path, sheet_name: str | int | None = None) -> pandas.DataFrame:
    """The table in a CSV or Excel file, with its header names stripped."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; check its name, or wait for the training.")
    if path.suffix.lower() in WORKBOOKS:
        table = read_sheet(path, sheet_name)
    elif sheet_name is None:
        table = read_csv(path)
    else:
        raise ValueError(f"{path} is no Excel file and has no sheet {sheet_name!r}; leave sheet_name empty.")
    return table.rename(columns=lambda name: str(name).strip())


def read_csv(path: Path) -> pandas.DataFrame:
    """The lines of a CSV file that are complete: one without its newline is still being written."""
    try:
        return logs.read_csv(path, skipinitialspace=True, index_col=False)
    except pandas.errors.EmptyDataError as error:
        raise ValueError(f"{path} is empty; wait until its first line, the header, has been written.") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as CSV; correct this in it: {error}.") from error


def read_sheet(path: Path, sheet_name: str | int | None) -> pandas.DataFrame:
    """One sheet of an Excel file: by its name, by its number from 0, or the first one."""
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; wait until the workbook has been saved.")
    try:
        workbook = pandas.ExcelFile(path)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no complete Excel file; save it again, as .xlsx or .csv.") from error
    with workbook:
        names = [str(name) for name in workbook.sheet_names]
        if sheet_name is None:
            sheet = names[0]
        elif str(sheet_name) in names:
            sheet = str(sheet_name)
        elif isinstance(sheet_name, int) and 0 <= sheet_name < len(names):
            sheet = names[sheet_name]
        else:
            raise ValueError(f"{path} has no sheet {sheet_name!r}; choose one of {', '.join(names)}.")
        return pandas.read_excel(workbook, sheet_name=sheet)


def numbers(table: pandas.DataFrame, source: str | Path) -> pandas.DataFrame:
    """The columns of a training log as numbers; an empty cell is a gap."""
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        present = ", ".join(table) or "none"
        raise ValueError(f"{source} has no column {', '.join(missing)}; rename one of those it has: {present}.")
    for column in COLUMNS:
        if is_numeric_dtype(table[column]):
            continue  # as nearly always; not even to_numeric is free with millions of rows
        try:
            table = table.assign(**{column: pandas.to_numeric(table[column])})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source} has no number in a cell of {column}; correct it: {error}.") from error
    return table[COLUMNS]


def columns_with_gaps(table: pandas.DataFrame) -> set[str]:
    """The columns in which a cell is empty: it makes the minimum NaN, the quickest thing to ask of many rows."""
    return {name for name in table.select_dtypes("float") if isnan(table[name].min(skipna=False))}
