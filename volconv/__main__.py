"""Lets ``python -m volconv`` do what the installed command does."""

from volconv.cli.main import main

if __name__ == "__main__":
    main()
