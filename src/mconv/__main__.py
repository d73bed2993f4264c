"""``python -m mconv``."""

from mconv.cli.entry import start

if __name__ == "__main__":
    start()
