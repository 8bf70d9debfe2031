/** Text at the speed at which it can be read, whatever the speed at which it is written. */

/** @typedef {import("./characters.js").Character} Character */

const INTERVAL = 33; // milliseconds a character

/** Whether the person asked the system for less motion. */
export function wantsStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/**
 * The same characters, one at a time; the writing itself is not held up.
 * @param {AsyncIterable<Character[]>} pieces
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Character[]>}
 */
export async function* paced(pieces, signal) {
  /** @type {Character[]} */
  const waiting = [];
  let ended = false;
  /** @type {unknown} */
  let failure = null;
  (async () => {
    for await (const some of pieces) waiting.push(...some);
  })().catch((error) => (failure = error)).finally(() => (ended = true));
  while (!signal.aborted && (waiting.length || !ended)) {
    if (waiting.length) yield waiting.splice(0, document.hidden ? waiting.length : 1);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
  if (failure && !signal.aborted) throw failure;
}
