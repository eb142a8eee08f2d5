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
