"""The doors: real sockets and real WSGI around an application that only records what it is asked."""

import contextlib
import functools
import io
import queue
import socket
import struct
import threading
import time
import urllib.parse
import wsgiref.util
import wsgiref.validate

import pytest
from site_of_fakes import ELEMENT, PERSON, STANDING, Site, eventually, hasten
from test_messages import REFUSED_HEADS

import plotsrv
from plotsrv import PlotServer, Response


class Recorder:
    """An application that answers every path with itself, and /404 with a 404."""

    def __init__(self):
        self.requests = []
        self.body = None
        self.access = plotsrv.Access()

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
    return not server.places.held and not server.places.crowds


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


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A server with two places, both taken by clients that are being answered."""
    monkeypatch.setattr(plotsrv, "CONNECTIONS", 2)
    with serving(Site(tmp_path).application) as server:
        server.guests = [Client(server), Client(server)]
        assert [guest.get()[0] for guest in server.guests] == ["HTTP/1.1 200 OK"] * 2
        assert eventually(lambda: {place.state for place in server.places.held.values()} == {plotsrv.IDLE})
        for place in server.places.held.values():
            place.become(plotsrv.ANSWERING)
        yield server
        assert not server.failures


def test_beyond_the_limit_of_connections_the_answer_is_503(full):
    """With Retry-After and the standing headers; when a connection ends, the next one is let in."""
    third = Client(full)
    line, fields, _ = third.response()
    assert line == "HTTP/1.1 503 Service Unavailable"
    assert dict(fields)["Retry-After"] and dict(fields)["Connection"] == "close"
    assert STANDING.items() <= dict(fields).items() and "Content-Security-Policy" in dict(fields)
    assert third.closed()
    full.guests[0].close()
    assert eventually(lambda: len(full.places.held) == 1)
    assert Client(full).get()[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("state", [plotsrv.IDLE, plotsrv.READING, plotsrv.SENDING])
def test_whoever_is_waited_for_longest_gives_up_its_place(full, state):
    """One that asks for nothing, has not told all of its request, or does not read the answer."""
    for place in full.places.held.values():
        place.become(state)
    assert Client(full).get()[0] == "HTTP/1.1 200 OK"
    assert full.guests[0].closed() and full.guests[1].get()[0] == "HTTP/1.1 200 OK"


# -- the places there are, without sockets


class Socket:
    """Something that can be shut."""


def places_with(most, each, *addresses, state=plotsrv.IDLE):
    """Places that are taken from these addresses, one after the other; and how each is told apart."""
    places, taken = plotsrv.Places(most, frozenset({"10.0.0.9"}), each), []
    for number, address in enumerate(addresses):
        taken.append(plotsrv.Place(Socket(), address))
        assert places.enter(taken[-1])
        taken[-1].state, taken[-1].since = state, number
    for place in taken:
        place.drop = functools.partial(setattr, place, "state", "dropped")
        place.is_unread = lambda: False
    return places, taken


def test_an_address_at_its_limit_gives_up_its_own_idle_connection():
    """And nobody else's."""
    places, taken = places_with(9, 2, "a", "b", "a")
    assert places.enter(plotsrv.Place(Socket(), "a"))
    assert [place.state for place in taken] == ["dropped", plotsrv.IDLE, plotsrv.IDLE]


def test_a_connection_whose_answer_is_not_read_is_not_idle():
    """It would come again at once, and be answered anew; a refusal costs less."""
    places, (first, second) = places_with(9, 2, "a", "a")
    first.is_unread = lambda: True
    assert not places.enter(plotsrv.Place(Socket(), "a"))
    assert (first.state, second.state) == (plotsrv.IDLE, plotsrv.IDLE)


@pytest.mark.parametrize("state", [plotsrv.READING, plotsrv.ANSWERING, plotsrv.SENDING])
def test_an_address_at_its_limit_gets_no_more_while_it_is_served(state):
    """Whoever sends headers slowly stays below the limit; others come in all the same."""
    places, _ = places_with(9, 2, "a", "a", state=state)
    assert not places.enter(plotsrv.Place(Socket(), "a"))
    assert places.enter(plotsrv.Place(Socket(), "b"))


def test_where_all_places_are_taken_the_most_crowded_address_loses_one():
    """A neighbour who takes all that can be had locks nobody out."""
    places, taken = places_with(5, 3, "mine", "a", "b", "b", "b", state=plotsrv.READING)
    for place in taken:
        place.is_known = True
    assert places.enter(plotsrv.Place(Socket(), "mine"))
    assert [place.address for place in taken if place.state == "dropped"] == ["b"]


def test_where_the_most_crowded_address_is_just_being_answered_another_one_loses_a_place():
    """Whoever waits for nothing makes room, wherever that is."""
    places, taken = places_with(3, 3, "a", "b", "b")
    for place in taken[1:]:
        place.state = plotsrv.ANSWERING
    for place in taken:
        place.is_known = True
    assert places.enter(plotsrv.Place(Socket(), "c"))
    assert [place.address for place in taken if place.state == "dropped"] == ["a"]


def test_crowds_do_not_change_places_with_each_other():
    """Of two crowds as large, neither pushes out the other's, which would only come again; but for idle ones."""
    places, taken = places_with(4, 3, "a", "a", "b", "b", state=plotsrv.READING)
    assert not places.enter(plotsrv.Place(Socket(), "a"))
    taken[2].state = plotsrv.IDLE
    assert places.enter(plotsrv.Place(Socket(), "a"))
    assert [place.address for place in taken if place.state == "dropped"] == ["b"]


def test_no_other_user_of_this_machine_takes_our_places():
    """All of them come from 127.0.0.1: where that is crowded, the user who runs plotsrv is told apart."""
    places, _ = places_with(9, 2, "127.0.0.1", "127.0.0.1", state=plotsrv.READING)
    assert not places.enter(plotsrv.Place(Socket(), "127.0.0.1"))
    assert places.enter(plotsrv.Place(Socket(), "127.0.0.1"), lambda: True)


def test_who_has_never_been_let_in_gives_way_first():
    """A crowd of strangers, one from each address, pushes nobody out who has been given a page."""
    places, taken = places_with(5, 4, "mine", "mine", "mine", "a", "b", state=plotsrv.SENDING)
    for place in taken[:2]:
        place.is_known = True
    taken[2].since = time.monotonic()  # has just come, and is about to ask
    assert places.enter(plotsrv.Place(Socket(), "c"))
    assert [place.address for place in taken if place.state == "dropped"] == ["a"]


def test_nobody_new_comes_in_before_those_that_were_dropped_have_left(monkeypatch):
    """Each has a thread until it has seen that it was dropped; but not for ever."""
    places, taken = places_with(2, 2, "a", "b")
    places.held |= dict.fromkeys(range(plotsrv.STREAMS_IN_ALL + places.each + 1))
    looks = []
    monkeypatch.setattr(plotsrv.time, "sleep", lambda seconds: looks.append(places.held.pop(len(looks))))
    places.settle()
    places.settle()
    assert len(looks) == 1 and {place.accepted for place in taken} <= set(places.held)


def test_a_socket_that_is_closed_by_now_has_nothing_unread():
    """The accepting thread may ask just then."""
    ours, theirs = socket.socketpair()
    place = plotsrv.Place(ours, "a")
    assert not place.is_unread()
    for end in (ours, theirs):
        end.close()
    assert not place.is_unread()


def test_a_trusted_proxy_has_no_limit_of_its_own():
    """All its clients come from one address."""
    places, _ = places_with(5, 2, *["10.0.0.9"] * 5, state=plotsrv.ANSWERING)
    assert not places.enter(plotsrv.Place(Socket(), "10.0.0.9"))


def test_a_place_that_was_left_is_free():
    """Once as a stream, which is counted elsewhere, and once closed."""
    places, (first, second) = places_with(2, 2, "a", "a", state=plotsrv.ANSWERING)
    places.leave(first)
    assert places.enter(plotsrv.Place(Socket(), "a")) and first.accepted in places.held
    places.leave(second, closed=True)
    places.leave(second, closed=True)
    assert second.accepted not in places.held and places.enter(plotsrv.Place(Socket(), "a"))


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


# -- streams, and what has not changed


class Stream:
    """A body without end, fed by the test: chunks as they come, empty ones meanwhile."""

    def __init__(self):
        self.queue = queue.Queue()
        self.ended = threading.Event()

    def chunks(self):
        try:
            while not self.ended.is_set():
                try:
                    yield self.queue.get(timeout=0.01)
                except queue.Empty:
                    yield b""
        finally:
            self.ended.set()


@pytest.fixture
def stream(application):
    """The stream that the application answers with."""
    stream = Stream()
    application.body = stream.chunks()
    yield stream
    stream.ended.set()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("fields", [(), ("Connection: keep-alive",)])
def test_a_stream_has_no_length_and_ends_with_its_connection(client, stream, version, fields):
    """It is not chunked: an older client reads it, too."""
    line, headers, _ = client.get("/", *fields, version=version)
    assert line == "HTTP/1.1 200 OK"
    assert headers == [("Content-Type", "text/plain"), ("X-Test", "a"), ("Connection", "close")]
    stream.queue.put(b"one")
    assert client.file.read(3) == b"one"
    stream.ended.set()
    assert client.closed()


def test_each_chunk_of_a_stream_is_sent_at_once(client, stream):
    """None waits for the next one, however large or small."""
    client.get()
    for chunk in (b"a", b"b" * 200_000, b"c"):
        stream.queue.put(chunk)
        assert client.file.read(len(chunk)) == chunk


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
def test_a_stream_ends_when_its_client_leaves(server, client, stream, reset, ahead):
    """At the next heartbeat, though nothing is to be sent; also after it has sent something ahead."""
    client.get()
    if ahead:
        client.send("GET /next HTTP/1.1", "Host: localhost")
    if reset:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert stream.ended.wait(1)
    assert eventually(lambda: at_rest(server))
    assert not server.failures


def test_what_a_client_sends_during_a_stream_does_not_end_it(client, application, stream):
    """Nor is it answered."""
    client.get()
    client.send("GET /next HTTP/1.1", "Host: localhost")
    for chunk in (b"one", b"two"):
        stream.queue.put(chunk)
        assert client.file.read(3) == chunk
    assert len(application.requests) == 1


def test_a_client_that_does_not_read_its_stream_is_dropped(client, stream, monkeypatch):
    """Frames do not pile up for it."""
    monkeypatch.setattr(plotsrv, "SEND_SECONDS", 0.1)
    client.send("GET / HTTP/1.1", "Host: localhost")
    stream.queue.put(b"x" * 50_000_000)
    assert stream.ended.wait(5)


def test_a_stream_keeps_nobody_waiting(server, client, application, stream):
    """Others are answered meanwhile."""
    client.get()
    application.body = None
    assert Client(server).get("/a")[2] == b"/a"
    assert not stream.ended.is_set()


def test_head_of_a_stream_is_its_header_alone(client, stream):
    """And takes no chunk of it."""
    stream.queue.put(b"one")
    _, fields, _ = client.get(method="HEAD")
    assert "Content-Length" not in dict(fields)
    assert client.closed() and stream.queue.qsize() == 1


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A real application on fakes, whose live pictures do not keep a test waiting."""
    hasten(monkeypatch)
    site = Site(tmp_path)
    yield site
    site.application.close()


def test_a_live_picture_is_watched_for_as_long_as_its_client_stays(site):
    """Header and first frame come at once; when the client has left, nobody is a viewer any more."""
    with serving(site.application) as server:
        client = Client(server)
        line, fields, _ = client.get("/mine/clock.live", "Accept: image/*")
        assert line == "HTTP/1.1 200 OK" and dict(fields)["Content-Type"] == plotsrv.LIVE_TYPE
        wanted = b"--frame\r\nContent-Type: image/png\r\n\r\n\x89PNG"
        assert client.file.read(len(wanted)) == wanted
        assert len(site.application.live.streams) == 1
        client.close()
        assert eventually(lambda: not site.application.live.streams and not site.application.live.watchers)
        assert eventually(lambda: at_rest(server)) and not server.failures


@pytest.mark.parametrize("ending", ["", ".png"])
def test_what_has_not_changed_is_a_304_of_some_hundred_bytes(site, ending):
    """No body, no length; and the connection goes on."""
    site.reads(site.file("a.csv"))
    with serving(site.application) as server:
        client = Client(server)
        line, fields, body = client.get(f"/mine/log{ending}?file_path=a.csv")
        assert line == "HTTP/1.1 200 OK" and body
        held = f"If-None-Match: {dict(fields)['ETag']}"
        for _ in range(2):
            line, fields, body = client.get(f"/mine/log{ending}?file_path=a.csv", held)
            assert line == "HTTP/1.1 304 Not Modified" and not {"Content-Type", "Content-Length"} & dict(fields).keys()
            assert dict(fields)["Connection"] == "keep-alive"
            assert len("\r\n".join([line, *map(": ".join, fields), "", ""])) < 500
        assert client.get("/")[0] == "HTTP/1.1 200 OK"
        client.close()


# -- WSGI, and the two side by side


@pytest.fixture
def wsgi(application, monkeypatch):
    """The WSGI door around the recording application."""
    monkeypatch.setattr(plotsrv.Application, "for_options", lambda *options: application)
    return plotsrv.wsgi_application()


def begin(wsgi, method="GET", target="/", headers=(), **more):
    """Status, header fields and iterable of a WSGI application's answer, under wsgiref's validator."""
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
    return *answer, body


def call(wsgi, *arguments, **more):
    """The same with the body, which has been read to its end."""
    status, fields, body = begin(wsgi, *arguments, **more)
    try:
        return status, fields, b"".join(body)
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


def test_closing_a_wsgi_iterable_ends_its_stream(site, monkeypatch):
    """As a WSGI server does when its client has left."""
    monkeypatch.setattr(plotsrv.Application, "for_options", lambda *options: site.application)
    headers = HOST | {"Accept": ELEMENT}
    status, fields, body = begin(plotsrv.wsgi_application(live=True), "GET", "/mine/clock.live", headers)
    assert status == "200 OK" and dict(fields)["Content-Type"] == plotsrv.LIVE_TYPE
    assert next(filter(None, body)).startswith(b"--frame\r\nContent-Type: image/png\r\n\r\n\x89PNG")
    assert len(site.application.live.streams) == 1
    body.close()
    assert not site.application.live.streams


def test_head_of_a_live_picture_under_wsgi_begins_no_stream(site, monkeypatch):
    """Its body is empty."""
    monkeypatch.setattr(plotsrv.Application, "for_options", lambda *options: site.application)
    status, _, body = call(plotsrv.wsgi_application(live=True), "HEAD", "/mine/clock.live", HOST)
    assert (status, body) == ("200 OK", b"") and not site.application.live.streams


@pytest.mark.parametrize(("options", "limit"), [({}, 0), ({"live": False}, 0), ({"live": True}, plotsrv.STREAMS)])
def test_wsgi_has_live_pictures_only_where_they_are_asked_for(options, limit):
    """Each holds a thread of the host application's server."""
    wsgi = plotsrv.wsgi_application(**options)
    assert wsgi.application.live.limit == limit
    wsgi.application.close()


HOST = {"Host": "localhost:9999"}
BOTH = [
    ("GET", "/", HOST),
    ("GET", "/mine/line?freq=2.5&title=%C3%A9", HOST | {"Accept": PERSON}),
    ("GET", "/mine/line/form?freq=x", HOST),
    ("GET", "/mine/line?n=1&n=2", HOST),
    ("GET", "/mine/line.png", HOST | {"Accept": ELEMENT}),
    ("GET", "/mine/line.png", HOST | {"Accept": ELEMENT, "If-None-Match": "*"}),
    ("GET", "/mine/line", HOST | {"Accept": PERSON, "If-None-Match": "*"}),
    ("GET", "/mine/line?refresh_every=live", HOST | {"Accept": PERSON}),
    ("GET", "/mine/line.live?n=1&n=2", HOST | {"Accept": ELEMENT}),
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
    ("HEAD", "/mine/line.live", HOST),
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
