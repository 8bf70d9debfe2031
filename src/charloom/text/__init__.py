"""Where text comes from and how it becomes numbers. No torch here."""
