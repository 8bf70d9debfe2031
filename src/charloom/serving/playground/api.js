/** The server's answers: completions as a stream, scores, activations, models. Shapes are made ours here. */

import { bitsOf } from "./surprise.js";

/** @typedef {import("./surprise.js").Character} Character */

/** What the server said was wrong. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {number} [retryAfter] seconds */
  constructor(message, status, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Kept while the page is open, and nowhere else. */
let apiKey = "";

/** @param {string} key */
export function useKey(key) {
  apiKey = key;
}

/** @returns {boolean} */
export function hasKey() {
  return apiKey !== "";
}

/** The models that the server has. @returns {Promise<string[]>} */
export async function modelNames() {
  const answer = await (await asked("v1/models")).json();
  return answer.data.map((/** @type {{id: string}} */ model) => model.id);
}

/**
 * What is known of a model: its card, configuration, losses and history.
 * @param {string} name
 * @returns {Promise<any>}
 */
export async function modelFacts(name) {
  return (await asked(`api/models/${encodeURIComponent(name)}`)).json();
}

/**
 * Continue a prompt; pieces come as they are written.
 * @param {Record<string, unknown>} body
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Character[]>}
 */
export async function* complete(body, signal) {
  const answer = await asked("v1/completions", { ...body, stream: true, logprobs: 5 }, signal);
  for await (const event of events(/** @type {ReadableStream<Uint8Array>} */ (answer.body))) {
    if (event === "[DONE]") return;
    const data = JSON.parse(event);
    if (data.error) throw new ApiError(data.error.message, 500);
    const choice = data.choices[0];
    if (choice) yield charactersOf(choice);
  }
  throw new ApiError("the connection ended before the text did: try again", 0);
}

/**
 * The characters that may follow a prompt.
 * @param {string} model
 * @param {string} prompt
 * @returns {Promise<[string, number][]>} the likeliest, with their probabilities.
 */
export async function nextCharacters(model, prompt) {
  const body = { model, prompt, max_tokens: 1, temperature: 0, logprobs: 5 };
  const answer = await (await asked("v1/completions", body)).json();
  return topOf(answer.choices[0]?.logprobs?.top_logprobs?.[0]);
}

/**
 * @param {string} model
 * @param {string} text
 * @returns {Promise<{characters: Character[], bitsPerChar: number | null, unknown: number}>}
 */
export async function score(model, text) {
  const answer = await (await asked("api/score", { model, text })).json();
  const tokens = answer.tokens.map((/** @type {any} */ one) => ({
    text: one.text,
    bits: one.bits,
    top: one.top.map((/** @type {any} */ other) => [other.text, other.probability]),
  }));
  // A token of a model of characters is the character as the model read it, which cleaning may have changed.
  const known = tokens.every((/** @type {Token} */ token) => token.text !== "");
  const characters = joined(known ? tokens.map((/** @type {Token} */ token) => token.text).join("") : text, tokens);
  return { characters, bitsPerChar: answer.bits_per_char, unknown: answer.unknown ?? 0 };
}

/**
 * @typedef {object} Activations
 * @property {string[]} characters of the text as the model read it.
 * @property {number} layer from 0.
 * @property {number} layers
 * @property {number} size units in a layer.
 * @property {{unit: number, values: number[]}[]} units a value a character each, from −1 to 1.
 */

/**
 * Hidden states over a text; of the most variable units where none is named.
 * @param {{model: string, text: string, layer?: number, units?: number[]}} body
 * @returns {Promise<Activations>}
 */
export async function activations(body) {
  const answer = await (await asked("api/activations", body)).json();
  return {
    characters: answer.characters,
    layer: answer.layer,
    layers: answer.layers,
    size: answer.hidden_size,
    units: answer.units,
  };
}

/**
 * @param {string} path from this page on, which a proxy may show under any address.
 * @param {unknown} [body] sent as JSON; without one it is a GET.
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function asked(path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
  const method = body === undefined ? "GET" : "POST";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("the server does not answer: is it running?", 0);
  }
  if (!answer.ok) throw await errorOf(answer);
  return answer;
}

/** @param {Response} answer @returns {Promise<ApiError>} */
async function errorOf(answer) {
  let message = `the server answered ${answer.status}`;
  try {
    message = (await answer.json()).error.message;
  } catch {
    // not in the documented shape: a proxy's, say
  }
  return new ApiError(message, answer.status, Number(answer.headers.get("Retry-After")) || 0);
}

/**
 * The data of server-sent events.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string>}
 */
export async function* events(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (held + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
      held = parts.pop() ?? "";
      for (const part of parts) {
        const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (data.length) yield data.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // so that the server stops
  }
}

/**
 * @typedef {object} Token
 * @property {string} text empty, or something else than a character, where it is one byte of several.
 * @property {number | null} bits
 * @property {[string, number][]} top
 */

const encoder = new TextEncoder();

/**
 * A text's characters with their tokens: one each, or of a model of bytes as many as the character has bytes. The bits
 * of several are added up.
 * @param {string} text
 * @param {Token[]} tokens
 * @returns {Character[]}
 */
export function joined(text, tokens) {
  let place = 0;
  return [...text].map((character) => {
    const first = tokens[place];
    if (!first) return { text: character, bits: null, top: [] };
    const count = first.text === character ? 1 : encoder.encode(character).length;
    const parts = tokens.slice(place, place + count);
    place += count;
    const bits = parts.some((part) => part.bits === null) ? null : parts.reduce((sum, part) => sum + Number(part.bits), 0);
    return { text: character, bits, top: count === 1 ? first.top : [] };
  });
}

/**
 * @param {any} choice of a completion.
 * @returns {Character[]}
 */
export function charactersOf(choice) {
  const { logprobs, text } = choice;
  const tokens = (logprobs?.tokens ?? []).map((/** @type {string} */ token, /** @type {number} */ index) => {
    const logprob = logprobs.token_logprobs[index];
    return { text: token, bits: logprob === null ? null : bitsOf(logprob), top: topOf(logprobs.top_logprobs?.[index]) };
  });
  return joined(text ?? "", tokens);
}

/**
 * @param {Record<string, number> | null | undefined} logprobs by character.
 * @returns {[string, number][]} with probabilities, likeliest first.
 */
function topOf(logprobs) {
  return Object.entries(logprobs ?? {})
    .filter(([character]) => character !== "")
    .map(([character, logprob]) => /** @type {[string, number]} */ ([character, Math.exp(logprob)]))
    .sort((one, other) => other[1] - one[1]);
}
