"""Writes all-MiniLM-L6-v2 as ONNX, in f32 and int8, and refuses to if either strays from the float64 reference.

    minilm_export.py WEIGHTS_DIR OUT_DIR

Needs `onnx`, `numpy` and `onnxruntime` (scripts/assets.py brings them). Inputs of both graphs: `input_ids` and
`attention_mask`, int64 [batch, sequence]; output `embedding`, float32 [batch, 384], of length one.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from minilm_reference import (
    EPSILON,
    HEADS,
    LAYERS,
    WIDTH,
    Reference,
    ascii_ids,
    read_safetensors,
    read_vocabulary,
)

OPSET = 20  # the first with Gelu
CONTRIB = "com.microsoft"
# Smallest cosine to the reference over the texts below.
REQUIRED = {"f32": 0.9999, "int8": 0.98}
TEXTS = [
    "a",
    "How many people live in Berlin?",
    "Revenue for the quarter ended March 2023 was $24.2 billion, up 14% year over year; net income fell by 3%.",
    "0-dimensional biomaterials lack inductive properties.",
    "The quick brown fox jumps over the lazy dog. " * 10,
    "Section 4.2 describes how the pump is started after a power failure: first close valve B, then open valve A "
    "slowly, wait until the pressure gauge shows more than 2 bar, and only then press the green button. " * 5,
]


class Graph:
    """Collects nodes and constants under unique names."""

    def __init__(self):
        self.nodes = []
        self.constants = {}

    def constant(self, name, values):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def add(self, kind, inputs, outputs=None, domain="", **attributes):
        name = f"{kind}_{len(self.nodes)}"
        outputs = outputs or [name]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def model(self):
        shape = ["batch", "sequence"]
        graph = helper.make_graph(
            self.nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])],
            list(self.constants.values()),
        )
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=9, producer_name="vectrion")


class Encoder:
    """The network; `linear` decides how a dense layer is computed, the rest is f32 in both variants."""

    def __init__(self, tensors, linear):
        self.tensors = tensors
        self.graph = Graph()
        self.linear = linear

    def dense(self, x, name, scale=1.0):
        weight = (self.tensors[name + ".weight"].T * np.float32(scale)).astype(np.float32)
        bias = (self.tensors[name + ".bias"] * np.float32(scale)).astype(np.float32)
        return self.linear(self.graph, x, name, weight, bias)

    def normalise(self, x, name):
        g = self.graph
        weight = g.constant(name + ".weight", self.tensors[name + ".weight"])
        bias = g.constant(name + ".bias", self.tensors[name + ".bias"])
        return g.add("LayerNormalization", [x, weight, bias], axis=-1, epsilon=EPSILON)

    def embed_tokens(self):
        g, t = self.graph, self.tensors
        words = g.constant("words", t["embeddings.word_embeddings.weight"])
        # Token types are all zero, so their vector belongs to the positions.
        offsets = t["embeddings.position_embeddings.weight"] + t["embeddings.token_type_embeddings.weight"][0]
        length = g.add("Shape", ["input_ids"], start=1, end=2)
        bounds = [g.constant("zero", np.array([0], np.int64)), length, g.constant("axis_1", np.array([1], np.int64))]
        positions = g.add("Slice", [g.constant("positions", offsets[None]), *bounds])
        tokens = g.add("Gather", [words, "input_ids"], axis=0)
        return self.normalise(g.add("Add", [tokens, positions]), "embeddings.LayerNorm")

    def attend(self, x, name, bias):
        g = self.graph
        heads = g.constant("heads", np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
        merged = g.constant("merged", np.array([0, 0, WIDTH], np.int64))
        # The scale of the scores sits in the query's weights.
        scales = {"query": 1 / math.sqrt(WIDTH // HEADS), "key": 1.0, "value": 1.0}
        order = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
        q, k, v = (
            g.add(
                "Transpose",
                [g.add("Reshape", [self.dense(x, f"{name}.self.{part}", scales[part]), heads])],
                perm=order[part],
            )
            for part in ("query", "key", "value")
        )
        weights = g.add("Softmax", [g.add("Add", [g.add("MatMul", [q, k]), bias])], axis=-1)
        context = g.add("Transpose", [g.add("MatMul", [weights, v])], perm=[0, 2, 1, 3])
        return g.add("Reshape", [context, merged])

    def build(self):
        g = self.graph
        x = self.embed_tokens()
        mask = g.add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        axes = g.constant("axes_1_2", np.array([1, 2], np.int64))
        padding = g.add("Sub", [g.constant("one", np.float32(1)), g.add("Unsqueeze", [mask, axes])])
        bias = g.add("Mul", [padding, g.constant("minus_10000", np.float32(-10000))])
        for index in range(LAYERS):
            layer = f"encoder.layer.{index}"
            attended = self.dense(self.attend(x, f"{layer}.attention", bias), f"{layer}.attention.output.dense")
            x = self.normalise(g.add("Add", [attended, x]), f"{layer}.attention.output.LayerNorm")
            hidden = g.add("Gelu", [self.dense(x, f"{layer}.intermediate.dense")])
            x = self.normalise(g.add("Add", [self.dense(hidden, f"{layer}.output.dense"), x]), f"{layer}.output.LayerNorm")
        # The mean over the tokens that are not padding; its divisor vanishes when the vector is scaled to length one.
        total = g.add("MatMul", [g.add("Unsqueeze", [mask, "axis_1"]), x])
        g.add("LpNormalization", [g.add("Squeeze", [total, "axis_1"])], ["embedding"], axis=-1, p=2)
        return g.model()


def dense_f32(g, x, name, weight, bias):
    product = g.add("MatMul", [x, g.constant(name + ".weight", weight)])
    return g.add("Add", [product, g.constant(name + ".bias", bias)])


def dense_int8(g, x, name, weight, bias):
    """Weights in int8, a scale per output channel; activations are quantised as they come.

    Weights use 7 bits: the AVX2 kernel adds pairs of u8 × i8 products in 16 bits, which saturate beyond.
    """
    scale = np.abs(weight).max(axis=0) / np.float32(64)
    quantised = np.clip(np.rint(weight / scale), -64, 64).astype(np.int8)
    inputs = [
        x,
        g.constant(name + ".weight", quantised),
        g.constant(name + ".scale", scale),
        g.constant(name + ".zero", np.zeros(weight.shape[1], np.int8)),
        g.constant(name + ".bias", bias),
    ]
    return g.add("DynamicQuantizeMatMul", inputs, domain=CONTRIB)


def smallest_cosine(path, ids, expected):
    """Smallest cosine to the reference, over texts run one by one and in one padded batch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(rows):
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(tokens)
        for row, values in enumerate(rows):
            tokens[row, : len(values)] = values
            mask[row, : len(values)] = 1
        return session.run(["embedding"], {"input_ids": tokens, "attention_mask": mask})[0]

    together = run(ids)
    return min(
        float(vector.astype(np.float64) @ wanted)
        for row, wanted in enumerate(expected)
        for vector in (together[row], run([ids[row]])[0])
    )


def main():
    weights_dir, out_dir = map(Path, sys.argv[1:3])
    tensors = read_safetensors(weights_dir / "model.safetensors")
    vocabulary = read_vocabulary(weights_dir / "vocab.txt")
    ids = [ascii_ids(text, vocabulary) for text in TEXTS]
    reference = Reference(tensors)
    expected = [reference.embed(row) for row in ids]
    failed = False
    for variant, linear in (("f32", dense_f32), ("int8", dense_int8)):
        started = time.monotonic()
        path = out_dir / f"{variant}.onnx"
        path.write_bytes(Encoder(tensors, linear).build().SerializeToString(deterministic=True))
        cosine = smallest_cosine(path, ids, expected)
        verdict = "" if cosine >= REQUIRED[variant] else f", BELOW THE {REQUIRED[variant]} REQUIRED"
        failed |= bool(verdict)
        size = path.stat().st_size / 1e6
        seconds = time.monotonic() - started
        print(f"assets: {variant}.onnx: {size:.1f} MB, smallest cosine {cosine:.5f}{verdict} ({seconds:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
