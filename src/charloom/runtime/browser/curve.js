/** The loss while training, as a drawing. */

import { byId, drawn } from "./dom.js";

/** @typedef {[step: number, bits: number]} Point */
/** @typedef {{training: Point[], validation: Point[]}} LearningCurve bits a character by step. */
/** @typedef {{name: "training" | "validation", points: Point[]}} Line */

const WIDEST = 560;
const TALL = 220;
const FEW = 12; // points that are marked, since what is between them was not measured
const EDGE = { left: 46, right: 84, top: 14, bottom: 34 };

/** What there is to draw: nothing where no line has two points. @param {LearningCurve} curve @returns {Line[]} */
export function linesOf(curve) {
  const names = /** @type {const} */ (["training", "validation"]);
  const lines = names.map((name) => ({ name, points: curve[name] })).filter(({ points }) => points.length);
  return lines.some(({ points }) => points.length > 1) ? lines : [];
}

/** Show how a model learned; nothing where too little is known of it. @param {LearningCurve} curve */
export function showCurve(curve) {
  const lines = linesOf(curve);
  byId("learned").hidden = !lines.length;
  byId("curve-validation").hidden = !lines.some(({ name }) => name === "validation");
  const width = Math.min(byId("curve").clientWidth || WIDEST, WIDEST); // of a phone: its letters stay as large
  byId("curve").replaceChildren(...(lines.length ? [lossPicture(lines, width)] : []));
}

/**
 * Round numbers between two, three to six of them.
 * @param {number} least @param {number} most
 * @returns {number[]}
 */
export function ticks(least, most) {
  const span = most - least || Math.abs(most) || 1;
  const size = 10 ** Math.floor(Math.log10(span));
  const step = [1, 0.5, 0.25, 0.2, 0.1].map((part) => part * size).find((each) => span / each >= 3) ?? size / 10;
  const found = [];
  for (let at = Math.ceil(least / step - 1e-9); at * step <= most + step * 1e-9; at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}

/** @param {Line[]} lines @param {number} width */
function lossPicture(lines, width) {
  const all = lines.flatMap((line) => line.points);
  const range = (/** @type {number[]} */ values) => [Math.min(...values), Math.max(...values)];
  const [x0, x1] = range(all.map(([step]) => step));
  const [y0, y1] = range(all.map(([, bits]) => bits));
  const x = (/** @type {number} */ at) => EDGE.left + ((at - x0) / (x1 - x0 || 1)) * (width - EDGE.left - EDGE.right);
  const y = (/** @type {number} */ at) => TALL - EDGE.bottom - ((at - y0) / (y1 - y0 || 1)) * (TALL - EDGE.top - EDGE.bottom);
  const last = lines.map((line) => line.points[line.points.length - 1]);
  const said = lines.map((line, index) => `${line.name} ends at ${last[index][1].toFixed(2)}`).join(", ");
  const picture = drawn("svg", {
    class: "curve", viewBox: `0 0 ${width} ${TALL}`, role: "img", "aria-label": `Loss while training, bits a character: ${said}`,
  });
  for (const at of ticks(y0, y1)) {
    picture.append(
      drawn("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(at), y2: y(at) }),
      drawn("text", { x: EDGE.left - 8, y: y(at) + 4, "text-anchor": "end", text: String(at) }),
    );
  }
  for (const at of ticks(x0, x1)) {
    picture.append(drawn("text", { x: x(at), y: TALL - EDGE.bottom + 18, "text-anchor": "middle", text: at.toLocaleString("en") }));
  }
  picture.append(drawn("text", { class: "unit", x: width - EDGE.right, y: TALL - 3, "text-anchor": "end", text: "steps" }));
  const heights = apart(last.map(([, bits]) => y(bits)));
  lines.forEach((line, index) => {
    const path = line.points.map(([step, bits], at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(bits).toFixed(1)}`).join("");
    picture.append(
      drawn("path", { class: line.name, d: path }),
      ...(line.points.length > FEW ? [] : line.points.map(([step, bits]) => drawn("circle", { class: line.name, cx: x(step).toFixed(1), cy: y(bits).toFixed(1), r: 3 }))),
      drawn("text", { class: line.name, x: x(last[index][0]) + 8, y: heights[index] + 4, text: line.name }),
    );
  });
  return picture;
}

/** Move two labels apart where they would cover each other. @param {number[]} heights */
function apart(heights) {
  if (heights.length < 2 || Math.abs(heights[0] - heights[1]) >= 15) return heights;
  const middle = (heights[0] + heights[1]) / 2;
  const [up, down] = [middle - 8, middle + 8];
  return heights[0] <= heights[1] ? [up, down] : [down, up];
}
