// Surprise: how many bits a character cost, −log2 of the probability the model gave it. Classes are in colours.css.

// A character of fewer bits than the first is of level 0, of fewer than the second of level 1, and so on.
export const SURPRISE_STEPS = [0.5, 1, 2, 4, 6, 8];

/** The level of surprise, 0 to 6, of a character that cost so many bits. */
function surpriseLevel(bits) {
  const level = SURPRISE_STEPS.findIndex((step) => bits < step);
  return level < 0 ? SURPRISE_STEPS.length : level;
}

/** The class that colours and underlines a character that cost so many bits. */
export function surpriseClass(bits) {
  return `surprise-${surpriseLevel(bits)}`;
}

/** Bits in words: "0.31 bits". */
export function bitsInWords(bits) {
  return `${bits.toFixed(bits < 10 ? 2 : 1)} bits`;
}

/** A probability in words: "81 %", "0.4 %", "under 0.1 %". */
export function shareInWords(probability) {
  const percent = 100 * probability;
  if (percent < 0.1) return "under 0.1 %";
  return percent < 9.95 ? `${percent.toFixed(1)} %` : `${Math.round(percent)} %`;
}

const INVISIBLE = { " ": "space", "\n": "line end", "\t": "tab", "\u00a0": "hard space", "\r": "carriage return" };

/** A character by a name that can be seen and heard: its own shape, or "space". */
export function characterInWords(text) {
  return INVISIBLE[text] ?? text;
}

/** What explains the colours: a fragment of one marked sample a level, to put into a legend. */
export function surpriseLegend(document) {
  const legend = document.createDocumentFragment();
  for (let level = 0; level <= SURPRISE_STEPS.length; level++) {
    const item = document.createElement("li");
    const sample = document.createElement("span");
    sample.className = `surprise-${level}`;
    const above = SURPRISE_STEPS[level - 1];
    sample.textContent = level < SURPRISE_STEPS.length ? `under ${SURPRISE_STEPS[level]}` : `${above} or more`;
    item.append(sample);
    legend.append(item);
  }
  return legend;
}
