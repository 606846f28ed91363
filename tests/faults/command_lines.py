"""Command lines in processes of their own, and what they took."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Ended:
    """A command that has ended; ``peak`` is the most memory that its process had, in bytes."""

    code: int
    stdout: str
    stderr: str
    peak: int


class CommandLines:
    """Starts commands from a process that has imported what they need, so that each is there at once.

    Args:
        modules: What is imported.
        folder: Where the idle command runs.

    Attributes:
        idle: Memory of a command that only prints its help.
    """

    def __init__(self, modules: Sequence[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-X", "utf8", str(Path(__file__).with_name("forking.py")), "aimet_hooks.cli", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.idle = self.run(["--help"], folder).peak

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()

    def run(self, arguments: Sequence[str], folder: Path) -> Ended:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"arguments": list(arguments), "folder": str(folder)}), file=self._process.stdin, flush=True)
        return Ended(**json.loads(self._process.stdout.readline()))
