"""Access: who may ask, by Host, site, user and token, and which files a browser may name."""

import os
import re
import socket
import stat
import time
from pathlib import Path

import pytest

import plotsrv
from plotsrv import Access, DataFolders, HTTPError, Request

TOKEN = "a-token-of-192-random-bits-or-so"


def request_with(path="/", owner=True, query="", **headers):
    fields = {"host": "localhost:9999"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", path, plotsrv.query_of(query), fields, owner=owner)


def status_of(check, *arguments):
    """The status that a check refuses with; 200 where it does not."""
    try:
        check(*arguments)
    except HTTPError as error:
        return error.status
    return 200


# -- Host

LOOPBACK, EVERYWHERE, ONE = dict(address="127.0.0.1"), dict(address="0.0.0.0"), dict(address="192.168.1.5")
NAMED = dict(allow_host="gpu.example, Plots.Example")


@pytest.mark.parametrize(
    ("options", "host", "ours"),
    [
        (LOOPBACK, "localhost", True),
        (LOOPBACK, "localhost:9999", True),
        (LOOPBACK, "LOCALHOST:80", True),
        (LOOPBACK, "localhost.", True),
        (LOOPBACK, "localhost.:9999", True),
        (LOOPBACK, "plots.localhost:9999", True),
        (LOOPBACK, "a.b.localhost", True),
        (LOOPBACK, "127.0.0.1", True),
        (LOOPBACK, "127.0.0.1:9999", True),
        (LOOPBACK, "127.9.9.9", True),
        (LOOPBACK, "[::1]", True),
        (LOOPBACK, "[::1]:9999", True),
        (LOOPBACK, "", False),
        (LOOPBACK, ":9999", False),
        (LOOPBACK, ".", False),
        (LOOPBACK, "evil.example", False),
        (LOOPBACK, "evil.example:9999", False),
        (LOOPBACK, "localhost.evil.example", False),
        (LOOPBACK, "evillocalhost", False),
        (LOOPBACK, "localhost-evil", False),
        (LOOPBACK, "localhost..", False),
        (LOOPBACK, "127.0.0.1.nip.io", False),
        (LOOPBACK, "127.0.0.1.", True),
        (LOOPBACK, "0x7f.1", False),
        (LOOPBACK, "127.1", False),
        (LOOPBACK, "2130706433", False),
        (LOOPBACK, "017700000001", False),
        (LOOPBACK, "0.0.0.0", False),
        (LOOPBACK, "[::]", False),
        (LOOPBACK, "192.168.1.5", False),
        (LOOPBACK, "169.254.169.254", False),
        (LOOPBACK, "localhost:80@evil.example", False),
        (LOOPBACK, "evil.example@localhost", False),
        (LOOPBACK, "localhost/evil", False),
        (LOOPBACK, "localhost,evil.example", False),
        (LOOPBACK, "localhost evil.example", False),
        (LOOPBACK, "localhost:port", False),
        (LOOPBACK, "localhost:80:80", False),
        (LOOPBACK, "localhost\xa0", False),
        (LOOPBACK, "gpu.example", False),
        (NAMED, "gpu.example:9999", True),
        (NAMED, "GPU.example", True),
        (NAMED, "plots.example", True),
        (NAMED, "gpu.example.", True),
        (NAMED, "localhost", True),
        (NAMED, "a.gpu.example", False),
        (NAMED, "gpu.example.evil", False),
        (NAMED, "gpu.example, plots.example", False),
        (ONE, "192.168.1.5:9999", True),
        (ONE, "192.168.1.50", False),
        (ONE, "127.0.0.1", True),
        (EVERYWHERE, "192.168.1.5:9999", True),
        (EVERYWHERE, "[fe80::1]:9999", True),
        (EVERYWHERE, "10.0.0.1", True),
        (EVERYWHERE, "evil.example", False),
        (EVERYWHERE, "192.168.1.5.nip.io", False),
        (EVERYWHERE, "", False),
        (dict(address="::"), "[2001:db8::1]", True),
    ],
)
def test_only_our_own_names_are_answered(options, host, ours):
    """A name that another page's owner may point here is a 421: that is DNS rebinding."""
    request = request_with(host=host)
    assert status_of(Access(**options).authorize, request) == (200 if ours else 421)


def test_a_request_without_host_is_refused():
    """Every browser sends one."""
    assert status_of(Access().authorize, Request("GET", "/")) == 421


def test_an_unknown_host_is_told_the_option():
    """The message says how to allow the name, and does not repeat it."""
    with pytest.raises(HTTPError) as caught:
        Access().check_host(request_with(host="evil.example"))
    assert "--allow-host" in caught.value.message and "evil" not in caught.value.message


# -- other sites

IMAGE = dict(sec_fetch_mode="no-cors", sec_fetch_dest="image")
LINK = dict(sec_fetch_mode="navigate", sec_fetch_dest="document")
FRAME = dict(sec_fetch_mode="navigate", sec_fetch_dest="iframe")
WIKI = "https://wiki.example"


@pytest.mark.parametrize(
    ("embedder", "headers", "allowed"),
    [
        ("", dict(), True),
        ("", dict(sec_fetch_site="none", **LINK), True),
        ("", dict(sec_fetch_site="same-origin", **LINK), True),
        ("", dict(sec_fetch_site="same-origin", **IMAGE), True),
        ("", dict(sec_fetch_site="cross-site", **LINK), True),
        ("", dict(sec_fetch_site="same-site", **LINK), True),
        ("", dict(sec_fetch_site="cross-site", **IMAGE), False),
        ("", dict(sec_fetch_site="same-site", **IMAGE), False),
        ("", dict(sec_fetch_site="cross-site", **FRAME), False),
        ("", dict(sec_fetch_site="same-site", **FRAME), False),
        ("", dict(sec_fetch_site="cross-site"), False),
        ("", dict(sec_fetch_site="cross-site", sec_fetch_mode="navigate"), False),
        ("", dict(sec_fetch_site="cross-site", sec_fetch_dest="document"), False),
        ("", dict(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="object"), False),
        ("", dict(sec_fetch_site="cross-site", sec_fetch_mode="cors", sec_fetch_dest="empty"), False),
        ("", dict(sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="script"), False),
        ("", dict(sec_fetch_site="same-origin, cross-site", **IMAGE), False),
        ("", dict(sec_fetch_site="anything", **IMAGE), False),
        ("", dict(sec_fetch_site="same-origin", referer="http://evil.example/"), True),
        ("", dict(sec_fetch_site="cross-site", referer="http://localhost:9999/", **IMAGE), False),
        ("", dict(origin="http://localhost:9999"), True),
        ("", dict(origin="http://localhost:8888"), False),
        ("", dict(origin="http://localhost"), False),
        ("", dict(origin="http://evil.example"), False),
        ("", dict(origin="null"), False),
        ("", dict(origin="http://evil.example", referer="http://localhost:9999/"), False),
        ("", dict(referer="http://localhost:9999/mine/line"), True),
        ("", dict(referer="http://evil.example/"), False),
        ("", dict(referer="http://evil.example/http://localhost:9999/"), False),
        ("", dict(referer="http://localhost:9999.evil.example/"), False),
        ("", dict(referer="http://localhost:9999@evil.example/"), False),
        ("", dict(referer="about:blank"), False),
        (WIKI, dict(sec_fetch_site="cross-site", referer="https://wiki.example/page", **IMAGE), True),
        (WIKI, dict(sec_fetch_site="cross-site", referer="https://wiki.example/", **FRAME), True),
        (WIKI, dict(sec_fetch_site="cross-site", origin="https://wiki.example", **IMAGE), True),
        (WIKI, dict(referer="https://wiki.example/page"), True),
        (WIKI, dict(sec_fetch_site="same-origin", **IMAGE), True),
        (WIKI, dict(sec_fetch_site="cross-site", **IMAGE), False),
        (WIKI, dict(sec_fetch_site="cross-site", referer="http://wiki.example/", **IMAGE), False),
        (WIKI, dict(sec_fetch_site="cross-site", referer="https://wiki.example.evil.example/", **IMAGE), False),
        (WIKI, dict(sec_fetch_site="cross-site", referer="https://wiki.example:8443/", **IMAGE), False),
        (WIKI, dict(sec_fetch_site="cross-site", referer="https://evil.example/https://wiki.example/", **IMAGE), False),
    ],
)
@pytest.mark.parametrize("identity", [True, False])
def test_other_sites_may_link_here_but_not_embed(embedder, headers, allowed, identity):
    """A link that somebody follows is answered; another site's <img> or frame is a 403, under WSGI too."""
    access = Access(embedder=embedder, identity=identity)
    assert status_of(access.authorize, request_with(**headers)) == (200 if allowed else 403)


# -- users and tokens


def test_the_users_own_browser_needs_no_token():
    """Somebody alone on their machine never notices any of this."""
    assert Access(token=TOKEN).authorize(request_with()) == ""
    assert Access().authorize(request_with()) == ""


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_everybody_else_needs_the_token(token):
    """401, which says where the token is to be had; where there is none, nobody else comes in."""
    for headers in ({}, {"authorization": "Bearer "}, {"cookie": "plotsrv-9999="}):
        with pytest.raises(HTTPError) as caught:
            Access(token=token).authorize(request_with(owner=False, **headers))
        assert caught.value.status == 401 and caught.value.headers == {"WWW-Authenticate": "Bearer"}
        assert "address that it printed" in caught.value.message


@pytest.mark.parametrize("header", ["forwarded", "x_forwarded_for", "x_forwarded_host", "x_forwarded_proto", "via"])
def test_a_proxy_on_this_machine_is_not_the_user(header):
    """Any forwarded header turns the rule of the same user off."""
    assert status_of(Access(token=TOKEN).authorize, request_with(**{header: "127.0.0.1"})) == 401


@pytest.mark.parametrize("header", ["x_forwarded_server", "x_forwarded_port", "x_forwarded_prefix", "x_forwarded_user"])
def test_every_x_forwarded_header_tells_of_a_proxy(header):
    """The rule is X-Forwarded-*, not a list of some of them."""
    assert status_of(Access(token=TOKEN).authorize, request_with(**{header: "a"})) == 401


def test_with_token_the_users_own_browser_needs_it_too():
    """--token asks it of everybody."""
    access = Access(token=TOKEN, everybody=True)
    assert status_of(access.authorize, request_with()) == 401
    assert status_of(access.authorize, request_with(authorization=f"Bearer {TOKEN}")) == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer  {TOKEN} ", 200),
        (f"Basic {TOKEN}", 401),
        (f"Bearer{TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}a", 401),
        (f"Bearer {TOKEN.upper()}", 401),
        ("Bearer t\xf6ken", 401),
        (f"Bearer a, Bearer {TOKEN}", 401),
    ],
)
def test_programs_bring_the_token_as_bearer(authorization, status):
    """Authorization: Bearer TOKEN, and exactly that token."""
    request = request_with(owner=False, authorization=authorization)
    assert status_of(Access(token=TOKEN).authorize, request) == status


def cookie_for(access):
    """The cookie that a browser keeps after it has opened the printed address."""
    given = access.authorize(request_with("/token", owner=False, query="token=" + access.token))
    value, *attributes = given.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    return value


def test_a_browser_exchanges_the_token_for_a_cookie():
    """The cookie lets it in, names the port, and does not contain the token."""
    access = Access(token=TOKEN, port=9999)
    cookie = cookie_for(access)
    assert cookie.startswith("plotsrv-9999=") and TOKEN not in cookie
    for text in (cookie, f"a=b; {cookie}; c=d", f"a=b;{cookie}"):
        assert status_of(access.authorize, request_with(owner=False, cookie=text)) == 200
        assert status_of(Access(token=TOKEN, everybody=True).authorize, request_with(cookie=text)) == 200


@pytest.mark.parametrize("query", ["", "token=", "token=wrong", f"token={TOKEN}&token=a", f"Token={TOKEN}"])
@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_wrong_token_gets_no_cookie(query, token):
    """Not even the user's own browser, which needs none."""
    for owner in (True, False):
        assert status_of(Access(token=token).authorize, request_with("/token", owner, query)) == 401


def test_a_cookie_expires():
    """After 30 days by the clock on the wall."""
    access = Access(token=TOKEN)
    name, expiry, signature = re.split("[=.]", cookie_for(access))
    assert abs(int(expiry) - time.time() - 30 * 86400) < 60
    past = str(int(time.time()) - 1)
    request = request_with(owner=False, cookie=f"{name}={past}.{access.signature(past)}")
    assert status_of(access.authorize, request) == 401
    request = request_with(owner=False, cookie=f"{name}={int(expiry) + 86400}.{signature}")
    assert status_of(access.authorize, request) == 401


@pytest.mark.parametrize(
    "forge",
    [
        lambda cookie: cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
        lambda cookie: cookie[:-1],
        lambda cookie: cookie + "0",
        lambda cookie: cookie.upper(),
        lambda cookie: cookie.replace("plotsrv-9999", "plotsrv-9998"),
        lambda cookie: "a" + cookie,
        lambda cookie: cookie.replace("=", "=9"),
        lambda cookie: cookie.replace("=", "=" + "9" * 5000),
        lambda cookie: "a=" + "b" * 4096 + "; " + cookie,
        lambda cookie: cookie.replace(".", ".."),
        lambda cookie: "plotsrv-9999=" + TOKEN,
    ],
)
def test_a_forged_cookie_is_worth_nothing(forge):
    """Name, date and signature have to be those that were given."""
    access = Access(token=TOKEN)
    assert status_of(access.authorize, request_with(owner=False, cookie=forge(cookie_for(access)))) == 401


def test_a_cookie_is_for_one_server():
    """Cookies do not know of ports: one for another port or another token is worth nothing under our name."""
    access = Access(token=TOKEN, port=9999)
    for other in (Access(token=TOKEN, port=8888), Access(token="another", port=9999)):
        cookie = cookie_for(other).replace("plotsrv-8888", "plotsrv-9999")
        assert status_of(access.authorize, request_with(owner=False, cookie=cookie)) == 401


def test_under_wsgi_who_may_come_in_is_the_host_applications_affair():
    """Host and site are looked at, users and tokens are not."""
    access = Access(identity=False)
    assert access.authorize(request_with(owner=False)) == ""
    assert status_of(access.authorize, request_with(host="evil.example")) == 421
    assert status_of(access.authorize, request_with(sec_fetch_site="cross-site", **IMAGE)) == 403


# -- the kept token


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The folder for what programs keep, of a user with an empty home."""
    monkeypatch.delenv("PLOTSRV_TOKEN", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_token_has_192_random_bits_and_survives_a_restart(state):
    """It lies in a file that only the user can read."""
    token = plotsrv.kept_token()
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", token)
    assert plotsrv.kept_token() == token
    file = state / "plotsrv" / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text().strip() == token


def test_a_token_file_that_others_could_read_is_closed_to_them(state):
    """Restored from a backup with other rights, say."""
    token = plotsrv.kept_token()
    (state / "plotsrv" / "token").chmod(0o644)
    assert plotsrv.kept_token() == token
    assert stat.S_IMODE((state / "plotsrv" / "token").stat().st_mode) == 0o600


def test_the_environment_may_give_the_token(state, monkeypatch):
    """PLOTSRV_TOKEN goes first, and is written nowhere."""
    monkeypatch.setenv("PLOTSRV_TOKEN", TOKEN)
    assert plotsrv.kept_token() == TOKEN
    assert not state.exists()


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_token_file_never_means_an_empty_token(state, text):
    """A disk that was full when it was written leaves no door open."""
    (state / "plotsrv").mkdir(parents=True)
    (state / "plotsrv" / "token").write_text(text)
    assert len(plotsrv.kept_token()) == 32


def test_in_a_read_only_home_the_token_lasts_as_long_as_the_server(state):
    """There is one all the same."""
    state.write_text("a file where a folder should be")
    first, second = plotsrv.kept_token(), plotsrv.kept_token()
    assert len(first) == len(second) == 32 and first != second


# -- whose connection it is


@pytest.fixture
def connection():
    """A function that makes a real loopback connection and gives the addresses of its two ends."""
    opened = []

    def connect(family=socket.AF_INET, address="127.0.0.1"):
        listener = socket.create_server((address, 0), family=family)
        opened.append(listener)
        client = socket.create_connection(listener.getsockname()[:2])
        accepted, client_address = listener.accept()
        opened.extend([client, accepted])
        return client_address, accepted.getsockname()

    yield connect
    for each in opened:
        each.close()


linux = pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="only Linux tells whose a connection is")


@linux
def test_the_kernel_tells_whose_a_connection_is(connection):
    """The client's end is the row whose local address is the client's."""
    client, server = connection()
    assert plotsrv.uid_by_netlink(client, server) == os.getuid()
    assert plotsrv.uid_by_table(plotsrv.proc_address(client), plotsrv.proc_address(server)) == os.getuid()
    assert plotsrv.is_owner(client, server)


@linux
def test_where_the_kernel_answers_no_question_its_table_is_read(connection, monkeypatch):
    """Some containers know no netlink."""
    monkeypatch.setattr(plotsrv, "NETLINK_SOCK_DIAG", 31)
    client, server = connection()
    with pytest.raises(OSError):
        plotsrv.uid_by_netlink(client, server)
    assert plotsrv.is_owner(client, server) and not plotsrv.is_owner((client[0], 1), server)


@linux
def test_the_exact_pair_of_addresses_and_ports_counts(connection):
    """Neither end alone, nor another connection's."""
    client, server = connection()
    other_client, other_server = connection()
    for pair in (
        (client, other_server),
        (other_client, server),
        ((client[0], 1), server),
        (("127.0.0.2", client[1]), server),
    ):
        assert not plotsrv.is_owner(*pair)


@linux
def test_a_loopback_connection_over_ipv6_has_an_owner_too(connection):
    """By /proc/net/tcp6; plain, and where a server for both families sees a mapped address."""
    try:
        client, server = connection(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert plotsrv.is_owner(client, server)
    client, server = (("::ffff:" + host, port) for host, port in connection())
    assert plotsrv.is_owner(client, server)


@linux
def test_a_client_may_speak_ipv4_by_an_ipv6_socket():
    """As Java's do; it is the same user all the same."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_INET6) as client:
        try:
            client.connect(("::ffff:127.0.0.1", listening.getsockname()[1]))
        except OSError:
            pytest.skip("no IPv6 here")
        accepted, address = listening.accept()
        with accepted:
            assert plotsrv.is_owner(address, accepted.getsockname())


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_of_the_machine_is_not_the_owner(connection):
    """The connection of another uid, on the same loopback, needs a token."""
    os.seteuid(12345)
    try:
        client, server = connection()
    finally:
        os.seteuid(0)
    assert plotsrv.uid_by_netlink(client, server) == 12345
    assert not plotsrv.is_owner(client, server)


@pytest.mark.parametrize(
    "address", ["192.168.1.7", "8.8.8.8", "fe80::1", "fe80::1%eth0", "::ffff:8.8.8.8", "2001:db8::1"]
)
def test_whoever_comes_from_another_machine_is_not_the_owner(address):
    """Without a look into the kernel's table."""
    assert not plotsrv.is_owner((address, 50000), (address, 9999))


@linux
def test_the_overflow_uid_never_counts_as_the_same_user(connection, monkeypatch):
    """In a container it stands for everybody who has no name there."""
    client, server = connection()
    monkeypatch.setattr(plotsrv, "overflow_uid", os.getuid)
    assert not plotsrv.is_owner(client, server)


# -- data folders

CANARY = "the canary outside"


@pytest.fixture
def tree(tmp_path):
    """A data folder with good and bad things in it, and beside it what must never be read."""
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / ".hidden").mkdir()
    outside = tmp_path / "data_evil"
    outside.mkdir()
    for file in (outside / "x.csv", tmp_path / "x.csv", data / ".env", data / ".hidden" / "x.csv", tmp_path / ".x.csv"):
        file.write_text(CANARY)
    for file in (data / "x.csv", data / "sub" / "y.csv", data / "latest.csv", data / "a b;c&d=é.csv"):
        file.write_text("1,2")
    links = {
        "link_out.csv": outside / "x.csv",
        "dir_out": outside,
        "up": tmp_path,
        "root": "/",
        "relative_out.csv": "../data_evil/x.csv",
        "chain.csv": "link_out.csv",
        "to_hidden.csv": ".env",
        "loop.csv": "loop.csv",
        "loop_a": "loop_b",
        "loop_b": "loop_a",
        "environ.csv": "/proc/self/environ",
        "null.csv": "/dev/null",
        "link_in.csv": "sub/y.csv",
        "broken.csv": "not_there.csv",
    }
    for name, target in links.items():
        (data / name).symlink_to(target)
    os.mkfifo(data / "pipe.csv")
    return data


def names_in(text):
    return text.split()


# Refused with 403, whether there is such a file or not.
OUTSIDE = names_in(r"""
    ../x.csv ../nothing.csv ../data_evil/x.csv ../data_evil .. ../ ../.. ../data/../x.csv sub/../../x.csv
    sub/../sub/../../x.csv ./../x.csv .//..//x.csv nothing/../../x.csv x.csv/../../x.csv
    up/x.csv up/data_evil/x.csv
    / /etc /etc/passwd /etc/../etc/passwd /../etc/passwd /x.csv /root/.ssh/id_rsa
    /proc/self/environ /proc/self/mem /proc/1/root /dev/null /dev/stdin /dev/zero /dev/fd/0 /sys/kernel
    link_out.csv ./link_out.csv sub/../link_out.csv relative_out.csv chain.csv dir_out dir_out/x.csv
    dir_out/nothing.csv root root/etc/passwd root/proc/self/environ environ.csv null.csv
    .env ./.env sub/../.env to_hidden.csv .hidden .hidden/x.csv .hidden/../x.csv sub/../.hidden/x.csv
    sub/.git/config sub/.nothing sub/.\x.csv ... .../x.csv ..x.csv
    ..\x.csv ..\..\etc\passwd ..%2fx.csv ..%5cx.csv ..%252fx.csv ..;/x.csv ..∕x.csv
""")
OUTSIDE += ["/".join([".."] * 40) + "/etc/passwd", "sub/" + "../sub/" * 500 + "../../x.csv"]

# An error beside the field.
NO_FILE_NAMES = names_in(r"""
    http://evil.example/x.csv HTTP://evil.example/ https://a file:///etc/passwd file:/etc/passwd FILE:x ftp://a/b
    s3://bucket/key gs://a smb://a/b jar:file:/x data:,1 javascript:alert(1) //host/share
    \\host\share\x.csv ///etc/passwd pipe.csv sub/../pipe.csv
""")
NO_FILE_NAMES += ["a\0b", "\0", "x.csv\0.png", "a\nb", "a\tb", "\x1b[2J", "\ud800", "a" * 5000]

# Names like others, which nobody expands or decodes: of files that are not there.
HARMLESS = names_in(r"""
    ~ ~/x.csv ~root/x.csv $HOME/x.csv %USERPROFILE% %2e%2e/x.csv %252e%252e%252fx.csv ‥/x.csv ．．/x.csv
    C:x.csv C:\windows\win.ini CON x.csv:ads x.csv. *.csv sub/* -rf --help `id` |cat
    nothing.csv sub/nothing.csv sub//nothing.csv x.csv/y loop.csv loop_a/x.csv broken.csv
""")
HARMLESS += ["x.csv ", " x.csv", "a" * 300]


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)[:60]) for text in OUTSIDE])
def test_a_file_outside_the_data_folders_is_refused(tree, text):
    """By .., by an absolute path, by a symlink, or hidden: 403, the same whether or not it is there."""
    with pytest.raises(HTTPError) as caught:
        DataFolders([str(tree)]).find(text, ["*.csv"])
    assert caught.value.status == 403
    assert caught.value.message == f"That file is outside the data folders, or hidden. {plotsrv.FOLLOW}"


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)[:60]) for text in NO_FILE_NAMES])
def test_what_is_no_file_is_an_error_beside_its_field(tree, text):
    """Control characters, URLs, network shares and pipes; at once, without touching them."""
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"not a valid file name|URLs are not read|not a regular file"):
        DataFolders([str(tree)]).find(text, ["*.csv"])
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)[:60]) for text in HARMLESS])
def test_a_name_is_taken_literally(tree, text):
    """Nothing is expanded or decoded once more: these are names of files that are not there."""
    try:
        found = DataFolders([str(tree)]).find(text, ["*.csv"])
    except ValueError as error:
        assert "URLs are not read" in str(error) and re.match("[A-Za-z.]{2,}:", text)
    else:
        assert found.startswith(f"{tree}/") and not os.path.exists(found)


@pytest.mark.parametrize("text", [*OUTSIDE, *NO_FILE_NAMES, *HARMLESS, "latest"])
def test_no_name_ever_reaches_the_canary(tree, text):
    """Whatever the answer is, the file it names is not one of those outside."""
    try:
        found = DataFolders([str(tree)]).find(text, ["*.csv", "*"])
    except (HTTPError, ValueError):
        return
    assert not os.path.isfile(found) or CANARY not in Path(found).read_text()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x.csv", "x.csv"),
        ("./x.csv", "x.csv"),
        ("sub/y.csv", "sub/y.csv"),
        ("sub/../x.csv", "x.csv"),
        ("sub//y.csv", "sub/y.csv"),
        ("../data/x.csv", "x.csv"),
        ("link_in.csv", "sub/y.csv"),
        ("a b;c&d=é.csv", "a b;c&d=é.csv"),
        ("latest.csv", "latest.csv"),
        ("sub", "sub"),
    ],
)
def test_a_file_inside_is_found_as_its_real_path(tree, text, name):
    """Relative or absolute, by way of links that stay inside."""
    folders = DataFolders([str(tree)])
    assert folders.find(text, ["*"]) == str(tree / name)
    assert folders.find(str(tree / text), ["*"]) == str(tree / name)


def test_a_relative_name_is_tried_in_each_folder_in_order(tree, tmp_path):
    """The first folder that has it wins; where none has it, it is awaited in the first."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.csv").write_text("3")
    (other / "z.csv").write_text("3")
    folders = DataFolders([str(tree), str(other)])
    assert folders.find("x.csv", ["*"]) == str(tree / "x.csv")
    assert folders.find("z.csv", ["*"]) == str(other / "z.csv")
    assert folders.find("new.csv", ["*"]) == str(tree / "new.csv")
    assert folders.find("../other/z.csv", ["*"]) == str(other / "z.csv")


def test_a_data_folder_may_be_a_link_or_lie_below_a_hidden_folder(tree, tmp_path):
    """runs -> /scratch/runs is what people do; what is hidden above the data folder is the user's choice."""
    (tmp_path / "runs").symlink_to(tree)
    assert DataFolders([str(tmp_path / "runs")]).find("x.csv", ["*"]) == str(tree / "x.csv")
    assert DataFolders([str(tree / ".hidden")]).find("x.csv", ["*"]) == str(tree / ".hidden" / "x.csv")


def test_a_link_that_we_may_not_follow_leads_outside(tree, monkeypatch):
    """As those in another user's closed folder: 403 like everything outside, and not a choice."""

    def closed(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "readlink", closed)
    folders = DataFolders([str(tree)])
    assert status_of(folders.find, "link_out.csv", ["*"]) == 403
    assert status_of(folders.refuse_paths, ["dir_out/../../x"]) == 403
    assert folders.files(["link_out.csv"]) == []


@pytest.mark.parametrize("text", ["/proc/self/environ", "proc/self/environ", "/dev/null", "/proc", "sys", "dev/stdin"])
def test_the_kernels_folders_are_refused_even_where_everything_is_allowed(text):
    """A data folder of / does not mean /proc."""
    assert status_of(DataFolders(["/"]).find, text, ["*"]) == 403


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_latest_is_the_newest_file_that_matches(tree):
    """Of the patterns, which may name a folder."""
    for age, name in enumerate(["sub/y.csv", "x.csv", "latest.csv", "a b;c&d=é.csv"]):
        aged(tree / name, 100 * age)
    folders = DataFolders([str(tree)])
    assert folders.find("latest", ["*.csv"]) in (str(tree / "sub/y.csv"), str(tree / "link_in.csv"))
    assert folders.find("latest", ["x*.csv"]) == str(tree / "x.csv")
    assert folders.find("latest", ["sub/*.csv"]) == str(tree / "sub/y.csv")


def test_latest_is_awaited_where_there_is_none(tree):
    """The name that is waited for is the pattern."""
    found = DataFolders([str(tree)]).find("latest", ["*.log"])
    assert found == str(tree / "*.log")


@pytest.mark.parametrize("name", ["link_out.csv", "relative_out.csv", "to_hidden.csv", "null.csv", "pipe.csv"])
def test_latest_and_the_choices_stay_inside(tree, name):
    """A link that leads out, or a pipe, is no file to choose, however new it is."""
    folders = DataFolders([str(tree)])
    assert folders.find("latest", [name + "*"]) == str(tree / name) + "*"
    assert folders.files([name]) == [] and folders.choices([name]) == []


def test_choices_are_newest_first_with_size_and_age(tmp_path):
    """The name is what is sent, relative to the data folder; the label is for people."""
    (tmp_path / "sub").mkdir()
    for name, size, age in (("b.csv", 2_000_000, 7200), ("sub/a.csv", 5, 3), ("c.csv", 1500, 300), ("d.txt", 1, 1)):
        (tmp_path / name).write_bytes(b"x" * size)
        aged(tmp_path / name, age)
    assert DataFolders([str(tmp_path)]).choices(["*.csv"]) == [
        ("latest", "the newest of these"),
        ("sub/a.csv", "sub/a.csv (5 bytes, 3 s ago)"),
        ("c.csv", "c.csv (2 kB, 5 min ago)"),
        ("b.csv", "b.csv (2 MB, 2 h ago)"),
    ]


def test_a_choice_of_every_folder_is_found_again(tree, tmp_path):
    """What the form offers, the server takes."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.csv").write_text("3")
    folders = DataFolders([str(tree), str(other)])
    names = [name for name, _ in folders.choices(["*.csv"])]
    assert {"x.csv", "sub/y.csv", "z.csv"} <= set(names)
    assert all(os.path.isfile(folders.find(name, ["*.csv"])) for name in names)


@pytest.mark.parametrize(
    "name", [".hidden/a.csv", ".a.csv", "node_modules/a.csv", "v/lib/site-packages/a.csv", "_c/a.csv"]
)
def test_choices_leave_out_what_nobody_looks_for(tmp_path, name):
    """Hidden files, caches and environments."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("1")
    assert DataFolders([str(tmp_path)]).choices(["*.csv"]) == []


def test_choices_end_somewhere(tmp_path, monkeypatch):
    """Of very many files the newest are shown, and not all are looked at."""
    monkeypatch.setattr(plotsrv, "FILES_SHOWN", 3)
    for number in range(9):
        (tmp_path / f"{number}.csv").write_text("1")
    assert len(DataFolders([str(tmp_path)]).choices(["*.csv"])) == 1 + 3


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("loss", False),
        ("train/loss", False),
        ("a title: with a colon", False),
        ("3/4", False),
        ("1..5", False),
        ("sub/../x", False),
        ("what ~ means", False),
        ("$x^2$ \\alpha", False),
        ("well...", False),
        ("", False),
        ("/etc/passwd", True),
        ("//host/share", True),
        ("~/x", True),
        ("~root", True),
        ("../x", True),
        ("a/../../x", True),
        ("..", True),
        ("..\\x", True),
        ("sub/../../data_evil/x.csv", True),
        ("\\\\host\\share", True),
        ("http://evil.example/", True),
        ("HTTPS://evil.example/", True),
        ("file:///etc/passwd", True),
        ("file:/etc/passwd", True),
        ("FILE:x", True),
        (" file:///etc/passwd", True),
        (" http://evil.example/", True),
        ("s3://bucket/key", True),
        ("postgresql+psycopg://host/db", True),
    ],
)
def test_a_plain_text_that_could_be_a_file_elsewhere_is_refused(tree, text, refused):
    """A plot might open it: absolute paths, home folders, URLs, and what leads out by ".."."""
    check = DataFolders([str(tree)]).refuse_paths
    assert status_of(check, ["a", text]) == (403 if refused else 200)


def test_by_default_the_data_folder_is_where_plotsrv_was_started(tmp_path, monkeypatch):
    """Unless that is the home folder or the root: then it is the folder of plotsrv.py."""
    monkeypatch.chdir(tmp_path)
    assert DataFolders.of([]).folders == [str(tmp_path)]
    monkeypatch.setenv("HOME", str(tmp_path))
    here = os.path.dirname(os.path.realpath(plotsrv.__file__))
    assert DataFolders.of([]).folders == [here]
    monkeypatch.chdir("/")
    assert DataFolders.of([]).folders == [here]


def test_the_data_folders_of_the_command_line_replace_the_default(tmp_path, monkeypatch):
    """Also where one of them is the home folder: it was asked for."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "runs").mkdir()
    assert DataFolders.of(["~", "~/runs"]).folders == [str(tmp_path), str(tmp_path / "runs")]
    with pytest.raises(NotADirectoryError, match="nothing is no folder"):
        DataFolders.of([str(tmp_path / "nothing")])


def test_the_name_in_the_printed_url_is_ours_when_all_addresses_are_listened_on():
    """With --address 0.0.0.0 the URL has the machine's own name."""
    name = socket.gethostname()
    assert status_of(Access(address="0.0.0.0").check_host, request_with(host=f"{name}:9999")) == 200
