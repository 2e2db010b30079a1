"""Writes all-MiniLM-L6-v2 as ONNX, in f32 and int8, and refuses to if either strays from the float64 reference.

    minilm_export.py WEIGHTS_DIR OUT_DIR

Needs `onnx`, `numpy`, `tokenizers` and `onnxruntime` (scripts/assets.py brings them). Both graphs read the word vectors
from `words.bin` beside them.
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from minilm_graph import WORDS, Encoder
from minilm_int8 import QuantisedEncoder, calibration_ids, measure_ranges
from minilm_reference import Reference, read_safetensors

# Smallest cosine to the reference over the texts below, which are not those of the calibration.
REQUIRED = {"f32": 0.9999, "int8": 0.98}
TEXTS = [
    "Hi",
    "Who signed the contract?",
    "0-dimensional biomaterials lack inductive properties.",
    "Close the main tap before the filter is changed. Rinse the new filter for two minutes and check it for leaks.",
    "Der Vertrag verlängert sich um ein Jahr, wenn er nicht fristgerecht gekündigt wird.",
    "The river rises in the hills north of the town and flows past mills, meadows and a ruined abbey to the sea. " * 9,
]


def smallest_cosine(path, rows, expected):
    """Smallest cosine to the reference, over texts run one by one and in one padded batch."""
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch):
        ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
        mask = np.zeros_like(ids)
        for line, row in enumerate(batch):
            ids[line, : len(row)] = row
            mask[line, : len(row)] = 1
        return session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0].astype(np.float64)

    together = run(rows)
    return min(
        float(vector @ wanted)
        for line, wanted in enumerate(expected)
        for vector in (together[line], run([rows[line]])[0])
    )


def main():
    weights_dir, out_dir = map(Path, sys.argv[1:3])
    tensors = read_safetensors(weights_dir / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(weights_dir / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    reference = Reference(tensors)
    expected = [reference.embed(row) for row in rows]
    words = tensors["embeddings.word_embeddings.weight"]
    (out_dir / WORDS).write_bytes(words.astype("<f4").tobytes())

    failed = False
    for variant in ("f32", "int8"):
        started = time.monotonic()
        if variant == "f32":
            encoder = Encoder(tensors)
        else:
            encoder = QuantisedEncoder(tensors, measure_ranges(tensors, calibration_ids(tokenizer, len(words))))
        path = out_dir / f"{variant}.onnx"
        path.write_bytes(encoder.build().SerializeToString(deterministic=True))
        cosine = smallest_cosine(path, rows, expected)
        failed |= cosine < REQUIRED[variant]
        verdict = f"BELOW the {REQUIRED[variant]} required" if cosine < REQUIRED[variant] else "good"
        size, seconds = path.stat().st_size / 1e6, time.monotonic() - started
        print(
            f"assets: {variant}.onnx: {size:.1f} MB, smallest cosine to the reference {cosine:.5f}, {verdict} "
            f"({seconds:.1f} s)",
            flush=True,
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
