"""Attacks on files and data, F1 to F15 and X7 of the catalogue: no byte from outside, and nothing that runs or hangs.

One table of ways out is tried in every place where a path is taken: by the unit, through the application with real
render processes, and against a real server in the short forms of tests/siege_files.py.

Where DESIGN.md decides otherwise than the catalogue:
- F2: an absolute path *within* a data folder is allowed. F6, F9: nothing is expanded, nothing is too large by itself.
- F8: there is no --allow-hidden; whoever gives the hidden folder itself as data folder may read what is in it.
- F11: no list of extensions: event files, xls and npy are real logs. But nothing that ships with plotsrv unpickles.
- F4: a hard link is the file itself, and cannot be told from it; who can make one in the data folder is its owner.
- X7: locks of Windows and stale NFS handles are OSErrors like any other, and are told as the permission's is.
"""

import ast
import bz2
import csv
import gzip
import io
import lzma
import ntpath
import os
import pickle
import re
import shutil
import socket
import tarfile
import time
import types
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import numpy
import pandas
import pytest
import siege_files
from measuring import Bench
from siege_files import GOOD, PAGES, PATHS, PLOTS, TEXTS
from vectors import (
    CANARY,
    CANARY_WORD,
    ENCODINGS,
    FAMILIES,
    HIDDEN,
    PIXEL,
    READABLE,
    SCHEMES,
    addresses,
    is_within,
    leaked,
    planted,
    vectors,
)

import plotsrv
from plotsrv import Access, Application, DataFolders, DrawingCache, Gallery, HTTPError, Renderer, Request, Root

SHIPPED = Path(plotsrv.__file__).parent / "plots"
HANG_SECONDS = 20  # far more than any answer takes, and the deadline of a drawing
REFUSED = {400, 403, 404}


# ---- A site with real render processes ----


class Site:
    """The application with plots for each kind of parameter, on a folder with canaries in it and around it."""

    def __init__(self, top, renderer, data=None):
        self.data = data or planted(top)
        self.top = top
        plots = top / "plots"
        plots.mkdir()
        tables = f"EXPRESSIONS = {EXPRESSIONS!r}\nFORMULAS = {FORMULAS!r}\n"
        (plots / "attacked.py").write_text(PLOTS.format(data=str(self.data), pixel=PIXEL) + MORE_PLOTS + tables)
        roots = [Root(str(plots), f"attacked_{top.name}"), Root(str(SHIPPED), plotsrv.SHIPPED)]
        self.gallery = Gallery(roots, renderer)
        self.folders = DataFolders([str(self.data)])
        self.application = Application(self.gallery, renderer, DrawingCache(), self.folders, Access())
        while not self.gallery.settled or not self.gallery.plots:
            self.gallery.refresh(wait=1)

    def ask(self, target, accept="*/*"):
        """The answer to a target as it goes on the wire; refusals of the parser included."""
        head = f"GET /{target} HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nAccept: {accept}"
        try:
            return self.application.respond(Request.parse(head.encode("latin-1"), "127.0.0.1", owner=True))
        except HTTPError as error:
            return self.application.refusal(error)

    def tell(self, target, accept="*/*"):
        """Its status and its whole answer, after a look for canaries."""
        answer = self.ask(target, accept)
        assert not leaked(repr(answer.headers).encode() + answer.body), target
        return answer.status, answer.body.decode(errors="replace")


MORE_PLOTS = """
import subprocess
import bz2, codecs, gzip, io, lzma, mmap, sqlite3, tarfile, zipfile

def swapped(file, kind):
    "What the browser named becomes a link, by somebody else's doing, after it was looked at and before it is read."
    outside = HERE.parent / "canaries"
    if kind == "folder":
        command = 'mv "$0" "$0.away" && ln -s "$1" "$0"'
        subprocess.run(["sh", "-c", command, file.parent, outside], check=True)
    elif kind == "pipe":
        subprocess.run(["sh", "-c", 'rm "$0" && mkfifo "$0"', file], check=True)
    else:
        subprocess.run(["ln", "-sfn", outside / file.name, file], check=True)

def plot_swapped(file: Path, reader: str, kind: str):
    swapped(file, kind)
    return PNG + repr(eval(EXPRESSIONS[reader])).encode()

def plot_swapped_text(text: str, kind: str):
    swapped(HERE / text, kind)
    return PNG + open(HERE / text, "rb").read()

def plot_formulas():
    figure, axes = plt.subplots()
    axes.set_xlabel("=2+2")
    for formula in FORMULAS:
        axes.plot(["=a", "@b"], [-1.5, 2.5], label=formula)
    return figure
"""

# How a file is read, by its name; each is written beside the data folder with a canary in it, too.
READERS = {
    "open": ("s.csv", "open(file).read()"),
    "io.open": ("s.csv", "io.open(file, 'rb').read()"),
    "io.FileIO": ("s.csv", "io.FileIO(file).read()"),
    "os.open": ("s.csv", "os.read(os.open(file, os.O_RDONLY), 1000)"),
    "read_text": ("s.csv", "file.read_text()"),
    "Path.open": ("s.csv", "file.open().read()"),
    "codecs.open": ("s.csv", "codecs.open(str(file)).read()"),
    "mmap": ("s.csv", "mmap.mmap(open(file, 'rb').fileno(), 0, access=mmap.ACCESS_READ)[:]"),
    "pandas.read_csv": ("s.csv", "pandas.read_csv(file).to_csv()"),
    "pandas' python engine": ("s.csv", "pandas.read_csv(file, engine='python').to_csv()"),
    "pandas' memory map": ("s.csv", "pandas.read_csv(file, memory_map=True).to_csv()"),
    "logs.read_csv": ("s.csv", "logs.read_csv(file).to_csv()"),
    "logs.read_log": ("s.csv", "logs.read_log(file).to_csv()"),
    "numpy.genfromtxt": ("s.csv", "numpy.genfromtxt(file, dtype=str)"),
    "numpy.loadtxt": ("s.txt", "numpy.loadtxt(file)"),
    "numpy.fromfile": ("s.csv", "numpy.fromfile(file, numpy.uint8).tobytes()"),
    "numpy.memmap": ("s.csv", "bytes(numpy.memmap(file, numpy.uint8))"),
    "numpy.load": ("s.npy", "numpy.load(file)"),
    "gzip.open": ("s.csv.gz", "gzip.open(file).read()"),
    "bz2.open": ("s.csv.bz2", "bz2.open(file).read()"),
    "lzma.open": ("s.csv.xz", "lzma.open(file).read()"),
    "pandas of bz2": ("s.csv.bz2", "pandas.read_csv(file).to_csv()"),
    "pandas of xz": ("s.csv.xz", "pandas.read_csv(file).to_csv()"),
    "zipfile": ("s.zip", "zipfile.ZipFile(file).read('x.csv')"),
    "tarfile": ("s.tar", "tarfile.open(file).extractfile('x.csv').read()"),
    "openpyxl": ("s.xlsx", "pandas.read_excel(file).to_csv()"),
    "sqlite3": ("s.db", "sqlite3.connect(file).execute('select * from t').fetchall()"),
}
EXPRESSIONS = {name: expression for name, (_, expression) in READERS.items()}


def write_as(path, text):
    """A file of the kind that its name says, with this text or its number in it."""
    frame = pandas.read_csv(io.StringIO(text))
    kind = "".join(path.suffixes)
    if kind in (".csv.gz", ".csv.bz2", ".csv.xz"):
        packed = {".gz": gzip, ".bz2": bz2, ".xz": lzma}[path.suffix].compress(text.encode())
        path.write_bytes(packed)
    elif kind == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("x.csv", text)
    elif kind == ".tar":
        with tarfile.open(path, "w") as file:
            about = tarfile.TarInfo("x.csv")
            about.size = len(text)
            file.addfile(about, io.BytesIO(text.encode()))
    elif kind == ".xlsx":
        frame.to_excel(path, index=False)
    elif kind == ".db":
        import sqlite3

        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as database:
            frame.to_sql("t", database, index=False)
        database.close()
    elif kind == ".npy":
        with path.open("wb") as file:
            numpy.save(file, frame.to_numpy(float))
    elif kind == ".txt":
        numpy.savetxt(path, frame.to_numpy(float))
    else:
        path.write_text(text)


@pytest.fixture(scope="module")
def renderer():
    """One process for all; nothing that is asked for here takes long."""
    renderer = Renderer(1, HANG_SECONDS)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def site(renderer, tmp_path_factory):
    """A site for all that changes nothing in its folder, or puts something new into it."""
    site = Site(tmp_path_factory.mktemp("site"), renderer)
    yield site
    site.application.close()


# ---- F1, F2, F3, F5, F6, F8, F10: ways out, each in every encoding ----


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A data folder without a server."""
    return planted(tmp_path_factory.mktemp("field"))


@pytest.mark.parametrize("entry", FAMILIES)
def test_no_vector_finds_a_file_outside(entry, field):
    """F1 to F10, the unit: all vectors; what is found is in the folder and not hidden, or is not there.

    F1: MLflow CVE-2023-2356, -2780, -30172, -6909, -6831, Aim CVE-2021-43775, Streamlit CVE-2022-35918, MLflow#7166.
    F2: MLflow CVE-2023-1176, Gradio CVE-2026-28414, werkzeug GHSA-f9vj-2wh5-fj8j. F3: Jupyter CVE-2026-35397.
    F5: werkzeug GHSA-hgf8-39gv-g3f2, -87hc-h4r5-73f7, -29vq-49wr-vm6x. F8: Jupyter CVE-2022-29238.
    F10: Gradio CVE-2023-51449, -2026-28416, Starlette CVE-2026-48818, Jupyter GHSA-hrw6-wg82-cm62.
    """
    folders = DataFolders([str(field)])
    tried = [vector.text for vector in vectors(field) if vector.entry == entry and vector.text is not None]
    assert len(tried) > 100
    for text in tried:
        try:
            found = folders.find(text, ["*.csv"])
        except (HTTPError, ValueError):
            continue
        assert not os.path.lexists(found) or is_within(found, field), text


def test_there_are_enough_vectors(field):
    """The scorecard asks for 2,000; no two are the same on the wire, and each encoding and each entry has its share."""
    tried = vectors(field)
    assert len(tried) == len({vector.query for vector in tried}) >= 2000
    assert {vector.encoding for vector in tried} == ENCODINGS.keys() and {v.entry for v in tried} == FAMILIES.keys()
    assert all(re.fullmatch(r"[!-~]*", vector.query) and "&" not in vector.query for vector in tried)


@pytest.mark.parametrize("place", PATHS)
def test_no_path_leads_out_in_any_place(site, place):
    """F1 to F10: every place where a path is taken answers 400, 403 or 404, and no byte of a canary."""
    turn = PATHS.index(place)
    for vector in vectors(site.data)[turn :: 24 * len(PATHS)]:
        status, page = site.tell(place + vector.query)
        inside = vector.text is not None and vector.text.rstrip("/") in READABLE
        assert status in REFUSED or inside or "/form?" in place, (vector, status, page)


@pytest.mark.parametrize("place", [*TEXTS, *PAGES])
def test_no_text_leads_out_in_any_place(site, place):
    """F1 to F10, the second wall: a plot that opens whatever text it is given opens nothing outside."""
    turn = (*TEXTS, *PAGES).index(place)
    for vector in vectors(site.data)[turn :: 36 * len((*TEXTS, *PAGES))]:
        status, page = site.tell(place + vector.query)
        assert status in REFUSED | {200} or siege_files.is_plots_own(place), (vector, status, page)


@pytest.mark.parametrize(("turn", "text"), [*enumerate([
    "link.csv/", "link.csv/.", "./link.csv", "sub/../link.csv", "folder/canary.csv", "folder//canary.csv",
    "folder/./canary.csv", ".//.hidden/canary.csv", ".hidden//canary.csv", "./.env", "sub//.env", "up//canary.csv",
    "up/./data_evil/canary.csv", "link.csv", ".env", "hidden.csv",
])])  # fmt: skip
def test_a_text_that_is_a_way_out_in_another_spelling_is_none(site, turn, text):
    """F1, F4, F8, the second wall: pathlib drops // and /. and a last slash: the path no longer has the text in it."""
    for place in TEXTS[turn % 2 : 5 : 2]:
        assert site.tell(place + quote(text))[0] in REFUSED


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize(("there", "missing"), [("../canary.csv", "../nothing.csv"), ("link.csv", "up/nothing.csv")])
def test_a_refusal_does_not_tell_whether_the_file_is_there(site, place, there, missing):
    """F1, F3: what lies outside is refused in the same words whether or not it exists."""
    answers = [site.tell(place + name) for name in (there, missing)]
    assert answers[0][0] == answers[1][0] == 403
    said = [re.findall(r"That file is outside[^<]*", page) for _, page in answers]
    assert said[0] == said[1] != []


def test_a_sibling_whose_name_begins_like_the_folders_is_outside(site):
    """F3, CVE-2026-35397: a comparison of texts would take data_evil for a part of data."""
    outside = f"{site.data}_evil/canary.csv"
    for name in ("../data_evil/canary.csv", outside, "folder/canary.csv"):
        assert site.tell(f"attacked/path.png?file={quote(name)}")[0] == 403
    assert site.folders.holds(str(site.data)) and not site.folders.holds(str(site.data) + "_evil")


@pytest.mark.parametrize("name", [*READABLE, "./x.csv", "sub/../x.csv", "../data/x.csv", "folder/../data/x.csv"])
def test_what_is_inside_is_read(site, name):
    """F2, F4: no wall is of use where nothing comes through; an absolute path is allowed where it leads inside."""
    for path in (name, f"{site.data}/{name}"):
        assert site.tell(f"attacked/path.png?file={quote(path)}")[0] == 200


# ---- F2 on another system ----


class Windows(types.SimpleNamespace):
    """The module os, as far as DataFolders sees it, on a machine with drives; paths are those of ntpath."""

    def __getattr__(self, name):
        return getattr(os, name)


def windows(monkeypatch, absolute=ntpath.isabs):
    """From now on the data folder's rule works with Windows' paths; no file is there."""
    devices = re.compile(r"(?i)(con|nul|aux|prn|com\d|lpt\d)(\..*)?$")

    def realpath(path):
        full = ntpath.normpath(ntpath.join("C:\\work", path))
        return "\\\\.\\" + ntpath.basename(full) if devices.match(ntpath.basename(full)) else full

    paths = types.SimpleNamespace(**{**vars(ntpath), "isabs": absolute, "realpath": realpath, "abspath": realpath})
    paths.lexists = paths.exists = paths.islink = lambda path: False
    monkeypatch.setattr(plotsrv, "os", Windows(path=paths, sep="\\", name="nt", devnull="nul"))
    return DataFolders(["C:\\data"])


OTHER_SYSTEM = [
    r"C:\windows\win.ini", r"C:/windows/win.ini", r"D:\x.csv", r"D:x.csv", r"d:/x.csv", r"/windows/win.ini",
    r"\windows\win.ini", r"\x.csv", r"..\x.csv", r"../x.csv", r"sub\..\..\x.csv", r"sub/..\../x.csv",
    r"..\data_evil\x.csv", r"..\..\..\windows\win.ini", r"C:..\x.csv", r".env", r".git\config", r"sub\.env",
    r"sub/.hidden\x.csv", r"\\?\C:\x", r"\\.\C:\x", r"\\host\share\x", r"//host/share/x", r"\\?\UNC\host\x", r"CON",
    r"NUL", r"aux.csv", r"sub\COM1", r"..\data\..\x.csv", r"C:\data_evil\x", r"C:\DATA\..\x.csv", r"C:"
]  # fmt: skip


@pytest.mark.parametrize("absolute", [ntpath.isabs, lambda path: bool(re.match(r"[A-Za-z]:[/\\]|[/\\]{2}", path))],
                         ids=["before 3.13", "3.13"])  # fmt: skip
@pytest.mark.parametrize("text", OTHER_SYSTEM)
def test_windows_ways_out_are_none(monkeypatch, text, absolute):
    """F2, F5: with ntpath: drives, roots, UNC, devices; since Python 3.13 a path as /windows is not absolute there."""
    folders = windows(monkeypatch, absolute)
    try:
        found = folders.find(text, ["*.csv"])
    except (HTTPError, ValueError):
        return
    assert found.lower() in ("c:\\data", "c:\\data\\"), found  # C: is the folder that is the current one there


@pytest.mark.parametrize("text", ["x.csv", "sub\\x.csv", "sub/x.csv", "C:\\data\\x.csv", "C:x.csv", "..\\data\\x.csv"])
def test_windows_ways_in_are_open(monkeypatch, text):
    """F2: and what lies in the data folder is found there."""
    assert windows(monkeypatch).find(text, ["*.csv"]).startswith("C:\\data\\")


# ---- F4: links ----


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("link.csv", 403), ("relative.csv", 403), ("chain.csv", 403), ("folder/canary.csv", 403),
        ("up/canary.csv", 403), ("root/etc/passwd", 403), ("environ.csv", 403), ("hidden.csv", 403),
        ("loop.csv", 404), ("loop_a/x.csv", 404),
        ("up/data/x.csv", 200),
    ],
)  # fmt: skip
def test_a_link_counts_as_what_it_leads_to(site, name, status):
    """F4: out of the folder 403, in circles 404 (RuntimeError in Python 3.12, OSError in 3.13), back inside 200."""
    for place in ("attacked/path.png?file=", "attacked/named.png?file_path=", "attacked/run.png?run="):
        assert site.tell(place + name)[0] == status


@pytest.fixture(scope="module")
def swaps(site):
    """The canaries of all the readers' kinds."""
    (site.top / "canaries").mkdir()
    for name, _ in READERS.values():
        write_as(site.top / "canaries" / name, CANARY)
    return site


def put(site, folder, name):
    """A good file in a folder of its own, as it was before it is swapped."""
    place = site.data / folder
    shutil.rmtree(place, ignore_errors=True)
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(str(place) + ".away", ignore_errors=True)
    place.mkdir()
    write_as(place / name, GOOD)
    return f"{folder}/{name}"


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_becomes_a_link_after_it_was_looked_at_is_not_read(swaps, reader, kind):
    """F4: what counts is what is open in the end, whatever reads it, and whether the file or its folder was swapped.

    What reads outside Python is seen by the device and the inode, and its drawing is thrown away.
    """
    name = put(swaps, f"{kind}_{list(READERS).index(reader)}", READERS[reader][0])
    status, page = swaps.tell(f"attacked/swapped.png?file={name}&reader={quote(reader)}&kind={kind}")
    assert status in (403, 500) and ("data folders" in page or "replaced" in page), page


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_text_that_becomes_a_link_is_not_read(swaps, kind):
    """F4: the same for a plain text that a plot makes a path of."""
    status, page = swaps.tell(f"attacked/swapped_text.png?text={put(swaps, f'text_{kind}', 's.csv')}&kind={kind}")
    assert status in (403, 500) and "data folders" in page, page


def test_a_file_that_becomes_a_pipe_keeps_nobody_waiting(swaps):
    """F4, F7: it is opened without waiting for somebody who writes, and then is no regular file."""
    started = time.monotonic()
    status, page = swaps.tell(f"attacked/swapped.png?file={put(swaps, 'pipe', 's.csv')}&reader=open&kind=pipe")
    assert status in (400, 403) and "not a regular file" in page and time.monotonic() - started < HANG_SECONDS / 2


# ---- F5: names ----


TELLING_BYTES = b'\0\t\n\r\x1b "#%&*+./:;=?[\\~\x7f\x80\xc3\xff'  # of each kind that a path or a query knows


def names_with(some, name=b"x.csv"):
    """A name with each of some bytes at each position and in place of each letter, as it goes on the wire."""
    for byte in some:
        for at in range(len(name) + 1):
            for end in (at, at + 1):
                yield quote_from_bytes(name[:at] + bytes([byte]) + name[end:], safe="")


def test_any_byte_in_any_position_of_a_name_is_refused_or_found_inside(site):
    """F5, the unit: the bytes 0 to 255, at each position and in place of each letter: 400, 403, 404, or a file."""
    for query in names_with(range(256)):
        head = f"GET /attacked/path.png?file={query} HTTP/1.1\r\nHost: 127.0.0.1:9999"
        try:
            (text,) = Request.parse(head.encode("latin-1"), "127.0.0.1", owner=True).query["file"]
            found = site.folders.find(text, ["*"])
        except HTTPError as error:
            assert error.status in REFUSED, query
        except ValueError:  # told beside the field
            continue
        else:
            assert not os.path.lexists(found) or is_within(found, site.data), query


@pytest.mark.parametrize(
    ("turn", "place"), [(0, PATHS[0]), (1, "attacked/named.png?file_path="), (2, "attacked/runs.png?runs=")]
)
def test_a_telling_byte_in_any_position_of_a_name_is_no_error_of_the_server(site, turn, place):
    """F5: 400, 403, 404, or the file itself; other ones in each place."""
    for query in [*names_with(TELLING_BYTES)][turn::9]:
        assert site.ask(place + query).status in REFUSED | {200}, query


@pytest.mark.parametrize("place", TEXTS[:5])
def test_a_telling_byte_in_a_text_is_no_error_of_the_server(site, place):
    """F5: controls are refused, bytes that are no UTF-8 too, all else is a text."""
    for byte in TELLING_BYTES[TEXTS.index(place) :: len(TEXTS[:5])]:
        assert site.ask(place + quote_from_bytes(b"x" + bytes([byte]), safe="")).status in REFUSED | {200}


@pytest.mark.parametrize("place", PATHS)
def test_what_is_no_name_is_told_at_its_field(site, place):
    """F5: 400 for what no file can be called, 404 for what could be but is too long for this file system; never 500."""
    texts = ("a\0b", "a" * 4097, "a" * 256, "a/" * 2049, "\x1b[2J", "a" * 3000, "\ud800", "a/" * 2000)
    for text in texts[PATHS.index(place) % 2 :: 2]:
        status, _ = site.tell(place + quote(text, errors="surrogatepass", safe="/"))
        assert status in (400, 404) or "/form?" in place, text[:9]


# ---- F7: what is no file ----


@pytest.fixture(scope="module")
def odd_files(site):
    """A pipe, a socket, a device and a folder, each named like a log."""
    os.mkfifo(site.data / "pipe.csv")
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(site.data)  # the names of sockets may be 107 characters long
        bound.bind("socket.csv")
        os.chdir(here)
    names = ["pipe.csv", "socket.csv"]
    try:
        os.mknod(site.data / "zero.csv", 0o666 | 0o020000, os.makedev(1, 5))
        names.append("zero.csv")
    except PermissionError:
        pass  # only root makes devices
    yield names
    for name in names:
        (site.data / name).unlink()


@pytest.mark.parametrize("place", PATHS)
def test_what_is_no_regular_file_is_refused_at_once(site, odd_files, place):
    """F7: pipes, sockets and devices: 400, without opening them; nobody is kept waiting, nothing is stuck."""
    started = time.monotonic()
    for name in odd_files:
        status, page = site.tell(place + name)
        assert (status == 400 and "not a regular file" in page) or "/form?" in place
    assert time.monotonic() - started < HANG_SECONDS / 2
    assert place != PATHS[-1] or site.tell("attacked/figure.csv?n=2")[0] == 200


@pytest.mark.parametrize("name", ["pipe.csv", "socket.csv", "zero.csv"])
def test_no_reader_of_a_folder_opens_what_is_no_regular_file(site, odd_files, name):
    """F7: where a run's folder is asked for, or the newest file, pipes and devices are passed over."""
    started = time.monotonic()
    for place in ("training/run.csv?run=.", "training/compare.csv?runs=*", "training/convergence.csv?file_path=latest"):
        assert site.tell(place)[0] in REFUSED | {200, 500}
    assert time.monotonic() - started < HANG_SECONDS / 2
    assert name not in site.tell("attacked/named/form?file_path=", "text/html")[1]


@pytest.mark.parametrize("path", ["proc/self/environ", "proc/self/mem", "dev/zero", "dev/stdin", "sys/kernel"])
def test_the_kernels_files_are_refused_even_where_everything_is_allowed(path):
    """F7: a data folder of / is not one of /proc, /sys and /dev."""
    for text in (path, f"/{path}", f"tmp/../{path}"):
        with pytest.raises(HTTPError) as refusal:
            DataFolders(["/"]).find(text, ["*"])
        assert refusal.value.status == 403


# ---- F8: hidden files ----


@pytest.fixture(scope="module")
def offered(site):
    """A form that lists files, and the gallery."""
    return [site.tell(page, "text/html")[1] for page in ("attacked/named/form?file_path=", "")]


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_files_are_refused_and_never_offered(site, offered, name):
    """F8, CVE-2022-29238: hidden means refused, not only left out of the list; the message is that of outside."""
    places = ("attacked/path.png?file=", "attacked/named.png?file_path=", "attacked/runs.png?runs=")
    for text in (name, f"sub/../{name}", f"{site.data}/{name}", f"{name}/../{name}"):
        for place in places if text == name else places[:1]:
            assert site.tell(place + quote(text))[0] == 403
    assert "x.csv" in offered[0] and not any(name in page for page in offered)


def test_a_hidden_folder_that_is_the_data_folder_itself_is_read(site):
    """F8: there is no --allow-hidden: to give it as data folder is to allow it."""
    folders = DataFolders([str(site.data / ".hidden")])
    assert folders.find("canary.csv", ["*.csv"]) == str(site.data / ".hidden" / "canary.csv")


# ---- F6, F10: what others would expand or fetch ----


def test_nothing_is_expanded(site, monkeypatch):
    """F6: pandas would expand ~; a name from the browser is what it says, and is awaited in the data folder."""
    monkeypatch.setenv("HOME", str(site.top))
    for text in ("~/canary.csv", "~root/x.csv", "$HOME/canary.csv", "${HOME}/canary.csv", "%USERPROFILE%/x.csv"):
        for place in ("attacked/table.csv?file=", "training/convergence.csv?file_path=", "training/run.csv?run="):
            assert site.tell(place + quote(text))[0] in (403, 404)
        for place in TEXTS[:5]:
            assert site.tell(place + quote(text))[0] in (200, 403)


@pytest.mark.parametrize("place", PATHS)
def test_an_address_is_refused_before_anything_is_done_with_it(site, place):
    """F10, CVE-2023-51449, CVE-2026-28416, CVE-2026-48818: 400 by its look alone, whatever its scheme."""
    turn = PATHS.index(place)
    for scheme in SCHEMES[turn % 10 :: 10] if turn else SCHEMES:
        status, page = site.tell(f"{place}{scheme}://127.0.0.1:9/x.csv")
        assert (status == 400 and "URLs are not read" in page) or "/form?" in place


def test_no_theme_is_an_address_or_a_file(site):
    """F1, F10: matplotlib reads a style from a URL or a path; only the names of those it has are themes here."""
    (site.data / "x.mplstyle").write_text("lines.linewidth: 3\n")
    files = ("../canary.mplstyle", "/etc/passwd", "./x.mplstyle", "x.mplstyle", "classic.mplstyle", "sub/../x.mplstyle")
    for text in (*files, *list(addresses(Path("/data"), "127.0.0.1:9"))[::8]):
        assert site.tell(f"attacked/figure.png?theme={quote(text, safe='')}")[0] in (400, 403), text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "u:p@localhost", "LOCALHOST"]
)
def test_no_host_that_the_browser_sent_is_reached(site, host):
    """F10: the second wall: a plot that makes an address of a text is stopped at the door."""
    with socket.create_server(("127.0.0.1", 0)) as door, socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", door.getsockname()[1]))
        other.listen()
        for each in (door, other):
            each.setblocking(False)
        text = quote(f"{host}:{door.getsockname()[1]}/x", safe="")
        assert site.tell(f"attacked/host.png?text={text}")[0] in (403, 500)
        for each in (door, other):
            with pytest.raises(BlockingIOError):
                each.accept()


# ---- F9, F12, F13: what is larger than it looks ----


class SharedBench(Bench):
    """What trials of the siege take, with one server for all of them, that has what any of them asks for."""

    def __enter__(self):
        data = siege_files.emptied(self) / "data"
        data.mkdir()
        _, hook = siege_files.listening_hook(self.folder)
        options = ("--timeout", str(HANG_SECONDS), "--memory", "1")
        command_for = siege_files.serving_plots(data, *options, KEPT=CANARY_WORD, PYTHONPATH=str(hook))
        self.started_server = Bench.serving(self, command_for)
        self.port = self.started_server.__enter__()
        self.said = self.output()
        return self

    def __exit__(self, *what):
        self.started_server.__exit__(*what)

    @contextmanager
    def serving(self, command_for, folder=None):
        """The port of the server, whatever is asked for."""
        yield self.port


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """All that the trials start ends with them, but for their server, which ends with the last."""
    with SharedBench(tmp_path_factory.mktemp("siege")) as bench:
        yield bench


def unmet(rows, *but):
    """The rows of a trial that are not met, without those whose words begin so."""
    return [row for row in rows if row.bar and not row.is_met and not row.what.startswith(but)]


QUICK_BOMBS = ("two.csv.zip", "nested.csv.zip", "laughs.xlsx", "outside.xlsx", "array.npy", "deep.json")


def test_bombs_are_answered_by_their_deadline(bench):
    """F9, F12, F13, CVE-2022-45198, CVE-2017-5992: small ones, each with a message or a picture."""
    rows = siege_files.bombs(bench, size=1, timeout=HANG_SECONDS, idle_seconds=0.05, names=QUICK_BOMBS)
    assert not unmet(rows, "p99")


def test_a_bomb_that_would_take_longer_is_ended(site, renderer, monkeypatch):
    """F9, F12: a sheet of 400,000 rows that are one in its file; its drawing has a deadline, others do not miss it."""
    monkeypatch.setattr(renderer, "timeout", 1)
    write, place = siege_files.BOMBS["zeros.xlsx"]
    write(site.data / "zeros.xlsx", 2)
    status, page = site.tell(f"{place}zeros.xlsx")
    assert status == 504 and "Not done within 1 s, so it was ended" in page
    monkeypatch.undo()
    (site.data / "zeros.xlsx").unlink()
    assert site.tell("attacked/figure.csv?n=2")[0] == 200


def test_a_file_of_100_gb_is_answered(site):
    """F9: a hole of 100 GB: no size is too large by itself, so the readers say what they see in it."""
    for name, start in (("sparse.csv", b""), ("hole.csv", b"step,loss\n1,0.5\n")):
        (site.data / name).write_bytes(start)
        os.truncate(site.data / name, 100 * 10**9)
        started = time.monotonic()
        for place in ("training/convergence.csv?file_path=", "training/run.csv?run="):
            status, page = site.tell(place + name)
            assert status in (404, 500) and "no curve found" in page
        assert time.monotonic() - started < HANG_SECONDS / 2
        (site.data / name).unlink()


# ---- F11: pickles ----


class Bomb:
    """What an unpickler would call."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


PICKLED = [
    ".pkl", ".pickle", ".p", ".npy", ".npz", ".h5", ".hdf", ".hdf5", ".feather", ".parquet", ".joblib", ".csv",
    ".csv.gz", ".csv.zip", ".tsv", ".txt", ".log", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".xlsb", ".ods",
    ".pt", ".pth", ".ckpt", ".bin", ".mat", ".dat", ".db", ".sqlite", ".out", ".err", ".yaml", ".arrow",
    ".tfevents.1"
]  # fmt: skip
PACKED = [".pkl", ".npy", ".npz", ".h5", ".joblib", ".csv", ".csv.gz", ".log", ".jsonl", ".xlsx", ".pt"]


@pytest.mark.parametrize("packed", [bytes, gzip.compress, "npy", "npz"], ids=["bare", "gzip", "npy", "npz"])
def test_no_reader_that_ships_with_plotsrv_unpickles(site, packed):
    """F11, CVE-2020-13091, pandas#67074: whatever a pickle is called, and whatever it is packed in."""
    touched = site.top / "unpickled"
    content = pickle.dumps(Bomb(touched))
    if packed in ("npy", "npz"):
        memory = io.BytesIO()
        array = numpy.array([Bomb(touched)], dtype=object)
        numpy.save(memory, array, allow_pickle=True) if packed == "npy" else numpy.savez(memory, x=array)
        content = memory.getvalue()
    else:
        content = packed(content)
    run = site.data / "pickled"
    run.mkdir()
    for ending in PICKLED:
        (run / f"x{ending}").write_bytes(content)
    try:
        places = ("training/convergence.csv?file_path=", "training/run.csv?run=", "attacked/growing.csv?file=")
        for turn, ending in enumerate(
            PICKLED if packed is bytes else PACKED
        ):  # each place reads with the same functions
            assert site.tell(f"{places[turn % 3]}pickled/x{ending}")[0] in (200, 404, 500)
        for place in ("images/image.png?file_path=pickled/x.npy", "attacked/array.csv?file=pickled/x.npy",
                      "training/compare.csv?runs=pickled/*", "training/run.csv?run=pickled"):  # fmt: skip
            site.tell(place)
    finally:
        shutil.rmtree(run)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Bomb(touched)))
    assert touched.exists()  # the bomb was a real one
    touched.unlink()


UNSAFE_CALLS = {"eval", "exec", "compile", "read_pickle", "query", "__import__", "system", "Popen", "unsafe_load"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "torch", "yaml", "subprocess"}


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.py")), ids=lambda file: file.stem)
def test_no_plot_that_ships_with_plotsrv_calls_what_runs_its_data(file):
    """F11, F14: no unpickling, no eval or query; separators and converters of a table are no parameter of a plot."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert UNSAFE_MODULES.isdisjoint(name.partition(".")[0] for name in names), file.stem
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            is_regex = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "re"
            assert called not in UNSAFE_CALLS or (called == "compile" and is_regex), f"{file.stem}, line {node.lineno}"
            assert not any(key.arg == "allow_pickle" and key.value.value for key in node.keywords), file.stem
        if isinstance(node, ast.FunctionDef) and node.name.startswith("plot_"):
            parameters = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
            assert parameters.isdisjoint({"sep", "delimiter", "pattern", "regex", "usecols", "converters", "query"})


# ---- F14: slow patterns ----

SLOW_PATTERNS = ["(a+)+$", "*" * 60 + "b", "*a" * 30 + "*b", "[!" * 40, "?" * 300 + "*" * 30, "(a|a)*" * 20, "[a-" * 50]
SLOW_LINES = ["a" * 100_000 + "!", " " * 100_000 + "x", "=" * 100_000, "1" * 100_000, "loss " * 20_000, "|" * 100_000,
              "loss:" + " " * 100_000 + "x", "[" * 50_000, '"' * 99_999, "-1e" * 30_000, "0.5 " * 25_000 + "x",
              "loss=" * 20_000, "(" * 50_000 + ")" * 50_000, "\\" * 100_000, "é" * 50_000, "loss 0.5, " * 10_000,
              ", ".join(f"k{n}: {n}" for n in range(9000)), "Epoch 1/" + "9" * 90_000, "<!--" * 25_000]  # fmt: skip


@pytest.mark.parametrize("place", ["training/run.csv?run=x.csv&metrics=", "training/compare.csv?runs=x.csv&metric=",
                                   "training/compare.csv?runs=", "training/summary.png?runs=x.csv&metrics=",
                                   "attacked/figure.csv?xlim=", "attacked/figure.csv?last="])  # fmt: skip
def test_no_text_of_the_browsers_is_a_slow_pattern(site, place):
    """F14, CVE-2020-5236, CVE-2021-23437: patterns are those of fnmatch, which do not backtrack for ever."""
    (site.data / ("a" * 200 + ".csv")).write_text(GOOD)
    started = time.monotonic()
    for pattern in SLOW_PATTERNS:
        assert site.tell(place + quote(pattern, safe=""))[0] in {200, 400, 403, 404, 500}
    assert time.monotonic() - started < HANG_SECONDS / 2


@pytest.mark.parametrize("repeated", [False, True], ids=["one line", "among rows"])
def test_no_line_of_a_log_is_slow_to_read(site, repeated):
    """F14: 100 kB that every expression in plots/ looks at, in a log of its own and among good rows."""
    started = time.monotonic()
    for number, line in enumerate(SLOW_LINES[repeated::2]):
        name = f"slow-{number}.log"
        (site.data / name).write_text(f"step 1 loss 0.5\n{line}\nstep 2 loss 0.25\n" * 2 if repeated else line)
        status, page = site.tell(f"training/run.csv?run={name}")
        assert status in (200, 404, 500) and "Not done within" not in page, line[:40]
        (site.data / name).unlink()
    assert time.monotonic() - started < 2 * HANG_SECONDS


# ---- F15: formulas in spreadsheets ----

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "x\r=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("//e","x")',
]  # fmt: skip


def test_no_cell_of_an_exported_table_is_a_formula(site):
    """F15, CVE-2022-24770: names of columns and texts that come from a log have a quote before them; numbers stay."""
    status, table = site.tell("attacked/formulas.csv")
    assert status == 200
    cells = [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]
    assert not [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell) and not re.fullmatch(r"-?\d+(\.\d+)?", cell)]
    assert "-1.5" in cells and "'=2+2" in cells and "'=1+1" in cells and "'@b" in cells


def test_an_exported_table_of_a_real_log_has_no_formula(site):
    """F15: from the file's header to the answer."""
    (site.data / "formula.csv").write_text("step,=1+1,@loss\n1,-0.5,0.5\n2,-0.25,0.25\n")
    _, table = site.tell("training/run.csv?run=formula.csv")
    assert not re.search(r"(?m)(^|,)\"?[=+@]", table) and "-0.5" in table and "'=1+1" in table


# ---- X7: data as they are while somebody writes them ----

ROWS = "step,loss\n1,0.5\n2,0.25\n3,0.125\n"
BROKEN = {  # what becomes of a file, and the status of its drawing; pandas' own words where the plot is pandas' alone
    "half a last row": (ROWS + "4,0.0", 200),
    "a byte order mark": ("\ufeff" + ROWS, 200),
    "UTF-16": (ROWS.encode("utf-16"), 200),
    "Latin-1": ("step,loss,perdä\n1,0.5,3\n2,0.25,4\n".encode("latin-1"), 200),
    "NUL bytes": (ROWS.encode() + b"\0" * 100, 500),
    "empty": ("", 404),
    "a header alone": ("step,loss\n", 404),
    "fields too many": (ROWS + "4,0.5,9,9,9\n5,0.1,3\n", 200),
    "an open quote": (ROWS + '4,"0.5\n5,0.1\n', None),
    "inf and nan": (ROWS + "4,inf\n5,nan\n6,-inf\n", 200),
    "mixed": (ROWS + "4,divided by zero\n5,0.1\n", None),
    "another schema": ("epoch;accuracy\n1;0,5\n2;0,75\n", 200),
    "a picture": (PIXEL, 500),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_log_is_told_in_a_sentence_and_the_last_good_picture_stays(site, broken):
    """X7: never a blank page: the good picture with what is wrong, and a new one as soon as the file is whole."""
    content, expected = BROKEN[broken]
    path = site.data / f"broken-{list(BROKEN).index(broken)}.csv"
    target = f"training/convergence{{}}?file_path={path.name}&width=200&height=150"
    path.write_text(ROWS)
    if expected != 200:
        assert site.tell(target.format(""), "text/html")[0] == 200
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    status, said = site.tell(target.format(".csv"))
    assert expected in (None, status), said
    answer = site.ask(target.format(""), "text/html")
    assert answer.status == 200 and b"data:image/png" in answer.body and b"Traceback" not in answer.body
    if status != 200:
        assert answer.headers["X-Plotsrv-Error"] and b"last good picture" in answer.body
        told = re.search(r'role="alert"><strong>([^<]*)</strong>', answer.body.decode())
        assert told and path.name in told[1] and "\n" not in told[1]
        path.write_text(ROWS + "4,0.0625\n")
        assert "0.0625" in site.tell(target.format(".csv"))[1]
        assert "X-Plotsrv-Error" not in site.ask(target.format(""), "text/html").headers


def test_half_a_number_at_the_end_of_a_log_is_not_drawn(site):
    """X7: 0.0 of 0.0625 is a number, too, and was never in the file."""
    path = site.data / "torn.csv"
    for end in range(len("4,0.0625\n")):
        path.write_text(ROWS + "4,0.0625\n"[:end])
        places = ("training/convergence.csv?file_path=", "attacked/growing.csv?file=", "training/run.csv?run=")
        table = site.tell(f"{places[end % 3]}torn.csv&width={400 + end}")[1]
        assert "0.125" in table and [line for line in table.splitlines() if line.startswith("4")] == [], table


@pytest.mark.parametrize("change", ["deleted", "replaced", "truncated", "forbidden", "a folder", "a link out"])
def test_a_log_that_goes_away_leaves_its_last_picture(site, change):
    """X7: the page says what it waits for, or what it may not do, and keeps what there was."""
    if change == "forbidden" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = site.data / f"gone-{change.replace(' ', '-')}.csv"
    target = f"training/convergence?file_path={path.name}&width=200&height=150"
    path.write_text(ROWS)
    assert site.tell(target, "text/html")[0] == 200
    path.chmod(0) if change == "forbidden" else path.rename(site.data / "away.csv")  # as a rotation does
    if change in ("replaced", "truncated", "a folder", "a link out"):
        {
            "replaced": lambda: path.write_text("step,loss\n7,0.5\n8,0.25\n"),
            "truncated": lambda: path.write_text(ROWS[:20]),
            "a folder": path.mkdir,
            "a link out": lambda: path.symlink_to(site.top / "canary.csv"),
        }[change]()
    status, page = site.tell(target, "text/html")
    if change == "a link out":  # a form says that it is refused: there is no last picture of what one may not see
        assert status == 403 and "outside the data folders" in page
    else:
        assert status == 200 and "data:image/png" in page
    path.chmod(0o700) if change == "forbidden" else None
    path.rmdir() if change == "a folder" else path.unlink(missing_ok=True)


# ---- The siege, in short ----


def test_no_vector_reads_a_byte_through_a_real_server(bench):
    """F1 to F10: some of the siege's vectors on the wire; the server's own output is looked through, too."""
    assert not unmet(siege_files.traversal(bench, every=601))


def test_files_that_are_swapped_for_links_are_not_read(bench, monkeypatch):
    """F4: a part of the race, until some files have been drawn and some refused."""
    raced = {name: places[::2] for name, places in siege_files.RACED.items()}
    monkeypatch.setattr(siege_files, "RACED", raced)
    assert not unmet(siege_files.symlink_race(bench, enough=3))


def test_no_parameter_makes_plotsrv_connect_out(bench):
    """F10: a part of the siege's addresses, with a listener on loopback and an ear in every process."""
    assert not unmet(siege_files.outbound(bench, every=151))


def test_a_tortured_log_is_drawn_as_it_was_written(bench):
    """X7: a few drawings of logs that are truncated, rotated and replaced, or vanish while they are being opened."""
    assert not unmet(siege_files.torture(bench, drawings=len(siege_files.TORTURED)), "of these, with a picture")


def test_nothing_from_outside_is_in_what_the_server_says(bench):
    """F1 to F10: nor in what it has said in any of the trials above, and none of them is a traceback to it."""
    said = bench.said.read_bytes()
    assert b"http://" in said and not leaked(said) and b"Traceback" not in said


@pytest.mark.parametrize("made", ["0.1", "0.12", "0.100000000000", "0.100000001171", "1.5", "0.100000001187", "7e-12"])
def test_the_oracle_knows_a_value_that_nobody_wrote(made):
    """A torn value, one of two rows, one of another step."""
    assert not siege_files.is_written(1, float(made))


def test_the_oracle_knows_the_values_that_were_written():
    """Each form of row, read back as it was written."""
    for _, form in siege_files.FORMS.values():
        for generation, step in ((100, 0), (101, 1), (999, 1234), (1001, 2)):
            row = siege_files.row_of(form, generation, step).decode()
            assert siege_files.is_written(step, float(re.findall(r"0\.\d+", row)[0]))
