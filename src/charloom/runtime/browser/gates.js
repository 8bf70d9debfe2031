// What a unit's gates did at each character, from the weights as the kernel takes them: int8 rows with a scale each.
// Legend: T time, H hidden units, G gates, I inputs.

import { GATES } from "./tensors.js";

const logistic = (x) => 1 / (1 + Math.exp(-x));

/**
 * The gates of a unit by name, (T,) each; nothing for a plain RNN. `states[t]` has the layer's h, its memory and the h of
 * the layer below (H,) after t of `ids`, whose first is the opening of a line.
 */
export function unitGates(shape, tensors, ids, states, layer, unit) {
  const { cell, hidden_size: size } = shape;
  if (cell === "rnn") return {};
  const rows = Array.from({ length: GATES[cell] }, (_, gate) => gate * size + unit);
  const read = rowsOf(shape, tensors, layer);
  const found = cell === "lstm" ? { input: [], forget: [], output: [], candidate: [], memory: [] } : { reset: [], update: [], candidate: [], memory: [] };
  for (let time = 1; time < ids.length; time++) {
    const [before, now] = [states[time - 1], states[time]];
    const below = rows.map((row) => read.below(row, ids[time], now.below));
    const above = rows.map((row) => read.before(row, before.hidden));
    if (cell === "lstm") {
      const [i, f, g, o] = below.map((value, gate) => value + above[gate]);
      push(found, { input: logistic(i), forget: logistic(f), output: logistic(o), candidate: Math.tanh(g), memory: before.memory[unit] });
    } else {
      const reset = logistic(below[0] + above[0]), update = logistic(below[1] + above[1]);
      push(found, { reset, update, candidate: Math.tanh(below[2] + reset * above[2]), memory: before.memory[unit] });
    }
  }
  return found;
}

function push(found, values) {
  for (const [name, value] of Object.entries(values)) found[name].push(value);
}

/** Two functions: what a row gives for the character or the layer below, and for the layer's own state before. */
function rowsOf({ embedding_size: embedding, hidden_size: size }, tensors, layer) {
  const [below, belowScales, before, beforeScales, bias, biasBefore] = tensors.slice(1 + 6 * layer);
  const width = below.length / belowScales.length;
  const sum = (whole, row, values, from, count) => {
    let total = 0;
    for (let at = 0; at < count; at++) total += whole[row * count + at] * values[from + at];
    return total;
  };
  return {
    below: (row, id, hidden) => {
      const values = layer ? hidden : tensors[0];
      const total = layer || embedding ? sum(below, row, values, layer ? 0 : id * width, width) : below[row * width + id];
      return total * belowScales[row] + bias[row];
    },
    before: (row, hidden) => sum(before, row, hidden, 0, size) * beforeScales[row] + biasBefore[row],
  };
}
