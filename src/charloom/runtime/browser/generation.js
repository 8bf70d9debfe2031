// Reads a beginning and continues it, and remembers states on the way, so that a text which shares its beginning
// with the last one (a branch of it) is not read again from the start.

import { seededUniforms } from "./random.js";
import { expectations, nextId } from "./sampling.js";

const ALTERNATIVES = 5;
const KEPT_BYTES = 64 << 20; // of remembered states

export class Generator {
  /** Writes with a network; texts are of at most `longest` ids. */
  constructor(network, unknownId, longest) {
    this.network = network;
    this.unknownId = unknownId;
    this.stride = Math.max(64, Math.ceil((longest * network.state.byteLength) / KEPT_BYTES));
    this.known = []; // the ids that the remembered states have read
    this.kept = []; // kept[n]: the state after (n + 1) · stride of them
  }

  /** Read `ids`, then write `length` more. Yields arrays of {id, bits, likeliest}: in all one for each id from `from` on,
   *  which is at least 1. They are empty where ids were only read. */
  *write(ids, from, length, settings) {
    const { network, unknownId } = this;
    const uniform = seededUniforms(settings.seed);
    const expected = (logits) => expectations(logits, ALTERNATIVES, unknownId);
    const token = (id, { bits, likeliest }) => ({ id, bits: bits(id), likeliest });
    const symbols = network.logits.length / network.atOnce;
    let position = this.resume(ids, from), logits = null;
    while (position < ids.length) {
      const some = ids.slice(position, position + Math.min(network.atOnce, this.stride - (position % this.stride)));
      const skipped = Math.max(0, Math.min(some.length, from - 1 - position));
      const rows = this.read(some, position, skipped);
      position += some.length;
      const tokens = [];
      for (let place = position - some.length + skipped + 1; rows.length > tokens.length * symbols; place++) {
        logits = rows.subarray(tokens.length * symbols, (tokens.length + 1) * symbols);
        if (place === ids.length) break;
        tokens.push(token(ids[place], expected(logits)));
      }
      yield tokens;
    }
    for (const end = position + length; position < end; ) {
      const id = nextId(logits, settings, unknownId, uniform());
      yield [token(id, expected(logits))];
      if (position + 1 < end) logits = this.read([id], position, 0);
      position++;
    }
  }

  /** Read ids that follow `position` others; the logits of those from `first` on. */
  read(ids, position, first) {
    const logits = this.network.read(ids, first);
    const end = position + ids.length;
    this.known.push(...ids);
    if (end % this.stride === 0) this.kept[end / this.stride - 1] = this.network.state.slice();
    return logits;
  }

  /** Go to the furthest remembered state that has read nothing but the beginning of `ids`, and none from the predecessor
   *  of `from` on; how many it has read. */
  resume(ids, from) {
    let common = 0;
    while (common < from - 1 && ids[common] === this.known[common]) common++;
    this.kept.length = Math.min(this.kept.length, Math.floor(common / this.stride));
    this.known.length = this.kept.length * this.stride;
    if (this.kept.length) this.network.state.set(this.kept.at(-1));
    else this.network.state.fill(0);
    return this.known.length;
  }
}
