"""Amounts of memory as people write them."""

import re

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FACTORS = (
    {"": 1, "b": 1}
    | {unit.lower(): 1024**power for power, unit in enumerate(_BINARY) if power}
    | {f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)}
    | {letter: 1024**power for power, letter in enumerate("kmgtp", start=1)}
)
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of `2GiB`, `500 MB`, `1.5g` or `1048576`.

    KiB, MiB and so on, and the letters alone, are powers of 1024; kB, MB and so on are powers of 1000.

    Raises:
        ValueError: if it is no amount, with a sentence for the user.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        msg = f"{text!r} is no amount of memory; write it as 500MiB, 2GiB, 100MB or as a number of bytes"
        raise ValueError(msg)
    size = round(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
    if not 0 < size < 2**53:
        msg = f"{text!r} is {'too large' if size else 'nothing'}; an amount of memory is from 1 byte to 8 PiB"
        raise ValueError(msg)
    return size


def format_size(size: int) -> str:
    """`76.8 MiB`: as in reports."""
    value = float(size)
    for unit in _BINARY:
        if value < (1024 if unit == "B" else 1023.95) or unit == _BINARY[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
