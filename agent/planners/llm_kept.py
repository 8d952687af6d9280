"""What probes from outside may not name: the entities and wordings that are kept back to confirm.

The deterministic maker leaves these out by itself; a language model does not know of them, and what it wrote with one
of them in it is not used.
"""

import re
from functools import cached_property

from ._supernode_prompts import Setting


class Kept:
    """What the task data around a prompt keep back; nothing where there are none."""

    def __init__(self, setting: Setting | None) -> None:
        self._setting = setting
        self._told: dict[str, bool] = {}  # a planner asks about the same texts after every experiment

    @cached_property
    def words(self) -> frozenset[str]:
        """Entities of which naming may see nothing."""
        if self._setting is None:
            return frozenset()
        families, asked = self._setting.families, self._setting.asked.match(self._setting.prompt)
        kept = {row.slots[one.entity] for one in families for row in self._setting.rows(one, "kept back")}
        return frozenset(kept - set(asked[1].slots.values() if asked else ()))

    def tells(self, text: str) -> bool:
        """Whether a text names such an entity, or begins as a kept prompt does."""
        plain = " ".join(text.split()).casefold()
        if plain not in self._told:
            named = self._words is not None and self._words.search(plain) is not None
            self._told[plain] = named or plain.startswith(self._prompts)
        return self._told[plain]

    @cached_property
    def _words(self) -> re.Pattern[str] | None:
        if not self.words:
            return None
        return re.compile("|".join(rf"(?<!\w){re.escape(word.casefold())}(?!\w)" for word in sorted(self.words)))

    @cached_property
    def _prompts(self) -> tuple[str, ...]:
        if self._setting is None:
            return ()
        return tuple(
            " ".join(template.fill(row.slots).split()).casefold()
            for family in self._setting.families
            for template in self._setting.templates(family, "kept back")
            for row in family.rows
        )
