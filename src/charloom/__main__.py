"""`python -m charloom` is the same as `charloom`."""

from charloom.cli.main import main

if __name__ == "__main__":
    main()
