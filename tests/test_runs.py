"""plots/runs.py: the runs in some folders, found in a bounded time."""

import json
import os
import pickle
from pathlib import Path

import pandas
import pytest

from plots import logs, runs
from plots.health import Health

NOW = 1_700_000_000.0  # seconds since the epoch
DAY = 86400


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self):
        self.now = NOW
        self.monotonic_now = 0.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.monotonic_now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time as the test has it."""
    clock = Clock()
    monkeypatch.setattr(runs, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Every test begins in a process that has looked at nothing."""
    monkeypatch.setattr(runs, "KNOWN", {})


@pytest.fixture
def glanced(monkeypatch):
    """The paths that were glanced at, in order. A file that begins with a number is a curve that ends there."""
    paths = []

    def glance(path):
        paths.append(os.path.basename(path))
        path = Path(path)
        text = next((each.read_text() for each in log_files(path)), "") if path.is_dir() else path.read_text()
        if not text[:1].isdigit():
            raise logs.NoCurve(f"no curve found in {path.name}: {text or 'nothing in it yet'}.")
        frame = pandas.DataFrame({"epoch": [1.0, 2.0], "loss": [9.0, float(text)]})
        frame.attrs.update(x="epoch", format="numbers")
        return frame

    def log_files(folder):
        return sorted(Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)

    monkeypatch.setattr(logs, "glance", glance)
    monkeypatch.setattr(logs, "log_files", log_files)
    return paths


def write(path, text="1", changed=NOW - DAY):
    """A file as it was written at some time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (changed, changed))
    return path


def found(*folders):
    """The names of the runs that are found."""
    return [run["name"] for run in runs.find_runs([str(folder) for folder in folders])["runs"]]


# ---- What is told of a run ----


def test_run_is_told_in_plain_values(tmp_path, glanced):
    """Path, name, format, change, values, state and a note: a server can have them without pandas."""
    path = write(tmp_path / "exp" / "log.csv", "0.5")
    answer = runs.find_runs([str(tmp_path)])
    assert answer == {
        "runs": [
            {
                "path": str(path),
                "name": os.path.join("exp", "log.csv"),
                "format": "numbers",
                "changed": NOW - DAY,
                "values": (("loss", 0.5),),
                "state": "quiet",
                "note": "best loss 0.5 at epoch 2",
            }
        ],
        "left_out": [],
        "seconds": 0,
    }
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_newest_run_comes_first(tmp_path, glanced):
    """Whatever the names and the folders are."""
    for name, age in (("a.csv", 3), ("deep/er/b.csv", 1), ("c.csv", 2)):
        write(tmp_path / name, changed=NOW - age)
    assert found(tmp_path) == [os.path.join("deep", "er", "b.csv"), "c.csv", "a.csv"]


def test_file_without_a_curve_is_no_run(tmp_path, glanced):
    """It is not listed, and not looked at again until it changes."""
    path = write(tmp_path / "notes.txt", "prose")
    assert found(tmp_path) == found(tmp_path) == []
    assert glanced == ["notes.txt"]
    write(path, "2", changed=NOW)
    assert found(tmp_path) == ["notes.txt"]


def test_log_without_rows_is_waited_for(tmp_path, glanced, clock):
    """A training that has just begun shows itself; an empty file that stays so does not."""
    write(tmp_path / "log.csv", "", changed=NOW)
    (run,) = runs.find_runs([str(tmp_path)])["runs"]
    assert (run["state"], run["path"], run["note"]) == ("waiting", str(tmp_path / "log.csv"), "no rows yet")
    clock.now += runs.WAITING_SECONDS
    assert found(tmp_path) == []


def test_reader_that_fails_costs_one_file(tmp_path, glanced, monkeypatch):
    """One file that defeats its reader is named, and the others are listed."""
    write(tmp_path / "bad.csv", "7e")
    write(tmp_path / "good.csv", "1")
    answer = runs.find_runs([str(tmp_path)])
    assert [run["name"] for run in answer["runs"]] == ["good.csv"]
    assert answer["left_out"] == ["bad.csv cannot be read: ValueError: could not convert string to float: '7e'."]


def test_few_faults_are_named(tmp_path, glanced):
    """Of many files that cannot be read, three are named and the others counted."""
    for number in range(5):
        write(tmp_path / f"{number}.csv", "7e", changed=NOW - number)
    left_out = runs.find_runs([str(tmp_path)])["left_out"]
    assert [line[:5] for line in left_out[:3]] == ["0.csv", "1.csv", "2.csv"]
    assert left_out[3:] == ["2 more logs were not to be read."]


@pytest.mark.parametrize(
    ("health", "silence", "state"),
    [
        (Health(), 60, "growing"),
        (Health(), 600, "quiet"),
        (Health(row_rate=1 / 600), 3600, "growing"),
        (Health(row_rate=1 / 600), 7200, "quiet"),
        (Health(row_rate=1e-9), DAY, "quiet"),
        (Health(total=100.0), 600, "stalled"),
        (Health(total=100.0, finished=True), 0, "done"),
        (Health(diverged=("loss", 3.0)), 0, "diverged"),
    ],
)
def test_state_of_a_run(health, silence, state):
    """What its log tells, and for how long it has been silent against its own pace."""
    assert runs.state_of(health, NOW - silence, NOW) == state


def test_run_at_rest_has_no_time_to_finish(tmp_path, monkeypatch, clock):
    """Pace and end are told of a run that grows, and of no other."""
    frame = pandas.DataFrame({"step": [1.0, 2.0, 3.0], "time": [1.0, 2.0, 3.0], "loss": [3.0, 2.0, 1.0]})
    frame.attrs.update(x="step", total=63)
    monkeypatch.setattr(logs, "glance", lambda path: frame)
    write(tmp_path / "log.csv", changed=NOW)
    (run,) = runs.find_runs([str(tmp_path)])["runs"]
    assert (run["state"], run["note"]) == ("growing", "best loss 1 at step 3; 1 steps/s; 1 min to go")
    clock.now += DAY
    (run,) = runs.find_runs([str(tmp_path)])["runs"]
    assert (run["state"], run["note"]) == ("stalled", "best loss 1 at step 3")


# ---- Where runs are looked for ----


def test_hidden_folders_and_environments_are_left_out(tmp_path, glanced):
    """As from the gallery and the forms, and more: what is installed holds no runs."""
    for folder in (".git", "_old", "node_modules", "lib/site-packages", "venv", "conda/share", "runs"):
        write(tmp_path / folder / "log.csv")
    write(tmp_path / ".log.csv")
    write(tmp_path / "venv" / "pyvenv.cfg")
    write(tmp_path / "conda" / "conda-meta" / "history")
    assert found(tmp_path) == [os.path.join("runs", "log.csv")]


def test_links_are_not_followed(tmp_path, glanced):
    """What a link leads to is found where it is, if that is in a data folder."""
    write(tmp_path / "elsewhere" / "log.csv")
    run = write(tmp_path / "data" / "log.csv")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "out.csv").symlink_to(tmp_path / "elsewhere" / "log.csv")
    (tmp_path / "data" / "latest.csv").symlink_to(run)
    (tmp_path / "data" / "self").symlink_to(tmp_path / "data")
    assert found(tmp_path / "data") == ["log.csv"]


def test_run_folder_with_a_link_is_not_read_as_a_whole(tmp_path, glanced):
    """A reader that is given the folder would follow the link."""
    write(tmp_path / "secret" / "loss", "1")
    run = tmp_path / "data" / "0" / "ab"
    write(run / "meta.yaml")
    (run / "metrics").mkdir()
    (run / "metrics" / "loss").symlink_to(tmp_path / "secret" / "loss")
    assert found(tmp_path / "data") == []
    (run / "metrics" / "loss").unlink()
    (run / "metrics" / "more").symlink_to(tmp_path / "secret")
    assert found(tmp_path / "data") == []
    assert glanced == []


def test_folder_in_another_is_walked_once(tmp_path, glanced):
    """Data folders may lie in each other, or be named twice, or through a link."""
    write(tmp_path / "runs" / "log.csv")
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    assert found(tmp_path / "runs", tmp_path, tmp_path / "link") == ["log.csv"]


@pytest.mark.parametrize(
    "name",
    ["model.py", "picture.png", "README.txt", "requirements-dev.txt", "config.json", "tokenizer.json", "a.csv.gz"],
)
def test_file_that_is_no_log_by_its_name_is_not_opened(tmp_path, glanced, name):
    """Code, pictures, settings."""
    write(tmp_path / name)
    assert found(tmp_path) == []
    assert glanced == []


def test_fifo_is_not_opened(tmp_path, glanced):
    """Reading from a pipe would wait for ever."""
    os.mkfifo(tmp_path / "log.csv")
    assert found(tmp_path) == []


def test_missing_folder_is_told(tmp_path, glanced):
    """It may have been removed since the server was started."""
    assert runs.find_runs([str(tmp_path / "gone")])["left_out"] == ["1 folder was not to be read."]


# ---- What is one run ----


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["version_3/metrics.csv", "version_3/hparams.yaml", "version_3/checkpoints/log.txt"], ["version_3"]),
        (["train/results.csv", "train/args.yaml", "train/weights/x.csv"], ["train"]),
        (["mlruns/0/ab/meta.yaml", "mlruns/0/ab/metrics/loss", "mlruns/0/ab/artifacts/a.csv"], ["mlruns/0/ab"]),
        (
            ["out/checkpoint-5/trainer_state.json", "out/checkpoint-9/trainer_state.json", "out/runs/h/tfevents.1"],
            ["out"],
        ),
        (["tb/events.out.tfevents.1", "tb/events.out.tfevents.2", "tb/loss_train/events.out.tfevents.3"], ["tb"]),
        (["fit/1/train/events.out.tfevents.1", "fit/1/validation/events.out.tfevents.2"], ["fit/1"]),
        (["tb/events.out.tfevents.1", "tb/version_0/events.out.tfevents.3"], ["tb", "tb/version_0"]),
        (["nlp/metrics_epoch_0.json", "nlp/metrics_epoch_1.json", "nlp/stdout.log"], ["nlp"]),
        (["sb3/progress.csv", "sb3/progress.json", "sb3/log.txt", "sb3/0.monitor.csv"], ["sb3"]),
        (["work/2024/vis_data/scalars.json", "work/2024/2024.log"], ["work/2024"]),
        (["ppo_s0/progress.txt", "ppo_s0/config.json", "ppo_s0/pyt_save/x.txt"], ["ppo_s0"]),
        (["catboost_info/learn_error.tsv", "catboost_info/test_error.tsv"], ["catboost_info"]),
        (["a.log.json", "a.log", "b.log"], ["a.log.json", "b.log"]),
        (["x/a.csv", "x/b.csv"], ["x/a.csv", "x/b.csv"]),
    ],
)
def test_files_that_belong_together_are_one_run(tmp_path, glanced, files, expected):
    """The folder of a framework's run, or twins of which the structured one is taken."""
    for age, name in enumerate(files):
        write(tmp_path / name, changed=NOW - DAY - age)
    assert found(tmp_path) == [str(Path(name)) for name in expected]


def test_data_folder_may_be_a_run(tmp_path, glanced):
    """It has its own name then."""
    write(tmp_path / "version_3" / "metrics.csv")
    write(tmp_path / "version_3" / "hparams.yaml")
    assert found(tmp_path / "version_3") == ["version_3"]


def test_run_folder_changes_with_its_newest_log(tmp_path, glanced):
    """It is looked at again when one of its files has changed."""
    write(tmp_path / "tb" / "events.out.tfevents.1")
    second = write(tmp_path / "tb" / "loss_train" / "events.out.tfevents.2")
    assert found(tmp_path) == found(tmp_path) == ["tb"]
    assert glanced == ["tb"]
    write(second, "2", changed=NOW)
    (run,) = runs.find_runs([str(tmp_path)])["runs"]
    assert run["changed"] == NOW
    assert glanced == ["tb", "tb"]


def test_twin_with_a_curve_is_taken(tmp_path, glanced):
    """Where the structured one holds settings, the text may still hold a curve."""
    write(tmp_path / "train.json", "settings")
    write(tmp_path / "train.log", "1")
    (run,) = runs.find_runs([str(tmp_path)])["runs"]
    assert run["path"] == str(tmp_path / "train.log")


# ---- Bounds ----


def test_looking_again_costs_no_glance(tmp_path, glanced):
    """Only what has changed is glanced at again."""
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name)
    found(tmp_path)
    write(tmp_path / "b.csv", "2", changed=NOW)
    found(tmp_path)
    assert sorted(glanced) == ["a.csv", "b.csv", "b.csv"]


def test_each_look_reaches_further(tmp_path, glanced, clock, monkeypatch):
    """Where time runs out, the newest were glanced at; the next look goes on behind them."""
    for age in range(9):
        write(tmp_path / f"{age}.csv", changed=NOW - age)
    glance = logs.glance
    monkeypatch.setattr(
        logs, "glance", lambda path: (setattr(clock, "monotonic_now", clock.monotonic_now + 0.5), glance(path))[1]
    )
    answer = runs.find_runs([str(tmp_path)])
    assert [run["name"] for run in answer["runs"]] == [f"{age}.csv" for age in range(5)]
    assert answer["left_out"] == ["4 older logs were not looked at yet: look again in a moment."]
    assert len(found(tmp_path)) == 9


def test_deep_folders_are_left_out(tmp_path, glanced, monkeypatch):
    """And that is said."""
    monkeypatch.setattr(runs, "DEEPEST", 2)
    write(tmp_path / "1" / "2" / "log.csv")
    write(tmp_path / "1" / "2" / "3" / "log.csv")
    answer = runs.find_runs([str(tmp_path)])
    assert len(answer["runs"]) == 1
    assert len(answer["left_out"]) == 1


def test_large_folders_leave_room_for_others(tmp_path, glanced, monkeypatch):
    """Of a folder with very many entries, only some are looked at."""
    monkeypatch.setattr(runs, "MOST_ENTRIES_OF_A_FOLDER", 5)
    for number in range(8):
        write(tmp_path / "images" / f"{number}.png")
    write(tmp_path / "runs" / "log.csv")
    answer = runs.find_runs([str(tmp_path)])
    assert [run["name"] for run in answer["runs"]] == [os.path.join("runs", "log.csv")]
    assert answer["left_out"] == [f"Of {tmp_path / 'images'}, only 5 entries were looked at."]


def test_data_folders_share_the_bounds(tmp_path, glanced, monkeypatch):
    """The first one does not use up what the others need: what lies high in each is seen first."""
    for number in range(9):
        write(tmp_path / "a" / "images" / "more" / f"{number}.png")
    write(tmp_path / "b" / "log.csv")
    monkeypatch.setattr(runs, "MOST_ENTRIES", 3)
    assert found(tmp_path / "a", tmp_path / "b") == ["log.csv"]


def test_newest_folders_are_walked_first(tmp_path, glanced, monkeypatch):
    """Where the entries are too many, the folders that changed last are seen."""
    for age in range(3):
        write(tmp_path / f"{age}" / "log.csv")
        os.utime(tmp_path / f"{age}", (NOW - age, NOW - age))
    monkeypatch.setattr(runs, "MOST_ENTRIES", 4)
    answer = runs.find_runs([str(tmp_path)])
    assert [run["name"] for run in answer["runs"]] == [os.path.join("0", "log.csv")]
    assert answer["left_out"][0].startswith("2 folders were not reached in the time")


def test_newest_runs_are_listed(tmp_path, glanced, monkeypatch):
    """Of more runs than anybody reads, the newest."""
    monkeypatch.setattr(runs, "MOST_RUNS", 2)
    for age in range(3):
        write(tmp_path / f"{age}.csv", changed=NOW - age)
    answer = runs.find_runs([str(tmp_path)])
    assert [run["name"] for run in answer["runs"]] == ["0.csv", "1.csv"]
    assert answer["left_out"] == ["1 older log was left out: these are the 2 newest runs."]


def test_looks_are_forgotten_in_the_end(tmp_path, glanced, monkeypatch):
    """Those that were not seen for longest go first."""
    monkeypatch.setattr(runs, "MOST_KNOWN", 2)
    for folder in ("a", "b", "c"):
        write(tmp_path / folder / "log.csv")
        found(tmp_path / folder)
    found(tmp_path / "c")
    found(tmp_path / "b")
    found(tmp_path / "a")
    assert len(glanced) == 4
    assert len(runs.KNOWN) == 2


def test_looks_may_be_kept_elsewhere(tmp_path, glanced):
    """Whoever calls may bring what is known."""
    write(tmp_path / "log.csv")
    known = {}
    runs.find_runs([str(tmp_path)], known)
    assert len(known) == 1
    assert runs.KNOWN == {}


# ---- With the real readers ----


def test_real_logs_are_listed(tmp_path):
    """A CSV, a Lightning run and a trainer's state, as the readers see them."""
    write(tmp_path / "a.csv", "epoch,loss,val_loss\n1,0.9,0.8\n2,0.7,0.6\n", NOW - 3)
    write(tmp_path / "version_0" / "metrics.csv", "epoch,step,train_loss\n0,49,3.5\n0,99,2.5\n1,149,1.5\n", NOW - 2)
    write(tmp_path / "version_0" / "hparams.yaml", "{}", NOW - 2)
    history = [{"step": step, "epoch": step / 10, "loss": 10.0 / step} for step in (10, 20, 30)]
    write(
        tmp_path / "out" / "checkpoint-30" / "trainer_state.json", json.dumps({"log_history": history, "max_steps": 30})
    )
    write(tmp_path / "notes.txt", "Nothing to see here.\n")
    told = {run["name"]: (run["values"], run["state"]) for run in runs.find_runs([str(tmp_path)])["runs"]}
    assert told["a.csv"] == ((("val_loss", 0.6), ("loss", 0.7)), "growing")
    assert told["version_0"] == ((("train_loss", 1.5),), "growing")
    assert told["out"] == ((("loss", 10 / 30),), "done")
    assert len(told) == 3


def test_a_file_whose_name_no_url_can_say_is_left_out(tmp_path, glanced):
    """Its page could not be asked for."""
    for name in (b"bad\xff.csv", b"new\nline.csv", "schön 1.csv".encode()):
        write(Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))))
    assert found(tmp_path) == ["schön 1.csv"]
