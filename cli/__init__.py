"""The `kerasburst` command: thin, one module per command.

`kerasburst --help` must not wait for TensorFlow, which `import kerasburst` loads to register its layers. Here that is
put off until a command needs it.
"""

import os

os.environ.setdefault("KERASBURST_DEFER_LAYERS", "1")
