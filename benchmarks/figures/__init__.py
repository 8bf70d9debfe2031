"""The figures of the explanation pages, made from models that this script trains: `scripts/figures`.

Each module measures one thing and draws it; `__main__.py` puts them together.
"""
