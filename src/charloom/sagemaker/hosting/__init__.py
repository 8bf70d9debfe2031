"""Endpoints in an account: settings, requests, the parts of one, deployment, deletion."""
