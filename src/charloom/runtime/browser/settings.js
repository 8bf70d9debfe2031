/** What a person can set: read from the form, and written into the address so that it can be shared. */

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
 * @property {string} model empty = the first.
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
 * @param {Settings} usual
 * @returns {string} without the #; empty where everything is as usual.
 */
export function toHash(settings, usual) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    if (value !== usual[/** @type {keyof Settings} */ (name)] && value !== null) parameters.set(name, String(value));
  }
  return parameters.toString();
}

/**
 * Settings from an address; whatever is no number or unknown is passed over.
 * @param {string} hash with or without the #.
 * @param {Settings} usual
 * @returns {Settings}
 */
export function fromHash(hash, usual) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  return withValues(usual, (name) => parameters.get(name));
}

/** @param {HTMLFormElement} form @param {Settings} usual @returns {Settings} */
export function fromForm(form, usual) {
  return withValues({ ...usual, seed: null }, (name) => field(form, name)?.value.replaceAll("\r\n", "\n"));
}

/** @param {HTMLFormElement} form @param {Settings} settings */
export function toForm(form, settings) {
  for (const [name, value] of Object.entries(settings)) {
    const input = field(form, name);
    if (input) input.value = value ?? "";
  }
}

/** @param {Settings} usual @param {(name: string) => string | null | undefined} given @returns {Settings} */
function withValues(usual, given) {
  const settings = { ...usual };
  for (const name of TEXTS) settings[name] = given(name) || usual[name];
  for (const name of NUMBERS) {
    const text = given(name)?.trim() ?? "";
    if (text !== "" && Number.isFinite(Number(text))) settings[name] = Number(text);
  }
  return settings;
}

/** @param {HTMLFormElement} form @param {string} name @returns {any} */
function field(form, name) {
  return form.elements.namedItem(name);
}
