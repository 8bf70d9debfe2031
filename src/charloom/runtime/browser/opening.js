/** The first moments: what the page is, a text that writes itself, and prompts to try. */

import { shownAlone } from "./characters.js";
import { byId, element } from "./dom.js";
import { wantsStillness } from "./pace.js";

/** @typedef {import("./page.js").Page} Page */

const SHOWN = 18; // characters of a prompt on its button

/** Begin with a text: that of the address, where it names a seed, or one of the model's own at reading speed. @param {Page} page */
export function openingText(page) {
  const linked = new URLSearchParams(location.hash.slice(1)).has("seed");
  page.writer.generate(linked ? {} : { slowly: !wantsStillness(), quietly: true });
}

/** Buttons with prompts that the model's texts often begin with. @param {Page} page @param {string[]} prompts */
export function offerPrompts(page, prompts) {
  const buttons = prompts.map((prompt) =>
    element("button", {
      type: "button",
      text: labelOf(prompt),
      title: prompt,
      on: {
        click: () => {
          page.usePrompt(prompt);
          page.writer.generate();
        },
      },
    }),
  );
  byId("prompts").replaceChildren(...buttons);
  byId("try").hidden = !buttons.length;
}

/** @param {string} prompt */
function labelOf(prompt) {
  const line = prompt.trim().replace(/\n/g, shownAlone("\n"));
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
}
