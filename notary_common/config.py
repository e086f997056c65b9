"""Configuration files read the way Notary reads them, but strictly: every problem at once, each with its remedy.

A daemon describes its file as a tree of frozen pydantic models. This module reads the document (JSON, YAML or
TOML by extension, keys in any case), lays the environment over it, validates every leaf and reports all that
is wrong, also when several things are. Nothing here is silently ignored: an unknown key is a problem.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

MAX_CONFIG_BYTES = 1 << 20
"""A configuration file is a page of text; anything longer is the wrong file."""


class ConfigError(Exception):
    """The configuration cannot be used.

    Attributes:
        problems: one sentence each, beginning with the dotted key it is about and ending in the remedy.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Section(BaseModel):
    """Base of every part of a configuration: frozen, and secrets stay out of its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Document(Section):
    """Base of a whole configuration."""

    _base_dir: Path = PrivateAttr(default_factory=Path)

    @property
    def base_dir(self) -> Path:
        """The configuration file's directory, absolute; relative paths start there."""
        return self._base_dir


Config = TypeVar("Config", bound=Document)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the leaf or section `key` (dotted)."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@dataclass(frozen=True, slots=True)
class Reading(Generic[Config]):
    """What came of reading a file.

    Attributes:
        draft: what could be read; a leaf that is wrong holds its default, or None. Only for looking on for
            more problems: a daemon starts from `accepted()`.
        problems: all that is wrong.
    """

    draft: Config
    problems: list[Problem] = field(default_factory=list)

    def sound(self, *keys: str) -> bool:
        """Whether no problem is about one of `keys` or anything inside them."""
        return not any(
            problem.key == key or problem.key.startswith(key + ".")
            for problem in self.problems
            for key in keys
        )

    def accepted(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: there is a problem.
        """
        if self.problems:
            raise ConfigError([str(problem) for problem in self.problems])
        return self.draft


@dataclass(frozen=True, slots=True)
class Leaf:
    """One configurable value: its dotted key, what may be written there, its default, what it is for."""

    key: str
    info: FieldInfo

    def variable(self, prefix: str) -> str:
        """The environment variable that overrides it, e.g. `NOTARY_SERVER_STORAGE_DB_URL`."""
        return f"{prefix}_{self.key.replace('.', '_').upper()}"


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[Leaf]:
    """Every leaf below `model`, in the order of declaration."""
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        if (section := _section(info)) is not None:
            yield from leaves(section, key + ".")
        else:
            yield Leaf(key, info)


def _section(info: FieldInfo) -> type[Section] | None:
    annotation: object = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def load_document(path: Path) -> dict[str, object]:
    """The file as nested mappings with lower-case keys; values as they stand.

    Format by extension: `.yaml`/`.yml`, `.toml`, anything else is JSON.

    Raises:
        ConfigError: the file cannot be read or parsed, or gives a key twice.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: there is no such file; name the configuration with --config FILE"]
        ) from None
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be read ({error.strerror}); check the path and its permissions"]
        ) from None
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError([f"{path}: is longer than {MAX_CONFIG_BYTES} bytes; is it a configuration file?"])
    try:
        text = data.decode("utf-8-sig")
        document = _parse(text, path.suffix.lower())
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8; save it as UTF-8"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested too deeply; a configuration has four levels"]) from None
    except _ParseError as error:
        raise ConfigError([f"{path}: {error}; correct the file"]) from None
    except ValueError:
        # Well-formed, but the parsers give up on it: an integer of thousands of digits, a 31st of February.
        raise ConfigError(
            [f"{path}: holds a number or date that nothing can mean; correct the file"]
        ) from None
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: holds no object at the top; see docs/reference/configuration.md"])
    doubles: list[str] = []
    lowered = _lower(document, "", doubles)
    if doubles:
        raise ConfigError(
            [f"{key}: is given twice; keep one (upper and lower case are the same)" for key in doubles]
        )
    return lowered


class _ParseError(Exception):
    """The document is not well-formed; the text names the place, never the content."""


def _parse(text: str, suffix: str) -> object:
    if suffix in {".yaml", ".yml"}:
        return _parse_yaml(text)
    if suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _ParseError(f"is not TOML ({error})") from None
    try:
        return json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise _ParseError(f"is not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from None


class _Pairs(dict[str, object]):
    """A JSON object that remembers members given twice."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class _YamlLoader(yaml.SafeLoader):
    """Plain YAML values, with members given twice kept for the check."""


def _yaml_mapping(loader: _YamlLoader, node: yaml.MappingNode) -> _Pairs:
    loader.flatten_mapping(node)
    return _Pairs(
        [
            (str(loader.construct_object(key, deep=True)), loader.construct_object(value, deep=True))
            for key, value in node.value
        ]
    )


_YamlLoader.add_constructor("tag:yaml.org,2002:map", _yaml_mapping)


def _parse_yaml(text: str) -> object:
    try:
        return yaml.load(text, Loader=_YamlLoader)  # noqa: S506 - a SafeLoader with a stricter mapping
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _ParseError(f"is not YAML ({place}{error.problem})") from None
    except yaml.YAMLError:
        raise _ParseError("is not YAML") from None


def _lower(document: dict[str, object], prefix: str, doubles: list[str]) -> dict[str, object]:
    lowered: dict[str, object] = {}
    pairs = document.pairs if isinstance(document, _Pairs) else list(document.items())
    for name, value in pairs:
        key = name.lower()
        if key in lowered:
            doubles.append(prefix + key)
        lowered[key] = _lower(value, f"{prefix}{key}.", doubles) if isinstance(value, dict) else value
    return lowered


def repeated(value: object, place: str = "") -> list[str]:
    """Where objects inside lists give a member twice, which `load_document` leaves to whoever takes such lists."""
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in repeated(item, f"{place}.{index}")]
    if not isinstance(value, dict):
        return []
    names = [name for name, _ in value.pairs] if isinstance(value, _Pairs) else list(value)
    dot = "." if place else ""
    doubles = [f"{place}{dot}{name}" for name in dict.fromkeys(names) if names.count(name) > 1]
    return doubles + [
        found for name, item in value.items() for found in repeated(item, f"{place}{dot}{name}")
    ]


def read(
    model: type[Config],
    path: Path,
    environ: Mapping[str, str],
    prefix: str,
    rules: Callable[[Mapping[str, object]], list[Problem]],
) -> Reading[Config]:
    """Read `path` as `model`, with the variables of `environ` laid over it.

    Args:
        model: what the file may hold. Validators find the file's directory in their context as `base_dir`.
        prefix: of the environment variables, e.g. `NOTARY_SERVER`.
        rules: what must hold between leaves; gets those that are mentioned by dotted key, None where empty.

    Raises:
        ConfigError: the file itself cannot be read or parsed.
    """
    document = load_document(path)
    problems: list[Problem] = []
    raw = _flatten(model, document, "", problems)
    for leaf in leaves(model):
        # An empty variable counts as unset, as it always did.
        if value := environ.get(leaf.variable(prefix)):
            raw[leaf.key] = value
            problems = [problem for problem in problems if problem.key != leaf.key]
    # An empty string counts as not set, as it always did.
    given = {key: None if value == "" else value for key, value in raw.items()}
    raw = {key: value for key, value in given.items() if value is not None}
    base_dir = path.absolute().parent
    while True:
        try:
            draft = model.model_validate(_nest(model, raw), context={"base_dir": base_dir})
            break
        except ValidationError as error:
            wrong = [_problem(detail) for detail in error.errors(include_url=False, include_input=False)]
            # What is wrong is reported once and taken out, so that the rest can still be looked at.
            for key in {problem.key for problem in wrong}:
                del raw[key]
            problems += wrong
    draft._base_dir = base_dir
    said = {problem.key for problem in problems}
    problems += [problem for problem in rules(given) if problem.key not in said]
    return Reading(draft, problems)


def _flatten(
    model: type[BaseModel], document: dict[str, object], prefix: str, problems: list[Problem]
) -> dict[str, Any]:
    """The leaves that the document mentions, by dotted key."""
    raw: dict[str, Any] = {}
    for name, value in document.items():
        key = f"{prefix}{name}"
        info = model.model_fields.get(name)
        if info is None:
            known = ", ".join(sorted(model.model_fields))
            problems.append(Problem(key, f"is not a known key; remove or correct it (known here: {known})"))
        elif (section := _section(info)) is None:
            raw[key] = value
        elif value is None:
            continue
        elif isinstance(value, dict):
            raw |= _flatten(section, value, key + ".", problems)
        else:
            problems.append(Problem(key, f"is {kind(value)}; write an object of keys"))
    return raw


def _nest(model: type[BaseModel], raw: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    nested: dict[str, object] = {}
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        if (section := _section(info)) is not None:
            nested[name] = _nest(section, raw, key + ".")
        elif key in raw:
            nested[name] = raw[key]
    return nested


def _problem(detail: ErrorDetails) -> Problem:
    # Every leaf has a default and its own validator, so a location is a path of plain names.
    key = ".".join(str(part) for part in detail["loc"] if isinstance(part, str))
    return Problem(key, detail["msg"].removeprefix("Value error, "))


def kind(value: object) -> str:
    """How a person would name the type of `value`; never the value itself."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"a {type(value).__name__}"
