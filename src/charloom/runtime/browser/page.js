/** The page put together: tabs, the form and its address, writing and scoring, before any back end. */

import { Announcer } from "./announce.js";
import { BackendError } from "./backend.js";
import { byId, factList } from "./dom.js";
import { connectScoring } from "./score.js";
import { fromForm, fromHash, toForm, toHash } from "./settings.js";
import { Writer } from "./write.js";

/**
 * What a back end adds to the page.
 * @typedef {object} Hooks
 * @property {() => void} [changed] a setting is another one.
 * @property {() => void} [addressed] another address was entered, and its settings are in the form.
 * @property {() => void} [ended] a text has ended.
 * @property {(id: string) => void} [opened] the panel with this id was opened.
 * @property {(error: unknown) => void} [failed]
 */

export class Page {
  /** @param {import("./backend.js").Backend} backend @param {Hooks} [hooks] */
  constructor(backend, hooks = {}) {
    this.backend = backend;
    this.hooks = hooks;
    this.form = byId("settings");
    this.announcer = new Announcer(byId("live"));
    this.writer = new Writer(this);
    this.openTab = connectTabs(byId("views"), (id) => hooks.opened?.(id));
    connectScoring(this);
    this.#connectForm();
    toForm(this.form, fromHash(location.hash, backend.usual));
    this.#showSettings();
  }

  /** The settings in the form. */
  get settings() {
    return fromForm(this.form, this.backend.usual);
  }

  /** Put a prompt into the form. @param {string} prompt */
  usePrompt(prompt) {
    byId("prompt").value = prompt;
    this.settingsChanged();
  }

  /** Show the settings wherever else they are shown: slider, seed, address. */
  settingsChanged() {
    this.#showSettings();
    const hash = toHash(this.settings, this.backend.usual);
    const [here] = location.href.split("#"); // also where another document's address is the base
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", `${here}#${hash}`);
    this.hooks.changed?.();
  }

  /** Something was asked of the back end. */
  began() {
    byId("error").textContent = "";
    byId("error").hidden = true;
  }

  /** A text has ended. */
  ended() {
    this.#showSettings();
    this.hooks.ended?.();
  }

  /** One line near the form. @param {unknown} error */
  failed(error) {
    const known = error instanceof BackendError;
    const later = known && error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    byId("error").textContent = known ? `${error.message}${later}` : `something went wrong in this page: ${error}`;
    byId("error").hidden = false;
    this.hooks.failed?.(error);
  }

  #showSettings() {
    const { seed, temperature } = this.settings;
    byId("temperature-slider").value = temperature;
    byId("new-seed").textContent = seed === null ? "Keep this seed" : "Draw anew";
    byId("new-seed").disabled = seed === null && this.writer.seed === null;
  }

  #connectForm() {
    const { form } = this;
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.writer.generate();
    });
    form.addEventListener("input", () => this.settingsChanged());
    form.addEventListener("invalid", openAround, true);
    byId("temperature-slider").addEventListener("input", () => (byId("temperature").value = byId("temperature-slider").value));
    byId("prompt").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    byId("new-seed").addEventListener("click", () => {
      byId("seed").value = byId("seed").value === "" ? this.writer.seed : "";
      this.settingsChanged();
    });
    byId("usual").addEventListener("click", () => {
      const { prompt, model } = this.settings;
      toForm(form, { ...this.backend.usual, prompt, model });
      this.settingsChanged();
    });
    window.addEventListener("hashchange", () => {
      const given = fromHash(location.hash, this.backend.usual);
      if (toHash(given, this.backend.usual) === toHash(this.settings, this.backend.usual)) return;
      toForm(form, given);
      this.settingsChanged();
      this.hooks.addressed?.();
    });
  }
}

/** A field that is closed away and refused is opened, so that the browser can say why. @param {Event} event */
function openAround(event) {
  /** @type {HTMLElement} */ (event.target).closest("details")?.setAttribute("open", "");
}

/**
 * Views under one row of tabs; arrow keys go between them.
 * @param {HTMLElement} row with role="tablist".
 * @param {(id: string) => void} opened receives the panel's id.
 * @returns {(id: string) => void} opens the panel with this id.
 */
function connectTabs(row, opened) {
  const tabs = /** @type {HTMLElement[]} */ ([...row.querySelectorAll('[role="tab"]')]);
  const panelOf = (/** @type {HTMLElement} */ tab) => String(tab.getAttribute("aria-controls"));

  /** @param {string} id */
  function open(id) {
    for (const tab of tabs) {
      const selected = panelOf(tab) === id;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      byId(panelOf(tab)).hidden = !selected;
    }
    opened(id);
  }

  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(panelOf(tab)));
    tab.addEventListener("keydown", (event) => {
      const goal = { ArrowRight: index + 1, ArrowLeft: index - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (goal === undefined) return;
      const next = tabs[goal % tabs.length];
      open(panelOf(next));
      next.focus();
      event.preventDefault();
    });
  }
  return open;
}

/**
 * What a person would ask first of a model.
 * @param {any} model its shape. @param {any} corpus @param {Record<string, any>} losses by protocol.
 * @returns {HTMLElement}
 */
export function mainFacts(model, corpus, losses) {
  const protocol = "stateful" in losses ? "stateful" : Object.keys(losses)[0];
  /** @type {[string, string][]} */
  const found = [
    ["Network", `${model.cell.toUpperCase()}, ${model.num_layers} × ${model.hidden_size}`],
    ["Vocabulary", `${model.vocab_size.toLocaleString("en")} ${corpus.vocabulary}`],
    ["Trained on", `${corpus.characters.toLocaleString("en")} characters`],
  ];
  if (protocol) found.push([`Bits a character (${protocol})`, losses[protocol].bits_per_char.toFixed(3)]);
  return factList(found, "facts");
}
