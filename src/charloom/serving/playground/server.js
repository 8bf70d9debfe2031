/** The back end on a server: its HTTP interface, with shapes made the page's own. */

import { BackendError } from "./backend.js";
import { USUAL, stopField, stopTexts, usualSettings } from "./settings.js";

/**
 * @typedef {import("./characters.js").Character} Character
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {{text: string, bits: number | null, top: [string, number][]}} Token its text is empty, or something else than
 *   a character, where it is one byte of several.
 */

const LONGEST = 10_000; // characters of a text: as many as can be shown at once

/** Models on the server that this page came from. */
export class Server {
  constructor() {
    /** @type {import("./settings.js").Settings} */
    this.usual = { ...USUAL };
    this.key = ""; // kept while the page is open, and nowhere else
    /** @type {Record<string, any>} */
    this.sampling = {}; // the chosen model's own, which the server takes for what is not sent
  }

  /** The models that the server has; the first is the usual one. @returns {Promise<string[]>} */
  async models() {
    const { data } = await (await this.#ask("v1/models")).json();
    const names = data.map((/** @type {{id: string}} */ model) => model.id);
    this.usual.model = names[0];
    return names;
  }

  /** What is known of a model: its card, configuration, losses and history. @param {string} name @returns {Promise<any>} */
  async facts(name) {
    const facts = await (await this.#ask(`api/models/${encodeURIComponent(name)}`)).json();
    this.sampling = facts.sampling ?? {};
    this.usual = { ...usualSettings(this.sampling, LONGEST), model: this.usual.model };
    return facts;
  }

  /** Prompts to try, and units with a name. @param {string} name @returns {Promise<import("./backend.js").Introduction>} */
  async introduction(name) {
    return (await this.#ask(`api/models/${encodeURIComponent(name)}/introduction`)).json();
  }

  /** @param {Settings} settings @param {number} seed @param {AbortSignal} signal @returns {AsyncGenerator<Character[]>} */
  async *generate(settings, seed, signal) {
    const body = { ...requestBody(settings, seed, this.sampling), stream: true, logprobs: 5 };
    const answer = await this.#ask("v1/completions", body, signal);
    for await (const some of unbroken(events(/** @type {ReadableStream<Uint8Array>} */ (answer.body)), signal)) {
      const written = some.filter((event) => event !== "[DONE]").map((event) => JSON.parse(event));
      yield written.flatMap((data) => (data.choices?.[0] ? charactersOf(data.choices[0]) : []));
      const failed = written.find((data) => data.error);
      if (failed) throw new BackendError(failed.error.message, 500);
      if (some.includes("[DONE]")) return;
    }
    throw new BackendError(GONE);
  }

  /** @param {string} text @param {Settings} settings @returns {Promise<import("./backend.js").Score>} */
  async score(text, { model }) {
    const answer = await (await this.#ask("api/score", { model, text })).json();
    const characters = answer.tokens.map((/** @type {any} */ one) => ({
      text: one.text,
      bits: one.bits,
      unknown: one.unknown,
      top: one.top.map((/** @type {any} */ other) => [other.text, other.probability]).filter((/** @type {any} */ [other]) => other !== ""),
    }));
    return { characters, bitsPerChar: answer.bits_per_char };
  }

  /** The likeliest characters after a prompt. @param {Settings} settings @returns {Promise<[string, number][]>} */
  async next({ model, prompt }) {
    const body = { model, prompt, max_tokens: 1, temperature: 0, logprobs: 5 };
    const answer = await (await this.#ask("v1/completions", body)).json();
    return topOf(answer.choices[0]?.logprobs?.top_logprobs?.[0]);
  }

  /**
   * Hidden states over a text; of the most variable units where none is named.
   * @param {{model: string, text: string, layer?: number, units?: number[]}} body
   * @returns {Promise<import("./backend.js").Activations>}
   */
  async activations(body) {
    return (await this.#ask("api/activations", body)).json();
  }

  /**
   * @param {string} path from this page on, which a proxy may show under any address.
   * @param {unknown} [body] sent as JSON; without one it is a GET.
   * @param {AbortSignal} [signal]
   * @returns {Promise<Response>}
   */
  async #ask(path, body, signal) {
    /** @type {Record<string, string>} */
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    if (this.key) headers.Authorization = `Bearer ${this.key}`;
    const method = body === undefined ? "GET" : "POST";
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: JSON.stringify(body), signal, cache: "no-store" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new BackendError("the server does not answer: is it running?");
    }
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => null); // not in the documented shape: a proxy's, say
    const message = said?.error?.message ?? `the server answered ${answer.status}`;
    throw new BackendError(message, answer.status, Number(answer.headers.get("Retry-After")) || 0, said?.error?.param);
  }
}

/**
 * The fields of a completions request, without those that say nothing.
 * @param {Settings} settings
 * @param {number | null} seed the one that is used.
 * @param {Record<string, any>} [own] the model's own sampling.
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
  if (settings.stop !== stopField(own.stop ?? [])) body.stop = stopTexts(settings.stop);
  return body;
}

const GONE = "the server went away";

/** What a stream brings, whose end before its time is said in words. @template Piece @param {AsyncIterable<Piece>} pieces @param {AbortSignal} signal @returns {AsyncGenerator<Piece>} */
async function* unbroken(pieces, signal) {
  try {
    yield* pieces;
  } catch (error) {
    throw signal.aborted ? error : new BackendError(GONE);
  }
}

/** The data of server-sent events, of all that came at once. @param {ReadableStream<Uint8Array>} body @returns {AsyncGenerator<string[]>} */
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
      yield parts
        .map((part) => part.split(/\r?\n/).filter((line) => line.startsWith("data:")))
        .filter((data) => data.length)
        .map((data) => data.map((line) => line.slice(5).replace(/^ /, "")).join("\n"));
    }
  } finally {
    reader.cancel().catch(() => {}); // so that the server stops
  }
}

/** The characters of a completion. @param {any} choice @returns {Character[]} */
export function charactersOf({ logprobs, text }) {
  const tokens = (logprobs?.tokens ?? []).map((/** @type {string} */ token, /** @type {number} */ index) => ({
    text: token,
    bits: Math.max(0, -logprobs.token_logprobs[index] / Math.LN2),
    top: topOf(logprobs.top_logprobs?.[index]),
  }));
  return joined(text ?? "", tokens);
}

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
    return { text: character, bits: parts.reduce((sum, part) => sum + Number(part.bits), 0), top: count === 1 ? first.top : [] };
  });
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
