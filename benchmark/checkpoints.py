"""Weights from elsewhere: read without executing anything, found among what else a file holds, and matched by name.

Shapes have to agree, and nothing may be missing or left over but heads: a network that is half random is no encoder.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.errors import UserError
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

Weights = dict[str, Tensor]

# Entries of a file that hold weights, where it is not the weights themselves.
_HOLDERS = ("state_dict", "model", "teacher", "student", "target_encoder", "encoder", "model_state_dict", "network")
# What stands behind an encoder, under the encoder's own prefix.
_HEADS = re.compile(
    r"^(fc|head|heads|classifier|fc_norm|last_layer|projector|projection_head|prediction_head|predictor)\b"
)
# A torchvision ResNet as a sequence of its parts, without the last one.
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


@dataclass(frozen=True)
class Format:
    """Where a library keeps an encoder: entries of the file and prefixes of the names, the first that is there."""

    description: str
    holders: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ("",)


FORMATS: dict[str, Format] = {
    "auto": Format("the entry and prefix under which all of the network is found"),
    "bench": Format("encoder.safetensors of this program"),
    "timm": Format("a state dict of timm's", ("state_dict", "model")),
    "torchvision": Format("a state dict of torchvision's", ("state_dict", "model")),
    "solo-learn": Format("a checkpoint of solo-learn's", ("state_dict",), ("backbone.", "encoder.")),
    "lightly": Format("a checkpoint of lightly's examples", ("state_dict",), ("backbone.",)),
    "cnn-jepa": Format(
        "a checkpoint of CNN-JEPA's repository: its target encoder",
        ("state_dict",),
        ("momentum_backbone.", "target_encoder.", "teacher.", "backbone.", "encoder."),
    ),
    "ijepa": Format("a checkpoint of I-JEPA's repository: its target encoder", ("target_encoder",), ("module.", "")),
    "dino": Format("a checkpoint of DINO's repository: its teacher", ("teacher",), ("module.backbone.", "backbone.")),
    "moco": Format(
        "a checkpoint of MoCo's repositories",
        ("state_dict",),
        ("module.encoder_q.", "module.base_encoder.", "encoder_q.", "base_encoder."),
    ),
}


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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; nothing in it is executed.

    Raises:
        UserError: it is missing, damaged, or needs code to be run.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError) as error:
        reason = next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "")
        raise UserError(
            f"{path}: cannot be read without executing code that it brings ({reason.strip() or 'pickled objects'}); "
            "save its state dict alone, for instance as safetensors, where you trust it"
        ) from None
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: is no checkpoint ({(str(error).splitlines() or ['empty'])[0]})") from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}; expected a state dict, or a dict with one in it")
    return dict(content)


def match(content: Mapping[str, Any], network: nn.Module, kind: str, prefix: str | None = None) -> Match:
    """Finds a network's weights in the content of a checkpoint.

    Args:
        content: of the file.
        network: whose names and shapes are looked for.
        kind: one of `FORMATS`.
        prefix: what stands before the names, where the user knows it.

    Raises:
        UserError: there is no such format; or, of several encoders in the file, none is the only whole one.
    """
    if kind not in FORMATS:
        raise UserError(f"--format is '{kind}'; {nearest(kind, FORMATS)}")
    found = list(_tries(content, network, FORMATS[kind], prefix, auto=kind == "auto"))
    if not found:
        raise UserError(f"no weights found in it; entries: {', '.join(map(str, list(content)[:8]))}")
    whole = [one for one in found if one.whole]
    if kind == "auto" and prefix is None and len(whole) > 1 and not _same(whole):
        places = ", ".join(f"'{one.holder}' with prefix '{one.prefix}'" for one in whole)
        raise UserError(f"holds several encoders that fit: {places}; say which one with --format or --prefix")
    return whole[0] if whole else max(found, key=lambda one: len(one.weights))


def _same(matches: list[Match]) -> bool:
    first = matches[0].weights
    return all(torch.equal(first[name], one.weights[name]) for one in matches[1:] for name in first)


def _tries(
    content: Mapping[str, Any], network: nn.Module, form: Format, prefix: str | None, *, auto: bool
) -> Iterator[Match]:
    """Matches under every entry and prefix that come into question, in order."""
    holders = [name for name in (_HOLDERS if auto else form.holders) if isinstance(content.get(name), Mapping)]
    places: list[tuple[str, Mapping[str, Any]]] = [(name, content[name]) for name in holders]
    if not places or auto:
        places.append(("", content))
    for holder, part in places:
        tensors = {str(name): value for name, value in part.items() if isinstance(value, Tensor)}
        if not tensors:
            continue
        prefixes = [prefix] if prefix is not None else sorted(_prefixes(tensors, network)) if auto else form.prefixes
        for one in prefixes:
            if any(name.startswith(one) for name in tensors):
                yield _match(tensors, network, holder, one)


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
        f"{name} {tuple(own[name].shape)} instead of {tuple(wanted[name].shape)}"
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


def _out_of_sequence(name: str) -> str:
    number, _, rest = name.partition(".")
    return f"{_SEQUENCE[number]}.{rest}" if number in _SEQUENCE else name
