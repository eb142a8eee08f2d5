"""Raw requests: what is sent, byte by byte, and what must come back, in the manner of gunicorn's corpus.

Each case is sent in five chunkings: what a request means must not depend on how it is cut into packets. The expected
answers are statuses in their order; `close` says that the server closes the connection afterwards, and without it the
next request on the same connection must be answered. `head` stands before the status of an answer without a body.
"""

import itertools
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

HANG_SECONDS = 5
PAUSE_SECONDS = 0.0002  # between two pieces, so that they arrive as pieces
SINGLE_BYTES = 100  # of a long case, so many at both ends are sent one by one
SEED = 5


class Case(NamedTuple):
    """A raw request, or several, and the answers that it must get."""

    name: str
    data: bytes
    expected: str


class Answer(NamedTuple):
    """An answer as it came over the wire."""

    status: int
    fields: dict[str, str]  # names in lower case
    body: bytes


def head(line: str = "GET / HTTP/1.1", *fields: str, host: str = "Host: localhost") -> bytes:
    """A request line and header fields, the Host among them unless it is empty."""
    return "\r\n".join([line, *([host] if host else []), *fields, "", ""]).encode("latin-1")


def field(text: str) -> bytes:
    """A request with one field more."""
    return head("GET / HTTP/1.1", text)


def target(text: str) -> bytes:
    """A request for this target."""
    return head(f"GET {text} HTTP/1.1")


GET = head()
JSON = target("/plots.json")
SMUGGLED = target("/plots.json?smuggled")
REFUSED = "400 close"
LONG = "a" * 9000

# Requests as browsers, proxies and programs send them. Nothing here may be refused.
PLAIN = [
    Case("a request", GET, "200"),
    Case("a request of HTTP/1.0", head("GET / HTTP/1.0"), "200 close"),
    Case("HTTP/1.0 that is to be kept", head("GET / HTTP/1.0", "Connection: keep-alive"), "200"),
    Case("HTTP/1.1 that is to be closed", field("Connection: close"), "200 close"),
    Case("close in capitals", field("Connection: CLOSE"), "200 close"),
    Case("close among others", field("Connection: keep-alive, close"), "200 close"),
    Case("Connection names the Host (H7)", field("Connection: Host"), "200"),
    Case("HEAD", head("HEAD / HTTP/1.1"), "head 200"),
    Case("HEAD and GET", head("HEAD / HTTP/1.1") + GET, "head 200 200"),
    Case("a query", target("/?a=1&b=2"), "200"),
    Case("a percent that escapes nothing", target("/?a=%zz"), "200"),
    Case("a percent as a person types it", target("/?a=100%"), "200"),
    Case("an escaped NUL in a value nobody reads", target("/?a=%00"), "200"),
    Case("an escaped line break in a value", target("/?a=%0d%0aX-Evil:%201"), "200"),
    Case("no body, and it says so", field("Content-Length: 0"), "200"),
    Case("no body, and another request", field("Content-Length: 0") + JSON, "200 200"),
    Case("no blank after a colon", field("X-A:b"), "200"),
    Case("blanks and tabs around a value", field("X-A: \t b \t "), "200"),
    Case("an empty value", field("X-A:"), "200"),
    Case("Latin-1 in a value", field("X-A: \xe9"), "200"),
    Case("a name of odd letters", field("!#$%&'*+-.^_`|~09: x"), "200"),
    Case("a Host in capitals", head("GET / HTTP/1.1", host="HOST: LOCALHOST"), "200"),
    Case("a Host with a port", head("GET / HTTP/1.1", host="Host: localhost:9999"), "200"),
    Case("two cookie fields", head("GET / HTTP/1.1", "Cookie: a=1", "Cookie: b=2"), "200"),
    Case("two of a field of lists", head("GET / HTTP/1.1", "Accept: a/b", "Accept: c/d"), "200"),
    Case("a length with an underscore is no length", field("Content_Length: 5"), "200"),
    Case("an encoding with an underscore is none", field("Transfer_Encoding: chunked"), "200"),
    Case("an expectation (H7, waitress)", field("Expect: 100-continue"), "200"),
    Case("an unknown expectation", field("Expect: 200-maybe"), "200"),
    Case("a range (H7)", field("Range: bytes=0-0"), "200"),
    Case("many ranges", field("Range: bytes=" + ",".join(["0-"] * 500)), "200"),
    Case("an upgrade to HTTP/2", head("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"), "200"),
    Case("an upgrade to a websocket", head("GET / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket"), "200"),
    Case("trailers are welcome", field("TE: trailers"), "200"),
    Case("dates that are none", field("If-Modified-Since: yesterday"), "200"),
    Case("a precondition", field('If-Match: "x"'), "200"),
    Case("the absolute form (H6)", target("http://localhost/"), "200"),
    Case("the absolute form without a path", target("http://localhost"), "200"),
    Case("the absolute form of https", target("https://localhost/plots.json"), "200"),
    Case("a line of 8,190 bytes (H2)", target("/?" + "a" * (8190 - len("GET /? HTTP/1.1"))), "200"),
    Case("64 fields", head("GET / HTTP/1.1", *(f"X-{number}: a" for number in range(63))), "200"),
    Case("200 query fields (P5)", target("/?" + "&".join(["a=1"] * 200)), "200"),
]

# Several at once (H4): answered in their order, and nothing is answered after a refusal.
PIPELINED = [
    Case("two requests", GET + JSON, "200 200"),
    Case("sixteen requests", GET * 16, "200 " * 16),
    Case("twenty, the last one closing", JSON * 19 + field("Connection: close"), "200 " * 20 + "close"),
    Case("one that closes, and another", field("Connection: close") + GET, "200 close"),
    Case("one of HTTP/1.0, and another", head("GET / HTTP/1.0") + GET, "200 close"),
    Case("what is not there, and another", target("/nothing") + GET, "404 close"),
    Case("a request, and one with a body", GET + field("Content-Length: 5") + b"hello", "200 413 close"),
    Case("a request, and another method", GET + head("POST / HTTP/1.1", "Content-Length: 0"), "200 405 close"),
    Case("a request, and rubbish", GET + b"\x01\x02\x03", "200 400 close"),
    Case("an empty line between two", GET + b"\r\n" + GET, "200 400 close"),
    Case("a request, and a TLS hello", GET + b"\x16\x03\x01\x02\x00\x01", "200 400 close"),
]

# A body is refused and never read (H3): behind a proxy its bytes would be taken for somebody's request.
BODIES = [
    Case("a body (CVE-2022-24761's cousins)", field("Content-Length: 5") + b"hello", "413 close"),
    Case("a body that is a request", field(f"Content-Length: {len(SMUGGLED)}") + SMUGGLED, "413 close"),
    Case("a body that never comes", field("Content-Length: 5"), "413 close"),
    Case("a body of HEAD", head("HEAD / HTTP/1.1", "Content-Length: 5") + b"hello", "head 413 close"),
    Case("a body that was asked for first", head("GET / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"),
         "413 close"),
    Case("a body of 20 digits", field("Content-Length: " + "9" * 20), "413 close"),
    Case("a length of 5,000 digits (CVE-2020-10735)", field("Content-Length: " + "9" * 5000), "413 close"),
    Case("a chunked body", field("Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED, "413 close"),
    Case("a chunk with an extension (CVE-2022-24761)",
         field("Transfer-Encoding: chunked") + b"0;a=\n\r\n\r\n" + SMUGGLED, "413 close"),
    Case("a chunk of a negative size", field("Transfer-Encoding: chunked") + b"-1\r\n\r\n" + SMUGGLED, "413 close"),
    Case("chunked in capitals", field("TRANSFER-ENCODING: CHUNKED"), "413 close"),
    Case("chunked in HTTP/1.0", head("GET / HTTP/1.0", "Transfer-Encoding: chunked"), "413 close"),
    Case("identity (CVE-2019-16786)", field("Transfer-Encoding: identity"), "413 close"),
    Case("chunked and identity", field("Transfer-Encoding: chunked, identity"), "413 close"),
    Case("an unknown encoding (CVE-2024-1135)", field("Transfer-Encoding: xchunked"), "413 close"),
    Case("chunked in quotes", field('Transfer-Encoding: "chunked"'), "413 close"),
    Case("no encoding at all", field("Transfer-Encoding:"), "413 close"),
]  # fmt: skip
LENGTHS = ["+10", "-1", "-0", "+0", "0x5", "5.0", "1_0", "5 5", "5, 5", "0, 0", "5;", '"5"', "five", "\xb2", "5\x0b"]
BODIES += [Case(f"a length of {text!a}", field(f"Content-Length: {text}"), REFUSED) for text in LENGTHS]
BODIES += [
    Case(name, head("GET / HTTP/1.1", *fields) + SMUGGLED, REFUSED)
    for name, *fields in [
        ("two lengths (CVE-2019-16785)", "Content-Length: 0", "Content-Length: 5"),
        ("two equal lengths", "Content-Length: 0", "Content-Length: 0"),
        ("two lengths, one in capitals", "Content-Length: 0", "CONTENT-LENGTH: 5"),
        ("a length and an encoding (CVE-2019-16792)", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ("an encoding and no length", "Transfer-Encoding: chunked", "Content-Length: 0"),
        ("two encodings", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("a length before a colon (CVE-2019-16789)", "Content-Length : 5"),
        ("an encoding before a blank", "Transfer-Encoding : chunked"),
        ("an encoding before a tab", "Transfer-Encoding\t: chunked"),
        ("an encoding after a vertical tab (GHSA-m5ff-3wj3-8ph4)", "Transfer-Encoding:\x0bchunked"),
        ("a length after a line feed", "X-A: a\nContent-Length: 5"),
        ("a length after a carriage return", "X-A: a\rContent-Length: 5"),
        ("a length with a NUL", "Content-Length: 5\0"),
        ("a length's name with a NUL", "Content-Length\0: 5"),
        ("a folded length", "Content-Length:", " 5"),
        ("an encoding in a fold", "X-A: a", "\tTransfer-Encoding: chunked"),
    ]
]

# The form of a request (H3, H6): what two programs might read in two ways is read in none.
FORMS = [
    Case("nothing but a line", b"GET / HTTP/1.1\r\n\r\n", REFUSED),
    Case("no Host in HTTP/1.0 (P17)", b"GET / HTTP/1.0\r\n\r\n", "421 close"),
    Case("a simple request (HTTP/0.9)", b"GET /\r\n\r\n", REFUSED),
    Case("an empty line", b"\r\n", REFUSED),
    Case("an empty line first", b"\r\n" + GET, REFUSED),
    Case("a line feed first", b"\n" + GET, REFUSED),
    Case("a blank first", b" " + GET, REFUSED),
    Case("a NUL first", b"\0" + GET, REFUSED),
    Case("a TLS hello (H6)", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)), REFUSED),
    Case("an old TLS hello", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", REFUSED),
    Case("a byte order mark", b"\xef\xbb\xbf" + GET, REFUSED),
    Case("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close"),
    Case("a proxy's preface", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + GET, REFUSED),
    Case("a proxy's binary preface", b"\r\n\r\n\0\r\nQUIT\n" + GET, REFUSED),
    Case("mail", b"EHLO localhost\r\n\r\n", REFUSED),
    Case("a shell", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", REFUSED),
    Case("a camera", b"OPTIONS rtsp://localhost RTSP/1.0\r\n\r\n", "505 close"),
    Case("bare line feeds", GET.replace(b"\r\n", b"\n"), REFUSED),
    Case("a bare line feed after the line", b"GET / HTTP/1.1\nHost: localhost\r\n\r\n", REFUSED),
    Case("a bare line feed at the end", b"GET / HTTP/1.1\r\nHost: localhost\n\n", REFUSED),
    Case("a bare carriage return after the line", b"GET / HTTP/1.1\rHost: localhost\r\n\r\n", REFUSED),
    Case("bare carriage returns", GET.replace(b"\r\n", b"\r"), REFUSED),
    Case("two blanks", b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", REFUSED),
    Case("a blank at the end of the line", head("GET / HTTP/1.1 "), REFUSED),
    Case("a tab", head("GET\t/ HTTP/1.1"), REFUSED),
    Case("a blank in the target", target("/a b"), REFUSED),
    Case("a NUL in the target", target("/\0"), REFUSED),
    Case("a form feed in the line", head("GET / \x0cHTTP/1.1"), "505 close"),
    Case("raw Latin-1 in the target", target("/caf\xe9"), REFUSED),
    Case("a fragment", target("/#x"), REFUSED),
    Case("a fragment after a query", target("/?a=1#x"), REFUSED),
    Case("no target", head("GET  HTTP/1.1"), REFUSED),
    Case("no slash", target("plots.json"), REFUSED),
    Case("*", target("*"), REFUSED),
    Case("an authority", target("localhost:80"), REFUSED),
    Case("another host in the absolute form", target("http://evil.example/"), REFUSED),
    Case("another port in the absolute form", target("http://localhost:1/"), REFUSED),
    Case("a user in the absolute form", target("http://localhost@evil.example/"), REFUSED),
    Case("a user of our own in the absolute form", target("http://evil@localhost/"), REFUSED),
    Case("no host in the absolute form", target("http:///plots.json"), REFUSED),
    Case("another scheme", target("ftp://localhost/"), REFUSED),
    Case("a script's scheme", target("javascript:alert(1)"), REFUSED),
    *(Case(f"version {text}", head(f"GET / {text}"), "505 close")
      for text in ("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3", "HTTP/1.10", "HTTP/01.1", "http/1.1", "HTTP/1",
                   "ICY")),
]  # fmt: skip

# Methods (H5), their statuses in the order of the checks.
METHODS = [Case(name, head(f"{name} / HTTP/1.1"), "405 close") for name in ("POST", "PUT", "DELETE", "PATCH", "TRACE")]
METHODS += [
    Case("OPTIONS", head("OPTIONS / HTTP/1.1"), "405 close"),
    Case("OPTIONS *", head("OPTIONS * HTTP/1.1"), "405 close"),
    Case("CONNECT", head("CONNECT localhost:80 HTTP/1.1"), "405 close"),
    Case("POST with a body that is a request",
         head("POST / HTTP/1.1", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED, "405 close"),
    Case("an unknown method", head("BREW /pot HTTP/1.1"), "501 close"),
    Case("a method in small letters", head("get / HTTP/1.1"), "501 close"),
    Case("a method with more letters", head("GETS / HTTP/1.1"), "501 close"),
    Case("a method of 1,000 letters", head(f"{'A' * 1000} / HTTP/1.1"), "501 close"),
    Case("a method that is an element", head("<script> / HTTP/1.1"), REFUSED),
    Case("a method with a NUL", head("GE\0T / HTTP/1.1"), REFUSED),
    Case("a method with Latin-1", head("G\xc9T / HTTP/1.1"), REFUSED),
]  # fmt: skip

# Header fields (H3): names are tokens, values printable, the deciding ones come once.
FIELDS = [
    Case(name, head("GET / HTTP/1.1", *fields), REFUSED)
    for name, *fields in [
        ("two Hosts", "Host: evil.example"),
        ("two equal Hosts", "Host: localhost"),
        ("two Hosts, one in capitals", "HOST: evil.example"),
        ("two tokens", "Authorization: Bearer a", "Authorization: Bearer b"),
        ("a folded field", "X-A: a", " b"),
        ("a field folded with a tab", "X-A: a", "\tb"),
        ("a blank before the colon", "X-A : a"),
        ("a field without a colon", "X-A"),
        ("a field without a name", ": a"),
        ("a blank in a name", "X A: a"),
        ("brackets in a name", "X[A]: a"),
        ("quotes around a name", '"X-A": a'),
        ("Latin-1 in a name", "X-\xe9: a"),
        ("a NUL in a value", "X-A: a\0b"),
        ("an escape in a value (P12)", "X-A: \x1b]0;b\x07"),
        ("a delete in a value", "X-A: \x7f"),
        ("a backspace in a name", "X\x08A: a"),
    ]
]
FIELDS += [
    Case("a first field that is folded", b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", REFUSED),
    Case("a blank before the Host's colon", b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", REFUSED),
    Case("no blank in front, but a NUL", b"GET / HTTP/1.1\r\n\0Host: localhost\r\n\r\n", REFUSED),
]

# Who may ask (H8, P17): more of it stands in test_access.py.
ASKED = [
    Case(name, head("GET / HTTP/1.1", *fields, host=host), f"{status} close")
    for name, host, status, *fields in [
        ("another Host (P17, CVE-2025-14279)", "Host: evil.example", 421),
        ("a Host that begins as ours (CVE-2026-40110)", "Host: localhost.evil.example", 421),
        ("an empty Host", "Host:", 421),
        ("two names in one Host", "Host: localhost, evil.example", 421),
        ("another site (P18)", "Host: localhost", 403, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
        ("a forwarded address (H8)", "Host: localhost", 401, "X-Forwarded-For: 127.0.0.1"),
        ("a forwarded prefix", "Host: localhost", 401, "X-Forwarded-Prefix: ///evil.example"),
        ("a forwarded host", "Host: localhost", 401, "X-Forwarded-Host: evil.example"),
        ("a forwarded protocol", "Host: localhost", 401, "X-Forwarded-Proto: https"),
        ("the standard's forwarding", "Host: localhost", 401, "Forwarded: for=127.0.0.1"),
        ("a proxy's address", "Host: localhost", 401, "X-Real-IP: 127.0.0.1"),
        ("a proxy", "Host: localhost", 401, "Via: 1.1 proxy"),
    ]
]

# Too much (H2, P5), and addresses that are none (P6, F5, P13).
LIMITS = [
    Case("a line of 8,191 bytes", target("/?" + "a" * (8191 - len("GET /? HTTP/1.1"))), "414 close"),
    Case("a line of 40,000 bytes", target("/" + "a" * 40_000), "414 close"),
    Case("a line without an end", b"GET /" + b"a" * 40_000, "414 close"),
    Case("a method of 9,000 letters", head(f"{'A' * 9000} / HTTP/1.1"), "414 close"),
    Case("a field of 33,000 bytes", field("X: " + "a" * 33_000), "431 close"),
    Case("a header without an end", head()[:-2] + (b"X-A: " + b"a" * 1000 + b"\r\n") * 40, "431 close"),
    Case("a cookie of 33,000 bytes", field("Cookie: " + "a=b;" * 8250), "431 close"),
    Case("65 fields", head("GET / HTTP/1.1", *(f"X-{number}: a" for number in range(64))), "431 close"),
    Case("200 short fields", head("GET / HTTP/1.1", *["a:"] * 200), "431 close"),
    Case("201 query fields", target("/?" + "&".join(["a=1"] * 201)), REFUSED),
    Case("3,000 empty query fields", target("/?" + "a&" * 3000), REFUSED),
]
ADDRESSES = [Case(f"the address {text}", target(text), "404 close") for text in (
    "/nothing", "/%00", "/%zz", "/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd", "/..%5c..%5cwin.ini", "/%252e%252e",
    "/<script>", '/"', "/\\evil.example", "//evil.example/", "///", "/%5Cevil.example", "/%0d%0aSet-Cookie:%20a=b",
    "/%e2%80%ae", "/.git/config", "/plots.json/", "/%2F", "/;a=b", "/a?b?c",
)]  # fmt: skip
ADDRESSES += [Case(f"not UTF-8: {text}", target(text), REFUSED) for text in (
    "/%ff", "/%c0%ae%c0%ae/", "/%ed%a0%80", "/?a=%ff", "/?%ff=a", "/?a=%ed%a0%80", "/%f4%90%80%80",
)]  # fmt: skip

CASES = [*PLAIN, *PIPELINED, *BODIES, *FORMS, *METHODS, *FIELDS, *ASKED, *LIMITS, *ADDRESSES]


# ---- Five chunkings ----


def whole(data: bytes) -> list[bytes]:
    """In one piece."""
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    """Each byte alone; of what is long, those at both ends."""
    first, last = data[:SINGLE_BYTES], data[SINGLE_BYTES:][-SINGLE_BYTES:]
    between = data[len(first) : len(data) - len(last)]
    return [*(bytes([byte]) for byte in first), *([between] if between else []), *(bytes([byte]) for byte in last)]


def at_each_break(data: bytes) -> list[bytes]:
    """Each line alone, and each CR and LF: the two of a line's end arrive apart."""
    return [piece for piece in re.split(rb"([\r\n])", data) if piece]


def in_the_middle(data: bytes) -> list[bytes]:
    """Two halves."""
    middle = len(data) // 2
    return [data[:middle], data[middle:]] if middle else [data]


def at_random(data: bytes) -> list[bytes]:
    """Pieces of any length, the same ones at each run."""
    places = random.Random(SEED + len(data))
    cuts = sorted({0, len(data), *(places.randrange(len(data) + 1) for _ in range(8))})
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


CHUNKINGS: list[Callable[[bytes], list[bytes]]] = [whole, byte_by_byte, at_each_break, in_the_middle, at_random]


# ---- Sending, and reading what comes ----


def answers(file, heads: Iterator[bool]) -> Iterator[Answer]:
    """The answers on a connection, strictly read, until it is closed."""
    while line := file.readline(10_000):
        version, status, reason = line.rstrip(b"\r\n").split(b" ", 2)
        assert version == b"HTTP/1.1" and len(status) == 3 and reason and line.endswith(b"\r\n"), line
        fields = {}
        while (line := file.readline(10_000)) != b"\r\n":
            name, _, value = line.decode("ascii").partition(": ")
            assert line.endswith(b"\r\n") and value and name.lower() not in fields, line
            fields[name.lower()] = value.strip()
        no_body = next(heads, False) or status == b"304"
        yield Answer(int(status), fields, b"" if no_body else file.read(int(fields.get("content-length", 0))))


def fault(port: int, case: Case, chunking: Callable[[bytes], list[bytes]], address: str = "127.0.0.1") -> str:
    """What is wrong with the answers to a case; nothing where they are as expected."""
    words = case.expected.split()
    heads = [before == "head" for before, word in zip(["", *words], words, strict=False) if word.isdigit()]
    statuses = [int(word) for word in words if word.isdigit()]
    with socket.create_connection((address, port), timeout=HANG_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send(connection, chunking(case.data))
        coming = answers(connection.makefile("rb"), iter(heads))
        try:
            came = [answer for _, answer in zip(statuses, coming, strict=False)]
            if [answer.status for answer in came] != statuses:
                return f"answered {[answer.status for answer in came]}"
            if any(missing := [name for name in STANDING if name not in answer.fields] for answer in came):
                return f"without {missing}"
            if any(b"smuggled" in answer.body for answer in came):
                return "a body is what it was not asked for"
            if ("close" in words) != (came[-1].fields.get("connection") == "close"):
                return f"Connection: {came[-1].fields.get('connection')}"
            if "close" in words:
                return "".join(f"further answer: {answer}" for answer in coming)
            send(connection, [JSON])
            further = next(coming, None)
            return "" if further and further.fields["content-type"] == "application/json" else "not kept"
        except TimeoutError:
            return f"nothing for {HANG_SECONDS} s, or not closed"
        except (ConnectionError, ValueError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"


def send(connection: socket.socket, pieces: list[bytes]) -> None:
    """Send the pieces, as far as they are taken: a refusal may come before the last one."""
    try:
        for piece in pieces:
            connection.sendall(piece)
            if len(pieces) > 1:
                time.sleep(PAUSE_SECONDS)
    except ConnectionError:
        pass


STANDING = ["content-security-policy", "x-content-type-options", "referrer-policy", "cache-control", "date"]


def faults(port: int, cases: list[Case] = CASES) -> list[str]:
    """What is wrong with any case in any chunking, in words."""
    found = [(case, chunking, fault(port, case, chunking)) for chunking in CHUNKINGS for case in cases]
    return [f"{case.name}, {chunking.__name__}: {wrong}" for case, chunking, wrong in found if wrong]
