"""Runs command lines, each in a process of its own that finds the package imported: a fork takes milliseconds.

Reads a request from each line of stdin, and answers it with a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

SECONDS = 60


def run(arguments: list[str], folder: str) -> NoReturn:
    """One command line, as ``aimet-hooks`` runs it."""
    from aimet_hooks.cli import main

    os.chdir(folder)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.alarm(SECONDS)
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    child = os.fork()
    if not child:
        run(request["arguments"], request["folder"])
    _, status, usage = os.wait4(child, 0)
    texts = {name: (Path(request["folder"]) / name).read_bytes().decode() for name in ("stdout", "stderr")}
    return {"code": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * 1024, **texts}


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
