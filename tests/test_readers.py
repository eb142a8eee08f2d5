"""Freshness, with the real readers: whatever a plot reads its data with, a change of the data is seen."""

import functools
import gzip
import json
import os
import re
import shutil
import socket
import sqlite3
import tempfile
import threading
from pathlib import Path

import numpy
import pandas
import pytest
from serving import PATIENCE

import plotsrv
from plotsrv import Access, Application, DataFolders, DrawingCache, Gallery, Job, Kept, Plot, Request, Root, Source

TOP = """
import glob, gzip, json, os, sqlite3, tempfile, threading
from pathlib import Path
import numpy
import pandas
from matplotlib.figure import Figure

HERE = Path(__file__).parent.parent / "data"

def picture(total):
    print(total)
    return Figure(figsize=(1, 1), dpi=20)

"""


# -- the readers: how each reads a file, and how that file is written


def write_text(path, numbers):
    path.write_text("\n".join(["x", *map(str, numbers)]) + "\n")


def write_gzip(path, numbers):
    path.write_bytes(gzip.compress("\n".join(["x", *map(str, numbers)]).encode()))


def write_json(path, numbers):
    path.write_text(json.dumps({"x": numbers}))


def write_numbers(path, numbers):
    path.write_text("\n".join(map(str, numbers)))


def write_bytes(path, numbers):
    path.write_bytes(bytes(numbers))


def write_frame(method, path, numbers, **options):
    getattr(pandas.DataFrame({"x": numbers}), method)(path, **options)


def write_npy(path, numbers):
    with path.open("wb") as file:
        numpy.save(file, numbers)


def write_npz(path, numbers):
    with path.open("wb") as file:
        numpy.savez(file, x=numbers)


def write_database(path, numbers, mode="delete"):
    """The numbers in a table; the connection is left to those who keep it."""
    database = sqlite3.connect(path)
    database.execute(f"pragma journal_mode={mode}")
    with database:
        database.execute("create table if not exists t (x)")
        database.execute("delete from t")
        database.executemany("insert into t values (?)", [(number,) for number in numbers])
    return database


write_excel = functools.partial(write_frame, "to_excel")
QUERY = "sqlite3.connect(path).execute('select sum(x) from t').fetchone()[0]"
READERS = {  # the name of its file, how that is written, and the expression that reads it
    "read_csv": ("x.csv", write_text, "pandas.read_csv(path).x.sum()"),
    "read_csv_python": ("x.csv", write_text, "pandas.read_csv(path, engine='python').x.sum()"),
    "read_csv_mapped": ("x.csv", write_text, "pandas.read_csv(path, memory_map=True).x.sum()"),
    "read_csv_gzip": ("x.csv.gz", write_gzip, "pandas.read_csv(path).x.sum()"),
    "read_excel": ("x.xlsx", write_excel, "pandas.read_excel(path).x.sum()"),
    "read_json": ("x.json", write_json, "pandas.read_json(path).x.sum()"),
    "read_pickle": ("x.pickle", functools.partial(write_frame, "to_pickle"), "pandas.read_pickle(path).x.sum()"),
    "open": ("x.txt", write_numbers, "sum(map(int, open(path)))"),
    "read_text": ("x.txt", write_numbers, "sum(map(int, path.read_text().split()))"),
    "os_open": ("x.bin", write_bytes, "sum(os.read(os.open(path, os.O_RDONLY), 100))"),
    "json": ("x.json", write_json, "sum(json.loads(path.read_bytes())['x'])"),
    "gzip": ("x.gz", write_gzip, "sum(map(int, gzip.open(path).read().split()[1:]))"),
    "load": ("x.npy", write_npy, "numpy.load(path).sum()"),
    "load_npz": ("x.npz", write_npz, "numpy.load(path)['x'].sum()"),
    "load_mapped": ("x.npy", write_npy, "numpy.load(path, mmap_mode='r').sum()"),
    "loadtxt": ("x.txt", write_numbers, "int(numpy.loadtxt(path).sum())"),
    "genfromtxt": ("x.txt", write_numbers, "int(numpy.genfromtxt(path).sum())"),
    "fromfile": ("x.bin", write_bytes, "numpy.fromfile(path, numpy.uint8).sum()"),
    "memmap": ("x.bin", write_bytes, "numpy.memmap(path, numpy.uint8).sum()"),
    "sqlite": ("x.db", write_database, QUERY),
    "read_sql": ("x.db", write_database, "pandas.read_sql('select x from t', sqlite3.connect(path)).x.sum()"),
    "thread": ("x.csv", write_text, "in_a_thread(lambda: pandas.read_csv(path).x.sum())"),
}
IN_A_THREAD = """
def in_a_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]

"""


def reading(name, path, expression, imports=""):
    """The source of a plot that reads a file of that name with an expression."""
    return f"{imports}\ndef plot_{name}():\n    path = HERE / {path!r}\n    return picture({expression})\n"


# -- the folder of plots and data


class Desk:
    """A folder with plots and one with data, and a render process."""

    def __init__(self, folder, renderer):
        self.data, self.plots, self.renderer = folder / "data", folder / "plots", renderer
        self.data.mkdir()
        self.plots.mkdir()

    def write(self, text, module="mine"):
        """A file with plots."""
        (self.plots / f"{module}.py").write_text(TOP + text)

    def source(self, module="mine"):
        return Source(str(self.plots / f"{module}.py"), str(self.plots), f"plots_of_{self.plots.parent.name}", module)

    def draw(self, name, module="mine", sent=(), fields=(), **texts):
        """The drawing of a plot, as a new request would have it."""
        plot = Plot(self.source(module), f"plot_{name}", fields=fields)
        given = {name: (str(text),) for name, text in texts.items()}
        job = Job("draw", plot, given, sent=sent, folders=(str(self.data),))
        return self.renderer.submit(object(), job).future.result(PATIENCE)

    def drawn(self, name, *arguments, **texts):
        """The same, where it must succeed."""
        drawing = self.draw(name, *arguments, **texts)
        assert drawing.status == 200, drawing.error + drawing.output
        return drawing

    def names(self, drawing):
        """The drawing's inputs: those of the data by their names, any others in full."""
        return {os.path.relpath(each.path, self.data) for each in drawing.inputs}


def is_fresh(drawing):
    return Kept(drawing, drawing, 1, list(drawing.inputs)).is_fresh()


@pytest.fixture(scope="module")
def renderer():
    """One process for all."""
    renderer = plotsrv.Renderer(workers=1, timeout=PATIENCE)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def readers(renderer, tmp_path_factory):
    """A plot for each of the readers."""
    desk = Desk(tmp_path_factory.mktemp("readers"), renderer)
    parts = [reading(name, f"{name}_{path}", expression) for name, (path, _, expression) in READERS.items()]
    desk.write(IN_A_THREAD + "\n".join(parts))
    return desk


@pytest.fixture
def desk(renderer, tmp_path):
    """A desk of the test's own, with one file of data."""
    desk = Desk(tmp_path, renderer)
    write_text(desk.data / "x.csv", [1, 2, 3])
    return desk


# -- each reader


@pytest.mark.parametrize("name", READERS)
def test_a_file_is_an_input_whatever_it_is_read_with(readers, name):
    """While it is as it was, there is nothing to draw; as soon as it is another, it is drawn anew."""
    path = readers.data / f"{name}_{READERS[name][0]}"
    write = READERS[name][1]
    write(path, [1, 2, 3])
    drawing = readers.drawn(name)
    assert path.name in readers.names(drawing)
    assert drawing.output == "6\n" and not drawing.volatile and is_fresh(drawing)
    write(path, [4, 5, 6])
    assert not is_fresh(drawing)
    assert readers.drawn(name).output == "15\n"


def test_the_first_drawing_of_a_process_is_like_the_others(desk):
    """What pandas finds out about the machine, once in each process, is no input."""
    desk.write(reading("x", "x.csv", "pandas.read_csv(path).x.sum()"))
    desk.renderer.renew()
    assert [desk.drawn("x").volatile for _ in range(2)] == [False, False]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.open("a").write("4\n"),
        lambda path: path.write_text(path.read_text().replace("3", "7")),
        lambda path: os.replace(shutil.copy2(path, f"{path}.new"), path),
        lambda path: os.truncate(path, 4),
        Path.unlink,
    ],
    ids=["appended to", "rewritten with as many bytes", "replaced by rename", "truncated", "deleted"],
)
def test_a_drawing_is_stale_after_any_change_of_its_file(desk, change):
    """Whoever changed it, and however."""
    desk.write(reading("x", "x.csv", "pandas.read_csv(path).x.sum()"))
    drawing = desk.drawn("x")
    assert is_fresh(drawing)
    change(desk.data / "x.csv")
    assert not is_fresh(drawing)


def test_a_link_that_is_moved_to_another_run_makes_a_drawing_stale(desk):
    """latest.csv shows the new run as soon as it points there."""
    write_text(desk.data / "second.csv", [4, 5, 6])
    link = desk.data / "latest.csv"
    link.symlink_to("x.csv")
    desk.write(reading("x", "latest.csv", "pandas.read_csv(path).x.sum()"))
    drawing = desk.drawn("x")
    assert is_fresh(drawing)
    link.unlink()
    link.symlink_to("second.csv")
    assert not is_fresh(drawing)
    assert desk.drawn("x").output == "15\n"


def test_a_database_counts_with_its_write_ahead_log(desk):
    """A training that goes on writes there; the database's own file changes much later."""
    path = desk.data / "runs.db"
    write_database(path, [1, 2, 3], mode="wal").close()
    training = write_database(path, [1, 2, 3], mode="wal")
    try:
        desk.write(reading("x", "runs.db", QUERY))
        drawing, before = desk.drawn("x"), plotsrv.stamp_of(str(path))
        assert desk.names(drawing) == {"runs.db", "runs.db-wal"} and is_fresh(drawing)
        with training:
            training.execute("insert into t values (10)")
        assert plotsrv.stamp_of(str(path)) == before and not is_fresh(drawing)
        assert desk.drawn("x").output == "16\n"
    finally:
        training.close()


# -- folders


LISTINGS = {  # the file that comes, and how it is looked for
    "listdir": ("log.csv", "len(os.listdir(path))"),
    "scandir": ("log.csv", "len(list(os.scandir(path)))"),
    "iterdir": ("log.csv", "len(list(path.iterdir()))"),
    "walk": ("run/log.csv", "sum(len(files) for _, _, files in os.walk(path))"),
    "glob": ("log.csv", "len(glob.glob(f'{path}/*.csv'))"),
    "glob_below": ("run/log.csv", "len(glob.glob(f'{path}/*/log.csv'))"),
    "glob_recursive": ("run/log.csv", "len(glob.glob(f'{path}/**/log.csv', recursive=True))"),
    "path_glob": ("log.csv", "len(list(path.glob('*.csv')))"),
    "path_glob_below": ("run/log.csv", "len(list(path.glob('*/log.csv')))"),
    "path_rglob": ("run/log.csv", "len(list(path.rglob('log.csv')))"),
    "path_rglob_below": ("run/log.csv", "len(list(path.rglob('run/*.csv')))"),
}


@pytest.fixture(scope="module")
def listings(renderer, tmp_path_factory):
    """A plot for each way to look for files."""
    desk = Desk(tmp_path_factory.mktemp("listings"), renderer)
    desk.write("\n".join(reading(name, name, expression) for name, (_, expression) in LISTINGS.items()))
    return desk


@pytest.mark.parametrize("name", LISTINGS)
def test_a_new_run_in_a_folder_that_was_looked_through_is_seen(listings, name):
    """Its folder is there already; then its log appears, which nobody has read."""
    (listings.data / name / "run").mkdir(parents=True)
    drawing = listings.drawn(name)
    assert not drawing.volatile and is_fresh(drawing)
    (listings.data / name / LISTINGS[name][0]).touch()
    assert not is_fresh(drawing)
    assert int(listings.drawn(name).output) == int(drawing.output) + 1


WRITES = {
    "a file": "(path / 'cache.txt').write_text('x')",
    "a file by rename": "((path / 'new').write_text('x'), os.replace(path / 'new', path / 'cache'))",
    "a folder": "(path / 'made').mkdir(exist_ok=True)",
    "a link": "((path / 'link').unlink(missing_ok=True), (path / 'link').symlink_to('x.csv'))",
    "a temporary file": "tempfile.NamedTemporaryFile(dir=path).close()",
    "a nameless file": "tempfile.TemporaryFile(dir=path).close()",
    "a temporary folder": "tempfile.TemporaryDirectory(dir=path).cleanup()",
}


@pytest.mark.parametrize("writes", WRITES.values(), ids=WRITES)
def test_a_plot_may_write_into_the_folder_it_lists(desk, writes):
    """What it makes there is no change; what anybody else adds is one."""
    desk.write(reading("x", ".", f"(len(os.listdir(path)), {writes})[0]"))
    desk.drawn("x")
    drawing = desk.drawn("x")
    assert desk.names(drawing) == {"."} and not drawing.volatile and is_fresh(drawing)
    (desk.data / "run.csv").touch()
    assert not is_fresh(drawing)


def test_a_file_that_the_plot_makes_is_no_input_when_it_is_read(desk):
    """A cache of its own is as good as what it was made from."""
    cached = "(path.with_name('c').write_text(path.read_text()), len(path.with_name('c').read_text()))[1]"
    desk.write(reading("x", "x.csv", cached))
    for _ in range(2):
        drawing = desk.drawn("x")
        assert desk.names(drawing) == {"x.csv"} and is_fresh(drawing)
    (desk.data / "c").write_text("other")
    assert is_fresh(drawing)


def test_a_temporary_folder_hides_no_input_of_the_same_name(desk):
    """A file read in the working folder is an input, though one of that name was removed elsewhere."""
    desk.write(
        "def plot_x():\n"
        "    os.chdir(HERE)\n"
        "    total = sum(map(len, [open('x.csv').read(), open('y.csv').read()]))\n"
        "    with tempfile.TemporaryDirectory() as folder:\n"
        "        Path(folder, 'x.csv').touch()\n"
        "    return picture(total)\n"
    )
    (desk.data / "y.csv").touch()
    assert desk.names(desk.drawn("x")) == {"x.csv", "y.csv"}


# -- Parquet, and other readers that open files unseen


@pytest.fixture
def parquet():
    """Writes Parquet, where pyarrow is there."""
    pytest.importorskip("pyarrow")
    return functools.partial(write_frame, "to_parquet")


def test_parquet_is_an_input_when_pandas_reads_it(desk, parquet):
    """Named in the plot's code."""
    parquet(desk.data / "x.parquet", [1, 2, 3])
    desk.write(reading("x", "x.parquet", "pandas.read_parquet(path).x.sum()"))
    drawing = desk.drawn("x")
    assert desk.names(drawing) == {"x.parquet"} and not drawing.volatile and is_fresh(drawing)
    parquet(desk.data / "x.parquet", [4, 5, 6])
    assert not is_fresh(drawing)
    assert desk.drawn("x").output == "15\n"


def test_parquet_in_many_files_is_an_input_with_all_its_folders(desk, parquet):
    """A part that is added later, too."""
    for number in (1, 2):
        (desk.data / "set" / f"part={number}").mkdir(parents=True)
        parquet(desk.data / "set" / f"part={number}" / "x.parquet", [number])
    desk.write(reading("x", "set", "pandas.read_parquet(path).x.sum()"))
    drawing = desk.drawn("x")
    assert drawing.output == "3\n" and is_fresh(drawing)
    parquet(desk.data / "set" / "part=2" / "more.parquet", [10])
    assert not is_fresh(drawing)
    assert desk.drawn("x").output == "13\n"


def test_a_file_named_by_an_argument_is_an_input_whatever_reads_it(desk, parquet):
    """The argument itself counts, before anything is opened."""
    parquet(desk.data / "x.parquet", [1, 2, 3])
    desk.write("def plot_x(path: Path):\n    return picture('nothing is read')\n")
    [plot] = desk.renderer.describe(desk.source(), 0).result(PATIENCE).plots
    drawing = desk.drawn("x", fields=plot.fields, path=desk.data / "x.parquet")
    assert desk.names(drawing) == {"x.parquet"} and not drawing.volatile and is_fresh(drawing)
    parquet(desk.data / "x.parquet", [4, 5, 6])
    assert not is_fresh(drawing)


def write_h5(path, numbers):
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["x"] = numbers


UNSEEN = {
    "polars": ("x.csv", write_text, "polars.read_csv(path)['x'].sum()"),
    "pyarrow": ("x.csv", write_text, "pyarrow.csv.read_csv(path)['x'].to_pandas().sum()"),
    "h5py": ("x.h5", write_h5, "sum(h5py.File(path)['x'])"),
}


@pytest.mark.parametrize("package", UNSEEN)
def test_a_reader_that_opens_files_unseen_makes_a_plot_volatile_unless_it_declares_its_inputs(desk, package):
    """Without a word from the plot it is drawn at every refresh; with its inputs declared, when they change."""
    pytest.importorskip(package)
    name, write, expression = UNSEEN[package]
    write(desk.data / name, [1, 2, 3])
    imports = f"import {package}" + (".csv" if package == "pyarrow" else "")
    declared = f"def plot_y():\n    return plot_x()\nplot_y.inputs = [f'{{HERE}}/*{name[1:]}', HERE / 'later']\n"
    desk.write(reading("x", name, expression, imports) + declared)
    undeclared = desk.drawn("x")
    assert undeclared.volatile and undeclared.output == "6\n"
    drawing = desk.drawn("y")
    assert not drawing.volatile and {name, "later"} <= desk.names(drawing) and is_fresh(drawing)
    write(desk.data / name, [4, 5, 6])
    assert not is_fresh(drawing)
    drawing = desk.drawn("y")
    assert drawing.output == "15\n"
    write(desk.data / f"more_{name}", [7])
    assert not is_fresh(drawing)


# -- volatile plots


VOLATILE = {
    "nothing read": "1",
    "another process": "os.system('true')",
    "a program's output": "len(__import__('subprocess').run(['true']).args)",
    "a fork": "__import__('multiprocessing').get_context('fork').Process(target=len, args=('',)).start()",
    "the kernel": "len(open('/proc/self/stat').read())",
    "a network": "__import__('socket').create_connection(('127.0.0.1', PORT)).close()",
    "a telephone book": "len(__import__('socket').getaddrinfo('localhost', 80))",
}


def test_what_cannot_be_foreseen_makes_a_drawing_volatile(desk):
    """Each by itself, beside a file that is read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        plots = [
            f"def plot_{number}():\n    return picture({expression.replace('PORT', str(port))})\n"
            for number, expression in enumerate(VOLATILE.values())
        ]
        read = "\n".join(f"plot_{number}_with_a_file = with_a_file(plot_{number})" for number in range(len(plots)))
        desk.write("\n".join(plots) + WITH_A_FILE + read)
        found = {what: desk.drawn(str(number)).volatile for number, what in enumerate(VOLATILE)}
        with_a_file = {what: desk.drawn(f"{number}_with_a_file").volatile for number, what in enumerate(VOLATILE)}
    assert found == dict.fromkeys(VOLATILE, True)
    assert with_a_file == found | {"nothing read": False}


WITH_A_FILE = """
def with_a_file(plot):
    def also():
        (HERE / "x.csv").read_text()
        return plot()
    return also

"""


@pytest.mark.parametrize("volatile", [True, False])
def test_a_plot_says_itself_whether_it_is_volatile(desk, volatile):
    """`plot_x.volatile` is believed, for a clock as for what reads a file."""
    desk.write(reading("x", "x.csv", "len(path.read_text())") + f"plot_x.volatile = {volatile}\n")
    desk.write("def plot_clock():\n    return picture('')\n" + f"plot_clock.volatile = {volatile}\n", "clock")
    assert desk.drawn("x").volatile is desk.drawn("clock", "clock").volatile is volatile


@pytest.mark.parametrize("text", ["now", "today", "-2h", "+1d"])
def test_an_argument_that_counts_from_now_makes_a_drawing_volatile(desk, text):
    """The same text means another time at each refresh; a date does not."""
    desk.write(
        "import datetime\ndef plot_x(start: datetime.datetime):\n    return picture(len(open(HERE / 'x.csv').read()))\n"
    )
    assert desk.drawn("x", start=text).volatile
    assert not desk.drawn("x", start="2024-05-06T07:08").volatile


def test_processes_that_are_started_unseen_make_a_drawing_volatile(desk):
    """multiprocessing's spawn raises no event that counts: its import tells."""
    desk.write("import multiprocessing\n" + reading("x", "x.csv", "len(path.read_text())") + "def call(): pass\n")
    assert desk.drawn("x").volatile


def test_threads_that_go_on_reading_harm_no_drawing(desk):
    """A plot may leave one behind; what it opens afterwards is nobody's."""
    desk.write(
        "def plot_x():\n"
        "    def go_on():\n"
        "        for number in range(200_000):\n"
        "            try:\n"
        "                open(HERE / f'no_{number}')\n"
        "            except OSError:\n"
        "                pass\n"
        "    threading.Thread(target=go_on, daemon=True).start()\n"
        "    for _ in range(50):\n"
        "        (HERE / 'x.csv').read_text()\n"
        "    return picture('')\n"
    )
    try:
        assert desk.draw("x").status == 200
    finally:
        desk.renderer.renew()


# -- the code


def test_a_file_that_is_read_while_importing_is_code(desk):
    """When it changes, the file with the plots is imported anew; it is no input of each drawing."""
    (desk.data / "settings.json").write_text("{}")
    desk.write(
        "SETTINGS = json.loads((HERE / 'settings.json').read_text())\n"
        + reading("x", "x.csv", "len(path.read_text())")
        + reading("late", "x.csv", "(__import__('lately'), len(path.read_text()))[1]")
    )
    (desk.plots / "lately.py").write_text(f"text = open({str(desk.data / 'x.csv')!r}).read()")
    drawing = desk.drawn("x")
    assert desk.names(drawing) == {"x.csv"}
    assert {str(desk.data / "settings.json"), str(desk.plots / "mine.py")} == {each.path for each in drawing.code}
    late = {each.path for each in desk.drawn("late").code}
    assert {str(desk.plots / "lately.py"), str(desk.data / "x.csv")} <= late


def test_modules_that_are_no_source_harm_no_drawing(desk):
    """One that is lazy, one whose file is no text, one that is bytecode alone, one edited since."""
    lazy = "class Lazy:\n    def __getattr__(self, name): raise ImportError('not now')\n"
    lazy += "import sys, types, compiled\nsys.modules['lazy'] = Lazy()\n"
    lazy += "sys.modules['odd'] = types.SimpleNamespace(__file__=Path('odd.py'))\n"
    desk.write(lazy + reading("x", "x.csv", "len(path.read_text())"))
    (desk.plots / "compiled.pyc").write_bytes(compiled("value = 1"))
    assert desk.renderer.describe(desk.source(), 0).result(PATIENCE).error == ""
    desk.write("def plot_broken(:\n")
    try:
        assert desk.drawn("x").output == "8\n"
    finally:
        desk.renderer.renew()


def compiled(text):
    """The bytes of a module's bytecode."""
    import py_compile

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "module.py")
        source.write_text(text)
        return Path(py_compile.compile(str(source), cfile=f"{folder}/module.pyc")).read_bytes()


# -- files that are not there yet


MISSING = {
    "open": "open(path)",
    "read_csv": "pandas.read_csv(path)",
    "read_parquet": "pandas.read_parquet(path)",
    "read_excel": "pandas.read_excel(path)",
    "read_json": "pandas.read_json(path)",
    "load": "numpy.load(path)",
    "listdir": "os.listdir(path)",
    "relative": "(os.chdir(HERE), open('later.csv'))",
}


@pytest.mark.parametrize("reader", MISSING)
def test_a_file_that_is_not_there_yet_is_awaited(desk, reader):
    """404, with its name, and stale as soon as it comes."""
    if reader == "read_parquet":
        pytest.importorskip("pyarrow")
    desk.write(reading("x", "later.csv", MISSING[reader]))
    drawing = desk.draw("x")
    assert (drawing.status, drawing.error) == (404, "Waiting for later.csv: the file is not there (yet).")
    assert not drawing.volatile and is_fresh(drawing)
    (desk.data / "later.csv").touch()
    assert not is_fresh(drawing)


def test_a_missing_file_that_is_no_data_is_an_error(desk):
    """A program that is not installed never comes by waiting."""
    desk.write("import subprocess\ndef plot_x():\n    subprocess.run(['no_such_program'])\n")
    drawing = desk.draw("x")
    assert drawing.status == 500 and "no_such_program" in drawing.error


# -- the second wall


def test_a_path_made_of_what_the_browser_sent_is_refused_outside(desk):
    """403, and what to do; inside it is read, and the plot's own paths are its own."""
    desk.write("def plot_x(text: str):\n    return picture(len(open(HERE / text).read()))\n")
    (desk.data.parent / "secret").touch()
    for name in ("../secret", "../no_such_file", "sub/../../secret"):
        drawing = desk.draw("x", sent=(name,), text=name)
        assert drawing.status == 403 and "Start plotsrv with the folder" in drawing.error
        assert drawing.image == b"" and not drawing.output
    assert desk.drawn("x", sent=("../data/x.csv",), text="../data/x.csv").output == "8\n"
    assert desk.drawn("x", text="../secret").output == "0\n"


def test_a_host_that_the_browser_sent_is_refused(desk):
    """No plot can be made to fetch what only this machine may."""
    desk.write("import urllib.request\ndef plot_x(text: str):\n    urllib.request.urlopen('http://' + text)\n")
    drawing = desk.draw("x", sent=("localhost:1/admin",), text="localhost:1/admin")
    assert drawing.status == 403 and "browser sent is not reached" in drawing.error


def test_matplotlibs_own_files_are_not_refused_whatever_was_sent(desk):
    """A text that stands in the paths of its fonts is only a text."""
    desk.write(
        "def plot_x(text: str):\n"
        "    figure = Figure(figsize=(1, 1))\n"
        "    figure.text(0, 0, f'$x^2$ {text}', family='monospace', weight='bold')\n"
        "    return figure\n"
    )
    assert desk.drawn("x", sent=("matplotlib/", "/"), text="matplotlib/").image


# -- through the application: the cache at work


@pytest.fixture
def site(desk):
    """The application with real plots; `site(target)` is the picture at a URL."""
    gallery = Gallery([Root(str(desk.plots), f"site_{desk.plots.parent.name}")], desk.renderer)
    application = Application(gallery, desk.renderer, DrawingCache(), DataFolders([str(desk.data)]), Access())
    desk.write(
        "def plot_x():\n"
        "    with open(HERE / 'calls', 'a') as calls:\n"
        "        calls.write('called ')\n"
        "    frame = pandas.read_csv(HERE / 'x.csv')\n"
        "    figure = Figure(figsize=(1, 1), dpi=50)\n"
        "    figure.add_subplot().plot(frame.x)\n"
        "    return figure\n"
    )

    def respond(target="/mine/x.png", accept="image/*"):
        head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nAccept: {accept}"
        return application.respond(Request.parse(head.encode(), "127.0.0.1", owner=True))

    yield respond
    application.live.close()


def calls(desk):
    path = desk.data / "calls"
    return len(path.read_text().split()) if path.exists() else 0


def test_a_picture_is_drawn_once_until_its_data_change(desk, site):
    """However often it is asked for; then once more."""
    first = site()
    assert first.status == 200 and calls(desk) == 1
    assert {site().body for _ in range(5)} == {first.body} and calls(desk) == 1
    write_text(desk.data / "x.csv", [3, 2, 1])
    assert site().body != first.body and calls(desk) == 2


def test_many_viewers_of_one_plot_cost_one_drawing(desk, site):
    """All at the same time, before there is any picture."""
    site("/")
    bodies = []
    viewers = [threading.Thread(target=lambda: bodies.append(site().body)) for _ in range(20)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join(PATIENCE)
    assert len(bodies) == 20 and len(set(bodies)) == 1 and calls(desk) == 1


def test_each_format_size_and_argument_has_a_drawing_of_its_own(desk, site):
    """And each of them is kept."""
    targets = ["/mine/x.png", "/mine/x.svg", "/mine/x.png?width=80", "/mine/x.png?dpi=30"]
    assert len({site(target).body for target in targets * 2}) == 4 and calls(desk) == 4


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda desk: (desk.data / "x.csv").unlink(), "Waiting for .*x.csv"),
        (lambda desk: (desk.data / "x.csv").write_text(""), "EmptyDataError"),
        (lambda desk: desk.write("def plot_x():\n    raise ValueError('no such luck')\n"), "no such luck"),
        (lambda desk: desk.write("def plot_x(:\n"), "SyntaxError"),
    ],
    ids=["its file vanished", "its file is being written", "its code fails", "its code is broken"],
)
def test_the_last_good_picture_is_shown_with_what_has_gone_wrong_since(desk, site, harm, message):
    """The page keeps it, says from when it is, and shows a new one when all is well again."""
    good = site("/mine/x", "text/html")
    text, code = (desk.data / "x.csv").read_text(), (desk.plots / "mine.py").read_text()
    picture = picture_in(good)
    harm(desk)
    page = site("/mine/x", "text/html")
    assert page.status == 200 and picture_in(page) == picture and page.headers.get("X-Plotsrv-Error")
    assert re.search(message, page.body.decode()) and "last good picture" in page.body.decode()
    (desk.plots / "mine.py").write_text(code)
    (desk.data / "x.csv").write_text(text + "9\n")
    page = site("/mine/x", "text/html")
    assert page.status == 200 and "X-Plotsrv-Error" not in page.headers and picture_in(page) != picture


def picture_in(page):
    """The picture of a page, as it stands in its text."""
    return page.body.decode().partition("data:image/png;base64,")[2].partition('"')[0]
