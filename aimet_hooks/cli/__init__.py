"""The command line: ``aimet-hooks``."""

from aimet_hooks.cli.main import main

__all__ = ["main"]
