"""Options that several commands share, and the types of their values."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimet_hooks.layer_options import LayerOptions
    from aimet_hooks.schemes import SvdScheme

F = TypeVar("F", bound="Callable[..., Any]")


class ShapeType(click.ParamType[tuple[int, ...]]):
    """A shape as 1,3,224,224 or 1x3x224x224."""

    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The shape as a tuple of positive integers."""
        if isinstance(value, tuple):
            return value
        try:
            shape = tuple(int(size) for size in str(value).replace("x", ",").split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1:
            self.fail(f"{value!r} is no shape; give positive integers as 1,3,224,224", param, ctx)
        return shape


class CostMetricType(click.ParamType[str]):
    """What ratios are shares of."""

    name = "mac|memory|FILE.csv"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name or path as it is, if it can be one."""
        if value not in ("mac", "memory") and not str(value).lower().endswith(".csv"):
            self.fail(f"{value!r} is no cost metric; give mac, memory, or a .csv file of layer, rank, cost", param, ctx)
        return str(value)


class ShardType(click.ParamType[tuple[int, int]]):
    """A share of the cells as 1/4."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The number of the share, and how many there are."""
        number, _, count = str(value).partition("/")
        if not (number.isdecimal() and count.isdecimal() and len(count) < 10) or not 0 <= int(number) <= int(count) > 0:
            self.fail(f"{value!r} is no shard; give i/n, the i-th of n processes, as 1/4", param, ctx)
        return int(number), int(count)


class LayerOptionType(click.ParamType["tuple[str, LayerOptions]"]):
    """What is asked of layers as GLOB:min_comp_ratio=0.5,multiplicity=32,tie=name."""

    name = "GLOB:OPTIONS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, LayerOptions]:
        """The name or glob, and what is asked."""
        from aimet_hooks.errors import UsageError
        from aimet_hooks.layer_options import LayerOptions

        pattern, _, written = str(value).rpartition(":")
        types: dict[str, Callable[[str], Any]] = {"min_comp_ratio": Decimal, "multiplicity": int, "tie": str}
        try:
            asked = [field.split("=", 1) for field in written.split(",")]
            if len(dict(asked)) < len(asked):
                self.fail(f"{value!r} has an option twice; give each once", param, ctx)
            return pattern, LayerOptions(**{name: types[name](text) for name, text in asked})
        except UsageError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        except (ValueError, KeyError, ArithmeticError):
            self.fail(
                f"{value!r} is no layer option; give GLOB:min_comp_ratio=0.5,multiplicity=32,tie=name", param, ctx
            )


def layer_options(given: Sequence[tuple[str, LayerOptions]]) -> dict[str, LayerOptions]:
    """The layer options of a command line.

    Raises:
        UsageError: If a name or glob is there twice.
    """
    from aimet_hooks.errors import UsageError

    found = dict(given)
    if len(found) < len(given):
        twice = next(pattern for pattern, _ in given if [other for other, _ in given].count(pattern) > 1)
        raise UsageError(f"--layer-option {twice!r} is there twice; give all of its options in one")
    return found


def meaning_options(function: F) -> F:
    """The options that say what a ratio of a layer means."""
    return _with_options(
        function,
        click.option("--input-shape", type=ShapeType(), help="Shape of the input, as 1,3,224,224."),
        click.option(
            "--cost-metric",
            type=CostMetricType(),
            metavar="mac|memory|FILE.csv",
            default="mac",
            show_default=True,
            help="What the ratios are shares of; a file lists costs of your own: layer, rank, cost.",
        ),
        click.option(
            "--layer-option",
            multiple=True,
            type=LayerOptionType(),
            help="As 'layer4.*:min_comp_ratio=0.5,multiplicity=32,tie=name'; repeatable.",
        ),
        click.option("--multiplicity", type=int, default=1, show_default=True, help="Round ranks up to a multiple."),
        click.option(
            "--scheme",
            type=click.Choice(["spatial_svd", "weight_svd"]),
            default="spatial_svd",
            show_default=True,
            help="How a layer is compressed.",
        ),
    )


def exploration_options(function: F) -> F:
    """The options that say what is explored."""
    return meaning_options(
        _with_options(
            function,
            click.option("--ignore", multiple=True, metavar="NAME", help="Leave alone: name or glob; repeatable."),
            click.option("--candidates", type=int, default=10, show_default=True, help="N: ratios k/N, k = 1 .. N-1."),
        )
    )


def evaluation_options(*, required: bool) -> Callable[[F], F]:
    """The options that say what evaluates a model."""

    def decorated(function: F) -> F:
        return _with_options(
            function,
            click.option(
                "--metric",
                type=click.Choice(["kl", "sqnr"]),
                help="For 'agreement': kl for logits, the default; sqnr for other outputs.",
            ),
            click.option(
                "--data",
                type=click.Path(dir_okay=False, path_type=Path),
                help="inputs.npz for 'agreement': one array an input, by the input's name.",
            ),
            click.option(
                "--eval",
                "evaluate",
                required=required,
                metavar="FUNCTION",
                help="module:function or file.py:function, called with an InferenceSession; or 'agreement'.",
            ),
        )

    return decorated


plugin_option = click.option(
    "--plugin", "plugins", multiple=True, metavar="NAME", help="Load exactly these plugins; repeatable."
)


def run_options(function: F) -> F:
    """The options that say how a run goes, and where it is told of."""
    return _with_options(
        function,
        click.option("--threads", type=click.IntRange(1), help="Threads of ONNX Runtime; its default without it."),
        click.option("--provider", "providers", multiple=True, help="Execution provider of ONNX Runtime; repeatable."),
        plugin_option,
        click.option("--run-name", help="Name that views show."),
        click.option(
            "--results-dir",
            type=click.Path(path_type=Path),
            help="Event log, tables and what the run makes; nothing is written without it. "
            "{time} and {run_name} in it are filled in.",
        ),
        click.option(
            "--resume", is_flag=True, help="Take the scores that are in --results-dir; an empty one starts afresh."
        ),
        click.option(
            "--on-eval-error",
            type=click.Choice(["skip", "raise"]),
            default="skip",
            show_default=True,
            help="What a failed cell does.",
        ),
        click.option(
            "--direction",
            type=click.Choice(["maximize", "minimize"]),
            default="maximize",
            show_default=True,
            help="Whether a higher or a lower score is better.",
        ),
    )


def session_options(threads: int | None) -> Any:
    """The session options of a number of threads; None for those of ONNX Runtime."""
    if threads is None:
        return None
    from aimet_hooks.adapters.onnx_graph.session_options import with_threads

    return with_threads(threads)


def _with_options(function: F, *options: Callable[[F], F]) -> F:
    for option in options:
        function = option(function)
    return function


def scheme_with(name: str, multiplicity: int) -> SvdScheme:
    """The scheme of a command line."""
    from aimet_hooks.schemes import SCHEMES

    return SCHEMES[name](multiplicity=multiplicity)


console_option = click.option(
    "--console",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="auto: live panel on a terminal, plain lines elsewhere.",
)

visualization_option = click.option(
    "--visualization-url", metavar="URL", help='Live page on a Bokeh server, as "http://localhost:5006/".'
)
