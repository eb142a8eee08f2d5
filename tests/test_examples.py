"""plots/examples.py and plots/machine.py: small plots that teach what a signature becomes."""

import datetime
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

os.environ["MPLBACKEND"] = "agg"

import matplotlib.pyplot as plt
import numpy as np
import pytest

PLOTS = Path(__file__).parent.parent / "plots"
SVG = "{http://www.w3.org/2000/svg}"


def load(name):
    spec = importlib.util.spec_from_file_location(f"plots_{name}", PLOTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


examples = load("examples")
machine = load("machine")

FIGURES = {
    "sine": examples.plot_sine,
    "schedule": examples.plot_schedule,
    "dice": examples.plot_dice,
    "descent": examples.plot_descent,
    "daylight": examples.plot_daylight,
    "smoothing": examples.plot_smoothing,
}


@pytest.fixture(autouse=True)
def close_figures():
    """Every test leaves pyplot as it found it."""
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_an_example_has_title_and_labels_and_needs_no_arguments(name):
    """Each opens straight away and says what it shows."""
    axes = FIGURES[name]().axes[0]
    assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel()


@pytest.mark.parametrize("plot", [*FIGURES.values(), examples.plot_spirals, machine.plot_machine])
def test_an_example_begins_its_docstring_with_a_title(plot):
    """The first line is what the gallery shows: short, and without a full stop."""
    title = plot.__doc__.splitlines()[0]
    assert 10 < len(title) < 60
    assert not title.endswith(".")


@pytest.mark.parametrize("freq", [1.0, 2.5, 50])
def test_the_sine_wave_has_the_frequency_asked_for(freq):
    """It rises through zero freq times a second, for two seconds."""
    [line] = examples.plot_sine(freq).axes[0].get_lines()
    values = line.get_ydata()
    assert np.sum((values[:-1] < -1e-9) & (values[1:] > -1e-9)) == pytest.approx(2 * freq, abs=1)
    assert max(values) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("freq", [0, -1, 51, float("nan")])
def test_the_sine_wave_refuses_what_it_cannot_draw(freq):
    """The message says which numbers there are to choose from."""
    with pytest.raises(ValueError, match="choose a number above 0 and up to 50"):
        examples.plot_sine(freq)


@pytest.mark.parametrize(
    ("shape", "first", "last"),
    [("constant", 0.1, 0.1), ("step", 0.1, 1e-4), ("cosine", 0.1, 0), ("one cycle", 0.004, 0)],
)
def test_the_schedule_begins_and_ends_as_its_name_says(shape, first, last):
    """Each choice is a curve of its own over 100 epochs."""
    axes = examples.plot_schedule(shape).axes[0]
    [line] = axes.get_lines()
    assert line.get_ydata()[[0, -1]] == pytest.approx([first, last])
    assert shape in axes.get_title()


@pytest.mark.parametrize(("dice", "sums", "highest"), [(1, range(1, 7), 100 / 6), (2, range(2, 13), 100 / 6)])
def test_the_chances_of_dice_are_right(dice, sums, highest):
    """One bar for each sum, and all chances together are certain."""
    bars = examples.plot_dice(dice).axes[0].patches
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in bars] == list(sums)
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    assert max(bar.get_height() for bar in bars) == pytest.approx(highest)


def test_momentum_brings_the_descent_nearer_to_the_minimum():
    """The switch shows why people use momentum."""
    path = {momentum: examples.plot_descent(momentum).axes[0].get_lines()[0] for momentum in [True, False]}
    distance = {momentum: np.hypot(*line.get_xydata()[-1]) for momentum, line in path.items()}
    assert distance[True] < 0.2 < 1 < distance[False]


@pytest.mark.parametrize(
    ("day", "north", "south"), [((2026, 6, 21), 24, 0), ((2026, 12, 21), 0, 24), ((2024, 12, 31), 0, 24)]
)
def test_the_longest_day_is_at_the_pole_of_summer(day, north, south):
    """The sun does not set at one pole and does not rise at the other; the equator has 12 hours."""
    axes = examples.plot_daylight(datetime.date(*day)).axes[0]
    outline = axes.collections[0].get_paths()[0].vertices
    hours = {latitude: max(y for x, y in outline if x == latitude) for latitude in (-90, 0, 90)}
    assert hours == pytest.approx({-90: south, 0: 12, 90: north})


@pytest.mark.parametrize("weights", [(), (0.0,), (0.5, 0.9, 0.99)])
def test_each_weight_is_a_smoothed_curve(weights):
    """The logged curve is there, and one for each weight, which is smoother than it."""
    logged, *smoothed = examples.plot_smoothing(weights).axes[0].get_lines()
    assert [line.get_label() for line in smoothed] == [f"smoothed with {weight:g}" for weight in weights]
    for weight, line in zip(weights, smoothed, strict=True):
        rougher, smoother = (np.std(np.diff(curve.get_ydata())) for curve in (logged, line))
        assert smoother < rougher if weight else smoother == pytest.approx(rougher)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, -0.1), (float("nan"),)])
def test_a_weight_outside_its_range_is_refused(weights):
    """A weight of 1 would never move."""
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        examples.plot_smoothing(weights)


def test_the_spirals_are_drawn_on_the_axes_handed_over():
    """Two clouds of points, one for each class, and no other figure."""
    figure, axes = plt.subplots()
    assert examples.plot_spirals(axes) is None
    assert [len(cloud.get_offsets()) for cloud in axes.collections] == [400, 400]
    assert plt.get_fignums() == [figure.number]


def test_the_machine_is_an_svg_with_a_bar_for_the_disk():
    """It is well-formed, and every text in it has a place."""
    root = ElementTree.fromstring(machine.plot_machine())
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert root.tag == f"{SVG}svg"
    assert any(text.startswith("Disk of ") for text in texts)
    assert any(text.endswith(" GB free") for text in texts)


def test_the_machine_is_drawn_anew_each_time():
    """No file's age tells how much memory is used."""
    assert machine.plot_machine.volatile is True


@pytest.mark.parametrize(("share", "color", "width"), [(0.5, "GREEN", 280), (0.8, "ORANGE", 448), (1.7, "RED", 560)])
def test_a_bar_is_as_long_as_its_share_and_ends_at_the_edge(share, color, width):
    """More processes than cores fill the bar; the number tells how many more."""
    shapes = "".join(machine.bar_shapes("a", share, "b", top=0))
    _, bar = ElementTree.fromstring(f"<g>{shapes}</g>").findall("rect")
    assert (bar.get("fill"), float(bar.get("width"))) == (getattr(machine, color), width)


def test_a_folder_name_cannot_write_markup(tmp_path, monkeypatch):
    """What comes from outside is escaped where the SVG is written."""
    folder = tmp_path / "<b> & co"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert b"Disk of &lt;b&gt; &amp; co<" in machine.plot_machine()


def test_the_machine_needs_the_standard_library_only():
    """Neither matplotlib nor numpy: it draws on a bare Python, without site-packages."""
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['plot_machine']().decode())"
    command = [sys.executable, "-I", "-S", "-c", code, PLOTS / "machine.py"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("<svg ")
