"""Rendering: whatever a plot does, it does it in a process of its own, and harms nobody else."""

import concurrent.futures
import importlib.machinery
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from multiprocessing import spawn
from pathlib import Path

import pytest
from serving import PATIENCE, eventually, is_running

import plotsrv

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 0.5  # seconds, for what never ends

HEALTHY = """
import os
import matplotlib.pyplot as plt

def plot_healthy(power: int = 2):
    "A parabola"
    figure, axes = plt.subplots()
    axes.plot([x ** power for x in range(50)])
    axes.set_title(f"{os.getcwd()}, {os.environ.get('MOOD')}, {len(plt.get_fignums())} open")
    return figure

def plot_random():
    import random
    import numpy
    print(numpy.random.rand(), random.random())
    return plot_healthy()

def plot_pid():
    print(os.getpid())
    return plot_healthy()
"""

HOSTILE = """
import ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path
import matplotlib
import matplotlib.pyplot as plt

HERE = Path(__file__).parent

def note(name, text):
    with open(HERE / name, "a") as file:
        file.write(f"{text}\\n")

def figure():
    return plt.subplots()[0]

# those that fail

def plot_raises(): raise ValueError("no such luck")
def plot_leaves(): os._exit(3)
def plot_kills_itself():
    note("killed", "called")
    os.kill(os.getpid(), signal.SIGKILL)
def plot_terminates_itself(): os.kill(os.getpid(), signal.SIGTERM)
def plot_crashes(): ctypes.string_at(0)
def plot_aborts(): os.abort()
def plot_interrupts(): raise KeyboardInterrupt
def plot_returns_nothing(): pass
def plot_returns_3(): return 3

# one that never ends

def plot_loops():
    while True:
        pass

# those that misbehave, and still return a figure

def plot_prints_much():
    print("first")
    for _ in range(30):
        print("x" * 1_000_000)
    return figure()
def plot_leaves_figures_open():
    for _ in range(5):
        plt.figure()
    return figure()
def plot_switches_the_backend():
    matplotlib.use("svg")
    return figure()
def plot_changes_environment():
    os.environ["MOOD"] = "hostile"
    return figure()
def plot_shows():
    plt.plot([1, 2])
    plt.show()
def plot_starts_a_thread():
    threading.Thread(target=time.sleep, args=[1000]).start()
    return figure()
def plot_starts_a_chatterbox():
    note("chatterbox", subprocess.Popen(["yes"]).pid)
    return figure()
def plot_speaks_in_many_ways():
    print("print")
    print("stderr", file=sys.stderr)
    os.write(1, b"write\\n")
    subprocess.run(["echo", "child"])
    print("\\udcff")
    return figure()

# those the tests talk with

def plot_waits_for_a_file():
    note("waiting", os.getpid())
    while not (HERE / "go").exists():
        time.sleep(0.005)
    print(os.getpid())
    return figure()
def plot_fails_below():
    import helper
    helper.fail()
def plot_fails_twice():
    try:
        {}["first"]
    except KeyError as error:
        raise ValueError("second") from error
def plot_fails_in_matplotlib():
    plt.title("$\\\\nonsense$")
"""

HELPER = """
def fail():
    "Fail inside Python's own library."
    import json
    json.loads("{")
"""


# -- the folder of plots, and the renderers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a healthy plot among hostile ones."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, text in (("healthy", HEALTHY), ("hostile", HOSTILE), ("helper", HELPER)):
        (folder / f"{name}.py").write_text(text)
    return folder


def renderer_of(folder, workers, timeout):
    """A renderer with a shorthand for drawing: `renderer.draw("healthy", power=("3",))`."""
    renderer = plotsrv.Renderer(workers, timeout)

    def start(name, key=None, **texts):
        module = "healthy" if f"plot_{name}(" in HEALTHY else "hostile"
        plot = plotsrv.Plot(source_of(folder, module), f"plot_{name}")
        given = {each: text for each, text in texts.items() if each != "format"}
        job = plotsrv.Job("draw", plot, given, texts.get("format", "png"))
        return renderer.submit(key or object(), job).future

    renderer.start = start
    renderer.draw = lambda name, **texts: start(name, **texts).result(PATIENCE)
    return renderer


def source_of(folder, module):
    return plotsrv.Source(str(folder / f"{module}.py"), str(folder), f"plots_{folder.name}", module)


@pytest.fixture(scope="module")
def renderer(folder):
    """One process for all: what one plot does to it, the next would feel."""
    renderer = renderer_of(folder, workers=1, timeout=PATIENCE)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def pair(folder):
    """Two processes, for what goes on at the same time."""
    pair = renderer_of(folder, workers=2, timeout=PATIENCE)
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def before(renderer):
    """The healthy plot's picture, before anything hostile was drawn."""
    drawing = renderer.draw("healthy")
    assert drawing.status == 200, drawing
    return drawing.image


@pytest.fixture
def notes(folder):
    """What the plots of this test have noted: lines by name; the slate is clean at the start."""
    for name in ("killed", "chatterbox", "waiting", "go"):
        (folder / name).unlink(missing_ok=True)
    return lambda name: (folder / name).read_text().split() if (folder / name).exists() else []


# -- describing and drawing


def test_describe_tells_the_plots_of_a_file_with_their_fields(folder, renderer):
    """A file is imported in a render process, and comes back as plain values."""
    description = renderer.describe(source_of(folder, "healthy"), version=0).result()
    assert (description.error, description.traceback) == ("", "")
    healthy = next(plot for plot in description.plots if plot.function == "plot_healthy")
    assert (healthy.path, healthy.summary, healthy.described) == ("healthy/healthy", "A parabola", True)
    assert [(field.name, field.texts) for field in healthy.fields] == [("power", ("2",))]
    assert str(folder / "healthy.py") in [each.path for each in description.code]


def test_draw_gives_a_picture_with_its_time_and_its_source(folder, renderer):
    """A drawing carries what its page tells: the bytes, when it was drawn, and how long that took."""
    began = time.time()
    drawing = renderer.draw("healthy")
    assert (drawing.status, drawing.content_type, drawing.ending) == (200, "image/png", "png")
    assert drawing.image.startswith(b"\x89PNG") and drawing.output == drawing.error == ""
    assert began <= drawing.drawn_at <= time.time() and 0 < drawing.seconds < PATIENCE
    assert str(folder / "healthy.py") in [each.path for each in drawing.code]


def test_texts_become_the_plots_arguments(renderer, before):
    """What the query says is read in the render process, by the types of the signature."""
    assert renderer.draw("healthy", power=("2",)).image == before
    assert renderer.draw("healthy", power=("3",)).image != before


def test_wrong_texts_come_back_as_errors_beside_their_fields(renderer):
    """A text that is no such value is not the plot's fault: 400, and the plot is not called."""
    drawing = renderer.draw("healthy", power=("two",))
    assert (drawing.status, list(drawing.errors), drawing.traceback) == (400, ["power"], "")


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_equal_drawings_have_equal_bytes_whichever_process_draws_them(renderer, format):
    """Nothing of time or chance is in a picture."""
    first = renderer.draw("healthy", format=format)
    renderer.renew()
    again = renderer.draw("healthy", format=format)
    assert first.status == 200 and first.content_type == plotsrv.IMAGE_TYPES[format]
    assert again.image == first.image


def test_processes_draw_different_random_numbers(renderer):
    """Forked from one parent, render processes do not share its random state."""
    first = renderer.draw("random").output.split()
    renderer.renew()
    assert not set(first) & set(renderer.draw("random").output.split())


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("misspelt", "x = 1\ndef plot_x(:\n", r"SyntaxError: .*\(misspelt\.py, line 2\)"),
        ("lacking", "import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("exiting", "import sys; sys.exit(4)", r"sys\.exit\(4\)"),
        ("leaving", "import os; os._exit(3)", "exit code 3"),
        ("crashing", "import ctypes; ctypes.string_at(0)", r"signal 11 \(SIGSEGV\)"),
        ("endless", "import time\nwhile True: time.sleep(1)", f"Not done within {DEADLINE:g} s"),
    ],
)
def test_a_file_that_cannot_be_imported_is_described_by_its_error(folder, renderer, monkeypatch, module, text, message):
    """Neither an error nor an exit nor an endless loop at import costs more than that file."""
    (folder / f"{module}.py").write_text(text)
    if module == "endless":
        monkeypatch.setattr(renderer, "timeout", DEADLINE)
    description = renderer.describe(source_of(folder, module), version=0).result()
    monkeypatch.undo()
    assert description.plots == () and re.search(message, description.error), description.error
    assert renderer.draw("healthy").status == 200


# -- hostile plots


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "^ValueError: no such luck$"),
        ("terminates_itself", r"died: it was ended by signal 15 \(SIGTERM\)"),
        ("aborts", r"died: it was ended by signal 6 \(SIGABRT\)"),
        ("interrupts", "^KeyboardInterrupt"),
        ("returns_nothing", "returned nothing and left no figure open: return the figure"),
        ("returns_3", "returned int"),
        ("fails_in_matplotlib", r"ParseFatalException|ValueError.*nonsense"),
    ],
)
def test_a_plot_that_fails_says_how_and_the_next_drawing_is_as_before(renderer, before, name, message):
    """Whatever ends a plot is told in one line, and harms no other plot's picture by a byte."""
    drawing = renderer.draw(name)
    assert drawing.status == 500 and not drawing.image
    assert re.search(message, drawing.error), drawing.error
    assert "\n" not in drawing.error
    assert renderer.draw("healthy").image == before


@pytest.mark.parametrize(
    "name",
    [
        "leaves_figures_open",
        "switches_the_backend",
        "changes_environment",
        "shows",
        "starts_a_thread",
        "starts_a_chatterbox",
    ],
)
def test_a_plot_that_misbehaves_is_drawn_and_the_next_drawing_is_as_before(renderer, before, notes, name):
    """What a plot leaves behind, in matplotlib or the process, ends with its drawing."""
    try:
        drawing = renderer.draw(name)
        assert (drawing.status, drawing.error) == (200, "")
        assert renderer.draw("healthy").image == before
    finally:
        for pid in notes("chatterbox"):
            os.kill(int(pid), signal.SIGKILL)


def test_a_plot_killed_from_outside_is_tried_three_times_more_then_reported(renderer, before, notes):
    """A SIGKILL may have been anybody's, and the next one too; but a plot that kills itself does so each time."""
    drawing = renderer.draw("kills_itself")
    assert notes("killed") == ["called"] * plotsrv.TRIES
    assert drawing.status == 500 and not drawing.image
    assert "died: it was ended by signal 9 (SIGKILL)" in drawing.error and "memory" in drawing.error
    assert renderer.draw("healthy").image == before


def test_a_process_that_died_while_idle_costs_no_drawing(renderer, before):
    """A job whose process died before it had begun goes to another one."""
    pid = int(renderer.draw("pid").output)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    assert renderer.draw("healthy").image == before


def test_settings_made_at_the_top_of_a_file_are_those_of_its_plots_alone(folder, renderer, before):
    """A style chosen at import holds each time that file's plots are drawn, and for no other file's."""
    (folder / "styled.py").write_text(
        "import matplotlib.pyplot as plt\n"
        "plt.style.use('dark_background')\n"
        "def plot_styled():\n    plt.plot([1, 2])\n"
        "def plot_plain():\n    plt.style.use('default')\n    plt.plot([1, 2])\n"
    )

    def image(name):
        job = plotsrv.Job("draw", plotsrv.Plot(source_of(folder, "styled"), name))
        return renderer.submit(object(), job).future.result(PATIENCE).image

    styled = image("plot_styled")
    assert renderer.draw("healthy").image == before
    assert image("plot_styled") == styled != image("plot_plain")


# -- what a process must not take, and when another takes its place


@pytest.fixture
def process():
    """A render process as the renderer sees it, with the size and the age that the test wants; none is started."""

    def made(**what):
        process = object.__new__(plotsrv.RenderProcess)
        usual = dict(alive=True, resident=10**8, settled=10**8, processes=1, drawings=3, seconds=1.0, longest=0.1)
        vars(process).update(usual | what)
        process.look = lambda exactly=False: None
        return process

    return made


@pytest.mark.parametrize(
    ("what", "worn"),
    [
        (dict(), False),
        (dict(drawings=199, seconds=100.0), False),
        (dict(drawings=200, seconds=100.0), True),
        (dict(drawings=200, seconds=100.0, longest=2.0), False),
        (dict(drawings=2000, seconds=200.0, longest=2.0), True),
        (dict(resident=4 * 10**8), False),
        (dict(resident=5 * 10**8), True),
        (dict(resident=5 * 10**8, settled=0, drawings=0), False),  # what its modules hold when they are imported
        (dict(resident=5 * 10**8, settled=4 * 10**8), False),
    ],
)
def test_a_process_is_replaced_when_it_has_drawn_often_or_grown_much(process, what, worn):
    """After 200 drawings, where a first drawing costs less than 1 % of them; or at double its size and 200 MB."""
    assert process(**what).is_worn == worn


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((10**9, 0), ""),
        ((3 * 10**9, 0), "more than 2 GB of memory"),
        ((3 * 10**9, 10**9), "more than 2 GB of memory"),
        ((1.5 * 10**9, 1.6 * 10**9), ""),
        ((1.6 * 10**9, 1.5 * 10**9), "more than 2 GB of memory"),
    ],
)
def test_of_all_processes_together_the_largest_is_ended(process, sizes, told):
    """Two plots may share the memory there is in whatever way."""
    renderer = plotsrv.Renderer(memory=2e9)
    renderer.busy = {process(resident=size) for size in sizes}
    first = next(each for each in renderer.busy if each.resident == sizes[0])
    reason = renderer.excess(first)
    assert told in reason and bool(reason) == bool(told)


def test_a_plot_that_starts_processes_without_end_is_ended(process):
    """64 are enough for whatever reads data."""
    assert plotsrv.Renderer().excess(process(processes=65)).startswith("The plot started more than 64 processes")
    assert plotsrv.Renderer().excess(process(processes=64)) == ""


def test_the_memory_of_a_machine_is_told():
    """In a container, what that may use."""
    assert 10**8 < plotsrv.machine_bytes() < float("inf")


@pytest.mark.parametrize("name", ["patches_matplotlib", "leaves_a_thread", "leaves_files_open"])
def test_a_process_that_a_plot_has_spoilt_draws_no_other(renderer, folder, before, name):
    """Its own picture is shown; the next plot is drawn by a process that knows nothing of it."""
    (folder / "spoiling.py").write_text(SPOILING)
    job = plotsrv.Job("draw", plotsrv.Plot(source_of(folder, "spoiling"), f"plot_{name}"))
    drawing = renderer.submit(object(), job).wait(PATIENCE)
    assert drawing.status == 200
    assert renderer.draw("healthy").image == before
    assert int(renderer.draw("pid").output) != int(drawing.output)


def test_a_file_that_patches_matplotlib_when_it_is_imported_means_that(renderer, folder):
    """What a module does at its top holds for all its drawings, and costs no process."""
    (folder / "meant.py").write_text(SPOILING.replace("def plot_patches_matplotlib():", "if True:") + KEEPING)
    job = plotsrv.Job("draw", plotsrv.Plot(source_of(folder, "meant"), "plot_pid"))
    pids = {renderer.submit(object(), job).wait(PATIENCE).output.split()[-1] for _ in range(3)}
    assert len(pids) == 1


SPOILING = """
import os, threading
import matplotlib.axes
import matplotlib.pyplot as plt

kept = []

def plot_patches_matplotlib():
    matplotlib.axes.Axes.set_title = lambda self, text: None
    print(os.getpid())
    plt.plot([1, 2])

def plot_leaves_a_thread():
    threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start()
    print(os.getpid())
    plt.plot([1, 2])

def plot_leaves_files_open():
    kept.extend(open(os.devnull) for _ in range(200))
    print(os.getpid())
    plt.plot([1, 2])
"""
KEEPING = """
def plot_pid():
    print(os.getpid())
    plt.plot([1, 2])
"""


# -- who waits for a drawing


def flight(**changes):
    """A job that has not begun yet."""
    return plotsrv.Flight(concurrent.futures.Future(), 0.0, **changes)


def test_a_drawing_that_nobody_waits_for_any_more_is_not_begun(monkeypatch):
    """The last who leaves cancels it."""
    monkeypatch.setattr(plotsrv, "LEFT_SECONDS", 0.001)
    lonely, shared = flight(), flight(waiting=1)
    for each in (lonely, shared):
        with pytest.raises(concurrent.futures.CancelledError):
            each.wait(left=lambda: True)
    assert lonely.future.cancelled() and not shared.future.cancelled()


def test_a_page_that_does_not_wait_for_its_drawing_lets_it_go_on():
    """It comes again a second later."""
    patient = flight()
    with pytest.raises(TimeoutError):
        patient.wait(0.001)
    patient.future.set_result("drawing")
    assert patient.wait(0.001) == "drawing" and not patient.waiting


def test_one_client_takes_half_of_the_queue_at_most(folder):
    """So that somebody else is drawn for, too; live pictures, which are everybody's, are not counted."""
    renderer = plotsrv.Renderer()
    renderer.pool.submit = lambda *_: concurrent.futures.Future()
    job = plotsrv.Job("draw", None)
    for number in range(plotsrv.QUEUED_EACH):
        renderer.submit(number, job, client="10.0.0.1")
    with pytest.raises(plotsrv.QueueFull):
        renderer.submit("one more", job, client="10.0.0.1")
    renderer.submit("another's", job, client="10.0.0.2")
    for number in range(15):
        renderer.submit(("live", number), job)
    with pytest.raises(plotsrv.QueueFull):
        renderer.submit("too much for all", job, client="10.0.0.3")


# -- what a plot prints


def test_what_a_plot_prints_is_kept_with_its_drawing(renderer):
    """Whatever way it takes: print, stderr, the descriptor itself, a program that the plot runs."""
    output = renderer.draw("speaks_in_many_ways").output
    for word in ("print", "stderr", "write", "child", "\\udcff"):
        assert f"{word}\n" in output


def test_a_plot_that_prints_much_keeps_the_first_64_kib_and_says_how_much_was_dropped(renderer):
    """30 MB of output cost a page no more than 64 KiB."""
    drawing = renderer.draw("prints_much")
    assert (drawing.status, drawing.error) == (200, "")
    kept, _, rest = drawing.output.rpartition("\n")
    assert kept.startswith("first\nxxx") and len(kept) == plotsrv.OUTPUT_BYTES
    dropped = 6 + 30 * 1_000_001 - plotsrv.OUTPUT_BYTES
    assert rest == f"… and {dropped:,} bytes more"


def test_the_output_of_one_drawing_is_not_that_of_the_next(renderer):
    """Each drawing shows what was printed while it was drawn."""
    renderer.draw("speaks_in_many_ways")
    assert renderer.draw("healthy").output == ""


def test_a_crash_leaves_the_place_in_the_output(renderer):
    """A segmentation fault has no traceback, but faulthandler's."""
    output = renderer.draw("crashes").output
    assert "Segmentation fault" in output and "in plot_crashes" in output


# -- tracebacks


def test_a_traceback_is_cut_to_the_users_frames(folder, renderer):
    """A user reads the lines they wrote, not plotsrv's, nor Python's."""
    trace = renderer.draw("fails_below").traceback
    files = re.findall(r'File "(.*?)"', trace)
    assert files == [str(folder / "hostile.py"), str(folder / "helper.py")]
    assert "helper.fail()" in trace and 'json.loads("{")' in trace
    assert trace.rstrip().splitlines()[-1].startswith("json.decoder.JSONDecodeError: ")


def test_a_traceback_keeps_the_causes(renderer):
    """An error raised from another shows both, each cut to the user's frames."""
    trace = renderer.draw("fails_twice").traceback
    assert trace.index("KeyError: 'first'") < trace.index("direct cause") < trace.index("ValueError: second")
    assert "plotsrv.py" not in trace


def test_an_error_text_is_always_a_text_that_can_be_sent(folder, renderer):
    """An error that names a file whose name is no UTF-8 does not make the page fail too."""
    (folder / "odd.py").write_text("def plot_odd():\n    raise ValueError('no header in \\udcff.csv')\n")
    job = plotsrv.Job("draw", plotsrv.Plot(source_of(folder, "odd"), "plot_odd"))
    drawing = renderer.submit(object(), job).future.result(PATIENCE)
    assert "no header in" in drawing.error
    (drawing.error + drawing.traceback).encode()


# -- what a drawing tells of its picture


def test_a_drawing_tells_what_is_worth_a_title(folder, renderer):
    """The last value of the first line, for a tab in the background."""
    assert renderer.draw("healthy", power=("2",)).headline == "2.4e+03"


def test_a_drawing_thins_its_lines_unless_it_is_asked_not_to(folder, renderer):
    """A line of very many points is drawn with those that show, and the page says so."""
    (folder / "long.py").write_text(
        "import numpy\nimport matplotlib.pyplot as plt\n"
        "def plot_long():\n"
        "    figure = plt.figure(figsize=(1, 1))\n"
        "    figure.add_subplot().plot(numpy.random.default_rng(1).random(100_000))\n"
        "    return figure\n"
    )
    plot = plotsrv.Plot(source_of(folder, "long"), "plot_long")
    jobs = [plotsrv.Job("draw", plot, lens={"thin": thin}) for thin in (True, False)]
    thinned, whole = [renderer.submit(object(), job).future.result(PATIENCE) for job in jobs]
    assert thinned.status == whole.status == 200
    assert thinned.notes and whole.notes == ()


def test_drawings_that_a_page_would_show_differently_have_different_fingerprints():
    """A page's ETag is made of them."""
    plain = plotsrv.Drawing(b"a picture", output="said", drawn_at=1.0)
    others = [dict(image=b"b"), dict(output=""), dict(drawn_at=2.0), dict(headline="3"), dict(seconds=1.0)]
    others += [dict(status=500), dict(error="no"), dict(traceback="where")]
    found = {plotsrv.replace(plain, **other).fingerprint for other in [{}, *others]}
    assert len(found) == 1 + len(others)
    assert plotsrv.replace(plain).fingerprint == plain.fingerprint


def test_equal_pictures_have_one_tag(renderer):
    """Drawn at another time, it is the same picture still."""
    first, again = renderer.draw("healthy"), renderer.draw("healthy")
    assert first.tag == again.tag and first.drawn_at != again.drawn_at
    assert renderer.draw("healthy", power=("3",)).tag != first.tag


def test_a_png_tells_its_pixels(renderer):
    """So that a page keeps its place while a live picture comes."""
    assert renderer.draw("healthy").pixels == (640, 480)
    assert renderer.draw("healthy", format="svg").pixels == plotsrv.Drawing().pixels == (None, None)


# -- remarks


def remarked(renderer, picture, text):
    job = plotsrv.Job("remark", None, picture=picture, remark=text)
    return renderer.submit(object(), job).future.result(PATIENCE)


def test_a_remark_is_written_on_a_picture_in_a_render_process(renderer, before):
    """Another picture of the same size; the server itself knows nothing of pixels."""
    drawing = remarked(renderer, before, "ValueError: no such luck")
    assert drawing.status == 200 and drawing.image != before
    assert drawing.pixels == plotsrv.Drawing(before).pixels


def test_a_remark_on_what_is_no_picture_is_an_error(renderer, before):
    """And harms nothing: the picture is shown without it."""
    drawing = remarked(renderer, b"no picture", "ValueError")
    assert drawing.status == 500 and drawing.error
    assert renderer.draw("healthy").image == before


# -- processes


def test_equal_requests_share_a_drawing(folder, pair, notes):
    """However many ask for the same while it is drawn, the plot is called once."""
    flights = [pair.start("waits_for_a_file", key="the same") for _ in range(5)]
    assert eventually(lambda: notes("waiting"))
    flights.append(pair.start("waits_for_a_file", key="the same"))
    (folder / "go").touch()
    assert len({flight.result(PATIENCE).output for flight in flights}) == 1
    assert len(notes("waiting")) == 1


def test_a_drawing_is_not_shared_with_those_who_come_later(folder, pair, notes):
    """Once it is done, the same request means a new drawing: the data may have changed."""
    (folder / "go").touch()
    for _ in range(2):
        pair.start("waits_for_a_file", key="the same").result(PATIENCE)
    assert len(notes("waiting")) == 2


def test_a_plot_that_hangs_holds_up_no_other(folder, pair, before, notes):
    """While one process is busy, the other draws."""
    slow = pair.start("waits_for_a_file")
    assert eventually(lambda: notes("waiting"))
    assert pair.draw("healthy").image == before and not slow.done()
    (folder / "go").touch()
    assert slow.result(PATIENCE).status == 200


def test_a_crash_harms_no_drawing_that_goes_on_in_another_process(folder, pair, notes):
    """Processes die alone."""
    slow = pair.start("waits_for_a_file")
    assert eventually(lambda: notes("waiting"))
    assert "SIGSEGV" in pair.draw("crashes").error
    (folder / "go").touch()
    assert slow.result(PATIENCE).status == 200


def test_a_plot_goes_to_the_process_that_drew_it_before(folder, pair, notes):
    """What it has read and imported is still in memory there."""
    slow = pair.start("waits_for_a_file")
    assert eventually(lambda: notes("waiting"))
    pid = pair.draw("pid").output
    (folder / "go").touch()
    other = slow.result(PATIENCE).output
    assert pid != other
    assert [pair.draw("pid").output, pair.draw("waits_for_a_file").output] * 2 == [pid, other] * 2


def test_a_second_process_is_started_only_when_it_is_needed(folder):
    """One drawing after another needs one process, whatever --workers allows."""
    renderer = renderer_of(folder, workers=3, timeout=PATIENCE)
    try:
        assert len({renderer.draw("pid").output for _ in range(3)}) == 1
    finally:
        renderer.close()


def test_renew_has_edited_code_used(folder, renderer):
    """New code means new processes: the old ones are ended, and nothing is reloaded in place."""
    source = source_of(folder, "edited")
    job = plotsrv.Job("draw", plotsrv.Plot(source, "plot_edited"))
    pids = []
    for text in ("old", "new"):
        (folder / "edited.py").write_text(
            f"import os\nimport matplotlib.pyplot as plt\ndef plot_edited():\n"
            f"    print(os.getpid(), '{text}')\n    return plt.figure()\n"
        )
        renderer.renew()
        pid, said = renderer.submit(object(), job).future.result(PATIENCE).output.split()
        assert said == text
        pids.append(pid)
    assert eventually(lambda: not is_running(pids[0])) and is_running(pids[1])


def test_a_drawing_under_way_at_renew_is_finished_then_its_process_ends(folder, pair, notes):
    """An edit costs nobody the picture they wait for."""
    slow = pair.start("waits_for_a_file")
    [pid] = eventually(lambda: notes("waiting"))
    pair.renew()
    (folder / "go").touch()
    assert slow.result(PATIENCE).status == 200
    assert eventually(lambda: not is_running(pid))


def test_a_full_queue_refuses_further_drawings(folder, renderer, notes, monkeypatch):
    """Nobody waits behind more drawings than anybody would wait for; descriptions are never refused."""
    monkeypatch.setattr(plotsrv, "QUEUED_DRAWINGS", 4)
    waiting = [renderer.start("waits_for_a_file") for _ in range(4)]
    with pytest.raises(plotsrv.QueueFull, match="Try again"):
        renderer.start("waits_for_a_file")
    source = source_of(folder, "healthy")
    description = renderer.submit("description", plotsrv.Job("describe", source)).future
    (folder / "go").touch()
    assert {flight.result(PATIENCE).status for flight in waiting} == {200}
    assert description.result(PATIENCE).plots
    assert renderer.draw("healthy").status == 200


def test_close_leaves_no_process(folder, notes):
    """Idle, or in an endless loop: all of them are gone, and quickly."""
    renderer = renderer_of(folder, workers=2, timeout=PATIENCE)
    endless = renderer.start("waits_for_a_file")
    [busy] = eventually(lambda: notes("waiting"))
    idle = renderer.draw("pid").output.strip()
    queued = [renderer.start("loops") for _ in range(3)]
    began = time.monotonic()
    renderer.close()
    assert time.monotonic() - began < 3
    assert eventually(lambda: not is_running(busy) and not is_running(idle), 3)
    assert all(each.done() for each in (endless, *queued))
    assert multiprocessing_children_of(busy, idle) == set()


def multiprocessing_children_of(*pids):
    """The processes whose parent is one of these."""
    children = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if path.read_text().rpartition(")")[2].split()[1] in pids:
                children.add(path.parent.name)
        except OSError:
            pass
    return children


SERVER = """
import sys
import plotsrv
folder = sys.argv[1]
source = plotsrv.Source(f"{folder}/endless_ones.py", folder, "plots_1", "endless_ones")
renderer = plotsrv.Renderer(2, timeout=1000)
jobs = [plotsrv.Job("draw", plotsrv.Plot(source, name)) for name in ("plot_waits", "plot_hums")]
for flight in [renderer.submit(number, job) for number, job in enumerate(jobs)]:
    flight.future.result()
"""
ENDLESS_ONES = """
import os, subprocess, time
from pathlib import Path

def note(*pids):
    with open(Path(__file__).parent / "endless", "a") as file:
        print(*pids, file=file)

def plot_waits():
    note(os.getpid())
    time.sleep(1000)

def plot_hums():
    note(os.getpid(), subprocess.Popen(["sleep", "1000"]).pid)
    sum(iter(int, 1))
"""


def test_a_killed_server_leaves_no_render_process_even_in_an_endless_loop(tmp_path):
    """A render process, and what it started, ends with its server, though nobody is there to kill it."""
    (tmp_path / "endless_ones.py").write_text(ENDLESS_ONES)
    noted = tmp_path / "endless"
    command = [sys.executable, "-S", "-c", SERVER, str(tmp_path)]
    server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        assert eventually(lambda: noted.exists() and len(noted.read_text().split()) == 3)
        pids = noted.read_text().split()
        assert all(map(is_running, pids))
    finally:
        server.kill()
        server.wait()
    assert eventually(lambda: not any(map(is_running, pids)))


# -- without processes


def test_printed_keeps_the_first_part_and_counts_the_rest():
    """What comes after the first 64 KiB is read, so that the plot goes on, and dropped."""
    reader, writer = plotsrv.multiprocessing.Pipe(duplex=False)
    printed = plotsrv.Printed(reader)
    amounts = [60_000, 5_000, 1_000, 300]
    for amount in amounts:
        os.write(writer.fileno(), b"x" * amount)
        printed.read()
    os.write(writer.fileno(), b"the end")
    dropped = sum(amounts) + 7 - plotsrv.OUTPUT_BYTES
    assert printed.drained() == "x" * plotsrv.OUTPUT_BYTES + f"\n… and {dropped:,} bytes more"


def test_printed_ends_at_the_end_of_the_pipe():
    """A dead process's pipe is always ready, and never has anything."""
    reader, writer = plotsrv.multiprocessing.Pipe(duplex=False)
    printed = plotsrv.Printed(reader)
    os.write(writer.fileno(), b"caf\xc3\xa9 \xff")
    writer.close()
    assert printed.drained() == "café \ufffd"


def test_printed_does_not_wait_for_one_who_never_stops():
    """What a plot has started may print for ever: the drawing does not wait for that."""
    reader, writer = plotsrv.multiprocessing.Pipe(duplex=False)
    printed = plotsrv.Printed(reader)
    stop = threading.Event()

    def chatter():
        while not stop.is_set():
            os.write(writer.fileno(), b"y\n" * 4096)

    threads = [threading.Thread(target=chatter, daemon=True) for _ in range(2)]
    waiter = threading.Thread(target=printed.drained, daemon=True)
    for thread in [*threads, waiter]:
        thread.start()
    waiter.join(5)
    ended = not waiter.is_alive()
    stop.set()
    eventually(lambda: printed.drained() and not any(thread.is_alive() for thread in threads), 5)
    assert ended


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError


def compile_error(text):
    try:
        compile(text, "/home/me/plots/mine.py", "exec")
    except SyntaxError as error:
        return error


def with_note(error, note):
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such luck"), "ValueError: no such luck"),
        (ValueError(), "ValueError"),
        (KeyError("loss"), "KeyError: 'loss'"),
        (SystemExit(7), "The plot's code called sys.exit(7)."),
        (SystemExit("bye"), "The plot's code called sys.exit('bye')."),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (compile_error("x = 1\ny = = 2\n"), "SyntaxError: invalid syntax (mine.py, line 2)"),
        (compile_error("if 1:\nx"), "(mine.py, line 2)"),
        (Speechless(), "Speechless: <exception str() failed>"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), "No such file or directory: 'x.csv'"),
        (ValueError("first\nsecond"), "ValueError: first second"),
        (with_note(ValueError("no header"), "while reading x.csv"), "ValueError: no header"),
    ],
)
def test_error_line_tells_an_exception_in_one_line(error, line):
    """One line, with the file and the line number where the source itself is wrong."""
    told = plotsrv.error_line(error)
    assert line in told and "\n" not in told


def raised(call):
    """The exception that a call raises."""
    try:
        call()
    except Exception as error:
        return error


def test_users_traceback_drops_the_frames_that_are_not_the_users():
    """Python's own files are left out, this test's are kept."""
    trace = plotsrv.users_traceback(raised(lambda: Path("/nowhere/at/all").read_text()))
    assert set(re.findall(r'File "(.*?)"', trace)) == {__file__}
    assert "FileNotFoundError" in trace


def test_users_traceback_of_an_error_without_users_frames_tells_the_error():
    """Where a plot returns what is no figure, there is no line of the user's to show."""
    error = raised(lambda: plotsrv.figure_of(3))
    error.__traceback__ = error.__traceback__.tb_next.tb_next
    assert plotsrv.users_traceback(error).endswith("TypeError: " + str(error) + "\n")


def test_users_traceback_leaves_out_what_was_raised_from_none():
    """`raise ... from None` hides the first error, as it does in Python."""

    def fails():
        try:
            {}["hidden"]
        except KeyError:
            raise ValueError("shown") from None

    trace = plotsrv.users_traceback(raised(fails))
    assert "shown" in trace and "hidden\n" not in trace and "KeyError" not in trace


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/me/plots/mine.py", True),
        (str(ROOT / "plots" / "training.py"), True),
        (__file__, True),
        (plotsrv.__file__, False),
        (os.__file__, False),
        (importlib.machinery.__file__, False),
        (pytest.__file__, False),
        ("/usr/lib/python3/dist-packages/numpy/core.py", False),
        (r"C:\Python\Lib\site-packages\numpy\core.py", False),
        ("<frozen importlib._bootstrap>", False),
        ("<string>", False),
        ("<__array_function__ internals>", False),
        ("<decorator-gen-12>", False),
    ],
)
def test_is_users_file_tells_the_users_source_from_pythons_and_packages(path, expected):
    """The user's is what lies neither in Python's folders, nor in a package's, nor in plotsrv.py."""
    assert plotsrv.is_users_file(path) is expected


@pytest.mark.parametrize("spec", [None, importlib.machinery.ModuleSpec("users_script", None)])
def test_main_module_hidden_keeps_multiprocessing_from_running_it_again(monkeypatch, spec):
    """It is told of a main module that is loaded already; afterwards that has its own spec again."""
    main = types.ModuleType("__main__")
    main.__spec__, main.__file__ = spec, "/home/me/script.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    with plotsrv.main_module_hidden():
        told = spawn.get_preparation_data("render process")
    assert "init_main_from_path" not in told and told["init_main_from_name"] == "__main__"
    spawn._fixup_main_from_name("__main__")  # which loads nothing
    assert main.__spec__ is spec


def test_a_process_that_starts_while_all_is_closed_is_ended(folder, monkeypatch):
    """Nothing waits for a drawing that nobody will see."""
    closing = plotsrv.Renderer(workers=1)
    ended = []

    class Late:
        generation, alive, subject = 0, True, None

        def __init__(self, generation):
            closing.closed = True

        def end(self):
            ended.append(self)

        kill = end

    monkeypatch.setattr(plotsrv, "RenderProcess", Late)
    process = closing.take(plotsrv.Job("describe", source_of(folder, "healthy")))
    assert ended == [process]
    closing.busy.clear()
    closing.close()
