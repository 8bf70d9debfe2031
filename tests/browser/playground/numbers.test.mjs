import assert from "node:assert/strict";
import { test } from "node:test";

import { ticks, linesOf } from "./modules/curve.js";
import { atTemperature, movement } from "./modules/notes.js";
import { activationStep } from "./modules/ramp.js";
import * as surprise from "./modules/characters.js";
import { charactersOf } from "./modules/server.js";

test("bits are minus the binary logarithm, and never minus zero", () => {
  const bitsOf = (logprob) => charactersOf({ text: "a", logprobs: { tokens: ["a"], token_logprobs: [logprob] } })[0].bits;
  assert.equal(bitsOf(Math.log(0.25)), 2);
  assert.ok(Object.is(bitsOf(0), 0));
});

test("steps of the ramps begin where they say", () => {
  assert.deepEqual([0, 1.99, 2, 3, 4, 6, 8, 9.9, 10, 40].map(surprise.surpriseStep), [0, 0, 1, 2, 3, 4, 5, 5, 6, 6]);
  assert.equal(surprise.surpriseStep(null), 0);
  assert.deepEqual([-1, -0.5, -0.09, 0, 0.1, 0.3, 0.55, 0.8, 1.2].map(activationStep), [-4, -2, 0, 0, 1, 2, 3, 4, 4]);
});

test("bits per character leave out what was not measured", () => {
  const known = [{ bits: 1 }, { bits: null }, { bits: 3 }];
  assert.equal(surprise.bitsPerCharacter(known), 2);
  assert.equal(surprise.bitsPerCharacter([{ bits: null }]), null);
});

test("a percentage is never a false 0 or 100", () => {
  assert.equal(surprise.percent(1), "100 %");
  assert.equal(surprise.percent(0.99999), "> 99.9 %");
  assert.equal(surprise.percent(0.5281), "52.8 %");
  assert.equal(surprise.percent(0.0662), "6.62 %");
  assert.equal(surprise.percent(1e-9), "< 0.01 %");
  assert.equal(surprise.percent(0), "0 %");
});

test("a temperature bends shares by the power of its inverse", () => {
  const top = [["a", 0.6], ["b", 0.3], ["c", 0.1]];
  const shares = (temperature) => atTemperature(top, temperature).map(([, share]) => share);
  assert.deepEqual(shares(0), [1, 0, 0]);
  const half = [0.36, 0.09, 0.01].map((weight) => weight / 0.46);
  shares(0.5).forEach((share, index) => assert.ok(Math.abs(share - half[index]) < 1e-12));
  shares(1).forEach((share, index) => assert.ok(Math.abs(share - top[index][1]) < 1e-12));
  for (const temperature of [0.001, 0.7, 2, 1000]) {
    assert.ok(Math.abs(shares(temperature).reduce((sum, share) => sum + share) - 1) < 1e-9);
  }
  assert.deepEqual(atTemperature([], 1), []);
});

test("characters have names that can be heard and shapes that can be seen", () => {
  assert.deepEqual([" ", "\n", "A", "a", "é"].map(surprise.spokenName), ["space", "line end", "capital A", "a", "é"]);
  assert.deepEqual([" ", "\n", "x"].map(surprise.shownAlone), ["␣", "⏎", "x"]);
});

test("the moves of a unit are its changes", () => {
  const { moves, kept, strongest } = movement([0, 0.05, -0.95, -0.9]);
  assert.deepEqual(moves.map((move) => Number(move.toFixed(3))), [0.05, 1, 0.05]);
  assert.equal(kept, 2);
  assert.equal(strongest, 1);
});

test("ticks are round, inside, and three to twelve", () => {
  assert.deepEqual(ticks(0, 100), [0, 25, 50, 75, 100]);
  assert.deepEqual(ticks(2.7, 5.9), [3, 4, 5]);
  for (const [least, most] of [[0, 1e-4], [1.31, 1.32], [3, 306], [5, 5], [0, 123456]]) {
    const found = ticks(least, most);
    assert.ok(found.length <= 12, `${least} to ${most}: ${found}`);
    assert.ok(found.every((at) => at >= least - 1e-9 && at <= most + 1e-9));
  }
});

test("a curve is drawn where a line has two points, and then a single point of the other is in it", () => {
  const drawn = (curve) => linesOf(curve).map((line) => line.name);
  assert.deepEqual(drawn({ training: [[1, 4], [2, 3]], validation: [] }), ["training"]);
  assert.deepEqual(drawn({ training: [[1, 4], [2, 3]], validation: [[2, 3]] }), ["training", "validation"]);
  assert.deepEqual(drawn({ training: [[1, 4]], validation: [[1, 4]] }), []);
});
