"""``aimet-hooks compress MODEL.onnx``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aimet_hooks.cli import arguments, pages, writable

if TYPE_CHECKING:
    from aimet_hooks.strategies import Strategy

_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@arguments.evaluation_options(required=True)
@click.option("-o", "--output", type=_FILE, metavar="OUT.onnx", help="Where the compressed model goes.")
@click.option("--target", type=float, default=0.5, show_default=True, help="Share of the model's cost to keep.")
@click.option("--max-drop", type=float, help="In its place: the smallest model whose measured score loses no more.")
@click.option("--probes/--no-probes", default=True, show_default=True,
              help="Measure whole models at a few targets, in at most 5 % of the evaluations.")  # fmt: skip
@click.option("--rule", type=click.Choice(["greedy", "knapsack"]), default="greedy", show_default=True,
              help="greedy: all layers keep a common score; knapsack: the smallest sum of losses.")  # fmt: skip
@click.option("--ratios", type=_EXISTING, help="Take the ratios from a comp_ratios.json instead of exploring.")
@click.option("--saved-eval-scores", type=_EXISTING, help="Scores that are known: a file or results directory.")
@click.option("--monotonic-fit", is_flag=True, help="Choose by the isotonic fit of the scores.")
@arguments.exploration_options
@click.option("--full-eval", metavar="FUNCTION", help="Evaluates the baseline and the result, as --eval.")
@click.option("--shard", type=arguments.ShardType(), metavar="i/n",
              help="Evaluate a share of the cells and stop; 'merge' joins the shares, --resume goes on.")  # fmt: skip
@arguments.run_options
@arguments.visualization_option
@arguments.console_option
def compress(**given: Any) -> None:
    """Compress MODEL: explore layer by layer, choose the ratios, write the result."""
    from aimet_hooks import adapters, compress_model
    from aimet_hooks.cli import callbacks
    from aimet_hooks.errors import ResultsDirError

    output: Path | None = given["output"]
    if (output is None) != (given["shard"] is not None):
        raise click.UsageError("give -o OUT.onnx for the compressed model, or --shard i/n, which makes none")
    callbacks.refuse_unused((given["evaluate"], given["full_eval"]), given["data"], given["metric"])
    if output is not None:
        writable.check(output, "-o")
    adapters.require(adapters.ONNX)
    pages.say_live_page(given["visualization_url"])
    result = compress_model(
        given["model"],
        callbacks.named(given["evaluate"], given["data"], given["metric"]),
        input_shape=given["input_shape"],
        compress_scheme=arguments.scheme_with(given["scheme"], given["multiplicity"]),
        cost_metric=given["cost_metric"],
        layer_options=arguments.layer_options(given["layer_option"]),
        selection=_selection(given),
        layers_to_ignore=given["ignore"],
        full_eval_callback=(
            callbacks.named(given["full_eval"], given["data"], given["metric"]) if given["full_eval"] else None
        ),
        direction=given["direction"],
        on_eval_error=given["on_eval_error"],
        visualization_url=given["visualization_url"],
        results_dir=given["results_dir"],
        run_name=given["run_name"],
        plugins=list(given["plugins"]) or None,
        console=given["console"],
        resume=given["resume"],
        shard=given["shard"],
        session_options=arguments.session_options(given["threads"]),
        providers=list(given["providers"]) or None,
    )
    if output is None:
        click.echo(
            f"The scores are in {given['results_dir']}; `aimet-hooks merge` joins them with those of the others."
        )
        return
    from aimet_hooks.adapters.onnx_graph import saving

    try:
        saving.save(result.model, output)
    except OSError as error:
        kept = f"; the model is in {given['results_dir']}" if given["results_dir"] else ""
        raise ResultsDirError(f"-o {str(output)!r} cannot be written ({error.strerror or error}){kept}") from error
    click.echo(f"The compressed model is in {output}.")
    pages.say_report(given["results_dir"])


def _selection(given: dict[str, Any]) -> Strategy:
    from aimet_hooks.strategies import RULES, ManualSelection

    if given["ratios"] is not None:
        return ManualSelection(given["ratios"])
    no_probes: dict[str, Any] = {} if given["probes"] else {"probe_targets": ()}
    return RULES[given["rule"]](
        **no_probes,
        target_comp_ratio=given["target"],
        max_drop=given["max_drop"],
        num_comp_ratio_candidates=given["candidates"],
        use_monotonic_fit=given["monotonic_fit"],
        saved_eval_scores=given["saved_eval_scores"],
    )
