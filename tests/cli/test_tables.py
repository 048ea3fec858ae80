"""train, evaluate and predict on tables, from one end to the other."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, r2_score

from xpmlp import load_dataset, load_model, save_model, train
from xpmlp.training import default_recipe

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three kinds of flowers with a category and a yes or no among the columns."""
    from xpmlp.datasets.tables.loading import named_table

    path = tmp_path_factory.mktemp("flowers") / "flowers.csv"
    frame = named_table("iris").frame.collect().rename({"target": "species"})
    generator = np.random.default_rng(0)
    frame.with_columns(
        place=pl.Series(generator.choice(["field", "wood"], 150)), picked=pl.Series(generator.random(150) < 0.5)
    ).write_csv(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, flowers: Path) -> Path:
    """A run on them, trained once; tests only read it."""
    folder = tmp_path_factory.mktemp("flowers-run")
    dataset = load_dataset(str(flowers), target="species")
    settings = replace(default_recipe(dataset), epochs=40)
    model, _ = train(dataset, settings)
    save_model(folder / "model.safetensors", model)
    return folder


def test_a_table_is_trained_judged_and_predicted(xpmlp: Run, flowers: Path) -> None:
    xpmlp("train", flowers, "--target", "species", "--epochs", 40, "-o", "run")
    run = Path("run")
    model = load_model(run / "model.safetensors")
    assert model.classes == ("setosa", "versicolor", "virginica")
    assert model.table_schema is not None
    assert model.table_schema.inputs == 7
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["target"] == "species"

    # On the table that it was trained on, the rows that were held out.
    _, out, err = xpmlp("evaluate", run, flowers)
    assert "on 30 test rows of" in out
    assert "evaluated on the rows held out in training" in err
    judged = json.loads(xpmlp("evaluate", run, flowers, "--json").out)
    assert judged["accuracy"] == record["test_accuracy"]

    out = xpmlp("predict", run, flowers, "-o", "answers.csv").out
    assert "150 predictions written to answers.csv" in out
    answers, given = pl.read_csv("answers.csv"), pl.read_csv(flowers)
    assert answers.select(given.columns).equals(given)
    assert answers.columns[len(given.columns) :] == [
        "prediction",
        "probability_setosa",
        "probability_versicolor",
        "probability_virginica",
    ]
    probabilities = answers.select(pl.col("^probability_.*$")).to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    likeliest = np.array(model.classes)[probabilities.argmax(axis=1)]
    assert answers["prediction"].to_list() == likeliest.tolist()

    # On another table, all rows.
    given.write_parquet("copy.parquet")
    everything = json.loads(xpmlp("evaluate", run, "copy.parquet", "--json").out)
    assert everything["accuracy"] == pytest.approx(accuracy_score(given["species"], answers["prediction"]))


def test_predictions_are_written_in_other_formats_and_shown_beside_the_target(
    xpmlp: Run, run: Path, flowers: Path
) -> None:
    rows = json.loads(xpmlp("predict", run, flowers, "--json").out)
    assert [row["row"] for row in rows] == list(range(150))
    labels = [row["label"] for row in rows]
    assert labels == [max(row["probabilities"], key=row["probabilities"].get) for row in rows]
    shown = [line.split() for line in xpmlp("predict", run, flowers).out.splitlines()]
    assert [line[:3] for line in shown if "prediction" in line] == [["row", "species", "prediction"]]
    species = pl.read_csv(flowers)["species"]
    assert [line[:3] for line in shown[3:-1]] == [[str(i + 1), species[i], labels[i]] for i in range(150)]
    readers: dict[str, Any] = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc, ".json": pl.read_json}
    for suffix, read in readers.items():
        xpmlp("predict", run, flowers, "-o", f"answers{suffix}")
        frame = read(f"answers{suffix}")
        assert frame["prediction"].to_list() == labels
        assert frame.columns[-4] == "prediction"


def test_it_is_said_when_a_model_is_judged_on_what_it_was_trained_on(xpmlp: Run, flowers: Path) -> None:
    mixed = pl.read_csv(flowers).sample(fraction=1.0, shuffle=True, seed=0)
    mixed.head(100).write_csv("some.csv")
    mixed.tail(50).write_csv("others.csv")
    train = ("train", "some.csv", "--test", "others.csv", "--target", "species", "--epochs", 5, "-o", "run")
    xpmlp(*train)
    _, out, err = xpmlp("evaluate", "run", "some.csv")
    assert "on 100 rows of some.csv" in out
    assert "the model was trained on this table" in err
    assert xpmlp("evaluate", "run", "others.csv").err == ""


def test_rows_without_all_values_stay_empty_where_training_dropped_such(xpmlp: Run, flowers: Path) -> None:
    xpmlp("train", flowers, "--target", "species", "--missing", "drop", "--epochs", 5, "-o", "run")
    frame = pl.read_csv(flowers)[:3].with_columns(pl.Series("sepal width (cm)", [1.0, None, 3.0]))
    frame.with_columns(species=pl.lit("a text of\n" + 30 * "many words ")).write_csv("gap.csv")
    lines = xpmlp("predict", "run", "gap.csv").out.splitlines()
    assert [line.split()[:4] for line in lines if "a text" in line][1] == ["2", "a", "text", "of"]
    assert max(map(len, lines)) < 160
    err = xpmlp("predict", "run", "gap.csv", "-o", "out.csv").err
    assert "1 of 3 rows dropped" in err
    found = pl.read_csv("out.csv")
    assert found["prediction"].is_null().to_list() == [False, True, False]
    assert found["probability_setosa"].is_null().to_list() == [False, True, False]


def test_a_number_is_learned_judged_and_predicted(xpmlp: Run) -> None:
    out = xpmlp("train", "diabetes", "--epochs", 60, "-o", "run").out
    assert "a number to predict" in out
    assert "test R² 0." in out
    assert "test accuracy" not in out
    model = load_model(Path("run/model.safetensors"))
    assert (model.task, model.output_names) == ("regression", ("target",))
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    judged = json.loads(xpmlp("evaluate", "run", "diabetes", "--json").out)
    assert judged["r2"] == pytest.approx(record["test_r2"])
    assert 0.0 < judged["mae"] < judged["rmse"]

    from xpmlp.datasets.tables.loading import named_table

    frame = named_table("diabetes").frame.collect()
    frame.write_csv("patients.csv")
    xpmlp("predict", "run", "patients.csv", "-o", "out.parquet")
    answers = pl.read_parquet("out.parquet")
    assert answers.columns == [*frame.columns, "prediction"]
    everything = json.loads(xpmlp("evaluate", "run", "patients.csv", "--json").out)
    assert everything["r2"] == pytest.approx(r2_score(frame["target"], answers["prediction"]), abs=1e-5)
    rows = json.loads(xpmlp("predict", "run", "patients.csv", "--json").out)
    assert rows[0].keys() == {"input", "row", "prediction"}


def test_pixels_in_a_table_give_a_model_that_also_reads_pictures_and_a_model_of_pictures_reads_them(
    xpmlp: Run, digits_run: Path, digit_images: tuple[np.ndarray, np.ndarray], write_idx_folder: Any
) -> None:
    images, labels = digit_images
    for name, largest in (("digits.csv", 255), ("digits_of_16.csv", 16)):
        pixels = np.round(images / 255 * largest).astype(np.uint8).reshape(-1, 64)
        frame = pl.from_numpy(pixels, schema=[f"p{i}" for i in range(64)])
        frame.with_columns(label=pl.Series(labels)).write_csv(name)
    out = xpmlp("train", "digits.csv", "-o", "run", "--epochs", 20).out
    assert "used as pixels of 8 × 8 images" in out
    assert {"gallery.png", "confusion.png"} <= {path.name for path in Path("run").iterdir()}
    assert load_model(Path("run/model.safetensors")).image_preprocessor is not None
    # The same images as IDX files are answered alike.
    folder = write_idx_folder(Path("idx"), images, labels, test_rows=100)
    xpmlp("evaluate", "run", folder)
    idx = json.loads(xpmlp("predict", "run", folder / "t10k-images-idx3-ubyte", "--json").out)
    table = json.loads(xpmlp("predict", "run", "digits.csv", "--json").out)
    for one, other in zip(idx, table, strict=False):
        assert one["probabilities"] == pytest.approx(other["probabilities"], rel=1e-4)
    judged = json.loads(xpmlp("evaluate", digits_run, "digits_of_16.csv", "--json").out)
    assert judged["accuracy"] > 0.96
    assert len(json.loads(xpmlp("predict", digits_run, "digits_of_16.csv", "--json").out)) == 360


def test_other_tables_are_predicted_alike_or_refused(xpmlp: Run, refused: Run, run: Path, flowers: Path) -> None:
    frame = pl.read_csv(flowers)
    frame.select(sorted(set(frame.columns) - {"species"})).write_csv("mixed.csv")
    xpmlp("predict", run, flowers, "-o", "a.csv")
    xpmlp("predict", run, "mixed.csv", "-o", "b.csv")
    assert pl.read_csv("a.csv")["prediction"].equals(pl.read_csv("b.csv")["prediction"])
    refused(("evaluate", run, "mixed.csv"), "there is no column 'species' to compare predictions with")
    for command in ("evaluate", "explain"):
        refused((command, run, flowers, "--target", "place"), "--target: the model predicts from 'place'. Name")
    frame.rename({"petal width (cm)": "petal_width"}).write_csv("other.csv")
    refused(("predict", run, "other.csv"), "are missing: 'petal width (cm)'. Did you mean 'petal_width'?")
    frame.with_columns(species=pl.lit("rosa")).write_csv("roses.csv")
    refused(("evaluate", run, "roses.csv"), "'rosa'")
    refused(("predict", run, flowers, flowers), "a table must be the only input")
    refused(("predict", run, flowers, "-o", "out.xyz"), "out.xyz: unknown file type")
    frame[:3].with_columns(place=pl.lit("moon")).write_csv("moon.csv")
    _, out, err = xpmlp("predict", run, "moon.csv", "-o", "out.csv")
    assert "3 rows have a category in column 'place' that no training row had ('moon')" in err
    assert "3 predictions" in out


def test_a_table_as_people_have_it_is_trained_at_once_and_predicted_in_any_order(xpmlp: Run, refused: Run) -> None:
    """Money, units, dates, codes with leading zeros, gaps, rare categories, ids, remarks and an empty column."""
    generator = np.random.default_rng(0)
    area = generator.integers(20, 200, 300)
    frame = pl.DataFrame(
        {
            "id": [f"K-{i:05d}" for i in range(300)],
            "sold": [date(2021, 1, 1) + timedelta(days=2 * i) for i in range(300)],
            "zip": [f"{code:05d}" for code in generator.choice([2116, 94110], 300)],
            "price": ["call us" if i % 50 == 0 else f"${i * 1000:,}" for i in range(300)],
            "area": [f"{value} m²" for value in area],
            "town": generator.choice(
                ["Bern", "Chur", *(f"Dorf {i}" for i in range(9))], 300, p=[0.5, 0.41] + [0.01] * 9
            ),
            "rooms": generator.choice(["1", "2", "?", ""], 300),
            "remark": [f"a fine view of the lake, number {i} of many" for i in range(300)],
            "empty": [""] * 300,
            "large": ["yes" if value > 100 else "no" for value in area],
        }
    ).with_columns(pl.col("sold").dt.strftime("%d.%m.%Y"))
    frame.write_csv("houses.csv")
    out = xpmlp("train", "houses.csv", "--target", "large", "-o", "run").out
    for note in (
        "columns dropped: 'id' (ids or names: different in all rows), 'remark' (free text), 'empty' (no values)",
        "read as numbers: 'price' (in $)",
        "dates: 'sold' (%d.%m.%Y); use them as categories with --categories sold",
        "'price': 'call us' (and 5 more) is not a number",
        "rare categories of 'town' become one, 'infrequent'",
    ):
        assert note in out
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    judged = json.loads(xpmlp("evaluate", "run", "houses.csv", "--json").out)
    assert judged["accuracy"] == record["test_accuracy"] > 0.9
    assert f"ROC AUC {judged['roc_auc']:.4f}, test loss {judged['loss']:.4f}, trained in" in out

    later = frame[:20].with_columns(sold=pl.lit("01.02.2030"), town=pl.lit("Atlantis")).select(reversed(frame.columns))
    later.drop("large").write_csv("later.csv")
    err = xpmlp("predict", "run", "later.csv", "-o", "answers.csv").err
    assert "20 rows have a date in column 'sold' after 2022-08-22," in err
    answers = pl.read_csv("answers.csv")
    assert accuracy_score(frame["large"][:20], answers["prediction"]) > 0.7
    later.drop("area").write_csv("lacking.csv")
    refused(("predict", "run", "lacking.csv"), "columns that the model was trained on are missing: 'area'")

    xpmlp("export", "run", "house.py")
    exported: dict[str, Any] = {"__name__": "house"}
    exec(compile(Path("house.py").read_text(encoding="utf-8"), "house.py", "exec"), exported)
    probabilities = exported["predict_probabilities"](exported["read_file"]("later.csv"))
    np.testing.assert_allclose(probabilities, answers.select(pl.col("^probability_.*$")).to_numpy(), atol=1e-6)


def test_predictions_of_a_target_with_a_unit_name_it(xpmlp: Run) -> None:
    rows = "".join(f"{i % 9},{i % 9 * 10 + i % 3} m²\n" for i in range(60))
    Path("flats.csv").write_text(f"rooms,size\n{rows}", encoding="utf-8")
    xpmlp("train", "flats.csv", "--target", "size", "--epochs", "1", "-o", "run")
    Path("new.csv").write_text("rooms\n3\n4\n", encoding="utf-8")
    result = xpmlp("predict", "run", "new.csv", "-o", "out.csv")
    assert (result.code, result.err) == (0, "")
    assert Path("out.csv").read_text(encoding="utf-8").splitlines()[0] == "rooms,prediction (m²)"
    assert json.loads(xpmlp("predict", "run", "new.csv", "--json").out)[0]["unit"] == "m²"


def test_the_screen_shows_as_many_probabilities_as_it_has_room_for(
    xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["setosa", "versicolor", "virginica"]
    rows = "".join(f"{row},{row % 7},iris_{names[row % 3]}\n" for row in range(60))
    Path("flowers.csv").write_text("a,b,label\n" + rows, encoding="utf-8")
    assert xpmlp("train", "flowers.csv", "--epochs", 1, "-o", "run", "-q").code == 0
    levels = "quantile:0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"
    quantiles = xpmlp("train", "flowers.csv", "--target", "b", "--loss", levels, "--epochs", 1, "-o", "levels", "-q")
    assert quantiles.code == 0, quantiles.err
    for width, expected in ((200, [f"probability_iris_{name}" for name in names]), (60, ["probability"])):
        monkeypatch.setattr("xpmlp.cli.console.FILE_WIDTH", width)
        _, header, _, first, *_ = xpmlp("predict", "run", "flowers.csv").out.splitlines()
        assert header.split() == ["row", "label", "prediction", *expected]
        assert len(first.split()) == 3 + len(expected)
        assert "probability" not in xpmlp("predict", "levels", "flowers.csv").out
