"""Train the demo network that ships with the package, and write it and its test data.

Run from anywhere, with torch, onnx, onnxscript, onnxruntime and scikit-learn installed::

    python scripts/train_demo_network.py

It trains a small residual network on scikit-learn's handwritten digits (1,797 images of
8 x 8 pixels) on one CPU thread, folds the batch norms into the convolutions, and writes

* ``aimet_hooks/demo/digits.onnx``: input ``image``, float32, (batch, 1, 8, 8), values 0..1
  (the stored pixel divided by 16); output ``logits``, float32, (batch, 10);
* ``aimet_hooks/demo/digits_test.npz``: the 360 images kept out of training, as ``images``,
  uint8, (360, 1, 8, 8), values 0..16, and ``labels``, int64, (360,).

The files are written only if the network meets the requirements listed in
``check_requirements``.

The same seed on the same machine with the same library versions gives the same accuracy.
Another type of CPU, or another version of torch, may sum floats in another order: the
weights then differ in their last bits, these differences grow during training, and the
accuracy may come out slightly different.
"""

from __future__ import annotations

import ast
import io
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SEED = 0
EPOCHS = 90
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 0.1
# Strong for so small a network: it leaves the weights with few large singular values, so that
# half of the MACs can go without fine-tuning. With 2e-3 that depends on the seed.
WEIGHT_DECAY = 5e-3
LABEL_SMOOTHING = 0.1

TEST_IMAGES = 360
PIXEL_MAX = 16.0
OPSET = 18
IR_VERSION = 10
BATCH_NORM_SUFFIX = "_bn"
SCOPES_KEY = "pkg.torch.onnx.name_scopes"

MIN_ACCURACY = 0.985
MAX_ONNX_BYTES = 600_000
MAX_NPZ_BYTES = 50_000
MAX_LOGIT_DIFFERENCE = 1e-3

DEMO_FOLDER = Path(__file__).resolve().parent.parent / "aimet_hooks" / "demo"


class DigitsSplit(NamedTuple):
    """Images are uint8, (count, 1, 8, 8), values 0..16; labels are int64, (count,)."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]


def load_digits_split() -> DigitsSplit:
    """Return the digits as 1,437 training and 360 test images, always split the same way."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, np.newaxis]
    labels = digits.target.astype(np.int64)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_IMAGES, stratify=labels, random_state=0
    )
    return DigitsSplit(train_images, train_labels, test_images, test_labels)


def normalise(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Turn stored pixels, uint8, 0..16, into the network's input, float32, 0..1."""
    return images.astype(np.float32) / np.float32(PIXEL_MAX)


def conv2d(inputs: int, outputs: int, kernel: int, *, batch_norm: bool, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution (b, inputs, h, w) -> (b, outputs, h / stride, w / stride).

    It has a bias unless a batch norm follows.
    """
    padding = kernel // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=padding, groups=groups, bias=not batch_norm)


def norm2d(channels: int, *, batch_norm: bool) -> nn.Module:
    """Return a batch norm, or an identity for the folded network."""
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (b, inputs, h, w) -> (b, outputs, h/s, w/s).

    The shortcut is the input itself, or a 1x1 convolution where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, batch_norm: bool) -> None:
        super().__init__()
        self.conv1 = conv2d(inputs, outputs, 3, stride=stride, batch_norm=batch_norm)
        self.conv1_bn = norm2d(outputs, batch_norm=batch_norm)
        self.relu1 = nn.ReLU()
        self.conv2 = conv2d(outputs, outputs, 3, batch_norm=batch_norm)
        self.conv2_bn = norm2d(outputs, batch_norm=batch_norm)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_bn: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = conv2d(inputs, outputs, 1, stride=stride, batch_norm=batch_norm)
            self.shortcut_bn = norm2d(outputs, batch_norm=batch_norm)
        self.relu2 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 (b, inputs, h, w) to float32 (b, outputs, h/stride, w/stride)."""
        hidden = self.relu1(self.conv1_bn(self.conv1(features)))
        hidden = self.conv2_bn(self.conv2(hidden))
        output: Tensor = self.relu2(hidden + self.shortcut_bn(self.shortcut(features)))
        return output


class DepthwiseBlock(nn.Module):
    """A residual block around a depthwise 3x3 convolution: (b, c, h, w) -> (b, c, h, w).

    A 1x1 convolution expands to ``hidden`` channels before it, and one projects back after.
    """

    def __init__(self, channels: int, hidden: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.expand = conv2d(channels, hidden, 1, batch_norm=batch_norm)
        self.expand_bn = norm2d(hidden, batch_norm=batch_norm)
        self.relu1 = nn.ReLU()
        self.depthwise = conv2d(hidden, hidden, 3, groups=hidden, batch_norm=batch_norm)
        self.depthwise_bn = norm2d(hidden, batch_norm=batch_norm)
        self.relu2 = nn.ReLU()
        self.project = conv2d(hidden, channels, 1, batch_norm=batch_norm)
        self.project_bn = norm2d(channels, batch_norm=batch_norm)
        self.relu3 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 (b, channels, h, w) to float32 of the same shape."""
        hidden = self.relu1(self.expand_bn(self.expand(features)))
        hidden = self.relu2(self.depthwise_bn(self.depthwise(hidden)))
        hidden = self.project_bn(self.project(hidden))
        output: Tensor = self.relu3(hidden + features)
        return output


class DigitsNet(nn.Module):
    """The demo network: float32 images (b, 1, 8, 8), values 0..1 -> float32 logits (b, 10).

    With ``batch_norm`` it is the network to train. Without, every batch norm is an identity
    and every convolution has a bias: the folded network.
    """

    def __init__(self, *, batch_norm: bool = True) -> None:
        super().__init__()
        self.stem = conv2d(1, 32, 3, batch_norm=batch_norm)
        self.stem_bn = norm2d(32, batch_norm=batch_norm)
        self.stem_relu = nn.ReLU()
        self.block1 = ResidualBlock(32, 32, stride=1, batch_norm=batch_norm)
        self.block2 = ResidualBlock(32, 64, stride=2, batch_norm=batch_norm)
        self.block3 = DepthwiseBlock(64, 96, batch_norm=batch_norm)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(64, 64)
        self.fc1_relu = nn.ReLU()
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Map float32 images (b, 1, 8, 8) to float32 logits (b, 10)."""
        features = self.stem_relu(self.stem_bn(self.stem(image)))
        features = self.block3(self.block2(self.block1(features)))
        features = self.flatten(self.pool(features))
        logits: Tensor = self.head(self.fc1_relu(self.fc1(features)))
        return logits


@torch.no_grad()
def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return ``model`` as a ``DigitsNet`` in eval mode with its batch norms folded away.

    Each norm's scale and shift (float64 while folding) go into the weight, float32,
    (m, n / groups, kh, kw), and the bias, float32, (m,), of the convolution before it.
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name, norm in model.named_modules():
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        conv = name.removesuffix(BATCH_NORM_SUFFIX)
        mean, variance, scale, shift = (
            state.pop(f"{name}.{key}").double() for key in ("running_mean", "running_var", "weight", "bias")
        )
        state.pop(f"{name}.num_batches_tracked")
        factor = scale / torch.sqrt(variance + norm.eps)
        weight = state[f"{conv}.weight"].double() * factor[:, None, None, None]
        state[f"{conv}.weight"] = weight.float()
        state[f"{conv}.bias"] = (shift - mean * factor).float()
    folded = DigitsNet(batch_norm=False)
    folded.load_state_dict(state)
    return folded.eval()


def load_folded_from_onnx(path: str | Path) -> nn.Module:
    """Rebuild the folded network, in eval mode, from the weights in the ONNX file."""
    initializers = onnx.load(path).graph.initializer
    state = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in initializers}
    folded = DigitsNet(batch_norm=False)
    folded.load_state_dict(state)
    return folded.eval()


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, turn and scale each float32 image of (b, 1, 8, 8) a little, at random."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * limit

    angle, zoom = uniform(0.2), 1 + uniform(0.12)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    across = torch.stack([cosine, -sine, uniform(0.2)], dim=1)
    down = torch.stack([sine, cosine, uniform(0.2)], dim=1)
    size = list(images.shape)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), size, align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(seed: int) -> DigitsNet:
    """Train on the training images; return the network, with batch norms, in eval mode."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    split = load_digits_split()
    images = torch.from_numpy(normalise(split.train_images))
    labels = torch.from_numpy(split.train_labels)
    model = DigitsNet()
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            logits = model(distort(images[batch], generator))
            loss = functional.cross_entropy(logits, labels[batch], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return model.eval()


def node_name(node: onnx.NodeProto, folded: nn.Module) -> str:
    """Return the qualified name of the module a node comes from, as in ``block1.conv1``.

    An operation in the ``forward`` of a larger module adds its type, as in ``block1.add``.
    """
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    scope: str = ast.literal_eval(metadata[SCOPES_KEY])[-2]
    if any(folded.get_submodule(scope).children()):
        return f"{scope}.{node.op_type.lower()}"
    return scope


def plain_node(node: onnx.NodeProto, name: str, outputs: dict[str, str]) -> onnx.NodeProto:
    """Copy a node under ``name``, without metadata, and note its output's new name.

    The exporter writes the pooling and the flattening as ReduceMean and Reshape, each with a
    constant input; they become GlobalAveragePool and Flatten, which need none.
    """
    inputs = [outputs.get(tensor, tensor) for tensor in node.input]
    if node.output[0] != "logits":
        outputs[node.output[0]] = f"{name}.out"
    output = [outputs.get(node.output[0], node.output[0])]
    if node.op_type == "ReduceMean":
        return helper.make_node("GlobalAveragePool", inputs[:1], output, name)
    if node.op_type == "Reshape":
        return helper.make_node("Flatten", inputs[:1], output, name, axis=1)
    plain = helper.make_node(node.op_type, inputs, output, name)
    plain.attribute.extend(node.attribute)
    return plain


def export_onnx(folded: nn.Module) -> onnx.ModelProto:
    """Export the folded network with a dynamic batch and the names of the torch modules.

    Every initializer is a parameter of the network, under its name in the state dict.
    """
    program = torch.onnx.export(
        folded,
        (torch.zeros(2, 1, 8, 8),),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    outputs: dict[str, str] = {}
    graph = helper.make_graph(
        [plain_node(node, node_name(node, folded), outputs) for node in program.model_proto.graph.node],
        "digits",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.numpy(), name) for name, value in folded.state_dict().items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def run_onnx(model: bytes, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Run a serialized model on float32 images (b, 1, 8, 8), on one thread: logits (b, 10)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": images})[0], dtype=np.float32)


def compress_test_data(split: DigitsSplit) -> bytes:
    """Return the bytes of the .npz file with the test images and labels."""
    file = io.BytesIO()
    np.savez_compressed(file, images=split.test_images, labels=split.test_labels)
    return file.getvalue()


def check_requirements(model: onnx.ModelProto, folded: nn.Module, test_data: bytes) -> None:
    """Raise ``ValueError`` unless the demo files are good enough.

    Required: a test accuracy of ``MIN_ACCURACY`` in float32 onnxruntime, the same logits as
    torch, a layer node for each torch layer under the layer's name, and small files.
    """
    content = model.SerializeToString()
    arrays = np.load(io.BytesIO(test_data))
    images, labels = normalise(arrays["images"]), arrays["labels"]
    logits = run_onnx(content, images)
    accuracy = float(np.mean(logits.argmax(axis=1) == labels))
    with torch.no_grad():
        difference = np.abs(folded(torch.from_numpy(images)).numpy() - logits).max()
    layers = [name for name, layer in folded.named_modules() if hasattr(layer, "weight")]
    nodes = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    requirements = {
        f"accuracy {accuracy:.4f} >= {MIN_ACCURACY}": accuracy >= MIN_ACCURACY,
        f"{len(labels)} test images": len(labels) == TEST_IMAGES,
        f"logits within {difference:.1e} of torch": difference <= MAX_LOGIT_DIFFERENCE,
        f"layer nodes are {', '.join(layers)}": sorted(nodes) == sorted(layers),
        f"ONNX file of {len(content)} bytes": len(content) <= MAX_ONNX_BYTES,
        f"test data of {len(test_data)} bytes": len(test_data) <= MAX_NPZ_BYTES,
    }
    for requirement, met in requirements.items():
        print("met:    " if met else "NOT MET:", requirement)
    if not all(requirements.values()):
        raise ValueError("the demo network does not meet the requirements; nothing was written")


def main() -> None:
    """Train the demo network, check it, and write the two demo files."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    folded = fold_batch_norm(train(SEED))
    print(f"trained in {time.perf_counter() - start:.0f} s")
    model = export_onnx(folded)
    test_data = compress_test_data(load_digits_split())
    check_requirements(model, folded, test_data)
    DEMO_FOLDER.mkdir(parents=True, exist_ok=True)
    (DEMO_FOLDER / "digits.onnx").write_bytes(model.SerializeToString())
    (DEMO_FOLDER / "digits_test.npz").write_bytes(test_data)
    print(f"wrote digits.onnx and digits_test.npz to {DEMO_FOLDER}")


if __name__ == "__main__":
    main()
