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
    drawing     what came of one call: image, inputs, seconds taken, what it printed, or the error
    input       a file or folder that the plot read while drawing
    run         a training run in the data folders: one log, or a folder of them
    lens        a change made to a finished figure: smoothing, log axes, limits, size
    frame       one picture of a live page
    door        what turns a protocol (http.server, WSGI) into a Request, and a Response back into it

The life of a request, and the sections below in that order:

     1 Doors        bytes from a socket, or a WSGI environ, become a Request
     2 Messages     Request, Response, HTTPError: plain values
     3 Application  finds plot and view, checks the query, decides the status
     4 Pages        values in, HTML out
     5 Live         one drawing, many viewers, as soon as the data change
     6 Studio       from what a query asks for to a drawing, made or kept
     7 Rendering    a render process calls the plot; the server's own process never does
     8 Plots        which plots there are, and what each asks for; which runs there are to be plotted
     9 Forms        one table maps annotations to controls, and texts to arguments
    10 Freshness    which files a drawing depends on, and whether it is still good
    11 Figures      from what a plot returns to bytes
    12 Access       who may ask, and for which files
    13 Command line the options, and the start of everything

    browser -> door -> Application.respond -> Studio.draw -> Renderer ==pipe==> render process -> plot_mine(freq=2.0)
    browser <- door <- page or PNG         <- Drawing     <- Drawing  <=pipe=== figure_bytes   <- figure

A section calls only sections below it; the doors and the command line, first and last page, hold everything together.
The server needs the standard library alone. Copy this file anywhere, and it runs.
"""

from __future__ import annotations

import os
import sys

LOAD = f"""
import importlib.util, signal, sys
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while there is nothing to be ended
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

import _thread
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
import glob
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
import locale
import math
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import random
import re
import secrets
import select
import signal
import socket
import socketserver
import stat
import struct
import textwrap
import threading
import time
import traceback
import types
import typing
import unicodedata
import urllib.parse
import warnings
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

__all__ = ["Glob", "PlotRequestHandler", "Runs", "data_uri", "figure_bytes", "main", "serve", "wsgi_application"]

PORT = 9999
REFRESH_SECONDS = 60  # the seed's
SLOW_SECONDS = 2.0  # a page waits this long for its drawing, then shows the progress instead
GLANCE_SECONDS = 0.25  # the gallery waits this long for files that are still being imported
TIMEOUT_SECONDS = 30.0  # for one drawing, unless --timeout says otherwise
HEADER_SECONDS = 10.0  # for a request's whole header, from its first byte; and for a TLS handshake
IDLE_SECONDS = 15.0  # between two requests of one connection
SEND_SECONDS = 20.0  # for each chunk of a response
CLOSING_SECONDS = 1.0  # in which a client may read why it was refused, or begin to ask
EXHAUSTED_SECONDS = 0.1  # without accepting anybody, where there are no file descriptors left
GRACE_SECONDS = 1.5  # for the answers under way when plotsrv ends
POLL_SIGNALS_SECONDS = 0.2  # between two looks whether a signal has asked plotsrv to end
TRIM_SECONDS = 5.0  # between two times that free memory is given back: pages and pictures come and go
POLL_SECONDS = 0.02  # between two looks at the inputs of a live picture
LATEST_SECONDS = 1.0  # between two looks at which file is the latest
APART_SECONDS = 0.1  # between the starts of its drawings
VOLATILE_SECONDS = 1.0  # the same where there is no input that tells when to draw
HEARTBEAT_SECONDS = 1.0  # a stream looks this often whether its viewer is still there
REPEAT_SECONDS = 20.0  # a silent stream sends its frame again: proxies cut what is silent
REMARK_SECONDS = 1.0  # an error that lasts as long is written on a live picture
LINGER_SECONDS = 3.0  # a live picture is watched on, in case its page is being reloaded
AWAITED_SECONDS = 5  # a page that waits for a file reloads itself at least as often
RENEW_SECONDS = 60  # a live page reloads itself: for its title, and to free the browser's memory
FALLBACK_SECONDS = 2  # and refreshes itself where it can have no stream
STREAMS = 4  # for each browser, which opens six connections to one host

LIVE = "live"  # instead of the seconds of refresh_every
LIVE_ENDING = ".live"
IMAGE_TYPES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
DATA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}  # of a figure's lines
FORMATS = {**IMAGE_TYPES, **DATA_TYPES}

LINE_BYTES = 8190  # Apache's limit for a request line
HEADER_BYTES = 32 * 1024
HEADER_FIELDS = 64
QUERY_FIELDS = 200
MOMENT_SECONDS = 0.001  # in which files are taken not to change: under load they are looked at less than asked for
MOMENTS_KEPT = 1000
PAGE_BYTES_KEPT = 1024 * 1024  # of one page
PAGES_KEPT = 8  # of about 100 kB: tabs of one page ask for it at about the same time
CHUNK_BYTES = 64 * 1024
CONNECTIONS = 512
CONNECTIONS_EACH = 64  # for one address; a browser opens six
CONNECTIONS_OURS = 16  # more for the user who runs plotsrv, where others have crowded the address
STREAMS_IN_ALL = 64  # besides
SETTLING_LOOKS = 100  # a millisecond apart
QUEUED_DRAWINGS = 32
QUEUED_EACH = 16  # for one address: so nobody takes all the places, and a browser's tabs may all be opened at once
LEFT_SECONDS = 0.5  # between two looks whether who waits for a drawing is still there
TRIES = 4  # of a job whose process was killed from outside, or had not begun
WATCH_SECONDS = 0.1  # between two looks at what a plot takes
PROCESSES_EACH = 64  # that one plot may start
MEMORY_SHARE = 0.5  # of the machine, for all render processes together, unless --memory says otherwise
DRAWINGS_EACH = 200  # of one process before another takes its place
GROWTH_BYTES = 200 * 1024 * 1024  # and so much more than double is too much to have grown
OPEN_FILES = 1024  # of a render process: Linux's usual limit
LEAKED_FILES = 100  # that a plot may leave open
FILE_BYTES = 4 * 1024**3  # that a plot may write into one file
TEXT_CHARACTERS = 4096
TOKEN_VARIABLE = "PLOTSRV_TOKEN"  # the variable that may hold the token
TOKEN_CHARACTERS = 16  # it has at least
TOKEN_PATTERN = rf"[A-Za-z0-9._~-]{{{TOKEN_CHARACTERS},}}"
LINE_CHARACTERS = 500  # of the log
REFUSALS_SECONDS = 60.0  # in which equal refusals are told once
REFUSALS_KEPT = 1000
NUMBER_CHARACTERS = 256
OUTPUT_BYTES = 64 * 1024  # of what a plot prints
ERROR_CHARACTERS = 1000
TRACEBACK_CHARACTERS = 16_000
CACHE_BYTES = 64 * 1024 * 1024
KEPT_BYTES = 16 * 1024 * 1024  # of a figure's numbers; those of ten million points are made anew each time
DIGEST_BYTES = 128 * 1024  # so much of a file's beginning and end is looked at where its time might deceive
TICK_SECONDS = 0.02  # file systems keep times in steps of up to 10 ms (Linux, HZ=100)
ONCE_BYTES = 1024 * 1024  # of drawings that nobody has asked for a second time
INPUTS_KEPT = 5000  # of one drawing; with more it is drawn anew each time
CHANGES_KEPT = 20  # of an input, to know how often it changes
STALLED_INTERVALS = 10  # an input that was silent for so many times its usual interval
STALLED_SECONDS = 5.0  # and for this long
HALF_FILE_SECONDS = 1.0  # a file that changed so recently may be half-written
HALF_FILE_PAUSES = (0.05, 0.1, 0.2, 0.4)  # seconds, before each further try
SIDE_PIXELS = 4000  # width and height that a query may ask for
PICTURE_PIXELS = 16_000_000  # 64 MB in memory as RGBA
FILES_SHOWN = 200
RUNS_SHOWN = 24  # in the gallery before the rest is folded
GALLERY_SECONDS = 60  # after which a gallery with runs reloads itself
RUNS_SECONDS = 2.0  # between two looks at which runs there are
FAILED_LOOK_SECONDS = 60.0  # after which it is tried again: it may have kept a process busy until its deadline
RUN_PLOT = "training/run"  # what shows one
INPUTS_SHOWN = 5
FILES_SCANNED = 20_000  # a home folder with a few environments in it is read in 0.1 s

# ---------------------------------------------------------------------------------------------------------------------
# 1 Doors: the only place that talks by sockets, or knows WSGI.


class PlotRequestHandler(BaseHTTPRequestHandler):
    """One connection of a browser: requests in, responses out.

    Derive a class from it in a script of your own and give it ``plot_*`` methods: ``plotsrv.main(MyPlots)`` serves
    them. A method's ``self`` is an instance made without a connection, for the class's other methods and attributes.
    """

    protocol_version = request_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0  # what is written leaves at once, within the connection's time limit
    server: PlotServer

    def setup(self) -> None:
        self.place = self.server.places.held[self.request]
        if self.server.tls:
            self.shake_hands(self.server.tls)
        super().setup()
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # the kernel keeps nothing for longer than we would
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * SEND_SECONDS))
        self.received = b""  # of the next request, where a client sends ahead

    def shake_hands(self, tls: ssl.SSLContext) -> None:
        """Go on by TLS; there is as much time for that as for a header. Raises OSError."""
        self.request.settimeout(HEADER_SECONDS)
        if self.request.recv(1, socket.MSG_PEEK) not in (b"", TLS_HANDSHAKE):
            self.server.refuse(self.request, HTTPError(400, "This is HTTPS: the address begins with https://."))
            raise ConnectionAbortedError
        self.request = self.place.socket = tls.wrap_socket(self.request, True, do_handshake_on_connect=False)
        try:
            self.request.do_handshake()
        except BaseException:
            self.request.close()  # nobody else will
            raise

    def handle_one_request(self) -> None:
        """Answer one request; afterwards `close_connection` tells whether another may follow."""
        self.close_connection = True
        try:
            self.answer(self.receive_head())
        except HTTPError as error:  # what came is no request
            self.send(self.server.application.refusal(error), body=not self.received.startswith(b"HEAD "))
        except OSError:  # the client has left, or was too slow
            pass

    def receive_head(self) -> bytes:
        """A request's line and header fields. Raises OSError when the client closed the connection, or never began."""
        self.place.become(READING if self.received else IDLE)
        deadline = time.monotonic() + (HEADER_SECONDS if self.received else IDLE_SECONDS)
        check_beginning(self.received)
        while HEADER_END not in self.received and len(self.received) <= HEADER_BYTES:
            self.connection.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                chunk = self.connection.recv(HEADER_BYTES)
            except TimeoutError:
                if not self.received:
                    raise
                raise HTTPError(408, f"The header was not complete after {HEADER_SECONDS:g} s.") from None
            if not chunk:
                raise ConnectionAbortedError
            if not self.received:
                self.place.become(READING)
                deadline = time.monotonic() + HEADER_SECONDS
            seen, self.received = len(self.received), self.received + chunk
            check_beginning(self.received, seen)
        return self.received.partition(HEADER_END)[0]

    def answer(self, head: bytes) -> None:
        secure = self.server.tls is not None
        request = Request.parse(head, self.place.address, self.owner, left=self.client_has_left, secure=secure)
        self.received = self.received[len(head) + len(HEADER_END) :]
        self.place.become(ANSWERING)
        response = self.server.application.respond(request)
        self.place.is_known |= response.status < 400
        self.close_connection = (
            response.status >= 400 or request.wants_close or response.endless or self.server.places.closed
        )
        self.send(response, body=request.method != "HEAD")

    @functools.cached_property
    def owner(self) -> bool:
        """Does the client run as our own user? Asked of the kernel once, and not for who never asks for anything."""
        return is_owner(self.client_address, self.connection.getsockname())

    def send(self, response: Response, body: bool = True) -> None:
        lines = [f"{self.protocol_version} {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [header_line(name, value) for name, value in response.header_fields()]
        lines += ["Connection: close" if self.close_connection else "Connection: keep-alive", "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        if response.endless:
            self.server.places.leave(self.place)  # streams are counted by Live
        try:
            for chunk in response.chunks() if body else [b""]:
                if response.endless and not chunk and self.client_has_left():
                    break
                head, chunk = b"", head + chunk
                for start in range(0, len(chunk), CHUNK_BYTES):  # each piece has its own time limit
                    self.place.become(SENDING)
                    self.connection.settimeout(SEND_SECONDS)
                    self.wfile.write(chunk[start : start + CHUNK_BYTES])
            if self.close_connection and not response.endless:
                self.linger()
        except OSError:  # the client has left, or was too slow
            self.close_connection = True
        finally:
            response.close()

    def linger(self) -> None:
        """Let the client read the answer before the connection closes: what it still sends would else undo that."""
        self.place.become(READING)
        socket.socket.shutdown(self.connection, socket.SHUT_WR)
        deadline = time.monotonic() + CLOSING_SECONDS
        for _ in range(16):
            self.connection.settimeout(max(0.001, deadline - time.monotonic()))
            if not socket.socket.recv(self.connection, CHUNK_BYTES):
                break

    def client_has_left(self) -> bool:
        """Has the client closed its end?"""
        if hasattr(select, "POLLRDHUP"):  # Linux tells, whatever else the client has sent
            watch = select.poll()
            watch.register(self.connection, select.POLLRDHUP)
            return bool(watch.poll(0))
        self.connection.settimeout(0)
        try:
            return not socket.socket.recv(self.connection, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()  # with TLS it is another object than the one that the server closes


class PlotServer(ThreadingHTTPServer):
    """A listening socket with its application; a thread for each connection."""

    allow_reuse_address = os.name == "posix"  # on Windows it would let others take our port
    daemon_threads = True
    request_queue_size = 1024  # of connections not accepted yet: beyond it, a client tries again after a second

    def __init__(self, address: tuple[str, int], application: Application, tls: ssl.SSLContext | None = None):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.application = application
        self.tls = tls
        self.refusals: dict[int, tuple[float, bytes]] = {}  # by status: when it was made, and all of it
        self.places = Places(min(CONNECTIONS, descriptors_left()), application.access.trusted)
        super().__init__(address, PlotRequestHandler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of our own name: no DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.application.access.port = self.server_port  # which the cookie's name has

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self.places.drop_oldest()  # else the same connection would be tried again at once, and for ever
                time.sleep(EXHAUSTED_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        place = Place(request, plain_address(client_address)[0])
        self.places.settle()
        if not self.places.enter(place, lambda: is_owner(client_address, request.getsockname())):
            self.turn_away(place)
            return
        try:  # threading.Thread would have us wait for the thread to begin, behind all others that have work
            _thread.start_new_thread(self.process_request_thread, (request, client_address))
        except RuntimeError:  # no further thread can be started
            self.places.leave(place, closed=True)
            self.turn_away(place)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        place = self.places.held[request]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.leave(place, closed=True)

    def turn_away(self, place: Place) -> None:
        """Refuse a connection without a thread, and without reading: whoever opens so many is no browser."""
        error = HTTPError(503, "Too many connections. Try again in a moment.", Retry_After="5")
        self.application.access.log.refused(Request("", "", client=place.address), error.status, error.message)
        place.socket.settimeout(0)
        if not self.tls:
            self.refuse(place.socket, error)
        self.shutdown_request(place.socket)

    def refuse(self, connection: socket.socket, error: HTTPError) -> None:
        """Send a refusal to somebody whose request is not read; it is made once a second, as many may come at once."""
        made_at, answer = self.refusals.get(error.status, (-math.inf, b""))
        if time.monotonic() - made_at > 1:
            refusal = self.application.refusal(error)
            lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}", "Connection: close"]
            lines += [header_line(name, value) for name, value in refusal.header_fields()]
            answer = "\r\n".join(lines).encode() + HEADER_END + b"".join(refusal.chunks())
            self.refusals[error.status] = (time.monotonic(), answer)
        with contextlib.suppress(OSError):  # the client may have left
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(CHUNK_BYTES)  # what is left unread would undo the answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a mistake of ours; that clients leave, or speak no TLS, is none."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.application.access.log.tell("".join(traceback.format_exception(error)).splitlines())

    def wind_up(self, seconds: float) -> None:
        """Take no more requests, and let the answers under way be given, within so many seconds."""
        self.server_close()
        self.application.live.close()
        deadline = time.monotonic() + seconds
        while self.places.close() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


IDLE, READING, ANSWERING, SENDING = "idle", "reading", "answering", "sending"
OURS_CROWD = "this user"  # instead of an address that others have crowded


@dataclass(eq=False)
class Place:
    """One of the connections there may be, and what goes on there."""

    socket: socket.socket
    address: str
    state: str = IDLE
    since: float = field(default_factory=time.monotonic)
    is_known: bool = False  # has it been given an answer, and no refusal?

    def __post_init__(self) -> None:
        self.accepted = self.socket  # with TLS, another object takes its place
        self.crowd = self.address

    def become(self, state: str) -> None:
        self.state, self.since = state, time.monotonic()

    def is_unread(self) -> bool:
        """Does the client not take what was sent?"""
        try:
            import fcntl
            import termios

            return bool(struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0])
        except (ImportError, OSError, ValueError):  # Windows; closed by now
            return False

    def drop(self) -> None:
        """Wake the connection's thread, which then closes it."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # below TLS, which another thread may be using


class Places:
    """The connections there may be: so many in all, and so many for each address, but for proxies that we trust."""

    def __init__(self, most: int, proxies: frozenset[str] = frozenset(), each: int = CONNECTIONS_EACH):
        self.most = most
        self.each = each
        self.proxies = proxies
        self.held: dict[Any, Place] = {}  # by the socket as it was accepted; streams too
        self.crowds: dict[str, set[Place]] = {}  # by address; without streams
        self.closed = False
        self.lock = threading.Lock()

    def enter(self, place: Place, is_ours: Callable[[], bool] = lambda: False) -> bool:
        """Take a place; where none is free, from who makes least use of it. False where there is none to be had.

        Whoever has all the places of one address gives up one where nothing has been asked since the last answer; but
        no other user of this machine takes ours.
        """
        if self.is_crowded(place) and len(self.crowds.get(OURS_CROWD, ())) < CONNECTIONS_OURS and is_ours():
            place.crowd = OURS_CROWD
        with self.lock:
            if self.is_crowded(place):
                victim = longest(resting(self.crowds[place.crowd]), IDLE)
                victim = None if victim and victim.is_unread() else victim  # it would come again, and not read that
            elif sum(map(len, self.crowds.values())) < self.most:
                self.add(place)
                return True
            else:
                victim = self.least_useful(place)
            if victim:
                self.remove(victim)
                self.add(place)
        if victim:
            victim.drop()
        return victim is not None

    def least_useful(self, newcomer: Place) -> Place | None:
        """Who gives way where all places are taken; of several, who has been waited for longest.

        First come those who have never been let in, then those of the address with most places, then all others. For
        an address that has as many itself, only those where nothing is asked: crowds would else only change places.
        """
        largest = max(self.crowds.values(), key=len)
        theirs = 0 if newcomer.address in self.proxies else len(self.crowds.get(newcomer.crowd, ()))
        if theirs and theirs + 1 >= len(largest) and len(self.crowds) > 1:
            as_large = (crowd for crowd in self.crowds.values() if len(crowd) == len(largest))
            return longest(resting(itertools.chain(*as_large)), IDLE)
        others = [crowd for name, crowd in self.crowds.items() if name != OURS_CROWD]
        strangers = (each for each in itertools.chain(*others) if not each.is_known and has_rested(each))
        groups = (strangers, largest, itertools.chain(*others))
        return next(filter(None, (longest(group, IDLE, READING, SENDING) for group in groups)), None)

    def settle(self) -> None:
        """Let those that were dropped end before others take their places: each has a thread for as long."""
        for _ in range(SETTLING_LOOKS):
            if len(self.held) <= self.most + STREAMS_IN_ALL + self.each:
                break
            time.sleep(0.001)

    def is_crowded(self, place: Place) -> bool:
        return len(self.crowds.get(place.crowd, ())) >= self.each and place.address not in self.proxies

    def add(self, place: Place) -> None:
        self.held[place.accepted] = place
        self.crowds.setdefault(place.crowd, set()).add(place)

    def remove(self, place: Place) -> None:
        crowd = self.crowds.get(place.crowd, set())
        crowd.discard(place)
        if not crowd:
            self.crowds.pop(place.crowd, None)

    def leave(self, place: Place, closed: bool = False) -> None:
        """Count a connection no more: it is a stream from now on, or closed."""
        with self.lock:
            self.remove(place)
            if closed:
                self.held.pop(place.accepted, None)

    def drop_oldest(self) -> None:
        with self.lock:
            victim = longest(self.held.values(), IDLE, READING)
        if victim:
            victim.drop()

    def close(self) -> bool:
        """Drop whoever is not being answered; is anybody left?"""
        self.closed = True
        with self.lock:
            places = set().union(*self.crowds.values())
        for place in places:
            if place.state in (IDLE, READING):
                place.drop()
        return any(place.state in (ANSWERING, SENDING) for place in places)


def resting(places: Iterable[Place]) -> Iterator[Place]:
    """Where nothing goes on."""
    return (place for place in places if place.state == IDLE and has_rested(place))


def has_rested(place: Place) -> bool:
    """May it give way? Who has just come may be about to ask."""
    return place.is_known or place.since < time.monotonic() - CLOSING_SECONDS


def longest(places: Iterable[Place], *states: str) -> Place | None:
    """The place that has been in one of these states for longest."""
    return min((place for place in places if place.state in states), key=lambda place: place.since, default=None)


def descriptors_left(spare: int = 100) -> int:
    """How many connections the limit of open files leaves room for; it is raised first, as far as that is allowed."""
    try:
        import resource
    except ImportError:  # Windows
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + STREAMS_IN_ALL + spare
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(8, min(soft - spare, soft // 2))


def wsgi_application(
    plots: str = "",
    data: Sequence[str] = (),
    *,
    allow_host: str = "",
    workers: int = 2,
    timeout: float = TIMEOUT_SECONDS,
    memory: float = 0,
    live: bool = False,
) -> Callable[[dict, Callable], Iterable[bytes]]:
    """A WSGI application that serves `plots` below wherever the host application mounts it.

    The arguments are those of :func:`serve`. Who may come in is the host application's affair; only Host and
    Sec-Fetch-Site are looked at here. With `live`, pages may have live pictures: each holds a thread, until the next
    frame after its viewer has left. The render processes end with the interpreter, or by `.application.close()`.
    """
    access = Access(allow_host=allow_host, identity=False)
    streams = STREAMS if live else 0
    application = Application.for_options(plots, data, access, workers, timeout, memory, streams)
    atexit.register(application.close)  # multiprocessing would else wait for them for ever

    def wsgi(environ: dict, start_response: Callable) -> Iterable[bytes]:
        try:
            response = application.respond(Request.from_wsgi(environ))
        except HTTPError as error:
            response = application.refusal(error)
        reason = HTTPStatus(response.status).phrase
        start_response(f"{response.status} {reason}", response.header_fields())
        return [] if environ["REQUEST_METHOD"] == "HEAD" else response.chunks()

    wsgi.application = application  # type: ignore[attr-defined]
    return wsgi


# ---------------------------------------------------------------------------------------------------------------------
# 2 Messages: plain values, no I/O.

HEADER_END = b"\r\n\r\n"
HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
TARGET = re.compile(r"[!\"$-~]+")  # visible ASCII but "#"; browsers send some that RFC 3986 forbids
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
NO_LINES = re.compile(rb"(?<!\r)\n|\r[^\n]|\0")  # RFC 9112, 2.2: what other servers may take for a line's end
TLS_HANDSHAKE = b"\x16"  # the first byte of a TLS connection


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
    secure: bool = False  # did it come by TLS?
    prefix: str = ""  # the path that a trusted proxy shows us under
    left: Callable[[], bool] = field(default=lambda: False, compare=False)  # has the client left, as far as is known?

    @classmethod
    def parse(cls, head: bytes, client: str, owner: bool, **more: Any) -> Request:
        """Read a request line and header fields, strictly: what is doubtful is refused, never guessed at."""
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = request_line(line)
        if len(head) > HEADER_BYTES:
            raise HTTPError(431, f"The header is longer than {HEADER_BYTES:,} bytes.")
        if len(lines) > HEADER_FIELDS:
            raise HTTPError(431, f"The header has more than {HEADER_FIELDS} fields.")
        headers = header_fields_of(lines)
        if version == "HTTP/1.1" and "host" not in headers:
            raise HTTPError(400, "The header has no Host.")
        check_method(method, headers.get("content-length"), headers.get("transfer-encoding"))
        if absolute := re.match(r"(?i)https?://([^/?]*)", target):
            if absolute[1].lower() != headers.get("host", "").lower():
                raise HTTPError(400, "The request line names another host than the header.")
            target = target[absolute.end() :]
            target = target if target.startswith("/") else "/" + target
        if not target.startswith("/"):
            raise HTTPError(400, "The request line names no path.")
        path, _, query = target.partition("?")
        try:
            path = urllib.parse.unquote(path, errors="strict")
        except UnicodeDecodeError:
            raise HTTPError(400, "The address is not UTF-8.") from None
        return cls(method, path, query_of(query), headers, client, owner, version, **more)

    @classmethod
    def from_wsgi(cls, environ: dict) -> Request:
        """The same from a WSGI environ, whose server has parsed the request already."""
        length = environ.get("CONTENT_LENGTH") or None
        check_method(environ["REQUEST_METHOD"], length, environ.get("HTTP_TRANSFER_ENCODING"))
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

    def has(self, tag: str) -> bool:
        """Does the client hold what has this ETag? By weak comparison, as RFC 9110, 13.1.2 has it."""
        held = self.headers.get("if-none-match", "")
        return held == "*" or tag in [each.strip().removeprefix("W/") for each in held.split(",")]

    @property
    def prefers_html(self) -> bool:
        """Is it a person who navigates here, rather than an <img> or a program?"""
        return "text/html" in self.headers.get("accept", "")

    @property
    def asked(self) -> tuple:
        """All that makes one page another than the next."""
        return self.path, self.mount, *self.query.items(), self.viewer

    @property
    def viewer(self) -> tuple[str, str]:
        """Whose browser it is, as far as can be told."""
        return self.client, self.headers.get("user-agent", "")

    @property
    def wants_image(self) -> bool:
        """Is it an <img>, or a program, that asks for a picture?"""
        image = self.path.endswith((".png", ".svg", ".pdf", LIVE_ENDING)) or self.query.get("mode") == ("plot",)
        return image and not self.prefers_html

    @property
    def root(self) -> str:
        """The relative URL of the gallery, so that any proxy's sub-path works unconfigured."""
        if self.mount:
            return urllib.parse.quote(self.mount) + "/"
        return "../" * (self.path.count("/") - 1) or "./"


def check_beginning(received: bytes, seen: int = 0) -> None:
    """Refuse at once what will be no request, whatever comes after it.

    `received` is what has come of a header, and maybe of what follows; so many bytes of it were seen before.
    """
    if received.startswith(TLS_HANDSHAKE):
        raise HTTPError(400, "This is plain HTTP: the address begins with http://.")
    if HEADER_END in received:  # all of it will be read, and no less strictly
        return
    if NO_LINES.search(received, max(0, seen - 1)):
        raise HTTPError(400, "The request has a line that does not end with CR and LF.")
    if received and not HTTP_TOKEN.match(received[:1].decode("latin-1")):
        raise HTTPError(400, "The request line is malformed.")
    length = received.find(b"\r\n")
    is_too_long = length < 0 and len(received.removesuffix(b"\r")) > LINE_BYTES
    if is_too_long or length >= max(0, seen - 1):  # the line is new
        request_line(received[: None if is_too_long else length].decode("latin-1"))


def request_line(line: str) -> tuple[str, str, str]:
    """Method, target and version of a request."""
    if len(line) > LINE_BYTES:
        raise HTTPError(414, f"The address is longer than {LINE_BYTES:,} bytes.")
    method, target, version = [*line.split(" "), "", ""][:3]
    if line.count(" ") != 2 or not HTTP_TOKEN.fullmatch(method) or not TARGET.fullmatch(target):
        raise HTTPError(400, "The request line is malformed.")
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise HTTPError(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    return method, target, version


def check_method(method: str, length: str | None, encoding: str | None) -> None:
    """Refuse what is neither GET nor HEAD, or brings a body: an unread one would be taken for the next request."""
    if length is not None and (encoding is not None or not re.fullmatch("[0-9]+", length)):
        raise HTTPError(400, "The header does not tell clearly how long the body is.")  # RFC 9112, 6.3
    if method not in ("GET", "HEAD"):
        known = method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
        raise HTTPError(405 if known else 501, "Only GET and HEAD are answered here.", Allow="GET, HEAD")
    if length not in (None, "0") or encoding is not None:
        raise HTTPError(413, "A request with a body is not read here.")


def header_fields_of(lines: list[str]) -> dict[str, str]:
    """Header fields by lower-case name; the few that may decide something must not come twice."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not HTTP_TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise HTTPError(400, "A header field is malformed.")
        name, value = name.lower(), value.strip(" \t")
        if name in headers and name in ("host", "content-length", "transfer-encoding", "authorization"):
            raise HTTPError(400, f"The header has {name} twice.")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def header_line(name: str, value: str) -> str:
    """A header field as it is sent; raises ValueError for one that could be taken for two."""
    if not HTTP_TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"{name!r}: {value!r} is no header field")
    return f"{name}: {value}"


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
    body: bytes | Iterator[bytes]  # of an endless stream, chunks; an empty one says that nothing is new
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    drawn: bool = True  # False: HEAD draws nothing, so the body and its length are not known

    @classmethod
    def html(cls, page: str, status: int = 200, **headers: str) -> Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, page.encode(errors="backslashreplace"), "text/html; charset=utf-8", headers)

    @classmethod
    def unchanged(cls, tag: str) -> Response:
        """The client has it already."""
        return cls(304, b"", "", {"ETag": tag})

    def header_fields(self) -> list[tuple[str, str]]:
        """All the header fields, as http.server and WSGI want them."""
        if self.status == 304:
            return [*self.headers.items()]
        length = [("Content-Length", str(len(self.body)))] if self.drawn and isinstance(self.body, bytes) else []
        return [("Content-Type", self.content_type), *length, *self.headers.items()]

    @property
    def endless(self) -> bool:
        return not isinstance(self.body, bytes)

    def chunks(self) -> Iterable[bytes]:
        return [self.body] if isinstance(self.body, bytes) else self.body

    def close(self) -> None:
        """Tell the stream that nobody looks any more."""
        if isinstance(self.body, types.GeneratorType):
            self.body.close()


# ---------------------------------------------------------------------------------------------------------------------
# 3 Application: every status code is decided here and nowhere else.

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors {}"
)


TEXTS = ("text/", "application/json", IMAGE_TYPES["svg"])  # in which the token might stand


class Application:
    """The core, free of sockets: a Request in, a Response out."""

    def __init__(
        self,
        gallery: Gallery,
        renderer: Renderer,
        cache: DrawingCache,
        folders: DataFolders,
        access: Access,
        streams: int = STREAMS,
    ):
        self.gallery = gallery
        self.studio = Studio(gallery, renderer, cache, folders)
        self.access = access
        self.pages: dict[str, Response] = {}  # the last ones made, by ETag
        self.moments: dict[tuple, tuple[float, str]] = {}  # when a page was last found unchanged, and its ETag
        self.live = Live(streams)
        self.started = time.time()  # no ETag outlives us: what we were may have changed

    @classmethod
    def for_options(
        cls,
        plots: str,
        data: Sequence[str],
        access: Access,
        workers: int,
        timeout: float,
        memory: float = 0,
        streams: int = STREAMS,
    ) -> Application:
        """The application for options as the command line gives them; `memory` in GB, 0 for what is usual."""
        renderer = Renderer(workers, timeout, memory * 1e9 or MEMORY_SHARE * machine_bytes())
        gallery = Gallery(roots_of(plots), renderer)
        return cls(gallery, renderer, DrawingCache(), DataFolders.of(data), access, streams)

    def close(self) -> None:
        self.live.close()
        self.studio.renderer.close()

    def respond(self, request: Request) -> Response:
        try:
            request = self.access.behind_proxy(request)
            cookie = self.access.authorize(request)
            if cookie:
                return self.dressed(Response.html("", 303, Location="./", Set_Cookie=cookie))
            return self.dressed(self.same_moment(request) or self.view(request))
        except HTTPError as error:
            return self.refusal(error, request)

    def same_moment(self, request: Request) -> Response | None:
        """That a page is unchanged, where it was so within the last millisecond: nothing is looked at again."""
        since, tag = self.moments.get(request.asked, (-math.inf, ""))
        return Response.unchanged(tag) if time.monotonic() - since < MOMENT_SECONDS and request.has(tag) else None

    def unchanged(self, request: Request, tag: str) -> Response:
        if len(self.moments) > MOMENTS_KEPT:
            self.moments.clear()
        self.moments[request.asked] = (time.monotonic(), tag)
        return Response.unchanged(tag)

    def refusal(self, error: HTTPError, request: Request | None = None) -> Response:
        """The answer to what cannot be done: a page, or for an <img> a picture of the message."""
        if request and error.status in REFUSALS:
            self.access.log.refused(request, error.status, error.message)
        if request and request.wants_image:
            body = error_picture(error.message)
            return self.dressed(Response(error.status, body, IMAGE_TYPES["svg"], error.headers))
        again = float(error.headers.get("Retry-After", 0))
        page = error_page(error.status, error.message, request.root if request else "./", again)
        return self.dressed(replace(Response.html(page, error.status), headers=error.headers))

    def dressed(self, response: Response) -> Response:
        """The response with the header fields that every one carries."""
        policy = POLICY.format(self.access.embedder or "'none'")
        if response.content_type.startswith(IMAGE_TYPES["svg"]):
            policy += "; sandbox"
        standing = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "cross-origin" if self.access.embedder else "same-origin",
            "Cache-Control": "private, no-cache",
            "Vary": "Accept, Cookie",
            "Date": formatdate(usegmt=True),
        }
        body = response.body
        if isinstance(body, bytes) and self.access.token and response.content_type.startswith(TEXTS):
            body = body.replace(self.access.token.encode(), b"[token]")
        return replace(response, body=body, headers={**standing, **response.headers})

    # -- routes: a path, or the seed's ?mode=…&graph=…, to a view

    def view(self, request: Request) -> Response:
        if request.path == "/" and "mode" in request.query:
            return self.seed_view(request)
        if request.path == "/":
            return self.gallery_view(request)
        if request.path == "/plots.json":
            self.gallery.refresh(wait=SLOW_SECONDS)
            return Response(200, self.gallery.as_json(), "application/json")
        path = request.path[1:]
        names = [(path.removesuffix(ending), ending) for ending in VIEWS if path.endswith(ending)]
        self.gallery.refresh(SLOW_SECONDS, [name for name, _ in names])
        for name, ending in names:
            if plot := self.gallery.plots.get(name):
                return VIEWS[ending](self, request, self.described(plot))
        if not self.gallery.settled:
            self.described(None)
        near = difflib.get_close_matches(names[-1][0], self.gallery.plots, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise HTTPError(404, f"There is no such plot.{hint} The gallery lists those there are.")

    def described(self, plot: Plot | None) -> Plot:
        """A plot whose fields are known; without them, nothing can be asked or drawn yet."""
        if plot is None or not plot.described:
            files = ", ".join(self.gallery.awaited)
            raise HTTPError(503, f"{files}: still being imported. Try again in a second.", Retry_After="1")
        return plot

    def seed_view(self, request: Request) -> Response:
        """The URLs of the script that plotsrv grew out of: they keep working."""
        name = "".join(request.query.get("graph", ()))
        self.gallery.refresh(wait=SLOW_SECONDS)
        found = [plot for plot in self.gallery.plots.values() if name in (plot.function, plot.function[5:], plot.path)]
        mode = request.query["mode"][-1]
        if len(found) > 1 and mode != "plot":
            return Response.html(gallery_page(found, [], [], request.root, "Several plots have that name."))
        if len(found) != 1:
            raise HTTPError(404, "There is no such plot, or several have that name: the gallery lists them.")
        rest = {name: texts for name, texts in request.query.items() if name not in ("mode", "graph")}
        request = replace(request, query=rest)
        plot = self.described(found[0])
        if mode == "plot":
            return self.drawing_view(request, plot, "png")
        if mode == "plotpage" or (mode == "paramcheck" and not plot.fields):
            return self.page_view(request, plot)
        if mode == "paramcheck":
            return self.form_view(request, plot)
        raise HTTPError(400, "mode is one of paramcheck, plotpage and plot.")

    # -- views

    def gallery_view(self, request: Request) -> Response:
        begun = time.monotonic()
        self.gallery.refresh(wait=GLANCE_SECONDS)
        importing = [] if self.gallery.settled else self.gallery.awaited
        runs = self.studio.runs if RUN_PLOT in self.gallery.plots else None
        looking = runs is not None and not runs.refresh(max(0, GLANCE_SECONDS + begun - time.monotonic()))
        page = gallery_page(
            self.gallery.plots.values(),
            self.gallery.broken.values(),
            importing,
            request.root,
            runs=runs,
            looking=looking,
        )
        tag = f'"{digest(page.encode())}"'
        return Response.unchanged(tag) if request.has(tag) else Response.html(page, ETag=tag)

    def form_view(self, request: Request, plot: Plot) -> Response:
        asked = self.studio.asked(plot, request.query)
        return self.form_again(request, asked, 403 if asked.status == 403 else 200)

    def page_view(self, request: Request, plot: Plot) -> Response:
        asked = self.studio.asked(plot, request.query)
        if asked.errors:
            return self.form_again(request, self.studio.checked(asked), asked.status if asked.typed else 200)
        if request.method == "HEAD":
            return replace(Response.html(""), drawn=False)
        drawing, started = self.studio.draw(asked, "png", SLOW_SECONDS, asker_of(request))
        if drawing and drawing.errors:
            return self.form_again(request, replace(asked, errors=drawing.errors), 400)
        showing = self.showing(request, asked, drawing, started)
        headers = {"ETag": self.tag(request, showing)} if drawing and showing.picture else {}
        if headers and request.has(headers["ETag"]):
            return self.unchanged(request, headers["ETag"])
        page = self.pages.get(headers.get("ETag", "")) or Response.html(plot_page(asked, showing, request.root))
        if headers and len(page.body) < PAGE_BYTES_KEPT:  # type: ignore[arg-type]
            self.pages = {headers["ETag"]: page, **dict(itertools.islice(self.pages.items(), PAGES_KEPT - 1))}
        if drawing is None or drawing.status == 200:
            return replace(page, headers=headers)
        if showing.picture:
            return replace(page, headers={**headers, "X-Plotsrv-Error": drawing.phrase})
        return replace(page, status=drawing.status, headers=drawing.headers)

    def showing(self, request: Request, asked: Asked, drawing: Drawing | None, started: float | None = None) -> Showing:
        """What a page can show of a plot at this moment."""
        good = drawing if drawing and drawing.status == 200 else self.studio.cache.good(asked.key("png"))
        told = drawing or good
        inputs = tuple((self.studio.folders.shown(each.path), each.stamp) for each in told.inputs) if told else ()
        outdated, silence = False, None
        if drawing and not drawing.volatile:
            slow = drawing.seconds >= SLOW_SECONDS
            outdated = slow and self.studio.cache.fresh(asked.key("png"), self.gallery.version) is not drawing
            silence = None if outdated else self.studio.rhythms.silence(drawing.inputs, time.time())
        unlive = self.why_not_live(request, asked, good)
        return Showing(drawing, good, started, silence_words(*silence) if silence else "", inputs, unlive, outdated)

    def why_not_live(self, request: Request, asked: Asked, picture: Drawing | None) -> str:
        """Why a page that was asked to be live refreshes itself instead; nothing where it need not."""
        if asked.page["refresh_every"] != LIVE or picture is None:
            return ""
        if picture.content_type not in RASTER_TYPES:
            return "browsers show no live pictures of this kind"
        return self.live.why_not(stream_name(asked), request.viewer)

    def tag(self, request: Request, showing: Showing) -> str:
        """The page's ETag, without making the page."""
        drawings = [each and each.fingerprint for each in (showing.drawing, showing.picture)]
        asked = (request.path, request.mount, request.query)
        state = (showing.silence, showing.unlive, showing.outdated)
        parts = (self.started, self.gallery.version, asked, drawings, state)
        return f'"{digest(repr(parts).encode())}"'

    def drawing_view(self, request: Request, plot: Plot, format: str) -> Response:
        asked = self.studio.asked(plot, request.query)
        if asked.errors:
            asked = self.studio.checked(asked)
            if request.prefers_html:
                return self.form_again(request, asked, asked.status)
            raise HTTPError(asked.status, in_one_line(asked.errors))
        if request.method == "HEAD":
            return Response(200, b"", FORMATS[format], drawn=False)
        drawing, _ = self.studio.draw(asked, format, None, asker_of(request))
        assert drawing  # without a limit, draw waits
        if drawing.status == 200:
            name = re.sub(r"[^A-Za-z0-9._-]", "_", plot.path)[:80] + "." + drawing.ending
            headers = {"Content-Disposition": f'inline; filename="{name}"', "ETag": drawing.tag}
            if request.has(drawing.tag):
                return Response.unchanged(drawing.tag)
            return Response(200, drawing.image, drawing.content_type, headers)
        if request.prefers_html:
            if drawing.errors:
                return self.form_again(request, replace(asked, errors=drawing.errors), 400)
            page = plot_page(asked, self.showing(request, asked, drawing), request.root)
            return Response.html(page, drawing.status, **drawing.headers)
        message = in_one_line(drawing.errors) or drawing.error
        raise HTTPError(drawing.status, message, X_Plotsrv_Error="plot", **drawing.headers)

    def live_view(self, request: Request, plot: Plot) -> Response:
        """The picture as an endless stream: each frame takes the place of the one before."""
        asked = self.studio.checked(self.studio.asked(plot, request.query))
        if asked.errors:
            raise HTTPError(asked.status, in_one_line(asked.errors))
        if request.method == "HEAD":
            return Response(200, b"", LIVE_TYPE, drawn=False)

        name, viewer = stream_name(asked), request.viewer
        if reason := self.live.why_not(name, viewer):
            raise HTTPError(503, f"No live picture: {reason}.", Retry_After="5")
        look = functools.partial(self.studio.look, plot, request.query)
        source = LiveSource(look, self.studio.remarked, self.studio.cache.good(asked.key("png")))
        frames = self.live.frames(name, viewer, source)
        return Response(200, frames, LIVE_TYPE, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    def form_again(self, request: Request, asked: Asked, status: int) -> Response:
        if status in REFUSALS:
            self.access.log.refused(request, status, in_one_line(asked.errors))
        page = form_page(asked, self.studio.choices(asked), request.root, show_errors=status != 200)
        return Response.html(page, status)


VIEWS: dict[str, Callable[[Application, Request, Plot], Response]] = {  # by what comes after a plot's path
    "": Application.page_view,
    "/form": Application.form_view,
    **{f".{format}": functools.partial(Application.drawing_view, format=format) for format in FORMATS},
    LIVE_ENDING: Application.live_view,
}


def asker_of(request: Request) -> Asker:
    return Asker(request.client, request.left)


def stream_name(asked: Asked) -> tuple:
    """What all the viewers of one live picture have in common."""
    return asked.plot.path, tuple(sorted(item for item in asked.typed.items() if item[0] != "refresh_every"))


# ---------------------------------------------------------------------------------------------------------------------
# 4 Pages: values in, HTML out; every value is escaped here.

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; --card: #f6f8fa;
  --link: #0550ae; --bad: #b3261e; --bad-paper: #fdecea; --note: #b58900; --note-paper: #fff8e1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #3d444d; --paper: #12161b;
  --card: #1b2128; --link: #79b8ff; --bad: #ff9d95; --bad-paper: #3b1a18; --note: #d4a72c;
  --note-paper: #33290f; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); overflow-wrap: anywhere;
  max-width: 64rem; margin: 0 auto; padding: 1rem; }
header { border-bottom: 1px solid var(--line); margin-bottom: 1rem; padding-bottom: .5rem; }
nav a { margin-right: 1rem; }
.lens { font-size: .875rem; line-height: 1.9; color: var(--soft); margin: .75rem 0; }
.lens span { display: inline-block; margin-right: 1.25rem; }
.lens a, .lens strong { margin-right: .4rem; } .lens strong { color: var(--ink); }
a { color: var(--link); } :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; } small { font-size: .875rem; } .soft, small { color: var(--soft); }
pre, .card, .picture { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
pre { padding: .75rem; overflow: auto; max-height: 24rem; font-size: .875rem; white-space: pre-wrap; }
.cards { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr));
  list-style: none; margin: 0; padding: 0; }
.runs { border-collapse: collapse; width: 100%; font-size: .875rem; }
.runs th, .runs td { text-align: left; vertical-align: top; padding: .35rem 1rem .35rem 0; }
.runs tr { border-bottom: 1px solid var(--line); } .runs td, .runs thead { color: var(--soft); }
.runs td:not(:nth-child(3)) { white-space: nowrap; }
@media (max-width: 45rem) { .runs thead { display: none; } .runs tr { display: block; padding: .5rem 0; }
  .runs th { display: block; padding: 0; } .runs td { display: inline; } }
.card { padding: .75rem 1rem; } .card a { font-weight: 600; } .card .aside { font-weight: 400; font-size: .875rem; }
.picture { background: #fff; display: block; max-width: 100%; height: auto; margin: .75rem 0; }
.live { background-size: 100% 100%; } .inputs ul { margin: .25rem 0; padding-left: 1.25rem; }
.error, .note { border-left: .3rem solid var(--bad); background: var(--bad-paper); border-radius: .25rem;
  padding: .5rem .75rem; margin: .75rem 0; }
.note { border-color: var(--note); background: var(--note-paper); }
fieldset { border: 1px solid var(--line); border-radius: .5rem; min-width: 0; }
.field { margin: 0 0 1.1rem; } fieldset .field { margin: 0 0 .5rem; } summary + .field { margin-top: .75rem; }
.field > label, legend { font-weight: 600; display: block; }
.field > .choice { font-weight: 400; display: inline-block; margin: .25rem 1.25rem .25rem 0; }
.changed > label:not(.choice)::after, .changed > legend::after { content: " \\2022"; color: var(--link); }
input, select, textarea, button { font: inherit; color: inherit; background: var(--paper); max-width: 100%;
  border: 1px solid var(--soft); border-radius: .375rem; padding: .4rem .6rem; min-height: 2.5rem; }
input:not([type=checkbox], [type=radio], [type=color]), textarea, select { width: 24rem; }
input[type=checkbox], input[type=radio] { width: 1.15rem; height: 1.15rem; min-height: 0; margin-right: .4rem;
  vertical-align: -.2rem; }
input[type=color] { padding: .1rem; width: 4rem; }
[aria-invalid] { border-color: var(--bad); outline: 1px solid var(--bad); }
.wrong { color: var(--bad); font-weight: 600; }
button { background: var(--link); color: var(--paper); border: 0; padding: .5rem 1.5rem; font-weight: 600; }
details { margin: .75rem 0; } summary, button { cursor: pointer; }
progress { width: 100%; max-width: 24rem; height: 1.25rem; }
"""

EXAMPLE = '''\
# plots/mine.py
import matplotlib.pyplot as plt

def plot_mine(freq: float = 1.0):
    """A parabola that follows its frequency"""
    figure, axes = plt.subplots()
    axes.plot([(freq * x / 50) ** 2 for x in range(100)])
    return figure
'''


class Html(str):
    """Text that is HTML already; all other text is escaped when it becomes part of a page."""


def h(tag: str, /, *content: Any, **attributes: Any) -> Html:
    """One element: ``h("a", "5 < 6", href="x")`` is ``<a href="x">5 &lt; 6</a>``.

    Of an attribute's name, ``_`` becomes ``-`` and a trailing one is dropped (``for_``). True stands for an attribute
    without value; None and False leave it out. Content may be nested in lists; None is nothing.
    """
    parts = [tag]
    for key, value in attributes.items():
        if value is not None and value is not False:
            key = key.rstrip("_").replace("_", "-")
            parts.append(key if value is True else f'{key}="{html.escape(str(value))}"')
    end = "" if tag in ("meta", "link", "input", "img", "br") else f"{inner(content)}</{tag}>"
    return Html(f"<{' '.join(parts)}>{end}")


def inner(content: Any) -> Html:
    """Content as HTML: text escaped, lists joined, None left out."""
    if content is None:
        return Html("")
    if isinstance(content, (list, tuple, Iterator)):
        return Html("".join(map(inner, content)))
    return content if isinstance(content, Html) else Html(html.escape(str(content)))


def document(title: str, root: str, *body: Any, refresh: float = 0, icon: str = "") -> str:
    """A whole page; `refresh` in seconds, 0 for never; `icon` is the inside of an SVG of 16 by 16."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{icon}</svg>'
    return Html("<!DOCTYPE html>\n") + h(
        "html",
        h(
            "head",
            h("meta", charset="utf-8"),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", http_equiv="refresh", content=f"{refresh:g}") if refresh else None,
            h("title", title),
            h("link", rel="icon", href="data:image/svg+xml," + urllib.parse.quote(svg) if icon else "data:,"),
            h("style", Html(STYLE)),
        ),
        h("body", h("header", h("nav", h("a", "Gallery", href=root), aria_label="plotsrv")), h("main", *body)),
        lang="en",
    )


def gallery_page(
    plots: Iterable[Plot],
    broken: Iterable[Broken],
    importing: Iterable[str],
    root: str,
    title: str = "Gallery",
    runs: RunList | None = None,
    looking: bool = False,
) -> str:
    """The runs found, and all plots, grouped by module, after the files that could not be imported."""
    modules: dict[str, list[Plot]] = {}
    for plot in plots:
        modules.setdefault(plot.module, []).append(plot)
    cards = [broken_card(file) for file in broken]
    cards += runs_part(runs, looking, root) if runs else []
    for module, group in sorted(modules.items(), key=lambda item: (item[1][0].source.package == SHIPPED, item[0])):
        cards.append(h("h2", module or "Plots"))
        cards.append(h("ul", [plot_card(plot, root) for plot in group], class_="cards"))
    waiting = sorted(importing)
    if waiting:
        cards.append(h("p", "Importing ", ", ".join(waiting), " …", class_="soft"))
    elif not modules and not cards:
        cards.append(first_steps())
    refresh = 1 if waiting or (looking and runs and not runs.runs) else GALLERY_SECONDS if runs and runs.runs else 0
    return document(f"{title} – plotsrv", root, h("h1", title), cards, refresh=refresh)


def runs_part(found: RunList, looking: bool, root: str) -> list[Html]:
    """The runs in the data folders, newest first; nothing where there are none."""
    notes = [h("p", h("small", sentence)) for sentence in found.left_out]
    if not found.runs:
        return [h("p", "Looking for training runs …", class_="soft")] if looking else notes
    shown, rest = found.runs[:RUNS_SHOWN], found.runs[RUNS_SHOWN:]
    more = h("details", h("summary", f"and {len(rest):,} more"), run_table(rest, root)) if rest else inner(None)
    return [h("h2", "Runs"), run_table(shown, root), more, *notes]


def run_table(runs: Sequence[Run], root: str) -> Html:
    head = [h("th", name, scope="col") for name in ("Run", "State", "Last values", "Format", "Last change")]
    return h("table", h("thead", h("tr", head)), h("tbody", [run_row(run, root) for run in runs]), class_="runs")


FINE, STALLED, FAILED, WAITING = "\u25cf", "\u26a0", "\u2717", "\u2026"
STATE_MARKS = {"growing": FINE, "done": "\u2713", "diverged": FAILED, "stalled": STALLED, "waiting": WAITING}


def run_row(run: Run, root: str) -> Html:
    """A run: its name leads to its curves, live; beside it are how it goes, what it reached, and when it changed."""
    query = urllib.parse.urlencode({"run": run.name, "refresh_every": LIVE})
    values = [f"{'…' * (len(name) > 30)}{name[-30:]} {value:.4g}" for name, value in run.values] or [run.note]
    told = [f"{STATE_MARKS.get(run.state, '')} {run.state}".strip(), ", ".join(values), run.format, moment(run.changed)]
    shown = os.path.basename(run.path) if run.name == "." else run.name  # a data folder that is a run itself
    name = h("th", h("a", shown, href=f"{root}{RUN_PLOT}?{query}"), scope="row", title=run.note or None)
    return h("tr", name, [h("td", text) for text in told])


def plot_card(plot: Plot, root: str) -> Html:
    address = root + urllib.parse.quote(plot.path)
    form = h("a", "form", href=address + "/form", class_="aside", aria_label=f"form of {plot.title}")
    line = h("div", h("a", plot.title, href=address), " ", form if any(leaves(plot.fields)) else None)
    return h("li", line, h("small", plot.summary) if plot.summary else None, class_="card")


def broken_card(file: Broken) -> Html:
    trace = h("details", h("summary", "Traceback"), h("pre", file.traceback)) if file.traceback else None
    return h("div", h("strong", file.name), " ", file.error, trace, class_="error", role="alert")


def first_steps() -> Html:
    return h(
        "section",
        h("h2", "Your first plot"),
        h("p", "No plots yet. Save this as ", h("code", "plots/mine.py"), " in the folder where you started plotsrv:"),
        h("pre", h("code", EXAMPLE)),
        h("p", "and reload this page: it will be listed here, with a form for ", h("code", "freq"), "."),
    )


# -- the form


def form_page(asked: Asked, choices: Mapping[str, list], root: str, show_errors: bool) -> str:
    """The form of a plot, filled with what was typed; where it was wrong, with the errors beside their fields."""
    plot, errors = asked.plot, asked.errors if show_errors else {}
    address = root + urllib.parse.quote(plot.path)
    own = [field_row(each, asked, errors, choices) for each in plot.fields if each.control != "none"]
    settings = [each for each in PAGE_FIELDS if each.name not in plot.names]
    first, *folded = [field_row(each, asked, errors, {}) for each in settings] or [inner(None)]
    unfold = any(each.name in errors or each.name in asked.typed for each in settings[1:])
    labels = {leaf.name: leaf.label for leaf in leaves((*plot.fields, *PAGE_FIELDS))}
    wrong = [h("li", h("a", labels.get(name, name), href=f"#{name}"), ": ", text) for name, text in errors.items()]
    summary = h("div", h("strong", "Please correct:"), h("ul", wrong), class_="error", role="alert") if wrong else None
    form = h(
        "form",
        own,
        first,
        h("details", h("summary", "The picture"), folded, open=unfold) if folded else None,
        h("p", h("button", "Show the plot"), " ", h("a", "Reset", href=address + "/form")),
        method="get",
        action=address,
    )
    return document(f"{plot.title} – plotsrv", root, heading(plot), noted(asked.notes), summary, form)


def heading(plot: Plot) -> Html:
    more = h("details", h("summary", "More"), h("pre", plot.description)) if plot.description else None
    return inner([h("h1", plot.title), h("p", plot.summary, class_="soft") if plot.summary else None, more])


def noted(notes: Iterable[str]) -> list[Html]:
    return [h("p", note, class_="note") for note in notes]


def field_row(each: Field, asked: Asked, errors: Mapping[str, str], choices: Mapping[str, list]) -> Html:
    """A label, its control, and what there is to say about it."""
    typed = asked.typed.get(each.name, each.texts)
    if each.control == "checkboxes" and len(choices.get(each.name, each.choices)) > 8:
        each = replace(each, control="select-multiple")
    if each.control == "checkbox":
        typed = typed[-1:]
    error = errors.get(each.name)
    hint = h("div", hints(each, typed), id=each.name + "-hint")
    wrong = h("div", each.label, ": ", error, class_="wrong", id=each.name + "-error") if error else None
    about = dict(aria_invalid="true" if error else None, aria_describedby=each.name + ("-error" if error else "-hint"))
    changed = "field changed" if each.name in asked.typed and typed != each.texts else "field"
    if each.parts:
        rows = [field_row(part, asked, errors, choices) for part in each.parts if part.control != "none"]
        return h("fieldset", h("legend", each.label), hint, rows, wrong, class_="field", id=each.name)
    if each.control in ("radios", "checkboxes"):
        boxes = choice_boxes(each, typed, choices.get(each.name, each.choices), about)
        return h("fieldset", h("legend", each.label), boxes, wrong, hint, class_=changed, id=each.name)
    label = h("label", each.label, for_=each.name)
    return h("div", label, control(each, typed, choices.get(each.name), about), wrong, hint, class_=changed)


def hints(each: Field, typed: tuple[str, ...]) -> list:
    """Beside a control: required or default, the allowed range, the help and the note."""
    shown = ", ".join(each.texts)
    parts = [h("span", "required. ") if each.required else None]
    if not each.required and typed != each.texts and not each.parts:
        parts.append(h("span", f"default: {shown[:60] or 'none'}{'…' * (len(shown) > 60)}. ", title=shown))
    parts += [h("span", text, " ") for text in (each.allowed, each.help, each.note) if text]
    more = h("details", h("summary", h("small", "More")), h("small", each.details)) if each.details else None
    return [h("small", parts), more]


def choice_boxes(each: Field, typed: tuple[str, ...], choices: Sequence[tuple[str, str]], about: dict) -> list[Html]:
    kind = "radio" if each.control == "radios" else "checkbox"
    boxes = [h("input", type="hidden", name=each.name, value="")] if kind == "checkbox" else []
    known = {text for text, _ in choices}
    for text, label in [*choices, *((text, text) for text in typed if text not in known)]:
        box = h("input", type=kind, name=each.name, value=text, checked=text in typed, **about)
        boxes.append(h("label", box, label, class_="choice"))
    return boxes


def control(each: Field, typed: tuple[str, ...], files: Sequence[tuple[str, str]] | None, about: dict) -> Html:
    """The control itself, showing the typed text whatever it is: a text field where the better one would drop it."""
    name, text = each.name, typed[0] if typed else ""
    common = dict(id=name, name=name, required=each.required, **about)
    choices = list(files if files is not None else each.choices)
    if each.control in ("select", "select-multiple"):
        known = {choice for choice, _ in choices}
        choices += [(one, one) for one in typed if one not in known]
        options = [h("option", label, value=value, selected=value in typed) for value, label in choices]
        if each.control == "select":
            return h("select", options, **common)
        marker = h("input", type="hidden", name=name, value="")
        return inner([marker, h("select", options, multiple=True, size=min(len(options), 12), **common)])
    if each.control == "checkbox":
        return inner(
            [
                h("input", type="hidden", name=name, value="0"),
                h("input", type="checkbox", value="1", checked=BOOLS.get(text.lower()), **{**common, "required": None}),
            ]
        )
    attributes = dict(each.attributes)
    if each.control == "textarea":  # the first newline of a textarea is not part of its text
        return h(
            "textarea",
            "\n" + text,
            rows=min(12, max(3, text.count("\n") + len(text) // 48 + 2)),
            **common,
            **attributes,
        )
    kind = each.control if PLAIN_TEXT.get(each.control, ANY_TEXT).fullmatch(text) else "text"
    box = h("input", type=kind, value=text, list=name + "-list" if choices else None, **common, **attributes)
    options = [h("option", value=value, label=label if label != value else None) for value, label in choices]
    return inner([box, h("datalist", options, id=name + "-list") if choices else None])


ANY_TEXT = re.compile(r"[\s\S]*")
PLAIN_TEXT = {  # what browsers show in these controls; anything else they would silently drop
    "number": re.compile(r"-?\d+(\.\d+)?|"),
    "date": re.compile(r"\d{4}-\d\d-\d\d|"),
    "time": re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?|"),
    "datetime-local": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?|"),
    "color": re.compile(r"#[0-9a-f]{6}"),
}


# -- the plot


@dataclass(frozen=True)
class Showing:
    """What there is to show of a plot at this moment."""

    drawing: Drawing | None  # None: it is under way
    picture: Drawing | None  # the drawing itself, or the last good one
    started: float | None = None  # when the drawing under way was
    silence: str = ""  # "no change for …", where the inputs used to change more often
    inputs: tuple[tuple[str, Stamp | None], ...] = ()
    unlive: str = ""  # why it has no stream
    outdated: bool = False  # the inputs have changed since; a slow drawing is shown for as long as it took

    @property
    def state(self) -> str:
        """The mark in title and favicon: a key of ICONS."""
        if self.drawing is None or self.drawing.status == 404:
            return WAITING
        if self.drawing.status != 200:
            return FAILED
        mark = self.drawing.headline[:1]  # of a run that has diverged, for one
        return STALLED if self.silence else mark if mark in ICONS else FINE

    def title(self, name: str) -> str:
        """The state, what is worth telling of it, and the plot's name: for a tab in the background."""
        drawing, state = self.drawing, self.state
        if drawing and drawing.status == 200 and not self.silence:
            told = drawing.headline.removeprefix(state).strip()
        else:
            told = {STALLED: "stalled", FAILED: "error", WAITING: "waiting" if drawing else "drawing"}[state]
        return f"{state} {told} – {name}" if told else f"{state} {name}"


ICONS = {
    FINE: '<circle cx="8" cy="8" r="6" fill="#2da44e"/>',
    STALLED: '<path d="M8 1 15.5 15H.5z" fill="#d4a72c"/>',
    FAILED: '<path d="m3 3 10 10M13 3 3 13" stroke="#d1242f" stroke-width="3"/>',
    WAITING: '<circle cx="8" cy="8" r="5" fill="none" stroke="#8c959f" stroke-width="3"/>',
}


def plot_page(asked: Asked, showing: Showing, root: str) -> str:
    """The picture, or the last good one under what went wrong since, or the progress of a slow drawing."""
    plot, drawing, shown = asked.plot, showing.drawing, showing.picture
    refresh = seconds_to_refresh(asked, showing)
    problem = problem_part(drawing) if drawing and drawing.status != 200 else None
    body = [heading(plot), noted(asked.notes), problem]
    if drawing is None:
        body.append(progress_part(showing.started or time.time(), shown))
    if shown and shown.content_type != IMAGE_TYPES["pdf"]:  # which no <img> shows
        body.append(picture_part(asked, showing, shown, root))
    said = caption(asked, showing, refresh)
    body.append(h("p", h("small", said)) if said else None)
    body += [h("p", h("small", note)) for note in (shown.notes if shown else ())]
    body.append(lens_part(asked, root) if shown and not shown.own and has_figures() else None)
    body.append(freshness_part(showing))
    body.append(links_part(asked, shown, root))
    told = drawing or shown
    if told and told.output:
        body.append(h("details", h("summary", "What the plot printed"), h("pre", told.output), open=True))
    return document(showing.title(plot.title), root, body, refresh=refresh, icon=ICONS[showing.state])


def caption(asked: Asked, showing: Showing, refresh: float) -> str:
    """One sentence: from when the picture is, and how the page keeps up."""
    shown, parts = showing.picture, []
    if shown:
        last = "the last good picture, " if showing.drawing and showing.drawing.status != 200 else ""
        parts.append(f"{last}drawn {moment(shown.drawn_at)} in {shown.seconds:.2f} s")
    if showing.outdated:
        parts.append("the data have changed since")
    if showing.drawing and is_live(asked, showing):
        parts.append(f"live: a new picture as soon as the data change, all else every {refresh:g} s")
    elif showing.drawing and refresh:
        why = f", since {showing.unlive}" if showing.unlive else ""
        parts.append(f"the page refreshes itself every {refresh:g} s{why}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def seconds_to_refresh(asked: Asked, showing: Showing) -> float:
    """After how many seconds a page shall reload itself; 0 for never."""
    if showing.drawing is None:
        return 1
    every: float | str = asked.page["refresh_every"]
    if every == LIVE:
        every = RENEW_SECONDS if is_live(asked, showing) else FALLBACK_SECONDS
    if showing.outdated:
        return min(float(every), max(FALLBACK_SECONDS, showing.drawing.seconds))
    longest = AWAITED_SECONDS if showing.drawing.status == 404 else math.inf
    return min(float(every), longest)


def is_live(asked: Asked, showing: Showing) -> bool:
    """Does the page show a stream? One with a problem reloads itself instead, and so tells when it is over."""
    fine = showing.drawing is not None and showing.drawing.status == 200
    return fine and asked.page["refresh_every"] == LIVE and not showing.unlive


def picture_part(asked: Asked, showing: Showing, shown: Drawing, root: str) -> Html:
    """The picture, inside the page, so that a refresh never blanks it; a live one behind its stream."""
    alt = f"{asked.plot.title}: {asked.plot.summary or 'plot'}"
    if not is_live(asked, showing):
        return h("img", src=shown.data_uri(), alt=alt, class_="picture")
    address = root + urllib.parse.quote(asked.plot.path) + LIVE_ENDING + query_text(asked)
    behind = f"background-image: url({shown.data_uri()})"
    width, height = shown.pixels
    return h("img", src=address, alt=alt, class_="picture live", style=behind, width=width, height=height)


def query_text(asked: Asked, **changed: str) -> str:
    """The query as it came, but for what nobody knows; some of it changed, or left out where that is empty."""
    typed = {name: texts for name, texts in asked.typed.items() if name not in changed}
    typed |= {name: (text,) for name, text in changed.items() if text}
    pairs = [(name, text) for name, texts in typed.items() for text in texts]
    return "?" + urllib.parse.urlencode(pairs) if pairs else ""


# The lens as links: a field, what it is called, and its texts with their labels; an empty text leaves the figure as is.
LENS_LINKS = {
    "smooth": ("Smoothing", {"": "off", "0.6": "0.6", "0.9": "0.9", "0.99": "0.99"}),
    "logx": ("Log x", {"": "as it is", "1": "on", "0": "off"}),
    "logy": ("Log y", {"": "as it is", "1": "on", "0": "off"}),
    "last": ("Points", {"": "all", "50%": "last 50%", "10%": "last 10%"}),
    "xlim": ("x", {"": "all"}),
    "ylim": ("y", {"": "all", "0:": "from 0"}),
    "theme": ("Theme", {"": "default", "light": "light", "dark": "dark"}),
}


def lens_part(asked: Asked, root: str) -> Html:
    """TensorBoard's controls as plain links, each of which changes one thing in the URL: no form field that a page
    which refreshes itself would empty. What is set now is marked.
    """
    rows, defaults = [], {each.name: each.default for each in PAGE_FIELDS}
    for name, (label, texts) in LENS_LINKS.items():
        now = asked.typed.get(name, ("",))[-1] if asked.page[name] != defaults[name] else ""
        if name in asked.plot.names or (len(texts) == 1 and not now):
            continue
        texts = {**texts, now: now} if now not in texts else texts
        links = [lens_link(asked, root, text, shown, name, text == now) for text, shown in texts.items()]
        rows.append(h("span", label, ": ", links))
    return h("nav", rows, aria_label="lens", class_="lens")


def lens_link(asked: Asked, root: str, text: str, shown: str, name: str, is_set: bool) -> Html:
    if is_set:
        return h("strong", shown, aria_current="true")
    return h("a", shown, href=root + urllib.parse.quote(asked.plot.path) + query_text(asked, **{name: text}))


def freshness_part(showing: Showing) -> list[Html]:
    """Which files were read, how large they are and when they changed last; and whether that is long ago."""
    lines = [h("p", showing.silence[0].upper() + showing.silence[1:] + ".", class_="note")] if showing.silence else []
    items = [h("li", h("small", input_words(path, stamp))) for path, stamp in showing.inputs]
    if items:
        first, rest = items[:INPUTS_SHOWN], items[INPUTS_SHOWN:]
        more = h("details", h("summary", h("small", f"and {len(rest):,} more")), h("ul", rest)) if rest else None
        lines.append(h("section", h("small", "Inputs:"), h("ul", first), more, class_="inputs"))
    return lines


def input_words(path: str, stamp: Stamp | None) -> str:
    if stamp is None:
        return f"{path}: not there"
    size = "" if stat.S_ISDIR(stamp.mode) else f"{in_words(stamp.size, BYTES)}, "
    return f"{path}: {size}last changed {moment(stamp.changed_ns / 1e9)}"


def silence_words(silence: float, usual: float) -> str:
    """How long nothing has changed; told in doubling steps, so that the page stays the same for as long."""
    unit = next(seconds for seconds in (86400, 3600, 60, 5) if silence >= seconds)
    steps = unit * 2 ** int(math.log2(silence / unit))
    every = in_words(usual, AGES) if usual >= 1 else f"{usual:.1g} s"
    return f"no change for over {in_words(steps, AGES)}; it used to change every {every}"


def problem_part(drawing: Drawing) -> Html:
    trace = h("pre", drawing.traceback) if drawing.traceback else None
    return h(
        "div", h("strong", drawing.error), trace, class_="note" if drawing.status == 404 else "error", role="alert"
    )


def progress_part(started: float, good: Drawing | None) -> Html:
    """How long a drawing has been under way, and how long it took last."""
    seconds = max(0, time.time() - started)
    if not good:
        return h(
            "p", h("progress", id="progress"), h("br"), h("label", f"Drawing for {seconds:.0f} s.", for_="progress")
        )
    bar = h("progress", value=f"{min(seconds, good.seconds):.1f}", max=f"{good.seconds:.1f}", id="progress")
    text = f"Updating for {seconds:.0f} s; it took {good.seconds:.0f} s last time."
    return h("p", bar, h("br"), h("label", text, for_="progress"))


def links_part(asked: Asked, shown: Drawing | None, root: str) -> Html:
    """Links to the form and to the picture alone, with the same arguments; defaults are left out."""
    address, query = root + urllib.parse.quote(asked.plot.path), query_text(asked)
    endings = FORMATS if has_figures() else IMAGE_TYPES
    endings = {"png": ""} if shown and shown.own else endings  # .png serves any picture that is one already
    links = [h("a", "Form", href=f"{address}/form{query}")] if any(leaves(asked.plot.fields)) or query else []
    if not links:
        links = [h("a", "Settings", href=f"{address}/form")]
    links += [
        h("a", shown.ending.upper() if shown and shown.own else ending.upper(), href=f"{address}.{ending}{query}")
        for ending in endings
    ]
    return h("nav", links, aria_label="this plot")


def error_page(status: int, message: str, root: str, refresh: float = 0) -> str:
    title = f"{status} {HTTPStatus(status).phrase}"
    told = h("p", message, class_="error", role="alert")
    return document(f"{title} – plotsrv", root, h("h1", title), told, refresh=refresh)


def error_picture(message: str) -> bytes:
    """The message as an SVG, for an <img>: it shows why there is no picture."""
    readable = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", message)  # XML knows no other
    lines = textwrap.wrap(readable, 70, max_lines=16, placeholder=" …")
    texts = [h("text", line, x=20, y=44 + 24 * n) for n, line in enumerate(lines)]
    box = h("rect", width=640, height=480, fill="#fdecea")
    size = dict(xmlns="http://www.w3.org/2000/svg", width=640, height=480, font_family="sans-serif", font_size=16)
    return h("svg", box, h("g", texts, fill="#b3261e"), role="img", **size).encode()


# ---------------------------------------------------------------------------------------------------------------------
# 5 Live: one drawing, many viewers; a stream ends when its viewer leaves.
#
#     a watcher's thread: look (draw) -> publish -> wait until the drawing is no longer current -> look …
#     a stream's thread:  frames -> door -> browser

LIVE_TYPE = "multipart/x-mixed-replace; boundary=frame"
RASTER_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")  # what may take each other's place in an <img>


class LiveSource(typing.NamedTuple):
    """Where a live picture comes from."""

    look: Callable[[], tuple[Drawing, Callable[[], bool]]]  # the drawing of this moment; and: is it still current?
    remark: Callable[[Drawing, Drawing], Drawing]  # a good picture, with what has gone wrong since written on it
    good: Drawing | None = None  # the last good picture, as far as there is one already


class Watcher:
    """One plot with its arguments, drawn anew as soon as what it read has changed, for all who look at it."""

    def __init__(self, source: LiveSource):
        self.source = source
        self.good = source.good or Drawing()  # the last good picture
        self.frame = Drawing()  # what is shown
        self.number = 0  # of the frame, counted from 1
        self.changed = threading.Condition()  # notified with each new frame
        self.viewers = 0
        self.left_at = 0.0  # when the last viewer left

    @property
    def is_wanted(self) -> bool:
        return self.viewers > 0 or time.monotonic() - self.left_at < LINGER_SECONDS

    def watch(self) -> None:
        """Draw, publish, wait until that is no longer current, and begin again, for as long as somebody looks."""
        failing_since, remarked = math.inf, ""
        while self.is_wanted:
            began = time.monotonic()
            drawing, is_current = self.source.look()
            until = math.inf
            if drawing.volatile:
                until, is_current = began + max(VOLATILE_SECONDS, 2 * drawing.seconds), lambda: True
            if drawing.status == 200:
                self.good, failing_since, remarked = drawing, math.inf, ""
                self.publish(drawing)
            elif self.good.image and drawing.error != remarked:
                failing_since = min(failing_since, began)
                if self.wait_while(is_current, min(until, failing_since + REMARK_SECONDS)) and self.is_wanted:
                    remarked = drawing.error
                    self.publish(self.source.remark(self.good, drawing))
            self.wait_while(is_current, until)
            time.sleep(max(0, began + APART_SECONDS - time.monotonic()))

    def publish(self, drawing: Drawing) -> None:
        """Make a drawing the frame that viewers get; an equal picture is none."""
        if drawing.image != self.frame.image:
            with self.changed:
                self.frame = drawing
                self.number += 1
                self.changed.notify_all()

    def wait_while(self, is_current: Callable[[], bool], until: float) -> bool:
        """Wait until then, or until the drawing is no longer current; True where it still is.

        Looking takes a twentieth of the time at most.
        """
        while self.is_wanted and (left := until - time.monotonic()) > 0:
            began = time.perf_counter()
            if not is_current():
                return False
            time.sleep(min(left, max(POLL_SECONDS, 20 * (time.perf_counter() - began))))
        return True

    def next_frame(self, seen: int, seconds: float) -> tuple[int, Drawing]:
        """The frame after the one with this number; the same again where none comes within so many seconds."""
        with self.changed:
            self.changed.wait_for(lambda: self.number != seen, seconds)
            return self.number, self.frame


@dataclass(eq=False)
class Stream:
    """One viewer's connection."""

    name: tuple  # of the plot and its arguments
    viewer: tuple[str, str]  # address and User-Agent
    watcher: Watcher
    ended: bool = False


class Live:
    """All the streams there are: at most `limit` for each viewer, whose browser opens no more than six connections."""

    def __init__(self, limit: int):
        self.limit = limit
        self.streams: list[Stream] = []
        self.watchers: dict[tuple, Watcher] = {}
        self.promised: dict[tuple, float] = {}  # places, by name and viewer, and since when
        self.lock = threading.Lock()

    def why_not(self, name: tuple, viewer: tuple[str, str]) -> str:
        """Why this viewer may have no further stream; nothing where it may: then a place is kept for it for a while.

        A stream of the same name would give way to the new one, as when a page is reloaded.
        """
        if not self.limit:
            return "there are no live pictures here"
        now = time.monotonic()
        with self.lock:
            self.promised = {key: since for key, since in self.promised.items() if now - since < LINGER_SECONDS}
            names = [stream.name for stream in self.streams if stream.viewer == viewer and not stream.ended]
            names += [each for each, whose in self.promised if whose == viewer and each not in names]
            if len(names) >= self.limit and name not in names:
                return f"this browser has {self.limit} live pictures already"
            if len(self.streams) >= STREAMS_IN_ALL and name not in names:
                return f"{STREAMS_IN_ALL} live pictures are being looked at already"
            self.promised[name, viewer] = now
        return ""

    def frames(self, name: tuple, viewer: tuple[str, str], source: LiveSource) -> Iterator[bytes]:
        """The chunks of a stream, for as long as somebody takes them; empty ones while nothing changes.

        A browser shows a part only when it has got the header of the next one.
        """
        stream = self.enter(name, viewer, source)
        try:
            seen, sent_at, kind = 0, 0.0, ""
            while not stream.ended:
                number, frame = stream.watcher.next_frame(seen, HEARTBEAT_SECONDS)
                repeat = number and time.monotonic() - sent_at > REPEAT_SECONDS  # proxies cut silent connections
                if number == seen and not repeat:
                    yield b""
                    continue
                kind = kind or frame.content_type
                part = f"--frame\r\nContent-Type: {kind}\r\n\r\n".encode()
                yield (b"" if seen else part) + frame.image + b"\r\n" + part
                seen, sent_at = number, time.monotonic()
        finally:
            self.leave(stream)

    def enter(self, name: tuple, viewer: tuple[str, str], source: LiveSource) -> Stream:
        with self.lock:
            theirs = [stream for stream in self.streams if stream.viewer == viewer and not stream.ended]
            if len(theirs) >= self.limit:
                for stream in [stream for stream in theirs if stream.name == name][:1]:
                    stream.ended = True
            if name not in self.watchers:
                self.watchers[name] = Watcher(source)
                threading.Thread(target=self.watch, args=(name,), name="watcher", daemon=True).start()
            self.promised.pop((name, viewer), None)
            stream = Stream(name, viewer, self.watchers[name])
            stream.watcher.viewers += 1
            self.streams.append(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        with self.lock:
            self.streams.remove(stream)
            stream.watcher.viewers -= 1
            stream.watcher.left_at = time.monotonic()

    def watch(self, name: tuple) -> None:
        """A watcher's thread: it ends some time after the last viewer has left; where it fails, so do its streams."""
        watcher = self.watchers[name]
        try:
            while not self.forget(name):
                watcher.watch()
        finally:
            with self.lock:
                if self.watchers.get(name) is watcher:
                    del self.watchers[name]
                    for stream in self.streams:
                        stream.ended |= stream.watcher is watcher

    def forget(self, name: tuple) -> bool:
        """Forget a watcher, unless somebody wants it after all; whether it is forgotten."""
        with self.lock:
            if self.watchers[name].is_wanted:
                return False
            del self.watchers[name]
            return True

    def close(self) -> None:
        with self.lock:
            for stream in self.streams:
                stream.ended = True


# ---------------------------------------------------------------------------------------------------------------------
# 6 Studio: from what a query asks for to a drawing, made or kept.

Query = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Asked:
    """What a query asks of a plot, checked as far as that goes without the user's types."""

    plot: Plot
    typed: Mapping[str, tuple[str, ...]]  # as it came, to be shown in the form again
    texts: Mapping[str, tuple[str, ...]]  # what the plot gets: without defaults, files found
    page: Mapping[str, Any]  # refresh_every, and the lens
    sent: tuple[str, ...] = ()  # free texts of the browser's that a plot might make a path or an address of
    missing_file: str = ""  # a file that is not there yet, as it was typed
    notes: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    status: int = 400  # where there are errors; 403 where a path is among them that may not be read

    def key(self, format: str) -> tuple:
        return (self.plot.path, tuple(sorted(self.texts.items())), format, *self.lens.values())

    @property
    def lens(self) -> dict[str, Any]:
        """What is asked of the finished figure."""
        return {name: self.page[name] for name in LENS}


class Asker(typing.NamedTuple):
    """Who asks for a drawing."""

    client: str = ""  # the address; each has so many places in the queue
    left: Callable[[], bool] = lambda: False  # tells whether they have gone meanwhile


NOBODY = Asker()  # in particular


class Studio:
    """Where drawings come from: it knows plots, files, and what has been drawn, but no request and no response."""

    def __init__(self, gallery: Gallery, renderer: Renderer, cache: DrawingCache, folders: DataFolders):
        self.gallery = gallery
        self.renderer = renderer
        self.cache = cache
        self.folders = folders
        self.rhythms = Rhythms()
        self.runs = RunList(renderer, folders)

    def asked(self, plot: Plot, query: Query) -> Asked:
        """The query sorted out: what is the plot's, what the page's, what nobody knows; files looked up."""
        settings = [setting for setting in PAGE_FIELDS if setting.name not in plot.names]
        fields = {leaf.name: leaf for leaf in leaves((*plot.fields, *settings))}
        typed = {name: texts for name, texts in query.items() if name in fields}
        notes = tuple(unknown_note(name, fields) for name in query if name not in fields)
        texts: dict[str, tuple[str, ...]] = {}
        errors: dict[str, str] = {}
        sent: list[str] = []
        status = 400
        for name, leaf in fields.items():
            try:
                given = given_texts(leaf, typed.get(name))
                if leaf.paths is not None:
                    given = self.paths_given(leaf, given)
                elif leaf.free_text and given:
                    sent += self.paths_sent(leaf, given[0])
            except ValueError as error:
                errors[name] = str(error)
            except HTTPError as refusal:
                errors[name], status = refusal.message, refusal.status
            else:
                if given is not None:
                    texts[name] = given
        page = page_values(settings, texts, errors)
        missing = self.folders.shown(next(self.missing_paths(fields.values(), texts), ""))
        return Asked(plot, typed, texts, page, tuple(sent), missing, notes, errors, status)

    def paths_given(self, leaf: Field, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The paths of the files that a field's texts name; where it has none, of those that its default stands for."""
        if not given and any(text == LATEST or "*" in text for text in leaf.texts):
            given = leaf.texts
        if not given or given == ("",):
            return given
        return tuple(dict.fromkeys(path for text in given for path in self.paths_found(leaf, text)))

    def paths_found(self, leaf: Field, text: str) -> list[str]:
        """The paths that one text stands for: several where it is a pattern, and the field takes several."""
        assert leaf.paths is not None
        awaited = os.path.join(self.folders.folders[0], "a training log")
        if leaf.paths == RUNS and text == LATEST:
            return self.runs.latest() or [awaited]
        path = self.folders.find(text, leaf.paths)
        if not (leaf.multiple and re.search(r"[*?[]", text)) or os.path.lexists(path):
            return [path]
        found = self.runs.matching(text) if leaf.paths == RUNS else []
        if leaf.paths == RUNS and text == "*":  # all runs, and nothing else
            return found[:FILES_SHOWN] or [awaited]
        return (found or [path for path, _ in self.folders.files([text])])[:FILES_SHOWN] or [path]

    def paths_sent(self, leaf: Field, text: str) -> list[str]:
        """What a free text has that a plot could make a path of; refused where that would lead outside."""
        pieces = text_pieces(leaf, text)
        self.folders.refuse_paths(pieces)
        return [piece for piece in pieces if piece.strip(".") or piece == ".."]

    def missing_paths(self, fields: Iterable[Field], texts: Query) -> Iterator[str]:
        """The files asked for that are not there yet."""
        for leaf in fields:
            if leaf.paths is not None:
                yield from (path for path in texts.get(leaf.name, ()) if path and not os.path.exists(path))

    def checked(self, asked: Asked) -> Asked:
        """With what only a render process can say of the arguments: all errors are told at once."""
        if not asked.typed:
            return asked
        try:
            flight = self.renderer.submit(
                ("check", asked.key(""), self.gallery.version), Job("check", asked.plot, asked.texts)
            )
            found: Mapping[str, str] = flight.wait(SLOW_SECONDS).errors
        except (QueueFull, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            found = {}  # all processes are busy: what is known already is told at once
        return replace(asked, errors={**found, **asked.errors})

    def draw(
        self, asked: Asked, format: str, wait: float | None, asker: Asker = NOBODY
    ) -> tuple[Drawing | None, float | None]:
        """The drawing, or None and when it was started where `wait` seconds did not suffice.

        The first one that fails, on a file that is just being written, is made again a moment later; an error that
        lasts holds nobody up.
        """
        kept = self.cache.find(asked.key(format))
        pauses = iter(HALF_FILE_PAUSES if kept and kept.drawing.status == 200 else ())
        while True:
            drawing, started = self.draw_once(asked, format, wait, asker)
            pause = next(pauses, 0) if drawing and is_momentary(drawing) else 0
            if not pause:
                return drawing, started
            time.sleep(pause)

    def draw_once(
        self, asked: Asked, format: str, wait: float | None, asker: Asker
    ) -> tuple[Drawing | None, float | None]:
        if asked.missing_file:
            return Drawing(status=404, error=waiting_for(asked.missing_file), volatile=False), None
        asked_at, key, version = time.time(), asked.key(format), self.gallery.version
        if fresh := self.cache.fresh(key, version, on_page=wait is not None):
            return fresh, None
        folders = tuple(self.folders.folders)
        job = Job("draw", asked.plot, asked.texts, format, asked.lens, sent=asked.sent, folders=folders)
        find, keep = functools.partial(self.cache.fresh, key, version), functools.partial(self.drawn, key, version)
        while True:
            try:
                flight = self.renderer.submit((key, version), job, find, keep, asker.client)
                drawing: Drawing = flight.wait(wait, asker.left)
            except QueueFull as error:
                return Drawing(status=503, error=str(error), headers={"Retry-After": "2"}), None
            except concurrent.futures.TimeoutError:
                return None, flight.started
            except concurrent.futures.CancelledError:
                if not (self.renderer.closed or asker.left()):  # somebody else has left just then
                    continue
                return Drawing(status=503, error="plotsrv is shutting down, or nobody waits any more."), None
            if flight.started >= asked_at or drawing.volatile or self.cache.fresh(key, version):
                return drawing, None  # else it was begun before we asked, and its inputs have changed since

    def drawn(self, key: tuple, version: int, drawing: Drawing) -> None:
        """Keep what came of a drawing, also where nobody has waited for it."""
        self.gallery.watch(drawing.code)
        self.rhythms.see(drawing.inputs)
        if len(drawing.image) <= KEPT_BYTES or drawing.content_type not in DATA_TYPES.values():
            self.cache.keep(key, version, drawing)

    def choices(self, asked: Asked) -> dict[str, list[tuple[str, str]]]:
        """For each field that takes a file: the files there are, newest first, with size and age."""
        fields = leaves(asked.plot.fields)
        return {leaf.name: self.choices_of(leaf, leaf.paths) for leaf in fields if leaf.paths is not None}

    def choices_of(self, leaf: Field, patterns: tuple[str, ...]) -> list[tuple[str, str]]:
        return self.runs.choices(leaf.multiple) if patterns == RUNS else self.folders.choices(patterns)

    def look(self, plot: Plot, query: Query) -> tuple[Drawing, Callable[[], bool]]:
        """The drawing as it is now, and a function that tells whether it still is: for watchers."""
        self.gallery.refresh(SLOW_SECONDS, [plot.path])
        asked = self.asked(self.gallery.plots.get(plot.path, plot), query)
        if asked.errors:
            return Drawing(status=asked.status, error="The arguments are wrong."), lambda: False
        drawing, _ = self.draw(asked, "png", wait=None)
        assert drawing  # without a limit, draw waits

        asked_at = time.monotonic()

        def is_current() -> bool:
            nonlocal asked_at
            self.gallery.refresh(wait=0)
            if asked.missing_file or time.monotonic() - asked_at > LATEST_SECONDS:
                asked_at = time.monotonic()
                again = self.asked(asked.plot, query)
                if (again.texts, again.missing_file) != (asked.texts, asked.missing_file):
                    return False
            key, version = asked.key("png"), self.gallery.version
            return bool(asked.missing_file) or self.cache.fresh(key, version) is drawing

        return drawing, is_current

    def remarked(self, good: Drawing, failed: Drawing) -> Drawing:
        """A good picture with what has gone wrong since written on it; itself where that cannot be done."""
        text = f"{failed.error.rstrip('.')}. The picture is from {moment(good.drawn_at)}."
        try:
            job = Job("remark", None, picture=good.image, remark=text)
            made: Drawing = self.renderer.submit((good.tag, text), job).wait()
        except (QueueFull, concurrent.futures.CancelledError):
            return good
        return replace(good, image=made.image) if made.status == 200 else good


def is_momentary(drawing: Drawing) -> bool:
    """Has a drawing failed on a file that changed a moment ago, and may be half-written?"""
    changed = max((each.stamp.changed_ns / 1e9 for each in drawing.inputs if each.stamp), default=0)
    return drawing.status in (404, 500) and time.time() - changed < HALF_FILE_SECONDS


def page_values(settings: Iterable[Field], texts: dict[str, tuple[str, ...]], errors: dict[str, str]) -> dict:
    """What the page's own fields are set to; their texts are taken out, and wrong ones told."""
    values = {setting.name: setting.default for setting in PAGE_FIELDS}
    for setting in settings:
        if setting.name in texts:
            try:
                values[setting.name] = setting.read(texts.pop(setting.name)[0])
            except ValueError as error:
                errors[setting.name] = str(error)
    return values


def unknown_note(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"Nothing here is called {name[:80]}.{hint}"


# ---------------------------------------------------------------------------------------------------------------------
# 7 Rendering: the only place where a plot is called, never in the server's own process.
#
#     request threads -> Renderer.submit -> flight (one for equal requests) -> pool thread
#     pool thread -> RenderProcess.ask == Job ==> work_off: import, bind, call, figure_bytes
#     pool thread <- Drawing, or what became of the process <== Drawing ==

STARTING = threading.Lock()  # while a process starts, the environment and the main module are not what they seem
PROCESSES = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
PR_SET_CHILD_SUBREAPER = 36  # as in Linux's prctl.h
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True)
class Job:
    """What a render process is asked to do: describe a file, check arguments, draw a plot, or remark on a picture."""

    task: str  # a key of TASKS
    subject: Source | Plot | None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    format: str = "png"
    lens: Mapping[str, Any] = field(default_factory=dict)
    sent: tuple[str, ...] = ()  # by the browser: no path or address outside
    folders: tuple[str, ...] = ()  # these
    picture: bytes = b""  # to write a remark on
    remark: str = ""


@dataclass(frozen=True)
class Drawing:
    """What came of calling a plot: a picture, or what went wrong, and what was printed meanwhile."""

    image: bytes = b""
    content_type: str = IMAGE_TYPES["png"]
    own: bool = False  # the plot made the picture itself: there is no other format of it
    status: int = 200
    error: str = ""  # one line
    traceback: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)  # by field, where the arguments were wrong
    output: str = ""
    seconds: float = 0.0
    drawn_at: float = 0.0  # seconds since the epoch
    inputs: tuple[Input, ...] = ()  # what the plot read
    volatile: bool = True  # the inputs do not tell when it must be drawn anew
    code: tuple[Input, ...] = ()  # the user's files that the process had imported by then
    headline: str = ""  # what is worth a place in the page's title
    notes: tuple[str, ...] = ()  # on how it was drawn
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def phrase(self) -> str:
        return HTTPStatus(self.status).phrase

    @property
    def ending(self) -> str:
        return re.split("[+;]", self.content_type.partition("/")[2])[0]

    @property
    def size(self) -> int:
        """Bytes, roughly, that keeping it takes."""
        texts = len(self.image) + len(self.output) + len(self.traceback)
        return 1000 + 600 * (len(self.inputs) + len(self.code)) + texts

    @property
    def pixels(self) -> tuple[int | None, int | None]:
        """Width and height of a PNG."""
        if self.content_type != IMAGE_TYPES["png"] or len(self.image) < 24:
            return None, None
        return png_size(self.image)

    @functools.cached_property
    def fingerprint(self) -> str:
        """What differs from any other drawing that a page might show."""
        told = (self.status, self.error, self.traceback, self.output, self.headline, self.seconds, self.drawn_at)
        return digest(self.image + repr(told).encode())

    @functools.cached_property
    def tag(self) -> str:
        """The ETag of the picture alone."""
        return f'"{digest(self.image)}"'

    def data_uri(self) -> str:
        return f"data:{self.content_type};base64,{base64.b64encode(self.image).decode()}"


class QueueFull(Exception):
    """More drawings are waiting than anybody would wait for."""


class RenderFailure(Exception):
    """A render process gave no answer."""

    def __init__(self, status: int, message: str, output: str = "", innocent: bool = False, begun: bool = True):
        super().__init__(message)
        self.status = status
        self.output = output
        self.innocent = innocent  # the job is not to blame: it may be tried again
        self.begun = begun  # the job, which else costs no try


@dataclass
class Flight:
    """A job under way, shared by all who asked for the same."""

    future: concurrent.futures.Future[Any]
    started: float
    client: str = ""  # whose it is: that of the first
    waiting: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def wait(self, seconds: float | None = None, left: Callable[[], bool] = lambda: False) -> Answer:
        """The answer to the job. A job that has not begun is cancelled when all who waited for it have left.

        Raises TimeoutError after so many seconds, and CancelledError.
        """
        until = math.inf if seconds is None else time.monotonic() + seconds
        with self.lock:
            self.waiting += 1
        gone = False
        try:
            while not gone:
                try:
                    return self.future.result(max(0, min(until - time.monotonic(), LEFT_SECONDS)))
                except concurrent.futures.TimeoutError:
                    if time.monotonic() >= until:
                        raise
                    gone = left()
            raise concurrent.futures.CancelledError
        finally:
            with self.lock:
                self.waiting -= 1
                if gone and not self.waiting:
                    self.future.cancel()


Answer = Any  # what a task gives: a Drawing, a Description, or FoundRuns
Find = Callable[[], Answer]
Keep = Callable[[Answer], None]


class Renderer:
    """Render processes, at most `workers`; each does one job at a time, within `timeout` seconds, or is replaced.

    Together they may hold so many bytes of `memory`: the largest is ended where they hold more.
    """

    def __init__(self, workers: int = 2, timeout: float = TIMEOUT_SECONDS, memory: float = math.inf):
        self.timeout = timeout
        self.memory = memory
        self.pool = concurrent.futures.ThreadPoolExecutor(workers, "render")
        self.lock = threading.Lock()
        self.flights: dict[Any, Flight] = {}
        self.idle: list[RenderProcess] = []  # the one that worked last comes last
        self.busy: set[RenderProcess] = set()
        self.generation = 0  # of the user's code
        self.closed = False

    def submit(
        self, key: Any, job: Job, find: Find = lambda: None, keep: Keep = lambda result: None, client: str = ""
    ) -> Flight:
        """Start `job`, or join the equal one that is under way.

        `find` may know what would come of it, from one that has just ended; `keep` is told what came before anybody.
        Raises QueueFull where too many drawings wait already, in all or of this client's.
        """
        with self.lock:
            if flight := self.flights.get(key):
                return flight
            if self.closed:
                raise QueueFull("plotsrv is shutting down.")
            theirs = sum(flight.client == client for flight in [*self.flights.values()]) if client else 0
            for waiting, most in ((len(self.flights), QUEUED_DRAWINGS), (theirs, QUEUED_EACH)):
                if job.task == "draw" and waiting >= most:
                    raise QueueFull(f"{most} drawings are waiting already. Try again in a moment.")
            future = self.pool.submit(self.result, job, find, keep)
            flight = self.flights[key] = Flight(future, time.time(), client)
        flight.future.add_done_callback(lambda _: self.flights.pop(key, None))
        return flight

    def find_runs(self, source: Source, folders: Sequence[str], keep: Keep) -> concurrent.futures.Future[Any]:
        """The training runs in some folders; see `look_for_runs`."""
        return self.submit("runs", Job("runs", source, folders=tuple(folders)), keep=keep).future

    def describe(self, source: Source, version: int) -> concurrent.futures.Future[Description]:
        """What a file has to offer, once it has been imported."""
        return self.submit(("describe", source, version), Job("describe", source)).future

    def result(self, job: Job, find: Find, keep: Keep) -> Answer:
        """What is known to come of a job, or comes of it."""
        if known := find():
            return known
        result = self.run(job)
        keep(result)
        return result

    def run(self, job: Job) -> Answer:
        """Do a job in some process; in another one where that died through no fault of the job's."""
        started = time.time()
        try:
            tries = 0
            while True:
                try:
                    return self.run_once(job)
                except RenderFailure as failure:
                    tries += failure.begun
                    if not failure.innocent or tries >= TRIES or time.time() - started > self.timeout:
                        raise
        except OSError as error:  # no file descriptor, no memory, no temporary folder
            return self.failed(job, RenderFailure(503, f"No render process could be started: {error}."), started)
        except RenderFailure as failure:
            return self.failed(job, failure, started)

    @staticmethod
    def failed(job: Job, failure: RenderFailure, started: float) -> Answer:
        if job.task == "describe":
            return Description(error=str(failure), output=failure.output)
        if job.task == "runs":
            return FoundRuns(left_out=(str(failure),), output=failure.output)
        return Drawing(
            status=failure.status,
            error=str(failure),
            output=failure.output,
            seconds=time.time() - started,
            drawn_at=time.time(),
        )

    def run_once(self, job: Job) -> Answer:
        process = self.take(job)
        try:
            return process.ask(job, self.timeout, self.excess)
        except BaseException:
            process.alive = False
            raise
        finally:
            self.give_back(process)

    def excess(self, process: RenderProcess) -> str:
        """What a busy process has too much of; of memory, only the largest is told."""
        process.look()
        if process.processes > PROCESSES_EACH:
            return f"The plot started more than {PROCESSES_EACH} processes, so it was ended."
        if self.resident() > self.memory:
            process.look(exactly=True)
        if self.resident() > self.memory and process.resident >= max(each.resident for each in [*self.busy]):
            limit = f"{self.memory / 1e9:.3g} GB"
            return f"The plot used more than {limit} of memory, so it was ended. --memory GB allows more."
        return ""

    def resident(self) -> int:
        """The bytes of memory that all busy processes hold."""
        with self.lock:
            return sum(each.resident for each in self.busy)

    def take(self, job: Job) -> RenderProcess:
        """An idle process, best the one that drew this plot before; a new one where there is none."""
        with self.lock:
            if self.closed:
                raise RenderFailure(503, "plotsrv is shutting down.")
            dead = [each for each in self.idle if each.is_dead()]
            self.idle = [each for each in self.idle if each not in dead]  # not asked again: one may die just now
            alike = [process for process in self.idle if process.subject == job.subject]
            process = (alike or self.idle)[-1] if self.idle else None
            if process:
                self.idle.remove(process)
            generation = self.generation
        for each in dead:
            each.kill()
        process = process or RenderProcess(generation)
        process.subject = job.subject
        self.count_as_busy(process)
        return process

    def count_as_busy(self, process: RenderProcess) -> None:
        with self.lock:
            self.busy.add(process)
            if self.closed:  # while it started
                process.end()

    def give_back(self, process: RenderProcess) -> None:
        if process.is_bereft:  # the next process shall not have to wait for a new forkserver
            with contextlib.suppress(OSError), STARTING, forkserver_running():
                pass
        with self.lock:
            self.busy.discard(process)
            keep = process.alive and process.generation == self.generation and not self.closed and not process.is_worn
            if keep:
                self.idle.append(process)
        if not keep:
            process.kill()

    def renew(self) -> None:
        """The user's code has changed: let no process with the old one answer any more."""
        with self.lock:
            self.generation += 1
            outdated, self.idle = self.idle, []
        for process in outdated:
            process.kill()

    def close(self) -> None:
        with self.lock:
            self.closed = True
            idle, self.idle = self.idle, []
            for process in self.busy:
                process.end()  # its pool thread sees that, and does the rest
        for process in idle:
            process.kill()
        self.pool.shutdown(wait=True, cancel_futures=True)


class RenderProcess:
    """One render process, seen from the server: a pipe for jobs, a pipe for what it prints."""

    def __init__(self, generation: int):
        self.generation = generation
        self.subject: Any = None  # of its last job
        self.alive = True
        self.resident = self.settled = 0  # bytes of memory that it and its children hold; after the second drawing
        self.processes = 1  # with its children
        self.drawings = 0
        self.seconds = self.longest = 0.0  # of all the drawings; of one
        self.jobs, their_jobs = PROCESSES.Pipe()
        self.output, their_output = PROCESSES.Pipe(duplex=False)
        with STARTING, main_module_hidden():
            arguments = (their_jobs, their_output, environment_for_plots())
            self.process = PROCESSES.Process(  # type: ignore[attr-defined]
                target=work_off, args=arguments, name="plotsrv render process"
            )
            self.start()
        their_jobs.close()
        their_output.close()
        self.ending = self.what_tells_the_end()

    def what_tells_the_end(self) -> Any:
        """What can be waited for. multiprocessing's sentinel also tells an end where the forkserver has died alone."""
        try:
            return open(os.pidfd_open(self.process.pid), "rb", buffering=0)
        except (AttributeError, OSError):  # no Linux, or it has ended already
            return self.process.sentinel

    def is_dead(self, seconds: float = 0) -> bool:
        """Has it ended, now or within so many seconds?"""
        return bool(multiprocessing.connection.wait([self.ending], seconds))

    @property
    def is_bereft(self) -> bool:
        """Has the forkserver died, and left this process alive?"""
        return bool(multiprocessing.connection.wait([self.process.sentinel], 0)) and not self.is_dead()

    def start(self) -> None:
        for pause in (0.02, 0.1, 0.5):
            try:
                with forkserver_running():
                    self.process.start()
            except FileNotFoundError:  # its socket is gone
                stop_forkserver()
            except (ConnectionError, EOFError):  # the forkserver has died: it is started again
                time.sleep(pause)
            else:
                return
        raise RenderFailure(503, "No render process could be started. Try again in a moment.")

    def ask(self, job: Job, seconds: float, excess: Callable[[RenderProcess], str] = lambda process: "") -> Any:
        """The answer to a job. Raises RenderFailure where none comes within `seconds`, or the plot has an excess."""
        began = looked = time.monotonic()
        deadline = began + seconds
        printed = Printed(self.output)
        begun = False
        with contextlib.suppress(OSError):  # where it is dead already, that is told below
            self.jobs.send(job)
        while True:
            left = deadline - time.monotonic()
            pause = max(0, min(left, WATCH_SECONDS))
            ready = multiprocessing.connection.wait([self.jobs, self.output, self.ending], pause)
            if self.output in ready:
                printed.read()
            if self.jobs in ready:
                try:
                    answer = self.jobs.recv()
                except Exception:  # the end of the pipe, or a plot has written into it what is no answer
                    raise self.death(begun, printed.drained()) from None
                if answer is not None:
                    self.done(job, time.monotonic() - began, spent=answer[1])
                    return replace(answer[0], output=printed.drained())
                begun = True
            elif self.ending in ready:
                raise self.death(begun, printed.drained())
            if left <= 0:
                self.tell_where_it_hangs(printed)
                message = f"Not done within {seconds:g} s, so it was ended. --timeout SECONDS allows more."
                raise RenderFailure(504, message, printed.drained())
            if time.monotonic() - looked > WATCH_SECONDS:
                if reason := excess(self):
                    raise RenderFailure(500, reason, printed.drained())
                looked = time.monotonic()

    def done(self, job: Job, seconds: float, spent: bool) -> None:
        """Count a drawing; what the plot has left behind may be such that the process must draw no other."""
        self.alive = not spent
        if job.task == "draw":
            self.drawings += 1
            self.seconds += seconds
            self.longest = max(self.longest, seconds)
            self.look()
            self.settled = self.settled if self.drawings > 2 else self.resident

    def look(self, exactly: bool = False) -> None:
        """See how large the process is, with its children; exactly, what they share with others is divided."""
        tree = [self.process.pid or 0, *descendants(self.process.pid or 0)]
        sizes = list(map(proportional_bytes if exactly else resident_bytes, tree))
        self.processes, self.resident = sum(map(bool, sizes)), sum(sizes)  # one that has ended holds nothing

    @property
    def is_worn(self) -> bool:
        """Has it drawn so often, or grown so much, that a new one is better? Warming that up costs 1 % at most."""
        is_old = self.drawings >= DRAWINGS_EACH and self.seconds >= 100 * self.longest
        return is_old or (self.drawings > 2 and self.resident > 2 * self.settled + GROWTH_BYTES)

    def death(self, begun: bool, output: str) -> RenderFailure:
        """What became of a process that ended in the middle of a job."""
        self.process.join(1)
        code = self.process.exitcode
        if code == 255:  # all that multiprocessing can tell where the forkserver is gone
            how = "how is not known (exit code 255)"
        elif code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else "?"
            how = f"it was ended by signal {-code} ({name})"
            how += ", perhaps for want of memory" if -code == getattr(signal, "SIGKILL", 0) else ""
        else:
            how = f"it ended itself with exit code {code}"
        innocent = not begun or code in (-getattr(signal, "SIGKILL", 0), 255)
        return RenderFailure(500, f"The render process died: {how}.", output, innocent, begun)

    def tell_where_it_hangs(self, printed: Printed) -> None:
        """Have the process print its stack before it is killed; see faulthandler in `become_render_process`."""
        if hasattr(signal, "SIGUSR1") and self.process.pid:
            with contextlib.suppress(OSError):
                os.kill(self.process.pid, signal.SIGUSR1)
                end = time.monotonic() + 0.5  # it writes in many small pieces
                while time.monotonic() < end and multiprocessing.connection.wait([self.output], 0.1):
                    printed.read()

    def kill(self) -> None:
        """End the process, and forget it."""
        self.end()
        self.is_dead(5)
        self.process.join(5)
        for each in (self.jobs, self.output, self.ending):
            if each is not self.process.sentinel:
                each.close()

    def end(self) -> None:
        """End the process and all that it started."""
        self.alive = False
        if self.process.pid:
            offspring = [] if self.is_dead() else descendants(self.process.pid)  # some may have left the group
            with contextlib.suppress(OSError, AttributeError):  # gone already; no process groups on Windows
                os.killpg(self.process.pid, signal.SIGKILL)
            kill_all(offspring)
        if self.process.is_alive():
            self.process.kill()


def kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes that one has started, and those these have started, as far as Linux tells."""
    found = [pid]
    for each in found:
        for children in glob.iglob(f"/proc/{each}/task/*/children"):
            with contextlib.suppress(OSError):  # it has ended
                found += map(int, Path(children).read_text(encoding="ascii").split())
    return found[1:]


def resident_bytes(pid: int) -> int:
    """The memory that a process holds, in bytes; 0 where that is not told."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def proportional_bytes(pid: int) -> int:
    """The same, with each page that several processes share divided among them: a child has all that its parent has."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return int(re.findall(r"^Pss: +([0-9]+) kB", told, re.MULTILINE)[0]) * 1024
    except (OSError, IndexError):
        return resident_bytes(pid)


def machine_bytes() -> float:
    """The memory of this machine, or as much of it as this container may use."""
    limits = [math.inf]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            folder = Path("/sys/fs/cgroup", "memory" if "memory" in controllers.split(",") else "", group.lstrip("/"))
            for each in (folder, *folder.parents):
                for name in ("memory.max", "memory.limit_in_bytes"):
                    with contextlib.suppress(OSError, ValueError):
                        limits.append(int((each / name).read_text(encoding="ascii")))
    return min(limits)


def environment_for_plots() -> dict[str, str]:
    """The environment without our secret: a plot might show it."""
    return {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}


def tell_libc(function: str, *arguments: int) -> None:
    """Call a function of the C library's that Python does not offer, where it is there."""
    with contextlib.suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes

        getattr(ctypes.CDLL(None), function)(*arguments)


class Printed:
    """The first part of what a process prints; the rest is read and dropped."""

    def __init__(self, connection: multiprocessing.connection.Connection):
        self.connection = connection
        self.kept = b""
        self.dropped = 0

    def read(self) -> None:
        try:
            chunk = os.read(self.connection.fileno(), 65536)
        except OSError:
            chunk = b""
        room = max(0, OUTPUT_BYTES - len(self.kept))
        self.kept += chunk[:room]
        self.dropped += len(chunk[room:])

    def drained(self) -> str:
        """All that has come by now, as text."""
        with contextlib.suppress(OSError):
            while self.connection.poll(0) and self.dropped < 100 * OUTPUT_BYTES:  # a grandchild may print for ever
                before = len(self.kept) + self.dropped
                self.read()
                if len(self.kept) + self.dropped == before:
                    break  # the end of the pipe
        rest = f"\n… and {self.dropped:,} bytes more" if self.dropped else ""
        return self.kept.decode("utf-8", "replace") + rest


@contextlib.contextmanager
def main_module_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the main module again in a render process.

    It would take 40 ms a process, and where a user's own script started us, it would run that too. A main module with
    the name __main__ in its spec (as that of `python -m package`) is left alone by multiprocessing.spawn.
    """
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    main.__spec__ = importlib.machinery.ModuleSpec("__main__", None)
    try:
        yield
    finally:
        main.__spec__ = spec


@contextlib.contextmanager
def forkserver_running() -> Iterator[None]:
    """Start multiprocessing's forkserver where it is not running: it loads matplotlib and pandas once for all.

    Where it dies in the meantime, multiprocessing starts it again by itself, and that must be the same one. It is
    given the name of a module to load first, and finds it by PYTHONPATH: Python 3.11 hands it no sys.path. So that
    nothing else is found there, that module stands in a folder of its own. `work_off` puts the environment right again
    in each render process.
    """
    if PROCESSES.get_start_method() != "forkserver":
        yield
        return
    from multiprocessing import forkserver, util

    folder = util.get_temp_dir()  # of this process, removed at its end; the forkserver's socket is there too
    os.makedirs(folder, mode=0o700, exist_ok=True)  # it may have been tidied away since
    Path(folder, "plotsrv_preload.py").write_text(LOAD + "plotsrv.preload()\n", encoding="utf-8")
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}
    ours |= {"PYTHONSAFEPATH": "1", "MPLBACKEND": "agg"}
    before = {name: os.environ.get(name) for name in (*ours, TOKEN_VARIABLE)}
    PROCESSES.set_forkserver_preload(["plotsrv_preload"])
    os.environ.update(ours)
    os.environ.pop(TOKEN_VARIABLE, None)
    try:
        forkserver.ensure_running()
        yield
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for name in [name for name, value in before.items() if value is None]:
            os.environ.pop(name, None)


def stop_forkserver() -> None:
    """End the forkserver and all that it has forked, whatever it is doing: it may still be loading matplotlib."""
    if forkserver := sys.modules.get("multiprocessing.forkserver"):
        if pid := forkserver._forkserver._forkserver_pid:
            kill_all([*descendants(pid), pid])
        with contextlib.suppress(OSError):
            forkserver._forkserver._stop()


def preload() -> None:
    """What the forkserver does once for all render processes, before it forks the first."""
    gc.disable()  # nothing of this is ever garbage: 80 ms less, and pages that stay shared after a fork
    guard_open()
    with contextlib.suppress(ImportError):
        import matplotlib.artist

        # The tables of properties in matplotlib's docstrings take another 80 ms, and nobody reads them here.
        kwdoc, matplotlib.artist.kwdoc = matplotlib.artist.kwdoc, lambda artist: ""
        import matplotlib.backends.backend_agg
        import matplotlib.pyplot

        matplotlib.artist.kwdoc = kwdoc
    with contextlib.suppress(ImportError):
        import pandas

        for name in UNSEEN_BY_PANDAS:
            setattr(pandas, name, telling(getattr(pandas, name)))
    if sys.platform.startswith("linux"):  # what a plot has started ends with us, wherever it went
        tell_libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
        atexit.register(end_descendants, os.getpid())
    gc.freeze()
    gc.enable()


def end_descendants(pid: int) -> None:
    """What the forkserver does at its end, but none of those that it has forked."""
    if pid == os.getpid():
        kill_all(descendants(pid))


# -- the other side of the pipes: what follows runs in render processes only


def work_off(jobs: Any, output: Any, environment: dict[str, str]) -> None:
    """The life of a render process: jobs in, answers out, until the server closes the pipe."""
    become_render_process(output, environment)
    ours = os.getpid()
    while True:
        try:
            job = jobs.recv()
        except (EOFError, OSError):
            return
        jobs.send(None)  # begun: from here on the job may be to blame
        answer = TASKS[job.task](job)
        if os.getpid() != ours:  # the plot has forked, and this is the child: its parent answers
            os._exit(0)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # a plot may have closed its end
                stream.flush()
        jobs.send((answer, is_spent(job)))
        gc.collect()  # figures are cycles; after the answer, so that nobody waits for it


def become_render_process(output: Any, environment: dict[str, str]) -> None:
    """Cut the ties to the terminal, catch all that is printed, and end with the server."""
    os.environ.clear()
    os.environ.update(environment, MPLBACKEND="agg")
    sys.modules.pop("plotsrv_preload", None)  # it is no module of the user's
    sys.dont_write_bytecode = True  # Python takes old bytecode for new where a file is edited within a second
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")  # plt.show() does no harm
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        import fcntl

        os.setsid()  # a process group of its own, which can be killed as a whole
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        server = multiprocessing.process.parent_process()
        if server is not None:  # a signal ends this whole group when the server dies, however busy it is here
            fcntl.fcntl(server.sentinel, fcntl.F_SETOWN, -os.getpgrp())
            if hasattr(fcntl, "F_SETSIG"):
                fcntl.fcntl(server.sentinel, fcntl.F_SETSIG, signal.SIGKILL)  # instead of SIGIO, which can be blocked
            flags = fcntl.fcntl(server.sentinel, fcntl.F_GETFL)
            fcntl.fcntl(server.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
        faulthandler.register(signal.SIGUSR1)
        limit_resources()
    faulthandler.enable(2)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    if PROCESSES.get_start_method() != "forkserver":
        preload()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # forked processes would all draw the same random numbers
    sys.addaudithook(audit)


def limit_resources() -> None:
    """Limits that the kernel holds: open files, the size of a file; and no child that leaves us unseen."""
    import resource

    for what, most in ((resource.RLIMIT_NOFILE, OPEN_FILES), (resource.RLIMIT_FSIZE, FILE_BYTES)):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    if sys.platform.startswith("linux"):  # orphans become our children, and so are ended with us
        tell_libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def describe(job: Job) -> Description:
    """Import a file and describe its plots."""
    source: Source = job.subject  # type: ignore[assignment]
    try:
        plots, error_text = described_plots(source, load(source))
    except BaseException as error:  # the user's code may raise anything
        return Description(
            error=error_line(error) + last_place(error), traceback=users_traceback(error), code=users_code()
        )
    return Description(tuple(plots), error_text, code=users_code())


def check(job: Job) -> Drawing:
    """See whether arguments fit a plot, without calling it."""
    try:
        bind_arguments(plot_function(job.subject), job.texts)  # type: ignore[arg-type]
    except FormErrors as wrong:
        return Drawing(status=400, errors=wrong.errors)
    except BaseException as error:  # the user's code may raise anything
        return Drawing(status=500, error=error_line(error))
    return Drawing()


def draw(job: Job) -> Drawing:
    """Call a plot and turn what it returns into a picture; again where a file was replaced under its hands."""
    for _ in range(3):
        drawing = draw_once(job)
        swapped = RECORDER.swapped()
        RECORDER.named = RECORDER.sent = ()  # what is read from now on has nothing to do with them
        if not swapped:
            return drawing
    error = sendable(f"{RECORDER.folders.shown(swapped)} was replaced each time while it was read. Try again.")
    return replace(drawing, image=b"", status=500, error=error, headline="", notes=())


def draw_once(job: Job) -> Drawing:
    plot: Plot = job.subject  # type: ignore[assignment]
    started = time.perf_counter()
    function: Any = None
    try:
        function = plot_function(plot)
        PURITY.begin()
        RECORDER.begin(function, paths_among(plot, job.texts), job.sent, job.folders)
        call = bind_arguments(function, job.texts)
        with surroundings(), plotting_state(function):
            result = drawing_of(call, job.format, job.lens)
    except FormErrors as wrong:
        result = Drawing(status=400, error="The arguments are wrong.", errors=wrong.errors)
    except WrongFormat as error:
        result = Drawing(status=404, error=str(error))
    except BaseException as error:  # the user's code may raise anything
        result = failure_of(error)
    inputs, volatile = RECORDER.seen_by(function) if function else ((), True)
    seconds = time.perf_counter() - started
    return replace(result, seconds=seconds, drawn_at=time.time(), inputs=inputs, volatile=volatile, code=users_code())


def drawing_of(call: Callable[[], Any], format: str, asked: Mapping[str, Any]) -> Drawing:
    """Call a plot, change its figure as the lens asks, and make a picture of it, or a table of its lines."""
    figures = shipped_module("figures", PlainFigures)
    given = {name: value for name, value in asked.items() if name != "thin"}
    asked = {"width": None, "height": None, "dpi": None, "thin": True, **asked}
    width, height, dpi, thin = (asked.pop(name) for name in ("width", "height", "dpi", "thin"))
    lens = lens_of(figures, asked)
    with lens.theme_context(), figures.thinning(thin) as thinned:
        returned = call()
        if own := own_picture_of(returned, format):
            names = ", ".join(name for name, value in given.items() if value not in (None, "", 0))
            notes = [f"Not applied: {names}. This plot makes its picture itself."] if names else []
            return Drawing(*own, own=True, notes=tuple(notes))
        figure = canvas_of(returned)
        notes = [*figures.notes_of(figure), *lens.apply(figure)]
        if format in DATA_TYPES:
            table = figures.csv_of(figure) if format == "csv" else figures.json_of(figure, notes)
            if not table.strip():
                raise WrongFormat("There are no lines in this figure, and so no numbers of them.")
            return Drawing(table, DATA_TYPES[format])
        picture = picture_of(returned, format, width, height, dpi, thinned.fit)
        notes = [sendable(note) for note in (*notes, *thinned.notes)]
        return Drawing(*picture, headline=sendable(figures.headline(figure)), notes=tuple(notes))


def lens_of(figures: Any, asked: Mapping[str, Any]) -> Any:
    """The lens asked for; raises FormErrors with what is wrong of each of its fields."""
    given = {name: value for name, value in asked.items() if value is not None}
    errors = {}
    for name, value in given.items():
        try:
            figures.Lens(**{name: value})
        except ValueError as error:
            errors[name] = str(error).removesuffix(".")
    if errors:
        raise FormErrors(errors)
    return figures.Lens(**given)


def shipped_module(name: str, otherwise: Any) -> Any:
    """A module of the plots that come with plotsrv; something else where it, or matplotlib, is not there."""
    source = shipped(name)
    return load(source) if "matplotlib" in sys.modules and os.path.exists(source.file) else otherwise


def failure_of(error: BaseException) -> Drawing:
    """What is told of an exception; a file that is missing may yet come."""
    if any(isinstance(each, Refused) for each in chain_of(error)):
        return Drawing(status=403, error=error_line(error), traceback=users_traceback(error))
    if hasattr(error, "awaited"):  # a log without a curve: its message says it all, and whether there may be one yet
        return Drawing(status=404 if error.awaited else 500, error=sendable(str(error)))
    if isinstance(error, FileNotFoundError) and (missing := RECORDER.missing(error)):
        return Drawing(status=404, error=waiting_for(RECORDER.folders.shown(missing)))
    return Drawing(status=500, error=error_line(error), traceback=users_traceback(error))


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those it came of."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def waiting_for(path: str) -> str:
    return sendable(f"Waiting for {path}: the file is not there (yet).")


def paths_among(plot: Plot, texts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The files and folders that are named by the arguments."""
    return [path for leaf in leaves(plot.fields) if leaf.paths is not None for path in texts.get(leaf.name, ()) if path]


def remark(job: Job) -> Drawing:
    """Write a line on a picture: what has gone wrong since it was drawn."""
    try:
        return Drawing(load(shipped("figures")).remarked(job.picture, job.remark))
    except Exception as error:  # no PIL, or no picture that it knows
        return Drawing(status=500, error=error_line(error))


def look_for_runs(job: Job) -> FoundRuns:
    """The training runs in the data folders, and what was left out; see plots/runs.py."""
    try:
        found = load(job.subject).find_runs(job.folders)  # type: ignore[arg-type]
        return FoundRuns(tuple(Run(**each) for each in found["runs"]), tuple(found["left_out"]))
    except Exception as error:  # no pandas, for one
        return FoundRuns(left_out=(f"No runs could be looked for: {error_line(error)}",))


TASKS: dict[str, Callable[[Job], Any]] = {
    "describe": describe,
    "check": check,
    "draw": draw,
    "remark": remark,
    "runs": look_for_runs,
}


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """Whatever a plot does to its process, as far as that can be undone, ends with it."""
    before = {name: attempted(read) for name, (read, _) in SURROUNDINGS.items()}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name, value in before.items():
            read, restore = SURROUNDINGS[name]
            with contextlib.suppress(Exception):
                if attempted(read) != value:
                    restore(value)
        random.seed()  # whatever the plot has made of it, the next one draws other numbers
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed()


def attempted(read: Callable[[], Any]) -> Any:
    """What a function gives; None where it fails: the folder may be gone, numpy need not be there."""
    try:
        return read()
    except Exception:
        return None


def replace_all(whole: Any, content: Any) -> None:
    """Give a list, or a mapping like os.environ, another content."""
    whole.clear()
    (whole.extend if isinstance(whole, list) else whole.update)(content)


def umask() -> int:
    """The mode that new files do not get; to ask for it, it must be set."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def signal_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def set_signal_handlers(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) != handler and handler is not None:
            signal.signal(number, handler)


SURROUNDINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {  # how each is read, and set again
    "environment": (lambda: dict(os.environ), lambda value: replace_all(os.environ, value)),
    "working folder": (os.getcwd, os.chdir),
    "path of modules": (lambda: list(sys.path), lambda value: replace_all(sys.path, value)),
    "locale": (lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    "mode of new files": (umask, os.umask),
    "streams": (lambda: [sys.stdout, sys.stderr], lambda value: vars(sys).update(stdout=value[0], stderr=value[1])),
    "depth of calls": (sys.getrecursionlimit, sys.setrecursionlimit),
    "signal handlers": (signal_handlers, set_signal_handlers),
    "blocked signals": (
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
    ),
    "alarm": (
        lambda: signal.getitimer(signal.ITIMER_REAL) > (0, 0),
        lambda value: signal.setitimer(signal.ITIMER_REAL, 0),
    ),
    "open files": (
        lambda: sys.modules["resource"].getrlimit(sys.modules["resource"].RLIMIT_NOFILE),
        lambda value: sys.modules["resource"].setrlimit(sys.modules["resource"].RLIMIT_NOFILE, value),
    ),
    "numpy's errors": (lambda: sys.modules["numpy"].geterr(), lambda value: sys.modules["numpy"].seterr(**value)),
    "numpy's printing": (
        lambda: sys.modules["numpy"].get_printoptions(),
        lambda value: sys.modules["numpy"].set_printoptions(**value),
    ),
    "matplotlib's backend": (
        lambda: sys.modules["matplotlib"].get_backend(),
        lambda value: sys.modules["matplotlib.pyplot"].switch_backend(value),
    ),
}


@contextlib.contextmanager
def plotting_state(function: Callable) -> Iterator[None]:
    """Whatever a plot does to matplotlib's settings and open figures ends with it.

    It begins with the settings that its own file made when it was imported; see `load`.
    """
    matplotlib = sys.modules.get("matplotlib")
    style = getattr(sys.modules[function.__module__], STYLE_NAME, {})
    with matplotlib.rc_context(style) if matplotlib else contextlib.nullcontext():
        try:
            yield
        finally:
            if pyplot := sys.modules.get("matplotlib.pyplot"):
                pyplot.close("all")


@dataclass
class Purity:
    """Whether this render process is as a new one would be, as far as drawing goes."""

    modules: int = 0  # that were loaded when the following was seen
    functions: dict[str, int] = field(default_factory=dict)  # of matplotlib's, by module, as one number
    files: int = 0  # open, before the first drawing
    threads: frozenset[int] = frozenset()  # that there were before the drawing
    looks: collections.Counter = field(default_factory=collections.Counter)  # by plot

    def begin(self) -> None:
        """See what matplotlib is like after the user's modules were imported: what these change in it is meant."""
        self.files = self.files or open_files()
        self.threads = frozenset(sys._current_frames())
        if len(sys.modules) != self.modules:
            self.modules, self.functions = len(sys.modules), matplotlibs_functions()

    def is_lost(self, plot: Any) -> bool:
        """Has a plot changed matplotlib's code, left a thread of its own running, or many files open?

        What it does to matplotlib, it will do in its first two drawings; to look takes some milliseconds.
        """
        if open_files() > self.files + LEAKED_FILES or sys.stdout.closed or sys.stderr.closed:
            return True
        self.looks[plot.path] += 1
        now = matplotlibs_functions() if self.looks[plot.path] <= 2 else {}
        if any(now.get(name, functions) != functions for name, functions in self.functions.items()):
            return True
        return any(
            runs_users_code(frame) for ident, frame in sys._current_frames().items() if ident not in self.threads
        )


PURITY = Purity()


def is_spent(job: Job) -> bool:
    """Must this process draw no other plot after this job?"""
    return job.task == "draw" and PURITY.is_lost(job.subject)


def open_files() -> int:
    """How many descriptors this process has; 0 where that is not told."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError as error:
        return OPEN_FILES if error.errno == errno.EMFILE else 0


def matplotlibs_functions() -> dict[str, int]:
    """One number for all functions and methods that each of matplotlib's modules has: another where one is replaced."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("matplotlib."):
            values = list(vars(module).values())
            classes = [each for each in values if isinstance(each, type) and each.__module__ == name]
            classes = [] if name == "matplotlib.pyplot" else classes  # it makes one for its backend
            values += [value for each in classes for value in vars(each).values()]
            found[name] = hash(tuple(id(each) for each in values if isinstance(each, types.FunctionType)))
    return found


def runs_users_code(frame: types.FrameType | None) -> bool:
    """Is a thread somewhere in the user's code?"""
    while frame:
        if is_users_file(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def error_line(error: BaseException) -> str:
    """An exception in one line, with the place where it is the user's source that cannot be read."""
    if isinstance(error, SystemExit):
        return f"The plot's code called sys.exit({error.code!r})."
    told = traceback.format_exception_only(error)  # a SyntaxError's source comes first, indented; notes come last
    line = " ".join(next((each for each in told if not each[:1].isspace()), told[-1]).split())
    where = (
        f" ({os.path.basename(error.filename or '?')}, line {error.lineno})" if isinstance(error, SyntaxError) else ""
    )
    return sendable(shortened(line.removesuffix(where), ERROR_CHARACTERS) + where)


def last_place(error: BaseException) -> str:
    """Where in the user's own code an exception came from; a SyntaxError's line says that already."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users_file(frame.filename)]
    return f" ({os.path.basename(own[-1].filename)}, line {own[-1].lineno})" if own else ""


def users_traceback(error: BaseException) -> str:
    """The traceback cut to the user's own frames."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    link: traceback.TracebackException | None = told
    while link:
        own = [frame for frame in link.stack if is_users_file(frame.filename)]
        link.stack = traceback.StackSummary.from_list(own)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return sendable(shortened("".join(told.format()), TRACEBACK_CHARACTERS))


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} … and {len(text) - most:,} characters more"


def sendable(text: str) -> str:
    """A text as it can be sent: names of files may hold what is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


# ---------------------------------------------------------------------------------------------------------------------
# 8 Plots: finds and describes plot functions, and the runs there are to be plotted; never calls one.

PREFIX = "plot_"
SHIPPED = "plotsrv_plots"  # the package of the plots that come with plotsrv


@dataclass(frozen=True)
class Root:
    """Where plots are looked for: a folder, a single file, or a handler class in a file."""

    path: str
    package: str  # the name under which render processes import what is in the folder
    handler: str = ""


@dataclass(frozen=True)
class Source:
    """One file with plots."""

    file: str
    folder: str  # the root's
    package: str
    module: str  # dotted, as in the URL
    handler: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot as the server knows it: plain values."""

    source: Source
    function: str
    holder: str = ""  # the handler class of a method
    summary: str = ""  # the docstring's first line
    description: str = ""  # the rest of it
    fields: tuple[Field, ...] = ()
    described: bool = False  # False: only seen in the text of a file that is still being imported

    @property
    def module(self) -> str:
        return "" if self.source.handler else self.source.module

    @property
    def name(self) -> str:
        return self.function.removeprefix(PREFIX)

    @property
    def path(self) -> str:
        """Where it is served: MODULE/NAME."""
        return f"{self.module}/{self.name}" if self.module else self.name

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").strip() or self.name

    @property
    def names(self) -> set[str]:
        """Of all the query's fields that are the plot's own."""
        return {leaf.name for leaf in leaves(self.fields)}


@dataclass(frozen=True)
class Description:
    """What a render process found in a file: its plots, or why it cannot be imported."""

    plots: tuple[Plot, ...] = ()
    error: str = ""
    traceback: str = ""
    code: tuple[Input, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class Broken:
    """A file whose plots cannot be served, and why."""

    name: str
    error: str
    traceback: str


def roots_of(plots: str) -> list[Root]:
    """The roots for the --plots option: those that come with plotsrv first, then the user's."""
    roots = [Root(shipped_folder(), SHIPPED)]
    for number, text in enumerate(filter(None, (plots or "plots").split(os.pathsep)), 1):
        of_script = re.fullmatch(r"(.+\.py)#([\w.]+)", text)  # as `start_anew` has it
        path, handler = of_script.groups() if of_script else (text, "")
        path = os.path.realpath(os.path.expanduser(path))
        if plots and not os.path.exists(path):
            raise FileNotFoundError(f"--plots: there is no {text}")
        if path != roots[0].path:
            roots.append(Root(path, f"plots_{number}", handler))
    return roots


def shipped_folder() -> str:
    """Where the plots are that come with plotsrv, under the name they are installed by, or that of the repository."""
    here = Path(__file__).resolve().parent
    return str(here / "plotsrv_plots" if (here / "plotsrv_plots").is_dir() else here / "plots")


def shipped(module: str) -> Source:
    """A module that comes with plotsrv; it may not be there where plotsrv.py stands alone."""
    folder = shipped_folder()
    return Source(os.path.join(folder, f"{module}.py"), folder, SHIPPED, module)


def has_figures() -> bool:
    """Is there what changes figures, and what tells their numbers?"""
    return os.path.exists(shipped("figures").file)


def sources_in(root: Root) -> Iterator[Source]:
    """The plot files of a root, sub-folders too; hidden ones and those that begin with _ are left out."""
    if root.path.endswith(".py"):
        folder, name = os.path.split(root.path)
        yield Source(root.path, folder, root.package, name.removesuffix(".py"), root.handler)
        return
    for folder, files in folders_in(root.path):
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith((".", "_")):
                file = os.path.join(folder, name)
                module = os.path.relpath(file, root.path).removesuffix(".py").replace(os.sep, ".")
                yield Source(file, root.path, root.package, module)


def folders_in(top: str) -> Iterator[tuple[str, list[str]]]:
    """A folder and its sub-folders with their files; not hidden ones and those that begin with _."""
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        yield folder, files


class Gallery:
    """All the plots there are, kept as the files stand: edited, added and removed ones are followed."""

    def __init__(self, roots: Sequence[Root], renderer: Renderer):
        self.roots = roots
        self.renderer = renderer
        self.plots: dict[str, Plot] = {}  # by path; replaced as a whole, never changed
        self.broken: dict[str, Broken] = {}
        self.version = 0  # of the code: grows with every change
        self.lock = threading.Condition()  # notified when a file has been described
        self.settled = False  # is every file described as it stands?
        self.folders: dict[str, Stamp | None] = {}  # of the roots, as they were when they were read
        self.files: list[Source] = []  # that were in them
        self.current: set[str] = set()  # the files that are
        self.stamps: dict[str, Stamp | None] = {}
        self.described: dict[Source, Description] = {}

    @property
    def awaited(self) -> list[str]:
        """The files that are still being imported."""
        awaited = {plot.source for plot in self.plots.values() if not plot.described}
        return sorted(os.path.basename(source.file) for source in awaited) or ["the plots"]

    def refresh(self, wait: float, paths: Sequence[str] = ()) -> None:
        """Look at the files; where they have changed, describe them anew.

        Waits up to `wait` seconds until all of them are described, or the one with a plot at one of `paths`.
        """
        with self.lock:
            sources = self.sources()
            watched = {source.file for source in sources} | set(self.stamps)
            stamps = {path: stamp_of(path) for path in watched}
            if stamps != self.stamps or not self.version:
                self.stamps = stamps
                self.version += 1
                self.settled, self.current = False, set()
                threading.Thread(target=self.describe_all, args=(sources, self.version), daemon=True).start()
            self.lock.wait_for(lambda: self.settled or any(map(self.is_current, paths)), wait)

    def sources(self) -> list[Source]:
        """All the files with plots; the folders are read again only where one has changed."""
        known = self.folders.items()
        if not known or any((stamp and is_young(stamp)) or stamp_of(folder) != stamp for folder, stamp in known):
            folders = {root.path for root in self.roots} | {
                folder for root in self.roots for folder, _ in folders_in(root.path)
            }
            self.folders = {folder: stamp_of(folder) for folder in folders if not folder.endswith(".py")}
            self.files = [source for root in self.roots for source in sources_in(root)]
        return self.files

    def is_current(self, path: str) -> bool:
        """Is there a plot at this path, in a file that is described as it stands?"""
        return path in self.plots and self.plots[path].source.file in self.current

    def describe_all(self, sources: Sequence[Source], version: int) -> None:
        with contextlib.suppress(QueueFull, concurrent.futures.CancelledError):  # we are shutting down
            self.describe(sources, version)

    def describe(self, sources: Sequence[Source], version: int) -> None:
        """Describe all the files; until a file's description is there, show what it was, or what its text tells."""
        if version > 1:
            self.renderer.renew()
        before = {source.file: description for source, description in self.described.items()}
        found = {source: before.get(source.file) or sketch(source) for source in sources}
        self.publish(found, version)
        slow: dict[concurrent.futures.Future[Description], Source] = {}
        own_first = sorted(sources, key=lambda source: source.package == SHIPPED)
        for source in own_first:
            if version != self.version:
                return
            if source.package == SHIPPED and not found[source].plots:
                continue  # what our own plots share; they import it if they need it
            future = self.renderer.describe(source, version)
            if concurrent.futures.wait([future], SLOW_SECONDS).done:
                self.accept(found, source, future.result(), version)
            else:
                slow[future] = source  # the others need not wait for it
        for future in concurrent.futures.as_completed(slow):
            self.accept(found, slow[future], future.result(), version)
        with self.lock:
            self.settled = version == self.version
            self.lock.notify_all()

    def accept(self, found: dict[Source, Description], source: Source, new: Description, version: int) -> None:
        """Make a file's new description known; where the file is broken now, its last good pictures stay."""
        self.watch(new.code)
        if new.error and any(plot.described for plot in found[source].plots):
            new = replace(new, plots=found[source].plots)
        found[source] = new
        self.publish(found, version, source.file)

    def publish(self, found: Mapping[Source, Description], version: int, *current: str) -> None:
        """Make the plots found known; of equal paths the last root's wins."""
        with self.lock:
            if version != self.version:
                return
            self.described = dict(found)
            self.current |= set(current)
            self.lock.notify_all()
            self.plots = {plot.path: plot for description in found.values() for plot in description.plots}
            self.broken = {
                source.file: Broken(
                    os.path.relpath(source.file, source.folder), each.error, each.output + each.traceback
                )
                for source, each in found.items()
                if each.error
            }

    def watch(self, code: Iterable[Input]) -> None:
        """Count these files too as part of the code, as they were then: what plots import, and read while importing."""
        with self.lock:
            for each in code:
                self.stamps.setdefault(each.path, each.stamp)

    def as_json(self) -> bytes:
        """The gallery and its fields, for programs."""
        plots = [
            {
                "path": plot.path,
                "title": plot.title,
                "summary": plot.summary,
                "description": plot.description,
                "fields": [each.as_dict() for each in plot.fields if each.control != "none"],
            }
            for plot in self.plots.values()
        ]
        broken = [dict(file=file.name, error=file.error) for file in self.broken.values()]
        return json.dumps({"plots": plots, "broken": broken}, indent=2).encode()


# -- runs: what is there to be plotted without a line of code


@dataclass(frozen=True)
class Run:
    """A training run in the data folders: one log, or a folder of them."""

    path: str
    name: str  # its path as it is shown
    format: str
    changed: float  # seconds since the epoch
    values: tuple[tuple[str, float], ...] = ()  # the last ones of the metrics that tell most
    state: str = ""
    note: str = ""


@dataclass(frozen=True)
class FoundRuns:
    """What came of a look for runs."""

    runs: tuple[Run, ...] | None = None  # None where the look failed
    left_out: tuple[str, ...] = ()  # sentences
    output: str = ""


class RunList:
    """The runs in the data folders, newest first, as a render process found them when it last looked."""

    def __init__(self, renderer: Renderer, folders: DataFolders):
        self.renderer = renderer
        self.folders = folders
        self.source = shipped("runs")
        self.runs: tuple[Run, ...] = ()
        self.left_out: tuple[str, ...] = ()  # sentences
        self.looked_at = -math.inf
        self.lock = threading.Lock()

    def refresh(self, wait: float) -> bool:
        """Look again, where the last look is some time ago; False where `wait` seconds did not suffice for it."""
        if not os.path.exists(self.source.file) or time.monotonic() - self.looked_at < RUNS_SECONDS:
            return True
        try:
            self.renderer.find_runs(self.source, self.folders.folders, self.accept).result(wait)
        except (QueueFull, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            return False
        return True

    def accept(self, found: FoundRuns) -> None:
        """Make known what was found; where the look itself failed, the runs are those of before."""
        with self.lock:
            self.looked_at, self.left_out = time.monotonic(), found.left_out
            if found.runs is None:
                self.looked_at += FAILED_LOOK_SECONDS
                return
            runs = {run.path: replace(run, name=self.name_of(run.path)) for run in found.runs}
            if found.left_out:  # another process may have known more
                runs = {run.path: run for run in self.runs if os.path.exists(run.path)} | runs
            self.runs = tuple(sorted((run for run in runs.values() if run.name), key=lambda run: -run.changed))

    def name_of(self, path: str) -> str:
        """What a browser is to send for a path: as short as finds it again; nothing where it would be refused."""
        with contextlib.suppress(HTTPError, ValueError):
            names = (self.folders.shown(path), path)
            return next((name for name in names if self.folders.find(name, RUNS) == path), "")
        return ""

    def latest(self) -> list[str]:
        """The path of the newest run, if there is one."""
        self.refresh(GLANCE_SECONDS if self.runs else SLOW_SECONDS)
        return [run.path for run in self.runs[:1]]

    def matching(self, pattern: str) -> list[str]:
        """The paths of the runs whose names match, newest first."""
        self.refresh(GLANCE_SECONDS if self.runs else SLOW_SECONDS)
        return [run.path for run in self.runs if fnmatch.fnmatch(run.name, pattern)]

    def choices(self, several: bool) -> list[tuple[str, str]]:
        """What a form offers for a run, or for several: the name to be sent, and a label with format and age."""
        self.refresh(SLOW_SECONDS)
        now = time.time()
        runs = [(run.name, f"{run.name} ({run.format}, {ago(now - run.changed)})") for run in self.runs[:FILES_SHOWN]]
        every = [("*", "all of these")] if several else []
        return [(LATEST, "the newest of these"), *every, *runs] if runs else []


def sketch(source: Source) -> Description:
    """What a file's text tells of its plots, long before the file is imported."""
    try:
        tree = ast.parse(Path(source.file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return Description()  # the import will tell
    holders = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == source.handler]
    functions = (holders[0] if holders else tree).body if holders or not source.handler else []
    return Description(
        tuple(
            Plot(source, node.name, summary=docstring_parts(ast.get_docstring(node))[0])
            for node in functions
            if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX) and node.name != PREFIX
        )
    )


# -- in render processes


def load(source: Source) -> types.ModuleType:
    """Import a plot file as a part of its folder's package, so that relative and sibling imports work."""
    for folder in (source.folder, os.path.dirname(source.file), os.path.dirname(source.folder)):
        if folder not in sys.path:
            sys.path.append(folder)  # at the end: a plot file called random.py must not replace Python's
    make_package(SHIPPED, shipped_folder())  # for plots that use what comes with plotsrv
    make_package(source.package, source.folder)
    importlib.invalidate_caches()
    name = f"{source.package}.{source.module}"
    if name in sys.modules or "matplotlib" not in sys.modules:
        return importlib.import_module(name)
    matplotlib = sys.modules["matplotlib"]
    with matplotlib.rc_context():  # plt.style.use(…) at the top of a file is for its own plots alone
        before = dict(matplotlib.rcParams)
        module = importlib.import_module(name)
        changed = {key: value for key, value in matplotlib.rcParams.items() if before.get(key) != value}
        changed.pop("backend", None)
        setattr(module, STYLE_NAME, changed)
    return module


def make_package(name: str, folder: str) -> None:
    """Let the modules in a folder be imported under a package's name."""
    if name not in sys.modules:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        sys.modules[name] = importlib.util.module_from_spec(spec)


STYLE_NAME = "__plotsrv_style__"


def plots_in(module: types.ModuleType, source: Source) -> dict[tuple[str, str], Callable]:
    """The plot functions that a module itself defines, and the methods of its handler classes, by holder and name."""
    own = {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__}
    handlers = {n: each for n, each in own.items() if isinstance(each, type) and issubclass(each, PlotRequestHandler)}
    if source.handler:
        handlers, own = {source.handler: vars(module)[source.handler]}, {}
    found = {("", name): each for name, each in own.items() if callable(each) and not isinstance(each, type)}
    for holder, cls in handlers.items():
        instance = cls.__new__(cls)  # without a connection
        found |= {(holder, name): getattr(instance, name) for name in dir(cls) if name.startswith(PREFIX)}
    return {
        key: each for key, each in found.items() if key[1].startswith(PREFIX) and key[1] != PREFIX and callable(each)
    }


def described_plots(source: Source, module: types.ModuleType) -> tuple[list[Plot], str]:
    """The plots of a module, and which of them cannot be described, and why."""
    plots: list[Plot] = []
    errors = []
    for (holder, name), function in plots_in(module, source).items():
        summary, description = docstring_parts(inspect.getdoc(function))
        try:
            fields = tuple(entry.field for entry in form_of(function))
        except (TypeError, ValueError) as error:
            errors.append(f"{name}: {error}")
        else:
            if any(plot.function == name and not (plot.holder and holder) for plot in plots):
                errors.append(f"{name} is there twice: rename one")
            plots.append(Plot(source, name, holder, summary, description, fields, described=True))
    return plots, "; ".join(errors)


def plot_function(plot: Plot) -> Callable:
    return plots_in(load(plot.source), plot.source)[plot.holder, plot.function]


# ---------------------------------------------------------------------------------------------------------------------
# 9 Forms: one table maps annotations to controls. Precedence: annotation, default, docstring, text.

EMPTY = inspect.Parameter.empty
BOOLS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


@dataclass(frozen=True)
class Field:
    """One parameter as a form control: plain values, which travel from a render process to the server."""

    name: str
    label: str
    control: str = "text"  # an <input> type, textarea, select(-multiple), radios, checkboxes, or none: not shown
    texts: tuple[str, ...] = ()  # the default, as the control shows it
    required: bool = False
    empty: str = "default"  # what an empty text means: the "default", or a "value" (None, or the empty text)
    choices: tuple[tuple[str, str], ...] = ()  # (text, label)
    attributes: Mapping[str, str] = field(default_factory=dict)  # further ones of the HTML element
    allowed: str = ""  # the range of values, in words
    help: str = ""
    details: str = ""
    note: str = ""
    multiple: bool = False
    parts: tuple[Field, ...] = ()  # of a fixed tuple or a dataclass: NAME.0, NAME.lr
    paths: tuple[str, ...] | None = None  # for a file: the patterns of those offered
    free_text: str = ""  # "text" or "list": the plot gets what the browser sent, letter by letter
    default: Any = None  # for the page's own fields only
    read: Any = None  # likewise

    def as_dict(self) -> dict[str, Any]:
        """For /plots.json."""
        shown = ("name", "label", "control", "texts", "required", "choices", "attributes", "help", "multiple")
        parts = [part.as_dict() for part in self.parts if part.control != "none"]
        return {name: getattr(self, name) for name in shown} | {"parts": parts}


def leaves(fields: Iterable[Field]) -> Iterator[Field]:
    """The fields that have a control of their own, those within groups included."""
    for each in fields:
        if each.parts:
            yield from leaves(each.parts)
        elif each.control != "none":
            yield each


@dataclass(frozen=True)
class Kind:
    """How the values of one type are shown, typed and read.

    `read` turns one text into a value, or raises ValueError; `expects` completes "'ten' is not …". With `item` the
    value is made of several texts; with `parts`, of several fields.
    """

    expects: str
    read: Callable[[str], Any] = str
    show: Callable[[Any], str] = str
    control: str = "text"
    attributes: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[tuple[str, str], ...] = ()
    allowed: str = ""
    note: str = ""
    optional: bool = False  # may be None, which is shown as an empty text
    checks: tuple[Callable[[Any], str], ...] = ()  # each says what is wrong with a value, or nothing
    item: Kind | None = None  # of a list, set or tuple,
    many: Callable[[list], Any] = list  # which is made of the items' values
    parts: tuple[Entry, ...] = ()
    build: Callable[[dict], Any] = dict  # from the values of the parts, by name
    take_apart: Callable[[Any], Mapping[str, Any]] = dict  # the reverse
    item_count: int = 0  # of a group in one text
    paths: tuple[str, ...] | None = None
    inject: str = ""  # "figure" or "axes": a fresh one is handed over; "variable": a secret from the environment

    def value(self, text: str) -> Any:
        """The checked value of one text."""
        if self.item is not None:
            return self.checked(self.many(item_values(self.item, list_items(text))), "this list")
        try:
            value = self.read(text)
        except (ValueError, ArithmeticError, KeyError, TypeError, SyntaxError) as error:
            reason = f": {error}" if str(error) and isinstance(error, Explained) else ""
            raise ValueError(f"{text[:60]!r} is not {self.expects}{reason}") from None
        return self.checked(value, repr(text[:60]))

    def checked(self, value: Any, name: str) -> Any:
        for check in self.checks:
            if wrong := check(value):
                raise ValueError(f"{name} {wrong}")
        return value

    def texts(self, value: Any) -> tuple[str, ...]:
        """How the control shows a value: what `read` takes back."""
        if value is None and self.optional:
            return ("",)
        if self.item is None:
            return (self.show(value),)
        values = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        texts = [self.item.texts(each)[0] for each in values]
        return tuple(texts) if self.control == "checkboxes" else (show_items(texts),)


class Explained(ValueError):
    """A ValueError whose text is meant for the person who typed."""


@dataclass(frozen=True)
class Entry:
    """A parameter with its kind and its field: what a form is made of, in a render process."""

    parameter: inspect.Parameter
    kind: Kind
    field: Field


class FormErrors(Exception):
    """What is wrong with the arguments, all at once: messages by field."""

    def __init__(self, errors: Mapping[str, str]):
        super().__init__(in_one_line(errors))
        self.errors = errors


def in_one_line(errors: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {error}" for name, error in errors.items())


class Glob:
    """Which files a path parameter offers: ``Annotated[Path, Glob("logs/*.csv")]``. Several patterns may be given.

    A pattern without a slash is looked for in all sub-folders.
    """

    def __init__(self, *patterns: str):
        self.patterns = patterns


class Runs(Glob):
    """A path parameter that offers the training runs found: ``Annotated[Path, Runs()]``; logs, and folders of them."""

    def __init__(self) -> None:
        super().__init__(*RUNS)


RUNS = ("(runs)",)  # in place of patterns


# -- texts to values and back


def plain_number(text: str) -> str:
    text = text.strip()
    if len(text) > NUMBER_CHARACTERS or not text.isascii():
        raise ValueError
    return text


def finite_number(text: str) -> str:
    """The text of a number whose digits can be written down: 1e9999999 would take all the memory as a Fraction."""
    if re.search(r"(?i)nan|inf|e[+-]?\d{4}", text):
        raise ValueError
    return plain_number(text)


def read_int(text: str) -> int:
    text = plain_number(text)
    if scientific := re.fullmatch(r"([+-]?\d+)\.?(\d*)[eE]\+?(\d{1,2})", text):
        whole, decimals, exponent = scientific[1], scientific[2].rstrip("0"), int(scientific[3])
        if len(decimals) <= exponent:
            return int(whole + decimals + "0" * (exponent - len(decimals)))
    return read_digits(text)


def read_digits(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+(_\d+)*", plain_number(text)):
        raise ValueError
    return int(text)


def read_float(text: str) -> float:
    text = plain_number(text)
    if "," in text:  # a decimal comma, unless it may as well group thousands
        if text.count(",") > 1 or "." in text or re.search(r",\d{3}(?!\d)", text):
            raise Explained("write 1000 or 1.0, without a comma")
        text = text.replace(",", ".")
    return float(text)


def show_float(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def finite(value: float) -> str:
    return "" if isinstance(value, int) or math.isfinite(value) else "is not a finite number"


def read_bool(text: str) -> bool:
    return BOOLS[text.strip().lower()]


def read_line(text: str) -> str:
    """A text in one line: no control characters but the tab."""
    if "\n" in text or "\r" in text:
        raise Explained("one line only")
    return read_text(text)


def read_text(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if len(text) > TEXT_CHARACTERS:
        raise Explained(f"at most {TEXT_CHARACTERS:,} characters")
    if any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise Explained("it has control characters")
    return text


def read_python(text: str) -> Any:
    """What Python would write as int, float, True, False or None is that; the rest is text."""
    if len(text) <= NUMBER_CHARACTERS and re.fullmatch(r"\s*(True|False|None|[+-]?[\d._eE+-]+)\s*", text):
        with contextlib.suppress(ValueError, SyntaxError):
            return ast.literal_eval(text.strip())
    return read_line(text)


UNITS = {"d": 86400, "h": 3600, "m": 60, "min": 60, "s": 1, "ms": 0.001, "us": 0.000001}


def read_timedelta(text: str) -> datetime.timedelta:
    """90 (seconds), 1:30:00, 1h30m, 2d."""
    sign, text = (-1, text.strip()[1:]) if text.strip().startswith("-") else (1, text.strip())
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return sign * datetime.timedelta(seconds=float(text))
    if clock := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text):
        hours, minutes, seconds = clock.groups()
        return sign * datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    pieces = re.findall(r"(\d+(?:\.\d+)?)\s*(d|h|min|ms|us|m|s)\s*", text)
    if not pieces or "".join(re.findall(r"\S", text)) != "".join(number + unit for number, unit in pieces):
        raise ValueError
    total = sum((datetime.timedelta(seconds=float(n) * UNITS[unit]) for n, unit in pieces), datetime.timedelta())
    return sign * total


def show_timedelta(value: datetime.timedelta) -> str:
    sign, value = ("-", -value) if value < datetime.timedelta() else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    pieces = [(value.days, "d"), (hours, "h"), (rest // 60, "m"), (rest % 60, "s"), (value.microseconds, "us")]
    return sign + ("".join(f"{number}{unit}" for number, unit in pieces if number) or "0s")


def read_datetime(text: str) -> datetime.datetime:
    """ISO 8601, or counted from now: now, today, -2h."""
    text = text.strip()
    now = datetime.datetime.now().replace(microsecond=0)
    if text.lower() in ("now", "today") or text[:1] in "+-":
        RECORDER.volatile = True
    if text.lower() in ("now", "today"):
        return now if text.lower() == "now" else datetime.datetime.combine(now.date(), datetime.time())
    if text[:1] in "+-" and text[1:2].isdigit():
        return now + read_timedelta(text.removeprefix("+"))
    return datetime.datetime.fromisoformat(text)


def read_date(text: str) -> datetime.date:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()):
        return datetime.date.fromisoformat(text.strip())
    if "T" in text or ":" in text:
        raise ValueError
    return read_datetime(text).date()


def read_time(text: str) -> datetime.time:
    return read_datetime(text).time() if text.strip().lower() == "now" else datetime.time.fromisoformat(text.strip())


def read_dict(text: str) -> dict:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Explained(str(error)) from None
    if not isinstance(value, dict):
        raise ValueError
    return value


LIST_ITEM = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


def list_items(text: str) -> list[str]:
    """The items of a list: separated by commas or spaces, quoted where they contain such."""
    if text.strip() == "[]":
        return []
    if LIST_ITEM.sub("", text).strip(", \t\r\n"):
        raise ValueError('the quotes do not match: write "a b", "c"')
    return [quoted.replace('""', '"') if bare == "" else bare for quoted, bare in LIST_ITEM.findall(text)]


def show_items(texts: Iterable[str]) -> str:
    quoted = ['"' + text.replace('"', '""') + '"' if re.search(r'[\s,"]|^$|^\[\]$', text) else text for text in texts]
    return ", ".join(quoted) or "[]"


# -- the table

NUMBER = {"inputmode": "numeric", "step": "1"}
DECIMAL = {"inputmode": "decimal"}
SECONDS = {"step": "1"}
FLOAT = Kind("a number", read_float, show_float, attributes=DECIMAL, checks=(finite,))
PATH = Kind("a file name", Path, str, paths=("*",))
DATETIME = Kind("a date and time", read_datetime, datetime.datetime.isoformat, "datetime-local", SECONDS)
TIMEDELTA = Kind("a duration like 1h30m", read_timedelta, show_timedelta, attributes={"placeholder": "1h30m"})

TYPES: dict[str, Kind] = {  # by qualified name, looked up along a type's __mro__: no import is needed to name one
    "builtins.bool": Kind("yes or no", read_bool, lambda value: "1" if value else "0", "checkbox"),
    "builtins.int": Kind("a whole number", read_int, str, "number", NUMBER),
    "builtins.float": FLOAT,
    "builtins.complex": Kind("a complex number", lambda text: complex(plain_number(text))),
    "builtins.str": Kind("text", read_line),
    "builtins.dict": Kind("a JSON object", read_dict, json.dumps, "textarea"),
    "numpy.bool": Kind("yes or no", read_bool, lambda value: "1" if value else "0", "checkbox"),
    "numpy.integer": Kind("a whole number", read_int, str, "number", NUMBER),
    "numpy.floating": FLOAT,
    "numpy.dtype": Kind(
        "a dtype",
        control="select",
        choices=tuple((n, n) for n in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")),
    ),
    "pathlib.PurePath": PATH,
    "datetime.datetime": DATETIME,
    "datetime.date": Kind("a date", read_date, datetime.date.isoformat, "date"),
    "datetime.time": Kind("a time", read_time, datetime.time.isoformat, "time", SECONDS),
    "datetime.timedelta": TIMEDELTA,
    "decimal.Decimal": Kind("a decimal number", finite_number, attributes=DECIMAL),
    "fractions.Fraction": Kind("a fraction like 3/4", finite_number),
    "uuid.UUID": Kind("a UUID"),
    "ipaddress._BaseAddress": Kind("an IP address"),
    "ipaddress._BaseNetwork": Kind("an IP network"),
}
STRICTNESS = [
    "bool",
    "integer",
    "int",
    "floating",
    "float",
    "date",
    "datetime",
    "time",
    "timedelta",
    "list",
    "PurePath",
    "str",
]
BY_TEXT = Kind("text", read_python, lambda value: "" if value is None else str(value))
CONTAINERS: dict[Any, Callable[[list], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}
DATA_FILES = ("csv", "tsv", "txt", "log", "json", "jsonl", "xlsx", "xls", "parquet", "npy", "npz", "h5", "db", "out")


def table_entry(annotation: Any) -> tuple[str, Kind] | None:
    """The row of TYPES for a type, or for the nearest of those it derives from."""
    for base in getattr(annotation, "__mro__", ()):
        name = f"{base.__module__}.{base.__qualname__}".replace("numpy.bool_", "numpy.bool")
        name = name.replace("pathlib._local.", "pathlib.")  # Python 3.13
        if name in TYPES:
            return name, TYPES[name]
    return None


# -- from a parameter to its kind


def form_of(function: Callable) -> list[Entry]:
    """What the form of a plot is made of, in the order of its signature."""
    annotations = type_hints(function)
    documented = documented_parameters(inspect.getdoc(function) or "")
    entries = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind_of_doc, text = documented.get(name, ("", ""))
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if not text:
                continue
            kind = LINES if parameter.kind == parameter.VAR_POSITIONAL else PAIRS
            parameter = parameter.replace(annotation=EMPTY)
        else:
            kind = kind_for(name, annotations.get(name, parameter.annotation), parameter.default, kind_of_doc)
        entries.append(Entry(parameter, kind, field_for(parameter, kind, text)))
    return entries


def type_hints(subject: Callable) -> dict[str, Any]:
    """The annotations of a function or a class, those written as text resolved; one that cannot be stays as it is."""
    plain = inspect.unwrap(subject)
    plain = getattr(plain, "__func__", plain)
    names = getattr(plain, "__globals__", None) or vars(sys.modules.get(plain.__module__, types))
    holders = reversed(plain.__mro__) if isinstance(plain, type) else [plain]
    hints = {}
    for name, annotation in itertools.chain.from_iterable(inspect.get_annotations(each).items() for each in holders):
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints[name] = typing.get_type_hints(holder, names, include_extras=True)[name]
        except (NameError, TypeError, AttributeError, SyntaxError):
            hints[name] = annotation
    return hints


def kind_for(name: str, annotation: Any, default: Any = EMPTY, documented: str = "") -> Kind:
    """The kind of a parameter: by its annotation, else by its default, else by its docstring, else text."""
    annotation, hints = unwrapped(annotation)
    if annotation is EMPTY or annotation is Any:
        kind = kind_by_default(name, default, documented)
    else:
        kind = kind_by_annotation(name, annotation, default)
    kind = kind_by_hints(kind, hints, default)
    if isinstance(default, float) and finite(default):
        kind = replace(kind, checks=tuple(check for check in kind.checks if check is not finite))
    if kind.control == "text" and kind.read in (read_line, read_python) and not kind.choices:
        kind = kind_by_name(name, kind, annotation, default)
    return optional(kind) if default is None else kind


def unwrapped(annotation: Any) -> tuple[Any, list]:
    """An annotation without its wrappings (Annotated, NewType, alias, bound TypeVar), and the hints in them."""
    hints: list[Any] = []
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            for hint in annotation.__metadata__:
                grouped = hint if hasattr(hint, "__is_annotated_types_grouped_metadata__") else ()
                hints += [hint, *getattr(hint, "metadata", ()), *grouped]  # pydantic keeps its bounds in .metadata
            annotation = annotation.__origin__
        elif inner_type := (
            getattr(annotation, "__supertype__", None)
            or (getattr(annotation, "__value__", None) if type(annotation).__name__ == "TypeAliasType" else None)
            or (annotation.__bound__ if isinstance(annotation, typing.TypeVar) else None)
        ):
            annotation = inner_type
        else:
            return annotation, hints


def optional(kind: Kind) -> Kind:
    """The same kind, which may be None as well: an empty text."""
    if kind.optional:
        return kind
    if kind.control == "checkbox":
        return replace(kind, control="select", optional=True, choices=(("", "none"), ("1", "yes"), ("0", "no")))
    if kind.control in ("select", "radios"):
        return replace(kind, optional=True, choices=(("", "none"), *kind.choices))
    return replace(kind, optional=True, attributes={"placeholder": "none", **kind.attributes})


def kind_by_annotation(name: str, annotation: Any, default: Any) -> Kind:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if getattr(type(annotation), "__hash__", None) is None:  # a list or a dict
        return replace(BY_TEXT, note=f"type {annotation}: given as text")
    if isinstance(origin or annotation, type) and issubclass(origin or annotation, collections.abc.Mapping):
        return TYPES["builtins.dict"]
    if isinstance(annotation, range):
        return range_kind(annotation)
    if origin is typing.Literal:
        return choice_kind(arguments, control="radios" if 2 <= len(arguments) <= 4 else "select")
    if origin in (typing.Union, types.UnionType):
        members = [member for member in arguments if member is not type(None)]
        kind = kind_for(name, members[0], default) if len(members) == 1 else union_kind(name, members)
        return optional(kind) if len(members) < len(arguments) else kind
    if any(container is (origin or annotation) for container in CONTAINERS):
        return container_kind(name, origin or annotation, arguments, default)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return choice_kind(list(annotation), control="select")
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return dataclass_kind(name, annotation, default)
    if origin is collections.abc.Callable or annotation in (collections.abc.Callable, types.ModuleType):
        return Kind("", control="none")
    if str(getattr(annotation, "__module__", "")).startswith("matplotlib.") and annotation.__name__ in INJECTED:
        return Kind("", control="none", inject=INJECTED[annotation.__name__])
    if found := table_entry(annotation):
        return derived(found[1], annotation, found[0].rpartition(".")[2])
    if getattr(annotation, "__name__", "") in ("SecretStr", "SecretBytes"):  # pydantic's
        return Kind("", annotation, control="none", inject="variable")
    if annotation is None or not callable(annotation) or isinstance(annotation, typing.TypeVar):
        return replace(BY_TEXT, note=f"type {annotation}: given as text")
    return Kind(f"a {annotation.__name__}", annotation, note=f"type {annotation.__name__}: given as text")


INJECTED = {"Figure": "figure", "Axes": "axes"}


def derived(kind: Kind, annotation: type, row: str) -> Kind:
    """A row of the table for the type itself, or for one derived from the row's: its own constructor comes last."""
    if row == "dtype":  # the dtypes' own types take no text
        annotation = next(base for base in annotation.__mro__ if base.__name__ == row)
    elif annotation.__name__ in (row, "bool_", "Path", "integer", "floating") and kind.read not in (str, finite_number):
        return kind

    def read(text: str) -> Any:
        value = kind.read(text)
        return value if isinstance(value, annotation) else annotation(value)

    return replace(kind, read=read)


def kind_by_default(name: str, default: Any, documented: str) -> Kind:
    """The kind of a parameter without annotation."""
    if (default is EMPTY or default is None) and name in ("fig", "figure", "ax", "axes"):
        return Kind("", control="none", inject="figure" if name.startswith("fig") else "axes")
    if isinstance(default, range):
        return range_kind(default)
    if isinstance(default, enum.Enum):
        return choice_kind(list(type(default)), control="select")
    if isinstance(default, (list, set, frozenset, tuple)):
        types_found = {type(each) for each in default}
        item = types_found.pop() if len(types_found) == 1 else EMPTY
        container = next(each for each in CONTAINERS if isinstance(default, each))
        return container_kind(name, container, (item, ...) if container is tuple else (item,), default)
    if choices := documented_choices(documented, default):
        return choice_kind(choices, control="select")
    if default is not EMPTY and default is not None:
        return BY_TEXT if callable(default) else kind_by_annotation(name, type(default), default)
    simple = {"int": int, "float": float, "bool": bool, "str": str}.get(documented.split(",")[0].strip())
    return kind_by_annotation(name, simple, default) if simple else BY_TEXT


def documented_choices(documented: str, default: Any) -> list[Any]:
    """The values that NumPy's style lists: {'line', 'bar'}."""
    listed = re.match(r"\{(.+)\}", documented)
    if not listed:
        return []
    try:
        values = list(ast.literal_eval(f"[{listed[1]}]"))
    except (ValueError, SyntaxError):
        values = re.findall(r"[^\s,]+", listed[1])
    return values if default is EMPTY or default is None or default in values else []


def choice_kind(values: Iterable[Any], labels: Iterable[str] | None = None, control: str = "select") -> Kind:
    """One of several values; by name, or where names are ambiguous by number."""
    values = list(values)
    names = [value.name if isinstance(value, enum.Enum) else str(value) for value in values]
    texts = names if len(set(names)) == len(names) and "" not in names else [str(n) for n in range(len(values))]
    if labels is None:
        labels = [n.replace("_", " ") if isinstance(v, enum.Enum) else n for n, v in zip(names, values, strict=True)]
    shown = list(labels)
    by_text = dict(zip(texts, values, strict=True))

    def show(value: Any) -> str:
        same = [text for text, each in by_text.items() if each == value and type(each) is type(value)]
        return same[0] if same else str(value)

    few = ", ".join(shown[:12]) + (" …" if len(shown) > 12 else "")
    return Kind(f"one of {few}", by_text.__getitem__, show, control, choices=tuple(zip(texts, shown, strict=True)))


def range_kind(values: range) -> Kind:
    """A whole number out of a range."""

    def out_of_range(value: int) -> str:
        return "" if value in values else f"is not one of {', '.join(map(str, values[:2]))} … {max(values, default='')}"

    kind = bounded(TYPES["builtins.int"], values) if values else TYPES["builtins.int"]
    show = lambda value: str(value[0] if isinstance(value, range) else value)  # noqa: E731
    return replace(kind, checks=(out_of_range,), show=show)


def bounded(kind: Kind, values: range) -> Kind:
    """A whole number between bounds: all of them to choose from where they are few."""
    low, high = min(values), max(values)
    limits = {"min": str(low), "max": str(high), "step": str(abs(values.step))}
    choices = tuple((str(value), str(value)) for value in values) if len(values) <= 200 else ()
    control = "select" if len(values) <= 12 else kind.control
    return replace(
        kind, control=control, choices=choices, attributes={**kind.attributes, **limits}, allowed=f"{low} … {high}"
    )


def container_kind(name: str, container: Any, arguments: tuple, default: Any) -> Kind:
    """A list, a set, or a tuple; a tuple of fixed length is a group of fields."""
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        fits = isinstance(default, (tuple, list)) and len(default) == len(arguments)
        given = default if fits else [EMPTY] * len(arguments)
        names = [f"{name}.{number}" for number in range(len(arguments))]
        parts = tuple(part_entry(*each, default is not EMPTY) for each in zip(names, arguments, given, strict=True))
        build = lambda values: tuple(values[part] for part in names)  # noqa: E731
        take_apart = lambda value: dict(zip(names, value, strict=False))  # noqa: E731
        return Kind("", control="group", parts=parts, build=build, take_apart=take_apart)
    item = in_one_text(kind_for("", arguments[0] if arguments else EMPTY))
    many = CONTAINERS[container]
    if item.paths is not None or (item.choices and "step" not in item.attributes):
        return Kind(item.expects, item=item, many=many, control="checkboxes", choices=item.choices, paths=item.paths)
    long = isinstance(default, (list, tuple, set)) and len(default) > 5
    note = "several, separated by commas or spaces"
    return Kind(item.expects, item=item, many=many, control="textarea" if long else "text", note=note)


def in_one_text(kind: Kind) -> Kind:
    """A group as a single text, where it is an item of a list or one of several types."""
    if not kind.parts:
        return kind

    def read(text: str) -> Any:
        items = list_items(text)
        if len(items) != len(kind.parts):
            raise Explained(f"it takes {len(kind.parts)} values")
        return kind.build(
            {part.field.name: part.kind.value(each) for part, each in zip(kind.parts, items, strict=True)}
        )

    def show(value: Any) -> str:
        values = kind.take_apart(value).values()
        return show_items(part.kind.texts(each)[0] for part, each in zip(kind.parts, values, strict=True))

    note = f"{len(kind.parts)} values, separated by commas or spaces"
    return Kind(f"{len(kind.parts)} values", read, show, note=note, item_count=len(kind.parts))


def dataclass_kind(name: str, cls: type, default: Any) -> Kind:
    """A dataclass: a group with a field for each of its fields."""
    hints = type_hints(cls)
    parts, attributes = [], [each for each in dataclasses.fields(cls) if each.init]
    for each in attributes:
        given = getattr(default, each.name) if isinstance(default, cls) else each.default
        if given is dataclasses.MISSING:
            given = each.default_factory() if each.default_factory is not dataclasses.MISSING else EMPTY
        parts.append(part_entry(f"{name}.{each.name}", hints[each.name], given, default is not EMPTY))
    names = [each.name for each in attributes]

    def build(values: dict) -> Any:
        return cls(**{each: values[f"{name}.{each}"] for each in names})

    def take_apart(value: Any) -> dict[str, Any]:
        return {f"{name}.{each}": getattr(value, each) for each in names}

    return Kind("", control="group", parts=tuple(parts), build=build, take_apart=take_apart)


def part_entry(name: str, annotation: Any, default: Any, may_be_absent: bool) -> Entry:
    """A field within a group; where the whole group may be left out, so may each of its fields."""
    own_name = name.rpartition(".")[2]
    parameter = inspect.Parameter(
        own_name if own_name.isidentifier() else "part", inspect.Parameter.KEYWORD_ONLY, default=default
    )
    kind = kind_for(name, annotation, default)
    group, _, part = name.rpartition(".")
    label = f"{group} {int(part) + 1}" if part.isdigit() else part.replace("_", " ")
    shown = replace(field_for(parameter, kind, ""), name=name, label=label)
    return Entry(parameter, kind, replace(shown, required=shown.required and not may_be_absent))


def union_kind(name: str, members: Sequence[Any]) -> Kind:
    """One text, read as the strictest of several types that takes it; choices are merged."""
    kinds = [in_one_text(kind_for(name, member)) for member in members]
    if float in members:  # then 1e6 is one, and no int
        kinds = [replace(kind, read=read_digits) if kind.read is read_int else kind for kind in kinds]
    if all(kind.choices and kind.control in ("select", "radios") for kind in kinds):
        values = [kind.value(text) for kind in kinds for text, _ in kind.choices]
        return choice_kind(values, control="select")

    def strictness(pair: tuple[Any, Kind]) -> int:
        row = "list" if pair[1].item or pair[1].item_count else (table_entry(pair[0]) or ("",))[0].rpartition(".")[2]
        return STRICTNESS.index(row) if row in STRICTNESS else -1

    ordered = sorted(zip(members, kinds, strict=True), key=strictness)

    def read(text: str) -> Any:
        reasons = []
        for _, kind in ordered:
            try:
                return kind.value(text)
            except ValueError as error:
                reasons.append(str(error).removeprefix(f"{text[:60]!r} is "))
        raise Explained(", ".join(reasons))

    def show(value: Any) -> str:
        own = [kind for member, kind in ordered if type(value) is (typing.get_origin(member) or member)]
        return own[0].texts(value)[0] if own else str(value)

    paths = next((kind.paths for kind in kinds if kind.paths is not None), None)
    count = max(kind.item_count or bool(kind.item) for kind in kinds)
    note = "several values are separated by commas or spaces" if count else ""
    return Kind(" or ".join(kind.expects for _, kind in ordered), read, show, paths=paths, note=note, item_count=count)


# -- hints in Annotated, and in names


def kind_by_hints(kind: Kind, hints: Sequence[Any], default: Any) -> Kind:
    """A kind with what Annotated says besides: choices, bounds, patterns; by duck typing, without any import."""
    for hint in hints:
        if isinstance(hint, (list, dict)) and hint:
            labels = list(map(str, hint))
            kind = choice_kind(hint.values() if isinstance(hint, dict) else hint, labels)
        elif isinstance(hint, range):
            kind = range_kind(hint)
        elif isinstance(hint, Glob) or type(hint).__name__ in ("Glob", "Runs"):
            kind = replace(kind, paths=tuple(hint.patterns))
        elif hint == "multiline":
            kind = replace(kind, control="textarea", read=read_text)
        elif hint in ("color", "colour"):
            kind = color_kind(default)
        elif hint == "secret":
            kind = replace(kind, control="none", inject="variable")
        elif isinstance(hint, str):
            kind = replace(kind, note=hint)
        elif text := getattr(hint, "documentation", None):
            kind = replace(kind, note=str(text))
    return kind_with_bounds(kind, hints)


def kind_with_bounds(kind: Kind, hints: Sequence[Any]) -> Kind:
    found = {name: value for name in BOUNDS for hint in hints if (value := getattr(hint, name, None)) is not None}
    checks = tuple(functools.partial(BOUNDS[name], value) for name, value in found.items())
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    step = found.get("multiple_of", 1)
    if kind.control == "number" and all(isinstance(each, (int, type(None))) for each in (low, high, step)):
        low = None if low is None else low + ("ge" not in found)
        low = None if low is None else low + -low % step  # browsers count the steps from here
        high = None if high is None else high - ("le" not in found)
    if kind.control == "number" and isinstance(low, int) and isinstance(high, int) and range(low, high + 1, step):
        kind = bounded(kind, range(low, high + 1, step))
    else:
        limits = {"min": low, "max": high, "step": found.get("multiple_of")} if kind.control != "text" else {}
        names = {"minlength": "min_length", "maxlength": "max_length", "pattern": "pattern"} if not kind.item else {}
        texts = {name: getattr(found.get(key), "pattern", found.get(key)) for name, key in names.items()}
        extra = {name: str(value) for name, value in {**limits, **texts}.items() if value is not None}
        sides = [f"{low} …" if low is not None else "", f"… {high}" if high is not None else ""]
        allowed = f"{low} … {high}" if all(sides) else "".join(sides)
        kind = replace(kind, attributes={**kind.attributes, **extra}, allowed=allowed or kind.allowed)
    return replace(kind, checks=(*kind.checks, *checks))


def is_multiple(of: Any, value: Any) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    ratio = value / of
    return bool(abs(ratio - round(ratio)) < 1e-9)


BOUNDS: dict[str, Callable[[Any, Any], str]] = {  # attribute of a hint: what is wrong with a value
    "ge": lambda bound, value: "" if value >= bound else f"is below {bound}",
    "gt": lambda bound, value: "" if value > bound else f"is not above {bound}",
    "le": lambda bound, value: "" if value <= bound else f"is above {bound}",
    "lt": lambda bound, value: "" if value < bound else f"is not below {bound}",
    "multiple_of": lambda bound, value: "" if is_multiple(bound, value) else f"is not a multiple of {bound}",
    "min_length": lambda bound, value: "" if len(value) >= bound else f"is shorter than {bound}",
    "max_length": lambda bound, value: "" if len(value) <= bound else f"is longer than {bound}",
    "pattern": lambda bound, value: "" if re.fullmatch(bound, value) else f"does not match {bound}",
    "func": lambda bound, value: "" if bound(value) else f"is refused by {getattr(bound, '__name__', 'its check')}",
    "tz": lambda bound, value: "" if (value.tzinfo is None) == (bound is None) else "has the wrong time zone",
}
SECRET_NAME = re.compile(r"(?i)(.*_)?(password|passwd|token|secret|api_?key)")
PATH_NAME = re.compile(r"(?i)(.*_)?(path|file|filename)")
COLOR_NAME = re.compile(r"(?i)(.*_)?colou?r")
HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def kind_by_name(name: str, kind: Kind, annotation: Any, default: Any) -> Kind:
    """What the name of a text parameter, or its default, tells about it."""
    name = name.rpartition(".")[2]  # of a group's part
    shown = default if isinstance(default, str) else ""
    if SECRET_NAME.fullmatch(name):
        return replace(kind, control="none", inject="variable")
    if annotation is EMPTY and PATH_NAME.fullmatch(name):
        return replace(PATH, read=str, paths=path_patterns(name, default))
    if COLOR_NAME.fullmatch(name) or HEX_COLOR.fullmatch(shown):
        return color_kind(default)
    if registered := registered_names(name) if shown else ():
        return choice_kind(dict.fromkeys([*registered, shown]))
    if "\n" in shown or len(shown) > 60:
        return replace(kind, control="textarea", read=read_text)
    if kind.read is read_python and re.fullmatch(r"(?i)n_.*|.*_size|epochs?|steps?|lr|alpha|.*_rate", name):
        whole = not re.fullmatch(r"(?i)lr|alpha|.*_rate", name)
        return replace(kind, attributes={"inputmode": "numeric" if whole else "decimal"})  # the keyboard only
    return kind


def path_patterns(name: str, default: Any) -> tuple[str, ...]:
    """Which files to offer: by the default's own pattern, by its folder and suffix, by the name."""
    text = str(default) if isinstance(default, (str, Path)) and str(default) != "latest" else ""
    if "*" in text:
        return (text,)
    if suffix := os.path.splitext(text)[1]:
        return (os.path.join(os.path.dirname(text), "*" + suffix),)
    hints = [word for word in re.split(r"[_\d]+", name.lower()) if word in DATA_FILES]
    return tuple("*." + ending for ending in hints or DATA_FILES)


def registered_names(name: str) -> Sequence[str]:
    """The names that matplotlib knows for a colormap, a marker or a line style."""
    if name in ("cmap", "colormap") and (matplotlib := sys.modules.get("matplotlib")):
        return sorted(matplotlib.colormaps, key=lambda each: each.endswith("_r"))
    return {"marker": list(".,ov^<>12348spP*hH+xXDd|_"), "linestyle": ["-", "--", "-.", ":"]}.get(name, [])


def color_kind(default: Any) -> Kind:
    """A colour: by matplotlib's names, or picked where the default is #rrggbb."""
    colors = sys.modules.get("matplotlib.colors")

    def read(text: str) -> str:
        if colors is not None and not colors.is_color_like(text):
            raise ValueError
        return read_line(text)

    names = [*colors.TABLEAU_COLORS, *colors.CSS4_COLORS] if colors else []
    picked = isinstance(default, str) and HEX_COLOR.fullmatch(default)
    if picked:
        return Kind("a colour", read, lambda value: value.lower() if HEX_COLOR.fullmatch(value) else value, "color")
    return Kind("a colour", read, choices=tuple((name, name) for name in names))


# -- from a kind to a field, and from texts to arguments


def field_for(parameter: inspect.Parameter, kind: Kind, help: str) -> Field:
    """The field of a parameter: what the server needs to know of it."""
    default = parameter.default
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    texts = () if default is EMPTY or kind.inject or kind.parts else default_texts(kind, default)
    paths = kind.paths
    if paths is not None and paths == PATH.paths:
        paths = path_patterns(parameter.name, default)
    if paths is not None and "*" in "".join(texts) and not (kind.item and paths == RUNS):
        texts = ("latest",)
    attributes = {**kind.attributes, "placeholder": "auto"} if is_auto(default) else kind.attributes
    sentence = re.match(r"(?s).*?[.!?](?=\s|$)", help)
    first = sentence[0] if sentence else help
    takes_text = kind.control in ("text", "textarea") and not kind.choices and paths is None
    innermost = kind.item or kind
    as_sent = (read_line, read_text, read_python, read_dict, read_lines, read_pairs)
    letters = takes_text and (innermost.read in as_sent or bool(kind.note))
    return Field(
        name=parameter.name,
        label=parameter.name.replace("_", " ").strip() or parameter.name,
        control=kind.control,
        texts=texts,
        required=default is EMPTY and not variadic and kind.control not in ("none", "group", "checkboxes"),
        empty="value" if kind.optional or kind.read in (read_line, read_text) else "default",
        choices=kind.choices,
        attributes=attributes,
        allowed=kind.allowed,
        help=first,
        details=help[len(first) :].strip(),
        note=kind.note,
        multiple=kind.control == "checkboxes",
        parts=tuple(part.field for part in kind.parts),
        paths=paths,
        free_text=("list" if kind.item or kind.item_count else "text") if letters else "",
    )


def is_auto(default: Any) -> bool:
    """Is a default computed at the call, like a function that tells the time?"""
    return default is not EMPTY and callable(default) and not isinstance(default, (type, enum.Enum))


def default_texts(kind: Kind, default: Any) -> tuple[str, ...]:
    """How a default is shown in its control."""
    if default is None and kind.control == "checkboxes":
        return ()
    if default is None or is_auto(default) or (kind.item and kind.control != "checkboxes" and not default):
        return ("",)
    try:
        return kind.texts(default)
    except (TypeError, ValueError, AttributeError):  # a default of another type than its annotation says
        return (str(default),)


def bind_arguments(function: Callable, texts: Mapping[str, tuple[str, ...]]) -> Callable[[], Any]:
    """The call of a plot with the values of these texts, defaults left out; not called yet.

    Raises FormErrors with a message for every field that is wrong.
    """
    errors: dict[str, str] = {}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    injected: dict[str, str] = {}
    entries = form_of(function)
    for entry in entries:
        parameter = entry.parameter
        if entry.kind.inject in ("figure", "axes"):
            injected[parameter.name] = entry.kind.inject
        value = value_of(entry, texts, errors)
        if value is EMPTY:
            continue
        if parameter.kind == parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind == parameter.VAR_KEYWORD:
            if taken := sorted(set(value) & {each.parameter.name for each in entries}):
                errors[parameter.name] = f"{taken[0]} is a parameter of its own"
            named |= value
        else:
            named[parameter.name] = value
    if errors:
        raise FormErrors(errors)
    return functools.partial(call_plot, function, positional, named, injected)


def call_plot(function: Callable, rest: list, named: dict[str, Any], injected: dict[str, str]) -> Any:
    """Call a plot; positional-only parameters by position, injected figures and axes made fresh."""
    if injected:
        from matplotlib import pyplot

        figure = pyplot.figure()
        axes = figure.add_subplot() if "axes" in injected.values() else None
        named |= {name: figure if what == "figure" else axes for name, what in injected.items()}
    signature = inspect.signature(function)
    bound = signature.bind_partial()
    for name, parameter in signature.parameters.items():
        if parameter.kind == parameter.VAR_POSITIONAL:
            bound.arguments |= {name: tuple(rest)} if rest else {}
        elif parameter.kind == parameter.VAR_KEYWORD:
            bound.arguments[name] = {n: v for n, v in named.items() if n not in signature.parameters}
        elif name in named:
            bound.arguments[name] = named[name]
        elif (
            parameter.default is not EMPTY
            and parameter.kind != parameter.KEYWORD_ONLY
            and (rest or parameter.kind == parameter.POSITIONAL_ONLY)
        ):
            bound.arguments[name] = parameter.default  # no gap before one that is given by position
    return function(*bound.args, **bound.kwargs)


def text_pieces(leaf: Field, text: str) -> list[str]:
    """What in a text could be a name: its lines, their values, the items of a list, the strings within JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        if leaf.control == "textarea" and text.lstrip().startswith("{"):
            text = "\n".join(re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(json.loads(text), ensure_ascii=False)))
    apart = r'[\s,"]+' if leaf.free_text == "list" else r"[\n=]" if leaf.control == "textarea" else r"\n"
    return [text, *re.split(apart, text)]


def given_texts(leaf: Field, typed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What the query says for a field; None where that is nothing but the default.

    Raises ValueError where a field that takes one value is given several, or a required one none.
    """
    if typed is not None:
        if leaf.control == "checkbox":
            typed = typed[-1:]  # of the hidden pair, the last wins
        elif leaf.multiple:
            typed = tuple(text for text in typed if text)  # the hidden marker says "none chosen"
        elif len(typed) > 1:
            raise ValueError("given more than once")
        elif typed == ("",) and leaf.empty == "default":
            typed = None
    if typed is None and leaf.required:
        raise ValueError("required")
    return None if typed == leaf.texts else typed


def value_of(entry: Entry, texts: Mapping[str, tuple[str, ...]], errors: dict[str, str]) -> Any:
    """The value of one field, or EMPTY where the plot's own default is to serve."""
    kind, name, default = entry.kind, entry.field.name, entry.parameter.default
    if kind.parts:
        return group_value(entry, texts, errors)
    given = texts.get(name) if kind.control != "none" else None
    variable = name.rpartition(".")[2].upper()
    if kind.inject == "variable" and variable in os.environ:
        given = (os.environ[variable],)
    if given is None:
        if default is EMPTY and entry.field.required:
            errors[name] = "required"
        elif default is EMPTY and kind.control == "none" and kind.inject not in ("figure", "axes"):
            what = f"set the environment variable {variable}" if kind.inject else "give it a default in the code"
            errors[name] = f"is not asked for in the form: {what}"
        elif default is EMPTY and entry.field.multiple:
            return kind.many([])
        elif isinstance(default, range):
            return default[0]
        return EMPTY
    try:
        if given == ("",) and kind.optional:
            return None
        if kind.item is not None and entry.field.multiple:
            return kind.checked(kind.many(item_values(kind.item, given)), "this list")
        return kind.value(given[0])
    except ValueError as error:
        errors[name] = str(error)
        return EMPTY


def item_values(kind: Kind, texts: Sequence[str]) -> list[Any]:
    values = []
    for number, text in enumerate(texts, 1):
        try:
            values.append(None if kind.optional and not text else kind.value(text))
        except ValueError as error:
            raise ValueError(f"item {number}: {error}") from None
    return values


def group_value(entry: Entry, texts: Mapping[str, tuple[str, ...]], errors: dict[str, str]) -> Any:
    """The value of a group; its default as a whole where none of its fields says otherwise."""
    parts = entry.kind.parts
    if not any(leaf.name in texts for leaf in leaves(entry.field.parts)) and entry.parameter.default is not EMPTY:
        return EMPTY
    before = len(errors)
    values = {part.field.name: value_of(part, texts, errors) for part in parts}
    for part in parts:
        if values[part.field.name] is EMPTY:
            values[part.field.name] = part.parameter.default
            if part.parameter.default is EMPTY:
                errors.setdefault(part.field.name, "required")
    return entry.kind.build(values) if len(errors) == before else EMPTY


def read_lines(text: str) -> list[Any]:
    return [literal(line) for line in text.splitlines() if line.strip()]


def read_pairs(text: str) -> dict[str, Any]:
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    if any(not equals or not key.strip().isidentifier() for key, equals, _ in pairs):
        raise ValueError
    return {key.strip(): literal(value) for key, _, value in pairs}


def literal(text: str) -> Any:
    """A Python literal, or else the text itself."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return read_line(text.strip())


LINES = Kind("values, one a line", read_lines, control="textarea", note="one a line")
PAIRS = Kind("lines of the form key=value", read_pairs, control="textarea", note="key=value, one a line")


# -- docstrings: NumPy's, Google's and Sphinx' ways to tell about parameters

SECTION = re.compile(
    r"((?:Other |Keyword )?(?:Parameters|Args|Arguments)|Returns|Yields|Raises|Warns|Notes?|Examples?|See Also|"
    r"References)\s*(:?)$"
)
SPHINX = re.compile(r"(?ms)^:(?:param|parameter|arg|argument)\s+(?:([^:\n]*?)\s+)?(\*{0,2}\w+):(.*?)(?=^:|^\s*$|\Z)")
SPHINX_TYPE = re.compile(r"(?m)^:type\s+(\w+):\s*(.*)$")
NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::\s*(.*))?()$")
GOOGLE_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?:\(([^)]*)\))?\s*:\s*(.*)$")


def docstring_parts(doc: str | None) -> tuple[str, str]:
    """The first line of a docstring, and the rest without what is about parameters and results."""
    first, _, rest = inspect.cleandoc(doc or "").partition("\n")
    prose = docstring_sections(rest)[0]
    return first.strip(), re.split(r"(?m)^:\w+", prose)[0].strip()


def docstring_sections(doc: str) -> tuple[str, list[tuple[bool, list[str]]]]:
    """The prose before the first section, and the lines of each section about parameters (NumPy's style or not)."""
    prose: list[str] = []
    sections: list[tuple[bool, list[str]]] = []
    into = prose
    lines = doc.splitlines()
    for number, line in enumerate(lines):
        ruled = number + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[number + 1]) is not None
        found = SECTION.match(line)
        if found and (ruled or found[2]):
            into = []
            if re.search("Parameters|Arg", found[1]):
                sections.append((ruled, into))
        elif not re.fullmatch(r"\s*-{3,}\s*", line):
            into.append(line)
    return "\n".join(prose), sections


def documented_parameters(doc: str) -> dict[str, tuple[str, str]]:
    """For each parameter that a docstring tells about: its type, if that is told, and the text."""
    found: dict[str, tuple[str, str]] = {}
    for numpy_style, lines in docstring_sections(inspect.cleandoc(doc))[1]:
        names: list[str] = []
        for line in inspect.cleandoc("\n" + "\n".join(lines)).splitlines():
            entry = (NUMPY_ENTRY if numpy_style else GOOGLE_ENTRY).match(line)
            if entry:
                names = [name.strip().lstrip("*") for name in entry[1].split(",")]
                found |= {name: ((entry[2] or "").strip("`"), entry[3]) for name in names}
            else:
                found |= {name: (found[name][0], f"{found[name][1]} {line.strip()}".strip()) for name in names}
    for kind, name, text in SPHINX.findall(doc):
        found[name.lstrip("*")] = (kind, " ".join(text.split()))
    for name, kind in SPHINX_TYPE.findall(doc):
        found[name] = (kind, found.get(name, ("", ""))[1])
    return {name: (kind.strip("`"), text.replace("`", "")) for name, (kind, text) in found.items()}


# -- the page's own fields: a signature, read by the same table


@dataclass(frozen=True)
class Bounds:
    ge: float | None = None
    le: float | None = None


def page(
    refresh_every: typing.Annotated[float, Bounds(ge=0, le=86400)] = REFRESH_SECONDS,
    smooth: typing.Annotated[float, Bounds(ge=0, le=0.999)] = 0,
    logx: bool | None = None,
    logy: bool | None = None,
    xlim: str = "",
    ylim: str = "",
    last: str = "",
    theme: str = "",
    width: typing.Annotated[int | None, range(50, SIDE_PIXELS + 1)] = None,
    height: typing.Annotated[int | None, range(50, SIDE_PIXELS + 1)] = None,
    dpi: typing.Annotated[int | None, range(20, 401)] = None,
    thin: bool = True,
) -> None:
    """What every page asks for besides

    :param refresh_every: how often the page looks for a new picture
    :param smooth: of each line, from 0 (not at all) to 0.999, as TensorBoard does it; the line as it is stays behind
    :param logx: the x axes logarithmic, or not; as the plot has them where left empty
    :param logy: the y axes likewise
    :param xlim: from where to where, such as 0:100, :100 or 0:
    :param ylim: likewise
    :param last: the last points only: their number, or a part of all such as 10%
    :param theme: light, dark, or the name of a matplotlib style
    :param width: pixels; as the plot has it where left empty
    :param height: pixels
    :param dpi: dots an inch; more makes text and lines bigger
    :param thin: draw a line of far more points than pixels with as many as can be seen
    """


def page_fields() -> tuple[Field, ...]:
    seconds: dict[Any, str] = {
        LIVE: "live: as soon as the data change",
        1: "every second",
        5: "every 5 s",
        10: "every 10 s",
        60: "every minute",
        300: "every 5 minutes",
        0: "never",
    }
    fields = []
    for entry in form_of(page):
        read = functools.partial(lambda kind, text: kind.value(text) if text else None, entry.kind)
        fields.append(replace(entry.field, default=entry.parameter.default, read=read))
    choices = tuple((str(number), label) for number, label in seconds.items())
    every, *lens = fields
    themes = tuple((name, name) for name in ("light", "dark"))
    lens = [replace(each, choices=themes) if each.name == "theme" else each for each in lens]
    every = replace(every, control="select", choices=choices, texts=(f"{REFRESH_SECONDS:g}",), allowed="")
    return (replace(every, read=lambda text: LIVE if text == LIVE else fields[0].read(text)), *lens)


PAGE_FIELDS = page_fields()
LENS = tuple(each.name for each in PAGE_FIELDS[1:])  # what is asked of the finished figure

# ---------------------------------------------------------------------------------------------------------------------
# 10 Freshness: what a drawing depends on, and whether it is still good.


class Stamp(typing.NamedTuple):
    """What changes when a file or a folder does, as os.stat tells it."""

    changed_ns: int  # since the epoch
    size: int  # bytes
    status_ns: int  # of its last change of any kind: a file as old as the one whose place it took is told by this,
    inode: int  # or by these
    device: int
    mode: int

    @property
    def is_plain(self) -> bool:
        """Is it a file or a folder, rather than a pipe or a device?"""
        return stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode)


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a path as it stands; None where nothing is there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    status_ns = 0 if path.endswith("-wal") else status.st_ctime_ns  # which SQLite touches when root reads
    return Stamp(status.st_mtime_ns, status.st_size, status_ns, status.st_ino, status.st_dev, status.st_mode)


@dataclass(frozen=True)
class Input:
    """A file or folder that a plot read while drawing, as it stood before it was read."""

    path: str
    stamp: Stamp | None = None  # None: nothing was there
    digest: str = ""  # where it was so young that one more change might have left the same stamp

    @classmethod
    def of(cls, path: str) -> Input:
        stamp = stamp_of(path)
        return cls(path, stamp, digest_of(path) if stamp and stamp.is_plain and is_young(stamp) else "")

    def is_unchanged(self) -> bool:
        return stamp_of(self.path) == self.stamp and (not self.digest or self.digest == digest_of(self.path))

    def settled(self) -> Input:
        """The same without its digest, as soon as the stamp alone can be trusted."""
        return replace(self, digest="") if self.digest and self.stamp and not is_young(self.stamp) else self

    def unless_replaced(self) -> Input:
        """The same, as long as nothing else stands in its place by now, for that may have been read."""
        now = stamp_of(self.path)
        same = not self.stamp or not now or (now.inode, now.device) == (self.stamp.inode, self.stamp.device)
        return self if same else self.never_fresh()

    def never_fresh(self) -> Input:
        return replace(self, digest=secrets.token_hex(16))


def is_young(stamp: Stamp) -> bool:
    tick = TICK_SECONDS if stamp.changed_ns % 10**9 else 2  # seconds; vfat and some network file systems know no less
    return abs(time.time_ns() - max(stamp.changed_ns, stamp.status_ns)) < tick * 1e9


def digest_of(path: str) -> str:
    """What is in a folder or a file, in short; of a large file, its beginning and end."""
    with contextlib.suppress(OSError):
        if os.path.isdir(path):
            content = "\0".join(sorted(os.listdir(path))).encode(errors="surrogateescape")
            return digest(content)
        with open(path, "rb") as file:
            start = file.read(DIGEST_BYTES)
            file.seek(max(file.tell(), os.path.getsize(path) - DIGEST_BYTES))
            return digest(start + file.read(DIGEST_BYTES))
    return secrets.token_hex(16)


def digest(content: bytes) -> str:
    """What differs for any two contents."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


class DrawingCache:
    """The last drawings, within a bound of bytes; of those that nobody asked for again, only a few.

    A program that asks for a thousand pictures once thus pushes out none that somebody looks at.
    """

    def __init__(self, limit: int = CACHE_BYTES):
        self.limit = limit
        self.once = Shelf(min(limit, ONCE_BYTES))
        self.again = Shelf(limit)
        self.lock = threading.Lock()

    def keep(self, key: tuple, version: int, drawing: Drawing) -> None:
        """Keep a drawing as the last of its kind, and where it is a picture, as the last good one."""
        with self.lock:
            before = self.again.get(key) or self.once.get(key)
            if before and (before.version > version or before.drawing is drawing):
                return
            good = drawing if drawing.status == 200 else before.good if before else None
            shelf = self.again if self.again.get(key) else self.once
            shelf.put(key, Kept(drawing, good, version, list(drawing.inputs)))

    def find(self, key: tuple) -> Kept | None:
        """What is kept of a kind; it counts as asked for again."""
        with self.lock:
            if kept := self.once.pop(key):
                self.again.put(key, kept)
            return self.again.get(key)

    def fresh(self, key: tuple, version: int, on_page: bool = False) -> Drawing | None:
        """The last drawing, if drawing anew would give the same; on a page, a slow one for as long as it took.

        Whoever waits on a progress page, which asks every second, would else never see what came of it.
        """
        kept = self.find(key)
        if kept is None or kept.version != version:
            return None
        return kept.drawing if (on_page and kept.is_slow()) or kept.is_fresh() else None

    def good(self, key: tuple) -> Drawing | None:
        """The last good picture, whatever has changed since."""
        kept = self.find(key)
        return kept.good if kept else None


@dataclass
class Kept:
    """A drawing in the cache, and the last good one where that is another."""

    drawing: Drawing
    good: Drawing | None
    version: int  # of the code
    inputs: list[Input]

    @property
    def size(self) -> int:
        return self.drawing.size + (self.good.size if self.good and self.good is not self.drawing else 0)

    def is_slow(self) -> bool:
        """Did it take long, and is it no older than that?"""
        return time.time() - self.drawing.drawn_at < self.drawing.seconds >= SLOW_SECONDS

    def is_fresh(self) -> bool:
        """Is every input as it was?"""
        if self.drawing.volatile or not all(each.is_unchanged() for each in self.inputs):
            return False
        self.inputs[:] = [each.settled() for each in self.inputs]
        return True


class Shelf:
    """Things by key within a bound of bytes: the least recently used are forgotten first, but for the last two."""

    def __init__(self, limit: int):
        self.limit = limit
        self.size = 0
        self.things: collections.OrderedDict[tuple, Kept] = collections.OrderedDict()

    def put(self, key: tuple, thing: Kept) -> None:
        self.pop(key)
        self.things[key] = thing
        self.size += thing.size
        while self.size > self.limit and len(self.things) > 2:
            self.size -= self.things.popitem(last=False)[1].size

    def get(self, key: tuple) -> Kept | None:
        if key in self.things:
            self.things.move_to_end(key)
        return self.things.get(key)

    def pop(self, key: tuple) -> Kept | None:
        thing = self.things.pop(key, None)
        self.size -= thing.size if thing else 0
        return thing


class Rhythms:
    """How often each input used to change, as far as its drawings have seen it."""

    def __init__(self) -> None:
        self.changes: collections.OrderedDict[str, collections.deque[float]] = collections.OrderedDict()
        self.lock = threading.Lock()

    def see(self, inputs: Iterable[Input]) -> None:
        """Note when each of these was changed last."""
        with self.lock:
            for each in inputs:
                if each.stamp and stat.S_ISREG(each.stamp.mode):
                    changes = self.changes.setdefault(each.path, collections.deque(maxlen=CHANGES_KEPT))
                    self.changes.move_to_end(each.path)
                    seconds = each.stamp.changed_ns / 1e9
                    if not changes or seconds > changes[-1]:
                        changes.append(seconds)
            while len(self.changes) > INPUTS_KEPT:
                self.changes.popitem(last=False)

    def silence(self, inputs: Iterable[Input], now: float) -> tuple[float, float] | None:
        """How long there was no change, and how long it usually took; None while that is nothing unusual.

        Of several inputs, the one that changed last counts: it is what a run that goes on would change.
        """
        with self.lock:
            known = [list(self.changes[each.path]) for each in inputs if len(self.changes.get(each.path, ())) > 3]
        if not known:
            return None
        changes = max(known, key=lambda times: times[-1])
        intervals = sorted(later - earlier for earlier, later in itertools.pairwise(changes))
        usual = intervals[len(intervals) // 2]
        silence = now - changes[-1]
        return (silence, usual) if silence > max(STALLED_INTERVALS * usual, STALLED_SECONDS) else None


# -- in render processes: what a plot reads


class Refused(PermissionError):
    """A plot made a path or an address of what the browser sent, and it leads out of the data folders."""


class Ourselves(threading.local):
    """Whether, in this thread, it is we who read."""

    reading = False


class InputRecorder:
    """Sees what a plot reads, by Python's audit events (PEP 578); there is one in each render process."""

    def __init__(self) -> None:
        self.inputs: dict[str, Input] = {}
        self.written: set[str] = set()  # what the plot itself has made or removed
        self.updated: set[str] = set()  # what it has opened for reading and writing
        self.listings: dict[str, set[str] | None] = {}  # of the inputs that it then wrote into, as they were before
        self.volatile = False
        self.sent: tuple[str, ...] = ()  # by the browser
        self.named: tuple[str, ...] = ()  # the files and folders that the browser has named
        self.guarded: set[str] = set()  # those that were seen to be no others when they were open
        self.folders: DataFolders  # which it may lead into; set by begin
        self.code: dict[str, Input] = {}  # what was read by imports
        self.ourselves = Ourselves()  # reading something, rather than the plot?

    def begin(
        self, function: Any, paths: Iterable[str] = (), sent: Sequence[str] = (), folders: Sequence[str] = ()
    ) -> None:
        """Forget the last drawing; of the next, count these arguments as read, and what the plot says it reads."""
        self.inputs, self.written, self.updated, self.listings, self.volatile = {}, set(), set(), {}, False
        self.sent, self.folders = tuple(sent), DataFolders(folders)
        self.named, self.guarded = tuple(map(absolute, paths)) if folders else (), set()
        declared = getattr(function, "inputs", None) or ()
        patterns = [declared] if isinstance(declared, (str, os.PathLike)) else declared
        names = [os.fspath(pattern) for pattern in patterns]
        found = [path for name in names for path in glob.glob(name, recursive=True) or [name]]
        for path in (*paths, *found):
            self.hook("open", (path, "r", 0))

    def hook(self, event: str, arguments: tuple) -> None:
        """See one event, unless it is our own doing."""
        if event in AUDITED and not self.ourselves.reading:
            self.ourselves.reading = True
            try:
                AUDITED[event](self, *arguments)
            finally:
                self.ourselves.reading = False

    def opened(self, path: Any, mode: str | None, flags: int) -> None:
        if isinstance(path, int) or flags & TEMPORARY == TEMPORARY:
            return
        if (set(mode) & set("wax")) if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            if not os.path.isdir(path):  # a temporary file is told by its folder first
                self.changed(path)
        else:
            self.volatile |= mode is None and not os.path.exists(path)  # below a folder that the event does not tell
            self.note(path)
            self.updated |= {absolute(path)} if mode and "+" in mode else set()

    def changed(self, path: Any, *others: Any) -> None:
        """The plot writes or removes this file, or a folder: it is no input, though it may be read afterwards."""
        named = absolute(path)
        if named and (not others or others[-1] == -1):  # else it lies below a folder that is open
            self.refuse(path, named)
            self.written.add(named)
            folder = self.inputs.get(os.path.dirname(named))
            if folder and folder.path not in self.listings:
                self.listings[folder.path] = listing(folder.path) if folder.is_unchanged() else None

    def renamed(self, source: Any, destination: Any, *folders: int) -> None:
        self.changed(source, *folders[:1])
        self.changed(destination, *folders)

    def linked(self, target: Any, path: Any, *folders: int) -> None:
        self.changed(path, *folders)

    def listed(self, path: Any) -> None:
        caller = sys._getframe(3).f_code.co_filename  # beyond hook and audit
        if not isinstance(path, int) and not LOOKING_FOR_MODULES.search(caller):
            self.note("." if path is None else path)

    def globbed(self, pattern: Any, recursive: bool = False, top: Any = None, *others: Any) -> None:
        """A pattern like runs/*/log.csv: it does not list the last folders, where the file may still be missing."""
        parent = os.path.dirname(os.path.join(os.fsdecode(top or ""), os.fsdecode(pattern)))
        while glob.has_magic(parent):
            for folder in filter(os.path.isdir, glob.glob(parent, recursive=recursive)):
                self.note(folder)
            parent = os.path.dirname(parent)
        self.note(parent or ".")  # which nothing lists where the pattern is a plain name, or the folder is not there

    def connected(self, database: Any) -> None:
        """An SQLite database: what was written last may stand in a file of its own beside it.

        We do not look into them: whoever closes one gives up the locks that this process has on it.
        """
        name = os.fsdecode(database)
        if name.startswith("file:"):
            name = urllib.parse.unquote(urllib.parse.urlsplit(name).path)
        if name not in ("", ":memory:"):
            for path in (name, name + "-wal"):
                self.note(path, lambda path: Input(path, stamp_of(path)))

    def unforeseeable(self, *arguments: Any) -> None:
        """What comes over a network, or from another process, may be different each time."""
        if not is_importing():
            self.volatile = True

    def reached(self, *arguments: Any) -> None:
        """Another machine, by its name or address: among the arguments, or in a tuple of theirs."""
        self.unforeseeable()
        texts = [spelling for text in self.sent if has_separator(text) for spelling in spellings(text)]
        parts = [part for each in arguments for part in (each if isinstance(each, tuple) else (each,))]
        names = [re.escape(os.fsdecode(part).casefold()) for part in parts if isinstance(part, (str, bytes)) and part]
        if any(re.search(rf"(?<![\w.-]){name}(?![\w.-])", text) for name in names for text in texts):
            raise Refused(errno.EACCES, f"An address that the browser sent is not reached. {FOLLOW}")

    def refuse(self, path: Any, named: str) -> None:
        """Raise Refused where a path is made of what the browser sent, and lies outside: a second wall, no sandbox.

        A text without a separator counts where it names something in a data folder that is hidden, or a link.
        """
        for text in self.sent:
            if has_separator(text):
                made_of = text in os.fsdecode(path) or named.endswith(os.path.join("/", os.path.normpath(text)))
                refused = made_of and not self.folders.holds(real_path(named))
            else:
                steps = [step for step in (named, *map(str, Path(named).parents)) if os.path.basename(step) == text]
                refused = any(self.folders.holds(real_path(os.path.dirname(step))) for step in steps) and not all(
                    self.folders.holds(real_path(step)) for step in steps
                )
            if refused:
                raise Refused(errno.EACCES, f"A path that the browser sent leads out of the data folders. {FOLLOW}")

    def is_named(self, path: Any) -> bool:
        """Is it a file that the browser has named, or one in a folder that it has named?"""
        if not (self.named or self.sent) or not isinstance(path, (str, bytes, os.PathLike)):
            return False
        named = absolute(path)
        if any(named == each or named.startswith(os.path.join(each, "")) for each in self.named):
            return True
        made_of = any(has_separator(text) and text in os.fsdecode(path) for text in self.sent)
        return made_of and not is_part_of_python(named) and not is_importing()

    def check_opened(self, descriptor: int, path: Any) -> None:
        """Raise Refused where what was opened, by a name that the browser gave, is no file in the data folders.

        The name was looked at before, but may have become a link since: what counts is what is open now.
        """
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(errno.EACCES, "This is not a regular file")
        try:
            real = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # no Linux
            real = real_path(absolute(path))
        if not self.folders.holds(real):
            raise Refused(errno.EACCES, f"A path that the browser sent leads out of the data folders. {FOLLOW}")
        if not self.ourselves.reading:
            self.guarded.add(absolute(path))

    def swapped(self) -> str:
        """A file that the browser has named, and that is now another than before; read by what we cannot guard."""
        for path, each in list(self.inputs.items()):
            if each.stamp and path not in self.guarded and self.is_named(path) and not os.path.isdir(path):
                replaced = each.unless_replaced() is not each
                if replaced or not self.folders.holds(real_path(path)):
                    return path
        return ""

    def note(self, path: Any, seen: Callable[[str], Input] = Input.of) -> None:
        """Count a file or folder as read, unless it is no data: Python's own, the code, a font, a cache."""
        named = absolute(path)
        if not named or named in self.inputs or is_part_of_python(named):
            return
        if is_importing():
            self.code.setdefault(named, Input.of(named))
            return
        self.refuse(path, named)
        if named.startswith(SYSTEMS) or named in self.code or named in users_modules():
            return
        if named.startswith(("/proc/", "/sys/")):  # what these say is new each time, and their times tell nothing
            self.volatile = True
        else:
            self.inputs[named] = found = seen(named)
            self.volatile |= len(self.inputs) > INPUTS_KEPT or not (found.stamp is None or found.stamp.is_plain)

    def read_unseen(self, path: str) -> None:
        """The file or folder is about to be read by something that raises no events."""
        if "://" in path:
            self.volatile = True
        path = os.path.expanduser(path)  # as pandas does
        self.hook("open", (path, "r", 0))
        for folder, _, files in os.walk(path):
            for name in files:
                self.hook("open", (os.path.join(folder, name), "r", 0))

    def missing(self, error: FileNotFoundError) -> str:
        """The file that the plot looked for in vain, as far as the error tells."""
        if (path := absolute(error.filename)) in self.inputs:  # it may have been there a moment before
            return path
        missing = [path for path, each in list(self.inputs.items()) if each.stamp is None]
        names = {path: rf"(?<![\w.]){re.escape(os.path.basename(path))}(?![\w.])" for path in missing}
        return max((path for path in missing if re.search(names[path], str(error))), key=len, default="")

    def seen(self) -> tuple[Input, ...]:
        """The inputs of the drawing, as each stood before it was read; without what the plot itself has written."""
        return tuple(
            self.as_left(each) if path in self.listings or path in self.updated else each.unless_replaced()
            for path, each in list(self.inputs.items())  # threads that the plot has left behind may still read
            if path not in self.written
        )

    def as_left(self, each: Input) -> Input:
        """An input that the plot has changed itself, as it is now; never fresh where somebody else has, too."""
        now = Input.of(each.path)
        if each.path not in self.listings:
            return now
        before, names = self.listings[each.path], {os.path.join(each.path, name) for name in listing(each.path)}
        ours = before is not None and names ^ {os.path.join(each.path, name) for name in before} <= self.written
        return now if ours else each.never_fresh()

    def seen_by(self, function: Any) -> tuple[tuple[Input, ...], bool]:
        """What a plot has read, and whether it must be drawn anew each time all the same."""
        inputs, declared = self.seen(), getattr(function, "volatile", None)
        if declared is not None:
            return inputs, bool(declared)
        unseen = not hasattr(function, "inputs") and reads_unseen(function.__module__)
        return inputs, self.volatile or unseen or not inputs


def has_separator(text: str) -> bool:
    """Could it be a path of more than one name?"""
    return text == ".." or bool(re.search(r"[/\\]", text))


def spellings(text: str) -> Iterator[str]:
    """What libraries make of a text before they look for a host in it."""
    for spelling in (text, urllib.parse.unquote(text)):
        yield spelling.casefold()
        yield unicodedata.normalize("NFKC", spelling).casefold()


RECORDER = InputRecorder()

AUDITED: dict[str, Callable[..., None]] = {
    "open": InputRecorder.opened,
    "os.listdir": InputRecorder.listed,
    "os.scandir": InputRecorder.listed,
    "glob.glob/2": InputRecorder.globbed,
    "pathlib.Path.glob": lambda recorder, top, pattern: recorder.globbed(pattern, True, top),
    "pathlib.Path.rglob": lambda recorder, top, pattern: recorder.globbed(os.path.join("**", pattern), True, top),
    "sqlite3.connect": InputRecorder.connected,
    "os.mkdir": InputRecorder.changed,
    "os.rmdir": InputRecorder.changed,
    "os.remove": InputRecorder.changed,
    "os.truncate": lambda recorder, path, length: recorder.changed(path),
    "os.rename": InputRecorder.renamed,
    "os.link": InputRecorder.linked,
    "os.symlink": InputRecorder.linked,
    "socket.connect": InputRecorder.reached,
    "socket.sendto": InputRecorder.reached,
    "socket.getaddrinfo": InputRecorder.reached,
    "subprocess.Popen": InputRecorder.unforeseeable,
    "os.system": InputRecorder.unforeseeable,
    "os.posix_spawn": InputRecorder.unforeseeable,
    "os.fork": InputRecorder.unforeseeable,
}


class GuardedOpen:
    """Python's `open`, for plots: of what the browser has named it opens regular files in the data folders alone.

    It is no function, which would become a method where a class keeps `open` as an attribute.
    """

    def __init__(self, plain: Callable) -> None:
        self.plain = plain

    def __call__(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not RECORDER.is_named(file):
            return self.plain(file, mode, *arguments, **options)
        if len(arguments) < 6:
            options.setdefault("opener", open_at_once)
        stream = self.plain(file, mode, *arguments, **options)
        try:
            RECORDER.check_opened(stream.fileno(), file)
        except BaseException:
            stream.close()
            raise
        return stream


def guard_open() -> None:
    """Put it in the place of Python's `open`, wherever a module has kept that."""
    plain = io.open
    guarded = GuardedOpen(plain)
    for module in list(sys.modules.values()):
        for name in [name for name, value in list(getattr(module, "__dict__", {}).items()) if value is plain]:
            setattr(module, name, guarded)


def open_at_once(path: str, flags: int) -> int:
    """What may have become a pipe since it was looked at keeps nobody waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def audit(event: str, arguments: tuple) -> None:
    """Called by Python some thousand times a drawing: a plain function takes a third of the time of a method."""
    if event in AUDITED:
        RECORDER.hook(event, arguments)


UNSEEN_READERS = {  # they read outside Python, or in processes of their own, and so raise no event
    *("pyarrow", "polars", "h5py", "duckdb", "safetensors", "tables", "netCDF4", "xarray", "zarr", "cv2", "lmdb"),
    *("pyreadstat", "rasterio", "fiona", "pyogrio", "geopandas", "deltalake", "lance", "tensorflow", "datasets"),
    *("anndata", "scanpy", "soundfile", "librosa", "av", "SimpleITK", "lxml", "psycopg", "psycopg2", "pyodbc"),
    *("pynvml", "tensorboard", "tbparse", "torchvision", "torchaudio", "torchcodec", "aim"),
    *("multiprocessing", "joblib", "dask", "ray"),
}
UNSEEN_BY_PANDAS = ("read_parquet", "read_feather", "read_orc", "read_hdf", "read_spss")
LOOKING_FOR_MODULES = re.compile(r"<frozen importlib|importlib[/\\]metadata")  # in every folder of sys.path
TEMPORARY = getattr(os, "O_TMPFILE", -1)  # a file without a name; what is opened is its folder


def telling(reader: Callable) -> Callable:
    """A reader of pandas' that opens its file unseen, as one that tells."""
    first = next(iter(inspect.signature(reader).parameters))

    @functools.wraps(reader)
    def read(*arguments: Any, **options: Any) -> Any:
        path = arguments[0] if arguments else options.get(first)
        if isinstance(path, (str, os.PathLike)):
            RECORDER.read_unseen(os.fspath(path))
        return reader(*arguments, **options)

    return read


def reads_unseen(module: str) -> bool:
    """Does a module import one of UNSEEN_READERS, or another of the user's modules that does?"""
    seen: set[str] = set()
    left = {module}
    while left:
        seen |= left
        imported = set().union(*map(imports_of, left))
        if not UNSEEN_READERS.isdisjoint(name.partition(".")[0] for name in imported):
            return True
        left = {name for name in imported if file_of(sys.modules.get(name)) in users_modules()} - seen
    return False


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """The dotted names of all that a module's source imports, in its functions too."""
    names, package = set(), getattr(sys.modules[module], "__package__", None) or ""
    try:
        tree = ast.parse(Path(sys.modules[module].__file__ or "").read_bytes())
    except (OSError, SyntaxError, ValueError):  # edited since it was imported
        return frozenset()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            levels = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join(filter(None, [*levels, node.module]))
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def listing(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def absolute(path: Any) -> str:
    """A path as it stands in an audit event, made absolute; empty where it is none."""
    try:
        return os.path.abspath(os.fsdecode(path))
    except (OSError, TypeError, ValueError):
        return ""


def is_importing() -> bool:
    """Is it an import that reads at this moment?"""
    frame: types.FrameType | None = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


# -- whose file it is

INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]")
OURS = (
    os.path.realpath(__file__),
    __file__,
    *(
        os.path.join(os.path.dirname(os.path.realpath(__file__)), "plots", name)
        for name in ("figures.py", "thinning.py")
    ),
)
NOT_USERS = ("<", os.path.join(os.path.dirname(os.__file__), ""), *OURS)
SYSTEMS = (  # zones of time, types of files, how many cores there are
    *("/usr/share/", "/usr/lib/", "/etc/", "/dev/null", "/dev/urandom"),
    *("/sys/fs/cgroup", "/sys/devices/system", "/proc/self/cgroup", "/proc/self/mountinfo", "/proc/cpuinfo"),
)
MATPLOTLIBS = ("matplotlibrc", "fontlist*.json*", "*.mplstyle", "tex.cache/*")
NO_DATA = (".pyc", ".so", ".ttf", ".ttc", ".otf", ".afm", ".pfb")


def is_users_file(path: str) -> bool:
    """Is this source the user's: neither Python's, nor an installed package's, nor plotsrv itself?"""
    return not path.startswith(NOT_USERS) and not INSTALLED.search(path)


def is_part_of_python(path: str) -> bool:
    """Is it what Python and its packages read for themselves: their own files, fonts, caches?"""
    return not is_users_file(path) or path.endswith(NO_DATA) or is_matplotlibs(path)


def is_matplotlibs(path: str) -> bool:
    """Is it one of the files in which matplotlib keeps its settings, or what it has found out?"""
    matplotlib = sys.modules.get("matplotlib")
    folders = (matplotlib.get_configdir(), matplotlib.get_cachedir()) if matplotlib else ()
    return any(fnmatch.fnmatch(path, os.path.join(folder, name)) for folder in folders for name in MATPLOTLIBS)


def users_code() -> tuple[Input, ...]:
    """The user's files that this process has imported, or read while importing: when one changes, the code has."""
    for path in users_modules():
        RECORDER.code.setdefault(path, Input.of(path))
    return tuple(RECORDER.code.values())


def users_modules() -> tuple[str, ...]:
    """The source files of all loaded modules that are the user's."""
    return users_modules_among(len(sys.modules))


@functools.lru_cache(1)
def users_modules_among(count: int) -> tuple[str, ...]:
    files = {file_of(module) for module in list(sys.modules.values())}
    return tuple(sorted(file for file in files if file and is_users_file(file)))


def file_of(module: Any) -> str:
    try:
        file = module.__file__
    except Exception:  # a module that loads itself when it is first asked for something
        return ""
    return file if isinstance(file, str) else ""


# ---------------------------------------------------------------------------------------------------------------------
# 11 Figures: from what a plot returns to bytes.

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


def png_size(image: bytes) -> tuple[int, int]:
    """Width and height of a PNG: the first two numbers of its first chunk, IHDR."""
    return int.from_bytes(image[16:20]), int.from_bytes(image[20:24])


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


def own_picture_of(result: Any, format: str) -> tuple[bytes, str] | None:
    """The picture that a plot has made itself, with its content type; None where it returned a figure."""
    if isinstance(result, str) and result.lstrip()[:4] in ("<svg", "<?xm"):
        result = result.encode()
    if hasattr(result, "getbands"):  # a PIL image
        check_pixels(*result.size)
        memory = io.BytesIO()
        plain = result.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
        (result if plain else result.convert("RGB")).save(memory, "PNG")
        result = memory.getvalue()
    return own_picture(bytes(result), format) if isinstance(result, (bytes, bytearray)) else None


def picture_of(
    result: Any,
    format: str,
    width: int | None = None,
    height: int | None = None,
    dpi: int | None = None,
    fit: Callable[[Any, float], None] = lambda figure, dpi: None,
) -> tuple[bytes, str]:
    """The figure that a plot returned, as a picture, with its content type.

    It is given to `fit` before it is saved, with its final size and dots an inch.
    """
    canvas = canvas_of(result)
    dots = resized(canvas, width, height, dpi)
    fit(canvas, dots)
    return figure_bytes(current_figure() if result is None else result, format, dpi=dots)


def canvas_of(result: Any) -> Any:
    """The matplotlib Figure behind what a plot returned."""
    figure = figure_of(current_figure() if result is None else result)
    return current_figure() if isinstance(figure, types.ModuleType) else getattr(figure, "figure", figure)


def own_picture(image: bytes, format: str) -> tuple[bytes, str]:
    """A picture that is bytes already: it is served as it is."""
    head = image[:16].lstrip()
    found = [content_type for magic, content_type in MAGIC.items() if head.startswith(magic)]
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        found = ["image/webp"]
    if not found:
        raise TypeError("the plot returned bytes that are no PNG, JPEG, GIF, WebP, SVG or PDF")
    if found[0] == "image/png":
        check_pixels(*png_size(image))
    if format != "png" and found[0] != FORMATS[format]:
        raise WrongFormat(f"This plot makes its picture itself, as {found[0]}: there is no {format.upper()} of it.")
    return image, found[0]


class PlainFigures:
    """Stands in for plots/figures.py where plotsrv.py stands alone, or matplotlib is not there: nothing is changed."""

    @staticmethod
    def thinning(on: bool) -> Any:
        return contextlib.nullcontext(types.SimpleNamespace(fit=lambda figure, dpi: None, notes=()))

    class Lens:
        def __init__(self, **asked: Any) -> None:
            self.asked = [name for name, value in asked.items() if value]

        def theme_context(self) -> Any:
            return contextlib.nullcontext()

        def apply(self, figure: Any) -> list[str]:
            names = ", ".join(self.asked)
            return [f"Not applied: {names}. The file plots/figures.py is missing beside plotsrv.py."] if names else []

    @staticmethod
    def headline(figure: Any) -> str:
        return next(filter(None, (axes.get_title() for axes in figure.axes)), "").partition("\n")[0][:80]

    @staticmethod
    def notes_of(figure: Any) -> list[str]:
        return []

    @staticmethod
    def csv_of(figure: Any) -> bytes:
        raise WrongFormat("The data of a figure need the file plots/figures.py, which is missing beside plotsrv.py.")

    @staticmethod
    def json_of(figure: Any, notes: Any) -> bytes:
        return PlainFigures.csv_of(figure)


def current_figure() -> Any:
    """The figure a plot has left open, where it returned none."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        raise TypeError("the plot returned nothing and left no figure open: return the figure")
    return pyplot.gcf()


def resized(figure: Any, width: int | None, height: int | None, dpi: int | None) -> float:
    """Give a figure the size asked for, in pixels; refuse one too large for memory before it is drawn.

    Returns the dots an inch with which it is to be saved.
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
    check_pixels(*figure.get_size_inches() * dots)
    if settings["savefig.bbox"] == "tight":  # as large as what stands in it, wherever that is
        check_pixels(*(figure.get_tightbbox().size + 2 * settings["savefig.pad_inches"]) * dots)
    return float(dots)


def check_pixels(width: float, height: float) -> None:
    """Refuse a picture that is too large for memory, before it is drawn."""
    if width * height > PICTURE_PIXELS:
        limit = f"{PICTURE_PIXELS / 1e6:g} megapixels"
        raise ValueError(f"a picture of {width:.0f} x {height:.0f} pixels is larger than {limit}")


# ---------------------------------------------------------------------------------------------------------------------
# 12 Access: who may ask, and for which files. Safe by default.

FORWARDED = ("forwarded", "x-forwarded-", "x-real-ip", "via")  # how a proxy's header fields begin
PREFIX_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")  # and nothing that could be taken for another host
REFUSALS = (401, 403, 421)  # what is told in the log, besides a full house
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NO_COOKIE = 4, 20, 1, 0xFFFFFFFF  # as in Linux's headers
FOLLOW = "Start plotsrv with the folder as an argument to allow it: python plotsrv.py FOLDER"


def is_owner(client: tuple, server: tuple) -> bool:
    """Is the program at the other end of a connection known to be run by our own user?

    On Linux the kernel tells whose each end of a loopback connection is. Elsewhere whoever is on this machine passes.
    """
    client, server = plain_address(client), plain_address(server)
    if not ipaddress.ip_address(client[0]).is_loopback:
        return False
    if not sys.platform.startswith("linux"):
        return True
    try:
        uid = uid_by_netlink(client, server)
        if uid is None and "." in client[0]:  # an IPv6 socket, as Java opens them for IPv4 too
            uid = uid_by_netlink(*((f"::ffff:{host}", port) for host, port in (client, server)))
    except (OSError, struct.error):  # a container may be without it
        uid = uid_by_table(proc_address(client), proc_address(server))
    return uid == os.getuid() and uid != overflow_uid()


def plain_address(address: tuple) -> tuple[str, int]:
    """Address and port, without an interface; of an IPv4 client of an IPv6 server, as the client has it."""
    host = ipaddress.ip_address(address[0].partition("%")[0])
    return str(getattr(host, "ipv4_mapped", None) or host), address[1]


def uid_by_netlink(local: tuple, remote: tuple) -> int | None:
    """Whose the socket is that connects these two ends: one question to the kernel (sock_diag(7)), 0.1 ms."""
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    ends = b"".join(socket.inet_pton(family, end[0]).ljust(16, b"\0") for end in (local, remote))
    exactly = struct.pack("!HH", local[1], remote[1]) + ends + struct.pack("=III", 0, NO_COOKIE, NO_COOKIE)
    asked = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + exactly  # in whatever state it is
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1)
        kernel.send(struct.pack("=IHHII", 16 + len(asked), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + asked)
        answer = kernel.recv(4096)
    kind, uid = struct.unpack_from("=4xH74xI", answer.ljust(84, b"\0"))
    if kind != SOCK_DIAG_BY_FAMILY:
        code = -struct.unpack_from("=16xi", answer)[0]
        if code != errno.ENOENT:
            raise OSError(code, os.strerror(code))
        return None
    return int(uid) if answer[20:56] == exactly[:36] else None


def proc_address(address: tuple) -> str:
    """An address as /proc/net/tcp writes it: 32-bit words in the machine's byte order."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    packed = socket.inet_pton(family, address[0])
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{address[1]:04X}"


def uid_by_table(local: str, remote: str) -> int | None:
    """The same by the kernel's whole table, which takes some milliseconds, and more where there are many sockets."""
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
    proxies: str = ""  # the addresses of those whose X-Forwarded-* are believed, separated by commas

    def __post_init__(self) -> None:
        self.log = Log(self.token)
        self.trusted = frozenset(plain_address((each, 0))[0] for each in names_in(self.proxies))

    @property
    def asks_everybody(self) -> bool:
        """Is the token for everybody, or at least for all who are meant to come?"""
        return self.everybody or not is_loopback(self.address)

    def behind_proxy(self, request: Request) -> Request:
        """The request as the client sent it, where it came through a proxy that we trust; else as it is.

        Whatever the client may have written into these fields itself is harmless. X-Forwarded-Host would not be.
        """
        if request.client not in self.trusted:
            return request
        own = {name: value.rpartition(",")[2].strip() for name, value in request.headers.items()}  # the last values
        client, prefix = own.get("x-forwarded-for", ""), own.get("x-forwarded-prefix", "")
        return replace(
            request,
            client=client if is_address(client) else request.client,
            secure=request.secure or own.get("x-forwarded-proto") == "https",
            prefix=prefix if PREFIX_PATH.fullmatch(prefix) else "",
        )

    def authorize(self, request: Request) -> str:
        """Raise HTTPError unless the client may ask. Returns a cookie to set, where a token was brought for one."""
        self.check_host(request)
        self.check_site(request)
        if not self.identity:
            return ""
        if request.path == "/token" and self.is_token("".join(request.query.get("token", ()))):
            return self.cookie(request)
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
        allowed = [name.lower() for name in names_in(self.allow_host)]
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

    def cookie(self, request: Request, days: int = 30) -> str:
        """Instead of the token, for a browser; by TLS it goes nowhere without."""
        expiry = str(int(time.time()) + days * 86400)
        value = f"{expiry}.{self.signature(expiry)}"
        kept = f"HttpOnly; SameSite=Lax; Path={request.prefix}/; Max-Age={days * 86400}"
        return f"plotsrv-{self.port}={value}; {kept}" + ("; Secure" if request.secure else "")

    def signature(self, expiry: str) -> str:
        return hmac.new(self.token.encode(), f"{self.port}.{expiry}".encode(), hashlib.sha256).hexdigest()


def is_loopback(address: str) -> bool:
    return address == "localhost" or ipaddress.ip_address(address).is_loopback


def names_in(text: str) -> list[str]:
    """The names in an option that takes several, with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def kept_token() -> str:
    """The token: PLOTSRV_TOKEN, or 192 random bits in a file that only the user can read: it outlives a restart.

    Raises PermissionError where PLOTSRV_TOKEN is too short, or has characters that URLs and pages write differently.
    """
    if token := os.environ.get(TOKEN_VARIABLE, ""):
        if not re.fullmatch(TOKEN_PATTERN, token):
            needs = f"{TOKEN_CHARACTERS} characters at least, and only letters, digits, and - . _ ~"
            raise PermissionError(f"{TOKEN_VARIABLE} could be guessed, or show in a log: it needs {needs}")
        return token
    file, token = token_file(), secrets.token_urlsafe(24)
    with contextlib.suppress(OSError):  # a read-only home: the token lasts as long as this server
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.exists():
            file.chmod(0o600)  # which fails where it is another user's, who would know the token
            if kept := token_in(file):
                return kept
            file.unlink()  # it was never finished
        new = file.with_name(f"token-{os.getpid()}")  # two servers may start at once: the first has its way, as a whole
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as opened:
            opened.write(token)
        with contextlib.suppress(FileExistsError):
            os.link(new, file)
        new.unlink()
        return token_in(file) or token
    return token


def token_in(file: Path) -> str:
    """The token that a file of our own holds; nothing where it holds none."""
    kept = file.read_text(encoding="utf-8", errors="replace").strip()
    return kept if is_ours(file) and re.fullmatch(TOKEN_PATTERN, kept) else ""


def token_file() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "plotsrv" / "token"


def is_ours(file: Path) -> bool:
    """Is it the user's own file? (root may change the mode of others', too.)"""
    return os.name != "posix" or file.stat().st_uid == os.getuid()


class Log:
    """What is told on the terminal while plotsrv serves: a line for each refusal, equal ones once a minute."""

    def __init__(self, secret: str = ""):
        self.secret = secret
        self.refusals: dict[tuple, tuple[float, int]] = {}  # when it was last told, and how often not since
        self.lock = threading.Lock()

    def refused(self, request: Request, status: int, message: str) -> None:
        key, now = (request.client, status, message), time.monotonic()
        with self.lock:
            if len(self.refusals) >= REFUSALS_KEPT:
                self.refusals = {k: told for k, told in self.refusals.items() if now - told[0] < REFUSALS_SECONDS}
            told_at, untold = self.refusals.get(key, (-math.inf, 0))
            is_due = now - told_at > REFUSALS_SECONDS and len(self.refusals) < REFUSALS_KEPT
            self.refusals[key] = (now, 0) if is_due else (told_at, untold + 1)
        if is_due:
            more = f" ({untold} more like it in between)" if untold else ""
            asked = " ".join(filter(None, [request.client, str(status), request.method, request.path[:100]]))
            self.tell([f"{moment(time.time())} {asked}: {message}{more}"])

    def tell(self, lines: Iterable[str]) -> None:
        """Write them on the terminal: without the token, and without what a terminal would take for a command."""
        scrubbed = (line.replace(self.secret, "[token]") if self.secret else line for line in lines)
        plain = [ascii(line)[1:-1][:LINE_CHARACTERS] for line in scrubbed]
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            sys.stderr.write("plotsrv: " + "\n  ".join(plain) + "\n")  # in one piece: others may write as well
            sys.stderr.flush()


HIDDEN = re.compile(r"[/\\]\.")  # in a resolved path, which has no parts . and ..
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
        tops = [os.path.join(folder, "") for folder in self.folders]
        return any(not HIDDEN.search(real, len(top) - 1) for top in tops if os.path.join(real, "").startswith(top))

    def shown(self, path: str) -> str:
        """A path as the user would write it: relative to the data folder it lies in."""
        for folder in self.folders:
            if path == folder or path.startswith(os.path.join(folder, "")):
                return path[len(os.path.join(folder, "")) :] or "."
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


def moment(seconds: float) -> str:
    """A point of time, absolute, with the offset from UTC: an unchanged page stays the same byte for byte."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))


# ---------------------------------------------------------------------------------------------------------------------
# 13 Command line: options only, no logic.


def serve(
    plots: str | type = "",
    *,
    port: int | None = None,
    address: str = "127.0.0.1",
    token: bool = False,
    allow_host: str = "",
    allow_embed: str = "",
    trusted_proxy: str = "",
    cert: str = "",
    key: str = "",
    no_browser: bool = False,
    workers: int = 2,
    timeout: float = TIMEOUT_SECONDS,
    memory: float = 0,
    check: bool = False,
    data: Sequence[str] = (),
) -> int:
    """Serve plots until Ctrl-C or SIGTERM; the keyword arguments are the options of the command line.

    `plots` is a path, several of them, or a handler class of the calling script: then plotsrv starts anew with that
    script's path, and this call does not return. Returns the exit code: 0, or 2 where it cannot start.
    """
    options = dict(locals(), plots="")
    if isinstance(plots, type):
        return start_anew(plots, lambda script: f"plotsrv.serve(**{options | dict(plots=script)!r})")
    if wrong := wrong_option(port, address, workers, timeout, memory, trusted_proxy):
        return failed(wrong)
    ending, application = Ending(), None
    try:
        tls = tls_context(cert, key)
        access = Access(address, port or PORT, allow_host, allow_embed, kept_token(), token, proxies=trusted_proxy)
        application = Application.for_options(plots, data, access, workers, timeout, memory)
        if check:
            return tell_policy(application, tls is not None)
        server = listening(address, port, application, tls)
        application.gallery.refresh(wait=0)  # start importing before the first request asks for it
        announce(server)
        if not (no_browser or access.asks_everybody) and has_display():
            webbrowser.open(url_of(server))
        return run(server, ending)
    except OSError as error:  # of a file or folder, or of the port
        return failed(str(error))
    except KeyboardInterrupt:
        return 130
    finally:
        ending.is_asked = True  # further signals change nothing
        if application:
            application.close()
        stop_forkserver()


def wrong_option(
    port: int | None, address: str, workers: int, timeout: float, memory: float = 0, trusted_proxy: str = ""
) -> str:
    """What is wrong with an option, or nothing."""
    if port is not None and not 0 <= port <= 65535:
        return f"--port: {port} is not between 0 and 65535"
    if workers < 1:
        return f"--workers: {workers} is less than 1"
    if not 0 < timeout < float("inf"):
        return f"--timeout: {timeout:g} is no number of seconds above 0"
    if not 0 <= memory < float("inf"):
        return f"--memory: {memory:g} is no number of GB"
    address = "127.0.0.1" if address == "localhost" else address
    for option, name in (("address", address), *(("trusted-proxy", name) for name in names_in(trusted_proxy))):
        if not is_address(name):
            return f"--{option}: {name} is no IP address"
    return ""


def tls_context(cert: str, key: str) -> ssl.SSLContext | None:
    """What TLS needs, where a certificate was given; raises OSError where that cannot be used."""
    if not cert:
        if key:
            raise OSError("--key: a certificate belongs to it, with --cert FILE")
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key or None, password=lambda: "")  # it would else be asked for
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or error
        raise OSError(f"--cert {cert}{f', --key {key}' if key else ''}: {reason}") from None
    return context


def listening(
    address: str, port: int | None, application: Application, tls: ssl.SSLContext | None = None
) -> PlotServer:
    """A server on that port; where none was asked for, on the default one or the next that is free."""
    for candidate in [port] if port is not None else range(PORT, PORT + 100):
        try:
            server = PlotServer((address, candidate), application, tls)
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                raise OSError(f"{address}, port {candidate}: {why_not(error, candidate)}") from None
        else:
            if port is None and candidate != PORT:
                print(f"plotsrv: port {PORT} is taken, so it is {candidate} this time (--port PORT asks for another)")
            return server
    raise OSError(f"no port from {PORT} to {PORT + 99} is free. --port PORT asks for another.")


class Ending:
    """The signals that ask plotsrv to end: the first one counts, whenever it comes."""

    def __init__(self) -> None:
        self.is_asked = False
        self.at_once = True  # there is nobody yet who would be kept waiting
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self.ask)

    def ask(self, number: int, frame: Any) -> None:
        first, self.is_asked = not self.is_asked, True
        if first and self.at_once:
            raise KeyboardInterrupt


def run(server: PlotServer, ending: Ending) -> int:
    """Serve until a signal; then let the answers under way be given."""
    trimmed_at = time.monotonic()

    def look() -> None:
        nonlocal trimmed_at
        if ending.is_asked:
            raise KeyboardInterrupt
        if time.monotonic() - trimmed_at > TRIM_SECONDS:
            tell_libc("malloc_trim", 0)
            trimmed_at = time.monotonic()

    server.service_actions = look  # type: ignore[method-assign]
    ending.at_once = False  # an exception in the middle of anything could be lost
    tell_libc("mallopt", -8, 1)  # M_ARENA_MAX: an arena for each thread would double our memory in an hour
    tell_libc("malloc_trim", 0)  # what is free since the start: 6 MB where our bytecode could not be cached
    try:
        server.serve_forever(poll_interval=POLL_SIGNALS_SECONDS)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(sys.stdout.fileno(), b"\n")  # after its ^C
    server.wind_up(GRACE_SECONDS)
    return 0


def tell_policy(application: Application, tls: bool) -> int:
    """Print the policy in force: who may ask, for what, and how much of it. Returns the exit code."""
    access, renderer = application.access, application.studio.renderer
    who = "this user on this machine without, everybody else with a token"
    names = ["localhost", "*.localhost", "loopback addresses", *names_in(access.allow_host)]
    names += [] if is_loopback(access.address) else [access.address]
    names += ["every IP address", socket.gethostname()] if access.address in ("0.0.0.0", "::") else []
    sending = f"{CHUNK_BYTES // 1024} KiB sent in {SEND_SECONDS:g} s"
    places = f"{min(CONNECTIONS, descriptors_left())} in all, {CONNECTIONS_EACH} for each address"
    rows = {
        "address": f"{access.address}, port {access.port}, {'HTTPS (TLS 1.2 or newer)' if tls else 'HTTP'}",
        "clients": "everybody needs the token" if access.everybody else who,
        "token": f"from {TOKEN_VARIABLE}" if os.environ.get(TOKEN_VARIABLE) else f"in {token_file()}",
        "names": ", ".join(names),
        "embedding": access.embedder or "nobody",
        "proxies": ", ".join(sorted(access.trusted)) or "none is believed",
        "requests": "GET and HEAD, without a body",
        "connections": f"{places}, besides {STREAMS_IN_ALL} live pictures",
        "time limits": f"header {HEADER_SECONDS:g} s, idle {IDLE_SECONDS:g} s, {sending}",
        "data": ", ".join(application.studio.folders.folders) + "; no hidden files, no links that lead out",
        "plots": ", ".join(root.path for root in application.gallery.roots),
        "drawings": f"{renderer.timeout:g} s each, {QUEUED_DRAWINGS} waiting, {QUEUED_EACH} of one address",
        "memory": f"{renderer.memory / 1e9:.3g} GB for all render processes together",
        "pictures": f"{PICTURE_PIXELS / 1e6:g} megapixels, {SIDE_PIXELS} pixels a side",
    }
    for name, value in rows.items():
        print(f"{name + ':':13}{value}")
    return 0


def start_anew(handler: type, call: Callable[[str], str], arguments: Sequence[str] = ()) -> int:
    """Start anew, with the script that holds the handler class: so the server imports nothing of the user's.

    `call` is the code to be run, made from the --plots option's text.
    """
    if multiprocessing.process.parent_process() is not None:
        return 0  # a render process reads the script, which has no guard
    script = getattr(sys.modules.get(handler.__module__), "__file__", None)
    if not script:
        return failed(f"{handler.__name__} is in no file (a notebook?): save it in a script, and start that")
    code = LOAD + f"sys.exit({call(os.path.realpath(script) + '#' + handler.__qualname__)})"
    command = [sys.executable, "-P", "-c", code, *arguments]
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(sys.executable, command)
    import subprocess

    return subprocess.call(command)


def announce(server: PlotServer) -> None:
    """Tell where to look, and over SSH how to get there."""
    access = server.application.access
    with_token = f"{url_of(server)}token?token={urllib.parse.quote(access.token, safe='')}"
    print(f"plotsrv: {with_token if access.asks_everybody else url_of(server)}")
    if not access.asks_everybody:
        print(f"  other users of this machine, and those who come through a proxy: {with_token}")
    if not (server.tls or is_loopback(access.address)):
        print("  others on the way can read along: --cert FILE and --key FILE encrypt, or use ssh -L")
    if "SSH_CONNECTION" in os.environ and server.server_name.startswith(("127.", "localhost", "::1")):
        host = os.environ["SSH_CONNECTION"].split()[2]
        user = os.environ.get("LOGNAME") or os.environ.get("USER") or "you"
        print(f"  on your own machine: ssh -L {server.server_port}:127.0.0.1:{server.server_port} {user}@{host}")
        print("  then open the address above there")
    print("  Ctrl-C ends it", flush=True)


def url_of(server: PlotServer) -> str:
    host = server.server_name
    host = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http{'s' if server.tls else ''}://{host}:{server.server_port}/"


def has_display() -> bool:
    """Is there a browser to be opened here? Over SSH it would open on the wrong machine, or in the terminal."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def failed(message: str) -> int:
    print(f"plotsrv: {message}", file=sys.stderr)
    return 2


def why_not(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"taken by {holder_of(port)}. --port PORT asks for another."
    return f"{error.strerror}. --address ADDRESS and --port PORT ask for another."


def holder_of(port: int) -> str:
    """Which program listens on a port, as far as this user may know (Linux)."""
    sockets = set()
    with contextlib.suppress(OSError):
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
            sockets |= {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if os.readlink(link) in sockets:
                    pid = link.parts[2]
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    command = re.sub(r"(?s).* -c .*plotsrv\S*\(.*?\)\)", "plotsrv", command)  # as we start ourselves
                    return f"process {pid} ({command.strip()[:80]!a})"
    return "another program"


@typing.no_type_check
def main(
    plots: ("folder or .py file with plots (default: ./plots)", "option", "P", str, None, "PATH") = "",
    port: (f"port to listen on (default: {PORT})", "option", "p", int, None, "PORT") = None,
    address: ("address to listen on", "option", "a", str, None, "ADDRESS") = "127.0.0.1",
    token: ("ask everybody for a token, this user too", "flag", "t") = False,
    allow_host: ("a further name that plotsrv is known by; several with commas", "option", "H", str, None, "NAME") = "",
    allow_embed: ("a site that may embed pages and pictures", "option", "E", str, None, "ORIGIN") = "",
    no_browser: ("open no browser", "flag", "n") = False,
    workers: ("render processes at most", "option", "w", int, None, "N") = 2,
    timeout: ("for one drawing", "option", "T", float, None, "SECONDS") = TIMEOUT_SECONDS,
    memory: ("for all drawings together (default: half of the machine's)", "option", "m", float, None, "GB") = 0,
    trusted_proxy: ("proxies whose X-Forwarded fields count, with commas", "option", "x", str, None, "ADDRESS") = "",
    cert: ("a certificate, for HTTPS", "option", "c", str, None, "FILE") = "",
    key: ("its key, where that is in a file of its own", "option", "k", str, None, "FILE") = "",
    check: ("print the policy in force, and end", "flag", "C") = False,
    *data: ("folders whose files plots may be asked to read (default: this one)", "positional"),
):
    """Serve plot_* functions as live web pages."""
    if isinstance(plots, type) and not sys.argv[1:]:
        return serve(plots)
    if isinstance(plots, type):
        again = lambda script: f"(sys.argv.append('--plots=' + {script!r}), plotsrv.command_line())[1]"  # noqa: E731
        return start_anew(plots, again, sys.argv[1:])
    if unknown := [each for each in data if each.startswith("-")]:
        return failed(f"there is no option {unknown[0]}: --help lists those there are")
    options = dict(port=port, address=address, token=token, allow_host=allow_host, allow_embed=allow_embed)
    options |= dict(no_browser=no_browser, workers=workers, timeout=timeout, memory=memory, check=check)
    return serve(plots, trusted_proxy=trusted_proxy, cert=cert, key=key, data=data, **options)


def command_line() -> int:
    """Run `main` with the options of the command line, which plac reads from its annotations."""
    try:
        Ending()
        with contextlib.suppress(OSError), forkserver_running():  # a drawing that fails for the same reason tells which
            pass  # matplotlib loads while the options are read
        sys.argv[0] = os.path.basename(__file__)
        try:
            import plac_core as plac  # plac without its shells and windows: 3 MB and 50 ms less
        except ImportError:
            code = failed("options need plac: pip install plac") if sys.argv[1:] else main()
        else:
            main.__annotations__ = inspect.get_annotations(main, eval_str=True)
            code = plac.call(main, eager=False)
    except KeyboardInterrupt:  # before there was anything to end
        return 130
    if code and not sys.argv[1:] and window_is_ours():
        input("Press Enter to close this window.")
    return code


def window_is_ours() -> bool:
    """Was the terminal opened for us, by a double click? Then it closes when we end, whatever there is to read."""
    if os.name == "nt":
        return "PROMPT" not in os.environ  # as cmd.exe sets it
    return sys.stdin.isatty() and os.getsid(0) == os.getpid()  # there is no shell in between


if __name__ == "__main__":  # only where there is no exec, see the top
    import plotsrv

    sys.exit(plotsrv.command_line())
