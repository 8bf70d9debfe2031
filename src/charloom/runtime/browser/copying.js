/** Copying: to the clipboard, or where a page may not use it, as a selection. */

/**
 * @param {string} text @param {Element} source to select where the clipboard cannot be used.
 * @returns {Promise<boolean>} whether it is on the clipboard.
 */
export async function copied(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(source); // where a page may not use the clipboard, a person still can
    return false;
  }
}

/**
 * Say on a button for a while what it did, and to screen readers.
 * @param {Element} button @param {string} message @param {(message: string) => void} say
 */
export function answerOn(button, message, say) {
  const usual = button.getAttribute("data-label") ?? button.textContent ?? "";
  button.setAttribute("data-label", usual);
  button.textContent = message;
  say(message);
  setTimeout(() => (button.textContent = usual), 1600);
}
