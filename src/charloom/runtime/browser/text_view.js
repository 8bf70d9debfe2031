// The text, character by character: coloured by surprise, one tab stop for all of it, and the five likeliest
// alternatives of the character that is pointed at or focused. Its classes are in colours.css and style.css.

import { bitsInWords, characterInWords, shareInWords, surpriseClass } from "./surprise.js";

const HOVER_GRACE = 250; // milliseconds that the guesses stay when the pointer leaves

/** Shows tokens in `text` (role listbox) and guesses in `guesses`, which lie in one positioned `frame`. */
export class TextView {
  /** `vocabulary` decodes; `branch(index, id)` is called when an alternative is chosen. */
  constructor({ frame, text, guesses, vocabulary, branch }) {
    Object.assign(this, { frame, text, guesses, vocabulary, branch });
    this.cells = []; // {element, start, text, bits, likeliest, written}: one or, of bytes, several ids each
    this.partial = null; // a cell whose bytes are no whole character yet
    this.current = null; // the cell that is the tab stop
    this.shown = null; // the cell whose guesses are shown
    this.byElement = new WeakMap();
    this.listen();
    this.clear();
  }

  /** Show nothing. */
  clear() {
    this.text.replaceChildren();
    this.cells = [];
    this.decode = this.vocabulary.decoder();
    this.partial = null;
    this.current = null;
    this.hideGuesses();
  }

  /** Keep the ids before `index` alone. */
  truncate(index) {
    const kept = this.cells.filter((cell) => cell.start < index);
    for (const cell of this.cells.slice(kept.length)) cell.element.remove();
    this.cells = kept;
    this.decode = this.vocabulary.decoder();
    this.partial = null;
    if (!kept.includes(this.current)) this.setCurrent(kept.at(-1) ?? null);
    this.hideGuesses();
  }

  /** Add tokens {index, id, bits, likeliest}; those from `promptLength` on were written, not given.
   *  Returns the cells that were added. */
  append(tokens, promptLength) {
    const added = document.createDocumentFragment();
    const before = this.cells.length;
    for (const { index, id, bits, likeliest } of tokens) {
      const cell = this.partial ?? { start: index, text: "", bits: null, likeliest, written: index >= promptLength };
      if (bits !== null) cell.bits = (cell.bits ?? 0) + bits;
      cell.id ??= id;
      cell.text = this.decode(id);
      this.partial = cell.text ? null : cell;
      if (this.partial) continue;
      added.append(this.element(cell));
      this.cells.push(cell);
    }
    this.text.append(added);
    if (!this.current && this.cells.length) this.setCurrent(this.cells[0]);
    return this.cells.slice(before);
  }

  /** Move the focus to the character that id number `index` belongs to. */
  focus(index) {
    const cell = this.cells.findLast(({ start }) => start <= index);
    if (cell) this.setCurrent(cell, true);
  }

  element(cell) {
    const element = document.createElement("span");
    element.setAttribute("role", "option");
    element.tabIndex = -1;
    element.textContent = cell.text;
    element.className = cell.bits === null ? "character" : `character ${surpriseClass(cell.bits)}`;
    if (!cell.written) element.classList.add("given");
    if (cell.text === "\n") element.classList.add("line-end");
    if (cell.text.trim() === "") element.ariaLabel = characterInWords(cell.text);
    cell.element = element;
    this.byElement.set(element, cell);
    return element;
  }

  setCurrent(cell, focused = false) {
    if (this.current) {
      this.current.element.tabIndex = -1;
      this.current.element.ariaSelected = "false";
    }
    this.current = cell;
    if (!cell) return;
    cell.element.tabIndex = 0;
    cell.element.ariaSelected = "true";
    cell.element.ariaLabel = this.inWords(cell);
    if (focused) cell.element.focus();
  }

  inWords(cell) {
    const name = characterInWords(cell.text);
    if (cell.bits === null) return `${name}, nothing before it`;
    const best = cell.likeliest.slice(0, 2).map(([id, share]) => `${this.name(id)} ${shareInWords(share)}`);
    return `${name}, ${bitsInWords(cell.bits)}, likeliest ${best.join(", ")}`;
  }

  name(id) {
    return characterInWords(this.vocabulary.label(id));
  }

  listen() {
    const cellOf = (event) => this.byElement.get(event.target);
    this.text.addEventListener("pointerover", (event) => {
      clearTimeout(this.leaving);
      if (cellOf(event) && event.pointerType === "mouse") this.showGuesses(cellOf(event));
    });
    this.guesses.addEventListener("pointerenter", () => clearTimeout(this.leaving));
    this.frame.addEventListener("pointerleave", () => {
      this.leaving = setTimeout(() => this.showFocused(), HOVER_GRACE);
    });
    this.text.addEventListener("click", (event) => cellOf(event) && this.setCurrent(cellOf(event), true));
    this.text.addEventListener("focusin", (event) => {
      if (!cellOf(event)) return;
      if (cellOf(event) !== this.current) this.setCurrent(cellOf(event));
      this.showGuesses(cellOf(event));
    });
    this.frame.addEventListener("focusout", (event) => {
      if (!this.frame.contains(event.relatedTarget)) this.hideGuesses();
    });
    this.text.addEventListener("keydown", (event) => this.onTextKey(event));
    this.guesses.addEventListener("keydown", (event) => this.onGuessKey(event));
  }

  showFocused() {
    const focused = this.byElement.get(document.activeElement);
    if (focused) this.showGuesses(focused);
    else if (!this.guesses.contains(document.activeElement)) this.hideGuesses();
  }

  onTextKey(event) {
    if (!this.current || event.ctrlKey || event.altKey || event.metaKey) return;
    const place = this.cells.indexOf(this.current);
    const next = {
      ArrowRight: () => this.cells[place + 1],
      ArrowLeft: () => this.cells[place - 1],
      ArrowDown: () => this.acrossLines(place, 1),
      ArrowUp: () => this.acrossLines(place, -1),
      Home: () => this.cells[0],
      End: () => this.cells.at(-1),
    }[event.key];
    if (next) {
      event.preventDefault();
      const cell = next();
      if (cell) this.setCurrent(cell, true);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.guesses.querySelector("button")?.focus();
    } else if (event.key === "Escape") this.hideGuesses();
  }

  /** The character nearest above or below, by where they stand. */
  acrossLines(place, direction) {
    const middle = (rectangle) => (rectangle.left + rectangle.right) / 2;
    const here = this.cells[place].element.getBoundingClientRect();
    let best = null, line = null, distance = Infinity;
    for (let index = place + direction; this.cells[index]; index += direction) {
      const there = this.cells[index].element.getBoundingClientRect();
      const beyond = direction * (there.top - here.top) > here.height / 2;
      if (!beyond) continue;
      line ??= there.top;
      if (Math.abs(there.top - line) > here.height / 2) break;
      if (Math.abs(middle(there) - middle(here)) < distance) {
        best = this.cells[index];
        distance = Math.abs(middle(there) - middle(here));
      }
    }
    return best;
  }

  onGuessKey(event) {
    const buttons = [...this.guesses.querySelectorAll("button")];
    const place = buttons.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step && place >= 0) {
      event.preventDefault();
      const next = buttons[(place + step + buttons.length) % buttons.length];
      for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
      next.focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.shown?.element.focus();
    }
  }

  showGuesses(cell) {
    if (this.shown === cell && !this.guesses.hidden) return;
    this.shown?.element.classList.remove("shown");
    this.shown = cell;
    cell.element.classList.add("shown");
    const title = document.createElement("p");
    const name = characterInWords(cell.text);
    title.textContent = cell.bits === null ? `“${name}”: nothing is before it` : `“${name}” ${bitsInWords(cell.bits)}`;
    const list = document.createElement("ul");
    for (const [rank, [id, share]] of (cell.likeliest ?? []).entries()) list.append(this.guess(cell, id, share, rank));
    this.guesses.replaceChildren(title, list);
    this.guesses.hidden = false;
    this.place(cell);
  }

  guess(cell, id, share, rank) {
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = rank ? -1 : 0;
    button.className = id === cell.id ? "guess chosen" : "guess";
    const [mark, bar, number] = ["mark", "bar", "share"].map((name) => {
      const part = document.createElement("span");
      part.className = name;
      button.append(part, " ");
      return part;
    });
    mark.textContent = this.name(id);
    bar.style.setProperty("--share", share.toFixed(4));
    number.textContent = shareInWords(share);
    button.addEventListener("click", () => this.branch(cell.start, id));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  /** Right under the character, so that the pointer gets there without crossing another one. */
  place(cell) {
    const [first] = cell.element.getClientRects();
    if (!first) return;
    const frame = this.frame.getBoundingClientRect();
    const left = Math.min(first.left - frame.left, frame.width - this.guesses.offsetWidth);
    this.guesses.style.left = `${Math.max(0, left)}px`;
    this.guesses.style.top = `${first.bottom - frame.top}px`;
  }

  hideGuesses() {
    this.shown?.element.classList.remove("shown");
    this.shown = null;
    this.guesses.hidden = true;
  }
}
