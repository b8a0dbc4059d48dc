"""Random init: the untrained network, the lower reference of the comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import MethodConfig

if TYPE_CHECKING:
    from methods.backbones import Backbone


class RandomInitConfig(MethodConfig):
    """No settings: there are no views and no updates."""

    primary: Literal["online"] = "online"


class RandomInit(Method[RandomInitConfig]):
    """The backbone as initialised. Its batch-norm statistics have to be gathered on full images before it is probed."""

    name = "random_init"
    display_name = "random init"
    colour = "#6b6b6b"
    config_class = RandomInitConfig
    view_count = 0
    trainable = False

    def __init__(self, config: RandomInitConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.backbone.requires_grad_(False)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Not available: there is nothing to minimise.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("random_init trains nothing and has no loss; see `trainable`")

    def encoders(self) -> dict[str, Encoder]:
        """The untrained backbone, to be recalibrated."""
        return {"online": Encoder(self.backbone, self._info("online", recalibrate=True))}
