"""Makes the README's picture, tests/page.png, of a real training's page in Chromium: `make picture`."""

import io
import runpy
import tempfile
from itertools import islice
from pathlib import Path

from bench import Bench, picture, plotsrv
from load import BROWSER_ARGUMENTS, BROWSERS, browser_path
from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

TESTS = Path(__file__).resolve().parent
PAGE_PNG = TESTS / "page.png"
DEMO = TESTS.parent / "plots" / "demo.py"
ROWS = 250
MAX_BYTES = 120_000  # it is loaded with every look at the README
WINDOW = ViewportSize(width=1000, height=870)
QUERY = "?run=runs/demo.csv&smooth=0.9&refresh_every=5"


def write_log(path: Path) -> None:
    """Let the demo train as fast as it can, and keep its log."""
    demo = runpy.run_path(str(DEMO))
    path.parent.mkdir()
    with path.open("w", encoding="utf-8") as log:
        demo["write_log"](log, islice(demo["training"](), ROWS))


def screenshot(url: str) -> bytes:
    """What a reader without JavaScript sees in a light window."""
    if browser_path() is None:
        raise SystemExit(f"Taking a picture needs a browser: install one of {', '.join(BROWSERS)}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=BROWSER_ARGUMENTS)
        page = browser.new_page(viewport=WINDOW, color_scheme="light", java_script_enabled=False)
        answer = page.goto(url, wait_until="load")
        image = page.screenshot()
        browser.close()
    if answer is None or answer.status != 200:
        raise SystemExit(f"{url} was answered with {answer and answer.status}.")
    return image


def small(image: bytes) -> bytes:
    """The same picture with as few colours as its size asks for."""
    for colors in (256, 128, 64):
        if len(image) <= MAX_BYTES:
            break
        reduced = io.BytesIO()
        Image.open(io.BytesIO(image)).convert("RGB").quantize(colors).save(reduced, "PNG", optimize=True)
        image = reduced.getvalue()
    return image


def main() -> None:
    """Serve a log that has just been written, and keep a picture of its page."""
    with tempfile.TemporaryDirectory(prefix="plotsrv-picture-") as folder:
        write_log(Path(folder) / "runs" / "demo.csv")
        with Bench(Path(folder)).serving(plotsrv) as port:
            picture(port, f"/training/run.png{QUERY}")  # the page has it ready then
            image = small(screenshot(f"http://127.0.0.1:{port}/training/run{QUERY}"))
    PAGE_PNG.write_bytes(image)
    print(f"tests/{PAGE_PNG.name}: {len(image) // 1000} kB")


if __name__ == "__main__":
    main()
