/** Texts of a model of short items: each is written by itself, one a line. */

/**
 * @typedef {import("./backend.js").Backend} Backend
 * @typedef {import("./characters.js").Character} Character
 * @typedef {import("./settings.js").Settings} Settings
 */

/**
 * What a back end writes after a prompt; of a model of items as many as the settings say, number i with seed + i.
 * @param {Backend} backend @param {boolean} items @param {Settings} settings
 * @param {string} prompt that of the settings, and of a branch what was written before it.
 * @param {number} seed @param {AbortSignal} signal
 * @returns {AsyncGenerator<Character[]>}
 */
export async function* texts(backend, items, settings, prompt, seed, signal) {
  if (!items) return yield* backend.generate({ ...settings, prompt }, seed, signal);
  const beginning = lastLine(settings.prompt);
  const written = prompt.split("\n").length - settings.prompt.split("\n").length;
  for (let item = written; item < settings.items && !signal.aborted; item++) {
    if (item > written) yield ["\n", ...beginning].map((text) => ({ text, bits: null, top: [] }));
    yield* backend.generate({ ...settings, prompt: item > written ? beginning : lastLine(prompt) }, seed + item, signal);
  }
}

/** All that an item knows of what is before it. @param {string} text */
function lastLine(text) {
  return text.slice(text.lastIndexOf("\n") + 1);
}
