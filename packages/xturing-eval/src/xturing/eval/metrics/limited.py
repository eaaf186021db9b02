"""A program that runs a command under limits of the system.

It is called as `limited.py LIMITS COMMAND…`, where LIMITS is a JSON object of names as
the module `resource` has them, each with its soft and its hard limit. They are set
here, not between fork and exec of the process that wants them: that one may have
threads, with which Python's code there can hang.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

CANNOT_RUN = 126
"""Exit code that says that a command could not be run, as shells have it."""


def limit(limits: Mapping[str, tuple[int, int]]) -> None:
    """Set limits of this process, or lower ones where it has such already.

    One that the system does not take, as macOS that on memory, is left out. That on
    processes is meant beside those the user has, which Linux counts as well.
    """
    import resource

    for name, (soft, hard) in limits.items():
        kind = getattr(resource, name)
        others = _tasks_of_user() if name == "RLIMIT_NPROC" else 0
        _, most = resource.getrlimit(kind)
        if most == resource.RLIM_INFINITY:
            most = sys.maxsize
        with suppress(ValueError, OSError):
            resource.setrlimit(
                kind, (min(soft + others, most), min(hard + others, most))
            )


def _tasks_of_user() -> int:
    """Return how many threads this user's processes have."""
    count = 0
    with suppress(OSError), os.scandir("/proc") as entries:
        for entry in entries:
            # Processes end while they are counted.
            with suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                    count += sum(1 for _ in os.scandir(f"{entry.path}/task"))
    return count


def main() -> None:
    """Become the command, under limits."""
    limits, *command = sys.argv[1:]
    limit(json.loads(limits))
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(CANNOT_RUN)


if __name__ == "__main__":
    main()
