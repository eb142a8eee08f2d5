"""Pages: values in, HTML out; every value is escaped."""

import dataclasses
import datetime
import inspect
import itertools
import re
import stat
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Literal

import pytest

import plotsrv
from plotsrv import Asked, Broken, Drawing, Field, Html, Plot, Showing, Source, Stamp, h

MARKER = """"'><svg onload=x>{{7*7}}"""
VOID = ("meta", "link", "input", "img", "br")
ROOT = "../../"
LENS = {"smooth": 0, "logx": None, "logy": None, "xlim": "", "ylim": "", "last": "", "theme": ""}
SETTINGS = {"refresh_every": 60.0, **LENS, "width": None, "height": None, "dpi": None, "thin": True}
LIVE = SETTINGS | {"refresh_every": plotsrv.LIVE}
STAMP = Stamp(changed_ns=1_700_000_000 * 10**9, size=3_400, status_ns=0, inode=1, device=1, mode=stat.S_IFREG)
PICTURE = Drawing(b"picture", seconds=1.5, drawn_at=1_700_000_000.0, output="epoch 1")
FAILED = Drawing(status=500, error="ValueError: no data", traceback='File "mine.py", line 3')


class Page(HTMLParser):
    """A page taken apart: elements as (tag, attributes, text), texts, and what is wrong with its nesting."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self.texts: list[str] = []
        self.open: list[tuple[str, dict, list[str]]] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()
        self.wrong += [f"{tag} left open" for tag, _, _ in self.open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        self.wrong += [f"{name} twice" for name in names if names.count(name) > 1]
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        self.texts.append(data)
        for _, _, texts in self.open:
            texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str, **attributes: str | None) -> list[tuple[str, dict, str]]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = [each for each in self.elements if each[0] == tag and wanted.items() <= each[1].items()]
        return [(name, attrs, "".join(texts)) for name, attrs, texts in found]

    def by_id(self, id: str) -> tuple[str, dict, str]:
        (found,) = [(tag, attrs, "".join(texts)) for tag, attrs, texts in self.elements if attrs.get("id") == id]
        return found

    def values(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs, _ in self.elements if name in attrs]


def plot_of(signature=lambda: None, **values) -> Plot:
    source = Source("/plots/mine.py", "/plots", "plots_1", "mine")
    fields = tuple(entry.field for entry in plotsrv.form_of(signature))
    given = dict(function="plot_one", fields=fields, summary="It shows one.", described=True)
    return Plot(source, **{**given, **values})


def asked_of(signature=lambda: None, typed=(), errors=(), page=(), notes=(), **values) -> Asked:
    typed = {name: texts if isinstance(texts, tuple) else (texts,) for name, texts in dict(typed).items()}
    plot = plot_of(signature, **values)
    return Asked(plot, typed, typed, {**SETTINGS, **dict(page)}, notes=tuple(notes), errors=dict(errors))


def form(signature=lambda: None, typed=(), errors=(), choices=(), show_errors=True, **values) -> Page:
    asked = asked_of(signature, typed, errors, **values)
    return Page(plotsrv.form_page(asked, dict(choices), ROOT, show_errors=show_errors))


def showing(drawing=PICTURE, good=None, **values) -> Showing:
    """What a page shows of a drawing, or of the last good one."""
    fine = drawing is not None and drawing.status == 200
    return Showing(drawing, drawing if fine else good, **values)


def shown(drawing=PICTURE, good=None, started=None, told=(), **values) -> Page:
    return Page(plotsrv.plot_page(asked_of(**values), showing(drawing, good, started=started, **dict(told)), ROOT))


@dataclasses.dataclass
class Size:
    width_cm: float = 3.0
    unit: Literal["cm", "in"] = "cm"
    token: str = "hunter2"


def many(
    needed: int,
    flag: bool = True,
    maybe: bool | None = None,
    number: int = 5,
    bounded: Annotated[int, range(5)] = 2,
    suggested: Annotated[int, range(50)] = 2,
    ratio: float = 0.5,
    word: str = "a",
    text: str = "a\nb",
    letter: Literal["a", "b"] = "a",
    letters: Literal["a", "b", "c", "d", "e"] = "a",
    some: list[Literal["a", "b"]] = ("a",),
    file: Path | None = None,
    files: list[Path] = (),
    day: datetime.date = datetime.date(2024, 1, 2),
    hour: datetime.time = datetime.time(1, 2, 3),
    moment: datetime.datetime = datetime.datetime(2024, 1, 2, 3, 4),
    color: str = "#ff0000",
    pair: tuple[int, str] = (1, "a"),
    size: Size = Size(),  # noqa: B008
):
    """Many

    Args:
        number: How many. Counted twice.
    """


FILES = {
    "file": [("a.csv", "a.csv, 3 kB"), ("b.csv", "b.csv, 4 kB")],
    "files": [(f"{n}.csv", f"{n}.csv") for n in range(9)],
}


# -- h: one element


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (h("a", "5 < 6", href="x"), '<a href="x">5 &lt; 6</a>'),
        (h("p", "a", ["b", None, h("b", "&")], iter("cd"), 5), "<p>ab<b>&amp;</b>cd5</p>"),
        (h("label", "x", for_="a", class_="b"), '<label for="a" class="b">x</label>'),
        (h("div", aria_invalid="true"), '<div aria-invalid="true"></div>'),
        (h("input", checked=True, required=False, list=None, value=""), '<input checked value="">'),
        (h("input", value=0), '<input value="0">'),
        (h("img", alt="\"'<>&"), '<img alt="&quot;&#x27;&lt;&gt;&amp;">'),
        (h("br"), "<br>"),
        (h("div", Html("<b>bold</b>")), "<div><b>bold</b></div>"),
    ],
    ids=str,
)
def test_an_element_is_written_from_values(made, expected):
    """Text and attributes are escaped, lists joined, None left out, Html taken as it is."""
    assert made == expected
    assert isinstance(made, Html)


def test_only_html_is_taken_as_html():
    """A str that looks like HTML is text."""
    assert h("p", "<b>") == "<p>&lt;b&gt;</p>"
    assert h("p", Html("<b>") + "<i>") == "<p>&lt;b&gt;&lt;i&gt;</p>"  # adding gives a plain str again


# -- escaping, in every position


def hostile_field(control: str) -> Field:
    """A field of which every text is the marker."""
    return Field(
        name=control,
        label=MARKER,
        control=control,
        texts=(MARKER,),
        choices=((MARKER, MARKER), (MARKER + "2", MARKER)),
        attributes={"placeholder": MARKER, "min": MARKER},
        allowed=MARKER,
        help=MARKER,
        details=MARKER,
        note=MARKER,
        required=True,
    )


CONTROLS = [
    "text",
    "number",
    "textarea",
    "select",
    "select-multiple",
    "radios",
    "checkboxes",
    "checkbox",
    "date",
    "color",
]
HOSTILE = tuple(map(hostile_field, CONTROLS))
GROUP = dataclasses.replace(
    hostile_field("group"), name="group", parts=(dataclasses.replace(HOSTILE[0], name="group.0"),)
)
HOSTILE_PLOT = dict(function="plot_" + MARKER, summary=MARKER, description=MARKER, fields=(*HOSTILE, GROUP))
HOSTILE_SOURCE = Source(MARKER, MARKER, MARKER, MARKER)
HOSTILE_TYPED = {field.name: (MARKER, MARKER + "3") for field in HOSTILE}
HOSTILE_ERRORS = {field.name: MARKER for field in HOSTILE} | {MARKER: MARKER}
HOSTILE_DRAWING = Drawing(
    status=500, error=MARKER, traceback=MARKER, output=MARKER, content_type=MARKER, headline=MARKER, notes=(MARKER,)
)
HOSTILE_PICTURE = dataclasses.replace(HOSTILE_DRAWING, status=200, image=b"x")
HOSTILE_TOLD = dict(silence=MARKER, inputs=((MARKER, None), (MARKER, STAMP)), unlive=MARKER)


def hostile_asked() -> Asked:
    plot = dataclasses.replace(plot_of(), source=HOSTILE_SOURCE, **HOSTILE_PLOT)
    return Asked(plot, HOSTILE_TYPED, HOSTILE_TYPED, SETTINGS, (MARKER,), MARKER, (MARKER,), HOSTILE_ERRORS)


def hostile_gallery(title="Gallery", importing=()):
    plots = [hostile_asked().plot]
    return plotsrv.gallery_page(plots, [Broken(MARKER, MARKER, MARKER)], importing, ROOT, title)


HOSTILE_PAGES = {
    "gallery": lambda: hostile_gallery(MARKER),
    "gallery while importing": lambda: hostile_gallery(importing=[MARKER]),
    "form": lambda: plotsrv.form_page(hostile_asked(), {"files": [(MARKER, MARKER)]}, ROOT, show_errors=True),
    "form of files": lambda: plotsrv.form_page(
        hostile_asked(), {control: [(MARKER, MARKER)] for control in CONTROLS}, ROOT, show_errors=False
    ),
    "plot": lambda: plotsrv.plot_page(hostile_asked(), showing(HOSTILE_PICTURE, **HOSTILE_TOLD), ROOT),
    "live plot": lambda: plotsrv.plot_page(
        dataclasses.replace(hostile_asked(), page=LIVE),
        showing(dataclasses.replace(HOSTILE_PICTURE, content_type="image/png")),
        ROOT,
    ),
    "failed plot": lambda: plotsrv.plot_page(hostile_asked(), showing(HOSTILE_DRAWING, PICTURE, **HOSTILE_TOLD), ROOT),
    "slow plot": lambda: plotsrv.plot_page(hostile_asked(), showing(None, HOSTILE_DRAWING, started=0.0), ROOT),
    "error": lambda: plotsrv.error_page(404, MARKER, ROOT),
}


@pytest.mark.parametrize("page", HOSTILE_PAGES.values(), ids=HOSTILE_PAGES)
def test_every_value_is_escaped(page):
    """Whatever a value holds, it is text or the value of an attribute, whole and as it was."""
    parsed = Page(page())
    assert parsed.wrong == []
    assert not {tag for tag, _, _ in parsed.elements} & {"svg", "script", "iframe", "object"}
    assert not [name for _, attrs, _ in parsed.elements for name in attrs if name.startswith("on")]
    assert MARKER in parsed.text
    assert "49" not in parsed.text


def test_every_text_of_a_field_is_shown():
    """Escaping loses nothing: label, choices, range, help, note, error and typed text are there."""
    parsed = Page(HOSTILE_PAGES["form"]())
    for control in CONTROLS:
        if control not in ("radios", "checkboxes", "checkbox"):
            _, attrs, text = parsed.by_id(control)
            assert MARKER in (attrs.get("value", ""), text.strip("\n")) or parsed.all(
                "option", value=MARKER, selected=None
            )
        assert MARKER in parsed.by_id(control + "-error")[2]
        assert parsed.by_id(control + "-hint")[2].count(MARKER) >= 3


def test_the_error_picture_is_an_svg_of_the_message():
    """The message is text of it, and nothing else."""
    picture = ElementTree.fromstring(plotsrv.error_picture(MARKER))
    texts = " ".join("".join(each.itertext()) for each in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert texts.split() == MARKER.split()
    assert {each.tag.partition("}")[2] for each in picture.iter()} == {"svg", "rect", "g", "text"}
    assert not [name for each in picture.iter() for name in each.attrib if name.startswith("on")]


@pytest.mark.parametrize("message", ["\x1b[31mred\x1b[0m \x00 \ufffe", "\udc80.csv is missing", "", "a\nb", "ä € 𝄞"])
def test_the_error_picture_is_well_formed_whatever_the_message(message):
    """Terminal colours and broken file names do not make it unreadable."""
    ElementTree.fromstring(plotsrv.error_picture(message))


@pytest.mark.parametrize("message", ["word " * 1000, "/a/long/path" * 50], ids=["many words", "a long word"])
def test_the_error_picture_shows_a_long_message_in_lines(message):
    """The text is broken into lines that fit, and begins with the message."""
    lines = [each.text.strip() for each in ElementTree.fromstring(plotsrv.error_picture(message)).iter() if each.text]
    assert 1 < len(lines) <= 16
    assert max(map(len, lines)) <= 72
    assert message.startswith(lines[0])


@pytest.mark.parametrize(
    "page",
    [
        lambda bad: plotsrv.error_page(404, bad, ROOT),
        lambda bad: plotsrv.gallery_page([], [Broken(bad, bad, bad)], [], ROOT),
        lambda bad: plotsrv.form_page(asked_of(many), {"file": [(bad, bad)]}, ROOT, show_errors=False),
    ],
    ids=["error", "gallery", "form"],
)
def test_a_file_name_that_is_no_unicode_does_not_cost_the_page(page):
    """What cannot be written as UTF-8 is replaced."""
    assert plotsrv.Response.html(page("\udc80.csv")).body.decode()


# -- every page

READ = dict(silence="no change for over 8 min", inputs=tuple((f"runs/{n}.csv", STAMP) for n in range(9)))
PAGES = {
    "empty gallery": lambda root: plotsrv.gallery_page([], [], [], root),
    "gallery": lambda root: plotsrv.gallery_page(
        [plot_of(many), plot_of()], [Broken("a.py", "Error", "trace")], [], root
    ),
    "form": lambda root: plotsrv.form_page(asked_of(many), FILES, root, show_errors=True),
    "form with errors": lambda root: plotsrv.form_page(
        asked_of(many, {"number": "ten"}, {"number": "no", "size.unit": "no"}), FILES, root, show_errors=True
    ),
    "plot": lambda root: plotsrv.plot_page(asked_of(many, {"word": "a b&c"}), showing(**READ), root),
    "live plot": lambda root: plotsrv.plot_page(asked_of(many, {"word": "a b&c"}, page=LIVE), showing(), root),
    "failed plot": lambda root: plotsrv.plot_page(asked_of(many), showing(FAILED, PICTURE), root),
    "slow plot": lambda root: plotsrv.plot_page(asked_of(many), showing(None, PICTURE, started=time.time()), root),
    "error": lambda root: plotsrv.error_page(404, "There is no such plot.", root),
}
every_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


@every_page
def test_a_page_is_well_formed(page):
    """Doctype, language, a title, one main heading at most, unique ids, elements closed in order."""
    text = page(ROOT)
    parsed = Page(text)
    ids = parsed.values("id")
    assert text.startswith("<!DOCTYPE html>")
    assert parsed.wrong == []
    assert parsed.all("html")[0][1] == {"lang": "en"}
    assert parsed.all("title")[0][2].strip()
    assert len(parsed.all("h1")) == 1
    assert len(ids) == len(set(ids))


@every_page
def test_no_page_has_a_script(page):
    """Nor an event handler, nor a javascript: link."""
    parsed = Page(page(ROOT))
    assert not parsed.all("script")
    assert not [name for _, attrs, _ in parsed.elements for name in attrs if name.startswith("on")]
    assert "javascript:" not in page(ROOT).lower()


@every_page
@pytest.mark.parametrize("root", ["./", "../", "../../"])
def test_all_links_are_relative(page, root):
    """Any proxy may put plotsrv below any path."""
    parsed = Page(page(root))
    links = [parsed.values(name) for name in ("href", "action", "src")]
    for link in itertools.chain(*links):
        assert link.startswith((root, "#", "data:")), link


@every_page
def test_references_within_a_page_lead_somewhere(page):
    """label for, aria-describedby, list and #links name an element of the page."""
    parsed = Page(page(ROOT))
    ids = set(parsed.values("id"))
    named = [*parsed.values("for"), *parsed.values("aria-describedby"), *parsed.values("list")]
    named += [link[1:] for link in parsed.values("href") if link.startswith("#")]
    assert set(named) <= ids


@every_page
def test_a_page_fits_a_phone(page):
    """The viewport is the device's width."""
    assert "width=device-width" in Page(page(ROOT)).all("meta", name="viewport")[0][1]["content"]


# -- the colours


def colors() -> dict[str, dict[str, str]]:
    """The style's colours by name, light and dark."""
    light, dark = re.findall(r":root\s*\{(.*?)\}", plotsrv.STYLE, re.DOTALL)[:2]
    found = dict(light=light, dark=dark)
    return {theme: dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6})", text)) for theme, text in found.items()}


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


PAIRS = [
    ("ink", "paper"),
    ("ink", "card"),
    ("ink", "bad-paper"),
    ("ink", "note-paper"),
    ("soft", "paper"),
    ("soft", "card"),
    ("link", "paper"),
    ("link", "card"),
    ("link", "bad-paper"),
    ("bad", "paper"),
    ("paper", "link"),  # the button
]


def test_contrast_is_computed_as_wcag_does():
    """Black on white is 21, and a colour on itself 1."""
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777") == 1
    assert contrast("#777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "paper"), PAIRS, ids=" on ".join)
def test_text_stands_out_in_light_and_dark(theme, text, paper):
    """Every text has a contrast of at least 4.5 to what is behind it."""
    palette = colors()[theme]
    assert contrast(palette[text], palette[paper]) >= 4.5


def test_both_themes_name_the_same_colours():
    """No colour of the light theme is left in the dark one."""
    light, dark = colors().values()
    assert light.keys() == dark.keys()


def test_the_error_picture_can_be_read():
    """Its text too has a contrast of at least 4.5."""
    fills = re.findall(rb'fill="(#[0-9a-f]{6})"', plotsrv.error_picture("no"))
    assert contrast(*(fill.decode() for fill in fills)) >= 4.5


# -- the gallery


def gallery(*plots, broken=(), importing=()) -> Page:
    return Page(plotsrv.gallery_page(plots, broken, importing, "./"))


def in_module(module: str, name: str) -> Plot:
    return dataclasses.replace(plot_of(), source=Source("f", "d", "p", module), function=name)


def test_the_gallery_groups_plots_by_module():
    """Each module is a heading, in order of the alphabet."""
    page = gallery(in_module("b", "plot_x"), in_module("a", "plot_y"), in_module("b", "plot_z"))
    assert [text for _, _, text in page.all("h2")] == ["a", "b"]
    assert [text for _, _, text in page.all("li")] == ["y It shows one.", "x It shows one.", "z It shows one."]


def test_a_plot_in_the_gallery_has_title_summary_and_links():
    """The title leads to its page, a second link to its form."""
    page = gallery(dataclasses.replace(plot_of(many), function="plot_loss_curve"))
    assert page.all("a", href="./mine/loss_curve")[0][2] == "loss curve"
    assert page.all("a", href="./mine/loss_curve/form", aria_label="form of loss curve")
    assert "It shows one." in page.text


def test_a_plot_without_parameters_has_no_form_in_the_gallery():
    """There is nothing to ask."""
    assert not gallery(plot_of()).all("a", href="./mine/one/form")


def test_an_address_is_quoted():
    """A module's name may have blanks or a question mark."""
    assert gallery(in_module("my plots?", "plot_x")).all("a", href="./my%20plots%3F/x")


def test_a_broken_file_is_a_card_with_its_error():
    """Error and traceback are shown, before the plots."""
    page = gallery(plot_of(), broken=[Broken("sub/bad.py", "SyntaxError: no (bad.py, line 3)", "Traceback …")])
    ((_, _, card),) = page.all("div", role="alert")
    assert "sub/bad.py" in card and "line 3" in card and "Traceback …" in card
    assert page.text.index("bad.py") < page.text.index("It shows one.")


def test_a_gallery_that_still_imports_refreshes_itself():
    """Which files are awaited is told, and the page comes again in a second."""
    page = gallery(plot_of(), importing=["slow.py"])
    assert "slow.py" in page.text
    assert page.all("meta", http_equiv="refresh")[0][1]["content"] == "1"
    assert not gallery(plot_of()).all("meta", http_equiv="refresh")


def test_an_empty_gallery_tells_how_to_write_the_first_plot():
    """The example is a plot that works."""
    page = gallery()
    assert "plots/mine.py" in page.text
    assert any("def plot_mine(freq: float = 1.0):" in text for _, _, text in page.all("pre"))
    assert "Your first plot" not in gallery(plot_of()).text
    compile(plotsrv.EXAMPLE, "mine.py", "exec")


# -- the form


def test_every_control_has_a_label():
    """A label of its own, or one around it within a fieldset with a legend."""
    text = plotsrv.form_page(asked_of(many), FILES, ROOT, show_errors=True)
    page = Page(text)
    labelled = set(page.values("for"))
    for tag, attrs, _ in page.elements:
        if tag in ("input", "select", "textarea") and attrs.get("type") != "hidden":
            wrapped = re.search(rf'<label[^>]*><input type="(radio|checkbox)" name="{attrs["name"]}"', text)
            assert attrs.get("id") in labelled or wrapped, attrs
    assert len(page.all("fieldset")) == len(page.all("legend")) >= 4


def test_every_field_is_asked_for_and_shows_its_default():
    """All parameters and the page's own settings have a control."""
    page = form(many, choices=FILES)
    names = {name for name in page.values("name") if name != "viewport"}
    own = set(inspect.signature(many).parameters) - {"pair", "size"}
    assert names == own | {"pair.0", "pair.1", "size.width_cm", "size.unit", *SETTINGS}
    assert page.by_id("number")[1]["value"] == "5"
    assert page.by_id("text")[2] == "\na\nb"
    assert [attrs["value"] for _, attrs, _ in page.all("option", selected=None)] == ["", "2", "a", "60", "", ""]
    assert [attrs["value"] for _, attrs, _ in page.all("input", name="letter", checked=None)] == ["a"]


def test_a_secret_is_in_no_form():
    """Neither its field nor its value, within a group either."""
    page = plotsrv.form_page(asked_of(many), FILES, ROOT, show_errors=True)
    assert "token" not in page and "hunter2" not in page


def test_a_form_is_sent_with_get_to_the_page_of_the_plot():
    """Every state is a URL; Reset is the bare one."""
    page = form(many)
    assert page.all("form", method="get", action="../../mine/one")
    assert page.all("a", href="../../mine/one/form")[0][2] == "Reset"


def test_a_form_never_refreshes_itself():
    """What is being typed would be lost."""
    assert not form(many, {"number": "ten"}, {"number": "no"}).all("meta", http_equiv="refresh")


def test_an_error_stands_beside_its_field():
    """The control is marked invalid and described by the message; the summary leads to it."""
    page = form(many, {"number": "ten"}, {"number": "'ten' is not a whole number"})
    _, box, _ = page.by_id("number")
    assert (box["aria-invalid"], box["aria-describedby"]) == ("true", "number-error")
    assert page.by_id("number-error")[2] == "number: 'ten' is not a whole number"
    ((_, _, summary),) = page.all("div", role="alert")
    assert "number: 'ten' is not a whole number" in summary
    assert page.all("a", href="#number")


def test_an_error_within_a_group_stands_beside_its_part():
    """Which number of the pair is wrong is seen."""
    page = form(many, {"pair.0": "no"}, {"pair.0": "'no' is not a whole number"})
    assert page.by_id("pair.0")[1]["aria-invalid"] == "true"
    assert "aria-invalid" not in page.by_id("pair.1")[1]


def test_without_errors_nothing_is_invalid():
    """A form that was not filled in yet is not wrong."""
    assert form(many).values("aria-invalid") == []
    assert form(many, {"number": "ten"}, {"number": "no"}, show_errors=False).values("aria-invalid") == []


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("needed", "ten"),
        ("needed", "1_000"),
        ("number", "1e6"),
        ("suggested", "many"),
        ("ratio", "0.5.5"),
        ("word", " a "),
        ("file", "/etc/passwd"),
        ("day", "tomorrow"),
        ("day", "-2d"),
        ("hour", "noon"),
        ("moment", "now"),
        ("color", "reddish"),
        ("color", "#FF0000"),
        ("pair.0", "one"),
        ("size.width_cm", "wide"),
    ],
)
def test_what_was_typed_stays_in_its_field(name, typed):
    """A number field cannot show a word: it becomes a text field, so that nothing typed is lost."""
    _, box, _ = form(many, {name: typed}, {name: "no"}, FILES).by_id(name)
    assert (box["type"], box["value"]) == ("text", typed)


@pytest.mark.parametrize(
    ("name", "typed", "control"),
    [
        ("number", "-7", "number"),
        ("day", "2024-01-02", "date"),
        ("hour", "01:02", "time"),
        ("hour", "01:02:03", "time"),
        ("moment", "2024-01-02T03:04:05", "datetime-local"),
        ("color", "#00ff00", "color"),
        ("number", "", "number"),
    ],
)
def test_a_field_keeps_its_own_control_for_what_that_can_show(name, typed, control):
    """A date is still picked from the calendar."""
    _, box, _ = form(many, {name: typed}).by_id(name)
    assert (box["type"], box["value"]) == (control, typed)


@pytest.mark.parametrize("name", ["letters", "maybe", "bounded"])
def test_an_unknown_choice_stays_selected(name):
    """What was asked for and does not exist is shown as asked."""
    page = form(many, {name: "zz"}, {name: "'zz' is not one of them"})
    assert [attrs["value"] for _, attrs, _ in page.all("option", selected=None)].count("zz") == 1


@pytest.mark.parametrize("name", ["letter", "some"])
def test_an_unknown_box_stays_checked(name):
    """The same for radio buttons and check boxes."""
    page = form(many, {name: "zz"}, {name: "'zz' is not one of them"})
    assert [attrs["value"] for _, attrs, _ in page.all("input", name=name, checked=None)] == ["zz"]


def test_a_textarea_keeps_a_leading_newline():
    """HTML drops the first newline of a textarea, so there is one more."""
    assert form(many, {"text": "\na\n"}).by_id("text")[2] == "\n\na\n"


@pytest.mark.parametrize(
    ("typed", "checked"), [((), True), (("0",), False), (("0", "1"), True), (("1",), True), (("off",), False)]
)
def test_a_check_box_is_a_hidden_0_and_a_1(typed, checked):
    """So that an unchecked box is sent too; of both, the last counts."""
    page = form(many, {"flag": typed} if typed else {})
    assert [attrs["value"] for _, attrs, _ in page.all("input", name="flag")] == ["0", "1"]
    assert ("checked" in page.by_id("flag")[1]) is checked


def test_none_of_several_boxes_can_be_said():
    """A hidden empty value goes with check boxes and lists of several."""
    page = form(many, choices=FILES)
    assert page.all("input", type="hidden", name="some", value="")
    assert page.all("input", type="hidden", name="files", value="")


def test_many_check_boxes_become_a_list():
    """More than eight are a list to select several from."""
    page = form(many, choices=FILES)
    tag, attrs, _ = page.by_id("files")
    assert (tag, attrs["multiple"], attrs["size"]) == ("select", None, "9")


def test_files_are_offered_with_size_and_age():
    """Typed freely, or chosen from those found."""
    page = form(many, choices=FILES)
    assert page.by_id("file")[1]["list"] == "file-list"
    assert page.all("option", value="a.csv", label="a.csv, 3 kB") or page.by_id("file-list")


def test_a_changed_field_is_marked_and_tells_its_default():
    """What differs from the default is seen at a glance."""
    page = form(many, {"number": "7", "word": "a"})
    assert "default: 5" in page.by_id("number-hint")[2]
    assert "default" not in page.by_id("word-hint")[2]
    assert len(page.all("div", class_="field changed")) == 1


def test_a_long_default_is_cut_and_told_in_full_by_its_title():
    """60 characters are enough beside a field."""
    page = form(lambda x="z" * 100: None, {"x": "a"})
    ((_, _, text),) = page.all("span", title="z" * 100)
    assert len(text) < 80 and "…" in text


def test_required_fields_say_so():
    """In words, and to the browser."""
    page = form(many)
    assert "required" in page.by_id("needed")[1]
    assert "required" in page.by_id("needed-hint")[2]
    assert "required" not in page.by_id("number")[1]


def test_help_stands_beside_the_field():
    """Its first sentence, with the rest to unfold."""
    page = form(many)
    assert "How many." in page.by_id("number-hint")[2]
    assert any("Counted twice." in text for _, _, text in page.all("details"))


def test_notes_are_shown():
    """What nobody knows of the query is told on the page."""
    page = form(many, notes=["Nothing here is called nmber. Did you mean number?"])
    assert "Did you mean number?" in page.text


def test_the_form_asks_how_often_to_refresh():
    """live is offered first, a minute is the default; what the picture shall be like is folded away."""
    page = form()
    options = {attrs["value"]: text for _, attrs, text in reversed(page.all("option"))}
    assert page.all("option")[0][1]["value"] == "live"
    assert options["0"] == "never" and options["60"] == "every minute"
    assert [attrs["value"] for _, attrs, _ in page.all("option", selected=None)] == ["60", "", ""]
    assert [text for _, _, text in page.all("summary")] == ["The picture"]


def test_the_form_keeps_live_selected():
    """What the page was asked for stands in its form."""
    page = form(typed={"refresh_every": "live"})
    assert [attrs["value"] for _, attrs, _ in page.all("option", selected=None)] == ["live", "", ""]


def test_the_form_asks_whether_lines_shall_be_thinned():
    """They are, unless the box is cleared."""
    assert "checked" in form().by_id("thin")[1]
    page = form(typed={"thin": "0"})
    assert "checked" not in page.by_id("thin")[1]
    assert page.all("details", open=None)


def test_a_plots_own_parameter_replaces_the_pages():
    """width is the plot's where it has one."""
    page = form(lambda width=3: None)
    assert len(page.all("input", name="width")) == 1
    assert page.by_id("width")[1]["value"] == "3"


def test_a_plot_may_have_all_the_pages_parameters():
    """Then the page asks for none of its own."""
    page = form(plotsrv.page)
    assert page.wrong == [] and not page.all("details")


# -- the page of a plot


def test_the_picture_is_inline_with_its_alternative_text():
    """A refresh never blanks it, and a screen reader says what it is."""
    ((_, picture, _),) = shown().all("img")
    assert picture["src"] == "data:image/png;base64,cGljdHVyZQ=="
    assert picture["alt"] == "one: It shows one."


def test_the_page_tells_when_it_was_drawn_and_how_long_it_took():
    """The time is absolute, with its offset from UTC, so that an unchanged page stays the same."""
    text = shown().text
    assert re.search(r"Drawn 2023-11-1\d \d\d:\d\d:\d\d [+-]\d{4} in 1\.50 s", text)
    assert text == shown().text


def test_the_page_shows_what_the_plot_printed():
    """And nothing where it printed nothing."""
    assert ("epoch 1") in [text for _, _, text in shown().all("pre")]
    assert "printed" not in shown(dataclasses.replace(PICTURE, output="")).text


@pytest.mark.parametrize(("seconds", "content"), [(60.0, ["60"]), (5.0, ["5"]), (0.5, ["0.5"]), (0, [])])
def test_the_page_refreshes_itself_as_often_as_asked(seconds, content):
    """By meta refresh; 0 is never."""
    page = shown(page={"refresh_every": seconds})
    assert [attrs["content"] for _, attrs, _ in page.all("meta", http_equiv="refresh")] == content


def test_the_page_links_to_the_form_and_to_the_pictures():
    """With the same arguments; defaults are left out."""
    page = shown(signature=many, typed={"word": "a b&c", "number": "7"})
    links = {text: attrs["href"] for _, attrs, text in page.all("a")}
    query = "?word=a+b%26c&number=7"
    formats = {name.upper(): f"../../mine/one.{name}{query}" for name in ("png", "svg", "pdf", "csv", "json")}
    assert links.items() >= ({"Gallery": ROOT, "Form": f"../../mine/one/form{query}"} | formats).items()


# -- the lens, as links


def lens_links(**typed):
    """Where the links of the lens lead to, by what they are called; None for what is set now."""
    asked = asked_of(
        lambda word="", logy=False: None, typed, page={name: typed[name] for name in LENS if name in typed}
    )
    nav = ElementTree.fromstring(plotsrv.lens_part(asked, ROOT))
    rows = [(span.text.rstrip(": "), link.text, link.get("href")) for span in nav for link in span]
    return {(label, text): href for label, text, href in rows}


def test_each_link_of_the_lens_changes_one_thing_in_the_url():
    """All else stays as it is, and a text that nobody offers is set as well."""
    links = lens_links(word="a b", smooth="0.8", refresh_every="live")
    kept = "../../mine/one?word=a+b&refresh_every=live"
    assert links["Smoothing", "off"] == kept and links["Smoothing", "0.8"] is None
    assert links["Smoothing", "0.9"] == f"{kept}&smooth=0.9"
    assert links["Log x", "on"] == "../../mine/one?word=a+b&smooth=0.8&refresh_every=live&logx=1"


def test_a_lens_that_the_plot_has_a_parameter_for_is_the_plots():
    """It stands in the form, not among the links."""
    assert not [label for label, _ in lens_links(logy="1") if label == "Log y"]


def test_a_form_that_was_sent_without_smoothing_adds_no_choice():
    """It sends 0, which is off."""
    asked = asked_of(typed={"smooth": "0"}, page={"smooth": 0.0})
    nav = ElementTree.fromstring(plotsrv.lens_part(asked, ROOT))
    assert [each.text for each in nav[0]] == ["off", "0.6", "0.9", "0.99"] and nav[0][0].tag == "strong"


def test_limits_can_be_taken_back_where_they_are_set():
    """There is no choosing them by a link, but for an axis from zero."""
    assert ("x", "all") not in lens_links()
    assert lens_links(xlim="5:9")["x", "all"] == "../../mine/one"
    assert lens_links()["y", "from 0"] == "../../mine/one?ylim=0%3A"


def test_a_picture_of_its_own_is_linked_in_its_one_format():
    """There is no SVG of a photo."""
    page = shown(dataclasses.replace(PICTURE, own=True))
    assert [text for _, _, text in page.all("a")] == ["Gallery", "Settings", "PNG"]


def test_a_slow_drawing_shows_its_progress():
    """How long it has been going on, and the page comes again in a second."""
    page = shown(None, started=time.time() - 7)
    assert page.all("progress", id="progress")
    assert page.all("label", for_="progress")[0][2] in ("Drawing for 7 s.", "Drawing for 8 s.")
    assert page.all("meta", http_equiv="refresh")[0][1]["content"] == "1"
    assert not page.all("img")


def test_a_slow_drawing_is_measured_by_the_last_one_and_shows_its_picture():
    """The bar fills in the time it took last, and does not overflow."""
    last = dataclasses.replace(PICTURE, seconds=10.0)
    page = shown(None, last, started=time.time() - 99)
    ((_, bar, _),) = page.all("progress")
    assert (bar["value"], bar["max"]) == ("10.0", "10.0")
    assert "10 s last time" in page.text
    assert page.all("img")


def test_a_failed_drawing_keeps_the_last_good_picture_below_the_error():
    """The error comes first, with the traceback; the picture says that it is an old one."""
    page = shown(FAILED, PICTURE)
    order = [tag for tag, attrs, _ in page.elements if tag == "img" or attrs.get("role") == "alert"]
    assert order == ["div", "img"]
    ((_, attrs, problem),) = page.all("div", role="alert")
    assert attrs["class"] == "error"
    assert "ValueError: no data" in problem and "line 3" in problem
    assert re.search(r"last good picture, drawn 2023-11-1\d \d\d:\d\d:\d\d", page.text)
    assert page.all("meta", http_equiv="refresh")


def test_a_failed_drawing_without_a_picture_shows_the_error_alone():
    """No empty frame."""
    page = shown(FAILED)
    assert "ValueError: no data" in page.text
    assert not page.all("img")


def test_a_failed_drawing_shows_what_was_printed_before_it_failed():
    """What the failed call printed, not the good one."""
    page = shown(dataclasses.replace(FAILED, output="epoch 2"), PICTURE)
    assert "epoch 2" in page.text and "epoch 1" not in page.text


def test_an_awaited_file_is_a_note_and_looked_for_more_often():
    """Waiting is no failure."""
    page = shown(Drawing(status=404, error="Waiting for runs/x.csv: the file is not there (yet)."))
    assert page.all("div", role="alert", class_="note")
    assert page.all("meta", http_equiv="refresh")[0][1]["content"] == "5"


def test_an_awaited_file_does_not_bring_a_refresh_that_was_switched_off():
    """0 stays never."""
    page = shown(Drawing(status=404, error="Waiting for x."), page={"refresh_every": 0})
    assert not page.all("meta", http_equiv="refresh")


def test_notes_on_the_drawing_stand_below_the_picture():
    """What was done to it is told."""
    page = shown(dataclasses.replace(PICTURE, notes=("1,000,000 points, 4,000 drawn",)))
    assert ("1,000,000 points, 4,000 drawn") in [text for _, _, text in page.all("small")]


# -- the state of a page, in its title and favicon

WAITING = Drawing(status=404, error="Waiting for runs/x.csv: the file is not there (yet).")
HEADLINED = dataclasses.replace(PICTURE, headline="loss 0.123")
DIVERGED = dataclasses.replace(PICTURE, headline="✗ diverged at step 300")
STALLED = "no change for over 8 min; it used to change every 5 s"


@pytest.mark.parametrize(
    ("state", "title"),
    [
        (dict(drawing=HEADLINED), "● loss 0.123 – one"),
        (dict(drawing=PICTURE), "● one"),
        (dict(drawing=DIVERGED), "✗ diverged at step 300 – one"),
        (dict(drawing=HEADLINED, told={"silence": STALLED}), "⚠ stalled – one"),
        (dict(drawing=FAILED, good=HEADLINED), "✗ error – one"),
        (dict(drawing=FAILED, told={"silence": STALLED}), "✗ error – one"),
        (dict(drawing=dataclasses.replace(FAILED, status=503)), "✗ error – one"),
        (dict(drawing=WAITING, good=HEADLINED), "… waiting – one"),
        (dict(drawing=None, good=HEADLINED, started=0.0), "… drawing – one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_title_tells_the_state(state, title):
    """For a tab in the background: the value drawn, or what is the matter."""
    assert shown(**state).all("title")[0][2] == title


def favicon(**state) -> ElementTree.Element:
    """The root element of a page's favicon."""
    ((_, attrs, _),) = shown(**state).all("link", rel="icon")
    kind, _, svg = attrs["href"].partition(",")
    assert kind == "data:image/svg+xml"
    return ElementTree.fromstring(urllib.parse.unquote(svg))


def test_the_favicon_tells_the_state():
    """An inline picture: another one for each state, and the same for the same."""
    states = [
        dict(drawing=HEADLINED),
        dict(drawing=PICTURE),
        dict(drawing=HEADLINED, told={"silence": STALLED}),
        dict(drawing=FAILED),
        dict(drawing=WAITING),
        dict(drawing=None, started=0.0),
    ]
    icons = [ElementTree.tostring(favicon(**state)) for state in states]
    assert icons[0] == icons[1] and icons[4] == icons[5]
    assert len(set(icons)) == len(plotsrv.ICONS) == 4


def test_a_favicon_is_asked_for_from_no_page():
    """Pages without a state have an empty one, so that browsers do not ask for /favicon.ico."""
    for page in PAGES.values():
        ((_, attrs, _),) = Page(page(ROOT)).all("link", rel="icon")
        assert attrs["href"].startswith("data:")


# -- what the plot read, and how long ago that changed


def inputs_of(*stamps, **told) -> Page:
    """A page whose plot has read so many files."""
    inputs = tuple((f"runs/{number}.csv", stamp) for number, stamp in enumerate(stamps))
    return shown(told=dict(inputs=inputs, **told))


def test_the_page_lists_what_the_plot_read():
    """Each input with its size and the time of its last change; of a folder there is no size."""
    folder = STAMP._replace(mode=stat.S_IFDIR)
    ((_, _, text),) = inputs_of(STAMP, folder, None).all("section")
    assert "runs/0.csv: 3 kB, last changed 2023-11-1" in text
    assert re.search(r"runs/1.csv: last changed 2023-11-1\d \d\d:\d\d:\d\d [+-]\d{4}runs/2", text)
    assert "runs/2.csv: not there" in text


def test_a_page_without_inputs_has_no_list_of_them():
    """An empty list says nothing."""
    assert not shown().all("section")


@pytest.mark.parametrize(("count", "more"), [(5, None), (6, "and 1 more"), (5005, "and 5,000 more")])
def test_many_inputs_are_folded_away(count, more):
    """The first five are shown, the others one click away."""
    page = inputs_of(*[STAMP] * count)
    assert len(page.all("li")) == count
    assert [text for _, _, text in page.all("summary") if "more" in text] == [more] * bool(more)
    folded = [text for _, _, text in page.all("details")]
    assert not any("runs/4.csv" in text for text in folded)


def test_a_stalled_input_is_a_note():
    """The sentence stands above the list of inputs, with a capital."""
    page = inputs_of(STAMP, silence=STALLED)
    assert [text for _, _, text in page.all("p", class_="note")] == [
        "No change for over 8 min; it used to change every 5 s."
    ]


@pytest.mark.parametrize(
    ("silence", "usual", "words"),
    [
        (5.1, 0.03, "no change for over 5 s; it used to change every 0.03 s"),
        (9.9, 0.5, "no change for over 5 s; it used to change every 0.5 s"),
        (10, 1.0, "no change for over 10 s; it used to change every 1 s"),
        (59, 5.0, "no change for over 40 s; it used to change every 5 s"),
        (60, 5.0, "no change for over 1 min; it used to change every 5 s"),
        (12 * 60, 5.0, "no change for over 8 min; it used to change every 5 s"),
        (3600, 90.0, "no change for over 1 h; it used to change every 2 min"),
        (23 * 3600, 3600.0, "no change for over 16 h; it used to change every 1 h"),
        (9 * 86400, 7200.0, "no change for over 8 d; it used to change every 2 h"),
    ],
)
def test_a_silence_is_told_in_words(silence, usual, words):
    """How long, and how long it used to be."""
    assert plotsrv.silence_words(silence, usual) == words


def test_a_silence_is_told_in_doubling_steps():
    """So the page of a run that ended stays the same for longer and longer."""
    told = [plotsrv.silence_words(seconds, 1.0) for seconds in range(5, 86_400, 5)]
    changes = sum(one != other for one, other in itertools.pairwise(told))
    assert changes == 14  # 10, 20, 40 s, 1, 2, 4 … 32 min, 1, 2, 4, 8, 16 h


# -- the live page


def live(drawing=PICTURE, good=None, **values) -> Page:
    return shown(drawing, good, page=LIVE, **values)


def test_a_live_page_shows_the_stream_before_the_picture():
    """The stream is the image, with the page's arguments; the picture behind it is there from the start."""
    page = live(signature=many, typed={"word": "a b&c", "refresh_every": "live"})
    ((_, image, _),) = page.all("img")
    assert image["src"] == "../../mine/one.live?word=a+b%26c&refresh_every=live"
    assert image["style"] == "background-image: url(data:image/png;base64,cGljdHVyZQ==)"
    assert image["alt"] == "one: It shows one."
    assert "live: a new picture as soon as the data change" in page.text
    assert "refreshes itself" not in page.text


def test_a_live_picture_has_its_place_from_the_start():
    """Width and height of the PNG are given, as far as they are known."""
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4)
    ((_, image, _),) = live(dataclasses.replace(PICTURE, image=header)).all("img")
    assert (image["width"], image["height"]) == ("640", "480")
    ((_, image, _),) = live().all("img")
    assert "width" not in image and "height" not in image


def seconds_of(page: Page) -> list[str]:
    return [attrs["content"] for _, attrs, _ in page.all("meta", http_equiv="refresh")]


def test_a_live_page_renews_itself_every_minute():
    """For its title and state, and to take up a stream that was lost."""
    assert seconds_of(live()) == ["60"]


@pytest.mark.parametrize("drawing", [FAILED, dataclasses.replace(FAILED, status=503), WAITING])
@pytest.mark.parametrize("good", [PICTURE, None])
def test_a_live_page_with_a_problem_looks_again_in_2_s(drawing, good):
    """It has no stream, and so tells when the problem is over."""
    page = live(drawing, good)
    assert seconds_of(page) == ["2"]
    assert not [attrs for _, attrs, _ in page.all("img") if ".live" in attrs["src"]]
    assert "live:" not in page.text and "refreshes itself every 2 s" in page.text


def test_a_live_page_that_can_have_no_stream_refreshes_itself_and_says_why():
    """The picture is inline then, as on any other page."""
    page = live(told={"unlive": "this browser has 4 live pictures already"})
    assert seconds_of(page) == ["2"]
    assert page.all("img")[0][1]["src"].startswith("data:")
    assert "refreshes itself every 2 s, since this browser has 4 live pictures already" in page.text


def test_a_slow_live_page_shows_its_progress_first():
    """Its stream begins with the page that has the picture."""
    page = live(None, PICTURE, started=time.time() - 3)
    assert seconds_of(page) == ["1"] and page.all("progress")
    assert page.all("img")[0][1]["src"].startswith("data:")


# -- the page of an error


def test_an_error_page_says_what_was_wrong():
    """Status, message, and the way back to the gallery."""
    page = Page(plotsrv.error_page(404, "There is no such plot.", "../"))
    assert page.all("h1")[0][2] == "404 Not Found"
    assert page.all("p", role="alert")[0][2] == "There is no such plot."
    assert page.all("a", href="../")[0][2] == "Gallery"
