/** Stop texts: a text is cut before the first of them, and nothing is shown that could become part of one. */

/** @typedef {import("./characters.js").Character} Character */

/**
 * The characters before a stop text.
 * @param {AsyncIterable<Character[]>} pieces
 * @param {string[]} stops
 * @returns {AsyncGenerator<Character[]>}
 */
export async function* stopped(pieces, stops) {
  if (!stops.length) return yield* pieces;
  /** @type {Character[]} */
  let held = [];
  for await (const some of pieces) {
    held.push(...some);
    const text = held.map((one) => one.text).join("");
    const found = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    const certain = found.length ? Math.min(...found) : text.length - possibleStop(text, stops);
    const count = countOf(held, certain);
    yield held.splice(0, count);
    if (found.length) return;
  }
  yield held;
}

/** The length of the longest end of a text that a stop text begins with. @param {string} text @param {string[]} stops */
function possibleStop(text, stops) {
  const longest = Math.min(text.length, Math.max(...stops.map((stop) => stop.length)) - 1);
  for (let length = longest; length > 0; length--) {
    const end = text.slice(-length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}

/** How many characters fit in so many code units. @param {Character[]} characters @param {number} length */
function countOf(characters, length) {
  let count = 0;
  for (let taken = 0; count < characters.length; count++) {
    taken += characters[count].text.length;
    if (taken > length) break;
  }
  return count;
}
