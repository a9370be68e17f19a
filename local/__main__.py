"""``python -m local``: the platform on this machine."""

from local.cli import main

if __name__ == "__main__":
    main()
