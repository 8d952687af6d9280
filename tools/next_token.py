"""What the subject answers: the token after a prompt, and how sure it is.

The behaviour that every other instrument explains. It is also all that prompting alone can see, so a report sets it
beside what the instruments found (Pando, 2026: a gain must be shown over the same budget spent on prompting).
"""

import torch
from pydantic import Field, model_validator

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._subject import Subject

BATCH = 64


class NextTokenArgs(ToolArgs):
    prompts: tuple[str, ...] = Field(description="Texts to continue by one token each.", min_length=1)
    answers: tuple[str, ...] = Field((), description="Expected next word of each prompt; none to only list answers.")
    foils: tuple[str, ...] = Field((), description="A word to compare each answer with; needs answers.")
    top_k: int = Field(3, ge=1, le=50, description="Most likely tokens to list per prompt (count).")

    @model_validator(mode="after")
    def _one_each(self) -> "NextTokenArgs":
        for name in ("answers", "foils"):
            given = getattr(self, name)
            if given and len(given) != len(self.prompts):
                raise ValueError(f"{len(given)} {name} for {len(self.prompts)} prompts; give one each or none")
        if self.foils and not self.answers:
            raise ValueError("foils need answers to be compared with")
        return self


class Answer(Frozen):
    """One prompt's continuation."""

    prompt: str
    n_tokens: int = Field(description="Tokens of the prompt, special tokens included (count).")
    top: tuple[tuple[str, float], ...] = Field(description="Most likely tokens, best first, with their probability.")
    probability: float | None = Field(None, description="Probability of the expected answer.")
    rank: int | None = Field(None, description="Place of the expected answer; 1 is the most likely token.")
    logit_difference: float | None = Field(None, description="Logit of the answer minus logit of the foil (nats).")


class NextTokenResult(ToolResult):
    answers: tuple[Answer, ...] = Field(description="Per prompt, in the order given.")
    n_prompts: int = Field(description="Prompts that ran (count).")
    n_correct: int | None = Field(description="Prompts whose most likely token is the expected answer (count).")
    accuracy: float | None = Field(description="n_correct / n_prompts, over the whole vocabulary.")


@tool
def next_token(subject: Subject, args: NextTokenArgs, progress: Progress = silent) -> NextTokenResult:
    """Read the token the model puts after each prompt, and how sure it is.

    Raises:
        ToolError: a prompt with words the model lacks, or an answer the tokenizer splits.
    """
    if args.top_k > subject.shape.n_vocab:
        raise ToolError(
            f"`top_k` is {args.top_k}, but the vocabulary has {subject.shape.n_vocab} tokens.",
            mend=f"Pass 1..{subject.shape.n_vocab}.",
        )
    targets = [subject.answer_token(p, a) for p, a in zip(args.prompts, args.answers, strict=False)]
    foils = [subject.answer_token(p, f) for p, f in zip(args.prompts, args.foils, strict=False)]
    answers: list[Answer] = []
    for start in range(0, len(args.prompts), BATCH):
        progress(start, len(args.prompts), "asking the model")
        prompts = args.prompts[start : start + BATCH]
        tokens = subject.tokenise(prompts)
        logits = subject.last_logits(tokens)
        for row, prompt in enumerate(prompts):
            i = start + row
            target, foil = targets[i : i + 1], foils[i : i + 1]
            answers.append(_read(subject, prompt, tokens.lengths[row], logits[row], args.top_k, target, foil))
    correct = sum(a.rank == 1 for a in answers) if targets else None
    return NextTokenResult(
        answers=tuple(answers),
        n_prompts=len(answers),
        n_correct=correct,
        accuracy=None if correct is None else correct / len(answers),
    )


def _read(
    subject: Subject,
    prompt: str,
    n_tokens: int,
    logits: torch.Tensor,
    top_k: int,
    target: list[int],
    foil: list[int],
) -> Answer:
    probabilities = logits.softmax(-1)
    best = probabilities.topk(top_k)
    names = subject.token_strings(best.indices.tolist())
    return Answer(
        prompt=prompt,
        n_tokens=n_tokens,
        top=tuple(zip(names, best.values.tolist(), strict=True)),
        probability=probabilities[target[0]].item() if target else None,
        rank=int((logits > logits[target[0]]).sum()) + 1 if target else None,
        logit_difference=(logits[target[0]] - logits[foil[0]]).item() if foil else None,
    )
