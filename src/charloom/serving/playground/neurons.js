/** The neuron explorer: one unit of the hidden state, over a text. */

import { spokenName } from "./characters.js";
import { byId, element } from "./dom.js";
import { Panel, glyph } from "./panel.js";
import { TextView } from "./text.js";

/** @typedef {import("./server.js").Activations} Activations */

const LONGEST = 5000; // characters that the server takes

/** A value with its sign, as it is read. @param {number} value */
export function signed(value) {
  const shown = Math.abs(value).toFixed(2);
  if (shown === "0.00") return shown;
  return value < 0 ? `−${shown}` : `+${shown}`;
}

export class Neurons {
  /**
   * @param {import("./page.js").Page} page
   * @param {import("./server.js").Server} server
   * @param {(unit: number, layer: number) => void} chose a unit was chosen.
   */
  constructor(page, server, chose) {
    this.page = page;
    this.server = server;
    this.chose = chose;
    /** @type {number[]} */
    this.values = [];
    this.view = new TextView(byId("activated"), "The text, coloured by the unit", {
      look: (_one, index) => activationClass(this.values[index] ?? 0),
      name: (one, index) => `${spokenName(one.text)}, ${signed(this.values[index] ?? 0)}`,
    });
    this.panel = new Panel(this.view, "The unit's value here", (one, index) => this.#valueAt(one.text, index));
    byId("neuron-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      const unit = byId("unit").value;
      this.show(unit === "" ? null : Number(unit));
    });
    byId("layer").addEventListener("change", () => this.show(null));
    byId("take-written").addEventListener("click", () => this.take());
  }

  /** Another model was chosen. */
  reset() {
    byId("unit").value = "";
    byId("layer").replaceChildren();
    byId("most-variable").replaceChildren();
    this.view.clear();
  }

  /** Look at the text that was written last. */
  take() {
    const written = this.page.writer.text.slice(-LONGEST);
    if (written) byId("neuron-text").value = written;
    this.show(null);
  }

  /** The explorer was opened. */
  opened() {
    if (!byId("neuron-text").value && this.page.writer.text) this.take();
  }

  /**
   * Colour the text by a unit.
   * @param {number | null} unit null looks for those that change most, and shows the first of them.
   */
  async show(unit) {
    const text = byId("neuron-text").value;
    if (!text) return byId("neuron-text").focus();
    this.page.began();
    const layer = byId("layer").value === "" ? undefined : Number(byId("layer").value);
    try {
      const found = await this.server.activations({
        model: this.page.settings.model, text, ...(layer === undefined ? {} : { layer }), ...(unit === null ? {} : { units: [unit] }),
      });
      this.#layers(found);
      if (unit === null) this.#offer(found);
      this.#colour(found);
    } catch (error) {
      this.page.failed(error);
    }
  }

  /** @param {Activations} found */
  #colour(found) {
    const { unit, values } = found.units[0];
    byId("unit").value = unit;
    for (const button of byId("most-variable").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === String(unit)));
    }
    this.panel.hide();
    this.values = values;
    this.view.clear();
    this.view.append(found.characters.map((text) => ({ text, bits: null, top: [] })));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const where = found.layers > 1 ? ` of layer ${found.layer + 1}` : "";
    const message = `Unit ${unit}${where}: from ${signed(least)} to ${signed(most)}`;
    byId("neuron-figures").textContent = message;
    this.page.announcer.say(message);
    this.chose(unit, found.layer);
  }

  /** @param {Activations} found */
  #layers(found) {
    const select = byId("layer");
    byId("unit").max = found.hidden_size - 1;
    byId("layer-field").hidden = found.layers < 2;
    if (select.options.length === found.layers) return;
    select.replaceChildren(...Array.from({ length: found.layers }, (_, at) => element("option", { value: at, text: at + 1 })));
    select.value = String(found.layer);
  }

  /** Buttons for the units that change most. @param {Activations} found */
  #offer(found) {
    const buttons = found.units.map(({ unit }) =>
      element("button", { type: "button", value: unit, text: unit, "aria-label": `Unit ${unit}`, on: { click: () => this.show(unit) } }),
    );
    byId("most-variable").replaceChildren(...buttons);
  }

  /** @param {string} character @param {number} index */
  #valueAt(character, index) {
    const value = this.values[index] ?? 0;
    const mark = element("span", { class: "mark" });
    mark.style.left = `${50 + 50 * Math.max(-1, Math.min(1, value))}%`;
    return [
      element("p", { class: "what" }, ...glyph(character), ` ${signed(value)}`),
      element("div", { class: "scale", "aria-hidden": "true" }, mark),
    ];
  }
}

/** @param {number} value from −1 to 1. @returns {number} the step of the diverging ramp, −4 to 4. */
export function activationStep(value) {
  const size = Math.min(1, Math.abs(value));
  return Math.sign(value) * [0.1, 0.3, 0.55, 0.8].filter((least) => size >= least).length + 0;
}

/** @param {number} value */
function activationClass(value) {
  const step = activationStep(value);
  return step < 0 ? `negative-${-step}` : `positive-${step}`;
}
