/** A text as a picture: what the page shows, drawn on a canvas, with a line that says what it is. */

/** @typedef {import("./text.js").TextView} TextView */

const SCALE = 2; // pixels of the picture for one of the page
const MARGIN = 24;
const FOOTER = 34; // of the signature
const NARROWEST = 640; // so that the signature has room
const TALLEST = 3600; // of the text; a canvas has its limits

/**
 * @param {TextView} view
 * @param {string} signature
 * @returns {HTMLCanvasElement}
 */
export function pictureOf(view, signature) {
  const { place } = view;
  const frame = place.getBoundingClientRect();
  const style = getComputedStyle(place);
  const height = Math.min(place.scrollHeight, TALLEST);
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * (Math.max(NARROWEST, usedWidth(view, frame)) + 2 * MARGIN);
  canvas.height = SCALE * (height + MARGIN + FOOTER);
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(SCALE, SCALE);
  pen.fillStyle = style.backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.textBaseline = "middle";
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, canvas.width, height + MARGIN / 2);
  pen.clip();
  pen.translate(MARGIN - frame.left, MARGIN / 2 - frame.top + place.scrollTop);
  drawPlain(pen, view.before, style);
  for (const span of view.list.children) drawCharacter(pen, span, style);
  pen.restore();
  pen.fillStyle = getComputedStyle(view.before).color;
  pen.font = `14px ${getComputedStyle(document.body).fontFamily}`;
  pen.fillText(signature, MARGIN, height + MARGIN / 2 + FOOTER / 2, frame.width);
  return canvas;
}

/** How far the text goes to the right. @param {TextView} view @param {DOMRect} frame */
function usedWidth(view, frame) {
  const lines = [view.before, ...view.list.children].flatMap((part) => [...part.getClientRects()]);
  const rightmost = Math.max(0, ...lines.map((line) => line.right - frame.left));
  const leftmost = Math.min(...lines.map((line) => line.left - frame.left));
  return leftmost > frame.width / 4 ? frame.width : Math.min(frame.width, rightmost); // text from the right takes it all
}

/** The text before the characters, character by character where the page has it. @param {CanvasRenderingContext2D} pen @param {Element} before @param {CSSStyleDeclaration} style */
function drawPlain(pen, before, style) {
  const walker = document.createTreeWalker(before, NodeFilter.SHOW_TEXT);
  pen.fillStyle = getComputedStyle(before).color;
  pen.font = `${style.fontSize} ${style.fontFamily}`;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const range = document.createRange();
    let at = 0;
    for (const character of node.nodeValue ?? "") {
      range.setStart(node, at);
      range.setEnd(node, (at += character.length));
      const [rect] = range.getClientRects();
      if (rect && character !== "\n") pen.fillText(character, rect.left, rect.top + rect.height / 2);
    }
  }
}

/** One character with its colour and its line. @param {CanvasRenderingContext2D} pen @param {Element} span @param {CSSStyleDeclaration} style */
function drawCharacter(pen, span, style) {
  const own = getComputedStyle(span);
  for (const rect of span.getClientRects()) {
    pen.fillStyle = own.backgroundColor;
    pen.fillRect(rect.left, rect.top, rect.width, rect.height);
    const line = parseFloat(own.borderBottomWidth);
    pen.fillStyle = own.borderBottomColor;
    if (line) pen.fillRect(rect.left, rect.bottom - line, rect.width, line);
  }
  const [rect] = span.getClientRects();
  if (!rect || span.textContent === "\n") return;
  pen.fillStyle = own.color;
  pen.font = `${own.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  pen.fillText(span.textContent ?? "", rect.left, rect.top + rect.height / 2);
}
