"""The protocols and their settings as help text."""

from __future__ import annotations

from sslfast.config.help import entry_lines, help_lines
from sslfast.evaluation import PROTOCOLS
from sslfast.evaluation.options import EvaluationConfig


def describe() -> str:
    """Every setting of an evaluation: those of all protocols first, then those of each."""
    lines = ["settings of all protocols, with their defaults:", *help_lines(EvaluationConfig)]
    for name, protocol in PROTOCOLS.items():
        lines += ["", *entry_lines(f"settings of {name}", protocol.config.__doc__ or "")]
        lines += help_lines(protocol.config, base=EvaluationConfig)
    return "\n".join(lines)
