"""Documents in, end to end, through the real program; and what is asked of the server that holds them."""

import tempfile
from pathlib import Path

from data import write_questions
from memory import PeakMemory, processor_seconds
from programs import measure
from server import Server, is_indexed

STAGES = ("process_document", "embed_document")
# [CLS] and [SEP] stand around every chunk that the model is given.
SPECIAL_TOKENS = 2


def ingest_all(server, folder, count_tokens=True):
    """Ingests a folder; the figures of it."""
    with PeakMemory(server.pid) as memory:
        cpu = processor_seconds(server.pid)
        documents, took = server.ingest(folder)
        cpu = processor_seconds(server.pid) - cpu
    done = [document for document in documents if is_indexed(document)]
    pages = sum(document.get("pageCount", 0) for document in done)
    chunks = sum(document.get("chunkCount", 0) for document in done)
    tokens = 0
    for document in done if count_tokens else []:
        rows = server.command("documents", "chunks", document["documentId"])
        tokens += sum(row.get("tokenCount", 0) + SPECIAL_TOKENS for row in rows)
    samples = server.metrics()
    stages = {s: samples.get(f'vectrion_stage_duration_seconds_sum{{stage="{s}"}}', 0.0) for s in STAGES}
    failed = {}
    for document in documents:
        if not is_indexed(document):
            reason = document.get("failure", {}).get("reason", "unknown")
            failed[reason] = failed.get(reason, 0) + 1
    return {
        "documents": len(done),
        "failed": failed,
        "pages": pages,
        "chunks": chunks,
        "tokens": tokens,
        "seconds": took,
        "processor_seconds": cpu,
        "stages": stages,
        "peak_mib": memory.peak_mib,
    }


def ingest(bench):
    """Goal 4: pages and tokens per second, by variant of the model."""
    for variant in ("f32", "int8") if bench.wants("ingest") else ("int8",):
        with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory:
            folder = Path(directory) / "documents"
            if not bench.data.flat_copy(folder):
                return bench.report.say("ingest", "no PDF in the data")
            with Server(f"models.embed_variant={variant}") as server:
                figures = ingest_all(server, folder)
                if bench.wants("ingest"):
                    show(bench, variant, figures)
                if variant == "int8":
                    # The shipped default stays up for the sections that ask it something.
                    questions(bench, server, Path(directory))


def show(bench, variant, found):
    def add(name, value, unit, **rest):
        bench.report.add("ingest", f"{variant}{' (default)' if variant == 'int8' else ''}: {name}", value, unit, **rest)

    raw = bench.raw_embedder(variant)
    raw_tokens = raw["chunks_per_s"] * raw["tokens_per_chunk"]
    tokens = found["tokens"] / found["seconds"]
    size = f"{found['documents']} documents, {found['pages']} pages, {found['chunks']} chunks, {found['seconds']:.0f} s"
    if found["failed"]:
        size += "; not indexed: " + ", ".join(f"{count} {reason}" for reason, count in sorted(found["failed"].items()))
    add("pages", found["pages"] / found["seconds"], "pages/s", note=size)
    add("tokens", tokens, "tokens/s", against=f"raw embedder {raw_tokens:,.0f}", ratio=tokens / raw_tokens, at_least=0.9)
    both = sum(found["stages"].values()) or 1.0
    for stage, seconds in found["stages"].items():
        add(f"share of {stage}", 100 * seconds / both, "%", note=f"{seconds:.0f} s of jobs, which overlap")
    busy = 100 * found["processor_seconds"] / found["seconds"] / bench.report.machine["cores"]
    add("processor in use", busy, "%")
    add("peak resident memory, server and children", found["peak_mib"], "MiB")


def questions(bench, server, directory):
    """Goal 6 with the real model, and answers: on the documents that were ingested."""
    file = write_questions(directory / "questions.jsonl", bench.data.questions())
    common = ["--addr", server.url, "--key-file", server.key_file, "--questions", file]
    waited = server.wait_until_idle(60)
    if waited is None:
        bench.report.say("retrieval", "the index was still being optimised when the questions began")
    if bench.wants("retrieval"):
        found = measure("vectrion-bench", "load", *common, "--clients", 1, "--seconds", 6, "--warm-up", 2)
        latency = found["latency_ms"]
        embed, search = found["embed_ms"]["p50"], found["search_ms"]["p50"]
        bench.report.add(
            "retrieval",
            "real model, hybrid, 1 client: p50",
            latency["p50"],
            "ms",
            against=f"its own embedding {embed:.2f} + search {search:.2f}",
            ratio=latency["p50"] / (embed + search),
            at_most=1.25,
            note=f"p99 {latency['p99']:.1f} ms, {found['per_second']:.0f}/s{errors(found)}",
        )
        for clients in (8, 64):
            found = measure("vectrion-bench", "load", *common, "--clients", clients, "--seconds", 5)
            name = f"real model, hybrid, {clients} clients"
            latency = found["latency_ms"]
            note = f"p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f} ms{errors(found)}"
            bench.report.add("retrieval", name, found["per_second"], "requests/s", note=note)
    if bench.wants("answers"):
        found = measure("vectrion-bench", "answers", *common, "--top-k", 0, "--count", 200)
        what = {
            "first_event_ms": "extractive, to the first event",
            "first_text_ms": "extractive, to the first text",
            "whole_ms": "extractive, to the end",
        }
        for key, name in what.items():
            if times := found[key]:
                bench.report.add("answers", f"{name}: p50", times["p50"], "ms")
                bench.report.add("answers", f"{name}: p99", times["p99"], "ms", note=f"{times['count']} answers")
        if found["without_done"]:
            bench.report.say("answers", f"{found['without_done']} answers were cut off")
        if found["no_relevant_content"]:
            bench.report.say("answers", f"{found['no_relevant_content']} answers found nothing relevant")


def errors(found):
    """What a reader of a rate must know."""
    said = f", {found['errors']} errors ({found['first_error']})" if found["errors"] else ""
    return said + (f", {found['without_passages']} without passages" if found["without_passages"] else "")

