"""AIMET's three plots of weights. What draws is the plugin ``bokeh``, reached through its entry point."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aimet_hooks import discovery
from aimet_hooks.errors import ResultsDirError, UsageError
from aimet_hooks.quantization.model_ranges import changes_of, ranges_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PLUGIN = "bokeh"


class QuantizationPage:
    """A live page that shows weights; it stays until ``close``, the end of a ``with`` block or of the process.

    Attributes:
        address: What a browser opens.
        path: The same page as a file, None where no ``results_dir`` was given.
    """

    def __init__(self, live: Any, path: Path | None) -> None:
        self._live = live
        self.address: str = live.page
        self.path = path

    def close(self) -> None:
        """Let the page go; a plain server drops it when the last tab has left, too."""
        self._live.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def visualize_weight_ranges(
    model: Any,
    results_dir: str | os.PathLike[str] | None = None,
    visualization_url: str | None = None,
    selected_layers: Iterable[str] | None = None,
    *,
    bitwidth: int = 8,
) -> Any:
    """Show where the weights of every output channel lie: minimum, maximum, quartiles, mean, deviation.

    The page has a table of the layers, those that quantization will break first, with cause and remedy, and a plot over
    the channels of the layers that a viewer ticks. Nothing is run, and the model stays as it is.

    Args:
        model: A ``torch.nn.Module``, an ``onnx.ModelProto`` or the path of an ``.onnx`` file.
        results_dir: A directory, made if need be, for ``visualize_weight_ranges.html``, which needs no network.
        visualization_url: "http://host:port/" of a Bokeh server; the page is at
            ``http://host:port/?&bokeh-session-id=quantization``, and ``?bokeh-session-id=NAME`` is honoured.
        selected_layers: Names of layers, or patterns as ``"block1.*"``; None for all.
        bitwidth: Bits of a quantized weight, from 2 to 16.

    Returns:
        With ``visualization_url`` a ``QuantizationPage`` that holds the page; else with ``results_dir`` the path of the
        file; with neither a Bokeh layout, for ``bokeh.io.show``.

    Raises:
        UsageError: If ``model`` is no model, or another argument is none of what is allowed.
        UnknownNameError: If a name or pattern of ``selected_layers`` matches nothing.
        MissingExtraError: If the model's framework is not installed.
        ModelError: If the model cannot be read.
        ResultsDirError: If the file cannot be written.
        AimetHooksError: If the server does not have the page within 10 s; the message says why and what to do.
    """
    places = _Places("visualize_weight_ranges", results_dir, visualization_url)
    ranges = ranges_of(model, selected_layers, bitwidth)
    return places.show(lambda bokeh: bokeh.draw_weight_ranges(ranges))


def visualize_relative_weight_ranges_to_identify_problematic_layers(
    model: Any,
    results_dir: str | os.PathLike[str] | None = None,
    visualization_url: str | None = None,
    selected_layers: Iterable[str] | None = None,
    *,
    bitwidth: int = 8,
) -> Any:
    """Show how uneven the channels of every layer are, and which layers quantization will break because of it.

    A channel's relative range is its range divided by the median range of its layer's others (AIMET divides by the
    smallest one, so that one constant channel hides every other). The page has a box and the outliers of every layer,
    the table of layers and the plot over channels that ``visualize_weight_ranges`` has.

    Args:
        model: As for ``visualize_weight_ranges``, like all others.
        results_dir: A directory for ``visualize_relative_weight_ranges_to_identify_problematic_layers.html``.
        visualization_url: Address of a Bokeh server.
        selected_layers: Names or patterns; None for all.
        bitwidth: Bits of a quantized weight, from 2 to 16.

    Returns:
        As ``visualize_weight_ranges``.

    Raises:
        AimetHooksError: As ``visualize_weight_ranges``.
    """
    places = _Places("visualize_relative_weight_ranges_to_identify_problematic_layers", results_dir, visualization_url)
    ranges = ranges_of(model, selected_layers, bitwidth)
    return places.show(lambda bokeh: bokeh.draw_relative_weight_ranges(ranges))


def visualize_changes_after_optimization(
    old_model: Any,
    new_model: Any,
    results_dir: str | os.PathLike[str] | None = None,
    visualization_url: str | None = None,
    selected_layers: Iterable[str] | None = None,
    *,
    bitwidth: int = 8,
) -> Any:
    """Show what an optimization, as cross-layer equalization, did to the ranges of every channel.

    The page has a table of the layers that both models have, the greatest improvement first, a plot of old and new
    ranges over the channels of those that a viewer ticks, and a list of all layers that cannot be compared, each with
    the reason.

    Args:
        old_model: As ``model`` of ``visualize_weight_ranges``, like all others.
        new_model: The model after the optimization. It may have lost or gained layers, and may be of the other
            framework: layers of the same name whose weights have the same shape are compared.
        results_dir: A directory for ``visualize_changes_after_optimization.html``.
        visualization_url: Address of a Bokeh server.
        selected_layers: Names or patterns of layers that at least one of both models has; None for all.
        bitwidth: Bits of a quantized weight, from 2 to 16.

    Returns:
        As ``visualize_weight_ranges``.

    Raises:
        AimetHooksError: As ``visualize_weight_ranges``.
    """
    places = _Places("visualize_changes_after_optimization", results_dir, visualization_url)
    changes = changes_of(old_model, new_model, selected_layers, bitwidth)
    return places.show(lambda bokeh: bokeh.draw_weight_range_changes(changes))


class _Places:
    """Where a page goes. A wrong one is refused before anything is computed; a directory is made when a page is.

    Args:
        name: Of the file, without its suffix.
        results_dir: Where it is written, None for nowhere.
        url: Of the server, None for none.

    Raises:
        UsageError: If one of them is none of what is allowed.
        AimetHooksError: If there is no server.
    """

    def __init__(self, name: str, results_dir: str | os.PathLike[str] | None, url: str | None) -> None:
        self._bokeh = discovery.plugin(PLUGIN)
        if results_dir is not None and not isinstance(results_dir, (str, os.PathLike)):
            raise UsageError(f"results_dir is {results_dir!r}; give the path of a directory, as 'plots'")
        self._path = None if results_dir is None else Path(results_dir) / f"{name}.html"
        if url is not None and not isinstance(url, str):
            raise UsageError(
                f"visualization_url is {url!r}; give the address of a Bokeh server, as 'http://localhost:5006/'"
            )
        self._live = None if url is None else self._bokeh.open_live_layout(url)

    def show(self, draw: Callable[[Any], Any]) -> Any:
        """Bring the layout that ``draw`` makes to these places; what ``visualize_weight_ranges`` returns."""
        if self._path is not None:
            layout = draw(self._bokeh)
            _make(self._path.parent)
            try:
                self._bokeh.write_layout(layout, self._path)
            except OSError as error:
                raise ResultsDirError(
                    f"{self._path} cannot be written ({error.strerror or error}); choose another results_dir"
                ) from error
        if self._live is not None:
            self._live.show(draw(self._bokeh))
            return QuantizationPage(self._live, self._path)
        return draw(self._bokeh) if self._path is None else self._path


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsDirError(
            f"results_dir {str(directory)!r} cannot be made ({error.strerror or error}); choose another"
        ) from error
