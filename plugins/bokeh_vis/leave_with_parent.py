"""Run a module as ``python -m`` does, and leave when the process that holds the other end of stdin is gone.

However a process ends, the system closes its end of a pipe: so a server never outlives the one that started it.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _leave_at_the_end_of_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> None:
    """Run the module that the command line names, with the arguments behind it."""
    threading.Thread(target=_leave_at_the_end_of_stdin, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
