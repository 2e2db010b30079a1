"""Uploads a file, waits until it is indexed, asks a question, and prints the answer as it comes, with its citations.

    pip install -r requirements.txt
    python -m grpc_tools.protoc -I ../../proto --python_out=. --grpc_python_out=. ../../proto/vectrion/v1/*.proto
    VECTRION_ADDR=http://127.0.0.1:50051 VECTRION_API_KEY=vk_... python ask.py FILE QUESTION
"""

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from vectrion.v1 import (
    document_pb2,
    ingestion_pb2,
    ingestion_pb2_grpc,
    query_pb2,
    query_pb2_grpc,
)


def parts(path):
    """The messages of an upload: header, bytes, checksum."""
    yield ingestion_pb2.UploadDocumentRequest(header=ingestion_pb2.UploadHeader(filename=path.name))
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(256 * 1024):
            digest.update(chunk)
            yield ingestion_pb2.UploadDocumentRequest(chunk=chunk)
    yield ingestion_pb2.UploadDocumentRequest(checksum=digest.hexdigest())


def wait_until_indexed(ingestion, document, key):
    request = ingestion_pb2.WatchDocumentsRequest(
        filter=ingestion_pb2.DocumentFilter(document_ids=[document.document_id])
    )
    for change in ingestion.WatchDocuments(request, metadata=key):
        if change.HasField("changed"):
            if change.changed.state == document_pb2.DOCUMENT_STATE_INDEXED:
                return change.changed
            if change.changed.state == document_pb2.DOCUMENT_STATE_FAILED:
                sys.exit(change.changed.failure.message)
    sys.exit("the watch ended")


def main():
    path, question = Path(sys.argv[1]), sys.argv[2]
    key = [("authorization", f"Bearer {os.environ['VECTRION_API_KEY']}")]
    with grpc.insecure_channel(urlsplit(os.environ["VECTRION_ADDR"]).netloc) as channel:
        ingestion = ingestion_pb2_grpc.IngestionServiceStub(channel)
        document = ingestion.UploadDocument(parts(path), metadata=key).document
        document = wait_until_indexed(ingestion, document, key)
        print(f"{document.filename}: {document.page_count} pages, {document.chunk_count} chunks")

        passages, citations = {}, []
        query = query_pb2_grpc.QueryServiceStub(channel)
        for message in query.Answer(query_pb2.AnswerRequest(question=question), metadata=key):
            event = message.event
            match event.WhichOneof("event"):
                case "retrieval":
                    passages = {passage.passage_id: passage for passage in event.retrieval.passages}
                case "delta":
                    print(event.delta.text, end="", flush=True)
                case "citation":
                    citations.append(event.citation)
                case "done":
                    print(f"\n({query_pb2.FinishReason.Name(event.done.finish_reason)})")
        for citation in citations:
            passage = passages[citation.passage_id]
            print(f"  {passage.filename}, page {passage.page_start}: {citation.quote}")


if __name__ == "__main__":
    main()
