"""all-MiniLM-L6-v2 in float64 numpy: the reference that every other implementation is compared with.

A BERT encoder of 6 layers (Devlin et al. 2019, post-layer-norm) whose token vectors are averaged and scaled to length
one (Reimers and Gurevych 2019). Written for plainness: one text at a time, so there is no padding and no mask.
"""

import json
import math
import struct

import numpy as np

LAYERS = 6
HEADS = 12
WIDTH = 384
EPSILON = 1e-12
CLS, SEP = 101, 102

_ERF_STEPS = 512
_ERF_TABLE = np.array([math.erf(step / _ERF_STEPS) for step in range(-6 * _ERF_STEPS, 6 * _ERF_STEPS + 1)])


def erf(x):
    """The error function to about 1e-15: four terms of the Taylor series from the nearest point of a table."""
    x = np.clip(x, -6, 6)
    step = np.rint(x * _ERF_STEPS)
    at = step / _ERF_STEPS
    d = x - at
    series = d * (1 + d * (-at + d * ((2 * at * at - 1) / 3 + d * (at * (3 - 2 * at * at) / 6))))
    return _ERF_TABLE[step.astype(np.intp) + 6 * _ERF_STEPS] + 2 / math.sqrt(math.pi) * np.exp(-at * at) * series


def read_safetensors(path):
    """Float tensors of a safetensors file by name, as float32."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data, "<f4", count=(end - begin) // 4, offset=8 + length + begin)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


class Reference:
    """The model in float64."""

    def __init__(self, tensors, observe=None):
        """`observe`, if given, is called with the name and the input of every dense layer."""
        self.tensors = {name: values.astype(np.float64) for name, values in tensors.items()}
        self.observe = observe

    def _linear(self, x, name):
        if self.observe:
            self.observe(name, x)
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def _normalise(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return centred / deviation * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def _attend(self, x, name):
        count = len(x)
        q, k, v = (
            self._linear(x, f"{name}.self.{part}").reshape(count, HEADS, WIDTH // HEADS).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return (scores @ v).transpose(1, 0, 2).reshape(count, WIDTH)

    def embed(self, ids):
        """Vector of length one of a text's ids, the special tokens among them (`[CLS]` … `[SEP]`)."""
        t = self.tensors
        x = t["embeddings.word_embeddings.weight"][np.asarray(ids)]
        x = x + t["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + t["embeddings.token_type_embeddings.weight"][0]
        x = self._normalise(x, "embeddings.LayerNorm")
        for index in range(LAYERS):
            layer = f"encoder.layer.{index}"
            attended = self._linear(self._attend(x, f"{layer}.attention"), f"{layer}.attention.output.dense")
            x = self._normalise(attended + x, f"{layer}.attention.output.LayerNorm")
            hidden = self._linear(x, f"{layer}.intermediate.dense")
            hidden = 0.5 * hidden * (1 + erf(hidden / math.sqrt(2)))
            x = self._normalise(self._linear(hidden, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)
