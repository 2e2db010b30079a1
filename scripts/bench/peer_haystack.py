"""Haystack as its users write it: PDFs in, questions asked. Runs in the virtual environment of `make bench-peers`.

    python peer_haystack.py MODEL_DIRECTORY QUESTIONS.jsonl PDF…

Read with pdfium (as Vectrion reads), split by words with an overlap, embedded with sentence-transformers on PyTorch, kept
in the in-memory store, searched by embedding. It prints `loaded`, then one line of JSON.
"""

import json
import sys
import time

import pypdfium2
import torch
from haystack import Document, Pipeline, component
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

# Words of a chunk and of its overlap: on running English about 240 and 30 tokens, what the model takes and what
# Vectrion's chunks share.
WORDS, OVERLAP = 180, 24
QUESTIONS = 200


@component
class PdfiumConverter:
    """A document for each file; page breaks are form feeds, as Haystack's own converters write them."""

    @component.output_types(documents=list[Document])
    def run(self, sources: list[str]):
        documents = []
        for path in sources:
            try:
                pdf = pypdfium2.PdfDocument(path)
            except pypdfium2.PdfiumError:
                continue
            pages = [page.get_textpage().get_text_range() for page in pdf]
            documents.append(Document(content="\f".join(pages), meta={"file_path": path, "pages": len(pages)}))
            pdf.close()
        return {"documents": documents}


def main():
    model, questions, *files = sys.argv[1:]
    with open(questions, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    embedder = SentenceTransformersDocumentEmbedder(model=model, progress_bar=False)
    asker = SentenceTransformersTextEmbedder(model=model, progress_bar=False)
    index = Pipeline()
    index.add_component("converter", PdfiumConverter())
    index.add_component(
        "splitter", DocumentSplitter(split_by="word", split_length=WORDS, split_overlap=OVERLAP)
    )
    index.add_component("embedder", embedder)
    index.add_component("writer", DocumentWriter(document_store=store))
    index.connect("converter", "splitter")
    index.connect("splitter", "embedder")
    index.connect("embedder", "writer")
    index.warm_up()
    query = Pipeline()
    query.add_component("embedder", asker)
    query.add_component("retriever", InMemoryEmbeddingRetriever(document_store=store, top_k=10))
    query.connect("embedder.embedding", "retriever.query_embedding")
    query.warm_up()
    print("loaded", flush=True)

    began = time.perf_counter()
    index.run({"converter": {"sources": files}})
    seconds = time.perf_counter() - began
    chunks = store.filter_documents()
    pages = {chunk.meta["file_path"]: chunk.meta["pages"] for chunk in chunks}

    tokenizer = asker.embedding_backend.model.tokenizer
    lengths = [len(tokenizer.encode(chunk.content or "", add_special_tokens=True)) for chunk in chunks]
    times = []
    for number in range(QUESTIONS + 10):
        began = time.perf_counter()
        found = query.run({"embedder": {"text": texts[number % len(texts)]}})
        if number >= 10:
            times.append((time.perf_counter() - began) * 1e3)
        assert found["retriever"]["documents"]
    times.sort()
    print(
        json.dumps(
            {
                "files": len(pages),
                "pages": sum(pages.values()),
                "chunks": len(chunks),
                "chunks_cut_off": sum(length > 256 for length in lengths),
                "tokens": sum(min(length, 256) for length in lengths),
                "seconds": seconds,
                "threads": torch.get_num_threads(),
                "query_ms": {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]},
            }
        )
    )


if __name__ == "__main__":
    main()
