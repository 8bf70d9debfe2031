/** Characters that a model does not know: hatched where they are shown, and named. */

import { byId, element } from "./dom.js";
import { Vocabulary, cleanedPrompt } from "./vocabulary.js";

const MOST_NAMED = 20; // characters at most

export class Unknown {
  /** @param {import("./backend.js").About} about */
  constructor({ vocabulary, cleaning }) {
    this.vocabulary = new Vocabulary(vocabulary);
    this.cleaning = cleaning;
  }

  /** Whether the model reads this character as unknown. @param {string} character */
  has(character) {
    return this.in(character).length > 0;
  }

  /** The distinct unknown characters of a text. @param {string} text @returns {string[]} */
  in(text) {
    return this.vocabulary.unknownCharacters(cleanedPrompt(text, this.cleaning));
  }

  /** A text with its unknown characters hatched. @param {string} text @returns {(Node | string)[]} */
  marked(text) {
    if (!this.in(text).length) return [text];
    return Array.from(text, (character) => (this.has(character) ? element("span", { class: "unknown", text: character }) : character));
  }

  /** Name those of a prompt under it. @param {string} prompt */
  showIn(prompt) {
    const found = this.in(prompt);
    byId("unknown").hidden = !found.length;
    byId("unknown").textContent = `Not in this model’s vocabulary, read as unknown: ${found.slice(0, MOST_NAMED).map(named).join(" ")}`;
  }
}

/** A character by itself; where nothing would be seen of it, its number. @param {string} character */
export function named(character) {
  if (/[\p{L}\p{N}\p{P}\p{S}]/u.test(character)) return character;
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}
