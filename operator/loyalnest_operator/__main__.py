"""`python -m loyalnest_operator`."""

from loyalnest_operator.cli import main

if __name__ == "__main__":
    main()
