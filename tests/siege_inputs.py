"""The siege's trials of what a browser sends, and of who may ask: `make siege` runs them, their short forms are tests.

Hosts and sites, markers in every input, the token, foreign pages, other users. All of it against real servers on
loopback addresses. A trial's counts are arguments, whose defaults are those of the full run.
"""

import html.parser
import http.server
import json
import math
import os
import pwd
import random
import re
import shutil
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import fmean, variance
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import conftest  # noqa: F401, finds plotsrv.py
import test_access
from bench import Row
from load import BROWSER_ARGUMENTS, browser_path
from measuring import TESTS, Bench, all_pids, free_port, known, plotsrv, plotsrv_with, process_tree
from site_of_fakes import POLICY, STANDING

from plotsrv import Access

PATIENCE_SECONDS = 30
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"  # what browsers accept where somebody navigates
ELEMENT = "image/avif,image/webp,image/*,*/*;q=0.8"  # and for an <img>


# ---- Servers, and what they answer ----


@dataclass(frozen=True)
class Site:
    """A plotsrv that has told where it is."""

    port: int
    token: str
    process: int
    output: Path

    def log(self) -> str:
        """What it has said since it told its URL, in which the token stands on purpose."""
        return self.output.read_text(errors="replace").partition("Ctrl-C")[2]


@contextmanager
def site(bench: Bench, folder: Path, *options: str, **environment: str) -> Iterator[Site]:
    """plotsrv in a folder, with its `plots` and its `data`, and a token of its own."""
    port = free_port()
    (folder / "data").mkdir(exist_ok=True)
    state = {"XDG_STATE_HOME": str(folder / "state")}
    with mock.patch.dict(os.environ, state | environment), ExitStack() as stack:
        command = plotsrv(port, *options, str(folder / "data"))
        process = stack.enter_context(bench.running(command, folder))
        output = bench.output()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "Ctrl-C" not in output.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command} did not start:\n{output.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        file = folder / "state" / "plotsrv" / "token"
        token = environment.get("PLOTSRV_TOKEN") or (file.read_text().strip() if file.exists() else "")
        yield Site(port, token, process.pid, output)


@dataclass(frozen=True)
class Answer:
    """The status of a response, 0 where there was none; its header fields, and its body."""

    status: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header field's value; empty where there is none."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), "")


Headers = Iterable[tuple[str, str]]


def ask(port: int, target: str = "/", headers: Headers = (), host: str | None = "localhost:9999",
        address: str = "127.0.0.1", accept: str = HTML, source: str = "") -> Answer:  # fmt: skip
    """One request over a connection of its own; a field may come twice, and `host` may be anything."""
    own_end = (source, 0) if source else None
    connection = HTTPConnection(address, port, PATIENCE_SECONDS, own_end)
    try:
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        own = [("Host", host)] if host is not None else []
        for name, value in [*own, *headers, ("Accept", accept), ("Connection", "close")]:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    except (OSError, HTTPException):
        return Answer(0)
    finally:
        connection.close()


def settled(port: int) -> None:
    """Wait until all plot files have been imported."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while b"Importing" in ask(port).body and time.monotonic() < deadline:
        time.sleep(0.05)


def wrong_fields(answer: Answer) -> str:
    """What is wrong with the header fields that every response carries; nothing where all is well."""
    names = [name.lower() for name, _ in answer.fields]
    if len(names) != len(set(names)):
        return "a header field stands twice"
    expected = dict(STANDING)
    if answer.header("Cache-Control") == "no-store":  # a live stream's
        del expected["Cache-Control"]
    for name, value in expected.items():
        if answer.header(name) != value:
            return f"{name}: {answer.header(name)!r}"
    told = dict(each.strip().partition(" ")[::2] for each in answer.header("Content-Security-Policy").split(";"))
    sandbox = {"sandbox": ""} if answer.header("Content-Type").startswith("image/svg") else {}
    return "" if told == POLICY | sandbox else f"Content-Security-Policy: {told}"


@contextmanager
def tunnel(to: int, address: str = "127.0.0.1") -> Iterator[int]:
    """A port whose connections are those of another, as `ssh -L` makes one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        threading.Thread(target=forward, args=(listener, to), daemon=True).start()
        yield listener.getsockname()[1]


def forward(listener: socket.socket, to: int) -> None:
    """Connect whoever comes, until the listener is closed."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", to), timeout=PATIENCE_SECONDS)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=pump, args=(source, target), daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on all that comes, and the end of it."""
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
NGINX_FILE = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; proxy_cache_path {folder}/cache keys_zone=kept:1m;
    server {{ listen 127.0.0.1:{port}; {settings} location {place} {{ {lines} }} }}
}}
"""
PROXY_LINES = [  # as the README has them
    "proxy_pass http://127.0.0.1:9999/;",
    "proxy_http_version 1.1;",
    'proxy_set_header Connection "";',
    "proxy_set_header Host $http_host;",
    "proxy_set_header X-Forwarded-For $remote_addr;",
]


def proxy_lines() -> list[str]:
    """The lines that the README has people put into nginx's `location`; those of old where it has none yet."""
    found = re.search(r"location\s+\S+\s*\{(.*?)\}", (TESTS.parent / "README.md").read_text(), re.DOTALL)
    return [line.strip() for line in found[1].splitlines() if line.strip()] if found else PROXY_LINES


@contextmanager
def nginx(bench: Bench, to: int, place: str = "/", settings: str = "") -> Iterator[int]:
    """A real nginx in front of a server, with the README's lines; its port."""
    assert NGINX
    port, folder = free_port(), bench.folder / f"nginx-{bench.started}"
    folder.mkdir()
    lines = " ".join(proxy_lines()).replace("127.0.0.1:9999", f"127.0.0.1:{to}")
    user = "user root; " if os.geteuid() == 0 else ""  # its files lie in a folder that only we can enter
    file = folder / "nginx.conf"
    file.write_text(NGINX_FILE.format(user=user, folder=folder, port=port, place=place, lines=lines, settings=settings))
    with bench.running([NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(file)], folder):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ask(port, place).status and time.monotonic() < deadline:
            time.sleep(0.02)
        yield port


# ---- Access: Host, Origin and Sec-Fetch ----


def table_of(test: Callable[..., None], column: str) -> list[tuple]:
    """The rows that a test is run with, from its parametrize mark."""
    return next(mark.args[1] for mark in test.pytestmark if column in mark.args[0])  # type: ignore[attr-defined]


OUR_HOSTS = """
    localhost localhost:1 localhost:65535 LocalHost:8080 localhost. LOCALHOST. 127.0.0.1:80 127.0.0.53 127.255.255.254
    [::1]:1 [0:0:0:0:0:0:0:1] [0:0:0:0:0:0:0:1]:80 gpu1.localhost gpu1.localhost. gpu1.localhost:80
""".split()
FOREIGN_HOSTS = [
    *"""
    127.0.0.1.evil.example localhost.localdomain localhost.example ip6-localhost localhost#evil localhost?x localhost\\x
    localhost%2eevil localhost%00 localhost%0d%0aevil http://localhost //localhost user:pw@localhost evil@127.0.0.1
    localhost:80@evil.example:80 [::ffff:8.8.8.8] 0 00 0177.0.0.1 127.000.000.001 127.0.0.1.1 0x7f000001 127.0.0.1:80:80
    l\xf6calhost localhost;evil.example * 10.0.0.1 172.16.0.1 192.168.0.1 [fe80::1] [2001:db8::1] 169.254.169.254:80
    metadata.google.internal router.local 7f000001.c0a80001.rbndr.us make-127-0-0-1-rr.1u.ms localtest.me lvh.me
    evil.example:9999:9999 [::1]evil.example [::1].evil.example [localhost.evil.example] localhost|evil localhost,
    localhost,localhost 127.0.0.1,127.0.0.1 localhost' "localhost" <localhost> localhost\xad localhost\xb7 localhost_ -
""".split(),
    "a" * 300 + ".example",
    "localhost" + "." * 20 + "example",
    "localhost:123456",
    "localhost: 80",
]

ELEMENTS = """
    audio audioworklet embed empty fencedframe font frame iframe image json manifest object paintworklet report script
    serviceworker sharedworker style track video webidentity worker xslt
""".split()
FRAMES = "embed fencedframe frame iframe object".split()
FOREIGN_ORIGINS = """
    http://evil.example http://localhost:9999.evil.example http://evil.example:9999 http://localhost:99999
    http://localhost:9999@evil.example http://evil.example#localhost:9999 https://127.0.0.1:9999 file:// null
    chrome-extension://abc localhost:9999 //localhost:9999x http:localhost:9999 data:,localhost:9999 javascript:0
""".split()


def fetched(site: str, mode: str, dest: str, **more: str) -> dict[str, str]:
    """The header fields by which browsers tell what a request is for."""
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest, **more}


MORE_SITES: list[tuple[dict[str, str], bool]] = [  # header fields, and whether the answer is 200 or 403
    *[(fetched(site, mode, dest), False)
      for site in ("cross-site", "same-site") for dest in ELEMENTS for mode in ("no-cors", "cors")],
    *[(fetched(site, "navigate", dest), False) for site in ("cross-site", "same-site") for dest in FRAMES],
    *[(fetched(site, "navigate", "document"), True) for site in ("cross-site", "same-site", "same-origin", "none")],
    *[(fetched("same-origin", "no-cors", dest), True) for dest in ("image", "style", "empty", "font")],
    *[({"origin": origin}, False) for origin in FOREIGN_ORIGINS],
    *[({"referer": f"{origin}/x"}, False) for origin in FOREIGN_ORIGINS if origin.startswith("http://")],
    (fetched("cross-site", "websocket", "websocket"), False),
    (fetched("cross-site", "websocket", "empty", upgrade="websocket"), False),
    (fetched("Same-Origin", "no-cors", "image"), False),
    (fetched("same-origin,none", "no-cors", "image"), False),
    (fetched("none, cross-site", "navigate", "iframe"), False),
    (fetched("cross-site", "Navigate", "document"), False),
    (fetched("cross-site", "navigate", "document, iframe"), False),
    ({"sec-fetch-site": "", "origin": "http://evil.example"}, False),
    ({"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "origin": "http://evil.example"}, False),
    ({"origin": "http://localhost:9999", "referer": "http://evil.example/"}, True),
]  # fmt: skip

USER_FETCHES: list[dict[str, str]] = [  # what the user's own browser and programs send; {} is replaced by the Host
    {},
    fetched("none", "navigate", "document"),
    fetched("same-origin", "navigate", "document", referer="http://{}/"),
    fetched("same-origin", "no-cors", "image", referer="http://{}/training/run"),
    {"referer": "http://{}/training/run?run=latest"},
    {"origin": "http://{}"},
    fetched("cross-site", "navigate", "document", referer="https://wiki.example/"),
]
USER_PATHS = ["/", "/marks/plain/form", "/marks/plain.png", "/plots.json"]
PLAIN_PLOT = """
import matplotlib.pyplot as plt

def plot_plain(n: int = 3):
    return plt.plot(range(n))

plot_plain.volatile = False  # else it would be drawn anew each time, since it reads nothing
"""


def access(bench: Bench, rounds: int = 3) -> Iterator[Row]:
    """The whole table of Host, Origin and Sec-Fetch against real servers; then the user's own ways in."""
    folder = fresh_folder(bench, "access", marks=PLAIN_PLOT)
    named = ("--allow-host", "gpu.example, Plots.Example", "--allow-embed", "https://wiki.example")
    with site(bench, folder) as plain, site(bench, folder, *named) as other:
        wrong = [told for _ in range(rounds) for told in wrong_answers(plain.port, other.port)]
        count = rounds * len([*answer_table()])
        tell(wrong)
        yield Row(f"wrong answers of {count:,} to Host, Origin and Sec-Fetch", len(wrong), "", "0 of at least 100",
                  most=0 if count >= 100 else -1)  # fmt: skip
        settled(plain.port)
        refused, count = [], 0
        with tunnel(plain.port) as through, tunnel(plain.port, "::1") as through6:
            ways = [("localhost:{}", plain.port), ("127.0.0.1:{}", plain.port), ("[::1]:{}", plain.port),
                    ("localhost:{}", through), ("127.0.0.1:{}", through)]  # fmt: skip
            for host, port in ways * rounds:
                refused += refusals(host.format(port), port)
                count += len(USER_PATHS) * len(USER_FETCHES)
            refused += refusals(f"[::1]:{through6}", through6, "::1")
        tell(refused)
        count += len(USER_PATHS) * len(USER_FETCHES)
        what = f"false rejects of {count:,} by localhost, 127.0.0.1, [::1] and a tunnel"
        yield Row(what, len(refused), "", "0", most=0)
        yield from access_through_nginx(bench, plain, rounds)


def access_through_nginx(bench: Bench, server: Site, rounds: int) -> Iterator[Row]:
    """The same by way of nginx, whose users have opened the address with the token once."""
    what = "false rejects through nginx, with the cookie"
    if not NGINX:
        yield Row(what, "nginx is not installed", "", "0")
        return
    with nginx(bench, server.port) as port:
        host = f"127.0.0.1:{port}"
        cookie = ask(port, f"/token?token={server.token}", host=host).header("Set-Cookie").partition(";")[0]
        refused = [told for _ in range(rounds) for told in refusals(host, port, cookie=cookie)]
    tell(refused)
    yield Row(f"{what}, of {rounds * len(USER_PATHS) * len(USER_FETCHES):,}", len(refused), "", "0", most=0)


def fresh_folder(bench: Bench, name: str, **plots: str) -> Path:
    """A folder of its own with plot files and a data folder."""
    folder = bench.folder / name
    (folder / "plots").mkdir(parents=True)
    (folder / "data").mkdir()
    for module, text in plots.items():
        (folder / "plots" / f"{module}.py").write_text(text)
    return folder


def tell(failures: Sequence[object]) -> None:
    """The first failures, in words: a number alone would help nobody."""
    for failure in failures[:10]:
        print(f"    {failure}", file=sys.stderr)


def answer_table() -> Iterator[tuple[bool, list[tuple[str, str]], int]]:
    """Is it the server with --allow-host and --allow-embed, the header fields, and the status that is right."""
    hosts = table_of(test_access.test_only_our_own_names_are_answered, "host")
    for options, host, ours in hosts:
        if options in (test_access.LOOPBACK, test_access.NAMED):  # the rest listens on other addresses
            yield options == test_access.NAMED, [("Host", host)], 200 if ours else 421
    yield from ((False, [("Host", host)], 200) for host in OUR_HOSTS)
    yield from ((False, [("Host", host)], 421) for host in FOREIGN_HOSTS)
    yield False, [], 400
    yield False, [("Host", "localhost"), ("Host", "localhost")], 400
    yield False, [("Host", "localhost"), ("Host", "evil.example")], 400
    sites = table_of(test_access.test_other_sites_may_link_here_but_not_embed, "headers")
    for embedder, headers, allowed in [*sites, *(("", *row) for row in MORE_SITES)]:
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        yield bool(embedder), [("Host", "localhost:9999"), *fields], 200 if allowed else 403


def wrong_answers(plain: int, named: int) -> Iterator[str]:
    """The rows of the table that are answered otherwise, in words."""
    for is_named, headers, status in answer_table():
        answer = ask(named if is_named else plain, headers=headers, host=None)
        if answer.status != status:
            yield f"{headers}: {answer.status} instead of {status}"


def refusals(host: str, port: int, address: str = "127.0.0.1", cookie: str = "") -> Iterator[str]:
    """What the user is refused, in words."""
    for path in USER_PATHS:
        for headers in USER_FETCHES:
            fields = [(name, value.replace("{}", host)) for name, value in headers.items()]
            fields += [("Cookie", cookie)] if cookie else []
            if (answer := ask(port, path, fields, host, address)).status != 200:
                yield f"{host} {path} {headers}: {answer.status}"


# ---- Markers: what comes in comes out as text, or not at all ----

MARKER = "\"'><svg onload=alert(7)>{{7*7}}"
TELLING = MARKER[2:]  # its quotes are written in other ways where a message has it as Python writes texts
SHEET = "x\"'><svg onload=alert(7)>{{7}}"  # Excel's names of sheets are short, and have no *
MARKED_PLOTS = f"""
import sys
from typing import Literal
import matplotlib.pyplot as plt

MARKER = {MARKER!r}

class Marked(Exception):
    def __str__(self):
        return MARKER
    __repr__ = __str__

Marked.__name__ = Marked.__qualname__ = MARKER

class Annotation:
    def __init__(self, text):
        self.text = text
    def __repr__(self):
        return MARKER

Annotation.__name__ = Annotation.__qualname__ = MARKER

def plot_text(text: str = MARKER, n: int = 3, choice: Literal["a", {MARKER!r}] = "a", odd: Annotation = MARKER):
    return plt.plot([1, 2])

plot_text.__doc__ = f"{{MARKER}} first\\n\\n{{MARKER}} more.\\n\\n:param text: {{MARKER}} help. {{MARKER}} details"

def plot_needs(n: int, text: str = ""):
    return plt.plot([1, 2])

def plot_fails():
    raise ValueError("no such luck") # {MARKER}

def plot_speaks(text: str = ""):
    raise Marked(text)

def plot_repeats(text: str = ""):
    raise ValueError(text)

def plot_prints(text: str = ""):
    print(MARKER, text)
    print(MARKER, file=sys.stderr)
    figure, axes = plt.subplots()
    line, = axes.plot([1, 2], label=MARKER)
    line.set_gid(MARKER)
    axes.set(title=MARKER + text, xlabel=MARKER, ylabel=MARKER)
    axes.legend()
    figure.headline, figure.notes = MARKER, [MARKER]
    return figure

def plot_links():
    figure, axes = plt.subplots()
    axes.set_title("click", url="javascript:alert(2)")
    axes.plot([1, 2], url="javascript:alert(3)", gid=MARKER)
    return figure

def plot_scripted():
    return '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(4)"><script>alert(5)</script></svg>'

def plot_column(file_path):
    import pandas
    return plt.plot(pandas.read_csv(file_path)["no such column"])

def plot_columns(file_path):
    import pandas
    raise ValueError(f"none of {{list(pandas.read_csv(file_path))}}")
"""
LOG = "step,loss,{name}\n" + "".join(f"{step},{1 / (step + 1):.4f},{step * 0.01:.2f}\n" for step in range(20))
PAGE_FIELDS = "refresh_every smooth logx logy xlim ylim last theme width height dpi thin".split()


def marked_folder(bench: Bench) -> Path:
    """A folder where everything that can have a name has the marker for one."""
    folder = fresh_folder(bench, "markers", marks=MARKED_PLOTS, broken=f"raise ImportError({MARKER!r})\n")
    (folder / "plots" / "wrong.py").write_text(f"def plot_x(: # {MARKER}\n")
    (folder / "plots" / f"{MARKER}.py").write_text(PLAIN_PLOT)
    data, quoted = folder / "data", '"' + MARKER.replace('"', '""') + '"'
    (data / f"{MARKER}.csv").write_text(LOG.format(name=quoted))
    (data / f"run {MARKER}").mkdir()
    (data / f"run {MARKER}" / "metrics.csv").write_text(LOG.format(name=quoted))
    (data / "console.txt").write_text("".join(f"step {n}: loss {1 / (n + 1):.4f}, {MARKER} 3\n" for n in range(20)))
    with suppress(ImportError):
        import openpyxl

        book = openpyxl.Workbook()
        book.active.title = SHEET
        book.active.append([MARKER, "loss"])
        book.active.append([1, 2])
        book.save(data / "book.xlsx")
    return folder


@dataclass(frozen=True)
class Probe:
    """A request with the marker in it, or for something that has it; is it to be seen in the answer?"""

    target: str
    headers: tuple[tuple[str, str], ...] = ()
    host: str | None = "localhost:9999"
    accept: str = HTML
    shown: bool = True


def probes() -> Iterator[Probe]:
    """Every input position on every kind of page."""
    m = urllib.parse.quote(MARKER, safe="")
    for target in (
        "/", "/marks/text/form", "/marks/text", f"/marks/text?text={m}", f"/marks/text?n={m}", f"/marks/text?{m}={m}",
        f"/marks/text?text=a&text={m}", f"/marks/text?choice={m}x", f"/marks/text?odd={m}", f"/marks/needs?text={m}",
        f"/marks/text/form?text={m}&n={m}", "/marks/fails", "/marks/speaks", f"/marks/speaks?text={m}",
        f"/marks/repeats?text={m}", "/marks/prints", f"/marks/prints?text={m}", "/?mode=plotpage&graph=plot_speaks",
        f"/?mode=paramcheck&graph=plot_text&n={m}", f"/?mode=plotpage&graph=plot_repeats&text={m}",
        f"/training/run?run={m}.csv", f"/training/run?run=run+{m}", f"/training/run?run=run+{m}%2Fmetrics.csv",
        "/training/run/form", "/training/compare/form", f"/training/compare?runs=*&metric={m}", "/training/summary",
        f"/training/convergence?file_path={m}.csv", f"/training/convergence?file_path={m}",
        "/training/convergence/form",
        f"/training/convergence?file_path=..%2F{m}", f"/training/convergence?file_path=http:%2F%2F{m}",
        f"/training/convergence?file_path=book.xlsx&sheet_name={m}", f"/marks/columns?file_path={m}.csv",
        f"/marks/column?file_path={m}.csv", f"/images/image?file_path={m}.csv",
        *(f"/marks/text?{name}={m}" for name in PAGE_FIELDS),
    ):  # fmt: skip
        yield Probe(target)
    # Its sheet has a short form of the marker.
    yield Probe("/training/convergence?file_path=book.xlsx&sheet_name=nothing", shown=False)
    for target in (
        f"/{m}", f"/marks/{m}", f"/marks/text/{m}", f"/{m}.png", f"/{m}/form", f"/marks/text{m}", f"/token?token={m}",
        f"/?mode=plot&graph={m}", f"/?mode={m}&graph=plot_text", f"/?{m}={m}", f"/?mode=plotpage&graph={m}",
        f"/plots.json?{m}", "/plots.json", "/marks/prints.csv", "/marks/prints.json", "/marks/prints.svg",
        "/marks/prints.png", "/marks/links.svg", "/marks/scripted.png", "/marks/scripted", "/marks/links",
        f"/marks/repeats.png?text={m}", f"/marks/text.svg?n={m}", f"/marks/speaks.csv?{m}={m}",
    ):  # fmt: skip
        yield Probe(target, shown=False)
        yield Probe(target, accept=ELEMENT, shown=False)
    names = "Cookie User-Agent Accept-Language If-None-Match Authorization Upgrade Range Expect X-Plotsrv Via".split()
    names += ["Referer", "Origin", "Sec-Fetch-Site", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Prefix"]
    for target in ("/", "/marks/repeats", "/marks/text?n=x", "/nothing"):
        yield Probe(target, host=MARKER, shown=False)
        yield Probe(target, accept=f"text/html,{MARKER}", shown=False)
        for name in names:
            yield Probe(target, ((name, MARKER),), shown=False)
            yield Probe(target, ((name, f"http://localhost:9999/{MARKER}"),), shown=False)
        yield Probe(target, (("Cookie", f"plotsrv-9999={MARKER}; {MARKER}={MARKER}"),), shown=False)
        yield Probe(target, (("Authorization", f"Bearer {MARKER}"),), shown=False)


ELEMENTS_OF_PAGES = set(
    "html head meta title link style body header nav a main h1 h2 p small strong div span details summary pre code "
    "form fieldset legend label input select option datalist textarea button br img ul li section table thead tbody "
    "tr th td progress".split()
)


class Parsed(html.parser.HTMLParser):
    """What a page consists of: elements that are none of ours, attributes that act, and all its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what does not belong."""
        if tag not in ELEMENTS_OF_PAGES:
            self.foreign.append(f"<{tag}>")
        for name, value in attributes:
            self.texts.append(value or "")
            address = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if name.startswith("on") or not re.fullmatch(r"[a-z-]+", name):
                self.foreign.append(f"{tag} {name}=")
            if name in ("href", "src", "action", "formaction") and not is_ours(address):
                self.foreign.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        """Text, with its character references resolved."""
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """We write none."""
        self.foreign.append(f"<!--{data}-->")

    handle_pi = unknown_decl = handle_comment


def is_ours(address: str) -> bool:
    """Is an address of a page relative, or a picture in the page?"""
    picture = address.startswith(("data:image/", "data:,"))
    return picture or not (address.startswith("/") or re.match(r"[a-z][a-z0-9+.-]*:", address))


def surviving(answer: Answer) -> list[str]:
    """What of a marker has become more than text, and what is wrong with the header fields."""
    kind, text = answer.header("Content-Type"), answer.body.decode(errors="replace")
    found = [wrong] if (wrong := wrong_fields(answer)) else []
    found += [f"{name}: {value}" for name, value in answer.fields if "onload" in value]
    if answer.status not in (200, 400, 401, 403, 404, 405, 413, 417, 421, 500) or (
        answer.status == 500 and not is_plots_fault(answer)
    ):
        found.append(f"status {answer.status}")
    if kind.startswith("text/html"):
        page = Parsed(text)
        found += page.foreign
        if "49" in "".join(each for each in page.texts if "svg onload" in each).replace(MARKER, ""):
            found.append("{{7*7}} was worked out")
    elif kind == "image/svg+xml" and answer.status != 200:  # an error's; a plot's own may be anything, in its sandbox
        found += foreign_in_picture(text)
    elif not re.fullmatch(r"image/(svg\+xml|png)|application/json|text/csv; charset=utf-8", kind):
        found.append(f"Content-Type: {kind}")
    return found


def foreign_in_picture(text: str) -> list[str]:
    """What is in an error's picture beside a box and lines of text."""
    try:
        elements = [*ElementTree.fromstring(text).iter()]
    except ElementTree.ParseError as error:
        return [f"no XML: {error}"]
    names = {f"{{http://www.w3.org/2000/svg}}{name}" for name in ("svg", "rect", "g", "text")}
    acting = [name for element in elements for name in element.attrib if name.startswith("on") or "href" in name]
    return acting + [element.tag for element in elements if element.tag not in names]


def is_plots_fault(answer: Answer) -> bool:
    """Is a 500 told to be the plot's own?"""
    return b"Traceback" in answer.body or b'role="alert"' in answer.body or bool(answer.header("X-Plotsrv-Error"))


def markers(bench: Bench, pages: int = 1000, every: int = 1) -> Iterator[Row]:
    """A marker in every input position on every page, or every so many of them, parsed; then some in Chromium."""
    with site(bench, marked_folder(bench)) as server:
        settled(server.port)
        found, lost, count, shown = [], [], 0, 0
        for probe in [*probes()][::every]:
            answer = ask(server.port, probe.target, probe.headers, probe.host, accept=probe.accept)
            found += [f"{probe}: {each}" for each in surviving(answer)]
            seen = any(TELLING in text for text in Parsed(answer.body.decode(errors="replace")).texts)
            lost += [f"{probe}: not shown, status {answer.status}"] if probe.shown and not seen else []
            count, shown = count + 1, shown + seen
        tell(found)
        tell(lost)
        yield Row(f"markers surviving, of {count:,} positions and pages", len(found), "", "0", most=0)
        what = "of these, pages that show the marker as text"
        yield Row(what, shown, "", "those that shall", least=shown + len(lost))
        targets = list(dict.fromkeys(probe.target for probe in probes()))
        if pages:
            yield browsed(server.port, targets[:: max(1, -(-len(targets) // pages))])


def browsed(port: int, targets: Sequence[str]) -> Row:
    """Go to pages with a real browser that would run a script: does it?"""
    what = f"dialogs and foreign requests of Chromium on {len(targets):,} of the pages"
    if reason := why_no_browser():
        return Row(what, reason, "", "0")
    dialogs: list[str] = []
    with chromium() as browser:
        page, origin = browser.new_page(), f"http://127.0.0.1:{port}/"
        page.on("dialog", lambda dialog: (dialogs.append(f"{page.url}: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: dialogs.append(request.url) if is_foreign(request.url, origin) else None)
        for target in targets:
            with suppress(Exception):  # the page may be a download
                page.goto(origin + target[1:], wait_until="load", timeout=PATIENCE_SECONDS * 1000)
            page.mouse.click(60, 60)
        for text in ("alert(1)", "alert(2)"):  # one who sees no dialog at all would find none
            before = len(dialogs)
            page.goto("about:blank")
            page.evaluate(text)
            if len(dialogs) != before + 1:
                return Row(what, "the browser shows no dialogs", "", "0")
            dialogs.pop()
    tell(dialogs)
    return Row(what, len(dialogs), "", "0", most=0)


def is_foreign(url: str, origin: str) -> bool:
    """Does a request go to somebody else?"""
    return not url.startswith((origin, "data:", "about:", "chrome"))


def why_no_browser() -> str:
    """Why no browser can be driven here; nothing where one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if browser_path() else "no Chromium is installed"


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """A browser's context, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=[*BROWSER_ARGUMENTS, *arguments])
        try:
            yield browser.new_context()
        finally:
            browser.close()


# ---- The token: nowhere but where it was printed ----

TELLTALE_PLOTS = '''
import os
import subprocess
import sys
from pathlib import Path

def everything():
    """What a plot could come upon: its environment, its first one, that of its parent, and the token's file."""
    told = [dict(os.environ)]
    kept = os.environ["XDG_STATE_HOME"] + "/plotsrv/token"
    for file in ("/proc/self/environ", f"/proc/{os.getppid()}/environ", kept):
        try:
            told.append(Path(file).read_text())
        except OSError as error:
            told.append(error)
    return told

def plot_environ():
    print(everything())
    subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"])
    raise ValueError(everything())

def plot_prints(name: str = ""):
    print(everything(), name)
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots()
    axes.plot([1, 2], label=name)
    axes.set_title(name)
    figure.headline, figure.notes = name, [str(everything()), name]
    return figure

def plot_fails(name: str = ""):
    print(name, *everything(), file=sys.stderr)
    raise KeyError(name)
'''


def telling_requests(server: Site) -> Iterator[tuple[str, tuple[tuple[str, str], ...], str]]:
    """Requests whose answers and traces could have the token in them: target, header fields, accept."""
    token = server.token
    for accept in (HTML, ELEMENT):
        for target in (
            "/", "/plots.json", "/tell/environ", "/tell/environ.png", "/tell/prints", "/tell/prints.png", "/tell/fails",
            f"/tell/prints?name={token}", f"/tell/fails?name={token}", f"/tell/fails.svg?name={token}",
            f"/tell/prints.csv?name={token}", f"/tell/prints.json?name={token}", f"/tell/prints/form?name={token}",
            f"/{token}", f"/tell/{token}", f"/?token={token}", f"/tell/prints?token={token}", f"/token?token={token}",
            f"/token?token={token}x", f"/token?token={token}&token={token}", f"/tell/prints?{token}=1",
            f"/?mode=plotpage&graph={token}", f"/tell/prints?refresh_every={token}",
        ):  # fmt: skip
            yield target, (("Authorization", f"Bearer {token}"),), accept
    for target in ("/", "/nothing", "/tell/fails", f"/{token}", f"/token?token={token}x"):
        for fields in (
            (("Cookie", f"plotsrv-{server.port}={token}"), ("Via", "1.1 x")),
            (("Referer", f"http://localhost:9999/token?token={token}"),),
            (("Referer", f"http://evil.example/token?token={token}"),),
            (("User-Agent", token),),
            (("X-Forwarded-For", token),),
            (("Authorization", f"Basic {token}"), ("Via", "1.1 x")),
            (("Authorization", f"Bearer x{token}"), ("Via", "1.1 x")),
            (("Sec-Fetch-Site", token),),
            (("Content-Length", token),),
        ):
            yield target, fields, HTML


def token(bench: Bench, rounds: int = 5) -> Iterator[Row]:
    """Look for the token in all that a server says, and that can be seen of it, after requests that could tell it."""
    given = "a-token-from-the-environment-" + "".join(random.choices("abcdefghij", k=12))
    pages, logs, seen = [], [], []
    counts = [0, 0, 0]
    for name, environment in (("kept", {}), ("given", {"PLOTSRV_TOKEN": given})):
        folder = fresh_folder(bench, f"token-{name}", tell=TELLTALE_PLOTS)
        with site(bench, folder, "--token", **environment) as server:
            secret = server.token.encode()
            assert len(secret) >= 16
            settled_with_token(server)
            for number, (target, fields, accept) in enumerate([*telling_requests(server)] * rounds):
                source = f"127.0.{number // 250}.{number % 250 + 1}"  # what one client is refused is told once
                answer = ask(server.port, target, fields, accept=accept, source=source)
                told = answer.body + repr(answer.fields).encode()
                counts[0] += len(told)
                pages += [f"{name}: {target}, {answer.status}"] if secret in told else []
                if answer.header("Referrer-Policy") != "no-referrer":
                    pages.append(f"{name}: {target}, {answer.status}: a Referer may be sent")
            for pid in all_pids():
                counts[1] += 1
                seen += [f"{name}: cmdline of {pid}"] if secret in known(pid, "cmdline") else []
            for pid in set(process_tree(server.process)) - {server.process}:
                counts[1] += 1
                seen += [f"{name}: environment of {pid}"] if secret in known(pid, "environ") else []
            counts[2] += len(server.log())
            logs += [f"{name}: {line[:300]}" for line in server.log().splitlines() if server.token in line]
    for failures in (pages, logs, seen):
        tell(failures)
    yield Row(f"answers with the token, of {counts[0] / 1e6:.1f} MB", len(pages), "", "0", most=0)
    yield Row(f"lines of the log with the token, of {counts[2] / 1e3:.1f} kB", len(logs), "", "0", most=0)
    yield Row(f"process lists and environments with it, of {counts[1]:,}", len(seen), "", "0", most=0)


def settled_with_token(server: Site) -> None:
    """Wait until the plots are there, also where everybody is asked for the token."""
    bearer, deadline = (("Authorization", f"Bearer {server.token}"),), time.monotonic() + PATIENCE_SECONDS
    while b"Importing" in (body := ask(server.port, "/", bearer).body) or b"<h2>tell" not in body:
        if time.monotonic() > deadline:
            raise SystemExit(f"The gallery never has its plots: {body[-300:]!r}")
        time.sleep(0.05)


# ---- Other sites: a foreign page in the user's browser ----

EVIL_PAGE = """<link rel=stylesheet href="{0}&how=link">
<link rel=prefetch href="{0}&how=prefetch"><link rel=preload as=image href="{0}&how=preload">
<img src="{0}&how=img"><img src="{0}&how=anonymous" crossorigin><picture><source srcset="{0}&how=source"><img></picture>
<iframe src="{0}&how=iframe"></iframe><iframe src="{1}?number=1&how=page" sandbox="allow-scripts allow-forms"></iframe>
<object data="{0}&how=object"></object><embed src="{0}&how=embed"><video src="{0}&how=video" poster="{0}&how=poster">
</video><audio src="{0}&how=audio"></audio><svg><image href="{0}&how=image"/></svg>
<script src="{0}&how=script"></script>
<script src="{2}/plots.json?how=json"></script><div style="background: url('{0}&how=css')">x</div>
<input type=image src="{0}&how=input"><iframe name="{2}"></iframe>
<form action="{1}" target="{2}"><input name=number value=2></form>
<form action="{1}" method=post target="{2}"><input name=number value=3></form>
<iframe src="{2}/counted.live?how=live"></iframe><img src="{1}.live?number=4">"""
EVIL_SCRIPT = """async targets => {
    const read = [], wait = ms => new Promise(done => setTimeout(done, ms));
    for (const form of document.forms) form.submit();
    const fetched = async (address, options) => {
        try { if ((await (await fetch(address, options)).text()).length) read.push(`fetch ${address}`); } catch (e) {}
    };
    const attack = async ([picture, page, server]) => {
        const all = [];
        for (const mode of ["cors", "no-cors", "same-origin"])
            for (const address of [picture + "&how=fetch", page + "?number=5", server + "/plots.json", server + "/"])
                for (const options of [{}, {credentials: "include"}, {method: "POST", body: "x"},
                                       {headers: {"X-A": "b"}}])
                    all.push(fetched(address, {mode, ...options}));
        await Promise.all(all);
        for (const address of [picture + "&how=xhr", server + "/"])
            await new Promise(done => {
                const request = new XMLHttpRequest();
                request.onloadend = () => { if (request.responseText) read.push(`xhr ${address}`); done(); };
                request.open("GET", address); request.send();
            });
        for (const make of [() => new EventSource(page + ".live"), () => new WebSocket(page.replace("http", "ws")),
                            () => new Worker(picture), () => new SharedWorker(picture)])
            try { make().onmessage = message => read.push(`message ${message.data}`); } catch (error) {}
        try { navigator.sendBeacon(page, "x"); } catch (error) {}
        try { await import(picture + "&how=import"); read.push("import"); } catch (error) {}
        const font = new FontFace("f", `url(${picture}&how=font)`);
        try { await font.load(); read.push("font"); } catch (error) {}
    };
    for (const target of targets) await attack(target);
    await wait(300);
    for (const image of document.images)
        if (image.naturalWidth) read.push(`size of ${image.currentSrc}`);
    for (const video of document.querySelectorAll("video, audio"))
        if (video.readyState) read.push(`media ${video.src}`);
    for (const frame of document.querySelectorAll("iframe, object, embed"))
        try { if (frame.contentDocument && frame.contentDocument.body.innerText) read.push("frame"); } catch (error) {}
    for (const sheet of document.styleSheets)
        try { if (sheet.cssRules.length) read.push(`rules ${sheet.href}`); } catch (error) {}
    return read;
}"""


Target = tuple[str, str, str]  # the addresses of a picture, its page and its server


@contextmanager
def evil_pages(targets: Sequence[Target]) -> Iterator[int]:
    """Another web server, whose pages ask for everything that a page can ask for; its port."""
    parts = [EVIL_PAGE.format(*target) for target in targets]
    body = "\n".join(["<!DOCTYPE html><title>evil</title>", *parts]).encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield listener.server_port
        finally:
            listener.shutdown()


def cross_site(bench: Bench, rounds: int = 5) -> Iterator[Row]:
    """Pages of other origins in a real browser ask a server for drawings, by every means that pages have.

    The same host with another port is the same site, and another origin. The name evil.example points at our own
    address, which is DNS rebinding.
    """
    bars = ["drawings started by foreign pages", "answers of which they could read anything"]
    if reason := why_no_browser():
        yield from (Row(what, reason, "", "0") for what in bars)
        return
    lane = bench.lane("cross-site")
    with bench.serving(plotsrv_with(lane)) as port:
        settled(port)
        drawn, read, tried = lane / "drawn.txt", [], 0
        with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
            for _ in range(rounds):
                asked, told = attacked(browser, [f"http://{host}:{port}" for host in ATTACKED_HOSTS])
                tried, read = tried + asked, read + told
        started = len(drawn.read_text().splitlines()) if drawn.exists() else 0
        own = ask(port, "/bench_plot/counted.png?number=6", host=f"localhost:{port}")
        assert own.status == 200 and len(drawn.read_text().splitlines()) == started + 1  # it would have been counted
    tell(read)
    enough = tried >= 3 * rounds * 30  # else the browser has not even tried
    yield Row(f"{bars[0]}, by {tried:,} requests", started, "", "0", most=0 if enough else -1)
    yield Row(bars[1], len(read), "", "0", most=0)


ATTACKED_HOSTS = ["127.0.0.1", "localhost", "evil.example"]


def attacked(browser: Any, servers: Sequence[str]) -> tuple[int, list[str]]:
    """How many requests a foreign page, opened in a browser, has made of a server, and what it could read.

    The last of the server's names is the one that is bound to it anew.
    """
    targets = [(f"{server}/bench_plot/counted.png?number=0", f"{server}/bench_plot/counted", server)
               for server in servers]  # fmt: skip
    tab, asked = browser.new_page(), []
    tab.on("request", lambda request: asked.append(request.url) if request.url.startswith(tuple(servers)) else None)
    with evil_pages(targets) as port:
        tab.goto(f"http://127.0.0.1:{port}/", wait_until="load")
        read = tab.evaluate(EVIL_SCRIPT, targets)
        picture, page, server = targets[-1]
        for address in (picture, page, server + "/", server + "/plots.json"):  # now the page's own origin is plotsrv's
            answer = tab.goto(address)
            read += [f"{address}: {answer.status}"] if answer is None or answer.status != 421 else []
            read += [f"{address}: told"] if answer and b"counted" in answer.body() else []
    tab.close()
    return len(asked), list(read)


# ---- Other users of the machine ----


def users(bench: Bench, tries: int = 1000) -> Iterator[Row]:
    """Another user asks over new connections, while the user does: one always hears 401, the other never."""
    told = ["answers to another user other than 401", "answers to the same user other than 200"]
    if os.geteuid() != 0:
        yield from (Row(what, "only root can be somebody else", "", "0") for what in told)
        return
    folder = fresh_folder(bench, "users", marks=PLAIN_PLOT)
    with site(bench, folder) as server:
        settled(server.port)
        other = asked_by(stranger(), server.port, tries)
        own = [ask(server.port, USER_PATHS[number % 4]).status for number in range(tries)]
        strange = other()
    wrong = [status for status in strange if status != 401]
    yield Row(f"{told[0]}, of {len(strange):,}", len(wrong), "", "0", most=0 if len(strange) == tries else -1)
    wrong = [status for status in own if status != 200]
    yield Row(f"{told[1]}, of {len(own):,}", len(wrong), "", "0", most=0)


def stranger() -> int:
    """The id of a user who is not us, best one that has a name."""
    with suppress(KeyError):
        return pwd.getpwnam("daemon").pw_uid
    return 12345


def asked_by(uid: int, port: int, tries: int) -> Callable[[], list[int]]:
    """Have another user ask so often, in a process of its own; a function that waits for the statuses."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # nothing but system calls and plain Python from here on: other threads are not there
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            statuses = [ask(port, USER_PATHS[number % 4]).status for number in range(tries)]
            with open(writing, "w") as pipe:
                pipe.write(json.dumps(statuses))
        finally:
            os._exit(0)
    os.close(writing)

    def statuses() -> list[int]:
        with open(reading) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return json.loads(text or "[]")

    return statuses


# ---- Friction: what all this costs the user ----

RECORDER = """#!/bin/sh
echo "$1" >> "{file}"
"""


def friction(bench: Bench) -> Iterator[Row]:
    """What is to be done from a started plotsrv to the first picture: on localhost, through a tunnel, behind nginx."""
    folder = fresh_folder(bench, "friction", marks=PLAIN_PLOT)
    opened, recorder = folder / "opened.txt", folder / "browser"
    recorder.write_text(RECORDER.format(file=opened))
    recorder.chmod(0o700)
    what = "steps to the gallery and its pictures, "
    with site_with_browser(bench, folder, recorder) as port:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not opened.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        url = opened.read_text().strip() if opened.exists() else ""
        settled(port)
        steps = 0 if url and pictured(urllib.parse.urlsplit(url).netloc, port) else math.inf
        yield Row(what + "on localhost: it opens by itself", steps, "", "0", most=0)
        with tunnel(port) as through:
            steps = 1 if pictured(f"127.0.0.1:{through}", through) else math.inf
        yield Row(what + "through a tunnel: open the URL", steps, "click", "1", most=1)
    if not NGINX:
        yield Row("lines of nginx", "nginx is not installed", "", "at most 6")
        return
    with site(bench, folder) as server, nginx(bench, server.port) as port:
        settled(server.port)
        host = f"127.0.0.1:{port}"
        answer = ask(port, f"/token?token={server.token}", host=host)
        cookie = answer.header("Set-Cookie").partition(";")[0]
        lines = len(proxy_lines()) if answer.status == 303 and pictured(host, port, cookie) else math.inf
    yield Row("lines in nginx's location, then one click", lines, "", "at most 6", most=6)


@contextmanager
def site_with_browser(bench: Bench, folder: Path, browser: Path) -> Iterator[int]:
    """plotsrv as somebody at a screen starts it: its port. The browser is a script."""
    port = free_port()
    command = [each for each in plotsrv(port, str(folder / "data")) if each != "--no-browser"]
    environment = {"DISPLAY": ":99", "BROWSER": f"{browser} %s", "XDG_STATE_HOME": str(folder / "state")}
    with mock.patch.dict(os.environ, environment), ExitStack() as stack:
        os.environ.pop("SSH_CONNECTION", None)
        process = stack.enter_context(bench.running(command, folder))
        bench.wait_for(process, port, "/")
        yield port


def pictured(host: str, port: int, cookie: str = "") -> bool:
    """Is the gallery there, and the picture behind the first of its links?"""
    fields = (("Cookie", cookie),) if cookie else ()
    gallery = ask(port, "/", fields, host).body.decode()
    found = re.search(r'href="([^"]*marks/plain)"', gallery)
    return bool(found) and b"data:image/png;base64," in ask(port, "/" + found[1].removeprefix("./"), fields, host).body


# ---- How long a comparison of tokens takes ----


def timing(bench: Bench, comparisons: int = 100_000, seconds: float = 10) -> Iterator[Row]:
    """Welch's t for the time that tokens take to be refused, wrong in their first character or in their last.

    Nanoseconds, in random turns, without the slowest tenth. Above 4.5 the two would differ, as dudect has it.
    """
    right = "".join(random.choices("abcdefghijklmnop", k=32))
    access, wrong = Access(token=right), ("X" + right[1:], right[:-1] + "X")
    taken: tuple[list[int], list[int]] = ([], [])
    end = time.monotonic() + seconds
    for _ in range(comparisons):
        which = random.getrandbits(1)
        text = wrong[which]
        begun = time.perf_counter_ns()
        access.is_token(text)
        taken[which].append(time.perf_counter_ns() - begun)
        if time.monotonic() > end:
            break
    first, last = (sorted(values)[: int(len(values) * 0.9)] for values in taken)
    spread = math.sqrt(variance(first) / len(first) + variance(last) / len(last)) or math.inf
    figure = round(abs(fmean(first) - fmean(last)) / spread, 2)
    yield Row(f"Welch's t of {len(first) + len(last):,} refused tokens", figure, "", "below 4.5", most=4.5)


TRIALS: dict[str, Callable[..., Iterator[Row]]] = {
    "access": access,
    "markers": markers,
    "token": token,
    "cross-site": cross_site,
    "users": users,
    "friction": friction,
    "timing": timing,
}
