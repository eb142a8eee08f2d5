"""Measures plotsrv's speed and memory against a plain http.server, and prints one table: `make bench`.

Everything is measured in the same run, in turns, and told as medians, because machines differ and get warm.
The plain server is tests/seed_server.py. plotsrv, it and a bare loop draw the same figure of equal tables.
"""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from statistics import median

TESTS = Path(__file__).resolve().parent
PLOTSRV = TESTS.parent / "plotsrv.py"
SEED_SERVER = TESTS / "seed_server.py"

WHOLE_RUN_SECONDS = 175
START_SECONDS = 30
STOP_SECONDS = 3  # what plotsrv promises after SIGTERM
POLL_SECONDS = 0.003
START_ROUNDS = 7
DRAWING_BLOCKS = 10
BLOCK_DRAWINGS = 10
DRAWINGS_BEFORE_MEMORY = 20
TABLE_ROWS = 200
KB_PER_MB = 1024  # as the kernel counts

# Each process started gets a mark of its own in its environment. It is inherited, and so finds all offspring.
MARK_NAME = "PLOTSRV_BENCH"
MARK = f"{os.getpid()}-"

HEADER = "iteration,loss,precision,recall,f-score\n"
IMPORTS = [sys.executable, "-c", "import matplotlib.pyplot, pandas"]
PICTURE = "/bench_plot/curve.png"
SEED_PICTURE = "/?mode=plot&graph=plot_convergence&file_path=curve.csv"

PLOT_FILE = """
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

FOLDER = Path(__file__).parent

{drawing}

def plot_curve():
    return draw_convergence(FOLDER / "curve.csv")

def plot_busy(number: int):
    with open(FOLDER / "drawn.txt", "a") as drawn:
        print(os.getpid(), file=drawn)
    return plot_curve()
"""

# Draws once for each line it is sent, and answers with the seconds that took.
BARE_LOOP = """
import io, sys, time
import matplotlib
matplotlib.use("Agg")
from bench_plot import plot_curve, plt
for line in sys.stdin:
    start = time.perf_counter()
    figure = plot_curve()
    figure.savefig(io.BytesIO(), format="png")
    print(time.perf_counter() - start, flush=True)
    plt.close(figure)
"""


# ---- The table ----


@dataclass(frozen=True)
class Row:
    """One measured figure, what it is compared with, and the most it may be."""

    what: str
    figure: float
    baseline: float
    limit: float
    bar: str
    unit: str
    seed: float

    def cells(self) -> list[str]:
        """The row as text, a cell for each column."""
        figure, baseline, seed = map(self.told, (self.figure, self.baseline, self.seed))
        met = "met" if self.figure <= self.limit else "missed"
        return [self.what, figure, baseline, f"{self.figure / self.baseline:.2f}", self.bar, met, seed]

    def told(self, value: float) -> str:
        """A value with the row's unit."""
        return f"{value:.1f} {self.unit}" if self.unit != "s" else f"{value:.3f} s"


COLUMNS = ["", "plotsrv", "baseline", "ratio", "bar", "", "plain server"]


def print_table(rows: list[Row]) -> None:
    """Print the rows under their column names, each column as wide as it needs."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


# ---- The measurements ----


def start_rows(bench: "Bench") -> list[Row]:
    """How long it takes from nothing to the gallery, and to the first picture."""
    links, lane, seed_lane = shipped_links(), bench.lane("start"), bench.lane("start-seed")
    turns: dict[str, Callable[[], float]] = {
        "import": lambda: timed(lambda: subprocess.run(IMPORTS, check=True)),
        "gallery": lambda: bench.start_seconds(plotsrv, "/", links),
        "picture": lambda: bench.start_seconds(plotsrv_with(lane), PICTURE),
        "seed gallery": lambda: bench.start_seconds(seed_server, "/", ["plot_convergence"], seed_lane),
        "seed picture": lambda: bench.start_seconds(seed_server, SEED_PICTURE, [], seed_lane),
    }
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(START_ROUNDS + 1):
        for name, turn in turns.items():
            taken[name].append(turn())
        if number == 0:  # warms the disk's cache and the byte code
            taken = {name: [] for name in turns}
    middle = {name: median(seconds) for name, seconds in taken.items()}
    base = middle["import"]
    return [
        Row("start to gallery, against the import alone", middle["gallery"], base, base,
            "1.00 of it", "s", middle["seed gallery"]),
        Row("start to first picture, against the import", middle["picture"], base, base + 0.15,
            "0.15 s more", "s", middle["seed picture"]),
    ]  # fmt: skip


def drawing_row(bench: "Bench") -> Row:
    """How long a changed table of 200 rows takes to be a picture, through the server and in a bare loop."""
    served, bare, seed = (bench.lane(f"draw-{name}") for name in ("served", "bare", "seed"))
    with ExitStack() as stack:
        port = stack.enter_context(bench.serving(plotsrv_with(served)))
        seed_port = stack.enter_context(bench.serving(seed_server, seed))
        loop = stack.enter_context(bench.running([sys.executable, "-c", BARE_LOOP], bare, talks=True))
        lanes: list[tuple[Path, Callable[[], float]]] = [
            (served, request_timer(port, PICTURE)),
            (bare, lambda: drawn_by(loop)),
            (seed, request_timer(seed_port, SEED_PICTURE)),
        ]
        taken: list[list[float]] = [[] for _ in lanes]
        for _ in range(DRAWING_BLOCKS):
            for (lane, draw), seconds in zip(lanes, taken, strict=True):
                seconds += drawing_block(lane / "curve.csv", draw)
    figure, baseline, seed_figure = (1000 * median(seconds) for seconds in taken)
    return Row("a changed 200-row plot, against a bare loop", figure, baseline, 1.1 * baseline,
               "1.10 of it", "ms", seed_figure)  # fmt: skip


def drawing_block(table: Path, draw: Callable[[], float]) -> list[float]:
    """The seconds of some drawings in a row, the table a row longer for each; the first one warms up."""
    write_table(table)
    seconds = []
    for number in range(BLOCK_DRAWINGS + 1):
        with table.open("a") as file:
            file.write(table_row(TABLE_ROWS + number))
        seconds.append(draw())
    return seconds[1:]


def memory_rows(bench: "Bench") -> list[Row]:
    """How much memory the processes hold after many drawings: sums of PSS, which count shared pages once."""
    server, both = bench.memory(workers=2)
    _, one = bench.memory(workers=1)
    seed = bench.seed_memory()
    return [
        Row("memory of the server process", server, seed, 20, "20 MB", "MB", seed),
        Row("memory of all processes, two workers", both, seed, 240, "240 MB", "MB", seed),
        Row("memory of all processes, one worker", one, seed, 190, "190 MB", "MB", seed),
    ]


# ---- What is started ----


def plotsrv(port: int, *options: str) -> list[str]:
    """The command line of plotsrv."""
    return [sys.executable, str(PLOTSRV), "--no-browser", "--port", str(port), *options]


def plotsrv_with(lane: Path, *options: str) -> Callable[[int], list[str]]:
    """The command line of plotsrv with the plot file of a lane, for whatever port."""
    return lambda port: plotsrv(port, "--plots", str(lane / "bench_plot.py"), *options)


def seed_server(port: int) -> list[str]:
    """The command line of the plain server."""
    return [sys.executable, str(SEED_SERVER), str(port)]


class Bench:
    """A folder for the run's files, and the processes, each ended when its measurement is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = 0
        self.left_behind = 0
        self.strangers: set[int] = set()

    def lane(self, name: str) -> Path:
        """A folder of its own with the plot file and a table, so that nobody's change is another's."""
        lane = self.folder / name
        lane.mkdir()
        (lane / "bench_plot.py").write_text(PLOT_FILE.format(drawing=drawing_source()))
        write_table(lane / "curve.csv")
        return lane

    def output(self) -> Path:
        """The file that keeps what the process started last says."""
        return self.folder / f"output-{self.started}.txt"

    @contextmanager
    def running(
        self, command: list[str], folder: Path | None = None, talks: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        """A process, ended at the end with all that it started."""
        self.started += 1
        mark = f"{MARK}{self.started}."
        with self.output().open("w") as output:
            process = subprocess.Popen(
                command, cwd=folder or self.folder, env={**os.environ, MARK_NAME: mark}, text=True,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output, stderr=output,
            )  # fmt: skip
        try:
            yield process
        finally:
            self.left_behind += ended(process, mark)

    @contextmanager
    def serving(self, command_for: Callable[[int], list[str]], folder: Path | None = None) -> Iterator[int]:
        """A server that answers; what is given is its port."""
        port = free_port()
        with self.running(command_for(port), folder) as process:
            self.wait_for(process, port, "/")
            yield port

    def start_seconds(
        self, command_for: Callable[[int], list[str]], path: str, texts: list[str] | None = None,
        folder: Path | None = None,
    ) -> float:  # fmt: skip
        """The seconds from starting a server to its first good answer with these texts in it."""
        port = free_port()
        command = command_for(port)
        start = time.perf_counter()
        with self.running(command, folder) as process:
            self.wait_for(process, port, path, texts or [])
            return time.perf_counter() - start

    def wait_for(self, process: subprocess.Popen[str], port: int, path: str, texts: list[str] | None = None) -> None:
        """Ask again and again until the answer is 200 and has the texts."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            status, body = answer(port, path)
            if status == 200 and all(text.encode() in body for text in texts or []):
                return
            time.sleep(POLL_SECONDS)
        said = self.output().read_text()[-2000:]
        raise SystemExit(f"{process.args!r} did not answer {path} as it should.\n{said}")

    def memory(self, workers: int) -> tuple[float, float]:
        """The MB of the server process, and of all its processes, after each worker has drawn often."""
        lane = self.lane(f"memory-{workers}")
        port = free_port()
        with self.running(plotsrv_with(lane, "--workers", str(workers))(port)) as process:
            self.wait_for(process, port, "/")
            keep_busy(port, lane / "drawn.txt", workers)
            tree = process_tree(process.pid)
            self.strangers |= matplotlib_users() - set(tree)
            return megabytes([process.pid]), megabytes(tree)

    def seed_memory(self) -> float:
        """The MB of the plain server after as many drawings."""
        port = free_port()
        with self.running(seed_server(port), self.lane("memory-seed")) as process:
            self.wait_for(process, port, "/")
            for _ in range(DRAWINGS_BEFORE_MEMORY):
                picture(port, SEED_PICTURE)
            return megabytes([process.pid])


def ended(process: subprocess.Popen[str], mark: str) -> int:
    """End a process as `kill` would; how many had to be killed harder once the promised time was over."""
    process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.02)
    kill(left)
    process.wait()
    for pipe in filter(None, [process.stdin, process.stdout]):
        pipe.close()
    return len(left)


# ---- Requests ----


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(port: int, path: str) -> tuple[int, bytes]:
    """The status and body of one request; 0 where nobody answers yet."""
    connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def picture(port: int, path: str) -> None:
    """Ask for a picture, and insist on getting one."""
    insist(path, *answer(port, path))


def insist(path: str, status: int, body: bytes) -> None:
    """Give up unless the answer is a picture."""
    if status != 200 or not body.startswith(b"\x89PNG"):
        raise SystemExit(f"{path} was answered with {status}: {body[:500]!r}")


def request_timer(port: int, path: str) -> Callable[[], float]:
    """A function that asks for a picture, over one connection where the server keeps it; its seconds."""
    connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)

    def draw() -> float:
        start = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - start
        insist(path, response.status, body)
        return seconds

    return draw


def drawn_by(loop: subprocess.Popen[str]) -> float:
    """The seconds the bare loop took for one drawing."""
    assert loop.stdin and loop.stdout
    print("draw", file=loop.stdin, flush=True)
    return float(loop.stdout.readline())


def keep_busy(port: int, drawn: Path, workers: int) -> None:
    """Ask for as many pictures at once as there are workers, until each worker has drawn often enough."""
    with ThreadPoolExecutor(workers) as clients:
        for number in range(10 * DRAWINGS_BEFORE_MEMORY):
            paths = [f"/bench_plot/busy.png?number={workers * number + client}" for client in range(workers)]
            list(clients.map(lambda path: picture(port, path), paths))
            drawings = Counter(drawn.read_text().split())
            if sum(count >= DRAWINGS_BEFORE_MEMORY for count in drawings.values()) >= workers:
                return
    raise SystemExit(f"{workers} workers were asked for; this is how often each process drew: {drawings}")


# ---- Processes, as /proc knows them ----


def all_pids() -> list[int]:
    """Every process of the machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def known(pid: int, name: str) -> bytes:
    """What /proc tells of a process; nothing where it has ended or is somebody else's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def marked(mark: str) -> list[int]:
    """The processes that have the mark in their environment, whoever is their parent by now."""
    return [pid for pid in all_pids() if f"\0{MARK_NAME}={mark}".encode() in b"\0" + known(pid, "environ")]


def kill(pids: list[int]) -> None:
    """Kill what is left."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def parent_of(pid: int) -> int | None:
    """The parent of a process."""
    found = re.search(rb"^PPid:\s*(\d+)", known(pid, "status"), re.MULTILINE)
    return int(found[1]) if found else None


def process_tree(root: int) -> list[int]:
    """A process and all its descendants: forkserver, resource tracker and the render processes below them."""
    parents = {pid: parent_of(pid) for pid in all_pids()}
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def matplotlib_users() -> set[int]:
    """The processes that have matplotlib loaded."""
    return {pid for pid in all_pids() if b"/matplotlib/" in known(pid, "maps")}


def megabytes(pids: list[int]) -> float:
    """The sum of the processes' proportional set sizes."""
    found = (re.search(rb"^Pss:\s*(\d+)", known(pid, "smaps_rollup"), re.MULTILINE) for pid in pids)
    return sum(int(size[1]) for size in found if size) / KB_PER_MB


# ---- What is drawn ----


def drawing_source() -> str:
    """The plain server's drawing function, taken over word for word."""
    text = SEED_SERVER.read_text()
    functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    return ast.get_source_segment(text, functions["draw_convergence"]) or ""


def write_table(path: Path) -> None:
    """Write a training log of 200 rows."""
    path.write_text(HEADER + "".join(map(table_row, range(TABLE_ROWS))))


def table_row(number: int) -> str:
    """A row of a training log that goes well."""
    done = number / (number + 50)
    return f"{number},{1 - done:.4f},{done:.4f},{done * 0.9:.4f},{done * 0.95:.4f}\n"


def shipped_links() -> list[str]:
    """The addresses of the plots that come with plotsrv, as links in the gallery have them."""
    files = (PLOTSRV.parent / "plots").glob("*.py")
    names = {file.stem: re.findall(r"^def plot_(\w+)", file.read_text(), re.MULTILINE) for file in files}
    return [f"{module}/{name}" for module, plots in names.items() for name in plots]


def timed(act: Callable[[], object]) -> float:
    """The seconds something takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def give_up(*_: object) -> None:
    """End the run, and with it everything it started."""
    raise SystemExit(f"The bench was ended, or took more than {WHOLE_RUN_SECONDS} s.")


def main() -> int:
    """Measure all, print the table; the exit code tells only whether a process was left behind."""
    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(WHOLE_RUN_SECONDS)
    with tempfile.TemporaryDirectory(prefix="plotsrv-bench-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder))
        stack.callback(lambda: kill(marked(MARK)))  # in case the end came while a process was being ended
        print("measuring: start, ", end="", flush=True)
        rows = start_rows(bench)
        print("drawing, ", end="", flush=True)
        rows.append(drawing_row(bench))
        print("memory\n", flush=True)
        rows += memory_rows(bench)
    print_table(rows)
    print(f"\nprocesses left behind: {bench.left_behind}")
    if bench.strangers:
        print(f"Others have matplotlib loaded, so memory looks smaller: {sorted(bench.strangers)}")
    if find_spec("pyarrow"):
        print("pyarrow is installed, and pandas loads it: the bars for memory are meant without.")
    return 1 if bench.left_behind else 0


if __name__ == "__main__":
    sys.exit(main())
