"""Weights of other software put into an encoder: which tensors are its own, and which were left over."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from sslfast.errors import UsageError

log = logging.getLogger(__name__)

SHOWN = 5  # names in a message
# Words in the names of the copies that are not meant: those that follow another network, and DINO's student, whose
# teacher is better (Caron et al. 2021, section 5.2).
COPIES = {"k", "key", "momentum", "target", "ema", "student"}
# Parts that come after an encoder: a classifier, or the heads of pre-training.
HEADS = re.compile(r"(fc|heads?|classifier|linear|proj\w*|pred\w*|prototypes|queue\w*|mlp)\b")
ARCHITECTURE = "name its architecture by --architecture, in a recipe by encoder.name and its other settings"
COUNTER = "num_batches_tracked"  # old files lack it, and no output depends on it


def find_prefix(tensors: Mapping[str, Tensor], wanted: Sequence[str], origin: str) -> str:
    """Finds what the file's names have before an encoder's own: `module.encoder_q.`, `backbone.` or nothing.

    The prefix under which most of the encoder's names are found is its own; of several as good, `choose_prefix`'s.

    Args:
        tensors: of the file, by name.
        wanted: the encoder's names.
        origin: the file, for messages.

    Raises:
        UsageError: no name of the encoder is there, or several networks are that could be meant.
    """
    counts: dict[str, int] = {}
    names = set(wanted)
    for name in tensors:
        for dot in [-1, *(i for i, letter in enumerate(name) if letter == ".")]:
            if name[dot + 1 :] in names:
                counts[name[: dot + 1]] = counts.get(name[: dot + 1], 0) + 1
    if not counts:
        raise UsageError(
            f"{origin}: none of its {len(tensors)} tensors is of this encoder: it has {_some(tensors)}, expected "
            f"{_some(wanted)}; {ARCHITECTURE}"
        )
    return choose_prefix([prefix for prefix, count in counts.items() if count == max(counts.values())], origin)


def choose_prefix(prefixes: Sequence[str], origin: str) -> str:
    """Chooses the prefix that is meant of those of whole networks: no copy's, if there is another.

    Raises:
        UsageError: several could be meant.
    """
    own = [prefix for prefix in prefixes if COPIES.isdisjoint(re.split(r"[._]", prefix.lower()))] or list(prefixes)
    if len(own) > 1:
        raise UsageError(
            f"{origin}: holds {len(own)} encoders, {', '.join(sorted(own))}; save the one that is meant alone"
        )
    return own[0]


def fit(tensors: Mapping[str, Tensor], network: nn.Module, origin: str, *, partial: bool = False) -> None:
    """Loads the tensors of a file that are a network's, whatever their names begin with.

    Args:
        tensors: of the file, by name.
        network: the encoder; it gets the weights.
        origin: the file, for messages.
        partial: take what fits, with a warning, and leave the rest as it is.

    Raises:
        UsageError: without `partial`: a tensor of the network is missing or has another shape, or one is left over
            that is neither a classifier's nor a head's. Nothing was loaded then.
    """
    own = network.state_dict()
    prefix = find_prefix(tensors, list(own), origin)
    given = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    other = [name for name in own if name in given and own[name].shape != given[name].shape]
    extra = [name for name in given if name not in own and not HEADS.match(name)]
    heads = [name for name in given if name not in own and HEADS.match(name)]
    faults = [
        *([f"it lacks {_some(missing)}"] if missing else []),
        *(f"{name} is {tuple(given[name].shape)}, not {tuple(own[name].shape)}" for name in other[:SHOWN]),
        *([f"it has {_some(extra)}, which the encoder has not"] if extra else []),
    ]
    if faults and not partial:
        raise UsageError(
            f"{origin}: its weights do not fit: {'; '.join(faults)}; {ARCHITECTURE}, or take what fits by "
            "--partial"
        )
    for fault in faults:
        log.warning("%s: %s", origin, fault)
    if heads:
        log.info("%s: left out %d tensors of its heads, %s", origin, len(heads), _some(heads))
    network.load_state_dict({**own, **{name: given[name] for name in own if name in given and name not in other}})


def _some(names: Mapping[str, Tensor] | Sequence[str]) -> str:
    shown = list(names)[:SHOWN]
    return ", ".join(shown) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
