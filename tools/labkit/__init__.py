"""The lab: runs an emulated cluster and talks to it. Only the standard library."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

EXIT_MET = 0
EXIT_UNMET = 1
EXIT_USAGE = 2
EXIT_SETUP = 3
EXIT_INTERRUPTED = 130


class SetupError(Exception):
    """The lab could not be set up: a whole sentence with the remedy."""


class UsageError(Exception):
    """The command line asks for something that does not exist: a whole sentence."""
