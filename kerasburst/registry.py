"""The names that a config, the command line or a file may use, and the classes and functions behind them.

One `Registry` for each idea: encoders, networks, neurons, attacks, data readers, export formats, studies. The package's
own entries are import paths, so that listing them costs nothing; a new one is one line here. Code outside the package
adds its own with `register`, or as an entry point of the group `kerasburst.<kind>`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from kerasburst.quiet import quiet_start
from kerasburst.validation import InputError, check_choice, fail

PLUGINS = "KERASBURST_PLUGINS"  # modules to import before names are looked up, separated by commas
OWN = f"{PLUGINS}=MODULE adds those of your own module"
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


class Registry(Mapping):
    """Look up by name what one kind of thing is, and add to it.

    Args:
        kind: what it holds, in the singular, as messages name it: "encoder".
        builtin: import path "module:attribute" by name.

    Example:
        >>> shapes = Registry("shape", {"path": "os.path:join"})
        >>> list(shapes), shapes["path"]("a", "b")
        (['path'], 'a/b')
    """

    elsewhere = OWN  # where further names come from; `check_choice` says so of a name that is not here

    def __init__(self, kind: str, builtin: Mapping[str, str]):
        self.kind = kind
        self._builtin, self._entries = builtin, dict[str, Any](builtin)
        self._discovered = False

    def __getitem__(self, name: str) -> Any:
        """Return the object behind a name, importing it on first use.

        Raises:
            InputError: for an unknown name; the message lists the known ones.
        """
        self._discover()
        entry = self._entries[check_choice(self.kind, name, self)]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(importlib.import_module(module), attribute)
        elif isinstance(entry, importlib.metadata.EntryPoint):
            entry = self._entries[name] = entry.load()
        return entry

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(self._entries)

    def __len__(self) -> int:
        self._discover()
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries

    def register(self, name: str, target: Any, module: str = "__main__") -> None:
        """Add a name, for this process and those that it starts.

        Args:
            name: a word of letters, digits and underscores that is not taken.
            target: what it stands for.
            module: the module that registers it, which processes that this one starts import; not for "__main__".

        Raises:
            InputError: for another name, or one that is taken by something else.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise fail("name", "a word of letters, digits and underscores", name)
        known = self._entries.get(name)
        if known is not None and not _same(known, target):
            raise InputError(f"name must be new among the {self.kind}s, {name} is taken")
        self._entries[name] = target
        if module != "__main__" and module.split(".")[0] != "kerasburst":
            modules = [each for each in os.environ.get(PLUGINS, "").split(",") if each]
            os.environ[PLUGINS] = ",".join(dict.fromkeys([*modules, module]))

    def import_builtin(self) -> None:
        """Import the modules of the package's own entries."""
        for path in self._builtin.values():
            importlib.import_module(path.partition(":")[0])

    def _discover(self) -> None:
        """Add what other packages declare: entry points, and the modules that `KERASBURST_PLUGINS` names."""
        if self._discovered:
            return
        self._discovered = True
        for entry in importlib.metadata.entry_points(group=f"kerasburst.{self.kind}"):
            self._entries.setdefault(entry.name, entry)
        load_plugins()


def load_plugins() -> None:
    """Import the modules that `KERASBURST_PLUGINS` names; they register what they have.

    The current folder is searched last, so that a file in it needs no PYTHONPATH and shadows no installed module.

    Raises:
        InputError: where one cannot be imported.
    """
    modules = [each for each in os.environ.get(PLUGINS, "").split(",") if each]
    if modules and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for module in modules:
        try:
            with quiet_start():  # the module may import Keras before the command does
                importlib.import_module(module.strip())
        except ImportError as error:
            raise InputError(f"{PLUGINS} must name modules that can be imported, {module}: {error}") from None


def _same(one: Any, other: Any) -> bool:
    """Return whether two entries are one class or function, whether or not it was imported anew."""
    where = [(getattr(each, "__module__", None), getattr(each, "__qualname__", None)) for each in (one, other)]
    return one is other or (where[0] == where[1] and None not in where[0])


ENCODERS = Registry(
    "encoder",
    {
        "rate": "kerasburst.encoders.rate:RateEncoder",
        "poisson_burst": "kerasburst.encoders.poisson_burst:PoissonBurstEncoder",
        "delayed_burst": "kerasburst.encoders.delayed_burst:DelayedBurstEncoder",
        "latency": "kerasburst.encoders.latency:LatencyEncoder",
        "direct": "kerasburst.encoders.direct:DirectEncoder",
        "none": "kerasburst.encoders.none:NoEncoder",
        "event_burst": "kerasburst.encoders.event_burst:EventBurstEncoder",
    },
)
NETWORKS = Registry(
    "network",
    {
        "SNNConvNet": "kerasburst.models.snn_conv_net:SNNConvNet",
        "SNNFCNet": "kerasburst.models.snn_fc_net:SNNFCNet",
        "SEWResNet": "kerasburst.models.sew_resnet:SEWResNet",
        "SpikingVGG": "kerasburst.models.spiking_vgg:SpikingVGG",
        "RecurrentSNN": "kerasburst.models.recurrent_snn:RecurrentSNN",
    },
)
NEURONS = Registry(
    "neuron",
    {
        "lif": "kerasburst.neurons.lif:LIF",
        "synaptic": "kerasburst.neurons.synaptic:Synaptic",
        "adaptive_lif": "kerasburst.neurons.adaptive_lif:AdaptiveLIF",
        "leaky_integrator": "kerasburst.neurons.leaky_integrator:LeakyIntegrator",
        "recurrent_lif": "kerasburst.neurons.recurrent_lif:RecurrentLIF",
        "izhikevich": "kerasburst.neurons.izhikevich:Izhikevich",
        "adex": "kerasburst.neurons.adex:AdEx",
    },
)
READERS = Registry(
    "reader",
    {
        "event_file": "kerasburst.data.event_readers:EventFileReader",
        "event_folder": "kerasburst.data.event_readers:EventFolderReader",
        "npz": "kerasburst.data.readers:NpzReader",
        "tiny_imagenet": "kerasburst.data.image_sets:TinyImageNetReader",
        "hugging_face": "kerasburst.data.image_sets:HuggingFaceReader",
        "tfds": "kerasburst.data.image_sets:TFDSReader",
        "image_folder": "kerasburst.data.image_folder:ImageFolderReader",
    },
)
FORMATS = Registry(
    "format",
    {
        "savedmodel": "kerasburst.export.saved_model:SavedModel",
        "onnx": "kerasburst.export.onnx_model:ONNX",
        "litert": "kerasburst.export.litert_step:LiteRT",
        "nir": "kerasburst.export.nir_format:NIR",
    },
)
ATTACKS = Registry(
    "attack",
    {
        "loss": "kerasburst.privacy.attacks.threshold:LOSS",
        "entropy": "kerasburst.privacy.attacks.threshold:ENTROPY",
        "modified_entropy": "kerasburst.privacy.attacks.threshold:MODIFIED_ENTROPY",
        "energy": "kerasburst.privacy.attacks.energy:ENERGY",
        "lira_online": "kerasburst.privacy.attacks.lira:LIRA_ONLINE",
        "lira_shrunk": "kerasburst.privacy.attacks.lira:LIRA_SHRUNK",
        "lira_offline": "kerasburst.privacy.attacks.lira:LIRA_OFFLINE",
        "rmia": "kerasburst.privacy.attacks.rmia:RMIA",
        "svm": "kerasburst.privacy.attacks.svm:SVM",
        "temporal_lira": "kerasburst.privacy.attacks.lira:TEMPORAL_LIRA",
        "label_only": "kerasburst.privacy.attacks.label_only:LABEL_ONLY",
        "dispersion": "kerasburst.privacy.attacks.dispersion:DISPERSION",
        "input_dropout": "kerasburst.privacy.attacks.input_dropout:INPUT_DROPOUT",
        "replay": "kerasburst.privacy.attacks.replay:REPLAY",
        "membranes": "kerasburst.privacy.attacks.membranes:MEMBRANES",
        "temporal_svm": "kerasburst.privacy.attacks.svm:TEMPORAL_SVM",
    },
)
DEFENCES = Registry(
    "defence",
    {
        "input_noise": "kerasburst.privacy.defences:InputNoise",
        "input_dropout": "kerasburst.privacy.defences:InputDropout",
        "label_smoothing": "kerasburst.privacy.defences:LabelSmoothing",
        "weight_decay": "kerasburst.privacy.defences:WeightDecay",
        "early_stopping": "kerasburst.privacy.defences:EarlyStopping",
        "private": "kerasburst.privacy.defences:Private",
        "adversary": "kerasburst.privacy.defences:Adversary",
    },
)
STUDIES = Registry(
    "study",
    {  # in the order of the page of many results
        "reproduction": "kerasburst.reports.reproduction:VIEW",
        "sweep": "kerasburst.reports.sweep:VIEW",
        "audit": "kerasburst.reports.audit:VIEW",
        "transfer": "kerasburst.reports.transfer:VIEW",
        "run": "kerasburst.reports.run:VIEW",
        "profile": "kerasburst.reports.profile:VIEW",
    },
)
_REGISTRIES = {
    registry.kind: registry for registry in (ENCODERS, NETWORKS, NEURONS, READERS, FORMATS, ATTACKS, DEFENCES, STUDIES)
}


def register(kind: str, name: str, target: Any) -> None:
    """Register an encoder, network, neuron, attack, reader, format, defence or study of your own under a name.

    Worker processes import the module that calls this, so they must be able to; what a script registers in `__main__`
    is known in its own process only. A package may declare an entry point of the group `kerasburst.<kind>` instead.
    `KERASBURST_PLUGINS=module` makes the command line import a module.

    Args:
        kind: "encoder", "network", "neuron", "attack", "reader", "format", "defence" or "study".
        name: a word of letters, digits and underscores that is not taken.
        target: the class or function; the page "Extend kerasburst" says what each kind must have.

    Raises:
        InputError: for an unknown kind, or a name that is no word or taken.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> class HalfRate(RateEncoder):
        ...     def probability(self, x):
        ...         return super().probability(x) / 2
        >>> register("encoder", "half_rate", HalfRate)
        >>> "half_rate" in ENCODERS
        True
    """
    module = sys._getframe(1).f_globals.get("__name__", "__main__")
    _REGISTRIES[check_choice("kind", kind, _REGISTRIES)].register(name, target, module)
