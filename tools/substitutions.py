"""Which words of a prompt the answer hangs on: replace each by others that the subject itself would write there.

Replacements come from the subject's own distribution after the words before them, so they are as natural to it as
anything can be. It is occlusion (Zeiler and Fergus 2014) with plausible words in place of blanks. A prompt of one word
is taken apart into its tokens instead.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pydantic import Field

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._readable import can_read
from ._reader import Tokens
from ._subject import Subject

BATCH = 64
LONGEST_WORD = 6  # tokens
WORD = r"\w+(?:['-]\w+)*"


class SubstitutionsArgs(ToolArgs):
    prompt: str = Field(description="Prompt whose words are replaced.")
    answer: str = Field(description="The model's next word after the prompt.")
    samples: int = Field(96, ge=1, le=2000, description="Words drawn from the model per place (count).")
    per_word: int = Field(12, ge=1, le=100, description="Most replacements kept per place (count).")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


class Substitution(Frozen):
    """One word replaced by another."""

    word: str = Field(description="The prompt's word.")
    occurrence: int = Field(description="Place of the word in the prompt, counted in words from 0.")
    start: int = Field(description="Place of the word in the prompt, counted in characters from 0.")
    replacement: str = Field(description="What stands there instead.")
    prompt: str = Field(description="The prompt with the replacement.")
    answer: str = Field(description="The model's most likely next token after it.")
    answer_probability: float = Field(description="Probability of that token.")
    kept_probability: float = Field(description="Probability of the original answer.")
    keeps: bool = Field(description="Whether the original answer is still the most likely token.")
    same_length: bool = Field(description="Whether the prompt still has as many tokens, so that it can be aligned.")


class SubstitutionsResult(ToolResult):
    substitutions: tuple[Substitution, ...] = Field(description="All that ran, by place, then by likelihood.")
    probability: float = Field(description="Probability of the answer after the prompt itself.")
    n_words: int = Field(description="Words of the prompt that were tried (count).")


@dataclass(frozen=True)
class _Word:
    index: int
    text: str
    start: int
    end: int


@tool
def substitutions(subject: Subject, args: SubstitutionsArgs, progress: Progress = silent) -> SubstitutionsResult:
    """Replace each word of a prompt by likely others and see which replacements change the model's answer.

    Raises:
        ToolError: a prompt with words the model lacks, or an answer that the tokenizer splits.
    """
    target = subject.answer_token(args.prompt, args.answer)
    length = subject.tokenise([args.prompt]).lengths[0]
    words = list(_words(subject, args.prompt))
    if not words:
        raise ToolError(f"{args.prompt!r} has no word to replace.", mend="Pass a prompt with at least one word.")
    generator = torch.Generator().manual_seed(args.seed)
    changed: list[tuple[_Word, str, str]] = []
    for word in words:
        progress(word.index, len(words), f"replacing {word.text!r}")
        for replacement in _replacements(subject, args, word, generator):
            changed.append((word, replacement, args.prompt[: word.start] + replacement + args.prompt[word.end :]))
    logits = _last_logits(subject, [args.prompt, *(prompt for _, _, prompt in changed)])
    probabilities = logits.softmax(-1)
    best = probabilities.max(-1)
    names = subject.token_strings(best.indices.tolist())
    return SubstitutionsResult(
        substitutions=tuple(
            Substitution(
                word=word.text,
                occurrence=word.index,
                start=word.start,
                replacement=replacement,
                prompt=prompt,
                answer=names[row].strip() or names[row],
                answer_probability=best.values[row].item(),
                kept_probability=probabilities[row, target].item(),
                keeps=bool(best.indices[row] == target),
                same_length=len(subject.reader.split(prompt).ids) == length,
            )
            for row, (word, replacement, prompt) in enumerate(changed, start=1)
        ),
        probability=probabilities[0, target].item(),
        n_words=len(words),
    )


def _words(subject: Subject, prompt: str) -> Iterator[_Word]:
    spans = [found.span() for found in re.finditer(WORD, prompt)]
    if len(spans) == 1:
        spans = [(start, end) for start, end in subject.reader.split(prompt).offsets if end > start]
    for index, (start, end) in enumerate(spans):
        yield _Word(index, prompt[start:end], start, end)


def _replacements(subject: Subject, args: SubstitutionsArgs, word: _Word, generator: torch.Generator) -> list[str]:
    """Other words for one place, most often drawn first, that the vocabulary has."""
    before, after = args.prompt[: word.start], args.prompt[word.end :]
    inside_a_word = bool(re.search(r"\w$", before) or re.match(r"\w", after))
    draw = _likely_tokens if inside_a_word else _drawn_words
    drawn = draw(subject, before.rstrip(), args.samples, generator)
    kept = [w for w in drawn if w != word.text and can_read(subject, before + w + after)]
    return kept[: args.per_word]


def _first_ids(subject: Subject, before: str) -> list[int]:
    # Where nothing stands before the word and no token marks the beginning, any token must do for one.
    return subject.reader.split(before).ids or [subject.tokenizer.bos_token_id or 0]


def _likely_tokens(subject: Subject, before: str, samples: int, generator: torch.Generator) -> list[str]:
    """Single tokens by their likelihood after `before`; nothing is drawn, so the generator stays as it is."""
    ids = _first_ids(subject, before)
    logits = subject.run(Tokens(torch.tensor([ids], device=subject.device), (len(ids),))).last_logits[0]
    best = logits.topk(min(samples, subject.shape.n_vocab)).indices.tolist()
    return [text for i in best if (text := subject.token_strings([i])[0]) == text.strip() != ""]


def _drawn_words(subject: Subject, before: str, samples: int, generator: torch.Generator) -> list[str]:
    """Distinct words that the subject writes after `before`, most frequent first."""
    ids = _first_ids(subject, before)
    rows = torch.tensor([ids] * samples, device=subject.device)
    for _ in range(LONGEST_WORD):
        if rows.shape[1] >= subject.shape.n_ctx:
            break
        logits = subject.last_logits(Tokens(rows, (rows.shape[1],) * samples)).cpu()
        rows = torch.cat([rows, torch.multinomial(logits.softmax(-1), 1, generator=generator).to(rows)], dim=1)
    start = len(_decoded(subject, ids))
    counts: dict[str, int] = {}
    for row in rows.tolist():
        # Decoded together with what came before: one token alone does not show whether a space precedes it.
        found = re.match(rf"(\s*)({WORD})", _decoded(subject, row)[start:])
        if found and (found.group(1) or start == 0):
            counts[found.group(2)] = counts.get(found.group(2), 0) + 1
    return sorted(counts, key=lambda w: (-counts[w], w))


def _decoded(subject: Subject, ids: list[int]) -> str:
    return subject.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _last_logits(subject: Subject, prompts: list[str]) -> torch.Tensor:
    batches = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
    return torch.cat([subject.last_logits(subject.tokenise(batch)).cpu() for batch in batches])
