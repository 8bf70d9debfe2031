/** What can be done with a text that was written: copied, saved, sent as a link. */

import { answerOn, copied } from "./copying.js";
import { byId, element } from "./dom.js";
import { pictureOf } from "./picture.js";
import { toHash } from "./settings.js";

/** @typedef {import("./page.js").Page} Page */

/** @param {Page} page */
export function connectActions(page) {
  const { writer } = page;
  const say = (/** @type {string} */ message) => page.announcer.say(message);
  const fileName = () => `${page.about?.name ?? "text"}-${writer.seed}`.replace(/[^\p{L}\p{N}._-]+/gu, "-");

  byId("copy-text").addEventListener("click", async () => {
    answerOn(byId("copy-text"), (await copied(writer.text, byId("written"))) ? "Copied" : "Selected: press Ctrl+C", say);
  });
  byId("copy-link").addEventListener("click", async () => {
    const shown = element("span", { text: linkOf(page) });
    const done = await copied(shown.textContent ?? "", shown);
    if (!done) page.useLink(linkOf(page));
    answerOn(byId("copy-link"), done ? "Link copied" : "The link is in the address bar", say);
  });
  byId("save-text").addEventListener("click", () => {
    save(new Blob([writer.text], { type: "text/plain;charset=utf-8" }), `${fileName()}.txt`);
    say("Saved as text");
  });
  byId("save-picture").addEventListener("click", async () => {
    const blob = await pngOf(pictureOf(writer.view, signatureOf(page)));
    if (blob) save(blob, `${fileName()}.png`);
    answerOn(byId("save-picture"), blob ? "Saved" : "This text is too long for a picture", say);
  });
}

/** An address that writes the shown text again. @param {Page} page */
function linkOf(page) {
  const version = page.writer.versions.current;
  const [here] = location.href.split("#");
  if (!version) return `${here}#${toHash(page.settings, page.backend.usual)}`;
  const settings = { ...version.settings, prompt: page.writer.promptOf(version), seed: version.seed };
  return `${here}#${toHash(settings, { ...page.backend.usual, seed: null })}`;
}

/** @param {Page} page */
function signatureOf(page) {
  const version = page.writer.versions.current;
  const how = version ? ` · temperature ${version.settings.temperature} · seed ${version.seed}` : "";
  return `Written by ${page.about?.title ?? page.about?.name ?? "a model"}${how} · colour is surprise · made with charloom`;
}

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob | null>} */
function pngOf(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** @param {Blob} blob @param {string} name of the file. */
function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
