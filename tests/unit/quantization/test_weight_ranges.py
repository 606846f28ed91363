"""The table of channels: its figures, its rows, and weights of all kinds."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from aimet_hooks import UnknownNameError, UsageError, analyze_weight_ranges
from aimet_hooks.quantization import summarize_weight_ranges
from aimet_hooks.quantization.quantizer import quantize_dequantize
from tests.unit.quantization.networks import onnx_network, torch_network

COLUMNS = [
    *("min", "max", "mean", "std", "q25", "median", "q75", "range", "relative_range"),
    *("sqnr_symmetric", "sqnr_asymmetric", "rounded_to_zero", "non_finite"),
]


def sqnr(x: np.ndarray, quantized: np.ndarray) -> float:
    return 10 * np.log10((x.astype(np.float64) ** 2).sum() / ((x - quantized) ** 2).sum())


@pytest.mark.parametrize("per_channel", [True, False])
def test_figures_are_those_of_numpy(per_channel: bool) -> None:
    model = torch_network(wide=7)
    frame = analyze_weight_ranges(model, bitwidth=5, per_channel=per_channel)
    assert list(frame.columns) == COLUMNS
    assert list(frame.index.names) == ["layer", "channel"]
    assert len(frame) == 16 + 24 + 24 + 10
    for name in ("0", "3", "5", "9"):
        weight = model.get_submodule(name).weight.detach().numpy()
        rows = weight.reshape(len(weight), -1).astype(np.float64)
        found = frame.loc[name]
        expected = {
            "min": rows.min(axis=1),
            "max": rows.max(axis=1),
            "mean": rows.mean(axis=1),
            "std": rows.std(axis=1),
            **dict(zip(("q25", "median", "q75"), np.percentile(rows, [25, 50, 75], axis=1), strict=True)),
            "range": np.ptp(rows, axis=1),
            "relative_range": [
                width / np.median(np.delete(np.ptp(rows, axis=1), at)) for at, width in enumerate(np.ptp(rows, axis=1))
            ],
            "non_finite": np.zeros(len(rows)),
        }
        for column, values in expected.items():
            np.testing.assert_allclose(found[column], values, rtol=1e-10, atol=1e-12, err_msg=f"{name} {column}")
        for column, symmetric in (("sqnr_symmetric", True), ("sqnr_asymmetric", False)):
            quantized = quantize_dequantize(weight, bitwidth=5, symmetric=symmetric, per_channel=per_channel)
            np.testing.assert_allclose(found[column], list(map(sqnr, weight, quantized)), rtol=0, atol=1e-6)


def test_the_model_stays_as_it_is() -> None:
    model = torch_network()
    before, flags = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    analyze_weight_ranges(model)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    proto = onnx_network()
    stored = proto.SerializeToString()
    analyze_weight_ranges(proto)
    assert proto.SerializeToString() == stored


def test_both_frameworks_have_the_same_figures() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype(np.float32)
    conv = nn.Conv2d(4, 6, 3)
    conv.weight = nn.Parameter(torch.from_numpy(weight))
    proto = onnx_network()
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "w1"))
    ours = analyze_weight_ranges(nn.Sequential(conv)).loc["0"]
    assert analyze_weight_ranges(proto, layers=["first"]).loc["first"].equals(ours)


def test_constant_and_zero_channels_hide_nothing() -> None:
    linear = nn.Linear(50, 8)
    with torch.no_grad():
        linear.weight[0] = 0
        linear.weight[1] = 0.25
        linear.weight[2] *= 30
    frame = analyze_weight_ranges(nn.Sequential(linear)).loc["0"]
    assert frame.loc[0, ["range", "relative_range"]].tolist() == [0, 0]
    assert frame.loc[0, ["sqnr_symmetric", "sqnr_asymmetric", "rounded_to_zero"]].isna().all()
    assert frame.loc[1, ["sqnr_symmetric", "sqnr_asymmetric"]].tolist() == [200, 200]
    assert frame.loc[2, "relative_range"] > 20
    (row,) = summarize_weight_ranges(nn.Sequential(linear)).itertuples()
    assert (row.constant_channels, row.widest_channel, row.channels) == (2, 2, 8)
    assert row.relative_range > 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_counted_and_leave_others_alone(value: float) -> None:
    model = torch_network()
    with torch.no_grad():
        model[3].weight[4, 2, :, 1] = value
    frame = analyze_weight_ranges(model)
    assert frame.loc[("3", 4), "non_finite"] == 3
    assert frame.loc[("3", 4)].drop("non_finite").isna().all()
    assert frame.drop(index=("3", 4)).notna().all(axis=None)
    assert not np.isinf(analyze_weight_ranges(model, per_channel=False)).any(axis=None)
    assert summarize_weight_ranges(model).loc["3", "non_finite"] == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_float_types_are_read(dtype: torch.dtype) -> None:
    model = torch_network().to(dtype)
    assert analyze_weight_ranges(model).equals(analyze_weight_ranges(model.double()))


def test_one_channel_and_one_weight() -> None:
    frame = analyze_weight_ranges(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 3), nn.Conv2d(3, 3, 1, groups=3)))
    assert (frame["sqnr_symmetric"] == 200).all()
    assert frame["relative_range"].isna().all()  # no channel has a range


def test_layers_are_chosen_by_name_or_pattern() -> None:
    model = onnx_network()
    assert set(analyze_weight_ranges(model, layers=["w*", "fc"]).index.unique("layer")) == {"wide", "fc"}
    with pytest.raises(UnknownNameError, match="layers has 'wied', which is no layer with weights; the nearest are 'w"):
        analyze_weight_ranges(model, layers=["wied"])
    with pytest.raises(UsageError, match="layers holds an int"):
        analyze_weight_ranges(model, layers=[3])  # type: ignore[list-item]


def test_a_model_without_weights_has_no_rows() -> None:
    frame = analyze_weight_ranges(nn.ReLU())
    assert frame.empty
    assert list(frame.columns) == COLUMNS
    assert summarize_weight_ranges(nn.ReLU()).empty


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx_network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert analyze_weight_ranges(path).equals(analyze_weight_ranges(onnx_network()))
