# ruff: noqa: S101 - a contract asserts; pytest rewrites these, so that a failure shows both sides
"""What every adapter must do, as tests to inherit: PyTorch, ONNX and those of third parties are held against them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aimet_hooks.cost import full_rank
from aimet_hooks.errors import ModelError
from aimet_hooks.factorization import zeros
from aimet_hooks.schemes import SpatialSvd, WeightSvd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aimet_hooks.adapters import Adapter
    from aimet_hooks.adapters.stored_weights import StoredLayer
    from aimet_hooks.factorization import Array, Replacement
    from aimet_hooks.layers import Layer
    from aimet_hooks.schemes import SvdScheme


class AdapterContract(ABC):
    """Tests of an ``aimet_hooks.adapters.Adapter``; a subclass says which model it is tried on.

    The model should have several layers that can be replaced, one of them a convolution, and one that cannot::

        class TestMyAdapter(AdapterContract):
            layer_names = ("conv1", "conv2", "fc")

            def make_adapter(self): return MyAdapter(small_model())
            def make_adapter_of_other_weights(self): return MyAdapter(small_model(first_weight=2.0))
            def outputs(self, native): return native.run(INPUTS)
            def stored(self): return stored_weights(small_model()).layers

    Attributes:
        layer_names: Every layer with weights of the model, in network order.
        tolerance: Error that a full-rank replacement may make, as a share of the outputs' largest value.
    """

    layer_names: Sequence[str] = ()
    tolerance: float = 1e-5

    @abstractmethod
    def make_adapter(self) -> Adapter:
        """An adapter that was not entered yet, for a new model with the same structure and weights at every call."""

    @abstractmethod
    def make_adapter_of_other_weights(self) -> Adapter:
        """The same for a model of the same structure, of which one weight has another value."""

    @abstractmethod
    def outputs(self, native: Any) -> Array:
        """What a native model, as the callback gets it, computes for an input that is always the same."""

    @abstractmethod
    def stored(self) -> Sequence[StoredLayer]:
        """The stored weights of such a model, as ``stored_weights(model).layers`` gives them."""

    # -- layers ------------------------------------------------------------------------------------------------------

    def test_layers_come_in_network_order_with_unique_names(self) -> None:
        """``layers()`` lists every layer with weights once, in the order in which the input reaches them."""
        with self.make_adapter() as adapter:
            names = [layer.name for layer in adapter.layers()]
        assert tuple(names) == tuple(self.layer_names)
        assert len(set(names)) == len(names)

    def test_layers_are_the_same_when_asked_again(self) -> None:
        """``layers()`` is the same each time, also for another adapter of an equal model."""
        with self.make_adapter() as adapter, self.make_adapter() as another:
            assert list(adapter.layers()) == list(adapter.layers()) == list(another.layers())

    def test_some_layers_can_be_replaced(self) -> None:
        """The model is one that the other tests can be held on."""
        with self.make_adapter() as adapter:
            assert len(_replaceable(adapter)) >= 2, "the model of the contract needs at least two replaceable layers"
            assert any(layer.geometry and layer.geometry.kernel for layer in _replaceable(adapter)), "no convolution"

    def test_every_layer_has_shapes_or_a_reason(self) -> None:
        """A layer has a geometry if it can be replaced, and a reason in words if it cannot."""
        with self.make_adapter() as adapter:
            for layer in adapter.layers():
                assert (layer.geometry is None) == (layer.reason is not None), layer
                assert layer.reason is None or layer.reason.strip(), layer

    def test_costs_are_positive(self) -> None:
        """Every layer costs weights; one that can be replaced costs MACs as well."""
        with self.make_adapter() as adapter:
            for layer in adapter.layers():
                assert layer.weights > 0, layer
                assert layer.macs >= 0, layer
                assert layer.samples >= 1, layer
                assert layer.kind, layer
            assert all(layer.macs > 0 for layer in _replaceable(adapter))

    def test_costs_follow_from_the_shapes(self) -> None:
        """``weight_shape``, ``macs`` and ``weights`` say the same as ``geometry``."""
        with self.make_adapter() as adapter:
            for layer in _replaceable(adapter):
                geometry = layer.geometry
                assert geometry is not None
                assert layer.weight_shape == (geometry.out_channels, geometry.in_channels, *geometry.kernel), layer
                assert len(geometry.kernel) == len(geometry.input_size) == len(geometry.output_size), layer
                assert (layer.macs, layer.weights) == (geometry.macs, geometry.weights), layer

    def test_weights_have_the_shape_of_their_layer(self) -> None:
        """``weight()`` is an array (out, in, *kernel) of float32 or float64."""
        with self.make_adapter() as adapter:
            for layer in _replaceable(adapter):
                weight = adapter.weight(layer.name)
                assert isinstance(weight, np.ndarray), layer
                assert weight.shape == layer.weight_shape
                assert weight.dtype in (np.float32, np.float64)

    # -- the model while it is explored ------------------------------------------------------------------------------

    def test_the_original_is_what_the_callback_gets_each_time(self) -> None:
        """``original()`` computes the same, bit for bit, whenever it is asked for."""
        with self.make_adapter() as adapter:
            assert np.array_equal(self._original(adapter), self._original(adapter))

    def test_full_rank_reproduces_the_outputs(self) -> None:
        """A replacement of full rank computes what the layer computes, whatever the scheme."""
        with self.make_adapter() as adapter:
            expected = self._original(adapter)
            for layer in _replaceable(adapter):
                for scheme in _schemes(layer):
                    with adapter.swapped(layer.name, _full_rank(adapter, layer, scheme)) as native:
                        self._assert_reproduced(self.outputs(native), expected, f"{layer.name} by {scheme.name}")

    def test_a_replacement_takes_part(self) -> None:
        """What ``swapped()`` gives really works with the replacement."""
        with self.make_adapter() as adapter:
            expected = self._original(adapter)
            for layer in _replaceable(adapter):
                with adapter.swapped(layer.name, _nothing(layer)) as native:
                    assert not np.array_equal(self.outputs(native), expected), f"{layer.name} is still in its place"

    def test_a_replaced_layer_is_put_back(self) -> None:
        """After ``swapped()`` the model is as it was."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            for layer in _replaceable(adapter):
                with adapter.swapped(layer.name, _nothing(layer)):
                    pass

    def test_a_replaced_layer_is_put_back_after_an_exception(self) -> None:
        """It is put back too after an exception, Ctrl-C and exit included."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            for error in (RuntimeError, KeyboardInterrupt, SystemExit):
                layer = _replaceable(adapter)[0]
                with suppress(error), adapter.swapped(layer.name, _nothing(layer)):
                    raise error

    def test_the_example_runs_with_and_without_a_replacement(self) -> None:
        """``run_example()`` takes what the callback gets, and leaves no trace."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            with adapter.original() as native:
                adapter.run_example(native)
            for layer in _replaceable(adapter):
                with adapter.swapped(layer.name, _nothing(layer)) as native:
                    adapter.run_example(native)

    def test_an_exploration_is_no_change_of_the_model(self) -> None:
        """``changes()`` blames nobody for what the adapter does itself."""
        with self.make_adapter() as adapter:
            adapter.fingerprint()
            for layer in _replaceable(adapter):
                with adapter.swapped(layer.name, _nothing(layer)) as native:
                    self.outputs(native)
                assert list(adapter.changes()) == []
            assert list(adapter.changes(thorough=True)) == []

    # -- other weights -----------------------------------------------------------------------------------------------

    def test_a_layer_with_its_own_weight_computes_the_same(self) -> None:
        """``reweighted()`` with the stored weight changes nothing, in grouped layers as well."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            expected = self._original(adapter)
            for layer in self.stored():
                with adapter.reweighted(layer.name, layer.read()) as native:
                    assert np.array_equal(self.outputs(native), expected), layer.name

    def test_another_weight_takes_part(self) -> None:
        """``reweighted()`` really works with the weight that it is given."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            expected = self._original(adapter)
            for layer in self.stored():
                with adapter.reweighted(layer.name, layer.read() / 2) as native:
                    assert not np.array_equal(self.outputs(native), expected), layer.name
                    adapter.run_example(native)

    def test_the_old_weight_is_put_back_after_an_exception(self) -> None:
        """It is put back too after an exception, Ctrl-C and exit included, and is no change of the model."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            for error in (RuntimeError, KeyboardInterrupt, SystemExit):
                for layer in self.stored():
                    with suppress(error), adapter.reweighted(layer.name, layer.read() * 0):
                        raise error
            assert list(adapter.changes(thorough=True)) == []

    def test_the_output_of_a_layer_follows_its_weight(self) -> None:
        """``layer_output()`` is what the layer gives for the example, with its own weight or another."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            for layer in self.stored():
                own, same, other = (
                    adapter.layer_output(layer.name, weight) for weight in (None, layer.read(), layer.read() / 2)
                )
                assert own is not None, layer.name
                assert same is not None, layer.name
                assert other is not None, layer.name
                assert np.array_equal(own, same), layer.name
                assert own.shape == other.shape, layer.name
                assert not np.array_equal(own, other), layer.name
            assert list(adapter.changes(thorough=True)) == []

    def test_a_layer_without_a_weight_of_its_own_is_refused(self) -> None:
        """``reweighted()`` refuses what ``stored_weights`` does not list."""
        with self.make_adapter() as adapter, pytest.raises(ModelError), adapter.reweighted("?", np.zeros((1, 1))):
            pass

    # -- the result --------------------------------------------------------------------------------------------------

    def test_a_build_starts_as_the_original(self) -> None:
        """``begin_build()`` starts from the original's weights and outputs."""
        with self.make_adapter() as adapter:
            expected = self._original(adapter)
            build = adapter.begin_build()
            for layer in _replaceable(adapter):
                assert np.array_equal(build.weight(layer.name), adapter.weight(layer.name))
            with build.evaluated() as native:
                assert np.array_equal(self.outputs(native), expected)

    def test_a_build_of_full_ranks_reproduces_the_outputs(self) -> None:
        """All layers replaced at full rank compute what the original computes."""
        with self.make_adapter() as adapter:
            expected = self._original(adapter)
            build = adapter.begin_build()
            for layer in _replaceable(adapter):
                build.replace(layer.name, _full_rank(adapter, layer, WeightSvd()))
            with build.evaluated() as native:
                self._assert_reproduced(self.outputs(native), expected, "all layers")
            assert build.model is not None

    def test_a_build_never_touches_the_original(self) -> None:
        """Whatever the result becomes, the original stays."""
        with self.make_adapter() as adapter, self._left_as_it_was(adapter):
            expected = self._original(adapter)
            build = adapter.begin_build()
            for layer in _replaceable(adapter):
                build.replace(layer.name, _nothing(layer))
            with build.evaluated() as native:
                assert not np.array_equal(self.outputs(native), expected)

    # -- what identifies and describes the model -----------------------------------------------------------------------

    def test_the_fingerprint_is_stable(self) -> None:
        """Equal models have equal fingerprints, before and after an exploration."""
        with self.make_adapter() as adapter, self.make_adapter() as another:
            fingerprint = adapter.fingerprint()
            layer = _replaceable(adapter)[0]
            with adapter.swapped(layer.name, _nothing(layer)) as native:
                adapter.run_example(native)
            assert fingerprint
            assert fingerprint == adapter.fingerprint() == another.fingerprint()

    def test_the_fingerprint_tells_weights_apart(self) -> None:
        """Another value of one weight is another fingerprint."""
        with self.make_adapter() as adapter, self.make_adapter_of_other_weights() as another:
            assert adapter.fingerprint() != another.fingerprint()

    def test_the_model_is_described_for_the_log(self) -> None:
        """Name, notes and settings can be written to the log as they are."""
        with self.make_adapter() as adapter:
            assert adapter.model_name
            assert all(isinstance(note, str) for note in adapter.notes)
            settings = dict(adapter.settings())
        assert json.loads(json.dumps(settings, allow_nan=False)) == settings
        assert "framework" in settings

    def test_a_foreign_object_is_no_layer(self) -> None:
        """``names_within()`` finds nothing in an object that is no part of the model."""
        with self.make_adapter() as adapter:
            adapter.layers()
            assert adapter.names_within(object()) == set()

    def _original(self, adapter: Adapter) -> Array:
        with adapter.original() as native:
            return np.array(self.outputs(native))

    @contextmanager
    def _left_as_it_was(self, adapter: Adapter) -> Iterator[None]:
        outputs, fingerprint = self._original(adapter), adapter.fingerprint()
        yield
        assert np.array_equal(self._original(adapter), outputs)
        assert adapter.fingerprint() == fingerprint

    def _assert_reproduced(self, actual: Array, expected: Array, what: str) -> None:
        assert actual.shape == expected.shape
        error = float(np.abs(actual - expected).max() / np.abs(expected).max())
        assert error <= self.tolerance, f"{what}: error {error:.2e} of the largest output"


def _replaceable(adapter: Adapter) -> list[Layer]:
    return [layer for layer in adapter.layers() if layer.reason is None]


def _schemes(layer: Layer) -> list[SvdScheme]:
    return [SpatialSvd(), WeightSvd()] if layer.geometry and layer.geometry.kernel else [WeightSvd()]


def _full_rank(adapter: Adapter, layer: Layer, scheme: SvdScheme) -> Replacement:
    assert layer.geometry is not None
    rank = full_rank(layer.geometry, scheme.first_axes)
    return scheme.prepare(adapter.weight(layer.name), rank).at(rank)


def _nothing(layer: Layer) -> Replacement:
    return zeros(layer.weight_shape, (), 1)
