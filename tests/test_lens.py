"""plots/figures.py: a finished figure is looked at in other ways, and told in words and in numbers."""

import csv
import io
import json
import math
import os
from datetime import UTC, date, datetime, timedelta

os.environ["MPLBACKEND"] = "agg"

import matplotlib
import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from plots import figures
from plots.figures import Lens, csv_of, data_of, headline, json_of, notes_of, read_last, read_limits, smoothed, thinning

ROWS = 100
STEPS = numpy.arange(1, ROWS + 1)
RANDOM = numpy.random.default_rng(1)
LOSS = 4 * numpy.exp(-STEPS / 30) + 0.1 * RANDOM.random(ROWS) + 0.2
SCORE = STEPS / ROWS
TIMES = numpy.datetime64("2024-01-31") + STEPS.astype("m8[h]")


@pytest.fixture(autouse=True)
def close_figures():
    """Every test leaves pyplot as it found it."""
    yield
    plt.close("all")


def axes_with(*lines, **options):
    """Axes of a figure that belongs to no pyplot, with a line for each of some x and y."""
    axes = Figure(figsize=(3, 2), dpi=50).add_subplot(**options)
    for x, y in lines:
        axes.plot(x, y)
    return axes


def twins():
    """Losses at the left, scores at the right, which the plot has limited."""
    losses = axes_with((STEPS, LOSS))
    losses.set(xlabel="iteration", ylabel="loss")
    losses.lines[0].set_label("loss")
    scores = losses.twinx()
    scores.plot(STEPS, SCORE, label="recall")
    scores.set(ylabel="recall", ylim=(0, 1.02))
    return losses, scores


def picture(figure, **options):
    """The bytes of a figure's picture."""
    memory = io.BytesIO()
    figure.savefig(memory, **options)
    return memory.getvalue()


def table_of(figure):
    """The rows of a figure's CSV, read as a spreadsheet does."""
    return list(csv.reader(io.StringIO(csv_of(figure).decode())))


# -- smoothing


def tensorboards(values, weight):
    """What TensorBoard makes of values: `resmoothDataset` of its vz_line_chart2/line-chart.ts, told in Python."""
    last, count, found = 0.0, 0, []
    for value in values:
        if all(each == values[0] for each in values) or not math.isfinite(value):
            found.append(value)
            continue
        last = last * weight + (1 - weight) * value
        count += 1
        found.append(last / (1 - weight**count))
    return found


NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0]))


@settings(deadline=None)
@given(st.lists(NUMBERS, max_size=60), st.sampled_from([0.0, 0.1, 0.6, 0.9, 0.99, 0.999]))
def test_smoothing_is_tensorboards(values, weight):
    """The average of all that came before, corrected for its start; what is no number stays, and spoils nothing."""
    ours = smoothed(numpy.array(values), weight)
    numpy.testing.assert_allclose(ours, tensorboards(values, weight), rtol=1e-9, atol=1e-7)


def test_smoothing_by_hand():
    """Half the weight for what came before, a gap, and the average goes on."""
    ours = smoothed(numpy.array([1.0, 3.0, math.nan, 7.0]), 0.5)
    numpy.testing.assert_allclose(ours, [1, (1 / 4 + 3 / 2) / (3 / 4), math.nan, (1 / 8 + 3 / 4 + 7 / 2) / (7 / 8)])


def test_a_constant_stays_exactly_what_it_is():
    """Else the rounding of its average would be all that its axes show."""
    assert (smoothed(numpy.full(1_000, 0.1), 0.999) == 0.1).all()


def test_the_line_is_smoothed_and_the_raw_one_stays_faintly_behind():
    """The line keeps its label, its colour and its place in a legend; the limits are those of the raw one."""
    axes = axes_with((STEPS, LOSS))
    [line], limits = axes.lines, axes.axis()
    line.set(label="loss", color="tab:red", linestyle="--", marker="x")
    legend = axes.legend()
    assert Lens(smooth=0.9).apply(axes.figure) == []
    [_, raw] = axes.lines
    numpy.testing.assert_allclose(line.get_ydata(), tensorboards(LOSS, 0.9))
    assert (raw.get_ydata() == LOSS).all() and (raw.get_xdata() == STEPS).all()
    assert (line.get_label(), line.get_alpha(), raw.get_alpha()) == ("loss", None, figures.FAINT)
    assert raw.get_color() == "tab:red" and raw.get_linestyle() == "--" and raw.get_zorder() < line.get_zorder()
    assert axes.axis() == limits
    assert [text.get_text() for text in legend.get_texts()] == ["loss"]
    assert [text.get_text() for text in axes.legend().get_texts()] == ["loss"]


def lines_left_alone():
    """Lines that show no curve of numbers."""
    angle = numpy.linspace(0, 7, ROWS)
    return {
        "rule": lambda axes: axes.axhline(1),
        "slope": lambda axes: axes.axline((0, 0), (1, 1)),
        "two points": lambda axes: axes.plot([1, 2], [1, 3]),
        "markers alone": lambda axes: axes.plot(STEPS, LOSS, "o"),
        "circle": lambda axes: axes.plot(numpy.cos(angle), numpy.sin(angle)),
        "other place": lambda axes: axes.plot(STEPS / ROWS, LOSS / 9, transform=axes.transAxes),
        "words": lambda axes: axes.plot([1, 2, 3], ["a", "b", "c"]),
        "hidden": lambda axes: axes.plot(STEPS, LOSS, visible=False),
        "no points": lambda axes: axes.plot([], []),
        "box": lambda axes: axes.boxplot([LOSS]),
    }


@pytest.mark.parametrize("name", lines_left_alone())
def test_lines_that_are_no_curves_are_not_smoothed(name):
    """Rules, scattered points, words and lines that go to and fro stay as they are."""

    def plot():
        axes = axes_with()
        axes.set_axis_off()  # drawn without ticks, which takes half the time
        lines_left_alone()[name](axes)
        return axes.figure

    figure = plot()
    assert Lens(smooth=0.9).apply(figure) == []
    assert picture(figure) == picture(plot())


def test_a_run_that_was_taken_up_again_is_averaged_anew():
    """Where x turns back once, what came before belongs to another run."""
    axes = axes_with((numpy.append(STEPS, STEPS[50:]), numpy.append(LOSS, LOSS[50:])))
    Lens(smooth=0.9).apply(axes.figure)
    expected = [*tensorboards(LOSS, 0.9), *tensorboards(LOSS[50:], 0.9)]
    numpy.testing.assert_allclose(axes.lines[0].get_ydata(), expected)


def test_a_log_with_its_newest_row_first_is_smoothed_from_the_oldest_on():
    """The average follows x, not the order of rows."""
    axes = axes_with((STEPS[::-1], LOSS[::-1]))
    Lens(smooth=0.9).apply(axes.figure)
    numpy.testing.assert_allclose(axes.lines[0].get_ydata()[::-1], tensorboards(LOSS, 0.9))


def test_dates_masks_and_insets_are_smoothed():
    """Whatever x is; masked points are gaps."""
    axes = axes_with((TIMES, numpy.ma.masked_greater(LOSS, 3)))
    inset = axes.inset_axes((0.5, 0.5, 0.4, 0.4))
    inset.plot(STEPS, LOSS)
    Lens(smooth=0.9).apply(axes.figure)
    expected = tensorboards(numpy.where(LOSS > 3, math.nan, LOSS), 0.9)
    numpy.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    numpy.testing.assert_allclose(inset.lines[0].get_ydata(), tensorboards(LOSS, 0.9))


def test_smoothed_lines_are_thinned():
    """Both the average and the raw line of many points are drawn with few."""
    x = numpy.arange(60_000)
    with thinning() as thinned:
        axes = axes_with((x, RANDOM.random(len(x)).cumsum()))
        Lens(smooth=0.9).apply(axes.figure)
        picture(axes.figure)
        [note] = thinned.notes
    assert note.startswith("2 lines of 60,000 points are drawn with at most ")


# -- scales


def test_all_axes_become_logarithmic():
    """Twins too, also where the plot has limited one from 0 on."""
    losses, scores = twins()
    assert Lens(logx=True, logy=True).apply(losses.figure) == []
    assert {axes.get_xscale() for axes in (losses, scores)} == {"log"}
    assert {axes.get_yscale() for axes in (losses, scores)} == {"log"}
    assert 0 < scores.get_ylim()[0] < SCORE[0] < SCORE[-1] < scores.get_ylim()[1]


def test_logarithmic_axes_become_linear():
    """logy=0 undoes what the plot asked for."""
    axes = axes_with((STEPS, LOSS), yscale="log", xscale="symlog")
    assert Lens(logx=False, logy=False).apply(axes.figure) == []
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_logarithmic_axes_have_plain_numbers():
    """They are easier to read than powers of ten."""
    axes = axes_with((STEPS, LOSS / 100))
    Lens(logx=True, logy=True).apply(axes.figure)
    picture(axes.figure)
    texts = {each.get_text() for each in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    assert {"1", "10", "100", "0.01"} <= texts


def axes_that_refuse():
    """Axes whose y cannot be logarithmic, and why."""
    negative = axes_with((STEPS, LOSS - 1))
    negative.set_ylabel("loss")
    image = axes_with()
    image.imshow(numpy.ones((2, 2)), extent=(1, 2, 1, 2))
    image.set_title("an image")
    return {
        "negative": (negative, "the axis «loss»: it has values below 0 (the lowest is -0."),
        "zeros": (axes_with((STEPS, 0 * STEPS)), "the axis y: it has no value above 0."),
        "words": (axes_with(([1, 2], ["a", "b"])), "the axis y: it shows dates or words."),
        "dates": (axes_with((STEPS, TIMES)), "the axis y: it shows dates or words."),
        "image": (image, "the axis «an image»: it shows an image."),
    }


@pytest.mark.parametrize("name", axes_that_refuse())
def test_what_cannot_be_logarithmic_says_why_and_stays(name):
    """The axis is named by its label, its title or its place; the picture is as it was."""
    axes, reason = axes_that_refuse()[name]
    before = picture(axes_that_refuse()[name][0].figure)
    [note] = Lens(logy=True).apply(axes.figure)
    assert note.startswith(f"logy is not applied to {reason}")
    assert picture(axes.figure) == before


def test_one_axis_that_refuses_does_not_hold_back_the_others():
    """Each is tried on its own; those that share theirs are one."""
    figure = Figure()
    grid = figure.subplots(2, 2, sharey="row")
    for axes, y in zip(grid.flat, (LOSS, -LOSS, LOSS, LOSS), strict=True):
        axes.plot(STEPS, y)
    assert len(Lens(logy=True).apply(figure)) == 1
    assert [axes.get_yscale() for axes in grid.flat] == ["linear", "linear", "log", "log"]


def test_zero_is_no_reason_to_refuse():
    """Steps begin with it and bars stand on it; of a line's point that has no place, a note tells."""
    axes = axes_with((STEPS - 1, LOSS))
    axes.bar(STEPS, LOSS)
    axes.set_xlabel("step")
    axes.set_xlim(-0.1, 50)
    assert Lens(logy=True).apply(axes.figure) == []
    bars = axes_with((STEPS - 1, LOSS))
    bars.set_xlabel("step")
    notes = Lens(logx=True).apply(bars.figure)
    assert notes == ["The logarithmic axis «step» has no place for 0, which is drawn at its edge."]
    assert bars.get_xscale() == "log"


@pytest.mark.parametrize("projection", ["polar", "3d"])
def test_axes_that_are_not_straight_stay(projection):
    """A note says so."""
    axes = axes_with(projection=projection)
    axes.plot(STEPS, LOSS)
    before = picture(axes.figure)
    [note] = Lens(logy=True, xlim="0:1").apply(axes.figure)
    assert note == f"logy, xlim: not applied to {projection.replace('3d', '3-D')} axes."
    assert picture(axes.figure) == before


def test_colour_bars_pies_and_empty_axes_stay():
    """They show no data of their own, and nothing is said of them."""
    figure = Figure(figsize=(3, 2), dpi=50)
    mesh, pie, _ = figure.subplots(1, 3)
    bar = figure.colorbar(mesh.pcolormesh(numpy.ones((2, 2))))
    pie.pie([1, 2])
    before = [bar.ax.axis(), pie.axis()]
    assert Lens(logy=True, ylim="0.1:1").apply(figure) == []
    assert [bar.ax.axis(), pie.axis()] == before and mesh.get_ylim() == (0.1, 1)


# -- limits


DAY, NOON = datetime(2024, 1, 31), datetime(2024, 1, 31, 12)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", (None, None)),
        ("0:1", (0, 1)),
        (":5", (None, 5)),
        ("0:", (0, None)),
        (" -1.5 : 1e3 ", (-1.5, 1000)),
        ("2024-01-31:", (DAY, None)),
        (":2024-01-31", (None, DAY)),
        ("2024-01-31:2024-01-31 12:00", (DAY, NOON)),
        ("2024-01-31T12:00:", (NOON, None)),
        ("2024-01-31 00:00:00:2024-01-31 12:00:00", (DAY, NOON)),
        ("2024-01-31T12:00+00:00:", (NOON.replace(tzinfo=UTC), None)),
    ],
)
def test_limits_are_read(text, limits):
    """Two numbers or two dates, each of which may be left out."""
    assert read_limits(text) == limits


@pytest.mark.parametrize(
    "text", ["5", ":", "::", "1:0", "1:1", "a:b", "nan:", "0:inf", "1:2:3", "0:2024-01-31", "12:30:", "2024-01-31"]
)
def test_limits_that_cannot_be_read_say_how_they_are_written(text):
    """The sentence has examples, and what was given."""
    with pytest.raises(ValueError, match="as 0:1, :5, 0: or 2024-01-31:; not"):
        read_limits(text)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    """No text raises anything but ValueError."""
    for read in (read_limits, read_last, lambda theme: Lens(theme=theme)):
        try:
            read(text)
        except ValueError:
            pass


@pytest.mark.parametrize(
    ("limits", "expected"), [("20:50", (20, 50)), (":50", (0, 50)), ("20:", (20, 120)), ("-9:500", (-9, 500))]
)
def test_x_is_limited(limits, expected):
    """An end that is left out stays where it was."""
    axes = axes_with((STEPS, LOSS), xlim=(0, 120))
    assert Lens(xlim=limits).apply(axes.figure) == []
    assert axes.get_xlim() == expected


def test_a_reversed_axis_stays_reversed():
    """The lower limit is then at the right."""
    axes = axes_with((STEPS, LOSS))
    axes.invert_xaxis()
    Lens(xlim="20:50").apply(axes.figure)
    assert axes.get_xlim() == (50, 20)


def test_y_is_scaled_to_what_is_seen_of_x():
    """What lies outside takes no room: a line with its neighbours, a fill, and scattered points."""
    axes = axes_with((STEPS, LOSS), (STEPS, LOSS[::-1]))
    axes.fill_between(STEPS, LOSS / 2, LOSS)
    axes.scatter([30, 90], [-1, -100])
    axes.axhline(0.5)
    assert Lens(xlim="20:50").apply(axes.figure) == []
    low, high = axes.get_ylim()
    seen = LOSS[19:50].max()
    assert -1.3 < low < -1 and seen < high < seen + 0.3


@pytest.mark.parametrize(("limits", "stays"), [((0, 1.02), False), ((0.95, 0.96), True)])
def test_y_that_cuts_some_of_the_data_off_stays(limits, stays):
    """The plot wants it so; where it shows all, it is scaled to what is seen. Twins are scaled each on its own."""
    losses, scores = twins()
    scores.set_ylim(limits)
    Lens(last="10%").apply(losses.figure)
    assert (scores.get_ylim() == limits) is stays
    assert losses.get_ylim()[1] < 1


def test_y_with_bars_is_not_scaled():
    """Of a bar, a part would be seen."""
    axes = axes_with()
    axes.bar(STEPS, LOSS)
    before = axes.get_ylim()
    Lens(xlim="50:60").apply(axes.figure)
    assert axes.get_ylim() == before


def test_limits_of_y_are_those_of_the_first_axes_they_fit():
    """A score at the right is not squeezed by the limits of a loss at the left, and a note says so."""
    losses, scores = twins()
    notes = Lens(ylim="0:2").apply(losses.figure)
    assert notes == ["ylim is not applied to the axis «recall»: it is that of «loss» in the same place."]
    assert (losses.get_ylim(), scores.get_ylim()) == ((0, 2), (0, 1.02))
    losses, scores = twins()
    before = losses.get_ylim()
    notes = Lens(ylim="0:0.1").apply(losses.figure)
    assert notes == [f"ylim is not applied to the axis «loss»: its data go from {LOSS.min():.6g} to {LOSS.max():.6g}."]
    assert (losses.get_ylim(), scores.get_ylim()) == (before, (0, 0.1))


def test_panels_in_other_places_all_get_the_limits():
    """Each of several panels is limited, where there is something to see."""
    figure = Figure()
    panels = figure.subplots(3)
    for axes, shift in zip(panels, (0, 1, 100), strict=True):
        axes.plot(STEPS, LOSS + shift)
    assert len(Lens(ylim="0:2", xlim="5:6").apply(figure)) == 1
    assert [axes.get_ylim()[1] for axes in panels[:2]] == [2, 2] and panels[2].get_ylim()[1] > 100
    assert [axes.get_xlim() for axes in panels] == [(5, 6)] * 3


def test_limits_from_zero_on_leave_a_logarithmic_end():
    """Zero has no place there."""
    axes = axes_with((STEPS, LOSS), yscale="log")
    low = axes.get_ylim()[0]
    assert Lens(ylim="0:3").apply(axes.figure) == []
    assert axes.get_ylim() == (low, 3)


def dates_of_axis(axes):
    """The limits of x as dates without a zone."""
    return [each.replace(tzinfo=None) for each in matplotlib.dates.num2date(axes.get_xlim())]


@pytest.mark.parametrize(
    "x",
    [
        TIMES,
        TIMES.tolist(),
        pandas.Series(TIMES),
        [each.replace(tzinfo=UTC) for each in TIMES.astype("M8[s]").tolist()],
    ],
    ids=["numpy", "datetime", "pandas", "zone"],
)
def test_dates_are_limited_by_dates(x):
    """However the plot gave them."""
    axes = axes_with((x, LOSS))
    assert Lens(xlim="2024-01-31 12:00:2024-02-01").apply(axes.figure) == []
    assert dates_of_axis(axes) == [NOON, datetime(2024, 2, 1)]


def test_the_dates_of_pandas_are_limited_by_dates():
    """It counts hours where it draws a table with dates."""
    axes = pandas.Series(LOSS, index=pandas.DatetimeIndex(TIMES, freq="h")).plot()
    assert Lens(xlim="2024-01-31 12:00:").apply(axes.figure) == []
    assert axes.get_xlim()[0] == pandas.Period("2024-01-31 12:00", "h").ordinal
    assert table_of(axes.figure)[1][0] == "2024-01-31 01:00:00"


@pytest.mark.parametrize(
    ("x", "limits", "reason"),
    [
        (TIMES, "0:1", "it shows dates, such as 2024-01-31."),
        (TIMES, "2025-01-01:", "its data go from 2024-01-31 01:00 to 2024-02-04 04:00."),
        (STEPS, "2024-01-31:", "it shows no dates."),
        (STEPS, "500:600", "its data go from 1 to 100."),
        (STEPS, "500:", "its data go from 1 to 100."),
        (STEPS.astype(str), "1:2", "it shows words."),
    ],
)
def test_limits_that_do_not_fit_say_why(x, limits, reason):
    """The axis stays as it was."""
    axes = axes_with((x, LOSS))
    before = axes.axis()
    assert Lens(xlim=limits).apply(axes.figure) == [f"xlim is not applied to the axis x: {reason}"]
    assert axes.axis() == before


# -- the last points


@pytest.mark.parametrize(("text", "last"), [("1000", (1000, False)), ("10%", (10, True)), (" 2.5 % ", (2.5, True))])
def test_last_is_read(text, last):
    """A number of points, or a part of them."""
    assert read_last(text) == last


@pytest.mark.parametrize("text", ["", "0", "-5", "0%", "101%", "x", "%", "nan", "inf", "10%%", "5:"])
def test_last_that_cannot_be_read_says_how_it_is_written(text):
    """The sentence has examples, and what was given."""
    with pytest.raises(ValueError, match="as 1000, or a part of them, as 10%; not"):
        read_last(text)


@pytest.mark.parametrize(
    ("last", "limits"),
    [("10", (91, 100)), ("10%", (91, 100)), ("1", (99, 100)), ("9999", (1, 100)), ("0.1%", (99, 100))],
)
def test_the_last_points_are_shown(last, limits):
    """At least two, at most all."""
    axes = axes_with((STEPS, LOSS))
    assert Lens(last=last).apply(axes.figure) == []
    assert axes.get_xlim() == limits


def test_panels_show_the_same_steps():
    """Those of the last points of the longest line, though another line has fewer."""
    figure = Figure()
    above, below, other = figure.subplots(3)
    above.plot(STEPS, LOSS)
    below.plot(STEPS[::10], LOSS[::10])
    other.plot(TIMES[:50], LOSS[:50])
    assert Lens(last="20").apply(figure) == []
    assert above.get_xlim() == below.get_xlim() == (81, 100)
    assert dates_of_axis(other) == [each.astype(object) for each in TIMES[[30, 49]].astype("M8[s]")]


def test_limits_win_over_the_last_points():
    """A note says so."""
    axes = axes_with((STEPS, LOSS))
    assert Lens(last="10", xlim="5:6").apply(axes.figure) == ["last is not applied, as xlim is given."]
    assert axes.get_xlim() == (5, 6)


def test_last_needs_lines():
    """Bars have no last points."""
    axes = axes_with()
    axes.bar(STEPS, LOSS)
    assert Lens(last="10").apply(axes.figure) == ["last is not applied to the axis x: it shows no lines."]


# -- the lens as a whole


def test_a_lens_that_asks_nothing_changes_nothing():
    """The picture has the same bytes."""
    (losses, _), (same, _) = twins(), twins()
    assert Lens().apply(losses.figure) == []
    assert picture(losses.figure) == picture(same.figure)


@pytest.mark.parametrize(
    "given",
    [{"smooth": 1}, {"smooth": -0.1}, {"smooth": math.nan}, {"xlim": "x"}, {"ylim": "1"}, {"last": "0"}],
    ids=str,
)
def test_a_lens_refuses_what_it_cannot_read(given):
    """At once, before anything is drawn."""
    with pytest.raises(ValueError):
        Lens(**given)


EVERYTHING = [
    Lens(smooth=0.9, logx=True, logy=True, last="50%"),
    Lens(smooth=0.5, xlim="2024-02-01:", ylim="0:1", logy=False),
    Lens(smooth=0.999, xlim=":20", ylim="1:"),
]
ODD_PLOTS = {
    "nothing": lambda axes: None,
    "no numbers": lambda axes: axes.plot(STEPS, numpy.full(ROWS, math.nan)),
    "infinite": lambda axes: axes.plot(STEPS, numpy.where(STEPS % 9, LOSS, math.inf)),
    "huge": lambda axes: axes.plot(STEPS, LOSS * 1e307),
    "one point": lambda axes: axes.plot(3, 4, "o"),
    "one x": lambda axes: axes.plot([1, 1, 1], [1, 2, 3]),
    "objects": lambda axes: axes.plot(STEPS, [None if step % 7 else float(step) for step in STEPS]),
    "no times": lambda axes: axes.plot(numpy.where(STEPS % 9, TIMES, numpy.datetime64("NaT")), LOSS),
    "bytes": lambda axes: axes.plot(STEPS.astype("u1")[::-1], LOSS.astype("f2")),
    "truth": lambda axes: axes.plot(STEPS, LOSS > 1),
    "contours": lambda axes: axes.contourf(numpy.outer(STEPS[:5], STEPS[:5])),
    "error bars": lambda axes: axes.errorbar(STEPS, LOSS, SCORE),
    "hexagons": lambda axes: axes.hexbin(STEPS, LOSS),
    "events": lambda axes: axes.eventplot(STEPS),
    "steps": lambda axes: axes.hist(LOSS, histtype="step"),
    "second axis": lambda axes: (axes.plot(STEPS, LOSS), axes.secondary_xaxis("top", functions=(abs, abs))),
    "own scale": lambda axes: (axes.plot(STEPS, LOSS), axes.set_yscale("function", functions=(abs, abs))),
}


@pytest.mark.parametrize("name", ODD_PLOTS)
def test_any_figure_can_be_looked_at_and_told(name):
    """Whatever is in it, nothing is raised, no warning is given, and the JSON is strict."""
    for lens in EVERYTHING:
        axes = axes_with()
        ODD_PLOTS[name](axes)
        notes = lens.apply(axes.figure)
        told = json.loads(json_of(axes.figure, notes), parse_constant=pytest.fail)
        assert {*notes} <= {*told["notes"]}
        assert csv_of(axes.figure).endswith(b"\n")
        axes.figure.draw_without_rendering()


# -- themes


def test_dark_is_as_the_page_and_light_as_matplotlib():
    """The settings of the plot's own style that are no colours stay; afterwards all are as before."""
    with matplotlib.rc_context({"axes.facecolor": "red", "lines.linewidth": 7}):
        before = dict(matplotlib.rcParams)
        for theme, paper in (("dark", "#12161b"), ("light", "white")):
            with Lens(theme=theme).theme_context():
                figure = plt.figure()
                assert matplotlib.colors.same_color(figure.get_facecolor(), paper)
                assert matplotlib.colors.same_color(figure.subplots().get_facecolor(), paper)
                assert matplotlib.rcParams["lines.linewidth"] == 7
        with Lens().theme_context():
            assert dict(matplotlib.rcParams) == before
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("theme", figures.theme_names())
def test_every_theme_is_known(theme):
    """light, dark, and each of matplotlib's styles."""
    with Lens(theme=theme).theme_context():
        assert Lens(theme=theme).apply(plt.figure()) == []


@pytest.mark.parametrize(
    ("theme", "near"),
    [("drak", "dark"), ("seaborn", "seaborn-v0_8"), ("https://example.org/x.mplstyle", "light"), ("/etc/x", "light")],
)
def test_an_unknown_theme_names_near_ones(theme, near):
    """Only names are looked up: no file is opened, and no address."""
    with pytest.raises(ValueError, match=f"There is no theme .*; there are .*{near}"):
        Lens(theme=theme)


# -- words


def test_the_headline_is_what_the_plot_says():
    """The attribute wins over the last value of the first line, which wins over the title."""
    figure = Figure()
    axes = figure.subplots()
    axes.set_title("a run\nof today")
    assert headline(figure) == "a run"
    axes.plot(STEPS, numpy.where(STEPS > 98, math.nan, STEPS), label="loss")
    assert headline(figure) == "loss 98"
    figure.headline = "✗ diverged"
    assert headline(figure) == "✗ diverged"


def test_notes_are_what_the_plot_says():
    """A list of sentences, or one; none where it says nothing."""
    figure = Figure()
    assert notes_of(figure) == []
    figure.notes = ["14 more metrics."]
    assert notes_of(figure) == ["14 more metrics."]
    figure.notes = "One note."
    assert notes_of(figure) == ["One note."]


# -- numbers


def test_the_data_are_those_of_the_lines():
    """Titles, labels and scales of the axes, and the points of each line; rules are none."""
    losses, _ = twins()
    losses.set(title="run 7", yscale="log")
    losses.axhline(1)
    losses.figure.suptitle("all runs")
    losses.figure.notes = ["diverged"]
    assert data_of(losses.figure) == {
        "title": "all runs",
        "axes": [
            {
                **{"title": "run 7", "xlabel": "iteration", "ylabel": "loss", "xscale": "linear", "yscale": "log"},
                "lines": [{"label": "loss", "x": STEPS.tolist(), "y": LOSS.tolist()}],
            },
            {
                **{"title": "", "xlabel": "iteration", "ylabel": "recall", "xscale": "linear", "yscale": "linear"},
                "lines": [{"label": "recall", "x": STEPS.tolist(), "y": SCORE.tolist()}],
            },
        ],
        "notes": ["diverged"],
    }
    assert json.loads(json_of(losses.figure)) == data_of(losses.figure)


def test_notes_of_the_page_are_added_once():
    """The plot's own may be among them."""
    losses, _ = twins()
    losses.figure.notes = ["a"]
    assert json.loads(json_of(losses.figure, ["a", "b"]))["notes"] == ["a", "b"]


def line_data(x, y, **options):
    """What is told of one line: its label, its x and its y."""
    axes = axes_with()
    axes.plot(x, y, **options)
    [line] = json.loads(json_of(axes.figure))["axes"][0]["lines"]
    return tuple(line.values())


GAPPED = [1.5, math.nan, math.inf, -math.inf]
SECONDS = [datetime(2024, 1, 31, 12, 0, second) for second in range(2)]


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        ([1, 2], [3, 4], ([1, 2], [3, 4])),
        (range(4), GAPPED, ([0, 1, 2, 3], [1.5, None, None, None])),
        ([0, 1], numpy.ma.masked_array([1, 2], [True, False]), ([0, 1], [None, 2])),
        (["a", "b"], [1, 2], (["a", "b"], [1, 2])),
        ([date(2024, 1, 31), date(2024, 2, 1)], [1, 2], (["2024-01-31", "2024-02-01"], [1, 2])),
        (SECONDS, [1, 2], (["2024-01-31T12:00:00", "2024-01-31T12:00:01"], [1, 2])),
        (numpy.array(["2024-01-31", "NaT"], "M8[ns]"), [1, 2], (["2024-01-31", None], [1, 2])),
        ([1, 2], [True, False], ([1, 2], [1, 0])),
    ],
    ids=["numbers", "gaps", "masked", "words", "days", "seconds", "no date", "truth"],
)
def test_gaps_are_null_and_dates_are_texts(x, y, told):
    """JSON has neither NaN nor infinity nor dates."""
    assert line_data(x, y, label="loss") == ("loss", *told)


def test_a_line_without_a_label_has_none():
    """matplotlib's own are no words for people."""
    assert line_data([1], [2])[0] == ""


def test_all_points_are_told_of_a_thinned_line():
    """However few are drawn, and however many are written in one go."""
    x = numpy.arange(51_000)
    y = RANDOM.random(len(x))
    with thinning():
        axes = axes_with((x, y))
        picture(axes.figure)
        [line] = json.loads(json_of(axes.figure))["axes"][0]["lines"]
        rows = table_of(axes.figure)
    assert line["x"] == x.tolist() and line["y"] == y.tolist()
    assert [float(row[1]) for row in rows[1:]] == y.tolist()


def test_raw_lines_are_told_beside_smoothed_ones():
    """Nobody should take the smoothed numbers for the log's own."""
    losses, scores = twins()
    scores.lines[0].set_label("_nobody")
    Lens(smooth=0.9).apply(losses.figure)
    assert [line["label"] for axes in data_of(losses.figure)["axes"] for line in axes["lines"]] == [
        *("loss", "loss (raw)"),
        *("", "(raw)"),
    ]
    assert table_of(losses.figure)[0] == ["iteration", "loss", "loss (raw)", "recall", "recall (raw)"]


def test_what_is_no_line_is_left_out_with_a_note():
    """Bars, points and fills have data that are not told."""
    axes = axes_with((STEPS, LOSS))
    axes.bar([1, 2], [3, 4])
    axes.bar([1, 2], [3, 4])
    axes.scatter([1], [2])
    assert data_of(axes.figure)["notes"] == [
        "The data are those of the lines, without 2 bar charts and 1 scatter plot."
    ]


# -- the table


def csv_text(*panels, **options):
    """The CSV of panels side by side, each with lines of (label, x, y)."""
    figure = Figure()
    for number, lines in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1, title=f"panel {number + 1}", **options)
        for label, x, y in lines:
            axes.plot(x, y, label=label)
    return csv_of(figure).decode()


def test_lines_with_the_same_x_share_its_column():
    """Its name is the label of x."""
    text = csv_text([("loss", [1, 2], [0.5, 0.25]), ("recall", [1, 2], [3, 4])], xlabel="iteration")
    assert text == "iteration,loss,recall\n1,0.5,3\n2,0.25,4\n"


def test_lines_whose_x_rise_are_joined():
    """A row stands for one x; a line that has no point there has an empty cell, and whole numbers stay whole."""
    text = csv_text([("train", [1, 2, 3], [5, 6, 7]), ("val", [2, 4], [8, 9])])
    assert text == "x,train,val\n1,5,\n2,6,8\n3,7,\n4,,9\n"
    assert csv_text([("a", [1], ["up"]), ("b", [2], ["down"])]) == "x,a,b\n1,up,\n2,,down\n"


def test_lines_whose_x_turns_back_stand_side_by_side():
    """Each with its own x, and ends where it ends."""
    text = csv_text([("a", [1, 2, 1], [5, 6, 7]), ("b", [2, 4], [8, 9])])
    assert text == "x,a,x.2,b\n1,5,2,8\n2,6,4,9\n1,7,,\n"


def test_lines_with_other_labels_of_x_are_not_joined():
    """An epoch is no iteration."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.plot([1, 2], [3, 4])
    right.plot([1], [5])
    left.set(xlabel="iteration", ylabel="loss")
    right.set(xlabel="epoch", ylabel="loss")
    assert csv_of(figure).decode() == "iteration,loss,epoch,loss.2\n1,3,1,5\n2,4,,\n"


def test_labels_that_repeat_are_told_apart_by_their_panels():
    """And by a number, where that does not help."""
    text = csv_text([("train", [1], [2]), ("train", [1], [3])], [("train", [1], [4]), ("val", [1], [5])])
    assert text == "x,panel 1: train,panel 1: train.2,panel 2: train,val\n1,2,3,4,5\n"


def test_gaps_are_empty_cells_and_dates_are_as_spreadsheets_write_them():
    """With a space between date and time."""
    assert csv_text([("a", range(4), GAPPED)]) == "x,a\n0,1.5\n1,\n2,\n3,\n"
    assert csv_text([("a", SECONDS, [1, 2])]) == "x,a\n2024-01-31 12:00:00,1\n2024-01-31 12:00:01,2\n"
    zone = [second.replace(tzinfo=UTC) + timedelta(0) for second in SECONDS]
    assert csv_text([("a", zone[:1], [1])]) == "x,a\n2024-01-31T12:00:00+00:00,1\n"


def test_texts_are_quoted_and_no_spreadsheet_takes_them_for_a_formula():
    """A label may come from a log that somebody else has written."""
    text = csv_text([('a "b", c\nd', ["=1", "ü"], [-1, 2]), ("@x", ["=1", "ü"], [3, 4])])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["x", 'a "b", c\nd', "'@x"], ["'=1", "-1", "3"], ["ü", "2", "4"]]


def test_a_figure_without_lines_is_an_empty_table():
    """And still a table."""
    assert csv_of(Figure()) == b"\n"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8, unique=True).map(sorted), min_size=1, max_size=4))
def test_joining_loses_and_invents_nothing(columns):
    """Each line can be had back from the table, for any x."""
    text = csv_text([(f"line {number}", x, numpy.array(x) * 10 + number) for number, x in enumerate(columns)])
    header, *rows = csv.reader(io.StringIO(text))
    assert [int(row[0]) for row in rows] == sorted(set().union(*columns))
    for number, x in enumerate(columns):
        column = header.index(f"line {number}")
        found = [(int(row[0]), int(row[column])) for row in rows if row[column]]
        assert found == [(each, each * 10 + number) for each in x]
