"""What clients do to a server of HTTP: SAFETY's H1 to H9, P11, P13, P21, X9, X10 and X11, over real sockets.

The raw requests stand in raw_requests.py. The long forms of the crowds are `make siege`; here they are small.
Slow clients: gunicorn's documentation, waitress's limits, slowhttptest. P20 and H3 behind nginx: test_nginx.py.
"""

import contextlib
import http.client
import itertools
import os
import re
import shutil
import socket
import ssl
import struct
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import raw_requests
import siege_http
from measuring import Bench, answer, write_table
from raw_requests import CASES, CHUNKINGS
from serving import PATIENCE, PLOTSRV, BareServer, Process, plac_alone
from serving import eventually as before_long
from site_of_fakes import STANDING, Site, eventually, plots_of
from test_doors import Client, Recorder, at_rest, serving

import plotsrv
from plotsrv import Access, PlotServer, Response

SECRET = "a-token-of-more-than-16-characters"
HOST = "Host: localhost"


@pytest.fixture
def server():
    """A server around an application that answers each path with itself."""
    application = Recorder()
    with serving(application) as server:
        server.recorder = application
        yield server
    assert not server.failures


@contextlib.contextmanager
def site_with(folder, **access):
    """A server around the real application on fakes, for these options of access."""
    site = Site(folder)
    site.application.access = Access(**access)
    with serving(site.application) as server:
        server.site = site
        yield server
    assert not server.failures


def client_from(server, address):
    """A client with another address of this machine."""
    client = Client.__new__(Client)
    client.socket = socket.create_connection(server.server_address[:2], timeout=5, source_address=(address, 0))
    client.file = client.socket.makefile("rb")
    return client


class SharedBench(Bench):
    """A bench whose servers are all the one that runs already; what talks, the fuzzers, it does start."""

    def __init__(self, folder, server):
        super().__init__(folder)
        self.server = server

    def output(self):
        return Path(f"/proc/self/fd/{self.server.printed.fileno()}")

    @contextlib.contextmanager
    def running(self, command, folder=None, talks=False):
        if talks:
            patient = f"import sys; sys.path.insert(0, {str(Path(siege_http.__file__).parent)!r}); import siege_http"
            patient += f"; siege_http.HANG_SECONDS = {PATIENCE}; siege_http.be_fuzzer(*map(int, sys.argv[1:]))"
            with super().running([sys.executable, "-c", patient, *command[3:]], folder, talks) as process:
                yield process
        else:
            yield self.server.popen


@contextlib.contextmanager
def crowd(bench, port, **wanted):
    """The siege's crowd in a thread, which is there at once: each client has its turn once a second."""
    clients, over = [], threading.Event()
    for kind, number in wanted.items():
        path = siege_http.PATHS.get(kind, siege_http.PAGE)
        clients += [siege_http.KINDS[kind](port, len(clients) + i, path) for i in range(number)]

    def take_turns():
        for turn in itertools.count():
            if over.wait(0.1):
                break
            for client in clients[turn % 10 :: 10]:
                client.take_turn()

    for client in [*clients, *clients]:  # each connects, and says its first thing
        client.take_turn()
    thread = threading.Thread(target=take_turns)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for client in clients:
            if client.socket:
                client.leave()


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A function that runs a siege's trial with small numbers, on a server of its own or on one that runs already."""
    monkeypatch.setattr(siege_http, "crowd", crowd)
    monkeypatch.setattr(siege_http, "HANG_SECONDS", PATIENCE)  # times are not judged here

    def run(name, server=None, **counts):
        if server:
            monkeypatch.setattr(siege_http, "free_port", lambda: server.port)
        bench = SharedBench(tmp_path, server) if server else Bench(tmp_path)
        return met(list(siege_http.TRIALS[name](bench, **counts)))

    return run


def met(rows):
    """The rows of a trial; those that are no timings have to be met."""
    missed = [row for row in rows if row.bar and row.unit not in ("s", "ms", "%") and not row.is_met]
    assert not missed or isinstance(missed[0].figure, str), [row.cells() for row in missed]
    return rows


CONVERGENCE = """
from pathlib import Path

def plot_convergence(file_path: Path):
    return bytes.fromhex("89504e470d0a1a0a") + bytes(16) + 2 * Path(file_path).read_bytes()
"""


def with_table(folder):
    """The options of a server for the crowds: a table, and a plot of it that takes no time and needs no matplotlib."""
    write_table(folder / siege_http.TABLE)
    (folder / "training.py").write_text(CONVERGENCE)
    return ["--plots", folder / "training.py", folder]


@pytest.fixture(scope="module")
def besieged(tmp_path_factory):
    """One plotsrv with a table to draw, for the crowds, and no other plots, which could not be imported."""
    folder = tmp_path_factory.mktemp("besieged")
    command = (shutil.copy(PLOTSRV, folder), "--no-browser", "--port=0")
    with BareServer(folder, *with_table(folder), command=command) as server:
        yield server


# -- H3, H4, H5, H6, H7, H2: the corpus


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """One server with a token, for all that is sent to it and changes nothing."""
    with site_with(tmp_path_factory.mktemp("guarded"), token=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def corpus_port(guarded):
    """Where all the raw requests go; of long ones, fewer bytes are sent one by one than in the siege."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_requests, "SINGLE_BYTES", 35)
        yield guarded.server_address[1]


@pytest.fixture(scope="module")
def open_site(tmp_path_factory):
    """One server without a token, for the same."""
    with site_with(tmp_path_factory.mktemp("open")) as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_raw_request_means_the_same_however_it_is_cut_into_packets(corpus_port, case):
    """H2, H3, H4, H5, H6, H7: answered as expected in all of five chunkings, and closed where it has to be."""
    wrong = {chunking.__name__: raw_requests.fault(corpus_port, case, chunking) for chunking in CHUNKINGS}
    assert not {name: text for name, text in wrong.items() if text}


def test_the_corpus_is_as_large_as_was_asked_for():
    """At least 120 cases, all with names of their own."""
    assert len(CASES) == len({case.name for case in CASES}) >= 120


def test_every_chunking_keeps_every_byte():
    """What is cut is the packets and not the request."""
    assert all(b"".join(chunking(case.data)) == case.data for case in CASES for chunking in CHUNKINGS)


# -- H1: slow and idle clients


def test_a_header_that_never_ends_is_told_so_at_its_deadline(server, monkeypatch):
    """H1, slowloris: 408 after the total deadline, however steadily it drips."""
    monkeypatch.setattr(plotsrv, "HEADER_SECONDS", 0.3)
    client, started = Client(server), time.monotonic()
    client.send("GET / HTTP/1.1", HOST, "X-Slow: ", end=b"")
    client.socket.settimeout(0.02)
    while time.monotonic() < started + 5:
        client.send("a", end=b"")
        with contextlib.suppress(TimeoutError):
            if client.socket.recv(1, socket.MSG_PEEK):
                break
    client.socket.settimeout(5)
    line, fields, _ = client.response()
    assert line == "HTTP/1.1 408 Request Timeout" and dict(fields)["Connection"] == "close"
    assert client.closed() and not server.recorder.requests


@pytest.mark.parametrize("first", [b"", b"G", b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_a_silent_client_is_dropped(server, monkeypatch, first):
    """H1: before its first byte, after it, and between two requests."""
    for name in ("HEADER_SECONDS", "IDLE_SECONDS", "CLOSING_SECONDS"):
        monkeypatch.setattr(plotsrv, name, 0.1)
    client = Client(server)
    client.socket.sendall(first)
    assert client.socket.makefile("rb").read() is not None  # to the end, which comes
    assert eventually(lambda: at_rest(server))


def test_a_hundred_idle_connections_are_all_closed_in_time(server, monkeypatch):
    """H1, scorecard 3 (5,000 in the siege): their threads end, their places are free."""
    monkeypatch.setattr(plotsrv, "IDLE_SECONDS", 0.3)
    threads = threading.active_count()
    clients = [client_from(server, f"127.0.0.{number % 8 + 2}") for number in range(100)]
    for client in clients:
        assert client.get()[0] == "HTTP/1.1 200 OK"
    assert all(client.closed() for client in clients)
    assert eventually(lambda: at_rest(server) and threading.active_count() <= threads)


def test_a_client_that_reads_drop_by_drop_is_dropped(server, monkeypatch):
    """H1, slow read: there is a deadline for each 64 KiB; that it goes on reading a little does not extend it."""
    monkeypatch.setattr(plotsrv, "SEND_SECONDS", 0.3)
    server.recorder.body = b"x" * 50_000_000
    client = Client(server)
    client.send("GET / HTTP/1.1", HOST)
    client.socket.settimeout(0.02)
    deadline = time.monotonic() + 5
    while not at_rest(server) or not server.recorder.requests:
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):
            client.socket.recv(100)
        time.sleep(0.01)


def test_one_address_takes_at_most_its_share_of_the_connections(tmp_path):
    """H1: 64 for one address: then its own oldest idle one gives way, and where none is idle the newcomer gets 503."""
    with site_with(tmp_path) as server:
        server.places.each = 3
        enter = server.places.enter
        server.places.enter = lambda place, is_ours: enter(place)  # as for another user's
        idle = []
        for _ in range(3):  # one after the other, so that it is known which has been idle for longest
            idle.append(client_from(server, "127.0.0.2"))
            assert idle[-1].get()[0] == "HTTP/1.1 200 OK"
            assert eventually(lambda: all(place.state == plotsrv.IDLE for place in server.places.held.values()))
        newcomer = client_from(server, "127.0.0.2")
        assert newcomer.get()[0] == "HTTP/1.1 200 OK" and idle[0].closed()
        busy = [newcomer, *idle[1:]]
        for client in busy:
            client.send("GET / HTTP/1.1", "X-Slow: ", end=b"")
        assert eventually(lambda: [place.state for place in server.places.held.values()] == [plotsrv.READING] * 3)
        refused = client_from(server, "127.0.0.2")
        line, fields, body = refused.response()
        assert line == "HTTP/1.1 503 Service Unavailable" and b"connections" in body
        assert dict(fields)["Retry-After"].isdigit() and refused.closed()
        assert client_from(server, "127.0.0.3").get()[0] == "HTTP/1.1 200 OK"


def test_live_streams_take_no_place_from_pages(tmp_path, monkeypatch):
    """H1: they are counted separately: 64 in all, and then a page says that it can have none."""
    monkeypatch.setattr(plotsrv, "HEARTBEAT_SECONDS", 0.05)
    with site_with(tmp_path) as server:
        server.places.each = 2
        streams = []
        for number in range(4):
            streams.append(Client(server))
            line, _, _ = streams[-1].get("/mine/clock.live", f"User-Agent: {number}")
            assert line == "HTTP/1.1 200 OK"
        assert Client(server).get()[0] == Client(server).get()[0] == "HTTP/1.1 200 OK"
        for stream in streams:
            stream.close()
        assert eventually(lambda: not server.site.application.live.streams)


def test_there_are_at_most_so_many_streams_in_all(tmp_path, monkeypatch):
    """H1: whoever comes after that is told to come back."""
    monkeypatch.setattr(plotsrv, "STREAMS_IN_ALL", 1)
    monkeypatch.setattr(plotsrv, "HEARTBEAT_SECONDS", 0.05)
    with site_with(tmp_path) as server:
        first, second = Client(server), Client(server)
        assert first.get("/mine/clock.live", "User-Agent: a")[0] == "HTTP/1.1 200 OK"
        line, fields, _ = second.get("/mine/line.live", "User-Agent: b")
        assert line == "HTTP/1.1 503 Service Unavailable" and dict(fields)["Retry-After"].isdigit()
        first.close()
        assert eventually(lambda: not server.site.application.live.streams)


def test_a_healthy_client_beside_slow_ones_is_always_answered(trial, besieged):
    """H1, scorecard 1 and 2: with slow headers and slow readers around it, and nothing stays when they have left."""
    trial("slow", besieged, clients=30, seconds=0.5, idle_seconds=0.1)


# -- H2: giant lines and headers


@pytest.mark.parametrize(
    ("first", "rest", "status"),
    [
        (b"GET /", b"a" * 65536, 414),  # hyper#187
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a" * 65536, 431),  # Nim#3847
        (b"GET / HTTP/1.1\r\n", b"X-A: a\r\n" * 8192, 431),
    ],
    ids=["a line", "a field", "fields"],
)
def test_what_never_ends_is_refused_when_it_is_too_long(server, first, rest, status):
    """H2: though its end has not come; http.server takes 6 MB of it."""
    client = Client(server)
    with contextlib.suppress(OSError):
        client.socket.sendall(first)
        for _ in range(100):
            client.socket.sendall(rest)
    line, fields, _ = client.response()
    assert line.startswith(f"HTTP/1.1 {status} ") and dict(fields)["Connection"] == "close"
    client.close()
    assert eventually(lambda: at_rest(server)) and not server.recorder.requests


# -- H3: an answer is read by whom it is for


@pytest.mark.parametrize("size", [5, 300_000, 5_000_000])
def test_a_client_that_sends_a_body_reads_why_it_is_refused(server, size):
    """H3: 413 and an orderly end of the connection, though the client is still sending: no reset hides the answer."""
    client = Client(server)
    client.send("GET / HTTP/1.1", HOST, f"Content-Length: {size}")
    sending = threading.Thread(target=send_all, args=(client, size))
    sending.start()
    assert client.response()[0].startswith("HTTP/1.1 413 ")
    sending.join(5)
    client.close()
    assert not sending.is_alive() and not server.recorder.requests


def send_all(client, size):
    """Send a body, as far as it is taken."""
    with contextlib.suppress(OSError):
        client.socket.sendall(b"x" * size)


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localho", raw_requests.GET[:-2]])
def test_half_a_request_is_never_answered_as_a_whole_one(server, data):
    """H3: a client that has closed its end has asked for nothing."""
    client = Client(server)
    client.socket.sendall(data)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.file.read()[:12] in (b"", b"HTTP/1.1 400")
    assert not server.recorder.requests


# -- H4: pipelining


def test_pipelined_requests_are_served_one_after_the_other(server):
    """H4: in their order, and never two at once: a connection has at most one drawing in the queue."""
    working, most = threading.Semaphore(1), []
    respond = server.recorder.respond

    def one_by_one(request):
        most.append(working.acquire(blocking=False))
        time.sleep(0.001)
        working.release()
        return respond(request)

    server.recorder.respond = one_by_one
    client = Client(server)
    client.socket.sendall(b"".join(f"GET /{n}a HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for n in range(200)))
    assert [client.response()[2] for _ in range(200)] == [f"/{n}a".encode() for n in range(200)]
    assert all(most)


# -- H5: methods

UNSAFE = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
UNKNOWN = ["BREW", "get", "GETT", "PROPFIND2", "X" * 200, "$BREW"]
NO_METHODS = ["<script>alert(1)</script>", "GET\x0b", "G\xcbT", "(GET)", "GET,"]


@pytest.mark.parametrize(
    ("method", "status"), [*((m, 405) for m in UNSAFE), *((m, 501) for m in UNKNOWN), *((m, 400) for m in NO_METHODS)]
)
def test_a_method_gets_its_status_and_is_not_shown_again(open_site, method, status):
    """H5: 405 lists what is allowed, 501 is for what nobody knows; http.server writes the method into its answer."""
    client = Client(open_site)
    line, fields, body = client.get(method=method)
    assert line.startswith(f"HTTP/1.1 {status} ") and client.closed()
    assert dict(fields).get("Allow") == ("GET, HEAD" if status == 405 else dict(fields).get("Allow"))
    told = "\n".join([line, *map(": ".join, fields), body.decode()])
    told = told.replace("GET and HEAD", "").replace("GET, HEAD", "")
    assert status == 405 or method.strip("$(),") not in told


@pytest.mark.parametrize("path", ["/mine/line", "/mine/line.png", "/mine/clock.live", "/mine/line.svg"])
def test_head_draws_nothing(tmp_path, path):
    """H5: and tells no length or ETag of a picture that has not been drawn."""
    with site_with(tmp_path) as server:
        line, fields, _ = Client(server).get(path, method="HEAD")
        assert line == "HTTP/1.1 200 OK"
        assert not {"Content-Length", "ETag"} & dict(fields).keys()
        assert not server.site.renderer.jobs


# -- H7: what is not done is ignored

IGNORED = [
    ("Expect: 100-continue",),
    ("Expect: nonsense",),
    ("Range: bytes=0-1",),
    ("Range: bytes=0-1,3-4", 'If-Range: "x"'),
    ("If-Modified-Since: Sat, 01 Jan 2050 00:00:00 GMT",),
    ("If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",),
    ('If-Match: "nothing"',),
    ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    ("Connection: Host",),
    ("Connection: Accept, Cookie, Authorization",),
    ("Accept-Encoding: gzip, br",),
    ("X-HTTP-Method-Override: DELETE",),
    ("Max-Forwards: 0",),
]


@pytest.mark.parametrize("fields", IGNORED, ids=[fields[0] for fields in IGNORED])
def test_a_field_that_asks_for_more_is_ignored(open_site, fields):
    """H7: one whole answer of 200, no interim one before it; the connection goes on."""
    client = Client(open_site)
    line, came, body = client.get("/mine/line.png", *fields)
    assert (line, body) == ("HTTP/1.1 200 OK", open_site.site.renderer.answer.image)
    assert not {"Content-Range", "Accept-Ranges", "Upgrade", "Content-Encoding"} & dict(came).keys()
    assert client.get()[0] == "HTTP/1.1 200 OK"
    client.close()


# -- H8: what proxies tell

TRUSTED, STRANGER = "127.0.0.2", "127.0.0.3"
BEARER = f"Authorization: Bearer {SECRET}"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A server that believes one proxy, and asks everybody who comes through any for the token."""
    options = dict(token=SECRET, allow_host="plots.example", proxies=TRUSTED, port=1)
    with site_with(tmp_path_factory.mktemp("proxied"), **options) as server:
        server.places.proxies = frozenset({TRUSTED})
        yield server


def asked_through(server, address, path, *fields):
    """Status and fields of the answer to who comes from that address."""
    client = client_from(server, address)
    line, came, _ = client.get(path, *fields)
    client.close()
    return int(line.split()[1]), dict(came)


@pytest.mark.parametrize("address", [TRUSTED, STRANGER])
@pytest.mark.parametrize("host", ["plots.example", "localhost", "evil.example", "///evil"])
def test_the_host_that_is_checked_is_the_one_in_host_alone(proxied, address, host):
    """H8, waitress 3.0.2, gunicorn's header_map: a client may have written X-Forwarded-Host, and nginx hands it on."""
    assert asked_through(proxied, address, "/", BEARER, f"X-Forwarded-Host: {host}")[0] == 200


@pytest.mark.parametrize(
    ("address", "prefix", "path"),
    [
        (TRUSTED, "/plots", "/plots/"),
        (TRUSTED, "/a/b-c_d.e~f", "/a/b-c_d.e~f/"),
        (TRUSTED, "", "/"),
        (TRUSTED, "///evil.example", "/"),  # P13
        (TRUSTED, "//evil.example", "/"),
        (TRUSTED, "/\\evil.example", "/"),
        (TRUSTED, "https://evil.example", "/"),
        (TRUSTED, "/a b", "/"),
        (TRUSTED, "/a; Domain=evil.example", "/"),  # P11
        (TRUSTED, "/a/", "/"),
        (TRUSTED, "/%0d%0a", "/"),
        (STRANGER, "/plots", "/"),
    ],
)
def test_a_prefix_is_a_plain_path_from_a_trusted_proxy(proxied, address, prefix, path):
    """H8, P13, Angular's prefix poisoning: it becomes the path of the cookie, and never a place to go to."""
    status, fields = asked_through(proxied, address, f"/token?token={SECRET.replace(' ', '+')}",
                                   f"X-Forwarded-Prefix: {prefix}")  # fmt: skip
    assert (status, fields["Location"]) == (303, "./")
    assert re.findall(r"Path=([^;]*)", fields["Set-Cookie"]) == [path] and "Domain" not in fields["Set-Cookie"]


@pytest.mark.parametrize(
    ("address", "protocol", "secure"),
    [(TRUSTED, "https", True), (TRUSTED, "http", False), (TRUSTED, "https, http", False), (STRANGER, "https", False)],
)
def test_a_cookie_is_for_https_alone_where_a_trusted_proxy_says_so(proxied, address, protocol, secure):
    """H8: X-Forwarded-Proto."""
    path = f"/token?token={SECRET.replace(' ', '+')}"
    _, fields = asked_through(proxied, address, path, f"X-Forwarded-Proto: {protocol}")
    assert ("; Secure" in fields["Set-Cookie"]) == secure


@pytest.mark.parametrize(
    ("address", "told", "known_as"),
    [
        (TRUSTED, "192.0.2.7", "192.0.2.7"),
        (TRUSTED, "10.0.0.1, 192.0.2.8", "192.0.2.8"),  # what the client itself has sent stands before
        (TRUSTED, "2001:db8::1", "2001:db8::1"),
        (TRUSTED, "\x41evil", TRUSTED),
        (TRUSTED, "127.0.0.1 evil", TRUSTED),
        (STRANGER, "192.0.2.9", STRANGER),
    ],
)
def test_a_clients_address_is_the_one_a_trusted_proxy_adds(proxied, monkeypatch, address, told, known_as):
    """H8: in the log, and where clients are counted; from anybody else it is the other end of the connection."""
    seen = []
    monkeypatch.setattr(proxied.site.application, "view", lambda request: seen.append(request) or Response.html(""))
    assert asked_through(proxied, address, "/", BEARER, f"X-Forwarded-For: {told}")[0] == 200
    assert seen[0].client == known_as


TELLING = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-X", "Forwarded", "Via", "X-Real-IP"]


@pytest.mark.parametrize("address", [TRUSTED, STRANGER])
@pytest.mark.parametrize("name", TELLING)
def test_no_header_field_makes_a_client_the_user(proxied, address, name):
    """H8, GHSA-f9vj: whoever comes through a proxy needs the token, whatever the fields say."""
    assert asked_through(proxied, address, "/", f"{name}: 127.0.0.1")[0] == 401
    assert asked_through(proxied, address, "/", BEARER, f"{name}: 127.0.0.1")[0] == 200


# -- H9: floods of drawings

GATED = """
import time
from pathlib import Path

FOLDER = Path(__file__).parent

def plot_gated(n: int = 0):
    with open(FOLDER / "begun.txt", "a") as begun:
        print(n, file=begun)
    while not (FOLDER / "open").exists():
        time.sleep(0.01)
    return bytes.fromhex("89504e470d0a1a0a")
"""


def asking(server, address, number):
    """A connection over which a drawing has been asked for."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=(address, 0))
    client.sendall(f"GET /gate/gated.png?n={number} HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n".encode())
    return client


def answered(clients, status):
    """The clients that have an answer of that status by now."""
    found = []
    for client in clients:
        client.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            if client.recv(13, socket.MSG_PEEK)[9:12] == status:
                found.append(client)
    return found


def test_a_flood_of_drawings_is_refused_and_costs_others_nothing(tmp_path):
    """H9, MLflow CVE-2025-0453: 32 wait in all, 16 of one client; those whose clients left are not drawn.

    SAFETY would have twice the workers for a client: somebody who opens five tabs at once would be refused.
    """
    (tmp_path / "gate.py").write_text(GATED)
    with BareServer(tmp_path, "--plots", "gate.py", "--workers=1") as server, contextlib.ExitStack() as stack:
        server.settled_gallery()
        working = stack.enter_context(asking(server, "127.0.0.1", 0))
        assert before_long(lambda: (tmp_path / "begun.txt").exists())
        equal = [stack.enter_context(asking(server, "127.0.0.4", 0)) for _ in range(5)]
        flood = [stack.enter_context(asking(server, "127.0.0.2", number)) for number in range(1, 31)]
        assert before_long(lambda: len(answered(flood, b"503")) == 14), len(answered(flood, b"503"))
        others = [stack.enter_context(asking(server, "127.0.0.3", number)) for number in range(100, 130)]
        assert before_long(lambda: len(answered(others, b"503")) == 15), len(answered(others, b"503"))
        refused = answered(others, b"503")[0]
        refused.settimeout(5)
        assert b"\r\nRetry-After: " in refused.recv(65536)
        kept = siege_http.held(server.pid)["descriptors"] - len(flood) + len(answered(flood, b"503"))
        for client in flood:
            client.close()
        assert before_long(lambda: siege_http.held(server.pid)["descriptors"] <= kept)  # it has seen that they left
        (tmp_path / "open").touch()
        late = [*answered(others, b"503"), refused]
        waiting = [client for client in others if client not in late]
        staying = [working, *equal, *waiting]  # 6 and 15: the one that is being drawn is one of the 32
        assert len(staying) == 21 and before_long(lambda: len(answered(staying, b"200")) == 21)
        drawn = [int(line) for line in (tmp_path / "begun.txt").read_text().split()]
        assert drawn[0] == 0 and len(drawn) == len(set(drawn))  # equal ones share a drawing
        assert len(set(drawn) & set(range(1, 31))) <= 1  # begun before it was seen that its client had left


# -- P11: what goes into header fields

NAMES = ['a"b', "a\r\nSet-Cookie: b=c", "caf\xe9", "\u2028", "a;b", "a\\", "../a", "a" * 300, "\x7f", "a\0b"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_stays_within_its_header_field(tmp_path, name):
    """P11, gunicorn CVE-2018-1000164, CPython #142533: a picture's file name is plain letters, and not many."""
    with site_with(tmp_path) as server:
        (plot,) = plots_of("evil", "def plot_it(): ...")
        hostile = plotsrv.replace(plot, source=plotsrv.replace(plot.source, module=name))
        server.site.gallery.plots["evil/it"] = hostile
        _, fields, _ = Client(server).get("/evil/it.png")
        given = dict(fields)["Content-Disposition"]
        assert re.fullmatch(r'inline; filename="[A-Za-z0-9._-]{1,90}"', given)
        assert "Set-Cookie" not in dict(fields)


@pytest.mark.parametrize("text", ["a\r\nX-Evil: b", "a\nX-Evil: b", "a\rX-Evil: b", "a\0b"], ids=ascii)
@pytest.mark.parametrize("where", ["name", "value"])
def test_no_header_field_becomes_two(server, text, where):
    """P11: the door itself lets no line break out, whoever has put it there."""
    fields = {text: "a"} if where == "name" else {"X-A": text}
    server.recorder.respond = lambda request: Response(200, b"", "text/plain", fields)
    client = Client(server)
    client.send("GET / HTTP/1.1", HOST)
    client.socket.shutdown(socket.SHUT_WR)
    answer = client.file.read()
    assert not re.search(rb"[\r\n]X-Evil|\0", answer)
    assert eventually(lambda: server.failures)  # that it is told as a mistake is right
    server.failures.clear()


# -- P13: redirects

ELSEWHERE = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example",
    "/\\/evil.example",
    "/%5Cevil.example", "/%5C%5Cevil.example", "/%2F%2Fevil.example", "/%2f%2fevil.example/%2e%2e",
    "/%09/evil.example",
    "/%0d%0aLocation:%20//evil.example", "//evil.example/%2e%2e%2f", "//evil.example/..", "/.evil.example",
    "/@evil.example", "/https://evil.example", "/https:evil.example", "/https:///a%40b", "//a@evil.example",
    "/?next=//evil.example", "/token?next=//evil.example", "//evil.example?token=x",
    "/token/?next=https://evil.example",
    "/login?next=//evil.example", "/logout?next=/\\evil.example", "/mine//evil.example",
    "/mine/line?next=//evil.example",
    "//evil.example/mine/line", "/mine/line/", "/mine", "/mine/", "/mine/../..//evil.example", "/%E3%80%82evil.example",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize("token", ["", f"token={SECRET.replace(' ', '+')}"])
def test_no_address_sends_a_browser_elsewhere(guarded, target, token):
    """P13, CVE-2021-28861; Jupyter CVE-2020-26232, -26275, -2023-39968; Gradio CVE-2026-28415; werkzeug CVE-2020-28724.

    The only redirect is the one from the token to the cookie, to `./`: it is made from nothing of the request.
    Datasette #2429, #2680, Angular CLI #32501: nothing is redirected to add or to take away a slash.
    """
    path = target + (("&" if "?" in target else "?") + token if token else "")
    client = Client(guarded)
    line, fields, body = client.get(path)
    client.close()
    if line.startswith("HTTP/1.1 303 "):
        assert target.startswith("/token?") and token and dict(fields)["Location"] == "./"
    else:
        assert not re.match(r"HTTP/1.1 3", line) and "Location" not in dict(fields)
    assert not re.search(rb'(href|src|action|url)="?(https?:|/|\\\\)', body)  # nor by a link or a refresh


# -- P21: TLS


class SecureServer(Process):
    """plotsrv by TLS on a free port."""

    def __init__(self, folder, *options, **environment):
        made = siege_http.certificate(folder)
        if made is None:
            pytest.skip("the openssl command makes the certificate, and is not installed")
        command = ("-S", PLOTSRV, "--no-browser", "--port=0", "--cert", made[0], "--key", made[1])
        super().__init__(folder, *command, *options, PYTHONPATH=plac_alone(), **environment)
        before_long(lambda: "Ctrl-C" in self.output or self.popen.poll() is not None)
        found = re.search(r"https://[\w.]+:(\d+)/", self.output)
        assert found, self.output
        self.port, self.made = int(found[1]), made
        self.context = ssl.create_default_context(cafile=made[0])

    def get(self, path, **headers):
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=self.context)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def plain(self):
        """A connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """One server for all the tests of TLS."""
    folder = tmp_path_factory.mktemp("tls")
    with SecureServer(folder, *with_table(folder), PLOTSRV_TOKEN=SECRET) as server:
        yield server
        assert "Traceback" not in server.output


def test_pages_come_by_tls(secure):
    """P21: --cert and --key; the address that is printed is the one of https, and there is no other."""
    assert secure.get("/plots.json").status == 200
    assert "http://" not in secure.output


def test_a_cookie_that_came_by_tls_goes_nowhere_without(secure):
    """P21, P16: Secure."""
    response = secure.get(f"/token?token={SECRET.replace(' ', '+')}")
    assert response.status == 303 and "; Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "HEAD / HTTP/1.1", "POST / HTTP/1.0", "nonsense"])
def test_plain_http_to_the_port_of_tls_is_told_so(secure, request_line):
    """P21, werkzeug's test_wrong_protocol: a plain 400 that names https, whole, and the end of the connection."""
    with secure.plain() as client:
        client.sendall(f"{request_line}\r\nHost: localhost\r\nX-A: {'a' * 5000}\r\n\r\n".encode())
        answer = b""
        while chunk := client.recv(65536):  # no reset takes it away
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https" in answer


def test_only_tls_of_today_is_spoken(secure):
    """P21: 1.2 and 1.3; not 1.0 and 1.1 (RFC 8996)."""
    for version, spoken in [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
            context.set_ciphers("ALL:@SECLEVEL=0")
        with secure.plain() as client:
            try:
                context.wrap_socket(client).close()
            except OSError:
                assert not spoken, version
            else:
                assert spoken, version


@pytest.mark.parametrize(
    "greeting", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\x16" * 1000]
)
def test_a_handshake_that_fails_is_the_clients_affair(secure, greeting):
    """P21: half of one, or rubbish; others are answered meanwhile, and nothing is told."""
    told = secure.output
    with secure.plain() as client:
        client.sendall(greeting)
        assert secure.get("/plots.json").status == 200
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert secure.output == told


def test_half_open_handshakes_keep_nobody_waiting(trial, secure, monkeypatch):
    """P21 (500 of them in the siege): each waits in its own thread, and not where connections are accepted."""
    monkeypatch.setattr(siege_http, "certificate", lambda folder: secure.made)
    trial("tls", secure, clients=30, seconds=0.5)


# -- X9: no descriptors left


def test_a_server_without_descriptors_goes_on(trial, tmp_path, monkeypatch):
    """X9: 64 descriptors, more clients than that (500 in the siege); serve_forever alone would spin on EMFILE."""
    command = [sys.executable, "-S", PLOTSRV, "--no-browser", *with_table(tmp_path)]
    monkeypatch.setattr(siege_http, "plotsrv", lambda port: [*map(str, command), "--port", str(port)])
    monkeypatch.setenv("PYTHONPATH", plac_alone())
    monkeypatch.setattr(siege_http, "answer", answer_at_last)
    rows = trial("descriptors", clients=80, seconds=0.5)
    assert next(row for row in rows if row.unit == "%").figure < 80  # it does not spin; the bar of 20 is the siege's


def answer_at_last(port, path):
    """The answer to a client that comes again where there was no place for it just then, as 503 tells it to."""
    deadline = time.monotonic() + PATIENCE
    while (found := answer(port, path))[0] == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_without_a_descriptor_accepting_pauses_and_idle_connections_are_closed(server, monkeypatch):
    """X9: the oldest idle one gives up its descriptor, and the next try comes after a pause, not at once."""
    monkeypatch.setattr(plotsrv, "EXHAUSTED_SECONDS", 0.05)
    idle = Client(server)
    assert idle.get()[0] == "HTTP/1.1 200 OK"
    tries, accept = [], server.socket.accept

    def exhausted():
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise OSError(24, "Too many open files")
        return accept()

    listening, server.socket = server.socket, Listening(server.socket, exhausted)
    newcomer = Client(server)
    assert newcomer.get()[0] == "HTTP/1.1 200 OK" and idle.closed()
    assert all(later - sooner >= 0.05 for sooner, later in itertools.pairwise(tries[:4]))
    server.socket = listening


class Listening:
    """A listening socket that accepts as it is told."""

    def __init__(self, listening, accept):
        self.listening, self.accept = listening, accept

    def __getattr__(self, name):
        return getattr(self.listening, name)


# -- X10: addresses and ports


def test_it_listens_on_one_address_alone():
    """X10: SAFETY would have ::1 as well; DESIGN.md 7 says 127.0.0.1 only, which is what the printed URL names."""
    with serving(Recorder()) as server:
        assert server.server_address[0] == "127.0.0.1"
        with socket.socket(socket.AF_INET6) as six:
            assert six.connect_ex(("::1", server.server_address[1]))


@pytest.mark.parametrize(("code", "reason"), [(13, "Permission denied"), (98, "taken"), (99, "Cannot assign")])
def test_a_port_that_cannot_be_had_is_told_in_one_line(monkeypatch, capsys, tmp_path, code, reason):
    """X10: port 80 without the permission, a port in use, an address that is not ours: what to do next, and exit 2."""

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(plotsrv, "PlotServer", refuse)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert plotsrv.serve(str(tmp_path), port=80, no_browser=True, data=[str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert reason in told and "--port" in told and told.count("\n") == 1


def test_the_port_is_free_again_at_once(tmp_path):
    """X10, X12: whoever restarts finds it, though the old connections are still being forgotten by the kernel."""
    with serving(Recorder()) as server:
        client, address = Client(server), server.server_address[:2]
        client.get()
    PlotServer(address, Recorder()).server_close()
    client.close()


# -- X11: clients that leave


def test_clients_that_reset_leave_nothing_behind(trial, besieged):
    """X11, scorecard 19 (10,000 in the siege): at any moment of a request or an answer; nothing is told of it."""
    trial("reset", besieged, clients=60)


# -- what is sent at random


def test_no_bytes_make_a_mistake_show(trial, besieged):
    """Scorecard 4 (100,000 in the siege): each request is answered in time, by no traceback and no 500."""
    rows = trial("fuzz", besieged, requests=200, processes=1)
    assert rows[0].figure == 200


def test_every_refusal_carries_the_standing_fields(corpus_port):
    """P19: also what is refused before it has been read."""
    for data in (b"\x16\x03", b"\r\n", b"GET / HTTP/3\r\n\r\n", raw_requests.field("Content-Length: 5")):
        with socket.create_connection(("127.0.0.1", corpus_port), timeout=5) as client:
            client.sendall(data)
            response = http.client.HTTPResponse(client)
            response.begin()
            assert STANDING.items() <= dict(response.getheaders()).items()
