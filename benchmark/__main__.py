"""`python -m benchmark`: the same as `bench`, for launchers that start modules."""

from benchmark.cli.main import main

if __name__ == "__main__":
    main()
