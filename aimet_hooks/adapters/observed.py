"""What runs of a model on sample inputs show: its tensors, and what other weights do to them. ONNX models only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aimet_hooks.adapters import TORCH, framework_of, require
from aimet_hooks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from aimet_hooks.adapters import SessionSettings
    from aimet_hooks.factorization import Array


@dataclass(frozen=True, slots=True)
class ObservedTensor:
    """A float tensor that depends on the input.

    Attributes:
        name: Its name in the graph.
        node: Name of the node that makes it, empty for an input of the graph.
        op_type: The node's operator, "Input" for an input of the graph.
    """

    name: str
    node: str
    op_type: str


class ObservedModel(Protocol):
    """A model whose inner tensors can be seen."""

    tensors: Sequence[ObservedTensor]
    """In the order of the graph, its inputs first."""

    def run(self, names: Sequence[str], inputs: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The tensors with these names, each once a batch; those that were read are gone."""
        ...


@dataclass(frozen=True, slots=True)
class OutputNoise:
    """What other weights do to the output of one layer, over all sample inputs.

    Attributes:
        layer: Name of the layer.
        kind: Its operator.
        signal: Sum of the squared values of the original output.
        local: Sum of the squared differences when only this layer has another weight, and the original's input.
        accumulated: Sum of the squared differences when all layers have.
    """

    layer: str
    kind: str
    signal: float
    local: float
    accumulated: float


def observed_model(model: Any, session: SessionSettings) -> AbstractContextManager[ObservedModel]:
    """A model with its tensors.

    Raises:
        UsageError: If it is a torch module or no model, or onnxruntime takes no such session.
        MissingExtraError: If onnx or onnxruntime is not installed.
        ModelError: If it cannot be read or loaded.
    """
    _require_onnx(model)
    from aimet_hooks.adapters.onnx_graph.activations import OnnxActivations

    return OnnxActivations(model, session)


def output_noise(
    model: Any, inputs: Any, changed: Callable[[Array], Array], session: SessionSettings
) -> Sequence[OutputNoise]:
    """What changed weights do to the output of every layer of ``stored_weights``, in the same order.

    Args:
        model: Stays as it is.
        inputs: One batch or an iterable of batches.
        changed: From a weight (out, in / groups, *kernel) to another one of the same shape.
        session: How sessions are made.

    Raises:
        UsageError: If it is a torch module or no model, ``inputs`` do not fit, or onnxruntime takes no such session.
        MissingExtraError: If onnx or onnxruntime is not installed.
        ModelError: If it cannot be read, loaded or run.
    """
    _require_onnx(model)
    from aimet_hooks.adapters.onnx_graph import output_noise as onnx_output_noise

    return onnx_output_noise.output_noise(model, inputs, changed, session)


def _require_onnx(model: Any) -> None:
    framework = framework_of(model)
    if framework is TORCH:
        raise UsageError(
            "model is a torch.nn.Module, and activations are analyzed for ONNX models; export it, as "
            "torch.onnx.export(model, (example,), 'model.onnx'), and give the path of the file"
        )
    require(framework)
