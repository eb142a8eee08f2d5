"""plots/metrics.py: what the name of a column says."""

import pytest

from plots.metrics import choose_x, part_and_base, rank_of_x, role_of

ROLES = {
    "x": """epoch Epoch step global_step trainer/global_step _step iter iteration E # total_timesteps TotalEnvInteracts
        time/total_timesteps total/epochs training_iteration num_env_steps_sampled_lifetime train/global_step""",
    "hidden": """lr lr0 x/lr0 lr/pg0 lr-Adam learning_rate time train_runtime eta_seconds time/fps grad_norm total_flos
        eval_samples_per_second tokens_per_sec ms_per_iter gpu_mem mfu training_duration config/vf_loss_coeff best_epoch
        loss_scale lm_loss__MIN""",
    "loss": """loss val_loss Loss LossPi entropy_loss train/box_loss total_loss nll bpc ppl val_perplexity cross_entropy
        error_rate err rmse val_mae mape wer eval/cer train_loss_time learn/Logloss""",
    "score": """acc accuracy val_acc top1Accuracy Acc@1 top5 Prec@1 metrics/precision(B) recall f-score f1 f1Score dice
        metrics/mAP50-95(B) mAP@.5:.95 bbox/AP bbox/APs bbox/AP-person mIoU auc success_rate SCORE CATS_SCORE rouge1""",
    "other": """AverageEpRet rollout/ep_rew_mean psnr entropy clip_fraction explained_variance false_negative overlap
        supply indices interrupted gradient""",
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in ROLES.items() for name in names.split()])
def test_the_name_tells_the_role(role, name):
    """As in the logs of real runs."""
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Acc.error", "score"),  # of the class named error
        ("IoU.error", "score"),
        ("with loss weight", "hidden"),
        ("Start training from score", "hidden"),
        ("Train Perplexity", "loss"),
        ("training's auc", "score"),
        ("consumed samples", "hidden"),
        ("grad norm", "hidden"),
    ],
)
def test_false_friends_and_names_with_spaces(name, role):
    """A word in a name is not always what it is about."""
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("name", "part", "base"),
    [
        ("loss", "", "loss"),
        ("val_loss", "val", "loss"),
        ("valid_loss", "val", "loss"),
        ("eval_loss", "val", "loss"),
        ("test_acc", "test", "acc"),
        ("train/box_loss", "train", "box_loss"),
        ("loss/train", "train", "loss"),
        ("acc.val", "val", "acc"),
        ("train-auc", "train", "auc"),
        ("training's binary_logloss", "train", "binary_logloss"),
        ("valid_1's auc", "val", "auc"),
        ("validation_0-rmse", "val", "rmse"),
        ("training_accuracy", "train", "accuracy"),
        ("Valid Loss", "val", "Loss"),
        ("TrainLoss", "train", "Loss"),
        ("learn/Logloss", "train", "Logloss"),
        ("dev_f1", "val", "f1"),
        ("metrics/train/loss", "train", "metrics/loss"),
        ("my run - val_loss", "val", "my run - loss"),
        ("eval/train loss", "train", "loss"),
        ("train_loss_step", "train", "loss"),
        ("train_loss_epoch", "train", "loss"),
        ("best_epoch", "", "best_epoch"),
        ("train", "", "train"),
        ("training_iteration", "", "training_iteration"),
        ("trainable", "", "trainable"),
        ("learning_rate", "", "learning_rate"),
        ("evaluate", "", "evaluate"),
    ],
)
def test_a_name_is_split_into_part_and_base(name, part, base):
    """Training and validation of one metric have the same base, however a framework writes them."""
    assert part_and_base(name) == (part, base)


def test_steps_are_finer_than_iterations_and_these_than_epochs():
    """A name with a part of the data before it comes behind all plain ones."""
    names = ["step", "iteration", "total_timesteps", "training_iteration", "episode", "epoch", "train/step"]
    assert sorted(reversed(names), key=rank_of_x) == names


@pytest.mark.parametrize(
    ("distinct", "falls", "points", "x"),
    [
        pytest.param({"epoch": 3, "step": 90, "loss": 90}, {}, 90, "step", id="the finest"),
        pytest.param({"epoch": 3, "step": 1}, {}, 3, "epoch", id="a constant is none"),
        pytest.param({"loss": 90}, {}, 90, None, id="none there"),
        pytest.param({"epoch": 9, "batch": 10}, {"batch": 8}, 9, "epoch", id="begins anew each epoch"),
        pytest.param({"epoch": 9, "batch": 10}, {"batch": 8}, 90, None, id="nor do epochs tell batches apart"),
        pytest.param({"iteration": 30}, {"iteration": 2}, 60, "iteration", id="restarted twice"),
        pytest.param({"epoch": 30, "step": 900}, {"epoch": 1, "step": 1}, 900, "step", id="restarted, with epochs"),
        pytest.param({"epoch": 20}, {}, 900, None, id="rounded"),
    ],
)
def test_the_x_is_the_finest_that_is_fit(distinct, falls, points, x):
    """A column that repeats itself within each epoch, or is rounded, would put points above each other."""
    assert choose_x(distinct, falls, points) == x
