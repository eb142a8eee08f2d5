"""Attacks by what is sent: names, values, markers, sizes, the token, other sites. Each test names its entry, P1 to P20.

P11 and P13 (header fields, redirects) are in the tests of doors and messages, P21 in those of TLS; the siege has long
versions of what is called from tests/siege_inputs.py here.
"""

import base64
import contextlib
import enum
import functools
import hmac
import html
import json
import math
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
import types
import urllib.parse

import matplotlib
import matplotlib.figure
import measuring
import pytest
import siege_inputs
import test_access
from hypothesis import example, given, settings
from hypothesis import strategies as st
from measuring import Bench
from serving import PLOTSRV, QUIET, UNSET, plac_alone
from siege_inputs import ELEMENT, MARKER, MORE_SITES, NGINX, OUR_HOSTS, Parsed, why_no_browser
from site_of_fakes import PERSON, FakeRenderer, Site, checked, make_request

import plotsrv
from plots import figures
from plotsrv import Access, Drawing, HTTPError, Request

TOKEN = "a-token-of-192-random-bits-or-so"
SECONDS = 10  # far more than any answer takes here; what hangs does not end within it


def quoted(text):
    """A text as a query has it, also one that is no text."""
    return urllib.parse.quote(text, safe="", errors="surrogatepass")


def parsed(target, *lines, method="GET"):
    """What the door makes of a request line and some header fields; the status where it refuses."""
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost:9999", *lines])
    try:
        return Request.parse(head.encode("latin-1"), client="127.0.0.1", owner=True)
    except HTTPError as error:
        return error.status


def status_of(check, *arguments):
    try:
        check(*arguments)
    except HTTPError as error:
        return error.status
    return 200


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


PNG = b"\x89PNG\r\n\x1a\n"
PLAIN_PLOT = f"""
def plot_plain(n: int = 3):
    return {PNG!r} + bytes(n)

plot_plain.volatile = False
"""
COUNTED_PLOT = f"""
from pathlib import Path

def plot_counted(number: int = 0):
    with open(Path(__file__).parent / "drawn.txt", "a") as drawn:
        print(number, file=drawn)
    return {PNG!r}
"""


class BareBench(Bench):
    """A bench whose servers see no package that is installed, but for plac: they start in a third of the time."""

    @contextlib.contextmanager
    def running(self, command, folder=None, talks=False):
        with contextlib.ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                if str(PLOTSRV) in command:
                    command = [command[0], "-S", *command[1:]]
                    patch.setenv("PYTHONPATH", plac_alone())
                process = stack.enter_context(super().running(command, folder, talks))
            yield process


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """What the siege's trials run on: plots without matplotlib, and one server for all that need the plain plot."""
    plain, start = [], siege_inputs.site

    def shared(bench, folder, *options, **environment):
        if options or environment or [file.name for file in (folder / "plots").iterdir()] != ["marks.py"]:
            return start(bench, folder, *options, **environment)
        if not plain:
            plain.append(stack.enter_context(start(bench, folder)))
        return contextlib.nullcontext(plain[0])

    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(siege_inputs, "site", shared)
        patch.setattr(siege_inputs, "PLAIN_PLOT", PLAIN_PLOT)
        patch.setattr(measuring, "PLOT_FILE", COUNTED_PLOT)
        yield BareBench(tmp_path_factory.mktemp("siege"))


@pytest.fixture(scope="module")
def one_browser():
    """The siege's trials share a browser, and have contexts of their own in it."""
    if why_no_browser():
        yield
        return
    arguments = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with siege_inputs.chromium(arguments) as first, pytest.MonkeyPatch.context() as patch:

        @contextlib.contextmanager
        def chromium(*_):
            context = first.browser.new_context()
            yield context
            context.close()

        patch.setattr(siege_inputs, "chromium", chromium)
        yield


def is_told_by(rows):
    """Are all of a trial's figures within their bounds? What cannot be tried here is skipped, if nothing else."""
    rows = list(rows)
    missed = [row.cells() for row in rows if not isinstance(row.figure, str) and not row.is_met]
    assert missed == []
    if untried := [row.figure for row in rows if isinstance(row.figure, str)]:
        pytest.skip(untried[0])


# -- P1: names


NO_NAMES = [
    "__init__", "__globals__", "__class__", "__doc__", "__dict__", "os", "sys", "plot_line",
    "plot_line.__globals__", "line.__globals__", "mine", "mine.line", "mine/line.__globals__", "mine/__init__",
    "mine/plot_line", "mine/line/", "/mine/line", "mine//line", "mine/./line", "mine/../mine/line", "mine\\line",
    "MINE/LINE", "Mine/line", "mine/Line", "mine/_line", "mine/plot", "mine/plot_", "_mine/line", "mine/line\u200b",
    "mine/ｌine", "ｍine/line", "mine/lıne", "mine/line\x00", "mine/line%00", "mine/line", "\u202emine/line",
    "mine/line.PNG", "mine/line.png.png", "mine/line.exe", "mine/line.py", "mine/line.pkl", "mine/line.html",
    "mine/line/FORM", "mine/line/form/form", "mine/line.live.png", "mine/line{}", "{0.__class__}", "%s", "{{7*7}}",
    "../plotsrv.py", "plots/mine.py", ".git/config", ".env", "favicon.ico", "robots.txt", "server-status", "admin",
    "shutdown", "reload", "debug", "console", "static/app.js", "api/v1", "graphql", "wp-login.php", "token.txt",
    "latest", "*", "?", "[m]ine/line", "mine/line;", "mine/line|", "`id`", "$(id)", "${jndi:ldap://x}", "None",
    "null", "undefined", "NaN", "0", "-1", "constructor", "__proto__", "toString", "sub/training/loss",
    "sub.training.loss", "sub..training/loss", "numpy", "matplotlib", "plotsrv", "builtins", "eval"
]  # fmt: skip


@pytest.fixture(scope="module")
def same_site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("same"))


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
def test_only_the_exact_name_of_a_plot_finds_it(same_site, name):
    """P1: all others are 404, in the path and in the seed's form; what is near is told of public names alone."""
    site, before = same_site, len(same_site.renderer.jobs)
    for target in (f"/{quoted(name)}", f"/?mode=plot&graph={quoted(name)}", f"/?mode=paramcheck&graph={quoted(name)}"):
        if "graph=" in target and name in ("plot_line", "mine/line"):
            continue
        response = site.get(target)
        assert response.status == 404
        hint = re.search(r"Did you mean ([^?]*)\?", response.body.decode())
        assert hint is None or hint[1] in site.gallery.plots
    assert len(site.renderer.jobs) == before


NEARLY_NO_NAMES = st.sampled_from(NO_NAMES).flatmap(lambda name: st.text(max_size=3).map(name.__add__))


@given(name=st.text(max_size=30) | NEARLY_NO_NAMES)
@settings(max_examples=50, deadline=None)
@example(name="mine/line" * 500)
@example(name="a" * 8000)
def test_whatever_is_asked_for_there_is_no_other_plot(same_site, name):
    """P1: text of any kind is looked up in a dict, and nowhere else."""
    site = same_site
    request = Request("GET", "/" + name, {}, {"host": "localhost:9999", "accept": "text/html"})
    response = checked(site.application.respond(request))
    known = {*site.gallery.plots, "plots.json", ""}
    endings = [name.removesuffix(ending) for ending in plotsrv.VIEWS if name.endswith(ending)]
    assert response.status == 404 or known & {name, *endings}


NASTY_MODULE = """
from functools import partial
from os import path as plot_path
from textwrap import dedent as plot_dedent
import os, sys
import os as plot_os

def plot_public(): ...
def _plot_private(): ...
def __plot_hidden(): ...
def plot(): ...
def aplot_x(): ...
def Plot_x(): ...
plot_number = 3
plot_text = "plot_public"
plot_list = [plot_public]

class plot_Class:
    def __init__(self, x=1): ...

class Holder:
    def plot_inside(self): ...

class plot_meta(type): ...

def make():
    def plot_local(): ...
    return plot_local
"""


def test_the_registry_has_the_public_plots_and_nothing_else():
    """P1: imported functions, classes, values and private names are no plots, whatever they are called."""
    module = types.ModuleType("nasty")
    exec(NASTY_MODULE, vars(module))
    source = plotsrv.Source("/plots/nasty.py", "/plots", "plots", "nasty", "")
    assert {plot.path for plot in plotsrv.described_plots(source, module)[0]} == {"nasty/public"}


# -- P2, P3, P4: values, for each kind of parameter


class Kind(enum.Enum):
    RED, BLUE = 1, "b"


class Bound(types.SimpleNamespace):
    __hash__ = object.__hash__


PARAMETERS = {  # every row of the table of forms
    "int": "n: int = 3",
    "int_needed": "n: int",
    "int_few": "n: Annotated[int, range(4)] = 1",
    "int_range": "n: Annotated[int, range(0, 1000, 5)] = 5",
    "int_bounds": "n: Annotated[int, Bound(ge=-2, lt=9, multiple_of=2)] = 4",
    "range_default": "n=range(0, 100, 5)",
    "float": "x: float = 1.0",
    "float_bounds": "x: Annotated[float, Bound(ge=0, le=1)] = 0.5",
    "float_nan": "x: float = math.nan",
    "float_inf": "x: float = math.inf",
    "bool": "b: bool = True",
    "bool_or_none": "b: bool | None = None",
    "str": "s: str = 'a'",
    "str_needed": "s: str",
    "str_lines": "s: str = 'a\\nb'",
    "str_bounds": "s: Annotated[str, Bound(min_length=1, max_length=5)] = 'a'",
    "secret": "api_token: str = ''",
    "literal": "c: Literal['a', 'b'] = 'a'",
    "literal_mixed": "c: Literal[1, '1', True, None] = 1",
    "enum": "c: Kind = Kind.RED",
    "path": "p: Path = Path('x.csv')",
    "path_needed": "p: Path",
    "path_glob": "p: Annotated[Path, plotsrv.Glob('*.csv')] = 'latest'",
    "path_untold": "file_path",
    "paths": "p: list[Path] = ()",
    "run": "run: Annotated[Path, plotsrv.Runs()] = 'latest'",
    "runs": "runs: list[Annotated[Path, plotsrv.Runs()]] = ('*',)",
    "literals": "c: set[Literal['a', 'b']] = {'a'}",
    "enums": "c: list[Kind] = [Kind.RED]",
    "ints": "v: list[int] = [1, 2]",
    "floats": "v: Sequence[float] = (1.0,)",
    "strs": "v: list[str] = ['a', 'b']",
    "any_tuple": "v: tuple[int, ...] = (1,)",
    "pair": "v: tuple[int, float] = (1, 2.0)",
    "date": "t: datetime.date = datetime.date(2024, 1, 1)",
    "time": "t: datetime.time = datetime.time(1, 2)",
    "datetime": "t: datetime.datetime = datetime.datetime(2024, 1, 1)",
    "timedelta": "t: datetime.timedelta = datetime.timedelta(1)",
    "color_hex": "color='#ff8800'",
    "color": "color='red'",
    "cmap": "cmap='viridis'",
    "marker": "marker='o'",
    "linestyle": "linestyle='-'",
    "decimal": "x: Decimal = Decimal(1)",
    "fraction": "x: Fraction = Fraction(1, 2)",
    "complex": "x: complex = 1j",
    "uuid": "x: uuid.UUID = None",
    "address": "x: ipaddress.IPv4Address = None",
    "network": "x: ipaddress.IPv6Network = None",
    "optional": "n: int | None = None",
    "union": "v: int | float | datetime.date | str = 1",
    "union_choice": "v: Literal['auto'] | int = 'auto'",
    "numpy_int": "n: numpy.int8 = numpy.int8(1)",
    "numpy_float": "x: numpy.float32 = numpy.float32(1)",
    "dtype": "d: numpy.dtype = numpy.dtype('int8')",
    "timestamp": "t: pandas.Timestamp = pandas.Timestamp(0)",
    "pandas_delta": "t: pandas.Timedelta = pandas.Timedelta(1)",
    "dict": "d: dict = {'a': 1}",
    "dataclass": "c: Config = Config()",
    "args": "*args",
    "kwargs": "**kwargs",
    "positional": "n: int = 1, /",
    "keyword": "*, n: int = 1",
    "untold_int": "n=3",
    "untold_float": "x=0.5",
    "untold_none": "v=None",
    "untold_tuple": "v=(1, 2)",
    "untold_list": "v=[1.0, 'a']",
    "untold_needed": "v",
    "unknown": "v: Unheard = None",
    "unresolvable": "v: 'NotThere[int]' = 1",
    "now": "v: datetime.datetime = datetime.datetime.now",
    "axes": "ax, n: int = 1",
    "names_of_pages": "width: int = 3, theme: str = 'x', refresh_every: float = 1",
}
HEADER = """
import dataclasses, datetime, ipaddress, math, uuid
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal
import numpy, pandas
import plotsrv

class Unheard:
    def __init__(self, text):
        self.value = int(text)

class Inner:
    pass

@dataclasses.dataclass(frozen=True)
class Config:
    lr: float = 0.1
    steps: int = 3
    names: tuple[str, ...] = ()
"""
DOCUMENTED = '''
    """A plot

    Args:
        *args: values
        **kwargs: pairs
    """
'''
VALUES = [
    *("", " ", "\t", "\n", "\r\n", "a\nb", "a\r\nb", "a\0b", "\x1b[2J", "\x7f", "\x85", "\x9b31m", "a\u2028b"),
    *("1" * 257, "1" * 4301, "9" * 256, "-" + "9" * 255, "1_000", "1__0", "_1", "1_", " 12 ", "+1", "--1", "-1", "-0"),
    *("１２３", "٣", "१", "²", "Ⅳ", "0x10", "0b1", "0o7", "1e6", "1e400", "1e-400", "1E5", "1.5", "1,5", "1,000", ".5"),
    *("5.", "1.2.3", "1e", "e1", str(2**31), str(2**63), str(-(2**63) - 1), str(2**64), "128", "-129", "0", "-0.0"),
    *("nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e308", "-1e308", "1e309", "4.9e-324", "sNaN", "1e999999999"),
    *("true", "TRUE", "yes", "on", "off", "2", "None", "none", "null", "undefined", "False", "[]", "{}", "()", "''"),
    *('{"a": 1}', '{"a": NaN}', '{"a": 1, "a": 2}', '{"__proto__": 1}', "[1]", '"a"', '{"a": "/etc/passwd"}', "{1: 2}"),
    *("[" * 3000, '{"a":' * 800, "(" * 3000, "-" * 4000, "{" * 100, "1 " * 2000, "1," * 2000, "," * 4000, '"' * 4001),
    *('"', '"a', 'a"b""', "'", "a b", '"a b", c', "a=b", "=", "==", "x=1\ny=2", "n=1", "self=1", "args=1", "1=2"),
    *("__proto__", "constructor", "self", "args", "kwargs", "{0}", "{x.__class__}", "%s%n", "%(a)s", "lambda: 0"),
    *("__import__('os').system('id')", "os.system", "(lambda: 0)()", "[0 for x in y]", "1/0", "3/4", "1+2j", "j"),
    *("../x", "..", "/etc/passwd", "~", "~root", "$HOME", "http://a/", "file:///etc/passwd", "x.csv", "nothing.csv"),
    *("latest", "live", "*", "**/*", "[", "[!", "a" * 300 + ".csv", "C:\\x", "\\\\host\\share", ".env", "x.csv/y"),
    *("2024-02-30", "2024-02-29", "0000-00-00", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59", "10000-01-01"),
    *("2024-W01-1", "20240101", "2024-01-01T00:00:00+99:99", "2024-01-01T00:00:00Z", "25:61", "24:00", "now", "today"),
    *("-2h", "-99999999999d", "99999999999999d", "1h30m", "1e9d", "-1e300s", "1:30:00", "90", "nan s", "0001-01-01-1h"),
    *("#ff8800", "#gggggg", "#12345", "#", "C0", "C99999999999", "tab:blue", "xkcd:red", "(1,0,0)", "0.5", "2.0"),
    *("viridis", "viridis_r", "VIRIDIS", "$a$", "None ", "o", "--", "a", "b", "A", "RED", "red", "Kind.RED", "1"),
    *("::1", "::/0", "1.2.3.4", "1.2.3.4/33", "999.1.1.1", "01.02.03.04", "::1%eth0", "0" * 32, "{" + "0" * 32 + "}"),
    *("\u202eabc", "\u200b", "\ufeff1", "\U0001f600" * 500, "é" * 4096, "a" * 4096, "a" * 4097, "a\u0301" * 2000, "İ"),
    *(":", "0:", ":5", "5:1", "1:1", "nan:1", "inf:inf", "1:2:3", "1e400:", "0:1e308", "10%", "-10%", "1000%", "%"),
    *("1;drop table", "' or 1=1 --", "${jndi:ldap://a}", "<script>alert(1)</script>", MARKER),
    *("dark", "light", "classic", "../dark", "/etc/matplotlibrc", "https://evil.example/a.mplstyle", "dark,light"),
]


class Binder(FakeRenderer):
    """Reads the arguments, and the lens, as a render process does, and says what is wrong with them."""

    def __init__(self, functions):
        super().__init__()
        self.functions = functions
        self.drawn = Drawing(b"\x89PNG\r\n\x1a\n", seconds=0.1, drawn_at=1_700_000_000.0)

    def submit(self, key, job, *rest, **more):
        self.wrong, self.answer = {}, self.drawn
        try:
            plotsrv.bind_arguments(self.functions[job.subject.path], job.texts)
            lens = {name: value for name, value in job.lens.items() if value and name in plotsrv.LENS[:7]}
            _ = lens and plotsrv.lens_of(figures, lens)
        except plotsrv.FormErrors as wrong:
            self.wrong, self.answer = wrong.errors, Drawing(status=400, errors=wrong.errors)
        return super().submit(key, job, *rest, **more)


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """A site with a plot for each row of the table of forms, whose arguments are read for real."""
    text = HEADER + "".join(
        f"def plot_{name}({parameters}):{DOCUMENTED}    return 1\n" for name, parameters in PARAMETERS.items()
    )
    module = types.ModuleType("typed")
    vars(module).update(Kind=Kind, Bound=Bound)
    sys.modules["typed"] = module  # dataclasses look there
    exec(text, vars(module))
    patch = pytest.MonkeyPatch()
    patch.setattr(plotsrv, "form_of", functools.cache(plotsrv.form_of))  # thousands of times the same
    site = Site(tmp_path_factory.mktemp("typed"))
    site.file("x.csv")
    source = plotsrv.Source("/plots/typed.py", "/plots", "plots", "typed", "")
    plots, errors = plotsrv.described_plots(source, module)
    assert errors == ""
    site.gallery.plots = {plot.path: plot for plot in plots}
    functions = {plot.path: getattr(module, plot.function) for plot in plots}
    site.renderer = site.application.studio.renderer = Binder(functions)
    yield site
    patch.undo()
    del sys.modules["typed"]


def answered(site, target, accept=PERSON):
    """The answer alone: of thousands, none is parsed."""
    return site.application.respond(make_request(target, accept=accept))


def names_in(fields):
    return [leaf.name for leaf in plotsrv.leaves(fields)]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_value_of_any_kind_is_taken_or_refused_beside_its_field(typed, name):
    """P2, P3, P4, CVE-2020-10735: digits without end, other scripts' digits, nan, JSON without end: never a 500."""
    plot = typed.gallery.plots[f"typed/{name}"]
    names = names_in(plot.fields)
    assert names or name in ("args", "kwargs", "secret")
    turn = [*PARAMETERS].index(name)
    for number, value in enumerate(VALUES[turn % 6 :: 6], turn):  # the others are tried in the next kinds
        query = "&".join(f"{quoted(each)}={quoted(value)}" for each in names)
        begun = time.monotonic()
        for ending, accept in ((".png", ELEMENT), ("", PERSON))[: 2 - bool(number % 32)]:  # pages take their time
            response = answered(typed, f"/typed/{name}{ending}?{query}", accept)
            assert response.status in (200, 400, 403, 404), (value, response.body[-500:])
        assert time.monotonic() - begun < SECONDS


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_query_of_any_shape_is_taken_or_refused(typed, name):
    """P4: given twice, with brackets, without a value, empty, by the names of Python's own."""
    names = names_in(typed.gallery.plots[f"typed/{name}"].fields)
    shapes = ["{0}=1&{0}=2", "{0}", "{0}=", "{0}=&{0}=", "{0}[]=1", "{0}[0]=1", "{0}.0=1", "{0}.x.y=1", "{0}%00=1"]
    shapes += ["{0}=1" + "&{0}=1" * 150, "=1", "&", "&&=&", "__proto__=1", "self=1&args=2&kwargs=3", "cls=1", "%s=1"]
    shapes += ["{0}.lr=1&{0}.steps=x&{0}.names=a", "**kwargs=1", "*args=1", "return=1", "plot_typed=1", "{0}=1;{0}=2"]
    turn = [*PARAMETERS].index(name)
    for number, shape in enumerate(shapes[turn % 2 :: 2], turn):
        ending, accept = (".png", ELEMENT) if number % 4 else ("", PERSON)
        for each in names or ["x"]:
            response = answered(typed, f"/typed/{name}{ending}?{shape.replace('{0}', each)}", accept)
            assert response.status in (200, 400, 403, 404), (shape, each)


@pytest.mark.parametrize(
    ("plot", "query", "message"),
    [
        ("int", "n=" + "1" * 4301, "whole number"),
        ("int", "n=" + "1" * 257, "whole number"),
        ("int", "n=%EF%BC%91", "whole number"),
        ("int", "n=%D9%A3", "whole number"),
        ("int", "n=1.5", "whole number"),
        ("int", "n=x&n=y", "more than once"),
        ("int_bounds", "n=10", "n:"),
        ("int_range", "n=7", "n:"),
        ("float", "x=nan", "x:"),
        ("float", "x=inf", "x:"),
        ("float", "x=1e309", "x:"),
        ("float", "x=" + "1" * 257, "x:"),
        ("float", "x=1,000", "x:"),
        ("literal", "c=A", "c:"),
        ("literal", "c=" + "a" * 300, "c:"),
        ("enum", "c=1", "c:"),
        ("enum", "c=__class__", "c:"),
        ("enums", "c=RED&c=mro", "c:"),
        ("numpy_int", "n=128", "n:"),
        ("date", "t=2024-02-30", "t:"),
        ("dict", "d=" + quoted("[" * 3000), "d:"),
        ("str", "s=" + "a" * 4097, "s:"),
        ("str", "s=%00", "s:"),
        ("str", "s=%1b[2J", "s:"),
        ("str", "s=%C2%9B31m", "s:"),
        ("str", "s=a%0Ab", "s:"),
        ("kwargs", "kwargs=self%3D1%0An", "kwargs:"),
    ],
)
def test_a_wrong_value_is_told_by_field_and_reason(typed, plot, query, message):
    """P2, P3, P4, P6: 400, the field, the reason, the text kept but not without end."""
    page = typed.page(f"/typed/{plot}?{query}", status=400)
    assert message in "".join(Parsed(page).texts)
    error = re.search(r'(?s)class="error".*?</div>', page)[0]
    assert len(error) < 1500


def test_nan_is_taken_where_the_default_is_one(typed):
    """P3: a default of nan or inf says that such values are meant."""
    assert typed.get("/typed/float_nan?x=nan").status == typed.get("/typed/float_inf?x=-inf").status == 200


def test_a_bools_pair_may_come_twice_and_nothing_unknown_reaches_the_function(typed):
    """P4: the hidden field's 0 and the box's 1; unknown names are a note on the page, and no argument."""
    assert typed.get("/typed/bool?b=0&b=1").status == 200
    page = typed.page("/typed/int?n=4&self=1&__class__=2&kwargs=3")
    assert page.count("Nothing here is called") == 3
    assert set(typed.renderer.jobs[-1].texts) == {"n"}


PAGE_NAMES = [field.name for field in plotsrv.PAGE_FIELDS]


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_a_pages_own_fields_take_or_refuse_whatever_comes(typed, name):
    """P2, P3, P10: width, height, dpi, smooth, xlim, theme and the rest, for pages and for pictures."""
    for number, value in enumerate(VALUES[PAGE_NAMES.index(name) % 3 :: 3]):
        for target, accept in (("/typed/int.png", ELEMENT), ("/typed/int", PERSON))[: 2 - bool(number % 16)]:
            response = answered(typed, f"{target}?{name}={quoted(value)}", accept)
            assert response.status in (200, 400, 403), (target, value)  # 403: a text that names a file elsewhere
        if number % 32:
            continue
        response = answered(typed, f"/typed/int?{name}={quoted(value)}&{name}=1")
        assert response.status in (400, 403) or name == "thin"  # which is a box: of its pair, the last one counts


# -- P5, P6: queries


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("&".join(f"a{n}=1" for n in range(200)), 200),
        ("&".join(f"a{n}=1" for n in range(201)), 400),
        ("&".join(["a"] * 201), 400),
        ("&".join(["n=1"] * 201), 400),
        ("&" * 4000, 400),
        ("a=" + "x" * 8000, 200),
        ("a=" + "x" * 8200, 414),
        ("a=" + "x" * 65536, 414),
        ("a" * 8000, 200),
        (quoted("\U0001f600" * 600), 200),
        (quoted("\U0001f600" * 250_000), 414),
        (";".join(["a=1"] * 400), 200),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_query_without_end_is_refused(site, query, status):
    """P5, CVE-2023-25577, CVE-2025-58186: over 200 fields is 400, a line over 8,190 bytes 414."""
    request = parsed(f"/mine/line?{query}")
    begun = time.monotonic()
    found = request if isinstance(request, int) else checked(site.application.respond(request)).status
    assert found == status and time.monotonic() - begun < SECONDS


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        *[(text, 400) for text in ("%ff", "%C3", "%C3%28", "%c0%af", "%e0%80%af", "%f8%88%80%80%80", "%80", "a%FEb")],
        *[(text, 400) for text in ("%ed%a0%80", "%ED%B0%80", "%f4%90%80%80", "%ed%a0%bd%ed%b8%80", "%c0%80")],
        *[(text, 0) for text in ("%zz", "%", "%%", "100%", "%2", "%u0041", "%25ff", "%252e", "%\u0661".encode().hex())],
        *[(text, 0) for text in ("%e2%80%8b", "%e2%80%ae", "%ef%bb%bf", "%ef%bf%bd", "%f0%9f%98%80", "%c3%a9")],
    ],
)
def test_what_is_no_utf_8_is_refused_and_a_lone_percent_stays_one(same_site, sent, status):
    """P6: decoding is strict, surrogates never come to be; `100%` is what a person types, and means itself."""
    for place in ("/mine/line?title={}", "/mine/line?{}=1", "/{}", "/?mode=plot&graph={}"):
        request = parsed(place.format(sent))
        if status:
            assert request == status, place
        else:
            assert checked(same_site.application.respond(request)).status in (200, 400, 404), place


@pytest.mark.parametrize("sent", ["%zz", "100%", "%"])
def test_a_lone_percent_is_what_the_plot_gets(site, sent):
    """P6: it is no error."""
    site.draws(image=b"\x89PNG\r\n\x1a\n")
    assert checked(site.application.respond(parsed(f"/mine/line?title={sent}"))).status == 200
    assert site.renderer.jobs[-1].texts["title"] == (sent,)


CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\ud800", "\udfff"]


@pytest.mark.parametrize("plot", ["str", "str_needed", "str_lines", "untold_needed", "union", "strs"])
def test_no_control_character_and_no_surrogate_reaches_a_plot(typed, plot):
    """P6: C0, C1 and what is no character are refused; but for the tab, and the newline in a text of several lines."""
    name = names_in(typed.gallery.plots[f"typed/{plot}"].fields)[0]
    allowed = {"str_lines": "\t\n", "strs": "\t\n\r"}.get(plot, "\t")  # of strs, blanks
    for number, each in enumerate(CONTROLS):
        query, target = {name: (f"a{each}b",)}, f"/typed/{plot}" + (".png" if number % 8 else "")
        request = Request("GET", target, query, {"host": "localhost", "accept": ELEMENT if number % 8 else PERSON})
        status = checked(typed.application.respond(request)).status
        assert status == (200 if each in allowed else 400), ascii(each)


# -- P7: markers, on pages of an application without processes


SPOTS = ["/", "/mine/line", "/mine/line?title={}", "/mine/line?n={}", "/mine/line?{}=1", "/mine/log?file_path={}"]
SPOTS += ["/mine/log/form?file_path={}", "/mine/need?n={}&color={}", "/mine/line?theme={}&xlim={}", "/{}", "/mine/{}"]
SPOTS += ["/{}/form", "/{}.png", "/mine/line.png?n={}", "/mine/line.svg?title={}", "/?mode={}&graph=line", "/need"]
SPOTS += ["/?mode=plot&graph={}", "/?mode=plotpage&graph={}", "/token?token={}", "/plots.json?{}"]
SPOTS += ["/training/run?run={}", "/training/compare?runs={}", "/training/compare/form", "/other/newest/form"]
SPOTS += ["/mine/line.csv?{}={}"]


def marked_states(site):
    """All that a render process may say, with the marker in it."""
    said = dict(output=MARKER, headline=MARKER, notes=(MARKER,))
    yield lambda: site.draws(image=b"\x89PNG\r\n\x1a\n", **said)
    yield lambda: site.fails(error=f"{MARKER}: {MARKER}", traceback=f'File "{MARKER}", line 1\n    {MARKER}', **said)
    yield lambda: site.fails(status=404, error=MARKER)
    yield lambda: site.draws(status=400, errors={"title": MARKER, "n": MARKER, "file_path": MARKER})
    yield lambda: site.draws(image=f"<svg>{MARKER}</svg>".encode(), content_type="image/svg+xml", own=True)


@pytest.mark.parametrize("spot", SPOTS)
def test_a_marker_is_text_wherever_it_comes_in(site, spot):
    """P7, CVE-2021-32670, CVE-2023-6568, CVE-2023-27494, CVE-2016-10516, CVE-2018-19352, CVE-2024-21485.

    In names and values of parameters, paths, errors, tracebacks, names of files and runs, output, titles and notes,
    and in the header fields; whatever a render process says of it.
    """
    site.file(f"{MARKER}.csv")
    site.file(f"runs {MARKER}/log.csv")
    run = dict(path=str(site.folder / f"{MARKER}.csv"), name=MARKER, format=MARKER, state="growing", changed=1.0)
    site.renderer.runs = [dict(run, values=((MARKER, 1.0),), note=MARKER)]
    site.gallery.broken = {"x": plotsrv.Broken(MARKER, MARKER, MARKER)}
    target = spot.replace("{}", quoted(MARKER))
    fields = dict(cookie=MARKER, user_agent=MARKER, accept_language=MARKER, if_none_match=MARKER, upgrade=MARKER)
    for number, state in enumerate(marked_states(site)):
        state()
        site.renderer.wrong = {"title": MARKER}
        for changes in (fields, dict(accept=ELEMENT), {}, dict(accept=MARKER))[: 2 if number else 4]:
            assert unmarked(site.get(target, **changes))
    for changes in (dict(host=MARKER), dict(referer=MARKER), dict(origin=MARKER), dict(sec_fetch_site=MARKER),
                    dict(owner=False, authorization=MARKER), dict(x_forwarded_host=MARKER)):  # fmt: skip
        assert unmarked(site.get(target, **changes))


def unmarked(response):
    """Is a marker in a response nothing but text?"""
    assert not any(part in value for _, value in response.header_fields() for part in ("<", "onload", "{{"))
    if response.content_type.startswith("text/html"):
        assert Parsed(response.body.decode()).foreign == []
    elif response.content_type == "image/svg+xml" and response.status != 200:
        assert siege_inputs.foreign_in_picture(response.body.decode()) == []
    return True


def test_an_unknown_page_does_not_repeat_its_address(site):
    """P7, CVE-2021-32670 (datasette): nothing of the path of a 404, the Host of a 421 or the mode of a 400 is told."""
    for target, changes in (
        ("/secret-words", {}),
        ("/mine/secret-words", {}),
        ("/?mode=secret-words&graph=mine/log", {}),
        ("/?mode=plot&graph=secret-words", {}),
        ("/", dict(host="secret-words.example")),
        ("/", dict(origin="http://secret-words.example")),
        ("/token?token=secret-words", {}),
    ):
        response = site.get(target, **changes)
        assert response.status >= 400 and b"secret-words" not in response.body


def test_a_marker_in_every_input_of_a_real_server_is_text(tmp_path, one_browser):
    """P7: by docstrings, sources, columns, sheets, files and runs as they are; some of the siege's requests."""
    is_told_by(siege_inputs.markers(Bench(tmp_path), pages=0 if why_no_browser() else 3, every=24))


# -- P8: SVG


@pytest.mark.parametrize("content", ["<svg onload='alert(1)'/>", "<?xml?><svg><script/></svg>", "<svg>\0"])
@pytest.mark.parametrize("target", ["/mine/line.svg", "/mine/line.png"])
def test_an_svg_is_served_into_a_sandbox(site, target, content):
    """P8, CVE-2018-21030: opened alone it may run nothing, whatever the plot wrote; its type is never guessed."""
    site.draws(image=content.encode(), content_type="image/svg+xml", own=True)
    response = site.get(target, accept=ELEMENT)
    headers = dict(response.header_fields())
    assert headers["Content-Type"] == "image/svg+xml" and headers["X-Content-Type-Options"] == "nosniff"
    policy = [each.strip() for each in headers["Content-Security-Policy"].split(";")]
    assert "sandbox" in policy and "default-src 'none'" in policy
    assert re.fullmatch(r'inline; filename="[A-Za-z0-9._-]+"', headers["Content-Disposition"])


def test_a_page_shows_an_svg_as_a_picture_only(site):
    """P8: within an <img>, where no browser runs anything; never as part of the page."""
    image = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    site.draws(image=image, content_type="image/svg+xml", own=True)
    page = site.page("/mine/line")
    assert "data:image/svg+xml;base64," + base64.b64encode(image).decode() in page
    assert "<svg" not in page and Parsed(page).foreign == []


def test_an_errors_picture_is_well_formed_whatever_the_message(site):
    """P8: control characters, surrogates and markup would make a browser show nothing, or something else."""
    messages = [MARKER, "\0\x01\x1b", "\ud800\udfff\ufffe\uffff", "]]>&amp;&#x41;<!--", "\u202e" * 50, "a" * 10_000]
    for message in messages:
        site.fails(error=message)
        body = site.get("/mine/line.png", accept=ELEMENT).body
        assert siege_inputs.foreign_in_picture(body.decode()) == []


# -- P9: mathtext


def math_texts():
    """Formulas that are wrong, deep, long, or do what they must not."""
    yield from ("$", "$$", "$a", "$a$b$", r"\$", r"$\$$", "$ $", "$^$", "$_$", "$_^_$", "$a_b_c$", "$^^$", "${}$")
    yield from (r"$\bad{$", r"$\frac{1}$", r"$\frac{1}{0}$", r"$\sqrt$", r"$\sqrt[$", r"$\left($", r"$\\$")
    yield from (r"$\input{/etc/passwd}$", r"$\include{x}$", r"\input{/etc/passwd}", r"$\def\x{\x\x}\x$", r"$\write18$")
    yield from (r"$\mathbb{\mathbb{x}}$", r"$\operatorname{}$", r"$\overline{\overline{x}}$", r"$\hspace{1e9}$")
    yield from (r"$\binom{n}{k}$", r"$\genfrac{}{}{0}{}{a}{b}$", r"$\substack{a\\b}$", r"$\mathrm{\u0041}$", r"$\x41$")
    yield from ("$\u202e$", "$\U0001f600$", "$\u0301$", "$é$", "$%$", "$#$", "$&$", "$~$", "$`$", "${{7*7}}$")
    yield from ("$" + r"\sqrt{" * n + "x" + "}" * n + "$" for n in (5, 20, 60, 400))
    yield from ("$" + "x^{" * n + "y" + "}" * n + "$" for n in (10, 100, 1000))
    yield from ("$" + "{" * 500, "$" + "(" * 500 + "$", "$" + "a" * 1000 + "$", "$a$" * 50, "$" * 4096)
    yield from (r"$\frac{" * 50 + "1" + "}{2}" * 50 + "$", "x" * 4096, "$a_1$ " * 30, r"$\alpha$" * 30)


MATH_TEXTS = [*math_texts()]


@pytest.mark.parametrize("text", MATH_TEXTS, ids=lambda text: ascii(text)[:30])
def test_a_formula_is_drawn_or_told_to_be_wrong_before_long(text):
    """P9, matplotlib#23804: no TeX is run; what is wrong or too deep is an error of the plot."""
    assert len(text) <= plotsrv.TEXT_CHARACTERS and not matplotlib.rcParams["text.usetex"]
    figure, begun = matplotlib.figure.Figure(figsize=(1, 1), dpi=50), time.monotonic()
    figure.text(0, 0, text)
    try:
        assert plotsrv.figure_bytes(figure)[0].startswith(b"\x89PNG")
    except Exception as error:  # as where a plot is called: anything at all may come
        assert 0 < len(plotsrv.error_line(error)) < 10_000
    assert time.monotonic() - begun < SECONDS


def test_there_are_as_many_formulas_as_promised():
    """P9: fifty."""
    assert len(set(MATH_TEXTS)) >= 50


# -- P10: sizes


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("width=4000", 200),
        ("height=4000&width=4000", 200),
        ("dpi=400", 200),
        ("dpi=20&width=50&height=50", 200),
        *((f"{name}={value}", 400) for name in ("width", "height") for value in (
            "4001", "1e6", "1000000", "49", "0", "-1", "-800", "nan", "inf", "1e309", "800.5", "99999999999999999999")),
        *((f"dpi={value}", 400) for value in ("401", "1e5", "19", "0", "-1", "nan", "inf", "1e309", "72.5")),
        ("width=1e6&dpi=1e5", 400),
        ("width=800&width=900", 400),
    ],
)  # fmt: skip
def test_a_picture_has_the_size_that_a_screen_may_have(typed, query, status):
    """P10, CVE-2023-44271: up to 4,000 pixels a side and 400 dots an inch; nothing else is drawn at all."""
    before = len(typed.renderer.jobs)
    assert typed.get(f"/typed/int?{query}").status == typed.get(f"/typed/int.png?{query}").status == status
    assert (len(typed.renderer.jobs) > before) == (status == 200)


def big_figure(inches=(4, 3), dpi=100, **settings):
    figure = matplotlib.figure.Figure(figsize=inches, dpi=dpi)
    figure.add_subplot().set(**settings)
    return figure


def far_text():
    figure = big_figure()
    figure.text(500, 300, "far")
    return figure


def long_text():
    figure = big_figure()
    figure.text(0, 0, "a long text" * 300 + "\n" * 100)
    return figure


@pytest.mark.parametrize(
    ("figure", "settings", "lens"),
    [
        (lambda: big_figure((1000, 1000)), {}, {}),
        (lambda: big_figure((40, 40), dpi=101), {}, {}),
        (lambda: big_figure((1e6, 0.01)), {}, {}),
        (lambda: big_figure((20, 20)), {}, dict(dpi=400)),
        (lambda: big_figure((10, 1)), {}, dict(height=4000)),
        (lambda: big_figure(), {"savefig.dpi": 5000}, {}),
        (far_text, {"savefig.bbox": "tight"}, {}),
        (long_text, {"savefig.bbox": "tight"}, {}),
        (lambda: big_figure(), {"savefig.bbox": "tight", "savefig.pad_inches": 30}, {}),
    ],
    ids=["inches", "dots", "a strip", "dpi", "height", "savefig.dpi", "tight, far", "tight, long", "tight, padded"],
)
def test_a_figure_larger_than_16_megapixels_is_refused_before_it_is_painted(figure, settings, lens):
    """P10: by its size, its dots, the settings, or a bounding box that reaches far out."""
    begun = time.monotonic()
    with matplotlib.rc_context(settings), pytest.raises(ValueError, match="megapixels"):
        plotsrv.drawing_of(figure, "png", lens)
    assert time.monotonic() - begun < SECONDS


def own_png(width, height):
    """A picture with nothing in it, as somebody's plot may return it, and what its head says."""
    head = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR"
    return head + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0]) + bytes(100)


def own_image(width, height):
    from PIL import Image

    return Image.new("1", (width, height))


@pytest.mark.parametrize("make", [own_png, own_image])
def test_a_picture_that_a_plot_makes_itself_has_the_same_limit(make):
    """P10: a browser would need as much memory for it as for ours."""
    with pytest.raises(ValueError, match="megapixels"):
        plotsrv.drawing_of(lambda: make(5000, 5000), "png", {})
    assert plotsrv.drawing_of(lambda: make(100, 100), "png", {}).status == 200


# -- P12: logs


HOSTILE_BYTES = "".join(map(chr, [*range(0x20), *range(0x7F, 0x100)]))
HOSTILE_REQUESTS = [
    "GET /\x1b]0;evil\x07 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /\x9b31m HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /%1b%5d0;evil%07%0a%0dplotsrv:%20fake HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "GET /%e2%80%aeevil%c2%9b31m%7f HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: \x1b[2Jevil\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: evil\xe9\x9b31m.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: evil.example\r\nUser-Agent: \x1b[31m\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: evil.example\r\nReferer: http://a/\t\xa0\x85\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nVia: 1.1 x\r\nAuthorization: Bearer \xff\r\n\r\n",
    "GET /hostile/prints HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\x0b\r\n\r\n",
    "GET /hostile/prints HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
    "GET /hostile/prints HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n",
    "GET /hostile/fails HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n",
    "GET /token?token=%1b%5b31m HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "G\x1bET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "\x1b[31m\r\n\r\n",
    f"GET /{'A' * 4000} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: {HOSTILE_BYTES}\r\n\r\n",
    f"{HOSTILE_BYTES}\r\n\r\n",
]
HOSTILE_PLOTS = """
import sys
ALL = "".join(map(chr, range(0x120))) + "\\u202e\\u2028\\ud800"

def plot_prints():
    print(ALL, flush=True)
    print(ALL, file=sys.stderr, flush=True)
    return bytes.fromhex("89504e470d0a1a0a")

def plot_fails():
    raise ValueError(ALL)
"""


def raw(port, request, client="127.0.0.1"):
    """What a server answers to bytes, until it closes the connection or has nothing more to say."""
    with socket.create_connection(("127.0.0.1", port), SECONDS, (client, 0)) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
                head, ended, body = answer.partition(b"\r\n\r\n")
                found = re.search(rb"Content-Length: (\d+)", head)
                if ended and found and len(body) >= int(found[1]):
                    break
        except OSError:
            pass
        return answer


class Terminal:
    """plotsrv in a terminal of its own; what it writes there, byte by byte."""

    def __init__(self, folder):
        ours, theirs = pty.openpty()
        tty.setraw(theirs)  # else the terminal would write CR before each LF
        environment = {name: value for name, value in os.environ.items() if name not in UNSET} | QUIET
        self.popen = subprocess.Popen(
            [sys.executable, "-S", PLOTSRV, "--no-browser", "--port=0", folder],
            cwd=folder,
            env=environment | {"XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": plac_alone()},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.written = b""
        self.reader = threading.Thread(target=self.read, args=(ours,))
        self.reader.start()

    def read(self, terminal):
        try:
            while chunk := os.read(terminal, 65536):
                self.written += chunk
        except OSError:  # nobody has it open any more
            pass
        os.close(terminal)

    def wait_for(self, text):
        deadline = time.monotonic() + 3 * SECONDS
        while text not in self.written and time.monotonic() < deadline:
            time.sleep(0.02)
        assert text in self.written

    def end(self):
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(SECONDS)
        finally:
            self.popen.kill()
            self.popen.wait()
        self.reader.join(SECONDS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What a terminal shows after requests and plots full of what a terminal obeys; and the token."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "plots").mkdir()
    (folder / "plots" / "hostile.py").write_text(HOSTILE_PLOTS)
    terminal = Terminal(folder)
    try:
        terminal.wait_for(b"Ctrl-C")
        port = int(re.search(rb"127\.0\.0\.1:(\d+)/", terminal.written)[1])
        token = (folder / "state" / "plotsrv" / "token").read_bytes().strip()
        for number, request in enumerate(HOSTILE_REQUESTS, 1):
            raw(port, request, f"127.0.0.{number}")  # equal refusals of one client would be told once
        for _ in range(30):
            raw(port, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "127.0.1.1")
        told = f"GET /{token.decode()} HTTP/1.1\r\nHost: evil.example\r\nReferer: http://x/{token.decode()}\r\n\r\n"
        raw(port, told, "127.0.1.2")
    finally:
        terminal.end()
    return terminal.written, token


def test_nothing_that_is_sent_can_command_the_terminal(written):
    """P12, gh-100001, Django #36470: no byte below a blank but the end of a line, no C1, and none that turns text."""
    text, _ = written
    assert not set(text) & ({*range(0x20), 0x7F} - {0x0A})
    assert not re.search("[\x80-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text.decode())
    assert b"Traceback" not in text


def test_a_refusal_is_one_line_of_at_most_500_characters(written):
    """P12: its time, whose it is, status, method, path and why; equal ones once, and no line that others made up."""
    said = written[0].partition(b"Ctrl-C ends it\n")[2].decode()
    lines = [line for line in said.split("\n") if line.strip()]
    form = r"plotsrv: [\d-]{10} [\d:]{8} [+-]\d{4} 127\.0\.[01]\.\d+ (401|403|421) GET /[ -~]*: [A-Za-z][ -~]+\."
    assert {re.search(r" (4\d\d) ", line)[1] for line in lines if re.fullmatch(form, line)} == {"401", "403", "421"}
    for line in lines:
        assert len(line) <= 520 and re.fullmatch(form, line), line
    assert len([line for line in lines if " 127.0.1.1 421 " in line]) == 1


def test_ordinary_requests_are_not_logged(written):
    """P12: a page that refreshes itself each second would fill the disk."""
    assert b" 200 " not in written[0] and b"hostile/fails" not in written[0]


def test_the_log_does_not_have_the_token(written):
    """P14, CVE-2022-24757: not in the path of a refusal either; only where it is printed on purpose, at the start."""
    text, token = written
    assert token not in text.partition(b"Ctrl-C ends it")[2] and token in text


# -- P14: the token


def test_the_token_is_nowhere_but_where_it_was_printed(bench, monkeypatch, tmp_path):
    """P14, CVE-2022-24757, CVE-2022-24758, GHSA-c3mw-737p-c7g2: not in pages, logs, process lists, environments.

    Not even where a plot fails with it in its message, or prints its environment. Each fifth request of the siege's.
    The server whose token is kept has matplotlib.
    """
    requests, start = siege_inputs.telling_requests, siege_inputs.site

    def site(bare, folder, *options, **environment):
        return start(bare if environment else Bench(tmp_path), folder, *options, **environment)

    monkeypatch.setattr(siege_inputs, "site", site)
    monkeypatch.setattr(siege_inputs, "telling_requests", lambda server: [*requests(server)][::5])
    is_told_by(siege_inputs.token(bench, rounds=1))


def test_the_token_leaves_the_address_at_once(site):
    """P14: one redirect to the gallery, to a fixed relative address, with a cookie that is not the token."""
    site.access.token = TOKEN
    response = site.get(f"/token?token={TOKEN}", owner=False)
    headers = dict(response.header_fields())
    assert (response.status, headers["Location"]) == (303, "./") and headers["Referrer-Policy"] == "no-referrer"
    assert TOKEN not in repr(headers) and TOKEN.encode() not in response.body


@pytest.mark.parametrize("token", [TOKEN, "0.~_-.0.~_-.0.~_-"])
def test_the_token_is_not_told_in_any_spelling(site, token):
    """P14: as HTML, a URL, JSON or Python write it: all that PLOTSRV_TOKEN may hold is the same in each."""
    site.access = site.application.access = Access(token=token)
    site.fails(error=f"KeyError: {token!r} {token}", traceback=token, output=token + quoted(token), notes=(token,))
    told = quoted(token)
    spellings = {token, html.escape(token), told, json.dumps(token)[1:-1], repr(token)[1:-1], ascii(token)[1:-1]}
    for target in ("/mine/line", "/mine/line.png", f"/mine/line?title={told}", f"/mine/line?{told}=1"):
        for accept in (PERSON, ELEMENT):
            body = site.get(target, accept=accept).body.decode()
            assert not [spelling for spelling in spellings if spelling in body]


# -- P15: comparing


@pytest.mark.parametrize(
    "text",
    ["", " ", "é", "t\xf6ken", "\U0001f600", "\u202e", "\0", "a" * 65536, TOKEN + "\0", TOKEN + " x", "\xff\xfe"],
    ids=ascii,
)
def test_a_text_of_any_kind_is_no_token_and_no_error(site, text):
    """P15: what is not ASCII is wrong, and no TypeError of the comparison."""
    site.access.token = TOKEN
    assert not site.access.is_token(text)
    for request in (
        Request("GET", "/token", {"token": (text,)}, {"host": "localhost"}),
        make_request("/", owner=False, authorization=f"Bearer {text}"),
        make_request("/", owner=False, cookie=f"plotsrv-9999={text}"),
    ):
        assert checked(site.application.respond(request)).status == 401


def test_secrets_are_compared_in_constant_time(monkeypatch):
    """P15, CVE-2024-47869, CVE-2019-14806: tokens and signatures, as bytes or ASCII, by hmac.compare_digest."""
    compared = []
    same = hmac.compare_digest
    monkeypatch.setattr(plotsrv.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or same(a, b))
    access = Access(token=TOKEN)
    cookie = cookie_of(access)
    access.is_token("wrong")
    status_of(access.authorize, make_request("/", owner=False, authorization="Bearer wrong"))
    status_of(access.authorize, make_request("/", owner=False, cookie=cookie[:-1] + "x"))
    status_of(access.authorize, make_request("/", owner=False, cookie=cookie))
    assert len(compared) >= 3
    assert all(isinstance(a, bytes) or a.isascii() for pair in compared for a in pair)


def test_a_wrong_token_does_not_lock_the_owner_out(site):
    """P15: 192 bits need no rate limit, by which a neighbour could keep the owner from their plots."""
    site.access.token, site.access.everybody = TOKEN, True
    for _ in range(100):
        assert site.get("/", authorization="Bearer wrong").status == 401
    assert site.get("/", authorization=f"Bearer {TOKEN}").status == 200


# -- P16: cookies


def given_cookie(access):
    """What a browser is told to keep, with its flags."""
    return access.authorize(Request("GET", "/token", {"token": (access.token,)}, {"host": "localhost"}, owner=False))


def cookie_of(access):
    return given_cookie(access).partition(";")[0]


def test_a_cookie_has_its_flags():
    """P16: no script reads it, no other site sends it along, and it is gone after 30 days."""
    value, *flags = given_cookie(Access(token=TOKEN)).split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"} <= set(flags)
    assert not any(flag.startswith("Domain") for flag in flags) and TOKEN not in value


def test_two_servers_on_one_host_keep_their_cookies_apart():
    """P16: cookies do not know of ports; each server finds its own among both, and takes none of the other's."""
    one, two = Access(token=TOKEN, port=9999), Access(token="another-token-of-192-bits", port=8888)
    jar = f"{cookie_of(one)}; {cookie_of(two)}"
    for access in (one, two):
        assert status_of(access.authorize, make_request(owner=False, cookie=jar)) == 200
    for access, other in ((one, two), (two, one)):
        assert status_of(access.authorize, make_request(owner=False, cookie=cookie_of(other))) == 401
        renamed = cookie_of(other).replace(f"-{other.port}=", f"-{access.port}=")
        assert status_of(access.authorize, make_request(owner=False, cookie=renamed)) == 401
    same_token = Access(token=TOKEN, port=8888)  # one state folder, two servers
    renamed = cookie_of(one).replace("-9999=", "-8888=")
    assert status_of(same_token.authorize, make_request(owner=False, cookie=renamed)) == 401


@pytest.mark.parametrize(
    ("around", "status"),
    [
        ("{}", 200),
        ("{};", 200),
        ("a=b; {}; c=d", 200),
        ("={0}; {0}", 200),
        ("=value; {}", 200),
        ("; ; ;{}", 200),
        ("a; b; {}", 200),
        ('a="b; {}"', 401),
        ("={}", 401),
        ("__Host-{}", 401),
        ("x{}", 401),
        ("$Version=1; {}", 200),
        ('"{}"', 401),
        ("{},", 401),
        ("a=" + "b" * 5000 + "; {}", 401),
        ("a=" + "\\" * 3000 + "; {}", 200),
        ("; " * 1500 + "{}", 200),
        ("; " * 15_000 + "{}", 401),
        ("a=\xff\xfe; {}", 200),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_cookie_is_found_by_its_own_name_among_whatever_else_there_is(around, status):
    """P16, CVE-2023-23934: nameless ones and other names do not count, and only the first 4 kB are looked at."""
    access = Access(token=TOKEN)
    request = make_request(owner=False, cookie=around.format(cookie_of(access)))
    assert status_of(access.authorize, request) == status


@pytest.mark.parametrize("piece", ["; ", '"', "\\", 'a="', "plotsrv-9999=", "plotsrv-9999=1.", "=", ";plotsrv-9999=9"])
def test_a_huge_cookie_takes_no_time(piece):
    """P16, CVE-2024-7592: quadratic unquoting took minutes; 32 kB are all that a header may have."""
    access, begun = Access(token=TOKEN), time.monotonic()
    cookie = (piece * 32_768)[:32_768]
    for _ in range(20):
        assert status_of(access.authorize, make_request(owner=False, cookie=cookie)) == 401
    assert time.monotonic() - begun < SECONDS


# -- P17: names


@pytest.mark.parametrize("host", OUR_HOSTS)
def test_more_of_our_own_names_are_answered(host):
    """P17: every way to write this machine's loopback, in capitals, with a port, with the root's dot."""
    assert status_of(Access().authorize, make_request(host=host)) == 200


@pytest.mark.parametrize("host", siege_inputs.FOREIGN_HOSTS, ids=lambda host: ascii(host)[:40])
@pytest.mark.parametrize("options", [{}, dict(allow_host="gpu.example", token=TOKEN, everybody=True)])
def test_more_foreign_names_are_refused(options, host):
    """P17, CVE-2025-14279, CVE-2026-21883, CVE-2026-40110: a name is ours as a whole, or not at all."""
    assert status_of(Access(**options).authorize, make_request(host=host)) == 421


@pytest.mark.parametrize("lines", [[], ["Host: localhost", "Host: localhost"], ["Host: localhost", "host: evil"]])
def test_there_is_exactly_one_host(lines):
    """P17: none, or two, is a malformed request in HTTP/1.1; which one counts would be anybody's guess."""
    head = "\r\n".join(["GET / HTTP/1.1", *lines]).encode()
    assert status_of(Request.parse, head, "127.0.0.1", True) == 400


@pytest.mark.parametrize("place", ["localhost{}", "{}localhost", "local{}host", "localhost{}:9999", "a{}.localhost:"])
def test_no_byte_beside_a_name_makes_it_ours(place):
    """P17: what Python takes for blanks (0x85, 0xa0) is part of the value in HTTP, and so of another name."""
    for byte in (*range(1, 9), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0x100)):
        head = b"GET / HTTP/1.1\r\nHost: " + place.format(chr(byte)).encode("latin-1")
        try:
            request = Request.parse(head, "127.0.0.1", True)
        except HTTPError as error:
            assert error.status == 400, hex(byte)
        else:
            assert status_of(Access().authorize, request) == 421, hex(byte)


@pytest.mark.parametrize("name", ["x_forwarded_host", "forwarded", "x_original_host", "x_host", "x_http_host_override"])
@pytest.mark.parametrize("proxies", ["", "127.0.0.1", "10.0.0.7"])
def test_a_rebound_page_cannot_speak_for_a_proxy(site, proxies, name):
    """P17: such a page is of one origin with us, and may send what fields it likes; but it has no cookie of ours."""
    site.access = site.application.access = Access(token=TOKEN, proxies=proxies)
    fields = dict(host="evil.example:9999", sec_fetch_site="same-origin") | {name: "localhost:9999"}
    response = site.get("/mine/line", **fields)
    assert response.status in (401, 421) and site.renderer.jobs == []


def test_the_tables_of_names_and_sites_are_as_long_as_promised():
    """P17, P18: at least a hundred rows of Host, Origin and Sec-Fetch, all against a real server in the siege."""
    assert len([*siege_inputs.answer_table()]) >= 200
    assert len(siege_inputs.table_of(test_access.test_only_our_own_names_are_answered, "host")) >= 55


# -- P18: other sites


@pytest.mark.parametrize("options", [{}, dict(identity=False), dict(embedder="https://wiki.example")], ids=str)
def test_more_of_what_other_sites_may_not(options):
    """P18, CVE-2019-9644, CVE-2023-40170: every kind of element, frame and worker, by cross-site and same-site."""
    for headers, allowed in MORE_SITES:
        request = make_request(**{name.replace("-", "_"): value for name, value in headers.items()})
        assert status_of(Access(**options).authorize, request) == (200 if allowed else 403), headers


@pytest.mark.parametrize("target", ["/", "/mine/line", "/mine/line.png", "/mine/line.live", "/plots.json", "/nothing"])
def test_a_foreign_sites_request_starts_nothing(site, target):
    """P18: it is refused before anything is looked up, and so tells nothing by its size, its time or its errors."""
    answers = {site.get(target, accept=ELEMENT, **fields).body for fields in (
        dict(sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="image"),
        dict(sec_fetch_site="same-site", sec_fetch_mode="cors", sec_fetch_dest="empty"),
        dict(origin="http://evil.example"),
    )}  # fmt: skip
    assert site.renderer.jobs == [] and site.gallery.waited == [] and len(answers) == 1


def test_no_answer_lets_another_origin_read_it(site):
    """P18: there is no CORS header, whoever asks."""
    for origin in ("http://localhost:9999", "http://evil.example", "null"):
        names = {name.lower() for name, _ in site.get("/", origin=origin).header_fields()}
        assert not {name for name in names if name.startswith("access-control-")}


@pytest.mark.parametrize("path", ["reload", "shutdown", "quit", "clear", "purge", "cache", "restart", "delete"])
def test_no_address_changes_anything(site, path):
    """P18: a GET has no side effects, so there is nothing to forge."""
    assert site.get(f"/{path}").status == site.get(f"/{path}?confirm=1").status == 404


@pytest.mark.browser
def test_a_foreign_page_in_a_real_browser_starts_no_drawing_and_reads_nothing(bench, one_browser):
    """P17, P18: by img, script, fetch, iframe, form and the rest, from another port or name, and a rebound one."""
    is_told_by(siege_inputs.cross_site(bench, rounds=1))


# -- P19: frames and types


TARGETS = ["/", "/mine/line", "/mine/line/form", "/mine/line?n=x", "/mine/line.png", "/mine/line.svg", "/mine/line.pdf"]
TARGETS += ["/mine/line.csv", "/mine/line.json", "/mine/line.live", "/plots.json", "/nothing", "/nothing.png", "/token"]
TARGETS += ["/?mode=plot&graph=mine/log", "/?mode=x&graph=y", "/mine/log?file_path=../x", "/training/run", "/need"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_answer_is_of_a_fixed_type_and_stands_in_no_frame(site, target):
    """P19: whatever is asked, by whom, and however it ends; `checked` looks at every answer of this file besides."""
    states = (site.draws, site.fails, lambda: site.fails(status=404), lambda: site.fails(status=504))
    for state in states:
        state()
        for changes in ({}, dict(method="HEAD"), dict(accept=ELEMENT), dict(accept="*/*"), dict(owner=False),
                        dict(host="evil.example"), dict(if_none_match="*")):  # fmt: skip
            response = site.get(target, **changes)
            headers = dict(response.header_fields())
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            response.close()


# -- P20: caches


PRIVATE = re.compile(r"private, no-cache|no-store")


@pytest.mark.parametrize("target", TARGETS)
def test_no_shared_cache_may_keep_an_answer(site, target):
    """P20, CVE-2023-30861: every answer is private and asked for again, and differs by Cookie and Accept."""
    for changes in ({}, dict(owner=False), dict(host="evil.example"), dict(accept=ELEMENT)):
        response = site.get(target, **changes)
        headers = dict(response.header_fields())
        assert PRIVATE.fullmatch(headers["Cache-Control"]) and headers["Vary"] == "Accept, Cookie", changes
        response.close()


def test_whoever_has_no_token_gets_no_304(site):
    """P20: an ETag that is right tells nothing to somebody who may not ask; authorisation comes first."""
    file = site.file("log.csv")
    site.reads(file)
    tag = dict(site.get("/mine/log?file_path=log.csv").header_fields())["ETag"]
    assert site.get("/mine/log?file_path=log.csv", if_none_match=tag).status == 304
    for known in (tag, "*", f"W/{tag}"):
        response = site.get("/mine/log?file_path=log.csv", owner=False, if_none_match=known)
        assert response.status == 401 and "ETag" not in dict(response.header_fields())


def test_what_a_proxy_says_makes_no_other_page(site):
    """P20: keys, pages and ETags know nothing of X-Forwarded-*, Host, Origin or Cookie."""
    file = site.file("log.csv")
    site.reads(file)
    answers = [site.get("/mine/log?file_path=log.csv")]
    site.access.token = TOKEN
    bearer = dict(owner=False, authorization=f"Bearer {TOKEN}")
    for changes in (
        dict(x_forwarded_host="evil.example"), dict(x_forwarded_prefix="/evil"), dict(x_forwarded_proto="https"),
        dict(forwarded="host=evil.example"), dict(x_original_url="/evil"), dict(x_rewrite_url="/evil"),
        dict(host="127.0.0.1:1"), dict(cookie="a=b"), dict(x_http_method_override="DELETE"),
    ):  # fmt: skip
        answers.append(site.get("/mine/log?file_path=log.csv", **bearer, **changes))
    assert len({response.body for response in answers}) == 1 == len(set(site.renderer.keys))
    assert len({dict(response.header_fields())["ETag"] for response in answers}) == 1
    assert b"evil" not in answers[0].body


def test_a_drawing_is_known_by_all_that_it_is_made_of(site):
    """P20: plot, arguments, format, lens and size make its key; the order of the query and its defaults do not."""
    site.draws(image=b"\x89PNG\r\n\x1a\n", volatile=False)
    equal = ["/mine/line?title=a&n=4", "/mine/line?n=4&title=a", "/mine/line?n=4&title=a&freq=1.0&refresh_every=5"]
    others = ["/mine/line?title=a", "/mine/line?title=a&n=4&width=800", "/mine/line?title=a&n=4&smooth=0.5"]
    others += ["/mine/line.svg?title=a&n=4", "/other/line", "/mine/line?title=4&n=4"]
    others += ["/mine/line?title=a&n=4&theme=dark"]
    for target in equal:
        site.get(target)
    assert len({key for key, *_ in site.renderer.keys}) == 1
    for target in others:
        site.get(target)
    assert len({key for key, *_ in site.renderer.keys}) == 1 + len(others)


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_a_caching_proxy_hands_nobody_the_page_of_another(bench):
    """P20: nginx with proxy_cache on keeps nothing of ours: without the token it is 401, before and after."""
    folder = siege_inputs.fresh_folder(bench, "caches", marks=siege_inputs.PLAIN_PLOT)
    settings_ = "proxy_cache kept; proxy_cache_key $uri$args; proxy_cache_use_stale error timeout updating;"
    with siege_inputs.site(bench, folder) as server, siege_inputs.nginx(bench, server.port, "/", settings_) as port:
        siege_inputs.settled(server.port)
        bearer = (("Authorization", f"Bearer {server.token}"),)
        for target in ("/", "/marks/plain/form", "/plots.json"):
            statuses = [siege_inputs.ask(port, target, fields, "localhost").status for fields in
                        ((), bearer, (), (("Authorization", "Bearer wrong"),), bearer, ())]  # fmt: skip
            assert statuses == [401, 200, 401, 401, 200, 401]


# -- the siege's other trials, in short


def test_hosts_and_sites_are_told_apart_by_a_real_server_and_the_user_is_never_refused(bench, monkeypatch):
    """P17, P18, scorecard 9: half of the table; localhost, 127.0.0.1, [::1], a tunnel and nginx are let in."""
    table = [*siege_inputs.answer_table()][::2]
    monkeypatch.setattr(siege_inputs, "answer_table", lambda: table)
    is_told_by(siege_inputs.access(bench, rounds=1))


def test_another_user_is_always_asked_for_the_token_and_the_same_user_never(bench):
    """DESIGN 7, scorecard 23: over connections of their own, at the same time."""
    is_told_by(siege_inputs.users(bench, tries=40))


def test_nobody_has_to_do_anything_before_the_first_picture(bench):
    """Scorecard 24: the browser opens by itself; a tunnel is one click, nginx at most six lines."""
    is_told_by(siege_inputs.friction(bench))


def test_the_time_of_a_comparison_is_measured():
    """P15: how it comes out is the siege's to judge; a figure is there."""
    (row,) = siege_inputs.timing(None, comparisons=2000, seconds=2)
    assert not math.isnan(row.figure) and row.figure >= 0
