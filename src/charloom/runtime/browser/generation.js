// Reads a beginning and continues it, and remembers states on the way, so that a text which shares its beginning
// with the last one (a branch of it) is not read again from the start.

import { seededUniforms } from "./random.js";
import { expectation } from "./sampling.js";

const ALTERNATIVES = 5;
const KEPT_BYTES = 64 << 20; // of remembered states

export class Generator {
  /** Writes with a network of a shape; texts are of at most `longest` ids. */
  constructor(network, unknownId, longest, shape) {
    this.network = network;
    this.layers = shape.num_layers;
    this.parts = this.layers * (shape.cell === "lstm" ? 2 : 1);
    this.unknownId = unknownId;
    this.stride = Math.max(64, Math.ceil((longest * network.state.byteLength) / KEPT_BYTES));
    this.known = []; // the ids that the remembered states have read
    this.kept = []; // kept[n]: the state after (n + 1) · stride of them
  }

  /** Read `ids`, then write `length` more. Yields arrays: for each id from `from` on, which is at least 1, the id and
   *  what `expectation` says of it. They are empty where ids were only read. */
  *write(ids, from, length, settings) {
    const { network, unknownId } = this;
    const uniform = seededUniforms(settings.seed);
    const token = (id, logits) => [id, ...expectation(logits, id, ALTERNATIVES, unknownId)];
    const symbols = network.logits.length / network.atOnce;
    let position = this.resume(ids, from), logits = null;
    while (position < ids.length) {
      const some = ids.slice(position, position + Math.min(network.atOnce, this.stride - (position % this.stride)));
      const skipped = Math.max(0, Math.min(some.length, from - 1 - position));
      const rows = this.read(some, position, skipped);
      position += some.length;
      const tokens = [];
      for (let row = 0, place = position - some.length + skipped + 1; row < rows.length / symbols; row++, place++) {
        logits = rows.subarray(row * symbols, (row + 1) * symbols); // by which the id at `place` was to come
        if (place < ids.length) tokens.push(token(ids[place], logits));
      }
      yield tokens;
    }
    for (const end = position + length; position < end; ) {
      const id = network.draw(logits, settings, unknownId, uniform());
      yield [token(id, logits)];
      if (position + 1 < end) logits = this.read([id], position, 0);
      position++;
    }
  }

  /** The state of a layer after each of `ids`, read from the start: its h, its memory (c, or h again) and the h below it. */
  states(ids, layer) {
    const { state } = this.network;
    this.kept.length = this.known.length = 0;
    state.fill(0);
    const size = state.length / this.parts, each = this.parts / this.layers;
    const part = (place) => state.slice(place * size, (place + 1) * size);
    return ids.map((id) => {
      this.network.read([id], 0);
      const own = each * layer;
      return { hidden: part(own), memory: part(own + each - 1), below: part(Math.max(0, own - each)) };
    });
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
