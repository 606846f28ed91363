"""The example input of an ONNX model: declared, or given as shape or values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto

from aimet_hooks.errors import ModelError, UsageError
from tests.unit.adapters.onnx_networks import adapter_of, array, layers_of, network, node


def one_input(shape: Any = (2, 5, 8), **options: Any) -> Any:
    return network([node("MatMul", "x w", "y", "matmul")], {"w": array(8, 3)}, inputs={"x": shape}, **options)


def two_inputs() -> Any:
    nodes = [
        node("Gather", "table ids", "e", "embedding"),
        node("Add", "e image", "a"),
        node("MatMul", "a w", "y", "fc"),
    ]
    inputs = {"image": ("batch", 4, 8), "ids": [TensorProto.INT64, ("batch", 4)]}
    return network(nodes, {"table": array(9, 8), "w": array(8, 3)}, inputs=inputs)


def macs(model: Any, **example: Any) -> tuple[int, int]:
    layer = next(layer for layer in layers_of(model, **example).values() if layer.kind == "MatMul")
    return layer.macs, layer.samples


def test_the_declared_shape_counts() -> None:
    assert macs(one_input()) == (2 * 5 * 8 * 3, 2)


def test_a_symbolic_dimension_counts_as_1_with_a_note() -> None:
    model = one_input(("batch", None, 8))
    assert macs(model) == (8 * 3, 1)
    with adapter_of(model) as adapter:
        assert list(adapter.notes) == [
            "input 'x': dimension 0 (batch) is not fixed and counts as 1; input_shape or example_inputs sets it",
            "input 'x': dimension 1 (not given) is not fixed and counts as 1, which the MACs depend on; input_shape or "
            "example_inputs sets it",
        ]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2_000_000, 1, 8), "3 dimensions and 16,000,000 values"),
        ((2**62, 5, 8), "3 dimensions and 184,467,440,737,095,516,160 values"),
        ((1,) * 69 + (8,), "70 dimensions and 8 values"),
    ],
)
def test_a_declared_shape_that_would_fill_the_memory_has_to_be_confirmed(shape: Any, said: str) -> None:
    model = one_input(shape)
    with pytest.raises(UsageError, match=f"declares that its input 'x' has {said}; give input_shape or example_inputs"):
        adapter_of(model)


def test_a_shape_that_is_given_may_be_as_large_as_the_declared_one_may_not() -> None:
    assert macs(one_input((1_000_000, 2, 8)), shape=(1_000_000, 2, 8)) == (1_000_000 * 2 * 8 * 3, 1_000_000)


def test_the_made_up_input_does_not_depend_on_the_pieces_that_it_is_made_in() -> None:
    with adapter_of(one_input((3, 100_000, 8))) as adapter:
        (made,) = adapter._example.feeds.values()
    assert np.array_equal(made, np.random.default_rng(0).standard_normal((3, 100_000, 8)).astype(np.float32))


def test_input_shape_fixes_symbolic_dimensions_without_a_note() -> None:
    model = one_input(("batch", None, 8))
    assert macs(model, shape=(6, 7, 8)) == (6 * 7 * 8 * 3, 6)
    with adapter_of(model, shape=(6, 7, 8)) as adapter:
        assert list(adapter.notes) == []


def test_macs_per_sample_do_not_depend_on_the_batch() -> None:
    per_sample = {layers_of(one_input(("batch", 5, 8)), shape=(batch, 5, 8))["matmul"].info.macs for batch in (1, 3, 8)}
    assert per_sample == {5 * 8 * 3}


@pytest.mark.parametrize(
    "values",
    [
        array(4, 5, 8),
        array(4, 5, 8, dtype=np.float64),
        (array(4, 5, 8),),
        [array(4, 5, 8)],
        {"x": array(4, 5, 8)},
        torch.ones(4, 5, 8, requires_grad=True),
    ],
    ids=["array", "double", "tuple", "list", "dict", "tensor"],
)
def test_values_are_taken_in_any_form(values: Any) -> None:
    assert macs(one_input(("batch", 5, 8)), values=values) == (4 * 5 * 8 * 3, 4)


def test_several_inputs_of_several_types() -> None:
    model = two_inputs()
    assert macs(model) == (4 * 8 * 3, 1)
    image, ids = array(3, 4, 8), np.ones((3, 4), np.int64)
    assert macs(model, values=(image, ids)) == macs(model, values={"ids": ids, "image": image}) == (3 * 4 * 8 * 3, 3)


def test_input_shape_for_several_inputs_is_refused() -> None:
    message = r"input_shape is for a model with one input, this one has 2 \(image, ids\); give example_inputs=\{name: "
    with pytest.raises(UsageError, match=message):
        adapter_of(two_inputs(), shape=(1, 4, 8))


def test_input_shape_for_a_model_without_inputs_is_refused() -> None:
    model = network([node("MatMul", "v w", "y", "matmul")], {"v": array(8, 8), "w": array(8, 3)}, inputs={"x": (1,)})
    del model.graph.input[:]
    with pytest.raises(UsageError, match=r"this one has 0 \(none\)"):
        adapter_of(model, shape=(1, 4, 8))
    assert layers_of(model) == {}


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    message = "example_inputs has 'imgae', which is no input of the model; the nearest are 'image'"
    with pytest.raises(UsageError, match=message):
        adapter_of(two_inputs(), values={"imgae": array(1, 4, 8)})


def test_a_missing_input_is_named() -> None:
    with pytest.raises(
        UsageError, match="example_inputs lacks input 'ids' of the model; give one value for each input"
    ):
        adapter_of(two_inputs(), values={"image": array(1, 4, 8)})


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_values_is_refused(count: int) -> None:
    message = rf"example_inputs has {count} values, the model has 2 inputs \(image, ids\); give one value for each"
    with pytest.raises(UsageError, match=message):
        adapter_of(two_inputs(), values=(array(1, 4, 8),) * count)


def test_an_input_that_declares_no_shape_needs_an_example() -> None:
    with pytest.raises(UsageError, match="the model does not declare the shape of its input 'x'; give input_shape or"):
        adapter_of(one_input(None))
    assert macs(one_input(None), shape=(2, 5, 8)) == (2 * 5 * 8 * 3, 2)


@pytest.mark.parametrize(
    "example",
    [{"shape": (2, 5, 9)}, {"shape": (2, 8)}, {"values": np.ones((2, 5, 8), np.int64)}],
    ids=["size", "rank", "type"],
)
def test_an_example_that_does_not_fit_is_said_with_what_the_model_says(example: Any) -> None:
    message = r"network fails on the example input: .*x.*; check input_shape or example_inputs"
    with pytest.raises(ModelError, match=f"(?s){message}"):
        layers_of(one_input(("batch", 5, 8)), **example)


def test_booleans_strings_and_scalars_are_inputs_too() -> None:
    nodes = [
        node("Cast", "flag", "f", to=TensorProto.FLOAT),
        node("MatMul", "x w", "p", "matmul"),
        node("Mul", "p f", "y"),
        node("Identity", "words", "same_words"),
    ]
    inputs = {"flag": [TensorProto.BOOL, ()], "x": (5, 8), "words": [TensorProto.STRING, (2,)]}
    layer = layers_of(network(nodes, {"w": array(8, 3)}, inputs=inputs))["matmul"]
    assert (layer.macs, layer.samples) == (5 * 8 * 3, 1)


def test_an_input_that_is_no_tensor_is_refused() -> None:
    model = one_input()
    model.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(UsageError, match="input 'x' of the model is no tensor, which is not supported"):
        adapter_of(model)
