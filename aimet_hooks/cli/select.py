"""``aimet-hooks select RUN`` and ``aimet-hooks apply MODEL.onnx RATIOS``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aimet_hooks.cli import arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.events import ModelProbed
    from aimet_hooks.run_state import RunState
    from aimet_hooks.saved_run import SavedSelection

_FILE = click.Path(dir_okay=False, path_type=Path)


class LockType(click.ParamType[tuple[str, float | None]]):
    """A layer and its ratio as NAME=0.5, or NAME=none to leave it alone."""

    name = "LAYER=RATIO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float | None]:
        """The layer and its ratio."""
        layer, equals, ratio = str(value).rpartition("=")
        try:
            return layer, None if equals and ratio == "none" else float(ratio if equals else "")
        except ValueError:
            self.fail(f"{value!r} is no lock; give LAYER=RATIO as conv1=0.5, or LAYER=none", param, ctx)


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--target", type=float, help="Share of the model's cost to keep.")
@click.option(
    "--max-drop", type=float, help="In its place: the smallest model that RUN measured and that loses no more."
)
@click.option("--rule", type=click.Choice(["greedy", "knapsack"]), help="How to choose.  [default: as the run did]")
@click.option("--lock", multiple=True, type=LockType(), help="Keep a layer at a ratio; repeatable.")
@click.option("-o", "--output", required=True, type=_FILE, metavar="RATIOS.json", help="Where the ratios go.")
def select(
    run: Path,
    *,
    target: float | None,
    max_drop: float | None,
    rule: str | None,
    lock: Sequence[tuple[str, float | None]],
    output: Path,
) -> None:
    """Choose ratios for another target from RUN, a results directory or events.jsonl; evaluates nothing."""
    from aimet_hooks import load_run
    from aimet_hooks.errors import UsageError
    from aimet_hooks.presentation import commands
    from aimet_hooks.saved_run import save_ratios

    if (target is None) == (max_drop is None):
        raise UsageError("give one of --target R and --max-drop D")
    if lock and target is None:
        raise UsageError("--lock goes with --target: --max-drop takes one of the models that the run measured")
    saved = load_run(run)
    if target is not None:
        chosen = saved.select(target_comp_ratio=target, rule=rule, locked=_locked(lock))
        ratios, said = chosen.comp_ratios, _predicted(saved.state, chosen)
    else:
        probe = saved.smallest_within(max_drop or 0.0)
        ratios, said = dict(probe.comp_ratios), _measured(saved.state, probe)
    save_ratios(ratios, output)
    click.echo(said)
    if commands.has_costs_of_function(saved.state):
        click.echo(
            f"{commands.COSTS_OF_FUNCTION} must list the costs that the run had of {saved.state.settings.get('costs')}."
        )
    click.echo(f"The ratios are in {output}. To compress a model to them, which evaluates nothing either:")
    click.echo(
        f"aimet-hooks apply MODEL.onnx {shlex.quote(str(output))} {commands.apply_options(saved.state)}-o OUT.onnx"
    )


def _locked(given: Sequence[tuple[str, float | None]]) -> dict[str, float | None]:
    from aimet_hooks.errors import UsageError

    found = dict(given)
    if len(found) < len(given):
        twice = next(layer for layer, _ in given if [other for other, _ in given].count(layer) > 1)
        raise UsageError(f"--lock {twice!r} is there twice; lock a layer at one ratio")
    return found


def _predicted(run: RunState, chosen: SavedSelection) -> str:
    from aimet_hooks.presentation import quantities, wording
    from aimet_hooks.presentation.score_scale import ScoreScale

    scale = ScoreScale.of(run)
    number = sum(ratio is not None for ratio in chosen.comp_ratios.values())
    before = "-" if run.baseline is None else scale.text(run.baseline.score)
    return (
        f"{chosen.rule}: {number} of {wording.plural(len(chosen.comp_ratios), 'layer')} compressed, "
        f"{quantities.share(chosen.achieved_comp_ratio)} of the {wording.metric(run)} kept "
        f"(target {quantities.ratio(chosen.target_comp_ratio)})\n"
        f"predicted score {scale.text(chosen.predicted_score)} (baseline {before}): optimistic, each layer was "
        "measured alone and the losses of all were added; only an evaluation tells"
    )


def _measured(run: RunState, probe: ModelProbed) -> str:
    from aimet_hooks.presentation import quantities, wording
    from aimet_hooks.presentation.score_scale import ScoreScale

    scale = ScoreScale.of(run)
    before = "-" if run.baseline is None else scale.text(run.baseline.score)
    return (
        f"the smallest of {wording.plural(len(run.probes), 'model')} that were measured: "
        f"{quantities.share(probe.achieved_comp_ratio)} of the {wording.metric(run)} kept, "
        f"measured score {scale.text(probe.score or 0.0)} (baseline {before})"
    )


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("ratios", type=click.Path(exists=True, path_type=Path))
@arguments.meaning_options
@click.option("-o", "--output", required=True, type=_FILE, metavar="OUT.onnx", help="Where the compressed model goes.")
def apply(model: Path, ratios: Path, *, output: Path, **given: Any) -> None:
    """Compress MODEL to RATIOS, a comp_ratios.json or results directory; evaluates nothing."""
    from aimet_hooks import adapters
    from aimet_hooks.applying import apply_ratios
    from aimet_hooks.errors import ResultsDirError
    from aimet_hooks.presentation import quantities, wording

    adapters.require(adapters.ONNX)
    applied = apply_ratios(
        model,
        ratios,
        input_shape=given["input_shape"],
        compress_scheme=arguments.scheme_with(given["scheme"], given["multiplicity"]),
        cost_metric=given["cost_metric"],
        layer_options=arguments.layer_options(given["layer_option"]),
    )
    from aimet_hooks.adapters.onnx_graph import saving

    try:
        saving.save(applied.model, output)
    except OSError as error:
        raise ResultsDirError(f"-o {str(output)!r} cannot be written ({error.strerror or error})") from error
    own = given["cost_metric"].lower().endswith(".csv")
    click.echo(
        f"The compressed model is in {output}: {wording.plural(len(applied.compressed), 'layer')} compressed, "
        + (f"{quantities.share(applied.cost_ratio)} of the cost, " if own else "")
        + f"{quantities.share(applied.mac_ratio)} of the MACs and {quantities.share(applied.memory_ratio)} of the "
        "weights kept. It was not evaluated."
    )
