"""`bench new-method`: a package with a method, its recipe, an experiment and a test, to start from."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from benchmark.errors import UserError
from benchmark.files.disk import writing
from methods.registry import method_names

app = typer.Typer()

_TEMPLATES = Path(__file__).with_name("new_method_files")


@app.command()
def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method, for instance my_method.")],
    out: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path(),
) -> None:
    """Write a package with a method that works, its recipe, an experiment and a test, to start from."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(
            f"'{name}' cannot be a method's name; expected lower-case letters, digits and _, such as my_method"
        )
    if name in method_names():
        raise UserError(f"there is a method '{name}' already; choose another name")
    folder = out / name
    if folder.exists():
        raise UserError(f"{folder} exists; choose another name or --out")
    values = {"name": name, "dashed": name.replace("_", "-"), "cls": name.title().replace("_", "")}
    with writing(folder, "choose another --out"):
        folder.mkdir(parents=True)
        for template in sorted(_TEMPLATES.glob("*.j2")):
            target = template.stem.replace("test_method", f"test_{name}").replace("method.py", f"{name}.py")
            target = f"bench_{target}" if target == f"{name}.py" else target
            (folder / target).write_text(_render(template, values), encoding="utf-8")
    typer.echo(
        f"{folder}: the method is in bench_{name}.py. To try it out:\n"
        f"  pip install --no-deps -e {folder}\n  pytest {folder}\n  bench run {folder}/experiment.yaml"
    )


def _render(template: Path, values: dict[str, str]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)
