"""The table of formats."""

from __future__ import annotations

from layouts import FORMATS as LAYOUTS

from benchmark.encoders.formats import FORMATS


def test_every_format_is_laid_out_and_described() -> None:
    assert set(FORMATS) == {"auto", *LAYOUTS}
    assert all(form.description for form in FORMATS.values())


def test_no_format_looks_for_a_siblings_names() -> None:
    prefixes = {prefix for form in FORMATS.values() for prefix in form.prefixes}
    assert not [prefix for prefix in prefixes if any(word in prefix for word in ("student", "teacher", "encoder_k"))]
    assert FORMATS["cnn-jepa"].prefixes == ("backbone_momentum.",)
