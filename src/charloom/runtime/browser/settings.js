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
 * @property {string} stop texts to end before, one a line, with \\n for a line end.
 * @property {number} items lines to write, of a model of items.
 * @property {string} regex empty = none.
 * @property {string} model empty = the first.
 */

/** @type {Settings} */
export const USUAL = {
  prompt: "", temperature: 0.8, length: 400, seed: null, top_k: 0, top_p: 1, min_p: 0, stop: "", items: 12, regex: "", model: "",
};

const NUMBERS = /** @type {const} */ (["temperature", "length", "seed", "top_k", "top_p", "min_p", "items"]);
const TEXTS = /** @type {const} */ (["prompt", "stop", "regex", "model"]);

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

/**
 * What a form holds before anybody changes it, with a model's own sampling settings.
 * @param {Record<string, any>} sampling as generation_config.json has them.
 * @param {number} longest text that can be asked for.
 * @returns {Settings}
 */
export function usualSettings(sampling, longest) {
  const own = Object.entries(sampling).filter(([name, value]) => name in USUAL && value !== null);
  const usual = { ...USUAL, ...Object.fromEntries(own) };
  return { ...usual, length: Math.max(1, Math.min(usual.length, longest)), stop: stopField(sampling.stop ?? []) };
}

/** Settings of one model for another: what was as usual is as usual again. @param {Settings} settings @param {Settings} before @param {Settings} after @returns {Settings} */
export function rebased(settings, before, after) {
  const changed = Object.entries(settings).filter(([name, value]) => value !== before[/** @type {keyof Settings} */ (name)]);
  return { ...after, ...Object.fromEntries(changed) };
}

const ESCAPES = /** @type {Record<string, string>} */ ({ "\\": "\\\\", "\n": "\\n", "\t": "\\t" });
const ESCAPED = Object.fromEntries(Object.entries(ESCAPES).map(([character, escape]) => [escape, character]));

/** Stop texts as they are written in the form. @param {string[]} stops */
export function stopField(stops) {
  return stops.map((stop) => stop.replace(/[\\\n\t]/g, (character) => ESCAPES[character])).join("\n");
}

/** The stop texts of the form. @param {string} field @returns {string[]} */
export function stopTexts(field) {
  const lines = field.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.replace(/\\[\\nt]/g, (escape) => ESCAPED[escape]));
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
  for (const name of TEXTS) settings[name] = given(name) ?? usual[name];
  settings.model ||= usual.model;
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
