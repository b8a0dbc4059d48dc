"""The command line on experiments that take seconds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from filelock import FileLock

from benchmark.cli import main as cli
from benchmark.cli import run as run_commands
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import find_records
from benchmark.report import sections

    def marked(name: str) -> bool:
        return request.node.get_closest_marker(name) is not None

    _make_quick(
        monkeypatch,
        tmp_path / "locks",
        estimates=marked("estimates"),
        reports=marked("reports"),
        figures=marked("figures"),
    )
    return Bench(tmp_path, monkeypatch, capsys, request)
