/** The neuron explorer: one unit of the hidden state, over a text. */

import { cellPicture } from "./cell.js";
import { spokenName } from "./characters.js";
import { byId, drawn, element } from "./dom.js";
import { Panel, glyph } from "./panel.js";
import { activationClass } from "./ramp.js";
import { TextView } from "./text.js";

/**
 * @typedef {import("./backend.js").Activations} Activations
 * @typedef {import("./backend.js").NamedUnit} NamedUnit
 */

const LOOKED_AT = 5000; // characters that a back end takes
const WIDEST_LINE = 1104; // of the drawing of a unit's values

/** A value with its sign, as it is read. @param {number} value */
export function signed(value) {
  const shown = Math.abs(value).toFixed(2);
  if (shown === "0.00") return shown;
  return value < 0 ? `−${shown}` : `+${shown}`;
}

export class Neurons {
  /**
   * @param {import("./page.js").Page} page
   * @param {import("./backend.js").Backend} backend
   * @param {(unit: number, layer: number) => void} chose a unit was chosen.
   */
  constructor(page, backend, chose) {
    this.page = page;
    this.backend = backend;
    this.chose = chose;
    /** @type {number[]} */
    this.values = [];
    /** @type {import("./backend.js").Gates | null} */
    this.gates = null;
    /** @type {NamedUnit[]} */
    this.named = [];
    this.view = new TextView(byId("activated"), "The text, coloured by the unit", {
      look: (_one, index) => activationClass(this.values[index] ?? 0),
      name: (one, index) => `${spokenName(one.text)}, ${signed(this.values[index] ?? 0)}`,
    });
    this.panel = new Panel(this.view, "The unit's value here", (one, index) => this.#valueAt(one.text, index));
    this.panel.onShow = () => this.#showCell(this.panel.index);
    byId("neuron-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      const unit = byId("unit").value;
      this.show(unit === "" ? null : Number(unit));
    });
    byId("layer").addEventListener("change", () => this.show(null));
    byId("take-written").addEventListener("click", () => this.take());
  }

  /** Units that follow something with a name. @param {NamedUnit[]} units */
  name(units) {
    this.named = units;
    const buttons = units.map(({ unit, layer, feature, correlation }) =>
      element("button", {
        type: "button", value: unit, "data-layer": layer, text: `${feature} · ${unit}`,
        title: `correlation ${signed(correlation)} on text by which it was not chosen`, on: { click: () => this.show(unit, layer) },
      }),
    );
    byId("named-units").replaceChildren(...buttons);
    byId("named").hidden = !buttons.length;
  }

  /** What a unit is known to follow; empty where nothing is. @param {number} unit @param {number} layer */
  nameOf(unit, layer) {
    return this.named.find((each) => each.unit === unit && each.layer === layer)?.feature ?? "";
  }

  /** Another model was chosen. */
  reset() {
    this.name([]);
    byId("unit-line").replaceChildren();
    byId("cell").hidden = true;
    byId("unit").value = "";
    byId("layer").replaceChildren();
    byId("most-variable").replaceChildren();
    this.view.clear();
  }

  /** Look at the text that was written last. */
  take() {
    const written = this.page.writer.text.slice(-LOOKED_AT);
    if (written) byId("neuron-text").value = written;
    const [best] = this.named;
    return best ? this.show(best.unit, best.layer) : this.show(null);
  }

  /** The explorer was opened. */
  opened() {
    if (!byId("neuron-text").value && this.page.writer.text) this.take();
  }

  /**
   * Colour the text by a unit.
   * @param {number | null} unit null looks for those that change most, and shows the first of them.
   * @param {number} [inLayer] the chosen one if not given.
   * @returns {Promise<void>}
   */
  async show(unit, inLayer) {
    const text = byId("neuron-text").value;
    if (!text) return byId("neuron-text").focus();
    this.page.began();
    const layer = inLayer ?? (byId("layer").value === "" ? undefined : Number(byId("layer").value));
    const { model } = this.page.settings;
    try {
      const where = { model, text, ...(layer === undefined ? {} : { layer }) };
      const found = await this.backend.activations({ ...where, ...(unit === null ? {} : { units: [unit] }) });
      this.#layers(found);
      if (unit === null) {
        this.#offer(found);
        return await this.show(found.units[0].unit, found.layer); // its gates, too
      }
      this.#colour(found);
      if (!byId("most-variable").children.length) this.#offer(await this.backend.activations(where));
    } catch (error) {
      this.page.failed(error);
    }
  }

  /** @param {Activations} found */
  #colour(found) {
    const { unit, values, gates } = found.units[0];
    byId("unit").value = unit;
    byId("layer").value = found.layer;
    this.#press(unit, found.layer);
    this.panel.hide();
    this.values = values;
    this.gates = gates ?? null;
    this.view.clear();
    this.view.append(found.characters.map((text) => ({ text, bits: null, top: [] })));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const where = found.layers > 1 ? ` of layer ${found.layer + 1}` : "";
    const follows = this.nameOf(unit, found.layer);
    const message = `Unit ${unit}${where}${follows ? ` follows: ${follows}` : ""} · from ${signed(least)} to ${signed(most)}`;
    byId("unit-line").replaceChildren(lineOf(values, `Unit ${unit} over the text`));
    byId("neuron-figures").textContent = message;
    this.page.announcer.say(message);
    this.#showCell(values.length - 1);
    this.chose(unit, found.layer);
  }

  /** The cell at a character. @param {number} index */
  #showCell(index) {
    const picture = this.gates && index >= 0 ? cellPicture(this.gates, index, this.values[index]) : null;
    byId("cell").hidden = !picture;
    if (!picture) return;
    byId("cell-picture").replaceChildren(picture);
    byId("cell-said").replaceChildren(`Unit ${byId("unit").value} at `, ...glyph(this.view.characters[index].text), ". Point at a letter to see another.");
  }

  /** Mark the button of the unit that is shown. @param {number} unit @param {number} layer */
  #press(unit, layer) {
    for (const button of byId("neuron-form").querySelectorAll(".chips button")) {
      const own = button.value === String(unit) && Number(button.dataset.layer) === layer;
      button.setAttribute("aria-pressed", String(own));
    }
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
      element("button", { type: "button", value: unit, "data-layer": found.layer, text: unit, "aria-label": `Unit ${unit}`, on: { click: () => this.show(unit, found.layer) } }),
    );
    byId("most-variable").replaceChildren(...buttons);
    this.#press(Number(byId("unit").value), Number(byId("layer").value));
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

/** A unit's values as a line over the text, from −1 to 1. @param {number[]} values @param {string} label */
function lineOf(values, label) {
  const [width, height] = [Math.min(byId("unit-line").clientWidth || WIDEST_LINE, WIDEST_LINE) - 24, 80];
  const y = (/** @type {number} */ value) => ((1 - value) * height) / 2;
  const step = width / Math.max(1, values.length);
  const path = values.map((value, at) => `${at ? "L" : "M"}${(at * step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const picture = drawn("svg", { class: "unit-line", viewBox: `-24 -4 ${width + 24} ${height + 8}`, role: "img", "aria-label": label });
  for (const value of [-1, 0, 1]) {
    picture.append(
      drawn("line", { class: "grid", x1: 0, x2: width, y1: y(value), y2: y(value) }),
      drawn("text", { x: -4, y: y(value) + 4, "text-anchor": "end", text: value < 0 ? `−${-value}` : value ? `+${value}` : "0" }),
    );
  }
  picture.append(drawn("path", { d: path }));
  return picture;
}
