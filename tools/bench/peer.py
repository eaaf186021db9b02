"""Run a rival's script as it is, and keep the adapter that it trained.

    python peer.py SCRIPT ADAPTER [the script's own options]

Run in the rival's environment; what the script prints is not touched.
"""

import runpy
import shutil
import sys


def main() -> None:
    """Run the script, and copy the adapter out of what it leaves behind."""
    script, adapter, *options = sys.argv[1:]
    sys.argv = [script, *options]
    left = runpy.run_path(script, run_name="__main__")
    if "trainer" in left:
        left["trainer"].save_model(adapter)
    else:
        shutil.copytree(left["work"] / "out", adapter)


if __name__ == "__main__":
    main()
