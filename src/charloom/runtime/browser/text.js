/** A text shown character by character: coloured, and walked through with the arrow keys by one tab stop. */

import { element } from "./dom.js";

/** @typedef {import("./characters.js").Character} Character */

/**
 * @typedef {object} Manner
 * @property {(one: Character, index: number) => string} look classes of a character.
 * @property {(one: Character, index: number) => string} name what a screen reader says for it.
 * @property {(index: number) => void} [chosen] Enter or a space was pressed on it.
 * @property {(before: string) => (Node | string)[]} [given] how plain text before the characters is shown.
 * @property {(index: number, digit: number) => void} [digit] 1 to 9 was pressed on it.
 */

/** The view. `onShow(index, element)` and `onLeave()` are called for hover and focus. */
export class TextView {
  /**
   * @param {HTMLElement} place gets the class `text`; emptied.
   * @param {string} label of the text, for screen readers.
   * @param {Manner} manner
   */
  constructor(place, label, manner) {
    this.place = place;
    this.manner = manner;
    /** @type {Character[]} */
    this.characters = [];
    this.current = -1;
    this.follows = false; // whether the end stays in sight while text comes
    /** @type {(index: number, at: HTMLElement, event?: PointerEvent) => void} */
    this.onShow = () => {};
    this.onLeave = () => {};
    this.before = element("span", { class: "given" });
    this.list = element("span", { role: "listbox", "aria-label": label, "aria-orientation": "horizontal", class: "characters" });
    this.option = element("span", { role: "option", tabindex: "-1", "aria-selected": "false" }); // copying is fast
    this.list.hidden = true;
    place.classList.add("text");
    place.replaceChildren(this.before, this.list);
    this.#listen();
  }

  /** Begin anew. @param {string} [before] plain text before the characters. */
  clear(before = "") {
    this.before.replaceChildren(...(this.manner.given?.(before) ?? [before]));
    this.place.scrollTop = 0;
    this.follows = false;
    this.characters = [];
    this.current = -1;
    this.list.replaceChildren();
    this.list.hidden = true;
  }

  /** The text of the characters. */
  get text() {
    return this.characters.map((one) => one.text).join("");
  }

  /** @param {Character[]} characters to add at the end. */
  append(characters) {
    if (!characters.length) return;
    const made = document.createDocumentFragment();
    for (const one of characters) {
      made.append(this.#span(one, this.characters.length));
      this.characters.push(one);
    }
    this.list.append(made);
    this.list.hidden = false;
    if (this.current < 0) this.#moveTabStop(0);
    requestAnimationFrame(() => {
      if (this.follows) this.place.scrollTop = this.place.scrollHeight;
    });
  }

  /** @param {number} index @returns {HTMLElement} */
  at(index) {
    return /** @type {HTMLElement} */ (this.list.children[index]);
  }

  /** Bring a character into sight, with what is around it. @param {number} index */
  reveal(index) {
    const at = this.at(index);
    if (!at) return;
    const [rect, frame] = [at.getClientRects()[0], this.place.getBoundingClientRect()];
    this.place.scrollTop += rect.top - frame.top - frame.height / 3;
  }

  /** Put the focus on a character. @param {number} index */
  focus(index) {
    const last = this.characters.length - 1;
    if (last < 0) return;
    this.#moveTabStop(Math.max(0, Math.min(last, index)));
    this.at(this.current).focus();
  }

  /** @param {Character} one @param {number} index */
  #span(one, index) {
    const made = /** @type {HTMLElement} */ (this.option.cloneNode());
    made.textContent = one.text;
    made.className = `${this.manner.look(one, index)}${one.unknown ? " unknown" : ""}${one.text === "\n" ? " line-end" : ""}`;
    made.setAttribute("aria-label", this.manner.name(one, index));
    return made;
  }

  /** @param {number} index */
  #moveTabStop(index) {
    this.at(this.current)?.setAttribute("tabindex", "-1");
    this.current = index;
    this.at(index).setAttribute("tabindex", "0");
  }

  #listen() {
    const decide = () => {
      const below = this.place.scrollHeight - this.place.scrollTop - this.place.clientHeight;
      this.follows = below < 40 && this.place.scrollTop > 0;
    };
    for (const moved of ["wheel", "touchmove"]) {
      this.place.addEventListener(moved, () => requestAnimationFrame(decide), { passive: true });
    }
    /** @param {Event} event */
    const indexOf = (event) => {
      const option = /** @type {Element} */ (event.target).closest('[role="option"]');
      return option ? Array.prototype.indexOf.call(this.list.children, option) : -1;
    };
    this.list.addEventListener("pointerover", (event) => {
      const index = indexOf(event);
      if (index >= 0) this.onShow(index, this.at(index), /** @type {PointerEvent} */ (event));
    });
    this.list.addEventListener("pointerleave", () => this.onLeave());
    this.list.addEventListener("focusin", (event) => {
      const index = indexOf(event);
      if (index < 0) return;
      this.#moveTabStop(index);
      this.onShow(index, this.at(index));
    });
    this.list.addEventListener("focusout", () => this.onLeave());
    this.list.addEventListener("keydown", (event) => this.#pressed(/** @type {KeyboardEvent} */ (event), indexOf(event)));
  }

  /** @param {KeyboardEvent} event @param {number} index */
  #pressed(event, index) {
    if (index < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const goal = {
      ArrowLeft: index - 1,
      ArrowRight: index + 1,
      Home: 0,
      End: this.characters.length - 1,
      ArrowUp: this.#lineAway(index, -1),
      ArrowDown: this.#lineAway(index, 1),
    }[event.key];
    if (goal !== undefined) this.focus(goal);
    else if (event.key === "Enter" || event.key === " ") this.manner.chosen?.(index);
    else if (/^[1-9]$/.test(event.key)) this.manner.digit?.(index, Number(event.key));
    else return;
    event.preventDefault();
  }

  /**
   * The character nearest to one, on the line above or below it on the screen.
   * @param {number} index @param {1 | -1} way
   */
  #lineAway(index, way) {
    const from = this.at(index).getClientRects()[0];
    let line = null;
    let best = index;
    let distance = Infinity;
    for (let other = index + way; this.at(other); other += way) {
      const rect = this.at(other).getClientRects()[0];
      if (!rect || Math.abs(rect.top - from.top) < from.height / 2) continue;
      line ??= rect.top;
      if (Math.abs(rect.top - line) >= from.height / 2) break;
      const away = Math.abs(rect.left - from.left);
      if (away < distance) [best, distance] = [other, away];
    }
    return best;
  }
}
