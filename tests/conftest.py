"""What all tests share: plotsrv.py is found in the folder above, and no window is ever opened."""

import os
import sys
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
