/** The steps of a unit's value, from orange to blue: their classes are in drawings.css. */

/** @param {number} value from −1 to 1. @returns {number} the step of the diverging ramp, −4 to 4. */
export function activationStep(value) {
  const size = Math.min(1, Math.abs(value));
  return Math.sign(value) * [0.1, 0.3, 0.55, 0.8].filter((least) => size >= least).length + 0;
}

/** @param {number} value */
export function activationClass(value) {
  const step = activationStep(value);
  return step < 0 ? `negative-${-step}` : `positive-${step}`;
}
