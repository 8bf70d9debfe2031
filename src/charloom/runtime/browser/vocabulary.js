/** Between text and ids. Of characters, position + 1 = id, and 0 is the unknown character; of bytes, nothing is unknown. */

const UNKNOWN_TEXT = "\ufffd";

/** @type {Record<string, (text: string) => string>} */
const CLEANING = {
  lowercase: (text) => text.toLowerCase(),
  nfc: (text) => text.normalize("NFC"),
  "mask-numbers": (text) => text.replace(/[^ \t\n]+/g, (word) => (/[0-9]/.test(word) ? "0" : word)),
  "join-lines": (text) => text.replaceAll("\n", " "),
};

/** A prompt as the model's own text was cleaned, with one kind of line end. @param {string} text @param {string[]} steps */
export function cleanedPrompt(text, steps) {
  return steps.reduce((cleaned, step) => CLEANING[step](cleaned), text.replace(/\r\n?/g, "\n"));
}

/** What ids mean. */
export class Vocabulary {
  /** @param {{kind: string, characters: string}} known bytes are the ids of UTF-8. */
  constructor({ kind, characters }) {
    this.kind = kind;
    this.unknownId = kind === "bytes" ? null : 0;
    this.characters = kind === "bytes" ? [] : [UNKNOWN_TEXT, ...characters];
    this.ids = new Map(this.characters.map((character, id) => [character, id]));
    if (!characters.includes(UNKNOWN_TEXT)) this.ids.delete(UNKNOWN_TEXT);
  }

  /** The ids of a text. @param {string} text @returns {number[]} */
  encode(text) {
    if (this.kind === "bytes") return [...new TextEncoder().encode(text)];
    return Array.from(text, (character) => this.ids.get(character) ?? 0);
  }

  /** The distinct characters of a text that have no id. @param {string} text @returns {string[]} */
  unknownCharacters(text) {
    return this.kind === "bytes" ? [] : [...new Set(text)].filter((character) => !this.ids.has(character));
  }

  /** A function that gives the text each id completes; empty while a character is partial. @returns {(id: number) => string} */
  decoder() {
    if (this.kind !== "bytes") return (id) => this.characters[id];
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return (id) => decoder.decode(Uint8Array.of(id), { stream: true });
  }

  /** The character of one id; empty for a byte that is not a character by itself. @param {number} id */
  text(id) {
    if (this.kind !== "bytes") return this.characters[id];
    return id < 0x80 ? String.fromCharCode(id) : "";
  }
}
