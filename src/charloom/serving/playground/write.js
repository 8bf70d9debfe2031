/** Writing: the prompt goes to the server, the text comes back coloured, and branches where a person says so. */

import { Panel, alternativesOf, spokenSurprise } from "./alternatives.js";
import { complete } from "./api.js";
import { byId } from "./dom.js";
import { randomSeed, requestBody } from "./settings.js";
import { bitsPerCharacter, surpriseStep } from "./surprise.js";
import { TextView } from "./text.js";

/** @typedef {import("./surprise.js").Character} Character */
/** @typedef {import("./settings.js").Settings} Settings */

/**
 * What the writer needs of the page.
 * @typedef {object} Surroundings
 * @property {() => Settings} settings as they stand in the form.
 * @property {() => Record<string, any>} own the model's own sampling.
 * @property {(prompt: string) => void} usePrompt put a prompt into the form.
 * @property {import("./announce.js").Announcer} announcer
 * @property {(error: unknown) => void} failed
 * @property {() => void} began a request is sent.
 * @property {(ended: boolean) => void} changed the text, or the place looked at, is another one.
 */

export class Writer {
  /** @param {Surroundings} page */
  constructor(page) {
    this.page = page;
    /** @type {number | null} */
    this.seed = null;
    /** @type {AbortController | null} */
    this.running = null;
    this.view = new TextView(byId("written"), "The text, character by character", {
      look: (one) => `surprise-${surpriseStep(one.bits)}${one.branched ? " branched" : ""}`,
      name: spokenSurprise,
      chosen: () => this.panel.enter(),
      key: (index, key) => this.#branchByNumber(index, key),
    });
    this.panel = new Panel(this.view, "What else could stand here", (one, index) => {
      queueMicrotask(() => page.changed(false));
      return alternativesOf(one, (character) => this.branch(index, character));
    });
    byId("stop").addEventListener("click", () => this.stop());
  }

  /** The whole text: the prompt and what was written. */
  get text() {
    return this.view.before.textContent + this.view.text;
  }

  /** The likeliest characters of the place that is looked at, or of the last. @returns {[string, number][]} */
  get top() {
    const index = this.panel.index >= 0 ? this.panel.index : this.view.characters.length - 1;
    return this.view.characters[index]?.top ?? [];
  }

  /** Write from the prompt in the form. */
  generate() {
    this.panel.hide();
    this.view.clear(this.page.settings().prompt);
    return this.#goOn();
  }

  stop() {
    this.running?.abort();
  }

  /**
   * Go on from a character with another one in its place.
   * @param {number} index
   * @param {string} character
   */
  branch(index, character) {
    const { top } = this.view.characters[index];
    this.#branchFrom(String(this.view.before.textContent), this.view.characters.slice(0, index), character, top);
  }

  /**
   * Go on from a text that was scored.
   * @param {Character[]} characters before the place.
   * @param {string} character to stand there.
   * @param {[string, number][]} top
   */
  branchFromScored(characters, character, top) {
    this.#branchFrom("", characters, character, top);
  }

  /** @param {string} before @param {Character[]} kept @param {string} character @param {[string, number][]} top */
  #branchFrom(before, kept, character, top) {
    const share = top.find(([other]) => other === character)?.[1];
    const bits = share ? Math.max(0, -Math.log2(share)) : null;
    this.panel.hide();
    this.view.clear(before);
    this.view.append([...kept, { text: character, bits, top, branched: true }]);
    this.page.usePrompt(before + this.view.text);
    this.view.focus(kept.length);
    this.panel.hide();
    return this.#goOn();
  }

  /** @param {number} index @param {string} key */
  #branchByNumber(index, key) {
    if (key === "Escape") this.panel.hide();
    else {
      const alternative = this.view.characters[index].top[Number(key) - 1];
      if (alternative) this.branch(index, alternative[0]);
    }
  }

  async #goOn() {
    this.stop();
    const running = new AbortController();
    this.running = running;
    const settings = this.page.settings();
    this.seed = settings.seed ?? randomSeed();
    this.page.began();
    this.page.announcer.begin();
    this.#show(true);
    const started = performance.now();
    const already = this.view.characters.length;
    let error = null;
    try {
      for await (const characters of complete(requestBody(settings, this.seed, this.page.own()), running.signal)) {
        if (this.running !== running) return;
        this.view.append(characters);
        this.page.announcer.add(characters.map((one) => one.text).join(""));
        this.#figures(this.view.characters.length - already, started);
      }
    } catch (caught) {
      if (!running.signal.aborted) error = caught;
    }
    if (this.running !== running) return; // another text has begun meanwhile
    this.running = null;
    this.#show(false);
    this.#ended(running.signal.aborted, error);
  }

  /** @param {boolean} stopped @param {unknown} error */
  #ended(stopped, error) {
    if (error) this.page.failed(error);
    const count = this.view.characters.length;
    const bits = bitsPerCharacter(this.view.characters);
    const figures = bits === null ? "" : `, ${bits.toFixed(2)} bits a character`;
    if (!error) this.page.announcer.end(`${stopped ? "Stopped" : "Done"}: ${count} characters${figures}.`);
    this.page.changed(true);
  }

  /** @param {boolean} running */
  #show(running) {
    const stop = byId("stop");
    if (!running && document.activeElement === stop) byId("generate").focus();
    stop.disabled = !running;
    byId("written").classList.toggle("running", running);
    byId("written").setAttribute("aria-busy", String(running));
    if (running) byId("figures").textContent = `seed ${this.seed}`;
  }

  /** @param {number} count characters of this request. @param {number} started */
  #figures(count, started) {
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
