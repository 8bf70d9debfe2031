/** The page by itself: the model is in it, and a thread of its own (worker.js) computes. */

import { BackendError } from "./backend.js";
import { byId, element, factList } from "./dom.js";
import { offerPrompts } from "./opening.js";
import { Page } from "./page.js";
import { stopTexts, usualSettings } from "./settings.js";
import { stopped } from "./stops.js";
import { Vocabulary, cleanedPrompt } from "./vocabulary.js";

/**
 * @typedef {import("./characters.js").Character} Character
 */

const LONGEST = 50_000; // ids of a text, its beginning included

/** The network in a worker. It works on one text at a time; another waits. */
export class Standalone {
  /**
   * @param {any} description of the model. @param {string} kernel as base64, or empty. @param {string} weights as base64.
   * @param {string} script of the worker.
   */
  constructor(description, kernel, weights, script) {
    this.description = description;
    this.usual = { ...usualSettings(description.sampling, description.longest), prompt: description.prompt, regex: "" };
    this.vocabulary = new Vocabulary(description.vocabulary);
    this.run = 0;
    /** @type {Map<number, (data: any) => void>} */
    this.receivers = new Map();
    this.worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    this.worker.onmessage = ({ data }) => this.receivers.get(data.run)?.(data);
    /** @type {Promise<{compiled: boolean}>} whether the kernel runs, or JavaScript. */
    this.ready = new Promise((loaded, failed) => {
      this.receivers.set(0, (data) => (data.error ? failed(new BackendError(data.error)) : loaded(data)));
      this.worker.onerror = (event) => failed(new BackendError(event.message || "the thread that computes did not start"));
    });
    this.worker.postMessage({ run: 0, description, kernel, weights, longest: LONGEST + 1 });
  }

  /** @param {import("./settings.js").Settings} settings @param {number} seed @param {AbortSignal} signal */
  async *generate(settings, seed, signal) {
    const read = this.vocabulary.encode(this.#cleaned(settings.prompt));
    const ids = read.length ? read : [this.description.opening_id]; // without a prompt: after a line end
    if (read.length + settings.length > LONGEST) {
      throw new BackendError(`this page writes texts of at most ${LONGEST.toLocaleString("en")} characters, the prompt included: choose a smaller length`);
    }
    const written = this.#characters({ ids, from: ids.length, length: settings.length, settings: { ...settings, seed } }, signal);
    yield* stopped(written, stopTexts(settings.stop));
  }

  /** @param {string} text @returns {Promise<import("./backend.js").Score>} */
  async score(text) {
    const read = this.#cleaned(text);
    const ids = this.vocabulary.encode(read);
    if (ids.length > LONGEST) throw new BackendError(`this page scores texts of at most ${LONGEST.toLocaleString("en")} characters`);
    const characters = [];
    const request = { ids: [this.description.opening_id, ...ids], from: 1, length: 0, settings: { ...this.usual, seed: 0 } };
    for await (const some of this.#characters(request)) characters.push(...some);
    const bits = characters.reduce((sum, one) => sum + Number(one.bits), 0);
    if (this.vocabulary.kind !== "bytes") markUnknown(characters, read, ids, this.vocabulary.unknownId);
    return { characters, bitsPerChar: characters.length ? bits / characters.length : null };
  }

  /** @param {{text: string, layer?: number, units?: number[]}} asked @returns {Promise<import("./backend.js").Activations>} */
  async activations({ text, layer, units }) {
    const { num_layers: layers, hidden_size: size } = this.description.shape;
    const ids = this.vocabulary.encode(this.#cleaned(text));
    const shown = layer ?? layers - 1;
    const request = { ids: [this.description.opening_id, ...ids], layer: shown, unit: units?.length === 1 ? units[0] : undefined };
    /** @type {Float32Array[]} */
    let states = [];
    let gates = null;
    for await (const some of this.#messages(request)) {
      for (const data of some) if (data.hidden) ({ hidden: states, gates } = data);
    }
    const decode = this.vocabulary.decoder();
    const chosen = units ?? mostVariable(states, size);
    return {
      characters: ids.map((id) => decode(id)), layer: shown, layers, hidden_size: size,
      units: chosen.map((unit) => ({ unit, values: ids.map((_, place) => states[place + 1][unit]), ...(gates && { gates }) })),
    };
  }

  /** @param {string} text */
  #cleaned(text) {
    return cleanedPrompt(text, this.description.cleaning);
  }

  /**
   * What the worker reads or writes from the id number `from` on: bytes as the characters that they make.
   * @param {object} request @param {AbortSignal} [signal]
   * @returns {AsyncGenerator<Character[]>}
   */
  async *#characters(request, signal) {
    const decode = this.vocabulary.decoder();
    /** @type {Character | null} */
    let partial = null;
    for await (const tokens of this.#tokens(request, signal)) {
      const characters = [];
      for (const [id, bits, ...likeliest] of tokens) {
        /** @type {Character} */
        const one = partial ?? { text: "", bits: 0, top: this.#alternatives(likeliest) };
        one.bits = Number(one.bits) + bits;
        one.text = decode(id);
        partial = one.text ? null : one;
        if (one.text) characters.push(one);
      }
      if (characters.length) yield characters;
    }
  }

  /** Without bytes that are not characters by themselves. @param {number[]} likeliest @returns {[string, number][]} */
  #alternatives(likeliest) {
    /** @type {[string, number][]} */
    const found = [];
    for (let at = 0; at < likeliest.length && likeliest[at] >= 0; at += 2) {
      const text = this.vocabulary.text(likeliest[at]);
      if (text) found.push([text, likeliest[at + 1]]);
    }
    return found;
  }

  /** @param {object} request @param {AbortSignal} [signal] @returns {AsyncGenerator<number[][]>} */
  async *#tokens(request, signal) {
    for await (const some of this.#messages(request, signal)) yield some.flatMap((data) => data.tokens ?? []);
  }

  /** What the worker says of a request. @param {object} request @param {AbortSignal} [signal] @returns {AsyncGenerator<any[]>} */
  async *#messages(request, signal) {
    const run = ++this.run;
    /** @type {any[]} */
    const waiting = [];
    let wake = () => {};
    this.receivers.set(run, (data) => {
      waiting.push(data);
      wake();
    });
    signal?.addEventListener("abort", () => wake());
    this.worker.postMessage({ run, ...request });
    try {
      while (!signal?.aborted) {
        if (!waiting.length) await new Promise((resolve) => (wake = () => resolve(null)));
        const some = waiting.splice(0); // all that came, so that a page that is slow to show it does so at once
        const failed = some.find((data) => data.error);
        if (failed) throw new BackendError(failed.error);
        yield some;
        if (some.some((data) => data.ended)) return;
      }
    } finally {
      this.receivers.delete(run);
      this.worker.postMessage({ run, stop: true });
    }
  }
}

/** Unknown characters are the person's own, not the sign that the model reads. @param {Character[]} characters @param {string} text @param {number[]} ids @param {number | null} unknown */
function markUnknown(characters, text, ids, unknown) {
  for (const [place, character] of Array.from(text).entries()) {
    if (ids[place] === unknown) Object.assign(characters[place], { text: character, unknown: true });
  }
}

/** The eight units that change most. @param {Float32Array[]} states (T, H) @param {number} size H. */
function mostVariable(states, size) {
  const variances = Array.from({ length: size }, (_, unit) => {
    let sum = 0, squares = 0;
    for (const state of states) {
      sum += state[unit];
      squares += state[unit] ** 2;
    }
    return squares / states.length - (sum / states.length) ** 2;
  });
  return [...variances.keys()].sort((one, other) => variances[other] - variances[one]).slice(0, 8);
}

async function start() {
  const description = JSON.parse(byId("description").textContent);
  const backend = new Standalone(description, byId("kernel").textContent, byId("weights").textContent, byId("worker").textContent);
  byId("weights").remove(); // megabytes that are not needed twice
  const page = new Page(backend);
  byId("model-name").textContent = description.title;
  byId("model-name").after(element("p", { class: "soft", text: "It runs in this page, and nothing leaves your computer." }));
  byId("length").max = description.longest;
  byId("card").replaceChildren(factList(description.card, "card"));
  byId("generate").disabled = true;
  byId("figures").textContent = "Loading …";
  page.use(description, backend.usual);
  offerPrompts(page, description.introduction.prompts);
  page.neurons.name(description.introduction.units);
  try {
    const { compiled } = await backend.ready;
    byId("generate").disabled = false;
    byId("figures").textContent = "";
    byId("slow").hidden = compiled;
    page.open();
  } catch (error) {
    page.failed(error);
  }
}

start();
