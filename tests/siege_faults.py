"""Faults on purpose: processes killed, plots that do harm, signals, clocks that jump, full disks, weeks of refreshes.

Part of `make siege`; short forms of each run in tests/test_faults.py. What the hostile plots are to be answered with
stands in tests/hostile_plots.py. Everything is bounded in time, and goes to loopback addresses only.
"""

import hashlib
import html
import itertools
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from typing import Any

from bench import Row, share_of
from load import BROWSER_ARGUMENTS, LiveStream, Tab, asking, browser_path, why_no_screen
from measuring import (
    MARK,
    PLOTSRV,
    TABLE_ROWS,
    Bench,
    append_row,
    free_port,
    known,
    last_iteration,
    marked,
    megabytes,
    parent_of,
    plotsrv,
    process_tree,
    write_table,
)

HOSTILE_PLOTS = Path(__file__).with_name("hostile_plots.py")
PATIENCE_SECONDS = 30
EXIT_SECONDS = 3  # what plotsrv promises after a signal
STARTING = threading.Lock()


# ---- Servers, and what they answer ----


@contextmanager
def running(bench: Bench, command: list[str], folder: Path | None = None) -> Iterator[Any]:
    """A process of the bench that knows its own mark, and the file with what it says."""
    with ExitStack() as stack:
        with STARTING:
            process = stack.enter_context(bench.running(command, folder))
            process.mark, process.said = f"{MARK}{bench.started}.", bench.output()
        yield process


@contextmanager
def served(bench: Bench, *options: str, port: int = 0, before: Sequence[str] = (), folder: Path | None = None) -> Any:
    """A server that answers: its port and its process. What is to come `before` it: env or another wrapper."""
    port = port or free_port()
    with running(bench, [*before, *plotsrv(port, *options)], folder) as process:
        bench.wait_for(process, port, "/")
        yield port, process


@dataclass(frozen=True)
class Answer:
    """What came of one request; the status is 0 where no whole answer came."""

    status: int
    body: bytes = b""
    headers: Any = None
    started: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def text(self) -> str:
        """What a person reads of it, in one line."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.body.decode(errors="replace"))).split())


def ask(port: int, path: str, seconds: float = PATIENCE_SECONDS, source: str = "127.0.0.1", **headers: str) -> Answer:
    """One request over a connection of its own."""
    started, status, body, fields = time.monotonic(), 0, b"", None
    connection = HTTPConnection("127.0.0.1", port, timeout=seconds, source_address=(source, 0))
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers={"Connection": "close"} | sent)
        response = connection.getresponse()
        fields, body = response.headers, response.read()
        status = response.status
    except (OSError, HTTPException):
        pass
    finally:
        connection.close()
    return Answer(status, body, fields, started, time.monotonic())


def wait_until_drawn(port: int, path: str) -> Answer:
    """The first good answer: while a file is being imported, its plots are answered with 503."""
    found = eventually(lambda: (answer := ask(port, path)).status == 200 and answer)
    if not found:
        raise SystemExit(f"{path} was never answered well.")
    return found


def lane(bench: Bench, name: str) -> Path:
    """A folder with the plot file of the benches, other than any before."""
    return bench.lane(f"{name}-{bench.started}")


def hostile_lane(bench: Bench, name: str) -> Path:
    """A folder with a copy of the hostile plots: they write their notes beside it."""
    folder = bench.folder / f"{name}-{bench.started}"
    folder.mkdir()
    shutil.copy(HOSTILE_PLOTS, folder)
    return folder


def notes(folder: Path, name: str) -> list[str]:
    """The lines that plots have noted."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until the condition holds; what it gave last."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def tracebacks(*saids: Path) -> int:
    """How many of Python's tracebacks servers have printed."""
    return sum(said.read_text(errors="replace").count("Traceback (most recent call last)") for said in saids)


def none_of(what: str, count: int) -> Row:
    """A row for what must not be."""
    return Row(what, count, "", "none", most=0)


# ---- Processes ----


def forked(pid: int) -> list[int]:
    """The forkserver of a server, and all that was forked from it."""
    return [each for each in process_tree(pid) if b"multiprocessing.forkserver import main" in known(each, "cmdline")]


def render_processes(pid: int) -> list[int]:
    """Those that draw: forked from the forkserver."""
    family = forked(pid)
    return [each for each in family if parent_of(each) in family]


def forkserver_of(pid: int) -> list[int]:
    """The youngest of those that fork: one that was killed may have left children to the server for a moment."""
    family = forked(pid)
    return [each for each in family if parent_of(each) not in family][-1:]


def state_of(pid: int) -> str:
    """The state of a process, as one letter."""
    found = re.search(rb"^State:\s*(\w)", known(pid, "status"), re.MULTILINE)
    return found[1].decode() if found else ""


def zombies(pid: int) -> int:
    """How many processes below a server have ended without anybody having taken notice, now and a second later."""
    before = {each for each in process_tree(pid) if state_of(each) == "Z"}
    time.sleep(1)
    return len(before & {each for each in process_tree(pid) if state_of(each) == "Z"})


def is_alive(pid: int | str) -> bool:
    """Is there such a process, other than as a zombie?"""
    return state_of(int(pid)) not in ("", "Z")


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended by now."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


# ---- Chaos ----


def chaos(
    bench: Bench, name: str, victims: Callable[[int], list[int]], seconds: float, every: float, clients: int
) -> tuple[list[Answer], list[float], int, int]:
    """Kill one of a server's processes now and then, while clients ask for new drawings without a pause.

    The answers, the times of the kills, the zombies at the end, and the tracebacks in the server's output.
    """
    folder = lane(bench, name)
    numbers, answers, kills = itertools.count(), [], []
    with served(bench, "--plots", str(folder / "bench_plot.py")) as (port, process):
        wait_until_drawn(port, f"/bench_plot/counted.png?number={next(numbers)}")
        end = time.monotonic() + seconds

        def client() -> None:
            while time.monotonic() < end:
                answers.append(ask(port, f"/bench_plot/counted.png?number={next(numbers)}"))

        with ThreadPoolExecutor(clients) as pool:
            busy = [pool.submit(client) for _ in range(clients)]
            while time.monotonic() < end - every:
                time.sleep(every)
                if found := victims(process.pid):
                    kills.append(time.monotonic())
                    send(random.choice(found), signal.SIGKILL)
            for each in busy:
                each.result()
        return answers, kills, zombies(process.pid), tracebacks(process.said)


def kill_renderers(bench: Bench, seconds: float = 60, every: float = 0.5, clients: int = 4) -> Iterator[Row]:
    """A random render process killed with SIGKILL, again and again, under load (X2, X13)."""
    answers, kills, dead, traced = chaos(bench, "kill", render_processes, seconds, every, clients)
    bad = Counter(each.status for each in answers if each.status != 200)
    if bad:
        print(f"  failed answers by status: {dict(bad)}")
    yield Row(f"render processes killed, one every {every:g} s", len(kills), "")
    yield Row("drawings asked for meanwhile", len(answers), "")
    yield none_of("of these, failed answers", sum(bad.values()))
    yield Row("99 % of them within", share_of([each.seconds for each in answers], 0.99), "s", "2 s", most=2)
    yield none_of("zombies left", dead)
    yield none_of("tracebacks of the server", traced)


def kill_forkserver(bench: Bench, seconds: float = 60, every: float = 5, clients: int = 4) -> Iterator[Row]:
    """The process that forks all others killed, again and again (X13)."""
    answers, kills, dead, traced = chaos(bench, "forkserver", forkserver_of, seconds, every, clients)
    bad = Counter(each.status for each in answers if each.status != 200)
    if bad:
        print(f"  failed answers by status: {dict(bad)}")
    good = [each for each in answers if each.status == 200]
    recoveries = [
        min((each.ended - killed for each in good if each.started >= killed), default=math.inf) for killed in kills
    ]
    yield Row(f"forkservers killed, one every {every:g} s", len(kills), "")
    yield Row("drawings asked for meanwhile", len(answers), "")
    yield none_of("of these, failed answers", sum(bad.values()))
    yield Row("longest from a kill to the next new drawing", max(recoveries, default=math.inf), "s", "1 s", most=1)
    yield none_of("zombies left", dead)
    yield none_of("tracebacks of the server", traced)


# ---- Hostile plots ----

TIMEOUT = 3
MEMORY_GB = 1


def hostile(bench: Bench, names: Sequence[str] = (), baseline_seconds: float = 15) -> Iterator[Row]:
    """Each hostile plot beside a healthy one, which is drawn anew without a pause (X1 to X5).

    The baseline is the healthy plot beside another healthy one: two cores are two cores.
    """
    from hostile_plots import HOSTILE

    table = [each for each in HOSTILE if not names or each.name in names]
    folder = hostile_lane(bench, "hostile")
    limits = ["--timeout", str(TIMEOUT), "--memory", str(MEMORY_GB)]
    wrong, orphans = [], 0
    with served(bench, "--plots", str(folder / "hostile_plots.py"), *limits) as (port, process):
        first = wait_until_drawn(port, "/hostile_plots/healthy.png")
        with Beside(port) as neighbour:
            end, numbers = time.monotonic() + baseline_seconds, itertools.count(1)
            while time.monotonic() < end:
                ask(port, f"/hostile_plots/healthy.png?number={next(numbers)}")
        before = neighbour.answers
        with Beside(port) as neighbour:
            for each in table:
                answer = ask(port, f"/hostile_plots/{each.name}.png", Accept="image/*")
                message = "" if answer.status == 200 else answer.text
                late = answer.seconds > TIMEOUT + 1
                if answer.status not in each.statuses or not is_told(each, message) or late:
                    wrong.append(f"{each.name}: {answer.status} after {answer.seconds:.1f} s: {message[:200]}")
                if 504 in each.statuses:
                    strays = notes(folder, "strays")
                    orphans += not eventually(lambda strays=strays: not any(map(is_alive, strays)), 1)
        answers = neighbour.answers
        said = process.said
        send(process.pid, signal.SIGTERM)
        orphans += len((eventually(lambda: not marked(process.mark), EXIT_SECONDS) and []) or marked(process.mark))
    for line in wrong:
        print(f"  {line}")
    different = Counter((each.status, fingerprint(each)) for each in answers if fingerprint(each) != fingerprint(first))
    if different:
        print(f"  healthy answers that differ: {dict(different)}")
        print(f"  the first: {next(each for each in answers if fingerprint(each) != fingerprint(first)).text[:300]}")
    slow, usual = (1000 * share_of([each.seconds for each in some], 0.99) for some in (answers, before))
    yield Row("hostile plots with the right message in time", len(table) - len(wrong), "", f"all {len(table)}",
              least=len(table))  # fmt: skip
    yield Row("healthy pictures drawn beside them", len(answers), "")
    yield none_of("of these, failed or not the same to the byte", different.total())
    yield Row("99 % of the healthy ones within", slow, "ms", "1.50 of it", most=1.5 * usual, baseline=usual)
    yield none_of("processes that outlived their plot or the server", orphans)
    yield none_of("tracebacks of the server", tracebacks(said))


def is_told(hostile: Any, message: str) -> bool:
    """Is it the message that a hostile plot has to get? An SVG breaks the line at 70 characters, and ends it."""
    return bool(re.search(hostile.message, message))


def fingerprint(answer: Answer) -> str:
    """What tells two pictures apart."""
    return hashlib.sha256(answer.body).hexdigest()[:12] if answer.status == 200 else f"status {answer.status}"


class Beside:
    """A client that has the healthy plot drawn again and again, from another address, until it is left."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[Answer] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self) -> None:
        """Ask until it is over."""
        while not self.over.is_set():
            self.answers.append(ask(self.port, "/hostile_plots/healthy.png", source="127.0.0.2"))

    def __enter__(self) -> "Beside":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


# ---- The soak: weeks of refreshes ----

LOGS = 4
ROWS_A_TRAINING = 150  # then the log begins anew
STREAMS = 3
CHANGES_A_STREAM = 20  # then one comes, and the one that has been there longest goes
CHANGES_A_TAB = 50  # then a viewer closes one, and opens it anew
REST_SECONDS = 6  # a live picture is watched on for 3 s when its viewer has left
SAMPLES = 5
SAMPLE_SECONDS = 0.2
MEMORY_SHARE = 1.05

# What each viewer refreshes: the path, and whether it tells what it knows of that.
REFRESHES = [
    ("/training/convergence?file_path={log}", True),
    ("/training/convergence?file_path={log}", True),
    ("/training/convergence?file_path={log}", False),
    ("/training/convergence?file_path={log}&refresh_every=1", True),
    ("/training/convergence?file_path={log}&refresh_every=live", True),
    ("/training/convergence?file_path=not-yet.csv", True),
    ("/training/convergence.png?file_path={log}", True),
    ("/training/convergence.png?file_path={log}", False),
    ("/training/convergence/form?file_path={log}", False),
    ("/", True),
]
STREAM = "/training/convergence.live?file_path={log}"
VIEWERS = len(REFRESHES)
EXPECTED = {200, 304, 404}  # 404 is the page that waits for a log


def soak(
    bench: Bench,
    changes: int = 2000,
    rounds: int = 5,
    warm_up: int = LOGS * ROWS_A_TRAINING,  # until each log has begun anew: pictures have had all their sizes by then
    rest_seconds: float = REST_SECONDS,
) -> Iterator[Row]:
    """100,000 refreshes, while logs grow and begin anew, and live streams come and go (X5, X15).

    When all viewers have left, the server must hold what it held after the warm-up, and no more.
    """
    folder = bench.folder / f"soak-{bench.started}"
    (temporary := folder / "tmp").mkdir(parents=True)
    with served(bench, str(folder), before=["env", f"TMPDIR={temporary}"], folder=folder) as (port, process):
        soaking = Soak(folder, port, rounds)
        wait_until_drawn(port, f"/training/convergence.png?file_path={soaking.logs[0].name}")
        soaking.go_on(warm_up)
        before, refreshed = held(process.pid, temporary, rest_seconds), soaking.statuses.total()
        soaking.go_on(changes)
        after = held(process.pid, temporary, rest_seconds)
        traced = tracebacks(process.said)
    told = ", ".join(f"{count:,} with {status}" for status, count in sorted(soaking.statuses.items()))
    print(f"  with those of the warm-up {told}; {soaking.streams:,} live streams got {soaking.streamed / 1e6:,.0f} MB")
    unexpected = sum(count for status, count in soaking.statuses.items() if status not in EXPECTED)
    yield Row("refreshes", soaking.statuses.total() - refreshed, "", f"{changes * rounds * VIEWERS:,}",
              least=changes * rounds * VIEWERS)  # fmt: skip
    yield none_of("unexpected answers", unexpected)
    for what, held_before in before.items():
        is_memory = what.startswith("memory")
        most = held_before * (MEMORY_SHARE if is_memory else 1)
        bar, unit = ("5 % more", "MB") if is_memory else ("no more", "")
        yield Row(f"{what} afterwards", after[what], unit, bar, most=most, baseline=held_before)
    yield none_of("tracebacks of the server", traced)


class Soak:
    """The logs of some trainings, and those who look at them."""

    def __init__(self, folder: Path, port: int, rounds: int) -> None:
        self.port = port
        self.rounds = rounds  # of refreshes after each change: most find nothing new
        self.logs = [folder / f"run-{number}.csv" for number in range(LOGS)]
        self.statuses: Counter[int] = Counter()
        self.changes = self.streams = self.streamed = 0
        for log in self.logs:
            write_table(log)

    def go_on(self, changes: int) -> None:
        """So many changes, after each of which every viewer refreshes; at the end all viewers leave."""
        tabs, streams = [Tab(self.port) for _ in range(VIEWERS)], []
        with ThreadPoolExecutor(VIEWERS) as viewers:
            for _ in range(changes):
                self.change_log()
                for _ in range(self.rounds):
                    self.statuses.update(viewers.map(self.refresh, tabs, range(VIEWERS)))
                if self.changes % CHANGES_A_STREAM == 0:
                    self.move_on(streams)
                if self.changes % CHANGES_A_TAB == 0:
                    tabs[self.changes // CHANGES_A_TAB % VIEWERS].close()
        for each in tabs:
            each.close()
        for each in streams:
            self.leave(each)

    def change_log(self) -> None:
        """The next log gets a row, or begins anew."""
        self.changes += 1
        log = self.log(self.changes)
        if last_iteration(log) < TABLE_ROWS + ROWS_A_TRAINING:
            append_row(log)
        else:
            write_table(log)

    def refresh(self, tab: Tab, number: int) -> int:
        """One viewer's refresh; the status of the answer."""
        path, conditional = REFRESHES[number]
        return tab.refresh(path.format(log=self.log(number).name), conditional)

    def move_on(self, streams: list[LiveStream]) -> None:
        """A stream comes, and one that has been there for long goes."""
        self.streams += 1
        path = STREAM.format(log=self.log(self.streams).name)
        streams.append(LiveStream(self.port, path, browser=f"browser {self.streams}"))
        if len(streams) > STREAMS:
            self.leave(streams.pop(0))

    def leave(self, stream: LiveStream) -> None:
        """A stream's viewer goes."""
        stream.close()
        self.streamed += stream.received

    def log(self, number: int) -> Path:
        """The log that has its turn, of a change, a viewer or a stream with that number."""
        return self.logs[number % LOGS]


def held(pid: int, temporary: Path, rest_seconds: float) -> dict[str, float]:
    """What a server at rest holds: memory as PSS, descriptors and threads of all its processes, temporary files."""
    time.sleep(rest_seconds)
    tree = process_tree(pid)
    server, everything = [], []
    for _ in range(SAMPLES):
        server.append(megabytes([pid]))
        everything.append(megabytes(tree))
        time.sleep(SAMPLE_SECONDS)
    return {
        "memory of the server process": median(server),
        "memory of all processes": median(everything),
        "file descriptors": sum(len(os.listdir(f"/proc/{each}/fd")) for each in tree),
        "threads": sum(len(os.listdir(f"/proc/{each}/task")) for each in tree),
        "processes": len(tree),
        "temporary files": sum(1 for _ in temporary.rglob("*")),
    }


# ---- Signals ----

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The clean ends: by plotsrv itself, by Ctrl-C before there was anything to end, or by the signal, where Python has not
# come to plotsrv.py yet. While Python is starting, or compiles that file, a Ctrl-C is Python's own affair: it says
# KeyboardInterrupt, and its exit code is 1.
CLEAN = {0, 130, *(-number for number in SIGNALS)}
OUR_FRAMES = re.compile(r'plotsrv\.py", line [1-9]|File "<string>"')
IN_FLIGHT = (
    "/hostile_plots/loops.png",
    "/hostile_plots/waits.png?number=1",
    "/hostile_plots/healthy.live",
    "/hostile_plots/healthy?refresh_every=1",
    "/hostile_plots/waits_for_a_child_in_a_session_of_its_own.png",
)


@dataclass(frozen=True)
class Ending:
    """How a server ended."""

    how: str  # it was told
    seconds: float  # from the first signal until it was gone
    left: int  # of its processes, when the promised time was over
    code: int | None
    traced: bool  # by code of plotsrv's
    pythons: bool  # Python was not there yet
    port_is_free: bool

    @property
    def is_clean(self) -> bool:
        """Is the exit code what a shell expects?"""
        return self.code in CLEAN or self.pythons


def signals(bench: Bench, count: int = 200, at_a_time: int = 2, seed: int = 5) -> Iterator[Row]:
    """Signals at random moments: during the start, at rest, with drawings and streams in flight, twice (X12)."""
    chance = random.Random(seed)
    folder = hostile_lane(bench, "signals")
    plans = [Plan.made(chance, number / count) for number in range(count)]
    with ThreadPoolExecutor(at_a_time) as pool:
        endings = list(pool.map(lambda plan: ended_by(bench, folder, plan), plans))
    for each in endings:
        if each.seconds > EXIT_SECONDS or each.left or not each.is_clean or each.traced or not each.port_is_free:
            print(f"  {each}")
    yield Row("servers ended by signals", len(endings), "")
    yield Row("of these, while Python itself was starting", sum(each.pythons for each in endings), "")
    yield Row("the slowest was gone after", max(each.seconds for each in endings), "s", "3 s", most=EXIT_SECONDS)
    yield none_of("processes left after 3 s", sum(each.left for each in endings))
    yield none_of("exit codes other than 0 and 130", sum(not each.is_clean for each in endings))
    yield none_of("ends with a traceback", sum(each.traced for each in endings))
    yield none_of("ports that were not free at once", sum(not each.port_is_free for each in endings))


@dataclass(frozen=True)
class Plan:
    """When a server is sent what signals."""

    numbers: tuple[int, ...]
    apart: float  # seconds between two signals
    delay: float  # from its start, or from when it serves
    loads: int  # requests in flight; none where it does not serve yet

    @classmethod
    def made(cls, chance: random.Random, share: float) -> "Plan":
        """A quarter in the first moments, a quarter during the rest of the start, and half under load."""
        numbers = tuple(chance.choice(SIGNALS) for _ in range(1 + (chance.random() < 0.25)))
        latest = 0.15 if share < 0.25 else 1.5 if share < 0.5 else 0.7
        loads = 0 if share < 0.5 else chance.randint(1, len(IN_FLIGHT))
        return cls(numbers, chance.choice((0, 0.02, 0.5)), chance.uniform(0, latest), loads)


def ended_by(bench: Bench, folder: Path, plan: Plan) -> Ending:
    """Start a server, and end it as planned; once more where a connection took its port before it could listen."""
    port = free_port()
    with ExitStack() as stack:
        process = stack.enter_context(
            running(bench, plotsrv(port, "--plots", str(folder / "hostile_plots.py")), folder)
        )
        if plan.loads and not eventually(lambda: is_drawn(port) or process.poll() is not None):
            raise SystemExit(f"a server never answered: {process.said.read_text(errors='replace')[-600:]}")
        if plan.loads and "taken by" in process.said.read_text(errors="replace"):
            return ended_by(bench, folder, plan)
        for path in IN_FLIGHT[: plan.loads]:
            stack.enter_context(asking(port, path, User_Agent=path))
        time.sleep(plan.delay)
        began = time.monotonic()
        for number in plan.numbers:
            send(process.pid, number)
            time.sleep(plan.apart if len(plan.numbers) > 1 else 0)
        is_gone = lambda: process.poll() is not None and not marked(process.mark)  # noqa: E731
        gone = eventually(is_gone, EXIT_SECONDS)
        left = [] if gone else marked(process.mark)
        port_is_free = can_listen(port)
        gone = gone or eventually(is_gone, 2 * EXIT_SECONDS)
        seconds = time.monotonic() - began if gone else math.inf
        names = "+".join(signal.Signals(number).name for number in plan.numbers)
        how = f"{names} after {plan.delay:.3f} s with {plan.loads} in flight, {plan.apart:g} s apart"
        said = process.said.read_text(errors="replace")
        traced = "Traceback" in said and bool(OUR_FRAMES.search(said))
        pythons = "KeyboardInterrupt" in said and not traced
        if traced or (process.poll() not in CLEAN and not pythons):
            print(f"  {how}: {said[-600:]}")
        return Ending(how, seconds, len(left), process.poll(), traced, pythons, port_is_free)


def is_drawn(port: int) -> bool:
    """Is the healthy plot drawn there?"""
    return ask(port, "/hostile_plots/healthy.png").status == 200


def can_listen(port: int) -> bool:
    """Would a server that is started now get the port?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


STUBBORN = (
    "loops_with_signals_blocked",
    "loops_with_signals_ignored",
    "waits_for_a_child_in_a_session_of_its_own",
    "waits_for_its_child",
)


def orphans(bench: Bench, times: int = 5) -> Iterator[Row]:
    """The server killed with SIGKILL in the middle of drawings that let no signal through (X12)."""
    left = started = 0
    for _ in range(times):
        folder = hostile_lane(bench, "orphans")
        options = ["--plots", str(folder / "hostile_plots.py"), "--workers", str(len(STUBBORN))]
        with served(bench, *options) as (port, process), ExitStack() as stack:
            wait_until_drawn(port, "/hostile_plots/healthy.png")
            for name in STUBBORN:
                stack.enter_context(asking(port, f"/hostile_plots/{name}.png"))
            eventually(lambda folder=folder: len(notes(folder, "begun")) == len(STUBBORN), 10)
            time.sleep(0.1)
            started += len(marked(process.mark))
            send(process.pid, signal.SIGKILL)
            eventually(lambda process=process: not marked(process.mark), EXIT_SECONDS)
            for pid in marked(process.mark):
                left += 1
                print(f"  left: {known(pid, 'cmdline').replace(bytes(1), b' ').decode()[:100]}")
    yield Row("processes of servers killed with SIGKILL", started, "")
    yield none_of("of these, left after 3 s", left)


# ---- Clocks ----


def clock(
    bench: Bench, jumps: Sequence[float] = (3600, -3600, 0), stop_seconds: float = 20, tabs: int = 50
) -> Iterator[Row]:
    """Clocks that jump, and a machine that sleeps: the first refresh afterwards works (X14)."""
    yield jump_row(bench, jumps)
    yield from sleep_rows(bench, stop_seconds, tabs)


def jump_row(bench: Bench, jumps: Sequence[float]) -> Row:
    """The wall clock set forth and back, as NTP or a person does it; the monotonic one goes on."""
    what = "refreshes that failed after the clock jumped"
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        return Row(what, "libfaketime is not installed", "", "none")
    folder = lane(bench, "clock")
    offset = folder / "offset"
    offset.write_text("+0")
    faked = [f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_NO_CACHE=1", "NO_FAKE_STAT=1"]
    faked += ["FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]
    failed = 0
    with served(bench, str(folder), before=["env", *faked], folder=folder) as (port, _):
        tab, page = Tab(port), "/training/convergence?file_path=curve.csv"
        tab.settle(page)
        for jump in jumps:
            offset.write_text(f"{jump:+g}")
            told = ask(port, "/").headers["Date"]
            shift = time.mktime(time.strptime(told, "%a, %d %b %Y %H:%M:%S GMT")) - time.mktime(time.gmtime())
            unchanged = tab.refresh(page)
            append_row(folder / "curve.csv")
            time.sleep(0.05)  # within a millisecond, files are taken not to change
            changed = tab.refresh(page)
            good = abs(shift - jump) < 5 and unchanged in (200, 304) and changed == 200
            if not good:
                print(f"  after a jump by {jump:+g} s (seen as {shift:+g} s): {unchanged}, then {changed}")
            failed += not good
        tab.close()
    return none_of(what, failed)


def sleep_rows(bench: Bench, seconds: float, tabs: int) -> Iterator[Row]:
    """All processes stopped for a while in the middle of drawings, as by a closed lid; then all tabs come at once."""
    folder = lane(bench, "sleep")
    path = "/bench_plot/curve.png"
    with served(bench, "--plots", str(folder / "bench_plot.py"), folder=folder) as (port, process):
        wait_until_drawn(port, "/bench_plot/counted.png")
        before = Tab(port)
        before.settle("/bench_plot/counted")
        with asking(port, "/bench_plot/counted.png?number=7"):
            tree = process_tree(process.pid)
            for each in tree:
                send(each, signal.SIGSTOP)
            time.sleep(seconds)
            append_row(folder / "curve.csv")
            for each in tree:
                send(each, signal.SIGCONT)
            drawn = len(notes(folder, "drawn.txt"))
            with ThreadPoolExecutor(tabs) as pool:
                answers = list(pool.map(lambda _: ask(port, "/bench_plot/counted.png"), range(tabs)))
        drawn = len(notes(folder, "drawn.txt")) - drawn
        again = ask(port, path)
        before.close()
    bad = Counter(each.status for each in [*answers, again] if each.status != 200)
    if bad:
        print(f"  answers after the sleep by status: {dict(bad)}")
    yield none_of(f"failed refreshes of {tabs} tabs when a machine wakes up", bad.total())
    yield Row("drawings of the one plot that they all show", drawn, "", "at most 3", most=3)


# ---- Disks ----

# Each is a shell script that runs in a mount namespace of its own: what it mounts, nobody else sees.
TINY = "mount -t tmpfs -o size=64k none {}"
FULL = TINY + "; head -c 65536 /dev/zero > {}/full 2>/dev/null; true"
SEEN = "/mnt"  # where the server sees its files
DISKS = {
    "a home that cannot be written": "{home_readonly}",
    "no place for temporary files but one": "{tmp_full}",
    "a full home, /tmp, /var/tmp and /dev/shm": "{home_full}; {all_full}",
}


def disk(bench: Bench, names: Sequence[str] = tuple(DISKS)) -> Iterator[Row]:
    """A disk that is full or cannot be written: it starts, and draws (X8)."""
    for name in names:
        what = f"pictures drawn with {name}"
        if reason := why_no_mount():
            yield Row(what, reason, "", "1")
        else:
            yield Row(what, drawn_on(bench, DISKS[name]), "", "1", least=1)


def why_no_mount() -> str:
    """Why nothing can be mounted here; nothing where it can."""
    if shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0:
        return ""
    return "nothing can be mounted here (no root?)"


def drawn_on(bench: Bench, script: str) -> int:
    """Whether a picture is drawn where the script has mounted what it mounts: 1 or 0."""
    folder = lane(bench, "disk")
    home = folder / "home"
    home.mkdir()
    parts = {
        "home_readonly": f"mount -t tmpfs -o ro none {home}",
        "home_full": FULL.replace("{}", str(home)),
        "tmp_full": FULL.replace("{}", "/tmp"),
        "all_full": "; ".join(FULL.replace("{}", each) for each in ("/tmp", "/var/tmp", "/dev/shm")),
    }
    port = free_port()
    # /tmp is about to be covered, and plotsrv and the lane may lie in it
    mounted = [f"mount -t tmpfs none {SEEN}", f"mkdir {SEEN}/lane {SEEN}/repository"]
    mounted += [f"mount --bind {folder} {SEEN}/lane", f"mount --bind {PLOTSRV.parent} {SEEN}/repository"]
    mounted += [script.format(**parts).replace(str(folder), f"{SEEN}/lane")]
    command = " ".join(plotsrv(port, "--plots", f"{SEEN}/lane/bench_plot.py"))
    command = command.replace(str(PLOTSRV.parent), f"{SEEN}/repository")
    unset = "-u TMPDIR -u XDG_STATE_HOME -u XDG_CACHE_HOME -u XDG_CONFIG_HOME -u MPLCONFIGDIR"
    shell = f"{'; '.join(mounted)}; cd {SEEN}/lane; exec env {unset} HOME={SEEN}/lane/home {command}"
    with running(bench, ["unshare", "-m", "sh", "-c", shell], folder) as process:
        answer = eventually(lambda: answer_or_end(process, port, "/bench_plot/curve.png")) or Answer(0)
        good = answer.status == 200 and answer.body.startswith(b"\x89PNG")
        if not good:
            print(f"  {answer.status} {answer.text[:300]}; it said: {process.said.read_text()[-1500:]}")
    return int(good)


def answer_or_end(process: Any, port: int, path: str) -> Answer | None:
    """An answer where there is one, or where there will be none."""
    answer = ask(port, path)
    return answer if answer.status not in (0, 503) or process.poll() is not None else None


# ---- Restarts ----


def restart(bench: Bench, down_seconds: float = 4, with_browser: bool = True) -> Iterator[Row]:
    """The server restarted on its port: tabs come back by themselves (X14, X15; cookies: P16)."""
    folder = lane(bench, "restart")
    state = ["env", f"XDG_STATE_HOME={folder}"]
    port = free_port()
    options = ["--token", "--plots", str(folder / "bench_plot.py")]
    with running(bench, [*state, *plotsrv(port, *options)], folder) as process:
        eventually(lambda: "token=" in process.said.read_text())
        link = re.findall(r"/token\?token=\S+", process.said.read_text())[0]
        cookie = eventually(lambda: (ask(port, link).headers or {}).get("Set-Cookie", "").partition(";")[0])
        ask(port, "/bench_plot/curve", Cookie=cookie)
    with running(bench, [*state, *plotsrv(port, *options)], folder) as process:
        without = eventually(lambda: ask(port, "/").status)
        eventually(lambda: ask(port, "/bench_plot/curve.png", Cookie=cookie).status != 503)
        with_cookie = ask(port, "/bench_plot/curve", Cookie=cookie).status
    yield none_of("old cookies that a restarted server does not know", int((without, with_cookie) != (401, 200)))
    cases = {0.0: "between two refreshes", down_seconds: f"for {down_seconds:g} s, and refreshes meanwhile"}
    for seconds, when in cases.items() if with_browser else ():
        what = f"Chromium's page shows again, the server down {when}"
        if reason := why_no_screen():
            yield Row(what, reason, "s")
        else:
            yield Row(what, seconds_until_back(bench, folder, seconds), "s", "10 s", most=10)


def seconds_until_back(bench: Bench, folder: Path, down: float) -> float:
    """From when a server serves again until Chromium shows the newest picture; infinity where it never does."""
    from playwright.sync_api import Error, sync_playwright

    port = free_port()
    options = ["--plots", str(folder / "bench_plot.py")]
    page_path = f"http://127.0.0.1:{port}/bench_plot/curve?refresh_every={1 if down else 3}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=BROWSER_ARGUMENTS)
        page = browser.new_context(java_script_enabled=False).new_page()

        def shown() -> str:
            with suppress(Error):
                if page.locator("img.picture").count():
                    return str(page.locator("img.picture").get_attribute("src", timeout=500))
            return ""

        with served(bench, *options, port=port):
            wait_until_drawn(port, "/bench_plot/curve.png")
            page.goto(page_path)
            old = shown()
        page.wait_for_timeout(1000 * down)
        print(f"  without the server Chromium shows {page.url}")
        append_row(folder / "curve.csv")
        with served(bench, *options, port=port):
            start = time.monotonic()
            while (now := shown()) in ("", old) and time.monotonic() < start + PATIENCE_SECONDS:
                page.wait_for_timeout(50)
            seconds = time.monotonic() - start if now not in ("", old) else math.inf
        browser.close()
    return seconds


TRIALS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "kill": kill_renderers,
    "forkserver": kill_forkserver,
    "hostile": hostile,
    "signals": signals,
    "orphans": orphans,
    "clock": clock,
    "disk": disk,
    "restart": restart,
    "soak": soak,
}


if __name__ == "__main__":
    sys.exit(__import__("siege").main(*sys.argv[1:] or TRIALS))
