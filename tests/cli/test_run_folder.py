import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xpmlp.cli.run_folder import RUN_FILES, RunFolder, make_run_folder
from xpmlp.errors import OutputError


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


def test_any_file_of_an_earlier_run_is_reason_to_refuse_and_a_folder_in_its_place_even_with_force() -> None:
    for name in ("model.safetensors", "run.json", RUN_FILES[-1]):
        run = Path(name, "run")
        run.mkdir(parents=True)
        (run / name).write_bytes(b"old")
        with pytest.raises(OutputError, match=rf"run: already holds a run \({name}\)"):
            RunFolder(run)
        RunFolder(run, force=True)
        assert (run / name).read_bytes() == b"old"
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
