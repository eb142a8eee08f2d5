"""Faults: whatever a plot, a signal, a disk or a clock does, plotsrv answers, and the next picture is as before.

The hostile plots and what each is to be answered with stand in hostile_plots.py; the long forms of what is tried here
in siege_faults.py (`make siege`). Names like X3 are those of the catalogue of what is attacked and what fails:
X9 to X11 (descriptors, ports, clients that leave) are the doors' affair, X7 (data) the readers'.
"""

import contextlib
import inspect
import itertools
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile_plots
import measuring
import pytest
import siege
import siege_faults
from hostile_plots import HOSTILE
from load import asking
from measuring import Bench, free_port
from serving import PATIENCE, PLOTSRV, BareServer, Process, eventually, is_running, plac_alone
from siege_faults import ask, notes

import plotsrv

DEADLINE = 0.6  # seconds, for the plots that never end
MEMORY = 0.6e9  # bytes, for all drawings of a renderer
# What the siege does at full length.
SMALL = {"prints_a_gigabyte": {"megabytes": ("40",)}, "forks_without_end": {"times": ("5",)}}
# One of each kind; all are tried in the siege.
TRIED = [
    "raises_what_has_no_words", "exits", "recurs", "returns_nothing", "reads_stdin",
    "returns_a_figure_that_fails_when_it_is_saved", "leaves", "crashes", "closes_everything", "loops_in_c",
    "loops_with_signals_blocked", "loops_with_signals_ignored", "sleeps", "prints_for_ever", "waits_for_its_child",
    "waits_for_a_child_in_a_session_of_its_own",
    "waits_for_a_lock", "stops_itself", "takes_memory_without_end", "forks_without_end", "opens_10000_descriptors",
    "writes_10_gigabytes", "starts_200_threads", "prints_a_gigabyte", "returns_a_gigantic_image", "changes_settings",
    "changes_the_folder", "seeds", "patches_matplotlib", "blocks_signals", "closes_the_output",
    "leaves_a_child_in_a_session_of_its_own", "forks_and_goes_on_twice",
]  # fmt: skip
HANGING = [each for each in HOSTILE if each.name in TRIED and each.statuses == (504,)]
OTHERS = [each for each in HOSTILE if each.name in TRIED and each not in HANGING]
LINE = 4000  # characters, of what one error may tell


def named(hostile):
    return hostile.name


# -- hostile plots, in one render process


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a copy of the hostile plots, which write their notes into it."""
    folder = tmp_path_factory.mktemp("faults")
    shutil.copy(hostile_plots.__file__, folder)
    return folder


@pytest.fixture(autouse=True)
def slate(folder):
    """No notes of the test before."""
    for name in ("begun", "strays", "waiting", "go"):
        (folder / name).unlink(missing_ok=True)


def renderer_of(folder, workers=1, timeout=PATIENCE):
    """A renderer with a shorthand for drawing: `renderer.draw("healthy", number=("3",))`."""
    renderer = plotsrv.Renderer(workers, timeout, MEMORY)
    source = plotsrv.Source(str(folder / "hostile_plots.py"), str(folder), f"plots_{folder.name}", "hostile_plots")

    def start(name, **texts):
        job = plotsrv.Job("draw", plotsrv.Plot(source, f"plot_{name}"), texts)
        return renderer.submit(object(), job).future

    renderer.start = start
    renderer.draw = lambda name, **texts: start(name, **texts).result(PATIENCE)
    return renderer


@pytest.fixture(scope="module")
def renderer(folder):
    """One process for all: what one plot does to it, the next would feel."""
    renderer = renderer_of(folder)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def pair(folder):
    """Two processes, for what goes on at the same time."""
    pair = renderer_of(folder, workers=2)
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def before(renderer):
    """The healthy drawing, before anything hostile was drawn."""
    drawing = renderer.draw("healthy")
    assert drawing.status == 200, drawing
    return drawing


@pytest.fixture(scope="module")
def hung(folder):
    """The drawings of all plots that never end, side by side, and the processes they left; a healthy one afterwards."""
    renderer = renderer_of(folder, workers=len(HANGING))
    try:
        starting = [renderer.start("waits") for _ in HANGING]  # the deadline is for the plots, not for the processes
        assert eventually(lambda: len(notes(folder, "waiting")) == len(HANGING))
        (folder / "go").touch()
        assert {flight.result(PATIENCE).status for flight in starting} == {200}
        renderer.timeout = DEADLINE
        flights = {each.name: renderer.start(each.name) for each in HANGING}
        drawings = {name: flight.result(PATIENCE) for name, flight in flights.items()}
        renderer.timeout = PATIENCE
        return drawings, notes(folder, "strays"), renderer.draw("healthy").status == 200
    finally:
        renderer.close()


def told_after(renderer, before):
    """What the healthy plot tells of its process in other words than before; and the picture, where that differs."""
    after = renderer.draw("healthy")
    told = [line for line in after.output.splitlines() if ": " in line and line not in before.output.splitlines()]
    told += [after.error] if after.error else []
    told += ["the picture is not the same"] if after.image != before.image else []
    if told:
        renderer.renew()  # the next test is to have a clean process
    return told


@pytest.mark.parametrize("hostile", OTHERS, ids=named)
def test_a_hostile_plot_gets_its_message_and_the_next_drawing_is_as_before(renderer, before, monkeypatch, hostile):
    """X1, X2, X4, X5: the message says what happened, and the next picture is the same to the byte.

    Notebook and dashboard servers break here: CPython's own pools stay broken or hang (bpo-22393, bpo-38084).
    """
    monkeypatch.setattr(plotsrv, "PROCESSES_EACH", 16)
    drawing = renderer.draw(hostile.name, **SMALL.get(hostile.name, {}))
    unlike = told_after(renderer, before)
    assert drawing.status in hostile.statuses, (drawing.status, drawing.error[:LINE])
    assert siege_faults.is_told(hostile, drawing.error), drawing.error[:LINE]
    assert len(drawing.error) + len(drawing.traceback) < 5 * LINE and "\n" not in drawing.error
    assert unlike == []


UNSEEN = ("loops_with_signals_blocked", "loops_with_signals_ignored", "stops_itself")  # they cannot be asked


@pytest.mark.parametrize("hostile", HANGING, ids=named)
def test_a_plot_that_never_ends_is_ended_at_its_deadline_whatever_it_does(hung, hostile):
    """X3: a loop that holds Python's lock, one that lets no signal through, a stopped process, a lock, a child.

    Where a process can still be asked, the page says in which line it hung.
    """
    drawing = hung[0][hostile.name]
    assert drawing.status == 504 and siege_faults.is_told(hostile, drawing.error), drawing.error
    assert f"{DEADLINE:g} s" in drawing.error and drawing.seconds < PATIENCE
    place = "xxx" if hostile.name == "prints_for_ever" else f"in plot_{hostile.name}"
    assert hostile.name in UNSEEN or place in drawing.output


def test_what_such_plots_have_started_is_ended_with_them_and_the_next_drawing_works(hung):
    """X3, X4: children, also those in a session of their own; the process that draws next is a new one."""
    _, strays, is_drawn_afterwards = hung
    assert len(strays) == 2 and eventually(lambda: not any(map(is_running, strays)))
    assert is_drawn_afterwards


def test_there_are_hostile_plots_enough():
    """The scorecard asks for 25; no two have one name, and each has an expected answer."""
    assert len(HOSTILE) >= 25
    assert len({each.name for each in HOSTILE}) == len(HOSTILE)
    assert len(HANGING) + len(OTHERS) == len(TRIED) >= 25
    assert all(hasattr(hostile_plots, f"plot_{each.name}") for each in HOSTILE)


def test_seeds_and_clocks_of_one_drawing_are_not_those_of_the_next(renderer):
    """X5: after a plot that has set all seeds, others still draw other numbers each time."""
    drawn = []
    for _ in range(2):
        renderer.draw("seeds")
        drawn += renderer.draw("random").output.split()
    assert len(set(drawn)) == 4


def test_drawings_at_the_same_time_are_as_those_one_after_the_other(pair):
    """X6, matplotlib#26289: its cache of formulas is not safe with threads, so each process draws one at a time."""
    drawings = {}
    with ThreadPoolExecutor(8) as viewers:
        numbers = [number for number in range(3) for _ in range(2)]
        for number, drawing in zip(
            numbers, viewers.map(lambda n: pair.draw("healthy", number=(str(n),)), numbers), strict=True
        ):
            drawings.setdefault(number, set()).add(drawing.image)
    assert [len(images) for images in drawings.values()] == [1] * 3
    assert len(set().union(*drawings.values())) == 3 and b"" not in set().union(*drawings.values())


@pytest.mark.parametrize("kills", [1, 2])
def test_a_drawing_whose_process_is_killed_from_outside_is_made_again(folder, renderer, kills):
    """X13: the kernel, short of memory, or a person, has killed it; drawings have no side effects."""
    flight = renderer.start("waits")
    for number in range(kills):
        assert eventually(lambda number=number: len(notes(folder, "waiting")) > number)
        os.kill(int(notes(folder, "waiting")[number].split()[1]), signal.SIGKILL)
    assert eventually(lambda: len(notes(folder, "waiting")) > kills)
    (folder / "go").touch()
    assert flight.result(PATIENCE).status == 200


def test_a_drawing_whose_processes_are_killed_again_and_again_fails_in_the_end(folder, renderer):
    """X13: what is killed each time is perhaps to blame for it; the message says so."""
    flight = renderer.start("waits")
    for number in itertools.count():
        assert number < 10
        eventually(lambda number=number: len(notes(folder, "waiting")) > number or flight.done())
        if flight.done():
            break
        os.kill(int(notes(folder, "waiting")[number].split()[1]), signal.SIGKILL)
    assert "signal 9 (SIGKILL)" in flight.result(PATIENCE).error


def test_a_drawing_goes_on_where_the_forkserver_is_killed_meanwhile(folder, renderer, before):
    """X13, bpo-31308: the process that makes the others is made anew; those that it has made work on."""
    from multiprocessing import forkserver

    flight = renderer.start("waits")
    assert eventually(lambda: notes(folder, "waiting"))
    os.kill(killed := forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    eventually(flight.done, 1)
    (folder / "go").touch()
    assert flight.result(PATIENCE).status == 200
    if hasattr(os, "pidfd_open"):
        assert len(notes(folder, "waiting")) == 1
    assert renderer.draw("healthy").image == before.image
    assert forkserver._forkserver._forkserver_pid != killed
    assert renderer.draw("leaves").status == 500
    assert renderer.draw("healthy").image == before.image


def test_a_process_draws_no_more_than_so_often(folder, renderer, monkeypatch):
    """X5: what leaks in matplotlib, or in a user's own code, ends with its process."""
    monkeypatch.setattr(plotsrv, "DRAWINGS_EACH", 3)
    no_time = property(lambda process: 0.0, lambda process, seconds: None)  # a new process is worth it at once
    monkeypatch.setattr(plotsrv.RenderProcess, "longest", no_time, raising=False)
    renderer.renew()
    (folder / "go").touch()
    for _ in range(7):
        renderer.draw("waits")
    drawn = [line.split()[1] for line in notes(folder, "waiting")]
    assert [drawn.count(pid) for pid in dict.fromkeys(drawn)] == [3, 3, 1]


# -- hostile and healthy plots in a server


@pytest.fixture(scope="module")
def server(folder):
    """plotsrv with the hostile plots, one render process, two packages, and files to be broken and mended."""
    plots, packages = folder / "plots", folder / "packages"
    for each in (plots, packages):
        each.mkdir()
    shutil.copy(hostile_plots.__file__, plots)
    (packages / "numbers_of.py").write_text("ONE = 1\n")
    (packages / "curves_of.py").write_text("import numbers_of\nTWO = 2 * numbers_of.ONE\n")
    with BareServer(folder, "--workers=1", PYTHONPATH=str(packages)) as server:
        server.plots = plots
        server.settled_gallery()
        yield server
    shutil.rmtree(plots)


@pytest.fixture
def written(server):
    """A function that writes a file of plots; all are removed afterwards."""
    paths = []

    def write(name, text):
        paths.append(server.plots / name)
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(text)
        return paths[-1]

    yield write
    for path in paths:
        path.unlink(missing_ok=True)


def plot_of(text):
    """The source of a plot that needs no matplotlib, and says something."""
    picture = f'<svg xmlns="http://www.w3.org/2000/svg"><text>{text}</text></svg>'
    return f"def plot_it():\n    return {picture!r}.encode()\n"


def shows(server, path, text, status=200):
    """Is the picture there, with a text in it?"""

    def is_there():
        answer = server.get(path, Accept="image/*")
        return answer.status == status and text in answer.body.decode()

    return eventually(is_there)


def test_a_plot_that_fails_is_told_as_a_plots_error_and_recovers_when_it_is_mended(server, written):
    """X1: status 500 and X-Plotsrv-Error, a page that keeps refreshing, and other plots as they were."""
    file = written("fragile.py", "def plot_it():\n    raise ValueError('no such luck')\n")
    assert shows(server, "/fragile/it.svg", "no such luck", 500)
    answer = server.get("/fragile/it.svg", Accept="image/*")
    assert (answer.headers["X-Plotsrv-Error"], answer.headers["Content-Type"]) == ("plot", "image/svg+xml")
    page = server.page("/fragile/it?refresh_every=1")
    assert 'http-equiv="refresh"' in page and "no such luck" in page and "fragile.py" in page
    assert server.get("/hostile_plots/healthy.png").status == 200
    file.write_text(plot_of("mended"))
    assert shows(server, "/fragile/it.svg", "mended")


FILES = {  # X16: what is written, what is written then, and what is to be seen of the first file
    "edited": ({"edited.py": plot_of("first")}, {"edited.py": plot_of("second")}, "second"),
    "saved half-written": ({"half.py": plot_of("whole")[:60]}, {"half.py": plot_of("whole")}, "whole"),
    "a circular import": (
        {"it.py": "from . import other\n" + plot_of("round"), "other.py": "from . import it\nX = 1\n"},
        {},
        "round",
    ),
    "a name of Python's own": ({"random.py": "import secrets\n" + plot_of("shadow")}, {}, "shadow"),
    "a name of a package that plots import": ({"numbers_of.py": "import curves_of\n" + plot_of("two")}, {}, "two"),
}


def test_files_of_plots_may_be_anything(server, written):
    """X16: edited, half-written, importing each other, named like Python's modules: it is shown once it is whole."""
    for step in (0, 1):
        for files in FILES.values():
            for name, source in files[step].items():
                written(name, source)
        server.page("/")
    for kind, (first, _, text) in FILES.items():
        assert shows(server, f"/{next(iter(first)).removesuffix('.py')}/it.svg", text), kind
    assert server.get("/hostile_plots/healthy.png").status == 200


def test_files_of_plots_may_be_renamed_and_deleted(server, written):
    """X16: under its new name it is there at once, under the old one no more."""
    file = written("old_name.py", plot_of("moved"))
    assert shows(server, "/old_name/it.svg", "moved")
    new = written("new_name.py", "")
    file.rename(new)
    assert shows(server, "/new_name/it.svg", "moved")
    assert eventually(lambda: server.get("/old_name/it.svg").status == 404)
    new.unlink()
    assert eventually(lambda: server.get("/new_name/it.svg").status == 404)


@pytest.mark.parametrize("linked", ["the file", "a package that it imports"])
def test_what_is_a_link_is_followed(server, written, tmp_path, linked):
    """X16: code that is kept in another place, shared by several projects."""
    name, target = ("it.py", tmp_path / "it.py") if linked == "the file" else ("kept", tmp_path)
    link = server.plots / name
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "text.py").write_text("TEXT = 'linked'\n")
    (tmp_path / "it.py").write_text(plot_of("linked"))
    link.symlink_to(target)
    try:
        if linked != "the file":
            written("it.py", "from .kept.text import TEXT\n" + plot_of("linked").replace("return", "return TEXT and"))
        assert shows(server, "/it/it.svg", "linked")
    finally:
        link.unlink()


def test_hundreds_of_files_of_plots_are_all_found_and_hold_up_no_page(tmp_path):
    """X16: the gallery is there at once, and so is the plot that is asked for."""
    (tmp_path / "plots").mkdir()
    for number in range(200):
        (tmp_path / "plots" / f"file_{number}.py").write_text(plot_of(number))
    with BareServer(tmp_path) as server:
        assert ask(server.port, "/").status == 200
        assert eventually(lambda: server.page("/").count("file_") >= 200)
        assert shows(server, "/file_199/it.svg", "199")


def test_plots_are_never_imported_in_the_server_itself(server, written):
    """X16: what a file does when it is imported, it does in a render process."""
    who = server.plots / "who"
    written("telling.py", f"import os\nopen({str(who)!r}, 'w').write(str(os.getpid()))\n" + plot_of("telling"))
    assert shows(server, "/telling/it.svg", "telling")
    assert int(who.read_text()) != server.pid


# -- the queue


@pytest.fixture(scope="module")
def queueing(server):
    """That server, with its one render process, for what waits for it."""
    with ThreadPoolExecutor(100) as pool:
        server.path = "/hostile_plots/waits.png?number={}"
        server.ask = lambda number, source="127.0.0.1": pool.submit(
            ask, server.port, server.path.format(number), source=source
        )
        server.go = (server.plots / "go").touch
        server.drawn = lambda: [line.split()[0] for line in notes(server.plots, "waiting")]
        siege_faults.wait_until_drawn(server.port, "/hostile_plots/healthy.png")
        yield server
        server.go()


NUMBERS = itertools.count(1000)  # of drawings that nothing else has had drawn


@pytest.fixture
def queue(queueing):
    """That server, busy with drawing `queue.first` until `queue.go()`; `queue.ask(number, source)` asks for another."""
    for name in ("go", "waiting"):
        (queueing.plots / name).unlink(missing_ok=True)
    queueing.first = next(NUMBERS)
    first = queueing.ask(queueing.first)
    assert eventually(queueing.drawn)
    yield queueing
    queueing.go()
    first.result()


def counted(futures):
    """How many answers there are by status; those that are still waited for as None."""
    found = [each.result().status if each.done() else None for each in futures]
    return {status: found.count(status) for status in set(found)}


def test_each_client_has_its_places_in_the_queue_and_all_together_have_an_end(queue):
    """H9, MLflow CVE-2025-0453: 16 drawings wait for one address, 32 in all; the rest get 503 and when to come back.

    The catalogue has twice as many as there are workers for one client: who opens five tabs would be refused.
    """
    each, most = plotsrv.QUEUED_EACH, plotsrv.QUEUED_DRAWINGS
    asked = [queue.ask(number) for number in range(1, each + 5)]
    assert eventually(lambda: counted(asked).get(503, 0) >= 4)
    others = [
        queue.ask(100 * number + place, f"127.0.0.{number}") for number in (2, 3) for place in range(most // 2 + 2)
    ]
    assert eventually(lambda: counted([*asked, *others]).get(503, 0) >= len(asked) + len(others) - most)
    refused = [future.result() for future in (*asked, *others) if future.done()]
    assert {answer.status for answer in refused} == {503} and all(int(a.headers["Retry-After"]) for a in refused)
    assert any(not future.done() for future in others)
    waiting = [future for future in (*asked, *others) if not future.done()]
    queue.go()
    statuses = [future.result(PATIENCE).status for future in waiting]  # the last refusals may be on their way still
    assert set(statuses) <= {200, 503} and most - 4 <= statuses.count(200) <= most


def test_equal_drawings_take_one_place_and_are_made_once(queue):
    """H9: fifty tabs of one page are one drawing."""
    futures = [queue.ask(57, f"127.0.0.{1 + number % 4}") for number in range(50)]
    assert not eventually(lambda: any(future.done() for future in futures), 0.3)
    queue.go()
    assert {future.result(PATIENCE).status for future in futures} == {200}
    assert queue.drawn().count("57") == 1


def test_a_drawing_that_nobody_waits_for_any_more_is_not_begun(queue):
    """H9: who has closed the tab costs nobody a second; what has begun goes on, for the cache."""
    before = descriptors(queue)
    with contextlib.ExitStack() as stack:
        for number in range(31, 36):
            stack.enter_context(asking(queue.port, queue.path.format(number)))
        stays = queue.ask(36)
        assert eventually(lambda: descriptors(queue) >= before + 6)
    assert eventually(lambda: descriptors(queue) <= before + 1)  # it has seen that they left
    queue.go()
    assert stays.result(PATIENCE).status == 200
    assert queue.ask(39).result(PATIENCE).status == 200
    assert queue.drawn() == [str(queue.first), "36", "39"]


def descriptors(server):
    """How many files and connections the server has open."""
    return len(os.listdir(f"/proc/{server.pid}/fd"))


# -- signals


def test_the_terminal_being_closed_ends_it(tmp_path):
    """X12: a window is closed, or an SSH connection breaks: SIGHUP, and nobody reads what it prints any more."""
    ours, theirs = pty.openpty()
    port = free_port()
    command = [sys.executable, "-S", str(PLOTSRV), "--no-browser", f"--port={port}", "--plots", hostile_plots.__file__]
    terminal = dict(stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_terminal)
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": plac_alone()}, **terminal)
    try:
        os.close(theirs)
        assert eventually(lambda: ask(port, "/").status == 200)
        os.close(ours)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def take_terminal():
    """Make the terminal on stdin that of a session of our own, as a shell in a window has it."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_nohup_is_respected(tmp_path):
    """X12: whoever asks that it outlives the terminal, gets that; SIGTERM still ends it."""
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    command = f"{ignoring}; os.execv(sys.argv[1], sys.argv[1:])"
    port = free_port()
    server = (sys.executable, "-S", PLOTSRV, "--no-browser", f"--port={port}")
    with Process(tmp_path, "-c", command, *server, PYTHONPATH=plac_alone()) as process:
        assert eventually(lambda: ask(port, "/").status == 200)
        os.kill(process.pid, signal.SIGHUP)
        time.sleep(2 * plotsrv.POLL_SIGNALS_SECONDS)
        assert ask(port, "/").status == 200
        os.kill(process.pid, signal.SIGTERM)
        assert process.code() == 0


def test_answers_under_way_are_finished_before_it_ends(folder, tmp_path):
    """X12: a picture that is there within the time of grace is still delivered; new connections are refused."""
    with BareServer(folder, "--plots=hostile_plots.py") as server, ThreadPoolExecutor(1) as pool:
        siege_faults.wait_until_drawn(server.port, "/hostile_plots/healthy.png")
        answer = pool.submit(ask, server.port, "/hostile_plots/waits.png")
        assert eventually(lambda: notes(folder, "waiting"))
        os.kill(server.pid, signal.SIGTERM)
        assert eventually(lambda: refuses(server.port))
        (folder / "go").touch()
        assert answer.result(PATIENCE).status == 200
        assert server.code() == 0


def refuses(port):
    """Is a new connection refused?"""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# -- the siege in short


@pytest.fixture
def bench():
    """What the trials of the siege run on; the names of sockets in its folder must not be long."""
    with tempfile.TemporaryDirectory(prefix="siege-") as folder:
        bench = Bench(Path(folder))
        yield bench
        assert bench.left_behind == 0


SERVED, HELD, LANE = siege_faults.served, siege_faults.held, siege_faults.lane
PLAIN_PLOTS = f"""
import hashlib
import os
import struct
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent

{inspect.getsource(hostile_plots.plain_picture)}

def plot_curve():
    return plain_picture((FOLDER / "curve.csv").read_text())

def plot_counted(number: int = 0):
    with open(FOLDER / "drawn.txt", "a") as drawn:
        print(os.getpid(), file=drawn)
    return plot_curve()

def plot_convergence(file_path):
    return plain_picture(Path(file_path).read_text())
"""


def plain_lane(bench, name):
    """A folder like those of the siege, whose plots need no package."""
    folder = LANE(bench, name)
    (folder / "bench_plot.py").write_text(PLAIN_PLOTS)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The servers of the siege are bare Pythons, which start faster, and so do their render processes."""
    plots = tmp_path_factory.mktemp("bare") / "training.py"
    plots.write_text(PLAIN_PLOTS)

    def command(port, *options):
        python, *rest = measuring.plotsrv(port, *options)
        rest += [] if "--plots" in options else ["--plots", str(plots)]
        return ["env", f"PYTHONPATH={plac_alone()}", python, "-S", *rest]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(siege_faults, "plotsrv", command)
        patch.setattr(siege_faults, "lane", plain_lane)
        yield


@pytest.fixture(scope="module")
def shared(bare, tmp_path_factory):
    """A server with the plot file of the benches: its bench, its folder, its port and its process."""
    bench = Bench(tmp_path_factory.mktemp("shared"))
    bench.started = 1000  # its processes are not to have the mark of those that the other benches start, and end
    folder = plain_lane(bench, "shared")
    with SERVED(bench, "--plots", str(folder / "bench_plot.py"), folder=folder) as (port, process):
        yield folder, port, process
    assert bench.left_behind == 0


@pytest.fixture
def hurried(monkeypatch):
    """The trials wait for what is to come and no longer."""

    def zombies(pid):
        family = siege_faults.process_tree
        return 0 if eventually(lambda: all(siege_faults.state_of(each) != "Z" for each in family(pid))) else 1

    before = {}

    def held(pid, temporary, rest_seconds):
        found = HELD(pid, temporary, rest_seconds)
        deadline = time.monotonic() + PATIENCE
        while any(found[name] > most for name, most in before.items()) and time.monotonic() < deadline:
            found = HELD(pid, temporary, rest_seconds)
        before.update({name: count for name, count in found.items() if not name.startswith("memory")})
        return found

    monkeypatch.setattr(measuring, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(siege_faults, "IN_FLIGHT", ("/hostile_plots/sleeps.png", *siege_faults.IN_FLIGHT[1:]))
    monkeypatch.setattr(siege_faults, "zombies", zombies)
    monkeypatch.setattr(siege_faults, "held", held)
    monkeypatch.setattr(siege_faults, "SAMPLES", 1)
    monkeypatch.setattr(siege_faults, "SAMPLE_SECONDS", 0)
    monkeypatch.setattr(siege_faults, "TIMEOUT", 10)  # so that a busy machine is not taken for a plot that hangs


@pytest.fixture
def on_shared(shared, monkeypatch):
    """A function: the trials use one server, where they want no other than that; its table has got another row."""
    folder, port, process = shared

    @contextlib.contextmanager
    def served(bench, *options, before=(), **rest):
        if before:
            with SERVED(bench, *options, before=before, **rest) as found:
                yield found
        else:
            assert options == ("--plots", str(folder / "bench_plot.py"))
            yield port, process

    def lane(bench, name):
        measuring.append_row(folder / "curve.csv")  # so nothing is drawn already
        return folder if name != "clock" else plain_lane(bench, name)

    monkeypatch.setattr(siege_faults, "served", served)
    monkeypatch.setattr(siege_faults, "lane", lane)


TIMINGS = ("s", "ms", "MB")
SHORT = {
    "disk": ("X8", dict(names=("a full home, /tmp, /var/tmp and /dev/shm",))),
    "kill": ("X2, X13", dict(seconds=0.5, every=0.2, clients=2)),
    "forkserver": ("X13", dict(seconds=0.5, every=0.2, clients=2)),
    "hostile": ("X1, X2, X4", dict(names=("crashes", "recurs"), baseline_seconds=0)),
    "signals": ("X12", dict(count=3)),
    "orphans": ("X12, X3", dict(times=1)),
    "clock": ("X14", dict(jumps=(3600, -3600), stop_seconds=0.2, tabs=10)),
    "restart": ("X14, P16", dict(with_browser=False)),
    "soak": ("X5, X15", dict(changes=2, rounds=2, warm_up=4, rest_seconds=0.3)),
}
WITH_MATPLOTLIB = ("disk",)  # which keeps files of its own; the first, before the others are made bare
ON_SHARED = ("kill", "forkserver", "clock")


@pytest.mark.parametrize(("name", "entries", "counts"), [(name, *short) for name, short in SHORT.items()], ids=SHORT)
def test_the_siege_holds_in_short(bench, hurried, request, name, entries, counts):
    """X1 to X5, X8, X12 to X15: each trial of the siege with small counts; times are not judged here."""
    if name not in WITH_MATPLOTLIB:
        request.getfixturevalue("bare")
    if name in ON_SHARED:
        request.getfixturevalue("on_shared")
    rows = list(siege_faults.TRIALS[name](bench, **counts))
    untried = [row.figure for row in rows if isinstance(row.figure, str)]
    if len(untried) == len(rows):
        pytest.skip(untried[0])
    judged = [row for row in rows if row.bar and row.unit not in TIMINGS and row.figure not in untried]
    assert rows and entries
    assert [row for row in judged if not row.is_met] == []


def test_every_trial_has_a_short_form_here():
    """A fault that is tried for minutes is tried for a second each time the tests run."""
    assert SHORT.keys() == siege_faults.TRIALS.keys()


def test_tabs_left_open_for_weeks_cost_nothing():
    """X15: a live page takes its stream up anew each minute, and a silent stream speaks before proxies cut it.

    The catalogue has streams end after ten minutes: here the page reloads itself, and its new stream ends the old one.
    """
    assert plotsrv.REPEAT_SECONDS < 30 and plotsrv.RENEW_SECONDS <= 600


# -- the siege itself


def test_the_siege_collects_the_trials_of_all_modules_and_tells_of_those_it_cannot_import(monkeypatch):
    """A module that is broken costs its own trials only."""
    monkeypatch.setattr(siege, "MODULES", ("no_such_module", "siege_faults"))
    found, missing = siege.trials()
    assert found == siege_faults.TRIALS and list(missing) == ["no_such_module"]


def test_a_trial_that_breaks_or_takes_too_long_is_a_bar_that_was_missed(bench, monkeypatch, capsys):
    """The scorecard shows what there was of it, and that it was not finished."""
    monkeypatch.setattr(siege, "TRIAL_SECONDS", 0.2)

    def breaks(bench):
        yield siege.Row("first", 1, "", "1", least=1)
        raise ValueError("no such luck")

    def takes_long(bench):
        yield siege.Row("first", 1, "", "1", least=1)
        threading.Event().wait(PATIENCE)

    for trial, reason in ((breaks, "ValueError: no such luck"), (takes_long, "TookTooLong")):
        first, last = siege.told_while_it_runs(trial, bench)
        assert first.is_met and not last.is_met and reason in last.figure
    assert "first" in capsys.readouterr().out


def test_the_siege_names_what_it_does_not_know():
    """A trial that is misspelt is no trial that was passed."""
    with pytest.raises(SystemExit, match="no trial nonsense"):
        siege.main("nonsense")
