"""Plugins are called one by one, and none can touch the run or the others."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from aimet_hooks import hookimpl
from aimet_hooks.errors import UnknownNameError, UsageError
from aimet_hooks.events import BaselineScored, EvalScored, Event, LayerSkipped
from aimet_hooks.hooks import Hooks, Passed, Selected, hooks_of
from aimet_hooks.run_settings import RunSettings
from aimet_hooks.run_state import RunState
from aimet_hooks.testing import RecordingPlugin, finished_run

SKIPPED = LayerSkipped(layer="conv", reason="grouped")


def hooks(*plugins: object) -> Hooks:
    named = [
        plugin if isinstance(plugin, Selected) else Selected(f"plugin{at}", plugin) for at, plugin in enumerate(plugins)
    ]
    return Hooks(named, {name: RunSettings(run_name=name) for name, _ in named})


def hear(heard: Hooks, *events: Event) -> None:
    run = RunState()
    for event in events:
        run.apply(event)
        heard.call(event, run)


class Skips:
    """Remembers what it was called with, then does its deed."""

    def __init__(self, deed: Any = lambda event, run: None) -> None:
        self.deed = deed
        self.calls: list[Event] = []

    @hookimpl
    def on_layer_skipped(self, event: LayerSkipped, run: RunState) -> None:
        self.calls.append(event)
        self.deed(event, run)


def raising(error: BaseException) -> Any:
    def deed(event: Event, run: RunState) -> None:
        raise error

    return deed


# -- which arguments a hook takes --------------------------------------------------------------------------------------


def test_hook_gets_the_arguments_that_its_signature_names() -> None:
    got: dict[str, tuple[object, ...]] = {}

    class Plugin:
        @hookimpl
        def on_layer_skipped(self, event: LayerSkipped, run: RunState) -> None:
            got["both"] = (event, run)

        @hookimpl
        def on_baseline_score(self, run: RunState) -> None:
            got["run"] = (run,)

        @hookimpl
        def on_exploration_started(self, event: Event) -> None:
            got["event"] = (event,)

        @hookimpl
        def on_ratios_selected(self) -> None:
            got["neither"] = ()

        @hookimpl
        def on_eval_score(self, run: RunState, event: EvalScored) -> None:
            got["other order"] = (run, event)

    hear(hooks(Plugin()), *finished_run())
    assert set(got) == {"both", "run", "event", "neither", "other order"}
    assert isinstance(got["both"][0], LayerSkipped)
    assert isinstance(got["other order"][0], RunState)
    assert isinstance(got["other order"][1], EvalScored)


def test_module_functions_and_static_and_class_methods_are_hooks_too() -> None:
    calls = []

    class Plugin:
        @staticmethod
        @hookimpl
        def on_layer_skipped(event: LayerSkipped) -> None:
            calls.append("static")

        @classmethod
        @hookimpl
        def on_baseline_score(cls, event: BaselineScored) -> None:
            calls.append("class")

    hear(hooks(Plugin), SKIPPED, BaselineScored(score=1.0))
    assert calls == ["static", "class"]


def test_hook_sees_the_state_with_its_event_included() -> None:
    seen = []
    hear(hooks(Skips(lambda event, run: seen.append(dict(run.skipped)))), SKIPPED)
    assert seen == [{"conv": "grouped"}]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_plugin_without_a_hook_is_refused() -> None:
    with pytest.raises(UsageError, match=r"plugin 'p' \(builtins.int\): it has no hook; mark create_reporter or"):
        hooks_of(5, "p")


def test_misspelt_hook_is_refused_with_the_nearest_names() -> None:
    class Plugin:
        @hookimpl
        def on_eval_scored(self, event: Event) -> None: ...

    with pytest.raises(
        UnknownNameError, match="'on_eval_scored', which does not exist; the nearest are 'on_eval_score'"
    ):
        hooks_of(Plugin(), "p")


def test_hook_of_a_newer_version_is_left_alone_if_it_is_optional() -> None:
    class Plugin(Skips):
        @hookimpl(optionalhook=True)
        def on_layer_quantized(self, event: Event) -> None: ...

    plugin = Plugin()
    hear(hooks(plugin), SKIPPED)
    assert plugin.calls == [SKIPPED]


def test_unmarked_hook_is_refused() -> None:
    class Plugin(Skips):
        def on_eval_score(self, event: Event) -> None: ...

    with pytest.raises(UsageError, match=r"Plugin\): on_eval_score is not marked with @aimet_hooks.hookimpl"):
        hooks_of(Plugin(), "p")


def test_unmarked_override_of_a_marked_hook_is_refused() -> None:
    class Plugin(Skips):
        def on_layer_skipped(self, event: Event) -> None: ...

    with pytest.raises(UsageError, match="on_layer_skipped is not marked"):
        hooks_of(Plugin(), "p")


def test_wrong_argument_name_is_refused() -> None:
    class Plugin:
        @hookimpl
        def on_eval_score(self, score: float) -> None: ...

    with pytest.raises(UsageError, match=r"plugin 'p' is not valid: .*'score'.* can not be found in the hookspec"):
        hooks_of(Plugin(), "p")


def test_argument_that_would_never_be_passed_is_refused() -> None:
    class Default:
        @hookimpl
        def on_eval_score(self, event: Event, run: object = None) -> None: ...

    class KeywordOnly:
        @hookimpl
        def on_eval_score(self, *, event: Event) -> None: ...

    with pytest.raises(UsageError, match="on_eval_score: argument 'run' would never be passed; give it no default"):
        hooks_of(Default(), "p")
    with pytest.raises(UsageError, match="on_eval_score: argument 'event' would never be passed"):
        hooks_of(KeywordOnly(), "p")


def test_class_in_place_of_an_instance_is_refused() -> None:
    with pytest.raises(UsageError, match="plugin 'p': on_layer_skipped belongs to a class; give an instance of it"):
        hooks_of(Skips, "p")


def test_coroutine_function_is_refused() -> None:
    class Plugin:
        @hookimpl
        async def on_eval_score(self, event: Event) -> None: ...

    with pytest.raises(UsageError, match="on_eval_score is a coroutine function, which nobody awaits"):
        hooks_of(Plugin(), "p")


def test_object_whose_attributes_raise_can_be_a_plugin_or_is_refused_with_our_error() -> None:
    class Plugin(Skips):
        @property
        def broken(self) -> None:
            raise RuntimeError("not now")

    try:
        assert list(hooks_of(Plugin(), "p")) == ["on_layer_skipped"]
    except UsageError as error:  # pluggy up to 1.6 looks at every attribute
        assert "not now" in str(error)  # noqa: PT017


# -- create_reporter ---------------------------------------------------------------------------------------------------


class Creates(Skips):
    def __init__(self, made: Any) -> None:
        super().__init__()
        self.made = made
        self.told: list[RunSettings] = []

    @hookimpl
    def create_reporter(self, settings: RunSettings) -> object:
        self.told.append(settings)
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def test_plugin_with_create_reporter_and_hooks_of_its_own_is_heard_first_then_what_it_made() -> None:
    order: list[str] = []
    made = Skips(lambda event, run: order.append("made"))
    plugin = Creates(made)
    plugin.deed = lambda event, run: order.append("own")
    heard = hooks(plugin)
    hear(heard, SKIPPED)
    assert order == ["own", "made"]
    assert heard.names == ("plugin0",)


def test_create_reporter_is_told_the_settings_of_its_plugin_once() -> None:
    plugin = Creates(None)
    hear(hooks(plugin), *finished_run())
    assert [settings.run_name for settings in plugin.told] == ["plugin0"]


def test_plugin_that_makes_nothing_is_still_heard_itself() -> None:
    plugin = Creates(None)
    hear(hooks(plugin), SKIPPED)
    assert plugin.calls == [SKIPPED]


def test_plugin_that_makes_itself_is_called_once() -> None:
    plugin = Creates(None)
    plugin.made = plugin
    hear(hooks(plugin), SKIPPED)
    assert plugin.calls == [SKIPPED]


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("aimet_hooks")]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (OSError("no display"), "OSError: no display"),
        (5, "it has no hook"),
        (object(), "it has no hook"),
        ("reporter", "it has no hook"),
    ],
)
def test_plugin_whose_create_reporter_fails_or_makes_junk_is_reported_once_and_left_out(
    made: object, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    plugin, other = Creates(made), Skips()
    heard = hooks(Selected("screen", plugin), Selected("other", other))
    hear(heard, SKIPPED)
    assert plugin.calls == []
    assert other.calls == [SKIPPED]
    assert heard.names == ("other",)
    (record,) = records(caplog)
    assert record.getMessage() == "plugin 'screen': create_reporter failed; the plugin is left out of this run"
    assert reason in caplog.text


def test_what_create_reporter_raises_beside_exceptions_ends_the_run() -> None:
    class Plugin:
        @hookimpl
        def create_reporter(self, settings: RunSettings) -> object:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hooks(Plugin())


class Misspelt:
    @hookimpl
    def on_evalscore(self, event: Event) -> None: ...


def test_misspelt_hook_of_a_made_reporter_is_the_error_of_who_passed_the_plugin() -> None:
    with pytest.raises(UnknownNameError, match="'on_evalscore', which does not exist"):
        hooks(Passed("mine", Creates(Misspelt())))


def test_misspelt_hook_of_a_made_reporter_of_a_discovered_plugin_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    assert hooks(Selected("theirs", Creates(Misspelt()))).names == ()
    assert "'on_evalscore', which does not exist" in caplog.text


def test_junk_of_a_passed_plugin_is_reported_like_that_of_any_other(caplog: pytest.LogCaptureFixture) -> None:
    assert hooks(Passed("mine", Creates(5))).names == ()
    assert "plugin 'mine': create_reporter failed" in caplog.text


# -- isolation ---------------------------------------------------------------------------------------------------------


def test_plugins_are_called_in_load_order() -> None:
    order: list[str] = []
    plugins = [Skips(lambda event, run, name=name: order.append(name)) for name in "abc"]
    hear(hooks(*plugins), SKIPPED)
    assert order == ["a", "b", "c"]


def test_plugin_that_raises_is_reported_with_name_and_traceback_and_the_others_hear_the_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, after = Skips(), Skips()
    heard = hooks(before, Selected("faulty", Skips(raising(RuntimeError("no such widget")))), after)
    hear(heard, SKIPPED)
    assert before.calls == after.calls == [SKIPPED]
    (record,) = records(caplog)
    assert record.getMessage() == "plugin 'faulty' failed in on_layer_skipped (failure 1 of 3)"
    assert record.levelno == logging.ERROR
    assert "RuntimeError: no such widget" in caplog.text
    assert "Traceback" in caplog.text


def test_plugin_is_left_out_after_three_failures_and_the_others_still_hear_every_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, faulty, after = Skips(), Skips(raising(ValueError("x"))), Skips()
    heard = hooks(before, faulty, after)
    hear(heard, *[SKIPPED] * 10)
    assert len(faulty.calls) == 3
    assert len(before.calls) == len(after.calls) == 10
    assert heard.names == ("plugin0", "plugin2")
    messages = [record.getMessage() for record in records(caplog)]
    assert len(messages) == 3
    assert messages[-1].endswith("(failure 3 of 3); it is left out for the rest of the run")


def test_failures_are_counted_over_all_hooks_of_a_run_not_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    odd = iter(range(100))

    def deed(event: Event, run: RunState) -> None:
        if next(odd) % 2:
            raise ValueError("odd")

    plugin = Skips(deed)
    hear(hooks(plugin), *[SKIPPED] * 20)
    assert len(plugin.calls) == 6


def test_reporter_that_fails_does_not_take_the_plugin_that_made_it_along() -> None:
    made = Skips(raising(ValueError("x")))
    plugin = Creates(made)
    heard = hooks(plugin)
    hear(heard, *[SKIPPED] * 5)
    assert len(made.calls) == 3
    assert len(plugin.calls) == 5
    assert heard.names == ("plugin0",)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_ends_a_process_passes(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(error)):
        hear(hooks(Skips(raising(error))), SKIPPED)
    assert records(caplog) == []


def write_to_the_event(event: Any, run: Any) -> None:
    event.reason = "mine"


def write_into_the_event(event: Any, run: Any) -> None:
    run.started.settings["direction"] = "minimize"


def write_to_the_state(event: Any, run: Any) -> None:
    run.phase = "finished"


def write_into_the_state(event: Any, run: Any) -> None:
    run.skipped["other"] = "mine"


def write_into_the_table(event: Any, run: Any) -> None:
    run.scores["conv"] = {}


@pytest.mark.parametrize(
    "deed",
    [write_to_the_event, write_into_the_event, write_to_the_state, write_into_the_state, write_into_the_table],
    ids=lambda deed: deed.__name__,
)
def test_plugin_that_writes_to_what_it_is_handed_fails_and_changes_nothing(
    deed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    after = RecordingPlugin()
    begin = finished_run()[:1]
    hear(hooks(Selected("vandal", Skips(deed)), after), *begin, SKIPPED)
    assert "plugin 'vandal' failed in on_layer_skipped" in caplog.text
    assert after.events == [*begin, SKIPPED]
    assert after.phases == ["preparing", "preparing"]


def test_rows_of_the_table_are_read_only() -> None:
    run = RunState()
    for event in finished_run():
        run.apply(event)
    with pytest.raises(TypeError):
        run.scores["conv1"][0.5] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        run.compressed["conv1"] = None  # type: ignore[index]
