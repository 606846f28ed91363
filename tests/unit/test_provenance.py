"""What the first event records of the machine and the code."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aimet_hooks import event_log, provenance


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_versions_and_machine_are_recorded() -> None:
    found = provenance.collect()
    assert found["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert "aimet-hooks" in found["versions"]
    assert found["cpus"] == os.cpu_count()
    assert found["platform"]


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "not-a-package-of-anybody"))
    assert list(provenance.collect()["versions"]) == ["numpy"]


def test_record_is_json() -> None:
    found = provenance.collect()
    assert event_log.json_safe(found) == found
    json.dumps(found, allow_nan=False)


def test_commit_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    monkeypatch.chdir(tmp_path)
    assert provenance.collect()["git_commit"] == git(tmp_path, "rev-parse", "HEAD")


def test_repository_without_a_commit_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    assert provenance.collect()["git_commit"] is None


def test_machine_without_git_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.collect()["git_commit"] is None


@pytest.mark.parametrize(
    ("given", "recorded"),
    [(["/home/me/train.py", "--data", "/x"], ["train.py", "--data", "/x"]), ([""], [""]), ([], [])],
)
def test_command_is_recorded_without_the_directory_of_the_program(
    given: list[str], recorded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", given)
    assert provenance.collect()["command"] == recorded


def test_threads_of_the_environment_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert provenance.collect()["omp_num_threads"] == "3"
