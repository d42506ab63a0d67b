"""Preset as a file: its recipe as YAML, a section that fits in one line in one."""

from textwrap import wrap
from typing import Any

import yaml

from densekd.presets.preset import Preset

_WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Dumper that writes a value that occurs twice twice, without an anchor."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(preset: Preset) -> str:
    """Return the recipe as a YAML file, with source, score and differences above it."""
    lines = _header(preset)
    for key, value in preset.content.items():
        lines += _section(key, value)
    return "\n".join(lines) + "\n"


def _header(preset: Preset) -> list[str]:
    taught = f"{preset.teacher} teaches {preset.student}" if preset.teacher else f"{preset.student} alone"
    lines = [f"# {preset.system}: {preset.source}", f"# {taught}."]
    if preset.published:
        lines.append(f"# Published: {preset.published}.")
    if preset.differs:
        remark = f"{preset.differs[0].upper()}{preset.differs[1:]}."
        lines += wrap(remark, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    return lines


def _section(key: str, value: Any) -> list[str]:
    """Write one section: in a line where it fits, else a line for each of its entries."""
    flow = f"{key}: {_flow(value)}"
    if not isinstance(value, (dict, list)) or (isinstance(value, dict) and len(flow) <= _WIDTH):
        return [flow]
    lines = [f"{key}:"]
    if isinstance(value, list):
        for entry in value:
            lines += _term(entry)
        return lines
    for name, entry in value.items():
        lines.append(f"  {name}: {_flow(entry)}")
    return lines


def _term(term: dict[str, Any]) -> list[str]:
    """Write one term: in a line where it fits, else a line for each of its keys."""
    flow = f"  - {_flow(term)}"
    if len(flow) <= _WIDTH:
        return [flow]
    lines = [f"    {key}: {_flow(value)}" for key, value in term.items()]
    return [f"  - {lines[0].strip()}", *lines[1:]]


def _flow(value: Any) -> str:
    """Write a value in one line."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("...").strip()
