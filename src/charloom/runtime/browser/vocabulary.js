// Between text and ids. {kind: "characters", characters: "…"}: position + 1 = id, 0 is the unknown character.
// {kind: "bytes"}: ids are the bytes of UTF-8, and nothing is unknown.

const UNKNOWN_TEXT = "\ufffd";

const CLEANING = {
  lowercase: (text) => text.toLowerCase(),
  nfc: (text) => text.normalize("NFC"),
  "join-lines": (text) => text.replaceAll("\n", " "),
};

/** A prompt as the model's own text was cleaned, with one kind of line end. */
export function cleanedPrompt(text, steps) {
  return steps.reduce((cleaned, step) => CLEANING[step](cleaned), text.replace(/\r\n?/g, "\n"));
}

/** What ids mean. */
export class Vocabulary {
  constructor({ kind, characters }) {
    this.kind = kind;
    this.unknownId = kind === "bytes" ? null : 0;
    this.characters = kind === "bytes" ? [] : [UNKNOWN_TEXT, ...characters];
    this.ids = new Map(this.characters.map((character, id) => [character, id]));
    if (!characters?.includes(UNKNOWN_TEXT)) this.ids.delete(UNKNOWN_TEXT);
  }

  /** The ids of a text. */
  encode(text) {
    if (this.kind === "bytes") return [...new TextEncoder().encode(text)];
    return Array.from(text, (character) => this.ids.get(character) ?? this.unknownId);
  }

  /** The distinct characters of a text that have no id. */
  unknownCharacters(text) {
    return this.kind === "bytes" ? [] : [...new Set(text)].filter((character) => !this.ids.has(character));
  }

  /** A function that gives the text each id completes; empty while a character is still partial. */
  decoder() {
    if (this.kind !== "bytes") return (id) => this.characters[id];
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return (id) => decoder.decode(Uint8Array.of(id), { stream: true });
  }

  /** An id by itself, to be shown. */
  label(id) {
    if (this.kind !== "bytes") return this.characters[id];
    return id < 0x80 ? String.fromCharCode(id) : `\\x${id.toString(16).toUpperCase()}`;
  }
}
