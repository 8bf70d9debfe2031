"""A server that wraps the article's loop, as plainly as one would: what ours is compared with.

One network, one request at a time behind a lock, one character a step, each sent as it is drawn.

python benchmarks/article_server.py HIDDEN_SIZE VOCABULARY_SIZE   (prints its address)
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from article_generation import ArticleGenerator
from article_loop import ArticleNetwork


def create_app(hidden_size: int, vocab_size: int) -> FastAPI:
    """The server's one route."""
    torch.set_num_threads(1)
    network = ArticleNetwork(vocab_size, hidden_size)
    lock = asyncio.Lock()
    app = FastAPI()

    @app.post("/v1/completions")
    async def complete(request: Request) -> StreamingResponse:
        body: dict[str, Any] = await request.json()

        async def characters() -> AsyncIterator[str]:
            async with lock:
                generator, token = ArticleGenerator(network, body.get("seed") or 1), 1
                for _ in range(body["max_tokens"]):
                    token = await asyncio.to_thread(generator.step, token)
                    answer = {"choices": [{"index": 0, "text": chr(32 + token % 64)}]}
                    yield f"data: {json.dumps(answer)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(characters(), media_type="text/event-stream")

    return app


class _Announced(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"address": f"http://127.0.0.1:{port}"}), flush=True)


def main() -> None:
    """Serve until ended."""
    app = create_app(int(sys.argv[1]), int(sys.argv[2]))
    _Announced(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")).run()


if __name__ == "__main__":
    main()
