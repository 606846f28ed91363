"""The ONNX adapter against the behaviour that every adapter must have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from aimet_hooks.adapters.stored_weights import stored_weights
from aimet_hooks.testing.adapter_contract import AdapterContract
from tests.unit.adapters.onnx_networks import adapter_of, array, network, node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.factorization import Array

SHAPE = (2, 4, 9, 9)


class TestOnnxAdapter(AdapterContract):
    layer_names = ("conv", "depthwise", "wide", "matmul", "fc")

    def make_model(self, first_weight: float = 1.0) -> onnx.ModelProto:
        nodes = [
            node("Conv", "x w1 b1", "a", "conv", strides=[2, 1], pads=[1, 0, 1, 2]),
            node("Tanh", "a", "b"),
            node("Conv", "b w2", "c", "depthwise", group=6, auto_pad="SAME_UPPER"),
            node("Conv", "c w3", "d", "wide", dilations=[1, 2]),
            node("MatMul", "d w4", "e", "matmul"),
            node("Add", "e b4", "f"),
            node("Flatten", "f", "g"),
            node("Gemm", "g w5 b5", "y", "fc", transB=1),
        ]
        weights = {
            "w1": array(6, 4, 3, 3),
            "b1": array(6),
            "w2": array(6, 1, 3, 3),
            "w3": array(8, 6, 2, 2),
            "w4": array(7, 5),
            "b4": array(5),
            "w5": array(3, 160),
            "b5": array(3),
        }
        weights["w1"].flat[0] = first_weight
        return network(nodes, weights, inputs={"x": ("batch", *SHAPE[1:])})

    def make_adapter(self) -> Adapter:
        return adapter_of(self.make_model(), shape=SHAPE)

    def stored(self) -> Sequence[StoredLayer]:
        return stored_weights(self.make_model()).layers

    def make_adapter_of_other_weights(self) -> Adapter:
        return adapter_of(self.make_model(first_weight=1.001), shape=SHAPE)

    def outputs(self, native: Any) -> Array:
        return np.asarray(native.run(None, {"x": array(*SHAPE, seed=7)})[0])


class TestOnnxAdapterOfAFileWithExternalData(TestOnnxAdapter):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def saved(self, model: onnx.ModelProto, name: str) -> Path:
        path = self.folder / f"{name}.onnx"
        path.unlink(missing_ok=True)
        path.with_suffix(".bin").unlink(missing_ok=True)
        onnx.save(model, path, save_as_external_data=True, location=f"{name}.bin", size_threshold=0)
        return path

    def make_adapter(self) -> Adapter:
        return adapter_of(self.saved(self.make_model(), "model"), shape=SHAPE)

    def make_adapter_of_other_weights(self) -> Adapter:
        return adapter_of(self.saved(self.make_model(first_weight=1.001), "other"), shape=SHAPE)


class TestOnnxAdapterOfHalves(TestOnnxAdapter):
    tolerance = 0.02

    def make_model(self, first_weight: float = 1.0) -> onnx.ModelProto:
        model = super().make_model(first_weight)
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
        return model

    def outputs(self, native: Any) -> Array:
        x = array(*SHAPE, seed=7).astype(np.float16)
        return np.asarray(native.run(None, {"x": x})[0].astype(np.float32))
