/** What else could be in a place: a small panel at the character that is hovered over or focused. */

import { percent, shownAlone, spokenName, spokenSurprise, surpriseStep } from "./characters.js";
import { element } from "./dom.js";
import { TextView } from "./text.js";

/** @typedef {import("./characters.js").Character} Character */

const GRACE = 220; // milliseconds in which the pointer may travel from the character to the panel

/** A panel that is shown at a character, stays while it is used, and goes with Escape. */
export class Panel {
  /**
   * @param {TextView} view
   * @param {string} label
   * @param {(one: Character, index: number) => Node[]} content
   */
  constructor(view, label, content) {
    this.view = view;
    this.content = content;
    this.index = -1;
    this.timer = 0;
    this.onShow = () => {};
    this.place = element("div", { class: "panel", role: "group", "aria-label": label });
    this.place.hidden = true;
    view.place.after(this.place);
    /** @type {{x: number, y: number} | null} */
    this.pointer = null; // where it is
    /** @type {{x: number, y: number} | null} */
    this.resting = null; // where it was when the text under it changed
    view.onShow = (index, at, event) => {
      if (event && this.resting && event.x === this.resting.x && event.y === this.resting.y) return;
      if (event) this.resting = null;
      this.show(index, at);
    };
    for (const moved of /** @type {const} */ (["pointermove", "pointerdown"])) {
      document.addEventListener(moved, ({ x, y }) => (this.pointer = { x, y }));
    }
    view.onLeave = () => this.#leaveSoon();
    view.place.addEventListener("scroll", () => this.#follow());
    this.place.addEventListener("pointerenter", () => clearTimeout(this.timer));
    this.place.addEventListener("pointerleave", () => this.#leaveSoon());
    this.place.addEventListener("focusin", () => clearTimeout(this.timer));
    this.place.addEventListener("focusout", () => this.#leaveSoon());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.place.hidden) this.#escape();
    });
  }

  /** @param {number} index @param {HTMLElement} at */
  show(index, at) {
    clearTimeout(this.timer);
    if (index === this.index && !this.place.hidden) return;
    this.#unmark();
    this.index = index;
    at.classList.add("looked-at");
    this.place.replaceChildren(...this.content(this.view.characters[index], index));
    this.place.hidden = false;
    this.#put(at);
    this.onShow();
  }

  /** The text under the pointer changes: show nothing of it until the pointer moves. */
  rest() {
    this.resting = this.pointer;
  }

  hide() {
    clearTimeout(this.timer);
    this.#unmark();
    this.place.hidden = true;
    this.index = -1;
  }

  /** Go into the panel, by keyboard. */
  enter() {
    /** @type {HTMLElement | null} */ (this.place.querySelector("button"))?.focus();
  }

  /** The text moved under the panel: go along, or away with a character that is out of sight. */
  #follow() {
    const at = this.index < 0 ? null : this.view.at(this.index);
    if (!at) return;
    const [rect, frame] = [at.getClientRects()[0], this.view.place.getBoundingClientRect()];
    if (rect.bottom < frame.top || rect.top > frame.bottom) this.hide();
    else this.#put(at);
  }

  #unmark() {
    if (this.index >= 0) this.view.at(this.index)?.classList.remove("looked-at");
  }

  #escape() {
    const index = this.index;
    const inside = this.place.contains(document.activeElement);
    if (inside) this.view.focus(index);
    this.hide();
  }

  #leaveSoon() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      if (this.place.contains(document.activeElement)) return;
      const focused = this.view.list.contains(document.activeElement);
      if (this.resting) this.hide();
      else if (focused && this.index !== this.view.current) this.show(this.view.current, this.view.at(this.view.current));
      else if (!focused) this.hide();
    }, GRACE);
  }

  /** Below the character, or above it where there is no room; never over the sides. @param {HTMLElement} at */
  #put(at) {
    const around = /** @type {HTMLElement} */ (this.place.offsetParent ?? this.place.parentElement);
    const frame = around.getBoundingClientRect();
    const rect = at.getClientRects()[0];
    const { width, height } = this.place.getBoundingClientRect();
    const left = Math.max(0, Math.min(rect.left - frame.left - 12, frame.width - width));
    const below = rect.bottom + 8 + height <= window.innerHeight || rect.top - height - 8 < 0;
    const top = below ? rect.bottom + 6 : rect.top - height - 6;
    this.place.style.left = `${left}px`;
    this.place.style.top = `${top - frame.top}px`;
  }
}

/**
 * @typedef {object} SurpriseManner
 * @property {string} label of the text, for screen readers.
 * @property {string} title of the panel, for screen readers.
 * @property {(index: number, character: string) => void} branch another character was chosen for a place.
 * @property {(index: number) => boolean} [kept] whether a character was there before the branch.
 * @property {(text: string) => (Node | string)[]} [given] how plain text is shown.
 */

/**
 * A text coloured by surprise, with a panel of what else could be in each place.
 * @param {HTMLElement} place
 * @param {SurpriseManner} manner
 * @returns {Panel} its `view` is the text.
 */
export function surpriseView(place, { label, title, branch, kept = () => false, given }) {
  const view = new TextView(place, label, {
    look: (one, index) => `surprise-${surpriseStep(one.bits)}${one.branched ? " branched" : ""}${kept(index) ? " kept" : ""}`,
    name: spokenSurprise,
    given,
    chosen: () => panel.enter(),
    digit: (index, digit) => {
      const alternative = view.characters[index].top[digit - 1];
      if (alternative) branch(index, alternative[0]);
    },
  });
  const panel = new Panel(view, title, (one, index) => alternativesOf(one, (character) => branch(index, character)));
  return panel;
}

/**
 * The likeliest characters of a place, each a button that branches from there.
 * @param {Character} one
 * @param {(character: string) => void} branch
 * @returns {Node[]}
 */
function alternativesOf(one, branch) {
  const what = element("p", { class: "what" }, ...glyph(one.text), ` ${surpriseOf(one)}`);
  if (!one.top.length) return [what];
  const list = element("ol", { on: { keydown: /** @type {EventListener} */ (/** @type {unknown} */ (walk)) } });
  for (const [character, share] of one.top) {
    const chosen = character === one.text;
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${Math.max(2, share * 100)}%`;
    const button = element(
      "button",
      { type: "button", class: chosen ? "chosen" : null, on: { click: () => branch(character) } },
      bar,
      ...glyph(character),
      element("span", { class: "share", text: percent(share) }),
      element("span", { class: "tick", "aria-hidden": "true", text: chosen ? "✓" : "" }),
      element("span", { class: "unseen", text: `${chosen ? ", it is here" : ""}: continue from here` }),
    );
    list.append(element("li", {}, button));
  }
  return [what, list];
}

/** @param {Character} one */
function surpriseOf(one) {
  if (one.unknown) return "is not in this model’s vocabulary: it reads an unknown character";
  if (one.bits === null) return one.branched ? "chosen by you" : "not measured";
  const note = one.branched ? ", chosen by you" : "";
  return `${one.bits.toFixed(2)} bits (${percent(2 ** -one.bits)})${note}`;
}

/** A character as it is seen, and where that says nothing to the ear, as it is heard. @param {string} character */
export function glyph(character) {
  const [seen, heard] = [shownAlone(character), spokenName(character)];
  if (seen === heard) return [element("span", { class: "glyph", text: seen })];
  return [element("span", { class: "glyph", "aria-hidden": "true", text: seen }), element("span", { class: "unseen", text: heard })];
}

/** Up and down between the buttons. @param {KeyboardEvent} event */
function walk(event) {
  const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!way) return;
  const buttons = [.../** @type {Element} */ (event.currentTarget).querySelectorAll("button")];
  const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
  buttons[(at + way + buttons.length) % buttons.length].focus();
  event.preventDefault();
}
