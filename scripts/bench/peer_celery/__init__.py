"""The stack that many build for this: FastAPI takes documents and answers searches, Celery works on them, RabbitMQ stands
between, and PostgreSQL with pgvector keeps all of it. Written as its users write it, and set up as its manuals advise for work
that must not be lost: tasks are acknowledged late and published with confirms, documents are on the disk before the caller
hears of them, and a task that runs twice leaves one set of chunks.

Settings come from the environment: DATABASE_URL, BROKER_URL, UPLOADS (a directory), EMBED (the URL of an OpenAI-compatible
endpoint, or the directory of a model).
"""
