// The network, one character at a time, from int8 weights and float32 states.
//
//     id → embedding or one-hot → recurrent layers → output → logits
//
// Every matrix (O, I) is whole numbers with a scale for each output, and stays so in memory: a product is the sum of
// h · whole over the inputs, times the output's scale. Four outputs share a 32-bit word, so that one read serves four
// sums; that is what makes it fast. Legend: V vocabulary, E embedding, H hidden units, G gates, I inputs, O outputs.

const GATES = { rnn: 1, gru: 3, lstm: 4 };
const REMEMBERED_NUMBERS = 1 << 23; // of first-layer inputs that are kept, 32 MiB

/** A matrix of whole numbers, rows (O, I), and a scale for each row. */
class Matrix {
  constructor(whole, scales, inputs) {
    this.outputs = scales.length;
    this.inputs = inputs;
    this.scales = scales;
    const fours = Math.ceil(this.outputs / 4);
    const bytes = new Int8Array(4 * fours * inputs); // outputs 4n to 4n + 3 lie side by side, input by input
    for (let output = 0; output < this.outputs; output++) {
      let place = (output >> 2) * inputs * 4 + (output & 3);
      for (let input = 0, from = output * inputs; input < inputs; input++, from++, place += 4) {
        bytes[place] = whole[from];
      }
    }
    this.words = new Int32Array(bytes.buffer);
    this.sums = new Float64Array(4 * fours);
  }

  /** result (O,) = add (O,) + matrix · values (I,). */
  product(values, add, result) {
    const { words, sums, scales, inputs, outputs } = this;
    for (let output = 0, place = 0; output < outputs; output += 4) {
      let first = 0, second = 0, third = 0, fourth = 0;
      for (let input = 0; input < inputs; input++, place++) {
        const value = values[input], word = words[place]; // little-endian, as every processor with a browser is
        first += ((word << 24) >> 24) * value;
        second += ((word << 16) >> 24) * value;
        third += ((word << 8) >> 24) * value;
        fourth += (word >> 24) * value;
      }
      sums[output] = first;
      sums[output + 1] = second;
      sums[output + 2] = third;
      sums[output + 3] = fourth;
    }
    for (let output = 0; output < outputs; output++) result[output] = add[output] + sums[output] * scales[output];
  }
}

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

/** The cells: gates (G·H,) from below and `before` (H,) → the state's `hidden` (H,) (and `cell` (H,)) in place. */
const CELLS = {
  /** Elman, 1990: h' = tanh(x + U h). */
  rnn(size, below, layer, state) {
    layer.recurrent.product(state.hidden, below, layer.gates);
    for (let unit = 0; unit < size; unit++) state.hidden[unit] = Math.tanh(layer.gates[unit]);
  },

  /** Hochreiter and Schmidhuber, 1997, with a forget gate: c' = f·c + i·g, h' = o·tanh(c'). */
  lstm(size, below, layer, state) {
    const { gates } = layer;
    layer.recurrent.product(state.hidden, below, gates);
    for (let unit = 0; unit < size; unit++) {
      const entry = sigmoid(gates[unit]), forget = sigmoid(gates[size + unit]);
      const value = Math.tanh(gates[2 * size + unit]), output = sigmoid(gates[3 * size + unit]);
      state.cell[unit] = forget * state.cell[unit] + entry * value;
      state.hidden[unit] = output * Math.tanh(state.cell[unit]);
    }
  },

  /** Cho et al., 2014, as PyTorch has it: n = tanh(xₙ + r·(hₙ + b)), h' = n + z·(h − n). */
  gru(size, below, layer, state) {
    const { gates } = layer;
    layer.recurrent.product(state.hidden, layer.recurrentBias, gates);
    for (let unit = 0; unit < size; unit++) {
      const reset = sigmoid(below[unit] + gates[unit]), update = sigmoid(below[size + unit] + gates[size + unit]);
      const value = Math.tanh(below[2 * size + unit] + reset * gates[2 * size + unit]);
      state.hidden[unit] = value + update * (state.hidden[unit] - value);
    }
  },
};

/** A trained network. */
export class Network {
  /** From its shape, as config.json has it, and its tensors by name. */
  constructor(shape, tensors) {
    this.shape = shape;
    const { hidden_size: size, embedding_size: embedding, num_layers: count } = shape;
    const width = GATES[shape.cell] * size;
    this.cell = CELLS[shape.cell];
    this.layers = [];
    for (let index = 0; index < count; index++) {
      const inputs = index ? size : embedding; // a one-hot character has no matrix but a table
      this.layers.push({
        below: inputs ? new Matrix(tensors[`below${index}`], tensors[`below${index}.scales`], inputs) : null,
        recurrent: new Matrix(tensors[`recurrent${index}`], tensors[`recurrent${index}.scales`], size),
        bias: tensors[`bias${index}`],
        recurrentBias: tensors[`recurrent_bias${index}`] ?? null,
        gates: new Float32Array(width),
        inputs: new Float32Array(width),
      });
    }
    this.output = new Matrix(tensors.output, tensors["output.scales"], size);
    this.outputBias = tensors.output_bias;
    this.characters = tensors.characters; // (V, E), or (V, G·H) where characters are one-hot
    this.characterScales = tensors["characters.scales"];
    this.remembered = new Map(); // what a character gives the first layer's gates
    this.logits = new Float32Array(shape.vocab_size);
  }

  /** The state before any text: zeros. */
  initialState() {
    const zeros = () => new Float32Array(this.shape.hidden_size);
    return this.layers.map(() => (this.shape.cell === "lstm" ? { hidden: zeros(), cell: zeros() } : { hidden: zeros() }));
  }

  /** Read a character: changes `state`, returns logits (V,), which the next step overwrites. */
  step(id, state) {
    let below = this.firstInputs(id);
    for (const [index, layer] of this.layers.entries()) {
      if (index) {
        layer.below.product(below, layer.bias, layer.inputs);
        below = layer.inputs;
      }
      this.cell(this.shape.hidden_size, below, layer, state[index]);
      below = state[index].hidden;
    }
    this.output.product(below, this.outputBias, this.logits);
    return this.logits;
  }

  /** What a character gives the first layer's gates, (G·H,); computed when it is first met. */
  firstInputs(id) {
    const known = this.remembered.get(id);
    if (known) return known;
    const { below, bias } = this.layers[0];
    const width = this.characterScales.length;
    const values = new Float32Array(width);
    for (let column = 0; column < width; column++) {
      values[column] = this.characters[id * width + column] * this.characterScales[column];
    }
    const inputs = new Float32Array(bias.length);
    if (below) below.product(values, bias, inputs);
    else for (let gate = 0; gate < width; gate++) inputs[gate] = values[gate] + bias[gate];
    if ((this.remembered.size + 1) * inputs.length > REMEMBERED_NUMBERS) this.remembered.clear();
    this.remembered.set(id, inputs);
    return inputs;
  }
}

/** A state of its own with the same content. */
export function copiedState(state) {
  return state.map(({ hidden, cell }) => (cell ? { hidden: hidden.slice(), cell: cell.slice() } : { hidden: hidden.slice() }));
}

/** Tensors by name from the base64 of all of them, one after another; `layout` says where each lies. */
export function unpackedTensors(base64, layout) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  const arrays = { int8: Int8Array, float32: Float32Array };
  const tensors = {};
  for (const { name, kind, offset, length } of layout) tensors[name] = new arrays[kind](bytes.buffer, offset, length);
  return tensors;
}
