"""Methods of other packages, found by their entry points, and what is said of packages that bring none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import pytest
from packages import install_package

from benchmark.cli.lists import LISTS
from benchmark.errors import UserError
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.spec import load_experiment
from methods.byol import BYOL
from methods.registry import describe_method, method_class, method_names, own_methods, package_of

if TYPE_CHECKING:
    from pathlib import Path

_GOOD = """
from methods.base import LossOutput, Method
from methods.config import MethodConfig

class Mine(Method[MethodConfig]):
    \"\"\"Mine alone.\"\"\"

    name = "mine"
    config_class = MethodConfig

    def loss(self, batch, step):
        return LossOutput(batch.views[0].mean())
"""


class Install(Protocol):
    def __call__(self, package: str, points: str, code: str = ...) -> None: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a made-up package that registers entry points."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(package: str, points: str, code: str = _GOOD) -> None:
        install_package(tmp_path, package, "cnn_jepa_bench.methods", points, code)

    return write


@pytest.mark.parametrize("name", own_methods())
def test_our_methods_are_described_as_their_classes_say(name: str) -> None:
    cls, summary = method_class(name), describe_method(name)
    assert summary.kinds == cls.backbone_kinds
    assert summary.text == str(sys.modules[cls.__module__].__doc__).partition("\n")[0]
    assert summary.package is None
    assert cls.name == name


def test_a_plugged_method_stands_behind_ours(install: Install) -> None:
    install("plug_good", "mine = plug_good:Mine")
    assert method_names()[0] == "cnn_jepa" and method_names()[-1] == "mine"
    assert method_class("mine").__name__ == "Mine"
    assert (package_of("mine"), package_of("byol")) == ("plug_good", None)
    assert describe_method("mine") == (("cnn", "vit"), "Mine alone.", "plug_good")
    assert dict(LISTS["methods"]())["mine"] == "[cnn/vit] Mine alone. (from package plug_good)"


@pytest.mark.parametrize(
    ("name", "code", "point", "message"),
    [
        ("plug_gone", _GOOD, "Gone", "importing plug_gone:Gone gave AttributeError"),
        ("plug_import", "import no_such_library", "Mine", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("plug_syntax", "def", "Mine", "SyntaxError"),
        ("plug_value", "Mine = 3", "Mine", "is 3; expected a subclass of methods.base.Method"),
        ("plug_class", "class Mine: pass", "Mine", "is the class Mine; expected a subclass of methods.base.Method"),
        ("plug_abstract", _GOOD.replace("def loss", "def other"), "Mine", "does not define loss"),
        ("plug_name", _GOOD.replace('name = "mine"', 'name = "hers"'), "Mine", "has the name 'hers'; expected 'mine'"),
        ("plug_config", _GOOD.replace("config_class = MethodConfig", "config_class = dict"), "Mine",
         "has the config_class the class dict; expected a subclass of methods.config.MethodConfig"),
        ("plug_colour", _GOOD.replace('name = "mine"', 'name = "mine"; colour = "blue"'), "Mine",
         "has the colour 'blue'; expected one as '#1f77b4', or None"),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_named_with_its_package(
    install: Install, tmp_path: Path, name: str, code: str, point: str, message: str
) -> None:
    install(name, f"mine = {name}:{point}", code)
    config = tmp_path / "some.yaml"
    config.write_text("{budget: {epochs: 1}, entries: [byol, mine]}")
    with pytest.raises(UserError) as caught:
        resolve_entries(*load_experiment(str(config)))
    said = str(caught.value)
    assert "some.yaml: entry 'mine': method 'mine' of package " + name + " 1.2" in said
    assert message in said and "\n" not in said
    listed = dict(LISTS["methods"]())
    assert message in listed["mine"] and listed["byol"].startswith("[cnn/vit] BYOL")


def test_a_name_that_two_bring_is_refused_only_where_it_is_asked_for(install: Install) -> None:
    install("plug_one", "mine = plug_one:Mine")
    install("plug_two", "mine = plug_two:Mine\nother = plug_two:Mine")
    with pytest.raises(ValueError, match=r"'mine' comes from plug_one 1\.2 and from plug_two 1\.2; uninstall one"):
        method_class("mine")
    assert method_names()[-2:] == ("mine", "other")
    assert method_class("byol") is BYOL
    with pytest.raises(ValueError, match="unknown method 'mina'; did you mean 'mine'"):
        method_class("mina")


def test_nobody_takes_one_of_our_names_unseen(install: Install) -> None:
    install("plug_byol", "byol = plug_byol:Mine")
    with pytest.raises(ValueError, match=r"'byol' comes from this suite itself and from plug_byol 1\.2"):
        method_class("byol")
    assert method_names().count("byol") == 1
