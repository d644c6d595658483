"""Masks what looks like a secret in an argument of a command line."""

import re

from pitviper.resource import MASK, SECRET_WORDS

_NAME = rf"[\w.\-]*(?:{'|'.join(SECRET_WORDS)})[\w.\-]*"
_OPTION = re.compile(rf"-{{1,2}}{_NAME}", re.IGNORECASE)
_VALUE = re.compile(rf"((?:^|[\s?&;,{{\"']){_NAME}[\"']?\s*[=:](?!//)\s*).+", re.IGNORECASE | re.DOTALL)
_CREDENTIALS = re.compile(r"://[^\s]*@")


def is_secret_option(argument: str) -> bool:
    """Whether it is an option whose value, the next argument, is a secret."""
    return _OPTION.fullmatch(argument) is not None


def masked(argument: str) -> str:
    """The argument without credentials in URLs and without values of names that are a secret's."""
    return _VALUE.sub(rf"\1{MASK}", _CREDENTIALS.sub(f"://{MASK}@", argument))
