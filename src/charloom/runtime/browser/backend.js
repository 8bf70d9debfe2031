/** What writes and scores behind the page: a server, or the network in the page itself. */

/**
 * @typedef {import("./characters.js").Character} Character
 * @typedef {import("./settings.js").Settings} Settings
 */

/**
 * @typedef {object} Backend
 * @property {Settings} usual what a form holds before anybody changes it.
 * @property {(settings: Settings, seed: number, signal: AbortSignal) => AsyncIterable<Character[]>} generate
 *   continues the prompt; characters come as they are written.
 * @property {(text: string, settings: Settings) => Promise<Score>} score
 */

/**
 * @typedef {object} Score
 * @property {Character[]} characters of the text as the model read it.
 * @property {number | null} bitsPerChar null for a text without characters.
 * @property {number} unknown how many of them the model does not know.
 */

/** What a back end says was wrong. */
export class BackendError extends Error {
  /** @param {string} message @param {number} [status] of HTTP. @param {number} [retryAfter] seconds */
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}
