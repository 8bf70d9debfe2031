"""Training jobs in an account: settings and request, start, follow, attach, list."""
