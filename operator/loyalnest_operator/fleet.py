"""The fleet's upgrade as the cache shows it: which image each program may run now."""

from loyalnest_operator.cache import Cache
from loyalnest_operator.rollout import Member, Plan, plan
from loyalnest_operator.settings import OperatorSettings

NOBODY = Plan(frozenset(), 0, 0)


class Fleet:
    """Answers from a plan that is made again only when something that it depends on has changed."""

    def __init__(self, settings: OperatorSettings, cache: Cache) -> None:
        self._settings = settings
        self._cache = cache
        self._generation = -1
        self._plan = self._told = NOBODY

    def plan(self) -> Plan:
        """Who may run the operator's image. Says nothing while no program has another one."""
        if self._generation == self._cache.generation:
            return self._plan
        self._generation = self._cache.generation
        self._plan = NOBODY
        if any(entry.image not in ("", self._settings.image) for entry in self._cache.programs.values()):
            members = [
                Member(name, entry.image, entry.ready, entry.failed, entry.canary, entry.aside)
                for name, entry in self._cache.programs.items()
            ]
            self._plan = plan(members, self._settings.image, self._settings.wave_percents)
        return self._plan

    def image_for(self, name: str) -> str:
        """The image that a program may run: the operator's, or the one it has until its wave comes."""
        entry = self._cache.programs.get(name)
        if entry is None or not entry.image or name in self.plan().admitted:
            return self._settings.image
        return entry.image

    def held(self, name: str) -> str:
        """Why a program does not get the new image yet; empty if it may."""
        if self.image_for(name) == self._settings.image:
            return ""
        found = self.plan()
        if found.halted_by:
            return f"The upgrade stopped at wave {found.wave} of {found.waves}: {found.halted_by} is degraded with it."
        return f"The upgrade is at wave {found.wave} of {found.waves}."

    def news(self) -> list[str]:
        """Programs of another image for which the plan has changed since this was last asked."""
        before, now = self._told, self.plan()
        if now is before:
            return []
        self._told = now
        for_all = (before.wave, before.halted_by) != (now.wave, now.halted_by)
        return [
            name
            for name, entry in self._cache.programs.items()
            if entry.image not in ("", self._settings.image)
            and (for_all or (name in now.admitted and name not in before.admitted))
        ]
