/** What a screen reader says while text comes: whole sentences, never single characters. */

const ENOUGH = 240; // characters without an end in sight
const PAUSE = 1500; // milliseconds between two announcements, at least: listening takes as long

/**
 * Cut the sentences off the beginning of a text.
 * @param {string} text
 * @returns {[string[], string]} the sentences that have ended, and the rest.
 */
export function sentences(text) {
  const found = [];
  let rest = text;
  for (;;) {
    const end = rest.match(/[.!?]["')\]]*\s+|\n{2,}/);
    let length = end ? (end.index ?? 0) + end[0].length : 0;
    if ((!length || length > ENOUGH) && rest.length > ENOUGH) {
      const space = rest.lastIndexOf(" ", ENOUGH);
      length = space > 0 ? space + 1 : ENOUGH;
    }
    if (!length) return [found, rest];
    const sentence = rest.slice(0, length).trim();
    if (sentence) found.push(sentence);
    rest = rest.slice(length);
  }
}

/** Speaks through a polite live region. */
export class Announcer {
  /** @param {HTMLElement} region with aria-live="polite". */
  constructor(region) {
    this.region = region;
    this.held = "";
    this.last = -Infinity;
  }

  /** Another text begins: what was left of the one before is not said. */
  begin() {
    this.held = "";
    this.say("");
  }

  /** Text that was written; it waits for its sentence to end. @param {string} text */
  add(text) {
    this.held += text;
    const now = performance.now();
    if (now - this.last < PAUSE) return;
    const [found, rest] = sentences(this.held);
    if (!found.length) return;
    this.held = rest;
    this.last = now;
    this.say(found.join(" "));
  }

  /** The text has ended: say the last of it, and a message. @param {string} message */
  end(message) {
    const rest = this.held.slice(-ENOUGH).trim();
    this.held = "";
    this.say(rest ? `${rest} — ${message}` : message);
  }

  /** @param {string} message */
  say(message) {
    this.region.textContent = message;
  }
}
