"""Characters to ids and back: `/tokenize`, `/detokenize`, `/tokenizer_info`."""

from __future__ import annotations

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from charloom.serving.concurrency import LONG
from charloom.serving.context import context
from charloom.serving.errors import ApiError, check_length, json_response, json_text
from charloom.serving.large_answers import json_answer
from charloom.serving.middleware import read_json
from charloom.serving.requests import DetokenizeRequest, TokenizeRequest
from charloom.serving.schema import describe_body

router = APIRouter()


class Tokens(BaseModel):
    """A text as ids."""

    tokens: list[int]
    count: int


class Detokenized(BaseModel):
    """Ids as a text."""

    prompt: str


class TokenizerInfo(BaseModel):
    """A vocabulary of characters: none of them has a special meaning."""

    kind: str
    vocab_size: int
    eos_token: str | None
    bos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str | None


@router.post("/tokenize", **describe_body(TokenizeRequest, Tokens, "The ids of a text as the model reads it."))
async def tokenize(request: Request) -> Response:
    """The ids of a text as the model reads it: cleaned, one for each character."""
    asked = await read_json(request, TokenizeRequest)
    server = context(request)
    served = server.models.named(asked.model)
    check_length("prompt", asked.prompt, server.settings.max_prompt)

    def tokenized() -> str:
        tokens = served.model.encode(asked.prompt)
        return json_text({"tokens": tokens, "count": len(tokens)})

    long = len(asked.prompt) > LONG
    return json_answer(await server.concurrency.build_in_thread(tokenized) if long else tokenized(), server)


@router.post("/detokenize", **describe_body(DetokenizeRequest, Detokenized, "The text of ids."))
async def detokenize(request: Request) -> Response:
    """The text of ids."""
    asked = await read_json(request, DetokenizeRequest)
    server = context(request)
    vocabulary = server.models.named(asked.model).model.vocabulary
    check_length("tokens", asked.tokens, server.settings.max_prompt, "of them")
    if asked.tokens and not (min(asked.tokens) >= 0 and max(asked.tokens) < vocabulary.size):
        raise ApiError(400, f"tokens: the model's ids are those from 0 to {vocabulary.size - 1}", param="tokens")
    return json_response({"prompt": vocabulary.decode(np.array(asked.tokens, dtype=np.int64))})


@router.get("/tokenizer_info", **describe_body(None, TokenizerInfo, "What the ids are.", refusals=(503,)))
async def tokenizer_info(request: Request) -> Response:
    """What the ids of the first model are."""
    vocabulary = context(request).models.named(None).model.vocabulary
    special = dict.fromkeys(("eos_token", "bos_token", "pad_token", "unk_token", "chat_template"))
    return json_response({"kind": vocabulary.kind, "vocab_size": vocabulary.size, **special})
