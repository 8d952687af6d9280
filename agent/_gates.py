"""The gates between a measured effect and a claim: each looks at the figures and passes, fails, or cannot say.

They are those of DESIGN section 6; `research/evals.md` section 3 has their sources and what each was measured to catch.
Three rules need saying why:

* The twin (and the shuffled labels) must yield nothing *on the subject's scale*. A twin has no behaviour, so its own
  gap is near zero and effects divided by it explode; worse, patching a late residual stream moves all of any gap in
  any network. So the twin's drop in nats is divided by the subject's gap: how much of the subject's behaviour would
  this intervention have produced in weights that learned nothing? An answer of the twin counts as moved only where
  its drop is worth counting: a twin that gives one word to every prompt gives some foils too.
* An absence is an equivalence test (Schuirmann 1987): a large p is no evidence, an interval inside the bounds is. A
  second counterfactual family is its control, since one family alone can leave a site idle.
* Families agree where each has an effect of its own. A pooled mean can be one family's alone, and the mere sign of a
  family without effect would agree every other time.
"""

from collections.abc import Callable

from ._evidence import Gate, Outcome, Prediction
from ._figures import Figures
from ._statistics import Interval, binomial_lower_bound

FALSE_DISCOVERY_RATE = 0.05
REPLICATION_P = 0.01
REPLICATION_SHARE = 0.5  # of the effect seen in discovery
FEWEST_RANDOM_DRAWS = 20
MAJORITY = 0.5  # of the prompts answered right: then the behaviour is there


def span(interval: Interval) -> str:
    """An interval in words."""
    return "none (a single cluster)" if interval.low is None else f"{interval.low:.3g} to {interval.high:.3g}"


def behaviour(f: Figures) -> Gate:
    """The subject does the task in every family: an absent behaviour has no mechanism."""
    chance, worst, problems = f.prediction.chance, [], []
    for s in f.evidence.confirmation:
        right, n = sum(s.clean_correct), len(s.clean_correct)
        low = binomial_lower_bound(right, n)
        worst.append(f"{right} of {n} right and a gap of {s.gap:.3g} nats")
        if not (right / n >= MAJORITY and right / n > chance) and low <= chance:
            problems.append(f"only {right} of {n} prompts of `{s.counterfactual_family}` right")
        if s.gap <= 0:
            problems.append(f"a gap of {s.gap:.3g} nats, not above 0, in `{s.counterfactual_family}`")
    if problems:
        return _gate("behaviour", "fail", f"The model does not show the behaviour: {'; '.join(problems)}.")
    return _gate("behaviour", "pass", f"The model shows the behaviour: {'; '.join(worst)}.")


def no_op(f: Figures) -> Gate:
    """Patching a run into itself changes nothing, to the last bit."""
    evidence = f.evidence
    samples = [*evidence.confirmation, *evidence.twin, *([evidence.shuffled] if evidence.shuffled else [])]
    changes = [s.no_op_change for s in samples]
    if worst := max((abs(c) for c in changes if c is not None), default=0.0):
        return _gate("no_op", "fail", f"Patching a run into itself changed a logit by {worst:.3g}; 0 is due.")
    if None in changes:
        return _gate("no_op", "not_evaluated", "Not every arm patched a run into itself.")
    return _gate("no_op", "pass", "Patching a run into itself changed nothing.")


def sealed_arms(f: Figures) -> Gate:
    """Every sealed arm was measured: an arm left out could be the one that disagreed."""
    missing = [a.counterfactual_family for a in f.prediction.arms if a.counterfactual_family not in f.families]
    if missing:
        return _gate("sealed_arms", "not_evaluated", f"Sealed arms were not measured: {', '.join(missing)}.")
    return _gate("sealed_arms", "pass", f"All sealed arms ran ({len(f.families)}).")


def permutation(f: Figures) -> Gate:
    """The mean is positive beyond chance, counting every unit looked at."""
    bar, units, k = FALSE_DISCOVERY_RATE, len(f.evidence.units_looked_at) + 1, f.test.n_clusters
    if f.q <= bar:
        return _gate("permutation", "pass", f"q = {f.q:.3g} among {units} units looked at, at most {bar}.")
    if f.smallest_q > bar:
        reason = f"Too few clusters: {k} reach no p below {f.test.smallest_p:.2g}, so no q below {f.smallest_q:.2g}."
        return _gate("permutation", "not_evaluated", reason)
    return _gate("permutation", "fail", f"q = {f.q:.3g} among {units} units looked at; at most {bar} is due.")


def bound(f: Figures) -> Gate:
    """The effect is surely large enough to matter."""
    if f.pooled.low is None:
        return _gate("bound", "not_evaluated", "A single cluster has no spread, so the effect has no interval.")
    if f.pooled.low > f.bar:
        return _gate("bound", "pass", f"Interval {span(f.pooled)}, all above the smallest effect {f.bar:g}.")
    return _gate("bound", "fail", f"Interval {span(f.pooled)}; its lower end has to be above {f.bar:g}.")


def random_draws(f: Figures) -> Gate:
    """The effect is larger than that of anything of the same size chosen at random."""
    few = [s for s in f.evidence.confirmation if len(s.random_effects) < FEWEST_RANDOM_DRAWS]
    if few:
        reason = f"{len(few[0].random_effects)} random draws in `{few[0].counterfactual_family}`"
        return _gate("random_draws", "not_evaluated", f"{reason}; at least {FEWEST_RANDOM_DRAWS} are due.")
    for s in f.evidence.confirmation:
        mean, top = f.families[s.counterfactual_family].mean, max(s.random_effects)
        if mean <= top:
            reason = (
                f"In `{s.counterfactual_family}` the effect {mean:.3g} is not above the largest random draw {top:.3g}."
            )
            return _gate("random_draws", "fail", reason)
    return _gate("random_draws", "pass", f"Above every random draw of the same size (largest {f.random_max:.3g}).")


def families_agree(f: Figures) -> Gate:
    """At least two kinds of counterfactual show the effect, each on its own."""
    return _families(f, lambda i: i.low is not None and i.low > 0, "show an effect above 0")


def families_absent(f: Figures) -> Gate:
    """At least two kinds of counterfactual show no effect that matters, each on its own."""
    return _families(f, lambda i: inside(i, f.bar), f"stay within ±{f.bar:g}")


def replication(f: Figures) -> Gate:
    """The effect seen in discovery is there again on prompts that discovery did not use."""
    p, mean = f.test.p, f.pooled.mean
    if f.expected is None:
        return _gate("replication", "not_evaluated", "No effect in discovery was recorded, so nothing is replicated.")
    due = REPLICATION_SHARE * f.expected
    if f.expected <= 0 or mean < due:
        reason = f"Effect {mean:.3g} after {f.expected:.3g} in discovery; the same sign and at least half are due."
        return _gate("replication", "fail", reason)
    if f.test.smallest_p >= REPLICATION_P:
        reason = f"Too few clusters: {f.test.n_clusters} reach no p below {f.test.smallest_p:.2g}"
        return _gate("replication", "not_evaluated", f"{reason}; p < {REPLICATION_P} is due.")
    if p >= REPLICATION_P:
        return _gate("replication", "fail", f"p = {p:.3g} on the held-out prompts; p < {REPLICATION_P} is due.")
    return _gate("replication", "pass", f"Effect {mean:.3g} after {f.expected:.3g} in discovery, p = {p:.2g}.")


def shuffled_labels(f: Figures) -> Gate:
    """Class means of shuffled labels do no more than a random push of the same length: the classes matter."""
    if f.shuffled is None or f.shuffled_moved is None:
        return _gate("shuffled_labels", "not_evaluated", "The control with shuffled labels was not measured.")
    # Any push disturbs the run a little, also along class means that mean nothing; the random draws say how much.
    disturbance = max(f.bar, f.random_max or 0.0)
    return _yields_nothing("shuffled_labels", "Shuffled labels", f.shuffled, f.shuffled_moved, f, disturbance)


def twin(f: Figures) -> Gate:
    """The same intervention on re-initialised weights yields nothing."""
    ran = [*(s.counterfactual_family for s in f.evidence.twin), *f.evidence.twin_without_gap]
    missing = [a.counterfactual_family for a in f.prediction.twin_arms if a.counterfactual_family not in ran]
    if not ran or missing:
        return _gate(
            "twin", "not_evaluated", f"The twin was not measured{': ' if missing else ''}{', '.join(missing)}."
        )
    if not f.evidence.twin:
        return _gate("twin", "pass", "The twin gives the same answer to clean and corrupted prompts: nothing to move.")
    if f.twin is None:
        return _gate("twin", "not_evaluated", "The model has no gap to set the twin's effect against.")
    right = [c for s in f.evidence.twin for c in s.clean_correct]
    name = f"The twin, which answers {sum(right)} of {len(right)} prompts right,"
    return _yields_nothing("twin", name, f.twin, f.twin_moved, f, f.bar)


def equivalence(f: Figures) -> Gate:
    """Whatever effect there is, it is surely too small to matter."""
    if f.pooled.low is None:
        return _gate("equivalence", "not_evaluated", "A single cluster has no spread, so the effect has no interval.")
    if inside(f.pooled, f.bar):
        return _gate("equivalence", "pass", f"Interval {span(f.pooled)}, all within ±{f.bar:g}.")
    return _gate("equivalence", "fail", f"Interval {span(f.pooled)}; all of it has to be within ±{f.bar:g}.")


def answers_stay(f: Figures) -> Gate:
    """Answers move no more often than by chance."""
    return _gate(
        "answers_stay",
        "pass" if f.moved <= f.chance_bar else "fail",
        f"{f.moved:.1%} of the answers moved; at most {f.chance_bar:.1%} is chance.",
    )


def held_out(f: Figures) -> Gate:
    """Neither the entities nor all templates of the confirmation were seen in discovery."""
    told = {"entities": f.prediction.holds_out_entities, "a template": f.prediction.holds_out_template}
    lacking = [what for what, held in told.items() if not held]
    if lacking:
        return _gate("held_out", "not_evaluated", f"Discovery had seen {' and '.join(lacking)} of the confirmation.")
    return _gate("held_out", "pass", "Entities and a template of the confirmation were new.")


def gates_due(prediction: Prediction) -> tuple[Callable[[Figures], Gate], ...]:
    """The gates a prediction has to take, in the order in which a reader should hear of a failure."""
    sound = (behaviour, no_op, sealed_arms)
    if prediction.direction == "none":
        return (*sound, equivalence, answers_stay, families_absent, held_out)
    is_variable = prediction.kind == "variable" or prediction.shuffled_arm is not None
    controls = (random_draws, *((shuffled_labels,) if is_variable else ()), twin)
    return (*sound, permutation, bound, *controls, replication, families_agree, held_out)


def inside(interval: Interval, bar: float) -> bool:
    """Whether the whole interval lies where effects do not matter."""
    return interval.low is not None and interval.high is not None and -bar < interval.low and interval.high < bar


def _gate(name: str, outcome: Outcome, reason: str) -> Gate:
    return Gate(name=name, outcome=outcome, reason=reason)


def _families(f: Figures, agrees: Callable[[Interval], bool], what: str) -> Gate:
    if len(f.families) < 2:
        return _gate("families", "not_evaluated", "A single counterfactual family was measured; two are due.")
    against = [f"`{name}` ({span(i)})" for name, i in f.families.items() if not agrees(i)]
    if against:
        return _gate("families", "fail", f"Not every family's interval can {what}: {', '.join(against)}.")
    return _gate("families", "pass", f"All {len(f.families)} counterfactual families {what}.")


def _yields_nothing(name: str, what: str, control: Interval, moved: float, f: Figures, bar: float) -> Gate:
    """A control that yields nothing: no answers beyond chance, no effect that matters, and less than is claimed."""
    found = f"{what} moved {moved:.1%} of the answers, effect {control.mean:.3g} ({span(control)})"
    if control.low is None or control.high is None:
        return _gate(name, "not_evaluated", f"{found}.")
    if moved > f.chance_bar:
        return _gate(name, "fail", f"{found}; at most {f.chance_bar:.1%} of the answers may move.")
    if control.low > bar:
        return _gate(name, "fail", f"{found}; the interval has to reach down to {bar:.3g}.")
    if control.high >= f.pooled.mean:
        reason = f"{found}; too noisy, as its interval reaches the effect claimed ({f.pooled.mean:.3g})."
        return _gate(name, "not_evaluated", reason)
    return _gate(name, "pass", f"{found}; no more than {bar:.3g} has to be in reach: nothing.")
