/** Writing: the prompt goes to the back end, the text comes back coloured, and branches where a person says so. */

import { bitsPerCharacter } from "./characters.js";
import { byId } from "./dom.js";
import { texts } from "./items.js";
import { paced } from "./pace.js";
import { surpriseView } from "./panel.js";
import { Versions } from "./versions.js";

/**
 * @typedef {import("./characters.js").Character} Character
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {import("./versions.js").Version} Version
 */

/**
 * @typedef {object} Manners
 * @property {boolean} [slowly] at reading speed.
 * @property {boolean} [quietly] without a word to screen readers: the person did not ask for it.
 */

export class Writer {
  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.page = page;
    /** @type {AbortController | null} */
    this.running = null;
    this.panel = surpriseView(byId("written"), {
      label: "The text, character by character",
      title: "What else could be here",
      kept: (index) => index < (this.versions.current?.kept ?? 0),
      given: (text) => page.marked(text),
      branch: (index, character) => this.branch(index, character),
    });
    this.view = this.panel.view;
    this.versions = new Versions(byId("versions"), (version) => this.show(version));
    byId("halt").addEventListener("click", () => this.stop());
    byId("undo").addEventListener("click", () => this.undo());
    byId("written").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    });
  }

  /** The seed of the text that is shown. */
  get seed() {
    return this.versions.current?.seed ?? null;
  }

  /** The whole text: the prompt and what was written. */
  get text() {
    return (this.versions.current?.before ?? "") + this.view.text;
  }

  /** The likeliest characters of the place that is looked at, or of the last. @returns {[string, number][]} */
  get top() {
    const index = this.panel.index >= 0 ? this.panel.index : this.view.characters.length - 1;
    return this.view.characters[index]?.top ?? [];
  }

  /** What the model reads before it continues a version: the prompt, and of a branch all that is before it. @param {Version} version */
  promptOf({ parent, before, characters, kept }) {
    return parent ? before + characters.slice(0, kept + 1).map((one) => one.text).join("") : before;
  }

  /** Write from the prompt in the form. @param {Manners} [manners] */
  generate(manners = {}) {
    const { settings } = this.page;
    return this.#write({ parent: null, before: settings.prompt, characters: [], kept: 0, ...this.#drawn(settings) }, manners);
  }

  stop() {
    this.running?.abort();
  }

  /**
   * Continue the shown text with another character.
   * @param {number} index its place. @param {string} character
   */
  branch(index, character) {
    const parent = this.versions.current;
    if (!parent) return;
    const { settings } = this.page;
    const { before } = parent;
    const characters = [...this.view.characters.slice(0, index), chosen(character, this.view.characters[index].top)];
    this.#write({ parent, before, characters, kept: index, ...this.#drawn({ ...settings, prompt: before }) });
  }

  /**
   * Continue a text that was not written here.
   * @param {Character[]} characters its beginning. @param {string} character to come next. @param {[string, number][]} top likeliest in its place.
   */
  adopt(characters, character, top) {
    const { settings } = this.page;
    const text = { before: "", settings: { ...settings, prompt: "" }, seed: 0, figures: "A text of yours" };
    const parent = { ...text, parent: null, characters, kept: 0 };
    this.versions.go(parent);
    const all = [...characters, chosen(character, top)];
    this.#write({ parent, before: "", characters: all, kept: characters.length, ...this.#drawn({ ...settings, prompt: "" }) });
  }

  /** Show a version that is there. @param {Version} version */
  show(version) {
    this.stop();
    this.versions.go(version);
    this.#display(version);
  }

  /** Go back to the text that was looked at before. */
  undo() {
    this.stop();
    const version = this.versions.undo();
    if (version) this.#display(version);
  }

  /** @param {Settings} settings */
  #drawn(settings) {
    return { settings, seed: settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000, figures: "" };
  }

  /** @param {Version} version */
  #display(version) {
    const { parent, before, characters, kept, figures } = version;
    this.panel.hide();
    this.panel.rest();
    const inText = this.view.place.contains(document.activeElement) || this.panel.place.contains(document.activeElement);
    this.view.clear(before);
    this.view.append(characters);
    byId("figures").textContent = figures;
    byId("undo").disabled = !this.versions.canUndo;
    byId("actions").hidden = false;
    if (!parent) return;
    if (inText || document.activeElement === document.body) this.view.focus(kept);
    this.panel.hide();
    this.view.reveal(kept);
  }

  /** @param {Version} version to write on. @param {Manners} [manners] */
  async #write(version, { slowly = false, quietly = false } = {}) {
    this.stop();
    const running = new AbortController();
    this.running = running;
    const { backend, announcer } = this.page;
    const { signal } = running;
    this.page.began();
    if (!quietly) announcer.begin();
    this.panel.hide();
    this.panel.rest();
    this.#showRunning(true);
    const started = performance.now();
    const already = version.characters.length;
    let shown = false;
    const reveal = () => {
      if (!shown) this.#begin(version, slowly);
      shown = true;
    };
    let error = null;
    try {
      const pieces = texts(backend, this.page.items, version.settings, this.promptOf(version), version.seed, signal);
      for await (const characters of slowly ? paced(pieces, signal) : pieces) {
        if (this.running !== running) return;
        if (!characters.length) continue;
        reveal(); // not before there is something to show
        version.characters.push(...characters);
        this.view.append(characters);
        if (!quietly) announcer.add(characters.map((one) => one.text).join(""));
        this.#showFigures(version, already, slowly ? null : started);
      }
    } catch (caught) {
      if (!signal.aborted) error = caught;
    }
    if (this.running !== running) return; // another text has begun meanwhile
    if (!error && !signal.aborted) reveal();
    this.running = null;
    this.#showRunning(false);
    this.versions.show();
    if (error) this.page.failed(error, { count: version.characters.length - already, again: () => this.#again(version, already) });
    else if (!quietly) this.#announceEnd(signal.aborted ? "Stopped" : "Done");
    this.page.ended();
  }

  /** Write a version once more that broke off. @param {Version} version @param {number} already characters that it began with. */
  #again(version, already) {
    return this.#write({ ...version, characters: version.characters.slice(0, already) });
  }

  /** The first characters have come: show them instead of the text before. @param {Version} version @param {boolean} follow the end. */
  #begin(version, follow) {
    this.versions.go(version);
    this.#display(version);
    this.view.follows = follow;
    byId("written").classList.add("running");
  }

  /** @param {string} how */
  #announceEnd(how) {
    const bits = bitsPerCharacter(this.view.characters);
    const figures = bits === null ? "" : `, ${bits.toFixed(2)} bits per character`;
    this.page.announcer.end(`${how}: ${this.view.characters.length.toLocaleString("en")} characters${figures}.`);
  }

  /** @param {boolean} running */
  #showRunning(running) {
    const stop = byId("halt");
    if (!running && document.activeElement === stop) byId("generate").focus();
    stop.disabled = !running;
    byId("written").classList.toggle("running", running);
    byId("written").setAttribute("aria-busy", String(running));
  }

  /** @param {Version} version @param {number} already characters before this request. @param {number | null} started */
  #showFigures(version, already, started) {
    const { characters, seed } = version;
    const bits = bitsPerCharacter(characters);
    const speed = started === null ? 0 : (characters.length - already) / Math.max(0.001, (performance.now() - started) / 1000);
    version.figures = [
      `${characters.length.toLocaleString("en")} characters`,
      bits === null ? "" : `${bits.toFixed(2)} bits per character`,
      speed ? `${Math.round(speed).toLocaleString("en")} per second` : "",
      `seed ${seed}`,
    ].filter(Boolean).join(" · ");
    byId("figures").textContent = version.figures;
  }
}

/** A character that a person chose. @param {string} text @param {[string, number][]} top @returns {Character} */
function chosen(text, top) {
  const share = top.find(([other]) => other === text)?.[1];
  return { text, bits: share ? Math.max(0, -Math.log2(share)) : null, top, branched: true };
}
