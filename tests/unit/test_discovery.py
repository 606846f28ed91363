"""Which plugins a run loads; entry points are those of distributions that are really installed, into ``tmp_path``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

from aimet_hooks import discovery, hookimpl
from aimet_hooks.errors import UnknownNameError, UsageError
from aimet_hooks.testing import RecordingPlugin

GOOD = """
    from aimet_hooks import hookimpl

    @hookimpl
    def on_eval_score(event): ...
"""


class Install(Protocol):
    def __call__(self, name: str, source: str = GOOD, entry: str | None = None, version: str = "1.5") -> None: ...


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for distributions, the first on the path; nothing in the environment chooses plugins."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(discovery.PLUGINS_VARIABLE, raising=False)
    monkeypatch.delenv(discovery.DISABLE_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def install(site: Path) -> Install:
    """Install a distribution with one module and one entry point, all of one name."""

    def installed(name: str, source: str = GOOD, entry: str | None = None, version: str = "1.5") -> None:
        module = f"installed_{name}_{site.name.replace('-', '_')}"
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        info = site / f"dist_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[aimet_hooks]\n{entry or name} = {module}\n")

    return installed


def names(plugins: list[str | object] | None = None) -> list[str]:
    return [name for name, _ in discovery.select(plugins)]


# -- what is found -----------------------------------------------------------------------------------------------------


def test_entry_points_are_found_with_name_distribution_and_version(install: Install) -> None:
    install("alpha")
    found = discovery.find()["alpha"]
    assert (found.name, found.distribution, found.version) == ("alpha", "dist-alpha", "1.5")


def test_found_plugins_are_not_imported(install: Install) -> None:
    install("alpha", "raise RuntimeError('imported')")
    assert "alpha" in discovery.find()


def test_found_plugins_are_sorted_by_name(install: Install) -> None:
    for name in ("zeta", "alpha", "mid"):
        install(name)
    found = list(discovery.find())
    assert found == sorted(found)


def test_built_in_plugins_are_found() -> None:
    assert {"console", "file"} <= set(discovery.find())


def test_second_plugin_of_a_name_is_hidden_and_reported(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("alpha")
    install("beta", entry="alpha")
    winner = discovery.find()["alpha"].distribution
    loser = {"dist-alpha": "dist-beta", "dist-beta": "dist-alpha"}[winner]
    assert caplog.messages == [f"plugin 'alpha' of {loser} is hidden by the one of {winner}"]


def test_broken_metadata_of_one_distribution_does_not_lose_the_others(
    install: Install, site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install("alpha")
    install("broken")
    (site / "dist_broken-1.5.dist-info" / "entry_points.txt").write_text("[aimet_hooks]\nno equals sign\n")
    assert "alpha" in discovery.find()
    assert "the entry points of an installed distribution cannot be read" in caplog.text


# -- what is loaded ----------------------------------------------------------------------------------------------------


def test_loaded_plugin_has_its_hooks(install: Install) -> None:
    install("alpha")
    loaded = discovery.load(discovery.find()["alpha"])
    assert loaded.error is None
    assert isinstance(loaded.plugin, ModuleType)
    assert loaded.hooks == ("on_eval_score",)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_package_that_is_not_there", "No module named 'a_package_that_is_not_there'"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("import sys\nsys.exit('no display')", "no display"),
        ("def broken(:", "invalid syntax"),
        ("x = 1", "it has no hook"),
        (GOOD.replace("on_eval_score", "on_eval_scores"), "'on_eval_scores', which does not exist"),
        (GOOD.replace("@hookimpl", ""), "on_eval_score is not marked"),
    ],
    ids=["missing import", "raises", "exits", "syntax", "no hook", "misspelt", "unmarked"],
)
def test_plugin_that_cannot_be_used_is_reported_once_and_left_out(
    source: str, reason: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("bad", source)
    install("good")
    assert names(["bad", "good"]) == ["good"]
    (record,) = caplog.records
    assert record.getMessage() == "plugin 'bad' cannot be loaded and is left out"
    assert record.exc_info is not None
    assert reason in caplog.text
    assert "Traceback" in caplog.text


def test_interrupt_while_a_plugin_is_imported_passes(install: Install) -> None:
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        names(["slow"])


# -- what is selected --------------------------------------------------------------------------------------------------


def test_none_loads_all_that_are_discovered(install: Install) -> None:
    install("alpha")
    install("beta")
    assert {"alpha", "beta", "console", "file"} <= set(names(None))


def test_empty_list_loads_none(install: Install) -> None:
    install("alpha")
    assert names([]) == []


def test_list_of_names_and_objects_is_exactly_what_is_loaded_in_its_order(install: Install) -> None:
    install("alpha")
    install("beta")
    recorded = RecordingPlugin()
    selected = discovery.select(["beta", recorded, "alpha"])
    assert [name for name, _ in selected] == ["beta", "RecordingPlugin", "alpha"]
    assert selected[1][1] is recorded


def test_tuple_will_do() -> None:
    recorded = RecordingPlugin()
    assert discovery.select((recorded,)) == [("RecordingPlugin", recorded)]


def test_environment_names_the_plugins(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("alpha")
    install("beta")
    monkeypatch.setenv("AIMET_HOOKS_PLUGINS", " beta, alpha ,")
    assert names(None) == ["beta", "alpha"]


def test_empty_environment_variable_names_none(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("alpha")
    monkeypatch.setenv("AIMET_HOOKS_PLUGINS", "")
    assert names(None) == []


def test_list_wins_over_the_environment(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("alpha")
    install("beta")
    monkeypatch.setenv("AIMET_HOOKS_PLUGINS", "beta")
    monkeypatch.setenv("AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert names(["alpha"]) == ["alpha"]


def test_autoload_can_be_disabled(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("alpha")
    monkeypatch.setenv("AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert names(None) == []


def test_named_plugins_are_loaded_with_autoload_disabled(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("alpha")
    install("beta")
    monkeypatch.setenv("AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("AIMET_HOOKS_PLUGINS", "beta")
    assert names(None) == ["beta"]


@pytest.mark.parametrize("value", ["", "0"])
def test_autoload_is_disabled_by_a_value_that_says_so_only(
    value: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("alpha")
    monkeypatch.setenv("AIMET_HOOKS_DISABLE_PLUGIN_AUTOLOAD", value)
    assert "alpha" in names(None)


def test_only_what_is_named_is_imported(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("alpha")
    install("bad", "raise RuntimeError('imported')")
    assert names(["alpha"]) == ["alpha"]
    assert caplog.messages == []


def test_unknown_name_lists_the_known_ones(install: Install) -> None:
    install("alpha")
    with pytest.raises(
        UnknownNameError, match=r"plugin 'alpa' is not installed; known are .*'alpha'.*'console'.*'file'"
    ):
        names(["alpa"])


def test_unknown_name_in_the_environment_is_an_error_too(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMET_HOOKS_PLUGINS", "console,fil")
    with pytest.raises(UnknownNameError, match="plugin 'fil' is not installed"):
        names(None)


def test_same_object_twice_counts_once(install: Install) -> None:
    install("alpha")
    recorded = RecordingPlugin()
    module = discovery.load(discovery.find()["alpha"]).plugin
    assert names([recorded, "alpha", recorded, module, "alpha"]) == ["RecordingPlugin", "alpha"]


def test_two_objects_of_one_class_are_two_plugins() -> None:
    assert len(discovery.select([RecordingPlugin(), RecordingPlugin()])) == 2


# -- objects -----------------------------------------------------------------------------------------------------------


def test_misspelt_hook_of_a_passed_object_is_an_error() -> None:
    class Plugin:
        @hookimpl
        def on_eval_scores(self, event: object) -> None: ...

    with pytest.raises(UnknownNameError, match="plugin 'Plugin' has the hook 'on_eval_scores', which does not exist"):
        names([Plugin()])


@pytest.mark.parametrize("junk", [5, None, object()])
def test_object_without_a_hook_is_an_error(junk: object) -> None:
    with pytest.raises(UsageError, match="it has no hook"):
        names([junk])


@pytest.mark.parametrize("plugins", ["file", 5, {"file"}, RecordingPlugin()])
def test_what_is_no_list_is_an_error(plugins: object) -> None:
    with pytest.raises(
        UsageError, match=r"plugins is .*; give a list of names and plugin objects, as plugins=\['file'\]"
    ):
        discovery.select(plugins)  # type: ignore[arg-type]
