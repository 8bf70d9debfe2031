/** Writing: the prompt goes to the back end, the text comes back coloured, and branches where a person says so. */

import { bitsPerCharacter } from "./characters.js";
import { byId } from "./dom.js";
import { surpriseView } from "./panel.js";

/** @typedef {import("./characters.js").Character} Character */

export class Writer {
  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.page = page;
    /** @type {number | null} */
    this.seed = null; // of the last text
    /** @type {AbortController | null} */
    this.running = null;
    this.panel = surpriseView(
      byId("written"), "The text, character by character", "What else could be here", (index, character) => {
        const { characters } = this.view;
        this.branch(this.before, characters.slice(0, index), character, characters[index].top);
      },
    );
    this.view = this.panel.view;
    byId("stop").addEventListener("click", () => this.stop());
  }

  /** The part of the text that is shown plain. */
  get before() {
    return String(this.view.before.textContent);
  }

  /** The whole text: the prompt and what was written. */
  get text() {
    return this.before + this.view.text;
  }

  /** The likeliest characters of the place that is looked at, or of the last. @returns {[string, number][]} */
  get top() {
    const index = this.panel.index >= 0 ? this.panel.index : this.view.characters.length - 1;
    return this.view.characters[index]?.top ?? [];
  }

  /** Write from the prompt in the form. */
  generate() {
    this.panel.hide();
    this.view.clear(this.page.settings.prompt);
    return this.#continue();
  }

  stop() {
    this.running?.abort();
  }

  /**
   * Continue a text with a character that a person chose.
   * @param {string} before the beginning of the text, plain.
   * @param {Character[]} kept what follows it.
   * @param {string} character to come next.
   * @param {[string, number][]} top the likeliest in its place.
   */
  branch(before, kept, character, top) {
    const share = top.find(([other]) => other === character)?.[1];
    const bits = share ? Math.max(0, -Math.log2(share)) : null;
    this.view.clear(before);
    this.view.append([...kept, { text: character, bits, top, branched: true }]);
    this.page.usePrompt(this.text);
    this.view.focus(kept.length);
    this.panel.hide();
    return this.#continue();
  }

  async #continue() {
    this.stop();
    const running = new AbortController();
    this.running = running;
    const { settings, backend, announcer } = this.page;
    this.seed = settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
    this.page.began();
    announcer.begin();
    this.#showRunning(true);
    const started = performance.now();
    const already = this.view.characters.length;
    let error = null;
    try {
      for await (const characters of backend.generate(settings, this.seed, running.signal)) {
        if (this.running !== running) return;
        this.view.append(characters);
        announcer.add(characters.map((one) => one.text).join(""));
        this.#showFigures(this.view.characters.length - already, started);
      }
    } catch (caught) {
      if (!running.signal.aborted) error = caught;
    }
    if (this.running !== running) return; // another text has begun meanwhile
    this.running = null;
    this.#showRunning(false);
    if (error) this.page.failed(error);
    else this.#announceEnd(running.signal.aborted ? "Stopped" : "Done");
    this.page.ended();
  }

  /** @param {string} how */
  #announceEnd(how) {
    const bits = bitsPerCharacter(this.view.characters);
    const figures = bits === null ? "" : `, ${bits.toFixed(2)} bits a character`;
    this.page.announcer.end(`${how}: ${this.view.characters.length.toLocaleString("en")} characters${figures}.`);
  }

  /** @param {boolean} running */
  #showRunning(running) {
    const stop = byId("stop");
    if (!running && document.activeElement === stop) byId("generate").focus();
    stop.disabled = !running;
    byId("written").classList.toggle("running", running);
    byId("written").setAttribute("aria-busy", String(running));
    if (running) byId("figures").textContent = `seed ${this.seed}`;
  }

  /** @param {number} count characters of this request. @param {number} started */
  #showFigures(count, started) {
    const bits = bitsPerCharacter(this.view.characters);
    const speed = count / Math.max(0.001, (performance.now() - started) / 1000);
    byId("figures").textContent = [
      `${this.view.characters.length.toLocaleString("en")} characters`,
      bits === null ? "" : `${bits.toFixed(2)} bits a character`,
      `${Math.round(speed).toLocaleString("en")} a second`,
      `seed ${this.seed}`,
    ].filter(Boolean).join(" · ");
  }
}
