// numpy's random numbers: a seed gives those of `numpy.random.default_rng(seed).random()`, so that it gives the same
// text here as in Python. SeedSequence spreads the seed, PCG64 makes 64 bits at a time (O'Neill, 2014).

const BITS_64 = (1n << 64n) - 1n;
const BITS_128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** A function that gives the next number in [0, 1), for a whole seed from 0 to 2^64 - 1. */
export function seededUniforms(seed) {
  const [stateHigh, stateLow, stepHigh, stepLow] = spreadSeed(BigInt(seed));
  const step = (((stepHigh << 64n) | stepLow) << 1n | 1n) & BITS_128;
  const next = (state) => (state * MULTIPLIER + step) & BITS_128;
  let state = next(((stateHigh << 64n) | stateLow) + step);
  return () => {
    state = next(state);
    const mixed = (state >> 64n) ^ (state & BITS_64), turn = state >> 122n;
    const bits = (mixed >> turn) | (mixed << (64n - turn));
    return Number((bits & BITS_64) >> 11n) / 2 ** 53;
  };
}

/** SeedSequence(seed).generate_state(4, uint64), in words of 32 bits. */
function spreadSeed(seed) {
  let constant = 0x43b0d7e5;
  const times = Math.imul;
  const scramble = (value, factor) => {
    value ^= constant;
    constant = times(constant, factor);
    value = times(value, constant);
    return value ^ (value >>> 16);
  };
  const pool = [seed & 0xffffffffn, seed >> 32n, 0n, 0n].map((word) => scramble(Number(word), 0x931e8875));
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const value = (times(pool[to], 0xca01f9dd) - times(scramble(pool[from], 0x931e8875), 0x4973f715)) | 0;
      pool[to] = value ^ (value >>> 16);
    }
  constant = 0x8b51f9dd;
  const words = [...pool, ...pool].map((word) => BigInt(scramble(word, 0x58f38ded) >>> 0));
  return [0, 2, 4, 6].map((place) => words[place] | (words[place + 1] << 32n));
}
