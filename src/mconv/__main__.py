"""``python -m mconv``."""

from mconv.cli.process import start

if __name__ == "__main__":
    start()
