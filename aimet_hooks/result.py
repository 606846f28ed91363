"""What a compression gives back, and how it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimet_hooks import adapters
from aimet_hooks.errors import ResultsDirError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import pandas as pd

    from aimet_hooks.factorization import Split
    from aimet_hooks.stats import CompressionStats


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionResult:
    """A finished compression.

    Attributes:
        model: The compressed ``torch.nn.Module`` (plain torch modules) or ``onnx.ModelProto``.
        stats: Scores and costs.
        eval_scores: DataFrame of float, index layer name in network order, columns ratio ascending; NaN: not evaluated.
        comp_ratios: Chosen candidate for each row of the table; None: left alone.
        skipped: Reason for every other layer with weights.
        splits: How each compressed layer was split: what ``load_compressed`` rebuilds the structure from.
    """

    model: Any
    stats: CompressionStats
    eval_scores: pd.DataFrame
    comp_ratios: dict[str, float | None]
    skipped: dict[str, str]
    splits: Mapping[str, Split]

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the model: ``weights.safetensors`` and ``compression.json`` for torch, ``model.onnx`` for ONNX.

        Files of an earlier save are replaced; whoever fine-tuned ``model`` saves again.

        Returns:
            The directory.

        Raises:
            ResultsDirError: If it cannot be written.
        """
        return save_model(self.model, self.splits, Path(directory))


def save_model(model: Any, splits: Mapping[str, Split], directory: Path) -> Path:
    """Write a compressed model into a directory, as ``CompressionResult.save`` says."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        adapters.save(model, splits, directory)
    except OSError as error:
        raise ResultsDirError(
            f"the model cannot be saved to {str(directory)!r} ({error.strerror or error}); "
            "save it elsewhere with result.save(directory)"
        ) from error
    return directory


def load_compressed(
    fresh_model: Any, directory: str | os.PathLike[str], *, weights: str | os.PathLike[str] | None = None
) -> Any:
    """Rebuild a compressed torch model without decomposing anything.

    Args:
        fresh_model: A new instance of the original class; its layers are replaced in place.
        directory: Where ``CompressionResult.save`` wrote.
        weights: Another file of weights for the same structure, as a checkpoint after fine-tuning: ``.safetensors``,
            or what ``torch.save(model.state_dict(), file)`` wrote.

    Returns:
        ``fresh_model``, every weight loaded strictly.

    Raises:
        RecordingError: If the directory holds no compressed model, or it does not fit ``fresh_model``.
        UsageError: If ``fresh_model`` is no torch module.
        MissingExtraError: If torch is not installed.
    """
    adapters.require(adapters.TORCH)
    from aimet_hooks.adapters.pytorch import saving as torch_saving

    return torch_saving.load(fresh_model, Path(directory), None if weights is None else Path(weights))
