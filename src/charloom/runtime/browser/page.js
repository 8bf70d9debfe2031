/** The page put together: tabs, the form and its address, writing and scoring, before any back end. */

import { connectActions } from "./actions.js";
import { Announcer } from "./announce.js";
import { connectComparing } from "./compare.js";
import { showCurve } from "./curve.js";
import { byId, factList } from "./dom.js";
import { Explanation } from "./explanation.js";
import { connectLegend } from "./legend.js";
import { Neurons } from "./neurons.js";
import { openingText } from "./opening.js";
import { clearProblems, openAround, showProblem } from "./problems.js";
import { connectScoring } from "./score.js";
import { fromForm, fromHash, rebased, toForm, toHash } from "./settings.js";
import { connectTabs } from "./tabs.js";
import { Unknown } from "./unknown.js";
import { Writer } from "./write.js";

const FILTERS = /** @type {const} */ (["top_k", "top_p", "min_p", "stop", "regex"]);

/**
 * What a back end adds to the page.
 * @typedef {object} Hooks
 * @property {() => void} [changed] a setting is another one.
 * @property {() => void} [addressed] another address was entered, and its settings are in the form.
 * @property {() => void} [ended] a text has ended.
 * @property {(id: string) => void} [opened] the panel with this id was opened.
 * @property {(unit: number, layer: number) => void} [looked] a unit was chosen.
 * @property {(error: unknown) => void} [failed]
 */

export class Page {
  /** @param {import("./backend.js").Backend} backend @param {Hooks} [hooks] */
  constructor(backend, hooks = {}) {
    this.backend = backend;
    this.hooks = hooks;
    /** @type {import("./backend.js").About | null} */
    this.about = null; // of the model
    /** @type {Unknown | null} */
    this.unknown = null;
    this.form = byId("settings");
    this.announcer = new Announcer(byId("live"));
    this.writer = new Writer(this);
    this.explanation = new Explanation(this);
    this.neurons = new Neurons(this, backend, (unit, layer) => hooks.looked?.(unit, layer));
    this.openTab = connectTabs(byId("views"), (id) => {
      byId("surprise").hidden = id === "neurons-view"; // which has colours of its own
      byId("help").hidden = id === "compare-view";
      this.explanation.show(id === "write-view");
      if (id === "neurons-view") this.neurons.opened();
      hooks.opened?.(id);
    });
    connectScoring(this);
    connectComparing(this);
    connectActions(this);
    for (const legend of ["surprise-legend", "values-legend"]) connectLegend(byId(legend), (message) => this.announcer.say(message));
    this.#connectForm();
    toForm(this.form, fromHash(location.hash, backend.usual));
    byId("sheet").open = !onPhone();
    this.#showSettings();
  }

  /** The settings in the form. */
  get settings() {
    return fromForm(this.form, this.backend.usual);
  }

  /** Whether the model writes short items, one a line. */
  get items() {
    return this.about?.corpus.items === true;
  }

  /**
   * A model is known: the form takes its own settings, except those that somebody has set.
   * @param {import("./backend.js").About} about
   * @param {import("./settings.js").Settings} before what was usual until now.
   */
  use(about, before) {
    const { usual } = this.backend;
    const given = this.about ? rebased(this.settings, before, usual) : fromHash(location.hash, usual);
    if (!this.about && byId("prompt").value) given.prompt = byId("prompt").value;
    this.about = about;
    this.unknown = new Unknown(about);
    toForm(this.form, given);
    byId("intro").textContent = about.intro;
    byId("facts").replaceChildren(mainFacts(about.shape, about.corpus, about.losses));
    showCurve(about.curve);
    byId("items-field").hidden = !this.items;
    byId("temperatures").value = [...new Set([0.3, usual.temperature, 1.2])].sort().join(", ");
    byId("filters").open ||= this.#filtered().length > 0;
    this.settingsChanged();
  }

  /** A text with the characters that the model does not know hatched. @param {string} text @returns {(Node | string)[]} */
  marked(text) {
    return this.unknown?.marked(text) ?? [text];
  }

  /** Put a prompt into the form. @param {string} prompt */
  usePrompt(prompt) {
    byId("prompt").value = prompt;
    this.settingsChanged();
  }

  /** Put a link into the address bar. @param {string} link */
  useLink(link) {
    history.replaceState(null, "", link);
  }

  /** Show the settings wherever else they are shown: slider, seed, address. */
  settingsChanged() {
    this.#showSettings();
    if (!this.about) return; // it is not known yet what is usual
    this.unknown?.showIn(byId("prompt").value);
    const hash = toHash(this.settings, this.backend.usual);
    const [here] = location.href.split("#"); // also where another document's address is the base
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", `${here}#${hash}`);
    this.hooks.changed?.();
  }

  /** Something was asked of the back end. */
  began() {
    clearProblems();
  }

  /** A text has ended. */
  ended() {
    this.#showSettings();
    this.explanation.look();
    this.hooks.ended?.();
  }

  /** Say what was wrong. @param {unknown} error @param {import("./problems.js").Broken | null} [broken] */
  failed(error, broken = null) {
    showProblem(error, broken);
    this.hooks.failed?.(error);
  }

  /** What is set of the settings that are not always in sight. @returns {string[]} */
  #filtered() {
    const { settings } = this;
    return FILTERS.filter((name) => settings[name] !== this.backend.usual[name]);
  }

  #showSettings() {
    const { seed, temperature } = this.settings;
    byId("temperature-slider").value = temperature;
    byId("new-seed").textContent = seed === null ? "Keep this seed" : "New seed";
    byId("new-seed").disabled = seed === null && this.writer.seed === null;
    const count = this.#filtered().length;
    byId("filters-set").textContent = count ? ` (${count} set)` : "";
  }

  #connectForm() {
    const { form } = this;
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.writer.generate();
      if (onPhone()) byId("figures").scrollIntoView({ block: "start" });
    });
    form.addEventListener("input", () => this.settingsChanged());
    form.addEventListener("invalid", (/** @type {Event} */ event) => openAround(/** @type {Element} */ (event.target)), true);
    byId("plain").addEventListener("click", () => {
      const plain = document.body.classList.toggle("plain");
      byId("plain").setAttribute("aria-pressed", String(plain));
    });
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
    window.addEventListener("hashchange", () => this.#addressed());
  }

  /** Another address was entered: its settings count, and a seed in it asks for its text. */
  #addressed() {
    const { usual } = this.backend;
    const given = fromHash(location.hash, usual);
    if (toHash(given, usual) === toHash(this.settings, usual)) return;
    toForm(this.form, given);
    this.settingsChanged();
    this.hooks.addressed?.();
    if (given.seed !== null && this.about) this.writer.generate();
  }

  /** Begin with a text, unless there is one. */
  open() {
    if (!this.writer.versions.current && !this.writer.running) openingText(this);
  }
}

/** Whether the screen is so narrow that text and settings are one below the other. */
function onPhone() {
  return matchMedia("(max-width: 52rem)").matches;
}

/**
 * What a person would ask first of a model.
 * @param {any} model its shape. @param {any} corpus @param {Record<string, any>} losses by protocol.
 * @returns {HTMLElement}
 */
function mainFacts(model, corpus, losses) {
  const average = (losses.stateful ?? Object.values(losses)[0])?.bits_per_char;
  /** @type {[string, string][]} */
  const found = [
    ["Network", `${model.cell.toUpperCase()}, ${model.num_layers} × ${model.hidden_size}`],
    ["Knows", `${model.vocab_size.toLocaleString("en")} ${corpus.vocabulary}`],
    ["Read", `${corpus.characters.toLocaleString("en")} characters`],
  ];
  if (Number.isFinite(average)) found.push(["Needs", `${average.toFixed(2)} bits per character on unseen text`]);
  return factList(found, "facts");
}
