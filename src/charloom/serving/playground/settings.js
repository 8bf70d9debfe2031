/** What a person can set: read from the form, written into the address so that it can be shared, and sent. */

/**
 * @typedef {object} Settings
 * @property {string} prompt
 * @property {number} temperature
 * @property {number} length characters to write.
 * @property {number | null} seed null draws one.
 * @property {number} top_k 0 = all.
 * @property {number} top_p 1 = all.
 * @property {number} min_p 0 = all.
 * @property {string} regex empty = none.
 * @property {string} model empty = the server's first.
 */

/** @type {Settings} */
export const USUAL = {
  prompt: "", temperature: 0.8, length: 400, seed: null, top_k: 0, top_p: 1, min_p: 0, regex: "", model: "",
};

const NUMBERS = /** @type {const} */ (["temperature", "length", "seed", "top_k", "top_p", "min_p"]);
const TEXTS = /** @type {const} */ (["prompt", "regex", "model"]);

/**
 * The part of the address after #: only what differs from the usual.
 * @param {Settings} settings
 * @returns {string} without the #; empty where everything is as usual.
 */
export function toHash(settings) {
  const parameters = new URLSearchParams();
  for (const [name, usual] of Object.entries(USUAL)) {
    const value = settings[/** @type {keyof Settings} */ (name)];
    if (value !== usual && value !== null) parameters.set(name, String(value));
  }
  return parameters.toString();
}

/**
 * Settings from an address; whatever is no number or unknown is passed over.
 * @param {string} hash with or without the #.
 * @returns {Settings}
 */
export function fromHash(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const settings = { ...USUAL };
  for (const name of TEXTS) settings[name] = parameters.get(name) ?? USUAL[name];
  for (const name of NUMBERS) {
    const given = parameters.get(name);
    const value = given === null || given.trim() === "" ? NaN : Number(given);
    if (Number.isFinite(value)) settings[name] = value;
  }
  return settings;
}

/**
 * The fields of a completions request, without those that say nothing.
 * @param {Settings} settings
 * @param {number | null} seed the one that is used.
 * @param {Record<string, any>} [own] the model's own sampling, which the server takes for what is not sent.
 * @returns {Record<string, unknown>}
 */
export function requestBody(settings, seed, own = {}) {
  /** @type {Record<string, unknown>} */
  const body = {
    model: settings.model, prompt: settings.prompt, max_tokens: settings.length, temperature: settings.temperature,
  };
  if (seed !== null) body.seed = seed;
  for (const name of /** @type {const} */ (["top_p", "top_k", "min_p"])) {
    if (settings[name] !== (own[name] ?? USUAL[name])) body[name] = settings[name];
  }
  if (settings.regex) body.regex = settings.regex;
  return body;
}

/** @param {HTMLFormElement} form @returns {Settings} */
export function fromForm(form) {
  const settings = { ...USUAL };
  for (const name of TEXTS) if (field(form, name)) settings[name] = field(form, name).value.replaceAll("\r\n", "\n");
  for (const name of NUMBERS) {
    const text = field(form, name)?.value ?? "";
    if (text !== "" && Number.isFinite(Number(text))) settings[name] = Number(text);
  }
  return settings;
}

/** @param {HTMLFormElement} form @param {Settings} settings */
export function toForm(form, settings) {
  for (const name of [...TEXTS, ...NUMBERS]) {
    if (field(form, name)) field(form, name).value = settings[name] ?? "";
  }
}

/** A seed for those who gave none. @returns {number} */
export function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
}

/** @param {HTMLFormElement} form @param {string} name @returns {any} */
function field(form, name) {
  return form.elements.namedItem(name);
}
