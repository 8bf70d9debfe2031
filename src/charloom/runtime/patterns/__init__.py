"""Regular expressions that limit what a model writes: parsed, made an automaton, and applied to ids."""
