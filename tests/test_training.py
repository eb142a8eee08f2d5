"""plots/training.py: the log of a training run becomes two axes of curves."""

import os

os.environ["MPLBACKEND"] = "agg"

import matplotlib.pyplot as plt
import numpy
import pandas
import pytest
from matplotlib.axes import Axes

from plots import training

HEADER = "iteration,loss,precision,recall,f-score"
ROWS = ["1,0.9,0.5,0.4,0.45", "2,0.6,0.7,0.6,0.65", "3,0.4,0.8,0.9,0.85"]
COLORS = {"loss": "tab:red", "precision": "tab:blue", "recall": "tab:green", "f-score": "tab:orange"}


@pytest.fixture(autouse=True)
def close_figures():
    """Every test leaves pyplot as it found it."""
    yield
    plt.close("all")


@pytest.fixture
def log(tmp_path):
    """A function that writes a log and gives its path."""

    def write(text, name="run.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


@pytest.fixture
def workbook(tmp_path):
    """An Excel file of three sheets: the run's second one ends lower, the third is called 2024."""
    path = tmp_path / "run.xlsx"
    rows = [[float(cell) for cell in row.split(",")] for row in ROWS]
    table = pandas.DataFrame(rows, columns=HEADER.split(","))
    with pandas.ExcelWriter(path) as writer:
        for name, factor in {"first": 1, "second": 0.5, "2024": 0.1}.items():
            table.assign(loss=table["loss"] * factor).to_excel(writer, sheet_name=name, index=False)
    return path


def lines_of(figure):
    """The drawn curves by their label."""
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


def test_each_column_is_a_curve_of_its_color(log):
    """Loss is red, precision blue, recall green and f-score orange, each with the values of the file."""
    lines = lines_of(training.plot_convergence(str(log("\n".join([HEADER, *ROWS, ""])))))
    assert {label: line.get_color() for label, line in lines.items()} == COLORS
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines.values())
    assert list(lines["loss"].get_ydata()) == [0.9, 0.6, 0.4]
    assert list(lines["f-score"].get_ydata()) == [0.45, 0.65, 0.85]


def test_loss_is_on_the_left_and_scores_are_on_the_right(log):
    """The two axes share the iterations; their labels say what each of them measures."""
    left, right = training.plot_convergence(log("\n".join([HEADER, *ROWS, ""]))).axes
    assert [line.get_label() for line in left.get_lines()] == ["loss"]
    assert [line.get_label() for line in right.get_lines()] == ["precision", "recall", "f-score"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("iteration", "loss")
    assert right.get_ylabel() == "precision, recall, f-score"
    assert right.yaxis.get_label_position() == "right"


def test_one_legend_outside_the_axes_names_all_curves(log):
    """The legend belongs to the figure, so that it covers no curve."""
    figure = training.plot_convergence(log("\n".join([HEADER, *ROWS, ""])))
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(COLORS)
    assert legend.get_window_extent().y1 < figure.axes[0].get_window_extent().y0
    assert all(axes.get_legend() is None for axes in figure.axes)


def test_the_title_is_the_file_name(log):
    """The title is the file's name as it is: dollar signs start no formula."""
    figure = training.plot_convergence(log("\n".join([HEADER, *ROWS, ""]), name="run $1$.csv"))
    assert figure.axes[0].get_title() == "run $1$.csv"
    assert not figure.axes[0].title.get_parse_math()


def test_a_long_file_name_is_wrapped_into_the_figure(log):
    """All of the name can be read, on as many lines as it takes."""
    name = f"{'learning_rate_0.001_' * 6}.csv"
    figure = training.plot_convergence(log("\n".join([HEADER, *ROWS, ""]), name=name))
    figure.draw_without_rendering()
    title = figure.axes[0].title
    assert title.get_text().replace("\n", "") == name
    assert figure.bbox.x0 <= title.get_window_extent().x0 < title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize(("score", "fits"), [("1", True), ("", True), ("93", False), ("-0.5", False)])
def test_the_right_axis_goes_from_0_to_1_where_the_scores_do(log, score, fits):
    """Scores within 0 and 1 get that range and room for a line at 1; others, as percentages, their own."""
    figure = training.plot_convergence(log(f"{HEADER}\n1,0.9,0.5,0.4,0.4\n2,0.8,0.5,0.5,{score}\n"))
    bottom, top = figure.axes[1].get_ylim()
    assert (bottom == 0 and 1 <= top <= 1.05) == fits


@pytest.mark.parametrize("unfinished", ["4,0.3", "4,0.3,0.8,0.9,0.8", "4", "4,0.3,"])
def test_a_line_that_is_being_written_is_left_out(log, unfinished):
    """Without its newline even a full line may hold a number cut short: 0.8 of 0.86."""
    lines = lines_of(training.plot_convergence(log("\n".join([HEADER, *ROWS, unfinished]))))
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines.values())


def test_rows_that_are_added_are_drawn(log):
    """The next drawing has them, whether or not they change a column's type."""
    path = log(f"{HEADER}\n{ROWS[0]}\n")
    for row, count in [(ROWS[1], 2), ("2.5,1,1,1,1", 3), (ROWS[2], 4)]:
        with path.open("a") as file:
            file.write(f"{row}\n")
        assert len(lines_of(training.plot_convergence(path))["loss"].get_xdata()) == count


@pytest.mark.skipif(int(pandas.__version__.split(".")[0]) < 3, reason="before pandas 3, columns are copied")
def test_columns_without_a_gap_are_not_copied(log, monkeypatch):
    """Ten million rows are handed to matplotlib as they are remembered."""
    path, drawn, plot = log("\n".join([HEADER, *ROWS, ""])), {}, Axes.plot

    def recorded(axes, x, y, label, **style):
        drawn.update({"iteration": x, label: y})
        return plot(axes, x, y, label=label, **style)

    monkeypatch.setattr(Axes, "plot", recorded)
    training.plot_convergence(path)
    table = training.read_table(path)
    assert list(drawn) == HEADER.split(",")
    assert all(numpy.shares_memory(values.to_numpy(), table[name].to_numpy()) for name, values in drawn.items())


def test_an_iteration_without_a_number_has_no_points(log):
    """A row that has no place on the axis is left out."""
    lines = lines_of(training.plot_convergence(log(f"{HEADER}\n1,0.9,0.5,0.4,0.4\n,0.8,0.5,0.5,0.5\n")))
    assert all(list(line.get_xdata()) == [1] for line in lines.values())


def test_an_empty_cell_leaves_its_point_out(log):
    """Scores that are logged less often than the loss are joined from point to point."""
    path = log(f"{HEADER}\n1,0.9,0.5,0.4,0.4\n2,0.8,,,\n3,0.7,0.6,0.5,0.5\n")
    lines = lines_of(training.plot_convergence(path))
    assert list(lines["loss"].get_xdata()) == [1, 2, 3]
    assert list(lines["recall"].get_xdata()) == [1, 3]


def test_a_single_row_shows_as_points(log):
    """A line needs two points, so the first row is drawn with markers."""
    lines = lines_of(training.plot_convergence(log(f"{HEADER}\n{ROWS[0]}\n")))
    assert {line.get_marker() for line in lines.values()} == {"o"}


def test_a_header_alone_says_no_rows_yet(log):
    """A run that has just begun has axes, a legend and a word of comfort."""
    figure = training.plot_convergence(log(f"{HEADER}\n"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["no rows yet"]
    assert all(len(line.get_xdata()) == 0 for line in lines_of(figure).values())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" iteration , loss,precision ,recall, f-score\n1, 0.9, 0.5, 0.4, 0.45\n", id="spaces"),
        pytest.param(f"\ufeff{HEADER}\r\n{ROWS[0]}\r\n", id="byte order mark and CRLF"),
        pytest.param(f"{HEADER}\n{ROWS[0]},\n", id="comma at the end"),
        pytest.param("f-score,at,recall,precision,loss,iteration\n0.45,noon,0.4,0.5,0.9,1\n", id="order"),
    ],
)
def test_the_columns_are_found_by_their_names(log, text):
    """Spaces, other columns, their order and marks of other systems do not matter."""
    lines = lines_of(training.plot_convergence(log(text)))
    drawn = {label: (*line.get_xdata(), *line.get_ydata()) for label, line in lines.items()}
    assert drawn == {"loss": (1, 0.9), "precision": (1, 0.5), "recall": (1, 0.4), "f-score": (1, 0.45)}


@pytest.mark.parametrize(
    ("sheet_name", "last_loss"),
    [(None, 0.4), ("first", 0.4), ("second", 0.2), (1, 0.2), (0, 0.4), ("2024", 0.04), (2024, 0.04)],
)
def test_a_sheet_is_chosen_by_its_name_or_number(workbook, sheet_name, last_loss):
    """The first sheet is the default; a number that is a sheet's name is that sheet."""
    lines = lines_of(training.plot_convergence(str(workbook), sheet_name))
    assert lines["loss"].get_ydata()[-1] == pytest.approx(last_loss)


@pytest.mark.parametrize("sheet_name", ["third", 3, -1])
def test_an_unknown_sheet_is_refused_with_those_there_are(workbook, sheet_name):
    """The message names the sheet that was asked for and those to choose from."""
    with pytest.raises(ValueError, match=rf"no sheet {sheet_name!r}; choose one of first, second, 2024"):
        training.plot_convergence(workbook, sheet_name)


def test_a_sheet_of_a_csv_file_is_refused(log):
    """A CSV file has no sheets, and the message says to leave the field empty."""
    with pytest.raises(ValueError, match="has no sheet 'first'; leave sheet_name empty"):
        training.plot_convergence(log(f"{HEADER}\n"), "first")


def test_a_missing_file_is_named(tmp_path):
    """The error is the one that Python has for it, and names the path."""
    with pytest.raises(FileNotFoundError, match=r"There is no file .*later\.csv"):
        training.plot_convergence(str(tmp_path / "later.csv"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.csv", "", r"run\.csv is empty"),
        ("run.csv", " \n\n", r"run\.csv is empty"),
        ("run.csv", "iteration,lo", r"run\.csv is empty; wait until its first line"),
        ("run.xlsx", "", r"run\.xlsx is empty"),
        ("run.xlsx", "PK\x03\x04 half a workbook", r"run\.xlsx is no complete Excel file"),
        ("run.xlsx", f"{HEADER}\n", r"run\.xlsx is no complete Excel file"),
        ("run.csv", "iteration,loss,recall\n1,2,3\n", "no column precision, f-score; .* iteration, loss, recall"),
        ("run.csv", f"{HEADER}\n1,high,0.5,0.4,0.4\n", "no number in a cell of loss; correct it: .*high"),
        ("run.csv", f'{HEADER}\n1,"0.5,0.4,0.4\n', r"run\.csv cannot be read as CSV"),
    ],
)
def test_a_file_that_cannot_be_drawn_says_why(log, name, text, message):
    """One sentence tells what is wrong, where, and what to do."""
    with pytest.raises(ValueError, match=message):
        training.plot_convergence(log(text, name))
