"""``aimet-hooks quantization MODEL.onnx``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aimet_hooks.cli import arguments, pages, writable


class BitwidthsType(click.ParamType["tuple[int, ...]"]):
    """Bit widths as 4,8."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The bit widths as a tuple of whole numbers; the analysis says which can be."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(bits) for bits in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of bit widths; give whole numbers as 4,8", param, ctx)


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@arguments.evaluation_options(required=False)
@click.option(
    "--bitwidths",
    type=BitwidthsType(),
    default="4,8",
    show_default=True,
    help="Bits of a weight, 2 to 16; which weights will break is judged for the highest.",
)
@click.option("--per-channel", is_flag=True, help="A scale for every output channel, in place of one for the layer.")
@click.option("--asymmetric", is_flag=True, help="Grids from the smallest to the largest weight.")
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Only these: name or glob; repeatable.")
@click.option("--ignore", multiple=True, metavar="NAME", help="Leave out: name or glob; repeatable.")
@click.option("--input-shape", type=arguments.ShapeType(), help="Shape of the input, as 1,3,224,224.")
@click.option("--inputs", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.npz",
              help="In its place example inputs, by name: for the SQNR of outputs, also without --eval.")  # fmt: skip
@arguments.run_options
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the page of the run to this file.")
@arguments.visualization_option
@arguments.console_option
def quantization(**given: Any) -> None:
    """Say what quantization will do to MODEL: which weights will break, with --eval what each layer costs."""
    from aimet_hooks import adapters, analyze_sensitivity, discovery
    from aimet_hooks.cli import callbacks, inputs_file

    adapters.require(adapters.ONNX)
    callbacks.refuse_unused((given["evaluate"],), given["data"], given["metric"])
    if given["html"] is not None:
        writable.check(given["html"], "--html")
    pages.say_live_page(given["visualization_url"])
    heard, evaluate = pages.Heard(), given["evaluate"]
    plugins: list[str | object] = list(given["plugins"] or discovery.default_names(discovery.find()))
    analyze_sensitivity(
        given["model"],
        None if evaluate is None else callbacks.named(evaluate, given["data"], given["metric"]),
        bitwidths=given["bitwidths"],
        per_channel=given["per_channel"],
        symmetric=not given["asymmetric"],
        layers=given["layers"] or None,
        layers_to_ignore=given["ignore"],
        input_shape=given["input_shape"],
        example_inputs=None if given["inputs"] is None else inputs_file.arrays(given["inputs"], "--inputs"),
        direction=given["direction"],
        on_eval_error=given["on_eval_error"],
        visualization_url=given["visualization_url"],
        results_dir=given["results_dir"],
        run_name=given["run_name"],
        plugins=[*plugins, heard],
        console=given["console"],
        resume=given["resume"],
        session_options=arguments.session_options(given["threads"]),
        providers=list(given["providers"]) or None,
    )
    if given["html"] is not None:
        pages.write_html(heard.events, given["html"])
    pages.say_report(given["results_dir"])
