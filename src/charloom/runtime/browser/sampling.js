// From logits to a character, in one documented order: temperature → top-k → top-p → min-p → draw; to the bit as
// charloom's kernel draws. Legend: V vocabulary. Weights (V,) say how likely each character is, and need not sum to one.

/** What is said of logits that are not numbers. */
export const NO_NUMBER = "the model gives no number for this text: its weights are damaged";

const LOG2E_DOUBLE = 1.4426950408889634;
// 2^f ≈ Σ c·f^k for -½ ≤ f ≤ ½, highest power first; Math.exp is not the same in every browser.
const EXP2_DOUBLE = [
  1.3691488853904124e-12, 2.5678435993488196e-11, 4.44553827187081e-10, 7.054911620801121e-9, 1.0178086009239696e-7,
  1.3215486790144305e-6, 1.5252733804059838e-5, 0.00015403530393381606, 0.0013333558146428441, 0.009618129107628477,
  0.055504108664821576, 0.2402265069591007, 0.6931471805599453, 1,
];
const POWERS = new Float64Array(BigUint64Array.from({ length: 1001 }, (_, n) => BigInt(n + 23) << 52n).buffer); // 2^(n - 1000)

/** e^((logit - largest) / temperature) for every logit, the likeliest 1; below 2^-1000 it is 0. */
function likelihoods(logits, largest, temperature) {
  const weights = new Float64Array(logits.length);
  for (let id = 0; id < weights.length; id++) {
    const y = ((logits[id] - largest) / temperature) * LOG2E_DOUBLE;
    if (!(y > -1000)) continue;
    const whole = y + 6755399441055744 - 6755399441055744; // rounded, ties to even
    const f = y - whole;
    let p = EXP2_DOUBLE[0];
    for (let k = 1; k < EXP2_DOUBLE.length; k++) p = p * f + EXP2_DOUBLE[k];
    weights[id] = p * POWERS[whole + 1000];
  }
  return weights;
}

function totalOf(weights) {
  let total = 0;
  for (let id = 0; id < weights.length; id++) total += weights[id];
  return total;
}

/** The id that follows: logits (V,), {temperature, top_k, top_p, min_p}, the id never written or null, a number in [0, 1). */
export function nextId(logits, settings, unknownId, uniform) {
  const likeliest = indexOfLargest(logits, unknownId);
  if (settings.temperature === 0) return likeliest;
  const weights = likelihoods(logits, logits[likeliest], settings.temperature);
  if (unknownId !== null) weights[unknownId] = 0;
  if (settings.top_k > 0 && settings.top_k < weights.length) keepLikeliest(weights, settings.top_k, 2);
  if (settings.top_p < 1) keepLikeliest(weights, weights.length, settings.top_p);
  for (let id = 0; id < weights.length; id++) if (!(weights[id] >= settings.min_p)) weights[id] = 0; // the likeliest has 1
  return drawn(weights, uniform, likeliest);
}

/** Keep the likeliest characters: at most `most`, and no more than reach a share of the whole. Of equals the lowest ids. */
function keepLikeliest(weights, most, share) {
  const ranking = weights.slice().sort();
  const enough = share * totalOf(weights);
  let kept = 0, reached = 0, least = 0;
  while (kept < most && kept < ranking.length && (kept === 0 || reached < enough)) {
    least = ranking[ranking.length - ++kept];
    reached += least;
  }
  for (const weight of weights) if (weight > least) kept--;
  for (let id = 0; id < weights.length; id++)
    if (weights[id] < least || (weights[id] === least && kept-- <= 0)) weights[id] = 0;
}

/** Draw an id by inverting the cumulative distribution at a number in [0, 1). */
function drawn(weights, uniform, likeliest) {
  const target = uniform * totalOf(weights);
  let reached = 0, last = likeliest;
  for (let id = 0; id < weights.length; id++) {
    reached += weights[id];
    if (reached > target) return id;
    if (weights[id] > 0) last = id;
  }
  return last; // rounding has put the target at the very end
}

/** What the model itself thinks of an id, whatever the settings: an array of its bits (−log2 of its probability), then the
 *  `count` likeliest ids, each followed by its probability; -1 and 0 where there are no more. */
export function expectation(logits, id, count, unknownId) {
  const largest = logits[indexOfLargest(logits, null)];
  const weights = likelihoods(logits, largest, 1);
  const total = totalOf(weights);
  const best = new Int32Array(count).fill(-1);
  let least = -Infinity; // logit of the last of them
  for (let other = 0; other < logits.length; other++) {
    if (other === unknownId || !(logits[other] > least)) continue;
    let place = count - 1;
    for (; place > 0 && !(logits[best[place - 1]] >= logits[other]); place--) best[place] = best[place - 1];
    best[place] = other;
    least = best[count - 1] < 0 ? least : logits[best[count - 1]];
  }
  const found = [(Math.log(total) - (logits[id] - largest)) / Math.LN2];
  for (const other of best) found.push(other, other < 0 ? 0 : weights[other] / total);
  return found;
}

/** The place of the largest logit, the first of equals, beside that of the unknown character. All must be finite. */
function indexOfLargest(logits, unknownId) {
  let found = -1;
  for (let id = 0; id < logits.length; id++) {
    if (!Number.isFinite(logits[id])) throw new Error(NO_NUMBER);
    if (id !== unknownId && (found < 0 || logits[id] > logits[found])) found = id;
  }
  return found;
}
