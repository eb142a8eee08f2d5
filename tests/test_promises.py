"""The README and plotsrv.py keep their word: what they say about themselves is true."""

import ast
import inspect
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import siege

import plotsrv
from plots import training

ROOT = Path(__file__).resolve().parent.parent
SOURCE = (ROOT / "plotsrv.py").read_text(encoding="utf-8")
TREE = ast.parse(SOURCE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else ""
OPTIONS = {name.replace("_", "-") for name in inspect.signature(plotsrv.main).parameters} - {"data"}
FOREIGN = ("ssh", "tmux", "systemctl", "loginctl", "pip", "cd")  # programs whose options are not plotsrv's
MOST_LINES = 50  # of a function

needs_readme = pytest.mark.skipif(not README, reason="there is no README.md yet")


def blocks(*languages):
    """The README's code blocks in these languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands():
    """All that the README tells to type, as words: its sh blocks line by line, and short quotes in the text."""
    lines = [line for block in blocks("sh", "console") for line in block.splitlines()]
    text = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall(r"`((?:make|python|pip|tmux|systemctl|loginctl|ssh) [^`]*)`", text)
    units = re.findall(r"^ExecStart=(.*)$", README, re.MULTILINE)
    return [words for line in [*lines, *quoted, *units] if (words := shlex.split(line, comments=True))]


def functions(tree):
    """All functions and methods below a node."""
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def top_level(tree):
    """The statements that run when the module is imported, those in `if` and `try` too."""
    for node in tree.body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from top_level(node)


def imported(node):
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


# -- the README


@needs_readme
@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1].strip()[:40])
def test_every_python_block_compiles(code):
    """Nobody copies a typing error."""
    compile(code, "README.md", "exec")


@needs_readme
def test_every_make_target_it_names_exists():
    """`make TARGET` is a promise of the Makefile's."""
    named = {word for words in commands() if words[0] == "make" for word in words[1:] if word.isalpha()}
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert {"run", "test", "demo"} <= named <= targets


@needs_readme
def test_every_documented_make_target_is_listed_by_make_help():
    """`make help` has a line for each target that is meant for people."""
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE)) == set(phony)


@needs_readme
def test_every_row_under_siege_is_a_trial_of_its_own():
    """Whoever doubts a figure can take it again by the name in its first column."""
    table = README.partition("\n## Under siege\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    found, missing = siege.trials()
    assert not missing and len(rows) == len(set(rows)) >= 20 and set(rows) <= set(found)


@needs_readme
def test_every_option_it_names_is_an_option_of_plotsrv_and_the_other_way_round():
    """The table of options is complete, and no command uses one that is not there."""
    text = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    quoted = [quote for quote in re.findall(r"`([^`]*)`", text) if not quote.startswith(FOREIGN)]
    used = [" ".join(words) for words in commands() if words[0] not in FOREIGN]
    named = set(re.findall(r"--([a-z][a-z-]*)", "\n".join([*quoted, *used])))
    assert named - {"help"} == OPTIONS


@needs_readme
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_options_stand_in_the_table_with_their_short_forms(name):
    """A row for each, with its placeholder; short forms are those that plac reads."""
    annotation = inspect.get_annotations(plotsrv.main, eval_str=True)[name.replace("-", "_")]
    [row] = re.findall(rf"^\| (.*`--{name}\b.*?) \|", README, re.MULTILINE)
    placeholder = f" {annotation[5]}" if annotation[1] == "option" else ""
    assert f"`--{name}{placeholder}`" in row
    assert set(re.findall(r"`-(\w)`", row)) <= {annotation[2]}


@needs_readme
def test_what_its_links_lead_to_exists():
    """Files that the README links to, or shows, are in the repository."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_nothing_tells_anybody_to_install_plotsrv_from_pypi():
    """There, the name belongs to another project."""
    texts = [README, SOURCE, MAKEFILE, (ROOT / "pyproject.toml").read_text(encoding="utf-8")]
    assert not any(re.search(r"pip install[^\n`]*\bplotsrv\b(?!-onefile)", text) for text in texts)


def first_plot():
    """The README's code that defines plot_mine."""
    return next((code for code in blocks("python") if "def plot_mine" in code), "")


@needs_readme
def test_the_first_plot_is_served_with_a_field_for_freq(tmp_path):
    """What the README calls the first plot is found, described, and drawn in a render process."""
    (tmp_path / "mine.py").write_text(first_plot(), encoding="utf-8")
    source = plotsrv.Source(str(tmp_path / "mine.py"), str(tmp_path), "plots_of_the_readme", "mine")
    renderer = plotsrv.Renderer(workers=1)
    try:
        [plot] = renderer.describe(source, version=0).result().plots
        drawing = renderer.submit(0, plotsrv.Job("draw", plot, {"freq": ("2.5",)})).future.result()
    finally:
        renderer.close()
    assert (plot.path, plot.summary) == ("mine/mine", "A parabola that follows its frequency")
    assert [(field.name, field.texts) for field in plot.fields] == [("freq", ("1.0",))]
    assert drawing.status == 200 and drawing.image.startswith(b"\x89PNG"), drawing


@needs_readme
def test_the_plot_of_a_large_log_draws_one_and_sees_it_grow(tmp_path):
    """What the README shows for large logs runs as it stands: read_csv is found, and its file is an input."""
    code = next(code for code in blocks("python") if "read_csv" in code)
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    log = tmp_path / "log.csv"
    log.write_text("iteration,loss\n" + "".join(f"{n},{1 / (n + 1)}\n" for n in range(200_000)), encoding="utf-8")
    source = plotsrv.Source(str(tmp_path / "mine.py"), str(tmp_path), "plots_of_the_readme", "mine")
    renderer = plotsrv.Renderer(workers=1)
    try:
        [plot] = renderer.describe(source, version=0).result().plots
        job = plotsrv.Job("draw", plot, {"file_path": (str(log),)})
        drawing = renderer.submit(0, job).future.result()
        with log.open("a", encoding="utf-8") as file:
            file.write("200000,0.1\n")
        longer = renderer.submit(1, job).future.result()
    finally:
        renderer.close()
    assert drawing.status == longer.status == 200 and [each.path for each in drawing.inputs] == [str(log)]
    assert "200,000 points" in drawing.notes[0] and "200,001 points" in longer.notes[0]


@needs_readme
def test_the_plot_of_any_log_draws_one(tmp_path):
    """What the README shows for read_log runs as it stands: the metrics are lines over the x that was found."""
    code = next(code for code in blocks("python") if "read_log" in code)
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    log = tmp_path / "console.txt"
    log.write_text("".join(f"step {n}: loss {1 / n:.3f}, acc {n / 9:.2f}\n" for n in range(1, 9)), encoding="utf-8")
    source = plotsrv.Source(str(tmp_path / "mine.py"), str(tmp_path), "plots_of_the_readme", "mine")
    renderer = plotsrv.Renderer(workers=1)
    try:
        [plot] = renderer.describe(source, version=0).result().plots
        job = plotsrv.Job("draw", plot, {"file_path": (str(log),)}, "json")
        drawing = renderer.submit(0, job).future.result()
    finally:
        renderer.close()
    [axes] = json.loads(drawing.image)["axes"]
    assert [(line["label"], line["x"][-1]) for line in axes["lines"]] == [("loss", 8), ("acc", 8)]


@needs_readme
def test_the_urls_and_the_lens_of_the_readme_are_those_there_are():
    """Each plot with the parameters that are shown, and each field of the lens."""
    for name, query in re.findall(r"`/training/(\w+)(?:\?([^`]*))?`", README):
        known = inspect.signature(getattr(training, f"plot_{name}")).parameters
        assert {pair.partition("=")[0] for pair in query.split("&") if pair} <= set(known)
    lens = README.partition("## A lens")[2].partition("## Your first plot")[0]
    assert set(re.findall(r"`(\w+)=[^`]*`", lens)) | {"height", "dpi"} == set(plotsrv.LENS)


@needs_readme
def test_the_first_plot_is_the_same_wherever_it_is_shown():
    """README, docstring and the empty gallery teach one and the same plot."""
    body = first_plot().strip()
    docstring = inspect.cleandoc(plotsrv.__doc__)
    assert body in plotsrv.EXAMPLE
    assert body in re.sub(r"^    ", "", docstring, flags=re.MULTILINE)


# -- plotsrv.py


def test_the_server_needs_the_standard_library_alone():
    """Whatever is imported when plotsrv.py is loaded comes with Python."""
    names = {name.partition(".")[0] for node in top_level(TREE) for name in imported(node)}
    assert names - {"plotsrv"} <= sys.stdlib_module_names


def test_plac_is_imported_for_the_command_line_only():
    """One function needs it, and says what to install where it is missing."""
    importers = {
        function.name
        for function in functions(TREE)
        for node in ast.walk(function)
        for name in imported(node)
        if name.startswith("plac")
    }
    assert importers == {"command_line"}


def test_matplotlib_and_pandas_are_imported_in_functions_only():
    """The server process never gets to these lines."""
    inside = {id(node) for function in functions(TREE) for node in ast.walk(function)}
    outside = [name for node in ast.walk(TREE) if id(node) not in inside for name in imported(node)]
    assert not [name for name in outside if name.startswith(("matplotlib", "pandas", "numpy", "plac"))]


def announced():
    """Number and name of each section, as the module's docstring lists them."""
    return re.findall(r"^ +(\d+) ([A-Z][a-z]+(?: [a-z]+)?)\s", plotsrv.__doc__, re.MULTILINE)


def test_the_sections_stand_in_the_order_that_the_docstring_tells():
    """The table of contents is true."""
    banners = re.findall(r"^# -{20,}\n# (\d+) ([^:\n]+):", SOURCE, re.MULTILINE)
    assert banners == announced() and len(banners) > 5


WORDS_OF_ALL = {"HTTPError", "Request", "Response", "QueueFull", "PlotRequestHandler"}  # told by those below, too


def section_of(line):
    """The number of the section that a line stands in; 0 for the headline."""
    return len(re.findall(r"^# -{20,}\n# \d+ ", "\n".join(SOURCE.splitlines()[:line]), re.MULTILINE))


def names_used(node):
    """All names that the code of a definition uses, but for its annotations and what it defines itself."""
    own = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    own |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
    notes = [getattr(each, kind, None) for each in ast.walk(node) for kind in ("annotation", "returns")]
    noted = {id(name) for note in notes if note for name in ast.walk(note)}
    return {
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and id(each) not in noted and each.id not in own
    }


def test_a_section_calls_only_sections_below_it():
    """Doors and command line, first and last page, hold everything together; messages are everybody's words."""
    defined = [node for node in TREE.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    home = {node.name: section_of(node.lineno) for node in defined}
    last = section_of(len(SOURCE.splitlines()))
    upward = [
        (node.name, name)
        for node in defined
        if home[node.name] != last
        for name in names_used(node) - WORDS_OF_ALL
        if 0 < home.get(name, last) < home[node.name]
    ]
    assert upward == [] and last == len(announced())


@pytest.mark.parametrize("section", [name for _, name in announced()])
def test_each_section_has_its_test_file(section):
    """Whoever changes a section knows which file to open."""
    assert (ROOT / "tests" / f"test_{section.lower().replace(' ', '_')}.py").exists()


def test_no_function_is_longer_than_50_lines():
    """One idea each; the docstring counts."""
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions(TREE)}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_public_names_are_there_and_documented():
    """`from plotsrv import *` gives exactly what __all__ lists, each with a docstring."""
    namespace = {}
    exec("from plotsrv import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(plotsrv.__all__)
    assert len(set(plotsrv.__all__)) == len(plotsrv.__all__)
    assert [name for name in plotsrv.__all__ if not inspect.getdoc(namespace[name])] == []


@needs_readme
def test_the_readme_uses_only_public_names():
    """Code copied from the README goes on working."""
    used = {name for code in blocks("python") for name in re.findall(r"\bplotsrv\.(\w+)", code)}
    assert used <= set(plotsrv.__all__)
