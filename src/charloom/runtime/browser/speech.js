// What a screen reader says of a text that is being written: whole sentences, never single characters.

const SENTENCE = /^[^]*?[.!?…。！？]["'”’)]*\s+|^[^]*\n/;
const LONGEST_SENTENCE = 240; // characters without an end of a sentence

/** Collects text and says it in `region` (aria-live="polite"), a sentence at a time. */
export class Speech {
  constructor(region) {
    this.region = region;
    this.waiting = "";
  }

  /** Forget what was not said. */
  clear() {
    this.waiting = "";
    this.region.replaceChildren();
  }

  /** More text was written. */
  add(text) {
    this.waiting += text;
    let sentence;
    while ((sentence = SENTENCE.exec(this.waiting)?.[0] ?? (this.waiting.length > LONGEST_SENTENCE ? this.waiting : null))) {
      this.say(sentence);
      this.waiting = this.waiting.slice(sentence.length);
    }
  }

  /** The text has ended: say what is left, then `closing`. */
  end(closing) {
    this.say(this.waiting);
    this.waiting = "";
    this.say(closing);
  }

  say(text) {
    if (!text.trim()) return;
    const line = document.createElement("p");
    line.textContent = text.trim();
    this.region.append(line);
    while (this.region.childElementCount > 3) this.region.firstElementChild.remove();
  }
}
