"""What all tests share: plotsrv.py is found in the folder above, and no window is ever opened."""

import gc
import os
import py_compile
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(ROOT))


def pytest_sessionstart(session):
    """Compile once what each server that is started would else compile for itself, where Python may not keep it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        for file in (ROOT / "plotsrv.py", *(ROOT / "plots").glob("*.py")):
            py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


def pytest_collection_finish(session):
    """Spare the garbage collector the thousands of tests."""
    gc.collect()
    gc.freeze()
