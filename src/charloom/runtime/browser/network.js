// The network in JavaScript, for browsers that have no WebAssembly: to the bit what charloom's kernel computes, for
// IEEE 754 defines every addition, multiplication and division, and `round` makes each of them a float32's.
//
// A hidden state h is the whole number round(127·h); a matrix (O, I) is whole numbers with a scale for each output. Four
// outputs share a 32-bit word, so that one read serves four sums; that is what makes it fast.
// Legend: T time, V vocabulary, E embedding, H hidden units, G gates, I inputs, O outputs, S states.

import { nextId } from "./sampling.js";
import { GATES } from "./tensors.js";

const round = Math.fround;
const LOG2E = round(1.4426950408889634);
const EXP2 = [1, 6.931470036506653e-1, 2.4022242426872253e-1, 5.550733581185341e-2, 9.671512991189957e-3, 1.326472614891827e-3].map(round);
const SMALL_POWERS = new Float32Array(Uint32Array.from({ length: 121 }, (_, n) => (n + 67) << 23).buffer); // 2^(n - 60)
const TIES_TO_EVEN = 12582912; // a float32 to which this is added has no more digits after the point
const REMEMBERED_NUMBERS = 1 << 23; // of first-layer inputs that are kept, 32 MiB

/** 2^y for -60 ≤ y ≤ 60, which y is brought to; NaN counts as 60. */
function exp2(y) {
  y = y < 60 ? y : 60;
  y = y > -60 ? y : -60;
  const whole = round(y + TIES_TO_EVEN) - TIES_TO_EVEN;
  const f = round(y - whole);
  const square = round(f * f);
  const low = round(round(EXP2[1] * f) + 1);
  const middle = round(round(EXP2[3] * f) + EXP2[2]);
  const high = round(round(EXP2[5] * f) + EXP2[4]);
  return round(round(round(round(high * square) + middle) * square) + low) * SMALL_POWERS[whole + 60];
}

const sigmoidExp = (x) => exp2(round(x * -LOG2E)); // sigmoid(x) = 1 / (1 + e)
const tanhExp = (x) => exp2(round(x * (2 * LOG2E))); // tanh(x) = (e - 1) / (e + 1)
const sigmoid = (x) => round(1 / round(1 + sigmoidExp(x)));
const tanh = (x, e = tanhExp(x)) => round(round(e - 1) / round(e + 1));

/** A matrix of whole numbers, rows (O, I), with a scale for each row; what is added to each result. */
class Matrix {
  constructor(whole, scales, add) {
    const outputs = scales.length, inputs = whole.length / outputs;
    this.scales = scales.map((scale) => scale / 127);
    this.add = add;
    this.inputs = inputs;
    const bytes = new Int8Array(4 * Math.ceil(outputs / 4) * inputs); // outputs 4n to 4n + 3 lie side by side, input by input
    for (let output = 0, from = 0; output < outputs; output++)
      for (let place = (output >> 2) * inputs * 4 + (output & 3), end = from + inputs; from < end; from++, place += 4)
        bytes[place] = whole[from];
    this.words = new Int32Array(bytes.buffer); // little-endian, as every processor with a browser is
  }

  /** result (O,) = matrix · values (I,) + add, of whole values. */
  product(values, result) {
    const { words, scales, add, inputs } = this;
    for (let output = 0, place = 0; output < scales.length; output += 4) {
      let first = 0, second = 0, third = 0, fourth = 0;
      for (let input = 0; input < inputs; input++, place++) {
        const value = values[input], word = words[place];
        first += ((word << 24) >> 24) * value;
        second += ((word << 16) >> 24) * value;
        third += ((word << 8) >> 24) * value;
        fourth += (word >> 24) * value;
      }
      const sums = [first, second, third, fourth];
      for (let at = output; at < output + 4 && at < scales.length; at++)
        result[at] = round(round(sums[at - output]) * scales[at]) + add[at];
    }
  }
}

/** The cells: gates (G·H,) from below and from before → the state's h (H,) (and c (H,)) in place. */
const CELLS = {
  /** Elman, 1990: h' = tanh(x + z). */
  rnn(size, x, z, h) {
    for (let unit = 0; unit < size; unit++) h[unit] = tanh(round(z[unit] + x[unit]));
  },

  /** Hochreiter and Schmidhuber, 1997, with a forget gate: c' = f·c + i·tanh(g), h' = o·tanh(c'); one division for each product. */
  lstm(size, x, z, h, c) {
    const gate = (place) => round(z[place] + x[place]);
    for (let unit = 0; unit < size; unit++) {
      const i = sigmoidExp(gate(unit)), g = tanhExp(gate(2 * size + unit)), o = sigmoidExp(gate(3 * size + unit));
      const kept = round(sigmoid(gate(size + unit)) * c[unit]);
      const cell = round(kept + round(round(g - 1) / round(round(1 + i) * round(g + 1))));
      const e = tanhExp(cell);
      c[unit] = cell;
      h[unit] = round(e - 1) / round(round(1 + o) * round(e + 1));
    }
  },

  /** Cho et al., 2014, as PyTorch has it: n = tanh(xₙ + r·zₙ), h' = n + u·(h − n). */
  gru(size, x, z, h) {
    for (let unit = 0; unit < size; unit++) {
      const r = sigmoid(round(z[unit] + x[unit])), u = sigmoid(round(z[size + unit] + x[size + unit]));
      const n = tanh(round(x[2 * size + unit] + round(r * z[2 * size + unit])));
      h[unit] = n + round(u * round(h[unit] - n));
    }
  },
};

/** A network that JavaScript runs; its methods are those of kernel.js. */
export class Network {
  /** From its shape, as config.json has it, and its tensors. */
  constructor(shape, tensors) {
    const { num_layers: count, hidden_size: size, embedding_size: embedding, vocab_size: symbols } = shape;
    const width = GATES[shape.cell] * size, states = shape.cell === "lstm" ? 2 : 1;
    this.atOnce = 1;
    this.size = size;
    this.cell = CELLS[shape.cell];
    this.state = new Float32Array(count * states * size); // (S, H); it may be read and written
    this.layers = [];
    for (let index = 0; index < count; index++) {
      const [below, belowScales, before, beforeScales, bias, biasBefore] = tensors.slice(1 + 6 * index);
      const apart = shape.cell === "gru" ? 2 * size : width; // from here on the bias is inside the product
      const add = bias.map((value, gate) => (gate < apart ? value + biasBefore[gate] : value));
      const inner = biasBefore.map((value, gate) => (gate < apart ? 0 : value));
      if (!index) this.first = { embedding: embedding ? tensors[0] : null, weights: below, scales: belowScales, add };
      this.layers.push({
        below: index ? new Matrix(below, belowScales, add) : null,
        before: new Matrix(before, beforeScales, inner),
        states: Array.from({ length: states }, (_, each) => this.state.subarray((states * index + each) * size).subarray(0, size)),
        x: new Float32Array(width),
        z: new Float32Array(width),
      });
    }
    this.output = new Matrix(...tensors.slice(-3));
    this.remembered = new Map(); // what a character gives the first layer's gates
    this.whole = new Int32Array(size); // of the hidden states that a product reads
    this.logits = new Float32Array(symbols);
  }

  /** Read one id: changes `state`, returns logits (1 - first, V), which the next call overwrites. */
  read([id], first) {
    let x = this.firstInputs(id);
    for (const { below, before, states, x: own, z } of this.layers) {
      if (below) below.product(this.whole, (x = own));
      this.quantize(states[0]);
      before.product(this.whole, z);
      this.cell(this.size, x, z, ...states);
      this.quantize(states[0]);
    }
    if (!first) this.output.product(this.whole, this.logits);
    return this.logits.subarray(first ? this.logits.length : 0);
  }

  /** The id that follows. */
  draw(logits, settings, unknownId, uniform) {
    return nextId(logits, settings, unknownId, uniform);
  }

  /** Hidden states as whole numbers from -127 to 127; NaN counts as -127. */
  quantize(hidden) {
    for (let unit = 0; unit < hidden.length; unit++) {
      const scaled = round(hidden[unit] * 127);
      this.whole[unit] = round((scaled > -127 ? Math.min(scaled, 127) : -127) + TIES_TO_EVEN) - TIES_TO_EVEN;
    }
  }

  /** What a character gives the first layer's gates, (G·H,), summed in double; computed when it is first met. */
  firstInputs(id) {
    const known = this.remembered.get(id);
    if (known) return known;
    const { embedding, weights, scales, add } = this.first;
    const width = weights.length / scales.length;
    const inputs = add.map((bias, gate) => {
      let sum = embedding ? 0 : weights[gate * width + id];
      if (embedding) for (let input = 0; input < width; input++) sum += embedding[id * width + input] * weights[gate * width + input];
      return sum * scales[gate] + bias;
    });
    if ((this.remembered.size + 1) * inputs.length > REMEMBERED_NUMBERS) this.remembered.clear();
    this.remembered.set(id, inputs);
    return inputs;
  }
}
