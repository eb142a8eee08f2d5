"""A real browser, JavaScript switched off, goes where a newcomer goes: gallery, form, error, picture, refresh."""

import contextlib
import io
import os
from types import SimpleNamespace

import pytest
from load import BROWSER_ARGUMENTS, browser_path
from serving import Server, eventually

BROWSER = browser_path()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CI") != "true",
        reason="no chromium, chromium-browser or google-chrome is installed here",
    ),
]
PHONE = {"width": 390, "height": 800}
DESKTOP = {"width": 1100, "height": 800}

PLOTS = '''
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import pandas as pd

def plot_run(
    file_path: Path = Path("run.csv"),
    first: int = 0,
    limits: list[float] = [0, 1],
    marker: Literal["o", "s"] = "o",
    log: bool = True,
    name="a run",
):
    """The loss of a training run

    :param first: the row to begin with
    """
    table = pd.read_csv(file_path)[first:]
    figure, axes = plt.subplots()
    axes.plot(table.step, table.loss, marker, linewidth=4, color="red")
    axes.set(xlim=(0, 10), ylim=limits, title=name)
    return figure

def plot_a_name_that_is_far_too_long_for_a_phone_and_has_no_blank_to_be_broken_at_at_all(needed: float):
    """A plot with a required field, and ein_sehr_langes_Wort_das_niemand_trennen_kann_weil_es_keine_Luecke_hat"""
    print("x" * 500)
    return plt.figure(figsize=(16, 3))

def plot_broken():
    raise ValueError("a message_that_is_rather_long_and_has_no_blank_" * 5)
'''
BROKEN = "import no_module_of_that_name_is_installed_anywhere_in_the_world_not_even_on_this_machine\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with plots, a file that cannot be imported, and a log."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "plots").mkdir()
    (folder / "plots" / "mine.py").write_text(PLOTS)
    (folder / "plots" / "unimportable.py").write_text(BROKEN)
    (folder / "run.csv").write_text("step,loss\n1,0.9\n2,0.5\n")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """plotsrv in that folder."""
    with Server(folder) as server:
        server.settled_gallery()
        yield server


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window."""
    assert BROWSER, "CI=true promises a browser: install chromium"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reader(browser, server):
    """Somebody's browser with JavaScript switched off; its URLs are relative to the server's."""
    with browser.new_context(base_url=server.url, java_script_enabled=False, viewport=DESKTOP) as context:
        yield context


@pytest.fixture
def page(reader):
    """A new tab of that browser."""
    with reader.new_page() as page:
        yield page


def colors_of(png):
    """How often each colour is in a screenshot."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    return {color: count for count, color in image.getcolors(image.width * image.height)}


def screenshot(page, **options):
    """The page as it is now. Chromium may leave unanswered, or refuse, one of a page that is being replaced."""
    from playwright.sync_api import Error

    def taken():
        with contextlib.suppress(Error):
            return page.screenshot(timeout=5000, **options)
        page.wait_for_timeout(100)

    return eventually(taken) or page.screenshot(**options)


def red_in(page):
    """How many pixels of the whole page have the red of the curve; 0 where there is no picture, or it is blank."""
    colors = colors_of(screenshot(page, full_page=True))
    return sum(count for (r, g, b), count in colors.items() if r > 200 and g < 60 and b < 60)


def in_time(page, condition):
    """Look now and then, while the page does what it does, until the condition holds; what it gave last."""
    return eventually(lambda: page.wait_for_timeout(150) or condition())


SEEN = """() => {
    const picture = document.querySelector("img.picture"), alert = document.querySelector("main [role=alert]");
    return {
        picture: picture && picture.complete && picture.src,
        error: alert ? alert.innerText : "",
        error_is_above: alert && picture && alert.getBoundingClientRect().y < picture.getBoundingClientRect().y,
    }
}"""


def seen(page):
    """What a page shows at one moment: its picture, and the error above it; nothing while it is being replaced."""
    from playwright.sync_api import Error

    try:
        return page.evaluate(SEEN)
    except Error:
        return dict.fromkeys(["picture", "error", "error_is_above"])


def statuses(page):
    """The status of each answer that a page gets from now on, as the server sent it."""
    codes = []
    session = page.context.new_cdp_session(page)
    session.on("Network.responseReceivedExtraInfo", lambda event: codes.append(event["statusCode"]))
    session.send("Network.enable")
    return codes


@contextlib.contextmanager
def kept(file):
    """A file that is afterwards what it was before."""
    text = file.read_text()
    yield file
    file.write_text(text)


# -- the walk of a newcomer


def test_from_the_gallery_through_a_wrong_value_to_the_picture(page):
    """A wrong value is told beside its field with the typed text kept; corrected, it gives the picture."""
    page.goto("/")
    page.get_by_role("link", name="form of run", exact=True).first.click()
    assert page.title() == "run – plotsrv"
    page.get_by_label("limits").fill("0, many")
    page.get_by_label("name").fill("my <b>own</b> run")
    page.get_by_role("button", name="Show the plot").click()
    limits = page.get_by_label("limits")
    error = page.locator("#" + limits.get_attribute("aria-describedby"))
    assert page.locator(".field", has=limits).locator(".wrong").inner_text() == error.inner_text()
    assert "many" in error.inner_text() and error.is_visible()
    assert (limits.input_value(), limits.get_attribute("aria-invalid")) == ("0, many", "true")
    assert page.get_by_label("name").input_value() == "my <b>own</b> run"
    limits.fill("0, 1")
    page.get_by_role("button", name="Show the plot").click()
    picture = page.locator("img.picture")
    size = picture.evaluate("image => [image.naturalWidth, image.naturalHeight, image.complete]")
    assert size[0] > 300 and size[1] > 200 and size[2]
    assert red_in(page) > 100
    assert "The loss of a training run" in picture.get_attribute("alt")
    page.get_by_role("link", name="Form").click()
    assert page.get_by_label("name").input_value() == "my <b>own</b> run"


def test_a_checkbox_that_is_on_by_default_can_be_switched_off(page):
    """The form says so in the address, and shows it again."""
    page.goto("/mine/run/form")
    box = page.get_by_role("checkbox", name="log")
    assert box.is_checked()
    box.uncheck()
    page.get_by_role("button", name="Show the plot").click()
    page.get_by_role("link", name="Form").click()
    assert not page.get_by_role("checkbox", name="log").is_checked()


def test_a_page_refreshes_itself_and_shows_new_data(folder, page):
    """Rows that are appended to the log are in the picture at the next refresh, with no click."""
    page.goto("/mine/run?refresh_every=1")
    before, picture = red_in(page), seen(page)["picture"]
    with open(folder / "run.csv", "a") as log:
        log.write("".join(f"{step},{step / 10}\n" for step in range(3, 10)))
    assert in_time(page, lambda: seen(page)["picture"] not in (picture, None) and red_in(page) > before * 1.5)


def test_while_nothing_changes_chromium_asks_with_the_etag_and_goes_on_refreshing(folder, page):
    """Refresh after refresh is answered with 304; the page stays, and new rows still come in."""
    page.goto("/mine/run?refresh_every=1&name=asleep")
    codes, before = statuses(page), red_in(page)
    assert in_time(page, lambda: codes[-2:] == [304, 304] and red_in(page) == before)
    assert page.title().endswith("– run")
    with open(folder / "run.csv", "a") as log:
        log.write("9,0.1\n1,0.9\n9,0.2\n1,0.5\n")
    assert in_time(page, lambda: codes[-1] == 304 and 200 in codes and red_in(page) > before)


def test_a_live_page_shows_new_data_without_being_loaded_again(folder, page):
    """Rows that are appended are on the screen at once, the second time as the first, and an error is told there."""
    page.goto("/mine/run?refresh_every=live&name=live", wait_until="commit")
    assert in_time(page, lambda: red_in(page))
    codes = statuses(page)
    with kept(folder / "run.csv") as log:
        for rows in ("1,0.1\n9,0.3\n1,0.7\n9,0.8\n", "1,0.4\n9,0.4\n1,0.2\n9,0.6\n"):
            before = red_in(page)
            with open(log, "a") as file:
                file.write(rows)
            assert in_time(page, lambda before=before: red_in(page) > before)
        whole = screenshot(page)
        log.write_text("nothing,of,use\n")
        assert in_time(page, lambda: screenshot(page) != whole) and red_in(page)  # the picture, and the error on it
    assert in_time(page, lambda: screenshot(page) != whole) and not codes


def test_a_broken_edit_keeps_the_last_picture_under_the_error_until_it_is_mended(folder, page):
    """An edit that cannot work, and one that cannot be imported, cost nobody the picture; mending is enough."""
    file = folder / "plots" / "mine.py"
    page.goto("/mine/run?refresh_every=1")
    picture = seen(page)["picture"]
    edits = {
        "KeyError: 'losses'": PLOTS.replace("table = pd.read_csv(file_path)", 'table = {}["losses"]'),
        "SyntaxError": PLOTS.replace("return figure", "return figure)"),
    }
    try:
        for error, text in edits.items():
            file.write_text(text)
            found = in_time(page, lambda error=error: error in ((now := seen(page))["error"] or "") and now)
            assert found["picture"] == picture and found["error_is_above"] and "mine.py" in found["error"]
            assert red_in(page)
    finally:
        file.write_text(PLOTS)
    assert in_time(page, lambda: seen(page)["error"] == "") and red_in(page)


# -- for every eye, hand and screen


PAGES = {
    "gallery": "/",
    "form": "/mine/run/form",
    "wrong form": "/mine/run?first=many&refresh_every=-1",
    "plot": "/mine/run",
    "wide plot": "/mine/a_name_that_is_far_too_long_for_a_phone_and_has_no_blank_to_be_broken_at_at_all?needed=1",
    "failed plot": "/mine/broken",
    "no such plot": "/mine/nothing_of_that_name_" + "x" * 200,
    "Excel and CSV": "/training/convergence/form",
}
FORMS = {"form", "wrong form", "Excel and CSV"}


@pytest.fixture(scope="module")
def everyone(browser, server):
    """A tab with JavaScript on, and what it complained of since it was asked last."""
    with browser.new_context(base_url=server.url, viewport=DESKTOP) as context:
        page, complaints = context.new_page(), []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((server.url, "data:")) or complaints.append(asked.url))
        yield page, complaints


@pytest.fixture(scope="module", params=PAGES)
def opened(everyone, request):
    """One of the pages, which is loaded once for all that is asked of it, and what the browser complained of."""
    page, complaints = everyone
    complaints.clear()
    page.goto(PAGES[request.param])
    return SimpleNamespace(name=request.param, page=page, complaints=complaints)


def test_a_page_breaks_none_of_its_own_rules(opened):
    """With JavaScript on, the content security policy has nothing to complain about, and nothing is run."""
    assert opened.page.locator("script").count() == 0
    assert [text for text in opened.complaints if "the server responded with a status" not in text] == []


def test_every_control_has_a_label_and_every_page_a_heading(opened):
    """Screen readers have a name for each thing."""
    page = opened.page
    assert page.locator("h1").count() == 1 and page.locator("html").get_attribute("lang") == "en"
    controls = page.locator("input:not([type=hidden]), select, textarea")
    assert opened.name not in FORMS or controls.count() > 2
    unnamed = controls.evaluate_all("all => all.filter(e => !e.labels.length).map(e => e.name)")
    assert unnamed == []
    described = page.locator("[aria-describedby]")
    missing = described.evaluate_all(
        "all => all.map(e => e.getAttribute('aria-describedby')).filter(id => !document.getElementById(id))"
    )
    assert missing == []


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_no_page_is_wider_than_its_window(opened, viewport):
    """Nobody scrolls sideways, on a phone of 390 pixels neither."""
    page = opened.page
    page.set_viewport_size(viewport)
    assert page.evaluate("innerWidth") == viewport["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_light_or_dark_as_the_user_has_it(opened, scheme):
    """The colour that most of a page has follows prefers-color-scheme, and text stands out from it."""
    page = opened.page
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme=scheme)
    colors = colors_of(screenshot(page, clip=dict(x=0, y=0, width=1100, height=250)))
    background = max(colors, key=colors.get)
    assert min(background) > 230 if scheme == "light" else max(background) < 60
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) > 7


def contrast(*colors):
    """The contrast of two CSS colours, as the accessibility guidelines (WCAG 2) count it."""

    def luminance(color):
        parts = [int(part) / 255 for part in color.strip("rgb()").split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted(map(luminance, colors))
    return (lighter + 0.05) / (darker + 0.05)


FOCUSED = """() => {
    const focused = document.activeElement, name = focused.name || focused.textContent.trim();
    return [focused === document.body ? "" : name, getComputedStyle(focused).outlineStyle];
}"""


def test_tab_reaches_every_control_in_order_and_enter_submits(page):
    """The keyboard alone is enough, and the focus can be seen."""
    page.goto("/mine/run/form")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUSED)
        if not name:
            break
        assert outline != "none"
        reached.append(name)
        if name == "first":
            page.keyboard.type("1")
    order = ["Gallery", "file_path", "first", "limits", "marker", "log", "name", "refresh_every", "Show the plot"]
    assert [name for name in reached if name in order] == order
    page.get_by_label("name").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("img.picture")
    assert "first=1" in page.url
