"""What is measured, and with what: servers that are started and ended, requests, processes, logs that grow.

`make bench`, `make siege` and `make picture` share it. The plain server is tests/seed_server.py.
"""

import ast
import os
import random
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
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PLOTSRV = TESTS.parent / "plotsrv.py"
SEED_SERVER = TESTS / "seed_server.py"

START_SECONDS = 30
STOP_SECONDS = 3  # what plotsrv promises after SIGTERM
POLL_SECONDS = 0.003
DRAWINGS_BEFORE_MEMORY = 20
TABLE = "curve.csv"
TABLE_ROWS = 200
STAGES = 50  # of a large log, on the way from a loss of 1 down
BLOCK_ROWS = 2000
NOISE = 0.01
KB_PER_MB = 1024  # as the kernel counts

# Each process started gets a mark of its own in its environment. It is inherited, and so finds all offspring.
MARK_NAME = "PLOTSRV_BENCH"
MARK = f"{os.getpid()}-"
UNSET = {"PYTHONDONTWRITEBYTECODE"}  # byte code is kept, as where users start their servers

HEADER = "iteration,loss,precision,recall,f-score\n"
PICTURE = "/training/convergence.png?file_path="  # of the log named after it
SEED_PICTURE = "/?mode=plot&graph=plot_convergence&file_path="

PLOT_FILE = """
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

FOLDER = Path(__file__).parent

{drawing}

def plot_curve():
    return draw_convergence(FOLDER / "curve.csv")

def plot_counted(number: int = 0):
    with open(FOLDER / "drawn.txt", "a") as drawn:
        print(os.getpid(), file=drawn)
    return plot_curve()
"""


# ---- What is started ----


def plotsrv(port: int, *options: str) -> list[str]:
    """The command line of plotsrv."""
    return [sys.executable, str(PLOTSRV), "--no-browser", "--port", str(port), *options]


def plotsrv_with(lane: Path, *options: str) -> Callable[[int], list[str]]:
    """The command line of plotsrv with the plot file of a lane, for whatever port."""
    return lambda port: plotsrv(port, "--plots", str(lane / "bench_plot.py"), *options)


def plotsrv_on(folder: Path) -> Callable[[int], list[str]]:
    """The command line of plotsrv with a data folder, for whatever port."""
    return lambda port: plotsrv(port, str(folder))


def seed_server(port: int) -> list[str]:
    """The command line of the plain server."""
    return [sys.executable, str(SEED_SERVER), str(port)]


@contextmanager
def limited_run(name: str, seconds: int) -> Iterator["Bench"]:
    """A bench that ends after so many seconds at most, and with it everything it started."""

    def give_up(*_: object) -> None:
        raise SystemExit(f"The {name} was ended, or took more than {seconds} s.")

    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    os.environ[MARK_NAME] = MARK  # for what is not started by the bench itself: the browser
    with tempfile.TemporaryDirectory(prefix=f"plotsrv-{name}-") as folder:
        try:
            yield Bench(Path(folder))
        finally:
            kill(marked(MARK))  # in case the end came while a process was being ended


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
        write_table(lane / TABLE)
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
        environment = {name: value for name, value in os.environ.items() if name not in UNSET} | {MARK_NAME: mark}
        with self.output().open("w") as output:
            process = subprocess.Popen(
                command, cwd=folder or self.folder, env=environment, text=True,
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
                picture(port, SEED_PICTURE + TABLE)
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


def keep_busy(port: int, drawn: Path, workers: int) -> None:
    """Ask for as many pictures at once as there are workers, until each worker has drawn often enough."""
    with ThreadPoolExecutor(workers) as clients:
        for number in range(10 * DRAWINGS_BEFORE_MEMORY):
            paths = [f"/bench_plot/counted.png?number={workers * number + client}" for client in range(workers)]
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


def write_table(path: Path, rows: int = TABLE_ROWS) -> None:
    """Write a training log, of 200 rows where no other number is asked for."""
    path.write_text(HEADER + "".join(map(table_row, range(rows))))


def table_row(number: int) -> str:
    """A row of a training log that goes well."""
    done = number / (number + 50)
    return f"{number},{1 - done:.4f},{done:.4f},{done * 0.9:.4f},{done * 0.95:.4f}\n"


def write_large_table(path: Path, rows: int) -> None:
    """Write a noisy training log of millions of rows, in seconds: each stage repeats the cells of one block."""
    with path.open("w") as file:
        file.write(HEADER)
        for stage in range(STAGES):
            block = [noisy_cells(stage / (stage + 5)) for _ in range(BLOCK_ROWS)]
            for first in range(stage * rows // STAGES, (stage + 1) * rows // STAGES, BLOCK_ROWS):
                file.write("".join([f"{first + number},{cells}\n" for number, cells in enumerate(block)]))


def noisy_cells(done: float) -> str:
    """What stands in a row beside the iteration, where so much has been learnt."""
    values = (1 - done, done, done * 0.9, done * 0.95)
    return ",".join(f"{value + random.gauss(0, NOISE):.4f}" for value in values)


def append_row(path: Path) -> None:
    """Write what a training writes after an iteration, with scores that are seen to be others than before."""
    iteration = last_iteration(path) + 1
    with path.open("a") as file:
        file.write(f"{iteration},{','.join(f'{random.random():.4f}' for _ in range(4))}\n")


def last_iteration(path: Path) -> int:
    """The iteration in the last row of a log, however long it is."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        return int(file.read().splitlines()[-1].split(b",")[0])
