"""Sections on single parts of the program: extraction, chunking, embedding."""

import tempfile
from pathlib import Path

from programs import measure


def extraction(bench):
    """Goal 1: pages per core-second against pdfium called bare."""
    with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory:
        folder = Path(directory) / "pdfs"
        count = bench.data.flat_copy(folder, extraction=True)
        if not count:
            return bench.report.say("extraction", "no PDF in the data")
        found = measure("examples/extract_bench", folder, 3)
    bare = found["bare_pages_per_core_s"]
    add = lambda name, value, unit, **rest: bench.report.add("extraction", name, value, unit, **rest)  # noqa: E731
    against = f"pdfium bare {bare:.0f}"
    files = f"{found['files']} files, {found['pages']} pages"
    one, two = found["pages_per_s_one_process"], found["pages_per_s_two_processes"]
    text, whole = found["pages_per_core_s"], found["pages_per_core_s_with_hidden_text"]
    add("text, layout, transfer", text, "pages/core-s", against=against, ratio=text / bare, at_least=0.95, note=files)
    add("with the search for hidden text", whole, "pages/core-s", against=against, ratio=whole / bare)
    add("rendering for hidden text, share of the time", 100 * (1 - whole / text), "%")
    add("one process", one, "pages/s")
    add("two processes", two, "pages/s", against=f"one {one:.0f}", ratio=two / one, at_least=1.8)
    add("two processes, with the search for hidden text", found["pages_per_s_two_with_hidden_text"], "pages/s")


def chunking(bench):
    """Goal 2: token-exact chunks against text-splitter with the same tokenizer."""
    with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory:
        file = Path(directory) / "text.txt"
        file.write_text("\n\n".join(bench.data.texts()), encoding="utf-8")
        found = measure("examples/chunking", 200, file)
    theirs = found["text_splitter_mb_per_s"]
    bench.report.add(
        "chunking",
        "chunks with their token ids",
        found["mb_per_s_on_part"],
        "MB/s",
        against=f"text-splitter {theirs:.2f}",
        ratio=found["ratio"],
        at_least=5,
        note=f"the same {found['part_megabytes']:.1f} MB",
    )
    bench.report.add("chunking", "all of the text", found["mb_per_s"], "MB/s", note=f"{found['megabytes']:.1f} MB")
    wrong = found["chunks_with_other_ids"] + found["chunks_over_the_limit"]
    note = f"{found['chunks']} chunks"
    name = "chunks with other ids than the tokenizer's, or too long"
    bench.report.add("chunking", name, wrong, "chunks", at_most=0, note=note)


def embedding(bench):
    """Goal 3: the local embedder against ONNX Runtime called bare."""
    bare = bench.raw_embedder("f32")["bare_chunks_per_s"]
    for variant, least in (("f32", 0.95), ("int8", 1.4)):
        found = bench.raw_embedder(variant)
        rate, threads = found["chunks_per_s"], found["threads"]
        bench.report.add(
            "embedding",
            variant,
            rate,
            "chunks/s",
            against=f"ONNX Runtime f32 bare {bare:.1f}",
            ratio=rate / bare,
            at_least=least,
            note=f"{found['tokens_per_chunk']} tokens, {threads} threads",
        )
        own = found["bare_chunks_per_s"]
        if variant == "int8":
            against = f"ONNX Runtime int8 bare {own:.1f}"
            bench.report.add("embedding", "int8, its own graph bare", rate, "chunks/s", against=against, ratio=rate / own)
        name = f"{variant}, a question alone"
        busy = f"{found['query_ms_while_ingesting']:.1f} ms while passages are embedded"
        bench.report.add("embedding", name, found["query_ms"], "ms", note=busy)
