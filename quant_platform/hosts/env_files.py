"""Files of variables that hold secrets: changed as a whole, for their owner's eyes only."""

import os
import re
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from quant_platform.domain.errors import UnavailableError


def read_text(path: Path) -> str | None:
    """What a file holds; None where there is none.

    Raises:
        UnavailableError: it cannot be read.
    """
    try:
        return path.read_text("utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"{path} cannot be read: {error}", "correct or remove it") from None


def read_variables(path: Path) -> dict[str, str]:
    """Name → value of what a file sets; nothing where there is none.

    Raises:
        UnavailableError: it cannot be read.
    """
    return {name: value or "" for name, value in dotenv_values(stream=StringIO(read_text(path) or "")).items()}


def replace_text(path: Path, text: str) -> None:
    """Replace a file (mode 0600), so that a crash leaves the old one or the new.

    Raises:
        UnavailableError: it cannot be written; it is as it was.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UnavailableError(f"{path} cannot be written: {error.strerror}", "look at its folder") from None


def with_variable(text: str, name: str, value: str) -> str:
    """A file's text with one variable set; every other line stays as it is.

    Args:
        text: of the file.
        name: of the variable.
        value: without blanks, quotes or line ends, so that no reader needs it quoted.
    """
    line = f"{name}={value}"
    changed, count = re.subn(rf"^[ \t]*(?:export[ \t]+)?{re.escape(name)}[ \t]*=.*$", lambda _: line, text, flags=re.M)
    if count:
        return changed
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"
