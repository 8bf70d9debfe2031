/** Scoring a text of the person's own: how surprising the model finds every character of it. */

import { byId } from "./dom.js";
import { surpriseView } from "./panel.js";
import { named } from "./unknown.js";

const NEAR = 0.1; // bits per character that make no difference

/** @param {import("./page.js").Page} page */
export function connectScoring(page) {
  const panel = surpriseView(byId("scored"), {
    label: "Your text, character by character",
    title: "What the model expected here",
    branch: (index, character) => {
      panel.hide();
      page.openTab("write-view");
      page.writer.adopt(view.characters.slice(0, index), character, view.characters[index].top);
    },
  });
  const { view } = panel;

  async function measure() {
    const text = byId("own-text").value;
    if (!text) return byId("own-text").focus();
    page.began();
    try {
      const { characters, bitsPerChar } = await page.backend.score(text, page.settings);
      panel.hide();
      view.clear();
      view.append(characters);
      const strange = [...new Set(characters.filter((one) => one.unknown).map((one) => named(one.text)))];
      const message = [
        bitsPerChar === null ? "" : `${bitsPerChar.toFixed(2)} bits per character`,
        `${characters.length.toLocaleString("en")} characters`,
        strange.length ? `not in its vocabulary: ${strange.slice(0, 20).join(" ")}` : "",
      ].filter(Boolean).join(" · ");
      const verdict = bitsPerChar === null || !page.about ? "" : besideAverage(bitsPerChar, page.about.losses);
      byId("score-figures").textContent = message;
      byId("score-verdict").textContent = verdict;
      page.announcer.say(`${message}. ${verdict}`);
    } catch (error) {
      page.failed(error);
    }
  }

  byId("score-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    measure();
  });
}

/**
 * A text's score beside what the model needs for text like its own.
 * @param {number} bits per character. @param {Record<string, any>} losses by protocol.
 * @returns {string} empty where the model's own was not measured.
 */
export function besideAverage(bits, losses) {
  const average = (losses.stateful ?? Object.values(losses)[0])?.bits_per_char;
  if (!Number.isFinite(average)) return "";
  const own = `On unseen text of its own kind this model needs ${average.toFixed(2)}`;
  if (Math.abs(bits - average) < NEAR) return `${own}: this text is about as predictable for it.`;
  return `${own}: this text ${bits > average ? "surprises it more" : "is easier for it"} than that.`;
}
