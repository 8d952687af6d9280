"""The values of sites at the tokens of texts, streamed: a buffer of a stated size, never the whole set.

A buffer of `capacity` tokens is filled from the subject's forward passes. Where all tokens fit, that is all. Where they
do not, it is eight blocks; each time that a token has been drawn `REUSE` times on average while it stayed, the oldest
block is overwritten by the next tokens of the texts, which are shuffled anew each time round. Beside the buffer no more
is held than one forward pass: at most `PASS_TEXTS` texts, and at most `LARGEST_PASS` pairs of tokens. What is in the
buffer follows from the places where its blocks begin, so a checkpoint keeps those and no activation.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._base import ToolError
from ._dictionary_tensors import require_room
from ._reader import Tokens
from ._subject import Subject

PASS_TEXTS = 64  # texts that are tokenised and padded together
LARGEST_PASS = 2**19  # pairs of tokens per forward pass: laying out larger patterns takes longer than computing them
BLOCKS = 8  # of a buffer that does not hold everything
REUSE = 4  # draws of a token, on average, while it stays in the buffer


class Place(NamedTuple):
    """Where a reader stands: how often it has been round, the first text of its group, and tokens into the group."""

    epoch: int = 0
    text: int = 0
    token: int = 0


def passes(subject: Subject, texts: Sequence[str]) -> Iterator[Tokens]:
    """Texts as batches that one forward pass takes."""
    for start in range(0, len(texts), PASS_TEXTS):
        tokens = subject.tokenise(texts[start : start + PASS_TEXTS])
        n_rows, n_pos = tokens.ids.shape
        size = max(1, LARGEST_PASS // n_pos**2)
        for first in range(0, n_rows, size):
            yield tokens.take(slice(first, first + size))


class TextStream:
    """What some sites hold at every token of some texts."""

    def __init__(self, subject: Subject, sites: Sequence[str], texts: Sequence[str], seed: int = 0) -> None:
        self._subject, self.sites, self._texts, self._seed = subject, (*dict.fromkeys(sites),), texts, seed

    def n_tokens(self, at_most: int) -> int:
        """Tokens of the texts, not counted beyond `at_most`."""
        counted = 0
        for tokens in passes(self._subject, self._texts):
            counted += sum(tokens.lengths)
            if counted >= at_most:
                return at_most
        return counted

    def require_room(self, n_tokens: int) -> None:
        """Refuse more tokens than memory holds.

        Raises:
            ToolError: too many.
        """
        needed = 4 * n_tokens * len(self.sites) * self._subject.shape.d_model
        mend = "Hold fewer tokens (`--buffer`), or train fewer layers at once."
        require_room(f"A buffer of {n_tokens} tokens at {len(self.sites)} sites", needed, self._subject.device, mend)

    def rows(self, n_tokens: int) -> dict[str, Float[Tensor, "batch d_model"]]:
        """Room for the values of so many tokens."""
        d_model, device = self._subject.shape.d_model, self._subject.device
        return {site: torch.empty(n_tokens, d_model, device=device) for site in self.sites}

    def chunks(self, n_tokens: int) -> Iterator[dict[str, Float[Tensor, "batch d_model"]]]:
        """Every token once, at most so many at a time."""
        at, size = Place(), min(n_tokens, self.n_tokens(n_tokens))
        while at.epoch == 0:
            rows = self.rows(size)
            done, at = self.read(at, rows)
            if done:
                yield {site: values[:done] for site, values in rows.items()}

    def read(self, at: Place, rows: Mapping[str, Float[Tensor, "batch d_model"]]) -> tuple[int, Place]:
        """Fill rows from a place on, no further than once round.

        Returns:
            How many rows were filled, and where to go on.

        Raises:
            ToolError: a text that the subject cannot read, or a value that is no number.
        """
        due, done = len(next(iter(rows.values()))), 0
        order = self._order(at.epoch)
        for start in range(at.text, len(order), PASS_TEXTS):
            before = at.token if start == at.text else 0  # read by an earlier call
            seen = 0
            for tokens in passes(self._subject, order[start : start + PASS_TEXTS]):
                n_tokens = sum(tokens.lengths)
                first = max(0, before - seen)
                taken = min(n_tokens - first, due - done)
                if taken > 0:
                    self._run(tokens, first, {site: rows[site][done : done + taken] for site in rows})
                    done += taken
                    if done == due:
                        return done, Place(at.epoch, start, seen + first + taken)
                seen += n_tokens
        return done, Place(at.epoch + 1)

    def _run(self, tokens: Tokens, first: int, rows: Mapping[str, Tensor]) -> None:
        run = self._subject.run(tokens, read=self.sites)
        for site, into in rows.items():
            value = torch.cat([run.sites[site][row, :length] for row, length in enumerate(tokens.lengths)])
            into.copy_(value[first : first + len(into)].float())
            if not into.isfinite().all():
                raise ToolError(
                    f"{self._subject.name} holds a value at {site} that is no finite number.",
                    mend="Load it in float32, or mend its weights.",
                )

    def _order(self, epoch: int) -> Sequence[str]:
        if epoch == 0:
            return self._texts
        return random.Random(f"epoch {self._seed} {epoch}").sample(self._texts, len(self._texts))


class Buffer:
    """Tokens to draw from."""

    def __init__(self, values: dict[str, Float[Tensor, "batch d_model"]]) -> None:
        self._values = values
        self._stream: TextStream | None = None
        self._begins: list[Place] = []
        self._next = Place()

    @classmethod
    def of(cls, stream: TextStream, capacity: int, begins: Sequence[Place] = ()) -> "Buffer":
        """A buffer of at most `capacity` tokens of a stream.

        Args:
            begins: Where the blocks of an earlier buffer began, to have that buffer again.
        """
        total = stream.n_tokens(capacity + 1)
        stream.require_room(min(total, capacity))
        if total <= capacity:
            made = cls(stream.rows(total))
            stream.read(Place(), made._values)
            return made
        made = cls(stream.rows(capacity // BLOCKS * BLOCKS))
        made._stream = stream
        for block in range(BLOCKS):
            made._fill(block, begins[block] if begins else made._next)
        return made

    def __len__(self) -> int:
        return len(next(iter(self._values.values())))

    def __getitem__(self, site: str) -> Float[Tensor, "batch d_model"]:
        return self._values[site]

    @property
    def whole(self) -> bool:
        """Whether it holds every token."""
        return self._stream is None

    @property
    def begins(self) -> tuple[Place, ...]:
        """Where its blocks begin in the texts; nothing where it holds every token."""
        return (*self._begins,)

    def draw(self, site: str, rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch d_model"]:
        """The values of one site at some of its tokens."""
        return self._values[site][rows]

    def due(self, drawn_before: int, drawn: int) -> int:
        """How many blocks have been drawn from often enough somewhere between these two numbers of draws."""
        if self.whole:
            return 0
        per_block = len(self) // BLOCKS * REUSE
        return drawn // per_block - drawn_before // per_block

    def refresh(self) -> None:
        """Overwrite the oldest block by the tokens that come next."""
        self._fill(self._begins.index(min(self._begins)), self._next)

    def _fill(self, block: int, at: Place) -> None:
        assert self._stream is not None
        n_rows = len(self) // BLOCKS
        self._begins[block : block + 1] = [at]
        newest, done = at == max(self._begins), 0
        while done < n_rows:
            rows = slice(block * n_rows + done, (block + 1) * n_rows)
            read, at = self._stream.read(at, {site: values[rows] for site, values in self._values.items()})
            done += read
        if newest:
            self._next = at
