import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xpmlp.cli.run_folder import RUN_FILES, RunFolder, make_run_folder
from xpmlp.errors import OutputError, XpmlpError


def test_folders_made_for_a_run_are_taken_away_if_they_get_no_file(empty_folder: Path) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_bytes(b"mine")
    RunFolder(Path("mine")).discard()  # a file of the user's is no reason to refuse
    folder = RunFolder(Path("mine/a/b"))
    assert list(Path("mine/a").rglob("*")) == [Path("mine/a/b")]  # nothing is left of trying to write
    folder.discard()
    assert [path.name for path in empty_folder.rglob("*")] == ["mine", "notes.txt"]
    folder = RunFolder(Path("run"))
    folder.save("run.json", lambda: b"{}")
    folder.discard()
    assert Path("run/run.json").read_bytes() == b"{}"


@pytest.mark.parametrize("name", ["model.safetensors", "run.json", RUN_FILES[-1]])
def test_every_file_of_an_earlier_run_is_reason_to_refuse(name: str) -> None:
    Path("run").mkdir()
    Path("run", name).write_bytes(b"old")
    with pytest.raises(OutputError, match=rf"run: already holds a run \({name}\)"):
        RunFolder(Path("run"))
    RunFolder(Path("run"), force=True)
    assert Path("run", name).read_bytes() == b"old"


def test_a_folder_in_the_place_of_a_file_is_refused_even_with_force() -> None:
    Path("run/curves.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"curves\.png: is a folder, but a file goes there"):
        RunFolder(Path("run"), force=True)


def test_a_folder_that_refuses_files_is_found_at_once(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("xpmlp.cli.run_folder.tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(
        OutputError, match=r"new.run: cannot be written \(Permission denied\)\. Choose another --output"
    ):
        RunFolder(Path("new/run"))
    assert list(empty_folder.iterdir()) == []


def test_a_name_that_is_too_long_is_refused_by_name() -> None:
    with pytest.raises(OutputError, match=r"xxx: cannot be written \("):
        RunFolder(Path("x" * 400))


def test_what_fails_is_kept_and_the_rest_saved() -> None:
    def fail() -> bytes:
        raise XpmlpError("no ink")

    folder = RunFolder(Path("run"))
    folder.save("curves.png", fail)
    folder.save("history.csv", lambda: b"epoch\n")
    assert (folder.saved, folder.failures) == (["history.csv"], {"curves.png": "no ink"})
    with pytest.raises(OutputError) as caught:
        folder.finish()
    assert str(caught.value) == "Not saved: curves.png. Saved in run: history.csv. no ink"


@pytest.mark.parametrize("reason", ["no ink.", "{path}: cannot be written (No space left on device). Free space."])
def test_a_reason_that_several_files_share_is_given_once(reason: str) -> None:
    folder = RunFolder(Path("run"))

    def fail(name: str) -> bytes:
        raise XpmlpError(reason.format(path=folder.path / name))

    for name in ("curves.png", "gallery.png"):
        folder.save(name, functools.partial(fail, name))
    with pytest.raises(OutputError) as caught:
        folder.finish()
    told = reason.format(path=Path("run/curves.png"))
    assert str(caught.value) == f"Not saved: curves.png, gallery.png. Saved in run: nothing. {told}"


def test_runs_that_start_together_get_a_folder_each() -> None:
    """As a sweep over seeds does that a shell starts in the background, within one second."""
    together = threading.Barrier(8)

    def make(_: int) -> Path:
        together.wait()
        return make_run_folder("digits").path

    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(make, range(8)))
    assert len(paths) == 8
    assert all(path.parent == Path("runs") and path.name.startswith("digits-2") for path in paths)


def test_a_folder_that_another_run_made_meanwhile_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[..., None] = RunFolder.create
    quicker: list[Path] = []

    def lose_the_first_race(self: RunFolder, *, force: bool) -> None:
        if not quicker:
            quicker.append(self.path)
            self.path.mkdir(parents=True)
        make(self, force=force)

    monkeypatch.setattr(RunFolder, "create", lose_the_first_race)
    mine = make_run_folder("digits")
    assert mine.path.name == f"{quicker[0].name}-2"
