"""What the watches have told: the programs, and a small projection of every object that belongs to one.

Of an object's content only a digest is kept once it was found to be right, so that thousands of programs fit into
little memory; its content stays only until the next reconcile has looked at it.
"""

from dataclasses import dataclass, field, replace

import msgspec

from loyalnest_operator import names, rollout
from loyalnest_operator.facts import Manifest
from loyalnest_operator.objects import Ref, content, digest, last_manager, ref_of


@dataclass(frozen=True, slots=True)
class State:
    """How far a workload is. Objects that are only data are `ready` as soon as they are there.

    failed: words about why it will not get further by itself.
    """

    ready: bool = True
    failed: str = ""


@dataclass(slots=True)
class Seen:
    """An object as it was last seen.

    content, changed_by: there while nobody has looked at it since it changed: what it is, and who changed it last.
    """

    version: int
    digest: bytes
    state: State
    desired_hash: str
    content: bytes | None = None
    changed_by: str = ""
    settled: bytes | None = None
    deleting: bool = False

    @property
    def unchecked(self) -> bool:
        """Whether its content differs from what was last found to be right."""
        return self.digest != self.settled


@dataclass(frozen=True, slots=True)
class ProgramEntry:
    """A program as it was last seen, encoded, with what others than its own reconcile ask about it.

    failed, aside: see rollout.Member. wish: digest of what its reconcile was last woken for.
    """

    encoded: bytes
    created: str
    domain: str
    version: str
    image: str
    ready: bool
    failed: bool
    aside: bool
    canary: bool
    uid: str = ""
    resource_version: int = 0
    conditions: tuple[tuple[str, str], ...] = ()
    wish: bytes = b""

    @property
    def live(self) -> Manifest:
        """The whole object."""
        found: Manifest = msgspec.json.decode(self.encoded)
        return found


def entry_of(live: Manifest) -> ProgramEntry:
    """What is kept of a program."""
    metadata, status = live["metadata"], live.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
    reason = next((each["reason"] for each in status.get("conditions", []) if each["type"] == "Ready"), "")
    kept = live | {"metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
    return ProgramEntry(
        encoded=msgspec.json.encode(kept),
        created=f"{metadata.get('creationTimestamp', '')} {metadata['name']}",
        domain=live.get("spec", {}).get("shop", {}).get("domain", ""),
        version=status.get("version", ""),
        image=status.get("image", ""),
        ready=conditions.get("Ready") == "True",
        failed=reason in rollout.FAULTS,
        aside=reason in rollout.ASIDE,
        canary=(metadata.get("labels") or {}).get(names.CANARY) == "true",
        uid=metadata.get("uid", ""),
        resource_version=int(metadata.get("resourceVersion", "0")),
        conditions=tuple(sorted(conditions.items())),
        wish=_wish(live),
    )


@dataclass(slots=True)
class Cache:
    """Programs by name, their objects by reference."""

    programs: dict[str, ProgramEntry] = field(default_factory=dict)
    _objects: dict[str, dict[Ref, Seen]] = field(default_factory=dict)
    _owners: dict[Ref, str] = field(default_factory=dict)
    _domains: dict[str, set[str]] = field(default_factory=dict)
    generation: int = 0
    """Counts changes that matter to others than the program itself."""
    _gone: set[str] = field(default_factory=set)
    """The uids of programs that were deleted. None ever comes back; the answer to a write of ours may come late."""

    def see_program(self, live: Manifest, *, deleted: bool, answer: bool = False) -> bool:
        """Take in news of a program. Whether they are news to its reconcile: anything but its status.

        answer: to a write of its status. A change of somebody's that it brings along is older than what the watch tells
        next, so it is news then: nobody is woken for an answer.
        """
        name = live["metadata"]["name"]
        before, after = self.programs.get(name), entry_of(live)
        same = before is not None and before.uid == after.uid
        if before is not None and same and after.resource_version < before.resource_version:
            return False  # the watch was slower than the answer to our own write, or faster than it
        if deleted:
            self._gone.add(after.uid)
            if not same:
                return False
            self._domain(before, name, add=False)
            del self.programs[name]
            self.generation += 1
            return True
        if after.uid in self._gone:
            return False
        if answer and before is not None:
            after = replace(after, wish=before.wish)
        self._domain(before, name, add=False)
        self.programs[name] = after
        self._domain(after, name, add=True)
        if before is None:
            self.generation += 1
            return True
        if _part(before) != _part(after):
            self.generation += 1
        return before.wish != after.wish

    def owner_of(self, domain: str) -> str:
        """The oldest program with this shop domain; empty if there is none."""
        there = self._domains.get(domain, ())
        return min(there, key=lambda name: self.programs[name].created, default="")

    def sharing(self, domain: str) -> set[str]:
        """All programs with this shop domain."""
        return set(self._domains.get(domain, ()))

    def see_object(self, live: Manifest, *, deleted: bool) -> list[str]:
        """Take in news of an object; the programs to be woken for it.

        If its label has been changed or taken away, it is gone to the program that it belonged to.
        """
        ref, program = ref_of(live), _program_of(live)
        owner = self._owners.get(ref, "")
        before = self._objects[owner][ref] if owner else None
        version = int(live["metadata"].get("resourceVersion", "0"))
        if before is not None and (version < before.version or (version == before.version and not deleted)):
            return []  # not newer than the answer to our own apply, or told again by a list
        if deleted or program != owner:
            self._drop(ref)
        if deleted or not program:
            return [owner] if owner else []
        after = _seen(live, version)
        if before is not None and program == owner:
            after.settled = before.settled
        if not after.unchecked:
            after.content, after.changed_by = None, ""
        self._put(program, ref, after)
        if program != owner:
            return [each for each in (owner, program) if each]
        same = before is not None and (before.state, before.deleting) == (after.state, after.deleting)
        return [] if same and not after.unchecked else [program]

    def applied(self, live: Manifest) -> None:
        """Take in the answer to an apply of ours: it is right as it is, unless the watch has told something newer."""
        ref, program = ref_of(live), _program_of(live)
        after = _seen(live, int(live["metadata"]["resourceVersion"]))
        seen = self._objects.get(program, {}).get(ref)
        if seen is not None and seen.version > after.version:
            return
        after.settled, after.content, after.changed_by = after.digest, None, ""
        self._put(program, ref, after)

    def forget(self, program: str, ref: Ref) -> None:
        """The object turned out not to be there any more."""
        if self._owners.get(ref) == program:
            self._drop(ref)

    def settle(self, program: str, ref: Ref) -> None:
        """The object was looked at, and is right."""
        seen = self._objects[program][ref]
        seen.settled, seen.content, seen.changed_by = seen.digest, None, ""

    def seen(self, program: str, ref: Ref) -> Seen | None:
        """An object of a program, as last seen."""
        return self._objects.get(program, {}).get(ref)

    def objects(self, program: str) -> dict[Ref, Seen]:
        """What belongs to a program, as last seen."""
        return dict(self._objects.get(program, {}))

    def missed(self, kind: str, there: set[Ref], version: int) -> list[str]:
        """Forget the objects of a kind that a list of that version does not have; the programs they belonged to."""
        found: list[str] = []
        for ref, program in list(self._owners.items()):
            if ref.kind == kind and ref not in there and self._objects[program][ref].version <= version:
                self._drop(ref)
                found.append(program)
        return found

    def _put(self, program: str, ref: Ref, seen: Seen) -> None:
        if self._owners.get(ref, program) != program:
            self._drop(ref)
        self._owners[ref] = program
        self._objects.setdefault(program, {})[ref] = seen

    def _drop(self, ref: Ref) -> None:
        program = self._owners.pop(ref, "")
        if program:
            there = self._objects[program]
            del there[ref]
            if not there:
                del self._objects[program]

    def _domain(self, entry: ProgramEntry | None, name: str, *, add: bool) -> None:
        if entry is None or not entry.domain:
            return
        there = self._domains.setdefault(entry.domain, set())
        if add:
            there.add(name)
        else:
            there.discard(name)
        if not there:
            del self._domains[entry.domain]


def _part(entry: ProgramEntry) -> tuple[str, str, bool, bool, bool, bool]:
    """What the fleet's upgrade depends on."""
    return entry.version, entry.image, entry.ready, entry.failed, entry.aside, entry.canary


def _wish(live: Manifest) -> bytes:
    metadata = live["metadata"]
    parts = ("generation", "annotations", "labels", "finalizers", "deletionTimestamp", "uid")
    return digest(msgspec.json.encode([metadata.get(part) for part in parts], order="sorted"))


def _program_of(live: Manifest) -> str:
    """The program whose object it is. What a controller made of one of ours, with its labels, is the controller's."""
    metadata = live["metadata"]
    if any(owner.get("controller") for owner in metadata.get("ownerReferences") or []):
        return ""
    found: str = (metadata.get("labels") or {}).get(names.PROGRAM, "")
    return found


def _seen(live: Manifest, version: int) -> Seen:
    encoded = content(live)
    annotations = live["metadata"].get("annotations") or {}
    return Seen(
        version=version,
        digest=digest(encoded),
        state=state_of(live),
        desired_hash=annotations.get(names.DESIRED_HASH, ""),
        content=encoded,
        changed_by=last_manager(live),
        deleting="deletionTimestamp" in live["metadata"],
    )


def state_of(live: Manifest) -> State:
    """How far an object is, by its own status."""
    status = live.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    if live["kind"] == "Deployment":
        return _deployment(live, status, conditions)
    if live["kind"] == "Job":
        failed = conditions.get("Failed", {})
        if failed.get("status") == "True":
            return State(ready=False, failed=failed.get("message") or failed.get("reason") or "failed")
        return State(ready=conditions.get("Complete", {}).get("status") == "True")
    return State()


def _deployment(live: Manifest, status: Manifest, conditions: dict[str, Manifest]) -> State:
    wanted = live["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return State(ready=False)
    progressing = conditions.get("Progressing", {})
    if progressing.get("status") == "False":
        return State(ready=False, failed=progressing.get("message", "does not progress"))
    complete = (
        status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    )
    return State(ready=complete)
