"""Measures plotsrv's speed and memory against a plain http.server, and prints one table: `make bench`.

Everything is measured in the same run, in turns, and told as medians, because machines differ and get warm.
The plain server is tests/seed_server.py. plotsrv, it and a bare loop draw the same figure of equal tables; where what
users see is measured, each draws its own figure of the same log. The arguments choose groups of rows by name.
"""

import math
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from load import Tab, answer_bytes, requests_a_second, screen, tabs_refreshing, why_no_screen
from measuring import (
    PICTURE,
    PLOTSRV,
    SEED_PICTURE,
    TABLE,
    TABLE_ROWS,
    Bench,
    append_row,
    limited_run,
    picture,
    plotsrv,
    plotsrv_on,
    plotsrv_with,
    request_timer,
    seed_server,
    table_row,
    write_large_table,
    write_table,
)

WHOLE_RUN_SECONDS = 290
START_ROUNDS = 5
DRAWING_BLOCKS = 6
BLOCK_DRAWINGS = 10
LOAD_ROUNDS = 3
LOAD_SECONDS = 4
SEED_LOAD_SECONDS = 2
VIEWERS = 8
VIEWER_SECONDS = 10
SEED_VIEWER_SECONDS = 3
SCREEN_ROWS = 40
SEED_SCREEN_ROWS = 8
APART = (0.3, 0.6)  # seconds between two rows
SEED_APART = (0.3, 1.3)  # any moment of the second between two refreshes
LARGE_BLOCKS = 3
BYTES_A_ROW = 40

IMPORTS = [sys.executable, "-c", "import matplotlib.pyplot, pandas"]
CURVE_PICTURE = "/bench_plot/curve.png"
COUNTED_PAGE = "/bench_plot/counted"
PAGE = f"/training/convergence?file_path={TABLE}"
LIVE_PAGE = f"{PAGE}&refresh_every=live"
SEED_PAGE = f"/?mode=plotpage&graph=plot_convergence&file_path={TABLE}"

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
    """One measured figure, or why there is none; the bounds it must keep, and what it is compared with."""

    what: str
    figure: float | str
    unit: str
    bar: str = ""
    least: float = -math.inf
    most: float = math.inf
    baseline: float | None = None
    seed: float | None = None

    def cells(self) -> list[str]:
        """The row as text, a cell for each column."""
        if isinstance(self.figure, str):
            return [self.what, self.figure, "", "", self.bar, "", self.told(self.seed)]
        ratio = self.figure / self.baseline if self.baseline else math.nan
        times = "" if math.isnan(ratio) else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:,.2f}"
        met = "" if not self.bar else "met" if self.is_met else "missed"
        figure, baseline, seed = map(self.told, (self.figure, self.baseline, self.seed))
        return [self.what, figure, baseline, times, self.bar, met, seed]

    @property
    def is_met(self) -> bool:
        """Is the figure within its bounds? One that could not be taken is not."""
        return not isinstance(self.figure, str) and self.least <= self.figure <= self.most

    def told(self, value: float | None) -> str:
        """A value with the row's unit; nothing where there is none."""
        return "" if value is None else f"{value:,.{DECIMALS.get(self.unit, 0)}f} {self.unit}".rstrip()


DECIMALS = {"s": 3, "ms": 1, "MB": 1, "a second": 1}
COLUMNS = ["", "plotsrv", "baseline", "ratio", "bar", "", "plain server"]


def print_table(rows: list[Row], columns: Sequence[str] = COLUMNS) -> None:
    """Print the rows under their column names, each column as wide as it needs."""
    lines = [columns, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


# ---- Start, drawing, memory ----


def start_rows(bench: Bench) -> list[Row]:
    """How long it takes from nothing to the gallery, and to the first picture."""
    links, lane, seed_lane = shipped_links(), bench.lane("start"), bench.lane("start-seed")
    turns: dict[str, Callable[[], float]] = {
        "import": lambda: timed(lambda: subprocess.run(IMPORTS, check=True)),
        "gallery": lambda: bench.start_seconds(plotsrv, "/", links),
        "picture": lambda: bench.start_seconds(plotsrv_with(lane), CURVE_PICTURE),
        "seed gallery": lambda: bench.start_seconds(seed_server, "/", ["plot_convergence"], seed_lane),
        "seed picture": lambda: bench.start_seconds(seed_server, SEED_PICTURE + TABLE, [], seed_lane),
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
        Row("start to gallery, against the import alone", middle["gallery"], "s",
            "1.00 of it", most=base, baseline=base, seed=middle["seed gallery"]),
        Row("start to first picture, against the import", middle["picture"], "s",
            "0.15 s more", most=base + 0.15, baseline=base, seed=middle["seed picture"]),
    ]  # fmt: skip


def drawing_rows(bench: Bench) -> list[Row]:
    """How long a changed table of 200 rows takes to be a picture, through the server and in a bare loop."""
    served, bare, seed = (bench.lane(f"draw-{name}") for name in ("served", "bare", "seed"))
    with ExitStack() as stack:
        port = stack.enter_context(bench.serving(plotsrv_with(served)))
        seed_port = stack.enter_context(bench.serving(seed_server, seed))
        loop = stack.enter_context(bench.running([sys.executable, "-c", BARE_LOOP], bare, talks=True))
        lanes: list[tuple[Path, Callable[[], float]]] = [
            (served, request_timer(port, CURVE_PICTURE)),
            (bare, lambda: drawn_by(loop)),
            (seed, request_timer(seed_port, SEED_PICTURE + TABLE)),
        ]
        taken: list[list[float]] = [[] for _ in lanes]
        for _ in range(DRAWING_BLOCKS):
            for (lane, draw), seconds in zip(lanes, taken, strict=True):
                seconds += drawing_block(lane / TABLE, draw)
    figure, baseline, seed_figure = (1000 * median(seconds) for seconds in taken)
    return [
        Row("a changed 200-row plot, against a bare loop", figure, "ms",
            "1.10 of it", most=1.1 * baseline, baseline=baseline, seed=seed_figure)
    ]  # fmt: skip


def drawing_block(table: Path, draw: Callable[[], float]) -> list[float]:
    """The seconds of some drawings in a row, the table a row longer for each; the first one warms up."""
    write_table(table)
    seconds = []
    for number in range(BLOCK_DRAWINGS + 1):
        with table.open("a") as file:
            file.write(table_row(TABLE_ROWS + number))
        seconds.append(draw())
    return seconds[1:]


def drawn_by(loop: "subprocess.Popen[str]") -> float:
    """The seconds the bare loop took for one drawing."""
    assert loop.stdin and loop.stdout
    print("draw", file=loop.stdin, flush=True)
    return float(loop.stdout.readline())


def memory_rows(bench: Bench) -> list[Row]:
    """How much memory the processes hold after many drawings: sums of PSS, which count shared pages once."""
    server, both = bench.memory(workers=2)
    _, one = bench.memory(workers=1)
    seed = bench.seed_memory()
    return [
        Row("memory of the server process", server, "MB", "20 MB", most=20, baseline=seed, seed=seed),
        Row("memory of all processes, two workers", both, "MB", "240 MB", most=240, baseline=seed, seed=seed),
        Row("memory of all processes, one worker", one, "MB", "190 MB", most=190, baseline=seed, seed=seed),
    ]


# ---- Freshness: what an unchanged page costs, and how soon a change is seen ----


def unchanged_rows(bench: Bench) -> list[Row]:
    """How many refreshes of an unchanged page are answered a second, and how large an answer is."""
    lane, figures, seed_figures = bench.lane("unchanged"), [], []
    with bench.serving(plotsrv_on(lane)) as port, bench.serving(seed_server, lane) as seed_port:
        tag = Tab(port).settle(PAGE)
        for _ in range(LOAD_ROUNDS if shutil.which("wrk") else 0):
            figures.append(requests_a_second(port, PAGE, LOAD_SECONDS, tag))
            seed_figures.append(requests_a_second(seed_port, SEED_PICTURE + TABLE, SEED_LOAD_SECONDS))
        size = answer_bytes(port, PAGE, If_None_Match=tag)  # the whole page, had it changed under the load
        seed_size = sum(answer_bytes(seed_port, path) for path in (SEED_PAGE, SEED_PICTURE + TABLE))
    what = "refreshes of an unchanged page, 32 connections"
    size_row = Row("bytes of the answer to such a refresh", size, "", "under 500",
                   most=499, baseline=seed_size, seed=seed_size)  # fmt: skip
    if not figures:
        return [Row(what, "wrk is not installed", "a second", "at least 5,000"), size_row]
    figure, seed = median(figures), median(seed_figures)
    return [
        Row(what, figure, "a second", "at least 5,000", least=5000, seed=seed),
        Row("the same, against the plain server", figure, "a second", "300 times it",
            least=300 * seed, baseline=seed, seed=seed),
        size_row,
    ]  # fmt: skip


def viewer_rows(bench: Bench) -> list[Row]:
    """How often is drawn for eight tabs that refresh each second: once a change, and else not at all."""
    lane, seed_lane = bench.lane("viewers"), bench.lane("viewers-seed")
    with bench.serving(plotsrv_with(lane)) as port, bench.serving(seed_server, seed_lane) as seed_port:
        Tab(port).settle(COUNTED_PAGE)
        drawings, seed_drawings = [], []
        for changing in (True, False):
            before = drawings_counted(lane)
            refreshed(port, COUNTED_PAGE, lane / TABLE, VIEWER_SECONDS, changing)
            drawings.append((drawings_counted(lane) - before) / VIEWER_SECONDS)
            refreshes = refreshed(seed_port, SEED_PICTURE + TABLE, seed_lane / TABLE, SEED_VIEWER_SECONDS, changing)
            seed_drawings.append(refreshes / SEED_VIEWER_SECONDS)  # each of them draws
    (changed, unchanged), (seed_changed, seed_unchanged) = drawings, seed_drawings
    return [
        Row("drawings for 8 tabs, a row added each second", changed, "a second", "1 a second",
            least=1, most=1, seed=seed_changed),
        Row("drawings for 8 tabs, nothing changes", unchanged, "a second", "none", most=0, seed=seed_unchanged),
    ]  # fmt: skip


def refreshed(port: int, path: str, table: Path, seconds: int, changing: bool) -> int:
    """Let eight tabs refresh, while the table gets a row each second or none; how many refreshes there were."""
    with tabs_refreshing(port, path, VIEWERS, seconds) as statuses:
        for _ in range(seconds):
            if changing:
                append_row(table)
            time.sleep(1)
    if set(statuses) - {200, 304}:
        raise SystemExit(f"{path} was answered with {set(statuses)}.")
    return len(statuses)


def drawings_counted(lane: Path) -> int:
    """How often the plot was called: it writes a line each time."""
    return len((lane / "drawn.txt").read_text().splitlines())


def live_rows(bench: Bench) -> list[Row]:
    """How long it takes from a row in the file to its pixels on Chromium's screen."""
    what, rare = "row appended until on Chromium's screen, live", "the same, 95 % of the rows"
    if reason := why_no_screen():
        return [Row(what, reason, "ms", "120 ms"), Row(rare, reason, "ms", "under 200 ms")]
    lane, seed_lane = bench.lane("live"), bench.lane("live-seed")
    with bench.serving(plotsrv_on(lane)) as port:
        Tab(port).settle(LIVE_PAGE)
        taken = screen_milliseconds(port, LIVE_PAGE, lane / TABLE, SCREEN_ROWS, APART)
    with bench.serving(seed_server, seed_lane) as port:
        page = f"{SEED_PAGE}&refresh_every=1"
        seed_taken = screen_milliseconds(port, page, seed_lane / TABLE, SEED_SCREEN_ROWS, SEED_APART)
    return [
        Row(what, median(taken), "ms", "120 ms", most=120, seed=median(seed_taken)),
        Row(rare, share_of(taken, 0.95), "ms", "under 200 ms", most=200, seed=share_of(seed_taken, 0.95)),
    ]


def screen_milliseconds(port: int, path: str, table: Path, rows: int, apart: tuple[float, float]) -> list[float]:
    """What each row takes that is appended at a random moment."""
    taken = []
    with screen(f"http://127.0.0.1:{port}{path}") as seen:
        for _ in range(rows):
            taken.append(1000 * seen.seconds_until_seen(lambda: append_row(table)))
            seen.wait(random.uniform(*apart))
    return taken


def share_of(values: list[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


# ---- Large logs ----


@dataclass(frozen=True)
class Large:
    """A large log, what its drawings may cost, and how often the plain server is asked to draw it."""

    rows: int
    of_small: float  # at most so many times the same with 200 rows
    faster: float  # and at least so many times as fast as the plain server
    seed_drawings: int


LARGE = [Large(1_000_000, 2, 5, 5), Large(10_000_000, 3.5, 25, 2)]


def large_rows(bench: Bench) -> list[Row]:
    """How long a row more takes to be in the picture of a log of millions of rows."""
    lane = bench.lane("large")
    with bench.serving(plotsrv_on(lane)) as port, bench.serving(seed_server, lane) as seed_port:
        return [row for log in LARGE for row in large_log_rows(log, lane, port, seed_port)]


def large_log_rows(log: Large, lane: Path, port: int, seed_port: int) -> list[Row]:
    """The rows for one large log; it is removed when they are there."""
    what, table = f"row appended to {log.rows:,} until in the PNG", lane / f"{log.rows}.csv"
    if shutil.disk_usage(lane).free < 2 * BYTES_A_ROW * log.rows:
        return [Row(what, f"no room for {BYTES_A_ROW * log.rows / 1e6:.0f} MB", "ms", f"{log.of_small:g} of 200 rows")]
    write_large_table(table, log.rows)
    cold = timed(lambda: picture(port, PICTURE + table.name))
    seed_cold = timed(lambda: picture(seed_port, SEED_PICTURE + table.name))
    small_taken, taken = [], []
    for _ in range(LARGE_BLOCKS):
        small_taken += appending_block(port, PICTURE, lane / TABLE, BLOCK_DRAWINGS)
        taken += appending_block(port, PICTURE, table, BLOCK_DRAWINGS)
    seed_taken = appending_block(seed_port, SEED_PICTURE, table, log.seed_drawings)
    table.unlink()
    small, figure, seed = (1000 * median(seconds) for seconds in (small_taken, taken, seed_taken))
    return [
        Row(f"first drawing of {log.rows:,} rows", cold, "s", seed=seed_cold),
        Row(what, figure, "ms", f"{log.of_small:g} of 200 rows",
            most=log.of_small * small, baseline=small, seed=seed),
        Row("the same, against the plain server", figure, "ms", f"1/{log.faster:g} of it",
            most=seed / log.faster, baseline=seed, seed=seed),
    ]  # fmt: skip


def appending_block(port: int, path: str, table: Path, drawings: int) -> list[float]:
    """The seconds from a row appended until the picture is there, so many times; one drawing more warms up."""
    draw = request_timer(port, path + table.name)
    return [timed(lambda: (append_row(table), draw())) for _ in range(drawings + 1)][1:]


# ---- Reading logs of other kinds ----


@dataclass(frozen=True)
class Lines:
    """A kind of log, what else can read its numbers, and the bar."""

    what: str
    line: str  # with its step, and two values that vary
    seldom: str  # a line of another kind, now and then
    other: str  # a reader in tests/reading.py
    other_line: str  # the same numbers, as that one reads them
    other_seldom: str
    header: str
    of_other: float  # the most that the first reading may take, in times of the other reader's


RECORD = '{{"step": {step}, "loss": {loss:.4f}, "lr": 0.0003, "grad_norm": {other:.2f}}}'
CONSOLE = "iter {step}: loss {loss:.4f}, time {other:.2f}ms, mfu 0.01%"
EVALUATION = "step {step}: train loss {loss:.4f}, val loss {other:.4f}"
NUMBERS, EVALUATION_NUMBERS = "{step},{loss:.4f},{other:.2f},0.01,,", "{step},,,,{loss:.4f},{other:.4f}"
NAMES = "iter,loss,time,mfu,train loss,val loss"
KINDS_OF_LINES = (
    Lines("text", CONSOLE, EVALUATION, "read_csv", NUMBERS, EVALUATION_NUMBERS, NAMES, 10),
    Lines("JSON lines", RECORD, "", "read_json", RECORD, "", "", 1),
)
LINE_MILLISECONDS = 5
SELDOM = 250  # lines between two of the other kind
LOG_LINES = 1_000_000
LOG_ROUNDS = 3


def log_rows(bench: Bench) -> list[Row]:
    """How long logs of a million lines take to be read, and a line more of them."""
    return [row for lines in KINDS_OF_LINES for row in rows_of_lines(lines, bench.lane(lines.what.replace(" ", "_")))]


def rows_of_lines(lines: Lines, lane: Path) -> list[Row]:
    """The rows for one kind of log; each reading is that of a fresh process."""
    log, other = lane / "log.txt", lane / "other.txt"
    write_lines(other, lines.other_line, lines.other_seldom, lines.header)
    taken, appended, others = [], [], []
    for _ in range(LOG_ROUNDS):
        write_lines(log, lines.line, lines.seldom)
        first, more = reading("read_log", log, lines.line)
        taken, appended = [*taken, first], [*appended, more]
        others += [reading(lines.other, other, "")[0]]
    log.unlink()
    other.unlink()
    baseline = median(others)
    return [
        Row(f"first reading of {LOG_LINES:,} lines of {lines.what}", median(taken), "s",
            f"{lines.of_other:g} of {lines.other}", most=lines.of_other * baseline, baseline=baseline),
        Row(f"a line of {lines.what} more", 1000 * median(appended), "ms",
            f"{LINE_MILLISECONDS} ms", most=LINE_MILLISECONDS),
    ]  # fmt: skip


def write_lines(path: Path, line: str, seldom: str, header: str = "") -> None:
    """Write a log of so many lines, under a header where there is one."""
    with path.open("w") as file:
        file.write(header + "\n" if header else "")
        for step in range(LOG_LINES):
            values = dict(step=step, loss=3 * random.random(), other=20 + 10 * random.random())
            if seldom and step % SELDOM == 0:
                file.write(seldom.format(**values) + "\n")
            file.write(line.format(**values) + "\n")


def reading(reader: str, path: Path, line: str) -> tuple[float, float]:
    """The seconds that a fresh process takes for the first reading, and for each one after a line more."""
    command = [sys.executable, str(Path(__file__).with_name("reading.py")), reader, str(path), line]
    first, more = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(first), float(more)


# ---- What else is needed ----


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


GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "start": start_rows,
    "drawing": drawing_rows,
    "memory": memory_rows,
    "unchanged": unchanged_rows,
    "viewers": viewer_rows,
    "live": live_rows,
    "large": large_rows,
    "logs": log_rows,
}


def main(*names: str) -> int:
    """Measure the groups that are named, or all; the exit code tells only whether a process was left behind."""
    if unknown := set(names) - set(GROUPS):
        raise SystemExit(f"There is no group {', '.join(unknown)}; choose among {', '.join(GROUPS)}.")
    rows = []
    try:
        with limited_run("bench", WHOLE_RUN_SECONDS) as bench:
            for name in names or GROUPS:
                print(f"measuring: {name}, ", end="", flush=True)
                start = time.perf_counter()
                rows += GROUPS[name](bench)
                print(f"{time.perf_counter() - start:.0f} s")
    finally:
        print()
        print_table(rows)  # what there is of it, where the end came early
    print(f"\nprocesses left behind: {bench.left_behind}")
    if bench.strangers:
        print(f"Others have matplotlib loaded, so memory looks smaller: {sorted(bench.strangers)}")
    if "memory" in (names or GROUPS) and find_spec("pyarrow"):
        print("pyarrow is installed, and pandas loads it: the bars for memory are meant without.")
    return 1 if bench.left_behind else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
