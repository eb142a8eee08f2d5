"""plotsrv as its users start it: in a process of its own. For the tests of doors and browsers."""

import atexit
import functools
import http.client
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLOTSRV = Path(__file__).resolve().parent.parent / "plotsrv.py"
PATIENCE = 20  # seconds; how long a test polls for what should be there in far less
QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "XDG_STATE_HOME": tempfile.gettempdir()}
UNSET = ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY", "PYTHONPATH", "PLOTSRV_TOKEN")


def eventually(condition, seconds=PATIENCE):
    """Poll until the condition holds; what it gave last."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return result


@functools.cache
def plac_alone():
    """A folder with plac_core and nothing else of what is installed, for PYTHONPATH beside -S."""
    folder = tempfile.mkdtemp(prefix="plac")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copy(importlib.util.find_spec("plac_core").origin, folder)
    return folder


class Process:
    """A command, started in a folder; what it prints, and what processes descend from it."""

    def __init__(self, folder, *command, **environment):
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115, closed by end
        inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
        self.popen = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=folder,
            env=inherited | QUIET | environment,
            stdin=subprocess.DEVNULL,
            stdout=self.printed,
            stderr=subprocess.STDOUT,
        )
        self.pid = self.popen.pid

    @property
    def output(self):
        return os.pread(self.printed.fileno(), 1_000_000, 0).decode()

    def code(self):
        """The exit code, once it is there."""
        return self.popen.wait(PATIENCE)

    def descendants(self):
        """The ids of all processes that it has started, and those these have started."""
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
        found = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.pid}

    def end(self):
        """End it and all that it started, whatever state they are in."""
        for pid in (self.pid, *self.descendants()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.popen.wait()
        self.printed.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Server(Process):
    """plotsrv on a free port, unless the options ask for another; ready once it has told its URL."""

    def __init__(self, folder, *options, command=(PLOTSRV, "--no-browser", "--port=0"), **environment):
        super().__init__(folder, *command, *options, **environment)
        eventually(lambda: "Ctrl-C" in self.output or self.popen.poll() is not None)
        found = re.search(r"http://[\w.:\[\]]+:(\d+)/", self.output)
        assert found, self.output
        self.url, self.port = found[0], int(found[1])

    def get(self, path, **headers):
        """The response to a GET; its `.body` has been read. While plots are being imported it is asked for again."""
        response = self.get_once(path, **headers)
        deadline = time.monotonic() + PATIENCE
        while b"still being imported" in response.body and time.monotonic() < deadline:
            response = self.get_once(path, **headers)
        return response

    def get_once(self, path, **headers):
        """The response as it comes first."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Accept": "text/html", "Connection": "close"} | headers)
            response = connection.getresponse()
            response.body = response.read()
            return response
        finally:
            connection.close()

    def page(self, path):
        """The text of a page."""
        return self.get(path).body.decode()

    def settled_gallery(self):
        """The gallery, when no file is being imported any more."""
        return eventually(lambda: "Importing" not in (page := self.page("/")) and page)


class BareServer(Server):
    """plotsrv under `python -S`, with plac and no other package: for plots that return text; starts in a third."""

    def __init__(self, folder, *options, command=(PLOTSRV, "--no-browser", "--port=0"), **environment):
        paths = filter(None, (environment.pop("PYTHONPATH", None), plac_alone()))
        super().__init__(folder, *options, command=("-S", *command), PYTHONPATH=os.pathsep.join(paths), **environment)


def is_running(pid):
    """Is there such a process, other than as a zombie that nobody has looked after yet?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
