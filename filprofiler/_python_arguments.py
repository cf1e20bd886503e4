"""Python's own command line (Modules/getopt.c, Python/initconfig.c), as far as to find the program in it."""

from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["file", "module", "command", "stdin"]
    """`file` is a script, or a directory or archive with a `__main__` module."""

_WITHOUT_VALUE = frozenset("bBdEhiIOPqRsStuvVxJ?")
_WITH_VALUE = frozenset("WX")
_LONG_WITH_VALUE = frozenset({"--check-hash-based-pycs"})
_LONG_WITHOUT_VALUE = frozenset({"--help", "--version", "--help-env", "--help-xoptions", "--help-all"})


class Program:
    """What a command line of Python runs."""

    # Not a dataclass: that module alone takes as long to load as all of ours.
    def __init__(self, kind: "Kind", name: str, options: tuple[str, ...]) -> None:
        self.kind = kind
        self.name = name
        """The path, the name or the text; `-` for standard input."""
        self.options = options
        """What stands before it: options for Python."""


class UnknownOptionError(ValueError):
    """An option that Python does not have, or one without its value; the text says which."""


def find_program(arguments: Sequence[str]) -> Program | None:
    """The program in the arguments that follow Python's own name; None if there is none, as for the prompt.

    Raises:
        UnknownOptionError: if Python would refuse them.
    """
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        options = tuple(arguments[:index])
        if argument == "-":
            return Program("stdin", argument, options)
        if not argument.startswith("-"):
            return Program("file", argument, options)
        if argument == "--":
            rest = arguments[index + 1 :]
            return Program("file", rest[0], (*options, "--")) if rest else None
        if argument.startswith("--"):
            if argument not in _LONG_WITHOUT_VALUE | _LONG_WITH_VALUE:
                raise UnknownOptionError(f"Python has no option {argument}")
            index += 2 if argument in _LONG_WITH_VALUE else 1
            continue
        for position, letter in enumerate(argument[1:], start=2):
            if letter in _WITHOUT_VALUE:
                continue
            # The value is what follows in the same argument, else the next one.
            value = argument[position:] or _next(arguments, index, letter)
            if letter in "cm":
                return Program("module" if letter == "m" else "command", value, options)
            if letter not in _WITH_VALUE:
                raise UnknownOptionError(f"Python has no option -{letter}")
            index += not argument[position:]
            break
        index += 1
    return None


def _next(arguments: Sequence[str], index: int, letter: str) -> str:
    if letter not in _WITH_VALUE and letter not in "cm":
        return ""
    if index + 1 == len(arguments):
        raise UnknownOptionError(f"the option -{letter} needs a value")
    return arguments[index + 1]
