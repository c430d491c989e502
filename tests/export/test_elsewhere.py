"""The SavedModel where kerasburst is not: another process, saved_model_cli, C, and the lines of the documents."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from .common import STEPS, images, logits_of_keras, make, spikes
from .test_saved_model import seeded


@pytest.fixture(scope="module")
def served(exported):
    """A network, its folder, and what loads."""
    folder = exported("savedmodel")
    return make("fc", readout="mean"), folder, tf.saved_model.load(str(folder))


_ELSEWHERE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "kerasburst":
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
import numpy as np, tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
x = np.load(sys.argv[2])
out = loaded.signatures["seeded"](images=tf.constant(x), seed=tf.constant(7, tf.int64), queries=tf.constant(4))
np.save(sys.argv[3], out["logits"])
assert "kerasburst" not in sys.modules
"""


@pytest.mark.thorough
def test_loads_where_kerasburst_is_not(served, tmp_path):
    _, folder, loaded = served
    x = images()
    np.save(tmp_path / "x.npy", x)
    arguments = [str(folder), str(tmp_path / "x.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", _ELSEWHERE, *arguments], check=True, timeout=300, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), seeded(loaded, x, 7, 4)["logits"], atol=1e-5)


@pytest.mark.thorough
def test_saved_model_cli(served, tmp_path):
    _, folder, loaded = served
    x = spikes()
    np.save(tmp_path / "x.npy", x)
    cli = "from tensorflow.python.tools.saved_model_cli import main; main()"
    run = [sys.executable, "-c", cli, "run", "--dir", str(folder), "--tag_set", "serve", "--signature_def", "encoded"]
    run += ["--inputs", f"spikes={tmp_path / 'x.npy'}", "--outdir", str(tmp_path)]
    subprocess.run(run, check=True, timeout=300, capture_output=True)
    want = loaded.signatures["encoded"](spikes=tf.constant(x))["logits"]
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), want, atol=1e-5)


_C = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tensorflow/c/c_api.h"
static void nothing(void* data, size_t n, void* arg) {}
int main(int argc, char** argv) {
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  if (TF_GetCode(status) != TF_OK) { printf("load: %s\n", TF_Message(status)); return 1; }
  /* argv: folder, input operation, output operation, output index, sizes of the two axes behind the batch of 1 */
  int64_t dims[] = {1, atoi(argv[5]), atoi(argv[6])};
  size_t n = dims[1] * dims[2];
  float* x = malloc(n * sizeof(float));
  for (size_t i = 0; i < n; i++) x[i] = (float)(i % 3 == 0);
  TF_Tensor* input = TF_NewTensor(TF_FLOAT, dims, 3, x, n * sizeof(float), nothing, NULL);
  TF_Output in = {TF_GraphOperationByName(graph, argv[2]), 0};
  TF_Output out = {TF_GraphOperationByName(graph, argv[3]), atoi(argv[4])};
  if (!in.oper || !out.oper) { printf("no such operation\n"); return 1; }
  TF_Tensor* result = NULL;
  TF_SessionRun(session, NULL, &in, &input, 1, &out, &result, 1, NULL, 0, NULL, status);
  if (TF_GetCode(status) != TF_OK) { printf("run: %s\n", TF_Message(status)); return 1; }
  float* logits = TF_TensorData(result);
  for (size_t i = 0; i < TF_TensorByteSize(result) / sizeof(float); i++) printf("%.9g ", logits[i]);
  return 0;
}
"""


@pytest.mark.thorough
def test_from_c(served, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    where = tf.sysconfig.get_lib()
    libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]
    if compiler is None or not all(os.path.exists(f"{where}/{name}") for name in libraries):
        pytest.skip("no C compiler, or no shared libraries of TensorFlow")
    network, folder, _ = served
    (tmp_path / "ask.c").write_text(_C)
    build = [compiler, "ask.c", "-o", "ask", f"-I{tf.sysconfig.get_include()}", f"-L{where}", f"-Wl,-rpath,{where}"]
    subprocess.run([*build, *(f"-l:{name}" for name in libraries)], check=True, cwd=tmp_path)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = loaded.signature_def["encoded"]
    into = signature.inputs["spikes"].name.split(":")
    out = signature.outputs["logits"].name.split(":")
    arguments = [str(folder), into[0], *out, str(STEPS), "5"]
    answer = subprocess.run([str(tmp_path / "ask"), *arguments], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    x = (np.arange(STEPS * 5) % 3 == 0).astype("float32").reshape(1, STEPS, 5)
    np.testing.assert_allclose(np.array(answer.stdout.split(), float), logits_of_keras(network, x)[0][0], atol=1e-4)


@pytest.mark.thorough
def test_the_documents_lines_for_a_stream(served, monkeypatch, capsys):
    network, folder, _ = served
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    x = spikes("fc", 1)
    names = {"tf": tf, "stream": list(np.moveaxis(x, 1, 0))}
    exec(code.replace("served/1", str(folder)), names)
    np.testing.assert_allclose(names["out"]["logits"], logits_of_keras(network, x)[0], atol=1e-4)
    assert capsys.readouterr().out.count("tf.Tensor") == STEPS
