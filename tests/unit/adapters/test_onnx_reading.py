"""What is said of a file that is no ONNX model, or not a whole one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx
import pytest

from aimet_hooks import analyze_weight_ranges, regular_file
from aimet_hooks.errors import ModelError
from tests.unit.adapters.onnx_networks import adapter_of, array, network, node


def a_model(opset: int = 17) -> onnx.ModelProto:
    return network([node("MatMul", "x w", "y", "matmul")], {"w": array(8, 64)}, opset=opset)


def with_external_data(folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(a_model(), path, save_as_external_data=True, location="weights", size_threshold=0)
    return path


def test_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no file '.*missing\.onnx'; give the path of an \.onnx file"):
        adapter_of(tmp_path / "missing.onnx")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no file '.*'; give the path of an \.onnx file"):
        adapter_of(tmp_path)


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 40, b"{}", b"PK\x03\x04", b"\x00" * 100, b""])
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"'.*text\.onnx' is not an ONNX model"):
        adapter_of(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(tmp_path: Path, share: float) -> None:
    path = tmp_path / "short.onnx"
    content = a_model().SerializeToString()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"'.*short\.onnx' is not an ONNX model"):
        adapter_of(path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(regular_file, "opened", refuse)  # who runs the tests as root may read anything
    with pytest.raises(ModelError, match=r"'.*model\.onnx' cannot be read: Permission denied"):
        adapter_of(path)


@pytest.mark.parametrize("opset", [7, 10])
def test_an_opset_that_is_too_old(tmp_path: Path, opset: int) -> None:
    message = rf"is of opset {opset}; opset 11 or newer is needed: onnx\.version_converter"
    with pytest.raises(ModelError, match=f"the model {message}"):
        adapter_of(a_model(opset))
    onnx.save(a_model(opset), tmp_path / "old.onnx")
    with pytest.raises(ModelError, match=rf"'.*old\.onnx' {message}"):
        adapter_of(tmp_path / "old.onnx")


def test_a_model_without_an_opset() -> None:
    model = a_model()
    del model.opset_import[:]
    with pytest.raises(ModelError, match="the model is without an opset; opset 11 or newer is needed"):
        adapter_of(model)


def test_external_data_that_is_not_there(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    (tmp_path / "weights").unlink()
    with pytest.raises(ModelError, match=r"/weights, which holds the weights of the model, is missing; put it"):
        adapter_of(path)


def test_external_data_that_was_cut_off(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    data = tmp_path / "weights"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"the external data of tensor 'w' (is 1,000 bytes long|cannot be read)"):
        adapter_of(path)


def test_external_data_of_another_length(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [8, 60]
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"tensor 'w' cannot be read: it is 2,048 bytes long, its shape needs 1,920"):
        adapter_of(path)


def test_external_data_outside_of_the_directory(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = with_external_data(folder)
    (tmp_path / "weights").write_bytes((folder / "weights").read_bytes())
    model = onnx.load(path, load_external_data=False)
    next(item for item in model.graph.initializer[0].external_data if item.key == "location").value = "../weights"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"the external data of tensor 'w' cannot be read: .*\.\./weights"):
        adapter_of(path)


def test_a_temporary_folder_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    model = a_model()
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ModelError, match=r"temporary folder .* \(No space left on device\); set TMPDIR to"):
        adapter_of(model)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", r"Is a directory|no regular file"),
        ("/etc/hostname", r"'/etc/hostname' lies outside of the model's folder"),
        ("inside/../../x", r"lies outside of the model's folder"),
        ("link", r"'link' lies outside of the model's folder"),
        ("pipe", r"it is no regular file"),
        ("short", r"'short' has 100 bytes, not 2,048 from byte 0 on; the file was cut off or belongs to another model"),
    ],
)
def test_external_data_is_a_file_of_the_right_size_in_the_folder(location: str, why: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "short").write_bytes(bytes(100))
    os.mkfifo(folder / "pipe")
    path = with_external_data(folder)
    model = onnx.load(path, load_external_data=False)
    next(item for item in model.graph.initializer[0].external_data if item.key == "location").value = location
    onnx.save(model, path)
    with pytest.raises(ModelError, match=rf"the external data of tensor 'w' cannot be read: .*({why})"):
        adapter_of(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"raw_data": b"1234"}, "tensor 'w' of the model has 4 bytes, its shape needs 2,048"),
        ({"dims": [8, -64]}, "tensor 'w' of the model has a shape that cannot be"),
        ({"dims": [1] * 70}, "tensor 'w' of the model has a shape that cannot be"),
        ({"data_type": 99}, "tensor 'w' of the model is of an unknown type"),
    ],
)
def test_a_tensor_that_is_not_what_it_says(fields: dict[str, Any], message: str) -> None:
    model = a_model()
    for name, value in fields.items():
        if isinstance(value, list):
            model.graph.initializer[0].dims[:] = value
        else:
            setattr(model.graph.initializer[0], name, value)
    with pytest.raises(ModelError, match=message):
        adapter_of(model)


def test_an_attribute_of_another_type() -> None:
    model = network([node("Conv", "x w", "y", "conv", group="text")], {"w": array(8, 4, 3, 3)})
    with pytest.raises(ModelError, match=r"Conv node 'conv' has group = b'text', which is no int"):
        analyze_weight_ranges(model)
