"""The command line as ``python -m jepa_lightning``."""

from jepa_lightning.cli.main import main

if __name__ == "__main__":
    main()
