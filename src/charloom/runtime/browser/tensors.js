// A network's tensors, as charloom's kernel takes them: matrices of whole numbers, each row with a scale.
// Legend: V vocabulary, E embedding, H hidden units, G gates, I inputs.

export const GATES = { rnn: 1, gru: 3, lstm: 4 };

/** What is said of a page that cannot be run. */
export const DAMAGED = "this page is damaged: its weights are not those of its network";

/** The tensors in their order, with their kinds and numbers:
 *  embedding (V, E) if there is one; of each layer weight_ih (G·H, I), scales (G·H,), weight_hh (G·H, H), scales (G·H,),
 *  bias_ih (G·H,), bias_hh (G·H,); output (V, H), scales (V,), bias (V,). */
function layout({ cell, num_layers: layers, hidden_size: hidden, embedding_size: embedding, vocab_size: symbols }) {
  const rows = GATES[cell] * hidden;
  const matrix = (outputs, inputs) => [[Int8Array, outputs * inputs], [Float32Array, outputs]];
  const found = [[Float32Array, symbols * embedding]];
  for (let layer = 0; layer < layers; layer++) {
    const inputs = layer ? hidden : embedding || symbols;
    found.push(...matrix(rows, inputs), ...matrix(rows, hidden), [Float32Array, rows], [Float32Array, rows]);
  }
  return [...found, ...matrix(symbols, hidden), [Float32Array, symbols]];
}

/** The bytes of base64. */
export function bytesOf(base64) {
  const text = decoded(base64);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  return bytes;
}

function decoded(base64) {
  try {
    return atob(base64);
  } catch {
    throw new Error(DAMAGED);
  }
}

/** The tensors of a network out of the bytes of all of them, in which each begins at a multiple of four. */
export function unpackedTensors(bytes, shape) {
  const tensors = [];
  let place = 0;
  for (const [kind, length] of layout(shape)) {
    const end = place + length * kind.BYTES_PER_ELEMENT;
    if (!(end <= bytes.length)) break;
    tensors.push(new kind(bytes.buffer, bytes.byteOffset + place, length));
    place = Math.ceil(end / 4) * 4;
  }
  if (place !== bytes.length || tensors.length !== 4 + 6 * shape.num_layers) {
    throw new Error(DAMAGED);
  }
  return tensors;
}
