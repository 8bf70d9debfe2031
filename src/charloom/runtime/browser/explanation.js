/** The live explanation: the network and one of its cells over the text that was written, at the letter that is looked at. */

import { cellPicture } from "./cell.js";
import { byId } from "./dom.js";
import { glyph } from "./panel.js";
import { placesOf, unrolledPicture } from "./unrolled.js";

/** @typedef {import("./characters.js").Character} Character */

const LOOKED_BACK = 1000; // characters of the text that the network reads for it

export class Explanation {
  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.page = page;
    /** @type {import("./backend.js").Activations | null} */
    this.found = null;
    /** @type {import("./backend.js").Activations | null} */
    this.one = null; // of the unit that changes most, with its gates
    this.open = true;
    this.first = 0; // character of the text whose state is known
    this.looks = 0;
    byId("written").addEventListener("pointerover", () => this.draw());
    byId("written").addEventListener("focusin", () => this.draw());
  }

  /** Whether its place is in sight. @param {boolean} open */
  show(open) {
    this.open = open;
    this.draw();
  }

  /** Another text has ended: find the states over it; the text itself is what matters. */
  async look() {
    const { writer, backend, settings } = this.page;
    const look = ++this.looks;
    this.found = null;
    const { characters } = writer.view;
    this.first = Math.max(0, characters.length - LOOKED_BACK);
    const before = this.first ? "" : (writer.versions.current?.before ?? "").slice(-LOOKED_BACK);
    const text = before + characters.slice(this.first).map((one) => one.text).join("");
    const found = text && !this.page.items ? await backend.activations({ model: settings.model, text }).catch(() => null) : null;
    if (look !== this.looks) return;
    this.found = found;
    this.one = null;
    this.draw();
    if (!found) return;
    const asked = { model: settings.model, text, layer: found.layer, units: [found.units[0].unit] };
    const one = await backend.activations(asked).catch(() => null);
    if (look !== this.looks) return;
    this.one = one;
    this.draw();
  }

  draw() {
    const { panel, view } = this.page.writer;
    const index = panel.index >= 0 ? panel.index : view.characters.length - 1;
    const shown = this.found && unrolledPicture(view.characters.slice(this.first), this.found, index - this.first);
    byId("explained").hidden = !shown || !this.open;
    if (shown) byId("unrolled").replaceChildren(shown);
    this.#drawCell(view.characters.slice(this.first), index - this.first - 1);
  }

  /** The cell at the character that was read before the one that is looked at. @param {Character[]} characters @param {number} index */
  #drawCell(characters, index) {
    const [unit] = this.one?.units ?? [];
    const place = this.one ? placesOf(characters, this.one)[index] : undefined;
    const picture = unit?.gates && place !== undefined ? cellPicture(unit.gates, place, unit.values[place]) : null;
    byId("written-cell").hidden = !picture;
    if (!picture) return;
    byId("written-cell-picture").replaceChildren(picture);
    byId("written-cell-said").replaceChildren(`Unit ${unit.unit}, which changes most, when `, ...glyph(characters[index].text), " has been read:");
  }
}
