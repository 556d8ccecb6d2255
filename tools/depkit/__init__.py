"""Fetches what Amalgam takes from outside. Only the standard library and apt's own programs."""


class DepError(Exception):
    """A whole sentence for the person: what failed, why, what to do."""
