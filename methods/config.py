"""The base of all typed configurations, and the settings that every recipe has."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter

from methods.views import ViewSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(value: str, choices: Iterable[str]) -> str:
    """The clause of an error message that names the choices, the nearest first if one is near."""
    names = sorted(choices)
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}choices: {', '.join(names)}"


# Where the default of a field has changed, its `json_schema_extra` holds the first default under this key: runs
# recorded before the change keep their keys, and none of them is mistaken for a run of the new default.
FIRST_DEFAULT = "first_default"


def redefined(default: Any, first: Any) -> Any:
    """A field whose default has changed; keys of runs still leave out the first default."""
    plainly = TypeAdapter(type(first)).dump_python(first, mode="json")
    return Field(default, json_schema_extra={FIRST_DEFAULT: plainly})


class Config(BaseModel):
    """A frozen configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Switch = Annotated[bool, Strict()]
"""True or false, written as such: pydantic alone would take `yes` and 1, too."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]


class OptimizerSpec(Config):
    """The optimizer of a recipe. A declaration: the harness builds it.

    Attributes:
        name: the optimizer.
        lr: base learning rate; `lr_rule` scales it.
        lr_rule: `absolute` takes `lr` as it is, `linear` multiplies it by batch / 256, `sqrt` by sqrt(batch).
        weight_decay: at progress 0 (decoupled for AdamW, L2 otherwise).
        weight_decay_end: at progress 1, on a cosine; None keeps it constant.
        momentum: for SGD and LARS.
        betas: for AdamW.
        trust_coefficient: for LARS.
        warmup: share of progress in which the learning rate rises linearly from `warmup_start` x lr.
        warmup_start: where the warm-up starts, as a share of the learning rate.
        final_lr: the end of the cosine, as a share of the learning rate.
        decay_norm_and_bias: whether weight decay (and LARS adaptation) also applies to parameters of one dimension.
        clip: largest norm of the gradient; None clips nothing.
    """

    name: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: Positive = 1e-3
    lr_rule: Literal["absolute", "linear", "sqrt"] = "absolute"
    weight_decay: NonNegative = 0.0
    weight_decay_end: NonNegative | None = None
    momentum: Share = 0.9
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    trust_coefficient: Positive = 0.001
    warmup: Share = 0.1
    warmup_start: Share = 0.0
    final_lr: Share = 0.0
    decay_norm_and_bias: Switch = False
    clip: Positive | None = None


class MethodConfig(Config):
    """What every method's configuration has; methods add their own keys.

    Attributes:
        optimizer: how the parameters are updated.
        views: the views of each image, in this order.
        primary: the encoder whose scores are compared, where there are several.
        sync_batch_norm: several devices take batch-norm statistics over the whole batch, each its own images otherwise.
    """

    optimizer: OptimizerSpec = OptimizerSpec()
    views: tuple[ViewSpec, ...] = ()
    primary: Literal["online", "ema"] = "online"
    sync_batch_norm: Switch = False


def plain(config: BaseModel, *, exclude_defaults: bool = False) -> dict[str, Any]:
    """The configuration as plain data that YAML and JSON can hold."""
    return config.model_dump(mode="json", exclude_defaults=exclude_defaults)
