"""Pages of table models in a real browser, compared with ``xpmlp predict``."""

import csv
import io
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import xpmlp
from xpmlp.datasets import TableOptions
from xpmlp.datasets.tables.files import read_table
from xpmlp.datasets.tables.loading import rows_to_predict
from xpmlp.page import PageContent

pytestmark = pytest.mark.slow

ODD = 'a "quoted", name'
QUOTED = '"a ""quoted"", name"'
HEADER = f"age,{QUOTED},color,smokes,joined,code,spent"


def make_table(rows: int, seed: int) -> pl.DataFrame:
    """Return a table of numbers, booleans, dates and categories, some of them rare, with missing values."""
    rng = np.random.default_rng(seed)
    age, smokes = rng.integers(18, 90, rows), rng.random(rows) < 0.3
    color = rng.choice(["blue", "red", "green, light", "3"], rows, p=[0.4, 0.3, 0.2, 0.1])
    table = {
        "age": age,
        ODD: np.round(170 + 10 * rng.standard_normal(rows), 3),
        "color": color,
        "smokes": smokes,
        "joined": np.datetime64("2020-01-01") + rng.integers(0, 1500, rows),
        "code": rng.choice(["A", "B", *(f"rare {index}" for index in range(40))], rows, p=[0.5, 0.4, *[0.0025] * 40]),
        "spent": [f"${value:,.2f}" for value in np.exp(rng.normal(6, 2, rows))],
        "risk": np.where(age + 20 * smokes + 10 * (color == "red") + 5 * rng.standard_normal(rows) > 65, "high", "low"),
    }
    known = {name: pl.Series(rng.random(rows) >= 0.1) for name in (ODD, "color", "smokes", "joined")}
    return pl.DataFrame(table).with_columns(pl.when(there).then(pl.col(name)) for name, there in known.items())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A dataset with every kind of column, and its model."""
    path = tmp_path_factory.mktemp("table") / "people.csv"
    make_table(800, seed=0).write_csv(path)
    dataset = xpmlp.load_dataset(path, target="risk")
    return dataset, xpmlp.train(dataset, xpmlp.Recipe(epochs=20, hidden_layer_sizes=(16,)), verbose=False)[0]


@pytest.fixture
def page(browser: Any, trained: tuple[Any, Any]) -> Any:
    """The browser with the page of that model."""
    dataset, model = trained
    test = dataset.test.take(slice(0, 6))
    content = PageContent("people", examples=test.x, labels=test.labels.tolist(), training_rows=dataset.train.x)
    browser.open(model, content)
    return browser


def paste(browser: Any, text: str) -> None:
    """Paste rows and have them predicted."""
    browser.run("byId('csv').value = arguments[0]", text)
    browser.find("#predict-rows").click()


def test_a_thousand_rows_can_be_downloaded_with_the_predictions_of_python(
    page: Any, trained: tuple[Any, Any], tmp_path: Path
) -> None:
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    frame = make_table(1000, seed=1).drop("risk")
    paste(page, frame.write_csv(separator=";"))
    assert page.text("#csv-problem") == ""
    page.find("#download").click()
    path = tmp_path / "predictions.csv"
    for _ in range(100):
        if path.exists() and path.stat().st_size:
            break
        time.sleep(0.05)
    header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    assert header == [*frame.columns, "prediction", "probability_high", "probability_low"]
    assert [line[0] for line in lines] == [str(age) for age in frame["age"]]
    with warnings.catch_warnings(action="ignore"):
        expected = xpmlp.predict(trained[1], frame)
    assert [line[7] for line in lines] == expected.labels.tolist()
    np.testing.assert_allclose(np.array([line[8:] for line in lines], float), expected.probabilities, rtol=0, atol=1e-5)


def test_rows_that_do_not_fit_get_a_sentence_and_odd_ones_that_do_a_note(page: Any) -> None:
    for text, *words in (
        ("", "no rows"),
        ("age,color\n1,red\n", "5 of the 7 columns are missing", "smokes"),
        (f"{HEADER}\nold,1,red,true,2021-01-01,A,$5\n", "Row 1, age", "old", "number"),
        (f"{HEADER}\n1,1,red\n", "Row 1 has 3 cells", "7"),
        ('age,"never closed\n1,2\n', "quote"),
        (f"{HEADER}\n1e400,1,red,true,2021-01-01,A,$5\n", "age", "infinite"),
    ):
        paste(page, text)
        assert all(word in page.text("#csv-problem") for word in words), page.text("#csv-problem")
        assert page.text("#predicted") == ""
    # Other columns, spaces, markers of missing values, unknown categories, late dates.
    rows = ("7; red;TRUE;40;?;2021-02-03;A;$1,000.50", "8;pink;no;4,5;NA;2031-02-03;new;5", "9;red;0;?;1;soon;B;-")
    paste(page, f"id; color ;smokes;age;{QUOTED};joined;code;spent\r\n" + "\r\n".join(rows) + "\r\n\r\n")
    assert page.text("#csv-problem") == ""
    note = page.text("#csv-note")
    assert "3 rows predicted" in note
    assert "age" not in note
    assert "color: 1 row with a category" in note
    assert "joined: 1 row with a value of another kind" in note
    assert "joined: 1 row with a date after the latest" in note


def test_the_form_predicts_as_python_does(page: Any, trained: tuple[Any, Any]) -> None:
    """A number typed, a category and a boolean chosen, a value missing."""
    _, model = trained
    for name, value in (("age", "71"), (ODD, "181.5"), ("spent", "1234.5")):
        box = page.driver.find_element("xpath", f"//label[text()={name!r}]/following::input[@type='number'][1]")
        box.clear()
        box.send_keys(value)
    date = page.driver.find_element("xpath", "//label[text()='joined']/following::input[@type='date'][1]")
    page.run(
        "arguments[0].value = '2022-03-04'; arguments[0].dispatchEvent(new Event('input', { bubbles: true }))", date
    )
    for name, value in (("color", "red"), ("smokes", "true"), ("code", "infrequent")):
        page.driver.find_element("xpath", f"//label[text()={name!r}]/following::select[1]").send_keys(value)
    page.settle()
    table = {"age": [71], ODD: [181.5], "color": ["red"], "smokes": [True], "code": ["seldom"]}
    table |= {"joined": ["2022-03-04"], "spent": [1234.5]}
    expected = xpmlp.predict(model, pl.DataFrame(table))
    assert page.text("#row-best") == expected.labels[0]
    assert f"{100 * expected.probabilities.max():.1f} %" in page.text("#row-second")

    page.driver.find_element("css selector", f"input[aria-label='{ODD} is missing']").click()
    page.settle()
    with warnings.catch_warnings(action="ignore"):
        expected = xpmlp.predict(model, pl.DataFrame(table | {ODD: [None]}, schema_overrides={ODD: pl.Float64}))
    assert f"{100 * expected.probabilities.max():.1f} %" in page.text("#row-second")


def test_a_response_curve_is_the_prediction_for_each_value_and_examples_have_the_rows_own(
    page: Any, trained: tuple[Any, Any]
) -> None:
    dataset, model = trained
    page.run("page.form.setRow(page.form.rows[2])")
    page.settle()
    charts = page.run("return [...document.querySelectorAll('#responses svg')].map((each) => each.ariaLabel)")
    row = dataset.test.x[2].copy()
    answer = xpmlp.predict(model, row[None], prepared=True).probabilities[0].argmax()
    seen = dataset.train.x[:, 0]
    ages = np.tile(row, (33, 1))
    ages[:, 0] = np.linspace(seen.min(), seen.max(), 33)
    curve = xpmlp.predict(model, ages, prepared=True).probabilities[:, answer]
    assert f"age: from {100 * curve.min():.0f} % to {100 * curve.max():.0f} %" in charts[0]
    assert len(charts) == 7
    encoded = page.run(
        "return page.form.rows.map((row) => Array.from(encodeRow(page.description.columns,"
        " decodeRow(page.description.columns, row))))"
    )
    np.testing.assert_allclose(encoded, dataset.test.x[:6], atol=1e-4)


def houses(rows: int, rng: np.random.Generator) -> tuple[str, str]:
    """American houses: areas with units, prices in thousands and millions, dates month first, seldom towns."""
    area, sold = rng.integers(500, 5000, rows), np.datetime64("2015-01-01") + rng.integers(0, 3000, rows)
    town = rng.choice(["Salem", "Dover", *(f"Ham {index}" for index in range(40))], rows, p=[0.5, 0.4, *[0.0025] * 40])
    tax = [f"${value / 1000:.1f}k" if value < 1e6 else f"${value / 1e6:.2f}M" for value in area * 400.0]
    lines = ["area,sold,town,tax,garage,price"]
    for index in range(rows):
        day = sold[index].astype(object)
        garage = ("Yes", "No", "gone")[int(rng.choice(3, p=[0.5, 0.4, 0.1]))]
        price = 100 * area[index] + 5000 * (garage == "Yes") + 10_000 * rng.standard_normal()
        lines.append(f'"{area[index]:,} sqft",{day:%m/%d/%Y},{town[index]},{tax[index]},{garage},{price:.0f}')
    return "\n".join(lines), "price"


def machines(rows: int, rng: np.random.Generator) -> tuple[str, str]:
    """German machines: semicolons, decimal commas, days with a time, degrees, question marks where none is known."""
    start = np.datetime64("2023-01-01T00:00") + rng.integers(0, 500_000, rows)
    heat, load = 60 + 15 * rng.standard_normal(rows), rng.random(rows)
    lines = ["Beginn;Temperatur;Last;Schicht;Ausfall"]
    for index in range(rows):
        degrees = "?" if rng.random() < 0.1 else f"{heat[index]:.1f}".replace(".", ",") + " °C"
        failed = "ja" if heat[index] + 20 * load[index] > 75 else "nein"
        share = f"{100 * load[index]:.1f}".replace(".", ",") + " %"
        time_of_day = start[index].astype(object)
        lines.append(f"{time_of_day:%d.%m.%Y %H:%M};{degrees};{share};{'ABC'[index % 3]};{failed}")
    return "\n".join(lines), "Ausfall"


def accounts(rows: int, rng: np.random.Generator) -> tuple[str, str]:
    """Accounts: losses in brackets or before a minus, times of day, whole numbers as categories and numbers."""
    lines = ["customer,balance,opened,branch,visits,churn"]
    for index in range(rows):
        balance = float(rng.normal(0, 5000))
        loss = f"(€{-balance:,.2f})" if index % 2 else f"€{-balance:,.2f}-"
        money = f"€{balance:,.2f}" if balance >= 0 else loss
        visits = "" if rng.random() < 0.15 else str(rng.poisson(4))
        opened = f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"
        churn = "left" if balance < -2000 or visits in ("0", "1") else "stayed"
        branch = rng.choice(["NA", "S", '"E, W"'])
        lines.append(f'c{index},"{money}",{opened},{branch},{visits},{churn}')
    return "\n".join(lines), "churn"


@pytest.mark.parametrize("make", [houses, machines, accounts])
def test_tables_as_people_have_them_are_read_as_by_python(make: Any, browser: Any, tmp_path: Path) -> None:
    """Rows pasted as they are, and the form's fields read back, predict what `xpmlp predict` does."""
    text, target = make(400, np.random.default_rng(0))
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    with warnings.catch_warnings(action="ignore"):
        dataset = xpmlp.load_dataset(path, target=target, na=("gone", "none"))
        model = xpmlp.train(dataset, xpmlp.Recipe(epochs=10, hidden_layer_sizes=(16,)), verbose=False)[0]
        assert model.table_schema is not None
        table = read_table(path, TableOptions.recorded(model.training), model.table_schema)
        x = rows_to_predict(table, model.table_schema).x
    expected = xpmlp.predict(model, x, prepared=True)
    outputs = expected.probabilities if model.classes else expected.labels[:, None]
    content = PageContent("table", examples=x[:12], labels=dataset.train.labels[:12].tolist(), training_rows=x)
    browser.open(model, content)
    paste(browser, text)
    assert browser.text("#csv-problem") == ""
    lines = browser.run("return predictRows(page.network, page.description, arguments[0]).lines", text)
    found = np.array([line[-outputs.shape[1] :] for line in lines], np.float64)
    np.testing.assert_allclose(found, outputs, rtol=1e-5, atol=1e-5)
    read_back = browser.run(
        """
        const fields = [...document.querySelectorAll("#form select, #form input:is([type=number], [id^=column])")];
        return page.form.rows.map((row) => {
          page.form.setRow(row);
          fields.forEach((field) => field.dispatchEvent(new Event("input", { bubbles: true })));
          return Array.from(predict(page.network, encodeRow(page.description.columns, page.form.values)));
        });
        """
    )
    np.testing.assert_allclose(read_back, outputs[:12], rtol=1e-3, atol=1e-3)
