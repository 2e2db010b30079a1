"""Vectors: from an OpenAI-compatible endpoint, or from a model in this process."""

import os

from fastapi.concurrency import run_in_threadpool

EMBED = os.environ["EMBED"]
# Texts of a request, and of a run of the model.
BATCH = 128


class Endpoint:
    def __init__(self):
        from openai import AsyncOpenAI, OpenAI

        self.client = OpenAI(base_url=EMBED, api_key="none")
        self.async_client = AsyncOpenAI(base_url=EMBED, api_key="none")

    def embed(self, texts):
        vectors = []
        for begin in range(0, len(texts), BATCH):
            found = self.client.embeddings.create(model="synthetic", input=texts[begin : begin + BATCH])
            vectors += [row.embedding for row in found.data]
        return vectors

    async def embed_query(self, text):
        found = await self.async_client.embeddings.create(model="synthetic", input=text)
        return found.data[0].embedding


class Model:
    def __init__(self):
        import torch
        from sentence_transformers import SentenceTransformer

        # There are several processes, as many as there are cores.
        torch.set_num_threads(1)
        self.model = SentenceTransformer(EMBED)

    def embed(self, texts):
        return list(self.model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False))

    async def embed_query(self, text):
        return (await run_in_threadpool(self.embed, [text]))[0]


def embedder():
    return Endpoint() if EMBED.startswith("http") else Model()
