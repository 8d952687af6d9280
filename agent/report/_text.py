"""Untrusted text made harmless for a reader: nothing invisible, nothing that reorders, nothing that is markup.

A subject's text and a user's question are data. Terminals obey control characters, browsers and terminals reorder text
at bidirectional controls (Boucher and Anderson 2021, "Trojan Source"), and Markdown has links, mentions and images.
"""

import re
import unicodedata

# Shown by their code point: controls, separators of lines, lone surrogates, zero-width and bidirectional marks.
# Joiners (U+200C, U+200D) stay: scripts and emoji need them.
_HIDDEN = {"Cc", "Zl", "Zp", "Cs", "Co", "Cn"}
MOST_KEPT = 0x3000  # code points: hostile text may hold every one there is
LONGEST_SHOWN = 400  # characters of one untrusted text
_JOINERS = "\u200c\u200d"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_BLOCK_START = re.compile(r"^(\s*\d*)([-+=:.)])")
_AUTOMATIC_LINK = re.compile(r"@|://|www(?=\.)")


def visible(text: str, keep_lines: bool = False) -> str:
    """Text in which every character can be seen; line breaks become ⏎ unless they are kept."""
    if text.isascii() and text.isprintable():  # as most is, and looking a character up takes long
        return text
    return text.translate(_LINES_KEPT if keep_lines else _IN_ONE_LINE)


class _Shown(dict[int, str]):
    """What each code point is shown as, found out once for those of living scripts."""

    def __missing__(self, code: int) -> str:
        shown = _shown(chr(code))
        if code < MOST_KEPT:
            self[code] = shown
        return shown


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in _HIDDEN or (category == "Cf" and character not in _JOINERS):
        return f"\\u{ord(character):04x}"
    return character


_LINES_KEPT = _Shown({ord("\n"): "\n", ord("\t"): " "})
_IN_ONE_LINE = _Shown({ord("\n"): "⏎", ord("\t"): " "})


def cut(text: str) -> str:
    """Visible text that leaves room for the rest of a page; the whole is in report.json."""
    shown = visible(text)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}… ({len(text)} characters)"


def markdown_text(text: str) -> str:
    """Text as Markdown that shows it as it is: no markup, and no mention or address that a site would link."""
    # A word joiner is invisible, and no site reads a mention or an address across it.
    return _MARKDOWN.sub(r"\\\1", _AUTOMATIC_LINK.sub(lambda found: found[0] + "\u2060", visible(text)))


def markdown_line(markdown: str) -> str:
    """Inline Markdown put at the start of a line, where it begins no list, heading or table."""
    return _BLOCK_START.sub(r"\1\\\2", markdown)


def markdown_code(text: str) -> str:
    """Text as a Markdown code span, whatever backticks it holds."""
    shown = cut(text)
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    padded = f" {shown} " if "`" in shown[:1] + shown[-1:] or not shown.strip() else shown
    return f"{fence}{padded}{fence}"


def markdown_block(text: str) -> str:
    """Text as a fenced Markdown block, whatever fences it holds."""
    shown = visible(text, keep_lines=True)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"
