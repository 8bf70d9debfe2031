// The network by charloom's kernel in WebAssembly, the same C as in Python and on the server (kernel.h says what its
// functions do). Legend: T time, V vocabulary, H hidden units, S states (as many as layers, of an LSTM twice as many).

import { NO_NUMBER } from "./sampling.js";
import { DAMAGED, bytesOf } from "./tensors.js";

const CELL_NUMBERS = { rnn: 0, gru: 1, lstm: 2 };
const LOGITS = 1 << 18; // numbers that a call gives, at most

/** The kernel of its base64; null where there is none, or this browser has no WebAssembly, or not all of it. */
export async function startKernel(base64) {
  try {
    return (await WebAssembly.instantiate(bytesOf(base64))).instance.exports;
  } catch {
    return null;
  }
}

/** A network that the kernel runs. */
export class KernelNetwork {
  /** From the kernel, the shape as config.json has it, and the tensors. */
  constructor(kernel, shape, tensors) {
    this.kernel = kernel;
    this.atOnce = Math.max(1, Math.min(64, Math.floor(LOGITS / shape.vocab_size))); // characters of one `read`
    this.free = kernel.memory.buffer.byteLength;
    const { num_layers: layers, hidden_size: hidden, vocab_size: symbols } = shape;
    const described = this.place(Int32Array.of(CELL_NUMBERS[shape.cell], layers, hidden, shape.embedding_size, symbols, 0));
    const bytes = checked(kernel.charloom_model_bytes(described));
    const model = this.reserve(bytes);
    const kept = this.free; // what is laid out from here on is needed no more afterwards
    const places = this.place(Uint32Array.from(tensors, (tensor) => this.place(tensor)));
    const sizes = this.place(BigInt64Array.from(tensors, (tensor) => BigInt(tensor.byteLength)));
    checked(kernel.charloom_prepare(described, 0, places, sizes, tensors.length, model, bytes));
    this.free = kept;
    const workBytes = checked(kernel.charloom_work_bytes(model, bytes));
    this.network = [model, bytes, this.reserve(workBytes), workBytes];
    const size = layers * (shape.cell === "lstm" ? 2 : 1) * hidden;
    this.places = [8 * this.atOnce, 4 * size, 4 * this.atOnce * symbols].map((count) => this.reserve(count));
    this.drawing = [32, 8 * symbols, 8 * symbols].map((count) => this.reserve(count)); // settings, and two numbers for each symbol
    const { buffer } = kernel.memory; // it grows no more
    this.ids = new BigInt64Array(buffer, this.places[0], this.atOnce);
    this.state = new Float32Array(buffer, this.places[1], size); // (S, H); it may be read and written
    this.logits = new Float32Array(buffer, this.places[2], this.atOnce * symbols);
    this.sampling = new Float64Array(buffer, this.drawing[0], 3);
    this.topK = new BigInt64Array(buffer, this.drawing[0] + 24, 1);
  }

  /** Read T ids, at most `atOnce`: changes `state`, returns the logits (T - first, V) of those from `first` on, which the
   *  next call overwrites. */
  read(ids, first) {
    for (let step = 0; step < ids.length; step++) this.ids[step] = BigInt(ids[step]);
    const [at, state, logits] = this.places;
    checked(this.kernel.charloom_run(...this.network, at, BigInt(ids.length), 1n, 0n, 1n, state, logits, BigInt(first)));
    return this.logits.subarray(0, ((ids.length - first) * this.logits.length) / this.atOnce);
  }

  /** The id that follows: logits (V,) that `read` returned, and the rest as `nextId` has it. */
  draw(logits, settings, unknownId, uniform) {
    const [sampling, weights, ranking] = this.drawing, symbols = BigInt(logits.length);
    this.sampling.set([settings.temperature, settings.top_p, settings.min_p]);
    this.topK[0] = BigInt(settings.top_k);
    const unknown = BigInt(unknownId ?? -1);
    const id = this.kernel.charloom_draw(logits.byteOffset, symbols, sampling, unknown, 0, uniform, weights, ranking);
    if (id === symbols) throw new Error(NO_NUMBER);
    return Number(id);
  }

  /** Memory for so many bytes, at an address that vectors may be loaded from. */
  reserve(count) {
    const at = this.free, { memory } = this.kernel;
    this.free += Math.ceil(Number(count) / 64) * 64;
    const missing = this.free - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  /** Memory with the content of an array. */
  place(array) {
    const at = this.reserve(array.byteLength);
    new array.constructor(this.kernel.memory.buffer, at, array.length).set(array);
    return at;
  }
}

function checked(result) {
  if (result < 0) throw new Error(DAMAGED);
  return result;
}
