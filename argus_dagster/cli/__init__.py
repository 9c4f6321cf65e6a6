"""The command line `argus`. Every command loads what it needs when it runs, so `argus --help` is quick."""
