"""The configuration against its schema: refused in one sentence, or completed with defaults."""

import copy
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import declared
import yaml
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.exceptions import best_match

PATH = Path(__file__).parents[1] / "config" / "schema.yaml"
NAMED = ("systems", "architectures", "figures")  # sections that files of their own add to

# To JSON schema 3.0 is an integer; to range() and to a path it is not.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, x: type(x) is int),
)


class ConfigError(ValueError):
    """A sentence about what is wrong with the configuration."""


def composed(flows: Iterable[str] | None = None) -> dict[str, Any]:
    """config/schema.yaml with what the files of flows, traps and figures say of themselves.

    Args:
        flows: those whose options are wanted; all, if left out.

    Raises:
        DeclarationError: one of these files does not say it.
    """
    content = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    sections = {
        k: v["additionalProperties"] for k, v in content["properties"].items() if k in NAMED
    }
    trap = sections["systems"]["properties"]["trap"]
    trap["enum"] = [*declared.TRAPS]
    trap["description"] += " " + "; ".join(
        f"{name}: {declared.about_trap(name).rstrip('.')}" for name in trap["enum"]
    )
    known = declared.names(declared.FLOWS)
    sections["architectures"]["properties"]["flow"]["enum"] = known
    for flow in known if flows is None else (f for f in known if f in set(flows)):
        options = {"flow": {}} | declared.architecture(flow).options
        content["$defs"][flow] = dict(type="object", additionalProperties=False, properties=options)
        chosen = {"properties": {"flow": {"const": flow}}}
        rule = {"if": chosen, "then": {"$ref": f"#/$defs/{flow}"}}
        sections["architectures"].setdefault("allOf", []).append(rule)
    figure = sections["figures"]["properties"]
    figure["kind"]["enum"] = declared.figures()
    figure["kind"]["description"] += " " + " ".join(
        f"{kind}: {declared.figure(kind).about}" for kind in figure["kind"]["enum"]
    )
    for kind in figure["kind"]["enum"]:
        figure |= declared.figure(kind).options
    return content


def complete(config: dict[str, Any]) -> None:
    """Fill in the defaults of a configuration that is fine, in place."""
    _Completing(_schema_for(config)).validate(config)


def _schema_for(config: Mapping[str, Any]) -> dict[str, Any]:
    """With the options of the flows that are there only."""
    architectures = config.get("architectures")
    specs = architectures.values() if isinstance(architectures, Mapping) else ()
    return composed([str(spec.get("flow")) for spec in specs if isinstance(spec, Mapping)])


def _completed(validator: Any, properties: Any, instance: Any, part: Any) -> Iterator[Any]:
    for name, inner in properties.items():
        if isinstance(instance, dict) and "default" in inner:
            instance.setdefault(name, copy.deepcopy(inner["default"]))
    yield from _Validator.VALIDATORS["properties"](validator, properties, instance, part)


_Completing = validators.extend(_Validator, {"properties": _completed})


def check(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that the schema does not allow.

    Raises:
        ConfigError: one sentence with the key, its value and the remedy.
        DeclarationError: a file of a flow, trap or figure that does not say what it takes.
    """
    _refuse_unquoted_names(config)
    errors = _Validator(_schema_for(config)).iter_errors(dict(config))
    if error := best_match(errors):
        raise ConfigError(_sentence(error))
    for key, value in _numbers(config):
        if not math.isfinite(number(value)) and not (key.endswith(".clip") and value > 0):
            raise ConfigError(f"{key} is {value}; it must be a finite number")


def known(key: str, value: Any, table: Any, where: str) -> None:
    """Refuse a name that a table has not.

    Raises:
        ConfigError: with the key, the name, and those that there are.
    """
    if value not in table:
        choices = ", ".join(map(str, table)) or "nothing"
        raise ConfigError(
            f"{key} is {value!r}, which is not in {where}; choose from {choices}"
            f"{_hint(value, table)}"
        )


def _hint(word: Any, choices: Any) -> str:
    close = difflib.get_close_matches(str(word), map(str, choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _refuse_unquoted_names(config: Any, key: str = "") -> None:
    """YAML reads 1.5 and yes as a number and a truth value; keys have to be text."""
    for name, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        if isinstance(config, Mapping) and not isinstance(name, str):
            raise ConfigError(f"{key or 'config'} has the key {name!r}; put it in quotes")
        if isinstance(value, Mapping | list):
            _refuse_unquoted_names(value, f"{key}.{name}".lstrip("."))


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{key}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def number(value: Any) -> float:
    """The value as a float; NaN if it is a truth value, too large, or no number."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _sentence(error: ValidationError) -> str:
    steps = [f"[{k}]" if isinstance(k, int) else f".{k}" for k in error.absolute_path]
    key = "".join(steps).lstrip(".") or "the configuration"
    value, rule = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            unknown = next(name for name in value if name not in known)
            choices = ", ".join(known)
            return (
                f"{key} has the unknown key {unknown!r}{_hint(unknown, known)}; it knows {choices}"
            )
        case "required":
            missing = ", ".join(repr(name) for name in rule if name not in value)
            return f"{key} lacks {missing}; add it"
        case "type":
            return f"{key} is {value!r}; it must be of type {_types(rule)}{_meant(value, rule)}"
        case "minimum":
            return f"{key} is {value!r}; it must be at least {rule}"
        case "maximum":
            return f"{key} is {value!r}; it must be at most {rule}"
        case "exclusiveMinimum":
            return f"{key} is {value!r}; it must be above {rule}"
        case "enum":
            choices = ", ".join(map(str, rule))
            return f"{key} is {value!r}; choose from {choices}{_hint(value, rule)}"
        case "pattern":
            return f"{key} is {value!r}, no path to use; take letters, digits, '.', '_', '-'"
        case "minItems" | "minProperties":
            return f"{key} is empty; it needs at least {rule} entry"
        case "uniqueItems":
            return f"{key} is {value!r}; its entries must differ"
    return f"{key}: {error.message}"


def _types(rule: str | list[str]) -> str:
    return " or ".join([rule] if isinstance(rule, str) else rule)


def _meant(value: Any, rule: str | list[str]) -> str:
    """How to write the number that was meant: YAML takes "20" and 1e4 for text."""
    meant = number(value)
    if rule == "integer" and meant.is_integer():
        return f"; write {int(meant)}"
    if rule == "number" and math.isfinite(meant):
        return f"; write {meant!r}, as YAML takes this for text"
    return ""
