# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX 24 demands of credential types and surveys, and what it makes of them when a job starts."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import typing as t
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

NAME = re.compile(r"[a-zA-Z_]+[a-zA-Z0-9_]*")
FORBIDDEN_ENVIRONMENT = set(
    [
        "VIRTUAL_ENV",
        "PATH",
        "PYTHONPATH",
        "JOB_ID",
        "INVENTORY_ID",
        "INVENTORY_SOURCE_ID",
        "INVENTORY_UPDATE_ID",
        "AD_HOC_COMMAND_ID",
        "REST_API_URL",
        "REST_API_TOKEN",
        "MAX_EVENT_RES",
        "CALLBACK_QUEUE",
        "CALLBACK_CONNECTION",
        "CACHE",
        "JOB_CALLBACK_DEBUG",
        "INVENTORY_HOSTVARS",
        "AWX_HOST",
        "PROJECT_REVISION",
        "SUPERVISOR_CONFIG_PATH",
    ]
)
FIELD_KEYS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "label": str,
    "type": str,
    "format": str,
    "choices": list,
    "help_text": str,
    "multiline": bool,
    "secret": bool,
    "ask_at_runtime": bool,
    "default": (str, bool),
}
SURVEY_TYPES: dict[str, type | tuple[type, ...]] = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": (float, int),
}


# What the files are called in which a credential's extra variables are handed over.
VARIABLES = "injected_vars_"


class RuleBroken(Exception):
    """What AWX would refuse."""


def require(holds: object, complaint: str) -> None:
    if not holds:
        raise RuleBroken(complaint)


def check_inputs(inputs: t.Any) -> None:
    require(isinstance(inputs, dict) and set(inputs) <= {"required", "fields"}, f"keys of inputs: {inputs}")
    names = [field.get("id") for field in inputs.get("fields", [])]
    require(len(set(names)) == len(names), f"ids are not unique: {names}")
    for field in inputs.get("fields", []):
        require({"id", "label"} <= set(field) <= set(FIELD_KEYS), f"keys of field: {field}")
        for key, value in field.items():
            require(isinstance(value, FIELD_KEYS[key]), f"{key} of {field['id']} is {value!r}")
        kind = field.get("type", "string")
        require(kind in ("string", "boolean"), f"type {kind}")
        require(NAME.fullmatch(field["id"]) and field["id"] != "tower", f"id {field['id']}")
        require(field.get("format", "url") in ("ssh_private_key", "url"), f"format of {field}")
        if kind == "boolean":
            require(not {"choices", "multiline", "format", "secret"} & set(field), f"not for a boolean: {field}")
        if "choices" in field:
            choices = field["choices"]
            require(choices and len(set(choices)) == len(choices), f"choices of {field}")
            require(all(isinstance(choice, str) for choice in choices), f"choices of {field}")
        if "default" in field:
            require(isinstance(field["default"], {"string": str, "boolean": bool}[kind]), f"default of {field}")
            require(field["default"] in field.get("choices", [field["default"]]), f"default of {field}")
    require(set(inputs.get("required", [])) <= set(names), f"required, but no field: {inputs.get('required')}")


def check_injectors(injectors: t.Any, inputs: dict[str, t.Any]) -> None:
    require(isinstance(injectors, dict) and set(injectors) <= {"env", "file", "extra_vars"}, f"keys: {injectors}")
    files = injectors.get("file", {})
    require(len(files) < 2 or "template" not in files, "one unnamed file, or several named ones")
    for label in files:
        require(re.fullmatch(r"template(\.[a-zA-Z_]+[a-zA-Z0-9_]*)?", label), f"file {label}")
    for name, template in injectors.get("env", {}).items():
        require(NAME.fullmatch(name), f"environment variable {name}")
        require(not name.startswith("ANSIBLE_") and name not in FORBIDDEN_ENVIRONMENT, f"{name} is forbidden")
        require(isinstance(template, str) and template.isascii(), f"value of {name}")
    space: dict[str, t.Any] = {field["id"]: "EXAMPLE" for field in inputs.get("fields", [])}
    space["tower"] = {
        "filename": {label.partition(".")[2]: "FILE" for label in files} if "template" not in files else "F"
    }
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    variables = injectors.get("extra_vars", {})
    require(all(isinstance(each, str) for each in variables.values()), f"extra_vars {variables}")
    for template in (*files.values(), *injectors.get("env", {}).values(), *variables.values()):
        try:
            sandbox.from_string(template).render(space)
        except UndefinedError as failure:
            raise RuleBroken(f"{template}: {failure}") from None


def check_survey(survey: t.Any) -> None:
    for part, shape in (("name", str), ("description", str), ("spec", list)):
        require(isinstance(survey.get(part), shape), f"{part} of the survey is {survey.get(part)!r}")
    require(survey["spec"], "no questions")
    names = [question.get("variable") for question in survey["spec"]]
    require(len(set(names)) == len(names), f"variables are not unique: {names}")
    for question in survey["spec"]:
        for key, kind in (("type", str), ("question_name", str), ("variable", str), ("required", bool)):
            require(isinstance(question.get(key), kind), f"{key} is {question.get(key)!r} in {question}")
        require(question["type"] in SURVEY_TYPES, f"type of {question}")
        require(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", question["variable"]), f"variable of {question}")
        for key in ("min", "max"):
            require(isinstance(question.get(key, None), (int, type(None))), f"{key} of {question}")
        default = question.get("default", "")
        require(default == "" or isinstance(default, SURVEY_TYPES[question["type"]]), f"default of {question}")
        require(not str(default).startswith("$encrypted$"), f"default of {question}")
        if question["type"] in ("multiplechoice", "multiselect"):
            choices = question.get("choices")
            choices = choices.splitlines() if isinstance(choices, str) else choices
            require(choices, f"choices of {question}")
            defaults = str(default).splitlines()
            require(len(defaults) < 2 or question["type"] == "multiselect", f"default of {question}")
            require(set(defaults) <= set(choices), f"default of {question}")


def check_answers(survey: dict[str, t.Any], answers: dict[str, t.Any]) -> None:
    """What AWX checks when a job is launched."""
    for question in survey["spec"]:
        answer = answers.get(question["variable"])
        require(answer not in (None, "") or not question["required"], f"{question['variable']} is missing")
        if isinstance(answer, str) and answer:
            require(len(answer) >= (question.get("min") or 0), f"{question['variable']} is too short")
            require(
                question.get("max") is None or len(answer) <= question["max"], f"{question['variable']} is too long"
            )
        if question["type"] == "multiplechoice" and answer is not None:
            require(answer in question["choices"], f"{answer} is no choice")
    require(set(answers) <= {question["variable"] for question in survey["spec"]}, f"not asked for: {answers}")


def wrong_answer(question: dict[str, t.Any], answers: dict[str, t.Any]) -> list[str]:
    """What AWX says of an answer of a launch by its API, which fills in no defaults (awx/main/models/mixins.py)."""
    name = question["variable"]
    if name not in answers:
        return [f"'{name}' value missing"] if question["required"] else []
    value = answers[name]
    if question["type"] in ("text", "textarea", "password"):
        if not isinstance(value, str):
            return [f"Value {value} for '{name}' expected to be a string."]
        if len(value) < (question.get("min") or 0):
            return [f"'{name}' value {value} is too small (length is {len(value)} must be at least {question['min']})."]
        if question.get("max") is not None and len(value) > question["max"]:
            return [f"'{name}' value {value} is too large (must be no more than {question['max']})."]
    if question["type"] == "multiplechoice" and value not in question["choices"]:
        return [f"Value {value} for '{name}' expected to be one of {question['choices']}."]
    return []


def require_inputs(kind: dict[str, t.Any], values: dict[str, str]) -> None:
    """What AWX looks at before it starts a job: a credential without a required input starts none."""
    missing = [name for name in kind["inputs"].get("required", []) if not values.get(name)]
    require(not missing, f"Job cannot start, a credential of the type {kind['name']} lacks {', '.join(missing)}")


def check_private_key(text: str) -> None:
    """What AWX demands of an input of the format ssh_private_key (awx/main/validators.py, validate_private_key)."""
    found = re.fullmatch(r"\s*-{4,} *BEGIN ([A-Z ]*PRIVATE KEY) *-{4,}(.+)-{4,} *END \1 *-{4,}\s*", text, re.DOTALL)
    require(found, "Invalid certificate or key")
    assert found
    kind = found[1].replace("ENCRYPTED PRIVATE KEY", "").replace("PRIVATE KEY", "").strip()
    require(kind in ("RSA", "DSA", "EC", "OPENSSH", ""), f"Invalid private key: unsupported type {kind}")
    try:
        require(base64.b64decode("".join(found[2].split())), "Invalid base64-encoded data")
    except binascii.Error:
        raise RuleBroken("Invalid base64-encoded data") from None


class _Unsafe(str):
    """A text that AWX writes so that Ansible takes no braces in it for a template."""


yaml.SafeDumper.add_representer(_Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style="'"))


def safe_dump(variables: dict[str, t.Any], own: dict[str, t.Any]) -> str:
    """Variables as AWX writes them: no braces in them are templates, save in what the job template itself says (own)."""

    def unsafe(value: t.Any) -> t.Any:
        if isinstance(value, dict):
            return {unsafe(name): unsafe(each) for name, each in value.items()}
        if isinstance(value, list):
            return [unsafe(each) for each in value]
        return _Unsafe(value) if isinstance(value, str) else value

    dumped: dict[str, t.Any] = {}
    for name, value in variables.items():
        dumped.update({name: value} if name in own and own[name] == value else unsafe({name: value}))
    return yaml.safe_dump(dumped, width=1_000_000)


def inject(kind: dict[str, t.Any], values: dict[str, str], private_data: Path) -> dict[str, str]:
    """The environment of a job that has a credential of this type; files are written as AWX writes them.

    Extra variables, which AWX hands over as a file of their own, lie beside the others: see L(injected_variables).
    """
    require_inputs(kind, values)
    # Inputs that are empty do not exist, and what does not exist renders as nothing.
    space: dict[str, t.Any] = {name: value for name, value in values.items() if value}
    sandbox = ImmutableSandboxedEnvironment()
    names: dict[str, str] = {}
    for label, template in kind["injectors"].get("file", {}).items():
        path = private_data / "env" / f"tmp{len(names)}{label.replace('.', '')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sandbox.from_string(template).render(**space))
        os.chmod(path, 0o600)
        names[label.partition(".")[2]] = str(path)
    space["tower"] = {"filename": names}
    variables = {
        name: sandbox.from_string(template).render(**space)
        for name, template in kind["injectors"].get("extra_vars", {}).items()
    }
    if variables:
        path = private_data / "env" / f"{VARIABLES}{len(injected_variables(private_data))}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(safe_dump(variables, {}))
        path.chmod(0o400)
    return {
        name: sandbox.from_string(template).render(**space)
        for name, template in kind["injectors"].get("env", {}).items()
    }


def injected_variables(private_data: Path) -> list[Path]:
    """The files with extra variables of a job's credentials."""
    return sorted((private_data / "env").glob(f"{VARIABLES}*"))


def inject_machine(values: dict[str, str], private_data: Path) -> None:
    """AWX's own type Machine: the key goes into an agent, and its passphrase where ssh-add asks for it (awx/main/tasks/jobs.py)."""
    key = private_data / "env" / "ssh_key"
    key.write_text(values["ssh_key_data"])
    key.chmod(0o600)
    prompts = {
        r"Enter passphrase for .*:\s*?$": values["ssh_key_unlock"],
        r"Bad passphrase, try again for .*:\s*?$": "",
    }
    (private_data / "env" / "passwords").write_text(json.dumps(prompts))


def inject_azure(kind: dict[str, t.Any], values: dict[str, str]) -> dict[str, str]:
    """The same for AWX's own credential type Microsoft Azure Resource Manager, with a service principal."""
    require_inputs(kind, values)
    environment = {
        "AZURE_CLIENT_ID": values["client"],
        "AZURE_SECRET": values["secret"],
        "AZURE_TENANT": values["tenant"],
        "AZURE_SUBSCRIPTION_ID": values.get("subscription", ""),
    }
    if values.get("cloud_environment"):
        environment["AZURE_CLOUD_ENVIRONMENT"] = values["cloud_environment"]
    return environment


def playbooks(project: Path) -> list[str]:
    """The files that AWX offers as playbooks of a project."""
    skipped = {"roles", "tasks", "group_vars", "host_vars"}
    found = []
    for path in sorted(project.rglob("*.y*ml")):
        inside = path.relative_to(project)
        if skipped & set(inside.parts[:-1]) or any(part.startswith(".") for part in inside.parts):
            continue
        if re.search(
            r"^\s*?-?\s*?(?:hosts|(?:ansible\.builtin\.)?(?:include|import_playbook)):\s*?.*?$", path.read_text(), re.M
        ):
            found.append(str(inside))
    return found


def parse_vars(text: str) -> dict[str, t.Any]:
    try:
        parsed = json.loads(text or "{}")
    except ValueError:
        raise RuleBroken(f"not JSON: {text}") from None
    require(isinstance(parsed, dict), f"no mapping: {text}")
    return t.cast("dict[str, t.Any]", parsed)
