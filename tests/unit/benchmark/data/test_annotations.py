"""What is known of images by place."""

from __future__ import annotations

import torch

from benchmark.data.annotations import Annotations, Objects


def test_a_part_reads_the_images_with_its_numbers() -> None:
    maps = torch.arange(10).view(10, 1, 1).expand(-1, 2, 2)
    boxes = [Objects(torch.zeros(k, 4), torch.zeros(k)) for k in range(10)]
    whole = Annotations(("a",), lambda i: maps[i], None, ("b",), lambda i: [boxes[k] for k in i.tolist()])
    part = whole.at(torch.tensor([7, 2, 5])).at(torch.tensor([2, 0]))
    assert part.label_map is not None and part.objects is not None
    assert part.label_map(torch.tensor([1, 0]))[:, 0, 0].tolist() == [7, 5]
    assert [len(found.boxes) for found in part.objects(torch.tensor([0]))] == [5]
    assert part.depth is None
    assert (part.label_names, part.object_names) == (("a",), ("b",))
