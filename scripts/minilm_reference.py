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
CLS, SEP, UNK = 101, 102, 100

_erf = np.vectorize(math.erf, otypes=[np.float64])


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

    def __init__(self, tensors):
        self.tensors = {name: values.astype(np.float64) for name, values in tensors.items()}

    def _linear(self, x, name):
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
            hidden = 0.5 * hidden * (1 + _erf(hidden / math.sqrt(2)))
            x = self._normalise(self._linear(hidden, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def ascii_ids(text, vocabulary):
    """Ids of an ASCII text by WordPiece, with the special tokens. The real tokenizer knows the rest of Unicode."""
    ids, word = [CLS], ""
    for character in text.lower() + " ":
        if character.isalnum():
            word += character
            continue
        ids += _pieces(word, vocabulary)
        word = ""
        if not character.isspace():
            ids += _pieces(character, vocabulary)
    return [*ids, SEP]


def _pieces(word, vocabulary):
    ids, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if (piece := vocabulary.get(prefix + word[start:end])) is not None:
                break
        else:
            return [UNK]
        ids.append(piece)
        start = end
    return ids


def read_vocabulary(path):
    """Ids by token of a `vocab.txt`."""
    with open(path, encoding="utf-8") as file:
        return {line.rstrip("\n"): number for number, line in enumerate(file)}
