from pathlib import Path

from xpmlp.cli.options import find_model_file


def test_a_model_is_found_in_its_folder_or_by_its_own_path() -> None:
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(b"")
    assert find_model_file(Path("run")) == Path("run/model.safetensors")
    assert find_model_file(Path("run/model.safetensors")) == Path("run/model.safetensors")
    assert find_model_file(Path("nothing")) == Path("nothing")
