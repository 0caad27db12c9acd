"""The protocols and their settings as help text, by parts."""

from __future__ import annotations

from sslfast.config.parts import Part, overview, part, part_text
from sslfast.evaluation.configs import CONFIGS
from sslfast.evaluation.options import EvaluationConfig

HELP = "sslfast evaluate --help"  # the command that shows it
COMMON = "common"  # the part that all protocols share


def describe(name: str) -> str:
    """Describes the settings of a protocol, or one of them, as `part_text` finds them.

    Args:
        name: a protocol's, "common" or a setting's; "": the protocols are shown, a line each.

    Raises:
        UsageError: as `part_text`.
    """
    if not name:
        meanings = {protocol: config.__doc__ or "" for protocol, config in CONFIGS.items()}
        return overview({**meanings, COMMON: "The settings of all protocols."})
    return part_text(_parts(), name)


def _parts() -> dict[str, Part]:
    parts = {
        name: part(f"settings of {name}", config.__doc__ or "", config, base=EvaluationConfig)
        for name, config in CONFIGS.items()
    }
    return {COMMON: part("settings of all", EvaluationConfig.__doc__ or "", EvaluationConfig), **parts}
