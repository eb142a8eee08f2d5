"""Messages: bytes or a WSGI environ become a Request, or an HTTPError says what was wrong with them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plotsrv
from plotsrv import HTTPError, Request, Response


def parse(head, client="127.0.0.1", owner=True):
    return Request.parse(head, client, owner)


def head_of(line="GET / HTTP/1.1", *fields):
    return "\r\n".join([line, "Host: localhost", *fields]).encode("latin-1")


def refusal_of(function, *arguments):
    """The HTTPError that a call ends with."""
    with pytest.raises(HTTPError) as caught:
        function(*arguments)
    return caught.value


def environ(method="GET", path="/", script="", query="", **more):
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": script, "QUERY_STRING": query, **more}


# -- what is understood


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", {}),
        ("/mine/mine", "/mine/mine", {}),
        ("/mine/mine?freq=2.0", "/mine/mine", {"freq": ("2.0",)}),
        ("/a?b=", "/a", {"b": ("",)}),
        ("/a?b", "/a", {"b": ("",)}),
        ("/a?b=1&c=2&b=3", "/a", {"b": ("1", "3"), "c": ("2",)}),
        ("/a?x=1+1&y=%2B", "/a", {"x": ("1 1",), "y": ("+",)}),
        ("/a?x=a;b", "/a", {"x": ("a;b",)}),
        ("/a?x=?&y=/", "/a", {"x": ("?",), "y": ("/",)}),
        ("/caf%C3%A9?n=%E2%82%AC", "/café", {"n": ("€",)}),
        ("/a%2Fb", "/a/b", {}),
        ("/a%zz", "/a%zz", {}),
        ("//evil.example/a", "//evil.example/a", {}),
        ("/../../etc/passwd", "/../../etc/passwd", {}),
        ("http://localhost/a?b=1", "/a", {"b": ("1",)}),
        ("https://LOCALHOST?b=1", "/", {"b": ("1",)}),
        ("HTTP://localhost", "/", {}),
    ],
)
def test_a_target_becomes_a_decoded_path_and_a_query(target, path, query):
    """Of an absolute form the path is taken; the host in it must be the one that Host names."""
    request = parse(head_of(f"GET {target} HTTP/1.1"))
    assert (request.path, request.query) == (path, query)


def test_a_request_carries_method_version_fields_and_client():
    """A Request is what came, and who sent it."""
    request = parse(head_of("HEAD /a HTTP/1.0", "Accept:text/html", "X-Two:  a b \t"), "::1", False)
    assert (request.method, request.path, request.version) == ("HEAD", "/a", "HTTP/1.0")
    assert request.headers == {"host": "localhost", "accept": "text/html", "x-two": "a b"}
    assert (request.client, request.owner) == ("::1", False)


def test_content_length_zero_is_no_body():
    """Content-Length: 0 says that nothing follows."""
    assert parse(head_of("GET / HTTP/1.1", "Content-Length: 0")).path == "/"


# -- what is refused

FIELD = "X-{0}: {0}"
REFUSED_HEADS = [
    ("no version", b"GET /", 400),
    ("nothing", b"", 400),
    ("two blanks", b"GET  / HTTP/1.1", 400),
    ("a blank in the target", b"GET /a b HTTP/1.1", 400),
    ("a leading blank", b" GET / HTTP/1.1", 400),
    ("a tab", b"GET\t/ HTTP/1.1", 400),
    ("an empty target", b"GET  HTTP/1.1", 400),
    ("only a bare line feed", b"GET / HTTP/1.1\nHost: localhost", 400),
    ("a NUL in the target", b"GET /\0 HTTP/1.1", 400),
    ("raw UTF-8 in the target", "GET /é HTTP/1.1".encode(), 400),
    ("a method that is no token", b"<script> / HTTP/1.1", 400),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("HTTP/0.9", b"GET / HTTP/0.9", 505),
    ("HTTP/2", b"PRI * HTTP/2.0", 505),
    ("a version in small letters", b"GET / http/1.1", 505),
    ("a version with digits to spare", b"GET / HTTP/1.10", 505),
    ("an unknown method", head_of("BREW /pot HTTP/1.1"), 501),
    ("a method in small letters", head_of("get / HTTP/1.1"), 501),
    ("*", head_of("GET * HTTP/1.1"), 400),
    ("an authority", head_of("GET localhost:80 HTTP/1.1"), 400),
    ("another scheme", head_of("GET ftp://localhost/a HTTP/1.1"), 400),
    ("a path that is not UTF-8", head_of("GET /%ff HTTP/1.1"), 400),
    ("an overlong encoding", head_of("GET /%c0%ae%c0%ae/ HTTP/1.1"), 400),
    ("a surrogate in the path", head_of("GET /%ed%a0%80 HTTP/1.1"), 400),
    ("a query that is not UTF-8", head_of("GET /?a=%ff HTTP/1.1"), 400),
    ("a query name that is not UTF-8", head_of("GET /?%ff=a HTTP/1.1"), 400),
    ("a body", head_of("GET / HTTP/1.1", "Content-Length: 5"), 413),
    ("an absolute form of another host", head_of("GET http://evil.example/a HTTP/1.1"), 400),
    ("an absolute form with another port", head_of("GET http://localhost:9999/a HTTP/1.1"), 400),
    ("a part of a page", head_of("GET /a#b HTTP/1.1"), 400),
    ("no Host", b"GET / HTTP/1.1", 400),
    ("a length with a sign", head_of("GET / HTTP/1.1", "Content-Length: +0"), 400),
    ("an empty length", head_of("GET / HTTP/1.1", "Content-Length:"), 400),
    ("two lengths in one field", head_of("GET / HTTP/1.1", "Content-Length: 0, 0"), 400),
    ("a length and chunks", head_of("GET / HTTP/1.1", "Content-Length: 0", "Transfer-Encoding: chunked"), 400),
    ("a chunked body", head_of("GET / HTTP/1.1", "Transfer-Encoding: chunked"), 413),
    ("an unknown transfer encoding", head_of("GET / HTTP/1.1", "Transfer-Encoding: identity"), 413),
    ("a long line", head_of(f"GET /{'a' * 8190} HTTP/1.1"), 414),
    ("a very long line", head_of(f"GET /{'a' * 40_000} HTTP/1.1"), 414),
    ("a long header", head_of("GET / HTTP/1.1", "X: " + "a" * 33_000), 431),
    ("too many fields", head_of("GET / HTTP/1.1", *map(FIELD.format, range(64))), 431),
    ("two Hosts", head_of("GET / HTTP/1.1", "Host: evil.example"), 400),
    ("two Hosts, one in capitals", head_of("GET / HTTP/1.1", "HOST: localhost"), 400),
    ("two lengths", head_of("GET / HTTP/1.1", "Content-Length: 0", "Content-Length: 0"), 400),
    ("two tokens", head_of("GET / HTTP/1.1", "Authorization: Bearer a", "Authorization: Bearer b"), 400),
    ("a folded field", head_of("GET / HTTP/1.1", "X-A: a", " b"), 400),
    ("a first field that is folded", b"GET / HTTP/1.1\r\n Host: localhost", 400),
    ("a blank before the colon", b"GET / HTTP/1.1\r\nHost : localhost", 400),
    ("a field without a colon", head_of("GET / HTTP/1.1", "X-A"), 400),
    ("a field without a name", head_of("GET / HTTP/1.1", ": a"), 400),
    ("a NUL in a field", head_of("GET / HTTP/1.1", "X-A: a\0b"), 400),
    ("a bare line feed in a field", head_of("GET / HTTP/1.1", "X-A: a\nX-B: b"), 400),
    ("a bare carriage return in a field", head_of("GET / HTTP/1.1", "X-A: a\rX-B: b"), 400),
    ("an escape in a field", head_of("GET / HTTP/1.1", "X-A: \x1b]0;b\x07"), 400),
    ("a length hidden by a vertical tab", head_of("GET / HTTP/1.1", "Content-Length:\x0b5"), 400),
]


@pytest.mark.parametrize(("head", "status"), [row[1:] for row in REFUSED_HEADS], ids=[row[0] for row in REFUSED_HEADS])
def test_what_is_doubtful_is_refused(head, status):
    """A malformed request gets the status that says what is wrong with it, and no part of it back."""
    error = refusal_of(parse, head)
    assert error.status == status
    assert "evil" not in error.message and "<" not in error.message


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_methods_that_change_things_are_refused_with_those_allowed(method):
    """Anything but GET and HEAD is a 405 that lists the two, also with a body."""
    for fields in ([], ["Content-Length: 5"]):
        error = refusal_of(parse, head_of(f"{method} / HTTP/1.1", *fields))
        assert (error.status, error.headers) == (405, {"Allow": "GET, HEAD"})


@pytest.mark.parametrize(
    ("count", "accepted"), [(plotsrv.QUERY_FIELDS, True), (plotsrv.QUERY_FIELDS + 1, False), (5000, False)]
)
def test_a_query_has_at_most_200_fields(count, accepted):
    """The limit holds for the number of pairs, whatever their names are."""
    text = "&".join(["a=1"] * count)
    if accepted:
        assert plotsrv.query_of(text) == {"a": ("1",) * count}
    else:
        assert refusal_of(plotsrv.query_of, text).status == 400


def test_the_limits_let_through_what_just_fits():
    """A line of 8,190 bytes and 64 header fields pass."""
    line = "GET /" + "a" * (plotsrv.LINE_BYTES - len("GET / HTTP/1.1")) + " HTTP/1.1"
    assert len(parse(head_of(line)).path) == plotsrv.LINE_BYTES - len("GET  HTTP/1.1")
    assert len(parse(head_of("GET / HTTP/1.1", *map(FIELD.format, range(63)))).headers) == plotsrv.HEADER_FIELDS


# Bytes that look like requests find more than bytes that do not.
PIECES = [b"GET", b"HEAD", b"POST", b" ", b"/", b"?", b"a=1", b"&", b"%", b"%ff", b"%00", b"*", b"http://", b"HTTP/1.1"]
PIECES += [
    b"HTTP/1.0",
    b"\r\n",
    b"\n",
    b"\r",
    b"Host: localhost",
    b"Content-Length: ",
    b"0",
    b":",
    b"\t",
    b"\0",
    b"\xe9",
]
HEADS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=20).map(b"".join),
    st.lists(st.binary(max_size=20), max_size=5).map(lambda rest: b"GET / HTTP/1.1\r\n" + b"\r\n".join(rest)),
    st.binary(max_size=40).map(lambda target: b"GET /" + target + b" HTTP/1.1\r\nHost: localhost"),
)


@given(head=HEADS)
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_a_request_or_refused(head):
    """Nothing that a client sends raises anything else, and a path always begins with a slash."""
    try:
        request = parse(head)
    except HTTPError as error:
        assert 400 <= error.status <= 505
    else:
        assert request.method in ("GET", "HEAD")
        assert request.path.startswith("/")
        assert all("\r" not in value and "\n" not in value for value in request.headers.values())


@given(query=st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_query_reads_back_as_it_was_written(query):
    """What urlencode writes, blank values included, query_of reads."""
    from urllib.parse import urlencode

    wanted = {name: tuple(texts) for name, texts in query.items()}
    assert plotsrv.query_of(urlencode(query, doseq=True)) == wanted


# -- header fields


def test_names_of_header_fields_are_case_insensitive_and_repeated_values_are_joined():
    """Fields that may come twice are one list, as RFC 9110 has it."""
    lines = ["ACCEPT: text/html", "accept: image/png", "X-Empty:"]
    assert plotsrv.header_fields_of(lines) == {"accept": "text/html, image/png", "x-empty": ""}


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Authorization"])
def test_fields_that_decide_something_must_not_come_twice(name):
    """Of two, another program in the chain might have read the other one."""
    assert refusal_of(plotsrv.header_fields_of, [f"{name}: 0", f"{name.lower()}: 0"]).status == 400


# -- what a Request tells of itself


@pytest.mark.parametrize(
    ("version", "connection", "close"),
    [
        ("HTTP/1.1", None, False),
        ("HTTP/1.1", "keep-alive", False),
        ("HTTP/1.1", "close", True),
        ("HTTP/1.1", "Close", True),
        ("HTTP/1.1", "close, TE", True),
        ("HTTP/1.1", "TE,close", True),
        ("HTTP/1.1", "TE", False),
        ("HTTP/1.0", None, True),
        ("HTTP/1.0", "Keep-Alive", False),
        ("HTTP/1.0", "close", True),
    ],
)
def test_a_client_says_whether_another_request_follows(version, connection, close):
    """HTTP/1.1 goes on unless told otherwise, HTTP/1.0 the other way round."""
    headers = {"connection": connection} if connection else {}
    assert Request("GET", "/", headers=headers, version=version).wants_close is close


@pytest.mark.parametrize(
    ("accept", "person"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", False),
        ("image/png", False),
        ("*/*", False),
        (None, False),
    ],
)
def test_a_person_is_told_from_an_image_element_by_accept(accept, person):
    """Browsers ask for text/html where somebody navigates, and for images in an <img>."""
    assert Request("GET", "/a.png", headers={"accept": accept} if accept else {}).prefers_html is person


@pytest.mark.parametrize("path", ["/a.png", "/a/b.svg", "/a/b.pdf", "/a/b.live"])
def test_the_address_of_a_picture_asks_for_one_unless_a_person_goes_there(path):
    """An <img> is told what is wrong by a picture, a person by a page."""
    assert Request("GET", path).wants_image
    assert not Request("GET", path, headers={"accept": "text/html"}).wants_image
    assert not Request("GET", path.partition(".")[0]).wants_image


@pytest.mark.parametrize(
    ("held", "has"),
    [
        (None, False),
        ("", False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"abd"', False),
        ('"x", "abc"', True),
        ('"x","abc" , "y"', True),
        ('W/"x", W/"abc"', True),
        ("*", True),
        ("abc", False),
        ('"ABC"', False),
        ('"abcd"', False),
    ],
)
def test_a_client_says_what_it_holds(held, has):
    """If-None-Match is a list of tags, compared weakly, or a star: whatever there is."""
    assert Request("GET", "/", headers={} if held is None else {"if-none-match": held}).has('"abc"') is has


def test_several_fields_of_what_a_client_holds_are_one_list():
    """As RFC 9110 has it."""
    request = parse(head_of("GET / HTTP/1.1", 'If-None-Match: "a"', 'If-None-Match: "b"'))
    assert request.has('"a"') and request.has('"b"') and not request.has('"c"')


def test_a_viewer_is_an_address_with_a_browser():
    """Two browsers on one machine are two; one without a name is one, too."""
    request = parse(head_of("GET / HTTP/1.1", "User-Agent: Firefox"), "10.0.0.1")
    assert request.viewer == ("10.0.0.1", "Firefox")
    assert parse(head_of(), "10.0.0.1").viewer == ("10.0.0.1", "")


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/", "./"),
        ("/plots.json", "./"),
        ("/mine", "./"),
        ("/a/b", "../"),
        ("/a/b/form", "../../"),
        ("/a/b/c/d", "../../../"),
    ],
)
def test_the_gallery_is_reached_by_a_relative_url(path, root):
    """However deep a page lies, and below whatever prefix a proxy serves it."""
    assert Request("GET", path).root == root


@pytest.mark.parametrize(
    ("script", "path", "root"),
    [
        ("", "/", "./"),
        ("", "", "./"),
        ("/app", "/", "./"),
        ("/app", "", "app/"),
        ("/site/my app", "", "my%20app/"),
        ("/app", "/a/b", "../"),
    ],
)
def test_under_wsgi_the_gallery_is_found_below_the_mount(script, path, root):
    """Mounted at /app and asked for /app without a slash, links begin with app/."""
    assert Request.from_wsgi(environ(path=path, script=script)).root == root


# -- WSGI


def test_a_wsgi_environ_becomes_the_same_request():
    """The WSGI server has parsed it: what is left is to decode it."""
    made = Request.from_wsgi(
        environ(
            path="/caf\xc3\xa9",
            query="n=%E2%82%AC&n=2",
            HTTP_HOST="localhost",
            HTTP_SEC_FETCH_SITE="none",
            REMOTE_ADDR="127.0.0.1",
        )
    )
    fields = ("Host: localhost", "Sec-Fetch-Site: none")
    wanted = parse("\r\n".join(["GET /caf%C3%A9?n=%E2%82%AC&n=2 HTTP/1.1", *fields]).encode())
    assert made == wanted


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        (dict(method="POST"), 405),
        (dict(method="OPTIONS"), 405),
        (dict(method="BREW"), 501),
        (dict(CONTENT_LENGTH="5"), 413),
        (dict(HTTP_TRANSFER_ENCODING="chunked"), 413),
        (dict(path="/\xff"), 400),
        (dict(query="a=%ff"), 400),
        (dict(query="&".join("a=1" for _ in range(201))), 400),
    ],
)
def test_wsgi_requests_are_refused_like_others(changes, status):
    """Both doors refuse the same things with the same status."""
    assert refusal_of(Request.from_wsgi, environ(**changes)).status == status


@pytest.mark.parametrize("length", ["", "0"])
def test_a_wsgi_server_may_say_that_there_is_no_body(length):
    """An empty CONTENT_LENGTH and 0 both mean none."""
    assert Request.from_wsgi(environ(CONTENT_LENGTH=length)).path == "/"


# -- Response and HTTPError


def test_a_response_lists_its_header_fields():
    """Type and length come from the body, the rest is added to them."""
    response = Response(200, b"1234", "image/png", {"X-A": "b"})
    assert response.header_fields() == [("Content-Type", "image/png"), ("Content-Length", "4"), ("X-A", "b")]


def test_a_body_that_was_not_drawn_has_no_length():
    """HEAD draws nothing, so the length of the picture is not known."""
    assert Response(200, b"", "image/png", drawn=False).header_fields() == [("Content-Type", "image/png")]


def test_what_a_client_holds_is_not_sent_again():
    """304: the tag, and neither type nor length nor body."""
    response = Response.unchanged('"abc"')
    assert (response.status, response.header_fields(), b"".join(response.chunks())) == (304, [("ETag", '"abc"')], b"")
    assert not response.endless


def test_a_body_may_be_a_stream_of_chunks():
    """It has no length; a body of bytes is a single chunk."""
    stream = Response(200, iter([b"a", b"", b"b"]), "multipart/x-mixed-replace; boundary=frame")
    assert stream.endless and stream.header_fields() == [("Content-Type", "multipart/x-mixed-replace; boundary=frame")]
    assert list(stream.chunks()) == [b"a", b"", b"b"]
    plain = Response(200, b"ab", "text/plain")
    assert not plain.endless and list(plain.chunks()) == [b"ab"]


def test_a_stream_is_told_when_nobody_looks_any_more():
    """Closing the response closes the generator; a body of bytes has nothing to be closed."""
    ended = []

    def chunks():
        try:
            while True:
                yield b""
        finally:
            ended.append(True)

    response = Response(200, chunks(), "text/plain")
    next(response.body)
    response.close()
    response.close()
    Response(200, b"", "text/plain").close()
    assert ended == [True]


def test_a_page_is_utf_8():
    """Text becomes a body in UTF-8, and says so; keyword arguments are header fields."""
    response = Response.html("é", 404, X_Plotsrv_Error="a")
    assert (response.status, response.body, response.content_type) == (404, "é".encode(), "text/html; charset=utf-8")
    assert response.headers == {"X-Plotsrv-Error": "a"}


def test_an_error_carries_its_header_fields():
    """Names with an underscore become names with a hyphen."""
    error = HTTPError(503, "Try again.", Retry_After="2")
    assert (error.status, error.message, error.headers, str(error)) == (
        503,
        "Try again.",
        {"Retry-After": "2"},
        "Try again.",
    )
