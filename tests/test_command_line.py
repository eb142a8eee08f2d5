"""Command line: plotsrv as it is started, told what to do, and ended."""

import contextlib
import html
import http.client
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from serving import PLOTSRV, BareServer, Process, Server, eventually, is_running, plac_alone

import plotsrv

ROOT = PLOTSRV.parent
OPTIONS = [name.replace("_", "-") for name in inspect.signature(plotsrv.main).parameters if name != "data"]
GRACE = 3  # seconds; plotsrv promises to have ended by then

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text y="9">{}</text></svg>'
WAVE = """
import matplotlib.pyplot as plt
from _shared import FACTOR

def plot_wave(freq: float = 1.0):
    "A wave of any frequency"
    print("factor", FACTOR)
    return plt.plot([FACTOR * freq * x for x in range(9)])
"""
DEEP = "from .sibling import TEXT\ndef plot_deep():\n    return TEXT.encode()\n"
ENDLESS = "import os\ndef plot_endless():\n    open('begun', 'w')\n    while True:\n        pass\n"


def svg_plot(name, text):
    """The source of a plot that needs no matplotlib."""
    return f"def plot_{name}():\n    return {SVG.format(text)!r}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with plots: in a file, in a sub-folder, and in a file that cannot be imported."""
    home = tmp_path_factory.mktemp("home")
    files = {
        "waves.py": WAVE,
        "_shared.py": "FACTOR = 3\n",
        "deeper/still.py": DEEP,
        "deeper/sibling.py": f"TEXT = {SVG.format('deep')!r}\n",
        "broken.py": "import os\n\ndef plot_broken(:\n    pass\n",
        "missing.py": "import os\nimport no_such_module\ndef plot_missing():\n    pass\n",
    }
    for name, text in files.items():
        (home / "plots" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "plots" / name).write_text(text)
    return home


@pytest.fixture(scope="module")
def server(home):
    """plotsrv in that folder, with all files imported; matplotlib loaded does not keep it from ending."""
    with Server(home) as server:
        server.settled_gallery()
        yield server
        ends_in_time(server, "SIGINT")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """plotsrv where no package is installed, neither plac nor matplotlib; started without an option, as all can be."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "plots").mkdir()
    (folder / "plots" / "mine.py").write_text(svg_plot("mine", "mine"))
    (folder / "plots" / "waves.py").write_text(WAVE.replace("from _shared import FACTOR", "FACTOR = 3"))
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {folder}/opened\n')
    browser.chmod(0o755)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", plotsrv.PORT))
            other.listen()
        except OSError:
            pass  # somebody has it already, which serves as well
        with Server(folder, command=["-S", PLOTSRV], DISPLAY=":7", BROWSER=f"{browser} %s") as server:
            server.opened = folder / "opened"
            yield server


@pytest.fixture
def command_line(monkeypatch, capsys):
    """What the command line does with some options in a folder: the exit code, and what it prints; nothing is run."""

    def called(folder, *options):
        with monkeypatch.context() as patched:
            patched.chdir(folder)
            patched.setattr(sys, "argv", ["plotsrv.py", *options])
            patched.setattr(plotsrv, "forkserver_running", contextlib.nullcontext)
            patched.setattr(plotsrv, "Ending", types.SimpleNamespace)
            patched.setattr(plotsrv, "run", lambda *_: pytest.fail("it is served"))
            patched.setattr(plotsrv.main, "__annotations__", plotsrv.main.__annotations__)
            try:
                code = plotsrv.command_line()
            except SystemExit as ending:
                code = ending.code
        return code, *capsys.readouterr()

    return called


# -- the start


def test_it_prints_the_url_to_open(server):
    """The first line has what to click on, the last how to end it."""
    first, *_, last = server.output.splitlines()
    assert first == f"plotsrv: http://127.0.0.1:{server.port}/"
    assert last.strip() == "Ctrl-C ends it"
    assert server.get("/").status == 200


def test_without_options_it_serves_the_plots_folder_and_opens_the_browser_on_the_next_free_port(alone):
    """A double click works even when the default port is taken: it takes the next one, and says so."""
    assert plotsrv.PORT < alone.port < plotsrv.PORT + 100
    assert f"port {plotsrv.PORT} is taken, so it is {alone.port} this time" in alone.output
    assert eventually(lambda: alone.opened.exists() and alone.opened.read_text())
    assert alone.opened.read_text().strip() == alone.url
    assert b"mine</text>" in alone.get("/mine/mine.svg").body


def test_without_plac_and_without_options_it_runs_on_defaults(alone):
    """plac is needed for options only; the server needs the standard library alone."""
    assert alone.get("/").status == 200


def test_python_without_any_package_serves_plots_that_need_none(alone):
    """What needs matplotlib says that it is missing."""
    page = alone.settled_gallery()
    assert 'href="./machine/machine"' in page and "No module named" in page
    picture = alone.get("/machine/machine.png")
    assert (picture.status, picture.headers["Content-Type"]) == (200, "image/svg+xml")


def test_over_ssh_it_prints_the_tunnel_and_opens_no_browser(tmp_path):
    """On a machine far away, the line to type on the near one is there to be copied."""
    ssh = dict(SSH_CONNECTION="10.1.2.3 50000 10.9.8.7 22", LOGNAME="ada", DISPLAY=":7")
    with BareServer(tmp_path, command=(PLOTSRV, "--port=0"), **ssh) as server:
        assert f"ssh -L {server.port}:127.0.0.1:{server.port} ada@10.9.8.7\n" in server.output


def test_with_token_it_prints_the_url_that_lets_one_in(tmp_path):
    """The token is part of the printed URL, and asked of everybody."""
    with BareServer(tmp_path, "--token", PLOTSRV_TOKEN="a-token-of-my-own") as server:
        assert f"plotsrv: {server.url}token?token=a-token-of-my-own\n" in server.output
        assert server.get("/").status == 401
        answer = server.get("/token?token=a-token-of-my-own")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert (answer.status, server.get("/", Cookie=cookie).status) == (303, 200)


def test_the_port_that_was_asked_for_is_taken_or_nothing(home):
    """With --port given, another program there is named, and plotsrv ends with 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = ("-S", PLOTSRV, "--no-browser", "--port", port)
        with Process(home, *command, PYTHONPATH=plac_alone()) as process:
            assert process.code() == 2
            assert f"port {port}: taken by process {os.getpid()} (" in process.output
            assert "--port PORT asks for another" in process.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--nothing"], "--nothing"),
        (["-x"], "-x"),
        (["--port", "http"], "invalid .*'http'"),
        (["--port", "99999"], "99999"),
        (["--port", "-1"], "-1"),
        (["--workers", "0"], "[Ww]orkers"),
        (["--timeout", "0"], "[Tt]imeout"),
        (["--timeout", "nan"], "[Tt]imeout|nan"),
        (["--address", "nonsense"], "nonsense"),
        (["--address", "192.0.2.1"], "192.0.2.1"),
        (["--plots", "nowhere"], "--plots: there is no nowhere"),
        (["--plots", "nowhere.py"], "--plots: there is no nowhere.py"),
        (["--plots", f"plots{os.pathsep}nowhere"], "--plots: there is no nowhere"),
        (["nowhere"], "nowhere is no folder"),
        (["plots/waves.py"], "plots/waves.py is no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_told_in_one_line_and_exits_with_2(home, command_line, options, reason):
    """A wrong option is no traceback, but a line with the reason, on stderr, and the exit code 2."""
    code, out, err = command_line(home, "--no-browser", *options)
    assert code == 2, err
    assert re.search(reason, err), err
    assert "Traceback" not in err and "http://" not in err and not out


def test_help_lists_every_option(tmp_path, command_line):
    """--help is made of the same signature that reads the options."""
    code, out, _ = command_line(tmp_path, "--help")
    assert code == 0
    for option in OPTIONS:
        assert f"--{option}" in out
    assert "data" in out and "Serve plot_* functions as live web pages" in out


def test_without_plac_an_option_gets_one_line_that_says_what_to_install(tmp_path):
    """The way out is in the message."""
    with Process(tmp_path, "-S", PLOTSRV, "--port=8000") as process:
        assert process.code() == 2
        assert process.output == "plotsrv: options need plac: pip install plac\n"


@pytest.mark.parametrize("plots", ["two/two.py", f"one{os.pathsep}two/two.py{os.pathsep}three"])
def test_plots_takes_a_folder_a_file_or_several_of_them(tmp_path, plots):
    """Each of the paths is served, nothing beside them, and the plots that come with plotsrv always."""
    names = ["one", "two", "three"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(svg_plot(name, name))
    (tmp_path / "two" / "beside.py").write_text(svg_plot("beside", "beside"))
    with BareServer(tmp_path, f"--plots={plots}") as server:
        page = server.settled_gallery()
        assert "beside" not in page and 'href="./machine/machine"' in page
        for name in names:
            assert (f'href="./{name}/{name}"' in page) == (name in plots)
            assert server.get(f"/{name}/{name}.svg").status == (200 if name in plots else 404)


# -- plotsrv.py alone


def test_plotsrv_alone_in_an_empty_folder_tells_how_to_write_the_first_plot_and_then_shows_it(tmp_path):
    """The file copied anywhere runs; what its empty gallery shows can be saved as it stands, and works."""
    shutil.copy(PLOTSRV, tmp_path)
    with Server(tmp_path, command=("plotsrv.py", "--no-browser", "--port=0")) as server:
        page = server.settled_gallery()
        assert "Your first plot" in page and "plots/mine.py" in page
        example = html.unescape(re.search(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)[1])
        (tmp_path / "plots").mkdir()
        (tmp_path / "plots" / "mine.py").write_text(example)
        assert 'href="./mine/mine"' in server.settled_gallery()
        assert "data:image/png;base64," in server.page("/mine/mine?freq=2")


def test_files_beside_plotsrv_or_in_the_current_folder_stand_in_for_no_module(tmp_path):
    """A random.py of the user's next to plotsrv.py, or another plotsrv.py where it is started, does no harm."""
    for folder in ("tool", "here"):
        (tmp_path / folder).mkdir()
        for name in ("random", "json", "numbers", "plotsrv"):
            (tmp_path / folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    shutil.copy(PLOTSRV, tmp_path / "tool")
    (tmp_path / "here" / "plots").mkdir()
    (tmp_path / "here" / "plots" / "mine.py").write_text("import json, numbers, random\n" + svg_plot("mine", "mine"))
    with BareServer(tmp_path / "here", command=("../tool/plotsrv.py", "--no-browser", "--port=0")) as server:
        assert 'href="./mine/mine"' in server.settled_gallery()
        assert server.get("/mine/mine.svg").status == 200
        assert "the wrong module" not in server.output


def test_an_installed_package_of_the_same_name_is_not_taken_for_it(tmp_path):
    """On PyPI the name plotsrv is another project's: where that is installed, this file still runs itself."""
    (tmp_path / "plotsrv.py").write_text("raise SystemExit('the wrong plotsrv')\n")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "mine.py").write_text("from plotsrv import Glob\n" + svg_plot("mine", "mine"))
    with BareServer(tmp_path, PYTHONPATH=str(tmp_path)) as server:
        assert 'href="./mine/mine"' in server.settled_gallery()


# -- following the plot files


def test_all_plots_are_found_in_sub_folders_too(server):
    """The gallery lists each plot under its module, with the first line of its docstring."""
    page = server.settled_gallery()
    for path in ("waves/wave", "deeper.still/deep", "training/convergence"):
        assert f'href="./{path}"' in page
    assert "A wave of any frequency" in page
    assert b"deep</text>" in server.get("/deeper.still/deep.svg").body
    assert "factor 3" in server.page("/waves/wave")


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("broken.py", r"SyntaxError: [^<]*\(broken\.py, line 3\)"),
        ("missing.py", r"No module named [^<]*no_such_module[^\0]*missing\.py[^<]*line 2"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_card_with_its_error_and_line(server, file, error):
    """It is listed above the plots, which work all the same."""
    cards = re.findall(r'<div class="error" role="alert">.*?</div>', server.settled_gallery(), re.DOTALL)
    [card] = [card for card in cards if f"<strong>{file}</strong>" in card]
    assert re.search(error, html.unescape(card)), card


def test_added_edited_and_removed_files_are_followed_without_a_restart(home, server):
    """The page shows what the files say now, and the modules they import, whenever it is asked for."""
    added, link = home / "plots" / "added.py", 'href="./added/added"'
    server.settled_gallery()
    try:
        added.write_text(svg_plot("added", "first"))
        assert link in server.settled_gallery()
        assert b"first</text>" in server.get("/added/added.svg").body
        added.write_text(svg_plot("added", "second, and longer"))
        assert b"second, and longer</text>" in server.get("/added/added.svg").body
        (home / "plots" / "_shared.py").write_text("FACTOR = 5.5\n")
        assert "factor 5.5" in server.page("/waves/wave")
    finally:
        added.unlink(missing_ok=True)
        (home / "plots" / "_shared.py").write_text("FACTOR = 3\n")
    assert link not in server.settled_gallery()
    assert server.get("/added/added").status == 404


def test_the_server_process_imports_neither_matplotlib_nor_pandas(server):
    """What plots need is loaded in the processes that draw them."""
    assert server.get("/waves/wave.png").status == 200
    maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (server.pid, *server.descendants())}
    for package in ("matplotlib", "pandas", "numpy"):
        assert f"/{package}/" not in maps[server.pid]
        assert any(f"/{package}/" in each for each in maps.values())


# -- the end


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_in_time_with_no_process_left_even_while_it_draws(tmp_path, name):
    """Ctrl-C, kill, and a closed terminal end the server and all its processes within 3 s."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    with BareServer(tmp_path, "--plots=endless.py") as server:
        for _ in range(3):
            threading.Thread(target=lost_answer, args=[server], daemon=True).start()
        assert eventually(lambda: (tmp_path / "begun").exists())
        ends_in_time(server, name)


def ends_in_time(server, name):
    """Send it that signal: it ends with all its processes, and complains of nothing."""
    processes = server.descendants()
    assert len(processes) >= 2
    began = time.monotonic()
    server.popen.send_signal(signal.Signals[name])
    assert server.code() == 0
    assert eventually(lambda: not any(map(is_running, processes)), GRACE)
    assert time.monotonic() - began < GRACE
    assert "Traceback" not in server.output and "Error" not in server.output


def lost_answer(server):
    """Ask for the endless plot; whoever asks is left without an answer when the server ends."""
    try:
        while server.get("/endless/endless.png").getheader("Retry-After"):  # not imported yet
            time.sleep(0.1)
    except (OSError, http.client.HTTPException):
        pass


def test_free_memory_is_given_back_now_and_then(monkeypatch):
    """A server that runs for weeks is as small as one that has just been started."""
    told = []
    monkeypatch.setattr(plotsrv, "tell_libc", lambda function, *_: told.append(function))
    monkeypatch.setattr(plotsrv, "TRIM_SECONDS", -1)

    class Server:
        wind_up = print

        def serve_forever(self, poll_interval):
            self.service_actions()
            self.service_actions()

    plotsrv.run(Server(), types.SimpleNamespace(is_asked=False))
    assert told == ["mallopt", *["malloc_trim"] * 3]


def test_a_signal_during_the_start_ends_it_too(home):
    """Ctrl-C is heard before anything has been imported or drawn."""
    for seconds in (0.05, 0.15, 0.3):
        with Process(home, PLOTSRV, "--no-browser", "--port=0") as process:
            time.sleep(seconds)  # a moment in the start is what is tested
            processes = process.descendants()
            process.popen.send_signal(signal.SIGTERM)
            process.popen.wait(GRACE)
            assert eventually(lambda each=processes: not any(map(is_running, each)), GRACE)


# -- plotsrv.main and plotsrv.serve in a script of the user's

SCRIPT = """
import os
import sys
import matplotlib.pyplot as plt
import pandas
import plotsrv

with open("ran.txt", "a") as ran:
    print(os.getpid(), __name__, file=ran)

class MyPlots(plotsrv.PlotRequestHandler):
    scale = 2.5

    def values(self, n):
        return [self.scale * x for x in range(n)]

    def plot_line(self, n: int = 10):
        "A line of that many points"
        print("highest", max(self.values(n)))
        return plt.plot(self.values(n))

class Others(plotsrv.PlotRequestHandler):
    def plot_other(self):
        return plt.figure()

def plot_function():
    return plt.figure()

if __name__ == "__main__":
    sys.exit({})
"""
BARE_SCRIPT = SCRIPT.replace("import matplotlib.pyplot as plt\nimport pandas\n", "").replace(
    "plt.plot(self.values(n))", repr(SVG.format("line"))
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(scope="module", params=["main", "serve"])
def script(request, tmp_path_factory):
    """A script that serves its class, started with options, or with keyword arguments where no package is installed."""
    folder, port = tmp_path_factory.mktemp("script"), free_port()
    keywords = f"MyPlots, port={port}, no_browser=True, workers=1, timeout=9.5, data=['.']"
    text, call, *command = {
        "main": (SCRIPT, "main(MyPlots)", "script.py", "--no-browser", f"--port={port}"),
        "serve": (BARE_SCRIPT, f"serve({keywords})", "-S", "script.py"),
    }[request.param]
    (folder / "script.py").write_text(text.format(f"plotsrv.{call}"))
    with Server(folder, command=command, PYTHONPATH=str(ROOT)) as server:
        server.folder, server.asked_port = folder, port
        server.settled_gallery()
        yield server


def test_methods_of_a_users_class_are_served_at_their_name(script):
    """`plotsrv.main(MyPlots)`, or `plotsrv.serve(MyPlots, port=...)`, serves that class's plots alone."""
    assert script.port == script.asked_port
    page = script.settled_gallery()
    assert 'href="./line"' in page and "A line of that many points" in page
    assert "other" not in page and "plot_function" not in page and 'href="./function"' not in page
    assert 'name="n"' in script.page("/line/form")


def test_self_gives_a_plot_the_classs_other_methods_and_attributes(script):
    """A plot's self is an instance, without a connection."""
    assert "highest 12.5" in script.page("/line?n=6")


def test_the_server_never_runs_the_users_script(script):
    """The script runs once as itself, then only under another name, in the processes that draw."""
    assert script.get("/line.png").status == 200
    runs = [line.split() for line in (script.folder / "ran.txt").read_text().splitlines()]
    assert [name for pid, name in runs if int(pid) == script.pid] in ([], ["__main__"])
    assert [name for _, name in runs].count("__main__") == 1
    assert any(int(pid) in script.descendants() for pid, _ in runs)
    maps = Path(f"/proc/{script.pid}/maps").read_text()
    assert "/matplotlib/" not in maps and "/pandas/" not in maps


def test_an_edited_script_is_followed(script):
    """Methods are as alive as files are."""
    file = script.folder / "script.py"
    file.write_text(file.read_text().replace("scale = 2.5", "scale = 4.25"))
    assert "highest 21.25" in script.page("/line?n=6")
    file.write_text(file.read_text().replace("scale = 4.25", "scale = 2.5"))
    assert "highest 12.5" in script.page("/line?n=6")


def test_a_users_class_is_served_without_plac_too(tmp_path):
    """Without options on the command line, there is nothing that plac would be needed for."""
    (tmp_path / "script.py").write_text(BARE_SCRIPT.format("plotsrv.main(MyPlots)"))
    with Server(tmp_path, command=["-S", "script.py"], PYTHONPATH=str(ROOT)) as server:
        assert plotsrv.PORT <= server.port < plotsrv.PORT + 100
        assert 'href="./line"' in server.settled_gallery()


def test_a_script_without_a_guard_is_served_as_well(tmp_path):
    """A render process that reads the script starts no second server: there main and serve do nothing."""
    text = BARE_SCRIPT.partition("if __name__")[0] + "plotsrv.main(MyPlots)\n"
    (tmp_path / "script.py").write_text(text)
    command = ("script.py", "--no-browser", "--port=0")
    with BareServer(tmp_path, command=command, PYTHONPATH=str(ROOT)) as server:
        assert 'href="./line"' in server.settled_gallery()
        assert "highest 12.5" in server.page("/line?n=6")


def test_a_class_without_a_file_is_refused_with_a_message(tmp_path):
    """A notebook's class can be read by no other process."""
    code = "import plotsrv, sys\nclass Mine(plotsrv.PlotRequestHandler): pass\nsys.exit(plotsrv.main(Mine))"
    with Process(tmp_path, "-c", code, PYTHONPATH=str(ROOT)) as process:
        assert process.code() == 2
        assert "Mine is in no file (a notebook?)" in process.output


# -- without a process


def checked(capsys, *options):
    """What `plotsrv --check` says with these options: the exit code, and all that is printed."""
    code = plotsrv.serve(check=True, **dict(options))
    told = capsys.readouterr()
    return code, told.out + told.err


def test_check_tells_the_policy_in_force(capsys, tmp_path, monkeypatch):
    """Who may ask, for what, and how much of it; nothing is served."""
    monkeypatch.setenv("PLOTSRV_TOKEN", "a-token-of-some-length")
    options = dict(address="0.0.0.0", allow_host="gpu.example", trusted_proxy="10.0.0.7", data=[str(tmp_path)])
    code, told = checked(capsys, *options.items(), ("memory", 3), ("timeout", 7), ("token", True))
    rows = dict(line.split(":", 1) for line in told.splitlines())
    assert code == 0 and "a-token-of-some-length" not in told
    assert "0.0.0.0, port 9999, HTTP" in rows["address"] and "everybody needs the token" in rows["clients"]
    assert "gpu.example" in rows["names"] and "every IP address" in rows["names"]
    assert "10.0.0.7" in rows["proxies"] and str(tmp_path) in rows["data"]
    assert "3 GB" in rows["memory"] and "7 s each" in rows["drawings"] and "PLOTSRV_TOKEN" in rows["token"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(cert="no-such.pem"), "--cert no-such.pem: No such file"),
        (dict(cert=__file__), f"--cert {__file__}: "),
        (dict(key="key.pem"), "--key: a certificate belongs to it"),
        (dict(memory=-1), "--memory: -1 is no number of GB"),
        (dict(trusted_proxy="127.0.0.1, nginx"), "--trusted-proxy: nginx is no IP address"),
        (dict(data=["no-such-folder"]), "no-such-folder is no folder"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_served(capsys, options, told):
    """In one line, with the option's name, and exit code 2."""
    code, said = checked(capsys, *options.items())
    assert code == 2 and said.startswith(f"plotsrv: {told}") and said.count("\n") == 1


def test_a_token_that_could_be_guessed_is_refused(capsys, monkeypatch):
    """P15: whoever sets one is told how long it must be, and does not see it again."""
    for token in ("secret", "a token of many words", "a&b<c>d'e-of-some-length", "\xe9\xe8-not-ascii-at-all"):
        monkeypatch.setenv("PLOTSRV_TOKEN", token)
        code, told = checked(capsys)
        assert code == 2 and "16 characters" in told and token not in told


@pytest.mark.parametrize("ignored", [False, True])
def test_the_first_signal_counts_and_nohup_is_heeded(monkeypatch, ignored):
    """While nothing is served it ends all at once; afterwards it is waited for; a second one changes nothing."""
    handlers = {number: signal.SIG_IGN if ignored else signal.SIG_DFL for number in (1, 2, 15)}
    monkeypatch.setattr(signal, "getsignal", handlers.get)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    ending = plotsrv.Ending()
    if ignored:
        assert set(handlers.values()) == {signal.SIG_IGN}
        return
    with pytest.raises(KeyboardInterrupt):
        handlers[signal.SIGINT](signal.SIGINT, None)
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    later = plotsrv.Ending()
    later.at_once = False
    handlers[signal.SIGHUP](signal.SIGHUP, None)
    assert ending.is_asked and later.is_asked


@pytest.mark.parametrize(
    ("address", "url"),
    [("127.0.0.1", "http://127.0.0.1:{}/"), ("localhost", "http://127.0.0.1:{}/"), ("::1", "http://[::1]:{}/")],
)
def test_the_url_names_the_address_it_listens_on(address, url):
    """An IPv6 address stands in brackets."""
    if address == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    server = plotsrv.listening(address, 0, types.SimpleNamespace(access=plotsrv.Access(address)))
    try:
        assert plotsrv.url_of(server) == url.format(server.server_port)
    finally:
        server.server_close()


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": ":10", "SSH_CONNECTION": "10.0.0.1 5000 10.0.0.2 22"}, False),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "10.0.0.1 5000 10.0.0.2 22"}, False),
        ("win32", {}, True),
    ],
)
def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch, platform, environment, expected):
    """Not over SSH, where it would open on the wrong machine."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert plotsrv.has_display() is expected


def test_serve_has_an_argument_for_every_option():
    """What the command line can do, a script can do, under the same names and with the same defaults."""
    options = inspect.signature(plotsrv.main).parameters
    arguments = inspect.signature(plotsrv.serve).parameters
    assert set(arguments) == set(options)
    for name in arguments.keys() - {"data"}:
        assert arguments[name].default == options[name].default


def test_the_module_can_be_run_by_its_name(tmp_path):
    """`python -m plotsrv` is the same as `python plotsrv.py`."""
    command = [sys.executable, "-m", "plotsrv", "--nothing"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--nothing" in done.stderr
