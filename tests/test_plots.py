"""Plots: which plots there are, and what each asks for. None is ever called here."""

import concurrent.futures
import importlib
import itertools
import json
import os
import random
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import plotsrv
from plotsrv import Description, Gallery, Root, Source

numbers = itertools.count()


@pytest.fixture(autouse=True)
def python_state():
    """What a test imports is forgotten after it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def folder(tmp_path):
    """A plots folder of a name of its own."""
    folder = tmp_path / f"plots{next(numbers)}"
    folder.mkdir()
    return folder


def write(folder: Path, **files: str) -> Path:
    """Files by name; __ in a name is a folder: sub__a is sub/a.py."""
    for name, text in files.items():
        file = folder.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.stat().st_mtime_ns if file.exists() else 0
        file.write_text(textwrap.dedent(text))
        os.utime(file, ns=(before + 10**9,) * 2)  # an edit is later than the file was
    return folder


def root_of(folder: Path) -> Root:
    return Root(str(folder), f"package_of_{folder.name}")


def source_of(folder: Path, module: str) -> Source:
    (found,) = [source for source in plotsrv.sources_in(root_of(folder)) if source.module == module]
    return found


def imported(folder: Path, module: str = "a"):
    source = source_of(folder, module)
    return plotsrv.load(source), source


def described(folder: Path, module: str = "a") -> dict[str, plotsrv.Plot]:
    """The plots of a file, by path, once it has been imported."""
    module, source = imported(folder, module)
    plots, error = plotsrv.described_plots(source, module)
    assert error == ""
    return {plot.path: plot for plot in plots}


def called(folder: Path, path: str, module: str = "a"):
    """What a plot returns: that it is the right function."""
    return plotsrv.plot_function(described(folder, module)[path])()


# -- the roots


def test_the_shipped_plots_come_first_and_then_the_users(tmp_path, monkeypatch):
    """Without --plots the user's are those in ./plots, whether it is there yet or not."""
    monkeypatch.chdir(tmp_path)
    shipped, user = plotsrv.roots_of("")
    assert shipped.package == "plotsrv_plots"
    assert user == Root(str(tmp_path.resolve() / "plots"), "plots_1")


def test_started_in_its_own_folder_the_shipped_plots_are_the_users(monkeypatch):
    """The same folder is not listed twice."""
    monkeypatch.chdir(Path(plotsrv.__file__).parent)
    assert len(plotsrv.roots_of("")) == 1


def test_several_paths_are_given_with_the_platforms_separator(tmp_path):
    """A folder, and a file of which a class is meant."""
    write(tmp_path, mine__a="", script="")
    text = os.pathsep.join([str(tmp_path / "mine"), f"{tmp_path / 'script.py'}#MyPlots"])
    roots = plotsrv.roots_of(text)[1:]
    assert [(Path(root.path).name, root.handler) for root in roots] == [("mine", ""), ("script.py", "MyPlots")]
    assert len({root.package for root in roots}) == 2


def test_a_path_that_is_not_there_is_an_error():
    """A mistyped --plots is told at the start."""
    with pytest.raises(FileNotFoundError, match="no/such"):
        plotsrv.roots_of("no/such")


# -- the files


def test_plot_files_are_found_in_sub_folders(folder):
    """Their module is dotted as in the URL."""
    write(folder, a="", sub__b="", sub__deep__c="")
    assert [source.module for source in plotsrv.sources_in(root_of(folder))] == ["a", "sub.b", "sub.deep.c"]


def test_hidden_and_underscore_files_are_left_out(folder):
    """What begins with . or _ is not for the gallery, nor what is not Python."""
    write(folder, a="", _helper="", _private__b="")
    for name in ("__init__.py", ".hidden.py", "notes.txt", ".git/c.py", "__pycache__/d.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    assert [source.module for source in plotsrv.sources_in(root_of(folder))] == ["a"]


def test_a_root_may_be_a_single_file(folder):
    """--plots mine.py serves that one."""
    write(folder, mine="", other="")
    (source,) = plotsrv.sources_in(Root(str(folder / "mine.py"), "p"))
    assert (source.module, source.folder) == ("mine", str(folder))


def test_a_folder_that_is_not_there_has_no_files(folder):
    """The user's plots folder may come later."""
    assert list(plotsrv.sources_in(Root(str(folder / "none"), "p"))) == []


# -- a sketch: what a file's text tells before it is imported


def test_a_sketch_lists_plots_without_importing_the_file(folder):
    """Names and summaries are read from the text; nothing is run."""
    write(
        folder,
        a='''
        raise SystemExit

        def plot_one(x=1):
            """The first

            More of it."""

        def helper(): pass
        def plot_(): pass
        plot_no_function = 3
        ''',
    )
    (plot,) = plotsrv.sketch(source_of(folder, "a")).plots
    assert (plot.path, plot.summary, plot.described) == ("a/one", "The first", False)


@pytest.mark.parametrize("text", ["def plot_x(:", "\0", "# -*- coding: no-such -*-\n"])
def test_a_sketch_of_a_broken_file_is_empty(folder, text):
    """The import will tell what is wrong."""
    write(folder, a=text)
    assert plotsrv.sketch(source_of(folder, "a")) == Description()


def test_a_sketch_of_a_handler_lists_its_methods(folder):
    """For plotsrv.main(MyPlots): the class's plots, and no others of the script."""
    write(
        folder,
        script="""
        class MyPlots(PlotRequestHandler):
            def plot_one(self): pass

        class Other:
            def plot_two(self): pass

        def plot_three(): pass
        """,
    )
    (source,) = plotsrv.sources_in(Root(str(folder / "script.py"), "p", "MyPlots"))
    assert [plot.path for plot in plotsrv.sketch(source).plots] == ["one"]


# -- importing


def test_a_plot_is_described_with_summary_description_and_fields(folder):
    """All that the server needs to know of it, as plain values."""
    write(
        folder,
        a='''
        def plot_loss_curve(file_path, n: int = 3):
            """The loss

            In red.

            Args:
                n: How many."""
        ''',
    )
    plot = described(folder)["a/loss_curve"]
    assert (plot.title, plot.summary, plot.description, plot.described) == ("loss curve", "The loss", "In red.", True)
    assert [(field.name, field.help) for field in plot.fields] == [("file_path", ""), ("n", "How many.")]


def test_relative_imports_between_plot_files_work(folder):
    """from .b import x, and from a sub-folder's file upwards."""
    write(folder, a="from .sub.b import value\ndef plot_x(): return value")
    write(folder, sub__b="from ..c import value", c="value = 5")
    assert called(folder, "a/x") == 5


def test_sibling_imports_between_plot_files_work(folder):
    """import b, as a script in that folder could."""
    name = f"sibling{next(numbers)}"
    write(folder, a=f"import {name}\ndef plot_x(): return {name}.value", **{name: "value = 6"})
    assert called(folder, "a/x") == 6


def test_sibling_imports_work_in_a_sub_folder(folder):
    """The file's own folder counts."""
    name = f"sibling{next(numbers)}"
    write(folder, sub__a=f"import {name}\ndef plot_x(): return {name}.value", **{f"sub__{name}": "value = 7"})
    assert called(folder, "sub.a/x", "sub.a") == 7


def test_modules_beside_the_plots_folder_can_be_imported(folder):
    """The project that plots/ lies in."""
    name = f"project{next(numbers)}"
    write(folder.parent, **{name: "value = 8"})
    write(folder, a=f"import {name}\ndef plot_x(): return {name}.value")
    assert called(folder, "a/x") == 8


def test_an_underscore_file_can_be_imported(folder):
    """_helper.py is not listed, but helps."""
    write(folder, a="from ._helper import value\ndef plot_x(): return value", _helper="value = 9")
    assert called(folder, "a/x") == 9


def test_a_file_called_random_does_not_replace_pythons(folder):
    """Plots may be named after any module of the standard library."""
    write(folder, random="import random\ndef plot_x(): return random.Random")
    write(folder, a="import random\ndef plot_y(): return random")
    sys.modules.pop("random")
    try:
        assert called(folder, "random/x", "random").__name__ == "Random"
        assert Path(called(folder, "a/y").__file__) == Path(random.__file__)
    finally:
        sys.modules["random"] = random


def test_files_of_the_same_name_in_two_roots_are_two_modules(tmp_path):
    """A user's training.py does not replace another folder's."""
    for name, value in (("one", 1), ("two", 2)):
        write(tmp_path / name, a=f"def plot_x(): return {value}")
    assert [called(tmp_path / name, "a/x") for name in ("one", "two")] == [1, 2]


@pytest.mark.parametrize("name", ["my-plots", "my plots", "2024"])
def test_a_file_name_need_not_be_an_identifier(folder, name):
    """my-plots.py is served too."""
    write(folder, **{name: "def plot_x(): return 5"})
    assert called(folder, f"{name}/x", name) == 5


def test_an_imported_plot_is_not_listed_twice(folder):
    """A plot belongs to the module that defines it."""
    write(folder, a="from .b import plot_x\nfrom .b import *\ndef plot_y(): pass", b="def plot_x(): pass")
    assert list(described(folder)) == ["a/y"]


def test_a_wrapped_plot_is_listed(folder):
    """Decorators that keep the name are seen through."""
    write(
        folder,
        a="""
        import functools

        def twice(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return 2 * function(*args, **kwargs)
            return wrapper

        @twice
        def plot_x(n: int = 3):
            return n
        """,
    )
    assert [field.name for field in described(folder)["a/x"].fields] == ["n"]
    assert called(folder, "a/x") == 6


def test_what_is_not_called_plot_or_is_no_function_is_not_listed(folder):
    """Helpers, constants and classes are nobody's business."""
    write(folder, a="def helper(): pass\nplot_x = 3\nclass plot_y: pass\ndef plot_(): pass\ndef _plot_z(): pass")
    assert described(folder) == {}


HANDLER = """
from plotsrv import PlotRequestHandler

class Base(PlotRequestHandler):
    value = 5

    def plot_inherited(self, n: int = 1):
        return self.value + n

class MyPlots(Base):
    value = 10

    def plot_own(self):
        return self.helper()

    def helper(self):
        return self.value

    @staticmethod
    def plot_static():
        return 3

def plot_function():
    return 4
"""


def test_a_handler_class_has_its_own_and_inherited_plots(folder):
    """They are served at the top, and self gives them the class's attributes."""
    write(folder, script=HANDLER)
    (source,) = plotsrv.sources_in(Root(str(folder / "script.py"), f"package_of_{folder.name}", "MyPlots"))
    plots, error = plotsrv.described_plots(source, plotsrv.load(source))
    found = {plot.path: plot for plot in plots}
    assert (sorted(found), error) == (["inherited", "own", "static"], "")
    assert [field.name for field in found["inherited"].fields] == ["n"]
    values = {path: plotsrv.plot_function(plot)() for path, plot in found.items()}
    assert values == {"inherited": 11, "own": 10, "static": 3}


def test_a_handler_class_in_a_plots_folder_is_served_too(folder):
    """Its methods stand beside the module's functions."""
    write(folder, a=HANDLER)
    assert {"a/function", "a/own", "a/inherited"} <= set(described(folder))
    assert called(folder, "a/own") == 10


def test_a_plot_whose_form_cannot_be_made_does_not_hide_the_others(folder):
    """It is named with what is wrong; the others are served."""
    write(
        folder,
        a="""
        import enum

        class Empty(enum.Enum):
            pass

        def plot_bad(x: Empty): pass
        plot_bad.__signature__ = 5

        def plot_good(): pass
        """,
    )
    module, source = imported(folder)
    plots, error = plotsrv.described_plots(source, module)
    assert [plot.name for plot in plots] == ["good"]
    assert error.startswith("plot_bad: ")


# -- the gallery


class FakeRenderer:
    """Describes files as a render process would, from their text alone; counts how often code was renewed."""

    def __init__(self):
        self.renewed = 0
        self.described: list[str] = []
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def describe(self, source, version):
        future = concurrent.futures.Future()
        future.set_result(self.description(source))
        return future

    def description(self, source):
        self.asked.set()
        self.go.wait(5)
        self.described.append(source.module)
        try:
            compile(Path(source.file).read_bytes(), source.file, "exec")
        except SyntaxError as error:
            return Description(
                error=plotsrv.error_line(error), traceback="Traceback …", code=(plotsrv.Input.of(source.file),)
            )
        plots = plotsrv.sketch(source).plots
        imports = tuple(plotsrv.Input.of(str(file)) for file in Path(source.folder).rglob("_*.py"))
        return Description(tuple(plotsrv.replace(plot, described=True) for plot in plots), code=imports)

    def renew(self):
        self.renewed += 1


@pytest.fixture
def renderer():
    return FakeRenderer()


@pytest.fixture
def gallery(folder, renderer):
    return Gallery([root_of(folder)], renderer)


def paths(gallery: Gallery) -> list[str]:
    gallery.refresh(wait=5)
    assert gallery.settled
    return sorted(gallery.plots)


def test_the_gallery_lists_the_plots_of_all_files(gallery, folder):
    """By path, each described."""
    write(folder, a="def plot_x(): pass", sub__b="def plot_y(): pass\ndef plot_z(): pass")
    assert paths(gallery) == ["a/x", "sub.b/y", "sub.b/z"]
    assert all(plot.described for plot in gallery.plots.values())


def test_an_empty_folder_is_an_empty_gallery(gallery):
    """And settled at once."""
    assert paths(gallery) == []


def test_added_files_are_found(gallery, folder):
    """At the next refresh, without a restart."""
    write(folder, a="def plot_x(): pass")
    assert paths(gallery) == ["a/x"]
    write(folder, b="def plot_y(): pass")
    assert paths(gallery) == ["a/x", "b/y"]


def test_edited_files_are_followed(gallery, folder):
    """A new plot in a known file is listed, one that was taken out is gone."""
    write(folder, a="def plot_x(): pass\ndef plot_y(): pass")
    assert paths(gallery) == ["a/x", "a/y"]
    write(folder, a="def plot_y(): pass\ndef plot_z(): pass")
    assert paths(gallery) == ["a/y", "a/z"]


def test_removed_files_are_followed(gallery, folder):
    """Their plots are gone."""
    write(folder, a="def plot_x(): pass", b="def plot_y(): pass")
    assert paths(gallery) == ["a/x", "b/y"]
    (folder / "a.py").unlink()
    assert paths(gallery) == ["b/y"]


def test_nothing_is_done_while_nothing_changes(gallery, folder, renderer):
    """The files are looked at, not imported again."""
    write(folder, a="def plot_x(): pass")
    paths(gallery), paths(gallery), paths(gallery)
    assert (renderer.described, renderer.renewed, gallery.version) == (["a"], 0, 1)


def test_a_change_makes_a_new_version_and_renews_the_processes(gallery, folder, renderer):
    """Render processes with old code are replaced once for each change."""
    write(folder, a="def plot_x(): pass")
    paths(gallery)
    write(folder, a="def plot_y(): pass")
    paths(gallery)
    assert (gallery.version, renderer.renewed) == (2, 1)


def test_a_change_of_an_imported_helper_counts_too(gallery, folder, renderer):
    """Modules that plots import are part of the code."""
    write(folder, a="def plot_x(): pass", _helper="value = 1")
    paths(gallery)
    write(folder, _helper="value = 2")
    paths(gallery)
    assert (gallery.version, renderer.renewed) == (2, 1)


def test_a_module_that_a_plot_imports_while_drawing_is_watched(gallery, folder, tmp_path):
    """A late import counts from the drawing that made it."""
    write(folder, a="def plot_x(): pass")
    write(tmp_path, late="value = 1")
    paths(gallery)
    gallery.watch([plotsrv.Input.of(str(tmp_path / "late.py"))])
    paths(gallery)
    assert gallery.version == 1
    write(tmp_path, late="value = 2")
    paths(gallery)
    assert gallery.version == 2


def test_a_file_that_was_read_while_importing_is_watched_as_it_was_then(gallery, folder, tmp_path):
    """Changed between the import and the answer, it has the code imported once more."""
    write(folder, a="def plot_x(): pass")
    paths(gallery)
    settings = tmp_path / "settings.json"
    settings.write_text("{}")
    read = plotsrv.Input.of(str(settings))
    settings.write_text('{"lr": 1}')
    gallery.watch([read])
    paths(gallery)
    assert gallery.version == 2


def test_a_module_that_is_gone_by_the_time_it_is_watched_is_no_change(gallery, folder, tmp_path):
    """What was not there when it was imported has no stamp to compare with."""
    write(folder, a="def plot_x(): pass")
    paths(gallery)
    gallery.watch([plotsrv.Input(str(tmp_path / "gone.py"))])
    paths(gallery)
    assert gallery.version == 1


def test_a_broken_file_is_a_card_and_the_others_work(gallery, folder):
    """Error and line are told."""
    write(folder, a="def plot_x(: pass", b="def plot_y(): pass")
    assert paths(gallery) == ["b/y"]
    (card,) = gallery.broken.values()
    assert card.name == "a.py"
    assert "SyntaxError" in card.error and "line 1" in card.error
    assert card.traceback == "Traceback …"


def test_a_broken_edit_keeps_the_plots_and_adds_a_card(gallery, folder):
    """Their last good pictures stay to be seen."""
    write(folder, a="def plot_x(): pass")
    paths(gallery)
    write(folder, a="def plot_x(: pass")
    assert paths(gallery) == ["a/x"]
    assert [card.name for card in gallery.broken.values()] == ["a.py"]


def test_a_mended_file_loses_its_card(gallery, folder):
    """After two broken edits, too."""
    write(folder, a="def plot_x(): pass")
    for text in ("def plot_x(: pass", "def plot_x(:: pass"):
        paths(gallery)
        write(folder, a=text)
    assert paths(gallery) == ["a/x"]
    write(folder, a="def plot_z(): pass")
    assert paths(gallery) == ["a/z"]
    assert gallery.broken == {}


def test_a_card_of_a_removed_file_goes_with_it(gallery, folder):
    """No error of a file that is not there."""
    write(folder, a="def plot_x(: pass")
    paths(gallery)
    (folder / "a.py").unlink()
    assert paths(gallery) == []
    assert gallery.broken == {}


def test_files_that_are_still_imported_are_listed_from_their_text(gallery, folder, renderer):
    """The gallery does not wait for a slow import: what the text tells is shown at once."""
    write(folder, slow="def plot_x(): pass")
    renderer.go.clear()
    gallery.refresh(wait=0)
    try:
        assert renderer.asked.wait(5)
        assert not gallery.settled
        assert (list(gallery.plots), gallery.awaited) == (["slow/x"], ["slow.py"])
    finally:
        renderer.go.set()
    assert paths(gallery) == ["slow/x"]
    assert gallery.plots["slow/x"].described


def test_the_users_plot_wins_over_a_shipped_one_of_the_same_path(tmp_path, renderer):
    """The other plots of that shipped file stay."""
    shipped = write(tmp_path / "shipped", training="def plot_loss(): 'shipped'\ndef plot_other(): 'shipped'")
    user = write(tmp_path / "user", training="def plot_loss(): 'user'")
    gallery = Gallery([root_of(shipped), root_of(user)], renderer)
    assert paths(gallery) == ["training/loss", "training/other"]
    assert {path: plot.summary for path, plot in gallery.plots.items()} == {
        "training/loss": "user",
        "training/other": "shipped",
    }


def test_of_what_comes_with_plotsrv_only_files_with_plots_are_imported(tmp_path, renderer):
    """And after the user's own, whose plots are waited for."""
    shipped = write(tmp_path / "shipped", tools="", training="def plot_loss(): ...")
    user = write(tmp_path / "user", own_tools="")
    gallery = Gallery([Root(str(shipped), plotsrv.SHIPPED), root_of(user)], renderer)
    assert paths(gallery) == ["training/loss"]
    assert renderer.described == ["own_tools", "training"]


def test_the_gallery_as_json_tells_plots_fields_and_broken_files(folder, renderer, monkeypatch):
    """For programs; what has no control is left out."""
    write(folder, a="def plot_x(n: int = 3, token='hunter2'):\n    'An x'", b="def plot_y(: pass")
    plots = tuple(described(folder).values())
    monkeypatch.setattr(plotsrv, "sketch", lambda source: Description(plots if source.module == "a" else ()))
    gallery = Gallery([root_of(folder)], renderer)
    paths(gallery)
    told = json.loads(gallery.as_json())
    (plot,) = told["plots"]
    assert (plot["path"], plot["title"], plot["summary"]) == ("a/x", "x", "An x")
    (field,) = plot["fields"]
    assert (field["name"], field["control"], field["texts"], field["required"]) == ("n", "number", ["3"], False)
    assert [card["file"] for card in told["broken"]] == ["b.py"]
    assert b"hunter2" not in gallery.as_json()
