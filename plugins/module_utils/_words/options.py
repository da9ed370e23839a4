# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a person wrote to options: every module and the inventory plugin read their arguments here, and here alone.

Ansible's own validation comes afterwards and finds nothing to complain of: its messages name Python classes, it takes the
last of two names for one option in silence, and it cannot say where a value came from.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.common.parameters import AnsibleFallbackNotFound
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError

Option = dict[str, t.Any]
Spec = dict[str, Option]
Rules = dict[str, list[list[str]]]

# What selects is never unset by a blank: it would then mean everything. The documentation of each says what an empty list does.
SELECTORS = frozenset(
    {
        "machines",
        "tag",
        "filter",
        "action_ids",
        "type",
        "status",
        "severities",
        "statuses",
        "indicators",
        "artefacts",
        "exclude",
        "exclude_tags",
        "exclude_groups",
    }
)
# Options whose text is a duration; the specs give them the type str.
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*$", re.IGNORECASE)
_LONGEST = 50 * 365 * 86400.0
# From here on a bare number is rather a date without hyphens, or seconds since 1970, than the 116 days that it would be.
_LIKE_A_DATE = 10_000_000.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# From so many options on, their names are not told but where they stand.
_MANY = 10
# A word of fewer letters begins too much.
_SHORTEST_BEGINNING = 4
_SEPARATORS = re.compile(r"[,;\r\n]+")
_PREFIX = "DEFENDER_"
# What is said of a required option that is missing, where its name alone does not say what is wanted.
_WHAT_FOR = {"comment": "Say in comment why this is done: it stays with the action, for the audit trail."}
# The origin of what the task itself says.
_TASK = "task"
# What AZURE_CLOUD_ENVIRONMENT says in the Azure collection and in AWX's Azure credential.
AZURE_CLOUD_NAMES = {"azurecloud": "public", "azurepubliccloud": "public", "azureusgovernment": "gcc_high"}


def from_environment(*names: str) -> tuple[t.Callable[..., t.NoReturn], list[str]]:
    """The environment variables that an option can come from, nearest first, as an argument spec says it.

    L(read) takes them. Ansible's own way would take an empty variable for a value, and could not say which one it was.
    """
    return _left_to_read, list(names)


def _left_to_read(*_names: str) -> t.NoReturn:
    raise AnsibleFallbackNotFound


def variables_of(option: Option) -> list[str]:
    """The environment variables of an option, nearest first."""
    return t.cast("list[str]", option.get("fallback", (None, []))[1])


@dataclass(frozen=True)
class Given:
    """All options of a task, defaults included, and where those that were given came from.

    origins: option to C(task), or to the name of an environment variable. blank: the options that the task itself names, but
    without a value. base: the folder of relative paths.
    """

    values: t.Mapping[str, t.Any]
    origins: t.Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    blank: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> t.Any:
        return self.values[name]

    def seconds(self, name: str) -> float:
        """A duration in seconds. Raises OptionsError."""
        return seconds(self._called(name), self.values[name])

    def positive(self, name: str) -> float:
        """A duration or a number above zero. Raises OptionsError."""
        value = self.values[name]
        number = float(value) if isinstance(value, (int, float)) else seconds(self._called(name), value)
        if not 0 < number <= _LONGEST:
            limit = "that a clock can count to" if number > 0 else "above zero"
            raise OptionsError(
                f"{self._called(name)} is {value}.", advice=f"Give a number {limit}. Nothing was started."
            )
        return number

    def _called(self, name: str) -> str:
        """The option as whoever gave it knows it: by the environment variable where it came from one."""
        origin = self.origins.get(name, _TASK)
        return name if origin == _TASK else origin


def read(
    args: t.Mapping[str, t.Any],
    spec: Spec,
    environ: t.Mapping[str, str],
    *,
    called: str,
    base: str | None = None,
    manual: str = "ansible-doc {called} lists all options.",
) -> Given:
    """The options that a task's arguments and the environment give, in that order; then the spec's defaults.

    An argument that is blank or null counts as unset, except where it selects (L(SELECTORS)). called: the module's name, for
    messages. base: the folder of relative paths. manual: where a reader finds the options. Raises OptionsError, which shows no
    secret.
    """
    values, origins, blank = {}, {}, set()
    for name, value in _by_option(args, spec, called, manual.format(called=called)).items():
        option = spec[name]
        if _is_blank(value):
            if name not in SELECTORS:
                blank.add(name)
                continue
            raise OptionsError(
                f"{name} is {'null' if value is None else 'blank'}, which could mean nothing as well as everything.",
                advice=f"Give {name}, or leave it out; an empty list selects nothing. Nothing was started.",
            )
        values[name], origins[name] = _converted(name, value, option, base), _TASK
    for name, option in spec.items():
        for variable in () if name in values else variables_of(option):
            text = environ.get(variable, "")
            if text.strip():
                text = AZURE_CLOUD_NAMES.get(text.strip().lower(), text) if variable.startswith("AZURE_CLOUD") else text
                values[name], origins[name] = _converted(variable, text, option, base), variable
                break
    missing = [name for name, option in spec.items() if option.get("required") and name not in values]
    if missing:
        raise _missing(missing, blank, called)
    for name, option in spec.items():
        values.setdefault(name, option.get("default"))
    return Given(values, origins, base, frozenset(blank))


def _missing(names: t.Sequence[str], blank: t.Collection[str], called: str) -> OptionsError:
    how = "but it is blank" if set(names) <= set(blank) else "and it is not given"
    if len(names) > 1:
        how = "and not all of them are given"
    return OptionsError(
        f"{called} needs {', '.join(names)}, {how}.",
        advice=f"{' '.join(_WHAT_FOR.get(name, f'Give {name}.') for name in names)} Nothing was started.",
    )


def secret_names(spec: Spec) -> set[str]:
    """The options, and their aliases, whose values are secrets."""
    return {
        each for name, option in spec.items() if option.get("no_log") for each in (name, *option.get("aliases", ()))
    }


def secrets_in(args: t.Mapping[str, t.Any], spec: Spec) -> list[str]:
    """The texts that are secrets, whatever else is wrong with the arguments."""
    return [text for name, value in args.items() if name in secret_names(spec) for text in _texts(value)]


def _texts(value: object) -> list[str]:
    """Every text in a value of any shape: a secret in a list or a mapping is one as well."""
    texts, ahead = [], [value]
    while ahead:
        each = ahead.pop()
        if isinstance(each, dict):
            ahead += each.values()
        elif isinstance(each, (list, tuple, set, frozenset)):
            ahead += each
        elif each is not None:
            texts.append(each.decode(errors="replace") if isinstance(each, bytes) else str(each))
    return texts


def unknown_variables(environ: t.Mapping[str, str], spec: Spec) -> list[str]:
    """A sentence for each variable that begins like one of ours and is none: whoever set it believes that it is read.

    A module that reads no variable at all has none to tell from.
    """
    known = {variable for option in spec.values() for variable in variables_of(option)}
    if not known:
        return []
    ends = [variable[len(_PREFIX) :] for variable in known if variable.startswith(_PREFIX)]
    told = []
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known and environ[variable].strip():
            # What all have in common would make any two of them near.
            close = difflib.get_close_matches(variable[len(_PREFIX) :], ends, n=1)
            hint = f" Did you mean {_PREFIX}{close[0]}?" if close else ""
            told.append(f"The environment variable {variable} is not read by anything.{hint}")
    return told


def seconds(option: str, value: object) -> float:
    """A duration such as C(4h), C(90m) or a number of seconds. Raises OptionsError."""
    match = _DURATION.match(str(value)) if not isinstance(value, bool) else None
    if not match:
        raise OptionsError(
            f"{option} is {shown(value)}.",
            advice="Give seconds, or a number with s, m, h or d, such as 4h or 90m. Nothing was started.",
        )
    if not match[2] and float(match[1]) >= _LIKE_A_DATE:
        raise OptionsError(
            f"{option} is {shown(value)}, a bare number that reads like a date or a moment.",
            advice="It is a duration: give a number with s, m, h or d, such as 4h or 90m. Nothing was started.",
        )
    return min(float(match[1]) * _UNITS[match[2].lower()], _LONGEST)


def near(name: str, known: t.Iterable[str]) -> str:
    """A hint at the nearest known name, or nothing: one that is spelt alike, else one that begins alike."""
    spellings = {each.lower(): each for each in known}
    word = name.strip().lower()
    found = difflib.get_close_matches(word, list(spellings), n=1) or sorted(
        (each for each in spellings if _begin_alike(each, word)), key=lambda each: abs(len(each) - len(word))
    )
    return f"Did you mean {spellings[found[0]]}? " if found else ""


def _begin_alike(one: str, other: str) -> bool:
    """Whether one is the other's beginning: destination is meant as dest, collect as CollectInvestigationPackage."""
    return min(len(one), len(other)) >= _SHORTEST_BEGINNING and (one.startswith(other) or other.startswith(one))


def shown(value: object) -> str:
    """A value as its author wrote it, or nearly: in the words of YAML and JSON, not in those of Python."""
    if isinstance(value, (str, bytes)):
        return repr(value.decode(errors="replace") if isinstance(value, bytes) else str(value))
    try:
        return json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        return "what it was given"


def _by_option(args: t.Mapping[str, t.Any], spec: Spec, called: str, manual: str) -> dict[str, t.Any]:
    """The arguments by their options' names. Raises OptionsError for unknown ones and for two names of one option."""
    names = {alias: name for name, option in spec.items() for alias in (name, *option.get("aliases", ()))}
    unknown = [str(name) for name in args if name not in names]
    if unknown:
        hints = "".join(near(name, names) for name in unknown)
        all_options = f"Known are {', '.join(spec)}." if len(spec) < _MANY else manual
        raise OptionsError(
            f"{called} has no option {', '.join(unknown)}.",
            advice=f"{hints}{all_options} Nothing was started.",
        )
    given: dict[str, str] = {}
    for name in args:
        other = given.setdefault(names[name], name)
        if other != name and not (_is_blank(args[other]) or _is_blank(args[name])):
            raise OptionsError(
                f"{other} and {name} are two names of one option, and both are given.",
                advice="Give one of the two. Nothing was started.",
            )
        if _is_blank(args[other]):
            given[names[name]] = name
    return {option: args[name] for option, name in given.items()}


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, (str, bytes)) and not value.strip())


def _converted(name: str, value: t.Any, option: Option, base: str | None) -> t.Any:
    """A value as its option's type. name: of the option or variable, for messages."""
    kind = option.get("type", "str")
    if kind == "raw":
        return value
    if kind == "list":
        return as_paths(name, value) if option.get("elements") == "path" else as_list(name, value)
    told = "what it was given" if option.get("no_log") else shown(value)
    if kind == "dict":
        return _as_mapping(name, value, told)
    if isinstance(value, (list, tuple, dict, set)):
        raise OptionsError(
            f"{name} takes one value, but was given {_called(value)}.", advice=f"Give one {_NOUNS[kind]}."
        )
    if kind in ("str", "path"):
        return _as_text(name, value, option, told, base)
    try:
        if kind == "bool":
            return boolean(value)
        if isinstance(value, bool):
            raise ValueError
        return int(str(value).strip()) if kind == "int" else float(str(value).strip())
    except (ValueError, TypeError):
        raise OptionsError(f"{name} is {told}.", advice=f"Give {_NOUNS[kind]}. Nothing was started.") from None


_NOUNS = {"str": "text", "path": "path", "bool": "true or false", "int": "a whole number", "float": "a number"}


def _called(value: object) -> str:
    return "a mapping" if isinstance(value, dict) else "a list"


def _as_text(name: str, value: t.Any, option: Option, told: str, base: str | None) -> str:
    if isinstance(value, bool):
        raise OptionsError(
            f"{name} is {told}: YAML reads words such as off, on, yes and no as true or false.",
            advice="Write it in quotes. Nothing was started.",
        )
    if name in SELECTORS and isinstance(value, (int, float)):
        raise OptionsError(
            f"{name} is {told}, a number: YAML reads 010 as 8 and 1.10 as 1.1, so it may not be what was written.",
            advice="Write it in quotes. Nothing was started.",
        )
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    choices = option.get("choices")
    if choices:
        text = text.strip().lower()
        if text not in choices:
            raise OptionsError(
                f"{name} is {told}.",
                advice=f"{near(text, choices)}Give one of {', '.join(choices)}. Nothing was started.",
            )
    if option.get("type") == "path":
        if "\0" in text:
            raise OptionsError(f"{name} has a NUL character.", advice="Give the path of a file or folder.")
        text = os.path.expanduser(os.path.expandvars(text))
        return os.path.abspath(os.path.join(base, text)) if base else text
    return text


def as_list(name: str, value: t.Any) -> list[t.Any]:
    """A list as people have them: a list, texts with commas, semicolons or lines, a JSON text from a survey, or one element.

    Elements are texts and mappings. Raises OptionsError for what can be neither.
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        return [each for element in value for each in _elements(name, element)]
    return list(_elements(name, value))


def as_paths(name: str, value: t.Any) -> list[t.Any]:
    """L(as_list) of paths: an element of a list is one path, whatever stands in it, for folders are called "Incident 4711, second look"."""
    if not isinstance(value, (list, tuple, set, frozenset)):
        return as_list(name, value)
    return [path for each in value for path in ([each.strip()] if _is_path(each) else as_list(name, each))]


def _is_path(element: t.Any) -> bool:
    return isinstance(element, str) and bool(element.strip()) and element.strip()[0] not in "[{"


def _elements(name: str, element: t.Any) -> list[t.Any]:
    if isinstance(element, dict):
        return [element]
    if isinstance(element, bool) or not isinstance(element, (str, bytes)):
        raise OptionsError(
            f"{name} holds {shown(element)}, which is no text.",
            advice="Write names in quotes where they look like numbers, or like true, false or null. Nothing was started.",
        )
    text = (element.decode(errors="replace") if isinstance(element, bytes) else str(element)).strip()
    if text[:1] in ("[", "{"):
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            raise OptionsError(
                f"{name} holds {text[:80]!r}, which begins like JSON but is none.",
                advice='Give a list, names with commas or lines between them, or JSON such as ["pc1", "pc2"]. Nothing was started.',
            ) from None
        return as_list(name, decoded)
    return [each.strip() for each in _SEPARATORS.split(text) if each.strip()]


def _as_mapping(name: str, value: t.Any, told: str) -> dict[str, t.Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise OptionsError(f"{name} is {told}.", advice="Give a mapping. Nothing was started.")
    return value
