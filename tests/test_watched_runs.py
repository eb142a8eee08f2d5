"""Runs watched while they are written: whatever state a log is left in for a moment, no wrong value is shown.

Each log is written as its library writes it, with every state between two writes, and looked at in each of them. All
values are sums of powers of two, so that they are the same in every format; the steps begin with one another (1, 10,
100), so that half of a number is a number, too.
"""

import csv
import io
import itertools
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pytest
from test_events import NAME, START, event, simple

import plotsrv
from plotsrv import Access, Application, DataFolders, DrawingCache, Gallery, Renderer, Request, Root

PLOTS = Path(plotsrv.__file__).with_name("plots")
STEPS = (1, 10, 100, 105, 1000)
LOSS = {step: 0.125 + 1 / 2**place for place, step in enumerate(STEPS)}
SCORE = {step: 0.25 + place / 8 for place, step in enumerate(STEPS)}


# -- what is seen


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    """The application with plotsrv's own plots and an empty data folder."""
    renderer, folder = Renderer(workers=1), tmp_path_factory.mktemp("data")
    gallery = Gallery([Root(str(PLOTS), "plotsrv_plots")], renderer)
    gallery.refresh(wait=60)  # until all is imported
    yield Application(gallery, renderer, DrawingCache(), DataFolders([str(folder)]), Access())
    renderer.close()


@pytest.fixture
def folder(application, tmp_path_factory):
    """A new folder in the data folder."""
    data = Path(application.studio.folders.folders[0])
    folder = data / f"run_{len(list(data.iterdir()))}"
    folder.mkdir()
    return folder


@pytest.fixture
def get(application):
    """The response with a run: its data, or its page."""

    def respond(run, ending=".json", accept="*/*"):
        head = f"GET /training/run{ending}?run={run} HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nAccept: {accept}"
        return application.respond(Request.parse(head.encode(), "127.0.0.1", owner=True))

    return respond


def shown(response):
    """The points of each line that is shown, y by x; no line goes back."""
    assert response.status == 200, response.body.decode()[-300:]
    points = {}
    for line in itertools.chain(*(axes["lines"] for axes in json.loads(response.body)["axes"])):
        assert line["label"] not in points, "the x goes back: another segment begins"
        assert all(x < later for x, later in itertools.pairwise(line["x"]))
        points[line["label"]] = dict(zip(line["x"], line["y"], strict=True))
    return points


def is_in(some, all_points):
    """Whether all these points are among those."""
    return all(points.items() <= all_points.get(name, {}).items() for name, points in some.items())


def truth(steps, loss="loss", score="accuracy"):
    """What is to be shown of the rows with these steps."""
    found = {loss: {step: LOSS[step] for step in steps}, score: {step: SCORE[step] for step in steps}}
    return {name: points for name, points in found.items() if points and name}


def picture_in(page):
    """The picture of a page, as it stands in its text."""
    return page.body.decode().partition("data:image/png;base64,")[2].partition('"')[0]


# -- logs that grow


@dataclass(frozen=True)
class Growing:
    """A log to which a record is added for each step."""

    name: str  # of its file
    record: Callable[[int], bytes]
    head: bytes = b""
    run: str = ""  # the folder that is the run, where it is not the file
    names: tuple[str, str] = ("loss", "accuracy")  # of the lines
    least: int = 1  # records that make a curve


GROWING = {
    "csv": Growing("run.csv", lambda step: f"{step},{LOSS[step]},{SCORE[step]}\n".encode(), b"step,loss,accuracy\n"),
    "quoted csv": Growing(
        "run.csv", lambda step: f'"{step}","{LOSS[step]}","{SCORE[step]}"\r\n'.encode(), b'"step","loss","accuracy"\r\n'
    ),
    "json lines": Growing(
        "run.jsonl",
        lambda step: (json.dumps({"step": step, "loss": LOSS[step], "accuracy": SCORE[step]}) + "\n").encode(),
    ),
    "text": Growing(
        "train.log",
        lambda step: f"step {step}: train loss {LOSS[step]}, val loss {SCORE[step]}\n".encode(),
        b"using cuda\n",
        names=("train loss", "val loss"),
        least=3,
    ),
    "events": Growing(
        NAME, lambda step: event(step, simple("loss", LOSS[step]), simple("accuracy", SCORE[step])), START, run="."
    ),
    "mlflow": Growing(
        "metrics/loss", lambda step: f"17000000{step:05} {LOSS[step]} {step}\n".encode(), run=".", names=("loss", "")
    ),
}


def pieces_of(text, count):
    """A text in so many pieces of about the same length."""
    cuts = [len(text) * number // count for number in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def states(log, path, piece_count):
    """Write a log piece by piece; after each, the steps whose records are complete, and those that may be."""
    for place, step in enumerate(STEPS):
        record = log.record(step)
        pieces = pieces_of(record, piece_count if step != 10 else 7)
        for number, piece in enumerate(pieces, 1):
            with path.open("ab") as file:
                file.write(piece)
            yield STEPS[: place + (number == len(pieces))], STEPS[: place + 1]


@pytest.mark.parametrize("kind", GROWING)
def test_a_log_that_grows_shows_all_complete_rows_and_nothing_else(folder, get, kind):
    """At every half of a record; before the first rows, it says that they are awaited."""
    log = GROWING[kind]
    path, run = folder / log.name, f"{folder.name}/{log.run or log.name}"
    path.parent.mkdir(exist_ok=True)
    (folder / "meta.yaml").write_text("run_name: mine\n")
    path.write_bytes(log.head)
    for complete, begun in states(log, path, 2):
        response = get(run)
        if len(complete) < log.least and response.status != 200:
            assert re.search("no curve found in .*; .*wait for its first rows", response.body.decode())
        else:
            points = shown(response)
            assert is_in(truth(complete, *log.names), points) and is_in(points, truth(begun, *log.names))
    assert shown(get(run)) == truth(STEPS, *log.names)


def test_a_csv_that_comes_byte_by_byte_has_no_half_number(folder, get):
    """A row counts with its newline."""
    path = folder / "run.csv"
    path.write_text("step,loss,accuracy\n1,1.125,0.25\n")
    for byte in GROWING["csv"].record(105):
        assert shown(get(f"{folder.name}/run.csv")) == truth([1])
        with path.open("ab") as file:
            file.write(bytes([byte]))
    assert shown(get(f"{folder.name}/run.csv")) == truth([1, 105])


@pytest.mark.parametrize("kind", GROWING)
def test_a_log_that_a_new_run_begins_again_has_nothing_of_the_old_one(folder, get, kind):
    """Though it begins in the same way, and has grown longer than the old one before anybody looked."""
    log = GROWING[kind]
    path, run = folder / log.name, f"{folder.name}/{log.run or log.name}"
    path.parent.mkdir(exist_ok=True)
    (folder / "meta.yaml").write_text("run_name: mine\n")
    for steps in (STEPS[2:], STEPS, STEPS[:3]):
        path.write_bytes(log.head + b"".join(map(log.record, steps)))
        assert shown(get(run)) == truth(steps, *log.names)


# -- logs that are written anew


def csv_with_new_columns(count):
    """A metrics.csv of Lightning, or a progress.csv of Stable-Baselines3: each row but the first brings a new column.

    The names of all rows stand above them; what a row lacks is empty.
    """
    rows = [{"step": step, "epoch": 0, "loss": LOSS[step]} for step in STEPS[:count]]
    for place, row in enumerate(rows[1:], 1):
        row[f"score_{place}"] = SCORE[row["step"]]
    text, names = io.StringIO(newline=""), dict.fromkeys(itertools.chain(*rows))
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def trainer_state(count):
    """What Hugging Face's Trainer saves at a checkpoint."""
    history = [{"step": step, "loss": LOSS[step], "accuracy": SCORE[step]} for step in STEPS[:count]]
    return json.dumps({"log_history": history, "max_steps": 1000}, indent=2).encode()


def sacred(count):
    """The metrics.json of Sacred."""
    steps = STEPS[:count]
    metrics = {name: {"steps": steps, "values": [values[step] for step in steps]} for name, values in SACRED.items()}
    return json.dumps(metrics).encode()


def workbook(count):
    """What openpyxl saves."""
    book, saved = openpyxl.Workbook(), io.BytesIO()
    for row in [("step", "loss", "accuracy"), *((step, LOSS[step], SCORE[step]) for step in STEPS[:count])]:
        book.active.append(row)
    book.save(saved)
    return saved.getvalue()


SACRED = {"loss": LOSS, "accuracy": SCORE}
ANEW = {
    "a new column": ("metrics.csv", csv_with_new_columns),
    "trainer state": ("trainer_state.json", trainer_state),
    "sacred": ("metrics.json", sacred),
    "excel": ("run.xlsx", workbook),
}


def truth_anew(kind, count):
    """What is to be shown of a log that has been written so many times."""
    steps = STEPS[:count]
    if kind == "a new column":
        scores = {f"score_{place}": {step: SCORE[step]} for place, step in enumerate(steps[1:], 1)}
        return truth(steps, score="") | scores
    return truth(steps)


def saving(path, content, count=3):
    """Save a file anew, in pieces: each next() writes one; nothing more comes in the end."""
    path.write_bytes(b"")
    yield
    for piece in pieces_of(content, count):
        with path.open("ab") as file:
            file.write(piece)
        yield


@pytest.fixture
def paused(monkeypatch):
    """A function that says what goes on while plotsrv waits for a moment; no time passes."""

    def go_on(step):
        monkeypatch.setattr(time, "sleep", lambda seconds: step())

    return go_on


@pytest.mark.parametrize("kind", ANEW)
def test_a_log_that_is_saved_anew_is_never_seen_half(folder, get, paused, kind):
    """Who looks while it is being saved gets fewer rows, or the whole a moment later; no error, no wrong value."""
    name, content = ANEW[kind]
    path, run = folder / name, f"{folder.name}/{name}"
    path.write_bytes(content(1))
    get(run)
    for count, begun in ((2, 1), (3, 2), (4, 3), (len(STEPS), 1), (len(STEPS), 3)):
        writing = saving(path, content(count))
        paused(lambda writing=writing: next(writing, None))
        for _ in range(begun):
            next(writing)
        assert is_in(shown(get(run)), truth_anew(kind, count))
        list(writing)
        assert shown(get(run)) == truth_anew(kind, count)


@pytest.mark.parametrize(("kind", "begun"), [*((kind, 1) for kind in ANEW), ("trainer state", 2), ("excel", 2)])
def test_while_a_log_stays_half_saved_the_last_good_picture_stays(folder, get, paused, kind, begun):
    """With what has gone wrong since; all is well again as soon as the rest is there."""
    name, content = ANEW[kind]
    path, run = folder / name, f"{folder.name}/{name}"
    path.write_bytes(content(3))
    good = picture_in(get(run, "", "text/html"))
    pauses = []
    paused(lambda: pauses.append(1))
    writing = saving(path, content(4))
    for _ in range(begun):
        next(writing)
    page = get(run, "", "text/html")
    assert (page.status, picture_in(page)) == (200, good)
    assert page.headers["X-Plotsrv-Error"] and len(pauses) == len(plotsrv.HALF_FILE_PAUSES)
    assert "last good picture" in page.body.decode() and f"no curve found in {name}" in page.body.decode()
    list(writing)
    page = get(run, "", "text/html")
    assert page.status == 200 and "X-Plotsrv-Error" not in page.headers and picture_in(page) != good


@pytest.mark.parametrize("kind", ANEW)
def test_a_log_that_is_replaced_is_the_old_one_until_it_is_the_new_one(folder, get, kind):
    """What is written beside it is not looked at."""
    name, content = ANEW[kind]
    path, run = folder / name, f"{folder.name}/{name}"
    path.write_bytes(content(2))
    for count in range(3, len(STEPS) + 1):
        beside = folder / "saving.tmp"
        for _ in saving(beside, content(count), 2):
            assert shown(get(run)) == truth_anew(kind, count - 1)
        beside.replace(path)
        assert shown(get(run)) == truth_anew(kind, count)


def test_an_excel_file_that_is_written_over_the_old_one_is_never_a_mixture(folder, get, paused):
    """As on a network drive, where it is not emptied before."""
    path, run = folder / "run.xlsx", f"{folder.name}/run.xlsx"
    path.write_bytes(workbook(2))
    get(run)
    paused(lambda: None)
    new = workbook(5)
    for end in range(0, len(new), len(new) // 5):
        path.write_bytes(new[:end] + workbook(2)[end:])
        response = get(run)
        assert response.status in (404, 500) or shown(response) == truth(STEPS[:2])
    path.write_bytes(new)
    assert shown(get(run)) == truth(STEPS)


def test_a_csv_that_is_written_over_itself_with_a_new_key_keeps_its_rows(folder, get):
    """Stable-Baselines3 goes back to the top: old rows get commas at their ends."""
    path, run = folder / "progress.csv", f"{folder.name}/progress.csv"
    with path.open("wb", buffering=0) as file:
        for count in range(1, len(STEPS) + 1):
            file.seek(0)
            file.write(csv_with_new_columns(count))
            assert shown(get(run)) == truth_anew("a new column", count)


def test_a_run_without_rows_yet_is_waited_for(folder, get):
    """Its page says so without a traceback, and looks again before long."""
    (folder / "run.csv").write_text("step,loss\n")
    response = get(f"{folder.name}/run.csv", "", "text/html")
    page = response.body.decode()
    assert response.status == 404 and "it has no rows of numbers yet; wait for its first rows." in page
    assert "Traceback" not in page and '<meta http-equiv="refresh" content="5">' in page and "waiting" in page
