"""Finds a network's weights in a foreign checkpoint, and matches them by name and shape.

Only heads may be left over, and nothing may be missing: a network that is half random is no encoder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.encoders.formats import FORMATS
from benchmark.encoders.names import anchors, fitted, out_of_sequence, translated
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Weights = dict[str, Tensor]

# Entries of a file that hold other things than networks.
_STATES = re.compile(r"optimi[sz]er|scheduler|scaler|callbacks|loops|hyper_parameters|^(args|config|cfg|rng\w*)$")
_DEPTH = 8
# Modules after an encoder or beside it, under the encoder's own prefix: heads, decoders, tokens of training.
_HEADS = re.compile(
    r"^(fc|head|heads|classifier|fc_norm|last_layer|project(or|ors|ion|ion_head)|predict(or|ion_head)|prototypes|queue(_ptr)?"
    r"|(\w+_)?mask_tokens?|decoder\w*|dense_decoder|pooler|dino_head|ibot_head|local_cls_norm|rope_embed|rope)\b"
)


@dataclass(frozen=True)
class Match:
    """The weights found for a network, and the names that did not match.

    Attributes:
        holder: the entry of the file; empty where the file is a state dict itself.
        prefix: the text before the network's own parameter names.
        missing: names of the network that the file lacks.
        unexpected: names under the prefix that the network lacks, without those of heads, which are ignored.
        unlike: names whose shapes differ, with both shapes.
        resampled: what was done with the positions; empty if nothing was.
        patch_size: side in pixels of the file's patches where the network has others; None otherwise.
    """

    holder: str
    prefix: str
    weights: Weights
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    heads: tuple[str, ...]
    unlike: tuple[str, ...]
    resampled: str = ""
    patch_size: int | None = None

    @property
    def untrained(self) -> bool:
        """Whether a part of the network is not in the file."""
        return bool(self.missing or self.unlike)

    @property
    def whole(self) -> bool:
        """Whether the file holds all of the network, and nothing else but heads."""
        return not (self.untrained or self.unexpected)

    def report(self) -> str:
        """A one-line summary for messages."""
        where = f"{self.holder or 'the file'}, prefix '{self.prefix}'"
        parts = [f"{len(self.weights)} tensors from {where}"]
        problems = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.unlike}
        for what, names in problems.items():
            if names:
                parts.append(f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
        if self.heads:
            parts.append(f"{len(self.heads)} of heads ignored")
        if self.resampled:
            parts.append(self.resampled)
        return "; ".join(parts)


def match(content: Mapping[str, Any], network: nn.Module, kind: str, prefix: str | None = None) -> Match:
    """Finds a network's weights in the content of a checkpoint.

    Only the encoder that the format publishes is considered. What it lacks is missing, even if another one has it.

    Args:
        kind: one of `FORMATS`.
        prefix: the text before the network's own parameter names; None where the format says it.

    Raises:
        UserError: the file has no encoder where the format keeps it; or, with `auto`, several encoders fit equally.
    """
    if kind == "auto":
        return _found(content, network, prefix)
    parts = weights_of(content)
    holder = next((name for name in FORMATS[kind].holders if name in parts), "")
    tensors = parts.get(holder, {})
    if not tensors:
        raise _nothing(content)
    prefixes = FORMATS[kind].prefixes if prefix is None else (prefix,)
    chosen = next((candidate for candidate in prefixes if _has_network(candidate, tensors, network)), None)
    if chosen is None:
        raise UserError(_misplaced(kind, prefixes, holder, tensors, network))
    return _match(tensors, network, holder, chosen)


def weights_of(content: Mapping[str, Any]) -> dict[str, Weights]:
    """The tensors of every entry of a file, by its path (`classy_state_dict.base_model`; empty for the file itself).

    Their names are timm's where those of another library are recognised.
    """
    return {path: translated(tensors) for path, tensors in _entries(content, "", _DEPTH)}


def _entries(part: Mapping[Any, Any], path: str, depth: int) -> Iterator[tuple[str, Weights]]:
    tensors = {str(name): value for name, value in part.items() if isinstance(value, Tensor)}
    if tensors:
        yield path, tensors
    for name, value in part.items():
        if depth and isinstance(value, Mapping) and not _STATES.search(str(name)):
            yield from _entries(value, f"{path}.{name}" if path else str(name), depth - 1)


def _nothing(content: Mapping[str, Any]) -> UserError:
    return UserError(f"no weights found in it; entries: {', '.join(map(str, list(content)[:8]))}")


def _has_network(prefix: str, tensors: Weights, network: nn.Module) -> bool:
    """Whether any network is under a prefix; without a prefix, whether this network is."""
    if prefix:
        return any(name.startswith(prefix) for name in tensors)
    return bool(network.state_dict().keys() & {*tensors, *map(out_of_sequence, tensors)})


def _misplaced(kind: str, prefixes: tuple[str, ...], holder: str, tensors: Weights, network: nn.Module) -> str:
    """The message that a format's encoder is not where it should be, and which other encoders are in the file."""
    expected = " or ".join(f"'{prefix}'" if prefix else "its own names" for prefix in prefixes)
    matches = {prefix: _match(tensors, network, holder, prefix) for prefix in sorted(_prefixes(tensors, network))}
    others = [prefix for prefix, match in matches.items() if 2 * len(match.missing) < len(network.state_dict())]
    content = f"the names there begin with {', '.join(sorted({name.split('.')[0] for name in tensors})[:6])}"
    if others:
        content = f"there is {', '.join(map(repr, others))}"
    return (
        f"--format {kind} keeps its encoder under {expected} in {holder or 'the file itself'}; {content}. "
        "Another encoder is not taken in its place; give --prefix or another --format if you mean that one"
    )


def _found(content: Mapping[str, Any], network: nn.Module, prefix: str | None) -> Match:
    """The match that fits, or fits best, of all entries and prefixes; several that fit equally are refused."""
    matches = [
        _match(tensors, network, holder, candidate)
        for holder, tensors in weights_of(content).items()
        for candidate in ([prefix] if prefix is not None else sorted(_prefixes(tensors, network)))
        if any(name.startswith(candidate) for name in tensors)
    ]
    if not matches:
        raise _nothing(content)
    most = max(len(match.weights) for match in matches)
    best = [match for match in matches if match.whole] or [match for match in matches if len(match.weights) == most]
    first, *others = (match.weights for match in best)
    if not all(torch.equal(first[name], other[name]) for other in others for name in first.keys() & other.keys()):
        places = ", ".join(f"'{match.holder}' with prefix '{match.prefix}'" for match in best)
        how = "that fit" if best[0].whole else f"none of which fits completely ({best[0].report()})"
        raise UserError(f"holds several encoders {how}: {places}; say which one with --format or --prefix")
    return best[0]


def _prefixes(tensors: Weights, network: nn.Module) -> set[str]:
    """The prefixes under which the file has the network's first parameter."""
    ends = anchors(next(iter(network.state_dict())))
    return {name[: -len(end)] for name in tensors for end in ends if name == end or name.endswith(f".{end}")}


def _match(tensors: Weights, network: nn.Module, holder: str, prefix: str) -> Match:
    wanted = network.state_dict()
    own = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    own, resampled = fitted(own, network)
    patch_size = _other_patch_size(own, wanted)
    sized = None if patch_size else network  # of other patches, the number of positions says nothing about the size
    weights = {name: own[name] for name in wanted if name in own and own[name].shape == wanted[name].shape}
    unlike = tuple(
        f"{name} {tuple(own[name].shape)} instead of {tuple(wanted[name].shape)}{_of_size(name, own[name], sized)}"
        for name in wanted
        if name in own and own[name].shape != wanted[name].shape
    )
    # Counters of batches do not matter for a network that is not trained further.
    missing = tuple(name for name in wanted if name not in own and not name.endswith("num_batches_tracked"))
    left = [name for name in own if name not in wanted]
    heads = tuple(name for name in left if _HEADS.match(name))
    # Without a prefix, these may belong to other networks of the file.
    unexpected = tuple(name for name in left if not _HEADS.match(name))
    return Match(holder, prefix, weights, missing, unexpected, heads, unlike, resampled, patch_size)


def _other_patch_size(own: Weights, wanted: Weights) -> int | None:
    """The side of a ViT's patches in the file, where the network's own are of another size."""
    sides = [
        set(weights["patch_embed.proj.weight"].shape[2:])
        for weights in (own, wanted)
        if "patch_embed.proj.weight" in weights
    ]
    return min(sides[0]) if len(sides) == 2 and len(sides[0]) == 1 and sides[0] != sides[1] else None


def _of_size(name: str, positions: Tensor, network: Any) -> str:
    """The input size that a ViT's position embedding was made for, as a hint; empty for other tensors or no network."""
    if network is None or name != "pos_embed" or positions.ndim != 3:
        return ""
    tokens = positions.shape[1] - network.num_prefix_tokens
    side = math.isqrt(max(tokens, 0))
    if not side or side * side != tokens:
        return ""
    pixels = side * network.patch_embed.patch_size[0]
    return f": positions of {side} x {side} patches, --size {pixels} at this patch size"
