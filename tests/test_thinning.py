"""plots/thinning.py: long lines are drawn with the few points that show."""

import gc
import io
import os

os.environ["MPLBACKEND"] = "agg"

import matplotlib
import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plots import thinning

ROWS = 60_000
STEPS = numpy.arange(ROWS)
RANDOM = numpy.random.default_rng(1)
NOISE = 1 + 3 * numpy.exp(-STEPS / 12_000) + 0.1 * RANDOM.standard_normal(ROWS)
WALK = 10 + 0.01 * RANDOM.standard_normal(ROWS).cumsum()
WITH_GAPS = numpy.where((STEPS % 15_000 < 2_500) | (STEPS % 7_001 == 0), numpy.nan, WALK)
AS_IT_IS = {"path.simplify": False, "agg.path.chunksize": 0}


@pytest.fixture(autouse=True)
def close_figures():
    """Every test leaves pyplot as it found it."""
    yield
    plt.close("all")


def axes_of_figure():
    """Axes of a figure that belongs to no pyplot, small and without ticks so that it is drawn quickly."""
    axes = Figure(figsize=(3, 2), dpi=100).add_subplot()
    axes.set_axis_off()
    return axes


def pixels(figure):
    """The picture of a figure, as an array."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png")
    return plt.imread(io.BytesIO(memory.getvalue()))


def difference(picture, other):
    """How much two pictures differ, in pixels that go from black to white."""
    return numpy.abs(picture - other)[..., :3].mean(axis=-1).sum()


def is_as_good(plot):
    """Is the thinned picture as near to the one with all points as the one that matplotlib simplifies?"""
    with thinning.thinning() as thinned:
        thin = pixels(plot())
        assert thinned.notes
    with matplotlib.rc_context(AS_IT_IS):
        whole = pixels(plot())
    differs = difference(thin, whole)
    return differs <= 2 or differs <= difference(pixels(plot()), whole) + 2


def is_thinned(plot):
    """Whether anything that this function draws is thinned."""
    with thinning.thinning() as thinned:
        pixels(plot())
        return bool(thinned.notes)


def path_length(line):
    """How many points the line is drawn with."""
    return len(line.get_path().vertices)


# -- the picture


@pytest.mark.parametrize("x_scale", ["linear", "log"])
@pytest.mark.parametrize("y_scale", ["linear", "log"])
@pytest.mark.parametrize("y", [NOISE, WALK], ids=["noise", "walk"])
def test_the_picture_is_as_good_as_a_simplified_one(y, x_scale, y_scale):
    """It differs from the picture with all points by no more than matplotlib's own simplification makes it."""

    def plot():
        axes = axes_of_figure()
        axes.set(xscale=x_scale, yscale=y_scale)
        axes.plot(STEPS + 1, y)
        return axes.figure

    assert is_as_good(plot)


@pytest.mark.parametrize("y_scale", ["symlog", "asinh", "logit"])
def test_the_picture_is_as_good_on_other_scales(y_scale):
    """Whatever keeps the order of numbers keeps the lowest and the highest."""

    def plot():
        axes = axes_of_figure()
        axes.set_yscale(y_scale)
        axes.plot(STEPS, WALK / 20)
        return axes.figure

    assert is_as_good(plot)


@pytest.mark.parametrize("style", [{"linestyle": "--"}, {"alpha": 0.5}, {"linewidth": 0.4}, {"drawstyle": "steps-mid"}])
def test_the_picture_is_as_good_in_other_styles(style):
    """Dashes, transparent, thin and stepped lines look as they did."""

    def plot():
        axes = axes_of_figure()
        axes.plot(STEPS, WALK, **style)
        return axes.figure

    assert is_as_good(plot)


def test_a_gap_stays_a_gap():
    """Where there is no number, no line is drawn, however many points are left out beside it."""

    def plot():
        axes = axes_of_figure()
        axes.plot(STEPS, WITH_GAPS)
        return axes.figure

    assert is_as_good(plot)


@pytest.mark.parametrize("every", [2, 3, 10])
def test_numbers_between_gaps_are_not_joined(every):
    """Where gaps are everywhere, the line is drawn whole."""

    def plot():
        axes = axes_of_figure()
        axes.plot(STEPS, numpy.where(STEPS % every, WALK, numpy.nan))
        return axes.figure

    with thinning.thinning() as thinned:
        thin = pixels(plot())
        assert not thinned.notes
    assert difference(thin, pixels(plot())) == 0


@pytest.mark.parametrize(
    ("x", "y"),
    [(-STEPS, WALK), (numpy.sqrt(STEPS), WALK), (STEPS // 3, NOISE), (STEPS.astype("M8[s]"), NOISE)],
    ids=["falls", "is uneven", "repeats itself", "is a time"],
)
def test_x_may_fall_be_uneven_repeat_itself_or_be_a_time(x, y):
    """It is enough that x never turns back."""

    def plot():
        axes = axes_of_figure()
        axes.plot(x, y)
        return axes.figure

    assert is_as_good(plot)


@pytest.mark.parametrize("limits", [(25_000, 25_400), (45_000, 30_000), (-500_000, 1_000_000)])
def test_a_narrower_view_is_thinned_from_all_points(limits):
    """What is seen through other limits is as good as the whole line, also where they are set after the line."""

    def plot():
        axes = axes_of_figure()
        axes.plot(STEPS, NOISE)
        axes.set_xlim(limits)
        return axes.figure

    assert is_as_good(plot)


def test_several_axes_are_seen_each_on_its_own():
    """Twins, insets and sub-figures are thinned for their own limits and sizes."""

    def plot():
        left, right = Figure(figsize=(4, 2), dpi=100, layout="constrained").subfigures(1, 2)
        axes = left.subplots()
        axes.plot(STEPS, WALK)
        axes.twinx().plot(STEPS, NOISE, color="C1")
        axes.inset_axes((0.5, 0.5, 0.5, 0.5), xlim=(1_000, 2_000)).plot(STEPS, WALK)
        above, below = right.subplots(2, sharex=True)
        above.plot(STEPS, WALK)
        below.semilogx(STEPS, NOISE)
        return left.figure

    assert is_as_good(plot)


@pytest.mark.parametrize("format", ["svg", "pdf"])
def test_vector_formats_shrink(format):
    """A file holds the points that show, not all of them."""

    def size():
        axes = axes_of_figure()
        axes.plot(STEPS, WALK)
        memory = io.BytesIO()
        axes.figure.savefig(memory, format=format)
        return memory.tell()

    with thinning.thinning():
        thin = size()
    with matplotlib.rc_context(AS_IT_IS):
        assert thin < size() / 4


def test_fit_makes_vector_formats_finer():
    """They are drawn at 72 dots an inch, but looked at with more."""
    axes = axes_of_figure()
    with thinning.thinning() as thinned:
        [line] = axes.plot(STEPS, WALK)
        lengths = []
        for dpi in (72, 300):
            thinned.fit(axes.figure, dpi)
            axes.figure.savefig(io.BytesIO(), format="svg")
            lengths.append(path_length(line))
    assert lengths[0] < lengths[1]


# -- what is left alone


def plots_left_alone():
    """Functions that draw a long line on axes that they are given, which could look different with fewer points."""
    return {
        "marker": lambda axes: axes.plot(STEPS, WALK, marker="o", linestyle=""),
        "format": lambda axes: axes.plot(STEPS, WALK, ".-"),
        "to and fro": lambda axes: axes.plot(WALK, STEPS),
        "x with gaps": lambda axes: axes.plot(numpy.where(STEPS % 999, STEPS, numpy.nan), WALK),
        "masked": lambda axes: axes.plot(STEPS, numpy.ma.masked_greater(WALK, 10)),
        "other place": lambda axes: axes.plot(STEPS / ROWS, WALK / 20, transform=axes.transAxes),
        "unclipped": lambda axes: axes.plot(STEPS, WALK, clip_on=False),
        "hand-drawn": lambda axes: axes.plot(STEPS, WALK, sketch_params=1),
        "own scale": lambda axes: (axes.plot(STEPS, WALK), axes.set_xscale("function", functions=(numpy.cbrt, cube))),
        "masking scale": lambda axes: axes.semilogy(STEPS, WALK - 10, nonpositive="mask"),
        "no number": lambda axes: axes.plot(STEPS, numpy.full(ROWS, numpy.nan)),
        "fill": lambda axes: axes.fill_between(STEPS, WALK),
        "short": lambda axes: axes.plot(STEPS[:9_999], WALK[:9_999]),
    }


def cube(x):
    return x**3


@pytest.mark.parametrize("name", plots_left_alone())
def test_what_could_look_different_is_left_alone(name):
    """Markers, fills, x that turns back and whatever is not surely safe are drawn with all points."""

    def plot():
        axes = Figure(figsize=(1, 1), dpi=50).add_subplot()
        axes.set_axis_off()
        plots_left_alone()[name](axes)
        return axes.figure

    with thinning.thinning() as thinned:
        thin = pixels(plot())
        assert not thinned.notes
    assert difference(thin, pixels(plot())) == 0


@pytest.mark.parametrize("projection", ["polar", "3d"])
def test_axes_that_are_not_straight_are_left_alone(projection):
    """On polar and three-dimensional axes, columns of pixels say nothing."""

    def plot():
        axes = Figure(figsize=(1, 1), dpi=50).add_subplot(projection=projection)
        axes.plot(STEPS, WALK)
        return axes.figure

    assert not is_thinned(plot)


# -- what the plot's own code sees


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("y", [NOISE, WITH_GAPS, STEPS - 1_000, numpy.where(STEPS < 99, numpy.inf, WALK)])
def test_limits_are_those_of_all_points(y, scale):
    """Autoscaling comes out exactly as with the whole line, also on logarithmic axes and when done anew."""

    def limits():
        axes = axes_of_figure()
        axes.set(xscale=scale, yscale=scale)
        axes.plot(STEPS - 15_000, y)
        axes.plot(STEPS, y + 1)
        first = axes.axis(), axes.dataLim.minpos.tolist()
        axes.figure.canvas.draw()
        axes.relim()
        axes.autoscale_view()
        return first, axes.axis()

    with thinning.thinning():
        thin = limits()
    assert thin == limits()


def test_a_line_answers_for_all_its_points():
    """A mean of what is drawn, for a legend say, would not be the mean."""
    axes = axes_of_figure()
    with thinning.thinning():
        [line] = axes.plot(STEPS, WALK)
        for _ in range(2):
            assert numpy.array_equal(line.get_ydata(), WALK)
            assert numpy.array_equal(line.get_xdata(orig=False), STEPS)
            assert numpy.array_equal(line.get_xydata()[:, 1], WALK)
            axes.figure.canvas.draw()
        assert path_length(line) < ROWS / 4


def test_a_line_may_be_given_other_data():
    """set_data after the plot: the picture is that of the new data, long or short."""
    axes = axes_of_figure()
    with thinning.thinning() as thinned:
        [line] = axes.plot(STEPS, WALK)
        line.set_ydata(NOISE)
        assert path_length(line) < ROWS / 4
        assert line.get_path().get_extents().ymax == NOISE.max()
        line.set_data([1, 2], [3, 4])
        assert line.get_path().vertices.tolist() == [[1, 3], [2, 4]]
        assert not thinned.notes


def test_a_column_that_is_changed_after_its_line_was_made_does_no_harm():
    """As always in matplotlib, a line keeps the numbers that it was given."""
    axes, y = axes_of_figure(), WALK.copy()
    with thinning.thinning():
        [line] = axes.plot(STEPS, y)
        y[:] = 0
        axes.figure.canvas.draw()
        assert line.get_path().get_extents().ymax == WALK.max()


def test_lines_are_the_same_but_for_their_points():
    """Colours, labels, order and types are what they are without thinning."""

    def described():
        axes = axes_of_figure()
        lines = axes.plot(STEPS, numpy.column_stack([WALK, NOISE]), label=["walk", "noise"])
        lines += axes.plot(STEPS, WALK, "r--", STEPS[:9], WALK[:9], "bo", linewidth=3)
        lines += axes.plot("step", "loss", data={"step": STEPS, "loss": WALK})
        assert [*axes.lines] == lines
        return [
            (type(line), line.get_color(), line.get_label(), line.get_linestyle(), len(line.get_ydata()))
            for line in lines
        ]

    with thinning.thinning():
        thin = described()
    assert thin == described()


def test_pandas_draws_thinned_lines():
    """DataFrame.plot calls Axes.plot, and a Series is a column."""
    with thinning.thinning() as thinned:
        pandas.DataFrame({"walk": WALK, "noise": NOISE}).plot(figsize=(3, 2)).figure.canvas.draw()
        assert thinned.notes[0].startswith("2 lines of 60,000 points are drawn with at most ")


def test_afterwards_matplotlib_is_as_before():
    """No method stays replaced, after an error neither, and lines that live on are whole."""
    before = {name: getattr(Line2D, name) for name in thinning.Thinning.METHODS}
    with pytest.raises(ZeroDivisionError), thinning.thinning():
        [line] = axes_of_figure().plot(STEPS, WALK)
        raise ZeroDivisionError
    assert before == {name: getattr(Line2D, name) for name in thinning.Thinning.METHODS}
    assert path_length(line) == ROWS


def test_thinning_can_be_off():
    """thin=0 draws everything."""
    with thinning.thinning(on=False) as thinned:
        [line] = axes_of_figure().plot(STEPS, WALK)
        thinned.fit(line.figure, 100)
        assert path_length(line) == ROWS
        assert thinned.notes == []


def test_a_line_that_cannot_be_thinned_is_drawn_whole(monkeypatch):
    """A mistake in thinning costs time and a warning, never the picture."""
    monkeypatch.setattr(thinning, "are_hidden", lambda strips, y: 1 / 0)
    with thinning.thinning() as thinned, pytest.warns(UserWarning, match="could not be thinned: ZeroDivisionError"):
        [line] = axes_of_figure().plot(STEPS, WALK)
    assert path_length(line) == ROWS
    assert thinned.notes == []


# -- notes


def test_the_note_tells_of_one_line():
    """How many points there are, how many are drawn, and how to see them all."""
    with thinning.thinning() as thinned:
        [line] = axes_of_figure().plot(STEPS, WALK)
        [note] = thinned.notes
        line.remove()
        assert thinned.notes == []
    assert note.startswith("1 line of 60,000 points is drawn with ")
    assert note.endswith("; thin=0 draws them all.")


def test_the_note_tells_of_lines_of_several_lengths():
    """They are counted together."""
    with thinning.thinning() as thinned:
        axes = axes_of_figure()
        axes.plot(STEPS, WALK)
        axes.plot(STEPS[1:], WALK[1:])
        [note] = thinned.notes
    assert note.startswith("2 lines of up to 60,000 points are drawn with at most ")
    assert note.endswith(" each; thin=0 draws them all.")


# -- columns that only grow


def grown(array, rows):
    """The marks of a column that is remembered, after it grew to each of these numbers of rows."""
    thinning.only_grows(array)
    for count in rows:
        blocks = thinning.summary_of(array[:count], thinning.Blocks)
    return blocks


def column_of_row(rows):
    """The screen's columns have a hundred rows each."""
    return rows / 100


NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, -1.0, numpy.nan]))


@settings(deadline=None, max_examples=40)
@given(st.lists(NUMBERS, min_size=1, max_size=40), st.lists(st.integers(1, 1_500), min_size=1, max_size=5))
def test_what_is_remembered_is_what_would_be_found_afresh(numbers, rows):
    """However a column grew, it is thinned like one that was always there, as is its beginning."""
    array = numpy.resize(numpy.array(numbers), 1_500)
    remembered = grown(array, rows)
    for count in rows:
        column = array[:count]
        fresh = thinning.summary_of(column.copy(), thinning.Blocks)
        assert remembered.picks(column, column_of_row).tolist() == fresh.picks(column, column_of_row).tolist()
        assert remembered.outstanding(column).tolist() == fresh.outstanding(column).tolist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=200), st.lists(st.integers(2, 200), max_size=4))
def test_the_direction_of_a_column_is_remembered(steps, rows):
    """It may turn back later, and yet its beginning rises."""
    array = numpy.cumsum(numpy.array(steps) - 0.5)
    thinning.only_grows(array)
    for count in [*rows, len(array)]:
        column = array[:count]
        change = numpy.diff(column)
        expected = 1 if (change >= 0).all() else -1 if (change <= 0).all() else 0
        assert thinning.summary_of(column, thinning.Order).direction(column) == expected


@pytest.mark.parametrize(
    "column_of",
    [
        lambda frame: frame["loss"],
        lambda frame: frame.loss,
        lambda frame: frame["loss"].to_numpy(),
        lambda frame: frame.copy(deep=False)["loss"],
        lambda frame: frame.rename(columns=str.strip)["loss"],
        lambda frame: frame[["step", "loss"]].dropna()["loss"],
    ],
)
def test_a_buffer_is_recognised_through_pandas(column_of):
    """A DataFrame that shares its memory hands out views, and no number is copied."""
    steps, losses = STEPS.copy(), WALK.copy()
    thinning.only_grows(losses)
    frame = pandas.DataFrame({"step": steps[:50_000], "loss": losses[:50_000]}, copy=False)
    with thinning.thinning():
        [line] = axes_of_figure().plot(column_of(frame))
        assert numpy.shares_memory(line.get_ydata(), losses)


@pytest.mark.parametrize("view", [lambda a: a[1:], lambda a: a[::2], lambda a: a.view("i8"), lambda a: a.copy()])
def test_other_views_are_not_taken_for_the_beginning(view):
    """Only the first rows, side by side and of the same type, are what is remembered."""
    array = WALK.copy()
    thinning.only_grows(array)
    assert thinning.buffer_of(array[:9]).rows == ROWS
    assert thinning.buffer_of(view(array)) is None


def test_what_is_remembered_goes_with_its_array():
    """A log that is forgotten leaves nothing behind."""
    array = WALK.copy()
    grown(array, [ROWS])
    key = thinning.key_of(array)
    assert key in thinning.REMEMBERED
    del array
    gc.collect()
    assert key not in thinning.REMEMBERED
