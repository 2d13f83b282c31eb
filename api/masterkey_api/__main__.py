"""`python -m masterkey_api` is `masterkey`."""

from masterkey_api.cli import script

script()
