"""``python -m trm_harness`` is ``trm-harness``."""

from trm_harness.cli.main import main

if __name__ == "__main__":
    main()
