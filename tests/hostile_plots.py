"""Plots that do harm, each with the answer that is expected of plotsrv, and a healthy one that feels every harm.

The file is both: served by plotsrv (`--plots`, best a copy: notes are written beside it), and read by the tests for
the table HOSTILE. Each plot is bounded by itself as well, in case plotsrv does not stop it.
"""

import atexit
import ctypes
import functools
import hashlib
import io
import locale
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import typing
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

try:
    import matplotlib
    import matplotlib.axes
    import matplotlib.pyplot as plt
    import numpy
except ImportError:  # a bare Python starts faster, and will do where nothing but the processes is of interest
    plt = None

HERE = Path(__file__).parent
NET_SECONDS = 60  # what a plot starts ends by itself after that
NET_BYTES = 8 * 10**9
CHUNK_BYTES = 50_000_000
OF_PYTEST = "PYTEST_CURRENT_TEST"  # a variable that differs from test to test, and so from process to process


class Hostile(typing.NamedTuple):
    """A hostile plot, and what plotsrv has to answer."""

    name: str
    statuses: tuple[int, ...]
    message: str  # a regular expression, to be found in the one line that is told


HOSTILE: list[Hostile] = []


def answered(*statuses: int, message: str = "") -> Callable[[Callable], Callable]:
    """Enter the plot in the table."""

    def enter(plot: Callable) -> Callable:
        HOSTILE.append(Hostile(plot.__name__.removeprefix("plot_"), statuses, message))
        return plot

    return enter


fails = functools.partial(answered, 500)  # with a message of its own
is_drawn = answered(200)  # though it leaves a mess
DIED = "The render process died: "
hangs = answered(504, message=r"Not done within [\d.]+ s.*--timeout")
grows = answered(500, message=r"more than [\d.]+ GB of memory.*--memory")
swarms = answered(500, message=r"more than \d+ processes")
is_too_large = answered(500, message="pixels")


def note(name: str, text: object) -> None:
    """Write a line beside this file: for what is not to be seen from outside."""
    with open(HERE / name, "a") as file:
        file.write(f"{text}\n")


def figure() -> object:
    """Something to return."""
    return plt.subplots()[0] if plt else plain_picture("")


def plain_picture(text: str) -> bytes:
    """A PNG made without any package: its 32 grey pixels are the text's digest."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 32, 1, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(1) + hashlib.sha256(text.encode()).digest()),
        b"IEND": b"",
    }
    framed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def endless() -> None:
    """A loop that ends only by the safety net."""
    end = time.monotonic() + NET_SECONDS
    while time.monotonic() < end:
        pass


def leave_a_child(*command: str, **options: typing.Any) -> None:
    """Start a process that outlives its plot."""
    child = subprocess.Popen(command or ["sleep", str(NET_SECONDS)], **options)
    note("strays", child.pid)
    note("begun", os.getpid())


# -- the healthy one, and what it tells of the process


def umask() -> int:
    """The mask of new files; it can only be read by being set."""
    os.umask(mask := os.umask(0o22))
    return mask


def short(thing: object) -> str:
    """A long text, made comparable."""
    return hashlib.sha256(repr(thing).encode()).hexdigest()[:8]


def state() -> dict[str, object]:
    """Everything a plot before may have left changed."""
    told = {
        "folder": os.getcwd(),
        "environment": short(sorted((name, value) for name, value in os.environ.items() if name != OF_PYTEST)),
        "search path": ("/nowhere" in sys.path, len(sys.path) > 1),  # the rest depends on what else was imported here
        "warnings": [each[0] for each in warnings.filters if each[2] is Warning and each[1] is None],
        "locale": locale.setlocale(locale.LC_ALL),
        "umask": umask(),
        "handlers": short([signal.getsignal(number) for number in sorted(signal.valid_signals())]),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "limits": [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)],
        "recursion": sys.getrecursionlimit(),
        "threads": threading.active_count(),
        "output": (sys.stdout is None, sys.stderr is None, sys.stdout and sys.stdout.closed),
    }
    if plt:
        told |= {
            "settings": short(sorted(matplotlib.rcParams.items())),
            "backend": matplotlib.get_backend(),
            "figures": plt.get_fignums(),
            "numpy": numpy.geterr(),
            "printing": short(numpy.get_printoptions()),
            "drawing": matplotlib.axes.Axes.plot.__module__,
        }
    return told


def plot_healthy(number: int = 0):
    """A picture that is another one where anything of the state is; what the state is, it prints."""
    told = state()
    for name, value in told.items():
        print(f"{name}: {value}")
    if not plt:
        return plain_picture(f"{short(told)}, {number}")
    axes = plt.subplots()[1]
    axes.plot([x * x for x in range(50)], label=r"$\alpha^{2}$")
    axes.set_title(f"{short(told)}, {number}")
    axes.legend()
    return axes


def plot_random():
    """Numbers that nobody can know before."""
    print(random.random(), numpy.random.rand())
    return figure()


def plot_waits(number: int = 0, seconds: float = 20):
    """A drawing that takes until the test says so."""
    note("waiting", f"{number} {os.getpid()}")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (HERE / "go").exists():
        time.sleep(0.01)
    return plain_picture(str(number))


# -- those that fail


@fails(message="^ValueError: no such luck$")
def plot_raises():
    raise ValueError("no such luck")


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


@fails(message="^[.\\w]*Unspeakable")
def plot_raises_what_has_no_words():
    raise Unspeakable


@fails(message="^ValueError")
def plot_raises_with_arguments_that_have_no_words():
    raise ValueError(Unspeakable())


@fails(message="^ValueError: x+")
def plot_raises_with_50_megabytes_of_words():
    raise ValueError("x" * 50_000_000)


@fails(message=r"sys\.exit\(7\)")
def plot_exits():
    sys.exit(7)


@fails(message="^KeyboardInterrupt")
def plot_interrupts():
    raise KeyboardInterrupt


@fails(message="^GeneratorExit")
def plot_raises_what_is_no_exception():
    raise GeneratorExit


@fails(message="^RecursionError")
def plot_recurs():
    plot_recurs()


@fails(message="returned nothing")
def plot_returns_nothing():
    pass


@fails(message="returned int")
def plot_returns_a_number():
    return 3


@fails(message="^EOFError")
def plot_reads_stdin():
    input()


@fails(message="^RuntimeError: drawn$")
def plot_returns_a_figure_that_fails_when_it_is_saved():
    def fail(renderer):
        raise RuntimeError("drawn")

    axes = plt.subplots()[1]
    axes.draw = fail
    return axes.figure


# -- those that die


@fails(message=DIED + "it ended itself with exit code 3")
def plot_leaves():
    os._exit(3)


@fails(message=DIED + r".*signal 9 \(SIGKILL\)")
def plot_kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


@fails(message=DIED + r".*signal 15 \(SIGTERM\)")
def plot_terminates_itself():
    os.kill(os.getpid(), signal.SIGTERM)


@fails(message=DIED + r".*signal 11 \(SIGSEGV\)")
def plot_crashes():
    ctypes.string_at(0)


@fails(message=DIED + r".*signal 6 \(SIGABRT\)")
def plot_aborts():
    os.abort()


@fails(message=DIED + r".*signal 11 \(SIGSEGV\)")
def plot_overflows_the_stack():
    sys.setrecursionlimit(10**9)

    def deeper(_=None):
        return list(map(deeper, [0]))  # by way of C: Python alone takes no stack

    deeper()


@fails(message=DIED)
def plot_closes_everything():
    os.closerange(0, 256)


@is_drawn
def plot_kills_its_parent():
    if os.getppid() > 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.5)  # it is missed by now
    return figure()


# -- those that never end


@hangs
def plot_loops():
    endless()


@hangs
def plot_loops_in_c():
    sum(map(int, ("7" * 4000,) * 6 * 10**5))  # holds the lock, a minute at the most


@hangs
def plot_loops_with_signals_blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    note("begun", os.getpid())
    endless()


@hangs
def plot_loops_with_signals_ignored():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    note("begun", os.getpid())
    endless()


@hangs
def plot_sleeps():
    time.sleep(NET_SECONDS)


@hangs
def plot_waits_for_its_child():
    leave_a_child()
    time.sleep(NET_SECONDS)


@hangs
def plot_waits_for_a_child_in_a_session_of_its_own():
    leave_a_child(start_new_session=True)
    time.sleep(NET_SECONDS)


@hangs
def plot_waits_for_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=NET_SECONDS)


@hangs
def plot_prints_for_ever():
    end = time.monotonic() + NET_SECONDS
    while time.monotonic() < end:
        os.write(1, b"x" * 65536)


@hangs
def plot_stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


# -- those that want too much


def hoarded() -> None:
    """Take memory until the safety net."""
    hoard = []
    while len(hoard) * CHUNK_BYTES < NET_BYTES:
        hoard.append(b"x" * CHUNK_BYTES)
        time.sleep(0.01)
    raise MemoryError("plotsrv has not stopped this")


@grows
def plot_takes_memory_without_end():
    hoarded()


@grows
def plot_lets_a_child_take_memory_without_end():
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        try:
            hoarded()
        finally:
            os._exit(0)


@swarms
def plot_forks_without_end(times: int = 8):  # 256 processes at the most
    ours = os.getpid()
    for _ in range(times):
        os.fork()
    signal.alarm(NET_SECONDS)
    time.sleep(NET_SECONDS if os.getpid() != ours else NET_SECONDS / 2)


@fails(message="Too many open files")
def plot_opens_10000_descriptors():
    hold = [os.open(os.devnull, os.O_RDONLY) for _ in range(10_000)]
    return figure(), hold


@fails(message="File too large")
def plot_writes_10_gigabytes():
    with tempfile.TemporaryFile() as file:
        file.truncate(10**10)
        file.seek(0, 2)
        file.write(b"x")
    return figure()


@is_drawn
def plot_starts_200_threads():
    def sleep():
        time.sleep(NET_SECONDS)

    for _ in range(200):
        threading.Thread(target=sleep, daemon=True).start()
    return figure()


@answered(200, 504, message=r"^$|Not done within")  # where the machine is busy, the deadline may come first
def plot_prints_a_gigabyte(megabytes: int = 1000):
    for _ in range(megabytes):
        os.write(1, b"x" * 1_000_000)
    return figure()


@is_too_large
def plot_returns_a_gigantic_figure():
    return plt.figure(figsize=(1000, 1000))


@is_too_large
def plot_returns_a_figure_that_is_gigantic_when_it_is_cropped():
    plt.rcParams["savefig.bbox"] = "tight"
    axes = plt.subplots()[1]
    axes.text(1000, 1000, "far away")
    return axes


@is_too_large
def plot_returns_a_gigantic_image():
    from PIL import Image

    return Image.new("1", (8_000, 8_000))


@is_too_large
def plot_returns_a_gigantic_png():
    from PIL import Image

    Image.new("1", (20_000, 20_000)).save(file := io.BytesIO(), "png")
    return file.getvalue()


# -- those that are drawn, and leave a mess


@is_drawn
def plot_leaves_figures_open():
    for _ in range(5):
        plt.figure()
    return figure()


@is_drawn
def plot_changes_settings():
    plt.style.use("dark_background")
    plt.rcParams.update({"lines.linewidth": 9, "savefig.dpi": 30, "svg.hashsalt": "mine"})
    return figure()


@is_drawn
def plot_switches_the_backend():
    matplotlib.use("svg")
    return figure()


@is_drawn
def plot_changes_the_folder():
    os.chdir("/")
    return figure()


@is_drawn
def plot_removes_its_folder():
    os.chdir(folder := tempfile.mkdtemp())
    os.rmdir(folder)
    return figure()


@is_drawn
def plot_changes_the_environment():
    os.environ["MOOD"] = "hostile"
    os.environ.pop("PATH", None)
    return figure()


@is_drawn
def plot_changes_the_locale():
    for name in ("C", "POSIX", "C.UTF-8", "de_DE.UTF-8"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            pass
    return figure()


@is_drawn
def plot_changes_the_search_path():
    sys.path.insert(0, "/nowhere")
    return figure()


@is_drawn
def plot_replaces_the_search_path():
    picture = figure()
    sys.path = ["/nowhere"]
    return picture


@is_drawn
def plot_changes_the_warnings():
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    return figure()


@is_drawn
def plot_seeds():
    random.seed(0)
    numpy.random.seed(0)
    return figure()


@is_drawn
def plot_changes_the_umask():
    os.umask(0o777)
    return figure()


@is_drawn
def plot_changes_numpy():
    numpy.seterr(all="ignore", divide="raise")
    numpy.set_printoptions(precision=1)
    return figure()


@is_drawn
def plot_changes_signal_handlers():
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGIO, signal.SIGALRM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return figure()


@is_drawn
def plot_blocks_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return figure()


@is_drawn
def plot_sets_an_alarm():
    signal.alarm(1)
    return figure()


@is_drawn
def plot_lowers_its_limits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    return figure()


@is_drawn
def plot_allows_itself_no_recursion():
    picture = figure()
    sys.setrecursionlimit(120)
    return picture


@is_drawn
def plot_patches_matplotlib():
    def patched(self, text, **options):
        return original(self, text.upper(), color="red", **options)

    original = matplotlib.axes.Axes.set_title
    matplotlib.axes.Axes.set_title = patched
    return figure()


@is_drawn
def plot_patches_pyplot():
    plt.close = lambda *_: None
    plt.rcParams["lines.linewidth"] = 9
    return figure()


@is_drawn
def plot_takes_the_output_away():
    sys.stdout = sys.stderr = None
    return figure()


@is_drawn
def plot_closes_the_output():
    sys.stdout.close()
    return figure()


@is_drawn
def plot_closes_the_descriptors_of_the_output():
    os.closerange(0, 3)
    return figure()


@is_drawn
def plot_leaves_a_thread_that_draws():
    def draw():
        end = time.monotonic() + NET_SECONDS
        while time.monotonic() < end:
            time.sleep(0.02)
            plt.rcParams["lines.linewidth"] = 20
            plt.figure()

    threading.Thread(target=draw, daemon=True).start()
    return figure()


@is_drawn
def plot_leaves_a_child():
    leave_a_child()
    return figure()


@is_drawn
def plot_leaves_a_child_in_a_session_of_its_own():
    leave_a_child(start_new_session=True)
    return figure()


@is_drawn
def plot_leaves_a_child_that_prints_for_ever():
    leave_a_child("timeout", str(NET_SECONDS), "yes")
    return figure()


@is_drawn
def plot_forks_and_goes_on_twice():
    os.fork()
    return figure()


@is_drawn
def plot_leaves_something_for_the_end():
    atexit.register(time.sleep, NET_SECONDS)
    return figure()


@is_drawn
def plot_leaks_500_descriptors():
    for _ in range(500):
        os.open(os.devnull, os.O_RDONLY)
    return figure()


@is_drawn
def plot_shows():
    plt.plot([1, 2])
    plt.show()
