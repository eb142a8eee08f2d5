"""plots/logs.py over real logs: what each file of ../shared/logs gives, written down in real_logs.tsv.

The files are not part of this project; where they are missing, these tests are skipped. A line of the table is a file:

- x: the name of the x column, or - where the file holds no curve
- rows, first, last: how many rows, and the first and last x
- starts: the rows where a segment begins; total: the last x that the file promises
- metrics: a name, how many values it has, and x:value of the first, the middle and the last one
- absent: columns that must not be there

`?` is anything, and `~` begins a regular expression, where more than one name is right. The numbers were read with
pandas on the cleaned text, with json, and with TensorBoard's EventAccumulator.
"""

import csv
import functools
import math
import random
import re
import shutil
from pathlib import Path

import pandas
import pytest

from plots import logs

LOGS = Path(__file__).resolve().parents[2] / "shared" / "logs"
with (Path(__file__).parent / "real_logs.tsv").open(encoding="utf-8", newline="") as table:
    TABLE = {line["file"]: line for line in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)}
CURVES = {file: line for file, line in TABLE.items() if line["x"] != "-"}
CURVELESS = sorted(TABLE.keys() - CURVES.keys())
REWRITTEN = ("xlsx/", "hf_trainer_state/", "hf_all_results/", "allennlp/QAQdev__metrics_epoch_")
GROWING = [file for file in TABLE if not file.startswith(REWRITTEN)]

BASELINES = "HzCeee__model_moving__exp300+MFOV__data__"
MLFLOW_RUN = "mlflow_filestore/10-Academy/mlruns/1/ed05f9cd599442fe9a0c9222184710b8"
# a run folder -> its files under the names that the libraries give, the first one is the one that is read
FOLDERS = {
    "lightning_logs/version_0": {
        "metrics.csv": "lightning_csv/0Xero7__lightning_logs__version_0__metrics.csv",
        "hparams.yaml": "lightning_csv/0Xero7__lightning_logs__version_0__hparams.yaml",
    },
    "runs/detect/train2": {"results.csv": "ultralytics_csv/27hrs__runs__detect__train2__results.csv"},
    "runs/train/exp": {"results.txt": "yolov5_results_txt/hrithikacharukula__runs__train__exp__results.txt"},
    "openai-2018-03-31": {
        "progress.csv": f"baselines_progress_csv/{BASELINES}progress.csv",
        "log.txt": f"baselines_log_table/{BASELINES}log.txt",
        "0.monitor.csv": f"monitor_csv/{BASELINES}0.monitor.csv",
    },
    "vit-base/checkpoint-6652": {
        "trainer_state.json": "hf_trainer_state/M-Aidil-Fitrah__trainer_state.json",
        "all_results.json": "hf_all_results/M-Aidil-Fitrah__all_results.json",
    },
    "mlruns/1/ed05f9": {
        "metrics/loss": f"{MLFLOW_RUN}/metrics/loss",
        "params/epochs": f"{MLFLOW_RUN}/params/epochs",
        "params/opt_momentum": f"{MLFLOW_RUN}/params/opt_momentum",
        "meta.yaml": f"{MLFLOW_RUN}/meta.yaml",
    },
    "log/validation": {
        "events.out.tfevents.1663590523.cheng": "tensorboard/QAQdev__validation__events.out.tfevents.1663590523.cheng"
    },
}

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="the real logs are not part of this project")


def named(cell, name):
    """Whether a column may be called so, by a cell of the table."""
    return re.fullmatch(cell[1:], name) is not None if cell.startswith("~") else cell == name


def numbers(cell):
    """The numbers of a cell; None for the ones that may be anything."""
    return [None if part == "?" else float(part) for part in re.split("[,:]", cell)]


def close(found, expected):
    """Whether a number is the one that is written down, up to what printing and parsing it cost."""
    return expected is None or math.isclose(found, expected, rel_tol=1e-9, abs_tol=0)


def expected_metrics(cell):
    """The metrics of a cell: for each the name, how many values it has, and (x, value) of some of them."""
    for metric in cell.split(" | "):
        name, count, points = re.fullmatch(r"(.+?) (\d+)((?: \S+:\S+)+)", metric).groups()
        yield name, int(count), [numbers(point) for point in points.split()]


def has_values(frame, column, count, points):
    """Whether a column has so many values, of which the first, the middle and the last are these."""
    values = frame[column].dropna()
    if len(values) != count:
        return False
    rows = [values.index[place] for place in sorted({0, count // 2, count - 1})]
    found = zip(frame[frame.attrs["x"]][rows], values[rows], strict=True)
    return all(close(x, point[0]) and close(y, point[1]) for (x, y), point in zip(found, points, strict=True))


def assert_well_formed(frame):
    """What holds for every frame: numeric columns, a known x that rises within a segment, plain attributes."""
    x, xs, starts = frame.attrs["x"], frame.attrs["xs"], frame.attrs["starts"]
    assert isinstance(frame.index, pandas.RangeIndex)
    assert {str(kind) for kind in frame.dtypes} <= {"float64", "int64"}
    assert (frame.columns[0], xs[-1]) == (x, "row") and x in (xs[0], "row")
    assert len(set(xs)) == len(xs) and set(xs) - {"row"} <= set(frame.columns)
    assert (starts[0], sorted(set(starts))) == (0, list(starts))
    for start, end in zip(starts, [*starts[1:], len(frame)], strict=True):
        assert frame[x][start:end].is_monotonic_increasing
    assert set(frame.attrs["nans"]) <= set(frame.columns)
    assert frame.attrs["format"] and frame.attrs["whole"] is True


def read_or_no_curve(path, read=logs.read_log):
    """What a file holds, or the type of the only error that reading it may raise."""
    try:
        return read(path)
    except logs.NoCurve as error:
        return type(error)


def assert_same(found, expected):
    """Two files, or two ways to read one, gave the same: values, types and attributes, or no curve."""
    if isinstance(expected, pandas.DataFrame):
        pandas.testing.assert_frame_equal(found, expected, check_exact=True)
        assert found.attrs == expected.attrs
    else:
        assert found is expected


def copied(file, folder, name=None):
    """A copy of a real log, under its own path or another one."""
    path = folder / (name or file)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(LOGS / file, path)
    return path


def ended(file, folder):
    """The path of a real log; of a copy that ends with a newline where the log does not: its last line would wait."""
    whole = (LOGS / file).read_bytes()
    if file not in GROWING or "tfevents" in file or whole.endswith(b"\n"):
        return LOGS / file
    path = copied(file, folder)
    path.write_bytes(whole + b"\n")
    return path


@functools.cache
def at_once(file):
    """What a real log holds that nobody has looked at before; read once for all tests that ask."""
    return read_or_no_curve(LOGS / file)


@pytest.fixture(scope="module", params=CURVES)
def curve(request, tmp_path_factory):
    """The line of a real log in the table, and what the log holds."""
    path = ended(request.param, tmp_path_factory.mktemp("ended"))
    return CURVES[request.param], at_once(request.param) if path == LOGS / request.param else logs.read_log(path)


def test_every_real_log_is_in_the_table():
    """Each file of the folder has its line, and each line its file."""
    files = {path.relative_to(LOGS).as_posix() for path in LOGS.rglob("*") if path.is_file()}
    assert files - {"SOURCES.tsv"} == TABLE.keys()


def test_a_real_log_gives_its_curve(curve):
    """The rows, the x axis, the segments and the metrics are those that are written down."""
    line, frame = curve
    assert_well_formed(frame)
    x = frame[frame.attrs["x"]]
    assert named(line["x"], x.name), x.name
    assert line["rows"] in ("?", str(len(frame)))
    assert close(x.iloc[0], *numbers(line["first"])) and close(x.iloc[-1], *numbers(line["last"]))
    assert list(frame.attrs["starts"]) == numbers(line["starts"])
    assert line["total"] in ("?", str(frame.attrs["total"]).lower().removesuffix(".0"))


def test_a_real_log_gives_its_metrics(curve):
    """Each metric that is written down is a column with these values at these x."""
    line, frame = curve
    for name, count, points in expected_metrics(line["metrics"]):
        columns = [column for column in frame if named(name, column)]
        assert any(has_values(frame, column, count, points) for column in columns), (name, list(frame))


@pytest.mark.parametrize("file", [file for file, line in CURVES.items() if line["absent"] != "-"])
def test_what_a_real_log_says_once_is_no_metric(file):
    """Settings, sizes, durations and a best value at the end are no columns."""
    absent = CURVES[file]["absent"].split(" | ")
    assert [column for column in at_once(file) if any(re.fullmatch(name, column) for name in absent)] == []


@pytest.mark.parametrize("file", CURVELESS)
def test_a_file_without_a_curve_says_so(file):
    """Parameters, results in a table, aborted runs and progress bars are no curve, and the error names the file."""
    with pytest.raises(logs.NoCurve, match=f"^no curve found in {re.escape(Path(file).name)}: .*; .*[.]$"):
        logs.read_log(LOGS / file)


@pytest.mark.parametrize("file", TABLE)
def test_a_glance_at_a_small_log_sees_all_of_it(file):
    """None of the real logs is so large that a glance leaves something out, and it raises no other error."""
    assert_same(read_or_no_curve(LOGS / file, logs.glance), at_once(file))


@pytest.mark.parametrize("file", GROWING)
def test_a_log_read_while_it_grows_ends_as_one_read_at_once(file, tmp_path):
    """Three appended pieces, cut at any byte and read in between, give the frame of the whole file."""
    path, whole = tmp_path / file, (LOGS / file).read_bytes()
    path.parent.mkdir(parents=True)
    if file == f"{MLFLOW_RUN}/metrics/loss":  # which is nothing by itself
        copied(f"{MLFLOW_RUN}/meta.yaml", tmp_path)
    cuts = sorted(random.Random(file).randint(0, len(whole)) for _ in range(2))
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        with path.open("ab") as log:
            log.write(whole[start:end])
        frame = read_or_no_curve(path)
    assert_same(frame, at_once(file))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_run_folder_reads_as_its_best_log(folder, tmp_path):
    """Beside its settings and its plainer twins, the structured log is the run."""
    paths = [copied(file, tmp_path / folder, name) for name, file in FOLDERS[folder].items()]
    assert_same(logs.read_log(tmp_path / folder), logs.read_log(paths[0]))


def test_event_files_of_one_folder_are_one_run_with_restarts(tmp_path):
    """Three runs that wrote into one folder are three segments, as in the metrics.json beside them."""
    for file in sorted(TABLE):
        if file.startswith("tensorboard/Asad-Ismail__output__"):
            copied(file, tmp_path, file.rsplit("__")[-1])
    frame, twin = logs.read_log(tmp_path), logs.read_log(LOGS / "detectron2_json" / "Asad-Ismail__output__metrics.json")
    assert (frame.attrs["x"], frame.attrs["starts"]) == ("step", (0, 15, 30))
    assert frame["step"].tolist() == twin["iteration"].tolist()
    pandas.testing.assert_series_equal(frame["total_loss"], twin["total_loss"], rtol=1e-6)


def test_a_folder_of_settings_is_no_run(tmp_path):
    """A folder that holds hyperparameters only has no curve yet."""
    copied("lightning_csv/0Xero7__lightning_logs__version_10__hparams.yaml", tmp_path, "hparams.yaml")
    with pytest.raises(logs.NoCurve, match=r"^no curve found in .*: .*; .*[.]$"):
        logs.read_log(tmp_path)
