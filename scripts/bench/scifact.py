"""Quality of retrieval: nDCG@10 on SciFact's training queries, one document per abstract."""

import json
import math
import tempfile
from pathlib import Path

from data import write_questions
from programs import run
from server import Server, is_indexed

# Passages asked for, so that ten documents are among them.
PASSAGES = 50


def scifact(bench):
    if not bench.data.scifact():
        return bench.report.say("scifact", "needs DATA with qa_scifact (corpus.jsonl, queries.jsonl, qrels_train.tsv)")
    queries = bench.data.judged_queries()
    with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory:
        directory = Path(directory)
        folder = directory / "abstracts"
        folder.mkdir()
        for number, (title, text) in bench.data.abstracts().items():
            (folder / f"{number}.txt").write_text(f"{title}\n\n{text}\n", encoding="utf-8")
        file = write_questions(directory / "questions.jsonl", {key: text for key, (text, _) in queries.items()})
        scores = {}
        for variant, modes in (("int8", ("dense", "sparse", "hybrid")), ("f32", ("dense",))):
            with Server(f"models.embed_variant={variant}") as server:
                documents, took = server.ingest(folder)
                indexed = sum(map(is_indexed, documents))
                chunks = sum(document.get("chunkCount", 0) for document in documents)
                size = f"{indexed} documents, {chunks} chunks"
                bench.report.add("scifact", f"{variant}: ingest", indexed / took, "documents/s", note=size)
                if indexed < len(documents):
                    bench.report.say("scifact", f"{len(documents) - indexed} abstracts were not indexed")
                server.wait_until_idle(60)
                for mode in modes:
                    scores[variant, mode] = ndcg(rank(server, file, mode), queries)
    dense, sparse, hybrid = (scores["int8", mode] for mode in ("dense", "sparse", "hybrid"))
    note = f"{len(queries)} training queries"
    bench.report.add("scifact", "BM25: nDCG@10", sparse, "", note=note)
    bench.report.add("scifact", "dense, int8 (default): nDCG@10", dense, "")
    bench.report.add("scifact", "dense, f32: nDCG@10", scores["f32", "dense"], "")
    lost = scores["f32", "dense"] - dense
    bench.report.add("scifact", "lost by int8", lost, "", at_most=0.005)
    best = max(dense, sparse)
    against = f"the better of dense and BM25 {best:.4f}"
    bench.report.add("scifact", "hybrid: nDCG@10", hybrid, "", against=against, ratio=hybrid / best, at_least=1)


def rank(server, questions, mode):
    """File names by query, best first."""
    arguments = ["--addr", server.url, "--key-file", server.key_file, "--questions", questions]
    output = run("vectrion-bench", "rank", *arguments, "--mode", mode, "--top-k", PASSAGES)
    return {row["id"]: row["filenames"] for row in map(json.loads, output.splitlines())}


def ndcg(ranking, queries, depth=10):
    """Mean over the queries; the gain of a document is its relevance."""
    total = 0.0
    for query, (_, relevance) in queries.items():
        found = [Path(name).stem for name in ranking.get(query, [])[:depth]]
        gain = sum(relevance.get(number, 0) / math.log2(place + 2) for place, number in enumerate(found))
        best = sorted(relevance.values(), reverse=True)[:depth]
        total += gain / sum(value / math.log2(place + 2) for place, value in enumerate(best))
    return total / len(queries)
