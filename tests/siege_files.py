"""The siege of files and data: what a path, a log or a bomb can do to a server, and what it does to others.

Each trial starts a server of its own, on the same emptied folder. `make siege` runs them in full;
test_file_attacks.py in a short form, most of them with one server for all.
"""

import bz2
import gzip
import io
import json
import lzma
import math
import os
import random
import re
import shutil
import socket
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote

from bench import Row
from load import Tab
from measuring import PLOTSRV, Bench, answer, plotsrv
from vectors import CANARY, CANARY_WORD, PIXEL, SCHEMES, addresses, leaked, planted, vectors

PATIENCE_SECONDS = 60
MOST_SECONDS = 500  # of a trial
CLIENTS = 4  # ask at the same time
TOLD = 3  # examples of what went wrong

# Whatever a plot can be given, it shows all that it reads: in its picture, and on its page as printed.
PLOTS = """
import json
import os
import urllib.request
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import matplotlib.style
import numpy
import pandas

from plotsrv import Glob, Runs
from plotsrv_plots import logs

HERE = Path({data!r})
PNG = {pixel!r}
Run = Annotated[Path, Runs()]

def shown(*paths):
    found = [open(path, "rb").read() for path in paths if os.path.isfile(path)]
    print(*found)
    return PNG + b"".join(found)

def lines(frame):
    figure, axes = plt.subplots(figsize=(2, 2), dpi=50)
    for name in list(frame)[1:]:
        axes.plot(frame[list(frame)[0]], frame[name], label=str(name))
    return figure

def plot_path(file: Path): return shown(file)
def plot_optional(file: Path | None = None): return shown(*filter(None, [file]))
def plot_named(file_path): return shown(file_path)
def plot_globbed(file: Annotated[Path, Glob("*.csv")]): return shown(file)
def plot_several(files: list[Path]): return shown(*files)
def plot_tuple(files: tuple[Path, ...]): return shown(*files)
def plot_run(run: Run): return shown(run)
def plot_runs(runs: list[Run] = ("*",)): return shown(*runs)
def plot_text(text: str): return shown(HERE / text, text)
def plot_texts(texts: list[str]): return shown(*texts, *(HERE / text for text in texts))
def plot_untyped(thing="nothing"): return shown(HERE / str(thing), str(thing))
def plot_declared(text: str): return shown(HERE / text, text)
plot_declared.inputs = [str(HERE / "x.csv")]
def plot_figure(n: int = 3): return lines(pandas.DataFrame({{"x": range(n), "loss": range(n)}}))
def plot_table(file: Path): return lines(pandas.read_csv(file))
def plot_growing(file: Path): return lines(logs.read_csv(file))
def plot_numbers(file: Path): return lines(pandas.DataFrame(numpy.loadtxt(file)))
def plot_array(file: Path): return lines(pandas.DataFrame(numpy.load(file)))
def plot_sheet(file: Path): return lines(pandas.read_excel(file, engine="openpyxl"))
def plot_json(file: Path): return shown(*map(str, json.loads(file.read_text())))
def plot_categories(file: Path):
    figure, axes = plt.subplots()
    axes.plot(pandas.read_csv(file)["name"], pandas.read_csv(file)["loss"])
    return figure
def plot_fetched(text: str): return shown(urllib.request.urlopen(text).read())
def plot_host(text: str): return shown(urllib.request.urlopen("http://" + text, timeout=2).read())
def plot_frame(text: str): return lines(pandas.read_csv(text))
def plot_lines(text: str): return lines(pandas.DataFrame(numpy.loadtxt(text)))
def plot_styled(text: str):
    with matplotlib.style.context(text): return plot_figure()
"""


def emptied(bench: Bench) -> Path:
    """The folder of a trial, with nothing in it."""
    top = bench.folder / "files"
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    return top


def written_plots(data: Path) -> Path:
    """The file with PLOTS, above the folder that is emptied; written only where it is not there yet."""
    file = data.parent.parent / "attacked.py"
    source = PLOTS.format(data=str(data), pixel=PIXEL)
    if not file.exists() or file.read_text() != source:
        file.write_text(source)
    return file


def serving_plots(data: Path, *options: str, **environment: str) -> Callable[[int], list[str]]:
    """The command line of plotsrv with PLOTS and a data folder, for whatever port."""
    file = written_plots(data)
    given = [f"{name}={value}" for name, value in environment.items()]
    return lambda port: ["env", *given, *plotsrv(port, "--plots", str(file), *options, str(data))]


# ---- Clients ----


def ask(port: int, path: str, accept: str = "*/*") -> tuple[int, bytes]:
    """The status of one request and all of its answer, header fields included; 0 where there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": accept, "Connection": "close"})
        response = connection.getresponse()
        return response.status, str(response.headers).encode() + response.read()
    except (OSError, HTTPException) as error:
        return 0, repr(error).encode()
    finally:
        connection.close()


def when_ready(port: int, path: str) -> None:
    """Ask until all plots are imported."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ask(port, path)[0] == 503 and time.monotonic() < deadline:
        pass  # the server itself waits a while


def answers_to(port: int, targets: Sequence[str]) -> list[tuple[str, int, bytes]]:
    """The targets with their answers, asked by some clients at the same time; the last ones are left out if need be."""
    until = time.monotonic() + MOST_SECONDS
    with ThreadPoolExecutor(CLIENTS) as clients:
        asked = clients.map(lambda target: (target, *ask(port, target)) if time.monotonic() < until else None, targets)
        return list(filter(None, asked))


def tell(what: str, examples: Sequence[object]) -> None:
    """Print a few of the things that should not be, and how many there are."""
    for each in examples[:TOLD]:
        print(f"\n  {what}: {each}"[:600], end="")
    if len(examples) > TOLD:
        print(f"\n  {what}: {len(examples)} in all", end="")


# ---- Traversal ----

# Each parameter that a path can be put into, and the page's own; a text may be answered with 200, a path may not.
PATHS = (
    "attacked/path.png?file=", "attacked/optional.png?file=", "attacked/named.png?file_path=", "attacked/path?file=",
    "attacked/globbed.png?file=", "attacked/several.png?files=x.csv&files=", "attacked/tuple.png?files=x.csv&files=",
    "attacked/run.png?run=", "attacked/runs.png?runs=", "attacked/named/form?file_path=",
    "training/convergence.csv?file_path=", "training/run.json?run=", "training/compare.csv?runs=",
    "training/summary.png?runs=", "images/image.png?file_path=", "?mode=plot&graph=plot_named&file_path=",
)  # fmt: skip
TEXTS = (
    "attacked/text.png?text=", "attacked/text?text=", "attacked/texts.png?texts=", "attacked/untyped.png?thing=",
    "attacked/declared.png?text=", "training/convergence.csv?file_path=x.csv&sheet_name=",
    "training/run.json?run=x.csv&metrics=", "training/compare.json?runs=x.csv&metric=",
)  # fmt: skip
PAGES = ("attacked/figure.png?theme=", "attacked/figure.png?xlim=", "attacked/figure.png?last=", "plots.json?", "")
TURNS = 3  # each vector is tried in a third of the places, those of one family and encoding in all
REFUSED = {400, 403, 404}
ANSWERED = REFUSED | {200, 414}


def traversal(bench: Bench, every: int = 1) -> Iterator[Row]:
    """All vectors in all places where a path can be put, and no byte of a canary comes back or into the log."""
    data = planted(emptied(bench))
    tried = vectors(data)[::every]
    places = (*PATHS, *TEXTS, *PAGES)
    targets = [
        f"/{place}{vector.query}" for turn, vector in enumerate(tried) for place in places[turn % TURNS :: TURNS]
    ]
    with bench.serving(serving_plots(data, "--timeout", "20", KEPT=CANARY_WORD)) as port:
        when_ready(port, "/attacked/table.csv?file=x.csv")
        answers = answers_to(port, targets)
    seen = [target for target, _, body in answers if leaked(body)]
    odd = [(status, target) for target, status, _ in answers if status not in ANSWERED and not is_plots_own(target)]
    said = bench.output().read_bytes()
    tell("seen", seen)
    tell("answered with", odd)
    yield Row("vectors of a path", len(tried), "", "at least 2,000", least=2000 // every)
    yield Row("requests with them", len(answers), "", f"{len(targets):,}", least=len(targets))
    yield Row("answers with bytes from outside", len(seen), "", "none", most=0)
    yield Row("bytes from outside in what the server says", int(leaked(said)), "", "none", most=0)
    yield Row("answers that are neither a picture nor a refusal", len(odd), "", "none", most=0)
    yield Row("tracebacks in what the server says", said.count(b"Traceback"), "", "none", most=0)


def is_plots_own(target: str) -> bool:
    """May a plot itself fail on such a text, however harmless? It asks for a metric or a sheet that is not there."""
    return "sheet_name=" in target or "metric" in target


# ---- Links that are swapped ----

# Exchanges each pair of names as fast as it can, at every phase: a file and a link, a folder and a link.
FLIPPER = """
import ctypes, os, random, sys
exchange = ctypes.CDLL(None, use_errno=True).renameat2
pairs = [os.fsencode(each) for each in sys.argv[1:]]
while os.getppid() != 1:
    for one, other in zip(pairs[::2], pairs[1::2]):
        if exchange(-100, one, -100, other, 2):
            raise OSError(ctypes.get_errno(), "renameat2")
    for _ in range(random.choice((0, 10, 100, 1000, 10000))):
        pass
"""
RACED = {  # the file that is swapped: what is asked of it
    "flip.csv": (
        "training/convergence.csv?file_path=", "training/run.json?run=", "training/convergence.png?file_path=",
        "attacked/table.csv?file=", "attacked/growing.json?file=", "attacked/path.png?file=", "attacked/runs.png?runs=",
    ),
    "flip.txt": ("attacked/numbers.csv?file=", "attacked/numbers.png?file="),
    "flip.xlsx": ("attacked/sheet.csv?file=", "training/convergence.json?file_path="),
    "flip.png": ("images/image.png?file_path=",),
    "folder/log.csv": ("training/convergence.csv?file_path=", "attacked/table.json?file=", "attacked/text.png?text="),
    "folder": ("training/run.csv?run=", "training/compare.json?runs="),
}  # fmt: skip
GOOD = "step,loss\n" + "".join(f"{step},{1 / step}\n" for step in range(1, 9))


def raced_folder(top: Path) -> tuple[Path, list[str]]:
    """A data folder, and the pairs of names in it: a file and a link to a canary, a folder and a link to another."""
    import pandas  # only a siege reads Excel, and bench.py is imported by those who do without

    data, aside, outside = top / "data", top / "data" / "aside", top / "outside"
    (data / "folder").mkdir(parents=True)
    aside.mkdir()
    (outside / "folder").mkdir(parents=True)
    for folder, text, loss in ((data, GOOD, 0.5), (outside, CANARY, 98765.4375)):
        (folder / "flip.csv").write_text(text)
        (folder / "folder" / "log.csv").write_text(text)
        (folder / "flip.txt").write_text(f"1 {loss}\n2 {loss}\n")
        name = "loss" if folder == data else CANARY_WORD
        pandas.DataFrame({"step": [1, 2], name: [loss, loss]}).to_excel(folder / "flip.xlsx", index=False)
        (folder / "flip.png").write_bytes(PIXEL if folder == data else PIXEL + b"kept from all")
    names = ["flip.csv", "flip.txt", "flip.xlsx", "flip.png", "folder"]
    for name in names:
        (aside / name).symlink_to(outside / name)
    return data, [str(folder / name) for name in names for folder in (data, aside)]


def symlink_race(bench: Bench, seconds: float = 60, enough: float = math.inf) -> Iterator[Row]:
    """Files and folders become links to canaries and back, while plots read them: no canary is ever drawn.

    It ends earlier where so many have been drawn, and so many refused.
    """
    data, pairs = raced_folder(emptied(bench))
    targets = [f"/{place}{name}" for name, places in RACED.items() for place in places]
    statuses: Counter[int] = Counter()
    seen: list[str] = []
    strange: list[str] = []
    with bench.serving(serving_plots(data)) as port:
        when_ready(port, "/attacked/figure.csv")
        good = {target: ask(port, target) for target in targets}
        wrong = [(target, *answer) for target, answer in good.items() if answer[0] != 200]
        tell("not drawn at rest", wrong)
        pictures = {target: picture_in(body) for target, (_, body) in good.items()}
        deadline = time.monotonic() + seconds

        def look(number: int) -> None:
            """Ask for one after the other; a CSV and a JSON in a new size each time, so that each is drawn."""
            mixed = random.Random(number)
            for turn in count():
                if time.monotonic() > deadline or min(statuses[200], statuses[403]) >= enough:
                    return
                target = mixed.choice(targets)
                drawn = target if is_picture(target) else f"{target}&width={400 + turn % 600}"
                status, body = ask(port, drawn)
                statuses[status] += 1
                if leaked(body):
                    seen.append(drawn)
                elif status == 200 and is_picture(target) and picture_in(body) != pictures[target]:
                    strange.append(target)

        with bench.running([sys.executable, "-c", FLIPPER, *pairs]) as flipper, ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(look, range(CLIENTS)))
            still = flipper.poll() is None
    tell("seen", seen)
    tell("another picture", strange)
    print(f"\n  statuses: {dict(statuses)}", end="")
    yield Row("kinds of drawings that fail at rest", len(wrong), "", "none", most=0)
    yield Row("drawings of files that are swapped for links", statuses[200], "", "some", least=1)
    yield Row("of these, refusals", statuses[403], "", "some", least=1)
    yield Row("canaries seen through a swapped link", len(seen), "", "none", most=0)
    yield Row("pictures other than that of the file inside", len(strange), "", "none", most=0)
    yield Row("failures of the server", statuses[0] + statuses[503] + statuses[504], "", "none", most=0)
    yield Row("the swapping went on to the end", int(still), "", "yes", least=1)


def is_picture(target: str) -> bool:
    """Is a picture asked for, rather than its numbers?"""
    return ".png?" in target


def picture_in(body: bytes) -> bytes:
    """What comes after the header fields: the same each time, where these have the time of day."""
    return body.partition(b"\n\n")[2]


# ---- Connections out ----

# Loaded by every Python of the server's: notes whatever is connected to, sent to, or looked up by its name. A look-up
# is noted only when it has not been refused on the way, which an audit hook that comes first cannot know.
LISTENING_HOOK = """
import socket, sys

def note(*what):
    with open({notes!r}, "a") as file:
        print(*what, file=file)

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        note(event, arguments[1])

plain = socket.getaddrinfo
def getaddrinfo(*arguments, **options):
    try:
        return plain(*arguments, **options)
    except PermissionError:
        arguments = ()
        raise
    finally:
        if arguments:
            note("socket.getaddrinfo", arguments)

socket.getaddrinfo = getaddrinfo
sys.addaudithook(hook)
"""
OUTWARD = ("attacked/fetched.png?text=", "attacked/host.png?text=", "attacked/frame.csv?text=",
           "attacked/lines.csv?text=", "attacked/styled.png?text=")  # fmt: skip


@contextmanager
def canary_servers() -> Iterator[tuple[int, list[str]]]:
    """A port on which connections and datagrams are counted, and the list of them."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as door, socket.socket(type=socket.SOCK_DGRAM) as letter_box:
        port = door.getsockname()[1]
        letter_box.bind(("127.0.0.1", port))
        for each in (door, letter_box):
            each.settimeout(0.1)
        ended = threading.Event()

        def wait_for(listener: socket.socket, take: Callable[[], Any]) -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    came.append(f"{listener.type.name} {take()}")

        waiting = [
            threading.Thread(target=wait_for, args=(door, lambda: door.accept()[0].close())),
            threading.Thread(target=wait_for, args=(letter_box, lambda: letter_box.recv(100))),
        ]
        for thread in waiting:
            thread.start()
        try:
            yield port, came
        finally:
            ended.set()
            for thread in waiting:
                thread.join()


def outbound(bench: Bench, every: int = 1) -> Iterator[Row]:
    """URLs of all schemes in all parameters: nothing is connected to, sent to, or looked up by its name."""
    data = planted(emptied(bench))
    notes, hook = listening_hook(bench.folder)
    with canary_servers() as (canary_port, came):
        host = f"127.0.0.1:{canary_port}"
        # Not the host alone: a text without a separator is what a plot asks for that connects by itself (DESIGN.md, 7).
        texts = [*addresses(data, host), f"{host}/x.csv", f"u@{host}/x", f"localhost:{canary_port}/x"]
        texts += [f"2130706433:{canary_port}/x", f"0x7f.1:{canary_port}/x", f"127.1:{canary_port}/x.csv"]
        texts += [f"{scheme}://canary.invalid/x.csv" for scheme in SCHEMES]
        places = (*PATHS, *TEXTS, *PAGES, *OUTWARD)
        targets = [f"/{place}{quote(text, safe='')}" for text in texts for place in places][::every]
        options = ("--timeout", "20")
        with bench.serving(serving_plots(data, *options, PYTHONPATH=str(hook))) as port:
            when_ready(port, "/attacked/table.csv?file=x.csv")
            before = notes.read_text().splitlines() if notes.exists() else []
            answers = answers_to(port, targets)
            noted = (notes.read_text().splitlines() if notes.exists() else [])[len(before) :]
            awake = hook_is_awake(port, notes, canary_port, came)
    lost = [(target, body) for target, status, body in answers if status == 0]
    tell("came", came)
    tell("reached for", noted)
    yield Row("requests with addresses in them", len(answers), "", f"{len(targets):,}", least=len(targets))
    yield Row("connections and datagrams that came of them", len(came) - awake, "", "none", most=0)
    yield Row("look-ups and connections tried", len(noted), "", "none", most=0)
    yield Row("the look-out sees a plot that does connect", awake, "", "yes", least=1)
    yield Row("requests without an answer", len(lost), "", "none", most=0)


def listening_hook(folder: Path) -> tuple[Path, Path]:
    """The file for the notes of LISTENING_HOOK, and the folder that makes Python load it."""
    notes, hook = folder / "notes.txt", folder / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(LISTENING_HOOK.format(notes=str(notes)))
    return notes, hook


def hook_is_awake(port: int, notes: Path, canary_port: int, came: list[str]) -> int:
    """Is a connection noticed that a plot makes by itself? 1 where it is, and where it came is told once."""
    before = len(came)
    ask(port, f"/attacked/host.png?text=127.0.0.1:{canary_port}")  # no separator in it: the plot's own address
    arrived = any("STREAM" in each for each in came[before:])
    return int(arrived and notes.exists() and "socket.connect" in notes.read_text())


# ---- A log that is tortured ----

# Writes rows that tell themselves whether they are whole, in pieces that end anywhere, a thousand pieces a second.
WRITER = """
import itertools, os, random, sys, time
sys.path.insert(0, sys.argv[1])
from siege_files import FORMS, row_of
paths, state = sys.argv[3:], sys.argv[2]
generations = itertools.count(100)

def begun(name):
    generation = next(generations)
    with open(state, "a") as file:
        file.write(f"{generation}\\n")
    header, form = FORMS[os.path.splitext(name)[1]]
    return [generation, 0, header.encode(), random.randrange(20, 500), form]

logs = {path: begun(path) for path in paths}
files = {path: open(path, "ab", buffering=0) for path in paths}
due = time.monotonic()
while os.getppid() != 1:
    for path, log in logs.items():
        if log[1] >= log[3] and not log[2]:
            new = begun(path)
            way = random.choice(["go on", "truncate", "rotate", "replace", "rewrite", "vanish"])
            if way == "truncate":
                os.truncate(path, 0)
            elif way != "go on":
                files[path].close()
                if way == "rotate":
                    os.rename(path, path + ".1")
                elif way == "replace":
                    with open(path + ".new", "wb") as file:
                        file.write(new[2] + b"".join(row_of(new[4], new[0], step) for step in range(50)))
                    os.replace(path + ".new", path)
                    new[1:3] = [50, b""]
                elif way == "rewrite":
                    open(path, "wb").close()
                elif way == "vanish":
                    os.remove(path)
                    time.sleep(0.01)
                files[path] = open(path, "ab", buffering=0)
            if way == "go on":
                new[2] = b""
            logs[path] = log = new
        while len(log[2]) < 200 and log[1] < log[3]:
            log[2] += row_of(log[4], log[0], log[1])
            log[1] += 1
        size = random.choice((1, 5, 20, 60, 150))
        log[2] = log[2][files[path].write(log[2][:size]):]
    due = max(due + 0.001, time.monotonic() - 0.05)
    time.sleep(max(0, due - time.monotonic()))
"""
FORMS = {  # what a log begins with, and its row: step and loss
    ".csv": ("step,loss\n", "{},{}\n"),
    ".jsonl": ("", '{{"step": {}, "loss": {}}}\n'),
    ".log": ("the training begins\n", "step {} loss {}\n"),
}
DIGITS = 12  # of a loss; the last is a 7, so that no beginning of it is another's


def row_of(form: str, generation: int, step: int) -> bytes:
    """A row of a log; its loss tells the generation, of which three digits, and the step, with a check."""
    generation %= 1000
    return form.format(step, f"0.{generation:03d}{step:06d}{check_of(generation, step)}7").encode()


def check_of(generation: int, step: int) -> str:
    """Two digits that a loss made of two others will not have."""
    return f"{(generation * 31 + step * 17) % 97:02d}"


def row_told(loss: float) -> tuple[int, int] | None:
    """The generation and the step that a loss tells; None where no row ever had it."""
    digits = f"{loss:.{DIGITS}f}"[2:]
    generation, step = int(digits[:3]), int(digits[3:9])
    whole = 0 < loss < 1 and abs(loss - float(f"0.{digits}")) < 1e-15
    return (generation, step) if whole and digits[9:] == f"{check_of(generation, step)}7" else None


TORTURED = (
    "training/convergence.json?file_path=live.csv", "training/run.json?run=live.csv",
    "attacked/growing.json?file=live.csv", "training/convergence.csv?file_path=live.jsonl",
    "training/run.json?run=live.jsonl", "training/convergence.json?file_path=live.log",
    "training/compare.json?runs=live.csv&runs=live.jsonl", "training/run.png?run=live.log",
    "training/convergence.png?file_path=live.csv",
)  # fmt: skip
EXPLAINED = re.compile(rb"no curve found in|Waiting for |No columns to parse from file|has no loss|no numbers of them")


def torture(bench: Bench, drawings: int = 10_000) -> Iterator[Row]:
    """Logs are appended to at 1 kHz, truncated, rotated, replaced: every value drawn is one that was written."""
    data = emptied(bench) / "data"
    data.mkdir()
    state = data.parent / "generations.txt"
    logs = [str(data / f"live{ending}") for ending in FORMS]
    statuses: Counter[int] = Counter()
    unexplained: list[tuple] = []
    invented: list[tuple] = []
    awaited: Counter[bytes] = Counter()
    points = 0
    seconds: list[float] = []
    turns = iter(range(drawings))
    lock = threading.Lock()
    begun, until = 0.0, time.monotonic() + MOST_SECONDS

    def look(number: int) -> None:
        """Draw one after the other, each of what is there at that moment."""
        nonlocal points
        while (turn := next(turns, None)) is not None and time.monotonic() < until:
            target = "/" + TORTURED[turn % len(TORTURED)]
            started = time.monotonic()
            status, body = ask(port, target)
            try:
                found = list(points_in(target, picture_in(body))) if status == 200 else []
            except (ValueError, LookupError) as error:  # it is no JSON and no CSV
                found, status = [], 0
                body = f"{error!r} of {body[-200:]!r}".encode()
            wrong = [point for point in found if not is_written(*point)]
            with lock:
                seconds.append(time.monotonic() - started)
                statuses[status] += 1
                if status == 404:
                    awaited.update(re.findall(rb"Waiting for|no curve found|no numbers", body)[:1] or [body[-90:]])
                points += len(found)
                invented.extend((target, *point) for point in wrong)
                if status not in (200, 404) and not (status == 500 and EXPLAINED.search(body)):
                    unexplained.append((status, target, (picture_in(body) or body)[-300:]))
                if status == 200 and is_picture(target) and not picture_in(body).startswith(b"\x89PNG"):
                    unexplained.append((status, target, "no picture"))

    writer = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(state), *logs]
    with bench.serving(serving_plots(data)) as port:
        when_ready(port, "/attacked/figure.csv")
        with bench.running(writer) as writing, ThreadPoolExecutor(CLIENTS) as clients:
            while not all(map(os.path.exists, logs)) and writing.poll() is None:
                time.sleep(0.01)
            begun = time.monotonic()
            list(clients.map(look, range(CLIENTS)))
            still = writing.poll() is None
    rate = sum(statuses.values()) / (time.monotonic() - begun)
    generations = len(state.read_text().split())
    tell("unexplained", unexplained)
    tell("never written", invented)
    print(f"\n  {points:,} points of {generations} logs; statuses: {dict(statuses)}; {dict(awaited)}", end="")
    yield Row("drawings of a log that is tortured", sum(statuses.values()), "", f"{drawings:,}", least=drawings)
    yield Row("of these, with a picture", statuses[200], "", "most", least=drawings // 2)
    yield Row("errors that are not explained", len(unexplained), "", "none", most=0)
    yield Row("values that were never in the file", len(invented), "", "none", most=0)
    yield Row("drawings a second", rate, "a second")
    yield Row("p99 of such a drawing", 1000 * percentile(seconds), "ms")
    yield Row("the writing went on to the end", int(still), "", "yes", least=1)


def points_in(target: str, body: bytes) -> Iterator[tuple[float | None, float]]:
    """The step and the loss of each point in an answer; no step where x is something else."""
    if ".json?" in target:
        for axes in json.loads(body)["axes"]:
            for line in axes["lines"]:
                steps = line["x"] if axes["xlabel"] in ("step", "", "x") else [None] * len(line["x"])
                yield from ((x, y) for x, y in zip(steps, line["y"], strict=True) if y is not None)
    elif ".csv?" in target:
        names, *rows = (row.split(",") for row in body.decode().splitlines())
        for row in rows:
            for name, x, y in zip(names[1::2], row[::2], row[1::2], strict=False):
                if y and name.startswith("loss"):
                    yield float(x) if x and names[0] == "step" else None, float(y)


def is_written(step: float | None, loss: float) -> bool:
    """Was there ever a row with that step and that loss?"""
    told = row_told(loss)
    return told is not None and step in (None, told[1])


def percentile(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return quantiles(values, n=100)[98] if len(values) > 1 else 0.0


# ---- Bombs ----

ROWS = b"1,0.5\n" * 200_000
SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET = f'<worksheet xmlns="{SPREADSHEET}"><sheetData>{{}}</sheetData></worksheet>'
CELL_ROW = "<row><c><v>1</v></c><c><v>0.5</v></c></row>"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LAUGHING = f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>' + SHEET.format("<row><c t='str'><v>&l9;</v></c></row>")


def write_repeated(path: Path, packed: bytes, times: int) -> None:
    """A file of equal parts: where each is a stream of its own, all of them are one, too."""
    with path.open("wb") as file:
        for _ in range(times):
            file.write(packed)


def write_zip(path: Path, times: int, *names: str, content: bytes = ROWS) -> None:
    """A ZIP whose entries repeat the content so often."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name in names:
            with packed.open(name, "w", force_zip64=True) as entry:
                for _ in range(times):
                    entry.write(content)


def write_nested_zip(path: Path, times: int) -> None:
    """A ZIP in a ZIP, named as a table."""
    memory = io.BytesIO()
    write_zip(memory, times, "x.csv")  # type: ignore[arg-type]
    write_zip(path, 1, "x.csv", content=memory.getvalue())


def write_sheet(path: Path, start: str, part: str = "", times: int = 0, end: str = "") -> None:
    """An Excel file with a sheet of that XML, the part of it so often."""
    kinds = "http://schemas.openxmlformats.org"
    relation = f"{kinds}/officeDocument/2006/relationships"
    package, document = f"{kinds}/package/2006", "application/vnd.openxmlformats-officedocument.spreadsheetml"
    types = {"workbook": "sheet.main", "worksheets/sheet1": "worksheet"}
    parts = "".join(
        f'<Override PartName="/xl/{name}.xml" ContentType="{document}.{kind}+xml"/>' for name, kind in types.items()
    )
    about = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{parts}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{relation}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{kinds}/spreadsheetml/2006/main" xmlns:r="{relation}">'
        '<sheets><sheet name="log" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{relation}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, text in about.items():
            packed.writestr(name, text)
        with packed.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(start.encode())
            for _ in range(times):
                sheet.write(part.encode())
            sheet.write(end.encode())


def write_xxe(path: Path) -> None:
    """An Excel file that would have a file from outside put into it."""
    outside = path.parent.parent / "canary.csv"
    outside.write_text(CANARY)
    entity = f'<!DOCTYPE x [<!ENTITY secret SYSTEM "file://{outside}">]>'
    write_sheet(path, entity + SHEET.format("<row><c t='str'><v>step</v></c><c t='str'><v>&secret;</v></c></row>"))


def write_sparse(path: Path, size: int) -> None:
    """A log with a hole of so many bytes after its first rows."""
    path.write_bytes(ROWS)
    os.truncate(path, size)


def write_array(path: Path) -> None:
    """A header that promises 8 TB of numbers."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def write_columns(path: Path, columns: int) -> None:
    """A table that is far wider than it is long."""
    path.write_text(",".join(map(str, range(columns))) + "\n" + "1," * (columns - 1) + "1\n")


def write_categories(path: Path, names: int) -> None:
    """As many names on an axis: matplotlib draws a tick for each."""
    path.write_text("name,loss\n" + "".join(f"n{number},{number}\n" for number in range(names)))


START, END = SHEET.split("{}")
BOMBS: dict[str, tuple[Callable[[Path, int], None], str]] = {  # how a file is written, in that size, and what reads it
    "b.csv.gz": (lambda path, size: write_repeated(path, gzip.compress(ROWS), 20 * size), "attacked/table.csv?file="),
    "b.csv.bz2": (lambda path, size: write_repeated(path, bz2.compress(ROWS), 20 * size), "attacked/table.csv?file="),
    "b.csv.xz": (lambda path, size: write_repeated(path, lzma.compress(ROWS), 20 * size), "attacked/table.csv?file="),
    "b.csv.zip": (lambda path, size: write_zip(path, 20 * size, "x.csv"), "attacked/table.csv?file="),
    "two.csv.zip": (lambda path, size: write_zip(path, size, "x.csv", "y.csv"), "attacked/table.csv?file="),
    "nested.csv.zip": (lambda path, size: write_nested_zip(path, 20 * size), "attacked/table.csv?file="),
    "zeros.xlsx": (
        lambda path, size: write_sheet(path, START, CELL_ROW * 20_000, 10 * size, END),
        "training/convergence.csv?file_path=",
    ),
    "laughs.xlsx": (lambda path, size: write_sheet(path, LAUGHING), "attacked/sheet.csv?file="),
    "outside.xlsx": (lambda path, size: write_xxe(path), "attacked/sheet.csv?file="),
    "rows.xlsx": (
        lambda path, size: write_sheet(path, START, CELL_ROW, 50_000 * size, END),
        "attacked/sheet.csv?file=",
    ),
    "sparse.csv": (lambda path, size: write_sparse(path, size * 5 * 10**9), "training/run.csv?run="),
    "columns.csv": (lambda path, size: write_columns(path, 10_000 * size), "attacked/table.csv?file="),
    "line.log": (lambda path, size: write_repeated(path, b"loss 0.5 " * 100_000, 20 * size), "training/run.csv?run="),
    "array.npy": (lambda path, size: write_array(path), "attacked/array.csv?file="),
    "deep.json": (lambda path, size: path.write_text("[" * 100_000 * size), "training/convergence.csv?file_path="),
    "names.csv": (lambda path, size: write_categories(path, 1000 * size), "attacked/categories.png?file="),
}


def bombs(
    bench: Bench, size: int = 20, timeout: int = 5, idle_seconds: float = 5, names: Sequence[str] = tuple(BOMBS)
) -> Iterator[Row]:
    """Files that grow when they are read: each is answered by its deadline, and costs others little."""
    data = emptied(bench) / "data"
    data.mkdir()
    (data / "healthy.csv").write_text(GOOD)
    for name in names:
        BOMBS[name][0](data / name, size)
    options = ["--timeout", str(timeout), *(["--memory", "1"] if "--memory" in PLOTSRV.read_text() else [])]
    answers: dict[str, tuple[float, int, bytes]] = {}
    with bench.serving(serving_plots(data, *options)) as port:
        healthy = "/training/convergence?file_path=healthy.csv"
        when_ready(port, healthy)
        Tab(port).settle(healthy)
        with healthy_client(port, healthy) as idle:
            time.sleep(idle_seconds)
        with healthy_client(port, healthy) as busy, least_memory() as free:
            for name in names:
                started = time.monotonic()
                status, body = ask(port, f"/{BOMBS[name][1]}{name}")
                answers[name] = (time.monotonic() - started, status, picture_in(body))
                if free[0] < FREE_SHARE:
                    break  # this machine is not only ours
        after, _ = answer(port, healthy)
    slow = {name: taken for name, (taken, _, _) in answers.items() if taken > timeout + 1}
    told = {name: (status, body) for name, (_, status, body) in answers.items() if not is_told(status, body)}
    for name, (taken, status, body) in answers.items():
        print(f"\n  {name}: {status} after {taken:.1f} s: {body[-160:]!r}", end="")
    tell("too slow", list(slow.items()))
    tell("not told", list(told.items()))
    kept_out = not any(leaked(body) for _, _, body in answers.values())
    yield Row("bombs", len(answers), "", f"all {len(names)}", least=len(names))
    yield Row("the slowest answer", max(taken for taken, _, _ in answers.values()), "s", f"{timeout + 1} s",
              most=timeout + 1)  # fmt: skip
    yield Row("answers without a message", len(told), "", "none", most=0)
    yield Row("least free memory of the machine", 100 * free[0], "%", "20 %", least=100 * FREE_SHARE)
    yield Row("p99 of another client meanwhile", 1000 * percentile(busy), "ms", "2 of idle",
              most=2000 * percentile(idle), baseline=1000 * percentile(idle))  # fmt: skip
    yield Row("nothing from outside was put into a file", int(kept_out), "", "yes", least=1)
    yield Row("the healthy page afterwards", after, "", "200", 200, 200)


FREE_SHARE = 0.2


def is_told(status: int, body: bytes) -> bool:
    """Is it a drawing all the same, or a message that says what is wrong?"""
    return status == 200 or (status in (404, 500, 503, 504) and len(body) > 20 and b"render process died" not in body)


@contextmanager
def healthy_client(port: int, path: str) -> Iterator[list[float]]:
    """Somebody who refreshes a page that has not changed, all the time; the seconds that each answer takes."""
    taken: list[float] = []
    ended = threading.Event()

    def refresh() -> None:
        tab = Tab(port)
        while not ended.is_set():
            started = time.perf_counter()
            tab.refresh(path)
            taken.append(time.perf_counter() - started)
            ended.wait(0.005)
        tab.close()

    thread = threading.Thread(target=refresh)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


@contextmanager
def least_memory() -> Iterator[list[float]]:
    """The least share of the machine's memory that was free, looked at 20 times a second."""
    least = [1.0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            told = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
            least[0] = min(least[0], int(told["MemAvailable"]) / int(told["MemTotal"]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield least
    finally:
        ended.set()
        thread.join()


TRIALS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "traversal": traversal,
    "symlink": symlink_race,
    "outbound": outbound,
    "torture": torture,
    "bombs": bombs,
}
