"""Curves of a training run, from the log it writes."""

import io
import textwrap
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas

LOSS = {"loss": "tab:red"}
SCORES = {"precision": "tab:blue", "recall": "tab:green", "f-score": "tab:orange"}
COLUMNS = ["iteration", *LOSS, *SCORES]
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
    figure, losses = plt.subplots(layout="constrained")
    scores = losses.twinx()
    for axes, colors in [(losses, LOSS), (scores, SCORES)]:
        for column, color in colors.items():
            rows = table[["iteration", column]].dropna()
            marker = "o" if len(rows) == 1 else ""  # a line through one point would not show
            axes.plot(rows["iteration"], rows[column], color=color, label=column, marker=marker)

    losses.set_title(textwrap.fill(Path(file_path).name, 60), parse_math=False)
    losses.set_xlabel("iteration")
    losses.set_ylabel("loss", color=LOSS["loss"])
    losses.tick_params(axis="y", labelcolor=LOSS["loss"])
    losses.grid(alpha=0.25)
    scores.set_ylabel("precision, recall, f-score")
    values = table[[*SCORES]]
    if not ((values < 0) | (values > 1)).any(axis=None):  # empty cells are neither
        scores.set_ylim(0, 1.02)  # room for a line at 1
    if table.empty:
        losses.set(xlim=(0, 1), ylim=(0, 1))
        losses.text(0.5, 0.5, "no rows yet", transform=losses.transAxes, ha="center", color="gray")
    figure.legend(loc="outside lower center", ncols=len(COLUMNS) - 1, frameon=False)
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
    text = path.read_bytes()
    whole_lines = text[: text.rfind(b"\n") + 1]
    if not whole_lines.strip():
        raise ValueError(f"{path} is empty; wait until its first line, the header, has been written.")
    try:
        return pandas.read_csv(io.BytesIO(whole_lines), skipinitialspace=True, index_col=False)
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
    columns = {}
    for column in COLUMNS:
        try:
            columns[column] = pandas.to_numeric(table[column])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source} has no number in a cell of {column}; correct it: {error}.") from error
    return pandas.DataFrame(columns)
