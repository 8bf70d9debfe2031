/** The same prompt at several temperatures, side by side. */

import { bitsPerCharacter, surpriseStep } from "./characters.js";
import { byId, element } from "./dom.js";
import { texts } from "./items.js";

/**
 * @typedef {import("./characters.js").Character} Character
 * @typedef {import("./settings.js").Settings} Settings
 */

const LONGEST_SAMPLE = 300; // characters of each text

/** @param {import("./page.js").Page} page */
export function connectComparing(page) {
  /** @type {AbortController | null} */
  let running = null;

  async function compare() {
    running?.abort();
    const own = (running = new AbortController());
    page.began();
    const { settings } = page;
    const seed = settings.seed ?? page.writer.seed ?? 1;
    const temperatures = numbersIn(byId("temperatures").value);
    if (!temperatures.length) return byId("temperatures").focus();
    const columns = temperatures.map((temperature) => column(temperature));
    let shown = false;
    try {
      await Promise.all(columns.map(async ({ temperature, whole, place, figures }) => {
        const asked = { ...settings, temperature, length: Math.min(settings.length, LONGEST_SAMPLE) };
        /** @type {Character[]} */
        const all = [];
        for await (const some of texts(page.backend, page.items, asked, asked.prompt, seed, own.signal)) {
          if (own.signal.aborted) return;
          if (!shown && some.length) byId("compared").replaceChildren(...columns.map((each) => each.whole));
          shown ||= some.length > 0;
          all.push(...some);
          place.append(...some.map(coloured));
        }
        const bits = bitsPerCharacter(all);
        figures.textContent = bits === null ? "" : `${bits.toFixed(2)} bits per character`;
        whole.append(element("button", { type: "button", class: "quiet", text: "Continue this one", on: { click: () => take(asked, seed, all) } }));
      }));
      if (!own.signal.aborted) page.announcer.say(`${columns.length} texts are written.`);
    } catch (error) {
      if (!own.signal.aborted) page.failed(error);
      own.abort();
    }
  }

  /** @param {Settings} settings @param {number} seed @param {Character[]} characters */
  function take(settings, seed, characters) {
    const version = { parent: null, before: settings.prompt, characters, kept: 0, settings, seed, figures: `temperature ${settings.temperature} · seed ${seed}` };
    page.openTab("write-view");
    page.writer.show(version);
  }

  /** @param {number} temperature */
  function column(temperature) {
    const place = element("p", { class: "sample", dir: "auto" }, element("span", { class: "given" }, ...page.marked(page.settings.prompt)));
    const figures = element("p", { class: "soft" });
    const whole = element("article", {}, element("h3", { text: `Temperature ${temperature}` }), place, figures);
    return { temperature, place, figures, whole };
  }

  byId("compare-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    compare();
  });
}

/** @param {Character} one */
function coloured(one) {
  return element("span", { class: `surprise-${surpriseStep(one.bits)}`, text: one.text });
}

/** The temperatures in a list of numbers, six at most. @param {string} list @returns {number[]} */
export function numbersIn(list) {
  const found = list.split(/[,;\s]+/).filter(Boolean).map(Number).filter((value) => value >= 0 && value <= 1000);
  return [...new Set(found)].slice(0, 6);
}
