"""Tools find one another by their folder; tests of them find them there too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
