"""The contract between a method and the harness.

Shape suffixes: B images, D feature dimension, h w cells of the feature map, H W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from methods.config import MethodConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from methods.backbones import Backbone
    from methods.views import ViewSpec


@dataclass(frozen=True)
class Task:
    """What a method needs to know of the experiment when it is built.

    Attributes:
        images: that it is trained on.
    """

    image_size: int
    num_classes: int
    images: int = 0


@dataclass(frozen=True)
class Batch:
    """What a method sees.

    Attributes:
        views: normalised, `(B, 3, H, W)` each.
        labels: `(B,)`; only methods with `reads_labels` may read them.
        sample_ids: places in the training split, `(B,)`, on the CPU.
        boxes: for methods with `needs_boxes`, where each view lies in its image: `(B, 4)` with the rows of its first
            and last edge, then the columns, in shares of the image. A flipped view's columns run backwards.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    sample_ids: Tensor
    boxes: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Step:
    """The position of training: progress, step, random generator, and the method's share of the batch.

    Attributes:
        progress: in [0, 1].
        index: of the step.
        generator: the step's own, on the CPU. Draws for images are made for the whole batch (`whole`), and a method
            that sees a share takes its part of them: several devices then draw what one device would.
        start: place in the step's batch of the first image that the method sees in this call.
        batch_size: images of the step's batch, over all devices and micro-batches; None where the method sees all.
        pace: progress that a step makes, 1 / steps where their number is known; 0 where nothing is trained.
    """

    progress: float
    index: int
    generator: torch.Generator
    start: int = 0
    batch_size: int | None = None
    pace: float = 0.0

    def whole(self, images: int) -> int:
        """Images in the step's whole batch, of which the method sees `images` in this call."""
        return images if self.batch_size is None else self.batch_size


@dataclass(frozen=True)
class LossOutput:
    """A scalar to minimise, and named scalars to log (detached, on the device; the harness decides when to read).

    The loss of a share of the batch is scaled such that the mean over equally large shares is the whole batch's.
    """

    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class EncoderInfo:
    """What records say of an encoder.

    Attributes:
        weights: the trained weights themselves, or their moving average.
        pooling: how `features` come from `feature_map`.
        dimension: of a feature vector.
        recalibrate: its batch-norm statistics do not come from full images, and have to be gathered on them before
            it is probed.
    """

    weights: Literal["online", "ema"]
    pooling: str
    dimension: int
    recalibrate: bool = False


class Encoder(nn.Module):
    """What a method gives to be probed: a backbone and its description."""

    def __init__(self, backbone: Backbone, info: EncoderInfo) -> None:
        super().__init__()
        self.backbone = backbone
        self.info = info

    def features(self, images: Tensor) -> Tensor:
        """Feature vectors `(B, D)` of normalised images `(B, 3, H, W)`."""
        return self.backbone.features(images)

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of normalised images `(B, 3, H, W)`."""
        return self.backbone.feature_map(images)

    def forward(self, images: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(images)


ConfigT = TypeVar("ConfigT", bound=MethodConfig)


class Method(nn.Module, ABC, Generic[ConfigT]):
    """A self-supervised method: its views, its loss, the encoders to probe.

    All state lives in `state_dict`. Subclasses set the class attributes and implement `loss`.

    Attributes:
        name: its name in the registry.
        config_class: its typed configuration.
        backbone_kinds: what it can run on, `cnn` and/or `vit`.
        trainable: False for a method that trains nothing and so costs nothing.
        view_count: how many views it takes; None for any number.
        fixed_view_size: its views have to be of the input size (masks on a fixed grid).
        cost_varies: the cost of a step depends on its draws (masks), so that FLOPs are averaged over many steps.
        needs_whole_batch: its loss compares images with each other, so that gradients cannot be accumulated.
        reads_labels: it learns from labels, and so is trained on labelled images only.
        needs_boxes: its loss needs to know where views lie in their images (`Batch.boxes`).
        display_name: what figures and tables call it, where that is not its name.
        colour: in figures, as `#rrggbb`; where it has none, one from its name's hash.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[MethodConfig]]
    backbone_kinds: ClassVar[tuple[str, ...]] = ("cnn", "vit")
    trainable: ClassVar[bool] = True
    view_count: ClassVar[int | None] = None
    fixed_view_size: ClassVar[bool] = False
    cost_varies: ClassVar[bool] = False
    needs_whole_batch: ClassVar[bool] = False
    reads_labels: ClassVar[bool] = False
    needs_boxes: ClassVar[bool] = False
    display_name: ClassVar[str | None] = None
    colour: ClassVar[str | None] = None

    def __init__(self, config: ConfigT, backbone: Backbone, task: Task) -> None:
        super().__init__()
        self.config = config
        self.task = task
        self.backbone = backbone

    @classmethod
    def check_backbone(cls, kind: str) -> None:
        """Refuses a kind of backbone that the method cannot run on.

        Args:
            kind: `cnn` or `vit`.

        Raises:
            ValueError: says what would fit.
        """
        if kind not in cls.backbone_kinds:
            fits = {"cnn": "a CNN (resnet18, resnet50, convnext_tiny, ...)", "vit": "a ViT (vit_tiny, vit_small, ...)"}
            wanted = " or ".join(fits[allowed] for allowed in cls.backbone_kinds)
            raise ValueError(f"{cls.name} needs {wanted}, not {fits[kind].split(' (')[0]}")

    @classmethod
    def check(cls, config: Any, grid: tuple[int, int]) -> None:
        """Refuses, before anything is built, settings that do not fit the feature map's rows and columns.

        Raises:
            ValueError: says what does not fit, and what would.
        """

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        """The views that the method needs, in the order of `Batch.views`."""
        return self.config.views

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """How often each view passes through an encoder in a step, online or target, in the order of `views`.

        The default is once. Views of which an encoder sees a part (masks) count whole.
        """
        return (1,) * len(config.views)

    @abstractmethod
    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The loss of one batch. Differentiable; draws only from `step.generator`."""

    def forward(self, batch: Batch, step: Step) -> LossOutput:
        """Calls `loss`, so that a wrapper around the module (DDP) sees the call."""
        return self.loss(batch, step)

    def after_backward(self, step: Step) -> None:
        """Called between the backward pass and the optimizer (frozen last layers)."""

    def after_step(self, step: Step) -> None:
        """Called after the optimizer (moving averages)."""

    def encoders(self) -> dict[str, Encoder]:
        """The encoders to probe, by name: `online` and, where there is one, `ema`."""
        return {"online": Encoder(self.backbone, self._info("online"))}

    @classmethod
    def compares_images(cls, config: Any) -> bool:
        """Whether the loss under these settings compares images with each other (`needs_whole_batch`)."""
        return cls.needs_whole_batch

    def synchronise_batch_norm(self) -> None:
        """Makes every batch norm take its statistics over all processes of a group; without one nothing changes."""
        nn.SyncBatchNorm.convert_sync_batchnorm(self)  # type: ignore[no-untyped-call]

    def _info(self, weights: Literal["online", "ema"], *, recalibrate: bool = False) -> EncoderInfo:
        return EncoderInfo(weights, self.backbone.pooling, self.backbone.dimension, recalibrate)

    def classify(self, images: Tensor) -> Tensor | None:
        """Logits `(B, classes)` of a method that has a classifier of its own; its accuracy is recorded as an extra."""
        return None

    def glimpse(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """What a picture of the method needs besides its views, for `glimpse.npz`; changes nothing.

        Methods with masks give `context_Bhw` and `targets_BMhw`, boolean; those that predict features, two feature
        maps (`predicted_BDhw`, `target_BDhw`); those that predict pixels, normalised images (`reconstruction_BCHW`).
        """
        return {}

    def forward_parts(self) -> dict[str, list[nn.Module]]:
        """The modules whose calls a breakdown of a step times separately from the rest of the loss.

        Returns:
            `encoder`: the trained backbone; `target_encoder`: what holds the weights of any other encoder; `head`: what
            else of the method has parameters (projectors, predictors). A method with modules elsewhere overrides
            this.
        """
        own = {id(parameter) for parameter in self.backbone.parameters()}
        others = {id(p) for encoder in self.encoders().values() for p in encoder.backbone.parameters()} - own
        parts: dict[str, list[nn.Module]] = {"encoder": [self.backbone], "target_encoder": [], "head": []}
        for module in _unfolded(self.children()):
            held = {id(parameter) for parameter in module.parameters()}
            if held and not held & own and (held <= others or not held & others):
                parts["target_encoder" if held <= others else "head"].append(module)
        # A backbone may be called by its network, too.
        for part in ("encoder", "target_encoder"):
            networks = [getattr(module, "net", None) for module in parts[part]]
            parts[part] += [network for network in networks if isinstance(network, nn.Module)]
        return parts

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters in groups: `params`, and `decay`, whether weight decay applies to them.

        By default two, by the recipe's exclusions. A method may give a group a factor of the learning rate
        (`lr_factor`), or hold it where it is after the recipe's rule, without warm-up and cosine (`constant_lr`);
        `grouped` makes such groups.
        """
        return self.grouped()

    def grouped(self, **modules: tuple[nn.Module, dict[str, Any]]) -> list[dict[str, Any]]:
        """Parameter groups in which some modules have options of their own.

        Args:
            modules: by any name: a module, and the options of its groups (`lr_factor`, `constant_lr`).
        """
        everything = self.config.optimizer.decay_norm_and_bias
        apart = {id(parameter) for module, _ in modules.values() for parameter in module.parameters()}
        rest = ((name, parameter) for name, parameter in self.named_parameters() if id(parameter) not in apart)
        groups = split_by_decay(rest, everything=everything)
        for module, options in modules.values():
            groups += [
                {**group, **options} for group in split_by_decay(module.named_parameters(), everything=everything)
            ]
        return groups


def _unfolded(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """The modules, with `ModuleList`s and `ModuleDict`s, which are never called, replaced by their content."""
    for module in modules:
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            yield from _unfolded(module.children())
        else:
            yield module


def split_by_decay(parameters: Iterable[tuple[str, nn.Parameter]], *, everything: bool) -> list[dict[str, Any]]:
    """Two parameter groups: with weight decay, and without it (norm layers, biases: one dimension or fewer).

    Decided by shape rather than by name: names miss the norm layers inside sequential containers.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for _, parameter in parameters:
        if parameter.requires_grad:
            (decayed if everything or parameter.ndim > 1 else plain).append(parameter)
    groups = [{"params": decayed, "decay": True}, {"params": plain, "decay": False}]
    return [group for group in groups if group["params"]]
