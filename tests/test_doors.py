"""The doors: real sockets and real WSGI around an application that only records what it is asked."""

import contextlib
import io
import socket
import struct
import threading
import time
import urllib.parse
import wsgiref.util
import wsgiref.validate

import pytest
from test_application import ELEMENT, PERSON, STANDING, Site
from test_messages import REFUSED_HEADS

import plotsrv
from plotsrv import PlotServer, Response


class Recorder:
    """An application that answers every path with itself, and /404 with a 404."""

    def __init__(self):
        self.requests = []
        self.body = None

    def respond(self, request):
        self.requests.append(request)
        status = int(request.path[1:]) if request.path[1:].isdecimal() else 200
        body = self.body if self.body is not None else request.path.encode()
        return Response(status, body, "text/plain", {"X-Test": "a"}, drawn=request.path != "/undrawn")

    def refusal(self, error, request=None):
        return Response(error.status, error.message.encode(), "text/plain", error.headers)

    def close(self):
        """There is nothing to be ended."""


@contextlib.contextmanager
def serving(application, address="127.0.0.1"):
    """A server on a free port, in a thread of its own."""
    server = PlotServer((address, 0), application)
    server.failures = []
    server.handle_error = lambda request, client: server.failures.append(client)
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def application():
    return Recorder()


@pytest.fixture
def server(application):
    with serving(application) as server:
        yield server
    assert not server.failures  # nothing was ever printed to the user's terminal


class Client:
    """A connection, with nothing between the test and the bytes."""

    def __init__(self, server):
        self.socket = socket.create_connection(server.server_address[:2], timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, *lines, end=b"\r\n\r\n"):
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + end)

    def get(self, path="/", *fields, method="GET", version="HTTP/1.1"):
        self.send(f"{method} {path} {version}", "Host: localhost", *fields)
        return self.response(body=method != "HEAD")

    def response(self, body=True):
        """Status line, header fields in their order, and body."""
        line = self.file.readline().decode().rstrip("\r\n")
        fields = []
        while text := self.file.readline().decode("latin-1").rstrip("\r\n"):
            fields.append(tuple(text.split(": ", 1)))
        length = int(dict(fields).get("Content-Length", 0))
        return line, fields, self.file.read(length) if body else b""

    def closed(self):
        """Has the server closed the connection, and sent nothing more?"""
        try:
            return self.file.read() == b""
        except ConnectionError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def client(server):
    client = Client(server)
    yield client
    client.close()


def eventually(condition, seconds=5):
    """Does the condition come true before long?"""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


# -- http.server


def test_a_request_is_answered_in_one_response(client, application):
    """Status line, the response's header fields in order, and its body."""
    line, fields, body = client.get("/a/b?c=d", "Accept: text/html")
    assert (line, body) == ("HTTP/1.1 200 OK", b"/a/b")
    assert fields == [
        ("Content-Type", "text/plain"),
        ("Content-Length", "4"),
        ("X-Test", "a"),
        ("Connection", "keep-alive"),
    ]
    (request,) = application.requests
    assert (request.method, request.path, request.query) == ("GET", "/a/b", {"c": ("d",)})
    assert (request.headers["accept"], request.client) == ("text/html", "127.0.0.1")


def test_the_users_own_connection_is_known_as_such(client, application):
    """The door looks up whose the connection is, once."""
    client.get()
    client.get()
    assert [request.owner for request in application.requests] == [True, True]


def test_a_connection_is_kept_for_more_requests(client):
    """Ten requests, one connection."""
    for number in range(10):
        assert client.get(f"/a{number}")[2] == f"/a{number}".encode()


def test_pipelined_requests_are_answered_in_order(client):
    """A client may send ahead."""
    paths = [f"/p{number}" for number in range(20)]
    client.socket.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths))
    assert [client.response()[2].decode() for _ in paths] == paths


def test_head_has_the_header_of_get_and_no_body(client):
    """The next response follows at once."""
    wanted = client.get("/a")
    assert client.get("/a", method="HEAD") == (*wanted[:2], b"")
    assert client.get("/b")[2] == b"/b"


def test_head_of_what_was_not_drawn_has_no_length(client):
    """And the connection goes on all the same."""
    _, fields, _ = client.get("/undrawn", method="HEAD")
    assert "Content-Length" not in dict(fields)
    assert client.get("/b")[2] == b"/b"


@pytest.mark.parametrize("path", ["/400", "/404", "/500", "/503"])
def test_the_connection_is_closed_after_an_error(client, application, path):
    """What was sent ahead is not looked at any more."""
    client.send(f"GET {path} HTTP/1.1", "Host: localhost")
    client.send("GET /next HTTP/1.1", "Host: localhost")
    line, fields, body = client.response()
    assert line.startswith(f"HTTP/1.1 {path[1:]} ") and body == path.encode()
    assert dict(fields)["Connection"] == "close"
    assert client.closed()
    assert len(application.requests) == 1


@pytest.mark.parametrize(
    ("version", "fields", "kept"),
    [
        ("HTTP/1.1", [], True),
        ("HTTP/1.1", ["Connection: close"], False),
        ("HTTP/1.0", [], False),
        ("HTTP/1.0", ["Connection: keep-alive"], True),
    ],
)
def test_a_client_says_whether_it_will_ask_more(client, version, fields, kept):
    """The answer says what the server makes of it."""
    line, headers, _ = client.get("/", *fields, version=version)
    assert line == "HTTP/1.1 200 OK"
    assert dict(headers)["Connection"] == ("keep-alive" if kept else "close")
    if kept:
        assert client.get("/b")[2] == b"/b"
    else:
        assert client.closed()


def test_a_header_may_come_in_many_packets(client):
    """Byte by byte, and the end of one with the beginning of the next."""
    text = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\nGET /next HTTP/1.1\r\nHost: lo"
    for start in range(len(text)):
        client.socket.sendall(text[start : start + 1])
    assert client.response()[2] == b"/slow"
    client.socket.sendall(b"calhost\r\n\r\n")
    assert client.response()[2] == b"/next"


REFUSED = [(name, head, status) for name, head, status in REFUSED_HEADS if head]


@pytest.mark.parametrize(("head", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_doubtful_is_refused_and_the_connection_closes(client, application, head, status):
    """Nobody sees a second request in what one program took for a part of the first."""
    smuggled = b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with contextlib.suppress(ConnectionError):
        client.socket.sendall(head + smuggled)
    line, fields, _ = client.response()
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert dict(fields)["Connection"] == "close"
    assert client.closed()
    assert not application.requests


@pytest.mark.parametrize("field", ["Content-Length: 42", "Transfer-Encoding: chunked"])
def test_a_request_with_a_body_is_refused_and_the_connection_closes(client, application, field):
    """413; the body, whatever it looks like, is read by nobody."""
    client.send("GET / HTTP/1.1", "Host: localhost", field)
    client.send("GET /smuggled HTTP/1.1", "Host: localhost")
    assert client.response()[0].startswith("HTTP/1.1 413 ")
    assert client.closed() and not application.requests


def test_a_refused_head_gets_no_body(client):
    """Whatever the status, what answers HEAD has none."""
    client.send("HEAD / HTTP/1.1", "Host: localhost", "Content-Length: 5")
    line, _, _ = client.response(body=False)
    assert line.startswith("HTTP/1.1 413 ")
    assert client.closed()


def test_a_slow_header_is_dropped(client, application, monkeypatch):
    """There is a deadline for the whole of it, however steadily it drips."""
    monkeypatch.setattr(plotsrv, "HEADER_SECONDS", 0.15)
    client.get()
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < 3:
            client.socket.sendall(b"GET"[:1])
            client.socket.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                if client.socket.recv(1) == b"":
                    break
    assert 0.1 < time.monotonic() - started < 2
    assert len(application.requests) == 1


@pytest.mark.parametrize("before", [0, 1])
def test_an_idle_connection_is_closed(server, monkeypatch, before):
    """Before the first request, and after one."""
    monkeypatch.setattr(plotsrv, "IDLE_SECONDS", 0.1)
    client = Client(server)
    for _ in range(before):
        client.get()
    started = time.monotonic()
    assert client.closed()
    assert time.monotonic() - started < 2
    client.close()


def at_rest(server):
    """Have all connections given their places back?"""
    return server.places._value == plotsrv.CONNECTIONS


@pytest.mark.parametrize("reads", [0, 1000])
def test_a_client_that_leaves_mid_answer_costs_nothing(server, client, application, reads):
    """No thread stays, no traceback is printed, and the next one is answered."""
    application.body = b"x" * 20_000_000
    client.send("GET / HTTP/1.1", "Host: localhost")
    assert client.socket.recv(reads) or not reads
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()  # with a reset
    assert eventually(lambda: at_rest(server))
    application.body = b"y"
    assert Client(server).get()[2] == b"y"
    assert not server.failures


def test_a_client_that_does_not_read_is_dropped(server, client, application, monkeypatch):
    """Each piece of an answer has its time; what does not move is given up."""
    monkeypatch.setattr(plotsrv, "SEND_SECONDS", 0.1)
    application.body = b"x" * 50_000_000
    client.send("GET / HTTP/1.1", "Host: localhost")
    assert eventually(lambda: application.requests)
    assert eventually(lambda: at_rest(server))
    assert not server.failures


def test_a_client_that_leaves_mid_header_costs_nothing(server):
    """Half a request is none."""
    client = Client(server)
    client.send("GET / HTTP/1.1", "Host: lo", end=b"")
    client.close()
    assert eventually(lambda: at_rest(server))


def test_many_clients_are_answered_at_once(server):
    """A thread for each; one that is idle keeps nobody waiting."""
    clients = [Client(server) for _ in range(50)]
    for number, client in enumerate(reversed(clients)):
        assert client.get(f"/c{number}")[2] == f"/c{number}".encode()
    for client in clients:
        client.close()
    assert eventually(lambda: at_rest(server))


def test_beyond_the_limit_of_connections_the_answer_is_503(tmp_path, monkeypatch):
    """With Retry-After and the standing headers; when a connection ends, the next one is let in."""
    monkeypatch.setattr(plotsrv, "CONNECTIONS", 2)
    with serving(Site(tmp_path).application) as server:
        first, second = Client(server), Client(server)
        assert first.get()[0] == second.get()[0] == "HTTP/1.1 200 OK"
        third = Client(server)
        line, fields, _ = third.response()
        assert line == "HTTP/1.1 503 Service Unavailable"
        assert dict(fields)["Retry-After"] and dict(fields)["Connection"] == "close"
        assert STANDING.items() <= dict(fields).items() and "Content-Security-Policy" in dict(fields)
        assert third.closed()
        first.close()
        assert eventually(lambda: server.places._value == 1)
        assert Client(server).get()[0] == "HTTP/1.1 200 OK"
        assert not server.failures


def test_nothing_is_looked_up_by_dns(application, monkeypatch):
    """Neither our own name at the start nor a client's at a request."""

    def look_up(*arguments):
        raise AssertionError("a DNS look-up")

    for name in ("getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo"):
        monkeypatch.setattr(socket, name, look_up)
    with serving(application) as server:
        assert server.server_name == "127.0.0.1"
        client = Client(server)
        assert client.get()[0] == "HTTP/1.1 200 OK"
        assert client.get("/404")[0] == "HTTP/1.1 404 Not Found"
        assert not server.failures


def test_ipv6_is_served_too(application):
    """An address with colons makes an IPv6 socket."""
    try:
        with serving(application, "::1") as server:
            assert Client(server).get("/six")[2] == b"/six"
    except OSError:
        pytest.skip("no IPv6 here")
    assert application.requests[0].owner


def test_requests_are_not_logged(server, client, capfd):
    """Tokens in addresses would end up in the log, and nobody reads it."""
    client.get("/token?token=secret")
    client.get("/404")
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_an_error(server, application):
    """Two servers on one port would share the requests between them."""
    with pytest.raises(OSError):
        PlotServer(server.server_address[:2], application)


# -- WSGI, and the two side by side


@pytest.fixture
def wsgi(application, monkeypatch):
    """The WSGI door around the recording application."""
    monkeypatch.setattr(plotsrv.Application, "for_options", lambda *options: application)
    return plotsrv.wsgi_application()


def call(wsgi, method="GET", target="/", headers=(), **more):
    """Status, header fields and body of a WSGI application's answer, under wsgiref's validator."""
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": urllib.parse.unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": "127.0.0.1",
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in dict(headers).items()},
        **more,
    }
    host = environ.get("HTTP_HOST")
    wsgiref.util.setup_testing_defaults(environ)
    if host is None:
        del environ["HTTP_HOST"]
    answer = []

    def start_response(status, fields, exc_info=None):
        answer[:] = [status, fields]
        return io.BytesIO().write

    body = wsgiref.validate.validator(wsgi)(environ, start_response)
    try:
        return (*answer, b"".join(body))
    finally:
        body.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/", "/a/b?c=d", "/undrawn", "/404", "/503"])
def test_the_wsgi_door_keeps_to_the_protocol(wsgi, application, method, target):
    """Under wsgiref's validator, which refuses hop-by-hop fields among much else."""
    status, fields, body = call(wsgi, method, target, {"Host": "localhost"})
    assert application.requests[0].headers["host"] == "localhost"
    assert int(status[:3]) == (int(target[1:]) if target[1:].isdecimal() else 200)
    assert ("X-Test", "a") in fields
    assert body == (b"" if method == "HEAD" else target.partition("?")[0].encode())


def test_a_wsgi_request_that_cannot_be_read_is_refused(wsgi, application):
    """By the application's own refusal."""
    status, fields, body = call(wsgi, "POST", "/", {"Host": "localhost"})
    assert status == "405 Method Not Allowed" and dict(fields)["Allow"] == "GET, HEAD"
    assert b"GET and HEAD" in body and not application.requests


HOST = {"Host": "localhost:9999"}
BOTH = [
    ("GET", "/", HOST),
    ("GET", "/mine/line?freq=2.5&title=%C3%A9", HOST | {"Accept": PERSON}),
    ("GET", "/mine/line/form?freq=x", HOST),
    ("GET", "/mine/line?n=1&n=2", HOST),
    ("GET", "/mine/line.png", HOST | {"Accept": ELEMENT}),
    ("GET", "/plots.json", HOST),
    ("GET", "/?mode=paramcheck&graph=plot_log", HOST),
    ("GET", "/nothing", HOST),
    ("GET", "/nothing.png", HOST | {"Accept": ELEMENT}),
    ("GET", "/caf%C3%A9", HOST),
    ("GET", "/mine/log?file_path=../x", HOST),
    ("GET", "/mine/line", HOST | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
    ("GET", "/", {"Host": "evil.example"}),
    ("GET", "/?a=%ff", HOST),
    ("GET", "/%ff", HOST),
    ("GET", "/?" + "&".join(["a=1"] * 300), HOST),
    ("HEAD", "/", HOST),
    ("HEAD", "/mine/line", HOST),
    ("HEAD", "/mine/line.png", HOST),
    ("HEAD", "/nothing", HOST),
    ("POST", "/", HOST),
    ("OPTIONS", "/", HOST),
    ("BREW", "/", HOST),
]


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize(("method", "target", "headers"), BOTH, ids=[f"{row[0]} {row[1][:40]}" for row in BOTH])
def test_both_doors_give_the_same_answer_byte_for_byte(tmp_path, monkeypatch, method, target, headers):
    """Status, header fields and body; only whether the connection goes on is the http.server door's own."""
    site = Site(tmp_path)
    monkeypatch.setattr(plotsrv, "formatdate", lambda **options: "Sat, 01 Jan 2000 00:00:00 GMT")
    monkeypatch.setattr(plotsrv.Application, "for_options", lambda *options: site.application)
    with serving(site.application) as server:
        client = Client(server)
        client.send(f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()))
        client.socket.shutdown(socket.SHUT_WR)
        line, fields, body = client.response(body=method != "HEAD")
        assert client.closed()
        client.close()
    fields = [(name, value) for name, value in fields if name != "Connection"]
    wanted = call(plotsrv.wsgi_application(), method, target, headers)
    assert (line.removeprefix("HTTP/1.1 "), fields, body) == wanted
