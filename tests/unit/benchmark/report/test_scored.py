from __future__ import annotations

from typing import Any

from benchmark.report.scored import accuracy_label, images_learnt_from, images_text, scored_weights


def test_labels_name_the_split_and_its_images(make_record: Any) -> None:
    record = make_record(dataset={"counts": {"train": 45000, "validation": 5000, "test": 10000}})
    assert accuracy_label("Linear", "test", [record]) == "Linear top-1 on 10,000 test images (%)"
    assert accuracy_label("", "validation", [record]) == "Top-1 on 5,000 validation images (%)"
    other = make_record(dataset={"counts": {"train": 900, "test": 100}})
    assert images_text("test", [record, other]) == "test images"
    assert images_text("validation", [other]) == "validation images"


def test_weights_are_named_by_entry(make_record: Any) -> None:
    online, averaged = make_record("byol"), make_record("cnn_jepa")
    assert scored_weights([online]) == "Scored are the trained weights of each entry."
    scores = averaged.metrics.encoders[averaged.metrics.primary]
    metrics = averaged.metrics.model_copy(update={"primary": "ema", "encoders": {"ema": scores}})
    averaged = averaged.model_copy(update={"metrics": metrics})
    assert scored_weights([averaged]) == "Scored are the weights of the moving average of CNN-JEPA."
    assert scored_weights([online, averaged]).endswith("of CNN-JEPA; of the others, the trained weights.")


def test_probes_on_the_way_may_learn_from_fewer_images(make_record: Any) -> None:
    dataset = {"counts": {"train": 10000, "test": 100}}
    few = make_record(dataset=dataset, config={"evaluation": {"images": 5000}})
    assert images_learnt_from([few]) == (5000, 10000)
    every = make_record(dataset=dataset, config={"evaluation": {"images": None}})
    assert images_learnt_from([every]) == (10000, 10000)
    assert images_learnt_from([make_record(dataset=dataset, config={"evaluation": {"images": 20000}})]) == (
        10000,
        10000,
    )
