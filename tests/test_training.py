"""plots/training.py: the logs of training runs become curves."""

import os

os.environ["MPLBACKEND"] = "agg"

import matplotlib.pyplot as plt
import numpy
import pandas
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text

from plots import figures, logs, training

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


# ---- plot_convergence ----


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
    table = logs.read_log(path)
    assert list(drawn) == HEADER.split(",")
    assert all(numpy.shares_memory(values.to_numpy(), table[name].to_numpy()) for name, values in drawn.items())


def test_the_rows_are_counted_where_an_iteration_has_no_number(log):
    """A row with values but without an iteration has no other place on the axis."""
    figure = training.plot_convergence(log(f"{HEADER}\n1,0.9,0.5,0.4,0.4\n,0.8,0.5,0.5,0.5\n"))
    assert figure.axes[0].get_xlabel() == "row"
    assert all(list(line.get_xdata()) == [0, 1] for line in lines_of(figure).values())


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


def test_a_header_alone_has_to_wait_for_its_rows(log):
    """A run that has just begun says so."""
    with pytest.raises(logs.NoCurve, match="no rows of numbers yet; wait for its first rows"):
        training.plot_convergence(log(f"{HEADER}\n"))


def test_a_part_of_the_columns_is_enough(log):
    """What there is of loss and scores is drawn."""
    assert list(lines_of(training.plot_convergence(log("iteration,loss,recall\n1,2,3\n")))) == ["loss", "recall"]


def test_train_and_validation_share_a_color(log):
    """Solid and dashed, in any format in which a loss and scores are found."""
    figure = training.plot_convergence(log("epoch,acc,loss,lr,val_acc,val_loss\n0,.5,2,.1,.4,3\n1,.6,1,.1,.5,2\n"))
    drawn = {label: (line.get_color(), line.get_linestyle()) for label, line in lines_of(figure).items()}
    red, blue = "tab:red", "tab:blue"
    assert drawn == {"loss": (red, "-"), "val_loss": (red, "--"), "acc": (blue, "-"), "val_acc": (blue, "--")}
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "acc"]


def test_scores_alone_take_the_left_axis(log):
    """No axis stays empty."""
    [axes] = training.plot_convergence(log("epoch,accuracy\n0,50\n1,60\n2,70\n")).axes
    assert (axes.get_ylabel(), axes.get_ylim()) == ("accuracy, %", (0, 102))


def test_a_log_without_loss_and_scores_is_referred_to_plot_run(log):
    """Convergence is not told by a reward."""
    with pytest.raises(ValueError, match="neither a loss nor a score, but step, reward; draw it with plot_run"):
        training.plot_convergence(log("step,reward\n0,5\n1,6\n2,7\n"))


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
    with pytest.raises(FileNotFoundError, match=r"later\.csv"):
        training.plot_convergence(str(tmp_path / "later.csv"))
    with pytest.raises(FileNotFoundError, match=r"There is no file .*later\.xlsx"):
        training.plot_convergence(str(tmp_path / "later.xlsx"), "first")


@pytest.mark.parametrize("text", ["", "PK\x03\x04 half a workbook", "step,loss\n"])
def test_a_workbook_that_is_being_saved_has_no_curve_yet(log, text):
    """The message names the file, whether a sheet is asked for or not."""
    for sheet_name in (None, "first"):
        with pytest.raises(logs.NoCurve, match=r"^no curve found in run\.xlsx: "):
            training.plot_convergence(log(text, "run.xlsx"), sheet_name)


# ---- plot_run ----

KERAS = "epoch,accuracy,loss,lr,val_accuracy,val_loss\n0,.5,2,.1,.4,3\n1,.6,1,.1,.5,2\n2,.7,.5,.1,.6,2.5\n"


def titles_of(figure):
    """The titles of the panels, in their order."""
    return [axes.get_title("left") for axes in figure.axes]


def curves_of(axes):
    """The points of the lines that show data, by label; several lines of one label follow each other."""
    lines = [line for line in axes.get_lines() if line.get_transform() is axes.transData and line.get_gid() is None]
    points = [(line.get_label(), list(zip(*line.get_data(), strict=True))) for line in lines]
    return {label: [each for name, each in points if name == label] for label, _ in points}


def texts_of(figure):
    """All words in a figure, its legends and axes included."""
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def test_each_metric_of_a_run_has_a_panel(log):
    """The loss at the left, the score at the right; training is solid and validation dashed, in one color."""
    figure = training.plot_run(log(KERAS))
    assert titles_of(figure) == ["loss", "accuracy"]
    assert figure.axes[0].get_position().x0 < figure.axes[1].get_position().x0
    assert curves_of(figure.axes[0]) == {"loss": [[(0, 2), (1, 1), (2, 0.5)]], "val_loss": [[(0, 3), (1, 2), (2, 2.5)]]}
    solid, dashed = figure.axes[0].get_lines()
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert solid.get_color() == dashed.get_color()


def test_panels_come_in_the_order_of_what_they_tell(log):
    """The loss itself, then its parts and the scores beside them; others below, and constant ones last."""
    header = "step,always,reward,loss_box,total_loss,recall"
    figure = training.plot_run(log(header + "\n" + "".join(f"{i},1,{i},{i},{i},.{i}\n" for i in range(1, 5))))
    assert titles_of(figure) == ["total_loss", "recall", "loss_box", "reward", "always"]


def test_hidden_metrics_are_drawn_when_they_are_asked_for(log):
    """By name, by a part of it, or by a pattern; and then no others."""
    assert titles_of(training.plot_run(log(KERAS), ["lr"])) == ["lr"]
    assert titles_of(training.plot_run(log(KERAS), ["ACC"])) == ["accuracy"]
    assert titles_of(training.plot_run(log(KERAS), ["val_*"])) == ["val_loss", "val_accuracy"]


def test_an_unknown_metric_is_refused_with_those_that_are_near(log):
    """The message names what was asked for."""
    with pytest.raises(ValueError, match="The run has no metric 'val_lost'; choose among val_loss, "):
        training.plot_run(log(KERAS), ["val_lost"])


def test_a_dozen_panels_are_drawn_and_the_others_named(log):
    """The most telling metrics have panels; the note says how to see the rest."""
    names = [*(f"learner/statistic_of_a_very_long_name_{i}" for i in range(20)), "loss"]
    rows = "".join(f"{i}," + ",".join([str(i)] * 21) + "\n" for i in range(3))
    figure = training.plot_run(log("step," + ",".join(names) + "\n" + rows))
    assert len(figure.axes) == 12
    assert titles_of(figure)[0] == "loss"
    assert figure.notes[-1].startswith("9 more metrics: learner/statistic_of_a_very_long_name_11, ")


def test_all_words_lie_within_the_figure(log):
    """Long names and values, legends and dollar signs: nothing is cut, and nothing is a formula."""
    names = [
        "train/" + "loss_of_the_$first$_" * 4,
        "val/" + "loss_of_the_$first$_" * 4,
        "_accuracy",
        *(f"x/{i}" for i in range(30)),
    ]
    rows = "".join(f"{i * 100000}," + ",".join([f"{-123456.789 * i}"] * len(names)) + "\n" for i in range(3))
    figure = training.plot_run(log("step," + ",".join(names) + "\n" + rows, name=f"{'run_' * 30}.csv"))
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0
    assert not any(text.get_parse_math() for text in texts_of(figure) if "$" in text.get_text())


def test_x_that_goes_back_begins_a_new_line(log):
    """Each segment is a line of the same color, and where it begins stands a dotted line."""
    figure = training.plot_run(log("step,loss\n1,3\n2,2\n3,1\n1,5\n2,4\n3,3\n"))
    [axes] = figure.axes
    assert curves_of(axes) == {"loss": [[(1, 3), (2, 2), (3, 1)], [(1, 5), (2, 4), (3, 3)]]}
    assert len({line.get_color() for line in axes.get_lines() if line.get_gid() is None}) == 1
    assert [line.get_xdata() for line in axes.get_lines() if line.get_gid() == "restart"] == [[1, 1]]
    assert figure.notes == ["step goes back 1 time, as after a restart."]


def test_a_missing_value_is_bridged_and_a_nan_is_a_marked_gap(log):
    """The line goes on over an empty cell, but not over what the log itself calls no number."""
    figure = training.plot_run(log("step,loss,acc\n1,3,.1\n2,2,\n3,nan,.3\n4,inf,.4\n5,1,.5\n"))
    loss, accuracy = figure.axes
    assert [y for _, y in curves_of(loss)["loss"][0]] == pytest.approx([3, 2, numpy.nan, numpy.inf, 1], nan_ok=True)
    assert curves_of(accuracy)["acc"] == [[(1, 0.1), (3, 0.3), (4, 0.4), (5, 0.5)]]
    [crosses] = [line for line in loss.get_lines() if line.get_marker() == "x"]
    assert list(crosses.get_xdata()) == [3, 4]
    assert figure.notes == ["A red cross is where the log says NaN or inf: loss."]


@pytest.mark.parametrize(
    ("values", "limits", "label"),
    [
        ([0.2, 0.5, 1], (0, 1.02), ""),
        ([20, 50, 100], (0, 102), "%"),
        ([0, 0.5, 1.2], None, ""),
        ([-0.2, 0.5, 0.6], None, ""),
        ([20, 50, 300], None, ""),
    ],
)
def test_percent_and_fraction_are_told_apart_by_the_values(log, values, limits, label):
    """A score between 0 and 1 is a fraction, one up to 100 is in percent; any other gets the limits of its values."""
    [axes] = training.plot_run(log("step,acc\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)))).axes
    assert limits is None or axes.get_ylim() == limits
    assert axes.get_ylabel() == label
    assert limits or axes.get_ylim()[0] < min(values) < max(values) < axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("x", "label", "values"),
    [
        ("auto", "step", [10, 20, 30]),
        ("epoch", "epoch", [0, 1, 2]),
        ("row", "row", [0, 1, 2]),
        ("time", "hours", [0, 1, 2]),
    ],
)
def test_x_is_chosen_among_what_the_log_has(log, x, label, values):
    """The finest one by default; the time is that since the first row."""
    rows = "step,epoch,time,loss\n10,0,100,3\n20,1,3700,2\n30,2,7300,1\n"
    [axes] = training.plot_run(log(rows), x=x).axes
    assert axes.get_xlabel() == label
    assert [at for at, _ in curves_of(axes)["loss"][0]] == values


def test_an_x_that_the_log_does_not_have_is_refused(log):
    """The message names those it has."""
    with pytest.raises(ValueError, match="The run has no step; choose for x one of epoch, row"):
        training.plot_run(log(KERAS), x="step")


def test_the_state_of_the_run_is_told_under_its_name(log):
    """In one line, and in a few words for the page's title."""
    figure = training.plot_run(log(KERAS))
    assert "best val_loss 2 at epoch 1" in " ".join(text.get_text() for text in figure.texts)
    assert "val_loss" in figure.headline and figure.headline.endswith("run.csv")


def test_a_run_with_a_name_of_its_own_is_called_so(log, monkeypatch):
    """MLflow's folders are named by 32 letters and digits."""
    frame = training.logs.read_log(log(KERAS))
    frame.attrs["name"] = "gentle-fox-12"
    monkeypatch.setattr(training.logs, "read_log", lambda run: frame)
    figure = training.plot_run("0/0f70b3c43b9")
    assert "gentle-fox-12" in [text.get_text() for text in figure.texts] and "gentle-fox-12" in figure.headline


def test_the_numbers_of_a_run_tell_their_panels(log):
    """And what else the picture says."""
    told = figures.data_of(training.plot_run(log(KERAS)))
    assert [axes["title"] for axes in told["axes"]] == ["loss", "accuracy"]


def test_seconds_a_step_are_no_x(log):
    """Where a column is called time, but does not go on."""
    with pytest.raises(training.Unknown, match="The run has no time"):
        training.plot_run(log("step,loss,time\n1,3,0.2\n2,2,0.1\n3,1,0.3\n"), x="time")


def test_a_total_that_the_log_does_not_know_may_be_given(log):
    """For how much of the run is done."""
    figure = training.plot_run(log(KERAS), total=5)
    assert " %" in figure.headline and " %" not in training.plot_run(log(KERAS)).headline


def test_several_values_of_one_metric_share_a_panel(log):
    """Items of a list, or what is logged each step and each epoch: in several colors, the sparse one in front."""
    figure = training.plot_run(log("step,train_loss_epoch,train_loss_step\n1,,4\n2,3,3\n3,,2\n4,2,1\n"))
    assert titles_of(figure) == ["loss"]
    many, few = figure.axes[0].get_lines()
    assert (many.get_label(), few.get_label()) == ("train_loss_step", "train_loss_epoch")
    assert many.get_color() != few.get_color()
    assert titles_of(training.plot_run(log("step,dice/0,dice/1\n1,.1,.2\n2,.3,.4\n3,.4,.5\n"))) == ["dice"]


def test_no_two_lines_of_a_panel_look_alike(log):
    """What is logged as loss and as train/loss has two colors, and names that differ."""
    figure = training.plot_run(log("step,train/the_loss,train the_loss,val/the_loss\n1,4,4,5\n2,3,3,4\n3,2,2,3\n"))
    [axes] = figure.axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 3
    assert len({text.get_text() for text in axes.get_legend().get_texts()}) == 3


def test_a_summary_of_one_point_is_a_card_of_numbers(log):
    """As evaluation scripts write it at the end."""
    figure = training.plot_run(log('{"epoch": 3.0, "eval_loss": 1.634, "eval_f1": 0.5}', "all_results.json"))
    assert figure.axes == []
    assert {"eval_loss", "1.634", "eval_f1", "0.5"} <= {text.get_text() for text in figure.texts}


def test_a_file_without_a_curve_is_the_readers_error(log):
    """It says what to do."""
    with pytest.raises(logs.NoCurve, match=r"no curve found in run\.csv"):
        training.plot_run(log(""))


def test_a_dark_theme_is_taken_on(log):
    """No words and no lines in black or white but the theme's own."""
    with plt.style.context("dark_background"):
        figure = training.plot_run(log(KERAS))
        figure.canvas.draw()
    assert {to_hex(text.get_color()) for text in texts_of(figure)} == {"#ffffff"}


# ---- plot_compare ----


@pytest.fixture
def runs(tmp_path):
    """A function that writes a log for each path, and gives the paths."""

    def write(**texts):
        paths = [tmp_path / name.replace("__", "/") / "metrics.csv" for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.parent.mkdir(parents=True)
            path.write_text(text)
        return paths

    return write


def legend_of(figure):
    """The words of the legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_runs_are_named_by_what_differs_in_their_paths(runs):
    """Neither what all paths begin with nor the name of the file that they end with."""
    figure = training.plot_compare(runs(logs__version_1=KERAS, logs__version_2=KERAS), "val_loss")
    assert legend_of(figure) == ["version_1", "version_2"]


def test_runs_of_equal_short_names_stay_apart(runs):
    """Names that are cut get a number."""
    names = [f"{'a' * 30}{letter}{'b' * 30}" for letter in "xyz"]
    figure = training.plot_compare(runs(**dict.fromkeys(names, KERAS)), "val_loss")
    assert len(set(legend_of(figure))) == len(figure.axes[0].get_lines()) == 3


def test_one_metric_of_several_runs_is_overlaid(runs):
    """A color for each run, train solid and validation dashed; the legend explains both."""
    figure = training.plot_compare(runs(one=KERAS, two=KERAS.replace("2.5", "9")), "loss")
    [axes] = figure.axes
    styles = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert styles["one: loss"] == ("C0", "-")
    assert styles["two: val_loss"] == ("C1", "--")
    assert curves_of(axes)["two: val_loss"] == [[(0, 3), (1, 2), (2, 9)]]
    assert legend_of(figure) == ["one", "two", "train", "validation"]


def test_the_validation_of_other_frameworks_is_found(runs):
    """val_loss of one is eval_loss of the other."""
    figure = training.plot_compare(runs(one=KERAS, two="epoch,eval_loss\n0,4\n1,3\n2,2\n"), "val_loss")
    assert set(curves_of(figure.axes[0])) == {"one: val_loss", "two: eval_loss"}


def test_the_most_telling_metric_is_compared_by_default(runs):
    """That which most of the runs have; one that lacks it is named in the notes."""
    reward = "epoch,reward\n0,1\n1,2\n2,3\n"
    figure = training.plot_compare(runs(one=KERAS, two=reward, three=KERAS))
    assert figure.get_suptitle() == "loss"
    assert figure.notes == ["No loss in two."]


def test_a_run_without_a_curve_is_told_in_the_notes(runs, tmp_path):
    """As long as another has one."""
    figure = training.plot_compare(runs(one=KERAS, two=""))
    assert any("no curve found in metrics.csv" in note for note in figure.notes)
    with pytest.raises(logs.NoCurve):
        training.plot_compare([tmp_path / "two" / "metrics.csv"])


def test_runs_are_compared_over_an_x_that_all_of_them_have(runs):
    """Steps where all have steps, else epochs, else rows."""
    both = "step,epoch,loss\n10,0,3\n20,1,2\n30,2,1\n"
    for second, x in [(both, "step"), ("epoch,loss\n0,3\n1,2\n2,1\n", "epoch"), ("loss,acc\n3,0\n2,0\n1,1\n", "row")]:
        figure = training.plot_compare(runs(**{f"{x}__a": both, f"{x}__b": second}), "loss")
        assert figure.axes[0].get_xlabel() == x


def test_a_metric_that_no_run_has_is_refused(runs):
    """With those that are near."""
    with pytest.raises(ValueError, match="The runs have no metric 'val_los'; choose among val_loss"):
        training.plot_compare(runs(one=KERAS), "val_los")
    with pytest.raises(ValueError, match="No run is chosen"):
        training.plot_compare([])


def test_more_runs_than_colors_have_a_color_each(runs):
    """And a legend that is not cut; of many, the first are drawn."""
    figure = training.plot_compare(runs(**{f"seed{i}": KERAS for i in range(25)}), "val_loss")
    figure.canvas.draw()
    assert len({to_hex(line.get_color()) for line in figure.axes[0].get_lines()}) == 24
    assert figure.notes[-1] == "Only the first 24 are shown; choose among the runs."
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert box.y1 < figure.axes[0].xaxis.label.get_window_extent().y0


# ---- plot_summary ----


def test_the_summary_has_last_and_best_values(runs):
    """A row for each run; the best of all runs is bold."""
    figure = training.plot_summary(runs(one=KERAS, two=KERAS.replace("2.5", "1")), ["val_loss", "accuracy"])
    texts = {text.get_text(): text.get_weight() for text in figure.texts}
    assert {"one", "two", "val_loss", "accuracy", "best 2 @ 1", "best 1 @ 2", "best 0.7 @ 2"} <= set(texts)
    assert (texts["1"], texts["2.5"]) == ("bold", "normal")


def test_the_summary_chooses_telling_metrics_and_leaves_gaps(runs):
    """A run that lacks one has a dash."""
    figure = training.plot_summary(runs(one=KERAS, two="epoch,loss\n0,4\n1,3\n"))
    words = [text.get_text() for text in figure.texts]
    assert "loss" in words and "\N{EN DASH}" in words
