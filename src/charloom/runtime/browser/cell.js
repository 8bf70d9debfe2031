/** A unit at one character: what its gates kept, let in and let out, drawn with their own numbers. */

import { drawn } from "./dom.js";
import { activationClass } from "./ramp.js";

/** @typedef {import("./backend.js").Gates} Gates */

const THICKEST = 14; // of a line whose gate is wide open

/**
 * @param {Gates} gates of a unit. @param {number} index of the character. @param {number} value of the unit after it.
 * @returns {SVGElement | null} null where there are no gates.
 */
export function cellPicture(gates, index, value) {
  const at = (/** @type {string} */ name) => gates[name][index];
  if (!gates.candidate) return null;
  const lstm = "forget" in gates;
  const [keep, write] = lstm ? [at("forget"), at("input")] : [at("update"), 1 - at("update")];
  const sum = keep * at("memory") + write * at("candidate");
  const said = lstm
    ? `forget gate ${keep.toFixed(2)}, input gate ${write.toFixed(2)}, output gate ${at("output").toFixed(2)}`
    : `update gate ${keep.toFixed(2)}, reset gate ${at("reset").toFixed(2)}`;
  const picture = drawn("svg", { class: "cell", viewBox: "0 0 440 168", role: "img", "aria-label": `At this character: ${said}` });
  picture.append(
    ...flow(66, 44, 154, 44, keep, lstm ? "forget" : "update"),
    ...flow(170, 114, 170, 60, write, lstm ? "input" : "1 − update"),
    ...flow(186, 44, 244, 44, 1, ""),
    ...node(40, 44, at("memory"), "before"),
    ...node(170, 140, at("candidate"), "new"),
    drawn("circle", { class: "sum", cx: 170, cy: 44, r: 16 }),
    drawn("text", { x: 170, y: 49, "text-anchor": "middle", text: "+" }),
    ...node(270, 44, sum, lstm ? "memory now" : "value now"),
  );
  if (lstm) picture.append(...flow(296, 44, 384, 44, at("output"), "output"), ...node(410, 44, value, "value"));
  return picture;
}

/** A line as thick as its gate is open. @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {number} open @param {string} name */
function flow(x1, y1, x2, y2, open, name) {
  const upright = x1 === x2;
  const label = name ? `${name} ${open.toFixed(2)}` : "";
  return [
    drawn("line", { class: "closed", x1, y1, x2, y2 }),
    drawn("line", { class: "flow", x1, y1, x2, y2, "stroke-width": (1 + (THICKEST - 1) * open).toFixed(1) }),
    drawn("text", { x: upright ? x1 - 18 : (x1 + x2) / 2, y: upright ? y1 - 6 : y1 - 14, "text-anchor": upright ? "end" : "middle", text: label }),
  ];
}

/** A number in its colour. @param {number} x @param {number} y @param {number} value @param {string} name */
function node(x, y, value, name) {
  return [
    drawn("circle", { class: `node cell-${activationClass(value)}`, cx: x, cy: y, r: 26 }),
    drawn("text", { class: "number", x, y: y + 5, "text-anchor": "middle", text: value.toFixed(2).replace("-", "−") }),
    drawn("text", { class: "name", x: y > 100 ? x - 40 : x, y: y > 100 ? y + 5 : y + 46, "text-anchor": y > 100 ? "end" : "middle", text: name }),
  ];
}
