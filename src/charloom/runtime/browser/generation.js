// Reads a beginning and continues it, and remembers states on the way, so that a text which shares its beginning
// with the last one (a branch of it) is not read again from the start.

import { copiedState } from "./network.js";
import { expectations, nextId, seededUniforms } from "./sampling.js";

const ALTERNATIVES = 5;
const KEPT_BYTES = 64 << 20; // of remembered states

export class Generator {
  /** Writes with a network; texts are of at most `longest` ids. */
  constructor(network, unknownId, longest) {
    this.network = network;
    this.unknownId = unknownId;
    const bytes = network.layers.length * network.shape.hidden_size * 4 * 2;
    this.stride = Math.max(32, Math.ceil((longest * bytes) / KEPT_BYTES));
    this.read = []; // the ids that the remembered states have read
    this.kept = []; // kept[n]: the state after (n + 1) · stride of them
  }

  /** Read `ids`, then write `length` more. Yields {id, bits, likeliest} for each id from `from` on, or null for
   *  an id that was only read; bits and likeliest are null for the first one, which nothing precedes. */
  *write(ids, from, length, settings) {
    const uniform = seededUniforms(settings.seed);
    const end = ids.length + length;
    let { position, state } = this.resume(ids, from);
    let logits = null;
    while (true) {
      let id = ids[position];
      let expected = null;
      if (position >= from && logits) expected = expectations(logits, ALTERNATIVES, this.unknownId);
      if (position >= ids.length) id = nextId(logits, settings, this.unknownId, uniform());
      yield position < from
        ? null
        : { id, bits: expected?.bits(id) ?? null, likeliest: expected?.likeliest ?? null };
      if (position + 1 >= end) return;
      logits = this.network.step(id, state);
      this.read[position++] = id;
      if (position % this.stride === 0) this.kept[position / this.stride - 1] ??= copiedState(state);
    }
  }

  /** The furthest remembered state that has read nothing but the beginning of `ids`, and not `from` or its predecessor. */
  resume(ids, from) {
    let common = 0;
    while (common < ids.length && common < this.read.length && ids[common] === this.read[common]) common++;
    const known = Math.max(0, Math.min(Math.floor(common / this.stride), Math.floor((from - 1) / this.stride)));
    this.kept.length = Math.min(known, this.kept.length);
    const position = this.kept.length * this.stride;
    this.read.length = position;
    return { position, state: position ? copiedState(this.kept[this.kept.length - 1]) : this.network.initialState() };
  }
}
