/** Three short notes that teach on live values: what a temperature, a hidden state and a gate are. */

import { percent, shownAlone, spokenName } from "./characters.js";
import { byId, drawn, element } from "./dom.js";
import { signed } from "./neurons.js";
import { glyph } from "./panel.js";

const SHOWN = 18; // characters in a drawing

/**
 * How the likeliest characters share the probability at a temperature, beside the model's own.
 * @param {[string, number][]} top
 * @param {number} temperature
 */
export function temperatureNote(top, temperature) {
  const place = byId("temperature-live");
  if (!top.length) return place.replaceChildren(element("p", { class: "soft", text: "Write a text to see its next characters here." }));
  const now = atTemperature(top, temperature);
  const own = atTemperature(top, 1);
  const rows = now.map(([character, share], index) => {
    const bar = element("span", { class: "bar" });
    const ghost = element("span", { class: "ghost" });
    bar.style.width = `${share * 100}%`;
    ghost.style.width = `${own[index][1] * 100}%`;
    return element(
      "li",
      {},
      element("span", {}, ...glyph(character)),
      element("span", { class: "track", "aria-hidden": "true" }, ghost, bar),
      element("span", { class: "share", text: percent(share) }),
    );
  });
  place.replaceChildren(element("ol", { class: "bars" }, ...rows));
  const effect = temperature === 0 ? "the likeliest is always taken" : temperature < 1 ? "likely characters gain" : temperature > 1 ? "unlikely ones gain" : "nothing is changed";
  byId("temperature-said").textContent = `At ${temperature}, ${effect}. The outline is temperature 1. Shares are among these ${now.length} alone.`;
}

/**
 * A unit's last values, and how much each character moved it.
 * @param {{characters: string[], values: number[], unit: number, cell: string} | null} live null before any text.
 */
export function unitNotes(live) {
  if (!live || live.values.length < 2) {
    for (const id of ["state-live", "gate-live"]) {
      byId(id).replaceChildren(element("p", { class: "soft", text: "Write a text, and its own values are shown here." }));
    }
    byId("state-said").textContent = byId("gate-said").textContent = "";
    return;
  }
  const characters = live.characters.slice(-SHOWN);
  const values = live.values.slice(-SHOWN);
  const last = values[values.length - 1];
  byId("state-live").replaceChildren(bars(characters, values, `Unit ${live.unit} over the last ${values.length} characters`, -1));
  byId("state-said").textContent = `Unit ${live.unit} is at ${signed(last)} after ${inWords(characters[characters.length - 1])}.`;
  const { moves, kept, strongest } = movement(live.values.slice(-SHOWN - 1));
  const seen = live.characters.slice(-moves.length);
  byId("gate-live").replaceChildren(bars(seen, moves, `How far each character moved unit ${live.unit}`, 0));
  byId("gate-said").textContent = gateSentence(live.cell, live.unit, kept, moves, seen[strongest], strongest);
}

/**
 * How far each step moved a value.
 * @param {number[]} values
 * @returns {{moves: number[], kept: number, strongest: number}} kept: steps that moved it by less than a tenth.
 */
export function movement(values) {
  const moves = values.slice(1).map((value, index) => Math.abs(value - values[index]));
  const kept = moves.filter((move) => move < 0.1).length;
  return { moves, kept, strongest: moves.indexOf(Math.max(...moves)) };
}

/**
 * @param {string} cell @param {number} unit @param {number} kept @param {number[]} moves
 * @param {string} character @param {number} strongest
 */
function gateSentence(cell, unit, kept, moves, character, strongest) {
  const what = `In ${kept} of the last ${moves.length} steps unit ${unit} kept its value to within 0.1; ${inWords(character)} moved it most, by ${moves[strongest].toFixed(2)}.`;
  if (cell === "rnn") return `This model is a plain RNN and has no gates: every character rewrites every unit. ${what}`;
  const gates = cell === "gru" ? "two gates, reset and update" : "three gates: forget, input and output";
  return `This model is ${cell === "gru" ? "a GRU" : "an LSTM"} with ${gates}. What you see is their effect, the unit's change, not the gates themselves. ${what}`;
}

/** @param {string} character */
function inWords(character) {
  return shownAlone(character) === character ? `“${character}”` : `a ${spokenName(character)}`;
}

/**
 * Columns over characters, up and down from zero.
 * @param {string[]} characters
 * @param {number[]} values
 * @param {string} label
 * @param {-1 | 0} least −1 where values may be negative.
 */
function bars(characters, values, label, least) {
  const [width, height] = [16, least ? 72 : 52];
  const most = least ? 1 : Math.max(0.5, ...values);
  const zero = least ? height / 2 : height;
  const picture = drawn("svg", { class: "columns", viewBox: `0 0 ${width * SHOWN} ${height + 18}`, role: "img", "aria-label": `${label}: ${values.map((value) => value.toFixed(2)).join(", ")}` });
  picture.append(drawn("line", { class: "grid", x1: 0, x2: width * SHOWN, y1: zero, y2: zero }));
  values.forEach((value, index) => {
    const size = (Math.min(most, Math.abs(value)) / most) * (least ? height / 2 : height);
    const side = value < 0 ? "low" : "high";
    picture.append(
      drawn("rect", { class: side, x: index * width + 2, y: value < 0 ? zero : zero - size, width: width - 4, height: Math.max(0.5, size) }),
      drawn("text", { x: index * width + width / 2, y: height + 13, "text-anchor": "middle", text: shownAlone(characters[index]) }),
    );
  });
  return picture;
}

/**
 * The distribution at a temperature, of the characters that are known, as if there were no others.
 * @param {[string, number][]} top characters and their probabilities at temperature 1.
 * @param {number} temperature 0 takes the likeliest.
 * @returns {[string, number][]} shares that sum to 1.
 */
export function atTemperature(top, temperature) {
  const best = Math.max(...top.map(([, share]) => share));
  const likeliest = top.findIndex(([, share]) => share === best);
  const weights = top.map(([, share], index) => {
    if (temperature <= 0) return index === likeliest ? 1 : 0;
    return share > 0 ? Math.exp(Math.log(share / best) / temperature) : 0;
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return top.map(([character], index) => [character, weights[index] / sum]);
}
