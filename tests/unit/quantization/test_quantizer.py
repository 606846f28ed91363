"""The grid, against plain numpy and against what ONNX Runtime itself writes into a quantized model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from aimet_hooks import UsageError
from aimet_hooks.quantization.noise import noise_on, sqnr
from aimet_hooks.quantization.quantizer import check_bitwidth, grid_of, quantize_dequantize
from tests.unit.adapters.onnx_networks import array, network, node

KINDS = [(symmetric, per_channel) for symmetric in (True, False) for per_channel in (True, False)]


def plainly_quantized(weight: np.ndarray, bitwidth: int, symmetric: bool) -> np.ndarray:
    """One scale for all of ``weight``, written down from the formulas."""
    x = weight.astype(np.float64)
    if symmetric:
        highest = 2 ** (bitwidth - 1) - 1
        scale = np.abs(x).max() / highest
        return scale * np.clip(np.rint(x / scale), -highest, highest)
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / (2**bitwidth - 1)
    zero = np.rint(-low / scale)
    return scale * (np.clip(np.rint(x / scale) + zero, 0, 2**bitwidth - 1) - zero)


def plain_sqnr(weight: np.ndarray, quantized: np.ndarray) -> float:
    x = weight.astype(np.float64)
    return 10 * np.log10((x**2).sum() / ((x - quantized) ** 2).sum())


@pytest.mark.parametrize("bitwidth", [2, 3, 4, 8, 13, 16])
@pytest.mark.parametrize(("symmetric", "per_channel"), KINDS)
def test_sqnr_and_quantized_weights_are_those_of_plain_numpy(bitwidth: int, symmetric: bool, per_channel: bool) -> None:
    weight = array(7, 5, 3, 3) * np.linspace(0.01, 3, 7, dtype=np.float32)[:, None, None, None] + np.float32(0.2)
    parts = list(weight) if per_channel else [weight]
    expected = np.stack([plainly_quantized(part, bitwidth, symmetric) for part in parts]).reshape(weight.shape)
    found = quantize_dequantize(weight, bitwidth=bitwidth, symmetric=symmetric, per_channel=per_channel)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    grid = grid_of(weight, bitwidth=bitwidth, symmetric=symmetric, per_channel=per_channel)
    noise = noise_on(grid, weight.reshape(7, -1))
    np.testing.assert_allclose(noise.sqnr, list(map(plain_sqnr, weight, expected)), rtol=0, atol=1e-6)
    assert noise.sqnr_of_layer == pytest.approx(plain_sqnr(weight, expected), abs=1e-6)
    zeroed = [((part != 0) & (row == 0)).mean() for part, row in zip(weight, expected, strict=True)]
    np.testing.assert_allclose(noise.rounded_to_zero, zeroed)


def test_rounds_halves_to_even_on_the_narrow_range() -> None:
    weight = np.array([[0.5, 1.5, 2.5, -127, 127, -126.5]], np.float32)
    assert quantize_dequantize(weight).tolist() == [[0, 2, 2, -127, 127, -126]]


def test_zero_is_on_the_asymmetric_grid() -> None:
    weight = np.array([[3.0, 4.0, 5.1], [-3.0, -4.0, -5.1]], np.float32)
    grid = grid_of(weight, bitwidth=8, symmetric=False, per_channel=True)
    assert grid.zero_point.tolist() == [[0], [255]]
    assert grid.quantized(np.zeros((2, 1))).tolist() == [[0], [255]]
    assert (grid.lowest, grid.highest) == (0, 255)


def test_more_bits_are_six_decibels_each() -> None:
    weight = array(1, 40_000)
    found = [
        noise_on(grid_of(weight, bitwidth=bits, symmetric=True, per_channel=True), weight).sqnr[0] for bits in (8, 12)
    ]
    assert found[1] - found[0] == pytest.approx(4 * 6.02, abs=0.3)


def test_no_noise_is_200_decibels_and_no_signal_is_undefined() -> None:
    assert sqnr([1.0, 0.0, 0.0, 1.0, np.inf, 1e308], [0.0, 0.0, 1.0, 1e-300, 1.0, 1e-308]).tolist() == pytest.approx(
        [200, np.nan, np.nan, 200, np.nan, 200], nan_ok=True
    )


@pytest.mark.parametrize("value", [1, 17, 8.0, True, "8", None])
def test_other_bit_widths_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"bitwidth is .*; give a whole number of bits from 2 to 16"):
        check_bitwidth(value)


class OneInput(CalibrationDataReader):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.feeds = iter([{"x": array(*shape)}])

    def get_next(self) -> Any:
        return next(self.feeds, None)


def initializers(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("groups", [1, 6])
def test_convolutions_are_quantized_as_by_onnxruntime(tmp_path: Path, groups: int) -> None:
    weight = array(6, 6 // groups, 3, 3) * np.geomspace(0.01, 10, 6, dtype=np.float32)[:, None, None, None]
    weight[2] = 0
    model = network([node("Conv", "x w", "y", "conv", group=groups)], {"w": weight}, inputs={"x": (1, 6, 8, 8)})
    onnx.save(model, tmp_path / "float.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(
            tmp_path / "float.onnx",
            tmp_path / "int8.onnx",
            OneInput((1, 6, 8, 8)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
    stored = initializers(tmp_path / "int8.onnx")
    codes, scale = stored["w_quantized"], stored["w_scale"]
    assert codes.dtype == np.int8
    grid = grid_of(weight, bitwidth=8, symmetric=True, per_channel=True)
    np.testing.assert_allclose(scale, grid.scale[:, 0], rtol=1e-6)
    theirs = codes * scale.astype(np.float64).reshape(6, 1, 1, 1)
    np.testing.assert_allclose(quantize_dequantize(weight), theirs, rtol=1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
def test_matrix_products_are_quantized_as_by_onnxruntime(tmp_path: Path, symmetric: bool) -> None:
    weight = array(9, 5) * np.geomspace(0.01, 10, 5, dtype=np.float32)
    onnx.save(network([node("MatMul", "x w", "y", "mm")], {"w": weight}, inputs={"x": (2, 9)}), tmp_path / "float.onnx")
    quantize_dynamic(
        tmp_path / "float.onnx",
        tmp_path / "int8.onnx",
        per_channel=symmetric,
        weight_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        extra_options={"WeightSymmetric": symmetric},
    )
    stored = initializers(tmp_path / "int8.onnx")
    codes, scale = stored["w_quantized"].astype(np.float64), stored["w_scale"].astype(np.float64)
    theirs = scale * (codes - stored["w_zero_point"].astype(np.float64))
    ours = quantize_dequantize(weight.T, symmetric=symmetric, per_channel=symmetric).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
