"""Searches under load, with synthetic vectors: the server and the index, without the time of a model."""

import itertools
import tempfile
import time
from pathlib import Path

from data import write_questions
from ingest import errors
from memory import PeakMemory
from programs import measure
from server import Server, is_indexed, stub_embedder

DOCUMENT_BYTES = 50_000
FIRST_DOCUMENTS = 20
SIZES = (10_000, 100_000)


def retrieval(bench):
    sizes = SIZES if bench.data.scifact() or bench.full else SIZES[:1]
    if len(sizes) < len(SIZES):
        bench.report.say("retrieval", "100k chunks are measured with DATA that holds qa_scifact, or with FULL=1")
    with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory, stub_embedder() as url:
        directory = Path(directory)
        file = write_questions(directory / "questions.jsonl", bench.data.synthetic_questions())
        documents = bench.data.synthetic_documents(DOCUMENT_BYTES)
        settings = (f"models.embed={url}", "models.embed_model=synthetic", "models.embed_dimension=384")
        with Server(*settings) as server, PeakMemory(server.pid, every=0.5) as memory:
            chunks, files = 0, 0
            for size in sizes:
                began, before = time.monotonic(), chunks
                while chunks < size:
                    # The first few documents tell how many chunks one makes.
                    missing = FIRST_DOCUMENTS if files == 0 else max(1, round((size - chunks) / (chunks / files)))
                    added = fill(server, directory / f"part-{files}", documents, missing)
                    chunks += added
                    files += missing
                took = time.monotonic() - began
                bench.report.add(
                    "retrieval",
                    f"stub embedder, ingest to {size // 1000}k chunks",
                    (chunks - before) / took,
                    "chunks/s",
                    note=f"{chunks} chunks in {files} documents",
                )
                waited = server.wait_until_idle(150)
                note = "the index was optimised" if waited is None else f"the index was optimised {waited:.0f} s longer"
                if waited is None:
                    bench.report.say("retrieval", f"{size // 1000}k: the server was still computing after 150 s")
                ask(bench, server, file, size, note)
            bench.report.add("retrieval", "peak resident memory", memory.peak_mib, "MiB", note=f"{chunks} chunks")


def fill(server, folder, documents, count):
    """Ingests so many documents; the chunks that they made."""
    folder.mkdir(parents=True)
    for number, text in enumerate(itertools.islice(documents, count)):
        (folder / f"{number:06}.txt").write_text(text, encoding="utf-8")
    done, _ = server.ingest(folder)
    for path in folder.iterdir():
        path.unlink()
    return sum(document.get("chunkCount", 0) for document in done if is_indexed(document))


def ask(bench, server, file, size, note):
    common = ["--addr", server.url, "--key-file", server.key_file, "--questions", file]
    for mode, clients in (("hybrid", 1), ("hybrid", 8), ("hybrid", 64), ("dense", 1), ("sparse", 1)):
        found = measure("vectrion-bench", "load", *common, "--mode", mode, "--clients", clients, "--seconds", 5)
        latency = found["latency_ms"]
        if not latency:
            bench.report.say("retrieval", f"{size // 1000}k, {mode}, {clients} clients: no answer{errors(found)}")
            continue
        name = f"{size // 1000}k chunks, {mode}, {clients} client{'s' if clients > 1 else ''}"
        bench.report.add("retrieval", f"{name}: p50", latency["p50"], "ms", note=note if clients == 1 else "")
        rate = f"{found['per_second']:.0f} requests/s{errors(found)}"
        bench.report.add("retrieval", f"{name}: p99", latency["p99"], "ms", note=rate)
