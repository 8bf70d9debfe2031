/** The network over a few characters of a text, unrolled: what it reads, its state, what it expects, and what that costs. */

import { percent, shownAlone } from "./characters.js";
import { drawn } from "./dom.js";
import { activationClass } from "./ramp.js";

/**
 * @typedef {import("./backend.js").Activations} Activations
 * @typedef {import("./characters.js").Character} Character
 */

const STEPS = { count: 7, wide: 100 }; // characters in the picture
const STEPS_ON_PHONE = { count: 4, wide: 82 }; // whose letters stay as large
const UNITS = 6; // of the state that are shown

/**
 * @param {Character[]} characters that were written, each with what was expected in its place.
 * @param {Activations} found the units that change most, over the text that ends with these characters.
 * @param {number} index of the character that is looked at; the steps end with the one before it, which leads to it.
 * @returns {SVGElement | null} null where there is too little text.
 */
export function unrolledPicture(characters, found, index) {
  const places = placesOf(characters, found);
  const { count, wide } = matchMedia("(max-width: 30rem)").matches ? STEPS_ON_PHONE : STEPS;
  const last = Math.max(index, count);
  const shown = Array.from({ length: count }, (_, step) => last - count + step);
  if (!places.length || last >= characters.length || shown.some((at) => !characters[at + 1].top.length)) return null;
  const said = shown.map((at) => `after ${characters[at].text}: ${costOf(characters[at + 1])}`).join("; ");
  const picture = drawn("svg", { class: "unrolled", viewBox: `0 0 ${wide * count} 236`, role: "img", "aria-label": said });
  for (const [step, at] of shown.entries()) picture.append(...column(step * wide + wide / 2, wide, characters[at], characters[at + 1], stateAt(found, places[at]), at + 1 === index));
  return picture;
}

/**
 * Where each character that was written is in the text that ends with them.
 * @param {Character[]} characters @param {Activations} found
 * @returns {number[]} none where the text is shorter.
 */
export function placesOf(characters, found) {
  const ends = found.characters.flatMap((text, place) => (text ? [place] : [])); // of bytes, the last of each character
  return ends.length < characters.length ? [] : ends.slice(ends.length - characters.length);
}

/** @param {Activations} found @param {number} place @returns {number[]} */
function stateAt(found, place) {
  return found.units.slice(0, UNITS).map(({ values }) => values[place]);
}

/** @param {Character} next */
function costOf(next) {
  return next.bits === null ? "not measured" : `${shownAlone(next.text)} came and cost ${next.bits.toFixed(1)} bits`;
}

/** @param {number} middle @param {number} wide @param {Character} read @param {Character} next @param {number[]} state @param {boolean} current */
function column(middle, wide, read, next, state, current) {
  const [likeliest, share] = next.top[0];
  const text = (/** @type {number} */ y, /** @type {string} */ content, look = "") => drawn("text", { class: look, x: middle, y, "text-anchor": "middle", text: content });
  const parts = [
    drawn("line", { class: "arrow", x1: middle, y1: 200, x2: middle, y2: 172 }),
    drawn("line", { class: "arrow", x1: middle, y1: 96, x2: middle, y2: 72 }),
    drawn("line", { class: "arrow", x1: middle + 26, y1: 134, x2: middle + wide - 26, y2: 134 }),
    ...state.map((value, unit) => drawn("rect", { class: `cell-${activationClass(value)}`, x: middle - 24, y: 98 + unit * 12, width: 48, height: 12 })),
    drawn("rect", { class: "frame", x: middle - 24, y: 98, width: 48, height: 12 * state.length }),
    text(220, shownAlone(read.text), "letter"),
    text(62, `${shownAlone(likeliest)} ${percent(share)}`),
    text(40, shownAlone(next.text), current ? "letter current" : "letter"),
    text(16, next.bits === null ? "" : `${next.bits.toFixed(1)} bits`, "cost"),
  ];
  return parts;
}
