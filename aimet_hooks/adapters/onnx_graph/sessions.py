"""Sessions of graphs that lie beside a store's weights, as the user wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnxruntime

from aimet_hooks.adapters.onnx_graph import session_options
from aimet_hooks.errors import ModelError, UsageError, kind_of, nearest

if TYPE_CHECKING:
    import onnx

    from aimet_hooks.adapters import SessionSettings
    from aimet_hooks.adapters.onnx_graph.weight_store import WeightStore


def check(settings: SessionSettings) -> None:
    """Make sure that sessions can be made so.

    Raises:
        UsageError: If the options or the providers are none that this onnxruntime takes.
    """
    if settings.options is not None and not isinstance(settings.options, onnxruntime.SessionOptions):
        raise UsageError(
            f"session_options is {kind_of(settings.options)}; give an onnxruntime.SessionOptions, as "
            "options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 4"
        )
    if isinstance(settings.providers, str):
        raise UsageError(f"providers is the string {settings.providers!r}; give a list: [{settings.providers!r}]")
    known = onnxruntime.get_available_providers()
    for provider in settings.providers or ():
        name = provider[0] if isinstance(provider, tuple) else provider
        if name not in known:
            raise UsageError(f"providers has {name!r}, which this onnxruntime does not have{nearest(str(name), known)}")


def providers(settings: SessionSettings) -> list[Any]:
    """The providers that are asked for; the CPU if none are."""
    return list(settings.providers or ["CPUExecutionProvider"])


def opened(
    store: WeightStore,
    model: onnx.ModelProto,
    settings: SessionSettings,
    name: str,
    options: onnxruntime.SessionOptions | None = None,
) -> onnxruntime.InferenceSession:
    """A session of a graph.

    Args:
        store: Holds the weights that the graph refers to.
        model: The graph.
        settings: Its providers count.
        name: What the model is called in a message.
        options: None for ONNX Runtime's own.

    Raises:
        ModelError: If onnxruntime cannot load it.
    """
    path = store.write_graph(model)
    try:
        chosen = options or session_options.default()
        return onnxruntime.InferenceSession(str(path), sess_options=chosen, providers=providers(settings))
    except Exception as error:
        raise ModelError(f"onnxruntime cannot load {name}: {error}") from error
