"""What callers see: documents in, their states, searches."""

import os
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, UploadFile
from pydantic import BaseModel
from sqlalchemy import func, select

from .database import Chunk, Document, async_session_factory, session_factory
from .embedding import embedder
from .tasks import process_document

UPLOADS = Path(os.environ["UPLOADS"])
tools = {}


@asynccontextmanager
async def lifespan(_):
    tools.update(session=session_factory(), async_session=async_session_factory(), embedder=embedder())
    yield


app = FastAPI(lifespan=lifespan)


class Uploaded(BaseModel):
    id: uuid.UUID
    status: str


class Search(BaseModel):
    query: str
    top_k: int = 10


class Passage(BaseModel):
    document_id: uuid.UUID
    filename: str
    page: int
    content: str
    score: float


@app.get("/healthz")
def health():
    return {"status": "ok"}


# Not `async`: writing, committing and publishing block.
@app.post("/documents", status_code=202)
def upload(file: UploadFile) -> Uploaded:
    number = uuid.uuid4()
    path = UPLOADS / f"{number}{Path(file.filename or '').suffix}"
    with path.open("wb") as target:
        while part := file.file.read(1 << 20):
            target.write(part)
        target.flush()
        os.fsync(target.fileno())
    with tools["session"]() as session:
        session.add(Document(id=number, filename=file.filename or "", path=str(path)))
        session.commit()
    process_document.delay(str(number))
    return Uploaded(id=number, status="pending")


@app.get("/documents/summary")
async def summary() -> dict[str, dict[str, int]]:
    columns = (func.count(), func.coalesce(func.sum(Document.pages), 0), func.coalesce(func.sum(Document.chunks), 0))
    async with tools["async_session"]() as session:
        rows = await session.execute(select(Document.status, *columns).group_by(Document.status))
    return {row[0]: {"documents": row[1], "pages": row[2], "chunks": row[3]} for row in rows}


@app.post("/search")
async def search(request: Search) -> list[Passage]:
    vector = await tools["embedder"].embed_query(request.query)
    distance = Chunk.embedding.cosine_distance(vector).label("distance")
    statement = (
        select(Chunk.document_id, Document.filename, Chunk.page, Chunk.content, distance)
        .join(Document, Document.id == Chunk.document_id)
        .order_by(distance)
        .limit(request.top_k)
    )
    async with tools["async_session"]() as session:
        rows = (await session.execute(statement)).all()
    return [
        Passage(document_id=row[0], filename=row[1], page=row[2], content=row[3], score=1 - row[4]) for row in rows
    ]
