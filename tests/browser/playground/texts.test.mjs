import assert from "node:assert/strict";
import { test } from "node:test";

import { numbersIn } from "./modules/compare.js";
import { texts } from "./modules/items.js";
import { besideAverage } from "./modules/score.js";
import { USUAL, fromHash, rebased, stopField, stopTexts, toHash, usualSettings } from "./modules/settings.js";
import { stopped } from "./modules/stops.js";

const characters = (text) => [...text].map((one) => ({ text: one, bits: 1, top: [] }));
const joined = (pieces) => pieces.flat().map((one) => one.text).join("");

async function all(pieces) {
  const found = [];
  for await (const some of pieces) found.push(some);
  return found;
}

test("a text is cut before the first stop text, however it comes", async () => {
  const text = "one two\n\nthree";
  for (const [stops, expected] of [[["\n\n"], "one two"], [["tw", "e"], "on"], [["x"], text], [["threee"], text], [[], text], [["\n\nq", "two"], "one "]]) {
    for (const size of [1, 2, 5, 100]) {
      async function* pieces() {
        for (let at = 0; at < text.length; at += size) yield characters(text.slice(at, at + size));
      }
      assert.equal(joined(await all(stopped(pieces(), stops))), expected);
    }
  }
});

test("nothing is shown that could become part of a stop text", async () => {
  let shown = "";
  async function* pieces() {
    for (const one of "a..b...") {
      yield characters(one);
      assert.ok(!shown.includes("..."), shown);
    }
  }
  for await (const some of stopped(pieces(), ["..."])) shown += joined(some);
  assert.equal(shown, "a..b");
});

test("stop texts are written with escapes and come back", () => {
  for (const stops of [[], ["\n"], ["\n\n", "a b", "\\n", "\t\\"]]) assert.deepEqual(stopTexts(stopField(stops)), stops);
  assert.equal(stopField(["\n"]), "\\n");
});

test("what is usual is the model's own, and what somebody set stays", () => {
  const names = usualSettings({ length: 100, temperature: 0.9, top_k: 0, stop: ["\n"], regex: null, seed: null }, 10_000);
  assert.deepEqual([names.length, names.temperature, names.stop, names.regex, names.seed], [100, 0.9, "\\n", "", null]);
  assert.equal(usualSettings({ length: 0 }, 10).length, 1);
  assert.equal(usualSettings({ length: 99 }, 10).length, 10);
  const moved = rebased({ ...USUAL, top_k: 5, prompt: "x" }, USUAL, names);
  assert.deepEqual([moved.temperature, moved.top_k, moved.prompt, moved.stop], [0.9, 5, "x", "\\n"]);
});

test("a setting that is emptied is not the usual one again", () => {
  const usual = { ...USUAL, stop: "\\n", prompt: "ROMEO:" };
  const emptied = { ...usual, stop: "", prompt: "" };
  assert.deepEqual(fromHash(toHash(emptied, usual), usual), emptied);
});

test("items are written by themselves, each with a seed of its own", async () => {
  const asked = [];
  const backend = {
    async *generate(settings, seed) {
      asked.push([settings.prompt, seed]);
      yield characters("xy");
    },
  };
  const settings = { ...USUAL, prompt: "za", items: 3 };
  const { signal } = new AbortController();
  assert.equal(joined(await all(texts(backend, true, settings, "za", 7, signal))), "xy\nzaxy\nzaxy");
  assert.deepEqual(asked, [["za", 7], ["za", 8], ["za", 9]]);
  asked.length = 0;
  assert.equal(joined(await all(texts(backend, true, settings, "zaxy\nzab", 7, signal))), "xy\nzaxy");
  assert.deepEqual(asked, [["zab", 8], ["za", 9]]);
});

test("a score has the model's own average beside it", () => {
  const losses = { stateful: { bits_per_char: 2.48 } };
  assert.match(besideAverage(3.48, losses), /needs 2\.48: this text surprises it more/);
  assert.match(besideAverage(1.2, losses), /is easier/);
  assert.match(besideAverage(2.5, losses), /as predictable/);
  assert.equal(besideAverage(3, {}), "");
});

test("temperatures are read from a list", () => {
  assert.deepEqual(numbersIn("0.3, 0.8; 1.2 x -1 0.3"), [0.3, 0.8, 1.2]);
  assert.equal(numbersIn("1 2 3 4 5 6 7").length, 6);
});
