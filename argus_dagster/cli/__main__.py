"""``python -m argus_dagster.cli``: the command where no console script is on the path."""

from argus_dagster.cli.app import main

if __name__ == "__main__":
    main()
