/** Scoring a text of the person's own: how surprising the model finds every character of it. */

import { Panel, alternativesOf, spokenSurprise } from "./alternatives.js";
import { score } from "./api.js";
import { byId } from "./dom.js";
import { surpriseStep } from "./surprise.js";
import { TextView } from "./text.js";

/**
 * @param {object} page
 * @param {() => string} page.model the one that is chosen.
 * @param {(error: unknown) => void} page.failed
 * @param {() => void} page.began
 * @param {(message: string) => void} page.say
 * @param {(before: import("./surprise.js").Character[], character: string, top: [string, number][]) => void} page.branch
 */
export function connectScoring(page) {
  const view = new TextView(byId("scored"), "Your text, character by character", {
    look: (one) => `surprise-${surpriseStep(one.bits)}`,
    name: spokenSurprise,
    chosen: () => panel.enter(),
    key: (index, key) => {
      const alternative = view.characters[index].top[Number(key) - 1];
      if (alternative) branch(index, alternative[0]);
    },
  });
  const panel = new Panel(view, "What the model expected here", (one, index) =>
    alternativesOf(one, (character) => branch(index, character)),
  );

  /** @param {number} index @param {string} character */
  function branch(index, character) {
    const { top } = view.characters[index];
    panel.hide();
    page.branch(view.characters.slice(0, index), character, top);
  }

  async function measure() {
    const text = byId("own-text").value;
    if (!text) return byId("own-text").focus();
    page.began();
    try {
      const found = await score(page.model(), text);
      panel.hide();
      view.clear();
      view.append(found.characters);
      const unknown = found.unknown ? ` · ${found.unknown} the model does not know` : "";
      const bits = found.bitsPerChar === null ? "–" : found.bitsPerChar.toFixed(2);
      const message = `${bits} bits a character · ${found.characters.length} characters${unknown}`;
      byId("score-figures").textContent = message;
      page.say(message);
    } catch (error) {
      page.failed(error);
    }
  }

  byId("score-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    measure();
  });
}
