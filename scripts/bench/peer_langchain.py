"""LangChain as its users write it: documents in, questions asked. Runs in the virtual environment of `make bench-peers`.

    python peer_langchain.py EMBED QUESTIONS.jsonl DOCUMENT…

EMBED is the URL of an OpenAI-compatible endpoint, or the directory of a model for sentence-transformers. PDFs are read with
pdfium (as Vectrion reads), split by characters with an overlap, and kept in LangChain's in-memory store. It prints one line of
JSON.
"""

import json
import resource
import sys
import time

from langchain_community.document_loaders import PyPDFium2Loader, TextLoader
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter

# Characters: about 250 and 30 tokens of English, what the model takes and what Vectrion's chunks share.
CHARACTERS, OVERLAP = 1000, 130
QUESTIONS = 200


def embeddings(place):
    if place.startswith("http"):
        from langchain_openai import OpenAIEmbeddings

        # The check would cut texts by the tokens of another model.
        return OpenAIEmbeddings(base_url=place, api_key="none", model="synthetic", check_embedding_ctx_length=False)
    from langchain_huggingface import HuggingFaceEmbeddings

    return HuggingFaceEmbeddings(model_name=place, encode_kwargs={"normalize_embeddings": True})


def main():
    place, questions, *files = sys.argv[1:]
    with open(questions, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    model = embeddings(place)
    model.embed_query("warm")
    store = InMemoryVectorStore(model)
    splitter = RecursiveCharacterTextSplitter(chunk_size=CHARACTERS, chunk_overlap=OVERLAP)

    read = pages = chunks = 0
    began, cpu = time.perf_counter(), time.process_time()
    for path in files:
        try:
            loader = PyPDFium2Loader(path) if path.endswith(".pdf") else TextLoader(path, encoding="utf-8")
            documents = loader.load()
        except Exception as error:
            print(f"{path}: {error}", file=sys.stderr)
            continue
        parts = splitter.split_documents(documents)
        store.add_documents(parts)
        read, pages, chunks = read + 1, pages + len(documents), chunks + len(parts)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu

    times = []
    for number in range(QUESTIONS + 10):
        began = time.perf_counter()
        found = store.similarity_search(texts[number % len(texts)], k=10)
        if number >= 10:
            times.append((time.perf_counter() - began) * 1e3)
        assert found
    times.sort()
    print(
        json.dumps(
            {
                "documents": read,
                "pages": pages,
                "chunks": chunks,
                "seconds": seconds,
                "processor_seconds": cpu,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "query_ms": {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]},
            }
        )
    )


if __name__ == "__main__":
    main()
