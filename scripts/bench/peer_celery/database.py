"""Tables, and the sessions of both processes. `python -m peer_celery.database` makes the tables."""

import datetime
import os
import uuid

from pgvector.sqlalchemy import Vector
from sqlalchemy import ForeignKey, Index, create_engine, func, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

URL = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://", 1)
DIMENSION = 384


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    filename: Mapped[str]
    path: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending", index=True)
    error: Mapped[str | None]
    pages: Mapped[int] = mapped_column(default=0)
    chunks: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime.datetime] = mapped_column(server_default=func.now())


class Chunk(Base):
    __tablename__ = "chunks"

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    page: Mapped[int]
    content: Mapped[str]
    embedding = mapped_column(Vector(DIMENSION), nullable=False)


Index("chunks_embedding", Chunk.embedding, postgresql_using="hnsw", postgresql_ops={"embedding": "vector_cosine_ops"})


def session_factory():
    return sessionmaker(create_engine(URL, pool_size=10), expire_on_commit=False)


def async_session_factory():
    return async_sessionmaker(create_async_engine(URL, pool_size=10), expire_on_commit=False)


if __name__ == "__main__":
    engine = create_engine(URL)
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    Base.metadata.create_all(engine)
