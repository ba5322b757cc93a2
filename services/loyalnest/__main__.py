"""`python -m loyalnest` is the `loyalnest` command."""

from loyalnest.cli.main import main

if __name__ == "__main__":
    main()
