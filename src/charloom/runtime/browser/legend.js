/** A legend as a filter: its pressed steps are shown in the texts, and the others step back. */

/** @param {HTMLElement} legend its buttons have the class of a step as their value. @param {(message: string) => void} say to screen readers. */
export function connectLegend(legend, say) {
  const buttons = [...legend.querySelectorAll("button")];
  const pressed = () => buttons.filter((each) => each.getAttribute("aria-pressed") === "true");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      const chosen = pressed();
      for (const each of buttons) document.body.classList.toggle(`without-${each.value}`, chosen.length > 0 && !chosen.includes(each));
      say(chosen.length ? `Shown: ${chosen.map((each) => each.textContent).join(", ")}.` : "All characters are shown.");
    });
  }
}
