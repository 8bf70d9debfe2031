// From logits to a character, in one documented order: temperature → top-k → top-p → min-p → draw.
// Legend: V vocabulary. Weights (V,) say how likely each character is, and need not sum to one.

/** A generator of numbers in [0, 1): sfc32 (Chris Doty-Humphrey's PractRand), 53 bits from two of its words.
 *  It is not the generator of charloom in Python: a seed gives the same text in the same file. */
export function seededUniforms(seed) {
  let a = seed >>> 0, b = Math.floor(seed / 2 ** 32) >>> 0, c = 0x9e3779b9, counter = 1;
  const word = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 16; round++) word(); // small seeds must not begin alike
  return () => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53;
}

/** The id that follows: logits (V,), {temperature, top_k, top_p, min_p}, the id never written or null, a number in [0, 1). */
export function nextId(logits, settings, unknownId, uniform) {
  const scores = Float64Array.from(logits);
  if (unknownId !== null) scores[unknownId] = -Infinity;
  const likeliest = indexOfLargest(scores);
  checkNumber(scores[likeliest]);
  if (settings.temperature === 0) return likeliest;
  const largest = scores[likeliest];
  // Shifted first, so that a temperature near zero takes the others to −∞ and never the likeliest to +∞.
  let weights = scores.map((score) => Math.exp((score - largest) / settings.temperature));
  if (settings.top_k > 0) weights = topK(weights, settings.top_k);
  if (settings.top_p < 1) weights = topP(weights, settings.top_p);
  if (settings.min_p > 0) weights = minP(weights, settings.min_p);
  return drawn(weights, uniform);
}

/** Keep the k likeliest characters (of equals, the lowest ids). */
export function topK(weights, k) {
  if (k >= weights.length) return weights;
  const least = weights.slice().sort()[weights.length - k];
  let room = k - weights.reduce((count, weight) => count + (weight > least), 0);
  return weights.map((weight) => (weight > least || (weight === least && room-- > 0) ? weight : 0));
}

/** Keep the fewest likeliest characters whose share of the whole reaches p. */
export function topP(weights, p) {
  const through = weights.slice().sort().reverse();
  const descending = through.slice();
  for (let rank = 1; rank < through.length; rank++) through[rank] += through[rank - 1];
  const enough = p * through[through.length - 1];
  return topK(weights, descending.reduce((count, weight, rank) => count + (through[rank] - weight < enough), 0));
}

/** Keep characters at least `share` times as likely as the likeliest one. */
export function minP(weights, share) {
  const least = share * weights[indexOfLargest(weights)];
  return weights.map((weight) => (weight >= least ? weight : 0));
}

/** Draw an id by inverting the cumulative distribution at a number in [0, 1). */
export function drawn(weights, uniform) {
  let total = 0;
  const cumulative = weights.map((weight) => (total += weight));
  return cumulative.reduce((count, sum) => count + (sum <= uniform * total), 0);
}

/** What the model itself thinks comes next, whatever the settings: bits(id), and the `count` likeliest [id, probability]. */
export function expectations(logits, count, unknownId) {
  const largest = logits[indexOfLargest(logits)];
  checkNumber(largest);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const whole = largest + Math.log(sum);
  const best = [];
  for (let id = 0; id < logits.length; id++) {
    if (id === unknownId || (best.length === count && logits[id] <= logits[best[count - 1]])) continue;
    const place = best.findIndex((other) => logits[other] < logits[id]);
    best.splice(place < 0 ? best.length : place, 0, id);
    if (best.length > count) best.pop();
  }
  return {
    bits: (id) => (whole - logits[id]) / Math.LN2,
    likeliest: best.map((id) => [id, Math.exp(logits[id] - whole)]),
  };
}

/** The place of the largest number, the first of equals; of the first that is not a number, where there is one. */
function indexOfLargest(numbers) {
  let found = 0;
  for (let place = 1; place < numbers.length; place++)
    if (numbers[place] > numbers[found] || Number.isNaN(numbers[place])) found = place;
  return found;
}

function checkNumber(logit) {
  if (!Number.isFinite(logit)) throw new Error("the model gives no number for this text: its weights are damaged");
}
