"""The library: figure_bytes, data_uri and wsgi_application in other people's web servers."""

import base64
import contextlib
import http.client
import http.server
import io
import os
import re
import runpy
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import tornado.testing
import tornado.web
import waitress.server
from matplotlib.figure import Figure
from test_doors import call

import plotsrv

ROOT = str(Path(plotsrv.__file__).resolve().parent)
PNG = b"\x89PNG\r\n\x1a\n"
BAD = r"$\bad{$"  # mathtext that matplotlib cannot draw: the error comes from savefig, at the very end


def figure_with(title=""):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 4, 9])
    figure.suptitle(title)
    return figure


# -- CGI

CGI = f"""\
#!{sys.executable}
import os, sys, urllib.parse
sys.path.insert(0, {ROOT!r})
import plotsrv
from matplotlib.figure import Figure

query = dict(urllib.parse.parse_qsl(os.environ["QUERY_STRING"]))
figure = Figure(figsize=(2, 1))
figure.subplots().plot([1, 4, 9])
figure.suptitle(query.get("title", ""))
try:
    if "page" in query:
        content_type, body = "text/html", f'<img src="{{plotsrv.data_uri(figure)}}">'.encode()
    else:
        body, content_type = plotsrv.figure_bytes(figure, query.get("format", "png"))
except ValueError as error:
    sys.stdout.buffer.write(b"Status: 500 Failed\\r\\n")
    content_type, body = "text/plain", str(error).encode()
sys.stdout.buffer.write(f"Content-Type: {{content_type}}\\r\\n\\r\\n".encode() + body)
"""


@pytest.fixture
def cgi_script(tmp_path):
    """A folder with a real CGI script in cgi-bin."""
    script = tmp_path / "cgi-bin" / "plot.py"
    script.parent.mkdir()
    script.write_text(CGI)
    script.chmod(0o755)
    return script


def printed_by_process(script, environment):
    """What a script prints that a web server starts."""
    done = subprocess.run([script], env=os.environ | environment, cwd=script.parent, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def printed_here(script, environment):
    """The same, without the time that a process takes to import matplotlib."""
    output = io.TextIOWrapper(io.BytesIO())
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "path", [*sys.path])
        runpy.run_path(str(script), run_name="__main__")
    return output.buffer.getvalue()


def run_cgi(script, query, printed=printed_here):
    """Header fields and body of what a CGI script prints."""
    output = printed(script, {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "QUERY_STRING": query})
    head, _, body = output.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")), body


@pytest.mark.parametrize(
    ("query", "printed", "content_type", "begins"),
    [
        ("", printed_by_process, "image/png", PNG),
        ("format=svg", printed_here, "image/svg+xml", b"<?xml"),
        ("format=pdf", printed_here, "application/pdf", b"%PDF"),
        ("page=1", printed_here, "text/html", b'<img src="data:image/png;base64,iVBOR'),
    ],
)
def test_a_cgi_script_sends_a_figure(cgi_script, query, printed, content_type, begins):
    """Bytes and content type, written to stdout; no file is left behind."""
    headers, body = run_cgi(cgi_script, query, printed)
    assert headers == {"Content-Type": content_type}
    assert body.startswith(begins)
    assert os.listdir(cgi_script.parent) == ["plot.py"]


def test_an_error_in_a_cgi_script_can_still_become_another_answer(cgi_script):
    """Nothing has been sent by the time that savefig fails."""
    headers, body = run_cgi(cgi_script, f"title={BAD}")
    assert headers == {"Status": "500 Failed", "Content-Type": "text/plain"}
    assert b"bad" in body and PNG not in body


@contextlib.contextmanager
def in_thread(server, **options):
    thread = threading.Thread(target=server.serve_forever, kwargs=options)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.skipif(not hasattr(http.server, "CGIHTTPRequestHandler"), reason="removed from Python 3.15")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cgi_script_works_under_http_server(cgi_script):
    """python -m http.server --cgi, in the folder above cgi-bin."""

    class Handler(http.server.CGIHTTPRequestHandler):
        have_fork = False  # by subprocess, as the user we are: it would else become nobody

        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(cgi_script.parent.parent))

        def translate_path(self, path):
            return str(cgi_script.parent.parent) + path

        def log_message(self, *arguments):
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with in_thread(server, poll_interval=0.01):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        connection.request("GET", "/cgi-bin/plot.py?title=a")
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "image/png")
        assert response.read().startswith(PNG)
        connection.close()


# -- Tornado


class PlotHandler(tornado.web.RequestHandler):
    """As the README has it: a handler that answers with a figure."""

    def get(self):
        image, content_type = plotsrv.figure_bytes(figure_with(self.get_argument("title", "")))
        self.set_header("Content-Type", content_type)
        self.write(image)


class PageHandler(tornado.web.RequestHandler):
    """A page with a figure in it."""

    def get(self):
        self.write(f'<img src="{plotsrv.data_uri(figure_with())}">')


class TestTornado(tornado.testing.AsyncHTTPTestCase):
    """A real Tornado application on a port of its own."""

    def get_app(self):
        return tornado.web.Application([("/plot", PlotHandler), ("/page", PageHandler)])

    def test_a_handler_sends_a_figure(self):
        """Bytes with their content type."""
        response = self.fetch("/plot?title=a")
        assert (response.code, response.headers["Content-Type"]) == (200, "image/png")
        assert response.body == plotsrv.figure_bytes(figure_with("a"))[0]

    def test_a_handler_puts_a_figure_into_its_page(self):
        """data_uri is the text for <img src>."""
        (uri,) = re.findall(r'<img src="data:image/png;base64,([^"]+)">', self.fetch("/page").body.decode())
        assert base64.b64decode(uri) == plotsrv.figure_bytes(figure_with())[0]

    def test_an_error_in_a_handler_is_still_a_500(self):
        """Tornado's own error page: no header of a picture has been sent."""
        with tornado.testing.ExpectLog("tornado.application", "Uncaught exception"):
            response = self.fetch("/plot?title=%24%5Cbad%7B%24")
        assert response.code == 500
        assert response.headers["Content-Type"].startswith("text/html")


# -- WSGI with real plots

PLOTS = '''
import matplotlib.pyplot as plt

def plot_line(freq: float = 1.0):
    """A line"""
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, freq])
    return figure

def plot_bad():
    raise ValueError("no such luck")

def plot_late():
    """Its error comes when the figure is saved."""
    figure, axes = plt.subplots()
    axes.set_title(r"$\\bad{$")
    return figure
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with one file of plots."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "plots").mkdir()
    (folder / "plots" / "one.py").write_text(PLOTS)
    return folder


@pytest.fixture(scope="module")
def site(folder):
    """The folder as a WSGI application, with real render processes."""
    wsgi = plotsrv.wsgi_application(str(folder / "plots"), [str(folder)], allow_host="plots.example", workers=1)
    yield wsgi
    processes = list(wsgi.application.studio.renderer.idle)
    assert processes
    wsgi.application.close()
    assert not any(process.process.is_alive() for process in processes)


def get(site, target, **more):
    """The answer under wsgiref's validator, once the plots have been imported."""
    deadline = time.monotonic() + 30
    while True:
        status, fields, body = call(site, "GET", target, {"Host": "localhost"}, **more)
        if not status.startswith("503") or time.monotonic() > deadline:
            return int(status[:3]), dict(fields), body
        time.sleep(0.1)


def test_a_folder_of_plots_is_served_by_wsgi(site):
    """Gallery, form, page and picture, drawn in a render process."""
    assert get(site, "/one/line")[0] == 200
    assert b"./one/line" in get(site, "/")[2]
    assert b'name="freq"' in get(site, "/one/line/form")[2]
    status, headers, image = get(site, "/one/line.png?freq=2")
    assert (status, headers["Content-Type"], image[:8]) == (200, "image/png", PNG)
    assert b"data:image/png;base64," in get(site, "/one/line")[2]


def test_the_host_process_stays_free_of_the_plots_packages(folder):
    """matplotlib and pandas are loaded where plots are drawn, not in somebody's web server."""
    code = f"""
        import sys
        sys.path.insert(0, {ROOT!r})
        import plotsrv
        plotsrv.wsgi_application({str(folder / "plots")!r})
        print(sorted({{"matplotlib", "numpy", "pandas", "plac", "one"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("path", ["/one/bad.png", "/one/bad", "/one/late.png"])
def test_an_error_in_a_plot_is_a_500(site, path):
    """Whether it raises, or its figure cannot be saved: nothing was sent yet."""
    status, headers, body = get(site, path)
    assert status == 500
    assert headers["Content-Type"].startswith("image/svg" if path.endswith(".png") else "text/html")
    assert b"no such luck" in body or b"late" in path.encode()


def test_wrong_arguments_are_a_400_with_the_form(site):
    """Found in the render process, shown beside the field."""
    status, _, body = get(site, "/one/line?freq=ten")
    assert status == 400 and b"aria-invalid" in body and b'value="ten"' in body


@pytest.mark.parametrize(("host", "status"), [("plots.example", "200"), ("evil.example", "421")])
def test_the_host_is_checked_under_wsgi_too(site, host, status):
    """allow_host names the one that the host application is known by."""
    assert call(site, "GET", "/", {"Host": host})[0].startswith(status)


@pytest.fixture
def mounted(site):
    """waitress on a free port, with the plots below /tools/plots; a function that asks it."""
    server = waitress.server.create_server(site, host="127.0.0.1", port=0, url_prefix="/tools/plots", threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.effective_port, timeout=60)

    def get(path, method="GET"):
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()

    yield get
    connection.close()
    server.trigger.pull_trigger(server.close)  # in the thread of its loop, which then ends
    thread.join(10)
    server.task_dispatcher.shutdown()
    assert not thread.is_alive()


def test_waitress_serves_the_plots_below_a_prefix(site, mounted):
    """All links are relative, so the prefix needs no setting."""
    get(site, "/one/line")
    _, body = mounted("/tools/plots/")
    assert b'href="./one/line"' in body
    response, body = mounted("/tools/plots/one/line")
    assert response.status == 200 and b'href="../one/line.png"' in body
    response, body = mounted("/tools/plots/one/line.png")
    assert (response.headers["Content-Type"], body[:8]) == ("image/png", PNG)
    response, body = mounted("/tools/plots")
    assert response.status == 200 and b'href="plots/one/line"' in body


@pytest.mark.parametrize(
    ("method", "path", "status"), [("HEAD", "one/line", 200), ("POST", "", 405), ("GET", "x", 404)]
)
def test_waitress_passes_on_what_is_refused(site, mounted, method, path, status):
    """Status and standing headers as everywhere."""
    get(site, "/one/line")
    response, body = mounted("/tools/plots/" + path, method)
    assert response.status == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (body == b"") == (method == "HEAD")


def test_a_host_program_ends_when_it_is_done(tmp_path):
    """Its render processes end with it, though nobody closed them."""
    (tmp_path / "one.py").write_text("def plot_line():\n    return '<svg xmlns=\"http://www.w3.org/2000/svg\"/>'\n")
    code = f"""
        import sys, time
        sys.path[:0] = [{ROOT!r}, {os.path.dirname(__file__)!r}]
        import plotsrv
        from wsgiref.util import setup_testing_defaults
        site = plotsrv.wsgi_application({str(tmp_path)!r}, workers=1)
        status = ["503"]
        while status[0].startswith("503"):
            environ = dict(PATH_INFO="/one/line.svg", HTTP_HOST="localhost")
            setup_testing_defaults(environ)
            site(environ, lambda *answer: status.__setitem__(0, answer[0]))
            time.sleep(0.05)
        renderer = site.application.studio.renderer
        print(status[0], *[process.process.pid for process in [*renderer.idle, *renderer.busy]])
    """
    command = [sys.executable, "-S", "-c", textwrap.dedent(code)]  # with no package to load, matplotlib above all
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == "" and done.stdout.startswith("200 OK ")
    for pid in map(int, done.stdout.split()[2:]):
        with pytest.raises(ProcessLookupError):
            for _ in range(100):
                os.kill(pid, 0)
                time.sleep(0.05)
