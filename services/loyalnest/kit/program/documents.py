"""Programs from files: the same YAML or JSON documents that a cluster gets, `Secret`s included."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loyalnest.kit.program.credentials import Credentials, SecretName, read_secret
from loyalnest.kit.program.problems import InvalidPrograms, Problem, kind_of, shown, suggestion, validate
from loyalnest.kit.program.reading import MOST_BYTES, Document, read_json, read_yaml
from loyalnest.kit.program.spec import API_VERSION, KIND, SYSTEM_NAMESPACE, LoyaltyProgram, ProgramSpec

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Program:
    """One merchant: `merchant_id` is the resource's name; `source` is the file that it came from."""

    merchant_id: str
    spec: ProgramSpec
    credentials: Credentials
    source: Path


def load_programs(paths: Sequence[Path]) -> list[Program]:
    """The programs in `paths`, each a file, or a folder whose *.yaml, *.yml and *.json are read by name, not deeper.

    They come in the order of the paths and of the documents. A file that is reached twice is read once.
    Raises InvalidPrograms with everything that is wrong in all of them.
    """
    load = _Load()
    for file in load.files(paths):
        load.read(file)
    return load.programs()


@dataclass(frozen=True, slots=True)
class _Found:
    """A document and where it stands."""

    file: Path
    document: Document

    def problem(self, reason: str, path: str = "") -> Problem:
        return Problem(reason, self.file, self.document.number, self.document.line, path)

    def text_at(self, *place: str) -> str | None:
        """The text at `place` of the document as it was written, if there is any."""
        value = self.document.value
        for part in place:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value if isinstance(value, str) else None

    def __str__(self) -> str:
        return f"{self.file} document {self.document.number}"


@dataclass(slots=True)
class _Load:
    problems: list[Problem] = field(default_factory=list)
    # A Secret that is there but wrong is kept as None, so that it is not reported as missing as well.
    secrets: dict[SecretName, tuple[_Found, Credentials | None]] = field(default_factory=dict)
    resources: list[tuple[_Found, LoyaltyProgram | None]] = field(default_factory=list)

    def files(self, paths: Sequence[Path]) -> Iterator[Path]:
        """The files to read."""
        seen: set[Path] = set()
        for path in paths:
            try:
                found = self._in(path)
            except OSError as error:
                found = []
                self.problems.append(Problem(f"cannot be read: {error.strerror}", path))
            for file in found:
                if file.resolve() not in seen:
                    seen.add(file.resolve())
                    yield file

    def _in(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        if not path.is_dir():
            reason = "is neither a file nor a folder" if path.exists() else "there is no such file or folder"
            self.problems.append(Problem(reason, path))
            return []
        files = sorted(
            file
            for file in path.iterdir()
            if file.suffix in _SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not files:
            self.problems.append(
                Problem(f"the folder has no documents ({', '.join('*' + end for end in _SUFFIXES)})", path)
            )
        return files

    def read(self, file: Path) -> None:
        """Take every document of `file`."""
        try:
            with file.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                self.problems.append(Problem("is larger than 1 MiB; split it into several files", file))
                return
            text = content.decode("utf-8-sig")
        except OSError as error:
            self.problems.append(Problem(f"cannot be read: {error.strerror}", file))
            return
        except UnicodeDecodeError as error:
            self.problems.append(Problem(f"is not UTF-8 text (byte {error.start}); save it as UTF-8", file))
            return
        count = 0
        try:
            for document in read_json(text) if file.suffix == ".json" else read_yaml(text):
                count += 1
                found = _Found(file, document)
                self.problems += [found.problem(problem.reason, problem.path) for problem in document.problems]
                self._take(found)
        except InvalidPrograms as error:
            self.problems += [dataclasses.replace(problem, file=file) for problem in error.problems]
        else:
            if not count:
                self.problems.append(Problem("has no documents", file))

    def _take(self, found: _Found) -> None:
        value = found.document.value
        if not isinstance(value, dict):
            self.problems.append(found.problem(f"must be a mapping with apiVersion and kind, found {kind_of(value)}"))
            return
        match value.get("apiVersion"), value.get("kind"):
            case "v1", "Secret":
                self._take_secret(found, value)
            case _, "LoyaltyProgram":
                self._take_program(found, value)
            case _, None:
                self.problems.append(found.problem("is required: Secret or LoyaltyProgram", "kind"))
            case "v1", kind:
                self._unknown_kind(found, kind)
            case _, "Secret":
                self.problems.append(found.problem("must be v1 for a Secret", "apiVersion"))
            case _, kind:
                self._unknown_kind(found, kind)

    def _unknown_kind(self, found: _Found, kind: object) -> None:
        near = suggestion(kind, [KIND, "Secret"]) if isinstance(kind, str) else ""
        reason = f"{shown(kind)} is not read here: only Secret (v1) and {KIND} ({API_VERSION}) are{near}"
        self.problems.append(found.problem(reason, "kind"))

    def _take_secret(self, found: _Found, value: dict[str, object]) -> None:
        name, credentials, problems = read_secret(value)
        self.problems += [found.problem(problem.reason, problem.path) for problem in problems]
        if name is None:
            return
        if name in self.secrets:
            reason = f"the Secret {name} is in {self.secrets[name][0]} already"
            self.problems.append(found.problem(reason, "metadata.name"))
            return
        self.secrets[name] = (found, credentials)

    def _take_program(self, found: _Found, value: dict[str, object]) -> None:
        resource: LoyaltyProgram | None = None
        try:
            resource = validate(LoyaltyProgram, value)
        except InvalidPrograms as error:
            self.problems += [found.problem(problem.reason, problem.path) for problem in error.problems]
        self.resources.append((found, resource))

    def programs(self) -> list[Program]:
        """What was read, if nothing is wrong with it."""
        self._unique("metadata", "name")
        self._unique("spec", "shop", "domain")
        programs: list[Program] = []
        for found, resource in self.resources:
            credentials = self._credentials(found)
            if resource is not None and credentials is not None:
                programs.append(Program(resource.metadata.name, resource.spec, credentials, found.file))
        if self.problems:
            raise InvalidPrograms(self.problems)
        return programs

    def _unique(self, *place: str) -> None:
        """Report programs that share the text at `place`, whether or not they are right otherwise."""
        first: dict[str, _Found] = {}
        for found, _ in self.resources:
            text = found.text_at(*place)
            if text is not None and text in first:
                reason = f"{shown(text)} belongs to the program in {first[text]} already"
                self.problems.append(found.problem(reason, ".".join(place)))
            elif text is not None:
                first[text] = found

    def _credentials(self, found: _Found) -> Credentials | None:
        place = ("spec", "shop", "credentialsSecret")
        name = found.text_at(*place, "name")
        if name is None:
            return None
        secret = SecretName(found.text_at(*place, "namespace") or SYSTEM_NAMESPACE, name)
        if secret not in self.secrets:
            path = ".".join(place)
            self.problems.append(found.problem(f"there is no Secret {secret} in what was read; add it", path))
            return None
        return self.secrets[secret][1]
