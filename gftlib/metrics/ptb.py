"""Penn Treebank tokens of caption text, as caption metrics count them, without a Java machine.

Caption scores depend on the tokens. The COCO tools run Stanford's PTBTokenizer (lower case, a line a caption)
and then drop a fixed list of punctuation. `tokenize` gives the same tokens for ordinary English captions:
contractions, numbers and units, hyphens, slashes, brackets, abbreviations, quotes. Outside that (web
addresses, emoticons, currencies, "2 1/2") it may differ.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import zip_longest

# What the COCO tools drop. Their list has brackets in capitals, the tokens are in lower case: brackets stay.
DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}

# What keeps its dot: some words always, some with a capital, some before a number, a letter in mid-sentence.
_ALWAYS = (
    "etc vs al cf dr mr mrs ms prof st mt jr sr dept est jan feb mar apr jun jul aug sep sept oct nov dec "
    "co inc ltd corp mo ft ave blvd gen rev hon sgt lt col capt maj gov rep sen pres asst supt bros univ "
    "assn ind va conn ct az ky vt wm sq bldg rd tel ext calif mich minn wis colo ariz tenn okla fla ga "
    "ala neb nev dak md adj adv ph rt"
)
_CAPITAL = "Del Pa La Wash Tex Ore Miss Mass Ill Ark"
_BEFORE_NUMBER = "nos? figs? pp ca art op prop"
_SENTENCE = (
    "A About After An As At But He Her Here However If In It Last Many Now Once One Other Our She Since So "
    "Some Such That The Their Then There These They This We What When While Yet You Additionally Mr."
)


def _any(words: str) -> str:
    return "|".join(words.split())


_LETTER = r"[^\W\d_²³]"
_PART = r"[^\W_²³]+"
_NUMBER = r"(?:\d*(?:[.,:]\d+)+|\d+)"
_SPLIT = re.compile(
    r"\b(can)(not)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b|\b(gim|lem)(me)\b|(?<!\w)('t)(is|was)\b", re.I
)
_CLITIC = r"'(?:s|m|d|re|ve|ll)(?![^\W_])"
_TOKEN = re.compile(
    "|".join(
        [
            r"</?[A-Za-z][\w|]*>",
            rf"(?:[A-Za-z]\.){{2,}}(?!{_PART})|\bPh\.D\.",
            rf"\b(?:{_any(_ALWAYS)})\.(?!{_LETTER})",
            rf"\b(?-i:(?:{_any(_CAPITAL)})|(?:{_any(_CAPITAL.upper())}))\.(?!\w)",
            rf"\b(?:{_any(_BEFORE_NUMBER)})\.(?=\s*\d)",
            r"(?<![\w/-])[A-Za-z]\.(?!\w)(?! The)",
            # A word with n't or another clitic stops before it, whatever else it could be.
            rf"{_LETTER}+(?=n't\b)|n't\b|{_LETTER}+(?={_CLITIC})|{_CLITIC}|'\d\ds\b",
            rf"[dDoOlL]'{_LETTER}+",
            rf"{_PART}(?:-{_LETTER}+){{0,2}}(?:/{_PART}(?:-{_LETTER}+){{0,2}}){{1,2}}(?!\w)",
            rf"(?:{_NUMBER}|{_PART})(?:-{_PART})+",
            rf"{_LETTER}+(?:\.{_LETTER}+)+",
            r"[-+]?\d*(?:[.,:]\d+)+|[-+]?\d+(?!\w)",
            r"(?-i:[A-Z]+&[A-Z]+)\b",
            rf"{_PART}(?:_{_PART})*",
            r"@\w+",
            r"[?!]+|\.{2,}|-+|\S",
        ]
    ),
    re.IGNORECASE,
)
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": " -- ", "—": " -- ", "…": " ... "})


_STARTS = frozenset(_SENTENCE.split())


def tokenize(text: str) -> list[str]:
    """Return the lower-case tokens of a caption, punctuation dropped.

    Args:
        text: One caption; line breaks count as blanks.
    """
    words = text.translate(_PLAIN).split()
    tokens: list[str] = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        tokens += _tokens_of_word(word, _kind(following) if word.endswith(".") else "")
    return tokens


def _kind(following: str) -> str:
    """Return a stand-in for the next word: all that matters is if it is a number or starts a sentence."""
    return " 0" if following[:1].isdigit() else " The" if following in _STARTS else ""


# Captions repeat their words, and the patterns are slow.
@lru_cache(maxsize=1 << 16)
def _tokens_of_word(word: str, following: str) -> tuple[str, ...]:
    text = _SPLIT.sub(lambda match: " ".join(filter(None, match.groups())), word)
    found = _TOKEN.findall(text + following)
    tokens = (BRACKETS.get(token, token.lower()) for token in (found[:-1] if following else found))
    return tuple(token for token in tokens if token not in DROPPED and token.strip("-.") and token != '"')
