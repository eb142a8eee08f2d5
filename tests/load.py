"""Those who look at plots: tabs that refresh themselves, wrk's connections, live streams, and Chromium's screen."""

import math
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

PATIENCE_SECONDS = 30
SETTLE_SECONDS = 0.05
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
BROWSER_ARGUMENTS = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
BROWSER_ARGUMENTS += ["--no-sandbox"] if os.geteuid() == 0 else []
# A picture on the screen is waited for as long, and the page is left alone before the first row.
SCREEN_SECONDS = 5
FIRST_LOOK_SECONDS = 2
LOOK_SECONDS = 0.005
BLANK_SHARE = 0.5  # of the largest frame, as JPEG: one that is smaller shows the page without its picture

PAGE_HEADERS = {"Accept": "text/html"}


class Tab:
    """A tab of a browser, with its own connection: it knows the ETag of every page it has seen."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self.tags: dict[str, str] = {}

    def refresh(self, path: str, conditional: bool = True) -> int:
        """Ask for a page again, telling what is known of it; the status of the answer."""
        known = {"If-None-Match": self.tags[path]} if conditional and path in self.tags else {}
        self.connection.request("GET", path, headers=PAGE_HEADERS | known)
        response = self.connection.getresponse()
        response.read()
        if tag := response.headers["ETag"]:
            self.tags[path] = tag
        return response.status

    def settle(self, path: str) -> str:
        """Refresh until nothing changes any more; the ETag of the page."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (status := self.refresh(path)) != 304:
            if time.monotonic() > deadline:
                raise SystemExit(f"{path} never comes to rest: {status}")
            time.sleep(SETTLE_SECONDS)
        return self.tags[path]

    def refresh_each_second(self, path: str, first: float, times: int) -> list[int]:
        """Refresh so often, from that time on; the statuses of the answers."""
        statuses = []
        for number in range(times):
            time.sleep(max(0, first + number - time.monotonic()))
            statuses.append(self.refresh(path))
        return statuses

    def close(self) -> None:
        """Close the tab, and with it the connection; a refresh opens it anew, and it knows nothing."""
        self.connection.close()
        self.tags.clear()


@contextmanager
def tabs_refreshing(port: int, path: str, count: int, seconds: int) -> Iterator[list[int]]:
    """So many tabs that refresh each second, one after the other; the statuses are there when it is over."""
    tabs, start, statuses = [Tab(port) for _ in range(count)], time.monotonic(), []
    with ThreadPoolExecutor(count) as viewers:
        watching = [
            viewers.submit(tab.refresh_each_second, path, start + number / count, seconds)
            for number, tab in enumerate(tabs)
        ]
        yield statuses
        for each in watching:
            statuses += each.result()
    for tab in tabs:
        tab.close()


def answer_bytes(port: int, path: str, **headers: str) -> int:
    """The size of an answer as it crosses the wire, status line and headers included."""
    with asking(port, path, **headers) as connection:
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if b" 304 " in received[:16] and received.endswith(b"\r\n\r\n"):
                break  # it has no body, and the connection stays open
    return len(received)


def asking(port: int, path: str, **headers: str) -> socket.socket:
    """A connection over which a page has just been asked for."""
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "keep-alive"} | PAGE_HEADERS | headers
    lines = [f"GET {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def requests_a_second(port: int, path: str, seconds: int, tag: str = "") -> float:
    """What wrk gets over 32 connections that are kept alive as far as the server does."""
    headers = PAGE_HEADERS | ({"If-None-Match": tag} if tag else {})
    options = [text for name, value in headers.items() for text in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", *options, f"http://127.0.0.1:{port}{path}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx or 3xx" in told:
        raise SystemExit(f"{path} was not always answered as it should be.\n{told}")
    return float(re.findall(r"^Requests/sec:\s*([\d.]+)", told, re.MULTILINE)[0])


class LiveStream:
    """A live picture in a browser of its own, which takes every frame until it is closed."""

    def __init__(self, port: int, path: str, browser: str) -> None:
        self.connection = asking(port, path, User_Agent=browser)  # a browser may have four streams
        self.received = 0
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()

    def take(self) -> None:
        """Count the bytes of all frames."""
        with suppress(ConnectionResetError):  # a frame was on its way when the tab was closed
            while chunk := self.connection.recv(65536):
                self.received += len(chunk)

    def close(self) -> None:
        """Leave, as a closed tab does."""
        self.connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.connection.close()


# ---- Chromium's screen ----


def browser_path() -> str | None:
    """Where Chromium or a relative of it is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def why_no_screen() -> str:
    """Why nothing can be measured on a screen; nothing where it can."""
    if browser_path() is None:
        return "chromium is not installed"
    return "" if find_spec("playwright") else "playwright is not installed"


@contextmanager
def screen(url: str) -> Iterator["Screen"]:
    """A page in Chromium, without JavaScript and without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=BROWSER_ARGUMENTS)
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(url, wait_until="commit")  # a live page never finishes loading
        yield Screen(page)
        browser.close()


class Screen:
    """What Chromium shows of a page: every frame with its picture, and when that was there to be seen."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[SimpleNamespace] = []
        self.session = page.context.new_cdp_session(page)
        self.session.on("Page.screencastFrame", self.take)
        self.session.send("Page.startScreencast", {"format": "jpeg", "quality": 40})
        self.wait(FIRST_LOOK_SECONDS)

    def take(self, event: dict[str, Any]) -> None:
        """Keep a frame, unless the page is just blank, and ask for the next one."""
        self.session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})
        frame = SimpleNamespace(at=event["metadata"]["timestamp"], image=event["data"])
        if len(frame.image) > BLANK_SHARE * max((len(each.image) for each in self.frames), default=0):
            self.frames.append(frame)

    def wait(self, seconds: float) -> None:
        """Let time pass, and take the frames that come meanwhile."""
        self.page.wait_for_timeout(1000 * seconds)

    def seconds_until_seen(self, change: Callable[[], None]) -> float:
        """From before a change until other pixels are on the screen; infinity where none come."""
        before, seen, start = self.frames[-1].image, len(self.frames), time.time()
        change()
        while time.time() < start + SCREEN_SECONDS:
            self.wait(LOOK_SECONDS)
            for frame in self.frames[seen:]:
                if frame.image != before:
                    return float(frame.at) - start
        return math.inf
