"""Text to token ids and back: the one place that asks a tokenizer, and holds it to what the subject can read.

A tokenizer may put an end-of-text token behind every text, drop characters that it has no token for, or have tokens
that the model does not embed. Each would make an instrument measure something other than the prompt that was given.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ._base import ToolError

FILLER = 0  # any token that the model embeds: under causal attention nothing before it sees it
SPACES = "▁Ġ"  # how SentencePiece and byte-level tokenizers write a space
WRITTEN_CLOSE = tuple(".,;:!?)]}%…'’”»")  # what begins with one of these follows a word without a space


@dataclass(frozen=True)
class Tokens:
    """Prompts as token ids, padded on the right: under causal attention padding changes nothing before it."""

    ids: Int[Tensor, "batch pos"]
    lengths: tuple[int, ...]

    @property
    def last(self) -> Int[Tensor, " batch"]:
        """Index of each prompt's last token."""
        return torch.tensor(self.lengths, device=self.ids.device) - 1

    def take(self, rows: slice) -> "Tokens":
        """Some of these prompts, padded as they were."""
        return Tokens(self.ids[rows], self.lengths[rows])


class Split(NamedTuple):
    """A text as its tokens, and which characters each of them stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Reader:
    """A subject's tokenizer."""

    def __init__(self, tokenizer: Any, n_ctx: int, n_embedded: int, device: torch.device) -> None:
        """
        Args:
            n_ctx: Tokens that the model can read at once (count).
            n_embedded: Tokens that the model has an embedding for (count).
        """
        self._tokenizer, self._n_ctx, self._n_embedded, self._device = tokenizer, n_ctx, n_embedded, device

    def split(self, text: str) -> Split:
        """A text's tokens, with those that the tokenizer puts in front and without those that it puts behind.

        Raises:
            ToolError: a string that is no text.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            mend = "Write it in Unicode without surrogates."
            raise ToolError(f"{text!r} holds {text[error.start]!r}, which is no character.", mend=mend) from error
        found = self._tokenizer(text, return_offsets_mapping=True)
        end = len(found["input_ids"]) - self._n_behind
        return Split(found["input_ids"][:end], found["offset_mapping"][:end])

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a prompt that the subject can read.

        Raises:
            ToolError: an empty prompt, a part that has no token, or more tokens than the subject can read.
        """
        ids, offsets = self.split(prompt)
        if not ids:
            raise ToolError("A prompt is empty.", mend="Pass at least one token.")
        if len(ids) > self._n_ctx:
            raise ToolError(f"A prompt has {len(ids)} tokens.", mend=f"At most {self._n_ctx} fit this model.")
        self._refuse_unknown(prompt, ids, offsets)
        return ids

    def beginning(self, text: str) -> str:
        """As much of a text as the subject can read at once."""
        offsets = self.split(text).offsets
        return text if len(offsets) <= self._n_ctx else text[: offsets[self._n_ctx - 1][0]].rstrip()

    def tokenise(self, prompts: Sequence[str]) -> Tokens:
        """Prompts as one padded batch.

        Raises:
            ToolError: no prompt, or one that the subject cannot read.
        """
        rows = [self.encode(prompt) for prompt in prompts]
        if not rows:
            raise ToolError("No prompt was given.", mend="Pass at least one.")
        longest = max(map(len, rows))
        ids = torch.tensor([row + [FILLER] * (longest - len(row)) for row in rows], device=self._device)
        return Tokens(ids=ids, lengths=tuple(map(len, rows)))

    def token_strings(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token as text, with the spaces it stands for."""
        pieces = self._tokenizer.convert_ids_to_tokens(list(ids))
        return tuple(self._text(i, piece) for i, piece in zip(ids, pieces, strict=True))

    def answer_token(self, prompt: str, answer: str) -> int:
        """The one token that writes `answer` after `prompt`: after a space, but for what is written close.

        Raises:
            ToolError: the tokenizer needs several tokens for it, or the vocabulary lacks it.
        """
        before = self.encode(prompt)
        if not answer.strip():
            raise ToolError(f"The answer after {prompt!r} is empty.", mend="Ask for a word.")
        pieces: list[int] = []
        for text in _written_after(prompt, answer):
            after, offsets = self.split(text)
            if after[: len(before)] != before:
                continue
            if len(after) == len(before) + 1:
                self._refuse_unknown(text, after, offsets)
                return after[-1]
            pieces = pieces or after[len(before) :]
        if prompt[-1:].isspace() and not pieces:
            raise ToolError(
                f"{prompt!r} ends in a space, and the tokenizer writes that space and {answer!r} as one token.",
                mend="Drop the space at the prompt's end.",
            )
        if not pieces:
            raise ToolError(
                f"The model's vocabulary lacks {answer!r} after {prompt!r}.", mend="Ask for a word that it knows."
            )
        unknown, _ = self._unknown
        if unknown in pieces:
            raise ToolError(f"The model's vocabulary lacks {answer!r}.", mend="Ask for a word that it knows.")
        parts = ", ".join(map(repr, self.token_strings(pieces)))
        raise ToolError(
            f"The tokenizer splits {answer!r} into {len(pieces)} tokens: {parts}.",
            mend="Ask for a single token, for example the first of these, or put the others into the prompt.",
        )

    def is_text(self, tokens: Tokens) -> Bool[Tensor, "batch pos"]:
        """Which tokens are neither padding nor special."""
        ids = tokens.ids
        places = torch.arange(ids.shape[1], device=ids.device)
        special = torch.tensor(sorted(self.special_ids), dtype=ids.dtype, device=ids.device)
        return (places[None] <= tokens.last[:, None]) & ~torch.isin(ids, special)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Tokens that stand for no text, such as those that begin and end one."""
        return frozenset(self._tokenizer.all_special_ids)

    @cached_property
    def _n_behind(self) -> int:
        """Special tokens that the tokenizer puts behind every text (count)."""
        for i in range(len(self._tokenizer)):
            text = self._tokenizer.decode([i])
            mask = self._tokenizer(text, return_special_tokens_mask=True)["special_tokens_mask"]
            if 0 in mask:
                return mask[::-1].index(0)
        raise AssertionError("no token of the tokenizer writes any text")

    @cached_property
    def _unknown(self) -> tuple[int | None, str | None]:
        """The token that stands for what the vocabulary lacks, as number and text."""
        # Asked of the tokenizer's core: some wrappers do not say which token stands for the unknown.
        core = self._tokenizer.backend_tokenizer.model
        if hasattr(core, "unk_token"):
            name = core.unk_token
            return (None, None) if name is None else (self._tokenizer.convert_tokens_to_ids(name), name)
        number = json.loads(self._tokenizer.backend_tokenizer.to_str())["model"].get("unk_id")  # Unigram
        return number, None if number is None else self._tokenizer.convert_ids_to_tokens(number)

    def _refuse_unknown(self, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> None:
        unknown, name = self._unknown
        lacking = [text[a:b] for i, (a, b) in zip(ids, offsets, strict=True) if i == unknown and text[a:b] != name]
        lacking = lacking or self._dropped(text, offsets)
        if lacking:
            raise ToolError(
                f"The model's vocabulary lacks {', '.join(map(repr, lacking))}.",
                mend="Use words the model knows; `vesalius models` tells what a reference model was trained on.",
            )
        beyond = [i for i in ids if i >= self._n_embedded]
        if beyond:
            raise ToolError(
                f"The tokenizer has the token {self.token_strings(beyond[:1])[0]!r} as number {beyond[0]}, but the "
                f"model embeds {self._n_embedded}.",
                mend="Leave it out, or load the tokenizer that belongs to the model.",
            )

    def _dropped(self, text: str, offsets: list[tuple[int, int]]) -> list[str]:
        """Words with a part that no token stands for; behind that part a tokenizer's offsets are wrong."""
        composed = unicodedata.normalize("NFC", text)  # a tokenizer may compose letters; it says of which it made one
        if composed != text:
            text, offsets = composed, self.split(composed).offsets
        seen = {place for a, b in offsets for place in range(a, b)}
        # Marks, controls and spaces may vanish in normalisation without loss.
        gaps = {i for i, char in enumerate(text) if i not in seen and unicodedata.category(char)[0] not in "MCZ"}
        return [word.group() for word in re.finditer(r"\S+", text) if gaps & {*range(*word.span())}]

    def _text(self, i: int, piece: str | None) -> str:
        if piece is None:  # models pad their vocabulary beyond the tokenizer's
            return f"<no token {i}>"
        text = self._tokenizer.decode([i], clean_up_tokenization_spaces=False)
        # Decoding one token alone drops a space that SentencePiece writes in front.
        spaces = len(piece) - len(piece.lstrip(SPACES))
        return " " * spaces + text.lstrip(" ") if spaces else text


def _written_after(prompt: str, answer: str) -> tuple[str, str]:
    """The prompt with the answer behind it, close and after a space, the usual one first."""
    gap = "" if not prompt or prompt[-1].isspace() else " "
    close, apart = f"{prompt}{answer}", f"{prompt}{gap}{answer.strip()}"
    return (close, apart) if answer[0].isspace() or answer.startswith(WRITTEN_CLOSE) else (apart, close)
