"""`segmentation-knn-v1`: labels of pixels by the nearest cells of train, with nothing to train.

Shape suffixes: B images of a batch, N images, D channels, h w cells, S pixels of a side, K labels, M cells of the bank,
Q queries, n neighbours.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from benchmark.data.annotations import IGNORE
from benchmark.evaluation.dense.maps import SHOWN, keep_label_maps, rows_at_once, upsampled
from benchmark.evaluation.dense.segmentation import (
    Labelled,
    floor_scores,
    label_count,
    labelled_split,
    metrics,
    most_frequent,
    percents,
)
from benchmark.evaluation.features import full_precision
from benchmark.randomness import generator

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.evaluation.subject import Subject

NEIGHBOURS, TEMPERATURE = 30, 0.02
BANK = 20_000
_QUERIES = 1024


def segmentation_knn(subject: Subject) -> dict[str, float]:
    """Mean IoU and pixel accuracy in percent, of a vote of the 30 nearest cells by cosine similarity.

    The bank is 20,000 random cells of train, the same for every entry, each with the shares of its pixels' labels.
    Votes are weighted by a softmax (temperature 0.02), and interpolated (bilinear) from cells to pixels. Patch
    retrieval, with the number of neighbours and the temperature of "Towards In-context Scene Understanding"
    (2306.01667), whose bank is larger. Nothing is chosen.

    Raises:
        NotApplicableError: the dataset has no label maps.
    """
    count = label_count(subject)
    train, test = (labelled_split(subject, split) for split in (subject.data.train, subject.data.test))
    bank_MD, votes_MK = _bank(train, count)
    bank_MD, votes_MK = bank_MD.to(subject.device), votes_MK.to(subject.device)
    collection, size = metrics(count), subject.dataset.image_size
    kept: list[Tensor] = []
    with full_precision():
        for indices, maps_BDhw in test.maps.batches(rows_at_once(count, size)):
            cells_QD = _cells(maps_BDhw).to(subject.device)
            voted_QK = torch.cat([vote(part, bank_MD, votes_MK) for part in torch.split(cells_QD, _QUERIES)])
            rows, columns = maps_BDhw.shape[-2:]
            voted_BKhw = voted_QK.view(len(indices), rows, columns, count).permute(0, 3, 1, 2)
            predicted_BSS = upsampled(voted_BKhw, size).argmax(dim=1).cpu()
            collection.update(predicted_BSS, test.labels.read(indices).long())
            if indices[0] < SHOWN:
                kept.append(predicted_BSS)
            subject.watch("segmentation by neighbours", len(indices))
    keep_label_maps(subject, test.labels, torch.cat(kept))
    return {**percents(collection), **floor_scores(test.labels, most_frequent(train.labels, count), count)}


def vote(cells_QD: Tensor, bank_MD: Tensor, votes_MK: Tensor) -> Tensor:
    """The weighted mean of the nearest cells' votes, `(Q, K)`; cells and bank have length 1."""
    similarity_Qn, nearest_Qn = (cells_QD @ bank_MD.T).topk(min(NEIGHBOURS, len(bank_MD)), dim=1)
    weights_Qn = (similarity_Qn / TEMPERATURE).softmax(dim=1)
    return torch.einsum("qn,qnk->qk", weights_Qn, votes_MK[nearest_Qn])


def _bank(train: Labelled, count: int) -> tuple[Tensor, Tensor]:
    """Random cells of length 1 `(M, D)`, and the shares of their pixels' labels `(M, K)`.

    Cells without a pixel that counts are not drawn.
    """
    per_image = train.maps.rows[0, 0].numel()
    order = torch.randperm(len(train.maps) * per_image, generator=generator(0, "patch bank"))[:BANK].sort().values
    of_image = order // per_image
    # Allocated at once: small pieces kept between large temporary maps would spread over gigabytes of the heap.
    bank_MD = torch.empty(len(order), train.maps.rows.shape[1])
    votes_MK = torch.empty(len(order), count)
    filled = 0
    for indices, maps_BDhw in train.maps.batches(rows_at_once(count, train.labels.rows.shape[-1])):
        mine = order[(of_image >= indices[0]) & (of_image <= indices[-1])] - int(indices[0]) * per_image
        shares_BKhw = label_shares(train.labels.read(indices), count, (maps_BDhw.shape[-2], maps_BDhw.shape[-1]))
        known = mine[(shares_BKhw.sum(1) > 0).flatten()[mine]]
        places = slice(filled, filled + len(known))
        bank_MD[places] = _cells(maps_BDhw)[known]
        votes_MK[places] = shares_BKhw.permute(0, 2, 3, 1).flatten(0, 2)[known]
        filled = places.stop
    return bank_MD[:filled], votes_MK[:filled]


def _cells(maps_BDhw: Tensor) -> Tensor:
    """The cells of feature maps, of length 1: `(B h w, D)`."""
    return F.normalize(maps_BDhw.permute(0, 2, 3, 1).flatten(0, 2), dim=1)


def label_shares(labels_BSS: Tensor, count: int, cells: tuple[int, int]) -> Tensor:
    """Of each cell, the share of each label among its pixels that count, `(B, K, h, w)`; zeros where none counts.

    Cells are those of adaptive pooling, which overlap where they do not divide the image.
    """
    images, rest = len(labels_BSS), count  # what does not count has an index of its own
    index_BSS = labels_BSS.long().masked_fill(labels_BSS == IGNORE, rest)
    index_BSS += torch.arange(images)[:, None, None] * (count + 1)
    shares_BKhw = torch.empty(images, count, *cells)
    rows, columns = (_bins(labels_BSS.shape[-1], number) for number in cells)
    for row, column in product(range(cells[0]), range(cells[1])):
        pixels = index_BSS[:, rows[row], columns[column]].flatten()
        found_BK = pixels.bincount(minlength=images * (count + 1)).view(images, count + 1)[:, :count].float()
        shares_BKhw[:, :, row, column] = found_BK / found_BK.sum(1, keepdim=True).clamp_min(1)
    return shares_BKhw


def _bins(size: int, number: int) -> list[slice]:
    """The bins of adaptive pooling along an axis."""
    return [slice(index * size // number, -(-(index + 1) * size // number)) for index in range(number)]
