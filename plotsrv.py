"""plotsrv turns plain matplotlib functions into live web pages.

Put functions named ``plot_*`` into a folder ``plots`` and start ``python plotsrv.py``::

    # plots/mine.py
    import matplotlib.pyplot as plt

    def plot_mine(freq: float = 1.0):
        \"\"\"A parabola that follows its frequency\"\"\"
        figure, axes = plt.subplots()
        axes.plot([(freq * x / 50) ** 2 for x in range(100)])
        return figure

http.server calls ``do_GET`` because of its name; in the same way plotsrv serves ``plot_mine`` at ``/mine/mine``:
a form made from the signature, and a page whose picture refreshes itself.

The words, the same in code, URL and page:

    plot        a function or method named plot_*
    gallery     all the plots found
    field       one parameter of a plot, shown as a form control
    arguments   the typed values a plot is called with
    drawing     what came of one call: image, seconds taken, what it printed, or the error
    door        what turns a protocol (http.server, WSGI) into a Request, and a Response back into it

The life of a request, and the sections below in that order:

     1 Doors        bytes from a socket, or a WSGI environ, become a Request
     2 Messages     Request, Response, HTTPError: plain values
     3 Application  finds plot and view, checks the query, decides the status
     4 Pages        values in, HTML out
     5 Rendering    a render process calls the plot; the server's own process never does
     6 Plots        which plots there are, and what each asks for
     7 Forms        one table maps annotations to controls, and texts to arguments
     8 Freshness    drawings worth keeping
     9 Figures      from what a plot returns to bytes
    10 Access       who may ask, and for which files
    11 Command line the options, and the start of everything

    browser -> door -> Application.respond -> Renderer ==pipe==> render process -> plot_mine(freq=2.0)
    browser <- door <- page or PNG         <- Drawing  <=pipe=== figure_bytes   <- figure

A section calls only sections below it; the doors and the command line, first and last page, hold everything together.
The server needs the standard library alone. Copy this file anywhere, and it runs.
"""

from __future__ import annotations

import os
import sys

LOAD = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("plotsrv", {os.path.realpath(__file__)!r})
plotsrv = sys.modules["plotsrv"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plotsrv)
"""  # this very file as the module plotsrv, whatever else of that name Python would find

if __name__ == "__main__" and not globals().get("__spec__") and os.name == "posix":
    # Go on as an imported module, whose bytecode is cached: compiling this file anew leaves 10 MB behind. With -P,
    # nothing that lies beside this file, or in the current folder, stands in for a module of Python's own.
    flags = sys.orig_argv[1 : -len(sys.argv)]
    code = LOAD + "sys.exit(plotsrv.command_line())"
    os.execv(sys.executable, [sys.executable, *flags, "-P", "-c", code, *sys.argv[1:]])

import ast
import atexit
import base64
import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import difflib
import enum
import errno
import faulthandler
import fnmatch
import functools
import gc
import hashlib
import hmac
import html
import importlib
import importlib.machinery
import importlib.util
import inspect
import io
import ipaddress
import itertools
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import re
import secrets
import signal
import socket
import socketserver
import stat
import textwrap
import threading
import time
import traceback
import types
import typing
import urllib.parse
import warnings
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Glob", "PlotRequestHandler", "data_uri", "figure_bytes", "main", "serve", "wsgi_application"]

PORT = 9999
REFRESH_SECONDS = 60  # the seed's
SLOW_SECONDS = 2.0  # a page waits this long for its drawing, then shows the progress instead
GLANCE_SECONDS = 0.25  # the gallery waits this long for files that are still being imported
TIMEOUT_SECONDS = 30.0  # for one drawing, unless --timeout says otherwise
HEADER_SECONDS = 10.0  # for a request's whole header, from its first byte
IDLE_SECONDS = 15.0  # between two requests of one connection
SEND_SECONDS = 20.0  # for each 64 KiB of a response

IMAGE_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}

LINE_BYTES = 8190  # Apache's limit for a request line
HEADER_BYTES = 32 * 1024
HEADER_FIELDS = 64
QUERY_FIELDS = 200
CONNECTIONS = 512
QUEUED_DRAWINGS = 32
TEXT_CHARACTERS = 4096
NUMBER_CHARACTERS = 256
OUTPUT_BYTES = 64 * 1024  # of what a plot prints
CACHE_BYTES = 64 * 1024 * 1024
SIDE_PIXELS = 4000  # width and height that a query may ask for
PICTURE_PIXELS = 16_000_000  # 64 MB in memory as RGBA
FILES_SHOWN = 200
FILES_SCANNED = 20_000  # a home folder with a few environments in it is read in 0.1 s

# ---------------------------------------------------------------------------------------------------------------------
# 2 Messages: plain values, no I/O.

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class HTTPError(Exception):
    """An answer other than the one hoped for: what was wrong, and what to do next."""

    def __init__(self, status: int, message: str, **headers: str):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Request:
    """What a client asks, whichever door it came through."""

    method: str
    path: str  # decoded, below the place we are mounted at; begins with "/"
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # in the order of first appearance
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    client: str = "127.0.0.1"  # the peer's address
    owner: bool = True  # is the client known to be the user who runs plotsrv?
    version: str = "HTTP/1.1"
    mount: str = ""  # where a WSGI server mounted us without a slash: the last part of that path

    @classmethod
    def parse(cls, head: bytes, client: str, owner: bool) -> Request:
        """Read a request line and header fields, strictly: what is doubtful is refused, never guessed at."""
        line, *lines = head.decode("latin-1").split("\r\n")
        if len(line) > LINE_BYTES:
            raise HTTPError(414, f"The address is longer than {LINE_BYTES:,} bytes.")
        if len(head) > HEADER_BYTES:
            raise HTTPError(431, f"The header is longer than {HEADER_BYTES:,} bytes.")
        if len(lines) > HEADER_FIELDS:
            raise HTTPError(431, f"The header has more than {HEADER_FIELDS} fields.")
        method, target, version = [*line.split(" "), "", ""][:3]
        if (
            line.count(" ") != 2
            or not target
            or not TOKEN.fullmatch(method)
            or not target.isascii()
            or not target.isprintable()
        ):
            raise HTTPError(400, "The request line is malformed.")
        if version not in ("HTTP/1.0", "HTTP/1.1"):
            raise HTTPError(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
        headers = header_fields_of(lines)
        check_method(method, headers.get("content-length"), headers.get("transfer-encoding"))
        target = re.sub(r"(?i)^http://[^/?#]*", "", target) or "/"  # an absolute form: Host alone decides
        if not target.startswith("/"):
            raise HTTPError(400, "The request line names no path.")
        path, _, query = target.partition("?")
        try:
            path = urllib.parse.unquote(path, errors="strict")
        except UnicodeDecodeError:
            raise HTTPError(400, "The address is not UTF-8.") from None
        return cls(method, path, query_of(query), headers, client, owner, version)

    @classmethod
    def from_wsgi(cls, environ: dict) -> Request:
        """The same from a WSGI environ, whose server has parsed the request already."""
        check_method(environ["REQUEST_METHOD"], environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        try:
            path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise HTTPError(400, "The address is not UTF-8.") from None
        mount = "" if path else environ.get("SCRIPT_NAME", "").rpartition("/")[2]
        query = query_of(environ.get("QUERY_STRING", ""))
        return cls(environ["REQUEST_METHOD"], path or "/", query, headers, environ.get("REMOTE_ADDR", ""), mount=mount)

    @property
    def wants_close(self) -> bool:
        options = {option.strip() for option in self.headers.get("connection", "").lower().split(",")}
        return "close" in options or (self.version == "HTTP/1.0" and "keep-alive" not in options)

    @property
    def prefers_html(self) -> bool:
        """Is it a person who navigates here, rather than an <img> or a program?"""
        return "text/html" in self.headers.get("accept", "")

    @property
    def wants_image(self) -> bool:
        """Is it an <img>, or a program, that asks for a picture?"""
        image = self.path.endswith((".png", ".svg", ".pdf")) or self.query.get("mode") == ("plot",)
        return image and not self.prefers_html

    @property
    def root(self) -> str:
        """The relative URL of the gallery, so that any proxy's sub-path works unconfigured."""
        if self.mount:
            return urllib.parse.quote(self.mount) + "/"
        return "../" * (self.path.count("/") - 1) or "./"


def check_method(method: str, length: str | None, encoding: str | None) -> None:
    """Refuse what is neither GET nor HEAD, or brings a body: an unread one would be taken for the next request."""
    if method not in ("GET", "HEAD"):
        known = method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
        raise HTTPError(405 if known else 501, "Only GET and HEAD are answered here.", Allow="GET, HEAD")
    if length not in (None, "", "0") or encoding is not None:
        raise HTTPError(413, "A request with a body is not read here.")


def header_fields_of(lines: list[str]) -> dict[str, str]:
    """Header fields by lower-case name; the few that may decide something must not come twice."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise HTTPError(400, "A header field is malformed.")
        name = name.lower()
        if name in headers and name in ("host", "content-length", "transfer-encoding", "authorization"):
            raise HTTPError(400, f"The header has {name} twice.")
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return headers


def query_of(text: str) -> dict[str, tuple[str, ...]]:
    """A query string's fields: name to all its values, blank ones too."""
    try:
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS)
    except UnicodeDecodeError:
        raise HTTPError(400, "The query is not UTF-8.") from None
    except ValueError:
        raise HTTPError(400, f"The query has more than {QUERY_FIELDS} fields.") from None
    query: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        query[name] = (*query.get(name, ()), value)
    return query


@dataclass(frozen=True)
class Response:
    """A status, a body, and the header fields that go with them."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    drawn: bool = True  # False: HEAD draws nothing, so the body and its length are not known

    @classmethod
    def html(cls, page: str, status: int = 200, **headers: str) -> Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, page.encode(errors="backslashreplace"), "text/html; charset=utf-8", headers)

    def header_fields(self) -> list[tuple[str, str]]:
        """All the header fields, as http.server and WSGI want them."""
        length = [("Content-Length", str(len(self.body)))] if self.drawn else []
        return [("Content-Type", self.content_type), *length, *self.headers.items()]


# ---------------------------------------------------------------------------------------------------------------------
# 8 Freshness: which drawings are worth keeping.


class DrawingCache:
    """The last drawings, within a bound of bytes: the least recently used are forgotten first."""

    def __init__(self, limit: int = CACHE_BYTES):
        self.limit = limit
        self.size = 0
        self.drawings: collections.OrderedDict[Any, Drawing] = collections.OrderedDict()
        self.lock = threading.Lock()

    def keep(self, key: tuple, version: int, drawing: Drawing) -> None:
        """Keep a drawing as the last of its kind, and where it is a picture, as the last good one."""
        with self.lock:
            if drawing.seconds >= SLOW_SECONDS:
                self.put((key, version), drawing)
            if drawing.status == 200:
                self.put((key, "good"), drawing)
            while self.size > self.limit and len(self.drawings) > 2:
                self.size -= self.drawings.popitem(last=False)[1].size

    def put(self, name: tuple, drawing: Drawing) -> None:
        before = self.drawings.pop(name, None)
        self.size += drawing.size - (before.size if before else 0)
        self.drawings[name] = drawing

    def good(self, key: tuple) -> Drawing | None:
        """The last good picture, whatever the code was then."""
        with self.lock:
            if (key, "good") in self.drawings:
                self.drawings.move_to_end((key, "good"))
            return self.drawings.get((key, "good"))

    def slow(self, key: tuple, version: int) -> Drawing | None:
        """The last drawing if it was a slow one: it answers for as long as it took.

        Whoever waits on a progress page, which asks every second, would else never see what came of it.
        """
        drawing = self.drawings.get((key, version))
        slow = drawing is not None and drawing.seconds >= SLOW_SECONDS
        return drawing if drawing and slow and time.time() - drawing.drawn_at < drawing.seconds else None


# ---------------------------------------------------------------------------------------------------------------------
# 9 Figures: from what a plot returns to bytes.

MAGIC = {  # the first bytes of a picture that is one already
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF": "application/pdf",
    b"<svg": "image/svg+xml",
    b"<?xml": "image/svg+xml",
}
TIMELESS = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # equal drawings have equal bytes


class WrongFormat(Exception):
    """The plot makes its picture itself, and not in the format asked for."""


def figure_bytes(figure: Any, format: str = "png", **options: Any) -> tuple[bytes, str]:
    """A picture of a figure, drawn into memory, and its content type.

    `figure` is anything with ``savefig`` (a matplotlib Figure, the pyplot module, a seaborn grid), or Axes; `format`
    is "png", "svg" or "pdf"; `options` are those of ``savefig``. Nothing is written to a file, and nothing is sent
    before the drawing is done, so an error can still become another answer. Raises TypeError for what is no figure,
    and whatever drawing it raises.
    """
    if format not in IMAGE_TYPES:
        raise ValueError(f"{format!r} is none of the formats {', '.join(IMAGE_TYPES)}")
    figure = figure_of(figure)
    if format == "png":
        options = {"pil_kwargs": {"compress_level": 1}, **options}  # 3 times as fast as 6
    else:
        options = {"metadata": TIMELESS[format], **options}
    matplotlib = importlib.import_module("matplotlib")
    with matplotlib.rc_context({"svg.hashsalt": "plotsrv"}):
        memory = io.BytesIO()
        figure.savefig(memory, format=format, **options)
    return memory.getvalue(), IMAGE_TYPES[format]


def data_uri(figure: Any, format: str = "png") -> str:
    """A picture of a figure as the text for ``<img src="…">``; see :func:`figure_bytes`."""
    image, content_type = figure_bytes(figure, format)
    return f"data:{content_type};base64,{base64.b64encode(image).decode()}"


def figure_of(result: Any) -> Any:
    """What can be saved of what a plot returned: Axes and arrays of Axes stand for their figure."""
    if hasattr(result, "savefig"):
        return result
    first = result.values() if isinstance(result, dict) else result  # of plt.subplot_mosaic
    while isinstance(first, (list, tuple, collections.abc.ValuesView)) or getattr(first, "shape", None):
        first = next(iter(getattr(first, "flat", first)), None)
    figure = getattr(first, "figure", None)
    while figure is not None and not hasattr(figure, "savefig"):  # of a sub-figure
        figure = getattr(figure, "figure", None)
    if figure is not None:
        return figure
    raise TypeError(f"the plot returned {type(result).__name__}: return a figure, Axes, or a picture as bytes")


def picture_of(
    result: Any, format: str, width: int | None, height: int | None, dpi: int | None
) -> tuple[bytes, str, bool]:
    """What a plot returned, as a picture: its bytes, content type, and whether the plot made it itself."""
    if isinstance(result, str) and result.lstrip()[:4] in ("<svg", "<?xm"):
        result = result.encode()
    if hasattr(result, "getbands"):  # a PIL image
        memory = io.BytesIO()
        plain = result.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
        (result if plain else result.convert("RGB")).save(memory, "PNG")
        result = memory.getvalue()
    if isinstance(result, (bytes, bytearray)):
        return own_picture(bytes(result), format)
    if result is None:
        result = current_figure()
    figure = figure_of(result)
    canvas = current_figure() if isinstance(figure, types.ModuleType) else getattr(figure, "figure", figure)
    options = resized(canvas, width, height, dpi)
    return (*figure_bytes(figure, format, **options), False)


def own_picture(image: bytes, format: str) -> tuple[bytes, str, bool]:
    """A picture that is bytes already: it is served as it is."""
    head = image[:16].lstrip()
    found = [content_type for magic, content_type in MAGIC.items() if head.startswith(magic)]
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        found = ["image/webp"]
    if not found:
        raise TypeError("the plot returned bytes that are no PNG, JPEG, GIF, WebP, SVG or PDF")
    if format != "png" and found[0] != IMAGE_TYPES[format]:
        raise WrongFormat(f"This plot makes its picture itself, as {found[0]}: there is no {format.upper()} of it.")
    return image, found[0], True


def current_figure() -> Any:
    """The figure a plot has left open, where it returned none."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        raise TypeError("the plot returned nothing and left no figure open: return the figure")
    return pyplot.gcf()


def resized(figure: Any, width: int | None, height: int | None, dpi: int | None) -> dict[str, Any]:
    """Give a figure the size asked for, in pixels; refuse one too large for memory before it is drawn.

    Returns the options with which it is to be saved.
    """
    settings = importlib.import_module("matplotlib").rcParams  # those of this drawing only
    asked = bool(width or height or dpi)
    kept = figure.dpi if asked or settings["savefig.dpi"] == "figure" else settings["savefig.dpi"]
    dots = dpi or kept
    inches = figure.get_size_inches()
    if width or height:  # with only one of them given, the shape stays
        across, down = (width or 0) / dots, (height or 0) / dots
        figure.set_size_inches(across or down * inches[0] / inches[1], down or across * inches[1] / inches[0])
        settings["savefig.bbox"] = None
    pixels = figure.get_size_inches() * dots
    if pixels[0] * pixels[1] > PICTURE_PIXELS:
        limit = f"{PICTURE_PIXELS / 1e6:g} megapixels"
        raise ValueError(f"a picture of {pixels[0]:.0f} x {pixels[1]:.0f} pixels is larger than {limit}")
    return {"dpi": dots} if asked else {}


# ---------------------------------------------------------------------------------------------------------------------
# 10 Access: who may ask, and for which files. Safe by default.

FORWARDED = ("forwarded", "x-forwarded-", "x-real-ip", "via")  # how a proxy's header fields begin
FOLLOW = "Start plotsrv with the folder as an argument to allow it: python plotsrv.py FOLDER"


def is_owner(client: tuple, server: tuple) -> bool:
    """Is the program at the other end of a connection known to be run by our own user?

    On Linux the kernel tells whose each end of a loopback connection is. Elsewhere whoever is on this machine passes.
    """
    address = ipaddress.ip_address(client[0].partition("%")[0])
    if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
        return False
    if not sys.platform.startswith("linux"):
        return True
    uid = uid_of_connection(proc_address(client), proc_address(server))
    return uid == os.getuid() and uid != overflow_uid()


def proc_address(address: tuple) -> str:
    """An address as /proc/net/tcp writes it: 32-bit words in the machine's byte order."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    packed = socket.inet_pton(family, address[0])
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{address[1]:04X}"


def uid_of_connection(local: str, remote: str) -> int | None:
    """Whose the socket is that connects these two ends, by the kernel's table."""
    try:
        with open("/proc/net/tcp6" if len(local) > 13 else "/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                row = line.split(None, 8)
                if row[1] == local and row[2] == remote:
                    return int(row[7])
    except OSError:
        pass
    return None


def overflow_uid() -> int:
    """The uid that stands for those which have no name in this container."""
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 65534


@dataclass
class Access:
    """Who may ask: by Host and site, and by user or token."""

    address: str = "127.0.0.1"  # the one we listen on
    port: int = PORT
    allow_host: str = ""  # further names, separated by commas
    embedder: str = ""  # the origin that may embed our pages and pictures
    token: str = ""
    everybody: bool = False  # does even the user's own browser need the token?
    identity: bool = True  # False under WSGI, where it is the host application's affair

    def authorize(self, request: Request) -> str:
        """Raise HTTPError unless the client may ask. Returns a cookie to set, where a token was brought for one."""
        self.check_host(request)
        self.check_site(request)
        if not self.identity:
            return ""
        if request.path == "/token" and self.is_token("".join(request.query.get("token", ()))):
            return self.cookie()
        local = request.owner and not self.everybody and not any(name.startswith(FORWARDED) for name in request.headers)
        if request.path == "/token" or not (local or self.is_known(request)):
            message = "This plotsrv asks for a token: open the address that it printed when it started."
            raise HTTPError(401, message, WWW_Authenticate="Bearer")
        return ""

    def check_host(self, request: Request) -> None:
        """Refuse names that are not ours: a foreign page may have had its name point here (DNS rebinding)."""
        host = request.headers.get("host", "")
        name = re.sub(r":\d{1,5}$", "", host).lower().removesuffix(".")
        if not self.is_our_name(name.removeprefix("[").removesuffix("]")):
            raise HTTPError(421, "plotsrv is not known by that name. Start it with --allow-host NAME to allow it.")

    def is_our_name(self, name: str) -> bool:
        if self.address in ("", "0.0.0.0", "::") and name == socket.gethostname().lower():
            return True  # as it stands in the URL that we print
        allowed = [each.strip().lower() for each in self.allow_host.split(",") if each.strip()]
        if name in ("localhost", self.address, *allowed) or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.address in ("", "0.0.0.0", "::")  # addresses cannot be rebound

    def check_site(self, request: Request) -> None:
        """Refuse what another web page asks for in the user's browser, but for a link that the user follows."""
        site = request.headers.get("sec-fetch-site")
        source = request.headers.get("origin") or request.headers.get("referer") or ""
        if self.embedder and (source == self.embedder or source.startswith(self.embedder + "/")):
            return
        if site:
            followed = request.headers.get("sec-fetch-mode") == "navigate"
            followed = followed and request.headers.get("sec-fetch-dest") == "document"
            foreign = site not in ("same-origin", "none") and not followed
        else:
            foreign = bool(source) and source.partition("://")[2].partition("/")[0] != request.headers.get("host")
        if foreign:
            raise HTTPError(403, "Another site may not use this. Start plotsrv with --allow-embed ORIGIN to allow it.")

    def is_token(self, text: str) -> bool:
        return bool(self.token) and hmac.compare_digest(text.encode(), self.token.encode())

    def is_known(self, request: Request) -> bool:
        """Does the request carry the token, or a cookie that was given for it?"""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(bearer.strip()):
            return True
        cookies = request.headers.get("cookie", "")[:4096]
        found = re.search(rf"(?:^|;\s*)plotsrv-{self.port}=(\d{{1,12}})\.([0-9a-f]{{64}})(?:;|$)", cookies)
        if not found or not self.token or int(found[1]) < time.time():
            return False
        return hmac.compare_digest(found[2], self.signature(found[1]))

    def cookie(self, days: int = 30) -> str:
        expiry = str(int(time.time()) + days * 86400)
        value = f"{expiry}.{self.signature(expiry)}"
        return f"plotsrv-{self.port}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={days * 86400}"

    def signature(self, expiry: str) -> str:
        return hmac.new(self.token.encode(), f"{self.port}.{expiry}".encode(), hashlib.sha256).hexdigest()


def kept_token() -> str:
    """The token: PLOTSRV_TOKEN, or 192 random bits in a file that only the user can read: it outlives a restart."""
    if token := os.environ.get("PLOTSRV_TOKEN", ""):
        return token
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "plotsrv"
    file, token = folder / "token", secrets.token_urlsafe(24)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(token)
    except FileExistsError:
        with contextlib.suppress(OSError):
            file.chmod(0o600)
            return file.read_text(encoding="utf-8", errors="replace").strip() or token
    except OSError:
        pass  # a read-only home: the token lasts as long as this server
    return token


LATEST = "latest"  # instead of a file's name: the newest there is
KERNEL_FOLDERS = ("/proc/", "/sys/", "/dev/")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|[A-Za-z][A-Za-z+-]+:|//|\\\\")  # or a UNC path; but not log.09:41.csv
ELSEWHERE = re.compile(r"(?i)\s*(~|\\\\|file:|[a-z][\w+.-]+:[/\\])")  # a home folder, a UNC path, a URL


def real_path(path: str) -> str:
    """A path with its links followed; where we may not look, it is outside, whatever it is."""
    try:
        real = os.path.realpath(path)
        if os.path.islink(real):  # Python 3.13 stops at a link that it cannot read
            os.readlink(real)
    except OSError:
        return os.devnull
    return real


class DataFolders:
    """The folders whose files a browser may ask for. A relative name is tried in each in order."""

    def __init__(self, folders: Sequence[str]):
        self.folders = [os.path.realpath(folder) for folder in folders]

    @classmethod
    def of(cls, data: Sequence[str]) -> DataFolders:
        """Those of the command line; else where plotsrv was started, unless that is the home folder or the root."""
        for folder in data:
            if not os.path.isdir(os.path.expanduser(folder)):
                raise NotADirectoryError(f"{folder} is no folder: the data are folders that plots may read from")
        here = os.getcwd()
        if os.path.realpath(here) in (os.path.realpath(Path.home()), os.path.realpath("/")):
            here = os.path.dirname(os.path.realpath(__file__))
        return cls([os.path.expanduser(folder) for folder in data] or [here])

    def find(self, text: str, patterns: Sequence[str]) -> str:
        """The real path of a file or folder that the browser named; it may not be there yet.

        Raises HTTPError 403 for what lies outside, whether or not it exists, and ValueError for what is no file name.
        """
        if len(text) > TEXT_CHARACTERS or any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in text):
            raise ValueError("this is not a valid file name")
        if URL.match(text):
            raise ValueError("URLs are not read: give a file")
        if text == LATEST:
            newest = self.files(patterns)[:1]
            return newest[0][0] if newest else os.path.join(self.folders[0], patterns[0])
        if os.path.isabs(text):
            inside = [real for real in [real_path(text)] if self.holds(real)]
        else:
            inside = [real for folder in self.folders if self.holds(real := real_path(os.path.join(folder, text)))]
        hidden = any(part.startswith(".") and part not in (".", "..") for part in re.split(r"[/\\]", self.shown(text)))
        if not inside or hidden:
            raise HTTPError(403, f"That file is outside the data folders, or hidden. {FOLLOW}")
        found = next((path for path in inside if os.path.lexists(path)), inside[0])
        with contextlib.suppress(OSError):
            mode = os.stat(found).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ValueError("this is not a regular file")
        return found

    def holds(self, real: str) -> bool:
        """Does a resolved path lie in a data folder, and in none of its hidden ones?"""
        if (real + "/").startswith(KERNEL_FOLDERS):
            return False
        below = [os.path.relpath(real, folder) for folder in self.folders if Path(real).is_relative_to(folder)]
        return any(not any(part.startswith(".") for part in Path(each).parts) for each in below)

    def shown(self, path: str) -> str:
        """A path as the user would write it: relative to the data folder it lies in."""
        for folder in self.folders:
            if os.path.isabs(path) and Path(path).is_relative_to(folder):
                return os.path.relpath(path, folder)
        return path

    def refuse_paths(self, texts: Iterable[str]) -> None:
        """Refuse texts that a plot might take for a file's name, or an address, elsewhere."""
        for text in texts:
            leads_out = ".." in re.split(r"[/\\]", text) and not any(
                self.holds(real_path(os.path.join(folder, text))) for folder in self.folders
            )
            if leads_out or os.path.isabs(text.lstrip()) or ELSEWHERE.match(text):
                raise HTTPError(403, f"{text[:60]!r} could be a file or an address elsewhere. {FOLLOW}")

    def files(self, patterns: Sequence[str]) -> list[tuple[str, os.stat_result]]:
        """The files that match one of the patterns, newest first; of very many, those found first."""
        found = []
        for folder, path in itertools.islice(self.walk(), FILES_SCANNED):
            name = os.path.relpath(path, folder)
            if any(fnmatch.fnmatch(name if "/" in each else os.path.basename(name), each) for each in patterns):
                with contextlib.suppress(OSError):
                    status = os.stat(path)
                    if stat.S_ISREG(status.st_mode) and (not os.path.islink(path) or self.holds(real_path(path))):
                        found.append((path, status))
        return sorted(found, key=lambda pair: -pair[1].st_mtime_ns)

    def walk(self) -> Iterator[tuple[str, str]]:
        """All the files of the data folders, each with its data folder; not those in hidden folders or environments."""
        for top in self.folders:
            for folder, folders, files in os.walk(top):
                folders[:] = sorted(
                    n for n in folders if n[0] not in "._" and n not in ("node_modules", "site-packages")
                )
                yield from ((top, os.path.join(folder, name)) for name in files if not name.startswith("."))

    def choices(self, patterns: Sequence[str]) -> list[tuple[str, str]]:
        """What a form offers for a file: the name to be sent, and a label with size and age."""
        now = time.time()
        files = [
            (self.shown(path), f"{self.shown(path)} ({in_words(status.st_size, BYTES)}, {ago(now - status.st_mtime)})")
            for path, status in self.files(patterns)[:FILES_SHOWN]
        ]
        return [(LATEST, "the newest of these"), *files] if files else []


BYTES = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "bytes"))
AGES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def in_words(amount: float, units: Sequence[tuple[int, str]]) -> str:
    size, unit = next((each for each in units if amount >= each[0]), units[-1])
    return f"{amount / size:.0f} {unit}"


def ago(seconds: float) -> str:
    return f"{in_words(max(0, seconds), AGES)} ago"
