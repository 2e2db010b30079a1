"""The ONNX graph of all-MiniLM-L6-v2 in f32, shaped for the CPU kernels of ONNX Runtime.

Inputs `input_ids` and `attention_mask`, int64 [batch, sequence]; output `embedding`, float32 [batch, 384], of length one.
Token types are all zero, so there is no input for them.
"""

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from minilm_reference import EPSILON, HEADS, LAYERS, WIDTH

OPSET = 20  # the first with Gelu
CONTRIB = "com.microsoft"
WORDS = "words.bin"


class Graph:
    """Collects nodes and constants under unique names."""

    def __init__(self, prefix=""):
        self.prefix = prefix
        self.nodes = []
        self.constants = {}

    def constant(self, name, values):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def external(self, name, values, file):
        """A float constant that lies in a file beside the graph: mapped into memory, shared by all that map it."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", file), ("offset", "0"), ("length", str(values.nbytes))):
            tensor.external_data.add(key=key, value=value)
        self.constants[name] = tensor
        return name

    def add(self, kind, inputs, outputs=None, domain="", **attributes):
        name = f"{self.prefix}{kind}_{len(self.nodes)}"
        outputs = outputs or [name]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def branch(self, output):
        """This graph as a branch of `If`: it reads what it needs from the graph around it."""
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        return helper.make_graph(self.nodes, self.prefix, [], [value])

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
    """The network in f32. The int8 variant replaces the two blocks."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.graph = Graph()

    def build(self):
        g = self.graph
        unnormalised, norm = self.sum_of_embeddings(), "embeddings.LayerNorm"
        mask = g.add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        self.prepare_mask(mask)
        for index in range(LAYERS):
            layer = f"encoder.layer.{index}"
            unnormalised = self.attention_block(unnormalised, norm, layer)
            unnormalised = self.feed_forward_block(unnormalised, f"{layer}.attention.output.LayerNorm", layer)
            norm = f"{layer}.output.LayerNorm"
        x = self.normalise(unnormalised, norm)
        # The mean over the tokens that are not padding; its divisor vanishes when the vector is scaled to length one.
        axis = g.constant("axis_1", np.array([1], np.int64))
        total = g.add("Squeeze", [g.add("MatMul", [g.add("Unsqueeze", [mask, axis]), x]), axis])
        g.add("LpNormalization", [total], ["embedding"], axis=-1, p=2)
        return g.model()

    def sum_of_embeddings(self):
        g, t = self.graph, self.tensors
        words = g.external("words", t["embeddings.word_embeddings.weight"], WORDS)
        positions = t["embeddings.position_embeddings.weight"] + t["embeddings.token_type_embeddings.weight"][0]
        length = g.add("Shape", ["input_ids"], start=1, end=2)
        bounds = [g.constant("zero", np.array([0], np.int64)), length, g.constant("axis_1", np.array([1], np.int64))]
        first = g.add("Slice", [g.constant("positions", positions[None]), *bounds])
        return g.add("Add", [g.add("Gather", [words, "input_ids"], axis=0), first])

    # -- the two blocks of a layer: from one sum before normalisation to the next --------------------------------

    def attention_block(self, unnormalised, norm, layer):
        g = self.graph
        x = self.normalise(unnormalised, norm)
        parts = [self.dense(x, *self.attention_weights(layer, part)) for part in ("query", "key", "value")]
        return g.add("Add", [self.dense(self.attend(*parts), *self.weights(f"{layer}.attention.output.dense")), x])

    def feed_forward_block(self, unnormalised, norm, layer):
        g = self.graph
        x = self.normalise(unnormalised, norm)
        hidden = g.add("Gelu", [self.dense(x, *self.weights(f"{layer}.intermediate.dense"))])
        return g.add("Add", [self.dense(hidden, *self.weights(f"{layer}.output.dense")), x])

    # -- pieces ---------------------------------------------------------------------------------------------------

    def weights(self, name):
        """Name, weights [inputs, outputs] and bias of a dense layer."""
        return name, self.tensors[name + ".weight"].T, self.tensors[name + ".bias"]

    def attention_weights(self, layer, part):
        """As `weights`, the scale of the scores moved into the query."""
        name, weight, bias = self.weights(f"{layer}.attention.self.{part}")
        scale = np.float32(1 / math.sqrt(WIDTH // HEADS) if part == "query" else 1)
        return name, weight * scale, bias * scale

    def dense(self, x, name, weight, bias):
        g = self.graph
        product = g.add("MatMul", [x, g.constant(name + ".weight", weight)])
        return g.add("Add", [product, g.constant(name + ".bias", bias)])

    def normalise(self, x, name):
        return self.normalise_with(x, name, self.tensors[name + ".weight"], self.tensors[name + ".bias"])

    def normalise_with(self, x, name, weight, bias):
        g = self.graph
        constants = [g.constant(name + ".weight", weight), g.constant(name + ".bias", bias)]
        return g.add("LayerNormalization", [x, *constants], axis=-1, epsilon=EPSILON)

    def prepare_mask(self, mask):
        g = self.graph
        axes = g.constant("axes_1_2", np.array([1, 2], np.int64))
        padding = g.add("Sub", [g.constant("one", np.float32(1)), g.add("Unsqueeze", [mask, axes])])
        self.padding_bias = g.add("Mul", [padding, g.constant("minus_10000", np.float32(-10000))])
        self.without_padding = g.add("Cast", [g.add("ReduceMin", ["attention_mask"], keepdims=0)], to=TensorProto.BOOL)
        g.constant("heads", np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
        g.constant("merged", np.array([0, 0, WIDTH], np.int64))

    def attend(self, query, key, value):
        """Scaled dot-product attention (Vaswani et al. 2017). Without padding the fused kernel, which takes no mask."""
        fused = Graph(f"fused_{len(self.graph.nodes)}_")
        fused_output = fused.add(
            "MultiHeadAttention", [query, key, value], domain=CONTRIB, num_heads=HEADS, scale=1.0
        )
        masked = Graph(f"masked_{len(self.graph.nodes)}_")
        q, k, v = (
            masked.add("Transpose", [masked.add("Reshape", [part, "heads"])], perm=order)
            for part, order in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3]))
        )
        scores = masked.add("Add", [masked.add("MatMul", [q, k]), self.padding_bias])
        context = masked.add("MatMul", [masked.add("Softmax", [scores], axis=-1), v])
        masked_output = masked.add("Reshape", [masked.add("Transpose", [context], perm=[0, 2, 1, 3]), "merged"])
        return self.graph.add(
            "If",
            [self.without_padding],
            then_branch=fused.branch(fused_output),
            else_branch=masked.branch(masked_output),
        )
