"""The hook specifications: complete, and one for every event."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing

import pytest

import aimet_hooks
from aimet_hooks import events, hookspecs
from aimet_hooks.events import EVENTS, Event
from aimet_hooks.run_settings import RunSettings

HEADINGS = ["Fires when", "How often", "Thread", "Arguments", "Return", "If it raises", "Since"]


def sections(hook: str) -> dict[str, str]:
    lines = inspect.getdoc(getattr(hookspecs, hook)).splitlines()
    found: dict[str, str] = {}
    heading = "summary"
    for line in lines:
        if re.fullmatch(r"[A-Z][\w ]*:", line):
            heading = line[:-1]
            found[heading] = ""
        else:
            found[heading] = f"{found.get(heading, '')} {line.strip()}".strip()
    return found


def test_every_event_has_a_hook_and_every_hook_an_event() -> None:
    assert hookspecs.hook_names() == {f"on_{name}" for name in EVENTS} | {"create_reporter"}


@pytest.mark.parametrize("hook", sorted(hookspecs.hook_names()))
def test_docstring_has_a_summary_and_all_headings_in_their_order(hook: str) -> None:
    found = sections(hook)
    assert list(found) == ["summary", *HEADINGS]
    assert all(found.values())
    assert found["summary"].endswith(".")
    assert re.fullmatch(r"\d+\.\d+", found["Since"])


@pytest.mark.parametrize("name", EVENTS)
def test_docstring_names_every_field_of_the_event(name: str) -> None:
    own = {field.name for field in dataclasses.fields(EVENTS[name])} - {
        field.name for field in dataclasses.fields(Event)
    }
    assert own <= set(re.findall(r"``(\w+)``", sections(f"on_{name}")["Arguments"]))


def test_docstring_of_create_reporter_names_every_setting() -> None:
    named = set(re.findall(r"``(\w+)``", sections("create_reporter")["Arguments"]))
    assert {field.name for field in dataclasses.fields(RunSettings)} <= named


def test_module_says_what_every_event_carries() -> None:
    assert {field.name for field in dataclasses.fields(Event)} <= set(re.findall(r"``(\w+)``", hookspecs.__doc__ or ""))


@pytest.mark.parametrize("name", EVENTS)
def test_hook_takes_the_event_and_the_run_and_returns_nothing(name: str) -> None:
    specification = getattr(hookspecs, f"on_{name}")
    assert list(inspect.signature(specification).parameters) == ["event", "run"]
    from aimet_hooks.run_state import RunState

    names = {"events": events, "RunState": RunState, "RunSettings": RunSettings}
    hints = typing.get_type_hints(specification, names)
    assert hints == {"event": EVENTS[name], "run": RunState, "return": type(None)}


def test_hook_names_follow_the_events_in_both_directions() -> None:
    assert all(hasattr(hookspecs, f"on_{kind.name}") for kind in EVENTS.values())


def test_marker_of_the_package_is_the_one_of_the_specifications() -> None:
    assert aimet_hooks.hookimpl is hookspecs.hookimpl
    assert hookspecs.PROJECT == "aimet_hooks"


def test_names_are_found_while_the_module_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Grows:
        def __getattr__(self, name: str) -> None:
            vars(hookspecs)["__warningregistry__"] = {}  # what a warning of the garbage collector's does
            raise AttributeError(name)

    expected = hookspecs.hook_names()
    monkeypatch.setitem(vars(hookspecs), "grows", Grows())
    monkeypatch.setitem(vars(hookspecs), "__warningregistry__", {})
    monkeypatch.delitem(vars(hookspecs), "__warningregistry__")
    assert hookspecs.hook_names() == expected
