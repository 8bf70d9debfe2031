/** Scoring a text of the person's own: how surprising the model finds every character of it. */

import { byId } from "./dom.js";
import { surpriseView } from "./panel.js";

/** @param {import("./page.js").Page} page */
export function connectScoring(page) {
  const panel = surpriseView(byId("scored"), "Your text, character by character", "What the model expected here", (index, character) => {
    panel.hide();
    page.openTab("write-view");
    page.writer.branch("", view.characters.slice(0, index), character, view.characters[index].top);
  });
  const { view } = panel;

  async function measure() {
    const text = byId("own-text").value;
    if (!text) return byId("own-text").focus();
    page.began();
    try {
      const { characters, bitsPerChar, unknown } = await page.backend.score(text, page.settings);
      panel.hide();
      view.clear();
      view.append(characters);
      const bits = bitsPerChar === null ? "–" : bitsPerChar.toFixed(2);
      const rest = unknown ? ` · ${unknown} the model does not know` : "";
      const message = `${bits} bits a character · ${characters.length} characters${rest}`;
      byId("score-figures").textContent = message;
      page.announcer.say(message);
    } catch (error) {
      page.failed(error);
    }
  }

  byId("score-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    measure();
  });
}
