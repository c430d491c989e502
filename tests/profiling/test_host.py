import json
import os

import numpy as np

from kerasburst.profiling import host
from kerasburst.profiling.host import peak_rss_mb


def test_facts_are_json_and_plausible():
    facts = json.loads(json.dumps(host.machine_facts()))
    assert 1 <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["memory_mb"] is None or facts["memory_mb"] > 100


def test_flags_that_matter(monkeypatch):
    monkeypatch.setattr(host, "_cpu_information", lambda: {"model name": "Some CPU", "flags": "fpu avx512_bf16 sse"})
    facts = host.machine_facts()
    assert (facts["cpu"], facts["cpu_flags"], facts["bfloat16_instructions"]) == ("Some CPU", ["avx512_bf16"], True)
    monkeypatch.setattr(host, "_cpu_information", lambda: {"flags": "fpu avx2"})
    assert host.machine_facts()["bfloat16_instructions"] is False


def test_an_unknown_processor_is_null(monkeypatch):
    monkeypatch.setattr(host, "_cpu_information", lambda: {})
    facts = host.machine_facts()
    assert facts["cpu_flags"] is None and facts["bfloat16_instructions"] is None


def test_the_peak_sees_what_was_held_and_does_not_forget_it():
    held = np.ones(40_000_000, "float32")  # 160 MB
    assert peak_rss_mb() >= held.nbytes / 1e6
    peak = peak_rss_mb()
    del held
    assert peak_rss_mb() >= peak - 1.0  # the kernel counts in portions


def test_free_memory_is_within_the_containers_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "_CGROUP", tmp_path)
    outside = host.free_memory()
    for name, text in {"max": "5000000\n", "current": "4000000\n", "stat": "anon 7\ninactive_file 250000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert host.free_memory() == 1_250_000 < outside
    (tmp_path / "memory.max").write_text("max\n")
    assert host.free_memory() > 1_250_000
