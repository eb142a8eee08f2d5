"""plots/logs.py and its rooms: any table, JSON document or workbook of a training becomes a curve, or a clear error."""

import io
import json
import os
from itertools import pairwise

import numpy
import openpyxl
import pandas
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plots import decoding, growing, logs

nan, inf = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def forgotten():
    """Every test begins in a process that has read nothing."""
    growing.log.cache_clear()
    logs.fed.cache_clear()
    logs.rule_for.cache_clear()


@pytest.fixture
def parsed(monkeypatch):
    """The texts that pandas was given, in order."""
    texts, read_csv = [], pandas.read_csv

    def recorded(source, **options):
        texts.append(source.getvalue() if isinstance(source, io.BytesIO) else source)
        return read_csv(source, **options)

    monkeypatch.setattr(pandas, "read_csv", recorded)
    return texts


def saved(folder, name, content):
    """The path of a file with this text, these bytes, or this document as JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def append(path, text):
    """Add text to a log, as its writer does."""
    with path.open("ab") as file:
        file.write(text.encode())


def columns_of(table):
    """The columns of a table as lists, with None where a cell holds no number."""
    return {name: [None if cell != cell else cell for cell in column.tolist()] for name, column in table.items()}


# -- tables

LIGHTNING = """epoch,lr-Adam,step,train_loss_step,val_loss\r
,0.01,0,,\r
0,,49,1.5,\r
0,,99,1.25,\r
0,,99,,1.125\r
1,,149,1.0,\r
"""

TABLES = {
    "Keras, resumed and diverged": (
        "training.log",
        "epoch,acc,loss\n0,0.1,2\n1,0.2,1\n0,NA,0.9\n1,nan,inf\n",
        {"epoch": [0, 1, 0, 1], "acc": [0.1, 0.2, None, None], "loss": [2, 1, 0.9, inf]},
        {"x": "epoch", "xs": ("epoch", "row"), "starts": (0, 2), "nans": {"acc": (3,)}, "format": "CSV"},
    ),
    "Lightning: rows of one step are one, and epochs may be missing": (
        "metrics.csv",
        LIGHTNING,
        {
            "step": [0, 49, 99, 149],
            "epoch": [None, 0, 0, 1],
            "lr-Adam": [0.01, None, None, None],
            "train_loss_step": [None, 1.5, 1.25, 1],
            "val_loss": [None, None, 1.125, None],
        },
        {"x": "step", "xs": ("step", "epoch", "row")},
    ),
    "times and rates in the rows of training and of validation: the first ones stay": (
        "metrics.csv",
        "step,train_loss,val_loss,lr,time\n1,1.5,,0.5,10\n1,,1.25,0.5,12\n2,1.0,,0.25,20\n2,,0.5,0.25,22\n",
        {"step": [1, 2], "train_loss": [1.5, 1], "val_loss": [1.25, 0.5], "lr": [0.5, 0.25], "time": [10, 20]},
        {"x": "step"},
    ),
    "YOLOv5: padded cells": (
        "results.csv",
        "               epoch,      train/box_loss,     metrics/mAP_0.5\n"
        "                   0,             0.12631,          4.8716e-05\n"
        "                   1,             0.11000,          0.5\n",
        {"epoch": [0, 1], "train/box_loss": [0.12631, 0.11], "metrics/mAP_0.5": [4.8716e-05, 0.5]},
        {"x": "epoch"},
    ),
    "fastai: the header again, and minutes": (
        "history.csv",
        "epoch,train_loss,time\n0,1.5,00:12\n1,1.25,01:05\nepoch,train_loss,time\n0,1.0,1:00:12\n",
        {"epoch": [0, 1, 0], "train_loss": [1.5, 1.25, 1], "time": [12, 65, 3612]},
        {"x": "epoch", "starts": (0, 2)},
    ),
    "gym monitor: a comment first, mixed newlines, no x": (
        "0.monitor.csv",
        '#{"t_start": 1.5, "env_id": "CartPole"}\nr,l,t\r\n10.0,10,0.5\r\n20.0,20,1.5\r\n',
        {"episode": [1, 2], "total_timesteps": [10, 30], "r": [10, 20], "l": [10, 20], "t": [0.5, 1.5]},
        {"x": "episode", "xs": ("episode", "total_timesteps", "row")},
    ),
    "SB3: x by its name, rows of another length": (
        "progress.csv",
        "rollout/ep_rew_mean,time/total_timesteps,train/loss\n10,2048\n20,4096,0.5\n30,6144,0.25,\n",
        {
            "time/total_timesteps": [2048, 4096, 6144],
            "rollout/ep_rew_mean": [10, 20, 30],
            "train/loss": [None, 0.5, 0.25],
        },
        {"x": "time/total_timesteps"},
    ),
    "RLlib: text, truths and settings are no columns": (
        "progress.csv",
        "episode_reward_mean,date,training_iteration,done,config/lr\n1.5,2024-01-01,1,False,0.1\n2.5,2024-01-02,2,True,0.1\n",
        {"training_iteration": [1, 2], "episode_reward_mean": [1.5, 2.5]},
        {"x": "training_iteration"},
    ),
    "Spinning Up": (
        "progress.txt",
        "Epoch\tAverageEpRet\tTotalEnvInteracts\n0\t-78.5\t10000\n1\t-77.25\t20000\n",
        {"TotalEnvInteracts": [10000, 20000], "Epoch": [0, 1], "AverageEpRet": [-78.5, -77.25]},
        {"x": "TotalEnvInteracts", "xs": ("TotalEnvInteracts", "Epoch", "row"), "format": "TSV"},
    ),
    "DAWNBench: a mark, fractional epochs, blanks in cells": (
        "run.tsv",
        "\ufeffepoch\thours\ttop1Accuracy\r\n1.00096\t  0.5  \t41.3\r\n2.00192\t0.75\t52.2\r\n",
        {"epoch": [1.00096, 2.00192], "hours": [0.5, 0.75], "top1Accuracy": [41.3, 52.2]},
        {"x": "epoch"},
    ),
    "Weights & Biases: all cells in quotes": (
        "export.csv",
        '"Step","17/04: a/b - loss"\n"4","12.5"\n"52",""\n"72","NaN"\n',
        {"Step": [4, 52, 72], "17/04: a/b - loss": [12.5, None, None]},
        {"x": "Step", "nans": {"17/04: a/b - loss": (2,)}},
    ),
    "semicolons and decimal commas": (
        "seed.csv",
        "\ufeffiteration;loss;f-score\r\n1;0,5;0,25\r\n2;0,25;1\r\n",
        {"iteration": [1, 2], "loss": [0.5, 0.25], "f-score": [0.25, 1]},
        {"x": "iteration"},
    ),
    "Excel's own: a hint for it, and bytes that are no UTF-8": (
        "german.csv",
        "sep=;\nepoch;Präzision;loss\n1;0,5;1\nepoch;Präzision;loss\n2;0,75;0,5\n".encode("cp1252"),
        {"epoch": [1, 2], "Pr\ufffdzision": [0.5, 0.75], "loss": [1, 0.5]},
        {"x": "epoch"},
    ),
    "UTF-16 with tabs": (
        "seed.tsv",
        "iteration\tloss\n1\t0.5\n2\t0.25\n3".encode("utf-16"),
        {"iteration": [1, 2], "loss": [0.5, 0.25]},
        {"x": "iteration"},
    ),
    "an index without a name": (
        "seed.csv",
        ",iteration,loss\n0,10,0.5\n1,20,0.25\n",
        {"iteration": [10, 20], "loss": [0.5, 0.25]},
        {"x": "iteration"},
    ),
    "a header in a comment, and comments": (
        "saved.csv",
        "# step,loss\n1,0.5\n# resumed\n2,0.25\n",
        {"step": [1, 2], "loss": [0.5, 0.25]},
        {"x": "step"},
    ),
    "what tells train from val in a column of its own": (
        "long.csv",
        "epoch,phase,loss\n1,train,1.0\n1,val,1.5\n2,train,0.5\n2,val,0.75\n",
        {"epoch": [1, 2], "train/loss": [1, 0.5], "val/loss": [1.5, 0.75]},
        {"x": "epoch"},
    ),
    "many rows of an epoch": (
        "batches.csv",
        "epoch,loss\n0,7\n0,6\n0,5\n0,4\n1,3\n1,2\n1,1\n1,0\n",
        {"row": [0, 1, 2, 3, 4, 5, 6, 7], "epoch": [0, 0, 0, 0, 1, 1, 1, 1], "loss": [7, 6, 5, 4, 3, 2, 1, 0]},
        {"x": "row", "xs": ("row",)},
    ),
    "no x": (
        "loss.csv",
        "loss,acc\n0.5,0.25\n0.25,0.5\n",
        {"row": [0, 1], "loss": [0.5, 0.25], "acc": [0.25, 0.5]},
        {"x": "row"},
    ),
    "one column": ("loss.csv", "loss\n0.5\n0.25\n", {"row": [0, 1], "loss": [0.5, 0.25]}, {"x": "row"}),
    "one row": ("training.log", "epoch,loss\n0,0.5\n1,0.", {"epoch": [0], "loss": [0.5]}, {"x": "epoch"}),
    "what frameworks print around numbers": (
        "odd.csv",
        "step,loss,acc\n1,\"tensor(0.5, device='cuda:0')\",50%\n2,[0.25],75.5%\n",
        {"step": [1, 2], "loss": [0.5, 0.25], "acc": [50, 75.5]},
        {"x": "step"},
    ),
    "a number beyond all floats": (
        "huge.csv",
        f"epoch,loss\n1,{'9' * 400}\n2,-{'9' * 400}\n3,0.5\n",
        {"epoch": [1, 2, 3], "loss": [inf, -inf, 0.5]},
        {"x": "epoch"},
    ),
    "a header in Latin-1": (
        "latin.csv",
        "epoch,loss,pr\xe9cision\n1,0.5,0.25\n2,0.25,0.75\n".encode("latin-1"),
        {"epoch": [1, 2], "loss": [0.5, 0.25], "pr\ufffdcision": [0.25, 0.75]},
        {"x": "epoch"},
    ),
    "bars between the cells": (
        "run.txt",
        "epoch | loss | acc\n1 | 0.5 | 0.25\n2 | 0.25 |\n3 | 0.125 | 0.75\n",
        {"epoch": [1, 2, 3], "loss": [0.5, 0.25, 0.125], "acc": [0.25, None, 0.75]},
        {"x": "epoch", "format": "CSV"},
    ),
    "a quotation mark that is never closed": (
        "note.csv",
        'epoch,loss,note\n1,0.5,"a\n2,0.25,b\n',
        {"epoch": [1, 2], "loss": [0.5, 0.25]},
        {"x": "epoch"},
    ),
}


@pytest.mark.parametrize(("name", "text", "columns", "told"), TABLES.values(), ids=TABLES)
def test_a_table_is_read(tmp_path, name, text, columns, told):
    """With its x in front, numbers and gaps as they are, and what the frame says of itself."""
    table = logs.read_log(saved(tmp_path, name, text))
    assert columns_of(table) == columns
    assert list(table) == list(columns)
    assert table.attrs | told == table.attrs


@pytest.mark.parametrize(("name", "text", "columns", "told"), TABLES.values(), ids=TABLES)
def test_a_glance_at_a_small_file_is_the_whole(tmp_path, name, text, columns, told):
    """Nothing is left out of it."""
    path = saved(tmp_path, name, text)
    glanced, read = logs.glance(path), logs.read_log(path)
    pandas.testing.assert_frame_equal(glanced, read)
    assert glanced.attrs == read.attrs


def test_a_glance_at_a_large_file_reads_its_ends(tmp_path):
    """Its first and its last rows are there, and it says that others are not."""
    path = saved(tmp_path, "training.log", "step,loss\n" + "".join(f"{step},0.5\n" for step in range(200_000)))
    table = logs.glance(path)
    assert table["step"].iloc[[0, -1]].tolist() == [0, 199_999]
    assert len(table) < 30_000
    assert table.attrs["whole"] is False


def test_bars_in_sentences_are_no_table(tmp_path):
    """Where a number stands beside words, it is text with keys."""
    lines = [f"epoch {n} | loss 0.{n} | acc 0.5\n" for n in range(1, 5)]
    table = logs.read_log(saved(tmp_path, "run.csv", "epoch | loss | acc\n" + "".join(lines)))
    assert (table.attrs["format"], table["loss"].tolist()) == ("text", [0.1, 0.2, 0.3, 0.4])


def test_whole_numbers_without_a_gap_stay_whole(tmp_path):
    """All other columns are floats."""
    table = logs.read_log(saved(tmp_path, "a.csv", "step,loss,hits\n1,1,\n2,0.5,7\n"))
    assert table.dtypes.astype(str).tolist() == ["int64", "float64", "float64"]


# -- JSON and Excel

HISTORY = [
    {"epoch": 0.5, "loss": 1.0, "step": 5},
    {"epoch": 1, "loss": nan, "step": 10},
    {"epoch": 1, "eval_loss": 0.75, "step": 10},
    {"epoch": 1, "step": 10, "train_loss": 1.25, "train_runtime": 5, "total_flos": 1},
]
SACRED = {
    "train.loss": {"steps": [1, 2], "values": [1, 0.5], "timestamps": ["1970-01-01T00:01:00", "1970-01-01T00:01:01.5"]},
    "val.acc": {"steps": [2], "values": [0.75], "timestamps": ["1970-01-01T00:01:02"]},
}
CATBOOST = {
    "meta": {"learn_metrics": [{"name": "Logloss"}], "test_metrics": [{"name": "AUC"}], "iteration_count": 10},
    "iterations": [
        {"learn": [0.5], "iteration": 0, "test": [0.75]},
        {"learn": [0.25], "iteration": 1, "test": [0.875]},
    ],
}

DOCUMENTS = {
    "trainer_state.json: the summary at its end is no point": (
        {"log_history": HISTORY, "max_steps": 20},
        {"step": [5, 10], "epoch": [0.5, 1], "loss": [1, None], "eval_loss": [None, 0.75]},
        {"x": "step", "total": 20, "nans": {"loss": (1,)}, "format": "trainer state"},
    ),
    "Sacred": (
        SACRED,
        {"step": [1, 2], "wall_time": [60, 61.5], "train.loss": [1, 0.5], "val.acc": [None, 0.75]},
        {"x": "step", "xs": ("step", "wall_time", "row")},
    ),
    "CatBoost": (
        CATBOOST,
        {"iteration": [0, 1], "learn/Logloss": [0.5, 0.25], "test/AUC": [0.75, 0.875]},
        {"x": "iteration", "total": 10},
    ),
    "lists of equal length": (
        {"params": {"lr": 0.1}, "history": {"loss": [1, 0.5], "val_loss": [2, None]}},
        {"row": [0, 1], "loss": [1, 0.5], "val_loss": [2, None]},
        {"x": "row", "format": "JSON"},
    ),
    "a list of records": (
        [
            {"epoch": 1, "train": {"loss": "0.5"}, "time": "1:05"},
            {"epoch": 2, "train": {"loss": 0.25}, "time": "0:29:05.5"},
        ],
        {"epoch": [1, 2], "train/loss": [0.5, 0.25], "time": [65, 1745.5]},
        {"x": "epoch"},
    ),
    "records under numbers": (
        {"epoch_1": {"loss": 0.5}, "epoch_2": {"loss": 0.25}},
        {"epoch": [1, 2], "loss": [0.5, 0.25]},
        {"x": "epoch"},
    ),
    "columns as pandas saves them": (
        {"epoch": {"0": 1, "1": 2}, "loss": {"0": 0.5, "1": 0.25}},
        {"epoch": [1, 2], "loss": [0.5, 0.25]},
        {"x": "epoch"},
    ),
    "TensorBoard's download": (
        [[60.5, 1, 0.5], [61.5, 2, 0.25]],
        {"step": [1, 2], "wall_time": [60.5, 61.5], "value": [0.5, 0.25]},
        {"x": "step"},
    ),
    "a number card": (
        {"epoch": 3.0, "eval_loss": 0.5, "eval_runtime": 9.5, "best": True},
        {"epoch": [3], "eval_loss": [0.5], "eval_runtime": [9.5]},
        {"x": "epoch", "total": None},
    ),
}


@pytest.mark.parametrize(("document", "columns", "told"), DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_document_is_read(tmp_path, document, columns, told, indent):
    """Whatever it keeps its records in."""
    table = logs.read_log(saved(tmp_path, "metrics.json", json.dumps(document, indent=indent)))
    assert columns_of(table) == columns
    assert table.attrs | told == table.attrs


def test_files_of_epochs_are_one_curve(tmp_path):
    """From any one of them, or their folder: the number in the name is the epoch; one that is half written waits."""
    for epoch in (0, 2, 10):
        saved(tmp_path, f"metrics_epoch_{epoch}.json", {"epoch": epoch, "loss": 0.5, "training_duration": "0:01:05"})
    path = saved(tmp_path, "metrics_epoch_11.json", '{"loss"')
    for place in (path, tmp_path):
        table = logs.read_log(place)
        assert columns_of(table) == {"epoch": [0, 2, 10], "loss": [0.5] * 3, "training_duration": [65] * 3}


def test_a_workbook_is_read(tmp_path):
    """Its first sheet with a curve: below a title, beside an index without a name, with the values of formulas."""
    with pandas.ExcelWriter(tmp_path / "run.xlsx") as workbook:
        pandas.DataFrame({"note": ["a", "b"]}).to_excel(workbook, sheet_name="notes")
        table = pandas.DataFrame({"iteration": [1, 2, 3], "loss": [0.5, "NaN", None], "precision": [0.1, 0.2, 0.3]})
        table.to_excel(workbook, sheet_name="epoch log", startrow=2)
    table = logs.read_log(tmp_path / "run.xlsx")
    assert columns_of(table) == {"iteration": [1, 2, 3], "loss": [0.5, None, None], "precision": [0.1, 0.2, 0.3]}
    assert table.attrs["nans"] == {"loss": (1,)}
    assert table.attrs["sheets"] == ("notes", "epoch log")


def test_a_half_saved_workbook_is_no_curve_yet(tmp_path):
    """It is a zip file without its end."""
    pandas.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25]}).to_excel(tmp_path / "run.xlsx", index=False)
    whole = (tmp_path / "run.xlsx").read_bytes()
    (tmp_path / "run.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(logs.NoCurve, match=r"no curve found in run\.xlsx: it is no complete workbook yet"):
        logs.read_log(tmp_path / "run.xlsx")


# -- no curve

NO_CURVES = {
    "nothing": ("run.csv", "", "it is empty yet; wait for its first rows"),
    "half a header": ("run.csv", "epoch,lo", "it has no rows of numbers yet; wait"),
    "a header": ("run.csv", "epoch,loss\n", "it has no rows of numbers yet; wait"),
    "half a row": ("run.csv", "epoch,loss\n0,0.", "it has no rows of numbers yet; wait"),
    "no header": ("run.csv", "1,0.5\n2,0.25\n", "its columns have no names; write a line of names above the rows"),
    "results with names": ("results.csv", "model,epochs,acc\na,10,0.5\nb,50,0.75\nc,10,0.25\n", "its rows are results"),
    "data": ("iris.csv", "width,length,species\n5.1,3.5,setosa\n4.9,3.0,setosa\n", "it has neither an x nor a loss"),
    "predictions": ("predictions.csv", "id,score\n1,0.5\n2,0.25\n", "its rows are things with an id"),
    "only times": ("time_left.csv", "step,lr,time\n1,0.5,3\n2,0.5,4\n", "it has no column of numbers beside its x"),
    "a configuration": ("config.json", '{"hidden_size": 768, "epochs": 3}', "its numbers are no records"),
    "half a document": ("trainer_state.json", '{\n "log_history": [\n', "its JSON is not complete yet; wait"),
    "no points yet": (
        "trainer_state.json",
        '{"log_history": [], "max_steps": 10}',
        "it has no rows of numbers yet; wait",
    ),
    "a picture": ("run.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\n", "it is in no format that is known here"),
}


@pytest.mark.parametrize(("name", "text", "why"), NO_CURVES.values(), ids=NO_CURVES)
def test_what_holds_no_curve_is_a_clear_error(tmp_path, name, text, why):
    """It names the file, and says why and what to do; a glance says the same."""
    path = saved(tmp_path, name, text)
    for look in (logs.read_log, logs.glance):
        with pytest.raises(logs.NoCurve) as error:
            look(path)
        assert str(error.value).startswith(f"no curve found in {name}: {why}")
        assert str(error.value).endswith(".")


def test_a_result_table_in_excel_is_no_curve(tmp_path):
    """The epochs of its rows are a setting; all sheets are named."""
    workbook = openpyxl.Workbook()
    for sheet in (workbook.active, workbook.create_sheet("more")):
        for row in [("model", "epochs", "mAP50"), ("a", 100, 0.5), ("b", 10, "=ROUND(0.25, 2)"), ("c", 100, 0.75)]:
            sheet.append(row)
    workbook.save(tmp_path / "results.xlsx")
    with pytest.raises(logs.NoCurve, match=r"none of its sheets \(Sheet, more\) holds one: its rows are results"):
        logs.read_log(tmp_path / "results.xlsx")


def test_a_missing_file_is_named(tmp_path):
    """The error is Python's own."""
    with pytest.raises(FileNotFoundError, match=r"run\.csv"):
        logs.read_log(tmp_path / "run.csv")


# -- growth


def test_only_the_added_rows_are_parsed(tmp_path, parsed):
    """They come behind the first row, of which they take their types; those of other looks are not read again."""
    path = saved(tmp_path, "training.log", "epoch,loss\n" + "".join(f"{epoch},0.5\n" for epoch in range(2000)))
    logs.read_log(path)
    append(path, "2000,0.25\n2001,0.12")
    parsed.clear()
    table = logs.read_log(path)
    assert parsed == [b"0,1\n0,0.5\n0,0.5\n2000,0.25\n"]
    assert len(table) == 2001
    parsed.clear()
    assert len(logs.read_log(path)) == 2001
    assert parsed == []


def test_what_was_found_in_a_column_is_remembered(tmp_path, monkeypatch):
    """Of a table that has grown, only the new rows are looked at."""
    path = saved(tmp_path, "a.csv", "step,loss\n" + "".join(f"{step},{step % 7}.5\n" for step in range(1000)))
    logs.read_log(path)
    looked_at, isnan = [], numpy.isnan
    monkeypatch.setattr("plots.curves.are_nan", lambda column: looked_at.append(len(column)) or isnan(column))
    append(path, "1000,nan\n999,0.5\n")
    table = logs.read_log(path)
    assert table.attrs["starts"] == (0, 1001)
    assert table.attrs["nans"] == {"loss": (1000,)}
    assert sum(looked_at) < 20


def test_a_new_column_is_there_at_once(tmp_path):
    """Lightning then writes the whole file anew, with another header; cells move to other columns."""
    path = saved(tmp_path, "metrics.csv", "epoch,step,loss\r\n0,9,0.5\r\n")
    logs.read_log(path)
    path.write_text("acc,epoch,step,loss\r\n,0,9,0.5\r\n0.75,0,9,\r\n,0,19,0.25\r\n", newline="")
    table = logs.read_log(path)
    assert columns_of(table) == {"step": [9, 19], "epoch": [0, 0], "acc": [0.75, None], "loss": [0.5, 0.25]}


def test_a_table_is_its_readers_own(tmp_path):
    """Changing it changes nothing that is remembered."""
    path = saved(tmp_path, "a.csv", "loss\tacc\n0.5\t0.25\n0.25\t0.5\n")
    table = logs.read_log(path)
    table["loss"] = 0.0
    table.loc[0, "acc"] = 9.0
    table["row"] += 5
    table.attrs["x"] = "acc"
    again = logs.read_log(path)
    assert columns_of(again) == {"row": [0, 1], "loss": [0.5, 0.25], "acc": [0.25, 0.5]}
    assert again.attrs["x"] == "row"


def outcome(path):
    """What `read_log` returns, as plain values, or the text of its error."""
    try:
        table = logs.read_log(path)
    except logs.NoCurve as error:
        return str(error)
    return repr(columns_of(table)), table.dtypes.astype(str).tolist(), repr(table.attrs)


CELLS = st.sampled_from(
    ["0", "1", "2", "7", "0.5", "-1e3", "nan", "NA", "", "inf", "1:05", "a", "True", '"', "# x", " 3 "]
)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=4).map(",".join), max_size=12)
HEADERS = st.sampled_from(
    ["epoch,loss", "step,epoch,loss,val_loss", ",step,loss", "loss,acc", "epoch,loss,loss", "r,l,t"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=HEADERS, rows=ROWS, newline=st.sampled_from(["\n", "\r\n"]), cuts=st.lists(st.integers(0, 200), max_size=4)
)
def test_reading_in_pieces_gives_what_reading_at_once_gives(tmp_path, header, rows, newline, cuts):
    """Wherever a piece ends."""
    text = newline.join([header, *rows, ""]).encode()
    path, other = tmp_path / "pieces.csv", tmp_path / "at once" / "pieces.csv"
    other.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    bounds = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    for start, end in pairwise(bounds):
        with path.open("ab") as file:
            file.write(text[start:end])
        outcome(path)
    other.write_bytes(text)
    assert outcome(path) == outcome(other)


NAMES = st.sampled_from(["a.csv", "a.tsv", "a.json", "a.xlsx", "a.xls", "metrics_epoch_3.json", "trainer_state.json"])
LIKELY = st.sampled_from(
    [
        "epoch",
        "loss",
        ",",
        "\t",
        ";",
        "\n",
        "1",
        "0.5",
        '"',
        "{",
        "}",
        "[",
        "]",
        ":",
        "nan",
        "#",
        "\x00",
        "\r",
        "\x1b[",
        "\b",
    ]
)
BYTES = st.one_of(st.binary(max_size=200), st.lists(LIKELY, max_size=60).map(lambda parts: "".join(parts).encode()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, content=BYTES)
@example(name="a.json", content=b'{"a": ' + b"[" * 100_000)
@example(name="a.json", content=b'{"loss": [1e999, 99999999999999999999999, -1], "step": [1, 2, 3]}')
@example(name="a.csv", content=b"epoch,loss\n99999999999999999999,1\n1e400,2\n")
@example(name="a.csv", content=b"\xff\xfea\x00,\x00\n\x00\n")
@example(name="a.xlsx", content=b"PK\x03\x04\x00" * 9)
def test_any_bytes_give_a_frame_or_the_clear_error(tmp_path, name, content):
    """Nothing else is ever raised for what a file holds."""
    path = saved(tmp_path, name, content)
    for look in (logs.read_log, logs.glance):
        try:
            table = look(path)
        except logs.NoCurve as error:
            assert str(error).startswith(f"no curve found in {name}: ")
        else:
            assert table.attrs["x"] in table
            assert isinstance(table.index, pandas.RangeIndex)


# -- text, as it is in files

CLEANED = {
    "carriage returns": ("loss 1\rloss 2\r\n", "loss 2\n"),
    "backspaces": ("1/2\x08\x08\x082/2 - loss: 1\n", "2/2 - loss: 1\n"),
    "a progress bar does not hide what was said": ("{'loss': 1}\r 10%|# | 1/10\n", "{'loss': 1}\n"),
    "colours": ("\x1b[1m\x1b[32mloss\x1b[0m 1\x1b[K\n", "loss 1\n"),
    "a title": ("\x1b]0;python\x07loss 1\n", "loss 1\n"),
    "Windows": ("loss 1\r\r\nloss 2\r\n", "loss 1\nloss 2\n"),
}


@pytest.mark.parametrize(("text", "lines"), CLEANED.values(), ids=CLEANED)
def test_a_line_is_what_a_terminal_shows_in_the_end(text, lines):
    """Escapes are gone, and of a line that was rewritten the last state stays."""
    assert decoding.cleaned(text.encode()) == lines


class Recorded:
    """A reader that keeps the texts that it was fed."""

    def __init__(self):
        self.texts = []

    def feed(self, text):
        self.texts.append(text)

    def table(self):
        return pandas.DataFrame({"text": self.texts})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_reader_is_fed_the_complete_lines_that_were_added(tmp_path, encoding):
    """Each once; a newline in UTF-16 is two bytes, which may be halves of other characters as well."""
    path, fed = tmp_path / "run.log", decoding.Fed(Recorded)
    path.write_bytes("\ufeffa\u0a00\u000b\n\u0a0ab".encode(encoding))
    for added in ("", "c\n", "d", "\ne\n"):
        with path.open("ab") as file:
            file.write(added.encode(encoding))
        with path.open("rb") as file:
            table = fed.table(file)
    assert table["text"].tolist() == ["a\u0a00\u000b\n", "\u0a0abc\n", "d\ne\n"]


def test_a_log_that_was_begun_anew_is_fed_anew(tmp_path):
    """Its beginning is another, or it has shrunk."""
    path, fed = tmp_path / "run.log", decoding.Fed(Recorded)
    for text in ("a\nb\n", "a\n", "c\nb\nd\n"):
        path.write_text(text)
        with path.open("rb") as file:
            assert fed.table(file)["text"].tolist() == [text]


@pytest.mark.parametrize("name", ["run.csv", "run.tsv"])
def test_a_last_line_without_a_newline_counts_once_the_file_has_settled(tmp_path, name):
    """An export has none; what a training has not written out is cut off anywhere, until it goes on."""
    lines = ["step,loss", "1,0.5", "2,0.25"]
    encoding = "utf-16" if name == "run.tsv" else "utf-8"
    path = saved(tmp_path, name, "\n".join(lines).encode(encoding))
    assert columns_of(logs.read_log(path))["loss"] == [0.5]
    os.utime(path, (1, 1))
    for look in (logs.read_log, logs.glance):
        assert columns_of(look(path))["loss"] == [0.5, 0.25]
    path.write_bytes("\n".join([*lines, ""]).replace("0.25", "0.257").encode(encoding))
    assert columns_of(logs.read_log(path))["loss"] == [0.5, 0.257]


def test_a_settled_line_that_goes_on_is_fed_anew(tmp_path):
    """It was not whole after all."""
    path, fed = saved(tmp_path, "run.log", "a\nb"), decoding.Fed(Recorded)
    os.utime(path, (1, 1))
    texts = []
    for added in ("", "c\nd\n"):
        if added:
            append(path, added)
        with path.open("rb") as file:
            texts.append("".join(fed.table(file)["text"]))
    assert texts == ["a\nb\n", "a\nbc\nd\n"]


# -- folders of runs

FOLDERS = {
    "Lightning": ({"metrics.csv": "step,loss\n1,0.5\n2,0.25\n", "hparams.yaml": "lr: 1\n"}, ["metrics.csv"]),
    "Ultralytics": (
        {"results.csv": "epoch,loss\n1,0.5\n2,0.25\n", "args.yaml": "a: 1\n", "labels.csv": "a,b\n"},
        ["results.csv"],
    ),
    "SB3: the table before its twins": (
        {"log.txt": "| a | b |\n", "progress.json": "{}\n", "progress.csv": "total/steps,loss\n1,0.5\n2,0.25\n"},
        ["progress.csv", "progress.json", "log.txt"],
    ),
    "the last checkpoint": (
        {
            "checkpoint-9/trainer_state.json": {"log_history": [{"loss": 9, "step": 9}]},
            "checkpoint-10/trainer_state.json": {"log_history": [{"loss": 0.5, "step": 1}, {"loss": 0.25, "step": 2}]},
        },
        ["checkpoint-10/trainer_state.json", "checkpoint-9/trainer_state.json"],
    ),
    "a log of any kind": ({"mine.csv": "step,loss\n1,0.5\n2,0.25\n", "notes.md": "a"}, []),
}


@pytest.mark.parametrize(("files", "names"), FOLDERS.values(), ids=FOLDERS)
def test_the_folder_of_a_run_is_read(tmp_path, files, names):
    """From the file with the most structure; the files it depends on are told."""
    for name, content in files.items():
        saved(tmp_path, name, content)
    assert columns_of(logs.read_log(tmp_path))["loss"] == [0.5, 0.25]
    assert [path.relative_to(tmp_path).as_posix() for path in logs.log_files(tmp_path)] == names


def test_tables_of_one_run_are_put_side_by_side(tmp_path):
    """CatBoost has one for each data set, dvclive one for each metric."""
    saved(tmp_path, "cat/learn_error.tsv", "iter\tLogloss\n0\t0.5\n1\t0.25\n")
    saved(tmp_path, "cat/test_error.tsv", "iter\tLogloss\tAUC\n0\t0.75\t0.5\n")
    expected = {"iter": [0, 1], "learn/Logloss": [0.5, 0.25], "test/Logloss": [0.75, None], "test/AUC": [0.5, None]}
    assert columns_of(logs.read_log(tmp_path / "cat")) == expected
    saved(tmp_path, "live/plots/metrics/train/loss.tsv", "step\tloss\n0\t0.5\n1\t0.25\n")
    saved(tmp_path, "live/plots/metrics/acc.tsv", "step\tacc\n1\t0.75\n")
    expected = {"step": [0, 1], "acc": [None, 0.75], "train/loss": [0.5, 0.25]}
    assert columns_of(logs.read_log(tmp_path / "live")) == expected


def test_a_curve_over_rows_has_no_other_x(tmp_path):
    """Where no column is fit for it, none is offered instead."""
    table = logs.read_log(saved(tmp_path, "a.csv", "epoch,loss\n" + "1,0.5\n" * 9))
    assert (table.attrs["x"], table.attrs["xs"]) == ("row", ("row",))


def test_a_folder_without_a_log_is_a_clear_error(tmp_path):
    """It says what to choose instead."""
    with pytest.raises(logs.NoCurve, match="it has no log of a run in it; choose a file, or the folder of one run"):
        logs.read_log(tmp_path)


# -- files that are written anew while they are read


@pytest.mark.parametrize("header", ["step,loss", "step,loss,val_loss"])
def test_a_file_that_is_written_anew_while_it_is_read_is_read_again(tmp_path, monkeypatch, header):
    """Else half of the old run would stand before half of the new one."""
    path = saved(tmp_path, "run.csv", "step,loss\n0,1.0\n1,0.5\n")
    logs.read_log(path)
    append(path, "2,0.25\n")
    anew = [f"{step},{8 - step}{',' * (header.count(',') - 1)}" for step in range(9)]
    read = growing.complete_lines

    def written_anew(file, size=-1):
        monkeypatch.setattr(growing, "complete_lines", read)
        path.write_text("\n".join([header, *anew, ""]))
        return read(file, size)

    monkeypatch.setattr(growing, "complete_lines", written_anew)
    assert columns_of(logs.read_log(path))["loss"] == [8 - step for step in range(9)]


@pytest.mark.parametrize("name", ["metrics.csv", "anything.csv", "events.out.tfevents.1"])
def test_a_link_in_a_folder_is_not_followed(tmp_path, name):
    """It may lead out of what the folder's reader may see."""
    outside = saved(tmp_path, "outside.csv", "step,loss\n1,0.5\n2,0.25\n")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).symlink_to(outside)
    for look in (logs.read_log, logs.glance):
        with pytest.raises(logs.NoCurve, match=r"no log of a run in it|its logs are links"):
            look(folder)
