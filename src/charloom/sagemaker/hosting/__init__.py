"""Endpoints in an account: settings, parts, deployment, waiting, list, deletion."""
