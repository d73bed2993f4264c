"""``python -m mconv``."""

from mconv.cli.main import main

if __name__ == "__main__":
    main()
