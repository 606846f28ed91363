"""The options that messages of the package name on a command line."""

from __future__ import annotations

import pytest

from aimet_hooks.cli.main import commands
from aimet_hooks.cli.option_names import OPTIONS, with_options


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("layers_to_ignore has 'zz'", "layers_to_ignore (--ignore) has 'zz'"),
        ("layers has 'a', which layers", "layers (--layer) has 'a', which layers"),
        ("no layers has", "no layers has"),
        ("input_shape or results_dir", "input_shape or results_dir (--results-dir)"),
        (
            "results_dir is 'results_dir'; give results_dir",
            "results_dir (--results-dir) is 'results_dir'; give results_dir",
        ),
        ("my_results_dir, ./results_dir/x and results_dirs", "my_results_dir, ./results_dir/x and results_dirs"),
        ("continue with resume=True (--resume)", "continue with resume=True (--resume)"),
    ],
)
def test_an_option_stands_behind_the_argument_that_is_named_first(message: str, expected: str) -> None:
    assert with_options(message, ["--ignore", "--layer", "--results-dir", "--resume"]) == expected


def test_options_are_those_of_commands() -> None:
    known = {option for command in commands.commands.values() for made in command.params for option in made.opts}
    assert known >= {"--layer", *OPTIONS.values()}
