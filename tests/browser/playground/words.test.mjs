import assert from "node:assert/strict";
import { test } from "node:test";

import { sentences } from "./modules/announce.js";
import { asCurl, asPython } from "./modules/request.js";
import { charactersOf, events, joined, requestBody } from "./modules/server.js";
import { USUAL, fromHash, toHash } from "./modules/settings.js";

test("settings go into the address and come back", () => {
  assert.equal(toHash(USUAL, USUAL), "");
  const settings = { ...USUAL, prompt: "a&b=ü #\n+", seed: 0, temperature: 0, regex: "[a-z]+&?", top_k: 5, model: "m" };
  assert.deepEqual(fromHash(`#${toHash(settings, USUAL)}`, USUAL), settings);
});

test("an address that says nonsense is passed over", () => {
  assert.deepEqual(fromHash("#temperature=warm&seed=&length=1e999&constructor=1&top_p", USUAL), USUAL);
  assert.deepEqual(fromHash("", USUAL), USUAL);
});

test("a request says what differs from what the server would take", () => {
  const settings = { ...USUAL, prompt: "x", model: "m" };
  assert.deepEqual(requestBody(settings, 7), { model: "m", prompt: "x", max_tokens: 400, temperature: 0.8, seed: 7 });
  assert.equal(requestBody(settings, null, { top_k: 40 }).top_k, 0);
  assert.equal("top_k" in requestBody({ ...settings, top_k: 40 }, null, { top_k: 40 }), false);
});

test("the request as curl and Python quotes what needs it", () => {
  const body = { model: "m", prompt: "it's \"so\"\n", top_k: 3, seed: 1 };
  assert.match(asCurl("http://h:1", body), /it'\\''s \\"so\\"\\n/);
  assert.match(asCurl("http://h:1", body, true), /Bearer \$CHARLOOM_API_KEY/);
  const python = asPython("http://h:1", body);
  assert.match(python, /prompt="it's \\"so\\"\\n",/);
  assert.match(python, /extra_body=\{"top_k": 3\},/);
});

test("sentences end at their ends, or where one is too long", () => {
  assert.deepEqual(sentences("One. Two! Thr"), [["One.", "Two!"], "Thr"]);
  assert.deepEqual(sentences("ACT\n\nnext"), [["ACT"], "next"]);
  const [found, rest] = sentences("word ".repeat(100));
  assert.ok(found.every((sentence) => sentence.length <= 240));
  assert.ok(rest.length <= 240);
  assert.equal(sentences("x".repeat(500))[0].length, 2);
});

test("events are whole, however they were cut", async () => {
  const sent = new TextEncoder().encode('data: {"a": "é"}\n\n: comment\n\ndata: [DONE]\n\n');
  for (const size of [1, 2, 3, 7, 100]) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < sent.length; at += size) controller.enqueue(sent.slice(at, at + size));
        controller.close();
      },
    });
    const found = [];
    for await (const some of events(body)) found.push(...some);
    assert.deepEqual(found, ['{"a": "é"}', "[DONE]"]);
  }
});

test("a character of several bytes costs the bits of all of them", () => {
  const token = (text, bits) => ({ text, bits, top: [["z", 1]] });
  const found = joined("aé", [token("a", 1), token("", 2), token("", 3)]);
  assert.deepEqual(found.map((one) => [one.text, one.bits, one.top.length]), [["a", 1, 1], ["é", 5, 0]]);
  assert.deepEqual(joined("ab", [token("a", 1)])[1], { text: "b", bits: null, top: [] });
});

test("a choice becomes characters, its alternatives likeliest first", () => {
  const logprobs = { tokens: ["1"], token_logprobs: [Math.log(0.5)], top_logprobs: [{ 2: Math.log(0.2), 1: Math.log(0.5) }] };
  const [one] = charactersOf({ text: "1", logprobs });
  assert.equal(one.bits, 1);
  assert.deepEqual(one.top.map(([character, share]) => [character, Number(share.toFixed(6))]), [["1", 0.5], ["2", 0.2]]);
  assert.deepEqual(charactersOf({ text: "x" }), [{ text: "x", bits: null, top: [] }]);
});
