"""Weights from elsewhere: found among what else a file holds, and matched by name.

Shapes have to agree, and nothing may be missing or left over but heads: a network that is half random is no encoder.
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
from benchmark.errors import UserError
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Weights = dict[str, Tensor]

# Entries of a file that hold weights, where it is not the weights themselves.
_HOLDERS = (
    *("state_dict", "state_dict_ema", "model", "model_ema", "teacher", "student", "target_encoder", "encoder"),
    *("model_state_dict", "network"),
)
# What stands behind an encoder, under the encoder's own prefix.
_HEADS = re.compile(
    r"^(fc|head|heads|classifier|fc_norm|last_layer|projector|projection_head|prediction_head|predictor)\b"
)
# A torchvision ResNet as a sequence of its parts, without the last one.
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


@dataclass(frozen=True)
class Match:
    """What became of the names.

    Attributes:
        holder: the entry of the file, empty where it is the weights themselves.
        prefix: what stood before the network's names.
        weights: under the network's names.
        missing: names of the network that nothing was found for.
        unexpected: names under the prefix that the network does not have, heads left out.
        heads: names of heads, which were left out.
        unlike: names whose shapes differ, with both.
    """

    holder: str
    prefix: str
    weights: Weights
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    heads: tuple[str, ...]
    unlike: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether all of the network was found, and nothing else."""
        return not (self.missing or self.unexpected or self.unlike)

    def report(self) -> str:
        """In a line."""
        where = f"{self.holder or 'the file'}, prefix '{self.prefix}'"
        parts = [f"{len(self.weights)} tensors from {where}"]
        for what, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", self.unlike),
        ):
            if names:
                parts.append(f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
        if self.heads:
            parts.append(f"{len(self.heads)} of heads left out")
        return "; ".join(parts)


def match(content: Mapping[str, Any], network: nn.Module, kind: str, prefix: str | None = None) -> Match:
    """Finds a network's weights in the content of a checkpoint.

    A format's own encoder is the only one that is looked at: what it lacks is missing, whatever else would fit.

    Args:
        content: of the file.
        network: whose names and shapes are looked for.
        kind: one of `FORMATS`.
        prefix: what stands before the names, where the user knows it.

    Raises:
        UserError: there is no such format; the file has nothing where the format keeps its encoder; or, with `auto`,
            several encoders fit equally.
    """
    if kind not in FORMATS:
        raise UserError(f"--format is '{kind}'; {nearest(kind, FORMATS)}")
    if kind == "auto":
        return _only(list(_tries(content, network, prefix)), content)
    holders = [name for name in FORMATS[kind].holders if isinstance(content.get(name), Mapping)]
    holder = holders[0] if holders else ""
    tensors = _tensors(content[holder] if holders else content)
    if not tensors:
        raise _nothing(content)
    prefixes = FORMATS[kind].prefixes if prefix is None else (prefix,)
    chosen = next((one for one in prefixes if _is_there(one, tensors, network)), None)
    if chosen is None:
        raise UserError(_elsewhere(kind, prefixes, holder, tensors, network))
    return _match(tensors, network, holder, chosen)


def has_class_token(content: Mapping[str, Any]) -> bool:
    """Whether a network in the file has a class token, under the name that timm, DINO and MoCo v3 give it."""
    parts = [content, *(content[name] for name in _HOLDERS if isinstance(content.get(name), Mapping))]
    return any(name.split(".")[-1] == "cls_token" for part in parts for name in _tensors(part))


def _nothing(content: Mapping[str, Any]) -> UserError:
    return UserError(f"no weights found in it; entries: {', '.join(map(str, list(content)[:8]))}")


def _is_there(prefix: str, tensors: Weights, network: nn.Module) -> bool:
    """Whether a network stands under a prefix, be it another one; without a prefix, whether it is this one."""
    if prefix:
        return any(name.startswith(prefix) for name in tensors)
    return bool(network.state_dict().keys() & {*tensors, *map(_out_of_sequence, tensors)})


def _elsewhere(kind: str, prefixes: tuple[str, ...], holder: str, tensors: Weights, network: nn.Module) -> str:
    """Says that a format's encoder is not where it should be, and which others are."""
    wanted = " or ".join(f"'{one}'" if one else "its own names" for one in prefixes)
    wholes = {one: _match(tensors, network, holder, one) for one in sorted(_prefixes(tensors, network))}
    found = [one for one, match in wholes.items() if 2 * len(match.missing) < len(network.state_dict())]
    stands = (
        f"there is {', '.join(repr(one) for one in found)}"
        if found
        else f"the names there begin with {', '.join(sorted({name.split('.')[0] for name in tensors})[:6])}"
    )
    return (
        f"--format {kind} keeps its encoder under {wanted} in {holder or 'the file itself'}; {stands}. "
        "Another encoder is not taken in its place: say --prefix, or another --format, if it is the one you mean"
    )


def _only(found: list[Match], content: Mapping[str, Any]) -> Match:
    """The one that fits, or fits best; several that fit equally and differ are for the user to choose between."""
    if not found:
        raise _nothing(content)
    most = max(len(one.weights) for one in found)
    best = [one for one in found if one.whole] or [one for one in found if len(one.weights) == most]
    if len(best) > 1 and not _same(best):
        places = ", ".join(f"'{one.holder}' with prefix '{one.prefix}'" for one in best)
        how = "that fit" if best[0].whole else f"none of which fits wholly ({best[0].report()})"
        raise UserError(f"holds several encoders {how}: {places}; say which one with --format or --prefix")
    return best[0]


def _same(matches: list[Match]) -> bool:
    first = matches[0].weights
    return all(
        torch.equal(first[name], one.weights[name]) for one in matches[1:] for name in first if name in one.weights
    )


def _tries(content: Mapping[str, Any], network: nn.Module, prefix: str | None) -> Iterator[Match]:
    """Matches under every entry and prefix that come into question, in order."""
    places = [(name, content[name]) for name in _HOLDERS if isinstance(content.get(name), Mapping)]
    for holder, part in [*places, ("", content)]:
        tensors = _tensors(part)
        for one in [prefix] if prefix is not None else sorted(_prefixes(tensors, network)):
            if any(name.startswith(one) for name in tensors):
                yield _match(tensors, network, holder, one)


def _tensors(part: Mapping[str, Any]) -> Weights:
    return {str(name): value for name, value in part.items() if isinstance(value, Tensor)}


def _prefixes(tensors: Weights, network: nn.Module) -> set[str]:
    """What stands before one of the network's names, wherever one of them ends a name."""
    anchor = next(iter(network.state_dict()))
    sequence = {
        f"{number}.{anchor.partition('.')[2]}" for number, part in _SEQUENCE.items() if part == anchor.split(".")[0]
    }
    ends = (anchor, *sequence)
    return {name[: -len(end)] for name in tensors for end in ends if name == end or name.endswith(f".{end}")}


def _match(tensors: Weights, network: nn.Module, holder: str, prefix: str) -> Match:
    wanted = network.state_dict()
    own = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    if not wanted.keys() & own.keys():
        own = {_out_of_sequence(name): value for name, value in own.items()}
    weights = {name: own[name] for name in wanted if name in own and own[name].shape == wanted[name].shape}
    unlike = tuple(
        f"{name} {tuple(own[name].shape)} instead of {tuple(wanted[name].shape)}{_of_size(name, own[name], network)}"
        for name in wanted
        if name in own and own[name].shape != wanted[name].shape
    )
    # Counters of batches tell nothing of a network that is not trained any more.
    missing = tuple(name for name in wanted if name not in own and not name.endswith("num_batches_tracked"))
    left = [name for name in own if name not in wanted]
    heads = tuple(name for name in left if _HEADS.match(name))
    # Without a prefix, other networks of the file stand beside this one.
    unexpected = tuple(name for name in left if not _HEADS.match(name))
    return Match(holder, prefix, weights, missing, unexpected, heads, unlike)


def _of_size(name: str, positions: Tensor, network: Any) -> str:
    """Says for which input size a ViT's positions were made, where that is all that is wrong with them."""
    tokens = positions.shape[1] - network.num_prefix_tokens if name == "pos_embed" and positions.ndim == 3 else 0
    side = math.isqrt(max(tokens, 0))
    if not side or side * side != tokens:
        return ""
    pixels = side * network.patch_embed.patch_size[0]
    return f": positions of {side} x {side} patches, --size {pixels} at this patch size"


def _out_of_sequence(name: str) -> str:
    number, _, rest = name.partition(".")
    return f"{_SEQUENCE[number]}.{rest}" if number in _SEQUENCE else name
