"""What the core needs of a framework, and the choice of the adapter for a model.

torch and onnx are imported only inside the adapters, and only for a model of theirs.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from aimet_hooks.errors import MissingExtraError, UsageError, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from aimet_hooks.factorization import Array, Replacement, Split
    from aimet_hooks.layers import Layer


class Adapter(Protocol):
    """A model, framework-neutral. It never changes the user's model beyond ``swapped`` and ``reweighted``.

    ``aimet_hooks.testing.AdapterContract`` holds the behaviour that an adapter must have.
    """

    model_name: str
    trainable: bool
    """Whether the result can be fine-tuned by a trainer."""
    notes: Sequence[str]
    """What was assumed about the model and should be said."""

    def __enter__(self) -> Self:
        """Take hold of the model: one run at a time."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Give the model back exactly as it was."""
        ...

    def layers(self) -> Sequence[Layer]:
        """Every layer with weights in network order, each with its costs and, if so, why it cannot be replaced."""
        ...

    def weight(self, name: str) -> Array:
        """The weight of a layer that can be replaced: (out, in, *kernel), float32 or float64, on the CPU."""
        ...

    def original(self) -> AbstractContextManager[Any]:
        """The native model as the callback gets it, without a replacement."""
        ...

    def swapped(self, name: str, replacement: Replacement) -> AbstractContextManager[Any]:
        """The native model as the callback gets it, with one layer replaced; put back afterwards, whatever happens."""
        ...

    def reweighted(self, name: str, weight: Array) -> AbstractContextManager[Any]:
        """The native model as the callback gets it, with another weight in one layer; the old one back afterwards.

        Args:
            name: A layer as ``stored_weights`` names it. Layers that share its weight keep the old one.
            weight: Of the shape that ``StoredLayer.read`` gives; cast to the layer's type.

        Raises:
            ModelError: If the layer has no weight of its own that could be another, as one that is computed.
        """
        ...

    def layer_output(self, name: str, weight: Array | None = None) -> Array | None:
        """What a layer of ``reweighted`` gives for the example input, with its own weight or this one.

        Returns:
            Its first output; of several calls all in a row, flat. None if the example does not call it.
        """
        ...

    def run_example(self, native: Any) -> None:
        """Run the example input once; raises what the model raises."""
        ...

    def begin_build(self) -> ModelBuild:
        """Start the result: the only copy of the model."""
        ...

    def fingerprint(self) -> str:
        """Digest of the weights and the structure of the original model."""
        ...

    def names_within(self, module: object) -> set[str]:
        """Names of the layers that are this module object or lie below it; none where layers are no objects."""
        ...

    def changes(self, *, thorough: bool = False) -> Sequence[str]:
        """Names of what somebody else changed in the model since the last call; ``thorough`` compares all values."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Device and thread counts, for provenance; JSON types."""
        ...


class ModelBuild(Protocol):
    """The result in the making."""

    @property
    def model(self) -> Any:
        """The native model: what the user gets."""
        ...

    def weight(self, name: str) -> Array:
        """The present weight of a layer, which a trainer may have changed."""
        ...

    def replace(self, name: str, replacement: Replacement) -> None:
        """Replace a layer for good."""
        ...

    def train(self, trainer: Callable[[Any, str], object], name: str) -> None:
        """Let the user fine-tune the model after a layer was replaced."""
        ...

    def evaluated(self) -> AbstractContextManager[Any]:
        """The result as the callback gets it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleInput:
    """What the user said about the input; both may be None where the model declares it.

    Attributes:
        shape: Shape of the only input, the batch first.
        values: Tensor or array, tuple of them, or dict by input name.
    """

    shape: tuple[int, ...] | None = None
    values: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How sessions of ONNX Runtime are made.

    Attributes:
        options: ``onnxruntime.SessionOptions``, or None for its defaults.
        providers: Execution providers, or None for the CPU.
    """

    options: Any = None
    providers: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework that models come from.

    Attributes:
        what: What a model of it is called in a message.
        requires: Modules that must be installed.
        extra: The extra of aimet-hooks that installs them.
    """

    what: str
    requires: tuple[str, ...]
    extra: str


TORCH = Framework("a torch.nn.Module", ("torch", "safetensors"), "torch")
ONNX = Framework("an ONNX model", ("onnx", "onnxruntime"), "onnx")


def framework_of(model: Any) -> Framework:
    """The framework that a model belongs to, found without importing any.

    Raises:
        UsageError: If it is no model.
    """
    if isinstance(model, (str, Path)):
        return ONNX
    bases = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}
    if "torch.Module" in bases:
        return TORCH
    if type(model).__name__ == "ModelProto":
        return ONNX
    if bases & {"onnxruntime.InferenceSession", "onnxruntime.Session"}:
        raise UsageError(
            "model is an onnxruntime.InferenceSession; give the path of its .onnx file, or the onnx.ModelProto"
        )
    raise UsageError(
        f"model is {kind_of(model, whole=True)}; "
        "give a torch.nn.Module, an onnx.ModelProto or the path of an .onnx file"
    )


def require(framework: Framework) -> None:
    """Make sure that a framework can be imported.

    Raises:
        MissingExtraError: With the command that installs what is missing.
    """
    for module in framework.requires:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"model is {framework.what} but {module} is not installed: pip install 'aimet-hooks[{framework.extra}]'"
            ) from error


def adapt(model: Any, example: ExampleInput, session: SessionSettings) -> Adapter:
    """The adapter for a model.

    Raises:
        UsageError: If the model, the example or the session settings are not of the kinds that are taken.
        MissingExtraError: If the framework is not installed.
    """
    framework = framework_of(model)
    require(framework)
    if framework is TORCH:
        if session.options is not None or session.providers is not None:
            raise UsageError("session_options and providers are for ONNX models; model is a torch.nn.Module")
        from aimet_hooks.adapters.pytorch import TorchAdapter

        return TorchAdapter(model, example)
    from aimet_hooks.adapters.onnx_graph import OnnxAdapter

    return OnnxAdapter(model, example, session)


def save(model: Any, splits: Mapping[str, Split], directory: Path) -> None:
    """Write a compressed native model: ``model.onnx``, or ``weights.safetensors`` and ``compression.json``.

    Raises:
        OSError: If it cannot be written.
    """
    if framework_of(model) is ONNX:
        from aimet_hooks.adapters.onnx_graph import saving as onnx_saving

        onnx_saving.save(model, directory / "model.onnx")
        return
    from aimet_hooks.adapters.pytorch import saving as torch_saving

    torch_saving.save(model, splits, directory)


def first_output(native: Any, inputs: Any) -> npt.NDArray[np.float64]:
    """The first output of a native model (module or session) for one batch, as a float array.

    Args:
        native: What an ``eval_callback`` gets.
        inputs: Array or tensor, tuple of them, or dict by input name.
    """
    if hasattr(native, "get_inputs"):
        from aimet_hooks.adapters.onnx_graph import forward as onnx_forward

        return onnx_forward.first_output(native, inputs)
    from aimet_hooks.adapters.pytorch import forward as torch_forward

    return torch_forward.first_output(native, inputs)
