"""The siege of the doors: crowds of slow, idle, rude and cunning clients around a server that a healthy one uses.

`make siege` runs the trials at full length, the tests run them with small numbers. All goes to loopback addresses. The
crowds are programs of their own, `python siege_http.py crowd …`, so that they cost neither the server nor the healthy
client anything but what they send: their Python would else wait for the same interpreter lock.
"""

import http.server
import json
import os
import random
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import count
from pathlib import Path

import raw_requests
from bench import Row, share_of
from measuring import Bench, answer, free_port, megabytes, plotsrv, plotsrv_on, process_tree, write_table

TABLE = "curve.csv"
PAGE = f"/training/convergence?file_path={TABLE}"
PICTURE = f"/training/convergence.png?file_path={TABLE}"
STREAM = f"/training/convergence.live?file_path={TABLE}"
FORM = "/training/convergence/form?file_path={}"  # whose page shows what was typed
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]  # the crowds'; the healthy client is 127.0.0.1
PERSON = {"Accept": "text/html"}

SETTLED_SECONDS = 0.5  # without a thread, a descriptor or a process more or less
REST_SECONDS = 25  # in which all that a crowd took has to be given back
PATIENCE_SECONDS = 30
RATE = 50  # requests of the healthy client, a second
HANG_SECONDS = 2


# ---- Crowds: many clients in one program, each of which has its turn once a second ----


class Slowpoke:
    """A client that does one small thing whenever it has its turn, and comes back a second after it was dropped."""

    def __init__(self, port: int, number: int, path: str) -> None:
        self.port = port
        self.address = ADDRESSES[number % len(ADDRESSES)]
        self.number = number
        self.path = path
        self.socket: socket.socket | None = None
        self.said = False  # the first thing

    def take_turn(self) -> None:
        """Connect, or go on; whatever goes wrong is a connection that was dropped."""
        try:
            if self.socket is None:
                self.connect()
            else:
                self.go_on()
        except BlockingIOError:
            pass
        except OSError:
            self.leave()

    def connect(self, patience: float = 0) -> None:
        """Connect from the client's own address, waiting so long at most for it to be done."""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        self.socket.bind((self.address, 0))
        self.socket.settimeout(patience)
        self.socket.connect_ex(("127.0.0.1", self.port))
        self.socket.settimeout(0)

    def go_on(self) -> None:
        """Read what there is to be read; nothing more."""
        if not self.socket.recv(65536):
            self.leave()

    def leave(self) -> None:
        """The connection is over."""
        self.socket.close()
        self.socket = None
        self.said = False


class SlowHeader(Slowpoke):
    """Sends a header that never ends, ten bytes a second, each of which is allowed where it is."""

    def go_on(self) -> None:
        self.socket.send(b"aaaaaaaaaa" if self.said else b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        self.said = True
        with suppress(BlockingIOError):
            super().go_on()


class SlowReader(Slowpoke):
    """Asks for a page or a picture, and reads ten bytes a second of it."""

    def go_on(self) -> None:
        if not self.said:
            request = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n".encode()
            self.socket.send(request)
            self.said = True
        elif not self.socket.recv(10):
            self.leave()


class Idler(Slowpoke):
    """Asks once, reads the answer, and keeps the connection."""

    def go_on(self) -> None:
        if not self.said:
            self.socket.send(b"GET /plots.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.said = True
        super().go_on()


class HalfGreeter(Slowpoke):
    """Begins a TLS handshake, every second one not even that, and waits."""

    def go_on(self) -> None:
        if not self.said and self.number % 2:
            self.socket.send(b"\x16\x03\x01\x02\x00\x01\x00")
        self.said = True
        super().go_on()


KINDS = {"header": SlowHeader, "page": SlowReader, "picture": SlowReader, "idle": Idler, "greeting": HalfGreeter}
PATHS = {"picture": PICTURE}
SLOTS = 100  # a second: so many groups of clients have their turn one after the other


def be_crowd(port: int, *wanted: str) -> None:
    """Be so many clients of each kind, `header=1000`, until nobody listens any more."""
    clients = []
    for each in wanted:
        kind, _, number = each.partition("=")
        clients += [KINDS[kind](port, len(clients) + i, PATHS.get(kind, PAGE)) for i in range(int(number))]
    raise_limit(len(clients) + 100)
    start = time.monotonic()
    for turn in count():
        for client in clients[turn % SLOTS :: SLOTS]:
            client.take_turn()
        if turn == 2 * SLOTS:
            print("there", flush=True)
        time.sleep(max(0, start + (turn + 1) / SLOTS - time.monotonic()))


def raise_limit(descriptors: int) -> None:
    """Let this process have so many open files, where it may."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, hard), hard))


@contextmanager
def crowd(bench: Bench, port: int, **wanted: int) -> Iterator[None]:
    """A crowd in a process of its own; it is there when the block begins, and gone after it."""
    command = [sys.executable, __file__, "crowd", str(port), *(f"{kind}={number}" for kind, number in wanted.items())]
    with bench.running(command, talks=True) as process:
        assert process.stdout and process.stdout.readline() == "there\n", bench.output().read_text()
        yield


# ---- The healthy client, and what a server holds ----


class Healthy:
    """A client that asks for a page 50 times a second, over kept and new connections in turns."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.path = path
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.kept = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def ask(self, seconds: float, watch: Callable[[], None] = lambda: None) -> float:
        """Ask for so long; the milliseconds that 99 of 100 answers took at most."""
        self.seconds, start = [], time.monotonic()
        for number in range(int(seconds * RATE)):
            time.sleep(max(0, start + number / RATE - time.monotonic()))
            connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS) if number % 2 else self.kept
            begun = time.perf_counter()
            try:
                connection.request("GET", self.path, headers=PERSON)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200 or b"data:image/png" not in body:
                    self.errors.append(f"{response.status}: {body[:200]!r}")
            except (OSError, HTTPException) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
            self.seconds.append(time.perf_counter() - begun)
            if connection is not self.kept:
                connection.close()
            if number % (2 * RATE) == 0:
                watch()
        return 1000 * share_of(self.seconds, 0.99)


def held(pid: int) -> dict[str, int]:
    """The threads and descriptors of a server process, and the processes below it."""
    return {
        "threads": len(os.listdir(f"/proc/{pid}/task")),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "processes": len(process_tree(pid)),
    }


def at_rest(pid: int, before: dict[str, int], what: str) -> list[Row]:
    """A row for each of these, once the server has given back what it took, or time is up."""
    deadline = time.monotonic() + REST_SECONDS
    while any(after > before[name] for name, after in held(pid).items()) and time.monotonic() < deadline:
        time.sleep(0.1)
    after = held(pid)
    return [
        Row(f"{name} after {what}", after[name], "", "no more", most=before[name], baseline=before[name])
        for name in before
    ]


def draw_at_once(ask: Callable[[str], object]) -> None:
    """Ask for several drawings at once, so that both render processes are there."""
    with ThreadPoolExecutor(4) as viewers:
        list(viewers.map(lambda dpi: ask(f"{PICTURE}&dpi={dpi}"), (50, 60, 70, 80)))


def settle(pid: int) -> None:
    """Wait until a server has begun all that it begins by itself."""
    deadline, since, last = time.monotonic() + PATIENCE_SECONDS, time.monotonic(), held(pid)
    while time.monotonic() < min(deadline, since + SETTLED_SECONDS):
        time.sleep(0.05)
        if (now := held(pid)) != last:
            since, last = time.monotonic(), now


@contextmanager
def besieged(
    bench: Bench, command_for: Callable[[int], list[str]] | None = None
) -> Iterator[tuple[int, "subprocess.Popen[str]", Path]]:
    """A server with a table to draw, which it has drawn; its port, its process, and the file of what it says."""
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    write_table(folder / TABLE)
    port = free_port()
    with bench.running((command_for or plotsrv_on(folder))(port), folder) as process:
        output = bench.output()
        bench.wait_for(process, port, "/")
        draw_at_once(lambda path: answer(port, path))
        bench.wait_for(process, port, PAGE, ["data:image/png"])
        bench.wait_for(process, port, PICTURE)
        settle(process.pid)
        yield port, process, output


def mistakes(output: Path, since: int) -> list[str]:
    """What a server has said that is no refusal: `plotsrv: TIME ADDRESS STATUS …` is one."""
    lines = output.read_text(errors="replace")[since:].splitlines()
    return [line for line in lines if not re.match(r"plotsrv: \S+ \S+ \S+ \S+ (401|403|421|503)\b", line)]


def told_nothing(output: Path, since: int) -> Iterator[Row]:
    """A row for what a server has said since that is no refusal; it is printed, too."""
    lines = mistakes(output, since)
    for line in lines[:5]:
        print(f"  {line[:300]}")
    yield Row("lines that tell of a mistake", len(lines), "", "none", most=0)


# ---- Slow and idle clients (H1, scorecard 1 to 3) ----


def slow_clients(bench: Bench, clients: int = 1000, seconds: float = 60, idle_seconds: float = 15) -> Iterator[Row]:
    """So many clients that send their header slowly, and as many that read slowly, around a healthy one."""
    with besieged(bench) as (port, process, output):
        healthy = Healthy(port, PAGE)
        healthy.ask(min(2, idle_seconds))  # warms up
        before, memory, said = held(process.pid), [megabytes([process.pid])], len(output.read_text())
        idle = healthy.ask(idle_seconds)
        halves = {"page": clients // 2, "picture": clients - clients // 2}
        with crowd(bench, port, header=clients, **halves):
            attacked = healthy.ask(seconds, lambda: memory.append(megabytes([process.pid])))
            worst = 1000 * max(healthy.seconds)
        healthy.kept.close()
        for error, times in Counter(healthy.errors).most_common(3):
            print(f"  {times} times: {error}")
        what = f"{clients:,} slow headers and {clients:,} slow readers"
        yield Row("p99 of a healthy client without them", idle, "ms")
        yield Row(f"p99 with {what}", attacked, "ms", "50 ms", most=50, baseline=idle)
        yield Row("the same, against idle", attacked, "ms", "2.00 of it", most=2 * idle, baseline=idle)
        yield Row("the longest answer meanwhile", worst, "ms")
        yield Row("healthy answers that failed", len(healthy.errors), "", "none", most=0)
        yield Row("memory of the server meanwhile", max(memory), "MB", "100 MB more",
                  most=memory[0] + 100, baseline=memory[0])  # fmt: skip
        yield from at_rest(process.pid, before, "slow clients")
        yield from told_nothing(output, said)


def idle_clients(bench: Bench, clients: int = 5000) -> Iterator[Row]:
    """So many connections that have asked something and are kept: each is closed in time."""
    raise_limit(clients + 200)
    with besieged(bench) as (port, process, _):
        before = held(process.pid)
        idlers = [Idler(port, number, PAGE) for number in range(clients)]
        most = before["threads"]
        for client in idlers:  # one after the other: the kernel would else not even let them in
            client.connect(patience=HANG_SECONDS)
            client.take_turn()
        start = time.monotonic()
        left = idlers
        while left and time.monotonic() < start + REST_SECONDS:
            for client in left:
                client.take_turn()
            left = [client for client in left if client.socket]
            most = max(most, len(os.listdir(f"/proc/{process.pid}/task")))
            time.sleep(0.05)
        what = f"{clients:,} idle connections"
        yield Row(f"seconds until all of {what} were closed", time.monotonic() - start, "s", "20 s", most=20)
        yield Row("idle connections left open", len(left), "", "none", most=0)
        yield Row("threads at most", most, "", "600 more", most=before["threads"] + 600, baseline=before["threads"])
        for client in left:
            client.leave()
        yield from at_rest(process.pid, before, what)


# ---- Fuzzed requests, and the corpus (H2 to H7, scorecard 4 and 5) ----

METHODS = [b"GET"] * 40 + [b"HEAD"] * 10 + [b"POST", b"OPTIONS", b"TRACE", b"BREW", b"get", b"G\0T", b"<b>", b""]
TARGETS = [
    b"/", b"/plots.json", b"/nothing", b"/training/convergence/form", b"/training/convergence/form?file_path=x",
    PAGE.encode(), PICTURE.encode(), b"/?mode=paramcheck&graph=plot_convergence", b"/token?token=x", b"*",
    b"http://localhost/", b"http://evil.example/", b"/training/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd",
]  # fmt: skip
VERSIONS = [b"HTTP/1.1"] * 50 + [b"HTTP/1.0"] * 5 + [b"HTTP/0.9", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""]
NAMES = [b"Accept", b"Connection", b"Cookie", b"If-None-Match", b"Range", b"Expect", b"Upgrade", b"User-Agent", b"TE",
         b"Content-Length", b"Transfer-Encoding", b"Authorization", b"Host", b"Sec-Fetch-Site", b"Sec-Fetch-Mode",
         b"Origin", b"Referer", b"X-Forwarded-For", b"X-Forwarded-Prefix", b"Content_Length", b"X A", b""]  # fmt: skip
VALUES = [b"", b"0", b"5", b"-1", b"+5", b"chunked", b"keep-alive", b"close", b"text/html", b"image/*", b"*", b'"x"',
          b"bytes=0-", b"100-continue", b"localhost", b"cross-site", b"navigate", b"Bearer x", b"plotsrv-9999=1.a",
          b"http://evil.example", b"///evil", b"a" * 3000]  # fmt: skip
PARTS = [b"", b"%", b"%00", b"%ff", b"%c3%a9", b"%0d%0a", b"&a=1", b"?", b"#", b"/", b"..", b"\\", b";", b"a" * 200]
BREAKS = [b"\r\n"] * 300 + [b"\n", b"\r", b"\r\n ", b"\0", b"\r\r\n"]


def fuzzed(rng: random.Random) -> bytes:
    """A request by the grammar, with some bytes of it changed, or bytes at random: always one that is complete."""
    kind = rng.random()
    if kind < 0.1:
        data = rng.randbytes(rng.randrange(1, 400))
    else:
        target = rng.choice(TARGETS) + (rng.choice(PARTS) if kind < 0.5 else b"")
        lines = [b" ".join([rng.choice(METHODS), target, rng.choice(VERSIONS)])]
        lines += [b"Host: localhost"] * (rng.random() < 0.95)
        lines += [rng.choice(NAMES) + b": " + rng.choice(VALUES) for _ in range(rng.choice((0, 0, 0, 1, 2, 5)))]
        data = b"".join(line + rng.choice(BREAKS) for line in lines)
    if kind < 0.25:
        for _ in range(rng.randrange(1, 5)):
            place = rng.randrange(len(data))
            data = data[:place] + rng.randbytes(rng.randrange(3)) + data[place + rng.randrange(3) :]
            data = data or b"\0"
    return data + (b"" if data.endswith(b"\r\n") else b"\r\n") + b"\r\n"


class Fuzzer:
    """A client that sends odd requests over a few connections, and keeps an account of what comes back."""

    def __init__(self, port: int, seed: int, connections: int = 4) -> None:
        self.port = port
        self.rng = random.Random(seed)
        self.lines = [None] * connections
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.wrong: list[str] = []

    def send_one(self, number: int) -> None:
        """Send one request over the connection that has its turn; the answer has to come before long."""
        data, index = fuzzed(self.rng), number % len(self.lines)
        begun = time.perf_counter()
        try:
            found = self.exchange(index, data)
        except (AssertionError, ValueError, OSError) as error:
            found = self.retried(index, data, error)
        self.slowest = max(self.slowest, time.perf_counter() - begun)
        if found is None:
            return
        self.statuses[found.status] += 1
        is_ours = found.status in (500, 502, 503, 504) and "x-plotsrv-error" not in found.fields
        if is_ours or b"Traceback" in found.body:
            self.wrong.append(f"{found.status} for {data!r}")

    def retried(self, index: int, data: bytes, error: Exception) -> "raw_requests.Answer | None":
        """The answer over a fresh connection: the kept one may have been closed since. No answer is a mistake."""
        self.close(index)
        try:
            return self.exchange(index, data)
        except (AssertionError, ValueError, OSError) as again:
            self.close(index)
            self.wrong.append(f"{type(again).__name__} {again} (first {error}) for {data!r}")
            return None

    def exchange(self, index: int, data: bytes) -> "raw_requests.Answer":
        """Send, and read the first answer; only who has had one answer for one request goes on with the connection."""
        if self.lines[index] is None:
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=HANG_SECONDS)
            self.lines[index] = connection, connection.makefile("rb")
        connection, file = self.lines[index]
        connection.sendall(data)
        found = next(raw_requests.answers(file, iter([data.startswith(b"HEAD ")])), None)
        assert found, "no answer"
        if found.fields["connection"] == "close" or data.count(b"\r\n\r\n") > 1:
            self.close(index)
        return found

    def close(self, index: int) -> None:
        """Leave; the next request opens a new connection."""
        if self.lines[index]:
            for each in reversed(self.lines[index]):
                each.close()
        self.lines[index] = None


def be_fuzzer(port: int, seed: int, requests: int) -> None:
    """Send so many requests, and print the account."""
    fuzzer = Fuzzer(port, seed)
    for number in range(requests):
        fuzzer.send_one(number)
    print(json.dumps(dict(slowest=fuzzer.slowest, wrong=fuzzer.wrong, statuses=fuzzer.statuses)), flush=True)


def fuzzed_requests(bench: Bench, requests: int = 100_000, processes: int = 2, seed: int = 5) -> Iterator[Row]:
    """Requests by a grammar and at random, over kept connections: each is answered, none by a mistake of ours."""
    with besieged(bench) as (port, process, output), ExitStack() as stack:
        before, said = held(process.pid), len(output.read_text())
        share = requests // processes
        commands = [[sys.executable, __file__, "fuzz", str(port), str(seed + i), str(share)] for i in range(processes)]
        fuzzers = [stack.enter_context(bench.running(command, talks=True)) for command in commands]
        accounts = [json.loads(fuzzer.stdout.readline() or "{}") for fuzzer in fuzzers if fuzzer.stdout]
        wrong = [each for account in accounts for each in account.get("wrong", ["a fuzzer has ended"])]
        statuses: Counter[str] = Counter()
        for account in accounts:
            statuses.update(account.get("statuses", {}))
        print("  " + ", ".join(f"{times:,} with {status}" for status, times in sorted(statuses.items())))
        for each in wrong[:5]:
            print(f"  {each[:300]}")
        yield Row("fuzzed requests that were answered", sum(statuses.values()), "", "all", least=share * processes)
        yield Row("answers that are a mistake, or missing", len(wrong), "", "none", most=0)
        yield Row("the slowest of them", max(account.get("slowest", 99) for account in accounts), "s",
                  f"{HANG_SECONDS} s", most=HANG_SECONDS)  # fmt: skip
        yield from told_nothing(output, said)
        yield from at_rest(process.pid, before, "fuzzing")


def corpus(bench: Bench) -> Iterator[Row]:
    """The raw requests, each in five chunkings."""
    with besieged(bench) as (port, _, output):
        said, wrong = len(output.read_text()), raw_requests.faults(port)
        for each in wrong[:10]:
            print(f"  {each[:300]}")
        sent = len(raw_requests.CASES) * len(raw_requests.CHUNKINGS)
        yield Row(f"{len(raw_requests.CASES)} raw requests in {len(raw_requests.CHUNKINGS)} chunkings, as expected",
                  sent - len(wrong), "", "all", least=sent)  # fmt: skip
        yield from told_nothing(output, said)


# ---- Through nginx (H3, P20, scorecard 6) ----

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    proxy_cache_path {folder}/cache keys_zone=pages:1m;
    upstream plotsrv {{ server 127.0.0.1:{upstream}; keepalive 4; }}
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    server {{
        listen 127.0.0.1:{port};
        location /plots/ {{ proxy_pass http://plotsrv/; {settings} }}
        location /raw/ {{ proxy_pass http://plotsrv/; proxy_request_buffering off; }}
        location /cached/ {{ proxy_pass http://plotsrv/; proxy_cache pages;
            add_header X-Cache $upstream_cache_status; }}
        location /insisting/ {{ proxy_pass http://plotsrv/; proxy_cache pages; proxy_cache_valid 200 1m;
            proxy_ignore_headers Cache-Control Vary; add_header X-Cache $upstream_cache_status; }}
    }}
    server {{
        listen 127.0.0.1:{lax_port}; ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
        location /plots/ {{ proxy_pass http://plotsrv/; }}
        location /raw/ {{ proxy_pass http://plotsrv/; proxy_request_buffering off; }}
    }}
}}
"""
TOKEN = "a-token-of-the-siege-in-32-letters"
TRUSTED = ["--trusted-proxy", "127.0.0.1"]


def nginx_path() -> str | None:
    """Where nginx is installed: Debian has it where only root looks."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(folder: Path, upstream: int, settings: str = "") -> Iterator[tuple[int, int]]:
    """A real nginx in front of a server, with a sub-path; its port, and that of its less careful twin."""
    folder.mkdir(exist_ok=True)
    port, lax_port = free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, upstream=upstream, port=port, lax_port=lax_port, settings=settings))
    command = [nginx_path() or "nginx", "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    if os.geteuid() == 0:
        command += ["-g", "user root;"]  # whose temporary folder it is
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while socket.socket().connect_ex(("127.0.0.1", lax_port)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is not None:
            raise SystemExit("nginx did not start: " + (folder / "error.log").read_text())
        yield port, lax_port
    finally:
        process.terminate()
        process.wait()


EVIL, GOOD = "evil", "good"
IMPATIENT = 7  # every seventh hostile client does not wait for its answer
HOSTILE = [  # {at}: where nginx has plotsrv; {body}: a whole request for the evil page, and {length}, its bytes
    "GET {at}plots.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}",
    "HEAD {at}plots.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}",
    "POST {at}plots.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nContent-Length: {length}\r\n\r\n{body}",
    "OPTIONS {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nContent_Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length\x0b: {length}\r\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nX-A: a\nContent-Length: {length}\r\n\r\n{body}",
    "GET {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{body}",  # and leaves
    "GET {at}%0d%0aX:%20y HTTP/1.1\r\nHost: localhost\r\n\r\n{body}",
    "GET {at}nothing HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n\r\n{body}",
]


def hostile_bytes(number: int, path: str) -> bytes:
    """The hostile request of that number: the shapes and the places in turns."""
    at = ("/plots/", "/raw/")[number // len(HOSTILE) % 2]
    body = f"GET {path.format(EVIL)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    return HOSTILE[number % len(HOSTILE)].format(at=at, body=body, length=len(body)).encode("latin-1")


def hostile_pairs(ports: tuple[int, int], pairs: int, path: str, first: int = 0) -> list[str]:
    """Let a hostile client ask through nginx, and an innocent one after it; the wrong bodies, in words."""
    wrong = []
    innocent = HTTPConnection("127.0.0.1", ports[0], timeout=PATIENCE_SECONDS)
    for number in range(first, first + pairs):
        port = ports[number // len(HOSTILE) // 2 % 2]
        with suppress(OSError, ValueError, AssertionError):
            ask_hostilely(port, hostile_bytes(number, path), waits=number % IMPATIENT != 0)
        name = f"{GOOD}{number}"
        try:
            innocent.request("GET", "/plots" + path.format(name), headers={"Authorization": f"Bearer {TOKEN}"})
            response = innocent.getresponse()
            body = response.read().decode()
        except (OSError, HTTPException) as error:
            innocent.close()
            wrong.append(f"pair {number}: {type(error).__name__} {error}")
            continue
        if response.status != 200 or name not in body or EVIL in body:
            wrong.append(f"pair {number}: {response.status} {body[:80]!r}")
    innocent.close()
    return wrong


def ask_hostilely(port: int, data: bytes, waits: bool) -> None:
    """Send these bytes, and leave: with the answer, or without, as who lets nginx end a request halfway."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as hostile, hostile.makefile("rb") as file:
        hostile.sendall(data)
        for found in raw_requests.answers(file, iter([data.startswith(b"HEAD ")])) if waits else ():
            if found.status >= 200:
                break


class Plain(http.server.BaseHTTPRequestHandler):
    """The control: what http.server makes of a request with a body, which nobody reads."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # an answer leaves in one piece

    def do_GET(self) -> None:
        if EVIL in self.path:
            time.sleep(0.02)  # a page that takes its time to be made
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()


def wrong_bodies_of_http_server(folder: Path, pairs: int) -> int:
    """How many innocent clients get another's page where http.server itself stands behind nginx."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    server.handle_error = lambda *_: None  # that proxies leave is not what is looked for
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with nginx(folder, server.server_port) as ports:
            return len([each for each in hostile_pairs(ports, pairs, "/?name={}") if ": 200 " in each])
    finally:
        server.shutdown()
        server.server_close()


def hostile_pairs_through_nginx(bench: Bench, pairs: int = 10_000, control: int = 200) -> Iterator[Row]:
    """Two clients of an nginx that keeps its connections: the one must never get what the other asked for."""
    what = f"wrong bodies in {pairs:,} hostile pairs through nginx"
    if nginx_path() is None:
        yield Row(what, "nginx is not installed", "", "none")
        return
    os.environ["PLOTSRV_TOKEN"], before = TOKEN, os.environ.get("PLOTSRV_TOKEN")
    try:
        with besieged(bench) as (port, process, output), nginx(bench.folder / f"nginx-{port}", port) as ports:
            held_before, said = held(process.pid), len(output.read_text())
            with ThreadPoolExecutor(2) as clients:  # so that each pair is in the other's way, too
                halves = [clients.submit(hostile_pairs, ports, pairs // 2, FORM, first) for first in (0, pairs // 2)]
                wrong = [each for half in halves for each in half.result()]
            for each in wrong[:5]:
                print(f"  {each[:300]}")
            yield Row(what, len(wrong), "", "none", most=0)
            yield from told_nothing(output, said)
            yield from at_rest(process.pid, {**held_before, "threads": held_before["threads"] + 8,
                                             "descriptors": held_before["descriptors"] + 8}, "pairs")  # fmt: skip
    finally:
        os.environ.pop("PLOTSRV_TOKEN")
        if before is not None:
            os.environ["PLOTSRV_TOKEN"] = before
    yield Row(f"the same for http.server itself, {control} pairs", wrong_bodies_of_http_server(
        bench.folder / "nginx-plain", control), "", "more than none", least=1)  # fmt: skip


# ---- Clients that reset (X11, scorecard 19) ----


def reset_clients(bench: Bench, clients: int = 10_000, seed: int = 5) -> Iterator[Row]:
    """Clients that end their connection with a reset, wherever in a request or an answer they are."""
    rng = random.Random(seed)
    with besieged(bench) as (port, process, output):
        warm_up(port)
        before, said, memory = held(process.pid), len(output.read_text()), megabytes([process.pid])
        for number in range(clients):
            with suppress(OSError):
                reset(port, number, rng)
        rows = at_rest(process.pid, before, f"{clients:,} resets")
        yield from rows
        yield Row("memory after them", megabytes([process.pid]), "MB", "10 MB more", most=memory + 10, baseline=memory)
        yield from told_nothing(output, said)
        yield Row("status of the next answer", answer(port, "/")[0], "", "200", least=200, most=200)


def warm_up(port: int) -> None:
    """Ask for all that will be asked for: what is loaded once, and stays, is no leak."""
    for path in (PAGE, PICTURE, "/", "/nothing"):
        answer(port, path)
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as client:
        client.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.recv(1000)


def reset(port: int, number: int, rng: random.Random) -> None:
    """One client: it sends a part of a request, or all of it, reads some of the answer or nothing, and resets."""
    path = rng.choice(("/", PAGE, PICTURE, STREAM, "/nothing", "/plots.json"))
    fields = f"Host: localhost\r\nUser-Agent: browser {number}\r\nAccept: text/html\r\n"
    data = f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode() * rng.choice((1, 1, 1, 5))
    with socket.socket() as client:
        client.bind((rng.choice(ADDRESSES), 0))
        client.settimeout(HANG_SECONDS)
        client.connect(("127.0.0.1", port))
        client.sendall(data[: rng.choice((0, rng.randrange(len(data)), len(data), len(data)))])
        wanted = rng.choice((0, 0, 1, rng.randrange(1, 500), rng.randrange(1, 100_000)))
        if wanted and len(data) > 300:
            client.settimeout(0.02)
            client.recv(wanted)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# ---- No descriptors left (X9, scorecard 21) ----


def scarce_descriptors(
    bench: Bench, clients: int = 500, seconds: float = 15, descriptors: int = 64
) -> Iterator[Row]:  # fmt: skip
    """A server that may have 64 files open, and more clients than that: it goes on, and burns no time meanwhile."""

    def limited(port: int) -> list[str]:
        return ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *plotsrv(port)]

    with besieged(bench, limited) as (port, process, output):
        said, taken, failed = len(output.read_text()), [], 0
        with crowd(bench, port, idle=clients // 2, header=clients - clients // 2):
            burnt, start = processor_seconds(process.pid), time.monotonic()
            while time.monotonic() < start + seconds:
                begun = time.perf_counter()
                failed += answer(port, "/plots.json")[0] != 200
                taken.append(time.perf_counter() - begun)
                time.sleep(0.2)
            share = 100 * (processor_seconds(process.pid) - burnt) / (time.monotonic() - start)
        begun = time.monotonic()
        while answer(port, "/plots.json")[0] != 200 and time.monotonic() < begun + REST_SECONDS:
            time.sleep(0.02)
        recovered = time.monotonic() - begun
        what = f"{descriptors} descriptors and {clients} clients"
        yield Row(f"answers that failed, of {len(taken)} with {what}", failed, "", "none", most=0)
        yield Row("the slowest of them", max(taken), "s", "5 s", most=5)
        yield Row("the server's share of a processor meanwhile", share, "%", "20 %", most=20)
        yield Row("seconds until it answers when they have left", recovered, "s", "1 s", most=1)
        yield from told_nothing(output, said)


def processor_seconds(pid: int) -> float:
    """The processor time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- TLS (P21) ----


def certificate(folder: Path) -> tuple[str, str] | None:
    """A certificate for localhost that nobody has signed but itself, and its key; None without the openssl command."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        return None
    if not cert.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return str(cert), str(key)


def half_open_handshakes(bench: Bench, clients: int = 500, seconds: float = 20) -> Iterator[Row]:
    """Clients that begin a TLS handshake and go silent: others are answered as before."""
    made = certificate(bench.folder)
    if made is None:
        yield Row("answers by TLS that failed", "openssl is not installed", "", "none")
        return
    context, port = ssl.create_default_context(cafile=made[0]), free_port()
    write_table(bench.folder / TABLE)
    command = plotsrv(port, "--cert", made[0], "--key", made[1], str(bench.folder))
    with bench.running(command) as process:
        output = bench.output()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while tls_answer(port, context, PICTURE) != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"No answer by TLS: {output.read_text()[-2000:]}")
            time.sleep(0.05)
        draw_at_once(lambda path: tls_answer(port, context, path))
        settle(process.pid)
        said, before, taken, failed = len(output.read_text()), held(process.pid), [], 0
        with crowd(bench, port, greeting=clients):
            start = time.monotonic()
            while time.monotonic() < start + seconds:
                begun = time.perf_counter()
                failed += tls_answer(port, context) != 200
                taken.append(time.perf_counter() - begun)
                time.sleep(0.05)
        yield Row(f"answers by TLS that failed, beside {clients} half-open handshakes", failed, "", "none", most=0)
        yield Row("the slowest of them", 1000 * max(taken), "ms", "1,000 ms", most=1000)
        yield from at_rest(process.pid, before, "half-open handshakes")
        yield from told_nothing(output, said)


def tls_answer(port: int, context: ssl.SSLContext, path: str = "/plots.json") -> int:
    """The status of one request by TLS; 0 where nobody answers."""
    connection = HTTPSConnection("localhost", port, timeout=PATIENCE_SECONDS, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


TRIALS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "slow": slow_clients,
    "idle": idle_clients,
    "fuzz": fuzzed_requests,
    "corpus": corpus,
    "nginx": hostile_pairs_through_nginx,
    "reset": reset_clients,
    "descriptors": scarce_descriptors,
    "tls": half_open_handshakes,
}


if __name__ == "__main__":
    what, server, *rest = sys.argv[1:]
    with suppress(KeyboardInterrupt, BrokenPipeError):
        be_crowd(int(server), *rest) if what == "crowd" else be_fuzzer(int(server), *map(int, rest))
