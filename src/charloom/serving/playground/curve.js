/** The loss while training, drawn from the history. */

import { drawn } from "./dom.js";

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{name: string, className: string, points: Point[]}} Line */

const WIDTH = 560;
const HEIGHT = 220;
const EDGE = { left: 46, right: 84, top: 14, bottom: 34 };

/**
 * The lines of a history: losses in bits a character by step.
 * @param {Record<string, number | null>[]} history
 * @returns {Line[]} those with two points or more.
 */
export function linesOf(history) {
  /** @param {string} field @returns {Point[]} */
  const points = (field) =>
    history
      .filter((record) => Number.isFinite(record[field]) && Number.isFinite(record.step))
      .map((record) => ({ x: Number(record.step), y: Number(record[field]) / Math.LN2 }));
  return [
    { name: "training", className: "training", points: points("train_loss") },
    { name: "validation", className: "validation", points: points("validation_loss") },
  ].filter((line) => line.points.length > 1);
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

/**
 * @param {Record<string, number | null>[]} history
 * @returns {SVGElement | null} null where there is too little to draw.
 */
export function lossCurve(history) {
  const lines = linesOf(history);
  if (!lines.length) return null;
  const all = lines.flatMap((line) => line.points);
  const range = (/** @type {number[]} */ values) => [Math.min(...values), Math.max(...values)];
  const [x0, x1] = range(all.map((point) => point.x));
  const [y0, y1] = range(all.map((point) => point.y));
  const x = (/** @type {number} */ at) => EDGE.left + ((at - x0) / (x1 - x0 || 1)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (/** @type {number} */ at) => HEIGHT - EDGE.bottom - ((at - y0) / (y1 - y0 || 1)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const last = lines.map((line) => line.points[line.points.length - 1]);
  const said = lines.map((line, index) => `${line.name} ends at ${last[index].y.toFixed(2)}`).join(", ");
  const picture = drawn("svg", {
    class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Loss while training, bits a character: ${said}`,
  });
  for (const at of ticks(y0, y1)) {
    picture.append(
      drawn("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(at), y2: y(at) }),
      drawn("text", { x: EDGE.left - 8, y: y(at) + 4, "text-anchor": "end", text: String(at) }),
    );
  }
  for (const at of ticks(x0, x1)) {
    picture.append(drawn("text", { x: x(at), y: HEIGHT - EDGE.bottom + 18, "text-anchor": "middle", text: at.toLocaleString("en") }));
  }
  picture.append(drawn("text", { class: "unit", x: WIDTH - EDGE.right, y: HEIGHT - 3, "text-anchor": "end", text: "steps" }));
  const heights = apart(last.map((point) => y(point.y)));
  lines.forEach((line, index) => {
    const path = line.points.map((point, at) => `${at ? "L" : "M"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join("");
    picture.append(
      drawn("path", { class: line.className, d: path }),
      drawn("text", { class: line.className, x: x(last[index].x) + 8, y: heights[index] + 4, text: line.name }),
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
