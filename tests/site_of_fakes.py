"""An application without processes and sockets, and a browser for it, for the tests of what it decides."""

import concurrent.futures
import html.parser
import json
import re
import time
import types

import plotsrv
from plotsrv import Access, Application, DataFolders, Drawing, DrawingCache, Flight, Input, Request

PERSON = "text/html,application/xhtml+xml,*/*;q=0.8"  # what browsers accept where somebody navigates
ELEMENT = "image/avif,image/webp,image/*,*/*;q=0.8"  # and what they accept for an <img>
PICTURE = b"\x89PNG\r\n\x1a\n the picture"
NOW = 1_700_000_000.0

MODULES = {
    "mine": '''
import typing

def plot_line(freq: float = 1.0, bold: bool = True, title: str = "line", n: int = 3):
    """A line that rises"""

def plot_clock():
    """The time"""

def plot_log(file_path):
    """A log"""

def plot_need(n: int, color: str = "red"):
    """Something that must be told how many"""

def plot_sized(width: int = 3, dpi: str = "high"):
    """A plot with parameters that pages have, too"""

def plot_kinds(kinds: set[typing.Literal["a", "b", "c"]] = {"a"}):
    """Several of several"""
''',
    "other": "def plot_line(): ...\ndef plot_newest(file_path='latest'): ...",
    "sub.training": "def plot_loss(): ...",
    "need": "def plot_form(): ...",
    "training": """
import typing, pathlib, plotsrv

Run = typing.Annotated[pathlib.Path, plotsrv.Runs()]

def plot_run(run: Run = "latest"):
    ...

def plot_compare(runs: list[Run] = ("*",)):
    ...
""",
}
HANDLER = "def plot_need(n: int): ..."


def plots_of(name, text, handler=""):
    """The plots that a render process would find in a file with that text."""
    module = types.ModuleType(name)
    exec(text, vars(module))
    source = plotsrv.Source(f"/plots/{name}.py", "/plots", "plots", name, handler)
    if handler:
        return [
            plotsrv.replace(plot, source=source, holder=handler)
            for plot in plotsrv.described_plots(plotsrv.replace(source, handler=""), module)[0]
        ]
    return plotsrv.described_plots(source, module)[0]


class FakeGallery:
    """Plots without files."""

    def __init__(self, plots):
        self.plots = {plot.path: plot for plot in plots}
        self.broken = {}
        self.settled = True
        self.awaited = []
        self.version = 1
        self.watched = []
        self.waited = []

    def refresh(self, wait: float, paths=()) -> None:
        self.waited.append(wait)

    def watch(self, paths):
        self.watched += paths

    def as_json(self):
        return json.dumps({"plots": sorted(self.plots)}).encode()


class FakeRenderer:
    """Answers each job with what the test has laid ready: a Drawing, an exception, or None: it takes long."""

    def __init__(self):
        self.answer = Drawing(PICTURE, seconds=0.5, drawn_at=NOW)
        self.keys = []
        self.jobs = []
        self.wrong = {}  # what a render process says of the arguments
        self.runs = []  # what a look for runs finds; None: it takes long
        self.looks = 0

    def submit(self, key, job, find=lambda: None, keep=lambda drawing: None, client=""):
        if isinstance(self.answer, Exception):
            raise self.answer
        future = concurrent.futures.Future()
        if job.task == "check":  # calls no plot
            future.set_result(Drawing(status=400, errors=self.wrong) if self.wrong else Drawing())
            return Flight(future, time.time())
        self.keys.append(key)
        self.jobs.append(job)
        if self.answer:
            drawing = find() or plotsrv.replace(self.answer)
            keep(drawing)
            future.set_result(drawing)
        return Flight(future, time.time() if self.answer else time.time() - 7)

    def find_runs(self, source, folders, keep):
        self.looks += 1
        future = concurrent.futures.Future()
        if self.runs is not None:
            keep(plotsrv.FoundRuns(tuple(plotsrv.Run(**each) for each in self.runs)))
            future.set_result(None)
        return future

    def close(self):
        self.closed = True


def make_request(target="/", method="GET", accept=PERSON, owner=True, **headers):
    """A request as a browser on this machine sends it, to be altered by the test."""
    path, _, query = target.partition("?")
    fields = {"host": "localhost:9999", "accept": accept}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, plotsrv.query_of(query), fields, owner=owner)


class Tags(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements = []
        self.words = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def control(self, name):
        """The attributes of the control with that name; of a bool's pair, the check box."""
        found = [a for tag, a in self.elements if tag in ("input", "select", "textarea") and a.get("name") == name]
        return found[-1]


STANDING = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept, Cookie",
}
UNKEPT = {"Cache-Control": "no-store"}  # instead: of what never ends
POLICY = {
    "default-src": "'none'",
    "img-src": "'self' data:",
    "style-src": "'unsafe-inline'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def checked(response):
    """What every response has to have, refusals included; the response itself."""
    fields = response.header_fields()
    names = [name.lower() for name, _ in fields]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[\x20-\x7e]*", value) for _, value in fields)
    headers = dict(fields)
    assert (STANDING | (UNKEPT if response.endless else {})).items() <= headers.items()
    policy = dict(each.strip().partition(" ")[::2] for each in headers["Content-Security-Policy"].split(";"))
    if headers.get("Content-Type") == "image/svg+xml":
        assert policy.pop("sandbox") == ""
    assert policy == POLICY
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["Date"])
    assert re.fullmatch(r'"[0-9a-f]{24}"', headers.get("ETag", f'"{0:024}"'))
    if response.status == 304:
        assert not {"Content-Type", "Content-Length"} & headers.keys() and response.body == b""
        return response
    known = response.drawn and not response.endless
    assert headers.get("Content-Length") == (str(len(response.body)) if known else None)
    assert headers["Content-Type"] in TYPES
    if headers["Content-Type"].startswith("text/html"):
        page = Tags(response.body.decode())
        assert not page.all("script") and "javascript:" not in response.body.decode().lower()
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
        links = [a.get("href") or a.get("src") or a.get("action") or "" for _, a in page.elements]
        assert not [link for link in links if link.startswith("/") or "://" in link]
    return response


TYPES = ("text/html; charset=utf-8", "application/json", plotsrv.LIVE_TYPE, "image/jpeg", *plotsrv.FORMATS.values())
QUICK = ("POLL", "APART", "VOLATILE", "HEARTBEAT", "REMARK", "LINGER")


def hasten(monkeypatch):
    """Let what waits for seconds wait for hundredths of them."""
    for name in QUICK:
        monkeypatch.setattr(plotsrv, f"{name}_SECONDS", 0.01)


def eventually(condition, seconds=5):
    """Does the condition come true before long?"""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


class Site:
    """An application with a fake gallery and a fake renderer, and a browser for it."""

    def __init__(self, folder):
        self.folder = folder
        plots = [plot for name, text in MODULES.items() for plot in plots_of(name, text)]
        self.gallery = FakeGallery([*plots, *plots_of("handler", HANDLER, "Mine")])
        self.renderer = FakeRenderer()
        self.cache = DrawingCache()
        self.access = Access()
        self.folders = DataFolders([str(folder)])
        self.application = Application(self.gallery, self.renderer, self.cache, self.folders, self.access)

    def get(self, target="/", **changes):
        return checked(self.application.respond(make_request(target, **changes)))

    def page(self, target="/", status=200, **changes):
        """The page at a URL, as text."""
        response = self.get(target, **changes)
        assert (response.status, response.content_type) == (status, "text/html; charset=utf-8")
        return response.body.decode()

    def draws(self, **changes):
        """From now on drawings come out like this."""
        self.renderer.answer = plotsrv.replace(Drawing(seconds=0.5, drawn_at=NOW), **changes)

    def fails(self, status=500, error="ValueError: no such luck", **changes):
        self.draws(status=status, error=error, **changes)

    def reads(self, *paths, **changes):
        """From now on drawings come out as those of a plot that reads these files."""
        inputs = tuple(Input.of(str(path)) for path in paths)
        self.draws(**dict(image=PICTURE, inputs=inputs, volatile=False) | changes)

    def file(self, name, text="1,2\n"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def refresh_of(page):
    """The seconds after which a page loads itself again; None where it does not."""
    found = [float(each["content"]) for each in Tags(page).all("meta") if each.get("http-equiv") == "refresh"]
    return found[0] if found else None


def is_form(page):
    return bool(Tags(page).all("form"))
