"""What the words of a verdict mean, for a reader who meets them first in a report."""

VERDICTS = {
    "supported": ("✓", "The sealed prediction held on held-out prompts, and every control that was due came out."),
    "refuted": ("✗", "The interval lies where the effect does not matter, or on the other side."),
    "inconclusive": ("?", "The evidence decides neither way; the gates below say what was missing."),
}
TIERS = {
    "observed": "Seen, not intervened on: a pattern in what the model holds, which may play no part in what it does.",
    "causal": "Intervening changes the answer, on prompts that were held out.",
    "controlled": "Causal, and above every control: no-op, random interventions of equal size, re-initialised weights.",
    "replicated": "Controlled, and again on other entities, templates or kinds of counterfactual.",
}
OUTCOMES = {"pass": ("✓", "pass"), "fail": ("✗", "fail"), "not_evaluated": ("–", "not evaluated")}
PHASES = {
    "explore": "exploration: suggests, confirms nothing",
    "confirm": "confirmation, sealed before it ran",
    "control": "control",
    "black_box": "black box: prompting alone",
}
