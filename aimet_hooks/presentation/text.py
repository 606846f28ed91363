"""Text from outside (names of layers, reasons, messages) made safe to show on one line."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x1b\\|\x07|\x9c)"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_SEPARATORS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_REMOVED = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories that have no width or steer the terminal: control, format (bidi marks too), lone surrogates."""


@lru_cache(maxsize=16384)
def clean(text: str) -> str:
    """``text`` on one line, without escape sequences, control characters and marks that turn the writing direction."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE_SEQUENCE.sub("", text)
    spaced = (" " if character in _SEPARATORS else character for character in text)
    return "".join(character for character in spaced if unicodedata.category(character) not in _REMOVED)


def layer_name(name: str) -> str:
    """The name of a layer as it is printed; what leaves nothing to see is shown as ''."""
    return clean(name).strip() or "''"
