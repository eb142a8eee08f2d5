"""The machine itself, drawn with nothing but the standard library: a plot may return an SVG as bytes."""

import os
import shutil
from html import escape
from pathlib import Path

WIDTH, HEIGHT, BAR = 640, 480, 560  # pixels, the size of a matplotlib figure
GREEN, ORANGE, RED = "#2ca02c", "#ff7f0e", "#d62728"


def plot_machine() -> bytes:
    """How busy this machine is

    Disk, memory and processor: what a training run may be short of. Green is fine, orange is above three
    quarters, red is above nine tenths.
    """
    bars = [disk(), *memory(), *load()]
    shapes = [shape for row, bar in enumerate(bars) for shape in bar_shapes(*bar, top=110 + 120 * row)]
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"',
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Verdana, sans-serif" font-size="15" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        '<text x="40" y="58" font-size="20">How busy this machine is</text>',
        *shapes,
        "</svg>",
    ]
    return "\n".join(svg).encode(errors="replace")


plot_machine.volatile = True  # type: ignore[attr-defined]  # no file tells when memory is used: draw it anew


def disk() -> tuple[str, float, str]:
    """The bar of the disk that holds the current folder."""
    usage = shutil.disk_usage(".")
    return f"Disk of {Path.cwd().name or '/'}", usage.used / usage.total, f"{gigabytes(usage.free)} free"


def memory() -> list[tuple[str, float, str]]:
    """The bar of the machine's memory, on Linux, which tells it in a file."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return []
    size = {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":") for line in lines)}
    free, total = size["MemAvailable"], size["MemTotal"]
    return [("Memory", 1 - free / total, f"{gigabytes(free)} free of {gigabytes(total)}")]


def load() -> list[tuple[str, float, str]]:
    """The bar of the processes that want to run, against the cores there are; Windows does not count them."""
    if not hasattr(os, "getloadavg"):
        return []
    waiting, cores = os.getloadavg()[0], os.cpu_count() or 1
    return [("Processor", waiting / cores, f"{waiting:.1f} busy of {cores} cores")]


def bar_shapes(name: str, share: float, note: str, top: int) -> list[str]:
    """The SVG of one bar: name, share and note above it."""
    color = RED if share > 0.9 else ORANGE if share > 0.75 else GREEN
    return [
        f'<text x="40" y="{top}">{escape(name)}</text>',
        f'<text x="{40 + BAR}" y="{top}" text-anchor="end" fill="#666">{share:.0%}, {escape(note)}</text>',
        f'<rect x="40" y="{top + 12}" width="{BAR}" height="34" rx="4" fill="#e8e8e8"/>',
        f'<rect x="40" y="{top + 12}" width="{BAR * min(share, 1):.1f}" height="34" rx="4" fill="{color}"/>',
    ]


def gigabytes(size: float) -> str:
    """A number of bytes as people say it."""
    return f"{size / 1e9:.3g} GB"
