"""Training on tables: what a number's network answers, and how good the default recipe is beside scikit-learn's."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor

import xpmlp
from xpmlp.datasets.tables.loading import named_table
from xpmlp.errors import DataError
from xpmlp.training import default_recipe, evaluate_classifier, evaluate_regression, table_recipe
from xpmlp.training.evaluation_rows import find_rows
from xpmlp.training.inputs import as_dataset
from xpmlp.training.progress import describe_epoch, describe_number


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> xpmlp.Dataset:
    """Numbers far from 0 that depend on one column by a straight line, and a little on chance."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=200)
    path = tmp_path_factory.mktemp("line") / "line.parquet"
    pl.DataFrame({"x": x, "price": 5e4 + 1e3 * x + generator.normal(0, 50, 200)}).write_parquet(path)
    return xpmlp.load_dataset(path, target="price")


def test_a_regression_answers_in_the_targets_own_units(line: xpmlp.Dataset) -> None:
    model, result = xpmlp.train(line)
    assert (model.task, model.loss, model.output_names) == ("regression", "squared_error", ("price",))
    prediction = xpmlp.predict(model, line.test)
    assert prediction.labels.shape == (40,)
    assert prediction.probabilities.shape == (40, 0)
    assert abs(prediction.labels.mean() - line.test.labels.mean()) < 100
    judged = evaluate_regression(model, line.test)
    assert xpmlp.evaluate(model, line.test) == xpmlp.report(model, line.test) == judged
    with pytest.raises(DataError, match="The model is for regression"):
        evaluate_classifier(model, line.test)
    assert judged.r2 > 0.97
    assert judged.r2 == pytest.approx(r2_score(line.test.labels, prediction.labels))
    assert judged.rmse == pytest.approx(root_mean_squared_error(line.test.labels, prediction.labels))
    assert judged.mae == pytest.approx(mean_absolute_error(line.test.labels, prediction.labels))
    assert result.history[-1].test_loss == pytest.approx(judged.loss, rel=1e-3)
    residuals = xpmlp.predict(model, line.train).labels - line.train.labels
    assert result.history[-1].train_loss == pytest.approx(np.mean(residuals**2) / 2, rel=1e-3)
    assert result.history[-1].test_rmse == pytest.approx(judged.rmse, rel=1e-3)
    assert f"test RMSE {describe_number(judged.rmse)}" in describe_epoch(result.history[-1], 1)
    assert result.history[-1].test_accuracy is None


def test_numbers_out_of_the_range_of_training_are_told_and_others_are_not(line: xpmlp.Dataset, tmp_path: Path) -> None:
    model, _ = xpmlp.train(line, replace(table_recipe(160), epochs=1))
    with warnings.catch_warnings(action="error"):
        xpmlp.predict(model, {"x": [-3.0, 0.0, 12.0]})
    # Of 200 numbers, one of which is 1 and the others 0, that one is √199 standard deviations from their mean.
    with pytest.warns(match=r"2 rows have a value in column 'x' far outside the range of training: 1e\+06 is \d,\d"):
        xpmlp.predict(model, {"x": [-1000.0, 1e6, 0.0]})
    for data in ({"x": [1e6], "price": [0.0]}, pl.DataFrame({"x": [1e6], "price": [0.0]})):
        with pytest.warns(match=r"1 row has a value in column 'x' far outside the range of training"):
            xpmlp.evaluate(model, data)
    pl.DataFrame({"x": [1e6], "price": [0.0]}).write_csv(tmp_path / "far.csv")
    assert any(
        "far outside the range of training" in note for note in find_rows(model, str(tmp_path / "far.csv")).notes
    )


def test_the_default_recipe_suits_images_or_tables_whose_few_rows_are_seen_more_often(line: xpmlp.Dataset) -> None:
    assert default_recipe(xpmlp.load_dataset("digits")) == xpmlp.RECIPES["default"]
    assert default_recipe(line) == table_recipe(160)
    assert (table_recipe(100).epochs, table_recipe(100).penalty) == (200, 0.3)
    assert (table_recipe(800).epochs, table_recipe(800).penalty) == (80, 0.19)
    assert table_recipe(2000) == xpmlp.RECIPES["table"]
    assert (table_recipe(8000).epochs, table_recipe(100_000).epochs) == (32, 20)
    assert table_recipe(0).epochs == 200


@pytest.mark.parametrize("is_class", [False, True])
def test_a_target_that_inputs_say_little_of_is_guarded_against_being_learned_by_heart(is_class: bool) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1500, 4))
    clear = x[:, 0] - x[:, 1]
    noisy = clear + 4.0 * generator.normal(size=len(x))

    def recipe(rows: int, target: Any) -> xpmlp.Recipe:
        target = np.where(target > 1.0, "high", "low") if is_class else target
        return default_recipe(as_dataset(x[:rows], target[:rows]))

    assert recipe(1500, clear) == table_recipe(1200)
    assert recipe(1500, 3.0 * np.sin(2.0 * x[:, 0])) == table_recipe(1200)  # as clear, but for no linear model
    assert recipe(1500, noisy).dropout > recipe(1500, clear).dropout
    assert recipe(500, clear) == table_recipe(400)
    assert recipe(500, noisy).penalty > recipe(500, clear).penalty


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_the_default_recipe_is_as_good_as_scikit_learns_on_scaled_columns(name: str, tmp_path: Path) -> None:
    def ours(dataset: xpmlp.Dataset) -> float:
        model, _ = xpmlp.train(dataset)
        if dataset.classes:
            return evaluate_classifier(model, dataset.test).accuracy
        return evaluate_regression(model, dataset.test).r2

    def theirs(dataset: xpmlp.Dataset) -> float:
        estimator = MLPClassifier(random_state=0) if dataset.classes else MLPRegressor(random_state=0, max_iter=5000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(dataset.train.x, dataset.train.labels)
        return float(estimator.score(dataset.test.x, dataset.test.labels))

    frame = named_table(name).frame.collect()
    target = frame["target"].to_numpy()
    folds = (KFold if name == "diabetes" else StratifiedKFold)(3, shuffle=True, random_state=0)
    scores = []
    for train, test in folds.split(target, target):
        frame[train].write_csv(tmp_path / "train.csv")
        frame[test].write_csv(tmp_path / "test.csv")
        dataset = xpmlp.load_dataset(tmp_path / "train.csv", test=tmp_path / "test.csv")
        scores.append((ours(dataset), theirs(dataset)))
    mine, truth = np.mean(scores, axis=0)
    print(f"{name}: {mine:.4f}, scikit-learn {truth:.4f}")
    assert mine >= truth - 0.02


@pytest.mark.slow
def test_mnist_as_csv_is_recognised(mnist_dir: Path) -> None:
    path = mnist_dir.parent / "mnist.csv.gz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    dataset = xpmlp.load_dataset(path, test_fraction=0.2)
    assert (dataset.train.x.shape, dataset.input_shape) == ((8000, 784), (28, 28))
    model, _ = xpmlp.train(dataset)
    assert evaluate_classifier(model, dataset.test).accuracy >= 0.94


def test_one_hot_columns_are_one_target_whose_classes_are_their_names(tmp_path: Path) -> None:
    named = named_table("iris").collect()
    one_hot = named.to_dummies("target", separator=" ")
    kinds = one_hot.columns[4:]
    named.write_csv(tmp_path / "named.csv")
    one_hot.write_csv(tmp_path / "iris.csv")
    one_hot.with_columns(pl.col(kinds) == 1).write_parquet(tmp_path / "booleans.parquet")
    expected, _ = xpmlp.train(tmp_path / "named.csv", target="target", epochs=2, verbose=False)
    for data in (tmp_path / "iris.csv", tmp_path / "booleans.parquet", one_hot):
        model, _ = xpmlp.train(data, target=", ".join(kinds), epochs=2, verbose=False)
        assert model.classes == tuple(kinds)
        np.testing.assert_array_equal(model.layers[0].weight, expected.layers[0].weight)
        report: Any = xpmlp.evaluate(model, data)
        assert report.accuracy > 0.5
    assert repr(xpmlp.evaluate(model, one_hot)) == repr(xpmlp.evaluate(expected, named))
