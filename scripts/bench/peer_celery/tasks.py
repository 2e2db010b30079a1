"""What Celery's workers do with a document: read, split, embed, keep."""

import os
import uuid

import pypdfium2
from celery import Celery
from celery.signals import worker_process_init
from langchain_text_splitters import RecursiveCharacterTextSplitter
from sqlalchemy import delete, insert

from .database import Chunk, Document, session_factory
from .embedding import embedder

app = Celery("peer", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)
# Characters: about 250 tokens of English.
splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=130)
# What a process of the pool keeps.
tools = {}


@worker_process_init.connect
def prepare(**_):
    tools["session"] = session_factory()
    tools["embedder"] = embedder()


def pages_of(path):
    """The text of each page."""
    if not path.endswith(".pdf"):
        with open(path, encoding="utf-8") as file:
            return [file.read()]
    pdf = pypdfium2.PdfDocument(path)
    try:
        return [page.get_textpage().get_text_range() for page in pdf]
    finally:
        pdf.close()


def process(document_id):
    with tools["session"]() as session:
        document = session.get(Document, document_id)
        path = document.path
        document.status = "processing"
        session.commit()
    pages = pages_of(path)
    chunks = [(page, text) for page, content in enumerate(pages, 1) for text in splitter.split_text(content)]
    vectors = tools["embedder"].embed([text for _, text in chunks]) if chunks else []
    rows = [
        {"document_id": document_id, "position": position, "page": page, "content": text.replace("\0", ""), "embedding": vector}
        for position, ((page, text), vector) in enumerate(zip(chunks, vectors, strict=True))
    ]
    with tools["session"]() as session:
        # The task may run for the second time.
        session.execute(delete(Chunk).where(Chunk.document_id == document_id))
        if rows:
            session.execute(insert(Chunk), rows)
        document = session.get(Document, document_id)
        document.status, document.pages, document.chunks = "indexed", len(pages), len(rows)
        session.commit()


@app.task(bind=True, max_retries=3, default_retry_delay=1)
def process_document(self, document_id):
    number = uuid.UUID(document_id)
    try:
        process(number)
    except pypdfium2.PdfiumError as error:
        with tools["session"]() as session:
            document = session.get(Document, number)
            document.status, document.error = "failed", str(error)
            session.commit()
    except Exception as error:
        raise self.retry(exc=error) from error
