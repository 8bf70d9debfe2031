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
 * @property {(asked: {model: string, text: string, layer?: number, units?: number[]}) => Promise<Activations>} activations
 *   hidden states over a text; of the most variable units where none is named.
 */

/**
 * @typedef {object} Score
 * @property {Character[]} characters of the text as the model read it.
 * @property {number | null} bitsPerChar null for a text without characters.
 */

/**
 * What is known of a model before it writes.
 * @typedef {object} About
 * @property {string} name
 * @property {string} [title] of the page.
 * @property {string} intro a sentence that says what it is.
 * @property {any} shape of the network. @property {any} corpus that it learned. @property {Record<string, any>} losses by protocol.
 * @property {{kind: string, characters: string}} vocabulary
 * @property {string[]} cleaning of a prompt.
 * @property {import("./curve.js").LearningCurve} curve how it learned.
 */

/**
 * What a model offers by itself.
 * @typedef {object} Introduction
 * @property {string[]} prompts that its texts often begin with.
 * @property {NamedUnit[]} units that follow something with a name.
 */

/** @typedef {{layer: number, unit: number, feature: string, correlation: number}} NamedUnit */

/**
 * @typedef {object} Activations
 * @property {string[]} characters of the text as the model read it.
 * @property {number} layer from 0.
 * @property {number} layers
 * @property {number} hidden_size units in a layer.
 * @property {{unit: number, values: number[], gates?: Gates}[]} units a value a character each, from −1 to 1; the gates of one
 *   that is named.
 */

/**
 * What a unit's gates did at each character, by name, and what they acted on; empty for a plain RNN.
 * @typedef {Record<string, number[]>} Gates
 */

/** What a back end says was wrong. */
export class BackendError extends Error {
  /** @param {string} message @param {number} [status] of HTTP. @param {number} [retryAfter] seconds @param {string | null} [field] it is about */
  constructor(message, status = 0, retryAfter = 0, field = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.field = field;
  }
}
