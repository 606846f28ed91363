"""The event log of a real run on a bad disk, and after the process was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from aimet_hooks import event_log, recordings
from aimet_hooks.events import EvalScored, Event, Progressed, RunFinished, RunStarted
from aimet_hooks.run_state import RunState

# The name of the run makes the log longer than every other file that a run writes: a limit on the size of files then
# hits the log alone. The plugin prints what it hears.
RUN = """
    import json
    import resource
    import sys

    import onnxruntime

    from aimet_hooks import GreedySelection, compress_model, demo, hookimpl

    class Tells:
        @hookimpl
        def on_run_started(self, event): self.tell(event)

        @hookimpl
        def on_eval_score(self, event): self.tell(event)

        @hookimpl
        def on_run_finished(self, event): self.tell(event)

        def tell(self, event):
            print(json.dumps([event.name, event.seq, getattr(event, "score", None)]), flush=True)

    def run(callback):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return compress_model(
            demo.model_path(), callback, results_dir=sys.argv[1], plugins=[Tells()], console="off",
            selection=GreedySelection(0.98, num_comp_ratio_candidates=6), session_options=options,
            layers_to_ignore=("head", "stem", "block1.*", "block2.*"), run_name="n" * 1_000_000,
        )

    accuracy = demo.accuracy()
"""


def start(script: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN) + textwrap.dedent(script), str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory.parent,
    )


def finish(script: str, directory: Path) -> tuple[list[list[object]], str]:
    """What the plugin of a run that ends well heard, and what the run said."""
    process = start(script, directory)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()], err


def logged(directory: Path) -> list[Event]:
    return list(event_log.read(directory / event_log.FILE_NAME))


LIMITED = """
    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    calls = iter(range(1, 1000))

    def callback(session):
        call = next(calls)
        if call == FULL_AT:
            import os
            limit(os.stat(os.path.join(sys.argv[1], "events.jsonl")).st_size + 100)
        if call == FREE_AT:
            limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        return accuracy(session)
"""


@pytest.mark.parametrize(
    ("retry", "said"),
    [
        ("", ["cannot be written (File too large); the run goes on"]),
        (
            "from aimet_hooks import log_writer; log_writer.RETRY_SECONDS = 0.0",
            ["cannot be written (File too large); the run goes on", "can be written again; no event is missing"],
        ),
    ],
    ids=["until the end", "until there is space"],
)
def test_run_goes_on_without_space_and_its_log_is_whole_when_there_is_space_again(
    retry: str, said: list[str], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    script = f"FULL_AT, FREE_AT = 4, 9\n{textwrap.dedent(LIMITED)}\n{retry}\nrun(callback)"
    heard, err = finish(script, directory)
    events = logged(directory)
    assert [event.seq for event in events] == list(range(len(events)))
    assert isinstance(events[-1], RunFinished)
    assert heard == [
        [event.name, event.seq, getattr(event, "score", None)]
        for event in events
        if isinstance(event, (RunStarted, EvalScored, RunFinished))
    ]
    assert err.count("cannot be written") == 1
    for text in said:
        assert err.count(text) == 1


def test_run_whose_disk_stays_full_ends_well_and_says_what_is_missing(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    script = f"""
FULL_AT, FREE_AT = 4, 0
{textwrap.dedent(LIMITED)}
result = run(callback)
assert result.stats.compressed_score > 0.5
"""
    heard, err = finish(script, directory)
    events = logged(directory)
    assert [event.seq for event in events] == list(range(len(events)))
    missing = heard[-1][1] - events[-1].seq
    assert missing > 0
    assert err.count("cannot be written") == 1
    assert f"lacks the last {missing} events: the disk did not take them" in err


def test_killed_run_leaves_a_readable_log_with_every_score_that_was_evaluated(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    script = """
        import threading

        calls = iter(range(1, 1000))

        def callback(session):
            if next(calls) == 10:
                threading.Event().wait()  # the parent kills us here, in the middle of an evaluation
            return accuracy(session)

        run(callback)
    """
    process = start(script, directory)
    assert process.stdout is not None
    heard = [json.loads(process.stdout.readline()) for _ in range(1 + 7)]
    process.send_signal(signal.SIGKILL)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    assert rest == ""

    scores = [[event.name, event.seq, event.score] for event in logged(directory) if isinstance(event, EvalScored)]
    assert scores == heard[1:]
    assert sum(len(row) for row in recordings.scores(directory).values()) == 7
    state = RunState()
    for event in recordings.read(directory):
        state.apply(event)
    assert (state.phase, state.completed, state.total) == ("exploring", 7, 10)


def test_log_that_was_torn_at_any_byte_of_its_end_can_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "run"
    finish("run(accuracy)", directory)
    events, path = logged(directory), directory / event_log.FILE_NAME
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in range(1, last + 1, 7):
        path.write_bytes(whole[:-cut])
        assert logged(directory) == (events if cut == 1 else events[:-1])
    assert caplog.messages == []
    assert not any(isinstance(event, Progressed) for event in events)
