"""``python -m job`` is the same command as ``paredown``."""

from job.cli import main

if __name__ == "__main__":
    main()
