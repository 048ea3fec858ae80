import functools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from xpmlp.cli.run_folder import RUN_FILES, RunFolder, make_run_folder
from xpmlp.errors import OutputError, XpmlpError


def test_a_folder_that_gets_no_file_is_taken_away_with_those_made_for_it(empty_folder: Path) -> None:
    Path("mine").mkdir()
    folder = RunFolder(Path("mine/a/b"))
    assert Path("mine/a/b").is_dir()
    folder.discard()
    assert [path.name for path in empty_folder.rglob("*")] == ["mine"]


def test_a_folder_that_was_there_before_is_not_taken_away(empty_folder: Path) -> None:
    Path("mine").mkdir()
    RunFolder(Path("mine")).discard()
    assert Path("mine").is_dir()


def test_a_folder_that_got_a_file_is_not_taken_away() -> None:
    folder = RunFolder(Path("run"))
    folder.save("run.json", lambda: b"{}")
    folder.discard()
    assert Path("run/run.json").read_bytes() == b"{}"


def test_seeing_whether_a_folder_can_be_written_leaves_nothing_in_it() -> None:
    RunFolder(Path("run"))
    assert list(Path("run").iterdir()) == []


@pytest.mark.parametrize("name", ["model.safetensors", "run.json", RUN_FILES[-1]])
def test_every_file_of_an_earlier_run_is_reason_to_refuse(name: str) -> None:
    Path("run").mkdir()
    Path("run", name).write_bytes(b"old")
    with pytest.raises(OutputError, match=rf"run: already holds a run \({name}\)"):
        RunFolder(Path("run"))
    RunFolder(Path("run"), force=True)
    assert Path("run", name).read_bytes() == b"old"


def test_the_users_own_files_are_no_reason_to_refuse() -> None:
    Path("run").mkdir()
    Path("run/notes.txt").write_bytes(b"mine")
    RunFolder(Path("run"))
    assert Path("run/notes.txt").read_bytes() == b"mine"


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


def test_a_reason_that_several_files_share_is_given_once() -> None:
    def fail() -> bytes:
        raise XpmlpError("no ink.")

    folder = RunFolder(Path("run"))
    for name in ("curves.png", "gallery.png"):
        folder.save(name, fail)
    with pytest.raises(OutputError, match=r"^Not saved: curves.png, gallery.png\. Saved in run: nothing\. no ink\.$"):
        folder.finish()


def test_a_full_disk_is_told_once_though_each_file_met_it() -> None:
    folder = RunFolder(Path("run"))

    def fail(name: str) -> bytes:
        raise XpmlpError(f"{folder.path / name}: cannot be written (No space left on device). Free space.")

    for name in ("curves.png", "gallery.png"):
        folder.save(name, functools.partial(fail, name))
    with pytest.raises(OutputError) as caught:
        folder.finish()
    told = "Not saved: curves.png, gallery.png. Saved in run: nothing. "
    assert (
        str(caught.value) == f"{told}{Path('run/curves.png')}: cannot be written (No space left on device). Free space."
    )


def test_default_folders_are_named_after_the_data_and_do_not_collide() -> None:
    """Three runs of one second: the second and third do not find the first's folder theirs."""
    paths = [make_run_folder("digits").path for _ in range(3)]
    assert len(set(paths)) == 3
    assert all(path.parent == Path("runs") and path.name.startswith("digits-2") for path in paths)


def test_runs_that_start_together_get_a_folder_each() -> None:
    """As a sweep over seeds does that a shell starts in the background."""
    together = threading.Barrier(8)
    paths = []

    def make() -> None:
        together.wait()
        paths.append(make_run_folder("digits").path)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 8


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
