"""The `kerasburst` command: thin, one module per command.

`kerasburst --help` must not wait for TensorFlow, which `import kerasburst` loads to register its
layers. So kerasburst is imported here without its layers; a command that needs them imports them.
Nothing of this is left in the environment, where the processes a command starts would find it.
"""

import os

_DEFER = "KERASBURST_DEFER_LAYERS"
_before = os.environ.get(_DEFER)
os.environ[_DEFER] = "1"
try:
    import kerasburst  # noqa: F401
finally:
    if _before is None:
        del os.environ[_DEFER]
    else:
        os.environ[_DEFER] = _before
