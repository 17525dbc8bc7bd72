"""Every PyTorch dialect against its own library, on small networks of random weights."""

import pytest
from converter_contract import ConverterContract
from lab.random_checkpoints import random_network, write_checkpoint

from converters.oracles.torch_models import Wanted
from efn_compose.arch import arch_spec

pytestmark = pytest.mark.parity


class TorchContract(ConverterContract):
    """A checkpoint written by the library's own state_dict."""

    model = ""
    file_name = "model.pth"
    bn_epsilon = 1e-3
    legacy = False
    wrap = None

    def make(self, folder):
        spec = arch_spec(self.variant)
        wanted = Wanted(
            spec,
            self.model or self.arch or "",
            classes=self.classes,
            bn_epsilon=self.bn_epsilon,
            resolution=64,
        )
        model = random_network(self.dialect, wanted)
        self.beside(model, folder)
        return write_checkpoint(
            model, folder / self.file_name, legacy=self.legacy, wrap=self.wrap and dict(self.wrap)
        )

    def beside(self, model, folder):
        """Write what the library puts beside the file."""


class TestTimmTf(TorchContract):
    dialect, variant, arch = "timm", "b-w0.1-d1.1", "tf_efficientnet_b0.ap_in1k"
    file_name = "model.safetensors"


class TestTimmSymmetric(TorchContract):
    dialect, variant, arch = "timm", "b-w0.25-d0.4", "efficientnet_b0.ra_in1k"
    legacy = True


class TestTimmV2(TorchContract):
    dialect, variant, arch = "timm", "v2-b-w0.1-d1.1", "tf_efficientnetv2_b0.in1k"
    wrap = (("epoch", 3), ("arch", "tf_efficientnetv2_b0"))


class TestTimmEdge(TorchContract):
    dialect, variant, arch = "timm", "edge-w0.25-d0.3", "tf_efficientnet_es.in1k"


class TestTimmLite(TorchContract):
    dialect, variant, arch = "timm", "lite-w0.25-d0.3", "efficientnet_lite0.ra_in1k"


class TestTimmEdgeDeep(TorchContract):
    """With a second block in stage 1, which adds no input."""

    dialect, variant, arch = "timm", "edge-w0.25-d1.1", "tf_efficientnet_em.in1k"


class TestTimmV2S(TorchContract):
    dialect, variant, arch = "timm", "v2-s-w0.25-d0.4", "tf_efficientnetv2_s.in21k_ft_in1k"


class TestTimmTinyNet(TorchContract):
    dialect, variant, arch = "timm", "tinynet-w0.25-d0.6", "tinynet_e.in1k"
    file_name = "model.safetensors"


class TestTimmMnasNetA1(TorchContract):
    """Squeeze-and-excite in three of seven stages."""

    dialect, variant, arch = "timm", "mnasnet-a1-w0.25-d1", "semnasnet_100.rmsp_in1k"


class TestTimmMnasNetB1(TorchContract):
    dialect, variant, arch = "timm", "mnasnet-b1-w0.5-d1", "mnasnet_050"


class TestTimmMnasNetSmall(TorchContract):
    """Stages 4 and 5 are one stream, and so are the stem and stage 1."""

    dialect, variant, arch = "timm", "mnasnet-small", "mnasnet_small.lamb_in1k"


class TestGeffnetMnasNet(TorchContract):
    dialect, variant, arch = "geffnet", "mnasnet-a1-w0.25-d1", "mnasnet_a1"
    is_recognised = False


class TestTorchvisionMnasNet(TorchContract):
    dialect, variant = "torchvision", "mnasnet-b1-w0.5-d1"


class TestTorchvisionMnasNetNarrow(TorchContract):
    dialect, variant = "torchvision", "mnasnet-b1-w0.25-d1"


class TestGeffnetEdge(TorchContract):
    dialect, variant, arch = "geffnet", "edge-w0.25-d0.3", "efficientnet_es"
    is_recognised = False


class TestGeffnet(TorchContract):
    dialect, variant, arch = "geffnet", "b-w0.25-d0.4", "tf_efficientnet_b0_ns"
    is_recognised = False


class TestTorchvisionB0(TorchContract):
    dialect, variant, arch = "torchvision", "b-w0.25-d1.1", "efficientnet_b0"
    bn_epsilon = 1e-5


class TestTorchvisionB5(TorchContract):
    dialect, variant, arch = "torchvision", "b-w0.1-d0.3", "efficientnet_b5"


class TestLukemelas(TorchContract):
    dialect, variant, arch = "lukemelas", "b-w0.5-d0.4", "adv-efficientnet-b0"


class TestLite(TorchContract):
    dialect, variant = "lite", "lite-w0.25-d0.3"


class TestTransformers(TorchContract):
    dialect, variant = "transformers", "b-w0.5-d0.4"
    file_name = "model.safetensors"

    def beside(self, model, folder):
        model.config.save_pretrained(folder)
