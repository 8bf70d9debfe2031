/** A character of a text: how surprising it was, on which step of the ramp, and how it is written and said. */

/**
 * A character of a text with what the model thought of it.
 * @typedef {object} Character
 * @property {string} text
 * @property {number | null} bits −log2 of its probability; null where the model was not asked.
 * @property {[string, number][]} top the likeliest characters with their probabilities, likeliest first.
 * @property {boolean} [branched] whether a person chose it.
 * @property {boolean} [unknown] whether the model does not know it.
 */

/** Bits from which the next step of the surprise ramp is used; step 0 is below the first. The classes are in colours.css. */
export const SURPRISE_STEPS = [2, 3, 4, 6, 8, 10];

/** @param {number | null} bits @returns {number} the step of the ramp, 0 to 6. */
export function surpriseStep(bits) {
  if (bits === null || Number.isNaN(bits)) return 0;
  return SURPRISE_STEPS.filter((least) => bits >= least).length;
}

/** @param {Character[]} characters @returns {number | null} bits per character over those that were measured. */
export function bitsPerCharacter(characters) {
  let sum = 0;
  let known = 0;
  for (const { bits } of characters) {
    if (bits === null) continue;
    sum += bits;
    known++;
  }
  return known ? sum / known : null;
}

/** @param {number} share from 0 to 1. @returns {string} as a percentage that is never rounded to a false 0 or 100. */
export function percent(share) {
  const value = share * 100;
  if (value >= 99.95 && share < 1) return "> 99.9 %";
  if (value >= 9.95) return `${value.toFixed(value >= 99.95 ? 0 : 1)} %`;
  if (value >= 0.01) return `${value.toFixed(2)} %`;
  return value > 0 ? "< 0.01 %" : "0 %";
}

const NAMES = new Map([
  [" ", "space"], ["\n", "line end"], ["\t", "tab"], ["\r", "carriage return"], ["\u00a0", "no-break space"], ["\u3000", "wide space"],
  [".", "full stop"], [",", "comma"], [":", "colon"], [";", "semicolon"], ["'", "apostrophe"], ['"', "quote"],
  ["!", "exclamation mark"], ["?", "question mark"], ["-", "hyphen"], ["(", "open bracket"], [")", "close bracket"],
  ["\ufffd", "unknown character"],
]);

/** What a screen reader says for a character: punctuation and spaces have names. @param {string} character */
export function spokenName(character) {
  const known = NAMES.get(character);
  if (known) return known;
  return character !== character.toLowerCase() ? `capital ${character}` : character;
}

/** What is shown for a character on its own. @param {string} character */
export function shownAlone(character) {
  return { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\u3000": "␣" }[character] ?? character;
}

/** What a screen reader says for a character of a text. @param {Character} one */
export function spokenSurprise(one) {
  const name = spokenName(one.text);
  if (one.unknown) return `${name}, not in the model’s vocabulary`;
  if (one.bits === null) return name;
  const top = one.top.slice(0, 3).map(([character, share]) => `${spokenName(character)} ${percent(share)}`);
  return `${name}, ${one.bits.toFixed(1)} bits${top.length ? `; likeliest: ${top.join(", ")}` : ""}`;
}
