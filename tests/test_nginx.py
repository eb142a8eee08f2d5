"""plotsrv behind a real nginx: a sub-path, kept connections, live pictures, and clients who must not meet.

The configuration is the README's, and stands in siege_http.py: `proxy_pass http://…/`, HTTP/1.1, an empty Connection,
Host and X-Forwarded-For. H3, H8, P13, P18 and P20 of SAFETY; the long form of the hostile pairs is `make siege`.
"""

import contextlib
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
import siege_http
from measuring import Bench
from serving import PATIENCE, BareServer, eventually
from siege_http import TOKEN, TRUSTED, nginx, nginx_path

pytestmark = pytest.mark.skipif(nginx_path() is None, reason="nginx is not installed (Debian: apt install nginx-light)")

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PLOTS = '''
from pathlib import Path

FOLDER = Path(__file__).parent
PNG = bytes.fromhex("89504e470d0a1a0a")

def plot_line(n: int = 0):
    """Something to look at"""
    return PNG + b"line %d" % n

def plot_log(file_path: Path = "log.csv"):
    """A log that grows"""
    return PNG + Path(file_path).read_bytes()
'''


class Behind:
    """A plotsrv and the nginx before it."""

    def __init__(self, server, ports, folder):
        self.server = server
        self.port, self.lax_port = ports
        self.folder = folder

    def get(self, path, port=0, **headers):
        """The answer to a GET through nginx; its body has been read."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        try:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"Accept": "text/html", **headers})
            response = connection.getresponse()
            response.body = response.read()
            return response
        finally:
            connection.close()


@contextlib.contextmanager
def behind_nginx(folder, *options, settings=""):
    """plotsrv with its own plots and data, and nginx on another port."""
    (folder / "mine.py").write_text(PLOTS)
    (folder / "log.csv").write_text("one")
    with BareServer(folder, "--plots", "mine.py", *options, PLOTSRV_TOKEN=TOKEN) as server:
        server.settled_gallery()
        with nginx(folder / "nginx", server.port, settings) as ports:
            yield Behind(server, ports, folder)
        assert "Traceback" not in server.output


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    """plotsrv that believes this nginx, which tells its sub-path."""
    with behind_nginx(tmp_path_factory.mktemp("trusted"), *TRUSTED, settings=PREFIXED) as behind:
        yield behind


PREFIXED = """proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Host $host;
    proxy_set_header Connection ""; proxy_set_header X-Forwarded-Prefix /plots;"""


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory):
    """plotsrv that knows of no proxy."""
    with behind_nginx(tmp_path_factory.mktemp("untrusted")) as behind:
        yield behind


# -- what a user sees


@pytest.mark.parametrize("behind", ["trusted", "untrusted"])
def test_it_works_below_a_sub_path_with_a_few_lines_of_nginx(behind, request):
    """Scorecard 24: the token once, then gallery, form, page and picture, by relative links alone."""
    behind = request.getfixturevalue(behind)
    assert behind.get("/plots/").status == 401
    response = behind.get(f"/plots/token?token={TOKEN}")
    assert (response.status, response.headers["Location"]) == (303, "./")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    page = behind.get("/plots/", Cookie=cookie).body.decode()
    links = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    assert links and not [link for link in links if link.startswith("/") or "://" in link.partition("?")[0]]
    assert "./mine/line" in links
    for path in ("mine/line", "mine/line/form", "mine/line.png", "plots.json"):
        assert behind.get(f"/plots/{path}", Cookie=cookie).status == 200


def test_the_cookie_is_for_the_sub_path_that_a_trusted_proxy_tells(trusted, untrusted):
    """H8, P16: other services of the same nginx never see it; from a proxy that is not trusted it is ignored."""
    for behind, path in [(trusted, "/plots/"), (untrusted, "/")]:
        fields = behind.get(f"/plots/token?token={TOKEN}").headers["Set-Cookie"]
        assert re.findall(r"Path=([^;]*)", fields) == [path]


@pytest.mark.parametrize("behind", ["trusted", "untrusted"])
@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via", "X-Forwarded-Proto"])
def test_whoever_comes_through_nginx_needs_the_token(behind, name, request):
    """H8: nginx runs on this machine, and perhaps as this user; its clients do not, whatever they say they are."""
    behind = request.getfixturevalue(behind)
    assert behind.get("/plots/", **{name: "127.0.0.1"}).status == 401
    assert behind.get("/plots/", **{name: "127.0.0.1"}, **BEARER).status == 200


def test_a_client_cannot_tell_another_address_through_nginx(trusted):
    """H8: X-Forwarded-For is what nginx adds; a client's own is replaced, and its X-Forwarded-Host is none of ours."""
    before = trusted.server.output
    assert trusted.get("/plots/nothing", X_Forwarded_For="192.0.2.77", Cookie="a=b").status == 401
    assert "192.0.2.77" not in trusted.server.output.removeprefix(before)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io"])
def test_nginx_hands_on_the_host_and_it_is_checked(trusted, host):
    """P17: DNS rebinding to the port of nginx is what it is to ours."""
    assert trusted.get("/plots/", Host=host, **BEARER).status == 421


@pytest.mark.parametrize("path", ["//a.example", "/plots//a.example", "/plots/%2F%2Fa.example", "/plots/\\a.example"])
def test_nothing_redirects_elsewhere_through_nginx(trusted, path):
    """P13: nginx merges slashes or does not; there is no redirect to be led astray."""
    for port in (trusted.port, trusted.lax_port):
        response = trusted.get(path, port, **BEARER)
        assert response.status in (400, 404) and "Location" not in response.headers


# -- live pictures


def test_a_live_picture_passes_nginx_frame_by_frame(trusted):
    """X-Accel-Buffering: no; each frame is there at once, though nginx buffers all else."""
    log = trusted.folder / "log.csv"
    log.write_text("one")
    with socket.create_connection(("127.0.0.1", trusted.port), timeout=PATIENCE) as client:
        fields = f"Host: localhost\r\nAccept: image/*\r\nAuthorization: Bearer {TOKEN}\r\n"
        client.sendall(f"GET /plots/mine/log.live HTTP/1.1\r\n{fields}\r\n".encode())
        received = b""
        for text in (b"one", b"two", b"three"):
            log.write_bytes(text)
            deadline = time.monotonic() + PATIENCE
            while b"\x89PNG\r\n\x1a\n" + text not in received and time.monotonic() < deadline:
                received += client.recv(65536)
            assert b"\x89PNG\r\n\x1a\n" + text in received
    assert b"multipart/x-mixed-replace" in received


def test_a_viewer_who_leaves_nginx_leaves_plotsrv(trusted):
    """The stream behind it ends, and with it its thread."""
    threads = siege_http.held(trusted.server.pid)["threads"]
    with socket.create_connection(("127.0.0.1", trusted.port), timeout=PATIENCE) as client:
        fields = f"Host: localhost\r\nUser-Agent: leaver\r\nAuthorization: Bearer {TOKEN}\r\n"
        client.sendall(f"GET /plots/mine/log.live HTTP/1.1\r\n{fields}\r\n".encode())
        assert b"200 OK" in client.recv(1000)
    assert eventually(lambda: siege_http.held(trusted.server.pid)["threads"] <= threads + 1)


# -- P20: caches between users


@pytest.mark.parametrize("path", ["mine/line?n=1", "mine/line.png?n=1", "plots.json", "mine/line/form?n=1", ""])
def test_nginx_caches_no_answer_of_ours(trusted, path):
    """P20, Flask CVE-2023-30861: two tokens, one URL: whoever has none gets nothing of who has one."""
    first = trusted.get(f"/cached/{path}", **BEARER)
    again = trusted.get(f"/cached/{path}", **BEARER)
    stranger = trusted.get(f"/cached/{path}", Authorization="Bearer another-token-of-32-letters-here")
    assert (first.status, again.status, stranger.status) == (200, 200, 401)
    assert {each.headers["X-Cache"] for each in (first, again, stranger)} <= {"MISS", "BYPASS", None}
    assert first.body not in stranger.body or not first.body
    assert "private" in first.headers["Cache-Control"] and "Cookie" in first.headers["Vary"]


def test_a_refusal_is_not_cached_either(trusted):
    """P20: who comes first without a token does not lock out who comes second with one."""
    assert trusted.get("/cached/mine/line?n=2").status == 401
    assert trusted.get("/cached/mine/line?n=2", **BEARER).status == 200


def test_what_a_proxy_keeps_against_our_word_is_no_answer_for_others_to_change(trusted):
    """P20, Angular's prefix poisoning: even so, nothing of a client's X-Forwarded fields is in what is kept."""
    evil = dict(X_Forwarded_Host="evil.example", X_Forwarded_Prefix="/evil", X_Forwarded_Proto="evil")
    response = trusted.get("/insisting/mine/line?n=3", **BEARER, X_Original_URL="/evil", X_Rewrite_URL="/evil")
    assert response.status == 200 and b"evil" not in response.body
    response = trusted.get("/insisting/mine/line?n=4", **BEARER, **evil)
    assert b"evil" not in response.body


# -- H3: two clients of one nginx


@pytest.mark.parametrize("number", range(2 * len(siege_http.HOSTILE)))
def test_what_a_hostile_client_hides_in_a_request_reaches_nobody_else(trusted, number):
    """H3, each shape at both places: the next client over the kept connection gets its own page."""
    path = "/mine/log/form?file_path={}"
    ports = (trusted.port, trusted.lax_port)
    for first in (number, number + 2 * len(siege_http.HOSTILE)):  # at nginx, and at its less careful twin
        assert siege_http.hostile_pairs(ports, 1, path, first) == []


def test_two_clients_at_once_each_get_their_own_page(trusted):
    """H3: a hundred pairs, four clients at once, over the few connections that nginx keeps."""
    with ThreadPoolExecutor(4) as clients:
        wrong = clients.map(
            lambda first: siege_http.hostile_pairs(
                (trusted.port, trusted.lax_port), 25, "/mine/log/form?file_path={}", first
            ),
            range(0, 100, 25),
        )
        assert [each for found in wrong for each in found] == []


def test_the_trial_of_hostile_pairs_finds_what_http_server_gets_wrong(tmp_path, untrusted, monkeypatch):
    """H3, scorecard 6 (10,000 pairs in the siege): no wrong body, but some where http.server itself is behind."""
    server = untrusted.server
    running = server.port, server.popen, Path(f"/proc/self/fd/{server.printed.fileno()}")
    monkeypatch.setattr(siege_http, "besieged", lambda bench: contextlib.nullcontext(running))
    monkeypatch.setattr(siege_http, "FORM", "/mine/log/form?file_path={}")
    rows = list(siege_http.TRIALS["nginx"](Bench(tmp_path), pairs=40, control=40))
    assert [row.what for row in rows if row.bar and not row.is_met] == []
