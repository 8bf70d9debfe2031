/** The live explanation: the network over the text that was written, at the letter that is looked at. */

import { byId } from "./dom.js";
import { unrolledPicture } from "./unrolled.js";

const LOOKED_BACK = 1000; // characters of the text that the network reads for it

export class Explanation {
  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.page = page;
    /** @type {import("./backend.js").Activations | null} */
    this.found = null;
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
    this.draw();
  }

  draw() {
    const { panel, view } = this.page.writer;
    const index = panel.index >= 0 ? panel.index : view.characters.length - 1;
    const shown = this.found && unrolledPicture(view.characters.slice(this.first), this.found, index - this.first);
    byId("explained").hidden = !shown || !this.open;
    if (shown) byId("unrolled").replaceChildren(shown);
  }
}
