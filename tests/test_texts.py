"""plots/texts.py: the curves in logs that people read, and in JSON lines, are found value by value."""

import math
from pathlib import Path

import numpy
import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plots import jsonlines, lines, texts
from plots.growing import NoCurve

READERS = (texts.FreeText, texts.JsonLines, texts.Boxed, texts.Headerless, texts.SpacedTable)


def read(text, reader=texts.FreeText):
    """The table of a text, as its reader has it."""
    found = reader()
    found.feed(text)
    return found.table()


def outcome(reader):
    """The table of a reader, or None where it finds no curve."""
    try:
        return reader.table()
    except NoCurve:
        return None


def values(table, name):
    """A column as a list in which gaps are None."""
    return [None if math.isnan(value) else value for value in table[name].tolist()]


def repeated(*lines, times=4):
    """The lines once for each of 1, 2, 3, …, which stands for {n}; {v} stands for n.5."""
    return "".join(line.format(n=n, v=n + 0.5) + "\n" for n in range(1, times + 1) for line in lines)


# -- free text

# Lines of a log, x, and what is found in them.
FORMATS = {
    "nanoGPT": (["iter {n}: loss {v}, time 25.66ms, mfu 0.01%"], "iter", {"loss": "v", "time": 25.66, "mfu": 0.01}),
    "nanoGPT's evaluation": (
        ["step {n}: train loss {v}, val loss {n}", "iter {n}: loss {v}, time 2ms, mfu 1%"],
        "step",
        {"train loss": "v", "val loss": "n", "loss": "v"},
    ),
    "its fork": (
        ["[eval] iter {n}: train {v} val 3.64 lr 3.00e-04", "[train] iter {n}: loss {v} 2932 ms/iter"],
        "iter",
        {"train loss": "v", "val loss": 3.64, "train/loss": "v", "eval/lr": 3e-4},
    ),
    "modded-nanoGPT": (
        ["step:{n}/20000 train_loss:{v} lr_scale:1.0 train_time:93577ms mem:19155MiB"],
        "step",
        {"train_loss": "v", "lr_scale": 1, "train_time": 93577, "mem": 19155},
    ),
    "Keras": (
        ["Epoch {n}/4", "15/15 - 0s - 9ms/step - accuracy: 0.61 - loss: {v} - val_loss: {v}"],
        "Epoch",
        {"accuracy": 0.61, "loss": "v", "val_loss": "v"},
    ),
    "nnU-Net": (
        [
            "2023-09-04 02:43:57.820962: \nepoch:  {n}",
            "2023-09-04 02:43:29.744022: train loss : -{v}",
            "2023-09-04 02:43:54.693348: Average global foreground Dice: [0.964, {v}]",
            "2023-09-04 02:43:57.820065: This epoch took 993.158662 s",
        ],
        "epoch",
        {"train loss": "-v", "Average global foreground Dice/0": 0.964, "Average global foreground Dice/1": "v"},
    ),
    "nnU-Net v2": (
        [
            "2024-01-01 10:00:00.123456: Epoch {n}",
            "2024-01-01 10:00:00.123456: train_loss -{v}",
            "2024-01-01 10:00:00.123456: Pseudo dice [np.float32(0.25), np.float32({v})]",
        ],
        "Epoch",
        {"train_loss": "-v", "Pseudo dice/0": 0.25, "Pseudo dice/1": "v"},
    ),
    "Caffe": (
        [
            "I0821 09:21:09.346159  5405 solver.cpp:310] Iteration {n}, Testing net (#0)",
            "I0821 09:21:09.431867  5405 solver.cpp:359]     Test net output #0: loss = {v} (* 1 = {v} loss)",
            "I0821 09:21:09.451231  5405 solver.cpp:222] Iteration {n} (12.3 iter/s, 8s/100 iters), loss = 2.5",
            "I0821 09:21:09.451259  5405 solver.cpp:238]     Train net output #0: loss = {v} (* 1 = {v} loss)",
            "I0821 09:21:09.451271  5405 solver.cpp:517] Iteration {n}, lr = 0.003",
        ],
        "Iteration",
        {"test/loss": "v", "loss": 2.5, "train/loss": "v", "lr": 0.003},
    ),
    "a step of all": (["[{n}/4] loss={v} | dev-acc=0.5"], "step", {"loss": "v", "dev-acc": 0.5}),
    "a step of all behind a date": (["[2024-01-01 10:00:00] {n}/4: loss {v}"], "step", {"loss": "v"}),
    "XGBoost": (["[{n}]\ttrain-logloss:{v}\teval-auc:0.93"], "iteration", {"train-logloss": "v", "eval-auc": 0.93}),
    "LightGBM": (
        ["[{n}]\ttraining's binary_logloss: {v}\tvalid_1's auc: 0.94"],
        "iteration",
        {"training's binary_logloss": "v", "valid_1's auc": 0.94},
    ),
    "LightGBM's cv": (["[{n}]\tcv_agg's auc: {v} + 0.016"], "iteration", {"cv_agg's auc": "v"}),
    "CatBoost": (["{n}:\ttest: {v}\tbest: {v} (10)\ttotal: 130ms"], "iteration", {"test": "v", "best": "v"}),
    "scikit-learn": (
        ["Iteration {n}, loss = {v}", "Validation score: {v}"],
        "Iteration",
        {"loss": "v", "Validation score": "v"},
    ),
    "MMEngine": (
        [
            "2024/01/01 10:00:00 - mmengine - INFO - Epoch(train) [{n}][ 8/16]  lr: 5.0e-02  eta: 0:00:00  loss: {v}",
            "2024/01/01 10:00:00 - mmengine - INFO - Epoch(train) [{n}][16/16]  lr: 5.0e-02  eta: 0:00:00  loss: 9",
            "2024/01/01 10:00:00 - mmengine - INFO - Epoch(val) [{n}][4/8]    accuracy: 0.5",
            "2024/01/01 10:00:00 - mmengine - INFO - Epoch(val) [{n}][8/8]    accuracy: {v}",
        ],
        None,
        {},
    ),
    "SwAV": (
        [
            "INFO - 09/04/20 07:56:14 - 0:00:27 - Epoch[{n}] - Iter: [0/13]\tTime 19.159 (1)\tLoss {v} (6)\tLR 0.3",
            "INFO - 09/04/20 07:56:49 - 0:01:02 - Test:\tTime 4.750\tLoss {v}\tAcc@1 27.240\tBest Acc@1 so far 27.2",
        ],
        "Epoch",
        {"Loss": "v", "Time": 19.159, "test/Loss": "v", "test/Acc@1": 27.24, "test/Best Acc@1 so far": 27.2},
    ),
    "by hand": (
        ["Epoch: {n}/30", "Time Taken: 146.09s - LR: 9.98e-05", "Train Loss: {v} - Train Perplexity: 1517.94"],
        "Epoch",
        {"Train Loss": "v", "Train Perplexity": 1517.94, "LR": 9.98e-5, "Time Taken": 146.09},
    ),
    "Darknet": (
        ["{n}: 0.051831, {v} avg loss, 0.001000 rate, 0.88 seconds, 2816000 images"],
        "iteration",
        {"loss": 0.051831, "avg loss": "v", "rate": 0.001},
    ),
    "Megatron": (
        [" iteration  {n}/ 1000 | samples: 800 | lm loss: 7.5E+00 | grad norm: {v} | number of nan iterations: 0"],
        "iteration",
        {"lm loss": 7.5, "grad norm": "v"},
    ),
    "torchtune": (["Step {n} | loss:{v} lr:2e-5 tokens_per_second_per_gpu:300.5"], "Step", {"loss": "v", "lr": 2e-5}),
    "fairseq": (
        [
            "2024-01-01 10:00:00 | INFO | train | epoch 00{n} | loss {v} | ppl 12.67",
            "2024-01-01 10:00:01 | INFO | valid | epoch 00{n} | valid on 'valid' subset | loss {v} | ppl 11",
        ],
        "epoch",
        {"train/loss": "v", "train/ppl": 12.67, "val/loss": "v", "val/ppl": 11},
    ),
    "AllenNLP": (
        [
            "2022-09-19 20:28:43,863 - INFO - allennlp.training.trainer - Epoch {n}/9",
            "2022-09-19 20:36:19,622 - INFO - allennlp.training.tensorboard_writer -          Training |  Validation",
            "2022-09-19 20:36:19,623 - INFO - allennlp.training.tensorboard_writer - loss   |     {v}  |     0.543",
            "2022-09-19 20:36:19,625 - INFO - allennlp.training.tensorboard_writer - recall |     {v}  |       N/A",
        ],
        "Epoch",
        {"train/loss": "v", "val/loss": 0.543, "train/recall": "v"},
    ),
    "PyTorch's MNIST": (
        ["Train Epoch: {n} [0/60 (0%)]\tLoss: {v}", "Test set: Average loss: {v}, Accuracy: 30/60 (50%)"],
        "Epoch",
        {"train/Loss": "v", "test/Average loss": "v", "test/Accuracy": 0.5},
    ),
    "loguru": (
        ["2024-01-01 10:00:00.123 | INFO     | __main__:train:42 - Epoch {n} - loss: {v}"],
        "Epoch",
        {"loss": "v"},
    ),
    "logging": (["2024-01-01 10:00:00,123 - INFO - step={n} loss={v}"], "step", {"loss": "v"}),
    "a rank": (["[rank0]: step {n} loss {v}"], "step", {"loss": "v"}),
    "bars": (["Epoch: 00{n} | Loss: {v} | Acc: 85.2%"], "Epoch", {"Loss": "v", "Acc": 85.2}),
    "parts": (
        ["Epoch {n} | train: loss={v}, acc=0.6 | val: loss=0.6, acc={v}"],
        "Epoch",
        {"train/loss": "v", "train/acc": 0.6, "val/loss": 0.6, "val/acc": "v"},
    ),
    "TensorFlow's tutorial": (
        ["Training loss (for one batch) at step {n}: {v}"],
        "step",
        {"Training loss (for one batch)": "v"},
    ),
    "Lightning's bar": (
        ["Epoch {n}:  45%|####5     | 45/100 [00:10<00:12,  4.5it/s, loss={v}, v_num=0]"],
        "Epoch",
        {"loss": "v", "v_num": 0},
    ),
    "thousands": (["epoch {n} loss: 1,234.5 val_loss: {v}"], "epoch", {"loss": 1234.5, "val_loss": "v"}),
    "reinforcement": (["Episode {n}\tLast reward: -{v}\tAverage reward: {v}"], "Episode", {"Last reward": "-v"}),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, (_, x, _) in FORMATS.items() if x])
def test_the_values_of_a_format_are_found(name):
    """Of each format, the x and the values are those that its lines tell."""
    rows, x, expected = FORMATS[name]
    table = read(repeated(*rows))
    assert table.attrs["x"] == x
    assert table[x].tolist() == [1, 2, 3, 4]
    told = {"v": [1.5, 2.5, 3.5, 4.5], "-v": [-1.5, -2.5, -3.5, -4.5], "n": [1, 2, 3, 4]}
    for column, wanted in expected.items():
        assert table[column].tolist() == told.get(wanted, [wanted] * 4), column


def test_steps_within_an_epoch_are_counted_on():
    """A batch of each epoch becomes a step of the run; a validation stands at the last one before it."""
    table = read(repeated(*FORMATS["MMEngine"][0]))
    assert table.attrs["x"] == "iter"
    assert table["iter"].tolist() == [8, 16, 24, 32, 40, 48, 56, 64]
    assert values(table, "val/accuracy") == [None, 1.5, None, 2.5, None, 3.5, None, 4.5]
    table = read("".join(f"[Epoch {e}/3] [Batch {b}/20] [D loss: 0.5]\n" for e in range(3) for b in (0, 10)))
    assert (table.attrs["x"], table["Batch"].tolist()) == ("Batch", [0, 10, 20, 30, 40, 50])
    table = read("".join(f"Epoch {e} step {10 * e + b} loss 0.5\n" for e in range(3) for b in (0, 5)))
    assert table["step"].tolist() == [0, 5, 10, 15, 20, 25]


def test_a_total_is_told():
    """n/N says where x ends; a settings line of the same look does not."""
    table = read("warmup_step:1/20\n" + repeated("step:{n}/20000 train_loss:{v}"))
    assert (table.attrs["total"], list(table)) == (20000, ["step", "train_loss"])
    assert read(repeated("[{n}/4] loss={v}")).attrs["total"] == 4


def test_a_validation_and_its_training_are_one_row():
    """Times and rates that both lines say, by their names or their units, keep them not apart; the first ones stay."""
    table = read(
        repeated("step:{n}/9 train_loss:{v} train_time:{n}0ms step_avg:{n}ms", times=3)
        + "step:3/9 val_loss:0.5 train_time:31ms step_avg:4ms\nstep:4/9 train_loss:4 train_time:40ms step_avg:5ms\n"
    )
    assert table["step"].tolist() == [1, 2, 3, 4]
    assert values(table, "val_loss") == [None, None, 0.5, None]
    assert table["train_time"].tolist() == [10, 20, 30, 40]
    assert table["step_avg time"].tolist() == [1, 2, 3, 5]


def test_a_validation_shows_as_soon_as_it_is_printed():
    """What stands in a line with an x, a loss or a score counts from its first value on, once there is a curve."""
    lines = repeated("iter {n}: loss {v}", times=3)
    assert values(read(lines + "step 3: val loss 0.5\n"), "val loss") == [None, None, 0.5]
    assert values(read(lines + "Validation accuracy: 0.5\n"), "Validation accuracy") == [None, None, 0.5]
    assert values(read(lines + "epoch 1 entropy: 0.5\n"), "entropy")[-1] == 0.5
    assert list(read(lines + "seed: 1337\nsaved: 12\n")) == ["iter", "loss"]
    assert list(read(lines + "best val loss 0.5\nfinal accuracy: 0.9\n")) == ["iter", "loss"]


def test_settings_above_the_first_x_are_no_curve():
    """What is said before the first x, and the best value at the end, are left out."""
    table = read("seed:1337 lr: 0.1\nn_layers 12\n" * 5 + repeated("step {n} loss {v}") + "best_loss 0.5\n")
    assert list(table) == ["step", "loss"]
    assert len(table) == 4


def test_literal_nans_are_noted():
    """NaN and infinity are values that the log says; N/A is a gap."""
    table = read("step 1 loss 1 acc: 1\nstep 2 loss nan acc: N/A\nstep 3 loss -inf acc: 2\nstep 4 loss NaN acc: 3\n")
    assert table.attrs["nans"] == {"loss": (1, 3)}
    assert table["loss"][2] == -math.inf
    assert values(table, "acc") == [1, None, 2, 3]


def test_records_without_a_step_are_numbered():
    """The rounded epoch of a console is no x, and values may be texts."""
    table = read("".join(f"{{'loss': '{n}.25', 'grad_norm': 2.2, 'epoch': '0.0{n // 40}'}}\n" for n in range(100)))
    assert table.attrs["x"] == "row"
    assert table["loss"].tolist() == [n + 0.25 for n in range(100)]


def test_a_rounded_epoch_does_not_say_where_a_validation_belongs():
    """Where several rows are at one epoch, it is a row by itself; the summary at the end is none."""
    train, validation = "{'loss': 1.5, 'epoch': 0.1}\n", "{'eval_loss': 0.5, 'eval_runtime': 7, 'epoch': 0.1}\n"
    table = read(4 * train + validation + 4 * train + "{'train_runtime': 9, 'train_loss': 3, 'epoch': 0.1}\n")
    assert (table.attrs["x"], values(table, "eval_loss")) == ("row", [*[None] * 4, 0.5, *[None] * 4])
    assert values(table, "loss") == [*[1.5] * 4, None, *[1.5] * 4]
    assert list(table) == ["epoch", "loss", "eval_loss", "eval_runtime"]


def test_names_with_digits_are_told_apart():
    """loss1 and loss2 have lines of one shape, and are two columns."""
    table = read(repeated("step {n} loss1 {v}", "step {n} loss2 9", "step {n} loss 8"))
    assert {name: table[name].tolist() for name in table if name != "step"} == {
        "loss1": [1.5, 2.5, 3.5, 4.5],
        "loss2": [9] * 4,
        "loss": [8] * 4,
    }


def test_a_repeated_row_is_left_out():
    """LightGBM's last lines repeat the best one."""
    rows = repeated("[{n}]\tvalid_0's auc: {v}")
    table = read(rows + "Early stopping, best iteration is:\n[2]\tvalid_0's auc: 2.5\n")
    assert table["iteration"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Once upon a time there were 3 bears, and 12 chairs.\n" * 5,
        "  0%|          | 0/60000 [00:00<?, ?it/s]\n 50%|#####     | 30000/60000 [00:10<00:10, 1065.76it/s]\n" * 5,
        "PSNR2: 34.10 dB\nSSIM2: 0.8697\n==========\n" * 5,
        "RF Train accuracy:  0.8063666666666667\n",
        "seed: 1\nlr: 0.5\nbatch_size: 3\n" * 5,
        "step 1 loss 0.5\nstep 2 loss 0.4\n",
    ],
)
def test_text_without_a_curve_is_said_to_be(text):
    """Prose, bars, results and settings are no curves."""
    with pytest.raises(NoCurve):
        read(text)


# -- JSON lines


def test_json_lines_are_read():
    """Nested names are joined, texts that are numbers are numbers, broken lines are left out."""
    table = read(
        '{}\n{"env": "linux", "seed": 3}\n{"step": 1, "loss": 0.5, "m": {"a": "1.5", "b": [1, 2]},'
        ' "config": {"lr": 3}}\n'
        '{"step": 1, "val_loss": NaN}\n{"step": 2, "lo\n[1, 2]\n{"step": 2, "loss": 1e999, "ok": true}\n'
        '{"step": 1, "loss": "0.3", "when": "today"}\n',
        texts.JsonLines,
    )
    assert list(table) == ["step", "loss", "m/a", "m/b/0", "m/b/1", "val_loss"]
    assert table["step"].tolist() == [1, 2, 1]
    assert table["loss"].tolist() == [0.5, math.inf, 0.3]
    assert (table.attrs["x"], table.attrs["nans"]) == ("step", {"val_loss": (0,)})


def test_many_lines_are_read_as_one_by_one(monkeypatch):
    """Lines that are alike are read together, and give what each gives by itself."""
    rows = [f'{{"step": {n}, "loss": {(-1) ** n * n / 7!r}, "lr": {3 / 10 ** (n % 9)!r}}}' for n in range(9000)]
    rows[4000:4002] = ['{"step": 4000, "loss": }', '{"step": 4001, "loss2": 5, "lr": 1}']
    text = "".join(f"{row}\n" for row in rows)
    together = read(text, texts.JsonLines)
    monkeypatch.setattr(jsonlines, "MANY_LINES", 10**9)
    pandas.testing.assert_frame_equal(together, read(text, texts.JsonLines), check_exact=True)
    assert len(together) == 8999
    assert together["loss"][3999] == -3999 / 7


def test_the_iter_of_a_validation_is_its_length():
    """MMCV's validation stands at the last iteration of the training before it."""
    table = read(
        '{"mode": "train", "epoch": 1, "iter": 10, "loss": 3}\n{"mode": "train", "epoch": 1, "iter": 20, "loss": 2}\n'
        '{"mode": "val", "epoch": 1, "iter": 64, "mIoU": 0.5}\n{"mode": "train", "epoch": 2, "iter": 30, "loss": 1}\n',
        texts.JsonLines,
    )
    assert table["iter"].tolist() == [10, 20, 30]
    assert values(table, "val/mIoU") == [None, 0.5, None]
    assert table["train/loss"].tolist() == [3, 2, 1]


def test_the_step_of_a_validation_is_an_epoch():
    """MMEngine's validation says its epoch as step."""
    table = read(
        '{"loss": 3, "time": 1, "epoch": 1, "iter": 8, "step": 8}\n'
        '{"loss": 2, "time": 2, "epoch": 1, "iter": 16, "step": 16}\n{"accuracy/top1": 50, "time": 9, "step": 1}\n'
        '{"loss": 1, "time": 3, "epoch": 2, "iter": 24, "step": 24}\n',
        texts.JsonLines,
    )
    assert table["step"].tolist() == [8, 16, 24]
    assert values(table, "accuracy/top1") == [None, 50, None]
    assert table["time"].tolist() == [1, 2, 3]


def test_json_lines_are_recognised():
    """Two objects are a log, one is a document, unless its name says otherwise."""
    recognises = texts.JsonLines.recognises
    assert recognises(Path("a.log"), '{"a": 1}\n{"a": 2}\n')
    assert not recognises(Path("a.json"), '{"a": 1}\n')
    assert recognises(Path("a.jsonl"), '{"a": 1}\n')
    assert not recognises(Path("a.log"), "{'loss': 1}\n{'loss': 2}\n")


# -- layouts

BOX = """---------------------------
| rollout/      |         |
|    ep_rew_mean | {v}    |
| time/         |         |
|    total_timesteps | {n} |
| train_param_d... | 0.25 |
---------------------------
"""


def test_boxes_are_read():
    """Group rows are prefixes, cut names stay."""
    text = "Using cpu device\n" + repeated(BOX)
    assert texts.Boxed.recognises(Path("log.txt"), text)
    table = read(text, texts.Boxed)
    assert table["rollout/ep_rew_mean"].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert table["time/total_timesteps"].tolist() == [1, 2, 3, 4]
    assert table["train_param_d..."].tolist() == [0.25] * 4
    assert table.attrs["x"] == "time/total_timesteps"


def test_results_without_a_header_are_read():
    """The fifteen columns of YOLOv5 have names, units are left out."""
    row = "     {n}/299     4.54G    0.1    0.2   0.3    0.4    78   640  0.5    0.6  0.7 0.8   0.9    1.0   {v}"
    assert texts.Headerless.recognises(Path("results.txt"), repeated(row))
    table = read(repeated(row), texts.Headerless)
    assert (table.attrs["x"], table.attrs["total"]) == ("epoch", 299)
    assert table["mem"].tolist() == [4.54] * 4
    assert table["val/cls_loss"].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert not texts.Headerless.recognises(Path("a.txt"), "15/15 - 0s - 9ms/step - loss: 0.66\n")


def test_spaced_tables_are_read():
    """A name may hold one blank, a rule may be below the names, and text around."""
    text = (
        "Training pipeline\nE    #       LOSS TEXTCAT  CATS_SCORE  SCORE \n"
        "---  ------  ------------  ----------  ------\n"
        "  0       0          0.25       50.00    0.50\n  0     200         12.25       55.00    0.55\nSaved\n"
    )
    assert texts.SpacedTable.recognises(Path("a.log"), text)
    table = read(text, texts.SpacedTable)
    assert (table.attrs["x"], table["#"].tolist()) == ("#", [0, 200])
    assert table["LOSS TEXTCAT"].tolist() == [0.25, 12.25]
    assert table["CATS_SCORE"].tolist() == [50, 55]


def test_durations_become_seconds():
    """fastai's console has minutes and seconds, and #na# for what is missing."""
    text = "epoch     train_loss  valid_loss  time  \n0         0.5         #na#        01:10   \n1   0.4  0.3  00:11\n"
    table = read(text + f"2  0.3  0.2  {'9' * 400}:00\n", texts.SpacedTable)
    assert table["time"].tolist() == [70, 11, math.inf]
    assert values(table, "valid_loss") == [None, 0.3, 0.2]


# -- in pieces

LOG = st.lists(
    st.one_of(
        st.sampled_from([line for rows, _, _ in FORMATS.values() for line in rows]).flatmap(
            lambda line: st.integers(0, 5).map(lambda n: line.format(n=n, v=n + 0.5))
        ),
        st.sampled_from(["", "Early stopping, best iteration is:", "{'loss': nan}", '{"step": 1, "loss": 2}']),
        st.sampled_from(["step 1 loss 1 lr nan", "step 1 val loss 2 lr 3", "step 1 acc 1 lr 5", "best loss 3", "lr 7"]),
        st.sampled_from(['{"step": 1, "loss": 1, "lr": 2}', '{"step": 1, "acc": 1, "lr": 3}', '{"step": 1, "lr": 4}']),
        st.text("0123456789.,:=-+/[](){}|%enaif \t'\"loss", max_size=30),
        st.text(max_size=20).map(lambda text: text.replace("\n", " ")),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(LOG, st.data())
@example(["step 1 loss 1"] * 3, None)
def test_pieces_give_what_the_whole_gives(rows, data):
    """Wherever the pieces end, and whoever looks in between, the table is the same; nothing but NoCurve is raised."""
    for kind in READERS:
        whole, pieces = kind(), kind()
        whole.feed("".join(f"{row}\n" for row in rows))
        start, shown = 0, []
        while start < len(rows):
            end = start + (data.draw(st.integers(1, 10)) if data else 1)
            pieces.feed("".join(f"{row}\n" for row in rows[start:end]))
            start = end
            if (table := outcome(pieces)) is not None:
                shown.append((table, table.copy(deep=True)))
        at_once, in_pieces = outcome(whole), outcome(pieces)
        assert (at_once is None) == (in_pieces is None)
        if at_once is not None:
            pandas.testing.assert_frame_equal(at_once, in_pieces)
            assert str(at_once.attrs) == str(in_pieces.attrs)
        for table, copy in shown:
            pandas.testing.assert_frame_equal(table, copy)  # what was handed out never changes


def test_only_new_shapes_are_understood(monkeypatch):
    """A line is understood once; of those that are like it, only the numbers are read."""
    seen, reading_of = [], lines.reading_of
    monkeypatch.setattr(texts, "reading_of", lambda line, heading: seen.append(line) or reading_of(line, heading))
    reader = texts.FreeText()
    reader.feed("".join(f"iter {n}: loss {n / 8}, time 2.5ms\n" for n in range(5000)))
    assert len(reader.table()) == 5000
    reader.feed("iter 5000: loss -3e2, time 2ms\niter 5001: loss 7, time 10000ms\n")
    assert len(seen) == 2  # an exponent is another shape
    table = reader.table()
    assert table["loss"].tolist()[-3:] == [4999 / 8, -300, 7]
    assert numpy.array_equal(table["iter"], numpy.arange(5002))
