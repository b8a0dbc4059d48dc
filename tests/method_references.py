"""Every method's loss in plain torch, in float64, as its paper states it: what ours is compared with.

A reference gets a copy of the method in float64 and takes its weights alone: backbones, heads and decoders are called,
everything between them is written here, which views are paired, what takes no gradient, what is masked. Draws come from
the step's generator in the method's order.

Shape suffixes: B images, N cells or patches, D dimension, P prototypes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnn_jepa import MaskedDenseEncoder
from cnn_jepa.sampling import sample_masks
from methods.ijepa import token_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from methods.base import Batch, Step

    Reference = Callable[[Any, Batch, Step], Tensor]


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (_unit(a) * _unit(b)).sum(-1).mean()


def _cross_entropy(wanted_BP: Tensor, logits_BP: Tensor) -> Tensor:
    """Of each row, of a distribution and of logits."""
    return -(wanted_BP * (logits_BP - logits_BP.logsumexp(-1, keepdim=True))).sum(-1)


def _pair(module: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """The projections of both views."""
    first, second = (module.projector(module.backbone.features(view)) for view in batch.views)
    return first, second


# Joint-embedding methods.


def supervised(twin: Any, batch: Batch, step: Step) -> Tensor:
    logits_BK = twin.classifier(twin.backbone.features(batch.views[0]))
    return _cross_entropy(torch.eye(logits_BK.shape[1], dtype=torch.float64)[batch.labels], logits_BK).mean()


def byol(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Equation 2, shifted and scaled to -1 to 1."""
    predicted = [twin.predictor(projection) for projection in _pair(twin, batch)]
    with torch.no_grad():
        target = [twin.target_projector(twin.target_backbone.features(view)) for view in batch.views]
    return -(_cosine(predicted[0], target[1]) + _cosine(predicted[1], target[0])) / 2


def simsiam(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Equation 4."""
    first, second = _pair(twin, batch)
    predicted = twin.predictor(first), twin.predictor(second)
    return -(_cosine(predicted[0], second.detach()) + _cosine(predicted[1], first.detach())) / 2


def simclr(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Equation 1, averaged over all views."""
    first, second = _pair(twin, batch)
    z = _unit(torch.cat((first, second)))
    scores = (z @ z.T / twin.config.temperature).exp()
    positive = scores.diagonal(len(first)).repeat(2)
    return -(positive / (scores.sum(1) - scores.diag())).log().mean()


def moco_v3(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Algorithm 1."""
    queries = [_unit(twin.predictor(projection)) for projection in _pair(twin, batch)]
    with torch.no_grad():
        keys = [_unit(twin.target_projector(twin.target_backbone.features(view))) for view in batch.views]
    tau = twin.config.temperature
    losses = [
        2 * tau * _cross_entropy(torch.eye(len(q), dtype=torch.float64), q @ k.T / tau).mean()
        for q, k in ((queries[0], keys[1]), (queries[1], keys[0]))
    ]
    return losses[0] + losses[1]


def barlow_twins(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Equation 1, with 1e-5 added to variances as in the authors' batch norm."""
    standard = [(z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in _pair(twin, batch)]
    correlation = standard[0].T @ standard[1] / len(standard[0])
    off_diagonal = correlation - correlation.diag().diag()
    on = (correlation.diag() - 1).square().sum()
    return twin.config.scale * (on + twin.config.redundancy_weight * off_diagonal.square().sum())


def _spread(z: Tensor) -> tuple[Tensor, Tensor]:
    """VICReg's variance and covariance terms, equations 1 to 4, of vectors `(B, D)`."""
    centred = z - z.mean(0)
    covariance = centred.T @ centred / (len(z) - 1)
    off_diagonal = covariance - covariance.diag().diag()
    return (1 - (covariance.diag() + 1e-4).sqrt()).clamp(min=0).mean(), off_diagonal.square().sum() / z.shape[1]


def vicreg(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Equation 6; the variance term is the mean of both views', as in the authors' code."""
    first, second = _pair(twin, batch)
    (variance_1, covariance_1), (variance_2, covariance_2) = _spread(first), _spread(second)
    config = twin.config
    spread = config.variance_weight * (variance_1 + variance_2) / 2
    return (
        config.invariance_weight * (first - second).square().mean()
        + spread
        + config.covariance_weight * (covariance_1 + covariance_2)
    )


def _halved_vicreg(config: Any, first: Tensor, second: Tensor) -> Tensor:
    """VICReg of matched vectors, both spreads averaged over views, as VICRegL's authors have it."""
    spreads = [_spread(first), _spread(second)]
    variance, covariance = (sum(term) / 2 for term in zip(*spreads, strict=True))
    invariance = (first - second).square().mean()
    weights = config.invariance_weight, config.variance_weight, config.covariance_weight
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


def _matched(a: Tensor, b: Tensor, distance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each image, the `count` cells of `a` nearest to any of `b`, nearest first, and those: `(B, count, D)`."""
    mine, theirs = [], []
    for image in range(len(a)):
        nearest = [min(range(b.shape[1]), key=lambda j: float(distance[image, i, j])) for i in range(a.shape[1])]
        order = sorted(range(a.shape[1]), key=lambda i: float(distance[image, i, nearest[i]]))[:count]
        mine.append(a[image, order])
        theirs.append(b[image, [nearest[i] for i in order]])
    return torch.stack(mine), torch.stack(theirs)


def vicregl(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section 3: vectors, and cells matched by features and by place, in both directions."""
    maps = [twin.backbone.feature_map(view) for view in batch.views]
    vectors = [twin.projector(each.mean((2, 3))) for each in maps]
    cells = [twin.local_projector(each.flatten(2).mT) for each in maps]
    places = [_places(box.double(), maps[0].shape[2:]) for box in batch.boxes]
    losses = []
    for one, other in ((0, 1), (1, 0)):
        for a, b, count in ((one, other, twin.config.matches[0]), (other, one, twin.config.matches[1])):
            by_feature = (cells[a].detach()[:, :, None] - cells[b].detach()[:, None]).square().sum(-1)
            by_place = (places[a][:, :, None] - places[b][:, None]).square().sum(-1)
            for distance in (by_feature, by_place):
                mine, theirs = _matched(cells[a], cells[b], distance, count)
                # Statistics over images for each of the matched places.
                each = [_halved_vicreg(twin.config, mine[:, k], theirs[:, k]) for k in range(count)]
                losses.append(sum(each) / count / 2)
    local = sum(losses) / 2
    share = twin.config.global_weight
    return share * _halved_vicreg(twin.config, *vectors) + (1 - share) * local


def _places(box_B4: Tensor, grid: Any) -> Tensor:
    """Centres of cells in the image, `(B, N, 2)`."""
    top, bottom, left, right = box_B4.T[..., None, None]
    rows, columns = ((torch.arange(count, dtype=torch.float64) + 0.5) / count for count in grid)
    y, x = top + rows[:, None] * (bottom - top), left + columns * (right - left)
    return torch.stack(torch.broadcast_tensors(y, x), -1).flatten(1, 2)


def lejepa(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Agreement of views with the global ones' mean, and the Epps-Pulley statistic, on the whole interval."""
    config = twin.config
    drawn = torch.randn(config.output_dim, config.directions, generator=step.generator).double()
    directions = drawn / drawn.square().sum(0).sqrt()
    views = [twin.projector(twin.backbone.features(view)) for view in batch.views]
    mean = torch.stack(views[: config.global_views]).mean(0)
    prediction = torch.stack([(view - mean).square().mean() for view in views]).mean()
    t = torch.linspace(-config.span, config.span, 2 * config.frequencies - 1, dtype=torch.float64)
    normal = (-t.square() / 2).exp()
    statistics = []
    for view in views:
        wave = torch.polar(torch.ones((), dtype=torch.float64), (view @ directions).unsqueeze(-1) * t).mean(0)
        statistics.append(len(view) * torch.trapezoid((wave - normal).abs().square() * normal, t).mean())
    return (1 - config.regularisation) * prediction + config.regularisation * torch.stack(statistics).mean()


# Methods with prototypes.


def _similarities(head: Any, features: Tensor) -> Tensor:
    """DINO's head: a projector, and cosines to prototypes, one token after the other."""
    flat = head.layers(features.flatten(0, -2)).unflatten(0, features.shape[:-1])
    return _unit(flat) @ _unit(head.prototypes).T


def _taught(twin: Any, logits: Tensor, centre: Tensor, step: Step) -> Tensor:
    """The teacher's assignments; its temperature rises linearly."""
    config = twin.config
    share = min(1.0, step.progress / config.teacher_warmup)
    temperature = config.teacher_temperature_start * (1 - share) + config.teacher_temperature * share
    return ((logits - centre) / temperature).softmax(-1)


def dino(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Equation 3; leaves the teacher's mean for the centre."""
    count, temperature = twin.config.global_views, twin.config.student_temperature
    student = [_similarities(twin.head, twin.backbone.features(view)) / temperature for view in batch.views]
    with torch.no_grad():
        said = [_similarities(twin.target_head, twin.target_backbone.features(view)) for view in batch.views[:count]]
        teacher = [_taught(twin, logits, twin.criterion.center.flatten(), step) for logits in said]
    twin.said = {"criterion.center": torch.cat(said).mean(0)}
    pairs = [_cross_entropy(t, s).mean() for i, t in enumerate(teacher) for j, s in enumerate(student) if i != j]
    return torch.stack(pairs).mean()


def ibot(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section 3: whole images as DINO, hidden patches against the teacher's of the same view."""
    config, dimension = twin.config, len(batch.views[0])
    student, entropies, said, patches = [], [], [], []
    hidden = [sample_masks(config.masking, dimension, twin.grid, step.generator).target for _ in batch.views]
    for view, mask_Bhw in zip(batch.views, hidden, strict=True):
        states = _states(twin.backbone.net, view, hidden_BN=mask_Bhw.flatten(1), token=twin.mask_token)[-1]
        student.append(_similarities(twin.head, states.mean(1)) / config.student_temperature)
        logits = _similarities(twin.head, states) / config.student_temperature
        with torch.no_grad():
            theirs = _states(twin.target_backbone.net, view)[-1]
            said.append(_similarities(twin.target_head, theirs.mean(1)))
            patches.append(_similarities(twin.target_head, theirs))
            wanted = _taught(twin, patches[-1], twin.patch_loss.center.center.flatten(), step)
        entropy_BN = _cross_entropy(wanted, logits)
        rows = [entropy_BN[i, mask].mean() for i, mask in enumerate(mask_Bhw.flatten(1))]
        entropies.append(torch.stack(rows).mean())
    twin.said = {
        "image_loss.center": torch.cat(said).mean(0),
        "patch_loss.center.center": torch.cat(patches).mean((0, 1)),
    }
    teacher = [_taught(twin, logits, twin.image_loss.center.flatten(), step) for logits in said]
    images = (_cross_entropy(teacher[0], student[1]).mean() + _cross_entropy(teacher[1], student[0]).mean()) / 2
    return images + config.patch_weight * torch.stack(entropies).mean()


def msn(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section 3: assignments of anchors against the sharpened, balanced ones of the target; mean-entropy term."""
    config, images = twin.config, len(batch.views[0])
    whole, masked, *focal = batch.views
    visible = sample_masks(config.masking, images, twin.grid, step.generator).context_Bhw.flatten(1)
    anchors = [_states(twin.backbone.net, masked, visible_BN=visible)[-1].mean(1)]
    anchors += [twin.backbone.features(view) for view in focal]
    prototypes = _unit(twin.prototypes)
    assigned = [(_unit(twin.head(anchor)) @ prototypes.T / config.temperature).softmax(1) for anchor in anchors]
    with torch.no_grad():
        target = _unit(twin.target_head(twin.target_backbone.features(whole)))
        wanted = (target @ prototypes.T / config.temperature).softmax(1) ** (1 / config.sharpening)
        wanted = wanted / wanted.sum(1, keepdim=True)
        wanted = wanted / wanted.sum()
        for _ in range(3):  # Sinkhorn: every prototype as much, then every image
            wanted = wanted / wanted.sum(0) / wanted.shape[1]
            wanted = wanted / wanted.sum(1, keepdim=True) / images
        wanted = wanted * images
    crossed = torch.stack([-(wanted * each.log()).sum(1).mean() for each in assigned]).mean()
    mean = torch.cat(assigned).mean(0)
    return crossed + config.regularisation * ((mean * mean.log()).sum() + math.log(len(mean)))


# Masked prediction.


def _states(
    net: Any,
    images: Tensor,
    *,
    visible_BN: Tensor | None = None,
    hidden_BN: Tensor | None = None,
    token: Tensor | None = None,
) -> list[Tensor]:
    """A ViT's states after each block, the last after its norm; `visible` patches alone, or `hidden` ones replaced."""
    x = net.patch_embed(images)
    if hidden_BN is not None:
        x = torch.stack([torch.stack([token if h else p for p, h in zip(*row)]) for row in zip(x, hidden_BN)])  # noqa: B905
    x = x + net.pos_embed
    if visible_BN is not None:
        x = torch.stack([row[mask] for row, mask in zip(x, visible_BN, strict=True)])
    states = []
    for block in net.blocks:
        x = block(x)
        states.append(x)
    return [*states[:-1], net.norm(x)]


def _patches(images: Tensor, side: int) -> Tensor:
    """Patches in raster order, normalised each: `(B, N, 3 x side x side)`."""
    size = images.shape[-1]
    places = [(y, x) for y in range(0, size, side) for x in range(0, size, side)]
    raw = torch.stack([images[:, :, y : y + side, x : x + side].flatten(1) for y, x in places], dim=1)
    return (raw - raw.mean(-1, keepdim=True)) / (raw.var(-1, keepdim=True) + 1e-6).sqrt()


def mae(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section 3: mean squared error of hidden patches' normalised pixels."""
    (images,) = batch.views
    visible_BN = sample_masks(twin.config.masking, len(images), twin.grid, step.generator).context_Bhw.flatten(1)
    known = _states(twin.backbone.net, images, visible_BN=visible_BN)[-1]
    seen, hidden = (torch.stack([row.nonzero()[:, 0] for row in mask]) for mask in (visible_BN, ~visible_BN))
    predicted = twin.decoder(known, seen, hidden)
    wanted = torch.stack([row[index] for row, index in zip(_patches(images, twin.patch), hidden, strict=True)])
    return (predicted - wanted).square().mean()


def spark(twin: Any, batch: Batch, step: Step) -> Tensor:
    """The same on a CNN whose maps are computed whole and set to zero where they are hidden, layer by layer."""
    (images,) = batch.views
    masks = sample_masks(twin.config.masking, len(images), twin.grid, step.generator)
    maps = MaskedDenseEncoder(twin.backbone.net, twin.patch, twin.backbone.stages).feature_maps(images, masks)
    pixels = twin.decoder(maps, masks.context_Bhw)
    side = twin.patch
    places = [(y, x) for y in range(0, images.shape[-1], side) for x in range(0, images.shape[-1], side)]
    predicted = torch.stack([pixels[:, :, y : y + side, x : x + side].flatten(1) for y, x in places], dim=1)
    error_BN = (predicted - _patches(images, side)).square().mean(-1)
    return error_BN[~masks.context_Bhw.flatten(1)].mean()


def data2vec(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section 3: smooth L1 to the normalised mean of the teacher's last normalised states."""
    (images,) = batch.views
    hidden_BN = sample_masks(twin.config.masking, len(images), twin.grid, step.generator).target.flatten(1)
    predicted = twin.head(_states(twin.backbone.net, images, hidden_BN=hidden_BN, token=twin.mask_token)[-1])
    with torch.no_grad():
        last = _states(twin.target_backbone.net, images)[-twin.config.blocks :]
        target = _layer_norm(sum(_layer_norm(state) for state in last) / len(last))
    return _smooth_l1(predicted - target, twin.config.beta).mean(-1)[hidden_BN].mean()


def _layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


def _smooth_l1(difference: Tensor, beta: float = 1.0) -> Tensor:
    size = difference.abs()
    return torch.where(size < beta, size.square() / (2 * beta), size - beta / 2)


def ijepa(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section 3: each block predicted on its own; the mean over all patches of all blocks.

    Targets have layer norm as in the paper or, as the recipe for small images has it, channels standardised over the
    batch.
    """
    (images,) = batch.views
    layout = token_layout(sample_masks(twin.config.masking, len(images), twin.grid, step.generator), step.generator)
    with torch.no_grad():
        target = _states(twin.target_backbone.net, images)[-1]
        if twin.config.normalise == "batch":
            spread = target.var((0, 1), unbiased=False) + 1e-5
            target = (target - target.mean((0, 1))) / spread.sqrt()
        else:
            target = _layer_norm(target)
    losses = []
    for index, image in enumerate(images.split(1)):
        seen = torch.zeros(1, target.shape[1], dtype=torch.bool)
        seen[0, layout.context_BK[index]] = True
        context = _states(twin.backbone.net, image, visible_BN=seen)[-1]
        for block, patches in enumerate(layout.targets_BMT[index]):
            valid = slice(None) if layout.valid_BMT is None else layout.valid_BMT[index, block]
            asked = patches[valid]
            predicted = twin.predictor(context, layout.context_BK[index : index + 1], asked[None])[0]
            losses.append(_smooth_l1(predicted - target[index, asked]).mean(-1))
    return torch.cat(losses).mean()


def cnn_jepa(twin: Any, batch: Batch, step: Step) -> Tensor:
    """Section III: smooth L1 of unit vectors at hidden cells, hidden areas zero after every layer."""
    (images,) = batch.views
    model = twin.model
    masks = sample_masks(twin.config.masking, len(images), twin.grid, step.generator)
    with torch.no_grad():
        target = _unit(model.target_network(images).movedim(1, -1))
    context = MaskedDenseEncoder(model.network, twin.backbone.spec.stride)(images, masks)
    filled = torch.where(masks.context_Bhw.unsqueeze(1), context, model.mask_token)
    predicted = _unit(model.predictor(filled).movedim(1, -1))
    return _smooth_l1(predicted - target).sum(-1)[masks.target].mean()


REFERENCES: dict[str, Reference] = {
    reference.__name__: reference
    for reference in (
        *(cnn_jepa, ijepa, byol, simclr, vicreg, supervised),
        *(barlow_twins, simsiam, moco_v3, dino, ibot, msn, mae, spark, data2vec, lejepa, vicregl),
    )
}
