"""ONNX models. The only place, with its neighbours in this folder, that imports onnx and onnxruntime."""

from aimet_hooks.adapters.onnx_graph.adapter import OnnxAdapter

__all__ = ["OnnxAdapter"]
