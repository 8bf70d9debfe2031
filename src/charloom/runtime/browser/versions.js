/** The texts of a visit as a tree: each prompt begins one, each character that a person chose is a branch. */

import { shownAlone, spokenName } from "./characters.js";
import { element } from "./dom.js";

/** @typedef {import("./characters.js").Character} Character */

/**
 * @typedef {object} Version
 * @property {Version | null} parent that it branches from; null for the text of a prompt.
 * @property {string} before the prompt, shown plain.
 * @property {Character[]} characters that were written.
 * @property {number} kept how many of them its parent has, too: the branch is at this place.
 * @property {import("./settings.js").Settings} settings
 * @property {number} seed
 * @property {string} figures said of it.
 */

const EXCERPT = 26; // characters of a text by which it is recognized

export class Versions {
  /**
   * @param {HTMLElement} place for the tree.
   * @param {(version: Version) => void} chose one was chosen in the tree.
   */
  constructor(place, chose) {
    this.place = place;
    this.chose = chose;
    /** @type {Version[]} */
    this.all = [];
    /** @type {Version[]} */
    this.shown = []; // in the order in which they were looked at
    /** @type {Version | null} */
    this.current = null;
  }

  /** Make a version the current one; a new one is added to the tree. @param {Version} version */
  go(version) {
    if (!this.all.includes(version)) this.all.push(version);
    if (this.current && this.current !== version) this.shown.push(this.current);
    this.current = version;
    this.show();
  }

  /** Whether there is one to go back to. */
  get canUndo() {
    return this.shown.length > 0;
  }

  /** Go back to the version that was looked at before; null where there is none. @returns {Version | null} */
  undo() {
    const before = this.shown.pop() ?? null;
    if (before) this.current = before;
    this.show();
    return before;
  }

  /** Draw the tree; one version alone needs none. */
  show() {
    this.place.hidden = this.all.length < 2;
    const list = this.#listOf(null);
    this.place.querySelector("ul")?.remove();
    if (!this.place.hidden && list) this.place.append(list);
  }

  /** @param {Version | null} parent @returns {HTMLElement | null} */
  #listOf(parent) {
    const children = this.all.filter((version) => version.parent === parent);
    if (!children.length) return null;
    return element("ul", {}, ...children.map((version) => this.#entry(version)));
  }

  /** @param {Version} version */
  #entry(version) {
    const { characters, kept, parent, before } = version;
    const chosen = parent ? characters[kept].text : "";
    const next = characters.slice(parent ? kept + 1 : 0).map((one) => one.text).join("");
    const current = version === this.current;
    const button = element(
      "button",
      { type: "button", "aria-current": current ? "true" : null, on: { click: () => this.chose(version) } },
      element("span", { class: "choice", "aria-hidden": "true", text: parent ? shownAlone(chosen) : excerpt(before) || "(no prompt)" }),
      element("span", { class: "unseen", text: parent ? `Branch with ${spokenName(chosen)}: ` : "" }),
      element("span", { class: "excerpt", text: excerpt(next) }),
    );
    return element("li", {}, button, ...[this.#listOf(version)].filter((list) => list !== null));
  }
}

/** The beginning of a text on one line. @param {string} text */
function excerpt(text) {
  const line = text.slice(0, EXCERPT * 2).replace(/\s+/g, " ").trim();
  return line.length > EXCERPT ? `${line.slice(0, EXCERPT)}…` : line;
}
