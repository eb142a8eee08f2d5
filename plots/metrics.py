"""What the name of a column says: x, loss or score, train or validation.

The patterns are read off the logs of some two hundred real runs. They are tried in the order of ROLES; what none of
them knows is "other": rewards, returns, estimates.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

X = re.compile(
    r"(?i)^(trainer/global_step|(global_?|current_?|_)?steps?|n?_?iter(ation)?s?|epochs?|e|#|batch|round|episodes?"
    r"|((num|n)_)?updates?|training_iteration|timesteps_total|(total(_env)?_?)?(time)?steps?|TotalEnvInteracts"
    r"|time/(total_timesteps|iterations|episodes)|total/(steps|epochs|episodes)|num_env_steps_sampled_lifetime)$"
)
SCORE_OF_CLASS = re.compile(r"(?i)(^|[/_])m?(acc|iou|dice|fscore|precision|recall)\.[^/]+$")  # a class: error
CONFIG = re.compile(r"(?i)(^|/)config(/|$)")
SETTING = re.compile(r"(?i)loss[ _-]?(scaler?|weights?|coeff?)(?![a-z])|^start training|__(min|max)$")  # nor a band
HIDDEN = re.compile(
    r"(?i)^(?!.*loss).*?((^|[/_. -])(lr\d?|learning[ _-]?rate|time|timers?|timestamp|eta|fps|runtime|memory|mem|mfu|ms"
    r"|duration|hours|seed)([/_. -]|$)|per_s(ec|econd)?(?![a-z])|flos|samples|grad[ _]?norm|weights_seq_no"
    r"|n_parameters|(best|start)_epoch$)"
)
LOSS = re.compile(
    r"(?i)loss|nll|bp[bc](?![a-z])|(?<![a-z])ppl|perplexity|cross_?entropy|error|(?<![a-z])err(?![a-z])|mse|mape"
    r"|mae(?![a-z])|(^|[_/-])([wc]er|fid|kl)($|[_/-])"
)
SCORE = re.compile(
    r"(?i)acc(uracy)?(?![a-z])|top-?[15]|prec(ision)?(?![a-z])|recall|f-?(1|score|measure)|(^|[_ ])score$|iou|auc"
    r"|(?<![a-z])dice|(?<![a-z])m?ap([sml]|50|75)?(?![a-z])|success_rate|ssim|bleu|rouge"
)
ROLES = (
    ("x", X),
    ("score", SCORE_OF_CLASS),
    ("hidden", CONFIG),
    ("hidden", SETTING),  # named after a loss, but none
    ("hidden", HIDDEN),
    ("loss", LOSS),
    ("score", SCORE),
)

PARTS = {"tra": "train", "lea": "train", "val": "val", "eva": "val", "dev": "val", "tes": "test"}  # by three letters
PART = r"(?P<part>train(ing)?|learn|val(id(ation)?)?|eval(uation)?|dev|test(ing)?)(_\d+)?('s)?"
BEFORE = re.compile(rf"(^|(?<=/)|(?<= - ))(?i:{PART})([ _/.-]+|(?<=[a-z])(?=[A-Z]))(?=.)")
AFTER = re.compile(rf"(?i)(?<=.)[ _/.-]+{PART}$")
EVERY = re.compile(r"(?<=.)(?<!best)(?<!start)(?<!per)_(step|epoch)$")  # Lightning logs a metric as both

X_FINEST_FIRST = tuple(
    re.compile(f"(?i){pattern}")
    for pattern in (
        r"^((trainer/)?global_?|current_?|_)?steps?$|^#$",
        r"^n?_?iter(ation)?s?$",
        r"timesteps?|steps|interacts",
        r"update|batch",
        r"iteration",
        r"episode",
        r"round",
        r"epoch|^e$",
    )
)
NAMES = 10_000  # that are remembered
LEAST_SHARE = 0.25  # of the points of a metric that have an x of their own, or it is no axis


@lru_cache(NAMES)
def role_of(name: str) -> str:
    """What a column is for: "x", "hidden", "loss", "score" or "other"; hidden ones are drawn only when asked for.

    A loss is better the lower it is, a score the higher it is.
    """
    _, base = part_and_base(name)
    names = (name, base) if X.search(base) else (name,)  # train/global_step is an x, too
    return next((role for role, pattern in ROLES if any(map(pattern.search, names))), "other")


@lru_cache(NAMES)
def part_and_base(name: str) -> tuple[str, str]:
    """The part of the data a metric is of ("train", "val", "test" or ""), and its name without that.

    Where several parts are named, as in "eval/train loss", the last one counts. A name that is nothing but a part
    ("train") is its own base. Bases that differ in case only are of one metric: compare ``base.casefold()``.
    """
    part, base = "", name
    while not X.search(base) and (found := BEFORE.search(base) or AFTER.search(base)):
        part, base = PARTS[found["part"][:3].lower()], base[: found.start()] + base[found.end() :]
    return part, base if X.search(base) else EVERY.sub("", base)


def rank_of_x(name: str) -> int:
    """How fine an x is, 0 for the finest: steps before iterations, and these before epochs."""
    _, base = part_and_base(name)
    rank = next((rank for rank, pattern in enumerate(X_FINEST_FIRST) if pattern.search(base)), len(X_FINEST_FIRST))
    return rank if base == name else rank + len(X_FINEST_FIRST) + 1  # train/epoch: only where there is no epoch


def choose_x(distinct: Mapping[str, int], falls: Mapping[str, int] | None = None, points: int = 0) -> str | None:
    """The x of a table: the finest column that is fit for it, or None, which means the number of the row.

    A column that begins anew with each epoch only counts within it, and is none.

    Parameters
    ----------
    distinct
        How many distinct values each column has, by its name; names that are no x are passed over.
    falls
        How often each goes back from one row to the next, where that is known.
    points
        How many values the metric with the most of them has: an x with far fewer distinct ones, as the rounded
        epoch of a console, would put many of them above each other.
    """
    falls = falls or {}
    varied = {name: count for name, count in distinct.items() if role_of(name) == "x" and count > 1}
    fit = [name for name, count in varied.items() if count > LEAST_SHARE * points and not is_cycle(name, varied, falls)]
    return min(fit, key=rank_of_x, default=None)


def is_cycle(name: str, distinct: Mapping[str, int], falls: Mapping[str, int]) -> bool:
    """Whether a column goes back about as often as another one goes on."""
    back = falls.get(name, 0)
    return any(falls.get(other, 0) < back and 2 * back >= count - 1 for other, count in distinct.items())
